/* SPDX-License-Identifier: Apache-2.0 */

/*
 * http_pair.h - a certificate and its key, renewed while they are in use
 *
 *	check --> load --> (give both to the library) --> forget
 *	            ^                                        |
 *	            '--------- has_changed: listen anew -----'
 */
#ifndef COMMON_HTTP_PAIR_H
#define COMMON_HTTP_PAIR_H

#include "common/http_files.h"

/* What both sides may speak, in the words of GnuTLS. */
#define HTTP_PAIR_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

struct http_pair {
	const char *cert_file, *key_file;	/* lent; both "" for no TLS */
	char *cert, *key;			/* PEM, NULL: not loaded */
	struct http_look cert_look, key_look;	/* of what was loaded last */
};

static inline bool http_pair_is_given(const struct http_pair *pair)
{
	return pair->cert_file[0] != '\0';
}

/* Whether both files are named and can be read, or none is named.  Returns 0,
 * or -1 with *err filled. */
int http_pair_check(const struct http_pair *pair, struct bursar_error *err);

/* Reads both, where they are given.  Returns 0, or -1 with *err filled. */
int http_pair_load(struct http_pair *pair, struct bursar_error *err);

/* Wipes what was loaded; not what it looked like. */
void http_pair_forget(struct http_pair *pair);

/*
 * Whether the files are others than those loaded last, for long enough to be
 * whole: a key may come a moment after its certificate.  now: wall clock, us.
 */
bool http_pair_has_changed(const struct http_pair *pair, int64_t now);

#endif
