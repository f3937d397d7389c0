/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Messages that Vault's transit engine opens and seals; the key never leaves
 * it.  The body is the ciphertext as transit writes it: vault:v1:BASE64.
 *
 * POST MOUNT/decrypt/KEY with batch_input, and MOUNT/encrypt/KEY, of
 * https://developer.hashicorp.com/vault/api-docs/secret/transit.  One bad item
 * makes the status 400, with the results of all in the body.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64.h"
#include "vault.h"

#define MAX_REQUEST ((size_t)30 << 20)	/* Vault takes 32 MiB */
#define BATCH_ITEMS 1000
#define BATCH_BYTES ((size_t)4 << 20)	/* asked for at once, or one item */
#define KEY_NAME_MAX 80			/* of a key id */
#define ITEM_SPARE  ((size_t)64)		/* of JSON around a ciphertext */
#define PREFIX      "vault:v"
#define PREFIX_SIZE (sizeof(PREFIX) - 1)

/* What no key opens: shows whether Vault would open anything. */
#define PROBE "vault:v1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

/* --- init ---------------------------------------------------------------- */

int vault_transit_init(struct bursar_crypto *crypto, struct bursar_error *err)
{
	const struct bursar_host *host = crypto->host;
	struct vault_transit *t = &crypto->transit;
	const char *given = host->text(host, "mount");
	const char *name = host->text(host, "key");
	char *key = NULL;
	int result = -1;
	char *mount = vault_path_escape("mount",
	                                given[0] != '\0' ? given : "transit",
	                                err);

	if (name[0] == '\0' || strchr(name, '/') != NULL) {
		bursar_fail(err, EINVAL, "key: mode transit needs the name of "
		            "a key");
		goto out;
	}
	key = vault_path_escape("key", name, err);
	if (mount == NULL || key == NULL) {
		goto out;
	}
	if (asprintf(&t->decrypt_path, "%s/decrypt/%s", mount, key) < 0) {
		t->decrypt_path = NULL;
	} else if (asprintf(&t->encrypt_path, "%s/encrypt/%s", mount,
	                    key) < 0) {
		t->encrypt_path = NULL;
	} else {
		result = 0;
	}
	if (result != 0) {
		bursar_fail(err, ENOMEM, "out of memory");
	}
out:
	free(mount);
	free(key);
	return result;
}

void vault_transit_finish(struct bursar_crypto *crypto)
{
	free(crypto->transit.decrypt_path);
	free(crypto->transit.encrypt_path);
}

/* --- one request --------------------------------------------------------- */

static enum vault_state ask_once(struct bursar_crypto *crypto,
                                 const char *path,
                                 const struct vault_text *body,
                                 struct vault_answer *answer,
                                 struct bursar_error *err)
{
	const struct vault_request request = {
		.path = path, .body = { body->data, body->size },
		.token = { crypto->login.token.data,
		           crypto->login.token.size },
		.limit = 2 * MAX_REQUEST,
	};

	return vault_http_ask(crypto->http, &request, answer, err);
}

/* With another token where this one is refused. */
static enum vault_state ask(struct bursar_crypto *crypto, const char *path,
                            const struct vault_text *body,
                            struct vault_answer *answer,
                            struct bursar_error *err)
{
	struct bursar_error why = { 0 };
	enum vault_state state = vault_login_ensure(crypto, err);

	*answer = (struct vault_answer){ 0 };
	if (state != VAULT_READY) {
		return state;
	}
	state = ask_once(crypto, path, body, answer, &why);
	if (state == VAULT_DENIED) {
		struct bursar_error again = { 0 };
		const enum vault_state login = vault_login_again(crypto,
		                                                 &again);

		vault_answer_clear(answer);
		if (login != VAULT_READY) {
			bursar_fail(err, EACCES, "%s", again.code != 0
			            ? again.text : why.text);
			return login;
		}
		why = (struct bursar_error){ 0 };
		state = ask_once(crypto, path, body, answer, &why);
	}
	if (state == VAULT_DENIED) {
		bursar_fail(err, why.code, "%s: give the token's policy update "
		            "on %s", why.text, path);
	} else if (state != VAULT_READY) {
		bursar_fail(err, why.code, "%s%s", why.text,
		            vault_verdict(state) == BURSAR_CONFIG
		            ? ": look at mount and key" : "");
	}
	return state;
}

/* --- a batch ------------------------------------------------------------- */

/* Characters of base64, so that it can stand in JSON as it is. */
static bool is_base64(struct bursar_span text)
{
	for (size_t i = 0; i < text.size; i++) {
		const char c = text.data[i];

		if ((c < 'a' || c > 'z') && (c < 'A' || c > 'Z') &&
		    (c < '0' || c > '9') && c != '+' && c != '/' && c != '=') {
			return false;
		}
	}
	return text.size > 0;
}

/* vault:v12:BASE64 */
static bool is_ciphertext(struct bursar_span body)
{
	size_t at = PREFIX_SIZE;

	if (body.size > MAX_REQUEST - 2 * ITEM_SPARE || body.size <= at ||
	    memcmp(body.data, PREFIX, PREFIX_SIZE) != 0) {
		return false;
	}
	while (at < body.size && body.data[at] >= '0' && body.data[at] <= '9') {
		at++;
	}
	return at > PREFIX_SIZE && at < PREFIX_SIZE + 10 && at < body.size &&
	       body.data[at] == ':' &&
	       is_base64((struct bursar_span){ body.data + at + 1,
	                                       body.size - at - 1 });
}

static int add_item(struct vault_text *text, size_t number,
                    struct bursar_span ciphertext)
{
	char rest[40];

	snprintf(rest, sizeof(rest), "\",\"reference\":\"%zu\"}", number);
	if (vault_text_add_word(text, number == 0 ? "{\"ciphertext\":\""
	                        : ",{\"ciphertext\":\"") != 0 ||
	    vault_text_add(text, ciphertext.data, ciphertext.size) != 0) {
		return -1;
	}
	return vault_text_add_word(text, rest);
}

/* Items of one request: places in the caller's list. */
struct batch {
	struct bursar_sealed *items[BATCH_ITEMS];
	size_t count;
	size_t bytes;
};

static bool make_request(const struct batch *batch, struct vault_text *text)
{
	if (vault_text_add_word(text, "{\"batch_input\":[") != 0) {
		return false;
	}
	for (size_t i = 0; i < batch->count; i++) {
		if (add_item(text, i, batch->items[i]->message->body) != 0) {
			return false;
		}
	}
	return vault_text_add_word(text, "]}") == 0;
}

/* --- the results --------------------------------------------------------- */

/* The results, `count` of them; 0 where the answer has others or none. */
static uint32_t results_of(const struct vault_answer *answer, size_t count)
{
	static const char *const names[] = { "data", "batch_results", NULL };
	const uint32_t list = vault_answer_at(answer, names);
	size_t found = 0;

	if (list == 0 || answer->doc.nodes[list].type != JSON_ARRAY) {
		return 0;
	}
	const struct json_node *nodes = answer->doc.nodes;
	for (uint32_t n = list + 1; n < nodes[list].next; n = nodes[n].next) {
		found++;
	}
	return found == count ? list : 0;
}

static bool is_for(const struct vault_answer *answer, uint32_t result,
                   size_t number)
{
	char text[24];
	const int size = snprintf(text, sizeof(text), "%zu", number);
	const uint32_t node = json_member(&answer->doc, result, "reference");

	return node != 0 && answer->doc.nodes[node].type == JSON_STRING &&
	       json_equals(&answer->doc, node, text, (size_t)size);
}

/* Without an arena nothing is taken: what was asked was only a probe, which no
 * key opens, whoever answers.  False: memory is short. */
static bool take_plain(const struct vault_answer *answer, uint32_t result,
                       struct bursar_sealed *item, struct bursar_arena *arena)
{
	const uint32_t error = json_member(&answer->doc, result, "error");
	const struct bursar_span text = vault_answer_text(answer,
		json_member(&answer->doc, result, "plaintext"));
	size_t size;

	item->result = BURSAR_BROKEN;
	if (arena == NULL || text.size == 0 ||
	    !base64_decoded_size(text, &size) ||
	    (error != 0 && vault_answer_text(answer, error).size > 0)) {
		return true;
	}
	char *plain = arena->alloc(arena, size);
	if (plain == NULL) {
		return false;
	}
	if (base64_decode(text, plain)) {
		item->result = BURSAR_OPENED;
		item->plain = (struct bursar_span){ plain, size };
	}
	return true;
}

static enum vault_state take_results(const struct vault_answer *answer,
                                     uint32_t list, const struct batch *batch,
                                     struct bursar_arena *arena,
                                     struct bursar_error *err)
{
	uint32_t result = list + 1;

	for (size_t i = 0; i < batch->count; i++) {
		if (!is_for(answer, result, i)) {
			bursar_fail(err, EBADMSG, "the results of a batch are "
			            "not those of its items");
			return VAULT_AWAY;
		}
		if (!take_plain(answer, result, batch->items[i], arena)) {
			bursar_fail(err, ENOMEM, "no memory to open messages");
			return VAULT_UNKNOWN;
		}
		result = answer->doc.nodes[result].next;
	}
	return VAULT_READY;
}

static enum vault_state open_batch(struct bursar_crypto *crypto,
                                   const struct batch *batch,
                                   struct bursar_arena *arena,
                                   struct bursar_error *err)
{
	struct vault_text body = { .limit = MAX_REQUEST };
	struct vault_answer answer = { 0 };
	struct bursar_error why = { 0 };
	enum vault_state state = VAULT_UNKNOWN;

	if (!make_request(batch, &body)) {
		bursar_fail(err, ENOMEM, "no memory to open messages");
		goto out;
	}
	state = ask(crypto, crypto->transit.decrypt_path, &body, &answer, &why);
	const uint32_t list = state == VAULT_READY || answer.status == 400
	                    ? results_of(&answer, batch->count) : 0;
	if (list != 0) {
		state = take_results(&answer, list, batch, arena, err);
	} else if (state == VAULT_READY) {
		state = VAULT_AWAY;
		bursar_fail(err, EBADMSG, "the answer has no result for each "
		            "item: is that Vault?");
	} else {
		bursar_fail(err, why.code, "%s", why.text);
	}
out:
	vault_answer_clear(&answer);
	vault_text_clear(&body);
	return state;
}

/* --- operations ---------------------------------------------------------- */

enum vault_state vault_transit_probe(struct bursar_crypto *crypto,
                                     struct bursar_error *err)
{
	static const struct bursar_message message = {
		.body = { PROBE, sizeof(PROBE) - 1 },
	};
	struct bursar_sealed item = { .message = &message };
	struct batch batch = { .items = { &item }, .count = 1 };

	return open_batch(crypto, &batch, NULL, err);
}

/* Fills a batch from items[*at ..), and moves *at on. */
static void gather(const struct bursar_crypto *crypto, struct batch *batch,
                   struct bursar_sealed *items, size_t count, size_t *at)
{
	batch->count = 0;
	batch->bytes = 0;
	for (; *at < count && batch->count < BATCH_ITEMS; ++*at) {
		const struct bursar_message *message = items[*at].message;
		const struct bursar_span body = message->body;
		const bool ours = vault_is_of_mode(crypto, message);

		items[*at].result = ours ? BURSAR_BROKEN : BURSAR_NO_KEY;
		items[*at].plain = (struct bursar_span){ NULL, 0 };
		items[*at].legacy = false;
		if (!ours || !is_ciphertext(body)) {
			continue;
		}
		if (batch->count > 0 &&
		    batch->bytes + body.size + ITEM_SPARE > BATCH_BYTES) {
			return;
		}
		batch->items[batch->count++] = &items[*at];
		batch->bytes += body.size + ITEM_SPARE;
	}
}

enum vault_state vault_transit_unseal(struct bursar_crypto *crypto,
                                      struct bursar_sealed *items,
                                      size_t count, struct bursar_arena *arena,
                                      struct bursar_error *err)
{
	enum vault_state state = VAULT_READY;
	struct batch batch;
	size_t at = 0;

	while (at < count && state == VAULT_READY) {
		gather(crypto, &batch, items, count, &at);
		if (batch.count > 0) {
			state = open_batch(crypto, &batch, arena, err);
		}
	}
	return state;
}

static bool make_plain(struct bursar_span plain, struct vault_text *body)
{
	size_t done = 0;

	if (vault_text_add_word(body, "{\"plaintext\":\"") != 0) {
		return false;
	}
	while (done < plain.size) {
		char text[4096];	/* of 3072 bytes, no padding between */
		const size_t left = plain.size - done;
		const size_t size = left < sizeof(text) / 4 * 3
		                  ? left : sizeof(text) / 4 * 3;

		base64_encode(plain.data + done, size, text);
		const int failed = vault_text_add(body, text,
		                                  base64_encoded_size(size));
		explicit_bzero(text, sizeof(text));
		if (failed != 0) {
			return false;
		}
		done += size;
	}
	return vault_text_add_word(body, "\"}") == 0;
}

/* The key and its version, NAME:v3; data is NULL when memory is short. */
static struct bursar_span make_key_id(const struct bursar_crypto *crypto,
                                      struct bursar_span ciphertext,
                                      struct bursar_arena *arena)
{
	const char *name = crypto->host->text(crypto->host, "key");
	const char *version = ciphertext.data + PREFIX_SIZE - 1;
	const char *end = memchr(version, ':', ciphertext.size - PREFIX_SIZE);
	const size_t room = KEY_NAME_MAX + 16;
	char *text = arena->alloc(arena, room);

	if (text == NULL) {
		return (struct bursar_span){ NULL, 0 };
	}
	const int size = snprintf(text, room, "%.*s:%.*s", KEY_NAME_MAX, name,
	                          (int)(end - version), version);
	for (int i = 0; i < size; i++) {
		text[i] = text[i] < '!' || text[i] > '~' ? '_' : text[i];
	}
	return (struct bursar_span){ text, (size_t)size };
}

static enum vault_state take_ciphertext(struct bursar_crypto *crypto,
                                        const struct vault_answer *answer,
                                        struct bursar_seal *out,
                                        struct bursar_arena *arena,
                                        struct bursar_error *err)
{
	static const char *const names[] = { "data", "ciphertext", NULL };
	const struct bursar_span text =
		vault_answer_text(answer, vault_answer_at(answer, names));

	if (text.data == NULL || !is_ciphertext(text)) {
		bursar_fail(err, EBADMSG, "the answer has no ciphertext: is "
		            "that Vault?");
		return VAULT_AWAY;
	}
	const struct bursar_span id = make_key_id(crypto, text, arena);
	char *body = arena->alloc(arena, text.size);
	if (body == NULL || id.data == NULL) {
		bursar_fail(err, ENOMEM, "no memory to seal a message");
		return VAULT_UNKNOWN;
	}
	memcpy(body, text.data, text.size);
	*out = (struct bursar_seal){
		.encoding = VAULT_TRANSIT_ENCODING,
		.body = { body, text.size },
		.key_id = id,
	};
	return VAULT_READY;
}

enum vault_state vault_transit_seal(struct bursar_crypto *crypto,
                                    struct bursar_span plain,
                                    struct bursar_seal *out,
                                    struct bursar_arena *arena,
                                    struct bursar_error *err)
{
	struct vault_text body = { .limit = MAX_REQUEST };
	struct vault_answer answer = { 0 };
	enum vault_state state = VAULT_UNKNOWN;

	assert(plain.size > 0 && plain.size <= VAULT_TRANSIT_MAX_PLAIN);

	if (!make_plain(plain, &body)) {
		bursar_fail(err, ENOMEM, "no memory to seal a message");
		goto out;
	}
	state = ask(crypto, crypto->transit.encrypt_path, &body, &answer, err);
	if (state == VAULT_READY) {
		state = take_ciphertext(crypto, &answer, out, arena, err);
	}
out:
	vault_answer_clear(&answer);
	vault_text_clear(&body);
	return state;
}
