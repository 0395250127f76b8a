#include <errno.h>

#include "rp_park_int.h"

/* Input filters with a clock of their own (mod_reqtimeout) only look at it when
 * they are asked for data: ask them that often. */
#define CLIENT_SLICE apr_time_from_sec(1)

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
    else if (wait->client_events & POLLIN) {
        slice = CLIENT_SLICE;
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

static int to_poll_ms(apr_interval_time_t us)
{
    return us < 0 ? -1 : (int)((us + 999) / 1000);
}

static bool is_client_polled(const rp_wait_t *wait)
{
    return wait->client_events && !wait->client_unpollable && wait->client_fd >= 0;
}

/* Wait in the thread, at most so many microseconds (negative: no limit). */
static void wait_in_thread(const rp_wait_t *wait, rp_ready_t *ready, apr_interval_time_t limit)
{
    struct pollfd fds[2] = {
        {wait->backend_events ? wait->backend_fd : -1, wait->backend_events, 0},
        {is_client_polled(wait) ? wait->client_fd : -1, wait->client_events, 0},
    };
    struct timespec ts = {limit / APR_USEC_PER_SEC, (limit % APR_USEC_PER_SEC) * 1000};
    int n = limit >= 0 && limit < 10000 ? ppoll(fds, 2, &ts, NULL) : poll(fds, 2, to_poll_ms(limit));

    if (n > 0) {
        rp_park_note_backend(wait, ready, fds[0].revents);
        rp_park_note_client(wait, ready, fds[1].revents);
    }
    rp_park_note_time(wait, ready);
}

static bool is_settled(const rp_ready_t *ready)
{
    return ready->backend || ready->client || ready->is_client_gone || ready->is_late;
}

rp_park_result_t rp_park_wait(rp_parking_t *how, const rp_wait_t *wait, rp_ready_t *ready)
{
    apr_interval_time_t longest = rp_park_longest(wait);

    *ready = (rp_ready_t){0, 0, false, false};
    if (!how->park) {
        wait_in_thread(wait, ready, longest);
        return RP_PARK_READY;
    }
    if (how->park_after > 0 && !how->is_slow) {
        wait_in_thread(wait, ready, longest < 0 ? how->park_after : shorter(how->park_after, longest));
        if (is_settled(ready)) {
            return RP_PARK_READY;
        }
    }
    if (rp_park_put_aside(how, wait, ready)) {
        return RP_PARK_SUSPENDED;
    }
    wait_in_thread(wait, ready, longest);
    return RP_PARK_READY;
}
