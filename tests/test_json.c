/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Reading JSON: what is taken and what is refused, alone and deep inside
 * other documents, by the fast way and by the checker, which must agree.
 *
 * Every text is handed over in memory that ends 64 bytes behind it, filled
 * with bytes that would go on with it, so that reading too far is noticed.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "common/json.h"
#include "common/json_check.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PADDING 64

/* A text given as a literal, which may hold NUL. */
struct text {
	const char *data;
	size_t      size;
};
#define T(literal) { literal, sizeof(literal) - 1 }

static struct json_reader *reader;
static struct json_nodes checked;
static struct bursar_error err;
static char *padded;

static void setup(void)
{
	memset(&err, 0, sizeof(err));
	reader = json_reader_create();
	ck_assert_ptr_nonnull(reader);
}

static void teardown(void)
{
	json_reader_destroy(reader);
	free(checked.list);
	checked = (struct json_nodes){ 0 };
	free(padded);
	padded = NULL;
}

static const char *pad(const char *data, size_t size, char filler)
{
	free(padded);
	padded = malloc(size + PADDING);
	ck_assert_ptr_nonnull(padded);
	memcpy(padded, data, size);
	memset(padded + size, filler, PADDING);
	return padded;
}

/* --- both ways ----------------------------------------------------------- */

static void assert_same_nodes(const struct json_doc *doc)
{
	ck_assert_uint_eq(doc->count, checked.count);
	for (size_t i = 0; i < doc->count; i++) {
		const struct json_node *a = &doc->nodes[i];
		const struct json_node *b = &checked.list[i];

		ck_assert_uint_eq(a->start, b->start);
		ck_assert_uint_eq(a->size, b->size);
		ck_assert_uint_eq(a->next, b->next);
		ck_assert_uint_eq(a->type, b->type);
		ck_assert_uint_eq(a->escaped, b->escaped);
	}
}

static bool has_a_container_as_root(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (!strchr(" \t\r\n", text[i])) {
			return text[i] == '{' || text[i] == '[';
		}
	}
	return false;
}

/* Reads the text in every way; returns whether it was taken. */
static bool reads(const char *data, size_t size)
{
	static const char fillers[] = { '0', '"', ']', ' ', '\0' };
	bool taken = false;

	for (size_t i = 0; i < sizeof(fillers); i++) {
		const char *text = pad(data, size, fillers[i]);
		struct bursar_error why = { 0 };
		struct json_doc doc;

		taken = json_check(&checked, text, size, &why) == 0;
		ck_assert_int_eq(taken, why.code == 0);

		const int fast = json_read_fast(reader, text, size, &doc);
		if (fast == 0) {
			ck_assert_msg(taken, "%.*s", (int)size, text);
			assert_same_nodes(&doc);
		} else {
			ck_assert_int_eq(fast, EILSEQ);
			ck_assert_msg(!taken ||
			              !has_a_container_as_root(text, size),
			              "%.*s", (int)size, text);
		}

		memset(&err, 0, sizeof(err));
		ck_assert_int_eq(json_read(reader, text, size, &doc, &err) == 0,
		                 taken);
		ck_assert_int_eq(err.code, why.code);
		if (taken) {
			assert_same_nodes(&doc);
			ck_assert_ptr_eq(doc.text, text);
		}
	}
	return taken;
}

static const struct {
	const char *before;
	const char *after;
} places[] = {
	{ "", "" },
	{ " \t\r\n", " \n\r\t " },
	{ "[", "]" },
	{ "[ ", "\n]" },
	{ "[1,", ",2]" },
	{ "{\"a\":", "}" },
	{ "{ \"a\" : ", " , \"b\" : null }" },
	{ "[[[[[[[[", "]]]]]]]]" },
	{ "{\"a\":{\"b\":[{\"c\":[[],{},", ",[{}]]},0]}}" },
	{ "[\"0123456789012345678901234567890123456789012345678901234567\",",
	  ",\"0123456789012345678901234567890123456789012345678901234567\"]" },
};

/* The text in places[i], to be freed. */
static char *put_in_place(size_t i, struct text text, size_t *size)
{
	const size_t before = strlen(places[i].before);
	const size_t after = strlen(places[i].after);
	char *made = malloc(before + text.size + after + 1);

	ck_assert_ptr_nonnull(made);
	memcpy(made, places[i].before, before);
	memcpy(made + before, text.data, text.size);
	memcpy(made + before + text.size, places[i].after, after + 1);
	*size = before + text.size + after;
	return made;
}

static void assert_everywhere(struct text text, bool good)
{
	for (size_t i = 0; i < COUNT(places); i++) {
		size_t size;
		char *made = put_in_place(i, text, &size);

		ck_assert_msg(reads(made, size) == good, "%s: %s",
		              good ? "refused" : "taken", made);
		free(made);
	}
}

/* --- what is taken ------------------------------------------------------- */

static const struct text good_values[] = {
	T("null"), T("true"), T("false"), T("0"), T("-0"), T("1"), T("-1"),
	T("10"), T("1234567890"), T("0.0"), T("-0.0"), T("0.5"), T("10.25"),
	T("0e0"), T("0E0"), T("0e+0"), T("0e-0"), T("1e5"), T("1E5"),
	T("1e+05"), T("1e-05"), T("1.5e300"), T("-1.5E-300"),
	T("9223372036854775807"), T("-9223372036854775808"),
	T("9223372036854775808"), T("18446744073709551615"),
	T("18446744073709551616"), T("123456789012345678901234567890"),
	T("-123456789012345678901234567890"),
	T("0.123456789012345678901234567890123456789"),
	T("1e400"), T("-1e400"), T("1e-400"), T("1e99999999999999999999"),
	T("1.0000000000000000000000000000000000000000000000000000000000000001"),
	T("\"\""), T("\"a\""), T("\" \""), T("\"  \""), T("\" a \""),
	T("\"{}[]:,\""), T("\"\\\"\""), T("\"\\\\\""), T("\"\\\\\\\"\""),
	T("\"\\\\\\\\\""), T("\"\\/\\b\\f\\n\\r\\t\""), T("\"\\u0041\""),
	T("\"\\u0000\""), T("\"\\u001f\""), T("\"\\uFFFF\""), T("\"\\ufffe\""),
	T("\"\\uabcd\\uABCD\\u0123\\u4567\\u89ef\""),
	T("\"\\uD83D\\uDE00\""), T("\"\\ud83d\""), T("\"\\ude00\""),
	T("\"\\ud83dx\""), T("\"\\ud83d\\n\""), T("\"\\ud83d\\u0041\""),
	T("\"\\ud83d\\ud83d\\ude00\""), T("\"\\ude00\\ud83d\""),
	T("\"/\""), T("\"\x7F\""), T("\"'\""), T("\"\xC3\xA9\""),
	T("\"\xE2\x82\xAC\""), T("\"\xF0\x9F\x98\x80\""),
	T("\"\xC2\x80\""), T("\"\xDF\xBF\""), T("\"\xE0\xA0\x80\""),
	T("\"\xED\x9F\xBF\""), T("\"\xEE\x80\x80\""), T("\"\xEF\xBF\xBF\""),
	T("\"\xF0\x90\x80\x80\""), T("\"\xF4\x8F\xBF\xBF\""),
	T("\"\xE2\x80\xA8\xE2\x80\xA9\""),
	T("[]"), T("[ ]"), T("{}"), T("{ }"), T("[[]]"), T("[{}]"), T("[[],[]]"),
	T("[1]"), T("[1,2]"), T("[ 1 , 2 ]"), T("[null,true,false]"),
	T("{\"\":0}"), T("{\"a\":1,\"a\":2}"), T("{\"a\":{\"a\":{}}}"),
	T("{\"\\u0061\\n\":1}"), T("{\"a\" :\t1\r,\n\"b\" :2}"),
	T("[\"a\",\"b\"]"), T("[\"a\" ,\"b\" ]"), T("[\"\",\"\"]"),
	T("[[[[[[[[[[]]]]]]]]]]"), T("{\"\xC3\xA9\":\"\xC3\xA9\"}"),
	T("\"0123456789012345678901234567890123456789012345678901234567890123"
	  "\\\\\\\"\""),
	T("[-1,-0.1,-1e1,-1.5e+2]"),
	T("\"a\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\""),
};

START_TEST(takes_what_the_grammar_allows)
{
	assert_everywhere(good_values[_i], true);
}
END_TEST

static void nest(char *text, size_t levels, const char *inner)
{
	const size_t size = strlen(inner);

	memset(text, '[', levels);
	memcpy(text + levels, inner, size);
	memset(text + levels + size, ']', levels);
	text[2 * levels + size] = '\0';
}

START_TEST(takes_as_many_levels_as_it_promises)
{
	char text[2 * JSON_MAX_DEPTH + 3];
	const size_t levels[] = { 100, JSON_MAX_DEPTH };

	for (size_t i = 0; i < COUNT(levels); i++) {
		nest(text, levels[i], "1");
		ck_assert(reads(text, strlen(text)));
		ck_assert_uint_eq(checked.count, levels[i] + 1);
	}
	nest(text, JSON_MAX_DEPTH - 1, "{}");
	ck_assert(reads(text, strlen(text)));
}
END_TEST

START_TEST(refuses_a_level_more)
{
	char text[2 * JSON_MAX_DEPTH + 5];

	nest(text, JSON_MAX_DEPTH + 1, "");
	ck_assert(!reads(text, strlen(text)));
	ck_assert_int_eq(err.code, E2BIG);

	nest(text, JSON_MAX_DEPTH, "{}");
	ck_assert(!reads(text, strlen(text)));
	ck_assert_int_eq(err.code, E2BIG);
}
END_TEST

START_TEST(refuses_endless_opening)
{
	const size_t size = 100000;
	char *text = malloc(size);

	memset(text, '[', size);
	ck_assert(!reads(text, size));
	ck_assert_int_eq(err.code, E2BIG);
	free(text);
}
END_TEST

/* "[0,0,0 ... 0]" of `count` zeros, with its padding; to be freed. */
static char *zeros(size_t count, size_t *size)
{
	char *text = malloc(2 * count + 1 + PADDING);

	ck_assert_ptr_nonnull(text);
	for (size_t i = 0; i < count; i++) {
		text[2 * i] = ',';
		text[2 * i + 1] = '0';
	}
	text[0] = '[';
	text[2 * count] = ']';
	*size = 2 * count + 1;
	memset(text + *size, '0', PADDING);
	return text;
}

START_TEST(takes_as_many_nodes_as_it_promises)
{
	struct json_doc doc;
	size_t size;
	char *text = zeros(JSON_MAX_NODES - 1, &size);

	ck_assert_int_eq(json_read_fast(reader, text, size, &doc), 0);
	ck_assert_uint_eq(doc.count, JSON_MAX_NODES);
	ck_assert_int_eq(json_check(&checked, text, size, &err), 0);
	ck_assert_uint_eq(checked.count, JSON_MAX_NODES);
	free(text);
}
END_TEST

START_TEST(refuses_a_node_more)
{
	struct json_doc doc;
	size_t size;
	char *text = zeros(JSON_MAX_NODES, &size);

	ck_assert_int_eq(json_read_fast(reader, text, size, &doc), EILSEQ);
	ck_assert_int_eq(json_read(reader, text, size, &doc, &err), -1);
	ck_assert_int_eq(err.code, E2BIG);
	free(text);
}
END_TEST

/* --- what is refused ----------------------------------------------------- */

/* Wrong wherever they stand. */
static const struct text bad_values[] = {
	T("nul"), T("nulL"), T("Null"), T("nullx"), T("null0"), T("nulll"),
	T("tru"), T("truE"), T("True"), T("truex"), T("true\"\""), T("tr ue"),
	T("fals"), T("falsE"), T("False"), T("falsex"), T("NaN"), T("Infinity"),
	T("-Infinity"), T("inf"), T("undefined"), T("None"), T("'a'"), T("a"),
	T("-"), T("+"), T("+1"), T("--1"), T("-a"), T("01"), T("-01"), T("00"),
	T("0x10"), T("0b1"), T("1."), T("-1."), T(".5"), T("-.5"), T("1.e1"),
	T("1.5."), T("1..5"), T("1e"), T("1e+"), T("1e-"), T("1E"), T("1e1.5"),
	T("1e1e1"), T("1ee1"), T("1e+-1"), T("1_000"), T("1 000"), T("1a"),
	T("1\"\""), T("1f"), T("1,"), T(",1"), T("1,,2"), T("- 1"), T("1 .5"),
	T("\xEF\xBC\x91"), T("1\xC3\xA9"), T("12\\n"), T("1\"a\""),
	T("\""), T("\"a"), T("\"\\\""), T("\"\\"), T("\"a\\\""), T("a\""),
	T("\"\\x\""), T("\"\\0\""), T("\"\\'\""), T("\"\\ \""), T("\"\\U0041\""),
	T("\"\\u\""), T("\"\\u0\""), T("\"\\u00\""), T("\"\\u004\""),
	T("\"\\u004g\""), T("\"\\u 041\""), T("\"\\u-041\""), T("\"\\u00\\u41\""),
	T("\"\\ud83d\\u\""), T("\"\\ud83d\\ude0\""), T("\"\\ud83d\\x\""),
	T("\"\\\xC3\xA9\""), T("\"\\\n\""), T("\"\\a\""), T("\"\\v\""),
	T("\"a\nb\""), T("\"a\rb\""), T("\"a\tb\""), T("\"\x01\""),
	T("\"\x1F\""), T("\"a\0b\""), T("\"\\\0\""), T("\"a\" \"b\""),
	T("\"a\"b"), T("\"a\"\"b\""), T("\"a\"1"), T("\"a\"null"), T("\\n"),
	T("\\\"a\\\""), T("\\u0041"), T("\"a\" \\\"b\""),
	T("\x80"), T("\xC3"), T("\"\x80\""), T("\"\xBF\""), T("\"\xC3\""),
	T("\"\xC3\x28\""), T("\"\xC0\x80\""), T("\"\xC0\xAF\""),
	T("\"\xC1\xBF\""), T("\"\xE2\x82\""), T("\"\xE2\x28\xA1\""),
	T("\"\xE0\x80\x80\""), T("\"\xE0\x9F\xBF\""), T("\"\xED\xA0\x80\""),
	T("\"\xED\xBF\xBF\""), T("\"\xF0\x9F\x98\""), T("\"\xF0\x80\x80\x80\""),
	T("\"\xF0\x8F\xBF\xBF\""), T("\"\xF4\x90\x80\x80\""),
	T("\"\xF5\x80\x80\x80\""), T("\"\xF8\x88\x80\x80\x80\""),
	T("\"\xFE\""), T("\"\xFF\""), T("\"\xE9\""),
	T("[1,]"), T("[,1]"), T("[,]"), T("[1,,2]"), T("[1 2]"), T("[1:2]"),
	T("[1;2]"), T("[\"a\":1]"), T("[\"a\" \"b\"]"), T("[1}"), T("[}"),
	T("["), T("[1"), T("[1,"), T("[["), T("[[]"), T("[\""), T("[\"a"),
	T("[[]1]"), T("[1[]]"), T("[{}{}]"), T("[]]"), T("[][]"), T("[]{}"),
	T("[1]x"), T("[1]1"), T("[1],"), T("[*]"), T("[-]"), T("[a]"),
	T("[#]"), T("[1]\\"), T("[1\\"), T("[\x0C]"), T("[\x0B]"),
	T("[1\x0C]"), T("[1\x0C,2]"), T("[\x1A]"), T("[1\x1A""2]"),
	T("{\"a\"\x1A""1}"), T("{\"a\"\x1A:1}"), T("[\"a\"\x0C\"b\"]"),
	T("[\"a\"\x0C]"), T("[null\x0C]"), T("[1\xC2\xA0]"), T("[\xE2\x80\x8B]"),
	T("[\0]"), T("[1\0]"), T("[1]\0"), T("{\"a\":1\0}"),
	T("{"), T("{\""), T("{\"a"), T("{\"a\""), T("{\"a\":"), T("{\"a\":1"),
	T("{\"a\":1,"), T("{\"a\":1,\"b\""), T("{\"a\"}"), T("{\"a\",1}"),
	T("{\"a\" 1}"), T("{\"a\"::1}"), T("{:1}"), T("{1:1}"), T("{a:1}"),
	T("{'a':1}"), T("{null:1}"), T("{[]:1}"), T("{{}:1}"), T("{\"a\":}"),
	T("{\"a\":1,}"), T("{,}"), T("{,\"a\":1}"), T("{\"a\":1,,\"b\":2}"),
	T("{\"a\":1 \"b\":2}"), T("{\"a\":1:2}"), T("{\"a\":1]"), T("{]"),
	T("{\"a\":[}"), T("{\"a\":[1}]"), T("[{\"a\":1]}"), T("{}}"), T("{}1"),
	T("{\"a\":1}}"), T("{\"a\":\"b\"\"c\"}"), T("{\"a\"b:1}"),
	T("{\"a\":1 1}"), T("{\"a\":tru}"), T("{\"a\":\"\\x\"}"),
	T("{\"\\x\":1}"), T("{\"a\\\":1}"), T("{1}"), T("{\"a\":1,2}"),
	T("[1,2,3"), T("\"\\uD8\""), T("\\"), T("[\\]"), T("{\"a\":\\}"),
	T("/**/1"), T("1//"), T("[1/**/]"), T("# 1"), T("1;"), T("(1)"),
	T("{a\"b\":1}"), T("[a\"b\"]"), T("[\"a\",b\"c\"]"), T("{1\"b\":1}"),
	T("00000000"), T("01234567"), T("0123456789"), T("[01 ]"), T("[1 2 ]"),
	T("\xEF\xBB\xBF"), T("\xEF\xBB\xBF""1"), T("\xEF\xBB\xBF{}"),
	T("\xFF\xFE[\0]\0"), T("<a>"), T("@"), T("*"), T("`1`"), T("~"), T("|"),
};

START_TEST(refuses_what_the_grammar_forbids)
{
	assert_everywhere(bad_values[_i], false);
	ck_assert_int_eq(err.code, EILSEQ);
}
END_TEST

/* Right as a part of a document, wrong as one. */
static const struct text bad_documents[] = {
	T(""), T(" "), T("\t\n\r "), T("1 2"), T("1,2"), T("\"a\":1"), T("]"),
	T("}"), T(","), T(":"), T("[1],[2]"), T("{},{}"), T("{} {}"), T("[]\n[]"),
	T("][" ), T("}{"), T("1]"), T("[1]]"), T("[1"), T("{\"a\":1}\n{\"a\":2}"),
	T("null null"), T("1],[1"),
	/* one block of 64 bytes, and more */
	T("                                                                "),
	T("                                                                "
	  "                                                                x"),
};

START_TEST(refuses_what_is_no_whole_document)
{
	const struct text *bad = &bad_documents[_i];

	ck_assert_msg(!reads(bad->data, bad->size), "%s", bad->data);
	ck_assert_int_eq(err.code, EILSEQ);
}
END_TEST

/* Whatever is cut off is missed, and nothing behind the end makes up for it. */
START_TEST(refuses_every_beginning_of_a_document)
{
	static const char text[] =
		"{\"a\":[1,-2.5e10,true,false,null,\"x\\u00e9\\n\xC3\xA9\"],"
		"\"b\":{\"c\":{}, \"d\":[[]] } ,\"e\":\"\"}";

	ck_assert(reads(text, sizeof(text) - 1));
	for (size_t size = 0; size < sizeof(text) - 1; size++) {
		ck_assert(!reads(text, size));
		ck_assert_int_eq(err.code, EILSEQ);
	}
}
END_TEST

/* In a document of many blocks, one bad byte anywhere is found. */
START_TEST(finds_a_bad_byte_at_every_offset)
{
	char text[300];
	size_t size = 0;

	text[size++] = '[';
	while (size < sizeof(text) - 8) {
		memcpy(text + size, "\"ab\\ncd\",", 9);
		size += 9;
	}
	memcpy(text + size, "1]", 2);
	size += 2;
	ck_assert(reads(text, size));
	for (size_t i = 0; i < size; i++) {
		const char good = text[i];

		text[i] = '\x01';
		ck_assert(!reads(text, size));
		text[i] = '\xFF';
		ck_assert(!reads(text, size));
		text[i] = good;
	}
}
END_TEST

static const struct {
	const char *text;
	const char *says;
} reasons[] = {
	{ "", "expected a value at byte 0" },
	{ "  secret", "expected a value at byte 2" },
	{ "\xEF\xBB\xBF{}", "begins with a byte order mark" },
	{ "\xFF\xFE{", "begins with a byte order mark" },
	{ "\xFE\xFF{", "begins with a byte order mark" },
	{ "[1,2", "expected a comma or ] at byte 4" },
	{ "{\"a\":1 secret", "expected a comma or } at byte 7" },
	{ "{secret", "expected a name in quotes at byte 1" },
	{ "{\"secret\" 1", "expected a colon at byte 10" },
	{ "[\"secret", "expected a closing quote at byte 8" },
	{ "[1] secret", "expected the end at byte 4" },
	{ "[1.x]", "expected a digit at byte 3" },
	{ "[\"\\x\"]", "expected an escape at byte 3" },
	{ "[\"\\u00x\"]", "expected a hexadecimal digit at byte 6" },
	{ "[\"secret\n\"]", "control character at byte 8" },
	{ "[\"secret\xFF\"]", "not UTF-8 at byte 8" },
};

START_TEST(says_what_was_expected_and_where_but_never_what_was_there)
{
	ck_assert(!reads(reasons[_i].text, strlen(reasons[_i].text)));

	ck_assert_ptr_nonnull(strstr(err.text, reasons[_i].says));
	ck_assert_ptr_null(strstr(err.text, "secret"));
}
END_TEST

/* --- nodes --------------------------------------------------------------- */

static struct json_doc doc;

static void read_doc(const char *text)
{
	const size_t size = strlen(text);

	ck_assert_int_eq(json_read(reader, pad(text, size, '0'), size, &doc,
	                           &err), 0);
}

START_TEST(lists_nodes_in_the_order_of_the_text)
{
	static const struct {
		const char *raw;
		uint32_t next;
		enum json_type type;
		bool escaped;
	} want[] = {
		{ "{\"a\": [1, \"x\\n\" ,{} ], \"b\\t\":true,\"c\":null,"
		  " \"d\":false }", 13, JSON_OBJECT, false },
		{ "\"a\"", 2, JSON_STRING, false },
		{ "[1, \"x\\n\" ,{} ]", 6, JSON_ARRAY, false },
		{ "1", 4, JSON_NUMBER, false },
		{ "\"x\\n\"", 5, JSON_STRING, true },
		{ "{}", 6, JSON_OBJECT, false },
		{ "\"b\\t\"", 7, JSON_STRING, true },
		{ "true", 8, JSON_TRUE, false },
		{ "\"c\"", 9, JSON_STRING, false },
		{ "null", 10, JSON_NULL, false },
		{ "\"d\"", 11, JSON_STRING, false },
		{ "false", 12, JSON_FALSE, false },
	};
	char text[100];

	snprintf(text, sizeof(text), "\n%s\n", want[0].raw);
	read_doc(text);

	ck_assert_uint_eq(doc.count, COUNT(want));
	ck_assert_uint_eq(doc.nodes[0].next, COUNT(want));
	for (uint32_t i = 0; i < doc.count; i++) {
		const struct bursar_span raw = json_raw(&doc, i);

		ck_assert_uint_eq(raw.size, strlen(want[i].raw));
		ck_assert_mem_eq(raw.data, want[i].raw, raw.size);
		ck_assert_uint_eq(doc.nodes[i].type, want[i].type);
		ck_assert_uint_eq(doc.nodes[i].escaped, want[i].escaped);
		if (i > 0) {
			ck_assert_uint_eq(doc.nodes[i].next, want[i].next);
		}
	}
}
END_TEST

START_TEST(takes_a_scalar_as_root)
{
	read_doc(" 12 ");

	ck_assert_uint_eq(doc.count, 1);
	ck_assert_uint_eq(doc.nodes[0].type, JSON_NUMBER);
	ck_assert_uint_eq(doc.nodes[0].start, 1);
	ck_assert_uint_eq(doc.nodes[0].size, 2);
}
END_TEST

START_TEST(gives_the_memory_of_a_huge_text_back)
{
	size_t size;
	char *huge = zeros(2 << 20, &size);

	ck_assert_int_eq(json_read(reader, huge, size, &doc, &err), 0);
	free(huge);
	ck_assert_uint_gt(json_reader_memory(reader), 32u << 20);

	for (int i = 0; i < 100; i++) {
		read_doc("{\"a\":1}");
	}
	ck_assert_uint_lt(json_reader_memory(reader), 1u << 20);
}
END_TEST

/* --- members and strings ------------------------------------------------- */

START_TEST(finds_a_member_by_its_name)
{
	read_doc("{\"a\":{\"b\":1},\"b\":[2],\"\":3}");

	ck_assert_mem_eq(json_raw(&doc, json_member(&doc, 0, "b")).data,
	                 "[2]", 3);
	ck_assert_mem_eq(json_raw(&doc, json_member(&doc, 0, "")).data, "3", 1);
	const uint32_t a = json_member(&doc, 0, "a");
	ck_assert_mem_eq(json_raw(&doc, json_member(&doc, a, "b")).data, "1", 1);
	ck_assert_uint_eq(json_member(&doc, 0, "c"), 0);
	ck_assert_uint_eq(json_member(&doc, a, "a"), 0);
}
END_TEST

START_TEST(takes_the_last_of_members_of_one_name)
{
	read_doc("{\"a\":1,\"\\u0061\":2,\"b\":{\"a\":3}}");

	ck_assert_mem_eq(json_raw(&doc, json_member(&doc, 0, "a")).data, "2", 1);
}
END_TEST

START_TEST(finds_no_member_where_there_is_no_object)
{
	read_doc("[\"a\",1]");

	ck_assert_uint_eq(json_member(&doc, 0, "a"), 0);
	ck_assert_uint_eq(json_member(&doc, 1, "a"), 0);
	ck_assert_uint_eq(json_member(&doc, 2, "a"), 0);
}
END_TEST

struct test_arena {
	struct bursar_arena arena;
	char *made;
};

static void *arena_alloc(struct bursar_arena *arena, size_t size)
{
	struct test_arena *test = (struct test_arena *)arena;

	ck_assert_ptr_null(test->made);
	test->made = malloc(size);
	return test->made;
}

static void *arena_full(struct bursar_arena *arena, size_t size)
{
	(void)arena, (void)size;
	return NULL;
}

static const struct {
	const char *raw;
	const char *text;
	unsigned met;
} strings[] = {
	{ "\"\"", "", 0 },
	{ "\"plain\"", "plain", 0 },
	{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 0 },
	{ "\"a\\nb\\nc\"", "a\nb\nc", 0 },
	{ "\"\\u0041\\u00e9\\u20AC\\uFFFF\"", "A\xC3\xA9\xE2\x82\xAC\xEF\xBF\xBF",
	  0 },
	{ "\"\\u0001\\u007f\\u0080\\u07ff\\u0800\"",
	  "\x01\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80", 0 },
	{ "\"\\uD83D\\uDE00\"", "\xF0\x9F\x98\x80", 0 },
	{ "\"\\ud800\\udc00\\uDBFF\\uDFFF\"", "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF",
	  0 },
	{ "\"a\\u0000b\"", "a\\u0000b", JSON_HAD_NUL },
	{ "\"\\uD83D\"", "\\uD83D", JSON_HAD_SURROGATE },
	{ "\"\\ude00x\"", "\\ude00x", JSON_HAD_SURROGATE },
	{ "\"\\ud83d\\n\"", "\\ud83d\n", JSON_HAD_SURROGATE },
	{ "\"\\ud83d\\ud83d\\ude00\"", "\\ud83d\xF0\x9F\x98\x80",
	  JSON_HAD_SURROGATE },
	{ "\"\\ude00\\ud83d\\u0000\"", "\\ude00\\ud83d\\u0000",
	  JSON_HAD_SURROGATE | JSON_HAD_NUL },
	{ "\"\xC3\xA9\\n\"", "\xC3\xA9\n", 0 },
};

START_TEST(resolves_escapes)
{
	struct test_arena arena = { { arena_alloc }, NULL };
	const size_t size = strlen(strings[_i].text);
	struct bursar_span text;
	unsigned met;

	read_doc(strings[_i].raw);
	ck_assert(json_text(&doc, 0, &arena.arena, &text, &met));

	ck_assert_uint_eq(text.size, size);
	ck_assert_mem_eq(text.data, strings[_i].text, size);
	ck_assert_uint_eq(met, strings[_i].met);
	free(arena.made);
}
END_TEST

START_TEST(lends_the_span_of_a_string_without_escapes)
{
	struct bursar_arena full = { arena_full };
	struct bursar_span text;
	unsigned met;

	read_doc("[\"plain\",\"\\n\"]");

	ck_assert(json_text(&doc, 1, &full, &text, &met));
	ck_assert_ptr_eq(text.data, doc.text + 2);
	ck_assert(!json_text(&doc, 2, &full, &text, &met));
}
END_TEST

START_TEST(compares_strings_with_escapes_understood)
{
	const char *text = strings[_i].text;
	const size_t size = strlen(text);
	char other[64];

	read_doc(strings[_i].raw);

	ck_assert(json_equals(&doc, 0, text, size));
	ck_assert(size == 0 || !json_equals(&doc, 0, text, size - 1));
	memcpy(other, text, size);
	other[size] = 'x';
	ck_assert(!json_equals(&doc, 0, other, size + 1));
	if (size > 0) {
		other[size - 1] ^= 1;
		ck_assert(!json_equals(&doc, 0, other, size));
	}
}
END_TEST

/* --- numbers ------------------------------------------------------------- */

#define NONE { false, 0 }

struct answer {
	bool    good;
	int64_t value;
};

static const struct {
	const char *text;
	struct answer want;
} integers[] = {
	{ "0", { true, 0 } }, { "-0", { true, 0 } }, { "7", { true, 7 } },
	{ "-7", { true, -7 } }, { "75.9", { true, 75 } },
	{ "-75.9", { true, -75 } }, { "-0.5", { true, 0 } },
	{ "0.9999999999999999999999", { true, 0 } }, { "1e3", { true, 1000 } },
	{ "1.5e1", { true, 15 } }, { "1.25e1", { true, 12 } },
	{ "123e-2", { true, 1 } }, { "123e-3", { true, 0 } },
	{ "123e-99999999999999999999", { true, 0 } },
	{ "0e99999999999999999999", { true, 0 } }, { "0.000e400", { true, 0 } },
	{ "0.000123e6", { true, 123 } }, { "1e18", { true, 1000000000000000000 } },
	{ "1e19", NONE }, { "1e400", NONE }, { "1e99999999999999999999", NONE },
	{ "9223372036854775807", { true, INT64_MAX } },
	{ "9223372036854775807.9", { true, INT64_MAX } },
	{ "9223372036854775808", NONE }, { "9999999999999999999", NONE },
	{ "18446744073709551616", NONE }, { "18446744073709551617", NONE },
	{ "-9223372036854775808", { true, INT64_MIN } },
	{ "-9223372036854775808.9", { true, INT64_MIN } },
	{ "-9223372036854775809", NONE },
	{ "9007199254740993", { true, 9007199254740993 } },
	{ "123456789012345678901234567890", NONE },
	{ "123456789012345678901234567890e-20", { true, 1234567890 } },
	{ "0.00000000000000000000000012345e30", { true, 123450 } },
	{ "\"75\"", { true, 75 } }, { "\"75ms\"", { true, 75 } },
	{ "\"-75ms\"", { true, -75 } }, { "\"+75\"", { true, 75 } },
	{ "\"75.9\"", { true, 75 } }, { "\"007\"", { true, 7 } },
	{ "\"75\\n\"", { true, 75 } }, { "\"1e3\"", { true, 1 } },
	{ "\"abc\"", NONE }, { "\"\"", NONE }, { "\"-\"", NONE },
	{ "\"+-1\"", NONE }, { "\" 1\"", NONE }, { "\".5\"", NONE },
	{ "\"9223372036854775808\"", NONE },
	{ "\"-9223372036854775808\"", { true, INT64_MIN } },
	{ "true", NONE }, { "null", NONE }, { "[1]", NONE }, { "{}", NONE },
};

START_TEST(reads_integers_truncated_toward_zero)
{
	int64_t value = -1;

	read_doc(integers[_i].text);
	const bool good = json_int(&doc, 0, &value);

	ck_assert_msg(good == integers[_i].want.good, "%s", integers[_i].text);
	if (good) {
		ck_assert_int_eq(value, integers[_i].want.value);
	}
}
END_TEST

static const struct {
	const char *text;
	int digits;
	struct answer want;
} decimals[] = {
	{ "0.00548848", 9, { true, 5488480 } }, { "0", 9, { true, 0 } },
	{ "-0.0", 9, { true, 0 } }, { "1", 9, { true, 1000000000 } },
	{ "-1.5", 9, { true, -1500000000 } }, { "0.1", 9, { true, 100000000 } },
	{ "1e-9", 9, { true, 1 } }, { "1e-10", 9, { true, 0 } },
	{ "5e-10", 9, { true, 0 } }, { "1.5e-9", 9, { true, 2 } },
	{ "2.5e-9", 9, { true, 2 } }, { "3.5e-9", 9, { true, 4 } },
	{ "-2.5e-9", 9, { true, -2 } }, { "-3.5e-9", 9, { true, -4 } },
	{ "0.5", 0, { true, 0 } }, { "1.5", 0, { true, 2 } },
	{ "0.51", 0, { true, 1 } }, { "0.49999999999999999999", 0, { true, 0 } },
	{ "0.50000000000000000001", 0, { true, 1 } },
	{ "2.5000000000000000000", 0, { true, 2 } },
	{ "0.0000000005000000000000000000000000000001", 9, { true, 1 } },
	{ "0.05", 0, { true, 0 } }, { "0.09", 0, { true, 0 } },
	{ "9.99", 1, { true, 100 } }, { "0.999999999999", 9, { true, 1000000000 } },
	{ "9223372036.854775807", 9, { true, INT64_MAX } },
	{ "9223372036.8547758074", 9, { true, INT64_MAX } },
	{ "9223372036.8547758075", 9, NONE },
	{ "-9223372036.854775808", 9, { true, INT64_MIN } },
	{ "-9223372036.8547758085", 9, { true, INT64_MIN } },
	{ "-9223372036.8547758086", 9, NONE },
	{ "9223372037", 9, NONE }, { "1e400", 9, NONE }, { "1e-400", 9, { true, 0 } },
	{ "123456789012345678901234567890e-25", 9, { true, 12345678901235 } },
	{ "5.48848E-3", 9, { true, 5488480 } }, { "1E+2", 2, { true, 10000 } },
	{ "\"0.00548848\"", 9, { true, 5488480 } }, { "\"-2\"", 1, { true, -20 } },
	{ "\"1e3\"", 0, { true, 1000 } }, { "\"\"", 9, NONE },
	{ "\"0.5 USD\"", 9, NONE }, { "\" 0.5\"", 9, NONE }, { "\"+1\"", 9, NONE },
	{ "\"$1\"", 9, NONE }, { "\"1.\"", 9, NONE }, { "\".5\"", 9, NONE },
	{ "\"01\"", 9, NONE }, { "\"1e\"", 9, NONE }, { "\"-\"", 9, NONE },
	{ "\"NaN\"", 9, NONE }, { "\"0x1\"", 9, NONE }, { "\"1,5\"", 9, NONE },
	{ "true", 9, NONE }, { "null", 9, NONE }, { "[1]", 9, NONE },
};

START_TEST(reads_decimals_exactly)
{
	int64_t value = -1;

	read_doc(decimals[_i].text);
	const bool good = json_decimal(&doc, 0, decimals[_i].digits, &value);

	ck_assert_msg(good == decimals[_i].want.good, "%s", decimals[_i].text);
	if (good) {
		ck_assert_int_eq(value, decimals[_i].want.value);
	}
}
END_TEST

/* --- minify -------------------------------------------------------------- */

static const struct {
	const char *text;
	const char *want;
} minified[] = {
	{ "", "" },
	{ " ", "" },
	{ "{ \"a\" :\t[1,\r\n 2 ] }\n", "{\"a\":[1,2]}" },
	{ "\" a b \\\" c \" d ", "\" a b \\\" c \"d" },
	{ "\"a\\\\\" x \"b \\\\\\\" c\"  ", "\"a\\\\\"x\"b \\\\\\\" c\"" },
	{ "not JSON at all", "notJSONatall" },
	{ "not \"closed string", "not\"closed string" },
	{ "\\\" a \" b c \" d", "\\\"a\" b c \"d" },
	{ "\x0B \x0C", "\x0B\x0C" },
	{ "[                                                                \"  "
	  "                                                                \"  ]",
	  "[\"                                                                  "
	  "\"]" },
};

START_TEST(leaves_out_white_space_outside_strings)
{
	const char *text = minified[_i].text;
	const size_t size = strlen(text);
	const size_t want = strlen(minified[_i].want);
	char *out = malloc(size + PADDING);

	ck_assert_uint_eq(json_minify(pad(text, size, '"'), size, out), want);
	ck_assert_mem_eq(out, minified[_i].want, want);
	ck_assert_uint_eq(json_minify_plain(padded, size, out), want);
	ck_assert_mem_eq(out, minified[_i].want, want);
	free(out);
}
END_TEST

/* --- suite --------------------------------------------------------------- */

/* What simdjson does where the processor has none of its instructions. */
static void setup_plain(void)
{
	setenv("SIMDJSON_FORCE_IMPLEMENTATION", "fallback", 1);
	setup();
}

static void add_reading(Suite *s, const char *name, SFun start)
{
	TCase *reading = tcase_create(name);

	tcase_add_checked_fixture(reading, start, teardown);
	tcase_set_timeout(reading, 60);
	tcase_add_loop_test(reading, takes_what_the_grammar_allows,
	                    0, COUNT(good_values));
	tcase_add_loop_test(reading, refuses_what_the_grammar_forbids,
	                    0, COUNT(bad_values));
	tcase_add_loop_test(reading, refuses_what_is_no_whole_document,
	                    0, COUNT(bad_documents));
	tcase_add_test(reading, refuses_every_beginning_of_a_document);
	tcase_add_test(reading, finds_a_bad_byte_at_every_offset);
	suite_add_tcase(s, reading);
}

static Suite *suite(void)
{
	Suite *s = suite_create("json");

	add_reading(s, "reading", setup);
	add_reading(s, "reading without vectors", setup_plain);

	TCase *limits = tcase_create("limits");
	tcase_add_checked_fixture(limits, setup, teardown);
	tcase_set_timeout(limits, 60);
	tcase_add_test(limits, takes_as_many_levels_as_it_promises);
	tcase_add_test(limits, refuses_a_level_more);
	tcase_add_test(limits, refuses_endless_opening);
	tcase_add_test(limits, takes_as_many_nodes_as_it_promises);
	tcase_add_test(limits, refuses_a_node_more);
	tcase_add_test(limits, gives_the_memory_of_a_huge_text_back);
	suite_add_tcase(s, limits);

	TCase *nodes = tcase_create("nodes");
	tcase_add_checked_fixture(nodes, setup, teardown);
	tcase_add_test(nodes, lists_nodes_in_the_order_of_the_text);
	tcase_add_test(nodes, takes_a_scalar_as_root);
	tcase_add_loop_test(nodes,
		says_what_was_expected_and_where_but_never_what_was_there,
		0, COUNT(reasons));
	suite_add_tcase(s, nodes);

	TCase *values = tcase_create("values");
	tcase_add_checked_fixture(values, setup, teardown);
	tcase_add_test(values, finds_a_member_by_its_name);
	tcase_add_test(values, takes_the_last_of_members_of_one_name);
	tcase_add_test(values, finds_no_member_where_there_is_no_object);
	tcase_add_loop_test(values, resolves_escapes, 0, COUNT(strings));
	tcase_add_test(values, lends_the_span_of_a_string_without_escapes);
	tcase_add_loop_test(values, compares_strings_with_escapes_understood,
	                    0, COUNT(strings));
	tcase_add_loop_test(values, reads_integers_truncated_toward_zero,
	                    0, COUNT(integers));
	tcase_add_loop_test(values, reads_decimals_exactly, 0, COUNT(decimals));
	tcase_add_loop_test(values, leaves_out_white_space_outside_strings,
	                    0, COUNT(minified));
	suite_add_tcase(s, values);
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
