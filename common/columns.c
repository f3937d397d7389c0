/* SPDX-License-Identifier: Apache-2.0 */

/*
 * From the schema to columns: their names, and the block of a row's id.
 */
#include "config.h"

#include <assert.h>

#include "common/columns.h"

/* How a type that is stored as an integer calls its column. */
struct naming {
	const char *readable;	/* ending of the field's name */
	const char *stored;	/* ending of the column's name */
};

static const struct naming times = { "_at", "_us" };
static const struct naming money = { "_usd", "_nano" };

static const struct naming *naming_of(const struct bursar_field *field)
{
	switch (field->type) {
	case BURSAR_TIME:
		return &times;
	case BURSAR_MONEY:
		return &money;
	default:
		return NULL;
	}
}

static size_t without_ending(const char *name, const char *ending)
{
	const size_t size = strlen(name);
	const size_t less = strlen(ending);

	if (size > less && strcmp(name + size - less, ending) == 0) {
		return size - less;
	}
	return size;
}

const char *columns_stored(const struct bursar_field *field,
                           char name[COLUMNS_NAME_MAX])
{
	const struct naming *naming = naming_of(field);
	size_t size = strlen(field->name);
	const char *ending = "";

	if (naming != NULL) {
		size = without_ending(field->name, naming->readable);
		ending = naming->stored;
	}
	assert(size + strlen(ending) < COLUMNS_NAME_MAX);
	snprintf(name, COLUMNS_NAME_MAX, "%.*s%s", (int)size, field->name,
	         ending);
	return name;
}

bool columns_differ(const struct bursar_field *field)
{
	return naming_of(field) != NULL;
}

static int64_t clamp(int64_t block)
{
	if (block >= COLUMNS_NEVER) {
		return COLUMNS_NEVER - 1;
	}
	return block < -COLUMNS_NEVER ? -COLUMNS_NEVER : block;
}

int64_t columns_block(const struct bursar_record *record)
{
	struct bursar_value value;

	if (record->kind->fact) {
		value = bursar_value(record, BURSAR_RECORDED_AT);
		return clamp(columns_cell(value.number));
	}
	value = bursar_value(record, BURSAR_EXPIRES_AT);
	if (!value.is_set) {
		return COLUMNS_NEVER;
	}
	return clamp(columns_day(value.number));
}
