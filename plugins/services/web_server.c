/* SPDX-License-Identifier: Apache-2.0 */

/*
 * web_server.c - the library, its connections and their times
 *
 * The library knows one time only, how long a connection may be silent; a
 * client that sends a byte now and then would keep it for ever.  So each stands
 * in a list with the time of its beginning, and one that lives too long is shut
 * down under the library, which then finds it closed.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "web.h"

#define TEND_MS      100		/* between two looks at times */
#define IDLE_MS      1000		/* ... where there are no connections */
#define LAST_WORDS_US INT64_C(300000)	/* for answers, at the end */

/* Not const only because the library takes all options that way. */
static char priorities[] = HTTP_PAIR_PRIORITIES;

struct web_link {
	struct web_link *next, *previous;
	int     fd;
	int64_t since;
	bool    cut;
	uint64_t network;		/* of its client, see http_place.h */
};

/* --- connections ------------------------------------------------------------ */

/* Whether its client's network has as many already as an address may have: the
 * library counts by addresses, of which one client of IPv6 has any number. */
static bool is_one_too_many(const struct web *web, uint64_t network)
{
	unsigned count = 0;

	for (const struct web_link *link = web->links;
	     network != 0 && link != NULL; link = link->next) {
		count += link->network == network;
	}
	return count >= web->per_address;
}

static void open_link(struct web *web, int fd, uint64_t network,
                      void **context)
{
	struct web_link *link = calloc(1, sizeof(*link));

	*context = link;
	if (link == NULL) {
		shutdown(fd, SHUT_RDWR);
		return;
	}
	link->fd = fd;
	link->since = monotonic_us();
	link->network = network;
	if (is_one_too_many(web, network)) {
		link->cut = true;
		shutdown(fd, SHUT_RDWR);
	}
	link->next = web->links;
	if (link->next != NULL) {
		link->next->previous = link;
	}
	web->links = link;
}

static void close_link(struct web *web, struct web_link *link)
{
	if (link == NULL) {
		return;
	}
	*(link->previous != NULL ? &link->previous->next : &web->links) =
		link->next;
	if (link->next != NULL) {
		link->next->previous = link->previous;
	}
	web->closed = true;
	free(link);
}

static void on_connection(void *web, struct MHD_Connection *connection,
                          void **link, enum MHD_ConnectionNotificationCode code)
{
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		open_link(web, MHD_get_connection_info(connection,
			MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd,
			http_place_network(MHD_get_connection_info(connection,
			MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr),
			link);
	} else {
		close_link(web, *link);
		*link = NULL;
	}
}

static void cut_slow_links(struct web *web)
{
	const int64_t now = monotonic_us();

	for (struct web_link *link = web->links; link != NULL;
	     link = link->next) {
		if (!link->cut && now - link->since > web->timeout_us) {
			link->cut = true;
			web->host->count(web->host, "connections_cut_total",
			                 1);
			shutdown(link->fd, SHUT_RDWR);
		}
	}
}

/* --- requests --------------------------------------------------------------- */

static enum MHD_Result on_request(void *web, struct MHD_Connection *connection,
                                  const char *url, const char *method,
                                  const char *version, const char *data,
                                  size_t *size, void **context)
{
	struct web_request *request = *context;

	(void)version, (void)data;
	if (request == NULL) {
		*context = web_request_begin(web, url, method, connection);
		return *context != NULL ? MHD_YES : MHD_NO;
	}
	if (*size > 0) {
		const size_t taken = *size;

		*size = 0;
		return web_request_take(request, taken) ? MHD_YES : MHD_NO;
	}
	return web_request_answer(request, connection);
}

static void on_completed(void *web, struct MHD_Connection *connection,
                         void **context, enum MHD_RequestTerminationCode code)
{
	(void)web, (void)connection, (void)code;
	web_request_end(*context);
	*context = NULL;
}

/* --- the library ------------------------------------------------------------ */

/* What it has to say at start is why it does not start; later it is about
 * clients. */
__attribute__((format(printf, 2, 0)))
static void on_words(void *context, const char *fmt, va_list ap)
{
	struct web *web = context;

	if (web->starting) {
		vsnprintf(web->said, sizeof(web->said), fmt, ap);
		web->said[strcspn(web->said, "\n")] = '\0';
	}
}

static struct MHD_Daemon *start(struct web *web, int listener)
{
	const bool tls = web->pair.cert != NULL;
	struct MHD_OptionItem options[] = {
		{ MHD_OPTION_HTTPS_MEM_CERT, 0, web->pair.cert },
		{ MHD_OPTION_HTTPS_MEM_KEY, 0, web->pair.key },
		{ MHD_OPTION_HTTPS_PRIORITIES, 0, priorities },
		{ MHD_OPTION_END, 0, NULL },
	};

	return MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_ERROR_LOG | (tls ? MHD_USE_TLS : 0),
		0, NULL, NULL, on_request, web,
		MHD_OPTION_EXTERNAL_LOGGER, on_words, web,
		MHD_OPTION_LISTEN_SOCKET, listener,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, web,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, web,
		MHD_OPTION_CONNECTION_LIMIT, web->connections,
		MHD_OPTION_PER_IP_CONNECTION_LIMIT, web->per_address,
		MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned)(web->timeout_us / 1000000 + 1),
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, web->header,
		MHD_OPTION_STRICT_FOR_CLIENT, 1,
		MHD_OPTION_ARRAY, tls ? options : &options[3],
		MHD_OPTION_END);
}

int web_server_start(struct web *web, struct bursar_error *err)
{
	struct bursar_error why = { 0 };
	const int listener = http_place_listen(&web->place, &why);

	if (listener < 0) {
		return bursar_fail(err, why.code, "listen: %s", why.text);
	}
	if (http_pair_load(&web->pair, err) != 0) {
		close(listener);
		return -1;
	}
	web->said[0] = '\0';
	web->starting = true;
	web->daemon = start(web, listener);
	web->starting = false;
	http_pair_forget(&web->pair);
	if (web->daemon == NULL) {
		close(listener);
		return bursar_fail(err, EINVAL, "the server does not start: %s",
		                   web->said[0] != '\0' ? web->said : "no "
		                   "reason given");
	}
	return 0;
}

int web_server_descriptor(const struct web *web)
{
	return MHD_get_daemon_info(web->daemon,
	                           MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
}

/* Where all places were taken, the library looks for who waits for one only
 * when it is called again. */
int web_server_patience_ms(const struct web *web)
{
	if (web->closed) {
		return 0;
	}
	const int most = web->links != NULL ? TEND_MS : IDLE_MS;
	MHD_UNSIGNED_LONG_LONG asked;

	return MHD_get_timeout(web->daemon, &asked) == MHD_YES &&
	       asked < (unsigned)most ? (int)asked : most;
}

void web_server_work(struct web *web)
{
	web->closed = false;
	MHD_run(web->daemon);
	cut_slow_links(web);
}

void web_server_stop(struct web *web)
{
	const int64_t until = monotonic_us() + LAST_WORDS_US;

	if (web->daemon == NULL) {
		return;
	}
	const MHD_socket listener = MHD_quiesce_daemon(web->daemon);
	if (listener != MHD_INVALID_SOCKET) {
		close(listener);
	}
	while (web->links != NULL && monotonic_us() < until) {
		struct pollfd fd = {
			.fd = web_server_descriptor(web), .events = POLLIN,
		};

		poll(&fd, 1, 10);
		web_server_work(web);
	}
	MHD_stop_daemon(web->daemon);
	web->daemon = NULL;
}
