/* SPDX-License-Identifier: Apache-2.0 */

/*
 * conf.h - a YAML file as a tree that remembers its lines
 *
 * Read by libyaml.  Aliases, anchors, tags, several documents and equal names
 * in one map are refused.  ${NAME} in a value is replaced from the environment;
 * $${ is a literal ${.  A value that came from the environment says so, so
 * that it can be taken for a secret, and is not shown in messages.
 *
 * Main thread only: the key of conf_digest() is the process's.
 */
#ifndef CORE_CONF_CONF_H
#define CORE_CONF_CONF_H

#include <bursar/plugin.h>

#define CONF_MAX_BYTES (1u << 20)
#define CONF_MAX_NODES 20000
#define CONF_MAX_DEPTH 16
#define CONF_MAX_MEMBERS 1000		/* of one map or list */
#define FINDINGS_MAX 100

/*
 * All that is wrong with a configuration, in the order in which it was found;
 * all zero at first.
 */
struct findings {
	const char *file;		/* lent; set by conf_load() */
	size_t      count;		/* 0: nothing is wrong */
	size_t      left_out;		/* further ones, not kept */
	struct finding {
		unsigned line;		/* 0: the file as a whole */
		char    *text;		/* never NULL */
	} items[FINDINGS_MAX];
};

__attribute__((format(printf, 3, 4)))
void findings_add(struct findings *findings, unsigned line,
                  const char *fmt, ...);
/* Prints `file:line: sentence`, in the order of the file. */
void findings_print(const struct findings *findings, FILE *out);
void findings_finish(struct findings *findings);

enum conf_type { CONF_TEXT, CONF_MAP, CONF_LIST };

struct conf {
	enum conf_type type;
	unsigned       line;
	char          *key;	/* in a map: its name there; else NULL */
	char          *text;	/* TEXT; never NULL then */
	bool           interpolated;	/* TEXT: holds a ${NAME}: not for eyes */
	bool           from_environment;/* ... and is exactly one */
	bool           broken;	/* a finding says so: no second one, please */
	struct conf   *first;	/* MAP, LIST: children, in order */
	struct conf   *next;	/* sibling */
};

/*
 * Reads a file; the root is a map.  Sets findings->file to `path`, which must
 * live as long as they do.  That others can write the file is a finding.
 *
 * Returns the tree, to be given to conf_destroy(), also where findings were
 * added: so that what else is wrong can be said at once; or NULL with findings
 * where there is no tree.
 */
struct conf *conf_load(const char *path, struct findings *findings);
/* The same from memory, for tests and fuzzers. */
struct conf *conf_parse(const char *text, size_t size,
                        struct findings *findings);
/* Wipes what came from the environment.  `conf` may be NULL. */
void conf_destroy(struct conf *conf);

/* The member of that name, or NULL; map may be NULL. */
const struct conf *conf_get(const struct conf *map, const char *name);

/* Whether nothing stands there: NULL, an empty text, a map without members. */
bool conf_is_empty(const struct conf *conf);

/*
 * The section as one line of text that is equal where the meaning is, whatever
 * the order of members; the caller frees it.  What came from the environment
 * stands there as its conf_digest().  NULL: out of memory.
 */
char *conf_canonical(const struct conf *conf);

#define CONF_DIGEST_SIZE 33

/*
 * A text that is equal for equal bytes within this process and tells nothing
 * of them: BLAKE2b-128 under a key made at random once, as hex digits.
 */
void conf_digest(const void *bytes, size_t size, char digest[CONF_DIGEST_SIZE]);

#endif
