/* SPDX-License-Identifier: Apache-2.0 */

/*
 * floor_login CONNINFO STATEMENT - the least that a question to PostgreSQL takes
 *
 * Logs in as CONNINFO says, runs STATEMENT, throws its rows away and ends: what
 * is above that is the asker's own.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include <libpq-fe.h>

int main(int argc, char **argv)
{
	int status = EXIT_FAILURE;

	if (argc != 3) {
		fputs("floor_login CONNINFO STATEMENT\n", stderr);
		return 2;
	}
	PGconn *conn = PQconnectdb(argv[1]);
	PGresult *result = PQexec(conn, argv[2]);
	if (PQresultStatus(result) == PGRES_TUPLES_OK) {
		status = EXIT_SUCCESS;
	} else {
		fputs(PQerrorMessage(conn), stderr);
	}
	PQclear(result);
	PQfinish(conn);
	return status;
}
