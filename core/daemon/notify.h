/* SPDX-License-Identifier: Apache-2.0 */

/*
 * notify.h - tells the service manager how it goes
 *
 * What systemd asks of a service of Type=notify, by the protocol of
 * sd_notify(3): a datagram of NAME=VALUE lines to the socket that
 * NOTIFY_SOCKET names.  Without one all of this does nothing.  What cannot be
 * sent is lost, and nothing waits for it.
 *
 * Main thread only.
 */
#ifndef CORE_DAEMON_NOTIFY_H
#define CORE_DAEMON_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct notify {
	int                fd;		/* -1: nobody listens */
	struct sockaddr_un address;
	socklen_t          size;
	int64_t            watchdog_us;	/* 0: there is none */
	char               status[200];	/* as it was told last */
};

/* Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment,
 * so that no child has them.  An address that makes no sense is none. */
void notify_init(struct notify *notify);
void notify_finish(struct notify *notify);

/* It serves: at first, and again after notify_reloading(). */
void notify_ready(struct notify *notify);

/* It reads its configuration again, or it ends; either may take so long, for
 * which time the watchdog waits. */
void notify_reloading(struct notify *notify, int64_t most_ms);
void notify_stopping(struct notify *notify, int64_t most_ms);

/* One line for people; sent where it is another than before. */
__attribute__((format(printf, 2, 3)))
void notify_status(struct notify *notify, const char *fmt, ...);

/* It is alive. */
void notify_alive(struct notify *notify);

/*
 * How long to wait at most between two looks at the time, in ms: `longest`, or
 * less where the watchdog would bite before.
 */
int notify_tick(const struct notify *notify, int longest);

#endif
