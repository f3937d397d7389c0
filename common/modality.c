/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "common/modality.h"

void modality_find(struct modality_fields *fields,
                   const struct bursar_kind *kind)
{
	*fields = (struct modality_fields){
		.input = bursar_field_find(kind, "input_tokens"),
		.cache_read = bursar_field_find(kind,
		                                "cache_read_input_tokens"),
		.output = bursar_field_find(kind, "output_tokens"),
		.hidden = bursar_field_find(kind, "hidden_output_tokens"),
		.of[MODALITY_AUDIO] = {
			bursar_field_find(kind, "audio_input_tokens"),
			bursar_field_find(kind,
			                  "audio_cache_read_input_tokens"),
			bursar_field_find(kind, "audio_output_tokens"),
		},
		.of[MODALITY_IMAGE] = {
			bursar_field_find(kind, "image_input_tokens"),
			bursar_field_find(kind,
			                  "image_cache_read_input_tokens"),
			bursar_field_find(kind, "image_output_tokens"),
		},
	};
}

/* NULL: nothing was said. */
static struct bursar_value *said(struct bursar_record *record, int field)
{
	return field >= 0 && record->values[field].is_set
		? &record->values[field] : NULL;
}

static int64_t count(struct bursar_record *record, int field)
{
	const struct bursar_value *value = said(record, field);

	return value != NULL && value->number > 0 ? value->number : 0;
}

static int64_t add(int64_t a, int64_t b)
{
	int64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

static void take_what_was_said(const struct modality_fields *f,
                               struct bursar_record *record)
{
	for (int m = 0; m < MODALITIES; m++) {
		struct bursar_value *input = said(record, f->of[m].input);
		const int64_t cached = count(record, f->of[m].cache_read);

		if (input == NULL || cached == 0) {
			continue;
		}
		if (cached > input->number) {
			bursar_set_flag(record, BURSAR_DQ_TOTAL);
		} else {
			input->number -= cached;
		}
	}
}

/* Makes so many tokens of the sort such that came from a cache, if it was not
 * said how many did.  Returns how many are left to be placed. */
static int64_t move(struct bursar_record *record, int from, int to,
                    int64_t tokens)
{
	const int64_t there = count(record, from);
	const int64_t moved = tokens < there ? tokens : there;

	if (moved == 0 || to < 0 || said(record, to) != NULL) {
		return tokens;
	}
	record->values[from].number -= moved;
	bursar_set_number(record, to, moved);
	return tokens - moved;
}

void modality_take_caches_out(const struct modality_fields *f,
                              struct bursar_record *record)
{
	int64_t cached = 0, parts = 0;

	take_what_was_said(f, record);
	if (said(record, f->input) == NULL) {
		return;
	}
	for (int m = 0; m < MODALITIES; m++) {
		cached = add(cached, count(record, f->of[m].cache_read));
		parts = add(parts, count(record, f->of[m].input));
	}
	int64_t over = parts - count(record, f->input);

	if (over > count(record, f->cache_read) - cached) {
		return;		/* no reading of it makes sense */
	}
	for (int m = MODALITIES - 1; m >= 0 && over > 0; m--) {
		over = move(record, f->of[m].input, f->of[m].cache_read, over);
	}
}

void modality_check(const struct modality_fields *f,
                    struct bursar_record *record)
{
	int64_t input = 0, cached = 0, output = count(record, f->hidden);
	bool any_output = false;

	for (int m = 0; m < MODALITIES; m++) {
		input = add(input, count(record, f->of[m].input));
		cached = add(cached, count(record, f->of[m].cache_read));
		output = add(output, count(record, f->of[m].output));
		any_output |= said(record, f->of[m].output) != NULL;
	}
	if ((said(record, f->input) != NULL &&
	     input > count(record, f->input)) ||
	    (said(record, f->cache_read) != NULL &&
	     cached > count(record, f->cache_read)) ||
	    (any_output && said(record, f->output) != NULL &&
	     output > count(record, f->output))) {
		bursar_set_flag(record, BURSAR_DQ_TOTAL);
	}
}
