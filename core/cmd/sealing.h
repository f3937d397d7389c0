/* SPDX-License-Identifier: Apache-2.0 */

/*
 * sealing.h - messages sealed and opened by hand, one envelope a line
 */
#ifndef CORE_CMD_SEALING_H
#define CORE_CMD_SEALING_H

#include <bursar/crypto.h>

#include "cli/cli.h"

/* What both ways need; all of it is lent. */
struct sealing {
	struct cli *cli;		/* results and complaints go there */
	const struct bursar_crypto_ops *ops;
	struct bursar_crypto *crypto;
	size_t max_message;		/* bytes of a clear body */
};

/* What the envelopes say beside the body; each may be NULL. */
struct sealing_words {
	const char *kind;
	const char *message_id;
};

/*
 * Seals what `in` holds and prints envelopes: all of it as one message, or with
 * `lines` each line as one.  The newline at an end is not part of a message.
 * Returns an exit status; what is wrong was said.
 */
int sealing_seal(const struct sealing *sealing, FILE *in, bool lines,
                 const struct sealing_words *words);

/*
 * Opens the envelopes of `in` and prints their clear bodies, a newline behind
 * each.  What does not open is named by its line on cli->err, and the rest is
 * opened all the same.  Returns CLI_FAILED if there was any such line.
 */
int sealing_open(const struct sealing *sealing, FILE *in);

#endif
