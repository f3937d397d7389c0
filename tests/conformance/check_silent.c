/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A peer that takes connections and says nothing: what a network does that
 * swallows everything.  No call waits for it for ever, and none makes it the
 * fault of a person.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bursar/crypto.h>

#include "intake.h"

#define LATE_US  INT64_C(1000000)	/* after a deadline */
#define WAIT_US  INT64_C(45000000)	/* where there is no deadline */

/* The text with @PEER@ and @PORT@ replaced; never freed. */
static char *with_peer(const char *text, unsigned port)
{
	char *out = calloc(1, strlen(text) + 64);
	char peer[32];
	char *at = out;

	snprintf(peer, sizeof(peer), "127.0.0.1:%u", port);
	while (out != NULL && *text != '\0') {
		const bool is_peer = strncmp(text, "@PEER@", 6) == 0;

		if ((is_peer || strncmp(text, "@PORT@", 6) == 0) &&
		    (size_t)(at - out) + 32 < strlen(text) + 64) {
			const char *word = is_peer ? peer : peer + 10;

			memcpy(at, word, strlen(word));
			at += strlen(word);
			text += 6;
		} else {
			*at++ = *text++;
		}
	}
	return out;
}

static void expect_no_fault(enum bursar_verdict verdict, const char *call,
                            const struct bursar_error *err)
{
	expect(verdict == BURSAR_RETRY || verdict == BURSAR_DOWN,
	       "%s says %s (%s) of a peer that says nothing", call,
	       verdict == BURSAR_CONFIG ? "CONFIG" :
	       verdict == BURSAR_REJECT ? "REJECT" : "DONE", err->text);
	kit_expect_error(err, call);
}

static void expect_in_time(int64_t begun, int64_t limit, const char *call)
{
	const int64_t took = clock_mono_us() - begun;

	expect(took < limit, "%s came back after %lld ms", call,
	       (long long)(took / 1000));
}

/* --- by kind -------------------------------------------------------------- */

static bool take_none(struct bursar_batch *batch,
                      const struct bursar_message *message)
{
	(void)batch, (void)message;
	kit_fail(__FILE__, __LINE__, "a message came from nobody");
}

static void source_bears(struct kit *kit, struct bursar_source *source)
{
	const int64_t waits[] = { 300000, 300000, 1000000, 0, 500000 };

	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		struct bursar_error err = { 0 };
		struct bursar_batch batch = {
			.add = take_none, .room = i == 3 ? 0 : 10,
			.max_message = INTAKE_MAX_MESSAGE,
		};
		int wake[2];

		if (pipe(wake) != 0) {
			kit_broken("a pipe");
		}
		const int64_t begun = clock_mono_us();
		const enum bursar_verdict verdict =
			kit->plugin->ops.source->read(source, &batch, wake[0],
			                              begun + waits[i], &err);
		expect_in_time(begun, waits[i] + LATE_US, "read()");
		if (verdict != BURSAR_DONE) {
			expect_no_fault(verdict, "read()", &err);
		}
		close(wake[0]);
		close(wake[1]);
		if (verdict == BURSAR_DOWN) {
			break;		/* it would be closed now */
		}
	}
}

static void crypto_bears(struct kit *kit, struct bursar_crypto *crypto)
{
	const struct bursar_crypto_ops *ops = kit->plugin->ops.crypto;
	struct bursar_message message = {
		.body = { "c2VhbGVk", 8 },
		.content_encoding = { ops->encodings[0],
		                      strlen(ops->encodings[0]) },
	};
	struct bursar_sealed item = { .message = &message };
	struct bursar_error err = { 0 };
	struct guard_arena arena;

	guard_arena_init(&arena);
	const int64_t begun = clock_mono_us();
	const enum bursar_verdict verdict = ops->unseal(crypto, &item, 1,
	                                                &arena.arena, &err);
	expect_in_time(begun, WAIT_US, "unseal()");
	expect_no_fault(verdict, "unseal()", &err);
	guard_arena_clear(&arena);
}

static void bears_silence(struct kit *kit)
{
	struct kit other = *kit;
	enum bursar_verdict verdict;
	struct bursar_error err = { 0 };
	struct stand stand;
	int fd;

	if (kit->silent_name == NULL) {
		kit_skip("-w names no option with its peer");
	}
	kit_give_only(&other, kit->silent_name,
	              with_peer(kit->silent_value, kit_listen(&fd)));
	stand_init(&stand, &other, INSTANCE_RUN);
	const int64_t begun = clock_mono_us();
	void *handle = stand_open(&stand, &verdict, &err);
	expect_in_time(begun, WAIT_US, "open()");
	if (handle == NULL) {
		expect(kit->kind == BURSAR_SINK || kit->kind == BURSAR_SERVICE,
		       "open() failed: %s", err.text);
		expect_no_fault(kit->kind == BURSAR_SINK ? verdict :
		                BURSAR_RETRY, "open()", &err);
	} else if (kit->kind == BURSAR_SOURCE) {
		source_bears(&other, handle);
	} else if (kit->kind == BURSAR_CRYPTO) {
		crypto_bears(&other, handle);
	} else {
		expect(kit->kind != BURSAR_SINK, "open() did not look at its "
		       "peer");
	}
	const int64_t closing = clock_mono_us();
	if (handle != NULL) {
		stand_close(&stand, handle);
	}
	expect_in_time(closing, WAIT_US, "close()");
	stand_finish(&stand);
	close(fd);
}

const struct kit_check silent_checks[] = {
	{ "bears a peer that says nothing",
	  "read() waits until its deadline; what may come later is RETRY or "
	  "DOWN, and CONFIG only what a person must mend.", bears_silence,
	  120 },
	{ NULL }
};
