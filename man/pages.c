/* SPDX-License-Identifier: Apache-2.0 */

/* Paragraphs are divided by empty lines; `words` are set in bold; lines that
 * begin with a tab are examples. */
#include "config.h"

#include "pages.h"

const char pages_bursard[] =
	"`bursard` takes messages about the use of language models from its "
	"sources, opens those that are encrypted, decodes them into records, "
	"and stores the records in one or more databases that drop duplicates. "
	"A source is told that a message is done only after every required "
	"database has it durably, so that nothing is lost and nothing is "
	"stored twice, also when the daemon is killed.\n"
	"\n"
	"What it reads, opens and writes is done by plugins; the configuration "
	"says which.\n"
	"\n"
	"It stays in the foreground, makes its state folder where that is "
	"missing, and holds a lock there, so that a second daemon with the "
	"same folder does not start.\n"
	"\n"
	"A message that can never be stored becomes a dead letter: it is kept "
	"in the state folder as it was delivered, with the reason.  When a "
	"database cannot be reached, messages wait at their sources.";

const char pages_signals[] =
	"`SIGTERM` and `SIGINT` stop it: what is in flight is stored, for at "
	"most `drain-timeout`; the rest goes back to its sources.  A second "
	"one does not wait, and is as safe.\n"
	"\n"
	"`SIGHUP` has it read the configuration again, and open anew what "
	"changed.  The new one is taken as a whole, or the old one stays.\n"
	"\n"
	"`SIGUSR1` logs the state.";

const char pages_manager[] =
	"Where `NOTIFY_SOCKET` is set, as systemd does for a service of "
	"`Type=notify`, it says when it is ready, reloads and ends, and in one "
	"line how it goes.  Where `WATCHDOG_USEC` is set as well, it says that "
	"it is alive, while no thread has been at one thing for five times as "
	"long.";

const char pages_log[] =
	"One event a line on standard error, as pairs of key and value:\n"
	"\n"
	"\ttime=2026-11-20T10:00:00.123Z level=info event=sink-open "
	"instance=ledger why=\"\"\n"
	"\n"
	"A value with a space, `=`, `\"`, `\\` or anything that is not plain "
	"text stands in quotes.  In quotes `\"` and `\\` follow a `\\`, and "
	"`\\n`, `\\r`, `\\t` and `\\xNN`, a byte in hex digits, stand for "
	"what would end the line, move a terminal or is not UTF-8: whatever a "
	"file, a message or a database says, a line can be taken apart in one "
	"way only.  What is too long ends in an ellipsis.\n"
	"\n"
	"The time is left out where the journal reads standard error.  Names "
	"of events do not change.  The same event of the same instance is "
	"logged at most ten times in ten seconds; `held-back` says how many "
	"were not.  Neither secrets nor the content of messages are logged.";

const char pages_daemon_environment[] =
	"`BURSAR_CONFIG` names the configuration where `-c` does not.\n"
	"\n"
	"`BURSAR_PLUGIN_PATH` lists folders, divided by colons, in which "
	"plugins are looked for before those that are installed.  A folder or "
	"file is refused that belongs neither to root nor to the user of the "
	"process, or that others can write.";

const char pages_plugin[] =
	"A plugin is one shared object, `KIND_NAME.so`, that exports one "
	"constant: its description, written with `BURSAR_PLUGIN_DEFINE`.  It "
	"imports nothing from the daemon; what it needs reaches it through "
	"`struct bursar_host`: log, options, clock, figures and a folder of "
	"its own.  The headers are the contract, and say of each operation "
	"what it does, what it is given, what it returns, and whose memory is "
	"whose.\n"
	"\n"
	"\tload -> check of the options -> open -> operations -> close\n"
	"\n"
	"A module is loaded once and never unloaded.  An instance is what "
	"`open` returns; there may be many of one module, so a plugin keeps "
	"its state in the instance and not in static variables.  Calls on one "
	"instance never overlap, but may come from different threads.\n"
	"\n"
	"A plugin says what happened, and the daemon decides what to do: no "
	"plugin holds a queue, a retry loop or a timer.";

const char pages_plugin_options[] =
	"Options are declared in a table of `struct bursar_option` and never "
	"parsed by hand.  The check of the configuration, `bursar plugins`, "
	"`bursar check` and the manual page follow from it.  The types are:";

const char pages_plugin_build[] =
	"Link it so that nothing is left to be found when it is loaded, and "
	"put it into the folder of its kind, which pkg-config knows as "
	"`sourcesdir`, `cryptodir`, `formatsdir`, `sinksdir` or "
	"`servicesdir`:\n"
	"\n"
	"\tcc $(pkg-config --cflags bursar) -shared -fPIC -Wl,-z,defs,-z,now "
	"-o sink_mine.so mine.c\n"
	"\n"
	"`BURSAR_PLUGIN_PATH` names a folder to try it from.  "
	"`bursar-conformance` runs it through the contract of its kind.  The "
	"program `new-plugin KIND NAME`, in the folder that pkg-config knows as "
	"`examplesdir`, begins one that does all of this.";

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
	"or as `password: ${NAME}`.  A PATH without a slash is a credential "
	"that systemd brought, where there is one of that name; other files "
	"are named as `${CREDENTIALS_DIRECTORY}/NAME`.\n"
	"\n"
	"The file of a plugin, and the folder that it is in, must belong to "
	"root or to the user that the process runs as, and nobody else may be "
	"able to write them: what a plugin does, the process does.  Any other "
	"is refused, with what to do; so is the file of a secret.";

const char pages_sources[] =
	"Where messages come from.  Each entry has a name of its choice, and "
	"names the plugin that does the work.  The options of a plugin stand "
	"beside those of every source.  One configuration serves machines with "
	"and without a plugin where its entry says `if-installed`:";

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

const char pages_budgets[] =
	"What may be spent, by whom, in which time.  The name of an entry is "
	"the budget_id of its calls, unless `where` says which calls it is "
	"about.  `bursar budget` reads them; nothing is held up by a budget "
	"that is exceeded.";

const char pages_retention[] =
	"How long records stay.  Labels and health data act on prompts and "
	"tool calls; metering records are facts and stay, unless `facts-days` "
	"says otherwise.";

const char pages_jobs[] =
	"What the daemon does to its ledgers now and then.  Of several daemons "
	"with one ledger one does it.  `bursar jobs` shows how it went.";

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

const char pages_tags[] =
	"What calls bear beside their columns: an object `tags` in a record, "
	"with any keys.  What a record says comes before the `tags` of its "
	"source, and those before `default`; a tag that a token fixes comes "
	"before all of them.  Any tag can be asked about, in `bursar tags` and "
	"by `--by tag:KEY`; those under `report` at once, however large the "
	"ledger is, for calls from half an hour after they were named, or all "
	"of them where the ledger was empty then.  A ledger does not forget "
	"which tags were named, whichever of several daemons named them.";

const char pages_example[] =
	"sources:\n"
	"  backlog: {plugin: file, path: \"/var/lib/llm/*.jsonl\", "
	"follow: true}\n"
	"sinks:\n"
	"  ledger: {plugin: sqlite, path: /var/lib/bursar/ledger.db}\n"
	"retention: {default-days: 90, phi-ttl-days: 30}\n"
	"state-dir: /var/lib/bursar\n";
