/* SPDX-License-Identifier: Apache-2.0 */

/* The uri, and the options that say who we are. */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "common/credential.h"
#include "common/regular.h"

#include "amqp_lib.h"
#include "amqp_place.h"

#define SHORT_MAX 255		/* bytes in a short string of AMQP */

#define GUEST "guest"

/* Escapes are two digits, and none makes a NUL. */
static bool escapes_are_sound(const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text != '%') {
			continue;
		}
		if (!isxdigit((unsigned char)text[1]) ||
		    !isxdigit((unsigned char)text[2]) ||
		    (text[1] == '0' && text[2] == '0')) {
			return false;
		}
		text += 2;
	}
	return true;
}

static int bad_uri(struct bursar_error *err)
{
	return bursar_fail(err, EINVAL, "uri: not of the form "
	                   "amqp://USER@HOST:PORT/VHOST or amqps://...; "
	                   "escape other characters as %%NN");
}

static bool is_ours(const struct rq_place *place, const char *text)
{
	return text >= place->text && text < place->text + place->text_size;
}

static int parse(struct rq_place *place, const char *uri,
                 struct bursar_error *err)
{
	struct amqp_connection_info info;

	if (!escapes_are_sound(uri) || strpbrk(uri, "?#") != NULL) {
		return bad_uri(err);
	}
	place->text_size = strlen(uri) + 1;
	place->text = strdup(uri);
	if (place->text == NULL) {
		return bursar_fail(err, ENOMEM, "out of memory");
	}
	if (amqp_parse_url(place->text, &info) != AMQP_STATUS_OK ||
	    info.host[0] == '\0' || info.port <= 0 || info.port > 65535) {
		return bad_uri(err);
	}
	place->user = info.user;
	place->host = info.host;
	place->vhost = info.vhost[0] != '\0' ? info.vhost : "/";
	place->port = info.port;
	place->tls = info.ssl != 0;
	/* The library gives `guest` a password, and every other user too. */
	if (is_ours(place, info.password) || strcmp(info.user, GUEST) == 0) {
		place->password = (struct bursar_span){
			info.password, strlen(info.password),
		};
	}
	place->has_password = is_ours(place, info.password) &&
		strcmp(info.password, GUEST) != 0;
	return 0;
}

static int check_who(const struct rq_place *place, struct bursar_error *err)
{
	if (place->external && !place->tls) {
		return bursar_fail(err, EINVAL, "sasl: external needs a uri "
		                   "that begins with amqps://");
	}
	if (place->external && place->cert_file[0] == '\0') {
		return bursar_fail(err, EINVAL, "sasl: external needs cert-file"
		                   " and key-file");
	}
	if (!place->external && place->password.data == NULL) {
		return bursar_fail(err, EINVAL, "user '%.100s' has no password:"
		                   " give password-file", place->user);
	}
	if (memchr(place->password.data != NULL ? place->password.data : "",
	           '\0', place->password.size) != NULL) {
		return bursar_fail(err, EINVAL, "password: holds a NUL");
	}
	if (strlen(place->vhost) > SHORT_MAX || strlen(place->host) > 253) {
		return bad_uri(err);
	}
	return 0;
}

static int check_file(const char *option, const char *path,
                      struct bursar_error *err)
{
	if (path[0] != '\0' &&
	    (access(path, R_OK) != 0 || regular_check(path) != 0)) {
		return bursar_fail(err, errno, "%s: %.150s: %s", option, path,
		                   regular_why(errno));
	}
	return 0;
}

static int check_files(const struct rq_place *place, struct bursar_error *err)
{
	if ((place->cert_file[0] == '\0') != (place->key_file[0] == '\0')) {
		return bursar_fail(err, EINVAL, "cert-file and key-file belong "
		                   "together: give both, or none");
	}
	if (!place->tls && (place->ca_file[0] != '\0' ||
	                    place->cert_file[0] != '\0')) {
		return bursar_fail(err, EINVAL, "ca-file, cert-file and "
		                   "key-file need a uri that begins with "
		                   "amqps://");
	}
	if (check_file("ca-file", place->ca_file, err) != 0 ||
	    check_file("cert-file", place->cert_file, err) != 0) {
		return -1;
	}
	if (place->key_file[0] != '\0' &&
	    !credential_is_private(place->key_file)) {
		return bursar_fail(err, EPERM, "key-file: %.150s: others can "
		                   "get at it: make it chmod 600",
		                   place->key_file);
	}
	return check_file("key-file", place->key_file, err);
}

int rq_place_init(struct rq_place *place, const struct bursar_host *host,
                  struct bursar_error *err)
{
	const char *user = host->text(host, "user");
	const struct bursar_span password = host->secret(host, "password");

	*place = (struct rq_place){
		.external = strcmp(host->text(host, "sasl"), "external") == 0,
		.ca_file = host->text(host, "ca-file"),
		.cert_file = host->text(host, "cert-file"),
		.key_file = host->text(host, "key-file"),
	};
	if (parse(place, host->text(host, "uri"), err) != 0) {
		return -1;
	}
	if (user[0] != '\0') {
		if (strcmp(user, place->user) != 0 && !place->has_password) {
			place->password = (struct bursar_span){ 0 };
		}
		place->user = user;
	}
	if (password.data != NULL) {
		place->password = password;
	}
	snprintf(place->name, sizeof(place->name), "%.255s:%d", place->host,
	         place->port);
	return check_who(place, err) != 0 ? -1 : check_files(place, err);
}

void rq_place_finish(struct rq_place *place)
{
	if (place->text != NULL) {
		sodium_memzero(place->text, place->text_size);
	}
	free(place->text);
	place->text = NULL;
}
