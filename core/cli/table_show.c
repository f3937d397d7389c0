/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A table for a person: every cell becomes a visible text first, then widths
 * are known, then columns of text give way until a row fits the terminal.
 */
#include "config.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/table_cells.h"

#define GAP       2		/* spaces between columns */
#define LEAST     8		/* columns that a cut text keeps */
#define NANO      1000000000
#define BOLD      "\033[1m"
#define PLAIN     "\033[0m"
#define ELLIPSIS  "\xe2\x80\xa6"
#define TEXT_SIZE 64

struct page {
	const struct table *table;
	char  **texts;			/* as the cells */
	size_t  widths[TABLE_MAX_COLUMNS];
	int     decimals[TABLE_MAX_COLUMNS];	/* of money */
};

/* 1234567 as 1,234,567; out has room for 28 bytes. */
static void separated(uint64_t number, bool negative, char *out)
{
	char digits[24];
	const int size = snprintf(digits, sizeof(digits), "%" PRIu64, number);
	size_t used = 0;

	if (negative) {
		out[used++] = '-';
	}
	for (int i = 0; i < size; i++) {
		if (i > 0 && (size - i) % 3 == 0) {
			out[used++] = ',';
		}
		out[used++] = digits[i];
	}
	out[used] = '\0';
}

static uint64_t magnitude(int64_t number)
{
	return number < 0 ? -(uint64_t)number : (uint64_t)number;
}

/*
 * As many decimals for all of a column as its largest amount deserves: cents
 * from a thousand dollars on, and always enough to tell the small ones.
 */
static int money_decimals(const struct table *table, size_t column)
{
	uint64_t largest = 0;

	for (size_t row = 0; row < table_rows(table); row++) {
		const struct cell *cell = table_cell(table, row, column);

		if (cell->type == CELL_NUMBER &&
		    magnitude(cell->number) > largest) {
			largest = magnitude(cell->number);
		}
	}
	return largest >= UINT64_C(1000) * NANO ? 2 : largest >= NANO ? 4 : 6;
}

/* Half to even; what is not nothing never shows as 0.00. */
static void show_money(int64_t nano, int decimals, char out[TEXT_SIZE])
{
	uint64_t unit = NANO;
	char whole[TEXT_SIZE / 2];

	for (int i = 0; i < decimals; i++) {
		unit /= 10;
	}
	const uint64_t size = magnitude(nano);
	uint64_t rounded = size / unit;
	const uint64_t rest = size % unit;
	if (rest * 2 > unit || (rest * 2 == unit && rounded % 2 == 1)) {
		rounded++;
	}
	if (rounded == 0 && size > 0) {
		snprintf(out, TEXT_SIZE, nano < 0 ? ">-0.%0*d" : "<0.%0*d",
		         decimals, 1);
		return;
	}
	const uint64_t per_dollar = NANO / unit;
	separated(rounded / per_dollar, nano < 0, whole);
	snprintf(out, TEXT_SIZE, "%s.%0*" PRIu64, whole, decimals,
	         rounded % per_dollar);
}

static void show_time(int64_t us, char out[TEXT_SIZE])
{
	char text[TABLE_TIME_SIZE];

	table_time(us, text);
	snprintf(out, TEXT_SIZE, "%s", text);
	char *t = strchr(out, 'T');
	if (t != NULL) {
		*t = ' ';
	}
}

static void show_number(const struct cell *cell, enum table_kind kind,
                        int decimals, char out[TEXT_SIZE])
{
	char count[TEXT_SIZE / 2];

	switch (kind) {
	case TABLE_MONEY:
		show_money(cell->number, decimals, out);
		break;
	case TABLE_TIME:
		show_time(cell->number, out);
		break;
	case TABLE_FLAG:
		snprintf(out, TEXT_SIZE, "%s", cell->number ? "yes" : "no");
		break;
	case TABLE_PERCENT:
		snprintf(out, TEXT_SIZE, "%.1f %%", cell->real * 100);
		break;
	case TABLE_REAL:
		snprintf(out, TEXT_SIZE, "%.2f", cell->real);
		break;
	case TABLE_POINTS:
		snprintf(out, TEXT_SIZE, "%.1f %%", cell->real);
		break;
	case TABLE_CHANGE:
		snprintf(out, TEXT_SIZE, "%+.1f %%", cell->real);
		break;
	case TABLE_MS:
		separated(magnitude(cell->number), cell->number < 0, count);
		snprintf(out, TEXT_SIZE, "%s ms", count);
		break;
	case TABLE_COUNT:
	case TABLE_TEXT:
		separated(magnitude(cell->number), cell->number < 0, out);
		break;
	}
}

/* The cell as it is shown; the page's. */
static char *visible(const struct page *page, size_t row, size_t column)
{
	const struct cell *cell = table_cell(page->table, row, column);
	char out[TEXT_SIZE];

	if (cell->type == CELL_TEXT) {
		return text_visible(cell->text, cell->size);
	}
	if (cell->type == CELL_NULL) {
		return text_visible("-", 1);
	}
	show_number(cell, page->table->columns[column].kind,
	            page->decimals[column], out);
	return text_visible(out, strlen(out));
}

static const char *title(const struct table_column *column)
{
	return column->title != NULL ? column->title : column->name;
}

static void page_init(struct page *page, const struct table *table)
{
	assert(table->width > 0);

	memset(page, 0, sizeof(*page));
	page->table = table;
	page->texts = calloc(table->count + 1, sizeof(*page->texts));
	if (page->texts == NULL) {
		abort();
	}
	for (size_t i = 0; i < table->width; i++) {
		page->widths[i] = text_width(title(&table->columns[i]));
		if (table->columns[i].kind == TABLE_MONEY) {
			page->decimals[i] = money_decimals(table, i);
		}
	}
	for (size_t i = 0; i < table->count; i++) {
		const size_t column = i % table->width;

		page->texts[i] = visible(page, i / table->width, column);
		const size_t width = text_width(page->texts[i]);
		if (width > page->widths[column]) {
			page->widths[column] = width;
		}
	}
}

static void page_finish(struct page *page)
{
	for (size_t i = 0; i < page->table->count; i++) {
		free(page->texts[i]);
	}
	free(page->texts);
}

/* The widest text gives way, one column at a time, until all fit. */
static void fit(struct page *page, size_t width)
{
	size_t total = 0;

	for (size_t i = 0; i < page->table->width; i++) {
		total += page->widths[i] + (i > 0 ? GAP : 0);
	}
	while (total > width) {
		size_t *widest = NULL;

		for (size_t i = 0; i < page->table->width; i++) {
			if (page->table->columns[i].kind == TABLE_TEXT &&
			    page->widths[i] > LEAST &&
			    (widest == NULL || page->widths[i] >= *widest)) {
				widest = &page->widths[i];
			}
		}
		if (widest == NULL) {
			return;
		}
		(*widest)--;
		total--;
	}
}

static void print_spaces(FILE *out, size_t count)
{
	fprintf(out, "%*s", (int)count, "");
}

/* Prints what fits of text, with a mark where it was cut; returns its width. */
static size_t print_cut(const char *text, size_t room, FILE *out)
{
	const size_t wide = text_width(text);

	if (wide <= room) {
		fputs(text, out);
		return wide;
	}
	const size_t kept = text_fit(text, room - 1);
	fwrite(text, 1, kept, out);
	fputs(ELLIPSIS, out);
	return wide - text_width(text + kept) + 1;
}

/* No spaces after the last column. */
static void print_cell(const struct page *page, size_t column, const char *text,
                       FILE *out)
{
	const size_t room = page->widths[column];

	if (*text == '\0' && column + 1 == page->table->width) {
		return;
	}
	print_spaces(out, column > 0 ? GAP : 0);
	if (page->table->columns[column].kind != TABLE_TEXT) {
		print_spaces(out, room - text_width(text));
		fputs(text, out);
		return;
	}
	const size_t used = print_cut(text, room, out);
	print_spaces(out, column + 1 < page->table->width ? room - used : 0);
}

void table_show(const struct table *table, const struct cli *cli)
{
	const size_t width = table->width;
	struct page page;

	assert(width > 0);

	page_init(&page, table);
	if (cli->width > 0) {
		fit(&page, (size_t)cli->width);
	}
	fputs(cli->color ? BOLD : "", cli->out);
	for (size_t i = 0; i < width; i++) {
		print_cell(&page, i, title(&table->columns[i]), cli->out);
	}
	fputs(cli->color ? PLAIN "\n" : "\n", cli->out);
	for (size_t i = 0; i < table->count; i++) {
		print_cell(&page, i % width, page.texts[i], cli->out);
		if (i % width + 1 == width) {
			fputc('\n', cli->out);
		}
	}
	page_finish(&page);
}

void table_show_title(const char *title, const struct cli *cli)
{
	fprintf(cli->out, "%s%s%s\n", cli->color ? BOLD : "", title,
	        cli->color ? PLAIN : "");
}

void table_show_upright(const struct table *table, const struct cli *cli)
{
	size_t names = 0, values = 0;
	struct page page;

	assert(table_rows(table) == 1);

	page_init(&page, table);
	for (size_t i = 0; i < table->width; i++) {
		const size_t name = text_width(title(&table->columns[i]));
		const size_t value = text_width(page.texts[i]);

		names = name > names ? name : names;
		values = value > values ? value : values;
	}
	for (size_t i = 0; i < table->width; i++) {
		const char *name = title(&table->columns[i]);

		if (*name == '\0') {
			continue;
		}
		fputs(name, cli->out);
		print_spaces(cli->out, names - text_width(name) + GAP);
		if (table->columns[i].kind != TABLE_TEXT) {
			print_spaces(cli->out,
			             values - text_width(page.texts[i]));
		}
		fprintf(cli->out, "%s\n", page.texts[i]);
	}
	page_finish(&page);
}
