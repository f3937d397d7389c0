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

#include "base/clock.h"
#include "base/log.h"
#include "base/logfmt.h"

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
	const int64_t now = clock_mono_us();

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

static void add_time(struct logfmt *line)
{
	const int64_t us = clock_wall_us();
	const time_t seconds = (time_t)(us / 1000000);
	struct tm tm;
	char text[32], full[40];

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(full, sizeof(full), "%s.%03dZ", text, (int)(us / 1000 % 1000));
	logfmt_add(line, "time", full);
}

/* The priority is for the journal, which knows the time itself. */
static void begin(struct logfmt *line, enum bursar_level level)
{
	char priority[8];

	if (journal_reads_stderr()) {
		snprintf(priority, sizeof(priority), "<%d>",
		         levels[level].priority);
		logfmt_init(line, priority);
	} else {
		logfmt_init(line, "");
		add_time(line);
	}
	logfmt_add(line, "level", levels[level].name);
}

static void add_number(struct logfmt *line, const char *key, unsigned number)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", number);
	logfmt_add(line, key, text);
}

void log_event_v(enum bursar_level level, const char *instance,
                 const char *kind, const char *event, const char *fmt,
                 va_list ap)
{
	struct logfmt line;
	unsigned held;

	assert(event != NULL && fmt != NULL);
	assert((size_t)level < sizeof(levels) / sizeof(levels[0]));

	if ((int)level > atomic_load(&max_level) ||
	    !may_pass(instance != NULL ? instance : "", event, &held)) {
		return;
	}
	begin(&line, level);
	logfmt_add(&line, "event", event);
	if (instance != NULL) {
		logfmt_add(&line, "instance", instance);
	}
	if (held > 0) {
		add_number(&line, "held-back", held);
	}
	if (kind != NULL) {
		logfmt_add(&line, "kind", kind);
	}
	logfmt_add_v(&line, fmt, ap);
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
	log_event_v(level, instance, NULL, event, fmt, ap);
	va_end(ap);
}
