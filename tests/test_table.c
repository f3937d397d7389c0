/* SPDX-License-Identifier: Apache-2.0 */

/* Tables as they are printed, byte for byte. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "base/text.h"
#include "cli/table.h"

static const struct table_column columns[] = {
	{ "name", "Name", TABLE_TEXT },
	{ "calls", NULL, TABLE_COUNT },
	{ "cost_usd", "cost", TABLE_MONEY },
};

static struct table *table;
static struct cli cli;
static char  *got;
static size_t got_size;

static void setup(void)
{
	text_locale();
	table = table_create(columns, 3);
	got = NULL;
	memset(&cli, 0, sizeof(cli));
	cli.out = open_memstream(&got, &got_size);
	cli.err = stderr;
	ck_assert_ptr_nonnull(cli.out);
}

static void teardown(void)
{
	table_destroy(table);
	fclose(cli.out);
	free(got);
}

static void row(const char *name, int64_t calls, int64_t cost)
{
	table_add_text(table, name);
	table_add_number(table, calls);
	table_add_number(table, cost);
}

static const char *printed(enum cli_format format)
{
	cli.format = format;
	ck_assert_int_eq(table_print(table, &cli, NULL), CLI_OK);
	return got;
}

START_TEST(aligns_text_left_and_figures_right)
{
	row("gpt", 1234567, 12500000000);
	row("claude", 3, 1000);
	table_add_null(table);
	table_add_null(table);
	table_add_null(table);

	ck_assert_str_eq(printed(CLI_TABLE),
	                 "Name        calls     cost\n"
	                 "gpt     1,234,567  12.5000\n"
	                 "claude          3  <0.0001\n"
	                 "-               -        -\n");
}
END_TEST

START_TEST(aligns_characters_of_any_width)
{
	row("\xe6\x97\xa5\xe6\x9c\xac", 1, 0);	/* two of two columns */
	row("u\xcc\x88" "ber", 1, 0);		/* an accent of none */

	ck_assert_str_eq(printed(CLI_TABLE),
	                 "Name  calls      cost\n"
	                 "\xe6\x97\xa5\xe6\x9c\xac      1  0.000000\n"
	                 "u\xcc\x88" "ber      1  0.000000\n");
}
END_TEST

START_TEST(cuts_the_widest_text_to_fit_the_terminal)
{
	row("a-name-that-is-far-too-long-for-it", 12, 1000000000);
	row("short", 1, -1000000000);

	cli.width = 30;
	ck_assert_str_eq(printed(CLI_TABLE),
	                 "Name            calls     cost\n"
	                 "a-name-that-i\xe2\x80\xa6     12   1.0000\n"
	                 "short               1  -1.0000\n");
}
END_TEST

START_TEST(shows_control_characters_as_escapes)
{
	row("a\nb\x1b[31m", 1, 0);

	ck_assert_ptr_nonnull(strstr(printed(CLI_TABLE), "a\\nb\\x1b[31m "));
}
END_TEST

START_TEST(colours_only_the_heading_and_only_when_asked)
{
	row("x", 1, 0);

	cli.color = true;
	ck_assert_str_eq(printed(CLI_TABLE),
	                 "\033[1mName  calls      cost\033[0m\n"
	                 "x         1  0.000000\n");
}
END_TEST

START_TEST(prints_csv_that_no_spreadsheet_runs)
{
	row("plain", 1234, 1500000000);
	row("=SUM(A1)", 1, 0);
	row(" @x, \"y\"", -1, -1);
	row("-5", 1, 0);
	row("-5+3", 1, 0);
	row(" \t=CMD", 1, 0);
	row("\tCMD", 1, 0);
	row("\r+1+1", 1, 0);
	row("a=1", 1, 0);
	row("", 1, 0);
	table_add_null(table);
	table_add_null(table);
	table_add_null(table);

	ck_assert_str_eq(printed(CLI_CSV),
	                 "name,calls,cost_usd\r\n"
	                 "plain,1234,1.5\r\n"
	                 "\"'=SUM(A1)\",1,0\r\n"
	                 "\"' @x, \"\"y\"\"\",-1,-0.000000001\r\n"
	                 "-5,1,0\r\n"
	                 "\"'-5+3\",1,0\r\n"
	                 "\"' \t=CMD\",1,0\r\n"
	                 "\"'\tCMD\",1,0\r\n"
	                 "\"'\r+1+1\",1,0\r\n"
	                 "a=1,1,0\r\n"
	                 "\"\",1,0\r\n"
	                 ",,\r\n");
}
END_TEST

START_TEST(prints_json_with_exact_money_and_null_for_unknown)
{
	json_t *head = json_pack("{s:s, s:n}", "report", "top", "until");

	row("a\"\xff", 9007199254740993, 123456789123456789);
	table_add_null(table);
	table_add_null(table);
	table_add_null(table);

	cli.format = CLI_JSON;
	ck_assert_int_eq(table_print(table, &cli, head), CLI_OK);
	ck_assert_str_eq(got,
	                 "{\"report\":\"top\",\"until\":null,\"rows\":[\n"
	                 "{\"name\":\"a\\\"\xef\xbf\xbd\","
	                 "\"calls\":9007199254740993,"
	                 "\"cost_usd\":123456789.123456789},\n"
	                 "{\"name\":null,\"calls\":null,\"cost_usd\":null}]}\n");
	json_decref(head);
}
END_TEST

START_TEST(prints_json_without_rows_or_head)
{
	ck_assert_str_eq(printed(CLI_JSON), "{\"rows\":[]}\n");
}
END_TEST

START_TEST(says_when_it_cannot_write)
{
	FILE *full = fopen("/dev/full", "w");

	ck_assert_ptr_nonnull(full);
	row("x", 1, 1);
	FILE *memory = cli.out;
	cli.out = full;
	cli.err = fopen("/dev/null", "w");
	ck_assert_int_eq(table_print(table, &cli, NULL), CLI_FAILED);
	fclose(full);
	fclose(cli.err);
	cli.out = memory;
}
END_TEST

static const struct {
	int64_t nano;
	const char *text;
} amounts[] = {
	{ 0, "0" },
	{ 1, "0.000000001" },
	{ -1, "-0.000000001" },
	{ 1500000000, "1.5" },
	{ -3000000000, "-3" },
	{ 100000000000, "100" },
	{ INT64_MAX, "9223372036.854775807" },
	{ INT64_MIN, "-9223372036.854775808" },
};

START_TEST(writes_money_with_all_its_digits)
{
	char out[TABLE_MONEY_SIZE];

	ck_assert_str_eq(table_money(amounts[_i].nano, out), amounts[_i].text);
}
END_TEST

static const struct {
	int64_t us;
	const char *text;
} times[] = {
	{ 0, "1970-01-01T00:00:00Z" },
	{ 1500000, "1970-01-01T00:00:01.500Z" },
	{ 1500001, "1970-01-01T00:00:01.500001Z" },
	{ -1, "1969-12-31T23:59:59.999999Z" },
	{ 1772325000000000, "2026-03-01T00:30:00Z" },
};

START_TEST(writes_times_with_the_decimals_they_need)
{
	char out[TABLE_TIME_SIZE];

	ck_assert_str_eq(table_time(times[_i].us, out), times[_i].text);
}
END_TEST

static const struct {
	enum table_kind kind;
	int64_t number;
	const char *shown;
} shown[] = {
	{ TABLE_COUNT, 0, "0" },
	{ TABLE_COUNT, 999, "999" },
	{ TABLE_COUNT, -1000, "-1,000" },
	{ TABLE_COUNT, INT64_MIN, "-9,223,372,036,854,775,808" },
	{ TABLE_MS, 12345, "12,345 ms" },
	{ TABLE_FLAG, 1, "yes" },
	{ TABLE_TIME, 1772325000000000, "2026-03-01 00:30:00Z" },
	{ TABLE_MONEY, 0, "0.000000" },
	{ TABLE_MONEY, 400, "<0.000001" },
	{ TABLE_MONEY, -400, ">-0.000001" },
	{ TABLE_MONEY, 2500, "0.000002" },	/* half to even */
	{ TABLE_MONEY, 3500, "0.000004" },
	{ TABLE_MONEY, 1000000000, "1.0000" },
	{ TABLE_MONEY, 1234567894999999, "1,234,567.89" },
	{ TABLE_MONEY, -1234567895000001, "-1,234,567.90" },
};

START_TEST(shows_figures_for_a_person)
{
	const struct table_column column = { "f", "", shown[_i].kind };
	struct table *one = table_create(&column, 1);

	table_add_number(one, shown[_i].number);
	ck_assert_int_eq(table_print(one, &cli, NULL), CLI_OK);
	char *line = strchr(got, '\n') + 1;
	line[strcspn(line, "\n")] = '\0';
	ck_assert_str_eq(line, shown[_i].shown);
	table_destroy(one);
}
END_TEST

START_TEST(shows_reals_and_keeps_them_for_programs)
{
	static const struct table_column reals[] = {
		{ "share", NULL, TABLE_PERCENT }, { "rate", NULL, TABLE_REAL },
	};
	struct table *two = table_create(reals, 2);

	table_add_real(two, 0.125);
	table_add_real(two, 2.0 / 3);
	table_add_real(two, 0.0 / 1);
	table_add_real(two, 1e308 * 10);
	ck_assert_int_eq(table_print(two, &cli, NULL), CLI_OK);
	ck_assert_str_eq(got, " share  rate\n12.5 %  0.67\n 0.0 %     -\n");

	cli.format = CLI_CSV;
	ck_assert_int_eq(table_print(two, &cli, NULL), CLI_OK);
	ck_assert_ptr_nonnull(strstr(got, "0.125,0.666666666666667\r\n0,\r\n"));
	table_destroy(two);
}
END_TEST

static const struct table_column list_columns[] = {
	{ "name", "Name", TABLE_TEXT },
	{ "share_percent", "share", TABLE_POINTS },
	{ "cost_delta_percent", "change", TABLE_CHANGE },
};

static void print_lists(enum cli_format format, bool empty)
{
	struct table *list = table_create(list_columns, 3);
	const struct table_list lists[] = { { "parts", "all parts", list } };

	if (!empty) {
		table_add_text(list, "=1");
		table_add_real(list, 12.5);
		table_add_real(list, 3);
	}
	row("gpt", 1234, 12500000000);
	cli.format = format;
	ck_assert_int_eq(table_print_lists(table, lists, 1, &cli, NULL),
	                 CLI_OK);
	table_destroy(list);
}

START_TEST(prints_a_row_with_its_lists)
{
	print_lists(CLI_TABLE, false);
	ck_assert_str_eq(got, "Name   gpt\n"
	                 "calls    1,234\n"
	                 "cost   12.5000\n"
	                 "\n"
	                 "all parts\n"
	                 "Name   share  change\n"
	                 "=1    12.5 %  +3.0 %\n");
}
END_TEST

START_TEST(prints_a_row_with_its_lists_for_programs)
{
	print_lists(CLI_JSON, false);
	ck_assert_str_eq(got, "{\"rows\":[\n{\"name\":\"gpt\",\"calls\":1234,"
	                 "\"cost_usd\":12.5,\n\"parts\":[\n{\"name\":\"=1\","
	                 "\"share_percent\":12.5,\"cost_delta_percent\":3}]}]}"
	                 "\n");
}
END_TEST

START_TEST(prints_a_row_with_its_lists_as_one_csv)
{
	print_lists(CLI_CSV, false);
	ck_assert_str_eq(got, "list,name,calls,cost_usd,share_percent,"
	                 "cost_delta_percent\r\n"
	                 ",gpt,1234,12.5,,\r\n"
	                 "parts,\"'=1\",,,12.5,3\r\n");
}
END_TEST

START_TEST(says_that_a_list_is_empty)
{
	print_lists(CLI_TABLE, true);
	ck_assert_ptr_nonnull(strstr(got, "\nall parts\nnone\n"));
}
END_TEST

static const struct {
	const char *text;
	int64_t nano;		/* -1: no such thing */
} dollars[] = {
	{ "0", 0 }, { "12.5", 12500000000 }, { "0.000000001", 1 },
	{ "-3", -3000000000 }, { "9223372036.854775807", INT64_MAX },
	{ "9223372036.854775808", -1 }, { "1.0000000001", -1 }, { "", -1 },
	{ ".5", -1 }, { "5.", -1 }, { "1e3", -1 }, { " 1", -1 }, { "--1", -1 },
	{ "$5", -1 }, { "99999999999999999999", -1 },
};

START_TEST(reads_money_exactly)
{
	int64_t nano = -1;

	ck_assert_int_eq(table_money_parse(dollars[_i].text, &nano),
	                 dollars[_i].nano != -1);
	ck_assert_int_eq(nano, dollars[_i].nano);
}
END_TEST

START_TEST(wraps_prose_at_words)
{
	text_wrap(cli.out, "one two  three\nfour", 0, 2, 10);
	fflush(cli.out);

	ck_assert_str_eq(got, "  one two\n  three\n  four\n");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("table");
	TCase *t = tcase_create("print");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, aligns_text_left_and_figures_right);
	tcase_add_test(t, aligns_characters_of_any_width);
	tcase_add_test(t, cuts_the_widest_text_to_fit_the_terminal);
	tcase_add_test(t, shows_control_characters_as_escapes);
	tcase_add_test(t, colours_only_the_heading_and_only_when_asked);
	tcase_add_test(t, prints_csv_that_no_spreadsheet_runs);
	tcase_add_test(t, prints_json_with_exact_money_and_null_for_unknown);
	tcase_add_test(t, prints_json_without_rows_or_head);
	tcase_add_test(t, says_when_it_cannot_write);
	tcase_add_loop_test(t, shows_figures_for_a_person, 0,
	                    sizeof(shown) / sizeof(shown[0]));
	tcase_add_test(t, shows_reals_and_keeps_them_for_programs);
	tcase_add_test(t, prints_a_row_with_its_lists);
	tcase_add_loop_test(t, reads_money_exactly, 0,
	                    sizeof(dollars) / sizeof(dollars[0]));
	tcase_add_test(t, prints_a_row_with_its_lists_for_programs);
	tcase_add_test(t, prints_a_row_with_its_lists_as_one_csv);
	tcase_add_test(t, says_that_a_list_is_empty);
	tcase_add_test(t, wraps_prose_at_words);
	suite_add_tcase(s, t);

	TCase *v = tcase_create("values");
	tcase_add_loop_test(v, writes_money_with_all_its_digits, 0,
	                    sizeof(amounts) / sizeof(amounts[0]));
	tcase_add_loop_test(v, writes_times_with_the_decimals_they_need, 0,
	                    sizeof(times) / sizeof(times[0]));
	suite_add_tcase(s, v);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());

	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
