/* SPDX-License-Identifier: Apache-2.0 */

/*
 * vault.h - the parts of the vault crypto, and how they tell of failure
 *
 *	vault.c			the operations, options, description
 *	vault_state.c		what Vault is like, said once; when to ask again
 *	vault_http.c		one request within its time, and its answer
 *	vault_memory.c		memory that is wiped when it is let go
 *	vault_login.c		the token: where from, for how long
 *	vault_token_file.c	a token that somebody else renews
 *	vault_kv.c		the secrets of a cluster, kept in KV 1 or 2
 *	vault_transit.c		messages that Vault opens and seals itself
 *
 * Inside the crypto a function that asks Vault returns what Vault is like
 * then, with *err filled for all but VAULT_READY.  Nothing is told apart by
 * the text of a message, and no text of Vault's is repeated.
 *
 * A look is what may take time: some requests which together end before the
 * deadline that vault_http_begin() set.
 */
#ifndef CRYPTO_VAULT_H
#define CRYPTO_VAULT_H

#include <sys/stat.h>

#include <bursar/crypto.h>

#include "common/cluster_items.h"
#include "common/json.h"
#include "common/monotonic.h"

/* What Vault is like. */
enum vault_state {
	VAULT_UNKNOWN,	/* not asked yet */
	VAULT_READY,
	/* It may change by itself: RETRY. */
	VAULT_AWAY,	/* no connection, no time, an error of its own, or
			 * what answers is no Vault */
	VAULT_SEALED,
	VAULT_STANDBY,	/* cannot answer itself, or has not caught up */
	VAULT_BUSY,	/* too many requests */
	/* A person must act: CONFIG. */
	VAULT_DENIED,	/* no token, or one that may not */
	VAULT_MISSING,	/* no such secret, field, or it was deleted */
	VAULT_REFUSED,	/* anything else that will not change by itself */
};

/* --- vault_memory.c ------------------------------------------------------ */

/* Bytes that may be secret: in locked memory where the system allows it, wiped
 * when they are let go, followed by 64 readable bytes.  All zero at first. */
struct vault_text {
	char  *data;
	size_t size;
	size_t room;
	size_t limit;		/* of size; set before anything is added */
};

/* Returns 0, ENOMEM, or EFBIG when it would grow above its limit. */
int vault_text_add(struct vault_text *text, const void *data, size_t size);
int vault_text_add_word(struct vault_text *text, const char *word);
void vault_text_clear(struct vault_text *text);

/* Has libcurl start, once in this process, with memory that is wiped when it
 * is let go.  Any thread.  Returns 0, or -1 with *err filled. */
int vault_start_curl(struct bursar_error *err);

/* --- vault_http.c -------------------------------------------------------- */

struct vault_http;

struct vault_request {
	const char        *path;	/* behind /v1/, escaped */
	struct bursar_span body;	/* JSON, to be POSTed; else a GET */
	struct bursar_span token;	/* or data NULL */
	size_t             limit;	/* bytes of the answer; 0: the usual */
};

struct vault_answer {
	long              status;	/* of HTTP; 0: there was none */
	struct vault_text body;
	struct json_doc   doc;		/* count 0: the body is no JSON; lent
					 * until the next request */
};

/* What speaks to the Vault of the options, to be given to
 * vault_http_destroy(), or NULL with *err filled; asks nothing yet.  All of it
 * is for the one thread that has the crypto. */
struct vault_http *vault_http_create(const struct bursar_host *host,
                                     struct bursar_error *err);
void vault_http_destroy(struct vault_http *http);

/* A new look begins: its requests have the time of the option `timeout`. */
void vault_http_begin(struct vault_http *http);
/* How long an answer of this look asked us to wait, us; 0: none did. */
int64_t vault_http_wait(const struct vault_http *http);

/*
 * Asks once; where Vault sends us to another node that is allowed, there.
 * *answer is filled whatever is returned, and to be given to
 * vault_answer_clear().
 */
enum vault_state vault_http_ask(struct vault_http *http,
                                const struct vault_request *request,
                                struct vault_answer *answer,
                                struct bursar_error *err);
void vault_answer_clear(struct vault_answer *answer);

/* The node at `names`, a list of members ended by NULL, 0 where there is none.
 * And a number of it; `otherwise` where there is none. */
uint32_t vault_answer_at(const struct vault_answer *answer,
                         const char *const *names);
int64_t vault_answer_number(const struct vault_answer *answer,
                            const char *const *names, int64_t otherwise);
/* The bytes of a string without escapes; data is NULL for anything else. */
struct bursar_span vault_answer_text(const struct vault_answer *answer,
                                     uint32_t node);

/*
 * `text` with all but letters, digits and -._~/ escaped, as it stands in a
 * path; allocated.  Returns NULL with *err filled when it is empty, begins or
 * ends with a slash, or has a part that is empty, "." or "..".
 */
char *vault_path_escape(const char *option, const char *text,
                        struct bursar_error *err);

/* --- vault_login.c ------------------------------------------------------- */

#define VAULT_MAX_TOKEN ((size_t)4096)

struct vault_login {
	struct vault_text token;	/* size 0: none */
	char       *role_path;		/* where AppRole logs in; or NULL */
	struct stat file;		/* of the token file when it was read */
	bool        from_file;
	bool        renewable;
	bool        ending;		/* it was said that it cannot last */
	int64_t     lease;		/* us; 0: it does not end, or that is
					 * not known */
	int64_t     longest;		/* lease of this token */
	int64_t     ends_at;		/* us, monotonic; 0: as above */
	int64_t     renew_at;
};

/* From the options, without asking anybody; finish gives it back, also half
 * made.  Returns 0, or -1 with *err filled: no way to log in, or two. */
int vault_login_init(struct bursar_crypto *crypto, struct bursar_error *err);
void vault_login_finish(struct vault_login *login);

/* Sees to it that there is a token, and renews it when it is time. */
enum vault_state vault_login_ensure(struct bursar_crypto *crypto,
                                    struct bursar_error *err);
/* The token was refused: another one.  READY only if there is another. */
enum vault_state vault_login_again(struct bursar_crypto *crypto,
                                   struct bursar_error *err);

/* --- vault_token_file.c -------------------------------------------------- */

/*
 * Reads a token if the file is another than *seen, which is brought up to
 * date; *token is then replaced.  Returns 1, 0 when nothing changed, or -1 with
 * *err filled: ENOENT, EPERM when others can read it, EINVAL when it holds no
 * token.
 */
int vault_token_file_read(const char *path, struct stat *seen,
                          struct vault_text *token, struct bursar_error *err);

/* --- vault_kv.c ---------------------------------------------------------- */

#define VAULT_MAX_SECRET 2048	/* hex digits */

struct vault_kv;

/* As vault_login_init(); sets crypto->kv. */
int vault_kv_init(struct bursar_crypto *crypto, struct bursar_error *err);
void vault_kv_finish(struct bursar_crypto *crypto);

/* Reads the secrets: crypto->ring and ring_at are up to date then. */
enum vault_state vault_kv_read(struct bursar_crypto *crypto,
                               struct bursar_error *err);
/* Wipes all secrets. */
void vault_kv_forget(struct bursar_crypto *crypto);

/* --- vault_transit.c ----------------------------------------------------- */

#define VAULT_TRANSIT_ENCODING "encrypted/transit"

struct vault_transit {
	char *decrypt_path;		/* NULL in the other mode */
	char *encrypt_path;
};

/* As vault_login_init(); sets the paths of crypto->transit. */
int vault_transit_init(struct bursar_crypto *crypto, struct bursar_error *err);
void vault_transit_finish(struct bursar_crypto *crypto);

/* Whether it would open something now. */
enum vault_state vault_transit_probe(struct bursar_crypto *crypto,
                                     struct bursar_error *err);
/* As the operations of bursar/crypto.h.  VAULT_UNKNOWN: memory is short, which
 * says nothing of Vault. */
enum vault_state vault_transit_unseal(struct bursar_crypto *crypto,
                                      struct bursar_sealed *items,
                                      size_t count, struct bursar_arena *arena,
                                      struct bursar_error *err);
enum vault_state vault_transit_seal(struct bursar_crypto *crypto,
                                    struct bursar_span plain,
                                    struct bursar_seal *out,
                                    struct bursar_arena *arena,
                                    struct bursar_error *err);
/* The longest text that seal() takes. */
#define VAULT_TRANSIT_MAX_PLAIN ((size_t)15 << 20)

/* --- vault_state.c ------------------------------------------------------- */

struct bursar_crypto {
	const struct bursar_host *host;
	struct vault_http   *http;
	struct vault_login   login;
	struct vault_transit transit;

	/* Mode secret: */
	struct vault_kv     *kv;
	struct cluster_ring *ring;	/* NULL: no secret is at hand */
	int64_t              ring_at;	/* us, monotonic: last confirmed */
	struct cluster_use   use;
	bool                 was_unlocked;

	enum vault_state state;
	char             why[250];	/* while it is not READY */
	bool             was_stale;
	unsigned         failures;	/* in a row */
	int64_t          looked_at;	/* us, monotonic */
	int64_t          sought_at;	/* ... for a newer secret */
	int64_t          next_look;
};

/* `us` less or more by up to a tenth, by chance. */
int64_t vault_jitter(int64_t us);

/*
 * What a look found: says so in the log where that is news, and sets when the
 * next one is due.
 */
void vault_state_set(struct bursar_crypto *crypto, enum vault_state state,
                     const struct bursar_error *err);

/* The verdict on a failure. */
enum bursar_verdict vault_verdict(enum vault_state state);

/* Forgets secrets that are older than max-age, and says so once. */
void vault_state_age(struct bursar_crypto *crypto);

/* Whether a message is for this mode, by its content encoding. */
bool vault_is_of_mode(const struct bursar_crypto *crypto,
                      const struct bursar_message *message);

/* Whether unseal() can be expected to work. */
bool vault_is_usable(const struct bursar_crypto *crypto);

#endif
