/* SPDX-License-Identifier: Apache-2.0 */

/*
 * options_value.h - what a text means as a value of an option
 *
 * Each takes the text and `shown`, how it may appear in a message (the text in
 * quotes, or a phrase where it came from the environment).  Each returns 0, or
 * -1 with err->text set to the rest of a sentence that began with the name of
 * the option: "'20x' is not a duration; write 20ms, 5s, 2m, 1h or 7d".
 */
#ifndef CORE_CONF_OPTIONS_VALUE_H
#define CORE_CONF_OPTIONS_VALUE_H

#include <bursar/plugin.h>

/* NUMBER, SIZE, DURATION, FLAG; bounds are checked. */
int value_number(const struct bursar_option *option, const char *text,
                 const char *shown, int64_t *number, struct bursar_error *err);

int value_choice(const struct bursar_option *option, const char *text,
                 const char *shown, struct bursar_error *err);

/* The absolute path, to be freed by the caller; NULL: out of memory. */
char *value_path(const char *text, const char *dir);

/*
 * A secret file, whole but for one newline at its end, as bytes of locked
 * memory that the caller gives to sodium_free().  `path` may be the name of a
 * systemd credential.  *modified: when the file was last changed, us.
 */
int value_secret_file(const char *path, const char *dir,
                      struct bursar_span *secret, int64_t *modified,
                      struct bursar_error *err);
/* A text that is not empty, in locked memory. */
int value_secret_text(const char *text, struct bursar_span *secret,
                      struct bursar_error *err);

#endif
