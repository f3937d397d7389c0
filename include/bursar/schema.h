/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bursar/schema.h - kinds of records, their fields, and records themselves
 *
 * The table of fields is written once, in the core, and reaches plugins
 * through host->schema.  A format fills records field by field, a sink walks
 * the table: columns, their order and their types follow from it.  A plugin
 * finds fields by name when it is opened, so that a new field breaks nothing.
 *
 * A record is made with all its values side by side, and packed for the time
 * that it waits for a sink, as memory is what bounds how many records make a
 * transaction: a quarter of it is left then.  So a sink asks for values by
 * bursar_values() or bursar_value().
 */
#ifndef BURSAR_SCHEMA_H
#define BURSAR_SCHEMA_H

#include <assert.h>
#include <string.h>

#include <bursar/plugin.h>

/*
 * What a field holds.  `text` or `number` says which member of a value.
 *
 *	TEXT	text: UTF-8 without NUL
 *	JSON	text: one JSON value, as it was written
 *	INT	number
 *	BOOL	number: 0 or 1
 *	TIME	number: microseconds since 1970, UTC
 *	MONEY	number: nano-dollars (1e-9 USD)
 */
enum bursar_field_type {
	BURSAR_TEXT,
	BURSAR_JSON,
	BURSAR_INT,
	BURSAR_BOOL,
	BURSAR_TIME,
	BURSAR_MONEY,
};

/* What a person wrote or a model answered: sealed at rest, gone at expiry. */
#define BURSAR_FIELD_BODY     1u
/* Filled by the core; a format leaves it alone, but for dq_flags, to which it
 * adds with bursar_set_flag(). */
#define BURSAR_FIELD_CORE     2u
/* One of the dimensions of the rollups. */
#define BURSAR_FIELD_GROUP    4u

struct bursar_field {
	const char *name;	/* the column's name */
	enum bursar_field_type type;
	unsigned    flags;	/* BURSAR_FIELD_* */
	const char *help;	/* a phrase */
};

/* The fields that every kind has, at these places of its table. */
enum {
	BURSAR_MESSAGE_ID,	/* text: the id under which it is unique */
	BURSAR_RECORDED_AT,	/* time: when it happened; always set when a
				 * sink sees it */
	BURSAR_INSERTED_AT,	/* time: of ingest; always set */
	BURSAR_SOURCE_NAME,	/* text: the source it came from */
	BURSAR_DQ_FLAGS,	/* int: BURSAR_DQ_*; always set */
	BURSAR_EXTRA_JSON,	/* json: what has no field, and what did not
				 * fit its field, as it was written */
	BURSAR_COMMON_FIELDS,

	/* Kinds with bodies (bursar_kind.fact is false) go on with: */
	BURSAR_RETENTION_POLICY = BURSAR_COMMON_FIELDS,	/* text: label */
	BURSAR_CONTAINS_PHI,	/* bool */
	BURSAR_EXPIRES_AT,	/* time; not set: never */
	BURSAR_ROW_HASH,	/* int: over all other columns as stored */
	BURSAR_SEALED_BY,	/* text: CRYPTO/KEY that the bodies are sealed
				 * under; not set: they are in clear */
	BURSAR_BODY_FIELDS,
};

/* Data quality: what was odd about a record that was stored all the same. */
enum {
	BURSAR_DQ_ID_DERIVED    = 1 << 0,  /* no id came with it */
	BURSAR_DQ_TIME_MISSING  = 1 << 1,  /* recorded_at is the ingest time */
	BURSAR_DQ_TIME_UNREADABLE = 1 << 2,/* so it is, and a text was given */
	BURSAR_DQ_TIME_RANGE    = 1 << 3,  /* before 2015 or after tomorrow */
	BURSAR_DQ_TYPE          = 1 << 4,  /* a value that its field cannot
					    * hold; kept in extra_json */
	BURSAR_DQ_NEGATIVE      = 1 << 5,  /* a count or cost below zero */
	BURSAR_DQ_ABSURD        = 1 << 6,  /* a count above 1e12, a cost above
					    * 1e6 dollars */
	BURSAR_DQ_DUPLICATE_MEMBER = 1 << 7, /* the last of two won */
	BURSAR_DQ_NUL           = 1 << 8,  /* a NUL in a text, kept as \u0000 */
	BURSAR_DQ_SURROGATE     = 1 << 9,  /* half a surrogate pair in a text,
					    * kept as its escape */
	BURSAR_DQ_EXTRA_CUT     = 1 << 10, /* extra_json would pass 8 KB */
	BURSAR_DQ_LABEL         = 1 << 11, /* unknown retention label */
	BURSAR_DQ_CLASSIFICATION = 1 << 12, /* unknown classification level */
	BURSAR_DQ_EXPIRED       = 1 << 13, /* expired on arrival: no bodies */
	BURSAR_DQ_TOTAL         = 1 << 14, /* total differs from its parts */
	BURSAR_DQ_LEGACY_CIPHER = 1 << 15, /* came under unauthenticated CBC */
	BURSAR_DQ_TAGS_DROPPED  = 1 << 16, /* tags beyond the fiftieth, or with
					    * a key of more than 1 KB */
};

#define BURSAR_FIELDS_MAX 128	/* no kind has more */

struct bursar_kind {
	const char *name;	/* "metering" */
	const char *table;	/* "metering_records" */
	bool        fact;	/* finance: kept, summed in rollups; otherwise
				 * audit: has bodies and expires */
	const struct bursar_field *fields;
	size_t      field_count;
	size_t      number;	/* its place in the schema */
};

struct bursar_schema {
	const struct bursar_kind *kinds;
	size_t kind_count;
};

/* The kind of that name, or NULL. */
static inline const struct bursar_kind *
bursar_kind_find(const struct bursar_schema *schema, const char *name,
                 size_t size)
{
	for (size_t i = 0; i < schema->kind_count; i++) {
		if (strlen(schema->kinds[i].name) == size &&
		    memcmp(schema->kinds[i].name, name, size) == 0) {
			return &schema->kinds[i];
		}
	}
	return NULL;
}

/* The place of a field in kind->fields, or -1. */
static inline int bursar_field_find(const struct bursar_kind *kind,
                                    const char *name)
{
	for (size_t i = 0; i < kind->field_count; i++) {
		if (strcmp(kind->fields[i].name, name) == 0) {
			return (int)i;
		}
	}
	return -1;
}

struct bursar_value {
	union {
		const char *text;	/* size bytes, not NUL-terminated */
		int64_t     number;
	};
	uint32_t size;		/* of text */
	bool     is_set;	/* false: nothing was said, stored as NULL */
};

/* This record was offered before, and it is not known with what result. */
#define BURSAR_RECORD_AGAIN   1u
/*
 * No id came with it: its id is a hash of the message, and a sink stores it
 * under the first free of id#0, id#1 ... (see bursar/sink.h).
 */
#define BURSAR_RECORD_COUNTED 2u
/* In the place of `values` stands what bursar_unpack() reads. */
#define BURSAR_RECORD_PACKED  4u

/*
 * One decoded entry.  Everything it points to lives as long as it does: until
 * its message is settled.
 */
struct bursar_record {
	const struct bursar_kind *kind;
	uint8_t  key[16];	/* host->key(kind, id) */
	uint64_t check;		/* of the content: equal keys with other checks
				 * are a conflict */
	unsigned flags;		/* BURSAR_RECORD_* */
	struct bursar_value values[];	/* kind->field_count of them; only of
					 * one that is not PACKED */
};

static inline void bursar_set_text(struct bursar_record *record, int field,
                                   const char *text, size_t size)
{
	record->values[field] = (struct bursar_value){
		.text = text, .size = (uint32_t)size, .is_set = true,
	};
}

static inline void bursar_set_number(struct bursar_record *record, int field,
                                     int64_t number)
{
	record->values[field] = (struct bursar_value){
		.number = number, .is_set = true,
	};
}

static inline void bursar_set_flag(struct bursar_record *record, int64_t flag)
{
	record->values[BURSAR_DQ_FLAGS].number |= flag;
	record->values[BURSAR_DQ_FLAGS].is_set = true;
}

/* Seven bits in each byte, the lowest first; the last byte is below 128. */
static inline uint64_t bursar_unpack_number(const uint8_t **at)
{
	uint64_t number = **at & 127;

	for (unsigned shift = 7; *(*at)++ >= 128; shift += 7) {
		number |= (uint64_t)(**at & 127) << shift;
	}
	return number;
}

/*
 * Lays out the first `count` values of a packed record: a pointer to where most
 * of its texts are; a bit for each field, set where it is, eight in a byte, the
 * lowest first; then for each that is set: a number as twice its amount, one
 * less where it is negative; a text as its place behind that pointer and one,
 * or 0 and its address, and then its size.
 */
static inline void bursar_unpack(const struct bursar_record *record,
                                 size_t count, struct bursar_value *values)
{
	const struct bursar_kind *kind = record->kind;
	const uint8_t *packed = (const uint8_t *)record->values;
	const uint8_t *set = packed + sizeof(char *);
	const uint8_t *at = set + (kind->field_count + 7) / 8;
	const char *texts;

	assert(count <= BURSAR_FIELDS_MAX && count <= kind->field_count);
	memcpy(&texts, packed, sizeof(texts));
#ifdef __clang_analyzer__	/* it does not see that all are filled */
	memset(values, 0, count * sizeof(values[0]));
#endif
	for (size_t i = 0; i < count; i++) {
		struct bursar_value *value = &values[i];

		if ((set[i / 8] >> i % 8 & 1) == 0) {
			*value = (struct bursar_value){ .text = NULL };
			continue;
		}
		value->is_set = true;
		value->size = 0;
		const uint64_t number = bursar_unpack_number(&at);
		if (kind->fields[i].type > BURSAR_JSON) {
			value->number = (int64_t)(number >> 1 ^
			                          (0 - (number & 1)));
			continue;
		}
		if (number > 0) {
			value->text = texts + (number - 1);
		} else {
			memcpy(&value->text, at, sizeof(value->text));
			at += sizeof(value->text);
		}
		value->size = (uint32_t)bursar_unpack_number(&at);
	}
}

/* The values of a record, in `room` where they had to be laid out. */
static inline const struct bursar_value *
bursar_values(const struct bursar_record *record,
              struct bursar_value room[BURSAR_FIELDS_MAX])
{
	if ((record->flags & BURSAR_RECORD_PACKED) == 0) {
		return record->values;
	}
	bursar_unpack(record, record->kind->field_count, room);
	return room;
}

/* A bit for each field, eight in a byte, the lowest first. */
#define BURSAR_FIELDS_BYTES (BURSAR_FIELDS_MAX / 8)

/* Adds the bits of the fields that a record has. */
static inline void bursar_add_set(const struct bursar_record *record,
                                  uint8_t set[BURSAR_FIELDS_BYTES])
{
	const size_t count = record->kind->field_count;
	const uint8_t *packed = (const uint8_t *)record->values +
		sizeof(char *);

	if ((record->flags & BURSAR_RECORD_PACKED) == 0) {
		for (size_t i = 0; i < count; i++) {
			set[i / 8] |= (uint8_t)(record->values[i].is_set <<
			                        i % 8);
		}
		return;
	}
	for (size_t i = 0; i < (count + 7) / 8; i++) {
		set[i] |= packed[i];
	}
}

/* One of them; fields that every kind has are found fastest. */
static inline struct bursar_value
bursar_value(const struct bursar_record *record, size_t field)
{
	struct bursar_value room[BURSAR_FIELDS_MAX];

	if ((record->flags & BURSAR_RECORD_PACKED) == 0) {
		return record->values[field];
	}
	bursar_unpack(record, field + 1, room);
	return room[field];
}

#endif
