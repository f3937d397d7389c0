/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bursar hold: records that stay, whatever else is said of them.
 *
 * A hold becomes one by a single row, which comes after its filters; the
 * ledger itself writes the journal, in the same transaction.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "book/command.h"
#include "cmd/commands.h"
#include "common/holds.h"

#define ID_SIZE       33
#define MAX_FILTERS   16
#define NAME_SIZE     40
#define TEXT_SIZE     400
#define SELECTION_SIZE 1000

enum { REASON, WHERE, KIND, SINCE, UNTIL, TZ, ALL, SINK, FORMAT };

static const struct cli_option options[] = {
	[REASON] = { "reason", 'r', "TEXT", "With add: why, for those who come "
	             "later." },
	[WHERE]  = { "where", 'w', "FIELD=VALUE", "Only records with that "
	             "value; may be given several times, and all must hold.  "
	             "An empty value is unknown." },
	[KIND]   = { "kind", 'k', "KIND", "Only records of that kind." },
	[SINCE]  = COMMAND_OPTION_SINCE,
	[UNTIL]  = COMMAND_OPTION_UNTIL,
	[TZ]     = COMMAND_OPTION_TZ,
	[ALL]    = { "all", 'a', NULL, "With list: also those that were "
	             "released." },
	[SINK]   = { "sink", 's', "NAME", "In this sink, instead of every one "
	             "that can be asked." },
	[FORMAT] = CLI_OPTION_FORMAT,
	{ NULL }
};

/* What is asked for. */
struct hold {
	const char *name;
	const char *reason;
	const char *kind;		/* "": every one */
	struct window window;
	struct {
		char        field[64];
		const char *value;
	} filters[MAX_FILTERS];
	size_t      count;
	char        id[ID_SIZE];
	char        who[COMMAND_WHO_SIZE];
};

/* --- what is asked for ---------------------------------------------------- */

static bool is_name(const char *name)
{
	const size_t size = strlen(name);

	return size > 0 && size <= NAME_SIZE &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz"
	              "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == size;
}

/* The field of that name in the kinds that are meant, or NULL. */
static const struct bursar_field *find_field(const char *kind, const char *name)
{
	for (size_t k = 0; k < schema.kind_count; k++) {
		const struct bursar_kind *of = &schema.kinds[k];

		if (kind[0] != '\0' && strcmp(kind, of->name) != 0) {
			continue;
		}
		for (size_t i = 0; i < of->field_count; i++) {
			if (strcmp(of->fields[i].name, name) == 0 &&
			    holds_by(&of->fields[i])) {
				return &of->fields[i];
			}
		}
	}
	return NULL;
}

/* As the ledger compares it; NULL: not one of that field. */
static const char *value_of(const struct bursar_field *field, const char *text)
{
	char number[24];

	if (text[0] == '\0' || field->type == BURSAR_TEXT) {
		return text;
	}
	if (field->type == BURSAR_BOOL) {
		return strcmp(text, "true") == 0 || strcmp(text, "yes") == 0 ||
		       strcmp(text, "1") == 0 ? "1"
		       : strcmp(text, "false") == 0 ||
		         strcmp(text, "no") == 0 || strcmp(text, "0") == 0
		       ? "0" : NULL;
	}
	/* "007" is no other number, but another text. */
	errno = 0;
	snprintf(number, sizeof(number), "%lld", strtoll(text, NULL, 10));
	return errno == 0 && strcmp(number, text) == 0 ? text : NULL;
}

static int add_filter(struct cli *cli, struct hold *hold, const char *text)
{
	const char *equals = strchr(text, '=');
	const size_t size = equals != NULL ? (size_t)(equals - text) : 0;
	char field[64];

	snprintf(field, sizeof(field), "%.*s", (int)size, text);
	const struct bursar_field *found = size < sizeof(field)
		? find_field(hold->kind, field) : NULL;
	if (equals == NULL || found == NULL) {
		return cli_usage_error(cli, "--where %.80s: takes FIELD=VALUE, "
		                       "FIELD being a text, number or flag of "
		                       "the records, such as conversation_id",
		                       text);
	}
	for (size_t i = 0; i < hold->count; i++) {
		if (strcmp(hold->filters[i].field, field) == 0) {
			return cli_usage_error(cli, "--where %s is given twice: "
			                       "make a hold for each value",
			                       field);
		}
	}
	if (hold->count == MAX_FILTERS) {
		return cli_usage_error(cli, "at most %d filters", MAX_FILTERS);
	}
	hold->filters[hold->count].value = value_of(found, equals + 1);
	if (hold->filters[hold->count].value == NULL) {
		return cli_usage_error(cli, "--where %.80s: no value of that "
		                       "field", text);
	}
	memcpy(hold->filters[hold->count++].field, field, sizeof(field));
	return CLI_OK;
}

static int read_hold(struct cli *cli, struct hold *hold,
                     const char *const value[])
{
	const struct window_choice choice = { NULL, value[SINCE], value[UNTIL],
	                                      value[TZ] };
	uint8_t random[16];

	if (!is_name(hold->name)) {
		return cli_usage_error(cli, "a hold's name is made of up to %d "
		                       "letters, digits, '-', '_' and '.'",
		                       NAME_SIZE);
	}
	if (value[REASON] == NULL || value[REASON][0] == '\0' ||
	    strlen(value[REASON]) >= TEXT_SIZE) {
		return cli_usage_error(cli, "say why with --reason, in less "
		                       "than %d bytes", TEXT_SIZE);
	}
	hold->reason = value[REASON];
	hold->kind = value[KIND] != NULL ? value[KIND] : "";
	if (hold->kind[0] != '\0' &&
	    bursar_kind_find(&schema, hold->kind, strlen(hold->kind)) == NULL) {
		return cli_usage_error(cli, "'%.40s' is no kind of records",
		                       hold->kind);
	}
	for (size_t i = 0; i < cli->given_count; i++) {
		if (cli->given[i].option == WHERE &&
		    add_filter(cli, hold, cli->given[i].value) != CLI_OK) {
			return CLI_USAGE;
		}
	}
	if (hold->count == 0 && value[KIND] == NULL && value[SINCE] == NULL &&
	    value[UNTIL] == NULL) {
		return cli_usage_error(cli, "say what is held: --where, --kind,"
		                       " --since, --until");
	}
	randombytes_buf(random, sizeof(random));
	sodium_bin2hex(hold->id, sizeof(hold->id), random, sizeof(random));
	command_who(hold->who);
	return command_window(cli, &choice, &hold->window);
}

/* --- add ------------------------------------------------------------------ */

static int take_one(void *context, const struct bursar_cell *cells,
                    size_t count)
{
	(void)cells;
	(void)count;
	*(bool *)context = true;
	return 0;
}

/* All filters in one statement; those that are there already stay. */
static int store_filters(struct book *book, const struct hold *hold,
                         struct bursar_error *err)
{
	struct bursar_cell cells[1 + 2 * MAX_FILTERS] = {
		book_text(hold->id) };
	char sql[200 + 20 * MAX_FILTERS] = "INSERT INTO bursar_hold_filters "
		"(hold, field, value) VALUES ";
	size_t used = strlen(sql);

	if (hold->count == 0) {
		return 0;
	}
	for (size_t i = 0; i < hold->count; i++) {
		const int at = 2 + 2 * (int)i;

		cells[at - 1] = book_text(hold->filters[i].field);
		cells[at] = book_text(hold->filters[i].value);
		used += (size_t)snprintf(sql + used, sizeof(sql) - used,
		                         "%s($1, $%d, $%d)", i > 0 ? ", " : "",
		                         at, at + 1);
	}
	snprintf(sql + used, sizeof(sql) - used,
	         " ON CONFLICT (hold, field) DO NOTHING");
	return book_run(book, sql, cells, 1 + 2 * hold->count, NULL, NULL, err);
}

/* Takes away the filters that belong to no hold: whoever was to make it was
 * killed, or its name was taken. */
static int drop_filters(struct book *book, struct bursar_error *err)
{
	return book_run(book, "DELETE FROM bursar_hold_filters WHERE hold NOT "
	                "IN (SELECT id FROM bursar_holds)", NULL, 0, NULL,
	                NULL, err);
}

/* The row that makes it a hold, if all of its filters are there. */
static int store_hold(struct book *book, const struct hold *hold, bool *done,
                      struct bursar_error *err)
{
	const struct bursar_cell row[] = {
		book_text(hold->name), book_text(hold->id),
		book_text(hold->reason), book_text(hold->kind),
		book_int(hold->window.since), book_int(hold->window.until),
		book_int(clock_wall_us()), book_text(hold->who),
		book_int((int64_t)hold->count) };

	*done = false;
	return book_run(book, "INSERT INTO bursar_holds (name, id, reason, "
	                "kind, since_us, until_us, added_us, added_by) "
	                "SELECT $1, $2, $3, $4, $5, $6, $7, $8 "
	                "WHERE (SELECT COUNT(*) FROM bursar_hold_filters "
	                "WHERE hold = $2) = $9 "
	                "ON CONFLICT (name) DO NOTHING RETURNING name", row, 9,
	                take_one, done, err);
}

/*
 * Wherever this is killed there is a whole hold or none, and at most filters
 * without one, for the next to take away.  That may happen to ours before the
 * hold is there, which is then not made; and in PostgreSQL in the same moment,
 * so that they are stored once more.
 */
static int store(struct book *book, const struct hold *hold, bool *done,
                 struct bursar_error *err)
{
	if (drop_filters(book, err) != 0 ||
	    store_filters(book, hold, err) != 0 ||
	    store_hold(book, hold, done, err) != 0) {
		return -1;
	}
	return *done ? store_filters(book, hold, err)
	             : drop_filters(book, err);
}

static int fail_taken(struct cli *cli, struct book *book,
                      const struct hold *hold)
{
	const struct bursar_cell name[] = { book_text(hold->name) };
	struct bursar_error err = { 0 };
	bool taken = false;

	if (book_run(book, "SELECT name FROM bursar_holds WHERE name = $1",
	             name, 1, take_one, &taken, &err) != 0) {
		return cli_fail(cli, "%s", err.text);
	}
	return taken ? cli_fail(cli, "sink '%s' has had a hold '%s': give "
	                        "another name", book->name, hold->name)
	             : cli_fail(cli, "sink '%s': another hold was added at the "
	                        "same moment: try again", book->name);
}

static int add_to(struct cli *cli, struct book *book, struct hold *hold)
{
	struct bursar_error err = { 0 };
	bool done = false;

	if (store(book, hold, &done, &err) != 0) {
		return cli_fail(cli, "%s", err.text);
	}
	if (!done) {
		return fail_taken(cli, book, hold);
	}
	fprintf(cli->out, "%s: held in sink '%s'\n", hold->name, book->name);
	return CLI_OK;
}

/* --- release -------------------------------------------------------------- */

static int release_in(struct cli *cli, struct book *book, struct hold *hold)
{
	struct bursar_error err = { 0 };
	bool done = false;

	command_who(hold->who);
	const struct bursar_cell parameters[] = {
		book_text(hold->name), book_int(clock_wall_us()),
		book_text(hold->who) };
	if (book_run(book, "UPDATE bursar_holds SET released_us = $2, "
	             "released_by = $3 WHERE name = $1 AND released_us IS NULL "
	             "RETURNING name", parameters, 3, take_one, &done,
	             &err) != 0) {
		return cli_fail(cli, "%s", err.text);
	}
	if (!done) {
		return cli_fail(cli, "sink '%s' has no hold '%.60s': see "
		                "`bursar hold list`", book->name, hold->name);
	}
	fprintf(cli->out, "%s: released in sink '%s'\n", hold->name,
	        book->name);
	return CLI_OK;
}

/* --- list ----------------------------------------------------------------- */

static const struct table_column columns[] = {
	{ "sink", NULL, TABLE_TEXT },
	{ "name", NULL, TABLE_TEXT },
	{ "selection", NULL, TABLE_TEXT },
	{ "reason", NULL, TABLE_TEXT },
	{ "added", NULL, TABLE_TIME },
	{ "added_by", "by", TABLE_TEXT },
	{ "released", NULL, TABLE_TIME },
	{ "released_by", "by", TABLE_TEXT },
};

struct listing {
	struct table *table;
	const char   *sink;
	char          name[NAME_SIZE + 1];	/* of the row in the making */
	char          reason[TEXT_SIZE];
	char          by[TEXT_SIZE], released_by[TEXT_SIZE];
	int64_t       added, released;
	char          selection[SELECTION_SIZE];
};

static void copy(char *out, size_t size, const struct bursar_cell *cell)
{
	snprintf(out, size, "%.*s",
	         cell->type == BURSAR_STRING ? (int)cell->size : 0,
	         cell->type == BURSAR_STRING ? cell->data : "");
}

__attribute__((format(printf, 2, 3)))
static void select_more(struct listing *l, const char *fmt, ...)
{
	const size_t used = strlen(l->selection);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(l->selection + used, sizeof(l->selection) - used, fmt, ap);
	va_end(ap);
}

static void end_row(struct listing *l)
{
	if (l->name[0] == '\0') {
		return;
	}
	table_add_text(l->table, l->sink);
	table_add_text(l->table, l->name);
	table_add_text(l->table, l->selection);
	table_add_text(l->table, l->reason);
	table_add_number(l->table, l->added);
	table_add_text(l->table, l->by);
	if (l->released != 0) {
		table_add_number(l->table, l->released);
		table_add_text(l->table, l->released_by);
	} else {
		table_add_null(l->table);
		table_add_null(l->table);
	}
	l->name[0] = '\0';
}

static void begin_row(struct listing *l, const struct bursar_cell *cells)
{
	char time[TABLE_TIME_SIZE];
	const int64_t since = book_get(&cells[3]), until = book_get(&cells[4]);

	copy(l->name, sizeof(l->name), &cells[0]);
	copy(l->reason, sizeof(l->reason), &cells[1]);
	copy(l->selection, sizeof(l->selection), &cells[2]);
	if (l->selection[0] == '\0') {
		select_more(l, "every kind");
	}
	if (since != WINDOW_OPEN_SINCE) {
		select_more(l, " since %s", table_time(since, time));
	}
	if (until != WINDOW_OPEN_UNTIL) {
		select_more(l, " until %s", table_time(until, time));
	}
	l->added = book_get(&cells[5]) / 1000000 * 1000000;
	copy(l->by, sizeof(l->by), &cells[6]);
	l->released = book_get(&cells[7]) / 1000000 * 1000000;
	copy(l->released_by, sizeof(l->released_by), &cells[8]);
}

/* A row for each filter, those of one hold together. */
static int take_filter(void *context, const struct bursar_cell *cells,
                       size_t count)
{
	struct listing *l = context;
	char name[NAME_SIZE + 1];

	assert(count == 11);
	copy(name, sizeof(name), &cells[0]);
	if (strcmp(name, l->name) != 0) {
		end_row(l);
		begin_row(l, cells);
	}
	if (cells[9].type == BURSAR_STRING) {
		select_more(l, " %.*s=%.*s", (int)cells[9].size, cells[9].data,
		            (int)cells[10].size, cells[10].data);
	}
	return 0;
}

static int list_of(struct cli *cli, struct book *book, struct table *table,
                   bool all)
{
	struct listing l = { .table = table, .sink = book->name };
	struct bursar_error err = { 0 };
	const struct bursar_cell parameters[] = { book_int(all) };

	if (book_run(book, "SELECT h.name, h.reason, h.kind, h.since_us, "
	             "h.until_us, h.added_us, h.added_by, h.released_us, "
	             "h.released_by, f.field, f.value FROM bursar_holds h "
	             "LEFT JOIN bursar_hold_filters f ON f.hold = h.id "
	             "WHERE h.released_us IS NULL OR $1 = 1 "
	             "ORDER BY h.name, f.field", parameters, 1, take_filter, &l,
	             &err) != 0) {
		return cli_fail(cli, "%s", err.text);
	}
	end_row(&l);
	return CLI_OK;
}

/* --- the command ---------------------------------------------------------- */

enum verb { ADD, LIST, RELEASE };

struct order {
	enum verb    verb;
	struct hold *hold;
	struct table *table;
	bool         all;
};

static int do_in(struct cli *cli, const char *sink, const struct order *order)
{
	struct book book;
	int status = command_open(cli, sink, order->verb == LIST ? BURSAR_READ
	                          : BURSAR_WRITE, &book);

	if (status != CLI_OK) {
		return status;
	}
	switch (order->verb) {
	case ADD:
		status = add_to(cli, &book, order->hold);
		break;
	case RELEASE:
		status = release_in(cli, &book, order->hold);
		break;
	default:
		status = list_of(cli, &book, order->table, order->all);
		break;
	}
	book_close(&book);
	return status;
}

/* In every sink that can be asked, or in the one that is named. */
static int do_all(struct cli *cli, const char *sink, const struct order *order)
{
	const struct setup *setup = cli_setup(cli);
	int status = CLI_OK;

	if (setup == NULL) {
		return CLI_USAGE;
	}
	if (sink != NULL) {
		return do_in(cli, sink, order);
	}
	for (size_t i = 0; i < setup->sink_count; i++) {
		const struct setup_item *item = &setup->sinks[i].item;

		if (item->plugin->ops.sink->sql == NULL) {
			continue;
		}
		const int one = do_in(cli, item->name, order);
		status = status != CLI_OK ? status : one;
	}
	return status;
}

static int list(struct cli *cli, const char *sink, bool all)
{
	struct order order = { .verb = LIST, .all = all };
	json_t *head = json_object();

	order.table = table_create(columns, sizeof(columns) /
	                           sizeof(columns[0]));
	head_text(head, "report", "holds");
	int status = do_all(cli, sink, &order);
	if (status == CLI_OK) {
		status = table_print(order.table, cli, head);
	}
	json_decref(head);
	table_destroy(order.table);
	return status;
}

static int run(struct cli *cli, int argc, char **argv)
{
	const char *value[CLI_MAX_OPTIONS];
	struct hold hold = { .reason = "", .kind = "" };
	struct order order = { .hold = &hold };

	if (!cli_parse(cli, &argc, &argv, value)) {
		return cli->status;
	}
	const char *verb = argc > 0 ? argv[0] : "";
	if (strcmp(verb, "list") == 0) {
		return argc == 1 ? list(cli, value[SINK], value[ALL] != NULL)
			: cli_usage_error(cli, "list takes no '%s'", argv[1]);
	}
	if (strcmp(verb, "add") != 0 && strcmp(verb, "release") != 0) {
		return cli_usage_error(cli, "add, list or release?");
	}
	if (argc != 2) {
		return cli_usage_error(cli, "name the hold to %s", verb);
	}
	hold.name = argv[1];
	order.verb = verb[0] == 'a' ? ADD : RELEASE;
	if (order.verb == ADD && read_hold(cli, &hold, value) != CLI_OK) {
		return CLI_USAGE;
	}
	return do_all(cli, value[SINK], &order);
}

const struct command command_hold = {
	.name = "hold",
	.summary = "keep records that a court or an audit asks for",
	.usage = "add NAME --reason TEXT [--where FIELD=VALUE]... [--kind KIND]\n"
	         "list [--all]\n"
	         "release NAME",
	.options = options,
	.manual =
	"What is under a legal hold is not purged, neither bodies that have "
	"expired nor facts that are old, whatever labels and caps say, until it "
	"is released.  A hold is a selection: records that come later and fit "
	"are held too.\n"
	"\n"
	"	bursar hold add case-17 --reason 'Smith v. Jones, 3 May' \\\n"
	"		--where caller_identity=smith --since 2026-01-01\n"
	"\n"
	"It is kept in every sink that can be asked, so that whoever purges "
	"sees it.  Who added and released it, when and what, stands in the "
	"table `bursar_journal`, which is only added to.  After release records "
	"expire as before: what was due meanwhile goes with the next purge.  "
	"`bursar purge --dry-run` counts what is due and held.\n"
	"\n"
	"What was purged before is gone: make the hold first.",
	.run = run,
};
