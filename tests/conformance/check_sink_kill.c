/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What bursar/sink.h asks of a sink that is killed, that is written by several
 * at a time, and that is copied while it is written.
 */
#include "config.h"

#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "records.h"

#define BATCH    120		/* records */
#define BATCHES  2000		/* at most */

/* What a writer in another process has done. */
struct progress {
	atomic_int open;
	atomic_int begun;	/* batches that were offered */
	atomic_int done;	/* ... and answered DONE */
	atomic_int stored;	/* records */
};

static struct progress *share_progress(size_t count)
{
	struct progress *p = mmap(NULL, count * sizeof(*p),
	                          PROT_READ | PROT_WRITE,
	                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		kit_broken("mmap");
	}
	return p;
}

static void tag_of(char tag[40], int round, int batch)
{
	snprintf(tag, 40, "kill-%d-%d", round, batch);
}

__attribute__((noreturn))
static void write_for_ever(struct kit *kit, int round, struct progress *p)
{
	struct open_sink open;
	char tag[40];

	sink_open_to(&open, kit, BURSAR_WRITE);
	p->open = 1;
	for (int i = 0; i < BATCHES; i++) {
		struct batch batch = { 0 };

		tag_of(tag, round, i);
		batch_fill(&batch, open.stand.host, tag, BATCH);
		p->begun = i + 1;
		sink_store(&open, &batch);
		batch_expect_all(&batch, BURSAR_STORED, tag);
		p->done = i + 1;
	}
	sink_close(&open);
	_exit(EXIT_SUCCESS);
}

static pid_t start_writer(struct kit *kit, int round, struct progress *p)
{
	const pid_t child = fork();

	if (child < 0) {
		kit_broken("fork");
	}
	if (child == 0) {
		write_for_ever(kit, round, p);
	}
	while (p->open == 0 && waitpid(child, NULL, WNOHANG) == 0) {
		poll(NULL, 0, 1);
	}
	return child;
}

/* Kills it; it must not have ended before. */
static void kill_writer(pid_t child)
{
	int status;

	kill(child, SIGKILL);
	if (waitpid(child, &status, 0) == child && !WIFSIGNALED(status)) {
		kit_breach("the writer ended by itself");
		_exit(EXIT_FAILURE);
	}
}

/* Each batch is there whole or not at all, and is not stored twice. */
static void look_after_kill(struct kit *kit, int round,
                            const struct progress *p)
{
	struct open_sink open;
	char tag[40];

	sink_open_to(&open, kit, BURSAR_WRITE);
	for (int i = 0; i < p->begun; i++) {
		struct batch batch = { 0 };

		tag_of(tag, round, i);
		if (open.ops->sql != NULL) {
			const int64_t rows = sink_tagged(&open, tag);

			expect(rows == BATCH || (rows == 0 && i >= p->done),
			       "%lld rows of a batch of %d%s", (long long)rows,
			       BATCH, i < p->done ? " that was DONE" : "");
		}
		batch_fill(&batch, open.stand.host, tag, BATCH);
		sink_store(&open, &batch);
		const size_t known = batch_count(&batch, BURSAR_DUPLICATE);
		expect(known == BATCH || (known == 0 && i >= p->done),
		       "%zu of a batch of %d%s are there after a kill", known,
		       BATCH, i < p->done ? " that was DONE" : "");
		sink_store(&open, &batch);
		batch_expect_all(&batch, BURSAR_DUPLICATE, "offered again");
		expect(open.ops->sql == NULL ||
		       sink_tagged(&open, tag) == BATCH,
		       "%lld rows of %d after it was offered again",
		       (long long)sink_tagged(&open, tag), BATCH);
	}
	sink_close(&open);
}

#define KILLS 12

static void stores_all_or_nothing(struct kit *kit)
{
	struct progress *p = share_progress(KILLS);
	int whole = 0, cut = 0;

	sink_needs_keys(kit);
	for (int round = 0; round < KILLS; round++) {
		const pid_t child = start_writer(kit, round, &p[round]);

		/* Until it has something to lose, and a moment more. */
		for (int i = 0; i < 1000 && p[round].done < round % 3; i++) {
			poll(NULL, 0, 1);
		}
		usleep((useconds_t)chance_below(kit, 15000));
		kill_writer(child);
		whole += p[round].done;
		cut += p[round].begun > p[round].done;
		look_after_kill(kit, round, &p[round]);
	}
	expect(whole > 0, "no batch was stored in %d runs", KILLS);
	kit_remark("%d kills, %d of them within write(), after %d batches",
	           KILLS, cut, whole);
}

/* --- several writers ----------------------------------------------------- */

#define WRITERS  3
#define TOGETHER 30		/* batches that each of them offers */
#define SHARED   60		/* records of each */

static void write_shuffled(struct kit *kit, struct progress *p, unsigned seed)
{
	struct open_sink open;
	int order[TOGETHER];

	sink_open_to(&open, kit, BURSAR_WRITE);
	for (int i = 0; i < TOGETHER; i++) {
		const int other = rand_r(&seed) % (i + 1);

		order[i] = order[other];
		order[other] = i;
	}
	for (int i = 0; i < TOGETHER; i++) {
		struct batch batch = { 0 };
		char tag[40];

		snprintf(tag, sizeof(tag), "shared-%d", order[i]);
		batch_fill(&batch, open.stand.host, tag, SHARED);
		sink_store(&open, &batch);
		expect(batch_count(&batch, BURSAR_CONFLICT) == 0,
		       "a conflict where the content is the same");
		p->stored += (int)batch_count(&batch, BURSAR_STORED);
	}
	sink_close(&open);
	_exit(EXIT_SUCCESS);
}

static void serves_several_writers(struct kit *kit)
{
	struct progress *p = share_progress(1);
	struct open_sink open;
	pid_t writers[WRITERS];

	sink_needs_keys(kit);
	sink_open_to(&open, kit, BURSAR_WRITE);
	sink_close(&open);
	for (unsigned i = 0; i < WRITERS; i++) {
		writers[i] = fork();
		if (writers[i] == 0) {
			write_shuffled(kit, p, kit->seed + i);
		}
	}
	for (size_t i = 0; i < WRITERS; i++) {
		kit_wait(writers[i]);
	}
	expect(p->stored == TOGETHER * SHARED,
	       "%d writers stored %d records of %d", WRITERS, p->stored,
	       TOGETHER * SHARED);
}

/* --- copies -------------------------------------------------------------- */

static const char *database_option(const struct kit *kit)
{
	const struct bursar_option *o = kit->plugin->options;

	if (kit->database != NULL) {
		return kit->database;
	}
	while (o->name != NULL && o->type != BURSAR_TYPE_PATH &&
	       o->type != BURSAR_TYPE_OUTPUT) {
		o++;
	}
	return o->name;
}

/* The copy, opened as a database of its own. */
static void look_at_copy(struct kit *kit, const char *path, int done,
                         int begun)
{
	struct kit other = *kit;
	struct open_sink open;
	char tag[40];

	kit_give_only(&other, database_option(kit), path);
	sink_open_to(&open, &other, BURSAR_WRITE);
	for (int i = 0; i < begun; i++) {
		struct batch batch = { 0 };

		tag_of(tag, 0, i);
		batch_fill(&batch, open.stand.host, tag, BATCH);
		sink_store(&open, &batch);
		const size_t known = batch_count(&batch, BURSAR_DUPLICATE);
		expect(known == BATCH || (known == 0 && i >= done),
		       "%zu of a batch of %d%s are in the copy", known, BATCH,
		       i < done ? " that was DONE before" : "");
		expect(open.ops->sql == NULL ||
		       sink_tagged(&open, tag) == BATCH,
		       "%lld rows of a batch of %d in the copy",
		       (long long)sink_tagged(&open, tag), BATCH);
	}
	sink_close(&open);
}

static void copies_while_it_is_written(struct kit *kit)
{
	struct progress *p = share_progress(1);
	struct bursar_error err = { 0 };
	struct open_sink open;

	if (kit->plugin->ops.sink->backup == NULL ||
	    database_option(kit) == NULL) {
		kit_skip("it has no backup(), or no path of its database");
	}
	char *path = kit_expand(kit, "@DIR@/the-copy");
	const pid_t child = start_writer(kit, 0, p);
	while (p->done < 3) {
		poll(NULL, 0, 1);
	}
	sink_open_to(&open, kit, BURSAR_READ);
	const int done = p->done;
	enum bursar_verdict verdict = open.ops->backup(open.sink, path, &err);
	const int begun = p->begun;
	kill_writer(child);
	expect(verdict == BURSAR_DONE, "backup() says %s: %s",
	       verdict_name(verdict), err.text);
	sink_close(&open);
	look_at_copy(kit, path, done, begun);
	kit_remark("%d batches before, %d while it was copied", done,
	           begun - done);
}

static int open_file(const char *path, int flags)
{
	const int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0) {
		kit_broken(path);
	}
	return fd;
}

static void spares_what_is_there(struct kit *kit)
{
	static const char text[] = "do not touch me";
	struct bursar_error err = { 0 };
	struct open_sink open;
	char again[sizeof(text)] = "";

	if (kit->plugin->ops.sink->backup == NULL) {
		kit_skip("it has no backup()");
	}
	char *path = kit_expand(kit, "@DIR@/precious");
	int fd = open_file(path, O_CREAT | O_WRONLY);
	if (write(fd, text, sizeof(text)) != (ssize_t)sizeof(text)) {
		kit_broken(path);
	}
	close(fd);
	sink_open_to(&open, kit, BURSAR_WRITE);
	const enum bursar_verdict verdict =
		open.ops->backup(open.sink, path, &err);
	expect(verdict != BURSAR_DONE, "backup() to a file that exists says "
	       "DONE");
	kit_expect_error(&err, "backup()");
	fd = open_file(path, O_RDONLY);
	expect(read(fd, again, sizeof(again)) == (ssize_t)sizeof(again) &&
	       memcmp(again, text, sizeof(text)) == 0,
	       "backup() changed a file that was there");
	err = (struct bursar_error){ 0 };
	expect(open.ops->backup(open.sink, "/nowhere/at/all", &err) !=
	       BURSAR_DONE, "backup() into no folder says DONE");
	kit_expect_error(&err, "backup()");
	sink_close(&open);
}

/* --- no room ------------------------------------------------------------- */

static off_t largest;

static int look_at_size(const char *path, const struct stat *st, int type,
                        struct FTW *at)
{
	(void)path, (void)at;
	largest = type == FTW_F && st->st_size > largest ? st->st_size
	                                                 : largest;
	return 0;
}

/* Files of this process may grow by so much, until it is called with -1. */
static void limit_growth(const struct kit *kit, int more)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	if (more >= 0) {
		largest = 0;
		nftw(kit->dir, look_at_size, 20, FTW_PHYS);
		limit.rlim_cur = (rlim_t)(largest + more);
	}
	signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_FSIZE, &limit) != 0) {
		kit_broken("setrlimit");
	}
}

/* Offers batch after batch until there is no room; false: there always is. */
static bool fill_up(struct open_sink *open, struct batch *batch,
                    enum bursar_verdict *verdict)
{
	char tag[40];

	*verdict = BURSAR_DONE;
	for (int i = 0; i < 30 && *verdict == BURSAR_DONE; i++) {
		struct bursar_error err = { 0 };

		tag_of(tag, -1, i);
		batch_clear(batch);
		batch_fill(batch, open->stand.host, tag, 20 * BATCH);
		*verdict = sink_offer(open, batch, &err);
	}
	return *verdict != BURSAR_DONE;
}

static void rejects_nothing_without_room(struct kit *kit)
{
	struct batch batch = { 0 };
	enum bursar_verdict verdict;
	struct open_sink open;

	sink_open_to(&open, kit, BURSAR_WRITE);
	limit_growth(kit, 64 << 10);
	const bool full = fill_up(&open, &batch, &verdict);
	limit_growth(kit, -1);
	if (!full) {
		kit_skip("it is no file of its own that grows");
	}
	expect(verdict != BURSAR_REJECT, "write() says REJECT of good records "
	       "when its files cannot grow");
	if (verdict != BURSAR_RETRY) {
		sink_close(&open);
		sink_open_to(&open, kit, BURSAR_WRITE);
	}
	sink_store(&open, &batch);
	batch_expect_all(&batch, BURSAR_STORED, "what found no room before, "
	                 "offered again with room");
	sink_close(&open);
}

const struct kit_check sink_kill_checks[] = {
	{ "stores a batch whole or not at all when it is killed",
	  "Stores records[0..count) in one transaction, durably; a sink stores "
	  "a batch of records whole, or not at all.", stores_all_or_nothing, 60
	},
	{ "rejects nothing that is good when there is no room",
	  "RETRY: locked, deadlock, disk full; nothing stored.  REJECT: a "
	  "record can never be stored.", rejects_nothing_without_room, 60 },
	{ "serves several writers at a time",
	  "The database decides what is a duplicate: by the record's key, in "
	  "the same transaction that stores the record.",
	  serves_several_writers, 60 },
	{ "copies a database that is written meanwhile",
	  "backup() copies the live database to a new file, consistent as of "
	  "one moment.", copies_while_it_is_written, 60 },
	{ "copies to a new file only",
	  "backup() copies to a new file.", spares_what_is_there },
	{ NULL }
};
