/* SPDX-License-Identifier: Apache-2.0 */

/* lines - each line of a file is a message.  How far it is settled stands in
 * the state folder, so that a crash repeats what was not, and nothing else. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include <bursar/source.h>

struct bursar_source {
	const char *path;
	FILE   *file;
	int     state;		/* holds the offset up to which it is settled */
	char   *line;
	size_t  room;
};

static const struct bursar_option options[] = {
	{ "path", BURSAR_TYPE_INPUT, NULL, "The file." }, { NULL } };

static void lines_close(struct bursar_source *source)
{
	if (source != NULL) {
		if (source->file != NULL) {
			fclose(source->file);
		}
		close(source->state);	/* or -1 */
		free(source->line);
	}
	free(source);
}

static struct bursar_source *lines_open(const struct bursar_host *host, struct bursar_error *err)
{
	struct bursar_source *source = calloc(1, sizeof(*source));
	int64_t settled = 0;
	char name[4096];

	if (source == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return NULL;
	}
	source->path = host->text(host, "path");
	snprintf(name, sizeof(name), "%s/settled", host->state_dir);
	source->state = host->state_dir ? open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
	source->file = fopen(source->path, "re");
	if (source->file != NULL && (source->state >= 0 || host->state_dir == NULL) &&
	    (pread(source->state, &settled, 8, 0) != 8 ||
	     fseeko(source->file, settled, SEEK_SET) == 0)) {
		return source;
	}
	bursar_fail(err, errno, "path: %s", strerror(errno));
	lines_close(source);
	return NULL;
}

static enum bursar_verdict lines_read(struct bursar_source *source, struct bursar_batch *batch,
                                      int wake, int64_t deadline, struct bursar_error *err)
{
	uint64_t at = (uint64_t)ftello(source->file);
	unsigned char sum[32];
	char digest[65];
	(void)wake, (void)deadline, (void)err;	/* it has nothing to wait for */
	for (ssize_t got; batch->room > 0 &&
	     (got = getline(&source->line, &source->room, source->file)) > 0;) {
		const size_t size = (size_t)got - (source->line[got - 1] == '\n');
		struct bursar_message message = {
			.token = at + (uint64_t)got, .offset = at,
			.body = { source->line, size },
			.origin = { source->path, strlen(source->path) },
		};
		if (size > batch->max_message) {
			crypto_hash_sha256(sum, (void *)source->line, size);
			sodium_bin2hex(digest, sizeof(digest), sum, sizeof(sum));
			message.flags = BURSAR_MESSAGE_OVERSIZE;
			message.body.size = size < 65536 ? size : 65536;
			message.digest = (struct bursar_span){ digest, 64 };
			message.full_size = size;
		}
		if (!batch->add(batch, &message)) {
			fseeko(source->file, (off_t)at, SEEK_SET);
			break;
		}
		at = message.token;
	}
	batch->ended = feof(source->file) != 0;
	return BURSAR_DONE;
}

/* All lines are of one lane: once one is given back, so are those after it. */
static enum bursar_verdict lines_settle(struct bursar_source *source,
                                        const struct bursar_settled *settled, size_t count,
                                        struct bursar_error *err)
{
	bool good = true;
	size_t i;

	for (i = 0; i < count && good && settled[i].outcome != BURSAR_RETURNED; i++) {
		good = pwrite(source->state, &settled[i].token, 8, 0) == 8;
	}
	if (good && fdatasync(source->state) == 0 && (i == count ||
	    fseeko(source->file, (off_t)settled[i].message->offset, SEEK_SET) == 0)) {
		return BURSAR_DONE;
	}
	bursar_fail(err, errno, "settled: %s", strerror(errno));
	return BURSAR_RETRY;
}

static const struct bursar_source_ops ops = {
	.open = lines_open, .read = lines_read, .settle = lines_settle, .close = lines_close };

BURSAR_PLUGIN_DEFINE(source_lines, .kind = BURSAR_SOURCE, .name = "lines", .options = options,
	.ops.source = &ops, .summary = "each line of a file is a message", .manual =
	"The file is read to its end; how far it is settled stands in the state folder.");
