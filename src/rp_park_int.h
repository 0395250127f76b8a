/* Private to rp_park*.c. */
#ifndef RP_PARK_INT_H
#define RP_PARK_INT_H

#include <sys/queue.h>

#include "rp_park.h"

/* --- rp_park.c --- */

/* park's thread to wait in, for somebody who could do without: false where they are scarce. Its turn is somebody else's
 * meanwhile (rp_park_line.h). */
bool rp_park_lend_thread(rp_park_t *park);
void rp_park_return_thread(rp_park_t *park);
/* Let others run first. false: no other waits, nothing was done. */
bool rp_park_yield(void);

/* --- rp_park_ready.c --- */

/* How long a wait may last before somebody has to look, in microseconds; negative: for ever. */
apr_interval_time_t rp_park_longest(const rp_wait_t *wait);
/* Take over what became ready; asked/got are poll bits (epoll's are the same). */
void rp_park_note_backend(const rp_wait_t *wait, rp_ready_t *ready, short got);
void rp_park_note_client(const rp_wait_t *wait, rp_ready_t *ready, short got);
/* Nothing came: is the deadline over? */
void rp_park_note_time(const rp_wait_t *wait, rp_ready_t *ready);

/* --- rp_park_stop.c --- */

/* Readable from when this child begins to stop; -1 where there is none. */
int rp_park_get_stop_fd(void);
bool rp_park_has_stopped(void);

/* --- rp_park_event.c --- */

void rp_park_event_child_init(apr_pool_t *pchild);
/* The child begins to stop. Waits with until_stop look up, unless at_once: nobody could then. */
void rp_park_event_stop(bool at_once);
/* Are threads too scarce to be lent to requests that wait? n: how many are already. */
bool rp_park_is_scarce(unsigned n);

/* Prepare to leave the thread: false when that is not possible now. */
bool rp_park_put_aside(rp_parking_t *how, const rp_wait_t *wait, rp_ready_t *ready);

/* --- rp_park_ferry.c --- */

/* A parked request that is served while it is parked. Zero but for slot, which is -1 while not aboard. */
typedef struct rp_passenger_t {
    rp_wait_t *wait;
    rp_park_serve_fn *serve;
    void *ctx;
    int client_fd;
    int timer_fd;        /* made ready when its request has to go on */
    rp_ready_t seen;     /* by the last event */
    /* the ferry's own */
    int slot;
    short client_events, backend_events; /* registered; -1: not */
    bool goes_again;
    bool is_refused;     /* its descriptors could not be watched, or there is no ferry */
    TAILQ_ENTRY(rp_passenger_t) link;
} rp_passenger_t;

void rp_ferry_child_init(apr_pool_t *pchild);
/* Have p served from now on, perhaps before this returns. false: it cannot be. */
bool rp_ferry_board(rp_passenger_t *p);
/* Not any more, from when this returns. Safe where it is not aboard. */
void rp_ferry_leave(rp_passenger_t *p);

#endif
