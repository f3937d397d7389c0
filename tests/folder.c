/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "tests/folder.h"

#define NAME     "/bursar-XXXXXX"
#define MAX_OPEN 16

void folder_make(char path[FOLDER_SIZE])
{
	const char *base = getenv("TMPDIR");

	if (base == NULL || base[0] == '\0') {
		base = "/tmp";
	}
	char *whole = realpath(base, NULL);
	ck_assert_msg(whole != NULL, "%s: %s; set TMPDIR to a folder that is "
	              "there", base, strerror(errno));
	const int size = snprintf(path, FOLDER_SIZE, "%s" NAME, whole);
	ck_assert_msg(size < FOLDER_SIZE, "%s: too long for folders of tests; "
	              "set TMPDIR to a path of at most %zu bytes", whole,
	              FOLDER_SIZE - sizeof(NAME));
	free(whole);
	ck_assert_msg(mkdtemp(path) != NULL, "%s: %s", path, strerror(errno));
}

static int remove_one(const char *path, const struct stat *st, int type,
                      struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	ck_assert_msg(remove(path) == 0, "%s: %s", path, strerror(errno));
	return 0;
}

void folder_remove(const char *path)
{
	ck_assert_msg(nftw(path, remove_one, MAX_OPEN,
	                   FTW_DEPTH | FTW_PHYS) == 0, "%s: %s", path,
	              strerror(errno));
}
