/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "status.h"

#define ANSWER_MAX (4u << 20)

/* A daemon waits for no client longer, and no client for a daemon. */
static const struct timeval patience = { .tv_sec = 5 };

static int address(const char *state_dir, struct sockaddr_un *out,
                   struct bursar_error *err)
{
	*out = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if ((size_t)snprintf(out->sun_path, sizeof(out->sun_path), "%s/status",
	                     state_dir) >= sizeof(out->sun_path)) {
		return bursar_fail(err, ENAMETOOLONG,
		                   "state-dir %s: too long for a socket in it",
		                   state_dir);
	}
	return 0;
}

int status_listen(const char *state_dir, struct bursar_error *err)
{
	struct sockaddr_un at;

	if (address(state_dir, &at, err) != 0) {
		return -1;
	}
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC |
	                      SOCK_NONBLOCK, 0);
	if (fd < 0) {
		return bursar_fail(err, errno, "socket: %s", strerror(errno));
	}
	unlink(at.sun_path);
	const mode_t before = umask(0177);
	const int bound = bind(fd, (struct sockaddr *)&at, sizeof(at));
	umask(before);
	if (bound != 0 || listen(fd, 16) != 0) {
		bursar_fail(err, errno, "%s: %s", at.sun_path, strerror(errno));
		close(fd);
		return -1;
	}
	return fd;
}

void status_answer(int listener, json_t *state)
{
	const int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience,
		           sizeof(patience));
		/* Who does not read gets no answer. */
		if (state != NULL) {
			json_dumpfd(state, fd, JSON_COMPACT);
		}
		close(fd);
	}
	json_decref(state);
}

json_t *status_ask(const char *state_dir, struct bursar_error *err)
{
	struct sockaddr_un at;
	json_error_t why;

	if (address(state_dir, &at, err) != 0) {
		return NULL;
	}
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		bursar_fail(err, errno, "socket: %s", strerror(errno));
		return NULL;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&at, sizeof(at)) != 0) {
		bursar_fail(err, errno, "%s: %s", at.sun_path, strerror(errno));
		close(fd);
		return NULL;
	}
	json_t *state = json_loadfd(fd, 0, &why);
	if (state == NULL) {
		bursar_fail(err, EPROTO, "%s: the daemon did not answer",
		            at.sun_path);
	}
	close(fd);
	return state;
}
