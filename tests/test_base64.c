/* SPDX-License-Identifier: Apache-2.0 */

/* Base64: the vectors of RFC 4648, libsodium as a second opinion. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <check.h>
#include <sodium.h>

#include "common/base64.h"

static struct bursar_span span(const char *text)
{
	return (struct bursar_span){ text, strlen(text) };
}

static const struct {
	const char *plain;
	const char *text;
} vectors[] = {
	{ "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" },
	{ "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" },
	{ "foobar", "Zm9vYmFy" }, { "\xfb\xff\xbf", "+/+/" },
};

START_TEST(agrees_with_the_standard)
{
	const char *plain = vectors[_i].plain;
	const char *text = vectors[_i].text;
	char out[16] = "";
	size_t size;

	base64_encode(plain, strlen(plain), out);
	ck_assert_str_eq(out, text);
	ck_assert_uint_eq(base64_encoded_size(strlen(plain)), strlen(text));

	ck_assert(base64_decoded_size(span(text), &size));
	ck_assert_uint_eq(size, strlen(plain));
	ck_assert(base64_decode(span(text), out));
	ck_assert_mem_eq(out, plain, size);
	ck_assert_uint_eq(base64_decode_loose(span(text), out), size);
	ck_assert_mem_eq(out, plain, size);
}
END_TEST

static const char *const bad[] = {
	"A", "AA", "AAA", "AAAAA", "A===", "====", "=AAA", "A=AA", "AA=A",
	"AAA=AAAA", "AA==AAAA", "AAA\n", "AA A", "\nAAA", "AA-A", "AA_A",
	"AAA\x80", "AAA\xff", "AAA.", "AB==", "AAB=", "A*==", "AA*=",
};

START_TEST(refuses_what_is_not_strict)
{
	const size_t size = strlen(bad[_i]);
	/* No longer than it says, so that a look behind it is found. */
	char *text = malloc(size);
	char *out = malloc(size);

	memcpy(text, bad[_i], size);
	ck_assert(!base64_decode((struct bursar_span){ text, size }, out));
	free(text);
	free(out);
}
END_TEST

START_TEST(refuses_every_byte_that_is_not_of_the_alphabet)
{
	char text[] = "AAAAAAAA";
	char out[6];

	for (size_t place = 0; place < 8; place++) {
		for (int c = 0; c < 256; c++) {
			const bool good = c != 0 && strchr("ABCDEFGHIJKLMNOPQRS"
			    "TUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
			    c) != NULL;

			text[place] = (char)c;
			if (c != '=') {
				ck_assert_int_eq(base64_decode(
				    (struct bursar_span){ text, 8 }, out),
				    good);
			}
		}
		text[place] = 'A';
	}
}
END_TEST

static const struct {
	const char *text;
	const char *plain;
} loose[] = {
	{ "Zm9v\nYmFy\n", "foobar" }, { "Z m\r\n9\tv", "foo" },
	{ "Zm8=\nYmFy", "fo" }, { "Zg", "f" }, { "Zm9vYg", "foob" },
	{ "Z", "" }, { "=Zm9v", "" }, { "\n\n", "" }, { "Zm9vY", "foo" },
	{ "-Zm9v_", "foo" },
};

START_TEST(reads_what_mail_programs_write)
{
	const struct bursar_span text = span(loose[_i].text);
	char *out = malloc(base64_loose_size(text));
	const size_t size = base64_decode_loose(text, out);

	ck_assert_uint_eq(size, strlen(loose[_i].plain));
	ck_assert_mem_eq(out, loose[_i].plain, size);
	free(out);
}
END_TEST

START_TEST(agrees_with_another_implementation)
{
	unsigned char bytes[200];
	unsigned char back[200];
	char text[300];
	char want[300];

	for (size_t size = 0; size <= sizeof(bytes); size++) {
		const size_t text_size = base64_encoded_size(size);
		const struct bursar_span made = { text, text_size };

		randombytes_buf(bytes, size);
		sodium_bin2base64(want, sizeof(want), bytes, size,
		                  sodium_base64_VARIANT_ORIGINAL);
		base64_encode(bytes, size, text);
		ck_assert_mem_eq(text, want, text_size);
		ck_assert(base64_decode(made, back));
		ck_assert_mem_eq(back, bytes, size);
	}
}
END_TEST

#define LOOP(tcase, test, table) \
	tcase_add_loop_test(tcase, test, 0, sizeof(table) / sizeof((table)[0]))

int main(void)
{
	Suite *s = suite_create("base64");
	TCase *tcase = tcase_create("base64");

	LOOP(tcase, agrees_with_the_standard, vectors);
	LOOP(tcase, refuses_what_is_not_strict, bad);
	tcase_add_test(tcase, refuses_every_byte_that_is_not_of_the_alphabet);
	LOOP(tcase, reads_what_mail_programs_write, loose);
	tcase_add_test(tcase, agrees_with_another_implementation);
	suite_add_tcase(s, tcase);

	SRunner *runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
