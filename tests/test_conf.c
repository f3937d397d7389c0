/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Configuration files as trees: what is read, what is refused and in which
 * words.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf_help.h"

static struct findings findings;

static void start(void)
{
	memset(&findings, 0, sizeof(findings));
	setenv("BURSAR_TEST_WORD", "hunter2", 1);
	setenv("BURSAR_TEST_EMPTY", "", 1);
	unsetenv("BURSAR_TEST_UNSET");
}

static void stop(void)
{
	findings_finish(&findings);
}

/* The member at a path such as "a.b". */
static const struct conf *at(const struct conf *conf, const char *path)
{
	char copy[64];
	char *rest = copy;
	const char *name;

	snprintf(copy, sizeof(copy), "%s", path);
	while ((name = strsep(&rest, ".")) != NULL) {
		conf = conf_get(conf, name);
	}
	ck_assert_msg(conf != NULL, "no %s", path);
	return conf;
}

static void assert_canonical(const char *yaml, const char *want)
{
	struct conf *conf = parsed(yaml, &findings);
	ck_assert_ptr_nonnull(conf);
	char *text = conf_canonical(conf);

	ck_assert_uint_eq(findings.count, 0);
	ck_assert_str_eq(text, want);
	free(text);
	conf_destroy(conf);
}

START_TEST(keeps_values_lines_and_order)
{
	struct conf *conf = parsed("# a comment\n"
	                           "sources:\n"
	                           "  backlog: {plugin: file,\n"
	                           "            follow: true}\n"
	                           "list:\n"
	                           "- one\n"
	                           "- 'two: 2'\n", &findings);

	ck_assert_uint_eq(findings.count, 0);
	ck_assert_str_eq(at(conf, "sources.backlog.plugin")->text, "file");
	ck_assert_uint_eq(at(conf, "sources.backlog")->line, 3);
	ck_assert_uint_eq(at(conf, "sources.backlog.follow")->line, 4);
	ck_assert_int_eq(at(conf, "list")->type, CONF_LIST);
	ck_assert_str_eq(at(conf, "list")->first->text, "one");
	ck_assert_str_eq(at(conf, "list")->first->next->text, "two: 2");
	ck_assert_uint_eq(at(conf, "list")->first->next->line, 7);
	ck_assert_ptr_null(conf_get(conf, "none"));
	ck_assert_ptr_null(conf_get(NULL, "none"));
	conf_destroy(conf);
}
END_TEST

START_TEST(json_is_yaml)
{
	assert_canonical("{\"a\": {\"b\": [\"x\", 1, true]}, \"c\": \"\"}",
	                 "{\"a\":{\"b\":[\"x\",\"1\",\"true\"]},\"c\":\"\"}");
}
END_TEST

START_TEST(a_byte_order_mark_is_no_part_of_the_text)
{
	assert_canonical("\xEF\xBB\xBF" "a:\n  b: c\nd: e\n",
	                 "{\"a\":{\"b\":\"c\"},\"d\":\"e\"}");
}
END_TEST

START_TEST(canonical_text_does_not_depend_on_order_or_writing)
{
	assert_canonical("b: {z: '1', y: 2}\na: [x,\n y]\n",
	                 "{\"a\":[\"x\",\"y\"],\"b\":{\"y\":\"2\",\"z\":\"1\"}}");
	assert_canonical("a: [x, y]\nb:\n  y: 2\n  z: \"1\"\n",
	                 "{\"a\":[\"x\",\"y\"],\"b\":{\"y\":\"2\",\"z\":\"1\"}}");
}
END_TEST

START_TEST(canonical_text_cannot_be_forged_by_a_value)
{
	assert_canonical("a: 'x\",\"b\":\"y'\n",
	                 "{\"a\":\"x\\\",\\\"b\\\":\\\"y\"}");
	assert_canonical("a: \"1\\n2\"\nb: '1\\n2'\n",
	                 "{\"a\":\"1\\n2\",\"b\":\"1\\\\n2\"}");
}
END_TEST

START_TEST(canonical_text_hides_what_the_environment_gave_and_tells_changes)
{
	char *texts[3];

	for (int i = 0; i < 3; i++) {
		setenv("BURSAR_TEST_WORD", i < 2 ? "hunter2" : "hunter3", 1);
		struct conf *conf = parsed("a: ${BURSAR_TEST_WORD}\n",
		                           &findings);
		texts[i] = conf_canonical(conf);
		conf_destroy(conf);
	}

	ck_assert_ptr_null(strstr(texts[0], "hunter"));
	ck_assert_str_eq(texts[0], texts[1]);
	ck_assert_str_ne(texts[0], texts[2]);
	for (int i = 0; i < 3; i++) {
		free(texts[i]);
	}
}
END_TEST

static const struct {
	const char *yaml, *want;
	bool is_interpolated, is_whole;
} interpolations[] = {
	{ "a: ${BURSAR_TEST_WORD}", "hunter2", true, true },
	{ "a: '${BURSAR_TEST_WORD}'", "hunter2", true, true },
	{ "a: ${BURSAR_TEST_EMPTY}", "", true, true },
	{ "a: x${BURSAR_TEST_WORD}", "xhunter2", true, false },
	{ "a: ${BURSAR_TEST_WORD}x", "hunter2x", true, false },
	{ "a: ${BURSAR_TEST_WORD}${BURSAR_TEST_WORD}", "hunter2hunter2",
	  true, false },
	{ "a: $${BURSAR_TEST_WORD}", "${BURSAR_TEST_WORD}", false, false },
	{ "a: $${${BURSAR_TEST_WORD}}", "${hunter2}", true, false },
	{ "a: 5$ $$ $X $", "5$ $$ $X $", false, false },
};

START_TEST(takes_variables_from_the_environment)
{
	struct conf *conf = parsed(interpolations[_i].yaml, &findings);

	ck_assert_uint_eq(findings.count, 0);
	ck_assert_str_eq(at(conf, "a")->text, interpolations[_i].want);
	ck_assert(at(conf, "a")->interpolated ==
	          interpolations[_i].is_interpolated);
	ck_assert(at(conf, "a")->from_environment ==
	          interpolations[_i].is_whole);
	conf_destroy(conf);
}
END_TEST

static const struct { const char *yaml, *want; } refused[] = {
	{ "a: &x 1\nb: *x\n",
	  "1: anchors (&x) and aliases are not understood here; write the "
	  "value out\n"
	  "2: aliases (*x) are not understood here; write the value out\n" },
	{ "a: &x {b: 1}\n", "1: anchors (&x) and aliases are not understood "
	  "here; write the value out\n" },
	{ "a: &x [b]\n", "1: anchors (&x) and aliases are not understood "
	  "here; write the value out\n" },
	{ "a: 1\nb: !!int 2\n", "2: tags (tag:yaml.org,2002:int) are not "
	  "understood here; leave it out\n" },
	{ "a: 1\n---\nb: 2\n", "2: a second document begins here; one file is "
	  "one document\n" },
	{ "a: 1\nb: 2\na: 3\n",
	  "3: 'a' stands here a second time; the first is in line 1\n" },
	{ "a: 1\n? [x, y]\n: 2\n",
	  "2: the name of a member is a text\n" },
	{ "a: 1\n? {x: y}\n: 2\n",
	  "2: the name of a member is a text\n" },
	{ "- a\n- b\n", "1: a configuration is a map: 'sources:', 'sinks:' "
	  "... with their members\n" },
	{ "hello\n", "1: a configuration is a map: 'sources:', 'sinks:' ... "
	  "with their members\n" },
	{ "", "nothing is configured; the least is sources: {NAME: {plugin: "
	  "PLUGIN}} and sinks: {NAME: {plugin: PLUGIN}}, each with the "
	  "options that 'bursar plugins PLUGIN' shows\n" },
	{ "# nothing\n---\n", "nothing is configured; the least is sources: "
	  "{NAME: {plugin: PLUGIN}} and sinks: {NAME: {plugin: PLUGIN}}, each "
	  "with the options that 'bursar plugins PLUGIN' shows\n" },
	{ "a: \"x\\0y\"\n", "1: a NUL character is not allowed here\n" },
	{ "\"a\\0b\": 1\n",
	  "1: a name is empty or holds a NUL character\n" },
	{ "a: 1\nb: \xff\n",
	  "2: not YAML in UTF-8: invalid leading UTF-8 octet\n" },
	{ "a: 1\nb: \x01\n",
	  "2: not YAML in UTF-8: control characters are not allowed\n" },
	{ "a: [1, 2\nb: 3\n", "2: not YAML: did not find expected ',' or ']', "
	  "while parsing a flow sequence that began in line 1\n" },
	{ "a: {uri: ${X}}\n", "1: not YAML: did not find expected ',' or '}', "
	  "while parsing a flow mapping that began in line 1; inside { } or "
	  "[ ] write \"${NAME}\" in quotes\n" },
	{ "a:\n\tb: 1\n", "2: not YAML: found character that cannot start any "
	  "token, while scanning for the next token that began in line 2; "
	  "indent with spaces, not with tabs\n" },
	{ "a: ${BURSAR_TEST_UNSET}\nb: x${BURSAR_TEST_UNSET}${\n",
	  "1: variable 'BURSAR_TEST_UNSET' is not set in the environment\n"
	  "2: variable 'BURSAR_TEST_UNSET' is not set in the environment\n" },
	{ "a: ${}\nb: ${1A}\nc: ${A\n",
	  "1: after '${' comes the name of a variable and '}'; write '$${' "
	  "for a literal '${'\n"
	  "2: after '${' comes the name of a variable and '}'; write '$${' "
	  "for a literal '${'\n"
	  "3: after '${' comes the name of a variable and '}'; write '$${' "
	  "for a literal '${'\n" },
	{ "a: [[[[[[[[[[[[[[[x]]]]]]]]]]]]]]]\n", "" },
	{ "a: [[[[[[[[[[[[[[[[x]]]]]]]]]]]]]]]]\n",
	  "1: nested deeper than 16 levels\n" },
};

START_TEST(refuses_what_it_does_not_understand_and_says_where)
{
	struct conf *conf = parsed(refused[_i].yaml, &findings);

	assert_said(&findings, refused[_i].want);
	conf_destroy(conf);
}
END_TEST

START_TEST(goes_on_after_what_it_refuses)
{
	struct conf *conf = parsed("a: &x 1\na: 2\nb: ${BURSAR_TEST_UNSET}\n"
	                           "c: *x\nd: 4\n", &findings);

	ck_assert_uint_eq(findings.count, 4);
	ck_assert_str_eq(at(conf, "a")->text, "1");
	ck_assert(at(conf, "b")->broken);
	ck_assert(at(conf, "c")->broken);
	ck_assert_str_eq(at(conf, "d")->text, "4");
	conf_destroy(conf);
}
END_TEST

/* head; `count` times before, a number and behind; tail. */
static struct conf *repeated(const char *head, const char *before,
                             const char *behind, size_t count,
                             const char *tail)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	fputs(head, out);
	for (size_t i = 0; i < count; i++) {
		fprintf(out, "%s%zu%s", before, i, behind);
	}
	fputs(tail, out);
	fclose(out);

	struct conf *conf = conf_parse(text, size, &findings);
	free(text);
	return conf;
}

START_TEST(limits_members)
{
	struct conf *conf = repeated("", "m", ": 1\n", CONF_MAX_MEMBERS, "");

	ck_assert_uint_eq(findings.count, 0);
	ck_assert_ptr_nonnull(conf);
	conf_destroy(conf);

	ck_assert_ptr_null(repeated("", "m", ": 1\n", CONF_MAX_MEMBERS + 1, ""));
	assert_said(&findings, "1: more than 1000 members\n");

	ck_assert_ptr_null(repeated("a: [", "", ",", CONF_MAX_MEMBERS + 1, "]"));
	assert_said(&findings, "1: more than 1000 members\n");
}
END_TEST

START_TEST(limits_values)
{
	ck_assert_ptr_null(repeated("", "m", ": [[],[],[],[],[],[],[],[],[],[],"
	                            "[],[],[],[],[],[],[],[],[],[],[],[]]\n",
	                            CONF_MAX_MEMBERS, ""));
	assert_said(&findings, "870: more than 20000 values in one file\n");
}
END_TEST

START_TEST(limits_bytes)
{
	ck_assert_ptr_null(repeated("", "# ", " is a comment of some length, as an "
	                            "example\n", 30000, ""));
	assert_said(&findings, "longer than 1048576 bytes\n");
}
END_TEST

START_TEST(limits_what_variables_make_of_a_small_file)
{
	char *big = malloc(100001);
	memset(big, 'x', 100000);
	big[100000] = '\0';
	setenv("BURSAR_TEST_BIG", big, 1);
	free(big);

	struct conf *conf = repeated("", "m", ": ${BURSAR_TEST_BIG}\n", 11, "");

	assert_said(&findings,
	            "11: too long with the value of variable "
	            "'BURSAR_TEST_BIG'\n");
	conf_destroy(conf);
	unsetenv("BURSAR_TEST_BIG");
}
END_TEST

START_TEST(reads_a_file_and_names_it)
{
	char path[] = "test_conf.XXXXXX";
	const int fd = mkstemp(path);
	ck_assert_int_eq(write(fd, "a: 1\na: 2\n", 10), 10);
	close(fd);

	struct conf *conf = conf_load(path, &findings);
	unlink(path);
	char *got = said(&findings);

	ck_assert_str_eq(at(conf, "a")->text, "1");
	ck_assert_ptr_eq(strstr(got, path), got);
	ck_assert_str_eq(got + strlen(path), ":2: 'a' stands here a second "
	                 "time; the first is in line 1\n");
	free(got);
	conf_destroy(conf);
}
END_TEST

static const struct {
	mode_t mode;
	bool   foreign;		/* its group is neither ours nor root's */
	bool   refused;
} writers[] = {
	{ 0644, false, false }, { 0664, false, false }, { 0666, false, true },
	{ 0664, true, true }, { 0644, true, false },
};

START_TEST(refuses_a_file_that_others_can_write)
{
	char path[] = "test_conf.XXXXXX";
	const int fd = mkstemp(path);
	const bool moved = !writers[_i].foreign ||
		fchown(fd, (uid_t)-1, getegid() + 1) == 0;

	ck_assert_int_eq(write(fd, "a: 1\n", 5), 5);
	ck_assert_int_eq(fchmod(fd, writers[_i].mode), 0);
	close(fd);
	struct conf *conf = conf_load(path, &findings);
	unlink(path);
	if (moved) {		/* only root gives a file away */
		ck_assert_uint_eq(findings.count, writers[_i].refused);
	}
	if (moved && writers[_i].refused) {
		char *got = said(&findings);

		ck_assert_ptr_nonnull(strstr(got, ": others can write it "));
		free(got);
	}
	conf_destroy(conf);
}
END_TEST

START_TEST(names_a_file_that_it_cannot_read)
{
	ck_assert_ptr_null(conf_load("/no/such/file", &findings));
	assert_said(&findings, "/no/such/file: No such file or directory; "
	            "another one is named by -c FILE or BURSAR_CONFIG\n");

	ck_assert_ptr_null(conf_load("/", &findings));
	assert_said(&findings, "/: it is a folder, not a regular file\n");
}
END_TEST

START_TEST(findings_are_printed_in_the_order_of_the_file)
{
	findings.file = "x.yaml";
	findings_add(&findings, 7, "c");
	findings_add(&findings, 2, "a");
	findings_add(&findings, 7, "%s", "d");
	findings_add(&findings, 0, "whole");
	findings_add(&findings, 3, "b");

	assert_said(&findings, "x.yaml: whole\nx.yaml:2: a\nx.yaml:3: b\n"
	            "x.yaml:7: c\nx.yaml:7: d\n");
}
END_TEST

START_TEST(findings_beyond_a_hundred_are_counted)
{
	for (int i = 0; i < FINDINGS_MAX + 5; i++) {
		findings_add(&findings, 1, "x");
	}

	ck_assert_uint_eq(findings.count, FINDINGS_MAX);
	char *got = said(&findings);
	ck_assert_ptr_nonnull(strstr(got, "1: x\n... and 5 more\n"));
	free(got);
}
END_TEST

START_TEST(findings_do_not_command_a_terminal)
{
	findings_add(&findings, 1, "a\x1b[31m\nb\x7f");

	assert_said(&findings, "1: a?[31m?b?\n");
}
END_TEST

START_TEST(a_long_finding_is_cut_between_characters)
{
	char word[2001];
	for (size_t i = 0; i < 2000; i += 2) {
		memcpy(word + i, "\xc3\xa4", 2);
	}
	word[2000] = '\0';

	findings_add(&findings, 1, "%s", word);

	const size_t size = strlen(findings.items[0].text);
	ck_assert_uint_eq(size % 2, 0);
	ck_assert_uint_gt(size, 1000);
	ck_assert_uint_lt(size, 1024);
}
END_TEST

#define COUNT(array) (int)(sizeof(array) / sizeof(array[0]))

static Suite *suite(void)
{
	Suite *s = suite_create("conf");

	TCase *tree = tcase_create("tree");
	tcase_add_checked_fixture(tree, start, stop);
	tcase_add_test(tree, keeps_values_lines_and_order);
	tcase_add_test(tree, json_is_yaml);
	tcase_add_test(tree, a_byte_order_mark_is_no_part_of_the_text);
	tcase_add_test(tree, canonical_text_does_not_depend_on_order_or_writing);
	tcase_add_test(tree, canonical_text_cannot_be_forged_by_a_value);
	tcase_add_test(tree,
		canonical_text_hides_what_the_environment_gave_and_tells_changes);
	tcase_add_loop_test(tree, takes_variables_from_the_environment, 0,
	                    COUNT(interpolations));
	tcase_add_test(tree, reads_a_file_and_names_it);
	suite_add_tcase(s, tree);

	TCase *refusals = tcase_create("refusals");
	tcase_add_checked_fixture(refusals, start, stop);
	tcase_add_loop_test(refusals,
		refuses_what_it_does_not_understand_and_says_where, 0,
		COUNT(refused));
	tcase_add_test(refusals, goes_on_after_what_it_refuses);
	tcase_add_loop_test(refusals, refuses_a_file_that_others_can_write, 0,
	                    sizeof(writers) / sizeof(writers[0]));
	tcase_add_test(refusals, names_a_file_that_it_cannot_read);
	suite_add_tcase(s, refusals);

	TCase *limits = tcase_create("limits");
	tcase_add_checked_fixture(limits, start, stop);
	tcase_add_test(limits, limits_members);
	tcase_add_test(limits, limits_values);
	tcase_add_test(limits, limits_bytes);
	tcase_add_test(limits, limits_what_variables_make_of_a_small_file);
	suite_add_tcase(s, limits);

	TCase *texts = tcase_create("findings");
	tcase_add_checked_fixture(texts, start, stop);
	tcase_add_test(texts, findings_are_printed_in_the_order_of_the_file);
	tcase_add_test(texts, findings_beyond_a_hundred_are_counted);
	tcase_add_test(texts, findings_do_not_command_a_terminal);
	tcase_add_test(texts, a_long_finding_is_cut_between_characters);
	suite_add_tcase(s, texts);
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
