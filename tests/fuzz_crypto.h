/* SPDX-License-Identifier: Apache-2.0 */

/*
 * fuzz_crypto.h - what the fuzzers of crypto plugins share
 *
 * An input that begins with K is a key file.  Any other is a message: lines
 * for the content encoding, the header iv and the header x-bursar-key-id, of
 * which an empty one is a header that is not there, and then the body.
 */
#ifndef TESTS_FUZZ_CRYPTO_H
#define TESTS_FUZZ_CRYPTO_H

#include <bursar/crypto.h>

#include "tests/fuzz.h"

struct fuzz_crypto {
	const struct bursar_plugin *plugin;
	const char *option;	/* the one of type SECRET */
	const char *keys;	/* the key file under which messages open */
	const char *plain;	/* what the messages of the corpus say: nobody
				 * can make another under these keys */
};

/*
 * Gives one input to the plugin.  Key files are taken or refused with a
 * reason.  A message opens as `plain`, or not at all; only one that says that
 * it is legacy may be anything else.
 */
void fuzz_crypto(const struct fuzz_crypto *fuzz, const uint8_t *data,
                 size_t size);

#endif
