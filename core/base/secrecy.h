/* SPDX-License-Identifier: Apache-2.0 */

/*
 * secrecy.h - what a process of ours leaves behind
 */
#ifndef CORE_BASE_SECRECY_H
#define CORE_BASE_SECRECY_H

#include <sys/resource.h>

/*
 * No core dump: it would hold bodies that were opened, and what libraries keep
 * of keys and tokens, on a disk that knows nothing of expiry.  Who needs one
 * raises the limit of the process that runs: prlimit --core=unlimited.
 */
static inline void secrecy_begin(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_CORE, &limit) == 0) {
		limit.rlim_cur = 0;
		/* To lower it is always allowed. */
		(void)!setrlimit(RLIMIT_CORE, &limit);
	}
}

#endif
