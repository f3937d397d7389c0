/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A socket's path has room for about a hundred bytes, a folder's for 4096: what
 * is longer is reached through a descriptor of the folder.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/status.h"
#include "plugin/instance.h"

#define ANSWER_MAX (4u << 20)
#define ASK_MS     INT64_C(5000)

/* Where the socket is; folder is to be closed if it is not -1. */
struct place {
	struct sockaddr_un at;
	int                folder;
};

static int failed(const char *state_dir, struct bursar_error *err)
{
	return bursar_fail(err, errno, "%s/status: %s", state_dir,
	                   strerror(errno));
}

static int find_place(const char *state_dir, struct place *place,
                      struct bursar_error *err)
{
	struct sockaddr_un *at = &place->at;

	*at = (struct sockaddr_un){ .sun_family = AF_UNIX };
	place->folder = -1;
	if (strlen(state_dir) + strlen("/status") < sizeof(at->sun_path)) {
		snprintf(at->sun_path, sizeof(at->sun_path), "%s/status",
		         state_dir);
		return 0;
	}
	place->folder = open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (place->folder < 0) {
		return failed(state_dir, err);
	}
	snprintf(at->sun_path, sizeof(at->sun_path), "/proc/self/fd/%d/status",
	         place->folder);
	return 0;
}

static void leave_place(struct place *place)
{
	if (place->folder >= 0) {
		close(place->folder);
	}
}

int status_listen(const char *state_dir, struct bursar_error *err)
{
	struct place place;

	if (find_place(state_dir, &place, err) != 0) {
		return -1;
	}
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		bursar_fail(err, errno, "socket: %s", strerror(errno));
		goto out;
	}
	const bool gone = unlink(place.at.sun_path) == 0 || errno == ENOENT;
	const mode_t before = umask(0177);
	const int bound = !gone ? -1 : bind(fd, (struct sockaddr *)&place.at,
	                                    sizeof(place.at));
	umask(before);
	if (bound != 0 || listen(fd, 16) != 0) {
		failed(state_dir, err);
		close(fd);
		fd = -1;
	}

out:
	leave_place(&place);
	return fd;
}

/* Whether the descriptor is ready before the deadline. */
static bool wait_for(int fd, short events, int64_t deadline)
{
	struct pollfd entry = { .fd = fd, .events = events };
	int64_t left;

	do {
		left = (deadline - clock_mono_us() + 999) / 1000;
		if (left <= 0) {
			return false;
		}
	} while (poll(&entry, 1, (int)left) < 0 && errno == EINTR);
	return entry.revents != 0;
}

/* Who does not read gets no answer. */
static void send_all(int fd, const char *text)
{
	const int64_t deadline = clock_mono_us() + STATUS_PATIENCE_MS * 1000;
	size_t left = strlen(text);

	while (left > 0) {
		const ssize_t n = send(fd, text, left,
		                       MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0) {
			text += n;
			left -= (size_t)n;
		} else if (errno != EINTR && (errno != EAGAIN ||
		           !wait_for(fd, POLLOUT, deadline))) {
			return;
		}
	}
}

void status_answer(int listener, json_t *state)
{
	const int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	char *text = fd >= 0 && state != NULL ? json_dumps(state, JSON_COMPACT)
	                                      : NULL;

	if (text != NULL) {
		send_all(fd, text);
	}
	free(text);
	if (fd >= 0) {
		close(fd);
	}
	json_decref(state);
}

static int connect_to(const char *state_dir, struct bursar_error *err)
{
	struct place place;

	if (find_place(state_dir, &place, err) != 0) {
		return -1;
	}
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		bursar_fail(err, errno, "socket: %s", strerror(errno));
	} else if (connect(fd, (struct sockaddr *)&place.at,
	                   sizeof(place.at)) != 0) {
		failed(state_dir, err);
		close(fd);
		fd = -1;
	}
	leave_place(&place);
	return fd;
}

/* All that the daemon says; the caller's, *size bytes.  NULL: it is too much,
 * or it takes too long. */
static char *read_all(int fd, size_t *size)
{
	const int64_t deadline = clock_mono_us() + ASK_MS * 1000;
	char *text = malloc(ANSWER_MAX);
	ssize_t n = -1;

	*size = 0;
	while (text != NULL && *size < ANSWER_MAX &&
	       wait_for(fd, POLLIN, deadline)) {
		n = read(fd, text + *size, ANSWER_MAX - *size);
		if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) {
			break;
		}
		*size += n > 0 ? (size_t)n : 0;
	}
	if (n != 0) {
		free(text);
		text = NULL;
	}
	return text;
}

json_t *status_ask(const char *state_dir, struct bursar_error *err)
{
	const int fd = connect_to(state_dir, err);
	size_t size;

	if (fd < 0) {
		return NULL;
	}
	char *text = read_all(fd, &size);
	json_t *state = text != NULL ? json_loadb(text, size, 0, NULL) : NULL;
	if (state == NULL) {
		bursar_fail(err, EPROTO, "%s/status: the daemon did not answer",
		            state_dir);
	}
	free(text);
	close(fd);
	return state;
}
