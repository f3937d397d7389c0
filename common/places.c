/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <stdlib.h>

#include "places.h"

bool places_reserve(struct places *places, size_t count)
{
	if (count <= places->room) {
		return true;
	}
	struct place *at = realloc(places->at, count * sizeof(*at));
	if (at == NULL) {
		return false;
	}
	places->at = at;
	places->room = count;
	return true;
}

void places_finish(struct places *places)
{
	free(places->at);
	*places = (struct places){ 0 };
}

static int compare(const void *left, const void *right)
{
	const struct place *a = left;
	const struct place *b = right;

	if (a->kind != b->kind) {
		return a->kind < b->kind ? -1 : 1;
	}
	if (a->block != b->block) {
		return a->block < b->block ? -1 : 1;
	}
	return (a->index > b->index) - (a->index < b->index);
}

void places_sort(struct place *places, size_t count)
{
	qsort(places, count, sizeof(*places), compare);
}
