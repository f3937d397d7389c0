/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Facts are read page by page; what changes of a page is corrected when it was
 * read to its end, as a sink is asked one thing at a time.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "book/reprice.h"
#include "common/corrections.h"

#define BATCH_SIZE 120

struct run {
	const struct setup *setup;
	const struct reprice_rule *rule;
	const struct reprice_report *report;
	struct repriced_counts *counts;
	int64_t last;			/* row that was read last */
	size_t  read;			/* of the page */
	size_t  count;			/* corrections of it */
	struct bursar_correction *items;	/* REPRICE_AT_ONCE of them */
	char  (*rules)[PRICES_RULE_SIZE];	/* ... and what they point to */
};

/* --- one fact ------------------------------------------------------------ */

/* As the daemon decides it; a source that is gone reported its costs. */
static bool computed_first(const struct setup *setup,
                           struct bursar_span source)
{
	for (size_t i = 0; i < setup->source_count; i++) {
		const struct setup_source *s = &setup->sources[i];

		if (strlen(s->item.name) == source.size &&
		    memcmp(s->item.name, source.data, source.size) == 0) {
			return s->cost_computed;
		}
	}
	return false;
}

static bool same(struct priced_cost a, struct priced_cost b)
{
	return a.known == b.known && (!a.known || a.nano == b.nano);
}

static struct bursar_cell cost_cell(struct priced_cost cost)
{
	return cost.known ? book_int(cost.nano)
		: (struct bursar_cell){ .type = BURSAR_NULL };
}

static void note(struct run *run, const struct repriced *change,
                 const struct price_answer *answer)
{
	char *rule = run->rules[run->count];
	const size_t size = prices_rule(answer, rule);

	run->items[run->count++] = (struct bursar_correction){
		.row = change->fact->id,
		.old_cost = cost_cell(change->fact->cost),
		.cost = cost_cell(change->cost),
		.computed = cost_cell(change->computed),
		.book = book_text(price_book_version(answer->book)),
		.rule = book_bytes(rule, size),
	};
}

static int look_at(void *context, const struct priced *fact)
{
	struct run *run = context;
	struct price_answer answer;

	run->last = fact->id;
	run->read++;
	run->counts->facts++;
	if (run->rule->unpriced_only && fact->cost.known) {
		return 0;
	}
	prices_ask(run->setup->prices, &fact->question, &answer);
	if (answer.result != PRICE_DONE) {
		run->counts->unknown++;
		return 0;
	}

	const struct priced_cost computed = { answer.nano, true };
	const bool mine = computed_first(run->setup, fact->source);
	const struct repriced change = {
		.fact = fact, .computed = computed,
		.cost = mine || !fact->reported.known ? computed
		                                      : fact->reported,
	};
	if (!same(change.cost, fact->cost) ||
	    !same(computed, fact->computed)) {
		run->counts->changed++;
		run->report->changed(run->report->context, &change);
		note(run, &change, &answer);
	}
	return 0;
}

/* --- pages --------------------------------------------------------------- */

static int correct(struct book *book, struct run *run,
                   struct bursar_error *err)
{
	char batch[BATCH_SIZE];
	const struct bursar_correct what = {
		.batch = batch, .reason = run->rule->reason,
		.items = run->items, .count = run->count,
	};
	enum bursar_verdict verdict = BURSAR_RETRY;
	struct bursar_error why = { 0 };
	size_t corrected = 0;

	/* The row makes it another one for each page. */
	snprintf(batch, sizeof(batch), "%.80s.%" PRId64, run->rule->batch,
	         run->last);
	for (int i = 0; i < BOOK_TRIES && verdict == BURSAR_RETRY; i++) {
		if (i > 0) {
			book_pause();
		}
		memset(&why, 0, sizeof(why));
		verdict = book->ops->correct(book->sink, &what, &corrected,
		                             &why);
	}
	if (verdict != BURSAR_DONE) {
		return book_blame(book, verdict, &why, err);
	}
	run->counts->corrected += corrected;
	return 0;
}

static int next_page(struct book *book, struct run *run,
                     struct bursar_error *err)
{
	const struct priced_filter filter = {
		.window = run->rule->window, .after_id = run->last,
		.limit = REPRICE_AT_ONCE,
	};

	run->read = run->count = 0;
	if (priced_each(book, &filter, look_at, run, err) != 0) {
		return -1;
	}
	if (run->count > 0 && !run->rule->dry_run &&
	    correct(book, run, err) != 0) {
		return -1;
	}
	if (run->report->progress != NULL) {
		run->report->progress(run->report->context,
		                      run->counts->facts);
	}
	return 0;
}

int reprice_run(struct book *book, const struct setup *setup,
                const struct reprice_rule *rule,
                const struct reprice_report *report,
                struct repriced_counts *counts, struct bursar_error *err)
{
	struct run run = {
		.setup = setup, .rule = rule, .report = report,
		.counts = counts, .last = INT64_MIN,
		.items = calloc(REPRICE_AT_ONCE, sizeof(*run.items)),
		.rules = calloc(REPRICE_AT_ONCE, sizeof(*run.rules)),
	};
	int status = 0;

	memset(counts, 0, sizeof(*counts));
	if (run.items == NULL || run.rules == NULL) {
		status = bursar_fail(err, ENOMEM, "out of memory");
	} else if (book->ops->correct == NULL) {
		status = bursar_fail(err, ENOTSUP, "sink '%s' cannot correct "
		                     "what it has stored", book->name);
	}
	do {
		status = status != 0 ? status : next_page(book, &run, err);
	} while (status == 0 && run.read == REPRICE_AT_ONCE);
	free(run.items);
	free(run.rules);
	return status;
}

/* --- the journal --------------------------------------------------------- */

struct history {
	int (*each)(void *context, const struct correction_entry *entry);
	void *context;
};

static struct bursar_span text_of(const struct bursar_cell *cell)
{
	return cell->type == BURSAR_STRING
		? (struct bursar_span){ cell->data, cell->size }
		: (struct bursar_span){ NULL, 0 };
}

static struct priced_cost cost_of(const struct bursar_cell *cell)
{
	return (struct priced_cost){ book_get(cell),
	                             cell->type == BURSAR_INTEGER };
}

static int read_entry(void *context, const struct bursar_cell *cells,
                      size_t count)
{
	const struct history *history = context;
	const struct correction_entry entry = {
		.at_us = book_get(&cells[0]), .reason = text_of(&cells[1]),
		.old_cost = cost_of(&cells[2]), .new_cost = cost_of(&cells[3]),
		.old_book = text_of(&cells[4]), .new_book = text_of(&cells[5]),
		.old_rule = text_of(&cells[6]), .new_rule = text_of(&cells[7]),
	};

	(void)count;
	return history->each(history->context, &entry);
}

int reprice_history(struct book *book, int64_t row,
                    int (*each)(void *context,
                                const struct correction_entry *entry),
                    void *context, struct bursar_error *err)
{
	struct history history = { each, context };
	const struct bursar_cell parameters[] = { book_int(row) };
	int64_t corrected = INT64_MIN;

	/* Without the note there is no table either. */
	if (book_note_read(book, CORRECTIONS_NOTE, &corrected, err) != 0) {
		return -1;
	}
	return corrected == INT64_MIN ? 0 : book_run(book,
		"SELECT at_us, reason, old_cost_nano, new_cost_nano, old_book, "
		"new_book, old_rule, new_rule FROM bursar_corrections "
		"WHERE row_id = $1 ORDER BY at_us, batch", parameters, 1,
		read_entry, &history, err);
}
