/* rp_body: the two pumps of an exchange. Up: request body to the backend.
 * Down: response head and body to the client.
 *
 * Owns:      framing in both directions, back-pressure, what was read but not yet sent, byte counts.
 * Does not:  wait, retry, log, end a request: every call says what it would wait for.
 * Threads:   the request's.
 * Memory:    buckets of the client's connection, little of r->pool; bounded whatever the body's size.
 * Blocks?    Never (a request body that must be spooled is written to a temporary file).
 */
#ifndef RP_BODY_H
#define RP_BODY_H

#include "rp_client.h"
#include "rp_conn.h"
#include "rp_h1.h"
#include "rp_reqhead.h"

typedef enum {
    RP_PUMP_DONE,         /* this direction is complete */
    RP_PUMP_WAIT_CLIENT,  /* up: client has no bytes; down: client does not read */
    RP_PUMP_WAIT_BACKEND, /* up: backend does not read; down: backend has no bytes */
    RP_PUMP_FAIL          /* see the pump's fault */
} rp_pump_t;

/* Why a pump failed. */
typedef struct rp_fault_t {
    rp_err_t err;
    apr_status_t rv;
    const char *detail; /* NULL or words */
    int status;         /* overrides the row's status when not 0 */
} rp_fault_t;

/* ---- up ---- */

typedef struct rp_up_t {
    rp_client_t *client;
    rp_framing_t framing;       /* towards the backend */
    apr_off_t length;           /* declared by the client, or found by prefetching; -1 unknown */
    apr_off_t limit;            /* LimitRequestBody where configured, else 0 */
    apr_off_t got;              /* body bytes read from the client */
    apr_off_t sent;             /* bytes of head and body accepted by the present connection */
    apr_bucket_brigade *kept;   /* prefetched (or spooled) body: sent by copy, so that it can be sent again */
    apr_bucket_brigade *out;    /* framed, on the way to the backend */
    apr_bucket_brigade *fresh;  /* on the way from the client into `out`; else empty */
    apr_file_t *spool;          /* temporary file, NULL while in memory */
    apr_off_t spooled;
    bool client_chunked;        /* the client used chunked coding */
    bool is_suspect;            /* chunked beside a Content-Length or in HTTP/1.0: somebody before us may see
                                   another end of the body (RFC 9112 6.1): no connection is used again */
    bool may_wait;              /* prefetching may wait for the client */
    bool wants_spool;           /* whole body first, then Content-Length */
    bool is_read;               /* whole body read from the client */
    bool is_queued;             /* its end is in `out` */
    bool is_done;               /* everything was accepted by the connection */
    bool is_held;               /* waiting for 100 Continue: head only */
    bool is_streamed;           /* bytes beyond `kept` went out: cannot be sent again */
    rp_fault_t fault;
} rp_up_t;

/* Look at the request's own framing and at the environment (proxy-sendcl and its like).
 * false: fault says why the request is refused. */
bool rp_up_init(rp_up_t *up, rp_client_t *client, bool is_http10);

/* Read the first 16 KiB of the body, or all of it where it has to be spooled.
 * Decides framing when DONE. WAIT_CLIENT or FAIL otherwise. */
rp_pump_t rp_up_prefetch(rp_up_t *up);

/* Begin an attempt: queue the head and what was prefetched. */
void rp_up_start(rp_up_t *up, const char *head, apr_size_t len, bool hold_body);
/* 100 Continue has come, or nobody waits for it any more. */
void rp_up_release(rp_up_t *up);
/* Move bytes until nothing moves. */
rp_pump_t rp_up_pump(rp_up_t *up, rp_conn_t *conn);
/* Write bb to conn until it is empty or the backend takes no more; what was taken is gone from bb
 * and counted into *sent. DONE: bb is empty; WAIT_BACKEND; FAIL, with *fault. */
rp_pump_t rp_body_send(apr_bucket_brigade *bb, rp_conn_t *conn, apr_off_t *sent, rp_fault_t *fault);
/* Can the request be sent again from the start? */
bool rp_up_can_restart(const rp_up_t *up);

/* ---- down ---- */

typedef struct rp_down_t {
    rp_client_t *client;
    rp_h1_limits_t limits;
    apr_size_t read_bytes;     /* of a body, at a time */
    char *buf;                 /* bytes of the backend not yet looked at: [pos, used) */
    apr_size_t size, pos, used;
    rp_h1_scan_t scan;
    rp_h1_head_t head;         /* valid from a head's end until the next read */
    rp_h1_framing_t framing;
    rp_h1_chunk_t chunk;
    apr_uint64_t left;         /* of a body with a length */
    apr_uint64_t got;          /* bytes from the backend in this exchange, heads included */
    bool may_splice;           /* RevProxySplice */
    rp_pipe_t *pipe;           /* on its way to the client past the filters; NULL: nothing */
    bool is_ended;             /* the message is complete, as far as the backend is concerned */
    bool is_surplus;           /* bytes beyond it are here: the connection is not to be used again */
    apr_bucket_brigade *bb;    /* for the client */
    rp_fault_t fault;
} rp_down_t;

/* read_bytes: how much of a body to read at a time (ProxyIOBufferSize), 0: what is best. */
void rp_down_init(rp_down_t *down, rp_client_t *client, const rp_h1_limits_t *limits, apr_size_t read_bytes);
/* Forget what an attempt has read. */
void rp_down_reset(rp_down_t *down);
void rp_down_free(rp_down_t *down);

/* Read one head, interim or final. DONE: down->head and down->framing are there, to be
 * used before the next call. WAIT_BACKEND, FAIL (nothing read at all: fault.err
 * RP_E_HEAD_EOF or RP_E_HEAD_READ and down->got == 0). */
rp_pump_t rp_down_read_head(rp_down_t *down, rp_conn_t *conn);
/* Has a head begun to come that is not complete yet? */
bool rp_down_is_in_head(const rp_down_t *down);

/* Move the bytes behind the last head, read with it, to bb (when they are no body). */
void rp_down_take_rest(rp_down_t *down, apr_bucket_brigade *bb);

/* The final head was adopted; the body follows. trailer/ctx: receiver of trailer fields. */
void rp_down_start_body(rp_down_t *down, rp_h1_trailer_fn *trailer, void *ctx);
/* Move body bytes to the client. DONE: the message is complete and its last bytes
 * with EOS lie in down->bb, still to be written by rp_down_finish (so that the
 * connection can be given back first). WAIT_CLIENT with is_ended: the rest is here, conn is not
 * needed any more and may be NULL from now on. */
rp_pump_t rp_down_pump(rp_down_t *down, rp_conn_t *conn);
/* A number that grows with each byte for the client. Chunk sizes, extensions and trailers are none. */
apr_uint64_t rp_down_get_progress(const rp_down_t *down);
bool rp_down_finish(rp_down_t *down);

#endif
