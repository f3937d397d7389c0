/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Addresses are numeric, so that what is loopback is known before anything is
 * asked of a name server.  A socket may also come from the service manager, by
 * the protocol of sd_listen_fds(3): LISTEN_PID is this process, LISTEN_FDS how
 * many there are, from descriptor 3 on, LISTEN_FDNAMES their names, divided by
 * colons.
 */
#include "config.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/http_place.h"

#define BACKLOG 1024
#define FIRST_PASSED 3		/* descriptor, by sd_listen_fds(3) */
#define MAX_PASSED   64
#define TRANSLATED   UINT64_C(0x0064ff9b00000000)	/* 64:ff9b::/96 */

static int bad_place(const char *text, struct bursar_error *err)
{
	return bursar_fail(err, EINVAL, "listen: '%.60s' is no ADDRESS:PORT, "
	                   "such as 127.0.0.1:8377 or [::1]:8377", text);
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

/* --- sockets that were passed ---------------------------------------------- */

static int passed_count(void)
{
	const char *pid = getenv("LISTEN_PID");
	const char *count = getenv("LISTEN_FDS");

	if (pid == NULL || count == NULL ||
	    strtol(pid, NULL, 10) != (long)getpid()) {
		return 0;
	}
	const long number = strtol(count, NULL, 10);
	return number < 0 ? 0 : number > MAX_PASSED ? MAX_PASSED : (int)number;
}

/* Whether number i of the names, divided by colons, is that one. */
static bool is_named(int i, const char *wanted)
{
	const char *name = getenv("LISTEN_FDNAMES");

	for (; name != NULL && i > 0; i--) {
		name = strchr(name, ':');
		name = name != NULL ? name + 1 : NULL;
	}
	return name != NULL && strcspn(name, ":") == strlen(wanted) &&
	       strncmp(name, wanted, strlen(wanted)) == 0;
}

/* The descriptor, or -1; name is "" for the first. */
static int find_passed(const char *name)
{
	const int count = passed_count();

	for (int i = 0; i < count; i++) {
		if (*name == '\0' || is_named(i, name)) {
			return FIRST_PASSED + i;
		}
	}
	return -1;
}

/* Only who is on this machine reaches a socket of the file system. */
static bool passed_is_loopback(struct http_place *place)
{
	struct sockaddr_storage address = { 0 };
	socklen_t size = sizeof(address);
	const void *at = NULL;

	if (getsockname(place->fd, (struct sockaddr *)&address, &size) != 0) {
		return false;
	}
	if (address.ss_family == AF_INET) {
		at = &((const struct sockaddr_in *)&address)->sin_addr;
	} else if (address.ss_family == AF_INET6) {
		at = &((const struct sockaddr_in6 *)&address)->sin6_addr;
	} else {
		return address.ss_family == AF_UNIX;
	}
	return inet_ntop(address.ss_family, at, place->address,
	                 sizeof(place->address)) != NULL && is_loopback(place);
}

static int parse_passed(struct http_place *place, const char *text,
                        struct bursar_error *err)
{
	const char *name = text + strlen("systemd");
	int listens = 0;
	socklen_t size = sizeof(listens);

	place->passed = true;
	place->fd = find_passed(*name == ':' ? name + 1 : name);
	snprintf(place->text, sizeof(place->text), "%s", text);
	if (place->fd < 0) {
		place->loopback = true;
		return 0;
	}
	if (getsockopt(place->fd, SOL_SOCKET, SO_ACCEPTCONN, &listens,
	               &size) != 0 || listens == 0) {
		return bursar_fail(err, EINVAL, "listen: %s is no socket that "
		                   "listens: use ListenStream and Accept=no",
		                   text);
	}
	place->loopback = passed_is_loopback(place);
	return 0;
}

/* A descriptor of our own for the same socket: ours is closed with the server,
 * and the next one, after a reload, needs it again. */
static int listen_passed(const struct http_place *place,
                         struct bursar_error *err)
{
	if (place->fd < 0) {
		return bursar_fail(err, ENOENT, "listen: no socket was passed "
		                   "for %s: start the socket unit, or listen "
		                   "on an address", place->text);
	}
	fcntl(place->fd, F_SETFD, FD_CLOEXEC);
	fcntl(place->fd, F_SETFL,
	      fcntl(place->fd, F_GETFL) | O_NONBLOCK);
	const int fd = fcntl(place->fd, F_DUPFD_CLOEXEC, FIRST_PASSED);
	return fd >= 0 ? fd : bursar_fail(err, errno, "%s: %s", place->text,
	                                  strerror(errno));
}

/* --- addresses ------------------------------------------------------------- */

int http_place_parse(struct http_place *place, const char *text,
                     struct bursar_error *err)
{
	if (strcmp(text, "systemd") == 0 ||
	    strncmp(text, "systemd:", 8) == 0) {
		return parse_passed(place, text, err);
	}
	const bool six = text[0] == '[';
	const char *colon = strrchr(text, ':');
	const char *begin = text + six;
	const char *end = six ? strchr(text, ']') : colon;

	if (colon == NULL || end == NULL || end == begin ||
	    (six && end + 1 != colon) ||
	    (!six && strchr(text, ':') != colon) ||
	    (size_t)(end - begin) >= sizeof(place->address) ||
	    !parse_port(colon + 1, &place->port)) {
		return bad_place(text, err);
	}
	snprintf(place->address, sizeof(place->address), "%.*s",
	         (int)(end - begin), begin);
	if (strcmp(place->address, "localhost") == 0) {
		strncpy(place->address, "127.0.0.1", sizeof(place->address));
	}
	struct addrinfo *found = resolve(place);
	if (found == NULL) {
		return bad_place(text, err);
	}
	freeaddrinfo(found);
	snprintf(place->text, sizeof(place->text), six ? "[%s]:%u" : "%s:%u",
	         place->address, place->port);
	place->loopback = is_loopback(place);
	return 0;
}

static const char *advice(const struct http_place *place, int code)
{
	switch (code) {
	case EADDRINUSE:
		return "; another program listens there: end it, or take "
		       "another port";
	case EADDRNOTAVAIL:
		return "; this machine has no such address";
	case EACCES:
		return place->port < 1024 ? "; ports below 1024 are root's: "
			"take a higher one, or let systemd listen" : "";
	default:
		return "";
	}
}

int http_place_listen(const struct http_place *place, struct bursar_error *err)
{
	if (place->passed) {
		return listen_passed(place, err);
	}
	struct addrinfo *found = resolve(place);
	const int yes = 1, no = 0;
	int fd = -1;

	if (found == NULL) {
		return bad_place(place->text, err);
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
	bursar_fail(err, errno, "cannot listen on %s: %s%s", place->text,
	            strerror(errno), advice(place, errno));
	if (fd >= 0) {
		close(fd);
	}
	freeaddrinfo(found);
	return -1;
}

/* --- clients ---------------------------------------------------------------- */

uint64_t http_place_network(const struct sockaddr *client)
{
	struct sockaddr_in6 six;
	uint64_t first;

	if (client == NULL || client->sa_family != AF_INET6) {
		return 0;
	}
	memcpy(&six, client, sizeof(six));
	memcpy(&first, &six.sin6_addr, sizeof(first));
	first = be64toh(first);
	return first != TRANSLATED ? first : 0;
}
