/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Messages sealed and opened by hand.
 *
 * One message is in memory at a time, and no line is longer than the longest
 * message that the configuration allows, as an envelope.
 */
#include "config.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "cmd/sealing.h"
#include "common/base64.h"

#define PADDING     64		/* readable bytes behind a body */
#define MAX_HEADERS 256
#define ENVELOPE    (256u << 10)	/* of a line, beside the body */

/*
 * --- memory of one message
 */

struct block {
	struct block *next;
	_Alignas(max_align_t) char bytes[];
};

struct scratch {
	struct bursar_arena arena;	/* first */
	struct block *blocks;
};

static void *scratch_alloc(struct bursar_arena *arena, size_t size)
{
	struct scratch *scratch = (struct scratch *)arena;
	struct block *block = malloc(sizeof(*block) + size + PADDING);

	if (block == NULL) {
		return NULL;
	}
	memset(block->bytes + size, 0, PADDING);
	block->next = scratch->blocks;
	scratch->blocks = block;
	return block->bytes;
}

static void scratch_clear(struct scratch *scratch)
{
	while (scratch->blocks != NULL) {
		struct block *block = scratch->blocks;

		scratch->blocks = block->next;
		free(block);
	}
}

/*
 * --- reading
 */

struct line {
	char  *data;
	size_t size;
	size_t room;
	size_t limit;
	size_t number;		/* from 1 */
};

enum line_read { LINE_READ, LINE_LONG, LINE_END, LINE_FAILED };

static bool append(struct line *line, char c)
{
	if (line->size == line->room) {
		const size_t room = line->room > 0 ? 2 * line->room : 4096;
		char *data = realloc(line->data, room);

		if (data == NULL) {
			return false;
		}
		line->data = data;
		line->room = room;
	}
	line->data[line->size++] = c;
	return true;
}

/* Reads up to `end`, a character or EOF, and leaves that away. */
static enum line_read read_up_to(struct line *line, FILE *in, int end)
{
	bool fits = true;
	int c;

	line->size = 0;
	line->number++;
	while ((c = getc_unlocked(in)) != EOF && c != end) {
		fits = fits && line->size < line->limit;
		if (fits && !append(line, (char)c)) {
			return LINE_FAILED;
		}
	}
	if (ferror(in)) {
		return LINE_FAILED;
	}
	if (c == EOF && line->size == 0 && fits) {
		return LINE_END;
	}
	return fits ? LINE_READ : LINE_LONG;
}

/*
 * --- sealing
 */

static json_t *text_json(struct bursar_span text)
{
	return json_stringn(text.data, text.size);
}

static int add_word(json_t *object, const char *name, const char *word)
{
	return word == NULL ? 0
	     : json_object_set_new(object, name, json_string(word));
}

static json_t *headers_json(const struct bursar_seal *seal)
{
	json_t *headers = json_object();

	for (size_t i = 0; headers != NULL && i < seal->header_count; i++) {
		const struct bursar_header *header = &seal->headers[i];
		char name[128];

		snprintf(name, sizeof(name), "%.*s", (int)header->name.size,
		         header->name.data);
		if (json_object_set_new(headers, name,
		                        text_json(header->value)) != 0) {
			json_decref(headers);
			return NULL;
		}
	}
	return headers;
}

/* NULL: out of memory, or a text that is not UTF-8. */
static json_t *envelope_json(const struct bursar_seal *seal,
                             const struct sealing_words *words,
                             struct bursar_arena *arena)
{
	json_t *properties = json_pack("{s:s}", "content_encoding",
	                               seal->encoding);
	json_t *envelope = json_object();
	const size_t size = base64_encoded_size(seal->body.size);
	char *text = arena->alloc(arena, size);

	if (text == NULL || properties == NULL || envelope == NULL) {
		goto fail;
	}
	base64_encode(seal->body.data, seal->body.size, text);
	if (add_word(properties, "message_id", words->message_id) != 0 ||
	    add_word(envelope, "kind", words->kind) != 0 ||
	    json_object_set(envelope, "properties", properties) != 0 ||
	    json_object_set_new(envelope, "headers", headers_json(seal)) != 0 ||
	    json_object_set_new(envelope, "body_base64",
	                        json_stringn_nocheck(text, size)) != 0) {
		goto fail;
	}
	json_decref(properties);
	return envelope;

fail:
	json_decref(properties);
	json_decref(envelope);
	return NULL;
}

/* The first time, where a key is not there yet, it may be after a tick. */
static bool may_try_again(const struct sealing *sealing,
                          enum bursar_verdict verdict)
{
	bool usable = false;

	if (verdict != BURSAR_RETRY || sealing->ops->tick == NULL) {
		return false;
	}
	(void)sealing->ops->tick(sealing->crypto, &usable);
	return usable;
}

static int seal_one(const struct sealing *sealing, const struct line *line,
                    const struct sealing_words *words)
{
	const struct bursar_crypto_ops *ops = sealing->ops;
	const struct bursar_span plain = { line->data, line->size };
	struct scratch scratch = { { scratch_alloc }, NULL };
	struct bursar_error err = { 0 };
	struct bursar_seal seal;
	int status = CLI_OK;

	enum bursar_verdict verdict = ops->seal(sealing->crypto, plain, &seal,
	                                        &scratch.arena, &err);
	if (may_try_again(sealing, verdict)) {
		err = (struct bursar_error){ 0 };
		verdict = ops->seal(sealing->crypto, plain, &seal,
		                    &scratch.arena, &err);
	}
	if (verdict != BURSAR_DONE) {
		status = cli_fail(sealing->cli, "line %zu: %s", line->number,
		                  err.text);
		goto out;
	}
	json_t *envelope = envelope_json(&seal, words, &scratch.arena);
	if (envelope == NULL || json_dumpf(envelope, sealing->cli->out,
	                                   JSON_COMPACT) != 0) {
		status = cli_fail(sealing->cli,
		                  "line %zu: cannot write an envelope",
		                  line->number);
	} else {
		fputc('\n', sealing->cli->out);
	}
	json_decref(envelope);
out:
	scratch_clear(&scratch);
	return status;
}

/* One trailing newline of an input that is taken whole. */
static void trim(struct line *line)
{
	if (line->size > 0 && line->data[line->size - 1] == '\n') {
		line->size--;
	}
}

static int report_line(const struct sealing *sealing, enum line_read read,
                       const struct line *line)
{
	if (read == LINE_LONG) {
		return cli_fail(sealing->cli, "line %zu: longer than %zu bytes",
		                line->number, line->limit);
	}
	return cli_fail(sealing->cli, "cannot read: %s",
	                strerror(errno != 0 ? errno : ENOMEM));
}

int sealing_seal(const struct sealing *sealing, FILE *in, bool lines,
                 const struct sealing_words *words)
{
	struct line line = { .limit = sealing->max_message };
	enum line_read read;
	int status = CLI_OK;

	assert(sealing->ops->seal != NULL);

	while (status == CLI_OK &&
	       (read = read_up_to(&line, in, lines ? '\n' : EOF)) != LINE_END) {
		if (read != LINE_READ) {
			status = report_line(sealing, read, &line);
			continue;
		}
		if (!lines) {
			trim(&line);
		}
		status = seal_one(sealing, &line, words);
	}
	if (status == CLI_OK && line.number == 1) {
		status = cli_fail(sealing->cli, "nothing to seal");
	}
	free(line.data);
	return status;
}

/*
 * --- opening
 */

/* A message made of an envelope, and the memory for it. */
struct opened {
	struct scratch        scratch;
	struct bursar_header  headers[MAX_HEADERS];
	struct bursar_message message;
};

static struct bursar_span copy(struct opened *opened, const char *data,
                               size_t size)
{
	char *bytes = scratch_alloc(&opened->scratch.arena, size);

	if (bytes == NULL) {
		return (struct bursar_span){ 0 };
	}
	memcpy(bytes, data, size);
	return (struct bursar_span){ bytes, size };
}

static struct bursar_span lower(struct opened *opened, const char *name)
{
	const struct bursar_span span = copy(opened, name, strlen(name));
	char *text = (char *)span.data;

	for (size_t i = 0; i < span.size; i++) {
		text[i] = (char)tolower((unsigned char)text[i]);
	}
	return span;
}

/* Strings, and numbers as text; anything else is left out. */
static struct bursar_span value_text(struct opened *opened, const json_t *value)
{
	char number[32];

	if (json_is_string(value)) {
		return copy(opened, json_string_value(value),
		            json_string_length(value));
	}
	if (json_is_integer(value)) {
		const int size = snprintf(number, sizeof(number),
		                          "%" JSON_INTEGER_FORMAT,
		                          json_integer_value(value));

		return copy(opened, number, (size_t)size);
	}
	return (struct bursar_span){ 0 };
}

static void take_headers(struct opened *opened, json_t *headers)
{
	struct bursar_message *message = &opened->message;
	const char *name;
	json_t *value;

	json_object_foreach(headers, name, value) {
		const struct bursar_span text = value_text(opened, value);

		if (text.data != NULL && message->header_count < MAX_HEADERS) {
			opened->headers[message->header_count++] =
				(struct bursar_header){
					lower(opened, name), text,
				};
		}
	}
	message->headers = opened->headers;
}

static bool take_body(struct opened *opened, const json_t *envelope)
{
	const json_t *plain = json_object_get(envelope, "body");
	const json_t *coded = json_object_get(envelope, "body_base64");
	const struct bursar_span text = {
		json_string_value(coded), json_string_length(coded),
	};
	size_t size;

	if (text.data == NULL) {
		opened->message.body = value_text(opened, plain);
		return json_is_string(plain);
	}
	if (!base64_decoded_size(text, &size)) {
		return false;
	}
	char *body = scratch_alloc(&opened->scratch.arena, size);
	opened->message.body = (struct bursar_span){ body, size };
	return body != NULL && base64_decode(text, body);
}

static bool lists(const char *const *encodings, struct bursar_span encoding)
{
	for (size_t i = 0; encodings[i] != NULL; i++) {
		if (encoding.data != NULL &&
		    strlen(encodings[i]) == encoding.size &&
		    memcmp(encodings[i], encoding.data, encoding.size) == 0) {
			return true;
		}
	}
	return false;
}

/* Returns what is wrong with the envelope, or NULL. */
static const char *read_envelope(struct opened *opened, const json_t *envelope,
                                 const char *const *encodings)
{
	const json_t *properties = json_object_get(envelope, "properties");
	struct bursar_message *message = &opened->message;

	if (!json_is_object(envelope)) {
		return "not an envelope";
	}
	message->content_encoding = value_text(opened,
		json_object_get(properties, "content_encoding"));
	message->message_id = value_text(opened,
		json_object_get(properties, "message_id"));
	take_headers(opened, json_object_get(envelope, "headers"));
	if (!lists(encodings, message->content_encoding)) {
		return "its content_encoding is none that this crypto opens";
	}
	if (!take_body(opened, envelope)) {
		return "its body is not bytes";
	}
	return NULL;
}

/* Returns why the message stays closed, or NULL after printing it. */
static const char *print_opened(const struct sealing *sealing,
                                struct opened *opened, struct bursar_error *err)
{
	const struct bursar_crypto_ops *ops = sealing->ops;
	struct bursar_sealed item = { .message = &opened->message };

	enum bursar_verdict verdict = ops->unseal(sealing->crypto, &item, 1,
	                                          &opened->scratch.arena, err);
	if (may_try_again(sealing, verdict)) {
		*err = (struct bursar_error){ 0 };
		verdict = ops->unseal(sealing->crypto, &item, 1,
		                      &opened->scratch.arena, err);
	}
	if (verdict != BURSAR_DONE) {
		return err->text;
	}
	if (item.result != BURSAR_OPENED) {
		return item.result == BURSAR_NO_KEY
		     ? "sealed under a key that is not here"
		     : "it does not open";
	}
	fwrite(item.plain.data, 1, item.plain.size, sealing->cli->out);
	fputc('\n', sealing->cli->out);
	return NULL;
}

static int open_one(const struct sealing *sealing, const struct line *line)
{
	struct opened *opened = calloc(1, sizeof(*opened));
	json_t *envelope = json_loadb(line->data, line->size,
	                              JSON_ALLOW_NUL, NULL);
	struct bursar_error err = { 0 };
	int status = CLI_OK;

	if (opened == NULL) {
		json_decref(envelope);
		return cli_fail(sealing->cli, "out of memory");
	}
	opened->scratch.arena.alloc = scratch_alloc;
	const char *wrong = read_envelope(opened, envelope,
	                                  sealing->ops->encodings);
	if (wrong == NULL) {
		wrong = print_opened(sealing, opened, &err);
	}
	if (wrong != NULL) {
		status = cli_fail(sealing->cli, "line %zu: %s", line->number,
		                  wrong);
	}
	json_decref(envelope);
	scratch_clear(&opened->scratch);
	free(opened);
	return status;
}

int sealing_open(const struct sealing *sealing, FILE *in)
{
	/* Base64 of base64, as some ciphers make text: less than twice. */
	struct line line = { .limit = 2 * sealing->max_message + ENVELOPE };
	enum line_read read;
	int status = CLI_OK;

	while ((read = read_up_to(&line, in, '\n')) != LINE_END) {
		if (read != LINE_READ) {
			status = report_line(sealing, read, &line);
		} else if (line.size > 0 &&
		           open_one(sealing, &line) != CLI_OK) {
			status = CLI_FAILED;
		}
		if (read == LINE_FAILED) {
			break;
		}
	}
	free(line.data);
	return status;
}
