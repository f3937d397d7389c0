/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/credential.h"
#include "common/http_files.h"
#include "common/regular.h"

#define MAX_FILE ((off_t)1 << 20)

static int64_t ns(struct timespec time)
{
	return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

bool http_look_at(const char *path, struct http_look *look)
{
	struct stat st;

	if (stat(path, &st) != 0) {
		return false;
	}
	*look = (struct http_look){
		st.st_dev, st.st_ino, (uint64_t)st.st_size, ns(st.st_ctim),
		ns(st.st_mtim),
	};
	return true;
}

bool http_look_same(const struct http_look *a, const struct http_look *b)
{
	return a->device == b->device && a->inode == b->inode &&
	       a->size == b->size && a->changed_ns == b->changed_ns &&
	       a->modified_ns == b->modified_ns;
}

static int check(const char *path, const struct stat *st, bool secret,
                 struct bursar_error *err)
{
	if (secret && (st->st_mode & credential_forbidden(path)) != 0) {
		return bursar_fail(err, EPERM, "%s: others can reach it: make "
		                   "it chmod 600", path);
	}
	if (st->st_size > MAX_FILE) {
		return bursar_fail(err, EFBIG, "%s: longer than %lld bytes",
		                   path, (long long)MAX_FILE);
	}
	return 0;
}

char *http_file_load(const char *path, bool secret, struct bursar_error *err)
{
	const int fd = regular_open(AT_FDCWD, path, O_RDONLY);
	char *text = NULL;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0) {
		goto fail;
	}
	if (check(path, &st, secret, err) != 0) {
		goto out;
	}
	text = calloc(1, (size_t)st.st_size + 1);
	if (text == NULL ||
	    read(fd, text, (size_t)st.st_size) != (ssize_t)st.st_size) {
		free(text);
		text = NULL;
		goto fail;
	}
out:
	if (fd >= 0) {
		close(fd);
	}
	return text;

fail:
	bursar_fail(err, errno != 0 ? errno : EIO, "%s: %s", path,
	            regular_why(errno != 0 ? errno : EIO));
	goto out;
}
