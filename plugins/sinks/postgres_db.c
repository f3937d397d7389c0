/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Statements, and failures as a verdict and a sentence that says what to do.
 *
 * The connection never blocks: all waiting is here, with an end to it, so that
 * a network that swallows everything is noticed.
 */
#include "config.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "common/monotonic.h"
#include "postgres.h"

#define TEXT_MAX (INT64_C(1) << 31)

/* --- texts --------------------------------------------------------------- */

static bool text_reserve(struct text *text, size_t more)
{
	const size_t need = text->size + more + 1;
	size_t room = text->room > 0 ? text->room : 4096;
	char *data;

	if (text->failed || need > TEXT_MAX) {
		text->failed = true;
		return false;
	}
	if (need <= text->room) {
		return true;
	}
	while (room < need) {
		room *= 2;
	}
	data = realloc(text->data, room);
	if (data == NULL) {
		text->failed = true;
		return false;
	}
	text->data = data;
	text->room = room;
	return true;
}

void text_put(struct text *text, const void *data, size_t size)
{
	if (!text_reserve(text, size)) {
		return;
	}
	if (size > 0) {
		memcpy(text->data + text->size, data, size);
	}
	text->size += size;
	text->data[text->size] = '\0';
}

char *text_room(struct text *text, size_t size)
{
	char *room;

	if (!text_reserve(text, size)) {
		return NULL;
	}
	room = text->data + text->size;
	text->size += size;
	text->data[text->size] = '\0';
	return room;
}

void text_add(struct text *text, const char *fmt, ...)
{
	va_list ap;
	int size;

	va_start(ap, fmt);
	size = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (!text_reserve(text, (size_t)size)) {
		return;
	}
	va_start(ap, fmt);
	vsnprintf(text->data + text->size, (size_t)size + 1, fmt, ap);
	va_end(ap);
	text->size += (size_t)size;
}

void text_finish(struct text *text)
{
	free(text->data);
	*text = (struct text){ 0 };
}

void text_clear(struct text *text)
{
	text->size = 0;
	text->failed = false;
}

void text_put32(struct text *text, int64_t value)
{
	const uint32_t word = htobe32((uint32_t)value);

	text_put(text, &word, sizeof(word));
}

void text_put64(struct text *text, int64_t value)
{
	const uint64_t word = htobe64((uint64_t)value);

	text_put(text, &word, sizeof(word));
}

void text_begin_array(struct text *text, Oid type, size_t count)
{
	text_clear(text);
	text_put32(text, 1);		/* dimensions */
	text_put32(text, 0);		/* no NULL */
	text_put32(text, (int64_t)type);
	text_put32(text, (int64_t)count);
	text_put32(text, 1);		/* the first has number 1 */
}

int64_t db_get64(const char *data)
{
	uint64_t word;

	memcpy(&word, data, sizeof(word));
	return (int64_t)be64toh(word);
}

int64_t db_get32(const char *data)
{
	uint32_t word;

	memcpy(&word, data, sizeof(word));
	return (int32_t)be32toh(word);
}

/* --- values -------------------------------------------------------------- */

static void add_value(struct db_values *values, Oid type, const char *data,
                      size_t size, int format)
{
	const int at = values->count++;

	assert(at < DB_MAX_VALUES && size <= INT32_MAX);
	values->types[at] = type;
	values->data[at] = data;
	values->sizes[at] = (int)size;
	values->formats[at] = format;
}

void db_add_integer(struct db_values *values, int64_t value)
{
	char *room = values->room[values->count];

	snprintf(room, sizeof(values->room[0]), "%lld", (long long)value);
	add_value(values, DB_INT8, room, strlen(room), 0);
}

void db_add_text(struct db_values *values, const char *value)
{
	add_value(values, DB_TEXT, value, strlen(value), 0);
}

void db_add_binary(struct db_values *values, Oid type, const void *data,
                   size_t size)
{
	add_value(values, type, data, size, 1);
}

/* --- failures ------------------------------------------------------------ */

static void copy_field(const PGresult *result, int code, char *out, size_t room)
{
	const char *text = result == NULL ? NULL
		: PQresultErrorField(result, code);

	snprintf(out, room, "%s", text != NULL ? text : "");
	for (char *at = out; *at != '\0'; at++) {
		if ((unsigned char)*at < ' ' || *at == 127) {
			*at = ' ';
		}
	}
}

/* The first line of what libpq says. */
static void first_line(const char *text, char *out, size_t room)
{
	snprintf(out, room, "%.*s", (int)strcspn(text, "\n"), text);
}

enum bursar_verdict db_fail(struct db *db, const PGresult *result,
                            enum db_work work, struct bursar_error *err)
{
	char text[200];

	copy_field(result, PG_DIAG_SQLSTATE, db->state, sizeof(db->state));
	copy_field(result, PG_DIAG_CONSTRAINT_NAME, db->constraint,
	           sizeof(db->constraint));
	copy_field(result, PG_DIAG_MESSAGE_PRIMARY, text, sizeof(text));
	if (text[0] == '\0') {
		first_line(PQerrorMessage(db->conn), text, sizeof(text));
	}
	const char *advice = states_advice(db->state);
	const int error = states_errno(db->state);

	if (advice != NULL) {
		bursar_fail(err, error, "%s: %s (%s)", db->label, text, advice);
	} else {
		bursar_fail(err, error, "%s: %s", db->label,
		            text[0] != '\0' ? text : "the connection is gone");
	}
	if (PQstatus(db->conn) != CONNECTION_OK) {
		const enum bursar_verdict verdict =
			states_verdict(db->state, work);

		return verdict == BURSAR_CONFIG ? verdict : BURSAR_DOWN;
	}
	/* Without a code it came from libpq itself: memory, or our mistake. */
	return db->state[0] == '\0' ? BURSAR_RETRY
		: states_verdict(db->state, work);
}

static enum bursar_verdict out_of_memory(const struct db *db,
                                         struct bursar_error *err)
{
	bursar_fail(err, ENOMEM, "%s: out of memory", db->label);
	return BURSAR_RETRY;
}

/* --- waiting ------------------------------------------------------------- */

/* Waits until the socket can be read or, where asked, written. */
static bool wait_socket(struct db *db, short events)
{
	const int64_t end = db->patience_ms > 0
		? monotonic_ms() + db->patience_ms : INT64_MAX;
	struct pollfd fd = { .fd = PQsocket(db->conn), .events = events };

	while (fd.fd >= 0) {
		const int64_t left = end == INT64_MAX ? 60000
			: end - monotonic_ms();
		const int ready = poll(&fd, 1, left < 0 ? 0 : left < 60000
		                       ? (int)left : 60000);

		if (ready > 0) {
			return true;
		}
		if ((ready < 0 && errno != EINTR) || monotonic_ms() >= end) {
			/* Whoever asks libpq next is told that it is gone. */
			shutdown(fd.fd, SHUT_RDWR);
			return false;
		}
	}
	return false;
}

bool db_flush(struct db *db)
{
	int left;

	while ((left = PQflush(db->conn)) == 1) {
		if (!wait_socket(db, POLLIN | POLLOUT)) {
			return false;
		}
		/* The server may have something to say before it takes more. */
		if (PQconsumeInput(db->conn) == 0) {
			return false;
		}
	}
	return left == 0;
}

PGresult *db_next(struct db *db)
{
	db_flush(db);
	while (PQisBusy(db->conn)) {
		wait_socket(db, POLLIN);
		if (PQconsumeInput(db->conn) == 0) {
			break;
		}
	}
	return PQgetResult(db->conn);
}

/* --- statements ---------------------------------------------------------- */

static bool is_good(const PGresult *result)
{
	const ExecStatusType status = PQresultStatus(result);

	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ||
	       status == PGRES_EMPTY_QUERY;
}

/* Reads all results; the last one that is good goes into *last. */
static enum bursar_verdict finish(struct db *db, PGresult **last,
                                  struct bursar_error *err)
{
	enum bursar_verdict verdict = BURSAR_DONE;
	PGresult *result;

	*last = NULL;
	while ((result = db_next(db)) != NULL) {
		if (!is_good(result) && verdict == BURSAR_DONE) {
			verdict = db_fail(db, result, DB_OURS, err);
		}
		PQclear(*last);
		*last = result;
		if (PQstatus(db->conn) != CONNECTION_OK) {
			break;
		}
	}
	if (verdict == BURSAR_DONE && PQstatus(db->conn) != CONNECTION_OK) {
		verdict = db_fail(db, NULL, DB_OURS, err);
	}
	if (verdict == BURSAR_DONE && *last == NULL) {
		verdict = out_of_memory(db, err);
	}
	if (verdict != BURSAR_DONE) {
		PQclear(*last);
		*last = NULL;
	}
	return verdict;
}

static enum bursar_verdict answer(struct db *db, int sent, PGresult **result,
                                  struct bursar_error *err)
{
	PGresult *last = NULL;
	enum bursar_verdict verdict;

	if (result != NULL) {
		*result = NULL;
	}
	if (sent == 0) {
		return db_fail(db, NULL, DB_OURS, err);
	}
	verdict = finish(db, &last, err);
	if (verdict == BURSAR_DONE && result != NULL) {
		*result = last;
	} else {
		PQclear(last);
	}
	return verdict;
}

enum bursar_verdict db_exec(struct db *db, const char *sql,
                            struct bursar_error *err)
{
	return answer(db, PQsendQuery(db->conn, sql), NULL, err);
}

enum bursar_verdict db_exec_rows(struct db *db, const char *sql,
                                 PGresult **result, struct bursar_error *err)
{
	return answer(db, PQsendQuery(db->conn, sql), result, err);
}

enum bursar_verdict db_exec_text(struct db *db, struct text *text,
                                 struct bursar_error *err)
{
	enum bursar_verdict verdict;

	verdict = text->failed ? out_of_memory(db, err)
		: db_exec(db, text->data, err);
	text_finish(text);
	return verdict;
}

enum bursar_verdict db_query(struct db *db, const char *sql,
                             const struct db_values *values, bool binary,
                             PGresult **result, struct bursar_error *err)
{
	static const struct db_values none;
	const struct db_values *v = values != NULL ? values : &none;

	return answer(db, PQsendQueryParams(db->conn, sql, v->count, v->types,
	                                    v->data, v->sizes, v->formats,
	                                    binary), result, err);
}

enum bursar_verdict db_run(struct db *db, const char *name,
                           const struct db_values *values, bool binary,
                           PGresult **result, struct bursar_error *err)
{
	return answer(db, PQsendQueryPrepared(db->conn, name, values->count,
	                                      values->data, values->sizes,
	                                      values->formats, binary),
	              result, err);
}

enum bursar_verdict db_prepare(struct db *db, const char *name,
                               const char *sql, struct bursar_error *err)
{
	return answer(db, PQsendPrepare(db->conn, name, sql, 0, NULL), NULL,
	              err);
}

enum bursar_verdict db_integer(struct db *db, const char *sql,
                               const struct db_values *values,
                               int64_t fallback, int64_t *value,
                               struct bursar_error *err)
{
	PGresult *result = NULL;
	const enum bursar_verdict verdict = db_query(db, sql, values, false,
	                                             &result, err);

	*value = fallback;
	if (verdict == BURSAR_DONE && PQntuples(result) > 0 &&
	    !PQgetisnull(result, 0, 0)) {
		*value = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
	}
	PQclear(result);
	return verdict;
}

void db_rollback(struct db *db)
{
	char state[sizeof(db->state)];

	/* The reason of the failure stays. */
	memcpy(state, db->state, sizeof(state));
	if (PQstatus(db->conn) == CONNECTION_OK &&
	    PQtransactionStatus(db->conn) != PQTRANS_IDLE) {
		db_exec(db, "ROLLBACK", NULL);
	}
	memcpy(db->state, state, sizeof(state));
}
