/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What has expired goes: whole partitions at a time, which takes no longer for
 * many rows than for few.  The rollups stay.
 *
 * A partition of which a part is still wanted waits until all of it has
 * expired; reports hide what has.  Rows are deleted one by one only where
 * that is little work (a small partition) or where the wait would be long (the
 * bodies that expire in a month far off share one).
 *
 * Of a partition in which rows are held these stay, under their ids: a large
 * one is replaced by one that has them alone.  A hold and a step of a purge
 * wait for each other.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>

#include "postgres.h"

#include "common/holds.h"

#define SMALL_PAGES 256		/* whose rows can be counted and deleted */
#define LOCK_MS     1000	/* others wait behind us while we wait */

struct purge {
	struct db *db;
	const struct bursar_purge *what;
	const struct bursar_kind *kind;
	int64_t  before;	/* ids below may go ... */
	int64_t  over;		/* ... and partitions that end here or before */
	uint64_t left;
	uint64_t taken;		/* of this kind */
	bool     holds;		/* there are some */
	bool     more;
};

static bool applies(const struct bursar_kind *kind,
                    const struct bursar_purge *what)
{
	return kind->fact ? what->facts_before != 0 : what->now != 0;
}

static void set_kind(struct purge *purge, const struct bursar_kind *kind)
{
	const struct bursar_purge *what = purge->what;

	purge->kind = kind;
	purge->taken = 0;
	if (kind->fact) {
		purge->before = parts_first_id(columns_cell(what->facts_before));
		purge->over = purge->before;
	} else {
		purge->before = parts_first_id(columns_day(what->now) + 1);
		purge->over = parts_first_id(columns_day(what->now));
	}
}

/* --- one partition ------------------------------------------------------- */

/* Whether rows of the partition are held. */
static void add_held(struct text *sql, const struct purge *purge,
                     const struct part *part)
{
	char *held = purge->holds ? holds_condition(purge->kind, part->name,
	                                            INT64_MAX) : NULL;

	text_add(sql, "%s", held != NULL ? held : "false");
	sql->failed |= purge->holds && held == NULL;
	free(held);
}

/* Which rows of it may go; whole: all that are not held. */
static void add_where(struct text *sql, const struct purge *purge,
                      const struct part *part, bool whole)
{
	char name[COLUMNS_NAME_MAX];

	text_add(sql, "NOT ");
	add_held(sql, purge, part);
	if (whole) {
		return;
	}
	text_add(sql, " AND id < %lld", (long long)purge->before);
	if (!purge->kind->fact) {
		columns_stored(&purge->kind->fields[BURSAR_EXPIRES_AT], name);
		text_add(sql, " AND \"%s\" <= %lld", name,
		         (long long)purge->what->now);
	}
}

static enum bursar_verdict ask(struct purge *purge, struct text *sql,
                               int64_t *number, struct bursar_error *err)
{
	enum bursar_verdict verdict = BURSAR_RETRY;

	if (sql->failed) {
		bursar_fail(err, ENOMEM, "out of memory");
	} else {
		verdict = db_integer(purge->db, sql->data, NULL, 0, number,
		                     err);
	}
	text_finish(sql);
	return verdict;
}

static enum bursar_verdict is_small(struct purge *purge,
                                    const struct part *part, bool *small,
                                    struct bursar_error *err)
{
	struct text sql = { 0 };
	int64_t pages = 0;
	enum bursar_verdict verdict;

	text_add(&sql, "SELECT pg_relation_size('\"%s\"') / "
	         "current_setting('block_size')::int", part->name);
	verdict = ask(purge, &sql, &pages, err);
	*small = pages <= SMALL_PAGES;
	return verdict;
}

static enum bursar_verdict count_rows(struct purge *purge,
                                      const struct part *part, bool whole,
                                      int64_t *rows, struct bursar_error *err)
{
	struct text sql = { 0 };

	text_add(&sql, "SELECT count(*) FROM \"%s\" WHERE ", part->name);
	add_where(&sql, purge, part, whole);
	return ask(purge, &sql, rows, err);
}

/* How many rows a large partition has, about: to count them takes long. */
static enum bursar_verdict estimate_rows(struct purge *purge,
                                         const struct part *part,
                                         int64_t *rows,
                                         struct bursar_error *err)
{
	struct text sql = { 0 };

	text_add(&sql, "SELECT greatest(pg_stat_get_live_tuples(oid), "
	         "reltuples, 0)::bigint FROM pg_class "
	         "WHERE oid = '\"%s\"'::regclass", part->name);
	return ask(purge, &sql, rows, err);
}

static enum bursar_verdict drop_part(struct purge *purge,
                                     const struct part *part, int64_t rows,
                                     struct bursar_error *err)
{
	struct text sql = { 0 };
	enum bursar_verdict verdict;

	text_add(&sql, "DROP TABLE \"%s\"", part->name);
	verdict = db_exec_text(purge->db, &sql, err);
	if (verdict == BURSAR_DONE) {
		purge->taken += (uint64_t)rows;
		purge->left -= (uint64_t)rows < purge->left ? (uint64_t)rows
			: purge->left;
		/* One a transaction: readers wait for its end. */
		purge->more = true;
		purge->db->host->log(purge->db->host, BURSAR_INFO,
		                     "partition-dropped", "partition=%s",
		                     part->name);
	}
	return verdict;
}

static enum bursar_verdict delete_rows(struct purge *purge,
                                       const struct part *part, bool whole,
                                       struct bursar_error *err)
{
	struct text sql = { 0 };
	int64_t rows = 0;
	enum bursar_verdict verdict;

	text_add(&sql, "WITH gone AS (DELETE FROM \"%s\" WHERE ctid = ANY ("
	         "ARRAY(SELECT ctid FROM \"%s\" WHERE ", part->name,
	         part->name);
	add_where(&sql, purge, part, whole);
	text_add(&sql, " ORDER BY id LIMIT %llu)) RETURNING 1) "
	         "SELECT count(*) FROM gone", (unsigned long long)purge->left);
	verdict = ask(purge, &sql, &rows, err);
	purge->taken += (uint64_t)rows;
	purge->left -= (uint64_t)rows;
	purge->more |= purge->left == 0;
	return verdict;
}

/* Whether some rows are held, and whether some are not. */
static enum bursar_verdict look_for_held(struct purge *purge,
                                         const struct part *part, bool *held,
                                         bool *others,
                                         struct bursar_error *err)
{
	struct text sql = { 0 };
	int64_t found = 2;
	enum bursar_verdict verdict = BURSAR_DONE;

	if (purge->holds) {
		text_add(&sql, "SELECT (CASE WHEN EXISTS (SELECT 1 FROM \"%s\" "
		         "WHERE ", part->name);
		add_held(&sql, purge, part);
		text_add(&sql, ") THEN 1 ELSE 0 END) + (CASE WHEN EXISTS ("
		         "SELECT 1 FROM \"%s\" WHERE NOT ", part->name);
		add_held(&sql, purge, part);
		text_add(&sql, ") THEN 2 ELSE 0 END)");
		verdict = ask(purge, &sql, &found, err);
	}
	*held = (found & 1) != 0;
	*others = (found & 2) != 0;
	return verdict;
}

static void add_id(struct text *sql, int64_t id)
{
	if (id == INT64_MIN || id == INT64_MAX) {
		text_add(sql, "(%s)", id == INT64_MIN ? "MINVALUE"
		                                      : "MAXVALUE");
	} else {
		text_add(sql, "(%lld)", (long long)id);
	}
}

/*
 * Puts a partition with what is held in the place of the old one.  Who writes
 * to the old one meanwhile waits; nobody does, as what comes in is not so old.
 */
static enum bursar_verdict replace_part(struct purge *purge,
                                        const struct part *part,
                                        struct bursar_error *err)
{
	struct db *db = purge->db;
	const char *name = part->name;
	const int64_t patience_ms = db->patience_ms;
	struct text sql = { 0 };
	int64_t rows = 0;
	enum bursar_verdict verdict;

	/* To copy what is held takes its time. */
	db->patience_ms = 0;
	text_add(&sql, "SET LOCAL statement_timeout = 0;"
	         "LOCK TABLE \"%s\" IN SHARE ROW EXCLUSIVE MODE", name);
	verdict = db_exec_text(db, &sql, err);
	if (verdict == BURSAR_DONE) {
		verdict = count_rows(purge, part, true, &rows, err);
	}
	text_add(&sql, "CREATE TABLE \"%s_held\" (LIKE \"%s\" INCLUDING ALL);"
	         "INSERT INTO \"%s_held\" SELECT * FROM \"%s\" WHERE ", name,
	         name, name, name);
	add_held(&sql, purge, part);
	text_add(&sql, ";DROP TABLE \"%s\";"
	         "ALTER TABLE \"%s_held\" RENAME TO \"%s\";"
	         "ALTER TABLE \"%s\" ATTACH PARTITION \"%s\" FOR VALUES FROM ",
	         name, name, name, purge->kind->table, name);
	add_id(&sql, part->from);
	text_add(&sql, " TO ");
	add_id(&sql, part->to);
	if (verdict == BURSAR_DONE) {
		verdict = db_exec_text(db, &sql, err);
	}
	text_finish(&sql);
	db->patience_ms = patience_ms;
	if (verdict == BURSAR_DONE) {
		purge->taken += (uint64_t)rows;
		purge->left -= (uint64_t)rows < purge->left ? (uint64_t)rows
			: purge->left;
		purge->more = true;
		db->host->log(db->host, BURSAR_INFO, "partition-reduced",
		              "partition=%s gone=%lld", name, (long long)rows);
	}
	return verdict;
}

static bool is_whole(const struct purge *purge, const struct part *part)
{
	return part->to <= purge->over;
}

/* Whether it holds bodies of more than one day. */
static bool is_wide(const struct purge *purge, const struct part *part)
{
	return !purge->kind->fact && part->from != INT64_MIN &&
	       part->to != INT64_MAX &&
	       part->to - part->from > parts_first_id(1);
}

static enum bursar_verdict purge_part(struct purge *purge,
                                      const struct part *part,
                                      struct bursar_error *err)
{
	const bool whole = is_whole(purge, part);
	int64_t rows = 0;
	bool small = false, held = false, others = true;
	enum bursar_verdict verdict = is_small(purge, part, &small, err);

	if (verdict != BURSAR_DONE || (!whole && !small &&
	    !is_wide(purge, part))) {
		return verdict;
	}
	if (whole) {
		verdict = look_for_held(purge, part, &held, &others, err);
	}
	if (verdict != BURSAR_DONE || (held && !others)) {
		return verdict;
	}
	if (whole) {
		verdict = small ? count_rows(purge, part, true, &rows, err)
			: estimate_rows(purge, part, &rows, err);
	}
	if (verdict != BURSAR_DONE) {
		return verdict;
	}
	if (held && !small) {
		return replace_part(purge, part, err);
	}
	return whole && !held && (!small || (uint64_t)rows <= purge->left)
	       ? drop_part(purge, part, rows, err)
	       : delete_rows(purge, part, whole, err);
}

/* --- a kind -------------------------------------------------------------- */

static enum bursar_verdict purge_kind(struct purge *purge,
                                      struct bursar_error *err)
{
	struct parts parts = { .kind = purge->kind };
	enum bursar_verdict verdict = parts_read(purge->db, &parts, err);

	for (size_t i = 0; i < parts.count && verdict == BURSAR_DONE &&
	     !purge->more; i++) {
		if (parts.list[i].from >= purge->before) {
			break;
		}
		verdict = purge_part(purge, &parts.list[i], err);
	}
	parts_finish(&parts);
	return verdict;
}

static enum bursar_verdict take_all(struct purge *purge, struct keys *keys,
                                    struct bursar_purged *purged,
                                    struct bursar_error *err)
{
	const struct bursar_schema *schema = purge->db->host->schema;
	const struct bursar_purge *what = purge->what;
	enum bursar_verdict verdict = BURSAR_DONE;
	uint64_t taken = 0;
	bool more = false;

	for (size_t i = 0; i < schema->kind_count && !purge->more &&
	     verdict == BURSAR_DONE; i++) {
		if (!applies(&schema->kinds[i], what)) {
			continue;
		}
		set_kind(purge, &schema->kinds[i]);
		verdict = purge_kind(purge, err);
		*(purge->kind->fact ? &purged->facts : &purged->bodies) +=
			purge->taken;
	}
	if (verdict != BURSAR_DONE || what->keys_before == 0) {
		return verdict;
	}
	if (purge->more || purge->left == 0) {
		purge->more = true;
		return BURSAR_DONE;
	}
	verdict = keys_purge(keys, columns_day(what->keys_before), purge->left,
	                     &taken, &more, err);
	purged->keys += taken;
	purge->more = more;
	return verdict;
}

static enum bursar_verdict find_holds(struct purge *purge,
                                      struct bursar_error *err)
{
	int64_t count = 0;
	const enum bursar_verdict verdict = db_integer(purge->db,
		"SELECT count(*) FROM bursar_holds WHERE released_us IS NULL",
		NULL, 0, &count, err);

	purge->holds = count > 0;
	return verdict;
}

enum bursar_verdict purge_run(struct db *db, struct keys *keys,
                              const struct bursar_purge *what,
                              struct bursar_purged *purged,
                              struct bursar_error *err)
{
	struct purge purge = { .db = db, .what = what, .left = what->limit };
	const int64_t lock_ms = db->host->number(db->host, "lock-timeout");
	struct text sql = { 0 };
	enum bursar_verdict verdict;

	if (purge.left > INT32_MAX) {
		purge.left = INT32_MAX;
	}
	text_add(&sql, "BEGIN; SET LOCAL lock_timeout = %lld;"
	         "LOCK TABLE bursar_holds IN SHARE MODE", (long long)
	         (lock_ms > 0 && lock_ms < LOCK_MS ? lock_ms : LOCK_MS));
	verdict = db_exec_text(db, &sql, err);
	if (verdict == BURSAR_DONE) {
		verdict = find_holds(&purge, err);
	}
	if (verdict == BURSAR_DONE) {
		verdict = take_all(&purge, keys, purged, err);
	}
	if (verdict == BURSAR_DONE) {
		verdict = schema_commit(db, err);
	}
	db_rollback(db);
	purged->more = purge.more;
	return verdict;
}

/* --- counting ------------------------------------------------------------ */

/* As purge_part() would take, however many there are. */
static enum bursar_verdict count_part(struct purge *purge,
                                      const struct part *part,
                                      struct bursar_error *err)
{
	const bool whole = is_whole(purge, part);
	int64_t rows = 0;
	bool small = false;
	enum bursar_verdict verdict = is_small(purge, part, &small, err);

	if (verdict == BURSAR_DONE &&
	    (whole || small || is_wide(purge, part))) {
		verdict = count_rows(purge, part, whole, &rows, err);
	}
	purge->taken += (uint64_t)rows;
	return verdict;
}

static enum bursar_verdict count_kind(struct purge *purge,
                                      struct bursar_error *err)
{
	struct parts parts = { .kind = purge->kind };
	enum bursar_verdict verdict = parts_read(purge->db, &parts, err);

	for (size_t i = 0; i < parts.count && verdict == BURSAR_DONE; i++) {
		if (parts.list[i].from >= purge->before) {
			break;
		}
		verdict = count_part(purge, &parts.list[i], err);
	}
	parts_finish(&parts);
	return verdict;
}

enum bursar_verdict purge_count(struct db *db, const struct bursar_purge *what,
                                struct bursar_purged *purged,
                                struct bursar_error *err)
{
	const struct bursar_schema *schema = db->host->schema;
	struct purge purge = { .db = db, .what = what };
	enum bursar_verdict verdict = find_holds(&purge, err);

	for (size_t i = 0; i < schema->kind_count && verdict == BURSAR_DONE;
	     i++) {
		if (!applies(&schema->kinds[i], what)) {
			continue;
		}
		set_kind(&purge, &schema->kinds[i]);
		verdict = count_kind(&purge, err);
		*(purge.kind->fact ? &purged->facts : &purged->bodies) +=
			purge.taken;
	}
	if (verdict == BURSAR_DONE && what->keys_before != 0) {
		struct db_values values = { 0 };
		int64_t count = 0;

		db_add_integer(&values, columns_day(what->keys_before));
		verdict = db_integer(db, "SELECT count(*) FROM bursar_keys "
		                     "WHERE day < $1", &values, 0, &count, err);
		purged->keys += (uint64_t)count;
	}
	return verdict;
}
