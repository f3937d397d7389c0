/* SPDX-License-Identifier: Apache-2.0 */

/*
 * From options to a session: what the person's conninfo does not say is filled
 * in, and what the sink relies on is set whatever it says.
 *
 * libpq hands out no SQLSTATE while it connects, but writes it into its message
 * where asked to: so a wrong password is told apart from a server that starts.
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "common/monotonic.h"
#include "postgres.h"

#define OLDEST_SERVER  140000
#define MAX_WORDS      64
#define MAX_PASSWORD   8192	/* those of cloud providers are long */
#define KEEPALIVE_IDLE "30"
#define KEEPALIVE_INTERVAL "5"
#define KEEPALIVE_COUNT "3"
#define GRACE_MS       5000	/* for the server to end a statement itself */

/* --- what to connect with ------------------------------------------------ */

struct words {
	const char *names[MAX_WORDS];
	const char *values[MAX_WORDS];
	size_t count;
	char connect_timeout[24];
	char user_timeout[24];
	char password[MAX_PASSWORD];
};

static bool is_set(const struct words *words, const char *name)
{
	for (size_t i = 0; i < words->count; i++) {
		if (strcmp(words->names[i], name) == 0) {
			return true;
		}
	}
	return false;
}

static void add(struct words *words, const char *name, const char *value)
{
	if (words->count < MAX_WORDS - 1 && !is_set(words, name)) {
		words->names[words->count] = name;
		words->values[words->count++] = value;
	}
}

static void add_defaults(struct words *words, const struct bursar_host *host,
                         enum bursar_mode mode)
{
	snprintf(words->connect_timeout, sizeof(words->connect_timeout), "%lld",
	         (long long)host->number(host, "connect-timeout") / 1000 + 1);
	snprintf(words->user_timeout, sizeof(words->user_timeout), "%lld",
	         (long long)host->number(host, "network-timeout"));
	add(words, "connect_timeout", words->connect_timeout);
	add(words, "tcp_user_timeout", words->user_timeout);
	add(words, "keepalives_idle", KEEPALIVE_IDLE);
	add(words, "keepalives_interval", KEEPALIVE_INTERVAL);
	add(words, "keepalives_count", KEEPALIVE_COUNT);
	add(words, "application_name", "bursar");
	if (mode == BURSAR_WRITE) {
		/* After a failover the standby is of no use to us. */
		add(words, "target_session_attrs", "read-write");
	}
}

/* The password of the option, which beats one of the conninfo.  False: it
 * cannot be one. */
static bool add_password(struct words *words, const struct bursar_host *host)
{
	const struct bursar_span secret = host->secret(host, "password");

	if (secret.data == NULL) {
		return true;
	}
	if (secret.size >= sizeof(words->password) ||
	    memchr(secret.data, '\0', secret.size) != NULL) {
		return false;
	}
	memcpy(words->password, secret.data, secret.size);
	words->password[secret.size] = '\0';
	add(words, "password", words->password);
	return true;
}

static void add_given(struct words *words, const PQconninfoOption *given)
{
	for (const PQconninfoOption *o = given; o->keyword != NULL; o++) {
		if (o->val != NULL &&
		    strcmp(o->keyword, "client_encoding") != 0) {
			add(words, o->keyword, o->val);
		}
	}
}

/* --- connecting ---------------------------------------------------------- */

/* False: it took too long, or there is no socket to wait for. */
static bool wait_poll(PGconn *conn, PostgresPollingStatusType what, int64_t end)
{
	struct pollfd fd = {
		.fd = PQsocket(conn),
		.events = what == PGRES_POLLING_READING ? POLLIN : POLLOUT,
	};
	int ready = -1;

	while (fd.fd >= 0 && monotonic_ms() < end) {
		ready = poll(&fd, 1, (int)(end - monotonic_ms()) + 1);
		if (ready > 0 || (ready < 0 && errno != EINTR)) {
			break;
		}
	}
	return ready > 0;
}

static bool establish(struct db *db, const struct words *words)
{
	const int64_t end = monotonic_ms() +
		db->host->number(db->host, "connect-timeout");
	PostgresPollingStatusType what = PGRES_POLLING_WRITING;

	db->conn = PQconnectStartParams(words->names, words->values, 0);
	if (db->conn == NULL) {
		return false;
	}
	PQsetErrorVerbosity(db->conn, PQERRORS_VERBOSE);
	while (PQstatus(db->conn) != CONNECTION_BAD &&
	       what != PGRES_POLLING_OK && what != PGRES_POLLING_FAILED) {
		if (!wait_poll(db->conn, what, end)) {
			return false;
		}
		what = PQconnectPoll(db->conn);
	}
	return PQstatus(db->conn) == CONNECTION_OK;
}

static bool is_state(const char *text)
{
	for (int i = 0; i < 5; i++) {
		if (!isdigit((unsigned char)text[i]) &&
		    !isupper((unsigned char)text[i])) {
			return false;
		}
	}
	return text[5] == ':' && text[6] == ' ';
}

/* The SQLSTATE in "FATAL:  28P01: password ...", and where the words begin. */
static const char *find_state(const char *message, char state[6])
{
	const char *words = message;

	state[0] = '\0';
	for (const char *at = strstr(message, ":  "); at != NULL;
	     at = strstr(at + 1, ":  ")) {
		if (is_state(at + 3)) {
			memcpy(state, at + 3, 5);
			state[5] = '\0';
			words = at + 10;
		}
	}
	return words;
}

static enum bursar_verdict fail_connect(struct db *db,
                                        struct bursar_error *err)
{
	const char *words = find_state(PQerrorMessage(db->conn), db->state);
	const char *advice = states_advice(db->state);
	const int size = (int)strcspn(words, "\n");

	if (PQconnectionNeedsPassword(db->conn)) {
		bursar_fail(err, EACCES, "%s: it wants a password: give "
		            "password-file", db->label);
		return BURSAR_CONFIG;
	}
	if (db->state[0] == '\0') {
		bursar_fail(err, ENOTCONN, "%s: cannot connect: %.*s",
		            db->label, size > 0 ? size : 17,
		            size > 0 ? words : "no answer in time");
		return BURSAR_DOWN;
	}
	if (advice != NULL) {
		bursar_fail(err, states_errno(db->state), "%s: %.*s (%s)",
		            db->label, size, words, advice);
	} else {
		bursar_fail(err, states_errno(db->state), "%s: %.*s", db->label,
		            size, words);
	}
	const enum bursar_verdict verdict = states_verdict(db->state, DB_OURS);
	return verdict == BURSAR_REJECT ? BURSAR_CONFIG : verdict;
}

static void set_label(struct db *db)
{
	const char *name = PQdb(db->conn);
	const char *host = PQhost(db->conn);

	snprintf(db->label, sizeof(db->label), "PostgreSQL %.40s at %.60s:%s",
	         name != NULL && name[0] != '\0' ? name : "(database of the "
	         "user's name)", host != NULL && host[0] != '\0' ? host
	         : "(local)", PQport(db->conn) != NULL ? PQport(db->conn) : "");
}

static bool is_name(const char *text)
{
	const size_t size = strspn(text, "abcdefghijklmnopqrstuvwxyz"
	                           "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

	return size > 0 && size < 64 && text[size] == '\0';
}

/* Checks what a person wrote; its password is in none of the sentences. */
static enum bursar_verdict check_options(const struct bursar_host *host,
                                         const PQconninfoOption *given,
                                         bool good_password,
                                         struct bursar_error *err)
{
	if (!is_name(host->text(host, "schema"))) {
		bursar_fail(err, EINVAL, "the name of the schema is to be of "
		            "letters, digits, _ and -");
	} else if (given == NULL) {
		bursar_fail(err, EINVAL, "conninfo is not understood: write "
		            "\"host=... dbname=... user=...\" or "
		            "\"postgresql://user@host/dbname\"");
	} else if (!good_password) {
		bursar_fail(err, EINVAL, "the password is longer than %d "
		            "bytes, or no text", MAX_PASSWORD - 1);
	} else {
		return BURSAR_DONE;
	}
	return BURSAR_CONFIG;
}

static enum bursar_verdict connect_to(struct db *db, enum bursar_mode mode,
                                      struct bursar_error *err)
{
	const struct bursar_host *host = db->host;
	struct words words = { 0 };
	PQconninfoOption *given = PQconninfoParse(host->text(host, "conninfo"),
	                                          NULL);
	const bool good_password = add_password(&words, host);
	enum bursar_verdict verdict = check_options(host, given, good_password,
	                                            err);
	bool connected = false;

	snprintf(db->label, sizeof(db->label), "PostgreSQL");
	if (verdict == BURSAR_DONE) {
		add_given(&words, given);
		add_defaults(&words, host, mode);
		connected = establish(db, &words);
	}
	explicit_bzero(&words, sizeof(words));
	PQconninfoFree(given);
	if (verdict != BURSAR_DONE) {
		return verdict;
	}
	if (db->conn == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return BURSAR_RETRY;
	}
	set_label(db);
	if (!connected) {
		return fail_connect(db, err);
	}
	PQsetErrorVerbosity(db->conn, PQERRORS_DEFAULT);
	return PQsetnonblocking(db->conn, 1) == 0 ? BURSAR_DONE
		: db_fail(db, NULL, DB_OURS, err);
}

/* --- the session --------------------------------------------------------- */

static void quiet(void *context, const PGresult *result)
{
	(void)context;
	(void)result;
}

static bool is_here(const PGconn *conn)
{
	const char *host = PQhost(conn);
	const char *address = PQhostaddr(conn);

	return host == NULL || host[0] == '\0' || host[0] == '/' ||
	       host[0] == '@' || (address != NULL &&
	       (strncmp(address, "127.", 4) == 0 ||
	        strcmp(address, "::1") == 0));
}

static void warn_of_no_tls(const struct db *db)
{
	if (!PQsslInUse(db->conn) && !is_here(db->conn)) {
		db->host->log(db->host, BURSAR_WARNING, "no-tls",
		              "host=%s cause=\"records go over the network in "
		              "clear: add sslmode=verify-full to conninfo\"",
		              PQhost(db->conn));
	}
}

static enum bursar_verdict check_server(const struct db *db,
                                        struct bursar_error *err)
{
	const char *encoding = PQparameterStatus(db->conn, "server_encoding");
	const int version = PQserverVersion(db->conn);

	if (version < OLDEST_SERVER) {
		bursar_fail(err, ENOTSUP, "%s: server version %d, and %d is "
		            "the oldest that will do", db->label,
		            version / 10000, OLDEST_SERVER / 10000);
		return BURSAR_CONFIG;
	}
	if (encoding == NULL || strcmp(encoding, "UTF8") != 0) {
		bursar_fail(err, ENOTSUP, "%s: the database has encoding %s: "
		            "make one with ENCODING 'UTF8'", db->label,
		            encoding != NULL ? encoding : "unknown");
		return BURSAR_CONFIG;
	}
	return BURSAR_DONE;
}

/*
 * A role or database that asks for more than `on` keeps it; one that asks for
 * less would have us acknowledge what a crash can undo.
 */
static const char durable[] =
	"SELECT set_config('synchronous_commit', 'on', false) WHERE "
	"current_setting('synchronous_commit') NOT IN ('on', 'remote_apply');";

/* The statements of the session; false: out of memory. */
static bool add_settings(struct db *db, struct text *sql)
{
	const struct bursar_host *host = db->host;
	const int64_t statement = host->number(host, "statement-timeout");
	const char *schema = host->text(host, "schema");
	char *quoted = PQescapeIdentifier(db->conn, schema, strlen(schema));

	if (quoted == NULL) {
		return false;
	}
	text_add(sql, "SET client_encoding = 'UTF8';"
	         "SET search_path = %s, pg_temp;"
	         "SET statement_timeout = %lld; SET lock_timeout = %lld;"
	         "SET idle_in_transaction_session_timeout = %lld;"
	         "SET client_min_messages = 'warning'; SET TimeZone = 'UTC';"
	         "SET DateStyle = 'ISO'; SET IntervalStyle = 'iso_8601';"
	         "SET bytea_output = 'hex'; SET extra_float_digits = 1;"
	         "SET row_security = off; SET jit = off;"
	         "SET plan_cache_mode = force_custom_plan;"
	         "SET default_transaction_isolation = 'read committed';"
	         "SET default_transaction_read_only = %s;", quoted,
	         (long long)statement,
	         (long long)host->number(host, "lock-timeout"),
	         (long long)(statement > 0 ? statement : 60000),
	         db->reader ? "on" : "off");
	PQfreemem(quoted);
	if (!db->reader) {
		text_add(sql, "%s", durable);
	}
	db->patience_ms = statement > 0 ? statement + GRACE_MS : 0;
	return !sql->failed;
}

/*
 * Settings and the stamp of the ledger in one way to the server and back.
 * Where there is no ledger the settings fail with the question, and have to be
 * made alone: false.
 */
static bool set_and_look(struct db *db, const struct text *settings)
{
	struct text sql = { 0 };
	struct bursar_error unheard = { 0 };
	PGresult *result = NULL;

	text_add(&sql, "%s " SCHEMA_ASK_STAMP, settings->data);
	const bool done = !sql.failed &&
		db_exec_rows(db, sql.data, &result, &unheard) == BURSAR_DONE;

	if (done && PQntuples(result) == 1 && !PQgetisnull(result, 0, 0)) {
		snprintf(db->stamp, sizeof(db->stamp), "%s",
		         PQgetvalue(result, 0, 0));
	}
	PQclear(result);
	text_finish(&sql);
	return done;
}

static enum bursar_verdict set_session(struct db *db,
                                       struct bursar_error *err)
{
	struct text sql = { 0 };

	if (!add_settings(db, &sql)) {
		text_finish(&sql);
		return db_fail(db, NULL, DB_OURS, err);
	}
	if (db->reader && set_and_look(db, &sql)) {
		text_finish(&sql);
		return BURSAR_DONE;
	}
	return db_exec_text(db, &sql, err);
}

enum bursar_verdict connect_open(struct db *db, enum bursar_mode mode,
                                 struct bursar_error *err)
{
	enum bursar_verdict verdict = connect_to(db, mode, err);

	db->reader = mode == BURSAR_READ;
	if (verdict == BURSAR_DONE) {
		PQsetNoticeReceiver(db->conn, quiet, NULL);
		verdict = check_server(db, err);
	}
	if (verdict == BURSAR_DONE) {
		verdict = set_session(db, err);
	}
	if (verdict == BURSAR_DONE) {
		warn_of_no_tls(db);
	}
	return verdict;
}
