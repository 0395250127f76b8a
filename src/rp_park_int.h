/* Private to rp_park*.c. */
#ifndef RP_PARK_INT_H
#define RP_PARK_INT_H

#include "rp_park.h"

/* --- rp_park.c --- */

/* A thread to wait in for somebody who could do without: false where they are scarce. */
bool rp_park_lend_thread(void);
void rp_park_return_thread(void);

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

/* From child_init; when the child begins to stop: waits with until_stop look up. */
void rp_park_event_child_init(apr_pool_t *pchild);
void rp_park_event_wake_all(void);
/* Are threads too scarce to be lent to requests that wait? n: how many are already. */
bool rp_park_is_scarce(unsigned n);

/* Prepare to leave the thread: false when that is not possible now. */
bool rp_park_put_aside(rp_parking_t *how, const rp_wait_t *wait, rp_ready_t *ready);

#endif
