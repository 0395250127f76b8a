/* Private to rp_park*.c: the line of clients that wait for their turn to have a thread.
 *
 * Owns:      the count of turns and of threads at work without one, and the line.
 * Does not:  know MPMs, or begin a request: who gets a turn is woken.
 * Threads:   any. While a park is in line, others that end their turn touch its timer, its wait, has_turn and is_chatty,
 *            under the line's lock.
 * Blocks?    Never.
 */
#ifndef RP_PARK_LINE_H
#define RP_PARK_LINE_H

#include "rp_park_set.h"

/* From child_init; so many threads are in this child. */
void rp_line_child_init(apr_pool_t *pchild, int threads);

/* A turn for a client that has asked; false: others come first, or none is left. */
bool rp_line_take_turn(rp_park_t *park);
/* Its request is under way in a thread: that is a turn, whether one is left or not. */
void rp_line_begin_turn(rp_park_t *park);
/* The thread is at work on it, but not, or not yet, on a request of ours: it has no turn, and turns are fewer. */
void rp_line_work_without_turn(rp_park_t *park);
/* The thread waits, or leaves it: somebody's turn begins. Safe without a turn. */
void rp_line_end_turn(rp_park_t *park);

/* Does anybody wait for a turn? */
bool rp_line_is_there(void);
/* Wait in line, as the last one. Its timer is what the MPM polls; from here on the only way for park is there. */
void rp_line_join(rp_park_t *park);
/* The MPM has given park back: true where it has to wait on, in its place, not past that time. */
bool rp_line_waits_on(rp_park_t *park, apr_time_t until);
/* Not any more, from when this returns. Safe where it is not in line. */
void rp_line_leave(rp_park_t *park);

#endif
