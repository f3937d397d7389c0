/* SPDX-License-Identifier: Apache-2.0 */

/* What bursar/plugin.h asks of threads: which they are, and how many. */
#include "config.h"

#include <pthread.h>
#include <string.h>

#include "kit.h"

static void work(struct kit *kit)
{
	static void (*const works[BURSAR_PLUGIN_KINDS])(struct kit *) = {
		[BURSAR_SOURCE] = source_works, [BURSAR_CRYPTO] = crypto_works,
		[BURSAR_FORMAT] = format_works, [BURSAR_SINK] = sink_works,
		[BURSAR_SERVICE] = service_works,
	};

	works[kit->kind](kit);
}

static void works_from_any_thread(struct kit *kit)
{
	relay_from_any_thread();
	work(kit);
}

/* --- several instances --------------------------------------------------- */

static void *work_in_thread(void *kit)
{
	work(kit);
	return NULL;
}

/* What is read from, or listened at, can be had once. */
static void needs_two_places(const struct kit *kit)
{
	bool differs = kit->given_count == 0;

	for (size_t i = 0; i < kit->given_count; i++) {
		differs = differs ||
			strstr(kit->given[i].value, "@DIR@") != NULL ||
			strstr(kit->given[i].value, "@FREE@") != NULL;
	}
	if (!differs && (kit->kind == BURSAR_SOURCE ||
	                 kit->kind == BURSAR_SERVICE)) {
		kit_skip("no -o holds @DIR@ or @FREE@, so that both would be "
		         "at one place");
	}
}

/* A lock, say, is for one of them. */
static void needs_room_for_two(struct kit *first, struct kit *second)
{
	struct kit *const kits[] = { first, second };
	struct bursar_error err = { 0 };
	enum bursar_verdict verdict;
	struct stand stands[2];
	void *handles[2];

	for (size_t i = 0; i < 2; i++) {
		stand_init(&stands[i], kits[i], INSTANCE_RUN);
		handles[i] = stand_open(&stands[i], &verdict, &err);
	}
	if (handles[0] == NULL || handles[1] == NULL) {
		kit_skip("there is no second one: %s", err.text);
	}
	for (size_t i = 0; i < 2; i++) {
		stand_close(&stands[i], handles[i]);
		stand_finish(&stands[i]);
	}
}

static void works_beside_another(struct kit *kit)
{
	struct kit other = kit_beside(kit, "beside");
	pthread_t threads[2];

	needs_two_places(kit);
	kit_prepare(&other);
	needs_room_for_two(kit, &other);
	relay_meet_when_open(2);
	if (pthread_create(&threads[0], NULL, work_in_thread, kit) != 0 ||
	    pthread_create(&threads[1], NULL, work_in_thread, &other) != 0) {
		kit_broken("threads");
	}
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
}

const struct kit_check thread_checks[] = {
	{ "works whichever threads its calls come from",
	  "Calls on one instance never overlap, but may come from different "
	  "threads.", works_from_any_thread, 60 },
	{ "works while another instance does",
	  "Calls on different instances may run at the same time; state is "
	  "kept in the instance and not in static variables.",
	  works_beside_another, 60 },
	{ NULL }
};
