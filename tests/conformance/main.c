/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bursar-conformance - runs a plugin through the contract of its kind
 *
 *	bursar-conformance KIND NAME [-o OPTION=VALUE ...]
 *
 * The plugin is found as the daemon finds it (BURSAR_PLUGIN_PATH), its options
 * are checked as the daemon checks them.  What comes out is a line for each
 * check, in the manner of TAP, and at the end `N passed, N failed`.
 *
 * Exit status: 0 nothing failed, 1 something did, 2 wrong usage.
 */
#include "config.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kit.h"

#include "core/base/log.h"
#include "core/plugin/module.h"

static const char usage[] =
"usage: bursar-conformance KIND NAME [OPTION ...]\n"
"\n"
"Runs a plugin through the contract of its kind: source, crypto, format, sink\n"
"or service.  @DIR@ in a value or command is a folder made for each check,\n"
"@FREE@ a port where nobody listens.\n"
"\n"
"  -o OPTION=VALUE  gives the plugin an option; again for a list\n"
"  -i COMMAND       prepares a folder for each check: input, files, keys\n"
"  -s SECRET        a text that must appear in no log, error or memory\n"
"  -w OPTION=VALUE  the option that names its peer, with @PEER@ (address and\n"
"                   port) or @PORT@ in place of it, to try one that is silent\n"
"  -W PORT          port of this machine where that peer is, to try one that\n"
"                   falls silent; @FREE@: peers come there, and @PORT@ in -w is\n"
"                   where the plugin waits for them\n"
"  -r SEED          of everything that goes by chance (1)\n"
"  -t TEXT          runs only the checks whose names hold TEXT\n"
"source:\n"
"  -n N             messages that the command of -i makes (needed)\n"
"crypto:\n"
"  -k TYPE          type of key to make with keygen()\n"
"format:\n"
"  -f FILE          samples, one a line: envelopes or bodies\n"
"  -K KIND          kind of samples that do not say it\n"
"sink:\n"
"  -b OPTION        the path of the database, for backups (the first path)\n"
"  -N               it keeps nothing, by its own word, and knows no duplicates\n";

__attribute__((noreturn, format(printf, 1, 2)))
static void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("bursar-conformance: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(2);
}

/* A file alone in a process: all that it needs comes with it. */
static int load_alone(const char *file)
{
	if (dlopen(file, RTLD_NOW | RTLD_LOCAL) == NULL) {
		printf("%s\n", dlerror());
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

static void give(struct kit *kit, char *text)
{
	char *value = strchr(text, '=');

	if (value == NULL) {
		die("-o %s: there is no '='", text);
	}
	*value++ = '\0';
	kit_give(kit, text, value);
}

static void take_silent(struct kit *kit, char *text)
{
	char *value = strchr(text, '=');

	if (value == NULL) {
		die("-w %s: there is no '='", text);
	}
	*value++ = '\0';
	kit->silent_name = text;
	kit->silent_value = value;
}

static size_t number(const char *text)
{
	char *end;
	const long long value = strtoll(text, &end, 10);

	if (*text == '\0' || *end != '\0' || value < 0) {
		die("'%s' is no number", text);
	}
	return (size_t)value;
}

static void take_peer(struct kit *kit, const char *text)
{
	kit->peer_comes = strcmp(text, "@FREE@") == 0;
	if (!kit->peer_comes) {
		const size_t port = number(text);

		if (port == 0 || port > UINT16_MAX) {
			die("-W %s: no port", text);
		}
		kit->peer_port = (unsigned)port;
	}
}

/* A check has another folder than we. */
static const char *resolve(const char *path, char resolved[PATH_MAX])
{
	if (realpath(path, resolved) == NULL) {
		die("%s: %s", path, strerror(errno));
	}
	return resolved;
}

static void parse(struct kit *kit, int argc, char **argv)
{
	static char samples[PATH_MAX];
	int c;

	while ((c = getopt(argc, argv, "o:i:n:k:s:f:K:b:Nr:t:w:W:h")) != -1) {
		switch (c) {
		case 'o': give(kit, optarg); break;
		case 'i': kit->input = optarg; break;
		case 'n': kit->messages = number(optarg); break;
		case 'k': kit->key_type = optarg; break;
		case 's': secret_add(optarg, strlen(optarg)); break;
		case 'f': kit->samples = resolve(optarg, samples); break;
		case 'K': kit->sample_kind = optarg; break;
		case 'b': kit->database = optarg; break;
		case 'N': kit->keeps_nothing = true; break;
		case 'w': take_silent(kit, optarg); break;
		case 'W': take_peer(kit, optarg); break;
		case 'r': kit->seed = (unsigned)number(optarg); break;
		case 't': kit->only = optarg; break;
		case 'h': fputs(usage, stdout); exit(0);
		default: fputs(usage, stderr); exit(2);
		}
	}
}

static enum bursar_plugin_kind kind_of(const char *word)
{
	for (int i = 0; i < BURSAR_PLUGIN_KINDS; i++) {
		if (strcmp(module_kind_names[i], word) == 0) {
			return (enum bursar_plugin_kind)i;
		}
	}
	die("'%s' is no kind of plugin: source, crypto, format, sink, service",
	    word);
}

static void refuse(const char *why)
{
	printf("not ok 1 is loaded as the daemon loads it\n"
	       "#   wants: A plugin is one shared object that exports one "
	       "constant: its description, written with "
	       "BURSAR_PLUGIN_DEFINE.\n"
	       "#   found: %s\n1..1\n0 passed, 1 failed\n", why);
	exit(1);
}

/* In a process of its own: a table that does not end leads anywhere. */
static void load_apart(const struct kit *kit, const char *name)
{
	struct bursar_error err = { 0 };
	int status = 0;
	const pid_t child = fork();

	if (child == 0) {
		module_load(kit->kind, name, &err);
		_exit(0);
	}
	if (child > 0 && waitpid(child, &status, 0) == child && status != 0) {
		refuse("it crashes while its description is read: does its "
		       "table of options end with { NULL }?");
	}
}

static void load(struct kit *kit, const char *name)
{
	static char file[PATH_MAX];
	struct bursar_error err = { 0 };
	Dl_info info;

	load_apart(kit, name);
	kit->plugin = module_load(kit->kind, name, &err);
	if (kit->plugin == NULL) {
		refuse(err.text);
	}
	if (dladdr(kit->plugin, &info) == 0) {
		die("%s: its file is not known", name);
	}
	kit->file = resolve(info.dli_fname, file);
	kit->plugin = relay_make(kit->plugin);
}

static void run_all(struct kit *kit, struct kit_score *score)
{
	static const struct kit_check *const tables[][5] = {
		[BURSAR_SOURCE]  = { source_checks, source_crash_checks },
		[BURSAR_CRYPTO]  = { crypto_checks },
		[BURSAR_FORMAT]  = { format_checks },
		[BURSAR_SINK]    = { sink_write_checks, sink_sql_checks,
		                     sink_correct_checks, sink_purge_checks,
		                     sink_kill_checks },
		[BURSAR_SERVICE] = { service_checks },
	};

	kit_run(kit, plugin_checks, score);
	kit_run(kit, silent_checks, score);
	kit_run(kit, fading_checks, score);
	for (size_t i = 0; i < 5 && tables[kit->kind][i] != NULL; i++) {
		kit_run(kit, tables[kit->kind][i], score);
	}
	kit_run(kit, thread_checks, score);
}

/*
 * glibc counts what it caches for a thread as in use, and how much that is
 * depends on sizes that come and go: 20 blocks more in one round of opening and
 * closing than in the one before, and nothing is lost.  The cache can only be
 * turned off from outside.
 */
static void without_cache(char **argv)
{
	static const char variable[] = "GLIBC_TUNABLES";
	static const char wanted[] = "glibc.malloc.tcache_count=0";
	const char *given = getenv(variable);
	char all[1024];

	if (given != NULL && strstr(given, wanted) != NULL) {
		return;
	}
	snprintf(all, sizeof(all), "%s%s%s", given != NULL ? given : "",
	         given != NULL ? ":" : "", wanted);
	setenv(variable, all, 1);
	execv("/proc/self/exe", argv);
	/* Without that path the figures are less exact, and no more. */
}

int main(int argc, char **argv)
{
	struct kit kit = { .seed = 1 };
	struct kit_score score = { 0 };

	without_cache(argv);
	if (argc == 3 && strcmp(argv[1], "--load") == 0) {
		return load_alone(argv[2]);
	}
	if (argc < 3 || argv[1][0] == '-') {
		fputs(usage, argc == 2 && strcmp(argv[1], "-h") == 0 ? stdout
		                                                     : stderr);
		return argc == 2 && strcmp(argv[1], "-h") == 0 ? 0 : 2;
	}
	kit.kind = kind_of(argv[1]);
	parse(&kit, argc - 2, argv + 2);
	if (optind != argc - 2) {
		die("what is '%s'?", argv[2 + optind]);
	}
	if (kit.kind == BURSAR_SOURCE && kit.messages == 0) {
		die("a source needs -n N, and -i COMMAND that makes them");
	}
	log_set_level(BURSAR_DEBUG);
	load(&kit, argv[2]);

	printf("# %s %s, ABI %d, seed %u: %s\n", argv[1], argv[2],
	       BURSAR_PLUGIN_ABI, kit.seed, kit.file);
	run_all(&kit, &score);
	if (score.number == 0) {
		die("no check's name holds '%s'", kit.only);
	}
	printf("1..%u\n%u passed, %u failed", score.number, score.passed,
	       score.failed);
	printf(score.skipped > 0 ? ", %u skipped\n" : "\n", score.skipped);
	return score.failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
