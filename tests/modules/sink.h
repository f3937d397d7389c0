/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the modules of this folder have in common: the operations of a sink
 * that takes everything.  Each module is sound but for one thing.
 */
#ifndef TESTS_MODULES_SINK_H
#define TESTS_MODULES_SINK_H

#include <stdlib.h>

#include <bursar/sink.h>

struct bursar_sink {
	char nothing;
};

static inline struct bursar_sink *
sink_open(const struct bursar_host *host, enum bursar_mode mode,
          enum bursar_verdict *verdict, struct bursar_error *err)
{
	(void)host, (void)mode, (void)err;
	*verdict = BURSAR_RETRY;
	return calloc(1, sizeof(struct bursar_sink));
}

static inline enum bursar_verdict
sink_write(struct bursar_sink *sink, struct bursar_record *const *records,
           size_t count, enum bursar_outcome *outcomes, size_t *culprit,
           struct bursar_error *err)
{
	(void)sink, (void)records, (void)culprit, (void)err;
	for (size_t i = 0; i < count; i++) {
		outcomes[i] = BURSAR_STORED;
	}
	return BURSAR_DONE;
}

static inline void sink_close(struct bursar_sink *sink)
{
	free(sink);
}

static const struct bursar_sink_ops sound_ops __attribute__((unused)) = {
	.open  = sink_open,
	.write = sink_write,
	.close = sink_close,
};

static const struct bursar_option sound_options[] __attribute__((unused)) = {
	{ "depth", BURSAR_TYPE_NUMBER, "3", "How deep, in floors.", 1, 9 },
	{ NULL }
};

#endif
