/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "statedir.h"

/* As mkdir -p; folders above get the usual mode. */
static int make(const char *path, struct bursar_error *err)
{
	char *copy = strdup(path);
	if (copy == NULL) {
		return bursar_fail(err, ENOMEM, "out of memory");
	}
	for (char *at = strchr(copy + 1, '/'); at != NULL;
	     at = strchr(at + 1, '/')) {
		*at = '\0';
		if (mkdir(copy, 0755) != 0 && errno != EEXIST) {
			bursar_fail(err, errno, "%s: %s", copy,
			            strerror(errno));
			free(copy);
			return -1;
		}
		*at = '/';
	}
	free(copy);
	if (mkdir(path, 0700) != 0 && errno != EEXIST) {
		return bursar_fail(err, errno, "state-dir %s: %s", path,
		                   strerror(errno));
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

	if (make(path, err) != 0) {
		return -1;
	}
	if (asprintf(&name, "%s/lock", path) < 0) {
		return bursar_fail(err, ENOMEM, "out of memory");
	}
	const int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		bursar_fail(err, errno, "%s: %s", name, strerror(errno));
		free(name);
		return -1;
	}
	free(name);

	/* Of the open file description: a child or a second open of the same
	 * process cannot lose it. */
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
