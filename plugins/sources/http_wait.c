/* SPDX-License-Identifier: Apache-2.0 */

/*
 * http_wait.c - suspended requests, between the library and the core
 *
 * They stand in one list, the oldest first; records are handed out from
 * `hand_out` on, so what stands before it is all with the core.  A request that
 * has its answer leaves the list at once, and stays in its slot until the core
 * has settled what it was handed.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "http_source.h"

#define DIGEST_SIZE   (2 * TOKEN_HASH + 1)
#define OVERSIZE_KEPT ((size_t)64 << 10)
#define INDEX_BITS    24		/* of a token; the rest is the slot */

static uint64_t token_of(const struct http_request *r, size_t i)
{
	return (uint64_t)r->slot << INDEX_BITS | i;
}

static bool is_handed_out(const struct http_request *r)
{
	return r->handed == r->count || r->returned;
}

/* --- slots ---------------------------------------------------------------- */

static bool take_slot(struct http_request *r)
{
	struct http_server *server = r->server;

	for (size_t i = 0; i < server->slot_count; i++) {
		const size_t slot = (server->slot_hint + i) %
			server->slot_count;

		if (server->slots[slot] == NULL) {
			server->slots[slot] = r;
			server->slot_hint = slot + 1;
			r->slot = (uint32_t)slot;
			r->has_slot = true;
			return true;
		}
	}
	return false;
}

static void free_body(struct http_request *r)
{
	r->server->charged -= r->body.room;
	r->charged -= r->body.room;
	http_bytes_finish(&r->body);
}

void http_request_drop(struct http_request *r)
{
	struct http_server *server = r->server;

	if (r->connection != NULL || r->unsettled > 0) {
		return;
	}
	assert(!r->waiting && r->watched < 0);
	if (r->has_slot) {
		server->slots[r->slot] = NULL;
		server->slot_hint = r->slot;
	}
	server->charged -= r->charged;
	for (size_t i = 0; i < r->count; i++) {
		free(r->records[i].reason);
		free(r->records[i].kept);
	}
	if (r->tokens != NULL && --r->tokens->holders == 0) {
		tokens_destroy(r->tokens->tokens);
		free(r->tokens);
	}
	http_bytes_finish(&r->body);
	free(r->records);
	free(r->origin);
	free(r->key);
	free(r->answer);
	free(r);
}

/* --- the list ------------------------------------------------------------- */

static void enter(struct http_request *r)
{
	struct http_server *server = r->server;

	r->waiting = true;
	r->previous = server->last;
	if (server->last != NULL) {
		server->last->next = r;
	} else {
		server->first = r;
	}
	server->last = r;
	if (server->hand_out == NULL) {
		server->hand_out = r;
	}
}

/* Answers a request, takes it out of those that wait and puts it into *list
 * (by `next`), to be resumed; with the lock. */
static void leave(struct http_request *r, struct http_request **list)
{
	struct http_server *server = r->server;

	assert(r->waiting);
	if (server->hand_out == r) {
		server->hand_out = r->next;
	}
	*(r->previous != NULL ? &r->previous->next : &server->first) = r->next;
	*(r->next != NULL ? &r->next->previous : &server->last) = r->previous;
	r->waiting = false;
	r->left = true;
	r->returned = true;
	server->answering++;
	free_body(r);
	http_answer(r);
	r->keeps_open = !server->closing;
	r->link->phase = HTTP_ANSWERING;
	r->link->since = monotonic_us();
	r->previous = NULL;
	r->next = *list;
	*list = r;
}

/* Resumes the requests of a list; without the lock. */
static void resume(struct http_server *server, struct http_request *list)
{
	const bool some = list != NULL;

	while (list != NULL) {
		/* From then on it is the library's thread's. */
		struct http_request *next = list->next;

		list->next = NULL;
		MHD_resume_connection(list->connection);
		list = next;
	}
	if (some) {
		http_ring(server->step_bell);
	}
}

void http_request_wait(struct http_request *r)
{
	struct http_server *server = r->server;
	struct http_request *list = NULL;

	pthread_mutex_lock(&server->lock);
	r->deadline = monotonic_us() + server->limits.answer_us;
	r->link->phase = HTTP_SUSPENDED;
	enter(r);
	r->why = server->closing ? HTTP_ENDING :
	         server->parked ? HTTP_AWAY : NULL;
	if (server->parked || server->closing || !take_slot(r)) {
		leave(r, &list);
	}
	pthread_mutex_unlock(&server->lock);
	if (list != NULL) {
		resume(server, list);
	} else {
		server->came = true;
	}
}

void http_answer_due(struct http_server *server, int64_t now, const char *why)
{
	struct http_request *list = NULL;

	pthread_mutex_lock(&server->lock);
	while (server->first != NULL && server->first->deadline <= now) {
		server->figures.timeouts += now != INT64_MAX;
		server->first->why = why;
		leave(server->first, &list);
	}
	pthread_mutex_unlock(&server->lock);
	resume(server, list);
}

/* --- records -------------------------------------------------------------- */

/* What the core would cut is cut here: bursar/message.h says how. */
static void cut(struct bursar_message *message, size_t longest,
                char digest[DIGEST_SIZE])
{
	uint8_t hash[TOKEN_HASH];

	message->flags = 0;
	if (message->body.size <= longest) {
		return;
	}
	token_hash(message->body, hash);
	sodium_bin2hex(digest, DIGEST_SIZE, hash, sizeof(hash));
	message->flags = BURSAR_MESSAGE_OVERSIZE;
	message->full_size = message->body.size;
	message->digest = (struct bursar_span){ digest, DIGEST_SIZE - 1 };
	if (message->body.size > OVERSIZE_KEPT) {
		message->body.size = OVERSIZE_KEPT;
	}
}

void http_describe(const struct http_request *r, size_t i,
                   struct bursar_message *message)
{
	const char *name = r->server->host->name;

	*message = (struct bursar_message){
		.token = token_of(r, i),
		.lane = r->slot,
		.place = { name, strlen(name) },
		.origin = { r->origin, strlen(r->origin) },
		.offset = i,
		.line = i + 1,
	};
	if (r->token != NULL) {
		message->fixed = r->token->fixed;
		message->fixed_count = r->token->fixed_count;
		message->kinds = r->token->kinds;
	}
}

/* Hands out what has room; false: there is no more of it. */
static bool hand_out(struct http_request *r, struct bursar_batch *batch)
{
	struct bursar_message message;
	char digest[DIGEST_SIZE];

	while (r->handed < r->count) {
		http_describe(r, r->handed, &message);
		message.body = r->records[r->handed].text;
		cut(&message, batch->max_message, digest);
		if (batch->room == 0 || !batch->add(batch, &message)) {
			return false;
		}
		r->handed++;
		r->unsettled++;
	}
	return true;
}

void http_hand_out(struct http_server *server, struct bursar_batch *batch)
{
	pthread_mutex_lock(&server->lock);
	http_hand_out_untold(server, batch);
	while (server->hand_out != NULL) {
		struct http_request *r = server->hand_out;

		if (!is_handed_out(r) && !hand_out(r, batch)) {
			break;
		}
		free_body(r);	/* the core has copies */
		server->hand_out = r->next;
	}
	pthread_mutex_unlock(&server->lock);
}

static void note(struct http_request *r, size_t i,
                 const struct bursar_settled *settled)
{
	static const enum http_status statuses[] = {
		[BURSAR_STORED] = HTTP_STORED,
		[BURSAR_DUPLICATE] = HTTP_DUPLICATE,
		[BURSAR_CONFLICT] = HTTP_REJECTED,
		[BURSAR_REFUSED] = HTTP_REJECTED,
		[BURSAR_RETURNED] = HTTP_RETRY,
	};
	struct http_record *record = &r->records[i];

	record->status = statuses[settled->outcome];
	if (record->kept != NULL) {
		/* The second time: now it is a dead letter. */
		if (record->status != HTTP_RETRY) {
			http_keep_no_more(r, i);
		}
	} else if (record->status == HTTP_REJECTED) {
		http_set_reason(r, i, settled->reason);
		http_keep(r, i, settled->message);
		if (r->left) {
			http_forget_reason(r, i);	/* it was answered */
		}
	}
	r->returned = r->returned || record->status == HTTP_RETRY;
	r->unsettled--;
}

void http_settle(struct http_server *server,
                 const struct bursar_settled *settled, size_t count)
{
	struct http_request *list = NULL;

	pthread_mutex_lock(&server->lock);
	for (size_t i = 0; i < count; i++) {
		struct http_request *r =
			server->slots[settled[i].token >> INDEX_BITS];

		note(r, settled[i].token & ((1u << INDEX_BITS) - 1),
		     &settled[i]);
		if (r->unsettled > 0 || !is_handed_out(r)) {
			continue;
		}
		if (r->waiting) {
			leave(r, &list);
		} else {
			http_untold_or_drop(r);
		}
	}
	pthread_mutex_unlock(&server->lock);
	resume(server, list);
}
