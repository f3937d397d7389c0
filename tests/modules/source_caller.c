/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A source with a peer: each line that a server of this machine says is a
 * message, and it says all of them to whoever comes.  How many are settled
 * stands in the state folder.  wrong_plugins.sh builds it, as it is and with a
 * line made wrong.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <bursar/source.h>

#define LIMIT_S 3		/* what no recv() here waits for */

struct bursar_source {
	uint16_t port;
	int      state;		/* file with the number settled */
	int      fd;		/* -1: not connected */
	uint64_t settled;
	uint64_t seen;		/* lines of this connection */
	char     text[1000];	/* read, and no line yet */
	size_t   size;
};

static const struct bursar_option options[] = {
	{ "port", BURSAR_TYPE_NUMBER, NULL, "Where the server is.",
	  .min = 1, .max = 65535 },
	{ NULL }
};

static struct bursar_source *caller_open(const struct bursar_host *host,
                                         struct bursar_error *err)
{
	struct bursar_source *source = calloc(1, sizeof(*source));
	char name[4096];

	if (source == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return NULL;
	}
	snprintf(name, sizeof(name), "%s/settled", host->state_dir);
	source->port = (uint16_t)host->number(host, "port");
	source->fd = -1;
	source->state = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (source->state >= 0 && pread(source->state, &source->settled, 8, 0)
	    >= 0) {
		return source;
	}
	bursar_fail(err, errno, "settled: %s", strerror(errno));
	free(source);
	return NULL;
}

static enum bursar_verdict hang_up(struct bursar_source *source, int code,
                                   struct bursar_error *err)
{
	bursar_fail(err, code, "the server: %s", strerror(code));
	close(source->fd);
	source->fd = -1;
	return BURSAR_DOWN;
}

static enum bursar_verdict call(struct bursar_source *source,
                                struct bursar_error *err)
{
	const struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(source->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const struct timeval limit = { .tv_sec = LIMIT_S };

	source->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(source->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	source->seen = source->size = 0;
	return connect(source->fd, (const struct sockaddr *)&address,
	               sizeof(address)) == 0 ? BURSAR_DONE :
	       hang_up(source, errno, err);
}

/* Adds the lines that are whole; false: there is no room for more. */
static bool add_lines(struct bursar_source *source, struct bursar_batch *batch)
{
	char *end;

	while ((end = memchr(source->text, '\n', source->size)) != NULL) {
		const struct bursar_message message = {
			.token = source->seen + 1,
			.body = { source->text, (size_t)(end - source->text) },
		};

		if (batch->room == 0) {
			return false;
		}
		if (source->seen >= source->settled &&
		    !batch->add(batch, &message)) {
			return false;
		}
		source->seen++;
		source->size -= message.body.size + 1;
		memmove(source->text, end + 1, source->size);
	}
	return true;
}

static int ms_until(int64_t deadline)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	const int64_t us = deadline - now.tv_sec * INT64_C(1000000) -
		now.tv_nsec / 1000;
	return us > 0 ? (int)(us / 1000) : 0;
}

static enum bursar_verdict caller_read(struct bursar_source *source,
                                       struct bursar_batch *batch, int wake,
                                       int64_t deadline,
                                       struct bursar_error *err)
{
	const size_t room = batch->room;

	if (source->fd < 0 && call(source, err) != BURSAR_DONE) {
		return BURSAR_DOWN;
	}
	while (add_lines(source, batch) && batch->room == room && room > 0) {
		struct pollfd fds[2] = {
			{ .fd = source->fd, .events = POLLIN },
			{ .fd = wake, .events = POLLIN },
		};

		if (poll(fds, 2, ms_until(deadline)) <= 0 ||
		    fds[0].revents == 0) {
			break;
		}
		const ssize_t got = recv(source->fd,
		                         source->text + source->size,
		                         sizeof(source->text) - source->size,
		                         MSG_DONTWAIT);
		if (got <= 0) {
			return hang_up(source, got < 0 ? errno : ECONNRESET,
			               err);
		}
		source->size += (size_t)got;
	}
	return BURSAR_DONE;
}

static enum bursar_verdict caller_settle(struct bursar_source *source,
                                         const struct bursar_settled *settled,
                                         size_t count,
                                         struct bursar_error *err)
{
	for (size_t i = 0; i < count; i++) {
		if (settled[i].outcome == BURSAR_RETURNED) {
			return hang_up(source, ECANCELED, err);
		}
		source->settled = settled[i].token;
	}
	return pwrite(source->state, &source->settled, 8, 0) == 8
	       ? BURSAR_DONE : BURSAR_RETRY;
}

static void caller_close(struct bursar_source *source)
{
	if (source != NULL) {
		close(source->fd);	/* or -1 */
		close(source->state);
	}
	free(source);
}

static const struct bursar_source_ops ops = {
	.open = caller_open, .read = caller_read, .settle = caller_settle,
	.close = caller_close,
};

BURSAR_PLUGIN_DEFINE(source_caller,
	.kind       = BURSAR_SOURCE,
	.name       = "caller",
	.summary    = "each line that a server says is a message",
	.options    = options,
	.ops.source = &ops);
