#include "rp_park_set.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "apr_portable.h"
#include "http_core.h"

void rp_park_set_client(rp_park_t *park, int fd)
{
    apr_socket_t *sock = ap_get_conn_socket(park->c);
    apr_os_sock_t os = fd;

    (void)apr_os_sock_put(&sock, &os, park->c->pool);
    park->shown_fd = fd;
}

bool rp_park_note_closed(rp_park_t *park)
{
    apr_os_sock_t os = -1;

    if (park->shown_fd == park->client_fd || apr_os_sock_get(&os, ap_get_conn_socket(park->c)) != APR_SUCCESS || os >= 0) {
        return false;
    }
    if (park->shown_fd == park->wait_fd) {
        park->wait_fd = -1;
    }
    else {
        park->timer_fd = -1;
    }
    return true;
}

apr_status_t rp_park_close_set(void *data)
{
    rp_park_t *park = data;

    if (park->wait_fd >= 0) {
        close(park->wait_fd);
    }
    if (park->timer_fd >= 0) {
        close(park->timer_fd);
    }
    park->wait_fd = park->timer_fd = -1;
    return APR_SUCCESS;
}

bool rp_park_has_set(rp_park_t *park)
{
    struct epoll_event ev = {.events = EPOLLIN};

    if (park->wait_fd >= 0) {
        return true;
    }
    park->wait_fd = epoll_create1(EPOLL_CLOEXEC);
    park->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    ev.data.fd = park->timer_fd;
    if (park->wait_fd < 0 || park->timer_fd < 0 || epoll_ctl(park->wait_fd, EPOLL_CTL_ADD, park->timer_fd, &ev)) {
        (void)rp_park_close_set(park);
        return false;
    }
    return true;
}

bool rp_park_watch_backend(rp_park_t *park)
{
    struct epoll_event ev = {.events = (uint32_t)park->wait.backend_events, .data.fd = park->wait.backend_fd};

    park->backend_fd = -1;
    if (park->wait.backend_fd < 0 || !park->wait.backend_events) {
        return true;
    }
    if (epoll_ctl(park->wait_fd, EPOLL_CTL_ADD, park->wait.backend_fd, &ev)) {
        return false;
    }
    park->backend_fd = park->wait.backend_fd;
    return true;
}

void rp_park_unwatch_client(rp_park_t *park)
{
    if (park->client_events >= 0) {
        (void)epoll_ctl(park->wait_fd, EPOLL_CTL_DEL, park->client_fd, NULL);
        park->client_events = -1;
    }
}

/* Between requests a client is asked for input, while one is parked only for its leaving. It is registered for both, so
 * that this need not be told to the kernel twice for each request; for no more than is asked for once it has
 * sent ahead, or its end, which would wake a parked request for nothing each time. */
static short get_client_events(const rp_park_t *park)
{
    short before = park->client_events < 0 || park->sends_ahead ? 0 : park->client_events;

    return (short)(park->wait.client_events | (before & (POLLIN | POLLRDHUP)));
}

/* The client's descriptor stays registered, so that its reset is noticed. */
bool rp_park_watch_client(rp_park_t *park)
{
    short events = get_client_events(park);
    struct epoll_event ev = {.events = (uint32_t)events, .data.fd = park->client_fd};
    int op = park->client_events < 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

    if (park->wait.client_is_over) {
        rp_park_unwatch_client(park);
        return true;
    }
    if (park->client_events == events) {
        return true;
    }
    if (epoll_ctl(park->wait_fd, op, park->client_fd, &ev)) {
        return false;
    }
    park->client_events = events;
    return true;
}

void rp_park_unwatch_backend(rp_park_t *park)
{
    if (park->backend_fd >= 0) {
        (void)epoll_ctl(park->wait_fd, EPOLL_CTL_DEL, park->backend_fd, NULL);
        park->backend_fd = -1;
    }
}

/* A timer that goes off that much too early is left as it is: it looks for nothing then, once. */
#define EARLY_MOST apr_time_from_msec(500)

/* Wake at the deadline, and in any case before the MPM loses patience. Most waits are over before
 * the timer goes off, and it is set a second time only where it would go off early in the wait. */
void rp_park_set_timer(rp_park_t *park)
{
    apr_time_t now = apr_time_now(), at;
    apr_interval_time_t us = rp_park_longest(&park->wait);
    struct itimerspec spec = {{0, 0}, {0, 0}};

    us = us < 0 || us > park->longest ? park->longest : us;
    us = us > 0 ? us : 1;
    at = now + us;
    if (park->timer_at > now + (us / 2 < EARLY_MOST ? us / 2 : EARLY_MOST) && park->timer_at <= at) {
        return;
    }
    park->timer_at = at;
    spec.it_value.tv_sec = us / APR_USEC_PER_SEC;
    spec.it_value.tv_nsec = (us % APR_USEC_PER_SEC) * 1000;
    (void)timerfd_settime(park->timer_fd, 0, &spec, NULL);
}

void rp_park_wake(const rp_park_t *park)
{
    struct itimerspec at_once = {{0, 0}, {0, 1}};

    (void)timerfd_settime(park->timer_fd, 0, &at_once, NULL);
}

/* What wakes a request is nearly always its backend. Who finds out for himself is told so without asking the kernel, if
 * that was not in vain the last time. */
static bool is_backend_likely(const rp_park_t *park)
{
    return park->backend_fd >= 0 && park->wait.tries_backend && !park->how->has_guessed && apr_time_now() < park->timer_at;
}

static void ask_kernel(rp_park_t *park)
{
    struct epoll_event ev[3];
    int i, n = epoll_wait(park->wait_fd, ev, 3, 0);

    for (i = 0; i < n; i++) {
        if (ev[i].data.fd == park->backend_fd) {
            rp_park_note_backend(&park->wait, park->ready, (short)ev[i].events);
        }
        else if (ev[i].data.fd == park->client_fd) {
            rp_park_note_client(&park->wait, park->ready, (short)ev[i].events);
            park->sends_ahead = park->sends_ahead || (ev[i].events & (POLLIN | POLLRDHUP) & ~(unsigned)park->wait.client_events);
        }
        else if (ev[i].data.fd == park->timer_fd) {
            /* Gone off, whatever the clock of the wall says: it stays readable until it is set again. */
            park->timer_at = 0;
        }
    }
    if (park->is_served) {
        park->ready->is_client_gone = park->passenger.seen.is_client_gone;
    }
    rp_park_note_time(&park->wait, park->ready);
}

void rp_park_collect(rp_park_t *park)
{
    *park->ready = (rp_ready_t){0, 0, false, false};
    park->how->has_guessed = is_backend_likely(park);
    if (park->how->has_guessed) {
        park->ready->backend = park->wait.backend_events;
    }
    else {
        ask_kernel(park);
    }
    rp_park_unwatch_backend(park);
}
