/* SPDX-License-Identifier: Apache-2.0 */

/* A format that makes no records. */
#include <stdlib.h>

#include <bursar/format.h>

struct bursar_format {
	char nothing;
};

static const struct bursar_option format_options[] = {
	{ NULL }
};

static struct bursar_format *format_open(const struct bursar_host *host,
                                         struct bursar_error *err)
{
	(void)host, (void)err;
	return calloc(1, sizeof(struct bursar_format));
}

static enum bursar_verdict format_decode(struct bursar_format *format,
                                         const struct bursar_message *message,
                                         struct bursar_records *records,
                                         struct bursar_error *err)
{
	(void)format, (void)message, (void)records, (void)err;
	return BURSAR_DONE;
}

static void format_close(struct bursar_format *format)
{
	free(format);
}

static const struct bursar_format_ops format_ops = {
	.open   = format_open,
	.decode = format_decode,
	.close  = format_close,
};

BURSAR_PLUGIN_DEFINE(format_sound,
	.kind       = BURSAR_FORMAT,
	.name       = "sound",
	.summary    = "makes nothing of it",
	.options    = format_options,
	.ops.format = &format_ops);
