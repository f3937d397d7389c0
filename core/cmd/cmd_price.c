/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bursar price: what a call costs and why, and the books that say so.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "book/command.h"
#include "book/priced.h"
#include "book/reprice.h"
#include "cli/table.h"
#include "cmd/commands.h"
#include "common/regular.h"
#include "price/price_book.h"
#include "price/price_diff.h"
#include "price/price_explain.h"
#include "price/price_import.h"

enum { ID, PROVIDER, MODE, REGION, AT, INPUT, CACHE_READ, CACHE_WRITE,
       CACHE_WRITE_1H, OUTPUT, THINKING, AUDIO_INPUT, AUDIO_CACHE_READ,
       AUDIO_OUTPUT, IMAGE_INPUT, IMAGE_CACHE_READ, IMAGE_OUTPUT, SEARCHES,
       IMAGES, PAGES, MEDIA_MS, CHARACTERS, BOOK, AS, SINCE, UNTIL, SINK,
       FORMAT };

static const struct cli_option options[] = {
	[ID]       = { "id", 0, "MESSAGE_ID", "Explain the price of a stored "
	               "record." },
	[PROVIDER] = { "provider", 'p', "NAME", "Who served the model." },
	[MODE]     = { "mode", 'm', "MODE", "The mode or service tier: batch, "
	               "priority, flex ..." },
	[REGION]   = { "region", 0, "REGION", "Where it was served: eu, us, "
	               "europe-west1 ..." },
	[AT]       = { "at", 0, "TIME", "When: a date, or RFC 3339 (default: "
	               "now)." },
	[INPUT]    = { "input", 0, "N", "Tokens in that came from no cache "
	               "(default, as for --output: 1 where no count is "
	               "given)." },
	[CACHE_READ] = { "cache-read", 0, "N", "Tokens read from a cache." },
	[CACHE_WRITE] = { "cache-write", 0, "N", "Tokens put into a cache." },
	[CACHE_WRITE_1H] = { "cache-write-1h", 0, "N", "Of those, tokens kept "
	               "for an hour." },
	[OUTPUT]   = { "output", 0, "N", "Tokens out." },
	[THINKING] = { "thinking", 0, "N", "Tokens of reasoning beside the "
	               "output." },
	[AUDIO_INPUT] = { "audio-input", 0, "N", "Of the tokens in, those "
	               "of sound." },
	[AUDIO_CACHE_READ] = { "audio-cache-read", 0, "N", "Of those read "
	               "from a cache, those of sound." },
	[AUDIO_OUTPUT] = { "audio-output", 0, "N", "Of the tokens out, "
	               "those of sound." },
	[IMAGE_INPUT] = { "image-input", 0, "N", "Of the tokens in, those "
	               "of images and film." },
	[IMAGE_CACHE_READ] = { "image-cache-read", 0, "N", "Of those read "
	               "from a cache, those of images and film." },
	[IMAGE_OUTPUT] = { "image-output", 0, "N", "Of the tokens out, "
	               "those of images." },
	[SEARCHES] = { "web-searches", 0, "N", "Searches of the web." },
	[IMAGES]   = { "images", 0, "N", "Images made." },
	[PAGES]    = { "pages", 0, "N", "Pages read." },
	[MEDIA_MS] = { "media-ms", 0, "N", "Length of sound or film, ms." },
	[CHARACTERS] = { "characters", 0, "N", "Characters spoken." },
	[BOOK]     = { "book", 'b', "FILE", "Ask this book and the built-in "
	               "one, and no configuration." },
	[AS]       = { "as", 0, "VERSION", "Version of the book that import "
	               "writes." },
	[SINCE]    = COMMAND_OPTION_SINCE,
	[UNTIL]    = COMMAND_OPTION_UNTIL,
	[SINK]     = COMMAND_OPTION_SINK,
	[FORMAT]   = CLI_OPTION_FORMAT,
	{ NULL }
};

/* --- books --------------------------------------------------------------- */

/* A book from a file, or the one that is built in; NULL after its findings
 * were printed. */
static struct price_book *load_book(struct cli *cli, const char *path)
{
	struct findings findings = { .file = path };
	const struct price_findings to = { .findings = &findings,
	                                   .before = "" };
	struct price_book *book = price_book_load(path, "book", &to);

	findings_print(&findings, cli->err);
	findings_finish(&findings);
	return book;
}

/* The books to ask: of the configuration, which may have none, or of --book.
 * Returns a status. */
static int open_prices(struct cli *cli, const char *path,
                       struct prices *prices)
{
	*prices = (struct prices){ .has_builtin = true };
	if (path != NULL) {
		prices->books[0] = load_book(cli, path);
		if (prices->books[0] == NULL) {
			return CLI_USAGE;
		}
		prices->book_count = 1;
	} else if (cli_setup(cli) == NULL) {
		return CLI_USAGE;
	} else if (cli->setup->prices != NULL) {
		*prices = *cli->setup->prices;
		return CLI_OK;
	}
	prices->books[prices->book_count++] = price_book_builtin();
	return CLI_OK;
}

static void close_prices(struct prices *prices, const char *path)
{
	if (path != NULL) {
		price_book_destroy(prices->books[0]);
	}
}

/* --- explain ------------------------------------------------------------- */

static struct bursar_span span_of(const char *text)
{
	return (struct bursar_span){ text != NULL ? text : "",
	                             text != NULL ? strlen(text) : 0 };
}

/* What the options say was used; false after saying what is wrong. */
static bool read_counts(struct cli *cli, const char *const *value,
                        struct price_usage *usage)
{
	static const struct { int option; enum price_count count; } counts[] = {
		{ INPUT, PRICE_SAID_INPUT },
		{ CACHE_READ, PRICE_SAID_CACHE_READ },
		{ CACHE_WRITE, PRICE_SAID_CACHE_WRITE },
		{ CACHE_WRITE_1H, PRICE_SAID_CACHE_WRITE_1H },
		{ OUTPUT, PRICE_SAID_OUTPUT },
		{ THINKING, PRICE_SAID_THINKING },
		{ AUDIO_INPUT, PRICE_SAID_AUDIO_INPUT },
		{ AUDIO_CACHE_READ, PRICE_SAID_AUDIO_CACHE_READ },
		{ AUDIO_OUTPUT, PRICE_SAID_AUDIO_OUTPUT },
		{ IMAGE_INPUT, PRICE_SAID_IMAGE_INPUT },
		{ IMAGE_CACHE_READ, PRICE_SAID_IMAGE_CACHE_READ },
		{ IMAGE_OUTPUT, PRICE_SAID_IMAGE_OUTPUT },
		{ SEARCHES, PRICE_SAID_SEARCHES },
		{ IMAGES, PRICE_SAID_IMAGES },
		{ PAGES, PRICE_SAID_PAGES },
		{ MEDIA_MS, PRICE_SAID_MEDIA_MS },
		{ CHARACTERS, PRICE_SAID_CHARACTERS },
	};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		const int option = counts[i].option;
		int64_t number = 0;

		if (value[option] == NULL) {
			continue;
		}
		if (!cli_number(cli, options[option].name, value[option], 0,
		                INT64_C(1000000000000), &number)) {
			return false;
		}
		price_usage_set(usage, counts[i].count, number);
	}
	if (usage->known == 0) {
		price_usage_set(usage, PRICE_SAID_INPUT, 1);
		price_usage_set(usage, PRICE_SAID_OUTPUT, 1);
	}
	return true;
}

static int explain_model(struct cli *cli, const char *model,
                         const char *const *value)
{
	struct price_question question = {
		.provider = span_of(value[PROVIDER]),
		.model = span_of(model), .mode = span_of(value[MODE]),
		.region = span_of(value[REGION]),
		.at_us = clock_wall_us(),
	};
	struct bursar_error err = { 0 };
	struct price_answer answer;
	struct prices prices;

	if (!read_counts(cli, value, &question.usage)) {
		return CLI_USAGE;
	}
	if (value[AT] != NULL &&
	    (window_zone(NULL, &err) != 0 ||
	     window_time(value[AT], &question.at_us, &err) != 0)) {
		return cli_usage_error(cli, "%s", err.text);
	}
	int status = open_prices(cli, value[BOOK], &prices);
	if (status != CLI_OK) {
		return status;
	}
	prices_ask(&prices, &question, &answer);
	status = price_explain(cli, &question, &answer, NULL);
	close_prices(&prices, value[BOOK]);
	return status;
}

/* --- explain a record ---------------------------------------------------- */

/* The record is kept until its history is known, which is asked after it. */
struct record_look {
	struct cli          *cli;
	const struct prices *prices;
	size_t               found;
	int64_t              row;
	json_t              *more;
	char                *texts;	/* of the question */
	struct price_question question;
	struct price_answer   answer;
};

static json_t *cost_json(struct priced_cost cost)
{
	return cost.known ? json_real((double)cost.nano / 1e9) : json_null();
}

static json_t *text_json(struct bursar_span text)
{
	return text.data == NULL ? json_null()
		: json_stringn(text.data, text.size);
}

static json_t *stored_json(const struct priced *fact)
{
	return json_pack("{s{so so so so so}}", "stored",
		"cost_usd", cost_json(fact->cost),
		"cost_reported_usd", cost_json(fact->reported),
		"cost_computed_usd", cost_json(fact->computed),
		"price_book", text_json(fact->book),
		"price_rule", text_json(fact->rule));
}

static void print_cost(FILE *out, const char *what, struct priced_cost cost)
{
	char text[TABLE_MONEY_SIZE];

	fprintf(out, "%s %s%s", what, cost.known ? "$" : "",
	        cost.known ? table_money(cost.nano, text) : "unknown");
}

static void print_stored(FILE *out, const struct priced *fact)
{
	print_cost(out, "stored   cost", fact->cost);
	print_cost(out, "; reported", fact->reported);
	print_cost(out, "; computed", fact->computed);
	fputc('\n', out);
	if (fact->rule.data != NULL) {
		fprintf(out, "         by %.*s of %.*s\n",
		        (int)fact->rule.size, fact->rule.data,
		        (int)fact->book.size, fact->book.data);
	}
}

/* Copies of the texts of a question, as those of a row are lent. */
static bool keep_question(struct record_look *look,
                          const struct price_question *q)
{
	struct bursar_span *const texts[] = {
		&look->question.provider, &look->question.model,
		&look->question.mode, &look->question.region,
	};
	size_t at = 0;

	look->question = *q;
	look->texts = malloc(q->provider.size + q->model.size + q->mode.size +
	                     q->region.size + 1);
	if (look->texts == NULL) {
		return false;
	}
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		memcpy(look->texts + at, texts[i]->data, texts[i]->size);
		texts[i]->data = look->texts + at;
		at += texts[i]->size;
	}
	return true;
}

static int take_fact(void *context, const struct priced *fact)
{
	struct record_look *look = context;

	if (!keep_question(look, &fact->question)) {
		return 1;
	}
	look->found++;
	look->row = fact->id;
	look->more = stored_json(fact);
	prices_ask(look->prices, &look->question, &look->answer);
	if (look->cli->format == CLI_TABLE) {
		print_stored(look->cli->out, fact);
	}
	return 1;
}

/* --- its history --------------------------------------------------------- */

static json_t *entry_json(const struct correction_entry *entry)
{
	char time[TABLE_TIME_SIZE];

	return json_pack("{ss so so so so so so so}",
		"at", table_time(entry->at_us, time),
		"reason", text_json(entry->reason),
		"old_cost_usd", cost_json(entry->old_cost),
		"new_cost_usd", cost_json(entry->new_cost),
		"old_book", text_json(entry->old_book),
		"new_book", text_json(entry->new_book),
		"old_rule", text_json(entry->old_rule),
		"new_rule", text_json(entry->new_rule));
}

static int take_entry(void *context, const struct correction_entry *entry)
{
	struct record_look *look = context;
	FILE *out = look->cli->out;
	char time[TABLE_TIME_SIZE];

	json_array_append_new(json_object_get(look->more, "history"),
	                      entry_json(entry));
	if (look->cli->format == CLI_TABLE) {
		fprintf(out, "changed  %s", table_time(entry->at_us, time));
		print_cost(out, ", cost", entry->old_cost);
		print_cost(out, " ->", entry->new_cost);
		fprintf(out, ", book %.*s -> %.*s: %.*s\n",
		        entry->old_book.data != NULL
		        ? (int)entry->old_book.size : 1,
		        entry->old_book.data != NULL ? entry->old_book.data
		                                     : "-",
		        (int)entry->new_book.size, entry->new_book.data,
		        (int)entry->reason.size, entry->reason.data);
	}
	return 0;
}

static int explain_found(struct record_look *look, struct book *book)
{
	struct bursar_error err = { 0 };

	json_object_set_new(look->more, "history", json_array());
	if (reprice_history(book, look->row, take_entry, look, &err) != 0) {
		return cli_fail(look->cli, "%s", err.text);
	}
	if (look->cli->format == CLI_TABLE) {
		fputs("\nBy the books of now:\n", look->cli->out);
	}
	return price_explain(look->cli, &look->question, &look->answer,
	                     look->more);
}

static int look_for(struct cli *cli, struct book *book,
                    const struct prices *prices,
                    const struct priced_filter *filter)
{
	struct record_look look = { .cli = cli, .prices = prices };
	struct bursar_error err = { 0 };
	int status;

	/* Whoever says when it was knows better. */
	const bool any = filter->window.since == WINDOW_OPEN_SINCE &&
	                 filter->window.until == WINDOW_OPEN_UNTIL;
	if ((any ? priced_find : priced_each)(book, filter, take_fact, &look,
	                                      &err) != 0) {
		status = cli_fail(cli, "%s", err.text);
	} else if (look.found == 0) {
		status = cli_fail(cli, "no metering record has the id '%s'",
		                  filter->message_id);
	} else {
		status = explain_found(&look, book);
	}
	json_decref(look.more);
	free(look.texts);
	return status;
}

static int explain_record(struct cli *cli, const char *const *value)
{
	const struct window_choice choice = {
		.since = value[SINCE], .until = value[UNTIL],
	};
	struct priced_filter filter = { .message_id = value[ID],
	                                .after_id = INT64_MIN };
	struct prices prices;
	struct book book;

	int status = command_window(cli, &choice, &filter.window);
	if (status == CLI_OK) {
		status = open_prices(cli, value[BOOK], &prices);
	}
	if (status != CLI_OK) {
		return status;
	}
	status = command_open(cli, value[SINK], BURSAR_READ, &book);
	if (status == CLI_OK) {
		status = look_for(cli, &book, &prices, &filter);
		book_close(&book);
	}
	close_prices(&prices, value[BOOK]);
	return status;
}

static int explain(struct cli *cli, int argc, char **argv,
                   const char *const *value)
{
	if (value[ID] != NULL) {
		return argc == 0 ? explain_record(cli, value)
			: cli_usage_error(cli, "--id needs no model");
	}
	return argc == 1 ? explain_model(cli, argv[0], value)
		: cli_usage_error(cli, "name one model, or a record with --id");
}

/* --- check --------------------------------------------------------------- */

static const struct table_column columns[] = {
	{ "change", NULL, TABLE_TEXT },
	{ "model", NULL, TABLE_TEXT },
	{ "what", NULL, TABLE_TEXT },
	{ "old", "old ($)", TABLE_TEXT },
	{ "new", "new ($)", TABLE_TEXT },
	{ "unit", "for", TABLE_TEXT },
	{ "percent", "percent", TABLE_REAL },
};

static void add_rate(struct table *table, const struct price_unit *unit,
                     int64_t rate)
{
	char text[PRICE_SUM_SIZE];
	const int64_t times = unit != NULL ? unit->times
	                                   : PRICE_MAX / PRICE_FACTOR_ONE;

	table_add_text(table, rate == PRICE_UNKNOWN ? NULL
	               : rate == PRICE_AS_TEXT ? "as text"
	               : price_amount_show((price_sum)rate * times, text));
}

static void add_difference(void *context,
                           const struct price_difference *difference)
{
	static const char *const words[] = {
		[PRICE_ADDED] = "added", [PRICE_REMOVED] = "removed",
		[PRICE_CHANGED] = "changed",
	};
	struct table *table = context;

	table_add_text(table, words[difference->change]);
	table_add_text(table, difference->key);
	table_add_text(table, difference->what);
	add_rate(table, difference->unit, difference->old_rate);
	add_rate(table, difference->unit, difference->new_rate);
	table_add_text(table, difference->unit != NULL
	               ? difference->unit->name : NULL);
	if (difference->old_rate > 0 && difference->new_rate >= 0) {
		table_add_real(table, ((double)difference->new_rate /
		                       (double)difference->old_rate - 1) * 100);
	} else {
		table_add_null(table);
	}
}

static json_t *book_json(const struct price_book *book)
{
	return json_pack("{ss sI}", "version", price_book_version(book),
	                 "models", (json_int_t)price_book_count(book));
}

static int compare(struct cli *cli, const struct price_book *book,
                   const struct price_book *against)
{
	struct table *table = table_create(columns, sizeof(columns) /
	                                            sizeof(columns[0]));
	const size_t count = price_diff(against, book, add_difference, table);
	json_t *head = json_pack("{ss so so sI}", "report", "price-check",
	                         "old", book_json(against), "new",
	                         book_json(book), "differences",
	                         (json_int_t)count);
	int status = CLI_OK;

	if (count > 0 || cli->format != CLI_TABLE) {
		status = table_print(table, cli, head);
	} else {
		fputs("no difference\n", cli->out);
	}
	json_decref(head);
	table_destroy(table);
	return status != CLI_OK ? status : count > 0 ? CLI_NO : CLI_OK;
}

static int check(struct cli *cli, int argc, char **argv)
{
	if (argc < 1 || argc > 2) {
		return cli_usage_error(cli, "name a book, and what to compare "
		                       "it with: a file, or builtin");
	}
	const bool builtin = argc == 2 && strcmp(argv[1], "builtin") == 0;
	struct price_book *book = load_book(cli, argv[0]);
	struct price_book *against = argc < 2 ? NULL :
		builtin ? price_book_builtin() : load_book(cli, argv[1]);
	int status = CLI_NO;

	if (book != NULL && argc == 1) {
		status = CLI_OK;
		if (cli->format == CLI_TABLE) {
			fprintf(cli->out, "%s: version %s, %zu models\n",
			        argv[0], price_book_version(book),
			        price_book_count(book));
		} else {
			status = compare(cli, book, book);
		}
	} else if (book != NULL && against != NULL) {
		status = compare(cli, book, against);
	}
	price_book_destroy(book);
	if (!builtin) {
		price_book_destroy(against);
	}
	return status;
}

/* --- import -------------------------------------------------------------- */

/* What was made must be a book: what is not is theirs to mend. */
static bool is_book(struct cli *cli, const json_t *tree, const char *path)
{
	struct findings findings = { .file = path };
	const struct price_findings to = { .findings = &findings,
	                                   .before = "" };
	struct price_book *book = price_book_make(tree, "import", &to);

	findings_print(&findings, cli->err);
	findings_finish(&findings);
	price_book_destroy(book);
	return book != NULL;
}

/* What others keep may have a key twice, of which their readers take the last
 * one, too: that is told of.  NULL after what is wrong was. */
static json_t *load_theirs(struct cli *cli, const char *path)
{
	struct bursar_error err = { 0 };
	json_error_t why;
	size_t size;
	char *text = input_text(path, PRICE_MAX_BYTES, &size, &err);

	if (text == NULL) {
		cli_fail(cli, "%s: %s", path, err.text);
		return NULL;
	}
	json_t *from = json_loadb(text, size, JSON_REJECT_DUPLICATES, &why);
	if (from == NULL && json_error_code(&why) == json_error_duplicate_key) {
		fprintf(cli->err, "%s: line %d: %s; the last one counts\n",
		        path, why.line, why.text);
		from = json_loadb(text, size, 0, &why);
	}
	free(text);
	if (from == NULL) {
		cli_fail(cli, "%s: line %d: %s", path, why.line, why.text);
	}
	return from;
}

static int import(struct cli *cli, int argc, char **argv, const char *version)
{
	struct price_imported imported;
	struct bursar_error err = { 0 };

	if (argc != 2) {
		return cli_usage_error(cli, "name a format (litellm, models.dev"
		                       " or cost-tracker) and a file");
	}
	json_t *from = load_theirs(cli, argv[1]);
	if (from == NULL) {
		return CLI_FAILED;
	}
	json_t *tree = price_import(argv[0], from, version, &imported, &err);
	json_decref(from);
	if (tree == NULL) {
		return err.code == EINVAL ? cli_usage_error(cli, "%s", err.text)
			: cli_fail(cli, "%s: %s", argv[1], err.text);
	}
	int status = CLI_NO;
	if (is_book(cli, tree, argv[1])) {
		status = json_dumpf(tree, cli->out, JSON_INDENT(1) |
		                    JSON_REAL_PRECISION(15)) == 0 &&
			fputc('\n', cli->out) != EOF ? CLI_OK : CLI_FAILED;
		fprintf(cli->err, "%zu models, %zu of them free; %zu entries "
		        "without a price of tokens or twice there were left "
		        "out, %zu prices of other things ignored\n",
		        imported.models, imported.free, imported.left_out,
		        imported.ignored);
	}
	json_decref(tree);
	return status;
}

/* --- the command --------------------------------------------------------- */

static int run(struct cli *cli, int argc, char **argv)
{
	const char *value[CLI_MAX_OPTIONS];

	if (!cli_parse(cli, &argc, &argv, value)) {
		return cli->status;
	}
	const char *what = argc > 0 ? argv[0] : "";
	if (strcmp(what, "explain") == 0) {
		return explain(cli, argc - 1, argv + 1, value);
	}
	if (strcmp(what, "check") == 0) {
		return check(cli, argc - 1, argv + 1);
	}
	if (strcmp(what, "import") == 0) {
		return import(cli, argc - 1, argv + 1, value[AS]);
	}
	return cli_usage_error(cli, "say explain, check or import");
}

const struct command command_price = {
	.name = "price",
	.summary = "explain what a call costs, check and import price books",
	.usage = "explain MODEL [--provider NAME] [--mode MODE] "
	         "[--region REGION] [--input N] "
	         "...\n"
	         "explain --id MESSAGE_ID [--since TIME]\n"
	         "check FILE [FILE|builtin]\n"
	         "import litellm|models.dev|cost-tracker FILE [--as VERSION]",
	.options = options,
	.manual =
	"explain asks the price books as the daemon does: the overrides of the "
	"configuration, its book, the built-in one.  It shows which row the "
	"name means and why, then the arithmetic line by line: tokens times "
	"price, the exact sum, the one rounding.  With --id it explains a "
	"stored record, beside what was stored with it.  It looks for it from "
	"the day on which it was stored backwards; of one that was stored long "
	"after its call say --since, since records stand in order of time.  It "
	"exits 3 where there is no price.\n"
	"\n"
	"\tbursar price explain openai/gpt-4o --input 1000 --output 500\n"
	"\n"
	"check reads a book and says all that is wrong with it.  With another "
	"one it lists what the first has that is new, gone or changed, in "
	"percent.  It exits 3 where a book is wrong or the two differ.\n"
	"\n"
	"import prints a book made of what others keep, in the formats of "
	"LiteLLM, models.dev and the cost tracker.  Entries without a price of "
	"tokens are left out: nothing becomes free by being unknown.",
	.run = run,
};
