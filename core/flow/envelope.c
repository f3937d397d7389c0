/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Most messages are no envelopes, and reading JSON twice would cost more than
 * all the rest of the core, so a cheap look comes first: without the bytes
 * "body (the quote included) no member can have one of the two names, unless
 * one of its letters is escaped.  Such an escape begins with \u006, or with
 * \u0079 for the y.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <sodium.h>

#include "common/rfc3339.h"
#include "flow/envelope.h"

#define MAX_WORD 32	/* of a wrong kind, in an error */

/* What is being opened; `made` becomes the message when all went well. */
struct opening {
	struct json_doc doc;
	struct bursar_arena *arena;
	const struct bursar_schema *schema;
	struct bursar_message made;
	struct bursar_error *err;
};

/* --- the cheap look -------------------------------------------------- */

typedef unsigned char bytes16 __attribute__((vector_size(16)));

static inline bytes16 load(const char *at)
{
	bytes16 bytes;

	memcpy(&bytes, at, sizeof(bytes));
	return bytes;
}

static inline bool any(bytes16 bytes)
{
	uint64_t words[2];

	memcpy(words, &bytes, sizeof(words));
	return (words[0] | words[1]) != 0;
}

/* Whether `what`, 5 bytes, stands in the text, or right behind its end: that
 * is 64 readable bytes, and a look too many is no mistake. */
static bool holds(const char *text, size_t size, const char what[5])
{
	const bytes16 zero = { 0 };
	const bytes16 first = zero + (unsigned char)what[0];
	const bytes16 second = zero + (unsigned char)what[1];
	const bytes16 last = zero + (unsigned char)what[4];

	for (size_t at = 0; at < size; at += sizeof(bytes16)) {
		const bytes16 hit =
			(bytes16)(load(text + at) == first) &
			(bytes16)(load(text + at + 1) == second) &
			(bytes16)(load(text + at + 4) == last);

		if (any(hit) && memmem(text + at, 20, what, 5) != NULL) {
			return true;
		}
	}
	return false;
}

static bool is_object(const char *text, size_t size)
{
	size_t at = 0;

	while (at < size && (text[at] == ' ' || text[at] == '\t' ||
	                     text[at] == '\n' || text[at] == '\r')) {
		at++;
	}
	return at < size && text[at] == '{';
}

static bool may_be_an_envelope(const struct bursar_message *message)
{
	const char *text = message->body.data;
	const size_t size = message->body.size;

	if ((message->flags & BURSAR_MESSAGE_OVERSIZE) != 0 ||
	    !is_object(text, size)) {
		return false;
	}
	return holds(text, size, "\"body") ||
	       (memchr(text, '\\', size) != NULL &&
	        (memmem(text, size, "\\u006", 5) != NULL ||
	         memmem(text, size, "\\u0079", 6) != NULL));
}

/* --- values ---------------------------------------------------------- */

static enum envelope_result bad(struct opening *o, const char *what,
                                const char *expected)
{
	bursar_fail(o->err, EINVAL, "envelope: %s is not %s", what, expected);
	return ENVELOPE_BAD;
}

static enum envelope_result no_memory(struct opening *o)
{
	bursar_fail(o->err, ENOMEM, "out of memory");
	return ENVELOPE_NO_MEMORY;
}

static uint8_t type_of(const struct opening *o, uint32_t node)
{
	return o->doc.nodes[node].type;
}

/* Whether the member was left out, or says nothing. */
static bool is_absent(const struct opening *o, uint32_t node)
{
	return node == 0 || type_of(o, node) == JSON_NULL;
}

/* Strings, and what else has a text of one word. */
static enum envelope_result read_text(struct opening *o, uint32_t node,
                                      const char *what,
                                      struct bursar_span *text)
{
	unsigned met;

	switch (type_of(o, node)) {
	case JSON_STRING:
		return json_text(&o->doc, node, o->arena, text, &met) ?
		       ENVELOPE_OPENED : no_memory(o);
	case JSON_NUMBER:
	case JSON_TRUE:
	case JSON_FALSE:
		*text = json_raw(&o->doc, node);
		return ENVELOPE_OPENED;
	default:
		return bad(o, what, "a text");
	}
}

/* --- kind ------------------------------------------------------------ */

/* The word as far as it can be shown, for a person who mistyped it. */
static void show_word(struct bursar_span word, char shown[MAX_WORD + 1])
{
	const size_t size = word.size < MAX_WORD ? word.size : MAX_WORD;

	for (size_t i = 0; i < size; i++) {
		const char c = word.data[i];

		shown[i] = c > ' ' && c < 0x7f && c != '\'' ? c : '?';
	}
	shown[size] = '\0';
}

static enum envelope_result unknown_kind(struct opening *o,
                                         struct bursar_span name)
{
	char shown[MAX_WORD + 1];
	char known[128] = "";
	size_t size = 0;

	for (size_t i = 0; i < o->schema->kind_count &&
	                   size < sizeof(known); i++) {
		size += (size_t)snprintf(known + size, sizeof(known) - size,
		                         "%s%s", i > 0 ? ", " : "",
		                         o->schema->kinds[i].name);
	}
	show_word(name, shown);
	bursar_fail(o->err, EINVAL,
	            "envelope: '%s' (%zu bytes) is no kind; kinds are %s",
	            shown, name.size, known);
	return ENVELOPE_BAD;
}

static enum envelope_result read_kind(struct opening *o)
{
	const uint32_t node = json_member(&o->doc, 0, "kind");
	struct bursar_span name;
	enum envelope_result result;

	if (o->made.kind != NULL || is_absent(o, node)) {
		return ENVELOPE_OPENED;
	}
	result = read_text(o, node, "kind", &name);
	if (result != ENVELOPE_OPENED) {
		return result;
	}
	o->made.kind = bursar_kind_find(o->schema, name.data, name.size);
	return o->made.kind != NULL ? ENVELOPE_OPENED : unknown_kind(o, name);
}

/* --- properties ------------------------------------------------------ */

static const struct {
	const char *name;
	const char *what;	/* in an error */
	size_t      place;
} properties[] = {
#define PROPERTY(name) \
	{ #name, "properties." #name, offsetof(struct bursar_message, name) }
	PROPERTY(message_id),
	PROPERTY(correlation_id),
	PROPERTY(content_type),
	PROPERTY(content_encoding),
	PROPERTY(app_id),
};

static enum envelope_result read_timestamp(struct opening *o, uint32_t node)
{
	struct bursar_span text;
	enum envelope_result result;

	if (is_absent(o, node)) {
		return ENVELOPE_OPENED;
	}
	result = read_text(o, node, "properties.timestamp", &text);
	if (result != ENVELOPE_OPENED) {
		return result;
	}
	if (rfc3339_parse(text.data, text.size, &o->made.timestamp_us) ||
	    ((type_of(o, node) == JSON_NUMBER ||
	      type_of(o, node) == JSON_STRING) &&
	     json_decimal(&o->doc, node, 6, &o->made.timestamp_us))) {
		return ENVELOPE_OPENED;
	}
	return bad(o, "properties.timestamp", "a time");
}

static enum envelope_result read_property(struct opening *o, uint32_t object,
                                          size_t i)
{
	char *message = (char *)&o->made;
	const uint32_t node = json_member(&o->doc, object,
	                                  properties[i].name);
	struct bursar_span text;
	enum envelope_result result;

	if (is_absent(o, node)) {
		return ENVELOPE_OPENED;
	}
	result = read_text(o, node, properties[i].what, &text);
	if (result == ENVELOPE_OPENED) {
		memcpy(message + properties[i].place, &text, sizeof(text));
	}
	return result;
}

static enum envelope_result read_properties(struct opening *o)
{
	const uint32_t object = json_member(&o->doc, 0, "properties");
	enum envelope_result result = ENVELOPE_OPENED;

	if (is_absent(o, object)) {
		return ENVELOPE_OPENED;
	}
	if (type_of(o, object) != JSON_OBJECT) {
		return bad(o, "properties", "an object");
	}
	for (size_t i = 0; result == ENVELOPE_OPENED &&
	                   i < sizeof(properties) / sizeof(properties[0]);
	     i++) {
		result = read_property(o, object, i);
	}
	return result != ENVELOPE_OPENED ? result :
	       read_timestamp(o, json_member(&o->doc, object, "timestamp"));
}

static enum envelope_result read_routing_key(struct opening *o)
{
	const uint32_t node = json_member(&o->doc, 0, "routing_key");

	return is_absent(o, node) ? ENVELOPE_OPENED :
	       read_text(o, node, "routing_key", &o->made.routing_key);
}

/* --- headers --------------------------------------------------------- */

static bool has_upper_case(struct bursar_span text)
{
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] >= 'A' && text.data[i] <= 'Z') {
			return true;
		}
	}
	return false;
}

static bool lower_case(struct opening *o, struct bursar_span *text)
{
	char *made;

	if (!has_upper_case(*text)) {
		return true;
	}
	made = o->arena->alloc(o->arena, text->size);
	if (made == NULL) {
		return false;
	}
	for (size_t i = 0; i < text->size; i++) {
		const char c = text->data[i];

		made[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
	}
	text->data = made;
	return true;
}

static enum envelope_result read_header(struct opening *o, uint32_t node,
                                        struct bursar_header *header)
{
	unsigned met;

	if (!json_text(&o->doc, node, o->arena, &header->name, &met) ||
	    !lower_case(o, &header->name)) {
		return no_memory(o);
	}
	return read_text(o, node + 1, "a value in headers", &header->value);
}

static size_t count_members(const struct opening *o, uint32_t object)
{
	const struct json_node *nodes = o->doc.nodes;
	size_t count = 0;

	for (uint32_t i = object + 1; i < nodes[object].next;
	     i = nodes[i + 1].next) {
		count++;
	}
	return count;
}

/* Whoever looks for a header takes the first of a name: the envelope's stand
 * before the source's, and its last before its first. */
static enum envelope_result merge_headers(struct opening *o, uint32_t object,
                                          size_t count)
{
	const struct json_node *nodes = o->doc.nodes;
	const size_t all = count + o->made.header_count;
	struct bursar_header *headers = o->arena->alloc(
		o->arena, all * sizeof(*headers));
	size_t place = count;

	if (headers == NULL) {
		return no_memory(o);
	}
	for (uint32_t i = object + 1; i < nodes[object].next;
	     i = nodes[i + 1].next) {
		if (type_of(o, i + 1) == JSON_NULL) {
			continue;
		}

		const enum envelope_result result =
			read_header(o, i, &headers[--place]);

		if (result != ENVELOPE_OPENED) {
			return result;
		}
	}
	if (o->made.header_count > 0) {
		memcpy(headers + count, o->made.headers,
		       o->made.header_count * sizeof(*headers));
	}
	o->made.headers = headers + place;
	o->made.header_count = all - place;
	return ENVELOPE_OPENED;
}

static enum envelope_result read_headers(struct opening *o)
{
	const uint32_t object = json_member(&o->doc, 0, "headers");
	size_t count;

	if (is_absent(o, object)) {
		return ENVELOPE_OPENED;
	}
	if (type_of(o, object) != JSON_OBJECT) {
		return bad(o, "headers", "an object");
	}
	count = count_members(o, object);
	if (count > ENVELOPE_MAX_HEADERS) {
		bursar_fail(o->err, E2BIG,
		            "envelope: %zu headers, at most %d are taken",
		            count, ENVELOPE_MAX_HEADERS);
		return ENVELOPE_BAD;
	}
	return count == 0 ? ENVELOPE_OPENED : merge_headers(o, object, count);
}

/* --- what its first sender was held to -------------------------------- */

static bool is_fixed(const struct bursar_header *fixed, size_t count,
                     struct bursar_span name)
{
	for (size_t i = 0; i < count; i++) {
		if (fixed[i].name.size == name.size &&
		    memcmp(fixed[i].name.data, name.data, name.size) == 0) {
			return true;
		}
	}
	return false;
}

/* What the source fixes stays; what else the envelope has stands beside it. */
static enum envelope_result merge_fixed(struct opening *o, uint32_t object,
                                        size_t count)
{
	const struct bursar_message *source = &o->made;
	const struct json_node *nodes = o->doc.nodes;
	struct bursar_header *fixed = o->arena->alloc(
		o->arena, (source->fixed_count + count) * sizeof(*fixed));
	size_t used = source->fixed_count;

	if (fixed == NULL) {
		return no_memory(o);
	}
	if (used > 0) {
		memcpy(fixed, source->fixed, used * sizeof(*fixed));
	}
	for (uint32_t i = object + 1; i < nodes[object].next;
	     i = nodes[i + 1].next) {
		struct bursar_header *field = &fixed[used];
		unsigned met;

		if (!json_text(&o->doc, i, o->arena, &field->name, &met)) {
			return no_memory(o);
		}
		const enum envelope_result result =
			read_text(o, i + 1, "a value in fixed", &field->value);
		if (result != ENVELOPE_OPENED) {
			return result;
		}
		used += !is_fixed(source->fixed, source->fixed_count,
		                  field->name);
	}
	o->made.fixed = fixed;
	o->made.fixed_count = used;
	return ENVELOPE_OPENED;
}

static enum envelope_result read_fixed(struct opening *o)
{
	const uint32_t object = json_member(&o->doc, 0, "fixed");

	if (is_absent(o, object)) {
		return ENVELOPE_OPENED;
	}
	if (type_of(o, object) != JSON_OBJECT) {
		return bad(o, "fixed", "an object");
	}
	const size_t count = count_members(o, object);
	if (count > ENVELOPE_MAX_FIXED) {
		bursar_fail(o->err, E2BIG,
		            "envelope: %zu fields in fixed, at most %d are "
		            "taken", count, ENVELOPE_MAX_FIXED);
		return ENVELOPE_BAD;
	}
	return count == 0 ? ENVELOPE_OPENED : merge_fixed(o, object, count);
}

/* The kinds that both allow.  No kind at all would mean every one, so it is
 * refused; names that are not known here allow nothing. */
static enum envelope_result read_kinds(struct opening *o)
{
	const uint32_t list = json_member(&o->doc, 0, "kinds");
	const struct json_node *nodes = o->doc.nodes;
	uint64_t kinds = 0;

	if (is_absent(o, list)) {
		return ENVELOPE_OPENED;
	}
	if (type_of(o, list) != JSON_ARRAY) {
		return bad(o, "kinds", "a list");
	}
	for (uint32_t i = list + 1; i < nodes[list].next; i = nodes[i].next) {
		struct bursar_span name;
		const enum envelope_result result =
			read_text(o, i, "a name in kinds", &name);

		if (result != ENVELOPE_OPENED) {
			return result;
		}
		const struct bursar_kind *kind =
			bursar_kind_find(o->schema, name.data, name.size);
		if (kind != NULL) {
			kinds |= UINT64_C(1) << kind->number;
		}
	}
	if (o->made.kinds != 0) {
		kinds &= o->made.kinds;
	}
	o->made.kinds = kinds;
	return kinds != 0 ? ENVELOPE_OPENED :
	       bad(o, "kinds", "a list of any kind that may come this way");
}

/* --- body ------------------------------------------------------------ */

static unsigned hex4(const char *at)
{
	unsigned code = 0;

	for (int i = 0; i < 4; i++) {
		const char c = at[i];

		code = code << 4 | (unsigned)(c <= '9' ? c - '0' :
		                              (c | 0x20) - 'a' + 10);
	}
	return code;
}

static char *put_utf8(char *out, unsigned code)
{
	if (code < 0x80) {
		*out++ = (char)code;
	} else if (code < 0x800) {
		*out++ = (char)(0xc0 | code >> 6);
		*out++ = (char)(0x80 | (code & 0x3f));
	} else if (code < 0x10000) {
		*out++ = (char)(0xe0 | code >> 12);
		*out++ = (char)(0x80 | (code >> 6 & 0x3f));
		*out++ = (char)(0x80 | (code & 0x3f));
	} else {
		*out++ = (char)(0xf0 | code >> 18);
		*out++ = (char)(0x80 | (code >> 12 & 0x3f));
		*out++ = (char)(0x80 | (code >> 6 & 0x3f));
		*out++ = (char)(0x80 | (code & 0x3f));
	}
	return out;
}

/* One escape at *at to out; NULL: half a surrogate pair. */
static char *put_escape(const char **at, const char *end, char *out)
{
	static const char letters[] = "bfnrt";
	static const char meant[] = "\b\f\n\r\t";
	const char *p = *at;
	unsigned code;

	if (p[1] != 'u') {
		const char *letter = strchr(letters, p[1]);

		*out = letter != NULL ? meant[letter - letters] : p[1];
		*at = p + 2;
		return out + 1;
	}
	code = hex4(p + 2);
	*at = p + 6;
	if (code < 0xd800 || code > 0xdfff) {
		return put_utf8(out, code);
	}
	if (code > 0xdbff || end - p < 12 || p[6] != '\\' || p[7] != 'u') {
		return NULL;
	}

	const unsigned low = hex4(p + 8);

	*at = p + 12;
	return low < 0xdc00 || low > 0xdfff ? NULL :
	       put_utf8(out, 0x10000 + ((code & 0x3ff) << 10) + (low & 0x3ff));
}

/* As json_text(), but a NUL is a NUL: bytes of a body may be anything. */
static enum envelope_result unescape(struct opening *o, struct bursar_span in)
{
	char *made = o->arena->alloc(o->arena, in.size);
	const char *end = in.data + in.size;
	char *out = made;

	if (made == NULL) {
		return no_memory(o);
	}
	for (const char *at = in.data; at < end;) {
		const char *stop = memchr(at, '\\', (size_t)(end - at));
		const size_t plain = (size_t)((stop == NULL ? end : stop) - at);

		memcpy(out, at, plain);
		out += plain;
		at += plain;
		if (at < end) {
			out = put_escape(&at, end, out);
		}
		if (out == NULL) {
			return bad(o, "body", "text: it has half a surrogate "
			           "pair");
		}
	}
	o->made.body = (struct bursar_span){ made, (size_t)(out - made) };
	return ENVELOPE_OPENED;
}

static enum envelope_result read_plain(struct opening *o, uint32_t node)
{
	struct bursar_span raw = json_raw(&o->doc, node);

	if (type_of(o, node) == JSON_STRING) {
		raw.data++;
		raw.size -= 2;
		if (o->doc.nodes[node].escaped) {
			return unescape(o, raw);
		}
	}
	o->made.body = raw;
	return ENVELOPE_OPENED;
}

static enum envelope_result read_base64(struct opening *o, uint32_t node)
{
	struct bursar_span text;
	unsigned char *made;
	unsigned met;
	size_t room;
	size_t size;

	if (type_of(o, node) != JSON_STRING) {
		return bad(o, "body_base64", "a text");
	}
	if (!json_text(&o->doc, node, o->arena, &text, &met)) {
		return no_memory(o);
	}
	room = text.size / 4 * 3 + 3;
	made = o->arena->alloc(o->arena, room);
	if (made == NULL) {
		return no_memory(o);
	}
	if (sodium_base642bin(made, room, text.data, text.size, NULL, &size,
	                      NULL, sodium_base64_VARIANT_ORIGINAL) != 0) {
		return bad(o, "body_base64", "base64");
	}
	o->made.body = (struct bursar_span){ (const char *)made, size };
	return ENVELOPE_OPENED;
}

/* --- all of it ------------------------------------------------------- */

static enum envelope_result take_out(struct opening *o, uint32_t plain,
                                     uint32_t base64)
{
	enum envelope_result result = read_kind(o);

	if (result == ENVELOPE_OPENED) {
		result = read_routing_key(o);
	}
	if (result == ENVELOPE_OPENED) {
		result = read_properties(o);
	}
	if (result == ENVELOPE_OPENED) {
		result = read_headers(o);
	}
	if (result == ENVELOPE_OPENED) {
		result = read_fixed(o);
	}
	if (result == ENVELOPE_OPENED) {
		result = read_kinds(o);
	}
	if (result == ENVELOPE_OPENED) {
		result = plain > base64 ? read_plain(o, plain) :
		         read_base64(o, base64);
	}
	return result;
}

enum envelope_result envelope_open(struct json_reader *reader,
                                   struct bursar_arena *arena,
                                   const struct bursar_schema *schema,
                                   struct bursar_message *message,
                                   struct bursar_error *err)
{
	struct opening o = {
		.arena = arena, .schema = schema, .made = *message, .err = err,
	};
	struct bursar_error why = { 0 };
	enum envelope_result result;
	uint32_t plain;
	uint32_t base64;

	if (!may_be_an_envelope(message)) {
		return ENVELOPE_NONE;
	}
	if (json_read(reader, message->body.data, message->body.size, &o.doc,
	              &why) != 0) {
		return why.code == ENOMEM ? no_memory(&o) : ENVELOPE_NONE;
	}
	plain = json_member(&o.doc, 0, "body");
	base64 = json_member(&o.doc, 0, "body_base64");
	if (plain == 0 && base64 == 0) {
		return ENVELOPE_NONE;
	}
	result = take_out(&o, plain, base64);
	if (result == ENVELOPE_OPENED) {
		*message = o.made;
	}
	return result;
}

static const struct {
	const char *prefix;
	const char *kind;
} routes[] = {
	{ "metering", "metering" },
	{ "audit.prompt", "prompt" },
	{ "audit.tool", "tool" },
};

const struct bursar_kind *envelope_kind(const struct bursar_schema *schema,
                                        const struct bursar_message *message)
{
	const struct bursar_span key = message->routing_key;

	if (message->kind != NULL) {
		return message->kind;
	}
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		const size_t size = strlen(routes[i].prefix);

		if (key.size >= size &&
		    memcmp(key.data, routes[i].prefix, size) == 0 &&
		    (key.size == size || key.data[size] == '.')) {
			return bursar_kind_find(schema, routes[i].kind,
			                        strlen(routes[i].kind));
		}
	}
	return NULL;
}
