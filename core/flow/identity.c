/* SPDX-License-Identifier: Apache-2.0 */

/*
 * BLAKE2b-128 over ids, bodies and rows, each in a form that no two different
 * things share.
 */
#include "config.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "common/json.h"
#include "flow/identity.h"

#define HASH_SIZE 16

/* The first 8 bytes of a hash as a number. */
static uint64_t first_half(const uint8_t hash[HASH_SIZE])
{
	uint64_t number;

	memcpy(&number, hash, sizeof(number));
	return le64toh(number);
}

void identity_key(const struct bursar_kind *kind, const char *id, size_t size,
                  uint8_t key[16])
{
	assert(kind != NULL && (id != NULL || size == 0) && key != NULL);

	const size_t name_size = strlen(kind->name) + 1;
	crypto_generichash_state state;
	uint8_t all[256];

	if (name_size + size <= sizeof(all)) {
		memcpy(all, kind->name, name_size);
		if (size > 0) {
			memcpy(all + name_size, id, size);
		}
		crypto_generichash(key, HASH_SIZE, all, name_size + size,
		                   NULL, 0);
		return;
	}
	crypto_generichash_init(&state, NULL, 0, HASH_SIZE);
	crypto_generichash_update(&state, (const uint8_t *)kind->name,
	                          name_size);
	crypto_generichash_update(&state, (const uint8_t *)id, size);
	crypto_generichash_final(&state, key, HASH_SIZE);
}

uint64_t identity_check(const char *body, size_t size, char *scratch)
{
	assert((body != NULL || size == 0) && scratch != NULL);

	const size_t dense = size > 0 ? json_minify(body, size, scratch) : 0;
	uint8_t hash[HASH_SIZE];

	crypto_generichash(hash, sizeof(hash), (const uint8_t *)scratch, dense,
	                   NULL, 0);
	return first_half(hash);
}

static void add_number(crypto_generichash_state *state, uint64_t number)
{
	number = htole64(number);
	crypto_generichash_update(state, (const uint8_t *)&number,
	                          sizeof(number));
}

static void add_field(crypto_generichash_state *state,
                      const struct bursar_field *field,
                      const struct bursar_value *value)
{
	const bool is_text = field->type == BURSAR_TEXT ||
		field->type == BURSAR_JSON;
	const uint8_t form = is_text ? 1 : 2;

	crypto_generichash_update(state, (const uint8_t *)field->name,
	                          strlen(field->name) + 1);
	crypto_generichash_update(state, &form, sizeof(form));
	if (is_text) {
		add_number(state, value->size);
		crypto_generichash_update(state, (const uint8_t *)value->text,
		                          value->size);
	} else {
		add_number(state, (uint64_t)value->number);
	}
}

int64_t identity_row_hash(const struct bursar_record *record)
{
	assert(record != NULL && !record->kind->fact);

	crypto_generichash_state state;
	uint8_t hash[HASH_SIZE];

	struct bursar_value room[BURSAR_FIELDS_MAX];
	const struct bursar_value *values = bursar_values(record, room);

	crypto_generichash_init(&state, NULL, 0, sizeof(hash));
	for (size_t i = 0; i < record->kind->field_count; i++) {
		if (i != BURSAR_ROW_HASH && values[i].is_set) {
			add_field(&state, &record->kind->fields[i], &values[i]);
		}
	}
	crypto_generichash_final(&state, hash, sizeof(hash));
	return (int64_t)first_half(hash);
}

bool identity_row_hash_as_first(struct bursar_record *record, int64_t *hash)
{
	const struct bursar_value given = record->values[BURSAR_MESSAGE_ID];
	size_t size = given.size;

	while (size > 0 && given.text[size - 1] != '#') {
		size--;
	}
	char *first = malloc(size + 2);
	if (first == NULL) {
		return false;
	}
	if (size > 0) {
		memcpy(first, given.text, size);
	}
	memcpy(first + size, "0", 2);
	bursar_set_text(record, BURSAR_MESSAGE_ID, first, size + 1);
	*hash = identity_row_hash(record);
	record->values[BURSAR_MESSAGE_ID] = given;
	free(first);
	return true;
}
