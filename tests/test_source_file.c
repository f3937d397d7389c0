/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The file source, loaded as the daemon loads it and driven through its
 * operations only.  Each test has a folder of its own for files and one for the
 * state; "killed" means that nothing of the instance came to disk after that.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <check.h>
#include <sodium.h>
#include <zlib.h>
#include <zstd.h>

#include <bursar/source.h>

#include "common/monotonic.h"
#include "tests/fakehost.h"
#include "tests/folder.h"
#include "tests/soon.h"

#define MAX_GOT 20000
#define ROOM    10000

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A message as the core would keep it. */
struct got {
	char    *body;
	size_t   size;
	char     place[PATH_MAX];
	char     origin[128];
	char     digest[65];
	uint64_t token;
	uint64_t lane;
	uint64_t offset;
	uint64_t line;
	uint64_t full_size;
	unsigned flags;
};

static char base[FOLDER_SIZE];
static char files[FOLDER_SIZE + 8];
static char state[FOLDER_SIZE + 8];
static struct fakehost host;
static const struct bursar_source_ops *ops;
static struct bursar_source *source;
static struct bursar_error err;

static struct got *got;
static size_t got_count;
static size_t settled_count;	/* of got[], from the first one on */
static bool ended;
static bool drain;
static bool few_descriptors;
static size_t max_message = 1 << 20;
static int wake[2];

/* Stands before that of the C library, for the plugin too. */
static bool disk_fails;

#pragma GCC visibility push(default)
ssize_t pread(int fd, void *out, size_t size, off_t at)
{
	if (disk_fails) {
		errno = EIO;
		return -1;
	}
	return syscall(SYS_pread64, fd, out, size, at);
}
#pragma GCC visibility pop

/* --- files ---------------------------------------------------------------- */

static void pause_ms(int ms)
{
	poll(NULL, 0, ms);
}

/* The path of a file of the test; good for the next eight calls. */
static const char *path_of(const char *name)
{
	static char paths[8][PATH_MAX];
	static unsigned turn;
	char *path = paths[turn++ % 8];

	ck_assert_int_lt(snprintf(path, PATH_MAX, "%s/%s", files, name),
	                 PATH_MAX);
	return path;
}

static void put(const char *name, int flags, const void *data, size_t size)
{
	const int fd = open(path_of(name), O_WRONLY | O_CREAT | flags, 0600);

	ck_assert_msg(fd >= 0, "%s: %s", name, strerror(errno));
	ck_assert_int_eq(write(fd, data, size), (ssize_t)size);
	close(fd);
}

static void write_new(const char *name, const char *text)
{
	put(name, O_EXCL, text, strlen(text));
}

static void append(const char *name, const char *text)
{
	put(name, O_APPEND, text, strlen(text));
}

/* In place: the inode stays. */
static void overwrite(const char *name, const char *text)
{
	put(name, O_TRUNC, text, strlen(text));
}

static void move(const char *from, const char *to)
{
	ck_assert_int_eq(rename(path_of(from), path_of(to)), 0);
}

static size_t open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t count = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir) != NULL) {
		count++;
	}
	closedir(dir);
	return count;
}

/* --- the source ----------------------------------------------------------- */

static void start(void)
{
	memset(&err, 0, sizeof(err));
	source = ops->open(&host.host, &err);
	ck_assert_msg(source != NULL, "%s", err.text);
	ended = drain = false;
}

/* With no more than four files open at a time. */
static void start_with_few_descriptors(void)
{
	struct rlimit limit, few;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	few = (struct rlimit){ .rlim_cur = 16, .rlim_max = limit.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	start();
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void stop(void)
{
	ops->close(source);
	source = NULL;
}

static void forget(void)
{
	for (size_t i = 0; i < got_count; i++) {
		free(got[i].body);
	}
	got_count = settled_count = 0;
}

static void start_again(void)
{
	forget();
	if (few_descriptors) {
		start_with_few_descriptors();
	} else {
		start();
	}
}

static void again(void)
{
	stop();
	start_again();
}

static const char *offsets_path(void)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/offsets", state);
	return path;
}

/* The text of the offsets on disk, to be freed; NULL where there are none. */
static char *offsets(void)
{
	FILE *file = fopen(offsets_path(), "r");
	char *text = NULL;
	size_t room = 0;

	if (file == NULL) {
		return NULL;
	}
	ck_assert_int_gt(getdelim(&text, &room, '\0', file), 0);
	fclose(file);
	return text;
}

static void set_offsets(const char *text)
{
	FILE *file = fopen(offsets_path(), "w");

	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
}

/* What close() writes is taken back, so that it is as after kill -9. */
static void kill_and_start(void)
{
	char *text = offsets();

	stop();
	if (text != NULL) {
		set_offsets(text);
	} else {
		unlink(offsets_path());
	}
	free(text);
	start_again();
}

static void copy(char *to, size_t room, struct bursar_span span)
{
	ck_assert_uint_lt(span.size, room);
	memcpy(to, span.data, span.size);
	to[span.size] = '\0';
}

static bool add(struct bursar_batch *batch, const struct bursar_message *m)
{
	struct got *g = &got[got_count];

	if (batch->room == 0) {
		return false;
	}
	ck_assert_uint_lt(got_count, MAX_GOT);
	batch->room--;
	got_count++;
	*g = (struct got){
		.body = malloc(m->body.size + 1), .size = m->body.size,
		.token = m->token, .lane = m->lane, .offset = m->offset,
		.line = m->line, .full_size = m->full_size, .flags = m->flags,
	};
	copy(g->body, m->body.size + 1, m->body);
	copy(g->place, sizeof(g->place), m->place);
	copy(g->origin, sizeof(g->origin), m->origin);
	if (m->digest.data != NULL) {
		copy(g->digest, sizeof(g->digest), m->digest);
	}
	return true;
}

/* One read() of at most `room` messages that waits at most so long. */
static enum bursar_verdict read_once(size_t room, int ms)
{
	struct bursar_batch batch = {
		.add = add, .room = room, .max_message = max_message,
		.drain = drain,
	};

	memset(&err, 0, sizeof(err));
	const enum bursar_verdict verdict =
		ops->read(source, &batch, wake[0], monotonic_us() + ms * 1000, &err);
	ended = batch.ended;
	return verdict;
}

/* Reads until there are `count` messages, for a minute at most. */
static void read_until(size_t count)
{
	const int64_t start_us = monotonic_us();

	while (got_count < count && monotonic_us() - start_us < 60000000) {
		ck_assert_int_eq(read_once(ROOM, 50), BURSAR_DONE);
	}
	ck_assert_uint_eq(got_count, count);
}

/* Reads all there is; nothing is settled meanwhile. */
static void read_to_end(void)
{
	const int64_t limit = monotonic_us() + 60000000;
	int idle = 0;

	/* With something out it never says that it has ended. */
	while (!ended && (idle < 5 || settled_count == got_count)) {
		const size_t before = got_count;

		ck_assert_int_eq(read_once(ROOM, 20), BURSAR_DONE);
		idle = got_count > before ? 0 : idle + 1;
		ck_assert_int_lt(monotonic_us(), limit);
	}
	ck_assert(ended == (settled_count == got_count));
}

/* Nothing more comes for a while. */
static void read_nothing(void)
{
	const size_t before = got_count;

	for (int i = 0; i < 5; i++) {
		ck_assert_int_eq(read_once(ROOM, 40), BURSAR_DONE);
	}
	ck_assert_uint_eq(got_count, before);
}

static enum bursar_verdict settle_some(size_t count,
                                       enum bursar_outcome outcome)
{
	struct bursar_settled *settled = calloc(count + 1, sizeof(*settled));

	ck_assert_uint_le(settled_count + count, got_count);
	for (size_t i = 0; i < count; i++) {
		settled[i].token = got[settled_count + i].token;
		settled[i].outcome = outcome;
	}
	memset(&err, 0, sizeof(err));
	const enum bursar_verdict verdict =
		ops->settle(source, settled, count, &err);
	free(settled);
	if (verdict == BURSAR_DONE) {
		settled_count += count;
	}
	return verdict;
}

static void settle(size_t count)
{
	ck_assert_int_eq(settle_some(count, BURSAR_STORED), BURSAR_DONE);
}

static void settle_all(void)
{
	settle(got_count - settled_count);
}

static void assert_got(size_t i, const char *body)
{
	ck_assert_uint_lt(i, got_count);
	ck_assert_str_eq(got[i].body, body);
}

static void assert_logged(const char *words)
{
	ck_assert_msg(strstr(host.log, words) != NULL, "'%s' not in:\n%s",
	              words, host.log);
}

static void follow(void)
{
	fakehost_set(&host, "follow", "true");
	fakehost_set(&host, "scan-interval", "10ms");
}

static void setup(void)
{
	folder_make(base);
	snprintf(files, sizeof(files), "%s/files", base);
	snprintf(state, sizeof(state), "%s/state", base);
	ck_assert_int_eq(mkdir(files, 0700), 0);
	ck_assert_int_eq(mkdir(state, 0700), 0);
	ck_assert_int_eq(pipe(wake), 0);
	got = calloc(MAX_GOT, sizeof(*got));
	ck_assert_ptr_nonnull(got);

	const struct bursar_plugin *plugin = fakehost_load("source", "file");
	ck_assert_int_eq(plugin->kind, BURSAR_SOURCE);
	ops = plugin->ops.source;
	fakehost_init(&host, NULL);
	fakehost_declare(&host, plugin->options);
	host.host.state_dir = state;
	fakehost_set(&host, "path", path_of("*.jsonl"));
	max_message = 1 << 20;
	few_descriptors = false;
}

static void teardown(void)
{
	stop();
	forget();
	free(got);
	fakehost_finish(&host);
	close(wake[0]);
	close(wake[1]);
	folder_remove(base);
}

/* --- lines ---------------------------------------------------------------- */

START_TEST(delivers_each_line_with_its_place)
{
	write_new("a.jsonl", "one\ntwo\n");
	start();

	read_to_end();

	ck_assert_uint_eq(got_count, 2);
	assert_got(0, "one");
	assert_got(1, "two");
	ck_assert_uint_eq(got[0].offset, 0);
	ck_assert_uint_eq(got[0].line, 1);
	ck_assert_uint_eq(got[1].offset, 4);
	ck_assert_uint_eq(got[1].line, 2);
	ck_assert_str_eq(got[1].place, path_of("a.jsonl"));
	ck_assert_str_eq(got[0].origin, got[1].origin);
	ck_assert_ptr_null(strstr(got[0].origin, "jsonl"));
	ck_assert_uint_eq(got[0].flags, 0);
	ck_assert_int_eq(fakehost_figure(&host, "lines_total"), 2);
	ck_assert_int_eq(fakehost_figure(&host, "bytes_total"), 6);
}
END_TEST

START_TEST(a_byte_order_mark_is_no_part_of_the_first_line)
{
	write_new("a.jsonl", "\xEF\xBB\xBFone\n\xEF\xBB\xBFtwo\n");
	write_new("b.jsonl", "\xEF\xBB\xBF\nthree\n");
	write_new("c.jsonl", "\xEF\xBB\xBF" "four");
	start();

	read_to_end();

	ck_assert_uint_eq(got_count, 4);
	assert_got(0, "one");
	ck_assert_uint_eq(got[0].offset, 0);
	assert_got(1, "\xEF\xBB\xBFtwo");
	ck_assert_uint_eq(got[1].offset, 7);
	assert_got(2, "three");
	ck_assert_uint_eq(got[2].line, 2);
	assert_got(3, "four");
}
END_TEST

START_TEST(passes_over_white_space_but_counts_its_lines)
{
	write_new("a.jsonl", "\n \t\r\none\n\n\ntwo\n\n");
	start();

	read_to_end();

	ck_assert_uint_eq(got_count, 2);
	ck_assert_uint_eq(got[0].line, 3);
	ck_assert_uint_eq(got[1].line, 6);

	settle_all();
	again();
	append("a.jsonl", "three\n");
	read_to_end();
	ck_assert_uint_eq(got_count, 1);
	ck_assert_uint_eq(got[0].line, 8);
}
END_TEST

START_TEST(reads_files_in_the_order_of_their_names)
{
	fakehost_set(&host, "path", path_of("{b*,a*}"));
	write_new("b1", "third\n");
	write_new("a2", "second\n");
	write_new("a1", "first\n");
	write_new("c", "not asked for\n");
	start();

	read_to_end();

	ck_assert_uint_eq(got_count, 3);
	assert_got(0, "first");
	assert_got(1, "second");
	assert_got(2, "third");
	ck_assert_uint_ne(got[0].lane, got[1].lane);
}
END_TEST

START_TEST(a_file_with_two_names_is_read_once)
{
	follow();
	write_new("a.jsonl", "one\n");
	ck_assert_int_eq(link(path_of("a.jsonl"), path_of("b.jsonl")), 0);
	start();

	read_until(1);
	read_nothing();

	ck_assert_uint_eq(fakehost_logged(&host, "file-renamed"), 0);
}
END_TEST

START_TEST(takes_a_last_line_without_newline_when_it_does_not_follow)
{
	write_new("a.jsonl", "one\nlast");
	write_new("b.jsonl", "only");
	start();

	read_to_end();

	ck_assert_uint_eq(got_count, 3);
	assert_got(1, "last");
	assert_got(2, "only");
	settle_all();
	again();
	read_to_end();
	ck_assert_uint_eq(got_count, 0);
}
END_TEST

START_TEST(a_follower_waits_for_the_newline)
{
	follow();
	write_new("a.jsonl", "one\n{\"ha");
	write_new("b.jsonl", "{\"onl");
	start();

	read_until(1);
	read_nothing();
	append("a.jsonl", "lf\"}\n");
	read_until(2);
	append("b.jsonl", "y\"}\n");
	read_until(3);

	assert_got(1, "{\"half\"}");
	ck_assert_uint_eq(got[1].offset, 4);
	assert_got(2, "{\"only\"}");
	ck_assert(!ended);
}
END_TEST

START_TEST(a_follower_that_drains_takes_what_has_no_newline)
{
	follow();
	write_new("a.jsonl", "one\nhalf");
	write_new("b.jsonl", "only");
	start();
	read_until(1);
	read_nothing();

	drain = true;
	read_to_end();

	ck_assert_uint_eq(got_count, 3);
	assert_got(1, "half");
	assert_got(2, "only");
}
END_TEST

START_TEST(a_line_that_was_taken_without_its_end_is_delivered_whole)
{
	write_new("a.jsonl", "one\nha");
	start();
	read_to_end();
	settle_all();
	ck_assert_uint_eq(got_count, 2);

	append("a.jsonl", "lf\nnext\n");
	again();
	read_to_end();

	ck_assert_uint_eq(got_count, 2);
	assert_got(0, "half");
	ck_assert_uint_eq(got[0].offset, 4);
	ck_assert_uint_eq(got[0].line, 2);
	assert_got(1, "next");
	ck_assert_uint_eq(got[1].line, 3);
}
END_TEST

START_TEST(a_line_whose_newline_comes_later_is_not_delivered_twice)
{
	write_new("a.jsonl", "one\nlast");
	start();
	read_to_end();
	settle_all();

	append("a.jsonl", "\n");
	again();
	read_to_end();
	ck_assert_uint_eq(got_count, 0);
	append("a.jsonl", "next\n");
	again();
	read_to_end();

	ck_assert_uint_eq(got_count, 1);
	assert_got(0, "next");
	ck_assert_uint_eq(got[0].line, 3);
	ck_assert_uint_eq(got[0].offset, 9);
}
END_TEST

/* Lines whose lengths lie around those of buffers and limits. */
START_TEST(lines_of_any_length_come_whole)
{
	static const size_t sizes[] = {
		1, 700, 65535, 65536, 65537, 524286, 524287, 524288, 524289,
		3, 1048575, 1048576, 10, 700000, 524287, 1,
	};
	const size_t count = sizeof(sizes) / sizeof(sizes[0]);
	char *line = malloc((1 << 20) + 1);

	put("a.jsonl", O_EXCL, "", 0);
	for (size_t i = 0; i < count; i++) {
		memset(line, 'a' + (int)i, sizes[i]);
		line[sizes[i]] = '\n';
		put("a.jsonl", O_APPEND, line, sizes[i] + 1);
	}
	start();

	while (got_count < count) {
		ck_assert_int_eq(read_once(1, 1000), BURSAR_DONE);
	}

	read_to_end();
	ck_assert_uint_eq(got_count, count);
	for (size_t i = 0; i < count; i++) {
		memset(line, 'a' + (int)i, sizes[i]);
		ck_assert_uint_eq(got[i].size, sizes[i]);
		ck_assert_int_eq(memcmp(got[i].body, line, sizes[i]), 0);
		ck_assert_uint_eq(got[i].flags, 0);
	}
	free(line);
}
END_TEST

static const size_t long_sizes[] = {
	101, 65535, 65536, 200000, 524288, 600000, 5000000,
};

START_TEST(a_line_above_the_limit_comes_as_beginning_and_digest)
{
	const size_t size = long_sizes[_i];
	const size_t head = size < 65536 ? size : 65536;
	unsigned char hash[crypto_hash_sha256_BYTES];
	char hex[65];
	char *line = malloc(size + 1);

	for (size_t i = 0; i < size; i++) {
		line[i] = (char)('a' + i % 23);
	}
	line[size] = '\n';
	crypto_hash_sha256(hash, (unsigned char *)line, size);
	sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
	write_new("a.jsonl", "before\n");
	put("a.jsonl", O_APPEND, line, size + 1);
	append("a.jsonl", "after\n");
	put("a.jsonl", O_APPEND, line, size);	/* and without a newline */
	max_message = 100;
	start();

	while (got_count < 4) {
		ck_assert_int_eq(read_once(1, 1000), BURSAR_DONE);
	}

	read_to_end();
	ck_assert_uint_eq(got_count, 4);
	for (size_t i = 1; i < 4; i += 2) {
		ck_assert_uint_eq(got[i].flags, BURSAR_MESSAGE_OVERSIZE);
		ck_assert_uint_eq(got[i].full_size, size);
		ck_assert_str_eq(got[i].digest, hex);
		ck_assert_uint_eq(got[i].size, head);
		ck_assert_int_eq(memcmp(got[i].body, line, head), 0);
	}
	ck_assert_uint_eq(got[1].offset, 7);
	assert_got(2, "after");
	ck_assert_uint_eq(got[2].offset, 7 + size + 1);
	ck_assert_uint_eq(got[2].line, 3);
	ck_assert_uint_eq(got[2].flags, 0);
	ck_assert_str_eq(got[2].digest, "");
	free(line);
}
END_TEST

/* A sanitizer keeps a shadow of what is used. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SHADOW 4
#else
#define SHADOW 1
#endif

START_TEST(a_line_of_any_length_takes_little_memory)
{
	const int fd = open(path_of("a.jsonl"), O_WRONLY | O_CREAT, 0600);
	struct rusage before, after;

	/* A hole: zeros, which are no newlines. */
	ck_assert_int_eq(ftruncate(fd, 300 << 20), 0);
	close(fd);
	append("a.jsonl", "\nafter\n");
	start();
	getrusage(RUSAGE_SELF, &before);

	read_until(2);

	getrusage(RUSAGE_SELF, &after);
	ck_assert_uint_eq(got_count, 2);
	ck_assert_uint_eq(got[0].full_size, 300 << 20);
	assert_got(1, "after");
	ck_assert_int_lt(after.ru_maxrss - before.ru_maxrss,
	                 SHADOW * (8 << 10));
}
END_TEST

START_TEST(stops_where_there_is_no_room_and_goes_on_there)
{
	write_new("a.jsonl", "1\n2\n3\n");
	write_new("b.jsonl", "4\n5\n");
	start();

	for (size_t i = 1; i <= 5; i++) {
		ck_assert_int_eq(read_once(1, 1000), BURSAR_DONE);
		ck_assert_uint_eq(got_count, i);
	}
	ck_assert_str_eq(got[4].body, "5");
	read_to_end();
	ck_assert_uint_eq(got_count, 5);
}
END_TEST

START_TEST(with_no_room_it_returns_at_once)
{
	follow();
	write_new("a.jsonl", "1\n");
	start();
	const int64_t before = monotonic_us();

	ck_assert_int_eq(read_once(0, 60000), BURSAR_DONE);
	ck_assert_uint_eq(got_count, 0);
	read_until(1);
	ck_assert_int_eq(read_once(0, 60000), BURSAR_DONE);

	ck_assert_int_lt(monotonic_us() - before, SOON);
	ck_assert(!ended);
}
END_TEST

START_TEST(says_that_no_file_matches_and_ends)
{
	start();

	read_to_end();

	assert_logged("warning no-file");
	ck_assert_uint_eq(got_count, 0);
	ck_assert_int_eq(read_once(0, 0), BURSAR_DONE);
	ck_assert(ended);
}
END_TEST

/* --- settling ------------------------------------------------------------- */

START_TEST(what_is_not_settled_comes_again)
{
	write_new("a.jsonl", "1\n2\n3\n");
	start();
	read_to_end();
	settle(1);

	again();
	read_to_end();

	ck_assert_uint_eq(got_count, 2);
	assert_got(0, "2");
	ck_assert_uint_eq(got[0].line, 2);
	ck_assert_uint_eq(got[0].offset, 2);
}
END_TEST

START_TEST(after_a_kill_it_comes_again_under_the_same_place)
{
	char origin[128];

	write_new("a.jsonl", "1\n2\n3\n");
	start();
	read_to_end();
	snprintf(origin, sizeof(origin), "%s", got[0].origin);

	kill_and_start();
	read_to_end();

	ck_assert_uint_eq(got_count, 3);
	ck_assert_str_eq(got[0].origin, origin);
	ck_assert_uint_eq(got[0].offset, 0);
}
END_TEST

START_TEST(what_was_settled_when_all_was_read_survives_a_kill)
{
	write_new("a.jsonl", "1\n2\n3\n");
	start();
	read_to_end();
	settle_all();

	kill_and_start();
	read_to_end();

	ck_assert_uint_eq(got_count, 0);
}
END_TEST

START_TEST(a_follower_writes_what_is_settled_within_a_second)
{
	follow();
	write_new("a.jsonl", "1\n2\n3\n");
	start();
	read_until(3);
	settle(1);
	settle(1);
	for (int i = 0; i < 15; i++) {
		read_once(ROOM, 100);
	}

	kill_and_start();
	read_until(1);

	assert_got(0, "3");
}
END_TEST

START_TEST(every_outcome_but_returned_moves_the_offset)
{
	write_new("a.jsonl", "1\n2\n3\n4\n");
	start();
	read_to_end();

	ck_assert_int_eq(settle_some(1, BURSAR_DUPLICATE), BURSAR_DONE);
	ck_assert_int_eq(settle_some(1, BURSAR_CONFLICT), BURSAR_DONE);
	ck_assert_int_eq(settle_some(1, BURSAR_REFUSED), BURSAR_DONE);
	ck_assert_int_eq(settle_some(1, BURSAR_RETURNED), BURSAR_DONE);

	again();
	read_to_end();
	ck_assert_uint_eq(got_count, 1);
	assert_got(0, "4");
}
END_TEST

START_TEST(returned_messages_come_again_from_the_first_one_on)
{
	write_new("a.jsonl", "1\n2\n3\n4\n");
	start();
	ck_assert_int_eq(read_once(3, 2000), BURSAR_DONE);
	settle(1);

	ck_assert_int_eq(settle_some(1, BURSAR_RETURNED), BURSAR_DONE);
	/* One of the lane is out still: nothing may overtake it. */
	ck_assert_int_eq(read_once(ROOM, 100), BURSAR_DONE);
	ck_assert_uint_eq(got_count, 3);
	ck_assert(!ended);
	ck_assert_int_eq(settle_some(1, BURSAR_RETURNED), BURSAR_DONE);
	read_to_end();

	ck_assert_uint_eq(got_count, 6);
	assert_got(3, "2");
	assert_got(4, "3");
	assert_got(5, "4");
	ck_assert_uint_eq(got[3].line, 2);
	ck_assert_uint_eq(got[3].offset, 2);
	settle_all();
	again();
	read_to_end();
	ck_assert_uint_eq(got_count, 0);
}
END_TEST

START_TEST(ends_only_when_nothing_can_come_back)
{
	write_new("a.jsonl", "1\n2\n");
	start();
	read_to_end();
	ck_assert(!ended);

	settle(1);
	ck_assert_int_eq(read_once(0, 0), BURSAR_DONE);
	ck_assert(!ended);
	settle(1);

	ck_assert_int_eq(read_once(0, 0), BURSAR_DONE);
	ck_assert(ended);
}
END_TEST

START_TEST(returned_after_the_end_is_read_again)
{
	write_new("a.jsonl", "1\n2\n");
	start();
	read_to_end();

	ck_assert_int_eq(settle_some(2, BURSAR_RETURNED), BURSAR_DONE);
	read_to_end();

	ck_assert_uint_eq(got_count, 4);
	assert_got(2, "1");
}
END_TEST

START_TEST(offsets_that_cannot_be_written_are_tried_again)
{
	char aside[PATH_MAX];

	write_new("a.jsonl", "1\n2\n");
	start();
	read_to_end();
	snprintf(aside, sizeof(aside), "%s.aside", state);
	ck_assert_int_eq(rename(state, aside), 0);

	ck_assert_int_eq(settle_some(2, BURSAR_STORED), BURSAR_RETRY);
	ck_assert_ptr_nonnull(strstr(err.text, state));
	ck_assert_int_eq(settle_some(2, BURSAR_STORED), BURSAR_RETRY);
	ck_assert_int_eq(rename(aside, state), 0);
	ck_assert_int_eq(settle_some(2, BURSAR_STORED), BURSAR_DONE);

	kill_and_start();
	read_to_end();
	ck_assert_uint_eq(got_count, 0);
}
END_TEST

START_TEST(a_follower_at_rest_says_that_offsets_cannot_be_written)
{
	char aside[PATH_MAX];

	follow();
	write_new("a.jsonl", "1\n");
	start();
	read_until(1);
	snprintf(aside, sizeof(aside), "%s.aside", state);
	ck_assert_int_eq(rename(state, aside), 0);
	settle_some(1, BURSAR_STORED);
	for (int i = 0; i < 10; i++) {
		read_once(ROOM, 100);
	}
	ck_assert_uint_eq(fakehost_logged(&host, "offsets-not-written"), 1);

	ck_assert_int_eq(rename(aside, state), 0);
	read_nothing();
	kill_and_start();
	read_nothing();
}
END_TEST

START_TEST(reads_nothing_while_a_generation_cannot_be_written)
{
	char aside[PATH_MAX];

	write_new("a.jsonl", "1\n2\n");
	start();
	snprintf(aside, sizeof(aside), "%s.aside", state);
	ck_assert_int_eq(rename(state, aside), 0);

	ck_assert_int_eq(read_once(ROOM, 2000), BURSAR_RETRY);
	ck_assert_int_eq(read_once(ROOM, 2000), BURSAR_RETRY);
	ck_assert_uint_eq(got_count, 0);
	ck_assert_int_eq(rename(aside, state), 0);
	read_to_end();
	ck_assert_uint_eq(got_count, 2);
}
END_TEST

static const char *const bad_offsets[] = {
	"",
	"something else\n",
	"bursar offsets 3\nfloor 0\nend\n",
	"bursar offsets 2\nfloor 0\n1 2 3 4 5 6 0 8 9 10 11 path\nend\n",
	"bursar offsets 2\nfloor 0\n1 2 3 4 5 6 0 8 9 10 4097 12 path\nend\n",
	"bursar offsets 1\n",
	"bursar offsets 1\nflour 0\nend\n",
	"bursar offsets 1\nfloor 0\n",
	"bursar offsets 1\nfloor 0\n1 2 3 x 5 6 7 8 9 path\nend\n",
	"bursar offsets 1\nfloor 0\n1 2 3 4 5 6 7 8\nend\n",
	"bursar offsets 1\nfloor 0\n1 2 3 4 5 6 7 8 9 path\n",
	"bursar offsets 1\nfloor 0\n1 2 3 4 99999999999999999999 6 0 8 9 p\nend\n",
};

START_TEST(refuses_offsets_that_are_damaged)
{
	set_offsets(bad_offsets[_i]);
	memset(&err, 0, sizeof(err));

	source = ops->open(&host.host, &err);

	ck_assert_ptr_null(source);
	ck_assert_int_ne(err.code, 0);
	ck_assert_ptr_nonnull(strstr(err.text, offsets_path()));
	ck_assert_msg(strstr(err.text, "read again from their beginning") !=
	              NULL || err.code == EPROTO, "'%s' says not what to do",
	              err.text);
}
END_TEST

START_TEST(opens_without_a_state_folder)
{
	host.host.state_dir = NULL;
	write_new("a.jsonl", "1\n");
	start();
	read_to_end();
	settle_all();
	ck_assert_uint_eq(got_count, 1);
}
END_TEST

/* --- identity ------------------------------------------------------------- */

START_TEST(a_renamed_file_goes_on_where_it_was)
{
	write_new("a.jsonl", "1\n2\n");
	start();
	read_to_end();
	char origin[128];
	snprintf(origin, sizeof(origin), "%s", got[0].origin);
	settle_all();
	stop();

	move("a.jsonl", "b.jsonl");
	append("b.jsonl", "3\n");
	forget();
	start();
	read_to_end();

	ck_assert_uint_eq(got_count, 1);
	assert_got(0, "3");
	ck_assert_str_eq(got[0].origin, origin);
	ck_assert_str_eq(got[0].place, path_of("b.jsonl"));
}
END_TEST

START_TEST(a_follower_takes_a_rename_for_the_same_file)
{
	follow();
	write_new("a.jsonl", "1\n");
	start();
	read_until(1);

	move("a.jsonl", "b.jsonl");
	while (fakehost_logged(&host, "file-renamed") == 0) {
		read_once(ROOM, 30);
	}
	append("b.jsonl", "2\n");
	read_until(2);

	ck_assert_str_eq(got[1].origin, got[0].origin);
	ck_assert_str_eq(got[1].place, path_of("b.jsonl"));
}
END_TEST

START_TEST(rotation_loses_nothing_of_either_file)
{
	follow();
	write_new("a.jsonl", "1\n");
	start();
	read_until(1);
	const int writer = open(path_of("a.jsonl"), O_WRONLY | O_APPEND);

	/* The writer has the old file still, under a name out of sight. */
	append("a.jsonl", "2\n");
	move("a.jsonl", "a.jsonl.1");
	write_new("a.jsonl", "3\n");
	read_until(3);
	ck_assert_int_eq(write(writer, "4\n", 2), 2);
	close(writer);
	read_until(4);

	assert_got(1, "2");
	assert_got(2, "3");
	assert_got(3, "4");
	ck_assert_str_ne(got[2].origin, got[0].origin);
	ck_assert_str_eq(got[3].origin, got[0].origin);
	settle_all();
	again();
	read_nothing();
}
END_TEST

START_TEST(a_truncated_file_is_a_new_generation)
{
	follow();
	write_new("a.jsonl", "1\n2\n3\n");
	start();
	read_until(3);
	settle(1);

	overwrite("a.jsonl", "1\n");	/* with the same first line */
	read_until(4);

	assert_got(3, "1");
	ck_assert_uint_eq(got[3].offset, 0);
	ck_assert_uint_eq(got[3].line, 1);
	ck_assert_str_ne(got[3].origin, got[0].origin);
	ck_assert_uint_ne(got[3].lane, got[0].lane);
	assert_logged("warning file-truncated");
	assert_logged("read_to=6");
	ck_assert_int_eq(fakehost_figure(&host, "truncations_total"), 1);

	/* Outcomes of the old text move nothing of the new. */
	settle(2);
	again();
	read_until(1);
	assert_got(0, "1");
}
END_TEST

START_TEST(a_new_generation_is_on_disk_before_its_messages)
{
	char origin[128];

	follow();
	write_new("a.jsonl", "1\n2\n3\n");
	start();
	read_until(3);
	settle_all();
	overwrite("a.jsonl", "4\n");
	read_until(4);
	snprintf(origin, sizeof(origin), "%s", got[3].origin);

	kill_and_start();
	read_until(1);

	ck_assert_str_eq(got[0].origin, origin);
}
END_TEST

START_TEST(a_file_cut_and_grown_beyond_is_known_by_its_first_line)
{
	follow();
	write_new("a.jsonl", "1\n2\n");
	start();
	read_until(2);

	overwrite("a.jsonl", "a longer line\nand another\n");
	read_until(4);

	assert_got(2, "a longer line");
	ck_assert_str_ne(got[2].origin, got[0].origin);
}
END_TEST

START_TEST(a_file_emptied_waits_for_its_first_line)
{
	follow();
	write_new("a.jsonl", "1\n2\n");
	start();
	read_until(2);
	settle_all();

	overwrite("a.jsonl", "");
	read_nothing();
	append("a.jsonl", "ne");
	read_nothing();
	append("a.jsonl", "w\n");
	read_until(3);

	assert_got(2, "new");
	ck_assert_str_ne(got[2].origin, got[0].origin);
	ck_assert_int_eq(fakehost_figure(&host, "truncations_total"), 1);
}
END_TEST

START_TEST(truncation_is_seen_after_a_restart)
{
	write_new("a.jsonl", "1\n2\n3\n");
	start();
	read_to_end();
	char origin[128];
	snprintf(origin, sizeof(origin), "%s", got[0].origin);
	settle_all();
	stop();
	forget();

	overwrite("a.jsonl", "1\n9\n");
	start();
	read_to_end();

	ck_assert_uint_eq(got_count, 2);
	ck_assert_str_ne(got[0].origin, origin);
	assert_logged("warning file-truncated");
	assert_logged("settled_to=6");
}
END_TEST

START_TEST(a_reused_inode_is_another_file)
{
	write_new("a.jsonl", "1\n2\n");
	start();
	read_to_end();
	char origin[128];
	snprintf(origin, sizeof(origin), "%s", got[0].origin);
	settle_all();
	stop();
	forget();

	/* As when the file was deleted and another one got its inode. */
	overwrite("a.jsonl", "other\n2\n3\n4\n");
	start();
	read_to_end();

	ck_assert_uint_eq(got_count, 4);
	ck_assert_str_ne(got[1].origin, origin);
	ck_assert_str_ne(strrchr(got[1].origin, ':'), strrchr(origin, ':'));
}
END_TEST

START_TEST(a_file_written_anew_with_its_first_line_is_read_again)
{
	write_new("a.jsonl", "head\n2\n");
	start();
	read_to_end();
	settle_all();
	again();
	append("a.jsonl", "3\n4\n");
	read_to_end();
	char origin[128];
	snprintf(origin, sizeof(origin), "%s", got[0].origin);
	settle_all();
	stop();
	forget();

	/* Only what the second run read is not the same. */
	overwrite("a.jsonl", "head\n2\n5\n6\n7\n");
	start();
	read_to_end();

	ck_assert_uint_eq(got_count, 5);
	assert_got(0, "head");
	assert_got(4, "7");
	ck_assert_str_ne(got[0].origin, origin);
	assert_logged("warning file-truncated");
	settle_all();
	again();
	read_to_end();
	ck_assert_uint_eq(got_count, 0);
}
END_TEST

/* The window is full: nobody reads, nothing is settled. */
START_TEST(a_file_written_anew_while_nothing_is_read_is_noticed)
{
	follow();
	write_new("a.jsonl", "head\n2\n3\n");
	start();
	read_until(3);

	overwrite("a.jsonl", "head\n4\n5\n6\n7\n");
	read_until(8);

	assert_got(3, "head");
	assert_got(7, "7");
	ck_assert_str_ne(got[3].origin, got[0].origin);
	assert_logged("warning file-truncated");
	ck_assert_int_eq(fakehost_figure(&host, "truncations_total"), 1);
}
END_TEST

/* The offsets, with those numbers of the one entry for its own. */
static void set_entry(const char *version, const char *born, bool has_sample)
{
	char *text = offsets();
	char file[PATH_MAX], sample[40];
	char old_born[24], rest[PATH_MAX + 256];
	int at = 0;

	ck_assert_ptr_nonnull(text);
	ck_assert_int_eq(sscanf(text, "bursar offsets 2\nfloor 0\n%*s %*s %*s "
	                        "%*s %*s %*s %*s %*s %*s%n %23s %39[0-9a-f ]%s",
	                        &at, old_born, sample, file), 3);
	snprintf(rest, sizeof(rest), "%s%.*s %s %s%s\nend\n", version,
	         at - (int)strcspn(text, "\n"), text + strcspn(text, "\n"),
	         born, has_sample ? sample : "", file);
	set_offsets(rest);
	free(text);
}

/* As when it was deleted, and another one, that begins alike, got its inode. */
START_TEST(a_file_that_was_made_later_is_another_one)
{
	write_new("a.jsonl", "1\n2\n");
	start();
	read_to_end();
	char origin[128];
	snprintf(origin, sizeof(origin), "%s", got[0].origin);
	settle_all();
	stop();
	forget();

	char *text = offsets();
	unsigned long long born = 0;
	ck_assert_int_eq(sscanf(text, "bursar offsets 2\nfloor 0\n%*s %*s %*s "
	                        "%*s %*s %*s %*s %*s %*s %llu", &born), 1);
	free(text);
	if (born == 0) {
		fprintf(stderr, "SKIP: a later file: the file system does not "
		        "say when files were made\n");
		return;
	}
	set_entry("bursar offsets 2", "1", true);
	append("a.jsonl", "3\n");
	start();
	read_to_end();

	ck_assert_uint_eq(got_count, 3);
	ck_assert_str_ne(got[0].origin, origin);
	assert_logged("file-replaced");
}
END_TEST

START_TEST(offsets_of_the_first_version_are_read)
{
	write_new("a.jsonl", "1\n2\n");
	start();
	read_to_end();
	settle_all();
	stop();
	forget();

	set_entry("bursar offsets 1", "", false);
	append("a.jsonl", "3\n");
	start();
	read_to_end();
	settle_all();
	ck_assert_uint_eq(got_count, 1);
	assert_got(0, "3");
	stop();
	forget();

	/* From now on it is known by more. */
	overwrite("a.jsonl", "1\n4\n5\n6\n");
	start();
	read_to_end();
	ck_assert_uint_eq(got_count, 4);
}
END_TEST

START_TEST(a_long_file_goes_on_under_another_name)
{
	char line[128];

	for (int i = 0; i < 200; i++) {
		snprintf(line, sizeof(line), "%0100d\n", i);
		put("a.jsonl", O_APPEND, line, strlen(line));
	}
	start();
	read_to_end();
	ck_assert_uint_eq(got_count, 200);
	settle_all();
	stop();
	move("a.jsonl", "b.jsonl");
	append("b.jsonl", "more\n");
	write_new("a.jsonl", "new\n");
	forget();
	start();
	read_to_end();

	ck_assert_uint_eq(got_count, 2);
	assert_got(0, "new");
	assert_got(1, "more");
}
END_TEST

START_TEST(given_back_after_truncation_is_said_to_be_lost)
{
	follow();
	write_new("a.jsonl", "1\n2\n3\n");
	start();
	read_until(3);
	overwrite("a.jsonl", "4\n");
	read_until(4);

	settle(1);
	ck_assert_int_eq(settle_some(2, BURSAR_RETURNED), BURSAR_DONE);

	assert_logged("error file-lines-lost");
	ck_assert_int_eq(fakehost_figure(&host, "lost_lines_total"), 2);
	settle_all();
	again();
	read_nothing();
}
END_TEST

START_TEST(a_deleted_file_is_read_to_its_end_and_let_go)
{
	follow();
	write_new("a.jsonl", "1\n");
	write_new("b.jsonl", "b\n");
	start();
	read_until(2);
	const size_t before = open_descriptors();
	append("a.jsonl", "2\nhalf");
	unlink(path_of("a.jsonl"));

	read_until(3);
	settle_all();
	read_until(4);
	settle_all();
	while (fakehost_logged(&host, "file-gone") == 0) {
		read_once(ROOM, 20);
	}

	assert_got(2, "2");
	assert_got(3, "half");	/* nobody will end it */
	ck_assert_uint_eq(open_descriptors(), before - 1);
}
END_TEST

START_TEST(what_is_long_gone_is_forgotten_but_not_its_generation)
{
	char text[256];
	struct stat st;

	write_new("a.jsonl", "1\n");
	ck_assert_int_eq(stat(path_of("a.jsonl"), &st), 0);
	snprintf(text, sizeof(text), "bursar offsets 1\nfloor 0\n"
	         "%llu 4000000000 00000000deadbeef 6 10 1 0 0 1000000 /gone\n"
	         "%llu 4000000001 00000000deadbeef 7 10 1 0 0 %lld /new\n"
	         "end\n", (unsigned long long)st.st_dev,
	         (unsigned long long)st.st_dev, (long long)time(NULL));
	set_offsets(text);
	start();

	read_to_end();

	ck_assert_str_eq(strrchr(got[0].origin, ':'), ":7");
	char *now = offsets();
	ck_assert_ptr_nonnull(strstr(now, "\nfloor 7\n"));
	ck_assert_ptr_null(strstr(now, "/gone"));
	ck_assert_ptr_nonnull(strstr(now, "/new"));
	free(now);
}
END_TEST

/* --- packed files --------------------------------------------------------- */

static void append_gzip(const char *name, const char *text)
{
	gzFile file = gzopen(path_of(name), "ab");

	ck_assert_int_gt(gzwrite(file, text, (unsigned)strlen(text)), 0);
	ck_assert_int_eq(gzclose(file), Z_OK);
}

static void append_zstd(const char *name, const char *text)
{
	char out[4096];
	const size_t size = ZSTD_compress(out, sizeof(out), text, strlen(text),
	                                  3);

	ck_assert(!ZSTD_isError(size));
	put(name, O_APPEND, out, size);
}

static void (*const packers[])(const char *, const char *) = {
	append_gzip, append_zstd,
};

/* Text that does not pack well, in lines of 9. */
static char *much_text(size_t lines)
{
	char *text = malloc(lines * 9 + 1);
	uint64_t x = 1;

	for (size_t i = 0; i < lines; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		snprintf(text + i * 9, 10, "%08x\n", (unsigned)(x >> 33));
	}
	return text;
}

/* As the tool zstd does it: in blocks of 128 KB, with a checksum. */
static void append_frame(const char *name, const char *text, size_t size)
{
	const size_t room = ZSTD_compressBound(size);
	char *out = malloc(room);
	ZSTD_CCtx *zstd = ZSTD_createCCtx();

	ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, 1);
	const size_t packed = ZSTD_compress2(zstd, out, room, text, size);
	ck_assert(!ZSTD_isError(packed));
	put(name, O_APPEND, out, packed);
	ZSTD_freeCCtx(zstd);
	free(out);
}

static void write_packed(const char *name, int how, size_t lines)
{
	char *text = much_text(lines);

	if (how == 0) {
		append_gzip(name, text);
	} else {
		append_frame(name, text, lines * 9);
	}
	free(text);
}

/* Overwrites a little before the end; the size stays. */
static void damage(const char *name)
{
	struct stat st;
	const int fd = open(path_of(name), O_WRONLY);

	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(pwrite(fd, "\xff\xff\xff\xff\xff\xff\xff\xff\xff", 9,
	                        st.st_size - 100), 9);
	close(fd);
}

START_TEST(packed_files_of_many_parts_are_read_as_one)
{
	packers[_i]("a.jsonl", "one\ntw");
	packers[_i]("a.jsonl", "o\nthree\n");
	packers[_i]("a.jsonl", "last");
	start();

	read_to_end();

	ck_assert_uint_eq(got_count, 4);
	assert_got(1, "two");
	ck_assert_uint_eq(got[1].offset, 4);
	ck_assert_uint_eq(got[1].line, 2);
	ck_assert_uint_eq(got[2].offset, 8);
	assert_got(3, "last");
	ck_assert_int_eq(fakehost_logged(&host, "file-unreadable"), 0);
}
END_TEST

START_TEST(a_packed_file_goes_on_where_it_was_settled)
{
	packers[_i]("a.jsonl", "one\ntwo\n");
	packers[_i]("a.jsonl", "three\n");
	start();
	read_to_end();
	settle(2);

	again();
	read_to_end();
	ck_assert_uint_eq(got_count, 1);
	assert_got(0, "three");
	ck_assert_uint_eq(got[0].offset, 8);
	ck_assert_uint_eq(got[0].line, 3);
	ck_assert_int_eq(settle_some(1, BURSAR_RETURNED), BURSAR_DONE);
	read_to_end();
	ck_assert_uint_eq(got_count, 2);
	assert_got(1, "three");
	settle_all();

	again();
	read_to_end();
	ck_assert_uint_eq(got_count, 0);
	packers[_i]("a.jsonl", "four\n");
	again();
	read_to_end();
	ck_assert_uint_eq(got_count, 1);
	assert_got(0, "four");
}
END_TEST

START_TEST(a_packed_file_that_is_done_is_not_unpacked_again)
{
	write_packed("a.jsonl", _i, 15000);
	start();
	while (!ended) {
		ck_assert_int_eq(read_once(ROOM, 1000), BURSAR_DONE);
		settle_all();
	}
	ck_assert_uint_eq(got_count, 15000);

	damage("a.jsonl");	/* it would be found out if it were */
	again();
	read_to_end();

	ck_assert_uint_eq(got_count, 0);
	ck_assert_int_eq(fakehost_logged(&host, "file-unreadable"), 0);
}
END_TEST

START_TEST(a_follower_reads_a_packed_file_that_came_to_be_longer)
{
	follow();
	packers[_i]("a.jsonl", "one\n");
	start();
	read_until(1);
	settle_all();

	packers[_i]("a.jsonl", "two\n");
	read_until(2);

	assert_got(1, "two");
	ck_assert_uint_eq(got[1].offset, 4);
	ck_assert_str_eq(got[1].origin, got[0].origin);
}
END_TEST

START_TEST(a_packed_file_that_came_to_be_shorter_is_a_new_generation)
{
	char origin[128];

	packers[_i]("a.jsonl", "one\ntwo\nthree\n");
	start();
	read_to_end();
	snprintf(origin, sizeof(origin), "%s", got[0].origin);
	settle_all();

	overwrite("a.jsonl", "");
	packers[_i]("a.jsonl", "one\n2\n");
	again();
	read_to_end();

	ck_assert_uint_eq(got_count, 2);
	assert_got(1, "2");
	ck_assert_str_ne(got[0].origin, origin);
	assert_logged("warning file-truncated");
}
END_TEST

START_TEST(zeros_behind_gzip_are_padding)
{
	append_gzip("a.jsonl", "one\n");
	put("a.jsonl", O_APPEND, "\0\0\0\0", 4);
	start();

	read_to_end();

	ck_assert_uint_eq(got_count, 1);
	ck_assert_int_eq(fakehost_logged(&host, "file-unreadable"), 0);
}
END_TEST

/* Whoever puts files there has no say in the log. */
START_TEST(a_name_with_quotes_is_one_value_in_the_log)
{
	static const char name[] = "a\" level=error b=\"\\.jsonl";

	ck_assert_int_eq(mkdir(path_of(name), 0700), 0);
	write_new("b.jsonl", "other\n");
	start();

	read_to_end();

	assert_logged("/a\\\" level=error b=\\\"\\\\.jsonl\" reason=\"");
	rmdir(path_of(name));
}
END_TEST

START_TEST(a_damaged_packed_file_gives_what_was_whole)
{
	write_packed("a.jsonl", _i, 15000);
	damage("a.jsonl");
	write_new("b.jsonl", "other\n");
	start();

	read_to_end();

	ck_assert_uint_gt(got_count, 1000);
	assert_got(got_count - 1, "other");
	assert_logged("warning file-unreadable");
	assert_logged("damaged before byte");
	ck_assert_int_eq(fakehost_figure(&host, "files_unreadable"), 1);

	/* Once all else is settled, it is said what was left. */
	settle_all();
	ck_assert_int_eq(read_once(ROOM, 20), BURSAR_CONFIG);
	ck_assert(ended);
	ck_assert_ptr_nonnull(strstr(err.text, "1 file could not be read"));
	ck_assert_ptr_nonnull(strstr(err.text, "a.jsonl"));
}
END_TEST

/* The fifth block does not fit behind the long line at once, and the sixth is
 * damaged: what waits of the fifth is not lost. */
START_TEST(damage_takes_nothing_of_the_block_before)
{
	const size_t block = 128 * 1024;
	char *text = much_text(780000 / 9);

	memset(text + 99, 'x', 600000);
	append_frame("a.jsonl", text, 780000 / 9 * 9);
	free(text);
	damage("a.jsonl");
	start();

	read_to_end();

	ck_assert_uint_eq(got_count, 11 + 1 + (5 * block - 600099 - 9) / 9);
	assert_logged("damaged before byte");
}
END_TEST

START_TEST(a_packed_file_that_is_cut_off_gives_what_was_whole)
{
	struct stat st;

	write_packed("a.jsonl", _i, 15000);
	ck_assert_int_eq(stat(path_of("a.jsonl"), &st), 0);
	ck_assert_int_eq(truncate(path_of("a.jsonl"), st.st_size - 100), 0);
	write_new("b.jsonl", "other\n");
	start();

	read_to_end();

	ck_assert_uint_gt(got_count, 1000);
	for (size_t i = 0; i < got_count - 1; i++) {
		ck_assert_uint_eq(got[i].size, 8);
	}
	assert_got(got_count - 1, "other");
	assert_logged("cut off after");
	ck_assert_int_eq(fakehost_figure(&host, "files_unreadable"), 1);
}
END_TEST

START_TEST(a_follower_waits_for_the_rest_of_a_packed_file)
{
	char *all;
	struct stat st;

	follow();
	write_packed("whole", _i, 15000);
	ck_assert_int_eq(stat(path_of("whole"), &st), 0);
	all = malloc((size_t)st.st_size);
	const int fd = open(path_of("whole"), O_RDONLY);
	ck_assert_int_eq(read(fd, all, (size_t)st.st_size), st.st_size);
	close(fd);
	const size_t half = (size_t)st.st_size / 2;
	put("a.jsonl", O_EXCL, all, half);
	start();
	while (fakehost_logged(&host, "file-unreadable") == 0) {
		read_once(ROOM, 20);
		settle_all();
	}
	assert_logged("it ends within what is packed");

	put("a.jsonl", O_APPEND, all + half, (size_t)st.st_size - half);
	free(all);
	while (got_count < 15000) {
		const size_t before = got_count;

		ck_assert_int_eq(read_once(ROOM, 2000), BURSAR_DONE);
		ck_assert_uint_gt(got_count, before);
		settle_all();
	}

	for (size_t i = 0; i < got_count; i++) {
		ck_assert_uint_eq(got[i].line, i + 1);
		ck_assert_uint_eq(got[i].offset, 9 * i);
	}
	while (fakehost_figure(&host, "files_unreadable") > 0) {
		read_once(ROOM, 30);
	}
}
END_TEST

START_TEST(the_limit_of_lines_holds_for_what_is_unpacked)
{
	char *text = calloc(1, 3000001);

	memset(text, 'x', 3000000);
	text[2999999] = '\n';
	append_gzip("a.jsonl", text);
	append_gzip("a.jsonl", "after\n");
	free(text);
	start();

	read_to_end();

	ck_assert_uint_eq(got_count, 2);
	ck_assert_uint_eq(got[0].full_size, 2999999);
	ck_assert_uint_eq(got[0].size, 65536);
	assert_got(1, "after");
}
END_TEST

/* --- what cannot be read -------------------------------------------------- */

START_TEST(what_is_no_regular_file_is_reported_and_others_go_on)
{
	write_new("e.jsonl", "one\n");
	ck_assert_int_eq(mkdir(path_of("a.jsonl"), 0700), 0);
	ck_assert_int_eq(mkfifo(path_of("b.jsonl"), 0600), 0);
	ck_assert_int_eq(symlink("/nowhere", path_of("c.jsonl")), 0);
	ck_assert_int_eq(symlink("/dev/null", path_of("d.jsonl")), 0);
	start();

	read_to_end();

	ck_assert_uint_eq(got_count, 1);
	ck_assert_int_eq(fakehost_logged(&host, "file-unreadable"), 4);
	assert_logged("a.jsonl\" reason=\"it is a folder");
	assert_logged("b.jsonl\" reason=\"it is not a regular file");
	assert_logged("c.jsonl\" reason=\"No such file");
	ck_assert_int_eq(fakehost_figure(&host, "files_unreadable"), 4);

	/* None of them is a file that was left. */
	settle_all();
	ck_assert_int_eq(read_once(ROOM, 20), BURSAR_DONE);
	ck_assert(ended);
}
END_TEST

START_TEST(a_disk_that_fails_for_a_while_is_asked_again)
{
	follow();
	write_new("a.jsonl", "1\n");
	start();
	read_until(1);
	append("a.jsonl", "2\n");
	disk_fails = true;
	read_nothing();
	disk_fails = false;
	ck_assert_uint_eq(fakehost_logged(&host, "file-unreadable"), 1);
	settle_all();
	read_until(2);
	assert_got(1, "2");
}
END_TEST

START_TEST(a_follower_reports_once_and_looks_again)
{
	follow();
	ck_assert_int_eq(mkdir(path_of("a.jsonl"), 0700), 0);
	ck_assert_int_eq(symlink("target", path_of("b.jsonl")), 0);
	start();
	read_nothing();
	ck_assert_int_eq(fakehost_logged(&host, "file-unreadable"), 2);

	write_new("target", "now\n");
	rmdir(path_of("a.jsonl"));
	read_until(1);
	read_nothing();

	ck_assert_int_eq(fakehost_logged(&host, "file-unreadable"), 2);
	ck_assert_int_eq(fakehost_figure(&host, "files_unreadable"), 0);
}
END_TEST

START_TEST(a_file_without_permission_is_read_once_it_has_it)
{
	if (geteuid() == 0) {
		return;		/* root may read it */
	}
	follow();
	write_new("a.jsonl", "one\n");
	write_new("b.jsonl", "two\n");
	chmod(path_of("a.jsonl"), 0);
	start();
	read_until(1);
	assert_got(0, "two");
	assert_logged("Permission denied");

	chmod(path_of("a.jsonl"), 0600);
	read_until(2);
	assert_got(1, "one");
}
END_TEST

static uint64_t seed;

static unsigned chance(unsigned n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % n;
}

/* --- many files, waiting -------------------------------------------------- */

START_TEST(thousands_of_files_need_few_descriptors)
{
	char name[32], text[32];
	size_t most = 0;

	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "%04d.jsonl", i);
		snprintf(text, sizeof(text), "{\"n\":%d}\n", i);
		write_new(name, text);
	}
	start();

	for (int i = 0; i < 5000 && !ended; i++) {
		ck_assert_int_eq(read_once(ROOM, 1000), BURSAR_DONE);
		const size_t open = open_descriptors();
		most = open > most ? open : most;
		settle_all();
	}

	ck_assert(ended);
	ck_assert_uint_eq(got_count, 5000);
	for (size_t i = 0; i < got_count; i++) {
		snprintf(text, sizeof(text), "{\"n\":%zu}", i);
		assert_got(i, text);
	}
	ck_assert_uint_le(most, 256 + 20);
	again();
	read_to_end();
	ck_assert_uint_eq(got_count, 0);
}
END_TEST

START_TEST(a_follower_sees_growth_of_files_that_it_had_to_close)
{
	char name[32];

	follow();
	for (int i = 0; i < 400; i++) {
		snprintf(name, sizeof(name), "%04d.jsonl", i);
		write_new(name, "one\n");
	}
	start();
	while (got_count < 400) {
		ck_assert_int_eq(read_once(ROOM, 1000), BURSAR_DONE);
		settle_all();
	}
	ck_assert_uint_le(open_descriptors(), 256 + 20);

	for (int i = 0; i < 400; i++) {
		snprintf(name, sizeof(name), "%04d.jsonl", i);
		append(name, "two\n");
	}
	while (got_count < 800) {
		ck_assert_int_eq(read_once(ROOM, 1000), BURSAR_DONE);
		settle_all();
	}

	for (size_t i = 400; i < 800; i++) {
		assert_got(i, "two");
		ck_assert_uint_eq(got[i].line, 2);
	}
	read_nothing();
}
END_TEST

/* All open files and one that is closed have something new: none waits for
 * another one's descriptor. */
START_TEST(files_that_grow_all_at_once_do_not_block_each_other)
{
	char name[32];

	follow();
	start_with_few_descriptors();
	for (size_t round = 1; round <= 20; round++) {
		for (int i = 0; i < 6; i++) {
			snprintf(name, sizeof(name), "%d.jsonl", i);
			append(name, "one\n");
		}
		pause_ms(15);
		while (got_count < 6 * round) {
			const size_t before = got_count;

			ck_assert_int_eq(read_once(chance(3) + 1, 2000),
			                 BURSAR_DONE);
			ck_assert_uint_gt(got_count, before);
			settle(chance((unsigned)(got_count - settled_count)));
			if (got_count - settled_count >= 4) {
				settle_all();
			}
		}
	}
	settle_all();
	read_nothing();
}
END_TEST

/* A file that cannot be had back by its name keeps its descriptor, and what is
 * written to it is not kept waiting by a file that has none. */
START_TEST(a_file_that_lost_its_name_is_not_closed_for_another)
{
	static const char *const names[] = { "a", "b", "c", "d" };
	char name[32];

	follow();
	for (size_t i = 0; i < COUNT(names); i++) {
		snprintf(name, sizeof(name), "%s.jsonl", names[i]);
		write_new(name, "one\n");
	}
	start_with_few_descriptors();
	read_until(4);
	settle_all();
	for (size_t i = 0; i < COUNT(names); i++) {
		snprintf(name, sizeof(name), "%s.jsonl", names[i]);
		move(name, names[i]);
	}
	read_nothing();

	write_new("e.jsonl", "new\n");
	read_nothing();
	append("a", "two\n");
	read_until(5);

	assert_got(4, "two");
}
END_TEST

START_TEST(with_every_descriptor_unsettled_it_returns_for_outcomes)
{
	char name[32];

	for (int i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "%d.jsonl", i);
		write_new(name, "one\n");
	}
	start_with_few_descriptors();
	while (got_count < 4) {
		ck_assert_int_eq(read_once(ROOM, 2000), BURSAR_DONE);
	}
	const int64_t before = monotonic_us();

	ck_assert_int_eq(read_once(ROOM, 60000), BURSAR_DONE);

	ck_assert_uint_eq(got_count, 4);
	ck_assert(!ended);
	ck_assert_int_lt(monotonic_us() - before, SOON);
	settle_all();
	read_to_end();
	ck_assert_uint_eq(got_count, 6);
}
END_TEST

START_TEST(wakes_at_once)
{
	follow();
	write_new("a.jsonl", "one\n");
	start();
	read_until(1);
	ck_assert_int_eq(write(wake[1], "x", 1), 1);
	const int64_t before = monotonic_us();

	ck_assert_int_eq(read_once(ROOM, 60000), BURSAR_DONE);

	ck_assert_int_lt(monotonic_us() - before, SOON);
	append("a.jsonl", "two\n");	/* and does what it can all the same */
	pause_ms(20);
	ck_assert_int_eq(read_once(ROOM, 60000), BURSAR_DONE);
	ck_assert_uint_eq(got_count, 2);
}
END_TEST

START_TEST(waits_no_longer_than_the_deadline)
{
	follow();
	start();
	const int64_t before = monotonic_us();

	ck_assert_int_eq(read_once(ROOM, 150), BURSAR_DONE);

	ck_assert_int_ge(monotonic_us() - before, 150000);
	ck_assert_int_lt(monotonic_us() - before, SOON);
	assert_logged("info no-file");
}
END_TEST

START_TEST(a_follower_finds_new_files_and_growth_soon)
{
	follow();
	start();
	read_nothing();

	write_new("a.jsonl", "one\n");
	const int64_t before = monotonic_us();
	ck_assert_int_eq(read_once(ROOM, 60000), BURSAR_DONE);
	ck_assert_uint_eq(got_count, 1);
	append("a.jsonl", "two\n");
	ck_assert_int_eq(read_once(ROOM, 60000), BURSAR_DONE);

	ck_assert_uint_eq(got_count, 2);
	ck_assert_int_lt(monotonic_us() - before, SOON);
}
END_TEST

START_TEST(a_file_that_always_grows_does_not_keep_others_waiting)
{
	char *text = malloc(1 << 20);

	follow();
	memset(text, 'x', 1 << 20);
	for (size_t i = 1023; i < 1 << 20; i += 1024) {
		text[i] = '\n';
	}
	put("a.jsonl", O_CREAT, text, 1 << 20);
	for (int i = 0; i < 11; i++) {
		put("a.jsonl", O_APPEND, text, 1 << 20);
	}
	free(text);
	write_new("b.jsonl", "b\n");
	start();

	size_t i = 0;
	while (got_count < 12289) {
		ck_assert_int_eq(read_once(1000, 1000), BURSAR_DONE);
	}
	while (strcmp(got[i].body, "b") != 0) {
		i++;
	}

	ck_assert_uint_lt(i, 12288);
}
END_TEST

/* --- everything at once --------------------------------------------------- */

#define LOGS 3

/* A line is "LOG NUMBER\n"; it is stored when its outcome says so. */
struct model {
	unsigned written[LOGS];		/* whole lines */
	unsigned rotated[LOGS];
	bool     half[LOGS];		/* and the beginning of one */
	char   (*places)[160];		/* origin and offset of what is stored */
	char   (*bodies)[32];
	size_t   stored;
};

static void model_write(struct model *model, unsigned log)
{
	char name[32], text[64];

	snprintf(name, sizeof(name), "log%u.jsonl", log);
	if (model->half[log]) {
		append(name, "\n");
		model->half[log] = false;
		model->written[log]++;
		return;
	}
	snprintf(text, sizeof(text), "%u %u", log, model->written[log]);
	append(name, text);
	model->half[log] = true;
	if (chance(4) != 0) {
		model_write(model, log);
	}
}

static void model_rotate(struct model *model, unsigned log)
{
	char from[32], to[32];

	snprintf(from, sizeof(from), "log%u.jsonl", log);
	snprintf(to, sizeof(to), "log%u.%u.jsonl", log, model->rotated[log]++);
	if (!model->half[log] && access(path_of(from), F_OK) == 0) {
		move(from, to);
	}
}

/* A database that drops what it has: by place. */
static void model_store(struct model *model, const struct got *g)
{
	char place[160];

	snprintf(place, sizeof(place), "%s+%llu", g->origin,
	         (unsigned long long)g->offset);
	for (size_t i = 0; i < model->stored; i++) {
		if (strcmp(model->places[i], place) == 0) {
			ck_assert_str_eq(model->bodies[i], g->body);
			return;
		}
	}
	ck_assert_uint_lt(model->stored, MAX_GOT);
	snprintf(model->places[model->stored], sizeof(model->places[0]), "%s",
	         place);
	ck_assert_uint_lt(g->size, sizeof(model->bodies[0]));
	snprintf(model->bodies[model->stored++], sizeof(model->bodies[0]),
	         "%s", g->body);
}

/* Stores a beginning of what is out; tells all, a part, or gives it back. */
static void model_settle(struct model *model)
{
	const size_t out = got_count - settled_count;
	const size_t some = out == 0 ? 0 : chance((unsigned)out + 1);

	for (size_t i = 0; i < some; i++) {
		model_store(model, &got[settled_count + i]);
	}
	settle(some);
	if (chance(4) == 0) {
		ck_assert_int_eq(settle_some(out - some, BURSAR_RETURNED),
		                 BURSAR_DONE);
	}
}

static void model_check(const struct model *model)
{
	size_t written = 0;

	for (unsigned log = 0; log < LOGS; log++) {
		written += model->written[log];
		for (unsigned n = 0; n < model->written[log]; n++) {
			char body[32];
			size_t found = 0;

			snprintf(body, sizeof(body), "%u %u", log, n);
			for (size_t i = 0; i < model->stored; i++) {
				found += strcmp(model->bodies[i], body) == 0;
			}
			ck_assert_msg(found == 1, "'%s' %zu times", body,
			              found);
		}
	}
	ck_assert_uint_eq(model->stored, written);
}

START_TEST(each_line_is_stored_once_whatever_happens)
{
	struct model model = {
		.places = calloc(MAX_GOT, sizeof(*model.places)),
		.bodies = calloc(MAX_GOT, sizeof(*model.bodies)),
	};

	seed = 0x5eed + (uint64_t)_i;
	follow();
	few_descriptors = _i % 2 == 1;
	start_again();
	for (int i = 0; i < 600; i++) {
		switch (chance(12)) {
		case 0:
			model_rotate(&model, chance(LOGS));
			break;
		case 1:
			kill_and_start();
			break;
		case 2:
			again();
			break;
		case 3:
			model_settle(&model);
			break;
		case 4:
		case 5:
			read_once(1 + chance(20), (int)chance(15));
			break;
		default:
			model_write(&model, chance(LOGS));
		}
	}
	for (unsigned log = 0; log < LOGS; log++) {
		if (model.half[log]) {
			model_write(&model, log);
		}
		model.half[log] = false;
	}
	again();
	drain = true;
	while (!ended) {
		ck_assert_int_eq(read_once(ROOM, 1000), BURSAR_DONE);
		for (size_t i = settled_count; i < got_count; i++) {
			model_store(&model, &got[i]);
		}
		settle_all();
	}

	model_check(&model);
	free(model.places);
	free(model.bodies);
}
END_TEST

/* --- all of them ---------------------------------------------------------- */

static TCase *add_case(Suite *s, const char *name)
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 120);
	suite_add_tcase(s, tcase);
	return tcase;
}

static void add_lines(TCase *t)
{
	tcase_add_test(t, delivers_each_line_with_its_place);
	tcase_add_test(t, a_byte_order_mark_is_no_part_of_the_first_line);
	tcase_add_test(t, passes_over_white_space_but_counts_its_lines);
	tcase_add_test(t, reads_files_in_the_order_of_their_names);
	tcase_add_test(t, a_file_with_two_names_is_read_once);
	tcase_add_test(t, takes_a_last_line_without_newline_when_it_does_not_follow);
	tcase_add_test(t, a_follower_waits_for_the_newline);
	tcase_add_test(t, a_follower_that_drains_takes_what_has_no_newline);
	tcase_add_test(t, a_line_that_was_taken_without_its_end_is_delivered_whole);
	tcase_add_test(t, a_line_whose_newline_comes_later_is_not_delivered_twice);
	tcase_add_test(t, lines_of_any_length_come_whole);
	tcase_add_loop_test(t, a_line_above_the_limit_comes_as_beginning_and_digest,
	                    0, COUNT(long_sizes));
	tcase_add_test(t, a_line_of_any_length_takes_little_memory);
	tcase_add_test(t, stops_where_there_is_no_room_and_goes_on_there);
	tcase_add_test(t, with_no_room_it_returns_at_once);
	tcase_add_test(t, says_that_no_file_matches_and_ends);
}

static void add_settling(TCase *t)
{
	tcase_add_test(t, what_is_not_settled_comes_again);
	tcase_add_test(t, after_a_kill_it_comes_again_under_the_same_place);
	tcase_add_test(t, what_was_settled_when_all_was_read_survives_a_kill);
	tcase_add_test(t, a_follower_writes_what_is_settled_within_a_second);
	tcase_add_test(t, every_outcome_but_returned_moves_the_offset);
	tcase_add_test(t, returned_messages_come_again_from_the_first_one_on);
	tcase_add_test(t, ends_only_when_nothing_can_come_back);
	tcase_add_test(t, returned_after_the_end_is_read_again);
	tcase_add_test(t, offsets_that_cannot_be_written_are_tried_again);
	tcase_add_test(t, a_follower_at_rest_says_that_offsets_cannot_be_written);
	tcase_add_test(t, reads_nothing_while_a_generation_cannot_be_written);
	tcase_add_loop_test(t, refuses_offsets_that_are_damaged,
	                    0, COUNT(bad_offsets));
	tcase_add_test(t, opens_without_a_state_folder);
}

static void add_identity(TCase *t)
{
	tcase_add_test(t, a_renamed_file_goes_on_where_it_was);
	tcase_add_test(t, a_follower_takes_a_rename_for_the_same_file);
	tcase_add_test(t, rotation_loses_nothing_of_either_file);
	tcase_add_test(t, a_truncated_file_is_a_new_generation);
	tcase_add_test(t, a_new_generation_is_on_disk_before_its_messages);
	tcase_add_test(t, a_file_cut_and_grown_beyond_is_known_by_its_first_line);
	tcase_add_test(t, a_file_emptied_waits_for_its_first_line);
	tcase_add_test(t, truncation_is_seen_after_a_restart);
	tcase_add_test(t, a_reused_inode_is_another_file);
	tcase_add_test(t, a_file_written_anew_with_its_first_line_is_read_again);
	tcase_add_test(t, a_file_written_anew_while_nothing_is_read_is_noticed);
	tcase_add_test(t, a_file_that_was_made_later_is_another_one);
	tcase_add_test(t, offsets_of_the_first_version_are_read);
	tcase_add_test(t, a_long_file_goes_on_under_another_name);
	tcase_add_test(t, given_back_after_truncation_is_said_to_be_lost);
	tcase_add_test(t, a_deleted_file_is_read_to_its_end_and_let_go);
	tcase_add_test(t, what_is_long_gone_is_forgotten_but_not_its_generation);
}

static void add_packed(TCase *t)
{
	tcase_add_loop_test(t, packed_files_of_many_parts_are_read_as_one,
	                    0, COUNT(packers));
	tcase_add_loop_test(t, a_packed_file_goes_on_where_it_was_settled,
	                    0, COUNT(packers));
	tcase_add_loop_test(t, a_packed_file_that_is_done_is_not_unpacked_again,
	                    0, COUNT(packers));
	tcase_add_loop_test(t, a_follower_reads_a_packed_file_that_came_to_be_longer,
	                    0, COUNT(packers));
	tcase_add_loop_test(t, a_packed_file_that_came_to_be_shorter_is_a_new_generation,
	                    0, COUNT(packers));
	tcase_add_test(t, zeros_behind_gzip_are_padding);
	tcase_add_test(t, a_name_with_quotes_is_one_value_in_the_log);
	tcase_add_loop_test(t, a_damaged_packed_file_gives_what_was_whole,
	                    0, COUNT(packers));
	tcase_add_test(t, damage_takes_nothing_of_the_block_before);
	tcase_add_loop_test(t, a_packed_file_that_is_cut_off_gives_what_was_whole,
	                    0, COUNT(packers));
	tcase_add_loop_test(t, a_follower_waits_for_the_rest_of_a_packed_file,
	                    0, COUNT(packers));
	tcase_add_test(t, the_limit_of_lines_holds_for_what_is_unpacked);
}

static Suite *suite(void)
{
	Suite *s = suite_create("source_file");
	TCase *t;

	add_lines(add_case(s, "lines"));
	add_settling(add_case(s, "settling"));
	add_identity(add_case(s, "identity"));
	add_packed(add_case(s, "packed"));

	t = add_case(s, "trouble");
	tcase_add_test(t, what_is_no_regular_file_is_reported_and_others_go_on);
	tcase_add_test(t, a_disk_that_fails_for_a_while_is_asked_again);
	tcase_add_test(t, a_follower_reports_once_and_looks_again);
	tcase_add_test(t, a_file_without_permission_is_read_once_it_has_it);

	t = add_case(s, "many");
	tcase_add_test(t, thousands_of_files_need_few_descriptors);
	tcase_add_test(t, a_follower_sees_growth_of_files_that_it_had_to_close);
	tcase_add_test(t, files_that_grow_all_at_once_do_not_block_each_other);
	tcase_add_test(t, a_file_that_lost_its_name_is_not_closed_for_another);
	tcase_add_test(t, with_every_descriptor_unsettled_it_returns_for_outcomes);

	t = add_case(s, "waiting");
	tcase_add_test(t, wakes_at_once);
	tcase_add_test(t, waits_no_longer_than_the_deadline);
	tcase_add_test(t, a_follower_finds_new_files_and_growth_soon);
	tcase_add_test(t, a_file_that_always_grows_does_not_keep_others_waiting);

	t = add_case(s, "all");
	tcase_add_loop_test(t, each_line_is_stored_once_whatever_happens, 0, 16);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());

	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
