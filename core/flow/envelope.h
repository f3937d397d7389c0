/* SPDX-License-Identifier: Apache-2.0 */

/*
 * envelope.h - a message wrapped with its properties, and what kind it is
 *
 *	{"kind": "prompt", "routing_key": "audit.prompt.chat",
 *	 "properties": {"message_id": "a", "content_type": "application/json"},
 *	 "headers": {"x-legion-retention": "days_30"},
 *	 "body": {...}}
 *
 * Any source may carry a message like that.  What is an object with a member
 * `body` or `body_base64` is an envelope; nothing else in it has to be there,
 * other members are ignored, of equal ones the last wins.  What is in an
 * envelope is not looked into for another.
 */
#ifndef CORE_FLOW_ENVELOPE_H
#define CORE_FLOW_ENVELOPE_H

#include <bursar/message.h>
#include <bursar/schema.h>

#include "common/json.h"

/* More headers than this are refused. */
#define ENVELOPE_MAX_HEADERS 256
/* More fixed fields than this are refused. */
#define ENVELOPE_MAX_FIXED 32

enum envelope_result {
	ENVELOPE_NONE,		/* no envelope: the message is as it was */
	ENVELOPE_OPENED,	/* the message is what was in it */
	ENVELOPE_BAD,		/* an envelope that makes no sense: *err says
				 * what, the message is as it was */
	ENVELOPE_NO_MEMORY,	/* *err is filled, the message is as it was */
};

/*
 * Takes a message out of its envelope, if it has one.  message->body is
 * followed by 64 readable bytes, before and after; message->kind is the kind
 * that the source has by its configuration, or NULL.
 *
 *	kind		set where the source has none; an unknown name is BAD
 *	routing_key, properties, headers
 *			win over those of the source, which stay where the
 *			envelope has none; null says nothing.  Numbers and
 *			truth values become text as written, names of headers
 *			lower case.  properties: message_id, correlation_id,
 *			content_type, content_encoding, app_id, and timestamp
 *			as a number of seconds or RFC 3339
 *	fixed		fields that its records have, as a dead letter tells
 *			what a token fixed; those of the source win
 *	kinds		what it may become, as a dead letter tells what a token
 *			allowed; with those of the source, what both allow.  A
 *			list that allows nothing is BAD
 *	body		a string: its text as bytes, which may be anything but
 *			half a surrogate pair; other values: as written
 *	body_base64	bytes in base64 with padding, without line breaks
 *
 * Texts are spans of the message as delivered or made in the arena.
 */
enum envelope_result envelope_open(struct json_reader *reader,
                                   struct bursar_arena *arena,
                                   const struct bursar_schema *schema,
                                   struct bursar_message *message,
                                   struct bursar_error *err);

/*
 * The kind of a message out of its envelope: the one it has, else by its
 * routing key (metering.#, audit.prompt.#, audit.tool.#); NULL: none.
 */
const struct bursar_kind *envelope_kind(const struct bursar_schema *schema,
                                        const struct bursar_message *message);

#endif
