/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The conversions of shape.h: each from one value of a message to one value of
 * a record.  What cannot be held is a misfit, never a guess.
 */
#include "config.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#include "common/local_time.h"
#include "common/rfc3339.h"
#include "common/shape.h"

#define SECOND_US INT64_C(1000000)

#define ABSURD_COUNT INT64_C(1000000000000)
#define ABSURD_NANO  INT64_C(1000000000000000)	/* a million dollars */

/* Where numbers stop being seconds, ms and us since 1970: year 5138. */
#define EPOCH_MAX_S  INT64_C(100000000000)
#define EPOCH_MAX_MS (EPOCH_MAX_S * 1000)
#define EPOCH_MAX_US (EPOCH_MAX_MS * 1000)
/* Digits in quotes below this are rather a year or a date. */
#define EPOCH_MIN_TEXT INT64_C(100000000)

static uint8_t type_of(const struct shape_run *run,
                       const struct shape_input *in)
{
	return run->doc->nodes[in->node].type;
}

static void set_text(struct bursar_value *value, const char *text, size_t size)
{
	value->text = text;
	value->size = (uint32_t)size;
}

/* --- text ------------------------------------------------------------ */

static bool is_plain_ascii(struct bursar_span text)
{
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] == '\0' || (text.data[i] & 0x80) != 0) {
			return false;
		}
	}
	return true;
}

/* The length of the UTF-8 character at `at`; 0: it is none. */
static size_t utf8_size(const unsigned char *at, size_t left)
{
	const unsigned char c = at[0];
	const size_t size = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 :
	                    c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

	if (size > left) {
		return 0;
	}
	for (size_t i = 1; i < size; i++) {
		if ((at[i] & 0xc0) != 0x80) {
			return 0;
		}
	}
	if ((c == 0xe0 && at[1] < 0xa0) || (c == 0xed && at[1] > 0x9f) ||
	    (c == 0xf0 && at[1] < 0x90) || (c == 0xf4 && at[1] > 0x8f)) {
		return 0;
	}
	return size;
}

static bool is_utf8(struct bursar_span text, size_t *nuls)
{
	size_t at = 0;

	*nuls = 0;
	while (at < text.size) {
		const size_t size = utf8_size(
			(const unsigned char *)text.data + at, text.size - at);

		if (size == 0) {
			return false;
		}
		*nuls += text.data[at] == '\0';
		at += size;
	}
	return true;
}

static bool escape_nuls(struct shape_run *run, struct bursar_span *text,
                        size_t nuls)
{
	static const char escape[] = "\\u0000";
	const size_t width = sizeof(escape) - 1;
	char *made = run->arena->alloc(run->arena,
	                               text->size + nuls * (width - 1));
	size_t size = 0;

	if (made == NULL) {
		run->no_memory = true;
		return false;
	}
	for (size_t i = 0; i < text->size; i++) {
		if (text->data[i] == '\0') {
			memcpy(made + size, escape, width);
			size += width;
		} else {
			made[size++] = text->data[i];
		}
	}
	*text = (struct bursar_span){ made, size };
	bursar_set_flag(run->record, BURSAR_DQ_NUL);
	return true;
}

/* Headers and properties come as bytes, whatever these are. */
static enum shape_result given_text(struct shape_run *run,
                                    struct bursar_span text,
                                    struct bursar_span *out)
{
	size_t nuls = 0;

	if (!is_plain_ascii(text)) {
		if (!is_utf8(text, &nuls)) {
			return SHAPE_MISFIT;
		}
		if (nuls > 0 && !escape_nuls(run, &text, nuls)) {
			return SHAPE_MISFIT;
		}
	}
	*out = text;
	return SHAPE_SET;
}

static enum shape_result string_text(struct shape_run *run, uint32_t node,
                                     struct bursar_span *out)
{
	unsigned met = 0;

	if (!run->doc->nodes[node].escaped) {
		*out = json_raw(run->doc, node);
		out->data++;
		out->size -= 2;
		return SHAPE_SET;
	}
	if (!json_text(run->doc, node, run->arena, out, &met)) {
		run->no_memory = true;
		return SHAPE_MISFIT;
	}
	if (met & JSON_HAD_NUL) {
		bursar_set_flag(run->record, BURSAR_DQ_NUL);
	}
	if (met & JSON_HAD_SURROGATE) {
		bursar_set_flag(run->record, BURSAR_DQ_SURROGATE);
	}
	return SHAPE_SET;
}

static enum shape_result any_text(struct shape_run *run,
                                  const struct shape_input *in,
                                  struct bursar_span *out)
{
	if (in->node == 0) {
		return given_text(run, in->given, out);
	}
	switch (type_of(run, in)) {
	case JSON_STRING:
		return string_text(run, in->node, out);
	case JSON_NUMBER:
		*out = json_raw(run->doc, in->node);
		return SHAPE_SET;
	default:
		return SHAPE_MISFIT;
	}
}

static inline bool is_plain_string(const struct shape_run *run,
                                   const struct shape_input *in, size_t limit)
{
	const struct json_node *node = &run->doc->nodes[in->node];

	return in->node != 0 && node->type == JSON_STRING && !node->escaped &&
	       node->size <= limit;
}

static inline enum shape_result bounded_text(struct shape_run *run,
                                      const struct shape_input *in,
                                      size_t limit,
                                      struct bursar_value *value)
{
	struct bursar_span text;

	if (is_plain_string(run, in, limit)) {
		text = json_raw(run->doc, in->node);
		set_text(value, text.data + 1, text.size - 2);
		return SHAPE_SET;
	}
	if (any_text(run, in, &text) != SHAPE_SET || text.size > limit) {
		return SHAPE_MISFIT;
	}
	set_text(value, text.data, text.size);
	return SHAPE_SET;
}

enum shape_result shape_text(struct shape_run *run,
                             const struct shape_input *in,
                             struct bursar_value *value)
{
	return bounded_text(run, in, SHAPE_MAX_NAME, value);
}

enum shape_result shape_present(struct shape_run *run,
                                const struct shape_input *in,
                                struct bursar_value *value)
{
	const enum shape_result result = shape_text(run, in, value);

	return result == SHAPE_SET && value->size == 0 ? SHAPE_EMPTY : result;
}

enum shape_result shape_prose(struct shape_run *run,
                              const struct shape_input *in,
                              struct bursar_value *value)
{
	return bounded_text(run, in, UINT32_MAX, value);
}

/* --- numbers --------------------------------------------------------- */

static bool may_be_a_number(const struct shape_run *run,
                            const struct shape_input *in)
{
	return in->node != 0 && (type_of(run, in) == JSON_NUMBER ||
	                         type_of(run, in) == JSON_STRING);
}

static void flag_range(struct shape_run *run, int64_t number, int64_t absurd)
{
	if (number < 0) {
		bursar_set_flag(run->record, BURSAR_DQ_NEGATIVE);
	}
	if (number > absurd) {
		bursar_set_flag(run->record, BURSAR_DQ_ABSURD);
	}
}

/* Nearly all numbers are a few digits and nothing else. */
static bool plain_digits(const struct shape_run *run, uint32_t node,
                         int64_t *number)
{
	const struct bursar_span raw = json_raw(run->doc, node);
	int64_t sum = 0;

	if (raw.size > 18) {
		return false;
	}
	for (size_t i = 0; i < raw.size; i++) {
		const unsigned digit = (unsigned)(unsigned char)raw.data[i] -
		                       '0';

		if (digit > 9) {
			return false;
		}
		sum = sum * 10 + digit;
	}
	*number = sum;
	return true;
}

/* "75ms" is 75, and the ms are not forgotten. */
enum shape_result shape_integer(struct shape_run *run,
                                const struct shape_input *in,
                                struct bursar_value *value)
{
	int64_t whole;

	if (plain_digits(run, in->node, &value->number)) {
		return SHAPE_SET;
	}
	if (!may_be_a_number(run, in) ||
	    !json_int(run->doc, in->node, &value->number)) {
		return SHAPE_MISFIT;
	}
	if (type_of(run, in) == JSON_STRING &&
	    !json_decimal(run->doc, in->node, 0, &whole)) {
		return SHAPE_LOSSY;
	}
	return SHAPE_SET;
}

enum shape_result shape_count(struct shape_run *run,
                              const struct shape_input *in,
                              struct bursar_value *value)
{
	const enum shape_result result = shape_integer(run, in, value);

	if (result != SHAPE_MISFIT) {
		flag_range(run, value->number, ABSURD_COUNT);
	}
	return result;
}

enum shape_result shape_money(struct shape_run *run,
                              const struct shape_input *in,
                              struct bursar_value *value)
{
	if (!may_be_a_number(run, in) ||
	    !json_decimal(run->doc, in->node, 9, &value->number)) {
		return SHAPE_MISFIT;
	}
	flag_range(run, value->number, ABSURD_NANO);
	return SHAPE_SET;
}

enum shape_result shape_seconds(struct shape_run *run,
                                const struct shape_input *in,
                                struct bursar_value *value)
{
	if (!may_be_a_number(run, in) ||
	    !json_decimal(run->doc, in->node, 3, &value->number)) {
		return SHAPE_MISFIT;
	}
	flag_range(run, value->number, ABSURD_COUNT);
	return SHAPE_SET;
}

static bool is_one_of(struct bursar_span text, const char *const *words)
{
	for (; *words != NULL; words++) {
		if (strlen(*words) == text.size &&
		    strncasecmp(*words, text.data, text.size) == 0) {
			return true;
		}
	}
	return false;
}

static enum shape_result flag_of_text(struct bursar_span text,
                                      struct bursar_value *value)
{
	static const char *const yes[] = {
		"true", "1", "yes", "on", "t", "y", NULL,
	};
	static const char *const no[] = {
		"false", "0", "no", "off", "f", "n", NULL,
	};

	if (text.size == 0) {
		return SHAPE_EMPTY;
	}
	value->number = is_one_of(text, yes);
	return value->number != 0 || is_one_of(text, no) ? SHAPE_SET :
	       SHAPE_MISFIT;
}

enum shape_result shape_flag(struct shape_run *run,
                             const struct shape_input *in,
                             struct bursar_value *value)
{
	struct bursar_span text;

	if (in->node != 0 && type_of(run, in) == JSON_TRUE) {
		value->number = 1;
		return SHAPE_SET;
	}
	if (in->node != 0 && type_of(run, in) == JSON_FALSE) {
		value->number = 0;
		return SHAPE_SET;
	}
	return any_text(run, in, &text) != SHAPE_SET ? SHAPE_MISFIT :
	       flag_of_text(text, value);
}

/* --- times ----------------------------------------------------------- */

/* The unit follows from the size: no time of ours is 1000 times another. */
static bool epoch(const struct shape_run *run, uint32_t node, int64_t *us)
{
	int64_t number;

	if (!json_int(run->doc, node, &number)) {
		return false;
	}
	if (number > -EPOCH_MAX_S && number < EPOCH_MAX_S) {
		return json_decimal(run->doc, node, 6, us);
	}
	if (number > -EPOCH_MAX_MS && number < EPOCH_MAX_MS) {
		return json_decimal(run->doc, node, 3, us);
	}
	return number > -EPOCH_MAX_US && number < EPOCH_MAX_US &&
	       json_decimal(run->doc, node, 0, us);
}

static void to_utc(int64_t *us)
{
	const int64_t second = *us / SECOND_US - (*us % SECOND_US < 0);
	const int64_t fraction = *us - second * SECOND_US;

	*us = local_instant(second) * SECOND_US + fraction;
}

static bool instant_of_string(struct shape_run *run, uint32_t node,
                              int64_t *us)
{
	struct bursar_span text;
	int64_t number;
	bool zoned;

	if (string_text(run, node, &text) != SHAPE_SET) {
		return false;
	}
	if (rfc3339_parse_zoned(text.data, text.size, us, &zoned)) {
		if (!zoned && run->local_times) {
			to_utc(us);
		}
		return true;
	}
	return (json_int(run->doc, node, &number) &&
	        number >= EPOCH_MIN_TEXT && epoch(run, node, us));
}

enum shape_result shape_instant(struct shape_run *run,
                                const struct shape_input *in,
                                struct bursar_value *value)
{
	if (!may_be_a_number(run, in)) {
		return SHAPE_MISFIT;
	}

	const bool is_one = type_of(run, in) == JSON_STRING ?
		instant_of_string(run, in->node, &value->number) :
		epoch(run, in->node, &value->number);

	return is_one ? SHAPE_SET : SHAPE_MISFIT;
}

/* --- JSON ------------------------------------------------------------ */

enum shape_result shape_raw(struct shape_run *run,
                            const struct shape_input *in,
                            struct bursar_value *value)
{
	struct bursar_span raw;

	if (in->node == 0) {
		return SHAPE_MISFIT;
	}
	raw = json_raw(run->doc, in->node);
	set_text(value, raw.data, raw.size);
	return SHAPE_SET;
}

enum shape_result shape_object(struct shape_run *run,
                               const struct shape_input *in,
                               struct bursar_value *value)
{
	return in->node != 0 &&
	       run->doc->nodes[in->node].type == JSON_OBJECT
	       ? shape_raw(run, in, value) : SHAPE_MISFIT;
}

/* Writes the elements from `at` to `end`; false: one is no text or too long. */
static bool join(struct shape_run *run, uint32_t at, uint32_t end, char *out,
                 size_t *size)
{
	for (bool first = true; at < end; at = run->doc->nodes[at].next) {
		const struct shape_input in = { .node = at };
		struct bursar_span text;

		if (any_text(run, &in, &text) != SHAPE_SET ||
		    *size + 1 + text.size > SHAPE_MAX_NAME) {
			return false;
		}
		assert(text.data != NULL);
		if (!first) {
			out[(*size)++] = ',';
		}
		memcpy(out + *size, text.data, text.size);
		*size += text.size;
		first = false;
	}
	return true;
}

enum shape_result shape_list(struct shape_run *run,
                             const struct shape_input *in,
                             struct bursar_value *value)
{
	size_t size = 0;
	char *out;

	if (in->node == 0 || type_of(run, in) != JSON_ARRAY) {
		return shape_text(run, in, value);
	}
	out = run->arena->alloc(run->arena, SHAPE_MAX_NAME);
	if (out == NULL) {
		run->no_memory = true;
		return SHAPE_MISFIT;
	}
	if (!join(run, in->node + 1, run->doc->nodes[in->node].next, out,
	          &size)) {
		return SHAPE_MISFIT;
	}
	set_text(value, out, size);
	return SHAPE_SET;
}
