/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Memory: places that end at a page which nobody may touch, what the process
 * holds, and where secrets stand in it.
 *
 * Secrets are kept under a mask, so that asking for one leaves no trace of it.
 */
#include "config.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kit.h"

#include "common/base64.h"

#ifndef __has_feature
#define __has_feature(feature) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#else
#define SANITIZED false
#endif

/* --- guarded places ------------------------------------------------------ */

static size_t pages(size_t size)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (size + page - 1) / page * page;
}

void guard_init(struct guard *guard, size_t room)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);

	guard->size = pages(room + GUARD_SPARE);
	guard->base = mmap(NULL, guard->size + page, PROT_READ | PROT_WRITE,
	                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (guard->base == MAP_FAILED ||
	    mprotect(guard->base + guard->size, page, PROT_NONE) != 0) {
		kit_broken("mmap");
	}
}

void guard_finish(struct guard *guard)
{
	munmap(guard->base,
	       guard->size + (size_t)sysconf(_SC_PAGESIZE));
}

char *guard_place(struct guard *guard, const void *data, size_t size,
                  int fill)
{
	char *at = guard->base + guard->size - GUARD_SPARE - size;

	expect(size + GUARD_SPARE <= guard->size, "a place is too small");
	if (data != NULL) {
		memmove(at, data, size);
	}
	memset(at + size, fill, GUARD_SPARE);
	return at;
}

struct guard_block {
	struct guard_block *next;
	struct guard guard;
	char  *data;
	size_t size;
};

#define SPARE_BYTE 0xa5

static void *arena_alloc(struct bursar_arena *arena, size_t size)
{
	struct guard_arena *guarded = (struct guard_arena *)arena;
	const size_t rounded = (size + 15) / 16 * 16;

	if (guarded->left == 0) {
		return NULL;
	}
	guarded->left--;
	struct guard_block *block = calloc(1, sizeof(*block));
	if (block == NULL) {
		kit_broken("malloc");
	}
	guard_init(&block->guard, rounded);
	block->data = guard_place(&block->guard, NULL, rounded, SPARE_BYTE);
	memset(block->data, 0xdd, rounded);
	block->size = size;
	block->next = guarded->blocks;
	guarded->blocks = block;
	return block->data;
}

void guard_arena_init(struct guard_arena *arena)
{
	*arena = (struct guard_arena){
		.arena.alloc = arena_alloc, .left = SIZE_MAX,
	};
}

void guard_arena_clear(struct guard_arena *arena)
{
	while (arena->blocks != NULL) {
		struct guard_block *block = arena->blocks;
		const unsigned char *end =
			(unsigned char *)block->guard.base +
			block->guard.size;

		for (size_t i = 1; i <= GUARD_SPARE; i++) {
			expect(end[-(ptrdiff_t)i] == SPARE_BYTE,
			       "it wrote behind the end of what an arena gave");
		}
		arena->blocks = block->next;
		guard_finish(&block->guard);
		free(block);
	}
}

bool guard_arena_holds(const struct guard_arena *arena, const char *data,
                       size_t size)
{
	for (const struct guard_block *block = arena->blocks; block != NULL;
	     block = block->next) {
		if (data >= block->data &&
		    data + size <= block->data + block->size) {
			return true;
		}
	}
	return false;
}

/* --- footprints ---------------------------------------------------------- */

#define LEAST_CHUNK 32		/* that malloc() takes for any size */

static int count_entries(const char *path)
{
	DIR *dir = opendir(path);
	int count = 0;

	if (dir == NULL) {
		kit_broken(path);
	}
	while (readdir(dir) != NULL) {
		count++;
	}
	closedir(dir);
	return count;
}

static long count_pages(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	long pages = 0;

	if (file == NULL || fscanf(file, "%ld", &pages) != 1) {
		kit_broken("/proc/self/statm");
	}
	fclose(file);
	return pages;
}

static bool under_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload != NULL && strstr(preload, "vgpreload") != NULL;
}

bool footprint_has_bytes(void)
{
	return !SANITIZED && !under_valgrind();
}

struct footprint footprint_take(void)
{
	const struct mallinfo2 heap = mallinfo2();

	return (struct footprint){
		.descriptors = count_entries("/proc/self/fd"),
		.threads = count_entries("/proc/self/task"),
		.bytes = heap.uordblks + heap.hblkhd,
		.pages = count_pages(),
	};
}

/* A library's own thread may need a moment to end. */
static struct footprint footprint_when_quiet(int threads)
{
	struct footprint now = footprint_take();

	for (int i = 0; i < 200 && now.threads > threads; i++) {
		poll(NULL, 0, 5);
		now = footprint_take();
	}
	return now;
}

void footprint_expect_flat(void (*round)(void *context), void *context,
                           unsigned rounds)
{
	size_t least = SIZE_MAX;
	long pages_least = LONG_MAX;
	struct footprint first = { 0 };
	struct footprint last = { 0 };

	for (int part = 0; part < 4; part++) {
		for (unsigned i = 0; i < rounds; i++) {
			round(context);
		}
		if (part == 0) {
			first = last = footprint_take();
			continue;
		}
		const struct footprint now =
			footprint_when_quiet(first.threads);
		const size_t grown = now.bytes > last.bytes
			? now.bytes - last.bytes : 0;

		least = grown < least ? grown : least;
		pages_least = now.pages - last.pages < pages_least
			? now.pages - last.pages : pages_least;
		last = now;
	}
	expect(last.descriptors <= first.descriptors,
	       "%d descriptors more after %u rounds",
	       last.descriptors - first.descriptors, rounds * 3);
	expect(last.threads <= first.threads, "%d threads more",
	       last.threads - first.threads);
	/* What is lost in each round is LEAST_CHUNK at least; the allocator may
	 * take some more for a while without anything being lost. */
	expect(least < (size_t)rounds * LEAST_CHUNK,
	       "%zu bytes more after %u rounds, and again and again", least,
	       rounds);
	expect(!footprint_has_bytes() || pages_least < (long)rounds,
	       "%ld pages more after %u rounds, and again and again",
	       pages_least, rounds);
}

/* --- secrets ------------------------------------------------------------- */

#define MASK      0x5a
#define SHORTEST  16
#define LONGEST   128
#define CHUNK     ((size_t)1 << 20)
#define MAX_AREA  (UINT64_C(256) << 20)	/* larger ones are reserved, not used */

static struct secret {
	unsigned char masked[LONGEST];
	size_t        size;
} secrets[KIT_SECRETS];
static size_t secret_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;	/* over both */

void secret_add(char *text, size_t size)
{
	pthread_mutex_lock(&lock);
	if (size > 0 && secret_count < KIT_SECRETS) {
		struct secret *secret = &secrets[secret_count++];

		secret->size = size < LONGEST ? size : LONGEST;
		for (size_t i = 0; i < secret->size; i++) {
			secret->masked[i] = (unsigned char)text[i] ^ MASK;
		}
	}
	pthread_mutex_unlock(&lock);
	explicit_bzero(text, size);
}

/* A key as base64 stands as bytes in memory. */
static void secret_add_decoded(const char *text, size_t size)
{
	const struct bursar_span span = { text, size };
	char bytes[LONGEST];
	size_t decoded;

	if (base64_decoded_size(span, &decoded) && decoded >= SHORTEST &&
	    decoded <= sizeof(bytes) && base64_decode(span, bytes)) {
		secret_add(bytes, decoded);
	}
}

void secret_add_file(const char *path)
{
	char text[1 << 14];
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	const ssize_t got = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

	if (got < 0) {
		kit_broken(path);
	}
	close(fd);
	text[got] = '\0';
	for (char *at = text; *at != '\0';) {
		const size_t size = strcspn(at, " \t\r\n");

		if (size >= SHORTEST) {
			secret_add_decoded(at, size);
			secret_add(at, size);
		}
		at += size;
		at += *at != '\0';
	}
	explicit_bzero(text, sizeof(text));
}

static int count_in(const unsigned char *bytes, size_t bytes_size,
                    const struct secret *secret)
{
	int count = 0;

	for (size_t i = 0; i + secret->size <= bytes_size; i++) {
		size_t n = 0;

		while (n < secret->size &&
		       bytes[i + n] == (secret->masked[n] ^ MASK)) {
			n++;
		}
		count += n == secret->size;
	}
	return count;
}

bool secret_is_in(const char *text, size_t size)
{
	bool is_in = false;

	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < secret_count && !is_in; i++) {
		is_in = count_in((const unsigned char *)text, size,
		                 &secrets[i]) > 0;
	}
	pthread_mutex_unlock(&lock);
	return is_in;
}

static int count_all(const unsigned char *bytes, size_t size)
{
	int count = 0;

	for (size_t i = 0; i < secret_count; i++) {
		count += count_in(bytes, size, &secrets[i]);
	}
	return count;
}

/* Reads an area through `buffer`, which is not looked at itself. */
static int count_area(int memory, uint64_t start, uint64_t end,
                      unsigned char *buffer)
{
	int count = 0;

	while (start < end) {
		const size_t want = end - start < CHUNK ? end - start : CHUNK;
		const ssize_t got = pread(memory, buffer, want, (off_t)start);

		if (got <= LONGEST) {
			break;
		}
		count += count_all(buffer, (size_t)got);
		start += want == CHUNK ? (size_t)got - LONGEST : (size_t)got;
	}
	return count;
}

/* A line of /proc/self/maps; false for what cannot hold our data.  What nobody
 * may read can be read that way all the same. */
static bool read_area(const char *line, uint64_t *start, uint64_t *end)
{
	char readable, writable;

	return sscanf(line, "%" SCNx64 "-%" SCNx64 " %c%c", start, end,
	              &readable, &writable) == 4 &&
	       ((readable == 'r' && writable == 'w') || !strchr(line, '/')) &&
	       strstr(line, "[v") == NULL && *end - *start <= MAX_AREA;
}

int secret_count_in_memory(void)
{
	char line[512];
	int count = 0;

	if (!footprint_has_bytes()) {
		return -1;
	}
	unsigned char *buffer = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE,
	                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	FILE *maps = fopen("/proc/self/maps", "re");
	if (buffer == MAP_FAILED || memory < 0 || maps == NULL) {
		kit_broken("/proc/self");
	}
	while (fgets(line, sizeof(line), maps) != NULL) {
		const uint64_t own = (uintptr_t)buffer;
		uint64_t start, end;

		if (!read_area(line, &start, &end)) {
			continue;
		}
		if (start <= own && own < end) {
			count += count_area(memory, start, own, buffer);
			start = own + CHUNK;
		}
		count += count_area(memory, start, end, buffer);
	}
	fclose(maps);
	close(memory);
	munmap(buffer, CHUNK);
	return count;
}
