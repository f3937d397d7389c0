/* SPDX-License-Identifier: Apache-2.0 */

/*
 * pack.h - a record in a quarter of the memory
 *
 * The way back is bursar_unpack() of bursar/schema.h, which has the form.
 */
#ifndef CORE_PACK_H
#define CORE_PACK_H

#include <bursar/schema.h>

#include "arena.h"

/*
 * A packed copy in the arena, whose texts are where they were; `texts` is where
 * most of them are, which takes less room then.  NULL: out of memory.
 */
struct bursar_record *pack_record(struct arena *arena,
                                  const struct bursar_record *record,
                                  const char *texts);

#endif
