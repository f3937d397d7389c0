/* SPDX-License-Identifier: Apache-2.0 */

/*
 * status.h - the socket in the state folder that tells what the daemon does
 *
 * A client connects to <state-dir>/status and reads one JSON object.
 */
#ifndef CORE_DAEMON_STATUS_H
#define CORE_DAEMON_STATUS_H

#include <jansson.h>

#include <bursar/plugin.h>

/* The listening socket, mode 0600; a stale one is replaced (the caller holds
 * the folder's lock).  A path may be longer than that of a socket can be.  -1
 * with *err filled. */
int status_listen(const char *state_dir, struct bursar_error *err);

/* A client that does not read holds its daemon up no longer than that. */
#define STATUS_PATIENCE_MS INT64_C(200)

/* Answers one client that waits.  Takes the state; it may be NULL. */
void status_answer(int listener, json_t *state);

/* Asks the daemon of that state folder, for a few seconds at most; NULL with
 * *err filled: ECONNREFUSED or ENOENT if none runs. */
json_t *status_ask(const char *state_dir, struct bursar_error *err);

#endif
