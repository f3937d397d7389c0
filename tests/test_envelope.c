/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Envelopes: what is one, what comes out, what is refused, and of which kind
 * a message is.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "core/flow/envelope.h"
#include "core/plugin/schema.h"
#include "tests/blocks.h"

static struct json_reader *reader;
static struct bursar_message message;
static struct bursar_error err;

static void setup(void)
{
	memset(&message, 0, sizeof(message));
	memset(&err, 0, sizeof(err));
	reader = json_reader_create();
	ck_assert_ptr_nonnull(reader);
}

static void teardown(void)
{
	json_reader_destroy(reader);
	blocks_clear();
}

static enum envelope_result open_bytes(const char *text, size_t size)
{
	message.body = (struct bursar_span){ blocks_copy(text, size), size };
	return envelope_open(reader, &blocks_arena, &schema, &message, &err);
}

static enum envelope_result open_text(const char *text)
{
	return open_bytes(text, strlen(text));
}

static void must_open(const char *text)
{
	const enum envelope_result result = open_text(text);

	ck_assert_msg(result == ENVELOPE_OPENED, "%s: %d %s", text,
	              (int)result, err.text);
}

static void is(struct bursar_span got, const char *want)
{
	ck_assert_msg(got.data != NULL && got.size == strlen(want) &&
	              memcmp(got.data, want, got.size) == 0,
	              "%.*s is not %s", (int)got.size, got.data, want);
}

static const struct bursar_kind *kind_named(const char *name)
{
	return bursar_kind_find(&schema, name, strlen(name));
}

/* --- what is one ----------------------------------------------------- */

static const char *const not_envelopes[] = {
	"", "   ", "body", "[\"body\"]", "\"body\"", "{}", "{\"a\":1}",
	"{\"a\":\"body\"}", "{\"bod\":1,\"bodys\":2}", "{\"Body\":1}",
	"{\"request\":{\"body\":1}}", "{\"a\":\"\\\"body\\\"\"}",
	"{\"body\":}", "{\"body\":1} x", "{\"body\":1,\"a\":\"\xff\"}",
	"gcm:abc:def", "{\"kind\":\"prompt\",\"properties\":{}}",
};

START_TEST(leaves_alone_what_is_no_envelope)
{
	const char *text = not_envelopes[_i];

	ck_assert_int_eq(open_text(text), ENVELOPE_NONE);
	is(message.body, text);
	ck_assert_int_eq(err.code, 0);
	ck_assert_ptr_null(message.kind);
}
END_TEST

START_TEST(leaves_alone_what_was_too_long_to_be_read)
{
	message.flags = BURSAR_MESSAGE_OVERSIZE;
	ck_assert_int_eq(open_text("{\"body\":1}"), ENVELOPE_NONE);
}
END_TEST

static const char *const bodies[][2] = {
	{ "{\"body\":{\"a\": [1 ] }}", "{\"a\": [1 ] }" },
	{ "\r\n\t {\"body\":{}}\n", "{}" },
	{ "{\"body\":[1,2]}", "[1,2]" },
	{ "{\"body\":1.50}", "1.50" },
	{ "{\"body\":null}", "null" },
	{ "{\"body\":\"\"}", "" },
	{ "{\"body\":\"{}\"}", "{}" },
	{ "{\"body\":\"gcm:ab\\/c:d\"}", "gcm:ab/c:d" },
	{ "{\"body\":\"{\\\"a\\\":\\\"\\\\u0000\\\"}\"}",
	  "{\"a\":\"\\u0000\"}" },
	{ "{\"body\":\"\\b\\f\\n\\r\\t\\\\\\/\\u0041\\u00e9\\u6771\\ud83d"
	  "\\ude00\"}",
	  "\b\f\n\r\t\\/A\xc3\xa9\xe6\x9d\xb1\xf0\x9f\x98\x80" },
	{ "{\"body_base64\":\"e30=\"}", "{}" },
	{ "{\"body_base64\":\"\"}", "" },
	{ "{\"body_base64\":\"\\/\\/8\\u003d\"}", "\xff\xff" },
	{ "{\"bo\\u0064y\":{}}", "{}" },
	{ "{\"\\u0062\\u006F\\u0064\\u0079\":{}}", "{}" },
	{ "{\"bod\\u0079\":{}}", "{}" },
	{ "{\"body\\u005fbase64\":\"e30=\"}", "{}" },
	/* The last of them wins. */
	{ "{\"body\":1,\"body\":2}", "2" },
	{ "{\"body_base64\":\"e30=\",\"body\":2}", "2" },
	{ "{\"body\":2,\"body_base64\":\"e30=\"}", "{}" },
	/* Once is enough. */
	{ "{\"body\":{\"body\":{}}}", "{\"body\":{}}" },
	/* What a dead letter has besides is nobody's business here. */
	{ "{\"id\":\"a\",\"reason\":{\"kind\":7},\"source\":[],\"body\":{}}",
	  "{}" },
};

START_TEST(takes_the_body_out)
{
	must_open(bodies[_i][0]);
	is(message.body, bodies[_i][1]);
}
END_TEST

START_TEST(finds_the_body_wherever_it_stands)
{
	char text[128];

	for (int pad = 0; pad < 64; pad++) {
		snprintf(text, sizeof(text), "{%*s\"body\":{}}", pad, "");
		must_open(text);
		is(message.body, "{}");
		snprintf(text, sizeof(text), "{%*s\"\\u0062ody\":{}}", pad,
		         "");
		must_open(text);
		is(message.body, "{}");
	}
}
END_TEST

START_TEST(puts_real_nuls_into_a_body)
{
	must_open("{\"body\":\"a\\u0000\\u0000b\"}");
	ck_assert_uint_eq(message.body.size, 4);
	ck_assert_mem_eq(message.body.data, "a\0\0b", 4);
}
END_TEST

/* --- what comes with it ---------------------------------------------- */

START_TEST(takes_properties_and_headers_out)
{
	must_open("{\"kind\":\"prompt\",\"routing_key\":\"audit.prompt.chat\","
	          "\"properties\":{\"message_id\":\"m\",\"correlation_id\":7,"
	          "\"content_type\":\"application/json\","
	          "\"content_encoding\":\"identity\",\"app_id\":\"\\u0061\","
	          "\"timestamp\":1779014529,\"priority\":{}},"
	          "\"headers\":{\"x-a\":\"text\",\"X-Num\":1.50,\"x-yes\":true,"
	          "\"x-no\":false,\"x-null\":null},\"body\":{}}");
	ck_assert_ptr_eq(message.kind, kind_named("prompt"));
	is(message.routing_key, "audit.prompt.chat");
	is(message.message_id, "m");
	is(message.correlation_id, "7");
	is(message.content_type, "application/json");
	is(message.content_encoding, "identity");
	is(message.app_id, "a");
	ck_assert_int_eq(message.timestamp_us, INT64_C(1779014529000000));
	ck_assert_uint_eq(message.header_count, 4);
	is(bursar_header_get(&message, "x-a"), "text");
	is(bursar_header_get(&message, "x-num"), "1.50");
	is(bursar_header_get(&message, "x-yes"), "true");
	is(bursar_header_get(&message, "x-no"), "false");
	ck_assert_ptr_null(bursar_header_get(&message, "x-null").data);
}
END_TEST

START_TEST(keeps_what_the_source_said_where_the_envelope_is_silent)
{
	static const struct bursar_header given[] = {
		{ { "x-a", 3 }, { "source", 6 } },
		{ { "x-b", 3 }, { "source", 6 } },
		{ { "x-c", 3 }, { "source", 6 } },
	};

	message.headers = given;
	message.header_count = 3;
	message.message_id = (struct bursar_span){ "source", 6 };
	message.app_id = (struct bursar_span){ "source", 6 };
	message.routing_key = (struct bursar_span){ "source", 6 };
	message.timestamp_us = 7;
	message.token = 9;
	must_open("{\"properties\":{\"message_id\":\"own\",\"app_id\":null},"
	          "\"headers\":{\"x-a\":\"own\",\"x-c\":null},\"body\":{}}");
	is(message.message_id, "own");
	is(message.app_id, "source");
	is(message.routing_key, "source");
	ck_assert_int_eq(message.timestamp_us, 7);
	ck_assert_uint_eq(message.token, 9);
	is(bursar_header_get(&message, "x-a"), "own");
	is(bursar_header_get(&message, "x-b"), "source");
	is(bursar_header_get(&message, "x-c"), "source");
}
END_TEST

/* The text of that field among those that are fixed, the last of its name. */
static struct bursar_span fixed_text(const char *name)
{
	struct bursar_span text = { NULL, 0 };

	for (size_t i = 0; i < message.fixed_count; i++) {
		const struct bursar_header *field = &message.fixed[i];

		if (field->name.size == strlen(name) &&
		    memcmp(field->name.data, name, field->name.size) == 0) {
			text = field->value;
		}
	}
	return text;
}

/* What `bursar dead-letters show --format json` prints of a token's sender. */
START_TEST(keeps_to_what_the_first_sender_was_held_to)
{
	const uint64_t metering = UINT64_C(1) << kind_named("metering")->number;

	must_open("{\"fixed\":{\"team\":\"blue\",\"tag:a\":\"1\"},"
	          "\"kinds\":[\"metering\",\"unheard\"],\"body\":{}}");
	ck_assert_uint_eq(message.fixed_count, 2);
	is(fixed_text("team"), "blue");
	is(fixed_text("tag:a"), "1");
	ck_assert_uint_eq(message.kinds, metering);
}
END_TEST

START_TEST(lets_no_envelope_loosen_what_its_source_says)
{
	static const struct bursar_header team = {
		{ "team", 4 }, { "source", 6 },
	};
	const uint64_t prompt = UINT64_C(1) << kind_named("prompt")->number;

	message.fixed = &team;
	message.fixed_count = 1;
	message.kinds = prompt;
	must_open("{\"fixed\":{\"team\":\"own\",\"node_id\":\"n\"},"
	          "\"kinds\":[\"metering\",\"prompt\"],\"body\":{}}");
	ck_assert_uint_eq(message.fixed_count, 2);
	is(fixed_text("team"), "source");
	is(fixed_text("node_id"), "n");
	ck_assert_uint_eq(message.kinds, prompt);

	message.kinds = prompt;
	ck_assert_int_eq(open_text("{\"kinds\":[\"metering\"],\"body\":{}}"),
	                 ENVELOPE_BAD);
	ck_assert_uint_eq(message.kinds, prompt);
}
END_TEST

START_TEST(lets_the_last_of_two_equal_members_win)
{
	must_open("{\"kind\":\"tool\",\"kind\":\"prompt\","
	          "\"headers\":{\"x-a\":\"lost\"},"
	          "\"headers\":{\"x-a\":\"first\",\"X-A\":\"last\"},"
	          "\"properties\":{\"app_id\":\"a\",\"app_id\":\"b\"},"
	          "\"body\":{}}");
	ck_assert_ptr_eq(message.kind, kind_named("prompt"));
	is(bursar_header_get(&message, "x-a"), "last");
	is(message.app_id, "b");
}
END_TEST

static const struct {
	const char *text;
	int64_t us;
} timestamps[] = {
	{ "0", 0 },
	{ "1779014529.25", INT64_C(1779014529250000) },
	{ "\"1779014529\"", INT64_C(1779014529000000) },
	{ "\"2026-05-17T10:42:09.118Z\"", INT64_C(1779014529118000) },
};

START_TEST(reads_a_timestamp)
{
	char text[128];

	snprintf(text, sizeof(text),
	         "{\"properties\":{\"timestamp\":%s},\"body\":1}",
	         timestamps[_i].text);
	message.timestamp_us = 1;
	must_open(text);
	ck_assert_int_eq(message.timestamp_us, timestamps[_i].us);
}
END_TEST

/* --- what is refused ------------------------------------------------- */

static const char *const refused[][2] = {
	{ "{\"kind\":\"promt\",\"body\":{}}",
	  "envelope: 'promt' (5 bytes) is no kind; kinds are metering, "
	  "prompt, tool" },
	{ "{\"kind\":[],\"body\":{}}", "envelope: kind is not a text" },
	{ "{\"kind\":\"\\u0000\\n'\",\"body\":{}}",
	  "envelope: '\\u0000?" "?' (8 bytes) is no kind; kinds are metering, "
	  "prompt, tool" },
	{ "{\"routing_key\":{},\"body\":{}}",
	  "envelope: routing_key is not a text" },
	{ "{\"properties\":[],\"body\":{}}",
	  "envelope: properties is not an object" },
	{ "{\"properties\":{\"message_id\":{}},\"body\":{}}",
	  "envelope: properties.message_id is not a text" },
	{ "{\"properties\":{\"timestamp\":\"soon\"},\"body\":{}}",
	  "envelope: properties.timestamp is not a time" },
	{ "{\"properties\":{\"timestamp\":1e30},\"body\":{}}",
	  "envelope: properties.timestamp is not a time" },
	{ "{\"properties\":{\"timestamp\":true},\"body\":{}}",
	  "envelope: properties.timestamp is not a time" },
	{ "{\"headers\":\"a\",\"body\":{}}",
	  "envelope: headers is not an object" },
	{ "{\"headers\":{\"a\":[]},\"body\":{}}",
	  "envelope: a value in headers is not a text" },
	{ "{\"fixed\":[],\"body\":{}}", "envelope: fixed is not an object" },
	{ "{\"fixed\":{\"team\":{}},\"body\":{}}",
	  "envelope: a value in fixed is not a text" },
	{ "{\"kinds\":\"tool\",\"body\":{}}", "envelope: kinds is not a list" },
	{ "{\"kinds\":[[]],\"body\":{}}",
	  "envelope: a name in kinds is not a text" },
	{ "{\"kinds\":[],\"body\":{}}",
	  "envelope: kinds is not a list of any kind that may come this way" },
	{ "{\"kinds\":[\"unheard\"],\"body\":{}}",
	  "envelope: kinds is not a list of any kind that may come this way" },
	{ "{\"body_base64\":{}}", "envelope: body_base64 is not a text" },
	{ "{\"body_base64\":\"e30\"}", "envelope: body_base64 is not base64" },
	{ "{\"body_base64\":\"e3\\n0=\"}",
	  "envelope: body_base64 is not base64" },
	{ "{\"body_base64\":\"e31=\"}",
	  "envelope: body_base64 is not base64" },
	{ "{\"body_base64\":\"_-8=\"}",
	  "envelope: body_base64 is not base64" },
	{ "{\"body_base64\":\"e30= \"}",
	  "envelope: body_base64 is not base64" },
	{ "{\"body\":\"\\ud800\"}",
	  "envelope: body is not text: it has half a surrogate pair" },
	{ "{\"body\":\"\\ud800\\u0041\"}",
	  "envelope: body is not text: it has half a surrogate pair" },
	{ "{\"body\":\"\\udc00\\ud800\"}",
	  "envelope: body is not text: it has half a surrogate pair" },
};

START_TEST(refuses_an_envelope_without_sense)
{
	const char *text = refused[_i][0];

	ck_assert_int_eq(open_text(text), ENVELOPE_BAD);
	ck_assert_str_eq(err.text, refused[_i][1]);
	is(message.body, text);
	ck_assert_ptr_null(message.kind);
	ck_assert_uint_eq(message.header_count, 0);
	ck_assert_uint_eq(message.fixed_count, 0);
	ck_assert_uint_eq(message.kinds, 0);
}
END_TEST

START_TEST(refuses_more_headers_than_anybody_needs)
{
	static char text[8192];
	size_t used = (size_t)snprintf(text, sizeof(text),
	                               "{\"body\":{},\"headers\":{\"h\":1");

	for (int i = 0; i < ENVELOPE_MAX_HEADERS - 1; i++) {
		used += (size_t)snprintf(text + used, sizeof(text) - used,
		                         ",\"h%d\":1", i);
	}
	snprintf(text + used, sizeof(text) - used, "}}");
	must_open(text);
	ck_assert_uint_eq(message.header_count, ENVELOPE_MAX_HEADERS);
	snprintf(text + used, sizeof(text) - used, ",\"i\":1}}");
	ck_assert_int_eq(open_text(text), ENVELOPE_BAD);
}
END_TEST

/* --- kinds ----------------------------------------------------------- */

START_TEST(prefers_the_kind_of_the_source)
{
	message.kind = kind_named("tool");
	must_open("{\"kind\":\"prompt\",\"routing_key\":\"metering.x\","
	          "\"body\":{}}");
	ck_assert_ptr_eq(envelope_kind(&schema, &message),
	                 kind_named("tool"));
	must_open("{\"kind\":\"nonsense\",\"body\":{}}");
	ck_assert_ptr_eq(message.kind, kind_named("tool"));
}
END_TEST

START_TEST(prefers_the_kind_of_the_envelope_to_the_routing_key)
{
	must_open("{\"kind\":\"prompt\",\"routing_key\":\"metering.x\","
	          "\"body\":{}}");
	ck_assert_ptr_eq(envelope_kind(&schema, &message),
	                 kind_named("prompt"));
}
END_TEST

static const char *const keys[][2] = {
	{ "metering.chat", "metering" },
	{ "metering", "metering" },
	{ "audit.prompt.chat", "prompt" },
	{ "audit.prompt.", "prompt" },
	{ "audit.tool.read_file", "tool" },
	{ "audit.skill.x", NULL },
	{ "meteringx.chat", NULL },
	{ "audit", NULL },
	{ "", NULL },
};

START_TEST(knows_kinds_by_their_routing_keys)
{
	message.routing_key = (struct bursar_span){ keys[_i][0],
	                                            strlen(keys[_i][0]) };
	ck_assert_ptr_eq(envelope_kind(&schema, &message),
	                 keys[_i][1] == NULL ? NULL :
	                 kind_named(keys[_i][1]));
}
END_TEST

START_TEST(knows_no_kind_of_a_bare_message)
{
	ck_assert_ptr_null(envelope_kind(&schema, &message));
}
END_TEST

#define LOOP(tcase, test, table) \
	tcase_add_loop_test(tcase, test, 0, \
	                    (int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
	Suite *s = suite_create("envelope");
	TCase *t = tcase_create("all");
	SRunner *runner;
	int bad;

	tcase_add_checked_fixture(t, setup, teardown);
	LOOP(t, leaves_alone_what_is_no_envelope, not_envelopes);
	tcase_add_test(t, leaves_alone_what_was_too_long_to_be_read);
	LOOP(t, takes_the_body_out, bodies);
	tcase_add_test(t, finds_the_body_wherever_it_stands);
	tcase_add_test(t, puts_real_nuls_into_a_body);
	tcase_add_test(t, takes_properties_and_headers_out);
	tcase_add_test(t,
	               keeps_what_the_source_said_where_the_envelope_is_silent);
	tcase_add_test(t, keeps_to_what_the_first_sender_was_held_to);
	tcase_add_test(t, lets_no_envelope_loosen_what_its_source_says);
	tcase_add_test(t, lets_the_last_of_two_equal_members_win);
	LOOP(t, reads_a_timestamp, timestamps);
	LOOP(t, refuses_an_envelope_without_sense, refused);
	tcase_add_test(t, refuses_more_headers_than_anybody_needs);
	tcase_add_test(t, prefers_the_kind_of_the_source);
	tcase_add_test(t,
	               prefers_the_kind_of_the_envelope_to_the_routing_key);
	LOOP(t, knows_kinds_by_their_routing_keys, keys);
	tcase_add_test(t, knows_no_kind_of_a_bare_message);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	bad = srunner_ntests_failed(runner);
	srunner_free(runner);
	return bad == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
