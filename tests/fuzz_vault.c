/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as what Vault answers: no answer harms the daemon, is taken for a
 * key that it is not, or leaves an operation without a verdict.
 *
 * The first byte of an input chooses how the plugin is configured, see
 * setups[].  Behind it stand answers, each begun by a line "@STATUS"; a request
 * gets the next one, and when there is none left nobody answers.  The body of a
 * redirect is where it leads.
 *
 * The plugin is real but for libcurl's transfers and the clock, which moves on
 * between operations, so that each of them looks again.
 */
#include "config.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

#include "plugins/crypto/vault.h"
#include "tests/blocks.h"
#include "tests/fuzz.h"

#undef curl_easy_setopt
#undef curl_easy_getinfo

#define OPERATIONS 6
#define PLAIN      "{\"request\":\"what is fuzz?\"}"

extern const struct bursar_plugin crypto_vault_LTX_bursar_plugin;

/* --- the clock ----------------------------------------------------------- */

int fuzz_clock(clockid_t clock, struct timespec *now);

static int64_t seconds;

int fuzz_clock(clockid_t clock, struct timespec *now)
{
	(void)clock;
	*now = (struct timespec){ .tv_sec = seconds };
	return 0;
}

/* --- libcurl ------------------------------------------------------------- */

static struct bursar_span answers;	/* what is left of the input */
static size_t requests;

static struct {
	size_t (*take)(char *data, size_t one, size_t size, void *context);
	void *context;
	long  status;
	char  redirect[256];
} transfer;

CURL *curl_easy_init(void)
{
	return malloc(1);
}

void curl_easy_cleanup(CURL *easy)
{
	free(easy);
}

void curl_easy_reset(CURL *easy)
{
	(void)easy;
	memset(&transfer, 0, sizeof(transfer));
}

CURLcode curl_easy_setopt(CURL *easy, CURLoption option, ...)
{
	va_list ap;

	(void)easy;
	va_start(ap, option);
	if (option == CURLOPT_WRITEFUNCTION) {
		transfer.take = va_arg(ap, size_t (*)(char *, size_t, size_t,
		                                      void *));
	} else if (option == CURLOPT_WRITEDATA) {
		transfer.context = va_arg(ap, void *);
	}
	va_end(ap);
	return CURLE_OK;
}

CURLcode curl_easy_getinfo(CURL *easy, CURLINFO info, ...)
{
	va_list ap;

	(void)easy;
	va_start(ap, info);
	if (info == CURLINFO_RESPONSE_CODE) {
		*va_arg(ap, long *) = transfer.status;
	} else if (info == CURLINFO_REDIRECT_URL) {
		*va_arg(ap, char **) = transfer.redirect;
	} else if (info == CURLINFO_RETRY_AFTER) {
		*va_arg(ap, curl_off_t *) = transfer.status % 7;
	}
	va_end(ap);
	return CURLE_OK;
}

/* "@STATUS", a newline, and bytes up to the next line that begins so. */
static bool next_answer(struct bursar_span *body)
{
	const char *end = memchr(answers.data, '\n', answers.size);

	if (answers.size < 2 || answers.data[0] != '@' || end == NULL) {
		return false;
	}
	transfer.status = 0;
	for (const char *at = answers.data + 1; at < end; at++) {
		transfer.status = transfer.status * 10 % 1000 + (*at & 15) % 10;
	}
	end++;
	const size_t left = answers.size - (size_t)(end - answers.data);
	const char *next = memmem(end, left, "\n@", 2);
	const size_t size = next != NULL ? (size_t)(next - end) : left;

	*body = (struct bursar_span){ end, size };
	answers = (struct bursar_span){
		next != NULL ? next + 1 : end + size,
		left - size - (next != NULL),
	};
	return true;
}

CURLcode curl_easy_perform(CURL *easy)
{
	struct bursar_span body = { NULL, 0 };

	(void)easy;
	FUZZ_REQUIRE(++requests < 10000);
	if (!next_answer(&body)) {
		return CURLE_COULDNT_CONNECT;
	}
	snprintf(transfer.redirect, sizeof(transfer.redirect), "%.*s",
	         (int)(body.size < 200 ? body.size : 200), body.data);
	/* In two pieces, as from a network. */
	const size_t half = body.size / 2;
	if (transfer.take((char *)body.data, 1, half, transfer.context) !=
	    half ||
	    transfer.take((char *)body.data + half, 1, body.size - half,
	                  transfer.context) != body.size - half) {
		return CURLE_WRITE_ERROR;
	}
	return CURLE_OK;
}

/* --- the host ------------------------------------------------------------ */

static const struct setup {
	char mode;
	const char *options[10];	/* name, value; NULL ends it */
} setups[] = {
	{ 's', { "token-file", "", NULL } },
	{ '1', { "token-file", "", "kv-version", "1", NULL } },
	{ '2', { "token-file", "", "kv-version", "2", NULL } },
	{ 't', { "token-file", "", "mode", "transit", "key", "audit", NULL } },
	{ 'a', { "role-id", "r", NULL } },
	{ 'A', { "role-id", "r", "mode", "transit", "key", "audit", NULL } },
};

static const struct setup *setup;
static char token_path[] = "/tmp/fuzz_vault.XXXXXX";

static const struct bursar_option *option_of(const char *name)
{
	const struct bursar_option *o = crypto_vault_LTX_bursar_plugin.options;

	while (o->name != NULL && strcmp(o->name, name) != 0) {
		o++;
	}
	FUZZ_REQUIRE(o->name != NULL);
	return o;
}

static const char *host_text(const struct bursar_host *host, const char *name)
{
	const struct bursar_option *option = option_of(name);

	(void)host;
	for (size_t i = 0; setup->options[i] != NULL; i += 2) {
		if (strcmp(setup->options[i], name) == 0) {
			return strcmp(name, "token-file") == 0
				? token_path : setup->options[i + 1];
		}
	}
	return strcmp(name, "address") == 0 ? "http://127.0.0.1:8200"
		: option->fallback;
}

/* "5s", "1m", "true" and plain numbers, as the table has them. */
static int64_t host_number(const struct bursar_host *host, const char *name)
{
	const char *text = option_of(name)->fallback;
	char *unit;
	const long number = strtol(text, &unit, 10);

	(void)host;
	if (unit == text) {
		return strcmp(text, "true") == 0;
	}
	return strcmp(unit, "s") == 0 ? number * 1000
	     : strcmp(unit, "m") == 0 ? number * 60000
	     : strcmp(unit, "h") == 0 ? number * 3600000 : number;
}

static size_t host_list(const struct bursar_host *host, const char *name,
                        const char *const **items)
{
	static const char *const hosts[] = { "127.0.0.2:8200" };

	(void)host, (void)option_of(name);
	*items = hosts;
	return 1;
}

static struct bursar_span host_secret(const struct bursar_host *host,
                                      const char *name)
{
	(void)host, (void)option_of(name);
	return setup->mode == 'a' || setup->mode == 'A'
		? (struct bursar_span){ "id", 2 }
		: (struct bursar_span){ NULL, 0 };
}

__attribute__((format(printf, 4, 5)))
static void host_log(const struct bursar_host *host, enum bursar_level level,
                     const char *event, const char *fmt, ...)
{
	char text[4096];
	va_list ap;

	(void)host, (void)level;
	FUZZ_REQUIRE(event != NULL);
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
}

static void host_count(const struct bursar_host *host, const char *name,
                       int64_t more)
{
	(void)host, (void)name, (void)more;
}

static const struct bursar_host host = {
	.name = "fuzz", .text = host_text, .number = host_number,
	.list = host_list, .secret = host_secret, .log = host_log,
	.count = host_count, .gauge = host_count,
};

/* --- operations ---------------------------------------------------------- */

static struct bursar_span span(const char *text)
{
	return (struct bursar_span){ text, strlen(text) };
}

static void check_verdict(enum bursar_verdict verdict,
                          const struct bursar_error *err)
{
	FUZZ_REQUIRE(verdict == BURSAR_DONE || verdict == BURSAR_RETRY ||
	             verdict == BURSAR_CONFIG);
	FUZZ_REQUIRE((verdict == BURSAR_DONE) == (err->code == 0));
	FUZZ_REQUIRE(strchr(err->text, '\n') == NULL);
}

static void touch(struct bursar_span text)
{
	volatile char sum = 0;

	for (size_t i = 0; i < text.size + BLOCKS_PADDING; i++) {
		sum = (char)(sum + text.data[i]);
	}
}

static void unseal(struct bursar_crypto *crypto)
{
	static const struct bursar_header iv = {
		{ "iv", 2 }, { "AAAAAAAAAAAAAAAA", 16 },
	};
	const struct bursar_message messages[] = {
		{ .body = span("vault:v1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
		  .content_encoding = span(VAULT_TRANSIT_ENCODING) },
		{ .body = span("gcm:AAAA:AAAAAAAAAAAAAAAAAAAAAA=="),
		  .content_encoding = span(CLUSTER_ENCODING),
		  .headers = &iv, .header_count = 1 },
		{ .body = span("vault:v2:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"),
		  .content_encoding = span(VAULT_TRANSIT_ENCODING) },
	};
	struct bursar_sealed items[3];
	struct bursar_error err = { 0 };

	for (size_t i = 0; i < 3; i++) {
		items[i] = (struct bursar_sealed){ .message = &messages[i],
			.result = (enum bursar_unsealed)77 };
	}
	const enum bursar_verdict verdict =
		crypto_vault_LTX_bursar_plugin.ops.crypto->unseal(
			crypto, items, 3, &blocks_arena, &err);
	check_verdict(verdict, &err);
	for (size_t i = 0; i < 3 && verdict == BURSAR_DONE; i++) {
		FUZZ_REQUIRE(items[i].result <= BURSAR_NO_KEY);
		if (items[i].result == BURSAR_OPENED) {
			touch(items[i].plain);
		}
	}
}

static void seal(struct bursar_crypto *crypto)
{
	struct bursar_error err = { 0 };
	struct bursar_seal out = { 0 };

	const enum bursar_verdict verdict =
		crypto_vault_LTX_bursar_plugin.ops.crypto->seal(
			crypto, span(PLAIN), &out, &blocks_arena, &err);
	check_verdict(verdict, &err);
	if (verdict == BURSAR_DONE) {
		FUZZ_REQUIRE(out.encoding != NULL && out.body.size > 0);
		FUZZ_REQUIRE(memmem(out.body.data, out.body.size, PLAIN,
		                    strlen(PLAIN)) == NULL);
		FUZZ_REQUIRE(out.key_id.size >= 1 && out.key_id.size <= 96);
		for (size_t i = 0; i < out.key_id.size; i++) {
			FUZZ_REQUIRE(out.key_id.data[i] >= '!' &&
			             out.key_id.data[i] <= '~');
		}
		touch(out.body);
	}
}

static void operate(void)
{
	const struct bursar_crypto_ops *ops =
		crypto_vault_LTX_bursar_plugin.ops.crypto;
	struct bursar_error err = { 0 };
	struct bursar_crypto *crypto = ops->open(&host, &err);

	FUZZ_REQUIRE(crypto != NULL);	/* no server is needed for that */
	for (int i = 0; i < OPERATIONS; i++) {
		bool usable;

		seconds += 40;
		(void)ops->tick(crypto, &usable);
		unseal(crypto);
		seconds += 40;
		seal(crypto);
		blocks_clear();
	}
	ops->close(crypto);
}

static void make_token(void)
{
	const int file = mkstemp(token_path);

	FUZZ_REQUIRE(file >= 0 && fchmod(file, 0600) == 0 &&
	             write(file, "hvs.token\n", 10) == 10);
	close(file);
}

static void remove_token(void)
{
	unlink(token_path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool prepared;

	if (!prepared) {
		make_token();
		atexit(remove_token);
		prepared = true;
	}
	setup = &setups[0];
	for (size_t i = 0; size > 0 && i < sizeof(setups) / sizeof(setups[0]);
	     i++) {
		if (setups[i].mode == data[0]) {
			setup = &setups[i];
		}
	}
	/* Behind the first line. */
	const uint8_t *start = size > 0 ? memchr(data, '\n', size) : NULL;
	answers = start == NULL ? (struct bursar_span){ "", 0 }
		: (struct bursar_span){ (const char *)start + 1,
		                        size - (size_t)(start + 1 - data) };
	seconds = 1000;
	requests = 0;
	operate();
	return 0;
}
