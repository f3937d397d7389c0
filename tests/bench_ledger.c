/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bench_ledger FILE - how fast the ledger format decodes
 *
 * FILE holds metering bodies, one a line.  Prints nanoseconds a record for
 * reading the JSON alone and for the whole decode, the best of several rounds.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <bursar/format.h>

#include "common/json.h"
#include "core/plugin/schema.h"

#define PADDING    64
#define ROUNDS     100
#define ARENA_SIZE ((size_t)1 << 20)

/* The plugin is linked in: what is measured is its code, not the loader. */
extern const struct bursar_plugin format_ledger_LTX_bursar_plugin;

static char arena_memory[ARENA_SIZE];
static size_t arena_used;
static struct bursar_record *record;

static void *arena_alloc(struct bursar_arena *arena, size_t size)
{
	const size_t at = arena_used;

	(void)arena;
	if (size + PADDING > ARENA_SIZE - at) {
		return NULL;
	}
	arena_used += (size + PADDING + 15) & ~(size_t)15;
	return arena_memory + at;
}

static struct bursar_arena arena = { arena_alloc };

static struct bursar_record *add(struct bursar_records *records,
                                 const struct bursar_kind *kind)
{
	(void)records;
	memset(record->values, 0, kind->field_count *
	                          sizeof(record->values[0]));
	record->kind = kind;
	return record;
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* The whole file, followed by PADDING bytes. */
static char *slurp(const char *path, size_t *size)
{
	FILE *file = fopen(path, "r");
	char *text = NULL;

	*size = 0;
	if (file == NULL) {
		perror(path);
		exit(EXIT_FAILURE);
	}
	for (size_t got = 1; got > 0; *size += got) {
		text = realloc(text, *size + (1 << 20) + PADDING);
		if (text == NULL) {
			exit(EXIT_FAILURE);
		}
		got = fread(text + *size, 1, 1 << 20, file);
	}
	fclose(file);
	memset(text + *size, 0, PADDING);
	return text;
}

struct work {
	const struct bursar_format_ops *ops;
	struct bursar_format *format;
	struct json_reader *reader;
	const char *text;
	size_t size;
	size_t count;
};

static void read_one(const struct work *w, const char *line, size_t size)
{
	struct bursar_error err = { 0 };
	struct json_doc doc;

	if (json_read(w->reader, line, size, &doc, &err) != 0) {
		fprintf(stderr, "%s\n", err.text);
		exit(EXIT_FAILURE);
	}
}

static void decode_one(const struct work *w, const char *line, size_t size)
{
	struct bursar_message message = {
		.body = { line, size }, .kind = &schema.kinds[0],
		.message_id = { "metering_0", 10 },
		.correlation_id = { "req_0", 5 },
	};
	struct bursar_records records = { add, &arena };
	struct bursar_error err = { 0 };

	arena_used = 0;
	if (w->ops->decode(w->format, &message, &records, &err) !=
	    BURSAR_DONE) {
		fprintf(stderr, "%s\n", err.text);
		exit(EXIT_FAILURE);
	}
}

static void best(struct work *w, const char *what,
                 void (*one)(const struct work *, const char *, size_t))
{
	double least = 1e9;

	for (int round = 0; round < ROUNDS; round++) {
		const char *at = w->text;
		const double began = seconds();

		for (w->count = 0; at < w->text + w->size; w->count++) {
			const char *end = strchr(at, '\n');

			one(w, at, (size_t)(end - at));
			at = end + 1;
		}

		const double took = (seconds() - began) / (double)w->count;

		least = took < least ? took : least;
	}
	printf("%-8s %6.0f ns a record of %zu bytes\n", what, least * 1e9,
	       w->size / w->count);
}

static int64_t number(const struct bursar_host *host, const char *name)
{
	(void)host, (void)name;
	return 0;
}

int main(int argc, char **argv)
{
	static const struct bursar_host host = {
		.schema = &schema, .number = number,
	};
	struct bursar_error err = { 0 };
	struct work w = {
		.ops = format_ledger_LTX_bursar_plugin.ops.format,
	};

	if (argc != 2) {
		fputs("usage: bench_ledger FILE\n", stderr);
		return 2;
	}
	record = calloc(1, sizeof(*record) +
	                128 * sizeof(record->values[0]));
	w.text = slurp(argv[1], &w.size);
	w.reader = json_reader_create();
	w.format = w.ops->open(&host, &err);
	if (record == NULL || w.reader == NULL || w.format == NULL) {
		return EXIT_FAILURE;
	}
	best(&w, "read", read_one);
	best(&w, "decode", decode_one);
	w.ops->close(w.format);
	json_reader_destroy(w.reader);
	free(record);
	free((void *)(uintptr_t)w.text);
	return EXIT_SUCCESS;
}
