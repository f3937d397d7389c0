/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <sodium.h>

#include "base/backoff.h"

int64_t backoff_next(struct backoff *backoff)
{
	int64_t limit = BACKOFF_FIRST_US;

	for (unsigned i = 0; i < backoff->failures && limit < BACKOFF_CAP_US;
	     i++) {
		limit *= 2;
	}
	if (limit > BACKOFF_CAP_US) {
		limit = BACKOFF_CAP_US;
	}
	backoff->failures++;
	return BACKOFF_FIRST_US / 10 +
	       (int64_t)randombytes_uniform((uint32_t)limit);
}
