/* rp_park: waiting. "Go on when this is ready, or at that time."
 *
 * Owns:      the one place where an exchange waits, and the choice how: in its thread, or
 *            parked, without one (event MPM that can poll for us, AP_MPMQ_CAN_WAITIO).
 *            While a request is parked, also the client's descriptor.
 * Does not:  know what is waited for.
 * Threads:   the request's; a parked request goes on in another one.
 * Memory:    one rp_park_t in a client connection's pool.
 * Blocks?    Yes: the only unit that may, and only in rp_park_wait and rp_park_poll, never past the deadline; and in
 *            rp_park_process_connection, for the next request of a client, 10 ms at most.
 *
 * How parking works: the MPM polls the descriptor in the client's apr_socket_t. We put
 * an epoll descriptor there that holds the backend's socket, the client's and a timer, and
 * hand the connection to the MPM in CONN_STATE_ASYNC_WAITIO. src/README.md has the whole story.
 */
#ifndef RP_PARK_H
#define RP_PARK_H

#include <poll.h>
#include <stdbool.h>

#include "httpd.h"

/* What to wait for. Descriptors of -1 or events of 0 are not waited for. */
typedef struct rp_wait_t {
    int backend_fd;       /* a connection's socket, or a descriptor that becomes readable (pool, resolver) */
    short backend_events; /* POLLIN | POLLOUT */
    bool tries_backend;   /* who waits finds out for itself whether the backend is ready: it may be told so early */
    int client_fd;
    short client_events;  /* POLLIN | POLLOUT | POLLRDHUP (its half-close) */
    bool client_unpollable; /* client_events cannot be polled (HTTP/2 stream): look again after a short time */
    unsigned looks;       /* how often that was done in a row without a result */
    bool client_leaves_unseen; /* no descriptor tells that it left (HTTP/2 stream): look from time to time */
    bool client_is_raw;   /* no input filter keeps a clock of its own, so nothing has to look meanwhile */
    bool client_is_over;  /* nothing of the client matters, not even its hang-up */
    bool until_stop;      /* ready, with nothing ready, also when this child begins to stop: for those who
                             have not heard of it yet */
    apr_time_t deadline;  /* the wait has failed then; 0: none */
} rp_wait_t;

/* What came of it. Errors and hang-ups are reported as readiness of whatever was
 * asked for, so that the next read or write finds them. */
typedef struct rp_ready_t {
    short backend, client; /* POLLIN | POLLOUT; of the client also POLLRDHUP where that was asked for */
    bool is_client_gone;   /* the client's connection is dead in both directions */
    bool is_late;          /* nothing became ready before the deadline */
} rp_ready_t;

typedef enum {
    RP_PARK_READY,    /* *ready says what; go on */
    RP_PARK_SUSPENDED /* the request was put aside: return SUSPENDED; resume is called later */
} rp_park_result_t;

typedef struct rp_park_t rp_park_t; /* a client's connection that can be parked */

/* Go on with a parked request. Returns true when it was put aside again, false when
 * it has ended and was finished for httpd. */
typedef bool rp_park_resume_fn(void *ctx);

/* What came of serving a parked request. */
typedef enum {
    RP_SERVED_WAITS, /* for what *wait says now; its descriptors stay the same */
    RP_SERVED_MORE,  /* there is more to do than one fair share: serve it again */
    RP_SERVED_OVER   /* the request itself has to go on */
} rp_served_t;

/* Do what there is to do for a parked request because of *ready, without httpd: no hook, no log, no end
 * of a request. Called by a thread of rp_park's own, one request after the other: it must be brief. */
typedef rp_served_t rp_park_serve_fn(void *ctx, const rp_ready_t *ready, rp_wait_t *wait);

/* How to wait. park NULL: in the thread. */
typedef struct rp_parking_t {
    rp_park_t *park;
    apr_interval_time_t park_after; /* wait that long in the thread first, unless threads are scarce or */
    bool is_slow;                   /* ... the last wait (kept up by rp_park_wait) was longer: a thread is
                                       not to be held for what will not come in time */
    bool has_yielded, has_guessed;  /* kept up by rp_park: the last answer may have been early */
    rp_park_resume_fn *resume;
    rp_park_serve_fn *serve;       /* while parked, call this where it is ready; NULL: resume */
    void *ctx;                     /* of both */
    bool is_unserved;              /* kept up by rp_park_wait: nobody could serve it, so it waits as others do */
} rp_parking_t;

/* post_config hook: can this MPM park? */
int rp_park_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s);
/* The connection of a request that can be parked now, or NULL: prefork, worker, older httpd,
 * HTTP/2 stream, subrequest, internal redirect. */
rp_park_t *rp_park_find(const request_rec *r);
/* r is somebody else's, who may take long: it is no turn (rp_park_line.h). */
void rp_park_decline(const request_rec *r);
/* r is answered. httpd looks for the client's next request before it sends
 * the last of an answer, and in vain: a client that has kept asking is sent it now, and others run when the request is
 * logged, so that its next one is there. park may be NULL. */
void rp_park_end_request(rp_park_t *park, request_rec *r);

/* Wait. READY may be answered with nothing ready and not late: look and wait again. *how and
 * *ready must stay where they are until the resume. */
rp_park_result_t rp_park_wait(rp_parking_t *how, const rp_wait_t *wait, rp_ready_t *ready);
/* The request that waits on park is gone. Safe on NULL. */
void rp_park_forget(rp_park_t *park);

/* For a thread that serves no request: wait until one of n descriptors is ready, this child begins to stop, or
 * until then. fds has n + 1 places, the last is for us. */
void rp_park_poll(struct pollfd *fds, int n, apr_time_t until);

/* What this child is told by httpd. */
typedef enum {
    RP_STOP_NOT,      /* nothing: it serves */
    RP_STOP_GRACEFUL, /* to finish what it does; the time is its beginning */
    RP_STOP_NOW
} rp_stop_t;
rp_stop_t rp_park_get_stop(apr_time_t *since);

/* Requests parked in this child now. */
unsigned rp_park_count(void);

/* Hooks. */
void rp_park_child_init(apr_pool_t *pchild, server_rec *s);
void rp_park_child_stopping(apr_pool_t *pchild, int graceful);
int rp_park_process_connection(conn_rec *c);
int rp_park_pre_close_connection(conn_rec *c);

#endif
