/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The lock is of the open file, so that neither a child nor a second open of
 * the same process loses it.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/regular.h"
#include "daemon/statedir.h"

/* Makes one folder if it is not there, durable in the one above it. */
static int make_one(const char *path, mode_t mode, struct bursar_error *err)
{
	if (mkdir(path, mode) != 0) {
		return errno == EEXIST ? 0 :
			bursar_fail(err, errno, "state-dir: %s: %s", path,
			            strerror(errno));
	}
	char *copy = strdup(path);
	if (copy == NULL) {
		return bursar_fail(err, ENOMEM, "out of memory");
	}
	const int above = open(dirname(copy),
	                       O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* What may be used but not read is no matter: it is there. */
	if (above >= 0) {
		fsync(above);
		close(above);
	}
	free(copy);
	return 0;
}

/* As mkdir -p; folders above get the usual mode. */
static int make(const char *path, struct bursar_error *err)
{
	char *copy = strdup(path);
	int result = 0;

	if (copy == NULL) {
		return bursar_fail(err, ENOMEM, "out of memory");
	}
	for (char *at = strchr(copy + 1, '/'); result == 0 && at != NULL;
	     at = strchr(at + 1, '/')) {
		*at = '\0';
		result = make_one(copy, 0755, err);
		*at = '/';
	}
	free(copy);
	return result == 0 ? make_one(path, 0700, err) : -1;
}

/* Positions, keys and letters of others must not come in. */
static int check(const char *path, struct bursar_error *err)
{
	struct stat st;

	if (stat(path, &st) != 0) {
		return bursar_fail(err, errno, "state-dir: %s: %s", path,
		                   strerror(errno));
	}
	if (!S_ISDIR(st.st_mode)) {
		return bursar_fail(err, ENOTDIR, "state-dir %s: no folder",
		                   path);
	}
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
		return bursar_fail(err, EPERM, "state-dir %s: others can write"
		                   " to it (mode %04o): chmod go-w it, or name"
		                   " another", path,
		                   (unsigned)(st.st_mode & 07777));
	}
	return 0;
}

/* The process that holds the lock wrote its number there. */
static int held_by_other(int fd, const char *path, struct bursar_error *err)
{
	char pid[16] = "";

	if (pread(fd, pid, sizeof(pid) - 1, 0) < 0) {
		pid[0] = '\0';
	}
	pid[strcspn(pid, "\n")] = '\0';
	return bursar_fail(err, EBUSY, "state-dir %s: in use by another bursard"
	                   " (process %s); give each daemon a state-dir of its"
	                   " own", path, pid[0] != '\0' ? pid : "unknown");
}

int statedir_lock(const char *path, struct bursar_error *err)
{
	char *name = NULL;
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (make(path, err) != 0 || check(path, err) != 0) {
		return -1;
	}
	if (asprintf(&name, "%s/lock", path) < 0) {
		return bursar_fail(err, ENOMEM, "out of memory");
	}
	const int fd = regular_open(AT_FDCWD, name, O_RDWR | O_CREAT);
	if (fd < 0) {
		bursar_fail(err, errno, "%s: %s%s", name, regular_why(errno),
		            errno == EACCES ? "; give the folder to the user "
		            "that runs this (chown), or run it as its user"
		            : "");
		free(name);
		return -1;
	}
	free(name);

	if (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
		if (errno == EAGAIN || errno == EACCES) {
			held_by_other(fd, path, err);
		} else {
			bursar_fail(err, errno, "%s/lock: %s", path,
			            strerror(errno));
		}
		close(fd);
		return -1;
	}
	if (ftruncate(fd, 0) != 0 || dprintf(fd, "%d\n", (int)getpid()) < 0) {
		bursar_fail(err, errno, "%s/lock: %s", path, strerror(errno));
		close(fd);
		return -1;
	}
	return fd;
}
