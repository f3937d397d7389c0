/* SPDX-License-Identifier: Apache-2.0 */

/* Datagrams to the service manager. */
#include "config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon/notify.h"

#define MARGIN_US INT64_C(10000000)	/* beyond what was to take longest */

/* A path, or a name in the abstract name space where it begins with '@'. */
static bool take_address(struct notify *notify, const char *name)
{
	const size_t size = strlen(name);
	struct sockaddr_un *address = &notify->address;

	if ((name[0] != '/' && name[0] != '@') || size < 2 ||
	    size >= sizeof(address->sun_path)) {
		return false;
	}
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(address->sun_path, name, size);
	if (name[0] == '@') {
		address->sun_path[0] = '\0';
	}
	notify->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
	                           size);
	return true;
}

/* A whole number from the environment; 0 where there is none. */
static int64_t number(const char *name)
{
	const char *text = getenv(name);
	char *end;

	if (text == NULL || *text < '0' || *text > '9') {
		return 0;
	}
	const long long value = strtoll(text, &end, 10);
	return *end == '\0' ? value : 0;
}

void notify_init(struct notify *notify)
{
	const char *name = getenv("NOTIFY_SOCKET");
	const int64_t pid = number("WATCHDOG_PID");

	*notify = (struct notify){ .fd = -1 };
	if (name != NULL && take_address(notify, name)) {
		notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC |
		                    SOCK_NONBLOCK, 0);
	}
	if (notify->fd >= 0 && (pid == 0 || pid == getpid())) {
		notify->watchdog_us = number("WATCHDOG_USEC");
	}
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

void notify_finish(struct notify *notify)
{
	if (notify->fd >= 0) {
		close(notify->fd);
		notify->fd = -1;
	}
}

__attribute__((format(printf, 2, 3)))
static void say(struct notify *notify, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (notify->fd < 0) {
		return;
	}
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	sendto(notify->fd, text, strlen(text), MSG_NOSIGNAL,
	       (const struct sockaddr *)&notify->address, notify->size);
}

/* The watchdog gets so much more time than it had, and counts from now. */
static void hold_watchdog(struct notify *notify, int64_t more_us)
{
	if (notify->watchdog_us > 0) {
		say(notify, "WATCHDOG_USEC=%" PRId64 "\nWATCHDOG=1",
		    notify->watchdog_us + more_us);
	}
}

void notify_ready(struct notify *notify)
{
	say(notify, "READY=1");
	hold_watchdog(notify, 0);
}

void notify_reloading(struct notify *notify, int64_t most_ms)
{
	say(notify, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_mono_us());
	hold_watchdog(notify, most_ms * 1000 + MARGIN_US);
}

void notify_stopping(struct notify *notify, int64_t most_ms)
{
	say(notify, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRId64,
	    most_ms * 1000 + MARGIN_US);
	hold_watchdog(notify, most_ms * 1000 + MARGIN_US);
}

void notify_status(struct notify *notify, const char *fmt, ...)
{
	char text[sizeof(notify->status)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* One line is one variable: a second could be one of its own. */
	text[strcspn(text, "\r\n")] = '\0';
	if (strcmp(text, notify->status) != 0) {
		memcpy(notify->status, text, sizeof(text));
		say(notify, "STATUS=%s", text);
	}
}

void notify_alive(struct notify *notify)
{
	if (notify->watchdog_us > 0) {
		say(notify, "WATCHDOG=1");
	}
}

int notify_tick(const struct notify *notify, int longest)
{
	const int64_t third_ms = notify->watchdog_us / 3000;

	return notify->watchdog_us == 0 || third_ms > longest ? longest :
	       third_ms > 0 ? (int)third_ms : 1;
}
