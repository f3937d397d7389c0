/* SPDX-License-Identifier: Apache-2.0 */

/*
 * make_ledger - a ledger for the tests of commands, or a change behind its back
 *
 *	make_ledger FILE COUNT [SECONDS]	writes COUNT facts, one every
 *						SECONDS (60) from 2026-03-01
 *						on, and a few audit records
 *	make_ledger FILE sql STATEMENT
 *
 * The same arguments make the same records.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "book/book.h"
#include "common/columns.h"
#include "fakehost.h"
#include "ledger.h"

#define START INT64_C(1772323200000000)		/* 2026-03-01T00:00:00Z */
#define BATCH 5000
#define FAR   INT64_C(4102444800000000)		/* 2100 */

struct made {
	char id[32];
	char worker[32];
	char node[32];
	char conversation[32];
};

static const struct {
	const char *provider, *model;
	int64_t nano;		/* a token */
} models[] = {
	{ "anthropic", "claude-sonnet-4-6", 3000 },
	{ "anthropic", "claude-opus-4-6", 15000 },
	{ "openai", "gpt-4o", 2500 },
	{ "openai", "gpt-4o-mini", 150 },
	{ "gemini", "gemini-2.5-flash", 300 },
	{ "bedrock", "anthropic.claude-haiku-4-5", 800 },
	{ NULL, "llama3.3:70b", -1 },
};

static struct bursar_record *make_fact(int64_t i, int64_t step,
                                       struct made *made)
{
	const size_t model = (size_t)(i * 7919 % 1009 % 7);
	const int64_t in = 100 + i * 37 % 900, out = 10 + i * 11 % 300;

	snprintf(made->id, sizeof(made->id), "meter-%08" PRId64, i);
	snprintf(made->worker, sizeof(made->worker), "worker-%03" PRId64,
	         i % 120);
	snprintf(made->node, sizeof(made->node), "node-%02" PRId64, i % 16);
	snprintf(made->conversation, sizeof(made->conversation),
	         "conv-%06" PRId64, i / 3);
	struct bursar_record *record = ledger_record("metering", made->id,
	                                             START + i * step);
	ledger_text(record, "provider", models[model].provider);
	ledger_text(record, "model_id", models[model].model);
	ledger_text(record, "worker_id", made->worker);
	ledger_text(record, "node_id", made->node);
	ledger_text(record, "conversation_id", made->conversation);
	ledger_text(record, "team", i % 4 == 0 ? "=1+1" : i % 4 == 1 ? NULL
	            : "K\xc3\xb6ln, \"red\"");
	ledger_text(record, "request_type", i % 5 == 0 ? "embed" : "chat");
	ledger_text(record, "status", i % 50 == 0 ? "error" : "success");
	ledger_number(record, "input_tokens", in);
	ledger_number(record, "output_tokens", out);
	ledger_number(record, "total_tokens", in + out);
	ledger_number(record, "latency_ms", 50 + i * 13 % 4000);
	if (models[model].nano >= 0) {
		ledger_number(record, "cost_usd", (in + out) *
		              models[model].nano);
	}
	return record;
}

static void write_facts(struct book *book, int64_t count, int64_t step)
{
	static struct bursar_record *records[BATCH];
	static struct made made[BATCH];
	int64_t i = 0;

	while (i < count) {
		size_t used = 0;

		for (; used < BATCH && i < count; used++, i++) {
			records[used] = make_fact(i, step, &made[used]);
		}
		ledger_write(book, records, used);
		while (used > 0) {
			free(records[--used]);
		}
	}
}

static void write_bodies(struct book *book)
{
	struct bursar_record *prompt = ledger_record("prompt", "prompt-1",
	                                             START);
	ledger_text(prompt, "request_json",
	            "{\"ask\": \"line\\nbreak \xe2\x82\xac\"}");
	ledger_text(prompt, "response_json", "\"a secret answer\"");
	ledger_text(prompt, "provider", "anthropic");
	ledger_number(prompt, "cost_usd", 5488480);
	ledger_number(prompt, "contains_phi", 1);
	ledger_number(prompt, "expires_at", FAR);
	ledger_put(book, prompt);

	struct bursar_record *expired = ledger_record("prompt", "prompt-2",
	                                              START);
	ledger_text(expired, "request_json", "\"an expired question\"");
	ledger_number(expired, "expires_at", START + COLUMNS_DAY_US);
	ledger_put(book, expired);

	struct bursar_record *tool = ledger_record("tool", "tool-1", START);
	ledger_text(tool, "tool_name", "@shell");
	ledger_text(tool, "arguments_json", "[\"ls\"]");
	ledger_put(book, tool);
}

static char **words;
static int word_count;

/* In the frame of a test, as what it calls asserts. */
START_TEST(make)
{
	struct book book;

	ledger_open_at(&book, words[1]);
	if (strcmp(words[2], "sql") == 0 && word_count == 4) {
		ledger_run(&book, words[3]);
	} else {
		const double seconds =
			word_count > 3 ? strtod(words[3], NULL) : 60;

		ledger_clock(START + COLUMNS_DAY_US);
		write_facts(&book, strtoll(words[2], NULL, 10),
		            (int64_t)(seconds * 1e6));
		write_bodies(&book);
	}
	ledger_close(&book);
}
END_TEST

int main(int argc, char **argv)
{
	if (argc < 3) {
		fputs("usage: make_ledger FILE COUNT [SECONDS] | "
		      "FILE sql STATEMENT\n", stderr);
		return 2;
	}
	words = argv;
	word_count = argc;

	Suite *s = suite_create("make_ledger");
	TCase *tcase = tcase_create("make");
	tcase_add_test(tcase, make);
	suite_add_tcase(s, tcase);
	SRunner *runner = srunner_create(s);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_MINIMAL);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
