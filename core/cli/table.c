/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Cells, and how machines read them: CSV and JSON.  Written as they come, so
 * that a long table takes no second copy.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/json_escape.h"
#include "common/rfc3339.h"

#include "cli/table_cells.h"

#define NANO 1000000000

/* --- cells --------------------------------------------------------------- */

struct table *table_create(const struct table_column *columns, size_t count)
{
	struct table *table = calloc(1, sizeof(*table));

	assert(count > 0 && count <= TABLE_MAX_COLUMNS);

	if (table != NULL) {
		table->columns = calloc(count, sizeof(*columns));
	}
	if (table == NULL || table->columns == NULL) {
		abort();
	}
	memcpy(table->columns, columns, count * sizeof(*columns));
	table->width = count;
	return table;
}

void table_destroy(struct table *table)
{
	if (table == NULL) {
		return;
	}
	for (size_t i = 0; i < table->count; i++) {
		if (table->cells[i].type == CELL_TEXT) {
			free(table->cells[i].text);
		}
	}
	free(table->cells);
	free(table->columns);
	free(table);
}

size_t table_rows(const struct table *table)
{
	return table->count / table->width;
}

static void add(struct table *table, struct cell cell)
{
	if (table->count == table->room) {
		table->room = table->room > 0 ? table->room * 2 : 256;
		table->cells = reallocarray(table->cells, table->room,
		                            sizeof(*table->cells));
		if (table->cells == NULL ||
		    table_rows(table) > TABLE_MAX_ROWS) {
			abort();
		}
	}
	table->cells[table->count++] = cell;
}

static enum table_kind next_kind(const struct table *table)
{
	return table->columns[table->count % table->width].kind;
}

void table_add_bytes(struct table *table, const char *text, size_t size)
{
	assert(next_kind(table) == TABLE_TEXT);

	char *copy = malloc(size + 1);
	if (copy == NULL) {
		abort();
	}
	memcpy(copy, text, size);
	copy[size] = '\0';
	add(table, (struct cell){
		.type = CELL_TEXT, .text = copy, .size = size,
	});
}

void table_add_text(struct table *table, const char *text)
{
	if (text == NULL) {
		table_add_null(table);
	} else {
		table_add_bytes(table, text, strlen(text));
	}
}

void table_add_number(struct table *table, int64_t number)
{
	assert(next_kind(table) != TABLE_TEXT);
	assert(next_kind(table) != TABLE_PERCENT);
	assert(next_kind(table) != TABLE_REAL);
	assert(next_kind(table) != TABLE_POINTS);
	assert(next_kind(table) != TABLE_CHANGE);

	add(table, (struct cell){ .type = CELL_NUMBER, .number = number });
}

void table_add_real(struct table *table, double real)
{
	assert(next_kind(table) == TABLE_PERCENT ||
	       next_kind(table) == TABLE_POINTS ||
	       next_kind(table) == TABLE_CHANGE ||
	       next_kind(table) == TABLE_REAL);

	if (!isfinite(real)) {
		table_add_null(table);
		return;
	}
	add(table, (struct cell){ .type = CELL_REAL, .real = real });
}

void table_add_null(struct table *table)
{
	add(table, (struct cell){ .type = CELL_NULL });
}

/* --- values -------------------------------------------------------------- */

const char *table_money(int64_t nano, char out[TABLE_MONEY_SIZE])
{
	const uint64_t size = nano < 0 ? -(uint64_t)nano : (uint64_t)nano;
	char decimals[16];

	snprintf(decimals, sizeof(decimals), "%09" PRIu64, size % NANO);
	size_t kept = 9;
	while (kept > 0 && decimals[kept - 1] == '0') {
		kept--;
	}
	snprintf(out, TABLE_MONEY_SIZE, "%s%" PRIu64 "%s%.*s",
	         nano < 0 ? "-" : "", size / NANO, kept > 0 ? "." : "",
	         (int)kept, decimals);
	return out;
}

/* The digits at *text as a number of so many decimals, which moves on. */
static bool take_digits(const char **text, int most, int64_t *number)
{
	int digits = 0;

	for (; **text >= '0' && **text <= '9'; (*text)++, digits++) {
		if (__builtin_mul_overflow(*number, 10, number) ||
		    __builtin_add_overflow(*number, **text - '0', number)) {
			return false;
		}
	}
	for (int i = digits; most > 0 && i < most; i++) {
		*number *= 10;
	}
	return digits > 0 && (most == 0 || digits <= most);
}

bool table_money_parse(const char *text, int64_t *nano)
{
	const bool negative = *text == '-';
	int64_t whole = 0, decimals = 0;

	text += negative;
	if (!take_digits(&text, 0, &whole)) {
		return false;
	}
	if (*text == '.') {
		text++;
		if (!take_digits(&text, 9, &decimals)) {
			return false;
		}
	}
	if (*text != '\0' || __builtin_mul_overflow(whole, NANO, &whole) ||
	    __builtin_add_overflow(whole, decimals, &whole)) {
		return false;
	}
	*nano = negative ? -whole : whole;
	return true;
}

const char *table_time(int64_t us, char out[TABLE_TIME_SIZE])
{
	char full[RFC3339_SIZE];

	rfc3339_format(us, full);
	const char *point = strchr(full, '.');
	const size_t whole = point != NULL ? (size_t)(point - full) :
	                     strlen(full);
	const size_t kept = us % 1000000 == 0 ? 0 : us % 1000 == 0 ? 4 : 7;
	snprintf(out, TABLE_TIME_SIZE, "%.*s%s",
	         (int)(whole + (point != NULL ? kept : 0)), full,
	         point != NULL ? "Z" : "");
	return out;
}

/* What is neither text nor NULL, as both JSON and CSV have it. */
static const char *plain(const struct cell *cell, enum table_kind kind,
                         char out[TABLE_TIME_SIZE])
{
	if (cell->type == CELL_REAL) {
		snprintf(out, TABLE_TIME_SIZE, "%.15g", cell->real);
	} else if (kind == TABLE_MONEY) {
		table_money(cell->number, out);
	} else if (kind == TABLE_TIME) {
		table_time(cell->number, out);
	} else if (kind == TABLE_FLAG) {
		snprintf(out, TABLE_TIME_SIZE, "%s",
		         cell->number != 0 ? "true" : "false");
	} else {
		snprintf(out, TABLE_TIME_SIZE, "%" PRId64, cell->number);
	}
	return out;
}

/* --- CSV ----------------------------------------------------------------- */

static bool is_number(const char *text)
{
	char *end;

	if (text[strspn(text, "+-.0123456789eE")] != '\0') {
		return false;
	}
	strtod(text, &end);
	return end != text && *end == '\0';
}

/* Whether a spreadsheet would take it for a formula. */
static bool is_formula(const char *text)
{
	const char *start = text + strspn(text, " \t\r\n\v\f");

	return *text != '\0' && (strchr("\t\r", *text) != NULL ||
	       (*start != '\0' && strchr("=+-@", *start) != NULL)) &&
	       !is_number(text);
}

void table_csv_text(FILE *out, const char *text)
{
	const bool guard = is_formula(text);

	if (!guard && *text != '\0' && strpbrk(text, ",\"\r\n ") == NULL) {
		fputs(text, out);
		return;
	}
	fputs(guard ? "\"'" : "\"", out);
	for (; *text != '\0'; text++) {
		if (*text == '"') {
			fputc('"', out);
		}
		fputc(*text, out);
	}
	fputc('"', out);
}

void table_csv_cell(const struct table *table, size_t row, size_t column,
                    FILE *out)
{
	const struct cell *cell = table_cell(table, row, column);
	char text[TABLE_TIME_SIZE];

	if (cell->type == CELL_TEXT) {
		table_csv_text(out, cell->text);
	} else if (cell->type != CELL_NULL) {
		fputs(plain(cell, table->columns[column].kind, text), out);
	}
}

static void print_csv(const struct table *table, FILE *out)
{
	for (size_t i = 0; i < table->width; i++) {
		fputs(i > 0 ? "," : "", out);
		table_csv_text(out, table->columns[i].name);
	}
	fputs("\r\n", out);
	for (size_t i = 0; i < table_rows(table) * table->width; i++) {
		const size_t column = i % table->width;

		fputs(column > 0 ? "," : "", out);
		table_csv_cell(table, i / table->width, column, out);
		fputs(column + 1 == table->width ? "\r\n" : "", out);
	}
}

/* --- JSON ---------------------------------------------------------------- */

/* Bytes that are no UTF-8 become U+FFFD. */
void table_json_text(FILE *out, const char *text, size_t size)
{
	json_t *string = json_stringn(text, size);
	char *encoded = NULL;

	if (string != NULL) {
		encoded = json_dumps(string, JSON_ENCODE_ANY);
		json_decref(string);
	}
	if (encoded != NULL) {
		fputs(encoded, out);
		free(encoded);
		return;
	}
	fputc('"', out);
	for (size_t i = 0; i < size; i++) {
		char escape[JSON_ESCAPE];

		if ((text[i] & 0x80) != 0) {
			fputs("\xef\xbf\xbd", out);
		} else if (json_is_plain(text[i])) {
			fputc(text[i], out);
		} else {
			const size_t length = json_escape(text[i], escape);
			fwrite(escape, 1, length, out);
		}
	}
	fputc('"', out);
}

static void json_cell(FILE *out, const struct cell *cell, enum table_kind kind)
{
	char text[TABLE_TIME_SIZE];

	if (cell->type == CELL_NULL) {
		json_dumpf(json_null(), out, JSON_ENCODE_ANY);
	} else if (cell->type == CELL_TEXT) {
		table_json_text(out, cell->text, cell->size);
	} else if (kind == TABLE_TIME) {
		fprintf(out, "\"%s\"", plain(cell, kind, text));
	} else {
		fputs(plain(cell, kind, text), out);
	}
}

void table_json_head(FILE *out, const json_t *head)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)head, name, value) {
		table_json_text(out, name, strlen(name));
		fputc(':', out);
		/* 15 digits show decimals as they were. */
		json_dumpf(value, out, JSON_ENCODE_ANY | JSON_COMPACT |
		           JSON_REAL_PRECISION(15));
		fputc(',', out);
	}
}

void table_json_row(const struct table *table, size_t row, FILE *out)
{
	for (size_t i = 0; i < table->width; i++) {
		const struct table_column *column = &table->columns[i];

		fputs(i > 0 ? "," : "", out);
		table_json_text(out, column->name, strlen(column->name));
		fputc(':', out);
		json_cell(out, table_cell(table, row, i), column->kind);
	}
}

void table_json_rows(const struct table *table, FILE *out)
{
	fputc('[', out);
	for (size_t row = 0; row < table_rows(table); row++) {
		fputs(row > 0 ? ",\n{" : "\n{", out);
		table_json_row(table, row, out);
		fputc('}', out);
	}
	fputc(']', out);
}

static void print_json(const struct table *table, const json_t *head, FILE *out)
{
	fputc('{', out);
	table_json_head(out, head);
	fputs("\"rows\":", out);
	table_json_rows(table, out);
	fputs("}\n", out);
}

/* --- all of it ----------------------------------------------------------- */

int table_written(struct cli *cli)
{
	if (fflush(cli->out) != 0 || ferror(cli->out)) {
		fprintf(cli->err, "bursar: cannot write: %s\n",
		        strerror(errno));
		return CLI_FAILED;
	}
	return CLI_OK;
}

int table_print(const struct table *table, struct cli *cli, const json_t *head)
{
	assert(table->count % table->width == 0);

	switch (cli->format) {
	case CLI_TABLE:
		table_show(table, cli);
		break;
	case CLI_CSV:
		print_csv(table, cli->out);
		break;
	case CLI_JSON:
		print_json(table, head, cli->out);
		break;
	}
	return table_written(cli);
}
