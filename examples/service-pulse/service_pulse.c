/* SPDX-License-Identifier: Apache-2.0 */

/*
 * pulse - writes now and then how many records were stored
 *
 * Into a file that is replaced as a whole, for whatever looks at files.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <bursar/service.h>

struct bursar_service {
	const struct bursar_host  *host;
	const struct bursar_house *house;
	const char *path;
	char        next[4096];	/* what replaces it */
	int64_t     stored;
};

static const struct bursar_option options[] = {
	{ "path", BURSAR_TYPE_OUTPUT, NULL, "The file to write." },
	{ "interval", BURSAR_TYPE_DURATION, "10s", "How often it is written.",
	  .min = 10, .max = 3600000 },
	{ NULL }
};

static void pulse_close(struct bursar_service *service)
{
	free(service);
}

static struct bursar_service *pulse_open(const struct bursar_host *host,
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
	snprintf(service->next, sizeof(service->next), "%s.new", service->path);
	return service;
}

static void look(void *context, const struct bursar_figure *figure)
{
	struct bursar_service *service = context;

	if (strcmp(figure->name, "bursar_records_stored_total") == 0) {
		service->stored += figure->value;
	}
}

static int write_figures(struct bursar_service *service)
{
	service->stored = 0;
	service->house->figures(service->house, look, service);
	FILE *file = fopen(service->next, "we");
	if (file == NULL) {
		return -1;
	}
	fprintf(file, "%" PRId64 "\n", service->stored);
	return fclose(file) == 0 ? rename(service->next, service->path) : -1;
}

/* What cannot be written now is for the core to try again. */
static enum bursar_verdict pulse_run(struct bursar_service *service, int stop,
                                     struct bursar_error *err)
{
	struct pollfd fd = { .fd = stop, .events = POLLIN };
	const int interval = (int)service->host->number(service->host,
	                                                "interval");

	do {
		if (write_figures(service) != 0) {
			bursar_fail(err, errno, "%s: %s", service->path,
			            strerror(errno));
			return BURSAR_RETRY;
		}
	} while (poll(&fd, 1, interval) <= 0);
	return BURSAR_DONE;
}

static const struct bursar_service_ops ops = {
	.open = pulse_open, .run = pulse_run, .close = pulse_close,
};

BURSAR_PLUGIN_DEFINE(service_pulse,
	.kind = BURSAR_SERVICE, .name = "pulse",
	.summary = "writes now and then how many records were stored",
	.manual = "The file has one number, and is replaced as a whole.",
	.options = options, .ops.service = &ops);
