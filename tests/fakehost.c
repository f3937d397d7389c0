/* SPDX-License-Identifier: Apache-2.0 */

/* A host and an arena for tests of one plugin. */
#include "config.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <check.h>
#include <ltdl.h>
#include <sodium.h>

#include "tests/fakehost.h"

#ifndef __has_feature
#define __has_feature(feature) 0
#endif

#define SPARE      64		/* readable bytes behind what an arena gives */
#define SPARE_BYTE 0xa5

/*
 * --- options
 */

static struct fakehost *self(const struct bursar_host *host)
{
	return (struct fakehost *)(uintptr_t)host;
}

/* Where a value for that name stands or can stand. */
static size_t slot(const struct fakehost *host, const char *name)
{
	size_t i = 0;

	while (i < FAKEHOST_OPTIONS && host->given[i].name != NULL &&
	       strcmp(host->given[i].name, name) != 0) {
		i++;
	}
	ck_assert_msg(i < FAKEHOST_OPTIONS, "too many options");
	return i;
}

static const struct bursar_option *declared(const struct fakehost *host,
                                            const char *name)
{
	const struct bursar_option *option = host->table;

	ck_assert_msg(option != NULL, "no options were declared");
	while (option->name != NULL && strcmp(option->name, name) != 0) {
		option++;
	}
	ck_assert_msg(option->name != NULL, "no option '%s'", name);
	return option;
}

static const char *value_of(const struct fakehost *host, const char *name)
{
	const char *given = host->given[slot(host, name)].value;

	return given ? given : declared(host, name)->fallback;
}

static const char *host_text(const struct bursar_host *host, const char *name)
{
	const enum bursar_type type = declared(self(host), name)->type;
	const char *value = value_of(self(host), name);

	ck_assert_msg(type == BURSAR_TYPE_TEXT || type == BURSAR_TYPE_PATH ||
	              type == BURSAR_TYPE_CHOICE || type >= BURSAR_TYPE_INPUT,
	              "'%s' is no text", name);
	return value ? value : "";
}

/* Bytes in K, M, G; milliseconds in ms, s, m, h, d. */
static int64_t unit(enum bursar_type type, const char *suffix)
{
	static const struct {
		enum bursar_type type;
		const char *suffix;
		int64_t     factor;
	} units[] = {
		{ BURSAR_TYPE_SIZE, "K", 1 << 10 },
		{ BURSAR_TYPE_SIZE, "M", 1 << 20 },
		{ BURSAR_TYPE_SIZE, "G", 1 << 30 },
		{ BURSAR_TYPE_DURATION, "ms", 1 },
		{ BURSAR_TYPE_DURATION, "s", 1000 },
		{ BURSAR_TYPE_DURATION, "m", 60 * 1000 },
		{ BURSAR_TYPE_DURATION, "h", 3600 * 1000 },
		{ BURSAR_TYPE_DURATION, "d", 86400 * 1000 },
	};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (units[i].type == type &&
		    strcmp(units[i].suffix, suffix) == 0) {
			return units[i].factor;
		}
	}
	ck_assert_msg(suffix[0] == '\0', "'%s' is no unit", suffix);
	return 1;
}

static int64_t host_number(const struct bursar_host *host, const char *name)
{
	const enum bursar_type type = declared(self(host), name)->type;
	const char *value = value_of(self(host), name);
	char *end;

	ck_assert_msg(value != NULL, "'%s' has no value", name);
	if (type == BURSAR_TYPE_FLAG) {
		return strcmp(value, "true") == 0;
	}
	ck_assert_msg(type == BURSAR_TYPE_NUMBER || type == BURSAR_TYPE_SIZE ||
	              type == BURSAR_TYPE_DURATION, "'%s' is no number", name);
	const int64_t number = strtoll(value, &end, 10);
	return number * unit(type, end);
}

static size_t host_list(const struct bursar_host *host, const char *name,
                        const char *const **items)
{
	struct fakehost *fake = self(host);
	const size_t i = slot(fake, name);
	size_t count = 0;

	ck_assert_int_eq(declared(fake, name)->type, BURSAR_TYPE_LIST);
	while (count < FAKEHOST_LIST && fake->given[i].list[count] != NULL) {
		count++;
	}
	*items = fake->given[i].list;
	return count;
}

static struct bursar_span host_secret(const struct bursar_host *host,
                                      const char *name)
{
	const struct fakehost *fake = self(host);
	const char *value = fake->given[slot(fake, name)].value;

	ck_assert_int_eq(declared(fake, name)->type, BURSAR_TYPE_SECRET);
	return (struct bursar_span){ value, value ? strlen(value) : 0 };
}

void fakehost_declare(struct fakehost *host, const struct bursar_option *table)
{
	host->table = table;
}

static void split(struct fakehost *host, size_t i)
{
	char *item = host->given[i].value;

	for (size_t n = 0; item != NULL; n++) {
		ck_assert_uint_lt(n, FAKEHOST_LIST);
		host->given[i].list[n] = item;
		item = strchr(item, ',');
		if (item != NULL) {
			*item++ = '\0';
		}
	}
}

void fakehost_set(struct fakehost *host, const char *name, const char *value)
{
	const struct bursar_option *option = declared(host, name);
	const size_t i = slot(host, name);

	free(host->given[i].value);
	memset(&host->given[i], 0, sizeof(host->given[i]));
	host->given[i].name = option->name;
	if (value != NULL) {
		host->given[i].value = strdup(value);
	}
	if (option->type == BURSAR_TYPE_LIST) {
		split(host, i);
	}
}

/*
 * --- log and figures
 */

__attribute__((format(printf, 4, 5)))
static void host_log(const struct bursar_host *host, enum bursar_level level,
                     const char *event, const char *fmt, ...)
{
	static const char *const levels[] = {
		"error", "warning", "info", "debug",
	};
	struct fakehost *fake = self(host);
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);

	pthread_mutex_lock(&fake->lock);
	const size_t room = sizeof(fake->log) - fake->log_size;
	const int size = snprintf(fake->log + fake->log_size, room,
	                          "%s %s %s\n", levels[level], event, text);
	fake->log_size += (size_t)size < room ? (size_t)size : room - 1;
	pthread_mutex_unlock(&fake->lock);
}

unsigned fakehost_logged(struct fakehost *host, const char *event)
{
	const size_t size = strlen(event);
	unsigned count = 0;

	pthread_mutex_lock(&host->lock);
	for (const char *line = host->log; *line != '\0';) {
		const char *name = strchr(line, ' ') + 1;
		const char *end = strchr(name, ' ');

		count += (size_t)(end - name) == size &&
		         memcmp(name, event, size) == 0;
		line = strchr(name, '\n');
		line = line ? line + 1 : "";
	}
	pthread_mutex_unlock(&host->lock);
	return count;
}

static int64_t *figure(struct fakehost *host, const char *name)
{
	size_t i = 0;

	while (i < FAKEHOST_FIGURES && host->figures[i].name != NULL &&
	       strcmp(host->figures[i].name, name) != 0) {
		i++;
	}
	ck_assert_msg(i < FAKEHOST_FIGURES, "too many figures");
	host->figures[i].name = name;
	return &host->figures[i].value;
}

static void host_count(const struct bursar_host *host, const char *name,
                       int64_t more)
{
	const size_t size = strlen(name);

	ck_assert_msg(size > 6 && strcmp(name + size - 6, "_total") == 0,
	              "'%s' is no name for a counter", name);
	pthread_mutex_lock(&self(host)->lock);
	*figure(self(host), name) += more;
	pthread_mutex_unlock(&self(host)->lock);
}

static void host_gauge(const struct bursar_host *host, const char *name,
                       int64_t value)
{
	pthread_mutex_lock(&self(host)->lock);
	*figure(self(host), name) = value;
	pthread_mutex_unlock(&self(host)->lock);
}

int64_t fakehost_figure(struct fakehost *host, const char *name)
{
	int64_t value = 0;

	pthread_mutex_lock(&host->lock);
	for (size_t i = 0; i < FAKEHOST_FIGURES; i++) {
		if (host->figures[i].name != NULL &&
		    strcmp(host->figures[i].name, name) == 0) {
			value = host->figures[i].value;
		}
	}
	pthread_mutex_unlock(&host->lock);
	return value;
}

/*
 * --- the rest of the host
 */

static int64_t host_now(const struct bursar_host *host)
{
	struct timespec now;

	if (self(host)->now_us != 0) {
		return self(host)->now_us;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void host_key(const struct bursar_kind *kind, const char *id,
                     size_t size, uint8_t key[16])
{
	crypto_generichash_state state;

	crypto_generichash_init(&state, NULL, 0, 16);
	crypto_generichash_update(&state, (const unsigned char *)kind->name,
	                          strlen(kind->name) + 1);
	crypto_generichash_update(&state, (const unsigned char *)id, size);
	crypto_generichash_final(&state, key, 16);
}

void fakehost_init(struct fakehost *host, const struct bursar_schema *schema)
{
	memset(host, 0, sizeof(*host));
	pthread_mutex_init(&host->lock, NULL);
	host->host = (struct bursar_host){
		.name = "fake",
		.schema = schema,
		.log = host_log,
		.text = host_text,
		.number = host_number,
		.list = host_list,
		.secret = host_secret,
		.now = host_now,
		.count = host_count,
		.gauge = host_gauge,
		.key = host_key,
	};
}

void fakehost_finish(struct fakehost *host)
{
	for (size_t i = 0; i < FAKEHOST_OPTIONS; i++) {
		free(host->given[i].value);
	}
	pthread_mutex_destroy(&host->lock);
}

const struct bursar_plugin *fakehost_load(const char *kind, const char *name)
{
	char path[4096];

	ck_assert_int_eq(lt_dlinit(), 0);
	snprintf(path, sizeof(path), "%s/plugins/%s%s/%s_%s.la", TOP_BUILDDIR,
	         kind, strcmp(kind, "crypto") == 0 ? "" : "s", kind, name);
	const lt_dlhandle handle = lt_dlopen(path);
	ck_assert_msg(handle != NULL, "%s: %s", path, lt_dlerror());
	const struct bursar_plugin *plugin = lt_dlsym(handle, "bursar_plugin");
	ck_assert_msg(plugin != NULL, "%s: not a plugin", path);
	ck_assert_uint_eq(plugin->abi, BURSAR_PLUGIN_ABI);
	ck_assert_str_eq(plugin->name, name);
	return plugin;
}

/*
 * --- arena
 */

struct fakearena_block {
	struct fakearena_block *next;
	size_t size;
	_Alignas(16) unsigned char bytes[];
};

static void *arena_alloc(struct bursar_arena *arena, size_t size)
{
	struct fakearena *fake = (struct fakearena *)arena;
	struct fakearena_block *block;

	if (size > fake->left ||
	    (block = malloc(sizeof(*block) + size + SPARE)) == NULL) {
		return NULL;
	}
	fake->left -= size;
	block->size = size;
	memset(block->bytes + size, SPARE_BYTE, SPARE);
	block->next = fake->blocks;
	fake->blocks = block;
	return block->bytes;
}

void fakearena_init(struct fakearena *arena)
{
	*arena = (struct fakearena){
		.arena.alloc = arena_alloc, .left = SIZE_MAX,
	};
}

void fakearena_clear(struct fakearena *arena)
{
	while (arena->blocks != NULL) {
		struct fakearena_block *block = arena->blocks;

		for (size_t i = 0; i < SPARE; i++) {
			ck_assert_msg(block->bytes[block->size + i] ==
			              SPARE_BYTE, "written behind its end");
		}
		arena->blocks = block->next;
		free(block);
	}
}

/*
 * --- memory
 */

#define CHUNK    (1 << 20)
#define MAX_AREA (UINT64_C(256) << 20)	/* no test of ours maps as much */

static bool memory_is_our_own(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
	return false;
#endif
	const char *preload = getenv("LD_PRELOAD");

	return preload == NULL || strstr(preload, "vgpreload") == NULL;
}

static int count_in(const unsigned char *bytes, size_t bytes_size,
                    const unsigned char *masked, size_t size)
{
	int count = 0;

	for (size_t i = 0; i + size <= bytes_size; i++) {
		size_t n = 0;

		while (n < size &&
		       bytes[i + n] == (masked[n] ^ FAKEHOST_MASK)) {
			n++;
		}
		count += n == size;
	}
	return count;
}

/* Reads through `buffer`, CHUNK bytes, which is not looked at itself. */
static int count_area(int memory, uint64_t start, uint64_t end,
                      unsigned char *buffer, const unsigned char *masked,
                      size_t size)
{
	int count = 0;

	while (start < end) {
		const size_t want = end - start < CHUNK ? end - start : CHUNK;
		const ssize_t got = pread(memory, buffer, want, (off_t)start);

		if (got < (ssize_t)size) {
			break;
		}
		count += count_in(buffer, (size_t)got, masked, size);
		start += (size_t)got - (size - 1);
	}
	return count;
}

/* Reads a line of /proc/self/maps; false for what cannot hold our data. */
static bool read_area(const char *line, uint64_t *start, uint64_t *end)
{
	char readable;
	char writable;

	return sscanf(line, "%" SCNx64 "-%" SCNx64 " %c%c", start, end,
	              &readable, &writable) == 4 &&
	       readable == 'r' && (writable == 'w' || !strchr(line, '/')) &&
	       strstr(line, "[v") == NULL && *end - *start <= MAX_AREA;
}

int fakehost_find_bytes(const unsigned char *masked, size_t size)
{
	char line[512];
	int count = 0;

	assert(size > 0);

	if (!memory_is_our_own()) {
		return -1;
	}
	unsigned char *buffer = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE,
	                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	FILE *maps = fopen("/proc/self/maps", "re");
	ck_assert(buffer != MAP_FAILED && memory >= 0 && maps != NULL);

	while (fgets(line, sizeof(line), maps) != NULL) {
		const uint64_t own = (uintptr_t)buffer;
		uint64_t start;
		uint64_t end;

		if (!read_area(line, &start, &end)) {
			continue;
		}
		if (start <= own && own < end) {
			count += count_area(memory, start, own, buffer,
			                    masked, size);
			start = own + CHUNK;
		}
		count += count_area(memory, start, end, buffer, masked, size);
	}
	fclose(maps);
	close(memory);
	munmap(buffer, CHUNK);
	return count;
}
