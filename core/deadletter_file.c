/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The form of a letter and of its folder.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>
#include <sodium.h>

#include "common/rfc3339.h"
#include "deadletter_file.h"

#define LINE_MAX_BYTES (256u << 20)
#define REPLAYED       "replayed"

void deadletter_day(int64_t us, char day[11])
{
	char text[RFC3339_SIZE];

	rfc3339_format(us, text);
	memcpy(day, text, 10);
	day[10] = '\0';
}

bool deadletter_is_day(const char *name)
{
	return strlen(name) == strlen("2026-11-20.jsonl") &&
	       strspn(name, "0123456789-") == 10 &&
	       strcmp(name + 10, ".jsonl") == 0;
}

DIR *deadletter_folder_list(int folder)
{
	const int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		return NULL;
	}
	DIR *dir = fdopendir(fd);
	if (dir == NULL) {
		close(fd);
	}
	return dir;
}

/* --- one letter ---------------------------------------------------------- */

/* A property that is not UTF-8 can only be shown, not given back. */
static json_t *text(struct bursar_span span)
{
	json_t *string = json_stringn(span.data, span.size);

	return string != NULL ? string
	                      : json_sprintf("(%zu bytes that are not UTF-8)",
	                                     span.size);
}

static void put(json_t *object, const char *name, struct bursar_span span)
{
	if (span.data != NULL) {
		json_object_set_new(object, name, text(span));
	}
}

static void put_time(json_t *object, const char *name, int64_t us)
{
	char out[RFC3339_SIZE];

	json_object_set_new(object, name, json_string(rfc3339_format(us, out)));
}

static void put_base64(json_t *object, const char *name,
                       struct bursar_span span)
{
	const int variant = sodium_base64_VARIANT_ORIGINAL;
	const size_t room = sodium_base64_encoded_len(span.size, variant);
	char *out = malloc(room);

	if (out != NULL) {
		sodium_bin2base64(out, room, (const uint8_t *)span.data,
		                  span.size, variant);
		json_object_set_new(object, name, json_string_nocheck(out));
		free(out);
	}
}

static void put_id(json_t *object, const struct dead_letter *letter)
{
	const struct bursar_message *m = letter->message;
	crypto_generichash_state state;
	uint8_t hash[16];
	char hex[2 * sizeof(hash) + 1];
	const struct bursar_span parts[] = {
		{ letter->source, strlen(letter->source) }, m->message_id,
		m->origin, m->body,
	};

	crypto_generichash_init(&state, NULL, 0, sizeof(hash));
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		const uint64_t size = parts[i].size;

		crypto_generichash_update(&state, (const uint8_t *)&size,
		                          sizeof(size));
		crypto_generichash_update(&state, (const uint8_t *)parts[i].data,
		                          parts[i].size);
	}
	crypto_generichash_update(&state, (const uint8_t *)&m->offset,
	                          sizeof(m->offset));
	crypto_generichash_final(&state, hash, sizeof(hash));
	sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
	json_object_set_new(object, "id", json_string(hex));
}

static void put_place(json_t *object, const struct bursar_message *m)
{
	put(object, "place", m->place);
	put(object, "origin", m->origin);
	if (m->origin.data != NULL) {
		json_object_set_new(object, "offset",
		                    json_integer((json_int_t)m->offset));
	}
	if (m->line != 0) {
		json_object_set_new(object, "line",
		                    json_integer((json_int_t)m->line));
	}
	if (m->flags & BURSAR_MESSAGE_OVERSIZE) {
		json_object_set_new(object, "full_size",
		                    json_integer((json_int_t)m->full_size));
		put(object, "sha256", m->digest);
	}
}

static json_t *properties(const struct bursar_message *m)
{
	json_t *object = json_object();

	put(object, "message_id", m->message_id);
	put(object, "correlation_id", m->correlation_id);
	put(object, "content_type", m->content_type);
	put(object, "content_encoding", m->content_encoding);
	put(object, "app_id", m->app_id);
	if (m->timestamp_us != 0) {
		put_time(object, "timestamp", m->timestamp_us);
	}
	return object;
}

static json_t *headers(const struct bursar_message *m)
{
	json_t *object = json_object();

	for (size_t i = 0; i < m->header_count; i++) {
		char name[256];
		const struct bursar_span from = m->headers[i].name;

		if (from.size < sizeof(name)) {
			memcpy(name, from.data, from.size);
			name[from.size] = '\0';
			put(object, name, m->headers[i].value);
		}
	}
	return object;
}

char *deadletter_line(const struct dead_letter *letter, int64_t now)
{
	const struct bursar_message *m = letter->message;
	json_t *object = json_object();

	if (object == NULL) {
		return NULL;
	}
	put_id(object, letter);
	put_time(object, "time", now);
	if (letter->expires != DEAD_NEVER) {
		put_time(object, "expires", letter->expires);
	}
	json_object_set_new(object, "source", json_string(letter->source));
	json_object_set_new(object, "reason", json_string(letter->reason));
	json_object_set_new(object, "text", json_string(letter->text));
	if (letter->sink != NULL) {
		json_object_set_new(object, "sink", json_string(letter->sink));
	}
	put_place(object, m);
	if (letter->kind != NULL) {
		json_object_set_new(object, "kind",
		                    json_string(letter->kind->name));
	}
	put(object, "routing_key", m->routing_key);
	json_object_set_new(object, "properties", properties(m));
	json_object_set_new(object, "headers", headers(m));
	put_base64(object, "body_base64", m->body);

	char *line = NULL;
	if (json_object_get(object, "body_base64") != NULL) {
		char *bare = json_dumps(object, JSON_COMPACT);

		if (bare != NULL && asprintf(&line, "%s\n", bare) < 0) {
			line = NULL;
		}
		free(bare);
	}
	json_decref(object);
	return line;
}

/* --- the folder ---------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
	char **items;
	size_t count;
};

static void names_finish(struct names *names)
{
	for (size_t i = 0; i < names->count; i++) {
		free(names->items[i]);
	}
	free(names->items);
}

/* The files of letters, oldest first. */
static int list_days(int folder, struct names *names)
{
	DIR *dir = deadletter_folder_list(folder);
	if (dir == NULL) {
		return -1;
	}
	const struct dirent *entry;
	int result = 0;
	while (result == 0 && (entry = readdir(dir)) != NULL) {
		if (!deadletter_is_day(entry->d_name)) {
			continue;
		}
		char **more = realloc(names->items, (names->count + 1) *
		                                    sizeof(*more));
		char *name = strdup(entry->d_name);
		if (more == NULL || name == NULL) {
			free(name);
			result = -1;
		}
		names->items = more != NULL ? more : names->items;
		if (result == 0) {
			names->items[names->count++] = name;
		}
	}
	closedir(dir);
	if (names->count > 0) {
		qsort(names->items, names->count, sizeof(*names->items),
		      by_name);
	}
	return result;
}

/* The ids of letters that were stored since, as members of an object. */
static json_t *read_replayed(int folder)
{
	json_t *ids = json_object();
	const int fd = openat(folder, REPLAYED, O_RDONLY | O_CLOEXEC);
	FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
	char line[64];

	if (file == NULL) {
		if (fd >= 0) {
			close(fd);
		}
		return ids;
	}
	while (ids != NULL && fgets(line, sizeof(line), file) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (strlen(line) == 32) {
			json_object_set_new(ids, line, json_true());
		}
	}
	fclose(file);
	return ids;
}

static FILE *open_file(int folder, const char *name)
{
	const int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		return NULL;
	}
	FILE *file = fdopen(fd, "r");
	if (file == NULL) {
		close(fd);
	}
	return file;
}

/* What purge and read do with one line; letter is NULL for a broken one.
 * Non-zero stops. */
typedef int line_fn(void *context, const char *line, size_t size,
                    json_t *letter);

static int each_line(FILE *file, line_fn *each, void *context)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t size;
	int result = 0;

	while (result == 0 && (size = getline(&line, &room, file)) > 0) {
		json_t *letter = (size_t)size > LINE_MAX_BYTES ? NULL :
			json_loadb(line, (size_t)size, 0, NULL);

		if (!json_is_object(letter) ||
		    !json_is_string(json_object_get(letter, "id"))) {
			json_decref(letter);
			letter = NULL;
		}
		if (letter != NULL || size > 1) {
			result = each(context, line, (size_t)size, letter);
		}
		json_decref(letter);
	}
	free(line);
	return result;
}

static const char *id_of(const json_t *letter)
{
	return json_string_value(json_object_get(letter, "id"));
}

struct reading {
	json_t        *done;		/* ids not to show (again) */
	deadletter_fn *each;
	void          *context;
	size_t        *broken;
};

static int read_line(void *context, const char *line, size_t size,
                     json_t *letter)
{
	struct reading *reading = context;

	(void)line, (void)size;
	if (letter == NULL) {
		++*reading->broken;
		return 0;
	}
	if (json_object_get(reading->done, id_of(letter)) != NULL) {
		return 0;
	}
	json_object_set_new(reading->done, id_of(letter), json_true());
	return reading->each(reading->context, letter);
}

static int open_folder(const char *state_dir, char **path,
                       struct bursar_error *err)
{
	if (asprintf(path, "%s/dead-letters", state_dir) < 0) {
		*path = NULL;
		bursar_fail(err, ENOMEM, "out of memory");
		return -1;
	}
	const int fd = open(*path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		bursar_fail(err, errno, "%s: %s", *path, strerror(errno));
	}
	return fd;
}

int deadletters_read(const char *state_dir, deadletter_fn *each, void *context,
                     size_t *broken, struct bursar_error *err)
{
	struct bursar_error why = { 0 };
	struct names names = { 0 };
	char *path;
	int result = 0;

	*broken = 0;
	const int folder = open_folder(state_dir, &path, &why);
	if (folder < 0) {
		free(path);
		return why.code == ENOENT ? 0 :
			bursar_fail(err, why.code, "%s", why.text);
	}
	struct reading reading = { read_replayed(folder), each, context, broken };
	if (reading.done == NULL || list_days(folder, &names) != 0) {
		result = bursar_fail(err, errno, "%s: %s", path, strerror(errno));
	}
	for (size_t i = 0; result == 0 && i < names.count; i++) {
		FILE *file = open_file(folder, names.items[i]);

		if (file == NULL && errno != ENOENT) {
			result = bursar_fail(err, errno, "%s/%s: %s", path,
			                     names.items[i], strerror(errno));
		} else if (file != NULL) {
			result = each_line(file, read_line, &reading);
			fclose(file);
		}
	}
	names_finish(&names);
	json_decref(reading.done);
	close(folder);
	free(path);
	return result < 0 ? -1 : 0;
}

int deadletters_replayed(const char *state_dir, const char *const *ids,
                         size_t count, struct bursar_error *err)
{
	char *path;
	int result = -1;
	const int folder = open_folder(state_dir, &path, err);
	const int fd = folder < 0 ? -1 :
		openat(folder, REPLAYED,
		       O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (fd >= 0) {
		result = 0;
		for (size_t i = 0; result == 0 && i < count; i++) {
			result = dprintf(fd, "%s\n", ids[i]) < 0 ? -1 : 0;
		}
		if (result == 0) {
			result = fsync(fd);
		}
	}
	if (result != 0) {
		bursar_fail(err, errno, "%s/" REPLAYED ": %s", path,
		            strerror(errno));
	}
	if (fd >= 0) {
		close(fd);
	}
	if (folder >= 0) {
		close(folder);
	}
	free(path);
	return result;
}

struct purging {
	json_t *replayed;
	FILE   *out;
	int64_t now;
	int64_t gone;
	int64_t kept;
};

static bool expired(const json_t *letter, int64_t now)
{
	const char *when = json_string_value(json_object_get(letter, "expires"));
	int64_t us;

	return when != NULL && rfc3339_parse(when, strlen(when), &us) &&
	       us <= now;
}

/* What cannot be read may be a letter that somebody can mend: it stays. */
static int purge_line(void *context, const char *line, size_t size,
                      json_t *letter)
{
	struct purging *purging = context;

	if (letter != NULL &&
	    (expired(letter, purging->now) ||
	     json_object_get(purging->replayed, id_of(letter)) != NULL)) {
		purging->gone++;
		return 0;
	}
	purging->kept++;
	return fwrite(line, 1, size, purging->out) == size ? 0 : -1;
}

/* Replaces one file by what is to stay of it. */
static int purge_file(int folder, const char *name, struct purging *purging)
{
	FILE *in = open_file(folder, name);
	const int fd = openat(folder, "purge.tmp",
	                      O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	const int64_t before = purging->gone;
	int result = -1;

	purging->out = fd >= 0 ? fdopen(fd, "w") : NULL;
	purging->kept = 0;
	if (in != NULL && purging->out != NULL) {
		result = each_line(in, purge_line, purging);
		if (fflush(purging->out) != 0 || fsync(fd) != 0) {
			result = -1;
		}
	}
	if (result == 0 && purging->gone > before) {
		result = purging->kept > 0
			? renameat(folder, "purge.tmp", folder, name)
			: unlinkat(folder, name, 0);
	}
	const int cause = errno;
	if (purging->out != NULL) {
		fclose(purging->out);
	} else if (fd >= 0) {
		close(fd);
	}
	if (in != NULL) {
		fclose(in);
	}
	unlinkat(folder, "purge.tmp", 0);
	errno = cause;
	return result;
}

static size_t size_of(int folder, const char *name)
{
	struct stat st;

	return fstatat(folder, name, &st, 0) == 0 ? (size_t)st.st_size : 0;
}

int64_t deadletter_folder_purge(int folder, const char *path, int64_t now,
                                size_t *bytes, struct bursar_error *err)
{
	struct purging purging = { .replayed = read_replayed(folder),
	                           .now = now };
	struct names names = { 0 };
	int result = purging.replayed != NULL ? list_days(folder, &names) : -1;

	*bytes = 0;
	for (size_t i = 0; result == 0 && i < names.count; i++) {
		result = purge_file(folder, names.items[i], &purging);
		*bytes += size_of(folder, names.items[i]);
	}
	if (result == 0 && purging.gone > 0) {
		result = fsync(folder);
	}
	if (result != 0) {
		bursar_fail(err, errno != 0 ? errno : EIO, "%s: %s", path,
		            strerror(errno));
	}
	names_finish(&names);
	json_decref(purging.replayed);
	return result == 0 ? purging.gone : -1;
}
