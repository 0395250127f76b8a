/* Private to rp_exchange*.c: the exchange and its steps. */
#ifndef RP_EXCHANGE_INT_H
#define RP_EXCHANGE_INT_H

#include "rp_body.h"
#include "rp_exchange.h"
#include "rp_lb.h"
#include "rp_park.h"
#include "rp_pool.h"
#include "rp_reverse.h"
#include "rp_route.h"
#include "rp_tunnel.h"

/* The steps of an exchange, in the order of its life. A step function returns the
 * next step, WAIT (x->wait says for what; the same step runs again) or END. */
typedef enum {
    RP_STEP_PREPARE,  /* may this request be forwarded at all? */
    RP_STEP_PREFETCH, /* read the start of the request body */
    RP_STEP_PICK,     /* choose the backend */
    RP_STEP_LEASE,    /* borrow a connection */
    RP_STEP_OPEN,     /* resolve, connect, TLS */
    RP_STEP_SEND,     /* send head and body, read the response head meanwhile */
    RP_STEP_RELAY,    /* response body down, what is left of the request body up */
    RP_STEP_DRAIN,    /* response complete; the backend still gets the rest of the request */
    RP_STEP_TUNNEL,   /* after a 101: bytes both ways */
    RP_STEP_END,
    RP_STEP_WAIT
} rp_step_t;

#define RP_EXCHANGE_MAGIC 0x52504558u /* "RPEX" */

typedef struct rp_exchange_t {
    unsigned magic;
    request_rec *r;
    rp_target_t *target;
    rp_account_t account;
    rp_client_t client;
    rp_up_t up;
    rp_down_t down;
    const char *upgrade;       /* the protocol that the backend is asked for; NULL: none */
    rp_tunnel_place_t place;   /* taken while it is, and for the tunnel */
    rp_tunnel_t *tunnel;       /* NULL before */
    rp_conn_want_t want;
    rp_conn_t *conn;           /* leased; NULL when not */
    rp_pool_waiter_t *waiter;  /* in the queue for one */
    rp_step_t step;
    rp_parking_t parking;      /* how this exchange waits */
    rp_wait_t wait;
    rp_ready_t ready;
    apr_time_t wait_until;     /* deadline of the wait under way; 0: a new wait begins */
    unsigned writes_before;    /* client.writes when it half-closed */
    apr_time_t leaving_at;     /* the client has half-closed: it gets what comes until then; 0: it has not */
    rp_err_t late_err;         /* what it means when that wait fails: the pumps may have gone on since */
    rp_lb_t lb;                /* choice of a member; zero where the target is no group */
    const char *group_path;    /* path and query behind a member's own path; NULL: no group */
    apr_uint64_t got_before;   /* down.got when the member was chosen */
    int interims;              /* 1xx heads received in this attempt */
    int result;                /* what the handler returns */
    bool is_http10;            /* force-proxy-request-1.0 */
    bool is_closing;           /* the backend's connection is not to be used again */
    bool wants_fresh;          /* no pooled connection for this attempt */
    bool client_expects;       /* it waits for 100 Continue, which the backend shall give */
    bool is_reused;            /* conn has served before */
    bool up_is_stopped;        /* no more of the request will be sent */
    bool client_half_closed;   /* it has no more to send, but reads */
    bool is_finished;
} rp_exchange_t;

/* rp_exchange_steps.c */
rp_step_t rp_exchange_run_step(rp_exchange_t *x);
/* What is going on, for log lines. */
const char *rp_exchange_get_phase(const rp_exchange_t *x);

/* rp_exchange_tunnel.c */

/* Before anything else: a WebSocket that comes as an HTTP/2 stream. */
void rp_exchange_admit_stream(request_rec *r);
/* Decide whether the backend is asked to switch protocols: x->upgrade. RP_E_NONE, or why the request
 * must be refused (RP_E_UPGRADE_REQUIRED, RP_E_TUNNEL_MAX, RP_E_TUNNEL_MEMBER_MAX). */
rp_err_t rp_exchange_choose_upgrade(rp_exchange_t *x);
/* A final head has come and was adopted: there will be no tunnel. */
void rp_exchange_decline_upgrade(rp_exchange_t *x);
/* A 101 has come. */
rp_step_t rp_exchange_switch(rp_exchange_t *x);
rp_step_t rp_exchange_run_tunnel(rp_exchange_t *x);
/* Settle the account of a tunnel, or of a request that might have become one. */
void rp_exchange_leave_tunnel(rp_exchange_t *x);

/* rp_exchange_pick.c */

/* Choose a member of the target's group and aim the target at it: RP_STEP_LEASE; or
 * RP_STEP_WAIT, or the end. */
rp_step_t rp_exchange_pick_member(rp_exchange_t *x);
/* The attempt with the member is over. Safe without one. */
void rp_exchange_leave_member(rp_exchange_t *x);

/* rp_exchange_end.c: the one retry decision, the one finaliser. */

/* Log what ends the exchange, and remember it for the access log. */
void rp_exchange_note_fault(rp_exchange_t *x, const rp_fault_t *fault);
/* An attempt failed: the step to try it again with, or RP_STEP_END where it is not to be. */
rp_step_t rp_exchange_try_again(rp_exchange_t *x, const rp_fault_t *fault);
/* An attempt failed: try again, or end. Returns the next step. */
rp_step_t rp_exchange_fail(rp_exchange_t *x, const rp_fault_t *fault);
rp_step_t rp_exchange_fail_with(rp_exchange_t *x, rp_err_t err);
/* The client is gone. */
rp_step_t rp_exchange_lose_client(rp_exchange_t *x);
/* End without a backend's fault, with the handler's result. */
rp_step_t rp_exchange_end(rp_exchange_t *x, int result);
/* The response is complete: the connection goes back to its pool, or is closed. */
void rp_exchange_release_conn(rp_exchange_t *x);
/* Give back everything; may be called twice. */
void rp_exchange_finish(rp_exchange_t *x);

#endif
