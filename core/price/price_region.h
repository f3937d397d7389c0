/* SPDX-License-Identifier: Apache-2.0 */

/*
 * price_region.h - what calls that are served in a region cost more
 *
 *	"regions": {"eu": 1.1, "us": 1.1, "*": 1.1}
 *
 * A region raises what all tokens of a call cost by a factor; what is billed
 * by the call or by the piece stays as it is.  "*" is any region that is not
 * named.  What providers call a call that was served anywhere is no region.
 */
#ifndef CORE_PRICE_REGION_H
#define CORE_PRICE_REGION_H

#include <bursar/plugin.h>

#define PRICE_MAX_REGIONS 16
#define PRICE_REGION_NAME 41		/* bytes, with the NUL */

struct price_region {
	char    name[PRICE_REGION_NAME];	/* "*": any other one */
	int64_t factor;				/* millionths; 1 to 100 */
};

struct price_regions {
	struct price_region *items;	/* NULL where there are none */
	size_t               count;
};

void price_regions_finish(struct price_regions *regions);

/* The one that a record's region means; NULL: none of them. */
const struct price_region *
price_regions_find(const struct price_regions *regions,
                   struct bursar_span name);

#endif
