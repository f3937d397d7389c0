/* SPDX-License-Identifier: Apache-2.0 */

/* Frames to a message. */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "amqp_message.h"

/* A body's room that is given back after its message. */
#define ROOM_KEPT ((size_t)1 << 20)

/* The last second that a person may mean: the end of the year 9999. */
#define LAST_SECOND UINT64_C(253402300799)

#define NUMBER_SIZE 40

int rq_message_init(struct rq_message *m)
{
	memset(m, 0, sizeof(*m));
	m->text = malloc(RQ_TEXT_SIZE);
	return m->text != NULL ? 0 : -1;
}

void rq_message_finish(struct rq_message *m)
{
	free(m->text);
	free(m->body);
	m->text = m->body = NULL;
}

void rq_message_clear(struct rq_message *m)
{
	m->stage = RQ_NOTHING;
	if (m->body_room > ROOM_KEPT) {
		free(m->body);
		m->body = NULL;
		m->body_room = 0;
	}
}

/* --- text ----------------------------------------------------------------- */

static bool fits(const struct rq_message *m, size_t size)
{
	return size <= RQ_TEXT_SIZE - m->text_used;
}

/* A copy; the caller has looked whether it fits. */
static struct bursar_span keep(struct rq_message *m, amqp_bytes_t bytes)
{
	char *data = m->text + m->text_used;

	assert(fits(m, bytes.len));

	if (bytes.len > 0) {
		memcpy(data, bytes.bytes, bytes.len);
	}
	m->text_used += bytes.len;
	return (struct bursar_span){ data, bytes.len };
}

static struct bursar_span keep_lower(struct rq_message *m, amqp_bytes_t bytes)
{
	const struct bursar_span kept = keep(m, bytes);
	char *data = m->text + m->text_used - kept.size;

	for (size_t i = 0; i < kept.size; i++) {
		if (data[i] >= 'A' && data[i] <= 'Z') {
			data[i] = (char)(data[i] - 'A' + 'a');
		}
	}
	return kept;
}

/* The text of an integer, or -1: it is none. */
static int print_integer(char *out, const amqp_field_value_t *value)
{
	int64_t number;

	switch ((amqp_field_value_kind_t)value->kind) {
	case AMQP_FIELD_KIND_I8:  number = (int)value->value.i8;
		break;
	case AMQP_FIELD_KIND_U8:  number = value->value.u8; break;
	case AMQP_FIELD_KIND_I16: number = value->value.i16; break;
	case AMQP_FIELD_KIND_U16: number = value->value.u16; break;
	case AMQP_FIELD_KIND_I32: number = value->value.i32; break;
	case AMQP_FIELD_KIND_U32: number = value->value.u32; break;
	case AMQP_FIELD_KIND_I64: number = value->value.i64; break;
	case AMQP_FIELD_KIND_U64:
	case AMQP_FIELD_KIND_TIMESTAMP:
		return snprintf(out, NUMBER_SIZE, "%" PRIu64,
		                value->value.u64);
	default:
		return -1;
	}
	return snprintf(out, NUMBER_SIZE, "%" PRId64, number);
}

/* In digits, with the shortest text that means the same. */
static int print_real(char *out, double number)
{
	if (!isfinite(number)) {
		return -1;
	}
	int size = 0;
	for (int digits = 6; digits <= 17; digits++) {
		size = snprintf(out, NUMBER_SIZE, "%.*g", digits, number);
		if (strtod(out, NULL) == number) {
			break;
		}
	}
	return size;
}

static int print_decimal(char *out, amqp_decimal_t decimal)
{
	return decimal.decimals == 0
		? snprintf(out, NUMBER_SIZE, "%" PRIu32, decimal.value)
		: snprintf(out, NUMBER_SIZE, "%" PRIu32 "e-%u", decimal.value,
		           decimal.decimals);
}

/* The text of a value; a number's stands in `out`.  False: it has none. */
static bool text_of(const amqp_field_value_t *value, char out[NUMBER_SIZE],
                    amqp_bytes_t *text)
{
	int size;

	switch ((amqp_field_value_kind_t)value->kind) {
	case AMQP_FIELD_KIND_UTF8:
	case AMQP_FIELD_KIND_BYTES:
		*text = value->value.bytes;
		return true;
	case AMQP_FIELD_KIND_BOOLEAN:
		*text = amqp_cstring_bytes(value->value.boolean ? "true"
		                                                : "false");
		return true;
	case AMQP_FIELD_KIND_F32:
		size = print_real(out, (double)value->value.f32);
		break;
	case AMQP_FIELD_KIND_F64:
		size = print_real(out, value->value.f64);
		break;
	case AMQP_FIELD_KIND_DECIMAL:
		size = print_decimal(out, value->value.decimal);
		break;
	default:
		size = print_integer(out, value);
		break;
	}
	if (size < 0) {
		return false;
	}
	*text = (amqp_bytes_t){ (size_t)size, out };
	return true;
}

/* --- properties ----------------------------------------------------------- */

static bool is_named(amqp_bytes_t bytes, const char *name)
{
	return bytes.len == strlen(name) &&
	       memcmp(bytes.bytes, name, bytes.len) == 0;
}

static void take_deliveries(struct rq_message *m,
                            const amqp_field_value_t *value)
{
	char text[NUMBER_SIZE];

	if (print_integer(text, value) > 0) {
		m->deliveries = strtoll(text, NULL, 10);
	}
}

static void take_header(struct rq_message *m, const amqp_table_entry_t *entry)
{
	char number[NUMBER_SIZE];
	amqp_bytes_t text;

	if (is_named(entry->key, "x-delivery-count")) {
		take_deliveries(m, &entry->value);
	}
	if (!text_of(&entry->value, number, &text)) {
		return;		/* a table, a list, or nothing */
	}
	if (m->message.header_count == RQ_HEADERS ||
	    !fits(m, entry->key.len + text.len)) {
		m->left_out++;
		return;
	}
	struct bursar_header *header = &m->headers[m->message.header_count++];
	header->name = keep_lower(m, entry->key);
	header->value = keep(m, text);
}

static void take_properties(struct rq_message *m,
                            const amqp_basic_properties_t *p)
{
	const struct {
		amqp_flags_t        flag;
		amqp_bytes_t        bytes;
		struct bursar_span *to;
	} texts[] = {
		{ AMQP_BASIC_MESSAGE_ID_FLAG, p->message_id,
		  &m->message.message_id },
		{ AMQP_BASIC_CORRELATION_ID_FLAG, p->correlation_id,
		  &m->message.correlation_id },
		{ AMQP_BASIC_CONTENT_TYPE_FLAG, p->content_type,
		  &m->message.content_type },
		{ AMQP_BASIC_CONTENT_ENCODING_FLAG, p->content_encoding,
		  &m->message.content_encoding },
		{ AMQP_BASIC_APP_ID_FLAG, p->app_id, &m->message.app_id },
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (p->_flags & texts[i].flag) {
			*texts[i].to = keep(m, texts[i].bytes);
		}
	}
	if (p->_flags & AMQP_BASIC_TIMESTAMP_FLAG &&
	    p->timestamp <= LAST_SECOND) {
		m->message.timestamp_us = (int64_t)p->timestamp * 1000000;
	}
	for (int i = 0; p->_flags & AMQP_BASIC_HEADERS_FLAG &&
	     i < p->headers.num_entries; i++) {
		take_header(m, &p->headers.entries[i]);
	}
	m->message.headers = m->headers;
}

/* --- frames --------------------------------------------------------------- */

int rq_message_deliver(struct rq_message *m,
                       const amqp_basic_deliver_t *deliver)
{
	if (m->stage != RQ_NOTHING) {
		return -1;
	}
	m->stage = RQ_NEEDS_HEADER;
	m->tag = deliver->delivery_tag;
	m->deliveries = 0;
	m->left_out = 0;
	m->text_used = 0;
	m->message = (struct bursar_message){ 0 };
	if (deliver->redelivered) {
		m->message.flags = BURSAR_MESSAGE_REDELIVERED;
	}
	m->message.routing_key = keep(m, deliver->routing_key);
	return 0;
}

/* Room for the part of the body that is kept. */
static int reserve(struct rq_message *m)
{
	if (m->wanted <= m->body_room) {
		return 0;
	}
	char *body = realloc(m->body, m->wanted);
	if (body == NULL) {
		errno = ENOMEM;
		return -1;
	}
	m->body = body;
	m->body_room = m->wanted;
	return 0;
}

static void end(struct rq_message *m)
{
	unsigned char bytes[crypto_hash_sha256_BYTES];

	m->stage = RQ_WHOLE;
	m->message.body = (struct bursar_span){
		m->kept > 0 ? m->body : "", m->kept,
	};
	if (m->message.flags & BURSAR_MESSAGE_OVERSIZE) {
		crypto_hash_sha256_final(&m->hash, bytes);
		sodium_bin2hex(m->digest, sizeof(m->digest), bytes,
		               sizeof(bytes));
		m->message.digest = (struct bursar_span){
			m->digest, sizeof(m->digest) - 1,
		};
	}
}

int rq_message_header(struct rq_message *m, uint64_t size,
                      const amqp_basic_properties_t *properties,
                      size_t max_message)
{
	if (m->stage != RQ_NEEDS_HEADER) {
		errno = EPROTO;
		return -1;
	}
	take_properties(m, properties);
	m->kept = 0;
	m->seen = 0;
	m->full = size;
	m->wanted = (size_t)size;
	if (size > max_message) {
		m->message.flags |= BURSAR_MESSAGE_OVERSIZE;
		m->message.full_size = size;
		crypto_hash_sha256_init(&m->hash);
		m->wanted = size < RQ_KEPT_OF_OVERSIZE ? (size_t)size
		                                       : RQ_KEPT_OF_OVERSIZE;
	}
	if (reserve(m) != 0) {
		return -1;
	}
	m->stage = RQ_NEEDS_BODY;
	if (size == 0) {
		end(m);
	}
	return 0;
}

int rq_message_body(struct rq_message *m, amqp_bytes_t piece)
{
	if (m->stage != RQ_NEEDS_BODY ||
	    piece.len > m->full - m->seen) {
		return -1;
	}

	const size_t room = m->wanted - m->kept;
	const size_t more = piece.len < room ? piece.len : room;
	if (more > 0) {
		memcpy(m->body + m->kept, piece.bytes, more);
	}
	m->kept += more;
	m->seen += piece.len;
	if (m->message.flags & BURSAR_MESSAGE_OVERSIZE) {
		crypto_hash_sha256_update(&m->hash, piece.bytes, piece.len);
	}
	if (m->seen == m->full) {
		end(m);
	}
	return 0;
}
