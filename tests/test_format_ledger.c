/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The ledger format, loaded as the daemon loads it.  Most tests are one
 * message and what a field became of it; the golden messages are real ones
 * with the rows that the ledger before us stored.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <check.h>
#include <jansson.h>
#include <sodium.h>

#include "common/rfc3339.h"
#include "tests/decode.h"

#define JSON_FLAGS (JSON_DECODE_ANY | JSON_ALLOW_NUL)

static void start(void)
{
	decode_start(FORMATS_DIR "/format_ledger");
}

/* What a field became. */
static void is(const char *field, const char *want)
{
	const char *got = decode_got(field);

	ck_assert_msg(strcmp(got, want) == 0, "%s is %s, not %s", field, got,
	              want);
}

static void flags(int64_t want)
{
	const struct bursar_value *value =
		&decode_record->values[BURSAR_DQ_FLAGS];

	ck_assert_int_eq(value->is_set ? value->number : 0, want);
}

static void extra(const char *want)
{
	is("extra_json", want);
}

/* A body of that size that differs from a small one in one long member. */
static void decode_long(const char *kind, const char *member, size_t size)
{
	char *body = malloc(size + 64);
	int used;

	ck_assert_ptr_nonnull(body);
	used = snprintf(body, 64, "{\"%s\":\"", member);
	memset(body + used, 'a', size);
	memcpy(body + used + size, "\"}", 3);
	decode_text(kind, body);
	free(body);
}

/* --- places, spelled in every way ------------------------------------ */

struct place {
	const char *kind;
	const char *body;
	const char *field;
	const char *want;
};

static const struct place places[] = {
#define M(body, field, want) { "metering", body, field, want }
#define P(body, field, want) { "prompt", body, field, want }
#define T(body, field, want) { "tool", body, field, want }
	M("{\"message_id\":\"a\"}", "message_id", "a"),
	M("{\"event_id\":\"a\"}", "message_id", "a"),
	M("{\"message_id\":\"\",\"event_id\":\"a\"}", "message_id", "a"),
	M("{\"correlation_id\":\"a\"}", "correlation_id", "a"),
	M("{\"correlation_ref\":\"a\"}", "correlation_id", "a"),
	P("{\"tracing\":{\"correlation_id\":\"a\"}}", "correlation_id", "a"),
	M("{\"message_context\":{\"conversation_id\":\"a\"}}",
	  "conversation_id", "a"),
	M("{\"conversation_id\":\"a\"}", "conversation_id", "a"),
	T("{\"message_context\":{\"message_id\":\"a\"}}", "message_id_ctx",
	  "a"),
	T("{\"message_context\":{\"message_id\":\"a\"}}", "message_id",
	  "unset"),
	M("{\"message_context\":{\"parent_message_id\":\"a\"}}",
	  "parent_message_id", "a"),
	M("{\"message_context\":{\"message_seq\":7}}", "message_seq", "7"),
	M("{\"message_seq\":7}", "message_seq", "7"),
	M("{\"request_id\":\"a\"}", "request_id", "a"),
	M("{\"request_ref\":\"a\"}", "request_id", "a"),
	P("{\"exchange_id\":\"a\"}", "exchange_id", "a"),

	M("{\"request_type\":\"a\"}", "request_type", "a"),
	M("{\"operation\":\"a\"}", "operation", "a"),
	M("{\"routing\":{\"operation\":\"a\"}}", "operation", "a"),
	M("{\"tier\":\"a\"}", "tier", "a"),
	P("{\"tier\":\"a\"}", "tier", "a"),
	P("{\"routing\":{\"tier\":\"a\"}}", "tier", "a"),
	M("{\"provider\":\"a\"}", "provider", "a"),
	P("{\"provider\":\"a\"}", "provider", "a"),
	P("{\"routing\":{\"provider\":\"a\"},\"provider\":\"b\"}",
	  "provider", "a"),
	M("{\"provider_instance\":\"a\"}", "provider_instance", "a"),
	M("{\"instance\":\"a\"}", "provider_instance", "a"),
	P("{\"routing\":{\"instance\":\"a\"}}", "provider_instance", "a"),
	P("{\"routing\":{\"provider_instance\":\"a\"}}", "provider_instance",
	  "a"),
	M("{\"model_id\":\"a\"}", "model_id", "a"),
	M("{\"model_key\":\"a\"}", "model_id", "a"),
	M("{\"model\":\"a\"}", "model_id", "a"),
	P("{\"routing\":{\"model\":\"a\"}}", "model_id", "a"),
	P("{\"model_key\":\"a\"}", "model_id", "a"),
	M("{\"node_id\":\"a\"}", "node_id", "a"),
	M("{\"worker_id\":\"a\"}", "worker_id", "a"),
	M("{\"agent_id\":\"a\"}", "agent_id", "a"),
	M("{\"agent\":\"a\"}", "agent_id", "a"),
	M("{\"agent\":{\"id\":\"a\",\"task_id\":\"b\"}}", "agent_id", "a"),
	P("{\"agent\":{\"id\":\"a\",\"task_id\":\"b\"}}", "task_id", "b"),
	P("{\"agent_id\":\"a\"}", "agent_id", "a"),
	M("{\"task_id\":\"a\"}", "task_id", "a"),
	M("{\"task_id\":1182}", "task_id", "1182"),
	M("{\"team\":\"a\"}", "team", "a"),

	M("{\"input_tokens\":5}", "input_tokens", "5"),
	M("{\"tokens_in\":5}", "input_tokens", "5"),
	M("{\"tokens\":{\"input\":5}}", "input_tokens", "5"),
	P("{\"tokens\":{\"input_tokens\":5}}", "input_tokens", "5"),
	P("{\"input_tokens\":5}", "input_tokens", "5"),
	M("{\"output_tokens\":5}", "output_tokens", "5"),
	M("{\"tokens_out\":5}", "output_tokens", "5"),
	P("{\"tokens\":{\"output\":5}}", "output_tokens", "5"),
	M("{\"thinking_tokens\":5}", "thinking_tokens", "5"),
	P("{\"tokens\":{\"thinking\":5}}", "thinking_tokens", "5"),
	M("{\"total_tokens\":5}", "total_tokens", "5"),
	P("{\"tokens\":{\"total\":5}}", "total_tokens", "5"),
	P("{\"total_tokens\":0}", "total_tokens", "0"),
	M("{\"input_tokens\":5,\"output_tokens\":6}", "total_tokens", "unset"),
	M("{\"cache_read_input_tokens\":5}", "cache_read_input_tokens", "5"),
	M("{\"cache_write_input_tokens\":5}", "cache_write_input_tokens", "5"),
	M("{\"cache_write_1h_input_tokens\":5}", "cache_write_1h_input_tokens",
	  "5"),
	M("{\"web_searches\":2}", "web_searches", "2"),
	M("{\"images\":2}", "images", "2"),
	M("{\"pages\":2}", "pages", "2"),
	M("{\"media_ms\":2}", "media_ms", "2"),
	M("{\"seconds\":\"2.5\"}", "media_ms", "2500"),
	M("{\"characters\":2}", "characters", "2"),
	M("{\"audio_input_tokens\":2}", "audio_input_tokens", "2"),
	M("{\"audio_cache_read_input_tokens\":2}",
	  "audio_cache_read_input_tokens", "2"),
	M("{\"audio_output_tokens\":2}", "audio_output_tokens", "2"),
	M("{\"image_input_tokens\":2}", "image_input_tokens", "2"),
	M("{\"image_cache_read_input_tokens\":2}",
	  "image_cache_read_input_tokens", "2"),
	M("{\"image_output_tokens\":\"2\"}", "image_output_tokens", "2"),
	M("{\"inference_geo\":\"us\"}", "region", "us"),
	M("{\"tokens\":{\"cache_write_1h\":5}}", "cache_write_1h_input_tokens",
	  "5"),
	M("{\"hidden_output_tokens\":5}", "hidden_output_tokens", "5"),
	M("{\"hidden_output_tokens\":5}", "thinking_tokens", "unset"),
	M("{\"pricing_mode\":\"batch\"}", "pricing_mode", "batch"),
	M("{\"pricing_mode\":null}", "pricing_mode", "unset"),
	M("{\"pricing_mode\":\"\"}", "pricing_mode", "unset"),
	M("{\"service_tier\":\"flex\"}", "pricing_mode", "flex"),
	M("{\"latency_ms\":5}", "latency_ms", "5"),
	M("{\"wall_clock_ms\":5}", "wall_clock_ms", "5"),
	M("{\"cost_usd\":0.00548848}", "cost_reported_usd", "5488480"),
	M("{\"cost\":5e-05}", "cost_reported_usd", "50000"),
	M("{\"cost\":{\"estimated_usd\":0.5}}", "cost_reported_usd",
	  "500000000"),
	M("{\"cost\":{\"usd\":0.5}}", "cost_reported_usd", "500000000"),
	M("{\"cost\":{\"total_cost\":0.5}}", "cost_reported_usd",
	  "500000000"),
	M("{\"total_cost\":0.5}", "cost_reported_usd", "500000000"),
	P("{\"cost\":{\"estimated_usd\":0.5}}", "cost_usd", "500000000"),
	P("{\"cost_usd\":0.5}", "cost_usd", "500000000"),
	M("{\"routing_reason\":\"a\"}", "routing_reason", "a"),
	M("{\"billing\":{\"cost_center\":\"a\"}}", "cost_center", "a"),
	M("{\"cost_center\":\"a\"}", "cost_center", "a"),
	M("{\"billing\":{\"budget_id\":\"a\"}}", "budget_id", "a"),
	M("{\"billing\":{\"budget_key\":\"a\"}}", "budget_id", "a"),
	M("{\"budget_key\":\"a\"}", "budget_id", "a"),
	M("{\"cost\":{\"usd\":1,\"budget_id\":\"a\"}}", "budget_id", "a"),
	M("{}", "status", "unset"),
	M("{\"status\":\"a\"}", "status", "a"),
	M("{\"error\":\"a\"}", "status", "error"),
	M("{\"error\":{\"category\":\"a\"}}", "status", "error"),
	M("{\"error\":{\"category\":\"a\"}}", "error_type", "a"),
	M("{\"error\":{\"type\":\"a\"}}", "error_type", "a"),
	M("{\"error_category\":\"a\"}", "error_type", "a"),
	M("{\"error\":{}}", "status", "unset"),
	M("{\"error\":\"\",\"status\":\"ok\"}", "status", "ok"),
	M("{\"error\":\"\"}", "status", "unset"),
	M("{\"error\":null}", "status", "unset"),
	M("{\"finish_reason\":\"a\"}", "finish_reason", "a"),
	M("{\"dispatch_path\":\"a\"}", "dispatch_path", "a"),
	M("{\"idempotency_key\":\"a\"}", "idempotency_key", "a"),
	M("{\"provider_response_id\":\"a\"}", "provider_response_id", "a"),
	M("{\"provider_response_ref\":\"a\"}", "provider_response_id", "a"),

	P("{\"response_message_id\":\"a\"}", "response_message_id", "a"),
	P("{\"request_type\":\"a\"}", "request_type", "a"),
	P("{}", "request_json", "{}"),
	P("{\"request\":null}", "request_json", "{}"),
	P("{\"request\":{ \"a\": 1.50 }}", "request_json", "{ \"a\": 1.50 }"),
	P("{\"messages\":[1]}", "request_json", "[1]"),
	P("{\"audit\":{\"request_content\":\"a\"}}", "request_json", "\"a\""),
	P("{}", "response_json", "{}"),
	P("{\"response\":{\"message\":{}}}", "response_json",
	  "{\"message\":{}}"),
	P("{\"response_content\":\"a\"}", "response_json",
	  "{\"content\":\"a\"}"),
	P("{\"content\":\"a\"}", "response_json", "{\"content\":\"a\"}"),
	P("{\"response\":[1,2]}", "response_json", "[1,2]"),
	P("{\"response_thinking\":{\"content\":\"a\"}}",
	  "response_thinking_json", "{\"content\":\"a\"}"),
	P("{\"thinking\":\"a\"}", "response_thinking_json",
	  "{\"content\":\"a\"}"),
	P("{\"response\":{\"thinking\":\"a\"}}", "response_thinking_json",
	  "{\"content\":\"a\"}"),
	P("{\"response\":{\"thinking\":\"a\"}}", "response_json",
	  "{\"thinking\":\"a\"}"),
	P("{\"response\":{\"finish_reason\":\"a\"}}", "finish_reason", "a"),
	P("{\"response\":{\"stop\":{\"reason\":\"a\"}}}", "finish_reason",
	  "a"),
	P("{\"finish_reason\":\"a\",\"response\":{\"finish_reason\":\"b\"}}",
	  "finish_reason", "a"),
	P("{}", "contains_pii", "0"),
	P("{\"classification\":{\"contains_pii\":true}}", "contains_pii",
	  "1"),
	P("{\"classification\":{\"contains_pii\":\"false\"}}",
	  "contains_pii", "0"),
	P("{\"classification\":{\"pii_types\":[\"email\"]}}", "pii_types",
	  "[\"email\"]"),
	P("{}", "jurisdictions", ""),
	P("{\"classification\":{\"jurisdictions\":[]}}", "jurisdictions",
	  ""),
	P("{\"classification\":{\"jurisdictions\":[\"us\",\"e\\u0075\"]}}",
	  "jurisdictions", "us,eu"),
	P("{\"classification\":{\"jurisdictions\":\"us\"}}", "jurisdictions",
	  "us"),
	P("{\"quality\":{\"score\":85,\"band\":\"good\"}}", "quality_score",
	  "85"),
	P("{\"quality\":{\"score\":85,\"band\":\"good\"}}", "quality_band",
	  "good"),
	P("{\"error\":{\"category\":\"a\",\"code\":429}}", "error_category",
	  "a"),
	P("{\"error\":{\"category\":\"a\",\"code\":429}}", "error_code",
	  "429"),
	P("{\"error\":{\"message\":\"a\"}}", "error_message", "a"),
	P("{\"error\":\"a\"}", "error_message", "a"),
	P("{\"error_message\":\"a\"}", "error_message", "a"),
	P("{\"error_code\":\"a\"}", "error_code", "a"),

	T("{\"tool_call\":{\"id\":\"a\"}}", "tool_call_id", "a"),
	T("{\"tool_call\":{\"name\":\"a\"}}", "tool_name", "a"),
	T("{\"tool_call\":{\"source\":{\"type\":\"a\"}}}",
	  "tool_source_type", "a"),
	T("{\"tool_call\":{\"source\":{\"server\":\"a\"}}}",
	  "tool_source_server", "a"),
	T("{\"tool_call\":{\"status\":\"a\"}}", "tool_status", "a"),
	T("{}", "tool_status", "success"),
	T("{\"tool_call\":{\"error\":\"a\"}}", "tool_status", "error"),
	T("{\"tool_call\":{\"duration_ms\":45}}", "tool_duration_ms", "45"),
	T("{}", "tool_duration_ms", "unset"),
	T("{}", "arguments_json", "{}"),
	T("{\"tool_call\":{\"arguments\":{\"a\":[]}}}", "arguments_json",
	  "{\"a\":[]}"),
	T("{}", "result_json", "null"),
	T("{\"tool_call\":{\"result\":null}}", "result_json", "null"),
	T("{\"tool_call\":{\"result\":\"a\"}}", "result_json", "\"a\""),
	T("{\"result\":\"a\"}", "result_json", "\"a\""),
	T("{}", "error_json", "null"),
	T("{\"tool_call\":{\"error\":{\"code\":\"a\"}}}", "error_json",
	  "{\"code\":\"a\"}"),
	T("{\"worker_id\":\"a\"}", "worker_id", "a"),
	T("{\"tool_call\":{\"category\":\"a\"}}", "tool_category", "a"),
	T("{\"tool_call\":{\"data_handling_classification\":\"a\"}}",
	  "data_handling_classification", "a"),
	T("{\"tool_call\":{\"policy_decision\":\"a\"}}", "policy_decision",
	  "a"),
	T("{\"tool_call\":{\"requires_human_approval\":false}}",
	  "requires_human_approval", "0"),
	T("{}", "requires_human_approval", "unset"),

	T("{}", "retention_policy", "default"),
	T("{\"retention_policy\":\"a\"}", "retention_policy", "a"),
	T("{\"retention\":\"a\"}", "retention_policy", "a"),
	T("{\"classification\":{\"retention\":\"a\"}}", "retention_policy",
	  "a"),
	T("{\"retention\":\"\"}", "retention_policy", "default"),
	P("{\"classification\":{\"level\":\"PHI\"}}", "classification_level",
	  "PHI"),
	P("{\"classification\":\"internal\"}", "classification_level",
	  "internal"),
	P("{}", "classification_level", "unset"),

	/* An escaped name is the same name. */
	M("{\"\\u0070rovider\":\"a\"}", "provider", "a"),
	M("{\"bil\\u006cing\":{\"budget\\u005fid\":\"a\"}}", "budget_id",
	  "a"),
	/* A known name at another place is another name. */
	M("{\"billing\":{\"provider\":\"a\"}}", "provider", "unset"),
};

START_TEST(finds_a_value_at_each_of_its_places)
{
	const struct place *p = &places[_i];

	decode_text(p->kind, p->body);
	is(p->field, p->want);
}
END_TEST

static const struct place headers[] = {
	M("x-legion-llm-request-type", "request_type", "a"),
	M("x-legion-llm-provider", "provider", "a"),
	M("x-legion-llm-model", "model_id", "a"),
	M("x-legion-llm-tier", "tier", "a"),
	M("x-legion-llm-conversation-id", "conversation_id", "a"),
	P("x-legion-llm-request-type", "request_type", "a"),
	P("x-legion-llm-provider", "provider", "a"),
	P("x-legion-llm-model", "model_id", "a"),
	P("x-legion-llm-tier", "tier", "a"),
	P("x-legion-llm-conversation-id", "conversation_id", "a"),
	P("x-legion-llm-request-id", "request_id", "a"),
	P("x-legion-classification", "classification_level", "a"),
	P("x-legion-retention", "retention_policy", "a"),
	P("x-legion-identity", "caller_identity", "a"),
	P("x-legion-caller-identity", "caller_identity", "a"),
	P("x-legion-caller-type", "caller_type", "a"),
	P("x-legion-identity-kind", "caller_type", "a"),
	T("x-legion-llm-conversation-id", "conversation_id", "a"),
	T("x-legion-llm-request-id", "request_id", "a"),
	T("x-legion-tool-name", "tool_name", "a"),
	T("x-legion-tool-source-type", "tool_source_type", "a"),
	T("x-legion-tool-source-server", "tool_source_server", "a"),
	T("x-legion-tool-status", "tool_status", "a"),
	T("x-legion-classification", "classification_level", "a"),
	T("x-legion-retention", "retention_policy", "a"),
};

START_TEST(falls_back_to_a_header)
{
	const struct place *h = &headers[_i];

	decode_header("x-other", "b");
	decode_header(h->body, h->want);
	decode_text(h->kind, "{}");
	is(h->field, h->want);
}
END_TEST

START_TEST(falls_back_to_a_header_that_became_a_member)
{
	const struct place *h = &headers[_i];
	char body[128];

	snprintf(body, sizeof(body), "{\"%s\":\"%s\"}", h->body, h->want);
	decode_text(h->kind, body);
	is(h->field, h->want);
	extra("unset");
}
END_TEST

START_TEST(prefers_the_body_to_a_header)
{
	decode_header("x-legion-llm-provider", "from header");
	decode_text("metering", "{\"provider\":\"from body\"}");
	is("provider", "from body");
}
END_TEST

START_TEST(takes_the_retention_label_from_the_header_first)
{
	decode_header("x-legion-retention", "days_30");
	decode_text("tool", "{\"retention\":\"permanent\"}");
	is("retention_policy", "days_30");
	extra("{\"retention\":\"permanent\"}");
}
END_TEST

START_TEST(leaves_the_id_to_the_core_where_a_property_has_one)
{
	decode_next.message_id = (struct bursar_span){ "prop", 4 };
	decode_next.correlation_id = (struct bursar_span){ "corr", 4 };
	decode_text("metering", "{\"message_id\":\"own\","
	            "\"correlation_id\":\"other\"}");
	is("message_id", "unset");
	is("correlation_id", "corr");
	extra("{\"message_id\":\"own\",\"correlation_id\":\"other\"}");
}
END_TEST

/* --- callers --------------------------------------------------------- */

struct caller {
	const char *body;
	const char *headers[4];		/* name, value */
	const char *identity;
	const char *type;
};

static const struct caller callers[] = {
	{ "{\"caller\":{\"requested_by\":{\"identity\":\"user:matt\","
	  "\"type\":\"user\"}}}", { NULL }, "user:matt", "user" },
	{ "{\"caller\":{\"requested_by\":{\"identity\":\"system\","
	  "\"type\":\"service\"}}}", { NULL }, "service:system", "service" },
	{ "{\"caller\":{\"requested_by\":{\"id\":\"system:system\","
	  "\"type\":\"service\"}},\"identity\":{\"identity\":"
	  "\"matt@example.com\",\"type\":\"human\"}}",
	  { "x-legion-identity", "other@example.com" },
	  "matt@example.com", "human" },
	{ "{\"identity\":{\"identity\":\"bob\",\"type\":\"human\"}}",
	  { "x-legion-identity-canonical-name", "alice",
	    "x-legion-identity-kind", "service" }, "alice", "human" },
	{ "{\"caller\":{\"extension\":\"lex-metering\"}}", { NULL },
	  "extension:lex-metering", "extension" },
	{ "{\"caller\":{\"requested_by\":{\"extension\":\"lex-a\"}}}",
	  { NULL }, "extension:lex-a", "extension" },
	{ "{\"caller\":{\"source\":\"api\"}}", { NULL }, "unset", "unset" },
	{ "{}", { "x-legion-identity-db-principal-id", "42",
	          "x-legion-identity-db-identity-id", "0" },
	  "unset", "unset" },
	{ "{\"caller\":{\"requested_by\":{\"identity\":\"user\"}}}", { NULL },
	  "user", "unset" },
	{ "{\"caller\":{\"identity\":\"ana\",\"kind\":\"human\"}}", { NULL },
	  "ana", "human" },
	/* Beside requested_by, members of the caller itself do not count. */
	{ "{\"caller\":{\"identity\":\"ana\",\"type\":\"x\","
	  "\"requested_by\":{}}}", { NULL }, "unset", "unset" },
	{ "{\"caller\":{\"username\":\"ana\",\"requested_by\":\"x\"}}",
	  { NULL }, "ana", "unset" },
	/* Nothing in it is nothing said. */
	{ "{\"identity\":{\"id\":\"\",\"username\":\"ana\",\"type\":\"\"}}",
	  { "x-legion-caller-type", "human" }, "ana", "human" },
	{ "{\"identity\":{\"identity\":\"process@x\",\"type\":\"human\"}}",
	  { NULL }, "process@x", "human" },
	{ "{\"identity\":{\"identity\":\"spiffe://legion.internal/wl\","
	  "\"type\":\"workload\"}}", { NULL },
	  "spiffe://legion.internal/wl", "workload" },
};

START_TEST(knows_the_caller)
{
	const struct caller *c = &callers[_i];

	for (size_t i = 0; i < 4 && c->headers[i] != NULL; i += 2) {
		decode_header(c->headers[i], c->headers[i + 1]);
	}
	decode_text("prompt", c->body);
	is("caller_identity", c->identity);
	is("caller_type", c->type);
}
END_TEST

/* What an identity is in parts; golden. */
static const struct {
	const char *body;
	const char *name, *kind, *provider;
} descriptors[] = {
	{ "{\"identity\":{\"identity\":\"user:matt\"}}",
	  "matt", "human", "local" },
	{ "{\"identity\":{\"identity\":\"service:system\","
	  "\"type\":\"Service Account\"}}",
	  "system", "service_account", "local" },
	{ "{\"identity\":{\"identity\":\"gaia\"}}",
	  "gaia", "unknown", "local" },
	{ "{\"identity\":{\"identity\":\"spiffe://legion.internal/wl\"}}",
	  "spiffe://legion.internal/wl", "unknown", "local" },
	{ "{\"identity\":{\"identity\":\"spiffe://legion.internal/wl\","
	  "\"type\":\"workload\"}}",
	  "spiffe://legion.internal/wl", "workload", "local" },
	{ "{\"identity\":{\"identity\":\"ana@example.com\","
	  "\"type\":\"human\",\"credential\":\"entra_delegated\"}}",
	  "ana@example.com", "human", "entra_delegated" },
	{ "{\"identity\":{\"identity\":\"a:b@c\"}}",
	  "a:b@c", "unknown", "local" },
	{ "{\"identity\":{\"identity\":\"app:\"}}",
	  "app:", "unknown", "local" },
	{ "{\"identity\":{\"identity\":\"x:y:z\",\"type\":\"User:x\"}}",
	  "y:z", "human", "local" },
	{ "{\"caller\":{\"requested_by\":{\"identity\":\"system\","
	  "\"type\":\"service\",\"credential\":\" Key Cloak! \"}}}",
	  "system", "service", "key-cloak" },
	{ "{\"caller\":{\"extension\":\"lex-metering\"}}",
	  "lex-metering", "extension", "local" },
	{ "{\"identity\":{\"credential\":\"x\"}}",
	  "unset", "unset", "unset" },
};

START_TEST(an_identity_has_parts)
{
	decode_text("metering", descriptors[_i].body);
	is("identity_canonical_name", descriptors[_i].name);
	is("identity_kind", descriptors[_i].kind);
	is("identity_provider", descriptors[_i].provider);
}
END_TEST

static const struct {
	const char *header;
	const char *said;
	const char *stored;
} row_ids[] = {
	{ "x-legion-identity-db-principal-id", "42", "42" },
	{ "x-legion-identity-db-principal-id", "0", "unset" },
	{ "x-legion-identity-db-principal-id", "-1", "unset" },
	{ "x-legion-identity-db-principal-id", "4x", "unset" },
	{ "x-legion-identity-db-principal-id", "9999999999999999999", "unset" },
	{ "x-legion-identity-principal-id", "7", "7" },
};

START_TEST(a_number_of_an_identity_is_above_zero)
{
	decode_header(row_ids[_i].header, row_ids[_i].said);
	decode_header("x-legion-identity-db-identity-id", "0");
	decode_text("metering", "{}");
	is("identity_principal_id", row_ids[_i].stored);
	is("identity_id", "unset");
}
END_TEST

START_TEST(completes_an_identity_for_a_kind_without_caller_type)
{
	decode_text("tool", callers[1].body);
	is("caller_identity", "service:system");
	extra("{\"caller.requested_by.type\":\"service\"}");
}
END_TEST

/* --- types ----------------------------------------------------------- */

struct value {
	const char *text;	/* of the member */
	const char *want;
	int64_t flags;
};

static const struct value counts[] = {
	{ "75", "75", 0 },
	{ "\"75\"", "75", 0 },
	{ "\"75ms\"", "75", BURSAR_DQ_TYPE },
	{ "75.9", "75", 0 },
	{ "\"75.9\"", "75", 0 },
	{ "1e3", "1000", 0 },
	{ "0", "0", 0 },
	{ "-0", "0", 0 },
	{ "null", "unset", 0 },
	{ "-3", "-3", BURSAR_DQ_NEGATIVE },
	{ "1000000000000", "1000000000000", 0 },
	{ "1000000000001", "1000000000001", BURSAR_DQ_ABSURD },
	{ "9223372036854775807", "9223372036854775807", BURSAR_DQ_ABSURD },
	{ "9223372036854775808", "unset", BURSAR_DQ_TYPE },
	{ "123456789012345678901234567890", "unset", BURSAR_DQ_TYPE },
	{ "1e400", "unset", BURSAR_DQ_TYPE },
	{ "\"\"", "unset", BURSAR_DQ_TYPE },
	{ "\"abc\"", "unset", BURSAR_DQ_TYPE },
	{ "true", "unset", BURSAR_DQ_TYPE },
	{ "[1]", "unset", BURSAR_DQ_TYPE },
	{ "{\"a\":1}", "unset", BURSAR_DQ_TYPE },
};

static void decode_member(const char *kind, const char *member,
                          const char *value)
{
	char body[512];

	snprintf(body, sizeof(body), "{\"%s\":%s}", member, value);
	decode_text(kind, body);
}

/* What a field cannot hold, or not all of it, is kept as it was written. */
static void keeps_what_is_flagged(const char *member, const struct value *v)
{
	char want[512];

	snprintf(want, sizeof(want), "{\"%s\":%s}", member, v->text);
	extra(v->flags & BURSAR_DQ_TYPE ? want : "unset");
	flags(v->flags);
}

START_TEST(reads_counts)
{
	decode_member("metering", "input_tokens", counts[_i].text);
	is("input_tokens", counts[_i].want);
	keeps_what_is_flagged("input_tokens", &counts[_i]);
}
END_TEST

static const struct value moneys[] = {
	{ "0.0116", "11600000", 0 },
	{ "\"0.0116\"", "11600000", 0 },
	{ "0", "0", 0 },
	{ "1e-9", "1", 0 },
	{ "0.0000000015", "2", 0 },
	{ "0.0000000025", "2", 0 },
	{ "-0.5", "-500000000", BURSAR_DQ_NEGATIVE },
	{ "1000000", "1000000000000000", 0 },
	{ "1000000.01", "1000000010000000", BURSAR_DQ_ABSURD },
	{ "1e12", "unset", BURSAR_DQ_TYPE },
	{ "1e400", "unset", BURSAR_DQ_TYPE },
	{ "\"0.01 EUR\"", "unset", BURSAR_DQ_TYPE },
	{ "false", "unset", BURSAR_DQ_TYPE },
	{ "[]", "unset", BURSAR_DQ_TYPE },
};

START_TEST(reads_money)
{
	decode_member("metering", "cost_usd", moneys[_i].text);
	is("cost_reported_usd", moneys[_i].want);
	is("cost_usd", "unset");
	keeps_what_is_flagged("cost_usd", &moneys[_i]);
}
END_TEST

static const struct value texts[] = {
	{ "\"a\"", "a", 0 },
	{ "\"\"", "", 0 },
	{ "12", "12", 0 },
	{ "1.50", "1.50", 0 },
	{ "null", "unset", 0 },
	{ "\"a\\nb\\\"\"", "a\nb\"", 0 },
	{ "\"\\u00e9\xc3\xa9\\ud83d\\ude00\"",
	  "\xc3\xa9\xc3\xa9\xf0\x9f\x98\x80", 0 },
	{ "\"nul\\u0000l\"", "nul\\u0000l", BURSAR_DQ_NUL },
	{ "\"half \\ud800\"", "half \\ud800", BURSAR_DQ_SURROGATE },
	{ "true", "unset", BURSAR_DQ_TYPE },
	{ "[]", "unset", BURSAR_DQ_TYPE },
	{ "{}", "unset", BURSAR_DQ_TYPE },
};

START_TEST(reads_texts)
{
	decode_member("metering", "provider", texts[_i].text);
	is("provider", texts[_i].want);
	keeps_what_is_flagged("provider", &texts[_i]);
}
END_TEST

static const struct value pii[] = {
	{ "true", "1", 0 },	{ "false", "0", 0 },
	{ "\"true\"", "1", 0 },	{ "\"false\"", "0", 0 },
	{ "\"TRUE\"", "1", 0 },	{ "\"False\"", "0", 0 },
	{ "1", "1", 0 },	{ "0", "0", 0 },
	{ "\"1\"", "1", 0 },	{ "\"0\"", "0", 0 },
	{ "\"yes\"", "1", 0 },	{ "\"no\"", "0", 0 },
	{ "null", "0", 0 },	{ "\"\"", "0", 0 },
	{ "\"maybe\"", "0", BURSAR_DQ_TYPE },
	{ "2", "0", BURSAR_DQ_TYPE },
	{ "[]", "0", BURSAR_DQ_TYPE },
};

START_TEST(reads_flags)
{
	decode_member("prompt", "contains_pii", pii[_i].text);
	is("contains_pii", pii[_i].want);
	keeps_what_is_flagged("contains_pii", &pii[_i]);
}
END_TEST

struct health {
	const char *header;
	const char *body;
	const char *want;
	int64_t flags;
};

static const struct health healths[] = {
	{ NULL, "{}", "0", 0 },
	{ "true", "{}", "1", 0 },
	{ "TRUE", "{}", "1", 0 },
	{ "1", "{}", "1", 0 },
	{ "false", "{}", "0", 0 },
	{ "", "{}", "0", 0 },
	{ NULL, "{\"classification\":{\"contains_phi\":true}}", "1", 0 },
	{ "false", "{\"classification\":{\"contains_phi\":true}}", "1", 0 },
	{ "true", "{\"classification\":{\"contains_phi\":false}}", "1", 0 },
	{ "false", "{\"classification\":{\"contains_phi\":\"false\"}}", "0",
	  0 },
	{ NULL, "{\"contains_phi\":\"1\"}", "1", 0 },
	{ NULL, "{\"x-legion-contains-phi\":true}", "1", 0 },
	/* Better kept too short than too long. */
	{ "maybe", "{}", "1", BURSAR_DQ_TYPE },
	{ NULL, "{\"contains_phi\":[]}", "1", BURSAR_DQ_TYPE },
};

START_TEST(holds_health_data_where_any_place_says_so)
{
	const struct health *h = &healths[_i];

	if (h->header != NULL) {
		decode_header("x-legion-contains-phi", h->header);
	}
	decode_text("tool", h->body);
	is("contains_phi", h->want);
	flags(h->flags);
}
END_TEST

START_TEST(flags_a_classification_that_it_does_not_know)
{
	decode_text("prompt", "{\"classification\":{\"level\":\"PHI\"}}");
	flags(BURSAR_DQ_CLASSIFICATION);
	decode_text("prompt",
	            "{\"classification\":{\"level\":\"Confidential\"}}");
	flags(0);
}
END_TEST

static const struct value totals[] = {
	{ "15", "15", 0 },			/* beside */
	{ "10", "10", 0 },			/* within */
	{ "17", "17", 0 },			/* caches too */
	{ "12", "12", 0 },
	{ "11", "11", BURSAR_DQ_TOTAL },
	{ "0", "0", BURSAR_DQ_TOTAL },
};

START_TEST(flags_a_total_that_no_reading_explains)
{
	char body[256];

	snprintf(body, sizeof(body), "{\"input_tokens\":4,\"output_tokens\":6,"
	         "\"thinking_tokens\":5,\"cache_read_input_tokens\":2,"
	         "\"total_tokens\":%s}", totals[_i].text);
	decode_text("metering", body);
	is("total_tokens", totals[_i].want);
	flags(totals[_i].flags);
}
END_TEST

START_TEST(does_not_judge_a_total_whose_parts_are_not_all_known)
{
	decode_text("metering", "{\"input_tokens\":4,\"output_tokens\":6,"
	            "\"total_tokens\":99}");
	flags(0);
}
END_TEST

/* --- times ----------------------------------------------------------- */

static const struct value times[] = {
	{ "\"2026-05-17T10:42:09.118Z\"", "1779014529118000", 0 },
	{ "\"2026-05-17T10:42:09Z\"", "1779014529000000", 0 },
	{ "\"2026-05-17t10:42:09.123456789z\"", "1779014529123456", 0 },
	{ "\"2026-05-17 10:42:09\"", "1779014529000000", 0 },
	{ "\"2026-05-17T12:42:09+02:00\"", "1779014529000000", 0 },
	{ "\"2026-05-17 12:42:09 +0200\"", "1779014529000000", 0 },
	{ "\"2026-05-17 10:42:09 UTC\"", "1779014529000000", 0 },
	{ "\"2026-05-17T10\\u003a42:09Z\"", "1779014529000000", 0 },
	{ "1779014529", "1779014529000000", 0 },
	{ "1779014529.118", "1779014529118000", 0 },
	{ "1779014529118", "1779014529118000", 0 },
	{ "1779014529118.5", "1779014529118500", 0 },
	{ "1779014529118000", "1779014529118000", 0 },
	{ "\"1779014529\"", "1779014529000000", 0 },
	{ "0", "0", 0 },
	{ "null", "unset", 0 },
	{ "\"2026\"", "unset", BURSAR_DQ_TIME_UNREADABLE },
	{ "\"2026-02-30T00:00:00Z\"", "unset", BURSAR_DQ_TIME_UNREADABLE },
	{ "\"yesterday\"", "unset", BURSAR_DQ_TIME_UNREADABLE },
	{ "\"\"", "unset", BURSAR_DQ_TIME_UNREADABLE },
	{ "1e30", "unset", BURSAR_DQ_TIME_UNREADABLE },
	{ "true", "unset", BURSAR_DQ_TIME_UNREADABLE },
};

START_TEST(reads_times)
{
	const struct value *v = &times[_i];
	char want[512];

	decode_member("metering", "recorded_at", v->text);
	is("recorded_at", v->want);
	flags(v->flags);
	snprintf(want, sizeof(want), "{\"recorded_at\":%s}", v->text);
	extra(v->flags != 0 ? want : "unset");
}
END_TEST

#define T1 "\"2026-05-17T10:42:01Z\""
#define T2 "\"2026-05-17T10:42:02Z\""
#define AT1 "1779014521000000"
#define AT2 "1779014522000000"

static const struct place moments[] = {
	M("{\"recorded_at\":" T1 ",\"timestamp\":" T2 "}", "recorded_at", AT1),
	M("{\"timestamp\":" T1 "}", "recorded_at", AT1),
	M("{\"tracked_at\":" T1 "}", "recorded_at", AT1),
	M("{\"ts\":" T1 "}", "recorded_at", AT1),
	M("{\"timestamps\":{\"returned\":" T1 "}}", "recorded_at", AT1),
	P("{\"timestamps\":{\"returned\":" T1 ",\"provider_end\":" T2 "}}",
	  "recorded_at", AT1),
	P("{\"timestamps\":{\"provider_end\":" T1 "}}", "recorded_at", AT1),
	P("{\"recorded_at\":" T1 "}", "recorded_at", AT1),
	P("{\"timestamp\":" T1 "}", "recorded_at", AT1),
	T("{\"recorded_at\":" T1 ",\"timestamps\":{\"tool_end\":" T2 "}}",
	  "recorded_at", AT1),
	T("{\"timestamps\":{\"tool_start\":" T1 ",\"tool_end\":" T2 "}}",
	  "recorded_at", AT2),
	T("{\"timestamps\":{\"tool_start\":" T1 "}}", "recorded_at", AT1),
	T("{\"tool_call\":{\"started_at\":" T1 ",\"finished_at\":" T2 "}}",
	  "recorded_at", AT2),
	T("{\"tool_call\":{\"started_at\":" T1 "}}", "recorded_at", AT1),
	T("{\"timestamp\":" T1 "}", "recorded_at", AT1),
	T("{\"tool_call\":{\"started_at\":" T1 ",\"finished_at\":" T2 "}}",
	  "tool_start_at", AT1),
	T("{\"tool_call\":{\"started_at\":" T1 ",\"finished_at\":" T2 "}}",
	  "tool_end_at", AT2),
	T("{\"timestamps\":{\"tool_start\":" T1 ",\"tool_end\":" T2 "}}",
	  "tool_start_at", AT1),
	T("{\"timestamps\":{\"tool_start\":" T1 ",\"tool_end\":" T2 "}}",
	  "tool_end_at", AT2),
	T("{\"timestamps\":{\"tool_start\":" T1 ",\"tool_end\":" T2 "}}",
	  "extra_json", "unset"),
};

/* Summer in Vienna; what names a zone, or is a number, needs none. */
static const struct { const char *value, *want; } naive[] = {
	{ "\"2026-05-17T12:42:01\"", "1779014521000000" },
	{ "\"2026-05-17 12:42:01.967806\"", "1779014521967806" },
	{ "\"2026-01-17T11:42:01\"", "1768646521000000" },
	{ "\"2026-05-17T10:42:01Z\"", "1779014521000000" },
	{ "\"2026-05-17T10:42:01+00:00\"", "1779014521000000" },
	{ "\"2026-05-17T10:42:01 UTC\"", "1779014521000000" },
	{ "1779014521", "1779014521000000" },
	{ "\"1779014521\"", "1779014521000000" },
};

START_TEST(a_time_without_a_zone_is_local_where_that_is_said)
{
	ck_assert_int_eq(setenv("TZ", "Europe/Vienna", 1), 0);
	tzset();
	decode_stop();
	decode_flags = "local-times";
	decode_start(FORMATS_DIR "/format_ledger");
	decode_member("metering", "ts", naive[_i].value);
	is("recorded_at", naive[_i].want);
	flags(0);
	decode_flags = "";
	unsetenv("TZ");
}
END_TEST

START_TEST(knows_when_it_happened)
{
	decode_text(moments[_i].kind, moments[_i].body);
	is(moments[_i].field, moments[_i].want);
}
END_TEST

START_TEST(takes_the_next_time_where_one_is_unreadable)
{
	decode_text("metering", "{\"recorded_at\":\"soon\",\"timestamp\":" T1
	            "}");
	is("recorded_at", AT1);
	flags(BURSAR_DQ_TYPE);
	extra("{\"recorded_at\":\"soon\"}");
}
END_TEST

/* --- reasoning ------------------------------------------------------- */

struct reasoning {
	const char *body;
	const char *response;
	const char *thinking;
};

#define R(text) "{\"response\":\"" text "\"}"
#define C(text) "{\"content\":\"" text "\"}"

static const struct reasoning reasonings[] = {
	{ R("<think>Let me reason about this carefully.</think>"
	    "The answer is 42."),
	  C("The answer is 42."), C("Let me reason about this carefully.") },
	{ R("<thinking>a</thinking>b"), C("b"), C("a") },
	{ R("plain"), C("plain"), "unset" },
	{ R(""), C(""), "unset" },
	{ R("x<think>a</think>y<thinking>b</thinking>z"), C("xyz"),
	  C("a\\nb") },
	{ R("x<think>a, and on"), C("x"), C("a, and on") },
	{ R("<think></think>x"), C("x"), C("") },
	{ R("a <b> </think> c"), C("a <b> </think> c"), "unset" },
	{ R("<think>a</thinking>b</think>c"), C("c"), C("a</thinking>b") },
	{ R("\\u003cthink\\u003ea<\\/think>b"), C("b"), C("a") },
	{ R("<think>a\\n\\u0000\\\"\\ud800</think>\\u0000\\u00e9b"),
	  C("\\u0000\\u00e9b"), C("a\\n\\u0000\\\"\\ud800") },
	{ R("```\\n<think>code</think>\\n```\\n<think>a</think>b"),
	  C("```\\n<think>code</think>\\n```\\nb"), C("a") },
	{ R("  ````xml\\n```\\n<think>code</think>\\n````\\nb"),
	  C("  ````xml\\n```\\n<think>code</think>\\n````\\nb"), "unset" },
	{ R("a ``` b <think>c</think>"), C("a ``` b "), C("c") },
	{ R("\\\\<think>a</think>\\\\"), C("\\\\\\\\"), C("a") },
	{ "{\"response\":\"<think>a</think>b\",\"thinking\":\"c\"}", C("b"),
	  C("c") },
	{ "{\"response\":\"<think>a</think>b\","
	  "\"response_thinking\":{\"content\":\"c\",\"enabled\":true}}",
	  C("b"), "{\"content\":\"c\",\"enabled\":true}" },
	{ "{\"response\":\"<think>a</think>b\",\"response_thinking\":{},"
	  "\"thinking\":\"\"}", C("b"), C("a") },
	{ "{\"response\":{\"content\":\"<think>a</think>b\"}}",
	  "{\"content\":\"<think>a</think>b\"}", "unset" },
};

START_TEST(takes_reasoning_out_of_a_plain_answer)
{
	const struct reasoning *r = &reasonings[_i];

	decode_text("prompt", r->body);
	is("response_json", r->response);
	is("response_thinking_json", r->thinking);
	extra("unset");
}
END_TEST

/* --- what has no field ----------------------------------------------- */

static const struct reasoning extras[] = {
	{ "{\"foo\":1,\"bar\":{\"a\": [1, 2] }}",
	  "{\"foo\":1,\"bar\":{\"a\": [1, 2] }}", NULL },
	{ "{\"message_context\":{\"foo\":null}}",
	  "{\"message_context.foo\":null}", NULL },
	{ "{\"caller\":{\"source\":\"api\",\"requested_by\":{\"ip\":1}}}",
	  "{\"caller.source\":\"api\",\"caller.requested_by.ip\":1}", NULL },
	{ "{\"context_accounting\":{\"status\":\"estimated\"}}",
	  "{\"context_accounting\":{\"status\":\"estimated\"}}", NULL },
	{ "{\"model\":\"a\",\"model_id\":\"b\"}", "{\"model\":\"a\"}", NULL },
	{ "{\"model\":\"a\",\"model_id\":\"\\u0061\"}", "unset", NULL },
	{ "{\"provider\":null,\"billing\":null,\"caller\":{}}", "unset",
	  NULL },
	{ "{\"f\\u006fo\":\"\\u0000\"}", "{\"f\\u006fo\":\"\\u0000\"}", NULL },
	{ "{\"x-legion-credential\":\"local\"}",
	  "{\"x-legion-credential\":\"local\"}", NULL },
};

START_TEST(keeps_what_has_no_field)
{
	decode_text("metering", extras[_i].body);
	extra(extras[_i].response);
	flags(0);
}
END_TEST

START_TEST(keeps_a_value_where_an_object_belongs)
{
	decode_text("metering", "{\"billing\":7,\"caller\":\"ana\"}");
	extra("{\"billing\":7,\"caller\":\"ana\"}");
	flags(BURSAR_DQ_TYPE);
}
END_TEST

START_TEST(does_not_keep_twice_what_stands_in_the_answer)
{
	decode_text("prompt", "{\"response\":{\"usage\":{\"a\":1},"
	            "\"stop\":{\"reason\":\"x\",\"sequence\":null}}}");
	extra("unset");
}
END_TEST

struct twice {
	const char *body;
	const char *field;
	const char *want;
	const char *extra;
};

static const struct twice twices[] = {
	{ "{\"provider\":\"a\",\"provider\":\"b\"}", "provider", "b",
	  "unset" },
	{ "{\"provider\":\"a\",\"provider\":null}", "provider", "unset",
	  "unset" },
	{ "{\"provider\":[],\"\\u0070rovider\":\"b\"}", "provider", "b",
	  "unset" },
	{ "{\"billing\":{\"budget_id\":\"a\",\"foo\":1,\"cost_center\":2},"
	  "\"billing\":{\"cost_center\":\"c\"}}", "budget_id", "unset",
	  "unset" },
	{ "{\"billing\":{\"budget_id\":\"a\"},\"billing\":null}", "budget_id",
	  "unset", "unset" },
	{ "{\"agent\":{\"id\":\"a\"},\"agent\":\"b\"}", "agent_id", "b",
	  "unset" },
	{ "{\"agent\":\"b\",\"agent\":{\"id\":\"a\"}}", "agent_id", "a",
	  "unset" },
	{ "{\"foo\":1,\"bar\":2,\"foo\":3}", "provider", "unset",
	  "{\"foo\":3,\"bar\":2}" },
};

START_TEST(lets_the_last_of_two_equal_names_win)
{
	decode_text("metering", twices[_i].body);
	is(twices[_i].field, twices[_i].want);
	extra(twices[_i].extra);
	ck_assert(decode_record->values[BURSAR_DQ_FLAGS].number &
	          BURSAR_DQ_DUPLICATE_MEMBER);
}
END_TEST

/* {"m":"aaa"} has 8 bytes around the text. */
START_TEST(keeps_8192_bytes_and_no_more)
{
	decode_long("metering", "m", 8192 - 8);
	ck_assert_uint_eq(strlen(decode_got("extra_json")), 8192);
	flags(0);
	decode_long("metering", "m", 8192 - 7);
	extra("unset");
	flags(BURSAR_DQ_EXTRA_CUT);
}
END_TEST

START_TEST(leaves_out_whole_members_where_there_is_no_room)
{
	static char body[1 << 16];

	snprintf(body, sizeof(body), "{\"a\":1,\"b\":\"%09000d\",\"c\":2}",
	         0);
	decode_text("metering", body);
	extra("{\"a\":1,\"c\":2}");
	flags(BURSAR_DQ_EXTRA_CUT);
}
END_TEST

START_TEST(survives_more_unknown_members_than_it_keeps)
{
	static char body[1 << 16];
	size_t used = (size_t)snprintf(body, sizeof(body),
	                               "{\"provider\":\"p\"");

	for (int i = 0; i < 3000; i++) {
		used += (size_t)snprintf(body + used, sizeof(body) - used,
		                         ",\"m%d\":%d", i, i);
	}
	snprintf(body + used, sizeof(body) - used, ",\"model_id\":\"m\"}");
	decode_text("metering", body);
	is("provider", "p");
	is("model_id", "m");
	flags(BURSAR_DQ_EXTRA_CUT);
}
END_TEST

START_TEST(takes_a_name_of_1024_bytes_and_none_longer)
{
	decode_long("metering", "provider", 1024);
	ck_assert_uint_eq(strlen(decode_got("provider")), 1024);
	flags(0);
	decode_long("metering", "provider", 1025);
	is("provider", "unset");
	flags(BURSAR_DQ_TYPE);
	ck_assert_uint_eq(strlen(decode_got("extra_json")), 1025 + 15);
}
END_TEST

START_TEST(takes_an_error_of_any_length)
{
	decode_long("prompt", "error", 20000);
	ck_assert_uint_eq(strlen(decode_got("error_message")), 20000);
	flags(0);
}
END_TEST

START_TEST(takes_no_header_that_is_not_utf8)
{
	decode_header_bytes("x-legion-llm-provider", "\xff\xfe", 2);
	decode_text("metering", "{}");
	is("provider", "unset");
	flags(BURSAR_DQ_TYPE);
	decode_header_bytes("x-legion-llm-provider", "\xed\xa0\x80", 3);
	decode_text("metering", "{}");
	is("provider", "unset");
	decode_header_bytes("x-legion-llm-provider", "\xe6\x9d\xb1", 3);
	decode_text("metering", "{}");
	is("provider", "\xe6\x9d\xb1");
	flags(0);
}
END_TEST

START_TEST(escapes_a_nul_in_a_header)
{
	decode_header_bytes("x-legion-llm-provider", "a\0b", 3);
	decode_text("metering", "{}");
	is("provider", "a\\u0000b");
	flags(BURSAR_DQ_NUL);
}
END_TEST

/* --- buckets --------------------------------------------------------- */

static void again_with(const char *options)
{
	decode_stop();
	decode_flags = options;
	decode_start(FORMATS_DIR "/format_ledger");
}

START_TEST(buckets_stand_beside_each_other_unless_told)
{
	decode_text("metering", "{\"input_tokens\":100,\"output_tokens\":50,"
	            "\"cache_read_input_tokens\":900,"
	            "\"cache_write_input_tokens\":70,\"thinking_tokens\":20}");
	is("input_tokens", "100");
	is("output_tokens", "50");
	is("thinking_tokens", "20");
	is("hidden_output_tokens", "unset");
	flags(0);
}
END_TEST

START_TEST(takes_caches_out_of_input_where_they_are_counted_in)
{
	again_with("input-includes-cache");
	decode_text("metering", "{\"input_tokens\":1000,"
	            "\"cache_read_input_tokens\":600,"
	            "\"cache_write_input_tokens\":100,"
	            "\"cache_write_1h_input_tokens\":40}");
	is("input_tokens", "300");
	is("cache_read_input_tokens", "600");
	is("cache_write_input_tokens", "100");
	flags(0);
	decode_text("metering", "{\"input_tokens\":100,"
	            "\"cache_write_1h_input_tokens\":40}");
	is("input_tokens", "60");
	is("cache_write_input_tokens", "unset");
	is("cache_write_1h_input_tokens", "40");
	decode_text("metering", "{\"input_tokens\":7}");
	is("input_tokens", "7");
	decode_text("metering", "{\"cache_read_input_tokens\":7}");
	is("input_tokens", "unset");
	again_with("");
}
END_TEST

/* What the option does to sound and images, which are parts of the input. */
START_TEST(takes_caches_out_of_sound_and_images_as_well)
{
	again_with("input-includes-cache");
	decode_text("metering", "{\"input_tokens\":1000,"
	            "\"cache_read_input_tokens\":600,"
	            "\"audio_input_tokens\":500,"
	            "\"audio_cache_read_input_tokens\":450,"
	            "\"image_input_tokens\":380}");
	is("input_tokens", "400");
	is("audio_input_tokens", "50");
	is("audio_cache_read_input_tokens", "450");
	is("image_input_tokens", "350");
	is("image_cache_read_input_tokens", "30");
	flags(0);
	again_with("");
	decode_text("metering", "{\"input_tokens\":1000,"
	            "\"cache_read_input_tokens\":600,"
	            "\"audio_input_tokens\":1000,"
	            "\"audio_cache_read_input_tokens\":600}");
	is("input_tokens", "1000");
	is("audio_input_tokens", "1000");
	flags(0);
}
END_TEST

START_TEST(parts_are_not_more_than_their_whole)
{
	decode_text("metering", "{\"input_tokens\":10,"
	            "\"audio_input_tokens\":6,\"image_input_tokens\":5}");
	is("audio_input_tokens", "6");
	flags(BURSAR_DQ_TOTAL);
	decode_text("metering", "{\"cache_read_input_tokens\":10,"
	            "\"audio_cache_read_input_tokens\":11}");
	flags(BURSAR_DQ_TOTAL);
	decode_text("metering", "{\"output_tokens\":10,"
	            "\"hidden_output_tokens\":4,\"image_output_tokens\":7}");
	flags(BURSAR_DQ_TOTAL);
	decode_text("metering", "{\"audio_input_tokens\":6}");
	flags(0);
}
END_TEST

START_TEST(a_contradiction_is_kept_and_flagged)
{
	again_with("input-includes-cache");
	decode_text("metering", "{\"input_tokens\":10,"
	            "\"cache_read_input_tokens\":11}");
	is("input_tokens", "10");
	flags(BURSAR_DQ_TOTAL);
	again_with("");
	decode_text("metering", "{\"output_tokens\":10,"
	            "\"hidden_output_tokens\":11}");
	is("output_tokens", "10");
	flags(BURSAR_DQ_TOTAL);
	decode_text("metering", "{\"cache_write_input_tokens\":1,"
	            "\"cache_write_1h_input_tokens\":2}");
	flags(BURSAR_DQ_TOTAL);
}
END_TEST

START_TEST(thinking_within_output_is_hidden_output)
{
	again_with("output-includes-thinking");
	decode_text("metering", "{\"output_tokens\":50,\"thinking_tokens\":20}");
	is("output_tokens", "50");
	is("thinking_tokens", "unset");
	is("hidden_output_tokens", "20");
	flags(0);
	decode_text("metering", "{\"output_tokens\":50,\"thinking_tokens\":20,"
	            "\"hidden_output_tokens\":20}");
	is("thinking_tokens", "unset");
	is("hidden_output_tokens", "20");
	flags(0);
	decode_text("metering", "{\"output_tokens\":50,\"thinking_tokens\":20,"
	            "\"hidden_output_tokens\":0}");
	is("thinking_tokens", "unset");
	is("hidden_output_tokens", "20");
	flags(0);
	again_with("");
	decode_text("metering", "{\"output_tokens\":50,\"thinking_tokens\":20,"
	            "\"hidden_output_tokens\":5}");
	is("thinking_tokens", "20");
	is("hidden_output_tokens", "5");
	flags(0);
}
END_TEST

START_TEST(two_counts_of_one_reasoning_are_the_larger_of_them)
{
	again_with("output-includes-thinking");
	decode_text("metering", "{\"output_tokens\":50,\"thinking_tokens\":20,"
	            "\"hidden_output_tokens\":5}");
	is("thinking_tokens", "unset");
	is("hidden_output_tokens", "20");
	flags(BURSAR_DQ_TOTAL);
	decode_text("metering", "{\"output_tokens\":50,\"thinking_tokens\":5,"
	            "\"hidden_output_tokens\":20}");
	is("thinking_tokens", "unset");
	is("hidden_output_tokens", "20");
	flags(BURSAR_DQ_TOTAL);
	again_with("");
}
END_TEST

/* --- refusals -------------------------------------------------------- */

static const char *const refused[] = {
	"", "  ", "{", "[]", "[{}]", "\"secret\"", "12", "null", "true",
	"{\"secret\":}", "{} x", "{\"a\":\"\xff\"}", "gcm:abc:def",
};

START_TEST(refuses_what_is_no_object)
{
	const char *body = refused[_i];

	ck_assert_int_eq(decode_message("metering", body, strlen(body)),
	                 BURSAR_REJECT);
	ck_assert_uint_eq(decode_count, 0);
	ck_assert_int_ne(decode_error.code, 0);
	ck_assert_ptr_null(strstr(decode_error.text, "secret"));
}
END_TEST

START_TEST(says_what_it_got_instead_of_an_object)
{
	decode_message("tool", "[1, 2]", 6);
	ck_assert_str_eq(decode_error.text,
	                 "the body is an array of 6 bytes, not an object");
	decode_message("tool", "", 0);
	ck_assert_str_eq(decode_error.text, "the body is empty");
}
END_TEST

START_TEST(stands_alone_from_message_to_message)
{
	decode_header("x-legion-llm-provider", "p");
	decode_text("metering", "{\"foo\":1,\"model_id\":\"m\","
	            "\"input_tokens\":-1,\"recorded_at\":\"x\"}");
	decode_text("metering", "{}");
	for (size_t i = 0; i < decode_record->kind->field_count; i++) {
		ck_assert(!decode_record->values[i].is_set);
	}
}
END_TEST

/* Names are guessed by what followed what in the messages before. */
START_TEST(takes_members_in_any_order)
{
	decode_text("metering", "{\"provider\":\"a\",\"model_id\":\"b\","
	            "\"billing\":{\"budget_id\":\"c\",\"cost_center\":\"d\"},"
	            "\"tier\":\"e\"}");
	is("tier", "e");
	decode_text("metering", "{\"provider_instance\":\"a\",\"provider\":"
	            "\"b\",\"model\":\"c\",\"billing\":{\"cost_center\":"
	            "\"d\"},\"budget_id\":\"e\"}");
	is("provider_instance", "a");
	is("provider", "b");
	is("model_id", "c");
	is("cost_center", "d");
	is("budget_id", "e");
	decode_text("metering", "{\"provide\":1,\"model_id2\":2,\"billing\":"
	            "{\"tier\":3}}");
	extra("{\"provide\":1,\"model_id2\":2,\"billing.tier\":3}");
	is("tier", "unset");
}
END_TEST

START_TEST(knows_names_longer_than_a_guess)
{
	for (int i = 0; i < 2; i++) {
		decode_text("tool",
		            "{\"x-legion-identity-canonical-name\":\"a\""
		            ",\"tool_call\":{\"data_handling_classification\":"
		            "\"b\"}}");
		is("caller_identity", "a");
		is("data_handling_classification", "b");
	}
	decode_text("tool", "{\"x-legion-identity-canonical-namf\":\"a\"}");
	is("caller_identity", "unset");
}
END_TEST

/* --- golden messages ------------------------------------------------- */

static json_t *load(const char *text, size_t size)
{
	json_error_t err;
	json_t *value = json_loadb(text, size, JSON_FLAGS, &err);

	ck_assert_msg(value != NULL, "%s", err.text);
	return value;
}

static struct bursar_span span_of(json_t *object, const char *name)
{
	json_t *member = json_object_get(object, name);

	return (struct bursar_span){ json_string_value(member),
	                             json_string_length(member) };
}

static enum bursar_verdict decode_golden(json_t *line)
{
	static unsigned char body[1 << 20];
	const struct bursar_span coded = span_of(line, "body_base64");
	json_t *given = json_object_get(line, "headers");
	json_t *properties = json_object_get(line, "properties");
	const char *name;
	json_t *value;
	size_t size;

	ck_assert_int_eq(sodium_base642bin(body, sizeof(body), coded.data,
	                                   coded.size, NULL, &size, NULL,
	                                   sodium_base64_VARIANT_ORIGINAL), 0);
	json_object_foreach(given, name, value) {
		decode_header(name, json_string_value(value));
	}
	decode_next.correlation_id = span_of(properties, "correlation_id");
	return decode_message(json_string_value(json_object_get(line, "kind")),
	                      (const char *)body, size);
}

static void compare_json(const struct bursar_value *got, json_t *want)
{
	json_t *ours = load(got->text, got->size);
	json_t *theirs = load(json_string_value(want),
	                      json_string_length(want));

	ck_assert(json_equal(ours, theirs));
	json_decref(ours);
	json_decref(theirs);
}

static void compare_text(const struct bursar_value *got, json_t *want,
                         const char *column)
{
	ck_assert_msg(json_string_length(want) == got->size &&
	              memcmp(got->text, json_string_value(want),
	                     got->size) == 0, "%s differs", column);
}

static void compare_number(const struct bursar_value *got, json_t *want,
                           enum bursar_field_type type, const char *column)
{
	int64_t number = json_integer_value(want);

	if (type == BURSAR_BOOL) {
		number = json_is_true(want);
	} else if (type == BURSAR_MONEY) {
		number = (int64_t)(json_number_value(want) * 1e9 + 0.5);
	} else if (type == BURSAR_TIME) {
		ck_assert(rfc3339_parse(json_string_value(want),
		                        json_string_length(want), &number));
	}
	ck_assert_msg(got->number == number, "%s is %lld, not %lld", column,
	              (long long)got->number, (long long)number);
}

/* Where nothing was said, 0 there is nothing here. */
static bool means_nothing(json_t *want)
{
	return json_is_null(want) || (json_is_number(want) &&
	                              json_number_value(want) == 0);
}

static void compare_column(const char *column, json_t *want)
{
	const struct bursar_kind *kind = decode_record->kind;
	int place = bursar_field_find(kind, column);
	const struct bursar_value *got;

	if (kind->fact && strcmp(column, "cost_usd") == 0) {
		place = bursar_field_find(kind, "cost_reported_usd");
	}
	ck_assert_msg(place >= 0, "no field %s", column);
	got = &decode_record->values[place];
	if (!got->is_set) {
		ck_assert_msg(means_nothing(want), "%s is not set", column);
	} else if (kind->fields[place].type == BURSAR_TEXT) {
		compare_text(got, want, column);
	} else if (kind->fields[place].type == BURSAR_JSON) {
		compare_json(got, want);
	} else {
		compare_number(got, want, kind->fields[place].type, column);
	}
}

/* --- shapes of other systems ---------------------------------------------- */

/* Whole records as others write them, and what becomes of each member. */
static const struct {
	const char *flags;		/* options of the format */
	const char *body;
	const char *fields[24][2];	/* ended by NULL; all others unset */
} shapes[] = {
	/* The event of a cost tracker: its input leaves caches out, its
	 * output has the hidden part in it. */
	{ "", "{\"event_id\":\"0c7e\",\"provider\":\"openai\",\"model\":"
	  "\"gpt-5-mini\",\"input_tokens\":50,\"output_tokens\":42,"
	  "\"total_tokens\":192,\"cache_read_input_tokens\":100,"
	  "\"cache_write_input_tokens\":0,\"hidden_output_tokens\":20,"
	  "\"pricing_mode\":null,\"cost\":{\"input_cost\":0.0000125,"
	  "\"cache_read_input_cost\":0.0000025,\"output_cost\":0.000084,"
	  "\"total_cost\":0.000099,\"currency\":\"USD\"},\"latency_ms\":812,"
	  "\"stream\":false,\"usage_source\":\"response\","
	  "\"provider_response_id\":\"resp_9\","
	  "\"tracked_at\":\"2026-05-17T10:42:01.123456Z\"}",
	  { { "message_id", "0c7e" }, { "provider", "openai" },
	    { "model_id", "gpt-5-mini" }, { "input_tokens", "50" },
	    { "output_tokens", "42" }, { "total_tokens", "192" },
	    { "cache_read_input_tokens", "100" },
	    { "cache_write_input_tokens", "0" },
	    { "hidden_output_tokens", "20" }, { "latency_ms", "812" },
	    { "cost_reported_usd", "99000" }, { "usage_source", "response" },
	    { "provider_response_id", "resp_9" },
	    { "recorded_at", "1779014521123456" } } },
	/* The ledger of a router, in a file: two sorts of tokens, a cost. */
	{ "", "{\"ts\":\"2026-05-17T10:42:01.967806\",\"provider\":"
	  "\"openrouter\",\"model\":\"qwen2-72b\",\"tokens_in\":10,"
	  "\"tokens_out\":20,\"cost\":5e-05,\"task_id\":null,\"agent\":"
	  "\"an_agent\",\"status\":\"ok\"}",
	  { { "recorded_at", "1779014521967806" },
	    { "provider", "openrouter" }, { "model_id", "qwen2-72b" },
	    { "input_tokens", "10" }, { "output_tokens", "20" },
	    { "cost_reported_usd", "50000" }, { "agent_id", "an_agent" },
	    { "status", "ok" } } },
	/* The row of an inference log, as it was first ... */
	{ "", "{\"database_id\":\"d1\",\"entity_id\":\"e1\",\"actor_id\":"
	  "null,\"model\":\"m\",\"provider\":null,\"request_type\":"
	  "\"embedding\",\"input_tokens\":7,\"output_tokens\":0,"
	  "\"total_tokens\":7,\"latency_ms\":31,\"rag_enabled\":false,"
	  "\"status\":\"quota_exceeded\",\"error_type\":null}",
	  { { "model_id", "m" }, { "request_type", "embedding" },
	    { "input_tokens", "7" }, { "output_tokens", "0" },
	    { "total_tokens", "7" }, { "latency_ms", "31" },
	    { "status", "quota_exceeded" } } },
	/* ... and as it became: its input counts what caches had. */
	{ "input-includes-cache",
	  "{\"entity_id\":\"e1\",\"model\":\"anthropic/m\",\"provider\":"
	  "\"anthropic\",\"service\":\"chat\",\"operation\":\"agent/chat\","
	  "\"input_tokens\":2300,\"output_tokens\":311,\"total_tokens\":"
	  "2611,\"cache_read_tokens\":1900,\"cache_write_tokens\":100,"
	  "\"latency_ms\":2310,\"status\":\"error\",\"error_type\":"
	  "\"timeout\",\"request_id\":\"r1\","
	  "\"created_at\":\"2026-05-17 10:42:01.5+00:00\"}",
	  { { "model_id", "anthropic/m" }, { "provider", "anthropic" },
	    { "request_type", "chat" }, { "operation", "agent/chat" },
	    { "input_tokens", "300" }, { "output_tokens", "311" },
	    { "total_tokens", "2611" }, { "cache_read_input_tokens", "1900" },
	    { "cache_write_input_tokens", "100" }, { "latency_ms", "2310" },
	    { "status", "error" }, { "error_type", "timeout" },
	    { "request_id", "r1" }, { "recorded_at", "1779014521500000" } } },
};

static const char *wanted(int shape, const char *field)
{
	for (size_t i = 0; shapes[shape].fields[i][0] != NULL; i++) {
		if (strcmp(shapes[shape].fields[i][0], field) == 0) {
			return shapes[shape].fields[i][1];
		}
	}
	return "unset";
}

START_TEST(takes_the_records_of_others_as_they_write_them)
{
	again_with(shapes[_i].flags);
	decode_text("metering", shapes[_i].body);
	for (size_t i = 0; i < decode_record->kind->field_count; i++) {
		const struct bursar_field *field =
			&decode_record->kind->fields[i];

		if ((field->flags & BURSAR_FIELD_CORE) == 0 &&
		    field->type != BURSAR_JSON) {
			is(field->name, wanted(_i, field->name));
		}
	}
	flags(0);
}
END_TEST

START_TEST(stores_the_golden_messages_as_the_ledger_before_us)
{
	static char line[1 << 20];
	FILE *file = fopen(GOLDEN_FILE, "r");
	size_t compared = 0;

	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file) != NULL) {
		json_t *golden = load(line, strlen(line));
		json_t *row = json_object_get(golden, "expected_row");
		const char *column;
		json_t *want;

		if (strcmp(json_string_value(json_object_get(golden,
		           "encryption")), "none") != 0) {
			json_decref(golden);
			continue;
		}
		ck_assert_int_eq(decode_golden(golden), BURSAR_DONE);
		json_object_foreach(row, column, want) {
			if (strcmp(column, "message_id") != 0) {
				compare_column(column, want);
			}
		}
		/* Nothing of them is odd but a NUL. */
		ck_assert_int_eq(decode_record->values[BURSAR_DQ_FLAGS].number,
		                 0);
		compared += json_is_object(row);
		json_decref(golden);
	}
	fclose(file);
	ck_assert_uint_eq(compared, 250);
}
END_TEST

#define LOOP(tcase, test, table) \
	tcase_add_loop_test(tcase, test, 0, \
	                    (int)(sizeof(table) / sizeof((table)[0])))

static TCase *places_case(void)
{
	TCase *t = tcase_create("places");

	tcase_add_checked_fixture(t, start, decode_stop);
	LOOP(t, finds_a_value_at_each_of_its_places, places);
	LOOP(t, falls_back_to_a_header, headers);
	LOOP(t, falls_back_to_a_header_that_became_a_member, headers);
	tcase_add_test(t, prefers_the_body_to_a_header);
	tcase_add_test(t, takes_the_retention_label_from_the_header_first);
	tcase_add_test(t, leaves_the_id_to_the_core_where_a_property_has_one);
	LOOP(t, knows_the_caller, callers);
	LOOP(t, an_identity_has_parts, descriptors);
	LOOP(t, a_number_of_an_identity_is_above_zero, row_ids);
	tcase_add_test(t, completes_an_identity_for_a_kind_without_caller_type);
	return t;
}

static TCase *types_case(void)
{
	TCase *t = tcase_create("types");

	tcase_add_checked_fixture(t, start, decode_stop);
	LOOP(t, reads_counts, counts);
	LOOP(t, reads_money, moneys);
	LOOP(t, reads_texts, texts);
	LOOP(t, reads_flags, pii);
	LOOP(t, holds_health_data_where_any_place_says_so, healths);
	tcase_add_test(t, flags_a_classification_that_it_does_not_know);
	LOOP(t, flags_a_total_that_no_reading_explains, totals);
	tcase_add_test(t,
	               does_not_judge_a_total_whose_parts_are_not_all_known);
	LOOP(t, reads_times, times);
	LOOP(t, a_time_without_a_zone_is_local_where_that_is_said, naive);
	LOOP(t, knows_when_it_happened, moments);
	tcase_add_test(t, takes_the_next_time_where_one_is_unreadable);
	LOOP(t, takes_reasoning_out_of_a_plain_answer, reasonings);
	return t;
}

static TCase *extra_case(void)
{
	TCase *t = tcase_create("extra");

	tcase_add_checked_fixture(t, start, decode_stop);
	LOOP(t, keeps_what_has_no_field, extras);
	tcase_add_test(t, keeps_a_value_where_an_object_belongs);
	tcase_add_test(t, does_not_keep_twice_what_stands_in_the_answer);
	LOOP(t, lets_the_last_of_two_equal_names_win, twices);
	tcase_add_test(t, keeps_8192_bytes_and_no_more);
	tcase_add_test(t, leaves_out_whole_members_where_there_is_no_room);
	tcase_add_test(t, survives_more_unknown_members_than_it_keeps);
	tcase_add_test(t, takes_a_name_of_1024_bytes_and_none_longer);
	tcase_add_test(t, takes_an_error_of_any_length);
	tcase_add_test(t, takes_no_header_that_is_not_utf8);
	tcase_add_test(t, escapes_a_nul_in_a_header);
	LOOP(t, refuses_what_is_no_object, refused);
	tcase_add_test(t, says_what_it_got_instead_of_an_object);
	tcase_add_test(t, stands_alone_from_message_to_message);
	tcase_add_test(t, buckets_stand_beside_each_other_unless_told);
	tcase_add_test(t, takes_caches_out_of_input_where_they_are_counted_in);
	tcase_add_test(t,
	               takes_caches_out_of_sound_and_images_as_well);
	tcase_add_test(t, parts_are_not_more_than_their_whole);
	tcase_add_test(t, a_contradiction_is_kept_and_flagged);
	tcase_add_test(t, thinking_within_output_is_hidden_output);
	tcase_add_test(t,
	              two_counts_of_one_reasoning_are_the_larger_of_them);
	tcase_add_test(t, takes_members_in_any_order);
	tcase_add_test(t, knows_names_longer_than_a_guess);
	return t;
}

static TCase *golden_case(void)
{
	TCase *t = tcase_create("golden");

	tcase_add_checked_fixture(t, start, decode_stop);
	LOOP(t, takes_the_records_of_others_as_they_write_them, shapes);
	tcase_add_test(t,
	               stores_the_golden_messages_as_the_ledger_before_us);
	return t;
}

int main(void)
{
	Suite *s = suite_create("format_ledger");
	SRunner *runner;
	int bad;

	suite_add_tcase(s, places_case());
	suite_add_tcase(s, types_case());
	suite_add_tcase(s, extra_case());
	suite_add_tcase(s, golden_case());
	runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	bad = srunner_ntests_failed(runner);
	srunner_free(runner);
	return bad == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
