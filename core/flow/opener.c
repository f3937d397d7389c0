/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every column of a row goes to one crypto after another until one opens it;
 * nearly always that is the first, the one that the row names.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "flow/opener.h"

/* One crypto of the setup. */
struct lock {
	const struct setup_item *item;
	struct instance      *instance;
	struct bursar_crypto *crypto;
	struct keyring        keyring;
	bool                  is_open;
	struct bursar_error   why;	/* it could not be opened */
};

struct opener {
	const struct setup *setup;
	struct lock *locks;		/* in the order of setup->crypto */
};

/* --- crypto -------------------------------------------------------------- */

struct opener *opener_create(const struct setup *setup)
{
	struct opener *opener = calloc(1, sizeof(*opener));

	if (opener == NULL) {
		return NULL;
	}
	opener->setup = setup;
	opener->locks = calloc(setup->crypto_count + 1,
	                       sizeof(*opener->locks));
	if (opener->locks == NULL) {
		free(opener);
		return NULL;
	}
	for (size_t i = 0; i < setup->crypto_count; i++) {
		opener->locks[i].item = &setup->crypto[i];
	}
	return opener;
}

void opener_destroy(struct opener *opener)
{
	if (opener == NULL) {
		return;
	}
	for (size_t i = 0; i < opener->setup->crypto_count; i++) {
		struct lock *lock = &opener->locks[i];

		if (lock->is_open) {
			keyring_finish(&lock->keyring);
			lock->keyring.ops->close(lock->crypto);
		}
		instance_destroy(lock->instance);
	}
	free(opener->locks);
	free(opener);
}

/* Once; what could not be opened is not tried for every row. */
static void open_lock(struct opener *opener, struct lock *lock)
{
	const struct bursar_crypto_ops *ops = lock->item->plugin->ops.crypto;
	struct bursar_error why = { 0 };

	if (lock->is_open || lock->why.code != 0) {
		return;
	}
	lock->instance = instance_create(lock->item, opener->setup->state_dir,
	                                 INSTANCE_READ, &why);
	if (lock->instance != NULL) {
		lock->crypto = ops->open(&lock->instance->host, &why);
	}
	if (lock->crypto == NULL) {
		bursar_fail(&lock->why, why.code != 0 ? why.code : EIO,
		            "crypto '%s': %.180s", lock->item->name, why.text);
		return;
	}
	keyring_init(&lock->keyring, lock->item->name, ops, lock->crypto);
	lock->is_open = true;
	(void)keyring_tick(&lock->keyring);
}

struct keyring *opener_keyring(struct opener *opener,
                               const struct setup_item *crypto,
                               struct bursar_error *err)
{
	struct lock *lock = &opener->locks[crypto - opener->setup->crypto];

	open_lock(opener, lock);
	if (!lock->is_open) {
		bursar_fail(err, lock->why.code, "%s", lock->why.text);
		return NULL;
	}
	return &lock->keyring;
}

/* --- a row --------------------------------------------------------------- */

/* A row while its columns are being opened. */
struct work {
	struct opener            *opener;
	const struct opener_row  *row;
	struct opener_body       *bodies;
	struct bursar_message     messages[BODIES_MAX];
	struct bursar_header      headers[BODIES_MAX][BODIES_HEADERS];
	size_t                    count;
	struct arena             *arena;
	struct bursar_error      *why;
};

static bool is_named(const struct setup_item *item, struct bursar_span key)
{
	const size_t size = strlen(item->name);

	return key.size > size && memcmp(key.data, item->name, size) == 0 &&
	       key.data[size] == '/';
}

static bool knows(const struct setup_item *item, struct bursar_span encoding)
{
	const char *const *e = item->plugin->ops.crypto->encodings;

	for (; *e != NULL; e++) {
		if (strlen(*e) == encoding.size &&
		    memcmp(*e, encoding.data, encoding.size) == 0) {
			return true;
		}
	}
	return false;
}

/* The columns that are still closed and that this crypto may open. */
static size_t list(const struct work *w, const struct setup_item *item,
                   struct bursar_sealed *items, size_t *places)
{
	size_t count = 0;

	for (size_t i = 0; i < w->count; i++) {
		if (w->bodies[i].result != OPENED &&
		    w->messages[i].content_encoding.data != NULL &&
		    knows(item, w->messages[i].content_encoding)) {
			items[count] = (struct bursar_sealed){
				.message = &w->messages[i], .proven = true,
			};
			places[count++] = i;
		}
	}
	return count;
}

static void take_result(const struct work *w, struct opener_body *body,
                        const struct bursar_sealed *item)
{
	const struct bodies_place place = {
		.kind = w->row->kind, .field = body->field, .id = w->row->id,
		.derived = (w->row->dq_flags & BURSAR_DQ_ID_DERIVED) != 0,
	};
	struct bursar_span text;

	if (item->result == BURSAR_OPENED && !item->legacy &&
	    bodies_take(&place, item->plain, &text)) {
		body->text = text;
		body->result = OPENED;
	} else if (item->result != BURSAR_NO_KEY) {
		body->result = OPENED_BROKEN;
	}
}

/* -1: memory is short. */
static int try(struct work *w, struct lock *lock, struct bursar_error *err)
{
	struct bursar_sealed items[BODIES_MAX];
	struct bursar_error why = { 0 };
	size_t places[BODIES_MAX];
	const size_t count = list(w, lock->item, items, places);

	if (count == 0) {
		return 0;
	}
	open_lock(w->opener, lock);
	if (!lock->is_open) {
		bursar_fail(w->why, lock->why.code, "%s", lock->why.text);
		return 0;
	}
	if (keyring_unseal(&lock->keyring, items, count, &w->arena->base,
	                   &why) != BURSAR_DONE) {
		if (why.code == ENOMEM) {
			return bursar_fail(err, ENOMEM, "%s", why.text);
		}
		bursar_fail(w->why, EAGAIN, "crypto '%s': %.180s",
		            lock->item->name, why.text);
		return 0;
	}
	for (size_t i = 0; i < count; i++) {
		take_result(w, &w->bodies[places[i]], &items[i]);
	}
	return 0;
}

static int parse(struct work *w, struct bursar_error *err)
{
	for (size_t i = 0; i < w->count; i++) {
		bool memory;

		w->bodies[i].result = OPENED_NO_KEY;
		if (!bodies_parse(w->bodies[i].text, &w->messages[i],
		                  w->headers[i], &w->arena->base, &memory)) {
			w->bodies[i].result = OPENED_BROKEN;
			w->messages[i] = (struct bursar_message){ 0 };
			if (memory) {
				return bursar_fail(err, ENOMEM, "no memory to "
				                   "open a record");
			}
		}
	}
	return 0;
}

int opener_open(struct opener *opener, const struct opener_row *row,
                struct opener_body *bodies, size_t count, struct arena *arena,
                struct bursar_error *why, struct bursar_error *err)
{
	struct work w = { .opener = opener, .row = row, .bodies = bodies,
	                  .count = count, .arena = arena, .why = why };
	int status;

	assert(count <= BODIES_MAX);

	status = parse(&w, err);
	for (int named = 1; named >= 0; named--) {
		for (size_t i = 0; i < opener->setup->crypto_count; i++) {
			struct lock *lock = &opener->locks[i];

			if (status == 0 &&
			    is_named(lock->item, row->sealed_by) == named) {
				status = try(&w, lock, err);
			}
		}
	}
	return status;
}
