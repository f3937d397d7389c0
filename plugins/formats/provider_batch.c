/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Lines of the files in which providers answer whole batches.  Sources: the
 * references of OpenAI's Batch API, which others have as well, and of
 * Anthropic's Message Batches, as of 2026-11.
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "provider.h"

static bool is(const struct json_doc *doc, uint32_t node, enum json_type type)
{
	return node != 0 && doc->nodes[node].type == type;
}

/* {"custom_id", "result": {"type": "succeeded", "message": {...}}} */
static void read_result(struct batch_line *line, const struct json_doc *doc,
                        uint32_t result)
{
	const uint32_t type = json_member(doc, result, "type");

	line->family = "anthropic";
	line->failed = type == 0 || !node_is_text(doc, type, "succeeded");
	line->answer = place_find(doc, result, "message");
	line->error = line->failed
		? place_find(doc, result, "error.error.type type") : 0;
}

/* {"id", "custom_id", "response": {"status_code", "body": {...}}, "error"} */
static void read_response(struct batch_line *line, const struct json_doc *doc)
{
	const uint32_t code = place_find(doc, 0, "response.status_code");
	int64_t status;

	line->family = "openai";
	line->answer = place_find(doc, 0, "response.body");
	line->error = place_find(doc, 0, "error.code error.type");
	line->failed = place_find(doc, 0, "error") != 0 ||
		(code != 0 && json_int(doc, code, &status) &&
		 status != HTTP_OK);
}

bool batch_line_find(const struct json_doc *doc, struct batch_line *line)
{
	const uint32_t result = json_member(doc, 0, "result");

	*line = (struct batch_line){ 0 };
	if (!is(doc, json_member(doc, 0, "custom_id"), JSON_STRING)) {
		return false;
	}
	if (is(doc, result, JSON_OBJECT)) {
		read_result(line, doc, result);
	} else if (place_find(doc, 0, "response.body response.status_code "
	                      "error") != 0) {
		read_response(line, doc);
	} else if (place_find(doc, 0, "body params") == 0) {
		return false;
	}
	return true;
}

enum bursar_verdict batch_line_check(const struct json_doc *doc,
                                     const struct batch_line *line,
                                     struct bursar_error *err)
{
	if (line->family == NULL) {
		bursar_fail(err, EINVAL, "this is what a batch was asked, not "
		            "what it answered: give the file of its output");
		return BURSAR_REJECT;
	}
	if (!line->failed && !is(doc, line->answer, JSON_OBJECT)) {
		bursar_fail(err, EINVAL, "the line of a batch has neither an "
		            "answer nor an error");
		return BURSAR_REJECT;
	}
	return BURSAR_DONE;
}

bool batch_mode_is_said(const struct bursar_value *mode)
{
	static const char *const none[] = {
		"", "standard", "default", "auto",
	};

	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		if (!mode->is_set || (strlen(none[i]) == mode->size &&
		    memcmp(none[i], mode->text, mode->size) == 0)) {
			return false;
		}
	}
	return true;
}
