/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bodies in their columns, under a crypto of this file that does what it is
 * told to.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>
#include <sodium.h>

#include "core/flow/bodies.h"
#include "core/flow/identity.h"
#include "core/plugin/schema.h"

#define PROMPT 1
#define BODY   "{\"text\":\"a quixotic plan\"}"

/* --- a crypto that turns bytes around ------------------------------------ */

static struct {
	const char *key;
	size_t key_changes;	/* the key is another after so many */
	size_t fails_after;	/* SIZE_MAX: never */
	enum bursar_verdict verdict;
	bool   bytes;		/* what it makes is no text */
	const char *header;	/* value of a header; NULL: none */
	size_t sealed;
} fake;

static enum bursar_verdict fake_seal(struct bursar_crypto *crypto,
                                     struct bursar_span plain,
                                     struct bursar_seal *out,
                                     struct bursar_arena *arena,
                                     struct bursar_error *err)
{
	static const char hex[] = "0123456789abcdef";
	char *body = arena->alloc(arena, 2 * plain.size);

	(void)crypto;
	ck_assert_ptr_nonnull(body);
	if (fake.sealed++ >= fake.fails_after) {
		bursar_fail(err, EAGAIN, "no key");
		return fake.verdict;
	}
	for (size_t i = 0; i < plain.size; i++) {
		const unsigned char c = (unsigned char)~plain.data[i];

		body[fake.bytes ? i : 2 * i] = fake.bytes ? (char)c
		                                          : hex[c >> 4];
		if (!fake.bytes) {
			body[2 * i + 1] = hex[c & 15];
		}
	}
	out->encoding = "encrypted/fa;ke:1";
	out->body = (struct bursar_span){
		body, fake.bytes ? plain.size : 2 * plain.size };
	if (fake.header != NULL) {
		out->headers[0] = (struct bursar_header){
			{ "x=y", 3 }, { fake.header, strlen(fake.header) } };
		out->header_count = 1;
	}
	if (fake.sealed > fake.key_changes) {
		fake.key = "new";
	}
	out->key_id = (struct bursar_span){ fake.key, strlen(fake.key) };
	return BURSAR_DONE;
}

static const char *const encodings[] = { "encrypted/fa;ke:1", NULL };
static const struct bursar_crypto_ops ops = {
	.encodings = encodings, .seal = fake_seal,
};

/* --- a record ------------------------------------------------------------ */

static struct keyring keyring;
static struct arena keep, scratch;
static struct bursar_record *record;
static struct bursar_error err;
static int request, response;

static void setup(void)
{
	const struct bursar_kind *kind = &schema.kinds[PROMPT];

	fake.key = "old";
	fake.key_changes = fake.fails_after = SIZE_MAX;
	fake.verdict = BURSAR_RETRY;
	fake.bytes = false;
	fake.header = NULL;
	fake.sealed = 0;
	memset(&err, 0, sizeof(err));
	keyring_init(&keyring, "own", &ops, NULL);
	arena_init(&keep);
	arena_init(&scratch);
	record = calloc(1, sizeof(*record) +
	                kind->field_count * sizeof(record->values[0]));
	ck_assert_ptr_nonnull(record);
	record->kind = kind;
	request = bursar_field_find(kind, "request_json");
	response = bursar_field_find(kind, "response_json");
	bursar_set_text(record, BURSAR_MESSAGE_ID, "m-1", 3);
	bursar_set_text(record, request, BODY, strlen(BODY));
	bursar_set_text(record, response, "", 0);
}

static void teardown(void)
{
	free(record);
	arena_clear(&keep);
	arena_clear(&scratch);
	arena_pool_drain();
	keyring_finish(&keyring);
}

static enum bursar_verdict seal(void)
{
	return bodies_seal(&keyring, record, &keep, &scratch, &err);
}

static struct bursar_span text_of(int field)
{
	return (struct bursar_span){ record->values[field].text,
	                             record->values[field].size };
}

static bool is(struct bursar_span text, const char *want)
{
	return text.size == strlen(want) &&
	       memcmp(text.data, want, text.size) == 0;
}

/* What unseal() of the crypto would make of the body. */
static struct bursar_span turn_back(struct bursar_span body)
{
	const size_t size = fake.bytes ? body.size : body.size / 2;
	char *plain = arena_alloc(&keep, size);

	for (size_t i = 0; i < size; i++) {
		char hex[3] = { 0 };

		if (!fake.bytes) {
			memcpy(hex, body.data + 2 * i, 2);
		}
		plain[i] = (char)~(fake.bytes ? (unsigned char)body.data[i]
		                   : (unsigned char)strtol(hex, NULL, 16));
	}
	return (struct bursar_span){ plain, size };
}

static bool take(struct bursar_span column, int field, const char *id,
                 bool derived, struct bursar_span *text)
{
	const struct bodies_place place = {
		&schema.kinds[PROMPT], &schema.kinds[PROMPT].fields[field],
		{ id, strlen(id) }, derived,
	};
	struct bursar_header headers[BODIES_HEADERS];
	struct bursar_message message;
	bool memory;

	ck_assert(bodies_parse(column, &message, headers, &keep.base,
	                       &memory));
	ck_assert(is(message.content_encoding, encodings[0]));
	ck_assert_uint_eq(message.header_count, fake.header != NULL);
	if (fake.header != NULL) {
		ck_assert(is(headers[0].name, "x=y"));
		ck_assert(is(headers[0].value, fake.header));
	}
	return bodies_take(&place, turn_back(message.body), text);
}

/* --- tests --------------------------------------------------------------- */

START_TEST(seals_every_body_and_says_the_key)
{
	struct bursar_span text;

	ck_assert_int_eq(seal(), BURSAR_DONE);
	ck_assert(is(text_of(BURSAR_SEALED_BY), "own/old"));
	ck_assert_ptr_null(memmem(record->values[request].text,
	                          record->values[request].size, "quixotic",
	                          8));
	ck_assert(take(text_of(request), request, "m-1", false, &text));
	ck_assert(is(text, BODY));
	ck_assert(take(text_of(response), response, "m-1", false, &text));
	ck_assert_uint_eq(text.size, 0);
	ck_assert_int_eq(record->values[BURSAR_ROW_HASH].number,
	                 identity_row_hash(record));
}
END_TEST

START_TEST(any_cipher_fits_into_a_column)
{
	static const char *const headers[] = {
		NULL, "", "a;b:c%=d", "\x01\xff caf\xc3\xa9", "MDEyMw==",
	};
	struct bursar_span text;

	fake.bytes = _i % 2;
	fake.header = headers[_i / 2];
	ck_assert_int_eq(seal(), BURSAR_DONE);
	for (size_t i = 0; i < record->values[request].size; i++) {
		ck_assert_int_ge(record->values[request].text[i], '!');
		ck_assert_int_le(record->values[request].text[i], '~');
	}
	ck_assert(take(text_of(request), request, "m-1", false, &text));
	ck_assert(is(text, BODY));
}
END_TEST

START_TEST(opens_at_its_place_and_nowhere_else)
{
	struct bursar_span text;

	ck_assert_int_eq(seal(), BURSAR_DONE);
	ck_assert(!take(text_of(request), response, "m-1", false, &text));
	ck_assert(!take(text_of(request), request, "m-2", false, &text));
	ck_assert(!take(text_of(request), request, "m-", false, &text));
	ck_assert(take(text_of(request), request, "m-1", true, &text));
}
END_TEST

/* A sink gives a record without an id the first number that is free. */
START_TEST(a_numbered_id_opens_as_the_first_one)
{
	struct bursar_span text;

	bursar_set_text(record, BURSAR_MESSAGE_ID, "abc#0", 5);
	ck_assert_int_eq(seal(), BURSAR_DONE);
	ck_assert(take(text_of(request), request, "abc#12", true, &text));
	ck_assert(is(text, BODY));
	ck_assert(!take(text_of(request), request, "abc#12", false, &text));
	ck_assert(!take(text_of(request), request, "abd#12", true, &text));
	ck_assert(!take(text_of(request), request, "abc#", true, &text));
}
END_TEST

START_TEST(without_a_key_the_record_stays_as_it_was)
{
	fake.verdict = _i == 0 ? BURSAR_RETRY : _i == 1 ? BURSAR_CONFIG
	             : BURSAR_REJECT;
	fake.fails_after = 1;	/* the second column */
	ck_assert_int_eq(seal(), fake.verdict);
	ck_assert_int_ne(err.code, 0);
	ck_assert(is(text_of(request), BODY));
	ck_assert(!record->values[BURSAR_SEALED_BY].is_set);
	ck_assert(!record->values[BURSAR_ROW_HASH].is_set);
}
END_TEST

START_TEST(one_key_holds_for_all_of_a_record)
{
	struct bursar_span text;

	fake.key_changes = 1;	/* between its columns */
	ck_assert_int_eq(seal(), BURSAR_DONE);
	ck_assert_uint_eq(fake.sealed, 4);
	ck_assert(is(text_of(BURSAR_SEALED_BY), "own/new"));
	ck_assert(take(text_of(request), request, "m-1", false, &text));
}
END_TEST

START_TEST(a_record_without_bodies_has_no_key)
{
	record->values[request].is_set = false;
	record->values[response].is_set = false;
	ck_assert_int_eq(seal(), BURSAR_DONE);
	ck_assert_uint_eq(fake.sealed, 0);
	ck_assert(!record->values[BURSAR_SEALED_BY].is_set);
	ck_assert(record->values[BURSAR_ROW_HASH].is_set);
}
END_TEST

START_TEST(a_long_key_id_is_cut_and_a_missing_one_is_empty)
{
	char name[BODIES_KEY_MAX + 1];
	char id[200];

	memset(id, 'k', sizeof(id) - 1);
	id[sizeof(id) - 1] = '\0';
	fake.key = id;
	ck_assert_int_eq(bodies_key(&keyring, name, &err), BURSAR_DONE);
	ck_assert_uint_eq(strlen(name), strlen("own/") + 96);
	fake.key = "";
	ck_assert_int_eq(bodies_key(&keyring, name, &err), BURSAR_DONE);
	ck_assert_str_eq(name, "own/");
}
END_TEST

static const char *const no_columns[] = {
	"", "sealed", "sealed:1", "sealed:1:", "sealed:2:x:y", "sealed:1:x",
	"sealed:1:x;", "sealed:1:x;a", "sealed:1:x;a=", "sealed:1:x;a=b",
	"sealed:1:x%:y", "sealed:1:x%4:y", "sealed:1:x%zz:y", "sealed:1:x y:z",
	"sealed:1:x;base64:A", "sealed:1:x;base64:A%==", " sealed:1:x:y",
	"sealed:1:x;a=1;b=2;c=3;d=4;e=5:y", "{\"sealed\":1}",
};

START_TEST(takes_nothing_else_for_a_sealed_text)
{
	struct bursar_header headers[BODIES_HEADERS];
	const size_t size = strlen(no_columns[_i]);
	struct bursar_message message;
	bool memory;
	/* So that a sanitizer sees what is read behind the end. */
	char *text = malloc(size > 0 ? size : 1);

	memcpy(text, no_columns[_i], size);
	ck_assert(!bodies_parse((struct bursar_span){ text, size }, &message,
	                        headers, &keep.base, &memory));
	ck_assert(!memory);
	free(text);
}
END_TEST

/* Any beginning of a column, and any byte of it changed. */
START_TEST(reads_what_is_broken_without_harm)
{
	struct bursar_header headers[BODIES_HEADERS];
	struct bursar_message message;
	bool memory;

	fake.header = "a;b";
	ck_assert_int_eq(seal(), BURSAR_DONE);
	const struct bursar_span good = text_of(request);
	for (size_t size = 0; size < good.size; size++) {
		char *text = malloc(good.size);

		memcpy(text, good.data, good.size);
		(void)bodies_parse((struct bursar_span){ text, size },
		                   &message, headers, &keep.base, &memory);
		text[size] = (char)(text[size] ^ (1 << (size % 8)));
		(void)bodies_parse((struct bursar_span){ text, good.size },
		                   &message, headers, &keep.base, &memory);
		free(text);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bodies");
	TCase *core = tcase_create("core");

	if (sodium_init() < 0) {
		return 1;
	}
	tcase_add_checked_fixture(core, setup, teardown);
	tcase_add_test(core, seals_every_body_and_says_the_key);
	tcase_add_loop_test(core, any_cipher_fits_into_a_column, 0, 10);
	tcase_add_test(core, opens_at_its_place_and_nowhere_else);
	tcase_add_test(core, a_numbered_id_opens_as_the_first_one);
	tcase_add_loop_test(core, without_a_key_the_record_stays_as_it_was,
	                    0, 3);
	tcase_add_test(core, one_key_holds_for_all_of_a_record);
	tcase_add_test(core, a_record_without_bodies_has_no_key);
	tcase_add_test(core, a_long_key_id_is_cut_and_a_missing_one_is_empty);
	tcase_add_loop_test(core, takes_nothing_else_for_a_sealed_text, 0,
	                    sizeof(no_columns) / sizeof(no_columns[0]));
	tcase_add_test(core, reads_what_is_broken_without_harm);
	suite_add_tcase(suite, core);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
