/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A peer that falls silent in the middle of a talk: a proxy stands before the
 * real one and swallows everything from some byte on.  What a whole talk says
 * is counted first; then several talks end at different places, at the same
 * time and each in a process of its own.  No call waits for ever, none makes it
 * the fault of a person, and when the peer speaks again nothing was lost.
 */
#include "config.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/proxy.h"

#include "intake.h"
#include "records.h"
#include "silent.h"

#define NEVER   INT64_C(-1)	/* the peer goes on talking */
#define OPENED  INT64_C(-2)	/* silent as soon as open() has returned */
#define MOMENTS 6		/* at which talks end */
#define TALKS   (MOMENTS + 2)	/* and two that go on, the first of which
				 * makes what is missing */

#define BATCHES 3		/* a sink is offered so many ... */
#define RECORDS 40		/* ... of that size */
#define ROUNDS  3		/* of a crypto */
#define READ_MS 300
#define QUIET   8		/* reads without a message end a talk */

/* One talk; shared with the process that holds it. */
struct talk {
	int64_t at;		/* bytes from the peer, NEVER or OPENED */
	int64_t heard;		/* what the peer said before it fell silent */
	bool    fell;		/* it came so far */
};

/* What a talk is held with. */
struct line {
	struct kit    kit;	/* gives the plugin the proxy for its peer */
	struct proxy *proxy;
	struct talk  *talk;
};

/* --- the line ------------------------------------------------------------- */

/* What the peer says goes down to the plugin, or up where it comes to it. */
static void arm(struct line *line, int64_t at)
{
	const bool comes = line->kit.peer_comes;

	proxy_arm(line->proxy, comes ? at : -1, comes ? -1 : at,
	          PROXY_SWALLOW);
}

static void line_init(struct line *line, const struct kit *kit,
                      struct talk *talk)
{
	line->kit = *kit;
	line->talk = talk;
	if (kit->peer_comes) {
		const unsigned port = kit_free_port();

		line->proxy = proxy_create_at((int)kit->port, (int)port);
		silent_give(&line->kit, port);
	} else {
		line->proxy = proxy_create((int)kit->peer_port);
		silent_give(&line->kit, (unsigned)proxy_port(line->proxy));
	}
	arm(line, talk->at < 0 ? NEVER : talk->at);
}

static void has_opened(struct line *line)
{
	if (line->talk->at == OPENED) {
		proxy_arm(line->proxy, 0, 0, PROXY_SWALLOW);
	}
}

/* Ends the silence, if there was one. */
static void speak_again(struct line *line)
{
	line->talk->heard = line->kit.peer_comes ? proxy_up(line->proxy)
	                                         : proxy_down(line->proxy);
	line->talk->fell = proxy_ended(line->proxy);
	proxy_disarm(line->proxy);
}

/* --- a source -------------------------------------------------------------- */

static void open_source(struct line *line, struct intake *in)
{
	const int64_t begun = clock_mono_us();

	intake_open(in, &line->kit);
	silent_expect_in_time(begun, WAIT_US, "open()");
}

static void close_source(struct intake *in)
{
	const int64_t begun = clock_mono_us();

	intake_close(in);
	silent_expect_in_time(begun, WAIT_US, "close()");
}

static bool may_go_on(enum bursar_verdict verdict, const char *call,
                      const struct bursar_error *err)
{
	if (verdict != BURSAR_DONE) {
		silent_expect_no_fault(verdict, call, err);
	}
	return verdict != BURSAR_DOWN;
}

/* Reads and settles until all came, nothing comes any more, or it is DOWN. */
static void read_and_settle(struct intake *in, int quiet_reads)
{
	struct bursar_error err;
	int quiet = 0;

	while (quiet < quiet_reads && in->count < in->kit->messages) {
		const size_t before = in->count;
		int64_t begun = clock_mono_us();
		enum bursar_verdict verdict = intake_ask(in, READ_MS, &err);

		silent_expect_in_time(begun, READ_MS * 1000 + LATE_US,
		                      "read()");
		if (!may_go_on(verdict, "read()", &err)) {
			break;
		}
		quiet = in->added > 0 ? 0 : quiet + 1;
		if (in->added == 0) {
			continue;
		}
		begun = clock_mono_us();
		verdict = intake_tell(in, before, in->count, BURSAR_STORED,
		                      &err);
		silent_expect_in_time(begun, 1000000 + LATE_US, "settle()");
		if (!may_go_on(verdict, "settle()", &err)) {
			break;
		}
	}
}

/* Messages that were settled then, and those that come now. */
static size_t count_all(const struct intake *then, const struct intake *now)
{
	size_t count = 0;

	for (size_t i = 0; i < now->count; i++) {
		count += intake_times(now, now->items[i].name, i + 1) == 0;
	}
	for (size_t i = 0; i < then->count; i++) {
		const uint64_t name = then->items[i].name;

		count += then->items[i].settled &&
			intake_times(now, name, 0) == 0 &&
			intake_times(then, name, i + 1) == 0;
	}
	return count;
}

static void talk_to_source(struct line *line)
{
	struct intake then, now;

	open_source(line, &then);
	then.room = 7;
	has_opened(line);
	read_and_settle(&then, QUIET);
	close_source(&then);
	speak_again(line);

	open_source(line, &now);
	read_and_settle(&now, 3 * QUIET);
	const size_t all = count_all(&then, &now);
	expect(all == line->kit.messages, "%zu messages of %zu came in the end",
	       all, line->kit.messages);
	close_source(&now);
}

/* --- a sink ---------------------------------------------------------------- */

struct ledger {
	struct batch batches[BATCHES];
	bool         done[BATCHES];
};

static void fill(struct ledger *ledger, const struct line *line,
                 const struct bursar_host *host)
{
	const char *dir = strrchr(line->kit.dir, '/') + 1;

	for (size_t i = 0; i < BATCHES; i++) {
		char tag[PATH_MAX];

		snprintf(tag, sizeof(tag), "%s-%zu", dir, i);
		batch_fill(&ledger->batches[i], host, tag, RECORDS);
	}
}

/* Whether it is only in the way of another talk, whose end the server has not
 * noticed yet. */
static bool is_in_the_way(const struct line *line, enum bursar_verdict verdict,
                          int64_t until)
{
	return verdict == BURSAR_RETRY && !proxy_ended(line->proxy) &&
	       clock_mono_us() < until;
}

static void *open_sink(struct line *line, struct stand *stand,
                       enum bursar_verdict *verdict, struct bursar_error *err)
{
	const int64_t until = clock_mono_us() + WAIT_US;
	void *sink;

	do {
		const int64_t begun = clock_mono_us();

		*err = (struct bursar_error){ 0 };
		sink = stand_open(stand, verdict, err);
		silent_expect_in_time(begun, WAIT_US, "open()");
	} while (sink == NULL && is_in_the_way(line, *verdict, until));
	return sink;
}

static enum bursar_verdict offer(struct line *line, struct open_sink *open,
                                 struct batch *batch, struct bursar_error *err)
{
	const int64_t until = clock_mono_us() + WAIT_US;
	enum bursar_verdict verdict;

	do {
		const int64_t begun = clock_mono_us();

		*err = (struct bursar_error){ 0 };
		verdict = sink_offer(open, batch, err);
		silent_expect_in_time(begun, WAIT_US, "write()");
	} while (is_in_the_way(line, verdict, until));
	return verdict;
}

static void write_until_silent(struct line *line, struct ledger *ledger)
{
	struct open_sink open = { .kit = &line->kit,
	                          .ops = line->kit.plugin->ops.sink };
	enum bursar_verdict verdict;
	struct bursar_error err = { 0 };

	stand_init(&open.stand, &line->kit, INSTANCE_RUN);
	fill(ledger, line, open.stand.host);
	open.sink = open_sink(line, &open.stand, &verdict, &err);
	if (open.sink == NULL) {
		silent_expect_no_fault(verdict, "open()", &err);
		stand_finish(&open.stand);
		return;
	}
	has_opened(line);
	for (size_t i = 0; i < BATCHES; i++) {
		verdict = offer(line, &open, &ledger->batches[i], &err);
		ledger->done[i] = verdict == BURSAR_DONE;
		if (!ledger->done[i]) {
			silent_expect_no_fault(verdict, "write()", &err);
			break;
		}
	}
	const int64_t begun = clock_mono_us();
	sink_close(&open);
	silent_expect_in_time(begun, WAIT_US, "close()");
}

static void talk_to_sink(struct line *line)
{
	struct ledger ledger = { 0 };
	struct open_sink open;

	write_until_silent(line, &ledger);
	speak_again(line);

	sink_open_to(&open, &line->kit, BURSAR_WRITE);
	for (size_t i = 0; i < BATCHES; i++) {
		struct batch *batch = &ledger.batches[i];
		struct bursar_error err;
		const enum bursar_verdict verdict =
			offer(line, &open, batch, &err);

		expect(verdict == BURSAR_DONE, "write() says %s when the peer "
		       "is back: %s", verdict_name(verdict), err.text);
		if (line->kit.keeps_nothing) {
			continue;
		}
		batch_expect_all(batch, ledger.done[i] ? BURSAR_DUPLICATE :
		                 batch->outcomes[0], "after the silence");
	}
	sink_close(&open);
}

/* --- a crypto -------------------------------------------------------------- */

/* Seals a text and opens it, or opens what makes no sense. */
static enum bursar_verdict ask_crypto(const struct bursar_crypto_ops *ops,
                                      struct bursar_crypto *crypto,
                                      struct bursar_error *err)
{
	const struct bursar_span text = { "some text to be sealed", 22 };
	struct bursar_seal out = { 0 };
	struct guard_arena arena;

	if (ops->seal == NULL) {
		return silent_unseal(ops, crypto, err);
	}
	guard_arena_init(&arena);
	int64_t begun = clock_mono_us();
	enum bursar_verdict verdict = ops->seal(crypto, text, &out,
	                                        &arena.arena, err);
	silent_expect_in_time(begun, WAIT_US, "seal()");
	if (verdict == BURSAR_DONE) {
		const struct bursar_message message = {
			.body = out.body, .headers = out.headers,
			.header_count = out.header_count,
			.content_encoding = { out.encoding,
			                      strlen(out.encoding) },
		};
		struct bursar_sealed item = { .message = &message };

		begun = clock_mono_us();
		verdict = ops->unseal(crypto, &item, 1, &arena.arena, err);
		silent_expect_in_time(begun, WAIT_US, "unseal()");
		expect(verdict != BURSAR_DONE || item.result == BURSAR_OPENED,
		       "what it sealed is not opened: %d", (int)item.result);
	}
	guard_arena_clear(&arena);
	return verdict;
}

static void tick(const struct bursar_crypto_ops *ops,
                 struct bursar_crypto *crypto)
{
	bool usable = true;

	if (ops->tick != NULL) {
		const int64_t begun = clock_mono_us();

		ops->tick(crypto, &usable);
		silent_expect_in_time(begun, WAIT_US, "tick()");
	}
}

/* Asks it until it answers so often, or gave up; returns the last verdict. */
static enum bursar_verdict ask_often(struct line *line, int rounds,
                                     bool patient)
{
	const struct bursar_crypto_ops *ops = line->kit.plugin->ops.crypto;
	const int64_t until = clock_mono_us() + WAIT_US;
	enum bursar_verdict verdict = BURSAR_DONE;
	struct bursar_error err = { 0 };
	struct stand stand;

	stand_init(&stand, &line->kit, INSTANCE_RUN);
	int64_t begun = clock_mono_us();
	void *crypto = stand_open(&stand, &verdict, &err);
	silent_expect_in_time(begun, WAIT_US, "open()");
	expect(crypto != NULL, "open() failed: %s", err.text);
	has_opened(line);
	while (rounds > 0) {
		err = (struct bursar_error){ 0 };
		tick(ops, crypto);
		verdict = ask_crypto(ops, crypto, &err);
		if (verdict == BURSAR_DONE) {
			rounds--;
			continue;
		}
		silent_expect_no_fault(verdict, "seal() or unseal()", &err);
		if (!patient || clock_mono_us() > until) {
			break;
		}
		poll(NULL, 0, 50);
	}
	begun = clock_mono_us();
	stand_close(&stand, crypto);
	silent_expect_in_time(begun, WAIT_US, "close()");
	stand_finish(&stand);
	return verdict;
}

static void talk_to_crypto(struct line *line)
{
	ask_often(line, ROUNDS, false);
	speak_again(line);
	line->talk->at = NEVER;
	expect(ask_often(line, 1, true) == BURSAR_DONE,
	       "its peer is back, and it has no key");
}

/* --- talks ------------------------------------------------------------------ */

/* Other kinds have no peer whom they wait for. */
static void (*const talk_to[BURSAR_PLUGIN_KINDS])(struct line *) = {
	[BURSAR_SOURCE] = talk_to_source,
	[BURSAR_SINK] = talk_to_sink,
	[BURSAR_CRYPTO] = talk_to_crypto,
};

static void hold(const struct kit *kit, struct talk *talk)
{
	struct line line;

	line_init(&line, kit, talk);
	talk_to[kit->kind](&line);
	proxy_destroy(line.proxy);
}

static pid_t begin(const struct kit *kit, struct talk *talk)
{
	const pid_t child = fork();

	if (child < 0) {
		kit_broken("fork");
	}
	if (child == 0) {
		if (chdir(kit->dir) != 0) {
			kit_broken(kit->dir);
		}
		hold(kit, talk);
		_exit(EXIT_SUCCESS);
	}
	return child;
}

/* Folders are prepared before any talk, as they may share a database. */
static void make_folders(const struct kit *kit, struct kit *kits)
{
	for (size_t i = 0; i < TALKS; i++) {
		char name[20];

		snprintf(name, sizeof(name), "talk-%zu", i);
		kits[i] = kit_beside(kit, name);
		kit_prepare(&kits[i]);
	}
}

/* How many bytes a peer says that does not fall silent. */
static int64_t listen_to_all(const struct kit *kits, struct talk *talks)
{
	for (size_t i = MOMENTS; i < TALKS; i++) {
		talks[i].at = NEVER;
		kit_wait(begin(&kits[i], &talks[i]));
	}
	const int64_t all = talks[TALKS - 1].heard;
	expect(all >= 4, "%lld bytes came from the peer: is it at -W?",
	       (long long)all);
	return all;
}

static void bears_a_peer_that_falls_silent(struct kit *kit)
{
	static struct kit kits[TALKS];
	struct talk *talks = mmap(NULL, sizeof(*talks) * TALKS,
	                          PROT_READ | PROT_WRITE,
	                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t children[MOMENTS];
	int fell = 0;

	if (kit->silent_name == NULL || talk_to[kit->kind] == NULL ||
	    (kit->peer_port == 0 && !kit->peer_comes)) {
		kit_skip("-W tells no peer that talks");
	}
	if (talks == MAP_FAILED) {
		kit_broken("mmap");
	}
	make_folders(kit, kits);
	const int64_t all = listen_to_all(kits, talks);
	const int64_t moments[MOMENTS] = {
		OPENED, 1, all / 4, all / 2, all * 3 / 4, all - 1,
	};
	for (size_t i = 0; i < MOMENTS; i++) {
		talks[i].at = moments[i];
		children[i] = begin(&kits[i], &talks[i]);
	}
	for (size_t i = 0; i < MOMENTS; i++) {
		kit_wait(children[i]);
		fell += talks[i].fell;
	}
	expect(fell >= MOMENTS - 2, "the peer fell silent %d times of %d: the "
	       "plugin did not talk with it", fell, MOMENTS);
	kit_remark("fell silent %d times in a talk of %lld bytes", fell,
	           (long long)all);
}

const struct kit_check fading_checks[] = {
	{ "bears a peer that falls silent",
	  "No call waits for a peer for ever; what may come later is RETRY or "
	  "DOWN, and what was not settled or stored is there when the peer is "
	  "back.", bears_a_peer_that_falls_silent, 150 },
	{ NULL }
};
