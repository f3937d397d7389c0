/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What bursar/source.h asks of a source that is closed, or killed, with
 * messages in flight.
 */
#include "config.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "intake.h"

static void forgets_what_is_settled(struct kit *kit)
{
	static const enum bursar_outcome outcomes[] = {
		BURSAR_STORED, BURSAR_DUPLICATE, BURSAR_CONFLICT,
		BURSAR_REFUSED,
	};
	struct intake in;

	intake_open(&in, kit);
	intake_expect_all(&in);
	for (size_t i = 0; i < in.count; i++) {
		intake_settle(&in, i, i + 1, outcomes[i % 4]);
	}
	intake_read(&in, 50);
	intake_close(&in);
	for (int i = 0; i < 2; i++) {
		struct intake again;

		intake_open(&again, kit);
		intake_read_all(&again, SIZE_MAX);
		expect(again.count == 0, "%zu messages came again after they "
		       "were settled", again.count);
		intake_close(&again);
	}
}

static void keeps_what_is_not_settled(struct kit *kit)
{
	struct intake in, again;

	intake_open(&in, kit);
	in.room = 7;
	intake_expect_all(&in);
	intake_close(&in);

	intake_open(&again, kit);
	intake_expect_all(&again);
	intake_expect_names(&again, 0, in.items, in.count,
	                    "after close() without settle()");
	intake_close(&again);
}

/* What a killed process had read; shared with it. */
struct seen {
	size_t   count;
	size_t   settled;
	uint64_t names[];
};

__attribute__((noreturn))
static void read_and_die(struct kit *kit, struct seen *seen, size_t settle)
{
	struct intake in;

	intake_open(&in, kit);
	in.room = 64;
	intake_expect_all(&in);
	for (size_t i = 0; i < in.count; i++) {
		seen->names[i] = in.items[i].name;
	}
	intake_settle(&in, 0, settle, BURSAR_STORED);
	seen->settled = settle;
	seen->count = in.count;
	raise(SIGKILL);
	_exit(EXIT_FAILURE);
}

static struct seen *run_and_kill(struct kit *kit, size_t settle)
{
	const size_t size = sizeof(struct seen) +
		kit->messages * sizeof(uint64_t);
	struct seen *seen = mmap(NULL, size, PROT_READ | PROT_WRITE,
	                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;

	if (seen == MAP_FAILED) {
		kit_broken("mmap");
	}
	const pid_t child = fork();
	if (child == 0) {
		read_and_die(kit, seen, settle);
	}
	if (child < 0 || waitpid(child, &status, 0) != child) {
		kit_broken("fork");
	}
	if (!WIFSIGNALED(status) || seen->count == 0) {
		kit_breach("it could not read all before it was killed");
		_exit(EXIT_FAILURE);
	}
	return seen;
}

/* The same messages again and again: each time one more may be settled. */
static void delivers_again_after_a_kill(struct kit *kit)
{
	size_t gone = 0;

	for (int i = 0; i < 3; i++) {
		kit->messages -= gone;
		const struct seen *seen = run_and_kill(kit, kit->messages / 2);
		struct intake in;

		intake_open(&in, kit);
		intake_read_all(&in, SIZE_MAX);
		for (size_t k = seen->settled; k < seen->count; k++) {
			expect(intake_times(&in, seen->names[k], 0) > 0,
			       "message %zu was not settled when the process "
			       "was killed, and did not come again", k);
		}
		expect(in.count <= seen->count,
		       "%zu messages came, where %zu are there", in.count,
		       seen->count);
		gone = seen->count - in.count;
		intake_close(&in);
	}
}

const struct kit_check source_crash_checks[] = {
	{ "never delivers again what was settled",
	  "A position, an offset or an acknowledgement moves in settle().",
	  forgets_what_is_settled },
	{ "delivers again what was not settled at close",
	  "close(): what is not settled is delivered again by the next open().",
	  keeps_what_is_not_settled },
	{ "delivers again what was not settled at a kill",
	  "A message is settled after it is durable.  Until then the source "
	  "must be able to deliver it again after a crash.",
	  delivers_again_after_a_kill, 60 },
	{ NULL }
};
