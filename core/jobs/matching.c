/* SPDX-License-Identifier: Apache-2.0 */

/*
 * References of rows, sorted, those that are the same in order of time.  As the
 * others come in that order too, the rows of a reference are passed once: when
 * one comes, each row up to it is nearest to it or to the one before.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "jobs/matching.h"

/* One reference of a row. */
struct ref {
	struct match *row;
	int method;		/* its place in refs[] */
};

/* Refs [first, last) that are the same. */
struct group {
	size_t  first, last;
	size_t  passed;		/* rows before it know their nearest */
	bool    any;		/* one came, the last of them: */
	int64_t us;
	int64_t id;
};

struct matching {
	struct ref   *refs;
	struct group *groups;
	size_t ref_count;
	size_t group_count;
};

static struct bursar_span text_of(const struct ref *ref)
{
	return ref->row->refs[ref->method];
}

static int compare_texts(int method, struct bursar_span text,
                         const struct ref *ref)
{
	const struct bursar_span other = text_of(ref);

	if (method != ref->method) {
		return method < ref->method ? -1 : 1;
	}
	if (text.size != other.size) {
		return text.size < other.size ? -1 : 1;
	}
	return memcmp(text.data, other.data, text.size);
}

/* Rows stand in order of time. */
static int compare(const void *a, const void *b)
{
	const struct ref *left = a;
	const struct ref *right = b;
	const int order = compare_texts(left->method, text_of(left), right);

	return order != 0 ? order : left->row < right->row ? -1
		: left->row > right->row;
}

static void make_groups(struct matching *m)
{
	for (size_t i = 0; i < m->ref_count; i++) {
		const struct ref *ref = &m->refs[i];

		if (i == 0 || compare_texts(ref->method, text_of(ref),
		                            &m->refs[i - 1]) != 0) {
			m->groups[m->group_count++] = (struct group){
				.first = i, .passed = i };
		}
		m->groups[m->group_count - 1].last = i + 1;
	}
}

struct matching *matching_create(struct match *rows, size_t count)
{
	struct matching *m = calloc(1, sizeof(*m));

	if (m == NULL) {
		return NULL;
	}
	m->refs = calloc(count * MATCHING_REFS + 1, sizeof(*m->refs));
	m->groups = calloc(count * MATCHING_REFS + 1, sizeof(*m->groups));
	if (m->refs == NULL || m->groups == NULL) {
		matching_end(m);
		return NULL;
	}
	for (size_t i = 0; i < count; i++) {
		for (int method = 0; method < MATCHING_REFS; method++) {
			rows[i].apart[method] = -1;
			if (rows[i].refs[method].size > 0) {
				m->refs[m->ref_count++] = (struct ref){
					&rows[i], method };
			}
		}
	}
	qsort(m->refs, m->ref_count, sizeof(*m->refs), compare);
	make_groups(m);
	return m;
}

static struct group *find(const struct matching *m, int method,
                          struct bursar_span text)
{
	size_t low = 0, high = m->group_count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		struct group *group = &m->groups[middle];
		const int order = compare_texts(method, text,
		                                &m->refs[group->first]);

		if (order == 0) {
			return group;
		}
		if (order < 0) {
			high = middle;
		} else {
			low = middle + 1;
		}
	}
	return NULL;
}

static void set(const struct ref *ref, int64_t id, int64_t us)
{
	const int64_t at = ref->row->us;

	ref->row->found[ref->method] = id;
	ref->row->apart[ref->method] = us > at ? us - at : at - us;
}

static void offer(const struct matching *m, struct group *group, int64_t id,
                  int64_t us)
{
	for (; group->passed < group->last; group->passed++) {
		const struct ref *ref = &m->refs[group->passed];
		const int64_t at = ref->row->us;

		if (at > us) {
			break;
		}
		if (group->any && at - group->us <= us - at) {
			set(ref, group->id, group->us);
		} else {
			set(ref, id, us);
		}
	}
	if (!group->any || us > group->us) {
		group->any = true;
		group->us = us;
		group->id = id;
	}
}

void matching_offer(struct matching *m, int64_t id, int64_t us,
                    const struct bursar_span refs[MATCHING_REFS])
{
	for (int method = 0; method < MATCHING_REFS; method++) {
		struct group *group = refs[method].size > 0
			? find(m, method, refs[method]) : NULL;

		if (group != NULL) {
			offer(m, group, id, us);
		}
	}
}

void matching_end(struct matching *m)
{
	if (m == NULL) {
		return;
	}
	for (size_t i = 0; i < m->group_count; i++) {
		const struct group *group = &m->groups[i];

		for (size_t at = group->passed; at < group->last && group->any;
		     at++) {
			set(&m->refs[at], group->id, group->us);
		}
	}
	free(m->refs);
	free(m->groups);
	free(m);
}
