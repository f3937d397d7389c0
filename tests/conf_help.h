/* SPDX-License-Identifier: Apache-2.0 */

/*
 * conf_help.h - what the tests of the configuration share
 */
#ifndef TESTS_CONF_HELP_H
#define TESTS_CONF_HELP_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "core/conf/conf.h"

/* What findings_print() writes, cleared with it; the caller frees it. */
__attribute__((noinline, unused))
static char *said(struct findings *findings)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	ck_assert_ptr_nonnull(out);
	findings_print(findings, out);
	fclose(out);
	findings_finish(findings);
	return text;
}

static inline void assert_said(struct findings *findings, const char *want)
{
	char *got = said(findings);

	ck_assert_str_eq(got, want);
	free(got);
}

static inline struct conf *parsed(const char *text, struct findings *findings)
{
	return conf_parse(text, strlen(text), findings);
}

#endif
