/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>
#include <ltdl.h>

#include "core/plugin/schema.h"
#include "tests/blocks.h"
#include "tests/decode.h"

#define MAX_HEADERS 16

struct bursar_message decode_next;
struct bursar_record *decode_record;
size_t decode_count;
struct bursar_error decode_error;

static lt_dlhandle handle;
static const struct bursar_format_ops *ops;
static struct bursar_format *format;
static struct bursar_header headers[MAX_HEADERS];

static struct bursar_record *add(struct bursar_records *records,
                                 const struct bursar_kind *kind)
{
	(void)records;
	decode_record = blocks_zeros(sizeof(*decode_record) +
		kind->field_count * sizeof(decode_record->values[0]));
	decode_record->kind = kind;
	decode_count++;
	return decode_record;
}

const char *decode_flags = "";

static int64_t number(const struct bursar_host *host, const char *name)
{
	(void)host;
	return strstr(decode_flags, name) != NULL;
}

const char *decode_words = "";

/* Lent until the next call but three, which is more than a format has. */
static const char *text(const struct bursar_host *host, const char *name)
{
	static char words[4][32];
	static size_t next;
	char *word = words[next++ % 4];
	const char *at = strstr(decode_words, name);
	const size_t size = strlen(name);

	(void)host;
	if (at == NULL || at[size] != '=') {
		return "";
	}
	snprintf(word, sizeof(words[0]), "%.*s",
	         (int)strcspn(at + size + 1, " "), at + size + 1);
	return word;
}

void decode_start(const char *module)
{
	static const struct bursar_host host = {
		.name = "test", .schema = &schema, .number = number,
		.text = text,
	};
	const struct bursar_plugin *plugin;
	struct bursar_error err = { 0 };

	ck_assert_int_eq(lt_dlinit(), 0);
	handle = lt_dlopenext(module);
	ck_assert_msg(handle != NULL, "%s: %s", module, lt_dlerror());
	plugin = lt_dlsym(handle, "bursar_plugin");
	ck_assert_ptr_nonnull(plugin);
	ck_assert_int_eq(plugin->kind, BURSAR_FORMAT);
	ops = plugin->ops.format;
	format = ops->open(&host, &err);
	ck_assert_msg(format != NULL, "%s", err.text);
	memset(&decode_next, 0, sizeof(decode_next));
}

void decode_stop(void)
{
	ops->close(format);
	lt_dlclose(handle);
	lt_dlexit();
	blocks_clear();
	decode_record = NULL;
}

void decode_header_bytes(const char *name, const char *value, size_t size)
{
	ck_assert_uint_lt(decode_next.header_count, MAX_HEADERS);
	headers[decode_next.header_count++] = (struct bursar_header){
		{ name, strlen(name) }, { value, size },
	};
	decode_next.headers = headers;
}

void decode_header(const char *name, const char *value)
{
	decode_header_bytes(name, value, strlen(value));
}

enum bursar_verdict decode_message(const char *kind, const char *body,
                                   size_t size)
{
	struct bursar_records records = { add, &blocks_arena };
	enum bursar_verdict verdict;

	blocks_clear();
	decode_record = NULL;
	decode_count = 0;
	memset(&decode_error, 0, sizeof(decode_error));
	decode_next.body = (struct bursar_span){
		blocks_copy(body, size), size,
	};
	decode_next.kind = bursar_kind_find(&schema, kind, strlen(kind));
	ck_assert_ptr_nonnull(decode_next.kind);
	verdict = ops->decode(format, &decode_next, &records, &decode_error);
	memset(&decode_next, 0, sizeof(decode_next));
	return verdict;
}

void decode_text(const char *kind, const char *body)
{
	const enum bursar_verdict verdict = decode_message(kind, body,
	                                                   strlen(body));

	ck_assert_msg(verdict == BURSAR_DONE, "%s: %s", body,
	              decode_error.text);
	ck_assert_uint_eq(decode_count, 1);
}

const char *decode_got(const char *field)
{
	static char texts[4][1 << 16];
	static unsigned turn;
	const struct bursar_value *value;
	char *out = texts[turn++ % 4];
	const int place = bursar_field_find(decode_record->kind, field);

	ck_assert_msg(place >= 0, "no field %s", field);
	value = &decode_record->values[place];
	if (!value->is_set) {
		return "unset";
	}
	switch (decode_record->kind->fields[place].type) {
	case BURSAR_TEXT:
	case BURSAR_JSON:
		snprintf(out, sizeof(texts[0]), "%.*s", (int)value->size,
		         value->text);
		break;
	default:
		snprintf(out, sizeof(texts[0]), "%lld",
		         (long long)value->number);
	}
	return out;
}
