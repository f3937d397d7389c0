/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/table.h"
#include "common/rfc3339.h"
#include "price/price_explain.h"

#define ORIGIN_SIZE 160
#define DAY_US INT64_C(86400000000)

static const struct table_column columns[] = {
	{ "what", NULL, TABLE_TEXT },
	{ "count", NULL, TABLE_COUNT },
	{ "price_usd", "price ($)", TABLE_TEXT },
	{ "unit", "for", TABLE_TEXT },
	{ "cost_usd", "cost ($)", TABLE_TEXT },
	{ "rate_of", "rate of", TABLE_TEXT },
};

static const char *visible(struct bursar_span text, char **kept)
{
	free(*kept);
	*kept = text_visible(text.data, text.size);
	return *kept != NULL ? *kept : "";
}

/* --- where a rate comes from --------------------------------------------- */

static void name_card(const struct price_period *p,
                      const struct price_card *card, char out[ORIGIN_SIZE])
{
	const size_t place = (size_t)(card - p->cards);
	const size_t tier = place % p->tier_count;
	const size_t mode = place / p->tier_count % p->mode_count;
	const size_t window = place / p->tier_count / p->mode_count;
	char above[48] = "";

	if (tier > 0) {
		snprintf(above, sizeof(above), ", prompts %s %" PRId64
		         " tokens", p->tiers[tier].inclusive ? "from"
		         : "above", p->tiers[tier].said);
	}
	snprintf(out, ORIGIN_SIZE, "%.40s%s%s%.40s", p->modes[mode], above,
	         window > 0 ? ", " : "", p->windows[window].name);
}

static const struct price_card *given_by(const struct price_answer *a, int rate)
{
	return price_given_by(a->period, a->window, a->mode, a->tier,
	                      (enum price_rate)rate);
}

/* The rate that stands in at last for one that was not given; sound and images
 * cost as text where that is free. */
static const char *stand_in(const struct price_answer *a, int rate)
{
	int other = rate;

	do {
		rate = other;
		other = (int)price_stand_in(a->period, a->window, a->mode,
		                            a->tier, (enum price_rate)rate);
	} while (other != rate);
	return price_rate_names[given_by(a, rate) != NULL ? rate
		: (int)price_text_rate((enum price_rate)rate)];
}

/* The card that gave the rate, or the sort of tokens whose rate stands in. */
static const char *origin(const struct price_answer *a, int rate,
                          char out[ORIGIN_SIZE])
{
	const struct price_card *by = given_by(a, rate);
	char card[ORIGIN_SIZE];

	if (by != NULL && by->given[rate] == PRICE_AS_TEXT) {
		name_card(a->period, by, card);
		snprintf(out, ORIGIN_SIZE, "%s, says %.100s", price_rate_names[
			price_text_rate((enum price_rate)rate)], card);
		return out;
	}
	if (by != NULL) {
		name_card(a->period, by, out);
		return out;
	}
	if (a->card->rate[rate] == PRICE_UNKNOWN) {
		return a->missing >> rate & 1 ? "missing"
		                              : "none: billed by pieces";
	}
	snprintf(out, ORIGIN_SIZE, "%s, having none of its own",
	         stand_in(a, rate));
	return out;
}

/* --- lines --------------------------------------------------------------- */

static const char *factor_text(int64_t factor, char out[PRICE_SUM_SIZE])
{
	char number[PRICE_SUM_SIZE];

	snprintf(out, PRICE_SUM_SIZE, "x %s", price_amount_show_raised(
		(price_sum)factor * PRICE_MAX, number));
	return out;
}

static void add_line(struct table *table, const struct price_answer *a,
                     int rate, int64_t count)
{
	const int64_t price = a->card->rate[rate];
	char text[PRICE_SUM_SIZE], from[ORIGIN_SIZE];

	table_add_text(table, price_rate_names[rate]);
	table_add_number(table, count);
	if (price == PRICE_UNKNOWN) {
		table_add_null(table);
	} else {
		table_add_text(table, price_amount_show(
			(price_sum)price * price_units[rate].times, text));
	}
	table_add_text(table, price_units[rate].name);
	if (price == PRICE_UNKNOWN) {
		table_add_null(table);
	} else {
		table_add_text(table, price_amount_show(
			(price_sum)price * count, text));
	}
	table_add_text(table, origin(a, rate, from));
}

/* What a region adds to the tokens before it. */
static void add_region(struct table *table, const struct price_answer *a)
{
	char text[PRICE_SUM_SIZE], name[ORIGIN_SIZE];
	price_sum more;

	snprintf(name, sizeof(name), "regions.%s", a->region->name);
	table_add_text(table, "region");
	table_add_null(table);
	table_add_text(table, factor_text(a->region->factor, text));
	table_add_text(table, "all tokens");
	if (price_amount_raise(a->sum, a->region->factor - PRICE_FACTOR_ONE, 0,
	                       &more)) {
		table_add_text(table, price_amount_show_raised(more, text));
	} else {
		table_add_null(table);
	}
	table_add_text(table, name);
}

static struct table *lines_of(const struct price_answer *a)
{
	struct table *table = table_create(columns, sizeof(columns) /
	                                            sizeof(columns[0]));

	if (a->card == NULL) {
		return table;
	}
	for (int b = 0; b < PRICE_BUCKETS; b++) {
		if (a->tokens[b] > 0) {
			add_line(table, a, b, a->tokens[b]);
		}
	}
	if (a->region != NULL) {
		add_region(table, a);
	}
	for (int r = PRICE_BUCKETS; r < PRICE_RATES; r++) {
		const int64_t count = a->pieces[r - PRICE_BUCKETS];

		if (count > 0 && (a->card->rate[r] != PRICE_UNKNOWN ||
		                  (a->missing >> r & 1))) {
			add_line(table, a, r, count);
		}
	}
	return table;
}

/* --- JSON ---------------------------------------------------------------- */

static void set(json_t *head, const char *name, json_t *value)
{
	json_object_set_new(head, name, value != NULL ? value : json_null());
}

static json_t *time_json(int64_t us)
{
	char text[RFC3339_SIZE];

	return us == INT64_MIN || us == INT64_MAX ? json_null()
		: json_string(rfc3339_format(us, text));
}

static json_t *missing_json(const struct price_answer *a)
{
	json_t *list = json_array();

	for (int b = 0; b < PRICE_RATES; b++) {
		if (a->missing >> b & 1) {
			json_array_append_new(list, json_string(
				price_rate_names[b]));
		}
	}
	return list;
}

static json_t *window_json(const struct price_answer *a)
{
	const struct price_window *window = &a->period->windows[a->window];
	char text[PRICE_WINDOW_TEXT];

	return a->window == 0 ? json_null() : json_pack(
		"{ss ss}", "name", window->name, "hours",
		price_window_text(window, text));
}

static void add_card(json_t *head, const struct price_answer *a)
{
	char text[PRICES_RULE_SIZE];
	const struct price_tier *tier = &a->period->tiers[a->tier];

	set(head, "from", time_json(a->period->from_us));
	set(head, "until", time_json(a->period->until_us));
	set(head, "mode", json_string(a->period->modes[a->mode]));
	set(head, "tier", a->tier == 0 ? json_null() : json_pack(
		"{ss sI}", "rule", tier->inclusive ? "from" : "above",
		"tokens", (json_int_t)tier->said));
	set(head, "prompt_tokens", json_integer(a->prompt));
	text[prices_rule(a, text)] = '\0';
	set(head, "window", window_json(a));
	set(head, "region_factor", a->region == NULL ? json_null() : json_real(
		(double)a->region->factor / PRICE_FACTOR_ONE));
	set(head, "price_rule", json_string(text));
	set(head, "missing", missing_json(a));
	if (a->result == PRICE_DONE) {
		set(head, "sum_usd", json_string(
			price_amount_show_raised(a->raised, text)));
		set(head, "cost_usd", json_real((double)a->nano / 1e9));
	}
}

static json_t *head_of(const struct price_question *q,
                       const struct price_answer *a, json_t *more)
{
	json_t *head = json_object();
	char *kept = NULL;

	set(head, "report", json_string("price"));
	set(head, "provider", json_string(visible(q->provider, &kept)));
	set(head, "model", json_string(visible(q->model, &kept)));
	set(head, "pricing_mode", json_string(
		q->mode.size > 0 ? visible(q->mode, &kept) : "standard"));
	set(head, "region", q->region.size == 0 ? json_null()
		: json_string(visible(q->region, &kept)));
	set(head, "at", time_json(q->at_us));
	set(head, "result", json_string(price_result_names[a->result]));
	if (a->model != NULL) {
		set(head, "source", json_string(price_book_name(a->book)));
		set(head, "price_book", json_string(price_book_version(
			a->book)));
		set(head, "matched_key", json_string(a->model->key));
		set(head, "matched_by", json_string(price_how_names[a->how]));
	}
	if (a->card != NULL) {
		add_card(head, a);
	}
	if (more != NULL) {
		json_object_update(head, more);
	}
	free(kept);
	return head;
}

/* --- for a person -------------------------------------------------------- */

static void print_match(FILE *out, const struct price_question *q,
                        const struct price_answer *a)
{
	char *kept = NULL;

	fprintf(out, "asked    %s%s", visible(q->provider, &kept),
	        q->provider.size > 0 ? " / " : "");
	fprintf(out, "%s", visible(q->model, &kept));
	if (q->mode.size > 0) {
		fprintf(out, ", mode %s", visible(q->mode, &kept));
	}
	if (q->region.size > 0) {
		fprintf(out, ", region %s", visible(q->region, &kept));
	}
	fputc('\n', out);
	if (a->model == NULL) {
		fprintf(out, "matched  nothing: %s\n",
		        price_result_texts[a->result]);
	} else {
		fprintf(out, "matched  %s from %s %s via %s\n", a->model->key,
		        price_book_name(a->book), price_book_version(a->book),
		        price_how_names[a->how]);
	}
	free(kept);
}

/* A day where it is the beginning of one. */
static void print_time(FILE *out, const char *what, int64_t us)
{
	char time[RFC3339_SIZE];

	if (us != INT64_MIN && us != INT64_MAX) {
		rfc3339_format(us, time);
		fprintf(out, "; %s %.*s", what, us % DAY_US == 0 ? 10 : 19,
		        time);
	}
}

static void print_card(FILE *out, const struct price_answer *a)
{
	char text[ORIGIN_SIZE], hours[PRICE_WINDOW_TEXT];

	name_card(a->period, a->card, text);
	fprintf(out, "rates    %s", text);
	if (a->window > 0) {
		fprintf(out, " (%s)", price_window_text(
			&a->period->windows[a->window], hours));
	}
	print_time(out, "since", a->period->from_us);
	print_time(out, "until", a->period->until_us);
	fputs("\n\n", out);
}

static void print_end(FILE *out, const struct price_answer *a)
{
	char sum[PRICE_SUM_SIZE], cost[PRICE_SUM_SIZE], rule[PRICES_RULE_SIZE];

	if (a->result != PRICE_DONE) {
		fprintf(out, "%scost     unknown: %s",
		        a->card != NULL ? "\n" : "",
		        price_result_texts[a->result]);
		for (int b = 0; b < PRICE_RATES; b++) {
			if (a->missing >> b & 1) {
				fprintf(out, " (%s)", price_rate_names[b]);
			}
		}
		fputc('\n', out);
		return;
	}
	rule[prices_rule(a, rule)] = '\0';
	fprintf(out, "\nsum      $%s\n"
	        "cost     $%s, rounded half to even to 0.000000001\n"
	        "rule     %s\n", price_amount_show_raised(a->raised, sum),
	        price_amount_show((price_sum)a->nano * 1000000, cost), rule);
}

int price_explain(struct cli *cli, const struct price_question *question,
                  const struct price_answer *answer, json_t *more)
{
	struct table *table = lines_of(answer);
	json_t *head = head_of(question, answer, more);
	int status = CLI_OK;

	if (cli->format == CLI_TABLE) {
		print_match(cli->out, question, answer);
		if (answer->card != NULL) {
			print_card(cli->out, answer);
		}
	}
	if (cli->format != CLI_TABLE || table_rows(table) > 0) {
		status = table_print(table, cli, head);
	}
	if (cli->format == CLI_TABLE) {
		print_end(cli->out, answer);
	}
	json_decref(head);
	table_destroy(table);
	return status != CLI_OK ? status
		: answer->result == PRICE_DONE ? CLI_OK : CLI_NO;
}
