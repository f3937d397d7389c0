/* SPDX-License-Identifier: Apache-2.0 */

/*
 * silent.h - what is asked of a plugin whose peer says nothing, or no more
 */
#ifndef CONFORMANCE_SILENT_H
#define CONFORMANCE_SILENT_H

#include <bursar/crypto.h>

#include "kit.h"

#define LATE_US  INT64_C(1000000)	/* after a deadline */
#define WAIT_US  INT64_C(45000000)	/* where there is no deadline */

/* Gives the option of -w, with that port in place of @PEER@ and @PORT@. */
void silent_give(struct kit *kit, unsigned port);

/* Ends the check unless what began then (us, monotonic) took less. */
void silent_expect_in_time(int64_t begun, int64_t limit_us, const char *call);

/* Ends the check unless the verdict is RETRY or DOWN, and *err says why. */
void silent_expect_no_fault(enum bursar_verdict verdict, const char *call,
                            const struct bursar_error *err);

/* Has the crypto open one message that makes no sense, in time. */
enum bursar_verdict silent_unseal(const struct bursar_crypto_ops *ops,
                                  struct bursar_crypto *crypto,
                                  struct bursar_error *err);

#endif
