/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The messages of the LegionIO language-model ledger: metering, prompt audits
 * and tool audits, in all the spellings that its producers have used.
 *
 * Which member fills which field stands in the tables below and nowhere else.
 * Unknown is not zero: what was not said is not set.  Nothing is lost in
 * silence: what has no field, does not fit its field or lost against another
 * place is kept in extra_json, and dq_flags say so.
 *
 * A message makes exactly one record.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <bursar/format.h>

#include "common/descriptor.h"
#include "common/json.h"
#include "common/modality.h"
#include "common/shape.h"
#include "common/thinking.h"

#define SAYS(value, word) set_word(value, word, sizeof(word) - 1)

static void set_word(struct bursar_value *value, const char *word, size_t size)
{
	value->text = word;
	value->size = (uint32_t)size;
}

static uint8_t type_of(const struct shape_run *run,
                       const struct shape_input *in)
{
	return run->doc->nodes[in->node].type;
}

/* --- conversions of this format -------------------------------------- */

/* A level that is not one of the four is stored as it came, and flagged. */
static enum shape_result level(struct shape_run *run,
                               const struct shape_input *in,
                               struct bursar_value *value)
{
	static const char *const levels[] = {
		"public", "internal", "confidential", "restricted",
	};
	const enum shape_result result = shape_text(run, in, value);

	if (result != SHAPE_SET) {
		return result;
	}
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (strlen(levels[i]) == value->size &&
		    strncasecmp(levels[i], value->text, value->size) == 0) {
			return SHAPE_SET;
		}
	}
	bursar_set_flag(run->record, BURSAR_DQ_CLASSIFICATION);
	return SHAPE_SET;
}

/*
 * Health data where any place says so; a flag that cannot be read counts as
 * one that is up, because the mistake that keeps too long is the worse one.
 */
static enum shape_result health(struct shape_run *run,
                                const struct shape_input *in,
                                struct bursar_value *value)
{
	const enum shape_result result = shape_flag(run, in, value);

	if (result == SHAPE_MISFIT) {
		value->number = 1;
		return SHAPE_LOSSY;
	}
	return result == SHAPE_SET && value->number == 0 ? SHAPE_PASS : result;
}

/* A call that names an error and no status has failed. */
static enum shape_result failed(struct shape_run *run,
                                const struct shape_input *in,
                                struct bursar_value *value)
{
	const uint8_t type = type_of(run, in);

	if (type == JSON_FALSE ||
	    (type == JSON_STRING && run->doc->nodes[in->node].size == 2)) {
		return SHAPE_PASS;
	}
	SAYS(value, "error");
	return SHAPE_LENT;
}

/* Members of `caller` itself count where it has no `requested_by`. */
static bool has_requester(const struct shape_run *run)
{
	const uint32_t caller = json_member(run->doc, 0, "caller");
	const uint32_t requester = caller == 0 ? 0 :
		json_member(run->doc, caller, "requested_by");

	return requester != 0 &&
	       run->doc->nodes[requester].type == JSON_OBJECT;
}

static enum shape_result direct(struct shape_run *run,
                                const struct shape_input *in,
                                struct bursar_value *value)
{
	return has_requester(run) ? SHAPE_PASS :
	       shape_present(run, in, value);
}

static enum shape_result extension_type(struct shape_run *run,
                                        const struct shape_input *in,
                                        struct bursar_value *value)
{
	const enum shape_result result = shape_present(run, in, value);

	if (result != SHAPE_SET) {
		return result;
	}
	SAYS(value, "extension");
	return SHAPE_LENT;
}

static enum shape_result joined(struct shape_run *run, const char *before,
                                size_t size, struct bursar_value *value)
{
	char *text = run->arena->alloc(run->arena, size + 1 + value->size);

	if (text == NULL) {
		run->no_memory = true;
		return SHAPE_MISFIT;
	}
	memcpy(text, before, size);
	text[size] = ':';
	memcpy(text + size + 1, value->text, value->size);
	value->text = text;
	value->size += (uint32_t)size + 1;
	return SHAPE_SET;
}

static enum shape_result extension(struct shape_run *run,
                                   const struct shape_input *in,
                                   struct bursar_value *value)
{
	const enum shape_result result = shape_present(run, in, value);

	return result == SHAPE_SET ? joined(run, "extension", 9, value) :
	       result;
}

static enum shape_result direct_extension_type(struct shape_run *run,
                                               const struct shape_input *in,
                                               struct bursar_value *value)
{
	return has_requester(run) ? SHAPE_PASS :
	       extension_type(run, in, value);
}

static enum shape_result direct_extension(struct shape_run *run,
                                          const struct shape_input *in,
                                          struct bursar_value *value)
{
	return has_requester(run) ? SHAPE_PASS : extension(run, in, value);
}

/* A number of somebody's database; what is not above zero is none. */
static enum shape_result row_id(struct shape_run *run,
                                const struct shape_input *in,
                                struct bursar_value *value)
{
	const struct bursar_span text = in->given;
	int64_t number = 0;

	if (in->node != 0) {
		return json_int(run->doc, in->node, &number) && number > 0
			? shape_integer(run, in, value) : SHAPE_EMPTY;
	}
	if (text.size > 18) {
		return SHAPE_EMPTY;
	}
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] < '0' || text.data[i] > '9') {
			return SHAPE_EMPTY;
		}
		number = number * 10 + (text.data[i] - '0');
	}
	value->number = number;
	return number > 0 ? SHAPE_SET : SHAPE_EMPTY;
}

/* A text, as it was written, becomes {"content":"..."}. */
static bool wrap(struct shape_run *run, struct bursar_span inside,
                 struct bursar_value *value)
{
	static const char before[] = "{\"content\":\"";
	const size_t size = sizeof(before) - 1 + inside.size + 2;
	char *text = run->arena->alloc(run->arena, size);

	if (text == NULL || size > UINT32_MAX) {
		run->no_memory = true;
		return false;
	}
	memcpy(text, before, sizeof(before) - 1);
	memcpy(text + sizeof(before) - 1, inside.data, inside.size);
	memcpy(text + size - 2, "\"}", 2);
	set_word(value, text, size);
	return true;
}

static struct bursar_span inside_of(const struct shape_run *run,
                                    const struct shape_input *in)
{
	struct bursar_span raw = json_raw(run->doc, in->node);

	return (struct bursar_span){ raw.data + 1, raw.size - 2 };
}

/* Reasoning that the producer set apart. */
static enum shape_result reasoning(struct shape_run *run,
                                   const struct shape_input *in,
                                   struct bursar_value *value)
{
	const struct json_node *node = &run->doc->nodes[in->node];

	if (node->type == JSON_STRING) {
		if (node->size == 2) {
			return SHAPE_EMPTY;
		}
		return wrap(run, inside_of(run, in), value) ? SHAPE_SET :
		       SHAPE_MISFIT;
	}
	if (node->next == in->node + 1 &&
	    (node->type == JSON_OBJECT || node->type == JSON_ARRAY)) {
		return SHAPE_EMPTY;
	}
	return shape_raw(run, in, value);
}

/* What a plain text says aloud. */
static enum shape_result answer(struct shape_run *run,
                                const struct shape_input *in,
                                struct bursar_value *value)
{
	struct bursar_span raw;
	struct bursar_span visible;
	struct bursar_span inner;

	if (type_of(run, in) != JSON_STRING) {
		return shape_raw(run, in, value);
	}
	raw = inside_of(run, in);
	if (!thinking_split(raw.data, raw.size, run->arena, &visible,
	                    &inner)) {
		run->no_memory = true;
		return SHAPE_MISFIT;
	}
	return wrap(run, visible, value) ? SHAPE_SET : SHAPE_MISFIT;
}

/* And what it says between tags: asked for where nothing was set apart. */
static enum shape_result inline_reasoning(struct shape_run *run,
                                          const struct shape_input *in,
                                          struct bursar_value *value)
{
	struct bursar_span raw;
	struct bursar_span visible;
	struct bursar_span inner;

	if (type_of(run, in) != JSON_STRING) {
		return SHAPE_PASS;
	}
	raw = inside_of(run, in);
	if (!thinking_split(raw.data, raw.size, run->arena, &visible,
	                    &inner)) {
		run->no_memory = true;
		return SHAPE_MISFIT;
	}
	if (inner.data == NULL) {
		return SHAPE_PASS;
	}
	return wrap(run, inner, value) ? SHAPE_LENT : SHAPE_MISFIT;
}

/* Tags by another name, for the format alone: they are not kept beside what
 * becomes of them, where secrets would stand in clear. */
static enum shape_result more_tags(struct shape_run *run,
                                   const struct shape_input *in,
                                   struct bursar_value *value)
{
	if (shape_object(run, in, value) != SHAPE_SET) {
		return SHAPE_PASS;
	}
	value->is_set = true;
	return SHAPE_EMPTY;
}

/* --- which member fills which field ---------------------------------- */

#define CONTEXT                                                              \
	{ "message_id", shape_present, "$message_id message_id event_id" },  \
	{ "correlation_id", shape_text,                                      \
	  "$correlation_id correlation_id correlation_ref "                  \
	  "tracing.correlation_id" },                                        \
	{ "conversation_id", shape_text,                                     \
	  "message_context.conversation_id conversation_id "                 \
	  "conversation_ref @x-legion-llm-conversation-id" },                \
	{ "message_id_ctx", shape_text,                                      \
	  "message_context.message_id message_id_ctx" },                     \
	{ "parent_message_id", shape_text,                                   \
	  "message_context.parent_message_id parent_message_id" },           \
	{ "message_seq", shape_integer,                                      \
	  "message_context.message_seq message_seq" },                       \
	{ "request_id", shape_text,                                          \
	  "message_context.request_id request_id request_ref "               \
	  "@x-legion-llm-request-id" },                                      \
	{ "exchange_id", shape_text,                                         \
	  "message_context.exchange_id exchange_id exchange_ref" }

/* type: the field for caller_type, which also completes a bare identity. */
#define CALLER(type)                                                         \
	{ type, shape_present,                                               \
	  "identity.type identity.kind @x-legion-identity-kind "             \
	  "@x-legion-caller-type caller.requested_by.type "                  \
	  "caller.requested_by.kind" },                                      \
	{ type, direct, "caller.type caller.kind" },                         \
	{ type, extension_type, "caller.requested_by.extension" },           \
	{ type, direct_extension_type, "caller.extension" },                 \
	{ "caller_identity", shape_present,                                  \
	  "@x-legion-identity-canonical-name identity.id "                   \
	  "identity.canonical_name identity.identity identity.username "     \
	  "@x-legion-identity @x-legion-caller-identity "                    \
	  "caller.requested_by.id caller.requested_by.canonical_name "       \
	  "caller.requested_by.identity caller.requested_by.username" },     \
	{ "caller_identity", direct,                                         \
	  "caller.id caller.canonical_name caller.identity "                 \
	  "caller.username" },                                               \
	{ "caller_identity", extension, "caller.requested_by.extension" },   \
	{ "caller_identity", direct_extension, "caller.extension" },         \
	{ "identity_provider", shape_present,                                \
	  "identity.credential caller.requested_by.credential" },            \
	{ "identity_provider", direct, "caller.credential" },                \
	{ "identity_principal_id", row_id,                                   \
	  "@x-legion-identity-db-principal-id "                              \
	  "@x-legion-identity-principal-id" },                               \
	{ "identity_id", row_id,                                             \
	  "@x-legion-identity-db-identity-id @x-legion-identity-db-id" }

#define HEALTH \
	"classification.contains_phi contains_phi @x-legion-contains-phi"

#define RETAINED                                                             \
	{ "retention_policy", shape_present,                                 \
	  "@x-legion-retention retention_policy "                            \
	  "classification.retention_policy classification.retention "        \
	  "retention =default" },                                            \
	{ "contains_phi", health, HEALTH },                                  \
	{ "contains_phi", shape_flag, HEALTH " =0" },                        \
	{ "classification_level", level,                                     \
	  "classification.level classification classification_level "        \
	  "@x-legion-classification" }

#define MODEL_HEADERS                                                        \
	{ "provider_instance", shape_text,                                   \
	  "provider_instance routing.provider_instance routing.instance "    \
	  "instance" },                                                      \
	{ "request_type", shape_text,                                        \
	  "request_type service @x-legion-llm-request-type" },               \
	{ "operation", shape_text, "operation routing.operation" }

#define ERROR_PLACES                                                         \
	"error error.category error.type error.code error.message "          \
	"error_type error_category error_code error_message"

static const struct shape_rule metering_rules[] = {
	CONTEXT,
	{ "recorded_at", shape_instant,
	  "recorded_at timestamp timestamps.returned timestamps.provider_end "
	  "tracked_at occurred_at ts created_at" },
	MODEL_HEADERS,
	{ "tier", shape_text, "tier routing.tier @x-legion-llm-tier" },
	{ "provider", shape_text,
	  "provider routing.provider @x-legion-llm-provider" },
	{ "model_id", shape_text,
	  "model_id model_key model routing.model @x-legion-llm-model" },
	{ "node_id", shape_text, "node_id" },
	{ "worker_id", shape_text, "worker_id runner_ref" },
	{ "agent_id", shape_text, "agent_id agent.id agent" },
	{ "task_id", shape_text, "task_id agent.task_id" },
	{ "team", shape_text, "team" },
	{ "input_tokens", shape_count,
	  "input_tokens tokens.input_tokens tokens.input tokens_in" },
	{ "output_tokens", shape_count,
	  "output_tokens tokens.output_tokens tokens.output tokens_out" },
	{ "thinking_tokens", shape_count,
	  "thinking_tokens tokens.thinking_tokens tokens.thinking" },
	{ "hidden_output_tokens", shape_count,
	  "hidden_output_tokens tokens.hidden_output_tokens "
	  "tokens.hidden_output" },
	{ "total_tokens", shape_count,
	  "total_tokens tokens.total_tokens tokens.total" },
	{ "cache_read_input_tokens", shape_count,
	  "cache_read_input_tokens tokens.cache_read_input_tokens "
	  "tokens.cache_read cache_read_tokens" },
	{ "cache_write_input_tokens", shape_count,
	  "cache_write_input_tokens tokens.cache_write_input_tokens "
	  "tokens.cache_write cache_write_tokens" },
	{ "cache_write_1h_input_tokens", shape_count,
	  "cache_write_1h_input_tokens tokens.cache_write_1h_input_tokens "
	  "tokens.cache_write_1h cache_write_1h_tokens" },
	{ "audio_input_tokens", shape_count, "audio_input_tokens" },
	{ "audio_cache_read_input_tokens", shape_count,
	  "audio_cache_read_input_tokens" },
	{ "audio_output_tokens", shape_count, "audio_output_tokens" },
	{ "image_input_tokens", shape_count, "image_input_tokens" },
	{ "image_cache_read_input_tokens", shape_count,
	  "image_cache_read_input_tokens" },
	{ "image_output_tokens", shape_count, "image_output_tokens" },
	{ "usage_source", shape_present, "usage_source" },
	{ "pricing_mode", shape_present, "pricing_mode service_tier" },
	{ "region", shape_present, "region routing.region inference_geo" },
	{ "web_searches", shape_count, "web_searches" },
	{ "images", shape_count, "images" },
	{ "pages", shape_count, "pages" },
	{ "media_ms", shape_count, "media_ms" },
	{ "media_ms", shape_seconds, "seconds" },
	{ "characters", shape_count, "characters" },
	{ "latency_ms", shape_count, "latency_ms" },
	{ "wall_clock_ms", shape_count, "wall_clock_ms" },
	{ "cost_reported_usd", shape_money,
	  "cost_usd cost.estimated_usd cost.usd cost.total_cost total_cost "
	  "cost" },
	{ "routing_reason", shape_text, "routing_reason" },
	{ "cost_center", shape_text,
	  "billing.cost_center cost.cost_center cost_center" },
	{ "budget_id", shape_text,
	  "billing.budget_id billing.budget_key cost.budget_id "
	  "cost.budget_key budget_id budget_key" },
	CALLER("caller_type"),
	{ "status", shape_text, "status" },
	{ "status", failed, ERROR_PLACES },
	{ "error_type", shape_text,
	  "error_type error.category error.type error_category" },
	{ "finish_reason", shape_text, "finish_reason" },
	{ "dispatch_path", shape_text, "dispatch_path" },
	{ "idempotency_key", shape_text, "idempotency_key" },
	{ "provider_response_id", shape_text,
	  "provider_response_id provider_response_ref" },
	{ "tags", shape_object, "tags" },
	{ ".metadata", more_tags, "metadata" },
	{ NULL },
};

static const struct shape_rule prompt_rules[] = {
	CONTEXT,
	RETAINED,
	{ "recorded_at", shape_instant,
	  "timestamps.returned timestamps.provider_end recorded_at timestamp "
	  "tracked_at occurred_at ts" },
	{ "response_message_id", shape_text, "response_message_id" },
	MODEL_HEADERS,
	{ "tier", shape_text, "routing.tier tier @x-legion-llm-tier" },
	{ "provider", shape_text,
	  "routing.provider provider @x-legion-llm-provider" },
	{ "model_id", shape_text,
	  "routing.model model_id model_key model @x-legion-llm-model" },
	{ "request_json", shape_raw,
	  "request messages audit.request_content ={}" },
	{ "response_thinking_json", reasoning,
	  "response_thinking thinking response.thinking" },
	{ "response_thinking_json", inline_reasoning,
	  "*response response_content content" },
	{ "response_json", answer,
	  "*response response_content content audit.response_content ={}" },
	{ "input_tokens", shape_count,
	  "tokens.input tokens.input_tokens input_tokens tokens_in" },
	{ "output_tokens", shape_count,
	  "tokens.output tokens.output_tokens output_tokens tokens_out" },
	{ "thinking_tokens", shape_count,
	  "tokens.thinking tokens.thinking_tokens thinking_tokens" },
	{ "total_tokens", shape_count,
	  "tokens.total tokens.total_tokens total_tokens" },
	{ "cost_usd", shape_money,
	  "cost.estimated_usd cost_usd cost.usd cost.total_cost total_cost "
	  "cost" },
	CALLER("caller_type"),
	{ "agent_id", shape_text, "agent.id agent_id agent" },
	{ "task_id", shape_text, "agent.task_id task_id" },
	{ "contains_pii", shape_flag,
	  "classification.contains_pii contains_pii =0" },
	{ "pii_types", shape_raw, "classification.pii_types pii_types" },
	{ "jurisdictions", shape_list,
	  "classification.jurisdictions jurisdictions =" },
	{ "quality_score", shape_integer, "quality.score quality_score" },
	{ "quality_band", shape_text, "quality.band quality_band" },
	{ "finish_reason", shape_text,
	  "finish_reason response.finish_reason response.stop.reason" },
	{ "error_category", shape_text,
	  "error.category error.type error_category error_type" },
	{ "error_code", shape_text, "error.code error_code" },
	{ "error_message", shape_prose, "error.message error error_message" },
	{ NULL },
};

static const struct shape_rule tool_rules[] = {
	CONTEXT,
	RETAINED,
	{ "recorded_at", shape_instant,
	  "recorded_at timestamps.tool_end timestamps.tool_start "
	  "tool_call.finished_at tool_call.started_at timestamp "
	  "timestamps.returned timestamps.provider_end tracked_at "
	  "occurred_at ts" },
	{ "tool_call_id", shape_text, "tool_call.id" },
	{ "tool_name", shape_text, "tool_call.name @x-legion-tool-name" },
	{ "tool_source_type", shape_text,
	  "tool_call.source.type @x-legion-tool-source-type" },
	{ "tool_source_server", shape_text,
	  "tool_call.source.server @x-legion-tool-source-server" },
	{ "tool_status", shape_text,
	  "tool_call.status @x-legion-tool-status" },
	{ "tool_status", failed, "tool_call.error error" },
	{ "tool_status", shape_text, "=success" },
	{ "tool_duration_ms", shape_count, "tool_call.duration_ms" },
	{ "arguments_json", shape_raw, "tool_call.arguments ={}" },
	{ "result_json", shape_raw, "tool_call.result result =null" },
	{ "error_json", shape_raw, "tool_call.error error =null" },
	CALLER(".caller_type"),
	{ "agent_id", shape_text, "agent.id agent_id agent" },
	{ "worker_id", shape_text, "worker_id runner_ref" },
	{ "task_id", shape_text, "agent.task_id task_id" },
	{ "tool_category", shape_text, "tool_call.category" },
	{ "data_handling_classification", shape_text,
	  "tool_call.data_handling_classification" },
	{ "policy_decision", shape_text, "tool_call.policy_decision" },
	{ "requires_human_approval", shape_flag,
	  "tool_call.requires_human_approval" },
	{ "tool_start_at", shape_instant,
	  "timestamps.tool_start tool_call.started_at" },
	{ "tool_end_at", shape_instant,
	  "timestamps.tool_end tool_call.finished_at" },
	{ NULL },
};

/* --- decoding -------------------------------------------------------- */

enum { METERING, PROMPT, TOOL, KINDS };

static const struct {
	const char *name;
	const struct shape_rule *rules;
	const char *caller_type;
} kinds[KINDS] = {
	[METERING] = { "metering", metering_rules, "caller_type" },
	[PROMPT]   = { "prompt", prompt_rules, "caller_type" },
	[TOOL]     = { "tool", tool_rules, ".caller_type" },
};

/* Fields that are looked at together once all are filled; -1: no such one. */
struct layout {
	const struct bursar_kind *kind;
	struct shape *shape;
	int caller_identity;
	int caller_type;
	int total;
	int input;
	int output;
	int thinking;
	int cache_read;
	int cache_write;
	int cache_write_1h;
	int hidden;
	struct modality_fields modalities;
	int tags;
	int metadata;
	int identity_name;
	int identity_kind;
	int identity_provider;
};

struct bursar_format {
	struct json_reader *reader;
	bool input_includes_cache;	/* as the configuration says */
	bool output_includes_thinking;
	struct layout layouts[KINDS];
};

static struct bursar_value *value_of(const struct layout *layout,
                                     struct bursar_record *record, int field)
{
	return field < 0 ? NULL : shape_value(layout->shape, record, field);
}

static bool is_generic(const struct bursar_value *identity)
{
	static const char *const names[] = {
		"anonymous", "process", "service", "system", "user",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strlen(names[i]) == identity->size &&
		    memcmp(names[i], identity->text, identity->size) == 0) {
			return true;
		}
	}
	return false;
}

/* "system" alone names nobody: with a type it becomes "service:system". */
static bool complete_identity(const struct layout *layout,
                              struct bursar_record *record,
                              struct bursar_arena *arena)
{
	struct shape_run run = { .record = record, .arena = arena };
	struct bursar_value *identity = value_of(layout, record,
	                                         layout->caller_identity);
	const struct bursar_value *type = value_of(layout, record,
	                                           layout->caller_type);

	return identity == NULL || !identity->is_set || type == NULL ||
	       !type->is_set || !is_generic(identity) ||
	       joined(&run, type->text, type->size, identity) == SHAPE_SET;
}

static struct bursar_span span_of(const struct bursar_value *value)
{
	return value != NULL && value->is_set
		? (struct bursar_span){ value->text, value->size }
		: (struct bursar_span){ "", 0 };
}

/* Writes a text in its simple form, or what stands for none. */
static bool simplify(struct bursar_value *value, struct bursar_span text,
                     size_t (*form)(struct bursar_span text, char *out),
                     const char *none, struct bursar_arena *arena)
{
	char *out = arena->alloc(arena, text.size + 1);

	if (out == NULL) {
		return false;
	}
	const size_t size = form(text, out);
	set_word(value, size > 0 ? out : none, size > 0 ? size : strlen(none));
	value->is_set = true;
	return true;
}

/* The parts of an identity, see common/descriptor.h; without one there are no
 * parts. */
static bool describe_identity(const struct layout *l,
                              struct bursar_record *record,
                              struct bursar_arena *arena)
{
	const struct bursar_value *identity = value_of(l, record,
	                                               l->caller_identity);
	struct bursar_value *name = value_of(l, record, l->identity_name);
	struct bursar_value *kind = value_of(l, record, l->identity_kind);
	struct bursar_value *provider = value_of(l, record,
	                                         l->identity_provider);
	struct bursar_span type = span_of(value_of(l, record, l->caller_type));
	struct bursar_span before, text;

	if (identity == NULL || name == NULL || kind == NULL ||
	    provider == NULL) {
		return true;
	}
	if (!identity->is_set) {
		*provider = (struct bursar_value){ 0 };
		return true;
	}
	descriptor_split(span_of(identity), &before, &text);
	set_word(name, text.data, text.size);
	name->is_set = true;
	return simplify(kind, type.size > 0 ? type : before, descriptor_kind,
	                DESCRIPTOR_KIND_UNKNOWN, arena) &&
	       simplify(provider, span_of(provider), descriptor_provider,
	                DESCRIPTOR_PROVIDER_LOCAL, arena);
}

static uint64_t number_of(const struct layout *layout,
                          struct bursar_record *record, int field)
{
	const struct bursar_value *value = value_of(layout, record, field);

	return value != NULL && value->is_set ? (uint64_t)value->number : 0;
}

static bool is_set(const struct layout *layout, struct bursar_record *record,
                   int field)
{
	const struct bursar_value *value = value_of(layout, record, field);

	return value != NULL && value->is_set;
}

/*
 * Producers differ in whether thinking and caches stand beside the other
 * tokens or within them, so a total is odd only where no reading makes sense.
 */
static void check_total(const struct layout *l, struct bursar_record *record)
{
	if (!is_set(l, record, l->total) || !is_set(l, record, l->input) ||
	    !is_set(l, record, l->output) || !is_set(l, record, l->thinking)) {
		return;
	}

	const uint64_t plain = number_of(l, record, l->input) +
	                       number_of(l, record, l->output);
	const uint64_t thinking = number_of(l, record, l->thinking);
	const uint64_t caches = number_of(l, record, l->cache_read) +
	                        number_of(l, record, l->cache_write);
	const uint64_t rest = number_of(l, record, l->total) - plain;

	if (rest != 0 && rest != thinking && rest != caches &&
	    rest != thinking + caches) {
		bursar_set_flag(record, BURSAR_DQ_TOTAL);
	}
}

/* Producers that count cached tokens as input, too: what is left of it is the
 * input that was not cached.  Less than nothing is a contradiction, kept. */
static void take_caches_out(const struct layout *l,
                            struct bursar_record *record)
{
	struct bursar_value *input = value_of(l, record, l->input);
	/* Where it was not said what was written, that of an hour was. */
	const int write = is_set(l, record, l->cache_write)
		? l->cache_write : l->cache_write_1h;
	const uint64_t caches = number_of(l, record, l->cache_read) +
	                        number_of(l, record, write);

	if (input == NULL || !input->is_set || caches == 0) {
		return;
	}
	if (input->number < 0 || caches > (uint64_t)input->number) {
		bursar_set_flag(record, BURSAR_DQ_TOTAL);
		return;
	}
	input->number -= (int64_t)caches;
	modality_take_caches_out(&l->modalities, record);
}

/* Reasoning that was counted as output already is a part of it; who says it by
 * both names has counted it twice, and differently if they differ. */
static void hide_thinking(const struct layout *l, struct bursar_record *record)
{
	struct bursar_value *thinking = value_of(l, record, l->thinking);
	struct bursar_value *hidden = value_of(l, record, l->hidden);

	if (thinking == NULL || hidden == NULL || !thinking->is_set) {
		return;
	}
	if (hidden->is_set && hidden->number > 0 && thinking->number > 0 &&
	    hidden->number != thinking->number) {
		bursar_set_flag(record, BURSAR_DQ_TOTAL);
	}
	if (!hidden->is_set || hidden->number < thinking->number) {
		*hidden = *thinking;
	}
	*thinking = (struct bursar_value){ 0 };
}

/* What is part of something is not more than it. */
static void check_parts(const struct layout *l, struct bursar_record *record)
{
	if ((is_set(l, record, l->output) &&
	     number_of(l, record, l->hidden) >
	     number_of(l, record, l->output)) ||
	    (is_set(l, record, l->cache_write) &&
	     number_of(l, record, l->cache_write_1h) >
	     number_of(l, record, l->cache_write))) {
		bursar_set_flag(record, BURSAR_DQ_TOTAL);
	}
	modality_check(&l->modalities, record);
}

/* Of two members of a name, that of `metadata` counts. */
static bool join_tags(const struct layout *l, struct bursar_record *record,
                      struct bursar_arena *arena)
{
	const struct bursar_value *more = value_of(l, record, l->metadata);
	struct bursar_value *tags = value_of(l, record, l->tags);

	if (more == NULL || tags == NULL || !more->is_set) {
		return true;
	}
	if (!tags->is_set) {
		*tags = *more;
		return true;
	}
	const size_t size = (size_t)tags->size + more->size + 3;
	char *both = arena->alloc(arena, size);
	if (both == NULL || size > UINT32_MAX) {
		return false;
	}
	both[0] = '[';
	memcpy(both + 1, tags->text, tags->size);
	both[1 + tags->size] = ',';
	memcpy(both + 2 + tags->size, more->text, more->size);
	both[size - 1] = ']';
	set_word(tags, both, size);
	return true;
}

static const struct layout *layout_of(const struct bursar_format *format,
                                      const struct bursar_kind *kind)
{
	for (size_t i = 0; i < KINDS; i++) {
		if (format->layouts[i].kind == kind) {
			return &format->layouts[i];
		}
	}
	return NULL;
}

static const char *type_name(uint8_t type)
{
	static const char *const names[] = {
		[JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array",
		[JSON_STRING] = "a string", [JSON_NUMBER] = "a number",
		[JSON_TRUE] = "true", [JSON_FALSE] = "false",
		[JSON_NULL] = "null",
	};

	return names[type];
}

static enum bursar_verdict read_body(struct bursar_format *format,
                                     const struct bursar_message *message,
                                     struct json_doc *doc,
                                     struct bursar_error *err)
{
	if (message->body.size == 0) {
		bursar_fail(err, EINVAL, "the body is empty");
		return BURSAR_REJECT;
	}
	if (json_read(format->reader, message->body.data, message->body.size,
	              doc, err) != 0) {
		return err->code == ENOMEM ? BURSAR_RETRY : BURSAR_REJECT;
	}
	if (doc->nodes[0].type != JSON_OBJECT) {
		bursar_fail(err, EINVAL,
		            "the body is %s of %zu bytes, not an object",
		            type_name(doc->nodes[0].type),
		            message->body.size);
		return BURSAR_REJECT;
	}
	return BURSAR_DONE;
}

static bool fill(const struct bursar_format *format,
                 const struct layout *layout, const struct json_doc *doc,
                 const struct bursar_message *message,
                 struct bursar_record *record, struct bursar_arena *arena)
{
	if (!shape_fill(layout->shape, doc, message, record, arena) ||
	    !complete_identity(layout, record, arena) ||
	    !describe_identity(layout, record, arena) ||
	    !join_tags(layout, record, arena)) {
		return false;
	}
	check_total(layout, record);
	if (format->input_includes_cache) {
		take_caches_out(layout, record);
	}
	if (format->output_includes_thinking) {
		hide_thinking(layout, record);
	}
	check_parts(layout, record);

	/* The core knows the property; only an id of the body is news. */
	if (message->message_id.size > 0) {
		record->values[BURSAR_MESSAGE_ID] = (struct bursar_value){ 0 };
	}
	return true;
}

/* --- operations ------------------------------------------------------ */

static void ledger_close(struct bursar_format *format)
{
	if (format == NULL) {
		return;
	}
	for (size_t i = 0; i < KINDS; i++) {
		shape_destroy(format->layouts[i].shape);
	}
	json_reader_destroy(format->reader);
	free(format);
}

static bool layout_init(struct layout *layout, const struct bursar_kind *kind,
                        size_t number, struct bursar_error *err)
{
	layout->shape = shape_create(kind, kinds[number].rules, err);
	if (layout->shape == NULL) {
		return false;
	}
	layout->kind = kind;
	layout->caller_identity = bursar_field_find(kind, "caller_identity");
	layout->caller_type = shape_field(layout->shape,
	                                  kinds[number].caller_type);
	layout->total = bursar_field_find(kind, "total_tokens");
	layout->input = bursar_field_find(kind, "input_tokens");
	layout->output = bursar_field_find(kind, "output_tokens");
	layout->thinking = bursar_field_find(kind, "thinking_tokens");
	layout->cache_read = bursar_field_find(kind,
	                                       "cache_read_input_tokens");
	layout->cache_write = bursar_field_find(kind,
	                                        "cache_write_input_tokens");
	layout->cache_write_1h = bursar_field_find(
		kind, "cache_write_1h_input_tokens");
	layout->hidden = bursar_field_find(kind, "hidden_output_tokens");
	modality_find(&layout->modalities, kind);
	layout->tags = bursar_field_find(kind, "tags");
	layout->metadata = shape_field(layout->shape, ".metadata");
	layout->identity_name = bursar_field_find(kind,
	                                          "identity_canonical_name");
	layout->identity_kind = bursar_field_find(kind, "identity_kind");
	layout->identity_provider = bursar_field_find(kind,
	                                              "identity_provider");
	return true;
}

static struct bursar_format *ledger_open(const struct bursar_host *host,
                                         struct bursar_error *err)
{
	struct bursar_format *format = calloc(1, sizeof(*format));

	if (format == NULL) {
		goto no_memory;
	}
	format->reader = json_reader_create();
	if (format->reader == NULL) {
		goto no_memory;
	}
	format->input_includes_cache =
		host->number(host, "input-includes-cache") != 0;
	format->output_includes_thinking =
		host->number(host, "output-includes-thinking") != 0;
	for (size_t i = 0; i < KINDS; i++) {
		const struct bursar_kind *kind = bursar_kind_find(
			host->schema, kinds[i].name, strlen(kinds[i].name));

		if (kind == NULL) {
			continue;
		}
		if (!layout_init(&format->layouts[i], kind, i, err)) {
			goto no_memory;
		}
		shape_set_local_times(format->layouts[i].shape,
		                      host->number(host, "local-times") != 0);
	}
	return format;

no_memory:
	bursar_fail(err, ENOMEM, "out of memory");
	ledger_close(format);
	return NULL;
}

static enum bursar_verdict ledger_decode(struct bursar_format *format,
                                         const struct bursar_message *message,
                                         struct bursar_records *records,
                                         struct bursar_error *err)
{
	const struct layout *layout = layout_of(format, message->kind);
	struct bursar_record *record;
	struct json_doc doc;
	enum bursar_verdict verdict;

	if (layout == NULL) {
		bursar_fail(err, EINVAL, "the ledger has no kind '%s'",
		            message->kind->name);
		return BURSAR_REJECT;
	}
	verdict = read_body(format, message, &doc, err);
	if (verdict != BURSAR_DONE) {
		return verdict;
	}
	record = records->add(records, layout->kind);
	if (record == NULL ||
	    !fill(format, layout, &doc, message, record, records->arena)) {
		bursar_fail(err, ENOMEM, "out of memory");
		return BURSAR_RETRY;
	}
	return BURSAR_DONE;
}

static const struct bursar_format_ops ops = {
	.needs_kind = true,
	.open = ledger_open,
	.decode = ledger_decode,
	.close = ledger_close,
};

static const struct bursar_option options[] = {
	{ "input-includes-cache", BURSAR_TYPE_FLAG, "false",
	  "Whether input_tokens of its producers, and those of sound and images "
	  "among them, count what was read from or put into a cache; that is "
	  "taken out of them then." },
	{ "output-includes-thinking", BURSAR_TYPE_FLAG, "false",
	  "Whether output_tokens of its producers count thinking_tokens; those "
	  "are stored as hidden_output_tokens then, the larger of the two where "
	  "both are said." },
	{ "local-times", BURSAR_TYPE_FLAG, "false",
	  "Whether times that name no zone are of the zone in which the daemon "
	  "runs (TZ, else the machine's) instead of UTC." },
	{ NULL },
};

BURSAR_PLUGIN_DEFINE(format_ledger,
	.kind = BURSAR_FORMAT,
	.name = "ledger",
	.summary = "metering, prompt and tool messages of the LegionIO ledger",
	.options = options,
	.manual =
"One message is one record: a JSON object whose members fill the fields of "
"its kind, with headers such as x-legion-retention as a second place to look. "
"Nothing has to be there. A count or a cost that is not given stays unknown.\n"
"\n"
"The objects `tags` and `metadata` of a metering record are its tags; where "
"both have a key, that of `metadata` counts.\n"
"\n"
"Members that have no field, values of the wrong type and texts of more than "
"1,024 bytes where a name is expected are kept as written in extra_json, at "
"most 8,192 bytes in all, and dq_flags say what was odd. Times are RFC 3339 "
"or a number of seconds, milliseconds or microseconds since 1970; without a "
"zone they are UTC, or with local-times those of the daemon's own: of a time "
"that comes twice, when clocks go back, the second one is meant, and of one "
"that they leave out the moment at which they jump.",
	.ops.format = &ops);
