/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Keys and checks.  The numbers were made with another implementation of
 * BLAKE2b: a stored ledger must be understood for ever.
 */
#include "config.h"

#include <stdlib.h>

#include <check.h>
#include <sodium.h>

#include "core/flow/identity.h"
#include "core/plugin/schema.h"

#define COUNT(array) (int)(sizeof(array) / sizeof(array[0]))

static const struct bursar_kind *kind_of(const char *name)
{
	return bursar_kind_find(&schema, name, strlen(name));
}

static void assert_key(const char *kind, const char *id, size_t size,
                       const char *want)
{
	uint8_t key[16];
	char hex[33];

	identity_key(kind_of(kind), id, size, key);
	sodium_bin2hex(hex, sizeof(hex), key, sizeof(key));
	ck_assert_str_eq(hex, want);
}

START_TEST(a_key_is_blake2b_of_kind_and_id)
{
	char id[300];

	memset(id, 'x', sizeof(id));
	assert_key("metering", "m1", 2, "560d9fc3e6b473860e14ad7b52273770");
	assert_key("prompt", "m1", 2, "723d2b383468e3fede54fbcae248d84b");
	assert_key("metering", "", 0, "ac43be8a27292090bbaa52a7d4e4926f");
	assert_key("metering", id, sizeof(id),
	           "e96897185c9dd7324120ecb792994ff3");
}
END_TEST

START_TEST(a_key_is_the_same_by_either_way_of_hashing)
{
	uint8_t whole[16];
	uint8_t want[16];
	uint8_t all[400];
	char id[300];

	/* Around the size at which the way changes. */
	for (size_t size = 240; size < 260; size++) {
		memset(id, (int)size, sizeof(id));
		memcpy(all, "metering", 9);
		memcpy(all + 9, id, size);
		crypto_generichash(want, 16, all, 9 + size, NULL, 0);

		identity_key(kind_of("metering"), id, size, whole);

		ck_assert_mem_eq(whole, want, 16);
	}
}
END_TEST

static uint64_t check_of(const char *body)
{
	const size_t size = strlen(body);
	char *padded = calloc(1, size + 64);
	char *scratch = malloc(size + 64);

	ck_assert(padded != NULL && scratch != NULL);
	memcpy(padded, body, size);
	const uint64_t check = identity_check(padded, size, scratch);
	free(padded);
	free(scratch);
	return check;
}

static const char *const same[] = {
	"{\"a\":[1,\"b c\\\" d\"]}",
	"{ \"a\": [ 1, \"b c\\\" d\" ] }",
	"\n{\t\"a\" :\r\n[1 ,\"b c\\\" d\"]}\n\n",
};

START_TEST(a_check_leaves_out_white_space_between_tokens)
{
	ck_assert_uint_eq(check_of(same[_i]), UINT64_C(0x3c34847a9becf9b4));
}
END_TEST

static const char *const others[] = {
	"{\"a\":[1,\"b  c\\\" d\"]}",
	"{\"a\":[1,\"bc\\\" d\"]}",
	"{\"a\":[1,\"b c\\\" d \"]}",
	"{\"a\":[2,\"b c\\\" d\"]}",
	"{\"a\":[1,\"b c\\\" d\"]",
};

START_TEST(a_check_tells_other_content)
{
	ck_assert_uint_ne(check_of(others[_i]), check_of(same[0]));
}
END_TEST

START_TEST(an_empty_body_has_a_check)
{
	ck_assert_uint_eq(check_of(""), UINT64_C(0x40bdefd94169e6ca));
}
END_TEST

static struct bursar_record *record;

static void start(void)
{
	const struct bursar_kind *kind = kind_of("tool");

	record = calloc(1, sizeof(*record) +
	                kind->field_count * sizeof(record->values[0]));
	ck_assert_ptr_nonnull(record);
	record->kind = kind;
	bursar_set_text(record, BURSAR_MESSAGE_ID, "m1", 2);
	bursar_set_number(record, BURSAR_RECORDED_AT, 1793491200000000);
	bursar_set_number(record, BURSAR_DQ_FLAGS, -1);
}

static void stop(void)
{
	free(record);
}

/* The text that the header describes, hashed in one piece. */
START_TEST(a_row_hash_covers_every_field_that_is_set)
{
	static const char all[] =
		"message_id\0\1\2\0\0\0\0\0\0\0m1"
		"recorded_at\0\2\x00\x40\xe2\xb5\x2b\x5f\x06\x00"
		"dq_flags\0\2\xff\xff\xff\xff\xff\xff\xff\xff";
	uint8_t hash[16];
	int64_t want;

	crypto_generichash(hash, 16, (const uint8_t *)all, sizeof(all) - 1,
	                   NULL, 0);
	memcpy(&want, hash, sizeof(want));

	ck_assert_int_eq(identity_row_hash(record), want);
}
END_TEST

START_TEST(a_row_hash_changes_with_any_field_but_its_own)
{
	for (size_t i = 0; i < record->kind->field_count; i++) {
		const int64_t before = identity_row_hash(record);
		const struct bursar_value kept = record->values[i];
		const enum bursar_field_type type = record->kind->fields[i].type;

		if (type == BURSAR_TEXT || type == BURSAR_JSON) {
			bursar_set_text(record, (int)i, "other", 5);
		} else {
			bursar_set_number(record, (int)i, 7);
		}
		const int64_t after = identity_row_hash(record);
		record->values[i] = kept;

		ck_assert((before == after) == (i == BURSAR_ROW_HASH));
	}
}
END_TEST

START_TEST(a_row_hash_tells_an_empty_text_from_none)
{
	const int64_t before = identity_row_hash(record);

	bursar_set_text(record, BURSAR_SOURCE_NAME, "", 0);

	ck_assert_int_ne(identity_row_hash(record), before);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("identity");

	TCase *ids = tcase_create("ids");
	tcase_add_test(ids, a_key_is_blake2b_of_kind_and_id);
	tcase_add_test(ids, a_key_is_the_same_by_either_way_of_hashing);
	suite_add_tcase(s, ids);

	TCase *bodies = tcase_create("bodies");
	tcase_add_loop_test(bodies,
		a_check_leaves_out_white_space_between_tokens, 0, COUNT(same));
	tcase_add_loop_test(bodies, a_check_tells_other_content, 0,
	                    COUNT(others));
	tcase_add_test(bodies, an_empty_body_has_a_check);
	suite_add_tcase(s, bodies);

	TCase *rows = tcase_create("rows");
	tcase_add_checked_fixture(rows, start, stop);
	tcase_add_test(rows, a_row_hash_covers_every_field_that_is_set);
	tcase_add_test(rows, a_row_hash_changes_with_any_field_but_its_own);
	tcase_add_test(rows, a_row_hash_tells_an_empty_text_from_none);
	suite_add_tcase(s, rows);

	SRunner *runner = srunner_create(s);

	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
