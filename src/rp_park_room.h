/* Private to rp_park_event.c: how many connections this child may have, and who makes room for new ones.
 *
 * Owns:      the counts of clients' connections and of threads at work on them, and the lists of clients that rest.
 * Does not:  close anything: who has to make room is woken, and asks rp_room_is_short.
 * Threads:   any. While a park is in one, others touch its timer and its wait, under a lock.
 * Blocks?    Never.
 */
#ifndef RP_PARK_ROOM_H
#define RP_PARK_ROOM_H

#include "rp_park_set.h"

/* post_config hook: with so many threads in a child. */
void rp_room_configure(int threads);
/* From child_init. */
void rp_room_child_init(apr_pool_t *pchild);

/* A client's connection; it is over, or is being closed. Safe to say twice. */
void rp_room_add(rp_park_t *park);
void rp_room_remove(rp_park_t *park);
unsigned rp_room_count(void);

/* A thread is at work on a connection, from here to there. The latter lets clients make room where it is short. */
void rp_room_begin_work(void);
void rp_room_end_work(void);

/* Would the MPM accept no new client when the calling thread's work is done? */
bool rp_room_is_short(void);

/* park rests: its client and timer are watched, idle_since says since when. From here on the only way for it is to the MPM. */
void rp_room_rest(rp_park_t *park);
/* Not any more, from when this returns. Safe where it does not. */
void rp_room_leave(rp_park_t *park);

#endif
