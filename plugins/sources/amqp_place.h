/* SPDX-License-Identifier: Apache-2.0 */

/*
 * amqp_place.h - where the broker is, and who we are there
 */
#ifndef AMQP_PLACE_H
#define AMQP_PLACE_H

#include <bursar/plugin.h>

struct rq_place {
	char       *text;	/* ours: what uri, user, host and vhost stand
				 * in; wiped */
	size_t      text_size;
	const char *user;
	struct bursar_span password;	/* of the uri, or the host's secret */
	const char *host;
	const char *vhost;
	int         port;
	bool        tls;
	bool        external;	/* SASL EXTERNAL: the certificate says who */
	bool        has_password;	/* the uri holds one of its own */
	const char *ca_file;	/* the host's; "" where not given */
	const char *cert_file;
	const char *key_file;
	char        name[300];	/* host:port, for people */
};

/*
 * Reads options uri, user, password, sasl, ca-file, cert-file and key-file.  An
 * empty vhost is "/".
 *
 * Returns 0; or -1 with *err filled, in which nothing of the uri stands: it may
 * hold a password.  rq_place_finish() is due in either case.
 */
int rq_place_init(struct rq_place *place, const struct bursar_host *host,
                  struct bursar_error *err);
void rq_place_finish(struct rq_place *place);

#endif
