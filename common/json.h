/* SPDX-License-Identifier: Apache-2.0 */

/*
 * json.h - reading JSON as a list of spans
 *
 * A document is checked whole against RFC 8259, skipped parts too, and becomes
 * a list of nodes in the order of the text, each a span of the input.  Nothing
 * is copied or converted until somebody asks for a value.
 *
 * The fast way walks over what simdjson finds of the structure.  What it does
 * not take goes to a small checker of the grammar, which makes the same nodes
 * or says what is wrong.  Whatever the grammar allows is taken, also where no
 * type of ours holds it (1e400, 30 digits, half a surrogate pair).  Text that
 * is not UTF-8, or begins with a byte order mark, is refused.
 *
 * The nodes of an object: its own, then name, value, name, value ...; those
 * of an array: its own, then its elements.  node->next is the index behind a
 * node and all that it holds, so skipping costs nothing.
 *
 * Threads: one reader is used by one thread at a time.
 */
#ifndef COMMON_JSON_H
#define COMMON_JSON_H

#include <bursar/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

enum json_type {
	JSON_OBJECT, JSON_ARRAY, JSON_STRING, JSON_NUMBER,
	JSON_TRUE, JSON_FALSE, JSON_NULL,
};

struct json_node {
	uint32_t start;		/* in the text; a string's is its quote */
	uint32_t size;		/* in bytes, quotes and brackets included */
	uint32_t next;		/* index of the node behind this one's end */
	uint8_t  type;		/* enum json_type */
	uint8_t  escaped;	/* a string that holds a backslash */
};

struct json_doc {
	const char             *text;
	const struct json_node *nodes;	/* nodes[0] is the root */
	size_t                  count;
};

struct json_reader;

#define JSON_MAX_DEPTH 512
#define JSON_MAX_NODES (4u << 20)

/* A reader, to be given to json_reader_destroy(), or NULL: out of memory. */
struct json_reader *json_reader_create(void);
void json_reader_destroy(struct json_reader *reader);

/*
 * Checks text[0..size), which is followed by at least 64 readable bytes, and
 * fills *doc.  The nodes are lent until the next call with this reader; the
 * text must live as long as they are used.
 *
 * Returns 0, or -1 with *err filled; the text of the error names what was
 * expected and the offset, never content:
 *	EILSEQ	not JSON, or not UTF-8
 *	E2BIG	nested deeper than JSON_MAX_DEPTH, more than JSON_MAX_NODES,
 *		or text of 4 GB
 *	ENOMEM	out of memory
 */
int json_read(struct json_reader *reader, const char *text, size_t size,
              struct json_doc *doc, struct bursar_error *err);

/* The span of a node as it was written. */
static inline struct bursar_span json_raw(const struct json_doc *doc,
                                          uint32_t node)
{
	return (struct bursar_span){ doc->text + doc->nodes[node].start,
	                             doc->nodes[node].size };
}

/*
 * The index of the value of member `name` of the object `object`; the last one
 * where there are several; 0 where there is none or `object` is no object.
 * (0 is the root, which is nobody's member.)  Escapes in names are understood.
 */
uint32_t json_member(const struct json_doc *doc, uint32_t object,
                     const char *name);

/* Whether the string node says exactly `text`, escapes understood. */
bool json_equals(const struct json_doc *doc, uint32_t node, const char *text,
                 size_t size);

/* What json_text() met. */
#define JSON_HAD_NUL       1u	/* \u0000: kept as these six characters */
#define JSON_HAD_SURROGATE 2u	/* half a pair: kept as its escape */

/*
 * The text of a string node, escapes resolved, as UTF-8 without NUL.  It is a
 * span of the document where that holds no escape, else made in the arena.
 * *met gets JSON_HAD_*.  Returns false when memory is short.
 */
bool json_text(const struct json_doc *doc, uint32_t node,
                 struct bursar_arena *arena, struct bursar_span *text,
                 unsigned *met);

/*
 * A number node as an integer truncated toward zero (75.9 is 75, 1e3 is 1000),
 * or the sign and the digits that a string begins with ("75ms" and "75.9" are
 * 75, "1e3" is 1, "abc" and " 1" none).  Returns false where there is none or
 * it does not fit 64 bits.
 */
bool json_int(const struct json_doc *doc, uint32_t node, int64_t *value);

/*
 * A number node, or a string that holds nothing but a number, as a decimal
 * times 10^digits, exactly, one rounding half to even at the last digit:
 * with digits = 9, 0.00548848 is 5488480.  digits is 0 to 18.  Returns false
 * where there is none or it does not fit 64 bits.
 */
bool json_decimal(const struct json_doc *doc, uint32_t node, int digits,
                  int64_t *value);

/*
 * Writes text without the white space outside its strings to out, which has
 * room for size bytes and 64 more; text is followed by 64 readable bytes and
 * need not be JSON.  Returns the new size.
 */
size_t json_minify(const char *text, size_t size, char *out);

#ifdef __cplusplus
}
#endif

#endif
