/* SPDX-License-Identifier: Apache-2.0 */

/*
 * shape.h - from a table of paths to the fields of a record
 *
 * A format says in a table which member of a message fills which field:
 *
 *	{ "model_id", shape_text, "model_id routing.model @x-llm-model" },
 *
 * One row is one field, one conversion and the places to look at, divided by
 * spaces, the first that holds something wins:
 *
 *	a.b	 member b of the object a of the body
 *	*a	 the same, taken whole even where others look inside it
 *	@name	 a header, or the body's own member of that name
 *	$name	 a property: message_id or correlation_id
 *	=text	 this very text (or number), always last
 *
 * Rows of one field are asked in their order; null counts as absent.  A name
 * with a full stop before it stands for a value that has no column and that
 * only the format itself reads (shape_value()).
 *
 * What no row takes is kept as written in extra_json, under its path: unknown
 * members, values that their field cannot hold (BURSAR_DQ_TYPE), and those
 * that lost against another place and differ from what won.
 *
 * Threads: one shape is used by one thread at a time.
 */
#ifndef COMMON_SHAPE_H
#define COMMON_SHAPE_H

#include <bursar/message.h>
#include <bursar/schema.h>

#include "common/json.h"

/* Longest text of a field that names something. */
#define SHAPE_MAX_NAME  1024
/* extra_json is never longer. */
#define SHAPE_MAX_EXTRA 8192

enum shape_result {
	SHAPE_SET,	/* *value is filled */
	SHAPE_LENT,	/* so it is, and the member belongs elsewhere too */
	SHAPE_LOSSY,	/* so it is, not with all that was said: kept, too */
	SHAPE_EMPTY,	/* nothing was said: the next place, please */
	SHAPE_PASS,	/* not asked for here; may still be kept */
	SHAPE_MISFIT,	/* no value for this field: kept, flagged */
};

/* Where a value comes from. */
struct shape_input {
	uint32_t node;			/* of the document; 0: */
	struct bursar_span given;	/* text of a header or property */
};

/* One message on its way; what a conversion may look at. */
struct shape_run {
	const struct json_doc *doc;
	struct bursar_record  *record;
	struct bursar_arena   *arena;
	bool local_times;	/* what names no zone is local, not UTC */
	bool no_memory;		/* set it when the arena gives nothing */
};

struct shape_rule {
	const char *field;
	enum shape_result (*convert)(struct shape_run *run,
	                             const struct shape_input *in,
	                             struct bursar_value *value);
	const char *paths;
};

struct shape;

/*
 * Makes a shape from rules, which end with a NULL field and live as long as it
 * does.  A field that the kind does not have is left out: what would have
 * filled it is kept in extra_json.  Returns NULL with *err filled when memory
 * is short; a table with mistakes aborts.
 */
struct shape *shape_create(const struct bursar_kind *kind,
                           const struct shape_rule *rules,
                           struct bursar_error *err);
void shape_destroy(struct shape *shape);

/* Whether times that name no zone are of the process's own (local_time.h); at
 * first they are of UTC. */
void shape_set_local_times(struct shape *shape, bool local);

/*
 * Fills the record from the document, whose root is an object, and from the
 * message's headers and properties.  Returns false when memory is short.
 */
bool shape_fill(struct shape *shape, const struct json_doc *doc,
                const struct bursar_message *message,
                struct bursar_record *record, struct bursar_arena *arena);

/*
 * The place of a field, for shape_value(); also of one without a column.  The
 * value is lent until the next fill.
 */
int shape_field(const struct shape *shape, const char *name);
struct bursar_value *shape_value(struct shape *shape,
                                 struct bursar_record *record, int field);

/*
 * Conversions.  Those for numbers take a string that holds a number as well;
 * negative and absurd counts and costs are flagged.
 *
 *	text	 a string or a number as written, at most SHAPE_MAX_NAME bytes
 *	present	 the same, the empty string standing for nothing
 *	prose	 text of any length
 *	integer	 digits behind the point are cut off
 *	count	 integer of something that is not below zero
 *	money	 dollars
 *	seconds	 seconds, as whole thousandths of them
 *	flag	 true, false, 0, 1, yes, no, on, off, as text too, in any case
 *	instant	 a time as text, or a number of s, ms or us since 1970
 *	raw	 any value as it was written
 *	object	 an object as it was written
 *	list	 an array of texts, joined by commas; a text as it is
 */
enum shape_result shape_text(struct shape_run *run,
                             const struct shape_input *in,
                             struct bursar_value *value);
enum shape_result shape_present(struct shape_run *run,
                                const struct shape_input *in,
                                struct bursar_value *value);
enum shape_result shape_prose(struct shape_run *run,
                              const struct shape_input *in,
                              struct bursar_value *value);
enum shape_result shape_integer(struct shape_run *run,
                                const struct shape_input *in,
                                struct bursar_value *value);
enum shape_result shape_count(struct shape_run *run,
                              const struct shape_input *in,
                              struct bursar_value *value);
enum shape_result shape_money(struct shape_run *run,
                              const struct shape_input *in,
                              struct bursar_value *value);
enum shape_result shape_seconds(struct shape_run *run,
                                const struct shape_input *in,
                                struct bursar_value *value);
enum shape_result shape_flag(struct shape_run *run,
                             const struct shape_input *in,
                             struct bursar_value *value);
enum shape_result shape_instant(struct shape_run *run,
                                const struct shape_input *in,
                                struct bursar_value *value);
enum shape_result shape_raw(struct shape_run *run,
                            const struct shape_input *in,
                            struct bursar_value *value);
enum shape_result shape_object(struct shape_run *run,
                               const struct shape_input *in,
                               struct bursar_value *value);
enum shape_result shape_list(struct shape_run *run,
                             const struct shape_input *in,
                             struct bursar_value *value);

#endif
