/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A service that writes what the house tells it into a file, again and again:
 * ticks, figures, length of the state, and what the book answers to `ask`.
 * The file `mood` beside it, if there is one, is its next verdict.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bursar/service.h>

struct bursar_service {
	const struct bursar_host  *host;
	const struct bursar_house *house;
	const char *path;
	char        mood[4200];
	long long   ticks;
	long long   figures;
	long long   answer;
};

static const struct bursar_option clock_options[] = {
	{ "path", BURSAR_TYPE_PATH, NULL, "The file to write." },
	{ "interval", BURSAR_TYPE_DURATION, "10ms", "Time between two ticks.",
	  .min = 1, .max = 60000 },
	{ "ask", BURSAR_TYPE_TEXT, "", "A statement for the book." },
	{ NULL }
};

static void clock_close(struct bursar_service *service)
{
	free(service);
}

static struct bursar_service *clock_open(const struct bursar_host *host,
                                         const struct bursar_house *house,
                                         struct bursar_error *err)
{
	struct bursar_service *service = calloc(1, sizeof(*service));

	if (service == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return NULL;
	}
	service->host = host;
	service->house = house;
	service->path = host->text(host, "path");
	snprintf(service->mood, sizeof(service->mood), "%s.mood",
	         service->path);
	FILE *file = fopen(service->path, "ae");
	if (file == NULL) {
		bursar_fail(err, errno, "%s: %s", service->path,
		            strerror(errno));
		clock_close(service);
		return NULL;
	}
	fputs("opened\n", file);
	fclose(file);
	return service;
}

static void count_figure(void *context, const struct bursar_figure *figure)
{
	struct bursar_service *service = context;

	service->figures += figure->name != NULL && figure->help != NULL;
}

static int take_answer(void *context, const struct bursar_cell *cells,
                       size_t count)
{
	struct bursar_service *service = context;

	service->answer = count > 0 && cells[0].type == BURSAR_INTEGER ?
		(long long)cells[0].integer : -1;
	return 0;
}

/* The verdict that stands in the file of moods, which is then removed. */
static enum bursar_verdict mood(struct bursar_service *service)
{
	static const struct {
		const char *word;
		enum bursar_verdict verdict;
	} moods[] = {
		{ "retry", BURSAR_RETRY }, { "down", BURSAR_DOWN },
		{ "config", BURSAR_CONFIG },
	};
	FILE *file = fopen(service->mood, "re");
	char word[16] = "";

	if (file == NULL) {
		return BURSAR_DONE;
	}
	const int got = fscanf(file, "%15s", word);
	fclose(file);
	unlink(service->mood);
	for (size_t i = 0; got == 1 && i < sizeof(moods) / sizeof(moods[0]);
	     i++) {
		if (strcmp(moods[i].word, word) == 0) {
			return moods[i].verdict;
		}
	}
	return BURSAR_DONE;
}

static void tick(struct bursar_service *service)
{
	const struct bursar_house *house = service->house;
	const char *ask = service->host->text(service->host, "ask");
	struct bursar_error err = { 0 };
	enum bursar_verdict verdict = BURSAR_DONE;
	char *state = house->state(house);

	service->ticks++;
	service->figures = 0;
	service->answer = 0;
	house->figures(house, count_figure, service);
	if (ask[0] != '\0') {
		verdict = house->sql(house, ask, NULL, 0, take_answer, service,
		                     &err);
	}
	FILE *file = fopen(service->path, "ae");
	if (file != NULL) {
		fprintf(file, "tick %lld figures %lld state %zu verdict %d "
		        "answer %lld\n", service->ticks, service->figures,
		        state != NULL ? strlen(state) : 0, (int)verdict,
		        service->answer);
		fclose(file);
	}
	free(state);
	service->host->count(service->host, "ticks_total", 1);
}

static enum bursar_verdict clock_run(struct bursar_service *service, int stop,
                                     struct bursar_error *err)
{
	struct pollfd fd = { .fd = stop, .events = POLLIN };
	const int interval = (int)service->host->number(service->host,
	                                                "interval");

	while (poll(&fd, 1, interval) <= 0) {
		const enum bursar_verdict verdict = mood(service);

		if (verdict != BURSAR_DONE) {
			bursar_fail(err, EAGAIN, "interval: the clock is out of "
			            "order");
			return verdict;
		}
		tick(service);
	}
	return BURSAR_DONE;
}

static const struct bursar_service_ops clock_ops = {
	.open  = clock_open,
	.run   = clock_run,
	.close = clock_close,
};

static const struct bursar_plugin_figure clock_figures[] = {
	{ "ticks_total", "Ticks." },
	{ NULL }
};

BURSAR_PLUGIN_DEFINE(service_clock,
	.kind        = BURSAR_SERVICE,
	.name        = "clock",
	.summary     = "writes what the house tells it into a file",
	.options     = clock_options,
	.figures     = clock_figures,
	.ops.service = &clock_ops);
