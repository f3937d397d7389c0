/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A lease is taken, renewed and freed by one statement each.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include <sodium.h>

#include "common/rfc3339.h"
#include "jobs/lease.h"

void lease_holder(char holder[LEASE_HOLDER_SIZE])
{
	char host[65] = "";

	if (gethostname(host, sizeof(host) - 1) != 0 || host[0] == '\0') {
		snprintf(host, sizeof(host), "unknown");
	}
	snprintf(holder, LEASE_HOLDER_SIZE, "%.60s/%d/%08" PRIx32, host,
	         (int)getpid(), randombytes_random());
}

/* "2026-11-21 06:44:00", and more that does not matter. */
static int take_time(void *context, const struct bursar_cell *cells,
                     size_t count)
{
	int64_t *now = context;
	char text[] = "0000-00-00T00:00:00Z";

	assert(count == 1);
	if (cells[0].type == BURSAR_STRING && cells[0].size >= 19) {
		memcpy(text, cells[0].data, 19);
		text[10] = 'T';
		rfc3339_parse(text, sizeof(text) - 1, now);
	}
	return 0;
}

int lease_now(struct book *book, int64_t *now_us, struct bursar_error *err)
{
	*now_us = 0;
	if (book_run(book, "SELECT CAST(CURRENT_TIMESTAMP AS TEXT)", NULL, 0,
	             take_time, now_us, err) != 0) {
		return -1;
	}
	return *now_us != 0 ? 0 : bursar_fail(err, EPROTO, "sink '%s' does not "
	                                      "say what time it is",
	                                      book->name);
}

/* All rows are read, so that the statement comes to its end. */
static int take_fence(void *context, const struct bursar_cell *cells,
                      size_t count)
{
	int64_t *fence = context;

	assert(count == 1);
	*fence = book_get(&cells[0]);
	return 0;
}

int lease_take(struct book *book, struct lease *lease, bool *taken,
               struct bursar_error *err)
{
	struct book_statement st;
	int64_t now = 0;

	assert(lease->span_us <= LEASE_MAX_US);
	*taken = false;
	lease->fence = 0;
	if (lease_now(book, &now, err) != 0) {
		return -1;
	}
	book_begin(&st);
	book_add(&st, "INSERT INTO bursar_leases (job, holder, until_us, fence) "
	         "VALUES (");
	book_add_value(&st, book_text(lease->job));
	book_add(&st, ", ");
	book_add_value(&st, book_text(lease->holder));
	book_add(&st, ", ");
	book_add_value(&st, book_int(now + lease->span_us));
	book_add(&st, ", 1) ON CONFLICT (job) DO UPDATE SET "
	         "holder = excluded.holder, until_us = excluded.until_us, "
	         "fence = bursar_leases.fence + 1 "
	         "WHERE bursar_leases.until_us <= ");
	book_add_value(&st, book_int(now));
	book_add(&st, " OR bursar_leases.until_us > ");
	book_add_value(&st, book_int(now + 2 * LEASE_MAX_US));
	book_add(&st, " RETURNING fence");
	if (book_ask(book, &st, take_fence, &lease->fence, err) != 0) {
		return -1;
	}
	*taken = lease->fence != 0;
	return 0;
}

static void add_ours(struct book_statement *st, const struct lease *lease)
{
	book_add(st, "job = ");
	book_add_value(st, book_text(lease->job));
	book_add(st, " AND holder = ");
	book_add_value(st, book_text(lease->holder));
	book_add(st, " AND fence = ");
	book_add_value(st, book_int(lease->fence));
}

static int set_until(struct book *book, const struct lease *lease,
                     int64_t until, int64_t *fence, struct bursar_error *err)
{
	struct book_statement st;

	*fence = 0;
	book_begin(&st);
	book_add(&st, "UPDATE bursar_leases SET until_us = ");
	book_add_value(&st, book_int(until));
	book_add(&st, " WHERE ");
	add_ours(&st, lease);
	book_add(&st, " RETURNING fence");
	return book_ask(book, &st, take_fence, fence, err);
}

int lease_renew(struct book *book, const struct lease *lease, bool *held,
                struct bursar_error *err)
{
	int64_t now = 0, fence = 0;

	*held = false;
	if (lease_now(book, &now, err) != 0 ||
	    set_until(book, lease, now + lease->span_us, &fence, err) != 0) {
		return -1;
	}
	*held = fence != 0;
	return 0;
}

int lease_release(struct book *book, const struct lease *lease,
                  struct bursar_error *err)
{
	int64_t fence;

	return set_until(book, lease, 0, &fence, err);
}

void lease_condition(struct book_statement *st, const struct lease *lease)
{
	book_add(st, "EXISTS (SELECT 1 FROM bursar_leases WHERE ");
	add_ours(st, lease);
	book_add(st, ")");
}
