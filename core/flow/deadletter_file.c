/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The folder of letters.  Files are read line by line, so that a folder may be
 * far larger than memory.  Whoever adds to `replayed`, or takes out of it,
 * holds a lock on the folder.
 */
#include "config.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/regular.h"
#include "common/rfc3339.h"
#include "flow/deadletter_file.h"

#define LINE_MAX_BYTES (256u << 20)
#define REPLAYED       "replayed"
#define NEW_FILE       "purge.tmp"
#define DAY_US         INT64_C(86400000000)

/* --- files --------------------------------------------------------------- */

/* YYYY-MM-DD.jsonl, and its day. */
static bool is_day(const char *name, int64_t *us)
{
	char text[] = "YYYY-MM-DDT00:00:00Z";

	if (strlen(name) != strlen("2026-11-20.jsonl") ||
	    strspn(name, "0123456789-") != 10 ||
	    strcmp(name + 10, ".jsonl") != 0) {
		return false;
	}
	memcpy(text, name, 10);
	return rfc3339_parse(text, strlen(text), us);
}

/* A listing of an open folder from its start; NULL with errno set. */
static DIR *list_folder(int folder)
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

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool add_day(struct deadletter_days *days, const char *name)
{
	char **more = realloc(days->names, (days->count + 1) * sizeof(*more));
	if (more == NULL) {
		return false;
	}
	days->names = more;
	more[days->count] = strdup(name);
	if (more[days->count] == NULL) {
		return false;
	}
	days->count++;
	return true;
}

int deadletter_days_list(int folder, struct deadletter_days *days)
{
	DIR *dir = list_folder(folder);
	const struct dirent *entry;
	int64_t us;
	bool all = true;

	*days = (struct deadletter_days){ NULL, 0 };
	if (dir == NULL) {
		return -1;
	}
	while (all && (entry = readdir(dir)) != NULL) {
		all = !is_day(entry->d_name, &us) ||
		      add_day(days, entry->d_name);
	}
	closedir(dir);
	if (!all) {
		errno = ENOMEM;
		return -1;
	}
	if (days->count > 0) {
		qsort(days->names, days->count, sizeof(*days->names), by_name);
	}
	return 0;
}

void deadletter_days_finish(struct deadletter_days *days)
{
	for (size_t i = 0; i < days->count; i++) {
		free(days->names[i]);
	}
	free(days->names);
}

/* What is done with one line; non-zero stops. */
typedef int line_fn(void *context, const char *line, size_t size);

/*
 * Goes through a file; what each() says, or -1 with errno set.  Empty lines
 * are passed over, and so is an end without newline that is no letter: it is
 * being written, or a crash cut it.
 */
static int each_line(FILE *file, line_fn *each, void *context)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t size;
	int result = 0;

	errno = 0;
	while (result == 0 && (size = getline(&line, &room, file)) > 0) {
		const bool whole = line[size - 1] == '\n';
		json_t *letter = whole ? NULL
		                       : deadletter_parse(line, (size_t)size);

		if (whole ? size > 1 : letter != NULL) {
			result = each(context, line, (size_t)size);
		}
		json_decref(letter);
	}
	/* An error must not be taken for the end of the file. */
	if (result == 0 && !feof(file)) {
		errno = errno != 0 ? errno : EIO;
		result = -1;
	}
	free(line);
	return result;
}

/* --- after a crash ------------------------------------------------------- */

/* Where the last line begins, and *size of the file. */
static off_t last_line(int fd, off_t *size)
{
	char part[4096];
	off_t at = lseek(fd, 0, SEEK_END);

	*size = at;
	while (at > 0) {
		const size_t want = at < (off_t)sizeof(part)
			? (size_t)at : sizeof(part);
		const ssize_t n = pread(fd, part, want, at - (off_t)want);

		if (n != (ssize_t)want) {
			return -1;
		}
		const char *newline = memrchr(part, '\n', want);
		if (newline != NULL) {
			return at - (off_t)want + (newline - part) + 1;
		}
		at -= (off_t)want;
	}
	return at;
}

/* Whether the end of the file is a letter that lacks nothing but newline. */
static bool is_letter(int fd, off_t at, size_t size)
{
	char *line = size <= LINE_MAX_BYTES ? malloc(size) : NULL;
	json_t *letter = NULL;

	if (line != NULL && pread(fd, line, size, at) == (ssize_t)size) {
		letter = deadletter_parse(line, size);
	}
	free(line);
	json_decref(letter);
	return letter != NULL;
}

int deadletter_file_mend(int folder, const char *name)
{
	const int fd = regular_open(folder, name, O_RDWR);
	off_t size;
	int result = 0;

	if (fd < 0) {
		return -1;
	}
	const off_t at = last_line(fd, &size);
	if (at < 0) {
		result = -1;
	} else if (at < size) {
		if (is_letter(fd, at, (size_t)(size - at))) {
			result = pwrite(fd, "\n", 1, size) == 1 ? 0 : -1;
		} else {
			result = ftruncate(fd, at);
		}
		if (result == 0) {
			result = fsync(fd);
		}
	}
	const int cause = errno;
	close(fd);
	errno = cause;
	return result;
}

/* --- which were replayed ------------------------------------------------- */

static int load_line(void *context, const char *line, size_t size)
{
	char id[DEADLETTER_ID_SIZE];

	if (size != DEADLETTER_ID_SIZE || line[size - 1] != '\n') {
		return 0;
	}
	memcpy(id, line, size - 1);
	id[size - 1] = '\0';
	if (strspn(id, "0123456789abcdef") != size - 1) {
		return 0;
	}
	if (json_object_set_new_nocheck(context, id, json_true()) != 0) {
		errno = ENOMEM;
		return -1;
	}
	return 0;
}

json_t *deadletter_replayed_load(int folder)
{
	json_t *ids = json_object();
	FILE *file = regular_read(folder, REPLAYED);

	if (file == NULL) {
		if (ids != NULL && errno == ENOENT) {
			return ids;
		}
		json_decref(ids);
		return NULL;
	}
	if (ids == NULL || each_line(file, load_line, ids) != 0) {
		const int cause = ids != NULL ? errno : ENOMEM;

		json_decref(ids);
		ids = NULL;
		errno = cause;
	}
	fclose(file);
	return ids;
}

/* Appends ids, each a line; a line that a crash cut is ended before. */
static int append_ids(int fd, const char *const *ids, size_t count)
{
	const off_t end = lseek(fd, 0, SEEK_END);
	char last = '\n';
	FILE *file;

	if (end < 0 || (end > 0 && pread(fd, &last, 1, end - 1) != 1)) {
		return -1;
	}
	const int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	file = copy >= 0 ? fdopen(copy, "a") : NULL;
	if (file == NULL) {
		if (copy >= 0) {
			close(copy);
		}
		return -1;
	}
	if (last != '\n') {
		fputc('\n', file);
	}
	for (size_t i = 0; i < count; i++) {
		fprintf(file, "%s\n", ids[i]);
	}
	const bool written = fflush(file) == 0 && !ferror(file) &&
		fsync(fd) == 0;
	const int cause = errno;
	fclose(file);
	errno = cause;
	return written ? 0 : -1;
}

/* Writes the ids that are in `all` and not in `but`. */
static int write_ids(int fd, const json_t *all, const json_t *but)
{
	const char *id;
	json_t *value;
	FILE *file = fdopen(fd, "w");

	if (file == NULL) {
		close(fd);
		return -1;
	}
	json_object_foreach((json_t *)all, id, value) {
		if (json_object_get(but, id) == NULL) {
			fprintf(file, "%s\n", id);
		}
	}
	const bool written = fflush(file) == 0 && !ferror(file) &&
		fsync(fd) == 0;
	const int cause = errno;
	fclose(file);
	errno = cause;
	return written ? 0 : -1;
}

int deadletter_replayed_forget(int folder, const json_t *ids)
{
	int result = -1;

	if (flock(folder, LOCK_EX) != 0) {
		return -1;
	}
	json_t *all = deadletter_replayed_load(folder);
	const int fd = all == NULL ? -1 :
		regular_open(folder, NEW_FILE, O_WRONLY | O_CREAT | O_TRUNC);
	if (fd >= 0 && write_ids(fd, all, ids) == 0 &&
	    renameat(folder, NEW_FILE, folder, REPLAYED) == 0) {
		result = fsync(folder);
	}
	const int cause = errno;
	json_decref(all);
	unlinkat(folder, NEW_FILE, 0);
	flock(folder, LOCK_UN);
	errno = cause;
	return result;
}

/* --- reading ------------------------------------------------------------- */

struct reading {
	json_t        *done;		/* ids not to show (again) */
	deadletter_fn *each;
	void          *context;
	struct deadletter_broken *broken;
	const char    *name;		/* of the file at hand */
};

static int read_line(void *context, const char *line, size_t size)
{
	struct reading *reading = context;
	json_t *letter = size > LINE_MAX_BYTES ? NULL
	                                       : deadletter_parse(line, size);
	int result = 0;

	if (letter == NULL) {
		if (reading->broken->count++ == 0) {
			snprintf(reading->broken->file,
			         sizeof(reading->broken->file), "%s",
			         reading->name);
		}
		return 0;
	}
	const char *id = json_string_value(json_object_get(letter, "id"));
	if (json_object_get(reading->done, id) == NULL) {
		json_object_set_new(reading->done, id, json_true());
		result = reading->each(reading->context, letter) != 0;
	}
	json_decref(letter);
	return result;
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

/* One file; one that was purged meanwhile is none. */
static int read_day(int folder, const char *path, const char *name,
                    struct reading *reading, struct bursar_error *err)
{
	FILE *file = regular_read(folder, name);
	int result = 0;

	reading->name = name;
	if (file != NULL) {
		result = each_line(file, read_line, reading);
	} else if (errno != ENOENT) {
		result = -1;
	}
	if (result < 0) {
		bursar_fail(err, errno, "%s/%s: %s", path, name,
		            regular_why(errno));
	}
	if (file != NULL) {
		fclose(file);
	}
	return result;
}

int deadletters_read(const char *state_dir, deadletter_fn *each, void *context,
                     struct deadletter_broken *broken,
                     struct bursar_error *err)
{
	struct bursar_error why = { 0 };
	struct deadletter_days days = { NULL, 0 };
	char *path;
	int result = 0;

	*broken = (struct deadletter_broken){ 0 };
	const int folder = open_folder(state_dir, &path, &why);
	if (folder < 0) {
		free(path);
		return why.code == ENOENT ? 0 :
			bursar_fail(err, why.code, "%s", why.text);
	}
	struct reading reading = { deadletter_replayed_load(folder), each,
	                           context, broken, NULL };
	if (reading.done == NULL) {
		result = bursar_fail(err, errno, "%s/" REPLAYED ": %s", path,
		                     regular_why(errno));
	} else if (deadletter_days_list(folder, &days) != 0) {
		result = bursar_fail(err, errno, "%s: %s", path,
		                     strerror(errno));
	}
	for (size_t i = 0; result == 0 && i < days.count; i++) {
		result = read_day(folder, path, days.names[i], &reading, err);
	}
	deadletter_days_finish(&days);
	json_decref(reading.done);
	close(folder);
	free(path);
	return result < 0 ? -1 : 0;
}

int deadletters_replayed(const char *state_dir, const char *const *ids,
                         size_t count, struct bursar_error *err)
{
	char *path;
	int fd = -1, result = -1;
	const int folder = open_folder(state_dir, &path, err);

	if (folder < 0) {
		free(path);
		return -1;
	}
	if (flock(folder, LOCK_EX) == 0) {
		fd = regular_open(folder, REPLAYED,
		                  O_RDWR | O_CREAT | O_APPEND);
	}
	if (fd >= 0 && append_ids(fd, ids, count) == 0) {
		result = fsync(folder);
	}
	if (result != 0) {
		bursar_fail(err, errno, "%s/" REPLAYED ": %s", path,
		            regular_why(errno));
	}
	if (fd >= 0) {
		close(fd);
	}
	close(folder);		/* and with it the lock */
	free(path);
	return result;
}

/* --- purging ------------------------------------------------------------- */

static bool has_expired(const json_t *letter, int64_t now)
{
	const char *when = json_string_value(json_object_get(letter, "expires"));
	int64_t us;

	return when != NULL && rfc3339_parse(when, strlen(when), &us) &&
	       us <= now;
}

struct purging {
	struct deadletter_purge *purge;
	int64_t day;
	FILE   *out;		/* NULL: only looking */
};

/* A line that cannot be read may be a letter that somebody can mend, and may
 * hold what must not stay for ever. */
static bool goes(const struct purging *purging, const char *line, size_t size)
{
	const struct deadletter_purge *purge = purging->purge;
	char known[DEADLETTER_ID_SIZE];
	int64_t expires;

	if (deadletter_peek(line, size, known, &expires)) {
		return expires <= purge->now ||
		       json_object_get(purge->replayed, known) != NULL;
	}
	json_t *letter = deadletter_parse(line, size);
	if (letter == NULL) {
		return purge->now - purging->day >=
		       DEAD_UNREADABLE_DAYS * DAY_US;
	}
	const char *id = json_string_value(json_object_get(letter, "id"));
	const bool result = has_expired(letter, purge->now) ||
		json_object_get(purge->replayed, id) != NULL;
	json_decref(letter);
	return result;
}

static int purge_line(void *context, const char *line, size_t size)
{
	struct purging *purging = context;

	if (goes(purging, line, size)) {
		purging->purge->gone++;
		return 0;
	}
	purging->purge->kept++;
	return purging->out == NULL ||
	       (fwrite(line, 1, size, purging->out) == size &&
	        (line[size - 1] == '\n' || fputc('\n', purging->out) != EOF))
	       ? 0 : -1;
}

static int go_through(int folder, const char *name,
                      struct deadletter_purge *purge, FILE *out)
{
	struct purging purging = { .purge = purge, .out = out };
	FILE *in = regular_read(folder, name);

	purge->gone = purge->kept = 0;
	if (in == NULL) {
		return -1;
	}
	const bool named = is_day(name, &purging.day);
	assert(named);
	(void)named;
	const int result = each_line(in, purge_line, &purging);
	const int cause = errno;
	fclose(in);
	errno = cause;
	return result;
}

int deadletter_file_look(int folder, const char *name,
                         struct deadletter_purge *purge)
{
	return go_through(folder, name, purge, NULL);
}

int deadletter_file_purge(int folder, const char *name,
                          struct deadletter_purge *purge)
{
	const int fd = regular_open(folder, NEW_FILE,
	                            O_WRONLY | O_CREAT | O_TRUNC);
	FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
	int result = -1;

	if (out != NULL && go_through(folder, name, purge, out) == 0 &&
	    fflush(out) == 0 && fsync(fd) == 0) {
		result = purge->kept > 0
			? renameat(folder, NEW_FILE, folder, name)
			: unlinkat(folder, name, 0);
	}
	const int cause = errno;
	if (out != NULL) {
		fclose(out);
	} else if (fd >= 0) {
		close(fd);
	}
	unlinkat(folder, NEW_FILE, 0);
	errno = cause;
	return result;
}
