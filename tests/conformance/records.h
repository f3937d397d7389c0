/* SPDX-License-Identifier: Apache-2.0 */

/*
 * records.h - records and batches of them, to drive a sink with
 */
#ifndef CONFORMANCE_RECORDS_H
#define CONFORMANCE_RECORDS_H

#include <bursar/sink.h>

#include "kit.h"

/* Records and what became of them, in the order in which they were added. */
struct batch {
	struct bursar_record **records;
	enum bursar_outcome   *outcomes;
	size_t count, room;
};

/* A sink that is open. */
struct open_sink {
	struct kit  *kit;
	struct stand stand;
	const struct bursar_sink_ops *ops;
	struct bursar_sink *sink;
};

/*
 * A record of that kind and id.  `tag` stands in a text field, and with `text`
 * makes its content check.
 */
struct bursar_record *record_make(const struct bursar_host *host,
                                  const struct bursar_kind *kind,
                                  const char *id, const char *tag,
                                  const char *text);
/* The fields that hold tag and text. */
int record_tag_field(const struct bursar_kind *kind);
int record_text_field(const struct bursar_kind *kind);

void batch_add(struct batch *batch, struct bursar_record *record);
/* `count` records over all kinds, ids TAG-0, TAG-1 ..., tagged with it. */
void batch_fill(struct batch *batch, const struct bursar_host *host,
                const char *tag, size_t count);
void batch_clear(struct batch *batch);
/* How many have that outcome. */
size_t batch_count(const struct batch *batch, enum bursar_outcome outcome);

/* Opens the sink; what goes wrong ends the check. */
void sink_open_to(struct open_sink *open, struct kit *kit,
                  enum bursar_mode mode);
void sink_close(struct open_sink *open);

/*
 * Offers a batch ordered by key, as the core does; the outcomes come back in
 * the order of the batch.  The records must not have been changed.
 */
enum bursar_verdict sink_offer(struct open_sink *open, struct batch *batch,
                               struct bursar_error *err);
/* The same; anything but DONE with an outcome for each ends the check.  What
 * is only busy is offered again. */
void sink_store(struct open_sink *open, struct batch *batch);

/* Ends the check unless all records have that outcome. */
void batch_expect_all(const struct batch *batch, enum bursar_outcome outcome,
                      const char *when);
const char *outcome_name(int outcome);
const char *verdict_name(int verdict);

/* --- the book ------------------------------------------------------------ */

/* Skips the check where the sink has no sql(). */
void sink_needs_sql(const struct kit *kit);
void sink_needs_keys(const struct kit *kit);

/* The number that a statement gives; $1 is `text` unless that is NULL. */
int64_t sink_number(struct open_sink *open, const char *statement,
                    const char *text);
/* Rows of all kinds that bear the tag; of one kind. */
int64_t sink_tagged(struct open_sink *open, const char *tag);
int64_t sink_rows(struct open_sink *open, const struct bursar_kind *kind);

#endif
