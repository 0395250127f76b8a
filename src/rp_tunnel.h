/* rp_tunnel: an upgraded exchange: bytes both ways, whatever they mean.
 *
 * Owns:      the answer 101 and the raw reading and writing of the client's connection from
 *            then on; two pumps with bounded buffers or pipes, half-close, byte counts, when bytes last
 *            moved, where a WebSocket's frames end; a tunnel's place among those that may be.
 * Does not:  decide on an upgrade or on a tunnel's end, wait, log, end a request.
 * Threads:   the request's; the count is for any.
 * Memory:    r->pool for the tunnel, buckets of the client's connection or pipes for bytes; none while idle.
 * Blocks?    Never for HTTP/1; see rp_client.h for HTTP/2 streams.
 *
 * Each pump holds at most one read of the other side: a peer that does not read stops
 * the reading of the one who sends to it, and of nobody else.
 */
#ifndef RP_TUNNEL_H
#define RP_TUNNEL_H

#include "rp_body.h"

/* What a pump would do next. */
typedef enum {
    RP_FLOW_ON,           /* bytes moved, more may be there */
    RP_FLOW_WAIT_CLIENT,  /* up: the client has no bytes; down: it does not read */
    RP_FLOW_WAIT_BACKEND, /* up: the backend does not read; down: it has no bytes */
    RP_FLOW_ENDED,        /* the sender's last byte and its end were passed on */
    RP_FLOW_OVER,         /* the same, but the end could only be passed on by ending the whole */
    RP_FLOW_FAIL          /* see the tunnel's fault */
} rp_flow_t;

/* Follows the frames of a WebSocket (RFC 6455 5.2), to know where one may be put in between. */
typedef struct rp_frames_t {
    bool is_known;          /* it is a WebSocket, and its frames made sense so far */
    bool is_closed;         /* a close frame has begun */
    unsigned char head[14];
    unsigned got;           /* bytes of a frame's head */
    apr_uint64_t left;      /* bytes of its payload still to come */
} rp_frames_t;

typedef struct rp_tunnel_t {
    rp_client_t *client;
    rp_conn_t *conn;             /* borrowed from the exchange */
    const char *protocol;        /* as the client spelled it */
    apr_bucket_brigade *up_bb;   /* from the client, not yet taken by the backend */
    apr_bucket_brigade *down_bb; /* for the client, not yet taken by it; empty between calls unless it is direct */
    apr_off_t up_bytes, down_bytes;    /* passed on */
    apr_time_t started, moved;   /* when it began, when bytes last moved */
    rp_pipe_t *up_pipe, *down_pipe;    /* while much comes that nobody has to look at, else NULL */
    apr_size_t up_size, down_size;     /* of the next read from the client, from the backend */
    bool may_splice;             /* both sides are bare sockets, and the operator has not said no */
    rp_flow_t up, down;
    bool client_ended, backend_ended; /* has sent its last byte */
    bool ends_both;              /* one end is the end of all (proxy-nohalfclose) */
    bool wants_out;              /* the TLS layer to the backend has something to send */
    rp_frames_t frames;          /* down */
    rp_fault_t fault;
} rp_tunnel_t;

/* The final word of HTTP: send the 101 whose fields are in r->headers_out, what the backend has sent
 * behind its head (in down) with it, and take HTTP's filters away from the client's connection.
 * A client that is gone shows at the first pump. */
rp_tunnel_t *rp_tunnel_start(rp_client_t *client, rp_conn_t *conn, rp_down_t *down, const char *protocol);

/* Move bytes both ways, a fair share at a time. ready: what became ready, so that nothing else is looked
 * at; NULL: not known, or bytes may lie in a TLS layer. ON: call again; WAIT_*: nothing moves now; ENDED,
 * OVER: both directions are complete; FAIL. */
rp_flow_t rp_tunnel_pump(rp_tunnel_t *t, const rp_ready_t *ready);

/* Are both sides sockets and nothing else, now and from now on? Then pumping needs nothing of httpd's. */
bool rp_tunnel_is_bare(const rp_tunnel_t *t);

/* Give back what it holds; safe to repeat. */
void rp_tunnel_free(rp_tunnel_t *t);

/* What to wait for after a WAIT_*. Sets all of *wait but the deadline and until_stop. */
void rp_tunnel_want(const rp_tunnel_t *t, rp_wait_t *wait);

/* Tell a WebSocket client that we are going away (close frame 1001, RFC 6455 7.4.1). Does nothing
 * where the stream does not stand between two frames. */
void rp_tunnel_say_goodbye(rp_tunnel_t *t);

/* ---- how many there are ---- */

/* A tunnel's place in the counts. */
typedef struct rp_tunnel_place_t {
    bool is_taken;
    int backend; /* id, -1: none that is counted */
} rp_tunnel_place_t;

/* Take a place for a tunnel that is asked for. RP_E_TUNNEL_MAX, RP_E_TUNNEL_MEMBER_MAX: server_max, backend_max
 * (0: no limit) tunnels are there already, in all children (rp_shm_enter_tunnel). backend: its id, or -1. */
rp_err_t rp_tunnel_take_place(rp_tunnel_place_t *place, int server_max, int backend, int backend_max);
/* Give it back; does nothing where none is taken. */
void rp_tunnel_leave_place(rp_tunnel_place_t *place);
/* Tunnels in this child, those asked for included. */
unsigned rp_tunnel_count(void);

#endif
