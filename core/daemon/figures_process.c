/* SPDX-License-Identifier: Apache-2.0 */

/* Figures of the process, from what Linux says of it: see proc(5). */
#include "config.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "daemon/figures.h"

/* The text of a number that is a macro. */
#define TEXT(number)  #number
#define NUMBER(macro) TEXT(macro)

struct process {
	int64_t start_ticks;
	int64_t virtual_bytes, resident_bytes;
	int64_t threads;
};

/* A field by its number in proc(5).  They are counted behind the name of the
 * program, which may hold anything but ends with the last ')'. */
static int64_t field(const char *text, int number)
{
	const char *at = strrchr(text, ')');

	for (int i = 2; at != NULL && i < number; i++) {
		at = strchr(at + 1, ' ');
	}
	return at != NULL ? strtoll(at, NULL, 10) : 0;
}

static bool read_stat(struct process *process)
{
	char text[2048];
	FILE *file = fopen("/proc/self/stat", "re");
	const size_t size = file != NULL
		? fread(text, 1, sizeof(text) - 1, file) : 0;

	text[size] = '\0';
	if (file != NULL) {
		fclose(file);
	}
	process->threads = field(text, 20);
	process->start_ticks = field(text, 22);
	process->virtual_bytes = field(text, 23);
	process->resident_bytes = field(text, 24) * sysconf(_SC_PAGESIZE);
	return process->threads > 0;
}

static int64_t cpu_us(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return used.tv_sec * INT64_C(1000000) + used.tv_nsec / 1000;
}

static int64_t count_files(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int64_t count = -1;		/* the folder's own */

	if (folder == NULL) {
		return 0;
	}
	for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
		count += entry->d_name[0] != '.';
	}
	closedir(folder);
	return count;
}

static int64_t most_files(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
	       limit.rlim_cur != RLIM_INFINITY ? (int64_t)limit.rlim_cur : 0;
}

/* Seconds since 1970 in milliseconds: when the machine started, by both
 * clocks, and so long after it the process. */
static int64_t started_ms(const struct process *process)
{
	struct timespec wall, boot;

	clock_gettime(CLOCK_REALTIME, &wall);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	return (wall.tv_sec - boot.tv_sec) * INT64_C(1000) +
	       (wall.tv_nsec - boot.tv_nsec) / 1000000 +
	       process->start_ticks * 1000 / sysconf(_SC_CLK_TCK);
}

static void tell_build(bursar_figure_fn *each, void *context)
{
	each(context, &(struct bursar_figure){
		.name = "bursar_build_info",
		.help = "1, and which build it is.",
		.labels = {
			{ "version", PACKAGE_VERSION },
			{ "abi", NUMBER(BURSAR_PLUGIN_ABI) },
		},
		.value = 1,
	});
}

void figures_of_process(bursar_figure_fn *each, void *context)
{
	struct process process = { 0 };

	tell_build(each, context);
	if (!read_stat(&process)) {
		return;
	}
	const struct bursar_figure figures[] = {
		{ .name = "process_cpu_seconds_total",
		  .help = "CPU time, of the user and of the system.",
		  .type = BURSAR_COUNTER, .decimals = 6,
		  .value = cpu_us() },
		{ .name = "process_resident_memory_bytes",
		  .help = "Memory that is in use.",
		  .value = process.resident_bytes },
		{ .name = "process_virtual_memory_bytes",
		  .help = "Memory that is mapped.",
		  .value = process.virtual_bytes },
		{ .name = "process_threads", .help = "Threads.",
		  .value = process.threads },
		{ .name = "process_open_fds",
		  .help = "Open file descriptors.", .value = count_files() },
		{ .name = "process_max_fds",
		  .help = "File descriptors that may be open.",
		  .value = most_files() },
		{ .name = "process_start_time_seconds",
		  .help = "When it was started, in seconds since 1970.",
		  .decimals = 3, .value = started_ms(&process) },
	};
	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
		each(context, &figures[i]);
	}
}
