/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One connection.  rabbitmq-c's own calls that wait for an answer are not used,
 * nor its heartbeats: it sends them only while it waits for a frame.
 *
 * What is sent here is short.  It is sent when the socket has room for it, so
 * that the library, which would wait for ever, does not.
 */
#include "config.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include "amqp_source.h"

#define LEAVE_US (RQ_SECOND / 2)	/* to take leave of the broker */

int64_t rq_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * RQ_SECOND + now.tv_nsec / 1000;
}

int rq_fail(struct bursar_source *source, enum bursar_verdict verdict,
            int code, const char *fmt, ...)
{
	char text[sizeof(source->why.text)];
	va_list ap;

	assert(verdict != BURSAR_DONE);

	if (source->verdict != BURSAR_DONE) {
		return -1;
	}
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	source->verdict = source->phase == RQ_WORKING ? BURSAR_DOWN : verdict;
	source->why = (struct bursar_error){ 0 };
	return bursar_fail(&source->why, code, "%.100s: %s",
	                   source->place.name, text);
}

/* What the library says of a status. */
static int fail_status(struct bursar_source *source, const char *what,
                       int status)
{
	const bool timeout = status == AMQP_STATUS_TIMEOUT ||
		status == AMQP_STATUS_HEARTBEAT_TIMEOUT;

	source->link.sound = false;
	return rq_fail(source, BURSAR_DOWN, timeout ? ETIMEDOUT : ECONNRESET,
	               "%s: %s", what, amqp_error_string2(status));
}

void rq_not_asked_for(struct bursar_source *source,
                      amqp_method_number_t method)
{
	const char *name = amqp_method_name(method);

	source->link.sound = false;
	rq_fail(source, BURSAR_DOWN, EPROTO, "the broker sent what was not "
	        "asked for: %s", name != NULL ? name : "an unknown method");
}

enum bursar_verdict rq_verdict_of(int code)
{
	switch (code) {
	case AMQP_INVALID_PATH:
	case AMQP_ACCESS_REFUSED:
	case AMQP_NOT_FOUND:
	case AMQP_RESOURCE_LOCKED:
	case AMQP_PRECONDITION_FAILED:
	case AMQP_NOT_ALLOWED:
		return BURSAR_CONFIG;
	default:
		return BURSAR_DOWN;
	}
}

const char *rq_printable(char *out, size_t room, amqp_bytes_t text)
{
	const char *bytes = text.bytes;
	size_t used = 0;

	while (used < text.len && used + 1 < room) {
		const char c = bytes[used];

		out[used++] = c >= ' ' && c <= '~' && c != '"' ? c : '\'';
	}
	out[used] = '\0';
	return out;
}

const char *rq_reply(char *out, size_t room, int code, amqp_bytes_t text)
{
	const int size = snprintf(out, room, "%d ", code);

	rq_printable(out + size, room - (size_t)size, text);
	return out;
}

/* --- TLS ------------------------------------------------------------------ */

static bool is_address(const char *host)
{
	unsigned char bytes[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, host, bytes) == 1 ||
	       inet_pton(AF_INET6, host, bytes) == 1;
}

/*
 * OpenSSL itself compares the name during the handshake; the library's own
 * comparison, which knows no addresses, stays on beside it for names.
 */
static int verify(struct bursar_source *source, amqp_socket_t *socket)
{
	const char *host = source->place.host;
	SSL_CTX *context = amqp_ssl_socket_get_context(socket);
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(context);
	const bool address = is_address(host);

	amqp_ssl_socket_set_verify_peer(socket, 1);
	amqp_ssl_socket_set_verify_hostname(socket, !address);
	if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
	    (address ? X509_VERIFY_PARAM_set1_ip_asc(param, host)
	             : X509_VERIFY_PARAM_set1_host(param, host, 0)) != 1) {
		return rq_fail(source, BURSAR_CONFIG, EINVAL,
		               "TLS cannot be set up");
	}
	return 0;
}

static int trust(struct bursar_source *source, amqp_socket_t *socket)
{
	const struct rq_place *place = &source->place;

	if (place->ca_file[0] == '\0') {
		if (SSL_CTX_set_default_verify_paths(
			amqp_ssl_socket_get_context(socket)) != 1) {
			return rq_fail(source, BURSAR_CONFIG, EINVAL,
			               "the system's certificates cannot be "
			               "read: give ca-file");
		}
	} else if (amqp_ssl_socket_set_cacert(socket, place->ca_file) !=
	           AMQP_STATUS_OK) {
		return rq_fail(source, BURSAR_CONFIG, EINVAL, "ca-file: "
		               "%.150s: no certificates can be read there",
		               place->ca_file);
	}
	if (place->cert_file[0] != '\0' &&
	    amqp_ssl_socket_set_key(socket, place->cert_file,
	                            place->key_file) != AMQP_STATUS_OK) {
		return rq_fail(source, BURSAR_CONFIG, EINVAL, "cert-file and "
		               "key-file: no certificate with its key can be "
		               "read there");
	}
	return 0;
}

/* --- opening -------------------------------------------------------------- */

static amqp_socket_t *make_socket(struct bursar_source *source)
{
	amqp_connection_state_t state = source->link.state;
	amqp_socket_t *socket;

	if (!source->place.tls) {
		socket = amqp_tcp_socket_new(state);
	} else {
		socket = amqp_ssl_socket_new(state);
		if (socket != NULL && (verify(source, socket) != 0 ||
		                       trust(source, socket) != 0)) {
			return NULL;
		}
	}
	if (socket == NULL) {
		rq_fail(source, BURSAR_DOWN, ENOMEM, "out of memory");
	}
	return socket;
}

/* The kernel gives a peer up that does not acknowledge what we send. */
static void watch_peer(const struct bursar_source *source)
{
	const int fd = source->link.fd;
	const unsigned ms = (unsigned)source->heartbeat_s * 2000;
	const int idle = source->heartbeat_s;
	const int count = 3;

	/* Helpful, not needed: heartbeats find out as well. */
	(void)!setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
	(void)!setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	(void)!setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &idle, sizeof(idle));
	(void)!setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

int rq_link_open(struct bursar_source *source)
{
	struct rq_link *link = &source->link;
	const struct rq_place *place = &source->place;
	struct timeval wait = {
		.tv_sec = source->timeout_us / RQ_SECOND,
		.tv_usec = source->timeout_us % RQ_SECOND,
	};

	assert(link->state == NULL);

	*link = (struct rq_link){ .fd = -1 };
	link->beat_us = source->heartbeat_s * RQ_SECOND / 2;
	link->state = amqp_new_connection();
	if (link->state == NULL) {
		return rq_fail(source, BURSAR_DOWN, ENOMEM, "out of memory");
	}
	amqp_socket_t *socket = make_socket(source);
	if (socket == NULL) {
		return -1;
	}
	int status = amqp_socket_open_noblock(socket, place->host, place->port,
	                                      &wait);
	if (status != AMQP_STATUS_OK) {
		return fail_status(source, "cannot connect", status);
	}
	link->fd = amqp_get_sockfd(link->state);
	watch_peer(source);
	status = amqp_send_header(link->state);
	if (status != AMQP_STATUS_OK) {
		return fail_status(source, "cannot begin", status);
	}
	link->sound = true;
	link->sent_at = link->heard_at = rq_now();
	link->asked = 1;
	source->phase = RQ_LOGIN;
	return 0;
}

/* --- frames --------------------------------------------------------------- */

/* Waits for the socket. */
static bool has_room(const struct rq_link *link, int64_t until)
{
	struct pollfd pollfd = { .fd = link->fd, .events = POLLOUT };

	for (;;) {
		const int64_t left = until - rq_now();
		const int ms = left > 0 ? (int)((left + 999) / 1000) : 0;
		const int ready = poll(&pollfd, 1, ms);

		if (ready >= 0 || errno != EINTR) {
			return ready > 0;
		}
	}
}

int rq_send(struct bursar_source *source, amqp_channel_t channel,
            amqp_method_number_t method, void *decoded, bool answer,
            int64_t until)
{
	struct rq_link *link = &source->link;

	if (link->state == NULL || source->verdict != BURSAR_DONE) {
		return -1;
	}
	if (!has_room(link, until)) {
		link->sound = false;
		return rq_fail(source, BURSAR_DOWN, ETIMEDOUT, "the broker "
		               "takes nothing: what is sent to it piles up");
	}
	const int status = amqp_send_method(link->state, channel, method,
	                                    decoded);
	if (status != AMQP_STATUS_OK) {
		return fail_status(source, "cannot send", status);
	}
	link->sent_at = rq_now();
	if (answer) {
		if (link->asked == 0) {
			link->heard_at = link->sent_at;
		}
		link->asked++;
	}
	return 0;
}

void rq_answered(struct bursar_source *source)
{
	if (source->link.asked > 0) {
		source->link.asked--;
	}
}

int rq_next_frame(struct bursar_source *source, amqp_frame_t *frame)
{
	struct rq_link *link = &source->link;
	struct timeval none = { 0 };

	if (source->verdict != BURSAR_DONE) {
		return -1;
	}
	const int status = amqp_simple_wait_frame_noblock(link->state, frame,
	                                                  &none);
	if (status == AMQP_STATUS_TIMEOUT) {
		return 0;
	}
	if (status != AMQP_STATUS_OK) {
		return fail_status(source, "the connection is gone", status);
	}
	link->heard_at = rq_now();
	return 1;
}

void rq_forget_frames(struct bursar_source *source)
{
	amqp_maybe_release_buffers(source->link.state);
}

int rq_beat(struct bursar_source *source, int64_t now)
{
	struct rq_link *link = &source->link;
	amqp_frame_t beat = { .frame_type = AMQP_FRAME_HEARTBEAT };

	if (now - link->sent_at < link->beat_us) {
		return 0;
	}
	/* With no room there is more on its way than a heartbeat. */
	if (has_room(link, now)) {
		const int status = amqp_send_frame(link->state, &beat);

		if (status != AMQP_STATUS_OK) {
			return fail_status(source, "cannot send", status);
		}
	}
	link->sent_at = now;
	return 0;
}

/* --- closing -------------------------------------------------------------- */

/* Whether the answer to connection.close, or the end, was met. */
static bool has_closed(struct bursar_source *source, int64_t until)
{
	amqp_frame_t frame;
	int got;

	while ((got = rq_next_frame(source, &frame)) > 0 && rq_now() < until) {
		if (frame.frame_type == AMQP_FRAME_METHOD &&
		    frame.payload.method.id ==
		    AMQP_CONNECTION_CLOSE_OK_METHOD) {
			return true;
		}
		rq_forget_frames(source);
	}
	return got < 0;
}

static void take_leave(struct bursar_source *source)
{
	const int64_t until = rq_now() + LEAVE_US;
	struct pollfd pollfd = { .fd = source->link.fd, .events = POLLIN };
	amqp_connection_close_t why = {
		.reply_code = AMQP_REPLY_SUCCESS,
		.reply_text = amqp_cstring_bytes("closed"),
	};

	if (rq_send(source, 0, AMQP_CONNECTION_CLOSE_METHOD, &why, false,
	            until) != 0) {
		return;
	}
	while (!has_closed(source, until)) {
		const int64_t left = until - rq_now();

		if (left <= 0) {
			return;
		}
		poll(&pollfd, 1, (int)((left + 999) / 1000));
	}
}

void rq_link_close(struct bursar_source *source)
{
	if (source->link.state == NULL) {
		return;
	}
	source->verdict = BURSAR_DONE;
	if (source->link.sound) {
		take_leave(source);
	}
	amqp_destroy_connection(source->link.state);
	source->link.state = NULL;
	source->link.fd = -1;
	source->link.asked = 0;
	source->phase = RQ_AWAY;
	source->verdict = BURSAR_DONE;
}
