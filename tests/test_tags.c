/* SPDX-License-Identifier: Apache-2.0 */

/* Tags: from what came to what is stored, and reading that. */
#include "config.h"

#include <stdlib.h>

#include <check.h>

#include "core/base/arena.h"
#include "core/flow/tagging.h"

static struct arena arena;
static struct json_reader *reader;
static struct json_doc doc;
static struct tags tags;

static void set_up(void)
{
	arena_init(&arena);
	reader = json_reader_create();
	ck_assert_ptr_nonnull(reader);
}

static void tear_down(void)
{
	json_reader_destroy(reader);
	arena_clear(&arena);
}

static struct bursar_span span(const char *text)
{
	return (struct bursar_span){ text, strlen(text) };
}

static void read_json(const char *text)
{
	struct bursar_error err = { 0 };
	char *copy = arena_alloc(&arena, strlen(text) + 1);

	memcpy(copy, text, strlen(text) + 1);
	ck_assert_msg(json_read(reader, copy, strlen(text), &doc, &err) == 0,
	              "%s", err.text);
}

/* What becomes of one object; NULL: nothing. */
static const char *written(void)
{
	struct bursar_span json;

	ck_assert(tags_write(&tags, &json));
	if (json.data == NULL) {
		return NULL;
	}
	char *text = arena_alloc(&arena, json.size + 1);
	memcpy(text, json.data, json.size);
	text[json.size] = '\0';
	return text;
}

static const char *made_of(const char *text)
{
	read_json(text);
	tags_begin(&tags, &doc, &arena.base);
	tags_add_object(&tags, 0);
	return written();
}

/* --- redaction ----------------------------------------------------------- */

static const char *const secrets[] = {
	"apiKey", "openai.APIKey", "X-Api-Key", "my_api_key_2", "client_secret",
	"secretId", "passwordHash", "Authorization", "access-token",
	"userCredential", "refreshToken", "api_key", "db.password", "API_KEY",
	"secret",
};

START_TEST(a_key_that_names_a_secret_is_redacted)
{
	char text[100];

	snprintf(text, sizeof(text), "{\"%s\":\"sk-1\"}", secrets[_i]);
	const char *json = made_of(text);
	ck_assert_ptr_null(strstr(json, "sk-1"));
	ck_assert_ptr_nonnull(strstr(json, "\"[REDACTED]\""));
}
END_TEST

static const char *const harmless[] = {
	"apikey", "secretary", "passwd", "credentials", "token", "passwords",
	"tokens", "feature", "keyApi",
};

START_TEST(a_key_that_only_looks_like_one_is_kept)
{
	char text[100];

	snprintf(text, sizeof(text), "{\"%s\":\"sk-1\"}", harmless[_i]);
	ck_assert_str_eq(made_of(text), text);
}
END_TEST

START_TEST(secrets_are_redacted_at_any_depth)
{
	ck_assert_str_eq(made_of("{\"a\":{\"b\":[{\"apiKey\":{\"x\":1}}]}}"),
	                 "{\"a\":{\"b\":[{\"apiKey\":\"[REDACTED]\"}]}}");
	ck_assert_str_eq(made_of("{\"password\":[1,2]}"),
	                 "{\"password\":\"[REDACTED]\"}");
}
END_TEST

/* --- values -------------------------------------------------------------- */

static const struct {
	const char *said;
	const char *stored;
} values[] = {
	{ "{\"a\":42}", "{\"a\":\"42\"}" },
	{ "{\"a\":1e400,\"b\":-0.50}", "{\"a\":\"1e400\",\"b\":\"-0.50\"}" },
	{ "{\"a\":true,\"b\":false}", "{\"a\":\"true\",\"b\":\"false\"}" },
	{ "{\"a\":null}", "{\"a\":\"\"}" },
	{ "{ \"a\" : { \"b\" : [ 1, \"x\", null ] } }",
	  "{\"a\":{\"b\":[\"1\",\"x\",\"\"]}}" },
	{ "{\"a\":\"\\u00e9\\n\\\"\\\\\\u0007\"}",
	  "{\"a\":\"\303\251\\n\\\"\\\\\\u0007\"}" },
	{ "{\"\":\"x\",\"a b=\":\"y\"}", "{\"\":\"x\",\"a b=\":\"y\"}" },
	{ "{\"a\":\"1\",\"b\":\"2\",\"a\":\"3\"}", "{\"a\":\"3\",\"b\":\"2\"}" },
	{ "{\"a\":{},\"b\":[]}", "{\"a\":{},\"b\":[]}" },
	{ "{\"a\":\"x\\u0000y\"}", "{\"a\":\"x\\\\u0000y\"}" },
	{ "{}", NULL },
	{ "[1]", NULL },
	{ "7", NULL },
};

START_TEST(values_become_texts)
{
	const char *json = made_of(values[_i].said);

	if (values[_i].stored == NULL) {
		ck_assert_ptr_null(json);
	} else {
		ck_assert_str_eq(json, values[_i].stored);
	}
	ck_assert(!tags.dropped);
}
END_TEST

static const char *const internal[] = {
	"cache_read_input_tokens", "cache_write_input_tokens",
	"hidden_output_tokens", "input_tokens", "output_tokens",
	"pricing_mode", "provider_response_id", "total_tokens", "latency_ms",
	"stream", "usage_source", "enforce_budget",
};

START_TEST(what_belongs_to_the_call_is_no_tag)
{
	char text[100];

	snprintf(text, sizeof(text), "{\"%s\":1,\"x\":\"y\"}", internal[_i]);
	ck_assert_str_eq(made_of(text), "{\"x\":\"y\"}");
	ck_assert(!tags.dropped);
}
END_TEST

/* --- limits -------------------------------------------------------------- */

/* {"k0":"0", ...} */
static char *many(size_t count)
{
	const size_t room = count * 24 + 3;
	char *text = malloc(room);
	size_t size = 0;

	for (size_t i = 0; i < count; i++) {
		size += (size_t)snprintf(text + size, room - size,
		                         "%s\"k%zu\":\"%zu\"",
		                         i == 0 ? "{" : ",", i, i);
	}
	memcpy(text + size, "}", 2);
	return text;
}

START_TEST(the_fifty_first_tag_is_dropped_and_flagged)
{
	char *fifty = many(50);
	char *more = many(51);

	ck_assert_str_eq(made_of(fifty), fifty);
	ck_assert(!tags.dropped);
	ck_assert_str_eq(made_of(more), fifty);
	ck_assert(tags.dropped);
	free(fifty);
	free(more);
}
END_TEST

/* In bytes: `before`, then so many of `unit`. */
static char *long_value(const char *before, const char *unit, size_t count)
{
	char *text = malloc(strlen(before) + count * strlen(unit) + 20);
	char *at = stpcpy(stpcpy(text, "{\"a\":\""), before);

	for (size_t i = 0; i < count; i++) {
		at = stpcpy(at, unit);
	}
	memcpy(at, "\"}", 3);
	return text;
}

START_TEST(a_long_value_is_cut_between_two_characters)
{
	static const struct {
		const char *before, *unit;
		size_t said, kept;
	} of[] = {
		{ "", "x", 1024, 1024 }, { "", "x", 1025, 1024 },
		{ "", "\303\251", 512, 512 }, { "", "\303\251", 513, 512 },
		{ "x", "\303\251", 512, 511 },
		{ "", "\360\237\230\200", 300, 256 },
		{ "xyz", "\360\237\230\200", 300, 255 },
	};

	for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
		char *said = long_value(of[i].before, of[i].unit, of[i].said);
		char *kept = long_value(of[i].before, of[i].unit, of[i].kept);

		ck_assert_str_eq(made_of(said), kept);
		free(said);
		free(kept);
	}
}
END_TEST

START_TEST(a_long_object_becomes_a_text)
{
	char text[3000] = "{\"a\":[";
	struct tags_item item;

	char *at = text + strlen(text);
	for (int i = 0; i < 300; i++) {
		at = stpcpy(at, i == 0 ? "1" : ",1");
	}
	memcpy(at, "]}", 3);
	const char *json = made_of(text);
	ck_assert(tags_find(span(json), "a", 1, &item));
	ck_assert(item.is_text && item.escaped);
	char *out = malloc(item.value.size);
	ck_assert_uint_eq(tags_unescape(item.value, out), TAGS_VALUE_MAX);
	ck_assert_int_eq(memcmp(out, "[\"1\",\"1\"", 8), 0);
	free(out);
}
END_TEST

START_TEST(a_key_of_more_than_a_kilobyte_is_dropped_and_flagged)
{
	char text[2000] = "{\"";

	memset(text + 2, 'k', TAGS_KEY_MAX + 1);
	memcpy(text + 2 + TAGS_KEY_MAX + 1, "\":\"x\"}", 7);
	ck_assert_ptr_null(made_of(text));
	ck_assert(tags.dropped);
}
END_TEST

/* --- layers -------------------------------------------------------------- */

START_TEST(later_layers_win_and_keys_keep_their_places)
{
	read_json("[{\"b\":\"scoped\",\"c\":\"scoped\"},"
	          "{\"c\":\"explicit\",\"d\":\"explicit\"}]");
	tags_begin(&tags, &doc, &arena.base);
	tags_add(&tags, span("fixed"), span("token"), true);
	tags_add(&tags, span("a"), span("default"), false);
	tags_add(&tags, span("b"), span("default"), false);
	tags_add_object(&tags, 1);
	tags_add_object(&tags, doc.nodes[1].next);
	tags_add(&tags, span("fixed"), span("sender"), false);

	ck_assert_str_eq(written(), "{\"fixed\":\"token\",\"a\":\"default\","
	                 "\"b\":\"scoped\",\"c\":\"explicit\","
	                 "\"d\":\"explicit\"}");
}
END_TEST

START_TEST(fifty_tags_of_a_sender_do_not_push_out_others)
{
	char *fifty = many(50);
	struct tags_item item;

	read_json(fifty);
	tags_begin(&tags, &doc, &arena.base);
	tags_add(&tags, span("team"), span("red"), true);
	tags_add(&tags, span("k7"), span("default"), false);
	tags_add_object(&tags, 0);
	const char *json = written();

	ck_assert(tags.dropped);
	ck_assert(tags_find(span(json), "team", 4, &item));
	ck_assert(tags_find(span(json), "k7", 2, &item));
	ck_assert_int_eq(item.value.data[0], '7');
	ck_assert(tags_find(span(json), "k48", 3, &item));
	ck_assert(!tags_find(span(json), "k49", 3, &item));
	free(fifty);
}
END_TEST

/* --- reading ------------------------------------------------------------- */

START_TEST(what_was_written_is_read)
{
	const char *json = made_of("{\"a\":\"1\",\"n\":{\"a\":\"}\\\"]\"},"
	                           "\"e\":\"x\\ny\",\"z\":\"\"}");
	struct tags_item item;
	char out[20];

	ck_assert(tags_find(span(json), "a", 1, &item));
	ck_assert(item.is_text && !item.escaped && item.value.size == 1);
	ck_assert(tags_find(span(json), "n", 1, &item));
	ck_assert(!item.is_text);
	ck_assert_int_eq(strncmp(item.value.data, "{\"a\":\"}\\\"]\"}",
	                         item.value.size), 0);
	ck_assert(tags_find(span(json), "e", 1, &item));
	ck_assert(item.escaped);
	ck_assert_uint_eq(tags_unescape(item.value, out), 3);
	ck_assert_int_eq(memcmp(out, "x\ny", 3), 0);
	ck_assert(tags_find(span(json), "z", 1, &item));
	ck_assert_uint_eq(item.value.size, 0);
	ck_assert(!tags_find(span(json), "b", 1, &item));
}
END_TEST

START_TEST(what_is_cut_short_is_read_up_to_there)
{
	const char *json = made_of("{\"a\":\"1\",\"n\":{\"b\":[\"2\"]},"
	                           "\"c\":\"\\\"3\"}");
	size_t before = 0;

	for (size_t size = 0; size <= strlen(json); size++) {
		char *copy = malloc(size + 1);
		memcpy(copy, json, size);
		struct tags_cursor cursor = tags_read(
			(struct bursar_span){ copy, size });
		struct tags_item item;
		size_t count = 0;

		while (tags_next(&cursor, &item)) {
			count++;
		}
		ck_assert_uint_ge(count, before);
		before = count;
		free(copy);
	}
	ck_assert_uint_eq(before, 3);
}
END_TEST

START_TEST(a_key_that_can_be_asked_about_is_plain)
{
	char longest[TAGS_ASKED_MAX + 2];

	ck_assert(tags_key_is_good("a.B-c_9", 7));
	ck_assert(!tags_key_is_good("", 0));
	ck_assert(!tags_key_is_good("a b", 3));
	ck_assert(!tags_key_is_good("a'b", 3));
	ck_assert(!tags_key_is_good("a\0b", 3));
	ck_assert(!tags_key_is_good("\303\251", 2));
	memset(longest, 'x', sizeof(longest));
	ck_assert(tags_key_is_good(longest, TAGS_ASKED_MAX));
	ck_assert(!tags_key_is_good(longest, TAGS_ASKED_MAX + 1));
	ck_assert_str_eq(tags_key_of("tag:feature"), "feature");
	ck_assert_ptr_null(tags_key_of("tag:"));
	ck_assert_ptr_null(tags_key_of("team"));
	ck_assert_ptr_null(tags_key_of("tag:a;b"));
}
END_TEST

#define COUNT(list) ((int)(sizeof(list) / sizeof((list)[0])))

static Suite *suite(void)
{
	Suite *s = suite_create("tags");
	TCase *t = tcase_create("tags");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_loop_test(t, a_key_that_names_a_secret_is_redacted, 0,
	                    COUNT(secrets));
	tcase_add_loop_test(t, a_key_that_only_looks_like_one_is_kept, 0,
	                    COUNT(harmless));
	tcase_add_test(t, secrets_are_redacted_at_any_depth);
	tcase_add_loop_test(t, values_become_texts, 0, COUNT(values));
	tcase_add_loop_test(t, what_belongs_to_the_call_is_no_tag, 0,
	                    COUNT(internal));
	tcase_add_test(t, the_fifty_first_tag_is_dropped_and_flagged);
	tcase_add_test(t, a_long_value_is_cut_between_two_characters);
	tcase_add_test(t, a_long_object_becomes_a_text);
	tcase_add_test(t, a_key_of_more_than_a_kilobyte_is_dropped_and_flagged);
	tcase_add_test(t, later_layers_win_and_keys_keep_their_places);
	tcase_add_test(t, fifty_tags_of_a_sender_do_not_push_out_others);
	tcase_add_test(t, what_was_written_is_read);
	tcase_add_test(t, what_is_cut_short_is_read_up_to_there);
	tcase_add_test(t, a_key_that_can_be_asked_about_is_plain);
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
