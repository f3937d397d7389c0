/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/regular.h"

/* No open(), read() or write() of a file fails with this one. */
#define NOT_REGULAR EMEDIUMTYPE

static void close_quietly(int fd)
{
	const int cause = errno;

	close(fd);
	errno = cause;
}

/* For a thing that is none: the reason in errno. */
static int refuse(const struct stat *st)
{
	errno = S_ISDIR(st->st_mode) ? EISDIR : NOT_REGULAR;
	return -1;
}

int regular_open(int folder, const char *name, int flags)
{
	struct stat st;

	assert(name != NULL);

	const int fd = openat(folder, name, flags | O_CLOEXEC | O_NONBLOCK |
	                      O_NOCTTY, 0600);
	if (fd < 0) {
		/* A fifo without reader, a socket. */
		errno = errno == ENXIO ? NOT_REGULAR : errno;
		return -1;
	}
	if (fstat(fd, &st) != 0 ||
	    (!S_ISREG(st.st_mode) && refuse(&st) != 0)) {
		close_quietly(fd);
		return -1;
	}
	return fd;
}

static FILE *stream_of(int fd)
{
	FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;

	if (file == NULL && fd >= 0) {
		close_quietly(fd);
	}
	return file;
}

FILE *regular_read(int folder, const char *name)
{
	return stream_of(regular_open(folder, name, O_RDONLY));
}

/* Only reading tells whether a pipe has somebody at its other end. */
static int look_into_pipe(FILE *file)
{
	const int flags = fcntl(fileno(file), F_GETFL);
	const int first = fgetc(file);

	if (first == EOF && !ferror(file)) {
		errno = EPIPE;
		return -1;
	}
	if (first == EOF && errno != EAGAIN) {
		return -1;
	}
	clearerr(file);
	if (first != EOF) {
		ungetc(first, file);
	}
	return flags < 0 ? -1
	       : fcntl(fileno(file), F_SETFL, flags & ~O_NONBLOCK);
}

FILE *input_open(const char *path)
{
	struct stat st;

	assert(path != NULL);

	FILE *file = stream_of(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK |
	                                  O_NOCTTY));
	if (file == NULL) {
		errno = errno == ENXIO ? NOT_REGULAR : errno;
		return NULL;
	}
	int result = fstat(fileno(file), &st);
	if (result == 0 && S_ISFIFO(st.st_mode)) {
		result = look_into_pipe(file);
	} else if (result == 0 && S_ISCHR(st.st_mode)) {
		result = fcntl(fileno(file), F_SETFL, 0);
	} else if (result == 0 && !S_ISREG(st.st_mode)) {
		result = refuse(&st);
	}
	if (result != 0) {
		const int cause = errno;

		fclose(file);
		errno = cause;
		return NULL;
	}
	return file;
}

char *input_text(const char *path, size_t most, size_t *size,
                 struct bursar_error *err)
{
	FILE *file = input_open(path);
	char *text = file != NULL ? malloc(most + 2) : NULL;

	if (text == NULL) {
		bursar_fail(err, errno, "%s", regular_why(errno));
		goto out;
	}
	*size = fread(text, 1, most + 1, file);
	if (ferror(file)) {
		bursar_fail(err, errno, "%s", strerror(errno));
	} else if (*size > most) {
		bursar_fail(err, EFBIG, "longer than %zu MB", most >> 20);
	} else {
		text[*size] = '\0';
		goto out;
	}
	free(text);
	text = NULL;
out:
	if (file != NULL) {
		fclose(file);
	}
	return text;
}

int regular_check(const char *path)
{
	struct stat st;

	assert(path != NULL);

	if (stat(path, &st) != 0) {
		return 0;
	}
	return S_ISREG(st.st_mode) ? 0 : refuse(&st);
}

const char *regular_why(int cause)
{
	switch (cause) {
	case NOT_REGULAR:
		return "it is not a regular file";
	case EISDIR:
		return "it is a folder, not a regular file";
	case EPIPE:
		return "it is a pipe to which nobody writes, not a regular "
			"file";
	default:
		return strerror(cause);
	}
}
