/* SPDX-License-Identifier: Apache-2.0 */

/*
 * figures.h - figures that are told when they are asked for
 *
 * What metrics.h keeps is counted as it happens.  The rest follows from a state
 * that is there anyway: what is in flight, how old it is, who is held up, what
 * the process takes.  A source or sink that a reload took away is not among
 * them any more.
 */
#ifndef CORE_DAEMON_FIGURES_H
#define CORE_DAEMON_FIGURES_H

#include "daemon/services.h"
#include "flow/pipeline.h"

/*
 * Walks them, those of one name together; no name is one of metrics.h.
 *
 * services	may be NULL
 * busy_since	us, monotonic: of what the main thread is at
 *
 * Any thread, while the pipeline runs.
 */
void figures_each(const struct pipeline *pipeline, struct services *services,
                  int64_t busy_since, bursar_figure_fn *each, void *context);

/* Those of the process alone: process_*, as Prometheus' own libraries name
 * them, and bursar_build_info.  Any thread. */
void figures_of_process(bursar_figure_fn *each, void *context);

#endif
