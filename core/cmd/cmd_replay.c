/* SPDX-License-Identifier: Apache-2.0 */

/* `bursar replay`: dead letters once more. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "cmd/commands.h"
#include "flow/deadletter.h"
#include "flow/replay.h"

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
};

/* A replay under way. */
struct replay {
	struct cli          *cli;
	const struct setup  *setup;
	const struct choice *choice;
	json_t     *round;		/* letters to be replayed together */
	size_t      bytes;		/* of their bodies */
	size_t      stored, duplicates, left;
	bool        failed;
};

static const char *member(const json_t *letter, const char *name)
{
	const char *text = json_string_value(json_object_get(letter, name));

	return text != NULL ? text : "";
}

static bool is_chosen(const struct choice *choice, const json_t *letter)
{
	const char *id = member(letter, "id");

	if ((choice->reason != NULL &&
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

static void count(void *context, const struct replayed *replayed)
{
	struct replay *replay = context;

	if (replayed->stored) {
		replay->stored++;
		replay->duplicates += replayed->duplicate;
		return;
	}
	replay->left++;
	char *why = text_visible(replayed->why, strlen(replayed->why));
	char *source = text_visible(replayed->source, strlen(replayed->source));
	fprintf(replay->cli->err, "bursar: letter %.12s of source '%s' stays:"
	        " %s\n", replayed->id, source, why);
	free(source);
	free(why);
}

/* Replays what was gathered. */
static void finish_round(struct replay *replay)
{
	struct bursar_error err = { 0 };

	if (json_array_size(replay->round) > 0 &&
	    replay_letters(replay->setup, replay->round, count, replay,
	                   &err) != 0) {
		cli_fail(replay->cli, "%s", err.text);
		replay->failed = true;
	}
	json_array_clear(replay->round);
	replay->bytes = 0;
}

static int gather(void *context, json_t *letter)
{
	struct replay *replay = context;

	if (!is_chosen(replay->choice, letter)) {
		return 0;
	}
	if (json_array_append(replay->round, letter) != 0) {
		cli_fail(replay->cli, "out of memory");
		replay->failed = true;
		return 1;
	}
	replay->bytes += strlen(member(letter, "body_base64"));
	if (json_array_size(replay->round) >= ROUND_LETTERS ||
	    replay->bytes >= ROUND_BYTES) {
		finish_round(replay);
	}
	return replay->failed;
}

static int replay_chosen(struct cli *cli, const struct choice *choice)
{
	struct replay replay = {
		.cli = cli, .setup = cli_setup(cli), .choice = choice,
	};
	struct bursar_error err = { 0 };
	struct deadletter_broken broken;

	if (replay.setup == NULL) {
		return CLI_USAGE;
	}
	log_set_level(BURSAR_ERROR);
	replay.round = json_array();
	if (deadletters_read(replay.setup->state_dir, gather, &replay, &broken,
	                     &err) != 0) {
		cli_fail(cli, "%s", err.text);
		replay.failed = true;
	}
	if (!replay.failed) {
		finish_round(&replay);
	}
	json_decref(replay.round);
	dead_letters_say_broken(cli, replay.setup->state_dir, &broken);
	if (!replay.failed && replay.stored + replay.left == 0) {
		fputs("There is no such letter.\n", cli->out);
		return choice->id_count > 0 ? CLI_FAILED : CLI_OK;
	}
	fprintf(cli->out, "%zu stored (%zu of them were there already), %zu"
	        " left.\n", replay.stored, replay.duplicates, replay.left);
	return !replay.failed && replay.left == 0 ? CLI_OK : CLI_FAILED;
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
	if (argc > 0 && value[ALL] != NULL) {
		return cli_usage_error(cli, "say --all, or which letters");
	}
	for (int i = 0; i < argc; i++) {
		if (argv[i][0] == '\0') {
			return cli_usage_error(cli, "an id is empty");
		}
	}
	return dead_letters_reason(cli, choice.reason)
		? replay_chosen(cli, &choice) : CLI_USAGE;
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
	"ids, and without any a letter's own id is taken: one whose record was "
	"stored meanwhile is a duplicate and counts as done.  What is stored is "
	"not listed any more; what is refused again stays, with the reason on "
	"standard error, and the exit "
	"status is 1.\n"
	"\n"
	"A message that was too large stays: only its first bytes are kept.\n"
	"\n"
	"Of an id the first characters are enough.  The daemon may run.\n"
	"\n"
	"After a key was added:\n"
	"\n"
	"\tbursar replay --reason no-key",
};
