/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The cluster crypto, loaded as the daemon loads it.  The vectors were made
 * with another implementation of the same scheme.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <check.h>
#include <openssl/evp.h>

#include <bursar/crypto.h>

#include "tests/fakehost.h"

#define SECRET \
	"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define UPPER_SECRET \
	"00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF"
#define OTHER_SECRET \
	"ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"

#define GCM_IV "AQIDBAUGBwgJCgsM"
#define GCM_TEXT \
	"5mYqY7Jtx5WKefBfzSALfH26v/Yn/MlNoC0tHJf7i5khVL1IGHaD1hU/D+uPlsD2" \
	"VS/CQ133SktxFd9A+m4VJC94nhy9UFvpsBc3XlYxPhG830dZNCclgmoR27xkIDPG" \
	"V9urH9sKFg2pDyWZseALSdjoGedVqWG/7i1pEmWEwADSwDKT"
#define GCM_TAG  "iZ7/hbDqfjfuo4mEo06ddw=="
#define GCM_BODY "gcm:" GCM_TEXT ":" GCM_TAG

#define CBC_IV "EBESExQVFhcYGRobHB0eHw==\n"
#define CBC_BODY \
	"palpXIxp7dyyAxrZrDF3GR8UYM5kYsAZV5zbaDJUoUdpcOkoXe/usoob87RQ\n" \
	"zUJ1JR2XjZX/Mg+ReR9dBu0k9rNU7E6HmS9w+fPGArTukhF1P+H9Nm8iSSWq\n" \
	"K2qLDJUTO6lgieKfD6vfrFaDC9hZHMePv+Ktnl1blP9FTsT1FKe/QkBQZC0h\n" \
	"Q+fhOXc+GXQy\n"

static const char golden[] =
	"{\"message_context\":{\"conversation_id\":\"conv_1\","
	"\"request_id\":\"req_1\"},\"routing\":{\"provider\":\"anthropic\","
	"\"model\":\"claude-sonnet-4-6\"}}";

/* The first half of SECRET's key, masked. */
static const unsigned char masked_key[16] = {
	0x2a ^ FAKEHOST_MASK, 0x8a ^ FAKEHOST_MASK, 0xbf ^ FAKEHOST_MASK,
	0xa8 ^ FAKEHOST_MASK, 0xcb ^ FAKEHOST_MASK, 0x99 ^ FAKEHOST_MASK,
	0x06 ^ FAKEHOST_MASK, 0x29 ^ FAKEHOST_MASK, 0x04 ^ FAKEHOST_MASK,
	0x37 ^ FAKEHOST_MASK, 0x85 ^ FAKEHOST_MASK, 0x41 ^ FAKEHOST_MASK,
	0x93 ^ FAKEHOST_MASK, 0xca ^ FAKEHOST_MASK, 0x6b ^ FAKEHOST_MASK,
	0xca ^ FAKEHOST_MASK,
};

static const struct bursar_crypto_ops *ops;
static struct fakehost host;
static struct fakearena arena;
static struct bursar_crypto *crypto;
static struct bursar_error err;

static void setup(void)
{
	const struct bursar_plugin *plugin = fakehost_load("crypto", "cluster");

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

static void open_with(const char *secrets)
{
	ops->close(crypto);
	fakehost_set(&host, "secret", secrets);
	crypto = ops->open(&host.host, &err);
	ck_assert_msg(crypto != NULL, "%s", err.text);
}

static void setup_open(void)
{
	setup();
	open_with(SECRET "\n");
}

static struct bursar_span span(const char *text)
{
	return (struct bursar_span){ text, text ? strlen(text) : 0 };
}

/* A message with its one header; `header` must live as long. */
static struct bursar_message message(struct bursar_span body, const char *iv,
                                     struct bursar_header *header)
{
	*header = (struct bursar_header){ span("iv"), span(iv) };
	return (struct bursar_message){
		.body = body,
		.content_encoding = span("encrypted/cs"),
		.headers = header,
		.header_count = iv != NULL,
	};
}

static struct bursar_sealed unseal_span(struct bursar_span body, const char *iv)
{
	struct bursar_header header;
	const struct bursar_message m = message(body, iv, &header);
	struct bursar_sealed item = { .message = &m };

	ck_assert_int_eq(ops->unseal(crypto, &item, 1, &arena.arena, &err),
	                 BURSAR_DONE);
	item.message = NULL;
	return item;
}

static struct bursar_sealed unseal(const char *body, const char *iv)
{
	return unseal_span(span(body), iv);
}

static void assert_opened(struct bursar_sealed item, const char *want,
                          size_t size, bool legacy)
{
	ck_assert_int_eq(item.result, BURSAR_OPENED);
	ck_assert_uint_eq(item.plain.size, size);
	ck_assert_mem_eq(item.plain.data, want, size);
	ck_assert_int_eq(item.legacy, legacy);
}

static void assert_broken(struct bursar_sealed item)
{
	ck_assert_int_eq(item.result, BURSAR_BROKEN);
	ck_assert_ptr_null(item.plain.data);
	ck_assert_uint_eq(item.plain.size, 0);
}

/* What a producer of the legacy scheme makes of plain, under `secret`. */
static const char *seal_cbc(const char *secret, const void *plain, size_t size,
                            const unsigned char iv[16])
{
	static unsigned char sealed[1024];
	static unsigned char text[2048];
	unsigned char key[32];
	int first;
	int rest;
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();

	ck_assert_uint_lt(size, sizeof(sealed) - 16);
	EVP_Digest(secret, strlen(secret), key, NULL, EVP_sha256(), NULL);
	EVP_EncryptInit_ex(context, EVP_aes_256_cbc(), NULL, key, iv);
	EVP_EncryptUpdate(context, sealed, &first, plain, (int)size);
	EVP_EncryptFinal_ex(context, sealed + first, &rest);
	EVP_CIPHER_CTX_free(context);
	EVP_EncodeBlock(text, sealed, first + rest);
	return (const char *)text;
}

/*
 * --- golden vectors
 */

START_TEST(opens_the_golden_gcm_message)
{
	assert_opened(unseal(GCM_BODY, GCM_IV), golden, 132, false);
}
END_TEST

START_TEST(opens_the_golden_cbc_message_and_says_that_it_is_legacy)
{
	assert_opened(unseal(CBC_BODY, CBC_IV), golden, 132, true);
}
END_TEST

START_TEST(warns_of_legacy_messages_once_and_counts_them_all)
{
	unseal(CBC_BODY, CBC_IV);
	unseal(CBC_BODY, CBC_IV);
	unseal(GCM_BODY, GCM_IV);

	ck_assert_uint_eq(fakehost_logged(&host, "legacy-cbc-opened"), 1);
	ck_assert_int_eq(fakehost_figure(&host, "legacy_messages_total"), 2);
}
END_TEST

START_TEST(leaves_legacy_messages_closed_where_they_are_not_allowed)
{
	fakehost_set(&host, "allow-legacy-cbc", "false");
	open_with(SECRET);

	assert_broken(unseal(CBC_BODY, CBC_IV));
	assert_opened(unseal(GCM_BODY, GCM_IV), golden, 132, false);
}
END_TEST

/* Nothing shows that its padding was good: no text, no figure, no word. */
START_TEST(tries_no_legacy_message_of_who_must_prove_himself)
{
	struct bursar_header headers[2];
	const struct bursar_message messages[2] = {
		message(span(CBC_BODY), CBC_IV, &headers[0]),
		message(span(GCM_BODY), GCM_IV, &headers[1]),
	};
	struct bursar_sealed items[2] = {
		{ .message = &messages[0], .proven = true },
		{ .message = &messages[1], .proven = true },
	};

	ck_assert_int_eq(ops->unseal(crypto, items, 2, &arena.arena, &err),
	                 BURSAR_DONE);
	assert_broken(items[0]);
	assert_opened(items[1], golden, 132, false);
	ck_assert_uint_eq(fakehost_logged(&host, "legacy-cbc-opened"), 0);
	ck_assert_int_eq(fakehost_figure(&host, "legacy_messages_total"), 0);
}
END_TEST

static const char *const wrong_secrets[] = { OTHER_SECRET, UPPER_SECRET };

START_TEST(opens_nothing_under_another_secret)
{
	open_with(wrong_secrets[_i]);

	assert_broken(unseal(GCM_BODY, GCM_IV));
	assert_broken(unseal(CBC_BODY, CBC_IV));
}
END_TEST

static const struct {
	const char *body;
	const char *iv;
} broken[] = {
	{ GCM_BODY, NULL },				/* no iv */
	{ CBC_BODY, NULL },
	{ GCM_BODY, "" },
	{ GCM_BODY, " " },
	{ GCM_BODY, "AQIDBAUGBwgJCgsN" },		/* another iv */
	{ GCM_BODY, "AQIDBAUGBwgJCgs=" },		/* 11 bytes */
	{ GCM_BODY, "AQIDBAUGBwgJCgsMDQ==" },		/* 13 bytes */
	{ GCM_BODY, "AQIDBAUGBwgJCgsM\n" },		/* not strict */
	{ GCM_BODY, "AQIDBAUGBwgJCgs" },
	{ "gcm:" GCM_TEXT ":iZ7/hbDqfjfuo4mEo06ddg==", GCM_IV },
	{ "gcm:" GCM_TEXT ":iZ7/hbDqfjfuo4mEo06ddx==", GCM_IV },/* spare bits */
	{ "gcm:" GCM_TEXT ":iZ7/hbDqfjfuo4mEo06d", GCM_IV },	/* 15 bytes */
	{ "gcm:" GCM_TEXT ":" GCM_TAG "\n", GCM_IV },
	{ "gcm:" GCM_TEXT ":", GCM_IV },
	{ "gcm:" GCM_TEXT, GCM_IV },
	{ "gcm::" GCM_TAG, GCM_IV },			/* empty plain text */
	{ "gcm:", GCM_IV },
	{ "gcm:::", GCM_IV },
	{ "gcm:" GCM_TEXT ":" GCM_TAG ":" GCM_TAG, GCM_IV },
	{ "GCM:" GCM_TEXT ":" GCM_TAG, GCM_IV },
	{ " " GCM_BODY, GCM_IV },
	{ "", GCM_IV },
	{ "", CBC_IV },
	{ "gcm", CBC_IV },
	{ GCM_BODY, CBC_IV },
	{ CBC_BODY, GCM_IV },
	{ CBC_BODY, "EBESExQVFhcYGRobHB0e" },		/* 15 bytes */
	{ CBC_BODY, "EBESExQVFhcYGRobHB0eHyA=" },	/* 17 bytes */
	{ CBC_BODY "AAAA", CBC_IV },			/* no whole block */
	{ "palpXIxp7dyyAxrZrDF3GQ==", CBC_IV },		/* no padding */
	{ "====", CBC_IV },
	{ "\n\n\n", CBC_IV },
};

START_TEST(leaves_a_broken_message_closed)
{
	const size_t logged = host.log_size;

	assert_broken(unseal(broken[_i].body, broken[_i].iv));
	ck_assert_uint_eq(host.log_size, logged);
}
END_TEST

START_TEST(notices_a_change_of_any_character)
{
	char body[] = GCM_BODY;
	const char *const parts[] = { "A", "=", ":", "\n", "/" };

	for (size_t i = 0; i < sizeof(body) - 1; i++) {
		const char was = body[i];

		for (size_t n = 0; n < 5; n++) {
			body[i] = parts[n][0];
			if (body[i] != was) {
				assert_broken(unseal(body, GCM_IV));
			}
		}
		body[i] = was;
	}
	assert_opened(unseal(body, GCM_IV), golden, 132, false);
}
END_TEST

START_TEST(notices_a_cut_at_any_place)
{
	for (size_t size = 0; size < strlen(GCM_BODY); size++) {
		/* As small as it says, so that a look behind it is found. */
		char *cut = malloc(size + 1);

		memcpy(cut, GCM_BODY, size);
		assert_broken(unseal_span((struct bursar_span){ cut, size },
		                          GCM_IV));
		free(cut);
	}
}
END_TEST

START_TEST(leaves_an_empty_legacy_text_closed)
{
	static const unsigned char iv[16];

	assert_broken(unseal(seal_cbc(SECRET, "", 0, iv),
	                     "AAAAAAAAAAAAAAAAAAAAAA=="));
}
END_TEST

START_TEST(a_broken_message_harms_no_other)
{
	struct bursar_header headers[3];
	const struct bursar_message messages[3] = {
		message(span(GCM_BODY), GCM_IV, &headers[0]),
		message(span(GCM_BODY), NULL, &headers[1]),
		message(span(CBC_BODY), CBC_IV, &headers[2]),
	};
	struct bursar_sealed items[300];

	for (size_t i = 0; i < 300; i++) {
		items[i] = (struct bursar_sealed){ .message = &messages[i % 3] };
	}
	ck_assert_int_eq(ops->unseal(crypto, items, 300, &arena.arena, &err),
	                 BURSAR_DONE);

	for (size_t i = 0; i < 300; i += 3) {
		assert_opened(items[i], golden, 132, false);
		assert_broken(items[i + 1]);
		assert_opened(items[i + 2], golden, 132, true);
	}
}
END_TEST

/*
 * --- rotation
 */

START_TEST(opens_under_older_secrets_and_counts_it)
{
	open_with("# new\n" OTHER_SECRET "\n\n  # old\n\t" SECRET " \r\n");

	assert_opened(unseal(GCM_BODY, GCM_IV), golden, 132, false);
	assert_opened(unseal(CBC_BODY, CBC_IV), golden, 132, true);
	assert_opened(unseal(GCM_BODY, GCM_IV), golden, 132, false);
	ck_assert_int_eq(fakehost_figure(&host, "older_key_messages_total"), 3);
}
END_TEST

static struct bursar_seal seal(const char *plain, size_t size)
{
	struct bursar_seal out;
	const struct bursar_span text = { plain, size };

	ck_assert_int_eq(ops->seal(crypto, text, &out, &arena.arena, &err),
	                 BURSAR_DONE);
	ck_assert_str_eq(out.encoding, "encrypted/cs");
	ck_assert_uint_eq(out.header_count, 1);
	return out;
}

static struct bursar_sealed unseal_seal(const struct bursar_seal *made)
{
	const struct bursar_message m = {
		.body = made->body, .headers = made->headers,
		.header_count = made->header_count,
	};
	struct bursar_sealed item = { .message = &m };

	ck_assert_int_eq(ops->unseal(crypto, &item, 1, &arena.arena, &err),
	                 BURSAR_DONE);
	item.message = NULL;
	return item;
}

START_TEST(seals_under_the_first_secret)
{
	open_with(OTHER_SECRET "\n" SECRET "\n");
	const struct bursar_seal made = seal(golden, 132);

	open_with(OTHER_SECRET);
	assert_opened(unseal_seal(&made), golden, 132, false);
	open_with(SECRET);
	assert_broken(unseal_seal(&made));
}
END_TEST

START_TEST(a_wrong_secret_is_not_taken_for_the_right_one_of_a_legacy_message)
{
	char plain[40];

	/* By accident, 8 of them have good padding under the wrong secret. */
	open_with(OTHER_SECRET "\n" SECRET "\n");
	for (int i = 0; i < 2000; i++) {
		const int size = snprintf(plain, sizeof(plain),
		                          " \n{\"number\":%d}", i);
		static const unsigned char iv[16];
		const char *body = seal_cbc(SECRET, plain, (size_t)size, iv);

		assert_opened(unseal(body, "AAAAAAAAAAAAAAAAAAAAAA=="),
		              plain, (size_t)size, true);
	}
}
END_TEST

/*
 * --- sealing
 */

START_TEST(opens_what_it_sealed_at_any_size)
{
	static char plain[(8 << 20) + 1];
	static const size_t big[] = { 4095, 65536, 1 << 20, sizeof(plain) };

	for (size_t i = 0; i < sizeof(plain); i++) {
		plain[i] = (char)(i * 7 + i / 251);
	}
	for (size_t size = 1; size <= 100; size++) {
		const struct bursar_seal made = seal(plain, size);

		assert_opened(unseal_seal(&made), plain, size, false);
	}
	for (size_t i = 0; i < sizeof(big) / sizeof(big[0]); i++) {
		const struct bursar_seal made = seal(plain, big[i]);

		assert_opened(unseal_seal(&made), plain, big[i], false);
	}
}
END_TEST

START_TEST(never_uses_an_iv_twice)
{
	char seen[100][16];

	for (size_t i = 0; i < 100; i++) {
		const struct bursar_seal made = seal(golden, 132);

		ck_assert_uint_eq(made.headers[0].value.size, 16);
		memcpy(seen[i], made.headers[0].value.data, 16);
		for (size_t n = 0; n < i; n++) {
			ck_assert_mem_ne(seen[i], seen[n], 16);
		}
	}
}
END_TEST

/* Whoever keeps what was sealed finds what lies under an older key. */
START_TEST(names_the_key_and_does_not_tell_it)
{
	const struct bursar_seal one = seal(golden, 132);
	const struct bursar_seal two = seal("x", 1);

	ck_assert_uint_eq(one.key_id.size, 16);
	ck_assert_uint_ge(strspn(one.key_id.data, "0123456789abcdef"), 16);
	ck_assert_mem_eq(one.key_id.data, two.key_id.data, 16);
	ck_assert_ptr_null(memmem(SECRET, strlen(SECRET), one.key_id.data, 8));
	open_with(OTHER_SECRET "\n" SECRET "\n");
	const struct bursar_seal other = seal("x", 1);
	ck_assert_mem_ne(one.key_id.data, other.key_id.data, 16);
	assert_opened(unseal_seal(&one), golden, 132, false);
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
	struct bursar_header header;
	const struct bursar_message m = message(span(GCM_BODY), GCM_IV,
	                                        &header);
	struct bursar_sealed item = { .message = &m };
	struct bursar_seal out;

	arena.left = 100;
	ck_assert_int_eq(ops->unseal(crypto, &item, 1, &arena.arena, &err),
	                 BURSAR_RETRY);
	ck_assert_int_ne(err.code, 0);
	ck_assert_int_eq(ops->seal(crypto, span(golden), &out, &arena.arena,
	                           NULL), BURSAR_RETRY);

	arena.left = 10000;
	assert_opened(unseal(GCM_BODY, GCM_IV), golden, 132, false);
}
END_TEST

/*
 * --- secrets
 */

#define HEX15 "001122334455667"

static const struct {
	const char *secrets;
	const char *bytes;
	const char *says;
} refused[] = {
	{ NULL, NULL, "no secret" },
	{ "", NULL, "no secret" },
	{ "# nothing\n\n", NULL, "no secret" },
	{ SECRET "0", NULL, "line 1" },
	{ SECRET "00", NULL, "line 1" },
	{ SECRET "\n" HEX15 "\n", NULL, "line 2" },
	{ "#\n\n" SECRET "\n\n0x" HEX15, "0", "line 5" },
	{ SECRET " " SECRET, "0", "line 1" },
	{ SECRET " # current", NULL, "line 1" },
	{ SECRET, "16", "line 1" },
	{ HEX15 "g", "8", "line 1" },
	{ HEX15 "\xc3\xa9", "0", "line 1" },
};

START_TEST(names_the_line_that_is_no_secret_and_not_what_it_says)
{
	fakehost_set(&host, "secret", refused[_i].secrets);
	fakehost_set(&host, "secret-bytes", refused[_i].bytes);
	crypto = ops->open(&host.host, &err);

	ck_assert_ptr_null(crypto);
	ck_assert_ptr_nonnull(strstr(err.text, refused[_i].says));
	ck_assert_ptr_null(strstr(err.text, "0011"));
	ck_assert_uint_eq(host.log_size, 0);
}
END_TEST

static const struct {
	const char *secret;
	const char *bytes;
} accepted[] = {
	{ SECRET, "32" }, { SECRET, "0" }, { "00112233", "4" }, { "a", "0" },
	{ SECRET SECRET, "64" },
};

START_TEST(holds_secrets_to_the_length_that_is_asked_for)
{
	fakehost_set(&host, "secret-bytes", accepted[_i].bytes);
	open_with(accepted[_i].secret);
}
END_TEST

START_TEST(refuses_more_secrets_than_it_has_room_for)
{
	char many[17 * 3 + 1];

	for (int i = 0; i < 17; i++) {
		snprintf(many + 3 * i, 4, "%02x\n", i);
	}
	fakehost_set(&host, "secret-bytes", "1");
	fakehost_set(&host, "secret", many);
	crypto = ops->open(&host.host, &err);

	ck_assert_ptr_null(crypto);
	ck_assert_ptr_nonnull(strstr(err.text, "line 17"));
}
END_TEST

START_TEST(logs_no_secret_and_no_content)
{
	unseal(CBC_BODY, CBC_IV);
	unseal(GCM_BODY, NULL);

	ck_assert_ptr_null(strstr(host.log, "0011"));
	ck_assert_ptr_null(strstr(host.log, "conv_1"));
}
END_TEST

START_TEST(keeps_one_copy_of_a_key_and_wipes_it_in_the_end)
{
	if (fakehost_find_bytes(masked_key, sizeof(masked_key)) < 0) {
		return;
	}
	open_with(SECRET);
	unseal(GCM_BODY, GCM_IV);
	unseal(CBC_BODY, CBC_IV);
	seal(golden, 132);
	const int open_copies = fakehost_find_bytes(masked_key,
	                                            sizeof(masked_key));
	ops->close(crypto);
	crypto = NULL;
	const int copies = fakehost_find_bytes(masked_key, sizeof(masked_key));

	ck_assert_int_eq(open_copies, 1);
	ck_assert_int_eq(copies, 0);
}
END_TEST

static bool can_lock_a_page(void)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *memory = mmap(NULL, page, PROT_READ | PROT_WRITE,
	                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const bool can = mlock(memory, page) == 0;

	munmap(memory, page);
	return can;
}

START_TEST(locks_keys_or_says_that_it_cannot)
{
	open_with(SECRET);
	ck_assert_uint_eq(fakehost_logged(&host, "keys-not-locked"),
	                  can_lock_a_page() ? 0 : 1);
}
END_TEST

START_TEST(works_where_no_memory_can_be_locked)
{
	const struct rlimit none = { 0, 0 };

	/* A privileged process locks all the same, and warns of nothing. */
	ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &none), 0);
	open_with(SECRET);
	ck_assert_uint_eq(fakehost_logged(&host, "keys-not-locked"),
	                  can_lock_a_page() ? 0 : 1);
	assert_opened(unseal(GCM_BODY, GCM_IV), golden, 132, false);
}
END_TEST

static void generate(char *text, size_t size, const char *type)
{
	FILE *out = fmemopen(text, size, "w");

	ck_assert_int_eq(ops->keygen(out, type, "2026-11-20", &err), 0);
	fclose(out);
}

START_TEST(makes_secrets_that_it_takes)
{
	char first[200] = "";
	char second[200] = "";

	generate(first, sizeof(first), NULL);
	generate(second, sizeof(second), "secret");

	ck_assert_uint_eq(strlen(first), 65);
	ck_assert_str_ne(first, second);
	open_with(first);
}
END_TEST

START_TEST(makes_no_other_type_of_key)
{
	ck_assert_int_eq(ops->keygen(stdout, "sealed", "x", &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "sealed"));
}
END_TEST

START_TEST(opens_and_closes_without_end)
{
	for (int i = 0; i < 1000; i++) {
		open_with(SECRET "\n" OTHER_SECRET);
		unseal(GCM_BODY, GCM_IV);
	}
	ops->close(NULL);
}
END_TEST

#define LOOP(tcase, test, table) \
	tcase_add_loop_test(tcase, test, 0, sizeof(table) / sizeof((table)[0]))

static Suite *suite(void)
{
	Suite *s = suite_create("crypto_cluster");

	TCase *open = tcase_create("open");
	tcase_set_timeout(open, 60);
	tcase_add_checked_fixture(open, setup_open, teardown);
	tcase_add_test(open, opens_the_golden_gcm_message);
	tcase_add_test(open,
	               opens_the_golden_cbc_message_and_says_that_it_is_legacy);
	tcase_add_test(open, warns_of_legacy_messages_once_and_counts_them_all);
	tcase_add_test(open,
	               leaves_legacy_messages_closed_where_they_are_not_allowed);
	tcase_add_test(open,
	               tries_no_legacy_message_of_who_must_prove_himself);
	LOOP(open, opens_nothing_under_another_secret, wrong_secrets);
	LOOP(open, leaves_a_broken_message_closed, broken);
	tcase_add_test(open, notices_a_change_of_any_character);
	tcase_add_test(open, notices_a_cut_at_any_place);
	tcase_add_test(open, leaves_an_empty_legacy_text_closed);
	tcase_add_test(open, a_broken_message_harms_no_other);
	tcase_add_test(open, opens_under_older_secrets_and_counts_it);
	tcase_add_test(open,
	    a_wrong_secret_is_not_taken_for_the_right_one_of_a_legacy_message);
	suite_add_tcase(s, open);

	TCase *sealing = tcase_create("seal");
	tcase_set_timeout(sealing, 60);
	tcase_add_checked_fixture(sealing, setup_open, teardown);
	tcase_add_test(sealing, seals_under_the_first_secret);
	tcase_add_test(sealing, opens_what_it_sealed_at_any_size);
	tcase_add_test(sealing, never_uses_an_iv_twice);
	tcase_add_test(sealing, names_the_key_and_does_not_tell_it);
	tcase_add_test(sealing, seals_no_empty_text);
	tcase_add_test(sealing, asks_to_come_again_when_memory_is_short);
	suite_add_tcase(s, sealing);

	TCase *secrets = tcase_create("secrets");
	tcase_set_timeout(secrets, 60);
	tcase_add_checked_fixture(secrets, setup, teardown);
	LOOP(secrets, names_the_line_that_is_no_secret_and_not_what_it_says,
	     refused);
	LOOP(secrets, holds_secrets_to_the_length_that_is_asked_for, accepted);
	tcase_add_test(secrets, refuses_more_secrets_than_it_has_room_for);
	tcase_add_test(secrets,
	               keeps_one_copy_of_a_key_and_wipes_it_in_the_end);
	tcase_add_test(secrets, locks_keys_or_says_that_it_cannot);
	tcase_add_test(secrets, works_where_no_memory_can_be_locked);
	tcase_add_test(secrets, makes_secrets_that_it_takes);
	tcase_add_test(secrets, makes_no_other_type_of_key);
	tcase_add_test(secrets, opens_and_closes_without_end);
	suite_add_tcase(s, secrets);

	TCase *quiet = tcase_create("quiet");
	tcase_add_checked_fixture(quiet, setup_open, teardown);
	tcase_add_test(quiet, logs_no_secret_and_no_content);
	suite_add_tcase(s, quiet);
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
