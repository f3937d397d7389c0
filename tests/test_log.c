/* SPDX-License-Identifier: Apache-2.0 */

/* The lines of the log, read back from a pipe that stands for stderr. */
#include "config.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <check.h>

#include "base/log.h"
#include "base/logfmt.h"

static int  ends[2];
static char got[65536];

static void setup(void)
{
	unsetenv("JOURNAL_STREAM");
	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	ck_assert_int_ge(dup2(ends[1], STDERR_FILENO), 0);
}

/* What was logged since the last call. */
static const char *logged(void)
{
	const ssize_t size = read(ends[0], got, sizeof(got) - 1);

	got[size > 0 ? size : 0] = '\0';
	return got;
}

static size_t lines(const char *text)
{
	size_t count = 0;

	for (; *text != '\0'; text++) {
		count += *text == '\n';
	}
	return count;
}

START_TEST(writes_one_line_with_time_level_event_and_members)
{
	log_event(BURSAR_INFO, "backlog", "source-opened", "files=%d", 3);

	const char *line = logged();
	int year;
	ck_assert_int_eq(sscanf(line, "time=%4d-", &year), 1);
	ck_assert_int_ge(year, 2024);
	ck_assert_str_eq(strstr(line, "Z ") + 2,
	                 "level=info event=source-opened instance=backlog "
	                 "files=3\n");
}
END_TEST

START_TEST(leaves_out_what_was_not_given)
{
	log_event(BURSAR_ERROR, NULL, "stopped", "%s", "");

	ck_assert_str_eq(strstr(logged(), "level"),
	                 "level=error event=stopped\n");
}
END_TEST

START_TEST(leaves_the_time_to_the_journal)
{
	struct stat st;
	char stream[64];

	ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev,
	         (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_event(BURSAR_WARNING, NULL, "slow", "%s", "");

	ck_assert_str_eq(logged(), "<4>level=warning event=slow\n");
}
END_TEST

START_TEST(keeps_a_line_a_line)
{
	log_event(BURSAR_INFO, NULL, "odd", "text=\"%s\"", "a\nlevel=error\x1b");

	const char *line = logged();
	ck_assert_uint_eq(lines(line), 1);
	ck_assert_ptr_nonnull(strstr(line, "text=\"a\\nlevel=error\\x1b\"\n"));
}
END_TEST

/* U+009B begins a command as ESC [ does, U+202E turns what follows. */
START_TEST(shows_what_a_terminal_would_obey)
{
	log_event(BURSAR_INFO, NULL, "odd", "path=\"%s\"",
	          "\xc2\x9b" "2J\xe2\x80\xae\xc3\xbc");

	ck_assert_ptr_nonnull(strstr(logged(), "path=\"\\xc2\\x9b2J"
	                             "\\xe2\\x80\\xae\xc3\xbc\"\n"));
}
END_TEST

START_TEST(cuts_a_line_that_is_too_long)
{
	static char text[10000];

	memset(text, 'x', sizeof(text) - 1);
	log_event(BURSAR_INFO, NULL, "long", "text=%s", text);

	const char *line = logged();
	ck_assert_uint_le(strlen(line), 4096);
	ck_assert_uint_ge(strlen(line), 4000);
	ck_assert_uint_eq(lines(line), 1);
}
END_TEST

START_TEST(holds_back_what_is_below_the_level)
{
	log_event(BURSAR_DEBUG, NULL, "detail", "%s", "");
	ck_assert_str_eq(logged(), "");

	log_set_level(BURSAR_DEBUG);
	log_event(BURSAR_DEBUG, NULL, "detail", "%s", "");
	ck_assert_uint_eq(lines(logged()), 1);
}
END_TEST

START_TEST(holds_back_a_flood_of_one_event_of_one_instance)
{
	for (int i = 0; i < 100; i++) {
		log_event(BURSAR_INFO, "a", "flood", "n=%d", i);
	}
	ck_assert_uint_eq(lines(logged()), 10);

	log_event(BURSAR_INFO, "b", "flood", "%s", "");
	log_event(BURSAR_INFO, "a", "drought", "%s", "");
	ck_assert_uint_eq(lines(logged()), 2);
}
END_TEST

static const struct {
	const char *text;
	const char *quoted;
} quotes[] = {
	{ "plain/path-1.txt", "plain/path-1.txt" },
	{ "", "\"\"" },
	{ "two words", "\"two words\"" },
	{ "a=b", "\"a=b\"" },
	{ "say \"x\\y\"", "\"say \\\"x\\\\y\\\"\"" },
	{ "a\nb\t\x01\x7f", "\"a\\nb\\t\\x01\\x7f\"" },
	{ "fr\xc3\xbch", "fr\xc3\xbch" },
	{ " \xff\xc3", "\" \\xff\\xc3\"" },
	{ "a\xc2\x9bm\xc2\xa0", "\"a\\xc2\\x9bm\xc2\xa0\"" },
	{ "\xe2\x80\xaex", "\"\\xe2\\x80\\xaex\"" },
	{ "\xe2\x81\xa6 \xe2\x80\xa9",
	  "\"\\xe2\\x81\\xa6 \\xe2\\x80\\xa9\"" },
};

START_TEST(quotes_what_needs_it)
{
	static struct logfmt line;

	logfmt_init(&line, "");
	logfmt_add(&line, "key", quotes[_i].text);
	line.text[line.size] = '\0';

	ck_assert_str_eq(line.text + strlen("key="), quotes[_i].quoted);
}
END_TEST

/* --- taken apart again ---------------------------------------------------- */

static int hex(char c)
{
	return c >= 'a' ? c - 'a' + 10 : c - '0';
}

/* Reads the value at *at up to its end, as bytes; false: it has none. */
static bool read_quoted(const char **at, char *out)
{
	for ((*at)++; **at != '"'; (*at)++) {
		if (**at == '\0' || (unsigned char)**at < ' ') {
			return false;
		}
		if (**at != '\\') {
			*out++ = **at;
			continue;
		}
		switch (*++*at) {
		case '"': case '\\': *out++ = **at; break;
		case 'n': *out++ = '\n'; break;
		case 'r': *out++ = '\r'; break;
		case 't': *out++ = '\t'; break;
		case 'x':
			*out++ = (char)(hex((*at)[1]) * 16 + hex((*at)[2]));
			*at += 2;
			break;
		default: return false;
		}
	}
	*out = '\0';
	(*at)++;
	return true;
}

/* One member of a line; false: there is none any more, or it is no member. */
static bool read_member(const char **at, char *key, char *value)
{
	const size_t size = strspn(*at, "abcdefghijklmnopqrstuvwxyz_-");

	if (size == 0 || (*at)[size] != '=') {
		return false;
	}
	snprintf(key, size + 1, "%s", *at);
	*at += size + 1;
	if (**at == '"') {
		if (!read_quoted(at, value)) {
			return false;
		}
	} else {
		const size_t plain = strcspn(*at, " =\"\\\n");

		snprintf(value, plain + 1, "%s", *at);
		*at += plain;
	}
	if (**at != ' ' && **at != '\n') {
		return false;
	}
	*at += **at == ' ';
	return true;
}

/* Bytes by chance, many of them of those that mean something on a line. */
static void make_odd(char *text, size_t size)
{
	static const char odd[] = "\"\\ =\n\r\t\x1b\xc2\x9b\xe2\x80\xae% nx";

	for (size_t i = 0; i < size; i++) {
		text[i] = rand() % 2 != 0 ? odd[(size_t)rand() % (sizeof(odd) - 1)]
		                          : (char)(1 + rand() % 255);
	}
	text[size] = '\0';
}

START_TEST(says_any_value_so_that_it_can_be_read_again)
{
	static const char *const keys[] = {
		"time", "level", "event", "why", "path", "count", "note",
	};
	char why[64], path[64], note[80], key[64], value[4096];

	srand((unsigned)_i);
	make_odd(why, (size_t)rand() % 60);
	make_odd(path, (size_t)rand() % 60);
	make_odd(note, 1 + (size_t)rand() % 59);
	log_event(BURSAR_INFO, NULL, "odd", "why=\"%s\" path=%s count=%05zu "
	          "note=\"%.*s: %d%%\"", why, path, (size_t)_i,
	          (int)strlen(note) - 1, note, -7);
	snprintf(note + strlen(note) - 1, 8, ": -7%%");

	const char *at = logged();
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		ck_assert_msg(read_member(&at, key, value), "%s: %s", keys[i],
		              got);
		ck_assert_str_eq(key, keys[i]);
		if (i >= 3 && i != 5) {
			ck_assert_str_eq(value, i == 3 ? why : i == 4 ? path
			                                          : note);
		}
	}
	ck_assert_str_eq(at, "\n");
}
END_TEST

START_TEST(puts_in_every_sort_of_argument)
{
	log_event(BURSAR_INFO, NULL, "all", "a=%d b=%5.2f c=%-4lldx d=%jx "
	          "e=%c f=%.3s g=%*d h=%.*s i=%hhu j=%td k=%.1E", -1, 2.5, 3LL,
	          (uintmax_t)255, 'e', "abcdef", 3, 7, 2, "xyz",
	          (unsigned char)9, (ptrdiff_t)-4, 1e9);

	ck_assert_str_eq(strstr(logged(), "a="), "a=-1 b=\" 2.50\" c=\"3   x\" "
	                 "d=ff e=e f=abc g=\"  7\" h=xy i=9 j=-4 k=1.0E+09\n");
}
END_TEST

/* The end of a long value is where its quotes are, and nothing else is. */
START_TEST(cuts_a_value_inside_its_quotes)
{
	static char text[10000];
	char key[64], value[4200];

	memset(text, '"', sizeof(text) - 1);
	log_event(BURSAR_INFO, NULL, "long", "why=\"%s\" after=%s", text, text);

	const char *at = logged();
	for (int i = 0; i < 4; i++) {
		ck_assert(read_member(&at, key, value));
	}
	ck_assert_str_eq(key, "why");
	ck_assert_ptr_nonnull(strstr(value, "\"\xe2\x80\xa6"));
	ck_assert_str_eq(at, "\n");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("log");
	TCase *t = tcase_create("lines");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, writes_one_line_with_time_level_event_and_members);
	tcase_add_test(t, leaves_out_what_was_not_given);
	tcase_add_test(t, leaves_the_time_to_the_journal);
	tcase_add_test(t, keeps_a_line_a_line);
	tcase_add_test(t, shows_what_a_terminal_would_obey);
	tcase_add_test(t, cuts_a_line_that_is_too_long);
	tcase_add_test(t, cuts_a_value_inside_its_quotes);
	tcase_add_test(t, puts_in_every_sort_of_argument);
	tcase_add_loop_test(t, says_any_value_so_that_it_can_be_read_again, 0,
	                    200);
	tcase_add_test(t, holds_back_what_is_below_the_level);
	tcase_add_test(t, holds_back_a_flood_of_one_event_of_one_instance);
	suite_add_tcase(s, t);

	TCase *q = tcase_create("quote");
	tcase_add_loop_test(q, quotes_what_needs_it, 0,
	                    sizeof(quotes) / sizeof(quotes[0]));
	suite_add_tcase(s, q);
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
