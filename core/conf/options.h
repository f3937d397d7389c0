/* SPDX-License-Identifier: Apache-2.0 */

/*
 * options.h - values checked against a table of options
 *
 * The one place that knows how an option is written: types, units, bounds,
 * secrets, and the nearest right word for a wrong one.
 *
 * Checked in the main thread; what was checked does not change any more, and
 * any thread may ask for values.
 */
#ifndef CORE_CONF_OPTIONS_H
#define CORE_CONF_OPTIONS_H

#include "conf/conf.h"

struct options;

/*
 * Checks the members of `section` (a map, or NULL for an empty one) against
 * `table`, and `common` before it (options that the core adds to those of a
 * plugin; may be NULL).  Every mistake becomes a finding with its line: unknown
 * names with the nearest right one, wrong types, values out of bounds, what is
 * required and missing, secrets written out, secret files that cannot be read
 * or that others can read.
 *
 * what	 names the section in messages: "source 'backlog'"; NULL: the file
 * dir	 folder that relative paths start from, an absolute path
 *
 * Returns the options, also where there were findings: an option that is at
 * fault has its default then, or without one the value 0, "" or none.  NULL:
 * out of memory.
 */
struct options *options_create(const struct conf *section,
                               const struct bursar_option *common,
                               const struct bursar_option *table,
                               const char *what, const char *dir,
                               struct findings *findings);
void options_destroy(struct options *options);

/* As those of struct bursar_host: an undeclared name, or one of another type,
 * aborts with a word on stderr. */
const char *options_text(const struct options *options, const char *name);
int64_t options_number(const struct options *options, const char *name);
size_t options_list(const struct options *options, const char *name,
                    const char *const **items);
struct bursar_span options_secret(const struct options *options,
                                  const char *name);
/* The name of the n-th secret that was read from a file, and when that file was
 * changed, us; false: there are not so many. */
bool options_secret_file(const struct options *options, size_t n,
                         const char **name, int64_t *modified);
/* Whether it was written in the configuration, and where. */
bool options_given(const struct options *options, const char *name,
                   unsigned *line);

/* Equal for equal secrets, see conf_digest(): tells whether one changed. */
void options_digest(const struct options *options,
                    char digest[CONF_DIGEST_SIZE]);

/*
 * The word of `words` (a NULL-terminated list) that is nearest to `word`, or
 * NULL where none is near: about one slip in three letters.  Case, and '_' for
 * '-', count for nothing.
 */
const char *options_nearest(const char *word, const char *const *words);

/* The words of such a list with commas between, for who wrote one that none is
 * near to; an ellipsis where `size`, 6 or more, has no room for all. */
void options_words(const char *const *words, char *out, size_t size);

/* Parses 10M, 64K ... and 250ms, 5s, 7d ...; false: no such thing. */
bool options_parse_size(const char *text, int64_t *bytes);
bool options_parse_duration(const char *text, int64_t *ms);

#endif
