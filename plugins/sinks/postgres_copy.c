/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rows by COPY, in PostgreSQL's binary format: nothing to escape, so nothing
 * that can be taken for something else.
 *
 * Format: the manual's page of COPY, "Binary Format"; of a timestamptz and a
 * numeric, timestamptz_recv() and numeric_recv() of the server.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>

#include "postgres.h"

#define CHUNK ((size_t)64 << 10)
#define KEPT  (1u << 20)	/* memory of the buffer between batches */

#define MOST  (UINT32_C(1) << 30)	/* bytes of a row; as many as it takes */
#define WIDEST 12			/* a number, with its size */

/* In microseconds since 1970: the first of a timestamp, and its own zero. */
#define FIRST_TIME INT64_C(-210866803200000000)
#define TIME_ZERO  INT64_C(946684800000000)

static const char signature[] = "PGCOPY\n\377\r\n";	/* and its NUL */

void copy_finish(struct copy *copy)
{
	free(copy->data);
	*copy = (struct copy){ .db = copy->db };
}

static bool reserve(struct copy *copy, size_t more)
{
	const size_t need = copy->size + more;
	size_t room = copy->room > 0 ? copy->room : 2 * CHUNK;
	char *data;

	if (need <= copy->room) {
		return !copy->failed;
	}
	while (room < need) {
		room *= 2;
	}
	data = more > MOST || copy->failed ? NULL : realloc(copy->data, room);
	if (data == NULL) {
		copy->failed = true;
		return false;
	}
	copy->data = data;
	copy->room = room;
	return true;
}

enum bursar_verdict copy_begin(struct copy *copy, struct db *db,
                               const char *sql, struct bursar_error *err)
{
	copy->db = db;
	copy->size = 0;
	copy->failed = false;
	copy->open = false;
	copy->refused = false;
	copy->verdict = BURSAR_DONE;
	memset(&copy->why, 0, sizeof(copy->why));
	if (PQsendQuery(db->conn, sql) == 0) {
		return db_fail(db, NULL, DB_OURS, err);
	}
	if (reserve(copy, sizeof(signature) + 8)) {
		copy_put(copy, signature, sizeof(signature));
		copy_size(copy, 0);	/* flags */
		copy_size(copy, 0);	/* bytes of extensions */
	}
	return BURSAR_DONE;
}

bool copy_row(struct copy *copy, size_t columns, size_t bytes)
{
	const uint16_t word = htobe16((uint16_t)columns);

	if (!reserve(copy, sizeof(word) + columns * WIDEST + bytes)) {
		return false;
	}
	copy_put(copy, &word, sizeof(word));
	return true;
}

void copy_time(struct copy *copy, int64_t us)
{
	if (us < FIRST_TIME) {
		copy_null(copy);
	} else {
		copy_int8(copy, us - TIME_ZERO);
	}
}

/* Digits are those of base 10000, three of them behind the point. */
void copy_dollars(struct copy *copy, int64_t nano)
{
	const uint64_t size = nano < 0 ? -(uint64_t)nano : (uint64_t)nano;
	const uint64_t whole = size / 1000000000;
	const uint64_t rest = size % 1000000000 * 1000;
	const uint16_t digits[] = {
		(uint16_t)(whole / 100000000), (uint16_t)(whole / 10000 % 10000),
		(uint16_t)(whole % 10000), (uint16_t)(rest / 100000000),
		(uint16_t)(rest / 10000 % 10000), (uint16_t)(rest % 10000),
	};
	const size_t all = sizeof(digits) / sizeof(digits[0]);
	size_t first = 0;

	while (first < all && digits[first] == 0) {
		first++;
	}
	const uint16_t header[] = {
		htobe16((uint16_t)(all - first)), htobe16((uint16_t)(2 - first)),
		htobe16(nano < 0 ? 0x4000 : 0), htobe16(9),
	};
	copy_size(copy, (uint32_t)(sizeof(header) +
	                           (all - first) * sizeof(digits[0])));
	copy_put(copy, header, sizeof(header));
	for (size_t i = first; i < all; i++) {
		const uint16_t word = htobe16(digits[i]);

		copy_put(copy, &word, sizeof(word));
	}
}

static void hear(struct copy *copy, const PGresult *result)
{
	const ExecStatusType status = PQresultStatus(result);

	if (status == PGRES_TUPLES_OK) {
		copy->refused |= PQntuples(result) == 0;
	} else if (status == PGRES_COPY_IN) {
		copy->open = true;
	} else if (status != PGRES_COMMAND_OK &&
	           copy->verdict == BURSAR_DONE) {
		copy->verdict = db_fail(copy->db, result, DB_OURS, &copy->why);
	}
}

/* Waits until the server wants rows; false: it does not. */
static bool is_open(struct copy *copy)
{
	struct db *db = copy->db;
	PGresult *result;

	while (!copy->open && copy->verdict == BURSAR_DONE) {
		result = db_next(db);
		if (result == NULL) {
			copy->verdict = db_fail(db, NULL, DB_OURS, &copy->why);
			break;
		}
		hear(copy, result);
		PQclear(result);
	}
	return copy->open;
}

static bool send_all(struct copy *copy)
{
	PGconn *conn = copy->db->conn;
	size_t at = 0;

	if (copy->failed || !is_open(copy) || copy->refused) {
		return false;
	}
	while (at < copy->size) {
		const size_t left = copy->size - at;
		const size_t part = left < CHUNK ? left : CHUNK;
		const int taken = PQputCopyData(conn, copy->data + at,
		                                (int)part);

		if (taken < 0 || !db_flush(copy->db)) {
			return false;
		}
		at += taken > 0 ? part : 0;
	}
	copy->size = 0;
	if (copy->room > KEPT) {
		copy_finish(copy);
	}
	return true;
}

bool copy_push(struct copy *copy)
{
	return copy->size < CHUNK || send_all(copy);
}

void copy_last(struct copy *copy, bool cancel)
{
	const uint16_t end = UINT16_MAX;
	const char *why = cancel ? "not wanted" : NULL;

	if (reserve(copy, sizeof(end))) {
		copy_put(copy, &end, sizeof(end));
	}
	if (copy->failed) {
		why = "out of memory";
	} else if (!cancel && !send_all(copy)) {
		why = "not all was sent";
	}
	if (!is_open(copy)) {
		return;
	}
	while (PQputCopyEnd(copy->db->conn, why) == 0) {
		if (!db_flush(copy->db)) {
			break;
		}
	}
	db_flush(copy->db);
}

enum bursar_verdict copy_end(struct copy *copy, struct bursar_error *err)
{
	struct db *db = copy->db;
	enum bursar_verdict verdict = BURSAR_DONE;
	PGresult *result;

	if (copy->failed) {
		bursar_fail(err, ENOMEM, "%s: out of memory", db->label);
		verdict = BURSAR_RETRY;
	} else if (copy->refused) {
		bursar_fail(err, EAGAIN, "%s: a table was taken away",
		            db->label);
		verdict = BURSAR_RETRY;
	} else if (copy->verdict != BURSAR_DONE) {
		bursar_fail(err, copy->why.code, "%s", copy->why.text);
		verdict = copy->verdict;
	}
	while ((result = db_next(db)) != NULL) {
		if (PQresultStatus(result) != PGRES_COMMAND_OK &&
		    verdict == BURSAR_DONE) {
			verdict = db_fail(db, result, DB_OURS, err);
		}
		PQclear(result);
		if (PQstatus(db->conn) != CONNECTION_OK) {
			break;
		}
	}
	if (verdict == BURSAR_DONE && PQstatus(db->conn) != CONNECTION_OK) {
		verdict = db_fail(db, NULL, DB_OURS, err);
	}
	return verdict;
}
