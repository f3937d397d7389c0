/* SPDX-License-Identifier: Apache-2.0 */

/*
 * conf.h - a YAML file as a tree that remembers its lines
 *
 * Read by libyaml.  Aliases, anchors, tags, several documents and equal names
 * in one map are refused.  ${NAME} in a value is replaced from the environment;
 * $${ is a literal ${.  A value that came from the environment says so, so
 * that it can be taken for a secret.
 */
#ifndef CORE_CONF_H
#define CORE_CONF_H

#include <bursar/plugin.h>

#define CONF_MAX_BYTES (1u << 20)
#define CONF_MAX_NODES 20000
#define CONF_MAX_DEPTH 16

/*
 * All that is wrong with a configuration, in the order of the file; printed
 * as `file:line: sentence`.
 */
struct findings {
	const char *file;
	size_t      count;
	struct finding {
		unsigned line;		/* 0: the file as a whole */
		char    *text;
	} *items;
};

__attribute__((format(printf, 3, 4)))
void findings_add(struct findings *findings, unsigned line,
                  const char *fmt, ...);
void findings_print(const struct findings *findings, FILE *out);
void findings_finish(struct findings *findings);

enum conf_type { CONF_TEXT, CONF_MAP, CONF_LIST };

struct conf {
	enum conf_type type;
	unsigned       line;
	char          *key;	/* in a map: its name there; else NULL */
	char          *text;	/* TEXT; never NULL then */
	bool           from_environment;	/* TEXT: is exactly one ${NAME} */
	struct conf   *first;	/* MAP, LIST: children, in order */
	struct conf   *next;	/* sibling */
};

/*
 * Reads a file; the root is a map.  NULL with findings added where it cannot
 * be read or parsed.
 */
struct conf *conf_load(const char *path, struct findings *findings);
/* The same from memory, for tests and fuzzers. */
struct conf *conf_parse(const char *text, size_t size,
                        struct findings *findings);
void conf_destroy(struct conf *conf);

/* The member of that name, or NULL; map may be NULL. */
const struct conf *conf_get(const struct conf *map, const char *name);

/* The section as one line of text that is equal where the meaning is; the
 * caller frees it.  NULL: out of memory. */
char *conf_canonical(const struct conf *conf);

#endif
