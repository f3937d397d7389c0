/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Sums of a batch of facts, by cell.
 *
 * A hash table of pointers into blocks of cells that never move.  What all
 * dimensions of a record share (cell, provider, model) is hashed once.  The
 * hash is seeded, as senders choose the values.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/random.h>

#include "common/columns.h"
#include "common/rollup.h"

#define FIRST_SLOTS   4096u	/* a power of two */
#define BLOCK_CELLS   256u

#define DIMENSIONS (sizeof(rollup_dimensions) / sizeof(rollup_dimensions[0]) - 1)

const int64_t rollup_latency_bounds[ROLLUP_LATENCY_BUCKETS - 1] = {
	25, 50, 100, 200, 300, 500, 750, 1000, 1500, 2000, 3000, 5000, 7500,
	10000, 15000, 20000, 30000, 60000, 120000,
};

const char *const rollup_sum_fields[ROLLUP_SUMS] = {
	[ROLLUP_INPUT_TOKENS]    = "input_tokens",
	[ROLLUP_OUTPUT_TOKENS]   = "output_tokens",
	[ROLLUP_THINKING_TOKENS] = "thinking_tokens",
	[ROLLUP_TOTAL_TOKENS]    = "total_tokens",
	[ROLLUP_CACHE_READ]      = "cache_read_input_tokens",
	[ROLLUP_CACHE_WRITE]     = "cache_write_input_tokens",
	[ROLLUP_LATENCY]         = "latency_ms",
	[ROLLUP_WALL_CLOCK]      = "wall_clock_ms",
	[ROLLUP_COST]            = "cost_usd",
};

const char *const rollup_columns[ROLLUP_COLUMNS] = {
	"request_count", "error_count",
	"input_tokens", "input_tokens_n",
	"output_tokens", "output_tokens_n",
	"thinking_tokens", "thinking_tokens_n",
	"total_tokens", "total_tokens_n",
	"cache_read_input_tokens", "cache_read_input_tokens_n",
	"cache_write_input_tokens", "cache_write_input_tokens_n",
	"latency_ms", "latency_ms_n",
	"wall_clock_ms", "wall_clock_ms_n",
	"cost_nano", "cost_nano_n",
	"lat_0", "lat_1", "lat_2", "lat_3", "lat_4", "lat_5", "lat_6",
	"lat_7", "lat_8", "lat_9", "lat_10", "lat_11", "lat_12", "lat_13",
	"lat_14", "lat_15", "lat_16", "lat_17", "lat_18", "lat_19",
};

const struct rollup_dimension rollup_dimensions[] = {
	{ "all", NULL },
	{ "worker", "worker_id" },
	{ "node", "node_id" },
	{ "agent", "agent_id" },
	{ "tier", "tier" },
	{ "request_type", "request_type" },
	{ "cost_center", "cost_center" },
	{ "budget_id", "budget_id" },
	{ "team", "team" },
	{ NULL, NULL },
};

struct block {
	struct block      *next;
	struct rollup_cell cells[BLOCK_CELLS];
};

/* What an escaped value of a tag says, until the deltas are cleared. */
struct said {
	struct said *next;
	char         text[];
};

struct slot {
	uint64_t            hash;
	struct rollup_cell *cell;	/* NULL: free */
};

struct rollup {
	uint64_t seed;
	/* Places in the kind's table; -1: it has no such field. */
	int dimension_field[DIMENSIONS];
	int sum_field[ROLLUP_SUMS];
	int provider_field;
	int model_field;
	int status_field;
	int tags_field;
	struct rollup_tag tags[ROLLUP_MAX_TAGS];
	size_t tag_count;
	struct said *said;

	struct slot *slots;
	size_t       slot_count;	/* a power of two */
	struct block *blocks;		/* all, in order of use */
	struct block *block;		/* the one that cells come from */
	size_t       block_used;	/* cells of it that are taken */
	size_t       count;		/* cells in all */
	const struct rollup_cell **sorted;
	size_t       sorted_room;
};

/* --- hashing ------------------------------------------------------------ */

static uint64_t mix(uint64_t a, uint64_t b)
{
	const unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t load(const char *data)
{
	uint64_t word;

	memcpy(&word, data, sizeof(word));
	return word;
}

/* Up to 8 bytes, without a call to copy them. */
static uint64_t load_rest(const char *data, size_t size)
{
	uint32_t first, last;

	if (size < sizeof(first)) {
		return size == 0 ? 0 : (uint64_t)(uint8_t)data[0] |
			(uint64_t)(uint8_t)data[size / 2] << 8 |
			(uint64_t)(uint8_t)data[size - 1] << 16;
	}
	memcpy(&first, data, sizeof(first));
	memcpy(&last, data + size - sizeof(last), sizeof(last));
	return (uint64_t)first << 32 | last;
}

static uint64_t hash_span(uint64_t hash, struct bursar_span span)
{
	const char *data = span.data;
	size_t left = span.size;

	hash ^= left;
	for (; left > 8; data += 8, left -= 8) {
		hash = mix(hash ^ load(data), UINT64_C(0x9e3779b97f4a7c15));
	}
	return mix(hash ^ load_rest(data, left), UINT64_C(0xbf58476d1ce4e5b9));
}

static bool same(struct bursar_span a, struct bursar_span b)
{
	return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

/* --- life --------------------------------------------------------------- */

struct rollup *rollup_create(const struct bursar_kind *kind)
{
	struct rollup *rollup = calloc(1, sizeof(*rollup));

	if (rollup == NULL) {
		return NULL;
	}
	if (getrandom(&rollup->seed, sizeof(rollup->seed), 0) < 0) {
		rollup->seed = (uintptr_t)rollup;
	}
	for (size_t i = 0; i < DIMENSIONS; i++) {
		const char *field = rollup_dimensions[i].field;

		rollup->dimension_field[i] =
			field == NULL ? -1 : bursar_field_find(kind, field);
	}
	for (size_t i = 0; i < ROLLUP_SUMS; i++) {
		rollup->sum_field[i] = bursar_field_find(kind, rollup_sum_fields[i]);
	}
	rollup->provider_field = bursar_field_find(kind, "provider");
	rollup->model_field = bursar_field_find(kind, "model_id");
	rollup->status_field = bursar_field_find(kind, "status");
	rollup->tags_field = bursar_field_find(kind, "tags");

	rollup->slot_count = FIRST_SLOTS;
	rollup->slots = calloc(FIRST_SLOTS, sizeof(*rollup->slots));
	rollup->sorted = calloc(FIRST_SLOTS, sizeof(*rollup->sorted));
	rollup->sorted_room = FIRST_SLOTS;
	rollup->blocks = malloc(sizeof(*rollup->blocks));
	if (rollup->blocks != NULL) {
		rollup->blocks->next = NULL;
	}
	if (rollup->slots == NULL || rollup->sorted == NULL ||
	    rollup->blocks == NULL) {
		rollup_destroy(rollup);
		return NULL;
	}
	rollup->block = rollup->blocks;
	return rollup;
}

static void forget_said(struct rollup *rollup)
{
	while (rollup->said != NULL) {
		struct said *next = rollup->said->next;

		free(rollup->said);
		rollup->said = next;
	}
}

void rollup_destroy(struct rollup *rollup)
{
	if (rollup == NULL) {
		return;
	}
	forget_said(rollup);
	while (rollup->blocks != NULL) {
		struct block *next = rollup->blocks->next;

		free(rollup->blocks);
		rollup->blocks = next;
	}
	free(rollup->slots);
	free(rollup->sorted);
	free(rollup);
}

void rollup_clear(struct rollup *rollup)
{
	if (rollup->count > 0) {
		memset(rollup->slots, 0,
		       rollup->slot_count * sizeof(*rollup->slots));
	}
	rollup->block = rollup->blocks;
	rollup->block_used = 0;
	rollup->count = 0;
	forget_said(rollup);
}

bool rollup_tag_make(struct rollup_tag *tag, struct bursar_span name,
                     int64_t since)
{
	if (name.size >= sizeof(tag->name)) {
		return false;
	}
	memcpy(tag->name, name.data, name.size);
	tag->name[name.size] = '\0';
	tag->since = since;
	return strlen(tag->name) == name.size && tags_key_of(tag->name) != NULL;
}

void rollup_set_tags(struct rollup *rollup, const struct rollup_tag *tags,
                     size_t count)
{
	assert(rollup->count == 0 && count <= ROLLUP_MAX_TAGS);

	if (count > 0) {
		memcpy(rollup->tags, tags, count * sizeof(*tags));
	}
	rollup->tag_count = count;
}

/* --- cells -------------------------------------------------------------- */

static struct slot *find_free(struct slot *slots, size_t count, uint64_t hash)
{
	size_t at = hash & (count - 1);

	while (slots[at].cell != NULL) {
		at = (at + 1) & (count - 1);
	}
	return &slots[at];
}

static bool grow(struct rollup *rollup)
{
	const size_t count = rollup->slot_count * 2;
	struct slot *slots = calloc(count, sizeof(*slots));

	if (slots == NULL) {
		return false;
	}
	for (size_t i = 0; i < rollup->slot_count; i++) {
		if (rollup->slots[i].cell != NULL) {
			*find_free(slots, count, rollup->slots[i].hash) =
				rollup->slots[i];
		}
	}
	free(rollup->slots);
	rollup->slots = slots;
	rollup->slot_count = count;
	return true;
}

static struct rollup_cell *take_cell(struct rollup *rollup)
{
	struct block *block = rollup->block;

	if (rollup->block_used == BLOCK_CELLS) {
		if (block->next == NULL) {
			block->next = malloc(sizeof(*block));
			if (block->next == NULL) {
				return NULL;
			}
			block->next->next = NULL;
		}
		rollup->block = block = block->next;
		rollup->block_used = 0;
	}
	return &block->cells[rollup->block_used++];
}

static bool is_cell(const struct rollup_cell *cell,
                    const struct rollup_cell *wanted)
{
	return cell->dimension == wanted->dimension &&
		cell->cell == wanted->cell &&
		same(cell->value, wanted->value) &&
		same(cell->model_id, wanted->model_id) &&
		same(cell->provider, wanted->provider);
}

/* The cell with wanted's key, made of zeros if it is not there. */
static struct rollup_cell *find_cell(struct rollup *rollup,
                                     const struct rollup_cell *wanted,
                                     uint64_t hash)
{
	size_t at = hash & (rollup->slot_count - 1);
	struct rollup_cell *cell;

	for (; rollup->slots[at].cell != NULL;
	     at = (at + 1) & (rollup->slot_count - 1)) {
		if (rollup->slots[at].hash == hash &&
		    is_cell(rollup->slots[at].cell, wanted)) {
			return rollup->slots[at].cell;
		}
	}
	if (rollup->count >= rollup->slot_count / 2 && !grow(rollup)) {
		return NULL;
	}
	cell = take_cell(rollup);
	if (cell == NULL) {
		return NULL;
	}
	memset(cell->columns, 0, sizeof(cell->columns));
	cell->dimension = wanted->dimension;
	cell->value = wanted->value;
	cell->cell = wanted->cell;
	cell->provider = wanted->provider;
	cell->model_id = wanted->model_id;
	*find_free(rollup->slots, rollup->slot_count, hash) =
		(struct slot){ .hash = hash, .cell = cell };
	rollup->count++;
	return cell;
}

/* --- adding ------------------------------------------------------------- */

/* What a record adds to each of its cells: columns and by how much. */
struct delta {
	size_t  count;
	uint8_t column[2 + 2 * ROLLUP_SUMS + 1];
	int64_t value[2 + 2 * ROLLUP_SUMS + 1];
};

static void add_to_delta(struct delta *delta, size_t column, int64_t value)
{
	delta->column[delta->count] = (uint8_t)column;
	delta->value[delta->count++] = value;
}

static const struct bursar_value *value_of(const struct bursar_value *values,
                                           int field)
{
	return field < 0 || !values[field].is_set ? NULL : &values[field];
}

static struct bursar_span text_of(const struct bursar_value *values, int field)
{
	const struct bursar_value *value = value_of(values, field);

	if (value == NULL) {
		return (struct bursar_span){ "", 0 };
	}
	return (struct bursar_span){ value->text, value->size };
}

static bool is_error(const struct rollup *rollup,
                     const struct bursar_value *values)
{
	const struct bursar_span status = text_of(values, rollup->status_field);

	return status.size > 0 &&
		!same(status, (struct bursar_span){ "success", 7 }) &&
		!same(status, (struct bursar_span){ "ok", 2 });
}

static size_t latency_bucket(int64_t ms)
{
	size_t bucket = 0;

	while (bucket < ROLLUP_LATENCY_BUCKETS - 1 &&
	       ms > rollup_latency_bounds[bucket]) {
		bucket++;
	}
	return bucket;
}

static void make_delta(const struct rollup *rollup,
                       const struct bursar_value *values, struct delta *delta)
{
	const struct bursar_value *value;

	delta->count = 0;
	add_to_delta(delta, ROLLUP_REQUESTS, 1);
	if (is_error(rollup, values)) {
		add_to_delta(delta, ROLLUP_ERRORS, 1);
	}
	for (size_t i = 0; i < ROLLUP_SUMS; i++) {
		value = value_of(values, rollup->sum_field[i]);
		if (value != NULL) {
			add_to_delta(delta, ROLLUP_FIRST_SUM + 2 * i,
			             value->number);
			add_to_delta(delta, ROLLUP_FIRST_SUM + 2 * i + 1, 1);
		}
	}
	value = value_of(values, rollup->sum_field[ROLLUP_LATENCY]);
	if (value != NULL) {
		add_to_delta(delta, ROLLUP_FIRST_BUCKET +
		             latency_bucket(value->number), 1);
	}
}

/* One absurd record must not keep out those that come with it. */
static void add(struct rollup_cell *cell, const struct delta *delta)
{
	for (size_t i = 0; i < delta->count; i++) {
		int64_t *sum = &cell->columns[delta->column[i]];

		if (__builtin_add_overflow(*sum, delta->value[i], sum)) {
			*sum = delta->value[i] > 0 ? INT64_MAX : INT64_MIN;
		}
	}
}

/* The cells of one record, and how many of them get all of its delta; the
 * others get that it was there. */
struct found {
	struct rollup_cell *cells[DIMENSIONS + ROLLUP_MAX_TAGS + TAGS_MAX];
	size_t whole;
	size_t count;
};

static uint64_t hash_shared(const struct rollup *rollup,
                            const struct rollup_cell *key)
{
	const uint64_t hash = mix(rollup->seed ^ (uint64_t)key->cell,
	                          UINT64_C(0x94d049bb133111eb));

	return hash_span(hash_span(hash, key->provider), key->model_id);
}

static bool find_fields(struct rollup *rollup, struct rollup_cell *key,
                        uint64_t shared, const struct bursar_value *values,
                        struct found *found)
{
	struct bursar_span by[DIMENSIONS];
	uint64_t hashes[DIMENSIONS];

	for (size_t i = 0; i < DIMENSIONS; i++) {
		by[i] = text_of(values, rollup->dimension_field[i]);
		hashes[i] = hash_span(shared + i, by[i]);
		__builtin_prefetch(&rollup->slots[hashes[i] &
		                                  (rollup->slot_count - 1)]);
	}
	for (size_t i = 0; i < DIMENSIONS; i++) {
		key->dimension = rollup_dimensions[i].name;
		key->value = by[i];
		found->cells[i] = find_cell(rollup, key, hashes[i]);
		if (found->cells[i] == NULL) {
			return false;
		}
	}
	found->count = DIMENSIONS;
	return true;
}

/* What a tag says; false: memory is short. */
static bool value_of_tag(struct rollup *rollup, struct bursar_span tags,
                         const char *name, struct bursar_span *value)
{
	const char *key = name + strlen(TAGS_PREFIX);
	struct tags_item item;

	*value = (struct bursar_span){ "", 0 };
	if (tags.size == 0 || !tags_find(tags, key, strlen(key), &item)) {
		return true;
	}
	*value = item.value;
	if (!item.escaped) {
		return true;
	}
	struct said *said = malloc(sizeof(*said) + item.value.size);
	if (said == NULL) {
		return false;
	}
	said->next = rollup->said;
	rollup->said = said;
	*value = (struct bursar_span){ said->text,
		tags_unescape(item.value, said->text) };
	return true;
}

static bool find_named(struct rollup *rollup, struct rollup_cell *key,
                       uint64_t shared, struct bursar_span tags,
                       struct found *found)
{
	for (size_t i = 0; i < rollup->tag_count; i++) {
		const struct rollup_tag *tag = &rollup->tags[i];

		if (key->cell < tag->since) {
			continue;
		}
		key->dimension = tag->name;
		if (!value_of_tag(rollup, tags, tag->name, &key->value)) {
			return false;
		}
		struct rollup_cell *cell = find_cell(
			rollup, key, hash_span(shared + DIMENSIONS + 1 + i,
			                       key->value));
		if (cell == NULL) {
			return false;
		}
		found->cells[found->count++] = cell;
	}
	return true;
}

static bool find_keys(struct rollup *rollup, struct rollup_cell *key,
                      uint64_t shared, struct bursar_span tags,
                      struct found *found)
{
	struct tags_cursor cursor = tags_read(tags);
	const size_t most = found->count + TAGS_MAX;
	struct tags_item item;

	key->dimension = ROLLUP_KEYS;
	while (found->count < most && tags_next(&cursor, &item)) {
		if (!tags_key_is_good(item.key.data, item.key.size)) {
			continue;
		}
		key->value = item.key;
		struct rollup_cell *cell = find_cell(
			rollup, key, hash_span(shared + DIMENSIONS, item.key));
		if (cell == NULL) {
			return false;
		}
		found->cells[found->count++] = cell;
	}
	return true;
}

static bool find_cells(struct rollup *rollup, int64_t cell,
                       const struct bursar_value *values, struct found *found)
{
	struct rollup_cell key = {
		.cell = cell,
		.provider = text_of(values, rollup->provider_field),
		.model_id = text_of(values, rollup->model_field),
	};
	const struct bursar_span tags = text_of(values, rollup->tags_field);
	const uint64_t shared = hash_shared(rollup, &key);

	if (!find_fields(rollup, &key, shared, values, found) ||
	    !find_named(rollup, &key, shared, tags, found)) {
		return false;
	}
	found->whole = found->count;
	return tags.size == 0 || find_keys(rollup, &key, shared, tags, found);
}

bool rollup_add(struct rollup *rollup, const struct bursar_record *record)
{
	static const struct delta there = {
		.count = 1, .column = { ROLLUP_REQUESTS }, .value = { 1 } };
	struct bursar_value room[BURSAR_FIELDS_MAX];
	struct found found;
	struct delta delta;

	assert(record->kind->fact);

	const struct bursar_value *values = bursar_values(record, room);
	if (!find_cells(rollup, columns_block(record), values, &found)) {
		return false;
	}
	make_delta(rollup, values, &delta);
	for (size_t i = 0; i < found.count; i++) {
		add(found.cells[i], i < found.whole ? &delta : &there);
	}
	return true;
}

/* --- the result --------------------------------------------------------- */

static int compare_spans(struct bursar_span a, struct bursar_span b)
{
	const size_t size = a.size < b.size ? a.size : b.size;
	const int order = memcmp(a.data, b.data, size);

	return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static int compare_cells(const void *left, const void *right)
{
	const struct rollup_cell *a = *(const struct rollup_cell *const *)left;
	const struct rollup_cell *b = *(const struct rollup_cell *const *)right;
	int order = 0;

	if (a->dimension != b->dimension) {
		order = strcmp(a->dimension, b->dimension);
	}
	if (order == 0) {
		order = compare_spans(a->value, b->value);
	}
	if (order == 0) {
		order = (a->cell > b->cell) - (a->cell < b->cell);
	}
	if (order == 0) {
		order = compare_spans(a->provider, b->provider);
	}
	return order != 0 ? order : compare_spans(a->model_id, b->model_id);
}

static bool make_room(struct rollup *rollup)
{
	const struct rollup_cell **sorted;

	if (rollup->sorted_room >= rollup->count) {
		return true;
	}
	sorted = realloc(rollup->sorted, rollup->slot_count * sizeof(*sorted));
	if (sorted == NULL) {
		return false;
	}
	rollup->sorted = sorted;
	rollup->sorted_room = rollup->slot_count;
	return true;
}

const struct rollup_cell *const *rollup_cells(struct rollup *rollup,
                                              size_t *count)
{
	size_t filled = 0;

	*count = 0;
	if (!make_room(rollup)) {
		return NULL;
	}
	for (const struct block *block = rollup->blocks;
	     filled < rollup->count; block = block->next) {
		for (size_t i = 0; i < BLOCK_CELLS && filled < rollup->count;
		     i++) {
			rollup->sorted[filled++] = &block->cells[i];
		}
	}
	qsort(rollup->sorted, filled, sizeof(*rollup->sorted), compare_cells);
	*count = filled;
	return rollup->sorted;
}
