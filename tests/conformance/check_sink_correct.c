/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What bursar/sink.h asks of a sink that corrects costs: rows, sums and the
 * journal change together, and what is not as it was read is left alone.
 */
#include "config.h"

#include <string.h>

#include "records.h"

#define FACTS 250		/* more than fit into one statement */

static void needs_correct(const struct kit *kit)
{
	sink_needs_sql(kit);
	if (kit->plugin->ops.sink->correct == NULL) {
		kit_skip("it does not correct costs");
	}
}

static struct bursar_cell number(int64_t value)
{
	return (struct bursar_cell){ .type = BURSAR_INTEGER,
	                             .integer = value };
}

static struct bursar_cell text(const char *value)
{
	return (struct bursar_cell){ .type = BURSAR_STRING, .data = value,
	                             .size = strlen(value) };
}

/* Facts f0, f1 ... that cost 1, 2 ... nano-dollars, the last one nothing that
 * is known. */
static void store_facts(struct open_sink *open)
{
	const struct bursar_host *host = open->stand.host;
	const struct bursar_kind *kind = &host->schema->kinds[0];
	const int cost = bursar_field_find(kind, "cost_usd");
	struct batch batch = { 0 };

	for (int i = 0; i < FACTS; i++) {
		char id[20];

		snprintf(id, sizeof(id), "f%d", i);
		struct bursar_record *record = record_make(host, kind, id,
		                                           "fact", id);
		record->values[cost] = (struct bursar_value){ 0 };
		if (i < FACTS - 1) {
			bursar_set_number(record, cost, i + 1);
		}
		batch_add(&batch, record);
	}
	sink_store(open, &batch);
}

static int64_t row_of(struct open_sink *open, int i)
{
	char id[20];

	snprintf(id, sizeof(id), "f%d", i);
	return sink_number(open, "SELECT id FROM metering_records WHERE "
	                   "message_id = $1", id);
}

/* Adds 1000 to the cost of each. */
static void make_items(struct open_sink *open, struct bursar_correction *items)
{
	for (int i = 0; i < FACTS; i++) {
		items[i] = (struct bursar_correction){
			.row = row_of(open, i),
			.old_cost = i < FACTS - 1 ? number(i + 1)
				: (struct bursar_cell){ .type = BURSAR_NULL },
			.cost = number(i + 1001), .computed = number(i + 1001),
			.book = text("book"), .rule = text("rule's \"why\""),
		};
	}
}

static size_t correct(struct open_sink *open,
                      const struct bursar_correction *items, size_t count,
                      const char *batch)
{
	const struct bursar_correct what = { batch, "because", items, count };
	struct bursar_error err = { 0 };
	size_t corrected = SIZE_MAX;
	const enum bursar_verdict verdict = open->ops->correct(
		open->sink, &what, &corrected, &err);

	expect(verdict == BURSAR_DONE, "correct() is %s: %s",
	       verdict_name(verdict), err.text);
	return corrected;
}

static void expect_number(struct open_sink *open, const char *statement,
                          int64_t want)
{
	const int64_t got = sink_number(open, statement, NULL);

	expect(got == want, "\"%s\" gives %lld, not %lld", statement,
	       (long long)got, (long long)want);
}

/* In every dimension the sums are those of the records. */
static void expect_sums(struct open_sink *open)
{
	const int64_t cost = sink_number(open, "SELECT sum(cost_nano) FROM "
	                                 "metering_records", NULL);
	const int64_t known = sink_number(open, "SELECT count(cost_nano) FROM "
	                                  "metering_records", NULL);

	expect_number(open, "SELECT max(s) FROM (SELECT sum(cost_nano) AS s "
	              "FROM rollup_cells GROUP BY dimension) AS d", cost);
	expect_number(open, "SELECT min(s) FROM (SELECT sum(cost_nano) AS s "
	              "FROM rollup_cells GROUP BY dimension) AS d", cost);
	expect_number(open, "SELECT max(s) FROM (SELECT sum(cost_nano_n) AS s "
	              "FROM rollup_cells GROUP BY dimension) AS d", known);
	expect_number(open, "SELECT min(s) FROM (SELECT sum(cost_nano_n) AS s "
	              "FROM rollup_cells GROUP BY dimension) AS d", known);
	expect_number(open, "SELECT sum(request_count) FROM rollup_cells "
	              "WHERE dimension = 'all'", FACTS);
}

static void corrects_costs_with_their_sums(struct kit *kit)
{
	struct bursar_correction items[FACTS];
	struct open_sink open;

	needs_correct(kit);
	sink_open_to(&open, kit, BURSAR_WRITE);
	store_facts(&open);
	expect_sums(&open);
	make_items(&open, items);
	const size_t corrected = correct(&open, items, FACTS, "one");
	expect(corrected == FACTS, "%zu of %d are corrected", corrected,
	       FACTS);
	expect_number(&open, "SELECT sum(cost_nano) FROM metering_records",
	              FACTS * 1000 + FACTS * (FACTS + 1) / 2);
	expect_number(&open, "SELECT count(*) FROM metering_records WHERE "
	              "price_book = 'book' AND price_rule = 'rule''s \"why\"' "
	              "AND cost_computed_nano = cost_nano", FACTS);
	expect_sums(&open);
	expect_number(&open, "SELECT count(*) FROM bursar_corrections WHERE "
	              "batch = 'one' AND reason = 'because' AND at_us > 0 AND "
	              "new_cost_nano - coalesce(old_cost_nano, new_cost_nano - "
	              "1000) = 1000", FACTS);
	sink_close(&open);
}

static void leaves_alone_what_is_not_as_it_was_read(struct kit *kit)
{
	struct bursar_correction items[FACTS];
	struct open_sink open;

	needs_correct(kit);
	sink_open_to(&open, kit, BURSAR_WRITE);
	store_facts(&open);
	make_items(&open, items);
	items[0].old_cost = number(77);		/* it is another one */
	items[1].old_cost.type = BURSAR_NULL;	/* it is known */
	items[2].row++;				/* there is none, or one that */
	items[2].old_cost = number(-5);		/* has another cost */
	items[FACTS - 1].old_cost = number(0);	/* it is unknown */
	size_t corrected = correct(&open, items, FACTS, "one");
	expect(corrected == FACTS - 4, "%zu of %d are corrected", corrected,
	       FACTS - 4);
	expect_sums(&open);
	corrected = correct(&open, items, FACTS, "two");
	expect(corrected == 0, "%zu are corrected once more", corrected);
	expect_sums(&open);
	expect_number(&open, "SELECT count(*) FROM bursar_corrections",
	              FACTS - 4);
	sink_close(&open);
}

const struct kit_check sink_correct_checks[] = {
	{ "corrects costs with their sums and notes what was",
	  "Gives facts other costs, and the rollups the differences, and notes "
	  "for each what it had, has, when and why.",
	  corrects_costs_with_their_sums },
	{ "leaves alone what is not as it was read",
	  "A fact that is gone, or whose cost is not old_cost any more, is left "
	  "alone; *corrected is how many were not.",
	  leaves_alone_what_is_not_as_it_was_read },
	{ NULL }
};
