/* SPDX-License-Identifier: Apache-2.0 */

/*
 * report.h - what all reports share
 *
 * A report is a description: what it groups by, which columns it shows, which
 * window it means by itself.  The frame chooses the window, asks, totals and
 * prints; a report with more than one table has a function of its own, which
 * is put together from the same pieces.
 *
 *	report_find --> report_prepare --> report->run (or report_rows)
 */
#ifndef CORE_BOOK_REPORT_H
#define CORE_BOOK_REPORT_H

#include "book/command.h"
#include "book/figures.h"

#define COUNT_OF(list) (sizeof(list) / sizeof((list)[0]))

struct report_run;

struct report {
	const char *name;
	const char *operand;	/* "WORKER"; NULL: takes none */
	const char *field;	/* that the operand is a value of */
	const char *help;	/* one sentence, ending in a full stop */
	const char *period;	/* the window without any word of time; NULL:
				 * all time */
	const char *by;		/* groups, as in --by; "" none */
	bool by_fixed;		/* --by is refused */
	enum query_order order;
	int64_t limit;		/* rows without --limit; 0: all */
	const struct shown *columns;
	size_t column_count;
	/* NULL: report_rows().  Returns an exit status. */
	int (*run)(struct report_run *run);
};

/* In the order in which they are listed; ends with NULL. */
extern const struct report *const reports[];

/* What the user asked for; texts are lent, each may be NULL. */
struct report_choice {
	const char *operand;
	const char *by;
	const char *since, *until, *period, *tz;
	const char *where[QUERY_MAX_FILTERS];	/* "FIELD=VALUE" */
	bool        is_tag[QUERY_MAX_FILTERS];	/* ... "KEY=VALUE" of a tag */
	size_t      where_count;
	const char *tag;	/* whose values are listed */
	int64_t     limit;	/* 0: not said */
	int64_t     days;	/* 0: not said */
	bool        compare;
	bool        from_records;
};

#define REPORT_WORD_SIZE (ROLLUP_NAME_SIZE + 8)

/* A report that runs; for the functions of reports. */
struct report_run {
	const struct report *report;
	struct cli   *cli;
	struct book  *book;
	const struct report_choice *choice;
	int64_t       now;
	const char   *period;	/* the word, or NULL */
	struct query  query;	/* window, groups, filters, order */
	int           unit;	/* enum window_unit of the periods, or -1 */
	int64_t       limit;
	bool          compared;
	struct window before;
	int64_t       incomplete_before;	/* 0: all facts are there */
	bool          overflow;
	int64_t       requests;		/* for the remark on unknown costs */
	int64_t       unpriced;
	/* Tags that the query names. */
	char   words[QUERY_MAX_BY + QUERY_MAX_FILTERS + 1][REPORT_WORD_SIZE];
	size_t word_count;
};

/* The report of that name, or NULL. */
const struct report *report_find(const char *name);

/* "summary, worker, team"; returns out. */
#define REPORT_NAMES_SIZE 400
const char *report_names(char out[REPORT_NAMES_SIZE]);

/* Fills the run; CLI_OK or another status, after saying what is wrong.  The
 * book may come later. */
int report_prepare(struct report_run *run, const struct report *report,
                   struct cli *cli, const struct report_choice *choice);

/* Prints rows as the description has them. */
int report_rows(struct report_run *run);

/* --- pieces -------------------------------------------------------------- */

/* Asks, into lines, to be given to lines_finish() whatever it returns.  CLI_OK
 * or another status. */
int report_ask(struct report_run *run, struct query *query, size_t limit,
               struct lines *lines);

/* Notes whether the answer would need facts that were purged.  CLI_OK or
 * another status. */
int report_note_purged(struct report_run *run, const struct query *query);

/* Changes the groups of a query to one field, or to none where NULL. */
void report_by(struct query *query, const char *field);

/* A table of lines: keys, named as their fields, then columns; with a total
 * line for a person where `total` is true. */
struct table *report_table(struct report_run *run, const struct query *query,
                           const struct window_periods *periods,
                           const struct lines *lines,
                           const struct shown *columns, size_t count,
                           bool total);

/* Adds a text as a key is shown: unknown is a word for a person. */
void report_add_key(const struct report_run *run, struct table *table,
                    struct bursar_span text);

/* The head: report, since, until.  To be json_decref()ed. */
json_t *report_head(const struct report_run *run, const struct lines *lines);

/* What the figures do not say by themselves. */
void report_remark(const struct report_run *run, const struct lines *lines);

/* Narrows an open or future window to where there can be facts. */
int report_narrow(struct report_run *run, struct window *window);

/* The days ... of a window, as the query's periods.  CLI_OK or another status;
 * periods are to be given to window_periods_finish(). */
int report_divide(struct report_run *run, struct query *query,
                  enum window_unit unit, struct window_periods *periods);

/* A line of blocks, higher for more, of the costs of lines; "" for none. */
#define SPARKLINE_MAX 120
void report_sparkline(const struct lines *lines, size_t width,
                      char out[SPARKLINE_MAX * 3 + 1]);

/* --- a row with lists ---------------------------------------------------- */

#define SHEET_MAX_COLUMNS 40
#define SHEET_MAX_LISTS   8

/*
 * One row, put together value by value, and lists.  Zero at first; its tables
 * are freed by sheet_print().
 */
struct sheet {
	struct table_column columns[SHEET_MAX_COLUMNS];
	struct value        values[SHEET_MAX_COLUMNS];
	const char         *texts[SHEET_MAX_COLUMNS];	/* lent; VALUE_TEXT */
	size_t              count;
	struct table_list   lists[SHEET_MAX_LISTS];
	size_t              list_count;
};

/* text NULL: unknown. */
void sheet_text(struct sheet *sheet, const char *name, const char *title,
                const char *text);
void sheet_number(struct sheet *sheet, const char *name, const char *title,
                  enum table_kind kind, int64_t number);
void sheet_real(struct sheet *sheet, const char *name, const char *title,
                enum table_kind kind, double real);
void sheet_null(struct sheet *sheet, const char *name, const char *title,
                enum table_kind kind);
/* The figures of a line, as columns. */
void sheet_line(struct sheet *sheet, const struct report_run *run,
                const struct shown *columns, size_t count,
                const struct line *line);
/* Takes the table. */
void sheet_list(struct sheet *sheet, const char *name, const char *title,
                struct table *table);
int sheet_print(struct sheet *sheet, struct report_run *run);
/* Frees its tables instead; returns status. */
int sheet_drop(struct sheet *sheet, int status);

#endif
