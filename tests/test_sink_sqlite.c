/* SPDX-License-Identifier: Apache-2.0 */

/* The sqlite sink against real files, through its operations alone. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <check.h>
#include <sqlite3.h>

#include <bursar/sink.h>

#include "tests/folder.h"
#include "tests/sinksuite.h"

static char folder[FOLDER_SIZE];
static char path[FOLDER_SIZE + 32];
static const struct bursar_option *options;
/* --- fixture ------------------------------------------------------------ */

static void set_up(void)
{
	const struct bursar_plugin *plugin = fakehost_load("sink", "sqlite");

	folder_make(folder);
	snprintf(path, sizeof(path), "%s/ledger.db", folder);
	ops = plugin->ops.sink;
	options = plugin->options;
	host = calloc(1, sizeof(*host));
	ck_assert_ptr_nonnull(host);
	fakehost_init(host, &schema);
	fakehost_declare(host, options);
	fakehost_set(host, "path", path);
	fakehost_set(host, "busy-timeout", "50ms");
	fakehost_set(host, "key-filter", "128K");
	host->now_us = NOON + 5000000;
	memset(&err, 0, sizeof(err));
}

static void tear_down(void)
{
	sinksuite_finish();
	folder_remove(folder);
}

/* Fails to open; the sentence says `words`. */
static void refused(enum bursar_mode mode, enum bursar_verdict expected,
                    const char *words)
{
	enum bursar_verdict verdict = BURSAR_DONE;

	memset(&err, 0, sizeof(err));
	ck_assert_ptr_null(ops->open(&host->host, mode, &verdict, &err));
	ck_assert_int_eq(verdict, expected);
	ck_assert_int_ne(err.code, 0);
	ck_assert_msg(strstr(err.text, words) != NULL, "'%s' does not say '%s'",
	              err.text, words);
	ck_assert_msg(strstr(err.text, folder) != NULL, "'%s' names no file",
	              err.text);
}

/* Something done to the file behind the sink's back. */
static void plain_sql(const char *sql)
{
	sqlite3 *db;
	char *message = NULL;

	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000);
	sqlite3_exec(db, sql, NULL, NULL, &message);
	ck_assert_msg(message == NULL, "%s: %s", sql, message);
	sqlite3_close(db);
}

static int set_version(int version)
{
	const int before = (int)integer("PRAGMA user_version");
	char sql[60];

	snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", version);
	plain_sql(sql);
	return before;
}

/* --- writing ------------------------------------------------------------ */

START_TEST(people_read_times_and_dollars)
{
	open_sink();
	struct bursar_record *record = add("m1");
	set_number(record, "cost_usd", INT64_C(13083000));
	bursar_set_number(record, BURSAR_RECORDED_AT,
	                  INT64_C(1793491200000000) + 1002003);
	bursar_set_number(record, BURSAR_INSERTED_AT, -1);
	write_all();

	ck_assert_str_eq(text("SELECT recorded_at FROM metering_records"),
	                 "2026-11-01T00:00:01.002003Z");
	ck_assert_str_eq(text("SELECT inserted_at FROM metering_records"),
	                 "1969-12-31T23:59:59.999999Z");
	ck_assert_str_eq(text("SELECT CAST(cost_usd AS TEXT) FROM metering_records"),
	                 "0.013083");
	ck_assert_int_eq(integer("SELECT cost_computed_usd IS NULL "
	                         "FROM metering_records"), 1);
}
END_TEST

START_TEST(ids_grow_for_ever)
{
	open_sink();
	add("m1");
	write_all();
	plain_sql("DELETE FROM metering_records");
	clear_records();
	reopen();
	add("m2");
	write_all();

	ck_assert_int_eq(integer("SELECT id & ((1 << 40) - 1) "
	                         "FROM metering_records"), 2);
}
END_TEST

/* --- all or nothing ----------------------------------------------------- */

START_TEST(a_row_that_is_refused_undoes_its_batch_and_is_named)
{
	static char ids[100][8];

	open_sink();
	plain_sql("CREATE TRIGGER poison BEFORE INSERT ON metering_records "
	          "WHEN NEW.message_id = 'm50' "
	          "BEGIN SELECT RAISE(ABORT, 'poisoned'); END");
	for (int i = 0; i < 100; i++) {
		snprintf(ids[i], sizeof(ids[i]), "m%d", i);
		add(ids[i]);
	}
	ck_assert_int_eq(write_to(sink), BURSAR_REJECT);
	ck_assert_uint_lt(culprit, record_count);
	ck_assert(memcmp(records[culprit]->values[BURSAR_MESSAGE_ID].text,
	                 "m50", 3) == 0);
	ck_assert_ptr_nonnull(strstr(err.text, "poisoned"));
	ck_assert_int_eq(integer("SELECT (SELECT count(*) FROM record_keys) + "
		"(SELECT count(*) FROM metering_records) + "
		"(SELECT count(*) FROM rollup_cells)"), 0);

	free(records[culprit]);
	records[culprit] = records[--record_count];
	write_all();
	ck_assert_uint_eq(outcome_count(BURSAR_STORED), 99);
	write_all();
	ck_assert_uint_eq(outcome_count(BURSAR_DUPLICATE), 99);
}
END_TEST

START_TEST(a_sum_that_is_refused_undoes_its_batch)
{
	open_sink();
	plain_sql("CREATE TRIGGER poison BEFORE INSERT ON rollup_cells "
	          "WHEN NEW.dimension = 'worker' "
	          "BEGIN SELECT RAISE(ABORT, 'poisoned'); END");
	add("m1");
	ck_assert_int_eq(write_to(sink), BURSAR_REJECT);
	ck_assert_uint_eq(culprit, SIZE_MAX);

	ck_assert_int_eq(integer("SELECT (SELECT count(*) FROM record_keys) + "
		"(SELECT count(*) FROM metering_records) + "
		"(SELECT count(*) FROM rollup_cells)"), 0);
}
END_TEST

/* --- many keys ---------------------------------------------------------- */

static char many_ids[MAX_RECORDS][16];

static void add_many(int from, int to)
{
	for (int i = from; i < to; i++) {
		snprintf(many_ids[i], sizeof(many_ids[i]), "m%d", i);
		add_record("metering", many_ids[i], (uint64_t)i);
	}
}

/* Levels so small that a test fills them. */
static void make_small_levels(void)
{
	open_sink();
	close_sink();
	plain_sql("UPDATE bursar_meta SET value = CASE name "
	          "WHEN 'keys_per_run' THEN 64 WHEN 'keys_young' THEN 300 "
	          "WHEN 'keys_middle' THEN 1000 ELSE value END");
}

/* What a table says of itself is what it holds. */
static void expect_true_counts(void)
{
	ck_assert_int_eq(integer("SELECT sum(keys) FROM key_tables"), integer(
		"SELECT (SELECT count(*) FROM keys_0a) + "
		"(SELECT count(*) FROM keys_0b) + "
		"(SELECT count(*) FROM keys_1a) + "
		"(SELECT count(*) FROM keys_1b) + "
		"(SELECT count(*) FROM keys_2)"));
}

static void expect_all_known(int count)
{
	expect_true_counts();
	clear_records();
	add_many(0, count);
	write_all();
	ck_assert_uint_eq(outcome_count(BURSAR_DUPLICATE), (size_t)count);
	ck_assert_int_eq(integer("SELECT count(*) FROM record_keys"), count);
	ck_assert_int_eq(integer("SELECT count(DISTINCT key) "
	                         "FROM record_keys"), count);
	ck_assert_int_eq(integer("SELECT count(*) FROM metering_records"),
	                 count);
}

START_TEST(keys_move_through_the_levels_and_are_never_lost)
{
	make_small_levels();
	open_sink();
	for (int i = 0; i < 8000; i += 50) {
		clear_records();
		add_many(i, i + 50);
		write_all();
		ck_assert_uint_eq(outcome_count(BURSAR_STORED), 50);
		ck_assert_int_eq(integer("SELECT count(*) FROM record_keys"),
		                 i + 50);
		if (i % 1000 == 0) {
			write_all();
			ck_assert_uint_eq(outcome_count(BURSAR_DUPLICATE), 50);
		}
		if (i % 1500 == 0) {
			reopen();
		}
	}

	ck_assert_int_gt(integer("SELECT count(*) FROM keys_2"), 1000);
	ck_assert_int_gt(integer("SELECT (SELECT count(*) FROM keys_1a) + "
	                         "(SELECT count(*) FROM keys_1b)"), 100);
	ck_assert_int_lt(integer("SELECT (SELECT count(*) FROM keys_0a) + "
	                         "(SELECT count(*) FROM keys_0b)"), 1000);
	expect_all_known(8000);
	reopen();
	expect_all_known(8000);
}
END_TEST

START_TEST(a_key_that_is_used_while_it_moves_stays_young)
{
	make_small_levels();
	open_sink();
	for (int i = 0; i < 3000; i += 50) {
		clear_records();
		add_many(i, i + 50);
		write_all();
		if (integer("SELECT count(*) FROM key_tables WHERE "
		            "length(moved) > 0 AND name < 'keys_1'") != 0 &&
		    i > 2000) {
			break;
		}
	}
	host->now_us += COLUMNS_DAY_US;
	clear_records();
	add_many(0, (int)integer("SELECT count(*) FROM metering_records"));
	write_all();

	ck_assert_int_gt(integer("SELECT count(*) FROM key_tables "
	                         "WHERE length(moved) > 0"), 0);
	ck_assert_int_eq(integer("SELECT min(day) FROM record_keys"),
	                 TODAY + 1);
}
END_TEST

START_TEST(other_content_is_found_in_every_level)
{
	make_small_levels();
	open_sink();
	for (int i = 0; i < 4000; i += 100) {
		clear_records();
		add_many(i, i + 100);
		write_all();
	}
	clear_records();
	add_many(0, 4000);
	for (size_t i = 0; i < record_count; i++) {
		records[i]->check += 100000;
	}
	write_all();

	ck_assert_uint_eq(outcome_count(BURSAR_CONFLICT), 4000);
}
END_TEST

START_TEST(a_batch_that_fails_loses_no_key_of_others)
{
	make_small_levels();
	open_sink();
	plain_sql("CREATE TRIGGER poison BEFORE INSERT ON metering_records "
	          "WHEN NEW.message_id = 'bad' "
	          "BEGIN SELECT RAISE(ABORT, 'poisoned'); END");
	for (int i = 0; i < 4000; i += 50) {
		clear_records();
		add_many(i, i + 50);
		add("bad");
		ck_assert_int_eq(write_to(sink), BURSAR_REJECT);
		clear_records();
		add_many(i, i + 50);
		write_all();
		ck_assert_uint_eq(outcome_count(BURSAR_STORED), 50);
	}
	expect_all_known(4000);
	reopen();
	expect_all_known(4000);
}
END_TEST

START_TEST(two_writers_take_turns_and_know_each_others_keys)
{
	struct bursar_sink *other;

	make_small_levels();
	open_sink();
	other = open_as(BURSAR_WRITE);
	for (int i = 0; i < 4000; i += 100) {
		clear_records();
		add_many(i, i + 100);
		ck_assert_int_eq(write_to(i / 100 % 3 ? sink : other),
		                 BURSAR_DONE);
		ck_assert_uint_eq(outcome_count(BURSAR_STORED), 100);
		ck_assert_int_eq(write_to(i / 100 % 3 ? other : sink),
		                 BURSAR_DONE);
		ck_assert_uint_eq(outcome_count(BURSAR_DUPLICATE), 100);
	}
	expect_all_known(4000);
	clear_records();
	add_many(0, 4000);
	ck_assert_int_eq(write_to(other), BURSAR_DONE);
	ck_assert_uint_eq(outcome_count(BURSAR_DUPLICATE), 4000);
	ops->close(other);
}
END_TEST

START_TEST(another_filter_size_is_taken_over)
{
	make_small_levels();
	open_sink();
	for (int i = 0; i < 3000; i += 100) {
		clear_records();
		add_many(i, i + 100);
		write_all();
	}
	close_sink();
	fakehost_set(host, "key-filter", "1M");
	open_sink();

	expect_all_known(3000);
	ck_assert_int_eq(integer("SELECT value FROM bursar_meta "
	                         "WHERE name = 'key_filter_bytes'"), 1 << 20);
	reopen();
	expect_all_known(3000);
}
END_TEST

/* The ledger notes the size of its filter when there is one. */
static int64_t filter_bytes(void)
{
	return integer("SELECT value FROM bursar_meta "
	               "WHERE name = 'key_filter_bytes'");
}

START_TEST(who_takes_no_keys_has_no_filter)
{
	struct bursar_purge what = { .now = NOON, .limit = 100 };
	struct bursar_purged purged = { 0 };

	open_sink();
	ck_assert_int_eq(ops->purge(sink, &what, &purged, &err), BURSAR_DONE);
	ck_assert_int_eq(filter_bytes(), 0);
	reopen();
	what.keys_before = NOON;
	ck_assert_int_eq(ops->purge(sink, &what, &purged, &err), BURSAR_DONE);
	ck_assert_int_eq(filter_bytes(), 128 << 10);
	add("a");
	write_all();
	ck_assert_int_eq(outcomes[0], BURSAR_STORED);
}
END_TEST

/* --- opening ------------------------------------------------------------ */

START_TEST(the_files_are_for_their_owner_alone)
{
	struct stat info;
	char name[160];

	open_sink();
	add("m1");
	write_all();
	for (const char *const *ending = (const char *const[]){ "", "-wal",
	     "-shm", NULL }; *ending != NULL; ending++) {
		snprintf(name, sizeof(name), "%s%s", path, *ending);
		ck_assert_int_eq(stat(name, &info), 0);
		ck_assert_uint_eq(info.st_mode & 0777, 0600);
	}
}
END_TEST

START_TEST(a_missing_folder_is_said)
{
	char name[160];

	snprintf(name, sizeof(name), "%s/none/ledger.db", folder);
	fakehost_set(host, "path", name);
	refused(BURSAR_WRITE, BURSAR_CONFIG, "the folder");
	ck_assert_ptr_nonnull(strstr(err.text, "does not exist"));
}
END_TEST

/* It will not become a ledger by waiting. */
START_TEST(a_folder_is_no_ledger)
{
	fakehost_set(host, "path", folder);
	refused(BURSAR_WRITE, BURSAR_CONFIG, "give another path");
	refused(BURSAR_READ, BURSAR_CONFIG, "give another path");
}
END_TEST

static void write_file(const char *content)
{
	FILE *file = fopen(path, "we");

	ck_assert_ptr_nonnull(file);
	fputs(content, file);
	fclose(file);
}

START_TEST(a_file_that_is_no_database_is_refused_and_kept)
{
	struct stat info;

	write_file("This is a letter to my grandmother, and it is longer than "
	           "the header of a database, so that it is looked at.\n");
	refused(BURSAR_WRITE, BURSAR_CONFIG, "not an SQLite database");
	ck_assert_int_eq(stat(path, &info), 0);
	ck_assert_int_eq(info.st_size, 109);
}
END_TEST

START_TEST(a_database_of_others_is_refused_and_kept)
{
	plain_sql("CREATE TABLE recipes (id INTEGER)");
	refused(BURSAR_WRITE, BURSAR_CONFIG, "no ledger of bursar");
	refused(BURSAR_READ, BURSAR_CONFIG, "no ledger of bursar");
	plain_sql("INSERT INTO recipes VALUES (1)");
}
END_TEST

START_TEST(a_newer_ledger_is_refused)
{
	open_sink();
	close_sink();
	plain_sql("PRAGMA user_version = 99");
	refused(BURSAR_WRITE, BURSAR_CONFIG, "made by a newer bursar (ledger "
	        "version 99, this one knows 4)");
	refused(BURSAR_READ, BURSAR_CONFIG, "made by a newer bursar");
}
END_TEST

START_TEST(what_sql_changes_needs_a_ledger_of_our_version)
{
	static const char change[] = "DELETE FROM metering_records";

	open_sink();
	add("m1");
	write_all();
	const int ours = set_version(99);
	stopped_by(ops->sql(sink, change, NULL, 0, NULL, NULL, &err),
	           "made by a newer bursar");
	ck_assert_int_eq(integer("SELECT count(*) FROM metering_records"), 1);
	set_version(ours);
	ck_assert_int_eq(ops->sql(sink, change, NULL, 0, NULL, NULL, &err),
	                 BURSAR_DONE);
}
END_TEST

/* A copy of it is brought back, say, while a daemon reads the book. */
START_TEST(a_reader_notices_that_the_ledger_was_replaced)
{
	char kept[160];

	open_sink();
	add("m1");
	write_all();
	snprintf(kept, sizeof(kept), "%s.kept", path);
	ck_assert_int_eq(ops->backup(sink, kept, &err), BURSAR_DONE);
	close_sink();
	sink = open_as(BURSAR_READ);
	ck_assert_int_eq(integer("SELECT count(*) FROM metering_records"), 1);
	ck_assert_int_eq(rename(kept, path), 0);
	ck_assert_int_eq(ops->sql(sink, "SELECT 1", NULL, 0, NULL, NULL, &err),
	                 BURSAR_DOWN);
	ck_assert_ptr_nonnull(strstr(err.text, "replaced while it was open"));
}
END_TEST

START_TEST(a_locked_ledger_is_tried_again)
{
	sqlite3 *db;

	open_sink();
	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL),
	                 SQLITE_OK);
	add("m1");
	ck_assert_int_eq(write_to(sink), BURSAR_RETRY);
	ck_assert_ptr_nonnull(strstr(err.text, "locked"));
	sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	sqlite3_close(db);
	write_all();
	ck_assert_int_eq(outcomes[0], BURSAR_STORED);
}
END_TEST

START_TEST(a_process_without_descriptors_tries_again)
{
	struct rlimit limit, none;

	open_sink();
	close_sink();
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){ .rlim_cur = 3, .rlim_max = limit.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	refused(BURSAR_WRITE, BURSAR_RETRY, "Too many open files");
	refused(BURSAR_READ, BURSAR_RETRY, "Too many open files");
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	open_sink();
}
END_TEST

START_TEST(a_missing_table_is_for_a_person)
{
	open_sink();
	plain_sql("DROP TABLE keys_2; DROP TABLE rollup_cells");
	add("m1");
	ck_assert_int_eq(write_to(sink), BURSAR_CONFIG);
}
END_TEST

START_TEST(a_damaged_ledger_is_not_written_to_any_more)
{
	static const char junk[3 * 8192] = { 'x' };
	int fd;

	make_small_levels();
	open_sink();
	add_many(0, 2000);
	write_all();
	close_sink();
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	for (off_t at = 8192; at < 100 * 8192; at += (off_t)sizeof(junk)) {
		ck_assert_int_eq(pwrite(fd, junk, sizeof(junk), at),
		                 (ssize_t)sizeof(junk));
	}
	close(fd);
	refused(BURSAR_WRITE, BURSAR_CONFIG, "damaged");
}
END_TEST

START_TEST(damage_met_while_writing_stops_the_sink)
{
	int64_t page;
	int fd;

	open_sink();
	add("m1");
	write_all();
	page = integer("SELECT rootpage FROM sqlite_schema "
	               "WHERE name = 'metering_records'");
	close_sink();
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ck_assert_int_eq(pwrite(fd, "\xff\xff\xff\xff\xff\xff\xff\xff", 8,
	                        (page - 1) * 8192), 8);
	close(fd);
	open_sink();
	clear_records();
	add("m2");
	ck_assert_int_eq(write_to(sink), BURSAR_CONFIG);
	ck_assert_ptr_nonnull(strstr(err.text, "restore a backup"));
	ck_assert_int_eq(write_to(sink), BURSAR_CONFIG);
	ck_assert_ptr_nonnull(strstr(err.text, "restore a backup"));
}
END_TEST

START_TEST(a_full_disk_is_tried_again)
{
	char name[160];
	int fd;

	snprintf(name, sizeof(name), "%s/small", folder);
	ck_assert_int_eq(mkdir(name, 0700), 0);
	if (mount("none", name, "tmpfs", 0, "size=8M") != 0) {
		fprintf(stderr, "SKIP: a full disk: cannot mount a tmpfs\n");
		return;
	}
	snprintf(path, sizeof(path), "%s/small/ledger.db", folder);
	fakehost_set(host, "path", path);
	make_small_levels();
	open_sink();
	for (int i = 0; i < 400; i += 50) {
		clear_records();
		add_many(i, i + 50);
		write_all();
	}
	snprintf(name, sizeof(name), "%s/small/ballast", folder);
	fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	while (write(fd, many_ids, 4096) == 4096) {
	}
	close(fd);
	/* So many that all keys that rest move on, were it not undone. */
	clear_records();
	add_many(400, 1400);
	ck_assert_int_eq(write_to(sink), BURSAR_RETRY);
	ck_assert_msg(strstr(err.text, "disk is full") != NULL, "%s", err.text);
	unlink(name);
	clear_records();
	add_many(0, 400);
	write_all();
	ck_assert_uint_eq(outcome_count(BURSAR_DUPLICATE), 400);
	clear_records();
	add_many(400, 1400);
	write_all();
	ck_assert_uint_eq(outcome_count(BURSAR_STORED), 1000);
	expect_all_known(1400);
	close_sink();
	snprintf(name, sizeof(name), "%s/small", folder);
	ck_assert_int_eq(umount(name), 0);
}
END_TEST

START_TEST(a_ledger_that_cannot_be_written_is_for_a_person)
{
	if (geteuid() == 0) {
		fprintf(stderr, "SKIP: a read-only ledger: we are root\n");
		return;
	}
	open_sink();
	close_sink();
	ck_assert_int_eq(chmod(path, 0400), 0);
	refused(BURSAR_WRITE, BURSAR_CONFIG, "cannot be written");
}
END_TEST

START_TEST(a_folder_that_cannot_be_written_is_for_a_person)
{
	if (geteuid() == 0) {
		fprintf(stderr, "SKIP: a read-only folder: we are root\n");
		return;
	}
	open_sink();
	close_sink();
	ck_assert_int_eq(chmod(folder, 0500), 0);
	refused(BURSAR_WRITE, BURSAR_CONFIG, "its folder");
	refused(BURSAR_READ, BURSAR_CONFIG, "its folder");
	ck_assert_int_eq(unlink(path), -1);
	ck_assert_int_eq(chmod(folder, 0700), 0);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(chmod(folder, 0500), 0);
	refused(BURSAR_WRITE, BURSAR_CONFIG, "no permission to make a file");
	ck_assert_int_eq(chmod(folder, 0700), 0);
}
END_TEST

START_TEST(an_older_ledger_is_brought_up_to_date)
{
	char *sql = NULL;
	size_t size = 0;
	FILE *file = fopen(FIXTURES "/ledger-v1.sql", "re");

	ck_assert_ptr_nonnull(file);
	ck_assert_int_gt(getdelim(&sql, &size, '\0', file), 0);
	fclose(file);
	plain_sql(sql);
	free(sql);

	refused(BURSAR_READ, BURSAR_CONFIG, "made by an older bursar (ledger "
	        "version 1, this one reads 4)");
	open_sink();
	ck_assert_uint_eq(fakehost_logged(host, "ledger-migrated"), 1);
	ck_assert_uint_ge(fakehost_logged(host, "column-added"), 2);
	ck_assert_int_eq(integer("PRAGMA user_version"), 4);
	ck_assert_int_eq(integer("SELECT count(*) FROM metering_hourly_rollup"),
	                 1);
	ck_assert_int_eq(integer("SELECT count(*) FROM record_keys"), 2);
	ck_assert_str_eq(text("SELECT message_id FROM metering_records "
	                      "WHERE provider_response_id IS NULL"), "old-1");
	ck_assert_int_eq(write_one("old-1", 1, 0), BURSAR_DUPLICATE);
	clear_records();
	set_text(add("new-1"), "provider_response_id", "r");
	write_all();
	ck_assert_int_eq(integer("SELECT count(*) FROM metering_records "
	                         "WHERE provider_response_id = 'r'"), 1);
	reopen();
	ck_assert_uint_eq(fakehost_logged(host, "ledger-migrated"), 1);
}
END_TEST

START_TEST(a_column_that_is_missing_is_added)
{
	open_sink();
	add("m1");
	write_all();
	close_sink();
	plain_sql("ALTER TABLE metering_records DROP COLUMN team");
	refused(BURSAR_READ, BURSAR_CONFIG, "made by an older bursar "
	        "(metering_records has no column team): start");
	open_sink();
	clear_records();
	set_text(add("m2"), "team", "blue");
	write_all();

	ck_assert_int_eq(integer("SELECT count(team) FROM metering_records"), 1);
	ck_assert_int_eq(integer("SELECT count(*) FROM metering_records"), 2);
}
END_TEST

/* --- reading ------------------------------------------------------------ */

START_TEST(a_reader_makes_nothing)
{
	struct stat info;

	refused(BURSAR_READ, BURSAR_CONFIG, "there is no ledger yet");
	ck_assert_int_ne(stat(path, &info), 0);
}
END_TEST

START_TEST(a_reader_reads_while_the_writer_writes)
{
	struct bursar_sink *writer, *reader;

	open_sink();
	reader = open_as(BURSAR_READ);
	add("m1");
	write_all();
	writer = sink;
	sink = reader;
	ck_assert_int_eq(integer("SELECT count(*) FROM metering_records"), 1);
	ck_assert_int_eq(ops->sql(reader, "DELETE FROM metering_records", NULL,
	                          0, NULL, NULL, &err), BURSAR_CONFIG);
	sink = writer;
	ops->close(reader);
}
END_TEST

static int write_more(void *context, const struct bursar_cell *cells,
                      size_t count)
{
	(void)cells;
	(void)count;
	if ((*(int *)context)++ == 0) {
		clear_records();
		add_many(100, 200);
		write_all();
	}
	return 0;
}

START_TEST(a_long_reader_holds_nobody_up)
{
	struct bursar_sink *reader;
	int rows = 0;

	open_sink();
	add_many(0, 100);
	write_all();
	reader = open_as(BURSAR_READ);
	ck_assert_int_eq(ops->sql(reader, "SELECT id FROM metering_records",
	                          NULL, 0, write_more, &rows, &err),
	                 BURSAR_DONE);
	ck_assert_int_eq(rows, 100);
	ck_assert_int_eq(integer("SELECT count(*) FROM metering_records"), 200);
	ops->close(reader);
}
END_TEST

/* --- sql ---------------------------------------------------------------- */

static int keep_types(void *context, const struct bursar_cell *cells,
                      size_t count)
{
	char *types = context;

	ck_assert_uint_eq(count, 5);
	for (size_t i = 0; i < count; i++) {
		types[i] = "nirsb"[cells[i].type];
	}
	ck_assert_int_eq(cells[1].integer, INT64_MIN);
	ck_assert(cells[2].real == 0.5);
	ck_assert_uint_eq(cells[3].size, 3);
	ck_assert(memcmp(cells[3].data, "a\0b", 3) == 0);
	ck_assert_uint_eq(cells[4].size, 0);
	ck_assert_ptr_nonnull(cells[4].data);
	return 0;
}

START_TEST(parameters_and_cells_have_types)
{
	const struct bursar_cell parameters[] = {
		{ .type = BURSAR_NULL },
		{ .type = BURSAR_INTEGER, .integer = INT64_MIN },
		{ .type = BURSAR_REAL, .real = 0.5 },
		{ .type = BURSAR_STRING, .data = "a\0b", .size = 3 },
		{ .type = BURSAR_BLOB, .data = NULL, .size = 0 },
	};
	char types[6] = "";

	open_sink();
	ck_assert_int_eq(ops->sql(sink, "SELECT $1, $2, $3, $4, $5", parameters,
	                          5, keep_types, types, &err), BURSAR_DONE);
	ck_assert_str_eq(types, "nirsb");
}
END_TEST

START_TEST(parameters_are_found_by_their_number)
{
	const struct bursar_cell parameters[] = {
		{ .type = BURSAR_INTEGER, .integer = 5 },
		{ .type = BURSAR_INTEGER, .integer = 7 },
	};
	int64_t value = 0;

	open_sink();
	ck_assert_int_eq(ops->sql(sink, "SELECT $2 * 100 + $1 * 10 + $2",
	                          parameters, 2, keep_integer, &value, &err),
	                 BURSAR_DONE);
	ck_assert_int_eq(value, 757);
	ck_assert_int_eq(ops->sql(sink, "SELECT $1 + $3", parameters, 2,
	                          keep_integer, &value, &err), BURSAR_REJECT);
}
END_TEST

START_TEST(a_statement_that_is_wrong_is_rejected)
{
	static const char *const wrong[] = {
		"SELEC 1",
		"SELECT * FROM nowhere",
		"SELECT nothing FROM metering_records",
		"",
		"SELECT 1; SELECT 2",
	};

	open_sink();
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		memset(&err, 0, sizeof(err));
		ck_assert_int_eq(ops->sql(sink, wrong[i], NULL, 0, NULL, NULL,
		                          &err), BURSAR_REJECT);
		ck_assert_int_ne(err.code, 0);
	}
	ck_assert_int_eq(integer("SELECT 1; "), 1);
}
END_TEST

START_TEST(what_may_not_be_changed_says_why)
{
	open_sink();
	ck_assert_int_eq(ops->sql(sink, "INSERT INTO bursar_journal (at_us, "
		"who, what, subject, detail) VALUES (1, '', '', '', '')", NULL,
		0, NULL, NULL, &err), BURSAR_DONE);
	ck_assert_int_eq(ops->sql(sink, "DELETE FROM bursar_journal", NULL, 0,
	                          NULL, NULL, &err), BURSAR_REJECT);
	ck_assert_msg(strstr(err.text, "only added to") != NULL, "%s",
	              err.text);
}
END_TEST

static int stop_at_three(void *context, const struct bursar_cell *cells,
                         size_t count)
{
	(void)cells;
	(void)count;
	return ++*(int *)context == 3;
}

START_TEST(a_row_function_can_stop)
{
	int rows = 0;

	open_sink();
	ck_assert_int_eq(ops->sql(sink, "WITH RECURSIVE n (i) AS (SELECT 1 "
		"UNION ALL SELECT i + 1 FROM n) SELECT i FROM n", NULL, 0,
		stop_at_three, &rows, &err), BURSAR_DONE);
	ck_assert_int_eq(rows, 3);
	/* Nothing is left open. */
	add("m1");
	write_all();
}
END_TEST

static int ask_again(void *context, const struct bursar_cell *cells,
                     size_t count)
{
	int *depth = context;

	ck_assert_uint_eq(count, 2);
	if (--*depth > 0) {
		ck_assert_int_eq(ops->sql(sink, "SELECT 1, 2", NULL, 0,
		                          ask_again, depth, &err), BURSAR_DONE);
	}
	ck_assert_int_eq(cells[0].integer, 1);
	ck_assert_int_eq(cells[1].integer, 2);
	return 0;
}

START_TEST(a_row_function_can_ask_the_same_again)
{
	int depth = 5;

	open_sink();
	ck_assert_int_eq(ops->sql(sink, "SELECT 1, 2", NULL, 0, ask_again,
	                          &depth, &err), BURSAR_DONE);
	ck_assert_int_eq(depth, 0);
}
END_TEST

START_TEST(what_sql_changes_is_there)
{
	int64_t value = 0;

	open_sink();
	ck_assert_int_eq(ops->sql(sink, "CREATE TABLE jobs (name TEXT PRIMARY "
		"KEY, n INTEGER)", NULL, 0, NULL, NULL, &err), BURSAR_DONE);
	for (int i = 0; i < 40; i++) {
		ck_assert_int_eq(ops->sql(sink, "INSERT INTO jobs VALUES "
			"('a', 1) ON CONFLICT (name) DO UPDATE SET n = n + 1 "
			"RETURNING n", NULL, 0, keep_integer, &value, &err),
			BURSAR_DONE);
	}
	ck_assert_int_eq(value, 40);
	reopen();
	ck_assert_int_eq(integer("SELECT n FROM jobs"), 40);
}
END_TEST

START_TEST(many_different_statements_are_fine)
{
	char sql[40];

	open_sink();
	for (int i = 0; i < 100; i++) {
		snprintf(sql, sizeof(sql), "SELECT %d", i % 37);
		ck_assert_int_eq(integer(sql), i % 37);
	}
}
END_TEST

/* --- purging ------------------------------------------------------------ */

static void add_prompt(const char *id, int64_t expires)
{
	struct bursar_record *record = add_record("prompt", id, 1);

	set_text(record, "request_json", "\"SECRETWORD of a person\"");
	if (expires != 0) {
		set_number(record, "expires_at", expires);
	}
}

static bool file_says(const char *name, const char *words)
{
	FILE *file = fopen(name, "re");
	const size_t size = strlen(words);
	char *content;
	long end;
	bool found;

	if (file == NULL) {
		return false;
	}
	fseek(file, 0, SEEK_END);
	end = ftell(file);
	rewind(file);
	content = calloc(1, (size_t)end + 1);
	ck_assert_ptr_nonnull(content);
	ck_assert_uint_eq(fread(content, 1, (size_t)end, file), (size_t)end);
	fclose(file);
	found = end > 0 && memmem(content, (size_t)end, words, size) != NULL;
	free(content);
	return found;
}

static bool ledger_says(const char *words)
{
	char name[160];

	snprintf(name, sizeof(name), "%s-wal", path);
	return file_says(path, words) || file_says(name, words);
}

START_TEST(expired_bodies_are_purged_and_gone_from_the_file)
{
	const struct bursar_purge what = { .now = NOON, .limit = 1000 };
	struct bursar_purged purged = { .bodies = 10 };

	open_sink();
	add_prompt("gone-1", NOON - 5 * COLUMNS_DAY_US);
	add_prompt("gone-2", NOON);
	write_all();
	ck_assert(ledger_says("SECRETWORD"));
	ck_assert_int_eq(ops->purge(sink, &what, &purged, &err), BURSAR_DONE);

	ck_assert_uint_eq(purged.bodies, 12);
	ck_assert(!purged.more);
	ck_assert_int_eq(integer("SELECT count(*) FROM prompt_records"), 0);
	ck_assert(!ledger_says("SECRETWORD"));
	ck_assert_int_eq(write_to(sink), BURSAR_DONE);
	ck_assert_uint_eq(outcome_count(BURSAR_DUPLICATE), 2);
}
END_TEST

START_TEST(what_has_not_expired_stays)
{
	const struct bursar_purge what = { .now = NOON, .limit = 1000 };
	struct bursar_purged purged = { 0 };

	open_sink();
	add_prompt("stays-1", NOON + 1);
	add_prompt("stays-2", NOON + COLUMNS_DAY_US);
	add_prompt("stays-3", 0);
	add("fact");
	write_all();
	ck_assert_int_eq(ops->purge(sink, &what, &purged, &err), BURSAR_DONE);

	ck_assert_uint_eq(purged.bodies + purged.facts + purged.keys, 0);
	ck_assert_int_eq(integer("SELECT count(*) FROM prompt_records"), 3);
}
END_TEST

START_TEST(a_purge_takes_no_more_than_its_limit)
{
	const struct bursar_purge what = { .now = NOON, .limit = 40 };
	struct bursar_purge dry = { .now = NOON, .limit = 1, .dry_run = true };
	struct bursar_purged purged = { 0 }, counted = { 0 };
	int calls = 0;

	open_sink();
	for (int i = 0; i < 100; i++) {
		snprintf(many_ids[i], sizeof(many_ids[i]), "p%d", i);
		add_prompt(many_ids[i], NOON - i);
	}
	write_all();
	ck_assert_int_eq(ops->purge(sink, &dry, &counted, &err), BURSAR_DONE);
	ck_assert_uint_eq(counted.bodies, 100);
	ck_assert_int_eq(integer("SELECT count(*) FROM prompt_records"), 100);
	do {
		ck_assert_int_eq(ops->purge(sink, &what, &purged, &err),
		                 BURSAR_DONE);
		calls++;
		ck_assert_uint_le(purged.bodies, (uint64_t)calls * 40);
	} while (purged.more);

	ck_assert_int_eq(calls, 3);
	ck_assert_uint_eq(purged.bodies, 100);
}
END_TEST

START_TEST(facts_go_by_whole_cells_and_sums_stay)
{
	const struct bursar_purge what = {
		.facts_before = NOON + COLUMNS_CELL_US + 5, .limit = 1000,
	};
	struct bursar_purged purged = { 0 };

	open_sink();
	add("m1");
	bursar_set_number(add("m2"), BURSAR_RECORDED_AT,
	                  NOON + COLUMNS_CELL_US - 1);
	bursar_set_number(add("m3"), BURSAR_RECORDED_AT,
	                  NOON + COLUMNS_CELL_US);
	write_all();
	ck_assert_int_eq(ops->purge(sink, &what, &purged, &err), BURSAR_DONE);

	ck_assert_uint_eq(purged.facts, 2);
	ck_assert_str_eq(text("SELECT message_id FROM metering_records"), "m3");
	ck_assert_int_eq(integer("SELECT sum(request_count) FROM rollup_cells "
	                         "WHERE dimension = 'all'"), 3);
}
END_TEST

START_TEST(old_keys_go_from_every_level)
{
	struct bursar_purge what = {
		.keys_before = NOON + COLUMNS_DAY_US, .limit = 100,
		.dry_run = true,
	};
	struct bursar_purged purged = { 0 };
	int calls = 0;

	make_small_levels();
	open_sink();
	for (int i = 0; i < 6000; i += 100) {
		if (i == 3000) {
			host->now_us += COLUMNS_DAY_US;
		}
		clear_records();
		add_many(i, i + 100);
		write_all();
	}
	ck_assert_int_eq(ops->purge(sink, &what, &purged, &err), BURSAR_DONE);
	ck_assert_uint_eq(purged.keys, 3000);
	what.dry_run = false;
	purged.keys = 0;
	do {
		const uint64_t before = purged.keys;

		ck_assert_int_eq(ops->purge(sink, &what, &purged, &err),
		                 BURSAR_DONE);
		ck_assert_uint_le(purged.keys - before, 100);
		ck_assert_int_lt(calls++, 1000);
	} while (purged.more);

	ck_assert_uint_eq(purged.keys, 3000);
	ck_assert_int_eq(integer("SELECT count(*) FROM record_keys"), 3000);
	expect_true_counts();
	clear_records();
	add_many(0, 6000);
	write_all();
	ck_assert_uint_eq(outcome_count(BURSAR_STORED), 3000);
	ck_assert_uint_eq(outcome_count(BURSAR_DUPLICATE), 3000);
	reopen();
	write_all();
	ck_assert_uint_eq(outcome_count(BURSAR_DUPLICATE), 6000);
	ck_assert_int_eq(integer("SELECT count(*) FROM record_keys"), 6000);
}
END_TEST

/* --- backup and the log ------------------------------------------------- */

START_TEST(a_backup_is_a_ledger_of_its_own)
{
	char name[160];
	struct stat info;

	open_sink();
	add_many(0, 500);
	write_all();
	snprintf(name, sizeof(name), "%s/copy.db", folder);
	ck_assert_int_eq(ops->backup(sink, name, &err), BURSAR_DONE);
	ck_assert_int_eq(stat(name, &info), 0);
	ck_assert_uint_eq(info.st_mode & 0777, 0600);
	clear_records();
	add("later");
	write_all();
	close_sink();

	fakehost_set(host, "path", name);
	open_sink();
	ck_assert_int_eq(integer("SELECT count(*) FROM metering_records"), 500);
	ck_assert_str_eq(text("PRAGMA integrity_check"), "ok");
	clear_records();
	add_many(0, 500);
	write_all();
	ck_assert_uint_eq(outcome_count(BURSAR_DUPLICATE), 500);
}
END_TEST

START_TEST(a_reader_can_make_a_backup)
{
	struct bursar_sink *reader;
	char name[160];

	open_sink();
	add("m1");
	write_all();
	reader = open_as(BURSAR_READ);
	snprintf(name, sizeof(name), "%s/copy.db", folder);
	ck_assert_int_eq(ops->backup(reader, name, &err), BURSAR_DONE);
	ops->close(reader);
}
END_TEST

START_TEST(a_backup_replaces_nothing)
{
	open_sink();
	ck_assert_int_eq(ops->backup(sink, path, &err), BURSAR_CONFIG);
	ck_assert_ptr_nonnull(strstr(err.text, "never replaces"));
	add("m1");
	write_all();
}
END_TEST

START_TEST(the_log_does_not_grow_without_bound)
{
	char name[160];
	struct stat info;

	fakehost_set(host, "checkpoint", "1M");
	open_sink();
	for (int i = 0; i < 20000; i += 1000) {
		clear_records();
		add_many(i, i + 1000);
		write_all();
		ck_assert_int_gt(fakehost_figure(host, "wal_bytes"), 0);
	}
	snprintf(name, sizeof(name), "%s-wal", path);
	ck_assert_int_eq(stat(name, &info), 0);
	ck_assert_int_lt(info.st_size, 4 << 20);
}
END_TEST

/* The ledger may not grow any more, while its log may: a limit for both, and
 * the log begins anew whenever it was copied. */
START_TEST(a_log_that_cannot_be_copied_is_told_of)
{
	struct rlimit limit;
	enum bursar_verdict verdict = BURSAR_DONE;

	fakehost_set(host, "checkpoint", "1M");
	open_sink();
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = 3 << 20;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	for (int i = 0; i < 20000 && verdict == BURSAR_DONE; i += 100) {
		clear_records();
		add_many(i, i + 100);
		verdict = write_to(sink);
	}
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);

	ck_assert_int_eq(verdict, BURSAR_RETRY);
	ck_assert_ptr_nonnull(strstr(err.text, "File too large"));
	ck_assert_uint_eq(fakehost_logged(host, "wal-stuck"), 1);
	write_all();
	reopen();
	write_all();
	ck_assert_uint_eq(outcome_count(BURSAR_DUPLICATE), 100);
}
END_TEST

START_TEST(closing_leaves_one_file)
{
	char name[160];
	struct stat info;

	open_sink();
	add("m1");
	write_all();
	close_sink();
	snprintf(name, sizeof(name), "%s-wal", path);
	ck_assert_int_ne(stat(name, &info), 0);
	ops->close(NULL);
}
END_TEST

/* --- the null sink ------------------------------------------------------ */

START_TEST(the_null_sink_takes_everything_and_cannot_be_the_book)
{
	const struct bursar_sink_ops *null =
		fakehost_load("sink", "null")->ops.sink;
	enum bursar_verdict verdict = BURSAR_DOWN;
	struct bursar_sink *nothing = null->open(&host->host, BURSAR_WRITE,
	                                         &verdict, &err);

	ck_assert_ptr_nonnull(nothing);
	ck_assert_int_eq(verdict, BURSAR_DONE);
	add("m1");
	add("m1");
	outcomes[0] = outcomes[1] = BURSAR_RETURNED;
	ck_assert_int_eq(null->write(nothing, records, 2, outcomes, &culprit,
	                             &err), BURSAR_DONE);
	ck_assert_uint_eq(outcome_count(BURSAR_STORED), 2);
	ck_assert_ptr_null(null->sql);
	ck_assert_ptr_null(null->purge);
	ck_assert_ptr_null(null->backup);
	null->close(nothing);
	null->close(NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sink_sqlite");

	sinksuite_add(suite);
	CASE(suite, "writing", people_read_times_and_dollars,
	     ids_grow_for_ever);
	CASE(suite, "all or nothing",
	     a_row_that_is_refused_undoes_its_batch_and_is_named,
	     a_sum_that_is_refused_undoes_its_batch);
	CASE(suite, "many keys",
	     keys_move_through_the_levels_and_are_never_lost,
	     a_key_that_is_used_while_it_moves_stays_young,
	     other_content_is_found_in_every_level,
	     a_batch_that_fails_loses_no_key_of_others,
	     two_writers_take_turns_and_know_each_others_keys,
	     another_filter_size_is_taken_over,
	     who_takes_no_keys_has_no_filter);
	CASE(suite, "opening", the_files_are_for_their_owner_alone,
	     a_missing_folder_is_said, a_folder_is_no_ledger,
	     a_file_that_is_no_database_is_refused_and_kept,
	     a_database_of_others_is_refused_and_kept,
	     a_newer_ledger_is_refused,
	     what_sql_changes_needs_a_ledger_of_our_version,
	     a_reader_notices_that_the_ledger_was_replaced,
	     a_locked_ledger_is_tried_again,
	     a_process_without_descriptors_tries_again,
	     a_missing_table_is_for_a_person,
	     a_damaged_ledger_is_not_written_to_any_more,
	     damage_met_while_writing_stops_the_sink,
	     a_full_disk_is_tried_again,
	     a_ledger_that_cannot_be_written_is_for_a_person,
	     a_folder_that_cannot_be_written_is_for_a_person,
	     an_older_ledger_is_brought_up_to_date,
	     a_column_that_is_missing_is_added);
	CASE(suite, "reading", a_reader_makes_nothing,
	     a_reader_reads_while_the_writer_writes,
	     a_long_reader_holds_nobody_up);
	CASE(suite, "sql", parameters_and_cells_have_types,
	     parameters_are_found_by_their_number,
	     a_statement_that_is_wrong_is_rejected,
	     what_may_not_be_changed_says_why, a_row_function_can_stop,
	     a_row_function_can_ask_the_same_again, what_sql_changes_is_there,
	     many_different_statements_are_fine);
	CASE(suite, "purging",
	     expired_bodies_are_purged_and_gone_from_the_file,
	     what_has_not_expired_stays, a_purge_takes_no_more_than_its_limit,
	     facts_go_by_whole_cells_and_sums_stay,
	     old_keys_go_from_every_level);
	CASE(suite, "files", a_backup_is_a_ledger_of_its_own,
	     a_reader_can_make_a_backup, a_backup_replaces_nothing,
	     the_log_does_not_grow_without_bound,
	     a_log_that_cannot_be_copied_is_told_of, closing_leaves_one_file);
	CASE(suite, "null",
	     the_null_sink_takes_everything_and_cannot_be_the_book);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
