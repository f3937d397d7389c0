/* SPDX-License-Identifier: Apache-2.0 */

/* http_place.h - where a server of HTTP listens */
#ifndef COMMON_HTTP_PLACE_H
#define COMMON_HTTP_PLACE_H

#include <sys/socket.h>

#include <bursar/plugin.h>

struct http_place {
	char     text[64];		/* as it is shown: 127.0.0.1:8377 */
	uint16_t port;
	bool     loopback;		/* nobody off this machine reaches it */
	char     address[46];		/* numeric, without brackets */
	bool     passed;		/* by the service manager; then */
	int      fd;			/* ... its descriptor, which stays open
					 * as long as the process; -1: none */
};

/*
 * Parses ADDRESS:PORT, [ADDRESS]:PORT or localhost:PORT, with numeric
 * addresses; or "systemd" or "systemd:NAME": the first socket that was passed
 * by the protocol of sd_listen_fds(3), or that of the name.  One that was not
 * passed is no error here, as who only looks has none.
 * Returns 0, or -1 with *err filled.
 */
int http_place_parse(struct http_place *place, const char *text,
                     struct bursar_error *err);

/* A socket that listens there, or -1 with *err filled; err->code is
 * EADDRINUSE where somebody else does. */
int http_place_listen(const struct http_place *place, struct bursar_error *err);

/*
 * What a client of IPv6 counts as: the first 64 bits of its address, as it has
 * all those behind them.  0 where it is its address that counts: IPv4, also as
 * IPv6 tells it (::ffff:0:0/96, and 64:ff9b::/96 of RFC 6052), and others.
 */
uint64_t http_place_network(const struct sockaddr *client);

#endif
