/* Where more clients ask at once than there are threads, the event MPM takes up no new connection while more of the old
 * ones are ready than threads are idle: some clients get their answers at once, others none at all. So half of the threads
 * are left to it, for new clients and for parked requests that go on. The other half are turns: a thread of
 * ours that runs and does not wait has one, and clients that have had an answer wait for theirs in the order of these. Threads that
 * are at work on what is not ours, or not known to be, are in neither half. */
#include "rp_park_line.h"

#include <poll.h>
#include <stdatomic.h>

#include "apr_thread_mutex.h"

/* A turn may last: a filter blocks. And what takes one whether one is left or not may leave none. When nobody of the line has begun
 * his for so long, all of it go on without. One of it looks. */
#define LOOK_EVERY apr_time_from_msec(50)

TAILQ_HEAD(line, rp_park_t);
static struct line line = TAILQ_HEAD_INITIALIZER(line);
static apr_thread_mutex_t *line_lock; /* protects the line, and what the header says of those in it */
static atomic_int waiting;            /* in line */
static atomic_int turns;              /* taken */
static rp_park_t *looker;             /* who wakes to see whether all is well; NULL: the line is empty */
static bool has_moved;                /* somebody of the line has begun his turn since it looked */
static atomic_int others;             /* threads at work without a turn */
static int threads_per_child;

void rp_line_child_init(apr_pool_t *pchild, int threads)
{
    threads_per_child = threads;
    (void)apr_thread_mutex_create(&line_lock, APR_THREAD_MUTEX_DEFAULT, pchild);
}

bool rp_line_is_there(void)
{
    return atomic_load(&waiting) > 0;
}

/* The MPM that has stopped to accept begins again when two threads are idle. */
#define LEFT_LEAST 2

/* So many turns may be taken. None: the line moves when its looker looks, and the MPM has the threads in between. */
static int get_most(void)
{
    int elsewhere = atomic_load(&others), most = (threads_per_child - elsewhere) / 2;

    if (elsewhere > 0 && threads_per_child - elsewhere <= LEFT_LEAST) {
        return 0;
    }
    return most > 1 ? most : 1;
}

static bool try_turn(rp_park_t *park)
{
    int n = atomic_load(&turns);

    while (!park->has_turn && n < get_most()) {
        park->has_turn = atomic_compare_exchange_weak(&turns, &n, n + 1);
    }
    return park->has_turn;
}

bool rp_line_take_turn(rp_park_t *park)
{
    return park->has_turn || (!rp_line_is_there() && try_turn(park));
}

/* false: it was not without a turn. */
static bool stop_without_turn(rp_park_t *park)
{
    bool was_without = park->works_without_turn;

    if (was_without) {
        park->works_without_turn = false;
        atomic_fetch_sub(&others, 1);
    }
    return was_without;
}

void rp_line_begin_turn(rp_park_t *park)
{
    (void)stop_without_turn(park);
    if (!park->has_turn) {
        atomic_fetch_add(&turns, 1);
        park->has_turn = true;
    }
}

/* ---- with the lock ---- */

static bool has_asked(const rp_park_t *park)
{
    struct pollfd client = {park->client_fd, POLLIN, 0};

    return poll(&client, 1, 0) > 0;
}

static void step_out(rp_park_t *park)
{
    TAILQ_REMOVE(&line, park, place);
    park->in_line = false;
    looker = looker == park ? NULL : looker;
    atomic_fetch_sub(&waiting, 1);
}

static void wake(rp_park_t *park)
{
    step_out(park);
    rp_park_wake(park);
    park->timer_at = 0;
}

static void begin(rp_park_t *park)
{
    rp_line_begin_turn(park);
    wake(park);
}

static void begin_all(void)
{
    rp_park_t *park;

    while ((park = TAILQ_FIRST(&line))) {
        begin(park);
    }
}

static void wake_at(rp_park_t *park, apr_time_t when)
{
    park->timer_at = 0;
    park->wait.deadline = when;
    rp_park_set_timer(park);
}

static void look_later(rp_park_t *park)
{
    looker = park;
    has_moved = false;
    wake_at(park, apr_time_now() + LOOK_EVERY);
}

/* Who has not asked by now rests as any other idle client does. */
static void give_turns(void)
{
    rp_park_t *park;

    while (atomic_load(&turns) < get_most() && (park = TAILQ_FIRST(&line))) {
        if (has_asked(park)) {
            has_moved = true;
            begin(park);
        }
        else {
            park->is_chatty = false;
            wake(park);
        }
    }
    if (!looker && (park = TAILQ_LAST(&line, line))) {
        look_later(park);
    }
}

/* ---- without ---- */

/* There may be turns left. rp_line_join counts itself first, then looks at turns, which were counted before this: one of both
 * sees the other. */
static void give_turns_to_line(void)
{
    if (rp_line_is_there()) {
        apr_thread_mutex_lock(line_lock);
        give_turns();
        apr_thread_mutex_unlock(line_lock);
    }
}

static void give_up_turn(rp_park_t *park)
{
    park->has_turn = false;
    atomic_fetch_sub(&turns, 1);
    give_turns_to_line();
}

void rp_line_work_without_turn(rp_park_t *park)
{
    if (!park->works_without_turn) {
        park->works_without_turn = true;
        atomic_fetch_add(&others, 1);
    }
    if (park->has_turn) {
        give_up_turn(park);
    }
}

void rp_line_end_turn(rp_park_t *park)
{
    if (park->has_turn) {
        give_up_turn(park);
    }
    else if (stop_without_turn(park)) {
        give_turns_to_line();
    }
}

void rp_line_join(rp_park_t *park)
{
    apr_thread_mutex_lock(line_lock);
    TAILQ_INSERT_TAIL(&line, park, place);
    park->in_line = true;
    atomic_fetch_add(&waiting, 1);
    give_turns();
    apr_thread_mutex_unlock(line_lock);
}

bool rp_line_waits_on(rp_park_t *park, apr_time_t until)
{
    bool waits;

    apr_thread_mutex_lock(line_lock);
    if (looker == park && !has_moved) {
        begin_all();
    }
    waits = park->in_line && apr_time_now() < until && !rp_park_has_stopped();
    if (waits && looker == park) {
        look_later(park);
    }
    else if (waits) {
        wake_at(park, until);
    }
    apr_thread_mutex_unlock(line_lock);
    return waits;
}

void rp_line_leave(rp_park_t *park)
{
    apr_thread_mutex_lock(line_lock);
    if (park->in_line) {
        step_out(park);
        give_turns();
    }
    apr_thread_mutex_unlock(line_lock);
}
