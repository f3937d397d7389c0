/* SPDX-License-Identifier: Apache-2.0 */

/*
 * file - takes messages from files, one a line
 *
 * Files are read in the order of their names, each to its end, and with
 * `follow` for as long as they grow.  What is settled is written down as an
 * offset for each file; all that stands behind it is delivered again after a
 * crash.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "file_set.h"

/* How often open files are asked for growth, at least (us). */
#define LOOK_GAP   100000

/* How long read() waits for outcomes that would free descriptors (us). */
#define LATER_GAP  20000

/* A followed file gives way to the next one after so many bytes. */
#define TURN_BYTES ((uint64_t)8 * 1024 * 1024)

/* Looking for files takes at most one part in so many of the time. */
#define SCAN_SHARE 10

/* Files whose first lines are looked at before their offsets are written. */
#define GROUP      1000

struct bursar_source {
	const struct bursar_host *host;
	struct file_set set;
	int64_t  next_scan;	/* us, monotonic */
	int64_t  next_look;
	size_t   turn;		/* place of the current file in the order */
	uint64_t turn_bytes;	/* read of it in this turn */
	bool     unsaved;	/* it was said that offsets are not written */

	/* Of this read(). */
	int64_t  lines;
	int64_t  bytes;
	int64_t  oversize;
};

/* What one step of read() came to. */
enum step {
	STEP_MORE,		/* there may be more to do */
	STEP_FULL,		/* the batch is full */
	STEP_IDLE,		/* there is nothing to do */
	STEP_LATER,		/* nothing can be done before some settlement */
	STEP_RETRY,		/* *err is filled */
};

/* --- messages ------------------------------------------------------------- */

#define MARK      "\xEF\xBB\xBF"
#define MARK_SIZE 3

/* How much of the line is no text: the byte order mark that some editors write
 * at the head of a file. */
static size_t mark_of(const struct file_line *line)
{
	return line->offset == 0 && line->size >= MARK_SIZE &&
	       memcmp(line->data, MARK, MARK_SIZE) == 0 ? MARK_SIZE : 0;
}

static bool is_blank(const struct file_line *line)
{
	size_t i = mark_of(line);

	if (line->size != line->full_size) {
		return false;
	}
	while (i < line->size &&
	       (line->data[i] == ' ' || line->data[i] == '\t' ||
	        line->data[i] == '\r' || line->data[i] == '\v' ||
	        line->data[i] == '\f')) {
		i++;
	}
	return i == line->size;
}

/* What all messages of a file have in common. */
static struct bursar_message message_of(const struct file *file)
{
	return (struct bursar_message){
		.lane = file->lane,
		.place = { file->entry.path, strlen(file->entry.path) },
		.origin = { file->origin, strlen(file->origin) },
	};
}

/* Puts a line into the batch.  Returns MORE, FULL or RETRY. */
static enum step hand_out(struct bursar_source *source, struct file *file,
                          const struct file_line *line,
                          struct bursar_batch *batch,
                          struct bursar_message *message,
                          struct bursar_error *err)
{
	if (file_reserve(file) != 0) {
		bursar_fail(err, ENOMEM, "out of memory");
		return STEP_RETRY;
	}
	message->token = file_token(file);
	const size_t mark = mark_of(line);
	message->body = (struct bursar_span){ line->data + mark,
	                                      line->size - mark };
	message->offset = line->offset;
	message->line = file->line + 1;
	message->flags = 0;
	if (line->digest != NULL) {
		message->flags = BURSAR_MESSAGE_OVERSIZE;
		message->full_size = line->full_size;
		message->digest = (struct bursar_span){
			line->digest, strlen(line->digest),
		};
	}
	if (!batch->add(batch, message)) {
		return STEP_FULL;
	}
	source->oversize += line->digest != NULL;
	source->lines++;
	source->bytes += (int64_t)line->full_size;
	return STEP_MORE;
}

/* The read side moves behind a line that was handed out, or was not to be. */
static void move_on(struct bursar_source *source, struct file *file,
                    const struct file_line *line, uint64_t cut, bool handed_out)
{
	file->position = line->end;
	file->line++;
	file->cut = cut;
	file->skip = 0;
	if (handed_out) {
		file_mark(&source->set, file, &(struct file_mark){
			.end = file->position, .line = file->line, .cut = cut,
		});
	} else {
		file_pass(&source->set, file);
	}
}

/* Hands out what lines stand whole in the buffer. */
static enum step deliver_lines(struct bursar_source *source, struct file *file,
                               struct bursar_batch *batch,
                               struct bursar_error *err)
{
	struct file_reader *reader = source->set.reader;
	struct bursar_message message = message_of(file);
	struct file_line line;

	while (file_reader_peek(reader, batch->max_message, &line)) {
		const bool wanted = !is_blank(&line) &&
			(file->skip == 0 || line.full_size != file->skip);

		if (wanted) {
			const enum step step = hand_out(source, file, &line,
			                                batch, &message, err);
			if (step != STEP_MORE) {
				return step;
			}
		}
		file_reader_next(reader, &line);
		move_on(source, file, &line, 0, wanted);
	}
	return STEP_MORE;
}

static enum step deliver(struct bursar_source *source, struct file *file,
                         struct bursar_batch *batch, struct bursar_error *err)
{
	const enum step step = deliver_lines(source, file, batch, err);

	file_sample(file);
	return step;
}

/* Hands out what stands behind the last newline. */
static enum step deliver_rest(struct bursar_source *source, struct file *file,
                              struct bursar_batch *batch,
                              struct bursar_error *err)
{
	struct bursar_message message = message_of(file);
	struct file_line line;

	if (!file_reader_rest(source->set.reader, batch->max_message, &line) ||
	    is_blank(&line)) {
		return STEP_MORE;
	}

	const bool wanted = line.full_size != file->skip;
	if (wanted) {
		const enum step step = hand_out(source, file, &line, batch,
		                                &message, err);
		if (step != STEP_MORE) {
			return step;
		}
	}
	move_on(source, file, &line, line.full_size, wanted);
	file_set_leave(&source->set, file);
	return STEP_MORE;
}

/* --- one step ------------------------------------------------------------- */

static enum step attach(struct bursar_source *source, struct file *file,
                        struct bursar_error *err)
{
	struct file_set *set = &source->set;

	/* A line that was taken without its end is looked at once more. */
	if (file->cut > 0) {
		file->position -= file->cut;
		file->line--;
		file->skip = file->cut;
		file->cut = 0;
	}
	set->current = NULL;
	if (file_reader_attach(set->reader, file->fd, file->packing,
	                       file->position) != 0) {
		bursar_fail(err, ENOMEM, "out of memory");
		return STEP_RETRY;
	}
	set->current = file;
	source->turn_bytes = 0;
	return STEP_MORE;
}

static enum step at_end(struct bursar_source *source, struct file *file,
                        struct bursar_batch *batch, struct bursar_error *err)
{
	struct file_set *set = &source->set;
	const uint64_t raw = file_reader_raw(set->reader);
	struct stat st;

	if (fstat(file->fd, &st) == 0 &&
	    ((uint64_t)st.st_size < raw || file_reader_is_short(set->reader))) {
		file_truncated(set, file, &st);
		return STEP_MORE;
	}
	if (file_takes_rest(set, file)) {
		const enum step step = deliver_rest(source, file, batch, err);

		if (step != STEP_MORE) {
			return step;
		}
	}
	if (file->packing != FILE_PLAIN) {
		file_set_leave(set, file);
	}
	file->read_end = raw;
	file->at_end = true;
	file->ready = false;
	file_rest(set, file);
	return STEP_MORE;
}

static enum step read_on(struct bursar_source *source, struct file *file,
                         struct bursar_batch *batch, struct bursar_error *err)
{
	struct file_set *set = &source->set;
	struct bursar_error why = { 0 };
	const uint64_t before = file_reader_raw(set->reader);

	switch (file_reader_fill(set->reader, batch->max_message, &why)) {
	case FILE_STEP_DATA:
		source->turn_bytes += file_reader_raw(set->reader) - before;
		return deliver(source, file, batch, err);
	case FILE_STEP_END:
		return at_end(source, file, batch, err);
	case FILE_STEP_CUT:
		file_cut(set, file, &why);
		return STEP_MORE;
	case FILE_STEP_BAD:
		file_fail_read(set, file, &why);
		return STEP_MORE;
	case FILE_STEP_MEMORY:
		break;
	}
	bursar_fail(err, ENOMEM, "out of memory");
	return STEP_RETRY;
}

static bool is_wanted(const struct file *file)
{
	return file->ready && !file->returning;
}

/* Whether the current file has been read for so long that others come first. */
static bool turn_is_over(const struct bursar_source *source)
{
	const struct file *current = source->set.current;

	return source->set.follow && current != NULL &&
	       current->packing == FILE_PLAIN &&
	       source->turn_bytes > TURN_BYTES;
}

/*
 * The file to read now, or NULL.  *later: there is one, but its turn comes
 * when some other file can be closed.
 */
static struct file *pick(struct bursar_source *source, bool *later)
{
	struct file_set *set = &source->set;
	const bool over = turn_is_over(source);

	*later = false;
	if (set->current != NULL && is_wanted(set->current) && !over) {
		return set->current;
	}
	for (size_t i = 0; i < set->order_count; i++) {
		const size_t place = (source->turn + i + over) %
		                     set->order_count;
		struct file *file = set->order[place];

		if (!is_wanted(file)) {
			continue;
		}
		if (file->fd >= 0 || (!*later && file_set_can_open(set))) {
			source->turn = place;
			source->turn_bytes = 0;
			return file;
		}
		*later = true;
	}
	return NULL;
}

/* Finds out which files come next, many at once: what is new among them is
 * written down once for all. */
static enum step identify_some(struct bursar_source *source,
                               struct bursar_error *err)
{
	struct file_set *set = &source->set;
	size_t done = 0;

	for (size_t i = 0; i < set->order_count && done < GROUP; i++) {
		struct file *file =
			set->order[(source->turn + i) % set->order_count];

		if (!is_wanted(file) || file->identified) {
			continue;
		}
		switch (file_identify(set, file, err)) {
		case FILE_BLOCKED:
			return done == 0 ? STEP_LATER : STEP_MORE;
		case FILE_STARVED:
			return STEP_RETRY;
		case FILE_KNOWN:
		case FILE_WAITS:
			break;
		}
		if (file->ready && set->open_count > set->open_limit / 2) {
			file_set_close(set, file);
		}
		done++;
	}
	return STEP_MORE;
}

/* Looks for new files and for growth, where it is time. */
static int watch(struct bursar_source *source, struct bursar_error *err)
{
	struct file_set *set = &source->set;
	const int64_t now = monotonic_us();

	if (set->scan == 0 || set->scan_again ||
	    (set->follow && now >= source->next_scan)) {
		if (file_set_scan(set, err) != 0) {
			return -1;
		}

		const int64_t end = monotonic_us();
		const int64_t least = (end - now) * SCAN_SHARE;
		source->next_scan = end + (set->scan_gap > least ?
		                           set->scan_gap : least);
	}
	if (set->follow && now >= source->next_look) {
		file_set_look(set);
		source->next_look = now + (set->scan_gap < LOOK_GAP ?
		                           set->scan_gap : LOOK_GAP);
	}
	return 0;
}

static enum step advance(struct bursar_source *source,
                         struct bursar_batch *batch, struct bursar_error *err)
{
	struct file_set *set = &source->set;
	enum step step = STEP_MORE;

	if (watch(source, err) != 0) {
		return STEP_RETRY;
	}

	bool later;
	struct file *file = pick(source, &later);
	if (file == NULL) {
		return later ? STEP_LATER : STEP_IDLE;
	}
	if (!file->identified) {
		return identify_some(source, err);
	}
	switch (file_set_open(set, file, err)) {
	case FILE_OPEN:
		break;
	case FILE_LATER:
		return STEP_LATER;
	case FILE_NOT:
		return STEP_MORE;
	case FILE_SHORT:
		return STEP_RETRY;
	}
	if (set->must_save && file_set_save(set, err) != 0) {
		return STEP_RETRY;
	}
	if (set->current != file) {
		step = attach(source, file, err);
	}
	if (step == STEP_MORE) {
		step = deliver(source, file, batch, err);
	}
	return step == STEP_MORE ? read_on(source, file, batch, err) : step;
}

/* --- operations ----------------------------------------------------------- */

static void say_unsaved(const struct bursar_source *source,
                        const struct bursar_error *err)
{
	source->host->log(source->host, BURSAR_ERROR, "offsets-not-written",
	                  "reason=\"%s\" note=\"what was settled last will be "
	                  "delivered again\"", err->text);
}

static void file_close(struct bursar_source *source)
{
	struct bursar_error err = { 0 };

	if (source == NULL) {
		return;
	}
	if ((source->set.dirty || source->set.must_save) &&
	    file_set_save(&source->set, &err) != 0) {
		say_unsaved(source, &err);
	}
	file_set_finish(&source->set);
	free(source);
}

static struct bursar_source *file_open(const struct bursar_host *host,
                                       struct bursar_error *err)
{
	struct bursar_source *source = calloc(1, sizeof(*source));

	if (source == NULL || sodium_init() < 0) {
		bursar_fail(err, ENOMEM, "out of memory");
		free(source);
		return NULL;
	}
	source->host = host;
	if (file_set_init(&source->set, host, err) != 0) {
		file_set_finish(&source->set);
		free(source);
		return NULL;
	}
	return source;
}

/* Whether poll() says that the core wants its thread back. */
static bool is_woken(int wake, int64_t until)
{
	const int64_t now = monotonic_us();
	struct pollfd pollfd = { .fd = wake, .events = POLLIN };
	const int64_t ms = until <= now ? 0 : (until - now + 999) / 1000;

	return poll(&pollfd, 1, ms > 60000 ? 60000 : (int)ms) > 0;
}

/* Where nothing is left to be settled, settle() cannot say it. */
static void save_at_rest(struct bursar_source *source, int64_t now)
{
	struct file_set *set = &source->set;
	struct bursar_error err = { 0 };

	if (!set->dirty || now < set->next_save) {
		return;
	}
	const bool saved = file_set_save(set, &err) == 0;
	if (!saved) {
		set->next_save = now + LOOK_GAP;
	}
	if (!saved && !source->unsaved) {
		say_unsaved(source, &err);
	}
	source->unsaved = !saved;
}

/* Waits for the core, for growth, or for outcomes.  True: read() returns. */
static bool rest(struct bursar_source *source, enum step why, int wake,
                 int64_t deadline)
{
	struct file_set *set = &source->set;
	const int64_t now = monotonic_us();
	int64_t until = deadline;

	save_at_rest(source, now);
	if (set->follow && source->next_look < until) {
		until = source->next_look;
	}
	if (why == STEP_LATER && until > now + LATER_GAP) {
		until = now + LATER_GAP;
	}
	return is_woken(wake, until) || monotonic_us() >= deadline ||
	       why == STEP_LATER;
}

/* A message that is out may be given back, and then there is more to read. */
static bool has_ended(const struct bursar_source *source)
{
	const struct file_set *set = &source->set;

	if ((set->follow && !set->drain) || set->outstanding > 0 ||
	    set->scan == 0 || set->scan_again) {
		return false;
	}
	for (size_t i = 0; i < set->order_count; i++) {
		if (set->order[i]->ready || set->order[i]->returning) {
			return false;
		}
	}
	return true;
}

static void count_what_was_read(struct bursar_source *source)
{
	const struct bursar_host *host = source->host;

	if (source->lines > 0) {
		host->count(host, "lines_total", source->lines);
		host->count(host, "bytes_total", source->bytes);
	}
	if (source->oversize > 0) {
		host->count(host, "oversize_lines_total", source->oversize);
	}
	host->gauge(host, "files_open", source->set.open_count);
}

static enum step read_some(struct bursar_source *source,
                           struct bursar_batch *batch, int wake,
                           int64_t deadline, struct bursar_error *err)
{
	for (;;) {
		const enum step step = advance(source, batch, err);

		switch (step) {
		case STEP_FULL:
		case STEP_RETRY:
			return step;
		case STEP_MORE:
			if (is_woken(wake, 0) || monotonic_us() >= deadline) {
				return step;
			}
			break;
		case STEP_IDLE:
		case STEP_LATER:
			if (source->lines > 0 || has_ended(source) ||
			    rest(source, step, wake, deadline)) {
				return step;
			}
			break;
		}
	}
}

/* A source that has ended will not look again. */
static enum bursar_verdict tell_unread(const struct bursar_source *source,
                                       struct bursar_error *err)
{
	char shown[FILE_SHOWN];
	const char *first;
	const size_t count = file_set_unread(&source->set, &first);

	if (count == 0) {
		return BURSAR_DONE;
	}
	bursar_fail(err, EIO, "%zu %s not be read, or not to the end: %.120s%s; "
	            "see file-unreadable in the log", count,
	            count == 1 ? "file could" : "files could",
	            file_shown(first, shown), count == 1 ? "" : " and others");
	return BURSAR_CONFIG;
}

static enum bursar_verdict file_read(struct bursar_source *source,
                                     struct bursar_batch *batch, int wake,
                                     int64_t deadline, struct bursar_error *err)
{
	enum step step = STEP_FULL;

	if (batch->drain && !source->set.drain) {
		file_set_drain(&source->set);
		source->next_scan = source->next_look = 0;
	}
	source->lines = source->bytes = source->oversize = 0;
	if (batch->room > 0) {
		step = read_some(source, batch, wake, deadline, err);
		count_what_was_read(source);
	}
	batch->ended = has_ended(source);
	if (step == STEP_RETRY) {
		return BURSAR_RETRY;
	}
	return batch->ended ? tell_unread(source, err) : BURSAR_DONE;
}

static enum bursar_verdict file_settle(struct bursar_source *source,
                                       const struct bursar_settled *settled,
                                       size_t count, struct bursar_error *err)
{
	struct file_set *set = &source->set;

	for (size_t i = 0; i < count; i++) {
		file_set_settle(set, &settled[i]);
	}

	if (set->dirty && (has_ended(source) || monotonic_us() >= set->next_save) &&
	    file_set_save(set, err) != 0) {
		return BURSAR_RETRY;
	}
	return BURSAR_DONE;
}

static const struct bursar_option file_options[] = {
	{ "path", BURSAR_TYPE_INPUT, NULL,
	  "The files: a path that may hold *, ?, [...] and {one,other}." },
	{ "follow", BURSAR_TYPE_FLAG, "false",
	  "Whether to wait for files to grow and for new ones, for ever." },
	{ "scan-interval", BURSAR_TYPE_DURATION, "1s",
	  "How often to look for new files, with follow.",
	  .min = 10, .max = 3600000 },
	{ NULL }
};

static const char file_manual[] =
"Reads files line by line, in the order of their names.  A byte order mark at "
"the head of a file is no part of its first line.  Lines of white space "
"are passed over.  Without follow the source ends when all files have been "
"read, a last line without newline included; with follow such a line waits "
"for its newline.  In either case a line that was taken without newline and "
"has grown since is delivered whole the next time.\n"
"\n"
"A file is its device, its inode and a hash (SHA-256) of its first line, of "
"which no more than 64 KB count; its name may change.  What stands under one "
"inode one after the other is told apart by a generation, also where the first "
"line is the same: by the first 4 KB of what was read, and by the time at which "
"the file was made, where the file system knows it.  A message without "
"an id of its own is known by file, generation and offset, so a file that is "
"read twice is stored once; a copy of it is another file.  A followed file "
"has to have a whole first line before it is read.\n"
"\n"
"Rotation: a file that is renamed or deleted stays open and is read to its "
"end, until it has not grown for a minute after it was renamed to what path "
"does not match, or for 5 seconds after it was deleted.  At most 256 files are "
"open at a time; of more, those that were quiet for longest are closed and "
"watched by their names, and what is written to one of these that is renamed "
"within one scan interval is seen only if path matches the new name too.  Let "
"path not match the compressed copies that a rotation makes: they are other "
"files.\n"
"\n"
"Truncation (copytruncate): a file that is shorter than what was read of it, "
"or that begins otherwise, is read from its beginning as a new "
"generation, with a warning file-truncated.  What had not been read by then "
"is lost: lines written in the last tenth of a second, and all that a sink "
"that is slow or away keeps the source from reading; so is what had been read "
"and not been stored, if the daemon crashes.  The warning names the offset "
"from which on lines may be missing.  Rename files rather than truncate "
"them.\n"
"\n"
"Files packed by gzip or zstd are known by their first bytes, whatever their "
"names, and may consist of several members or frames.  They are read once, "
"and again from where they were left if they change.  Offsets are those of "
"the unpacked text.  Of a file that is damaged or cut off all lines before "
"the damage are delivered; as gzip has its checksum at the end, that may "
"include lines which its checksum would have shown to be wrong.\n"
"\n"
"A line above max-message becomes a dead letter with its length, its SHA-256 "
"and its first 64 KB.  A file that cannot be read, a folder, a pipe or a "
"device is reported once (file-unreadable) and looked at again with each "
"scan; the others go on.  A file that could not be read to its end is said "
"again when the source ends, and `bursard --once` then fails.\n"
"\n"
"How far each file is settled stands in the file offsets in the state folder "
"of the source, written at most four times a second and at the end; what was "
"settled after the last time is delivered again after a crash, and known as "
"a duplicate.  Files that have not been seen for 30 days are forgotten, and "
"so are the oldest of more than 10,000 that are gone.  To read everything "
"again, stop the daemon and remove that file; to read one file again, remove "
"its line.  Messages with ids of their own, and those of first generations, "
"are then known as duplicates.";

static const struct bursar_source_ops file_ops = {
	.answers = false,
	.open = file_open,
	.read = file_read,
	.settle = file_settle,
	.park = NULL,
	.close = file_close,
};

static const struct bursar_plugin_figure file_figures[] = {
	{ "lines_total", "Lines read." },
	{ "bytes_total", "Bytes of the lines read." },
	{ "oversize_lines_total", "Lines longer than max-message." },
	{ "lost_lines_total",
	  "Lines that were cut off a file before they were read." },
	{ "truncations_total",
	  "Files that became shorter while they were read." },
	{ "files_open", "Files that are open." },
	{ "files_unreadable", "Files that cannot be read now." },
	{ NULL }
};

BURSAR_PLUGIN_DEFINE(source_file,
	.kind = BURSAR_SOURCE,
	.name = "file",
	.summary = "lines of files, plain or packed, to their end or for ever",
	.options = file_options,
	.figures = file_figures,
	.manual = file_manual,
	.ops.source = &file_ops,
);
