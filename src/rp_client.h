/* rp_client: the client of an exchange, read and written without waiting.
 *
 * Owns:      nothing; it is a view of the request's filters and its connection.
 * Does not:  frame bodies (httpd's filters do), decide what to wait for.
 * Threads:   the request's.
 * Memory:    buckets of the client's connection.
 * Blocks?    Not for reading. Writing blocks only where httpd's filters make more than
 *            FlushMaxThreshold of one write, or the client is an HTTP/2 stream.
 *
 * httpd's core output filter waits for the client when it meets a FLUSH bucket. A filter of
 * ours before it takes these out while we write, and has the core send what it can.
 */
#ifndef RP_CLIENT_H
#define RP_CLIENT_H

#include <stdbool.h>

#include "httpd.h"
#include "util_filter.h"
#include "rp_park.h"
#include "rp_splice.h"

typedef struct rp_client_t {
    request_rec *r;
    int fd;              /* of the client's socket; -1 for an HTTP/2 stream */
    int stream_fd;       /* becomes readable when a raw HTTP/2 stream has input; else -1 */
    bool needs_flush;    /* written since the last flush */
    bool head_sent;      /* the response head went down the filters */
    bool is_raw;         /* no HTTP any more */
    bool is_direct;      /* raw, and nothing but httpd's core between us and the socket: we read it and write to it */
    bool is_drained;     /* direct: the last read took all that was there */
    bool has_request_end; /* the next end is still the request's: mod_http2 gives a WebSocket's two */
    unsigned writes;     /* how often something was passed down */
    unsigned looks;      /* see rp_wait_t */
    apr_bucket_brigade *in;  /* one read's buckets on their way to the caller */
    ap_filter_t *gate;       /* takes FLUSH buckets out while open; NULL without a descriptor */
} rp_client_t;

typedef enum { RP_CLIENT_OK, RP_CLIENT_AGAIN, RP_CLIENT_END, RP_CLIENT_FAIL } rp_client_result_t;

/* Called from register_hooks: the filter that keeps writes from waiting. */
void rp_client_register_filter(void);
/* Hook: find the functions of other modules that we use. */
void rp_client_find_functions(void);

void rp_client_init(rp_client_t *cl, request_rec *r);

/* Up to max bytes of the request body, appended to bb without any EOS bucket.
 * OK: some bytes; END: the body is complete (bb may have got bytes too); AGAIN: none
 * there; FAIL: *rv says why. */
rp_client_result_t rp_client_read(rp_client_t *cl, apr_bucket_brigade *bb, apr_off_t max, apr_status_t *rv);

/* Send bb down the request's filters; bb is empty afterwards. false: the client is gone. */
bool rp_client_write(rp_client_t *cl, apr_bucket_brigade *bb);
/* Send the 1xx that r->status and r->headers_out describe (ap_send_interim_response). */
void rp_client_send_interim(rp_client_t *cl, bool with_fields);
/* The same, with nothing held back for more to come. */
bool rp_client_write_out(rp_client_t *cl, apr_bucket_brigade *bb);
/* To a direct client: what its socket takes at once of bb, which holds data only; the rest stays in bb. false:
 * the client is gone. */
bool rp_client_send(rp_client_t *cl, apr_bucket_brigade *bb);
/* Do body bytes reach the client as they are: no TLS, no HTTP/2, no filter in their way but httpd's own,
 * which let them pass? Known once the head is on its way. */
bool rp_client_is_bare(const rp_client_t *cl);
/* Send what a pipe holds, as far as that goes without waiting, to a bare client with nothing pending.
 * false: the client is gone. */
bool rp_client_splice(rp_client_t *cl, rp_pipe_t *pipe);
/* Send what filters hold back. false: the client is gone. */
bool rp_client_flush(rp_client_t *cl, apr_bucket_brigade *bb);
/* Move bytes of a direct client into an empty pipe. Results as of rp_client_read. */
rp_client_result_t rp_client_fill(rp_client_t *cl, rp_pipe_t *pipe, apr_status_t *rv);
/* Is output of httpd's filters still waiting for the client to read? Tries to send it first. */
bool rp_client_has_pending(rp_client_t *cl);
bool rp_client_is_gone(const rp_client_t *cl);
/* Has httpd closed its socket under us? It does when a child is told to stop at once (worker, and event for what waits
 * in a thread); the number may be another descriptor's by then, so fd is -1 from when this has said true. */
bool rp_client_is_taken(rp_client_t *cl);
/* HTTP is over on this connection: from now on reads and writes are of its bare bytes, and it is
 * closed in the end. Bytes that httpd has read already come first. Where no filter has a part in them, httpd's
 * filters are left out from then on: is_direct. */
void rp_client_go_raw(rp_client_t *cl);
/* httpd keeps the buffer of a request's head until it reads on; have it look whether there is more.
 * What is there stays there. For connections that will be idle for long. */
void rp_client_drop_head(rp_client_t *cl);
/* Tell the client that no more will come, and go on reading. false: that cannot be said on this
 * connection (TLS, HTTP/2 stream) but by ending it. */
bool rp_client_shut_write(rp_client_t *cl);
/* The exchange is over: httpd's own writes wait again as ever. */
void rp_client_leave(rp_client_t *cl);

/* Fill in the client's part of a wait. */
void rp_client_want(rp_client_t *cl, rp_wait_t *wait, short events);
/* Until when to wait for the client at most (Timeout, or what mod_reqtimeout left of it). */
apr_time_t rp_client_get_deadline(const rp_client_t *cl);

/* No cache is to keep the response, nor the page that it is included in: what mod_cache has stored of it is dropped at its
 * end. */
void rp_client_forbid_cache(rp_client_t *cl);
/* A response cannot be finished: make the loss visible, and uncacheable. */
void rp_client_cut(rp_client_t *cl, apr_bucket_brigade *bb);

#endif
