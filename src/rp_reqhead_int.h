/* rp_reqhead_int: what the files of rp_reqhead share; nobody else includes it.
 *
 * Owns:      declarations only.
 * Does not:  hold state.
 * Threads:   the request's.
 * Memory:    r->pool.
 * Blocks?    Never.
 */
#ifndef RP_REQHEAD_INT_H
#define RP_REQHEAD_INT_H

#include "rp_reqhead.h"

/* --- rp_reqhead_forwarded.c: RevProxyForwarded. Whole values of the fields. --- */

/* May what the client said in these fields be kept? As RevProxyForwarded says, else only where
 * mod_remoteip has found, by a field of it, that the client is a proxy that may speak for others. */
bool rp_forwarded_keeps(const request_rec *r, const rp_forwarded_t *conf);

/* theirs: the field as it came, all lines as one, where it is to be kept; or NULL. */
const char *rp_forwarded_get_proto(request_rec *r, const char *theirs);
const char *rp_forwarded_get_port(request_rec *r, const char *theirs);
/* RFC 7239. host: what the client asked for, or NULL. */
const char *rp_forwarded_format(request_rec *r, const rp_forwarded_t *conf, const char *host, const char *theirs);

#endif
