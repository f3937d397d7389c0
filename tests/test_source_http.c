/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The HTTP source, loaded as the daemon loads it, with clients at real sockets.
 * A thread plays the core: it reads, and settles each message by a word in its
 * body, or keeps it until it is told to go on.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <check.h>
#include <sodium.h>
#define ZLIB_CONST
#include <zlib.h>
#include <zstd.h>

#include <bursar/source.h>

#include "common/monotonic.h"
#include "core/plugin/schema.h"
#include "tests/fakehost.h"
#include "tests/soon.h"

#define MAX_GOT 4096
#define REPLY   (1 << 20)

#define JSON_TYPE "Content-Type: application/json\r\n"
#define LINES     "Content-Type: application/x-ndjson\r\n"

struct got {
	char     body[200];
	size_t   size;
	char     origin[256];
	char     team[64];
	uint64_t token, lane, offset, kinds;
	unsigned flags;
};

static struct fakehost host;
static const struct bursar_source_ops *ops;
static struct bursar_source *source;
static struct bursar_error err;
static uint16_t port;
static char file[64];

/* The core. */
static pthread_t core;
static bool core_runs;
static int wake;
static _Atomic bool stopping, holding, full;
static _Atomic int returning;	/* so many that nobody will be told of */
static _Atomic size_t got_count;
static _Atomic size_t most = MAX_GOT;	/* messages that are taken */
static struct got got[MAX_GOT];
static size_t settled_count;

static char reply[REPLY];

/* --- the core ------------------------------------------------------------- */

static void copy(char *to, size_t room, struct bursar_span span)
{
	const size_t size = span.size < room ? span.size : room - 1;

	memcpy(to, span.data, size);
	to[size] = '\0';
}

static bool add(struct bursar_batch *batch, const struct bursar_message *m)
{
	const size_t count = got_count;
	struct got *g = &got[count];

	if (full || batch->room == 0 || count >= most) {
		return false;
	}
	batch->room--;
	*g = (struct got){
		.size = m->body.size, .token = m->token, .lane = m->lane,
		.offset = m->offset, .kinds = m->kinds, .flags = m->flags,
	};
	copy(g->body, sizeof(g->body), m->body);
	copy(g->origin, sizeof(g->origin), m->origin);
	for (size_t i = 0; i < m->fixed_count; i++) {
		copy(g->team, sizeof(g->team), m->fixed[i].value);
	}
	got_count = count + 1;
	return true;
}

static void settle_one(const struct got *g)
{
	const struct bursar_message message = {
		.body = { g->body, strlen(g->body) },
	};
	struct bursar_settled settled = {
		.token = g->token, .message = &message,
	};

	if (strstr(g->body, "twice") != NULL) {
		settled.outcome = BURSAR_DUPLICATE;
	} else if (strstr(g->body, "clash") != NULL) {
		settled.outcome = BURSAR_CONFLICT;
		settled.reason = "known with other content";
	} else if (strstr(g->body, "forbidden") != NULL) {
		settled.outcome = BURSAR_REFUSED;
		settled.reason = BURSAR_NOT_ALLOWED;
	} else if (g->flags != 0 && returning > 0) {
		returning--;
		settled.outcome = BURSAR_RETURNED;
	} else if (strstr(g->body, "bad") != NULL) {
		settled.outcome = BURSAR_REFUSED;
		settled.reason = "it is \"bad\"";
	} else if (strstr(g->body, "later") != NULL) {
		settled.outcome = BURSAR_RETURNED;
	}
	ops->settle(source, &settled, 1, NULL);
}

static void settle_what_came(void)
{
	while (!holding && settled_count < got_count) {
		settle_one(&got[settled_count++]);
	}
}

static void *run_core(void *arg)
{
	(void)arg;
	while (!stopping) {
		struct bursar_batch batch = {
			.add = add, .room = full ? 0 : 1000,
			.max_message = 8 << 20,
		};

		ops->read(source, &batch, wake, monotonic_us() + 50000, &err);
		settle_what_came();
		if (full) {
			poll(NULL, 0, 20);
		}
	}
	return NULL;
}

static void begin_core(void)
{
	stopping = false;
	ck_assert_int_eq(pthread_create(&core, NULL, run_core, NULL), 0);
	core_runs = true;
}

static void end_core(void)
{
	if (core_runs) {
		stopping = true;
		pthread_join(core, NULL);
		core_runs = false;
	}
}

/* --- the source ----------------------------------------------------------- */

static uint16_t free_port(void)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001),
	};
	socklen_t size = sizeof(at);
	const int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, size), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &size), 0);
	close(fd);
	return ntohs(at.sin_port);
}

/* Far: little is on its way that nobody has read, as between networks. */
static int dial_with(bool far)
{
	const struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001),
		.sin_port = htons(port),
	};
	const int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (far) {
		const int window = 2048, segment = 536;

		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof(window));
		setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment,
		           sizeof(segment));
	}
	for (int i = 0; i < 200; i++) {
		if (connect(fd, (const struct sockaddr *)&at,
		            sizeof(at)) == 0) {
			return fd;
		}
		poll(NULL, 0, 10);
	}
	ck_abort_msg("cannot connect: %s", strerror(errno));
}

static int dial(void)
{
	return dial_with(false);
}

static void open_it(void)
{
	char listen[64];

	port = free_port();
	snprintf(listen, sizeof(listen), "127.0.0.1:%u", port);
	fakehost_set(&host, "listen", listen);
	memset(&err, 0, sizeof(err));
	source = ops->open(&host.host, &err);
	ck_assert_msg(source != NULL, "%s", err.text);
}

static void start(void)
{
	open_it();
	begin_core();
	close(dial());		/* it listens */
}

static void close_it(void)
{
	end_core();
	ops->close(source);
	source = NULL;
}

static void fails_with(const char *words)
{
	memset(&err, 0, sizeof(err));
	source = ops->open(&host.host, &err);
	ck_assert_ptr_null(source);
	ck_assert_msg(strstr(err.text, words) != NULL, "%s", err.text);
}

static void write_file(const char *text, mode_t mode)
{
	const int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	ck_assert_int_eq(chmod(file, mode), 0);
}

/* A line for the file of tokens; the token's text is its name. */
static const char *token_line(const char *name, const char *more)
{
	static char line[512];
	uint8_t hash[32];
	char hex[65];

	crypto_hash_sha256(hash, (const uint8_t *)name, strlen(name));
	sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
	snprintf(line, sizeof(line), "{\"name\":\"%s\",\"sha256\":\"%s\"%s}\n",
	         name, hex, more);
	return line;
}

/* --- clients -------------------------------------------------------------- */

static void put(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size > 0) {
		const ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);

		if (sent <= 0) {
			return;		/* the answer says why */
		}
		at += sent;
		size -= (size_t)sent;
	}
}

static void put_head(int fd, const char *head, size_t size)
{
	char text[2048];

	snprintf(text, sizeof(text), "POST /v1/records HTTP/1.1\r\nHost: x\r\n"
	         "%sContent-Length: %zu\r\n\r\n", head, size);
	put(fd, text, strlen(text));
}

/* The answer of a server that keeps the connection: its status, 0 where it
 * closes without one, -1 where nothing comes in ten seconds. */
static int take_reply(int fd)
{
	size_t size = 0;

	for (;;) {
		struct pollfd pollfd = { .fd = fd, .events = POLLIN };
		char *end;

		if (poll(&pollfd, 1, 10000) <= 0) {
			return -1;
		}
		const ssize_t more = recv(fd, reply + size,
		                          sizeof(reply) - 1 - size, 0);
		if (more <= 0) {
			return 0;
		}
		size += (size_t)more;
		reply[size] = '\0';
		end = strstr(reply, "\r\n\r\n");
		const char *length = strcasestr(reply, "Content-Length:");
		if (end != NULL && length != NULL &&
		    size >= (size_t)(end + 4 - reply) +
		    strtoul(length + 15, NULL, 10)) {
			return (int)strtol(reply + 9, NULL, 10);
		}
	}
}

static int post_bytes(const char *head, const void *body, size_t size)
{
	const int fd = dial();

	put_head(fd, head, size);
	put(fd, body, size);
	const int status = take_reply(fd);
	close(fd);
	return status;
}

static int post(const char *head, const char *body)
{
	return post_bytes(head, body, strlen(body));
}

static int post_json(const char *body)
{
	return post(JSON_TYPE, body);
}

static int ask(const char *request)
{
	const int fd = dial();

	put(fd, request, strlen(request));
	const int status = take_reply(fd);
	close(fd);
	return status;
}

static void says(const char *text)
{
	ck_assert_msg(strstr(reply, text) != NULL, "'%s' not in:\n%s", text,
	              reply);
}

static void wait_for_got(size_t count)
{
	for (int i = 0; got_count < count; i++) {
		ck_assert_int_lt(i, 1000);
		poll(NULL, 0, 10);
	}
}

static int64_t unsent(void)
{
	return fakehost_figure(&host, "answers_unsent_total");
}

/* Whether the other side closes within so many milliseconds. */
static bool closes_within(int fd, int ms)
{
	const int64_t until = monotonic_us() + ms * INT64_C(1000);
	char byte[256];

	while (monotonic_us() < until) {
		struct pollfd pollfd = { .fd = fd, .events = POLLIN };

		if (poll(&pollfd, 1, 20) > 0 &&
		    recv(fd, byte, sizeof(byte), 0) <= 0) {
			return true;
		}
	}
	return false;
}

static void setup(void)
{
	ck_assert_int_ge(sodium_init(), 0);
	const struct bursar_plugin *plugin = fakehost_load("source", "http");
	ops = plugin->ops.source;
	fakehost_init(&host, &schema);
	fakehost_declare(&host, plugin->options);
	wake = eventfd(0, EFD_NONBLOCK);
	snprintf(file, sizeof(file), "test_source_http.%d", (int)getpid());
}

static void teardown(void)
{
	close_it();
	fakehost_finish(&host);
	close(wake);
	unlink(file);
}

/* --- answers -------------------------------------------------------------- */

START_TEST(answers_for_each_record_what_became_of_it)
{
	start();

	ck_assert_int_eq(post_json("{\"a\":1}"), 200);
	says("{\"stored\":1,\"duplicate\":0,\"rejected\":0,\"retry\":0,"
	     "\"records\":[{\"index\":0,\"status\":\"stored\"}]}");
	says("Content-Type: application/json");

	ck_assert_int_eq(post_json(" [ {\"a\":1}, \"twice\" ,\"bad\","
	                           "\"clash\"] \n"), 207);
	says("\"stored\":1,\"duplicate\":1,\"rejected\":2,\"retry\":0,");
	says("{\"index\":1,\"status\":\"duplicate\"}");
	says("{\"index\":2,\"status\":\"rejected\",\"reason\":\"it is \\\"bad"
	     "\\\"\"}");
	says("\"reason\":\"known with other content\"");
	ck_assert_uint_eq(got_count, 5);
	ck_assert_str_eq(got[1].body, "{\"a\":1}");
	ck_assert_str_eq(got[2].body, "\"twice\"");
	ck_assert_uint_eq(got[4].offset, 3);
	ck_assert_uint_eq(got[4].lane, got[1].lane);
}
END_TEST

START_TEST(tells_a_request_that_failed_as_a_whole)
{
	start();

	ck_assert_int_eq(post_json("[\"bad\",\"bad\"]"), 422);
	says("\"error\":\"every record was rejected\"");
	ck_assert_int_eq(post_json("[\"forbidden\",\"forbidden\"]"), 403);
	ck_assert_int_eq(post_json("[\"later\",\"later\"]"), 503);
	says("Retry-After: ");
	says("\"retry\":2");
	ck_assert_int_eq(post_json("[1,\"later\"]"), 207);
	says("Retry-After: ");
	says("{\"index\":1,\"status\":\"retry\"}");
}
END_TEST

START_TEST(takes_lines_and_packed_bodies)
{
	static const char lines[] = "{\"a\":1}\n\n  {\"a\":2}\r\n{\"a\":3}";
	char packed[256];
	uLongf room = sizeof(packed);
	z_stream zip = { 0 };

	start();
	ck_assert_int_eq(post(LINES, lines), 200);
	ck_assert_int_eq(post("Content-Type: application/jsonl\r\n", lines),
	                 200);

	ck_assert_int_eq(deflateInit2(&zip, 6, Z_DEFLATED, 15 + 16, 8, 0),
	                 Z_OK);
	zip.next_in = (const Bytef *)lines;
	zip.avail_in = sizeof(lines) - 1;
	zip.next_out = (Bytef *)packed;
	zip.avail_out = (uInt)room;
	ck_assert_int_eq(deflate(&zip, Z_FINISH), Z_STREAM_END);
	deflateEnd(&zip);
	ck_assert_int_eq(post_bytes(LINES "Content-Encoding: gzip\r\n", packed,
	                            zip.total_out), 200);
	ck_assert_int_eq(post_bytes(LINES "Content-Encoding: gzip\r\n", packed,
	                            zip.total_out - 1), 400);
	says("damaged or cut off");

	const size_t size = ZSTD_compress(packed, sizeof(packed), lines,
	                                  sizeof(lines) - 1, 1);
	ck_assert_int_eq(post_bytes(LINES "Content-Encoding: zstd\r\n", packed,
	                            size), 200);
	ck_assert_int_eq(post_bytes(LINES "Content-Encoding: zstd\r\n", packed,
	                            size - 1), 400);
	ck_assert_uint_eq(got_count, 12);
	for (size_t i = 0; i < got_count; i++) {
		const char body[] = { '{', '"', 'a', '"', ':',
		                      (char)('1' + i % 3), '}', '\0' };
		ck_assert_str_eq(got[i].body, body);
	}
}
END_TEST

START_TEST(refuses_what_makes_no_sense)
{
	static const struct {
		const char *body;
		const char *words;
	} broken[] = {
		{ "", "empty" }, { " \n", "empty" }, { "[ ]", "no records" },
		{ "7", "neither" }, { "[1,]", "nothing" }, { "[,1]", "nothing" },
		{ "[1", "no end" }, { "{\"a\":[1}", "bracket" },
		{ "{\"a\":\"x}", "string" }, { "{} {}", "behind" },
		{ "[1]]", "behind" }, { "{\"a\":{\"b\":1}", "no end" },
		{ "[{\"a\":1}, {\"b\"]", "bracket" }, { "[1}", "no end" },
	};
	start();

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		ck_assert_int_eq(post_json(broken[i].body), 400);
		says(broken[i].words);
	}
	ck_assert_int_eq(post(LINES, "\n \r\n"), 400);
	ck_assert_int_eq(post(JSON_TYPE "Idempotency-Key: a\tb\r\n", "{}"),
	                 400);
	ck_assert_uint_eq(got_count, 0);
}
END_TEST

START_TEST(refuses_other_types_places_and_methods)
{
	start();

	ck_assert_int_eq(post("Content-Type: text/plain\r\n", "{}"), 415);
	ck_assert_int_eq(post("Content-Type: application/jsonp\r\n", "{}"),
	                 415);
	ck_assert_int_eq(post("", "{}"), 415);
	ck_assert_int_eq(post(JSON_TYPE "Content-Encoding: br\r\n", "{}"), 415);
	says("Accept-Encoding: gzip, zstd, identity");
	ck_assert_int_eq(post("Content-Type: application/json; charset=latin1"
	                      "\r\n", "{}"), 415);
	ck_assert_int_eq(post("Content-Type: Application/JSON; charset=utf-8"
	                      "\r\n", "{}"), 200);
	ck_assert_int_eq(ask("GET /v1/records HTTP/1.1\r\nHost: x\r\n\r\n"),
	                 405);
	says("Allow: POST");
	ck_assert_int_eq(ask("POST / HTTP/1.1\r\nHost: x\r\n"
	                     "Content-Length: 2\r\n\r\n{}"), 404);
	says("{\"error\":\"there is nothing here");
	ck_assert_int_eq(post(JSON_TYPE "Origin: http://evil\r\n", "{}"), 403);
}
END_TEST

START_TEST(a_connection_serves_many_requests)
{
	start();
	const int fd = dial();

	for (int i = 0; i < 50; i++) {
		put_head(fd, i % 7 == 3 ? "" : JSON_TYPE, 7);
		put(fd, "{\"a\":1}", 7);
		ck_assert_int_eq(take_reply(fd), i % 7 == 3 ? 415 : 200);
	}
	close(fd);
}
END_TEST

/* --- ids ------------------------------------------------------------------ */

START_TEST(a_key_gives_each_record_a_place_for_ever)
{
	start();

	ck_assert_int_eq(post(JSON_TYPE "Idempotency-Key: k 1\r\n", "[1,2]"),
	                 200);
	says("Idempotency-Key: k 1");
	ck_assert_int_eq(post(JSON_TYPE "Idempotency-Key: k 1\r\n", "[1,2]"),
	                 200);
	ck_assert_int_eq(post_json("[1,2]"), 200);
	ck_assert_int_eq(post_json("[1,2]"), 200);

	ck_assert_str_eq(got[0].origin, "-:k 1");
	ck_assert_str_eq(got[3].origin, "-:k 1");
	ck_assert_uint_eq(got[3].offset, 1);
	ck_assert_str_eq(got[4].origin, got[5].origin);
	ck_assert_str_ne(got[4].origin, got[6].origin);
	ck_assert_uint_eq(strlen(got[4].origin), 34);
}
END_TEST

/* --- tokens --------------------------------------------------------------- */

START_TEST(knows_senders_by_their_tokens)
{
	write_file(token_line("one", ",\"kinds\":[\"prompt\"],"
	                      "\"set\":{\"team\":\"a \\u00fc\"}"), 0600);
	fakehost_set(&host, "token-file", file);
	start();

	ck_assert_int_eq(post_json("{}"), 401);
	says("WWW-Authenticate: Bearer");
	ck_assert_int_eq(post(JSON_TYPE "Authorization: Bearer two\r\n", "{}"),
	                 401);
	ck_assert_int_eq(post(JSON_TYPE "Authorization: Basic one\r\n", "{}"),
	                 401);
	ck_assert_int_eq(post(JSON_TYPE "Authorization: bearer one\r\n"
	                      "Origin: http://x\r\nIdempotency-Key: k\r\n",
	                      "{}"), 200);
	ck_assert_uint_eq(got_count, 1);
	ck_assert_str_eq(got[0].origin, "one:k");
	ck_assert_str_eq(got[0].team, "a ü");
	ck_assert_uint_eq(got[0].kinds, UINT64_C(1) <<
		bursar_kind_find(&schema, "prompt", 6)->number);
	ck_assert_ptr_null(strstr(host.log, "two"));
}
END_TEST

static int status_of(const char *token)
{
	char head[128];

	snprintf(head, sizeof(head), JSON_TYPE "Authorization: Bearer %s\r\n",
	         token);
	return post(head, "{}");
}

static void wait_for_log(const char *event)
{
	for (int i = 0; fakehost_logged(&host, event) == 0; i++) {
		ck_assert_int_lt(i, 1000);
		poll(NULL, 0, 10);
	}
}

START_TEST(reads_tokens_again_when_their_file_changes)
{
	write_file(token_line("one", ""), 0600);
	fakehost_set(&host, "token-file", file);
	start();
	ck_assert_int_eq(status_of("one"), 200);

	write_file(token_line("two", ""), 0600);
	wait_for_log("tokens-reloaded");
	ck_assert_int_eq(status_of("one"), 401);
	ck_assert_int_eq(status_of("two"), 200);

	write_file("{\"name\":\"three\"}\n", 0600);
	wait_for_log("tokens-not-reloaded");
	ck_assert_int_eq(status_of("two"), 200);
}
END_TEST

START_TEST(refuses_a_file_that_is_no_file_of_tokens)
{
	static const char *const bad[] = {
		"x\n", "{\"name\":\"a\"}\n", "{\"name\":\"-a\",\"sha256\":1}\n",
	};

	fakehost_set(&host, "token-file", file);
	fails_with("token add");
	write_file(token_line("one", ""), 0640);
	fails_with("chmod 600");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_file(bad[i], 0600);
		fails_with(":1: ");
	}
	write_file(token_line("one", ",\"kinds\":[\"promt\"]"), 0600);
	fails_with("no kind");
	write_file(token_line("one", ",\"set\":{\"message_id\":\"x\"}"), 0600);
	fails_with("no token can fix");
	write_file(token_line("one", ",\"set\":{\"team\":5}"), 0600);
	fails_with("no text");
	write_file(token_line("one", ",\"kind\":[\"prompt\"]"), 0600);
	fails_with("another member");
	write_file(token_line("one", ",\"kinds\":[\"prompt\"],\"kinds\":[]"),
	           0600);
	fails_with("twice");
}
END_TEST

START_TEST(listens_elsewhere_only_with_tokens)
{
	fakehost_set(&host, "listen", "0.0.0.0:1");
	fails_with("token-file");
	fakehost_set(&host, "listen", "[::]:1");
	fails_with("token-file");
	fakehost_set(&host, "listen", "192.0.2.1:1");
	fails_with("token-file");
	write_file(token_line("one", ""), 0600);
	fakehost_set(&host, "token-file", file);
	source = ops->open(&host.host, &err);
	ck_assert_ptr_nonnull(source);
	ck_assert_uint_eq(fakehost_logged(&host, "tokens-in-clear"), 1);
}
END_TEST

START_TEST(refuses_what_is_no_place_to_listen)
{
	static const char *const bad[] = {
		"", "8377", "x:8377", "127.0.0.1", "127.0.0.1:", "::1:8377",
		"[::1]8377", "[::1", "127.0.0.1:99999", "127.0.0.1:-1",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fakehost_set(&host, "listen", bad[i]);
		fails_with("listen: '");
		fails_with(bad[i]);
	}
	fakehost_set(&host, "listen", "127.0.0.1:1");
	fakehost_set(&host, "cert-file", file);
	fails_with("go together");
}
END_TEST

START_TEST(waits_for_a_port_that_is_taken)
{
	struct bursar_batch batch = { .add = add, .room = 10 };
	char listen[64];

	start();
	struct bursar_source *first = source;
	end_core();
	snprintf(listen, sizeof(listen), "127.0.0.1:%u", port);
	struct bursar_source *second = ops->open(&host.host, &err);

	ck_assert_ptr_nonnull(second);
	ck_assert_int_eq(ops->read(second, &batch, wake, monotonic_us() + 100000,
	                           &err), BURSAR_RETRY);
	ck_assert_msg(strstr(err.text, listen) != NULL, "%s", err.text);
	ck_assert_msg(strstr(err.text, "another program") != NULL, "%s",
	              err.text);
	ops->close(first);
	source = second;
	begin_core();
	ck_assert_int_eq(post_json("{}"), 200);
}
END_TEST

/* --- framing -------------------------------------------------------------- */

#define SMUGGLED "POST /v1/records HTTP/1.1\r\nHost: x\r\n" JSON_TYPE \
	"Content-Length: 5\r\n\r\n\"its\""

/* Headers that say two lengths, each before a body that ends by one of them
 * and goes on with another request by the other. */
static const char *const two_lengths[] = {
	"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
	"2\r\n{}\r\n0\r\n\r\n",
	"Transfer-Encoding: chunked\r\nContent-Length: 12\r\n\r\n"
	"2\r\n{}\r\n0\r\n\r\n",
	"Content-Length: 2\r\nContent-Length: 90\r\n\r\n{}",
	"content-length: 2\r\nCONTENT-LENGTH: 2\r\n\r\n{}",
	"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"
	"2\r\n{}\r\n0\r\n\r\n",
	"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
	"Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}",
	"Host: y\r\nContent-Length: 2\r\n\r\n{}",
	"Content-Length : 90\r\n\r\n",
	"Transfer-Encoding : chunked\r\n\r\n",
	"X: a\rContent-Length: 90\r\n\r\n",
};

static void send_two_ways(const char *lengths)
{
	char request[1024];
	const int size = snprintf(request, sizeof(request),
		"POST /v1/records HTTP/1.1\r\nHost: x\r\n" JSON_TYPE "%s"
		SMUGGLED, lengths);
	const int fd = dial();

	put(fd, request, (size_t)size);
	ck_assert_int_eq(take_reply(fd), 400);
	says("Connection: close");
	ck_assert(closes_within(fd, 2000));
	close(fd);
}

START_TEST(takes_no_request_that_can_be_read_in_two_ways)
{
	const size_t count = sizeof(two_lengths) / sizeof(two_lengths[0]);

	start();
	for (size_t i = 0; i < count; i++) {
		send_two_ways(two_lengths[i]);
	}
	poll(NULL, 0, 50);
	ck_assert_uint_eq(got_count, 0);
	ck_assert_int_eq(post_json("{}"), 200);
}
END_TEST

/* --- limits --------------------------------------------------------------- */

START_TEST(bounds_bodies_by_their_bytes_unpacked)
{
	static char zeros[1 << 20];
	static char bomb[1 << 16];
	uLongf size = sizeof(bomb);
	z_stream zip = { 0 };

	fakehost_set(&host, "max-body", "100K");
	start();
	memset(zeros, ' ', sizeof(zeros));
	ck_assert_int_eq(deflateInit2(&zip, 9, Z_DEFLATED, 15 + 16, 9, 0),
	                 Z_OK);
	zip.next_in = (Bytef *)zeros;
	zip.avail_in = sizeof(zeros);
	zip.next_out = (Bytef *)bomb;
	zip.avail_out = (uInt)size;
	ck_assert_int_eq(deflate(&zip, Z_FINISH), Z_STREAM_END);
	deflateEnd(&zip);
	ck_assert_uint_lt(zip.total_out, 10000);

	ck_assert_int_eq(post_bytes(JSON_TYPE "Content-Encoding: gzip\r\n",
	                            bomb, zip.total_out), 413);
	says("more than 102400 bytes");
	const size_t packed = ZSTD_compress(bomb, sizeof(bomb), zeros,
	                                    sizeof(zeros), 1);
	ck_assert_int_eq(post_bytes(JSON_TYPE "Content-Encoding: zstd\r\n",
	                            bomb, packed), 413);
	ck_assert_int_eq(post_bytes(JSON_TYPE, zeros, 102401), 413);
	memcpy(zeros, "{}", 2);
	ck_assert_int_eq(post_bytes(JSON_TYPE, zeros, 102400), 200);
}
END_TEST

/* Whose length nobody says before: room for it grows in steps. */
START_TEST(takes_every_body_that_is_within_its_limits)
{
	static char body[90 << 10];
	char packed[1 << 12];
	char head[200];

	fakehost_set(&host, "max-body", "100K");
	fakehost_set(&host, "max-pending", "100K");
	start();
	memset(body, ' ', sizeof(body));
	memcpy(body, "{}", 2);
	const size_t size = ZSTD_compress(packed, sizeof(packed), body,
	                                  sizeof(body), 1);
	ck_assert_int_eq(post_bytes(JSON_TYPE "Content-Encoding: zstd\r\n",
	                            packed, size), 200);
	const int fd = dial();
	snprintf(head, sizeof(head), "POST /v1/records HTTP/1.1\r\nHost: x\r\n"
	         JSON_TYPE "Transfer-Encoding: chunked\r\n\r\n%zx\r\n",
	         sizeof(body));
	put(fd, head, strlen(head));
	put(fd, body, sizeof(body));
	put(fd, "\r\n0\r\n\r\n", 7);
	ck_assert_int_eq(take_reply(fd), 200);
	close(fd);
}
END_TEST

static const char endless[] = "POST /v1/records HTTP/1.1\r\nHost: x\r\n"
	JSON_TYPE "Transfer-Encoding: chunked\r\n\r\n";

/* So many chunks of 4 KB, as far as they are taken. */
static void put_chunks(int fd, int count)
{
	char whole[6 + 0x1000 + 2];

	memcpy(whole, "1000\r\n", 6);
	memset(whole + 6, ' ', 0x1000);
	memcpy(whole + 6 + 0x1000, "\r\n", 2);
	for (int i = 0; i < count; i++) {
		put(fd, whole, sizeof(whole));
	}
}

START_TEST(a_body_that_never_ends_is_told_and_cut)
{
	fakehost_set(&host, "max-body", "100K");
	start();
	const int fd = dial();
	put(fd, endless, strlen(endless));
	put_chunks(fd, 2000);
	ck_assert_int_eq(take_reply(fd), 413);
	says("Connection: close");
	says("longer than this server takes");
	ck_assert_str_eq(strstr(reply, "at a time"), "at a time\"}\n");
	put_chunks(fd, 10000);
	ck_assert(closes_within(fd, 2000));
	ck_assert_int_eq(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	close(fd);
	ck_assert_int_eq(post_json("{}"), 200);
}
END_TEST

/* Which is what most clients do: they read when all is sent. */
START_TEST(who_sends_all_before_reading_is_told)
{
	static const char *const heads[] = {
		JSON_TYPE, "Content-Type: text/plain\r\n",
	};
	static const int codes[] = { 413, 415 };
	static char spaces[5 << 20];

	fakehost_set(&host, "max-body", "1M");
	start();
	memset(spaces, ' ', sizeof(spaces));
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(post_bytes(heads[i], spaces, sizeof(spaces)),
		                 codes[i]);
		says("Connection: close");
	}
	ck_assert_int_eq(post_json("{}"), 200);
}
END_TEST

START_TEST(bounds_records_and_nesting)
{
	char deep[1100];

	fakehost_set(&host, "max-records", "3");
	start();
	ck_assert_int_eq(post_json("[1,2,3]"), 200);
	ck_assert_int_eq(post_json("[1,2,3,4]"), 413);
	ck_assert_int_eq(post(LINES, "1\n2\n3\n4"), 413);
	memset(deep, '[', 514);
	memset(deep + 514, ']', 514);
	deep[1028] = '\0';
	ck_assert_int_eq(post_json(deep), 400);
	says("nested deeper than 512");
}
END_TEST

START_TEST(bounds_the_memory_of_all_requests)
{
	char *body = malloc(60 << 10);
	int fds[4];

	fakehost_set(&host, "max-body", "64K");
	fakehost_set(&host, "max-pending", "150K");
	start();
	full = true;
	memset(body, ' ', 60 << 10);
	memcpy(body, "{}", 2);
	for (int i = 0; i < 2; i++) {
		fds[i] = dial();
		put_head(fds[i], JSON_TYPE, 60 << 10);
		put(fds[i], body, 60 << 10);
	}
	poll(NULL, 0, 1000);	/* until both lie in memory */
	ck_assert_int_eq(post_bytes(JSON_TYPE, body, 60 << 10), 503);
	says("Retry-After");
	full = false;
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(take_reply(fds[i]), 200);
		close(fds[i]);
	}
	ck_assert_int_eq(post_bytes(JSON_TYPE, body, 60 << 10), 200);
	free(body);
}
END_TEST

/* A short record may have a long reason, and is not kept itself. */
START_TEST(an_answer_that_nobody_reads_takes_its_part_of_the_memory)
{
	enum { RECORDS = 2000 };
	static char body[RECORDS * 12 + 1];

	fakehost_set(&host, "max-body", "64K");
	fakehost_set(&host, "max-pending", "250K");
	body[0] = '[';
	for (int i = 0; i < RECORDS; i++) {
		memcpy(body + 1 + (size_t)i * 12, "\"forbidden\",", 12);
	}
	body[sizeof(body) - 1] = ']';
	start();
	const int fd = dial_with(true);
	put_head(fd, JSON_TYPE, sizeof(body));
	put(fd, body, sizeof(body));
	wait_for_got(RECORDS);
	poll(NULL, 0, 100);
	ck_assert_int_eq(post_bytes(JSON_TYPE, body, sizeof(body)), 503);
	says("too much is waiting");
	close(fd);
	const int64_t limit = monotonic_us() + SOON;
	int status;
	do {
		status = post_bytes(JSON_TYPE, body, sizeof(body));
	} while (status == 503 && monotonic_us() < limit);
	ck_assert_int_eq(status, 403);
}
END_TEST

START_TEST(cuts_who_is_slow)
{
	fakehost_set(&host, "header-timeout", "300ms");
	fakehost_set(&host, "body-timeout", "400ms");
	fakehost_set(&host, "idle-timeout", "500ms");
	start();
	const int silent = dial(), slow = dial(), half = dial(), idle = dial();

	put(half, "POST /v1/rec", 12);
	put_head(slow, JSON_TYPE, 1000);
	put_head(idle, JSON_TYPE, 2);
	put(idle, "{}", 2);
	ck_assert_int_eq(take_reply(idle), 200);
	ck_assert_int_eq(post_json("{}"), 200);
	ck_assert(closes_within(silent, 2000));
	ck_assert(closes_within(half, 2000));
	const int64_t until = monotonic_us() + 2000000;
	bool cut = false;
	while (!cut && monotonic_us() < until) {
		put(slow, " ", 1);	/* never silent, never done */
		cut = closes_within(slow, 50);
	}
	ck_assert(cut);
	ck_assert(closes_within(idle, 2000));
	close(silent), close(slow), close(half), close(idle);
}
END_TEST

START_TEST(bounds_connections_of_an_address)
{
	int fds[8];
	int closed = 0;

	fakehost_set(&host, "connections-per-address", "4");
	start();
	poll(NULL, 0, 50);
	for (int i = 0; i < 8; i++) {
		fds[i] = dial();
	}
	for (int i = 0; i < 8; i++) {
		closed += closes_within(fds[i], 100);
		close(fds[i]);
	}
	ck_assert_int_eq(closed, 4);
	poll(NULL, 0, 50);
	ck_assert_int_eq(post_json("{}"), 200);
}
END_TEST

/* --- waiting -------------------------------------------------------------- */

START_TEST(answers_in_time_whatever_the_core_does)
{
	fakehost_set(&host, "answer-timeout", "300ms");
	start();
	holding = true;

	ck_assert_int_eq(post_json("[1,2]"), 503);
	says("\"retry\":2");
	wait_for_got(2);
	/* What comes to be known later is nobody's any more. */
	holding = false;
	ck_assert_int_eq(post_json("[3]"), 200);
	ck_assert_uint_eq(got_count, 3);

	full = true;
	ck_assert_int_eq(post_json("[4]"), 503);
	full = false;
	ck_assert_int_eq(post_json("[5]"), 200);
	ck_assert_str_eq(got[3].body, "5");
}
END_TEST

START_TEST(what_is_returned_ends_its_request)
{
	most = 2;
	start();

	ck_assert_int_eq(post_json("[\"later\",\"later\",3,4]"), 503);
	says("\"retry\":4");
	most = MAX_GOT;
	ck_assert_int_eq(post_json("[5]"), 200);
	ck_assert_uint_eq(got_count, 3);
	ck_assert_str_eq(got[2].body, "5");
}
END_TEST

START_TEST(while_it_is_parked_everybody_is_told_to_come_again)
{
	start();
	full = true;
	const int fd = dial();
	put_head(fd, JSON_TYPE, 2);
	put(fd, "{}", 2);
	poll(NULL, 0, 100);
	end_core();

	ops->park(source, true);
	ck_assert_int_eq(take_reply(fd), 503);
	close(fd);
	const int64_t before = monotonic_us();
	ck_assert_int_eq(post_json("{}"), 503);
	says("Retry-After");
	ck_assert_int_lt(monotonic_us() - before, SOON);
	ops->park(source, false);
	full = false;
	begin_core();
	ck_assert_int_eq(post_json("{}"), 200);
}
END_TEST

START_TEST(who_waits_is_answered_when_it_closes)
{
	int fds[20];

	start();
	holding = true;
	for (int i = 0; i < 20; i++) {
		fds[i] = dial();
		put_head(fds[i], JSON_TYPE, 5);
		put(fds[i], "[1,2]", 5);
	}
	wait_for_got(40);
	close_it();
	for (int i = 0; i < 20; i++) {
		ck_assert_int_eq(take_reply(fds[i]), 503);
		says("Connection: close");
		close(fds[i]);
	}
}
END_TEST

START_TEST(a_client_that_has_gone_takes_nothing_with_it)
{
	start();
	holding = true;
	for (int i = 0; i < 10; i++) {
		const int fd = dial();

		put_head(fd, JSON_TYPE, 2);
		put(fd, "{}", 2);
		wait_for_got((size_t)i + 1);
		close(fd);
	}
	holding = false;
	ck_assert_int_eq(post_json("{}"), 200);
}
END_TEST

/* A client that sends and is gone before there is an answer. */
static void send_and_leave(const char *body, size_t records)
{
	const size_t before = got_count;
	const int fd = dial();

	put_head(fd, JSON_TYPE, strlen(body));
	put(fd, body, strlen(body));
	wait_for_got(before + records);
	close(fd);
}

START_TEST(what_was_rejected_and_not_told_is_given_to_the_core_again)
{
	static const char body[] = "[1,\"bad 2\",3,\"clash\"]";

	start();
	holding = true;
	send_and_leave(body, 4);
	holding = false;
	wait_for_got(6);
	ck_assert_str_eq(got[4].body, "\"bad 2\"");
	ck_assert_uint_eq(got[4].flags, BURSAR_MESSAGE_UNANSWERED);
	ck_assert_uint_eq(got[4].offset, 1);
	ck_assert_str_eq(got[4].origin, got[1].origin);
	ck_assert_str_eq(got[5].body, "\"clash\"");

	/* Once, and nobody else is taken for gone. */
	ck_assert_int_eq(post_json("[\"bad\"]"), 422);
	ck_assert_int_eq(post("Connection: close\r\n" JSON_TYPE,
	                      "[\"bad\",1]"), 207);
	poll(NULL, 0, 500);
	ck_assert_uint_eq(got_count, 9);
	for (int i = 0; i < 1200 && unsent() == 0; i++) {
		poll(NULL, 0, 10);
	}
	ck_assert_int_eq(unsent(), 1);
}
END_TEST

START_TEST(what_its_sender_may_not_send_is_never_given_again)
{
	start();
	holding = true;
	send_and_leave("[\"forbidden\",\"bad\"]", 2);
	holding = false;
	wait_for_got(3);
	ck_assert_str_eq(got[2].body, "\"bad\"");
	poll(NULL, 0, 300);
	ck_assert_uint_eq(got_count, 3);
}
END_TEST

START_TEST(what_is_returned_when_it_was_given_again_comes_once_more)
{
	start();
	holding = true;
	send_and_leave("[\"bad\"]", 1);
	ck_assert_uint_eq(got_count, 1);
	returning = 1;
	holding = false;
	wait_for_got(3);
	ck_assert_str_eq(got[2].body, "\"bad\"");
	ck_assert_uint_eq(got[2].flags, BURSAR_MESSAGE_UNANSWERED);
	poll(NULL, 0, 300);
	ck_assert_uint_eq(got_count, 3);
}
END_TEST

START_TEST(who_was_told_to_come_again_is_believed)
{
	fakehost_set(&host, "answer-timeout", "200ms");
	start();
	holding = true;
	ck_assert_int_eq(post_json("[\"bad\"]"), 503);
	holding = false;
	poll(NULL, 0, 400);
	ck_assert_uint_eq(got_count, 1);
}
END_TEST

static Suite *suite(void)
{
	const struct {
		const char *name;
		const TTest *tests[12];
	} cases[] = {
		{ "Answers", { answers_for_each_record_what_became_of_it,
		  tells_a_request_that_failed_as_a_whole,
		  takes_lines_and_packed_bodies, refuses_what_makes_no_sense,
		  refuses_other_types_places_and_methods,
		  a_connection_serves_many_requests,
		  a_key_gives_each_record_a_place_for_ever } },
		{ "Tokens", { knows_senders_by_their_tokens,
		  reads_tokens_again_when_their_file_changes,
		  refuses_a_file_that_is_no_file_of_tokens,
		  listens_elsewhere_only_with_tokens,
		  refuses_what_is_no_place_to_listen,
		  waits_for_a_port_that_is_taken } },
		{ "Framing", { takes_no_request_that_can_be_read_in_two_ways } },
		{ "Limits", { bounds_bodies_by_their_bytes_unpacked,
		  takes_every_body_that_is_within_its_limits,
		  a_body_that_never_ends_is_told_and_cut,
		  who_sends_all_before_reading_is_told,
		  bounds_records_and_nesting,
		  bounds_the_memory_of_all_requests,
		  an_answer_that_nobody_reads_takes_its_part_of_the_memory,
		  cuts_who_is_slow,
		  bounds_connections_of_an_address } },
		{ "Waiting", { answers_in_time_whatever_the_core_does,
		  what_is_returned_ends_its_request,
		  while_it_is_parked_everybody_is_told_to_come_again,
		  who_waits_is_answered_when_it_closes,
		  a_client_that_has_gone_takes_nothing_with_it,
		  what_was_rejected_and_not_told_is_given_to_the_core_again,
		  what_its_sender_may_not_send_is_never_given_again,
		  what_is_returned_when_it_was_given_again_comes_once_more,
		  who_was_told_to_come_again_is_believed } },
	};
	Suite *s = suite_create("source http");

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		TCase *tc = tcase_create(cases[i].name);

		tcase_add_checked_fixture(tc, setup, teardown);
		tcase_set_timeout(tc, 60);
		for (size_t t = 0; cases[i].tests[t] != NULL; t++) {
			tcase_add_test(tc, cases[i].tests[t]);
		}
		suite_add_tcase(s, tc);
	}
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());

	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
