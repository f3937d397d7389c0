/* SPDX-License-Identifier: Apache-2.0 */

/* http_tls.h - whether libmicrohttpd would serve with a pair */
#ifndef COMMON_HTTP_TLS_H
#define COMMON_HTTP_TLS_H

#include <errno.h>

#include <microhttpd.h>

#include "common/http_pair.h"

static enum MHD_Result http_tls_refuse(void *context,
                                       struct MHD_Connection *connection,
                                       const char *url, const char *method,
                                       const char *version, const char *data,
                                       size_t *size, void **request)
{
	(void)context, (void)connection, (void)url, (void)method;
	(void)version, (void)data, (void)size, (void)request;
	return MHD_NO;
}

/*
 * Loads the files as they are now, begins with them where nobody can connect,
 * and wipes them.  Whoever serves with others goes on where this fails; it is
 * to be tried again when http_pair_has_changed() says so.
 *
 * Returns 0, or -1 with *err filled.
 */
static inline int http_tls_try(struct http_pair *pair, struct bursar_error *err)
{
	char priorities[] = HTTP_PAIR_PRIORITIES;
	struct bursar_error why = { 0 };

	if (http_pair_load(pair, &why) != 0) {
		return bursar_fail(err, why.code, "%s", why.text);
	}
	struct MHD_Daemon *daemon = MHD_start_daemon(
		MHD_USE_NO_LISTEN_SOCKET | MHD_USE_TLS, 0, NULL, NULL,
		http_tls_refuse, NULL,
		MHD_OPTION_HTTPS_MEM_CERT, pair->cert,
		MHD_OPTION_HTTPS_MEM_KEY, pair->key,
		MHD_OPTION_HTTPS_PRIORITIES, priorities, MHD_OPTION_END);
	http_pair_forget(pair);
	if (daemon == NULL) {
		return bursar_fail(err, EINVAL, "%.100s and %.100s are no "
		                   "certificate and its key",
		                   pair->cert_file, pair->key_file);
	}
	MHD_stop_daemon(daemon);
	return 0;
}

#endif
