/* SPDX-License-Identifier: Apache-2.0 */

/*
 * ledger.h - a small ledger for tests of what reads it
 *
 * The sqlite sink, as the daemon loads it, on a file in a temporary folder.
 * One ledger at a time.
 */
#ifndef TESTS_LEDGER_H
#define TESTS_LEDGER_H

#include "book/book.h"
#include "jobs/job.h"
#include "plugin/schema.h"

/* A ledger that is empty; it goes when it is closed. */
void ledger_open(struct book *book);
/* The same in a file that stays; made where it is not there. */
void ledger_open_at(struct book *book, const char *path);
void ledger_close(struct book *book);

/* What the ledger takes for now, from here on. */
void ledger_clock(int64_t now_us);

/* A record of that kind with an id, times and dq_flags; to be free()d. */
struct bursar_record *ledger_record(const char *kind, const char *id,
                                    int64_t recorded_us);

/* text is lent; NULL unsets the field. */
void ledger_text(struct bursar_record *record, const char *field,
                 const char *text);
void ledger_number(struct bursar_record *record, const char *field,
                   int64_t number);

/* Stores records that are all new, in one transaction. */
void ledger_write(struct book *book, struct bursar_record *const *records,
                  size_t count);

/* The same for one, which is freed. */
void ledger_put(struct book *book, struct bursar_record *record);

/* Has the job rollup sum up all days that are over. */
void ledger_sum_days(struct book *book);
/* For runs of jobs that nobody stops. */
bool ledger_go_on(struct job_run *run);

/* Runs SQL that must work. */
void ledger_run(struct book *book, const char *sql);

/* The first column of the first row as a number. */
int64_t ledger_ask(struct book *book, const char *sql);

#endif
