/* SPDX-License-Identifier: Apache-2.0 */

/*
 * http_untold.c - rejected records whose senders could not be told
 *
 * A rejected record is kept until its answer has arrived, which is when the
 * other side's TCP has acknowledged it; a client that is gone sends a reset
 * instead.  The library knows only that it handed the answer to the kernel, so
 * the descriptor is held and looked at now and then.  What did not arrive goes
 * to the core once more, marked as UNANSWERED, and becomes a dead letter.
 *
 * A client that was told to come again with everything is not waited for, and
 * what its token does not allow is not kept: no replay may bring that in.
 */
#include "config.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http_source.h"

#define MAX_WATCHED 64		/* descriptors that are held */

/* --- what is kept --------------------------------------------------------- */

static size_t size_of(const struct http_kept *kept)
{
	return sizeof(*kept) + kept->size;
}

void http_keep(struct http_request *r, size_t i,
               const struct bursar_message *message)
{
	struct http_server *server = r->server;
	struct http_record *record = &r->records[i];
	const size_t size = sizeof(*record->kept) + message->body.size;

	if (record->kept != NULL || r->fate == HTTP_TOLD ||
	    (record->reason != NULL &&
	     strcmp(record->reason, BURSAR_NOT_ALLOWED) == 0)) {
		return;
	}
	if (size > server->limits.pending ||
	    server->charged > server->limits.pending - size ||
	    (record->kept = malloc(size)) == NULL) {
		server->figures.lost++;
		return;
	}
	*record->kept = (struct http_kept){
		.flags = message->flags & BURSAR_MESSAGE_OVERSIZE,
		.full_size = message->full_size, .size = message->body.size,
	};
	if (message->digest.size > 0 &&
	    message->digest.size < sizeof(record->kept->digest)) {
		memcpy(record->kept->digest, message->digest.data,
		       message->digest.size);
	}
	if (message->body.size > 0) {
		memcpy(record->kept->body, message->body.data,
		       message->body.size);
	}
	server->charged += size;
	r->charged += size;
	r->kept++;
}

void http_keep_no_more(struct http_request *r, size_t i)
{
	struct http_kept *kept = r->records[i].kept;

	if (kept == NULL) {
		return;
	}
	r->server->charged -= size_of(kept);
	r->charged -= size_of(kept);
	r->kept--;
	r->records[i].kept = NULL;
	free(kept);
}

/* --- what becomes of the answer ------------------------------------------- */

static enum http_fate fate_of(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t size = sizeof(info);
	int waiting = 0;

	/* A socket that is closed may hold bytes that nobody acknowledged. */
	if (ioctl(fd, SIOCOUTQ, &waiting) == 0 && waiting == 0) {
		return HTTP_TOLD;
	}
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 ||
	    info.tcpi_state == TCP_CLOSE) {
		return HTTP_UNTOLD;
	}
	return HTTP_UNKNOWN;
}

static void append(struct http_request *r)
{
	struct http_request **end = &r->server->untold;

	while (*end != NULL) {
		end = &(*end)->next;
	}
	r->next = NULL;
	r->again = 0;
	r->listed = true;
	*end = r;
}

void http_untold_or_drop(struct http_request *r)
{
	assert(!r->waiting);
	if (r->watched >= 0 || r->listed) {
		return;
	}
	if (r->fate == HTTP_UNTOLD && r->kept > 0 && r->unsettled == 0) {
		append(r);
	} else {
		http_request_drop(r);
	}
}

static void decide(struct http_request *r, enum http_fate fate)
{
	r->fate = fate;
	r->server->figures.unanswered += fate == HTTP_UNTOLD;
	http_untold_or_drop(r);
}

/* Cannot be looked at later. */
static enum http_fate guess(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t size = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
	       info.tcpi_state == TCP_ESTABLISHED ? HTTP_TOLD : HTTP_UNTOLD;
}

void http_answer_went(struct http_request *r, int fd, bool sent)
{
	struct http_server *server = r->server;
	enum http_fate fate = sent ? HTTP_TOLD : HTTP_UNTOLD;

	if (sent && r->kept > 0) {
		fate = fate_of(fd);
	}
	if (fate == HTTP_UNKNOWN && server->watch_count < MAX_WATCHED) {
		r->watched = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	}
	if (r->watched < 0) {
		decide(r, fate == HTTP_UNKNOWN ? guess(fd) : fate);
		return;
	}
	r->watch_until = monotonic_us() + server->limits.body_us;
	r->next = server->watched;
	server->watched = r;
	server->watch_count++;
}

void http_untold_look(struct http_server *server, int64_t now)
{
	struct http_request **at = &server->watched;

	while (*at != NULL) {
		struct http_request *r = *at;
		enum http_fate fate = fate_of(r->watched);

		if (fate == HTTP_UNKNOWN && now > r->watch_until) {
			fate = HTTP_UNTOLD;
		}
		if (fate == HTTP_UNKNOWN) {
			at = &r->next;
			continue;
		}
		*at = r->next;
		server->watch_count--;
		close(r->watched);
		r->watched = -1;
		decide(r, fate);
	}
}

/* --- to the core ---------------------------------------------------------- */

static bool hand_out(struct http_request *r, struct bursar_batch *batch)
{
	for (; r->again < r->count; r->again++) {
		const struct http_kept *kept = r->records[r->again].kept;
		struct bursar_message message;

		if (kept == NULL) {
			continue;
		}
		http_describe(r, r->again, &message);
		message.flags = kept->flags | BURSAR_MESSAGE_UNANSWERED;
		message.body = (struct bursar_span){ kept->body, kept->size };
		message.full_size = kept->full_size;
		message.digest = (struct bursar_span){
			kept->digest, strlen(kept->digest),
		};
		if (batch->room == 0 || !batch->add(batch, &message)) {
			return false;
		}
		r->unsettled++;
	}
	return true;
}

void http_hand_out_untold(struct http_server *server,
                          struct bursar_batch *batch)
{
	struct http_request *r;

	while ((r = server->untold) != NULL && hand_out(r, batch)) {
		server->untold = r->next;
		r->listed = false;
		/* Parts of it may have been settled before the last went. */
		http_untold_or_drop(r);
	}
}

size_t http_forget_untold(struct http_server *server)
{
	size_t lost = 0;

	http_untold_look(server, monotonic_us());
	for (size_t i = 0; i < server->slot_count && server->slots; i++) {
		struct http_request *r = server->slots[i];

		if (r == NULL) {
			continue;
		}
		lost += r->fate == HTTP_UNTOLD ? r->kept : 0;
		if (r->watched >= 0) {
			close(r->watched);
		}
		r->watched = -1;
		r->unsettled = 0;
		http_request_drop(r);
	}
	return lost;
}
