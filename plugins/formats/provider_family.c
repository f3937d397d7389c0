/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The families of providers.  Sources: the API references of the providers, as
 * of 2026-09.  xAI answers like OpenAI, but counts reasoning beside the
 * output, so only its host, or the configuration, tells the two apart.
 */
#include "config.h"

#include <string.h>
#include <strings.h>

#include "provider.h"

/* Chat; responses and images; realtime and transcriptions. */
#define OPENAI_IN(name)                                                      \
	"usage.prompt_tokens_details." name " "                              \
	"usage.input_tokens_details." name " "                               \
	"usage.input_token_details." name " "                                \
	"response.usage.input_tokens_details." name " "                      \
	"response.usage.input_token_details." name
#define OPENAI_OUT(name)                                                     \
	"usage.completion_tokens_details." name " "                          \
	"usage.output_tokens_details." name " "                              \
	"usage.output_token_details." name " "                               \
	"response.usage.output_tokens_details." name " "                     \
	"response.usage.output_token_details." name

#define OPENAI_PLACES                                                        \
	.usage = "usage response.usage",                                     \
	.searches = { "output response.output", "type", "web_search_call",   \
	              "action.type" },                                       \
	.images = { "data", "b64_json url", NULL, NULL },                    \
	.places = {                                                          \
		[USAGE_INPUT] = "usage.prompt_tokens usage.input_tokens "    \
			"response.usage.input_tokens",                       \
		[USAGE_CACHE_READ] =                                         \
			"usage.prompt_tokens_details.cached_tokens "         \
			"usage.input_tokens_details.cached_tokens "          \
			"usage.input_token_details.cached_tokens "           \
			"usage.prompt_cache_hit_tokens "                     \
			"response.usage.input_tokens_details.cached_tokens " \
			"response.usage.input_token_details.cached_tokens",  \
		[USAGE_CACHE_WRITE] =                                        \
			"usage.prompt_tokens_details.cache_write_tokens "    \
			"usage.input_tokens_details.cache_write_tokens "     \
			"response.usage.input_tokens_details"                \
			".cache_write_tokens",                               \
		[USAGE_OUTPUT] = "usage.completion_tokens "                  \
			"usage.output_tokens response.usage.output_tokens",  \
		[USAGE_REASONING] =                                          \
			"usage.completion_tokens_details.reasoning_tokens "  \
			"usage.output_tokens_details.reasoning_tokens "      \
			"response.usage.output_tokens_details"               \
			".reasoning_tokens",                                 \
		[USAGE_AUDIO_INPUT] = OPENAI_IN("audio_tokens"),             \
		[USAGE_AUDIO_CACHE_READ] =                                   \
			OPENAI_IN("cached_tokens_details.audio_tokens"),     \
		[USAGE_AUDIO_OUTPUT] = OPENAI_OUT("audio_tokens"),           \
		[USAGE_IMAGE_INPUT] = OPENAI_IN("image_tokens"),             \
		[USAGE_IMAGE_CACHE_READ] =                                   \
			OPENAI_IN("cached_tokens_details.image_tokens"),     \
		[USAGE_IMAGE_OUTPUT] = OPENAI_OUT("image_tokens"),           \
		[USAGE_TOTAL] = "usage.total_tokens "                        \
			"response.usage.total_tokens",                       \
		[USAGE_COST] = "usage.cost",                                 \
		[USAGE_SEARCHES] =                                           \
			"usage.server_tool_use.web_search_requests "         \
			"usage.server_side_tool_usage_details"               \
			".web_search_calls",                                 \
		[USAGE_PAGES] = "usage_info.pages_processed",                \
		[USAGE_MEDIA] = "usage.seconds duration",                    \
		[USAGE_MODEL] = "model response.model",                      \
		[USAGE_ID] = "id response.id",                               \
		[USAGE_FINISH] = "choices.0.finish_reason "                  \
			"incomplete_details.reason "                         \
			"response.incomplete_details.reason",                \
		[USAGE_MODE] = "service_tier response.service_tier",         \
		[USAGE_ERROR] = ERROR_PLACES,                                \
		[USAGE_CREATED] = "created created_at "                      \
			"response.created_at",                               \
	}

static const struct family families[] = {
	{
		.name = "openai",
		.input_has_caches = true,
		.output_has_reasoning = true,
		OPENAI_PLACES,
	},
	{
		.name = "xai",
		.input_has_caches = true,
		OPENAI_PLACES,
	},
	{
		.name = "anthropic",
		.output_has_reasoning = true,
		.adds_up = true,
		.usage = "usage message.usage",
		/* A stream begins with figures that only hold a place. */
		.last_usage = "usage",
		.places = {
			[USAGE_INPUT] = "usage.input_tokens "
				"message.usage.input_tokens",
			[USAGE_CACHE_READ] = "usage.cache_read_input_tokens "
				"message.usage.cache_read_input_tokens",
			[USAGE_CACHE_WRITE] =
				"usage.cache_creation_input_tokens "
				"message.usage.cache_creation_input_tokens",
			[USAGE_CACHE_WRITE_5M] =
				"usage.cache_creation"
				".ephemeral_5m_input_tokens "
				"message.usage.cache_creation"
				".ephemeral_5m_input_tokens",
			[USAGE_CACHE_WRITE_1H] =
				"usage.cache_creation"
				".ephemeral_1h_input_tokens "
				"message.usage.cache_creation"
				".ephemeral_1h_input_tokens",
			[USAGE_OUTPUT] = "usage.output_tokens "
				"message.usage.output_tokens",
			[USAGE_REASONING] =
				"usage.output_tokens_details.thinking_tokens "
				"usage.thinking_tokens "
				"usage.thinking_output_tokens "
				"usage.output_tokens_details.reasoning_tokens",
			[USAGE_SEARCHES] =
				"usage.server_tool_use.web_search_requests "
				"message.usage.server_tool_use"
				".web_search_requests",
			[USAGE_MODEL] = "model message.model",
			[USAGE_ID] = "id message.id",
			[USAGE_FINISH] = "stop_reason delta.stop_reason",
			[USAGE_MODE] = "usage.service_tier "
				"message.usage.service_tier",
			[USAGE_SPEED] = "usage.speed message.usage.speed",
			[USAGE_REGION] = "usage.inference_geo "
				"message.usage.inference_geo",
			[USAGE_ERROR] = ERROR_PLACES,
		},
	},
	{
		.name = "gemini",
		.input_has_caches = true,
		.usage = "usageMetadata",
		.splits = {
			{ "usageMetadata.promptTokensDetails",
			  USAGE_AUDIO_INPUT, USAGE_IMAGE_INPUT },
			{ "usageMetadata.toolUsePromptTokensDetails",
			  USAGE_AUDIO_INPUT, USAGE_IMAGE_INPUT },
			{ "usageMetadata.cacheTokensDetails",
			  USAGE_AUDIO_CACHE_READ, USAGE_IMAGE_CACHE_READ },
			{ "usageMetadata.candidatesTokensDetails",
			  USAGE_AUDIO_OUTPUT, USAGE_IMAGE_OUTPUT },
		},
		.searches = { "candidates.0.groundingMetadata.webSearchQueries",
		              NULL, NULL, NULL },
		.places = {
			[USAGE_INPUT] = "usageMetadata.promptTokenCount",
			[USAGE_TOOL_INPUT] =
				"usageMetadata.toolUsePromptTokenCount",
			[USAGE_CACHE_READ] =
				"usageMetadata.cachedContentTokenCount",
			[USAGE_OUTPUT] = "usageMetadata.candidatesTokenCount",
			[USAGE_REASONING] = "usageMetadata.thoughtsTokenCount",
			[USAGE_TOTAL] = "usageMetadata.totalTokenCount",
			[USAGE_MODEL] = "modelVersion",
			[USAGE_ID] = "responseId",
			[USAGE_FINISH] = "candidates.0.finishReason",
			[USAGE_MODE] = "usageMetadata.trafficType",
			[USAGE_ERROR] = "error.status error.code error",
			[USAGE_CREATED] = "createTime",
		},
	},
	{
		.name = "bedrock",
		.output_has_reasoning = true,
		.usage = "usage metadata.usage",
		.places = {
			[USAGE_INPUT] = "usage.inputTokens "
				"metadata.usage.inputTokens",
			[USAGE_CACHE_READ] = "usage.cacheReadInputTokens "
				"metadata.usage.cacheReadInputTokens",
			[USAGE_CACHE_WRITE] = "usage.cacheWriteInputTokens "
				"metadata.usage.cacheWriteInputTokens",
			[USAGE_OUTPUT] = "usage.outputTokens "
				"metadata.usage.outputTokens",
			[USAGE_TOTAL] = "usage.totalTokens "
				"metadata.usage.totalTokens",
			[USAGE_FINISH] = "stopReason messageStop.stopReason",
			[USAGE_MODE] = "serviceTier.type serviceTier "
				"metadata.serviceTier.type",
			[USAGE_ERROR] = "__type error.type",
		},
	},
};

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

const struct family *family_find(const char *name)
{
	for (size_t i = 0; i < COUNT(families); i++) {
		if (strcmp(families[i].name, name) == 0) {
			return &families[i];
		}
	}
	return NULL;
}

/* --- by URL ---------------------------------------------------------------- */

/* A host, or with a full stop before it the end of one.  Paths that use
 * tokens have one of `uses` in them.  The region of those who have one stands
 * between two words of the path, or of the host. */
static const struct {
	const char *host;
	const char *family;
	const char *provider;
	const char *uses;
	const char *before, *behind;	/* its region; NULL: none */
} hosts[] = {
#define OPENAI_USES "/completions /embeddings /responses /images /audio"
	{ "api.openai.com", "openai", "openai", OPENAI_USES },
	{ "eu.api.openai.com", "openai", "openai", OPENAI_USES, "", "." },
	{ "us.api.openai.com", "openai", "openai", OPENAI_USES, "", "." },
	{ ".openai.azure.com", "openai", "azure", OPENAI_USES },
	{ "openrouter.ai", "openai", "openrouter", OPENAI_USES " /messages" },
	{ "api.deepseek.com", "openai", "deepseek", OPENAI_USES " /messages" },
	{ "api.groq.com", "openai", "groq", OPENAI_USES },
	{ "api.mistral.ai", "openai", "mistral", OPENAI_USES " /ocr" },
	{ "api.x.ai", "xai", "xai", OPENAI_USES " /messages" },
	{ "api.anthropic.com", "anthropic", "anthropic",
	  "/messages /completions" },
#define GEMINI_USES "enerateContent /completions /embeddings /images"
#define VERTEX_USES "enerateContent awPredict /completions"
	{ "generativelanguage.googleapis.com", "gemini", "gemini",
	  GEMINI_USES },
	{ ".aiplatform.googleapis.com", "gemini", "vertex_ai", VERTEX_USES,
	  "/locations/", "/" },
	{ "aiplatform.googleapis.com", "gemini", "vertex_ai", VERTEX_USES,
	  "/locations/", "/" },
	{ "-aiplatform.googleapis.com", "gemini", "vertex_ai", VERTEX_USES,
	  "/locations/", "/" },
	{ ".amazonaws.com", "bedrock", "bedrock",
	  "/converse /invoke /completions", "bedrock-runtime.", "." },
};

/* What is counted before it is asked, or asked for later, uses none, though it
 * stands below one of them. */
#define NOT_USED "/count_tokens /count-tokens /input_tokens /batches "        \
	"batchGenerateContent"

/* Clouds serve models of others, and some hosts their own in the way of others:
 * the first of these that is in a path tells the family. */
static const struct {
	const char *words;
	const char *family;
} ways[] = {
	{ "/converse", "bedrock" },
	{ "enerateContent", "gemini" },
	{ "/publishers/anthropic/ anthropic.", "anthropic" },
	{ OPENAI_USES, "openai" },
	{ "/messages", "anthropic" },
};

static bool ends_in(struct bursar_span host, const char *end)
{
	const size_t size = strlen(end);
	const bool whole = end[0] != '.' && end[0] != '-';

	return host.size >= size && (!whole || host.size == size) &&
	       strncasecmp(host.data + host.size - size, end, size) == 0;
}

/* Whether one of the words, divided by spaces, is in the text. */
static bool has_one_of(struct bursar_span text, const char *words)
{
	while (*words != '\0') {
		const size_t size = strcspn(words, " ");

		if (memmem(text.data, text.size, words, size) != NULL) {
			return true;
		}
		words += size + (words[size] == ' ');
	}
	return false;
}

/* What stands between `before` and one of the characters `ends`. */
static struct bursar_span between(struct bursar_span text, const char *before,
                                  const char *ends)
{
	const char *at = memmem(text.data, text.size, before, strlen(before));
	size_t size = 0;

	if (at == NULL) {
		return (struct bursar_span){ NULL, 0 };
	}
	at += strlen(before);
	const size_t left = text.size - (size_t)(at - text.data);
	while (size < left && strchr(ends, at[size]) == NULL) {
		size++;
	}
	return (struct bursar_span){ size > 0 ? at : NULL, size };
}

/* https://user@host:port/path: the host, and the path. */
static struct bursar_span host_of(struct bursar_span url,
                                  struct bursar_span *path)
{
	const struct bursar_span none = { NULL, 0 };
	struct bursar_span host = between(url, "://", "/?#");

	*path = none;
	if (host.data == NULL) {
		return none;
	}
	const char *end = host.data + host.size;
	*path = (struct bursar_span){ end,
		url.size - (size_t)(end - url.data) };
	const char *user = memrchr(host.data, '@', host.size);
	if (user != NULL) {
		host.data = user + 1;
		host.size = (size_t)(end - host.data);
	}
	const char *port = memchr(host.data, ':', host.size);
	if (port != NULL) {
		host.size = (size_t)(port - host.data);
	}
	return host;
}

/* Who answers like OpenAI, but counts apart, does so under its paths. */
static const struct family *family_at(struct bursar_span path,
                                      const char *of_host)
{
	const char *name = of_host;

	for (size_t i = 0; i < COUNT(ways); i++) {
		if (has_one_of(path, ways[i].words)) {
			name = ways[i].family;
			break;
		}
	}
	return family_find(strcmp(name, "openai") == 0 &&
	                   strcmp(of_host, "xai") == 0 ? of_host : name);
}

const struct family *family_of_url(struct bursar_span url,
                                   const char **provider, bool *usage,
                                   struct bursar_span *model,
                                   struct bursar_span *region)
{
	struct bursar_span path;
	const struct bursar_span host = host_of(url, &path);

	*provider = NULL;
	*usage = true;
	*model = *region = (struct bursar_span){ NULL, 0 };
	for (size_t i = 0; host.data != NULL && i < COUNT(hosts); i++) {
		if (!ends_in(host, hosts[i].host)) {
			continue;
		}
		*provider = hosts[i].provider;
		*usage = has_one_of(path, hosts[i].uses) &&
			!has_one_of(path, NOT_USED);
		*model = between(path, "/models/", ":/?#");
		if (model->data == NULL) {
			*model = between(path, "/model/", "/?#");
		}
		if (hosts[i].before != NULL) {
			*region = between(hosts[i].before[0] == '/' ? path
			                                            : host,
			                  hosts[i].before, hosts[i].behind);
		}
		return family_at(path, hosts[i].family);
	}
	return NULL;
}

/* --- by what an answer says of itself -------------------------------------- */

static bool begins(const struct json_doc *doc, uint32_t node, const char *text)
{
	const struct bursar_span raw = json_raw(doc, node);

	return node != 0 && doc->nodes[node].type == JSON_STRING &&
	       raw.size > strlen(text) &&
	       memcmp(raw.data + 1, text, strlen(text)) == 0;
}

const struct family *family_of_answer(const struct json_doc *doc,
                                      uint32_t node)
{
	const uint32_t type = place_find(doc, node, "type");

	if (place_find(doc, node, "usageMetadata candidates") != 0) {
		return family_find("gemini");
	}
	if (begins(doc, type, "message") || begins(doc, type, "content_block")) {
		return family_find("anthropic");
	}
	if (begins(doc, type, "response.") ||
	    begins(doc, place_find(doc, node, "object"), "")) {
		return family_find("openai");
	}
	if (place_find(doc, node, "usage.inputTokens metadata.usage.inputTokens "
	               "messageStart contentBlockDelta") != 0) {
		return family_find("bedrock");
	}
	return NULL;
}
