/* rp_reqhead: the head of the request sent to the backend.
 *
 * Owns:      request line, Host, hop-by-hop removal, X-Forwarded-*, Via, framing and
 *            Connection fields; the last check of every byte of a head before it is sent.
 * Does not:  choose the framing (rp_body does), send.
 * Threads:   the request's.
 * Memory:    r->pool.
 * Blocks?    Never.
 */
#ifndef RP_REQHEAD_H
#define RP_REQHEAD_H

#include "rp_route.h"

typedef enum {
    RP_FRAMING_NONE,   /* no body, no framing field */
    RP_FRAMING_LENGTH, /* Content-Length */
    RP_FRAMING_CHUNKED /* Transfer-Encoding: chunked (RFC 9112 7.1) */
} rp_framing_t;

typedef struct rp_reqhead_want_t {
    const rp_target_t *target;
    rp_framing_t framing;
    apr_off_t length;  /* with RP_FRAMING_LENGTH */
    bool is_http10;    /* force-proxy-request-1.0 */
    bool expect;       /* ask for 100 Continue (RFC 9110 10.1.1) */
    bool close;        /* the connection will not be used again */
    const char *upgrade; /* protocol to ask for (RFC 9110 7.8), or NULL */
} rp_reqhead_want_t;

/* Write the head, with its empty line, to *head / *len. Returns RP_E_NONE, or
 * RP_E_BAD_METHOD, RP_E_BAD_TARGET, RP_E_BAD_FIELD: nothing may be sent then, and *head is the field's name for
 * the log, or NULL. */
rp_err_t rp_reqhead_build(request_rec *r, const rp_reqhead_want_t *want, const char **head, apr_size_t *len);

/* Remembers which fields the client's Connection names: only they are removed for its sake,
 * not what modules set under these names later. */
int rp_reqhead_post_read_request(request_rec *r);

/* "1.1 www.example.test:8080 (Apache/2.4.x)": what this proxy adds to Via in the
 * mode given (RFC 9110 7.6.3); protocol is the version the message came with. */
const char *rp_reqhead_format_via(request_rec *r, rp_via_t mode, int proto_num);

#endif
