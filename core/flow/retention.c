/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Labels, the PHI cap, and what becomes of bodies that come too late.
 */
#include "config.h"

#include <assert.h>

#include "flow/retention.h"

#define US_PER_MS   INT64_C(1000)
#define US_PER_HOUR (INT64_C(3600000) * US_PER_MS)
#define US_PER_DAY  (24 * US_PER_HOUR)
#define MAX_DAYS    INT64_C(36500)
#define MAX_HOURS   (24 * MAX_DAYS)
#define MAX_DIGITS  7

static bool is(struct bursar_span span, const char *word)
{
	return span.size == strlen(word) &&
	       memcmp(span.data, word, span.size) == 0;
}

static bool skip(struct bursar_span *span, const char *prefix)
{
	const size_t size = strlen(prefix);

	if (span->size < size || memcmp(span->data, prefix, size) != 0) {
		return false;
	}
	span->data += size;
	span->size -= size;
	return true;
}

/* Digits, at least one. */
static bool take_number(struct bursar_span *span, int64_t *number)
{
	size_t i = 0;

	*number = 0;
	for (; i < span->size && span->data[i] >= '0' && span->data[i] <= '9';
	     i++) {
		*number = *number * 10 + (span->data[i] - '0');
		if (i == MAX_DIGITS) {
			return false;
		}
	}
	span->data += i;
	span->size -= i;
	return i > 0;
}

/* days_30 or hours_12. */
static bool parse_count(struct bursar_span label, const char *prefix,
                        int64_t unit, int64_t max, int64_t *term)
{
	int64_t count;

	if (!skip(&label, prefix) || !take_number(&label, &count) ||
	    label.size != 0 || count < 1 || count > max) {
		return false;
	}
	*term = count * unit;
	return true;
}

/* Those durations of ISO 8601 that mean the same at any time of the year. */
static bool parse_iso(struct bursar_span label, int64_t *term)
{
	int64_t count;

	*term = 0;
	if (!skip(&label, "P")) {
		return false;
	}
	if (take_number(&label, &count)) {
		if (skip(&label, "W")) {
			*term = 7 * count * US_PER_DAY;
		} else if (skip(&label, "D")) {
			*term = count * US_PER_DAY;
		} else {
			return false;
		}
	}
	if (skip(&label, "T")) {
		if (!take_number(&label, &count) || !skip(&label, "H")) {
			return false;
		}
		*term += count * US_PER_HOUR;
	}
	return label.size == 0 && *term > 0 && *term <= MAX_DAYS * US_PER_DAY;
}

static int64_t after(int64_t time, int64_t term)
{
	int64_t sum;

	return __builtin_add_overflow(time, term, &sum) ? RETENTION_NEVER : sum;
}

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* When the label alone says that it goes; `base` is never behind `ingest`. */
static int64_t label_expiry(const struct retention *policy,
                            struct bursar_span label, int64_t base,
                            int64_t ingest, bool *known)
{
	int64_t term;

	*known = true;
	if (is(label, "permanent")) {
		return RETENTION_NEVER;
	}
	if (is(label, "session_only")) {
		return after(ingest, policy->session_only_ms * US_PER_MS);
	}
	if (parse_count(label, "days_", US_PER_DAY, MAX_DAYS, &term) ||
	    parse_count(label, "hours_", US_PER_HOUR, MAX_HOURS, &term) ||
	    parse_iso(label, &term)) {
		return after(base, term);
	}
	*known = label.size == 0 || is(label, "default");
	return after(base, policy->default_days * US_PER_DAY);
}

int64_t retention_expiry(const struct retention *policy,
                         struct bursar_span label, bool phi, int64_t recorded,
                         int64_t ingest, bool *known)
{
	assert(policy != NULL);

	const int64_t base = least(recorded, ingest);
	bool label_known;
	int64_t expiry =
		label_expiry(policy, label, base, ingest, &label_known);

	if (phi) {
		expiry = least(expiry,
		               after(base, policy->phi_ttl_days * US_PER_DAY));
	}
	if (known != NULL) {
		*known = label_known;
	}
	return expiry;
}

static void unset_bodies(struct bursar_record *record)
{
	for (size_t i = 0; i < record->kind->field_count; i++) {
		if ((record->kind->fields[i].flags & BURSAR_FIELD_BODY) != 0) {
			record->values[i] = (struct bursar_value){ 0 };
		}
	}
}

static struct bursar_span label_of(const struct bursar_record *record)
{
	const struct bursar_value *label =
		&record->values[BURSAR_RETENTION_POLICY];

	if (!label->is_set) {
		return (struct bursar_span){ "", 0 };
	}
	return (struct bursar_span){ label->text, label->size };
}

bool retention_apply(const struct retention *policy,
                     struct bursar_record *record)
{
	assert(policy != NULL && record != NULL);

	if (record->kind->fact) {
		return false;
	}

	struct bursar_value *values = record->values;
	const struct bursar_span label = label_of(record);
	const int64_t ingest = values[BURSAR_INSERTED_AT].number;
	const struct bursar_value phi = values[BURSAR_CONTAINS_PHI];
	const struct bursar_value recorded = values[BURSAR_RECORDED_AT];
	bool known;

	assert(values[BURSAR_INSERTED_AT].is_set);

	const int64_t expiry = retention_expiry(
		policy, label, phi.is_set && phi.number != 0,
		recorded.is_set ? recorded.number : ingest, ingest, &known);

	values[BURSAR_EXPIRES_AT] = (struct bursar_value){ 0 };
	if (expiry != RETENTION_NEVER) {
		bursar_set_number(record, BURSAR_EXPIRES_AT, expiry);
	}
	if (label.size == 0) {
		bursar_set_text(record, BURSAR_RETENTION_POLICY, "default", 7);
	}
	if (!known) {
		bursar_set_flag(record, BURSAR_DQ_LABEL);
	}
	if (expiry > ingest) {
		return false;
	}
	unset_bodies(record);
	bursar_set_flag(record, BURSAR_DQ_EXPIRED);
	return true;
}
