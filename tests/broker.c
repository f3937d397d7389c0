/* SPDX-License-Identifier: Apache-2.0 */

/*
 * broker - what the tests ask of a RabbitMQ
 *
 *	broker URI publish TARGET FILE [OPTION...]
 *	broker URI consume QUEUE COUNT [PREFETCH]
 *	broker URI get QUEUE COUNT
 *	broker URI count|consumers QUEUE
 *	broker URI declare QUEUE [--quorum] [--argument NAME=VALUE]...
 *	broker URI exchange EXCHANGE TYPE
 *	broker URI bind QUEUE EXCHANGE KEY
 *	broker URI delete|purge QUEUE
 *	broker URI delete-exchange EXCHANGE
 *
 * publish sends each line of FILE ('-' is standard input) as a persistent
 * message.  TARGET is a queue, or EXCHANGE:KEY; without KEY each line brings
 * its own.  A line that is an object with `body` or `body_base64` is an
 * envelope: its properties, headers and routing key are those of the message,
 * its body alone is sent.  Any other line is sent as it is.
 *
 *	--confirm		asks the broker to confirm each message
 *	--window N		so many are sent before they are confirmed (1000)
 *	--until-done		connects again when the connection is gone, and
 *				sends again what was not confirmed
 *	--mandatory		a message that goes to no queue is sent again;
 *				it needs an id
 *	--confirmed FILE	where the ids of the confirmed go, one a line
 *	--rate N		messages a second, at most
 *	--header NAME=VALUE	a header of each message
 *	--ids PREFIX		PREFIX-n is the id of a line that has none
 *
 * consume takes COUNT messages and does nothing with them: what the broker
 * itself can do.  get prints COUNT messages, or all there are, as envelopes.
 * count and consumers print a number.
 *
 * publish and consume end with a line of figures:
 *	broker publish messages=N confirmed=N connections=N seconds=S per_s=R
 *	broker consume messages=N seconds=S per_s=R client_us=C
 *
 * amqps is verified with the authority in $BURSAR_TEST_CA.  Exit status 1
 * with a sentence if it fails, 2 if it is not understood.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/time.h>
#include <time.h>

#include <amqp.h>
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#include <jansson.h>

#include "common/base64.h"

#define CHANNEL     1
#define HEARTBEAT   10		/* seconds */
#define FRAME_MAX   131072
#define CONNECT_S   5
#define SILENCE_S   20		/* no word for so long: the connection is cut */
#define PATIENCE_S  600		/* until a broker is back */
#define MAX_WINDOW  50000
#define MAX_HEADERS 32
#define ID_SIZE     256

/* A line that is sent, or is to be sent. */
struct slot {
	char    *line;		/* NULL: free */
	size_t   size;
	long     number;
	uint64_t tag;		/* 0: not sent on this connection */
	bool     returned;
	char     id[ID_SIZE];
};

struct publication {
	FILE        *in, *ids;
	const char  *exchange, *key, *prefix;
	const char  *headers[MAX_HEADERS];
	size_t       n_headers;
	bool         confirm, until_done, mandatory;
	long         rate;
	size_t       window;
	struct slot *slots;
	size_t       used;
	uint64_t     last_tag;
	bool         ended;		/* nothing more to read */
	bool         again;		/* something was not accepted */
	long         read, confirmed, connections;
	double       begin;
};

/* A message made of a line; lives as long as `tree` and `pool`. */
struct outgoing {
	amqp_basic_properties_t properties;
	amqp_bytes_t body, key;
	json_t      *tree;
	char        *text;		/* of a body that is no string */
	amqp_pool_t  pool;
};

static const char *program_uri;

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *fmt, ...)
{
	va_list args;

	fputs("broker: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
}

static _Noreturn void die(const char *what)
{
	say("%s", what);
	exit(EXIT_FAILURE);
}

static double seconds_of(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void pause_for(double seconds)
{
	const struct timespec t = {
		.tv_sec = (time_t)seconds,
		.tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9),
	};

	nanosleep(&t, NULL);
}

static amqp_bytes_t bytes_of(const char *text)
{
	return amqp_cstring_bytes(text);
}

/* --- connection ---------------------------------------------------------- */

static void tell_close(const char *what, uint16_t code, amqp_bytes_t text)
{
	say("%s: %u %.*s", what, code, (int)text.len, (const char *)text.bytes);
}

/* Whether the reply is a good one; says why it is not. */
static bool good(amqp_rpc_reply_t reply, const char *what)
{
	if (reply.reply_type == AMQP_RESPONSE_NORMAL) {
		return true;
	}
	if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION &&
	    reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
		const amqp_channel_close_t *close = reply.reply.decoded;

		tell_close(what, close->reply_code, close->reply_text);
	} else if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION &&
	           reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD) {
		const amqp_connection_close_t *close = reply.reply.decoded;

		tell_close(what, close->reply_code, close->reply_text);
	} else {
		say("%s: %s", what, amqp_error_string2(reply.library_error));
	}
	return false;
}

static amqp_socket_t *socket_for(amqp_connection_state_t connection, bool tls)
{
	if (!tls) {
		return amqp_tcp_socket_new(connection);
	}
	amqp_socket_t *socket = amqp_ssl_socket_new(connection);
	const char *authority = getenv("BURSAR_TEST_CA");
	if (socket != NULL && authority != NULL &&
	    amqp_ssl_socket_set_cacert(socket, authority) != 0) {
		die("the authority in BURSAR_TEST_CA cannot be used");
	}
	return socket;
}

/* A connection with its channel, or NULL after having said why. */
static amqp_connection_state_t connect_to(const char *uri)
{
	char *copy = strdup(uri);
	struct amqp_connection_info at;
	amqp_connection_state_t connection = NULL;

	amqp_default_connection_info(&at);
	if (copy == NULL || amqp_parse_url(copy, &at) != AMQP_STATUS_OK) {
		die("that is no amqp URI");
	}
	connection = amqp_new_connection();
	amqp_socket_t *socket = socket_for(connection, at.ssl != 0);
	struct timeval patience = { .tv_sec = CONNECT_S };
	if (socket == NULL ||
	    amqp_socket_open_noblock(socket, at.host, at.port, &patience) !=
	    AMQP_STATUS_OK) {
		say("no connection to port %d", at.port);
		goto fail;
	}
	amqp_set_rpc_timeout(connection,
	                     &(struct timeval){ .tv_sec = SILENCE_S });
	const char *vhost = at.vhost == NULL || at.vhost[0] == '\0' ?
		"/" : at.vhost;
	if (!good(amqp_login(connection, vhost, 0, FRAME_MAX, HEARTBEAT,
	                     AMQP_SASL_METHOD_PLAIN, at.user, at.password),
	          "login")) {
		goto fail;
	}
	amqp_channel_open(connection, CHANNEL);
	if (!good(amqp_get_rpc_reply(connection), "channel")) {
		goto fail;
	}
	free(copy);
	return connection;

fail:
	amqp_destroy_connection(connection);
	free(copy);
	return NULL;
}

static amqp_connection_state_t connected(void)
{
	amqp_connection_state_t connection = connect_to(program_uri);

	if (connection == NULL) {
		exit(EXIT_FAILURE);
	}
	return connection;
}

static int leave(amqp_connection_state_t connection, bool done)
{
	if (done) {
		amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
	}
	amqp_destroy_connection(connection);
	return done ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* --- tables -------------------------------------------------------------- */

static amqp_table_t table_of(const json_t *object, amqp_pool_t *pool);

static amqp_field_value_t value_of(const json_t *value, amqp_pool_t *pool)
{
	amqp_field_value_t field = { .kind = AMQP_FIELD_KIND_VOID };

	switch (json_typeof(value)) {
	case JSON_STRING:
		field.kind = AMQP_FIELD_KIND_UTF8;
		field.value.bytes.bytes = (void *)(uintptr_t)
			json_string_value(value);
		field.value.bytes.len = json_string_length(value);
		break;
	case JSON_INTEGER:
		field.kind = AMQP_FIELD_KIND_I64;
		field.value.i64 = json_integer_value(value);
		break;
	case JSON_REAL:
		field.kind = AMQP_FIELD_KIND_F64;
		field.value.f64 = json_real_value(value);
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		field.kind = AMQP_FIELD_KIND_BOOLEAN;
		field.value.boolean = json_is_true(value);
		break;
	case JSON_OBJECT:
		field.kind = AMQP_FIELD_KIND_TABLE;
		field.value.table = table_of(value, pool);
		break;
	case JSON_ARRAY: {
		const size_t count = json_array_size(value);

		field.kind = AMQP_FIELD_KIND_ARRAY;
		field.value.array.num_entries = (int)count;
		field.value.array.entries = amqp_pool_alloc(
			pool, (count + 1) * sizeof(amqp_field_value_t));
		for (size_t i = 0; i < count; i++) {
			field.value.array.entries[i] = value_of(
				json_array_get(value, i), pool);
		}
		break;
	}
	case JSON_NULL:
		break;
	}
	return field;
}

static amqp_table_t table_of(const json_t *object, amqp_pool_t *pool)
{
	amqp_table_t table = {
		.entries = amqp_pool_alloc(pool, (json_object_size(object) +
			MAX_HEADERS) * sizeof(amqp_table_entry_t)),
	};
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, name, value) {
		amqp_table_entry_t *entry = &table.entries[table.num_entries++];

		entry->key = bytes_of(name);
		entry->value = value_of(value, pool);
	}
	return table;
}

/* NAME=VALUE; a number where it reads as one. */
static void add_to_table(amqp_table_t *table, char *pair)
{
	char *value = strchr(pair, '=');
	char *end = NULL;

	if (value == NULL || table->num_entries == MAX_HEADERS) {
		die("NAME=VALUE was expected");
	}
	*value++ = '\0';
	amqp_table_entry_t *entry = &table->entries[table->num_entries++];
	entry->key = bytes_of(pair);
	errno = 0;
	const long long number = strtoll(value, &end, 10);
	if (*value != '\0' && *end == '\0' && errno == 0) {
		entry->value.kind = AMQP_FIELD_KIND_I64;
		entry->value.value.i64 = number;
	} else {
		entry->value.kind = AMQP_FIELD_KIND_UTF8;
		entry->value.value.bytes = bytes_of(value);
	}
}

/* --- messages ------------------------------------------------------------ */

static const struct {
	const char *name;
	size_t      offset;
	amqp_flags_t flag;
} text_properties[] = {
#define PROPERTY(name, FLAG) \
	{ #name, offsetof(amqp_basic_properties_t, name), \
	  AMQP_BASIC_##FLAG##_FLAG }
	PROPERTY(content_type, CONTENT_TYPE),
	PROPERTY(content_encoding, CONTENT_ENCODING),
	PROPERTY(message_id, MESSAGE_ID),
	PROPERTY(correlation_id, CORRELATION_ID),
	PROPERTY(app_id, APP_ID),
	PROPERTY(reply_to, REPLY_TO),
	PROPERTY(expiration, EXPIRATION),
	PROPERTY(type, TYPE),
#undef PROPERTY
};
#define N_TEXT_PROPERTIES \
	(sizeof(text_properties) / sizeof(text_properties[0]))

static void take_properties(struct outgoing *out, const json_t *given)
{
	amqp_basic_properties_t *properties = &out->properties;

	for (size_t i = 0; i < N_TEXT_PROPERTIES; i++) {
		const char *text = json_string_value(
			json_object_get(given, text_properties[i].name));
		if (text != NULL) {
			*(amqp_bytes_t *)(void *)((char *)properties +
				text_properties[i].offset) = bytes_of(text);
			properties->_flags |= text_properties[i].flag;
		}
	}
	const json_t *timestamp = json_object_get(given, "timestamp");
	if (json_is_integer(timestamp)) {
		properties->timestamp = (uint64_t)json_integer_value(timestamp);
		properties->_flags |= AMQP_BASIC_TIMESTAMP_FLAG;
	}
}

static void take_body(struct outgoing *out, const char *line, size_t size)
{
	json_t *body = json_object_get(out->tree, "body");
	const json_t *coded = json_object_get(out->tree, "body_base64");

	if (json_is_string(coded)) {
		const struct bursar_span text = {
			.data = json_string_value(coded),
			.size = json_string_length(coded),
		};
		size_t length = 0;

		if (!base64_decoded_size(text, &length) ||
		    (out->text = malloc(length + 1)) == NULL ||
		    !base64_decode(text, out->text)) {
			die("body_base64 of a line is none");
		}
		out->body = (amqp_bytes_t){ length, out->text };
	} else if (json_is_string(body)) {
		out->body.bytes = (void *)(uintptr_t)json_string_value(body);
		out->body.len = json_string_length(body);
	} else if (body != NULL) {
		out->text = json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY);
		out->body = bytes_of(out->text);
	} else {
		json_decref(out->tree);
		out->tree = NULL;
		out->body = (amqp_bytes_t){ size, (void *)(uintptr_t)line };
	}
}

static void take_headers(struct outgoing *out, const struct publication *p)
{
	json_t *headers = json_object_get(out->tree, "headers");

	if (!json_is_object(headers) && p->n_headers == 0) {
		return;
	}
	amqp_table_t table = table_of(headers, &out->pool);
	for (size_t i = 0; i < p->n_headers; i++) {
		const size_t size = strlen(p->headers[i]) + 1;

		add_to_table(&table, memcpy(amqp_pool_alloc(&out->pool, size),
		                            p->headers[i], size));
	}
	out->properties.headers = table;
	out->properties._flags |= AMQP_BASIC_HEADERS_FLAG;
}

static void make_message(struct outgoing *out, const struct publication *p,
                         struct slot *slot)
{
	memset(out, 0, sizeof(*out));
	init_amqp_pool(&out->pool, 4096);
	out->properties._flags = AMQP_BASIC_DELIVERY_MODE_FLAG;
	out->properties.delivery_mode = AMQP_DELIVERY_PERSISTENT;
	out->tree = json_loadb(slot->line, slot->size, JSON_ALLOW_NUL, NULL);
	take_body(out, slot->line, slot->size);
	take_properties(out, json_object_get(out->tree, "properties"));
	take_headers(out, p);
	const char *key = json_string_value(
		json_object_get(out->tree, "routing_key"));
	out->key = bytes_of(p->key != NULL ? p->key : key != NULL ? key : "");

	const bool has_id = out->properties._flags & AMQP_BASIC_MESSAGE_ID_FLAG;
	if (has_id) {
		snprintf(slot->id, sizeof(slot->id), "%s",
		         (const char *)out->properties.message_id.bytes);
	} else if (p->prefix != NULL) {
		snprintf(slot->id, sizeof(slot->id), "%s-%ld", p->prefix,
		         slot->number);
		out->properties.message_id = bytes_of(slot->id);
		out->properties._flags |= AMQP_BASIC_MESSAGE_ID_FLAG;
	} else {
		snprintf(slot->id, sizeof(slot->id), "%ld", slot->number);
	}
}

static void free_message(struct outgoing *out)
{
	json_decref(out->tree);
	free(out->text);
	empty_amqp_pool(&out->pool);
}

/* --- publish ------------------------------------------------------------- */

static void free_slot(struct publication *p, struct slot *slot)
{
	free(slot->line);
	memset(slot, 0, sizeof(*slot));
	p->used--;
}

static void confirmed(struct publication *p, struct slot *slot)
{
	if (p->ids != NULL) {
		fprintf(p->ids, "%s\n", slot->id);
	}
	p->confirmed++;
	free_slot(p, slot);
}

static bool told_of(const struct slot *slot, uint64_t tag, bool multiple)
{
	return slot->line != NULL && slot->tag != 0 &&
	       (slot->tag == tag || (multiple && slot->tag <= tag));
}

/* What was accepted is done with; what was not is sent again. */
static void told(struct publication *p, uint64_t tag, bool multiple,
                 bool accepted)
{
	for (size_t i = 0; i < p->window; i++) {
		struct slot *slot = &p->slots[i];

		if (!told_of(slot, tag, multiple)) {
			continue;
		}
		if (accepted && !slot->returned) {
			confirmed(p, slot);
		} else {
			p->again = true;
			slot->tag = 0;
			slot->returned = false;
		}
	}
	if (p->ids != NULL) {
		fflush(p->ids);
	}
}

/* A message that went to no queue; what confirms it comes after it. */
static bool take_returned(struct publication *p,
                          amqp_connection_state_t connection)
{
	amqp_message_t message;

	if (!good(amqp_read_message(connection, CHANNEL, &message, 0),
	          "a message that came back")) {
		return false;
	}
	const amqp_bytes_t id = message.properties.message_id;
	for (size_t i = 0; i < p->window; i++) {
		struct slot *slot = &p->slots[i];

		if (slot->line != NULL && slot->tag != 0 &&
		    strlen(slot->id) == id.len &&
		    memcmp(slot->id, id.bytes, id.len) == 0) {
			slot->returned = true;
		}
	}
	amqp_destroy_message(&message);
	return true;
}

/* Whether the connection is still good after this frame. */
static bool take_frame(struct publication *p,
                       amqp_connection_state_t connection,
                       const amqp_frame_t *frame)
{
	if (frame->frame_type != AMQP_FRAME_METHOD) {
		return true;
	}
	const void *decoded = frame->payload.method.decoded;

	switch (frame->payload.method.id) {
	case AMQP_BASIC_ACK_METHOD: {
		const amqp_basic_ack_t *ack = decoded;

		told(p, ack->delivery_tag, ack->multiple, true);
		return true;
	}
	case AMQP_BASIC_NACK_METHOD: {
		const amqp_basic_nack_t *nack = decoded;

		told(p, nack->delivery_tag, nack->multiple, false);
		return true;
	}
	case AMQP_BASIC_RETURN_METHOD:
		return take_returned(p, connection);
	case AMQP_CHANNEL_CLOSE_METHOD: {
		const amqp_channel_close_t *close = decoded;

		tell_close("publish", close->reply_code, close->reply_text);
		return false;
	}
	case AMQP_CONNECTION_CLOSE_METHOD: {
		const amqp_connection_close_t *close = decoded;

		tell_close("publish", close->reply_code, close->reply_text);
		return false;
	}
	default:
		return true;
	}
}

/* Takes what the broker says, waiting `seconds` for its first word; false
 * where it says none, or the connection is gone. */
static bool take_frames(struct publication *p,
                        amqp_connection_state_t connection, int seconds)
{
	struct timeval wait = { .tv_sec = seconds };
	bool heard = seconds == 0;

	for (;;) {
		amqp_frame_t frame;
		const int status = amqp_simple_wait_frame_noblock(
			connection, &frame, &wait);

		if (status == AMQP_STATUS_TIMEOUT) {
			return heard;
		}
		if (status != AMQP_STATUS_OK) {
			say("publish: %s", amqp_error_string2(status));
			return false;
		}
		if (!take_frame(p, connection, &frame)) {
			return false;
		}
		amqp_maybe_release_buffers(connection);
		wait = (struct timeval){ .tv_sec = 0 };
		heard = true;
	}
}

static bool send_slot(struct publication *p,
                      amqp_connection_state_t connection, struct slot *slot)
{
	struct outgoing out;

	make_message(&out, p, slot);
	const int status = amqp_basic_publish(
		connection, CHANNEL, bytes_of(p->exchange), out.key,
		p->mandatory, false, &out.properties, out.body);
	free_message(&out);
	if (status != AMQP_STATUS_OK) {
		say("publish: %s", amqp_error_string2(status));
		return false;
	}
	slot->tag = ++p->last_tag;
	return true;
}

/* The next line, in a slot that is free; false where there is none. */
static bool fill_slot(struct publication *p, struct slot *slot)
{
	size_t room = 0;
	const ssize_t length = getline(&slot->line, &room, p->in);

	if (length < 0) {
		free(slot->line);
		slot->line = NULL;
		p->ended = true;
		return false;
	}
	slot->size = (size_t)length;
	if (slot->line[slot->size - 1] == '\n') {
		slot->line[--slot->size] = '\0';
	}
	slot->number = p->read++;
	p->used++;
	return true;
}

static bool too_fast(const struct publication *p)
{
	return p->rate > 0 &&
	       (double)p->read > (seconds_of(CLOCK_MONOTONIC) - p->begin) *
	       (double)p->rate;
}

/* Sends what is waiting and what there is room for. */
static bool send_some(struct publication *p,
                      amqp_connection_state_t connection)
{
	for (size_t i = 0; i < p->window; i++) {
		struct slot *slot = &p->slots[i];

		if (slot->line != NULL && slot->tag != 0) {
			continue;
		}
		if (slot->line == NULL &&
		    (p->ended || too_fast(p) || !fill_slot(p, slot))) {
			continue;
		}
		if (!send_slot(p, connection, slot)) {
			return false;
		}
		if (!p->confirm) {
			free_slot(p, slot);
		}
	}
	return true;
}

static bool open_publication(struct publication *p,
                             amqp_connection_state_t connection)
{
	p->last_tag = 0;
	p->connections++;
	for (size_t i = 0; i < p->window; i++) {
		p->slots[i].tag = 0;
		p->slots[i].returned = false;
	}
	if (!p->confirm) {
		return true;
	}
	amqp_confirm_select(connection, CHANNEL);
	return good(amqp_get_rpc_reply(connection), "confirm");
}

/* Publishes until all is done or the connection is gone. */
static bool publish_on(struct publication *p,
                       amqp_connection_state_t connection)
{
	if (!open_publication(p, connection)) {
		return false;
	}
	while (!p->ended || p->used > 0) {
		const size_t used = p->used;

		if (!send_some(p, connection)) {
			return false;
		}
		if ((p->used == used && too_fast(p)) || p->again) {
			pause_for(0.01);
			p->again = false;
		}
		const bool full = p->used == p->window ||
			(p->ended && p->used > 0);
		if (p->confirm &&
		    !take_frames(p, connection, full ? SILENCE_S : 0)) {
			return false;
		}
	}
	/* A round trip: the broker has all of it. */
	amqp_basic_qos(connection, CHANNEL, 0, 1, false);
	return good(amqp_get_rpc_reply(connection), "publish");
}

static bool publish_all(struct publication *p)
{
	double last = seconds_of(CLOCK_MONOTONIC);
	long before = -1;

	p->begin = last;
	for (;;) {
		amqp_connection_state_t connection = connect_to(program_uri);
		const bool done = connection != NULL &&
			publish_on(p, connection);

		if (connection != NULL) {
			leave(connection, done);
		}
		if (done) {
			return true;
		}
		if (p->confirmed != before) {
			before = p->confirmed;
			last = seconds_of(CLOCK_MONOTONIC);
		}
		if (!p->until_done ||
		    seconds_of(CLOCK_MONOTONIC) - last > PATIENCE_S) {
			return false;
		}
		pause_for(0.1);
	}
}

static FILE *open_or_die(const char *path, const char *mode)
{
	FILE *file = strcmp(path, "-") != 0 ? fopen(path, mode) :
		mode[0] == 'r' ? stdin : stdout;

	if (file == NULL) {
		say("%s: %s", path, strerror(errno));
		exit(EXIT_FAILURE);
	}
	return file;
}

static void take_target(struct publication *p, char *target)
{
	char *colon = strchr(target, ':');

	p->exchange = "";
	p->key = target;
	if (colon != NULL) {
		*colon = '\0';
		p->exchange = target;
		p->key = colon[1] != '\0' ? colon + 1 : NULL;
	}
}

static int usage(void)
{
	fputs("usage: broker URI publish|consume|get|count|consumers|declare|"
	      "exchange|bind|delete|purge|delete-exchange ...\n"
	      "see the head of tests/broker.c\n", stderr);
	return 2;
}

/* Whether the option is one that takes a value, and that was there. */
static bool take_option(struct publication *p, const char *name,
                        const char *value)
{
	if (value == NULL) {
		return false;
	}
	if (strcmp(name, "--window") == 0) {
		p->window = (size_t)strtoul(value, NULL, 10);
		return p->window > 0 && p->window <= MAX_WINDOW;
	}
	if (strcmp(name, "--confirmed") == 0) {
		p->ids = open_or_die(value, "a");
	} else if (strcmp(name, "--rate") == 0) {
		p->rate = strtol(value, NULL, 10);
	} else if (strcmp(name, "--ids") == 0) {
		p->prefix = value;
	} else if (strcmp(name, "--header") == 0 &&
	           p->n_headers < MAX_HEADERS) {
		p->headers[p->n_headers++] = value;
	} else {
		return false;
	}
	return true;
}

static bool parse_publication(struct publication *p, char **arguments)
{
	p->window = 1000;
	take_target(p, arguments[0]);
	p->in = open_or_die(arguments[1], "r");
	for (char **at = arguments + 2; *at != NULL; at++) {
		if (strcmp(*at, "--confirm") == 0) {
			p->confirm = true;
		} else if (strcmp(*at, "--until-done") == 0) {
			p->confirm = p->until_done = true;
		} else if (strcmp(*at, "--mandatory") == 0) {
			p->confirm = p->mandatory = true;
		} else if (take_option(p, at[0], at[1])) {
			at++;
		} else {
			return false;
		}
	}
	return true;
}

static int publish(char **arguments)
{
	struct publication p = { 0 };

	if (!parse_publication(&p, arguments)) {
		return usage();
	}
	p.slots = calloc(p.window, sizeof(*p.slots));
	if (p.slots == NULL) {
		die("out of memory");
	}
	const bool done = publish_all(&p);
	const double took = seconds_of(CLOCK_MONOTONIC) - p.begin;
	printf("broker publish messages=%ld confirmed=%ld connections=%ld "
	       "seconds=%.3f per_s=%.0f\n", p.read, p.confirmed,
	       p.connections, took, (double)p.read / took);
	for (size_t i = 0; i < p.window; i++) {
		free(p.slots[i].line);
	}
	free(p.slots);
	fclose(p.in);
	if (p.ids != NULL && fclose(p.ids) != 0) {
		die("the ids cannot be written");
	}
	return done ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* --- consume and get ----------------------------------------------------- */

static bool consume_some(amqp_connection_state_t connection,
                         const char *queue, long want, uint16_t prefetch)
{
	const long step = prefetch / 2 > 0 ? prefetch / 2 : 1;

	amqp_basic_qos(connection, CHANNEL, 0, prefetch, false);
	amqp_basic_consume(connection, CHANNEL, bytes_of(queue),
	                   amqp_empty_bytes, false, false, false,
	                   amqp_empty_table);
	if (!good(amqp_get_rpc_reply(connection), "consume")) {
		return false;
	}
	for (long count = 1; count <= want; count++) {
		amqp_envelope_t envelope;

		amqp_maybe_release_buffers(connection);
		if (!good(amqp_consume_message(connection, &envelope, NULL, 0),
		          "consume")) {
			return false;
		}
		if (count % step == 0 || count == want) {
			amqp_basic_ack(connection, CHANNEL,
			               envelope.delivery_tag, true);
		}
		amqp_destroy_envelope(&envelope);
	}
	return true;
}

static int consume(char **arguments)
{
	const long want = strtol(arguments[1], NULL, 10);
	const unsigned long prefetch = arguments[2] == NULL ? 2000 :
		strtoul(arguments[2], NULL, 10);
	amqp_connection_state_t connection = connected();
	const double begin = seconds_of(CLOCK_MONOTONIC);
	const double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
	const bool done = consume_some(connection, arguments[0], want,
	                               (uint16_t)prefetch);
	const int status = leave(connection, done);
	const double took = seconds_of(CLOCK_MONOTONIC) - begin;

	if (done) {
		printf("broker consume messages=%ld seconds=%.3f per_s=%.0f "
		       "client_us=%.2f\n", want, took, (double)want / took,
		       (seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu) * 1e6 /
		       (double)want);
	}
	return status;
}

static void print_message(const amqp_message_t *message)
{
	const amqp_basic_properties_t *properties = &message->properties;
	json_t *given = json_object();
	const size_t size = message->body.len;
	char *coded = malloc(base64_encoded_size(size) + 1);

	for (size_t i = 0; i < N_TEXT_PROPERTIES; i++) {
		const amqp_bytes_t *text = (const amqp_bytes_t *)(const void *)
			((const char *)properties + text_properties[i].offset);

		if (properties->_flags & text_properties[i].flag) {
			json_object_set_new(given, text_properties[i].name,
				json_stringn(text->bytes, text->len));
		}
	}
	if (coded == NULL) {
		die("out of memory");
	}
	base64_encode(message->body.bytes, size, coded);
	json_t *whole = json_pack("{s:o, s:s#}", "properties", given,
	                          "body_base64", coded,
	                          (int)base64_encoded_size(size));
	json_dumpf(whole, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(whole);
	free(coded);
}

static int get(char **arguments)
{
	const long want = strtol(arguments[1], NULL, 10);
	amqp_connection_state_t connection = connected();
	bool done = true;

	for (long count = 0; done && count < want; count++) {
		amqp_rpc_reply_t reply = amqp_basic_get(
			connection, CHANNEL, bytes_of(arguments[0]), true);
		amqp_message_t message;

		if (!good(reply, "get") ||
		    reply.reply.id == AMQP_BASIC_GET_EMPTY_METHOD) {
			done = reply.reply_type == AMQP_RESPONSE_NORMAL;
			break;
		}
		done = good(amqp_read_message(connection, CHANNEL, &message,
		                              0), "get");
		if (done) {
			print_message(&message);
			amqp_destroy_message(&message);
		}
		amqp_maybe_release_buffers(connection);
	}
	return leave(connection, done);
}

/* --- queues -------------------------------------------------------------- */

static int ask(char **arguments, bool consumers)
{
	amqp_connection_state_t connection = connected();
	const amqp_queue_declare_ok_t *queue = amqp_queue_declare(
		connection, CHANNEL, bytes_of(arguments[0]), true, false,
		false, false, amqp_empty_table);
	const bool done = good(amqp_get_rpc_reply(connection), arguments[0]);

	if (done) {
		printf("%u\n", consumers ? queue->consumer_count :
		       queue->message_count);
	}
	return leave(connection, done);
}

static int count(char **arguments)
{
	return ask(arguments, false);
}

static int consumers(char **arguments)
{
	return ask(arguments, true);
}

static int declare(char **arguments)
{
	amqp_table_entry_t entries[MAX_HEADERS];
	amqp_table_t table = { .entries = entries };
	char quorum[] = "x-queue-type=quorum";

	for (char **at = arguments + 1; *at != NULL; at++) {
		if (strcmp(*at, "--quorum") == 0) {
			add_to_table(&table, quorum);
		} else if (strcmp(*at, "--argument") == 0 && at[1] != NULL) {
			add_to_table(&table, *++at);
		} else {
			return usage();
		}
	}
	amqp_connection_state_t connection = connected();
	amqp_queue_declare(connection, CHANNEL, bytes_of(arguments[0]), false,
	                   true, false, false, table);
	return leave(connection, good(amqp_get_rpc_reply(connection),
	                              arguments[0]));
}

static int exchange(char **arguments)
{
	amqp_connection_state_t connection = connected();

	amqp_exchange_declare(connection, CHANNEL, bytes_of(arguments[0]),
	                      bytes_of(arguments[1]), false, true, false,
	                      false, amqp_empty_table);
	return leave(connection, good(amqp_get_rpc_reply(connection),
	                              arguments[0]));
}

static int bind_queue(char **arguments)
{
	amqp_connection_state_t connection = connected();

	amqp_queue_bind(connection, CHANNEL, bytes_of(arguments[0]),
	                bytes_of(arguments[1]), bytes_of(arguments[2]),
	                amqp_empty_table);
	return leave(connection, good(amqp_get_rpc_reply(connection),
	                              arguments[0]));
}

static int delete_queue(char **arguments)
{
	amqp_connection_state_t connection = connected();

	amqp_queue_delete(connection, CHANNEL, bytes_of(arguments[0]), false,
	                  false);
	return leave(connection, good(amqp_get_rpc_reply(connection),
	                              arguments[0]));
}

static int delete_exchange(char **arguments)
{
	amqp_connection_state_t connection = connected();

	amqp_exchange_delete(connection, CHANNEL, bytes_of(arguments[0]),
	                     false);
	return leave(connection, good(amqp_get_rpc_reply(connection),
	                              arguments[0]));
}

static int purge(char **arguments)
{
	amqp_connection_state_t connection = connected();

	amqp_queue_purge(connection, CHANNEL, bytes_of(arguments[0]));
	return leave(connection, good(amqp_get_rpc_reply(connection),
	                              arguments[0]));
}

static const struct {
	const char *name;
	int         least;		/* arguments that it needs */
	int       (*run)(char **arguments);
} verbs[] = {
	{ "publish", 2, publish },
	{ "consume", 2, consume },
	{ "get", 2, get },
	{ "count", 1, count },
	{ "consumers", 1, consumers },
	{ "declare", 1, declare },
	{ "exchange", 2, exchange },
	{ "bind", 3, bind_queue },
	{ "delete", 1, delete_queue },
	{ "delete-exchange", 1, delete_exchange },
	{ "purge", 1, purge },
};

int main(int argc, char **argv)
{
	if (argc < 4) {
		return usage();
	}
	program_uri = argv[1];
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(argv[2], verbs[i].name) == 0 &&
		    argc - 3 >= verbs[i].least) {
			return verbs[i].run(argv + 3);
		}
	}
	return usage();
}
