/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Partitions: ranges of ids, so a window of time or of days is found in the
 * partitions that it touches, and what has expired goes by dropping some.
 *
 *	facts	a month of recorded_at; one for all before 2015
 *	bodies	a day of expiry; a month where that is far off; one for those
 *		that never expire
 *
 * One is made as a table of its own and then attached, which keeps nobody from
 * reading or writing; a lock sees to it that daemons do it in turn.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "postgres.h"

#define FIRST_YEAR   2015
#define DAYS_AHEAD   100	/* bodies that expire later share a month */
#define CELLS_A_DAY  (COLUMNS_DAY_US / COLUMNS_CELL_US)
#define MAX_PARTS    20000u
#define MAX_NAMES    9

void parts_finish(struct parts *parts)
{
	free(parts->list);
	parts->list = NULL;
	parts->count = parts->room = parts->latest = 0;
	parts->known = false;
}

/* --- which there are ----------------------------------------------------- */

/* 'NUMBER', or `open`, which leaves *bound alone. */
static bool read_bound(const char *text, const char *open, int64_t *bound)
{
	char *end;

	if (strncmp(text, open, strlen(open)) == 0) {
		return true;
	}
	if (text[0] != '\'') {
		return false;
	}
	errno = 0;
	const long long number = strtoll(text + 1, &end, 10);
	if (errno != 0 || end == text + 1 || *end != '\'') {
		return false;
	}
	*bound = number;
	return true;
}

/* "FOR VALUES FROM ('123') TO (MAXVALUE)"; false: no range of ids. */
static bool read_bounds(const char *text, struct part *part)
{
	static const char begin[] = "FOR VALUES FROM (";
	static const char middle[] = " TO (";
	const char *end = strstr(text, middle);

	if (strncmp(text, begin, strlen(begin)) != 0 || end == NULL) {
		return false;
	}
	part->from = INT64_MIN;
	part->to = INT64_MAX;
	return read_bound(text + strlen(begin), "MINVALUE", &part->from) &&
	       read_bound(end + strlen(middle), "MAXVALUE", &part->to);
}

static int compare_parts(const void *left, const void *right)
{
	const struct part *a = left;
	const struct part *b = right;

	return (a->from > b->from) - (a->from < b->from);
}

static struct part *add_part(struct parts *parts)
{
	if (parts->count == parts->room) {
		const size_t room = parts->room * 2 + 16;
		struct part *list = room > MAX_PARTS ? NULL
			: realloc(parts->list, room * sizeof(*list));

		if (list == NULL) {
			return NULL;
		}
		parts->list = list;
		parts->room = room;
	}
	return &parts->list[parts->count];
}

enum bursar_verdict parts_read(struct db *db, struct parts *parts,
                               struct bursar_error *err)
{
	struct db_values values = { 0 };
	PGresult *result = NULL;
	enum bursar_verdict verdict;

	db_add_text(&values, parts->kind->table);
	verdict = db_query(db,
		"SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) "
		"FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
		"WHERE i.inhparent = to_regclass($1) AND NOT i.inhdetachpending",
		&values, false, &result, err);
	parts->count = 0;
	parts->latest = 0;
	parts->known = verdict == BURSAR_DONE;
	for (int i = 0; verdict == BURSAR_DONE && i < PQntuples(result); i++) {
		struct part *part = add_part(parts);

		if (part == NULL) {
			bursar_fail(err, ENOMEM, "%s: no memory for the "
			            "partitions of %s", db->label,
			            parts->kind->table);
			verdict = BURSAR_RETRY;
			break;
		}
		snprintf(part->name, sizeof(part->name), "%s",
		         PQgetvalue(result, i, 0));
		parts->count += read_bounds(PQgetvalue(result, i, 1), part);
	}
	PQclear(result);
	if (parts->count > 0) {
		qsort(parts->list, parts->count, sizeof(*parts->list),
		      compare_parts);
	}
	return verdict;
}

/* The first partition that ends behind the id, or count. */
static size_t find(const struct parts *parts, int64_t id)
{
	size_t low = 0, high = parts->count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (parts->list[middle].to > id) {
			high = middle;
		} else {
			low = middle + 1;
		}
	}
	return low;
}

static bool holds(const struct part *part, int64_t id)
{
	return part->from <= id && id < part->to;
}

bool parts_has(struct parts *parts, int64_t block)
{
	const int64_t id = parts_first_id(block);

	if (parts->latest < parts->count &&
	    holds(&parts->list[parts->latest], id)) {
		return true;
	}
	parts->latest = find(parts, id);
	return parts->latest < parts->count &&
	       holds(&parts->list[parts->latest], id);
}

int64_t parts_block(const struct bursar_record *record, int64_t now)
{
	int64_t block = columns_block(record);

	if (record->kind->fact || block == COLUMNS_NEVER) {
		return block;
	}
	const struct bursar_value phi =
		bursar_value(record, BURSAR_CONTAINS_PHI);
	if (phi.is_set && phi.number != 0) {
		block--;
	}
	const int64_t over = columns_day(now) - 1;
	return block < over ? over : block;
}

/* --- days and months ----------------------------------------------------- */

struct date {
	int64_t year;
	int     month;		/* 1 .. 12 */
	int     day;
};

/* Of a day since 1970; Howard Hinnant's civil_from_days. */
static struct date date_of(int64_t day)
{
	const int64_t z = day + 719468;
	const int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	const int64_t of_era = z - era * 146097;
	const int64_t year = (of_era - of_era / 1460 + of_era / 36524 -
	                      of_era / 146096) / 365;
	const int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
	const int64_t m = (5 * of_year + 2) / 153;

	return (struct date){
		.year = year + era * 400 + (m >= 10),
		.month = (int)(m < 10 ? m + 3 : m - 9),
		.day = (int)(of_year - (153 * m + 2) / 5 + 1),
	};
}

/* The first day of a month, which may be 13. */
static int64_t day_of(int64_t year, int month)
{
	if (month > 12) {
		year++;
		month -= 12;
	}
	const int64_t y = year - (month <= 2);
	const int64_t era = (y >= 0 ? y : y - 399) / 400;
	const int64_t of_era = y - era * 400;
	const int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 +
	       of_year - 719468;
}

/* --- making -------------------------------------------------------------- */

static void name_of_date(struct part *part, const char *table, int64_t day,
                         bool whole_month)
{
	const struct date date = date_of(day);

	snprintf(part->name, sizeof(part->name), whole_month
	         ? "%s_%04lld_%02d" : "%s_%04lld_%02d_%02d", table,
	         (long long)date.year, date.month, date.day);
}

/* The days [from, to) in units of `scale` blocks. */
static void set_days(struct part *part, const char *table, int64_t from,
                     int64_t to, int64_t scale)
{
	const struct date date = date_of(from);

	if (scale == 1 && to > COLUMNS_NEVER) {
		to = COLUMNS_NEVER;
	}
	part->from = parts_first_id(from * scale);
	part->to = parts_first_id(to * scale);
	name_of_date(part, table, from, date.day == 1 &&
	             to == day_of(date.year, date.month + 1));
}

/* The partition that a block should be in, if there were no others. */
static void plan(const struct bursar_kind *kind, int64_t block, int64_t now,
                 struct part *part)
{
	const int64_t scale = kind->fact ? CELLS_A_DAY : 1;
	const int64_t day = block / scale - (block % scale < 0);
	const int64_t first = day_of(FIRST_YEAR, 1);
	const struct date date = date_of(day);

	if (!kind->fact && block >= COLUMNS_NEVER) {
		part->from = parts_first_id(COLUMNS_NEVER);
		part->to = INT64_MAX;
		snprintf(part->name, sizeof(part->name), "%s_never",
		         kind->table);
	} else if (day < first) {
		part->from = INT64_MIN;
		part->to = parts_first_id(first * scale);
		snprintf(part->name, sizeof(part->name), "%s_old", kind->table);
	} else if (kind->fact || day > columns_day(now) + DAYS_AHEAD) {
		set_days(part, kind->table, day_of(date.year, date.month),
		         day_of(date.year, date.month + 1), scale);
	} else {
		set_days(part, kind->table, day, day + 1, scale);
	}
}

/* Takes from the plan what others have already. */
static void fit(const struct parts *parts, int64_t block, struct part *part)
{
	const int64_t scale = parts->kind->fact ? CELLS_A_DAY : 1;
	const size_t next = find(parts, parts_first_id(block));
	bool cut = false;

	if (next > 0 && parts->list[next - 1].to > part->from) {
		part->from = parts->list[next - 1].to;
		cut = true;
	}
	if (next < parts->count && parts->list[next].from < part->to) {
		part->to = parts->list[next].from;
		cut = true;
	}
	if (cut && part->from != INT64_MIN) {
		name_of_date(part, parts->kind->table,
		             (part->from >> COLUMNS_ID_SHIFT) / scale, false);
	}
}

static void add_bound(struct text *sql, const char *before, int64_t bound)
{
	if (bound == INT64_MIN || bound == INT64_MAX) {
		text_add(sql, "%s(%s)", before,
		         bound == INT64_MIN ? "MINVALUE" : "MAXVALUE");
	} else {
		text_add(sql, "%s(%lld)", before, (long long)bound);
	}
}

/* Somebody may have taken a partition off and kept it under its name. */
static enum bursar_verdict find_name(struct db *db, struct part *part,
                                     struct bursar_error *err)
{
	const size_t size = strlen(part->name);
	enum bursar_verdict verdict = BURSAR_DONE;
	int64_t taken = 1;

	for (int i = 1; i <= MAX_NAMES && taken && verdict == BURSAR_DONE;
	     i++) {
		struct db_values values = { 0 };

		if (i > 1) {
			snprintf(part->name + size, sizeof(part->name) - size,
			         "_%d", i);
		}
		db_add_text(&values, part->name);
		verdict = db_integer(db, "SELECT count(*) WHERE "
		                     "to_regclass($1) IS NOT NULL", &values, 0,
		                     &taken, err);
	}
	return verdict;
}

static enum bursar_verdict create(struct db *db, const struct parts *parts,
                                  const struct part *part,
                                  struct bursar_error *err)
{
	const char *table = parts->kind->table;
	struct text sql = { 0 };

	text_add(&sql, "CREATE TABLE \"%s\" (LIKE \"%s\" INCLUDING ALL);"
	         "ALTER TABLE \"%s\" ATTACH PARTITION \"%s\" FOR VALUES",
	         part->name, table, table, part->name);
	add_bound(&sql, " FROM ", part->from);
	add_bound(&sql, " TO ", part->to);
	return db_exec_text(db, &sql, err);
}

enum bursar_verdict parts_make(struct db *db, struct parts *parts,
                               int64_t block, int64_t now,
                               struct bursar_error *err)
{
	struct part part = { 0 };
	enum bursar_verdict verdict = db_exec(db, "BEGIN", err);
	bool made = false;

	if (verdict == BURSAR_DONE) {
		verdict = schema_lock(db, err);
	}
	/* Another daemon may have made it while we waited. */
	if (verdict == BURSAR_DONE) {
		verdict = parts_read(db, parts, err);
	}
	if (verdict == BURSAR_DONE && !parts_has(parts, block)) {
		plan(parts->kind, block, now, &part);
		fit(parts, block, &part);
		made = true;
		verdict = find_name(db, &part, err);
	}
	if (verdict == BURSAR_DONE && made) {
		verdict = create(db, parts, &part, err);
	}
	if (verdict == BURSAR_DONE) {
		verdict = db_exec(db, "COMMIT", err);
	}
	if (verdict == BURSAR_DONE && made) {
		verdict = parts_read(db, parts, err);
		db->host->log(db->host, BURSAR_INFO, "partition-made",
		              "partition=%s", part.name);
	}
	db_rollback(db);
	return verdict == BURSAR_REJECT ? BURSAR_CONFIG : verdict;
}
