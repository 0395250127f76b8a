/* rp_reverse: take over the backend's response head as the client's.
 *
 * Owns:      hop-by-hop removal, mapping of Location, Content-Location, URI, Destination and
 *            Set-Cookie back to public names, Via, dates, Content-Type, error override.
 * Does not:  parse bytes (rp_h1), send anything; Upgrade and Connection of a switch of protocols
 *            (rp_tunnel).
 * Threads:   the request's.
 * Memory:    r->pool; the head's spans are copied.
 * Blocks?    Never.
 */
#ifndef RP_REVERSE_H
#define RP_REVERSE_H

#include "rp_route.h"
#include "rp_h1.h"

/* Fill r->status, status_line, headers_out, content type ... from a parsed head, interim (1xx)
 * or final, with URLs and cookies mapped back. Names named in the backend's Connection field are
 * removed first (RFC 9110 7.6.1). headers_out set earlier by other modules are discarded except
 * Set-Cookie, which waits for the final head: after an interim one the caller may
 * clear headers_out. Every name and value is a valid token / field value afterwards. Sets the
 * note "proxy-status".
 *
 * head     parsed without error
 * framing  its verdict: decides what happens to Content-Length; Transfer-Encoding never passes,
 *          since the body is framed anew for the client */
void rp_reverse_adopt(request_rec *r, const rp_target_t *target, const rp_h1_head_t *head,
                      const rp_h1_framing_t *framing);

/* After a final head was adopted: does ProxyErrorOverride replace the body of this status here?
 * Returns the status for the handler to return, after having dropped all backend
 * headers but WWW-Authenticate on 401; or OK: send the backend's own response. Where r is an
 * ErrorDocument under ProxyErrorOverride, r->status goes back to the error's. */
int rp_reverse_override(request_rec *r);

/* One value mapped back by ProxyPassReverse, made absolute; value itself where no mapping
 * matches. For Location and its like. */
const char *rp_reverse_map(request_rec *r, const rp_target_t *target, const char *value);

/* A Set-Cookie value mapped back by ProxyPassReverseCookiePath and -Domain; value itself where
 * none matches. */
const char *rp_reverse_map_cookie(request_rec *r, const rp_target_t *target, const char *value);

/* A trailer field of the backend's body: kept in r->trailers_out unless it is one
 * that must not be there (RFC 9110 6.5.1). */
void rp_reverse_add_trailer(request_rec *r, rp_span_t name, rp_span_t value);

#endif
