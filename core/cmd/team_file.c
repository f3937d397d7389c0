/* SPDX-License-Identifier: Apache-2.0 */

/* Two ways to write down who works where. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "cmd/team_file.h"
#include "common/regular.h"

#define CSV_FIELDS 32		/* that are looked at in a line */

static struct bursar_span span_of(const char *text)
{
	return (struct bursar_span){ text, strlen(text) };
}

static int add(struct team_map *map, struct bursar_span worker,
               struct bursar_span team, struct bursar_error *err)
{
	return team.size > 0 ? team_map_add(map, worker, team, err)
		: bursar_fail(err, EINVAL, "the worker '%.60s' has no team",
		              worker.size > 0 ? worker.data : "");
}

/* --- JSON ----------------------------------------------------------------- */

static int add_row(struct team_map *map, const json_t *row,
                   struct bursar_error *err)
{
	const char *worker = json_string_value(json_object_get(row, "worker"));
	const char *team = json_string_value(json_object_get(row, "team"));

	return worker != NULL && team != NULL
		? add(map, span_of(worker), span_of(team), err)
		: bursar_fail(err, EINVAL, "each member of the list is "
		              "{\"worker\": NAME, \"team\": NAME}");
}

static int add_rows(struct team_map *map, const json_t *rows,
                    struct bursar_error *err)
{
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row) {
		if (add_row(map, row, err) != 0) {
			return -1;
		}
	}
	return 0;
}

static int add_workers(struct team_map *map, const char *team,
                       const json_t *workers, struct bursar_error *err)
{
	const json_t *worker;
	size_t i;

	json_array_foreach(workers, i, worker) {
		if (!json_is_string(worker)) {
			return bursar_fail(err, EINVAL, "the team '%.60s' has "
			                   "a list of names", team);
		}
		if (add(map, span_of(json_string_value(worker)), span_of(team),
		        err) != 0) {
			return -1;
		}
	}
	return 0;
}

static int add_member(struct team_map *map, const char *key,
                      const json_t *value, struct bursar_error *err)
{
	if (json_is_string(value)) {
		return add(map, span_of(key), span_of(json_string_value(value)),
		           err);
	}
	return json_is_array(value) ? add_workers(map, key, value, err)
		: bursar_fail(err, EINVAL, "'%.60s' is neither \"WORKER\": "
		              "\"TEAM\" nor \"TEAM\": [\"WORKER\"]", key);
}

static int add_object(struct team_map *map, json_t *tree,
                      struct bursar_error *err)
{
	const json_t *rows = json_object_get(tree, "rows");
	const char *key;
	json_t *value;

	if (json_is_object(json_array_get(rows, 0))) {
		return add_rows(map, rows, err);
	}
	json_object_foreach(tree, key, value) {
		if (add_member(map, key, value, err) != 0) {
			return -1;
		}
	}
	return 0;
}

static int read_json(struct team_map *map, const char *text, size_t size,
                     struct bursar_error *err)
{
	json_error_t why;
	json_t *tree = json_loadb(text, size, JSON_REJECT_DUPLICATES, &why);

	if (tree == NULL) {
		return bursar_fail(err, EINVAL, "line %d: %s", why.line,
		                   why.text);
	}
	const int result = json_is_array(tree) ? add_rows(map, tree, err)
	                                       : add_object(map, tree, err);
	json_decref(tree);
	return result;
}

/* --- CSV ------------------------------------------------------------------ */

struct csv {
	char    *at, *end;
	unsigned line;
	struct bursar_span fields[CSV_FIELDS];
	size_t   count;
};

/* Takes the quotes away where the text stands.  False: the last one lacks. */
static bool take_quoted(struct csv *csv, struct bursar_span *field)
{
	char *out = ++csv->at;

	*field = (struct bursar_span){ out, 0 };
	for (; csv->at < csv->end; csv->at++) {
		if (*csv->at == '"') {
			if (csv->at + 1 == csv->end || csv->at[1] != '"') {
				csv->at++;
				field->size = (size_t)(out - field->data);
				return true;
			}
			csv->at++;
		}
		csv->line += *csv->at == '\n';
		*out++ = *csv->at;
	}
	return false;
}

static void take_plain(struct csv *csv, struct bursar_span *field)
{
	*field = (struct bursar_span){ csv->at, 0 };
	while (csv->at < csv->end && *csv->at != ',' && *csv->at != '\n' &&
	       *csv->at != '\r') {
		csv->at++;
	}
	field->size = (size_t)(csv->at - field->data);
}

/* The fields of the next line.  False with *err filled. */
static bool take_line(struct csv *csv, struct bursar_error *err)
{
	struct bursar_span field;

	csv->count = 0;
	for (;;) {
		if (csv->at < csv->end && *csv->at == '"') {
			if (!take_quoted(csv, &field)) {
				bursar_fail(err, EINVAL, "line %u: a quote is "
				            "not closed", csv->line);
				return false;
			}
		} else {
			take_plain(csv, &field);
		}
		if (csv->count < CSV_FIELDS) {
			csv->fields[csv->count++] = field;
		}
		if (csv->at == csv->end || *csv->at != ',') {
			break;
		}
		csv->at++;
	}
	if (csv->at < csv->end && *csv->at == '\r') {
		csv->at++;
	}
	if (csv->at < csv->end && *csv->at++ != '\n') {
		bursar_fail(err, EINVAL, "line %u: something stands behind a "
		            "closed quote", csv->line);
		return false;
	}
	return true;
}

/* The place of the column of that name, or -1. */
static int column(const struct csv *csv, const char *name)
{
	for (size_t i = 0; i < csv->count; i++) {
		if (csv->fields[i].size == strlen(name) &&
		    memcmp(csv->fields[i].data, name, strlen(name)) == 0) {
			return (int)i;
		}
	}
	return -1;
}

static bool is_blank(const struct csv *csv)
{
	return csv->count == 1 && csv->fields[0].size == 0;
}

static int add_line(struct team_map *map, const struct csv *csv, int worker,
                    int team, unsigned line, struct bursar_error *err)
{
	struct bursar_error why = { 0 };

	if ((size_t)worker >= csv->count || (size_t)team >= csv->count) {
		return bursar_fail(err, EINVAL, "line %u: it is not "
		                   "WORKER,TEAM", line);
	}
	if (csv->fields[team].size == 0) {
		return bursar_fail(err, EINVAL, "line %u: no team is named",
		                   line);
	}
	return team_map_add(map, csv->fields[worker], csv->fields[team],
	                    &why) == 0 ? 0
		: bursar_fail(err, why.code, "line %u: %s", line, why.text);
}

static int read_csv(struct team_map *map, char *text, size_t size,
                    struct bursar_error *err)
{
	struct csv csv = { .at = text, .end = text + size, .line = 1 };
	int worker = 0, team = 1;

	for (bool first = true; csv.at < csv.end; csv.line++) {
		const unsigned line = csv.line;

		if (!take_line(&csv, err)) {
			return -1;
		}
		if (is_blank(&csv)) {
			continue;
		}
		if (first && column(&csv, "worker") >= 0 &&
		    column(&csv, "team") >= 0) {
			worker = column(&csv, "worker");
			team = column(&csv, "team");
		} else if (add_line(map, &csv, worker, team, line, err) != 0) {
			return -1;
		}
		first = false;
	}
	return 0;
}

/* --- the file ------------------------------------------------------------- */

static int read_text(struct team_map *map, char *text, size_t size,
                     struct bursar_error *err)
{
	/* Spreadsheets write a byte order mark. */
	if (strncmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		size -= 3;
	}
	const size_t blank = strspn(text, " \t\r\n");
	const int result = text[blank] == '{' || text[blank] == '['
		? read_json(map, text, size, err)
		: read_csv(map, text, size, err);

	return result == 0 ? team_map_sort(map, err) : result;
}

struct team_map *team_file_read(const char *path, struct bursar_error *err)
{
	struct team_map *map = NULL;
	size_t size = 0;
	char *text = input_text(path, TEAM_FILE_SIZE, &size, err);

	if (text == NULL) {
		return NULL;
	}
	map = team_map_create();
	if (map == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
	} else if (read_text(map, text, size, err) != 0) {
		team_map_destroy(map);
		map = NULL;
	}
	free(text);
	return map;
}
