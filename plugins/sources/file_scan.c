/* SPDX-License-Identifier: Apache-2.0 */

/*
 * file_scan.c - names, identity and growth of files
 *
 * A scan asks which names there are, and only the files that are not open for
 * their size.  Open files are asked through their descriptors, whatever became
 * of their names.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "file_set.h"

#ifndef GLOB_BRACE
#define GLOB_BRACE 0
#endif

#define MAX_FILES    100000u
#define MAX_TROUBLES 1000u

/* Entries of files that have no name any more. */
#define MAX_UNSEEN   10000u
#define UNSEEN_DAYS  30
#define PRUNE_GAP    (INT64_C(3600) * 1000000)

/* A file without a name is closed after so long without growth (us): deleted,
 * and renamed to what is not looked for.  Its writer may still have it. */
#define DELETED_QUIET (INT64_C(5) * 1000000)
#define RENAMED_QUIET (INT64_C(60) * 1000000)

/* --- what cannot be read -------------------------------------------------- */

static struct file_trouble *trouble_find(struct file_set *set, const char *path)
{
	for (size_t i = 0; i < set->trouble_count; i++) {
		if (strcmp(set->troubles[i].path, path) == 0) {
			return &set->troubles[i];
		}
	}
	return NULL;
}

static struct file_trouble *trouble_add(struct file_set *set, const char *path)
{
	if (set->trouble_count == MAX_TROUBLES) {
		return NULL;
	}

	struct file_trouble *troubles = reallocarray(set->troubles,
		set->trouble_count + 1, sizeof(*troubles));
	if (troubles == NULL) {
		return NULL;
	}
	set->troubles = troubles;

	struct file_trouble *trouble = &troubles[set->trouble_count];
	*trouble = (struct file_trouble){ .path = strdup(path) };
	if (trouble->path == NULL) {
		return NULL;
	}
	set->trouble_count++;
	return trouble;
}

const char *file_shown(const char *path, char out[FILE_SHOWN])
{
	size_t used = 0;

	for (; *path != '\0' && used + 2 < FILE_SHOWN; path++) {
		if (*path == '"' || *path == '\\') {
			out[used++] = '\\';
		}
		out[used++] = *path;
	}
	out[used] = '\0';
	return out;
}

/* Says it once for each path and cause. */
static void report(struct file_set *set, const char *path, int code,
                   const char *why)
{
	char shown[FILE_SHOWN];
	struct file_trouble *trouble = trouble_find(set, path);

	if (trouble == NULL) {
		trouble = trouble_add(set, path);
	}
	if (trouble == NULL) {
		return;		/* a thousand others have been said */
	}
	trouble->scan = set->scan;
	if (trouble->code != code) {
		trouble->code = code;
		set->host->log(set->host, BURSAR_WARNING, "file-unreadable",
		               "path=\"%s\" reason=\"%s\"",
		               file_shown(path, shown), why);
	}
	set->host->gauge(set->host, "files_unreadable",
	                 (int64_t)set->trouble_count);
}

/* Drops what this scan did not meet again. */
static void sweep_troubles(struct file_set *set)
{
	size_t kept = 0;

	for (size_t i = 0; i < set->trouble_count; i++) {
		if (set->troubles[i].scan == set->scan) {
			set->troubles[kept++] = set->troubles[i];
		} else {
			free(set->troubles[i].path);
		}
	}
	set->trouble_count = kept;
	set->host->gauge(set->host, "files_unreadable", (int64_t)kept);
}

size_t file_set_unread(const struct file_set *set, const char **first)
{
	size_t count = 0;

	for (size_t i = set->trouble_count; i-- > 0;) {
		const struct file_trouble *trouble = &set->troubles[i];

		if (trouble->code != EISDIR && trouble->code != ENOTSUP &&
		    trouble->code != ENOENT) {
			*first = trouble->path;
			count++;
		}
	}
	return count;
}

void file_set_forget_troubles(struct file_set *set)
{
	for (size_t i = 0; i < set->trouble_count; i++) {
		free(set->troubles[i].path);
	}
	free(set->troubles);
	set->troubles = NULL;
	set->trouble_count = 0;
}

void file_fail(struct file_set *set, struct file *file,
               enum file_failure failure, int code, const char *why)
{
	file_set_leave(set, file);
	file->failure = failure;
	file->ready = false;
	file->at_end = false;
	file->is_cut = false;
	report(set, file->entry.path, code, why);
	file_rest(set, file);
}

/* What a disk or a network does not give now it may give later. */
void file_fail_read(struct file_set *set, struct file *file,
                    const struct bursar_error *why)
{
	const bool is_damaged = why->code == EBADMSG || why->code == ENODATA;

	file_fail(set, file, is_damaged ? FILE_BROKEN : FILE_CLOSED, why->code,
	          why->text);
}

/* --- identity ------------------------------------------------------------- */

/* What tells a file from another one: its first line, or its beginning. */
struct head {
	uint64_t hash;
	size_t   size;
	bool     whole;		/* nothing that is added can change it */
};

static void hash_head(const struct file_line *line, struct head *head)
{
	head->size = line->size < FILE_READER_HEAD ? line->size :
	                                             FILE_READER_HEAD;
	head->hash = file_hash(line->data, head->size);
}

/* Returns END with *head filled, or what went wrong. */
static enum file_step read_head(struct file_set *set, int fd,
                                enum file_packing packing, struct head *head,
                                struct bursar_error *err)
{
	const size_t max = 2 * FILE_READER_HEAD;
	struct file_line line = { .data = "" };
	enum file_step step = FILE_STEP_DATA;

	if (file_reader_attach(set->probe, fd, packing, 0) != 0) {
		return FILE_STEP_MEMORY;
	}
	head->whole = false;
	while (step == FILE_STEP_DATA && !head->whole) {
		head->whole = file_reader_peek(set->probe, max, &line) ||
			(file_reader_rest(set->probe, max, &line) &&
			 line.full_size >= FILE_READER_HEAD);
		if (!head->whole) {
			step = file_reader_fill(set->probe, max, err);
		}
	}
	if (head->whole || step == FILE_STEP_END) {
		hash_head(&line, head);
		step = FILE_STEP_END;
	}
	file_reader_detach(set->probe);
	return step;
}

static void say_replaced(struct file_set *set, const struct file *file,
                         bool was_cut)
{
	const struct file_entry *e = &file->entry;
	char shown[FILE_SHOWN];

	set->host->log(set->host, was_cut ? BURSAR_WARNING : BURSAR_INFO,
	               was_cut ? "file-truncated" : "file-replaced",
	               "path=\"%s\" settled_to=%" PRIu64 " generation=%" PRIu64
	               " note=\"%s\"", file_shown(e->path, shown), e->offset,
	               e->generation + 1,
	               was_cut ? "it was cut while it was not watched: lines "
	               "written after that offset may be lost" :
	               "another file has the inode, or it was written anew");
	if (was_cut) {
		set->host->count(set->host, "truncations_total", 1);
	}
}

static void start_generation(struct file_set *set, struct file *file,
                             uint64_t generation, uint64_t head)
{
	file->entry.generation = generation;
	file->entry.head = head;
	file->entry.offset = 0;
	file->entry.lines = 0;
	file->entry.cut = 0;
	file->entry.packed = 0;
	file->entry.sampled = 0;
	file->known = true;
	set->must_save = true;
}

/* Compares what is known under the inode with what stands there. */
static void compare(struct file_set *set, struct file *file,
                    const struct head *head)
{
	const struct file_entry *e = &file->entry;
	const uint64_t born = file_born(file->fd);
	const bool is_other = e->head != head->hash ||
	                      file_is_another(file, born);
	const bool was_cut = file_begins_otherwise(file) ||
		(file->packing == FILE_PLAIN &&
		 (uint64_t)file->size < e->offset);

	if (file->raised) {
		start_generation(set, file, e->generation, head->hash);
		file->raised = false;
	} else if (!file->known) {
		start_generation(set, file, set->floor, head->hash);
	} else if (is_other || was_cut) {
		say_replaced(set, file, !is_other);
		start_generation(set, file, e->generation + 1, head->hash);
	}
	if (file->entry.born != born) {
		file->entry.born = born;
		set->dirty = true;
	}

	file->position = file->read_end = e->offset;
	file->line = e->lines;
	file->cut = e->cut;
	file->skip = 0;
	if (file->packing != FILE_PLAIN) {
		file->read_end = 0;
	}
	snprintf(file->origin, sizeof(file->origin),
	         "%" PRIu64 ":%" PRIu64 ":%016" PRIx64 ":%" PRIu64,
	         e->device, e->inode, e->head, e->generation);
	file->identified = true;
	file_sample(file);
	if (file->packing != FILE_PLAIN && e->packed != 0 &&
	    e->packed == (uint64_t)file->size) {
		file->ready = false;
		file->at_end = true;
		file->read_end = e->packed;
		file_rest(set, file);
	}
}

static enum file_identity nothing_yet(struct file_set *set, struct file *file)
{
	file->ready = false;
	file->at_end = true;
	file_rest(set, file);
	return FILE_WAITS;
}

enum file_identity file_identify(struct file_set *set, struct file *file,
                                 struct bursar_error *err)
{
	struct bursar_error why = { 0 };
	struct head head;

	assert(file->mark_count == 0);

	switch (file_set_open(set, file, err)) {
	case FILE_OPEN:
		break;
	case FILE_LATER:
		return FILE_BLOCKED;
	case FILE_NOT:
		return FILE_WAITS;
	case FILE_SHORT:
		return FILE_STARVED;
	}
	if (file_reader_packing(file->fd, &file->packing) != 0) {
		file_fail(set, file, FILE_CLOSED, errno, strerror(errno));
		return FILE_WAITS;
	}

	switch (read_head(set, file->fd, file->packing, &head, &why)) {
	case FILE_STEP_MEMORY:
		bursar_fail(err, ENOMEM, "out of memory");
		return FILE_STARVED;
	case FILE_STEP_CUT:
		file_cut(set, file, &why);
		return FILE_WAITS;
	case FILE_STEP_BAD:
		file_fail_read(set, file, &why);
		return FILE_WAITS;
	default:
		break;
	}
	if (!head.whole && file->packing == FILE_PLAIN &&
	    (head.size == 0 || !file_takes_rest(set, file))) {
		return nothing_yet(set, file);
	}
	compare(set, file, &head);
	return FILE_KNOWN;
}

/* --- growth, truncation, disappearance ------------------------------------ */

void file_cut(struct file_set *set, struct file *file,
              const struct bursar_error *why)
{
	if (!set->follow || set->drain) {
		file_fail(set, file, FILE_BROKEN, why->code, why->text);
		return;
	}
	/* It may be that it is being written. */
	file_set_leave(set, file);
	file->is_cut = true;
	file->ready = false;
}

void file_truncated(struct file_set *set, struct file *file,
                    const struct stat *st)
{
	const struct file_entry *e = &file->entry;
	char shown[FILE_SHOWN];

	set->host->log(set->host, BURSAR_WARNING, "file-truncated",
	               "path=\"%s\" read_to=%" PRIu64 " size_seen=%jd "
	               "size=%jd generation=%" PRIu64 " note=\"what was "
	               "written after read_to and before it was cut is lost\"",
	               file_shown(e->path, shown), file->position,
	               (intmax_t)file->size,
	               (intmax_t)st->st_size, e->generation + 1);
	set->host->count(set->host, "truncations_total", 1);

	if (file->mark_count > 0) {
		struct file *heir = file_set_succeed(set, file);

		if (heir == NULL) {
			return;		/* the next look tries again */
		}
		file = heir;
	}
	file_set_leave(set, file);
	start_generation(set, file, file->entry.generation + 1, 0);
	file->raised = true;
	file->identified = false;
	file->returning = false;
	file->at_end = false;
	file->ready = true;
	file->position = file->read_end = 0;
	file->size = st->st_size;
	file->changed = st->st_mtim;
	file->active = monotonic_us();
}

/* Looks at it as if it had just been found. */
static void start_again(struct file_set *set, struct file *file)
{
	file_set_leave(set, file);
	file->failure = FILE_SOUND;
	file->identified = false;
	file->at_end = false;
	file->is_cut = false;
	file->last_call = false;
	file->ready = true;
}

static bool has_changed(const struct file *file, const struct stat *st)
{
	return st->st_size != file->size ||
	       st->st_mtim.tv_sec != file->changed.tv_sec ||
	       st->st_mtim.tv_nsec != file->changed.tv_nsec;
}

static bool is_other_text(struct file_set *set, const struct file *file,
                          const struct stat *st)
{
	struct bursar_error err = { 0 };
	struct head head;

	if ((uint64_t)st->st_size < file->read_end ||
	    (uint64_t)st->st_size < file->position ||
	    file_begins_otherwise(file)) {
		return true;
	}
	return read_head(set, file->fd, FILE_PLAIN, &head, &err) ==
	       FILE_STEP_END && head.hash != file->entry.head;
}

static void look_at_change(struct file_set *set, struct file *file,
                           const struct stat *st)
{
	if (!file->identified || file->packing != FILE_PLAIN) {
		if (file->ready || file->returning || file->mark_count > 0) {
			return;		/* seen again once it is at rest */
		}
		start_again(set, file);
	} else if (is_other_text(set, file, st)) {
		file_truncated(set, file, st);
		return;
	} else if ((uint64_t)st->st_size > file->read_end) {
		file->ready = true;
		file->at_end = false;
	}
	file->size = st->st_size;
	file->changed = st->st_mtim;
	file->active = monotonic_us();
}

/* A file without a name is let go once nobody seems to write it. */
static void look_at_rest(struct file_set *set, struct file *file,
                         const struct stat *st)
{
	char shown[FILE_SHOWN];
	const int64_t quiet = monotonic_us() - file->active;
	const bool deleted = st->st_nlink == 0;

	if (file->ready || file->returning || file->mark_count > 0) {
		return;
	}
	if (file->is_cut && quiet > set->scan_gap) {
		file_fail(set, file, FILE_BROKEN, ENODATA,
		          "it ends within what is packed");
		return;
	}
	if ((!deleted && file->scan == set->scan) ||
	    quiet < (deleted ? DELETED_QUIET : RENAMED_QUIET)) {
		return;
	}
	if (!file->last_call && file->position < (uint64_t)st->st_size &&
	    (file->packing == FILE_PLAIN || !file->identified)) {
		file->last_call = true;
		file->at_end = false;
		file->ready = true;
		return;
	}
	set->host->log(set->host, BURSAR_INFO, "file-gone",
	               "path=\"%s\" deleted=%s read_to=%" PRIu64,
	               file_shown(file->entry.path, shown),
	               deleted ? "true" : "false",
	               file->position);
	file_set_close(set, file);
	file->identified = false;
}

void file_set_look(struct file_set *set)
{
	/* From the last one on: a look may close the one looked at. */
	for (unsigned i = set->open_count; i-- > 0; ) {
		struct file *file = set->open[i];
		struct stat st;

		if (file->failure != FILE_SOUND) {
			continue;
		}
		if (fstat(file->fd, &st) != 0) {
			file_fail(set, file, FILE_BROKEN, errno,
			          strerror(errno));
		} else if (has_changed(file, &st)) {
			look_at_change(set, file, &st);
		} else {
			look_at_rest(set, file, &st);
		}
	}
	set->host->gauge(set->host, "files_open", set->open_count);
}

/* --- names ---------------------------------------------------------------- */

/*
 * glob(3) hands nothing of the caller's to its callback for folders that it
 * cannot read, so the set stands here while glob() runs.
 */
static _Thread_local struct file_set *globbing;

static int folder_unreadable(const char *path, int code)
{
	if (code != ENOENT && code != ENOTDIR) {
		report(globbing, path, code, strerror(code));
	}
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int find_names(struct file_set *set, glob_t *found,
                      struct bursar_error *err)
{
	memset(found, 0, sizeof(*found));
	globbing = set;
	const int status = glob(set->pattern, GLOB_BRACE | GLOB_NOSORT,
	                        folder_unreadable, found);
	globbing = NULL;
	if (status != 0 && status != GLOB_NOMATCH) {
		globfree(found);
		return bursar_fail(err, ENOMEM, "%s: out of memory",
		                   set->pattern);
	}
	if (found->gl_pathc > 1) {
		qsort(found->gl_pathv, found->gl_pathc, sizeof(char *),
		      compare_names);
	}
	return 0;
}

static int rename_to(struct file_set *set, struct file *file, const char *path)
{
	char shown[FILE_SHOWN], before[FILE_SHOWN];
	char *copy;

	if (file->entry.path != NULL && strcmp(file->entry.path, path) == 0) {
		return 0;
	}
	copy = strdup(path);
	if (copy == NULL) {
		return -1;
	}
	if (file->identified) {
		set->host->log(set->host, BURSAR_INFO, "file-renamed",
		               "path=\"%s\" was=\"%s\"",
		               file_shown(path, shown),
		               file_shown(file->entry.path, before));
	}
	free(file->entry.path);
	file->entry.path = copy;
	return 0;
}

/* A name led to it: does it need a look? */
static void found_again(struct file_set *set, struct file *file,
                        const struct stat *st)
{
	const bool changed = has_changed(file, st);

	if (file->fd >= 0 || file->ready) {
		return;
	}
	if (!set->follow && (file->at_end || file->failure != FILE_SOUND)) {
		return;
	}
	if (file->failure == FILE_BROKEN && !changed) {
		struct file_trouble *t = trouble_find(set, file->entry.path);

		if (t != NULL) {
			t->scan = set->scan;
		}
		return;
	}
	if (changed || file->failure == FILE_CLOSED) {
		start_again(set, file);
		file->size = st->st_size;
		file->changed = st->st_mtim;
	}
}

static struct file *new_file(struct file_set *set, const struct stat *st)
{
	if (set->count >= MAX_FILES + MAX_UNSEEN) {
		if (!set->too_many) {
			set->host->log(set->host, BURSAR_WARNING,
			               "too-many-files", "path=\"%s\" limit=%u",
			               set->pattern, MAX_FILES + MAX_UNSEEN);
		}
		set->too_many = true;
		return NULL;
	}
	return file_set_add(set, (uint64_t)st->st_dev, (uint64_t)st->st_ino);
}

/* Looks what stands under a name.  Returns it, or NULL. */
static struct file *look_up(struct file_set *set, const char *path)
{
	struct stat st, link;

	if (stat(path, &st) != 0) {
		/* Gone since glob() saw it is no trouble; a link that leads
		 * nowhere is. */
		const int code = errno;

		if (code != ENOENT || lstat(path, &link) == 0) {
			report(set, path, code, strerror(code));
		}
		return NULL;
	}
	if (!S_ISREG(st.st_mode)) {
		report(set, path, S_ISDIR(st.st_mode) ? EISDIR : ENOTSUP,
		       S_ISDIR(st.st_mode) ? "it is a folder" :
		                             "it is not a regular file");
		return NULL;
	}

	struct file *file = file_set_find(set, (uint64_t)st.st_dev,
	                                  (uint64_t)st.st_ino);
	if (file == NULL) {
		file = new_file(set, &st);
	}
	if (file == NULL || file->scan == set->scan ||
	    rename_to(set, file, path) != 0) {
		return NULL;	/* too many, a second name, no memory */
	}
	file->scan = set->scan;
	file->entry.seen = set->host->now(set->host) / 1000000;
	found_again(set, file, &st);
	return file;
}

/* --- forgetting ----------------------------------------------------------- */

static bool is_unseen(const struct file_set *set, const struct file *file)
{
	return file != NULL && file->scan != set->scan && file->fd < 0 &&
	       file->mark_count == 0 && !file->retired;
}

static int compare_seen(const void *a, const void *b)
{
	const struct file *x = *(struct file *const *)a;
	const struct file *y = *(struct file *const *)b;

	return (x->entry.seen > y->entry.seen) -
	       (x->entry.seen < y->entry.seen);
}

/* Its generation is never given again to what has its inode. */
static void forget(struct file_set *set, struct file *file)
{
	if (file->known && file->entry.generation >= set->floor) {
		set->floor = file->entry.generation + 1;
	}
	set->dirty = true;
	file_set_remove(set, file);
}

static void prune(struct file_set *set, struct file **unseen, size_t count)
{
	const int64_t oldest = set->host->now(set->host) / 1000000 -
	                       INT64_C(86400) * UNSEEN_DAYS;

	set->pruned = monotonic_us();
	qsort(unseen, count, sizeof(*unseen), compare_seen);
	for (size_t i = 0; i < count; i++) {
		if (count - i <= MAX_UNSEEN &&
		    unseen[i]->entry.seen >= oldest) {
			break;
		}
		forget(set, unseen[i]);
	}
}

/*
 * Puts the files that have lost their names before those that were found, and
 * forgets the ones that are of no more use.  order has room for all.
 */
static void settle_order(struct file_set *set, struct file **order,
                         struct file *const *found, size_t found_count)
{
	struct file **unseen = order;
	size_t count = 0, unseen_count = 0;

	for (uint32_t i = 0; i < set->slot_count; i++) {
		struct file *file = set->slots[i];

		if (!is_unseen(set, file)) {
			continue;
		}
		file->ready = false;
		if (file->known) {
			unseen[unseen_count++] = file;
		} else {
			file_set_remove(set, file);
		}
	}
	if (unseen_count > MAX_UNSEEN || set->pruned == 0 ||
	    monotonic_us() - set->pruned > PRUNE_GAP) {
		prune(set, unseen, unseen_count);
	}

	for (uint32_t i = 0; i < set->slot_count; i++) {
		struct file *file = set->slots[i];

		if (file != NULL && file->scan != set->scan && file->fd >= 0 &&
		    !file->retired) {
			order[count++] = file;
		}
	}
	if (found_count > 0) {
		memcpy(order + count, found, found_count * sizeof(*found));
	}
	free(set->order);
	set->order = order;
	set->order_count = count + found_count;
}

int file_set_scan(struct file_set *set, struct bursar_error *err)
{
	glob_t names;

	set->scan++;
	set->scan_again = false;
	if (find_names(set, &names, err) != 0) {
		return -1;
	}

	struct file **found = calloc(names.gl_pathc + 1, sizeof(*found));
	struct file **order = calloc(set->count + names.gl_pathc + 1,
	                             sizeof(*order));
	if (found == NULL || order == NULL) {
		globfree(&names);
		free(found);
		free(order);
		return bursar_fail(err, ENOMEM, "out of memory");
	}

	size_t count = 0;
	for (size_t i = 0; i < names.gl_pathc; i++) {
		found[count] = look_up(set, names.gl_pathv[i]);
		count += found[count] != NULL;
	}
	if (names.gl_pathc == 0 && set->scan == 1) {
		set->host->log(set->host,
		               set->follow ? BURSAR_INFO : BURSAR_WARNING,
		               "no-file", "path=\"%s\" reason=\"no file "
		               "matches\"", set->pattern);
	}
	settle_order(set, order, found, count);
	sweep_troubles(set);
	globfree(&names);
	free(found);
	return 0;
}

void file_set_drain(struct file_set *set)
{
	set->drain = true;
	for (size_t i = 0; i < set->order_count; i++) {
		struct file *file = set->order[i];

		if (file->failure != FILE_SOUND || file->returning ||
		    file->ready || (file->at_end && !set->follow)) {
			continue;
		}
		if (file->is_cut) {
			file_fail(set, file, FILE_BROKEN, ENODATA,
			          "it ends within what is packed");
		} else if (file->fd < 0 || !file->identified) {
			start_again(set, file);
		} else if (file->packing == FILE_PLAIN) {
			file->at_end = false;
			file->ready = true;
		}
	}
}
