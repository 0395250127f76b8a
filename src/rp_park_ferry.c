/* The ferry: one thread of a child that serves parked requests for which there is only little to do each
 * time, and nothing that needs httpd. The way through the MPM costs two changes of threads and half a
 * dozen system calls; a tunnel's message is one read and one write. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "rp_park_int.h"

#define EVENTS_MAX 64
#define STACK_BYTES ((size_t)256 * 1024)
#define SLOTS_FIRST 64
/* Of an event's data: for whom it is. Slots are used again, so they count their users. */
#define SIDE_BITS 1
#define SLOT_BITS 31
#define IS_CLIENT 1u
#define IS_STOP UINT64_MAX

typedef struct slot_t {
    rp_passenger_t *passenger; /* NULL: free */
    uint32_t turn;             /* of its users */
    int next_free;
} slot_t;

/* ferry_lock protects all of these, every slot, and passengers while they are aboard. */
static pthread_mutex_t ferry_lock = PTHREAD_MUTEX_INITIALIZER;
static slot_t *slots;
static int slot_count, first_free = -1;
static int ferry_fd = -1, stop_fd = -1;
static bool is_running, is_stopping, is_allowed;
static pthread_t ferry;
/* Those who have more to do than a fair share at a time. */
TAILQ_HEAD(passenger_list, rp_passenger_t);
static struct passenger_list again = TAILQ_HEAD_INITIALIZER(again);

/* ---- registrations ---- */

static uint64_t get_data(const rp_passenger_t *p, unsigned side)
{
    return (uint64_t)slots[p->slot].turn << (SLOT_BITS + SIDE_BITS) | (uint64_t)p->slot << SIDE_BITS | side;
}

static bool watch(rp_passenger_t *p, unsigned side, int fd, short events, short *registered)
{
    struct epoll_event ev = {.events = (uint32_t)events, .data.u64 = get_data(p, side)};

    if (*registered == events) {
        return true;
    }
    if (epoll_ctl(ferry_fd, *registered < 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &ev)) {
        return false;
    }
    *registered = events;
    return true;
}

static void ignore(int fd, short *registered)
{
    if (*registered >= 0) {
        (void)epoll_ctl(ferry_fd, EPOLL_CTL_DEL, fd, NULL);
        *registered = -1;
    }
}

/* Wait for what its wait says now. */
static bool watch_both(rp_passenger_t *p)
{
    const rp_wait_t *wait = p->wait;

    if (wait->client_is_over) {
        ignore(p->client_fd, &p->client_events);
    }
    else if (!watch(p, IS_CLIENT, p->client_fd, wait->client_events, &p->client_events)) {
        return false;
    }
    if (!wait->backend_events) {
        ignore(wait->backend_fd, &p->backend_events);
        return true;
    }
    return watch(p, 0, wait->backend_fd, wait->backend_events, &p->backend_events);
}

/* ---- slots ---- */

static bool grow_slots(void)
{
    int count = slot_count ? slot_count * 2 : SLOTS_FIRST, i;
    slot_t *grown = realloc(slots, (size_t)count * sizeof(*grown));

    if (!grown) {
        return false;
    }
    slots = grown;
    for (i = count - 1; i >= slot_count; i--) {
        slots[i] = (slot_t){NULL, 0, first_free};
        first_free = i;
    }
    slot_count = count;
    return true;
}

static bool take_slot(rp_passenger_t *p)
{
    if (first_free < 0 && !grow_slots()) {
        return false;
    }
    p->slot = first_free;
    first_free = slots[p->slot].next_free;
    slots[p->slot].passenger = p;
    return true;
}

static void put_ashore(rp_passenger_t *p)
{
    slot_t *slot = &slots[p->slot];

    ignore(p->wait->backend_fd, &p->backend_events);
    ignore(p->client_fd, &p->client_events);
    if (p->goes_again) {
        TAILQ_REMOVE(&again, p, link);
        p->goes_again = false;
    }
    slot->passenger = NULL;
    slot->turn++;
    slot->next_free = first_free;
    first_free = p->slot;
    p->slot = -1;
}

/* ---- the thread ---- */

/* Its request has to go on itself: by way of the MPM, which polls this timer. */
static void hand_back(rp_passenger_t *p)
{
    struct itimerspec at_once = {{0, 0}, {0, 1}};
    int timer_fd = p->timer_fd;

    put_ashore(p);
    (void)timerfd_settime(timer_fd, 0, &at_once, NULL);
}

static void serve(rp_passenger_t *p)
{
    rp_served_t served = p->serve(p->ctx, &p->seen, p->wait);

    if (p->goes_again != (served == RP_SERVED_MORE)) {
        if (p->goes_again) {
            TAILQ_REMOVE(&again, p, link);
        }
        else {
            TAILQ_INSERT_TAIL(&again, p, link);
        }
        p->goes_again = !p->goes_again;
    }
    p->is_refused = served == RP_SERVED_WAITS && !watch_both(p);
    if (served == RP_SERVED_OVER || p->is_refused) {
        hand_back(p);
    }
}

static rp_passenger_t *find(uint64_t data)
{
    const slot_t *slot = &slots[(data >> SIDE_BITS) & (((uint64_t)1 << SLOT_BITS) - 1)];

    return slot->passenger && slot->turn == (uint32_t)(data >> (SLOT_BITS + SIDE_BITS)) ? slot->passenger : NULL;
}

/* false: the ferry is to stop. */
static bool take_event(const struct epoll_event *ev)
{
    rp_passenger_t *p;

    if (ev->data.u64 == IS_STOP) {
        return false;
    }
    pthread_mutex_lock(&ferry_lock);
    p = find(ev->data.u64);
    if (p) {
        p->seen = (rp_ready_t){0, 0, false, false};
        if (ev->data.u64 & IS_CLIENT) {
            rp_park_note_client(p->wait, &p->seen, (short)ev->events);
        }
        else {
            rp_park_note_backend(p->wait, &p->seen, (short)ev->events);
        }
        serve(p);
    }
    pthread_mutex_unlock(&ferry_lock);
    return true;
}

/* One turn of the first of those who have more to do. Is there another? */
static bool serve_again(void)
{
    rp_passenger_t *p;
    bool is_more;

    pthread_mutex_lock(&ferry_lock);
    p = TAILQ_FIRST(&again);
    if (p) {
        TAILQ_REMOVE(&again, p, link);
        p->goes_again = false;
        p->seen = (rp_ready_t){POLLIN | POLLOUT, POLLIN | POLLOUT, false, false};
        serve(p);
    }
    is_more = !TAILQ_EMPTY(&again);
    pthread_mutex_unlock(&ferry_lock);
    return is_more;
}

static void *run_ferry(void *unused)
{
    struct epoll_event events[EVENTS_MAX];
    bool is_more = false;

    (void)unused;
    for (;;) {
        int i, n = epoll_wait(ferry_fd, events, EVENTS_MAX, is_more ? 0 : -1);

        for (i = 0; i < n; i++) {
            if (!take_event(&events[i])) {
                return NULL;
            }
        }
        if (n < 0 && errno != EINTR) {
            return NULL;
        }
        is_more = serve_again();
    }
}

/* ---- its life ---- */

static void close_both(void)
{
    if (ferry_fd >= 0) {
        close(ferry_fd);
    }
    if (stop_fd >= 0) {
        close(stop_fd);
    }
    ferry_fd = stop_fd = -1;
}

static bool start_thread(void)
{
    pthread_attr_t attr;
    sigset_t all, before;
    int rv = pthread_attr_init(&attr);

    if (rv) {
        return false;
    }
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    /* The MPM's signals are for its own threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rv = pthread_create(&ferry, &attr, run_ferry, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return rv == 0;
}

static bool start_locked(void)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = IS_STOP};

    if (is_running) {
        return true;
    }
    if (is_stopping || !is_allowed) {
        return false;
    }
    ferry_fd = epoll_create1(EPOLL_CLOEXEC);
    stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (ferry_fd < 0 || stop_fd < 0 || epoll_ctl(ferry_fd, EPOLL_CTL_ADD, stop_fd, &ev) || !start_thread()) {
        close_both();
        return false;
    }
    is_running = true;
    return true;
}

/* Those still aboard are left to the owners of their connections. */
static apr_status_t stop_ferry(void *unused)
{
    bool was_running;

    (void)unused;
    pthread_mutex_lock(&ferry_lock);
    is_stopping = true;
    was_running = is_running;
    is_running = false;
    pthread_mutex_unlock(&ferry_lock);
    if (was_running) {
        (void)eventfd_write(stop_fd, 1);
        (void)pthread_join(ferry, NULL);
    }
    return APR_SUCCESS;
}

void rp_ferry_child_init(apr_pool_t *pchild)
{
    is_allowed = true;
    /* Before the connections' memory goes. */
    apr_pool_pre_cleanup_register(pchild, NULL, stop_ferry);
}

/* ---- passengers ---- */

bool rp_ferry_board(rp_passenger_t *p)
{
    bool is_aboard;

    pthread_mutex_lock(&ferry_lock);
    p->seen = (rp_ready_t){0, 0, false, false};
    p->client_events = p->backend_events = -1;
    p->goes_again = false;
    is_aboard = start_locked() && take_slot(p);
    if (is_aboard && !watch_both(p)) {
        put_ashore(p);
        is_aboard = false;
    }
    p->is_refused = !is_aboard;
    pthread_mutex_unlock(&ferry_lock);
    return is_aboard;
}

void rp_ferry_leave(rp_passenger_t *p)
{
    pthread_mutex_lock(&ferry_lock);
    if (p->slot >= 0) {
        put_ashore(p);
    }
    pthread_mutex_unlock(&ferry_lock);
}
