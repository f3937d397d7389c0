/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Checks in processes of their own, and the report of each.  A check and what
 * it forks share one page, on which the first word of failure is kept.
 */
#include "config.h"

#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kit.h"

#define SKIPPED 77
#define PATIENCE_FACTOR 8	/* under a sanitizer or valgrind */

/* Shared with the check and all its processes. */
struct report {
	atomic_bool failed;
	char found[2000];
	char remark[400];
};

static struct report *report;

/* --- in the check -------------------------------------------------------- */

/* Keeps the first word; what it may hold of a secret is not printed. */
__attribute__((format(printf, 1, 0)))
static void note(const char *fmt, va_list ap)
{
	if (!atomic_exchange(&report->failed, true)) {
		vsnprintf(report->found, sizeof(report->found), fmt, ap);
		if (secret_is_in(report->found, strlen(report->found))) {
			snprintf(report->found, sizeof(report->found),
			         "a text that held a secret");
		}
	}
}

void kit_breach(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	note(fmt, ap);
	va_end(ap);
}

void kit_fail(const char *file, int line, const char *fmt, ...)
{
	char text[1800];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	const char *name = strrchr(file, '/');
	kit_breach("%s (%s:%d)", text, name != NULL ? name + 1 : file, line);
	_exit(EXIT_FAILURE);
}

void kit_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(report->found, sizeof(report->found), fmt, ap);
	va_end(ap);
	_exit(report->failed ? EXIT_FAILURE : SKIPPED);
}

void kit_broken(const char *what)
{
	kit_breach("the kit itself cannot go on: %s: %s", what,
	           strerror(errno));
	_exit(EXIT_FAILURE);
}

void kit_remark(const char *fmt, ...)
{
	static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
	va_list ap;

	va_start(ap, fmt);
	pthread_mutex_lock(&one_at_a_time);
	vsnprintf(report->remark, sizeof(report->remark), fmt, ap);
	pthread_mutex_unlock(&one_at_a_time);
	va_end(ap);
}

static void describe_end(int status, char *text, size_t size)
{
	if (WIFSIGNALED(status)) {
		snprintf(text, size, "it was killed by signal %d (%s)",
		         WTERMSIG(status), strsignal(WTERMSIG(status)));
	} else {
		snprintf(text, size, "it ended the process with status %d",
		         WEXITSTATUS(status));
	}
}

void kit_wait(int pid)
{
	char text[100];
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR) {
			kit_broken("waitpid");
		}
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		describe_end(status, text, sizeof(text));
		kit_breach("%s", text);
		_exit(EXIT_FAILURE);
	}
}

/* --- folders ------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int type,
                      struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static void remove_tree(const char *path)
{
	nftw(path, remove_one, 20, FTW_DEPTH | FTW_PHYS);
}

static void make_folder(struct kit *kit)
{
	const char *base = getenv("TMPDIR");
	char state[PATH_MAX];

	snprintf(kit->dir, sizeof(kit->dir), "%.200s/conformance.XXXXXX",
	         base != NULL && base[0] == '/' ? base : "/tmp");
	if (mkdtemp(kit->dir) == NULL) {
		perror(kit->dir);
		exit(2);
	}
	snprintf(state, sizeof(state), "%.300s/state", kit->dir);
	mkdir(state, 0700);
}

struct kit kit_beside(const struct kit *kit, const char *name)
{
	struct kit other = *kit;
	char state[PATH_MAX + 10];

	if (snprintf(other.dir, sizeof(other.dir), "%s/%s", kit->dir, name) >=
	    (int)sizeof(other.dir) || mkdir(other.dir, 0700) != 0) {
		kit_broken(other.dir);
	}
	snprintf(state, sizeof(state), "%s/state", other.dir);
	mkdir(state, 0700);
	other.port = kit_free_port();
	return other;
}

void kit_prepare(struct kit *kit)
{
	if (chdir(kit->dir) != 0) {
		kit_broken(kit->dir);
	}
	if (kit->input != NULL) {
		const char *command = kit_expand(kit, kit->input);

		expect(system(command) == 0, "the command of -i failed: %s",
		       command);
	}
	if (kit->kind == BURSAR_CRYPTO) {
		crypto_prepare(kit);
	}
}

/* --- one check ----------------------------------------------------------- */

static unsigned patience(const struct kit_check *check)
{
	const unsigned seconds = check->seconds != 0 ? check->seconds
	                                             : KIT_SECONDS;

	return footprint_has_bytes() ? seconds : seconds * PATIENCE_FACTOR;
}

static void run_in_child(struct kit *kit, const struct kit_check *check,
                         int out)
{
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0) {
		_exit(EXIT_FAILURE);
	}
	signal(SIGPIPE, SIG_IGN);
	kit->port = kit_free_port();
	kit_prepare(kit);
	check->run(kit);
	_exit(report->failed ? EXIT_FAILURE : EXIT_SUCCESS);
}

/* Waits for a child, not for ever.  Returns false when its time was up. */
static bool await(pid_t child, unsigned seconds, int *status)
{
	const int64_t until = clock_mono_us() + (int64_t)seconds * 1000000;

	while (waitpid(child, status, WNOHANG) == 0) {
		if (clock_mono_us() >= until) {
			kill(-child, SIGKILL);
			waitpid(child, status, 0);
			return false;
		}
		poll(NULL, 0, 2);
	}
	/* What it forked and left. */
	kill(-child, SIGKILL);
	return true;
}

/* What the check wrote: its last lines are of use after a crash. */
static void read_back(int fd, char *text, size_t size)
{
	const off_t end = lseek(fd, 0, SEEK_END);
	const off_t from = end > (off_t)size - 1 ? end - ((off_t)size - 1) : 0;
	const ssize_t got = pread(fd, text, size - 1, from);

	text[got > 0 ? got : 0] = '\0';
}

static void print_lines(const char *label, const char *text)
{
	while (*text != '\0') {
		const size_t size = strcspn(text, "\n");

		printf("#   %s %.*s\n", label, (int)size, text);
		text += size + (text[size] == '\n');
	}
}

static void print_failure(struct kit_score *score,
                          const struct kit_check *check, const char *found,
                          const char *wrote)
{
	score->failed++;
	printf("not ok %u %s\n", score->number, check->name);
	print_lines("wants:", check->wants);
	print_lines("found:", found);
	if (secret_is_in(wrote, strlen(wrote))) {
		wrote = "(a text that held a secret)";
	}
	print_lines("wrote:", wrote);
}

static void judge(struct kit_score *score, const struct kit_check *check,
                  int status, bool in_time, int out)
{
	static char wrote[4000];
	char found[100];

	read_back(out, wrote, sizeof(wrote));
	if (!in_time) {
		snprintf(found, sizeof(found), "it hung for %u seconds",
		         patience(check));
		print_failure(score, check, report->failed ? report->found :
		              found, wrote);
	} else if (report->failed) {
		print_failure(score, check, report->found, "");
	} else if (secret_is_in(wrote, strlen(wrote))) {
		print_failure(score, check, "it wrote a secret", "");
	} else if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		score->passed++;
		printf("ok %u %s\n", score->number, check->name);
		print_lines("--", report->remark);
	} else if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
		score->skipped++;
		printf("ok %u %s # SKIP %s\n", score->number, check->name,
		       report->found);
	} else {
		describe_end(status, found, sizeof(found));
		print_failure(score, check, found, wrote);
	}
	fflush(stdout);
}

static void run_check(struct kit *kit, const struct kit_check *check,
                      struct kit_score *score)
{
	int status = 0;

	score->number++;
	memset(report, 0, sizeof(*report));
	make_folder(kit);
	FILE *out = tmpfile();
	if (out == NULL) {
		perror("tmpfile");
		exit(2);
	}
	fflush(stdout);
	const pid_t child = fork();
	if (child < 0) {
		perror("fork");
		exit(2);
	}
	if (child == 0) {
		run_in_child(kit, check, fileno(out));
	}
	setpgid(child, child);
	const bool in_time = await(child, patience(check), &status);
	judge(score, check, status, in_time, fileno(out));
	fclose(out);
	remove_tree(kit->dir);
}

void kit_run(struct kit *kit, const struct kit_check *checks,
             struct kit_score *score)
{
	if (report == NULL) {
		report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE,
		              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (report == MAP_FAILED) {
			perror("mmap");
			exit(2);
		}
	}
	for (size_t i = 0; checks[i].name != NULL; i++) {
		if (kit->only == NULL ||
		    strstr(checks[i].name, kit->only) != NULL) {
			run_check(kit, &checks[i], score);
		}
	}
}

/* --- the rest ------------------------------------------------------------ */

/* xorshift64*: the same on every machine. */
uint64_t chance(struct kit *kit)
{
	static _Thread_local uint64_t state;

	if (state == 0) {
		state = (uint64_t)kit->seed * 0x9e3779b97f4a7c15u + 1;
	}
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (state * 0x2545f4914f6cdd1du) >> 16;
}

/* FNV-1a. */
uint64_t hash_bytes(const void *data, size_t size)
{
	const unsigned char *bytes = data;
	uint64_t hash = 0xcbf29ce484222325u;

	for (size_t i = 0; i < size; i++) {
		hash = (hash ^ bytes[i]) * 0x100000001b3u;
	}
	return hash;
}

static uint64_t folder_print;

static int print_one(const char *path, const struct stat *st, int type,
                     struct FTW *at)
{
	const int64_t facts[] = {
		st->st_mode, st->st_size, st->st_mtim.tv_sec,
		st->st_mtim.tv_nsec, (int64_t)hash_bytes(path, strlen(path)),
	};

	(void)at;
	/* A sum, as the order of a walk is not fixed. */
	if (type == FTW_F) {
		folder_print += hash_bytes(facts, sizeof(facts));
	}
	return 0;
}

uint64_t kit_folder_print(const struct kit *kit)
{
	folder_print = 0;
	nftw(kit->dir, print_one, 20, FTW_PHYS);
	return folder_print;
}
