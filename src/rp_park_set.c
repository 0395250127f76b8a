#include "rp_park_set.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "apr_portable.h"
#include "http_core.h"

void rp_park_set_client(const rp_park_t *park, int fd)
{
    apr_socket_t *sock = ap_get_conn_socket(park->c);
    apr_os_sock_t os = fd;

    (void)apr_os_sock_put(&sock, &os, park->c->pool);
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

/* The client's descriptor stays registered, so that its reset is noticed. */
bool rp_park_watch_client(rp_park_t *park)
{
    struct epoll_event ev = {.events = (uint32_t)park->wait.client_events, .data.fd = park->client_fd};
    int op = park->client_events < 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

    if (park->wait.client_is_over) {
        rp_park_unwatch_client(park);
        return true;
    }
    if (park->client_events == park->wait.client_events) {
        return true;
    }
    if (epoll_ctl(park->wait_fd, op, park->client_fd, &ev)) {
        return false;
    }
    park->client_events = park->wait.client_events;
    return true;
}

void rp_park_unwatch_backend(rp_park_t *park)
{
    if (park->backend_fd >= 0) {
        (void)epoll_ctl(park->wait_fd, EPOLL_CTL_DEL, park->backend_fd, NULL);
        park->backend_fd = -1;
    }
}

/* Wake at the deadline, and in any case before the MPM loses patience. A timer that is set
 * to somewhat earlier stays: most waits are over before it goes off, and one that is not looks
 * once more for nothing. */
void rp_park_set_timer(rp_park_t *park)
{
    apr_time_t now = apr_time_now(), at;
    apr_interval_time_t us = rp_park_longest(&park->wait);
    struct itimerspec spec = {{0, 0}, {0, 0}};

    us = us < 0 || us > park->longest ? park->longest : us;
    us = us > 0 ? us : 1;
    at = now + us;
    if (park->timer_at > now + us / 2 && park->timer_at <= at) {
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

void rp_park_collect(rp_park_t *park)
{
    struct epoll_event ev[3];
    int i, n = epoll_wait(park->wait_fd, ev, 3, 0);

    *park->ready = (rp_ready_t){0, 0, false, false};
    for (i = 0; i < n; i++) {
        if (ev[i].data.fd == park->backend_fd) {
            rp_park_note_backend(&park->wait, park->ready, (short)ev[i].events);
        }
        else if (ev[i].data.fd == park->client_fd) {
            rp_park_note_client(&park->wait, park->ready, (short)ev[i].events);
        }
    }
    if (park->is_served) {
        park->ready->is_client_gone = park->passenger.seen.is_client_gone;
    }
    rp_park_note_time(&park->wait, park->ready);
    rp_park_unwatch_backend(park);
}
