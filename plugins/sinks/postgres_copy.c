/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rows by COPY, in PostgreSQL's binary format: nothing to escape, so nothing
 * that can be taken for something else.
 *
 * Format: the manual's page of COPY, "Binary Format".
 */
#include "config.h"

#include <errno.h>

#include "postgres.h"

#define CHUNK (64u << 10)
#define KEPT  (1u << 20)	/* memory of the buffer between batches */

static const char signature[] = "PGCOPY\n\377\r\n";	/* and its NUL */

void copy_finish(struct copy *copy)
{
	text_finish(&copy->buffer);
}

enum bursar_verdict copy_begin(struct copy *copy, struct db *db,
                               const char *sql, struct bursar_error *err)
{
	enum bursar_verdict verdict = BURSAR_DONE;
	PGresult *result;

	copy->db = db;
	text_clear(&copy->buffer);
	if (PQsendQuery(db->conn, sql) == 0) {
		return db_fail(db, NULL, DB_OURS, err);
	}
	result = db_next(db);
	if (PQresultStatus(result) != PGRES_COPY_IN) {
		verdict = db_fail(db, result, DB_OURS, err);
		PQclear(result);
		while (PQstatus(db->conn) == CONNECTION_OK &&
		       (result = db_next(db)) != NULL) {
			PQclear(result);
		}
		return verdict;
	}
	PQclear(result);
	text_put(&copy->buffer, signature, sizeof(signature));
	text_put32(&copy->buffer, 0);	/* flags */
	text_put32(&copy->buffer, 0);	/* bytes of extensions */
	return BURSAR_DONE;
}

void copy_row(struct copy *copy, size_t columns)
{
	text_put16(&copy->buffer, (int)columns);
}

void copy_null(struct copy *copy)
{
	text_put32(&copy->buffer, -1);
}

void copy_int2(struct copy *copy, int64_t value)
{
	text_put32(&copy->buffer, 2);
	text_put16(&copy->buffer, (int)value);
}

void copy_int4(struct copy *copy, int64_t value)
{
	text_put32(&copy->buffer, 4);
	text_put32(&copy->buffer, value);
}

void copy_int8(struct copy *copy, int64_t value)
{
	text_put32(&copy->buffer, 8);
	text_put64(&copy->buffer, value);
}

void copy_bytes(struct copy *copy, const void *data, size_t size)
{
	text_put32(&copy->buffer, (int64_t)size);
	text_put(&copy->buffer, data, size);
}

static bool send_all(struct copy *copy)
{
	PGconn *conn = copy->db->conn;
	size_t at = 0;

	if (copy->buffer.failed) {
		return false;
	}
	while (at < copy->buffer.size) {
		const size_t left = copy->buffer.size - at;
		const size_t part = left < CHUNK ? left : CHUNK;
		const int taken = PQputCopyData(conn, copy->buffer.data + at,
		                                (int)part);

		if (taken < 0 || !db_flush(copy->db)) {
			return false;
		}
		at += taken > 0 ? part : 0;
	}
	text_clear(&copy->buffer);
	if (copy->buffer.room > KEPT) {
		text_finish(&copy->buffer);
	}
	return true;
}

bool copy_push(struct copy *copy)
{
	return copy->buffer.size < CHUNK || send_all(copy);
}

enum bursar_verdict copy_end(struct copy *copy, struct bursar_error *err)
{
	struct db *db = copy->db;
	enum bursar_verdict verdict = BURSAR_DONE;
	const char *cancel = NULL;
	PGresult *result;

	text_put16(&copy->buffer, -1);
	if (copy->buffer.failed) {
		bursar_fail(err, ENOMEM, "%s: out of memory", db->label);
		verdict = BURSAR_RETRY;
		cancel = "out of memory";
	} else if (!send_all(copy)) {
		cancel = "given up";
	}
	while (PQputCopyEnd(db->conn, cancel) == 0) {
		if (!db_flush(db)) {
			break;
		}
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
