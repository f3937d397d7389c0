/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What has expired goes: whole partitions at a time, which takes no longer for
 * many rows than for few.  The rollups stay.
 *
 * A partition of which a part is still wanted waits until all of it has
 * expired; reports hide what has.  Rows are deleted one by one only where
 * that is little work (a small partition) or where the wait would be long (the
 * bodies that expire in a month far off share one).
 */
#include "config.h"

#include <errno.h>

#include "postgres.h"

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

/* Which rows of it may go. */
static void add_where(struct text *sql, const struct purge *purge)
{
	char name[COLUMNS_NAME_MAX];

	text_add(sql, "id < %lld", (long long)purge->before);
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
	if (whole) {
		text_add(&sql, "true");
	} else {
		add_where(&sql, purge);
	}
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
	if (whole) {
		text_add(&sql, "true");
	} else {
		add_where(&sql, purge);
	}
	text_add(&sql, " ORDER BY id LIMIT %llu)) RETURNING 1) "
	         "SELECT count(*) FROM gone", (unsigned long long)purge->left);
	verdict = ask(purge, &sql, &rows, err);
	purge->taken += (uint64_t)rows;
	purge->left -= (uint64_t)rows;
	purge->more |= purge->left == 0;
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
	bool small = false;
	enum bursar_verdict verdict = is_small(purge, part, &small, err);

	if (verdict != BURSAR_DONE || (!whole && !small &&
	    !is_wide(purge, part))) {
		return verdict;
	}
	if (whole) {
		verdict = small ? count_rows(purge, part, true, &rows, err)
			: estimate_rows(purge, part, &rows, err);
	}
	if (verdict != BURSAR_DONE) {
		return verdict;
	}
	return whole && (!small || (uint64_t)rows <= purge->left)
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
	text_add(&sql, "BEGIN; SET LOCAL lock_timeout = %lld", (long long)
	         (lock_ms > 0 && lock_ms < LOCK_MS ? lock_ms : LOCK_MS));
	verdict = db_exec_text(db, &sql, err);
	if (verdict == BURSAR_DONE) {
		verdict = take_all(&purge, keys, purged, err);
	}
	if (verdict == BURSAR_DONE) {
		verdict = db_exec(db, "COMMIT", err);
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
	enum bursar_verdict verdict = BURSAR_DONE;

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
