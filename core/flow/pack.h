/* SPDX-License-Identifier: Apache-2.0 */

/*
 * pack.h - records and messages in less memory
 *
 * What texts point to stays where it is.  The way back for a record is
 * bursar_unpack() of bursar/schema.h, which has the form.
 */
#ifndef CORE_FLOW_PACK_H
#define CORE_FLOW_PACK_H

#include <bursar/message.h>
#include <bursar/schema.h>

#include "base/arena.h"

/*
 * A packed copy in the arena; `texts` is where most texts are, which takes less
 * room then.  NULL: out of memory.
 */
struct bursar_record *pack_record(struct arena *arena,
                                  const struct bursar_record *record,
                                  const char *texts);

/* A message without token and lane, and without what it does not say, which is
 * most of it. */
struct packed_message;

/* NULL: out of memory. */
const struct packed_message *pack_message(struct arena *arena,
                                          const struct bursar_message *message);
void unpack_message(const struct packed_message *packed,
                    struct bursar_message *message);

#endif
