/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A letter lives no longer than what it holds may live: by its own label, and
 * where nobody could look inside, as if it held health data.
 */
#include "config.h"

#include <string.h>

#include "base/metrics.h"
#include "flow/letter.h"
#include "plugin/instance.h"

/* By the label in the headers.  A fact holds no health data, but who knows
 * what is in a message that is sealed, or of no kind. */
static int64_t expiry_by_headers(const struct retention *retention,
                                 const struct flight_message *message)
{
	struct bursar_message room;
	const struct bursar_message *clear = flight_clear(message, &room);
	const bool fact = clear->kind != NULL && clear->kind->fact;
	const int64_t now = clock_wall_us();

	return retention_expiry(retention,
	                        bursar_header_get(clear, "x-legion-retention"),
	                        !fact || message->sealed, now, now, NULL);
}

/* The whole message goes when the first of its records has to. */
static int64_t expiry(const struct retention *retention,
                      const struct flight_message *message,
                      const struct bursar_record *record)
{
	int64_t first = DEAD_NEVER;

	if (record == NULL || record->kind->fact) {
		first = expiry_by_headers(retention, message);
	}
	for (const struct flight_record *r = message->records; r != NULL;
	     r = r->next) {
		if (record == NULL || r->record->kind->fact) {
			continue;
		}
		const struct bursar_value at =
			bursar_value(r->record, BURSAR_EXPIRES_AT);

		if (at.is_set && at.number < first) {
			first = at.number;
		}
	}
	return first;
}

static void count(const struct flight *flight, const char *reason)
{
	size_t i = 0;

	if (flight->letters == NULL) {
		return;
	}
	while (strcmp(dead_reasons[i], reason) != 0) {
		i++;
	}
	metric_add(flight->letters[i], 1);
}

static int add(struct letterbox *box, struct flight_message *message,
               const struct dead_letter *letter, struct bursar_error *err)
{
	if (atomic_fetch_or(&message->happened, FLIGHT_LETTERED) &
	    FLIGHT_LETTERED) {
		return 0;
	}
	if (deadletters_add(box->letters, letter, err) != 0) {
		atomic_fetch_and(&message->happened, ~(unsigned)FLIGHT_LETTERED);
		return -1;
	}
	count(message->flight, letter->reason);
	return 0;
}

static bool is_told(const struct flight_message *message)
{
	struct bursar_message room;

	return message->flight->answers &&
	       !(flight_delivered(message, &room)->flags &
	         BURSAR_MESSAGE_UNANSWERED);
}

int letter_write(struct letterbox *box, struct flight_message *message,
                 const char *reason, const char *text,
                 const struct bursar_record *record, const char *sink,
                 struct bursar_error *err)
{
	struct bursar_message delivered, clear;
	const struct dead_letter letter = {
		.message = flight_delivered(message, &delivered),
		.kind = flight_clear(message, &clear)->kind,
		.source = message->flight->source,
		.reason = reason,
		.text = text,
		.sink = sink,
		.expires = expiry(box->retention, message, record),
	};

	atomic_store(&message->reason, text);
	if (is_told(message)) {
		atomic_store(&message->refuser, sink);
		return 0;
	}
	return add(box, message, &letter, err);
}

int letter_besides(struct letterbox *box, struct flight_message *message,
                   bool *added, struct bursar_error *err)
{
	const unsigned happened = atomic_load(&message->happened);
	struct bursar_message delivered, clear;

	if (!(happened & (FLIGHT_REFUSED | FLIGHT_CONFLICT)) ||
	    !(happened & (FLIGHT_STORED | FLIGHT_DUPLICATE)) ||
	    happened & FLIGHT_RETURNED || box->letters == NULL ||
	    !is_told(message)) {
		return 0;
	}
	const struct dead_letter letter = {
		.message = flight_delivered(message, &delivered),
		.kind = flight_clear(message, &clear)->kind,
		.source = message->flight->source,
		.reason = happened & FLIGHT_REFUSED ? DEAD_REFUSED
		                                    : DEAD_ID_CONFLICT,
		.text = atomic_load(&message->reason),
		.sink = atomic_load(&message->refuser),
		.expires = expiry(box->retention, message,
		                  message->records->record),
	};

	*added = true;
	return add(box, message, &letter, err);
}
