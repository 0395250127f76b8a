/* Private to rp_tunnel*.c. */
#ifndef RP_TUNNEL_INT_H
#define RP_TUNNEL_INT_H

#include "rp_tunnel.h"

/* ---- rp_tunnel_frame.c ---- */

/* These bytes come next in the stream. */
void rp_frames_follow(rp_frames_t *f, const char *data, apr_size_t n);
/* The next n bytes are payload of the frame that has begun; n is at most what is left of it. Means nothing for
 * other streams. */
void rp_frames_skip(rp_frames_t *f, apr_size_t n);
/* Does the stream stand between two frames, and may another follow? */
bool rp_frames_can_insert(const rp_frames_t *f);

#endif
