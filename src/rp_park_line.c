/* Where more clients ask at once than there are threads, the event MPM takes up no new connection while more of the old
 * ones are ready than threads are idle: some clients get their answers at once, others none at all. So half of the threads
 * are left to it, for new clients and for parked requests that go on. The other half are turns: a thread of
 * ours that runs and does not wait has one, and clients that have had an answer wait for theirs in the order of these. */
#include "rp_park_line.h"

#include <poll.h>
#include <stdatomic.h>

#include "apr_thread_mutex.h"

/* A turn may last: a filter blocks, or a client's next request is not for us. When none has ended for so long, all of the line go
 * on without. One of it looks. */
#define LOOK_EVERY apr_time_from_msec(50)

TAILQ_HEAD(line, rp_park_t);
static struct line line = TAILQ_HEAD_INITIALIZER(line);
static apr_thread_mutex_t *line_lock; /* protects the line, and what the header says of those in it */
static atomic_int waiting;            /* in line */
static atomic_int turns;              /* taken */
static rp_park_t *looker;             /* who wakes to see whether all is well; NULL: the line is empty */
static bool has_moved;                /* a turn has ended since it looked */
static int most;

void rp_line_child_init(apr_pool_t *pchild, int threads)
{
    most = threads > 1 ? threads / 2 : 1;
    (void)apr_thread_mutex_create(&line_lock, APR_THREAD_MUTEX_DEFAULT, pchild);
}

bool rp_line_is_there(void)
{
    return atomic_load(&waiting) > 0;
}

static bool try_turn(rp_park_t *park)
{
    int n = atomic_load(&turns);

    while (!park->has_turn && n < most) {
        park->has_turn = atomic_compare_exchange_weak(&turns, &n, n + 1);
    }
    return park->has_turn;
}

bool rp_line_take_turn(rp_park_t *park)
{
    return park->has_turn || (!rp_line_is_there() && try_turn(park));
}

void rp_line_begin_turn(rp_park_t *park)
{
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

static void look_later(rp_park_t *park)
{
    looker = park;
    has_moved = false;
    park->timer_at = 0;
    park->wait.deadline = apr_time_now() + LOOK_EVERY;
    rp_park_set_timer(park);
}

/* Who has not asked by now rests as any other idle client does. */
static void give_turns(void)
{
    rp_park_t *park;

    while (atomic_load(&turns) < most && (park = TAILQ_FIRST(&line))) {
        if (has_asked(park)) {
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

void rp_line_end_turn(rp_park_t *park)
{
    if (!park->has_turn) {
        return;
    }
    park->has_turn = false;
    atomic_fetch_sub(&turns, 1);
    /* rp_line_join counts itself first, then looks at turns: one of both sees the other. */
    if (rp_line_is_there()) {
        apr_thread_mutex_lock(line_lock);
        has_moved = true;
        give_turns();
        apr_thread_mutex_unlock(line_lock);
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

bool rp_line_waits_on(rp_park_t *park)
{
    bool waits;

    apr_thread_mutex_lock(line_lock);
    if (looker == park && !has_moved) {
        begin_all();
    }
    waits = park->in_line && looker == park && !rp_park_has_stopped();
    if (waits) {
        look_later(park);
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
