/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Values of options: how they may be written, and what is said of those that
 * are written wrongly.
 */
#include "config.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf_help.h"
#include "core/conf/options.h"
#include "folder.h"

#define COUNT(array) (int)(sizeof(array) / sizeof(array[0]))

static const struct bursar_option common[] = {
	{ "format", BURSAR_TYPE_TEXT, "ledger", "The format." },
	{ NULL }
};

static const struct bursar_option table[] = {
	{ "path", BURSAR_TYPE_PATH, NULL, "The file to read." },
	{ "mode", BURSAR_TYPE_CHOICE, "fast", "How to go.",
	  .choices = "fast|slow|not-at-all" },
	{ "count", BURSAR_TYPE_NUMBER, "10", "How many.",
	  .min = -5, .max = 1000 },
	{ "any", BURSAR_TYPE_NUMBER, "", "How many more." },
	{ "buffer", BURSAR_TYPE_SIZE, "64K", "How much.",
	  .min = 1024, .max = 64 << 20 },
	{ "linger", BURSAR_TYPE_DURATION, "20ms", "How long.",
	  .min = 1, .max = 3600000 },
	{ "at-least", BURSAR_TYPE_DURATION, "5s", "How long at least.",
	  .min = 1500, .max = INT64_MAX },
	{ "follow", BURSAR_TYPE_FLAG, "false", "Whether to go on." },
	{ "names", BURSAR_TYPE_LIST, "[a, b]", "Which ones." },
	{ "token", BURSAR_TYPE_SECRET, "", "The token." },
	{ NULL }
};

static const struct bursar_option needy[] = {
	{ "word", BURSAR_TYPE_TEXT, NULL, "A word." },
	{ "names", BURSAR_TYPE_LIST, NULL, "Some names." },
	{ "key", BURSAR_TYPE_SECRET, NULL, "The key." },
	{ NULL }
};

static struct findings findings;
static struct conf *conf;
static struct options *options;
static char dir[FOLDER_SIZE];

static void start(void)
{
	folder_make(dir);
	memset(&findings, 0, sizeof(findings));
	setenv("BURSAR_TEST_WORD", "hunter2", 1);
	setenv("BURSAR_TEST_EMPTY", "", 1);
	unsetenv("BURSAR_TEST_UNSET");
	unsetenv("CREDENTIALS_DIRECTORY");
}

static void forget(void)
{
	options_destroy(options);
	conf_destroy(conf);
	options = NULL;
	conf = NULL;
}

static void stop(void)
{
	forget();
	findings_finish(&findings);
	folder_remove(dir);
}

static void check_table(const char *yaml, const struct bursar_option *of)
{
	forget();
	conf = parsed(yaml, &findings);
	options = options_create(conf, common, of, "source 'backlog'", dir,
	                         &findings);
	ck_assert_ptr_nonnull(options);
}

static void check(const char *yaml)
{
	check_table(yaml, table);
}

/* Makes a file in `dir`. */
static void make_file(const char *name, const char *text, mode_t mode)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
	ck_assert_int_eq(chmod(path, mode), 0);
}

/* What was found, with the folder as DIR. */
static void assert_found(const char *want)
{
	char *got = said(&findings);
	char *at;

	while ((at = strstr(got, dir)) != NULL) {
		memcpy(at, "DIR", 3);
		memmove(at + 3, at + strlen(dir), strlen(at + strlen(dir)) + 1);
	}
	ck_assert_str_eq(got, want);
	free(got);
}

static void assert_secret(const char *want)
{
	const struct bursar_span secret = options_secret(options, "token");

	ck_assert_uint_eq(findings.count, 0);
	ck_assert_uint_eq(secret.size, strlen(want));
	ck_assert_mem_eq(secret.data, want, strlen(want));
}

START_TEST(defaults_stand_where_nothing_is_given)
{
	const char *const *names;

	check("path: /a");

	ck_assert_uint_eq(findings.count, 0);
	ck_assert_str_eq(options_text(options, "format"), "ledger");
	ck_assert_str_eq(options_text(options, "mode"), "fast");
	ck_assert_int_eq(options_number(options, "count"), 10);
	ck_assert_int_eq(options_number(options, "any"), 0);
	ck_assert_int_eq(options_number(options, "buffer"), 65536);
	ck_assert_int_eq(options_number(options, "linger"), 20);
	ck_assert_int_eq(options_number(options, "follow"), 0);
	ck_assert_uint_eq(options_list(options, "names", &names), 2);
	ck_assert_str_eq(names[0], "a");
	ck_assert_str_eq(names[1], "b");
	ck_assert_ptr_null(options_secret(options, "token").data);
	ck_assert(!options_given(options, "count", NULL));
}
END_TEST

START_TEST(given_values_are_taken)
{
	const char *const *names;
	unsigned line;

	check("format: other\npath: a/b.jsonl\nmode: not-at-all\ncount: -5\n"
	      "any: 7\nbuffer: 10M\nlinger: 1h\nfollow: Yes\n"
	      "names: [x, 'y z']\n");

	ck_assert_uint_eq(findings.count, 0);
	ck_assert_str_eq(options_text(options, "format"), "other");
	ck_assert_str_eq(options_text(options, "mode"), "not-at-all");
	ck_assert_int_eq(options_number(options, "count"), -5);
	ck_assert_int_eq(options_number(options, "any"), 7);
	ck_assert_int_eq(options_number(options, "buffer"), 10 << 20);
	ck_assert_int_eq(options_number(options, "linger"), 3600000);
	ck_assert_int_eq(options_number(options, "follow"), 1);
	ck_assert_uint_eq(options_list(options, "names", &names), 2);
	ck_assert_str_eq(names[1], "y z");
	ck_assert(options_given(options, "count", &line));
	ck_assert_uint_eq(line, 4);
}
END_TEST

START_TEST(a_path_is_made_absolute)
{
	char want[128];

	check("path: a/b.jsonl");
	snprintf(want, sizeof(want), "%s/a/b.jsonl", dir);
	ck_assert_str_eq(options_text(options, "path"), want);

	check("path: /a/b.jsonl");
	ck_assert_str_eq(options_text(options, "path"), "/a/b.jsonl");
}
END_TEST

START_TEST(a_list_may_be_one_text)
{
	const char *const *names;

	check("{path: /a, names: x}");

	ck_assert_uint_eq(options_list(options, "names", &names), 1);
	ck_assert_str_eq(names[0], "x");
}
END_TEST

START_TEST(an_empty_optional_value_counts_as_none)
{
	check("{path: /a, any: , token: }");

	ck_assert_uint_eq(findings.count, 0);
	ck_assert_int_eq(options_number(options, "any"), 0);
	ck_assert_ptr_null(options_secret(options, "token").data);
}
END_TEST

#define AT "1: source 'backlog': option "
#define ALL "; there is: format, path, mode, count, any, buffer, linger, " \
	"at-least, follow, names, token, token-file\n"

static const struct { const char *yaml, *want; } mistakes[] = {
	{ "path: /a\npathh: /a", "2: source 'backlog': unknown option 'pathh'; "
	  "did you mean 'path'?\n" },
	{ "path: /a\nFORMAT: x", "2: source 'backlog': unknown option "
	  "'FORMAT'; did you mean 'format'?\n" },
	{ "path: /a\ntoken_file: x", "2: source 'backlog': unknown option "
	  "'token_file'; did you mean 'token-file'?\n" },
	{ "path: /a\nwhatever: x", "2: source 'backlog': unknown option "
	  "'whatever'" ALL },
	{ "{path: /a, linger: 20x}", AT "'linger': '20x' is not a duration; "
	  "write 20ms, 5s, 2m, 1h or 7d\n" },
	{ "{path: /a, linger: 20}", AT "'linger': '20' is not a duration; "
	  "write 20ms, 5s, 2m, 1h or 7d\n" },
	{ "{path: /a, linger: 2h}", AT "'linger': '2h' is too large; it goes "
	  "from 1ms to 1h\n" },
	{ "{path: /a, linger: 0}", AT "'linger': '0' is too small; it goes "
	  "from 1ms to 1h\n" },
	{ "{path: /a, at-least: 1s}", AT "'at-least': '1s' is too small; "
	  "1500ms is the least\n" },
	{ "{path: /a, buffer: 10X}", AT "'buffer': '10X' is not a size; write "
	  "512, 64K, 10M or 1G\n" },
	{ "{path: /a, buffer: 1G}", AT "'buffer': '1G' is too large; it goes "
	  "from 1K to 64M\n" },
	{ "{path: /a, count: 1.5}", AT "'count': '1.5' is not a whole "
	  "number\n" },
	{ "{path: /a, count: -6}", AT "'count': '-6' is too small; it goes "
	  "from -5 to 1000\n" },
	{ "{path: /a, count: 99999999999999999999}", AT "'count': "
	  "'99999999999999999999' is not a whole number\n" },
	{ "{path: /a, any: -1}", AT "'any': '-1' is too small; 0 is the "
	  "least\n" },
	{ "{path: /a, follow: perhaps}", AT "'follow': 'perhaps' is neither "
	  "true nor false\n" },
	{ "{path: /a, mode: slo}", AT "'mode': 'slo' is not a choice; write "
	  "fast, slow or not-at-all\n" },
	{ "{path: /a, mode: \"fast|slow\"}", AT "'mode': 'fast|slow' is not a "
	  "choice; write fast, slow or not-at-all\n" },
	{ "{path: /a, count: [1, 2]}", AT "'count': one value is wanted, not "
	  "a list\n" },
	{ "{path: /a, count: {a: 2}}", AT "'count': one value is wanted, not "
	  "a map\n" },
	{ "{path: /a, names: [a, [b]]}", AT "'names': a list of texts is "
	  "wanted, and here stands none\n" },
	{ "{path: /a, names: {b: c}}", AT "'names': one value is wanted, not "
	  "a map\n" },
	{ "{path: /a, mode: }", AT "'mode': nothing is written there\n" },
	{ "count: 5", AT "'path' is missing: The file to read.\n" },
	{ "path: ", AT "'path': nothing is written there\n" },
	{ "path: ~/usage.jsonl", AT "'path': '~/usage.jsonl': here '~' is no "
	  "folder; write the whole path\n" },
	{ "path: ~", AT "'path': '~': here '~' is no folder; write the whole "
	  "path\n" },
	{ "{path: /a, count: \"${BURSAR_TEST_WORD}\"}", AT "'count': what the "
	  "environment gives is not a whole number\n" },
	{ "{path: /a, count: \"1${BURSAR_TEST_WORD}\"}", AT "'count': what the "
	  "environment gives is not a whole number\n" },
	{ "{path: /a, count: \"${BURSAR_TEST_UNSET}\"}",
	  "1: variable 'BURSAR_TEST_UNSET' is not set in the environment\n" },
	{ "{path: /a, count: 123456789012345678901234567890123456789012345678"
	  "9012345678901234567890}", AT "'count': '12345678901234567890123456"
	  "78901234567890123456789012345678...' is not a whole number\n" },
	{ "count: x\nlinger: y\nzzz: 1\n",
	  "1: source 'backlog': option 'count': 'x' is not a whole number\n"
	  "1: source 'backlog': option 'path' is missing: The file to read.\n"
	  "2: source 'backlog': option 'linger': 'y' is not a duration; write "
	  "20ms, 5s, 2m, 1h or 7d\n"
	  "3: source 'backlog': unknown option 'zzz'" ALL },
	{ "{path: /a, token: hunter2}", AT "'token': write token-file: PATH or "
	  "token: \"${VARIABLE}\"; a secret does not belong in the "
	  "configuration file\n" },
	{ "{path: /a, token: \"x${BURSAR_TEST_WORD}\"}", AT "'token': write "
	  "token-file: PATH or token: \"${VARIABLE}\"; a secret does not belong "
	  "in the configuration file\n" },
	{ "{path: /a, token: \"${BURSAR_TEST_EMPTY}\"}",
	  AT "'token': the variable is empty\n" },
	{ "{path: /a, token-file: none}", AT "'token-file': DIR/none: No such "
	  "file or directory\n" },
	{ "{path: /a, token-file: open}", AT "'token-file': DIR/open: others "
	  "than its owner can get at it; run: chmod 600 DIR/open\n" },
	{ "{path: /a, token-file: group}", AT "'token-file': DIR/group: others "
	  "than its owner can get at it; run: chmod 600 DIR/group\n" },
	{ "{path: /a, token-file: empty}", AT "'token-file': DIR/empty: the "
	  "file is empty\n" },
	{ "{path: /a, token-file: newline}", AT "'token-file': DIR/newline: "
	  "the file is empty\n" },
	{ "{path: /a, token-file: .}", AT "'token-file': DIR/.: it is a folder, "
	  "not a regular file\n" },
	{ "{path: /a, token-file: fifo}", AT "'token-file': DIR/fifo: it is not "
	  "a regular file\n" },
	{ "{path: /a, token-file: huge}", AT "'token-file': DIR/huge: longer "
	  "than 65536 bytes\n" },
	{ "{path: /a, token-file: /dev/null}", AT "'token-file': /dev/null: "
	  "it is not a regular file\n" },
	{ "{path: /a, token-file: good, token: \"${BURSAR_TEST_WORD}\"}",
	  "1: source 'backlog': options 'token' and 'token-file' exclude each "
	  "other; take one\n" },
};

static void make_secret_files(void)
{
	char path[128];
	char *huge = malloc(65538);

	memset(huge, 'x', 65537);
	huge[65537] = '\0';
	make_file("huge", huge, 0600);
	make_file("full", huge + 1, 0600);
	free(huge);
	make_file("good", "s3cret\n", 0600);
	make_file("lines", "one\ntwo\n\n", 0400);
	make_file("open", "s3cret", 0604);
	make_file("group", "s3cret", 0640);
	make_file("empty", "", 0600);
	make_file("newline", "\n", 0600);
	snprintf(path, sizeof(path), "%s/fifo", dir);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
}

START_TEST(every_mistake_is_told_with_its_remedy)
{
	make_secret_files();

	check(mistakes[_i].yaml);

	for (size_t i = 0; i < findings.count; i++) {
		ck_assert_ptr_null(strstr(findings.items[i].text, "hunter"));
		ck_assert_ptr_null(strstr(findings.items[i].text, "s3cret"));
	}
	assert_found(mistakes[_i].want);
}
END_TEST

START_TEST(required_options_are_missed_in_the_line_of_their_section)
{
	conf = parsed("a: 1\n\ns: {format: x}\n", &findings);
	options = options_create(conf_get(conf, "s"), common, needy, "sink 's'",
	                         dir, &findings);

	assert_found("3: sink 's': option 'word' is missing: A word.\n"
	             "3: sink 's': option 'names' is missing: Some names.\n"
	             "3: sink 's': option 'key-file' is missing: The key.\n");
}
END_TEST

START_TEST(an_empty_section_takes_defaults)
{
	options = options_create(NULL, NULL, common, NULL, dir, &findings);

	ck_assert_uint_eq(findings.count, 0);
	ck_assert_str_eq(options_text(options, "format"), "ledger");
}
END_TEST

START_TEST(a_section_that_is_no_map_is_refused)
{
	conf = parsed("s: [a]\nt: x\n", &findings);
	for (const struct conf *c = conf->first; c != NULL; c = c->next) {
		options_destroy(options_create(c, NULL, common, "sink 's'",
		                               dir, &findings));
	}

	assert_found("1: sink 's': a map of options is wanted: {NAME: VALUE}\n"
	             "2: sink 's': a map of options is wanted: "
	             "{NAME: VALUE}\n");
}
END_TEST

START_TEST(a_default_that_cannot_be_is_told)
{
	static const struct bursar_option wrong[] = {
		{ "linger", BURSAR_TYPE_DURATION, "5", "How long." },
		{ NULL }
	};

	options = options_create(NULL, NULL, wrong, "sink 's'", dir, &findings);

	assert_found("sink 's': option 'linger': its default is not a "
	             "duration; write 20ms, 5s, 2m, 1h or 7d\n");
}
END_TEST

START_TEST(a_secret_comes_from_a_file_without_its_last_newline)
{
	make_secret_files();

	check("{path: /a, token-file: good}");
	assert_secret("s3cret");
	check("{path: /a, token-file: lines}");
	assert_secret("one\ntwo\n");
	check("{path: /a, token-file: full}");
	ck_assert_uint_eq(findings.count, 0);
	ck_assert_uint_eq(options_secret(options, "token").size, 65536);
}
END_TEST

START_TEST(a_secret_of_a_file_is_as_old_as_the_file)
{
	const struct timespec times[2] = {
		{ .tv_nsec = UTIME_NOW }, { 1700000000, 123456000 },
	};
	const char *name = NULL;
	char path[128];
	int64_t modified = 0;

	make_secret_files();
	snprintf(path, sizeof(path), "%s/good", dir);
	ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
	check("{path: /a, token-file: good}");

	ck_assert(options_secret_file(options, 0, &name, &modified));
	ck_assert_str_eq(name, "token");
	ck_assert_int_eq(modified, INT64_C(1700000000123456));
	ck_assert(!options_secret_file(options, 1, &name, &modified));
	ck_assert(!options_secret_file(NULL, 0, &name, &modified));
}
END_TEST

START_TEST(a_secret_comes_from_the_environment)
{
	const char *name;
	int64_t modified;

	check("{path: /a, token: \"${BURSAR_TEST_WORD}\"}");

	assert_secret("hunter2");
	ck_assert(!options_secret_file(options, 0, &name, &modified));
}
END_TEST

START_TEST(a_secret_comes_from_a_credential_of_systemd)
{
	char credentials[FOLDER_SIZE + 16];

	snprintf(credentials, sizeof(credentials), "%s/credentials", dir);
	ck_assert_int_eq(mkdir(credentials, 0700), 0);
	setenv("CREDENTIALS_DIRECTORY", credentials, 1);
	make_file("credentials/token", "from systemd", 0440);
	make_file("credentials/public", "from systemd", 0444);
	make_file("token", "from the folder", 0600);
	make_file("other", "from the folder", 0600);

	check("{path: /a, token-file: token}");
	assert_secret("from systemd");
	check("{path: /a, token-file: ./token}");
	assert_secret("from the folder");
	check("{path: /a, token-file: other}");
	assert_secret("from the folder");
	check("{path: /a, token-file: credentials/token}");
	assert_secret("from systemd");
	check("{path: /a, token-file: public}");
	ck_assert_uint_eq(findings.count, 1);
}
END_TEST

START_TEST(a_file_of_another_user_is_no_secret)
{
	char path[128];

	if (geteuid() != 0) {
		return;
	}
	make_file("theirs", "s3cret", 0600);
	snprintf(path, sizeof(path), "%s/theirs", dir);
	ck_assert_int_eq(chown(path, 12345, 0), 0);

	check("{path: /a, token-file: theirs}");

	assert_found(AT "'token-file': DIR/theirs: belongs to user 12345; it "
	             "must belong to root or to the user that runs this\n");
}
END_TEST

START_TEST(the_digest_tells_whether_a_secret_changed)
{
	char digest[3][CONF_DIGEST_SIZE];
	static const char *const texts[] = { "one", "one", "two" };

	for (int i = 0; i < 3; i++) {
		make_file("token", texts[i], 0600);
		check("{path: /a, token-file: token}");
		options_digest(options, digest[i]);
	}

	ck_assert_str_eq(digest[0], digest[1]);
	ck_assert_str_ne(digest[0], digest[2]);
}
END_TEST

START_TEST(an_option_that_was_not_declared_aborts)
{
	check("path: /a");
	fclose(stderr);
	folder_remove(dir);		/* what aborts is not stopped */
	options_text(options, "pathh");
}
END_TEST

START_TEST(an_option_of_another_type_aborts)
{
	check("path: /a");
	fclose(stderr);
	folder_remove(dir);
	options_number(options, "path");
}
END_TEST

static const struct { const char *word, *want; } near_words[] = {
	{ "pathh", "path" }, { "pth", "path" }, { "paht", "path" },
	{ "PATH", "path" }, { "phi_ttl_days", "phi-ttl-days" },
	{ "phi-tll-day", "phi-ttl-days" }, { "path", "path" },
	{ "pat", "path" }, { "ix", "id" }, { "ab", NULL }, { "", NULL },
	{ "x", NULL },
	{ "thap", NULL }, { "discard", NULL },
	{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL },
};

START_TEST(the_nearest_word_is_offered)
{
	static const char *const words[] = {
		"path", "paths-of-many", "phi-ttl-days", "id", NULL,
	};

	const char *got = options_nearest(near_words[_i].word, words);

	ck_assert_pstr_eq(got, near_words[_i].want);
}
END_TEST

static const struct { const char *text; int64_t want; } sizes[] = {
	{ "0", 0 }, { "512", 512 }, { "64K", 65536 }, { "64k", 65536 },
	{ "10M", 10 << 20 }, { "1G", 1 << 30 }, { "8388607T", 9223370937343148032 },
	{ "8388608T", -1 }, { "", -1 }, { "K", -1 }, { "-1", -1 }, { "+1", -1 },
	{ " 1", -1 }, { "1 K", -1 }, { "1KB", -1 }, { "1.5M", -1 },
	{ "0x10", -1 }, { "99999999999999999999", -1 },
};

START_TEST(sizes_are_understood)
{
	int64_t got = -1;

	ck_assert(options_parse_size(sizes[_i].text, &got) ==
	          (sizes[_i].want >= 0));
	if (sizes[_i].want >= 0) {
		ck_assert_int_eq(got, sizes[_i].want);
	}
}
END_TEST

static const struct { const char *text; int64_t want; } durations[] = {
	{ "0", 0 }, { "250ms", 250 }, { "5s", 5000 }, { "2m", 120000 },
	{ "1h", 3600000 }, { "7d", 604800000 }, { "7D", 604800000 },
	{ "106751991167d", 9223372036828800000 }, { "106751991168d", -1 },
	{ "5", -1 }, { "-5s", -1 }, { "s", -1 }, { "", -1 }, { "5 s", -1 },
	{ "5sec", -1 }, { "1h30m", -1 },
};

START_TEST(durations_are_understood)
{
	int64_t got = -1;

	ck_assert(options_parse_duration(durations[_i].text, &got) ==
	          (durations[_i].want >= 0));
	if (durations[_i].want >= 0) {
		ck_assert_int_eq(got, durations[_i].want);
	}
}
END_TEST

static void add_values(Suite *s)
{
	TCase *values = tcase_create("values");

	tcase_add_checked_fixture(values, start, stop);
	tcase_add_test(values, defaults_stand_where_nothing_is_given);
	tcase_add_test(values, given_values_are_taken);
	tcase_add_test(values, a_path_is_made_absolute);
	tcase_add_test(values, a_list_may_be_one_text);
	tcase_add_test(values, an_empty_optional_value_counts_as_none);
	tcase_add_test(values, an_empty_section_takes_defaults);
	tcase_add_loop_test(values, sizes_are_understood, 0, COUNT(sizes));
	tcase_add_loop_test(values, durations_are_understood, 0,
	                    COUNT(durations));
	tcase_add_test_raise_signal(values,
		an_option_that_was_not_declared_aborts, SIGABRT);
	tcase_add_test_raise_signal(values, an_option_of_another_type_aborts,
	                            SIGABRT);
	suite_add_tcase(s, values);
}

static void add_mistakes(Suite *s)
{
	TCase *wrong = tcase_create("mistakes");

	tcase_add_checked_fixture(wrong, start, stop);
	tcase_add_loop_test(wrong, every_mistake_is_told_with_its_remedy, 0,
	                    COUNT(mistakes));
	tcase_add_test(wrong,
		required_options_are_missed_in_the_line_of_their_section);
	tcase_add_test(wrong, a_section_that_is_no_map_is_refused);
	tcase_add_test(wrong, a_default_that_cannot_be_is_told);
	tcase_add_loop_test(wrong, the_nearest_word_is_offered, 0,
	                    COUNT(near_words));
	suite_add_tcase(s, wrong);
}

static void add_secrets(Suite *s)
{
	TCase *secrets = tcase_create("secrets");

	tcase_add_checked_fixture(secrets, start, stop);
	tcase_add_test(secrets,
		a_secret_comes_from_a_file_without_its_last_newline);
	tcase_add_test(secrets, a_secret_of_a_file_is_as_old_as_the_file);
	tcase_add_test(secrets, a_secret_comes_from_the_environment);
	tcase_add_test(secrets, a_secret_comes_from_a_credential_of_systemd);
	tcase_add_test(secrets, a_file_of_another_user_is_no_secret);
	tcase_add_test(secrets, the_digest_tells_whether_a_secret_changed);
	suite_add_tcase(s, secrets);
}

int main(void)
{
	Suite *s = suite_create("options");

	add_values(s);
	add_mistakes(s);
	add_secrets(s);

	SRunner *runner = srunner_create(s);

	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
