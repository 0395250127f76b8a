#include "rp_park_int.h"

/* Input filters with a clock of their own (mod_reqtimeout) only look at it when
 * they are asked for data: ask them that often. */
#define CLIENT_SLICE apr_time_from_sec(1)
/* Who resets streams one after the other (CVE-2023-44487) holds no backend longer than this. */
#define LEAVING_SLICE apr_time_from_msec(100)

/* A client that has no descriptor to wait on is looked at after 1, 2, 4 ... 16 ms. */
#define LOOK_SHORTEST apr_time_from_msec(1)
#define LOOK_DOUBLINGS 4

static apr_interval_time_t shorter(apr_interval_time_t a, apr_interval_time_t b)
{
    return a < b ? a : b;
}

apr_interval_time_t rp_park_longest(const rp_wait_t *wait)
{
    apr_interval_time_t left = -1, slice = -1;

    if (wait->deadline) {
        left = wait->deadline - apr_time_now();
        left = left > 0 ? left : 0;
    }
    if (wait->client_unpollable && wait->client_events) {
        slice = LOOK_SHORTEST << (wait->looks < LOOK_DOUBLINGS ? wait->looks : LOOK_DOUBLINGS);
    }
    else if ((wait->client_events & POLLIN) && !wait->client_is_raw) {
        slice = CLIENT_SLICE;
    }
    else if (wait->client_leaves_unseen) {
        slice = LEAVING_SLICE;
    }
    if (slice < 0) {
        return left;
    }
    return left < 0 ? slice : shorter(left, slice);
}

void rp_park_note_backend(const rp_wait_t *wait, rp_ready_t *ready, short got)
{
    ready->backend = got & ~(POLLIN | POLLOUT) ? wait->backend_events : got & wait->backend_events;
}

void rp_park_note_client(const rp_wait_t *wait, rp_ready_t *ready, short got)
{
    ready->is_client_gone = (got & (POLLERR | POLLHUP)) != 0;
    ready->client = got & wait->client_events;
}

void rp_park_note_time(const rp_wait_t *wait, rp_ready_t *ready)
{
    ready->is_late = !ready->backend && !ready->client && !ready->is_client_gone && wait->deadline &&
                     apr_time_now() >= wait->deadline;
}
