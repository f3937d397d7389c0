/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bursar/plugin.h - what every plugin shares, whatever its kind
 *
 * A plugin is one shared object that exports one constant: its description,
 * written with BURSAR_PLUGIN_DEFINE.  It imports nothing from the daemon.  What
 * it needs from the daemon reaches it through struct bursar_host.
 *
 * Include the header of your kind (bursar/source.h, crypto.h, format.h, sink.h
 * or service.h) rather than this one.
 *
 * The life of a plugin, whatever its kind:
 *
 *	load --> check of the options --> open --> operations --> close
 *	             (by the core)          ^                       |
 *	                                    '----- after a reload, -'
 *	                                           or verdict DOWN
 *
 * A module is loaded once and never unloaded.  An instance is what open()
 * returns; there may be many of one module, each with options of its own, so
 * a plugin keeps its state in the instance and not in static variables.
 *
 * Threads: calls on one instance never overlap, but may come from different
 * threads.  Calls on different instances may run at the same time.  A thread
 * that a library starts inside a plugin calls nothing of the host but log().
 *
 * Times: wall clock times are microseconds since 1970-01-01T00:00:00Z, leap
 * seconds not counted; deadlines are microseconds of CLOCK_MONOTONIC.
 */
#ifndef BURSAR_PLUGIN_H
#define BURSAR_PLUGIN_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * Raised with every change to a struct in these headers.  The daemon refuses
 * a plugin that was built with another number, so no struct needs spare room.
 */
#define BURSAR_PLUGIN_ABI 2

/* Why something could not be done; the caller owns it, all zero at first. */
struct bursar_error {
	int  code;		/* errno value, 0 while nothing has failed */
	char text[250];		/* one line for a person, without newline */
};

/*
 * Records a failure in err (which may be NULL) and returns -1, so that a
 * function can end with `return bursar_fail(err, EINVAL, "...")`.  The first
 * failure is kept: it is nearest to the cause.  code is never 0.  The text is
 * one line, whatever is quoted in it: control characters become '?'.
 */
__attribute__((format(printf, 3, 4)))
static inline int bursar_fail(struct bursar_error *err, int code,
                              const char *fmt, ...)
{
	if (err != NULL && err->code == 0) {
		va_list ap;

		va_start(ap, fmt);
		vsnprintf(err->text, sizeof(err->text), fmt, ap);
		va_end(ap);
		for (char *c = err->text; *c != '\0'; c++) {
			*c = (unsigned char)*c < ' ' || *c == 127 ? '?' : *c;
		}
		err->code = code;
	}
	return -1;
}

/*
 * What a plugin says of its work.  The plugin says what happened, the core
 * decides what to do: no plugin holds a retry loop, a back-off or a queue.
 */
enum bursar_verdict {
	BURSAR_DONE,	/* it is done */
	BURSAR_RETRY,	/* not now, but soon and as things are: busy, locked,
			 * disk full, rate limited */
	BURSAR_DOWN,	/* the connection is gone: close and open me again */
	BURSAR_REJECT,	/* this can never work: the input is at fault */
	BURSAR_CONFIG,	/* a person must act: password, permission, a table or
			 * a key that is missing */
};

/* Bytes that belong to somebody else; data is NULL for "not there". */
struct bursar_span {
	const char *data;	/* not NUL-terminated */
	size_t      size;
};

/* Memory whose life the giver states; freed as a whole. */
struct bursar_arena {
	/*
	 * `size` bytes aligned for any type, not initialised, followed by at
	 * least 64 bytes that may be read.  NULL when memory is short.
	 */
	void *(*alloc)(struct bursar_arena *arena, size_t size);
};

enum bursar_level {
	BURSAR_ERROR,		/* something is lost or stands still */
	BURSAR_WARNING,		/* a person should act */
	BURSAR_INFO,		/* what changed: opened, closed, gone, back */
	BURSAR_DEBUG,
};

struct bursar_schema;		/* bursar/schema.h */
struct bursar_kind;		/* bursar/schema.h */

/* Services of the daemon to one instance; outlives the instance. */
struct bursar_host {
	const char *name;	/* of the instance, as the configuration says */
	const char *state_dir;	/* a folder for this instance alone, mode
				 * 0700, made before open(); NULL for an
				 * instance opened only to read or to check */
	const struct bursar_schema *schema;	/* all kinds and their fields */

	/*
	 * Logs one line.  event is a constant of lower-case words joined by
	 * '-'; fmt, a constant too, gives more members as `key=value`, values
	 * with spaces in quotes, and is never NULL ("" for none).  Whatever
	 * its arguments hold cannot end a value: they are escaped.  Never a
	 * secret, never content of a body.  Any thread.
	 */
	void (*log)(const struct bursar_host *host, enum bursar_level level,
	            const char *event, const char *fmt, ...)
		__attribute__((format(printf, 4, 5)));

	/*
	 * The value of a declared option, checked against its table, or its
	 * default; asking for one that was not declared, or with the getter of
	 * another type, is a bug and aborts.  Lent until the instance is
	 * closed.
	 *
	 *	text	TEXT, PATH, CHOICE; "" where nothing was given
	 *	number	NUMBER; SIZE in bytes; DURATION in ms; FLAG 0 or 1
	 *	list	LIST; *items has as many strings as are returned
	 *	secret	SECRET: the bytes, in locked memory; data is NULL where
	 *		none was given
	 */
	const char *(*text)(const struct bursar_host *host, const char *name);
	int64_t (*number)(const struct bursar_host *host, const char *name);
	size_t (*list)(const struct bursar_host *host, const char *name,
	               const char *const **items);
	struct bursar_span (*secret)(const struct bursar_host *host,
	                             const char *name);

	int64_t (*now)(const struct bursar_host *host);	/* wall clock, us */

	/*
	 * Adds to, or sets, a figure of this instance.  name is a constant of
	 * lower-case words joined by '_' that ends in its unit, a counter's
	 * in _total; it stands among the plugin's figures.  At most 32 names
	 * an instance; any thread but a library's.
	 */
	void (*count)(const struct bursar_host *host, const char *name,
	              int64_t more);
	void (*gauge)(const struct bursar_host *host, const char *name,
	              int64_t value);

	/*
	 * The 16 bytes under which (kind, id) is stored: BLAKE2b of the
	 * kind's name, a NUL and the id.  Any thread.
	 */
	void (*key)(const struct bursar_kind *kind, const char *id, size_t size,
	            uint8_t key[16]);
};

enum bursar_type {
	BURSAR_TYPE_TEXT,
	BURSAR_TYPE_PATH,	/* made absolute: relative to the folder of
				 * the configuration file */
	BURSAR_TYPE_CHOICE,	/* one of `choices` */
	BURSAR_TYPE_NUMBER,	/* an integer */
	BURSAR_TYPE_SIZE,	/* bytes; the user may write 64K, 10M, 1G */
	BURSAR_TYPE_DURATION,	/* ms; the user may write 250ms 5s 2m 1h 7d */
	BURSAR_TYPE_FLAG,	/* true or false */
	BURSAR_TYPE_LIST,	/* texts: one, or a list */
	BURSAR_TYPE_SECRET,	/* given as NAME-file: PATH, or as
				 * NAME: ${VARIABLE}, never in the file itself */
	BURSAR_TYPE_INPUT,	/* a PATH that is read as input: a second
				 * instance with the same is a warning */
	BURSAR_TYPE_OUTPUT,	/* a PATH that is written: no two instances can
				 * have the same */
	BURSAR_TYPE_LISTEN,	/* a TEXT, ADDRESS:PORT or another word, where
				 * it listens: nor can they of this */
};

/*
 * One option.  The check of the configuration, `bursar plugins NAME`, the
 * manual page and the sample configuration are made from this table, so that
 * an option is written once.  A table ends with an entry whose name is NULL.
 */
struct bursar_option {
	const char      *name;		/* lower-case words joined by '-' */
	enum bursar_type type;
	const char      *fallback;	/* as a user would write it; "" for
					 * optional without default; NULL for
					 * required */
	const char      *help;		/* one sentence, ending in a full stop;
					 * says the unit of a NUMBER */
	int64_t          min;		/* NUMBER, SIZE, DURATION: bounds, in */
	int64_t          max;		/* base units; both 0: from 0 up */
	const char      *choices;	/* CHOICE: "one|two|three" */
};

/*
 * One figure that a plugin counts or sets, shown as bursar_plugin_NAME with
 * labels for the instance and the plugin.  Where two plugins have a figure of
 * one name, it is of one type and one help.  A table ends with an entry whose
 * name is NULL.
 */
struct bursar_plugin_figure {
	const char *name;
	const char *help;	/* one sentence, ending in a full stop */
};

enum bursar_plugin_kind {
	BURSAR_SOURCE,
	BURSAR_CRYPTO,
	BURSAR_FORMAT,
	BURSAR_SINK,
	BURSAR_SERVICE,
	BURSAR_PLUGIN_KINDS	/* how many there are */
};

struct bursar_source_ops;
struct bursar_crypto_ops;
struct bursar_format_ops;
struct bursar_sink_ops;
struct bursar_service_ops;

/* The description that a plugin exports. */
struct bursar_plugin {
	uint32_t    abi;		/* first for ever; set by the macro */
	enum bursar_plugin_kind kind;
	const char *name;		/* what the configuration calls it */
	const char *summary;		/* one line, no capital, no full stop */
	const struct bursar_option *options;	/* never NULL */
	const char *manual;		/* paragraphs for its manual page, divided
					 * by empty lines; NULL: none */
	union {
		const struct bursar_source_ops  *source;
		const struct bursar_crypto_ops  *crypto;
		const struct bursar_format_ops  *format;
		const struct bursar_sink_ops    *sink;
		const struct bursar_service_ops *service;
	} ops;
	const struct bursar_plugin_figure *figures;	/* NULL: none */
};

/*
 * Exports the description of the plugin in file MODULE.so, MODULE being the
 * kind and the name: BURSAR_PLUGIN_DEFINE(sink_sqlite, .kind = BURSAR_SINK,
 * .name = "sqlite", ...).  The symbol carries the module's name, so that
 * modules can be linked statically as well.
 */
#define BURSAR_PLUGIN_DEFINE(module, ...)                                    \
	__attribute__((visibility("default")))                               \
	extern const struct bursar_plugin module##_LTX_bursar_plugin;        \
	const struct bursar_plugin module##_LTX_bursar_plugin = {            \
		.abi = BURSAR_PLUGIN_ABI,                                    \
		__VA_ARGS__                                                  \
	}

#endif
