/* SPDX-License-Identifier: Apache-2.0 */

/* What bursar/source.h asks of read() and settle(). */
#include "config.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include <sodium.h>

#include "intake.h"

#define SLACK_US 250000		/* after a deadline */
#define WAKE_US  100000		/* after the descriptor is readable */

/* --- reading ------------------------------------------------------------- */

static void reads_with_room(struct kit *kit, size_t room)
{
	struct intake in;

	intake_open(&in, kit);
	in.room = room;
	while (in.count < kit->messages && !in.ended) {
		const size_t before = in.count;

		if (intake_read(&in, 3000) == 0) {
			break;
		}
		expect(in.count - before <= room, "%zu came into room for %zu",
		       in.count - before, room);
		intake_settle(&in, before, in.count, BURSAR_STORED);
	}
	expect(in.count == kit->messages, "%zu messages came, not %zu",
	       in.count, kit->messages);
	intake_read(&in, 100);
	expect(in.count == kit->messages, "more messages came than there are");
	intake_close(&in);
}

void source_works(struct kit *kit)
{
	reads_with_room(kit, 7);
}

static void reads_one_at_a_time(struct kit *kit)
{
	reads_with_room(kit, 1);
}

static void reads_many_at_a_time(struct kit *kit)
{
	reads_with_room(kit, 1024);
}

static void reads_ahead_of_settlement(struct kit *kit)
{
	struct intake in;

	intake_open(&in, kit);
	in.room = 7;
	intake_expect_all(&in);
	/* Late, and one by one. */
	for (size_t i = 0; i < in.count; i++) {
		intake_settle(&in, i, i + 1, BURSAR_STORED);
	}
	intake_close(&in);
}

static void adds_nothing_without_room(struct kit *kit)
{
	struct intake in;

	intake_open(&in, kit);
	in.room = 0;
	for (int i = 0; i < 5; i++) {
		const int64_t begun = clock_mono_us();

		intake_read(&in, 50);
		expect(clock_mono_us() - begun < 50000 + SLACK_US,
		       "read() without room took %lld ms",
		       (long long)(clock_mono_us() - begun) / 1000);
		expect(in.count == 0, "a message came without room for it");
	}
	in.room = 1024;
	intake_expect_all(&in);
	/* With all of them in flight. */
	in.room = 0;
	intake_read(&in, 50);
	intake_settle(&in, 0, in.count, BURSAR_STORED);
	intake_close(&in);
}

static void keeps_deadlines(struct kit *kit)
{
	static const int64_t waits[] = { 0, 1, 30, 400, -5 };
	struct intake in;

	intake_open(&in, kit);
	intake_expect_all(&in);
	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		const int64_t wait = waits[i] > 0 ? waits[i] : 0;
		const int64_t begun = clock_mono_us();

		intake_read(&in, waits[i]);
		const int64_t took = clock_mono_us() - begun;
		expect(took <= wait * 1000 + SLACK_US,
		       "read() with a deadline in %lld ms took %lld ms",
		       (long long)waits[i], (long long)took / 1000);
	}
	intake_close(&in);
}

struct waker {
	int     wake;
	int64_t at;
};

static void *wake_later(void *arg)
{
	struct waker *waker = arg;

	poll(NULL, 0, 200);
	waker->at = clock_mono_us();
	eventfd_write(waker->wake, 1);
	return NULL;
}

static void wakes_up(struct kit *kit)
{
	struct waker waker;
	struct intake in;
	pthread_t thread;
	eventfd_t rings = 0;

	intake_open(&in, kit);
	intake_expect_all(&in);
	if (in.ended) {
		kit_skip("it ends, and does not wait");
	}
	waker = (struct waker){ .wake = in.wake };
	if (pthread_create(&thread, NULL, wake_later, &waker) != 0) {
		kit_broken("a thread");
	}
	intake_read(&in, 5000);
	const int64_t returned = clock_mono_us();
	pthread_join(thread, NULL);
	expect(returned - waker.at <= WAKE_US,
	       "read() returned %lld ms after it was woken",
	       (long long)(returned - waker.at) / 1000);
	expect(eventfd_read(in.wake, &rings) == 0 && rings == 1,
	       "it read from the wake descriptor");
	intake_close(&in);
}

static void keeps_what_was_not_taken(struct kit *kit)
{
	struct intake in;

	intake_open(&in, kit);
	while (in.count < kit->messages && !in.ended) {
		in.refuse_after = 1 + in.count % 3;
		if (intake_read(&in, 3000) == 0) {
			break;
		}
	}
	expect(in.count == kit->messages,
	       "%zu messages came, not %zu, where add() said no at times",
	       in.count, kit->messages);
	for (size_t i = 0; i < in.count; i++) {
		expect(intake_times(&in, in.items[i].name, 0) == 1 ||
		       in.items[i].message.origin.data == NULL,
		       "a message that was not taken came twice");
	}
	intake_settle(&in, 0, in.count, BURSAR_STORED);
	intake_close(&in);
}

static void stays_at_its_end(struct kit *kit)
{
	struct intake in;

	intake_open(&in, kit);
	intake_read_all(&in, SIZE_MAX);
	if (!in.ended) {
		kit_skip("it does not end");
	}
	expect(in.count == kit->messages, "it ended after %zu messages of %zu",
	       in.count, kit->messages);
	for (int i = 0; i < 5; i++) {
		intake_read(&in, 20);	/* which looks at it */
		if (i == 2) {
			intake_settle(&in, 0, in.count, BURSAR_STORED);
		}
	}
	expect(in.ended, "it had ended, and has not");
	intake_close(&in);
}

/* --- messages ------------------------------------------------------------ */

static void names_its_messages(struct kit *kit)
{
	struct intake in, again;

	intake_open(&in, kit);
	intake_expect_all(&in);
	if (in.count == 0 || in.items[0].message.origin.data == NULL) {
		kit_skip("its messages have no place for ever");
	}
	for (size_t i = 0; i < in.count; i++) {
		expect(intake_times(&in, in.items[i].name, 0) == 1,
		       "origin and offset of message %zu name another one too",
		       i);
	}
	intake_close(&in);

	intake_open(&again, kit);
	again.room = 7;
	intake_expect_all(&again);
	intake_expect_names(&again, 0, in.items, in.count,
	                    "by origin and offset, after reopening");
	for (size_t i = 0; i < in.count; i++) {
		size_t at = 0;

		while (again.items[at].name != in.items[i].name) {
			at++;
		}
		expect(again.items[at].message.body.size ==
		       in.items[i].message.body.size &&
		       memcmp(again.items[at].message.body.data,
		              in.items[i].message.body.data,
		              in.items[i].message.body.size) == 0,
		       "origin and offset name another body than before");
	}
	intake_close(&again);
}

static void expect_cut(const struct delivered *whole,
                       const struct bursar_message *cut)
{
	unsigned char hash[crypto_hash_sha256_BYTES];
	char hex[2 * sizeof(hash) + 1];
	const struct bursar_span body = whole->message.body;

	expect(cut->full_size == body.size, "full_size is %llu, not %zu",
	       (unsigned long long)cut->full_size, body.size);
	expect(memcmp(cut->body.data, body.data, cut->body.size) == 0,
	       "the body of an OVERSIZE message is not its beginning");
	crypto_hash_sha256(hash, (const unsigned char *)body.data, body.size);
	sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
	expect(cut->digest.size == 64 &&
	       strncasecmp(cut->digest.data, hex, 64) == 0,
	       "digest is not the SHA-256 of the whole body");
}

static int compare_sizes(const void *left, const void *right)
{
	const size_t a = *(const size_t *)left;
	const size_t b = *(const size_t *)right;

	return a < b ? -1 : a > b;
}

/* A limit that about half of the messages pass. */
static size_t median_size(const struct intake *in)
{
	size_t *sizes = calloc(in->count + 1, sizeof(*sizes));

	if (sizes == NULL) {
		kit_broken("malloc");
	}
	for (size_t i = 0; i < in->count; i++) {
		sizes[i] = in->items[i].message.body.size;
	}
	qsort(sizes, in->count, sizeof(*sizes), compare_sizes);
	/* The largest but one size, so that one message at least is cut. */
	size_t at = in->count - 1;
	while (at > in->count / 2 && sizes[at - 1] == sizes[in->count - 1]) {
		at--;
	}
	const size_t limit = at > 0 ? sizes[at] - 1 : 1;
	free(sizes);
	return limit;
}

static void cuts_what_is_too_long(struct kit *kit)
{
	struct intake in, cut;
	size_t oversize = 0;

	expect(sodium_init() >= 0, "libsodium");
	intake_open(&in, kit);
	intake_expect_all(&in);
	intake_close(&in);

	intake_open(&cut, kit);
	cut.max_message = median_size(&in);
	intake_expect_all(&cut);
	for (size_t i = 0; i < cut.count; i++) {
		size_t at = i;

		if ((cut.items[i].message.flags & BURSAR_MESSAGE_OVERSIZE) ==
		    0) {
			continue;
		}
		oversize++;
		for (size_t k = 0; k < in.count &&
		     cut.items[i].message.origin.data != NULL; k++) {
			if (in.items[k].name == cut.items[i].name) {
				at = k;
			}
		}
		expect_cut(&in.items[at], &cut.items[i].message);
	}
	expect(oversize > 0, "no message is OVERSIZE with a max_message of "
	       "%zu", cut.max_message);
	intake_settle(&cut, 0, cut.count, BURSAR_REFUSED);
	intake_close(&cut);
}

/* --- giving back --------------------------------------------------------- */

static void delivers_again_what_is_returned(struct kit *kit)
{
	struct intake in;

	intake_open(&in, kit);
	intake_read_all(&in, (kit->messages + 1) / 2);
	const size_t read = in.count;
	intake_settle(&in, 0, read, BURSAR_RETURNED);
	in.ended = false;
	intake_read_all(&in, read + kit->messages);
	expect(in.count == read + kit->messages,
	       "%zu messages came after %zu of %zu were given back",
	       in.count - read, read, kit->messages);
	for (size_t i = 0; i < read; i++) {
		expect(intake_times(&in, in.items[i].name, read) >= 1,
		       "message %zu was given back and did not come again",
		       i);
	}
	/* Those that were given back come in the order they had. */
	struct delivered *first = in.items;
	struct intake rest = in;
	rest.items = in.items + read;
	rest.count = kit->messages;
	for (size_t i = 0; i + 1 < read; i++) {
		const size_t next = i + 1;

		if (first[i].message.lane == first[next].message.lane &&
		    first[i].name != first[next].name) {
			size_t a = 0, b = 0;

			while (rest.items[a].name != first[i].name) {
				a++;
			}
			while (rest.items[b].name != first[next].name) {
				b++;
			}
			expect(a < b, "messages %zu and %zu came again in "
			       "another order", i, next);
		}
	}
	intake_settle(&in, read, in.count, BURSAR_STORED);
	intake_close(&in);
}

static void settles_a_part(struct kit *kit)
{
	struct intake in, again;

	intake_open(&in, kit);
	intake_expect_all(&in);
	const size_t half = in.count / 2;
	intake_settle(&in, 0, half, BURSAR_STORED);
	intake_settle(&in, half, in.count, BURSAR_RETURNED);
	intake_close(&in);

	intake_open(&again, kit);
	intake_read_all(&again, SIZE_MAX);
	intake_expect_names(&again, 0, in.items + half, in.count - half,
	                    "after half was stored, the rest given back, and "
	                    "a new open()");
	intake_settle(&again, 0, again.count, BURSAR_STORED);
	intake_close(&again);
}

static void is_parked(struct kit *kit)
{
	struct intake in;

	if (kit->plugin->ops.source->park == NULL) {
		kit_skip("it has no park()");
	}
	intake_open(&in, kit);
	intake_read_all(&in, (kit->messages + 1) / 2);
	intake_settle(&in, 0, in.count, BURSAR_RETURNED);
	in.ops->park(in.source, true);
	poll(NULL, 0, 100);
	in.ops->park(in.source, false);
	intake_forget(&in);
	intake_expect_all(&in);
	intake_settle(&in, 0, in.count, BURSAR_STORED);
	intake_close(&in);
}

const struct kit_check source_checks[] = {
	{ "delivers everything with room for one message",
	  "room: how many more messages are wanted.", reads_one_at_a_time, 60 },
	{ "delivers everything with room for seven messages",
	  "room: how many more messages are wanted.", source_works,
	  60 },
	{ "delivers everything with room for 1024 messages",
	  "room: how many more messages are wanted.", reads_many_at_a_time },
	{ "delivers everything before anything is settled",
	  "The core bounds what is in flight: it gives room.",
	  reads_ahead_of_settlement },
	{ "adds nothing where there is no room",
	  "With batch->room == 0 it does only what keeps a connection alive.",
	  adds_nothing_without_room },
	{ "returns when its deadline has come",
	  "Waits for the first message until `deadline` (us, monotonic).",
	  keeps_deadlines },
	{ "returns when it is woken",
	  "Waits until descriptor `wake` is readable (poll it; do not read "
	  "from it).", wakes_up },
	{ "keeps a message that was not taken",
	  "add() returns false when there is no room: the message was not "
	  "taken, and read() returns DONE with what it has.",
	  keeps_what_was_not_taken, 60 },
	{ "stays at its end",
	  "ended: set by read(): nothing more will ever come.",
	  stays_at_its_end },
	{ "names each message by its place for ever",
	  "(origin, offset) names this one message and no other, also after a "
	  "restart or a rename.", names_its_messages },
	{ "cuts what is longer than max_message",
	  "OVERSIZE: it is longer than max-message: body is its first 64 KB, "
	  "full_size its length, digest its SHA-256 as 64 hex digits.",
	  cuts_what_is_too_long },
	{ "delivers again what is given back, in its order",
	  "RETURNED: given back: deliver it again, later or to somebody else.",
	  delivers_again_what_is_returned },
	{ "delivers what was not stored after a new open",
	  "close() releases the source; what is not settled is delivered again "
	  "by the next open().", settles_a_part },
	{ "goes on after it was parked",
	  "The core will not read for a while (on) or goes on (off).",
	  is_parked },
	{ NULL }
};
