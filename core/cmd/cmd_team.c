/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bursar team: which team a worker belongs to, from now on.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "book/assign.h"
#include "book/command.h"
#include "cmd/commands.h"
#include "cmd/team_file.h"

enum { ALL, REPLACE, DRY_RUN, SINK, FORMAT };

static const struct cli_option options[] = {
	[ALL]     = { "all", 'a', NULL, "With list: also what counts no "
	              "more." },
	[REPLACE] = { "replace", 0, NULL, "With import: who is not in the file "
	              "belongs to no team any more." },
	[DRY_RUN] = { "dry-run", 'n', NULL, "Only say what would change." },
	[SINK]    = COMMAND_OPTION_SINK,
	[FORMAT]  = CLI_OPTION_FORMAT,
	{ NULL }
};

static struct bursar_span span_of(const char *text)
{
	return (struct bursar_span){ text, strlen(text) };
}

/* --- changes -------------------------------------------------------------- */

/* Adds to the changes what is wanted and is not so now. */
static int add_wanted(const struct team_map *now, const struct team_map *wanted,
                      struct team_map *changes, struct bursar_error *err)
{
	for (size_t i = 0; i < team_map_count(wanted); i++) {
		struct bursar_span worker, team, before = { "", 0 };

		team_map_get(wanted, i, &worker, &team);
		team_map_find(now, worker, &before);
		if ((before.size != team.size ||
		     memcmp(before.data, team.data, team.size) != 0) &&
		    team_map_add(changes, worker, team, err) != 0) {
			return -1;
		}
	}
	return 0;
}

/* And who has a team and is not wanted to. */
static int add_others(const struct team_map *now, const struct team_map *wanted,
                      struct team_map *changes, struct bursar_error *err)
{
	for (size_t i = 0; i < team_map_count(now); i++) {
		struct bursar_span worker, team;

		team_map_get(now, i, &worker, &team);
		if (!team_map_find(wanted, worker, &team) &&
		    team_map_add(changes, worker, (struct bursar_span){ "", 0 },
		                 err) != 0) {
			return -1;
		}
	}
	return 0;
}

static struct team_map *find_changes(const struct team_map *now,
                                     const struct team_map *wanted,
                                     bool replace, struct bursar_error *err)
{
	struct team_map *changes = team_map_create();

	if (changes == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return NULL;
	}
	if (add_wanted(now, wanted, changes, err) != 0 ||
	    (replace && add_others(now, wanted, changes, err) != 0) ||
	    team_map_sort(changes, err) != 0) {
		team_map_destroy(changes);
		return NULL;
	}
	return changes;
}

static void print_name(FILE *out, struct bursar_span name)
{
	char *visible = text_visible(name.data, name.size);

	fputs(name.size == 0 ? "no team" : visible != NULL ? visible : "?",
	      out);
	free(visible);
}

static void print_changes(FILE *out, const struct team_map *now,
                          const struct team_map *changes)
{
	for (size_t i = 0; i < team_map_count(changes); i++) {
		struct bursar_span worker, team, before;

		team_map_get(changes, i, &worker, &team);
		print_name(out, worker);
		fputs(": ", out);
		print_name(out, team);
		if (team_map_find(now, worker, &before)) {
			fputs(", was ", out);
			print_name(out, before);
		}
		fputc('\n', out);
	}
}

/* What is asked for. */
struct order {
	const struct team_map *wanted;
	const char *sink;		/* NULL: the book */
	bool        replace, dry_run;
};

static int change(struct cli *cli, struct book *book, const struct order *order)
{
	struct bursar_error err = { 0 };
	enum bursar_verdict verdict;
	char who[COMMAND_WHO_SIZE];
	struct team_map *changes = NULL;
	int status = CLI_OK;

	command_who(who);
	struct team_map *now = assign_read(book, &verdict, &err);
	if (now != NULL) {
		changes = find_changes(now, order->wanted, order->replace,
		                       &err);
	}
	if (changes == NULL ||
	    (!order->dry_run && assign_write(book, changes, who,
	                                     clock_wall_us(), &err) != 0)) {
		status = cli_fail(cli, "%s", err.text);
	} else {
		print_changes(cli->out, now, changes);
		fprintf(cli->out, "%zu worker%s %s\n", team_map_count(changes),
		        team_map_count(changes) == 1 ? "" : "s",
		        order->dry_run ? "would change" : "changed");
	}
	team_map_destroy(changes);
	team_map_destroy(now);
	return status;
}

static int open_and_change(struct cli *cli, const struct order *order)
{
	struct book book;
	int status = command_open(cli, order->sink, order->dry_run
	                          ? BURSAR_READ : BURSAR_WRITE, &book);

	if (status == CLI_OK) {
		status = change(cli, &book, order);
		book_close(&book);
	}
	return status;
}

/* Assigns workers to a team; team "": to none. */
static int assign(struct cli *cli, struct order *order, const char *team,
                  char **workers, int count)
{
	struct bursar_error err = { 0 };
	struct team_map *wanted = team_map_create();
	int status = CLI_USAGE;

	if (wanted == NULL) {
		return cli_fail(cli, "out of memory");
	}
	for (int i = 0; i < count; i++) {
		if (team_map_add(wanted, span_of(workers[i]), span_of(team),
		                 &err) != 0) {
			cli_usage_error(cli, "%s", err.text);
			goto out;
		}
	}
	if (team_map_sort(wanted, &err) != 0) {
		cli_usage_error(cli, "%s", err.text);
		goto out;
	}
	order->wanted = wanted;
	status = open_and_change(cli, order);
out:
	team_map_destroy(wanted);
	return status;
}

static int import(struct cli *cli, struct order *order, const char *file)
{
	struct bursar_error err = { 0 };
	struct team_map *wanted = team_file_read(file, &err);

	if (wanted == NULL) {
		return cli_fail(cli, "%s: %s", file, err.text);
	}
	order->wanted = wanted;
	const int status = open_and_change(cli, order);
	team_map_destroy(wanted);
	return status;
}

/* --- list ----------------------------------------------------------------- */

static const struct table_column columns[] = {
	{ "worker", NULL, TABLE_TEXT },
	{ "team", NULL, TABLE_TEXT },
	{ "since", NULL, TABLE_TIME },
	{ "by", NULL, TABLE_TEXT },
};

static int take_assignment(void *context, const struct bursar_cell *cells,
                           size_t count)
{
	struct table *table = context;

	assert(count == 4);
	table_add_bytes(table, cells[0].data, cells[0].size);
	if (cells[1].size > 0) {
		table_add_bytes(table, cells[1].data, cells[1].size);
	} else {
		table_add_null(table);
	}
	table_add_number(table, book_get(&cells[2]) / 1000000 * 1000000);
	table_add_bytes(table, cells[3].data, cells[3].size);
	return 0;
}

static int list(struct cli *cli, const char *sink, const char *team, bool all)
{
	struct bursar_error err = { 0 };
	struct book book;
	int status = command_open(cli, sink, BURSAR_READ, &book);

	if (status != CLI_OK) {
		return status;
	}
	struct table *table = table_create(columns, sizeof(columns) /
	                                   sizeof(columns[0]));
	json_t *head = json_object();
	head_text(head, "report", "teams");
	status = assign_list(&book, team, all, take_assignment, table,
	                     &err) != 0
		? cli_fail(cli, "%s", err.text)
		: table_print(table, cli, head);
	json_decref(head);
	table_destroy(table);
	book_close(&book);
	return status;
}

/* --- the command ---------------------------------------------------------- */

static int run(struct cli *cli, int argc, char **argv)
{
	const char *value[CLI_MAX_OPTIONS];

	if (!cli_parse(cli, &argc, &argv, value)) {
		return cli->status;
	}
	struct order order = {
		.sink = value[SINK], .replace = value[REPLACE] != NULL,
		.dry_run = value[DRY_RUN] != NULL,
	};
	const char *verb = argc > 0 ? argv[0] : "";
	const bool imports = strcmp(verb, "import") == 0;
	if (order.replace && !imports) {
		return cli_usage_error(cli, "--replace goes with import");
	}
	if (strcmp(verb, "list") == 0) {
		return argc > 2 ? cli_usage_error(cli, "list takes one team")
			: list(cli, order.sink, argc == 2 ? argv[1] : "",
			       value[ALL] != NULL);
	}
	if (imports) {
		return argc == 2 ? import(cli, &order, argv[1])
			: cli_usage_error(cli, "name the file to import");
	}
	if (strcmp(verb, "set") == 0) {
		return argc > 2 && argv[1][0] != '\0'
			? assign(cli, &order, argv[1], argv + 2, argc - 2)
			: cli_usage_error(cli, "name a team, and who belongs "
			                  "to it");
	}
	if (strcmp(verb, "remove") == 0) {
		return argc > 1 ? assign(cli, &order, "", argv + 1, argc - 1)
			: cli_usage_error(cli, "name the workers that belong "
			                  "to no team any more");
	}
	return cli_usage_error(cli, "list, set, remove or import?");
}

const struct command command_team = {
	.name = "team",
	.summary = "say which team a worker belongs to",
	.usage = "list [TEAM] [--all]\n"
	         "set TEAM WORKER...\n"
	         "remove WORKER...\n"
	         "import FILE [--replace] [--dry-run]",
	.options = options,
	.manual =
	"A call of which nobody said a team is of the team that its worker "
	"(`worker_id`) belongs to.  Producers that name a team, and tokens that "
	"fix one, come first.\n"
	"\n"
	"	bursar team set research ann bob\n"
	"	bursar team import /etc/bursar/teams.csv --replace\n"
	"	bursar report team research --period this-month\n"
	"\n"
	"A call gets its team when it comes in and keeps it: an assignment "
	"counts from now on, and nobody's figures of last month change because "
	"somebody moves today.  The daemon knows within two seconds; it need "
	"not be told.\n"
	"\n"
	"Assignments stand in the journal of the book (table `bursar_journal`), "
	"which is only added to: `bursar team list --all` says who was where, "
	"since when, and by whose hand.\n"
	"\n"
	"A file to import is CSV with a line `WORKER,TEAM` for each worker, or "
	"with a first line that names the columns `worker` and `team`; or JSON: "
	"{\"WORKER\": \"TEAM\"}, {\"TEAM\": [\"WORKER\", ...]}, or what `bursar "
	"team list --format json` prints.  It is read whole before anything is "
	"changed, and then all of it counts or nothing; a worker in two teams "
	"is an error.  At most 100,000 workers, names of 200 bytes at most.",
	.run = run,
};
