/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Which records are there already: 16 bytes, a check, and the day of last use.
 *
 * Nearly always all keys of a batch are new.  Then they go straight into the
 * table by COPY, and its unique index refuses the batch should one be there
 * after all.  Where something tells of duplicates (the last batches had some,
 * a record is offered again, a key was written lately) they are added one by
 * one by INSERT ... ON CONFLICT, and those that were there are read.
 *
 * What tells of duplicates is only a hint: the index decides.
 */
#include "config.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>

#include "postgres.h"

#define FIND    "bursar_find_keys"
#define ADD     "bursar_add_keys"
#define TOUCH   "bursar_touch_keys"
#define CAUTION 8	/* batches that are taken slowly after a duplicate */
#define PURGE_PAGES 4096	/* of the table, looked at in one step */

/* Records of a batch with one key; they stand side by side. */
struct group {
	size_t first;
	size_t count;
};

struct keys {
	struct db *db;
	struct copy copy;
	struct numbers *numbers;
	struct text key_array;
	struct text check_array;

	struct group   *groups;
	struct key_row *rows;	/* of each group */
	size_t count;
	size_t room;
	bool   stale;		/* a group has a key that is there */

	uint64_t *recent;	/* leading bytes of keys, by their first bits */
	unsigned  recent_bits;
	unsigned  caution;	/* batches to be taken slowly */
	int64_t   purge_page;	/* where keys_purge() goes on */
	int64_t   purge_day;
};

/* --- life ---------------------------------------------------------------- */

static enum bursar_verdict prepare_all(struct db *db, struct bursar_error *err)
{
	static const struct { const char *name, *sql; } all[] = {
		{ FIND, "SELECT key, content_check, day FROM bursar_keys "
		  "WHERE key = ANY($1::bytea[])" },
		{ ADD, "INSERT INTO bursar_keys (content_check, day, key) "
		  "SELECT unnest($2::bigint[]), $3::int, unnest($1::bytea[]) "
		  "ON CONFLICT DO NOTHING RETURNING key" },
		{ TOUCH, "UPDATE bursar_keys SET day = $2::int "
		  "WHERE key = ANY($1::bytea[]) AND day < $2::int" },
	};
	enum bursar_verdict verdict = BURSAR_DONE;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]) &&
	     verdict == BURSAR_DONE; i++) {
		verdict = db_prepare(db, all[i].name, all[i].sql, err);
	}
	return verdict;
}

static bool make_recent(struct keys *keys)
{
	const int64_t bytes = keys->db->host->number(keys->db->host,
	                                             "key-filter");

	keys->recent_bits = 1;
	while ((INT64_C(16) << keys->recent_bits) <= bytes) {
		keys->recent_bits++;
	}
	keys->recent = calloc(UINT64_C(1) << keys->recent_bits,
	                      sizeof(*keys->recent));
	return keys->recent != NULL;
}

enum bursar_verdict keys_open(struct keys **opened, struct db *db,
                              struct bursar_error *err)
{
	struct keys *keys = calloc(1, sizeof(*keys));

	*opened = keys;
	if (keys != NULL) {
		keys->db = db;
		keys->numbers = numbers_create(keys, db->host);
	}
	if (keys == NULL || keys->numbers == NULL || !make_recent(keys)) {
		bursar_fail(err, ENOMEM, "out of memory");
		return BURSAR_RETRY;
	}
	return prepare_all(db, err);
}

void keys_close(struct keys *keys)
{
	if (keys == NULL) {
		return;
	}
	numbers_destroy(keys->numbers);
	copy_finish(&keys->copy);
	text_finish(&keys->key_array);
	text_finish(&keys->check_array);
	free(keys->groups);
	free(keys->rows);
	free(keys->recent);
	free(keys);
}

/* --- keys that were written lately --------------------------------------- */

static uint64_t prefix_of(const uint8_t key[KEY_SIZE])
{
	uint64_t word;

	memcpy(&word, key, sizeof(word));
	return be64toh(word);
}

static uint64_t *slot_of(const struct keys *keys, uint64_t prefix)
{
	return &keys->recent[prefix >> (64 - keys->recent_bits)];
}

static bool is_recent(const struct keys *keys, const uint8_t key[KEY_SIZE])
{
	const uint64_t prefix = prefix_of(key);

	return *slot_of(keys, prefix) == prefix;
}

/* --- groups -------------------------------------------------------------- */

static bool make_room(struct keys *keys, size_t count)
{
	if (count > keys->room) {
		free(keys->groups);
		free(keys->rows);
		keys->groups = calloc(count, sizeof(*keys->groups));
		keys->rows = calloc(count, sizeof(*keys->rows));
		keys->room = keys->groups != NULL && keys->rows != NULL ? count
			: 0;
	}
	return count <= keys->room;
}

static bool same_key(const struct bursar_record *a,
                     const struct bursar_record *b)
{
	return memcmp(a->key, b->key, KEY_SIZE) == 0;
}

static enum bursar_verdict group_batch(struct keys *keys,
                                       const struct batch *batch,
                                       struct bursar_error *err)
{
	keys->count = 0;
	keys->stale = false;
	if (!make_room(keys, batch->count)) {
		bursar_fail(err, ENOMEM, "out of memory");
		return BURSAR_RETRY;
	}
	for (size_t i = 0; i < batch->count; i++) {
		const struct bursar_record *record = batch->records[i];

		if (i > 0 && same_key(record, batch->records[i - 1])) {
			keys->groups[keys->count - 1].count++;
			continue;
		}
		struct key_row *row = &keys->rows[keys->count];

		keys->groups[keys->count++] = (struct group){ i, 1 };
		memcpy(row->key, record->key, KEY_SIZE);
		row->check = record->check;
		row->found = false;
	}
	return BURSAR_DONE;
}

static void add_place(struct batch *batch, size_t index)
{
	batch->outcomes[index] = BURSAR_STORED;
	batch->places[batch->fresh++] = (struct place){ .index = index };
}

/* Compares with what is stored under the key, or will be. */
static void compare(struct batch *batch, size_t index, uint64_t check)
{
	batch->outcomes[index] = batch->records[index]->check == check
		? BURSAR_DUPLICATE : BURSAR_CONFLICT;
}

bool keys_look_new(struct keys *keys, const struct batch *batch)
{
	if (keys->caution > 0) {
		return false;
	}
	for (size_t i = 0; i < batch->count; i++) {
		const struct bursar_record *record = batch->records[i];

		if ((record->flags & BURSAR_RECORD_AGAIN) != 0 ||
		    is_recent(keys, record->key)) {
			return false;
		}
		if ((record->flags & BURSAR_RECORD_COUNTED) != 0 && i > 0 &&
		    same_key(record, batch->records[i - 1])) {
			return false;
		}
	}
	return true;
}

/* --- the fast way -------------------------------------------------------- */

static int64_t today(const struct keys *keys)
{
	return columns_day(keys->db->host->now(keys->db->host));
}

static enum bursar_verdict copy_groups(struct keys *keys,
                                       struct bursar_error *err)
{
	const int64_t day = today(keys);
	enum bursar_verdict verdict = copy_begin(&keys->copy, keys->db,
		"BEGIN; COPY bursar_keys (content_check, day, key) FROM STDIN "
		"(FORMAT binary)", err);

	if (verdict != BURSAR_DONE) {
		return verdict;
	}
	for (size_t i = 0; i < keys->count; i++) {
		if (!copy_row(&keys->copy, 3, KEY_SIZE)) {
			break;
		}
		copy_int8(&keys->copy, (int64_t)keys->rows[i].check);
		copy_int4(&keys->copy, day);
		copy_bytes(&keys->copy, keys->rows[i].key, KEY_SIZE);
		if (!copy_push(&keys->copy)) {
			break;
		}
	}
	copy_last(&keys->copy, false);
	return BURSAR_DONE;
}

enum bursar_verdict keys_copied(struct keys *keys, bool *known,
                                struct bursar_error *err)
{
	struct db *db = keys->db;

	db->state[0] = '\0';
	const enum bursar_verdict verdict = copy_end(&keys->copy, err);
	*known = verdict != BURSAR_DONE && strcmp(db->state, "23505") == 0 &&
		strcmp(db->constraint, "bursar_keys_pkey") == 0;
	return verdict;
}

enum bursar_verdict keys_copy(struct keys *keys, struct batch *batch,
                              struct bursar_error *err)
{
	enum bursar_verdict verdict = group_batch(keys, batch, err);

	batch->fresh = 0;
	if (verdict == BURSAR_DONE) {
		verdict = copy_groups(keys, err);
	}
	if (verdict != BURSAR_DONE) {
		return verdict;
	}
	for (size_t i = 0; i < keys->count; i++) {
		const struct group *group = &keys->groups[i];

		add_place(batch, group->first);
		for (size_t j = 1; j < group->count; j++) {
			compare(batch, group->first + j, keys->rows[i].check);
		}
	}
	return BURSAR_DONE;
}

/* --- keys that may be there ---------------------------------------------- */

static void begin_keys(struct keys *keys, size_t count)
{
	text_begin_array(&keys->key_array, DB_BYTEA, count);
}

static void put_key(struct keys *keys, const uint8_t key[KEY_SIZE])
{
	text_put32(&keys->key_array, KEY_SIZE);
	text_put(&keys->key_array, key, KEY_SIZE);
}

static enum bursar_verdict add_array(struct keys *keys, struct text *array,
                                     struct db_values *values, Oid type,
                                     struct bursar_error *err)
{
	if (array->failed) {
		bursar_fail(err, ENOMEM, "%s: out of memory", keys->db->label);
		return BURSAR_RETRY;
	}
	db_add_binary(values, type, array->data, array->size);
	return BURSAR_DONE;
}

static int compare_rows(const void *left, const void *right)
{
	const struct key_row *a = left;
	const struct key_row *b = right;

	return memcmp(a->key, b->key, KEY_SIZE);
}

/* The row that a row of the result is about; NULL: none, which cannot be. */
static struct key_row *match(struct key_row *rows, size_t count,
                             const PGresult *result, int at)
{
	struct key_row wanted = { 0 };

	if (PQgetlength(result, at, 0) != KEY_SIZE) {
		return NULL;
	}
	memcpy(wanted.key, PQgetvalue(result, at, 0), KEY_SIZE);
	return bsearch(&wanted, rows, count, sizeof(*rows), compare_rows);
}

enum bursar_verdict keys_find(struct keys *keys, struct key_row *rows,
                              size_t count, struct bursar_error *err)
{
	struct db_values values = { 0 };
	PGresult *result = NULL;
	enum bursar_verdict verdict;

	begin_keys(keys, count);
	for (size_t i = 0; i < count; i++) {
		rows[i].found = false;
		put_key(keys, rows[i].key);
	}
	verdict = add_array(keys, &keys->key_array, &values, DB_BYTEAS, err);
	if (verdict == BURSAR_DONE) {
		verdict = db_run(keys->db, FIND, &values, true, &result, err);
	}
	for (int i = 0; verdict == BURSAR_DONE && i < PQntuples(result); i++) {
		struct key_row *row = match(rows, count, result, i);

		if (row != NULL) {
			row->found = true;
			row->check = (uint64_t)db_get64(PQgetvalue(result, i,
			                                           1));
			row->day = db_get32(PQgetvalue(result, i, 2));
		}
	}
	PQclear(result);
	return verdict;
}

enum bursar_verdict keys_add(struct keys *keys, struct key_row *rows,
                             size_t count, int64_t day,
                             struct bursar_error *err)
{
	struct db_values values = { 0 };
	PGresult *result = NULL;
	enum bursar_verdict verdict;

	begin_keys(keys, count);
	text_begin_array(&keys->check_array, DB_INT8, count);
	for (size_t i = 0; i < count; i++) {
		rows[i].found = true;
		put_key(keys, rows[i].key);
		text_put32(&keys->check_array, 8);
		text_put64(&keys->check_array, (int64_t)rows[i].check);
	}
	verdict = add_array(keys, &keys->key_array, &values, DB_BYTEAS, err);
	if (verdict == BURSAR_DONE) {
		verdict = add_array(keys, &keys->check_array, &values,
		                    DB_INT8S, err);
	}
	if (verdict == BURSAR_DONE) {
		db_add_integer(&values, day);
		verdict = db_run(keys->db, ADD, &values, true, &result, err);
	}
	for (int i = 0; verdict == BURSAR_DONE && i < PQntuples(result); i++) {
		struct key_row *row = match(rows, count, result, i);

		if (row != NULL) {
			row->found = false;
		}
	}
	PQclear(result);
	return verdict;
}

/* --- the way that meets duplicates --------------------------------------- */

/* Reads what is stored under keys that were there already. */
static enum bursar_verdict read_known(struct keys *keys,
                                      struct bursar_error *err)
{
	enum bursar_verdict verdict = BURSAR_DONE;
	struct key_row *known;
	size_t count = 0;

	for (size_t i = 0; i < keys->count; i++) {
		count += keys->rows[i].found;
	}
	keys->stale = count > 0;
	if (count == 0) {
		return BURSAR_DONE;
	}
	known = calloc(count, sizeof(*known));
	if (known == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return BURSAR_RETRY;
	}
	count = 0;
	for (size_t i = 0; i < keys->count; i++) {
		if (keys->rows[i].found) {
			known[count++] = keys->rows[i];
		}
	}
	verdict = keys_find(keys, known, count, err);
	count = 0;
	for (size_t i = 0; i < keys->count && verdict == BURSAR_DONE; i++) {
		if (!keys->rows[i].found) {
			continue;
		}
		keys->rows[i] = known[count++];
		if (!keys->rows[i].found) {
			/* Purged between the two statements: again. */
			bursar_fail(err, EAGAIN, "%s: keys went while they "
			            "were read", keys->db->label);
			verdict = BURSAR_RETRY;
		}
	}
	free(known);
	return verdict;
}

/* What becomes of the records of a group; false: out of memory. */
static bool settle_group(struct keys *keys, struct batch *batch, size_t at)
{
	const struct group *group = &keys->groups[at];
	const struct key_row *row = &keys->rows[at];
	size_t i = group->first;

	if (!row->found) {
		add_place(batch, i++);
	}
	for (; i < group->first + group->count; i++) {
		const unsigned flags = batch->records[i]->flags;

		if ((flags & BURSAR_RECORD_COUNTED) == 0 ||
		    ((flags & BURSAR_RECORD_AGAIN) != 0 &&
		     batch->records[i]->check == row->check)) {
			compare(batch, i, row->check);
		} else if (!numbers_push(keys->numbers, i)) {
			return false;
		}
	}
	return true;
}

/* A key that is used again stays young. */
static enum bursar_verdict touch(struct keys *keys, const struct batch *batch,
                                 int64_t day, struct bursar_error *err)
{
	struct db_values values = { 0 };
	size_t count = 0;
	enum bursar_verdict verdict;

	for (int pass = 0; pass < 2; pass++) {
		if (pass == 1 && count == 0) {
			return BURSAR_DONE;
		}
		begin_keys(keys, count);
		count = 0;
		for (size_t i = 0; i < keys->count; i++) {
			const size_t first = keys->groups[i].first;

			if (keys->rows[i].found && keys->rows[i].day < day &&
			    batch->outcomes[first] == BURSAR_DUPLICATE) {
				put_key(keys, keys->rows[i].key);
				count++;
			}
		}
	}
	verdict = add_array(keys, &keys->key_array, &values, DB_BYTEAS, err);
	if (verdict == BURSAR_DONE) {
		db_add_integer(&values, day);
		verdict = db_run(keys->db, TOUCH, &values, false, NULL, err);
	}
	return verdict;
}

enum bursar_verdict keys_take(struct keys *keys, struct batch *batch,
                              size_t *culprit, struct bursar_error *err)
{
	const int64_t day = today(keys);
	enum bursar_verdict verdict = group_batch(keys, batch, err);

	batch->fresh = 0;
	numbers_clear(keys->numbers);
	if (verdict == BURSAR_DONE) {
		verdict = keys_add(keys, keys->rows, keys->count, day, err);
	}
	if (verdict == BURSAR_DONE) {
		verdict = read_known(keys, err);
	}
	for (size_t i = 0; i < keys->count && verdict == BURSAR_DONE; i++) {
		if (!settle_group(keys, batch, i)) {
			bursar_fail(err, ENOMEM, "out of memory");
			verdict = BURSAR_RETRY;
		}
	}
	if (verdict == BURSAR_DONE) {
		verdict = numbers_take(keys->numbers, batch, day, culprit, err);
	}
	return verdict == BURSAR_DONE && keys->stale
	       ? touch(keys, batch, day, err) : verdict;
}

void keys_settle(struct keys *keys, const struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		const uint64_t prefix = prefix_of(batch->records[i]->key);

		*slot_of(keys, prefix) = prefix;
	}
	if (keys->stale) {
		keys->caution = CAUTION;
	} else if (keys->caution > 0) {
		keys->caution--;
	}
}

/* --- purging ------------------------------------------------------------- */

/*
 * The table is walked in the order in which it is stored, some pages at each
 * step, so no step is long, and what was taken is not looked at again.
 */
enum bursar_verdict keys_purge(struct keys *keys, int64_t day, uint64_t limit,
                               uint64_t *taken, bool *more,
                               struct bursar_error *err)
{
	struct db_values values = { 0 };
	int64_t pages, deleted;
	enum bursar_verdict verdict;

	*taken = 0;
	*more = false;
	if (day != keys->purge_day) {
		keys->purge_day = day;
		keys->purge_page = 0;
	}
	verdict = db_integer(keys->db, "SELECT pg_relation_size('bursar_keys') "
		"/ current_setting('block_size')::int", NULL, 0, &pages, err);
	if (verdict != BURSAR_DONE) {
		return verdict;
	}
	char from[32], to[32];
	snprintf(from, sizeof(from), "(%lld,0)", (long long)keys->purge_page);
	snprintf(to, sizeof(to), "(%lld,0)",
	         (long long)keys->purge_page + PURGE_PAGES);
	db_add_text(&values, from);
	db_add_text(&values, to);
	db_add_integer(&values, day);
	db_add_integer(&values, (int64_t)limit);
	verdict = db_integer(keys->db,
		"WITH gone AS (DELETE FROM bursar_keys WHERE ctid = ANY (ARRAY("
		"SELECT ctid FROM bursar_keys WHERE ctid >= $1::text::tid AND "
		"ctid < $2::text::tid AND day < $3 LIMIT $4)) RETURNING 1) "
		"SELECT count(*) FROM gone", &values, 0, &deleted, err);
	if (verdict != BURSAR_DONE) {
		return verdict;
	}
	*taken = (uint64_t)deleted;
	if (*taken < limit) {
		keys->purge_page += PURGE_PAGES;
	}
	*more = keys->purge_page < pages;
	if (!*more) {
		keys->purge_page = 0;
	}
	return BURSAR_DONE;
}
