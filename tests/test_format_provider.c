/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The provider format, loaded as the daemon loads it: what became of answers
 * as the providers' references show them, whole and streamed.
 */
#include "config.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include <check.h>

#include "tests/decode.h"

#define MODULE FORMATS_DIR "/format_provider"

static void start(void)
{
	decode_start(MODULE);
}

/* Again, with other options. */
static void restart(const char *words)
{
	decode_stop();
	decode_words = words;
	decode_start(MODULE);
}

static void stop(void)
{
	decode_words = "";
	decode_stop();
}

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

/* input, read from a cache, put into one, for an hour, output, hidden */
static void tokens(const char *want)
{
	static const char *const fields[] = {
		"input_tokens", "cache_read_input_tokens",
		"cache_write_input_tokens", "cache_write_1h_input_tokens",
		"output_tokens", "hidden_output_tokens",
	};
	char got[256] = "";

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s",
		         i > 0 ? " " : "", decode_got(fields[i]));
	}
	ck_assert_str_eq(got, want);
}

static void decode(const char *body)
{
	decode_text("metering", body);
}

static void refuses(const char *body)
{
	ck_assert_int_eq(decode_message("metering", body, strlen(body)),
	                 BURSAR_REJECT);
	ck_assert_uint_eq(decode_count, 0);
}

/* --- families -------------------------------------------------------------- */

static const struct {
	const char *body;
	const char *provider;
	const char *model;
	const char *tokens;
	const char *total;
} answers[] = {
	/* Chat: cached tokens are part of the prompt, reasoning of the
	 * completion. */
	{ "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\","
	  "\"created\":1770000000,\"model\":\"gpt-5-mini\",\"choices\":[{"
	  "\"finish_reason\":\"stop\",\"message\":{\"content\":\"secret\"}}],"
	  "\"usage\":{\"prompt_tokens\":150,\"completion_tokens\":42,"
	  "\"total_tokens\":192,\"prompt_tokens_details\":{"
	  "\"cached_tokens\":100},\"completion_tokens_details\":{"
	  "\"reasoning_tokens\":20}}}",
	  "openai", "gpt-5-mini", "50 100 unset unset 42 20", "192" },
	/* Responses, whose status is a word. */
	{ "{\"id\":\"resp_1\",\"object\":\"response\",\"status\":"
	  "\"completed\",\"model\":\"gpt-5\",\"output\":[\"secret\"],"
	  "\"usage\":{\"input_tokens\":30,\"input_tokens_details\":{"
	  "\"cached_tokens\":10,\"cache_write_tokens\":5},"
	  "\"output_tokens\":7,\"output_tokens_details\":{"
	  "\"reasoning_tokens\":3},\"total_tokens\":37}}",
	  "openai", "gpt-5", "15 10 5 unset 7 3", "37" },
	{ "{\"object\":\"list\",\"data\":[{\"embedding\":[0.1]}],\"model\":"
	  "\"text-embedding-3-small\",\"usage\":{\"prompt_tokens\":8,"
	  "\"total_tokens\":8}}",
	  "openai", "text-embedding-3-small",
	  "8 unset unset unset unset unset", "8" },
	/* xAI: reasoning stands beside the completion. */
	{ "{\"url\":\"https://api.x.ai/v1/chat/completions\",\"status\":200,"
	  "\"response\":{\"object\":\"chat.completion\",\"model\":\"grok-4\","
	  "\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":5,"
	  "\"total_tokens\":35,\"completion_tokens_details\":{"
	  "\"reasoning_tokens\":20}}}}",
	  "xai", "grok-4", "10 unset unset unset 25 20", "35" },
	/* Anthropic: caches stand beside the input. */
	{ "{\"id\":\"msg_1\",\"type\":\"message\",\"model\":"
	  "\"claude-sonnet-4-5\",\"content\":[{\"text\":\"secret\"}],"
	  "\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":3,"
	  "\"cache_creation_input_tokens\":30,\"cache_read_input_tokens\":"
	  "900,\"output_tokens\":12,\"cache_creation\":{"
	  "\"ephemeral_5m_input_tokens\":10,"
	  "\"ephemeral_1h_input_tokens\":20},"
	  "\"output_tokens_details\":{\"thinking_tokens\":4}}}",
	  "anthropic", "claude-sonnet-4-5", "3 900 30 20 12 4", "unset" },
	/* Parts by lifetime take the place of the one number. */
	{ "{\"type\":\"message\",\"usage\":{\"input_tokens\":1,"
	  "\"cache_creation_input_tokens\":999,\"output_tokens\":1,"
	  "\"cache_creation\":{\"ephemeral_5m_input_tokens\":7}}}",
	  "anthropic", "unset", "1 unset 7 unset 1 unset", "unset" },
	/* Gemini: thoughts beside candidates, which may be missing; tools
	 * beside the prompt. */
	{ "{\"candidates\":[{\"finishReason\":\"STOP\"}],\"modelVersion\":"
	  "\"gemini-2.5-pro\",\"responseId\":\"r1\",\"usageMetadata\":{"
	  "\"promptTokenCount\":100,\"cachedContentTokenCount\":60,"
	  "\"toolUsePromptTokenCount\":5,\"candidatesTokenCount\":20,"
	  "\"thoughtsTokenCount\":30,\"totalTokenCount\":155,"
	  "\"trafficType\":\"ON_DEMAND_PRIORITY\"}}",
	  "gemini", "gemini-2.5-pro", "45 60 unset unset 50 30", "155" },
	{ "{\"usageMetadata\":{\"promptTokenCount\":9,"
	  "\"thoughtsTokenCount\":4}}",
	  "gemini", "unset", "9 unset unset unset 4 4", "unset" },
	/* Bedrock: the model stands in the URL. */
	{ "{\"url\":\"https://bedrock-runtime.us-east-1.amazonaws.com/model/"
	  "us.anthropic.claude-sonnet-4-5-20250929-v1:0/converse\","
	  "\"status\":200,\"response\":{\"stopReason\":\"end_turn\","
	  "\"usage\":{\"inputTokens\":11,\"outputTokens\":22,"
	  "\"cacheReadInputTokens\":33,\"cacheWriteInputTokens\":44,"
	  "\"totalTokens\":110}}}",
	  "bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
	  "11 33 44 unset 22 unset", "110" },
	/* Those who answer like OpenAI. */
	{ "{\"url\":\"https://api.deepseek.com/chat/completions\","
	  "\"status\":200,\"response\":{\"object\":\"chat.completion\","
	  "\"model\":\"deepseek-chat\",\"usage\":{\"prompt_tokens\":20,"
	  "\"prompt_cache_hit_tokens\":15,\"prompt_cache_miss_tokens\":5,"
	  "\"completion_tokens\":2,\"total_tokens\":22}}}",
	  "deepseek", "deepseek-chat", "5 15 unset unset 2 unset", "22" },
};

START_TEST(counts_as_its_family_does)
{
	decode(answers[_i].body);
	is("provider", answers[_i].provider);
	is("model_id", answers[_i].model);
	is("total_tokens", answers[_i].total);
	is("status", "success");
	is("usage_source", "response");
	tokens(answers[_i].tokens);
	flags(0);
}
END_TEST

START_TEST(keeps_nothing_of_what_was_said)
{
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		decode(answers[i].body);
		is("extra_json", "unset");
	}
}
END_TEST

START_TEST(takes_what_else_an_answer_says)
{
	decode("{\"id\":\"gen-1\",\"object\":\"chat.completion\",\"created\":"
	       "1770000000,\"model\":\"m\",\"service_tier\":\"flex\","
	       "\"choices\":[{\"finish_reason\":\"length\"}],\"usage\":{"
	       "\"prompt_tokens\":1,\"completion_tokens\":1,"
	       "\"cost\":0.00014}}");
	is("provider_response_id", "gen-1");
	is("finish_reason", "length");
	is("pricing_mode", "flex");
	is("cost_reported_usd", "140000");
	is("recorded_at", "1770000000000000");
	is("message_id", "unset");
	decode(answers[6].body);
	is("pricing_mode", "priority");
}
END_TEST

START_TEST(takes_what_stands_beside_an_answer)
{
	decode("{\"event_id\":\"e1\",\"url\":\"https://openrouter.ai/api/v1/"
	       "chat/completions\",\"status\":200,\"team\":\"search\","
	       "\"latency_ms\":812,\"recorded_at\":\"2026-11-01T00:00:00Z\","
	       "\"mine\":7,\"request\":{\"model\":\"asked\",\"messages\":[]},"
	       "\"response\":{\"object\":\"chat.completion\",\"created\":5,"
	       "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}}");
	is("message_id", "e1");
	is("provider", "openrouter");
	is("model_id", "asked");
	is("team", "search");
	is("latency_ms", "812");
	is("recorded_at", "1793491200000000");
	is("extra_json", "{\"mine\":7}");
}
END_TEST

START_TEST(reads_bodies_that_came_as_texts)
{
	decode("{\"status\":200,\"request\":\"{\\\"model\\\":\\\"m\\\"}\","
	       "\"response\":\"{\\\"object\\\":\\\"x\\\",\\\"usage\\\":{"
	       "\\\"prompt_tokens\\\":4,\\\"completion_tokens\\\":5}}\"}");
	is("model_id", "m");
	tokens("4 unset unset unset 5 unset");
}
END_TEST

START_TEST(keeps_a_contradiction_and_flags_it)
{
	decode("{\"object\":\"x\",\"usage\":{\"prompt_tokens\":10,"
	       "\"completion_tokens\":1,\"prompt_tokens_details\":{"
	       "\"cached_tokens\":11}}}");
	tokens("10 11 unset unset 1 unset");
	flags(BURSAR_DQ_TOTAL);
}
END_TEST

/* --- streams --------------------------------------------------------------- */

static const struct {
	const char *body;
	const char *tokens;
	const char *model;
	const char *source;
} streams[] = {
	{ ": hello\n\n"
	  "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\","
	  "\"model\":\"gpt-5\",\"choices\":[{\"delta\":{}}],"
	  "\"usage\":null}\n\n"
	  "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\","
	  "\"choices\":[],\"usage\":{\"prompt_tokens\":9,"
	  "\"completion_tokens\":3}}\r\n\r\n"
	  "data: [DONE]\n\n",
	  "9 unset unset unset 3 unset", "gpt-5", "stream_final" },
	{ "event: response.created\n"
	  "data: {\"type\":\"response.created\",\"response\":{\"id\":\"r\","
	  "\"model\":\"gpt-5\",\"usage\":null}}\n\n"
	  "event: response.completed\n"
	  "data: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\","
	  "\"usage\":{\"input_tokens\":8,\"output_tokens\":2}}}",
	  "8 unset unset unset 2 unset", "gpt-5", "stream_final" },
	/* Cumulative: the last counts, and what it leaves out stays. */
	{ "event: message_start\n"
	  "data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\","
	  "\"model\":\"claude-haiku-4-5\",\"usage\":{\"input_tokens\":25,"
	  "\"cache_read_input_tokens\":100,\"output_tokens\":1}}}\n\n"
	  "data: {\"type\":\"ping\"}\n\n"
	  "data: {\"type\":\"message_delta\",\"usage\":{"
	  "\"output_tokens\":7}}\n\n"
	  "data: {\"type\":\"message_delta\",\"usage\":{"
	  "\"input_tokens\":null,\"output_tokens\":15}}\n\n"
	  "data: {\"type\":\"message_stop\"}\n\n",
	  "25 100 unset unset 15 unset", "claude-haiku-4-5", "stream_final" },
	/* What tools put into a cache meanwhile is said as one number alone. */
	{ "data: {\"type\":\"message_start\",\"message\":{\"model\":\"c\","
	  "\"usage\":{\"input_tokens\":25,\"cache_creation_input_tokens\":60,"
	  "\"cache_creation\":{\"ephemeral_5m_input_tokens\":20,"
	  "\"ephemeral_1h_input_tokens\":40},\"output_tokens\":1}}}\n\n"
	  "data: {\"type\":\"message_delta\",\"usage\":{\"input_tokens\":30,"
	  "\"cache_creation_input_tokens\":160,\"output_tokens\":9}}\n\n",
	  "30 unset 160 40 9 unset", "c", "stream_final" },
	/* Cut off while the output only held a place. */
	{ "data: {\"type\":\"message_start\",\"message\":{\"model\":\"c\","
	  "\"usage\":{\"input_tokens\":25,\"output_tokens\":1}}}\n\n"
	  "data: {\"type\":\"message_del",
	  "25 unset unset unset 1 unset", "c", "stream_partial" },
	/* Each chunk repeats what there is so far: a sum would count twice. */
	{ "[{\"candidates\":[],\"modelVersion\":\"g\",\"usageMetadata\":{"
	  "\"promptTokenCount\":4,\"candidatesTokenCount\":1}},"
	  "{\"usageMetadata\":{\"promptTokenCount\":4,"
	  "\"candidatesTokenCount\":6}}]",
	  "4 unset unset unset 6 unset", "g", "stream_final" },
	/* One event of several lines. */
	{ "data: {\"object\":\"chat.completion.chunk\",\"model\":\"m\",\n"
	  "data:\"usage\":{\"prompt_tokens\":1,\n"
	  "data: \"completion_tokens\":2}}\n\n",
	  "1 unset unset unset 2 unset", "m", "stream_final" },
	{ "data: {\"object\":\"chat.completion.chunk\",\"model\":\"m\"}\n\n"
	  "data: [DONE]\n\n",
	  "unset unset unset unset unset unset", "m", "unknown" },
};

START_TEST(reads_a_stream_to_its_last_figures)
{
	decode(streams[_i].body);
	tokens(streams[_i].tokens);
	is("model_id", streams[_i].model);
	is("usage_source", streams[_i].source);
	is("extra_json", "unset");
}
END_TEST

START_TEST(believes_the_request_on_streams_and_no_words)
{
	decode("{\"status\":200,\"request\":{\"stream\":false,\"messages\":"
	       "[\"\\\"stream\\\":true\"]},\"response\":{\"object\":\"x\","
	       "\"usage\":{\"prompt_tokens\":1}}}");
	is("usage_source", "response");
	decode("{\"status\":200,\"request\":{\"stream\":true},"
	       "\"response\":\"data: {\\\"object\\\":\\\"x\\\",\\\"usage\\\":"
	       "{\\\"prompt_tokens\\\":1}}\\n\\n\"}");
	is("usage_source", "stream_final");
}
END_TEST

/* --- what has no figures --------------------------------------------------- */

START_TEST(what_was_not_said_is_unknown)
{
	decode("{\"object\":\"chat.completion\",\"model\":\"m\"}");
	is("usage_source", "unknown");
	tokens("unset unset unset unset unset unset");
	is("status", "success");
}
END_TEST

/* Of each family, whole and streamed. */
static const struct {
	const char *body, *provider, *model;
} silent[] = {
	{ "{\"url\":\"https://api.openai.com/v1/responses\",\"status\":200,"
	  "\"request\":{\"model\":\"a\"},\"response\":{\"object\":"
	  "\"response\",\"output\":[]}}", "openai", "a" },
	{ "{\"url\":\"https://api.openai.com/v1/chat/completions\","
	  "\"status\":200,\"request\":{\"model\":\"a\",\"stream\":true},"
	  "\"response\":\"data: {\\\"object\\\":"
	  "\\\"chat.completion.chunk\\\"}\\n\\ndata: [DONE]\\n\\n\"}",
	  "openai", "a" },
	{ "{\"url\":\"https://openrouter.ai/api/v1/chat/completions\","
	  "\"status\":200,\"response\":{\"model\":\"b/c\"}}",
	  "openrouter", "b/c" },
	{ "{\"url\":\"https://api.deepseek.com/chat/completions\","
	  "\"status\":200,\"request\":{\"model\":\"d\",\"stream\":true},"
	  "\"response\":\"data: {\\\"choices\\\":[]}\\n\\n\"}",
	  "deepseek", "d" },
	{ "{\"type\":\"message\",\"model\":\"claude\",\"content\":[]}",
	  "anthropic", "claude" },
	{ "event: message_start\ndata: {\"type\":\"message_start\","
	  "\"message\":{\"model\":\"claude\"}}\n\n", "anthropic", "claude" },
	{ "{\"url\":\"https://generativelanguage.googleapis.com/v1beta/models/"
	  "gemini-2.5-pro:generateContent\",\"status\":200,\"response\":"
	  "{\"candidates\":[]}}", "gemini", "gemini-2.5-pro" },
	{ "{\"url\":\"https://generativelanguage.googleapis.com/v1beta/models/"
	  "gemini-2.5-pro:streamGenerateContent\",\"status\":200,\"response\":"
	  "[{\"candidates\":[]}]}", "gemini", "gemini-2.5-pro" },
};

START_TEST(a_call_without_figures_is_recorded_all_the_same)
{
	decode(silent[_i].body);
	is("provider", silent[_i].provider);
	is("model_id", silent[_i].model);
	is("usage_source", "unknown");
	is("status", "success");
	is("total_tokens", "unset");
	tokens("unset unset unset unset unset unset");
}
END_TEST

/* No buffer overflows: what a message may hold is read to its end. */
START_TEST(a_stream_of_several_megabytes_is_read_to_its_end)
{
	static const char chunk[] = "data: {\"object\":"
		"\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{"
		"\"delta\":{\"content\":\"\\\"stream\\\":true\"}}]}\n\n";
	static const char end[] = "data: {\"choices\":[],\"usage\":{"
		"\"prompt_tokens\":9,\"completion_tokens\":3}}\n\n";
	const size_t chunks = (3u << 20) / (sizeof(chunk) - 1);
	const size_t size = chunks * (sizeof(chunk) - 1) + sizeof(end) - 1;
	char *body = malloc(size);

	ck_assert_ptr_nonnull(body);
	for (size_t i = 0; i < chunks; i++) {
		memcpy(body + i * (sizeof(chunk) - 1), chunk,
		       sizeof(chunk) - 1);
	}
	memcpy(body + size - (sizeof(end) - 1), end, sizeof(end) - 1);
	ck_assert_int_eq(decode_message("metering", body, size), BURSAR_DONE);
	is("usage_source", "stream_final");
	tokens("9 unset unset unset 3 unset");
	free(body);
}
END_TEST

START_TEST(a_failed_call_is_recorded_as_an_error)
{
	decode("{\"url\":\"https://api.openai.com/v1/chat/completions\","
	       "\"status\":429,\"request\":{\"model\":\"m\"},\"response\":"
	       "{\"error\":{\"type\":\"rate_limit\",\"message\":\"secret\"}}}");
	is("status", "error");
	is("error_type", "rate_limit");
	is("model_id", "m");
	is("extra_json", "unset");
	decode("{\"url\":\"https://api.openai.com/v1/responses\","
	       "\"status\":502,\"response\":\"<html>\"}");
	is("status", "error");
	is("error_type", "http");
	is("provider", "openai");
	decode("{\"status\":503}");
	is("status", "error");
}
END_TEST

static const char *const unused[] = {
	"api.openai.com/v1/models", "api.openai.com/v1/responses/input_tokens",
	"api.anthropic.com/v1/messages/count_tokens",
	"api.anthropic.com/v1/messages/batches",
	"generativelanguage.googleapis.com/v1beta/models/g:countTokens",
	"generativelanguage.googleapis.com/v1beta/models/g:batchGenerateContent",
	("us-east5-aiplatform.googleapis.com/v1/projects/p/locations/us-east5/"
	 "publishers/anthropic/models/count-tokens:rawPredict"),
};

START_TEST(other_paths_use_no_tokens)
{
	char body[300];

	snprintf(body, sizeof(body), "{\"url\":\"https://%s\",\"status\":200,"
	         "\"response\":{\"object\":\"list\",\"input_tokens\":7}}",
	         unused[_i]);
	ck_assert_int_eq(decode_message("metering", body, strlen(body)),
	                 BURSAR_DONE);
	ck_assert_uint_eq(decode_count, 0);
}
END_TEST

/* What a path tells that the host does not; whose prices hold tells the host. */
static const struct { const char *url, *response, *want; } ways[] = {
#define OF_ANTHROPIC "{\"model\":\"c\",\"usage\":{\"input_tokens\":5,"   \
	"\"cache_read_input_tokens\":3,\"output_tokens\":2}}"
#define OF_OPENAI "{\"model\":\"o\",\"usage\":{\"prompt_tokens\":5,"     \
	"\"completion_tokens\":2,\"completion_tokens_details\":{"         \
	"\"reasoning_tokens\":1}}}"
#define VERTEX "https://us-east5-aiplatform.googleapis.com/v1/projects/p/"   \
	"locations/us-east5/"
	{ VERTEX "publishers/anthropic/models/c@20250929:rawPredict",
	  OF_ANTHROPIC, "vertex_ai c us-east5 5 2" },
	{ VERTEX "publishers/anthropic/models/c:streamRawPredict",
	  "\"data: {\\\"type\\\":\\\"message_start\\\",\\\"message\\\":{"
	  "\\\"usage\\\":{\\\"input_tokens\\\":5,"
	  "\\\"output_tokens\\\":2}}}\\n\\n\"", "vertex_ai c us-east5 5 2" },
	{ "https://aiplatform.googleapis.com/v1/projects/images/locations/eu/"
	  "publishers/google/models/g:generateContent", "{\"usageMetadata\":{"
	  "\"promptTokenCount\":5,\"candidatesTokenCount\":2}}",
	  "vertex_ai g eu 5 2" },
	{ VERTEX "endpoints/openapi/chat/completions", OF_OPENAI,
	  "vertex_ai o us-east5 5 2" },
	{ "https://generativelanguage.googleapis.com/v1beta/openai/chat/"
	  "completions", OF_OPENAI, "gemini o unset 5 2" },
	{ "https://bedrock-runtime.eu-west-1.amazonaws.com/model/"
	  "eu.anthropic.c/invoke", OF_ANTHROPIC, "bedrock c eu-west-1 5 2" },
	{ "https://bedrock-runtime.eu-west-1.amazonaws.com/model/"
	  "eu.anthropic.c/converse", "{\"usage\":{\"inputTokens\":5,"
	  "\"outputTokens\":2}}", "bedrock eu.anthropic.c eu-west-1 5 2" },
	{ "https://bedrock-runtime.eu-west-1.amazonaws.com/openai/v1/chat/"
	  "completions", OF_OPENAI, "bedrock o eu-west-1 5 2" },
	{ "https://api.deepseek.com/anthropic/v1/messages", OF_ANTHROPIC,
	  "deepseek c unset 5 2" },
	{ "https://api.anthropic.com/v1/chat/completions", OF_OPENAI,
	  "anthropic o unset 5 2" },
	/* It counts reasoning beside the output under these. */
	{ "https://api.x.ai/v1/chat/completions", OF_OPENAI,
	  "xai o unset 5 3" },
	{ "https://api.x.ai/v1/messages", OF_ANTHROPIC, "xai c unset 5 2" },
	{ "https://api.openai.com/v1/chat/completions/x/messages", OF_OPENAI,
	  "openai o unset 5 2" },
};

START_TEST(a_path_tells_how_its_host_counts)
{
	static const char *const fields[] = {
		"provider", "model_id", "region", "input_tokens",
		"output_tokens",
	};
	char body[600], got[200] = "";

	snprintf(body, sizeof(body), "{\"url\":\"%s\",\"status\":200,"
	         "\"response\":%s}", ways[_i].url, ways[_i].response);
	decode(body);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s",
		         i > 0 ? " " : "", decode_got(fields[i]));
	}
	ck_assert_str_eq(got, ways[_i].want);
}
END_TEST

START_TEST(refuses_what_it_cannot_place)
{
	refuses("");
	refuses("{\"usage\":{\"prompt_tokens\":1}}");
	refuses("data: {\"hello\":1}\n\n");
	refuses("hello");
	refuses("{\"status\":200,\"response\":\"{\"}");
	refuses("{\"object\":");
	ck_assert_int_eq(decode_message("prompt", "{}", 2), BURSAR_REJECT);
}
END_TEST

START_TEST(options_say_what_answers_do_not)
{
	restart("family=xai provider=grok-eu");
	decode("{\"object\":\"chat.completion\",\"usage\":{"
	       "\"prompt_tokens\":1,\"completion_tokens\":5,"
	       "\"completion_tokens_details\":{\"reasoning_tokens\":2}}}");
	is("provider", "grok-eu");
	tokens("1 unset unset unset 7 2");
	restart("family=openai");
	decode("{\"usage\":{\"prompt_tokens\":1}}");
	is("provider", "openai");
	is("input_tokens", "1");
}
END_TEST

/* Hosts that only look like one. */
START_TEST(a_host_counts_whole)
{
	refuses("{\"url\":\"https://api.openai.com.evil.example/v1/responses\""
	        ",\"status\":200,\"response\":{\"usage\":{}}}");
	refuses("{\"url\":\"https://api.openai.com@evil.example/v1/responses\""
	        ",\"status\":200,\"response\":{\"usage\":{}}}");
	decode("{\"url\":\"https://API.OpenAI.com:443/v1/responses?a=b\","
	       "\"status\":200,\"response\":{\"usage\":{\"input_tokens\":1}}}");
	is("provider", "openai");
}
END_TEST

/* A call that was fast is billed as such, whatever its tier. */
static const struct { const char *speed, *mode; } speeds[] = {
	{ "\"service_tier\":\"standard\",\"speed\":\"fast\"", "fast" },
	{ "\"speed\":\"fast\"", "fast" },
	{ "\"service_tier\":\"priority\",\"speed\":\"standard\"", "priority" },
	{ "\"service_tier\":\"standard\",\"speed\":null", "standard" },
	{ "\"speed\":\"standard\"", "unset" },
	{ "\"speed\":5", "unset" },
};

START_TEST(says_how_fast_it_was_served)
{
	char body[300];

	snprintf(body, sizeof(body), "{\"type\":\"message\",\"usage\":{"
	         "\"input_tokens\":1,%s}}", speeds[_i].speed);
	decode(body);
	is("pricing_mode", speeds[_i].mode);
	snprintf(body, sizeof(body), "data: {\"type\":\"message_start\","
	         "\"message\":{\"usage\":{\"input_tokens\":1,%s}}}\n\n"
	         "data: {\"type\":\"message_delta\",\"usage\":{"
	         "\"output_tokens\":1}}\n\n", speeds[_i].speed);
	decode(body);
	is("pricing_mode", speeds[_i].mode);
}
END_TEST

/* What stands beside an answer, what it says, and its URL, in this order. */
static const struct { const char *body, *region; } regions[] = {
#define USED "\"response\":{\"object\":\"x\",\"usage\":{\"prompt_tokens\":1}}}"
	{ "{\"url\":\"https://api.openai.com/v1/responses\"," USED, "unset" },
	{ "{\"url\":\"https://eu.api.openai.com/v1/responses\"," USED, "eu" },
	{ "{\"url\":\"https://key@us.api.openai.com/v1/responses\"," USED,
	  "us" },
	{ "{\"url\":\"https://eu.api.openai.com/v1/responses\",\"region\":"
	  "\"mars\"," USED, "mars" },
#undef USED
	{ "{\"url\":\"https://europe-west1-aiplatform.googleapis.com/v1/"
	  "projects/p/locations/europe-west1/publishers/google/models/g:"
	  "generateContent\",\"response\":{\"usageMetadata\":{"
	  "\"promptTokenCount\":1}}}", "europe-west1" },
	{ "{\"url\":\"https://bedrock-runtime.us-east-1.amazonaws.com/model/m/"
	  "converse\",\"response\":{\"usage\":{\"inputTokens\":1}}}",
	  "us-east-1" },
	{ "{\"type\":\"message\",\"usage\":{\"input_tokens\":1,"
	  "\"inference_geo\":\"us\"}}", "us" },
	{ "{\"type\":\"message\",\"usage\":{\"input_tokens\":1,"
	  "\"inference_geo\":null}}", "unset" },
};

START_TEST(says_where_it_was_served)
{
	decode(regions[_i].body);
	is("region", regions[_i].region);
}
END_TEST

/* Searches, images, pages, ms, characters */
static const struct { const char *body, *pieces; } pieces[] = {
	{ "{\"type\":\"message\",\"usage\":{\"input_tokens\":1,"
	  "\"server_tool_use\":{\"web_search_requests\":3}}}",
	  "3 unset unset unset unset" },
	/* Of what a model did in the web only searching is billed. */
	{ "{\"object\":\"response\",\"output\":[{\"type\":"
	  "\"web_search_call\",\"action\":{\"type\":\"search\"}},{\"type\":"
	  "\"web_search_call\",\"action\":{\"type\":\"open_page\"}},{\"type\":"
	  "\"web_search_call\"},{\"type\":\"message\"},\"web_search_call\"],"
	  "\"usage\":{\"input_tokens\":1}}", "2 unset unset unset unset" },
	{ "{\"object\":\"response\",\"output\":[{\"type\":\"message\"}],"
	  "\"usage\":{\"input_tokens\":1}}",
	  "unset unset unset unset unset" },
	{ "{\"candidates\":[{\"groundingMetadata\":{\"webSearchQueries\":["
	  "\"secret\",\"b\"]}}],\"usageMetadata\":{\"promptTokenCount\":1}}",
	  "2 unset unset unset unset" },
	/* What an event of a stream said stays, where later ones are silent. */
	{ "data: {\"candidates\":[{\"groundingMetadata\":{"
	  "\"webSearchQueries\":[\"a\"]}}],\"usageMetadata\":{"
	  "\"promptTokenCount\":1}}\n\n"
	  "data: {\"usageMetadata\":{\"promptTokenCount\":2}}\n\n",
	  "1 unset unset unset unset" },
	{ "{\"url\":\"https://api.openai.com/v1/images/generations\","
	  "\"response\":{\"created\":1,\"data\":[{\"b64_json\":\"x\"},"
	  "{\"url\":\"x\"},{\"embedding\":[1]}]}}",
	  "unset 2 unset unset unset" },
	{ "{\"url\":\"https://api.openai.com/v1/audio/transcriptions\","
	  "\"response\":{\"text\":\"a\",\"usage\":{\"type\":\"duration\","
	  "\"seconds\":90.5}}}", "unset unset unset 90500 unset" },
	{ "{\"url\":\"https://api.openai.com/v1/audio/transcriptions\","
	  "\"response\":{\"text\":\"a\",\"duration\":\"8.470000\"}}",
	  "unset unset unset 8470 unset" },
	{ "{\"url\":\"https://api.mistral.ai/v1/ocr\",\"response\":{"
	  "\"pages\":[{}],\"model\":\"m\",\"usage_info\":{"
	  "\"pages_processed\":29}}}", "unset unset 29 unset unset" },
	{ "{\"url\":\"https://api.openai.com/v1/audio/speech\","
	  "\"characters\":120,\"images\":1,\"web_searches\":\"4\","
	  "\"pages\":5,\"media_ms\":6,\"response\":{\"duration\":1}}",
	  "4 1 5 6 120" },
};

START_TEST(says_what_was_used_besides_tokens)
{
	static const char *const fields[] = {
		"web_searches", "images", "pages", "media_ms", "characters",
	};
	char got[256] = "";

	decode(pieces[_i].body);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s",
		         i > 0 ? " " : "", decode_got(fields[i]));
	}
	ck_assert_str_eq(got, pieces[_i].pieces);
}
END_TEST

/* --- sound and images ------------------------------------------------------ */

/* input, read from a cache, output; of each those of sound; those of images */
static const struct { const char *body, *want; int64_t flags; } modal[] = {
	/* Chat says all of them, also where there are none. */
	{ "{\"object\":\"chat.completion\",\"model\":\"gpt-5\",\"usage\":{"
	  "\"prompt_tokens\":19,\"completion_tokens\":10,"
	  "\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},"
	  "\"completion_tokens_details\":{\"reasoning_tokens\":0,"
	  "\"audio_tokens\":0}}}",
	  "19 0 10, 0 unset 0, unset unset unset", 0 },
	{ "{\"object\":\"chat.completion\",\"usage\":{\"prompt_tokens\":90,"
	  "\"completion_tokens\":120,\"prompt_tokens_details\":{"
	  "\"cached_tokens\":0,\"audio_tokens\":60},"
	  "\"completion_tokens_details\":{\"reasoning_tokens\":0,"
	  "\"audio_tokens\":100}}}",
	  "90 0 120, 60 unset 100, unset unset unset", 0 },
	/* It does not say what of the sound was read from the cache: what is
	 * left of the input holds it all ... */
	{ "{\"object\":\"x\",\"usage\":{\"prompt_tokens\":100,"
	  "\"prompt_tokens_details\":{\"cached_tokens\":40,"
	  "\"audio_tokens\":60}}}",
	  "60 40 unset, 60 unset unset, unset unset unset", 0 },
	/* ... or does not. */
	{ "{\"object\":\"x\",\"usage\":{\"prompt_tokens\":100,"
	  "\"prompt_tokens_details\":{\"cached_tokens\":64,"
	  "\"audio_tokens\":60}}}",
	  "36 64 unset, 36 24 unset, unset unset unset", 0 },
	/* A router of images. */
	{ "{\"object\":\"x\",\"usage\":{\"prompt_tokens\":100,"
	  "\"completion_tokens\":1300,\"prompt_tokens_details\":{"
	  "\"cached_tokens\":50,\"audio_tokens\":30,\"image_tokens\":40},"
	  "\"completion_tokens_details\":{\"image_tokens\":1290}}}",
	  "50 50 1300, 30 unset unset, 20 20 1290", 0 },
	/* Realtime says it. */
	{ "{\"type\":\"response.done\",\"response\":{\"object\":"
	  "\"realtime.response\",\"usage\":{\"total_tokens\":821,"
	  "\"input_tokens\":789,\"output_tokens\":32,\"input_token_details\":"
	  "{\"text_tokens\":313,\"audio_tokens\":476,\"image_tokens\":0,"
	  "\"cached_tokens\":640,\"cached_tokens_details\":{\"text_tokens\":"
	  "256,\"audio_tokens\":384,\"image_tokens\":0}},"
	  "\"output_token_details\":{\"text_tokens\":9,\"audio_tokens\":23}}}}",
	  "149 640 32, 92 384 23, 0 0 unset", 0 },
	/* Transcription by tokens. */
	{ "{\"url\":\"https://api.openai.com/v1/audio/transcriptions\","
	  "\"response\":{\"text\":\"a\",\"usage\":{\"type\":\"tokens\","
	  "\"input_tokens\":14,\"input_token_details\":{\"text_tokens\":0,"
	  "\"audio_tokens\":14},\"output_tokens\":45}}}",
	  "14 unset 45, 14 unset unset, unset unset unset", 0 },
	/* Where images are made, all of the output is images ... */
	{ "{\"url\":\"https://api.openai.com/v1/images/edits\",\"response\":{"
	  "\"data\":[{\"b64_json\":\"x\"}],\"usage\":{\"input_tokens\":50,"
	  "\"input_tokens_details\":{\"text_tokens\":10,\"image_tokens\":40},"
	  "\"output_tokens\":4160,\"total_tokens\":4210}}}",
	  "50 unset 4160, unset unset unset, 40 unset 4160", 0 },
	/* ... but for what the answer says. */
	{ "{\"url\":\"https://api.openai.com/v1/images/edits\",\"response\":{"
	  "\"data\":[{\"b64_json\":\"x\"}],\"usage\":{\"input_tokens\":50,"
	  "\"input_tokens_details\":{\"text_tokens\":10,\"image_tokens\":40,"
	  "\"cached_tokens_details\":{\"image_tokens\":30},\"cached_tokens\":"
	  "30},\"output_tokens\":4160,\"output_tokens_details\":{"
	  "\"image_tokens\":4000,\"text_tokens\":160}}}}",
	  "20 30 4160, unset unset unset, 10 30 4000", 0 },
	/* Gemini: caches are part of the prompt in sum and in parts; film
	 * counts as images, tools are added. */
	{ "{\"usageMetadata\":{\"promptTokenCount\":1000,"
	  "\"cachedContentTokenCount\":600,\"candidatesTokenCount\":1300,"
	  "\"toolUsePromptTokenCount\":70,\"promptTokensDetails\":["
	  "{\"modality\":\"TEXT\",\"tokenCount\":100},{\"modality\":\"AUDIO\","
	  "\"tokenCount\":500},{\"modality\":\"IMAGE\",\"tokenCount\":258},"
	  "{\"modality\":\"VIDEO\",\"tokenCount\":142}],\"cacheTokensDetails\":"
	  "[{\"modality\":\"AUDIO\",\"tokenCount\":400},{\"modality\":"
	  "\"VIDEO\",\"tokenCount\":142},{\"modality\":\"TEXT\",\"tokenCount\""
	  ":58}],\"toolUsePromptTokensDetails\":[{\"modality\":\"TEXT\","
	  "\"tokenCount\":60},{\"modality\":\"IMAGE\",\"tokenCount\":10}],"
	  "\"candidatesTokensDetails\":[{\"modality\":\"IMAGE\",\"tokenCount\":"
	  "1290},{\"modality\":\"TEXT\",\"tokenCount\":10}]}}",
	  "470 600 1300, 100 400 unset, 268 142 1290", 0 },
	{ "{\"usageMetadata\":{\"promptTokenCount\":8,\"candidatesTokenCount\":"
	  "2,\"thoughtsTokenCount\":5,\"promptTokensDetails\":[{\"modality\":"
	  "\"TEXT\",\"tokenCount\":8}]}}",
	  "8 unset 7, unset unset unset, unset unset unset", 0 },
	/* The last event of a stream counts, not their sum. */
	{ "data: {\"usageMetadata\":{\"promptTokenCount\":300,"
	  "\"promptTokensDetails\":[{\"modality\":\"AUDIO\",\"tokenCount\":"
	  "200}]}}\n\ndata: {\"usageMetadata\":{\"promptTokenCount\":300,"
	  "\"promptTokensDetails\":[{\"modality\":\"AUDIO\",\"tokenCount\":"
	  "200}],\"candidatesTokenCount\":1}}\n\n",
	  "300 unset 1, 200 unset unset, unset unset unset", 0 },
	/* Contradictions stay as they came. */
	{ "{\"object\":\"x\",\"usage\":{\"prompt_tokens\":100,"
	  "\"prompt_tokens_details\":{\"cached_tokens\":20,"
	  "\"audio_tokens\":160}}}",
	  "80 20 unset, 160 unset unset, unset unset unset", BURSAR_DQ_TOTAL },
	{ "{\"object\":\"x\",\"usage\":{\"input_tokens\":100,"
	  "\"input_token_details\":{\"cached_tokens\":20,\"audio_tokens\":10,"
	  "\"cached_tokens_details\":{\"audio_tokens\":15}}}}",
	  "80 20 unset, 10 15 unset, unset unset unset", BURSAR_DQ_TOTAL },
	{ "{\"object\":\"x\",\"usage\":{\"completion_tokens\":10,"
	  "\"completion_tokens_details\":{\"reasoning_tokens\":6,"
	  "\"audio_tokens\":5}}}",
	  "unset unset 10, unset unset 5, unset unset unset",
	  BURSAR_DQ_TOTAL },
	{ "{\"usageMetadata\":{\"promptTokenCount\":9,"
	  "\"promptTokensDetails\":[{\"modality\":\"AUDIO\",\"tokenCount\":"
	  "9223372036854775807},{\"modality\":\"AUDIO\",\"tokenCount\":1},7,"
	  "{\"modality\":\"AUDIO\"},{\"tokenCount\":1}]}}",
	  "9 unset unset, 9223372036854775807 unset unset, "
	  "unset unset unset", BURSAR_DQ_ABSURD | BURSAR_DQ_TOTAL },
};

START_TEST(says_what_of_the_tokens_was_no_text)
{
	static const char *const fields[] = {
		"input_tokens", "cache_read_input_tokens", "output_tokens",
		"audio_input_tokens", "audio_cache_read_input_tokens",
		"audio_output_tokens", "image_input_tokens",
		"image_cache_read_input_tokens", "image_output_tokens",
	};
	char got[256] = "";

	decode(modal[_i].body);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s",
		         i == 0 ? "" : i % 3 == 0 ? ", " : " ",
		         decode_got(fields[i]));
	}
	ck_assert_str_eq(got, modal[_i].want);
	flags(modal[_i].flags);
}
END_TEST

/* --- batches --------------------------------------------------------------- */

/* message_id, provider, model, mode, status, error, tokens in, out */
static const struct { const char *line, *want; } lines[] = {
	/* The tier in which all of a batch was served is no mode of its own. */
	{ "{\"id\":\"batch_req_1\",\"custom_id\":\"mine\",\"response\":{"
	  "\"status_code\":200,\"request_id\":\"req_1\",\"body\":{\"id\":"
	  "\"chatcmpl-1\",\"object\":\"chat.completion\",\"model\":\"gpt-5\","
	  "\"service_tier\":\"default\",\"usage\":{\"prompt_tokens\":9,"
	  "\"completion_tokens\":4,\"prompt_tokens_details\":{"
	  "\"cached_tokens\":2}}}},\"error\":null}",
	  "batch_req_1 openai gpt-5 batch success unset 7 4" },
	{ "{\"id\":\"batch_req_1\",\"custom_id\":\"mine\",\"response\":{"
	  "\"status_code\":200,\"body\":{\"object\":\"response\",\"model\":"
	  "\"gpt-5\",\"service_tier\":\"flex\"}},\"error\":null}",
	  "batch_req_1 openai gpt-5 flex success unset unset unset" },
	/* As Azure has it: no id of the line. */
	{ "{\"custom_id\":\"mine\",\"response\":{\"body\":{\"id\":\"c-1\","
	  "\"object\":\"list\",\"model\":\"e\",\"usage\":{\"prompt_tokens\":"
	  "8}},\"request_id\":\"r-1\",\"status_code\":200},\"error\":null}",
	  "r-1 openai e batch success unset 8 unset" },
	{ "{\"custom_id\":\"mine\",\"response\":{\"body\":{\"id\":\"c-1\","
	  "\"object\":\"x\",\"model\":\"e\"},\"request_id\":\"\","
	  "\"status_code\":200}}",
	  "c-1 openai e batch success unset unset unset" },
	{ "{\"id\":\"batch_req_2\",\"custom_id\":\"mine\",\"response\":null,"
	  "\"error\":{\"code\":\"batch_expired\",\"message\":\"secret\"}}",
	  "batch_req_2 openai unset batch error batch_expired unset unset" },
	{ "{\"id\":\"batch_req_3\",\"custom_id\":\"mine\",\"response\":{"
	  "\"status_code\":400,\"body\":{\"error\":{\"message\":\"secret\","
	  "\"type\":\"invalid_request_error\"}}},\"error\":null}",
	  "batch_req_3 openai unset batch error invalid_request_error unset "
	  "unset" },
	{ "{\"id\":\"batch_req_4\",\"custom_id\":\"mine\",\"response\":{"
	  "\"status_code\":500,\"body\":\"\"},\"error\":null}",
	  "batch_req_4 openai unset batch error http unset unset" },
	{ "{\"custom_id\":\"mine\",\"result\":{\"type\":\"succeeded\","
	  "\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"model\":"
	  "\"claude\",\"usage\":{\"input_tokens\":9,\"output_tokens\":4,"
	  "\"cache_read_input_tokens\":2,\"service_tier\":\"batch\"}}}}",
	  "msg_1 anthropic claude batch success unset 9 4" },
	{ "{\"custom_id\":\"mine\",\"result\":{\"type\":\"errored\",\"error\":{"
	  "\"type\":\"error\",\"request_id\":\"req_2\",\"error\":{\"type\":"
	  "\"invalid_request\",\"message\":\"secret\"}}}}",
	  "req_2 anthropic unset batch error invalid_request unset unset" },
	{ "{\"custom_id\":\"mine\",\"result\":{\"type\":\"canceled\"}}",
	  "unset anthropic unset batch error canceled unset unset" },
};

START_TEST(a_line_of_a_batch_is_an_answer_in_its_mode)
{
	static const char *const fields[] = {
		"message_id", "provider", "model_id", "pricing_mode", "status",
		"error_type", "input_tokens", "output_tokens",
	};
	char got[256] = "";

	decode(lines[_i].line);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s",
		         i > 0 ? " " : "", decode_got(fields[i]));
	}
	ck_assert_str_eq(got, lines[_i].want);
	is("correlation_id", "mine");
	is("extra_json", "unset");
}
END_TEST

static void refuses_saying(const char *body, const char *why)
{
	refuses(body);
	ck_assert_msg(strstr(decode_error.text, why) != NULL, "%s",
	              decode_error.text);
}

START_TEST(a_line_of_a_batch_that_answers_nothing_is_refused)
{
	refuses_saying("{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":"
	               "\"/v1/chat/completions\",\"body\":{}}",
	               "this is what a batch was asked");
	refuses_saying("{\"custom_id\":\"a\",\"params\":{\"model\":\"m\"}}",
	               "this is what a batch was asked");
	refuses_saying("{\"custom_id\":\"a\",\"result\":{\"type\":"
	               "\"succeeded\"}}", "neither an answer nor an error");
	refuses_saying("{\"custom_id\":\"a\",\"response\":{\"status_code\":"
	               "200},\"error\":null}", "neither an answer");
	/* Somebody's own name for what stands beside an answer. */
	decode("{\"custom_id\":\"a\",\"response\":{\"object\":\"x\","
	       "\"model\":\"m\"}}");
	is("pricing_mode", "unset");
}
END_TEST

START_TEST(absurd_figures_are_flagged)
{
	decode("{\"usageMetadata\":{\"promptTokenCount\":9223372036854775807,"
	       "\"toolUsePromptTokenCount\":1,\"candidatesTokenCount\":-1}}");
	is("input_tokens", "unset");
	is("output_tokens", "-1");
	flags(BURSAR_DQ_ABSURD | BURSAR_DQ_NEGATIVE);
	decode("{\"object\":\"x\",\"usage\":{\"prompt_tokens\":{},"
	       "\"completion_tokens\":3}}");
	tokens("unset unset unset unset 3 unset");
	flags(BURSAR_DQ_TYPE);
}
END_TEST

#define LOOP(t, test, list) tcase_add_loop_test(t, test, 0, \
	sizeof(list) / sizeof((list)[0]))

int main(void)
{
	Suite *s = suite_create("format_provider");
	TCase *t = tcase_create("answers");

	tcase_add_checked_fixture(t, start, stop);
	LOOP(t, counts_as_its_family_does, answers);
	tcase_add_test(t, keeps_nothing_of_what_was_said);
	tcase_add_test(t, takes_what_else_an_answer_says);
	tcase_add_test(t, takes_what_stands_beside_an_answer);
	tcase_add_test(t, reads_bodies_that_came_as_texts);
	tcase_add_test(t, keeps_a_contradiction_and_flags_it);
	LOOP(t, reads_a_stream_to_its_last_figures, streams);
	tcase_add_test(t, believes_the_request_on_streams_and_no_words);
	tcase_add_test(t, what_was_not_said_is_unknown);
	LOOP(t, a_call_without_figures_is_recorded_all_the_same, silent);
	tcase_add_test(t, a_stream_of_several_megabytes_is_read_to_its_end);
	tcase_add_test(t, a_failed_call_is_recorded_as_an_error);
	tcase_add_loop_test(t, other_paths_use_no_tokens, 0,
	                    sizeof(unused) / sizeof(unused[0]));
	tcase_add_loop_test(t, a_path_tells_how_its_host_counts, 0,
	                    sizeof(ways) / sizeof(ways[0]));
	tcase_add_test(t, refuses_what_it_cannot_place);
	tcase_add_test(t, options_say_what_answers_do_not);
	tcase_add_test(t, a_host_counts_whole);
	LOOP(t, says_what_of_the_tokens_was_no_text, modal);
	LOOP(t, a_line_of_a_batch_is_an_answer_in_its_mode, lines);
	tcase_add_test(t, a_line_of_a_batch_that_answers_nothing_is_refused);
	tcase_add_test(t, absurd_figures_are_flagged);
	tcase_add_loop_test(t, says_what_was_used_besides_tokens, 0,
	                    sizeof(pieces) / sizeof(pieces[0]));
	tcase_add_loop_test(t, says_how_fast_it_was_served, 0,
	                    sizeof(speeds) / sizeof(speeds[0]));
	tcase_add_loop_test(t, says_where_it_was_served, 0,
	                    sizeof(regions) / sizeof(regions[0]));
	suite_add_tcase(s, t);
	SRunner *runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	const int bad = srunner_ntests_failed(runner);
	srunner_free(runner);
	return bad == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
