/* SPDX-License-Identifier: Apache-2.0 */

/*
 * http_answer.c - what a request is told
 *
 *	{"stored": 2, "duplicate": 0, "rejected": 1, "retry": 0,
 *	 "records": [{"index": 0, "status": "stored"},
 *	             {"index": 1, "status": "rejected", "reason": "..."}, ...]}
 *
 * without the blanks; with "error" before it where nothing was stored and
 * nothing is known, and "error" alone where there are no records to speak of.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/utf8.h"
#include "http_source.h"

#define ITEM_SIZE   64		/* bytes of a record without its reason */
#define HEAD_SIZE   300
#define EARLY_SIZE  4096	/* of an answer that does not wait */

static const char *const status_names[HTTP_STATUSES] = {
	[HTTP_PENDING] = "retry", [HTTP_STORED] = "stored",
	[HTTP_DUPLICATE] = "duplicate", [HTTP_REJECTED] = "rejected",
	[HTTP_RETRY] = "retry",
};

/* Nothing could be made: an answer that needs no memory. */
static char no_memory[] = "{\"error\":\"out of memory\"}";

/* --- text ----------------------------------------------------------------- */

size_t http_put_escaped(char *out, const char *text)
{
	const char *end = text + strlen(text);
	char *at = out;

	while (text < end) {
		const size_t size = utf8_size(text, (size_t)(end - text));
		const unsigned char c = (unsigned char)*text;

		if (size > 1) {
			memcpy(at, text, size);
			at += size;
		} else if (size == 0 || c < 0x20 || c == 0x7f) {
			*at++ = '?';
		} else {
			if (c == '"' || c == '\\') {
				*at++ = '\\';
			}
			*at++ = (char)c;
		}
		text += size > 0 ? size : 1;
	}
	return (size_t)(at - out);
}

static void out_of_memory(struct http_request *r)
{
	r->code = 503;
	r->answer = NULL;
	r->answer_size = 0;
}

static void set_error(struct http_request *r, unsigned code, const char *text)
{
	char *answer = malloc(6 * strlen(text) + 32);
	size_t size;

	r->code = code;
	if (answer == NULL) {
		out_of_memory(r);
		return;
	}
	memcpy(answer, "{\"error\":\"", 10);
	size = 10 + http_put_escaped(answer + 10, text);
	memcpy(answer + size, "\"}\n", 3);
	r->answer = answer;
	r->answer_size = size + 3;
}

void http_refuse(struct http_request *r, unsigned code, const char *sentence)
{
	assert(r->code == 0);
	set_error(r, code, sentence);
}

void http_refuse_for(struct http_request *r, unsigned code,
                     const struct bursar_error *err)
{
	assert(r->code == 0);
	set_error(r, code, err->text);
}

/* --- records -------------------------------------------------------------- */

struct sums {
	size_t stored, duplicate, rejected, retry;
	size_t not_allowed;	/* of the rejected */
	size_t room;		/* for their texts */
};

static struct sums sum_up(const struct http_request *r)
{
	struct sums sums = { .room = HEAD_SIZE + 6 * HTTP_MAX_REASON };

	for (size_t i = 0; i < r->count; i++) {
		const struct http_record *record = &r->records[i];
		const char *reason = record->reason;

		sums.stored += record->status == HTTP_STORED;
		sums.duplicate += record->status == HTTP_DUPLICATE;
		sums.retry += record->status == HTTP_RETRY ||
		              record->status == HTTP_PENDING;
		sums.room += ITEM_SIZE;
		if (record->status == HTTP_REJECTED) {
			sums.rejected++;
			sums.not_allowed += reason != NULL &&
				strcmp(reason, BURSAR_NOT_ALLOWED) == 0;
			sums.room += reason ? 6 * strlen(reason) : 0;
		}
	}
	return sums;
}

static unsigned code_of(const struct http_request *r, const struct sums *sums,
                        const char **error)
{
	const size_t count = r->count;

	*error = NULL;
	if (sums->stored + sums->duplicate == count) {
		return 200;
	}
	if (sums->retry == count) {
		*error = r->why != NULL ? r->why
		       : "it could not be stored now; send it again";
		return 503;
	}
	if (sums->not_allowed == count) {
		*error = BURSAR_NOT_ALLOWED;
		return 403;
	}
	if (sums->rejected == count) {
		*error = count == 1 ? "the record was rejected"
		                    : "every record was rejected";
		return 422;
	}
	return 207;
}

static size_t put_record(char *out, size_t i, const struct http_record *record)
{
	size_t size = (size_t)snprintf(out, ITEM_SIZE,
		"%s{\"index\":%zu,\"status\":\"%s\"", i > 0 ? "," : "", i,
		status_names[record->status]);

	if (record->status == HTTP_REJECTED && record->reason != NULL) {
		memcpy(out + size, ",\"reason\":\"", 11);
		size += 11;
		size += http_put_escaped(out + size, record->reason);
		out[size++] = '"';
	}
	out[size++] = '}';
	return size;
}

static void charge(struct http_request *r, size_t size)
{
	r->charged += size;
	r->server->charged += size;
}

void http_set_reason(struct http_request *r, size_t i, const char *text)
{
	struct http_record *record = &r->records[i];

	record->reason = text == NULL ? NULL : strndup(text, HTTP_MAX_REASON);
	charge(r, record->reason != NULL ? strlen(record->reason) + 1 : 0);
}

void http_forget_reason(struct http_request *r, size_t i)
{
	struct http_record *record = &r->records[i];
	const size_t size = record->reason != NULL ? strlen(record->reason) + 1
	                                           : 0;

	r->charged -= size;
	r->server->charged -= size;
	free(record->reason);
	record->reason = NULL;
}

/* From here on the answer stands for the reasons. */
static void keep_answer(struct http_request *r, char *out, size_t size)
{
	char *fit = realloc(out, size);

	r->answer = fit != NULL ? fit : out;
	r->answer_size = size;
	charge(r, size);
	for (size_t i = 0; i < r->count; i++) {
		http_forget_reason(r, i);
	}
}

void http_answer(struct http_request *r)
{
	const struct sums sums = sum_up(r);
	const char *error;
	char *out = malloc(sums.room);
	size_t size = 0;

	assert(r->code == 0);
	r->code = code_of(r, &sums, &error);
	if (out == NULL) {
		out_of_memory(r);
		return;
	}
	if (r->usage && r->code == 200) {
		r->code = 202;
		size = (size_t)snprintf(out, sums.room,
		                        "{\"accepted\":true}\n");
		keep_answer(r, out, size);
		return;
	}
	out[size++] = '{';
	if (error != NULL) {
		size += (size_t)snprintf(out + size, HEAD_SIZE / 2,
		                         "\"error\":\"%s\",", error);
	}
	size += (size_t)snprintf(out + size, HEAD_SIZE / 2,
		"\"stored\":%zu,\"duplicate\":%zu,\"rejected\":%zu,"
		"\"retry\":%zu,\"records\":[", sums.stored, sums.duplicate,
		sums.rejected, sums.retry);
	for (size_t i = 0; i < r->count; i++) {
		size += put_record(out + size, i, &r->records[i]);
	}
	memcpy(out + size, "]}\n", 3);
	keep_answer(r, out, size + 3);
}

/* --- to the library ------------------------------------------------------- */

static bool asks_to_come_again(const struct http_request *r)
{
	if (r->code == 503) {
		return true;
	}
	for (size_t i = 0; r->code == 207 && i < r->count; i++) {
		if (r->records[i].status == HTTP_RETRY ||
		    r->records[i].status == HTTP_PENDING) {
			return true;
		}
	}
	return false;
}

static void add_headers(const struct http_request *r,
                        struct MHD_Response *response)
{
	MHD_add_response_header(response, "Content-Type", "application/json");
	MHD_add_response_header(response, "Cache-Control", "no-store");
	if (r->key != NULL) {
		MHD_add_response_header(response, "Idempotency-Key", r->key);
	}
	if (r->allow != NULL) {
		MHD_add_response_header(response, "Allow", r->allow);
	}
	if (asks_to_come_again(r)) {
		MHD_add_response_header(response, "Retry-After", HTTP_RETRY_S);
	}
	if (r->code == 401) {
		MHD_add_response_header(response, "WWW-Authenticate",
		                        "Bearer");
	}
	if (r->code == 415) {
		MHD_add_response_header(response, "Accept-Encoding",
		                        "gzip, zstd, identity");
	}
	if (!r->keeps_open) {
		MHD_add_response_header(response, "Connection", "close");
	}
}

enum MHD_Result http_respond(struct http_request *r)
{
	struct MHD_Response *response = r->answer != NULL
		? MHD_create_response_from_buffer(r->answer_size, r->answer,
		                                  MHD_RESPMEM_MUST_FREE)
		: MHD_create_response_from_buffer(strlen(no_memory), no_memory,
		                                  MHD_RESPMEM_PERSISTENT);

	if (response == NULL) {
		return MHD_NO;
	}
	r->answer = NULL;	/* the response's */
	add_headers(r, response);
	const enum MHD_Result result =
		MHD_queue_response(r->connection, r->code, response);
	MHD_destroy_response(response);
	return result;
}

/* --- past the library ----------------------------------------------------- */

struct text {
	char   data[EARLY_SIZE];
	size_t size;
};

__attribute__((format(printf, 2, 3)))
static void put_text(struct text *text, const char *fmt, ...)
{
	const size_t room = sizeof(text->data) - text->size;
	va_list ap;

	va_start(ap, fmt);
	const int size = vsnprintf(text->data + text->size, room, fmt, ap);
	va_end(ap);
	text->size += (size_t)size < room ? (size_t)size : room;
}

static enum MHD_Result put_header(void *context, enum MHD_ValueKind kind,
                                  const char *name, const char *value)
{
	(void)kind;
	put_text(context, "%s: %s\r\n", name, value);
	return MHD_YES;
}

bool http_respond_early(struct http_request *r)
{
	struct text text = { .size = 0 };
	const char *answer = r->answer != NULL ? r->answer : no_memory;
	const size_t size = r->answer != NULL ? r->answer_size
	                                      : strlen(no_memory);
	const int fd = r->link->fd;

	if (r->server->tls) {
		return false;
	}
	r->keeps_open = false;
	put_text(&text, "HTTP/1.1 %u %s\r\nContent-Length: %zu\r\n", r->code,
	         MHD_get_reason_phrase_for(r->code), size);
	struct MHD_Response *response = MHD_create_response_from_buffer(
		0, NULL, MHD_RESPMEM_PERSISTENT);
	if (response == NULL) {
		return false;
	}
	add_headers(r, response);
	MHD_get_response_headers(response, put_header, &text);
	MHD_destroy_response(response);
	put_text(&text, "\r\n%.*s", (int)size, answer);
	r->told_early = text.size < sizeof(text.data) &&
		send(fd, text.data, text.size, MSG_NOSIGNAL) ==
		(ssize_t)text.size && shutdown(fd, SHUT_WR) == 0;
	return r->told_early;
}
