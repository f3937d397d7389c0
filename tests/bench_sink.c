/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bench_sink - what a record costs in a sink, and whether that grows
 *
 *	bench_sink sqlite   MILLIONS BATCH path=LEDGER.db [OPTION=VALUE ...]
 *	bench_sink postgres MILLIONS BATCH conninfo=... schema=...
 *
 * With tags=N each record bears N tags, of 7, 100 or 1 values in turn.
 *
 * Makes metering records (lengths and spread as a gateway sends them, 20 a
 * second, random ids), ordered by key as the daemon orders them, and times
 * nothing but write().  Prints a line for each million: rows a second, how much
 * of that the processor worked (others may use it as well), the slowest batch,
 * and what the process holds in memory.
 */
#include "config.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <check.h>

#include <bursar/sink.h>

#include "core/plugin/schema.h"
#include "tests/fakehost.h"
#include "tests/sinkrecord.h"

#define MILLION 1000000u
#define TEXTS   20
#define LONGEST 48

struct model {
	const char *provider;
	const char *name;
	double in, out;		/* dollars a million tokens */
};

static const struct model models[] = {
	{ "anthropic", "claude-sonnet-4-6", 3, 15 },
	{ "anthropic", "claude-opus-4-6", 15, 75 },
	{ "openai", "gpt-4o", 2.5, 10 },
	{ "openai", "gpt-4o-mini", 0.15, 0.6 },
	{ "bedrock", "anthropic.claude-haiku-4-5", 0.8, 4 },
	{ "ollama", "llama3.3:70b", 0, 0 },
	{ "gemini", "gemini-2.5-flash", 0.3, 2.5 },
};

/* --- chance ------------------------------------------------------------- */

static uint64_t state[2];

static uint64_t chance(void)
{
	uint64_t a = state[0];
	const uint64_t b = state[1];

	state[0] = b;
	a ^= a << 23;
	state[1] = a ^ b ^ (a >> 18) ^ (b >> 5);
	return state[1] + b;
}

static int64_t log_normal(double mu, double sigma)
{
	const double a = ((double)(chance() >> 11) + 1) / 9007199254740993.0;
	const double b = (double)(chance() >> 11) / 9007199254740992.0;

	return (int64_t)exp(mu + sigma * sqrt(-2 * log(a)) *
	                    cos(6.283185307179586 * b));
}

/* --- records ------------------------------------------------------------ */

struct made {
	struct bursar_record *record;
	char texts[TEXTS][LONGEST];
	char tags[1024];
	size_t used;
};

static const struct bursar_kind *kind;

__attribute__((format(printf, 3, 4)))
static void set(struct made *made, const char *field, const char *fmt, ...)
{
	char *text = made->texts[made->used++];
	va_list ap;

	assert(made->used <= TEXTS);
	va_start(ap, fmt);
	vsnprintf(text, LONGEST, fmt, ap);
	va_end(ap);
	bursar_set_text(made->record, bursar_field_find(kind, field), text,
	                strlen(text));
}

static void set_number(struct made *made, const char *field, int64_t number)
{
	bursar_set_number(made->record, bursar_field_find(kind, field), number);
}

static void set_id(struct made *made)
{
	const uint64_t a = chance(), b = chance();

	set(made, "message_id", "meter_%08x-%04x-4%03x-%04x-%012" PRIx64,
	    (unsigned)(a >> 32), (unsigned)(a >> 16 & 0xffff),
	    (unsigned)(a & 0xfff), (unsigned)(b >> 48 | 0x8000),
	    b & 0xffffffffffff);
}

static void set_context(struct made *made, uint64_t i)
{
	set(made, "correlation_id", "req_%08x-%04x", (unsigned)chance(),
	    (unsigned)(chance() & 0xffff));
	set(made, "conversation_id", "conv_%08x", (unsigned)chance());
	set(made, "message_id_ctx", "msg_%03u", (unsigned)(i % 997));
	set(made, "parent_message_id", "msg_%03u", (unsigned)((i + 996) % 997));
	set_number(made, "message_seq", (int64_t)(i % 40));
	set(made, "request_id", "req_%08x-%04x", (unsigned)chance(),
	    (unsigned)(chance() & 0xffff));
	set(made, "exchange_id", "exch_%u", (unsigned)(i % 9));
}

static void set_origin(struct made *made, uint64_t i)
{
	static const char *const types[] = { "chat", "embed", "structured",
	                                     "fleet" };
	static const char *const tiers[] = { "local", "fleet", "cloud",
	                                     "frontier" };
	static const char *const reasons[] = { "default", "cost_optimization",
	                                       "failover", "pinned" };

	set(made, "request_type", "%s", types[chance() % 4]);
	set(made, "tier", "%s", tiers[chance() % 4]);
	set(made, "node_id", "node-%02u", (unsigned)(i % 16));
	set(made, "worker_id", "worker-%03u", (unsigned)(i % 120));
	set(made, "agent_id", "agent-%u", (unsigned)(i % 33));
	set(made, "task_id", "task-%u", (unsigned)(i % 5000));
	set(made, "routing_reason", "%s", reasons[chance() % 4]);
	set(made, "cost_center", "cc-%u", (unsigned)(i % 12));
	set(made, "budget_id", "budget_%u", (unsigned)(i % 24));
	set(made, "source", "metering");
}

static void set_usage(struct made *made)
{
	const struct model *model = &models[chance() % 7];
	const int64_t in = log_normal(7, 1), out = log_normal(5.5, 1);
	const int64_t thinking = chance() % 5 == 0 ? log_normal(6, 0.7) : 0;
	const int64_t cost = (int64_t)((double)in * model->in * 1000 +
	                               (double)out * model->out * 1000);

	set(made, "provider", "%s", model->provider);
	set(made, "model_id", "%s", model->name);
	set_number(made, "input_tokens", in);
	set_number(made, "output_tokens", out);
	set_number(made, "thinking_tokens", thinking);
	set_number(made, "total_tokens", in + out + thinking);
	set_number(made, "latency_ms", log_normal(7, 0.6));
	set_number(made, "wall_clock_ms", log_normal(7.2, 0.6));
	set_number(made, "cost_usd", cost);
	set_number(made, "cost_reported_usd", cost);
}

static unsigned tags;

static void set_tags(struct made *made)
{
	const size_t room = sizeof(made->tags);
	size_t size = 0;

	for (unsigned i = 0; i < tags && i < 20; i++) {
		size += (size_t)snprintf(
			made->tags + size, room - size,
			"%s\"key-%u\":\"value-%u\"", i == 0 ? "{" : ",", i,
			(unsigned)(i % 3 == 2 ? 0 : chance() %
			           (i % 3 == 0 ? 7 : 100)));
	}
	if (size > 0) {
		made->tags[size++] = '}';
		bursar_set_text(made->record, bursar_field_find(kind, "tags"),
		                made->tags, size);
	}
}

static void make(struct made *made, struct fakehost *host, uint64_t i)
{
	const int64_t at = INT64_C(1793491200000000) + (int64_t)i * 50000;
	const struct bursar_value *id;

	made->used = 0;
	memset(made->record->values, 0,
	       kind->field_count * sizeof(made->record->values[0]));
	set_id(made);
	set_number(made, "recorded_at", at);
	set_number(made, "inserted_at", at + 200000);
	set_number(made, "dq_flags", 0);
	set_context(made, i);
	set_origin(made, i);
	set_usage(made);
	set_tags(made);
	id = &made->record->values[BURSAR_MESSAGE_ID];
	host->host.key(kind, id->text, id->size, made->record->key);
	made->record->check = chance();
}

/* --- figures ------------------------------------------------------------ */

static double seconds(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static long resident_kb(void)
{
	long pages = 0, resident = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	if (file != NULL) {
		if (fscanf(file, "%ld %ld", &pages, &resident) != 2) {
			resident = 0;
		}
		fclose(file);
	}
	return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

struct timing {
	double seconds;
	double cpu;
	double slowest;
	uint64_t rows;
};

static void write_batch(const struct bursar_sink_ops *ops,
                        struct bursar_sink *sink,
                        struct bursar_record **records, size_t count,
                        enum bursar_outcome *outcomes, struct timing *timing)
{
	struct bursar_error err = { 0 };
	size_t culprit;
	const double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	const double start = seconds(CLOCK_MONOTONIC);
	const enum bursar_verdict verdict = ops->write(sink, records, count,
	                                               outcomes, &culprit, &err);
	const double took = seconds(CLOCK_MONOTONIC) - start;

	ck_assert_msg(verdict == BURSAR_DONE, "%s", err.text);
	for (size_t i = 0; i < count; i++) {
		assert(outcomes[i] == BURSAR_STORED);
	}
	timing->seconds += took;
	timing->cpu += seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	timing->slowest = took > timing->slowest ? took : timing->slowest;
	timing->rows += count;
}

static void report(uint64_t done, struct timing *timing)
{
	const double rows = (double)timing->rows;

	printf("%9.3f M rows: %7.0f rows/s, %.2f us a row, %.2f of them of "
	       "the processor, slowest batch %4.0f ms, resident %ld MB\n",
	       (double)done / MILLION, rows / timing->seconds,
	       timing->seconds * 1e6 / rows, timing->cpu * 1e6 / rows,
	       timing->slowest * 1000, resident_kb() / 1024);
	fflush(stdout);
	*timing = (struct timing){ 0 };
}

static void run(const struct bursar_sink_ops *ops, struct bursar_sink *sink,
                struct fakehost *host, uint64_t rows, size_t batch)
{
	struct made *made = calloc(batch, sizeof(*made));
	struct bursar_record **records = calloc(batch, sizeof(*records));
	enum bursar_outcome *outcomes = calloc(batch, sizeof(*outcomes));
	struct timing timing = { 0 };

	for (size_t i = 0; i < batch; i++) {
		made[i].record = sinkrecord_create(kind);
	}
	for (uint64_t done = 0; done < rows; done += batch) {
		for (size_t i = 0; i < batch; i++) {
			make(&made[i], host, done + i);
			records[i] = made[i].record;
		}
		qsort(records, batch, sizeof(*records), sinkrecord_compare);
		write_batch(ops, sink, records, batch, outcomes, &timing);
		if (done / MILLION != (done + batch) / MILLION ||
		    done + batch >= rows) {
			report(done + batch, &timing);
		}
	}
	for (size_t i = 0; i < batch; i++) {
		free(made[i].record);
	}
	free(made);
	free(records);
	free(outcomes);
}

static int    count_of_words;
static char **words;

/* A test, as what it uses of the tests works in one alone. */
START_TEST(the_benchmark)
{
	struct fakehost *host = calloc(1, sizeof(*host));
	const struct bursar_plugin *plugin = fakehost_load("sink", words[1]);
	const double millions = atof(words[2]);
	struct bursar_error err = { 0 };
	enum bursar_verdict verdict;
	struct bursar_sink *sink;
	double start;

	fakehost_init(host, &schema);
	fakehost_declare(host, plugin->options);
	for (int i = 4; i < count_of_words; i++) {
		char *value = strchr(words[i], '=');

		ck_assert_ptr_nonnull(value);
		*value = '\0';
		if (strcmp(words[i], "tags") == 0) {
			tags = (unsigned)strtoul(value + 1, NULL, 10);
			continue;
		}
		fakehost_set(host, words[i], value + 1);
	}
	kind = &schema.kinds[0];
	ck_assert(getrandom(state, sizeof(state), 0) == sizeof(state));

	start = seconds(CLOCK_MONOTONIC);
	sink = plugin->ops.sink->open(&host->host, BURSAR_WRITE, &verdict, &err);
	ck_assert_msg(sink != NULL, "%s", err.text);
	printf("opened in %.3f s\n", seconds(CLOCK_MONOTONIC) - start);
	run(plugin->ops.sink, sink, host, (uint64_t)(millions * MILLION),
	    (size_t)atol(words[3]));
	start = seconds(CLOCK_MONOTONIC);
	plugin->ops.sink->close(sink);
	printf("closed in %.3f s\n", seconds(CLOCK_MONOTONIC) - start);
	fakehost_finish(host);
	free(host);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("bench_sink");
	TCase *bench = tcase_create("bench");

	if (argc < 5) {
		fprintf(stderr, "usage: bench_sink PLUGIN MILLIONS BATCH "
		        "OPTION=VALUE ...\n");
		return 2;
	}
	count_of_words = argc;
	words = argv;
	tcase_set_timeout(bench, 0);
	tcase_add_test(bench, the_benchmark);
	suite_add_tcase(suite, bench);

	SRunner *runner = srunner_create(suite);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_MINIMAL);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
