#include <sched.h>

#include "apr_atomic.h"

#include "rp_park_line.h"

static int to_poll_ms(apr_interval_time_t us)
{
    return us < 0 ? -1 : (int)((us + 999) / 1000);
}

static bool is_client_polled(const rp_wait_t *wait)
{
    return !wait->client_unpollable && wait->client_fd >= 0;
}

/* Wait in the thread, at most so many microseconds (negative: no limit). */
static void wait_in_thread(const rp_wait_t *wait, rp_ready_t *ready, apr_interval_time_t limit)
{
    struct pollfd fds[3] = {
        {wait->backend_events ? wait->backend_fd : -1, wait->backend_events, 0},
        {is_client_polled(wait) ? wait->client_fd : -1, wait->client_events, 0},
        {wait->until_stop ? rp_park_get_stop_fd() : -1, POLLIN, 0},
    };
    struct timespec ts = {limit / APR_USEC_PER_SEC, (limit % APR_USEC_PER_SEC) * 1000};
    int n = limit >= 0 && limit < 10000 ? ppoll(fds, 3, &ts, NULL) : poll(fds, 3, to_poll_ms(limit));

    if (n > 0) {
        rp_park_note_backend(wait, ready, fds[0].revents);
        rp_park_note_client(wait, ready, fds[1].revents);
    }
    rp_park_note_time(wait, ready);
}

void rp_park_poll(struct pollfd *fds, int n, apr_time_t until)
{
    apr_interval_time_t left = until - apr_time_now();

    fds[n] = (struct pollfd){rp_park_get_stop_fd(), POLLIN, 0};
    (void)poll(fds, (nfds_t)n + 1, left > 0 ? to_poll_ms(left) : 0);
}

/* Threads of this child in which somebody waits, and of these the ones that could do without. */
static apr_uint32_t waiting, lent;

bool rp_park_lend_thread(rp_park_t *park)
{
    if (rp_park_is_scarce(apr_atomic_read32(&lent))) {
        return false;
    }
    apr_atomic_inc32(&lent);
    apr_atomic_inc32(&waiting);
    rp_line_end_turn(park);
    return true;
}

void rp_park_return_thread(rp_park_t *park)
{
    rp_line_begin_turn(park);
    apr_atomic_dec32(&waiting);
    apr_atomic_dec32(&lent);
}

/* What is waited for often comes while others run, and a thread that was not asleep need not be woken, which is
 * what costs most: another processor has to be interrupted for it. */
bool rp_park_yield(void)
{
    bool is_alone = apr_atomic_inc32(&waiting) == 0;

    if (!is_alone) {
        (void)sched_yield();
    }
    apr_atomic_dec32(&waiting);
    return !is_alone;
}

/* Once before each real wait. */
static bool has_yielded(rp_parking_t *how, const rp_wait_t *wait, rp_ready_t *ready)
{
    how->has_yielded = !how->has_yielded && wait->tries_backend && rp_park_yield();
    if (how->has_yielded) {
        ready->backend = wait->backend_events;
    }
    return how->has_yielded;
}

/* Who cannot be parked. */
static void wait_at_length(rp_parking_t *how, const rp_wait_t *wait, rp_ready_t *ready, apr_interval_time_t longest)
{
    if (!has_yielded(how, wait, ready)) {
        apr_atomic_inc32(&waiting);
        wait_in_thread(wait, ready, longest);
        apr_atomic_dec32(&waiting);
    }
}

/* A thread that waits costs nothing while others are idle, and parking costs some system calls:
 * worth it when the wait is long or threads run short. */
static void wait_a_little(rp_parking_t *how, const rp_wait_t *wait, rp_ready_t *ready,
                          apr_interval_time_t longest)
{
    apr_interval_time_t limit = longest >= 0 && longest < how->park_after ? longest : how->park_after;

    if (limit <= 0 || how->is_slow || has_yielded(how, wait, ready) || !rp_park_lend_thread(how->park)) {
        return;
    }
    wait_in_thread(wait, ready, limit);
    rp_park_return_thread(how->park);
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
        wait_at_length(how, wait, ready, longest);
        return RP_PARK_READY;
    }
    if (!how->serve || how->is_unserved) {
        wait_a_little(how, wait, ready, longest);
    }
    if (is_settled(ready)) {
        return RP_PARK_READY;
    }
    if (rp_park_put_aside(how, wait, ready)) {
        return RP_PARK_SUSPENDED;
    }
    wait_in_thread(wait, ready, longest);
    return RP_PARK_READY;
}
