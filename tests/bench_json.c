/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bench_json [FILE] - how fast JSON is read
 *
 * Reads records, one a line, from FILE, or makes metering records of about
 * 720 bytes; then bodies of 4 MB.  Prints the best of several rounds, which
 * is what the code can do when nothing disturbs it.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/json.h"
#include "common/json_check.h"

#define PADDING 64
#define RECORDS 2000
#define BODY_SIZE ((size_t)4 << 20)
#define ROUNDS 60

/* Texts one behind the other, readable beyond the last. */
struct texts {
	char   *data;
	size_t  size;
	size_t *starts;		/* count + 1 of them */
	size_t  count;
};

static struct json_reader *reader;
static struct json_nodes checked;
static char *minified;

static void *must(void *memory)
{
	if (memory == NULL) {
		fputs("bench_json: out of memory\n", stderr);
		exit(EXIT_FAILURE);
	}
	return memory;
}

/* --- texts --------------------------------------------------------------- */

static uint32_t next_random(void)
{
	static uint32_t state = 7;

	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state;
}

static int make_record(char *out, size_t room, unsigned i)
{
	return snprintf(out, room,
		"{\"message_id\":\"meter_%08x-%04x-4%03x-8%03x-%08x%04x\","
		"\"correlation_id\":\"req_%08x-%04x\",\"message_context\":{"
		"\"conversation_id\":\"conv_%08x\",\"message_id\":\"msg_%03u\","
		"\"parent_message_id\":\"msg_%03u\",\"message_seq\":%u,"
		"\"request_id\":\"req_%08x-%04x\",\"exchange_id\":\"exch_%u\"},"
		"\"request_type\":\"structured\",\"tier\":\"frontier\","
		"\"provider\":\"anthropic\",\"model_id\":\"claude-sonnet-4-6\","
		"\"node_id\":\"node-%02u\",\"worker_id\":\"worker-%03u\","
		"\"agent_id\":\"agent-%u\",\"task_id\":\"task-%u\","
		"\"input_tokens\":%u,\"output_tokens\":%u,"
		"\"thinking_tokens\":%u,\"total_tokens\":%u,"
		"\"latency_ms\":%u,\"wall_clock_ms\":%u,\"cost_usd\":0.%08u,"
		"\"routing_reason\":\"cost_optimization\",\"billing\":{"
		"\"cost_center\":\"cc-%u\",\"budget_id\":\"budget_%u\"},"
		"\"recorded_at\":\"2026-11-01T00:%02u:%02u.%03uZ\"}",
		next_random(), next_random() & 0xFFFF, next_random() & 0xFFF,
		next_random() & 0xFFF, next_random(), next_random() & 0xFFFF,
		next_random(), next_random() & 0xFFFF, next_random(), i % 997,
		(i + 996) % 997, i % 40, next_random(), next_random() & 0xFFFF,
		i % 9, i % 16, i % 120, i % 33, i % 5000,
		next_random() % 5000, next_random() % 900,
		next_random() % 300, next_random() % 6000,
		next_random() % 4000, next_random() % 5000,
		next_random() % 10000000, i % 12, i % 24, i / 60 % 60, i % 60,
		next_random() % 1000);
}

static struct texts make_records(void)
{
	struct texts texts = {
		.data = must(malloc(RECORDS * 1024 + PADDING)),
		.starts = must(malloc((RECORDS + 1) * sizeof(size_t))),
	};

	for (unsigned i = 0; i < RECORDS; i++) {
		texts.starts[texts.count++] = texts.size;
		texts.size += (size_t)make_record(texts.data + texts.size, 1024, i);
	}
	texts.starts[texts.count] = texts.size;
	return texts;
}

static struct texts read_lines(const char *path)
{
	struct texts texts = { 0 };
	FILE *file = fopen(path, "r");

	if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
		perror(path);
		exit(EXIT_FAILURE);
	}
	const size_t size = (size_t)ftell(file);
	rewind(file);
	texts.data = must(malloc(size + PADDING));
	texts.starts = must(malloc((size + 2) * sizeof(size_t)));
	texts.size = fread(texts.data, 1, size, file);
	fclose(file);
	for (size_t at = 0; at < texts.size;) {
		const char *line = texts.data + at;
		const char *end = memchr(line, '\n', texts.size - at);

		texts.starts[texts.count++] = at;
		at += end == NULL ? texts.size - at : (size_t)(end - line) + 1;
	}
	texts.starts[texts.count] = texts.size;
	return texts;
}

static struct texts repeat(const char *before, const char *piece,
                           const char *after)
{
	struct texts texts = {
		.data = must(malloc(BODY_SIZE + PADDING)),
		.starts = must(malloc(2 * sizeof(size_t))),
		.count = 1,
	};
	const size_t size = strlen(piece);

	texts.size = strlen(before);
	memcpy(texts.data, before, texts.size);
	while (texts.size + size + strlen(after) <= BODY_SIZE) {
		memcpy(texts.data + texts.size, piece, size);
		texts.size += size;
	}
	memcpy(texts.data + texts.size, after, strlen(after));
	texts.size += strlen(after);
	texts.starts[0] = 0;
	texts.starts[1] = texts.size;
	return texts;
}

static void free_texts(struct texts *texts)
{
	free(texts->data);
	free(texts->starts);
}

/* --- what is measured ---------------------------------------------------- */

/* Each returns something that depends on all its work. */
static size_t do_read(const char *text, size_t size)
{
	struct json_doc doc;
	struct bursar_error err = { 0 };

	if (json_read(reader, text, size, &doc, &err) != 0) {
		fprintf(stderr, "bench_json: %s\n", err.text);
		exit(EXIT_FAILURE);
	}
	return doc.count;
}

static size_t do_check(const char *text, size_t size)
{
	json_check(&checked, text, size, NULL);
	return checked.count;
}

static size_t do_minify(const char *text, size_t size)
{
	return json_minify(text, size, minified);
}

static size_t do_take(const char *text, size_t size)
{
	static const char *const names[] = {
		"message_id", "correlation_id", "request_type", "tier",
		"provider", "model_id", "node_id", "worker_id", "agent_id",
		"task_id", "input_tokens", "output_tokens", "thinking_tokens",
		"total_tokens", "latency_ms", "wall_clock_ms", "cost_usd",
		"routing_reason", "recorded_at",
	};
	struct json_doc doc;
	size_t sum = 0;
	int64_t value = 0;

	if (json_read(reader, text, size, &doc, NULL) != 0) {
		return 0;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const uint32_t node = json_member(&doc, 0, names[i]);

		if (doc.nodes[node].type == JSON_NUMBER) {
			json_decimal(&doc, node, 9, &value);
			sum += (size_t)value;
		}
		sum += node;
	}
	return sum;
}

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void measure(const char *what, const struct texts *texts,
                    size_t (*work)(const char *text, size_t size))
{
	volatile size_t sum = 0;
	double best = 1e18;

	for (int round = 0; round < ROUNDS; round++) {
		const double start = now_ns();

		for (size_t i = 0; i < texts->count; i++) {
			const size_t at = texts->starts[i];

			sum += work(texts->data + at, texts->starts[i + 1] - at);
		}
		const double took = now_ns() - start;
		best = took < best ? took : best;
	}
	printf("%-34s %12.0f ns each %8.0f MB/s\n", what,
	       best / (double)texts->count, (double)texts->size / best * 1e3);
}

static void measure_body(const char *what, const char *before,
                         const char *piece, const char *after)
{
	struct texts texts = repeat(before, piece, after);

	measure(what, &texts, do_read);
	free_texts(&texts);
}

int main(int argc, char **argv)
{
	struct texts records = argc > 1 ? read_lines(argv[1]) : make_records();

	reader = must(json_reader_create());
	minified = must(malloc(records.size + PADDING));
	if (records.count > 0) {
		printf("%zu records of %zu bytes\n", records.count,
		       records.size / records.count);
		measure("record: read", &records, do_read);
		measure("record: read, 19 members taken", &records, do_take);
		measure("record: by the checker", &records, do_check);
		measure("record: minify", &records, do_minify);
	}

	measure_body("body: one long string", "{\"prompt\":\"",
	             "the quick brown fox jumps over the lazy dog, ", "\"}");
	measure_body("body: text with line ends", "{\"prompt\":\"",
	             "the quick brown fox jumps over the lazy dog\\n", "\"}");
	measure_body("body: text of escapes", "{\"prompt\":\"",
	             "\\\"a\\\":\\u00e9,", "\"}");
	measure_body("body: messages", "[{}",
	             ",{\"role\":\"user\",\"content\":\"What is it?\\nTell me \xC3"
	             "\xA9 more about the thing that we talked of, please.\"}",
	             "]");
	measure_body("body: small numbers", "[0", ",1234", "]");
	measure_body("body: fractions", "[0", ",-0.0123456789", "]");

	free_texts(&records);
	free(minified);
	free(checked.list);
	json_reader_destroy(reader);
	return EXIT_SUCCESS;
}
