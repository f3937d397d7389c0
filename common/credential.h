/* SPDX-License-Identifier: Apache-2.0 */

/*
 * credential.h - who may read a file that holds a secret
 */
#ifndef COMMON_CREDENTIAL_H
#define COMMON_CREDENTIAL_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Whether the service manager brought that file, by the protocol of
 * LoadCredential= in systemd.exec(5). */
static inline bool credential_is(const char *path)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	const size_t size = folder != NULL ? strlen(folder) : 0;

	return size > 0 && folder[0] == '/' &&
	       strncmp(path, folder, size) == 0 && path[size] == '/';
}

/* The permissions that such a file must not have: those of all but its owner.
 * systemd gives a credential to a service by an access list, whose mask shows
 * as permission of the group. */
static inline mode_t credential_forbidden(const char *path)
{
	return credential_is(path) ? 037 : 077;
}

/* Whether nobody but its owner can get at a key that a library reads, or, of one
 * that belongs to root, nobody but a group that was given it to read, as
 * distributions keep keys that several services use.  What is not there is the
 * library's to say. */
static inline bool credential_is_private(const char *path)
{
	struct stat st;

	return stat(path, &st) != 0 ||
	       (st.st_mode & (st.st_uid == 0 ? 037
	                      : credential_forbidden(path))) == 0;
}

#endif
