/* SPDX-License-Identifier: Apache-2.0 */

/* Paragraphs are divided by empty lines; `words` are set in bold; lines that
 * begin with a tab are examples. */
#include "config.h"

#include "pages.h"

const char pages_bursar[] =
	"`bursar` reads what the daemon `bursard` has stored, and does the "
	"work of keeping it: reports, budgets, verification, purging, keys.  It "
	"reads the same configuration as the daemon, and may run while the "
	"daemon runs.\n"
	"\n"
	"Tables fit the terminal; `--format json` and `--format csv` are for "
	"programs: money is a number with all its digits there, and what is not "
	"known is null or an empty cell.  Colours are used on a terminal only.  "
	"Results go to standard output, everything else to standard error.";

const char pages_environment[] =
	"`BURSAR_CONFIG` names the configuration where `-c` does not.\n"
	"\n"
	"`BURSAR_PLUGIN_PATH` lists folders, divided by colons, in which "
	"plugins are looked for before those that are installed.\n"
	"\n"
	"`NO_COLOR`, when it is not empty, keeps colours away.\n"
	"\n"
	"`COLUMNS` is the width of tables; without it they are as wide as the "
	"terminal, and whole where the output is none.";

const char pages_configuration[] =
	"The file is YAML: maps, lists and text.  Anchors, aliases, tags, "
	"several documents and equal names in one map are refused.  Every "
	"mistake is reported with its line, all at once; `bursar check` does "
	"only that, and tries what can be tried.\n"
	"\n"
	"A size is a number of bytes, or has a unit: `64K`, `10M`, `1G`.  A "
	"duration is a number with a unit: `250ms`, `5s`, `2m`, `1h`, `7d`.  A "
	"flag is `true` or `false`.  A list is one text or a list of them.  A "
	"path that is relative starts from the folder of this file.\n"
	"\n"
	"`${NAME}` in a value stands for the variable of that name in the "
	"environment; `$${` is a plain `${`.\n"
	"\n"
	"A secret is never written into this file.  The option `password`, say, "
	"is given as `password-file: PATH`, a file that nobody else can read, "
	"or as `password: ${NAME}`.";

const char pages_sources[] =
	"Where messages come from.  Each entry has a name of its choice, and "
	"names the plugin that does the work.  The options of a plugin stand "
	"beside those of every source:";

const char pages_crypto[] =
	"What opens encrypted messages.  A source names the entry that it "
	"needs as its `crypto`.";

const char pages_formats[] =
	"How messages become records.  A source names an entry as its "
	"`format`; a plugin that needs no options can be named directly, "
	"without an entry here.";

const char pages_sinks[] =
	"Where records are stored.  A message is done when every required sink "
	"of its records has it durably.";

const char pages_services[] =
	"What shows figures and state while the daemon runs.";

const char pages_routes[] =
	"Which kinds of records, `metering`, `prompt` and `tool`, go to which "
	"sinks: a list of maps.  Without any, every kind goes to every sink.  A "
	"kind that no required sink takes is a mistake, unless `discard` names "
	"it.";

const char pages_retention[] =
	"How long records stay.  Labels and health data act on prompts and "
	"tool calls; metering records are facts and stay, unless `facts-days` "
	"says otherwise.";

const char pages_dead_letters[] =
	"Messages that can never be stored are kept as they were delivered, "
	"with the reason, in the state folder.";

const char pages_prices[] =
	"What calls cost.  Without this section nothing is computed, and a "
	"record costs what its producer reported; `prices: {}` asks the "
	"built-in book.  Books are asked in this order, and the first that has "
	"a model answers: the map `overrides`, the file `book`, the built-in "
	"one.  `overrides` has models with their rates, as docs/accounting.md "
	"describes them: `overrides: {openai/gpt-4o: {input: 2, output: 8}}`.  "
	"A reload reads the books again.";

const char pages_example[] =
	"sources:\n"
	"  backlog: {plugin: file, path: \"/var/lib/llm/*.jsonl\", "
	"follow: true}\n"
	"sinks:\n"
	"  ledger: {plugin: sqlite, path: /var/lib/bursar/ledger.db}\n"
	"retention: {default-days: 90, phi-ttl-days: 30}\n"
	"state-dir: /var/lib/bursar\n";
