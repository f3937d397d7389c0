/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One line an event, put together in one buffer and written with one write(2),
 * so that lines of several threads do not mix.  What cannot be written is lost:
 * a log must not stop the daemon.
 */
#include "config.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

#define LINE_SIZE  4096		/* what a pipe takes whole */
#define SLOTS      512		/* events that are counted at a time */
#define PROBES     8
#define MAX_LINES  10		/* of one event of one instance ... */
#define WINDOW_US  10000000	/* ... in this time */

/* How often an event of an instance was logged of late. */
struct quota {
	uint64_t id;		/* hash of both; 0: free */
	int64_t  since;		/* us, monotonic */
	unsigned passed;
	unsigned held;
};

/* A line in the making; what does not fit is cut off. */
struct line {
	char   text[LINE_SIZE];
	size_t size;
};

static const struct {
	const char *name;
	int priority;		/* of syslog */
} levels[] = {
	[BURSAR_ERROR]   = { "error", 3 },
	[BURSAR_WARNING] = { "warning", 4 },
	[BURSAR_INFO]    = { "info", 6 },
	[BURSAR_DEBUG]   = { "debug", 7 },
};

static atomic_int max_level = BURSAR_INFO;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct quota quotas[SLOTS];

void log_set_level(enum bursar_level level)
{
	atomic_store(&max_level, (int)level);
}

static int64_t now_us(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* FNV-1a. */
static uint64_t hash(uint64_t state, const char *text)
{
	for (; *text != '\0'; text++) {
		state = (state ^ (unsigned char)*text) * 0x100000001b3u;
	}
	return (state ^ 0xff) * 0x100000001b3u;
}

/* The quota of that id; the one that began longest ago gives way. */
static struct quota *quota_of(uint64_t id, int64_t now)
{
	struct quota *oldest = NULL;

	for (size_t i = 0; i < PROBES; i++) {
		struct quota *quota = &quotas[(id + i) % SLOTS];

		if (quota->id == id) {
			return quota;
		}
		if (oldest == NULL || quota->since < oldest->since) {
			oldest = quota;
		}
	}
	*oldest = (struct quota){ .id = id, .since = now };
	return oldest;
}

/* Whether the line may pass; *held are those before it that did not. */
static bool may_pass(const char *instance, const char *event, unsigned *held)
{
	const uint64_t id =
		hash(hash(0xcbf29ce484222325u, instance), event) | 1;
	const int64_t now = now_us(CLOCK_MONOTONIC);

	*held = 0;
	pthread_mutex_lock(&lock);
	struct quota *quota = quota_of(id, now);
	if (now - quota->since >= WINDOW_US) {
		*held = quota->held;
		*quota = (struct quota){ .id = id, .since = now };
	}
	const bool pass = quota->passed < MAX_LINES;
	if (pass) {
		quota->passed++;
	} else {
		quota->held++;
	}
	pthread_mutex_unlock(&lock);
	return pass;
}

/* systemd names the stream it reads; a stderr sent elsewhere is another. */
static bool journal_reads_stderr(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	struct stat st;
	char want[64];

	if (stream == NULL || fstat(STDERR_FILENO, &st) != 0) {
		return false;
	}
	snprintf(want, sizeof(want), "%ju:%ju", (uintmax_t)st.st_dev,
	         (uintmax_t)st.st_ino);
	return strcmp(stream, want) == 0;
}

static size_t room(const struct line *line)
{
	return sizeof(line->text) - 1 - line->size;	/* -1: the newline */
}

__attribute__((format(printf, 2, 3)))
static void append(struct line *line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	const int size = vsnprintf(line->text + line->size, room(line), fmt,
	                           ap);
	va_end(ap);
	if (size > 0) {
		const size_t most = room(line) - 1;
		line->size += (size_t)size < most ? (size_t)size : most;
	}
}

/* The bytes of a character at text that a terminal obeys: C1, as which it
 * takes commands, and what turns the direction of writing.  0: none is there. */
static size_t commands(const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f) {
		return 2;
	}
	if (p[0] != 0xe2) {
		return 0;
	}
	return (p[1] == 0x80 && p[2] >= 0xaa && p[2] <= 0xae) ||
	       (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9) ? 3 : 0;
}

/* The form of one byte in a value: itself, or its escape. */
static size_t escape(unsigned char c, char out[5])
{
	switch (c) {
	case '\n':
		memcpy(out, "\\n", 3);
		return 2;
	case '\r':
		memcpy(out, "\\r", 3);
		return 2;
	case '\t':
		memcpy(out, "\\t", 3);
		return 2;
	default:
		break;
	}
	if (c < 0x20 || c == 0x7f) {
		return (size_t)snprintf(out, 5, "\\x%02x", c);
	}
	out[0] = (char)c;
	out[1] = '\0';
	return 1;
}

/* Members as the caller wrote them, but for control characters. */
__attribute__((format(printf, 2, 0)))
static void append_members(struct line *line, const char *fmt, va_list ap)
{
	char members[LINE_SIZE];
	size_t hidden = 0;	/* bytes from here on that are not shown */

	if (vsnprintf(members, sizeof(members), fmt, ap) <= 0) {
		return;
	}
	append(line, " ");
	for (const char *at = members; *at != '\0'; at++) {
		char out[5];

		hidden = hidden > 0 ? hidden : commands(at);
		const size_t size = hidden > 0
			? (size_t)snprintf(out, sizeof(out), "\\x%02x",
			                   (unsigned char)*at)
			: escape((unsigned char)*at, out);

		hidden -= hidden > 0;
		if (size >= room(line)) {
			return;
		}
		memcpy(line->text + line->size, out, size);
		line->size += size;
	}
}

static void append_time(struct line *line)
{
	const int64_t us = now_us(CLOCK_REALTIME);
	const time_t seconds = (time_t)(us / 1000000);
	struct tm tm;
	char text[32];

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	append(line, "time=%s.%03dZ ", text, (int)(us / 1000 % 1000));
}

void log_event_v(enum bursar_level level, const char *instance,
                 const char *event, const char *fmt, va_list ap)
{
	struct line line = { .size = 0 };
	unsigned held;
	char quoted[256];

	assert(event != NULL && fmt != NULL);
	assert((size_t)level < sizeof(levels) / sizeof(levels[0]));

	if ((int)level > atomic_load(&max_level) ||
	    !may_pass(instance != NULL ? instance : "", event, &held)) {
		return;
	}
	if (journal_reads_stderr()) {
		append(&line, "<%d>", levels[level].priority);
	} else {
		append_time(&line);
	}
	append(&line, "level=%s event=%s", levels[level].name, event);
	if (instance != NULL) {
		append(&line, " instance=%s",
		       log_quote(instance, quoted, sizeof(quoted)));
	}
	if (held > 0) {
		append(&line, " held-back=%u", held);
	}
	append_members(&line, fmt, ap);
	line.text[line.size++] = '\n';
	if (write(STDERR_FILENO, line.text, line.size) < 0) {
		return;		/* nobody to tell */
	}
}

void log_event(enum bursar_level level, const char *instance,
               const char *event, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_event_v(level, instance, event, fmt, ap);
	va_end(ap);
}

static bool needs_quotes(const char *text)
{
	if (*text == '\0') {
		return true;
	}
	for (; *text != '\0'; text++) {
		const unsigned char c = (unsigned char)*text;

		if (c <= ' ' || c == 0x7f || strchr("\"=\\", c) != NULL ||
		    commands(text) > 0) {
			return true;
		}
	}
	return false;
}

/* The bytes of the UTF-8 sequence at text; 1 where there is none. */
static size_t sequence(const char *text)
{
	const unsigned char c = (unsigned char)*text;
	const size_t want = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 1;

	for (size_t i = 1; i < want; i++) {
		if (((unsigned char)text[i] & 0xc0) != 0x80) {
			return 1;
		}
	}
	return want;
}

const char *log_quote(const char *text, char *out, size_t size)
{
	const size_t tail = sizeof("\xe2\x80\xa6\"");	/* mark, quote, NUL */
	size_t used = 0;

	assert(text != NULL && size >= 16);

	if (!needs_quotes(text) && strlen(text) < size) {
		memcpy(out, text, strlen(text) + 1);
		return out;
	}
	out[used++] = '"';
	while (*text != '\0') {
		char piece[8];
		size_t taken = commands(text) > 0 ? 1 : sequence(text);
		size_t wide = taken;

		if (taken > 1) {
			memcpy(piece, text, taken);
		} else if (*text == '"' || *text == '\\') {
			piece[0] = '\\';
			piece[1] = *text;
			wide = 2;
		} else if ((unsigned char)*text >= 0x80) {
			wide = (size_t)snprintf(piece, sizeof(piece), "\\x%02x",
			                        (unsigned char)*text);
		} else {
			wide = escape((unsigned char)*text, piece);
		}
		if (used + wide + tail > size) {
			memcpy(out + used, "\xe2\x80\xa6", 3);
			used += 3;
			break;
		}
		memcpy(out + used, piece, wide);
		used += wide;
		text += taken;
	}
	out[used++] = '"';
	out[used] = '\0';
	return out;
}
