/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A letter lives no longer than what it holds may live: by its own label, and
 * where nobody could look inside, as if it held health data.
 */
#include "config.h"

#include <string.h>

#include "instance.h"
#include "letter.h"

static int64_t expiry_by_headers(const struct retention *retention,
                                 const struct flight_message *message)
{
	const struct bursar_message *clear = message->clear;
	const int64_t now = clock_wall_us();
	bool known;
	const bool fact = clear->kind != NULL && clear->kind->fact;

	return retention_expiry(retention,
	                        bursar_header_get(clear, "x-legion-retention"),
	                        !fact, now, now, &known);
}

static int64_t expiry(const struct retention *retention,
                      const struct flight_message *message,
                      const struct bursar_record *record)
{
	if (record == NULL || record->kind->fact) {
		return expiry_by_headers(retention, message);
	}
	const struct bursar_value *at = &record->values[BURSAR_EXPIRES_AT];

	return at->is_set ? at->number : DEAD_NEVER;
}

int letter_write(struct letterbox *box, struct flight_message *message,
                 const char *reason, const char *text,
                 const struct bursar_record *record, const char *sink,
                 struct bursar_error *err)
{
	const struct dead_letter letter = {
		.message = &message->delivered,
		.kind = message->clear->kind,
		.source = message->flight->source,
		.reason = reason,
		.text = text,
		.sink = sink,
		.expires = expiry(box->retention, message, record),
	};

	atomic_store(&message->reason, text);
	if (message->flight->answers) {
		return 0;
	}
	if (atomic_fetch_or(&message->happened, FLIGHT_LETTERED) &
	    FLIGHT_LETTERED) {
		return 0;
	}
	if (deadletters_add(box->letters, &letter, err) != 0) {
		atomic_fetch_and(&message->happened, ~(unsigned)FLIGHT_LETTERED);
		return -1;
	}
	return 0;
}
