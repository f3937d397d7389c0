/* SPDX-License-Identifier: Apache-2.0 */

/*
 * retention.h - when a prompt or a tool call goes
 *
 *	label				goes after
 *	default, empty, none		default_days
 *	session_only			session_only_ms, from ingest
 *	days_N, PnW, PnD		N days (1 to 36500), n weeks or days
 *	hours_N, PTnH, PnDTnH		N hours (1 to 876000), n hours
 *	permanent			never
 *	any other			default_days, and is not known
 *
 * A term counts from the record's own time, or from ingest where that is
 * missing or lies in the future.  What holds health data goes phi_ttl_days
 * after that time at the latest, whatever its label.
 *
 * Pure; any thread.
 */
#ifndef CORE_FLOW_RETENTION_H
#define CORE_FLOW_RETENTION_H

#include <bursar/schema.h>

#define RETENTION_NEVER INT64_MAX

struct retention {
	int64_t default_days;
	int64_t phi_ttl_days;
	int64_t session_only_ms;
};

/*
 * When something with that label goes, in us; RETENTION_NEVER where it stays.
 *
 * label	may be empty
 * recorded	its own time, in us; equal to `ingest` where there is none
 * known	set to whether the label is one of those above; may be NULL
 */
int64_t retention_expiry(const struct retention *policy,
                         struct bursar_span label, bool phi, int64_t recorded,
                         int64_t ingest, bool *known);

/*
 * Sets BURSAR_EXPIRES_AT of a record of a kind with bodies (unset: never) from
 * its label, PHI flag, recorded_at and inserted_at (always set), and an absent
 * label to "default".  Flags a label that is not known.  A record that has
 * expired when it arrives loses its bodies and is flagged.  Facts are left
 * alone.
 *
 * Returns whether it arrived expired.
 */
bool retention_apply(const struct retention *policy,
                     struct bursar_record *record);

#endif
