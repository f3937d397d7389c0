/* SPDX-License-Identifier: Apache-2.0 */

/*
 * log.h - one event a line, logfmt, on stderr
 *
 *	time=2026-11-20T10:00:00.123Z level=info event=sink-open
 *	instance=ledger why=""
 *
 * Under systemd (JOURNAL_STREAM names stderr) the time is left out and a line
 * starts with its priority, <6>.  Whatever values hold, a line can be taken
 * apart again: see core/base/logfmt.h.  A line is written with one write(2).
 * The same event of the same instance is logged at most 10 times in 10 seconds;
 * the first line after them says how many were held back.  Any thread.
 */
#ifndef CORE_BASE_LOG_H
#define CORE_BASE_LOG_H

#include <bursar/plugin.h>

void log_set_level(enum bursar_level level);

/*
 * event: a constant; fmt gives `key=value` members as logfmt_add_v() takes
 * them, "" for none.  kind: of the plugin that says it, or NULL.
 */
__attribute__((format(printf, 4, 5)))
void log_event(enum bursar_level level, const char *instance,
               const char *event, const char *fmt, ...);
__attribute__((format(printf, 5, 0)))
void log_event_v(enum bursar_level level, const char *instance,
                 const char *kind, const char *event, const char *fmt,
                 va_list ap);

#endif
