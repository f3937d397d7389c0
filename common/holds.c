/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One condition for all holds: their number and filters are rows, so that the
 * text is the same whatever they are, and nothing that a user wrote is in it.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/columns.h"
#include "common/holds.h"

bool holds_by(const struct bursar_field *field)
{
	/* What the core fills may change: a hold would be lost with it. */
	return (field->flags & BURSAR_FIELD_BODY) == 0 &&
	       ((field->flags & BURSAR_FIELD_CORE) == 0 ||
	        strcmp(field->name, "source") == 0) &&
	       (field->type == BURSAR_TEXT || field->type == BURSAR_INT ||
	        field->type == BURSAR_BOOL);
}

/* CASE f.field WHEN 'team' THEN t."team" ... END */
static void add_value(FILE *out, const struct bursar_kind *kind,
                      const char *table)
{
	char name[COLUMNS_NAME_MAX];

	fputs("CASE f.field", out);
	for (size_t i = 0; i < kind->field_count; i++) {
		const struct bursar_field *field = &kind->fields[i];

		if (!holds_by(field)) {
			continue;
		}
		columns_stored(field, name);
		fprintf(out, field->type == BURSAR_TEXT
		        ? " WHEN '%s' THEN \"%s\".\"%s\""
		        : " WHEN '%s' THEN CAST(\"%s\".\"%s\" AS TEXT)",
		        field->name, table, name);
	}
	fputs(" END", out);
}

char *holds_condition(const struct bursar_kind *kind, const char *table,
                      int64_t since_us)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL) {
		return NULL;
	}
	fprintf(out, "EXISTS (SELECT 1 FROM bursar_holds h WHERE "
	        "(h.released_us IS NULL OR h.released_us > %" PRId64 ") "
	        "AND h.kind IN ('', '%s') AND \"%s\".recorded_us >= h.since_us "
	        "AND \"%s\".recorded_us < h.until_us AND NOT EXISTS ("
	        "SELECT 1 FROM bursar_hold_filters f WHERE f.hold = h.id "
	        "AND f.value <> COALESCE(", since_us, kind->name, table, table);
	add_value(out, kind, table);
	fputs(", '')))", out);
	const bool whole = !ferror(out);
	if (fclose(out) != 0 || !whole) {
		free(text);
		return NULL;
	}
	return text;
}
