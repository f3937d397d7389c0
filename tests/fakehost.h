/* SPDX-License-Identifier: Apache-2.0 */

/*
 * fakehost.h - a host and an arena for tests of one plugin
 *
 * The plugin is loaded as the daemon loads it; options are a list of names and
 * values, what it logs is captured, what it counts can be asked for.  Mistakes
 * of the plugin (an undeclared option, the wrong getter) fail the test.
 */
#ifndef TESTS_FAKEHOST_H
#define TESTS_FAKEHOST_H

#include <pthread.h>

#include <bursar/schema.h>

#define FAKEHOST_OPTIONS 24
#define FAKEHOST_FIGURES 32
#define FAKEHOST_LIST    16

struct fakehost {
	struct bursar_host host;		/* first */
	const struct bursar_option *table;
	struct {
		const char *name;
		char       *value;
		const char *list[FAKEHOST_LIST];
	} given[FAKEHOST_OPTIONS];
	struct {
		const char *name;
		int64_t     value;
	} figures[FAKEHOST_FIGURES];
	int64_t now_us;			/* what now() says; 0: the clock */
	pthread_mutex_t lock;		/* of log and figures */
	char   log[1 << 16];		/* "LEVEL EVENT TEXT\n", a string */
	size_t log_size;
};

/* name is "fake", state_dir NULL: change host.* as needed.  schema is lent. */
void fakehost_init(struct fakehost *host, const struct bursar_schema *schema);
void fakehost_finish(struct fakehost *host);

/* The table that options are declared in: plugin->options. */
void fakehost_declare(struct fakehost *host, const struct bursar_option *table);

/*
 * Gives an option a value, as a user would write it; a secret's is its bytes,
 * a list's is divided by commas.  NULL takes it back.
 */
void fakehost_set(struct fakehost *host, const char *name, const char *value);

/* A figure by its name; 0 where there is none. */
int64_t fakehost_figure(struct fakehost *host, const char *name);

/* How many lines of that event were logged. */
unsigned fakehost_logged(struct fakehost *host, const char *event);

/*
 * Loads a module of the build tree, by kind and name: "crypto", "sodium".
 * Fails the test where there is none.
 */
const struct bursar_plugin *fakehost_load(const char *kind, const char *name);

/*
 * An arena that checks that nobody writes behind what it gave, and that can be
 * made to run out: alloc() fails when `left` bytes are used up.
 */
struct fakearena {
	struct bursar_arena arena;	/* first */
	struct fakearena_block *blocks;
	size_t left;
};

void fakearena_init(struct fakearena *arena);
void fakearena_clear(struct fakearena *arena);

/*
 * How often the bytes stand in the readable memory of this process.  masked[]
 * is what to look for with every byte XOR FAKEHOST_MASK, so that asking leaves
 * no trace.  Returns -1 where that cannot be told: under a sanitizer or
 * valgrind, which keep copies of their own.
 */
#define FAKEHOST_MASK 0x5a
int fakehost_find_bytes(const unsigned char *masked, size_t size);

#endif
