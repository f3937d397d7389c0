/* SPDX-License-Identifier: Apache-2.0 */

/*
 * folder.h - a folder of one's own, for tests that need files
 *
 * It lies in $TMPDIR, or in /tmp where that is unset or empty.  What cannot be
 * done fails the test; a test that fails, or ends by a signal, leaves its
 * folder behind.
 */
#ifndef TESTS_FOLDER_H
#define TESTS_FOLDER_H

/*
 * Bytes of a path with its end.  So few, because the path of a socket has at
 * most 107, and the text of a bursar_error 249: with "/status" it fits into the
 * one, and twice, with what is said of it, into the other.
 */
#define FOLDER_SIZE 88

/*
 * Makes a new one, empty and for its owner alone (0700), and writes its path,
 * absolute and without links, to path[].  Fails where $TMPDIR is no folder that
 * can be written, or its path without links is longer than 73 bytes.
 */
void folder_make(char path[FOLDER_SIZE]);

/*
 * Removes it with all that lies in it; links are removed, never followed.
 * Fails where it is not there, where anything cannot be removed (a mount in it;
 * what is in a folder whose mode forbids it, but to root), and stops there.
 */
void folder_remove(const char *path);

#endif
