/* SPDX-License-Identifier: Apache-2.0 */

/* `bursar replay`: dead letters once more. */
#include "config.h"

#include <string.h>

#include <sodium.h>

#include "commands.h"
#include "deadletter.h"
#include "log.h"
#include "replay.h"

/* One round: letters are in memory while they are replayed. */
#define ROUND_LETTERS 1000
#define ROUND_BYTES   (16u << 20)

enum { ALL, REASON, SOURCE };

static const struct cli_option options[] = {
	[ALL]    = { "all", 'a', NULL, "Replay every letter." },
	[REASON] = { "reason", 0, "REASON",
	             "Replay the letters with that reason, as `bursar "
	             "dead-letters list` shows it." },
	[SOURCE] = { "source", 0, "NAME", "Replay the letters of one source." },
	{ NULL }
};

struct choice {
	const char *const *ids;		/* first characters are enough */
	size_t      id_count;
	const char *reason;
	const char *source;
	json_t     *tried;		/* ids of earlier rounds */
	json_t     *round;
	size_t      bytes;
};

static const char *member(const json_t *letter, const char *name)
{
	const char *text = json_string_value(json_object_get(letter, name));

	return text != NULL ? text : "";
}

static bool is_chosen(const struct choice *choice, const json_t *letter)
{
	const char *id = member(letter, "id");

	if (json_object_get(choice->tried, id) != NULL ||
	    (choice->reason != NULL &&
	     strcmp(member(letter, "reason"), choice->reason) != 0) ||
	    (choice->source != NULL &&
	     strcmp(member(letter, "source"), choice->source) != 0)) {
		return false;
	}
	for (size_t i = 0; i < choice->id_count; i++) {
		if (strncmp(id, choice->ids[i], strlen(choice->ids[i])) == 0) {
			return true;
		}
	}
	return choice->id_count == 0;
}

static int choose(void *context, json_t *letter)
{
	struct choice *choice = context;

	if (!is_chosen(choice, letter)) {
		return 0;
	}
	json_array_append(choice->round, letter);
	json_object_set_new(choice->tried, member(letter, "id"), json_true());
	choice->bytes += strlen(member(letter, "body_base64"));
	return json_array_size(choice->round) >= ROUND_LETTERS ||
	       choice->bytes >= ROUND_BYTES;
}

struct tally {
	struct cli *cli;
	size_t stored, duplicates, left;
};

static void count(void *context, const struct replayed *replayed)
{
	struct tally *tally = context;

	if (replayed->stored) {
		tally->stored++;
		tally->duplicates += replayed->duplicate;
		return;
	}
	tally->left++;
	fprintf(tally->cli->err, "bursar: letter %.12s of source '%s' stays:"
	        " %s\n", replayed->id, replayed->source, replayed->why);
}

/* Returns how many letters there were, or -1. */
static int64_t one_round(struct cli *cli, const struct setup *setup,
                         struct choice *choice, struct tally *tally)
{
	struct bursar_error err = { 0 };
	size_t broken;
	int64_t result;

	choice->round = json_array();
	choice->bytes = 0;
	if (deadletters_read(setup->state_dir, choose, choice, &broken,
	                     &err) != 0) {
		cli_fail(cli, "%s", err.text);
		result = -1;
	} else {
		result = (int64_t)json_array_size(choice->round);
		if (result > 0 && replay_letters(setup, choice->round, count,
		                                 tally, &err) != 0) {
			cli_fail(cli, "%s", err.text);
			result = -1;
		}
	}
	json_decref(choice->round);
	return result;
}

static int replay(struct cli *cli, struct choice *choice)
{
	const struct setup *setup = cli_setup(cli);
	struct tally tally = { .cli = cli };
	int64_t letters;

	if (setup == NULL) {
		return CLI_USAGE;
	}
	log_set_level(BURSAR_ERROR);
	choice->tried = json_object();
	do {
		letters = one_round(cli, setup, choice, &tally);
	} while (letters > 0);
	json_decref(choice->tried);
	if (letters == 0 && tally.stored + tally.left == 0) {
		fputs("There is no such letter.\n", cli->out);
		return choice->id_count > 0 ? CLI_FAILED : CLI_OK;
	}
	fprintf(cli->out, "%zu stored (%zu of them were there already), %zu"
	        " left.\n", tally.stored, tally.duplicates, tally.left);
	return letters == 0 && tally.left == 0 ? CLI_OK : CLI_FAILED;
}

static int run(struct cli *cli, int argc, char **argv)
{
	const char *value[CLI_MAX_OPTIONS];

	if (!cli_parse(cli, &argc, &argv, value)) {
		return cli->status;
	}
	struct choice choice = {
		.ids = (const char *const *)argv, .id_count = (size_t)argc,
		.reason = value[REASON], .source = value[SOURCE],
	};
	if (argc == 0 && value[ALL] == NULL && choice.reason == NULL &&
	    choice.source == NULL) {
		return cli_usage_error(cli, "say which letters: ids, --reason,"
		                       " --source or --all");
	}
	return replay(cli, &choice);
}

const struct command command_replay = {
	.name = "replay",
	.summary = "try to store dead letters again",
	.usage = "ID...\n--reason REASON | --source NAME | --all",
	.options = options,
	.run = run,
	.manual =
	"Letters go the way of a message once more, through the crypto, the "
	"format and the sinks that their source has now.  They keep their "
	"ids: a letter whose record was stored meanwhile is a duplicate and "
	"counts as done.  What is stored is not listed any more; what is "
	"refused again stays, with the reason on standard error.\n"
	"\n"
	"Of an id the first characters are enough.  The daemon may run.\n"
	"\n"
	"After a key was added:\n"
	"\n"
	"\tbursar replay --reason no-key",
};
