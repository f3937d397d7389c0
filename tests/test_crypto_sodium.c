/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The sodium crypto, loaded as the daemon loads it.  Messages are made here as
 * its manual says, with libsodium alone.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <check.h>
#include <sodium.h>

#include <bursar/crypto.h>

#include "tests/fakehost.h"

#define SODIUM "encrypted/sodium"
#define SEALED "encrypted/sealed"

/* 32 bytes of 1, 2 ... and of 0x41, 0x42 ... */
#define KEY_A "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
#define KEY_B "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVpbXF1eX2A="
/* A box whose secret half is KEY_A, and its public half. */
#define PUBLIC_A "B6N8vBQgk8i3VdwbEOhstCY3StFqqFPtC9/AsrhtHHw="

/* `plain` under KEY_A, id new, nonce 0, 1, 2 ... */
#define FIRST_RELEASE_BODY \
	"7gexA6drYjSEHYnremcvBgsGRbEFjUYiMsI15nnEKbCHp2C0T7lW2tI="

static const char plain[] = "{\"conversation\":\"conv_1\"}";
#define PLAIN_SIZE (sizeof(plain) - 1)

static const struct bursar_crypto_ops *ops;
static struct fakehost host;
static struct fakearena arena;
static struct bursar_crypto *crypto;
static struct bursar_error err;

static void setup(void)
{
	const struct bursar_plugin *plugin = fakehost_load("crypto", "sodium");

	ck_assert_int_ge(sodium_init(), 0);
	memset(&err, 0, sizeof(err));
	ops = plugin->ops.crypto;
	fakehost_init(&host, NULL);
	fakehost_declare(&host, plugin->options);
	fakearena_init(&arena);
	crypto = NULL;
}

static void teardown(void)
{
	ops->close(crypto);
	fakearena_clear(&arena);
	fakehost_finish(&host);
}

static void open_with(const char *keys)
{
	ops->close(crypto);
	fakehost_set(&host, "keys", keys);
	crypto = ops->open(&host.host, &err);
	ck_assert_msg(crypto != NULL, "%s", err.text);
}

static void setup_open(void)
{
	setup();
	open_with("secret new " KEY_A "\n"
	          "secret old " KEY_B "\n"
	          "sealed box " KEY_A "\n");
}

static struct bursar_span span(const char *text)
{
	return (struct bursar_span){ text, text ? strlen(text) : 0 };
}

/* A message whose parts a test can spoil; NULL is "not there". */
struct parts {
	const char *encoding;
	char *id;
	char *iv;
	char *body;
};

static struct bursar_sealed unseal(const struct parts *parts)
{
	struct bursar_header headers[2];
	size_t count = 0;

	if (parts->id != NULL) {
		headers[count++] = (struct bursar_header){
			span("x-bursar-key-id"), span(parts->id),
		};
	}
	if (parts->iv != NULL) {
		headers[count++] = (struct bursar_header){
			span("iv"), span(parts->iv),
		};
	}
	const struct bursar_message m = {
		.body = span(parts->body),
		.content_encoding = span(parts->encoding),
		.headers = headers,
		.header_count = count,
	};
	struct bursar_sealed item = { .message = &m };
	ck_assert_int_eq(ops->unseal(crypto, &item, 1, &arena.arena, &err),
	                 BURSAR_DONE);
	item.message = NULL;
	return item;
}

static void assert_opened(struct bursar_sealed item, const char *want,
                          size_t size)
{
	ck_assert_int_eq(item.result, BURSAR_OPENED);
	ck_assert_uint_eq(item.plain.size, size);
	ck_assert_mem_eq(item.plain.data, want, size);
	ck_assert(!item.legacy);
}

static void assert_closed(struct bursar_sealed item, enum bursar_unsealed why)
{
	ck_assert_int_eq(item.result, why);
	ck_assert_ptr_null(item.plain.data);
}

static char *encode(const unsigned char *bytes, size_t size)
{
	const size_t room = sodium_base64_encoded_len(size,
	                        sodium_base64_VARIANT_ORIGINAL);

	return sodium_bin2base64(malloc(room), room, bytes, size,
	                         sodium_base64_VARIANT_ORIGINAL);
}

static void decode_key(const char *text, unsigned char key[32])
{
	ck_assert_int_eq(sodium_base642bin(key, 32, text, strlen(text), NULL,
	                 NULL, NULL, sodium_base64_VARIANT_ORIGINAL), 0);
}

/* A producer with a secret key. */
static struct parts make_secret(const char *id, const char *key_text)
{
	unsigned char key[32];
	unsigned char nonce[24];
	unsigned char sealed[PLAIN_SIZE + 16];
	char label[100];
	const int label_size = snprintf(label, sizeof(label), "%s%c%s",
	                                SODIUM, 0, id);

	decode_key(key_text, key);
	randombytes_buf(nonce, sizeof(nonce));
	crypto_aead_xchacha20poly1305_ietf_encrypt(sealed, NULL,
	        (const unsigned char *)plain, PLAIN_SIZE,
	        (const unsigned char *)label, (size_t)label_size, NULL, nonce,
	        key);
	return (struct parts){
		SODIUM, strdup(id), encode(nonce, sizeof(nonce)),
		encode(sealed, sizeof(sealed)),
	};
}

/* A producer that holds the public half only. */
static struct parts make_sealed(const char *id, const char *public_text)
{
	unsigned char public[32];
	unsigned char sealed[PLAIN_SIZE + crypto_box_SEALBYTES];

	decode_key(public_text, public);
	crypto_box_seal(sealed, (const unsigned char *)plain, PLAIN_SIZE,
	                public);
	return (struct parts){
		SEALED, strdup(id), NULL, encode(sealed, sizeof(sealed)),
	};
}

static void finish(struct parts *parts)
{
	free(parts->id);
	free(parts->iv);
	free(parts->body);
}

/*
 * --- opening
 */

START_TEST(opens_what_was_sealed_under_any_of_its_keys)
{
	struct parts parts[] = {
		make_secret("new", KEY_A), make_secret("old", KEY_B),
		make_sealed("box", PUBLIC_A),
	};

	for (size_t i = 0; i < 3; i++) {
		assert_opened(unseal(&parts[i]), plain, PLAIN_SIZE);
		finish(&parts[i]);
	}
	ck_assert_int_eq(fakehost_figure(&host, "other_key_messages_total"), 2);
}
END_TEST

/* Made once; it must open in every later release. */
START_TEST(opens_a_message_of_the_first_release)
{
	const struct parts parts = {
		SODIUM, (char *)"new", (char *)"AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
		(char *)FIRST_RELEASE_BODY,
	};

	assert_opened(unseal(&parts), plain, PLAIN_SIZE);
}
END_TEST

START_TEST(knows_a_key_only_by_its_own_name)
{
	const char *const others[] = { "ne", "neww", "NEW", "box", "", "n w" };

	for (size_t i = 0; i < 6; i++) {
		struct parts parts = make_secret(others[i], KEY_A);

		assert_closed(unseal(&parts), i == 4 ? BURSAR_BROKEN
		                                     : BURSAR_NO_KEY);
		finish(&parts);
	}
}
END_TEST

START_TEST(knows_no_box_by_the_name_of_a_secret_key)
{
	struct parts parts = make_sealed("new", PUBLIC_A);

	assert_closed(unseal(&parts), BURSAR_NO_KEY);
	finish(&parts);
}
END_TEST

START_TEST(looks_at_the_iv_before_it_looks_for_a_key)
{
	struct parts parts = make_secret("unknown", KEY_A);

	free(parts.iv);
	parts.iv = NULL;
	assert_closed(unseal(&parts), BURSAR_BROKEN);
	finish(&parts);
}
END_TEST

START_TEST(needs_a_key_id)
{
	struct parts parts[] = {
		make_secret("new", KEY_A), make_sealed("box", PUBLIC_A),
	};

	for (size_t i = 0; i < 2; i++) {
		free(parts[i].id);
		parts[i].id = NULL;
		assert_closed(unseal(&parts[i]), BURSAR_BROKEN);
		finish(&parts[i]);
	}
}
END_TEST

START_TEST(a_key_id_cannot_be_changed_even_where_the_key_is_the_same)
{
	struct parts parts = make_secret("one", KEY_A);

	open_with("secret one " KEY_A "\nsecret two " KEY_A "\n");
	assert_opened(unseal(&parts), plain, PLAIN_SIZE);
	memcpy(parts.id, "two", 3);
	assert_closed(unseal(&parts), BURSAR_BROKEN);
	finish(&parts);
}
END_TEST

static void change_each_character(const struct parts *parts, char *text)
{
	const char others[] = { 'A', '=', '\n', '/' };

	for (size_t i = 0; i < strlen(text); i++) {
		const char was = text[i];

		for (size_t n = 0; n < sizeof(others); n++) {
			text[i] = others[n];
			if (others[n] != was) {
				assert_closed(unseal(parts), BURSAR_BROKEN);
			}
		}
		text[i] = was;
	}
	assert_opened(unseal(parts), plain, PLAIN_SIZE);
}

START_TEST(notices_a_change_of_any_character)
{
	struct parts parts[] = {
		make_secret("new", KEY_A), make_sealed("box", PUBLIC_A),
	};

	change_each_character(&parts[0], parts[0].body);
	change_each_character(&parts[0], parts[0].iv);
	change_each_character(&parts[1], parts[1].body);
	finish(&parts[0]);
	finish(&parts[1]);
}
END_TEST

START_TEST(notices_a_cut_at_any_place)
{
	struct parts parts[] = {
		make_secret("new", KEY_A), make_sealed("box", PUBLIC_A),
	};

	for (size_t i = 0; i < 2; i++) {
		while (parts[i].body[0] != '\0') {
			parts[i].body[strlen(parts[i].body) - 1] = '\0';
			assert_closed(unseal(&parts[i]), BURSAR_BROKEN);
		}
		finish(&parts[i]);
	}
}
END_TEST

START_TEST(opens_no_empty_text)
{
	unsigned char sealed[crypto_box_SEALBYTES];
	unsigned char public[32];

	decode_key(PUBLIC_A, public);
	crypto_box_seal(sealed, NULL, 0, public);
	struct parts parts = {
		SEALED, strdup("box"), NULL, encode(sealed, sizeof(sealed)),
	};

	assert_closed(unseal(&parts), BURSAR_BROKEN);
	finish(&parts);
}
END_TEST

START_TEST(a_broken_message_harms_no_other)
{
	struct parts parts = make_secret("new", KEY_A);
	const struct bursar_header headers[] = {
		{ span("iv"), span(parts.iv) },
		{ span("x-bursar-key-id"), span("new") },
	};
	const struct bursar_message good = {
		.body = span(parts.body), .content_encoding = span(SODIUM),
		.headers = headers, .header_count = 2,
	};
	const struct bursar_message bad = {
		.body = span("AAAA"), .content_encoding = span(SODIUM),
		.headers = headers, .header_count = 2,
	};
	struct bursar_sealed items[100];

	for (size_t i = 0; i < 100; i++) {
		items[i] = (struct bursar_sealed){ i % 3 ? &good : &bad };
	}
	ck_assert_int_eq(ops->unseal(crypto, items, 100, &arena.arena, &err),
	                 BURSAR_DONE);
	for (size_t i = 0; i < 100; i++) {
		if (i % 3 != 0) {
			assert_opened(items[i], plain, PLAIN_SIZE);
		} else {
			assert_closed(items[i], BURSAR_BROKEN);
		}
	}
	finish(&parts);
}
END_TEST

/*
 * --- sealing
 */

static struct bursar_seal seal(const char *text, size_t size)
{
	struct bursar_seal out;

	ck_assert_int_eq(ops->seal(crypto, (struct bursar_span){ text, size },
	                           &out, &arena.arena, &err), BURSAR_DONE);
	return out;
}

static struct bursar_sealed unseal_seal(const struct bursar_seal *made)
{
	const struct bursar_message m = {
		.body = made->body,
		.content_encoding = span(made->encoding),
		.headers = made->headers,
		.header_count = made->header_count,
	};
	struct bursar_sealed item = { .message = &m };

	ck_assert_int_eq(ops->unseal(crypto, &item, 1, &arena.arena, &err),
	                 BURSAR_DONE);
	item.message = NULL;
	return item;
}

static void assert_header(const struct bursar_seal *made, size_t i,
                          const char *name, const char *value)
{
	const struct bursar_header *header = &made->headers[i];

	ck_assert_uint_lt(i, made->header_count);
	ck_assert_uint_eq(header->name.size, strlen(name));
	ck_assert_mem_eq(header->name.data, name, strlen(name));
	if (value != NULL) {
		ck_assert_uint_eq(header->value.size, strlen(value));
		ck_assert_mem_eq(header->value.data, value, strlen(value));
	}
}

START_TEST(seals_under_the_first_secret_key)
{
	open_with("sealed box " KEY_A "\nsecret new " KEY_B "\n"
	          "secret old " KEY_A "\n");
	const struct bursar_seal made = seal(plain, PLAIN_SIZE);

	ck_assert_str_eq(made.encoding, SODIUM);
	ck_assert_uint_eq(made.header_count, 2);
	assert_header(&made, 0, "x-bursar-key-id", "new");
	assert_header(&made, 1, "iv", NULL);
	ck_assert_uint_eq(made.key_id.size, 3);
	ck_assert_mem_eq(made.key_id.data, "new", 3);
	open_with("secret newer " KEY_A "\nsecret new " KEY_B "\n");
	assert_opened(unseal_seal(&made), plain, PLAIN_SIZE);
}
END_TEST

START_TEST(a_producer_with_a_public_key_seals_and_cannot_open)
{
	open_with("public box " PUBLIC_A "\n");
	const struct bursar_seal made = seal(plain, PLAIN_SIZE);

	ck_assert_str_eq(made.encoding, SEALED);
	ck_assert_uint_eq(made.header_count, 1);
	assert_header(&made, 0, "x-bursar-key-id", "box");
	assert_closed(unseal_seal(&made), BURSAR_NO_KEY);
	open_with("sealed box " PUBLIC_A " " KEY_A "\n");
	assert_opened(unseal_seal(&made), plain, PLAIN_SIZE);
}
END_TEST

START_TEST(opens_what_it_sealed_at_any_size)
{
	static char text[(4 << 20) + 1];
	static const char *const keys[] = {
		"secret a " KEY_A, "sealed a " KEY_A,
	};

	randombytes_buf(text, sizeof(text));
	open_with(keys[_i]);
	for (size_t size = 1; size <= sizeof(text); size += size / 8 + 1) {
		const struct bursar_seal made = seal(text, size);

		assert_opened(unseal_seal(&made), text, size);
	}
}
END_TEST

START_TEST(seals_no_empty_text)
{
	struct bursar_seal out;

	ck_assert_int_eq(ops->seal(crypto, span(""), &out, &arena.arena, &err),
	                 BURSAR_REJECT);
	ck_assert_int_ne(err.code, 0);
}
END_TEST

START_TEST(asks_to_come_again_when_memory_is_short)
{
	const struct bursar_seal made = seal(plain, PLAIN_SIZE);
	const struct bursar_message m = {
		.body = made.body, .content_encoding = span(made.encoding),
		.headers = made.headers, .header_count = made.header_count,
	};
	struct bursar_sealed item = { .message = &m };
	struct bursar_seal out;

	for (size_t left = 0; left < PLAIN_SIZE; left++) {
		arena.left = left;
		ck_assert_int_eq(ops->unseal(crypto, &item, 1, &arena.arena,
		                             &err), BURSAR_RETRY);
		arena.left = left;
		ck_assert_int_eq(ops->seal(crypto, span(plain), &out,
		                           &arena.arena, &err), BURSAR_RETRY);
	}
	ck_assert_int_ne(err.code, 0);
}
END_TEST

/*
 * --- keys
 */

static const struct {
	const char *keys;
	const char *says;
} refused[] = {
	{ NULL, "no key" },
	{ "", "no key" },
	{ "# secret a " KEY_A "\n\n", "no key" },
	{ "secret", "line 1" },
	{ "secret a", "line 1" },
	{ "\nsecrets a " KEY_A, "line 2" },
	{ "Secret a " KEY_A, "line 1" },
	{ KEY_A, "line 1" },
	{ "secret " KEY_A, "line 1" },
	{ "secret a " KEY_A "AAAA", "line 1" },
	{ "secret a AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHw==", "line 1" },
	{ "secret a AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA", "line 1" },
	{ "secret a AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyB=", "line 1" },
	{ "secret a " KEY_A " " KEY_B, "line 1" },
	{ "secret a " KEY_A " # mine", "line 1" },
	{ "secret a " KEY_A "\nsecret b " KEY_B "\nsecret a " KEY_B, "line 3" },
	{ "sealed a " KEY_A "\npublic a " PUBLIC_A, "line 2" },
	{ "sealed a " KEY_B " " KEY_A, "line 1" },
	{ "sealed a " PUBLIC_A " " KEY_A " x", "line 1" },
	{ "public a " PUBLIC_A " " KEY_A, "line 1" },
	{ "secret \x01 " KEY_A, "line 1" },
	{ "secret 12345678901234567890123456789012345678901234567890123456789"
	  "012345 " KEY_A, "line 1" },
};

START_TEST(names_the_line_that_is_no_key_and_not_what_it_says)
{
	fakehost_set(&host, "keys", refused[_i].keys);
	crypto = ops->open(&host.host, &err);

	ck_assert_ptr_null(crypto);
	ck_assert_msg(strstr(err.text, refused[_i].says) != NULL, "%s",
	              err.text);
	ck_assert_ptr_null(strstr(err.text, "AQID"));
	ck_assert_ptr_null(strstr(host.log, "AQID"));
}
END_TEST

static const char *const accepted[] = {
	"secret a " KEY_A,
	"# first\r\n\r\n\tsecret  a\t" KEY_A " \r\n  # last",
	"secret a " KEY_A "\nsealed a " KEY_A "\n",
	"sealed a " PUBLIC_A " " KEY_A,
	"public a " PUBLIC_A,
	"secret 1234567890123456789012345678901234567890123456789012345678901"
	"234 " KEY_A,
};

START_TEST(takes_keys_in_any_of_their_forms)
{
	open_with(accepted[_i]);
}
END_TEST

START_TEST(refuses_more_keys_than_it_has_room_for)
{
	static char many[129 * 80];
	size_t size = 0;

	for (int i = 0; i < 129; i++) {
		size += (size_t)snprintf(many + size, sizeof(many) - size,
		                         "secret k%d " KEY_A "\n", i);
	}
	fakehost_set(&host, "keys", many);
	crypto = ops->open(&host.host, &err);

	ck_assert_ptr_null(crypto);
	ck_assert_ptr_nonnull(strstr(err.text, "line 129"));
}
END_TEST

START_TEST(logs_no_key_and_no_content)
{
	struct parts parts = make_secret("other", KEY_B);

	const size_t logged = host.log_size;

	unseal(&parts);
	finish(&parts);
	ck_assert_uint_eq(host.log_size, logged);
	ck_assert_ptr_null(strstr(host.log, "AQID"));
}
END_TEST

START_TEST(keeps_one_copy_of_a_key_and_wipes_it_in_the_end)
{
	unsigned char masked[32];

	for (int i = 0; i < 32; i++) {
		masked[i] = (unsigned char)((i + 1) ^ FAKEHOST_MASK);
	}
	if (fakehost_find_bytes(masked, sizeof(masked)) < 0) {
		return;
	}
	open_with("secret a " KEY_A);
	const struct bursar_seal made = seal(plain, PLAIN_SIZE);
	assert_opened(unseal_seal(&made), plain, PLAIN_SIZE);
	const int open_copies = fakehost_find_bytes(masked, sizeof(masked));
	ops->close(crypto);
	crypto = NULL;
	const int copies = fakehost_find_bytes(masked, sizeof(masked));

	ck_assert_int_eq(open_copies, 1);
	ck_assert_int_eq(copies, 0);
}
END_TEST

static void generate(char *text, size_t size, const char *type, const char *id)
{
	FILE *out = fmemopen(text, size, "w");

	ck_assert_int_eq(ops->keygen(out, type, id, &err), 0);
	fclose(out);
}

START_TEST(makes_keys_that_it_takes)
{
	char first[400] = "";
	char second[400] = "";

	generate(first, sizeof(first), NULL, "2026-11-20");
	generate(second, sizeof(second), "secret", "2026-11-20");
	ck_assert_str_ne(first, second);
	ck_assert_int_eq(strncmp(first, "secret 2026-11-20 ", 18), 0);
	open_with(first);

	generate(first, sizeof(first), "sealed", "2026-11-20");
	open_with(first);
	const struct bursar_seal made = seal(plain, PLAIN_SIZE);
	assert_opened(unseal_seal(&made), plain, PLAIN_SIZE);
}
END_TEST

START_TEST(the_comment_beside_a_new_box_is_what_a_producer_needs)
{
	char text[400] = "";

	generate(text, sizeof(text), "sealed", "a");
	ck_assert_int_eq(strncmp(text, "# public a ", 11), 0);
	char *line = strdup(text);
	strchr(line, '\n')[0] = '\0';

	open_with(line + 2);
	const struct bursar_seal made = seal(plain, PLAIN_SIZE);
	open_with(text);
	assert_opened(unseal_seal(&made), plain, PLAIN_SIZE);
	free(line);
}
END_TEST

static const struct {
	const char *type;
	const char *id;
} no_keys[] = {
	{ "public", "a" }, { "rsa", "a" }, { "", "a" }, { "secret", "" },
	{ "secret", "a b" }, { "secret", "a\nb" }, { "secret", NULL },
};

START_TEST(makes_no_key_that_it_would_not_take)
{
	ck_assert_int_eq(ops->keygen(stdout, no_keys[_i].type, no_keys[_i].id,
	                             &err), -1);
	ck_assert_int_ne(err.code, 0);
}
END_TEST

#define LOOP(tcase, test, table) \
	tcase_add_loop_test(tcase, test, 0, sizeof(table) / sizeof((table)[0]))

static TCase *add_case(Suite *s, const char *name, void (*start)(void))
{
	TCase *tcase = tcase_create(name);

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, start, teardown);
	suite_add_tcase(s, tcase);
	return tcase;
}

static Suite *suite(void)
{
	Suite *s = suite_create("crypto_sodium");

	TCase *open = add_case(s, "open", setup_open);
	tcase_add_test(open, opens_what_was_sealed_under_any_of_its_keys);
	tcase_add_test(open, opens_a_message_of_the_first_release);
	tcase_add_test(open, knows_a_key_only_by_its_own_name);
	tcase_add_test(open, knows_no_box_by_the_name_of_a_secret_key);
	tcase_add_test(open, looks_at_the_iv_before_it_looks_for_a_key);
	tcase_add_test(open, needs_a_key_id);
	tcase_add_test(open,
	    a_key_id_cannot_be_changed_even_where_the_key_is_the_same);
	tcase_add_test(open, notices_a_change_of_any_character);
	tcase_add_test(open, notices_a_cut_at_any_place);
	tcase_add_test(open, opens_no_empty_text);
	tcase_add_test(open, a_broken_message_harms_no_other);
	tcase_add_test(open, logs_no_key_and_no_content);

	TCase *sealing = add_case(s, "seal", setup_open);
	tcase_add_test(sealing, seals_under_the_first_secret_key);
	tcase_add_test(sealing,
	               a_producer_with_a_public_key_seals_and_cannot_open);
	tcase_add_loop_test(sealing, opens_what_it_sealed_at_any_size, 0, 2);
	tcase_add_test(sealing, seals_no_empty_text);
	tcase_add_test(sealing, asks_to_come_again_when_memory_is_short);

	TCase *keys = add_case(s, "keys", setup);
	LOOP(keys, names_the_line_that_is_no_key_and_not_what_it_says, refused);
	LOOP(keys, takes_keys_in_any_of_their_forms, accepted);
	tcase_add_test(keys, refuses_more_keys_than_it_has_room_for);
	tcase_add_test(keys, keeps_one_copy_of_a_key_and_wipes_it_in_the_end);
	tcase_add_test(keys, makes_keys_that_it_takes);
	tcase_add_test(keys,
	               the_comment_beside_a_new_box_is_what_a_producer_needs);
	LOOP(keys, makes_no_key_that_it_would_not_take, no_keys);
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
