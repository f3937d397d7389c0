/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "flow/pack.h"

#define NUMBER_MAX ((size_t)10)	/* bytes of a number */
#define PACKED_MAX (sizeof(char *) + BURSAR_FIELDS_MAX / 8 + \
                    BURSAR_FIELDS_MAX * (2 * NUMBER_MAX + sizeof(char *)))

static uint8_t *put_number(uint8_t *at, uint64_t number)
{
	while (number >= 128) {
		*at++ = (uint8_t)(number | 128);
		number >>= 7;
	}
	*at++ = (uint8_t)number;
	return at;
}

static uint8_t *put_text(uint8_t *at, const struct bursar_value *value,
                         const char *texts)
{
	const uint64_t place = (uintptr_t)value->text - (uintptr_t)texts;

	if (place < UINT32_MAX) {
		at = put_number(at, place + 1);
	} else {
		*at++ = 0;
		memcpy(at, &value->text, sizeof(value->text));
		at += sizeof(value->text);
	}
	return put_number(at, value->size);
}

static uint64_t fold(int64_t number)
{
	return (uint64_t)number << 1 ^ (number < 0 ? UINT64_MAX : 0);
}

/* Returns how many bytes were written. */
static size_t pack(const struct bursar_record *record, const char *texts,
                   uint8_t out[PACKED_MAX])
{
	const struct bursar_kind *kind = record->kind;
	uint8_t *set = out + sizeof(texts);
	const size_t bits = (kind->field_count + 7) / 8;
	uint8_t *at = set + bits;

	memcpy(out, &texts, sizeof(texts));
	memset(set, 0, bits);
	for (size_t i = 0; i < kind->field_count; i++) {
		const struct bursar_value *value = &record->values[i];

		if (!value->is_set) {
			continue;
		}
		set[i / 8] |= (uint8_t)(1u << i % 8);
		at = kind->fields[i].type <= BURSAR_JSON
			? put_text(at, value, texts)
			: put_number(at, fold(value->number));
	}
	return (size_t)(at - out);
}

struct bursar_record *pack_record(struct arena *arena,
                                  const struct bursar_record *record,
                                  const char *texts)
{
	uint8_t packed[PACKED_MAX];

	assert(record->kind->field_count <= BURSAR_FIELDS_MAX);
	assert((record->flags & BURSAR_RECORD_PACKED) == 0);
	const size_t size = pack(record, texts, packed);
	struct bursar_record *copy = arena_alloc(arena, sizeof(*copy) + size);

	if (copy == NULL) {
		return NULL;
	}
	memcpy(copy, record, sizeof(*copy));
	copy->flags |= BURSAR_RECORD_PACKED;
	memcpy(copy->values, packed, size);
	return copy;
}

/* The words of a message that are not zero, and which these are. */
struct packed_message {
	uint64_t set;
	uint64_t words[];
};

#define WORDS (sizeof(struct bursar_message) / sizeof(uint64_t))

static_assert(sizeof(struct bursar_message) % sizeof(uint64_t) == 0 &&
              WORDS <= 64, "a bit for each word of a message");

const struct packed_message *pack_message(struct arena *arena,
                                          const struct bursar_message *message)
{
	uint64_t words[WORDS];
	struct packed_message *packed;
	uint64_t set = 0;
	size_t count = 0;

	memcpy(words, message, sizeof(words));
	words[offsetof(struct bursar_message, token) / sizeof(uint64_t)] = 0;
	words[offsetof(struct bursar_message, lane) / sizeof(uint64_t)] = 0;
	for (size_t i = 0; i < WORDS; i++) {
		if (words[i] != 0) {
			set |= UINT64_C(1) << i;
			words[count++] = words[i];
		}
	}
	packed = arena_alloc(arena, sizeof(*packed) + count * sizeof(words[0]));
	if (packed != NULL) {
		packed->set = set;
		memcpy(packed->words, words, count * sizeof(words[0]));
	}
	return packed;
}

void unpack_message(const struct packed_message *packed,
                    struct bursar_message *message)
{
	uint64_t words[WORDS] = { 0 };
	size_t count = 0;

	for (size_t i = 0; i < WORDS; i++) {
		if ((packed->set >> i & 1) != 0) {
			words[i] = packed->words[count++];
		}
	}
	memcpy(message, words, sizeof(words));
}
