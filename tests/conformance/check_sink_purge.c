/* SPDX-License-Identifier: Apache-2.0 */

/* What bursar/sink.h asks of purge(). */
#include "config.h"

#include <string.h>

#include "records.h"

#define DAY_US   INT64_C(86400000000)
#define EXPIRED  50
#define LATER    20
#define NEVER    5

static void needs_purge(const struct kit *kit)
{
	if (kit->plugin->ops.sink->purge == NULL) {
		kit_skip("it has no purge()");
	}
}

static void expiring(struct batch *batch, const struct bursar_host *host,
                     const char *tag, size_t count, int64_t expires_at)
{
	char id[60];
	size_t i = 0;

	while (i < count) {
		for (size_t k = 0; k < host->schema->kind_count && i < count;
		     k++) {
			const struct bursar_kind *kind =
				&host->schema->kinds[k];

			if (kind->fact) {
				continue;
			}
			snprintf(id, sizeof(id), "%s-%zu", tag, i++);
			struct bursar_record *record =
				record_make(host, kind, id, tag, "text");
			if (expires_at != 0) {
				bursar_set_number(record, BURSAR_EXPIRES_AT,
				                  expires_at);
			}
			batch_add(batch, record);
		}
	}
}

/* Bodies that expired at `now` and before, that expire later, and never. */
static void fill(struct open_sink *open, struct batch *batch, int64_t now)
{
	const struct bursar_host *host = open->stand.host;

	expiring(batch, host, "at", EXPIRED / 2, now);
	expiring(batch, host, "long-ago", EXPIRED - EXPIRED / 2,
	         now - 3 * DAY_US);
	expiring(batch, host, "moment", LATER / 2, now + 1);
	expiring(batch, host, "later", LATER - LATER / 2, now + 40 * DAY_US);
	expiring(batch, host, "never", NEVER, 0);
	sink_store(open, batch);
	batch_expect_all(batch, BURSAR_STORED, "bodies to expire");
}

static void purge(struct open_sink *open, const struct bursar_purge *what,
                  struct bursar_purged *purged)
{
	enum bursar_verdict verdict = BURSAR_RETRY;
	struct bursar_error err = { 0 };

	for (int i = 0; i < 100 && verdict == BURSAR_RETRY; i++) {
		err = (struct bursar_error){ 0 };
		verdict = open->ops->purge(open->sink, what, purged, &err);
	}
	expect(verdict == BURSAR_DONE, "purge() says %s: %s",
	       verdict_name(verdict), err.text);
}

static void expect_left(struct open_sink *open, int64_t expired)
{
	if (open->ops->sql == NULL) {
		return;
	}
	expect(sink_tagged(open, "at") + sink_tagged(open, "long-ago") ==
	       expired, "%lld expired rows are left, not %lld",
	       (long long)(sink_tagged(open, "at") +
	                   sink_tagged(open, "long-ago")),
	       (long long)expired);
	expect(sink_tagged(open, "moment") + sink_tagged(open, "later") ==
	       LATER, "rows are gone before they expired");
	expect(sink_tagged(open, "never") == NEVER,
	       "rows are gone that never expire");
}

static void counts_without_taking(struct kit *kit)
{
	struct open_sink open;
	struct batch batch = { 0 };
	struct bursar_purged purged = { .bodies = 3, .facts = 4, .keys = 5 };

	needs_purge(kit);
	sink_open_to(&open, kit, BURSAR_WRITE);
	const int64_t now = open.stand.host->now(open.stand.host);
	fill(&open, &batch, now);
	const struct bursar_purge what = {
		.now = now, .limit = 1, .dry_run = true,
	};
	purge(&open, &what, &purged);
	expect(purged.bodies == EXPIRED + 3, "a dry run counts %llu, not %d "
	       "(added to the 3 that stood there)",
	       (unsigned long long)purged.bodies - 3, EXPIRED);
	expect(purged.facts == 4 && purged.keys == 5,
	       "a dry run counts facts or keys where none were asked for");
	expect_left(&open, EXPIRED);
	sink_close(&open);
}

static void takes_what_has_expired(struct kit *kit)
{
	struct open_sink open;
	struct batch batch = { 0 };
	struct bursar_purged purged = { 0 };

	needs_purge(kit);
	sink_open_to(&open, kit, BURSAR_WRITE);
	const int64_t now = open.stand.host->now(open.stand.host);
	fill(&open, &batch, now);
	const struct bursar_purge what = { .now = now, .limit = 1000 };
	for (int i = 0; i < 20; i++) {
		purge(&open, &what, &purged);
		if (!purged.more) {
			break;
		}
	}
	expect(!purged.more, "there is always more to purge");
	expect(purged.bodies == EXPIRED, "%llu bodies are gone, not %d",
	       (unsigned long long)purged.bodies, EXPIRED);
	expect_left(&open, 0);
	sink_store(&open, &batch);
	batch_expect_all(&batch, BURSAR_DUPLICATE,
	                 "keys were not to be purged; offered again");
	expect_left(&open, 0);
	sink_close(&open);
}

static void takes_no_more_than_its_limit(struct kit *kit)
{
	struct open_sink open;
	struct batch batch = { 0 };
	struct bursar_purged purged = { .bodies = 7 };

	needs_purge(kit);
	sink_open_to(&open, kit, BURSAR_WRITE);
	const int64_t now = open.stand.host->now(open.stand.host);
	fill(&open, &batch, now);
	const struct bursar_purge what = { .now = now, .limit = 20 };
	uint64_t before = purged.bodies;
	bool more = true;
	for (int i = 0; i < 30 && more; i++) {
		purge(&open, &what, &purged);
		expect(purged.bodies - before <= 20,
		       "%llu rows are gone with a limit of 20",
		       (unsigned long long)(purged.bodies - before));
		expect(purged.more || purged.bodies == EXPIRED + 7,
		       "it says there is no more after %llu of %d",
		       (unsigned long long)purged.bodies - 7, EXPIRED);
		expect_left(&open, EXPIRED + 7 - (int64_t)purged.bodies);
		before = purged.bodies;
		more = purged.more;
	}
	expect(!more, "there is always more to purge");
	sink_close(&open);
}

static void takes_old_facts_alone(struct kit *kit)
{
	struct open_sink open;
	struct batch batch = { 0 };
	struct bursar_purged purged = { 0 };

	needs_purge(kit);
	sink_open_to(&open, kit, BURSAR_WRITE);
	const struct bursar_host *host = open.stand.host;
	const int64_t now = host->now(host);
	for (int i = 0; i < 30; i++) {
		char id[20];

		snprintf(id, sizeof(id), "fact-%d", i);
		struct bursar_record *record = record_make(host,
			&host->schema->kinds[0], id, i < 10 ? "old" : "new",
			"text");
		bursar_set_number(record, BURSAR_RECORDED_AT,
		                  i < 10 ? now - 10 * DAY_US - i : now - i);
		batch_add(&batch, record);
	}
	sink_store(&open, &batch);
	const struct bursar_purge nothing = { .now = now + 400 * DAY_US,
	                                      .limit = 1000 };
	purge(&open, &nothing, &purged);
	expect(purged.facts == 0, "facts are gone where none were to be");
	const struct bursar_purge what = { .facts_before = now - 5 * DAY_US,
	                                   .limit = 1000 };
	for (int i = 0; i < 20 && (i == 0 || purged.more); i++) {
		purge(&open, &what, &purged);
	}
	expect(purged.facts == 10, "%llu facts are gone, not 10",
	       (unsigned long long)purged.facts);
	if (open.ops->sql != NULL) {
		expect(sink_tagged(&open, "old") == 0 &&
		       sink_tagged(&open, "new") == 20,
		       "%lld old and %lld new facts are left, not 0 and 20",
		       (long long)sink_tagged(&open, "old"),
		       (long long)sink_tagged(&open, "new"));
	}
	sink_close(&open);
}

static void takes_old_keys(struct kit *kit)
{
	struct open_sink open;
	struct batch batch = { 0 };
	struct bursar_purged purged = { 0 };

	needs_purge(kit);
	sink_needs_keys(kit);
	sink_open_to(&open, kit, BURSAR_WRITE);
	const struct bursar_host *host = open.stand.host;
	const int64_t now = host->now(host);
	batch_fill(&batch, host, "keys", 30);
	sink_store(&open, &batch);
	const struct bursar_purge young = { .keys_before = now - 2 * DAY_US,
	                                    .limit = 1000 };
	purge(&open, &young, &purged);
	expect(purged.keys == 0, "keys of today are gone as old ones");
	sink_store(&open, &batch);
	batch_expect_all(&batch, BURSAR_DUPLICATE, "keys of today");
	const struct bursar_purge old = { .keys_before = now + 2 * DAY_US,
	                                  .limit = 1000 };
	for (int i = 0; i < 20 && (i == 0 || purged.more); i++) {
		purge(&open, &old, &purged);
	}
	expect(purged.keys == 30, "%llu keys are gone, not 30",
	       (unsigned long long)purged.keys);
	sink_store(&open, &batch);
	batch_expect_all(&batch, BURSAR_STORED, "after their keys are gone");
	sink_close(&open);
}

const struct kit_check sink_purge_checks[] = {
	{ "counts what would go in a dry run",
	  "dry_run: count all, ignoring limit; take nothing.  What purge() did "
	  "is added to what stands there.", counts_without_taking },
	{ "takes what has expired and nothing else",
	  "now: bodies that expired at or before this.  0 for a time: nothing "
	  "of that sort.", takes_what_has_expired },
	{ "takes no more rows than its limit",
	  "limit: rows at most in this call.  more: there is more to purge.",
	  takes_no_more_than_its_limit },
	{ "takes old facts where it is told to",
	  "facts_before: facts recorded before this; 0: nothing of that sort.",
	  takes_old_facts_alone },
	{ "takes old keys where it is told to",
	  "keys_before: keys last used before this day.", takes_old_keys },
	{ NULL }
};
