/* SPDX-License-Identifier: Apache-2.0 */

/*
 * kit.h - what the checks of every kind of plugin share
 *
 * A check is a function that drives the plugin through one promise of its
 * contract.  It runs in a process and a fresh folder of its own, so that a
 * crash or a hang is a finding and nothing else; it ends by returning (kept),
 * by expect() (broken) or by kit_skip() (not applicable).  Nothing that a
 * check takes needs to be given back, but what it measures.
 */
#ifndef CONFORMANCE_KIT_H
#define CONFORMANCE_KIT_H

#include <limits.h>

#include <bursar/message.h>
#include <bursar/service.h>

#include "core/conf/conf.h"
#include "core/plugin/instance.h"

#define KIT_OPTIONS 32
#define KIT_SECRETS 64

struct kit;

struct kit_check {
	const char *name;	/* what the plugin does, as a sentence */
	const char *wants;	/* what the contract says of it */
	void      (*run)(struct kit *kit);
	unsigned    seconds;	/* at most; 0: KIT_SECONDS */
};

#define KIT_SECONDS 20

struct kit {
	const struct bursar_plugin *plugin;
	enum bursar_plugin_kind kind;
	const char *file;		/* the shared object */
	struct {
		const char *name;
		const char *value;	/* see kit_expand() */
	} given[KIT_OPTIONS];
	size_t given_count;

	const char *input;	/* command that prepares a fresh folder */
	size_t      messages;	/* that a source then delivers */
	const char *silent_name;	/* option that names a peer; NULL: none */
	const char *silent_value;	/* @PEER@ or @PORT@ is one that says
				 * nothing */
	unsigned    peer_port;	/* where one is that talks; 0: none */
	bool        peer_comes;	/* to kit->port; @PORT@ is the plugin's */
	const char *key_type;	/* for keygen(); NULL: the usual one */
	const char *samples;	/* file of messages for a format */
	const char *sample_kind;
	const char *database;	/* option that names what backup() copies */
	bool        keeps_nothing;
	unsigned    seed;
	const char *only;	/* run checks whose names hold it; NULL: all */

	char dir[PATH_MAX];	/* of this check */
	unsigned port;		/* of this check: nobody listens there */
};

/* The tables of checks; each ends with a name of NULL. */
extern const struct kit_check plugin_checks[];
extern const struct kit_check thread_checks[];
extern const struct kit_check silent_checks[];
extern const struct kit_check fading_checks[];
extern const struct kit_check sink_write_checks[];
extern const struct kit_check sink_sql_checks[];
extern const struct kit_check sink_correct_checks[];
extern const struct kit_check sink_purge_checks[];
extern const struct kit_check sink_kill_checks[];
extern const struct kit_check source_checks[];
extern const struct kit_check source_crash_checks[];
extern const struct kit_check crypto_checks[];
extern const struct kit_check format_checks[];
extern const struct kit_check service_checks[];

/* --- verdicts ------------------------------------------------------------ */

#define expect(condition, ...)                                         \
	do {                                                           \
		if (!(condition)) {                                    \
			kit_fail(__FILE__, __LINE__, __VA_ARGS__);     \
		}                                                      \
	} while (0)

__attribute__((noreturn, format(printf, 3, 4)))
void kit_fail(const char *file, int line, const char *fmt, ...);
__attribute__((noreturn, format(printf, 1, 2)))
void kit_skip(const char *fmt, ...);
/* The kit itself cannot go on: memory, descriptors. */
__attribute__((noreturn)) void kit_broken(const char *what);
/* The check fails when it ends; the first word counts.  Any thread. */
__attribute__((format(printf, 1, 2)))
void kit_breach(const char *fmt, ...);
/* One more line in the report of the check; for figures. */
__attribute__((format(printf, 1, 2)))
void kit_remark(const char *fmt, ...);

/* Waits for a process that the check forked; its failure is the check's. */
void kit_wait(int pid);

/* Runs all checks of a table; returns how many failed. */
struct kit_score {
	unsigned number, passed, failed, skipped;
};
void kit_run(struct kit *kit, const struct kit_check *checks,
             struct kit_score *score);

/* --- the plugin's surroundings ------------------------------------------- */

/* What an instance needs. */
struct stand {
	struct findings  findings;
	struct conf     *conf;
	struct setup_item item;
	struct instance *instance;
	const struct bursar_host *host;
};

/* Adds a value to an option, or makes it the only one. */
void kit_give(struct kit *kit, const char *name, const char *value);
void kit_give_only(struct kit *kit, const char *name, const char *value);
bool kit_has_given(const struct kit *kit, const char *name);

/* The options checked and the host made, as the daemon does; false with
 * stand->findings: the options are wrong. */
bool stand_try(struct stand *stand, const struct kit *kit,
               enum instance_use use);
/* The same; wrong options end the check. */
void stand_init(struct stand *stand, const struct kit *kit,
                enum instance_use use);
void stand_finish(struct stand *stand);

/* Opens any kind: a sink to write.  NULL: *err, and of a sink *verdict. */
void *stand_open(struct stand *stand, enum bursar_verdict *verdict,
                 struct bursar_error *err);
/* What services are opened with: a state, a few figures and no book. */
extern const struct bursar_house kit_house;
void stand_close(struct stand *stand, void *handle);
void kit_close(const struct bursar_plugin *plugin, void *handle);

/* A failed operation: code and text are there, fit for a person, and hold no
 * secret. */
void kit_expect_error(const struct bursar_error *err, const char *what);

/* What stands for another text, both of them. */
struct kit_word {
	const char *name;		/* "@DIR@" */
	const char *value;
};

/* Text with both words replaced, from malloc(). */
char *kit_replace(const char *text, const struct kit_word words[2]);

/* Text with @DIR@ replaced by the folder and @FREE@ by the port, the same. */
char *kit_expand(const struct kit *kit, const char *text);

/* How many files stand in the folder of the check, at any depth, and a hash
 * over their names, sizes and times of change. */
uint64_t kit_folder_print(const struct kit *kit);

/* Listens on this machine, and never accepts; returns the port. */
unsigned kit_listen(int *fd);
/* A port of this machine where nobody listens. */
unsigned kit_free_port(void);

/* The same in a folder below, which must not be there, and with a port of its
 * own; nothing is prepared in it. */
struct kit kit_beside(const struct kit *kit, const char *name);

/* The input that every check finds, in kit->dir, which is there. */
void kit_prepare(struct kit *kit);

/* What a plugin of that kind is for, once, from open() to close(); anything
 * wrong ends the check.  Several threads may work at once, each with a kit and
 * a folder of its own. */
void source_works(struct kit *kit);
void crypto_works(struct kit *kit);
void format_works(struct kit *kit);
void sink_works(struct kit *kit);
void service_works(struct kit *kit);

/* Makes keys for a crypto that can and was given none. */
void crypto_prepare(struct kit *kit);

/* --- between the checks and the plugin ------------------------------------ */

/* The same plugin, its operations passing through the kit; there is one. */
const struct bursar_plugin *relay_make(const struct bursar_plugin *plugin);
/* Whether this thread is in an operation. */
bool relay_is_inside(void);
/* From now on every operation of the check runs in a new thread. */
void relay_from_any_thread(void);
/* From now on a thread that has opened an instance waits until so many have;
 * once for each thread. */
void relay_meet_when_open(unsigned threads);

/* --- secrets ------------------------------------------------------------- */

/* Remembers a text that must appear nowhere; wipes it where it stands. */
void secret_add(char *text, size_t size);
/* Remembers the words of a file, of 16 characters or more, and what they mean
 * as base64. */
void secret_add_file(const char *path);
bool secret_is_in(const char *text, size_t size);
/* How often secrets stand in our memory; -1: cannot be told here. */
int secret_count_in_memory(void);

/* --- measuring ----------------------------------------------------------- */

struct footprint {
	int    descriptors;
	int    threads;
	size_t bytes;		/* on the heap */
	long   pages;		/* of address space */
};

struct footprint footprint_take(void);
/* Whether the heap can be measured here. */
bool footprint_has_bytes(void);

/*
 * Runs round() so many times to warm up and three times as often after that.
 * More descriptors or threads than before end the check, and so does a heap
 * that has grown in each third by more than 8 bytes a round: what a library
 * keeps once is no leak.
 */
void footprint_expect_flat(void (*round)(void *context), void *context,
                           unsigned rounds);

/* --- guarded memory ------------------------------------------------------ */

/* A place for one text at a time: followed by `spare` readable bytes and then
 * by a page that nobody may touch. */
struct guard {
	char  *base;
	size_t size;		/* bytes before the forbidden page */
};

#define GUARD_SPARE 64

void guard_init(struct guard *guard, size_t room);
void guard_finish(struct guard *guard);
/* size bytes that end where the spare begins; the spare is set to `fill`. */
char *guard_place(struct guard *guard, const void *data, size_t size,
                  int fill);

/* An arena of such places; alloc() fails when `left` allocations are made. */
struct guard_arena {
	struct bursar_arena arena;	/* first */
	struct guard_block *blocks;
	size_t left;
};

void guard_arena_init(struct guard_arena *arena);
void guard_arena_clear(struct guard_arena *arena);
bool guard_arena_holds(const struct guard_arena *arena, const char *data,
                       size_t size);

/* --- the rest ------------------------------------------------------------ */

/* Numbers by chance, the same for the same seed. */
uint64_t chance(struct kit *kit);
static inline uint64_t chance_below(struct kit *kit, uint64_t limit)
{
	return chance(kit) % limit;
}

uint64_t hash_bytes(const void *data, size_t size);

/* Symbols that the file exports; calls each(). false: no ELF file. */
bool elf_exports(const char *file,
                 void (*each)(void *context, const char *name), void *context);

#endif
