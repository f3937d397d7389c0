/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the commands that work on a ledger share.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "book/command.h"

#define SAY_EVERY_US INT64_C(1000000)

int command_open(struct cli *cli, const char *name, enum bursar_mode mode,
                 struct book *book)
{
	struct bursar_error err = { 0 };

	const struct setup *setup = cli_setup(cli);
	if (setup == NULL) {
		return CLI_USAGE;
	}
	if (book_open(book, setup, name, mode, &err) == 0) {
		return CLI_OK;
	}
	return err.code == EINVAL || err.code == ENOTSUP
		? cli_usage_error(cli, "%s", err.text)
		: cli_fail(cli, "%s", err.text);
}

int command_window(struct cli *cli, const struct window_choice *choice,
                   struct window *window)
{
	struct bursar_error err = { 0 };

	if (window_choose(choice, clock_wall_us(), window, &err) != 0) {
		return cli_usage_error(cli, "%s", err.text);
	}
	return CLI_OK;
}

void command_who(char who[COMMAND_WHO_SIZE])
{
	const struct passwd *user = getpwuid(getuid());
	const char *behind = getenv("SUDO_USER");
	char host[65] = "";

	gethostname(host, sizeof(host) - 1);
	snprintf(who, COMMAND_WHO_SIZE, "%s%s%s@%s",
	         behind != NULL && getuid() == 0 ? behind : "",
	         behind != NULL && getuid() == 0 ? " as " : "",
	         user != NULL ? user->pw_name : "unknown", host);
}

void head_text(json_t *head, const char *name, const char *text)
{
	json_object_set_new(head, name, json_pack("s?", text));
}

void head_number(json_t *head, const char *name, int64_t number)
{
	json_object_set_new(head, name, json_pack("I", (json_int_t)number));
}

void progress_start(struct progress *progress, struct cli *cli)
{
	const int64_t now = clock_mono_us();

	*progress = (struct progress){
		.out = isatty(fileno(cli->err)) ? cli->err : NULL,
		.started_us = now,
		.said_us = now,
	};
}

void progress_say(struct progress *progress, const char *fmt, ...)
{
	va_list ap;

	if (progress->out == NULL) {
		return;
	}
	const int64_t now = clock_mono_us();
	if (now - progress->said_us < SAY_EVERY_US) {
		return;
	}
	progress->said_us = now;
	progress->shown = true;
	fputs("\r\033[K", progress->out);
	va_start(ap, fmt);
	vfprintf(progress->out, fmt, ap);
	va_end(ap);
	fflush(progress->out);
}

void progress_end(struct progress *progress)
{
	if (progress->shown) {
		fputs("\r\033[K", progress->out);
		fflush(progress->out);
	}
	progress->shown = false;
}
