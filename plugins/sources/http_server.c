/* SPDX-License-Identifier: Apache-2.0 */

/*
 * http_server.c - the library, its connections and their times
 *
 * The library's thread is ours, around its step MHD_run().  Its own loop
 * (0.9.75) asks epoll again without end where it got 128 events, the most that
 * it takes at a time: as many clients at once would wait for each other.  And
 * after a step all who wrote meanwhile are known, so that the core is woken once
 * for all of them.
 *
 * The library knows one time only, how long a connection may be silent; a
 * client that sends a byte now and then would keep it for ever, and a suspended
 * connection has no time at all.  So each connection stands in a list with what
 * it is doing and since when, and one that takes too long is shut down under
 * the library, which then finds it closed.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "http_source.h"

#define LAST_ANSWERS_US INT64_C(2000000)	/* to go out at the end */
#define STEP_MS         1000	/* between two steps of the library, at most */
#define SPARE_SLOTS     4096	/* requests that were answered in time and are
				 * not yet settled */

/* Not const only because the library takes all options that way. */
static char priorities[] = HTTP_PAIR_PRIORITIES;

/* --- connections ---------------------------------------------------------- */

/* Whether its client's network has as many already as an address may have: the
 * library counts by addresses, of which one client of IPv6 has any number. */
static bool is_one_too_many(const struct http_server *server, uint64_t network)
{
	unsigned count = 0;

	for (const struct http_link *link = server->links;
	     network != 0 && link != NULL; link = link->next) {
		count += link->network == network;
	}
	return count >= server->limits.per_address;
}

static void open_link(struct http_server *server, int fd, uint64_t network,
                      void **context)
{
	struct http_link *link = calloc(1, sizeof(*link));

	*context = link;
	if (link == NULL) {
		shutdown(fd, SHUT_RDWR);
		return;
	}
	link->fd = fd;
	link->since = monotonic_us();
	link->network = network;
	pthread_mutex_lock(&server->lock);
	if (is_one_too_many(server, network)) {
		link->cut = true;
		shutdown(fd, SHUT_RDWR);
	}
	link->next = server->links;
	if (link->next != NULL) {
		link->next->previous = link;
	}
	server->links = link;
	pthread_mutex_unlock(&server->lock);
}

/* The descriptor is still open here, so nobody shuts down another's. */
static void close_link(struct http_server *server, struct http_link *link)
{
	if (link == NULL) {
		return;
	}
	pthread_mutex_lock(&server->lock);
	*(link->previous != NULL ? &link->previous->next : &server->links) =
		link->next;
	if (link->next != NULL) {
		link->next->previous = link->previous;
	}
	pthread_mutex_unlock(&server->lock);
	free(link);
}

static void on_connection(void *context, struct MHD_Connection *connection,
                          void **link, enum MHD_ConnectionNotificationCode code)
{
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		open_link(context, MHD_get_connection_info(connection,
			MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd,
			http_place_network(MHD_get_connection_info(connection,
			MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr),
			link);
	} else {
		close_link(context, *link);
		*link = NULL;
	}
}

static int64_t limit_of(const struct http_server *server,
                        const struct http_link *link)
{
	switch (link->phase) {
	case HTTP_HEADER:
		return server->limits.header_us;
	case HTTP_BODY:
	case HTTP_ANSWERING:
		return server->limits.body_us;
	case HTTP_SUSPENDED:
		return INT64_MAX;
	case HTTP_IDLE:
		break;
	}
	return server->limits.idle_us;
}

static void cut_slow_links(struct http_server *server, int64_t now)
{
	pthread_mutex_lock(&server->lock);
	for (struct http_link *link = server->links; link != NULL;
	     link = link->next) {
		if (!link->cut && now - link->since > limit_of(server, link)) {
			link->cut = true;
			server->figures.cut += link->phase != HTTP_IDLE;
			shutdown(link->fd, SHUT_RDWR);
		}
	}
	pthread_mutex_unlock(&server->lock);
}

/* --- requests ------------------------------------------------------------- */

static enum MHD_Result first_call(struct http_server *server,
                                  struct MHD_Connection *connection,
                                  const char *url, const char *method,
                                  void **context)
{
	struct http_link *link = MHD_get_connection_info(connection,
		MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
	struct http_request *r = link == NULL ? NULL :
		http_request_begin(server, connection, link, url, method);

	if (r == NULL) {
		return MHD_NO;
	}
	*context = r;
	return http_request_is_hasty(r) ? http_respond(r) : MHD_YES;
}

static enum MHD_Result on_request(void *server,
                                  struct MHD_Connection *connection,
                                  const char *url, const char *method,
                                  const char *version, const char *data,
                                  size_t *size, void **context)
{
	struct http_request *r = *context;

	(void)version;
	if (r == NULL) {
		return first_call(server, connection, url, method, context);
	}
	if (*size > 0) {
		const size_t taken = *size;

		*size = 0;
		return http_request_take(r, data, taken) ? MHD_YES : MHD_NO;
	}
	if (r->told_early) {
		return MHD_NO;
	}
	if (r->left || !http_request_whole(r)) {
		return http_respond(r);
	}
	/* Before anybody else may resume it. */
	MHD_suspend_connection(connection);
	http_request_wait(r);
	return MHD_YES;
}

static void on_completed(void *server, struct MHD_Connection *connection,
                         void **context,
                         enum MHD_RequestTerminationCode code)
{
	(void)server, (void)connection;
	if (*context != NULL) {
		http_request_end(*context,
		                 code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
		*context = NULL;
	}
}

/* --- the library ---------------------------------------------------------- */

static void *run_library(void *arg)
{
	struct http_server *server = arg;
	struct pollfd fds[] = {
		{ .fd = server->epoll, .events = POLLIN },
		{ .fd = server->step_bell, .events = POLLIN },
	};

	while (!atomic_load(&server->ending)) {
		MHD_UNSIGNED_LONG_LONG left;
		int wait = STEP_MS;

		if (MHD_get_timeout(server->daemon, &left) == MHD_YES &&
		    left < STEP_MS) {
			wait = (int)left;
		}
		if (poll(fds, 2, wait) > 0 && fds[1].revents != 0) {
			http_silence(server->step_bell);
		}
		MHD_run(server->daemon);
		if (server->came) {
			server->came = false;
			http_ring(server->bell);
		}
	}
	return NULL;
}

void http_ring(int bell)
{
	const uint64_t one = 1;

	/* Full means that it rings already. */
	if (write(bell, &one, sizeof(one)) < 0) {
		return;
	}
}

void http_silence(int bell)
{
	uint64_t rings;

	if (read(bell, &rings, sizeof(rings)) < 0) {
		return;		/* it was silent */
	}
}

static int start_thread(struct http_server *server, struct bursar_error *err)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	int error;

	server->epoll = info->epoll_fd;
	server->step_bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	error = server->step_bell < 0 ? errno
	      : pthread_create(&server->thread, NULL, run_library, server);
	return error == 0 ? 0 : bursar_fail(err, error, "cannot start a thread:"
	                                    " %s", strerror(error));
}

/* What it has to say at start is why it does not start; later it is about
 * clients. */
__attribute__((format(printf, 2, 0)))
static void on_words(void *context, const char *fmt, va_list ap)
{
	struct http_server *server = context;

	if (pthread_equal(server->starter, pthread_self())) {
		vsnprintf(server->said, sizeof(server->said), fmt, ap);
		server->said[strcspn(server->said, "\n")] = '\0';
	}
}

int http_server_init(struct http_server *server,
                     const struct bursar_host *host, struct bursar_error *err)
{
	pthread_condattr_t attributes;

	server->host = host;
	pthread_mutex_init(&server->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&server->quiet, &attributes);
	pthread_condattr_destroy(&attributes);
	server->slot_count = server->limits.connections + SPARE_SLOTS;
	server->slots = calloc(server->slot_count, sizeof(*server->slots));
	server->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	server->json = json_reader_create();
	if (server->slots == NULL || server->bell < 0 ||
	    server->json == NULL) {
		return bursar_fail(err, ENOMEM, "out of memory or of "
		                   "descriptors");
	}
	return 0;
}

void http_server_finish(struct http_server *server)
{
	const size_t lost = http_forget_untold(server);

	if (lost > 0) {
		server->host->log(server->host, BURSAR_WARNING,
		                  "rejections-not-kept", "records=%zu why=\"it "
		                  "ends before it could keep what clients that "
		                  "are gone were not told\"", lost);
	}
	free(server->slots);
	json_reader_destroy(server->json);
	if (server->bell >= 0) {
		close(server->bell);
	}
	pthread_cond_destroy(&server->quiet);
	pthread_mutex_destroy(&server->lock);
}

/* Seconds of silence, as the library counts them: a second guard behind ours. */
static unsigned silence(const struct http_limits *limits)
{
	int64_t longest = limits->header_us;

	longest = limits->body_us > longest ? limits->body_us : longest;
	longest = limits->idle_us > longest ? limits->idle_us : longest;
	return (unsigned)(longest / 1000000 + 5);
}

/* The listener stays where there was no thread. */
static void end_library(struct http_server *server)
{
	if (server->thread != 0) {
		atomic_store(&server->ending, true);
		http_ring(server->step_bell);
		pthread_join(server->thread, NULL);
		server->thread = 0;
	} else {
		MHD_quiesce_daemon(server->daemon);
	}
	if (server->step_bell >= 0) {
		close(server->step_bell);
	}
	MHD_stop_daemon(server->daemon);
	server->daemon = NULL;
}

int http_server_start(struct http_server *server, int listener,
                      char *cert, char *key, struct bursar_error *err)
{
	const unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
		(cert != NULL ? MHD_USE_TLS : 0);
	struct MHD_OptionItem tls[] = {
		{ MHD_OPTION_HTTPS_MEM_CERT, 0, cert },
		{ MHD_OPTION_HTTPS_MEM_KEY, 0, key },
		{ MHD_OPTION_HTTPS_PRIORITIES, 0, priorities },
		{ MHD_OPTION_END, 0, NULL },
	};

	server->tls = cert != NULL;
	server->ending = false;
	server->step_bell = -1;
	server->said[0] = '\0';
	server->starter = pthread_self();
	server->daemon = MHD_start_daemon(flags, 0, NULL, NULL, on_request,
		server,
		MHD_OPTION_EXTERNAL_LOGGER, on_words, server,
		MHD_OPTION_LISTEN_SOCKET, listener,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, server,
		MHD_OPTION_CONNECTION_LIMIT, server->limits.connections,
		MHD_OPTION_PER_IP_CONNECTION_LIMIT, server->limits.per_address,
		MHD_OPTION_CONNECTION_TIMEOUT, silence(&server->limits),
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, server->limits.header,
		MHD_OPTION_STRICT_FOR_CLIENT, 1,
		MHD_OPTION_ARRAY, cert != NULL ? tls : &tls[3],
		MHD_OPTION_END);
	if (server->daemon == NULL) {
		return bursar_fail(err, EINVAL, "the server does not start: %s",
		                   server->said[0] != '\0' ? server->said
		                                           : "no reason given");
	}
	if (start_thread(server, err) != 0) {
		end_library(server);
		return -1;
	}
	return 0;
}

/* Answers that were made have a moment to go out. */
static void wait_for_answers(struct http_server *server)
{
	const int64_t until = monotonic_us() + LAST_ANSWERS_US;
	const struct timespec then = {
		.tv_sec = until / 1000000, .tv_nsec = until % 1000000 * 1000,
	};

	pthread_mutex_lock(&server->lock);
	while (server->answering > 0 &&
	       pthread_cond_timedwait(&server->quiet, &server->lock,
	                              &then) == 0) {
	}
	pthread_mutex_unlock(&server->lock);
}

void http_server_stop(struct http_server *server)
{
	if (server->daemon == NULL) {
		return;
	}
	const MHD_socket listener = MHD_quiesce_daemon(server->daemon);
	if (listener != MHD_INVALID_SOCKET) {
		close(listener);
	}
	pthread_mutex_lock(&server->lock);
	server->closing = true;
	pthread_mutex_unlock(&server->lock);
	http_answer_due(server, INT64_MAX, HTTP_ENDING);
	wait_for_answers(server);
	end_library(server);
}

void http_server_tend(struct http_server *server, int64_t now)
{
	cut_slow_links(server, now);
	http_answer_due(server, now, HTTP_LATE);
	pthread_mutex_lock(&server->lock);
	http_untold_look(server, now);
	pthread_mutex_unlock(&server->lock);
}
