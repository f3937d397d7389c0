/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The vault crypto, loaded as the daemon loads it, against tests/vault.py,
 * which plays Vault and refuses whatever Vault does not know.
 */
#include "config.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <check.h>

#include <bursar/crypto.h>

#include "common/monotonic.h"
#include "tests/fakehost.h"
#include "tests/folder.h"

#define SECRET \
	"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define OTHER_SECRET \
	"ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"
#define THIRD_SECRET \
	"0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0"
#define TOKEN "hvs.CAESIJtokenoftests"

/* A message under SECRET, made with another implementation. */
#define GCM_IV "AQIDBAUGBwgJCgsM"
#define GCM_BODY \
	"gcm:5mYqY7Jtx5WKefBfzSALfH26v/Yn/MlNoC0tHJf7i5khVL1IGHaD1hU/D+uP" \
	"lsD2VS/CQ133SktxFd9A+m4VJC94nhy9UFvpsBc3XlYxPhG830dZNCclgmoR27xk" \
	"IDPGV9urH9sKFg2pDyWZseALSdjoGedVqWG/7i1pEmWEwADSwDKT:" \
	"iZ7/hbDqfjfuo4mEo06ddw=="

/* The same in the legacy scheme. */
#define CBC_IV "EBESExQVFhcYGRobHB0eHw=="
#define CBC_BODY \
	"palpXIxp7dyyAxrZrDF3GR8UYM5kYsAZV5zbaDJUoUdpcOkoXe/usoob87RQ" \
	"zUJ1JR2XjZX/Mg+ReR9dBu0k9rNU7E6HmS9w+fPGArTukhF1P+H9Nm8iSSWq" \
	"K2qLDJUTO6lgieKfD6vfrFaDC9hZHMePv+Ktnl1blP9FTsT1FKe/QkBQZC0h" \
	"Q+fhOXc+GXQy"

static const char golden[] =
	"{\"message_context\":{\"conversation_id\":\"conv_1\","
	"\"request_id\":\"req_1\"},\"routing\":{\"provider\":\"anthropic\","
	"\"model\":\"claude-sonnet-4-6\"}}";

struct server {
	pid_t pid;
	int   in;		/* it serves until this ends */
	int   port;
};

static const struct bursar_crypto_ops *ops;
static const struct bursar_plugin *plugin;
static struct fakehost host;
static struct fakearena arena;
static struct bursar_crypto *crypto;
static struct bursar_error err;
static struct server vault;
static char folder[FOLDER_SIZE];
static char answer[1 << 18];

/*
 * --- the server
 */

static void run_server(int in, int out, const char *tls)
{
	char path[4096];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	snprintf(path, sizeof(path), "%s/tests/vault.py",
	         getenv("top_srcdir") ? getenv("top_srcdir") : ".");
	execlp("python3", "python3", path, tls ? "--tls" : NULL, tls,
	       (char *)NULL);
	_exit(127);
}

static void server_start(struct server *server, const char *tls)
{
	int in[2];
	int out[2];

	if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0 ||
	    (server->pid = fork()) < 0) {
		abort();
	}
	if (server->pid == 0) {
		run_server(in[0], out[1], tls);
	}
	close(in[0]);
	close(out[1]);
	server->in = in[1];
	FILE *words = fdopen(out[0], "r");
	if (words == NULL || fscanf(words, "%d", &server->port) != 1) {
		abort();
	}
	fclose(words);
}

static void server_stop(struct server *server)
{
	if (server->pid > 0) {
		close(server->in);
		kill(server->pid, SIGKILL);
		waitpid(server->pid, NULL, 0);
		server->pid = 0;
	}
}

/* Asks /control of the server; its answer stands in answer[]. */
static void ask(const struct server *server, const char *method,
                const char *body)
{
	const struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)server->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	char request[8192];
	size_t size = 0;
	ssize_t got;
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(connect(fd, (const struct sockaddr *)&address,
	                         sizeof(address)), 0);
	const int length = snprintf(request, sizeof(request),
		"%s /control HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
		"Content-Length: %zu\r\n\r\n%s", method, strlen(body), body);
	ck_assert_int_lt(length, (int)sizeof(request));
	ck_assert_int_eq(write(fd, request, (size_t)length), length);
	while ((got = read(fd, answer + size, sizeof(answer) - 1 - size)) > 0) {
		size += (size_t)got;
	}
	answer[size] = '\0';
	close(fd);
	explicit_bzero(request, sizeof(request));
	ck_assert_msg(strstr(answer, " 200 ") != NULL, "%s: %s", body, answer);
}

static void control(const char *body)
{
	ask(&vault, "POST", body);
}

/* How often the server was asked, by the beginning of "GET PATH STATUS". */
static unsigned asked_of(const struct server *server, const char *begin)
{
	char word[256];
	unsigned count = 0;

	ask(server, "GET", "");
	snprintf(word, sizeof(word), "\"%s", begin);
	for (const char *at = answer; (at = strstr(at, word)) != NULL; at++) {
		count++;
	}
	return count;
}

static unsigned asked(const char *begin)
{
	return asked_of(&vault, begin);
}

static void assert_faithful(const struct server *server)
{
	ask(server, "GET", "");
	ck_assert_msg(strstr(answer, "\"unfaithful\": []") != NULL, "%s",
	              answer);
}

/*
 * --- surroundings
 */

static const char *in_folder(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static void write_token(const char *token)
{
	const int fd = open(in_folder("new"), O_WRONLY | O_CREAT | O_TRUNC,
	                    0600);
	char old[256];

	dprintf(fd, "%s\n", token);
	close(fd);
	snprintf(old, sizeof(old), "%s", in_folder("new"));
	ck_assert_int_eq(rename(old, in_folder("token")), 0);
}

static void use_server(const struct server *server, const char *scheme)
{
	char address[64];

	snprintf(address, sizeof(address), "%s://127.0.0.1:%d", scheme,
	         server->port);
	fakehost_set(&host, "address", address);
}

static void setup(void)
{
	plugin = fakehost_load("crypto", "vault");
	ops = plugin->ops.crypto;
	memset(&err, 0, sizeof(err));
	fakehost_init(&host, NULL);
	fakehost_declare(&host, plugin->options);
	fakearena_init(&arena);
	crypto = NULL;
	folder_make(folder);
	control("{\"reset\":true,\"engine\":{\"legion\":2},"
	        "\"secret\":{\"legion/crypt\":{\"cluster_secret\":\"" SECRET
	        "\"}},\"token\":{\"" TOKEN "\":{}},\"transit\":[\"audit\"]}");
	write_token(TOKEN);
	use_server(&vault, "http");
	fakehost_set(&host, "token-file", in_folder("token"));
	fakehost_set(&host, "retry", "2s");
}

static void teardown(void)
{
	ops->close(crypto);
	assert_faithful(&vault);
	fakearena_clear(&arena);
	fakehost_finish(&host);
	folder_remove(folder);
}

static void open_it(void)
{
	ops->close(crypto);
	crypto = ops->open(&host.host, &err);
	ck_assert_msg(crypto != NULL, "%s", err.text);
}

static void pause_ms(long ms)
{
	const struct timespec time = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&time, NULL);
}

static struct bursar_span span(const char *text)
{
	return (struct bursar_span){ text, text ? strlen(text) : 0 };
}

/* One tick; whether it is usable, and in how many us it wants the next. */
static bool tick(int64_t *next)
{
	bool usable = false;
	const int64_t at = ops->tick(crypto, &usable);

	if (next != NULL) {
		*next = at - monotonic_us();
	}
	return usable;
}

/* Ticks as the core does, until it is usable or not. */
static bool ticks_until(bool usable, int64_t ms)
{
	const int64_t end = monotonic_us() + ms * 1000;

	while (tick(NULL) != usable) {
		if (monotonic_us() > end) {
			return false;
		}
		pause_ms(10);
	}
	return true;
}

static enum bursar_verdict unseal(struct bursar_sealed *item,
                                  struct bursar_message *message)
{
	memset(&err, 0, sizeof(err));
	*item = (struct bursar_sealed){ .message = message };
	return ops->unseal(crypto, item, 1, &arena.arena, &err);
}

/* What becomes of the golden message. */
static enum bursar_verdict unseal_golden(void)
{
	struct bursar_header iv = { span("iv"), span(GCM_IV) };
	struct bursar_message message = {
		.body = span(GCM_BODY), .headers = &iv, .header_count = 1,
		.content_encoding = span("encrypted/cs"),
	};
	struct bursar_sealed item;
	const enum bursar_verdict verdict = unseal(&item, &message);

	if (verdict == BURSAR_DONE) {
		ck_assert_int_eq(item.result, BURSAR_OPENED);
		ck_assert_uint_eq(item.plain.size, strlen(golden));
		ck_assert_mem_eq(item.plain.data, golden, item.plain.size);
	}
	return verdict;
}

static struct bursar_seal seal(const char *plain)
{
	struct bursar_seal out = { 0 };

	memset(&err, 0, sizeof(err));
	const enum bursar_verdict verdict =
		ops->seal(crypto, span(plain), &out, &arena.arena, &err);
	ck_assert_msg(verdict == BURSAR_DONE, "%d: %s", verdict, err.text);
	return out;
}

static struct bursar_message message_of(const struct bursar_seal *made)
{
	return (struct bursar_message){
		.body = made->body, .headers = made->headers,
		.header_count = made->header_count,
		.content_encoding = span(made->encoding),
	};
}

static enum bursar_unsealed result_of(const struct bursar_seal *made)
{
	struct bursar_message message = message_of(made);
	struct bursar_sealed item;

	ck_assert_int_eq(unseal(&item, &message), BURSAR_DONE);
	return item.result;
}

static void assert_why(enum bursar_verdict verdict, enum bursar_verdict want,
                       const char *word)
{
	ck_assert_int_eq(verdict, want);
	ck_assert_int_ne(err.code, 0);
	ck_assert_msg(strstr(err.text, word) != NULL, "'%s' says no '%s'",
	              err.text, word);
}

/*
 * --- secrets
 */

START_TEST(opens_under_the_secret_of_kv_2)
{
	open_it();

	ck_assert_int_eq(unseal_golden(), BURSAR_DONE);
	ck_assert_int_eq(unseal_golden(), BURSAR_DONE);
	ck_assert_uint_eq(asked("GET legion/data/crypt "), 1);
	ck_assert_uint_eq(asked("GET sys/internal/ui/mounts/"), 1);
}
END_TEST

START_TEST(opens_under_the_secret_of_kv_1)
{
	control("{\"engine\":{\"legionold\":1},\"secret\":{"
	        "\"legionold/a/b c\":{\"key\":\"" SECRET "\"}}}");
	fakehost_set(&host, "mount", "legionold");
	fakehost_set(&host, "path", "a/b c");
	fakehost_set(&host, "field", "key");
	fakehost_set(&host, "refresh", "100ms");
	open_it();
	ck_assert_int_eq(unseal_golden(), BURSAR_DONE);

	/* It has one value; the one before is remembered. */
	control("{\"secret\":{\"legionold/a/b c\":{\"key\":\"" OTHER_SECRET
	        "\"}}}");
	pause_ms(150);
	ck_assert(tick(NULL));
	ck_assert_int_eq(unseal_golden(), BURSAR_DONE);
	ck_assert_uint_eq(fakehost_logged(&host, "vault-secret-changed"), 1);
	ck_assert_int_eq(fakehost_figure(&host, "older_key_messages_total"), 1);
}
END_TEST

START_TEST(asks_for_no_mount_where_the_version_is_said)
{
	fakehost_set(&host, "kv-version", "2");
	open_it();

	ck_assert_int_eq(unseal_golden(), BURSAR_DONE);
	ck_assert_uint_eq(asked("GET sys/"), 0);
}
END_TEST

START_TEST(names_the_namespace)
{
	control("{\"namespace\":\"team/a\"}");
	fakehost_set(&host, "namespace", "team/a");
	open_it();

	ck_assert_int_eq(unseal_golden(), BURSAR_DONE);
}
END_TEST

START_TEST(older_versions_open_and_the_newest_seals)
{
	open_it();
	const struct bursar_seal old = seal(golden);
	control("{\"secret\":{\"legion/crypt\":{\"cluster_secret\":\""
	        OTHER_SECRET "\"}}}");
	open_it();
	const struct bursar_seal new = seal(golden);

	ck_assert_uint_eq(old.key_id.size, 16);
	ck_assert_mem_ne(old.key_id.data, new.key_id.data, 16);
	ck_assert_int_eq(unseal_golden(), BURSAR_DONE);
	ck_assert_int_eq(result_of(&old), BURSAR_OPENED);
	ck_assert_int_eq(result_of(&new), BURSAR_OPENED);
	fakehost_set(&host, "versions", "1");
	open_it();
	ck_assert_int_eq(result_of(&new), BURSAR_OPENED);
	ck_assert_int_eq(result_of(&old), BURSAR_BROKEN);
}
END_TEST

START_TEST(a_new_secret_is_found_by_refreshing)
{
	fakehost_set(&host, "refresh", "200ms");
	open_it();
	ck_assert_int_eq(unseal_golden(), BURSAR_DONE);
	control("{\"secret\":{\"legion/crypt\":{\"cluster_secret\":\""
	        OTHER_SECRET "\"}}}");
	pause_ms(300);
	ck_assert(tick(NULL));

	ck_assert_uint_eq(fakehost_logged(&host, "vault-secret-changed"), 1);
	ck_assert_int_eq(unseal_golden(), BURSAR_DONE);
	/* The older version was known. */
	ck_assert_uint_eq(asked("GET legion/data/crypt?version="), 0);
}
END_TEST

START_TEST(a_new_secret_is_found_when_a_message_does_not_open)
{
	control("{\"secret\":{\"legion/crypt\":{\"cluster_secret\":\""
	        OTHER_SECRET "\"}}}");
	open_it();
	const struct bursar_seal made = seal(golden);
	control("{\"forget\":[\"legion/crypt\",2],\"secret\":{"
	        "\"legion/crypt\":{\"cluster_secret\":\"" THIRD_SECRET
	        "\"}}}");
	open_it();
	ck_assert_int_eq(result_of(&made), BURSAR_BROKEN);
	control("{\"secret\":{\"legion/crypt\":{\"cluster_secret\":\""
	        OTHER_SECRET "\"}}}");
	pause_ms(1100);

	ck_assert_int_eq(result_of(&made), BURSAR_OPENED);
}
END_TEST

START_TEST(tries_no_legacy_message_of_who_must_prove_himself)
{
	struct bursar_header iv = { span("iv"), span(CBC_IV) };
	struct bursar_message message = {
		.body = span(CBC_BODY), .headers = &iv, .header_count = 1,
		.content_encoding = span("encrypted/cs"),
	};
	struct bursar_sealed item = { .message = &message, .proven = true };

	open_it();
	ck_assert_int_eq(ops->unseal(crypto, &item, 1, &arena.arena, &err),
	                 BURSAR_DONE);
	ck_assert_int_eq(item.result, BURSAR_BROKEN);
	ck_assert_int_eq(fakehost_figure(&host, "legacy_messages_total"), 0);
	ck_assert_int_eq(unseal(&item, &message), BURSAR_DONE);
	ck_assert_int_eq(item.result, BURSAR_OPENED);
	ck_assert_int_eq(fakehost_figure(&host, "legacy_messages_total"), 1);
}
END_TEST

START_TEST(broken_messages_do_not_make_it_ask_again_and_again)
{
	struct bursar_message junk = {
		.body = span("gcm:AAAA:AAAA"),
		.content_encoding = span("encrypted/cs"),
	};
	struct bursar_sealed item;

	open_it();
	const int64_t begun = monotonic_us();
	for (int i = 0; i < 200; i++) {
		ck_assert_int_eq(unseal(&item, &junk), BURSAR_DONE);
		ck_assert_int_eq(item.result, BURSAR_BROKEN);
	}
	ck_assert_int_le(asked("GET legion/data/crypt "),
	                 2 + (monotonic_us() - begun) / 1000000);
}
END_TEST

START_TEST(skips_versions_that_were_deleted)
{
	control("{\"secret\":{\"legion/crypt\":{\"cluster_secret\":\""
	        OTHER_SECRET "\"}}}");
	control("{\"secret\":{\"legion/crypt\":{\"cluster_secret\":\""
	        THIRD_SECRET "\"}}, \"delete\":[\"legion/crypt\",2]}");
	open_it();

	ck_assert_int_eq(unseal_golden(), BURSAR_DONE);
	ck_assert_uint_eq(asked("GET legion/data/crypt?version=2 404"), 1);
	ck_assert_uint_eq(asked("GET legion/data/crypt?version=1 200"), 1);
}
END_TEST

START_TEST(asks_for_nothing_before_versions_that_are_gone)
{
	for (int i = 0; i < 6; i++) {
		control("{\"secret\":{\"legion/crypt\":{\"cluster_secret\":\""
		        SECRET "\"}}}");
	}
	control("{\"forget\":[\"legion/crypt\",5]}");
	open_it();

	ck_assert_int_eq(unseal_golden(), BURSAR_DONE);
	ck_assert_uint_eq(asked("GET legion/data/crypt?version="), 2);
}
END_TEST

START_TEST(a_deleted_version_is_told_from_a_wrong_path)
{
	control("{\"delete\":[\"legion/crypt\",1]}");
	open_it();
	assert_why(unseal_golden(), BURSAR_CONFIG, "was deleted: undelete it");

	fakehost_set(&host, "path", "nowhere");
	open_it();
	assert_why(unseal_golden(), BURSAR_CONFIG, "look at mount and path");
	ck_assert_uint_eq(fakehost_logged(&host, "vault-missing"), 2);

	control("{\"undelete\":[\"legion/crypt\",1]}");
	fakehost_set(&host, "path", NULL);
	open_it();
	ck_assert_int_eq(unseal_golden(), BURSAR_DONE);
}
END_TEST

static const struct {
	const char *secret;
	const char *says;
} no_secrets[] = {
	{ "{\"other\":\"" SECRET "\"}", "no field 'cluster_secret'" },
	{ "{\"cluster_secret\":\"0011\"}", "64 hex digits" },
	{ "{\"cluster_secret\":\"" SECRET " \"}", "64 hex digits" },
	{ "{\"cluster_secret\":7}", "64 hex digits" },
	{ "{\"cluster_secret\":null}", "64 hex digits" },
	{ "{\"cluster_secret\":\"\\\"\"}", "64 hex digits" },
	{ "{}", "no field" },
};

START_TEST(says_what_is_wrong_with_a_secret_and_makes_none_up)
{
	char body[512];

	snprintf(body, sizeof(body), "{\"secret\":{\"legion/crypt\":%s}}",
	         no_secrets[_i].secret);
	control(body);
	open_it();
	assert_why(unseal_golden(), BURSAR_CONFIG, no_secrets[_i].says);
	ck_assert_ptr_null(strstr(err.text, "0011"));
	ck_assert(!tick(NULL));
}
END_TEST

/*
 * --- what Vault may be like
 */

static const struct {
	const char *fault;
	const char *event;
	enum bursar_verdict verdict;
} faults[] = {
	{ "sealed", "vault-sealed", BURSAR_RETRY },
	{ "standby", "vault-standby", BURSAR_RETRY },
	{ "recovery", "vault-standby", BURSAR_RETRY },
	{ "unreachable", "vault-standby", BURSAR_RETRY },
	{ "late", "vault-standby", BURSAR_RETRY },
	{ "busy", "vault-busy", BURSAR_RETRY },
	{ "broken", "vault-away", BURSAR_RETRY },
	{ "gateway", "vault-away", BURSAR_RETRY },
	{ "away", "vault-away", BURSAR_RETRY },
	{ "cut", "vault-away", BURSAR_RETRY },
	{ "junk", "vault-away", BURSAR_RETRY },
	{ "huge", "vault-away", BURSAR_RETRY },
	{ "slow", "vault-away", BURSAR_RETRY },
	{ "denied", "vault-denied", BURSAR_CONFIG },
	{ "uninitialised", "vault-refused", BURSAR_CONFIG },
};

START_TEST(says_once_what_vault_is_like_and_goes_on_by_itself)
{
	char body[128];
	int64_t next;

	fakehost_set(&host, "timeout", "500ms");
	fakehost_set(&host, "retry", "300ms");
	snprintf(body, sizeof(body), "{\"fault\":\"%s\"}", faults[_i].fault);
	control(body);
	open_it();

	for (int i = 0; i < 60; i++) {
		ck_assert_int_eq(unseal_golden(), faults[_i].verdict);
		ck_assert_int_ne(err.code, 0);
		ck_assert(!tick(&next));
		ck_assert_int_gt(next, 0);
		pause_ms(5);
	}
	ck_assert_uint_eq(fakehost_logged(&host, faults[_i].event), 1);
	ck_assert_uint_eq(fakehost_logged(&host, "vault-ready"), 0);

	control("{\"fault\":null}");
	ck_assert(ticks_until(true, 20000));
	ck_assert_int_eq(unseal_golden(), BURSAR_DONE);
	ck_assert_uint_eq(fakehost_logged(&host, "vault-ready"), 1);
}
END_TEST

START_TEST(waits_longer_and_longer_whoever_asks)
{
	fakehost_set(&host, "retry", "30s");
	control("{\"fault\":\"sealed\"}");
	open_it();
	const int64_t begun = monotonic_us();

	for (int i = 0; i < 300; i++) {
		ck_assert_int_eq(unseal_golden(), BURSAR_RETRY);
		ck_assert(!tick(NULL));
		pause_ms(5);
	}
	/* 0.3 s and more after each of them. */
	const int64_t most = 1 + (monotonic_us() - begun) / 300000;
	ck_assert_uint_ge(asked("GET "), 1);
	ck_assert_int_le(asked("GET "), most);
}
END_TEST

START_TEST(waits_as_long_as_vault_asks_for)
{
	int64_t next;

	control("{\"fault\":\"busy\",\"fault_value\":7}");
	open_it();
	ck_assert(!tick(&next));

	ck_assert_int_ge(next, 6900000);
	ck_assert_int_le(next, 8000000);
}
END_TEST

START_TEST(takes_no_longer_than_its_timeout)
{
	fakehost_set(&host, "timeout", "300ms");
	control("{\"fault\":\"slow\"}");
	open_it();
	const int64_t begun = monotonic_us();
	assert_why(unseal_golden(), BURSAR_RETRY, "imeout");

	ck_assert_int_lt(monotonic_us() - begun, 5000000);
}
END_TEST

START_TEST(a_vault_that_is_not_there_is_away)
{
	fakehost_set(&host, "address", "http://127.0.0.1:1");
	open_it();

	ck_assert_int_eq(unseal_golden(), BURSAR_RETRY);
	ck_assert_uint_eq(fakehost_logged(&host, "vault-away"), 1);
}
END_TEST

START_TEST(a_secret_is_used_while_vault_is_away_until_it_is_too_old)
{
	fakehost_set(&host, "refresh", "100ms");
	fakehost_set(&host, "max-age", "2s");
	fakehost_set(&host, "retry", "200ms");
	open_it();
	ck_assert_int_eq(unseal_golden(), BURSAR_DONE);
	control("{\"fault\":\"sealed\"}");
	pause_ms(200);
	ck_assert(tick(NULL));
	ck_assert_uint_eq(fakehost_logged(&host, "vault-sealed"), 1);
	ck_assert_int_eq(unseal_golden(), BURSAR_DONE);

	ck_assert(ticks_until(false, 10000));
	ck_assert_int_eq(unseal_golden(), BURSAR_RETRY);
	ck_assert(!tick(NULL));
	ck_assert_uint_eq(fakehost_logged(&host, "vault-secret-stale"), 1);

	control("{\"fault\":null}");
	ck_assert(ticks_until(true, 20000));
	ck_assert_int_eq(unseal_golden(), BURSAR_DONE);
	ck_assert_uint_eq(fakehost_logged(&host, "vault-secret-changed"), 0);
}
END_TEST

START_TEST(an_answer_without_a_secret_is_no_secret)
{
	control("{\"fault\":\"empty\",\"fault_path\":\"legion\"}");
	open_it();

	ck_assert_int_eq(unseal_golden(), BURSAR_CONFIG);
}
END_TEST

/*
 * --- tokens
 */

START_TEST(a_token_that_may_not_is_a_matter_for_a_person)
{
	control("{\"token\":{\"" TOKEN "\":{\"may\":[\"elsewhere\"]}}}");
	fakehost_set(&host, "retry", "200ms");
	open_it();
	assert_why(unseal_golden(), BURSAR_CONFIG,
	           "give the token's policy read on legion/data/crypt");
	ck_assert_uint_eq(fakehost_logged(&host, "vault-denied"), 1);

	control("{\"token\":{\"" TOKEN "\":{\"may\":[\"legion/data\"]}}}");
	ck_assert(ticks_until(true, 20000));
	ck_assert_int_eq(unseal_golden(), BURSAR_DONE);
}
END_TEST

START_TEST(a_token_file_is_read_again_when_it_changes)
{
	fakehost_set(&host, "refresh", "100ms");
	open_it();
	ck_assert_int_eq(unseal_golden(), BURSAR_DONE);
	control("{\"revoke\":[\"" TOKEN "\"],\"token\":{\"hvs.another\":{}}}");
	write_token("  hvs.another  ");
	pause_ms(150);
	ck_assert(tick(NULL));

	ck_assert_uint_eq(fakehost_logged(&host, "vault-denied"), 0);
	ck_assert_uint_eq(asked("GET auth/token/lookup-self 200"), 2);
}
END_TEST

START_TEST(a_token_file_may_come_later)
{
	fakehost_set(&host, "retry", "100ms");
	ck_assert_int_eq(unlink(in_folder("token")), 0);
	open_it();
	assert_why(unseal_golden(), BURSAR_CONFIG, "No such file");
	write_token(TOKEN);

	ck_assert(ticks_until(true, 20000));
	ck_assert_int_eq(unseal_golden(), BURSAR_DONE);
}
END_TEST

START_TEST(a_token_file_that_others_can_read_is_refused)
{
	ck_assert_int_eq(chmod(in_folder("token"), 0640), 0);
	crypto = ops->open(&host.host, &err);

	ck_assert_ptr_null(crypto);
	ck_assert_ptr_nonnull(strstr(err.text, "chmod 600"));
}
END_TEST

START_TEST(a_client_key_that_others_can_read_is_refused)
{
	fakehost_set(&host, "client-key", in_folder("token"));
	ck_assert_int_eq(chmod(in_folder("token"), 0604), 0);
	fakehost_set(&host, "token-file", NULL);
	crypto = ops->open(&host.host, &err);

	ck_assert_ptr_null(crypto);
	ck_assert_ptr_nonnull(strstr(err.text, "client-key "));
	ck_assert_ptr_nonnull(strstr(err.text, "chmod 600"));
}
END_TEST

START_TEST(a_token_is_renewed_before_it_ends)
{
	control("{\"token\":{\"" TOKEN "\":{\"ttl\":2,\"renewable\":true}}}");
	open_it();
	const int64_t begun = monotonic_us();
	for (int i = 0; i < 300; i++) {
		ck_assert(tick(NULL));
		pause_ms(10);
	}

	ck_assert_uint_ge(asked("POST auth/token/renew-self 200"), 2);
	ck_assert_int_le(asked("POST auth/token/renew-self 200"),
	                 1 + (monotonic_us() - begun) / 1000000);
	ck_assert_uint_eq(fakehost_logged(&host, "vault-denied"), 0);
}
END_TEST

START_TEST(a_token_that_cannot_be_renewed_is_announced_to_end)
{
	control("{\"token\":{\"" TOKEN "\":{\"ttl\":2,\"renewable\":false}}}");
	open_it();
	for (int i = 0; i < 160; i++) {
		tick(NULL);
		pause_ms(10);
	}

	ck_assert_uint_eq(fakehost_logged(&host, "vault-token-ends"), 1);
	ck_assert_uint_eq(asked("POST auth/token/renew-self"), 0);
}
END_TEST

static void use_role(const char *more)
{
	char body[256];

	snprintf(body, sizeof(body), "{\"role\":{\"id\":\"r\\\"1\",\"secret\":"
	         "\"s-1\"%s}}", more);
	control(body);
	fakehost_set(&host, "token-file", NULL);
	fakehost_set(&host, "role-id", "r\"1");
	fakehost_set(&host, "secret-id", "s-1\n");
	open_it();
}

START_TEST(logs_in_by_approle)
{
	use_role("");

	ck_assert_int_eq(unseal_golden(), BURSAR_DONE);
	ck_assert_int_eq(unseal_golden(), BURSAR_DONE);
	ck_assert_uint_eq(asked("POST auth/approle/login 200"), 1);
}
END_TEST

START_TEST(logs_in_again_when_the_token_was_revoked)
{
	fakehost_set(&host, "refresh", "100ms");
	use_role("");
	ck_assert_int_eq(unseal_golden(), BURSAR_DONE);
	control("{\"revoke\":\"all\"}");
	pause_ms(150);

	ck_assert(tick(NULL));
	ck_assert_uint_eq(fakehost_logged(&host, "vault-denied"), 0);
	ck_assert_uint_eq(asked("POST auth/approle/login 200"), 2);
}
END_TEST

START_TEST(logs_in_again_once_and_then_asks_for_a_person)
{
	fakehost_set(&host, "retry", "10s");
	use_role(",\"may\":[\"elsewhere\"]");

	for (int i = 0; i < 20; i++) {
		assert_why(unseal_golden(), BURSAR_CONFIG, "policy read");
		ck_assert(!tick(NULL));
	}
	ck_assert_uint_eq(asked("POST auth/approle/login"), 2);
}
END_TEST

START_TEST(logs_in_again_when_a_renewal_brings_little)
{
	fakehost_set(&host, "refresh", "100ms");
	use_role(",\"ttl\":2,\"max\":3");
	const int64_t begun = monotonic_us();
	for (int i = 0; i < 350; i++) {
		ck_assert(tick(NULL));
		pause_ms(10);
	}

	ck_assert_uint_ge(asked("POST auth/approle/login 200"), 2);
	ck_assert_int_le(asked("POST auth/approle/login 200"),
	                 1 + (monotonic_us() - begun) / 1000000);
	ck_assert_uint_eq(fakehost_logged(&host, "vault-denied"), 0);
}
END_TEST

START_TEST(a_login_that_is_refused_is_a_matter_for_a_person)
{
	fakehost_set(&host, "token-file", NULL);
	fakehost_set(&host, "role-id", "nobody");
	fakehost_set(&host, "secret-id", "s-1");
	open_it();

	assert_why(unseal_golden(), BURSAR_CONFIG, "secret-id");
	ck_assert_ptr_null(strstr(err.text, "s-1"));
	ck_assert_uint_eq(fakehost_logged(&host, "vault-denied"), 1);
}
END_TEST

/*
 * --- the way to it
 */

START_TEST(a_redirect_is_followed_only_where_that_is_allowed)
{
	struct server active;
	char body[256];
	char name[64];

	server_start(&active, NULL);
	ask(&active, "POST", "{\"engine\":{\"legion\":2},"
	    "\"secret\":{\"legion/crypt\":{\"cluster_secret\":\"" SECRET
	    "\"}},\"token\":{\"" TOKEN "\":{}}}");
	snprintf(body, sizeof(body), "{\"fault\":\"redirect\","
	         "\"fault_value\":\"http://127.0.0.1:%d\"}", active.port);
	control(body);
	fakehost_set(&host, "redirect-hosts", "127.0.0.2,127.0.0.1:1");
	open_it();
	assert_why(unseal_golden(), BURSAR_CONFIG, "redirect-hosts");
	ck_assert_uint_eq(asked_of(&active, "GET "), 0);
	ck_assert_uint_eq(fakehost_logged(&host, "vault-refused"), 1);

	snprintf(name, sizeof(name), "elsewhere,127.0.0.1:%d", active.port);
	fakehost_set(&host, "redirect-hosts", name);
	open_it();
	ck_assert_int_eq(unseal_golden(), BURSAR_DONE);
	ck_assert_uint_ge(asked_of(&active, "GET legion/data/crypt 200"), 1);
	assert_faithful(&active);
	server_stop(&active);
}
END_TEST

START_TEST(a_redirect_to_itself_ends)
{
	char body[256];

	snprintf(body, sizeof(body), "{\"fault\":\"redirect\","
	         "\"fault_value\":\"http://127.0.0.1:%d\"}", vault.port);
	control(body);
	fakehost_set(&host, "redirect-hosts", "127.0.0.1");
	open_it();

	ck_assert_int_eq(unseal_golden(), BURSAR_CONFIG);
	ck_assert_uint_eq(asked("GET "), 2);
}
END_TEST

START_TEST(certificates_are_checked)
{
	struct server secure;

	server_start(&secure, folder);
	use_server(&secure, "https");
	open_it();
	assert_why(unseal_golden(), BURSAR_CONFIG, "ca-file");
	ck_assert_uint_eq(fakehost_logged(&host, "vault-refused"), 1);

	/* It knows nothing, so that it denies: but it is spoken with. */
	fakehost_set(&host, "ca-file", in_folder("ca.pem"));
	open_it();
	assert_why(unseal_golden(), BURSAR_CONFIG, "HTTP status 403");
	server_stop(&secure);
}
END_TEST

START_TEST(asks_no_proxy_of_the_environment)
{
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	open_it();

	ck_assert_int_eq(unseal_golden(), BURSAR_DONE);
}
END_TEST

START_TEST(warns_of_an_address_without_tls)
{
	open_it();
	ck_assert_uint_eq(fakehost_logged(&host, "no-tls"), 0);
	fakehost_set(&host, "address", "http://vault.example.com:8200");
	open_it();
	ck_assert_uint_eq(fakehost_logged(&host, "no-tls"), 1);
}
END_TEST

static const struct {
	const char *option;
	const char *value;
	const char *says;
} wrong[] = {
	{ "address", "vault:8200", "address" },
	{ "address", "ftp://vault", "address" },
	{ "address", "https://user:pass@vault", "address" },
	{ "address", "https://vault/?x=y", "address" },
	{ "address", "https://", "address" },
	{ "namespace", "a b", "namespace" },
	{ "namespace", "a\r\nX-Evil: 1", "namespace" },
	{ "mount", "/legion", "mount" },
	{ "mount", "legion/", "mount" },
	{ "mount", "a/../b", "mount" },
	{ "path", "", "path" },
	{ "token-file", "", "token-file" },
	{ "role-id", "both", "token-file" },
	{ "mode", "transit", "key" },
};

START_TEST(says_which_option_is_wrong)
{
	fakehost_set(&host, wrong[_i].option, wrong[_i].value);
	crypto = ops->open(&host.host, &err);

	ck_assert_ptr_null(crypto);
	ck_assert_msg(strstr(err.text, wrong[_i].says) != NULL, "%s",
	              err.text);
	ck_assert_ptr_null(strstr(err.text, "user:"));
}
END_TEST

/*
 * --- transit
 */

static void open_transit(void)
{
	fakehost_set(&host, "mode", "transit");
	fakehost_set(&host, "key", "audit");
	open_it();
}

START_TEST(transit_opens_what_it_sealed)
{
	open_transit();
	const struct bursar_seal made = seal(golden);
	struct bursar_message message = message_of(&made);
	struct bursar_sealed item;

	ck_assert_str_eq(made.encoding, "encrypted/transit");
	ck_assert_int_eq(strncmp(made.body.data, "vault:v1:", 9), 0);
	ck_assert_int_eq(unseal(&item, &message), BURSAR_DONE);
	ck_assert_int_eq(item.result, BURSAR_OPENED);
	ck_assert_uint_eq(item.plain.size, strlen(golden));
	ck_assert_mem_eq(item.plain.data, golden, item.plain.size);
}
END_TEST

START_TEST(transit_opens_what_older_keys_sealed)
{
	open_transit();
	const struct bursar_seal old = seal(golden);
	control("{\"transit\":[\"audit\"]}");
	const struct bursar_seal new = seal(golden);

	ck_assert_int_eq(strncmp(new.body.data, "vault:v2:", 9), 0);
	ck_assert_uint_eq(new.key_id.size, 8);
	ck_assert_mem_eq(old.key_id.data, "audit:v1", 8);
	ck_assert_mem_eq(new.key_id.data, "audit:v2", 8);
	ck_assert_int_eq(result_of(&old), BURSAR_OPENED);
	ck_assert_int_eq(result_of(&new), BURSAR_OPENED);
}
END_TEST

static const char *const broken[] = {
	"", "vault", "vault:v1:", "vault:v:AAAA", "vault:v1", "vault:v1:A\"",
	"vault:v9:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
	"vault:v99999999999:AAAA", "VAULT:v1:AAAA", "vault:v1:AA\nA",
	"vault:v1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
};

START_TEST(transit_opens_the_good_among_bad_in_one_request)
{
	struct bursar_message messages[23];
	struct bursar_sealed items[1500] = { { 0 } };

	open_transit();
	for (size_t i = 0; i < 23; i++) {
		if (i % 2 == 0) {
			const struct bursar_seal made = seal(golden);

			messages[i] = message_of(&made);
		} else {
			messages[i] = (struct bursar_message){
				.body = span(broken[i / 2]),
				.content_encoding = span("encrypted/transit"),
			};
		}
	}
	for (size_t i = 0; i < 1500; i++) {
		items[i].message = &messages[i % 23];
	}
	ck_assert_int_eq(ops->unseal(crypto, items, 1500, &arena.arena, &err),
	                 BURSAR_DONE);
	for (size_t i = 0; i < 1500; i++) {
		const bool good = i % 23 % 2 == 0;

		ck_assert_int_eq(items[i].result, good ? BURSAR_OPENED
		                                       : BURSAR_BROKEN);
		ck_assert_uint_eq(items[i].plain.size,
		                  good ? strlen(golden) : 0);
	}
	/* And the one that asked whether it would open anything. */
	ck_assert_uint_eq(asked("POST transit/decrypt/audit 400"), 2);
}
END_TEST

START_TEST(transit_waits_while_vault_is_sealed_and_tries_without_messages)
{
	fakehost_set(&host, "retry", "200ms");
	open_transit();
	const struct bursar_seal made = seal(golden);
	struct bursar_message message = message_of(&made);
	struct bursar_sealed item;

	control("{\"fault\":\"sealed\"}");
	ck_assert_int_eq(unseal(&item, &message), BURSAR_RETRY);
	for (int i = 0; i < 50; i++) {
		ck_assert(!tick(NULL));
		ck_assert_int_eq(unseal(&item, &message), BURSAR_RETRY);
		pause_ms(5);
	}
	ck_assert_uint_eq(fakehost_logged(&host, "vault-sealed"), 1);
	control("{\"fault\":null}");
	ck_assert(ticks_until(true, 20000));
	ck_assert_int_eq(result_of(&made), BURSAR_OPENED);
}
END_TEST

START_TEST(transit_without_its_key_is_a_matter_for_a_person)
{
	fakehost_set(&host, "mode", "transit");
	fakehost_set(&host, "key", "nothing");
	fakehost_set(&host, "retry", "200ms");
	open_it();
	struct bursar_message message = { .body = span(broken[10]) };
	struct bursar_sealed item;

	assert_why(unseal(&item, &message), BURSAR_CONFIG, "mount and key");
	control("{\"transit\":[\"nothing\"]}");
	ck_assert(ticks_until(true, 20000));
	ck_assert_int_eq(unseal(&item, &message), BURSAR_DONE);
}
END_TEST

START_TEST(transit_logs_in_again_once)
{
	fakehost_set(&host, "mode", "transit");
	fakehost_set(&host, "key", "audit");
	use_role("");
	const struct bursar_seal made = seal(golden);
	control("{\"revoke\":\"all\"}");
	ck_assert_int_eq(result_of(&made), BURSAR_OPENED);
	ck_assert_uint_eq(asked("POST auth/approle/login 200"), 2);

	control("{\"fault\":\"denied\",\"fault_path\":\"transit\"}");
	struct bursar_message message = message_of(&made);
	struct bursar_sealed item;
	assert_why(unseal(&item, &message), BURSAR_CONFIG,
	           "policy update on transit/decrypt/audit");
	ck_assert_uint_eq(asked("POST auth/approle/login 200"), 3);
}
END_TEST

START_TEST(transit_trusts_no_results_that_are_not_of_its_items)
{
	open_transit();
	const struct bursar_seal made = seal(golden);
	struct bursar_message message = message_of(&made);
	struct bursar_sealed item;

	control("{\"fault\":\"empty\"}");
	ck_assert_int_eq(unseal(&item, &message), BURSAR_RETRY);
	ck_assert_uint_eq(fakehost_logged(&host, "vault-away"), 1);
}
END_TEST

START_TEST(each_mode_leaves_messages_of_the_other_alone)
{
	struct bursar_message message = {
		.body = span(broken[10]),
		.content_encoding = span("encrypted/transit"),
	};
	struct bursar_sealed item;

	open_it();
	ck_assert_int_eq(unseal(&item, &message), BURSAR_DONE);
	ck_assert_int_eq(item.result, BURSAR_NO_KEY);
	open_transit();
	message.content_encoding = span("encrypted/cs");
	ck_assert_int_eq(unseal(&item, &message), BURSAR_DONE);
	ck_assert_int_eq(item.result, BURSAR_NO_KEY);
}
END_TEST

/*
 * --- secrecy
 */

START_TEST(logs_neither_token_nor_secret)
{
	open_it();
	unseal_golden();
	control("{\"fault\":\"denied\"}");
	open_it();
	unseal_golden();

	ck_assert_ptr_null(strstr(host.log, TOKEN));
	ck_assert_ptr_null(strstr(host.log, "0011"));
}
END_TEST

START_TEST(wipes_token_and_secret_in_the_end)
{
	unsigned char token[sizeof(TOKEN) - 1];
	unsigned char secret[32];

	for (size_t i = 0; i < sizeof(token); i++) {
		token[i] = (unsigned char)(TOKEN[i] ^ FAKEHOST_MASK);
	}
	for (size_t i = 0; i < sizeof(secret); i++) {
		secret[i] = (unsigned char)(SECRET[i] ^ FAKEHOST_MASK);
	}
	const int before_token = fakehost_find_bytes(token, sizeof(token));
	const int before_secret = fakehost_find_bytes(secret, sizeof(secret));
	if (before_token < 0) {
		return;
	}
	open_it();
	ck_assert_int_eq(unseal_golden(), BURSAR_DONE);
	ck_assert_int_gt(fakehost_find_bytes(token, sizeof(token)),
	                 before_token);
	ck_assert_int_gt(fakehost_find_bytes(secret, sizeof(secret)),
	                 before_secret);
	ops->close(crypto);
	crypto = NULL;

	ck_assert_int_eq(fakehost_find_bytes(token, sizeof(token)),
	                 before_token);
	ck_assert_int_eq(fakehost_find_bytes(secret, sizeof(secret)),
	                 before_secret);
}
END_TEST

static TCase *add_case(Suite *s, const char *name)
{
	TCase *added = tcase_create(name);

	tcase_add_checked_fixture(added, setup, teardown);
	tcase_set_timeout(added, 60);
	suite_add_tcase(s, added);
	return added;
}

#define COUNT(list) ((int)(sizeof(list) / sizeof((list)[0])))

static Suite *suite(void)
{
	Suite *s = suite_create("crypto_vault");

	TCase *kv = add_case(s, "secrets");
	tcase_add_test(kv, opens_under_the_secret_of_kv_2);
	tcase_add_test(kv, opens_under_the_secret_of_kv_1);
	tcase_add_test(kv, asks_for_no_mount_where_the_version_is_said);
	tcase_add_test(kv, names_the_namespace);
	tcase_add_test(kv, older_versions_open_and_the_newest_seals);
	tcase_add_test(kv, a_new_secret_is_found_by_refreshing);
	tcase_add_test(kv, a_new_secret_is_found_when_a_message_does_not_open);
	tcase_add_test(kv,
	               tries_no_legacy_message_of_who_must_prove_himself);
	tcase_add_test(kv, broken_messages_do_not_make_it_ask_again_and_again);
	tcase_add_test(kv, skips_versions_that_were_deleted);
	tcase_add_test(kv, asks_for_nothing_before_versions_that_are_gone);
	tcase_add_test(kv, a_deleted_version_is_told_from_a_wrong_path);
	tcase_add_loop_test(kv,
		says_what_is_wrong_with_a_secret_and_makes_none_up,
		0, COUNT(no_secrets));

	TCase *states = add_case(s, "states");
	tcase_add_loop_test(states,
		says_once_what_vault_is_like_and_goes_on_by_itself,
		0, COUNT(faults));
	tcase_add_test(states, waits_longer_and_longer_whoever_asks);
	tcase_add_test(states, waits_as_long_as_vault_asks_for);
	tcase_add_test(states, takes_no_longer_than_its_timeout);
	tcase_add_test(states, a_vault_that_is_not_there_is_away);
	tcase_add_test(states,
		a_secret_is_used_while_vault_is_away_until_it_is_too_old);
	tcase_add_test(states, an_answer_without_a_secret_is_no_secret);

	TCase *tokens = add_case(s, "tokens");
	tcase_add_test(tokens, a_token_that_may_not_is_a_matter_for_a_person);
	tcase_add_test(tokens, a_token_file_is_read_again_when_it_changes);
	tcase_add_test(tokens, a_token_file_may_come_later);
	tcase_add_test(tokens, a_token_file_that_others_can_read_is_refused);
	tcase_add_test(tokens, a_client_key_that_others_can_read_is_refused);
	tcase_add_test(tokens, a_token_is_renewed_before_it_ends);
	tcase_add_test(tokens,
		a_token_that_cannot_be_renewed_is_announced_to_end);
	tcase_add_test(tokens, logs_in_by_approle);
	tcase_add_test(tokens, logs_in_again_when_the_token_was_revoked);
	tcase_add_test(tokens, logs_in_again_once_and_then_asks_for_a_person);
	tcase_add_test(tokens, logs_in_again_when_a_renewal_brings_little);
	tcase_add_test(tokens,
		a_login_that_is_refused_is_a_matter_for_a_person);

	TCase *way = add_case(s, "way");
	tcase_add_test(way,
		a_redirect_is_followed_only_where_that_is_allowed);
	tcase_add_test(way, a_redirect_to_itself_ends);
	tcase_add_test(way, certificates_are_checked);
	tcase_add_test(way, asks_no_proxy_of_the_environment);
	tcase_add_test(way, warns_of_an_address_without_tls);
	tcase_add_loop_test(way, says_which_option_is_wrong, 0, COUNT(wrong));

	TCase *transit = add_case(s, "transit");
	tcase_add_test(transit, transit_opens_what_it_sealed);
	tcase_add_test(transit, transit_opens_what_older_keys_sealed);
	tcase_add_test(transit,
		transit_opens_the_good_among_bad_in_one_request);
	tcase_add_test(transit,
		transit_waits_while_vault_is_sealed_and_tries_without_messages);
	tcase_add_test(transit,
		transit_without_its_key_is_a_matter_for_a_person);
	tcase_add_test(transit, transit_logs_in_again_once);
	tcase_add_test(transit,
		transit_trusts_no_results_that_are_not_of_its_items);
	tcase_add_test(transit,
		each_mode_leaves_messages_of_the_other_alone);

	TCase *secrecy = add_case(s, "secrecy");
	tcase_add_test(secrecy, logs_neither_token_nor_secret);
	tcase_add_test(secrecy, wipes_token_and_secret_in_the_end);
	return s;
}

int main(void)
{
	if (system("command -v python3 >/dev/null && "
	           "command -v openssl >/dev/null") != 0) {
		puts("skipped: no python3, or no openssl");
		return 77;
	}
	server_start(&vault, NULL);
	SRunner *runner = srunner_create(suite());

	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	server_stop(&vault);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
