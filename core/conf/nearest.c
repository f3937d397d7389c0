/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The right words for a wrong one: the nearest, or all.
 */
#include "config.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "conf/options.h"

#define WORD_MAX 64

static char folded(char c)
{
	return c == '_' ? '-' : (char)tolower((unsigned char)c);
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/*
 * How many letters to add, drop, change or swap with their neighbour (optimal
 * string alignment); both are at most WORD_MAX long.
 */
static unsigned distance(const char *a, const char *b)
{
	const size_t a_size = strlen(a);
	const size_t b_size = strlen(b);
	unsigned rows[3][WORD_MAX + 1];		/* by index modulo 3 */

	for (size_t j = 0; j <= b_size; j++) {
		rows[0][j] = (unsigned)j;
	}
	for (size_t i = 1; i <= a_size; i++) {
		const unsigned *up = rows[(i - 1) % 3];
		unsigned *here = rows[i % 3];

		here[0] = (unsigned)i;
		for (size_t j = 1; j <= b_size; j++) {
			const char left = folded(a[i - 1]);
			const char right = folded(b[j - 1]);

			here[j] = least(least(up[j], here[j - 1]) + 1,
			                up[j - 1] + (left != right));
			if (i > 1 && j > 1 && left == folded(b[j - 2]) &&
			    folded(a[i - 2]) == right) {
				here[j] = least(here[j],
				                rows[(i - 2) % 3][j - 2] + 1);
			}
		}
	}
	return rows[a_size % 3][b_size];
}

const char *options_nearest(const char *word, const char *const *words)
{
	const char *nearest = NULL;
	size_t limit;

	assert(word != NULL && words != NULL);

	if (strlen(word) > WORD_MAX) {
		return NULL;
	}
	limit = strlen(word) / 3;
	limit = limit < 1 ? 1 : limit > 3 ? 3 : limit;

	for (; *words != NULL; words++) {
		if (strlen(*words) > WORD_MAX) {
			continue;
		}
		const unsigned far = distance(word, *words);

		if (far <= limit && far < strlen(*words)) {
			nearest = *words;
			if (far == 0) {
				break;
			}
			limit = far - 1;
		}
	}
	return nearest;
}

void options_words(const char *const *words, char *out, size_t size)
{
	static const char more[] = ", ...";
	size_t used = 0;

	assert(words != NULL && size >= sizeof(more));

	out[0] = '\0';
	for (; *words != NULL; words++) {
		if (used + strlen(*words) + 2 + sizeof(more) > size) {
			snprintf(out + used, size - used, "%s", more);
			return;
		}
		used += (size_t)snprintf(out + used, size - used, "%s%s",
		                         used > 0 ? ", " : "", *words);
	}
}
