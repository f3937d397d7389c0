/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bursar backup: a copy of the live ledger.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "book/command.h"
#include "cmd/commands.h"

enum { SINK };

static const struct cli_option options[] = {
	[SINK] = COMMAND_OPTION_SINK,
	{ NULL }
};

static int back_up(struct cli *cli, struct book *book, const char *path)
{
	struct bursar_error why = { 0 }, err = { 0 };
	struct stat st;

	if (book->ops->backup == NULL) {
		return cli_fail(cli, "sink '%s' leaves copies to the tools of "
		                "its database", book->name);
	}
	const enum bursar_verdict verdict =
		book->ops->backup(book->sink, path, &why);
	if (verdict != BURSAR_DONE) {
		book_blame(book, verdict, &why, &err);
		return cli_fail(cli, "%s", err.text);
	}
	if (stat(path, &st) != 0) {
		return cli_fail(cli, "%s: %s", path, strerror(errno));
	}
	fprintf(cli->out, "%s: %" PRId64 " bytes, as of one moment\n"
	        "To check it, name it as the path of a sink and run "
	        "`bursar verify --sink NAME`.\n", path, (int64_t)st.st_size);
	return CLI_OK;
}

static int run(struct cli *cli, int argc, char **argv)
{
	const char *value[CLI_MAX_OPTIONS];
	struct book book;
	struct stat st;

	if (!cli_parse(cli, &argc, &argv, value)) {
		return cli->status;
	}
	if (argc != 1) {
		return cli_usage_error(cli, "name the file to make");
	}
	if (lstat(argv[0], &st) == 0) {
		return cli_fail(cli, "%s: is there already; give another name",
		                argv[0]);
	}
	int status = command_open(cli, value[SINK], BURSAR_READ, &book);
	if (status != CLI_OK) {
		return status;
	}
	status = back_up(cli, &book, argv[0]);
	book_close(&book);
	return status;
}

const struct command command_backup = {
	.name = "backup",
	.summary = "copy the live ledger to a new file",
	.usage = "[--sink NAME] FILE",
	.options = options,
	.manual =
	"Writes a copy that is consistent as of one moment, while the daemon "
	"goes on.  A file that exists is never overwritten, and the copy has its "
	"name when it is whole; until then it is FILE.part.",
	.book_only = true,
	.run = run,
};
