/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Loading of modules, sound ones and every sort of bad one.  The modules stand
 * in tests/modules; those that no compiler makes are made here, of a sound one.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <check.h>

#include <bursar/sink.h>

#include "plugin/module.h"
#include "plugin/objfile.h"
#include "tests/folder.h"

#define MODULES TESTS_DIR "/modules"

static char folder[FOLDER_SIZE];
static struct bursar_error err;

static void setup(void)
{
	memset(&err, 0, sizeof(err));
	folder_make(folder);
	ck_assert_int_eq(setenv("BURSAR_PLUGIN_PATH", MODULES, 1), 0);
}

static void teardown(void)
{
	folder_remove(folder);
}

/* Writes the first `part` percent of a sound module to folder/file. */
static void copy_module(const char *file, unsigned part)
{
	static char bytes[1 << 20];
	char path[256];
	const int in = open(MODULES "/.libs/sink_sound.so", O_RDONLY);

	ck_assert_int_ge(in, 0);
	const ssize_t size = read(in, bytes, sizeof(bytes));
	ck_assert_int_gt(size, 1000);
	close(in);

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	const int out = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	ck_assert_int_ge(out, 0);
	ck_assert_int_gt(write(out, bytes, (size_t)size * part / 100), 0);
	close(out);
}

static void write_text(const char *file, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	FILE *out = fopen(path, "w");
	ck_assert_ptr_nonnull(out);
	fputs(text, out);
	fclose(out);
}

static void search_folder_only(void)
{
	ck_assert_int_eq(setenv("BURSAR_PLUGIN_PATH", folder, 1), 0);
}

static void chmod_in_folder(const char *file, mode_t mode)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	ck_assert_int_eq(chmod(path, mode), 0);
}

START_TEST(loads_a_sound_module_once)
{
	const struct bursar_plugin *first =
		module_load(BURSAR_SINK, "sound", &err);
	const struct bursar_plugin *second =
		module_load(BURSAR_SINK, "sound", &err);

	ck_assert_msg(first != NULL, "%s", err.text);
	ck_assert_ptr_eq(first, second);
	ck_assert_str_eq(first->name, "sound");
	ck_assert_int_eq(err.code, 0);
}
END_TEST

START_TEST(finds_a_module_below_the_parent_of_its_folder)
{
	char below[256];

	snprintf(below, sizeof(below), "%s/sinks", folder);
	ck_assert_int_eq(mkdir(below, 0755), 0);
	copy_module("sinks/sink_sound.so", 100);
	search_folder_only();

	ck_assert_msg(module_load(BURSAR_SINK, "sound", &err) != NULL, "%s",
	              err.text);
}
END_TEST

START_TEST(takes_the_first_folder_of_the_path_that_has_it)
{
	char path[512];

	write_text("sink_sound.so", "garbage");
	snprintf(path, sizeof(path), "/nowhere:%s:%s", MODULES, folder);
	setenv("BURSAR_PLUGIN_PATH", path, 1);

	ck_assert_msg(module_load(BURSAR_SINK, "sound", &err) != NULL, "%s",
	              err.text);
}
END_TEST

static const struct {
	const char *name;
	int code;
	const char *says;
} bad[] = {
	{ "old",         EPROTO,  "build or install it anew" },
	{ "other_kind",  EPROTO,  "another kind" },
	{ "renamed",     EPROTO,  "calls itself 'first_name'" },
	{ "no_write",    EPROTO,  "no operation 'write'" },
	{ "no_ops",      EPROTO,  "no operations" },
	{ "no_options",  EPROTO,  "no options" },
	{ "no_help",     EPROTO,  "'depth'" },
	{ "no_symbol",   EPROTO,  "not a plugin" },
	{ "unresolved",  ENOEXEC, "nobody_has_this" },
	{ "",            EINVAL,  "not the name" },
	{ "../sound",    EINVAL,  "not the name" },
	{ "/etc/passwd", EINVAL,  "not the name" },
	{ "sound.so",    EINVAL,  "not the name" },
	{ "soundd",      ENOENT,  "is 'sound' meant?" },
	{ "quicksilver", ENOENT,  "install the package" },
};

START_TEST(refuses_a_bad_one_and_says_why)
{
	const struct bursar_plugin *plugin =
		module_load(BURSAR_SINK, bad[_i].name, &err);

	ck_assert_ptr_null(plugin);
	ck_assert_msg(strstr(err.text, bad[_i].says) != NULL, "%s: %s",
	              bad[_i].name, err.text);
	ck_assert_int_eq(err.code, bad[_i].code);
}
END_TEST

START_TEST(goes_on_after_a_bad_one)
{
	ck_assert_ptr_null(module_load(BURSAR_SINK, "unresolved", NULL));
	ck_assert_ptr_null(module_load(BURSAR_SINK, "old", NULL));
	ck_assert_msg(module_load(BURSAR_SINK, "sound", &err) != NULL, "%s",
	              err.text);
}
END_TEST

START_TEST(refuses_a_file_of_garbage)
{
	static char text[4097];

	memset(text, '#', sizeof(text) - 1);
	write_text("sink_sound.so", text);
	search_folder_only();

	ck_assert_ptr_null(module_load(BURSAR_SINK, "sound", &err));
	ck_assert_int_eq(err.code, ENOEXEC);
	ck_assert_msg(strstr(err.text, "ELF") != NULL, "%s", err.text);
}
END_TEST

static const unsigned parts[] = { 1, 10, 30, 50, 75, 90, 99 };

START_TEST(refuses_a_file_that_is_cut_short)
{
	copy_module("sink_sound.so", parts[_i]);
	search_folder_only();

	ck_assert_ptr_null(module_load(BURSAR_SINK, "sound", &err));
	ck_assert_int_eq(err.code, ENOEXEC);
	ck_assert_msg(strstr(err.text, "sink_sound.so: file too short") ||
	              strstr(err.text, "sink_sound.so: the file is cut short"),
	              "%s", err.text);
}
END_TEST

START_TEST(refuses_a_file_that_others_can_write)
{
	copy_module("sink_sound.so", 100);
	chmod_in_folder("sink_sound.so", 0666);
	search_folder_only();

	ck_assert_ptr_null(module_load(BURSAR_SINK, "sound", &err));
	ck_assert_int_eq(err.code, EPERM);
	ck_assert_ptr_nonnull(strstr(err.text, "sink_sound.so"));
}
END_TEST

START_TEST(refuses_a_folder_that_others_can_write)
{
	copy_module("sink_sound.so", 100);
	chmod_in_folder(".", 01777);
	search_folder_only();

	ck_assert_ptr_null(module_load(BURSAR_SINK, "sound", &err));
	ck_assert_int_eq(err.code, EPERM);
	ck_assert_ptr_nonnull(strstr(err.text, "others can write"));
}
END_TEST

START_TEST(tells_what_is_bound_at_once_by_itself)
{
	write_text("short", "\177ELF");

	ck_assert(objfile_binds_now(MODULES "/.libs/format_sound.so"));
	ck_assert(!objfile_binds_now(MODULES "/.libs/sink_sound.so"));
	ck_assert(!objfile_binds_now(MODULES "/.libs/nothing.so"));
	ck_assert_int_eq(chdir(folder), 0);
	ck_assert(!objfile_binds_now("short"));
}
END_TEST

/* Neither root nor us. */
static uid_t a_stranger(void)
{
	return geteuid() + 4711;
}

/* What is another's, the file or its folder. */
static const char *const owned[] = { "sink_sound.so", "." };

START_TEST(refuses_what_belongs_to_somebody_else)
{
	char path[256];

	if (geteuid() != 0) {
		return;		/* only root can give a file away */
	}
	copy_module("sink_sound.so", 100);
	search_folder_only();
	snprintf(path, sizeof(path), "%s/%s", folder, owned[_i]);
	ck_assert_int_eq(chown(path, a_stranger(), (gid_t)-1), 0);

	ck_assert_ptr_null(module_load(BURSAR_SINK, "sound", &err));
	ck_assert_int_eq(err.code, EPERM);
	ck_assert_ptr_nonnull(strstr(err.text, "belongs to user 4711"));
	ck_assert_ptr_nonnull(strstr(err.text, "chown root"));
	ck_assert_int_eq(chown(path, 0, (gid_t)-1), 0);
}
END_TEST

/* As the daemon runs: its own files and root's are good, another's are not. */
START_TEST(takes_what_belongs_to_root_or_to_its_own_user)
{
	if (geteuid() != 0) {
		return;
	}
	copy_module("sink_sound.so", 100);
	search_folder_only();
	chmod_in_folder(".", 0755);
	ck_assert_int_eq(chown(folder, a_stranger(), (gid_t)-1), 0);
	ck_assert_int_eq(seteuid(a_stranger()), 0);

	/* TMPDIR may be closed to all others. */
	const bool gets_there = faccessat(AT_FDCWD, folder, X_OK,
	                                  AT_EACCESS) == 0;
	const struct bursar_plugin *plugin =
		module_load(BURSAR_SINK, "sound", &err);
	ck_assert_int_eq(seteuid(0), 0);
	ck_assert_int_eq(chown(folder, 0, (gid_t)-1), 0);
	if (!gets_there) {
		fprintf(stderr, "SKIP: another user: none gets to %s\n",
		        folder);
		return;
	}
	ck_assert_msg(plugin != NULL, "%s", err.text);
}
END_TEST

static size_t seen;
static size_t seen_broken;
static char   seen_names[1024];

static void see(void *context, enum bursar_plugin_kind kind, const char *name,
                const char *file, const struct bursar_plugin *plugin,
                const struct bursar_error *why)
{
	ck_assert_ptr_eq(context, &seen);
	if (kind != BURSAR_SINK) {
		return;
	}
	ck_assert_msg(access(file, F_OK) == 0, "%s", file);
	ck_assert((plugin == NULL) == (why->code != 0));
	seen++;
	seen_broken += plugin == NULL;
	snprintf(seen_names + strlen(seen_names),
	         sizeof(seen_names) - strlen(seen_names), "%s ", name);
}

START_TEST(lists_all_in_order_with_what_is_wrong_with_them)
{
	module_each(see, &seen);

	ck_assert_uint_eq(seen, 12);
	ck_assert_uint_eq(seen_broken, 9);
	ck_assert_str_eq(seen_names,
	                 "moody no_help no_ops no_options no_symbol "
	                 "no_write old other_kind renamed sound stuck "
	                 "unresolved ");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("module");
	TCase *t = tcase_create("load");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, loads_a_sound_module_once);
	tcase_add_test(t, finds_a_module_below_the_parent_of_its_folder);
	tcase_add_test(t, takes_the_first_folder_of_the_path_that_has_it);
	tcase_add_loop_test(t, refuses_a_bad_one_and_says_why, 0,
	                    sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(t, goes_on_after_a_bad_one);
	tcase_add_test(t, refuses_a_file_of_garbage);
	tcase_add_loop_test(t, refuses_a_file_that_is_cut_short, 0,
	                    sizeof(parts) / sizeof(parts[0]));
	tcase_add_test(t, tells_what_is_bound_at_once_by_itself);
	tcase_add_test(t, refuses_a_file_that_others_can_write);
	tcase_add_test(t, refuses_a_folder_that_others_can_write);
	tcase_add_loop_test(t, refuses_what_belongs_to_somebody_else, 0,
	                    sizeof(owned) / sizeof(owned[0]));
	tcase_add_test(t, takes_what_belongs_to_root_or_to_its_own_user);
	tcase_add_test(t, lists_all_in_order_with_what_is_wrong_with_them);
	suite_add_tcase(s, t);
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
