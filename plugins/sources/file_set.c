/* SPDX-License-Identifier: Apache-2.0 */

/*
 * file_set.c - files, their outcomes, descriptors and offsets
 *
 * A token is 32 bits of lane (20 bits of slot and 12 that tell the files apart
 * that had the slot one after the other) and 32 bits of number within the
 * lane, so that an outcome that is told twice is known as such.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "file_set.h"

#define SLOT_BITS  20u
#define SLOT_MASK  ((1u << SLOT_BITS) - 1)
#define EPOCH_MASK (UINT32_MAX >> SLOT_BITS)

/* Offsets are written at most this often (us), and for a large set so seldom
 * that it takes a twentieth of the time. */
#define SAVE_GAP   250000
#define SAVE_SHARE 20

/* Times that a name may lead elsewhere before its file is set aside. */
#define VANISH_LIMIT 3u

/* --- the table ------------------------------------------------------------ */

static struct file **bucket_of(const struct file_set *set, uint64_t device,
                               uint64_t inode)
{
	const uint64_t mixed = (inode ^ device << 40) * 0x9e3779b97f4a7c15u;

	return (struct file **)&set->buckets[mixed >> 52];
}

struct file *file_set_find(const struct file_set *set, uint64_t device,
                           uint64_t inode)
{
	struct file *file = *bucket_of(set, device, inode);

	while (file != NULL && (file->entry.device != device ||
	                        file->entry.inode != inode)) {
		file = file->next;
	}
	return file;
}

static int grow_slots(struct file_set *set)
{
	const uint32_t room = set->slot_room == 0 ? 64 : set->slot_room * 2;

	if (room > SLOT_MASK + 1) {
		return -1;
	}

	struct file **slots = reallocarray(set->slots, room, sizeof(*slots));
	if (slots == NULL) {
		return -1;
	}
	set->slots = slots;

	uint32_t *epochs = reallocarray(set->epochs, room, sizeof(*epochs));
	if (epochs == NULL) {
		return -1;
	}
	set->epochs = epochs;
	memset(epochs + set->slot_room, 0,
	       (room - set->slot_room) * sizeof(*epochs));
	set->slot_room = room;
	return 0;
}

static int take_slot(struct file_set *set, struct file *file)
{
	uint32_t slot = set->slot_count;

	if (set->slot_free > 0) {
		for (slot = 0; set->slots[slot] != NULL; slot++) {
		}
		set->slot_free--;
	} else {
		if (slot == set->slot_room && grow_slots(set) != 0) {
			return -1;
		}
		set->slot_count++;
	}
	set->slots[slot] = file;
	set->epochs[slot] = (set->epochs[slot] + 1) & EPOCH_MASK;
	file->slot = slot;
	file->lane = set->epochs[slot] << SLOT_BITS | slot;
	return 0;
}

struct file *file_set_add(struct file_set *set, uint64_t device, uint64_t inode)
{
	struct file *file = calloc(1, sizeof(*file));

	if (file == NULL || take_slot(set, file) != 0) {
		free(file);
		return NULL;
	}
	file->entry.device = device;
	file->entry.inode = inode;
	file->fd = -1;
	file->size = -1;

	struct file **const bucket = bucket_of(set, device, inode);
	file->next = *bucket;
	*bucket = file;
	set->count++;
	return file;
}

/* Takes it out of its bucket: its inode is another file's now. */
static void unlink_file(struct file_set *set, struct file *file)
{
	struct file **at = bucket_of(set, file->entry.device,
	                             file->entry.inode);

	while (*at != NULL && *at != file) {
		at = &(*at)->next;
	}
	if (*at == file) {
		*at = file->next;
		set->count--;
	}
}

void file_set_remove(struct file_set *set, struct file *file)
{
	unlink_file(set, file);
	file_set_close(set, file);
	set->outstanding -= file->mark_count;
	set->slots[file->slot] = NULL;
	set->slot_free++;
	free(file->marks);
	free(file->entry.path);
	free(file);
}

/* --- descriptors ---------------------------------------------------------- */

void file_set_leave(struct file_set *set, const struct file *file)
{
	if (set->current == file) {
		set->current = NULL;
		file_reader_detach(set->reader);
	}
}

static struct file **open_place(struct file_set *set, const struct file *file)
{
	unsigned i = 0;

	while (set->open[i] != file) {
		i++;
		assert(i < set->open_count);
	}
	return &set->open[i];
}

void file_set_close(struct file_set *set, struct file *file)
{
	if (file->fd < 0) {
		return;
	}
	file_set_leave(set, file);
	close(file->fd);
	file->fd = -1;

	struct file **const place = open_place(set, file);
	*place = set->open[--set->open_count];
}

/*
 * The open file that can best do without its descriptor: the one that was
 * quiet for longest, or one that can be read on later.  Never one that has
 * lost its name, for it could not be opened again.  NULL: each is needed.
 */
static struct file *dispensable(const struct file_set *set)
{
	struct file *best = NULL;

	for (unsigned i = 0; i < set->open_count; i++) {
		struct file *file = set->open[i];

		if (file->mark_count > 0 || file->returning ||
		    file->scan != set->scan ||
		    (file->ready && file == set->current)) {
			continue;
		}
		if (best == NULL || file->ready < best->ready ||
		    (file->ready == best->ready &&
		     file->active < best->active)) {
			best = file;
		}
	}
	return best;
}

bool file_set_can_open(const struct file_set *set)
{
	return set->open_count < set->open_limit || dispensable(set) != NULL;
}

static bool make_way(struct file_set *set)
{
	struct file *file = dispensable(set);

	if (file == NULL) {
		return false;
	}
	file_set_close(set, file);
	file->identified = file->identified && file->ready;
	return true;
}

/* Another file has its name, or none: the next scan will tell. */
static enum file_opened vanished(struct file_set *set, struct file *file)
{
	if (++file->vanished > VANISH_LIMIT) {
		file_fail(set, file, FILE_CLOSED, ESTALE,
		          "its name leads to another file each time");
		return FILE_NOT;
	}
	file->ready = false;
	file->size = -1;
	set->scan_again = true;
	return FILE_NOT;
}

static enum file_opened cannot_open(struct file_set *set, struct file *file,
                                    int code, struct bursar_error *err)
{
	if (code == ENOENT) {
		return vanished(set, file);
	}
	if (code == EMFILE || code == ENFILE || code == ENOMEM) {
		bursar_fail(err, code, "%s: %s", file->entry.path,
		            strerror(code));
		return FILE_SHORT;
	}
	file_fail(set, file, FILE_CLOSED, code, strerror(code));
	return FILE_NOT;
}

enum file_opened file_set_open(struct file_set *set, struct file *file,
                               struct bursar_error *err)
{
	struct stat st;

	if (file->fd >= 0) {
		return FILE_OPEN;
	}
	if (set->open_count >= set->open_limit && !make_way(set)) {
		return FILE_LATER;
	}

	/* It was a regular file a moment ago; a pipe would hold us. */
	const int fd = open(file->entry.path,
	                    O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) {
		return cannot_open(set, file, errno, err);
	}
	if (fstat(fd, &st) != 0 || (uint64_t)st.st_dev != file->entry.device ||
	    (uint64_t)st.st_ino != file->entry.inode ||
	    !S_ISREG(st.st_mode)) {
		close(fd);
		return vanished(set, file);
	}
	/* While it was closed another file may have got its inode. */
	if (file->identified && file_is_another(file, file_born(fd))) {
		close(fd);
		file->identified = false;
		return FILE_NOT;
	}
	file->fd = fd;
	file->size = st.st_size;
	file->changed = st.st_mtim;
	file->active = monotonic_us();
	file->vanished = 0;
	set->open[set->open_count++] = file;
	return FILE_OPEN;
}

/* --- messages and outcomes ------------------------------------------------ */

int file_reserve(struct file *file)
{
	if (file->mark_count < file->mark_room) {
		return 0;
	}

	const size_t room = file->mark_room == 0 ? 16 : file->mark_room * 2;
	struct file_mark *marks = calloc(room, sizeof(*marks));
	if (marks == NULL) {
		return -1;
	}
	for (size_t i = 0; i < file->mark_count; i++) {
		marks[i] = file->marks[(file->mark_first + i) &
		                       (file->mark_room - 1)];
	}
	free(file->marks);
	file->marks = marks;
	file->mark_room = room;
	file->mark_first = 0;
	return 0;
}

uint64_t file_token(const struct file *file)
{
	const uint32_t number = file->first_number + (uint32_t)file->mark_count;

	return (uint64_t)file->lane << 32 | number;
}

void file_mark(struct file_set *set, struct file *file,
               const struct file_mark *mark)
{
	assert(file->mark_count < file->mark_room);

	file->marks[(file->mark_first + file->mark_count) &
	            (file->mark_room - 1)] = *mark;
	file->mark_count++;
	set->outstanding++;
}

void file_pass(struct file_set *set, struct file *file)
{
	if (file->mark_count > 0) {
		struct file_mark *last =
			&file->marks[(file->mark_first + file->mark_count - 1) &
			             (file->mark_room - 1)];

		last->end = file->position;
		last->line = file->line;
		last->cut = file->cut;
		return;
	}
	file->entry.offset = file->position;
	file->entry.lines = file->line;
	file->entry.cut = file->cut;
	set->dirty = true;
}

/* Reads again from what is settled. */
static void begin_again(struct file_set *set, struct file *file)
{
	assert(file->mark_count == 0);

	file_set_leave(set, file);
	file->position = file->entry.offset;
	file->line = file->entry.lines;
	file->cut = file->entry.cut;
	file->skip = 0;
	file->returning = false;
	file->at_end = false;
	file->ready = file->failure == FILE_SOUND;
}

void file_rest(struct file_set *set, struct file *file)
{
	if (file->mark_count > 0) {
		return;
	}
	if (file->at_end && file->packing != FILE_PLAIN &&
	    file->entry.packed != file->read_end) {
		file->entry.packed = file->read_end;
		set->dirty = true;
	}
	if (file->failure != FILE_SOUND || (file->at_end && !set->follow)) {
		file_set_close(set, file);
		free(file->marks);
		file->marks = NULL;
		file->mark_room = 0;
	}
}

/* All that was handed out of a file has its outcome. */
static void all_told(struct file_set *set, struct file *file)
{
	if (file->retired) {
		file_set_remove(set, file);
	} else if (file->returning) {
		begin_again(set, file);
	} else {
		file_rest(set, file);
	}
}

static struct file *file_of(const struct file_set *set, uint64_t token)
{
	const uint32_t lane = (uint32_t)(token >> 32);
	const uint32_t slot = lane & SLOT_MASK;
	struct file *file = slot < set->slot_count ? set->slots[slot] : NULL;

	return file != NULL && file->lane == lane ? file : NULL;
}

static void given_back(struct file_set *set, struct file *file)
{
	char shown[FILE_SHOWN];

	if (file->returning) {
		return;
	}
	file->returning = true;
	if (file->retired) {
		set->host->log(set->host, BURSAR_ERROR, "file-lines-lost",
		               "path=\"%s\" lines=%zu reason=\"given back "
		               "after the file had been truncated\"",
		               file_shown(file->entry.path, shown),
		               file->mark_count);
		set->host->count(set->host, "lost_lines_total",
		                 (int64_t)file->mark_count);
	}
}

void file_set_settle(struct file_set *set,
                     const struct bursar_settled *settled)
{
	struct file *file = file_of(set, settled->token);
	const uint32_t number = (uint32_t)settled->token;

	if (file == NULL || (int32_t)(number - file->first_number) < 0) {
		return;
	}
	assert(number == file->first_number && file->mark_count > 0);

	if (settled->outcome == BURSAR_RETURNED) {
		given_back(set, file);
	}

	const struct file_mark *mark = &file->marks[file->mark_first];
	if (!file->returning) {
		file->entry.offset = mark->end;
		file->entry.lines = mark->line;
		file->entry.cut = mark->cut;
		set->dirty = true;
	}
	file->mark_first = (file->mark_first + 1) & (file->mark_room - 1);
	file->mark_count--;
	file->first_number++;
	set->outstanding--;
	if (file->mark_count == 0) {
		all_told(set, file);
	}
}

struct file *file_set_succeed(struct file_set *set, struct file *file)
{
	char *path = strdup(file->entry.path);
	struct file *heir = path == NULL ? NULL :
		file_set_add(set, file->entry.device, file->entry.inode);

	if (heir == NULL) {
		free(path);
		return NULL;
	}
	unlink_file(set, file);
	file_set_leave(set, file);
	heir->entry.path = path;
	heir->entry.generation = file->entry.generation;
	heir->entry.seen = file->entry.seen;
	heir->known = file->known;
	heir->fd = file->fd;
	heir->packing = file->packing;
	heir->scan = file->scan;
	heir->active = file->active;
	*open_place(set, file) = heir;
	file->fd = -1;
	file->ready = false;
	file->retired = true;
	for (size_t i = 0; i < set->order_count; i++) {
		if (set->order[i] == file) {
			set->order[i] = heir;
		}
	}
	return heir;
}

/* --- offsets on disk ------------------------------------------------------ */

int file_set_save(struct file_set *set, struct bursar_error *err)
{
	struct file_state state = { .floor = set->floor };
	const int64_t start = monotonic_us();

	if (set->host->state_dir == NULL) {
		goto saved;
	}
	state.entries = calloc(set->count + 1, sizeof(*state.entries));
	if (state.entries == NULL) {
		return bursar_fail(err, ENOMEM, "out of memory");
	}
	for (size_t i = 0; i < FILE_SET_BUCKETS; i++) {
		for (const struct file *f = set->buckets[i]; f != NULL;
		     f = f->next) {
			if (f->known) {
				state.entries[state.count++] = f->entry;
			}
		}
	}

	const int status = file_state_save(set->host->state_dir, &state, err);
	free(state.entries);	/* paths are the files' */
	if (status != 0) {
		return -1;
	}
saved:
	set->dirty = false;
	set->must_save = false;

	const int64_t end = monotonic_us();
	const int64_t gap = (end - start) * SAVE_SHARE;
	set->next_save = end + (gap > SAVE_GAP ? gap : SAVE_GAP);
	return 0;
}

static int adopt(struct file_set *set, struct file_entry *entry,
                 struct bursar_error *err)
{
	struct file *file = file_set_find(set, entry->device, entry->inode);

	if (file != NULL) {
		return 0;	/* a second entry was never written */
	}
	file = file_set_add(set, entry->device, entry->inode);
	if (file == NULL) {
		return bursar_fail(err, ENOMEM, "out of memory");
	}
	file->entry = *entry;
	entry->path = NULL;
	file->known = true;
	return 0;
}

static int load(struct file_set *set, struct bursar_error *err)
{
	struct file_state state;
	int status = 0;

	if (set->host->state_dir == NULL) {
		return 0;
	}
	if (file_state_load(set->host->state_dir, &state, err) != 0) {
		return -1;
	}
	set->floor = state.floor;
	for (size_t i = 0; i < state.count && status == 0; i++) {
		status = adopt(set, &state.entries[i], err);
	}
	file_state_finish(&state);
	return status;
}

static unsigned open_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
	    limit.rlim_cur / 4 >= FILE_SET_OPEN) {
		return FILE_SET_OPEN;
	}
	return limit.rlim_cur < 16 ? 4 : (unsigned)(limit.rlim_cur / 4);
}

int file_set_init(struct file_set *set, const struct bursar_host *host,
                  struct bursar_error *err)
{
	set->host = host;
	set->pattern = host->text(host, "path");
	set->follow = host->number(host, "follow") != 0;
	set->scan_gap = host->number(host, "scan-interval") * 1000;
	set->open_limit = open_limit();
	set->reader = file_reader_create((size_t)512 * 1024);
	set->probe = file_reader_create(FILE_READER_HEAD + 1);
	if (set->reader == NULL || set->probe == NULL) {
		return bursar_fail(err, ENOMEM, "out of memory");
	}
	return load(set, err);
}

void file_set_finish(struct file_set *set)
{
	for (uint32_t i = 0; i < set->slot_count; i++) {
		if (set->slots[i] != NULL) {
			file_set_remove(set, set->slots[i]);
		}
	}
	file_set_forget_troubles(set);
	free(set->slots);
	free(set->epochs);
	free(set->order);
	file_reader_destroy(set->reader);
	file_reader_destroy(set->probe);
}
