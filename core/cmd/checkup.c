/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every check ends in one line, and the worst of them in the exit status.
 * Nothing is made: a ledger or a folder that is not there yet is fine when it
 * can be made.
 */
#include "config.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <bursar/crypto.h>
#include <bursar/format.h>
#include <bursar/service.h>
#include <bursar/sink.h>
#include <bursar/source.h>

#include "base/log.h"
#include "cli/cli.h"
#include "cmd/checkup.h"
#include "flow/opener.h"
#include "plugin/instance.h"
#include "price/prices.h"

#define RED    "\033[31m"
#define GREEN  "\033[32m"
#define YELLOW "\033[33m"
#define PLAIN  "\033[0m"

#define SOURCE_US INT64_C(10000000)	/* for a peer to answer */
#define YEAR_US  (INT64_C(31556952) * 1000000)
#define EARLIEST (54 * YEAR_US)		/* 2024 */
#define LATEST   (130 * YEAR_US)	/* 2100 */

enum state { FINE, WARNING, BROKEN };

struct report {
	FILE *out;
	bool  color;
	int   status;
	const struct setup_item *item;	/* that is looked at; NULL: none */
};

/* remedy: what to do about it; NULL where there is nothing to do. */
__attribute__((format(printf, 5, 6)))
static void say(struct report *report, enum state state, const char *what,
                const char *remedy, const char *fmt, ...)
{
	static const char *const words[] = { "ok", "warning", "FAILED" };
	static const char *const colors[] = { GREEN, YELLOW, RED };
	va_list ap;

	fprintf(report->out, "%s%-7s%s  %s: ",
	        report->color ? colors[state] : "", words[state],
	        report->color ? PLAIN : "", what);
	va_start(ap, fmt);
	vfprintf(report->out, fmt, ap);
	va_end(ap);
	fputc('\n', report->out);
	if (remedy != NULL) {
		fprintf(report->out, "         -> %s\n", remedy);
	}
	if (state == BROKEN) {
		report->status = CLI_FAILED;
	}
}

static const char *user(void)
{
	const struct passwd *entry = getpwuid(geteuid());

	return entry != NULL ? entry->pw_name : "the daemon's user";
}

static const char *see_options(const struct setup_item *item, char *out,
                               size_t size)
{
	char line[32] = "";

	if (item->line != 0) {
		snprintf(line, sizeof(line), "see line %u; ", item->line);
	}
	snprintf(out, size, "%s`bursar plugins %s` describes the options", line,
	         item->plugin->name);
	return out;
}

/* What helps against most errors of that number; NULL where their texts say it
 * themselves. */
static const char *remedy_of(int code, enum bursar_verdict verdict,
                             const struct setup_item *item, char *out,
                             size_t size)
{
	switch (code) {
	case EPERM:	/* others can write or read it */
		return NULL;
	case EACCES:
	case EROFS:
		snprintf(out, size, "let the user %s reach it (on a server: its "
		         "role), or run this as the user that the daemon runs "
		         "as", user());
		return out;
	case ENOENT:
		return "correct the path, or make it";
	case ENOSPC:
	case EDQUOT:
		return "make room on the disk";
	case ENOTDIR:
		return "make the folder, owned by the daemon's user, or correct "
		       "the path";
	case ECONNREFUSED:
	case ETIMEDOUT:
	case EHOSTUNREACH:
	case ENETUNREACH:
		return "start the server, or correct its address";
	default:
		break;
	}
	switch (verdict) {
	case BURSAR_RETRY:
		return "it may pass by itself: check again in a while";
	case BURSAR_DOWN:
		return "see that the other side runs and can be reached";
	default:
		return item != NULL ? see_options(item, out, size) : NULL;
	}
}

static void say_error(struct report *report, const char *what,
                      const struct bursar_error *err,
                      enum bursar_verdict verdict)
{
	char remedy[256];

	say(report, BROKEN, what,
	    remedy_of(err->code, verdict, report->item, remedy,
	              sizeof(remedy)), "%s",
	    err->code != 0 ? err->text : "could not be opened");
}

/* --- the machine --------------------------------------------------------- */

static void check_clock(struct report *report)
{
	const int64_t now = clock_wall_us();
	const time_t seconds = (time_t)(now / 1000000);
	char text[32];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (now < EARLIEST || now > LATEST) {
		say(report, BROKEN, "clock",
		    "set it (timedatectl set-ntp true): times, expiry and "
		    "budgets follow it", "it says %s", text);
		return;
	}
	say(report, FINE, "clock", NULL, "%s", text);
}

/* Whether bursard could make the folder. */
static void check_parent(struct report *report, const char *path)
{
	char copy[PATH_MAX];

	snprintf(copy, sizeof(copy), "%s", path);
	const char *parent = dirname(copy);
	if (access(parent, W_OK | X_OK) == 0) {
		say(report, FINE, "state-dir", NULL,
		    "%s will be made at start", path);
		return;
	}
	say(report, BROKEN, "state-dir",
	    "make it for the daemon's user (install -d -m 0700 -o USER), or "
	    "set state-dir", "%s is not there and cannot be made: %s: %s",
	    path, parent, strerror(errno));
}

static void check_state_dir(struct report *report, const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0 && errno == ENOENT) {
		check_parent(report, path);
		return;
	}
	errno = 0;
	if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode)) {
		say(report, BROKEN, "state-dir", "name another path",
		    "%s is no folder", path);
		return;
	}
	if (errno != 0 || access(path, R_OK | W_OK | X_OK) != 0) {
		struct bursar_error err = { 0 };

		bursar_fail(&err, errno, "%s: %s", path, strerror(errno));
		say_error(report, "state-dir", &err, BURSAR_CONFIG);
		return;
	}
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
		char remedy[PATH_MAX + 16];

		snprintf(remedy, sizeof(remedy), "run: chmod go-w %s", path);
		say(report, BROKEN, "state-dir", remedy, "others can write to "
		    "it (mode %04o)", (unsigned)(st.st_mode & 07777));
		return;
	}
	say(report, FINE, "state-dir", NULL, "%s", path);
}

/* --- instances ----------------------------------------------------------- */

typedef void open_fn(struct report *report, const char *what,
                     const struct instance *instance);

static void open_crypto(struct report *report, const char *what,
                        const struct instance *instance)
{
	const struct bursar_crypto_ops *ops = instance->plugin->ops.crypto;
	struct bursar_error err = { 0 };
	struct bursar_crypto *crypto = ops->open(&instance->host, &err);
	bool usable = true;

	if (crypto == NULL) {
		say_error(report, what, &err, BURSAR_CONFIG);
		return;
	}
	if (ops->tick != NULL) {
		ops->tick(crypto, &usable);
	}
	if (usable) {
		say(report, FINE, what, NULL, "%s", instance->plugin->name);
	} else {
		say(report, BROKEN, what, "see that its keys can be had now",
		    "%s has no key at hand", instance->plugin->name);
	}
	ops->close(crypto);
}

static void open_format(struct report *report, const char *what,
                        const struct instance *instance)
{
	const struct bursar_format_ops *ops = instance->plugin->ops.format;
	struct bursar_error err = { 0 };
	struct bursar_format *format = ops->open(&instance->host, &err);

	if (format == NULL) {
		say_error(report, what, &err, BURSAR_CONFIG);
		return;
	}
	say(report, FINE, what, NULL, "%s", instance->plugin->name);
	ops->close(format);
}

/* To read only, so that no ledger is made by looking for it. */
static void open_sink(struct report *report, const char *what,
                      const struct instance *instance)
{
	const struct bursar_sink_ops *ops = instance->plugin->ops.sink;
	enum bursar_verdict verdict = BURSAR_CONFIG;
	struct bursar_error err = { 0 };
	struct bursar_sink *sink = ops->open(&instance->host, BURSAR_READ,
	                                     &verdict, &err);

	if (sink != NULL) {
		say(report, FINE, what, NULL, "%s", instance->plugin->name);
		ops->close(sink);
	} else if (err.code == ENOENT) {
		say(report, FINE, what, NULL, "%s, will be made at start",
		    instance->plugin->name);
	} else {
		say_error(report, what, &err, verdict);
	}
}

static bool take_nothing(struct bursar_batch *batch,
                         const struct bursar_message *message)
{
	(void)batch, (void)message;
	return false;
}

/* Until it is there, or says why not; parked, so that it takes no message. */
static enum bursar_verdict look_at_source(const struct bursar_source_ops *ops,
                                          struct bursar_source *source,
                                          struct bursar_error *err)
{
	const int64_t until = clock_mono_us() + SOURCE_US;
	const int wake = eventfd(0, EFD_CLOEXEC);
	enum bursar_verdict verdict;

	ops->park(source, true);
	do {
		struct bursar_batch batch = {
			.add = take_nothing, .room = 1, .max_message = 1,
		};

		*err = (struct bursar_error){ 0 };
		verdict = ops->read(source, &batch, wake,
		                    clock_mono_us() + SOURCE_US / 20, err);
	} while (verdict == BURSAR_RETRY && clock_mono_us() < until);
	if (wake >= 0) {
		close(wake);
	}
	return verdict;
}

/* Opening takes nothing and connects to nothing.  One that can be parked has a
 * peer to be asked, unless it is the peer. */
static void open_source(struct report *report, const char *what,
                        const struct instance *instance)
{
	const struct bursar_source_ops *ops = instance->plugin->ops.source;
	struct bursar_error err = { 0 };
	struct bursar_source *source = ops->open(&instance->host, &err);

	if (source == NULL) {
		say_error(report, what, &err, BURSAR_CONFIG);
		return;
	}
	if (ops->park == NULL || ops->answers) {
		say(report, FINE, what, NULL, "%s, its options; nothing is "
		    "read", instance->plugin->name);
		ops->close(source);
		return;
	}
	const enum bursar_verdict verdict = look_at_source(ops, source, &err);
	if (verdict == BURSAR_DONE) {
		say(report, FINE, what, NULL, "%s", instance->plugin->name);
	} else if (err.code == ENOENT) {
		say(report, FINE, what, NULL, "%s: %s", instance->plugin->name,
		    err.text);
	} else {
		say_error(report, what, &err, verdict);
	}
	ops->close(source);
}

static void no_figures(const struct bursar_house *house, bursar_figure_fn *each,
                       void *context)
{
	(void)house, (void)each, (void)context;
}

static char *no_state(const struct bursar_house *house)
{
	(void)house;
	return NULL;
}

static enum bursar_verdict no_sql(const struct bursar_house *house,
                                  const char *statement,
                                  const struct bursar_cell *parameters,
                                  size_t parameter_count, bursar_row_fn *row,
                                  void *context, struct bursar_error *err)
{
	(void)house, (void)statement, (void)parameters, (void)parameter_count;
	(void)row, (void)context;
	bursar_fail(err, EAGAIN, "nothing is asked by a check");
	return BURSAR_RETRY;
}

/* Opening answers nobody and makes no thread. */
static void open_service(struct report *report, const char *what,
                         const struct instance *instance)
{
	static const struct bursar_house house = {
		.figures = no_figures, .state = no_state, .sql = no_sql,
	};
	const struct bursar_service_ops *ops = instance->plugin->ops.service;
	struct bursar_error err = { 0 };
	struct bursar_service *service = ops->open(&instance->host, &house,
	                                           &err);

	if (service == NULL) {
		say_error(report, what, &err, BURSAR_CONFIG);
		return;
	}
	say(report, FINE, what, NULL, "%s, its options; nobody is served",
	    instance->plugin->name);
	if (ops->close != NULL) {
		ops->close(service);
	}
}

static void check_item(struct report *report, const struct setup *setup,
                       const char *kind, const struct setup_item *item,
                       open_fn *open)
{
	struct bursar_error err = { 0 };
	char what[128];

	snprintf(what, sizeof(what), "%s '%s'", kind, item->name);
	report->item = item;
	struct instance *instance = instance_create(item, setup->state_dir,
	                                            INSTANCE_READ, &err);
	if (instance == NULL) {
		say_error(report, what, &err, BURSAR_RETRY);
	} else {
		open(report, what, instance);
	}
	instance_destroy(instance);
	report->item = NULL;
}

static void check_instances(struct report *report, const struct setup *setup)
{
	for (size_t i = 0; i < setup->crypto_count; i++) {
		check_item(report, setup, "crypto", &setup->crypto[i],
		           open_crypto);
	}
	for (size_t i = 0; i < setup->format_count; i++) {
		check_item(report, setup, "format", &setup->formats[i],
		           open_format);
	}
	for (size_t i = 0; i < setup->sink_count; i++) {
		check_item(report, setup, "sink", &setup->sinks[i].item,
		           open_sink);
	}
	for (size_t i = 0; i < setup->source_count; i++) {
		check_item(report, setup, "source", &setup->sources[i].item,
		           open_source);
	}
	for (size_t i = 0; i < setup->service_count; i++) {
		check_item(report, setup, "service", &setup->services[i],
		           open_service);
	}
}

/* --- sealing ------------------------------------------------------------- */

static bool seals(const struct setup *setup, const struct setup_item *crypto)
{
	for (size_t k = 0; k < SCHEMA_KINDS; k++) {
		for (size_t i = 0; i < setup->sink_count; i++) {
			if (setup->seals[k][i] == crypto) {
				return true;
			}
		}
	}
	return false;
}

static void check_seal(struct report *report, const char *what,
                       struct keyring *keyring)
{
	struct bursar_error err = { 0 };
	char key[BODIES_KEY_MAX + 1];

	const enum bursar_verdict verdict = bodies_key(keyring, key, &err);
	if (verdict == BURSAR_DONE) {
		say(report, FINE, what, NULL, "seals under %s", key);
	} else {
		say_error(report, what, &err, verdict);
	}
}

/* What opens need not be able to seal: a policy may let it do one of them. */
static void check_seals(struct report *report, const struct setup *setup)
{
	struct opener *opener = opener_create(setup);

	for (size_t i = 0; opener != NULL && i < setup->crypto_count; i++) {
		const struct setup_item *item = &setup->crypto[i];
		struct keyring *keyring = NULL;
		char what[128];

		if (seals(setup, item)) {
			keyring = opener_keyring(opener, item, NULL);
		}
		if (keyring != NULL) {	/* else it was told above */
			snprintf(what, sizeof(what), "seal '%s'", item->name);
			report->item = item;
			check_seal(report, what, keyring);
			report->item = NULL;
		}
	}
	opener_destroy(opener);
}

static void check_book(struct report *report, const struct setup *setup)
{
	if (setup->book == NULL) {
		say(report, WARNING, "book", "add a sink that can be asked, "
		    "and name it as `book`", "no sink is fit to be it: "
		    "there will be no reports and no budgets");
		return;
	}
	say(report, FINE, "book", NULL, "%s", setup->book->item.name);
}

static void check_prices(struct report *report, const struct setup *setup)
{
	for (size_t i = 0; setup->prices != NULL &&
	     i < setup->prices->book_count; i++) {
		const struct price_book *book = setup->prices->books[i];

		say(report, FINE, "prices", NULL, "%s: version %s, %zu models",
		    price_book_name(book), price_book_version(book),
		    price_book_count(book));
	}
}

/* --- all of it ----------------------------------------------------------- */

int checkup_run(const char *file, bool color, FILE *out, FILE *err)
{
	struct report report = { .out = out, .color = color };
	struct findings findings = { .file = file };
	struct findings warnings = { .file = file };
	struct setup *setup = setup_load(file, &findings, &warnings);

	if (setup == NULL) {
		findings_print(&findings, err);
		report.status = CLI_USAGE;
		goto out;
	}
	say(&report, FINE, "configuration", NULL, "%s", setup->file);
	for (size_t i = 0; i < warnings.count; i++) {
		char what[PATH_MAX + 32];

		if (warnings.items[i].line != 0) {
			snprintf(what, sizeof(what), "%s:%u", file,
			         warnings.items[i].line);
		} else {
			snprintf(what, sizeof(what), "%s", file);
		}
		say(&report, WARNING, what, NULL, "%s",
		    warnings.items[i].text);
	}
	log_set_level(BURSAR_WARNING);	/* what is well is said here */
	check_clock(&report);
	check_state_dir(&report, setup->state_dir);
	check_instances(&report, setup);
	check_seals(&report, setup);
	check_book(&report, setup);
	check_prices(&report, setup);
	setup_destroy(setup);
out:
	findings_finish(&findings);
	findings_finish(&warnings);
	return report.status;
}
