/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <assert.h>
#include <errno.h>

#include "cluster_items.h"

static void note(struct cluster_use *use, const struct cluster_opened *opened)
{
	const struct bursar_host *host = use->host;

	if (opened->which > 0) {
		host->count(host, "older_key_messages_total", 1);
	}
	if (!opened->legacy) {
		return;
	}
	host->count(host, "legacy_messages_total", 1);
	if (!use->cbc_was_seen) {
		use->cbc_was_seen = true;
		host->log(host, BURSAR_WARNING, "legacy-cbc-opened",
		          "remedy=\"have producers seal with GCM, then set "
		          "allow-legacy-cbc to false\"");
	}
}

enum cluster_result cluster_unseal_item(struct cluster_use *use,
                                        struct cluster_ring *ring,
                                        struct bursar_sealed *item,
                                        struct bursar_arena *arena)
{
	assert(use != NULL && ring != NULL && item != NULL && arena != NULL);

	const struct bursar_message *message = item->message;
	struct cluster_opened opened = { 0 };
	const enum cluster_result result =
		cluster_ring_unseal(ring, message->body,
		                    bursar_header_get(message, "iv"),
		                    use->allow_cbc && !item->proven, arena,
		                    &opened);

	if (result == CLUSTER_OPENED) {
		note(use, &opened);
	}
	item->result = result == CLUSTER_OPENED ? BURSAR_OPENED : BURSAR_BROKEN;
	item->plain = opened.plain;
	item->legacy = opened.legacy;
	return result;
}

enum bursar_verdict cluster_seal_item(struct cluster_ring *ring,
                                      struct bursar_span plain,
                                      struct bursar_seal *out,
                                      struct bursar_arena *arena,
                                      struct bursar_error *err)
{
	struct bursar_span iv;

	assert(ring != NULL && out != NULL && arena != NULL);

	*out = (struct bursar_seal){ .encoding = CLUSTER_ENCODING };
	const int made = cluster_ring_seal(ring, plain, arena, &out->body, &iv,
	                                   err);
	cluster_ring_rest(ring);
	if (made != 0) {
		return BURSAR_RETRY;
	}
	out->headers[0] = (struct bursar_header){ { "iv", 2 }, iv };
	out->header_count = 1;
	out->key_id = cluster_ring_copy_id(ring, arena);
	if (out->key_id.data == NULL) {
		bursar_fail(err, ENOMEM, "no memory to seal");
		return BURSAR_RETRY;
	}
	return BURSAR_DONE;
}

bool cluster_may_seal(struct bursar_span plain, size_t most,
                      struct bursar_error *err)
{
	if (plain.size == 0) {
		bursar_fail(err, EINVAL, "an empty text cannot be sealed");
		return false;
	}
	if (plain.size > most) {
		bursar_fail(err, EINVAL, "the text is too long to be sealed");
		return false;
	}
	return true;
}
