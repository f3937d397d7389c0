/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A peer that takes connections and says nothing: what a network does that
 * swallows everything.  No call waits for it for ever, and none makes it the
 * fault of a person.
 */
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "intake.h"
#include "silent.h"

void silent_give(struct kit *kit, unsigned port)
{
	char number[16], peer[32];
	const struct kit_word words[] = { { "@PEER@", peer },
	                                  { "@PORT@", number } };

	snprintf(number, sizeof(number), "%u", port);
	snprintf(peer, sizeof(peer), "127.0.0.1:%u", port);
	/* Never freed. */
	kit_give_only(kit, kit->silent_name,
	              kit_replace(kit->silent_value, words));
}

void silent_expect_no_fault(enum bursar_verdict verdict, const char *call,
                            const struct bursar_error *err)
{
	expect(verdict == BURSAR_RETRY || verdict == BURSAR_DOWN,
	       "%s says %s (%s) of a peer that says nothing", call,
	       verdict == BURSAR_CONFIG ? "CONFIG" :
	       verdict == BURSAR_REJECT ? "REJECT" : "DONE", err->text);
	kit_expect_error(err, call);
}

void silent_expect_in_time(int64_t begun, int64_t limit_us, const char *call)
{
	const int64_t took = clock_mono_us() - begun;

	expect(took < limit_us, "%s came back after %lld ms", call,
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
		silent_expect_in_time(begun, waits[i] + LATE_US, "read()");
		if (verdict != BURSAR_DONE) {
			silent_expect_no_fault(verdict, "read()", &err);
		}
		close(wake[0]);
		close(wake[1]);
		if (verdict == BURSAR_DOWN) {
			break;		/* it would be closed now */
		}
	}
}

enum bursar_verdict silent_unseal(const struct bursar_crypto_ops *ops,
                                  struct bursar_crypto *crypto,
                                  struct bursar_error *err)
{
	struct bursar_message message = {
		.body = { "c2VhbGVk", 8 },
		.content_encoding = { ops->encodings[0],
		                      strlen(ops->encodings[0]) },
	};
	struct bursar_sealed item = { .message = &message };
	struct guard_arena arena;

	guard_arena_init(&arena);
	const int64_t begun = clock_mono_us();
	const enum bursar_verdict verdict = ops->unseal(crypto, &item, 1,
	                                                &arena.arena, err);
	silent_expect_in_time(begun, WAIT_US, "unseal()");
	guard_arena_clear(&arena);
	return verdict;
}

static void crypto_bears(struct kit *kit, struct bursar_crypto *crypto)
{
	struct bursar_error err = { 0 };
	const enum bursar_verdict verdict =
		silent_unseal(kit->plugin->ops.crypto, crypto, &err);

	silent_expect_no_fault(verdict, "unseal()", &err);
}

/* One who comes to the plugin, which listens by then. */
static int visit(unsigned port)
{
	const struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)&address,
	                      sizeof(address)) != 0) {
		kit_broken("a connection to the plugin");
	}
	return fd;
}

/* With an instance, or the reason why there is none. */
static void bears(struct kit *kit, void *handle, enum bursar_verdict verdict,
                  const struct bursar_error *err)
{
	if (handle == NULL) {
		expect(kit->kind == BURSAR_SINK || kit->kind == BURSAR_SERVICE,
		       "open() failed: %s", err->text);
		silent_expect_no_fault(kit->kind == BURSAR_SINK ? verdict :
		                       BURSAR_RETRY, "open()", err);
	} else if (kit->kind == BURSAR_SOURCE) {
		source_bears(kit, handle);
	} else if (kit->kind == BURSAR_CRYPTO) {
		crypto_bears(kit, handle);
	} else {
		expect(kit->kind != BURSAR_SINK, "open() did not look at its "
		       "peer");
	}
}

static void bears_silence(struct kit *kit)
{
	struct kit other = *kit;
	enum bursar_verdict verdict;
	struct bursar_error err = { 0 };
	struct stand stand;
	int fd = -1;

	if (kit->silent_name == NULL) {
		kit_skip("-w names no option with its peer");
	}
	const unsigned port = kit->peer_comes ? kit_free_port()
	                                      : kit_listen(&fd);
	silent_give(&other, port);
	stand_init(&stand, &other, INSTANCE_RUN);
	const int64_t begun = clock_mono_us();
	void *handle = stand_open(&stand, &verdict, &err);
	silent_expect_in_time(begun, WAIT_US, "open()");
	if (handle != NULL && kit->peer_comes) {
		bears(&other, handle, verdict, &err);
		fd = visit(port);
	}
	bears(&other, handle, verdict, &err);
	const int64_t closing = clock_mono_us();
	if (handle != NULL) {
		stand_close(&stand, handle);
	}
	silent_expect_in_time(closing, WAIT_US, "close()");
	stand_finish(&stand);
	if (fd >= 0) {
		close(fd);
	}
}

const struct kit_check silent_checks[] = {
	{ "bears a peer that says nothing",
	  "read() waits until its deadline; what may come later is RETRY or "
	  "DOWN, and CONFIG only what a person must mend.", bears_silence,
	  120 },
	{ NULL }
};
