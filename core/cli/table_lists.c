/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A row with lists: what belongs together and is not one table.
 */
#include "config.h"

#include <assert.h>
#include <string.h>

#include "cli/table_cells.h"

/* The row and its lists, as one sequence of tables. */
struct parts {
	const struct table      *table;
	const struct table_list *lists;
	size_t count;		/* of lists */
};

static const struct table *part(const struct parts *parts, size_t i)
{
	return i == 0 ? parts->table : parts->lists[i - 1].table;
}

static int find(const struct table *table, const char *name)
{
	for (size_t i = 0; i < table->width; i++) {
		if (strcmp(table->columns[i].name, name) == 0) {
			return (int)i;
		}
	}
	return -1;
}

/* --- CSV ----------------------------------------------------------------- */

/* The columns of all parts, each name once. */
static size_t all_names(const struct parts *parts,
                        const char *names[TABLE_MAX_COLUMNS])
{
	size_t count = 0;

	for (size_t i = 0; i <= parts->count; i++) {
		for (size_t k = 0; k < part(parts, i)->width; k++) {
			const char *name = part(parts, i)->columns[k].name;
			size_t at = 0;

			while (at < count && strcmp(names[at], name) != 0) {
				at++;
			}
			if (at == count) {
				assert(count < TABLE_MAX_COLUMNS);
				names[count++] = name;
			}
		}
	}
	return count;
}

static void csv_rows(const struct table *table, const char *list,
                     const char *const *names, size_t count, FILE *out)
{
	for (size_t row = 0; row < table_rows(table); row++) {
		fputs(list, out);
		for (size_t i = 0; i < count; i++) {
			const int column = find(table, names[i]);

			fputc(',', out);
			if (column >= 0) {
				table_csv_cell(table, row, (size_t)column, out);
			}
		}
		fputs("\r\n", out);
	}
}

static void print_csv(const struct parts *parts, FILE *out)
{
	const char *names[TABLE_MAX_COLUMNS];
	const size_t count = all_names(parts, names);

	fputs("list", out);
	for (size_t i = 0; i < count; i++) {
		fprintf(out, ",%s", names[i]);
	}
	fputs("\r\n", out);
	for (size_t i = 0; i <= parts->count; i++) {
		csv_rows(part(parts, i), i == 0 ? "" : parts->lists[i - 1].name,
		         names, count, out);
	}
}

/* --- JSON and tables ----------------------------------------------------- */

static void print_json(const struct parts *parts, const json_t *head, FILE *out)
{
	fputc('{', out);
	table_json_head(out, head);
	fputs("\"rows\":[\n{", out);
	table_json_row(parts->table, 0, out);
	for (size_t i = 0; i < parts->count; i++) {
		const struct table_list *list = &parts->lists[i];

		fputs(",\n", out);
		table_json_text(out, list->name, strlen(list->name));
		fputc(':', out);
		table_json_rows(list->table, out);
	}
	fputs("}]}\n", out);
}

static void show(const struct parts *parts, const struct cli *cli)
{
	table_show_upright(parts->table, cli);
	for (size_t i = 0; i < parts->count; i++) {
		const struct table_list *list = &parts->lists[i];

		fputc('\n', cli->out);
		table_show_title(list->title != NULL ? list->title : list->name,
		                 cli);
		if (table_rows(list->table) == 0) {
			fputs("none\n", cli->out);
		} else {
			table_show(list->table, cli);
		}
	}
}

int table_print_lists(const struct table *table, const struct table_list *lists,
                      size_t count, struct cli *cli, const json_t *head)
{
	const struct parts parts = { table, lists, count };

	assert(table_rows(table) == 1);

	switch (cli->format) {
	case CLI_TABLE:
		show(&parts, cli);
		break;
	case CLI_CSV:
		print_csv(&parts, cli->out);
		break;
	case CLI_JSON:
		print_json(&parts, head, cli->out);
		break;
	}
	return table_written(cli);
}
