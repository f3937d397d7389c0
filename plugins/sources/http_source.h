/* SPDX-License-Identifier: Apache-2.0 */

/*
 * http_source.h - what the files of the source http share
 *
 * The library's one thread takes connections, reads requests whole, finds
 * their records and suspends them; the core's thread takes the records, says
 * what became of them and resumes each request when all of it is known.  One
 * lock guards all that both of them touch; nobody waits for anything else
 * while holding it, and the library is never called with it.
 *
 *	begin -> take* -> whole -> (suspended) -> answered -> respond -> end
 *	   '-------------- refused --------------^
 *
 * A request lives until its connection is done with it, every record that was
 * handed out is settled and its sender knows what was rejected, whichever comes
 * last.
 */
#ifndef HTTP_SOURCE_H
#define HTTP_SOURCE_H

#include <pthread.h>
#include <stdatomic.h>

#include <microhttpd.h>

#include <bursar/source.h>

#include "common/http_pair.h"
#include "common/http_place.h"
#include "common/json.h"
#include "common/monotonic.h"
#include "common/tokens.h"
#include "http_body.h"

#define HTTP_MAX_REASON 300	/* bytes of why a record was refused */
#define HTTP_RETRY_S    "5"	/* when to come again, by Retry-After */

struct http_limits {
	size_t   body;			/* bytes, unpacked or not */
	size_t   pending;		/* bytes of all requests in memory */
	size_t   header;
	size_t   records;		/* in a request */
	unsigned connections;
	unsigned per_address;
	int64_t  header_us;		/* time for ... */
	int64_t  body_us;		/* ... body or answer */
	int64_t  idle_us;		/* ... between two requests */
	int64_t  answer_us;		/* until everything is stored */
};

/* --- connections ---------------------------------------------------------- */

enum http_phase {
	HTTP_HEADER,		/* the first header is awaited */
	HTTP_BODY,		/* a body comes in, or is thrown away */
	HTTP_SUSPENDED,		/* answered by the deadline of its request */
	HTTP_ANSWERING,		/* the answer goes out */
	HTTP_IDLE,		/* the next request is awaited */
};

struct http_link {
	struct http_link *next, *previous;
	int     fd;
	enum http_phase phase;
	int64_t since;
	bool    cut;		/* shut down; the library will see it */
	uint64_t network;	/* of its client; 0: see http_place.h */
};

/* --- requests ------------------------------------------------------------- */

enum http_status {
	HTTP_PENDING,		/* nothing is known yet */
	HTTP_STORED,
	HTTP_DUPLICATE,
	HTTP_REJECTED,
	HTTP_RETRY,
	HTTP_STATUSES
};

/* A rejected record, until its sender knows. */
struct http_kept {
	unsigned flags;
	uint64_t full_size;		/* of what was cut */
	char     digest[65];
	size_t   size;
	char     body[];
};

struct http_record {
	struct bursar_span text;	/* of the body, as long as that is here */
	enum http_status   status;
	char              *reason;	/* of REJECTED; may be NULL */
	struct http_kept  *kept;	/* or NULL */
};

/* Of the answer of a request that was suspended. */
enum http_fate { HTTP_UNKNOWN, HTTP_TOLD, HTTP_UNTOLD };

/* The tokens of one reading of the file; freed with the last request. */
struct http_tokens {
	struct tokens *tokens;
	unsigned       holders;		/* guarded by the server's lock */
};

struct http_request {
	struct http_server    *server;
	struct MHD_Connection *connection;	/* NULL: done with it */
	struct http_link      *link;

	/* By the header: */
	bool     usage;			/* of a gateway: see http_usage.c */
	bool     lines;			/* JSON lines, not one value */
	enum http_packing packing;
	struct http_tokens *tokens;	/* held; NULL: none are asked for */
	const struct token *token;
	char    *origin;
	char    *key;			/* Idempotency-Key, as it came */
	bool     keeps_open;		/* false: the answer ends it */
	bool     misframed;		/* its length can be read in two ways */
	bool     long_refused;		/* by its header, with a long body */
	bool     told_early;		/* see http_respond_early() */

	struct http_bytes body;
	size_t   came;			/* bytes of body, kept or not */
	size_t   charged;		/* of the server's memory */

	struct http_record *records;
	size_t   count;
	size_t   handed;		/* to the core, from the first on */
	size_t   unsettled;		/* of these */
	uint32_t slot;
	bool     has_slot;

	/* Rejected records; see http_untold.c. */
	enum http_fate fate;
	size_t   kept;			/* how many */
	size_t   again;			/* handed out once more, up to here */
	int      watched;		/* its connection, or -1 */
	int64_t  watch_until;
	bool     listed;		/* as untold */

	/* Suspended requests, the oldest first; and in other lists later. */
	struct http_request *next, *previous;
	int64_t  deadline;
	bool     waiting;		/* is in that list */
	bool     left;			/* was, and has its answer */
	bool     returned;		/* a record was: no more are handed out */

	unsigned code;			/* of the answer; 0: none yet */
	const char *allow;		/* header Allow, or NULL */
	const char *why;		/* records are to be sent again */
	char    *answer;
	size_t   answer_size;
};

/* --- the server ----------------------------------------------------------- */

struct http_figures {
	int64_t requests, refused, unauthorized, timeouts, cut, unanswered,
		lost;		/* rejected records without room */
};

struct http_server {
	const struct bursar_host *host;
	struct http_limits limits;
	struct MHD_Daemon *daemon;	/* NULL: not listening */
	bool     tls;
	int      epoll;			/* the library's, to wait for */
	pthread_t thread;		/* the library's; 0: none */
	int      step_bell;		/* rung for it */
	_Atomic bool ending;		/* it shall end */
	bool     came;			/* the library's thread's: ring */
	struct json_reader *json;	/* the library's thread's */
	int      bell;			/* rung for the core's thread */
	pthread_t starter;
	char     said[200];		/* the library's words to the starter */

	pthread_mutex_t lock;		/* guards what follows */
	pthread_cond_t  quiet;		/* answering became 0 */
	bool     parked;
	bool     closing;
	struct http_tokens *tokens;	/* NULL: none are asked for */
	struct http_link   *links;
	struct http_request *first, *last;	/* waiting */
	struct http_request *hand_out;	/* first with records to hand out */
	struct http_request *watched;	/* it is not known that they are told */
	size_t   watch_count;
	struct http_request *untold;	/* to be handed out once more */
	size_t   charged;
	size_t   answering;		/* answers not yet sent */
	struct http_request **slots;
	size_t   slot_count;
	size_t   slot_hint;
	struct http_figures figures;
};

/* http_server.c - the library, connections and their times */

/* Room, locks and descriptors for the limits that are set; listens nowhere yet.
 * Finish gives them back, also half made.  Returns 0, or -1 with *err filled:
 * ENOMEM. */
int http_server_init(struct http_server *server,
                     const struct bursar_host *host, struct bursar_error *err);
void http_server_finish(struct http_server *server);

/*
 * Listens on the socket, which it takes where that works.  cert and key: PEM,
 * only read, both NULL for plain HTTP.  Returns 0, or -1 with *err filled.
 */
int http_server_start(struct http_server *server, int listener,
                      char *cert, char *key, struct bursar_error *err);

/* Answers who waits, lets answers go out for a moment, ends all. */
void http_server_stop(struct http_server *server);

/* Makes an eventfd readable, and unreadable again. */
void http_ring(int bell);
void http_silence(int bell);

/* Cuts connections that take too long and answers requests that waited too
 * long; the core's thread, now and then. */
void http_server_tend(struct http_server *server, int64_t now);

/* http_request.c - one request from its header to its answer; the functions
 * of the library's thread */

/* A request whose header is there, to be given to http_request_end(); it may
 * have its answer already.  NULL: memory is short. */
struct http_request *http_request_begin(struct http_server *server,
                                        struct MHD_Connection *connection,
                                        struct http_link *link,
                                        const char *url, const char *method);

/* Whether its answer cannot wait until the body is through. */
bool http_request_is_hasty(const struct http_request *r);

/* Takes a part of the body; may answer it.  False: the connection has to
 * end. */
bool http_request_take(struct http_request *r, const char *data, size_t size);

/* The body is whole.  True: suspend, then http_request_wait(); false: there is
 * an answer. */
bool http_request_whole(struct http_request *r);

/* Frees the body. */
void http_drop_body(struct http_request *r);

/* The connection is done with it.  sent: the answer went out. */
void http_request_end(struct http_request *r, bool sent);

/* http_usage.c - usage of gateways; refuse what is none */

/* Answers what is no request of a gateway by its header alone. */
void http_usage_check(struct http_request *r);

/* Makes the body a message of ours; false: there is an answer. */
bool http_usage_translate(struct http_request *r);

/* http_wait.c - suspended requests, between both threads */

/* Puts a suspended request where the core finds it; may answer it at once. */
void http_request_wait(struct http_request *r);

/* Hands records out until there is no more room. */
void http_hand_out(struct http_server *server, struct bursar_batch *batch);

/* Notes what became of records; who has all of his is answered.  As settle()
 * of bursar/source.h, the core's thread. */
void http_settle(struct http_server *server,
                 const struct bursar_settled *settled, size_t count);

/* Why records have to be sent again. */
#define HTTP_LATE   "it was not stored in time; send it again"
#define HTTP_AWAY   "a database is away, or a key; send it again later"
#define HTTP_ENDING "the server is ending; send it again"

/* Answers every suspended request that is due (INT64_MAX: all), for that
 * reason. */
void http_answer_due(struct http_server *server, int64_t now, const char *why);

/* What the core has to know of record i, but for its body and flags. */
void http_describe(const struct http_request *r, size_t i,
                   struct bursar_message *message);

/* Frees a request that nobody needs any more; with the lock. */
void http_request_drop(struct http_request *r);

/* http_untold.c - rejected records whose senders could not be told; all with
 * the lock */

/* Keeps record i, as the core had it, until its sender knows. */
void http_keep(struct http_request *r, size_t i,
               const struct bursar_message *message);
void http_keep_no_more(struct http_request *r, size_t i);

/* The connection is done with a request that was suspended. */
void http_answer_went(struct http_request *r, int fd, bool sent);

/* All of it is settled: what was not told is handed out once more. */
void http_untold_or_drop(struct http_request *r);

/* Finds out which answers have arrived. */
void http_untold_look(struct http_server *server, int64_t now);

/* Adds what was not told, as UNANSWERED, while there is room. */
void http_hand_out_untold(struct http_server *server,
                          struct bursar_batch *batch);

/* Frees all requests; returns how many records nobody will be told of. */
size_t http_forget_untold(struct http_server *server);

/* http_answer.c - what a request is told */

/* An answer for the whole request; the sentence is static. */
void http_refuse(struct http_request *r, unsigned code, const char *sentence);

/* The same with the text of *err. */
void http_refuse_for(struct http_request *r, unsigned code,
                     const struct bursar_error *err);

/* Why record i was refused, up to its answer; with the lock, as is
 * http_answer().  What these keep is charged whatever is charged already: who
 * does not read has others wait for memory, and takes no more. */
void http_set_reason(struct http_request *r, size_t i, const char *text);
void http_forget_reason(struct http_request *r, size_t i);

/* An answer from what became of its records; what is pending is to be sent
 * again. */
void http_answer(struct http_request *r);

/* Writes the inside of a JSON string, at most two bytes a byte.  What is no
 * clean text becomes a question mark.  Returns how many bytes. */
size_t http_put_escaped(char *out, const char *text);

/* Gives the answer to the library. */
enum MHD_Result http_respond(struct http_request *r);

/*
 * Answers a request whose body is still coming, and ends its connection's way
 * to the client.  The library has no words for that, so this is written past
 * it, from its own thread and in one piece.  False: it cannot be told, because
 * of TLS or because its connection takes no bytes.
 */
bool http_respond_early(struct http_request *r);

/* More memory for a request.  False: there is no more; without the lock. */
bool http_charge(struct http_request *r, size_t more);

#endif
