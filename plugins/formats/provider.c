/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Answers of model providers, as something that stands between a program and
 * its provider sees them: each is one metering record.
 *
 * Only the figures are taken.  What was asked and answered never becomes part
 * of a fact, so the answer is read by the tables of provider_family.c, and
 * only what stands beside it goes through the table below.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/modality.h"
#include "common/shape.h"
#include "provider.h"

/* What is read by itself below, and kept nowhere. */
static enum shape_result apart(struct shape_run *run,
                               const struct shape_input *in,
                               struct bursar_value *value)
{
	(void)run, (void)in, (void)value;
	return SHAPE_EMPTY;
}

/* What may stand beside an answer. */
static const struct shape_rule rules[] = {
	{ "message_id", shape_present, "$message_id message_id event_id" },
	{ "correlation_id", shape_text, "$correlation_id correlation_id" },
	{ "conversation_id", shape_text,
	  "conversation_id @x-legion-llm-conversation-id" },
	{ "request_id", shape_text, "request_id @x-legion-llm-request-id" },
	{ "exchange_id", shape_text, "exchange_id" },
	{ "recorded_at", shape_instant,
	  "recorded_at timestamp tracked_at occurred_at ts" },
	{ "request_type", shape_text,
	  "request_type @x-legion-llm-request-type" },
	{ "operation", shape_text, "operation" },
	{ "tier", shape_text, "tier @x-legion-llm-tier" },
	{ "provider", shape_text, "provider @x-legion-llm-provider" },
	{ "provider_instance", shape_text, "provider_instance" },
	{ "model_id", shape_text, "model_id model @x-legion-llm-model" },
	{ "node_id", shape_text, "node_id" },
	{ "worker_id", shape_text, "worker_id" },
	{ "agent_id", shape_text, "agent_id agent" },
	{ "task_id", shape_text, "task_id" },
	{ "team", shape_text, "team" },
	{ "pricing_mode", shape_present, "pricing_mode" },
	{ "region", shape_present, "region" },
	{ "web_searches", shape_count, "web_searches" },
	{ "images", shape_count, "images" },
	{ "pages", shape_count, "pages" },
	{ "media_ms", shape_count, "media_ms" },
	{ "characters", shape_count, "characters" },
	{ "latency_ms", shape_count, "latency_ms" },
	{ "wall_clock_ms", shape_count, "wall_clock_ms" },
	{ "cost_reported_usd", shape_money, "cost_usd" },
	{ "routing_reason", shape_text, "routing_reason" },
	{ "cost_center", shape_text, "cost_center" },
	{ "budget_id", shape_text, "budget_id" },
	{ "caller_identity", shape_present,
	  "caller_identity @x-legion-caller-identity" },
	{ "caller_type", shape_present,
	  "caller_type @x-legion-caller-type" },
	{ "dispatch_path", shape_text, "dispatch_path" },
	{ "idempotency_key", shape_text, "idempotency_key" },
	{ "tags", shape_object, "tags" },
	{ ".apart", apart, "url status *request *response" },
	{ NULL },
};

/* What stands beside an answer in the file of a batch.  A line that names
 * nothing of the provider's has no id but its place. */
static const struct shape_rule batch_rules[] = {
	{ "message_id", shape_present, "$message_id id response.request_id "
	  "response.body.id result.message.id result.error.request_id" },
	{ "correlation_id", shape_text, "$correlation_id custom_id" },
	{ "request_id", shape_present,
	  "response.request_id result.error.request_id" },
	{ ".apart", apart, "*response *response.body *result *error" },
	{ NULL },
};

/* The fields of a record that an answer fills; -1: the schema has none. */
struct places {
	int provider;
	int model;
	int input;
	int cache_read;
	int cache_write;
	int cache_write_1h;
	int output;
	int hidden;
	struct modality_fields modalities;
	int total;
	int cost;
	int mode;
	int region;
	int searches;
	int images;
	int pages;
	int media;
	int status;
	int error;
	int finish;
	int response_id;
	int usage_source;
};

struct bursar_format {
	const struct bursar_kind *kind;
	const struct family *family;	/* NULL: each message says it */
	const char *provider;		/* "": as the family has it */
	struct shape *shape;
	struct shape *batch_shape;
	struct json_reader *outer;	/* of what stands beside an answer */
	struct json_reader *inner;	/* of an answer that came as a text */
	struct places to;
};

/* One message on its way. */
struct decoding {
	struct bursar_format *format;
	struct bursar_record *record;
	struct bursar_arena  *arena;
	struct json_doc beside;		/* what stands beside the answer */
	uint32_t response;		/* in it; 0: the message is the answer */
	struct batch_line line;
	bool in_batch;			/* it is that line */
	const struct family *family;
	const char *provider;		/* NULL: nothing is known */
	struct bursar_span url_model;
	struct bursar_span url_region;
	struct bursar_value asked;	/* the model of the request */
	struct usage usage;
	bool streamed;
	bool http_failed;
	bool no_memory;
};

/* --- the answer ------------------------------------------------------------ */

/* Returns false when memory is short. */
static bool take_answer(struct decoding *d, const struct json_doc *doc,
                        uint32_t node)
{
	if (d->family == NULL) {
		d->family = family_of_answer(doc, node);
	}
	return d->family == NULL ||
	       usage_take(&d->usage, d->family, doc, node, d->record,
	                  d->arena);
}

/* The elements of an array are events, as Gemini streams them. */
static bool take_value(struct decoding *d, const struct json_doc *doc,
                       uint32_t node)
{
	if (doc->nodes[node].type != JSON_ARRAY) {
		return take_answer(d, doc, node);
	}
	d->streamed = true;
	for (uint32_t at = node + 1; at < doc->nodes[node].next;
	     at = doc->nodes[at].next) {
		if (!take_answer(d, doc, at)) {
			return false;
		}
	}
	return true;
}

static bool is_json(struct bursar_span text)
{
	size_t at = 0;

	while (at < text.size && memchr(" \t\r\n", text.data[at], 4) != NULL) {
		at++;
	}
	return at < text.size && (text.data[at] == '{' || text.data[at] == '[');
}

/* `text` is followed by readable bytes.  An event that is no JSON says
 * nothing of usage: [DONE], or what a cut left of the last one. */
static bool take_events(struct decoding *d, struct bursar_span text)
{
	struct bursar_span event;
	struct json_doc doc;
	size_t at = 0;
	int more;

	d->streamed = true;
	while ((more = sse_next(text, &at, d->arena, &event)) == 1) {
		struct bursar_error err = { 0 };

		if (!is_json(event)) {
			continue;
		}
		if (json_read(d->format->inner, event.data, event.size, &doc,
		              &err) != 0) {
			if (err.code == ENOMEM) {
				return false;
			}
			continue;
		}
		if (!take_value(d, &doc, 0)) {
			return false;
		}
	}
	return more == 0;
}

static enum bursar_verdict take_text(struct decoding *d,
                                     struct bursar_span text,
                                     struct bursar_error *err)
{
	struct json_doc doc;

	if (!is_json(text)) {
		return take_events(d, text) ? BURSAR_DONE : BURSAR_RETRY;
	}
	if (json_read(d->format->inner, text.data, text.size, &doc, err) != 0) {
		if (err->code == ENOMEM) {
			return BURSAR_RETRY;
		}
		/* What failed may answer anything. */
		return d->http_failed ? BURSAR_DONE : BURSAR_REJECT;
	}
	return take_value(d, &doc, 0) ? BURSAR_DONE : BURSAR_RETRY;
}

static enum bursar_verdict take_response(struct decoding *d,
                                         struct bursar_error *err)
{
	const struct json_doc *doc = &d->beside;
	struct bursar_span text;
	unsigned met;

	switch ((enum json_type)doc->nodes[d->response].type) {
	case JSON_OBJECT:
	case JSON_ARRAY:
		return take_value(d, doc, d->response) ? BURSAR_DONE
		                                       : BURSAR_RETRY;
	case JSON_STRING:
		if (!json_text(doc, d->response, d->arena, &text, &met)) {
			return BURSAR_RETRY;
		}
		return take_text(d, text, err);
	default:
		return BURSAR_DONE;
	}
}

/* --- what stands beside it ------------------------------------------------- */

static void choose_family(struct decoding *d, bool *uses_tokens)
{
	const struct bursar_format *format = d->format;
	const uint32_t node = json_member(&d->beside, 0, "url");
	struct bursar_span url;
	unsigned met;

	*uses_tokens = true;
	d->family = format->family;
	if (d->in_batch && d->family == NULL) {
		d->family = family_find(d->line.family);
	}
	if (node != 0 && d->beside.nodes[node].type == JSON_STRING) {
		if (!json_text(&d->beside, node, d->arena, &url, &met)) {
			d->no_memory = true;
			return;
		}
		const struct family *family = family_of_url(
			url, &d->provider, uses_tokens, &d->url_model,
			&d->url_region);

		d->family = d->family != NULL ? d->family : family;
	}
	if (format->provider[0] != '\0') {
		d->provider = format->provider;
	}
}

/* Whether the program asked for a stream, by the member and not by a search
 * for words, which also stand in what people write; and for which model. */
static void take_request(struct decoding *d, const struct json_doc *doc,
                         uint32_t node)
{
	const uint32_t stream = place_find(doc, node, "stream");
	const struct shape_input model = {
		.node = place_find(doc, node, "model"),
	};
	struct shape_run run = { .doc = doc, .record = d->record,
	                         .arena = d->arena };

	d->streamed = stream != 0 && doc->nodes[stream].type == JSON_TRUE;
	d->asked.is_set = model.node != 0 &&
		shape_present(&run, &model, &d->asked) == SHAPE_SET;
	d->no_memory |= run.no_memory;
}

/* A request that cannot be read says nothing, which is no fault of the
 * answer. */
static void read_request(struct decoding *d)
{
	const uint32_t node = json_member(&d->beside, 0, "request");
	struct bursar_error ignored = { 0 };
	struct bursar_span text;
	struct json_doc doc;
	unsigned met;

	if (node == 0) {
		return;
	}
	if (d->beside.nodes[node].type != JSON_STRING) {
		take_request(d, &d->beside, node);
	} else if (!json_text(&d->beside, node, d->arena, &text, &met)) {
		d->no_memory = true;
	} else if (is_json(text) &&
	           json_read(d->format->inner, text.data, text.size, &doc,
	                     &ignored) == 0) {
		take_request(d, &doc, 0);
	}
}

/* --- the record ------------------------------------------------------------ */

static void set_number(struct decoding *d, int field, int64_t number)
{
	if (field >= 0) {
		bursar_set_number(d->record, field, number);
	}
}

static void set_text(struct decoding *d, int field, const char *text,
                     size_t size)
{
	if (field >= 0) {
		bursar_set_text(d->record, field, text, size);
	}
}

static void set_constant(struct decoding *d, int field, const char *text)
{
	set_text(d, field, text, strlen(text));
}

static void set_value(struct decoding *d, int field, enum usage_field from)
{
	if (field >= 0 && d->usage.values[from].is_set) {
		d->record->values[field] = d->usage.values[from];
	}
}

/* a + b where anything of it was said; a sum that no one can mean is none. */
static struct bursar_value sum(struct decoding *d, struct bursar_value a,
                               struct bursar_value b)
{
	struct bursar_value both = { .is_set = a.is_set || b.is_set };

	if (__builtin_add_overflow(a.is_set ? a.number : 0,
	                           b.is_set ? b.number : 0, &both.number)) {
		bursar_set_flag(d->record, BURSAR_DQ_ABSURD);
		both.is_set = false;
	}
	return both;
}

static void set_if_said(struct decoding *d, int field, struct bursar_value value)
{
	if (value.is_set) {
		set_number(d, field, value.number);
	}
}

/* What was put into a cache: by how long it is kept, else as one number.  The
 * end of a stream may say that number alone, and more of it than before. */
static struct bursar_value written(struct decoding *d)
{
	const struct bursar_value *values = d->usage.values;
	const struct bursar_value whole = values[USAGE_CACHE_WRITE];
	const struct bursar_value parts = sum(d, values[USAGE_CACHE_WRITE_5M],
	                                      values[USAGE_CACHE_WRITE_1H]);

	return parts.is_set && !(d->streamed && whole.is_set &&
	                         whole.number > parts.number) ? parts : whole;
}

/* Less input than was read from the cache contradicts the family's way of
 * counting: it is stored as it came, and flagged.  Returns whether something
 * was taken out. */
static bool take_caches_out(struct decoding *d, struct bursar_value *input,
                            struct bursar_value caches)
{
	if (!input->is_set || !caches.is_set || caches.number == 0) {
		return false;
	}
	if (caches.number < 0 || caches.number > input->number) {
		bursar_set_flag(d->record, BURSAR_DQ_TOTAL);
		return false;
	}
	input->number -= caches.number;
	return true;
}

/* Sound and images, which are parts of what stands in the record already. */
static void set_modalities(struct decoding *d, bool less_caches)
{
	static const enum usage_field from[MODALITIES][3] = {
		[MODALITY_AUDIO] = { USAGE_AUDIO_INPUT, USAGE_AUDIO_CACHE_READ,
		                     USAGE_AUDIO_OUTPUT },
		[MODALITY_IMAGE] = { USAGE_IMAGE_INPUT, USAGE_IMAGE_CACHE_READ,
		                     USAGE_IMAGE_OUTPUT },
	};
	const struct modality_fields *to = &d->format->to.modalities;

	for (int m = 0; m < MODALITIES; m++) {
		set_value(d, to->of[m].input, from[m][0]);
		set_value(d, to->of[m].cache_read, from[m][1]);
		set_value(d, to->of[m].output, from[m][2]);
	}
	if (d->usage.values[USAGE_IMAGES].is_set &&
	    !d->usage.values[USAGE_IMAGE_OUTPUT].is_set) {
		set_value(d, to->of[MODALITY_IMAGE].output, USAGE_OUTPUT);
	}
	if (less_caches) {
		modality_take_caches_out(to, d->record);
	}
	modality_check(to, d->record);
}

static void set_tokens(struct decoding *d)
{
	const struct places *to = &d->format->to;
	const struct bursar_value *values = d->usage.values;
	const struct bursar_value read = values[USAGE_CACHE_READ];
	const struct bursar_value write = written(d);
	const struct bursar_value reasoning = values[USAGE_REASONING];
	struct bursar_value input = sum(d, values[USAGE_INPUT],
	                                values[USAGE_TOOL_INPUT]);
	struct bursar_value output = values[USAGE_OUTPUT];
	const bool less_caches = d->family->input_has_caches &&
		take_caches_out(d, &input, sum(d, read, write));

	if (!d->family->output_has_reasoning) {
		output = sum(d, output, reasoning);
	}
	set_if_said(d, to->input, input);
	set_if_said(d, to->cache_read, read);
	set_if_said(d, to->cache_write, write);
	set_value(d, to->cache_write_1h, USAGE_CACHE_WRITE_1H);
	set_if_said(d, to->output, output);
	set_if_said(d, to->hidden, reasoning);
	set_value(d, to->total, USAGE_TOTAL);
	set_modalities(d, less_caches);
	if (reasoning.is_set && output.is_set &&
	    reasoning.number > output.number) {
		bursar_set_flag(d->record, BURSAR_DQ_TOTAL);
	}
}

/* The answer's own name for the model counts, then what was asked for. */
static void set_model(struct decoding *d)
{
	const int field = d->format->to.model;

	if (d->usage.values[USAGE_MODEL].is_set) {
		set_value(d, field, USAGE_MODEL);
	} else if (d->asked.is_set) {
		set_text(d, field, d->asked.text, d->asked.size);
	} else if (d->url_model.data != NULL) {
		set_text(d, field, d->url_model.data, d->url_model.size);
	}
}

static bool says(const struct bursar_value *value, const char *word)
{
	return value->is_set && strlen(word) == value->size &&
	       memcmp(word, value->text, value->size) == 0;
}

/* Google says which quota a call went on, Anthropic beside the tier how fast it
 * was; the others name the mode itself. */
static void set_mode(struct decoding *d)
{
	static const struct {
		const char *said;
		const char *mode;
	} traffic[] = {
		{ "ON_DEMAND", "standard" },
		{ "ON_DEMAND_PRIORITY", "priority" },
		{ "ON_DEMAND_FLEX", "flex" },
		{ "FLEX", "flex" },
		{ "BATCH", "batch" },
	};
	const struct bursar_value *said = &d->usage.values[USAGE_MODE];

	set_value(d, d->format->to.mode, USAGE_MODE);
	for (size_t i = 0; i < sizeof(traffic) / sizeof(traffic[0]); i++) {
		if (says(said, traffic[i].said)) {
			set_constant(d, d->format->to.mode, traffic[i].mode);
		}
	}
	if (says(&d->usage.values[USAGE_SPEED], "fast")) {
		set_constant(d, d->format->to.mode, "fast");
	}
}

/* What stands beside an answer counts, then what it says, then its URL. */
static void set_region(struct decoding *d)
{
	const int field = d->format->to.region;

	if (field < 0 || d->record->values[field].is_set) {
		return;
	}
	if (d->usage.values[USAGE_REGION].is_set) {
		set_value(d, field, USAGE_REGION);
	} else if (d->url_region.data != NULL) {
		set_text(d, field, d->url_region.data, d->url_region.size);
	}
}

/* All of a batch is billed as such, whatever tier it was served in. */
static void set_batch_mode(struct decoding *d)
{
	const int field = d->format->to.mode;

	if (d->in_batch && field >= 0 &&
	    !batch_mode_is_said(&d->record->values[field])) {
		set_constant(d, field, "batch");
	}
}

/* What is billed by pieces, where nothing beside the answer said it. */
static void set_pieces(struct decoding *d)
{
	const struct places *to = &d->format->to;
	const struct { int field; enum usage_field from; } pieces[] = {
		{ to->searches, USAGE_SEARCHES }, { to->images, USAGE_IMAGES },
		{ to->pages, USAGE_PAGES }, { to->media, USAGE_MEDIA },
	};

	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		if (pieces[i].field >= 0 &&
		    !d->record->values[pieces[i].field].is_set) {
			set_value(d, pieces[i].field, pieces[i].from);
		}
	}
}

static void set_outcome(struct decoding *d)
{
	const struct places *to = &d->format->to;

	if (d->http_failed) {
		set_constant(d, to->status, "error");
		if (!d->usage.values[USAGE_ERROR].is_set) {
			set_constant(d, to->error, "http");
		}
	} else {
		set_constant(d, to->status,
		             d->usage.values[USAGE_ERROR].is_set ? "error"
		                                                 : "success");
	}
	set_value(d, to->error, USAGE_ERROR);
	set_value(d, to->finish, USAGE_FINISH);
	set_value(d, to->response_id, USAGE_ID);
	if (!d->usage.found) {
		set_constant(d, to->usage_source, "unknown");
	} else if (!d->streamed) {
		set_constant(d, to->usage_source, "response");
	} else {
		set_constant(d, to->usage_source, d->usage.whole
		             ? "stream_final" : "stream_partial");
	}
}

static void fill(struct decoding *d)
{
	const struct places *to = &d->format->to;
	struct bursar_value *values = d->record->values;

	if (d->family != NULL) {
		if (d->provider == NULL) {
			d->provider = d->family->name;
		}
		set_tokens(d);
	}
	if (d->provider != NULL && to->provider >= 0 &&
	    !values[to->provider].is_set) {
		set_constant(d, to->provider, d->provider);
	}
	if (!values[BURSAR_RECORDED_AT].is_set) {
		set_value(d, BURSAR_RECORDED_AT, USAGE_CREATED);
	}
	if (to->cost >= 0 && !values[to->cost].is_set) {
		set_value(d, to->cost, USAGE_COST);
	}
	if (to->mode >= 0 && !values[to->mode].is_set) {
		set_mode(d);
	}
	set_batch_mode(d);
	set_model(d);
	set_region(d);
	set_pieces(d);
	set_outcome(d);
}

/* --- one message ----------------------------------------------------------- */

/* An answer alone has nothing beside it. */
static const char nothing[2 + 64] = "{}";

static enum bursar_verdict read_message(struct decoding *d,
                                        struct bursar_span body,
                                        struct bursar_error *err)
{
	const struct bursar_span empty = { nothing, 2 };

	if (is_json(body)) {
		if (json_read(d->format->outer, body.data, body.size,
		              &d->beside, err) != 0) {
			return err->code == ENOMEM ? BURSAR_RETRY
			                           : BURSAR_REJECT;
		}
		d->in_batch = batch_line_find(&d->beside, &d->line);
		if (d->in_batch) {
			d->response = d->line.answer;
			return batch_line_check(&d->beside, &d->line, err);
		}
		const uint32_t status = json_member(&d->beside, 0, "status");

		/* Answers have a status of their own, which is a word. */
		d->response = json_member(&d->beside, 0, "response");
		if (d->response != 0 || (status != 0 &&
		    d->beside.nodes[status].type == JSON_NUMBER)) {
			return BURSAR_DONE;
		}
	}
	return json_read(d->format->outer, empty.data, empty.size, &d->beside,
	                 err) == 0 ? BURSAR_DONE : BURSAR_RETRY;
}

/* Whether the message is an answer and nothing else. */
static bool is_bare(const struct decoding *d)
{
	return d->beside.text == nothing;
}

/* Whether the status beside the answer is another one than that of success. */
static bool has_failed(const struct json_doc *beside)
{
	const uint32_t status = json_member(beside, 0, "status");
	int64_t number = HTTP_OK;

	return status != 0 && json_int(beside, status, &number) &&
	       number != HTTP_OK;
}

/* Whether what stands beside the answer says that the call failed, and how. */
static void read_failure(struct decoding *d)
{
	const struct shape_input error = { .node = d->line.error };
	struct bursar_value *said = &d->usage.values[USAGE_ERROR];
	struct shape_run run = { .doc = &d->beside, .record = d->record,
	                         .arena = d->arena };

	d->http_failed = d->in_batch ? d->line.failed : has_failed(&d->beside);
	said->is_set = error.node != 0 &&
		shape_present(&run, &error, said) == SHAPE_SET;
	d->no_memory |= run.no_memory;
}

static enum bursar_verdict read_answer(struct decoding *d,
                                       struct bursar_span body,
                                       struct bursar_error *err)
{
	enum bursar_verdict verdict = BURSAR_DONE;

	read_failure(d);
	read_request(d);
	if (is_bare(d)) {
		verdict = take_text(d, body, err);
	} else if (d->response != 0) {
		verdict = take_response(d, err);
	}
	if (verdict == BURSAR_DONE && d->family == NULL && !d->http_failed) {
		bursar_fail(err, EINVAL, "nothing tells whose answer this is: "
		            "give its url, or the option family");
		return BURSAR_REJECT;
	}
	return verdict;
}

static enum bursar_verdict is_acceptable(const struct bursar_format *format,
                                         const struct bursar_message *message,
                                         struct bursar_error *err)
{
	if (message->kind != NULL && message->kind != format->kind) {
		bursar_fail(err, EINVAL, "an answer of a provider is metering, "
		            "not %s", message->kind->name);
		return BURSAR_REJECT;
	}
	if (message->body.size == 0) {
		bursar_fail(err, EINVAL, "the body is empty");
		return BURSAR_REJECT;
	}
	return BURSAR_DONE;
}

/* In memory of our own first: what turns out to use no tokens becomes no
 * record. */
static bool begin_record(struct decoding *d)
{
	const struct bursar_kind *kind = d->format->kind;
	const size_t size = sizeof(*d->record) +
		kind->field_count * sizeof(d->record->values[0]);

	d->record = d->arena->alloc(d->arena, size);
	if (d->record == NULL) {
		return false;
	}
	memset(d->record, 0, size);
	d->record->kind = kind;
	return true;
}

/* The message's own identity comes before that of the answer. */
static bool add_record(const struct decoding *d,
                       const struct bursar_message *message,
                       struct bursar_records *records)
{
	const struct bursar_kind *kind = d->format->kind;
	struct bursar_record *record = records->add(records, kind);

	if (record == NULL) {
		return false;
	}
	memcpy(record->values, d->record->values,
	       kind->field_count * sizeof(record->values[0]));
	if (message->message_id.size > 0) {
		record->values[BURSAR_MESSAGE_ID] = (struct bursar_value){ 0 };
	}
	return true;
}

static enum bursar_verdict decode(struct bursar_format *format,
                                  const struct bursar_message *message,
                                  struct bursar_records *records,
                                  struct bursar_error *err)
{
	struct decoding d = { .format = format, .arena = records->arena };
	enum bursar_verdict verdict = is_acceptable(format, message, err);
	bool uses_tokens;

	if (verdict != BURSAR_DONE) {
		return verdict;
	}
	if (!begin_record(&d)) {
		goto no_memory;
	}
	verdict = read_message(&d, message->body, err);
	if (verdict != BURSAR_DONE) {
		return verdict;
	}
	if (!shape_fill(d.in_batch ? format->batch_shape : format->shape,
	                &d.beside, message, d.record, d.arena)) {
		goto no_memory;
	}
	choose_family(&d, &uses_tokens);
	if (!uses_tokens) {
		return BURSAR_DONE;
	}
	verdict = d.no_memory ? BURSAR_RETRY
	                      : read_answer(&d, message->body, err);
	if (verdict == BURSAR_RETRY) {
		goto no_memory;
	}
	if (verdict != BURSAR_DONE) {
		return verdict;
	}
	fill(&d);
	if (d.no_memory || !add_record(&d, message, records)) {
		goto no_memory;
	}
	return BURSAR_DONE;

no_memory:
	bursar_fail(err, ENOMEM, "out of memory");
	return BURSAR_RETRY;
}

/* --- operations ------------------------------------------------------------ */

static void close_format(struct bursar_format *format)
{
	if (format == NULL) {
		return;
	}
	shape_destroy(format->shape);
	shape_destroy(format->batch_shape);
	json_reader_destroy(format->outer);
	json_reader_destroy(format->inner);
	free(format);
}

static void find_fields(struct places *to, const struct bursar_kind *kind)
{
	*to = (struct places){
		.provider = bursar_field_find(kind, "provider"),
		.model = bursar_field_find(kind, "model_id"),
		.input = bursar_field_find(kind, "input_tokens"),
		.cache_read = bursar_field_find(kind,
		                                "cache_read_input_tokens"),
		.cache_write = bursar_field_find(kind,
		                                 "cache_write_input_tokens"),
		.cache_write_1h = bursar_field_find(
			kind, "cache_write_1h_input_tokens"),
		.output = bursar_field_find(kind, "output_tokens"),
		.hidden = bursar_field_find(kind, "hidden_output_tokens"),
		.total = bursar_field_find(kind, "total_tokens"),
		.cost = bursar_field_find(kind, "cost_reported_usd"),
		.mode = bursar_field_find(kind, "pricing_mode"),
		.region = bursar_field_find(kind, "region"),
		.searches = bursar_field_find(kind, "web_searches"),
		.images = bursar_field_find(kind, "images"),
		.pages = bursar_field_find(kind, "pages"),
		.media = bursar_field_find(kind, "media_ms"),
		.status = bursar_field_find(kind, "status"),
		.error = bursar_field_find(kind, "error_type"),
		.finish = bursar_field_find(kind, "finish_reason"),
		.response_id = bursar_field_find(kind,
		                                 "provider_response_id"),
		.usage_source = bursar_field_find(kind, "usage_source"),
	};
	modality_find(&to->modalities, kind);
}

static struct bursar_format *open_format(const struct bursar_host *host,
                                         struct bursar_error *err)
{
	struct bursar_format *format = calloc(1, sizeof(*format));

	if (format == NULL) {
		goto no_memory;
	}
	format->kind = bursar_kind_find(host->schema, "metering", 8);
	format->family = family_find(host->text(host, "family"));
	format->provider = host->text(host, "provider");
	format->outer = json_reader_create();
	format->inner = json_reader_create();
	if (format->outer == NULL || format->inner == NULL) {
		goto no_memory;
	}
	format->shape = shape_create(format->kind, rules, err);
	format->batch_shape = shape_create(format->kind, batch_rules, err);
	if (format->shape == NULL || format->batch_shape == NULL) {
		goto failed;
	}
	find_fields(&format->to, format->kind);
	return format;

no_memory:
	bursar_fail(err, ENOMEM, "out of memory");
failed:
	close_format(format);
	return NULL;
}

static const struct bursar_format_ops ops = {
	.open = open_format,
	.decode = decode,
	.close = close_format,
};

static const struct bursar_option options[] = {
	{ .name = "family", .type = BURSAR_TYPE_CHOICE, .fallback = "auto",
	  .help = "How the provider counts; auto goes by the host of the url, "
	          "else by what an answer says of itself, which cannot tell "
	          "xai from openai.",
	  .choices = "auto|openai|xai|anthropic|gemini|bedrock" },
	{ .name = "provider", .type = BURSAR_TYPE_TEXT, .fallback = "",
	  .help = "Name of the provider in the ledger; without it, what the "
	          "message says, else what the host or the family tells." },
	{ NULL },
};

BURSAR_PLUGIN_DEFINE(format_provider,
	.kind = BURSAR_FORMAT,
	.name = "provider",
	.summary = "usage out of the answers of model providers",
	.options = options,
	.manual =
"One message is one answer of OpenAI, of those who answer like it, of xAI, "
"Anthropic, Gemini or Bedrock, and becomes one metering record: the answer's "
"body alone, streamed or not, or an object with what stands beside it:\n"
"\n"
"    {\"url\": \"https://api.openai.com/v1/chat/completions\",\n"
"     \"status\": 200, \"request\": {...}, \"response\": {...},\n"
"     \"latency_ms\": 812, \"team\": \"search\"}\n"
"\n"
"response is the body as JSON or as the text that came, server-sent events "
"included; of request only model and stream are read. Nothing of what was "
"asked and answered is stored. Caches are taken out of the input, and "
"reasoning is counted once, by the ways of the family; what of the tokens was "
"sound or images stands in columns of its own. Of a stream the last "
"figures count, never their sum; usage_source says response, stream_final, "
"stream_partial for a stream that was cut off, or unknown where an answer said "
"nothing: its counts are unknown then, not zero. A status other than 200 is an "
"error of the call. A url of a known host under which no tokens are used "
"makes no record; the path tells where a host answers in the way of another, "
"as Vertex AI and Bedrock do for models of Anthropic.\n"
"\n"
"A line of the file in which OpenAI, or who has its Batch API, answers a batch, "
"and one of Anthropic's, is read as it stands:\n"
"\n"
"    {\"id\": \"batch_req_1\", \"custom_id\": \"mine-1\", \"error\": null,\n"
"     \"response\": {\"status_code\": 200, \"body\": {...}}}\n"
"    {\"custom_id\": \"mine-2\",\n"
"     \"result\": {\"type\": \"succeeded\", \"message\": {...}}}\n"
"\n"
"Its pricing_mode is batch, unless the answer says flex or priority; custom_id "
"becomes correlation_id. The provider's id of the line, else of its request or "
"answer, is the record's: a file that is read twice counts once. A line that "
"failed, expired or was cancelled is a record of status error, with what is "
"said of the reason.",
	.ops.format = &ops);
