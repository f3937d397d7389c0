/* SPDX-License-Identifier: Apache-2.0 */

/* What bursar/crypto.h asks of a crypto. */
#include "config.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bursar/crypto.h>

#include "kit.h"

/* --- keys ---------------------------------------------------------------- */

static const struct bursar_option *secret_option(const struct kit *kit)
{
	const struct bursar_option *o = kit->plugin->options;

	while (o->name != NULL && o->type != BURSAR_TYPE_SECRET) {
		o++;
	}
	return o->name != NULL ? o : NULL;
}

static int make_key(const struct kit *kit, const char *path, const char *type,
                    struct bursar_error *err)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
	                    0600);
	FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;

	if (out == NULL) {
		kit_broken(path);
	}
	const int result = kit->plugin->ops.crypto->keygen(out, type,
	                                                   "conform", err);
	fclose(out);
	return result;
}

/* In a process of its own, so that no key is in the memory of the check. */
void crypto_prepare(struct kit *kit)
{
	const struct bursar_option *option = secret_option(kit);
	static char name[100];

	if (kit->plugin->ops.crypto->keygen == NULL || option == NULL) {
		return;
	}
	snprintf(name, sizeof(name), "%s-file", option->name);
	if (kit_has_given(kit, name) || kit_has_given(kit, option->name)) {
		return;
	}
	char *path = kit_expand(kit, "@DIR@/keys");
	const pid_t child = fork();
	if (child == 0) {
		struct bursar_error err = { 0 };

		expect(make_key(kit, path, kit->key_type, &err) == 0,
		       "keygen() failed: %s", err.text);
		_exit(EXIT_SUCCESS);
	}
	kit_wait(child);
	secret_add_file(path);
	kit_give(kit, name, path);
}

/* --- a crypto that is open ----------------------------------------------- */

struct open_crypto {
	struct stand stand;
	const struct bursar_crypto_ops *ops;
	struct bursar_crypto *crypto;
	struct guard_arena arena;
};

static void open_it(struct open_crypto *open, struct kit *kit)
{
	enum bursar_verdict verdict;
	struct bursar_error err = { 0 };

	memset(open, 0, sizeof(*open));
	open->ops = kit->plugin->ops.crypto;
	guard_arena_init(&open->arena);
	stand_init(&open->stand, kit, INSTANCE_RUN);
	open->crypto = stand_open(&open->stand, &verdict, &err);
	expect(open->crypto != NULL, "open() failed: %s", err.text);
}

static void close_it(struct open_crypto *open)
{
	guard_arena_clear(&open->arena);
	stand_close(&open->stand, open->crypto);
	stand_finish(&open->stand);
}

static void needs_seal(const struct kit *kit)
{
	if (kit->plugin->ops.crypto->seal == NULL) {
		kit_skip("it cannot seal");
	}
}

/* A message sealed, with headers that can be changed. */
struct letter {
	struct bursar_message message;
	struct bursar_header  headers[4];
};

static void seal(struct open_crypto *open, struct bursar_span plain,
                 struct letter *letter)
{
	struct bursar_seal out = { 0 };
	struct bursar_error err = { 0 };

	const enum bursar_verdict verdict =
		open->ops->seal(open->crypto, plain, &out,
		                &open->arena.arena, &err);
	if (verdict != BURSAR_DONE) {
		kit_expect_error(&err, "seal()");
	}
	expect(verdict == BURSAR_DONE, "seal() of %zu bytes says %d: %s",
	       plain.size, verdict, err.text);
	expect(out.encoding != NULL && out.body.data != NULL &&
	       out.header_count <= 4, "seal() gives no encoding or no body");
	expect(plain.size < 16 || memmem(out.body.data, out.body.size,
	                                 plain.data, plain.size) == NULL,
	       "the plain text stands in what seal() made of it");
	expect(out.key_id.data == NULL ||
	       (out.key_id.size >= 1 && out.key_id.size <= 96),
	       "a key id of %zu bytes", out.key_id.size);
	for (size_t i = 0; i < out.key_id.size; i++) {
		expect(out.key_id.data[i] >= '!' && out.key_id.data[i] <= '~',
		       "a key id has byte 0x%02x",
		       (unsigned char)out.key_id.data[i]);
	}
	*letter = (struct letter){
		.message = {
			.body = out.body, .header_count = out.header_count,
			.content_encoding = { out.encoding,
			                      strlen(out.encoding) },
		},
	};
	memcpy(letter->headers, out.headers, sizeof(out.headers));
	letter->message.headers = letter->headers;
}

static enum bursar_unsealed unseal(struct open_crypto *open,
                                   const struct letter *letter,
                                   struct bursar_span *plain)
{
	struct bursar_message message = letter->message;
	struct bursar_sealed item = { .message = &message };
	struct bursar_error err = { 0 };

	message.headers = letter->headers;
	item.result = (enum bursar_unsealed)0x55;
	const enum bursar_verdict verdict =
		open->ops->unseal(open->crypto, &item, 1, &open->arena.arena,
		                  &err);
	expect(verdict == BURSAR_DONE, "unseal() says %d: %s", verdict,
	       err.text);
	expect(item.result <= BURSAR_NO_KEY, "an item has no result");
	*plain = item.plain;
	return item.result;
}

static bool is_same(struct bursar_span a, struct bursar_span b)
{
	return a.size == b.size &&
	       (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* Plain text as a message would have it. */
static struct bursar_span text_of(struct kit *kit, size_t size)
{
	char *text = malloc(size + 1);

	if (text == NULL) {
		kit_broken("malloc");
	}
	for (size_t i = 0; i < size; i++) {
		text[i] = (char)('a' + chance_below(kit, 26));
	}
	if (size >= 8) {
		memcpy(text, "{\"a\":\"", 6);
		memcpy(text + size - 2, "\"}", 2);
	}
	return (struct bursar_span){ text, size };
}

/* --- checks -------------------------------------------------------------- */

static void lists_its_encodings(struct kit *kit)
{
	const char *const *encodings = kit->plugin->ops.crypto->encodings;

	for (size_t i = 0; encodings[i] != NULL; i++) {
		expect(i < 32, "the list of encodings does not end");
		expect(encodings[i][0] != '\0', "an encoding without a name");
		expect(strncmp(encodings[i], "encrypted/", 10) == 0,
		       "'%s' does not begin with encrypted/: no message is "
		       "brought to it", encodings[i]);
		for (size_t k = 0; k < i; k++) {
			expect(strcmp(encodings[i], encodings[k]) != 0,
			       "'%s' is listed twice", encodings[i]);
		}
	}
}

static bool is_listed(const struct kit *kit, struct bursar_span encoding)
{
	const char *const *e = kit->plugin->ops.crypto->encodings;

	for (; *e != NULL; e++) {
		if (strlen(*e) == encoding.size &&
		    memcmp(*e, encoding.data, encoding.size) == 0) {
			return true;
		}
	}
	return false;
}

static void opens_what_it_sealed(struct kit *kit)
{
	static const size_t sizes[] = { 1, 2, 15, 16, 17, 100, 4096, 1 << 20 };
	struct open_crypto open;

	needs_seal(kit);
	open_it(&open, kit);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const struct bursar_span text = text_of(kit, sizes[i]);
		struct bursar_span plain;
		struct letter letter;
		struct guard guard;

		guard_init(&guard, text.size);
		seal(&open, (struct bursar_span){
			guard_place(&guard, text.data, text.size, 0),
			text.size }, &letter);
		expect(is_listed(kit, letter.message.content_encoding),
		       "seal() makes '%s', which is not listed",
		       letter.message.content_encoding.data);
		const enum bursar_unsealed result =
			unseal(&open, &letter, &plain);
		expect(result == BURSAR_OPENED, "%zu bytes are not opened: %d",
		       text.size, result);
		expect(is_same(plain, text), "%zu bytes came back as others",
		       text.size);
		expect(guard_arena_holds(&open.arena, plain.data,
		                         plain.size),
		       "the plain text stands outside of the arena");
		/* A fault here: it ends too near to the end of its memory. */
		hash_bytes(plain.data, plain.size + GUARD_SPARE);
		guard_finish(&guard);
		guard_arena_clear(&open.arena);
	}
	close_it(&open);
}

#define ITEMS 16

static void opens_the_good_among_bad(struct kit *kit)
{
	struct bursar_span texts[ITEMS];
	struct letter letters[ITEMS];
	struct bursar_sealed items[ITEMS] = { { 0 } };
	struct bursar_error err = { 0 };
	struct open_crypto open;

	needs_seal(kit);
	open_it(&open, kit);
	for (size_t i = 0; i < ITEMS; i++) {
		texts[i] = text_of(kit, 10 + i * 50);
		seal(&open, texts[i], &letters[i]);
		items[i].message = &letters[i].message;
		if (i % 5 == 1) {
			letters[i].message.body.size /= 2;
		} else if (i % 5 == 3) {
			letters[i].message.header_count = 0;
		} else if (i == ITEMS - 1) {
			letters[i].message.body.size = 0;
		}
	}
	expect(open.ops->unseal(open.crypto, items, ITEMS,
	                        &open.arena.arena, &err) == BURSAR_DONE,
	       "unseal() with some bad items: %s", err.text);
	for (size_t i = 0; i < ITEMS; i++) {
		const bool bad = i % 5 == 1 || i % 5 == 3 || i == ITEMS - 1;

		expect(!bad || items[i].result != BURSAR_OPENED ||
		       is_same(items[i].plain, texts[i]),
		       "a spoilt message was opened as another");
		expect(bad || (items[i].result == BURSAR_OPENED &&
		               is_same(items[i].plain, texts[i])),
		       "message %zu of %d was harmed by its neighbours: %d", i,
		       ITEMS, items[i].result);
	}
	close_it(&open);
}

/* Opened as what it was, or not at all. */
static void expect_sealed(struct open_crypto *open,
                          const struct letter *letter, struct bursar_span text,
                          const char *what, size_t where)
{
	struct bursar_span plain;

	if (unseal(open, letter, &plain) == BURSAR_OPENED) {
		expect(is_same(plain, text),
		       "with %s at %zu it was opened, with other content",
		       what, where);
	}
}

static struct bursar_span flipped(struct open_crypto *open,
                                  struct bursar_span span, size_t at,
                                  unsigned bit)
{
	char *data = open->arena.arena.alloc(&open->arena.arena,
	                                     span.size + 1);

	memcpy(data, span.data, span.size);
	data[at] = (char)(data[at] ^ (1u << bit));
	return (struct bursar_span){ data, span.size };
}

static void notices_a_changed_body(struct kit *kit)
{
	const struct bursar_span text = text_of(kit, 100);
	struct open_crypto open;
	struct letter letter;

	needs_seal(kit);
	open_it(&open, kit);
	seal(&open, text, &letter);
	const struct bursar_span body = letter.message.body;
	for (size_t i = 0; i < body.size; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			letter.message.body = flipped(&open, body, i, bit);
			expect_sealed(&open, &letter, text, "a bit changed",
			              i);
		}
	}
	for (size_t i = 0; i < body.size; i++) {
		letter.message.body = (struct bursar_span){ body.data, i };
		expect_sealed(&open, &letter, text, "its body cut", i);
		letter.message.body = (struct bursar_span){
			body.data + i + 1, body.size - i - 1 };
		expect_sealed(&open, &letter, text, "its beginning cut", i);
	}
	close_it(&open);
}

static void notices_changed_headers(struct kit *kit)
{
	const struct bursar_span text = text_of(kit, 100);
	struct open_crypto open;
	struct letter letter;

	needs_seal(kit);
	open_it(&open, kit);
	seal(&open, text, &letter);
	for (size_t h = 0; h < letter.message.header_count; h++) {
		const struct bursar_header header = letter.headers[h];

		for (size_t i = 0; i < header.value.size; i++) {
			for (unsigned bit = 0; bit < 8; bit++) {
				letter.headers[h].value = flipped(&open,
					header.value, i, bit);
				expect_sealed(&open, &letter, text,
				              "a header changed", i);
			}
		}
		letter.headers[h].value = (struct bursar_span){ "", 0 };
		expect_sealed(&open, &letter, text, "an empty header", h);
		letter.headers[h].value = (struct bursar_span){ NULL, 0 };
		expect_sealed(&open, &letter, text, "a header without value",
		              h);
		letter.headers[h] = header;
		letter.headers[h].name = (struct bursar_span){ "other", 5 };
		expect_sealed(&open, &letter, text, "a header missing", h);
		letter.headers[h] = header;
	}
	close_it(&open);
}

static void stays_shut_without_its_parts(struct kit *kit)
{
	const char *const *encoding = kit->plugin->ops.crypto->encodings;
	static const char garbage[] =
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
	struct open_crypto open;

	if (*encoding == NULL) {
		kit_skip("it lists no encoding");
	}
	open_it(&open, kit);
	for (; *encoding != NULL; encoding++) {
		for (size_t size = 0; size < sizeof(garbage); size++) {
			struct bursar_span plain;
			struct letter letter = {
				.message = {
					.body = { garbage, size },
					.content_encoding = {
						*encoding, strlen(*encoding) },
				},
			};

			expect(unseal(&open, &letter, &plain) !=
			       BURSAR_OPENED, "%zu bytes of garbage without "
			       "headers are opened as %s", size, *encoding);
		}
	}
	close_it(&open);
}

static void opens_clear_messages_as_they_are(struct kit *kit)
{
	struct open_crypto open;
	struct bursar_span plain;

	if (kit->plugin->ops.crypto->encodings[0] != NULL) {
		kit_skip("it lists encodings");
	}
	open_it(&open, kit);
	const struct letter letter = { .message.body = { "{\"a\":1}", 7 } };
	const enum bursar_unsealed result = unseal(&open, &letter, &plain);
	expect(result != BURSAR_OPENED || is_same(plain, letter.message.body),
	       "a clear message is opened as another");
	close_it(&open);
}

void crypto_works(struct kit *kit)
{
	if (kit->plugin->ops.crypto->seal != NULL) {
		opens_what_it_sealed(kit);
	} else if (kit->plugin->ops.crypto->encodings[0] != NULL) {
		stays_shut_without_its_parts(kit);
	} else {
		opens_clear_messages_as_they_are(kit);
	}
}

static void bears_a_lack_of_memory(struct kit *kit)
{
	const struct bursar_span text = text_of(kit, 1000);
	struct bursar_sealed item = { 0 };
	struct open_crypto open;
	struct letter letter;

	needs_seal(kit);
	open_it(&open, kit);
	seal(&open, text, &letter);
	item.message = &letter.message;
	for (size_t left = 0; left < 6; left++) {
		struct bursar_error err = { 0 };
		struct bursar_seal out = { 0 };

		open.arena.left = left;
		const enum bursar_verdict verdict = open.ops->unseal(
			open.crypto, &item, 1, &open.arena.arena, &err);
		expect(verdict == BURSAR_RETRY ||
		       (verdict == BURSAR_DONE &&
		        item.result == BURSAR_OPENED &&
		        is_same(item.plain, text)),
		       "unseal() with little memory says %d, result %d",
		       verdict, item.result);
		open.arena.left = left;
		err = (struct bursar_error){ 0 };
		const enum bursar_verdict sealed = open.ops->seal(open.crypto,
			text, &out, &open.arena.arena, &err);
		expect(sealed == BURSAR_RETRY || sealed == BURSAR_DONE,
		       "seal() with little memory says %d", sealed);
	}
	close_it(&open);
}

static void seals_no_empty_text(struct kit *kit)
{
	struct bursar_seal out = { 0 };
	struct bursar_error err = { 0 };
	struct open_crypto open;

	needs_seal(kit);
	open_it(&open, kit);
	const enum bursar_verdict verdict = open.ops->seal(open.crypto,
		(struct bursar_span){ "", 0 }, &out, &open.arena.arena, &err);
	expect(verdict == BURSAR_REJECT, "seal() of nothing says %d", verdict);
	kit_expect_error(&err, "seal()");
	close_it(&open);
}

static void looks_after_its_keys(struct kit *kit)
{
	struct open_crypto open;
	int64_t next = 0;

	if (kit->plugin->ops.crypto->tick == NULL) {
		kit_skip("it has no tick()");
	}
	open_it(&open, kit);
	for (int i = 0; i < 5; i++) {
		bool usable = false;
		const int64_t begun = clock_mono_us();

		next = open.ops->tick(open.crypto, &usable);
		expect(next > begun, "tick() wants to be called again at once, "
		       "for ever");
	}
	close_it(&open);
}

static void makes_keys(struct kit *kit)
{
	struct bursar_error err = { 0 };
	char *path = kit_expand(kit, "@DIR@/another");
	struct stat st;

	if (kit->plugin->ops.crypto->keygen == NULL) {
		kit_skip("it makes no keys");
	}
	for (int i = 0; i < 2; i++) {
		const char *type = i == 0 ? NULL : kit->key_type;

		expect(make_key(kit, path, type, &err) == 0,
		       "keygen() of type %s failed: %s",
		       type != NULL ? type : "(the usual)", err.text);
		expect(stat(path, &st) == 0 && st.st_size > 0,
		       "keygen() wrote nothing");
		secret_add_file(path);
		if (secret_option(kit) != NULL) {
			struct kit other = *kit;
			struct open_crypto open;
			char name[100];

			snprintf(name, sizeof(name), "%s-file",
			         secret_option(kit)->name);
			kit_give_only(&other, name, path);
			open_it(&open, &other);
			close_it(&open);
		}
	}
	expect(make_key(kit, path, "no-such-type", &err) == -1 ||
	       secret_option(kit) == NULL, "keygen() makes a key of type "
	       "'no-such-type'");
}

static void forgets_its_keys(struct kit *kit)
{
	const struct bursar_span text = text_of(kit, 100);
	struct open_crypto open;
	struct bursar_span plain;
	struct letter letter;

	if (secret_count_in_memory() < 0) {
		kit_skip("a sanitizer or valgrind keeps copies");
	}
	expect(secret_count_in_memory() == 0, "a key is in memory before "
	       "open(): the kit is at fault");
	open_it(&open, kit);
	/* Keys may be read only when they are needed. */
	if (open.ops->seal != NULL) {
		seal(&open, text, &letter);
		unseal(&open, &letter, &plain);
	}
	if (secret_count_in_memory() == 0) {
		kit_skip("no secret is known that could be looked for");
	}
	close_it(&open);
	expect(secret_count_in_memory() == 0,
	       "%d copies of keys are in memory after close()",
	       secret_count_in_memory());
}

const struct kit_check crypto_checks[] = {
	{ "lists its encodings",
	  "encodings: the content encodings it opens, ended by NULL: "
	  "\"encrypted/cs\".", lists_its_encodings },
	{ "opens what it sealed",
	  "OPENED: plain is filled.  Plain texts stand in `arena`, whose "
	  "memory is followed by 64 bytes that may be read.",
	  opens_what_it_sealed },
	{ "opens the good messages among bad ones",
	  "DONE: every item has its result, one bad item harms no other.",
	  opens_the_good_among_bad },
	{ "notices every change of a body",
	  "BROKEN: can never be opened: no iv, bad tag, bad encoding.",
	  notices_a_changed_body, 60 },
	{ "notices every change of a header",
	  "BROKEN: can never be opened; NO_KEY: sealed under a key id that is "
	  "not known.", notices_changed_headers, 60 },
	{ "opens no garbage",
	  "BROKEN: can never be opened: no iv, bad tag, bad encoding.",
	  stays_shut_without_its_parts },
	{ "leaves clear messages as they are",
	  "Plain texts stand in `arena`, or are the message's own body.",
	  opens_clear_messages_as_they_are },
	{ "bears a lack of memory",
	  "alloc(): NULL when memory is short.  RETRY: not now, but soon and "
	  "as things are.", bears_a_lack_of_memory },
	{ "seals no empty text",
	  "REJECT when plain is empty or too long.", seals_no_empty_text },
	{ "looks after its keys now and then",
	  "tick() returns when to be called next (us, monotonic).",
	  looks_after_its_keys },
	{ "makes keys that it takes",
	  "keygen() writes a new key as text, in the form in which the "
	  "plugin's key file takes it.", makes_keys },
	{ "wipes its keys when it is closed",
	  "Keys stand in locked memory, are wiped at close(), and appear in no "
	  "log and no error.", forgets_its_keys },
	{ NULL }
};
