/* SPDX-License-Identifier: Apache-2.0 */

/*
 * tokens.h - who may send, by bearer tokens
 *
 * A file of tokens has one JSON object a line; empty lines and lines that
 * begin with '#' say nothing:
 *
 *	{"name":"gateway","sha256":"<64 hex digits>","kinds":["metering"],
 *	 "set":{"team":"support"}}			(on one line)
 *
 *	name	1 to 64 of letters, digits, '.', '_' and '-', the first of them
 *		a letter or digit; each name once
 *	sha256	of the token's text; the text itself stands nowhere
 *	kinds	what it may send; left out or empty: every kind
 *	set	TEXT fields that its records have, whatever they say themselves
 *
 * There is no other member, and none of them twice: a misspelt one would let a
 * token do all.  A token's text is 32 random bytes in base64url without padding.
 * The file is secret enough to be its owner's alone (mode 0600 or less).
 */
#ifndef COMMON_TOKENS_H
#define COMMON_TOKENS_H

#include <bursar/message.h>
#include <bursar/schema.h>

#define TOKENS_MAX       1000
#define TOKENS_MAX_BYTES ((size_t)1 << 20)	/* of the file */
#define TOKEN_MAX_NAME   64
#define TOKEN_MAX_FIXED  32
#define TOKEN_HASH       32

struct token {
	char     name[TOKEN_MAX_NAME + 1];
	uint8_t  hash[TOKEN_HASH];
	uint64_t kinds;			/* bit n: kind number n; 0: all */
	const struct bursar_header *fixed;
	size_t   fixed_count;
};

struct tokens;

/*
 * Reads a file of tokens.  Returns them, to be given to tokens_destroy(), or
 * NULL with *err filled: the file cannot be read, others can read it, or a
 * line is no token (its number and what is wrong, never its content).
 */
struct tokens *tokens_load(const char *path, const struct bursar_schema *schema,
                           struct bursar_error *err);
void tokens_destroy(struct tokens *tokens);

size_t tokens_count(const struct tokens *tokens);
/* Lent until tokens_destroy(). */
const struct token *tokens_get(const struct tokens *tokens, size_t i);

/* The token whose text this is, or NULL; takes as long for one as for
 * another.  Any thread. */
const struct token *tokens_find(const struct tokens *tokens,
                                struct bursar_span text);

/* SHA-256 of a token's text. */
void token_hash(struct bursar_span text, uint8_t hash[TOKEN_HASH]);

bool token_name_is_good(struct bursar_span name);

/* Whether a token may fix the field: TEXT, of some kind, and not one that the
 * core fills or that every record has; or a tag, as tag:KEY. */
bool token_field_is_good(const struct bursar_schema *schema,
                         struct bursar_span name);

#endif
