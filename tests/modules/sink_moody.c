/* SPDX-License-Identifier: Apache-2.0 */

/* A sink that opens, or does not, as its option says. */
#include <errno.h>
#include <string.h>

#include "sink.h"

static const struct bursar_option moody_options[] = {
	{ "mood", BURSAR_TYPE_CHOICE, "fine", "How it is today.",
	  .choices = "fine|absent|locked|forbidden" },
	{ NULL }
};

static struct bursar_sink *moody_open(const struct bursar_host *host,
                                      enum bursar_mode mode,
                                      enum bursar_verdict *verdict,
                                      struct bursar_error *err)
{
	const char *mood = host->text(host, "mood");

	*verdict = BURSAR_CONFIG;
	if (mode == BURSAR_WRITE) {
		bursar_fail(err, EPERM, "a check opens to read");
	} else if (strcmp(mood, "absent") == 0) {
		bursar_fail(err, ENOENT, "it is not there");
	} else if (strcmp(mood, "locked") == 0) {
		*verdict = BURSAR_RETRY;
		bursar_fail(err, EBUSY, "somebody holds it");
	} else if (strcmp(mood, "forbidden") == 0) {
		bursar_fail(err, EACCES, "the password is wrong");
	} else {
		return sink_open(host, mode, verdict, err);
	}
	return NULL;
}

static const struct bursar_sink_ops moody_ops = {
	.open  = moody_open,
	.write = sink_write,
	.close = sink_close,
};

BURSAR_PLUGIN_DEFINE(sink_moody,
	.kind     = BURSAR_SINK,
	.name     = "moody",
	.summary  = "opens when it likes",
	.options  = moody_options,
	.ops.sink = &moody_ops);
