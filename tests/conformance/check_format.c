/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What bursar/format.h asks of a format: with samples as they are, and with
 * all that can become of them.
 */
#include "config.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include <bursar/format.h>

#include "kit.h"

#include "common/json.h"
#include "core/flow/envelope.h"

#define MAX_SAMPLES 400
#define MAX_RECORDS 20000	/* of one message */
#define ROOM        ((size_t)4 << 20)

/* Stands for content: no error and no log may hold it. */
#define MARKER "ZQX-CONTENT-MARKER"

/* --- samples ------------------------------------------------------------- */

struct samples {
	struct bursar_message items[MAX_SAMPLES];
	size_t count;
	struct guard_arena arena;	/* of what envelopes held */
};

/* For a format that was given none. */
static const char metering_sample[] =
	"{\"kind\":\"metering\",\"body\":{\"message_id\":\"a\","
	"\"provider\":\"x\",\"model_id\":\"y\",\"input_tokens\":12,"
	"\"cost_usd\":0.25,\"recorded_at\":\"2026-11-01T00:00:00Z\"}}";
static const char prompt_sample[] =
	"{\"kind\":\"prompt\",\"body\":{\"message_id\":\"b\","
	"\"request\":{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]},"
	"\"response\":{\"content\":\"ho \\u00e9 \\ud83d\\ude00\"}}}";
static const char tool_sample[] =
	"{\"kind\":\"tool\",\"body\":{\"message_id\":\"c\","
	"\"tool_call\":{\"name\":\"t\",\"arguments\":{\"a\":[1,2.5,null]}}}}";
static const char *const plain_samples[] = {
	metering_sample, prompt_sample, tool_sample,
};

static void add_sample(struct kit *kit, struct samples *samples,
                       struct json_reader *reader, const char *line,
                       size_t size)
{
	struct bursar_error err = { 0 };
	struct guard guard;

	if (size == 0 || samples->count == MAX_SAMPLES) {
		return;
	}
	struct bursar_message *m = &samples->items[samples->count];
	guard_init(&guard, size);
	*m = (struct bursar_message){
		.body = { guard_place(&guard, line, size, 0), size },
	};
	if (kit->sample_kind != NULL) {
		m->kind = bursar_kind_find(&schema, kit->sample_kind,
		                           strlen(kit->sample_kind));
		expect(m->kind != NULL, "there is no kind '%s'",
		       kit->sample_kind);
	}
	/* What is no good envelope is tried as it is. */
	if (envelope_open(reader, &samples->arena.arena, &schema, m, &err) ==
	    ENVELOPE_OPENED || m->kind == NULL) {
		const struct bursar_kind *kind = envelope_kind(&schema, m);

		m->kind = kind != NULL ? kind : &schema.kinds[0];
	}
	if (m->body.data != NULL) {
		samples->count++;
	}
}

/* The samples, for the rest of the check. */
static struct samples *load_samples(struct kit *kit)
{
	struct samples *samples = calloc(1, sizeof(*samples));
	struct json_reader *reader = json_reader_create();
	char *line = NULL;
	size_t room = 0;
	ssize_t got;

	FILE *file = kit->samples != NULL ? fopen(kit->samples, "re") : NULL;
	if (samples == NULL || reader == NULL ||
	    (kit->samples != NULL && file == NULL)) {
		kit_broken("the samples");
	}
	guard_arena_init(&samples->arena);
	for (size_t i = 0; file == NULL &&
	     i < sizeof(plain_samples) / sizeof(plain_samples[0]); i++) {
		add_sample(kit, samples, reader, plain_samples[i],
		           strlen(plain_samples[i]));
	}
	while (file != NULL && (got = getline(&line, &room, file)) > 0) {
		got -= line[got - 1] == '\n';
		add_sample(kit, samples, reader, line, (size_t)got);
	}
	expect(samples->count > 0, "there are no samples");
	free(line);
	if (file != NULL) {
		fclose(file);
	}
	json_reader_destroy(reader);
	return samples;
}

/* --- a format that is open ----------------------------------------------- */

struct open_format {
	struct bursar_records records;	/* first: add() relies on it */
	struct kit  *kit;
	struct stand stand;
	const struct bursar_format_ops *ops;
	struct bursar_format *format;
	struct json_reader *reader;
	struct guard body;		/* where a message stands */
	struct guard check;		/* where JSON is looked at */
	struct guard_arena arena;
	struct bursar_record *made[MAX_RECORDS];
	size_t count;
	size_t adds_left;
};

static struct bursar_record *add(struct bursar_records *records,
                                 const struct bursar_kind *kind)
{
	struct open_format *open = (struct open_format *)records;

	if (open->adds_left == 0) {
		return NULL;
	}
	open->adds_left--;
	expect(open->count < MAX_RECORDS, "a message makes more than %d "
	       "records", MAX_RECORDS);
	expect(kind >= schema.kinds &&
	       kind < schema.kinds + schema.kind_count,
	       "add() of a kind that is not in the schema");
	struct bursar_record *record = calloc(1, sizeof(*record) +
		kind->field_count * sizeof(record->values[0]));
	if (record == NULL) {
		kit_broken("malloc");
	}
	record->kind = kind;
	open->made[open->count++] = record;
	return record;
}

static struct open_format *open_it(struct kit *kit)
{
	struct open_format *open = calloc(1, sizeof(*open));
	char marker[] = MARKER;
	enum bursar_verdict verdict;
	struct bursar_error err = { 0 };

	if (open == NULL || (open->reader = json_reader_create()) == NULL) {
		kit_broken("malloc");
	}
	secret_add(marker, strlen(marker));
	open->kit = kit;
	open->ops = kit->plugin->ops.format;
	open->records.add = add;
	open->records.arena = &open->arena.arena;
	guard_arena_init(&open->arena);
	guard_init(&open->body, ROOM);
	guard_init(&open->check, ROOM);
	stand_init(&open->stand, kit, INSTANCE_RUN);
	open->format = stand_open(&open->stand, &verdict, &err);
	expect(open->format != NULL, "open() failed: %s", err.text);
	return open;
}

static void clear(struct open_format *open)
{
	for (size_t i = 0; i < open->count; i++) {
		free(open->made[i]);
	}
	open->count = 0;
	guard_arena_clear(&open->arena);
	open->arena.left = SIZE_MAX;
	open->adds_left = SIZE_MAX;
}

static void close_it(struct open_format *open)
{
	clear(open);
	stand_close(&open->stand, open->format);
	stand_finish(&open->stand);
	json_reader_destroy(open->reader);
	guard_finish(&open->body);
	guard_finish(&open->check);
	free(open);
}

/* --- records ------------------------------------------------------------- */

/* Bytes of the UTF-8 sequence that begins there; 0: none. */
static size_t sequence(const unsigned char *at, size_t left)
{
	const size_t size = at[0] < 0x80 ? 1 : at[0] < 0xc2 ? 0 :
		at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : at[0] < 0xf5 ? 4 : 0;

	if (size == 0 || size > left) {
		return 0;
	}
	for (size_t i = 1; i < size; i++) {
		if ((at[i] & 0xc0) != 0x80) {
			return 0;
		}
	}
	/* Longer than need be, half a pair, or beyond the last character. */
	const unsigned char second = size > 1 ? at[1] : 0;
	const bool wrong = (at[0] == 0xe0 && second < 0xa0) ||
		(at[0] == 0xed && second > 0x9f) ||
		(at[0] == 0xf0 && second < 0x90) ||
		(at[0] == 0xf4 && second > 0x8f);
	return wrong ? 0 : size;
}

static bool is_text(const char *text, size_t size)
{
	for (size_t i = 0; i < size;) {
		const size_t step = sequence((const unsigned char *)text + i,
		                             size - i);

		if (step == 0 || text[i] == '\0') {
			return false;
		}
		i += step;
	}
	return true;
}

static bool is_within(struct bursar_span span, const char *data, size_t size)
{
	return span.data != NULL && data >= span.data &&
	       data + size <= span.data + span.size;
}

/* In the message, in the arena, or a constant of the module. */
static bool lives_long_enough(const struct open_format *open,
                              const struct bursar_message *m,
                              const char *data, size_t size)
{
	const struct bursar_span *const spans[] = {
		&m->body, &m->message_id, &m->correlation_id, &m->content_type,
		&m->content_encoding, &m->app_id, &m->routing_key, &m->place,
		&m->origin,
	};
	Dl_info info;

	for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
		if (is_within(*spans[i], data, size)) {
			return true;
		}
	}
	for (size_t i = 0; i < m->header_count; i++) {
		if (is_within(m->headers[i].name, data, size) ||
		    is_within(m->headers[i].value, data, size)) {
			return true;
		}
	}
	return guard_arena_holds(&open->arena, data, size) ||
	       dladdr(data, &info) != 0;
}

static void look_at_text(struct open_format *open,
                         const struct bursar_message *m,
                         const struct bursar_field *field,
                         const struct bursar_value *value)
{
	struct bursar_error err = { 0 };
	struct json_doc doc;

	expect(value->text != NULL || value->size == 0,
	       "%s is set to NULL", field->name);
	if (value->size == 0) {
		expect(field->type != BURSAR_JSON, "%s is set to no JSON",
		       field->name);
		return;
	}
	expect(lives_long_enough(open, m, value->text, value->size),
	       "%s is neither a span of the message nor in the arena",
	       field->name);
	expect(is_text(value->text, value->size),
	       "%s is not UTF-8, or holds a NUL", field->name);
	if (field->type == BURSAR_JSON) {
		expect(json_read(open->reader,
		                 guard_place(&open->check, value->text,
		                             value->size, 0),
		                 value->size, &doc, &err) == 0,
		       "%s is not one JSON value: %s", field->name, err.text);
	}
}

static void look_at_record(struct open_format *open,
                           const struct bursar_message *m,
                           const struct bursar_record *record)
{
	const struct bursar_kind *kind = record->kind;

	expect(record->flags == 0 && record->check == 0,
	       "flags and check of a record are the core's");
	for (size_t i = 0; i < kind->field_count; i++) {
		const struct bursar_field *field = &kind->fields[i];
		const struct bursar_value *value = &record->values[i];

		if (!value->is_set) {
			continue;
		}
		expect((field->flags & BURSAR_FIELD_CORE) == 0 ||
		       i == BURSAR_DQ_FLAGS, "%s is filled by the core",
		       field->name);
		if (field->type == BURSAR_TEXT || field->type == BURSAR_JSON) {
			look_at_text(open, m, field, value);
		} else if (field->type == BURSAR_BOOL) {
			expect(value->number == 0 || value->number == 1,
			       "%s is %lld", field->name,
			       (long long)value->number);
		}
	}
	const struct bursar_value *extra = &record->values[BURSAR_EXTRA_JSON];
	expect(!extra->is_set || extra->size <= 8192,
	       "extra_json has %u bytes", extra->size);
}

/* A hash over all that decode() said; texts by content. */
static uint64_t print_of(const struct open_format *open,
                         enum bursar_verdict verdict)
{
	uint64_t print = (uint64_t)verdict + 1;

	for (size_t r = 0; r < open->count; r++) {
		const struct bursar_record *record = open->made[r];

		for (size_t i = 0; i < record->kind->field_count; i++) {
			const struct bursar_value *v = &record->values[i];
			const enum bursar_field_type type =
				record->kind->fields[i].type;

			print = print * 31 + (v->is_set ? 7 : 3);
			if (v->is_set && (type == BURSAR_TEXT ||
			                  type == BURSAR_JSON)) {
				print = print * 31 +
					hash_bytes(v->text, v->size);
			} else if (v->is_set) {
				print = print * 31 + (uint64_t)v->number;
			}
		}
	}
	return print;
}

/* Decodes body in the place of m's; returns a hash of what came of it. */
static uint64_t decode_with(struct open_format *open,
                            const struct bursar_message *m,
                            struct bursar_span body, int fill,
                            enum bursar_verdict *verdict)
{
	struct bursar_message message = *m;
	struct bursar_error err = { 0 };

	clear(open);
	message.body = (struct bursar_span){
		guard_place(&open->body, body.data, body.size, fill),
		body.size,
	};
	const struct bursar_message before = message;
	*verdict = open->ops->decode(open->format, &message, &open->records,
	                             &err);
	expect(memcmp(&before, &message, sizeof(message)) == 0,
	       "decode() changed the message");
	expect(*verdict == BURSAR_DONE || *verdict == BURSAR_REJECT,
	       "decode() says %d: %s", *verdict, err.text);
	if (*verdict == BURSAR_REJECT) {
		kit_expect_error(&err, "decode()");
	} else {
		for (size_t i = 0; i < open->count; i++) {
			look_at_record(open, &message, open->made[i]);
		}
	}
	return print_of(open, *verdict);
}

/* Twice, with other bytes behind the body: the same must come of it. */
static enum bursar_verdict decode(struct open_format *open,
                                  const struct bursar_message *m,
                                  struct bursar_span body)
{
	enum bursar_verdict verdict, again;

	const uint64_t first = decode_with(open, m, body, '}', &verdict);
	const uint64_t second = decode_with(open, m, body, 0xff, &again);
	expect(verdict == again && (first == second ||
	                            verdict == BURSAR_REJECT),
	       "the same message was decoded to something else, or the bytes "
	       "behind it were looked at");
	return verdict;
}

/* --- checks -------------------------------------------------------------- */

void format_works(struct kit *kit)
{
	struct open_format *open = open_it(kit);
	size_t done = 0, records = 0;

	const struct samples *samples = load_samples(kit);
	for (size_t i = 0; i < samples->count; i++) {
		if (decode(open, &samples->items[i], samples->items[i].body) ==
		    BURSAR_DONE) {
			done++;
			records += open->count;
		}
	}
	kit_remark("%zu of %zu samples decoded to %zu records", done,
	           samples->count, records);
	expect(done > 0, "none of %zu samples was decoded", samples->count);
	close_it(open);
}

static void decodes_without_a_kind(struct kit *kit)
{
	struct open_format *open = open_it(kit);

	if (open->ops->needs_kind) {
		kit_skip("it needs a kind");
	}
	const struct samples *samples = load_samples(kit);
	for (size_t i = 0; i < samples->count; i++) {
		struct bursar_message m = samples->items[i];

		m.kind = NULL;
		decode(open, &m, m.body);
	}
	close_it(open);
}

static void try_kinds(struct open_format *open, const char *text, size_t size)
{
	for (size_t k = 0; k < schema.kind_count; k++) {
		const struct bursar_message m = { .kind = &schema.kinds[k] };

		decode(open, &m, (struct bursar_span){ text, size });
	}
}

static void bears_what_is_no_message(struct kit *kit)
{
	static const char *const texts[] = {
		"", " ", "\n", "{", "}", "[", "]", "\"", "0", "-", "1e999",
		"null", "true", "{}", "[]", "[{}]", "\"text\"", "{\"\":\"\"}",
		"\xef\xbb\xbf{}", "{\"a\":\"\xff\"}",
		"{\"a\":\"\xed\xa0\x80\"}", "{\"a\":\"\\ud800\"}",
		"{\"a\":\"\\u0000\"}", "{\"a\":1,\"a\":2}",
		"{\"a\":}", "{\"a\" 1}", "{'a':1}", "{a:1}", "{\"a\":01}",
		"{\"a\":1}x", "{}{}", "\xff\xfe\x00", "<a/>", "a,b,c",
		MARKER, "\"" MARKER "\"", "[\"" MARKER "\"]", "{\"a\":" MARKER,
		"{\"a\":\"" MARKER, "{\"message_id\":" MARKER "}",
		"{\"recorded_at\":\"" MARKER "\"}", "{\"" MARKER "\":1",
	};
	struct open_format *open = open_it(kit);

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		try_kinds(open, texts[i], strlen(texts[i]));
	}
	try_kinds(open, "{\"a\":\"\0\"}", 9);
	try_kinds(open, "\0\0\0\0", 4);
	close_it(open);
}

static void bears_deep_nesting(struct kit *kit)
{
	static const char *const openings[] = {
		"[", "{\"a\":", "{\"message_context\":", "{\"request\":[",
	};
	struct open_format *open = open_it(kit);
	static char text[1 << 20];

	for (size_t i = 0; i < sizeof(openings) / sizeof(openings[0]); i++) {
		const size_t step = strlen(openings[i]);
		size_t size = 0;

		while (size + step < sizeof(text)) {
			memcpy(text + size, openings[i], step);
			size += step;
			if (size / step == 300 || size / step == 20000) {
				try_kinds(open, text, size);
			}
		}
		try_kinds(open, text, size);
	}
	for (size_t depth = 100; depth < 200000; depth *= 7) {
		memset(text, '[', depth);
		memset(text + depth, ']', depth);
		try_kinds(open, text, depth * 2);
	}
	close_it(open);
}

#define LONG_SAMPLE 1500	/* bytes; of longer ones a part is cut */

static void bears_truncation(struct kit *kit)
{
	struct open_format *open = open_it(kit);
	const int64_t until = clock_mono_us() + 6000000;
	size_t tried = 0;

	const struct samples *samples = load_samples(kit);
	for (size_t i = 0; i < samples->count && clock_mono_us() < until; i++) {
		const struct bursar_message *m = &samples->items[i];
		const size_t size = m->body.size;
		const size_t step = size > LONG_SAMPLE ? size / LONG_SAMPLE
		                                       : 1;

		for (size_t cut = 0; cut < size; cut += step) {
			decode(open, m, (struct bursar_span){ m->body.data,
			                                      cut });
			tried++;
		}
	}
	kit_remark("%zu truncated messages", tried);
	close_it(open);
}

/* Changes body[0..size), which has room for the marker; the new size. */
static size_t mutate(struct kit *kit, char *body, size_t size)
{
	static const char odd[] = "{}[]\",:\\0-9eE.tfn\0\xff\x80\xc3 \n";
	const size_t at = chance_below(kit, size + 1);
	const size_t other = chance_below(kit, size + 1);
	const size_t length = at < other ? other - at : at - other;
	const size_t from = at < other ? at : other;

	switch (chance_below(kit, 6)) {
	case 0:
		if (size > 0) {
			body[at % size] = (char)chance(kit);
		}
		return size;
	case 1:
		if (size > 0) {
			body[at % size] = odd[chance_below(kit, sizeof(odd))];
		}
		return size;
	case 2:		/* cut out */
		memmove(body + from, body + from + length,
		        size - from - length);
		return size - length;
	case 3:		/* say twice */
		if (length > 4096 || size > ROOM / 2) {
			return size;
		}
		memmove(body + from + length, body + from, size - from);
		return size + length;
	default:	/* something that is content */
		memmove(body + at + strlen(MARKER), body + at, size - at);
		memcpy(body + at, MARKER, strlen(MARKER));
		return size + strlen(MARKER);
	}
}

static void bears_mutation(struct kit *kit)
{
	struct open_format *open = open_it(kit);
	const int64_t until = clock_mono_us() + 6000000;
	char *body = malloc(ROOM);
	size_t tried = 0;

	const struct samples *samples = load_samples(kit);
	if (body == NULL) {
		kit_broken("malloc");
	}
	while (tried < 60000 && clock_mono_us() < until) {
		const struct bursar_message *m =
			&samples->items[chance_below(kit, samples->count)];
		size_t size = m->body.size;

		if (size > ROOM / 8) {
			continue;
		}
		memcpy(body, m->body.data, size);
		for (uint64_t n = 1 + chance_below(kit, 4); n > 0; n--) {
			size = mutate(kit, body, size);
		}
		decode(open, m, (struct bursar_span){ body, size });
		tried++;
	}
	kit_remark("%zu changed messages, seed %u", tried, kit->seed);
	free(body);
	close_it(open);
}

static void bears_a_lack_of_memory(struct kit *kit)
{
	struct open_format *open = open_it(kit);

	const struct samples *samples = load_samples(kit);
	for (size_t i = 0; i < samples->count && i < 100; i++) {
		for (size_t left = 0; left < 8; left++) {
			struct bursar_message m = samples->items[i];
			struct bursar_error err = { 0 };

			enum bursar_verdict usual;

			decode_with(open, &m, m.body, 0, &usual);
			clear(open);
			m.body.data = guard_place(&open->body,
			                          samples->items[i].body.data,
			                          m.body.size, 0);
			open->arena.left = left / 2;
			open->adds_left = left % 2 ? SIZE_MAX : left / 2;
			const enum bursar_verdict verdict =
				open->ops->decode(open->format, &m,
				                  &open->records, &err);
			expect(verdict == BURSAR_RETRY || verdict == usual,
			       "decode() with little memory says %d, and %d "
			       "with enough", verdict, usual);
			expect(open->adds_left > 0 || open->count > 0 ||
			       left % 2 != 0 || verdict != BURSAR_DONE ||
			       left / 2 > 0,
			       "add() gave nothing, and decode() says DONE");
			if (verdict != BURSAR_DONE) {
				kit_expect_error(&err, "decode()");
			}
		}
	}
	close_it(open);
}

static const struct samples *to_repeat;

static void decode_all(void *context)
{
	struct open_format *open = context;
	enum bursar_verdict verdict;

	for (size_t i = 0; i < to_repeat->count && i < 60; i++) {
		decode_with(open, &to_repeat->items[i],
		            to_repeat->items[i].body, 0, &verdict);
	}
	clear(open);
}

static void keeps_no_memory(struct kit *kit)
{
	struct open_format *open = open_it(kit);

	to_repeat = load_samples(kit);
	footprint_expect_flat(decode_all, open, 20);
	close_it(open);
}

const struct kit_check format_checks[] = {
	{ "decodes samples into sound records",
	  "Texts of records are UTF-8 without NUL, spans of the message or in "
	  "the arena; JSON is one JSON value; what the core fills is left "
	  "alone; the same message makes the same records.", format_works },
	{ "decodes messages without a kind",
	  "needs_kind: true: decode() is not called without message->kind.",
	  decodes_without_a_kind },
	{ "bears what is no message",
	  "REJECT with *err filled: the message is no JSON, no object or "
	  "without sense; never content.", bears_what_is_no_message },
	{ "bears deep nesting",
	  "Every growing thing has a limit: REJECT with *err filled.",
	  bears_deep_nesting, 60 },
	{ "bears messages cut at any byte",
	  "message->body is followed by at least 64 readable bytes, which are "
	  "no part of it.", bears_truncation, 60 },
	{ "bears messages changed at random",
	  "REJECT: the text names field, type, offset and length, never "
	  "content.", bears_mutation, 60 },
	{ "bears a lack of memory",
	  "add() returns NULL when memory is short (return RETRY then).",
	  bears_a_lack_of_memory },
	{ "keeps no memory of messages",
	  "It knows no time and no place.", keeps_no_memory, 60 },
	{ NULL }
};
