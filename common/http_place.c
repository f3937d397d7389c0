/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Addresses are numeric, so that what is loopback is known before anything is
 * asked of a name server.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/http_place.h"

#define BACKLOG 1024

static int bad_place(struct bursar_error *err)
{
	return bursar_fail(err, EINVAL, "listen: is no ADDRESS:PORT, such as "
	                   "127.0.0.1:8377 or [::1]:8377");
}

static bool parse_port(const char *text, uint16_t *port)
{
	char *end;
	const long number = strtol(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || *end != '\0' || number > 65535) {
		return false;
	}
	*port = (uint16_t)number;
	return true;
}

static bool is_loopback(const struct http_place *place)
{
	struct in6_addr six;
	struct in_addr four;

	if (inet_pton(AF_INET, place->address, &four) == 1) {
		return ntohl(four.s_addr) >> 24 == 127;
	}
	return inet_pton(AF_INET6, place->address, &six) == 1 &&
	       (IN6_IS_ADDR_LOOPBACK(&six) ||
	        (IN6_IS_ADDR_V4MAPPED(&six) && six.s6_addr[12] == 127));
}

static struct addrinfo *resolve(const struct http_place *place)
{
	const struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
		.ai_socktype = SOCK_STREAM,
	};
	struct addrinfo *found = NULL;
	char port[8];

	snprintf(port, sizeof(port), "%u", place->port);
	return getaddrinfo(place->address, port, &hints, &found) == 0 ? found
	                                                              : NULL;
}

int http_place_parse(struct http_place *place, const char *text,
                     struct bursar_error *err)
{
	const bool six = text[0] == '[';
	const char *colon = strrchr(text, ':');
	const char *begin = text + six;
	const char *end = six ? strchr(text, ']') : colon;

	if (colon == NULL || end == NULL || end == begin ||
	    (six && end + 1 != colon) ||
	    (!six && strchr(text, ':') != colon) ||
	    (size_t)(end - begin) >= sizeof(place->address) ||
	    !parse_port(colon + 1, &place->port)) {
		return bad_place(err);
	}
	snprintf(place->address, sizeof(place->address), "%.*s",
	         (int)(end - begin), begin);
	if (strcmp(place->address, "localhost") == 0) {
		strncpy(place->address, "127.0.0.1", sizeof(place->address));
	}
	struct addrinfo *found = resolve(place);
	if (found == NULL) {
		return bad_place(err);
	}
	freeaddrinfo(found);
	snprintf(place->text, sizeof(place->text), six ? "[%s]:%u" : "%s:%u",
	         place->address, place->port);
	place->loopback = is_loopback(place);
	return 0;
}

int http_place_listen(const struct http_place *place, struct bursar_error *err)
{
	struct addrinfo *found = resolve(place);
	const int yes = 1, no = 0;
	int fd = -1;

	if (found == NULL) {
		return bad_place(err);
	}
	fd = socket(found->ai_family,
	            SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		goto fail;
	}
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (found->ai_family == AF_INET6) {
		/* [::] means everybody. */
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
	}
	if (bind(fd, found->ai_addr, found->ai_addrlen) != 0 ||
	    listen(fd, BACKLOG) != 0) {
		goto fail;
	}
	freeaddrinfo(found);
	return fd;

fail:
	bursar_fail(err, errno, "cannot listen on %s: %s", place->text,
	            strerror(errno));
	if (fd >= 0) {
		close(fd);
	}
	freeaddrinfo(found);
	return -1;
}
