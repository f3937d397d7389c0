/* SPDX-License-Identifier: Apache-2.0 */

/*
 * file_state.c - how far each file is settled, on disk
 *
 *	bursar offsets 2
 *	floor 0
 *	DEVICE INODE HEAD GENERATION OFFSET LINES CUT PACKED SEEN BORN SAMPLED \
 *		SAMPLE PATH
 *	...
 *	end
 *
 * Version 1 had nothing between SEEN and PATH.
 *
 * The last line tells a whole file from one that was cut off by hand or by a
 * file system that lost its end.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file_state.h"

#include "common/regular.h"

#define VERSION_LINE "bursar offsets 2"
#define FIRST_LINE   "bursar offsets 1"
#define VERSION_WORD "bursar offsets "
#define FLOOR_WORD   "floor "
#define NUMBERS      12	/* of an entry ... */
#define FIRST_NUMBERS 9	/* ... and of one of version 1 */
#define HEAD_AT      2	/* these two are hexadecimal */
#define SAMPLE_AT    11

/* What to do about a damaged file. */
#define ADVICE "restore it, or remove it: then files are read again from " \
	"their beginning, and lines without ids may be stored again"

/* More than ever stand there; a bound for what a damaged file can ask for. */
#define MAX_ENTRIES  1000000u

static int path_of(char *path, size_t size, const char *dir, const char *name,
                   struct bursar_error *err)
{
	const int n = snprintf(path, size, "%s/%s", dir, name);

	if (n < 0 || (size_t)n >= size) {
		return bursar_fail(err, ENAMETOOLONG, "%s: name too long", dir);
	}
	return 0;
}

/* --- reading -------------------------------------------------------------- */

/* Fills *entry, its path included; false also when memory is short. */
static bool parse_entry(const char *line, size_t count,
                        struct file_entry *entry)
{
	uint64_t numbers[NUMBERS] = { 0 };

	for (size_t i = 0; i < count; i++) {
		char *end;

		/* strtoull() would take white space and signs. */
		if (strchr("0123456789abcdef", *line) == NULL) {
			return false;
		}
		errno = 0;
		numbers[i] = strtoull(line, &end, i == HEAD_AT ||
		                      i == SAMPLE_AT ? 16 : 10);
		if (errno != 0 || end == line || *end != ' ') {
			return false;
		}
		line = end + 1;
	}
	*entry = (struct file_entry){
		.device = numbers[0],
		.inode = numbers[1],
		.head = numbers[HEAD_AT],
		.generation = numbers[3],
		.offset = numbers[4],
		.lines = numbers[5],
		.cut = numbers[6],
		.packed = numbers[7],
		.seen = (int64_t)numbers[8],
		.born = numbers[9],
		.sampled = numbers[10],
		.sample = numbers[SAMPLE_AT],
	};
	if (entry->offset > INT64_MAX || entry->cut > entry->offset ||
	    entry->sampled > FILE_STATE_SAMPLE) {
		return false;
	}
	entry->path = strdup(line);
	return entry->path != NULL;
}

/* Of a line of so many numbers. */
static int keep(struct file_state *state, size_t *room, const char *line,
                size_t numbers)
{
	if (state->count == *room) {
		const size_t more = *room == 0 ? 64 : *room * 2;
		struct file_entry *entries =
			reallocarray(state->entries, more, sizeof(*entries));

		if (entries == NULL) {
			return -1;
		}
		state->entries = entries;
		*room = more;
	}
	if (state->count >= MAX_ENTRIES ||
	    !parse_entry(line, numbers, &state->entries[state->count])) {
		return -1;
	}
	state->count++;
	return 0;
}

/* How many numbers an entry has. */
static int parse_version(const char *line, const char *path, size_t *numbers,
                         struct bursar_error *err)
{
	*numbers = strcmp(line, FIRST_LINE) == 0 ? FIRST_NUMBERS : NUMBERS;
	if (*numbers == FIRST_NUMBERS || strcmp(line, VERSION_LINE) == 0) {
		return 0;
	}
	if (strncmp(line, VERSION_WORD, strlen(VERSION_WORD)) == 0) {
		return bursar_fail(err, EPROTO,
			"%s: written by another version of bursar", path);
	}
	return bursar_fail(err, EBADMSG, "%s: not a file of offsets; " ADVICE,
	                   path);
}

static bool parse_floor(const char *line, uint64_t *floor)
{
	char *end;

	if (strncmp(line, FLOOR_WORD, strlen(FLOOR_WORD)) != 0) {
		return false;
	}
	line += strlen(FLOOR_WORD);
	*floor = strtoull(line, &end, 10);
	return end != line && *end == '\0';
}

/* The next line without its newline; false at the end of the file. */
static bool next_line(FILE *file, char **line, size_t *room)
{
	const ssize_t size = getline(line, room, file);

	if (size <= 0) {
		return false;
	}
	if ((*line)[size - 1] == '\n') {
		(*line)[size - 1] = '\0';
	}
	return true;
}

static int parse(FILE *file, const char *path, struct file_state *state,
                 struct bursar_error *err)
{
	char *line = NULL;
	size_t line_room = 0, room = 0, numbers = NUMBERS;
	int status = 0;
	bool ended = false;

	for (unsigned number = 1; status == 0 && !ended; number++) {
		if (!next_line(file, &line, &line_room)) {
			status = bursar_fail(err, EBADMSG,
				"%s: cut off before line %u; " ADVICE, path,
				number);
		} else if (number == 1) {
			status = parse_version(line, path, &numbers, err);
		} else if (number > 2 && strcmp(line, "end") == 0) {
			ended = true;
		} else if (number == 2 ? !parse_floor(line, &state->floor) :
		           keep(state, &room, line, numbers) != 0) {
			status = bursar_fail(err, EBADMSG,
				"%s: line %u is damaged; " ADVICE, path,
				number);
		}
	}
	free(line);
	return status;
}

int file_state_load(const char *dir, struct file_state *state,
                    struct bursar_error *err)
{
	char path[PATH_MAX];

	memset(state, 0, sizeof(*state));
	if (path_of(path, sizeof(path), dir, "offsets", err) != 0) {
		return -1;
	}

	FILE *file = regular_read(AT_FDCWD, path);
	if (file == NULL) {
		return errno == ENOENT ? 0 : bursar_fail(err, errno,
			"%s: %s", path, regular_why(errno));
	}

	const int status = parse(file, path, state, err);
	fclose(file);
	if (status != 0) {
		file_state_finish(state);
	}
	return status;
}

void file_state_finish(struct file_state *state)
{
	for (size_t i = 0; i < state->count; i++) {
		free(state->entries[i].path);
	}
	free(state->entries);
	memset(state, 0, sizeof(*state));
}

/* --- writing -------------------------------------------------------------- */

static void write_path(FILE *file, const char *path)
{
	for (; *path != '\0'; path++) {
		const unsigned char c = (unsigned char)*path;

		fputc(c < ' ' || c == 0x7f ? '?' : c, file);
	}
}

static void write_all(FILE *file, const struct file_state *state)
{
	fprintf(file, "%s\nfloor %" PRIu64 "\n", VERSION_LINE, state->floor);
	for (size_t i = 0; i < state->count; i++) {
		const struct file_entry *e = &state->entries[i];

		fprintf(file, "%" PRIu64 " %" PRIu64 " %016" PRIx64 " %" PRIu64
		        " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
		        " %" PRId64 " %" PRIu64 " %" PRIu64 " %016" PRIx64 " ",
		        e->device, e->inode, e->head, e->generation, e->offset,
		        e->lines, e->cut, e->packed, e->seen, e->born,
		        e->sampled, e->sample);
		write_path(file, e->path != NULL ? e->path : "-");
		fputc('\n', file);
	}
	fputs("end\n", file);
}

static int write_file(const char *path, const struct file_state *state,
                      struct bursar_error *err)
{
	const int fd = regular_open(AT_FDCWD, path,
	                            O_WRONLY | O_CREAT | O_TRUNC);
	if (fd < 0) {
		return bursar_fail(err, errno, "%s: %s", path,
		                   regular_why(errno));
	}

	FILE *file = fdopen(fd, "w");
	if (file == NULL) {
		bursar_fail(err, errno, "%s: %s", path, strerror(errno));
		close(fd);
		return -1;
	}

	write_all(file, state);
	int status = 0;
	if (fflush(file) != 0 || fsync(fd) != 0) {
		status = bursar_fail(err, errno, "%s: %s", path,
		                     strerror(errno));
	}
	if (fclose(file) != 0 && status == 0) {
		status = bursar_fail(err, errno, "%s: %s", path,
		                     strerror(errno));
	}
	return status;
}

static int sync_dir(const char *dir, struct bursar_error *err)
{
	const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int status = 0;

	if (fd < 0 || fsync(fd) != 0) {
		status = bursar_fail(err, errno, "%s: %s", dir,
		                     strerror(errno));
	}
	if (fd >= 0) {
		close(fd);
	}
	return status;
}

int file_state_save(const char *dir, const struct file_state *state,
                    struct bursar_error *err)
{
	char path[PATH_MAX];
	char fresh[PATH_MAX];

	if (path_of(path, sizeof(path), dir, "offsets", err) != 0 ||
	    path_of(fresh, sizeof(fresh), dir, "offsets.new", err) != 0) {
		return -1;
	}
	if (write_file(fresh, state, err) != 0) {
		unlink(fresh);
		return -1;
	}
	if (rename(fresh, path) != 0) {
		bursar_fail(err, errno, "%s: %s", path, strerror(errno));
		unlink(fresh);
		return -1;
	}
	return sync_dir(dir, err);
}
