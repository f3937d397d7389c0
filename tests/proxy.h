/* SPDX-License-Identifier: Apache-2.0 */

/*
 * proxy.h - a network that can be cut, for tests of what goes over one
 *
 * Stands between a client and a server of 127.0.0.1 in a thread of its own.
 * Once armed it counts the bytes that pass, and at a given one either ends all
 * connections or, as a black hole, swallows everything from then on.
 */
#ifndef TESTS_PROXY_H
#define TESTS_PROXY_H

#include <stdbool.h>
#include <stdint.h>

struct proxy;

/* Forwards to that port, which need not be taken yet; aborts where there is no
 * network. */
struct proxy *proxy_create(int port);
/* The same at a port of the caller's, which is free; 0: any. */
struct proxy *proxy_create_at(int port, int target);
void proxy_destroy(struct proxy *proxy);

/* The port to connect to. */
int proxy_port(const struct proxy *proxy);

enum proxy_end { PROXY_CUT, PROXY_SWALLOW };

/* From now on: after `up` bytes to the server or `down` bytes from it, whatever
 * comes first.  -1: any number. */
void proxy_arm(struct proxy *proxy, int64_t up, int64_t down,
               enum proxy_end end);
/* Lets everything pass again, on new connections. */
void proxy_disarm(struct proxy *proxy);

/* Bytes that passed since proxy_arm(). */
int64_t proxy_up(struct proxy *proxy);
int64_t proxy_down(struct proxy *proxy);
/* Whether the end was reached. */
bool proxy_ended(struct proxy *proxy);

#endif
