/* SPDX-License-Identifier: Apache-2.0 */

/*
 * From the first bytes to an open virtual host: connection.start, tune, open;
 * and what the broker says of the connection later.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "amqp_source.h"

#define FRAME_MAX   131072
#define CHANNEL_MAX 8

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* --- who we are ----------------------------------------------------------- */

static amqp_table_entry_t entry_text(const char *key, const char *text)
{
	amqp_table_entry_t entry = {
		.key = amqp_cstring_bytes(key),
		.value.kind = AMQP_FIELD_KIND_UTF8,
	};

	entry.value.value.bytes = amqp_cstring_bytes(text);
	return entry;
}

static amqp_table_entry_t entry_true(const char *key)
{
	amqp_table_entry_t entry = {
		.key = amqp_cstring_bytes(key),
		.value.kind = AMQP_FIELD_KIND_BOOLEAN,
	};

	entry.value.value.boolean = 1;
	return entry;
}

static amqp_table_entry_t entry_table(const char *key, amqp_table_t table)
{
	amqp_table_entry_t entry = {
		.key = amqp_cstring_bytes(key),
		.value.kind = AMQP_FIELD_KIND_TABLE,
	};

	entry.value.value.table = table;
	return entry;
}

/* Whether `word` is among words divided by spaces. */
static bool has_word(amqp_bytes_t words, const char *word)
{
	const char *at = words.bytes;
	const char *end = at + words.len;
	const size_t size = strlen(word);

	while (at < end) {
		const char *space = memchr(at, ' ', (size_t)(end - at));
		const char *stop = space != NULL ? space : end;

		if ((size_t)(stop - at) == size &&
		    memcmp(at, word, size) == 0) {
			return true;
		}
		at = stop + (space != NULL);
	}
	return false;
}

/* PLAIN: NUL user NUL password; to be wiped and freed. */
static char *plain_response(const struct rq_place *place, size_t *size)
{
	const size_t user = strlen(place->user);
	char *response = calloc(1, user + place->password.size + 3);

	*size = 0;
	if (response == NULL) {
		return NULL;
	}
	memcpy(response + 1, place->user, user);
	if (place->password.size > 0) {
		memcpy(response + user + 2, place->password.data,
		       place->password.size);
	}
	*size = user + place->password.size + 2;
	return response;
}

static void send_start_ok(struct bursar_source *source, amqp_bytes_t response)
{
	char name[100];
	amqp_table_entry_t capabilities[] = {
		entry_true("authentication_failure_close"),
		entry_true("basic.nack"),
		entry_true("connection.blocked"),
		entry_true("consumer_cancel_notify"),
	};

	snprintf(name, sizeof(name), "bursar %.80s", source->host->name);
	amqp_table_entry_t entries[] = {
		entry_text("product", PACKAGE_NAME),
		entry_text("version", PACKAGE_VERSION),
		entry_text("connection_name", name),
		entry_table("capabilities", (amqp_table_t){
			COUNT(capabilities), capabilities,
		}),
	};
	amqp_connection_start_ok_t ok = {
		.client_properties = { COUNT(entries), entries },
		.mechanism = amqp_cstring_bytes(
			source->place.external ? "EXTERNAL" : "PLAIN"),
		.response = response,
		.locale = amqp_cstring_bytes("en_US"),
	};
	rq_send(source, 0, AMQP_CONNECTION_START_OK_METHOD, &ok, true,
	        rq_now() + RQ_SECOND);
}

/* --- the three steps ------------------------------------------------------ */

static void start(struct bursar_source *source,
                  const amqp_connection_start_t *begin)
{
	const struct rq_place *place = &source->place;
	const char *mechanism = place->external ? "EXTERNAL" : "PLAIN";
	size_t size;

	if (!has_word(begin->mechanisms, mechanism)) {
		rq_fail(source, BURSAR_CONFIG, EACCES, "the broker offers no "
		        "login by SASL %s", mechanism);
		return;
	}
	if (place->external) {
		send_start_ok(source, amqp_empty_bytes);
		return;
	}
	char *response = plain_response(place, &size);
	if (response == NULL) {
		rq_fail(source, BURSAR_DOWN, ENOMEM, "out of memory");
		return;
	}
	send_start_ok(source, (amqp_bytes_t){ size, response });
	sodium_memzero(response, size);
	free(response);
}

static void tune(struct bursar_source *source,
                 const amqp_connection_tune_t *offer)
{
	amqp_connection_tune_ok_t ok = {
		.channel_max = CHANNEL_MAX,
		.frame_max = FRAME_MAX,
		.heartbeat = (uint16_t)source->heartbeat_s,
	};
	amqp_connection_open_t open = {
		.virtual_host = amqp_cstring_bytes(source->place.vhost),
	};

	if (offer->channel_max != 0 && offer->channel_max < ok.channel_max) {
		ok.channel_max = offer->channel_max;
	}
	if (offer->frame_max != 0 && offer->frame_max < ok.frame_max) {
		ok.frame_max = offer->frame_max;
	}
	if (offer->heartbeat != 0 && offer->heartbeat < ok.heartbeat) {
		ok.heartbeat = offer->heartbeat;
	}
	source->link.beat_us = ok.heartbeat * RQ_SECOND / 2;
	if (amqp_tune_connection(source->link.state, ok.channel_max,
	                         (int)ok.frame_max, ok.heartbeat) !=
	    AMQP_STATUS_OK) {
		rq_fail(source, BURSAR_DOWN, ENOMEM, "out of memory");
		return;
	}
	if (rq_send(source, 0, AMQP_CONNECTION_TUNE_OK_METHOD, &ok, false,
	            rq_now() + RQ_SECOND) == 0) {
		rq_send(source, 0, AMQP_CONNECTION_OPEN_METHOD, &open, true,
		        rq_now() + RQ_SECOND);
	}
}

static void opened(struct bursar_source *source)
{
	source->host->log(source->host, BURSAR_INFO, "connected",
	                  "broker=\"%s\" vhost=\"%s\" tls=%s",
	                  source->place.name, source->place.vhost,
	                  source->place.tls ? "yes" : "no");
	source->host->count(source->host, "connections_total", 1);
	source->phase = RQ_LOOKING;
	rq_look(source, rq_now());
}

static void closed(struct bursar_source *source,
                   const amqp_connection_close_t *close)
{
	amqp_connection_close_ok_t ok = { 0 };
	char reply[150];

	rq_send(source, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &ok, false,
	        rq_now());
	source->link.sound = false;
	rq_reply(reply, sizeof(reply), close->reply_code, close->reply_text);
	if (source->phase == RQ_LOGIN &&
	    close->reply_code == AMQP_ACCESS_REFUSED) {
		rq_fail(source, BURSAR_CONFIG, EACCES, "login refused: %s; "
		        "look at user and password-file", reply);
	} else {
		rq_fail(source, rq_verdict_of(close->reply_code), ECONNRESET,
		        "the broker closed the connection: %s", reply);
	}
}

/* One of the three steps; false: it is none. */
static bool step(struct bursar_source *source, const amqp_method_t *method)
{
	if (source->phase != RQ_LOGIN) {
		return false;
	}
	switch (method->id) {
	case AMQP_CONNECTION_START_METHOD:
		rq_answered(source);
		start(source, method->decoded);
		return true;
	case AMQP_CONNECTION_TUNE_METHOD:
		rq_answered(source);
		tune(source, method->decoded);
		return true;
	case AMQP_CONNECTION_OPEN_OK_METHOD:
		rq_answered(source);
		opened(source);
		return true;
	default:
		return false;
	}
}

void rq_connection_method(struct bursar_source *source,
                          const amqp_method_t *method)
{
	const struct bursar_host *host = source->host;
	char reason[100];

	if (step(source, method)) {
		return;
	}
	switch (method->id) {
	case AMQP_CONNECTION_CLOSE_METHOD:
		closed(source, method->decoded);
		break;
	case AMQP_CONNECTION_BLOCKED_METHOD: {
		const amqp_connection_blocked_t *blocked = method->decoded;

		host->log(host, BURSAR_WARNING, "broker-blocked",
		          "reason=\"%s\" note=\"it takes no new messages\"",
		          rq_printable(reason, sizeof(reason),
		                       blocked->reason));
		break;
	}
	case AMQP_CONNECTION_UNBLOCKED_METHOD:
		host->log(host, BURSAR_INFO, "broker-unblocked", "%s", "");
		break;
	default:
		rq_not_asked_for(source, method->id);
		break;
	}
}
