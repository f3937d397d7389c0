/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/proxy.h"

#define MAX_PAIRS 16

struct pair {
	int client;		/* -1: free */
	int server;
};

struct proxy {
	int       listener;
	int       port;
	int       target;
	int       bell[2];	/* something changed */
	pthread_t thread;

	pthread_mutex_t lock;	/* guards what follows */
	bool      stop;
	bool      armed;
	bool      ended;
	enum proxy_end end;
	int64_t   up_left, down_left;	/* -1: any number */
	int64_t   up, down;
	struct pair pairs[MAX_PAIRS];
};

/* Without a network nothing can be told of what goes over it. */
static void must(bool good)
{
	if (!good) {
		abort();
	}
}

static void close_pair(struct pair *pair)
{
	const struct linger at_once = { 1, 0 };

	if (pair->client < 0) {
		return;
	}
	/* A connection that is cut is not closed in good order. */
	setsockopt(pair->client, SOL_SOCKET, SO_LINGER, &at_once,
	           sizeof(at_once));
	close(pair->client);
	close(pair->server);
	pair->client = pair->server = -1;
}

static void close_all(struct proxy *proxy)
{
	for (int i = 0; i < MAX_PAIRS; i++) {
		close_pair(&proxy->pairs[i]);
	}
}

static int connect_to(int port)
{
	const struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (const struct sockaddr *)&address,
	                       sizeof(address)) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void take_client(struct proxy *proxy)
{
	const int client = accept(proxy->listener, NULL, NULL);
	const int server = client < 0 ? -1 : connect_to(proxy->target);

	for (int i = 0; i < MAX_PAIRS && server >= 0; i++) {
		if (proxy->pairs[i].client < 0) {
			proxy->pairs[i] = (struct pair){ client, server };
			return;
		}
	}
	if (client >= 0) {
		close(client);
	}
	if (server >= 0) {
		close(server);
	}
}

/* How many of `got` bytes may pass. */
static size_t allowed(struct proxy *proxy, size_t got, bool up)
{
	int64_t *left = up ? &proxy->up_left : &proxy->down_left;
	int64_t *passed = up ? &proxy->up : &proxy->down;

	if (proxy->ended) {
		return 0;
	}
	if (!proxy->armed) {
		return got;
	}
	if (*left >= 0 && (int64_t)got >= *left) {
		got = (size_t)*left;
		proxy->ended = true;
	}
	*left -= *left >= 0 ? (int64_t)got : 0;
	*passed += (int64_t)got;
	return got;
}

static bool send_all(int fd, const char *data, size_t size)
{
	while (size > 0) {
		const ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);

		if (sent < 0) {
			return false;
		}
		data += sent;
		size -= (size_t)sent;
	}
	return true;
}

static void forward(struct proxy *proxy, struct pair *pair, bool up)
{
	char data[16384];
	const ssize_t got = recv(up ? pair->client : pair->server, data,
	                         sizeof(data), 0);

	if (got <= 0) {
		close_pair(pair);
		return;
	}
	const size_t size = allowed(proxy, (size_t)got, up);
	if (!send_all(up ? pair->server : pair->client, data, size)) {
		close_pair(pair);
	}
	if (proxy->ended && proxy->end == PROXY_CUT) {
		close_all(proxy);
	}
}

static void serve(struct proxy *proxy, const struct pollfd *fds)
{
	for (int i = 0; i < MAX_PAIRS; i++) {
		struct pair *pair = &proxy->pairs[i];

		if (pair->client >= 0 && fds[2 + 2 * i].fd == pair->client &&
		    fds[2 + 2 * i].revents != 0) {
			forward(proxy, pair, true);
		}
		if (pair->client >= 0 &&
		    fds[3 + 2 * i].fd == pair->server &&
		    fds[3 + 2 * i].revents != 0) {
			forward(proxy, pair, false);
		}
	}
}

static void *run(void *context)
{
	struct proxy *proxy = context;
	struct pollfd fds[2 + 2 * MAX_PAIRS];
	char byte;

	pthread_mutex_lock(&proxy->lock);
	while (!proxy->stop) {
		fds[0] = (struct pollfd){ proxy->listener, POLLIN, 0 };
		fds[1] = (struct pollfd){ proxy->bell[0], POLLIN, 0 };
		for (int i = 0; i < MAX_PAIRS; i++) {
			const struct pair *pair = &proxy->pairs[i];

			fds[2 + 2 * i] = (struct pollfd){ pair->client, POLLIN,
			                                  0 };
			fds[3 + 2 * i] = (struct pollfd){ pair->server, POLLIN,
			                                  0 };
		}
		pthread_mutex_unlock(&proxy->lock);
		poll(fds, 2 + 2 * MAX_PAIRS, -1);
		pthread_mutex_lock(&proxy->lock);
		if (fds[1].revents != 0 && read(proxy->bell[0], &byte, 1) < 0) {
			break;
		}
		serve(proxy, fds);
		if (fds[0].revents != 0) {
			take_client(proxy);
		}
	}
	close_all(proxy);
	pthread_mutex_unlock(&proxy->lock);
	return NULL;
}

struct proxy *proxy_create_at(int port, int target)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t size = sizeof(address);
	struct proxy *proxy = calloc(1, sizeof(*proxy));

	must(proxy != NULL);
	proxy->target = target;
	for (int i = 0; i < MAX_PAIRS; i++) {
		proxy->pairs[i].client = proxy->pairs[i].server = -1;
	}
	proxy->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(bind(proxy->listener, (struct sockaddr *)&address, size) == 0);
	must(listen(proxy->listener, MAX_PAIRS) == 0);
	must(getsockname(proxy->listener, (struct sockaddr *)&address,
	                 &size) == 0);
	proxy->port = ntohs(address.sin_port);
	must(pipe(proxy->bell) == 0);
	pthread_mutex_init(&proxy->lock, NULL);
	must(pthread_create(&proxy->thread, NULL, run, proxy) == 0);
	return proxy;
}

struct proxy *proxy_create(int port)
{
	return proxy_create_at(0, port);
}

static void ring(struct proxy *proxy)
{
	must(write(proxy->bell[1], "", 1) == 1);
}

void proxy_destroy(struct proxy *proxy)
{
	pthread_mutex_lock(&proxy->lock);
	proxy->stop = true;
	pthread_mutex_unlock(&proxy->lock);
	ring(proxy);
	pthread_join(proxy->thread, NULL);
	pthread_mutex_destroy(&proxy->lock);
	close(proxy->listener);
	close(proxy->bell[0]);
	close(proxy->bell[1]);
	free(proxy);
}

int proxy_port(const struct proxy *proxy)
{
	return proxy->port;
}

void proxy_arm(struct proxy *proxy, int64_t up, int64_t down,
               enum proxy_end end)
{
	pthread_mutex_lock(&proxy->lock);
	proxy->armed = true;
	proxy->ended = false;
	proxy->end = end;
	proxy->up_left = up;
	proxy->down_left = down;
	proxy->up = proxy->down = 0;
	pthread_mutex_unlock(&proxy->lock);
}

void proxy_disarm(struct proxy *proxy)
{
	pthread_mutex_lock(&proxy->lock);
	close_all(proxy);
	proxy->armed = proxy->ended = false;
	pthread_mutex_unlock(&proxy->lock);
	ring(proxy);
}

static int64_t get(struct proxy *proxy, const int64_t *figure)
{
	pthread_mutex_lock(&proxy->lock);
	const int64_t value = *figure;
	pthread_mutex_unlock(&proxy->lock);
	return value;
}

int64_t proxy_up(struct proxy *proxy)
{
	return get(proxy, &proxy->up);
}

int64_t proxy_down(struct proxy *proxy)
{
	return get(proxy, &proxy->down);
}

bool proxy_ended(struct proxy *proxy)
{
	pthread_mutex_lock(&proxy->lock);
	const bool ended = proxy->ended;
	pthread_mutex_unlock(&proxy->lock);
	return ended;
}
