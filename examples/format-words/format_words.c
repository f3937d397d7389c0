/* SPDX-License-Identifier: Apache-2.0 */

/* words - one call a line, as plain words: provider, model, tokens in and out,
 * as in `openai gpt-4o 1200 80` */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bursar/format.h>

enum { PROVIDER, MODEL, INPUT, OUTPUT, WORDS };

struct bursar_format {
	const struct bursar_kind *kind;
	int fields[WORDS];	/* their places in the kind's table */
};

static const struct bursar_option options[] = { { NULL } };

/* Fields are found by name: a new one in the table breaks nothing. */
static struct bursar_format *words_open(const struct bursar_host *host,
                                        struct bursar_error *err)
{
	static const char *const names[] = {
		"provider", "model_id", "input_tokens", "output_tokens",
	};
	struct bursar_format *format = calloc(1, sizeof(*format));

	if (format == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return NULL;
	}
	format->kind = bursar_kind_find(host->schema, "metering", 8);
	for (int i = 0; i < WORDS; i++) {
		format->fields[i] = bursar_field_find(format->kind, names[i]);
	}
	return format;
}

/* The next word of *rest; its size is 0 when there is none. */
static struct bursar_span next_word(struct bursar_span *rest)
{
	while (rest->size > 0 && *rest->data == ' ') {
		rest->data++, rest->size--;
	}
	struct bursar_span word = { rest->data, 0 };
	while (rest->size > 0 && *rest->data != ' ') {
		rest->data++, rest->size--, word.size++;
	}
	return word;
}

/* Visible ASCII is UTF-8 without NUL. */
static bool is_plain(struct bursar_span word)
{
	for (size_t i = 0; i < word.size; i++) {
		if (word.data[i] < '!' || word.data[i] > '~') {
			return false;
		}
	}
	return word.size > 0;
}

static bool read_number(struct bursar_span word, int64_t *number)
{
	*number = 0;
	for (size_t i = 0; i < word.size; i++) {
		if (word.data[i] < '0' || word.data[i] > '9') {
			return false;
		}
		*number = *number * 10 + word.data[i] - '0';
	}
	return word.size > 0 && word.size <= 12;
}

static enum bursar_verdict words_decode(struct bursar_format *format,
                                        const struct bursar_message *message,
                                        struct bursar_records *records,
                                        struct bursar_error *err)
{
	struct bursar_span rest = message->body, words[WORDS];
	int64_t numbers[WORDS] = { 0 };

	for (int i = 0; i < WORDS; i++) {
		words[i] = next_word(&rest);
		if (i < INPUT ? !is_plain(words[i])
		              : !read_number(words[i], &numbers[i])) {
			bursar_fail(err, EINVAL, "word %d makes no sense", i + 1);
			return BURSAR_REJECT;
		}
	}
	struct bursar_record *record = records->add(records, format->kind);
	if (record == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return BURSAR_RETRY;
	}
	for (int i = 0; i < INPUT; i++) {
		bursar_set_text(record, format->fields[i], words[i].data,
		                words[i].size);
	}
	for (int i = INPUT; i < WORDS; i++) {
		bursar_set_number(record, format->fields[i], numbers[i]);
	}
	return BURSAR_DONE;
}

static void words_close(struct bursar_format *format)
{
	free(format);
}

static const struct bursar_format_ops ops = {
	.open = words_open, .decode = words_decode, .close = words_close,
};

BURSAR_PLUGIN_DEFINE(format_words, .kind = BURSAR_FORMAT, .name = "words",
	.summary = "one call a line, as plain words", .options = options, .ops.format = &ops,
	.manual = "Provider, model, tokens in and tokens out: openai gpt-4o 1200 80.");
