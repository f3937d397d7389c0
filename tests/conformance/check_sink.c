/* SPDX-License-Identifier: Apache-2.0 */

/* What bursar/sink.h asks of write(): outcomes, keys, counted records. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "records.h"

/* --- outcomes ------------------------------------------------------------ */

/* Records tagged with the folder, as several may work on one database. */
void sink_works(struct kit *kit)
{
	const char *tag = strrchr(kit->dir, '/') + 1;
	struct open_sink open;
	struct batch batch = { 0 };

	sink_open_to(&open, kit, BURSAR_WRITE);
	batch_fill(&batch, open.stand.host, tag, 99);
	sink_store(&open, &batch);
	batch_expect_all(&batch, BURSAR_STORED, "new records");
	if (!kit->keeps_nothing) {
		sink_store(&open, &batch);
		batch_expect_all(&batch, BURSAR_DUPLICATE, "the same again");
	}
	if (open.ops->sql != NULL) {
		expect(sink_tagged(&open, tag) == 99, "%lld rows of 99",
		       (long long)sink_tagged(&open, tag));
	}
	sink_close(&open);
}

static void stores_batches_of_any_size(struct kit *kit)
{
	static const size_t sizes[] = { 1, 2, 3, 20000 };
	struct open_sink open;
	struct batch batch = { 0 };
	char tag[40];

	sink_open_to(&open, kit, BURSAR_WRITE);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		snprintf(tag, sizeof(tag), "size-%zu", sizes[i]);
		batch_clear(&batch);
		batch_fill(&batch, open.stand.host, tag, sizes[i]);
		sink_store(&open, &batch);
		batch_expect_all(&batch, BURSAR_STORED, tag);
		if (open.ops->sql != NULL) {
			expect(sink_tagged(&open, tag) == (int64_t)sizes[i],
			       "%lld rows of %zu",
			       (long long)sink_tagged(&open, tag), sizes[i]);
		}
	}
	sink_close(&open);
}

static void tells_twins_in_one_batch(struct kit *kit)
{
	struct open_sink open;
	struct batch batch = { 0 };

	sink_needs_keys(kit);
	sink_open_to(&open, kit, BURSAR_WRITE);
	const struct bursar_host *host = open.stand.host;
	for (size_t k = 0; k < host->schema->kind_count; k++) {
		const struct bursar_kind *kind = &host->schema->kinds[k];

		batch_add(&batch, record_make(host, kind, "t", "x", "one"));
		batch_add(&batch, record_make(host, kind, "t", "x", "one"));
		batch_add(&batch, record_make(host, kind, "t", "x", "two"));
		batch_add(&batch, record_make(host, kind, "t", "x", "one"));
	}
	sink_store(&open, &batch);
	for (size_t i = 0; i < batch.count; i++) {
		static const enum bursar_outcome wanted[] = {
			BURSAR_STORED, BURSAR_DUPLICATE, BURSAR_CONFLICT,
			BURSAR_DUPLICATE,
		};

		expect(batch.outcomes[i] == wanted[i % 4],
		       "record %zu of four with one key is %s, not %s", i % 4,
		       outcome_name((int)batch.outcomes[i]),
		       outcome_name((int)wanted[i % 4]));
	}
	sink_close(&open);
}

static void knows(struct kit *kit, bool reopen)
{
	struct open_sink open;
	struct batch batch = { 0 };
	struct batch others = { 0 };

	sink_needs_keys(kit);
	sink_open_to(&open, kit, BURSAR_WRITE);
	const struct bursar_host *host = open.stand.host;
	batch_fill(&batch, host, "known", 300);
	sink_store(&open, &batch);
	batch_expect_all(&batch, BURSAR_STORED, "new records");
	if (reopen) {
		sink_close(&open);
		sink_open_to(&open, kit, BURSAR_WRITE);
		host = open.stand.host;
	}
	sink_store(&open, &batch);
	batch_expect_all(&batch, BURSAR_DUPLICATE, "the same again");

	for (size_t i = 0; i < batch.count; i++) {
		const struct bursar_value *id =
			&batch.records[i]->values[BURSAR_MESSAGE_ID];
		char text[100];

		snprintf(text, sizeof(text), "%.*s", (int)id->size, id->text);
		batch_add(&others, record_make(host, batch.records[i]->kind,
		                               text, "known", "other text"));
	}
	sink_store(&open, &others);
	batch_expect_all(&others, BURSAR_CONFLICT, "other content");
	sink_store(&open, &batch);
	batch_expect_all(&batch, BURSAR_DUPLICATE, "after the conflict");
	if (open.ops->sql != NULL) {
		expect(sink_tagged(&open, "known") == 300, "%lld rows of 300",
		       (long long)sink_tagged(&open, "known"));
	}
	sink_close(&open);
}

static void knows_earlier_batches(struct kit *kit)
{
	knows(kit, false);
}

static void knows_after_reopening(struct kit *kit)
{
	knows(kit, true);
}

static void mixes_outcomes(struct kit *kit)
{
	struct open_sink open;
	struct batch first = { 0 };
	struct batch mixed = { 0 };

	sink_needs_keys(kit);
	sink_open_to(&open, kit, BURSAR_WRITE);
	const struct bursar_host *host = open.stand.host;
	batch_fill(&first, host, "mixed", 500);
	sink_store(&open, &first);

	for (size_t i = 0; i < 900; i++) {
		const struct bursar_kind *kind =
			&host->schema->kinds[i % host->schema->kind_count];
		char id[40];

		snprintf(id, sizeof(id), "mixed-%zu", i);
		batch_add(&mixed, record_make(host, kind, id, "mixed",
		                              i % 2 ? "other" : "some text"));
	}
	sink_store(&open, &mixed);
	for (size_t i = 0; i < mixed.count; i++) {
		const enum bursar_outcome wanted =
			i >= 500 ? BURSAR_STORED :
			i % 2 ? BURSAR_CONFLICT : BURSAR_DUPLICATE;

		expect(mixed.outcomes[i] == wanted,
		       "record %zu is %s, not %s", i,
		       outcome_name((int)mixed.outcomes[i]),
		       outcome_name((int)wanted));
	}
	sink_close(&open);
}

static void tells_kinds_apart(struct kit *kit)
{
	struct open_sink open;
	struct batch batch = { 0 };

	sink_open_to(&open, kit, BURSAR_WRITE);
	const struct bursar_host *host = open.stand.host;
	for (size_t k = 0; k < host->schema->kind_count; k++) {
		batch_add(&batch, record_make(host, &host->schema->kinds[k],
		                              "one id", "x", "one"));
	}
	sink_store(&open, &batch);
	batch_expect_all(&batch, BURSAR_STORED, "one id in every kind");
	sink_close(&open);
}

static void takes_odd_ids(struct kit *kit)
{
	static const char *const ids[] = {
		"'", "\"; DROP TABLE metering_records; --", "%s%n", "\\",
		"\xf0\x9f\x98\x80", " a", "a ", "A", "a", "a\nb", "a\tb", "$1",
		"{}", "0", "00",
	};
	struct open_sink open;
	struct batch batch = { 0 };
	char longest[1025];

	sink_open_to(&open, kit, BURSAR_WRITE);
	const struct bursar_host *host = open.stand.host;
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		batch_add(&batch, record_make(host, &host->schema->kinds[0],
		                              ids[i], "odd", "one"));
	}
	batch_add(&batch, record_make(host, &host->schema->kinds[0], longest,
	                              "odd", "one"));
	sink_store(&open, &batch);
	batch_expect_all(&batch, BURSAR_STORED, "ids with odd characters");
	if (!kit->keeps_nothing) {
		sink_store(&open, &batch);
		batch_expect_all(&batch, BURSAR_DUPLICATE, "the same again");
	}
	sink_close(&open);
}

/* --- counted records ----------------------------------------------------- */

static void offer_counted(struct open_sink *open, const char *text,
                          unsigned flags, enum bursar_outcome wanted,
                          const char *what)
{
	struct batch batch = { 0 };
	const struct bursar_host *host = open->stand.host;
	const struct bursar_kind *kind = &host->schema->kinds[0];

	batch_add(&batch, record_make(host, kind, "hash#0", "c", text));
	batch.records[0]->flags = BURSAR_RECORD_COUNTED | flags;
	sink_store(open, &batch);
	batch_expect_all(&batch, wanted, what);
}

static void expect_number_taken(struct open_sink *open, int n,
                                const char *text, bool taken)
{
	struct batch batch = { 0 };
	const struct bursar_host *host = open->stand.host;
	char id[20];

	snprintf(id, sizeof(id), "hash#%d", n);
	batch_add(&batch, record_make(host, &host->schema->kinds[0], id, "c",
	                              text));
	sink_store(open, &batch);
	batch_expect_all(&batch, taken ? BURSAR_DUPLICATE : BURSAR_STORED,
	                 id);
}

static void counts_equal_records(struct kit *kit)
{
	struct open_sink open;
	struct batch twins = { 0 };

	sink_needs_keys(kit);
	sink_open_to(&open, kit, BURSAR_WRITE);
	const struct bursar_host *host = open.stand.host;
	for (int i = 0; i < 3; i++) {
		batch_add(&twins, record_make(host, &host->schema->kinds[0],
		                              "hash#0", "c", "one"));
		twins.records[i]->flags = BURSAR_RECORD_COUNTED;
	}
	sink_store(&open, &twins);
	batch_expect_all(&twins, BURSAR_STORED,
	                 "three COUNTED records with one id");
	offer_counted(&open, "one", 0, BURSAR_STORED,
	              "a fourth one in a later batch");
	sink_close(&open);
	sink_open_to(&open, kit, BURSAR_WRITE);
	offer_counted(&open, "two", 0, BURSAR_STORED,
	              "a fifth one with other content, after reopening");
	for (int i = 0; i < 4; i++) {
		expect_number_taken(&open, i, "one", true);
	}
	expect_number_taken(&open, 4, "two", true);
	expect_number_taken(&open, 5, "one", false);
	if (open.ops->sql != NULL) {
		expect(sink_tagged(&open, "c") == 6, "%lld rows, not 6",
		       (long long)sink_tagged(&open, "c"));
	}
	sink_close(&open);
}

static void knows_counted_records_again(struct kit *kit)
{
	struct open_sink open;

	sink_needs_keys(kit);
	sink_open_to(&open, kit, BURSAR_WRITE);
	offer_counted(&open, "one", 0, BURSAR_STORED, "the first");
	offer_counted(&open, "one", BURSAR_RECORD_AGAIN, BURSAR_DUPLICATE,
	              "the first AGAIN");
	offer_counted(&open, "two", BURSAR_RECORD_AGAIN, BURSAR_STORED,
	              "AGAIN, with content that nobody has");
	offer_counted(&open, "three", 0, BURSAR_STORED, "the third");
	sink_close(&open);
	sink_open_to(&open, kit, BURSAR_WRITE);
	offer_counted(&open, "one", BURSAR_RECORD_AGAIN, BURSAR_DUPLICATE,
	              "the first AGAIN, after reopening");
	offer_counted(&open, "two", BURSAR_RECORD_AGAIN, BURSAR_DUPLICATE,
	              "the second AGAIN, after reopening");
	offer_counted(&open, "three", BURSAR_RECORD_AGAIN, BURSAR_DUPLICATE,
	              "the third AGAIN, after reopening");
	sink_close(&open);
}

/* --- reading ------------------------------------------------------------- */

/* Whether a sink that is opened to write makes what it needs. */
static bool made_by_writing(struct kit *kit)
{
	struct bursar_error err = { 0 };
	enum bursar_verdict verdict;
	struct stand stand;

	stand_init(&stand, kit, INSTANCE_RUN);
	void *handle = stand_open(&stand, &verdict, &err);
	stand_close(&stand, handle);
	stand_finish(&stand);
	return handle != NULL;
}

static void makes_nothing_to_read(struct kit *kit)
{
	enum bursar_verdict verdict = BURSAR_DONE;
	struct bursar_error err = { 0 };
	struct stand stand;

	stand_init(&stand, kit, INSTANCE_READ);
	const uint64_t before = kit_folder_print(kit);
	struct bursar_sink *sink = kit->plugin->ops.sink->open(
		stand.host, BURSAR_READ, &verdict, &err);
	expect(kit_folder_print(kit) == before, "open() to read made a file");
	if (sink == NULL) {
		kit_expect_error(&err, "open() to read what is not there");
		expect(verdict == BURSAR_CONFIG || verdict == BURSAR_DOWN ||
		       verdict == BURSAR_RETRY,
		       "open() to read what is not there says %s",
		       verdict_name(verdict));
		expect(err.code == ENOENT || !made_by_writing(kit),
		       "open() to read what WRITE would make says code %d, "
		       "not ENOENT: %s", err.code, err.text);
	}
	kit->plugin->ops.sink->close(sink);
	stand_finish(&stand);
}

const struct kit_check sink_write_checks[] = {
	{ "makes nothing where it is opened to read",
	  "READ: never changes anything, makes no table.  Where READ finds "
	  "nothing yet, and WRITE would make it, err->code is ENOENT.",
	  makes_nothing_to_read },
	{ "stores a batch of every kind",
	  "outcomes[i] is set to STORED.", sink_works },
	{ "stores batches of 1 and of 20,000",
	  "Stores records[0..count), count >= 1, in one transaction, durably.",
	  stores_batches_of_any_size, 60 },
	{ "tells duplicates and conflicts within a batch",
	  "Equal keys stand in order of arrival, and the first wins.  "
	  "DUPLICATE: the key is there with the same check; CONFLICT: with "
	  "another check.", tells_twins_in_one_batch },
	{ "knows the keys of earlier batches",
	  "DUPLICATE: the key is there with the same check; CONFLICT: with "
	  "another check.", knows_earlier_batches },
	{ "knows the keys after it was opened again",
	  "The database decides what is a duplicate.", knows_after_reopening },
	{ "gives each record of a mixed batch its outcome",
	  "outcomes[i] is set to STORED, DUPLICATE or CONFLICT.",
	  mixes_outcomes },
	{ "takes one id in several kinds for several records",
	  "key: host->key(kind, id).", tells_kinds_apart },
	{ "takes any text for an id",
	  "TEXT: UTF-8 without NUL.", takes_odd_ids },
	{ "stores counted records under the first free number",
	  "A COUNTED record has an id that ends in \"#0\".  It is stored under "
	  "the first n of id#n that is free.", counts_equal_records },
	{ "knows counted records that are offered again",
	  "If it is also offered AGAIN, and any n with the same check is there, "
	  "it is a DUPLICATE.", knows_counted_records_again },
	{ NULL }
};
