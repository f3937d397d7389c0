/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Books of prices: what they may say, which row a name means, and what a call
 * costs by it.  The golden calls are asked of a book with the same rows as the
 * cost tracker's.
 */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "common/rfc3339.h"
#include "core/base/metrics.h"
#include "core/plugin/schema.h"
#include "core/price/price_diff.h"
#include "core/price/prices.h"

static struct findings findings;
static struct price_findings to = { .findings = &findings, .before = "" };
static struct price_book *golden;

static void setup(void)
{
	memset(&findings, 0, sizeof(findings));
	golden = price_book_load(GOLDEN_BOOK, "golden", &to);
	ck_assert_msg(golden != NULL, "%s", findings.count > 0
	              ? findings.items[0].text : "");
}

static void teardown(void)
{
	price_book_destroy(golden);
	findings_finish(&findings);
}

/* --- arranging ----------------------------------------------------------- */

/* Quotes are written ' here. */
static struct price_book *book_of(const char *text, const char *name)
{
	char *json = strdup(text);

	ck_assert_ptr_nonnull(json);
	for (char *at = json; *at != '\0'; at++) {
		*at = *at == '\'' ? '"' : *at;
	}
	struct price_book *book = price_book_parse(json, strlen(json), name,
	                                           &to);
	free(json);
	return book;
}

static struct price_book *good_book(const char *text, const char *name)
{
	struct price_book *book = book_of(text, name);

	if (book == NULL) {
		ck_abort_msg("refused: %s", findings.items[0].text);
	}
	return book;
}

/* A book of flat models. */
static struct price_book *flat(const char *models, const char *name)
{
	char text[4000];

	snprintf(text, sizeof(text), "{'schema':1,'models':{%s}}", models);
	return good_book(text, name);
}

static struct bursar_span span(const char *text)
{
	return (struct bursar_span){ text, strlen(text) };
}

struct call {
	const char *provider, *model, *mode;
	int64_t     input, output, cache_read, cache_write;
	const char *at;		/* NULL: some time in 2026 */
};

static struct price_question question_of(const struct call *call)
{
	struct price_question q = {
		.provider = span(call->provider), .model = span(call->model),
		.mode = span(call->mode != NULL ? call->mode : ""),
		.at_us = INT64_C(1780000000000000),
	};

	price_usage_set(&q.usage, PRICE_SAID_INPUT, call->input);
	price_usage_set(&q.usage, PRICE_SAID_OUTPUT, call->output);
	price_usage_set(&q.usage, PRICE_SAID_CACHE_READ, call->cache_read);
	price_usage_set(&q.usage, PRICE_SAID_CACHE_WRITE, call->cache_write);
	return q;
}

static struct price_answer ask(struct price_book *const *books, size_t count,
                               const struct price_question *q)
{
	struct prices prices = { .book_count = count };
	struct price_answer answer;

	memcpy(prices.books, books, count * sizeof(*books));
	prices_ask(&prices, q, &answer);
	return answer;
}

static struct price_answer ask_one(struct price_book *book,
                                   const struct call *call)
{
	const struct price_question q = question_of(call);

	return ask(&book, 1, &q);
}

/* --- amounts ------------------------------------------------------------- */

static const struct {
	const char *text;
	int         shift;
	int64_t     want;		/* -1: refused */
} amounts[] = {
	{ "2.5", 9, 2500000000 }, { "0", 9, 0 }, { "0.0", 15, 0 },
	{ "3e-06", 15, 3000000000 }, { "5.46875e-07", 15, 546875000 },
	{ "1E-6", 15, 1000000000 }, { "1.5e+1", 9, 15000000000 },
	{ "0.083333333333", 9, 83333333 }, { "0.0000000005", 9, 0 },
	{ "0.0000000015", 9, 2 }, { "0.0000000025", 9, 2 },
	{ "0.00000000250000001", 9, 3 }, { "0.0000000004999", 9, 0 },
	{ "1e-400", 15, 0 }, { "1000000", 9, PRICE_MAX }, { "1", 15, PRICE_MAX },
	{ "000002.500", 9, 2500000000 }, { ".5", 9, 500000000 },
	{ "0.000000000000000000000000000000000001", 15, 0 },
	{ "1000000.000000001", 9, -1 }, { "1e400", 9, -1 },
	{ "99999999999999999999999999999999999999999999", 9, -1 },
	{ "", 9, -1 }, { ".", 9, -1 }, { "-1", 9, -1 }, { "1e", 9, -1 },
	{ "1.2.3", 9, -1 }, { " 1", 9, -1 }, { "1 ", 9, -1 }, { "nan", 9, -1 },
	{ "0x10", 9, -1 }, { "1e5x", 9, -1 }, { "infinity", 9, -1 },
};

START_TEST(reads_prices_without_a_rounding_of_its_own)
{
	int64_t price = -2;
	const bool good = price_amount_parse(amounts[_i].text,
	                                     amounts[_i].shift, &price);

	ck_assert_msg(good == (amounts[_i].want >= 0), "%s", amounts[_i].text);
	if (good) {
		ck_assert_int_eq(price, amounts[_i].want);
	}
}
END_TEST

static const struct { int64_t sum, nano; } roundings[] = {
	{ 0, 0 }, { 1, 0 }, { 499999, 0 }, { 500000, 0 }, { 500001, 1 },
	{ 999999, 1 }, { 1000000, 1 }, { 1499999, 1 }, { 1500000, 2 },
	{ 2500000, 2 }, { 2500001, 3 }, { 3500000, 4 },
};

START_TEST(rounds_once_and_half_to_even)
{
	int64_t nano = -1;

	ck_assert(price_amount_round(roundings[_i].sum, &nano));
	ck_assert_int_eq(nano, roundings[_i].nano);
}
END_TEST

START_TEST(a_sum_that_no_number_holds_is_refused)
{
	int64_t nano = -1;

	ck_assert(price_amount_round((price_sum)INT64_MAX * 1000000, &nano));
	ck_assert_int_eq(nano, INT64_MAX);
	ck_assert(!price_amount_round((price_sum)INT64_MAX * 1000000 + 500001,
	                              &nano));
}
END_TEST

START_TEST(shows_sums_with_all_their_digits)
{
	char out[PRICE_SUM_SIZE];

	ck_assert_str_eq(price_amount_show(0, out), "0");
	ck_assert_str_eq(price_amount_show(1, out), "0.000000000000001");
	ck_assert_str_eq(price_amount_show(PRICE_MAX, out), "1");
	ck_assert_str_eq(price_amount_show((price_sum)PRICE_MAX * 5 / 2, out),
	                 "2.5");
	ck_assert_str_eq(price_amount_show_raised(1100000, out),
	                 "0.0000000000000011");
	ck_assert_str_eq(price_amount_show_raised((price_sum)PRICE_MAX *
	                                          PRICE_FACTOR_ONE, out), "1");
}
END_TEST

static void ignore(void *context, const struct price_difference *difference)
{
	(void)context, (void)difference;
}

/* --- golden calls -------------------------------------------------------- */

static const struct {
	struct call call;
	const char *key;		/* NULL: unknown */
	const char *how;
	int64_t     nano;
} calls[] = {
#define M 1000000
	{ { "openai", "gpt-4o", "", 1000, 500, 0, 0, NULL },
	  "openai/gpt-4o", "provider_model", 7500000 },
	{ { "openai", "gpt-4o-2024-08-06", "", M, 0, 0, 0, NULL },
	  "openai/gpt-4o", "dated_snapshot", 2500000000 },
	{ { "openai", "gpt-4o-2024-05-13", "", M, 0, 0, 0, NULL },
	  "openai/gpt-4o-2024-05-13", "provider_model", 5000000000 },
	{ { "anthropic", "claude-sonnet-4-5-20250929", "", 100, 10, 2000, 500,
	    NULL }, "anthropic/claude-sonnet-4-5", "dated_snapshot", 2925000 },
	{ { "anthropic", "claude-opus-4-20250514", "", 1, 1, 0, 0, NULL },
	  "anthropic/claude-opus-4", "dated_snapshot", 90000 },
	{ { "openrouter", "openai/gpt-4o-mini", "", M, 0, 0, 0, NULL },
	  "openai/gpt-4o-mini", "model", 150000000 },
	{ { "openrouter", "anthropic/claude-sonnet-4.5", "", 1, 1, 0, 0, NULL },
	  NULL, NULL, 0 },
	{ { "bedrock", "anthropic.claude-3-5-sonnet-20241022-v2:0", "", 1, 1, 0,
	    0, NULL }, NULL, NULL, 0 },
	{ { "openai", "gpt-5", "batch", 1000, 1000, 1000, 0, NULL },
	  "openai/gpt-5", "provider_model", 5687500 },
	{ { "anthropic", "claude-sonnet-4-6", "batch", 1000, 1000, 1000, 1000,
	    NULL }, "anthropic/claude-sonnet-4-6", "provider_model", 13050000 },
	{ { "openai", "gpt-5", "Batch", 1000, 1000, 0, 0, NULL },
	  "openai/gpt-5", "provider_model", 11250000 },
	{ { "openai", "gpt-5", "priority", 1000, 1000, 0, 0, NULL },
	  "openai/gpt-5", "provider_model", 11250000 },
	{ { "openai", "gpt-5", " standard ", 1000, 1000, 0, 0, NULL },
	  "openai/gpt-5", "provider_model", 11250000 },
	{ { "openai", "gpt-4", "", 0, 0, M, 0, NULL },
	  "openai/gpt-4", "provider_model", INT64_C(30000000000) },
	{ { "", "gpt-4o", "", 1, 1, 0, 0, NULL },
	  "openai/gpt-4o", "unique_providerless_model", 12500 },
	{ { "OpenAI", "gpt-4o", "", 1, 1, 0, 0, NULL },
	  "openai/gpt-4o", "unique_providerless_model", 12500 },
	{ { "OpenAI", "GPT-4o", "", 1, 1, 0, 0, NULL }, NULL, NULL, 0 },
	{ { "azure_openai", "gpt-4o-2024-11-20", "", 1, 1, 0, 0, NULL },
	  "openai/gpt-4o", "unique_providerless_dated_snapshot", 12500 },
	{ { "vertex", "publishers/google/models/gemini-2.5-flash", "", M, 0, 0,
	    0, NULL }, "gemini/gemini-2.5-flash", "unique_providerless_model",
	  300000000 },
	{ { "vertex", "claude-sonnet-4-5@20250929", "", 1, 1, 0, 0, NULL },
	  NULL, NULL, 0 },
	{ { "anthropic", "claude-sonnet-4-6-latest", "", 1, 1, 0, 0, NULL },
	  NULL, NULL, 0 },
	{ { "openai", "gpt-4o", "", 0, 0, 0, 0, NULL },
	  "openai/gpt-4o", "provider_model", 0 },
	{ { "openai", "gpt-5-nano", "", 1, 1, 0, 0, NULL },
	  "openai/gpt-5-nano", "provider_model", 450 },
	{ { "openai", "gpt-5", "", -1000, 1000, 0, 0, NULL },
	  "openai/gpt-5", "provider_model", 10000000 },
#undef M
};

START_TEST(golden_calls_cost_what_they_cost)
{
	const struct price_answer answer = ask_one(golden, &calls[_i].call);

	if (calls[_i].key == NULL) {
		ck_assert_msg(answer.result == PRICE_NO_MATCH, "%s matched %s",
		              calls[_i].call.model, answer.model->key);
		return;
	}
	ck_assert_int_eq(answer.result, PRICE_DONE);
	ck_assert_str_eq(answer.model->key, calls[_i].key);
	ck_assert_str_eq(price_how_names[answer.how], calls[_i].how);
	ck_assert_int_eq(answer.nano, calls[_i].nano);
}
END_TEST

/* A book that has another price for the row of a call, and what no call asks
 * for. */
static struct price_book *other_book(const char *key)
{
	char models[300];

	snprintf(models, sizeof(models), "'zz/none':{'input':1}%s%s%s",
	         key != NULL ? ",'" : "", key != NULL ? key : "",
	         key != NULL ? "':{'input':77,'output':77,'cache_read':77,"
	         "'cache_write':77}" : "");
	return flat(models, "other");
}

/* As override, as file, as built-in book: what is before has no such row, and
 * what is behind is not asked. */
START_TEST(the_first_book_that_has_the_row_answers_wherever_it_stands)
{
	const char *key = calls[_i / PRICES_BOOKS].key;
	const struct price_question q =
		question_of(&calls[_i / PRICES_BOOKS].call);
	struct price_book *books[PRICES_BOOKS];
	const int place = _i % PRICES_BOOKS;

	for (int i = 0; i < PRICES_BOOKS; i++) {
		books[i] = i == place ? golden
			: other_book(i > place ? key : NULL);
	}
	const struct price_answer answer = ask(books, PRICES_BOOKS, &q);

	if (key == NULL) {
		ck_assert_int_eq(answer.result, PRICE_NO_MATCH);
	} else {
		ck_assert_int_eq(answer.result, PRICE_DONE);
		ck_assert_str_eq(price_book_name(answer.book), "golden");
		ck_assert_str_eq(price_how_names[answer.how],
		                 calls[_i / PRICES_BOOKS].how);
		ck_assert_int_eq(answer.nano, calls[_i / PRICES_BOOKS].nano);
	}
	for (int i = 0; i < PRICES_BOOKS; i++) {
		if (i != place) {
			price_book_destroy(books[i]);
		}
	}
}
END_TEST

/* An override comes first, also where its answer is that it does not know. */
static const struct {
	const char *override;
	struct call call;
	const char *key;
	enum price_result result;
	int64_t     nano;
} overrides[] = {
	{ "'m':{'input':1}", { "g", "m", "", 5, 5, 0, 0, NULL },
	  "m", PRICE_NO_RATE, 0 },
	{ "'gpt-4o':{'input':9,'output':9}",
	  { "openai", "gpt-4o", "", 1000000, 0, 0, 0, NULL }, "gpt-4o",
	  PRICE_DONE, INT64_C(9000000000) },
	{ "'openai/gpt-4o':{'input':9}",
	  { "openai", "gpt-4o", "", 1, 1, 0, 0, NULL }, "openai/gpt-4o",
	  PRICE_NO_RATE, 0 },
	{ "'a/m':{'input':1},'b/m':{'input':1}",
	  { "g", "m-2025-01-01", "", 1, 0, 0, 0, NULL }, NULL,
	  PRICE_NO_MATCH, 0 },
	{ "'demo-family':{'input':1},'demo-family-mini':{'input':2}",
	  { "x", "demo-family-mini-2026-01-01", "", 1000000, 0, 0, 0, NULL },
	  "demo-family-mini", PRICE_DONE, INT64_C(2000000000) },
	{ "'base-model':{'input':1}",
	  { "x", "base-model-pro", "", 1, 0, 0, 0, NULL }, NULL,
	  PRICE_NO_MATCH, 0 },
	{ "'m':{'input':1,'output':2,'modes':{'batch':{'input':'0.5'}}}",
	  { "x", "m", "batch", 1000000, 1000000, 0, 0, NULL }, "m", PRICE_DONE,
	  INT64_C(2500000000) },
};

START_TEST(overrides_come_first_and_block_what_is_behind)
{
	struct price_book *books[] = {
		flat(overrides[_i].override, "override"), golden,
	};
	const struct price_question q = question_of(&overrides[_i].call);
	const struct price_answer answer = ask(books, 2, &q);

	ck_assert_int_eq(answer.result, overrides[_i].result);
	if (overrides[_i].key != NULL) {
		ck_assert_str_eq(answer.model->key, overrides[_i].key);
		ck_assert_str_eq(price_book_name(answer.book), "override");
	}
	if (answer.result == PRICE_DONE) {
		ck_assert_int_eq(answer.nano, overrides[_i].nano);
	}
	price_book_destroy(books[0]);
}
END_TEST

START_TEST(says_which_rates_are_missing)
{
	struct price_book *book = flat("'m':{'input':1}", "b");
	const struct call call = { "", "m", "", 5, 5, 5, 0, NULL };
	const struct price_answer answer = ask_one(book, &call);

	ck_assert_uint_eq(answer.missing, 1u << PRICE_OUTPUT);
	price_book_destroy(book);
}
END_TEST

/* --- names --------------------------------------------------------------- */

static const char named[] =
	"{'schema':1,'providers':{"
	"'maker':{'aliases':['the.maker'],'models':{"
	"'big-4-5':{'aliases':['big-latest'],'prices':{'input':1}},"
	"'tiny':{'input':2},'tiny-2025-01-01':{'input':3},"
	"'twin-4.1':{'input':4},'twin-4-1':{'input':5}}},"
	"'cloud':{'prices-of':['the.maker'],'models':{'own':{'input':6}}},"
	"'house':{'models':{'*':{'input':0,'output':0}}}},"
	"'models':{'the.maker/last':{'input':7}}}";

static const struct {
	const char *provider, *model, *key, *how;
} names[] = {
	{ "maker", "big-4-5", "maker/big-4-5", "provider_model" },
	{ "the.maker", "big-4-5", "maker/big-4-5", "provider_model" },
	{ "maker", "big-latest", "maker/big-4-5", "alias" },
	{ "maker", "BIG-4.5", "maker/big-4-5", "canonical" },
	{ "maker", "us.big-4-5-v1:0", "maker/big-4-5", "canonical" },
	{ "maker", "big-4-5@20250929", "maker/big-4-5", "canonical" },
	{ "maker", "models/big-4.5:latest", "maker/big-4-5", "canonical" },
	{ "maker", "publishers/maker/models/Big-4-5", "maker/big-4-5",
	  "canonical" },
	{ "maker", "Big-4.5-20250929", "maker/big-4-5", "canonical" },
	{ "maker", "big-4-5-20250929", "maker/big-4-5", "dated_snapshot" },
	{ "maker", "tiny-2025-01-01", "maker/tiny-2025-01-01",
	  "provider_model" },
	{ "maker", "tiny-2025-01-02", "maker/tiny", "dated_snapshot" },
	{ "maker", "Twin-4.1", NULL, NULL },	/* two rows are it */
	{ "maker", "big-4-5-pro", NULL, NULL },
	{ "maker", "big", NULL, NULL },
	{ "cloud", "own", "cloud/own", "provider_model" },
	{ "cloud", "tiny", "maker/tiny", "fallback_provider" },
	{ "cloud", "Big-4.5", "maker/big-4-5", "fallback_provider" },
	{ "house", "anything:27b", "house/*", "provider_default" },
	{ "house", "tiny", "house/*", "provider_default" },
	{ "maker", "last", "maker/last", "provider_model" },
	{ "the.maker", "last", "maker/last", "provider_model" },
	{ "", "maker/tiny", "maker/tiny", "provider_model" },
	{ "", "maker/tiny-20250303", "maker/tiny", "dated_snapshot" },
	{ "stranger", "tiny", "maker/tiny", "unique_providerless_model" },
	{ "stranger", "*", NULL, NULL },
	{ "stranger", "", NULL, NULL },
};

START_TEST(a_name_means_one_row_or_none)
{
	struct price_book *book = good_book(named, "b");
	enum price_how how;
	const struct price_model *model = price_match(
		book, span(names[_i].provider), span(names[_i].model), &how);

	if (names[_i].key == NULL) {
		ck_assert_msg(model == NULL, "%s matched %s", names[_i].model,
		              model != NULL ? model->key : "");
	} else {
		ck_assert_msg(model != NULL, "%s", names[_i].model);
		ck_assert_str_eq(model->key, names[_i].key);
		ck_assert_str_eq(price_how_names[how], names[_i].how);
	}
	price_book_destroy(book);
}
END_TEST

/* --- times, tiers, modes, buckets ---------------------------------------- */

START_TEST(a_price_holds_from_its_day_on)
{
	struct price_book *book = flat(
		"'m':[{'from':'2026-01-02','input':2},"
		"{'from':'2025-01-01','until':'2026-01-01T12:00:00Z',"
		"'input':1}]", "b");
	static const struct { int64_t s; int64_t nano; } at[] = {
		{ 1735689599, -1 }, { 1735689600, 1000 },	/* 2025-01-01 */
		{ 1767268799, 1000 }, { 1767268800, -1 },	/* noon */
		{ 1767311999, -1 }, { 1767312000, 2000 },	/* 2026-01-02 */
	};
	const struct call call = { "", "m", "", 1, 0, 0, 0, NULL };

	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		struct price_question q = question_of(&call);
		q.at_us = at[i].s * 1000000;
		const struct price_answer answer = ask(&book, 1, &q);

		ck_assert_int_eq(answer.result, at[i].nano < 0
		                 ? PRICE_NOT_THEN : PRICE_DONE);
		if (at[i].nano >= 0) {
			ck_assert_int_eq(answer.nano, at[i].nano);
		}
	}
	price_book_destroy(book);
}
END_TEST

/* One that ends within another interrupts it. */
START_TEST(of_prices_that_hold_the_last_to_begin_counts)
{
	struct price_book *book = flat(
		"'m':[{'input':1,'until':'2026-06-01'},"
		"{'from':'2026-02-01','until':'2026-04-01','input':2},"
		"{'from':'2026-03-01','until':'2026-03-02','input':3}]", "b");
	static const struct { const char *at; int64_t nano; } times[] = {
		{ "2026-01-31T23:59:59.999999Z", 1000 },
		{ "2026-02-01T00:00:00Z", 2000 },
		{ "2026-03-01T00:00:00Z", 3000 },
		{ "2026-03-02T00:00:00Z", 2000 },
		{ "2026-04-01T00:00:00Z", 1000 },
		{ "2026-06-01T00:00:00Z", -1 },
	};
	const struct call call = { "", "m", "", 1, 0, 0, 0, NULL };

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		struct price_question q = question_of(&call);

		ck_assert(rfc3339_parse(times[i].at, strlen(times[i].at),
		                        &q.at_us));
		const struct price_answer a = ask(&book, 1, &q);

		ck_assert_int_eq(a.result, times[i].nano < 0
		                 ? PRICE_NOT_THEN : PRICE_DONE);
		ck_assert(times[i].nano < 0 || a.nano == times[i].nano);
	}
	price_book_destroy(book);
}
END_TEST

static const char tiered[] =
	"'m':{'input':1,'output':10,'cache_read':'0.1',"
	"'tiers':[{'above':200000,'input':2,'output':15},"
	"{'from':1000000,'input':4}],"
	"'modes':{'batch':{'input':'0.5','tiers':[{'above':200000,"
	"'input':'0.75'}]}}}";

/* Nano-dollars of input, output and cache reads: a cliff for all of them. */
static const struct {
	const char *mode;
	int64_t input, output, read, nano;
	const char *suffix;
} tiers[] = {
	{ "", 200000, 1, 0, 200010000, "" },
	{ "", 200001, 1, 0, 400017000, ">200000" },
	{ "", 100000, 0, 100001, 210000100, ">200000" },
	{ "", 999999, 0, 0, 1999998000, ">200000" },
	{ "", 1000000, 1, 0, INT64_C(4000010000), ">=1000000" },
	{ "batch", 10, 1, 0, 15000, "+batch" },
	{ "batch", 200001, 1, 0, 150015750, "+batch>200000" },
};

START_TEST(a_tier_is_a_cliff_for_the_whole_call)
{
	struct price_book *book = flat(tiered, "b");
	const struct call call = { "", "m", tiers[_i].mode, tiers[_i].input,
	                           tiers[_i].output, tiers[_i].read, 0, NULL };
	const struct price_answer answer = ask_one(book, &call);

	ck_assert_int_eq(answer.result, PRICE_DONE);
	ck_assert_str_eq(answer.card->suffix, tiers[_i].suffix);
	ck_assert_int_eq(answer.nano, tiers[_i].nano);
	price_book_destroy(book);
}
END_TEST

static const struct { const char *said; const char *mode; } modes[] = {
	{ "", "standard" }, { "standard", "standard" },
	{ "default", "standard" }, { "auto", "standard" },
	{ "ON_DEMAND", "standard" }, { "flex", "flex" },
	{ "priority", "priority" }, { "fast", "priority" },
	{ " flex ", "flex" }, { "Flex", "standard" }, { "scale", "standard" },
};

START_TEST(a_mode_is_what_the_provider_says_it_served)
{
	struct price_book *book = flat("'m':{'input':4,'modes':{'flex':"
	                               "{'input':2},'priority':{'input':8}}}",
	                               "b");
	const struct call call = { "", "m", modes[_i].said, 1, 0, 0, 0, NULL };
	const struct price_answer answer = ask_one(book, &call);

	ck_assert_str_eq(answer.period->modes[answer.mode], modes[_i].mode);
	price_book_destroy(book);
}
END_TEST

/* Peak hours of working days in Shanghai, where it is 8 hours later, and a
 * night without DST in New York. */
static const char windowed[] =
	"'m':{'input':10,'output':20,'reasoning':30,"
	"'tiers':[{'above':1000,'input':12}],"
	"'modes':{'batch':{'input':5}},"
	"'windows':["
	"{'name':'lunch','hours':'12:00-12:01','input':3,"
	"'modes':{'batch':{'input':1}},"
	"'tiers':[{'above':1000,'input':4}]},"
	"{'hours':['16:30-00:30','02:00-03:00'],"
	"'days':['fri','sat'],'days-zone':'Asia/Shanghai','input':2}]},"
	"'ny':{'input':10,'windows':[{'name':'night','hours':'22:00-06:00',"
	"'zone':'America/New_York','input':1}]},"
	"'we':{'input':10,'windows':[{'name':'weekend','days':['sat','sun'],"
	"'input':1}]}";

/* Nano-dollars of an input token, and of one in a batch, at a time. */
static const struct {
	const char *model, *at;
	int64_t input, batch;
	const char *suffix;
} window_times[] = {
	{ "m", "2026-11-21T11:59:59.999999Z", 10000, 5000, "" },
	{ "m", "2026-11-21T12:00:00Z", 3000, 1000, "~lunch" },
	{ "m", "2026-11-21T12:00:59.999999Z", 3000, 1000, "~lunch" },
	{ "m", "2026-11-21T12:01:00Z", 10000, 5000, "" },
	/* Thursday 16:30 in London is Friday in Shanghai; a batch has a price
	 * of its own that the window leaves alone. */
	{ "m", "2026-11-19T16:29:59Z", 10000, 5000, "" },
	{ "m", "2026-11-19T16:30:00Z", 2000, 5000, "~off-peak" },
	{ "m", "2026-11-20T00:29:59Z", 2000, 5000, "~off-peak" },
	{ "m", "2026-11-20T00:30:00Z", 10000, 5000, "" },
	{ "m", "2026-11-20T02:59:59Z", 2000, 5000, "~off-peak" },
	{ "m", "2026-11-20T03:00:00Z", 10000, 5000, "" },
	{ "m", "2026-11-21T15:00:00Z", 10000, 5000, "" },
	{ "m", "2026-11-21T16:30:00Z", 10000, 5000, "" },	/* Sunday */
	/* Before 2026-11-01 clocks were four hours behind, then five. */
	{ "ny", "2026-10-31T01:59:59Z", 10000, 10000, "" },
	{ "ny", "2026-10-31T02:00:00Z", 1000, 1000, "~night" },
	{ "ny", "2026-10-31T09:59:59Z", 1000, 1000, "~night" },
	{ "ny", "2026-10-31T10:00:00Z", 10000, 10000, "" },
	{ "ny", "2026-11-02T02:59:59Z", 10000, 10000, "" },
	{ "ny", "2026-11-02T03:00:00Z", 1000, 1000, "~night" },
	{ "ny", "2026-11-02T10:59:59Z", 1000, 1000, "~night" },
	{ "ny", "2026-11-02T11:00:00Z", 10000, 10000, "" },
	{ "we", "2026-11-20T23:59:59.999999Z", 10000, 10000, "" },
	{ "we", "2026-11-21T00:00:00Z", 1000, 1000, "~weekend" },
	{ "we", "2026-11-22T23:59:59.999999Z", 1000, 1000, "~weekend" },
	{ "we", "2026-11-23T00:00:00Z", 10000, 10000, "" },
	{ "we", "1969-12-27T00:00:00Z", 1000, 1000, "~weekend" },
	{ "we", "1969-12-29T00:00:00Z", 10000, 10000, "" },
};

static struct price_answer ask_at(struct price_book *book,
                                  const struct call *call, const char *at)
{
	struct price_question q = question_of(call);

	ck_assert(rfc3339_parse(at, strlen(at), &q.at_us));
	return ask(&book, 1, &q);
}

START_TEST(a_window_holds_by_the_clocks_at_the_time_of_the_call)
{
	struct price_book *book = flat(windowed, "b");
	struct call call = { "", window_times[_i].model, "", 1, 0, 0, 0, NULL };
	const char *at = window_times[_i].at;
	const struct price_answer answer = ask_at(book, &call, at);

	ck_assert_int_eq(answer.result, PRICE_DONE);
	ck_assert_msg(answer.nano == window_times[_i].input, "%s: %lld", at,
	              (long long)answer.nano);
	ck_assert_str_eq(answer.card->suffix, window_times[_i].suffix);
	call.mode = "batch";
	ck_assert_int_eq(ask_at(book, &call, at).nano,
	                 window_times[_i].batch);
	price_book_destroy(book);
}
END_TEST

/* What a window gives replaces the rate, a tier's too; what it leaves out is
 * that of other hours. */
START_TEST(a_window_gives_some_rates_and_leaves_the_others)
{
	struct price_book *book = flat(windowed, "b");
	const struct call lunch = { "", "m", "", 1001, 1, 0, 0, NULL };
	struct price_answer a = ask_at(book, &lunch, "2026-11-21T12:00:00Z");

	ck_assert_int_eq(a.nano, 1001 * 4000 + 20000);
	ck_assert_str_eq(a.card->suffix, ">1000~lunch");
	a = ask_at(book, &lunch, "2026-11-20T00:00:00Z");
	ck_assert_int_eq(a.nano, 1001 * 2000 + 20000);
	ck_assert_int_eq(a.card->rate[PRICE_REASONING],
	                 INT64_C(30) * 1000000000);
	a = ask_at(book, &lunch, "2026-11-20T01:00:00Z");
	ck_assert_int_eq(a.nano, 1001 * 12000 + 20000);
	price_book_destroy(book);
}
END_TEST

/* A tier that says nothing of a rate takes it from no mode. */
START_TEST(a_mode_keeps_its_rates_in_any_tier_of_a_window)
{
	struct price_book *book = flat(
		"'m':{'input':2,'output':4,'tiers':[{'above':1000,'output':9}],"
		"'modes':{'batch':{'input':1}},"
		"'windows':[{'input':'1.5','output':3}]}", "b");
	struct call call = { "", "m", "batch", 1000, 1, 0, 0, NULL };

	ck_assert_int_eq(ask_one(book, &call).nano, 1000 * 1000 + 3000);
	call.input = 1001;
	ck_assert_int_eq(ask_one(book, &call).nano, 1001 * 1000 + 3000);
	call.mode = "";
	ck_assert_int_eq(ask_one(book, &call).nano, 1001 * 1500 + 3000);
	price_book_destroy(book);
}
END_TEST

START_TEST(two_books_differ_in_the_order_of_windows)
{
	static const char *const windows[] = {
		"{'name':'a','hours':'00:00-08:00','input':1}",
		"{'name':'b','hours':'06:00-10:00','input':2}",
		"{'name':'c','hours':'07:00-11:00','input':3}",
	};
	static const struct { int first, second; size_t count; } orders[] = {
		{ 0, 1, 1 }, { 1, 0, 2 }, { 1, 2, 1 }, { 2, 1, 2 },
	};
	char text[300];

	snprintf(text, sizeof(text), "'m':{'input':2,'windows':[%s,%s,%s]}",
	         windows[0], windows[1], windows[2]);
	struct price_book *a = flat(text, "a");
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		snprintf(text, sizeof(text), "'m':{'input':2,'windows':[%s,%s]}",
		         windows[orders[i].first], windows[orders[i].second]);
		struct price_book *b = flat(text, "b");

		/* One is gone, and the others may have changed places. */
		ck_assert_uint_eq(price_diff(a, b, ignore, NULL),
		                  orders[i].count);
		ck_assert_uint_eq(price_diff(b, a, ignore, NULL),
		                  orders[i].count);
		price_book_destroy(b);
	}
	price_book_destroy(a);
}
END_TEST

START_TEST(two_books_differ_in_the_hours_of_a_window)
{
	static const char book[] = "'m':{'input':2,'windows':[{'hours':"
		"'%s-00:30','input':1}]}";
	char text[200];
	struct price_book *books[2];

	for (int i = 0; i < 2; i++) {
		snprintf(text, sizeof(text), book, i == 0 ? "16:30" : "16:31");
		books[i] = flat(text, "b");
	}
	ck_assert_uint_eq(price_diff(books[0], books[0], ignore, NULL), 0);
	ck_assert_uint_eq(price_diff(books[0], books[1], ignore, NULL), 2);
	price_book_destroy(books[0]);
	price_book_destroy(books[1]);
}
END_TEST

static const char regional[] =
	"'a/m':{'input':1,'output':3,'request':'0.001',"
	"'regions':{'eu':1.1,'us':'1.25','*':2}},"
	"'a/own':{'input':1,'regions':{'global':3,'eu':1.5}},"
	/* A token costs 1e-15 dollar. */
	"'a/tiny':{'input':'0.000000001','regions':{'eu':1.1,'us':1.25}}";

/* A region raises tokens, and not what is billed by the call; what was served
 * anywhere is no region.  The sum is exact before it is rounded. */
static const struct {
	const char *model, *region;
	int64_t input, output, nano;
	const char *rule;
} region_calls[] = {
	{ "m", "", 1000, 1000, 5000000, "b:a/m provider_model" },
	{ "m", "eu", 1000, 1000, 5400000, "b:a/m^eu provider_model" },
	{ "m", "us", 1000, 1000, 6000000, "b:a/m^us provider_model" },
	{ "m", "europe-west1", 1000, 1000, 9000000,
	  "b:a/m^* provider_model" },
	{ "m", "EU", 1000, 1000, 9000000, "b:a/m^* provider_model" },
	{ "m", "global", 1000, 1000, 5000000, "b:a/m provider_model" },
	{ "m", "not_available", 1000, 1000, 5000000, "b:a/m provider_model" },
	{ "own", "global", 1000, 0, 3000000, "b:a/own^global provider_model" },
	{ "own", "us", 1000, 0, 1000000, "b:a/own provider_model" },
	{ "tiny", "eu", 454545, 0, 0, "b:a/tiny^eu provider_model" },
	{ "tiny", "eu", 454546, 0, 1, "b:a/tiny^eu provider_model" },
	{ "tiny", "us", 400000, 0, 0, "b:a/tiny^us provider_model" },
	{ "tiny", "us", 1200000, 0, 2, "b:a/tiny^us provider_model" },
};

START_TEST(a_region_raises_what_tokens_cost)
{
	struct price_book *book = flat(regional, "b");
	const struct call call = {
		"a", region_calls[_i].model, "", region_calls[_i].input,
		region_calls[_i].output, 0, 0, NULL,
	};
	struct price_question q = question_of(&call);
	char rule[PRICES_RULE_SIZE];

	q.region = span(region_calls[_i].region);
	const struct price_answer a = ask(&book, 1, &q);
	ck_assert_int_eq(a.result, PRICE_DONE);
	ck_assert_int_eq(a.nano, region_calls[_i].nano);
	rule[prices_rule(&a, rule)] = '\0';
	ck_assert_str_eq(rule, region_calls[_i].rule);
	price_book_destroy(book);
}
END_TEST

START_TEST(two_books_differ_in_the_factor_of_a_region)
{
	struct price_book *a = flat("'m':{'input':2,'regions':{'eu':1.1}}",
	                            "b");
	struct price_book *b = flat("'m':{'input':2,'regions':{'eu':1.2,"
	                            "'us':1.1}}", "b");

	ck_assert_uint_eq(price_diff(a, a, ignore, NULL), 0);
	ck_assert_uint_eq(price_diff(a, b, ignore, NULL), 2);
	ck_assert_uint_eq(price_diff(b, a, ignore, NULL), 2);
	price_book_destroy(a);
	price_book_destroy(b);
}
END_TEST

START_TEST(every_sort_of_token_is_billed_once)
{
	struct price_book *book = flat(
		"'m':{'input':1,'cache_read':2,'cache_write':4,"
		"'cache_write_1h':8,'output':16,'reasoning':32,"
		"'request':'0.001'}", "b");
	struct price_question q = {
		.provider = span(""), .model = span("m"), .mode = span(""),
	};
	price_usage_set(&q.usage, PRICE_SAID_INPUT, 1000);
	price_usage_set(&q.usage, PRICE_SAID_CACHE_READ, 1000);
	price_usage_set(&q.usage, PRICE_SAID_CACHE_WRITE, 3000);
	price_usage_set(&q.usage, PRICE_SAID_CACHE_WRITE_1H, 1000);
	price_usage_set(&q.usage, PRICE_SAID_OUTPUT, 2000);
	price_usage_set(&q.usage, PRICE_SAID_THINKING, 1000);
	price_usage_set(&q.usage, PRICE_SAID_HIDDEN, 500);
	const struct price_answer answer = ask(&book, 1, &q);

	ck_assert_int_eq(answer.tokens[PRICE_CACHE_WRITE], 2000);
	ck_assert_int_eq(answer.tokens[PRICE_CACHE_WRITE_1H], 1000);
	ck_assert_int_eq(answer.tokens[PRICE_OUTPUT], 1500);
	ck_assert_int_eq(answer.tokens[PRICE_REASONING], 1500);
	/* 1 + 2 + 8 + 8 + 24 + 48 thousandths of a dollar, and one. */
	ck_assert_int_eq(answer.nano, 92000000);
	price_book_destroy(book);
}
END_TEST

static const char by_pieces[] =
	"'chat':{'input':1,'output':2,'web_search':'0.01',"
	"'regions':{'eu':2}},"
	"'prompt':{'input':1,'output':2,'web_search_call':'0.035'},"
	"'plain':{'input':1,'output':2},"
	"'paint':{'image':'0.04','modes':{'batch':{'image':'0.02'}},"
	"'windows':[{'hours':'00:00-00:00','days':['thu'],'image':'0.03'}]},"
	"'free':{'input':0,'output':0,'image':'0.04'},"
	"'scan':{'page':'0.001'},"
	"'hear':{'second':'0.0001'},"
	"'speak':{'character':15},"
	"'both':{'input':5,'output':5,'image':'0.01'}";

/* What was said, -1 for nothing, and what it costs; -1: not known, because of
 * the rates of `missing`, or because nothing was said. */
static const struct {
	const char *model, *mode, *region;
	int64_t input, searches, images, pages, ms, characters;
	int64_t nano;
	unsigned missing;
} piece_calls[] = {
	{ "chat", "", "", 1000, 3, -1, -1, -1, -1, 31000000, 0 },
	{ "chat", "", "eu", 1000, 3, -1, -1, -1, -1, 32000000, 0 },
	{ "chat", "", "", 1000, 0, -1, -1, -1, -1, 1000000, 0 },
	{ "chat", "", "", 1000, -1, -1, -1, -1, -1, 1000000, 0 },
	{ "prompt", "", "", 1000, 3, -1, -1, -1, -1, 36000000, 0 },
	{ "prompt", "", "", 1000, 0, -1, -1, -1, -1, 1000000, 0 },
	{ "plain", "", "", 1000, 1, -1, -1, -1, -1, -1, 1u << PRICE_SEARCH },
	{ "plain", "", "", 1000, 0, 7, 7, 7, 7, 1000000, 0 },
	{ "plain", "", "", 0, -1, 7, -1, -1, -1, -1, 1u << PRICE_IMAGE },
	{ "plain", "", "", -1, -1, 7, -1, -1, -1, -1, 1u << PRICE_IMAGE },
	{ "plain", "", "", -1, -1, 0, -1, -1, -1, 0, 0 },
	{ "paint", "", "", -1, -1, 2, -1, -1, -1, 80000000, 0 },
	{ "paint", "batch", "", -1, -1, 2, -1, -1, -1, 40000000, 0 },
	{ "paint", "", "", 9, -1, 2, -1, -1, -1, 80000000, 0 },
	{ "paint", "", "", 9, -1, 0, -1, -1, -1, 0, 0 },
	{ "paint", "", "", 9, -1, -1, -1, -1, -1, -1, 0 },
	{ "free", "", "", 9, -1, -1, -1, -1, -1, -1, 0 },
	{ "free", "", "", 9, -1, 1, -1, -1, -1, 40000000, 0 },
	/* What it is not billed by says nothing of what it is. */
	{ "paint", "", "", 9, -1, -1, 3, -1, -1, -1, 1u << PRICE_PAGE },
	{ "paint", "", "", 9, -1, -1, 0, -1, -1, -1, 0 },
	{ "free", "", "", 9, -1, -1, 0, -1, -1, -1, 0 },
	{ "speak", "", "", 9, -1, -1, -1, 700, -1, -1, 1u << PRICE_SECOND },
	{ "scan", "", "", -1, -1, -1, 12, -1, -1, 12000000, 0 },
	{ "hear", "", "", -1, -1, -1, -1, 90500, -1, 9050000, 0 },
	{ "hear", "", "", -1, -1, -1, 5, -1, -1, -1, 1u << PRICE_PAGE },
	{ "speak", "", "", -1, -1, -1, -1, 700, 1000, 15000000, 0 },
	{ "both", "", "", 1000, -1, 1, -1, -1, -1, 15000000, 0 },
	{ "both", "", "", 1000, -1, -1, -1, -1, -1, 5000000, 0 },
	{ "both", "", "", 1000, -1, -5, -1, -1, -1, 5000000, 0 },
};

START_TEST(pieces_are_billed_beside_tokens_or_in_their_place)
{
	struct price_book *book = flat(by_pieces, "b");
	const int64_t said[] = {
		piece_calls[_i].searches, piece_calls[_i].images,
		piece_calls[_i].pages, piece_calls[_i].ms,
		piece_calls[_i].characters,
	};
	struct price_question q = {
		.provider = span(""), .model = span(piece_calls[_i].model),
		.mode = span(piece_calls[_i].mode),
		.region = span(piece_calls[_i].region),
		.at_us = INT64_C(1780000000000000) - INT64_C(86400000000),
	};

	if (piece_calls[_i].input != -1) {
		price_usage_set(&q.usage, PRICE_SAID_INPUT,
		                piece_calls[_i].input);
	}
	for (int i = 0; i < 5; i++) {
		if (said[i] != -1) {
			price_usage_set(&q.usage, (enum price_count)(
				PRICE_SAID_SEARCHES + i), said[i]);
		}
	}
	const struct price_answer a = ask(&book, 1, &q);
	if (piece_calls[_i].nano >= 0) {
		ck_assert_int_eq(a.result, PRICE_DONE);
		ck_assert_int_eq(a.nano, piece_calls[_i].nano);
	} else if (piece_calls[_i].missing == 0) {
		ck_assert_int_eq(a.result, PRICE_NO_USAGE);
	} else {
		ck_assert_int_eq(a.result, PRICE_NO_RATE);
		ck_assert_uint_eq(a.missing, piece_calls[_i].missing);
	}
	price_book_destroy(book);
}
END_TEST

static const char by_modality[] =
	"'text':{'input':2,'output':8,'cache_read':'0.5'},"
	"'talk':{'input':4,'output':16,'cache_read':'0.4','audio_input':32,"
	"'audio_output':64,'image_input':5,'image_cache_read':'0.5',"
	"'reasoning':20,'regions':{'eu':2},"
	"'tiers':[{'above':100000,'input':8,'audio_input':40}],"
	"'modes':{'batch':{'input':2,'audio_input':16},'flex':{'input':3}},"
	"'windows':[{'hours':'00:00-00:00','days':['thu'],"
	"'audio_input':24}]},"
	"'pro':{'input':2,'output':12,'cache_read':'0.2',"
	"'audio_input':'input','image_output':'output',"
	"'tiers':[{'above':100000,'input':4}],"
	"'modes':{'batch':{'input':1}}},"
	"'flash':{'input':'0.3','output':'2.5','cache_read':'0.03',"
	"'audio_input':1,'audio_cache_read':'0.1'},"
	"'mixed':{'input':2,'output':8,'audio_input':9,"
	"'modes':{'batch':{'audio_input':'input'}}},"
	"'paint':{'input':5,'image_input':10,'image_output':40},"
	"'drawn':{'image':'0.04','image_output':30},"
	"'free':{'input':0,'output':0},"
	"'whisper':{'second':'0.0001'}";

/* input, read from a cache, output; of each those of sound, those of images;
 * -1: nothing was said.  What it costs in nano-dollars, -1: not known because
 * of the rates of `missing`. */
#define NO -1
static const struct {
	const char *model, *mode, *region;
	bool thursday;
	int64_t whole[3], audio[3], image[3];
	int64_t nano;
	unsigned missing;
} modal_calls[] = {
	/* Images that are read cost as text does; nothing else is taken for
	 * text. */
	{ "text", "", "", false, { 1000, NO, 100 }, { NO, NO, NO },
	  { 900, NO, NO }, 2800000, 0 },
	{ "text", "", "", false, { 1000, 1000, 0 }, { NO, NO, NO },
	  { 900, 500, NO }, 2500000, 0 },
	{ "text", "", "", false, { 1000, NO, 100 }, { 0, NO, 0 },
	  { NO, NO, NO }, 2800000, 0 },
	{ "text", "", "", false, { 1000, NO, 100 }, { 1, NO, NO },
	  { NO, NO, NO }, NO, 1u << PRICE_AUDIO_INPUT },
	{ "text", "", "", false, { 1000, 9, 100 }, { NO, 1, 1 }, { NO, NO, 1 },
	  NO, 1u << PRICE_AUDIO_CACHE_READ | 1u << PRICE_AUDIO_OUTPUT |
	  1u << PRICE_IMAGE_OUTPUT },
	/* 300 * 4 + 600 * 32 + 100 * 5, 20 * 16 + 80 * 64 */
	{ "talk", "", "", false, { 1000, NO, 100 }, { 600, NO, 80 },
	  { 100, NO, NO }, 26340000, 0 },
	{ "talk", "", "eu", false, { 1000, NO, 100 }, { 600, NO, 80 },
	  { 100, NO, NO }, 52680000, 0 },
	/* What is read from a cache is as dear as before, having no rate. */
	{ "talk", "", "", false, { 0, 1000, 0 }, { NO, 600, NO },
	  { NO, 100, NO }, 19370000, 0 },
	/* Modes, tiers and windows, with their fallbacks. */
	{ "talk", "batch", "", false, { 1000, NO, 0 }, { 600, NO, NO },
	  { NO, NO, NO }, 10400000, 0 },
	{ "talk", "flex", "", false, { 1000, NO, 0 }, { 600, NO, NO },
	  { NO, NO, NO }, 20400000, 0 },
	{ "talk", "", "", false, { 100001, NO, 0 }, { 100000, NO, NO },
	  { 1, NO, NO }, 4000005000, 0 },
	{ "talk", "", "", false, { 1, 100000, 0 }, { 1, 99999, NO },
	  { NO, 1, NO }, 4000000500, 0 },
	{ "talk", "", "", true, { 1000, NO, 0 }, { 600, NO, NO },
	  { NO, NO, NO }, 16000000, 0 },
	/* As text, wherever that is another rate. */
	{ "pro", "", "", false, { 1000, 500, 10 }, { 600, 400, NO },
	  { NO, NO, 10 }, 2220000, 0 },
	{ "pro", "batch", "", false, { 1000, NO, 0 }, { 600, NO, NO },
	  { NO, NO, NO }, 1000000, 0 },
	{ "pro", "", "", false, { 100001, NO, 0 }, { 100001, NO, NO },
	  { NO, NO, NO }, 400004000, 0 },
	{ "pro", "", "", false, { 1000, NO, 10 }, { NO, NO, 1 },
	  { NO, NO, NO }, NO, 1u << PRICE_AUDIO_OUTPUT },
	{ "mixed", "", "", false, { 1000, NO, 0 }, { 600, NO, NO },
	  { NO, NO, NO }, 6200000, 0 },
	{ "mixed", "batch", "", false, { 1000, 100, 0 }, { 600, 100, NO },
	  { NO, NO, NO }, 2200000, 0 },
	{ "flash", "", "", false, { 1000, 1000, 0 }, { 600, 1000, NO },
	  { NO, NO, NO }, 820000, 0 },
	/* Where images are made, text out has no rate and needs none. */
	{ "paint", "", "", false, { 50, NO, 4160 }, { NO, NO, NO },
	  { 40, NO, 4160 }, 166850000, 0 },
	{ "paint", "", "", false, { 50, NO, 4160 }, { NO, NO, NO },
	  { 40, NO, 4159 }, NO, 1u << PRICE_OUTPUT },
	/* Billed by tokens, though it has a rate for pieces. */
	{ "drawn", "", "", false, { 1, NO, 1 }, { NO, NO, NO },
	  { 1, NO, 1 }, NO, 1u << PRICE_IMAGE_INPUT },
	{ "free", "", "", false, { 1000, 10, 100 }, { 600, 10, 80 },
	  { 100, NO, 20 }, 0, 0 },
	{ "whisper", "", "", false, { 1000, NO, 100 }, { 1000, NO, NO },
	  { NO, NO, NO }, NO, 0 },
	/* More than the whole, and parts without one. */
	{ "talk", "", "", false, { 10, NO, 0 }, { 8, NO, NO }, { 8, NO, NO },
	  266000, 0 },
	{ "talk", "", "", false, { NO, NO, NO }, { 10, NO, -5 },
	  { NO, NO, NO }, 320000, 0 },
};

static void say(struct price_usage *usage, const int64_t said[3],
                enum price_count input, enum price_count cache_read,
                enum price_count output)
{
	const enum price_count counts[] = { input, cache_read, output };

	for (int i = 0; i < 3; i++) {
		if (said[i] != NO) {
			price_usage_set(usage, counts[i], said[i]);
		}
	}
}

START_TEST(sound_and_images_have_rates_of_their_own)
{
	struct price_book *book = flat(by_modality, "b");
	struct price_question q = {
		.provider = span(""), .model = span(modal_calls[_i].model),
		.mode = span(modal_calls[_i].mode),
		.region = span(modal_calls[_i].region),
		.at_us = INT64_C(1780000000000000) -
			(modal_calls[_i].thursday ? 0 : INT64_C(86400000000)),
	};

	say(&q.usage, modal_calls[_i].whole, PRICE_SAID_INPUT,
	    PRICE_SAID_CACHE_READ, PRICE_SAID_OUTPUT);
	say(&q.usage, modal_calls[_i].audio, PRICE_SAID_AUDIO_INPUT,
	    PRICE_SAID_AUDIO_CACHE_READ, PRICE_SAID_AUDIO_OUTPUT);
	say(&q.usage, modal_calls[_i].image, PRICE_SAID_IMAGE_INPUT,
	    PRICE_SAID_IMAGE_CACHE_READ, PRICE_SAID_IMAGE_OUTPUT);
	const struct price_answer a = ask(&book, 1, &q);

	if (modal_calls[_i].nano != NO) {
		ck_assert_int_eq(a.result, PRICE_DONE);
		ck_assert_int_eq(a.nano, modal_calls[_i].nano);
	} else if (modal_calls[_i].missing == 0) {
		ck_assert_int_eq(a.result, PRICE_NO_USAGE);
	} else {
		ck_assert_int_eq(a.result, PRICE_NO_RATE);
		ck_assert_uint_eq(a.missing, modal_calls[_i].missing);
	}
	price_book_destroy(book);
}
END_TEST

START_TEST(two_books_differ_in_what_costs_as_text)
{
	struct price_book *a = flat("'m':{'input':2,'audio_input':'input'}",
	                            "b");
	struct price_book *b = flat("'m':{'input':2,'audio_input':2}", "b");

	ck_assert_uint_eq(price_diff(a, a, ignore, NULL), 0);
	ck_assert_uint_eq(price_diff(a, b, ignore, NULL), 1);
	ck_assert_uint_eq(price_diff(b, a, ignore, NULL), 1);
	price_book_destroy(a);
	price_book_destroy(b);
}
END_TEST

START_TEST(what_nobody_said_is_not_zero)
{
	struct price_question q = {
		.provider = span("openai"), .model = span("gpt-5"),
		.mode = span(""), .at_us = INT64_C(1780000000000000),
	};

	ck_assert_int_eq(ask(&golden, 1, &q).result, PRICE_NO_USAGE);
	price_usage_set(&q.usage, PRICE_SAID_INPUT, 0);
	ck_assert_int_eq(ask(&golden, 1, &q).result, PRICE_DONE);
	q.model = span("");
	ck_assert_int_eq(ask(&golden, 1, &q).result, PRICE_NO_MODEL);
}
END_TEST

START_TEST(a_cost_that_no_number_holds_is_not_stored)
{
	struct price_book *book = flat("'m':{'input':1000000}", "b");
	const struct call call = { "", "m", "", INT64_MAX, 0, INT64_MAX,
	                           INT64_MAX, NULL };

	ck_assert_int_eq(ask_one(book, &call).result, PRICE_TOO_MUCH);
	price_book_destroy(book);
}
END_TEST

/* Parts that are more than their whole change no other bucket. */
START_TEST(contradictions_bill_nothing_twice)
{
	struct price_usage usage = { .known = 0 };
	int64_t tokens[PRICE_BUCKETS];

	price_usage_set(&usage, PRICE_SAID_OUTPUT, 10);
	price_usage_set(&usage, PRICE_SAID_HIDDEN, 11);
	price_usage_set(&usage, PRICE_SAID_CACHE_WRITE_1H, 5);
	price_usage_split(&usage, tokens);

	ck_assert_int_eq(tokens[PRICE_OUTPUT], 0);
	ck_assert_int_eq(tokens[PRICE_REASONING], 10);
	ck_assert_int_eq(tokens[PRICE_CACHE_WRITE], 0);
	ck_assert_int_eq(tokens[PRICE_CACHE_WRITE_1H], 5);

	price_usage_set(&usage, PRICE_SAID_CACHE_WRITE, 3);
	price_usage_split(&usage, tokens);
	ck_assert_int_eq(tokens[PRICE_CACHE_WRITE], 0);
	ck_assert_int_eq(tokens[PRICE_CACHE_WRITE_1H], 3);
}
END_TEST

/* --- what must hold of any call ------------------------------------------ */

/* The cost in a straightforward way: exact, as all of it fits. */
static long double by_hand(const struct price_answer *a)
{
	long double sum = 0;

	for (int b = 0; b < PRICE_BUCKETS; b++) {
		sum += (long double)a->tokens[b] *
			(long double)a->card->rate[b];
	}
	return sum / 1e6L;
}

START_TEST(any_call_costs_the_sum_of_its_parts)
{
	const size_t count = price_book_count(golden);

	srand(_i);
	for (int n = 0; n < 2000; n++) {
		const struct price_model *model =
			price_book_model(golden, (size_t)rand() % count);
		const struct call call = {
			"", model->key, rand() % 2 ? "batch" : "",
			rand() % 1000000, rand() % 100000, rand() % 1000000,
			rand() % 10000, NULL,
		};
		const struct price_answer a = ask_one(golden, &call);
		struct call twice = call;

		ck_assert_int_eq(a.result, PRICE_DONE);
		ck_assert_ptr_eq(a.model, model);
		ck_assert(fabsl(by_hand(&a) - (long double)a.nano) <= 0.5L);

		/* Twice the call is twice the sum, exactly. */
		twice.input *= 2;
		twice.output *= 2;
		twice.cache_read *= 2;
		twice.cache_write *= 2;
		ck_assert(ask_one(golden, &twice).sum == 2 * a.sum);
		/* More of anything never costs less. */
		twice = call;
		twice.output++;
		ck_assert(ask_one(golden, &twice).sum >= a.sum);
	}
}
END_TEST

/* --- records ------------------------------------------------------------- */

static void *take(struct bursar_arena *arena, size_t size)
{
	static char memory[PRICES_RULE_SIZE];

	(void)arena;
	ck_assert_uint_le(size, sizeof(memory));
	return memory;
}

static void put_text(struct bursar_record *record, const char *field,
                     const char *text)
{
	bursar_set_text(record, bursar_field_find(record->kind, field), text,
	                strlen(text));
}

static const struct bursar_value *value_of(const struct bursar_record *record,
                                           const char *field)
{
	return &record->values[bursar_field_find(record->kind, field)];
}

/* More names than are kept, some too long to be, in any order: what is kept
 * changes no answer. */
START_TEST(what_a_pricer_keeps_changes_no_price)
{
	struct bursar_arena arena = { take };
	const struct prices prices = {
		.books = { golden }, .book_count = 1,
		.unknown = PRICES_IGNORE,
	};
	const struct bursar_kind *kind = &schema.kinds[0];
	struct bursar_record *record = calloc(1, sizeof(*record) +
		kind->field_count * sizeof(record->values[0]));
	struct pricer *pricer = pricer_create(&prices, "here", false);

	ck_assert(record != NULL && pricer != NULL);
	record->kind = kind;
	srand(1);
	for (int n = 0; n < 20000; n++) {
		const struct price_model *model = price_book_model(
			golden, (size_t)rand() % price_book_count(golden));
		const char *name = model->key + model->provider_size + 1;
		char text[400], provider[40];

		snprintf(provider, sizeof(provider), "%.*s%d",
		         (int)model->provider_size, model->key, rand() % 40);
		snprintf(text, sizeof(text), "%s%s%.*s", name,
		         rand() % 3 == 0 ? "-2026-01-01" : "",
		         rand() % 5 == 0 ? rand() % 150 : 0,
		         "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		         "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		         "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
		memset(record->values, 0, kind->field_count *
		                          sizeof(record->values[0]));
		put_text(record, "provider", provider);
		put_text(record, "model_id", text);
		bursar_set_number(record, bursar_field_find(kind,
			"input_tokens"), n);
		ck_assert(pricer_price(pricer, record, &arena));

		struct price_question q = {
			.provider = span(provider), .model = span(text),
			.mode = span(""),
		};
		price_usage_set(&q.usage, PRICE_SAID_INPUT, n);
		const struct price_answer a = ask(&golden, 1, &q);
		const struct bursar_value *cost = value_of(record, "cost_usd");
		char rule[PRICES_RULE_SIZE];

		ck_assert_int_eq(cost->is_set, a.result == PRICE_DONE);
		if (a.result == PRICE_DONE) {
			ck_assert_int_eq(cost->number, a.nano);
			const struct bursar_value *said =
				value_of(record, "price_rule");
			ck_assert_uint_eq(said->size, prices_rule(&a, rule));
			ck_assert_mem_eq(said->text, rule, said->size);
		}
	}
	pricer_destroy(pricer);
	free(record);
}
END_TEST

static int64_t unpriced(const char *reason)
{
	return metric_get(metrics_get("bursar_records_unpriced_total", "", true,
	                              "source", "counter", "reason", reason,
	                              NULL));
}

/* Every record is counted once: as priced, or with its reason. */
START_TEST(each_record_is_counted_with_its_reason)
{
	static const struct { const char *model; int64_t in; } records[] = {
		{ "gpt-5", 1 }, { "gpt-5", 2 }, { "strange", 1 }, { "", 1 },
		{ "gpt-5", -1 }, { "strange", 1 },
	};
	struct bursar_arena arena = { take };
	const struct prices prices = {
		.books = { golden }, .book_count = 1,
		.unknown = PRICES_IGNORE,
	};
	const struct bursar_kind *kind = &schema.kinds[0];
	struct bursar_record *record = calloc(1, sizeof(*record) +
		kind->field_count * sizeof(record->values[0]));
	struct pricer *pricer = pricer_create(&prices, "counter", false);

	ck_assert(record != NULL && pricer != NULL);
	record->kind = kind;
	for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
		memset(record->values, 0, kind->field_count *
		                          sizeof(record->values[0]));
		put_text(record, "provider", "openai");
		if (records[i].model[0] != '\0') {
			put_text(record, "model_id", records[i].model);
		}
		if (records[i].in > 0) {
			bursar_set_number(record, bursar_field_find(kind,
				"input_tokens"), records[i].in);
		}
		ck_assert(pricer_price(pricer, record, &arena));
	}
	ck_assert_int_eq(metric_get(metrics_get("bursar_records_priced_total",
		"", true, "source", "counter", NULL)), 2);
	ck_assert_int_eq(unpriced("no-match"), 2);
	ck_assert_int_eq(unpriced("no-model"), 1);
	ck_assert_int_eq(unpriced("no-usage"), 1);
	ck_assert_int_eq(unpriced("no-rate"), 0);
	pricer_destroy(pricer);
	free(record);
}
END_TEST

/* --- what a book may say ------------------------------------------------- */

static const struct { const char *book, *want; } bad[] = {
	{ "[]", "a book of prices is an object" },
	{ "{", "no JSON at line 1" },
	{ "{'schema':2}", "'schema' has to be 1" },
	{ "{'schema':1,'modles':{}}", "'modles' is not known" },
	{ "{'schema':1,'currency':'EUR'}", "'currency' can only be 'USD'" },
	{ "{'schema':1,'unit':'1G tokens'}", "not '1G tokens'" },
	{ "{'schema':1,'models':[]}", "'models' is an object" },
	{ "{'schema':1,'models':{'a/b':{'input':-1}}}",
	  "a/b: input is -1, which is no price" },
	{ "{'schema':1,'models':{'a/b':{'input':null}}}",
	  "a/b: input is null, which is no price" },
	{ "{'schema':1,'models':{'a/b':{'input':'x1'}}}",
	  "a/b: input is \"x1\", which is no price" },
	{ "{'schema':1,'models':{'a/b':{'input':1000001}}}",
	  "a/b: input is 1000001, which is no price" },
	{ "{'schema':1,'models':{'a/b':{'inptu':1}}}",
	  "a/b: 'inptu' is not known; rates are" },
	{ "{'schema':1,'models':{'a/b':{}}}", "a/b: a price without a rate" },
	{ "{'schema':1,'models':{'a/b':null}}",
	  "a/b: a price is an object with rates" },
	{ "{'schema':1,'models':{'a/b':[]}}", "a/b: a model has 1 to 64" },
	{ "{'schema':1,'models':{'':{'input':1}}}", "a name has 1 to" },
	{ "{'schema':1,'models':{'a':{'input':1,'from':'soon'}}}",
	  "a: 'from' is \"soon\", which is no time" },
	{ "{'schema':1,'models':{'a':{'input':1,'from':'2025-02-30'}}}",
	  "which is no time" },
	{ "{'schema':1,'models':{'a':{'input':1,'from':'2025-02-01',"
	  "'until':'2025-02-01'}}}", "'until' is not after 'from'" },
	{ "{'schema':1,'models':{'a':[{'input':1},{'input':2}]}}",
	  "a: two prices hold from the same time on" },
	{ "{'schema':1,'models':{'a':{'input':1,'tiers':{}}}}",
	  "a: 'tiers' is a list" },
	{ "{'schema':1,'models':{'a':{'input':1,'tiers':[{'input':1}]}}}",
	  "a: a tier says 'above'" },
	{ "{'schema':1,'models':{'a':{'input':1,'tiers':[{'above':1,'from':2}]}"
	  "}}", "a: a tier says 'above'" },
	{ "{'schema':1,'models':{'a':{'input':1,'tiers':[{'above':5,"
	  "'inptu':1}]}}}", "'standard tier of 5.inptu' is not known" },
	{ "{'schema':1,'models':{'a':{'input':1,'modes':[]}}}",
	  "a: 'modes' is an object" },
	{ "{'schema':1,'models':{'a':{'input':1,'modes':{'batch':1}}}}",
	  "a: mode 'batch'" },
	{ "{'schema':1,'models':{'a':{'input':1,'modes':{'standard':"
	  "{'input':2}}}}}", "a: mode 'standard' is the standard one" },
	{ "{'schema':1,'models':{'a':{'input':1,'windows':[{'hours':"
	  "'01:00-02:00','modes':{'auto':{'input':2}}}]}}}",
	  "a: mode 'auto' is the standard one" },
	{ "{'schema':1,'models':{'a':{'input':1,'modes':{'batch':"
	  "{'output':'free'}}}}}",
	  "a: modes.batch.output is \"free\", which is no price" },
	{ "{'schema':1,'models':{'a':{'input':1,'windows':{}}}}",
	  "a: 'windows' is a list" },
	{ "{'schema':1,'models':{'a':{'input':1,'windows':[1]}}}",
	  "a: a window is an object" },
	{ "{'schema':1,'models':{'a':{'input':1,'windows':[{'name':''}]}}}",
	  "a: a window has a 'name'" },
	{ "{'schema':1,'models':{'a':{'input':1,'windows':[{'hours':[]}]}}}",
	  "a: a window has 'hours'" },
	{ "{'schema':1,'models':{'a':{'input':1,'windows':[{'hours':"
	  "'16:60-17:00'}]}}}", "a: a window has 'hours'" },
	{ "{'schema':1,'models':{'a':{'input':1,'windows':[{'hours':"
	  "'16:00-24:01'}]}}}", "a: a window has 'hours'" },
	{ "{'schema':1,'models':{'a':{'input':1,'windows':[{'hours':"
	  "'16-17'}]}}}", "a: a window has 'hours'" },
	{ "{'schema':1,'models':{'a':{'input':1,'windows':[{'days':"
	  "['noday']}]}}}", "a: a window has 'days'" },
	{ "{'schema':1,'models':{'a':{'input':1,'windows':[{'days':[]}]}}}",
	  "a: a window has 'days'" },
	{ "{'schema':1,'models':{'a':{'input':1,'windows':[{'zone':"
	  "'No/Where'}]}}}", "a: unknown time zone 'No/Where'" },
	{ "{'schema':1,'models':{'a':{'input':1,'windows':[{'days-zone':"
	  "'../etc'}]}}}", "a: unknown time zone '../etc'" },
	{ "{'schema':1,'models':{'a':{'input':1,'windows':[{'zone':1}]}}}",
	  "a: 'zone' of a window is the name" },
	{ "{'schema':1,'models':{'a':{'input':1,'windows':[{'inptu':1}]}}}",
	  "a: 'windows.off-peak.inptu' is not known" },
	{ "{'schema':1,'models':{'a':{'input':1,'regions':[]}}}",
	  "a: 'regions' is an object" },
	{ "{'schema':1,'models':{'a':{'input':1,'regions':{'eu':0.9}}}}",
	  "a: region 'eu': a region has" },
	{ "{'schema':1,'models':{'a':{'input':1,'regions':{'eu':101}}}}",
	  "a: region 'eu': a region has" },
	{ "{'schema':1,'models':{'a':{'input':1,'regions':{'':2}}}}",
	  "a: region '': a region has" },
	{ "{'schema':1,'models':{'a':{'input':1,'regions':{'eu':'x'}}}}",
	  "a: region 'eu': a region has" },
	{ "{'schema':1,'providers':{'a/b':{}}}", "a/b: a provider has a name" },
	{ "{'schema':1,'providers':{'a':{'model':{}}}}",
	  "a: 'model' is not known" },
	{ "{'schema':1,'providers':{'a':{'aliases':'b'}}}",
	  "a: 'aliases' is a list" },
	{ "{'schema':1,'providers':{'a':{'models':{'b':{'input':1}}}},"
	  "'models':{'a/b':{'input':1}}}", "a/b: it stands twice" },
	{ "{'schema':1,'providers':{'a':{'models':{"
	  "'b':{'aliases':['x'],'prices':{'input':1}},"
	  "'c':{'aliases':['x'],'prices':{'input':1}}}}}}",
	  "alias 'x' is one of another model" },
	{ "{'schema':1,'version':'0123456789012345678901234567890123456789x'}",
	  "'version' is a text of 1 to 40 bytes" },
	{ "{'schema':1,'version':'a\\nb'}", "'version' is a text" },
	{ "{'schema':1,'version':2}", "'version' is a text" },
	{ "{'schema':1,'models':{'a\\u001b[2Jb':{'input':1}}}",
	  "a name has 1 to 200 bytes, and no control characters" },
	{ "{'schema':1,'models':{'a':{'input':1,'modes':{'b\\u007f':"
	  "{'input':1}}}}}", "a mode has a name of at most 40 bytes without" },
	{ "{'schema':1,'models':{'a':{'input':1,'regions':{'b\\n':2}}}}",
	  "a region has a name of at most 40 bytes without" },
	{ "{'schema':1,'models':{'a':{'input':1,'windows':[{'name':'\\t'}]}}}",
	  "a: a window has a 'name'" },
	{ "{'schema':1,'models':{'*':{'input':1}}}",
	  "'*' is any model of a provider" },
	{ "{'schema':1,'models':{'a':{'input':1,'tiers':[{'above':9,'input':2}"
	  ",{'from':10,'input':3}]}}}",
	  "a: standard tier of 10: another one holds from the same prompt" },
	{ "{'schema':1,'models':{'a':{'input':1,'windows':[{'hours':"
	  "'01:00-02:00','input':2},{'name':'b','hours':['01:00-02:00'],"
	  "'zone':'UTC','input':3}]}}}",
	  "a: window 'b': another one holds at the same hours" },
	{ "{'schema':1,'providers':{'a':{'aliases':['c']},"
	  "'b':{'aliases':['c']}}}",
	  "provider 'b': its alias 'c' is a name of 'a', too" },
	{ "{'schema':1,'providers':{'a':{'aliases':['b']},'b':{}}}",
	  "provider 'a': its alias 'b' is a name of 'b', too" },
	{ "{'schema':1,'providers':{'a':{'aliases':['b'],'models':{"
	  "'x':{'input':1}}}},'models':{'b/x':{'input':1}}}",
	  "a/x: it stands twice" },
	{ "{'schema':1,'providers':{'a':{'prices-of':['b']}}}",
	  "provider 'a': 'prices-of' names 'b', whom the book does not" },
	{ "{'schema':1,'models':{'a':{'prices':{'input':1},'alias':[]}}}",
	  "a: 'alias' is not known" },
};

START_TEST(names_the_model_the_field_and_the_value_that_is_wrong)
{
	struct price_book *book = book_of(bad[_i].book, "b");

	ck_assert_msg(book == NULL, "taken: %s", bad[_i].book);
	ck_assert_uint_ge(findings.count, 1);
	ck_assert_msg(strstr(findings.items[0].text, bad[_i].want) != NULL,
	              "'%s' says nothing of '%s'", findings.items[0].text,
	              bad[_i].want);
	for (size_t i = 1; i < findings.count; i++) {
		ck_assert_str_ne(findings.items[i].text,
		                 findings.items[i - 1].text);
	}
}
END_TEST

/* A book whose one model, or list, has as many of something as is asked. */
static const struct {
	const char *before, *each, *after;	/* each: with a number in it */
	int         most;
	const char *says;
	int         less;		/* the numbers, than years */
} limits[] = {
	{ "{'schema':1,'models':{'m':[", "%s{'input':1,'from':'%d-01-01'}",
	  "]}}", 64, "m: a model has 1 to 64 prices" },
	{ "{'schema':1,'models':{'m':{'input':1,'modes':{",
	  "%s'mode%d':{'input':1}", "}}}}", 8, "m: more than 8 modes" },
	{ "{'schema':1,'models':{'m':{'input':1,'tiers':[",
	  "%s{'above':%d,'input':1}", "]}}}", 8, "m: more than 8 tiers" },
	{ "{'schema':1,'models':{'m':{'input':1,'regions':{", "%s'r%d':1.1",
	  "}}}}", 16, "m: 'regions' is an object of at most 16" },
	{ "{'schema':1,'models':{'m':{'input':1,'windows':[",
	  "%s{'hours':'%d:00-23:00','input':1}", "]}}}", 4,
	  "m: more than 4 windows", 1890 },
	{ "{'schema':1,'models':{'m':{'prices':{'input':1},'aliases':[",
	  "%s'a%d'", "]}}}", 64, "m: 'aliases' is a list of at most 64 names" },
	{ "{'schema':1,'models':{", "%s'm%d':{'input':1}", "}}", 20000,
	  "more than 20000 models" },
	{ "{'schema':1,'providers':{", "%s'p%d':{}", "}}", 2000,
	  "more than 2000 providers" },
};

START_TEST(every_list_of_a_book_has_an_end)
{
	for (int more = 0; more < 2; more++) {
		const int count = limits[_i].most + more;
		const size_t room = 200 + (size_t)count * 64;
		char *text = malloc(room);

		ck_assert_ptr_nonnull(text);
		size_t at = (size_t)snprintf(text, room, "%s",
		                             limits[_i].before);
		for (int n = 0; n < count; n++) {
			const char *each = strchr(limits[_i].each, '%') + 2;
			const char *number = strstr(each, "%d");

			at += (size_t)snprintf(text + at, room - at,
				"%s%.*s%d%s", n > 0 ? "," : "",
				(int)(number - each), each,
				1900 - limits[_i].less + n,
				number + 2);
		}
		snprintf(text + at, room - at, "%s", limits[_i].after);
		struct price_book *book = book_of(text, "b");
		ck_assert_msg((book != NULL) == (more == 0), "%d", count);
		ck_assert(more == 0 || strstr(findings.items[0].text,
		                              limits[_i].says) != NULL);
		price_book_destroy(book);
		free(text);
	}
}
END_TEST

START_TEST(names_and_files_have_an_end)
{
	static const char begin[] = "{'schema':1,'models':{'", end[] =
		"':{'input':1}}}";
	char text[PRICE_MAX_NAME + 100];

	for (int more = 0; more < 2; more++) {
		snprintf(text, sizeof(text), "%s%0*d%s", begin,
		         PRICE_MAX_NAME + more, 7, end);
		struct price_book *book = book_of(text, "b");
		ck_assert_int_eq(book != NULL, more == 0);
		price_book_destroy(book);
	}
	ck_assert_ptr_nonnull(strstr(findings.items[0].text,
	                             "a name has 1 to 200 bytes"));
	ck_assert_ptr_null(price_book_load("/dev/zero", "b", &to));
	ck_assert_ptr_nonnull(strstr(findings.items[1].text,
	                             "longer than 16 MB"));
}
END_TEST

START_TEST(finds_all_mistakes_at_once)
{
	ck_assert_ptr_null(book_of("{'schema':1,'models':{'a':{'input':-1},"
	                           "'b':{'output':-1}}}", "b"));
	ck_assert_uint_eq(findings.count, 2);
}
END_TEST

START_TEST(a_version_tells_books_of_one_name_apart)
{
	struct price_book *a = good_book("{'schema':1,'version':'v',"
	                                 "'models':{'m':{'input':1}}}", "b");
	struct price_book *b = good_book("{'schema':1,'version':'v',"
	                                 "'models':{'m':{'input':2}}}", "b");

	ck_assert_int_eq(strncmp(price_book_version(a), "v.", 2), 0);
	ck_assert_uint_eq(strlen(price_book_version(a)), 10);
	ck_assert_str_ne(price_book_version(a), price_book_version(b));
	price_book_destroy(a);
	price_book_destroy(b);
}
END_TEST

START_TEST(units_are_those_of_the_book)
{
	struct price_book *token = good_book(
		"{'schema':1,'unit':'token','models':{'m':{'input':3e-06}}}",
		"b");
	struct price_book *thousand = good_book(
		"{'schema':1,'unit':'1K tokens','models':{'m':{'input':0.003}}}",
		"b");
	const struct call call = { "", "m", "", 1000000, 0, 0, 0, NULL };

	ck_assert_int_eq(ask_one(token, &call).nano, INT64_C(3000000000));
	ck_assert_int_eq(ask_one(thousand, &call).nano, INT64_C(3000000000));
	price_book_destroy(token);
	price_book_destroy(thousand);
}
END_TEST

START_TEST(the_rule_says_book_row_time_mode_and_tier)
{
	struct price_book *book = flat(
		"'a/m':{'from':'2025-01-01','input':1,'tiers':[{'above':5,"
		"'input':2}],'modes':{'batch':{'input':1}}}", "mine");
	const struct call call = { "a", "m-20260101", "batch", 6, 0, 0, 0,
	                           NULL };
	const struct price_answer answer = ask_one(book, &call);
	char rule[PRICES_RULE_SIZE];

	ck_assert_int_eq(answer.result, PRICE_DONE);
	rule[prices_rule(&answer, rule)] = '\0';
	ck_assert_str_eq(rule, "mine:a/m@2025-01-01+batch>5 dated_snapshot");
	price_book_destroy(book);
}
END_TEST

/* --- the book that comes with the program -------------------------------- */

START_TEST(the_built_in_book_is_good)
{
	const struct price_book *book = price_book_builtin();

	ck_assert_uint_ge(price_book_count(book), 60);
	for (size_t i = 0; i < price_book_count(book); i++) {
		const struct price_model *m = price_book_model(book, i);

		ck_assert_uint_gt(m->provider_size, 0);
		for (size_t p = 0; p < m->period_count; p++) {
			const struct price_period *period = &m->periods[p];
			const int64_t *rate = period->cards[0].rate;

			/* Nothing costs more than $1000 a million. */
			for (int r = 0; r < PRICE_BUCKETS; r++) {
				ck_assert_int_le(rate[r],
				                 INT64_C(1000000000000));
			}
			/* Nor a search more than five cents. */
			ck_assert_int_le(rate[PRICE_SEARCH], PRICE_MAX / 20);
			ck_assert_int_le(rate[PRICE_SEARCH_CALL],
			                 PRICE_MAX / 20);
			ck_assert_int_gt(rate[PRICE_INPUT], 0);
			ck_assert_int_le(rate[PRICE_CACHE_READ],
			                 rate[PRICE_INPUT]);
		}
	}
}
END_TEST

/* Thousandths of the input price for what a cache is read: a tenth, but for
 * these. */
static int64_t read_part(const struct price_model *model, size_t period)
{
	static const struct { const char *key; size_t from; int64_t part; }
	others[] = {
		{ "anthropic/claude-3-haiku", 0, 120 },
		{ "anthropic/claude-opus-5-5", 0, 50 },
		{ "anthropic/claude-sonnet-5-5", 1, 50 },
		{ "anthropic/claude-fable-5-1", 0, 25 },
		{ "anthropic/claude-fable-5-2", 0, 25 },
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (strcmp(model->key, others[i].key) == 0 &&
		    period >= others[i].from) {
			return others[i].part;
		}
	}
	return 100;
}

/* Invariants of Anthropic's list: half for batches, twice for an hour. */
START_TEST(the_built_in_book_keeps_the_rules_of_its_providers)
{
	const struct price_book *book = price_book_builtin();
	size_t seen = 0;

	for (size_t i = 0; i < price_book_count(book); i++) {
		const struct price_model *m = price_book_model(book, i);

		if (strncmp(m->key, "anthropic/", 10) != 0) {
			continue;
		}
		for (size_t p = 0; p < m->period_count; p++) {
			const struct price_period *period = &m->periods[p];
			const size_t n = period->tier_count;

			for (size_t t = 0; t < n; t++) {
				const int64_t *r = period->cards[t].given;
				const int64_t *b = period->cards[n + t].given;

				ck_assert_int_eq(b[PRICE_INPUT] * 2,
				                 r[PRICE_INPUT]);
				ck_assert_int_eq(b[PRICE_OUTPUT] * 2,
				                 r[PRICE_OUTPUT]);
				ck_assert_int_eq(r[PRICE_CACHE_WRITE_1H],
				                 r[PRICE_INPUT] * 2);
				ck_assert_int_eq(
					r[PRICE_CACHE_READ] * 1000,
					r[PRICE_INPUT] * read_part(m, p));
				seen++;
			}
		}
	}
	ck_assert_uint_ge(seen, 25);
}
END_TEST

/* Dates, tiers, modes, windows and regions of rows that have them. */
#define M 1000000
static const struct {
	struct call call;
	const char *region;
	int64_t     nano;
} listed[] = {
	{ { "anthropic", "claude-haiku-5-5", "", 100000, 0, 0, 0,
	    "2026-11-21T00:00:00Z" }, "", 10000000 },
	{ { "anthropic", "claude-haiku-5-5", "", 100001, 0, 0, 0,
	    "2026-11-21T00:00:00Z" }, "", 50000500 },
	{ { "anthropic", "claude-sonnet-5-5", "", 0, 0, M, 0,
	    "2026-10-06T23:59:59Z" }, "", 200000000 },
	{ { "anthropic", "claude-sonnet-5-5", "", 0, 0, M, 0,
	    "2026-10-07T00:00:00Z" }, "", 100000000 },
	{ { "anthropic", "claude-mythos-5-2", "", M, 0, 0, 0,
	    "2026-11-21T00:00:00Z" }, "us", 8800000000 },
	{ { "anthropic", "claude-opus-4-5", "", M, 0, 0, 0,
	    "2026-11-21T00:00:00Z" }, "us", 5000000000 },
	{ { "anthropic", "claude-opus-4-6", "fast", 200001, 0, 0, 0,
	    "2026-03-12T23:59:59Z" }, "", INT64_C(12000060000) },
	{ { "anthropic", "claude-opus-4-6", "fast", 200001, 0, 0, 0,
	    "2026-03-13T00:00:00Z" }, "", INT64_C(6000030000) },
	{ { "anthropic", "claude-opus-4-7", "fast", 0, 0, M, 0,
	    "2026-06-01T00:00:00Z" }, "us", INT64_C(3300000000) },
	{ { "anthropic", "claude-opus-5", "fast", 0, M, 0, 0,
	    "2026-11-21T00:00:00Z" }, "", INT64_C(50000000000) },
	{ { "openai", "gpt-5.4", "batch", 300000, 0, 0, 0,
	    "2026-11-21T00:00:00Z" }, "", 750000000 },
	{ { "openai", "gpt-5.4-pro", "batch", 300000, 0, 0, 0,
	    "2026-11-21T00:00:00Z" }, "", 9000000000 },
	{ { "openai", "gpt-5.6", "", 272000, 0, 0, 0,
	    "2026-08-20T23:59:59Z" }, "", 1360000000 },
	{ { "openai", "gpt-5.6", "", 272000, 0, 0, 0,
	    "2026-08-21T00:00:00Z" }, "", 1088000000 },
	{ { "openai", "gpt-6-luna", "batch", 300000, 0, 0, 0,
	    "2026-11-21T00:00:00Z" }, "eu", 33000000 },
	{ { "openai", "gpt-6.2-sol", "priority", 0, M, 0, 0,
	    "2026-11-21T00:00:00Z" }, "", 20000000000 },
	{ { "xai", "grok-4.7", "", 199999, 0, 0, 0,
	    "2026-11-21T00:00:00Z" }, "", 399998000 },
	{ { "xai", "grok-4.7", "", 200000, 0, 0, 0,
	    "2026-11-21T00:00:00Z" }, "us", 880000000 },
	{ { "deepseek", "deepseek-v4-flash", "", M, 0, 0, 0,
	    "2026-08-16T15:59:59Z" }, "", 140000000 },
	{ { "deepseek", "deepseek-v4-flash", "", M, 0, 0, 0,
	    "2026-08-22T01:00:00Z" }, "", 440000000 },
	{ { "deepseek", "deepseek-v4-flash", "", M, 0, 0, 0,
	    "2026-08-23T01:00:00Z" }, "", 220000000 },
	{ { "deepseek", "deepseek-flash", "", M, 0, 0, 0,
	    "2026-11-20T03:59:59Z" }, "", 300000000 },
	{ { "deepseek", "deepseek-flash", "", M, 0, 0, 0,
	    "2026-11-20T04:00:00Z" }, "", 150000000 },
	{ { "deepseek", "deepseek-flash", "", M, 0, 0, 0,
	    "2026-11-21T03:59:59Z" }, "", 150000000 },
	{ { "gemini", "gemini-3.8-flash", "", M, 0, 0, 0,
	    "2026-12-31T23:59:59Z" }, "", 750000000 },
	{ { "gemini", "gemini-3.8-flash", "", M, 0, 0, 0,
	    "2027-01-01T00:00:00Z" }, "", 1500000000 },
	{ { "mistral", "mistral-medium-3.5", "", M, 0, 0, 0,
	    "2026-11-21T00:00:00Z" }, "", 1500000000 },
};
#undef M

START_TEST(the_built_in_book_has_what_its_providers_list)
{
	const struct call *call = &listed[_i].call;
	struct price_book *book = price_book_builtin();
	struct price_question q = question_of(call);

	ck_assert(rfc3339_parse(call->at, strlen(call->at), &q.at_us));
	q.region = span(listed[_i].region);
	ck_assert_int_eq(ask(&book, 1, &q).nano, listed[_i].nano);
}
END_TEST

/* A million tokens of sound or of images, as the providers list them. */
static const struct {
	const char *provider, *model, *mode;
	enum price_count whole, part;
	int64_t nano;
} listed_modal[] = {
	{ "openai", "gpt-4o-audio-preview", "", PRICE_SAID_INPUT,
	  PRICE_SAID_AUDIO_INPUT, INT64_C(40000000000) },
	{ "openai", "gpt-audio-2025-08-28", "", PRICE_SAID_OUTPUT,
	  PRICE_SAID_AUDIO_OUTPUT, INT64_C(64000000000) },
	{ "openai", "gpt-realtime-2", "", PRICE_SAID_CACHE_READ,
	  PRICE_SAID_AUDIO_CACHE_READ, 400000000 },
	{ "openai", "gpt-realtime-1.5", "", PRICE_SAID_CACHE_READ,
	  PRICE_SAID_IMAGE_CACHE_READ, 500000000 },
	{ "openai", "gpt-image-1", "", PRICE_SAID_OUTPUT,
	  PRICE_SAID_IMAGE_OUTPUT, INT64_C(40000000000) },
	{ "gemini", "gemini-2.5-flash", "", PRICE_SAID_INPUT,
	  PRICE_SAID_AUDIO_INPUT, 1000000000 },
	{ "gemini", "gemini-2.5-flash", "batch", PRICE_SAID_INPUT,
	  PRICE_SAID_AUDIO_INPUT, 500000000 },
	{ "gemini", "gemini-2.5-flash", "", PRICE_SAID_INPUT,
	  PRICE_SAID_IMAGE_INPUT, 300000000 },
	{ "vertex_ai", "gemini-2.5-pro", "batch", PRICE_SAID_INPUT,
	  PRICE_SAID_AUDIO_INPUT, 1250000000 },
	{ "gemini", "gemini-2.5-pro", "", PRICE_SAID_CACHE_READ,
	  PRICE_SAID_AUDIO_CACHE_READ, 250000000 },
	{ "anthropic", "claude-opus-4-5", "", PRICE_SAID_INPUT,
	  PRICE_SAID_IMAGE_INPUT, 5000000000 },
	{ "openai", "gpt-4o", "", PRICE_SAID_INPUT, PRICE_SAID_AUDIO_INPUT,
	  -1 },
};

START_TEST(the_built_in_book_knows_what_is_no_text)
{
	struct price_book *book = price_book_builtin();
	struct price_question q = {
		.provider = span(listed_modal[_i].provider),
		.model = span(listed_modal[_i].model),
		.mode = span(listed_modal[_i].mode), .region = span(""),
		.at_us = INT64_C(1795219200000000),	/* November 2026 */
	};

	price_usage_set(&q.usage, listed_modal[_i].whole, 1000000);
	price_usage_set(&q.usage, listed_modal[_i].part, 1000000);
	const struct price_answer a = ask(&book, 1, &q);

	ck_assert_int_eq(a.result, listed_modal[_i].nano < 0 ? PRICE_NO_RATE
	                                                     : PRICE_DONE);
	if (listed_modal[_i].nano >= 0) {
		ck_assert_int_eq(a.nano, listed_modal[_i].nano);
	}
}
END_TEST

/* Three searches: each for a cent, or once for the prompt. */
START_TEST(the_built_in_book_knows_what_searches_cost)
{
	static const struct { const char *model; int64_t nano; } found[] = {
		{ "anthropic/claude-sonnet-4-5", 30000000 },
		{ "openai/gpt-5", 30000000 },
		{ "gemini/gemini-2.5-pro", 35000000 },
		{ "gemini/gemini-3-pro-preview", 42000000 },
		{ "xai/grok-4.7", 15000000 },
	};
	struct price_book *book = price_book_builtin();

	for (size_t i = 0; i < sizeof(found) / sizeof(found[0]); i++) {
		const struct call call = { "", found[i].model, "", 0, 0, 0, 0,
		                           NULL };
		struct price_question q = question_of(&call);

		price_usage_set(&q.usage, PRICE_SAID_SEARCHES, 3);
		ck_assert_int_eq(ask(&book, 1, &q).nano, found[i].nano);
	}
}
END_TEST

/* As they come from clouds and gateways. */
static const struct {
	const char *provider, *model, *key;
} in_the_wild[] = {
	{ "openai", "gpt-5-2025-08-07", "openai/gpt-5" },
	{ "azure", "gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini" },
	{ "azure.ai.openai", "gpt-4.1", "openai/gpt-4.1" },
	{ "anthropic", "claude-sonnet-4-5-20250929",
	  "anthropic/claude-sonnet-4-5" },
	{ "anthropic", "claude-sonnet-4.5", "anthropic/claude-sonnet-4-5" },
	{ "vertex_ai", "claude-sonnet-4-5@20250929",
	  "anthropic/claude-sonnet-4-5" },
	{ "gcp.vertex_ai", "gemini-2.5-pro", "gemini/gemini-2.5-pro" },
	{ "google", "models/gemini-2.5-flash", "gemini/gemini-2.5-flash" },
	{ "aws.bedrock", "us.amazon.nova-pro-v1:0",
	  "bedrock/amazon.nova-pro-v1:0" },
	{ "bedrock", "anthropic.claude-3-5-sonnet-20241022-v2:0",
	  "bedrock/anthropic.claude-3-5-sonnet-20241022-v2:0" },
	{ "openrouter", "openai/gpt-4o", "openai/gpt-4o" },
	{ "ollama", "qwen3.5:27b", NULL },
};

START_TEST(the_built_in_book_knows_names_from_the_wild)
{
	enum price_how how;
	const struct price_model *model = price_match(
		price_book_builtin(), span(in_the_wild[_i].provider),
		span(in_the_wild[_i].model), &how);

	if (in_the_wild[_i].key == NULL) {
		ck_assert_ptr_null(model);
		return;
	}
	ck_assert_msg(model != NULL, "%s", in_the_wild[_i].model);
	ck_assert_str_eq(model->key, in_the_wild[_i].key);
}
END_TEST

#define LOOP(t, test, table) \
	tcase_add_loop_test(t, test, 0, sizeof(table) / sizeof((table)[0]))

static Suite *suite(void)
{
	Suite *s = suite_create("prices");
	TCase *t = tcase_create("prices");

	tcase_add_checked_fixture(t, setup, teardown);
	LOOP(t, reads_prices_without_a_rounding_of_its_own, amounts);
	LOOP(t, rounds_once_and_half_to_even, roundings);
	tcase_add_test(t, a_sum_that_no_number_holds_is_refused);
	tcase_add_test(t, shows_sums_with_all_their_digits);
	LOOP(t, golden_calls_cost_what_they_cost, calls);
	tcase_add_loop_test(
		t, the_first_book_that_has_the_row_answers_wherever_it_stands,
		0, PRICES_BOOKS * sizeof(calls) / sizeof(calls[0]));
	LOOP(t, overrides_come_first_and_block_what_is_behind, overrides);
	tcase_add_test(t, says_which_rates_are_missing);
	LOOP(t, a_name_means_one_row_or_none, names);
	tcase_add_test(t, a_price_holds_from_its_day_on);
	tcase_add_test(t, of_prices_that_hold_the_last_to_begin_counts);
	LOOP(t, a_tier_is_a_cliff_for_the_whole_call, tiers);
	LOOP(t, a_mode_is_what_the_provider_says_it_served, modes);
	LOOP(t, a_window_holds_by_the_clocks_at_the_time_of_the_call,
	     window_times);
	tcase_add_test(t, a_window_gives_some_rates_and_leaves_the_others);
	tcase_add_test(t, a_mode_keeps_its_rates_in_any_tier_of_a_window);
	tcase_add_test(t, two_books_differ_in_the_order_of_windows);
	tcase_add_test(t, two_books_differ_in_the_hours_of_a_window);
	LOOP(t, a_region_raises_what_tokens_cost, region_calls);
	tcase_add_test(t, two_books_differ_in_the_factor_of_a_region);
	tcase_add_test(t, every_sort_of_token_is_billed_once);
	LOOP(t, sound_and_images_have_rates_of_their_own, modal_calls);
	tcase_add_test(t, two_books_differ_in_what_costs_as_text);
	LOOP(t, pieces_are_billed_beside_tokens_or_in_their_place,
	     piece_calls);
	tcase_add_test(t, what_nobody_said_is_not_zero);
	tcase_add_test(t, a_cost_that_no_number_holds_is_not_stored);
	tcase_add_test(t, contradictions_bill_nothing_twice);
	tcase_add_loop_test(t, any_call_costs_the_sum_of_its_parts, 0, 4);
	tcase_add_test(t, what_a_pricer_keeps_changes_no_price);
	tcase_add_test(t, each_record_is_counted_with_its_reason);
	LOOP(t, names_the_model_the_field_and_the_value_that_is_wrong, bad);
	LOOP(t, every_list_of_a_book_has_an_end, limits);
	tcase_add_test(t, names_and_files_have_an_end);
	tcase_add_test(t, finds_all_mistakes_at_once);
	tcase_add_test(t, a_version_tells_books_of_one_name_apart);
	tcase_add_test(t, units_are_those_of_the_book);
	tcase_add_test(t, the_rule_says_book_row_time_mode_and_tier);
	tcase_add_test(t, the_built_in_book_is_good);
	tcase_add_test(t, the_built_in_book_knows_what_searches_cost);
	tcase_add_test(t, the_built_in_book_keeps_the_rules_of_its_providers);
	LOOP(t, the_built_in_book_has_what_its_providers_list, listed);
	LOOP(t, the_built_in_book_knows_what_is_no_text, listed_modal);
	LOOP(t, the_built_in_book_knows_names_from_the_wild, in_the_wild);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());

	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
