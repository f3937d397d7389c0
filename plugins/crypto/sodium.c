/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bursar's own sealed messages, on libsodium.
 *
 *	encrypted/sodium   XChaCha20-Poly1305 (IETF) under a secret key that
 *	                   both sides hold
 *	encrypted/sealed   a sealed box: producers hold a public key only
 *
 * A message names its key in the header x-bursar-key-id.  Its body is base64.
 * The encoding and the key's id are authenticated with encrypted/sodium, so
 * that nobody can pass a message off as one of another key or kind.
 *
 * Keys stand in memory that libsodium locks, guards and wipes, read-only once
 * they are read.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include <bursar/crypto.h>

#include "common/base64.h"
#include "common/keyfile.h"

#define KEY_ID_HEADER "x-bursar-key-id"
#define IV_HEADER     "iv"

#define MAX_KEYS  128
#define ID_SIZE   64			/* longest id */
#define MAX_PLAIN ((size_t)1 << 29)	/* bytes of one message */

#define KEY_SIZE   crypto_aead_xchacha20poly1305_ietf_KEYBYTES
#define TAG_SIZE   crypto_aead_xchacha20poly1305_ietf_ABYTES
#define NONCE_SIZE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define BOX_SIZE   crypto_box_SECRETKEYBYTES

_Static_assert(KEY_SIZE == BOX_SIZE && BOX_SIZE == crypto_box_PUBLICKEYBYTES,
               "all parts of keys have one size");

/* In the order of the encodings that they belong to. */
enum key_kind {
	KEY_SECRET,		/* encrypted/sodium */
	KEY_SEALED,		/* encrypted/sealed, opens and seals */
	KEY_PUBLIC,		/* encrypted/sealed, seals only */
	KEY_KINDS
};

static const char *const kind_names[KEY_KINDS] = {
	"secret", "sealed", "public",
};

#define SODIUM_ENCODING "encrypted/sodium"
#define SEALED_ENCODING "encrypted/sealed"

static const char *const encodings[] = {
	SODIUM_ENCODING, SEALED_ENCODING, NULL,
};

/* What is authenticated beside the text: the encoding, a NUL, the id. */
#define LABEL_PREFIX (sizeof(SODIUM_ENCODING))
#define LABEL_SIZE   (LABEL_PREFIX + ID_SIZE)

struct key {
	enum key_kind kind;
	size_t        id_size;
	char          id[ID_SIZE];
	unsigned char secret[KEY_SIZE];	/* the key, or a box's secret half */
	unsigned char public[KEY_SIZE];	/* a box's public half */
};

struct bursar_crypto {
	const struct bursar_host *host;
	struct key       *keys;		/* sodium_malloc() */
	size_t            count;
	const struct key *current;	/* what seal() uses */
};

/*
 * --- the key file
 */

/* In constant time, straight to where the key stays. */
static bool read_base64(struct bursar_span word, unsigned char out[KEY_SIZE])
{
	size_t size = 0;

	return sodium_base642bin(out, KEY_SIZE, word.data, word.size, NULL,
	                         &size, NULL,
	                         sodium_base64_VARIANT_ORIGINAL) == 0 &&
	       size == KEY_SIZE;
}

static bool id_is_acceptable(struct bursar_span id)
{
	for (size_t i = 0; i < id.size; i++) {
		if (id.data[i] < '!' || id.data[i] > '~') {
			return false;
		}
	}
	return id.size > 0 && id.size <= ID_SIZE;
}

static bool read_kind(struct bursar_span word, enum key_kind *kind)
{
	for (int i = 0; i < KEY_KINDS; i++) {
		if (word.size == strlen(kind_names[i]) &&
		    memcmp(word.data, kind_names[i], word.size) == 0) {
			*kind = (enum key_kind)i;
			return true;
		}
	}
	return false;
}

/* Whether the two are for one encoding. */
static bool same_encoding(enum key_kind a, enum key_kind b)
{
	return (a == KEY_SECRET) == (b == KEY_SECRET);
}

static const struct key *find_key(const struct bursar_crypto *crypto,
                                  enum key_kind kind, struct bursar_span id)
{
	for (size_t i = 0; i < crypto->count; i++) {
		const struct key *key = &crypto->keys[i];

		if (same_encoding(key->kind, kind) && key->id_size == id.size &&
		    memcmp(key->id, id.data, id.size) == 0) {
			return key;
		}
	}
	return NULL;
}

/*
 * The parts of a box: both halves, where the second must belong to the first,
 * or the secret half alone.
 */
static bool read_box(struct key *key, struct bursar_span first,
                     struct bursar_span second)
{
	unsigned char given[KEY_SIZE];

	if (second.size == 0) {
		return read_base64(first, key->secret) &&
		       crypto_scalarmult_base(key->public, key->secret) == 0;
	}
	return read_base64(first, given) && read_base64(second, key->secret) &&
	       crypto_scalarmult_base(key->public, key->secret) == 0 &&
	       sodium_memcmp(given, key->public, KEY_SIZE) == 0;
}

static bool read_parts(struct key *key, struct bursar_span first,
                       struct bursar_span second)
{
	switch (key->kind) {
	case KEY_SECRET:
		return second.size == 0 && read_base64(first, key->secret);
	case KEY_PUBLIC:
		return second.size == 0 && read_base64(first, key->public);
	default:
		return read_box(key, first, second);
	}
}

/* Reads one line; returns what is wrong with it, or NULL. */
static const char *read_key(struct bursar_crypto *crypto,
                            struct bursar_span line)
{
	struct key *key = &crypto->keys[crypto->count];
	const struct bursar_span kind = keyfile_word(&line);
	const struct bursar_span id = keyfile_word(&line);
	const struct bursar_span first = keyfile_word(&line);
	const struct bursar_span second = keyfile_word(&line);

	if (crypto->count == MAX_KEYS) {
		return "is one key too many";
	}
	if (!read_kind(kind, &key->kind)) {
		return "must begin with secret, sealed or public";
	}
	if (!id_is_acceptable(id)) {
		return "must name the key: 1 to 64 visible characters";
	}
	if (find_key(crypto, key->kind, id) != NULL) {
		return "names a key that an earlier line names";
	}
	if (keyfile_word(&line).size > 0 || !read_parts(key, first, second)) {
		return "must end in a key as base64 of 32 bytes";
	}
	memcpy(key->id, id.data, id.size);
	key->id_size = id.size;
	crypto->count++;
	return NULL;
}

static int read_keys(struct bursar_crypto *crypto, struct bursar_span text,
                     struct bursar_error *err)
{
	struct keyfile file = { .rest = text };
	struct bursar_span line;

	while (keyfile_next(&file, &line)) {
		const char *wrong = read_key(crypto, line);

		if (wrong != NULL) {
			return bursar_fail(err, EINVAL, "keys: line %u %s",
			                   file.line, wrong);
		}
	}
	if (crypto->count == 0) {
		return bursar_fail(err, EINVAL, "keys: holds no key");
	}
	return 0;
}

/* The first secret key; without any, the first box. */
static const struct key *choose_current(const struct bursar_crypto *crypto)
{
	for (size_t i = 0; i < crypto->count; i++) {
		if (crypto->keys[i].kind == KEY_SECRET) {
			return &crypto->keys[i];
		}
	}
	return &crypto->keys[0];
}

/*
 * --- life
 */

static void sodium_close(struct bursar_crypto *crypto)
{
	if (crypto != NULL) {
		sodium_free(crypto->keys);
		free(crypto);
	}
}

static struct bursar_crypto *sodium_open(const struct bursar_host *host,
                                         struct bursar_error *err)
{
	struct bursar_crypto *crypto = calloc(1, sizeof(*crypto));

	if (crypto == NULL || sodium_init() < 0) {
		bursar_fail(err, ENOMEM, "libsodium cannot start");
		goto fail;
	}
	crypto->host = host;
	crypto->keys = sodium_allocarray(MAX_KEYS, sizeof(crypto->keys[0]));
	if (crypto->keys == NULL) {
		bursar_fail(err, ENOMEM, "no memory for keys");
		goto fail;
	}
	/* It is locked already, but libsodium does not say when it is not. */
	if (sodium_mlock(crypto->keys,
	                 MAX_KEYS * sizeof(crypto->keys[0])) != 0) {
		host->log(host, BURSAR_WARNING, "keys-not-locked",
		          "remedy=\"raise RLIMIT_MEMLOCK\"");
	}
	if (read_keys(crypto, host->secret(host, "keys"), err) != 0) {
		goto fail;
	}
	crypto->current = choose_current(crypto);
	(void)sodium_mprotect_readonly(crypto->keys);
	return crypto;

fail:
	sodium_close(crypto);
	return NULL;
}

/*
 * --- opening
 */

static size_t make_label(const struct key *key, unsigned char label[LABEL_SIZE])
{
	memcpy(label, SODIUM_ENCODING, LABEL_PREFIX);
	memcpy(label + LABEL_PREFIX, key->id, key->id_size);
	return LABEL_PREFIX + key->id_size;
}

static bool open_secret(const struct key *key, const unsigned char *nonce,
                        const unsigned char *sealed, size_t size,
                        unsigned char *plain)
{
	unsigned char label[LABEL_SIZE];
	const size_t label_size = make_label(key, label);

	return crypto_aead_xchacha20poly1305_ietf_decrypt(
	               plain, NULL, NULL, sealed, size, label, label_size,
	               nonce, key->secret) == 0;
}

static bool open_box(const struct key *key, const unsigned char *sealed,
                     size_t size, unsigned char *plain)
{
	return crypto_box_seal_open(plain, sealed, size, key->public,
	                            key->secret) == 0;
}

static bool is_sealed_box(const struct bursar_message *message)
{
	const struct bursar_span encoding = message->content_encoding;

	return encoding.size == strlen(SEALED_ENCODING) &&
	       memcmp(encoding.data, SEALED_ENCODING, encoding.size) == 0;
}

static bool read_nonce(const struct bursar_message *message,
                       unsigned char nonce[NONCE_SIZE])
{
	const struct bursar_span iv = bursar_header_get(message, IV_HEADER);
	size_t size = 0;

	return iv.size > 0 && base64_decoded_size(iv, &size) &&
	       size == NONCE_SIZE && base64_decode(iv, nonce);
}

/*
 * Opens one message whose key is there.  Returns false when memory is short;
 * the result stays BROKEN where it does not open.
 */
static bool open_with(const struct key *key, struct bursar_sealed *item,
                      const unsigned char *nonce, struct bursar_arena *arena)
{
	const struct bursar_span body = item->message->body;
	const size_t extra = nonce ? TAG_SIZE : crypto_box_SEALBYTES;
	size_t size = 0;

	if (!base64_decoded_size(body, &size) || size <= extra ||
	    size - extra > MAX_PLAIN) {
		return true;
	}
	unsigned char *sealed = arena->alloc(arena, size);
	unsigned char *plain = arena->alloc(arena, size - extra);
	if (sealed == NULL || plain == NULL) {
		return false;
	}
	if (base64_decode(body, sealed) &&
	    (nonce ? open_secret(key, nonce, sealed, size, plain)
	           : open_box(key, sealed, size, plain))) {
		item->plain = (struct bursar_span){
			(const char *)plain, size - extra,
		};
		item->result = BURSAR_OPENED;
	}
	return true;
}

/* What a sender must give comes first; only then is a key looked for. */
static bool unseal_one(struct bursar_crypto *crypto,
                       struct bursar_sealed *item, struct bursar_arena *arena)
{
	const struct bursar_message *message = item->message;
	const bool box = is_sealed_box(message);
	const struct bursar_span id = bursar_header_get(message, KEY_ID_HEADER);
	unsigned char nonce[NONCE_SIZE];

	item->plain = (struct bursar_span){ 0 };
	item->legacy = false;
	item->result = BURSAR_BROKEN;
	if ((!box && !read_nonce(message, nonce)) || id.size == 0 ||
	    message->body.size == 0) {
		return true;
	}
	const struct key *key = find_key(crypto, box ? KEY_SEALED : KEY_SECRET,
	                                 id);
	if (key == NULL || key->kind == KEY_PUBLIC) {
		item->result = BURSAR_NO_KEY;
		return true;
	}
	if (!open_with(key, item, box ? NULL : nonce, arena)) {
		return false;
	}
	if (key != crypto->current && item->result == BURSAR_OPENED) {
		crypto->host->count(crypto->host, "other_key_messages_total",
		                    1);
	}
	return true;
}

static enum bursar_verdict sodium_unseal(struct bursar_crypto *crypto,
                                         struct bursar_sealed *items,
                                         size_t count,
                                         struct bursar_arena *arena,
                                         struct bursar_error *err)
{
	assert(crypto != NULL && items != NULL && count > 0);

	for (size_t i = 0; i < count; i++) {
		if (!unseal_one(crypto, &items[i], arena)) {
			bursar_fail(err, ENOMEM, "no memory to open messages");
			return BURSAR_RETRY;
		}
	}
	return BURSAR_DONE;
}

/*
 * --- sealing
 */

static struct bursar_span encode(const unsigned char *bytes, size_t size,
                                 struct bursar_arena *arena)
{
	const size_t text_size = base64_encoded_size(size);
	char *text = arena->alloc(arena, text_size);

	if (text != NULL) {
		base64_encode(bytes, size, text);
	}
	return (struct bursar_span){ text, text ? text_size : 0 };
}

static void add_header(struct bursar_seal *out, const char *name,
                       struct bursar_span value)
{
	assert(out->header_count <
	       sizeof(out->headers) / sizeof(out->headers[0]));

	out->headers[out->header_count++] = (struct bursar_header){
		{ name, strlen(name) }, value,
	};
}

static bool seal_secret(const struct key *key, struct bursar_span plain,
                        unsigned char *sealed, struct bursar_seal *out,
                        struct bursar_arena *arena)
{
	unsigned char nonce[NONCE_SIZE];
	unsigned char label[LABEL_SIZE];
	const size_t label_size = make_label(key, label);

	randombytes_buf(nonce, sizeof(nonce));
	const struct bursar_span iv = encode(nonce, sizeof(nonce), arena);
	add_header(out, IV_HEADER, iv);
	out->encoding = SODIUM_ENCODING;
	return iv.data != NULL &&
	       crypto_aead_xchacha20poly1305_ietf_encrypt(
	               sealed, NULL, (const unsigned char *)plain.data,
	               plain.size, label, label_size, NULL, nonce,
	               key->secret) == 0;
}

static bool seal_box(const struct key *key, struct bursar_span plain,
                     unsigned char *sealed, struct bursar_seal *out)
{
	out->encoding = SEALED_ENCODING;
	return crypto_box_seal(sealed, (const unsigned char *)plain.data,
	                       plain.size, key->public) == 0;
}

static bool seal_with(const struct key *key, struct bursar_span plain,
                      struct bursar_seal *out, struct bursar_arena *arena)
{
	const bool box = key->kind != KEY_SECRET;
	const size_t size = plain.size +
	                    (box ? crypto_box_SEALBYTES : TAG_SIZE);
	unsigned char *sealed = arena->alloc(arena, size);
	char *id = arena->alloc(arena, key->id_size);

	if (sealed == NULL || id == NULL) {
		return false;
	}
	memcpy(id, key->id, key->id_size);
	out->key_id = (struct bursar_span){ id, key->id_size };
	add_header(out, KEY_ID_HEADER, out->key_id);
	if (!(box ? seal_box(key, plain, sealed, out)
	          : seal_secret(key, plain, sealed, out, arena))) {
		return false;
	}
	out->body = encode(sealed, size, arena);
	return out->body.data != NULL;
}

static enum bursar_verdict sodium_seal(struct bursar_crypto *crypto,
                                       struct bursar_span plain,
                                       struct bursar_seal *out,
                                       struct bursar_arena *arena,
                                       struct bursar_error *err)
{
	assert(crypto != NULL && out != NULL);

	if (plain.size == 0 || plain.size > MAX_PLAIN) {
		bursar_fail(err, EINVAL, "%s", plain.size == 0
		            ? "an empty text cannot be sealed"
		            : "the text is too long to be sealed");
		return BURSAR_REJECT;
	}
	*out = (struct bursar_seal){ 0 };
	if (!seal_with(crypto->current, plain, out, arena)) {
		bursar_fail(err, ENOMEM, "no memory to seal");
		return BURSAR_RETRY;
	}
	return BURSAR_DONE;
}

/*
 * --- new keys
 */

#define KEY_TEXT_SIZE \
	sodium_base64_ENCODED_LEN(KEY_SIZE, sodium_base64_VARIANT_ORIGINAL)

/* Everything of a new key that must be wiped. */
struct new_key {
	unsigned char secret[KEY_SIZE];
	unsigned char public[KEY_SIZE];
	char          secret_text[KEY_TEXT_SIZE];
	char          public_text[KEY_TEXT_SIZE];
};

static int write_secret(FILE *out, const char *id, struct new_key *key)
{
	crypto_aead_xchacha20poly1305_ietf_keygen(key->secret);
	sodium_bin2base64(key->secret_text, KEY_TEXT_SIZE, key->secret,
	                  KEY_SIZE, sodium_base64_VARIANT_ORIGINAL);
	return fprintf(out, "secret %s %s\n", id, key->secret_text);
}

static int write_sealed(FILE *out, const char *id, struct new_key *key)
{
	crypto_box_keypair(key->public, key->secret);
	sodium_bin2base64(key->secret_text, KEY_TEXT_SIZE, key->secret,
	                  KEY_SIZE, sodium_base64_VARIANT_ORIGINAL);
	sodium_bin2base64(key->public_text, KEY_TEXT_SIZE, key->public,
	                  KEY_SIZE, sodium_base64_VARIANT_ORIGINAL);
	return fprintf(out, "# public %s %s\nsealed %s %s %s\n",
	               id, key->public_text,
	               id, key->public_text, key->secret_text);
}

static int sodium_keygen(FILE *out, const char *type, const char *id,
                         struct bursar_error *err)
{
	enum key_kind kind = KEY_SECRET;
	struct new_key key;
	int result = 0;

	if (type != NULL && (!read_kind((struct bursar_span){
	                     type, strlen(type) }, &kind) ||
	                     kind == KEY_PUBLIC)) {
		return bursar_fail(err, EINVAL, "'%.40s' is no type of key "
		                   "here: secret and sealed are", type);
	}
	if (id == NULL ||
	    !id_is_acceptable((struct bursar_span){ id, strlen(id) })) {
		return bursar_fail(err, EINVAL, "a key needs an id of 1 to %d "
		                   "visible characters", ID_SIZE);
	}
	if (sodium_init() < 0) {
		return bursar_fail(err, ENOMEM, "libsodium cannot start");
	}
	const int written = kind == KEY_SECRET ? write_secret(out, id, &key)
	                                       : write_sealed(out, id, &key);
	if (written < 0) {
		result = bursar_fail(err, errno, "%s", strerror(errno));
	}
	sodium_memzero(&key, sizeof(key));
	return result;
}

static const struct bursar_crypto_ops ops = {
	.encodings = encodings,
	.open = sodium_open,
	.unseal = sodium_unseal,
	.seal = sodium_seal,
	.keygen = sodium_keygen,
	.close = sodium_close,
};

static const struct bursar_option options[] = {
	{ .name = "keys", .type = BURSAR_TYPE_SECRET,
	  .help = "Keys, one a line as TYPE ID BASE64: the first secret one "
	          "seals, all of them open." },
	{ NULL },
};

static const char manual[] =
"Opens messages of content encoding encrypted/sodium (XChaCha20-Poly1305 under "
"a key that both sides hold) and encrypted/sealed (libsodium's sealed box: a "
"producer holds a public key, with which it can seal and not open).\n"
"\n"
"WIRE FORMAT.  Every base64 has the standard alphabet with padding and no line "
"breaks.  The header x-bursar-key-id names the key.\n"
"\n"
"encrypted/sodium: the header iv is the base64 of a random nonce of 24 bytes, "
"the body the base64 of ciphertext and tag as "
"crypto_aead_xchacha20poly1305_ietf_encrypt() makes them; the additional data "
"is the text encrypted/sodium, one byte 0, and the key id.\n"
"\n"
"encrypted/sealed: the body is the base64 of what crypto_box_seal() makes; "
"there is no header iv.  A sealed box does not prove who made it: whoever has "
"the public key can.\n"
"\n"
"A message whose id is in no line becomes a dead letter no-key, to be replayed "
"once the key is there.  One that has no id or no iv, or that does not open, "
"becomes a dead letter whose reason is the same for all of these.\n"
"\n"
"KEY FILE.  One key a line; empty lines and lines that begin with # are left "
"out.  The file must be readable by its owner alone.  An id has 1 to 64 visible "
"characters.\n"
"\n"
"	secret ID BASE64            32 bytes for encrypted/sodium\n"
"	sealed ID [PUBLIC] SECRET   32 bytes each for encrypted/sealed\n"
"	public ID PUBLIC            the same, to seal only\n"
"\n"
"bursar crypto keygen prints a line to put there.  With --type sealed it also "
"prints a comment with the public line, which is what producers get.\n"
"\n"
"ROTATION.  Put a new secret line on top and reload: it seals from now on, the "
"lines below still open what was sealed before.  Remove a line when no message "
"of it can be waiting any more: other_key_messages_total counts those that "
"another key than the topmost opened.  Without any secret line the first line "
"of the file seals.\n"
"\n"
"	crypto:\n"
"	  own: {plugin: sodium, keys-file: /etc/bursar/keys}\n";

static const struct bursar_plugin_figure figures[] = {
	{ "other_key_messages_total",
	  "Messages opened with a key other than the one that seals." },
	{ NULL }
};

BURSAR_PLUGIN_DEFINE(crypto_sodium,
	.kind = BURSAR_CRYPTO,
	.name = "sodium",
	.summary = "messages sealed under keys of your own, with libsodium",
	.options = options,
	.figures = figures,
	.manual = manual,
	.ops.crypto = &ops,
);
