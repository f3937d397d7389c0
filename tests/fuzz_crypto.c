/* SPDX-License-Identifier: Apache-2.0 */

/* What the fuzzers of crypto plugins share. */
#include "config.h"

#include <stdbool.h>
#include <string.h>

#include "tests/fuzz_crypto.h"

#define PADDING    64
#define MAX_BLOCKS 16

/*
 * --- host and arena
 */

struct fuzz_host {
	struct bursar_host host;	/* first */
	const struct fuzz_crypto *fuzz;
	struct bursar_span keys;
};

__attribute__((format(printf, 4, 5)))
static void host_log(const struct bursar_host *host, enum bursar_level level,
                     const char *event, const char *fmt, ...)
{
	(void)host, (void)level, (void)event, (void)fmt;
}

static void host_count(const struct bursar_host *host, const char *name,
                       int64_t more)
{
	(void)host, (void)name, (void)more;
}

/* The default, and any length of secret. */
static int64_t host_number(const struct bursar_host *host, const char *name)
{
	const struct fuzz_host *self = (const struct fuzz_host *)host;
	const struct bursar_option *option = self->fuzz->plugin->options;

	while (option->name != NULL && strcmp(option->name, name) != 0) {
		option++;
	}
	FUZZ_REQUIRE(option->name != NULL);
	return option->type == BURSAR_TYPE_FLAG &&
	       strcmp(option->fallback, "true") == 0;
}

static struct bursar_span host_secret(const struct bursar_host *host,
                                      const char *name)
{
	const struct fuzz_host *self = (const struct fuzz_host *)host;

	FUZZ_REQUIRE(strcmp(name, self->fuzz->option) == 0);
	return self->keys;
}

static struct fuzz_host make_host(const struct fuzz_crypto *fuzz,
                                  struct bursar_span keys)
{
	return (struct fuzz_host){
		.host = {
			.name = "fuzz", .log = host_log, .count = host_count,
			.number = host_number, .secret = host_secret,
		},
		.fuzz = fuzz,
		.keys = keys,
	};
}

struct fuzz_arena {
	struct bursar_arena arena;	/* first */
	void  *blocks[MAX_BLOCKS];
	size_t count;
};

static void *arena_alloc(struct bursar_arena *arena, size_t size)
{
	struct fuzz_arena *fuzz = (struct fuzz_arena *)arena;

	FUZZ_REQUIRE(size > 0 && fuzz->count < MAX_BLOCKS);
	fuzz->blocks[fuzz->count] = malloc(size + PADDING);
	FUZZ_REQUIRE(fuzz->blocks[fuzz->count] != NULL);
	return fuzz->blocks[fuzz->count++];
}

static void arena_clear(struct fuzz_arena *arena)
{
	while (arena->count > 0) {
		free(arena->blocks[--arena->count]);
	}
}

/*
 * --- inputs
 */

static void fuzz_keys(const struct fuzz_crypto *fuzz, struct bursar_span keys)
{
	const struct bursar_crypto_ops *ops = fuzz->plugin->ops.crypto;
	const struct fuzz_host host = make_host(fuzz, keys);
	struct bursar_error err = { 0 };
	struct bursar_crypto *crypto = ops->open(&host.host, &err);

	FUZZ_REQUIRE((crypto == NULL) == (err.code != 0));
	FUZZ_REQUIRE(strchr(err.text, '\n') == NULL);
	ops->close(crypto);
}

static struct bursar_span take_line(struct bursar_span *text)
{
	const char *end = text->size > 0
	                ? memchr(text->data, '\n', text->size) : NULL;
	const struct bursar_span line = {
		text->data, end ? (size_t)(end - text->data) : text->size,
	};
	const size_t used = line.size + (end != NULL);

	text->data += used;
	text->size -= used;
	return line;
}

static size_t add_header(struct bursar_header *headers, size_t count,
                         const char *name, struct bursar_span value)
{
	if (value.size == 0) {
		return count;
	}
	headers[count] = (struct bursar_header){
		{ name, strlen(name) }, value,
	};
	return count + 1;
}

static void require_sound(const struct fuzz_crypto *fuzz,
                          const struct bursar_sealed *item)
{
	const size_t size = strlen(fuzz->plain);

	if (item->result != BURSAR_OPENED) {
		FUZZ_REQUIRE(item->plain.data == NULL);
		FUZZ_REQUIRE(item->result == BURSAR_BROKEN ||
		             item->result == BURSAR_NO_KEY);
		return;
	}
	FUZZ_REQUIRE(item->plain.data != NULL && item->plain.size > 0);
	FUZZ_REQUIRE(item->legacy ||
	             (item->plain.size == size &&
	              memcmp(item->plain.data, fuzz->plain, size) == 0));
}

static void fuzz_message(const struct fuzz_crypto *fuzz,
                         struct bursar_span input)
{
	static struct fuzz_host host;
	static struct bursar_crypto *crypto;
	const struct bursar_crypto_ops *ops = fuzz->plugin->ops.crypto;
	struct fuzz_arena arena = { .arena.alloc = arena_alloc };
	struct bursar_header headers[2];
	struct bursar_message message = {
		.content_encoding = take_line(&input), .headers = headers,
	};
	struct bursar_sealed item = { .message = &message };

	if (crypto == NULL) {
		host = make_host(fuzz, (struct bursar_span){
			fuzz->keys, strlen(fuzz->keys),
		});
		crypto = ops->open(&host.host, NULL);
		FUZZ_REQUIRE(crypto != NULL);
	}
	message.header_count = add_header(headers, 0, "iv", take_line(&input));
	message.header_count = add_header(headers, message.header_count,
	                                  "x-bursar-key-id", take_line(&input));
	message.body = input;
	FUZZ_REQUIRE(ops->unseal(crypto, &item, 1, &arena.arena, NULL) ==
	             BURSAR_DONE);
	require_sound(fuzz, &item);
	arena_clear(&arena);
}

void fuzz_crypto(const struct fuzz_crypto *fuzz, const uint8_t *data,
                 size_t size)
{
	const struct bursar_span input = { (const char *)data, size };

	if (size > 0 && data[0] == 'K') {
		fuzz_keys(fuzz, (struct bursar_span){
			input.data + 1, size - 1,
		});
	} else {
		fuzz_message(fuzz, input);
	}
}
