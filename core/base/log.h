/* SPDX-License-Identifier: Apache-2.0 */

/*
 * log.h - one event a line, logfmt, on stderr
 *
 *	time=2026-11-20T10:00:00.123Z level=info event=source-opened
 *	instance=backlog path=/var/lib/llm
 *
 * Under systemd (JOURNAL_STREAM names stderr) the time is left out and a line
 * starts with its priority, <6>.  Newlines and control characters in values
 * are escaped.  A line is written with one write(2).  The same event of the
 * same instance is logged at most 10 times in 10 seconds; the first line after
 * them says how many were held back.  Any thread.
 */
#ifndef CORE_BASE_LOG_H
#define CORE_BASE_LOG_H

#include <bursar/plugin.h>

void log_set_level(enum bursar_level level);

/* event: a constant; fmt gives `key=value` members, "" for none. */
__attribute__((format(printf, 4, 5)))
void log_event(enum bursar_level level, const char *instance,
               const char *event, const char *fmt, ...);
__attribute__((format(printf, 4, 0)))
void log_event_v(enum bursar_level level, const char *instance,
                 const char *event, const char *fmt, va_list ap);

/*
 * Writes `text` as the value of a member: in quotes where it needs them,
 * control characters escaped, cut to fit with a mark.  size is 16 at least.
 * Returns out.
 */
const char *log_quote(const char *text, char *out, size_t size);

#endif
