/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Tags: what SQL can ask of them, and which are dimensions of the rollups.
 */
#include "config.h"

#include "sqlite.h"

static struct bursar_span span_of(sqlite3_value *value)
{
	const char *text = (const char *)sqlite3_value_text(value);

	return (struct bursar_span){ text != NULL ? text : "",
		(size_t)sqlite3_value_bytes(value) };
}

static void answer(sqlite3_context *context, const struct tags_item *item)
{
	if (!item->escaped) {
		sqlite3_result_text64(context, item->value.data,
		                      item->value.size, SQLITE_TRANSIENT,
		                      SQLITE_UTF8);
		return;
	}
	char *text = sqlite3_malloc64(item->value.size + 1);
	if (text == NULL) {
		sqlite3_result_error_nomem(context);
		return;
	}
	sqlite3_result_text64(context, text, tags_unescape(item->value, text),
	                      sqlite3_free, SQLITE_UTF8);
}

/* The value of a tag as text; NULL where it is not there. */
static void find_tag(sqlite3_context *context, int count,
                     sqlite3_value **values)
{
	struct tags_item item;

	(void)count;
	if (sqlite3_value_type(values[0]) != SQLITE_TEXT) {
		return;
	}
	const struct bursar_span key = span_of(values[1]);
	if (tags_find(span_of(values[0]), key.data, key.size, &item)) {
		answer(context, &item);
	}
}

int tags_function(sqlite3 *db)
{
	return sqlite3_create_function_v2(
		db, "bursar_tag", 2, SQLITE_UTF8 | SQLITE_DETERMINISTIC |
		SQLITE_INNOCUOUS, NULL, find_tag, NULL, NULL, NULL);
}

int tags_dimensions(sqlite3_stmt *statement,
                    struct rollup_tag tags[ROLLUP_MAX_TAGS], size_t *count)
{
	int rc;

	*count = 0;
	while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
		const struct bursar_span name = {
			(const char *)sqlite3_column_text(statement, 0),
			(size_t)sqlite3_column_bytes(statement, 0) };

		if (*count < ROLLUP_MAX_TAGS && name.data != NULL) {
			*count += rollup_tag_make(
				&tags[*count], name,
				sqlite3_column_int64(statement, 1));
		}
	}
	sqlite3_reset(statement);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}
