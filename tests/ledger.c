/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A ledger of the sqlite sink in a temporary folder.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "fakehost.h"
#include "flow/identity.h"
#include "folder.h"
#include "ledger.h"

static struct fakehost host;
static char folder[FOLDER_SIZE];	/* "": of a file that stays */

/* --- a ledger ------------------------------------------------------------ */

void ledger_open_at(struct book *book, const char *path)
{
	const struct bursar_plugin *plugin = fakehost_load("sink", "sqlite");
	enum bursar_verdict verdict = BURSAR_DONE;
	struct bursar_error err = { 0 };

	fakehost_init(&host, &schema);
	fakehost_declare(&host, plugin->options);
	fakehost_set(&host, "path", path);
	memset(book, 0, sizeof(*book));
	book->name = "fixture";
	book->ops = plugin->ops.sink;
	book->sink = book->ops->open(&host.host, BURSAR_WRITE, &verdict, &err);
	ck_assert_msg(book->sink != NULL, "%s", err.text);
}

void ledger_open(struct book *book)
{
	char path[FOLDER_SIZE + 16];

	folder_make(folder);
	snprintf(path, sizeof(path), "%s/ledger.db", folder);
	ledger_open_at(book, path);
}

void ledger_clock(int64_t now_us)
{
	host.now_us = now_us;
}

void ledger_close(struct book *book)
{
	book->ops->close(book->sink);
	fakehost_finish(&host);
	memset(book, 0, sizeof(*book));
	if (folder[0] != '\0') {
		folder_remove(folder);
		folder[0] = '\0';
	}
}

/* --- records ------------------------------------------------------------- */

static int place(const struct bursar_record *record, const char *field)
{
	const int at = bursar_field_find(record->kind, field);

	ck_assert_msg(at >= 0, "no field %s", field);
	return at;
}

void ledger_text(struct bursar_record *record, const char *field,
                 const char *text)
{
	if (text == NULL) {
		record->values[place(record, field)].is_set = false;
		return;
	}
	bursar_set_text(record, place(record, field), text, strlen(text));
}

void ledger_number(struct bursar_record *record, const char *field,
                   int64_t number)
{
	bursar_set_number(record, place(record, field), number);
}

struct bursar_record *ledger_record(const char *kind_name, const char *id,
                                    int64_t recorded_us)
{
	const struct bursar_kind *kind = bursar_kind_find(
		&schema, kind_name, strlen(kind_name));
	ck_assert_ptr_nonnull(kind);
	struct bursar_record *record = calloc(1, sizeof(*record) +
		kind->field_count * sizeof(record->values[0]));

	ck_assert_ptr_nonnull(record);
	record->kind = kind;
	record->check = 77;
	bursar_set_text(record, BURSAR_MESSAGE_ID, id, strlen(id));
	bursar_set_number(record, BURSAR_RECORDED_AT, recorded_us);
	bursar_set_number(record, BURSAR_INSERTED_AT, recorded_us);
	bursar_set_number(record, BURSAR_DQ_FLAGS, 0);
	return record;
}

static int by_key(const void *left, const void *right)
{
	const struct bursar_record *a =
		*(const struct bursar_record *const *)left;
	const struct bursar_record *b =
		*(const struct bursar_record *const *)right;

	return memcmp(a->key, b->key, sizeof(a->key));
}

/* What the core does to a record last. */
static void complete(struct bursar_record *record)
{
	const struct bursar_value *id = &record->values[BURSAR_MESSAGE_ID];

	identity_key(record->kind, id->text, id->size, record->key);
	if (!record->kind->fact) {
		bursar_set_number(record, BURSAR_ROW_HASH,
		                  identity_row_hash(record));
	}
}

void ledger_write(struct book *book, struct bursar_record *const *records,
                  size_t count)
{
	struct bursar_record **sorted = calloc(count, sizeof(*sorted));
	enum bursar_outcome *outcomes = calloc(count, sizeof(*outcomes));
	struct bursar_error err = { 0 };
	size_t culprit;

	ck_assert(sorted != NULL && outcomes != NULL);
	for (size_t i = 0; i < count; i++) {
		complete(records[i]);
		sorted[i] = records[i];
	}
	qsort(sorted, count, sizeof(*sorted), by_key);
	ck_assert_msg(book->ops->write(book->sink, sorted, count, outcomes,
	                               &culprit, &err) == BURSAR_DONE, "%s",
	              err.text);
	for (size_t i = 0; i < count; i++) {
		ck_assert_int_eq(outcomes[i], BURSAR_STORED);
	}
	free(outcomes);
	free(sorted);
}

void ledger_put(struct book *book, struct bursar_record *record)
{
	ledger_write(book, &record, 1);
	free(record);
}

/* --- statements ---------------------------------------------------------- */

bool ledger_go_on(struct job_run *run)
{
	return run->ended == JOB_OK;
}

void ledger_sum_days(struct book *book)
{
	struct lease lease = { "rollup", "test", INT64_C(60000000), 0 };
	struct job_run run = { .book = book, .lease = &lease,
	                       .go_on = ledger_go_on };
	struct bursar_error err = { 0 };
	bool taken;

	ck_assert_int_eq(lease_take(book, &lease, &taken, &err), 0);
	ck_assert(taken);
	ck_assert_msg(job_rollup(&run, &err) == JOB_OK, "%s", err.text);
	ck_assert_int_eq(lease_release(book, &lease, &err), 0);
}

void ledger_run(struct book *book, const char *sql)
{
	struct bursar_error err = { 0 };

	ck_assert_msg(book_run(book, sql, NULL, 0, NULL, NULL, &err) == 0,
	              "%s: %s", sql, err.text);
}

int64_t ledger_ask(struct book *book, const char *sql)
{
	struct bursar_error err = { 0 };
	int64_t number = 0;
	bool known = false;

	ck_assert_msg(book_number(book, sql, NULL, 0, &number, &known,
	                          &err) == 0, "%s: %s", sql, err.text);
	return number;
}
