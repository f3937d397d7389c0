/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The AMQP source against a broker, loaded as the daemon loads it and driven
 * through its operations only.  `admin` is a connection of the test itself;
 * between source and broker stands, where a test wants it, a proxy that can be
 * told to stop or to cut.  Each test has a queue of its own.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <check.h>
#include <sodium.h>

#include <bursar/source.h>

#include "plugins/sources/amqp_lib.h"

#include "tests/fakehost.h"
#include "tests/soon.h"

#define MAX_GOT 20000
#define ROOM    10000

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct got {
	char    *body;
	size_t   size;
	char     names[200];		/* "name=value ..." of the headers */
	char     id[64];
	char     rest[300];		/* the other properties */
	char     place[300];
	char     digest[65];
	uint64_t token;
	uint64_t full_size;
	int64_t  timestamp_us;
	unsigned flags;
	bool     has_origin;
};

static const char *broker;		/* BURSAR_TEST_AMQP */
static struct amqp_connection_info at;	/* ... in parts */
static char at_text[500];
static amqp_connection_state_t admin;
static char queue[64];
static char exchange[80];

static struct fakehost host;
static const struct bursar_source_ops *ops;
static struct bursar_source *source;
static struct bursar_error err;
static struct got *got;
static size_t got_count;
static size_t settled_count;
static size_t max_message;
static int wake[2];

static int64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void pause_ms(int ms)
{
	poll(NULL, 0, ms);
}

/* --- admin ---------------------------------------------------------------- */

static void must(amqp_rpc_reply_t reply, const char *what)
{
	ck_assert_msg(reply.reply_type == AMQP_RESPONSE_NORMAL,
	              "%s: the broker said no", what);
}

static void admin_connect(void)
{
	admin = amqp_new_connection();
	amqp_socket_t *socket = amqp_tcp_socket_new(admin);

	ck_assert_int_eq(amqp_socket_open(socket, at.host, at.port), 0);
	must(amqp_login(admin, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN,
	                at.user, at.password), "login");
	amqp_channel_open(admin, 1);
	must(amqp_get_rpc_reply(admin), "channel");
	amqp_confirm_select(admin, 1);
	must(amqp_get_rpc_reply(admin), "confirms");
}

static void admin_gone(void)
{
	if (admin != NULL) {
		amqp_destroy_connection(admin);
		admin = NULL;
	}
}

static amqp_bytes_t bytes_of(const char *text)
{
	return amqp_cstring_bytes(text);
}

/* With up to two arguments of text, and whether it is exclusive. */
static void declare_as(const char *name, bool exclusive, amqp_table_t arguments)
{
	amqp_queue_declare(admin, 1, bytes_of(name), 0, !exclusive, exclusive,
	                   0, arguments);
	must(amqp_get_rpc_reply(admin), "queue.declare");
}

static void declare(const char *name)
{
	declare_as(name, false, amqp_empty_table);
}

static amqp_table_entry_t text_entry(const char *key, const char *text)
{
	amqp_table_entry_t entry = {
		.key = bytes_of(key), .value.kind = AMQP_FIELD_KIND_UTF8,
	};

	entry.value.value.bytes = bytes_of(text);
	return entry;
}

static void declare_with(const char *name, const char *key, const char *text)
{
	amqp_table_entry_t entry = text_entry(key, text);

	declare_as(name, false, (amqp_table_t){ 1, &entry });
}

static void declare_exchange(void)
{
	amqp_exchange_declare(admin, 1, bytes_of(exchange), bytes_of("topic"),
	                      0, 0, 0, 0, amqp_empty_table);
	must(amqp_get_rpc_reply(admin), "exchange.declare");
}

static void delete_exchange(void)
{
	amqp_exchange_delete(admin, 1, bytes_of(exchange), 0);
	must(amqp_get_rpc_reply(admin), "exchange.delete");
}

static void delete_queue(const char *name)
{
	amqp_queue_delete(admin, 1, bytes_of(name), 0, 0);
	must(amqp_get_rpc_reply(admin), "queue.delete");
}

/* Waits for the broker's confirmation of what was published. */
static void confirmed(uint64_t count)
{
	amqp_frame_t frame;
	uint64_t tag = 0;

	while (tag < count) {
		ck_assert_int_eq(amqp_simple_wait_frame(admin, &frame), 0);
		ck_assert_int_eq(frame.frame_type, AMQP_FRAME_METHOD);
		ck_assert_uint_eq(frame.payload.method.id,
		                  AMQP_BASIC_ACK_METHOD);
		const amqp_basic_ack_t *ack = frame.payload.method.decoded;

		tag = ack->delivery_tag;
		amqp_maybe_release_buffers(admin);
	}
}

static uint64_t published;

static void publish_with(const char *to, const char *key,
                         const amqp_basic_properties_t *properties,
                         amqp_bytes_t body)
{
	ck_assert_int_eq(amqp_basic_publish(admin, 1, bytes_of(to),
	                                    bytes_of(key), 0, 0, properties,
	                                    body), 0);
	published++;
}

static void publish(const char *text)
{
	publish_with("", queue, NULL, bytes_of(text));
	confirmed(published);
}

/* "m0", "m1" ... from first to before end, into the queue. */
static void publish_many(unsigned first, unsigned end)
{
	char text[32];

	for (unsigned i = first; i < end; i++) {
		snprintf(text, sizeof(text), "m%u", i);
		publish_with("", queue, NULL, bytes_of(text));
	}
	confirmed(published);
}

/* How many messages wait for a consumer. */
static unsigned ready_in(const char *name)
{
	const amqp_queue_declare_ok_t *ok =
		amqp_queue_declare(admin, 1, bytes_of(name), 1, 0, 0, 0,
		                   amqp_empty_table);

	must(amqp_get_rpc_reply(admin), "a look at the queue");
	return ok->message_count;
}

static void wait_for_ready(const char *name, unsigned count)
{
	const int64_t limit = now_us() + 10000000;

	while (ready_in(name) != count && now_us() < limit) {
		pause_ms(20);
	}
	ck_assert_uint_eq(ready_in(name), count);
}

/* Acts on the broker as its administrator does.  False: it is not one that
 * tests/servers started. */
static bool ctl(const char *arguments)
{
	char command[1000];

	if (getenv("BURSAR_TEST_SERVERS") == NULL) {
		return false;
	}
	snprintf(command, sizeof(command), "%s/tests/servers %s >/dev/null",
	         TOP_SRCDIR, arguments);
	ck_assert_msg(system(command) == 0, "%s", command);
	return true;
}

/* --- proxy ---------------------------------------------------------------- */

#define PAIRS 16

enum mode { PASS, HOLD };

static struct {
	pthread_t     thread;
	int           listener;
	int           port;
	int           to_port;
	_Atomic int   mode;
	_Atomic bool  cut;		/* all connections; once */
	_Atomic bool  stop;
	_Atomic int64_t limit;		/* bytes to the source before HOLD */
	int           pairs[PAIRS][2];
} proxy;

static int connect_to(int port)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *list;
	char text[16];

	snprintf(text, sizeof(text), "%d", port);
	ck_assert_int_eq(getaddrinfo("127.0.0.1", text, &hints, &list), 0);
	const int fd = socket(list->ai_family, SOCK_STREAM, 0);
	if (connect(fd, list->ai_addr, list->ai_addrlen) != 0) {
		close(fd);
		freeaddrinfo(list);
		return -1;
	}
	freeaddrinfo(list);
	return fd;
}

static void proxy_drop(int i)
{
	for (int side = 0; side < 2; side++) {
		if (proxy.pairs[i][side] >= 0) {
			close(proxy.pairs[i][side]);
		}
		proxy.pairs[i][side] = -1;
	}
}

static void proxy_accept(void)
{
	const int from = accept(proxy.listener, NULL, NULL);
	int i = 0;

	while (i < PAIRS && proxy.pairs[i][0] >= 0) {
		i++;
	}
	const int to = from >= 0 && i < PAIRS ? connect_to(proxy.to_port) : -1;
	if (to < 0) {
		if (from >= 0) {
			close(from);
		}
		return;
	}
	proxy.pairs[i][0] = from;
	proxy.pairs[i][1] = to;
}

/* One way of one pair; side 1 is the broker's. */
static void proxy_pass(int i, int side)
{
	char buffer[4096];
	size_t size = sizeof(buffer);

	if (side == 1 && proxy.limit < (int64_t)size) {
		size = (size_t)proxy.limit;
	}
	const ssize_t got_bytes = recv(proxy.pairs[i][side], buffer, size, 0);
	if (got_bytes <= 0) {
		proxy_drop(i);
		return;
	}
	if (side == 1 &&
	    atomic_fetch_sub(&proxy.limit, got_bytes) == got_bytes) {
		proxy.mode = HOLD;
	}
	if (send(proxy.pairs[i][!side], buffer, (size_t)got_bytes,
	         MSG_NOSIGNAL) != got_bytes) {
		proxy_drop(i);
	}
}

static void *proxy_run(void *unused)
{
	(void)unused;
	while (!proxy.stop) {
		struct pollfd fds[1 + 2 * PAIRS];

		fds[0] = (struct pollfd){ proxy.listener, POLLIN, 0 };
		for (int i = 0; i < 2 * PAIRS; i++) {
			fds[1 + i] = (struct pollfd){
				proxy.mode == PASS ? proxy.pairs[i / 2][i % 2]
				                   : -1, POLLIN, 0,
			};
		}
		poll(fds, COUNT(fds), 10);
		if (proxy.cut) {
			for (int i = 0; i < PAIRS; i++) {
				proxy_drop(i);
			}
			proxy.cut = false;
			continue;
		}
		if (fds[0].revents != 0) {
			proxy_accept();
		}
		for (int i = 0; i < 2 * PAIRS; i++) {
			if (fds[1 + i].revents != 0 && proxy.mode == PASS &&
			    proxy.pairs[i / 2][i % 2] == fds[1 + i].fd) {
				proxy_pass(i / 2, i % 2);
			}
		}
	}
	for (int i = 0; i < PAIRS; i++) {
		proxy_drop(i);
	}
	return NULL;
}

static int listen_somewhere(int *port)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);
	const struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE,
	};
	struct addrinfo *list;
	char text[16];

	ck_assert_int_eq(getaddrinfo("127.0.0.1", NULL, &hints, &list), 0);
	const int fd = socket(list->ai_family, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(fd, list->ai_addr, list->ai_addrlen), 0);
	ck_assert_int_eq(listen(fd, 16), 0);
	freeaddrinfo(list);
	getsockname(fd, (struct sockaddr *)&address, &size);
	getnameinfo((struct sockaddr *)&address, size, NULL, 0, text,
	            sizeof(text), NI_NUMERICSERV);
	*port = (int)strtol(text, NULL, 10);
	return fd;
}

static void set_uri(const char *scheme, const char *name, int port,
                    const char *vhost)
{
	char uri[300];

	snprintf(uri, sizeof(uri), "%s://%s@%s:%d%s", scheme, at.user, name,
	         port, vhost);
	fakehost_set(&host, "uri", uri);
}

/* From now on the source connects through the proxy. */
static void use_proxy(void)
{
	for (int i = 0; i < PAIRS; i++) {
		proxy.pairs[i][0] = proxy.pairs[i][1] = -1;
	}
	proxy.to_port = at.port;
	proxy.mode = PASS;
	proxy.limit = INT64_MAX;
	proxy.stop = proxy.cut = false;
	proxy.listener = listen_somewhere(&proxy.port);
	ck_assert_int_eq(pthread_create(&proxy.thread, NULL, proxy_run, NULL),
	                 0);
	set_uri("amqp", "127.0.0.1", proxy.port, "/");
}

static void stop_proxy(void)
{
	if (proxy.port != 0) {
		proxy.stop = true;
		pthread_join(proxy.thread, NULL);
		close(proxy.listener);
		proxy.port = 0;
	}
}

static void proxy_cut(void)
{
	proxy.cut = true;
	while (proxy.cut) {
		pause_ms(5);
	}
}

/* --- the source ----------------------------------------------------------- */

static void start(void)
{
	memset(&err, 0, sizeof(err));
	source = ops->open(&host.host, &err);
	ck_assert_msg(source != NULL, "%s", err.text);
}

static void stop(void)
{
	ops->close(source);
	source = NULL;
}

static void forget(void)
{
	for (size_t i = 0; i < got_count; i++) {
		free(got[i].body);
	}
	got_count = settled_count = 0;
}

static void again(void)
{
	stop();
	forget();
	start();
}

static void copy(char *to, size_t room, struct bursar_span span)
{
	ck_assert_uint_lt(span.size, room);
	if (span.size > 0) {
		memcpy(to, span.data, span.size);
	}
	to[span.size] = '\0';
}

static void add_text(char *to, size_t room, const char *name, size_t name_size,
                     struct bursar_span span)
{
	const size_t used = strlen(to);

	snprintf(to + used, room - used, "%s%.*s=%.*s", used > 0 ? " " : "",
	         (int)name_size, name, (int)span.size, span.data);
}

static void take_texts(struct got *g, const struct bursar_message *m)
{
	const struct {
		const char        *name;
		struct bursar_span span;
	} texts[] = {
		{ "key", m->routing_key }, { "correlation", m->correlation_id },
		{ "type", m->content_type },
		{ "encoding", m->content_encoding }, { "app", m->app_id },
	};

	for (size_t i = 0; i < COUNT(texts); i++) {
		if (texts[i].span.data != NULL) {
			add_text(g->rest, sizeof(g->rest), texts[i].name,
			         strlen(texts[i].name), texts[i].span);
		}
	}
	for (size_t i = 0; i < m->header_count; i++) {
		add_text(g->names, sizeof(g->names), m->headers[i].name.data,
		         m->headers[i].name.size, m->headers[i].value);
	}
}

static bool add(struct bursar_batch *batch, const struct bursar_message *m)
{
	struct got *g = &got[got_count];

	if (batch->room == 0) {
		return false;
	}
	ck_assert_uint_lt(got_count, MAX_GOT);
	batch->room--;
	got_count++;
	*g = (struct got){
		.body = malloc(m->body.size + 1), .size = m->body.size,
		.token = m->token, .full_size = m->full_size,
		.flags = m->flags, .timestamp_us = m->timestamp_us,
		.has_origin = m->origin.data != NULL || m->offset != 0,
	};
	copy(g->body, m->body.size + 1, m->body);
	copy(g->place, sizeof(g->place), m->place);
	copy(g->id, sizeof(g->id), m->message_id);
	copy(g->digest, sizeof(g->digest), m->digest);
	take_texts(g, m);
	return true;
}

static enum bursar_verdict read_once(size_t room, int ms)
{
	struct bursar_batch batch = {
		.add = add, .room = room, .max_message = max_message,
	};

	memset(&err, 0, sizeof(err));
	const enum bursar_verdict verdict =
		ops->read(source, &batch, wake[0], now_us() + ms * 1000, &err);
	ck_assert(!batch.ended);
	ck_assert_msg((verdict == BURSAR_DONE) == (err.code == 0),
	              "verdict %d with '%s'", verdict, err.text);
	return verdict;
}

/* RETRY: it is not ready yet. */
static void read_well(size_t room, int ms)
{
	const enum bursar_verdict verdict = read_once(room, ms);

	ck_assert_msg(verdict == BURSAR_DONE || verdict == BURSAR_RETRY,
	              "verdict %d: %s", verdict, err.text);
}

static void read_until(size_t count)
{
	const int64_t limit = now_us() + 20000000;

	while (got_count < count && now_us() < limit) {
		read_well(count - got_count, 50);
	}
	ck_assert_uint_eq(got_count, count);
}

/* Nothing more comes for a while. */
static void read_nothing(int ms)
{
	const size_t before = got_count;
	const int64_t limit = now_us() + ms * 1000;

	while (now_us() < limit) {
		read_well(ROOM, 40);
	}
	ck_assert_uint_eq(got_count, before);
}

/* Reads until there is a verdict that is neither DONE nor RETRY. */
static enum bursar_verdict read_to_failure(size_t room, int ms)
{
	const int64_t limit = now_us() + ms * 1000;
	enum bursar_verdict verdict = BURSAR_DONE;

	while ((verdict == BURSAR_DONE || verdict == BURSAR_RETRY) &&
	       now_us() < limit) {
		verdict = read_once(room, 100);
	}
	return verdict;
}

/* Until the queue is consumed. */
static void connect_source(void)
{
	const int64_t limit = now_us() + 60000000;

	while (read_once(1, 50) != BURSAR_DONE && now_us() < limit) {
	}
	read_well(0, 100);
	ck_assert_uint_ge(fakehost_logged(&host, "connected"), 1);
}

static enum bursar_verdict settle_as(size_t count, enum bursar_outcome outcome)
{
	struct bursar_settled *settled = calloc(count + 1, sizeof(*settled));

	ck_assert_uint_le(settled_count + count, got_count);
	for (size_t i = 0; i < count; i++) {
		settled[i].token = got[settled_count + i].token;
		settled[i].outcome = outcome;
	}
	memset(&err, 0, sizeof(err));
	const enum bursar_verdict verdict =
		ops->settle(source, settled, count, &err);
	free(settled);
	if (verdict == BURSAR_DONE) {
		settled_count += count;
	}
	return verdict;
}

static void settle(size_t count)
{
	ck_assert_int_eq(settle_as(count, BURSAR_STORED), BURSAR_DONE);
}

static void settle_all(void)
{
	settle(got_count - settled_count);
}

static void assert_logged(const char *words)
{
	ck_assert_msg(strstr(host.log, words) != NULL, "'%s' not in:\n%s",
	              words, host.log);
}

static void assert_secret(const char *secret)
{
	ck_assert_ptr_null(strstr(host.log, secret));
	ck_assert_ptr_null(strstr(err.text, secret));
}

static void setup(void)
{
	static unsigned number;

	snprintf(at_text, sizeof(at_text), "%s", broker);
	ck_assert_int_eq(amqp_parse_url(at_text, &at), 0);
	snprintf(queue, sizeof(queue), "t.%ld.%u", (long)getpid(), ++number);
	snprintf(exchange, sizeof(exchange), "x.%s", queue);
	ck_assert_int_eq(pipe(wake), 0);
	got = calloc(MAX_GOT, sizeof(*got));
	ck_assert_ptr_nonnull(got);
	published = 0;
	admin_connect();

	const struct bursar_plugin *plugin = fakehost_load("source", "amqp");
	ck_assert_int_eq(plugin->kind, BURSAR_SOURCE);
	ops = plugin->ops.source;
	fakehost_init(&host, NULL);
	host.host.state_dir = "/nonexistent";	/* not only to check */
	fakehost_declare(&host, plugin->options);
	set_uri("amqp", at.host, at.port, "/");
	fakehost_set(&host, "password", at.password);
	fakehost_set(&host, "queue", queue);
	fakehost_set(&host, "look-interval", "100ms");
	max_message = 1 << 20;
}

static void teardown(void)
{
	stop();
	stop_proxy();
	if (admin == NULL) {
		admin_connect();
	}
	amqp_queue_delete(admin, 1, bytes_of(queue), 0, 0);
	amqp_exchange_delete(admin, 1, bytes_of(exchange), 0);
	admin_gone();
	forget();
	free(got);
	fakehost_finish(&host);
	close(wake[0]);
	close(wake[1]);
}

/* --- messages ------------------------------------------------------------- */

static amqp_table_entry_t entry_of(const char *key, uint8_t kind)
{
	return (amqp_table_entry_t){
		.key = bytes_of(key), .value.kind = kind,
	};
}

START_TEST(takes_messages_with_their_properties)
{
	amqp_table_entry_t headers[] = {
		text_entry("X-Legion-Retention", "days_30"),
		entry_of("flag", AMQP_FIELD_KIND_BOOLEAN),
		entry_of("small", AMQP_FIELD_KIND_I32),
		entry_of("large", AMQP_FIELD_KIND_U64),
		entry_of("real", AMQP_FIELD_KIND_F64),
		entry_of("table", AMQP_FIELD_KIND_TABLE),
		entry_of("nothing", AMQP_FIELD_KIND_VOID),
		text_entry("last", ""),
	};
	headers[1].value.value.boolean = 1;
	headers[2].value.value.i32 = -7;
	headers[3].value.value.u64 = UINT64_MAX;
	headers[4].value.value.f64 = 0.1;
	amqp_basic_properties_t properties = {
		._flags = AMQP_BASIC_CONTENT_TYPE_FLAG |
			AMQP_BASIC_CONTENT_ENCODING_FLAG |
			AMQP_BASIC_CORRELATION_ID_FLAG |
			AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_APP_ID_FLAG |
			AMQP_BASIC_TIMESTAMP_FLAG | AMQP_BASIC_HEADERS_FLAG,
		.content_type = bytes_of("application/json"),
		.content_encoding = bytes_of("identity"),
		.correlation_id = bytes_of("req_1"),
		.message_id = bytes_of("meter_1"),
		.app_id = bytes_of("legion"),
		.timestamp = 1779014529,
		.headers = { COUNT(headers), headers },
	};

	declare(queue);
	publish_with("", queue, &properties, bytes_of("{\"a\":1}"));
	publish_with("", queue, NULL, bytes_of(""));
	confirmed(2);
	start();
	read_until(2);

	char rest[300];
	snprintf(rest, sizeof(rest), "key=%s correlation=req_1 "
	         "type=application/json encoding=identity app=legion", queue);
	ck_assert_str_eq(got[0].body, "{\"a\":1}");
	ck_assert_str_eq(got[0].id, "meter_1");
	ck_assert_str_eq(got[0].rest, rest);
	ck_assert_str_eq(got[0].names, "x-legion-retention=days_30 flag=true "
	                 "small=-7 large=18446744073709551615 real=0.1 last=");
	ck_assert_int_eq(got[0].timestamp_us, INT64_C(1779014529000000));
	ck_assert_str_eq(got[0].place, queue);
	ck_assert(!got[0].has_origin);
	ck_assert_uint_eq(got[0].flags, 0);
	ck_assert_uint_eq(got[1].size, 0);
	ck_assert_str_eq(got[1].id, "");
	ck_assert_int_eq(got[1].timestamp_us, 0);
}
END_TEST

/* Bytes that differ everywhere; to be freed. */
static char *pattern(size_t size)
{
	char *data = malloc(size);

	ck_assert_ptr_nonnull(data);
	for (size_t i = 0; i < size; i++) {
		data[i] = (char)((i * 7 + i / 251) & 0xff);
	}
	return data;
}

START_TEST(puts_long_messages_together)
{
	static const size_t sizes[] = { 131064, 131065, 700000, 1, 1048576 };
	char *data = pattern(1 << 20);

	declare(queue);
	for (size_t i = 0; i < COUNT(sizes); i++) {
		publish_with("", queue, NULL, (amqp_bytes_t){ sizes[i], data });
	}
	confirmed(published);
	start();
	read_until(COUNT(sizes));

	for (size_t i = 0; i < COUNT(sizes); i++) {
		ck_assert_uint_eq(got[i].size, sizes[i]);
		ck_assert_mem_eq(got[i].body, data, sizes[i]);
		ck_assert_uint_eq(got[i].flags, 0);
	}
	free(data);
}
END_TEST

static void assert_cut(const struct got *g, const char *data, size_t size)
{
	unsigned char hash[crypto_hash_sha256_BYTES];
	char hex[2 * sizeof(hash) + 1];
	const size_t kept = size < 65536 ? size : 65536;

	crypto_hash_sha256(hash, (const unsigned char *)data, size);
	sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
	ck_assert_uint_eq(g->flags, BURSAR_MESSAGE_OVERSIZE);
	ck_assert_uint_eq(g->full_size, size);
	ck_assert_uint_eq(g->size, kept);
	ck_assert_mem_eq(g->body, data, kept);
	ck_assert_str_eq(g->digest, hex);
}

START_TEST(cuts_what_is_too_long)
{
	char *data = pattern(400000);

	declare(queue);
	publish_with("", queue, NULL, (amqp_bytes_t){ 400000, data });
	publish_with("", queue, NULL, (amqp_bytes_t){ 1000, data });
	publish_with("", queue, NULL, (amqp_bytes_t){ 1001, data });
	confirmed(3);
	max_message = 1000;
	start();
	read_until(3);

	assert_cut(&got[0], data, 400000);
	ck_assert_uint_eq(got[1].flags, 0);
	ck_assert_uint_eq(got[1].size, 1000);
	ck_assert_uint_eq(got[1].full_size, 0);
	assert_cut(&got[2], data, 1001);
	ck_assert_int_eq(fakehost_figure(&host, "oversize_total"), 2);
	free(data);
}
END_TEST

START_TEST(bounds_the_headers_of_a_message)
{
	amqp_table_entry_t headers[100];
	char keys[100][8];

	for (unsigned i = 0; i < COUNT(headers); i++) {
		snprintf(keys[i], sizeof(keys[i]), "h%u", i);
		headers[i] = text_entry(keys[i], "");
	}
	amqp_basic_properties_t properties = {
		._flags = AMQP_BASIC_HEADERS_FLAG,
		.headers = { COUNT(headers), headers },
	};
	declare(queue);
	publish_with("", queue, &properties, bytes_of("many"));

	char *value = pattern(60000);
	headers[0].value.value.bytes = (amqp_bytes_t){ 60000, value };
	headers[1].value.value.bytes = (amqp_bytes_t){ 60000, value };
	properties.headers.num_entries = 3;
	publish_with("", queue, &properties, bytes_of("large"));
	confirmed(2);
	start();
	read_until(2);

	ck_assert_int_eq(fakehost_figure(&host, "headers_left_out_total"),
	                 36 + 1);
	free(value);
}
END_TEST

/* --- settlement ----------------------------------------------------------- */

START_TEST(acknowledges_what_was_settled_and_no_more)
{
	declare(queue);
	publish_many(0, 10);
	start();
	read_until(10);
	ck_assert_uint_eq(ready_in(queue), 0);

	settle(6);
	stop();
	wait_for_ready(queue, 4);

	forget();
	start();
	read_until(4);
	ck_assert_str_eq(got[0].body, "m6");
	ck_assert_str_eq(got[3].body, "m9");
	ck_assert_uint_eq(got[0].flags, BURSAR_MESSAGE_REDELIVERED);
	ck_assert_int_eq(fakehost_figure(&host, "redelivered_total"), 4);
	settle_all();
	stop();
	wait_for_ready(queue, 0);
}
END_TEST

/* Settles all at once, each with its outcome: S, D, C, F (refused), R. */
static void settle_each(const char *outcomes)
{
	struct bursar_settled settled[32];
	const size_t count = strlen(outcomes);

	for (size_t i = 0; i < count; i++) {
		settled[i] = (struct bursar_settled){
			.token = got[i].token,
			.outcome = outcomes[i] == 'S' ? BURSAR_STORED :
			           outcomes[i] == 'D' ? BURSAR_DUPLICATE :
			           outcomes[i] == 'C' ? BURSAR_CONFLICT :
			           outcomes[i] == 'F' ? BURSAR_REFUSED :
			                                BURSAR_RETURNED,
			.reason = "why not",
		};
	}
	memset(&err, 0, sizeof(err));
	ck_assert_int_eq(ops->settle(source, settled, count, &err),
	                 BURSAR_DONE);
	settled_count = count;
}

START_TEST(acknowledges_also_what_was_refused)
{
	declare(queue);
	publish_many(0, 6);
	start();
	read_until(6);

	settle_each("SFDCSF");
	stop();
	wait_for_ready(queue, 0);
}
END_TEST

START_TEST(rejects_to_the_exchange_of_the_queue)
{
	char dead[80];

	snprintf(dead, sizeof(dead), "%s.dead", queue);
	declare(dead);
	amqp_table_entry_t arguments[] = {
		text_entry("x-dead-letter-exchange", ""),
		text_entry("x-dead-letter-routing-key", dead),
	};
	declare_as(queue, false, (amqp_table_t){ 2, arguments });
	publish_many(0, 10);
	fakehost_set(&host, "dead-letter", "broker");
	start();
	read_until(10);

	settle_each("SSFSCFSSRR");
	wait_for_ready(dead, 3);
	stop();
	wait_for_ready(queue, 2);

	/* In the order in which they were. */
	fakehost_set(&host, "queue", dead);
	forget();
	start();
	read_until(3);
	ck_assert_str_eq(got[0].body, "m2");
	ck_assert_str_eq(got[1].body, "m4");
	ck_assert_str_eq(got[2].body, "m5");
	stop();
	delete_queue(dead);
}
END_TEST

START_TEST(gives_back_by_requeueing)
{
	declare(queue);
	publish_many(0, 5);
	start();
	read_until(5);

	settle_each("SSRRR");
	settled_count = 5;
	read_until(8);
	ck_assert_str_eq(got[5].body, "m2");
	ck_assert_str_eq(got[7].body, "m4");
	ck_assert_uint_eq(got[5].flags, BURSAR_MESSAGE_REDELIVERED);
	settle_all();
	stop();
	wait_for_ready(queue, 0);
}
END_TEST

START_TEST(drops_a_settlement_that_comes_too_late)
{
	declare(queue);
	publish_many(0, 3);
	start();
	read_until(3);
	const uint64_t token = got[1].token;
	again();
	read_until(3);
	ck_assert_uint_ne(got[1].token, token);

	got[0].token = token;
	settle(1);
	ck_assert_int_eq(fakehost_figure(&host, "late_settled_total"), 1);
	read_nothing(100);
	stop();
	wait_for_ready(queue, 3);
}
END_TEST

START_TEST(counts_the_deliveries_of_a_quorum_queue)
{
	declare_with(queue, "x-queue-type", "quorum");
	publish("again and again");
	start();
	for (int i = 0; i < 16; i++) {
		read_until(got_count + 1);
		ck_assert_int_eq(settle_as(1, BURSAR_RETURNED), BURSAR_DONE);
	}
	read_until(17);
	ck_assert_str_eq(got[0].names, "");
	ck_assert_str_eq(got[1].names, "x-delivery-count=1");
	ck_assert_str_eq(got[16].names, "x-delivery-count=16");
	ck_assert_int_eq(fakehost_figure(&host, "often_delivered_total"), 2);
	settle_all();
}
END_TEST

/* --- queue and exchange --------------------------------------------------- */

START_TEST(declares_a_queue_that_is_missing)
{
	fakehost_set(&host, "queue-type", _i == 0 ? "classic" : "quorum");
	start();
	connect_source();
	assert_logged("queue-declared");

	declare_with(queue, "x-queue-type", _i == 0 ? "classic" : "quorum");
	publish("here");
	read_until(1);
	settle_all();
}
END_TEST

START_TEST(takes_a_queue_with_its_arguments)
{
	amqp_table_entry_t arguments[] = {
		text_entry("x-overflow", "reject-publish"),
		entry_of("x-max-length", AMQP_FIELD_KIND_I32),
	};

	arguments[1].value.value.i32 = 1000;
	declare_as(queue, false, (amqp_table_t){ 2, arguments });
	publish("here");
	start();
	read_until(1);
	assert_logged("queue-found");
	settle_all();
}
END_TEST

static void bind_to(const char *bindings)
{
	fakehost_set(&host, "exchange", exchange);
	fakehost_set(&host, "binding", bindings);
}

/* Whether what is published there comes to the queue, within a while. */
static bool arrives(const char *key)
{
	const size_t before = got_count;

	publish_with(exchange, key, NULL, bytes_of(key));
	confirmed(published);
	for (int i = 0; i < 10 && got_count == before; i++) {
		read_well(1, 20);
	}
	return got_count > before;
}

START_TEST(binds_the_queue)
{
	declare_exchange();
	bind_to("metering.#,other.one");
	start();
	connect_source();

	ck_assert(arrives("metering.chat"));
	ck_assert(arrives("other.one"));
	ck_assert(!arrives("other.two"));
	ck_assert_uint_eq(fakehost_logged(&host, "exchange-missing"), 0);
}
END_TEST

START_TEST(waits_for_an_exchange_that_comes_later)
{
	bind_to("metering.#");
	start();
	connect_source();
	ck_assert_uint_eq(fakehost_logged(&host, "exchange-missing"), 1);
	publish("meanwhile");
	read_until(1);

	declare_exchange();
	for (int i = 0; i < 100 &&
	     fakehost_logged(&host, "exchange-found") == 0; i++) {
		read_well(1, 20);
	}
	read_well(1, 100);
	ck_assert(arrives("metering.chat"));

	/* Made anew, it has forgotten its bindings. */
	delete_exchange();
	declare_exchange();
	read_nothing(400);
	ck_assert(arrives("metering.chat"));
	settle_all();
	ck_assert_uint_eq(fakehost_logged(&host, "connected"), 1);
}
END_TEST

START_TEST(says_who_must_act_when_the_queue_is_held_by_another)
{
	declare_as(queue, true, amqp_empty_table);
	start();
	ck_assert_int_eq(read_to_failure(1, 60000), BURSAR_CONFIG);
	ck_assert_ptr_nonnull(strstr(err.text, "405"));

	/* And goes on when it was done. */
	delete_queue(queue);
	declare(queue);
	publish("here");
	read_until(1);
	settle_all();
}
END_TEST

/* --- prefetch ------------------------------------------------------------- */

START_TEST(takes_few_messages_until_one_is_stored)
{
	declare(queue);
	publish_many(0, 400);
	start();
	read_until(50);
	read_nothing(200);
	ck_assert_uint_eq(ready_in(queue), 350);

	ck_assert_int_eq(settle_as(1, BURSAR_REFUSED), BURSAR_DONE);
	read_until(51);
	read_nothing(100);

	/* In their order, none twice. */
	settle(1);
	read_until(400);
	for (unsigned i = 0; i < 400; i++) {
		char text[16];

		snprintf(text, sizeof(text), "m%u", i);
		ck_assert_str_eq(got[i].body, text);
	}
	settle_all();
	read_nothing(100);
	stop();
	wait_for_ready(queue, 0);
}
END_TEST

START_TEST(takes_no_more_than_prefetch)
{
	declare(queue);
	publish_many(0, 400);
	fakehost_set(&host, "prefetch", _i == 0 ? "20" : "100");
	start();
	read_until(_i == 0 ? 20 : 50);
	settle(5);
	/* What the first consumer was sent does not count for the second. */
	const unsigned most = _i == 0 ? 25 : 100 + 50;
	read_until(most);
	read_nothing(200);
}
END_TEST

START_TEST(takes_less_of_large_messages)
{
	char *data = pattern(20000);

	declare(queue);
	for (int i = 0; i < 100; i++) {
		publish_with("", queue, NULL, (amqp_bytes_t){ 20000, data });
	}
	confirmed(published);
	fakehost_set(&host, "prefetch-bytes", "200000");
	start();
	read_until(50);
	settle(1);
	/* Nine more, beside those that the first consumer was sent. */
	read_until(59);
	read_nothing(200);
	settle(49);
	read_nothing(200);
	settle(1);
	read_until(60);
	free(data);
}
END_TEST

START_TEST(keeps_what_there_is_no_room_for)
{
	declare(queue);
	publish_many(0, 40);
	start();
	for (unsigned i = 1; i <= 40; i++) {
		read_until(i);
		read_well(0, 1);
	}
	ck_assert_str_eq(got[39].body, "m39");
	settle_all();
	stop();
	wait_for_ready(queue, 0);
}
END_TEST

/* --- parking -------------------------------------------------------------- */

START_TEST(lets_others_have_the_messages_while_parked)
{
	declare(queue);
	publish_many(0, 30);
	start();
	read_until(10);
	ck_assert_int_eq(settle_as(10, BURSAR_RETURNED), BURSAR_DONE);

	ops->park(source, true);
	for (int i = 0; i < 20; i++) {
		read_well(0, 20);
	}
	wait_for_ready(queue, 30);
	ck_assert_uint_eq(got_count, 10);

	ops->park(source, false);
	forget();
	read_until(30);
	ck_assert_str_eq(got[0].body, "m0");
	ck_assert_uint_eq(fakehost_logged(&host, "connected"), 1);
	settle_all();
	stop();
	wait_for_ready(queue, 0);
}
END_TEST

START_TEST(may_be_called_back_at_once)
{
	declare(queue);
	publish_many(0, 30);
	start();
	read_until(10);
	ck_assert_int_eq(settle_as(10, BURSAR_RETURNED), BURSAR_DONE);
	/* At every moment: a broker that is told to end a consumer before it
	 * said that it began may lose the channel. */
	for (int i = 0; i < 300; i++) {
		ops->park(source, true);
		ops->park(source, false);
		read_well(0, i % 4 * 3);
	}
	forget();
	read_until(30);
	read_nothing(100);
	settle_all();
	stop();
	wait_for_ready(queue, 0);
}
END_TEST

START_TEST(begins_small_after_it_was_parked)
{
	declare(queue);
	publish_many(0, 200);
	start();
	read_until(50);
	settle(50);
	read_until(200);
	ck_assert_int_eq(settle_as(150, BURSAR_RETURNED), BURSAR_DONE);
	ops->park(source, true);
	read_well(0, 100);
	ops->park(source, false);
	forget();
	read_until(50);
	read_nothing(200);
}
END_TEST

/* --- the connection ------------------------------------------------------- */

START_TEST(stays_connected_while_nobody_reads)
{
	const int64_t end = now_us() + 4500000;

	fakehost_set(&host, "heartbeat", "1s");
	declare(queue);
	publish_many(0, 40);
	start();
	read_until(1);
	if (_i == 1) {
		settle_as(1, BURSAR_RETURNED);
		ops->park(source, true);
	}
	while (now_us() < end) {
		read_well(0, 900);
	}
	ops->park(source, false);
	forget();
	read_until(_i == 1 ? 40 : 39);
	ck_assert_uint_eq(fakehost_logged(&host, "connected"), 1);
}
END_TEST

START_TEST(notices_a_peer_that_is_silent)
{
	fakehost_set(&host, "heartbeat", "1s");
	use_proxy();
	declare(queue);
	publish_many(0, 3);
	start();
	read_until(3);
	proxy.mode = HOLD;

	const int64_t begun = now_us();
	ck_assert_int_eq(read_to_failure(1, 60000), BURSAR_DOWN);
	ck_assert_int_lt(now_us() - begun, SOON);
	stop();
	stop_proxy();
	wait_for_ready(queue, 3);
}
END_TEST

START_TEST(settles_and_closes_in_time_with_a_peer_that_is_silent)
{
	use_proxy();
	declare(queue);
	publish_many(0, 30);
	start();
	read_until(30);
	proxy.mode = HOLD;

	int64_t begun = now_us();
	for (size_t i = 0; i < 30; i++) {
		settle(1);
	}
	ck_assert_int_lt(now_us() - begun, SOON);
	ops->park(source, true);
	begun = now_us();
	stop();
	ck_assert_int_lt(now_us() - begun, SOON);
}
END_TEST

START_TEST(gives_up_a_broker_that_takes_nothing)
{
	declare(queue);
	publish_many(0, 50);
	use_proxy();
	start();
	read_until(50);
	settle(1);
	read_well(0, 50);
	proxy.mode = HOLD;

	/* Until its buffers and ours are full. */
	enum bursar_verdict verdict = BURSAR_DONE;
	int64_t longest = 0;
	for (int i = 0; i < 2000000 && verdict == BURSAR_DONE; i++) {
		const int64_t begun = now_us();

		ops->park(source, i % 2 == 0);
		if (i % 2 == 0) {
			verdict = settle_as(0, BURSAR_STORED);
		}
		longest = now_us() - begun > longest ? now_us() - begun
		                                     : longest;
	}
	ck_assert_int_lt(longest, 1000000);
}
END_TEST

START_TEST(does_not_wait_for_the_rest_of_a_message_for_ever)
{
	char *data = pattern(300000);

	fakehost_set(&host, "connect-timeout", "700ms");
	use_proxy();
	start();
	connect_source();
	proxy.limit = 200000;
	publish_with("", queue, NULL, (amqp_bytes_t){ 300000, data });
	confirmed(1);

	const int64_t begun = now_us();
	ck_assert_int_eq(read_to_failure(1, 60000), BURSAR_DOWN);
	ck_assert_ptr_nonnull(strstr(err.text, "in the middle of a message"));
	ck_assert_int_lt(now_us() - begun, SOON);
	ck_assert_uint_eq(got_count, 0);
	stop();
	proxy.limit = INT64_MAX;
	proxy.mode = PASS;
	start();
	read_until(1);
	ck_assert_uint_eq(got[0].size, 300000);
	free(data);
}
END_TEST

START_TEST(is_down_when_the_connection_is_cut)
{
	use_proxy();
	declare(queue);
	publish_many(0, 20);
	start();
	read_until(10);
	/* Half of the cases with no room, where nothing is read. */
	proxy_cut();
	ck_assert_int_eq(read_to_failure(_i == 0 ? ROOM : 0, 3000),
	                 BURSAR_DOWN);
	again();
	read_until(20);
	settle_all();
	stop();
	wait_for_ready(queue, 0);
}
END_TEST

START_TEST(is_down_when_its_queue_is_deleted)
{
	declare(queue);
	publish_many(0, 3);
	start();
	read_until(3);
	delete_queue(queue);
	ck_assert_int_eq(read_to_failure(1, 3000), BURSAR_DOWN);
	ck_assert_ptr_nonnull(strstr(err.text, "deleted"));

	again();
	connect_source();
	publish("anew");
	read_until(1);
	settle_all();
}
END_TEST

START_TEST(is_down_when_the_broker_says_so)
{
	declare(queue);
	publish_many(0, 3);
	start();
	read_until(3);
	if (!ctl("rabbitmqctl close_all_connections 'enough of it'")) {
		return;
	}
	ck_assert_int_eq(read_to_failure(1, 3000), BURSAR_DOWN);
	ck_assert_ptr_nonnull(strstr(err.text, "320"));
	admin_gone();
	admin_connect();
	again();
	read_until(3);
}
END_TEST

START_TEST(goes_on_after_a_restart_of_the_broker)
{
	amqp_basic_properties_t durable = {
		._flags = AMQP_BASIC_DELIVERY_MODE_FLAG, .delivery_mode = 2,
	};

	declare(queue);
	for (int i = 0; i < 5; i++) {
		publish_with("", queue, &durable, bytes_of("kept"));
	}
	confirmed(5);
	start();
	read_until(5);
	settle(2);
	read_well(0, 200);
	if (!ctl("restart rabbitmq")) {
		return;
	}
	ck_assert_int_eq(read_to_failure(1, 3000), BURSAR_DOWN);
	admin_gone();
	admin_connect();
	again();
	read_until(3);
	settle_all();
	stop();
	wait_for_ready(queue, 0);
}
END_TEST

START_TEST(raises_an_alarm_when_the_broker_loses_patience)
{
	if (!ctl("rabbitmqctl eval 'application:set_env(rabbit, "
	         "consumer_timeout, 1000), application:set_env(rabbit, "
	         "channel_tick_interval, 300).'")) {
		return;
	}
	declare(queue);
	publish("held");
	start();
	read_until(1);
	const enum bursar_verdict verdict = read_to_failure(1, 10000);
	ctl("rabbitmqctl eval 'application:set_env(rabbit, consumer_timeout, "
	    "1800000), application:set_env(rabbit, channel_tick_interval, "
	    "60000).'");
	ck_assert_int_eq(verdict, BURSAR_DOWN);
	assert_logged("error consumer-timeout");
	again();
	read_until(1);
	settle_all();
}
END_TEST

/* --- deadlines ------------------------------------------------------------ */

START_TEST(keeps_deadlines_before_it_is_connected)
{
	int port;
	const int listener = listen_somewhere(&port);

	/* It accepts, and says nothing. */
	set_uri("amqp", "127.0.0.1", port, "/");
	fakehost_set(&host, "connect-timeout", "1s");
	start();
	const int64_t begun = now_us();
	ck_assert_int_eq(read_once(1, 100), BURSAR_RETRY);
	ck_assert_int_eq(read_once(0, 100), BURSAR_DONE);
	ck_assert_int_eq(read_to_failure(1, 60000), BURSAR_DOWN);
	ck_assert_int_lt(now_us() - begun, SOON);
	stop();
	close(listener);
}
END_TEST

static void *wake_later(void *unused)
{
	(void)unused;
	pause_ms(200);
	ck_assert_int_eq(write(wake[1], "x", 1), 1);
	return NULL;
}

START_TEST(returns_when_it_is_woken)
{
	pthread_t thread;

	start();
	connect_source();
	const int64_t begun = now_us();
	pthread_create(&thread, NULL, wake_later, NULL);
	ck_assert_int_eq(read_once(_i == 0 ? 1 : 0, 60000), BURSAR_DONE);
	ck_assert_int_lt(now_us() - begun, SOON);
	ck_assert_int_ge(now_us() - begun, 150000);
	pthread_join(thread, NULL);
}
END_TEST

START_TEST(is_down_where_nobody_listens)
{
	int port;

	close(listen_somewhere(&port));
	set_uri("amqp", "127.0.0.1", port, "/");
	start();
	ck_assert_int_eq(read_once(0, 10), BURSAR_DONE);
	ck_assert_int_eq(read_once(1, 1000), BURSAR_DOWN);
}
END_TEST

/* --- who we are ----------------------------------------------------------- */

START_TEST(says_who_must_act_when_login_is_refused)
{
	fakehost_set(&host, "password", "wrong-secret");
	declare(queue);
	publish("here");
	start();
	ck_assert_int_eq(read_to_failure(1, 60000), BURSAR_CONFIG);
	ck_assert_ptr_nonnull(strstr(err.text, "login refused"));
	assert_secret("wrong-secret");
}
END_TEST

START_TEST(finds_its_virtual_host)
{
	static const char *const vhosts[] = { "", "/", "/%2f", "/%2F" };

	declare(queue);
	publish("here");
	set_uri("amqp", at.host, at.port, vhosts[_i]);
	start();
	read_until(1);
}
END_TEST

START_TEST(says_who_must_act_where_there_is_no_virtual_host)
{
	set_uri("amqp", at.host, at.port, "/no%20where");
	start();
	ck_assert_int_eq(read_to_failure(1, 60000), BURSAR_CONFIG);
	ck_assert_ptr_nonnull(strstr(err.text, "no where"));
}
END_TEST

START_TEST(warns_of_a_password_in_the_uri)
{
	char uri[300];

	snprintf(uri, sizeof(uri), "amqp://%s:%s@%s:%d/", at.user,
	         _i == 0 ? at.password : "guest", at.host, at.port);
	fakehost_set(&host, "uri", uri);
	fakehost_set(&host, "password", _i == 0 ? NULL : at.password);
	start();
	connect_source();
	ck_assert_uint_eq(fakehost_logged(&host, "password-in-uri"), _i == 0);
	if (_i == 0) {
		assert_logged("password-file");
	}
	assert_secret(at.password);
}
END_TEST

static const char *const bad_uris[] = {
	"", "localhost", "http://hush:hush-secret@h/",
	"amqp://u:hush-secret@h:port/", "amqp://u:hush-secret@h:0/",
	"amqp://u:hush-secret@h/%", "amqp://u:hush-secret%00@h/",
	"amqp://u:hush-secret@h/v?heartbeat=5", "amqp://u:hush-secret@h/a/b",
};

START_TEST(refuses_a_uri_without_repeating_it)
{
	fakehost_set(&host, "uri", bad_uris[_i]);
	memset(&err, 0, sizeof(err));
	ck_assert_ptr_null(ops->open(&host.host, &err));
	ck_assert_ptr_nonnull(strstr(err.text, "uri"));
	assert_secret("hush");
}
END_TEST

static const struct {
	const char *name, *value, *name2, *value2, *word;
} bad_options[] = {
	{ "queue", "", NULL, NULL, "queue" },
	{ "binding", "a.#", NULL, NULL, "exchange" },
	{ "sasl", "external", NULL, NULL, "amqps" },
	{ "ca-file", "/nowhere", NULL, NULL, "amqps" },
	{ "ca-file", "/nowhere", "uri", "amqps://u:p@h", "/nowhere" },
	{ "cert-file", "/nowhere", "uri", "amqps://u:p@h", "key-file" },
	{ "sasl", "external", "uri", "amqps://u:p@h", "cert-file" },
	{ "uri", "amqp://somebody@h/", "password", NULL, "password-file" },
	{ "user", "somebody", "password", NULL, "password-file" },
};

START_TEST(refuses_options_that_do_not_fit)
{
	fakehost_set(&host, bad_options[_i].name, bad_options[_i].value);
	if (bad_options[_i].name2 != NULL) {
		fakehost_set(&host, bad_options[_i].name2,
		             bad_options[_i].value2);
	}
	memset(&err, 0, sizeof(err));
	ck_assert_ptr_null(ops->open(&host.host, &err));
	ck_assert_msg(strstr(err.text, bad_options[_i].word) != NULL, "%s",
	              err.text);
}
END_TEST

START_TEST(refuses_a_key_that_others_can_read)
{
	char key[] = "test_source_amqp.XXXXXX";
	const int fd = mkstemp(key);

	close(fd);
	fakehost_set(&host, "uri", "amqps://u:p@h");
	fakehost_set(&host, "cert-file", key);
	fakehost_set(&host, "key-file", key);
	for (int i = 0; i < 2; i++) {
		memset(&err, 0, sizeof(err));
		ck_assert_int_eq(chmod(key, i == 0 ? 0604 : 0600), 0);
		struct bursar_source *opened = ops->open(&host.host, &err);
		ck_assert_msg((opened == NULL) == (i == 0), "%s", err.text);
		ck_assert(i > 0 || strstr(err.text, "key-file: ") != NULL);
		if (opened != NULL) {
			ops->close(opened);
		}
	}
	unlink(key);
}
END_TEST

static int tls_port(void)
{
	const char *uri = getenv("BURSAR_TEST_AMQPS");
	const char *port = uri != NULL ? strrchr(uri, ':') : NULL;

	return port != NULL ? (int)strtol(port + 1, NULL, 10) : 0;
}

START_TEST(speaks_tls_to_whom_it_trusts)
{
	if (tls_port() == 0) {
		return;
	}
	declare(queue);
	publish_many(0, 20);
	set_uri("amqps", "localhost", tls_port(), "/");
	fakehost_set(&host, "ca-file", getenv("BURSAR_TEST_CA"));
	start();
	read_until(20);
	settle_all();
	assert_logged("tls=yes");
	stop();
	wait_for_ready(queue, 0);
}
END_TEST

START_TEST(speaks_to_nobody_else)
{
	if (tls_port() == 0) {
		return;
	}
	set_uri("amqps", "localhost", tls_port(), "/");
	start();
	ck_assert_int_eq(read_to_failure(1, 60000), BURSAR_DOWN);
	ck_assert_uint_eq(fakehost_logged(&host, "connected"), 0);
}
END_TEST

START_TEST(checks_the_name_too)
{
	static const char *const names[] = { "localhost.localdomain", "ip6-localhost" };
	struct addrinfo *list;

	if (tls_port() == 0 || getaddrinfo(names[_i], NULL, NULL, &list) != 0) {
		return;
	}
	freeaddrinfo(list);
	set_uri("amqps", names[_i], tls_port(), "/");
	fakehost_set(&host, "ca-file", getenv("BURSAR_TEST_CA"));
	start();
	ck_assert_int_eq(read_to_failure(1, 60000), BURSAR_DOWN);
	ck_assert_uint_eq(fakehost_logged(&host, "connected"), 0);
}
END_TEST

START_TEST(logs_in_by_certificate)
{
	if (tls_port() == 0) {
		return;
	}
	declare(queue);
	publish("here");
	set_uri("amqps", "localhost", tls_port(), "/");
	fakehost_set(&host, "password", NULL);
	fakehost_set(&host, "sasl", "external");
	fakehost_set(&host, "ca-file", getenv("BURSAR_TEST_CA"));
	fakehost_set(&host, "cert-file", getenv("BURSAR_TEST_CERT"));
	fakehost_set(&host, "key-file", getenv("BURSAR_TEST_KEY"));
	start();
	if (read_to_failure(1, 1000) == BURSAR_CONFIG) {
		ck_assert_ptr_nonnull(strstr(err.text, "EXTERNAL"));
		return;		/* this broker has not been asked to */
	}
	read_until(1);
	settle_all();
}
END_TEST

/* --- many ----------------------------------------------------------------- */

START_TEST(shares_a_queue_with_others)
{
	struct bursar_source *other;

	declare(queue);
	publish_many(0, 80);
	start();
	read_until(20);
	other = source;
	const size_t first = got_count;

	start();
	read_until(first + 30);
	settled_count = first;
	settle_all();
	stop();
	source = other;
	settled_count = 0;
	settle(first);
	read_until(first + 30 + 30);
	settled_count = first + 30;
	settle_all();
	stop();
	wait_for_ready(queue, 0);
}
END_TEST

static size_t open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t count = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir) != NULL) {
		count++;
	}
	closedir(dir);
	return count;
}

/* Connects, reads, and loses the connection in one way or another. */
static void one_connection(int i)
{
	start();
	read_until(got_count + 1);
	if (i % 4 == 0) {
		settle_as(1, BURSAR_RETURNED);
	}
	if (i % 4 == 1) {
		proxy_cut();
		ck_assert_int_eq(read_to_failure(1, 3000), BURSAR_DOWN);
	}
	stop();
	forget();
}

START_TEST(leaves_nothing_behind_by_reconnecting)
{
	const char *given = getenv("BURSAR_TEST_RECONNECTIONS");
	const int rounds = given != NULL ? (int)strtol(given, NULL, 10) : 300;

	declare(queue);
	publish_many(0, 5);
	use_proxy();
	for (int i = 0; i < 50; i++) {
		one_connection(i);
	}
	const size_t descriptors = open_descriptors();
	const size_t bytes = mallinfo2().uordblks;
	for (int i = 0; i < rounds; i++) {
		one_connection(i);
		host.log_size = 0;
	}
	ck_assert_uint_le(open_descriptors(), descriptors + 2);
	ck_assert_uint_lt(mallinfo2().uordblks, bytes + 20000);
	stop_proxy();
	wait_for_ready(queue, 5);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("source_amqp");

	TCase *messages = tcase_create("messages");
	tcase_add_checked_fixture(messages, setup, teardown);
	tcase_set_timeout(messages, 60);
	tcase_add_test(messages, takes_messages_with_their_properties);
	tcase_add_test(messages, puts_long_messages_together);
	tcase_add_test(messages, cuts_what_is_too_long);
	tcase_add_test(messages, bounds_the_headers_of_a_message);
	suite_add_tcase(s, messages);

	TCase *settling = tcase_create("settlement");
	tcase_add_checked_fixture(settling, setup, teardown);
	tcase_set_timeout(settling, 60);
	tcase_add_test(settling, acknowledges_what_was_settled_and_no_more);
	tcase_add_test(settling, acknowledges_also_what_was_refused);
	tcase_add_test(settling, rejects_to_the_exchange_of_the_queue);
	tcase_add_test(settling, gives_back_by_requeueing);
	tcase_add_test(settling, drops_a_settlement_that_comes_too_late);
	tcase_add_test(settling, counts_the_deliveries_of_a_quorum_queue);
	suite_add_tcase(s, settling);

	TCase *topology = tcase_create("queue and exchange");
	tcase_add_checked_fixture(topology, setup, teardown);
	tcase_set_timeout(topology, 60);
	tcase_add_loop_test(topology, declares_a_queue_that_is_missing, 0, 2);
	tcase_add_test(topology, takes_a_queue_with_its_arguments);
	tcase_add_test(topology, binds_the_queue);
	tcase_add_test(topology, waits_for_an_exchange_that_comes_later);
	tcase_add_test(topology,
	               says_who_must_act_when_the_queue_is_held_by_another);
	suite_add_tcase(s, topology);

	TCase *prefetch = tcase_create("prefetch");
	tcase_add_checked_fixture(prefetch, setup, teardown);
	tcase_set_timeout(prefetch, 60);
	tcase_add_test(prefetch, takes_few_messages_until_one_is_stored);
	tcase_add_loop_test(prefetch, takes_no_more_than_prefetch, 0, 2);
	tcase_add_test(prefetch, takes_less_of_large_messages);
	tcase_add_test(prefetch, keeps_what_there_is_no_room_for);
	suite_add_tcase(s, prefetch);

	TCase *parking = tcase_create("parking");
	tcase_add_checked_fixture(parking, setup, teardown);
	tcase_set_timeout(parking, 60);
	tcase_add_test(parking, lets_others_have_the_messages_while_parked);
	tcase_add_test(parking, may_be_called_back_at_once);
	tcase_add_test(parking, begins_small_after_it_was_parked);
	suite_add_tcase(s, parking);

	TCase *connection = tcase_create("connection");
	tcase_add_checked_fixture(connection, setup, teardown);
	tcase_set_timeout(connection, 120);
	tcase_add_loop_test(connection, stays_connected_while_nobody_reads, 0,
	                    2);
	tcase_add_test(connection, notices_a_peer_that_is_silent);
	tcase_add_test(connection,
	               settles_and_closes_in_time_with_a_peer_that_is_silent);
	tcase_add_test(connection, gives_up_a_broker_that_takes_nothing);
	tcase_add_test(connection,
	               does_not_wait_for_the_rest_of_a_message_for_ever);
	tcase_add_loop_test(connection, is_down_when_the_connection_is_cut, 0,
	                    2);
	tcase_add_test(connection, is_down_when_its_queue_is_deleted);
	tcase_add_test(connection, is_down_when_the_broker_says_so);
	tcase_add_test(connection, goes_on_after_a_restart_of_the_broker);
	tcase_add_test(connection,
	               raises_an_alarm_when_the_broker_loses_patience);
	tcase_add_test(connection, keeps_deadlines_before_it_is_connected);
	tcase_add_loop_test(connection, returns_when_it_is_woken, 0, 2);
	tcase_add_test(connection, is_down_where_nobody_listens);
	suite_add_tcase(s, connection);

	TCase *login = tcase_create("login");
	tcase_add_checked_fixture(login, setup, teardown);
	tcase_set_timeout(login, 60);
	tcase_add_test(login, says_who_must_act_when_login_is_refused);
	tcase_add_loop_test(login, finds_its_virtual_host, 0, 4);
	tcase_add_test(login, says_who_must_act_where_there_is_no_virtual_host);
	tcase_add_loop_test(login, warns_of_a_password_in_the_uri, 0, 2);
	tcase_add_loop_test(login, refuses_a_uri_without_repeating_it, 0,
	                    COUNT(bad_uris));
	tcase_add_test(login, refuses_a_key_that_others_can_read);
	tcase_add_loop_test(login, refuses_options_that_do_not_fit, 0,
	                    COUNT(bad_options));
	tcase_add_test(login, speaks_tls_to_whom_it_trusts);
	tcase_add_test(login, speaks_to_nobody_else);
	tcase_add_loop_test(login, checks_the_name_too, 0, 2);
	tcase_add_test(login, logs_in_by_certificate);
	suite_add_tcase(s, login);

	TCase *many = tcase_create("many");
	tcase_add_checked_fixture(many, setup, teardown);
	tcase_set_timeout(many, 300);
	tcase_add_test(many, shares_a_queue_with_others);
	tcase_add_test(many, leaves_nothing_behind_by_reconnecting);
	suite_add_tcase(s, many);
	return s;
}

/* Runs this program again with a broker around it. */
static int run_with_broker(char **argv)
{
	static const char servers[] = TOP_SRCDIR "/tests/servers";

	execl(servers, servers, "run", "--only", "rabbitmq", "--", argv[0],
	      (char *)NULL);
	perror(servers);
	return 99;
}

int main(int argc, char **argv)
{
	(void)argc;
	broker = getenv("BURSAR_TEST_AMQP");
	if (broker == NULL) {
		return run_with_broker(argv);
	}
	SRunner *runner = srunner_create(suite());

	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
