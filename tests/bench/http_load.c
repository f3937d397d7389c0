/* SPDX-License-Identifier: Apache-2.0 */

/*
 * http_load - many clients of an HTTP source in one process
 *
 *	http_load PORT FILE [--connections N] [--records N] [--hold]
 *	          [--patience SECONDS]
 *
 * Opens N connections (1) to 127.0.0.1, then sends the lines of FILE, each
 * once, as JSON lines, so many records (100) a request.  Every connection has
 * one request on its way and sends the next when it has the answer.  A request
 * that is answered 503, or not at all, is sent again, over a new connection
 * where that is needed.  What came back as a duplicate had been stored by a
 * try without an answer.
 *
 *	http_load connections=5000 requests=5000 records=5000 stored=5000
 *	          duplicate=0 again=0 seconds=1.20 per_s=4166 cpu_s=0.31
 *	          p50_ms=210.0 p99_ms=800.0 max_ms=1000.0
 *
 * (in one line) is the time from the first byte that is sent to the last
 * answer, and the CPU time of this process in it.  With --hold all connections
 * stay until standard input ends.  Exit status 1 with a sentence for any other
 * answer, or when it takes longer than patience (600); 2 for wrong arguments.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/monotonic.h"

#define ANSWER   2048		/* of an answer, all that is looked at */
#define EVENTS   256
#define PAUSE_US 5000		/* before a request is sent again */

struct client {
	int     fd;
	char    head[256];
	size_t  head_size;
	const char *body;
	size_t  body_size;
	size_t  records;	/* 0: nothing to do */
	size_t  sent;		/* of head and body */
	char    answer[ANSWER];
	size_t  got;		/* of the answer, kept or not */
	size_t  whole;		/* its size; 0: not known yet */
	int64_t begin;
	int64_t again_at;	/* 0: it is on its way */
};

static struct {
	uint16_t port;
	size_t   connections, records;
	bool     hold;
	int64_t  patience_us;
} o = { .connections = 1, .records = 100, .patience_us = 600000000 };

static struct client *clients;
static int epoll;
static const char *next_line, *end_of_lines;
static size_t busy;		/* clients with a request */
static size_t waiting;		/* of these, until again_at */
static double *latencies;
static size_t  latency_room;
static struct { size_t requests, records, stored, duplicate, again; } sums;

__attribute__((format(printf, 1, 2), noreturn))
static void fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("http_load: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

/* --- connections ---------------------------------------------------------- */

static bool dial(struct client *c)
{
	const struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_port = htons(o.port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const int on = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0) {
		fail("socket: %s", strerror(errno));
	}
	if (connect(c->fd, (const struct sockaddr *)&at, sizeof(at)) != 0) {
		close(c->fd);
		c->fd = -1;
		return false;
	}
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
	return epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event) == 0;
}

static void watch(struct client *c, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = c };

	epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &event);
}

/* --- requests ------------------------------------------------------------- */

static void send_again(struct client *c, bool with_connection)
{
	if (!with_connection && c->fd >= 0) {
		close(c->fd);
		c->fd = -1;
	}
	c->again_at = monotonic_us() + PAUSE_US;
	waiting++;
	sums.again++;
}

static void send_rest(struct client *c)
{
	const size_t all = c->head_size + c->body_size;

	while (c->sent < all) {
		const size_t into = c->sent < c->head_size
		                  ? 0 : c->sent - c->head_size;
		struct iovec parts[2] = {
			{ c->head + c->sent, 0 },
			{ NULL, c->body_size - into },
		};
		/* sendmsg() takes what it does not change as not const. */
		memcpy(&parts[1].iov_base, &(const char *){ c->body + into },
		       sizeof(c->body));
		if (c->sent < c->head_size) {
			parts[0].iov_len = c->head_size - c->sent;
		} else {
			parts[0].iov_base = c->head;
		}
		const struct msghdr message = {
			.msg_iov = parts, .msg_iovlen = 2,
		};
		const ssize_t size = sendmsg(c->fd, &message, MSG_NOSIGNAL);

		if (size < 0 && errno == EAGAIN) {
			watch(c, EPOLLIN | EPOLLOUT);
			return;
		}
		if (size <= 0) {
			send_again(c, false);
			return;
		}
		c->sent += (size_t)size;
	}
	watch(c, EPOLLIN);
}

static void send_request(struct client *c)
{
	c->sent = c->got = c->whole = 0;
	c->again_at = 0;
	if (c->fd < 0 && !dial(c)) {
		send_again(c, false);
		return;
	}
	send_rest(c);
}

/* Takes the next lines; false: there are none. */
static bool take_lines(struct client *c)
{
	c->body = next_line;
	c->records = 0;
	while (c->records < o.records && next_line < end_of_lines) {
		const char *newline = memchr(next_line, '\n',
			(size_t)(end_of_lines - next_line));

		next_line = newline != NULL ? newline + 1 : end_of_lines;
		c->records++;
	}
	c->body_size = (size_t)(next_line - c->body);
	if (c->records == 0) {
		return false;
	}
	c->head_size = (size_t)snprintf(c->head, sizeof(c->head),
		"POST /v1/records HTTP/1.1\r\nHost: 127.0.0.1\r\n"
		"Content-Type: application/x-ndjson\r\n"
		"Content-Length: %zu\r\n\r\n", c->body_size);
	return true;
}

static void begin_next(struct client *c)
{
	if (take_lines(c)) {
		busy++;
		c->begin = monotonic_us();
		send_request(c);
	}
}

/* --- answers -------------------------------------------------------------- */

static size_t number_behind(const char *text, const char *words)
{
	const char *at = strcasestr(text, words);

	return at != NULL ? strtoul(at + strlen(words), NULL, 10) : 0;
}

static void note_latency(const struct client *c)
{
	if (sums.requests == latency_room) {
		latency_room = latency_room > 0 ? 2 * latency_room : 4096;
		latencies = realloc(latencies,
		                    latency_room * sizeof(*latencies));
		if (latencies == NULL) {
			fail("out of memory");
		}
	}
	latencies[sums.requests++] = (double)(monotonic_us() - c->begin) / 1e3;
}

static void answered(struct client *c)
{
	const long status = strtol(c->answer + 9, NULL, 10);

	if (status == 503) {
		send_again(c, strcasestr(c->answer,
		                         "Connection: close") == NULL);
		return;
	}
	const size_t stored = number_behind(c->answer, "\"stored\":");
	const size_t duplicate = number_behind(c->answer, "\"duplicate\":");
	if (status != 200 || stored + duplicate != c->records) {
		fail("an answer says: %s", c->answer);
	}
	note_latency(c);
	sums.records += c->records;
	sums.stored += stored;
	sums.duplicate += duplicate;
	busy--;
	begin_next(c);
}

static void find_size(struct client *c)
{
	const char *end = strstr(c->answer, "\r\n\r\n");

	if (end != NULL) {
		c->whole = (size_t)(end + 4 - c->answer) +
			number_behind(c->answer, "Content-Length:");
	}
}

static void take_answer(struct client *c)
{
	static char rest[65536];

	for (;;) {
		const size_t room = c->got < ANSWER - 1 ? ANSWER - 1 - c->got
		                                        : 0;
		char *to = room > 0 ? c->answer + c->got : rest;
		const ssize_t more = recv(c->fd, to, room > 0 ? room
		                                              : sizeof(rest), 0);

		if (more < 0 && errno == EAGAIN) {
			return;
		}
		if (more <= 0 && c->records == 0) {
			close(c->fd);	/* idle, and closed by the other side */
			c->fd = -1;
			return;
		}
		if (more <= 0) {
			send_again(c, false);
			return;
		}
		c->got += (size_t)more;
		if (room > 0) {
			c->answer[c->got] = '\0';
		}
		if (c->whole == 0) {
			find_size(c);
		}
		if (c->whole > 0 && c->got >= c->whole) {
			answered(c);
			return;
		}
	}
}

/* --- all of it ------------------------------------------------------------ */

static void send_what_waits(void)
{
	const int64_t now = monotonic_us();

	for (size_t i = 0; waiting > 0 && i < o.connections; i++) {
		if (clients[i].again_at != 0 && clients[i].again_at <= now) {
			waiting--;
			send_request(&clients[i]);
		}
	}
}

static void run(void)
{
	struct epoll_event events[EVENTS];
	const int64_t until = monotonic_us() + o.patience_us;

	while (busy > 0) {
		const int count = epoll_wait(epoll, events, EVENTS,
		                             waiting > 0 ? 5 : 1000);

		for (int i = 0; i < count; i++) {
			struct client *c = events[i].data.ptr;

			if (events[i].events & EPOLLOUT) {
				send_rest(c);
			}
			if (c->fd >= 0 && c->again_at == 0 &&
			    events[i].events & ~(uint32_t)EPOLLOUT) {
				take_answer(c);
			}
		}
		send_what_waits();
		if (monotonic_us() > until) {
			fail("no end after %" PRId64 " s; %zu requests have no"
			     " answer", o.patience_us / 1000000, busy);
		}
	}
}

static int by_size(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double cpu_s(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void tell(double seconds, double cpu)
{
	const size_t n = sums.requests;

	qsort(latencies, n, sizeof(*latencies), by_size);
	printf("http_load connections=%zu requests=%zu records=%zu stored=%zu "
	       "duplicate=%zu again=%zu seconds=%.4f per_s=%.0f cpu_s=%.4f "
	       "p50_ms=%.1f p99_ms=%.1f max_ms=%.1f\n", o.connections, n,
	       sums.records, sums.stored, sums.duplicate, sums.again, seconds,
	       (double)sums.records / seconds, cpu, latencies[n / 2],
	       latencies[n - 1 - n / 100], latencies[n - 1]);
	fflush(stdout);
}

static void map(const char *path)
{
	struct stat look;
	const int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &look) != 0 || look.st_size == 0) {
		fail("%s: %s", path, fd < 0 ? strerror(errno) : "it is empty");
	}
	next_line = mmap(NULL, (size_t)look.st_size, PROT_READ,
	                 MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (next_line == MAP_FAILED) {
		fail("%s: %s", path, strerror(errno));
	}
	end_of_lines = next_line + look.st_size;
	close(fd);
}

static bool understand(int argc, char **argv)
{
	if (argc < 3) {
		return false;
	}
	o.port = (uint16_t)strtoul(argv[1], NULL, 10);
	for (int i = 3; i < argc; i++) {
		if (strcmp(argv[i], "--hold") == 0) {
			o.hold = true;
			continue;
		}
		if (i + 1 == argc) {
			return false;
		}
		const size_t value = strtoul(argv[i + 1], NULL, 10);
		if (strcmp(argv[i], "--connections") == 0) {
			o.connections = value;
		} else if (strcmp(argv[i], "--records") == 0) {
			o.records = value;
		} else if (strcmp(argv[i], "--patience") == 0) {
			o.patience_us = (int64_t)value * 1000000;
		} else {
			return false;
		}
		i++;
	}
	return o.port != 0 && o.connections > 0 && o.records > 0;
}

int main(int argc, char **argv)
{
	char end;

	if (!understand(argc, argv)) {
		fputs("usage: http_load PORT FILE [--connections N] "
		      "[--records N] [--hold] [--patience SECONDS]\n", stderr);
		return 2;
	}
	map(argv[2]);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	clients = calloc(o.connections, sizeof(*clients));
	if (epoll < 0 || clients == NULL) {
		fail("out of memory");
	}
	for (size_t i = 0; i < o.connections; i++) {
		if (!dial(&clients[i])) {
			fail("connection %zu: %s", i, strerror(errno));
		}
	}
	const int64_t begin = monotonic_us();
	const double cpu = cpu_s();
	for (size_t i = 0; i < o.connections; i++) {
		begin_next(&clients[i]);
	}
	run();
	tell((double)(monotonic_us() - begin) / 1e6, cpu_s() - cpu);
	while (o.hold && read(STDIN_FILENO, &end, 1) > 0) {
	}
	return EXIT_SUCCESS;
}
