/* SPDX-License-Identifier: Apache-2.0 */

/*
 * roff.h - text as man(7) takes it
 *
 * Every function begins a new line and ends it.
 */
#ifndef MAN_ROFF_H
#define MAN_ROFF_H

#include <stdio.h>

/* The head of a page, and its NAME section. */
void roff_page(FILE *out, const char *name, const char *section,
               const char *summary);

/* A heading; in capitals where it is one of a page's own. */
void roff_section(FILE *out, const char *title);
void roff_subsection(FILE *out, const char *title);

/* One paragraph; words in `backquotes` are set in bold. */
void roff_text(FILE *out, const char *text, size_t size);

/*
 * Paragraphs divided by empty lines; those whose lines begin with a tab are
 * examples.  text may be NULL.
 */
void roff_prose(FILE *out, const char *text);

/* An example, set as it stands. */
void roff_example(FILE *out, const char *text);

/* A tagged paragraph: the tag in bold, then what follows it in plain. */
void roff_tag(FILE *out, const char *tag, const char *after);

/* A reference to another page, and what follows it: "," or ".". */
void roff_see(FILE *out, const char *name, const char *section,
              const char *after);

/* Text without markup, as part of a line; '-' and quotes as they are. */
void roff_plain(FILE *out, const char *text, size_t size);

#endif
