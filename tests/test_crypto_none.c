/* SPDX-License-Identifier: Apache-2.0 */

/* The crypto that opens nothing, loaded as the daemon loads it. */
#include "config.h"

#include <stdlib.h>

#include <check.h>

#include <bursar/crypto.h>

#include "tests/fakehost.h"

START_TEST(lists_no_encoding_and_leaves_bodies_as_they_are)
{
	const struct bursar_plugin *plugin = fakehost_load("crypto", "none");
	const struct bursar_crypto_ops *ops = plugin->ops.crypto;
	const struct bursar_message message = { .body = { "{}", 2 } };
	struct bursar_sealed items[2] = {
		{ .message = &message }, { .message = &message },
	};
	struct bursar_error err = { 0 };
	struct fakehost host;
	struct fakearena arena;

	fakehost_init(&host, NULL);
	fakehost_declare(&host, plugin->options);
	fakearena_init(&arena);
	struct bursar_crypto *crypto = ops->open(&host.host, &err);

	ck_assert_ptr_null(ops->encodings[0]);
	ck_assert_ptr_nonnull(crypto);
	ck_assert_int_eq(ops->unseal(crypto, items, 2, &arena.arena, &err),
	                 BURSAR_DONE);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(items[i].result, BURSAR_OPENED);
		ck_assert_ptr_eq(items[i].plain.data, message.body.data);
		ck_assert_uint_eq(items[i].plain.size, 2);
	}
	ck_assert_ptr_null(ops->seal);
	ck_assert_ptr_null(ops->keygen);

	ops->close(crypto);
	fakearena_clear(&arena);
	fakehost_finish(&host);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("crypto_none");
	TCase *tcase = tcase_create("none");

	tcase_add_test(tcase, lists_no_encoding_and_leaves_bodies_as_they_are);
	suite_add_tcase(s, tcase);

	SRunner *runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
