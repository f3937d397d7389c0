/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A Bloom filter in lines of the processor's cache.
 *
 * The leading 8 bytes of a key choose its line, in order; bits of the other 8
 * choose SHIFTS bits of the 512 in it.  So a batch in key order walks through
 * memory forwards, and a range of keys lies in few chunks.
 */
#include "config.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>

#include "sqlite.h"

#define LINE_BYTES 64u
#define SHIFTS     6u		/* 9 bits of the key for each */

struct filter {
	uint8_t *bits;
	bool    *changed;	/* of each chunk */
	size_t   chunks;
	uint64_t lines;
};

struct filter *filter_create(size_t bytes)
{
	struct filter *filter = calloc(1, sizeof(*filter));

	assert(bytes >= FILTER_CHUNK && bytes % FILTER_CHUNK == 0);

	if (filter == NULL) {
		return NULL;
	}
	filter->chunks = bytes / FILTER_CHUNK;
	filter->lines = bytes / LINE_BYTES;
	filter->changed = calloc(filter->chunks, sizeof(*filter->changed));
	filter->bits = aligned_alloc(LINE_BYTES, bytes);
	if (filter->changed == NULL || filter->bits == NULL) {
		filter_destroy(filter);
		return NULL;
	}
	filter_clear(filter);
	return filter;
}

void filter_destroy(struct filter *filter)
{
	if (filter == NULL) {
		return;
	}
	free(filter->bits);
	free(filter->changed);
	free(filter);
}

void filter_clear(struct filter *filter)
{
	memset(filter->bits, 0, filter->chunks * FILTER_CHUNK);
	memset(filter->changed, 0, filter->chunks * sizeof(*filter->changed));
}

static uint64_t big_endian(const uint8_t bytes[8])
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return be64toh(word);
}

static size_t line_of(const struct filter *filter, const uint8_t *key)
{
	return (size_t)(((big_endian(key) >> 32) * filter->lines) >> 32);
}

void filter_add(struct filter *filter, const uint8_t key[KEY_SIZE])
{
	const size_t line = line_of(filter, key);
	uint8_t *bits = filter->bits + line * LINE_BYTES;
	uint64_t rest = big_endian(key + 8);

	for (size_t i = 0; i < SHIFTS; i++, rest >>= 9) {
		bits[(rest & 511) >> 3] |= (uint8_t)(1u << (rest & 7));
	}
	filter->changed[line * LINE_BYTES / FILTER_CHUNK] = true;
}

bool filter_has(const struct filter *filter, const uint8_t key[KEY_SIZE])
{
	const uint8_t *bits = filter->bits + line_of(filter, key) * LINE_BYTES;
	uint64_t rest = big_endian(key + 8);

	for (size_t i = 0; i < SHIFTS; i++, rest >>= 9) {
		if ((bits[(rest & 511) >> 3] & (1u << (rest & 7))) == 0) {
			return false;
		}
	}
	return true;
}

size_t filter_chunks(const struct filter *filter)
{
	return filter->chunks;
}

uint8_t *filter_chunk(struct filter *filter, size_t chunk)
{
	assert(chunk < filter->chunks);

	return filter->bits + chunk * FILTER_CHUNK;
}

size_t filter_changed(const struct filter *filter, size_t from)
{
	while (from < filter->chunks && !filter->changed[from]) {
		from++;
	}
	return from;
}

void filter_settle(struct filter *filter)
{
	memset(filter->changed, 0, filter->chunks * sizeof(*filter->changed));
}
