/* SPDX-License-Identifier: Apache-2.0 */

/*
 * generate COUNT [FIRST [STEP]] - metering records as JSON lines, for benchmarks
 *
 * The same lines for the same arguments: record n depends on n and STEP alone,
 * from FIRST (0) on.  About 720 bytes a line, ids at random, a record every
 * STEP microseconds (50,000) from 2025-01-01 on.
 */
#include "config.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/rfc3339.h"

#define START_US INT64_C(1735689600000000)
#define STEP_US  INT64_C(50000)

static const struct {
	const char *provider, *model;
	int in, out;		/* nano-dollars a token */
} models[] = {
	{ "anthropic", "claude-sonnet-4-6", 3000, 15000 },
	{ "anthropic", "claude-haiku-4-5", 1000, 5000 },
	{ "openai", "gpt-5-mini", 250, 2000 },
	{ "openai", "gpt-4o", 2500, 10000 },
	{ "bedrock", "anthropic.claude-haiku-4-5", 1000, 5000 },
	{ "gemini", "gemini-2.5-flash", 300, 2500 },
	{ "ollama", "qwen3.5:27b", 0, 0 },
};
static const char *const types[] = { "chat", "embed", "structured", "fleet" };
static const char *const tiers[] = { "local", "fleet", "cloud", "frontier" };
static const char *const reasons[] = { "default", "cost", "failover", "pin" };

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t state;

static uint64_t next(void)
{
	uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* Between lo and hi, small values more often. */
static int skewed(int lo, int hi)
{
	const double u = (double)(next() >> 11) / 9007199254740992.0;

	return lo + (int)((hi - lo) * u * u * u);
}

static void print_record(uint64_t n, int64_t step)
{
	char at[RFC3339_SIZE];

	state = n * UINT64_C(0xd1342543de82ef95) + 7;
	const uint64_t a = next(), b = next(), c = next(), d = next();
	const int m = (int)(next() % (sizeof(models) / sizeof(models[0])));
	const int in = skewed(50, 9000), out = skewed(5, 2500);
	const int thinking = next() % 5 == 0 ? skewed(50, 4000) : 0;
	const int64_t cost = (int64_t)in * models[m].in +
		(int64_t)(out + thinking) * models[m].out;

	rfc3339_format(START_US + (int64_t)n * step, at);
	printf("{\"message_id\":\"meter_%08x-%04x-4%03x-%04x-%012" PRIx64 "\","
	       "\"correlation_id\":\"req_%013" PRIx64 "\","
	       "\"message_context\":{\"conversation_id\":\"conv_%08x\","
	       "\"message_id\":\"msg_%03d\",\"parent_message_id\":\"msg_%03d\","
	       "\"message_seq\":%d,\"request_id\":\"req_%013" PRIx64 "\","
	       "\"exchange_id\":\"exch_%d\"},",
	       (unsigned)(a >> 32), (unsigned)(a & 0xffff),
	       (unsigned)(a >> 16 & 0xfff), (unsigned)(b >> 48),
	       b & UINT64_C(0xffffffffffff), c & UINT64_C(0xfffffffffffff),
	       (unsigned)d, (int)(n % 997), (int)((n + 996) % 997),
	       (int)(n % 40), d & UINT64_C(0xfffffffffffff), (int)(n % 9));
	printf("\"request_type\":\"%s\",\"tier\":\"%s\",\"provider\":\"%s\","
	       "\"model_id\":\"%s\",\"node_id\":\"node-%02d\","
	       "\"worker_id\":\"worker-%03d\",\"agent_id\":\"agent-%d\","
	       "\"task_id\":\"task-%d\",\"input_tokens\":%d,"
	       "\"output_tokens\":%d,\"thinking_tokens\":%d,"
	       "\"total_tokens\":%d,\"latency_ms\":%d,\"wall_clock_ms\":%d,",
	       types[next() % 4], tiers[next() % 4], models[m].provider,
	       models[m].model, (int)(n % 16), (int)(n % 120), (int)(n % 33),
	       (int)(n % 5000), in, out, thinking, in + out + thinking,
	       skewed(100, 20000), skewed(120, 22000));
	printf("\"cost_usd\":%" PRId64 ".%09" PRId64 ",\"routing_reason\":\"%s\","
	       "\"billing\":{\"cost_center\":\"cc-%d\",\"budget_id\":"
	       "\"budget_%d\"},\"recorded_at\":\"%.23sZ\"}\n",
	       cost / 1000000000, cost % 1000000000, reasons[next() % 4],
	       (int)(n % 12), (int)(n % 24), at);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fputs("usage: generate COUNT [FIRST [STEP]]\n", stderr);
		return 2;
	}
	const uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
	const uint64_t count = strtoull(argv[1], NULL, 10);

	const int64_t step = argc > 3 ? strtoll(argv[3], NULL, 10) : STEP_US;

	for (uint64_t n = first; n < first + count; n++) {
		print_record(n, step);
	}
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
