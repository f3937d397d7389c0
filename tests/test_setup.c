/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whole configuration files, with plugins that exist in this file alone.
 */
#include "config.h"

#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bursar/crypto.h>
#include <bursar/format.h>
#include <bursar/service.h>
#include <bursar/sink.h>
#include <bursar/source.h>

#include "conf_help.h"
#include "core/conf/setup.h"
#include "core/plugin/module.h"
#include "core/price/prices.h"
#include "folder.h"

#define COUNT(array) (int)(sizeof(array) / sizeof(array[0]))

const char *const module_kind_names[BURSAR_PLUGIN_KINDS] = {
	"source", "crypto", "format", "sink", "service",
};
const char *const module_kind_plurals[BURSAR_PLUGIN_KINDS] = {
	"sources", "crypto", "formats", "sinks", "services",
};

static enum bursar_verdict fake_sql(struct bursar_sink *sink,
                                    const char *statement,
                                    const struct bursar_cell *parameters,
                                    size_t parameter_count, bursar_row_fn *row,
                                    void *context, struct bursar_error *err)
{
	(void)sink, (void)statement, (void)parameters, (void)parameter_count;
	(void)row, (void)context, (void)err;
	return BURSAR_DONE;
}

static const struct bursar_option none[] = { { NULL } };

static const struct bursar_option tape_options[] = {
	{ "path", BURSAR_TYPE_PATH, NULL, "The file to read." },
	{ "follow", BURSAR_TYPE_FLAG, "false", "Whether to go on." },
	{ NULL }
};

static const struct bursar_option box_options[] = {
	{ "path", BURSAR_TYPE_PATH, "box", "The file to keep." },
	{ NULL }
};

static const struct bursar_option reel_options[] = {
	{ "path", BURSAR_TYPE_INPUT, NULL, "The file to read." },
	{ NULL }
};

static const struct bursar_option chest_options[] = {
	{ "path", BURSAR_TYPE_OUTPUT, NULL, "The file to keep." },
	{ NULL }
};

static const struct bursar_option door_options[] = {
	{ "listen", BURSAR_TYPE_LISTEN, "127.0.0.1:8377", "Where." },
	{ NULL }
};

static const struct bursar_option lock_options[] = {
	{ "secret", BURSAR_TYPE_SECRET, NULL, "The key." },
	{ NULL }
};

static const struct bursar_source_ops source_ops = { .answers = false };
static const struct bursar_source_ops answering_ops = { .answers = true };
static const struct bursar_crypto_ops crypto_ops = { .open = NULL };
static const struct bursar_format_ops picky_ops = { .needs_kind = true };
static const struct bursar_format_ops loose_ops = { .needs_kind = false };
static const struct bursar_sink_ops mute_ops = { .sql = NULL };
static const struct bursar_sink_ops asked_ops = { .sql = fake_sql };
static const struct bursar_service_ops service_ops = { .open = NULL };

static const struct bursar_plugin plugins[] = {
	{ BURSAR_PLUGIN_ABI, BURSAR_SOURCE, "tape", "reads", tape_options,
	  NULL, { .source = &source_ops } },
	{ BURSAR_PLUGIN_ABI, BURSAR_SOURCE, "desk", "answers", none,
	  NULL, { .source = &answering_ops } },
	{ BURSAR_PLUGIN_ABI, BURSAR_CRYPTO, "lock", "opens", lock_options,
	  NULL, { .crypto = &crypto_ops } },
	{ BURSAR_PLUGIN_ABI, BURSAR_CRYPTO, "plain", "opens", none,
	  NULL, { .crypto = &crypto_ops } },
	{ BURSAR_PLUGIN_ABI, BURSAR_FORMAT, "ledger", "decodes", none,
	  NULL, { .format = &picky_ops } },
	{ BURSAR_PLUGIN_ABI, BURSAR_FORMAT, "loose", "decodes", none,
	  NULL, { .format = &loose_ops } },
	{ BURSAR_PLUGIN_ABI, BURSAR_SINK, "box", "stores", box_options,
	  NULL, { .sink = &asked_ops } },
	{ BURSAR_PLUGIN_ABI, BURSAR_SINK, "void", "forgets", none,
	  NULL, { .sink = &mute_ops } },
	{ BURSAR_PLUGIN_ABI, BURSAR_SERVICE, "bell", "rings", none,
	  NULL, { .service = &service_ops } },
	{ BURSAR_PLUGIN_ABI, BURSAR_SOURCE, "reel", "reads", reel_options,
	  NULL, { .source = &source_ops } },
	{ BURSAR_PLUGIN_ABI, BURSAR_SOURCE, "door", "is knocked at",
	  door_options, NULL, { .source = &source_ops } },
	{ BURSAR_PLUGIN_ABI, BURSAR_SINK, "chest", "stores", chest_options,
	  NULL, { .sink = &asked_ops } },
	{ BURSAR_PLUGIN_ABI, BURSAR_SERVICE, "gate", "answers", door_options,
	  NULL, { .service = &service_ops } },
};

const struct bursar_plugin *module_load(enum bursar_plugin_kind kind,
                                        const char *name,
                                        struct bursar_error *err)
{
	for (int i = 0; i < COUNT(plugins); i++) {
		if (plugins[i].kind == kind &&
		    strcmp(plugins[i].name, name) == 0) {
			return &plugins[i];
		}
	}
	bursar_fail(err, ENOENT, "no %s plugin '%s'", module_kind_names[kind],
	            name);
	return NULL;
}

static char dir[FOLDER_SIZE];
static char file[FOLDER_SIZE + 16];
static struct findings findings;
static struct findings warnings;
static struct setup *setup;

static void start(void)
{
	folder_make(dir);
	snprintf(file, sizeof(file), "%s/x.yaml", dir);
	memset(&findings, 0, sizeof(findings));
	memset(&warnings, 0, sizeof(warnings));
	setenv("BURSAR_TEST_WORD", "hunter2", 1);
	unsetenv("CREDENTIALS_DIRECTORY");
}

static void stop(void)
{
	setup_destroy(setup);
	setup = NULL;
	findings_finish(&findings);
	findings_finish(&warnings);
	folder_remove(dir);
}

static void make_file(const char *name, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *out = fopen(path, "w");
	ck_assert_ptr_nonnull(out);
	fputs(text, out);
	fclose(out);
	ck_assert_int_eq(chmod(path, 0600), 0);
}

static void load(const char *yaml)
{
	make_file("x.yaml", yaml);
	setup_destroy(setup);
	setup = setup_load(file, &findings, &warnings);
}

static void load_good(const char *yaml)
{
	load(yaml);
	if (setup == NULL) {
		ck_abort_msg("refused: %s", said(&findings));
	}
}

/* Removes the path of the file before comparing. */
static void assert_lines(struct findings *of, const char *want)
{
	char *got = said(of);
	char *at;

	while ((at = strstr(got, file)) != NULL) {
		memmove(at, at + strlen(file), strlen(at + strlen(file)) + 1);
	}
	ck_assert_str_eq(got, want);
	free(got);
}

#define SINKS   "sinks: {store: {plugin: box}}\n"
#define SOURCES "sources: {in: {plugin: tape, path: a}}\n"

START_TEST(the_least_configuration_has_all_defaults)
{
	char want[128];

	load_good(SOURCES SINKS);

	ck_assert_str_eq(setup->file, file);
	ck_assert_str_eq(setup->state_dir, "/var/lib/bursar");
	ck_assert_uint_eq(setup->batch_records, 20000);
	ck_assert_int_eq(setup->linger_ms, 20);
	ck_assert_uint_eq(setup->max_message, 8 << 20);
	ck_assert_int_eq(setup->drain_timeout_ms, 25000);
	ck_assert_int_eq(setup->once_timeout_ms, 60000);
	ck_assert_int_eq(setup->log_level, BURSAR_INFO);
	ck_assert_int_eq(setup->default_days, 90);
	ck_assert_int_eq(setup->phi_ttl_days, 30);
	ck_assert_int_eq(setup->session_only_ms, 0);
	ck_assert_int_eq(setup->facts_days, 0);
	ck_assert_int_eq(setup->dedup_days, 0);
	ck_assert_uint_eq(setup->dead_letter_bytes, 1 << 30);
	ck_assert_uint_eq(setup->dead_letter_reserve, 16 << 20);

	ck_assert_uint_eq(setup->source_count, 1);
	ck_assert_str_eq(setup->sources[0].item.name, "in");
	ck_assert_str_eq(setup->sources[0].item.plugin->name, "tape");
	ck_assert_uint_eq(setup->sources[0].item.line, 1);
	snprintf(want, sizeof(want), "%s/a", dir);
	ck_assert_str_eq(options_text(setup->sources[0].item.options, "path"),
	                 want);
	ck_assert_str_eq(setup->sources[0].format->name, "ledger");
	ck_assert_uint_eq(setup->sources[0].format->line, 0);
	ck_assert_ptr_null(setup->sources[0].crypto);
	ck_assert_ptr_null(setup->sources[0].kind);
	ck_assert_uint_eq(setup->sources[0].window_messages, 65536);
	ck_assert_uint_eq(setup->sources[0].window_bytes, 28 << 20);

	ck_assert_uint_eq(setup->sink_count, 1);
	ck_assert(setup->sinks[0].required);
	for (int k = 0; k < SCHEMA_KINDS; k++) {
		ck_assert_uint_eq(setup->routes[k], 1);
		ck_assert(!setup->discard[k]);
	}
	ck_assert_ptr_eq(setup->book, &setup->sinks[0]);
	ck_assert_uint_eq(warnings.count, 0);
}
END_TEST

START_TEST(everything_that_can_be_said_is_heard)
{
	char want[128];

	make_file("key", "s3cret");
	load_good("sources:\n"
	          "  one: {plugin: tape, path: /a, kind: metering,\n"
	          "        format: mine, crypto: legion,\n"
	          "        require-encryption: yes, window-messages: 10,\n"
	          "        window-bytes: 1M, follow: on}\n"
	          "  two: {plugin: tape, path: b, kind: prompt, crypto: plain}\n"
	          "crypto: {legion: {plugin: lock, secret-file: key}}\n"
	          "formats: {mine: {plugin: ledger}}\n"
	          "sinks:\n"
	          "  first: {plugin: box}\n"
	          "  second: {plugin: box, path: other}\n"
	          "  third: {plugin: void, required: false}\n"
	          "services: {door: {plugin: bell}}\n"
	          "routes:\n"
	          "- {kinds: [metering], sinks: [second, third]}\n"
	          "- {kinds: prompt, sinks: first}\n"
	          "- {kinds: [prompt, metering], sinks: third}\n"
	          "discard: tool\n"
	          "book: second\n"
	          "retention: {default-days: 60, phi-ttl-days: 14,\n"
	          "  session-only-grace: 1h, facts-days: 700, dedup-days: 30}\n"
	          "dead-letters: {max-size: 10M, reserve: 1M}\n"
	          "state-dir: state\nbatch-records: 100\nlinger: 1s\n"
	          "max-message: 1M\ndrain-timeout: 1m\nonce-timeout: 5s\n"
	          "log-level: debug\n");

	ck_assert_uint_eq(warnings.count, 0);
	snprintf(want, sizeof(want), "%s/state", dir);
	ck_assert_str_eq(setup->state_dir, want);
	ck_assert_uint_eq(setup->batch_records, 100);
	ck_assert_int_eq(setup->linger_ms, 1000);
	ck_assert_uint_eq(setup->max_message, 1 << 20);
	ck_assert_int_eq(setup->drain_timeout_ms, 60000);
	ck_assert_int_eq(setup->once_timeout_ms, 5000);
	ck_assert_int_eq(setup->log_level, BURSAR_DEBUG);
	ck_assert_int_eq(setup->default_days, 60);
	ck_assert_int_eq(setup->phi_ttl_days, 14);
	ck_assert_int_eq(setup->session_only_ms, 3600000);
	ck_assert_int_eq(setup->facts_days, 700);
	ck_assert_int_eq(setup->dedup_days, 30);
	ck_assert_uint_eq(setup->dead_letter_bytes, 10 << 20);
	ck_assert_uint_eq(setup->dead_letter_reserve, 1 << 20);

	const struct setup_source *one = &setup->sources[0];
	ck_assert_str_eq(one->kind->name, "metering");
	ck_assert_ptr_eq(one->format, &setup->formats[0]);
	ck_assert_str_eq(one->format->name, "mine");
	ck_assert_ptr_eq(one->crypto, &setup->crypto[0]);
	ck_assert_mem_eq(options_secret(one->crypto->options, "secret").data,
	                 "s3cret", 6);
	ck_assert(one->require_encryption);
	ck_assert_uint_eq(one->window_messages, 10);
	ck_assert_uint_eq(one->window_bytes, 1 << 20);
	ck_assert_int_eq(options_number(one->item.options, "follow"), 1);

	const struct setup_source *two = &setup->sources[1];
	ck_assert_str_eq(two->format->name, "ledger");
	ck_assert_str_eq(two->crypto->name, "plain");
	ck_assert_str_eq(two->crypto->plugin->name, "plain");
	ck_assert_uint_eq(two->crypto->line, 0);

	ck_assert_uint_eq(setup->service_count, 1);
	ck_assert_str_eq(setup->services[0].name, "door");
	ck_assert(!setup->sinks[2].required);
	ck_assert_uint_eq(setup->routes[0], 6);
	ck_assert_uint_eq(setup->routes[1], 5);
	ck_assert_uint_eq(setup->routes[2], 0);
	ck_assert(setup->discard[2] && !setup->discard[0]);
	ck_assert_ptr_eq(setup->book, &setup->sinks[1]);
}
END_TEST

static const struct { const char *yaml, *want; } mistakes[] = {
	{ "sources: {}\nsinks: \n",
	  ": no source is configured: sources: {NAME: {plugin: PLUGIN}}\n"
	  ": no sink is configured: sinks: {NAME: {plugin: PLUGIN}}\n" },
	{ "a: &x 1\n",
	  ": no source is configured: sources: {NAME: {plugin: PLUGIN}}\n"
	  ": no sink is configured: sinks: {NAME: {plugin: PLUGIN}}\n"
	  ":1: anchors (&x) and aliases are not understood here; write the "
	  "value out\n"
	  ":1: unknown section or option 'a'\n" },
	{ SOURCES SINKS "sorces: {}\nlingr: 20ms\npricess: {book: a}\n",
	  ":3: unknown section or option 'sorces'; did you mean 'sources'?\n"
	  ":4: unknown section or option 'lingr'; did you mean 'linger'?\n"
	  ":5: unknown section or option 'pricess'; did you mean 'prices'?\n"
	},
	{ SOURCES SINKS "prices:\n  bok: a\n  unknown: shout\n"
	  "  overrides:\n    a/b: {input: -1}\n    c:\n      inptu: 2\n"
	  "    d: {input: free, output: 1, tiers: [{above: x, input: 1}]}\n",
	  ":4: prices: unknown option 'bok'; did you mean 'book'?\n"
	  ":5: prices: option 'unknown': 'shout' is not a choice; write ignore, "
	  "warn or raise\n"
	  ":7: prices.overrides: a/b: input is \"-1\", which is no price: a "
	  "number from 0 to a dollar for each token, request or "
	  "piece\n"
	  ":8: prices.overrides: c: 'inptu' is not known; rates are input, "
	  "output, cache_read, cache_write, cache_write_1h, reasoning, "
	  "audio_input, audio_cache_read, audio_output, image_input, "
	  "image_cache_read, image_output, request, web_search, "
	  "web_search_call, image, page, second and character\n"
	  ":8: prices.overrides: c: a price without a rate\n"
	  ":10: prices.overrides: d: input is \"free\", which is no price: a "
	  "number from 0 to a dollar for each token, request or "
	  "piece\n"
	  ":10: prices.overrides: d: a tier says 'above' (or 'from', where that "
	  "many count already) how many tokens of prompt it holds\n" },
	{ SOURCES SINKS "prices: {book: /nowhere/prices.json}\n",
	  ":3: /nowhere/prices.json: it cannot be read: No such file or "
	  "directory\n" },
	{ "sources: {in: {plugin: tape, path: a,\n  cost-from: computed}}\n"
	  SINKS, ":2: source 'in': 'cost-from: computed' without a section "
	  "'prices' computes nothing\n" },
	{ SOURCES SINKS "linger: 20\nbatch-records: 0\nmax-message: 1G\n"
	  "log-level: loud\nstate-dir: \n",
	  ":3: option 'linger': '20' is not a duration; write 20ms, 5s, 2m, 1h "
	  "or 7d\n"
	  ":4: option 'batch-records': '0' is too small; it goes from 1 to "
	  "100000\n"
	  ":5: option 'max-message': '1G' is too large; it goes from 1K to "
	  "64M\n"
	  ":6: option 'log-level': 'loud' is not a choice; write error, "
	  "warning, info or debug\n"
	  ":7: option 'state-dir': nothing is written there\n" },
	{ SOURCES SINKS "retention: {default-day: 1, phi-ttl-days: 0}\n"
	  "dead-letters: {max-size: 1M, reserve: 2M}\n"
	  "jobs:\n  purge: 5\n  reconcil: 1m\n  lease: 10ms\n",
	  ":3: retention: unknown option 'default-day'; did you mean "
	  "'default-days'?\n"
	  ":3: retention: option 'phi-ttl-days': '0' is too small; it goes "
	  "from 1 to 36500\n"
	  ":4: dead-letters: 'reserve' is a part of 'max-size' and cannot be "
	  "larger\n"
	  ":6: jobs: option 'purge': '5' is not a duration; write 20ms, 5s, "
	  "2m, 1h or 7d\n"
	  ":7: jobs: unknown option 'reconcil'; did you mean 'reconcile'?\n"
	  ":8: jobs: option 'lease': '10ms' is too small; it goes from 1s to "
	  "1h\n" },
	{ "sources:\n  in: {plugin: tap, path: a, kind: meterin,\n"
	  "       formt: x}\n" SINKS,
	  ":2: source 'in': no source plugin 'tap'\n"
	  ":2: source 'in': 'meterin' is not a kind of records; did you mean "
	  "'metering'?\n" },
	{ "sources:\n  in: {path: a}\n  two: \n  three: [x]\n" SINKS,
	  ":2: source 'in': option 'plugin' is missing: The plugin that does "
	  "the work; 'bursar plugins' lists them.\n"
	  ":3: source 'two': option 'plugin' is missing: The plugin that does "
	  "the work; 'bursar plugins' lists them.\n"
	  ":4: source 'three': a map of options is wanted: {NAME: VALUE}\n" },
	{ "sources:\n  in:\n    plugin: tape\n    path: a\n    folow: true\n"
	  "    kind: x\n    crypto: lck\n    format: led\n"
	  SINKS "crypto: {lcks: {plugin: plain}}\n",
	  ":5: source 'in': unknown option 'folow'; did you mean 'follow'?\n"
	  ":6: source 'in': 'x' is not a kind of records; there are metering, "
	  "prompt, tool\n"
	  ":7: source 'in': 'lck' is neither an entry of 'crypto' (did you "
	  "mean 'lcks'?) nor a plugin (no crypto plugin 'lck')\n"
	  ":8: source 'in': 'led' is neither an entry of 'formats' nor a "
	  "plugin (no format plugin 'led')\n" },
	{ "sources: {in: {plugin: tape, path: a, crypto: lock}}\n" SINKS,
	  ":1: source 'in': crypto 'lock' without an entry of its own: option "
	  "'secret-file' is missing: The key.\n" },
	{ "sources: {in: {plugin: tape, path: a, require-encryption: on}}\n"
	  SINKS,
	  ":1: source 'in': 'require-encryption' without 'crypto' would refuse "
	  "every message\n" },
	{ "sources: [a]\nsinks: {\"a b\": {plugin: box}, "
	  "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddx: {plugin: box}}\n",
	  ":1: section 'sources' is a map of entries: {NAME: {plugin: "
	  "PLUGIN}}\n"
	  ":2: sink 'a b': a name is made of letters, digits, '-' and '_'\n"
	  ":2: sink 'aaaaaaaaaabbbbbbbbbbccccccccccddddddddddx': a name has at "
	  "most 40 characters\n" },
	{ SOURCES "sinks: {store: &x {plugin: box}, other: *x}\n",
	  ":2: anchors (&x) and aliases are not understood here; write the "
	  "value out\n"
	  ":2: aliases (*x) are not understood here; write the value out\n" },
	{ SOURCES "sinks: {store: box}\n",
	  ":2: sink 'store': a map of options is wanted: {NAME: VALUE}\n" },
	{ SOURCES "sinks: {store: {plugin: box, required: maybe}}\n",
	  ":2: sink 'store': option 'required': 'maybe' is neither true nor "
	  "false\n" },
	{ SOURCES "sinks: {store: {plugin: box, required: false}}\n",
	  ":2: kind 'metering' goes to no required sink: give it a route to "
	  "one, or list it under 'discard'\n"
	  ":2: kind 'prompt' goes to no required sink: give it a route to "
	  "one, or list it under 'discard'\n"
	  ":2: kind 'tool' goes to no required sink: give it a route to "
	  "one, or list it under 'discard'\n" },
	{ SOURCES SINKS "routes: {kinds: [metering]}\n",
	  ":3: routes: a list is wanted: - {kinds: [KIND], sinks: [NAME]}\n" },
	{ SOURCES SINKS "routes:\n- {kinds: [metring, prompt], sinks: [stor]}\n"
	  "- {kinds: [tool]}\n- x\n",
	  ":4: route 1: no sink is called 'stor'; did you mean 'store'?\n"
	  ":4: route 1: 'metring' is not a kind of records; did you mean "
	  "'metering'?\n"
	  ":5: route 2: option 'sinks' is missing: The sinks that they go "
	  "to.\n"
	  ":6: route 3: a map of options is wanted: {NAME: VALUE}\n" },
	{ SOURCES SINKS "routes:\n- {kinds: [metering, tool], sinks: store}\n",
	  ":3: kind 'prompt' goes to no required sink: give it a route to "
	  "one, or list it under 'discard'\n" },
	{ SOURCES SINKS "routes:\n- {kinds: [metering, tool], sinks: store}\n"
	  "discard: [prompt, tool]\n",
	  ":3: kind 'tool' is listed under 'discard', and yet a route takes it "
	  "to a required sink\n" },
	{ SOURCES SINKS "discard: [prompts]\n",
	  ":3: discard: 'prompts' is not a kind of records; did you mean "
	  "'prompt'?\n" },
	{ SOURCES SINKS "book: stoer\n",
	  ":3: book: no sink is called 'stoer'; did you mean 'store'?\n" },
	{ SOURCES "sinks: {store: {plugin: void}}\nbook: store\n",
	  ":3: book: sink 'store' cannot be asked: its plugin 'void' stores "
	  "and does not read\n" },
	{ SOURCES "sinks: {a: {plugin: box}, b: {plugin: box}}\nbook: a\n"
	  "routes:\n- {kinds: [prompt, tool], sinks: a}\n"
	  "- {kinds: metering, sinks: b}\n",
	  ":3: book: sink 'a' does not get metering: give it a route\n" },
	{ "sources: {in: {plugin: tape, path: a}}\nsinks: {s: {plugin: box}}\n"
	  "crypto: {c: {plugin: lock, secret: hunter2}}\n",
	  ":3: crypto 'c': option 'secret': write secret-file: PATH or secret: "
	  "\"${VARIABLE}\"; a secret does not belong in the configuration "
	  "file\n" },
	{ SOURCES "sinks: {a: {plugin: chest, path: ./y},\n"
	  "  b: {plugin: chest, path: y}}\n",
	  ":3: sink 'b': 'path' is what sink 'a' writes (line 2): give each "
	  "its own\n" },
	{ "sources:\n  in: {plugin: door}\n  too: {plugin: door, listen: "
	  "'0.0.0.0:08377'}\n" SINKS "services:\n  see: {plugin: gate}\n",
	  ":3: source 'too': 'listen' is what source 'in' listens at (line "
	  "2): give each its own\n"
	  ":6: service 'see': 'listen' is what source 'in' listens at (line "
	  "2): give each its own\n" },
	{ "sources:\n  in: {plugin: door, listen: '[::]:1'}\n" SINKS
	  "services: {see: {plugin: gate, listen: '127.0.0.1:1'}}\n",
	  ":4: service 'see': 'listen' is what source 'in' listens at (line "
	  "2): give each its own\n" },
	{ "sources:\n  in: {plugin: door, listen: systemd}\n" SINKS
	  "services: {see: {plugin: gate, listen: systemd}}\n",
	  ":4: service 'see': 'listen' is what source 'in' listens at (line "
	  "2): give each its own\n" },
};

START_TEST(all_mistakes_of_a_file_are_told_at_once)
{
	load(mistakes[_i].yaml);

	ck_assert_ptr_null(setup);
	assert_lines(&findings, mistakes[_i].want);
}
END_TEST

static const struct { const char *yaml, *want; } odd[] = {
	{ SOURCES SINKS "crypto: {c: {plugin: plain}}\n"
	  "formats: {f: {plugin: loose}}\n",
	  ":3: crypto 'c': no source uses it\n"
	  ":4: format 'f': no source uses it\n" },
	{ SOURCES "sinks: {a: {plugin: box}, b: {plugin: box}}\n"
	  "routes: [{kinds: [metering, prompt, tool], sinks: a}]\n",
	  ":2: sink 'b': no route leads there\n" },
	{ SOURCES "sinks: {a: {plugin: void}}\n",
	  ": no sink is fit to be the book: reports and budgets have nothing "
	  "to read\n" },
	{ SOURCES "sinks: {a: {plugin: void},\n b: {plugin: box, required: "
	  "false}}\n", ":3: sink 'b' is the book and is not required: reports "
	  "may miss records\n" },
	{ SOURCES "sinks: {a: {plugin: box}, b: {plugin: box}}\n"
	  "routes:\n- {kinds: metering, sinks: a}\n"
	  "- {kinds: [prompt, tool], sinks: b}\n",
	  ":1: source 'in' feeds kinds that go to different sinks: when one "
	  "stands still, so do the others; give it a 'kind', or each kind a "
	  "source of its own\n" },
	{ "sources: {in: {plugin: tape, path: a, kind: metering,\n"
	  "  format: loose}}\n"
	  "sinks: {a: {plugin: box}, b: {plugin: box}}\n"
	  "routes:\n- {kinds: metering, sinks: a}\n"
	  "- {kinds: [prompt, tool], sinks: b}\n",
	  ":1: source 'in' feeds kinds that go to different sinks: when one "
	  "stands still, so do the others; give it a 'kind', or each kind a "
	  "source of its own\n" },
	{ SOURCES "sinks: {a: {plugin: box}, b: {plugin: box, required: no}}\n"
	  "routes:\n- {kinds: [metering, prompt, tool], sinks: a}\n"
	  "- {kinds: [prompt], sinks: b}\n", "" },
	{ "sources: {in: {plugin: tape, path: a, kind: metering}}\n"
	  "sinks: {a: {plugin: box}}\n"
	  "routes: [{kinds: metering, sinks: a}]\n", "" },
	{ SOURCES SINKS "discard: [prompt, tool]\n", "" },
	{ "sources:\n  in: {plugin: reel, path: a/*}\n"
	  "  too: {plugin: reel, path: a/*}\n" SINKS,
	  ":3: source 'too': 'path' is what source 'in' reads (line 2): each "
	  "record comes twice; take one of them out\n" },
	{ "sources:\n  in: {plugin: door}\n  a: {plugin: door, listen: "
	  "'127.0.0.1:8378'}\n  b: {plugin: door, listen: '[::1]:8377'}\n"
	  "  c: {plugin: door, listen: '127.0.0.1:0'}\n"
	  "  e: {plugin: door, listen: '[::1]:8378'}\n"
	  "  f: {plugin: door, listen: '0.0.0.0:8379'}\n"
	  "  g: {plugin: door, listen: '[::1]:8379'}\n"
	  "  d: {plugin: door, listen: '127.0.0.1:0'}\n"
	  "sinks: {s: {plugin: chest, path: y}}\n", "" },
};

START_TEST(what_is_odd_and_legal_is_a_warning)
{
	load_good(odd[_i].yaml);

	assert_lines(&warnings, odd[_i].want);
}
END_TEST

START_TEST(who_is_answered_waits_for_seconds)
{
	load_good("sources: {a: {plugin: tape, path: a}, b: {plugin: desk},\n"
	          "  c: {plugin: desk, give-back-after: 1h}}\n" SINKS);

	ck_assert_int_eq(setup->sources[0].give_back_us, INT64_C(600000000));
	ck_assert_int_eq(setup->sources[1].give_back_us, INT64_C(10000000));
	ck_assert(!setup->sources[0].strangers && setup->sources[1].strangers);
	ck_assert_int_eq(setup->sources[2].give_back_us,
	                 INT64_C(3600000000));
}
END_TEST

START_TEST(a_discarded_kind_goes_nowhere_without_routes)
{
	load_good(SOURCES SINKS "discard: [prompt]\n");

	ck_assert_uint_eq(setup->routes[0], 1);
	ck_assert_uint_eq(setup->routes[1], 0);
	ck_assert_uint_eq(setup->routes[2], 1);
}
END_TEST

START_TEST(a_discarded_kind_may_go_to_a_sink_that_is_not_required)
{
	load_good(SOURCES "sinks: {a: {plugin: box},\n"
	          "  b: {plugin: box, required: false}}\n"
	          "routes:\n- {kinds: [metering, tool], sinks: [a, b]}\n"
	          "- {kinds: prompt, sinks: b}\ndiscard: prompt\n");

	ck_assert_uint_eq(setup->routes[1], 2);
	ck_assert(setup->discard[1]);
}
END_TEST

START_TEST(the_book_is_the_first_sink_that_has_all_and_can_be_asked)
{
	load_good(SOURCES "sinks:\n  a: {plugin: void}\n"
	          "  b: {plugin: box, required: false}\n"
	          "  c: {plugin: box}\n  d: {plugin: box}\n");

	ck_assert_str_eq(setup->book->item.name, "c");
}
END_TEST

START_TEST(who_only_asks_needs_no_more_than_sinks)
{
	make_file("x.yaml", "sources: {in: {plugin: not-there, format: x}}\n"
	          "crypto: {v: {plugin: gone}}\nservices: {w: {plugin: no}}\n"
	          "prices: {book: /nowhere}\n"
	          "sinks:\n  a: {plugin: void}\n  b: {plugin: box}\n"
	          "routes: [{kinds: [metering], sinks: [b]}, "
	          "{kinds: [prompt, tool], sinks: [a, b], seal: v}]\n"
	          "budgets: {x: {limit: 10, where: team=red}}\n");
	setup = setup_load_book(file, &findings);
	if (setup == NULL) {
		ck_abort_msg("refused: %s", said(&findings));
	}
	ck_assert_str_eq(setup->book->item.name, "b");
	ck_assert_uint_eq(setup->budget_count, 1);
	ck_assert_uint_eq(setup->source_count + setup->crypto_count +
	                  setup->format_count + setup->service_count, 0);
	setup_destroy(setup);

	/* What is wrong with these is told. */
	make_file("x.yaml", SOURCES "sinks: {b: {plugin: gone}}\n");
	setup = setup_load_book(file, &findings);
	ck_assert_ptr_null(setup);
	assert_lines(&findings, ":2: sink 'b': no sink plugin 'gone'\n");
}
END_TEST

START_TEST(an_entry_comes_before_a_plugin_of_its_name)
{
	load_good("sources: {in: {plugin: tape, path: a}}\n" SINKS
	          "formats: {ledger: {plugin: loose}}\n");

	ck_assert_str_eq(setup->sources[0].format->plugin->name, "loose");
	ck_assert_uint_eq(setup->format_count, 1);
}
END_TEST

START_TEST(sources_share_what_they_name_alike)
{
	load_good("sources: {a: {plugin: tape, path: a, crypto: plain},\n"
	          "          b: {plugin: tape, path: b, crypto: plain}}\n"
	          SINKS);

	ck_assert_uint_eq(setup->format_count, 1);
	ck_assert_uint_eq(setup->crypto_count, 1);
	ck_assert_ptr_eq(setup->sources[0].crypto, setup->sources[1].crypto);
}
END_TEST

static char *text_of_crypto(const char *yaml)
{
	char all[512];

	snprintf(all, sizeof(all), "%s%s%s", SOURCES, SINKS, yaml);
	load_good(all);
	return strdup(setup->crypto[0].text);
}

START_TEST(the_text_of_an_entry_follows_its_meaning)
{
	make_file("key", "one");
	char *first = text_of_crypto(
		"crypto: {c: {plugin: lock, secret-file: key}}\n");
	char *same = text_of_crypto(
		"crypto:\n  c:\n    secret-file: 'key'\n    plugin: lock\n");
	make_file("key", "two");
	char *rotated = text_of_crypto(
		"crypto: {c: {plugin: lock, secret-file: key}}\n");
	char *variable = text_of_crypto(
		"crypto: {c: {plugin: lock, secret: \"${BURSAR_TEST_WORD}\"}}"
		"\n");

	ck_assert_str_eq(first, same);
	ck_assert_str_ne(first, rotated);
	ck_assert_str_ne(first, variable);
	ck_assert_ptr_null(strstr(variable, "hunter"));
	free(first);
	free(same);
	free(rotated);
	free(variable);
}
END_TEST

START_TEST(too_many_sinks_are_refused)
{
	char *yaml = NULL;
	size_t size;
	FILE *out = open_memstream(&yaml, &size);

	fputs(SOURCES "sinks:\n", out);
	for (int i = 0; i <= SETUP_MAX_SINKS; i++) {
		fprintf(out, "  s%d: {plugin: box}\n", i);
	}
	fclose(out);
	load(yaml);

	ck_assert_ptr_null(setup);
	assert_lines(&findings, ":2: section 'sinks' has more than 32 "
	             "entries\n");

	*strstr(yaml, "  s32") = '\0';
	load_good(yaml);
	ck_assert_uint_eq(setup->routes[0], UINT32_MAX);
	free(yaml);
}
END_TEST

START_TEST(warnings_may_be_left_out)
{
	make_file("x.yaml", SOURCES "sinks: {a: {plugin: void}}\n");

	setup = setup_load(file, &findings, NULL);

	ck_assert_ptr_nonnull(setup);
}
END_TEST

START_TEST(a_file_may_be_named_from_the_working_folder)
{
	char want[PATH_MAX];

	make_file("x.yaml", SOURCES SINKS);
	ck_assert_int_eq(chdir(dir), 0);

	setup = setup_load("x.yaml", &findings, &warnings);

	ck_assert_ptr_nonnull(setup);
	ck_assert_str_eq(setup->file, file);
	snprintf(want, sizeof(want), "%s/box", dir);
	ck_assert_str_eq(options_text(setup->sinks[0].item.options, "path"),
	                 want);
}
END_TEST

START_TEST(overrides_come_before_the_file_and_that_before_the_built_in_book)
{
	make_file("prices.json", "{\"schema\":1,\"version\":\"v1\","
	          "\"models\":{\"m\":{\"input\":1}}}");
	load_good("sources: {in: {plugin: tape, path: a, cost-from: computed}}\n"
	          SINKS "prices: {book: prices.json, unknown: raise,\n"
	          "  overrides: {m: {input: 2, from: 2025-01-01,\n"
	          "    tiers: [{above: 5, input: 3}]}}}\n");

	const struct prices *p = setup->prices;
	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq(p->book_count, 3);
	ck_assert_str_eq(price_book_name(p->books[0]), "override");
	ck_assert_str_eq(price_book_name(p->books[1]), "book");
	ck_assert_str_eq(price_book_name(p->books[2]), "builtin");
	ck_assert_int_eq(p->unknown, PRICES_RAISE);
	ck_assert(setup->sources[0].cost_computed);

	load_good(SOURCES SINKS "prices: {built-in: false}\n");
	ck_assert_uint_eq(setup->prices->book_count, 0);
	load_good(SOURCES SINKS "prices: {}\n");
	ck_assert_uint_eq(setup->prices->book_count, 1);
	ck_assert_int_eq(setup->prices->unknown, PRICES_WARN);
	load_good(SOURCES SINKS);
	ck_assert_ptr_null(setup->prices);
	ck_assert(!setup->sources[0].cost_computed);
}
END_TEST

START_TEST(what_is_not_installed_is_left_out_where_it_says_so)
{
	load_good("sources:\n"
	          "  net: {plugin: net, if-installed: true, listen: here}\n"
	          "  in: {plugin: tape, path: a, if-installed: yes}\n"
	          "services:\n"
	          "  look: {plugin: look, if-installed: true}\n"
	          "  ring: {plugin: bell, if-installed: true}\n" SINKS);

	ck_assert_uint_eq(setup->source_count, 1);
	ck_assert_str_eq(setup->sources[0].item.name, "in");
	ck_assert_uint_eq(setup->service_count, 1);
	ck_assert_str_eq(setup->services[0].name, "ring");
	assert_lines(&warnings,
		":2: source 'net' is left out: no source plugin 'net'\n"
		":5: service 'look' is left out: no service plugin 'look'\n");
}
END_TEST

START_TEST(what_is_not_installed_is_a_mistake_otherwise)
{
	load("sources: {in: {plugin: tape, path: a},\n"
	     " net: {plugin: net, if-installed: false}}\n" SINKS);

	ck_assert_ptr_null(setup);
	assert_lines(&findings,
	             ":2: source 'net': no source plugin 'net'\n");
}
END_TEST

START_TEST(one_source_has_to_be_left)
{
	load("sources:\n  net: {plugin: net, if-installed: true}\n" SINKS);

	ck_assert_ptr_null(setup);
	assert_lines(&findings, ":2: no source is left: none of their plugins "
	             "is installed\n");
}
END_TEST

START_TEST(the_file_is_the_given_one_or_that_of_the_environment)
{
	setenv("BURSAR_CONFIG", "/a.yaml", 1);
	ck_assert_str_eq(setup_default_file("b.yaml"), "b.yaml");
	ck_assert_str_eq(setup_default_file(NULL), "/a.yaml");
	unsetenv("BURSAR_CONFIG");
	ck_assert_str_eq(setup_default_file(NULL),
	                 SYSCONF_DIR "/bursar/bursar.yaml");
}
END_TEST

static const struct bursar_option *const tables[] = {
	setup_top_options, setup_retention_options, setup_dead_letter_options,
	setup_route_options, setup_source_options, setup_sink_options,
	setup_prices_options, setup_item_options, setup_service_options,
	setup_job_options, setup_budget_options,
};

START_TEST(every_option_of_the_core_has_a_sentence_of_help)
{
	for (const struct bursar_option *o = tables[_i]; o->name != NULL; o++) {
		const size_t size = strlen(o->help);

		ck_assert_msg(size > 10 && o->help[size - 1] == '.' &&
		              o->help[0] >= 'A' && o->help[0] <= 'Z',
		              "%s: %s", o->name, o->help);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("setup");

	TCase *good = tcase_create("good");
	tcase_add_checked_fixture(good, start, stop);
	tcase_add_test(good, the_least_configuration_has_all_defaults);
	tcase_add_test(good, everything_that_can_be_said_is_heard);
	tcase_add_test(good, who_is_answered_waits_for_seconds);
	tcase_add_test(good,
		what_is_not_installed_is_left_out_where_it_says_so);
	tcase_add_test(good, a_discarded_kind_goes_nowhere_without_routes);
	tcase_add_test(good,
		a_discarded_kind_may_go_to_a_sink_that_is_not_required);
	tcase_add_test(good,
		the_book_is_the_first_sink_that_has_all_and_can_be_asked);
	tcase_add_test(good, who_only_asks_needs_no_more_than_sinks);
	tcase_add_test(good, an_entry_comes_before_a_plugin_of_its_name);
	tcase_add_test(good, sources_share_what_they_name_alike);
	tcase_add_test(good, the_text_of_an_entry_follows_its_meaning);
	tcase_add_test(good, warnings_may_be_left_out);
	tcase_add_test(good, a_file_may_be_named_from_the_working_folder);
	tcase_add_test(good,
		overrides_come_before_the_file_and_that_before_the_built_in_book
	);
	tcase_add_test(good,
		the_file_is_the_given_one_or_that_of_the_environment);
	tcase_add_loop_test(good,
		every_option_of_the_core_has_a_sentence_of_help, 0,
		COUNT(tables));
	suite_add_tcase(s, good);

	TCase *bad = tcase_create("bad");
	tcase_add_checked_fixture(bad, start, stop);
	tcase_add_test(bad, what_is_not_installed_is_a_mistake_otherwise);
	tcase_add_test(bad, one_source_has_to_be_left);
	tcase_add_loop_test(bad, all_mistakes_of_a_file_are_told_at_once, 0,
	                    COUNT(mistakes));
	tcase_add_loop_test(bad, what_is_odd_and_legal_is_a_warning, 0,
	                    COUNT(odd));
	tcase_add_test(bad, too_many_sinks_are_refused);
	suite_add_tcase(s, bad);

	SRunner *runner = srunner_create(s);

	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
