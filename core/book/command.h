/* SPDX-License-Identifier: Apache-2.0 */

/*
 * command.h - what the commands that work on a ledger share
 */
#ifndef CORE_BOOK_COMMAND_H
#define CORE_BOOK_COMMAND_H

#include "book/book.h"
#include "book/window.h"
#include "cli/table.h"

/* Rows of the tables of such commands. */
#define COMMAND_OPTION_SINK                                                  \
	{ "sink", 's', "NAME", "Sink to work on, instead of the book." }
#define COMMAND_OPTION_PERIOD                                                \
	{ "period", 'p', "PERIOD", "hour, day, week or month up to now; or " \
	  "today, yesterday, last-7-days, last-30-days, this-week, "         \
	  "last-week, this-month or last-month." }
#define COMMAND_OPTION_SINCE                                                 \
	{ "since", 0, "TIME", "From this time on: a date, or RFC 3339." }
#define COMMAND_OPTION_UNTIL                                                 \
	{ "until", 0, "TIME", "Up to this time, which is not part of it." }
#define COMMAND_OPTION_TZ                                                    \
	{ "tz", 0, "ZONE", "Time zone of dates and calendar periods, such " \
	  "as Europe/Vienna (default: UTC)." }

/*
 * Opens the sink `name` (NULL: the book) of the configuration.  Returns CLI_OK,
 * or another status after saying what is wrong.
 */
int command_open(struct cli *cli, const char *name, enum bursar_mode mode,
                 struct book *book);

/* Chooses the window as of now; as command_open(). */
int command_window(struct cli *cli, const struct window_choice *choice,
                   struct window *window);

/* Who runs this, "alice@host"; who was behind sudo comes first. */
#define COMMAND_WHO_SIZE 400
void command_who(char who[COMMAND_WHO_SIZE]);

/* Members of the head of a report, for table_print().  text NULL: unknown. */
void head_text(json_t *head, const char *name, const char *text);
void head_number(json_t *head, const char *name, int64_t number);

/* Says how far a long work is, on a terminal only, once a second. */
struct progress {
	FILE   *out;		/* NULL: nobody watches */
	int64_t started_us;
	int64_t said_us;
	bool    shown;
};

void progress_start(struct progress *progress, struct cli *cli);
__attribute__((format(printf, 2, 3)))
void progress_say(struct progress *progress, const char *fmt, ...);
/* Takes the line away. */
void progress_end(struct progress *progress);

#endif
