/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Memory that is wiped when it is let go: ours from libsodium, and libcurl's,
 * whose copies of tokens and secrets would outlive them otherwise.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <sodium.h>

#include "vault.h"

#define SPARE      64
#define FIRST_ROOM ((size_t)4096)

/* --- ours ---------------------------------------------------------------- */

static int grow(struct vault_text *text, size_t size)
{
	size_t room = text->room > 0 ? text->room : FIRST_ROOM;

	while (room < size) {
		room *= 2;
	}
	char *data = sodium_malloc(room + SPARE);
	if (data == NULL) {
		return ENOMEM;
	}
	if (text->data != NULL) {
		memcpy(data, text->data, text->size);
	}
	memset(data + text->size, 0, room + SPARE - text->size);
	sodium_free(text->data);
	text->data = data;
	text->room = room;
	return 0;
}

int vault_text_add(struct vault_text *text, const void *data, size_t size)
{
	assert(text != NULL && text->limit > 0);

	if (size > text->limit - text->size) {
		return EFBIG;
	}
	if ((text->data == NULL || text->size + size > text->room) &&
	    grow(text, text->size + size) != 0) {
		return ENOMEM;
	}
	if (size > 0) {
		memcpy(text->data + text->size, data, size);
	}
	text->size += size;
	return 0;
}

int vault_text_add_word(struct vault_text *text, const char *word)
{
	return vault_text_add(text, word, strlen(word));
}

void vault_text_clear(struct vault_text *text)
{
	sodium_free(text->data);
	text->data = NULL;
	text->size = 0;
	text->room = 0;
}

/* --- libcurl's ----------------------------------------------------------- */

/* What stands before each block, so that its size is known. */
union head {
	size_t      size;
	max_align_t align;
};

static void *wiping_malloc(size_t size)
{
	union head *head = size > SIZE_MAX - sizeof(*head) ? NULL
	                 : malloc(sizeof(*head) + size);

	if (head == NULL) {
		return NULL;
	}
	head->size = size;
	return head + 1;
}

static void wiping_free(void *block)
{
	union head *head = block;

	if (head != NULL) {
		head--;
		sodium_memzero(head, sizeof(*head) + head->size);
		free(head);
	}
}

static void *wiping_realloc(void *block, size_t size)
{
	void *larger = wiping_malloc(size);

	if (larger == NULL || block == NULL) {
		return larger;
	}
	const size_t old = ((union head *)block)[-1].size;
	memcpy(larger, block, old < size ? old : size);
	wiping_free(block);
	return larger;
}

static void *wiping_calloc(size_t count, size_t size)
{
	if (size > 0 && count > SIZE_MAX / size) {
		return NULL;
	}
	void *block = wiping_malloc(count * size);
	if (block != NULL) {
		memset(block, 0, count * size);
	}
	return block;
}

static char *wiping_strdup(const char *text)
{
	const size_t size = strlen(text) + 1;
	char *copy = wiping_malloc(size);

	if (copy != NULL) {
		memcpy(copy, text, size);
	}
	return copy;
}

static CURLcode started = CURLE_FAILED_INIT;

static void start(void)
{
	if (sodium_init() >= 0) {
		started = curl_global_init_mem(CURL_GLOBAL_DEFAULT,
		                               wiping_malloc, wiping_free,
		                               wiping_realloc, wiping_strdup,
		                               wiping_calloc);
	}
}

/*
 * Instances are opened while threads run, and again by each reload, so that
 * pthread_once() has to see to it that only the first of them starts libcurl.
 * Another module may start it at the same moment: from 7.84 on libcurl has a
 * lock of its own for that, and the first one's memory functions stay.  It is
 * never ended: modules are never unloaded.
 */
int vault_start_curl(struct bursar_error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, start);
	return started == CURLE_OK ? 0 :
		bursar_fail(err, EIO, "libcurl does not start: %s",
		            curl_easy_strerror(started));
}
