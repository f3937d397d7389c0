/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Messages are opened together, since a crypto may ask a server for a whole
 * batch at once, and then decoded one after another in order of arrival.
 */
#include "config.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/log.h"
#include "base/metrics.h"
#include "common/json.h"
#include "common/rfc3339.h"
#include "common/utf8.h"
#include "flow/bodies.h"
#include "flow/envelope.h"
#include "flow/identity.h"
#include "flow/prepare.h"
#include "flow/tagging.h"

#define DAY_US       INT64_C(86400000000)
#define YEAR_2015_US INT64_C(1420070400000000)
#define ENCRYPTED    "encrypted/"
#define EXTRA_MAX    8192u	/* bytes of extra_json */

/* One text for every cause, so that nobody learns from it. */
static const char undecryptable_text[] = "it cannot be decrypted";

static void find_fields(struct preparer *p)
{
	for (size_t i = 0; i < SCHEMA_KINDS; i++) {
		p->worker_field[i] = bursar_field_find(&schema.kinds[i],
		                                       "worker_id");
		p->team_field[i] = bursar_field_find(&schema.kinds[i], "team");
	}
}

/* Lowest first. */
static void add_default_tags(const struct preparer *p, struct tags *tags)
{
	for (size_t i = 0; i < p->source->tag_count; i++) {
		tags_add(tags, p->source->tags[i].name,
		         p->source->tags[i].value, false);
	}
}

static bool make_default_tags(struct preparer *p)
{
	struct tags tags;

	p->tags_field = bursar_field_find(&schema.kinds[0], "tags");
	assert(schema.kinds[0].fact && p->tags_field >= 0);
	tags_begin(&tags, NULL, &p->tagging.base);
	add_default_tags(p, &tags);
	return tags_write(&tags, &p->default_tags);
}

int preparer_init(struct preparer *p, struct bursar_error *err)
{
	p->pricer = pricer_create(p->prices, p->source->item.name,
	                          p->source->cost_computed);
	arena_init(&p->sealing);
	arena_init(&p->tagging);
	p->json = json_reader_create();
	p->scratch_size = 64 << 10;
	p->scratch = malloc(p->scratch_size);
	find_fields(p);
	if (p->pricer == NULL || p->json == NULL || p->scratch == NULL ||
	    !make_default_tags(p)) {
		preparer_finish(p);
		return bursar_fail(err, ENOMEM, "out of memory");
	}
	return 0;
}

void preparer_finish(struct preparer *p)
{
	pricer_destroy(p->pricer);
	json_reader_destroy(p->json);
	arena_clear(&p->sealing);
	arena_clear(&p->tagging);
	free(p->scratch);
	p->pricer = NULL;
	p->json = NULL;
	p->scratch = NULL;
}

/* --- opening ------------------------------------------------------------- */

/* What became of one message so far. */
enum step {
	STEP_ON,		/* goes on */
	STEP_LETTER,		/* is a dead letter now */
	STEP_MEMORY,
	STEP_STUCK,		/* the letter could not be written */
	STEP_NO_KEY,		/* it cannot be sealed now */
};

/* A sender that is answered learns one thing only of what it sealed: whether
 * it was taken. */
static enum step letter(struct preparer *p, struct flight_message *m,
                        const char *reason, const char *text,
                        struct bursar_error *err)
{
	if (m->sealed && p->source->strangers) {
		text = undecryptable_text;
	}
	if (letter_write(p->box, m, reason, text, NULL, NULL, err) != 0) {
		return STEP_STUCK;
	}
	atomic_fetch_or(&m->happened, FLIGHT_REFUSED);
	return STEP_LETTER;
}

static bool is_letter(const struct flight_message *m)
{
	return (atomic_load(&((struct flight_message *)m)->happened) &
	        FLIGHT_REFUSED) != 0;
}

static bool is_encrypted(const struct bursar_message *m)
{
	return m->content_encoding.size >= strlen(ENCRYPTED) &&
	       memcmp(m->content_encoding.data, ENCRYPTED,
	              strlen(ENCRYPTED)) == 0;
}

/* A source should have cut it; as said in bursar/message.h. */
static bool cut(struct flight_message *m)
{
	struct bursar_message *d = m->delivered;
	uint8_t hash[crypto_hash_sha256_BYTES];
	const size_t room = 2 * sizeof(hash) + 1;
	char *hex = arena_alloc(&m->flight->arena, room);

	if (hex == NULL) {
		return false;
	}
	crypto_hash_sha256(hash, (const uint8_t *)d->body.data, d->body.size);
	sodium_bin2hex(hex, room, hash, sizeof(hash));
	d->digest = (struct bursar_span){ hex, room - 1 };
	d->full_size = d->body.size;
	if (d->body.size > DEAD_OVERSIZE_KEPT) {
		d->body.size = DEAD_OVERSIZE_KEPT;
	}
	d->flags |= BURSAR_MESSAGE_OVERSIZE;
	return true;
}

/* Takes a message out of its envelope; `clear` is its own from then on. */
static enum step unwrap(struct preparer *p, struct flight_message *m,
                        struct bursar_error *err)
{
	struct bursar_error why = { 0 };
	struct bursar_message clear = *m->delivered;

	if (!(m->delivered->flags & BURSAR_MESSAGE_OVERSIZE) &&
	    m->delivered->body.size > p->max_message && !cut(m)) {
		return STEP_MEMORY;
	}
	if (m->delivered->flags & BURSAR_MESSAGE_OVERSIZE) {
		return letter(p, m, DEAD_OVERSIZE,
		              "it is longer than max-message", err);
	}
	clear.kind = p->source->kind;
	switch (envelope_open(p->json, &m->flight->arena.base, &schema, &clear,
	                      &why)) {
	case ENVELOPE_NONE:
		/* It may be prepared for the second time. */
		m->clear = m->delivered;
		m->clear->kind = clear.kind;
		break;
	case ENVELOPE_OPENED:
		m->clear = arena_alloc(&m->flight->scratch, sizeof(clear));
		if (m->clear == NULL) {
			m->clear = m->delivered;
			return STEP_MEMORY;
		}
		*m->clear = clear;
		break;
	case ENVELOPE_BAD:
		return letter(p, m, DEAD_ENVELOPE,
		              flight_keep_text(m, why.text), err);
	case ENVELOPE_NO_MEMORY:
		return STEP_MEMORY;
	}
	m->clear->kind = envelope_kind(&schema, m->clear);
	return STEP_ON;
}

static enum step need_crypto(struct preparer *p, struct flight_message *m,
                             struct bursar_error *err)
{
	if (!is_encrypted(m->clear)) {
		return p->source->require_encryption
			? letter(p, m, DEAD_NOT_ENCRYPTED,
			         "the source takes encrypted messages only", err)
			: STEP_ON;
	}
	if (p->keyring == NULL ||
	    !keyring_opens(p->keyring, m->clear->content_encoding)) {
		return letter(p, m, DEAD_NO_KEY,
		              "no crypto of its source opens its content"
		              " encoding", err);
	}
	return STEP_ON;
}

/* The encrypted messages of a flight, in its order; in its scratch memory. */
struct opening {
	struct flight_message **messages;
	struct bursar_sealed   *results;	/* one for each, after unseal() */
	size_t                  count;
	size_t                  next;		/* see result_of() */
};

/* Opens every message of the list at once. */
static enum bursar_verdict unseal(struct preparer *p, struct flight *flight,
                                  struct opening *opening,
                                  struct bursar_error *err)
{
	const size_t count = opening->count;

	if (count == 0) {
		return BURSAR_DONE;
	}
	opening->results = arena_alloc(&flight->scratch,
	                               count * sizeof(*opening->results));
	if (opening->results == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return BURSAR_RETRY;
	}
	for (size_t i = 0; i < count; i++) {
		opening->results[i] = (struct bursar_sealed){
			.message = opening->messages[i]->clear,
			.proven = p->source->strangers,
		};
	}
	return keyring_unseal(p->keyring, opening->results, count,
	                      &flight->arena.base, err);
}

/* What became of `m`, or NULL if it was in clear; asked in their order. */
static const struct bursar_sealed *result_of(struct opening *opening,
                                             const struct flight_message *m)
{
	if (opening->next == opening->count ||
	    opening->messages[opening->next] != m) {
		return NULL;
	}
	return &opening->results[opening->next++];
}

/* The opened message takes the place of the sealed one. */
static enum step take_plain(struct preparer *p, struct flight_message *m,
                            const struct bursar_sealed *sealed,
                            struct bursar_error *err)
{
	switch (sealed->result) {
	case BURSAR_OPENED:
		if (sealed->legacy && p->source->strangers) {
			return letter(p, m, DEAD_UNDECRYPTABLE,
			              undecryptable_text, err);
		}
		p->broken_in_row = 0;
		break;
	case BURSAR_BROKEN:
		/* One sender's mistakes do not slow down the others. */
		p->broken_in_row += !p->source->strangers;
		return letter(p, m, DEAD_UNDECRYPTABLE, undecryptable_text, err);
	case BURSAR_NO_KEY:
		return letter(p, m, DEAD_NO_KEY,
		              "it is sealed under a key that is not known",
		              err);
	}
	if (m->clear == m->delivered) {
		struct bursar_message *clear =
			arena_alloc(&m->flight->scratch, sizeof(*clear));
		if (clear == NULL) {
			return STEP_MEMORY;
		}
		*clear = *m->delivered;
		m->clear = clear;
	}
	m->clear->body = sealed->plain;
	m->clear->content_encoding = (struct bursar_span){ 0 };
	return STEP_ON;
}

/* --- decoding ------------------------------------------------------------ */

struct decoding {
	struct bursar_records  records;	/* first: what the format sees */
	struct flight_message *message;
};

static struct bursar_record *add_record(struct bursar_records *records,
                                        const struct bursar_kind *kind)
{
	struct decoding *decoding = (struct decoding *)records;
	struct flight_record *added = flight_add_record(decoding->message, kind);

	return added != NULL ? added->record : NULL;
}

/* "origin:offset", for ever the same for this message. */
static bool id_by_place(struct arena *arena, const struct bursar_message *m,
                        struct bursar_span *id)
{
	char number[24];
	const int digits = snprintf(number, sizeof(number), ":%llu",
	                            (unsigned long long)m->offset);
	char *text = arena_alloc(arena, m->origin.size + (size_t)digits);

	if (text == NULL) {
		return false;
	}
	memcpy(text, m->origin.data, m->origin.size);
	memcpy(text + m->origin.size, number, (size_t)digits);
	*id = (struct bursar_span){ text, m->origin.size + (size_t)digits };
	return true;
}

/* Equal calls are separate calls: the sink counts them (#0, #1 ...). */
static bool id_by_content(struct arena *arena, const struct bursar_message *m,
                          struct bursar_span *id)
{
	const uint64_t timestamp = htole64((uint64_t)m->timestamp_us);
	crypto_generichash_state state;
	uint8_t hash[16];
	char *text = arena_alloc(arena, 2 * sizeof(hash) + 1);

	if (text == NULL) {
		return false;
	}
	crypto_generichash_init(&state, NULL, 0, sizeof(hash));
	crypto_generichash_update(&state, (const uint8_t *)m->place.data,
	                          m->place.size);
	crypto_generichash_update(&state, (const uint8_t *)&timestamp,
	                          sizeof(timestamp));
	crypto_generichash_update(&state, (const uint8_t *)m->body.data,
	                          m->body.size);
	crypto_generichash_final(&state, hash, sizeof(hash));
	sodium_bin2hex(text, 2 * sizeof(hash) + 1, hash, sizeof(hash));
	*id = (struct bursar_span){ text, 2 * sizeof(hash) };
	return true;
}

/* An id of a property, or a path, may hold any bytes. */
static bool clean_id(struct arena *arena, struct bursar_record *record,
                     struct bursar_span *id)
{
	if (utf8_is_clean(*id)) {
		return true;
	}
	if (id->size > SIZE_MAX / UTF8_ESCAPE) {
		return false;
	}
	char *text = arena_alloc(arena, id->size * UTF8_ESCAPE);
	if (text == NULL) {
		return false;
	}
	if (memchr(id->data, '\0', id->size) != NULL) {
		bursar_set_flag(record, BURSAR_DQ_NUL);
	}
	*id = (struct bursar_span){ text, utf8_escape(*id, text) };
	return true;
}

/* The id of the message: its own, its place, or a hash of it. */
static bool find_id(struct flight_message *m, struct bursar_record *record,
                    struct bursar_span *id)
{
	const struct bursar_value *own = &record->values[BURSAR_MESSAGE_ID];
	struct arena *arena = &m->flight->arena;

	if (m->clear->message_id.size > 0) {
		*id = m->clear->message_id;
		return true;
	}
	if (own->is_set && own->size > 0) {
		*id = (struct bursar_span){ own->text, own->size };
		return true;
	}
	bursar_set_flag(record, BURSAR_DQ_ID_DERIVED);
	if (m->clear->origin.data != NULL) {
		return id_by_place(arena, m->clear, id);
	}
	record->flags |= BURSAR_RECORD_COUNTED;
	return id_by_content(arena, m->clear, id);
}

/* id#n */
static bool number_id(struct arena *arena, size_t n, struct bursar_span *id)
{
	char number[24];
	const int digits = snprintf(number, sizeof(number), "#%zu", n);
	char *text = arena_alloc(arena, id->size + (size_t)digits);

	if (text == NULL) {
		return false;
	}
	memcpy(text, id->data, id->size);
	memcpy(text + id->size, number, (size_t)digits);
	*id = (struct bursar_span){ text, id->size + (size_t)digits };
	return true;
}

/*
 * Sets id and key.  The n-th of several records of one message has the number
 * n behind its id; the number that a sink counts up comes last.
 */
static bool set_id(struct flight_message *m, struct bursar_record *record,
                   size_t n, size_t of)
{
	struct arena *arena = &m->flight->arena;
	struct bursar_span id;

	if (!find_id(m, record, &id) || !clean_id(arena, record, &id) ||
	    (of > 1 && !number_id(arena, n, &id)) ||
	    ((record->flags & BURSAR_RECORD_COUNTED) &&
	     !number_id(arena, 0, &id))) {
		return false;
	}
	bursar_set_text(record, BURSAR_MESSAGE_ID, id.data, id.size);
	identity_key(record->kind, id.data, id.size, record->key);
	return true;
}

/* Puts `"name":"text"` into extra_json, as long as that does not grow too
 * large. */
static bool keep_extra(struct arena *arena, struct bursar_record *record,
                       const char *name, const char *text)
{
	const struct bursar_value *old = &record->values[BURSAR_EXTRA_JSON];
	const bool more = old->is_set && old->size > 2;
	/* Quotes, colon, brackets or comma, and what stands there. */
	const size_t size = strlen(name) + strlen(text) +
		(more ? 6 + old->size : 7);

	if (size > EXTRA_MAX) {
		bursar_set_flag(record, BURSAR_DQ_EXTRA_CUT);
		return true;
	}
	char *out = arena_alloc(arena, size + 1);
	if (out == NULL) {
		return false;
	}
	if (more) {
		snprintf(out, size + 1, "{\"%s\":\"%s\",%.*s", name, text,
		         (int)old->size - 1, old->text + 1);
	} else {
		snprintf(out, size + 1, "{\"%s\":\"%s\"}", name, text);
	}
	bursar_set_text(record, BURSAR_EXTRA_JSON, out, size);
	return true;
}

/* recorded_at is always set, and within what partitions and cells can hold. */
static bool settle_times(struct arena *arena, struct bursar_record *record,
                         int64_t now)
{
	struct bursar_value *at = &record->values[BURSAR_RECORDED_AT];

	bursar_set_number(record, BURSAR_INSERTED_AT, now);
	if (!at->is_set) {
		const int64_t flags = record->values[BURSAR_DQ_FLAGS].number;

		if (!(flags & BURSAR_DQ_TIME_UNREADABLE)) {
			bursar_set_flag(record, BURSAR_DQ_TIME_MISSING);
		}
		bursar_set_number(record, BURSAR_RECORDED_AT, now);
		return true;
	}
	if (at->number < YEAR_2015_US || at->number > now + DAY_US) {
		char text[RFC3339_SIZE];

		bursar_set_flag(record, BURSAR_DQ_TIME_RANGE);
		if (!keep_extra(arena, record, "recorded_at",
		                rfc3339_format(at->number, text))) {
			return false;
		}
		bursar_set_number(record, BURSAR_RECORDED_AT, now);
	}
	return true;
}

/* Texts of the producer's that its source knows better. */
static void set_fixed(struct bursar_record *record,
                      const struct bursar_message *message)
{
	for (size_t i = 0; i < message->fixed_count; i++) {
		const struct bursar_header *fixed = &message->fixed[i];
		for (size_t f = BURSAR_COMMON_FIELDS;
		     f < record->kind->field_count; f++) {
			const struct bursar_field *field =
				&record->kind->fields[f];

			if (field->type == BURSAR_TEXT &&
			    !(field->flags & BURSAR_FIELD_CORE) &&
			    strlen(field->name) == fixed->name.size &&
			    memcmp(field->name, fixed->name.data,
			           fixed->name.size) == 0) {
				bursar_set_text(record, (int)f,
				                fixed->value.data,
				                fixed->value.size);
			}
		}
	}
}

/* --- tags ---------------------------------------------------------------- */

/* What the sender may not change. */
static void add_fixed_tags(const struct bursar_message *message,
                           struct tags *tags)
{
	const size_t prefix = strlen(TAGS_PREFIX);

	for (size_t i = 0; i < message->fixed_count; i++) {
		const struct bursar_header *fixed = &message->fixed[i];

		if (fixed->name.size > prefix &&
		    memcmp(fixed->name.data, TAGS_PREFIX, prefix) == 0) {
			tags_add(tags, (struct bursar_span){
				fixed->name.data + prefix,
				fixed->name.size - prefix }, fixed->value, true);
		}
	}
}

/* Reads what a format set; a root of another type: it set nothing of sense. */
static bool read_tags(struct preparer *p, struct arena *arena,
                      struct bursar_record *record, struct json_doc *doc)
{
	static const struct json_node nothing = { .type = JSON_NULL };
	const struct bursar_value *said = &record->values[p->tags_field];
	struct bursar_error why = { 0 };
	char *text = arena_alloc(arena, said->size);

	if (text == NULL) {
		return false;
	}
	memcpy(text, said->text, said->size);
	if (json_read(p->json, text, said->size, doc, &why) == 0) {
		return true;
	}
	bursar_set_flag(record, BURSAR_DQ_TYPE);
	*doc = (struct json_doc){ .nodes = &nothing };
	return why.code != ENOMEM;
}

static void add_said_tags(const struct json_doc *doc, struct tags *tags)
{
	const struct json_node *nodes = doc->nodes;

	if (nodes[0].type != JSON_ARRAY) {
		tags_add_object(tags, 0);
		return;
	}
	for (uint32_t at = 1; at < nodes[0].next; at = nodes[at].next) {
		tags_add_object(tags, at);
	}
}

/* Tags are written anew, in the one way in which they are stored. */
static bool settle_tags(struct preparer *p, struct flight_message *m,
                        struct bursar_record *record)
{
	struct bursar_value *value = &record->values[p->tags_field];
	struct arena *arena = &m->flight->arena;
	const bool said = value->is_set;
	struct bursar_span json;
	struct json_doc doc;
	struct tags tags;

	if (!said && m->clear->fixed_count == 0) {
		if (p->default_tags.size == 0) {
			return true;
		}
		json = arena_copy(arena, p->default_tags);
		bursar_set_text(record, p->tags_field, json.data, json.size);
		return json.data != NULL;
	}
	if (said && !read_tags(p, arena, record, &doc)) {
		return false;
	}
	tags_begin(&tags, said ? &doc : NULL, &arena->base);
	add_fixed_tags(m->clear, &tags);
	add_default_tags(p, &tags);
	if (said) {
		add_said_tags(&doc, &tags);
	}
	*value = (struct bursar_value){ 0 };
	if (!tags_write(&tags, &json)) {
		return false;
	}
	if (json.data != NULL) {
		bursar_set_text(record, p->tags_field, json.data, json.size);
	}
	bursar_set_flag(record,
		(tags.dropped ? BURSAR_DQ_TAGS_DROPPED : 0) |
		((tags.met & JSON_HAD_NUL) != 0 ? BURSAR_DQ_NUL : 0) |
		((tags.met & JSON_HAD_SURROGATE) != 0 ? BURSAR_DQ_SURROGATE
		 : 0));
	return true;
}

/* On the way to any of its sinks. */
static bool may_be_sealed(const struct preparer *p,
                          const struct bursar_kind *kind)
{
	for (size_t i = 0; p->seals != NULL && i < SETUP_MAX_SINKS; i++) {
		if (p->seals[kind->number][i] != NULL) {
			return true;
		}
	}
	return false;
}

/* A fact of which nobody said a team is of its worker's. */
static bool set_team(struct preparer *p, struct flight_message *m,
                     struct bursar_record *record)
{
	const int worker = p->worker_field[record->kind->number];
	const int team = p->team_field[record->kind->number];
	struct bursar_span found;

	if (p->lent == NULL || worker < 0 || team < 0 ||
	    !record->values[worker].is_set ||
	    (record->values[team].is_set && record->values[team].size > 0) ||
	    !teams_find(p->lent, (struct bursar_span){
			record->values[worker].text,
			record->values[worker].size }, &found)) {
		return true;
	}
	char *kept = arena_alloc(&m->flight->arena, found.size);
	if (kept == NULL) {
		return false;
	}
	memcpy(kept, found.data, found.size);
	bursar_set_text(record, team, kept, found.size);
	return true;
}

static bool complete(struct preparer *p, struct flight_message *m,
                     struct flight_record *r, size_t n, size_t of,
                     uint64_t check, int64_t now)
{
	struct bursar_record *record = r->record;

	if (!set_id(m, record, n, of) ||
	    !settle_times(&m->flight->arena, record, now)) {
		return false;
	}
	bursar_set_text(record, BURSAR_SOURCE_NAME, p->source->item.name,
	                strlen(p->source->item.name));
	bursar_set_flag(record, 0);
	set_fixed(record, m->clear);
	record->check = check;
	if (m->delivered->flags & BURSAR_MESSAGE_REDELIVERED) {
		record->flags |= BURSAR_RECORD_AGAIN;
	}
	if (record->kind->fact) {
		return set_team(p, m, record) && settle_tags(p, m, record) &&
		       pricer_price(p->pricer, record,
		                    &m->flight->arena.base);
	}
	retention_apply(p->box->retention, record);
	/* Of what is sealed, the hash comes after that. */
	if (!may_be_sealed(p, record->kind)) {
		bursar_set_number(record, BURSAR_ROW_HASH,
		                  identity_row_hash(record));
	}
	return true;
}

static bool check_of(struct preparer *p, struct bursar_span body,
                     uint64_t *check)
{
	if (body.size + 64 > p->scratch_size) {
		char *more = malloc(body.size + 64);
		if (more == NULL) {
			return false;
		}
		*check = identity_check(body.data, body.size, more);
		free(more);
		return true;
	}
	*check = identity_check(body.data, body.size, p->scratch);
	return true;
}

/*
 * Leaves the record to one of its sinks and gives each other one a copy behind
 * it: writers of several sinks are at work at a time, and what becomes of a
 * record (AGAIN, a counted id) is between one sink and its writer.
 */
static bool share(struct flight_record *r)
{
	const uint32_t first = r->sinks & (~r->sinks + 1);

	for (uint32_t rest = r->sinks & ~first; rest != 0; rest &= rest - 1) {
		if (!flight_copy_record(r, rest & (~rest + 1))) {
			return false;
		}
	}
	r->sinks = first;
	return true;
}

/* --- sealing ------------------------------------------------------------- */

/* A sink that nothing waits for does without what cannot be sealed. */
static void drop(struct flight_record *r, const struct keyring *seal)
{
	r->sinks = 0;
	metric_add(metrics_get("bursar_unsealed_records_total",
	                       "Records that a sink which is not required did "
	                       "without, as they could not be sealed.", true,
	                       "crypto", seal->name, NULL), 1);
}

static enum step seal_record(struct preparer *p, struct flight_message *m,
                             struct flight_record *r, struct keyring *seal,
                             struct bursar_error *err)
{
	struct bursar_error why = { 0 };
	const bool required = (r->sinks & p->required) != 0;

	p->has_sealed[r->record->kind->number] = true;
	switch (bodies_seal(seal, r->record, &m->flight->arena, &p->sealing,
	                    &why)) {
	case BURSAR_DONE:
		return STEP_ON;
	case BURSAR_REJECT:
		if (required) {
			return letter(p, m, DEAD_REFUSED,
			              flight_keep_text(m, why.text), err);
		}
		drop(r, seal);
		return STEP_ON;
	case BURSAR_CONFIG:
		p->must_act = required;
		break;
	case BURSAR_RETRY:
	case BURSAR_DOWN:
		p->must_act = false;
		break;
	}
	if (!required) {
		drop(r, seal);
		return STEP_ON;
	}
	p->stuck = seal;
	bursar_fail(err, why.code != 0 ? why.code : EAGAIN,
	            "crypto '%s' cannot seal: %.190s", seal->name, why.text);
	return STEP_NO_KEY;
}

/* What each sink gets is sealed for it alone. */
static enum step seal_records(struct preparer *p, struct flight_message *m,
                              struct bursar_error *err)
{
	enum step step = STEP_ON;

	for (struct flight_record *r = m->records;
	     r != NULL && step == STEP_ON; r = r->next) {
		const struct bursar_kind *kind = r->record->kind;

		if (kind->fact || !may_be_sealed(p, kind) || r->sinks == 0) {
			continue;
		}
		struct keyring *seal =
			p->seals[kind->number][__builtin_ctz(r->sinks)];
		if (seal != NULL) {
			step = seal_record(p, m, r, seal, err);
		} else {
			bursar_set_number(r->record, BURSAR_ROW_HASH,
			                  identity_row_hash(r->record));
		}
	}
	return step;
}

bool preparer_tick(struct preparer *p)
{
	for (size_t k = 0; k < SCHEMA_KINDS; k++) {
		for (size_t i = 0; p->has_sealed[k] && i < SETUP_MAX_SINKS;
		     i++) {
			if (p->seals[k][i] != NULL) {
				keyring_tick(p->seals[k][i]);
			}
		}
	}
	/* To open is not to seal: what says that it can is put to the test
	 * before messages are read again for it. */
	char name[BODIES_KEY_MAX + 1];
	return p->stuck == NULL ||
	       (keyring_tick(p->stuck) &&
	        bodies_key(p->stuck, name, NULL) == BURSAR_DONE);
}

/* Gives each record its sinks, and the message what it waits for. */
static enum step route(struct preparer *p, struct flight_message *m,
                       struct bursar_error *err)
{
	struct flight_record *next;
	unsigned waiting = 0;
	bool discarded = m->records != NULL;

	for (struct flight_record *r = m->records; r != NULL; r = next) {
		next = r->next;
		r->sinks = p->routes[r->record->kind->number];
		waiting += (unsigned)__builtin_popcount(r->sinks & p->required);
		discarded = discarded && r->sinks == 0;
		if (!share(r)) {
			return STEP_MEMORY;
		}
	}
	const enum step step = seal_records(p, m, err);
	if (step != STEP_ON) {
		return step;
	}
	if (!flight_pack(m)) {
		return STEP_MEMORY;
	}
	if (discarded) {
		atomic_fetch_or(&m->happened, FLIGHT_DISCARDED);
	}
	atomic_fetch_add(&m->waiting, waiting);
	return STEP_ON;
}

/* Nobody says of what kind it is; what is no JSON could not say it. */
static enum step no_kind(struct preparer *p, struct flight_message *m,
                         struct bursar_error *err)
{
	struct bursar_error why = { 0 };
	struct json_doc doc;

	if (json_read(p->json, m->clear->body.data, m->clear->body.size, &doc,
	              &why) != 0) {
		return why.code == ENOMEM ? STEP_MEMORY :
			letter(p, m, DEAD_MALFORMED,
			       flight_keep_text(m, why.text), err);
	}
	return letter(p, m, DEAD_NO_KIND, "neither the source, nor an envelope,"
	              " nor a routing key tells its kind", err);
}

/* Whether its sender may send what it became. */
static bool may_send(const struct flight_message *m)
{
	const uint64_t kinds = m->clear->kinds;

	for (const struct flight_record *r = m->records; r != NULL;
	     r = r->next) {
		if (kinds != 0 &&
		    (kinds & UINT64_C(1) << r->record->kind->number) == 0) {
			return false;
		}
	}
	return true;
}

/* What the core adds to the records of a message; false: memory is short. */
static bool complete_all(struct preparer *p, struct flight_message *m,
                         bool legacy, int64_t now)
{
	uint64_t check;
	size_t of = 0;
	size_t n = 0;

	if (!check_of(p, m->clear->body, &check)) {
		return false;
	}
	for (struct flight_record *r = m->records; r != NULL; r = r->next) {
		of++;
	}
	for (struct flight_record *r = m->records; r != NULL; r = r->next) {
		if (legacy) {
			bursar_set_flag(r->record, BURSAR_DQ_LEGACY_CIPHER);
		}
		if (!complete(p, m, r, n++, of, check, now)) {
			return false;
		}
	}
	return true;
}

static enum step decode(struct preparer *p, struct flight_message *m,
                        bool legacy, int64_t now, struct bursar_error *err)
{
	struct decoding decoding = {
		.records = { add_record, &m->flight->arena.base },
		.message = m,
	};
	struct bursar_error why = { 0 };

	arena_reset(&m->flight->drafts);
	if (m->clear->kind == NULL && p->format_ops->needs_kind) {
		return no_kind(p, m, err);
	}
	switch (p->format_ops->decode(p->format, m->clear, &decoding.records,
	                              &why)) {
	case BURSAR_DONE:
		break;
	case BURSAR_REJECT:
		m->records = NULL;
		return letter(p, m, DEAD_MALFORMED,
		              flight_keep_text(m, why.text), err);
	case BURSAR_RETRY:
	case BURSAR_DOWN:
	case BURSAR_CONFIG:
		m->records = NULL;
		bursar_fail(err, ENOMEM, "%s", why.text);
		return STEP_MEMORY;
	}

	if (!may_send(m)) {
		m->records = NULL;
		return letter(p, m, DEAD_NO_KIND, BURSAR_NOT_ALLOWED, err);
	}
	if (!complete_all(p, m, legacy, now)) {
		m->records = NULL;
		return STEP_MEMORY;
	}
	const enum step step = route(p, m, err);
	if (step != STEP_ON) {
		m->records = NULL;
	}
	return step;
}

/* --- a flight ------------------------------------------------------------ */

/* The way of one message after the batch was opened; sealed: NULL if it was
 * in clear. */
static enum step one_message(struct preparer *p, struct flight_message *m,
                             const struct bursar_sealed *sealed, int64_t now,
                             struct bursar_error *err)
{
	if (sealed != NULL) {
		const enum step step = take_plain(p, m, sealed, err);

		if (step != STEP_ON) {
			return step;
		}
	}
	return decode(p, m, sealed != NULL && sealed->legacy, now, err);
}

/*
 * First pass: out of the envelope.  Lists the messages to open.  Stops at the
 * message that could not be dealt with, *at.
 */
static enum step first_pass(struct preparer *p, struct flight_message **at,
                            struct opening *opening, struct bursar_error *err)
{
	for (; *at != NULL; *at = (*at)->next) {
		if (is_letter(*at)) {
			continue;
		}
		enum step step = unwrap(p, *at, err);

		if (step == STEP_ON) {
			(*at)->sealed = is_encrypted((*at)->clear);
			step = need_crypto(p, *at, err);
		}
		if (step == STEP_MEMORY || step == STEP_STUCK) {
			return step;
		}
		if (step == STEP_ON && is_encrypted((*at)->clear)) {
			opening->messages[opening->count++] = *at;
		}
	}
	return STEP_ON;
}

/*
 * Second pass: [*from, end) one after another.  *from is the message that
 * could not be dealt with, or end.
 */
static enum prepared second_pass(struct preparer *p,
                                 struct flight_message **from,
                                 const struct flight_message *end,
                                 struct opening *opening, bool *outage,
                                 struct bursar_error *err)
{
	const struct flight_message *first = *from;
	const int64_t now = clock_wall_us();

	for (; *from != end; *from = (*from)->next) {
		const struct bursar_sealed *sealed = result_of(opening, *from);

		if (sealed != NULL && sealed->result == BURSAR_BROKEN &&
		    p->broken_in_row >= PREPARE_BROKEN_MAX && *from != first) {
			return PREPARED_RETURN;
		}
		if (is_letter(*from)) {
			continue;
		}
		const enum step step = one_message(p, *from, sealed, now, err);
		if (step == STEP_MEMORY || step == STEP_NO_KEY) {
			*outage = step == STEP_NO_KEY;
			return PREPARED_RETURN;
		}
		if (step == STEP_STUCK) {
			return PREPARED_LETTERS;
		}
	}
	return PREPARED;
}

static enum prepared prepare_all(struct preparer *p, struct flight *flight,
                                 struct flight_message **from, bool *outage,
                                 struct bursar_error *err)
{
	struct flight_message *end = *from != NULL ? *from : flight->first;
	struct opening opening = { 0 };

	*outage = false;
	*from = end;
	opening.messages = arena_alloc(&flight->scratch, flight->count *
	                               sizeof(*opening.messages));
	if (opening.messages == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return PREPARED_RETURN;
	}
	const enum step stopped = first_pass(p, &end, &opening, err);
	if (unseal(p, flight, &opening, err) != BURSAR_DONE) {
		/* The clear ones before the first sealed one could go on; they
		 * are given back with it, so that order is kept. */
		*outage = true;
		return PREPARED_RETURN;
	}
	const enum prepared prepared = second_pass(p, from, end, &opening,
	                                           outage, err);
	if (prepared != PREPARED) {
		return prepared;
	}
	return stopped == STEP_MEMORY ? PREPARED_RETURN :
	       stopped == STEP_STUCK ? PREPARED_LETTERS : PREPARED;
}

enum prepared prepare_flight(struct preparer *p, struct flight *flight,
                             struct flight_message **from, bool *outage,
                             struct bursar_error *err)
{
	p->lent = teams_take(p->teams);
	const enum prepared prepared = prepare_all(p, flight, from, outage,
	                                           err);
	teams_release(p->lent);
	p->lent = NULL;
	return prepared;
}
