/* SPDX-License-Identifier: Apache-2.0 */

/*
 * web_metrics.c - figures in the text format of Prometheus, version 0.0.4
 *
 *	# HELP bursar_messages_total Messages settled, by what became of them.
 *	# TYPE bursar_messages_total counter
 *	bursar_messages_total{source="in",outcome="stored"} 7
 *
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "common/utf8.h"
#include "web.h"

#define MAX_LABELS   3
#define MAX_DECIMALS 18

static bool is_word(const char *name, bool colons)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
		"ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789:";
	const size_t size = strspn(name, letters);

	return size > 0 && name[size] == '\0' &&
	       (name[0] < '0' || name[0] > '9') &&
	       (colons || strchr(name, ':') == NULL);
}

static bool is_good(const struct bursar_figure *figure)
{
	if (!is_word(figure->name, true) || figure->decimals > MAX_DECIMALS) {
		return false;
	}
	for (size_t i = 0; i < MAX_LABELS && figure->labels[i][0]; i++) {
		if (!is_word(figure->labels[i][0], false) ||
		    figure->labels[i][1] == NULL) {
			return false;
		}
	}
	return true;
}

/* Escapes what the format does; a byte that is no UTF-8 becomes '?'. */
static void put_escaped(struct web_text *out, const char *text, bool quotes)
{
	size_t left = strlen(text);

	while (left > 0) {
		const size_t size = utf8_size(text, left);

		if (size == 0) {
			web_text_put(out, "?", 1);
		} else if (*text == '\n') {
			web_text_put(out, "\\n", 2);
		} else if (*text == '\\' || (*text == '"' && quotes)) {
			web_text_put(out, "\\", 1);
			web_text_put(out, text, 1);
		} else {
			web_text_put(out, text, size);
		}
		text += size > 0 ? size : 1;
		left -= size > 0 ? size : 1;
	}
}

/* An exact number, without zeros at its end. */
static void put_number(struct web_text *out, int64_t value, unsigned decimals)
{
	const uint64_t whole = value < 0 ? -(uint64_t)value : (uint64_t)value;
	char digits[48];
	uint64_t power = 1;

	for (unsigned i = 0; i < decimals; i++) {
		power *= 10;
	}
	int size = snprintf(digits, sizeof(digits), "%s%" PRIu64,
	                    value < 0 ? "-" : "", whole / power);
	if (whole % power != 0) {
		size += snprintf(digits + size, sizeof(digits) - (size_t)size,
		                 ".%0*" PRIu64, (int)decimals, whole % power);
		while (digits[size - 1] == '0') {
			size--;
		}
	}
	web_text_put(out, digits, (size_t)size);
}

/* {source="in",outcome="stored"}, with room for one more label. */
static void put_labels(struct web_text *out, const struct bursar_figure *figure,
                       bool more)
{
	const char *before = "{";

	for (size_t i = 0; i < MAX_LABELS && figure->labels[i][0]; i++) {
		web_text_add(out, "%s%s=\"", before, figure->labels[i][0]);
		put_escaped(out, figure->labels[i][1], true);
		web_text_put(out, "\"", 1);
		before = ",";
	}
	if (more) {
		web_text_put(out, before, 1);
	} else if (before[0] == ',') {
		web_text_put(out, "}", 1);
	}
}

static void add_sample(struct web_text *out, const struct bursar_figure *figure,
                       const char *suffix, int64_t value, unsigned decimals)
{
	web_text_add(out, "%s%s", figure->name, suffix);
	put_labels(out, figure, false);
	web_text_put(out, " ", 1);
	put_number(out, value, decimals);
	web_text_put(out, "\n", 1);
}

/* Buckets hold all that came before them, too. */
static void add_histogram(struct web_text *out,
                          const struct bursar_figure *figure)
{
	uint64_t total = 0;

	for (size_t i = 0; i <= figure->bound_count; i++) {
		total += figure->counts[i];
		web_text_add(out, "%s_bucket", figure->name);
		put_labels(out, figure, true);
		web_text_add(out, "le=\"");
		if (i < figure->bound_count) {
			put_number(out, figure->bounds[i], figure->decimals);
		} else {
			web_text_add(out, "+Inf");
		}
		web_text_add(out, "\"} %" PRIu64 "\n", total);
	}
	add_sample(out, figure, "_sum", figure->value, figure->decimals);
	web_text_add(out, "%s_count", figure->name);
	put_labels(out, figure, false);
	web_text_add(out, " %" PRIu64 "\n", total);
}

static void add_head(struct web_text *out, const struct bursar_figure *figure)
{
	static const char *const types[] = {
		[BURSAR_GAUGE] = "gauge", [BURSAR_COUNTER] = "counter",
		[BURSAR_HISTOGRAM] = "histogram",
	};

	web_text_add(out, "# HELP %s ", figure->name);
	put_escaped(out, figure->help, false);
	web_text_add(out, "\n# TYPE %s %s\n", figure->name,
	             types[figure->type]);
}

void web_metrics_add(void *metrics, const struct bursar_figure *figure)
{
	struct web_metrics *m = metrics;

	if (!is_good(figure) || strlen(figure->name) >= sizeof(m->name)) {
		return;
	}
	if (strcmp(m->name, figure->name) != 0) {
		memcpy(m->name, figure->name, strlen(figure->name) + 1);
		m->type = figure->type;
		add_head(&m->text, figure);
	} else if (m->type != figure->type) {
		return;
	}
	if (figure->type == BURSAR_HISTOGRAM) {
		add_histogram(&m->text, figure);
	} else {
		add_sample(&m->text, figure, "", figure->value,
		           figure->decimals);
	}
}
