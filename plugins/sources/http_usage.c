/* SPDX-License-Identifier: Apache-2.0 */

/*
 * http_usage.c - POST /v1/usage, as gateways of the graphile-llm kind send it
 *
 *	X-Database-Id: ...	required; X-Entity-Id, X-Actor-Id
 *	{"model": ..., "provider", "service": "chat" | "embed", "operation",
 *	 "input_tokens", "output_tokens", "total_tokens", "latency_ms",
 *	 "status", "error_type", "raw_usage": {"cacheRead", "cacheWrite", ...},
 *	 "tags": {...}}
 *
 * becomes a metering message in an envelope.  Its input_tokens include what
 * was read from or put into a cache, ours do not.  What is no number is left
 * out rather than 0.  The three ids and raw_usage have no field of their own
 * and stay with the record as what else was said.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "http_source.h"

#define MAX_ID   200		/* bytes of a header's id */
#define MAX_MORE 4096		/* bytes of what is not the client's text */

struct usage {
	struct json_doc doc;
	char  *out;
	size_t size;
};

static void put(struct usage *u, const char *text, size_t size)
{
	memcpy(u->out + u->size, text, size);
	u->size += size;
}

static void put_text(struct usage *u, const char *text)
{
	put(u, text, strlen(text));
}

static void put_name(struct usage *u, const char *name)
{
	put_text(u, u->out[u->size - 1] == '{' ? "\"" : ",\"");
	put_text(u, name);
	put_text(u, "\":");
}

static uint32_t member(const struct usage *u, const char *name, unsigned types)
{
	const uint32_t node = json_member(&u->doc, 0, name);

	return node != 0 && (types >> u->doc.nodes[node].type & 1) ? node : 0;
}

/* A member as it was written, if it is of one of the types; else `other`. */
static void put_member(struct usage *u, const char *name, const char *from,
                       unsigned types, const char *other)
{
	const uint32_t node = member(u, from, types);

	if (node == 0 && other == NULL) {
		return;
	}
	put_name(u, name);
	if (node != 0) {
		const struct bursar_span raw = json_raw(&u->doc, node);

		put(u, raw.data, raw.size);
	} else {
		put_text(u, other);
	}
}

static void put_number(struct usage *u, const char *name, int64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)number);
	put_name(u, name);
	put_text(u, text);
}

static bool cached(const struct usage *u, const char *name, int64_t *count)
{
	const uint32_t raw = member(u, "raw_usage", 1u << JSON_OBJECT);
	const uint32_t node = raw == 0 ? 0 : json_member(&u->doc, raw, name);

	*count = 0;
	return node != 0 && u->doc.nodes[node].type == JSON_NUMBER &&
	       json_int(&u->doc, node, count) && *count >= 0;
}

static void put_tokens(struct usage *u)
{
	const uint32_t node = member(u, "input_tokens", 1u << JSON_NUMBER);
	int64_t input, read, written, rest;
	const bool has_read = cached(u, "cacheRead", &read);
	const bool has_written = cached(u, "cacheWrite", &written);

	if (node != 0 && json_int(&u->doc, node, &input) &&
	    !__builtin_sub_overflow(input, read, &rest) &&
	    !__builtin_sub_overflow(rest, written, &rest) && rest >= 0) {
		put_number(u, "input_tokens", rest);
	} else {
		put_member(u, "input_tokens", "input_tokens",
		           1u << JSON_NUMBER, NULL);
	}
	if (has_read) {
		put_number(u, "cache_read_input_tokens", read);
	}
	if (has_written) {
		put_number(u, "cache_write_input_tokens", written);
	}
}

static bool is_text(const struct usage *u, const char *name, const char *text)
{
	const uint32_t node = member(u, name, 1u << JSON_STRING);

	return node != 0 && json_equals(&u->doc, node, text, strlen(text));
}

static void put_id(struct usage *u, const struct http_request *r,
                   const char *name, const char *header)
{
	const char *id = MHD_lookup_connection_value(r->connection,
	                                             MHD_HEADER_KIND, header);

	if (id == NULL) {
		return;
	}
	char *copy = strndup(id, MAX_ID);
	if (copy != NULL) {
		put_name(u, name);
		put_text(u, "\"");
		u->size += http_put_escaped(u->out + u->size, copy);
		put_text(u, "\"");
		free(copy);
	}
}

static void put_all(struct usage *u, const struct http_request *r)
{
	const unsigned text = 1u << JSON_STRING, number = 1u << JSON_NUMBER;

	put_text(u, "{\"kind\":\"metering\",\"body\":{");
	put_member(u, "model_id", "model", text, NULL);
	put_member(u, "provider", "provider", text, "\"unknown\"");
	put_name(u, "request_type");
	put_text(u, is_text(u, "service", "embed") ? "\"embed\"" : "\"chat\"");
	put_member(u, "operation", "operation", text, "\"external\"");
	put_tokens(u);
	put_member(u, "output_tokens", "output_tokens", number, NULL);
	put_member(u, "total_tokens", "total_tokens", number, NULL);
	put_member(u, "latency_ms", "latency_ms", number, NULL);
	put_name(u, "status");
	put_text(u, is_text(u, "status", "error") ? "\"error\"" : "\"ok\"");
	put_member(u, "error_type", "error_type", text, NULL);
	put_id(u, r, "database_id", "X-Database-Id");
	put_id(u, r, "entity_id", "X-Entity-Id");
	put_id(u, r, "actor_id", "X-Actor-Id");
	put_member(u, "raw_usage", "raw_usage", 1u << JSON_OBJECT, NULL);
	put_member(u, "tags", "tags", 1u << JSON_OBJECT, NULL);
	put_text(u, "}}");
}

void http_usage_check(struct http_request *r)
{
	const char *id = MHD_lookup_connection_value(r->connection,
		MHD_HEADER_KIND, "X-Database-Id");

	if (id == NULL || id[0] == '\0') {
		http_refuse(r, 400, "X-Database-Id is required");
	} else if (r->lines) {
		http_refuse(r, 415, "the content type has to be "
		            "application/json");
	}
}

bool http_usage_translate(struct http_request *r)
{
	struct bursar_error err = { 0 };
	struct usage u = { 0 };

	if (json_read(r->server->json, r->body.data, r->body.size, &u.doc,
	              &err) != 0) {
		http_refuse_for(r, err.code == ENOMEM ? 503 : 400, &err);
		return false;
	}
	if (u.doc.nodes[0].type != JSON_OBJECT ||
	    member(&u, "model", 1u << JSON_STRING) == 0 ||
	    is_text(&u, "model", "")) {
		http_refuse(r, 400, "model is required");
		return false;
	}
	const size_t most = r->body.size + MAX_MORE;
	struct http_bytes made = { .most = most };
	if (!http_charge(r, http_bytes_room(&made, most)) ||
	    !http_bytes_reserve(&made, most)) {
		http_refuse(r, 503, "too much is waiting to be stored");
		return false;
	}
	u.out = made.data;
	put_all(&u, r);
	made.size = u.size;
	http_drop_body(r);
	r->body = made;
	return true;
}
