/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A token in a file that somebody else writes: Vault's agent, systemd, a
 * person.  It is read again whenever the file is another one.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/credential.h"
#include "common/regular.h"

#include "vault.h"

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
	       a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	       a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static int check(const char *path, const struct stat *st,
                 struct bursar_error *err)
{
	const mode_t forbidden = credential_forbidden(path);

	if (st->st_uid != 0 && st->st_uid != geteuid()) {
		return bursar_fail(err, EPERM, "token-file %s: belongs to user "
		                   "%u; it must belong to root or to the user "
		                   "that runs this", path,
		                   (unsigned)st->st_uid);
	}
	if ((st->st_mode & forbidden) != 0) {
		return bursar_fail(err, EPERM, "token-file %s: others than its "
		                   "owner can get at it; run: chmod 600 %s",
		                   path, path);
	}
	if (st->st_size > (off_t)VAULT_MAX_TOKEN) {
		return bursar_fail(err, EINVAL, "token-file %s: too long for a "
		                   "token", path);
	}
	return 0;
}

/* White space at either end is none of the token. */
static struct bursar_span trimmed(const struct vault_text *text)
{
	struct bursar_span span = { text->data, text->size };

	while (span.size > 0 && (unsigned char)span.data[0] <= ' ') {
		span.data++;
		span.size--;
	}
	while (span.size > 0 &&
	       (unsigned char)span.data[span.size - 1] <= ' ') {
		span.size--;
	}
	return span;
}

static bool is_token(struct bursar_span text)
{
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] <= ' ' || text.data[i] > '~') {
			return false;
		}
	}
	return text.size > 0;
}

static int read_all(int fd, const char *path, struct vault_text *text,
                    struct bursar_error *err)
{
	char part[512];
	ssize_t got;
	int failed = 0;

	while (failed == 0 && (got = read(fd, part, sizeof(part))) != 0) {
		if (got > 0) {
			failed = vault_text_add(text, part, (size_t)got);
		} else if (errno != EINTR) {
			failed = errno;
		}
	}
	explicit_bzero(part, sizeof(part));
	return failed == 0 ? 0 : bursar_fail(err, failed, "token-file %s: %s",
	                                     path, strerror(failed));
}

int vault_token_file_read(const char *path, struct stat *seen,
                          struct vault_text *token, struct bursar_error *err)
{
	struct vault_text text = { .limit = VAULT_MAX_TOKEN };
	struct vault_text fresh = { .limit = VAULT_MAX_TOKEN };
	struct stat st;
	int result = -1;

	if (stat(path, &st) == 0 && is_same(&st, seen)) {
		return 0;
	}
	const int fd = regular_open(AT_FDCWD, path, O_RDONLY);
	if (fd < 0 || fstat(fd, &st) != 0) {
		bursar_fail(err, errno, "token-file %s: %s", path,
		            regular_why(errno));
		goto out;
	}
	if (check(path, &st, err) != 0 || read_all(fd, path, &text, err) != 0) {
		goto out;
	}
	if (!is_token(trimmed(&text))) {
		bursar_fail(err, EINVAL, "token-file %s: holds no token, or "
		            "more than one", path);
		goto out;
	}
	if (vault_text_add(&fresh, trimmed(&text).data,
	                   trimmed(&text).size) != 0) {
		bursar_fail(err, ENOMEM, "out of memory");
		goto out;
	}
	vault_text_clear(token);
	*token = fresh;
	*seen = st;
	result = 1;
out:
	if (fd >= 0) {
		close(fd);
	}
	vault_text_clear(&text);
	return result;
}
