/* SPDX-License-Identifier: Apache-2.0 */

/*
 * fuzz_<thing> [FILE ...] - a fuzzer without libFuzzer
 *
 * Without files, replays those of tests/corpus/<thing>/ and then a fixed
 * number of mutations of them, the same in every run (FUZZ_MUTATIONS, 2000).
 * An input that kills the program is left behind in fuzz_<thing>.crash.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "tests/fuzz.h"

#define MAX_FILES 4096
#define MAX_FILE ((size_t)16 << 20)
#define MAX_MUTANT ((size_t)16 << 10)
#define MUTATIONS 2000

struct input {
	uint8_t *data;
	size_t   size;
};

static struct input corpus[MAX_FILES];
static size_t corpus_size;

/* What the handler of signals needs. */
static struct input current;
static char crash_path[256];

/* --- failing ------------------------------------------------------------- */

static void fail(const char *what, const char *name)
{
	fprintf(stderr, "%s: %s: %s\n", what, name, strerror(errno));
	exit(EXIT_FAILURE);
}

static void leave_input_behind(int signal_number)
{
	const int file = open(crash_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (file >= 0) {
		const ssize_t written = write(file, current.data, current.size);

		(void)written;
		close(file);
	}
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

static void watch_for_crashes(const char *name)
{
	static const int fatal[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL };

	snprintf(crash_path, sizeof(crash_path), "%s.crash", name);
	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++) {
		signal(fatal[i], leave_input_behind);
	}
}

/* --- corpus -------------------------------------------------------------- */

static void *must_allocate(size_t size)
{
	void *memory = malloc(size > 0 ? size : 1);

	if (memory == NULL) {
		fail("fuzz_main", "memory");
	}
	return memory;
}

static void add_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct input *input = &corpus[corpus_size];
	uint8_t *data = must_allocate(MAX_FILE);

	if (file == NULL) {
		fail("cannot read", path);
	}
	if (corpus_size == MAX_FILES) {
		errno = E2BIG;
		fail("too many files", path);
	}
	input->size = fread(data, 1, MAX_FILE, file);
	if (ferror(file)) {
		fail("cannot read", path);
	}
	fclose(file);
	input->data = must_allocate(input->size);
	memcpy(input->data, data, input->size);
	free(data);
	corpus_size++;
}

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void add_folder(const char *folder)
{
	struct dirent **entries;
	const int count = scandir(folder, &entries, is_visible, alphasort);
	char path[4096];

	if (count < 0) {
		fail("cannot read", folder);
	}
	for (int i = 0; i < count; i++) {
		const int length = snprintf(path, sizeof(path), "%s/%s",
		                            folder, entries[i]->d_name);

		if (length < 0 || (size_t)length >= sizeof(path)) {
			errno = ENAMETOOLONG;
			fail("cannot read", folder);
		}
		add_file(path);
		free(entries[i]);
	}
	free(entries);
}

static void clear_corpus(void)
{
	while (corpus_size > 0) {
		free(corpus[--corpus_size].data);
	}
}

/* --- running ------------------------------------------------------------- */

/* In memory of exactly its size, so that a byte too far is noticed. */
static void run(const uint8_t *data, size_t size)
{
	current.data = must_allocate(size);
	current.size = size;
	memcpy(current.data, data, size);
	LLVMFuzzerTestOneInput(current.data, size);
	free(current.data);
	current = (struct input){ 0 };
}

static uint32_t random_below(size_t limit)
{
	static uint64_t state = UINT64_C(0x9E3779B97F4A7C15);

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return limit == 0 ? 0 : (uint32_t)((state >> 16) % limit);
}

static uint8_t interesting_byte(void)
{
	static const char bytes[] = "\"\\{}[]:,0123456789-+.eEutfn \t\r\n\0\x01"
		"\x1F\x7F\x80\xBF\xC2\xE2\xED\xF0\xFF/=$#%&<>'*;@_|~aA";

	return random_below(4) == 0
	     ? (uint8_t)random_below(256)
	     : (uint8_t)bytes[random_below(sizeof(bytes) - 1)];
}

/* Puts `size` bytes from `from` in at `at`, as far as there is room. */
static void insert(struct input *mutant, size_t at, const uint8_t *from,
                   size_t size)
{
	const size_t room = MAX_MUTANT - mutant->size;
	const size_t taken = size < room ? size : room;
	uint8_t copy[256];

	memcpy(copy, from, taken);
	memmove(mutant->data + at + taken, mutant->data + at,
	        mutant->size - at);
	memcpy(mutant->data + at, copy, taken);
	mutant->size += taken;
}

static void drop(struct input *mutant, size_t at, size_t size)
{
	memmove(mutant->data + at, mutant->data + at + size,
	        mutant->size - at - size);
	mutant->size -= size;
}

/* A piece of at most 256 bytes of the input, which may be empty. */
static size_t random_piece(const struct input *input, size_t *at)
{
	const size_t limit = random_below(8) == 0 ? 256 : 16;

	*at = random_below(input->size);
	const size_t left = input->size - *at;
	return random_below((left < limit ? left : limit) + 1);
}

static void mutate(struct input *mutant)
{
	const struct input *other = &corpus[random_below(corpus_size)];
	const size_t at = random_below(mutant->size);
	const uint8_t byte = interesting_byte();
	size_t from;
	size_t size;

	switch (random_below(7)) {
	case 0:
		insert(mutant, at, &byte, 1);
		break;
	case 1:
		size = random_piece(mutant, &from);
		drop(mutant, from, size);
		break;
	case 2:
		size = random_piece(mutant, &from);
		insert(mutant, at, mutant->data + from, size);
		break;
	case 3:
		size = random_piece(other, &from);
		insert(mutant, at, other->data + from, size);
		break;
	case 4:
		mutant->size = random_below(4) == 0 ? at : mutant->size;
		break;
	default:
		if (mutant->size > 0) {
			mutant->data[at] = byte;
		}
		break;
	}
}

static void run_a_mutant(void)
{
	const struct input *parent = &corpus[random_below(corpus_size)];
	struct input mutant = { must_allocate(MAX_MUTANT), parent->size };

	if (mutant.size > MAX_MUTANT) {
		mutant.size = MAX_MUTANT;
	}
	memcpy(mutant.data, parent->data, mutant.size);
	for (uint32_t left = 1 + random_below(6); left > 0; left--) {
		mutate(&mutant);
	}
	run(mutant.data, mutant.size);
	free(mutant.data);
}

static unsigned long wanted_mutations(void)
{
	const char *wanted = getenv("FUZZ_MUTATIONS");

	return wanted == NULL ? MUTATIONS : strtoul(wanted, NULL, 10);
}

/* The corpus of fuzz_<thing>, whatever libtool made of its name. */
static void add_own_corpus(const char *name)
{
	const char *top = getenv("top_srcdir");
	const char *thing = strstr(name, "fuzz_");
	char folder[4096];

	if (thing == NULL) {
		errno = EINVAL;
		fail("not a fuzzer", name);
	}
	snprintf(folder, sizeof(folder), "%s/tests/corpus/%s",
	         top == NULL ? "." : top, thing + strlen("fuzz_"));
	add_folder(folder);
	if (corpus_size == 0) {
		errno = ENOENT;
		fail("empty", folder);
	}
}

int main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	const char *name = slash == NULL ? argv[0] : slash + 1;
	unsigned long mutations = 0;

	watch_for_crashes(name);
	for (int i = 1; i < argc; i++) {
		add_file(argv[i]);
	}
	if (argc == 1) {
		add_own_corpus(name);
		mutations = wanted_mutations();
	}
	for (size_t i = 0; i < corpus_size; i++) {
		run(corpus[i].data, corpus[i].size);
	}
	for (unsigned long i = 0; i < mutations; i++) {
		run_a_mutant();
	}
	printf("%s: %zu inputs, %zu files and %lu mutations\n", name,
	       corpus_size + mutations, corpus_size, mutations);
	clear_corpus();
	return EXIT_SUCCESS;
}
