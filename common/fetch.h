/* SPDX-License-Identifier: Apache-2.0 */

/*
 * fetch.h - records of a batch, before it is their turn
 *
 * A batch is larger than the processor's cache, and its records are not in the
 * order of memory: what comes next is fetched while this one is stored.
 */
#ifndef COMMON_FETCH_H
#define COMMON_FETCH_H

#include <bursar/schema.h>

#define FETCH_LINE   64u
#define FETCH_RECORD 256u	/* bytes of one that is packed */
#define FETCH_TEXTS  768u	/* of where its texts are */

static inline void fetch_bytes(const char *data, size_t size)
{
	for (size_t at = 0; at < size; at += FETCH_LINE) {
		__builtin_prefetch(data + at);
	}
}

/* One that comes soon. */
static inline void fetch_record(const struct bursar_record *record)
{
	fetch_bytes((const char *)record, FETCH_RECORD);
}

/* One that comes next; fetch_record() was called for it. */
static inline void fetch_texts(const struct bursar_record *record)
{
	const char *texts;

	if ((record->flags & BURSAR_RECORD_PACKED) != 0) {
		memcpy(&texts, record->values, sizeof(texts));
		fetch_bytes(texts, FETCH_TEXTS);
	}
}

#endif
