/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A table of texts, at most half full, with linear probing.  The hash is
 * seeded, as senders choose the texts.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "book/words.h"

#define FIRST_ROOM 1024u	/* a power of two */

struct word {
	uint64_t hash;
	size_t   size;
	char     text[];
};

struct words {
	uint64_t      seed;
	struct word **slots;
	size_t        room;
	size_t        count;
};

static uint64_t hash_of(const struct words *words, const char *text,
                        size_t size)
{
	uint64_t hash = words->seed ^ size;

	for (size_t i = 0; i < size; i++) {
		hash = (hash ^ (unsigned char)text[i]) *
		       UINT64_C(0x9e3779b97f4a7c15);
		hash ^= hash >> 29;
	}
	return hash;
}

struct words *words_create(void)
{
	struct words *words = calloc(1, sizeof(*words));

	if (words == NULL) {
		return NULL;
	}
	if (getrandom(&words->seed, sizeof(words->seed), 0) < 0) {
		words->seed = (uintptr_t)words;
	}
	words->room = FIRST_ROOM;
	words->slots = calloc(words->room, sizeof(struct word *));
	if (words->slots == NULL) {
		free(words);
		return NULL;
	}
	return words;
}

void words_clear(struct words *words)
{
	for (size_t i = 0; words->count > 0 && i < words->room; i++) {
		free(words->slots[i]);
		words->slots[i] = NULL;
	}
	words->count = 0;
}

void words_destroy(struct words *words)
{
	if (words == NULL) {
		return;
	}
	words_clear(words);
	free(words->slots);
	free(words);
}

/* The slot of the text, or the free one that it belongs in. */
static struct word **find(struct word **slots, size_t room, uint64_t hash,
                          const char *text, size_t size)
{
	size_t at = hash & (room - 1);

	while (slots[at] != NULL &&
	       (slots[at]->hash != hash || slots[at]->size != size ||
	        memcmp(slots[at]->text, text, size) != 0)) {
		at = (at + 1) & (room - 1);
	}
	return &slots[at];
}

static bool grow(struct words *words)
{
	const size_t room = 2 * words->room;
	struct word **slots = calloc(room, sizeof(struct word *));

	if (slots == NULL) {
		return false;
	}
	for (size_t i = 0; i < words->room; i++) {
		struct word *word = words->slots[i];

		if (word != NULL) {
			*find(slots, room, word->hash, word->text,
			      word->size) = word;
		}
	}
	free(words->slots);
	words->slots = slots;
	words->room = room;
	return true;
}

struct bursar_span words_keep(struct words *words, const char *text,
                              size_t size)
{
	if (words->count >= words->room / 2 && !grow(words)) {
		return (struct bursar_span){ NULL, 0 };
	}
	const uint64_t hash = hash_of(words, text, size);
	struct word **slot = find(words->slots, words->room, hash, text, size);
	if (*slot == NULL) {
		struct word *word = malloc(sizeof(*word) + size + 1);

		if (word == NULL) {
			return (struct bursar_span){ NULL, 0 };
		}
		word->hash = hash;
		word->size = size;
		memcpy(word->text, text, size);
		word->text[size] = '\0';
		*slot = word;
		words->count++;
	}
	return (struct bursar_span){ (*slot)->text, (*slot)->size };
}
