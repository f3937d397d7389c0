/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The core's own options.
 */
#include "config.h"

#include "conf/setup.h"

#define MINUTE INT64_C(60000)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define CENTURY_DAYS 36500

const struct bursar_option setup_top_options[] = {
	{ "state-dir", BURSAR_TYPE_PATH, "/var/lib/bursar",
	  "The folder for positions, dead letters, lock and socket." },
	{ "batch-records", BURSAR_TYPE_NUMBER, "20000",
	  "How many records a sink stores in one transaction at most.",
	  1, 100000 },
	{ "linger", BURSAR_TYPE_DURATION, "20ms",
	  "How long a batch that is not full waits for more; ten times that "
	  "where records stream in.",
	  0, MINUTE },
	{ "max-message", BURSAR_TYPE_SIZE, "8M",
	  "The longest message that is taken; a longer one becomes a dead "
	  "letter.", 1 << 10, 64 << 20 },
	{ "drain-timeout", BURSAR_TYPE_DURATION, "25s",
	  "How long a stop waits for what is in flight.", 0, HOUR },
	{ "once-timeout", BURSAR_TYPE_DURATION, "60s",
	  "How long --once waits for a sink that stays closed.", 0, DAY },
	{ "blocked-retry", BURSAR_TYPE_DURATION, "30s",
	  "How often a sink or source that needs a person is looked at again.",
	  10, HOUR },
	{ "log-level", BURSAR_TYPE_CHOICE, "info",
	  "The least grave events that are logged.",
	  .choices = "error|warning|info|debug" },
	{ "book", BURSAR_TYPE_TEXT, "",
	  "The sink that reports and budgets read; by default the first one "
	  "that gets metering and can be asked." },
	{ "discard", BURSAR_TYPE_LIST, "",
	  "Kinds of records that need not be stored." },
	{ NULL }
};

const struct bursar_option setup_retention_options[] = {
	{ "default-days", BURSAR_TYPE_NUMBER, "90",
	  "Days that prompts and tool calls stay when their label does not say "
	  "otherwise.", 1, CENTURY_DAYS },
	{ "phi-ttl-days", BURSAR_TYPE_NUMBER, "30",
	  "Days that records with health data stay at most, whatever their "
	  "label.", 1, CENTURY_DAYS },
	{ "session-only-grace", BURSAR_TYPE_DURATION, "0",
	  "How long records labelled session_only stay after they came in; "
	  "with 0 their bodies are not stored.",
	  0, CENTURY_DAYS * DAY },
	{ "facts-days", BURSAR_TYPE_NUMBER, "0",
	  "Days that metering records stay; 0 is for ever.",
	  0, CENTURY_DAYS },
	{ "dedup-days", BURSAR_TYPE_NUMBER, "0",
	  "Days that the key of a record is remembered, so that it is not "
	  "stored twice; 0 is for ever.", 0, CENTURY_DAYS },
	{ NULL }
};

const struct bursar_option setup_job_options[] = {
	{ "purge", BURSAR_TYPE_DURATION, "1h",
	  "How often prompts and tool calls that have expired are taken; 0 is "
	  "never.", 0, 30 * DAY },
	{ "facts", BURSAR_TYPE_DURATION, "6h",
	  "How often facts older than facts-days, and keys older than "
	  "dedup-days, are taken; 0 is never.", 0, 30 * DAY },
	{ "reconcile", BURSAR_TYPE_DURATION, "2m",
	  "How often tool calls are tied to prompts that came apart from them; "
	  "0 is never.", 0, 30 * DAY },
	{ "rollup", BURSAR_TYPE_DURATION, "15m",
	  "How often days that are over are summed up, which makes reports of "
	  "many days quick; 0 is never.", 0, 30 * DAY },
	{ "lease", BURSAR_TYPE_DURATION, "1m",
	  "After how long another daemon goes on with the job of one that "
	  "died.", 1000, HOUR },
	{ NULL }
};

const struct bursar_option setup_tag_options[] = {
	{ "report", BURSAR_TYPE_LIST, "",
	  "Tags whose sums are kept as those of teams are, sixteen at most, so "
	  "that reports by them take no longer than those by team." },
	{ "default", BURSAR_TYPE_LIST, "",
	  "Tags of all metering records that do not say otherwise, KEY=VALUE." },
	{ NULL }
};

const struct bursar_option setup_dead_letter_options[] = {
	{ "max-size", BURSAR_TYPE_SIZE, "1G",
	  "How much dead letters may take on the disk; sources pause rather "
	  "than pass it.", 1 << 20, INT64_C(1) << 44 },
	{ "reserve", BURSAR_TYPE_SIZE, "16M",
	  "How much of that is held back on the disk from the start.",
	  0, INT64_C(1) << 40 },
	{ NULL }
};

const struct bursar_option setup_prices_options[] = {
	{ "book", BURSAR_TYPE_PATH, "",
	  "A file with prices, asked before the built-in book; see "
	  "docs/accounting.md for its shape." },
	{ "built-in", BURSAR_TYPE_FLAG, "true",
	  "Whether the book that comes with the program is asked last." },
	{ "unknown", BURSAR_TYPE_CHOICE, "warn",
	  "What is done about a record that no book can price, besides "
	  "counting it: nothing, or a warning or an error once for a model.  It "
	  "is stored in any case.", .choices = "ignore|warn|raise" },
	{ NULL }
};

const struct bursar_option setup_route_options[] = {
	{ "kinds", BURSAR_TYPE_LIST, NULL,
	  "The kinds of records that take this route." },
	{ "sinks", BURSAR_TYPE_LIST, NULL,
	  "The sinks that they go to." },
	{ "seal", BURSAR_TYPE_TEXT, "",
	  "An entry of crypto that seals what people wrote and models answered "
	  "before a sink sees it; without it that is stored in clear." },
	{ NULL }
};

const struct bursar_option setup_budget_options[] = {
	{ "limit", BURSAR_TYPE_TEXT, NULL,
	  "The most that may be spent in the period, in dollars." },
	{ "period", BURSAR_TYPE_CHOICE, "month",
	  "The time it is for: up to now, or of the calendar.",
	  .choices = "hour|day|week|month|today|this-week|this-month" },
	{ "tz", BURSAR_TYPE_TEXT, "UTC",
	  "The time zone of periods of the calendar." },
	{ "where", BURSAR_TYPE_TEXT, "",
	  "The calls that it is about, FIELD=VALUE; by default those whose "
	  "budget_id is the name of the entry." },
	{ "threshold", BURSAR_TYPE_NUMBER, "80",
	  "Of a hundred: the part of the limit from which a check says so.",
	  1, 100 },
	{ "exceeded", BURSAR_TYPE_CHOICE, "above",
	  "Whether it is exceeded above its limit, or as soon as that is "
	  "reached.", .choices = "above|reached" },
	{ NULL }
};

#define IF_INSTALLED_OPTION                                                  \
	{ "if-installed", BURSAR_TYPE_FLAG, "false",                         \
	  "Whether the entry is left out where its plugin is not installed." }

#define PLUGIN_OPTION                                                        \
	{ "plugin", BURSAR_TYPE_TEXT, NULL,                                  \
	  "The plugin that does the work; 'bursar plugins' lists them." }

const struct bursar_option setup_source_options[] = {
	PLUGIN_OPTION,
	IF_INSTALLED_OPTION,
	{ "format", BURSAR_TYPE_TEXT, "ledger",
	  "How its messages are decoded: an entry of formats, or a plugin." },
	{ "crypto", BURSAR_TYPE_TEXT, "",
	  "What opens its encrypted messages: an entry of crypto, or a "
	  "plugin." },
	{ "kind", BURSAR_TYPE_TEXT, "",
	  "The kind of all its records; by default the envelope or the routing "
	  "key says." },
	{ "cost-from", BURSAR_TYPE_CHOICE, "reported",
	  "Which cost of a metering record counts where both are known: what "
	  "its producer reported, or what the price book computes.",
	  .choices = "reported|computed" },
	{ "tags", BURSAR_TYPE_LIST, "",
	  "Tags of all its metering records that do not say otherwise, "
	  "KEY=VALUE." },
	{ "require-encryption", BURSAR_TYPE_FLAG, "false",
	  "Whether messages that come in clear are refused." },
	{ "window-messages", BURSAR_TYPE_NUMBER, "65536",
	  "How many messages may be in flight.", 1, 1 << 20 },
	{ "window-bytes", BURSAR_TYPE_SIZE, "28M",
	  "How much may be in flight.", 64 << 10, INT64_C(4) << 30 },
	{ "give-back-after", BURSAR_TYPE_DURATION, "10m",
	  "How long messages may wait for a sink before a broker gets them "
	  "back; stay well below the time after which it takes them itself.  10 "
	  "seconds for a source that answers its senders.",
	  100, DAY },
	{ NULL }
};

const struct bursar_option setup_sink_options[] = {
	PLUGIN_OPTION,
	{ "required", BURSAR_TYPE_FLAG, "true",
	  "Whether a message is done only after this sink has it; a sink that "
	  "is not required holds nothing up and may miss records." },
	{ NULL }
};

const struct bursar_option setup_item_options[] = {
	PLUGIN_OPTION,
	{ NULL }
};

const struct bursar_option setup_service_options[] = {
	PLUGIN_OPTION,
	IF_INSTALLED_OPTION,
	{ NULL }
};

const struct bursar_option *setup_common_options(enum bursar_plugin_kind kind)
{
	switch (kind) {
	case BURSAR_SOURCE:
		return setup_source_options;
	case BURSAR_SINK:
		return setup_sink_options;
	case BURSAR_SERVICE:
		return setup_service_options;
	default:
		return setup_item_options;
	}
}
