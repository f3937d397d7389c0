/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "book/named.h"
#include "common/columns.h"

/* Cells between the newest fact and the first one that is fed. */
#define MARGIN "3"

static const char note[] =
	"INSERT INTO bursar_meta (name, value) SELECT CAST($1 AS TEXT), "
	"CASE WHEN m.cell IS NULL THEN '0' ELSE CAST(CASE WHEN m.cell > "
	"CAST($2 AS BIGINT) THEN m.cell ELSE CAST($2 AS BIGINT) END + " MARGIN
	" AS TEXT) END FROM (SELECT MAX(cell) AS cell FROM rollup_cells "
	"WHERE dimension = 'all' AND value = '') m WHERE 1 = 1 "
	"ON CONFLICT (name) DO NOTHING";

enum bursar_verdict named_note(const struct bursar_sink_ops *ops,
                               struct bursar_sink *sink, char *const *keys,
                               size_t count, int64_t now_us,
                               struct bursar_error *err)
{
	enum bursar_verdict verdict = BURSAR_DONE;
	char name[ROLLUP_NAME_SIZE];

	for (size_t i = 0; i < count && verdict == BURSAR_DONE; i++) {
		snprintf(name, sizeof(name), TAGS_PREFIX "%.*s",
		         TAGS_ASKED_MAX, keys[i]);
		const struct bursar_cell parameters[] = {
			book_text(name), book_int(columns_cell(now_us)) };
		verdict = ops->sql(sink, note, parameters, 2, NULL, NULL, err);
	}
	return verdict;
}

static int take(void *context, const struct bursar_cell *cells, size_t count)
{
	struct book *book = context;
	char since[24] = "";

	(void)count;
	if (cells[1].type == BURSAR_STRING) {
		snprintf(since, sizeof(since), "%.*s", (int)cells[1].size,
		         cells[1].data);
	}
	if (cells[0].type == BURSAR_STRING &&
	    book->tag_count < ROLLUP_MAX_TAGS) {
		book->tag_count += rollup_tag_make(
			&book->tags[book->tag_count],
			(struct bursar_span){ cells[0].data, cells[0].size },
			cells[1].type == BURSAR_INTEGER ? cells[1].integer
			: strtoll(since, NULL, 10));
	}
	return 0;
}

int named_read(struct book *book, struct bursar_error *err)
{
	if (book->tags_known) {
		return 0;
	}
	book->tag_count = 0;
	if (book_run(book, ROLLUP_READ_TAGS, NULL, 0, take, book, err) != 0) {
		return -1;
	}
	book->tags_known = true;
	return 0;
}

const struct rollup_tag *named_find(const struct book *book, const char *name)
{
	for (size_t i = 0; i < book->tag_count; i++) {
		if (strcmp(book->tags[i].name, name) == 0) {
			return &book->tags[i];
		}
	}
	return NULL;
}
