/* SPDX-License-Identifier: Apache-2.0 */

/*
 * AES-256 in GCM and CBC as a cluster uses it, on libcrypto's EVP interface.
 *
 * Ciphers are fetched once.  A context is given its key when that is first
 * needed and only an iv from then on; cluster_ring_rest() takes the key away,
 * and libcrypto wipes what it made of it.  Each attempt decodes the base64
 * afresh into the place where the plain text will stand, so that a message
 * needs one buffer, however many keys are tried.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "common/base64.h"
#include "common/cluster_cipher.h"

#define KEY_SIZE    32
#define BLOCK_SIZE  16
#define GCM_IV_SIZE 12
#define TAG_SIZE    16
#define ID_BYTES    8			/* of a hash, that name a key */
#define TAG_TEXT    24			/* base64 of a tag */
#define PREFIX      "gcm:"
#define PREFIX_SIZE (sizeof(PREFIX) - 1)

_Static_assert(CLUSTER_MAX_PLAIN + BLOCK_SIZE < INT_MAX,
               "libcrypto counts in int");

/* A cipher under one key. */
struct context {
	EVP_CIPHER_CTX *evp;
	bool            keyed;
};

struct cluster_ring {
	unsigned char (*keys)[KEY_SIZE];	/* the middle one of 3 pages */
	size_t          page;
	bool            locked;
	size_t          count;
	char            id[2 * ID_BYTES + 1];	/* of the first key */
	size_t          recent;		/* the key that fitted last */
	EVP_CIPHER     *gcm;
	EVP_CIPHER     *cbc;
	struct context  open_gcm[CLUSTER_MAX_SECRETS];
	struct context  open_cbc[CLUSTER_MAX_SECRETS];
	struct context  seal_gcm;	/* under the first key */
};

/*
 * --- keys
 */

/* One page between two that cannot be touched. */
static int map_keys(struct cluster_ring *ring)
{
	ring->page = (size_t)sysconf(_SC_PAGESIZE);
	assert(ring->page >= sizeof(ring->keys[0]) * CLUSTER_MAX_SECRETS);

	char *start = mmap(NULL, 3 * ring->page, PROT_NONE,
	                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (start == MAP_FAILED) {
		return -1;
	}
	ring->keys = (void *)(start + ring->page);
	if (mprotect(ring->keys, ring->page, PROT_READ | PROT_WRITE) != 0) {
		return -1;
	}
	ring->locked = mlock(ring->keys, ring->page) == 0;
	(void)madvise(ring->keys, ring->page, MADV_DONTDUMP);
	return mprotect(ring->keys, ring->page, PROT_READ);
}

static void unmap_keys(struct cluster_ring *ring)
{
	if (ring->keys == NULL) {
		return;
	}
	if (mprotect(ring->keys, ring->page, PROT_READ | PROT_WRITE) == 0) {
		OPENSSL_cleanse(ring->keys, ring->page);
	}
	munmap((char *)ring->keys - ring->page, 3 * ring->page);
}

struct cluster_ring *cluster_ring_create(struct bursar_error *err)
{
	struct cluster_ring *ring = calloc(1, sizeof(*ring));

	if (ring == NULL || map_keys(ring) != 0) {
		bursar_fail(err, ENOMEM, "no memory for keys");
		goto fail;
	}
	ring->gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	ring->cbc = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	if (ring->gcm == NULL || ring->cbc == NULL) {
		bursar_fail(err, ENOTSUP, "libcrypto has no AES-256-%s",
		            ring->gcm == NULL ? "GCM" : "CBC");
		goto fail;
	}
	return ring;

fail:
	cluster_ring_destroy(ring);
	return NULL;
}

bool cluster_ring_is_locked(const struct cluster_ring *ring)
{
	assert(ring != NULL);

	return ring->locked;
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
	       (c >= 'A' && c <= 'F');
}

bool cluster_secret_is_valid(struct bursar_span secret, size_t bytes)
{
	if (secret.size == 0 || (bytes > 0 && secret.size != 2 * bytes)) {
		return false;
	}
	for (size_t i = 0; i < secret.size; i++) {
		if (!is_hex(secret.data[i])) {
			return false;
		}
	}
	return true;
}

/* Hashed once more, under a word of its own. */
static bool name_first(struct cluster_ring *ring)
{
	static const char word[] = "bursar key id";
	unsigned char text[sizeof(word) + KEY_SIZE];
	unsigned char hash[EVP_MAX_MD_SIZE];

	memcpy(text, word, sizeof(word));
	memcpy(text + sizeof(word), ring->keys[0], KEY_SIZE);
	const int made = EVP_Digest(text, sizeof(text), hash, NULL,
	                            EVP_sha256(), NULL);
	OPENSSL_cleanse(text, sizeof(text));
	for (size_t i = 0; i < ID_BYTES; i++) {
		snprintf(ring->id + 2 * i, 3, "%02x", hash[i]);
	}
	return made == 1;
}

int cluster_ring_add(struct cluster_ring *ring, struct bursar_span secret,
                     struct bursar_error *err)
{
	assert(ring != NULL);
	assert(cluster_secret_is_valid(secret, 0));

	if (ring->count == CLUSTER_MAX_SECRETS) {
		return bursar_fail(err, ENOSPC, "more than %d secrets",
		                   CLUSTER_MAX_SECRETS);
	}
	if (mprotect(ring->keys, ring->page, PROT_READ | PROT_WRITE) != 0) {
		return bursar_fail(err, EIO, "the memory of keys: %s",
		                   strerror(errno));
	}
	const int made = EVP_Digest(secret.data, secret.size,
	                            ring->keys[ring->count], NULL,
	                            EVP_sha256(), NULL);
	(void)mprotect(ring->keys, ring->page, PROT_READ);
	if (made != 1 || (ring->count == 0 && !name_first(ring))) {
		return bursar_fail(err, EIO, "libcrypto cannot make a SHA-256");
	}
	ring->count++;
	return 0;
}

struct bursar_span cluster_ring_copy_id(const struct cluster_ring *ring,
                                        struct bursar_arena *arena)
{
	assert(ring != NULL && ring->count > 0);

	const size_t size = (size_t)2 * ID_BYTES;
	char *text = arena->alloc(arena, size);

	if (text != NULL) {
		memcpy(text, ring->id, size);
	}
	return (struct bursar_span){ text, text != NULL ? size : 0 };
}

size_t cluster_ring_count(const struct cluster_ring *ring)
{
	assert(ring != NULL);

	return ring->count;
}

/*
 * --- contexts
 */

/* Makes the context ready for an iv; false when libcrypto cannot. */
static bool give_key(struct context *context, const EVP_CIPHER *cipher,
                     const unsigned char *key, bool seal)
{
	if (context->keyed) {
		return true;
	}
	if (context->evp == NULL) {
		context->evp = EVP_CIPHER_CTX_new();
	}
	context->keyed = context->evp != NULL &&
		EVP_CipherInit_ex2(context->evp, cipher, key, NULL, seal,
		                   NULL) == 1 &&
		EVP_CIPHER_CTX_set_padding(context->evp, 0) == 1;
	return context->keyed;
}

static void take_key(struct context *context)
{
	if (context->evp != NULL) {
		EVP_CIPHER_CTX_reset(context->evp);
	}
	context->keyed = false;
}

void cluster_ring_rest(struct cluster_ring *ring)
{
	assert(ring != NULL);

	for (size_t i = 0; i < ring->count; i++) {
		take_key(&ring->open_gcm[i]);
		take_key(&ring->open_cbc[i]);
	}
	take_key(&ring->seal_gcm);
}

void cluster_ring_destroy(struct cluster_ring *ring)
{
	if (ring == NULL) {
		return;
	}
	for (size_t i = 0; i < ring->count; i++) {
		EVP_CIPHER_CTX_free(ring->open_gcm[i].evp);
		EVP_CIPHER_CTX_free(ring->open_cbc[i].evp);
	}
	EVP_CIPHER_CTX_free(ring->seal_gcm.evp);
	EVP_CIPHER_free(ring->gcm);
	EVP_CIPHER_free(ring->cbc);
	unmap_keys(ring);
	free(ring);
}

/*
 * --- opening
 */

/* What is to be opened, and where to. */
struct job {
	struct bursar_span ciphertext;	/* base64 */
	unsigned char  iv[BLOCK_SIZE];
	unsigned char  tag[TAG_SIZE];	/* GCM */
	unsigned char *plain;		/* room for the decoded ciphertext */
	size_t         size;
};

/*
 * Fills a job from "gcm:CIPHERTEXT:TAG" but for its buffer; false where the
 * text has another shape.
 */
static bool read_gcm(struct job *job, struct bursar_span body,
                     struct bursar_span iv)
{
	size_t size;

	if (body.size < PREFIX_SIZE + 1 + TAG_TEXT ||
	    body.data[body.size - TAG_TEXT - 1] != ':') {
		return false;
	}
	const struct bursar_span tag = {
		body.data + body.size - TAG_TEXT, TAG_TEXT,
	};
	job->ciphertext = (struct bursar_span){
		body.data + PREFIX_SIZE, body.size - PREFIX_SIZE - 1 - TAG_TEXT,
	};
	if (!base64_decoded_size(job->ciphertext, &job->size) ||
	    job->size == 0 || job->size > CLUSTER_MAX_PLAIN) {
		return false;
	}
	return base64_decoded_size(tag, &size) && size == TAG_SIZE &&
	       base64_decode(tag, job->tag) &&
	       base64_decoded_size(iv, &size) && size == GCM_IV_SIZE &&
	       base64_decode(iv, job->iv);
}

static enum cluster_result try_gcm(struct cluster_ring *ring, size_t which,
                                   struct job *job)
{
	struct context *context = &ring->open_gcm[which];
	int size = 0;
	int rest = 0;

	if (!base64_decode(job->ciphertext, job->plain)) {
		return CLUSTER_BROKEN;
	}
	if (!give_key(context, ring->gcm, ring->keys[which], false) ||
	    EVP_CipherInit_ex2(context->evp, NULL, NULL, job->iv, -1,
	                       NULL) != 1 ||
	    EVP_CIPHER_CTX_ctrl(context->evp, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE,
	                        job->tag) != 1 ||
	    EVP_CipherUpdate(context->evp, job->plain, &size, job->plain,
	                     (int)job->size) != 1) {
		return CLUSTER_UNABLE;
	}
	if (EVP_CipherFinal_ex(context->evp, job->plain + size, &rest) != 1) {
		return CLUSTER_BROKEN;
	}
	return CLUSTER_OPENED;
}

/* As many tries as there are keys, the one that fitted last time first. */
static enum cluster_result open_gcm(struct cluster_ring *ring, struct job *job)
{
	enum cluster_result result = CLUSTER_BROKEN;

	for (size_t i = 0; i < ring->count && result == CLUSTER_BROKEN; i++) {
		const size_t which = (ring->recent + i) % ring->count;

		result = try_gcm(ring, which, job);
		if (result == CLUSTER_OPENED) {
			ring->recent = which;
		}
	}
	return result;
}

/* The same for a legacy message; the whole of the body is its ciphertext. */
static bool read_cbc(struct job *job, struct bursar_span body,
                     struct bursar_span iv)
{
	unsigned char decoded[3 * BLOCK_SIZE];

	if (base64_loose_size(iv) > sizeof(decoded) ||
	    base64_decode_loose(iv, decoded) != BLOCK_SIZE) {
		return false;
	}
	memcpy(job->iv, decoded, BLOCK_SIZE);
	job->ciphertext = body;
	job->size = base64_loose_size(body);
	return job->size <= CLUSTER_MAX_PLAIN;
}

/*
 * The size of the text before its padding, 0 where that is wrong.  Looks at
 * the last block in the same way whatever it holds.
 */
static size_t unpadded_size(const unsigned char *text, size_t size)
{
	const unsigned char *last = text + size - BLOCK_SIZE;
	const unsigned pad = last[BLOCK_SIZE - 1];
	unsigned wrong = (pad == 0) | (pad > BLOCK_SIZE);

	for (unsigned i = 0; i < BLOCK_SIZE; i++) {
		const unsigned counts = 0u - (unsigned)(BLOCK_SIZE - i <= pad);

		wrong |= counts & (last[i] ^ pad);
	}
	return wrong == 0 ? size - pad : 0;
}

static bool begins_as_json(const unsigned char *text, size_t size)
{
	size_t i = 0;

	while (i < size && (text[i] == ' ' || text[i] == '\n' ||
	                    text[i] == '\r' || text[i] == '\t')) {
		i++;
	}
	return i < size && (text[i] == '{' || text[i] == '[');
}

static enum cluster_result try_cbc(struct cluster_ring *ring, size_t which,
                                   struct job *job)
{
	struct context *context = &ring->open_cbc[which];
	int size = 0;
	int rest = 0;

	const size_t sealed = base64_decode_loose(job->ciphertext, job->plain);
	if (sealed == 0 || sealed % BLOCK_SIZE != 0) {
		return CLUSTER_BROKEN;
	}
	if (!give_key(context, ring->cbc, ring->keys[which], false) ||
	    EVP_CipherInit_ex2(context->evp, NULL, NULL, job->iv, -1,
	                       NULL) != 1 ||
	    EVP_CipherUpdate(context->evp, job->plain, &size, job->plain,
	                     (int)sealed) != 1 ||
	    EVP_CipherFinal_ex(context->evp, job->plain + size, &rest) != 1) {
		return CLUSTER_UNABLE;
	}
	job->size = unpadded_size(job->plain, sealed);
	return begins_as_json(job->plain, job->size) ? CLUSTER_OPENED
	                                             : CLUSTER_BROKEN;
}

/* In the order of the ring, so that the answer depends on nothing else. */
static enum cluster_result open_cbc(struct cluster_ring *ring, struct job *job,
                                    size_t *which)
{
	enum cluster_result result = CLUSTER_BROKEN;

	for (size_t i = 0; i < ring->count && result == CLUSTER_BROKEN; i++) {
		result = try_cbc(ring, i, job);
		*which = i;
	}
	return result;
}

enum cluster_result cluster_ring_unseal(struct cluster_ring *ring,
                                        struct bursar_span body,
                                        struct bursar_span iv, bool allow_cbc,
                                        struct bursar_arena *arena,
                                        struct cluster_opened *opened)
{
	assert(ring != NULL && ring->count > 0);
	assert(arena != NULL && opened != NULL);

	struct job job = { 0 };
	enum cluster_result result;
	size_t which = 0;
	const bool legacy = body.size < PREFIX_SIZE ||
	                    memcmp(body.data, PREFIX, PREFIX_SIZE) != 0;

	if (iv.size == 0 || body.size == 0 || (legacy && !allow_cbc) ||
	    !(legacy ? read_cbc : read_gcm)(&job, body, iv)) {
		return CLUSTER_BROKEN;
	}
	const size_t room = job.size;
	job.plain = arena->alloc(arena, room);
	if (job.plain == NULL) {
		return CLUSTER_UNABLE;
	}
	if (legacy) {
		result = open_cbc(ring, &job, &which);
	} else {
		result = open_gcm(ring, &job);
		which = ring->recent;
	}
	if (result != CLUSTER_OPENED) {
		OPENSSL_cleanse(job.plain, room);
		return result;
	}
	*opened = (struct cluster_opened){
		.plain = { (const char *)job.plain, job.size },
		.legacy = legacy,
		.which = which,
	};
	return CLUSTER_OPENED;
}

/*
 * --- sealing
 */

/* Encrypts plain to out, which has its size, and makes the tag. */
static bool encrypt(struct cluster_ring *ring, struct bursar_span plain,
                    const unsigned char *iv, unsigned char *out,
                    unsigned char *tag)
{
	struct context *context = &ring->seal_gcm;
	int size = 0;
	int rest = 0;

	return give_key(context, ring->gcm, ring->keys[0], true) &&
	       EVP_CipherInit_ex2(context->evp, NULL, NULL, iv, -1,
	                          NULL) == 1 &&
	       EVP_CipherUpdate(context->evp, out, &size,
	                        (const unsigned char *)plain.data,
	                        (int)plain.size) == 1 &&
	       EVP_CipherFinal_ex(context->evp, out + size, &rest) == 1 &&
	       EVP_CIPHER_CTX_ctrl(context->evp, EVP_CTRL_AEAD_GET_TAG,
	                           TAG_SIZE, tag) == 1;
}

int cluster_ring_seal(struct cluster_ring *ring, struct bursar_span plain,
                      struct bursar_arena *arena, struct bursar_span *body,
                      struct bursar_span *iv, struct bursar_error *err)
{
	assert(ring != NULL && ring->count > 0);
	assert(plain.size > 0 && plain.size <= CLUSTER_MAX_PLAIN);

	unsigned char random[GCM_IV_SIZE];
	unsigned char tag[TAG_SIZE];
	const size_t text = base64_encoded_size(plain.size);
	const size_t body_size = PREFIX_SIZE + text + 1 + TAG_TEXT;
	const size_t iv_size = base64_encoded_size(GCM_IV_SIZE);
	unsigned char *sealed = arena->alloc(arena, plain.size);
	char *out = arena->alloc(arena, body_size + iv_size);

	if (sealed == NULL || out == NULL) {
		return bursar_fail(err, ENOMEM, "out of memory");
	}
	if (RAND_bytes(random, sizeof(random)) != 1 ||
	    !encrypt(ring, plain, random, sealed, tag)) {
		return bursar_fail(err, EIO, "libcrypto cannot seal");
	}
	memcpy(out, PREFIX, PREFIX_SIZE);
	base64_encode(sealed, plain.size, out + PREFIX_SIZE);
	out[PREFIX_SIZE + text] = ':';
	base64_encode(tag, TAG_SIZE, out + PREFIX_SIZE + text + 1);
	base64_encode(random, GCM_IV_SIZE, out + body_size);
	*body = (struct bursar_span){ out, body_size };
	*iv = (struct bursar_span){ out + body_size, iv_size };
	return 0;
}
