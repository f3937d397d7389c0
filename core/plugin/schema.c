/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The fields of every kind.  Adding one here gives it a column, a place in the
 * export and one in `bursar report --by`; a ledger that exists gets the column
 * when it is next opened for writing.
 */
#include "config.h"

#include "plugin/schema.h"

#define FIELD(name, type, flags, help) { name, BURSAR_##type, flags, help }

/* Fields 0 .. BURSAR_COMMON_FIELDS, in the order of that enumeration. */
#define COMMON(extra_flags)                                                  \
	FIELD("message_id", TEXT, 0, "id under which the record is unique"), \
	FIELD("recorded_at", TIME, 0, "when it happened"),                   \
	FIELD("inserted_at", TIME, BURSAR_FIELD_CORE, "when it came in"),    \
	FIELD("source", TEXT, BURSAR_FIELD_CORE, "source it came from"),     \
	FIELD("dq_flags", INT, BURSAR_FIELD_CORE, "what was odd about it"),  \
	FIELD("extra_json", JSON, extra_flags, "what has no other column")

#define RETAINED                                                             \
	FIELD("retention_policy", TEXT, 0, "retention label, as it came"),   \
	FIELD("contains_phi", BOOL, 0, "holds health data"),                 \
	FIELD("expires_at", TIME, BURSAR_FIELD_CORE, "when it goes"),        \
	FIELD("row_hash", INT, BURSAR_FIELD_CORE, "over the other columns"), \
	FIELD("sealed_by", TEXT, BURSAR_FIELD_CORE, "crypto and key of bodies")

#define CONTEXT                                                              \
	FIELD("correlation_id", TEXT, 0, "ties it to a request"),            \
	FIELD("conversation_id", TEXT, 0, "conversation"),                   \
	FIELD("message_id_ctx", TEXT, 0, "message within the conversation"), \
	FIELD("parent_message_id", TEXT, 0, "message it answers"),           \
	FIELD("message_seq", INT, 0, "place in the conversation"),           \
	FIELD("request_id", TEXT, 0, "request"),                             \
	FIELD("exchange_id", TEXT, 0, "exchange within the request")

#define IDENTITY                                                             \
	FIELD("identity_canonical_name", TEXT, 0, "name of who called"),     \
	FIELD("identity_kind", TEXT, 0, "human, service ... or unknown"),    \
	FIELD("identity_provider", TEXT, 0, "who vouches for the name"),     \
	FIELD("identity_principal_id", INT, 0, "its number as a principal"), \
	FIELD("identity_id", INT, 0, "its number as an identity")

static const struct bursar_field metering_fields[] = {
	COMMON(0),
	CONTEXT,
	FIELD("request_type", TEXT, BURSAR_FIELD_GROUP, "chat, embed ..."),
	FIELD("operation", TEXT, 0, "operation within the request type"),
	FIELD("tier", TEXT, BURSAR_FIELD_GROUP, "local, fleet, cloud ..."),
	FIELD("provider", TEXT, 0, "who served it"),
	FIELD("provider_instance", TEXT, 0, "which instance of the provider"),
	FIELD("model_id", TEXT, 0, "model"),
	FIELD("node_id", TEXT, BURSAR_FIELD_GROUP, "machine"),
	FIELD("worker_id", TEXT, BURSAR_FIELD_GROUP, "worker"),
	FIELD("agent_id", TEXT, BURSAR_FIELD_GROUP, "agent"),
	FIELD("task_id", TEXT, 0, "task"),
	FIELD("team", TEXT, BURSAR_FIELD_GROUP, "team"),
	FIELD("input_tokens", INT, 0, "tokens in"),
	FIELD("output_tokens", INT, 0, "tokens out"),
	FIELD("thinking_tokens", INT, 0, "tokens of reasoning"),
	FIELD("hidden_output_tokens", INT, 0,
	      "of the tokens out, those of reasoning"),
	FIELD("total_tokens", INT, 0, "total as the producer said it"),
	FIELD("cache_read_input_tokens", INT, 0, "tokens read from a cache"),
	FIELD("cache_write_input_tokens", INT, 0, "tokens put into a cache"),
	FIELD("cache_write_1h_input_tokens", INT, 0,
	      "of those, the ones kept for an hour"),
	FIELD("usage_source", TEXT, 0, "where the counts come from"),
	FIELD("pricing_mode", TEXT, 0, "batch, priority, flex ..."),
	FIELD("latency_ms", INT, 0, "time of the provider, ms"),
	FIELD("wall_clock_ms", INT, 0, "time of the whole call, ms"),
	FIELD("cost_usd", MONEY, BURSAR_FIELD_CORE, "what it cost"),
	FIELD("cost_reported_usd", MONEY, 0, "cost as the producer said it"),
	FIELD("cost_computed_usd", MONEY, BURSAR_FIELD_CORE,
	      "cost by the price book"),
	FIELD("price_book", TEXT, BURSAR_FIELD_CORE, "which book priced it"),
	FIELD("price_rule", TEXT, BURSAR_FIELD_CORE, "which price, and why"),
	FIELD("routing_reason", TEXT, 0, "why this provider"),
	FIELD("cost_center", TEXT, BURSAR_FIELD_GROUP, "cost centre"),
	FIELD("budget_id", TEXT, BURSAR_FIELD_GROUP, "budget"),
	FIELD("caller_identity", TEXT, 0, "who called"),
	FIELD("caller_type", TEXT, 0, "human, service ..."),
	FIELD("status", TEXT, 0, "success or what went wrong"),
	FIELD("error_type", TEXT, 0, "kind of error"),
	FIELD("finish_reason", TEXT, 0, "why the model stopped"),
	FIELD("dispatch_path", TEXT, 0, "way of the call"),
	FIELD("idempotency_key", TEXT, 0, "the producer's own key"),
	FIELD("provider_response_id", TEXT, 0, "the provider's id"),
	/* A format sets an object, or an array of objects of which the later
	 * ones win; the core writes them anew, see common/tags.h. */
	FIELD("tags", JSON, 0, "tags: texts, or objects of texts"),
	IDENTITY,
	FIELD("region", TEXT, 0, "where it was served"),
	FIELD("web_searches", INT, 0, "searches of the web"),
	FIELD("images", INT, 0, "images made"),
	FIELD("pages", INT, 0, "pages read"),
	FIELD("media_ms", INT, 0, "length of sound or film, ms"),
	FIELD("characters", INT, 0, "characters spoken"),
	FIELD("audio_input_tokens", INT, 0, "of the tokens in, those of sound"),
	FIELD("audio_cache_read_input_tokens", INT, 0,
	      "of those from a cache, those of sound"),
	FIELD("audio_output_tokens", INT, 0,
	      "of the tokens out, those of sound"),
	FIELD("image_input_tokens", INT, 0,
	      "of the tokens in, those of images and film"),
	FIELD("image_cache_read_input_tokens", INT, 0,
	      "of those from a cache, those of images and film"),
	FIELD("image_output_tokens", INT, 0,
	      "of the tokens out, those of images"),
};

static const struct bursar_field prompt_fields[] = {
	COMMON(BURSAR_FIELD_BODY),
	RETAINED,
	CONTEXT,
	FIELD("response_message_id", TEXT, 0, "message that answered"),
	FIELD("provider", TEXT, 0, "who served it"),
	FIELD("provider_instance", TEXT, 0, "which instance of the provider"),
	FIELD("model_id", TEXT, 0, "model"),
	FIELD("tier", TEXT, 0, "local, fleet, cloud ..."),
	FIELD("request_type", TEXT, 0, "chat, embed ..."),
	FIELD("operation", TEXT, 0, "operation within the request type"),
	FIELD("request_json", JSON, BURSAR_FIELD_BODY, "what was asked"),
	FIELD("response_json", JSON, BURSAR_FIELD_BODY, "what was answered"),
	FIELD("response_thinking_json", JSON, BURSAR_FIELD_BODY, "reasoning"),
	FIELD("input_tokens", INT, 0, "tokens in"),
	FIELD("output_tokens", INT, 0, "tokens out"),
	FIELD("thinking_tokens", INT, 0, "tokens of reasoning"),
	FIELD("total_tokens", INT, 0, "total as the producer said it"),
	FIELD("cost_usd", MONEY, 0, "cost as the producer said it"),
	FIELD("caller_identity", TEXT, 0, "who called"),
	FIELD("caller_type", TEXT, 0, "human, service ..."),
	FIELD("agent_id", TEXT, 0, "agent"),
	FIELD("task_id", TEXT, 0, "task"),
	FIELD("classification_level", TEXT, 0, "classification, as it came"),
	FIELD("contains_pii", BOOL, 0, "holds personal data"),
	FIELD("pii_types", JSON, 0, "which personal data"),
	FIELD("jurisdictions", TEXT, 0, "jurisdictions, joined by commas"),
	FIELD("quality_score", INT, 0, "quality, 0 to 100"),
	FIELD("quality_band", TEXT, 0, "quality as a word"),
	FIELD("finish_reason", TEXT, 0, "why the model stopped"),
	FIELD("error_category", TEXT, 0, "kind of error"),
	FIELD("error_code", TEXT, 0, "the provider's error code"),
	FIELD("error_message", TEXT, BURSAR_FIELD_BODY, "error in words"),
	IDENTITY,
};

static const struct bursar_field tool_fields[] = {
	COMMON(BURSAR_FIELD_BODY),
	RETAINED,
	CONTEXT,
	FIELD("tool_call_id", TEXT, 0, "call, as the model named it"),
	FIELD("tool_name", TEXT, 0, "tool"),
	FIELD("tool_source_type", TEXT, 0, "mcp, builtin ..."),
	FIELD("tool_source_server", TEXT, 0, "server of the tool"),
	FIELD("tool_status", TEXT, 0, "success, error, denied ..."),
	FIELD("tool_duration_ms", INT, 0, "time it took, ms"),
	FIELD("arguments_json", JSON, BURSAR_FIELD_BODY, "arguments"),
	FIELD("result_json", JSON, BURSAR_FIELD_BODY, "result"),
	FIELD("error_json", JSON, BURSAR_FIELD_BODY, "error"),
	FIELD("caller_identity", TEXT, 0, "who called"),
	FIELD("caller_type", TEXT, 0, "human, service ..."),
	FIELD("agent_id", TEXT, 0, "agent"),
	FIELD("worker_id", TEXT, 0, "worker"),
	FIELD("task_id", TEXT, 0, "task"),
	FIELD("classification_level", TEXT, 0, "classification, as it came"),
	FIELD("tool_category", TEXT, 0, "sort of tool"),
	FIELD("data_handling_classification", TEXT, 0, "data it handles"),
	FIELD("policy_decision", TEXT, 0, "what policy said"),
	FIELD("requires_human_approval", BOOL, 0, "a person had to agree"),
	FIELD("tool_start_at", TIME, 0, "when the tool started"),
	FIELD("tool_end_at", TIME, 0, "when the tool ended"),
	IDENTITY,
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static_assert(COUNT(metering_fields) <= BURSAR_FIELDS_MAX &&
              COUNT(prompt_fields) <= BURSAR_FIELDS_MAX &&
              COUNT(tool_fields) <= BURSAR_FIELDS_MAX,
              "every field has a place in a packed record");

static const struct bursar_kind kinds[] = {
	{ "metering", "metering_records", true, metering_fields,
	  COUNT(metering_fields), 0 },
	{ "prompt", "prompt_records", false, prompt_fields,
	  COUNT(prompt_fields), 1 },
	{ "tool", "tool_records", false, tool_fields, COUNT(tool_fields), 2 },
};

const struct bursar_schema schema = { kinds, COUNT(kinds) };
