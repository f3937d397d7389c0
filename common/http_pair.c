/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "common/http_pair.h"

#define QUIET_NS INT64_C(2000000000)	/* unchanged for so long: whole */

int http_pair_check(const struct http_pair *pair, struct bursar_error *err)
{
	struct http_pair look = {
		.cert_file = pair->cert_file, .key_file = pair->key_file,
	};

	if ((pair->cert_file[0] == '\0') != (pair->key_file[0] == '\0')) {
		return bursar_fail(err, EINVAL, "cert-file and key-file go "
		                   "together");
	}
	const int result = http_pair_load(&look, err);
	http_pair_forget(&look);
	return result;
}

int http_pair_load(struct http_pair *pair, struct bursar_error *err)
{
	if (!http_pair_is_given(pair)) {
		return 0;
	}
	http_pair_forget(pair);
	http_look_at(pair->cert_file, &pair->cert_look);
	http_look_at(pair->key_file, &pair->key_look);
	pair->cert = http_file_load(pair->cert_file, false, err);
	pair->key = pair->cert != NULL
		? http_file_load(pair->key_file, true, err) : NULL;
	if (pair->key == NULL) {
		http_pair_forget(pair);
		return -1;
	}
	return 0;
}

void http_pair_forget(struct http_pair *pair)
{
	if (pair->key != NULL) {
		sodium_memzero(pair->key, strlen(pair->key));
	}
	free(pair->cert);
	free(pair->key);
	pair->cert = pair->key = NULL;
}

bool http_pair_has_changed(const struct http_pair *pair, int64_t now)
{
	struct http_look cert = { 0 }, key = { 0 };

	if (!http_pair_is_given(pair)) {
		return false;
	}
	http_look_at(pair->cert_file, &cert);
	http_look_at(pair->key_file, &key);
	if (http_look_same(&cert, &pair->cert_look) &&
	    http_look_same(&key, &pair->key_look)) {
		return false;
	}
	return cert.changed_ns != 0 && key.changed_ns != 0 &&
	       now * 1000 - cert.changed_ns > QUIET_NS &&
	       now * 1000 - key.changed_ns > QUIET_NS;
}
