/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Secrets from files, systemd credentials and the environment, in memory that
 * is locked, guarded and wiped.  No message holds a byte of one.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "common/credential.h"
#include "common/regular.h"

#include "conf/options_value.h"

#define SECRET_MAX 65536

/* Takes a copy. */
static int keep(const char *bytes, size_t size, struct bursar_span *secret,
                struct bursar_error *err)
{
	char *kept = sodium_init() < 0 ? NULL : sodium_malloc(size);

	if (kept == NULL) {
		return bursar_fail(err, ENOMEM, "out of memory for a secret");
	}
	memcpy(kept, bytes, size);
	sodium_mprotect_readonly(kept);
	*secret = (struct bursar_span){ kept, size };
	return 0;
}

int value_secret_text(const char *text, struct bursar_span *secret,
                      struct bursar_error *err)
{
	assert(text != NULL && text[0] != '\0' && secret != NULL);

	return keep(text, strlen(text), secret, err);
}

/*
 * The path to open.  A bare name is a credential where systemd brought one of
 * that name.
 */
static void find_file(const char *name, const char *dir, char *path,
                      size_t size)
{
	const char *credentials = getenv("CREDENTIALS_DIRECTORY");
	const bool has_some = credentials != NULL && credentials[0] == '/';

	if (has_some && strchr(name, '/') == NULL) {
		snprintf(path, size, "%s/%s", credentials, name);
		if (access(path, F_OK) == 0) {
			return;
		}
	}
	snprintf(path, size, "%s%s%s", name[0] == '/' ? "" : dir,
	         name[0] == '/' ? "" : "/", name);
}

/* Nobody but its owner may read it. */
static int check_file(int fd, const char *path, int64_t *modified,
                      struct bursar_error *err)
{
	struct stat st;

	if (fstat(fd, &st) != 0) {
		return bursar_fail(err, errno, "%s: %s", path, strerror(errno));
	}
	if (st.st_uid != 0 && st.st_uid != geteuid()) {
		return bursar_fail(err, EPERM, "%s: belongs to user %u; it "
		                   "must belong to root or to the user that "
		                   "runs this", path, (unsigned)st.st_uid);
	}
	if ((st.st_mode & credential_forbidden(path)) != 0) {
		return bursar_fail(err, EPERM, "%s: others than its owner can "
		                   "get at it; run: chmod 600 %s", path, path);
	}
	if (st.st_size > SECRET_MAX) {
		return bursar_fail(err, EFBIG, "%s: longer than %d bytes",
		                   path, SECRET_MAX);
	}
	*modified = st.st_mtim.tv_sec * INT64_C(1000000) +
		st.st_mtim.tv_nsec / 1000;
	return 0;
}

static int read_file(int fd, const char *path, char *bytes, size_t *size,
                     struct bursar_error *err)
{
	*size = 0;
	while (*size <= SECRET_MAX) {
		const ssize_t got =
			read(fd, bytes + *size, SECRET_MAX + 1 - *size);

		if (got < 0 && errno == EINTR) {
			continue;
		}
		if (got < 0) {
			return bursar_fail(err, errno, "%s: %s", path,
			                   strerror(errno));
		}
		if (got == 0) {
			break;
		}
		*size += (size_t)got;
	}
	if (*size > SECRET_MAX) {
		return bursar_fail(err, EFBIG, "%s: longer than %d bytes",
		                   path, SECRET_MAX);
	}
	if (*size > 0 && bytes[*size - 1] == '\n') {
		--*size;
	}
	return *size > 0 ? 0 :
		bursar_fail(err, EINVAL, "%s: the file is empty", path);
}

int value_secret_file(const char *name, const char *dir,
                      struct bursar_span *secret, int64_t *modified,
                      struct bursar_error *err)
{
	assert(name != NULL && dir != NULL && secret != NULL);

	int result = -1;
	char path[PATH_MAX];

	find_file(name, dir, path, sizeof(path));
	const int fd = regular_open(AT_FDCWD, path, O_RDONLY);
	if (fd < 0) {
		return bursar_fail(err, errno, "%s: %s", path,
		                   regular_why(errno));
	}
	if (check_file(fd, path, modified, err) != 0) {
		goto close_file;
	}

	char *bytes = sodium_init() < 0 ? NULL : sodium_malloc(SECRET_MAX + 1);
	if (bytes == NULL) {
		bursar_fail(err, ENOMEM, "out of memory for a secret");
		goto close_file;
	}
	size_t size;
	if (read_file(fd, path, bytes, &size, err) == 0) {
		result = keep(bytes, size, secret, err);
	}
	sodium_free(bytes);
close_file:
	close(fd);
	return result;
}
