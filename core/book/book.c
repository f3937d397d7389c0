/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Opening a sink to ask it, and running statements.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "book/book.h"

#define NAMES_SIZE 120
#define PAUSE_MS   100

/* --- opening ------------------------------------------------------------- */

/* "ledger, audit", cut where it does not fit. */
static const char *sink_names(const struct setup *setup, char out[NAMES_SIZE])
{
	size_t size = 0;

	out[0] = '\0';
	for (size_t i = 0; i < setup->sink_count && size < NAMES_SIZE; i++) {
		size += (size_t)snprintf(out + size, NAMES_SIZE - size, "%s%s",
		                         i == 0 ? "" : ", ",
		                         setup->sinks[i].item.name);
	}
	return out;
}

static const struct setup_item *find(const struct setup *setup,
                                     const char *name,
                                     struct bursar_error *err)
{
	char names[NAMES_SIZE];

	if (name == NULL && setup->book != NULL) {
		return &setup->book->item;
	}
	if (name == NULL) {
		bursar_fail(err, EINVAL, "no sink of this configuration is fit "
		            "to be the book: name one under `book:`");
		return NULL;
	}
	for (size_t i = 0; i < setup->sink_count; i++) {
		if (strcmp(setup->sinks[i].item.name, name) == 0) {
			return &setup->sinks[i].item;
		}
	}
	bursar_fail(err, EINVAL, "there is no sink '%.60s'; there is: %s", name,
	            sink_names(setup, names));
	return NULL;
}

void book_pause(void)
{
	const struct timespec moment = { .tv_nsec = PAUSE_MS * 1000000L };

	nanosleep(&moment, NULL);
}

/* A daemon that writes is in the way for moments only; to read nobody is. */
static struct bursar_sink *open_patiently(const struct book *book,
                                          enum bursar_mode mode,
                                          enum bursar_verdict *verdict,
                                          struct bursar_error *why)
{
	struct bursar_sink *sink = NULL;

	for (int i = 0; i < BOOK_TRIES && sink == NULL; i++) {
		if (i > 0) {
			book_pause();
		}
		memset(why, 0, sizeof(*why));
		sink = book->ops->open(&book->instance->host, mode, verdict,
		                       why);
		if (mode == BURSAR_READ || *verdict != BURSAR_RETRY) {
			break;
		}
	}
	return sink;
}

int book_open(struct book *book, const struct setup *setup, const char *name,
              enum bursar_mode mode, struct bursar_error *err)
{
	enum bursar_verdict verdict = BURSAR_CONFIG;
	struct bursar_error why = { 0 };

	memset(book, 0, sizeof(*book));
	const struct setup_item *item = find(setup, name, err);
	if (item == NULL) {
		return -1;
	}
	book->name = item->name;
	book->ops = item->plugin->ops.sink;
	if (book->ops->sql == NULL) {
		return bursar_fail(err, ENOTSUP, "sink '%s' cannot be asked: "
		                   "plugin '%s' keeps nothing to read",
		                   book->name, item->plugin->name);
	}
	book->instance = instance_create(item, setup->state_dir, INSTANCE_READ,
	                                 err);
	if (book->instance == NULL) {
		return -1;
	}
	book->sink = open_patiently(book, mode, &verdict, &why);
	if (book->sink == NULL) {
		/* To the caller those say that the question was wrong. */
		if (why.code == EINVAL || why.code == ENOTSUP) {
			why.code = EIO;
		}
		book_blame(book, verdict, &why, err);
		book_close(book);
		return -1;
	}
	return 0;
}

void book_close(struct book *book)
{
	if (book->instance != NULL) {
		book->ops->close(book->sink);
		instance_destroy(book->instance);
	}
	memset(book, 0, sizeof(*book));
}

/* --- asking -------------------------------------------------------------- */

int book_blame(const struct book *book, enum bursar_verdict verdict,
               const struct bursar_error *why, struct bursar_error *err)
{
	const int code = why->code != 0 ? why->code : EIO;
	const char *text = why->code != 0 ? why->text : "it does not say why";
	const char *then = "";

	assert(verdict != BURSAR_DONE);
	if (verdict == BURSAR_RETRY) {
		then = "; try again in a moment";
	} else if (verdict == BURSAR_DOWN) {
		then = "; try again when it is back";
	}
	return bursar_fail(err, code, "sink '%s': %.180s%s", book->name, text,
	                   then);
}

int book_run(struct book *book, const char *statement,
             const struct bursar_cell *parameters, size_t count,
             bursar_row_fn *row, void *context, struct bursar_error *err)
{
	struct bursar_error why = { 0 };

	const enum bursar_verdict verdict = book->ops->sql(
		book->sink, statement, parameters, count, row, context, &why);
	return verdict == BURSAR_DONE ? 0
		: book_blame(book, verdict, &why, err);
}

void book_hold_still(struct book *book)
{
	struct bursar_error unheard = { 0 };

	(void)book_run(book, "BEGIN", NULL, 0, NULL, NULL, &unheard);
}

struct number {
	int64_t *number;
	bool    *known;
};

static int take_number(void *context, const struct bursar_cell *cells,
                       size_t count)
{
	const struct number *out = context;

	assert(count == 1);
	*out->known = cells[0].type == BURSAR_INTEGER;
	if (*out->known) {
		*out->number = cells[0].integer;
	}
	return 1;
}

int book_number(struct book *book, const char *statement,
                const struct bursar_cell *parameters, size_t count,
                int64_t *number, bool *known, struct bursar_error *err)
{
	struct number out = { number, known };

	*known = false;
	return book_run(book, statement, parameters, count, take_number, &out,
	                err);
}

/* --- values -------------------------------------------------------------- */

struct bursar_value book_value(const struct bursar_field *field,
                               const struct bursar_cell *cell)
{
	struct bursar_value value = { .is_set = cell->type != BURSAR_NULL };

	if (!value.is_set) {
		return value;
	}
	if (field->type == BURSAR_TEXT || field->type == BURSAR_JSON) {
		value.text = cell->data;
		value.size = (uint32_t)cell->size;
	} else {
		value.number = book_get(cell);
	}
	return value;
}

/* --- notes --------------------------------------------------------------- */

static int take_note(void *context, const struct bursar_cell *cells,
                     size_t count)
{
	char text[24];
	int64_t *value = context;

	assert(count == 1);
	if (cells[0].type == BURSAR_INTEGER) {
		*value = cells[0].integer;
	} else if (cells[0].type == BURSAR_STRING &&
	           cells[0].size < sizeof(text)) {
		memcpy(text, cells[0].data, cells[0].size);
		text[cells[0].size] = '\0';
		*value = strtoll(text, NULL, 10);
	}
	return 1;
}

int book_note_read(struct book *book, const char *name, int64_t *value,
                   struct bursar_error *err)
{
	const struct bursar_cell parameters[] = { book_text(name) };

	return book_run(book, "SELECT value FROM bursar_meta WHERE name = $1",
	                parameters, 1, take_note, value, err);
}

int book_note_write(struct book *book, const char *name, int64_t value,
                    struct bursar_error *err)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, value);
	const struct bursar_cell parameters[] = { book_text(name),
	                                          book_text(text) };
	return book_run(book, "INSERT INTO bursar_meta (name, value) "
	                "VALUES ($1, $2) ON CONFLICT (name) "
	                "DO UPDATE SET value = excluded.value",
	                parameters, 2, NULL, NULL, err);
}

/* --- statements ---------------------------------------------------------- */

void book_add(struct book_statement *statement, const char *fmt, ...)
{
	const size_t room = sizeof(statement->text) - statement->size;
	va_list ap;

	va_start(ap, fmt);
	const int size = vsnprintf(statement->text + statement->size, room, fmt,
	                           ap);
	va_end(ap);
	assert(size >= 0 && (size_t)size < room);
	statement->size += (size_t)size;
}

void book_add_value(struct book_statement *statement, struct bursar_cell value)
{
	assert(statement->count < BOOK_MAX_PARAMETERS);

	statement->parameters[statement->count++] = value;
	book_add(statement, "$%zu", statement->count);
}

int book_ask(struct book *book, const struct book_statement *statement,
             bursar_row_fn *row, void *context, struct bursar_error *err)
{
	return book_run(book, statement->text, statement->parameters,
	                statement->count, row, context, err);
}
