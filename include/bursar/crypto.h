/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bursar/crypto.h - the contract between the daemon and a crypto
 *
 *	open --> unseal* / seal* / tick* --> close
 *
 * A crypto opens messages whose content_encoding it lists, and may seal.  The
 * core picks the messages, groups them, and decides what becomes of those that
 * cannot be opened.
 *
 * Keys stand in locked memory, are wiped at close(), and appear in no log and
 * no error.  Time may depend on sizes, never on content.
 */
#ifndef BURSAR_CRYPTO_H
#define BURSAR_CRYPTO_H

#include <bursar/message.h>

/* Declared here, completed by each plugin in its own source file. */
struct bursar_crypto;

enum bursar_unsealed {
	BURSAR_OPENED,		/* plain is filled */
	BURSAR_BROKEN,		/* can never be opened: no iv, bad tag, bad
				 * encoding; which of these is not told */
	BURSAR_NO_KEY,		/* sealed under a key id that is not known */
};

/* One message to open. */
struct bursar_sealed {
	const struct bursar_message *message;	/* in; lent */
	struct bursar_span plain;		/* out; in the arena */
	enum bursar_unsealed result;		/* out */
	bool legacy;				/* out: without authentication */
	bool proven;				/* in: not without it, see below */
};

/*
 * proven: what is sealed under a cipher without authentication is BROKEN, and
 * nothing of it is tried.  A sender who is answered, or who measures time,
 * would learn from the padding of what he makes up what others sealed.
 */

/* What seal() makes: a message's body and what must travel with it. */
struct bursar_seal {
	const char *encoding;		/* content_encoding; static */
	struct bursar_span body;	/* in the arena */
	struct bursar_header headers[4];/* in the arena */
	size_t header_count;

	/*
	 * Names the key, so that what lies under an older one can be found
	 * later: 1 to 96 visible ASCII characters, static or in the arena; no
	 * secret, and another one for another key.  Not there: keys of this
	 * crypto have no names.
	 */
	struct bursar_span key_id;
};

struct bursar_crypto_ops {
	/* The content encodings it opens, all "encrypted/...", ended by NULL:
	 * "encrypted/cs". */
	const char *const *encodings;

	/*
	 * Reads keys.  A key that cannot be had now but may later (a server
	 * that is sealed) is no failure: unseal() says RETRY and tick() looks
	 * again.  A key file that others can read is refused.
	 *
	 * Returns a crypto, to be given to close(), or NULL with *err filled.
	 */
	struct bursar_crypto *(*open)(const struct bursar_host *host,
	                              struct bursar_error *err);

	/*
	 * Opens items[0..count), count >= 1.  Plain texts stand in `arena`,
	 * or are the message's own body.
	 *
	 * Returns DONE: every item has its result, one bad item harms no
	 * other.  RETRY, DOWN or CONFIG with *err filled: no key is at hand at
	 * all, or memory is short; nothing was opened, offer the items again
	 * after tick().
	 */
	enum bursar_verdict (*unseal)(struct bursar_crypto *crypto,
	                              struct bursar_sealed *items, size_t count,
	                              struct bursar_arena *arena,
	                              struct bursar_error *err);

	/*
	 * Seals plain under the current key.  NULL: this crypto cannot.
	 * Returns as unseal(); REJECT when plain is empty or too long.
	 */
	enum bursar_verdict (*seal)(struct bursar_crypto *crypto,
	                            struct bursar_span plain,
	                            struct bursar_seal *out,
	                            struct bursar_arena *arena,
	                            struct bursar_error *err);

	/*
	 * Makes a new key and writes it to `out` as text, in the form in which
	 * the plugin's key file takes it.  Needs no instance.  NULL: this
	 * crypto makes none.
	 *
	 * type  one of the types that its key file knows; NULL: the usual one
	 * id    the key's name; where keys have no names it is not looked at
	 *
	 * Returns 0, or -1 with *err filled.
	 */
	int (*keygen)(FILE *out, const char *type, const char *id,
	              struct bursar_error *err);

	/*
	 * Looks after keys: rotation, renewal, an outage that ended.
	 * NULL: nothing to do, ever.
	 *
	 * Returns when to be called next (us, monotonic).  *usable says
	 * whether unseal() can be expected to work now.
	 */
	int64_t (*tick)(struct bursar_crypto *crypto, bool *usable);

	/* Wipes keys and releases the crypto.  Cannot fail.  May be NULL. */
	void (*close)(struct bursar_crypto *crypto);
};

#endif
