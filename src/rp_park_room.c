/* The event MPM accepts no new client while its connections are more than threads + idle threads * factor, and closes idle
 * connections to make room only while no thread is idle. For it, those that rest with us are not idle, but at work. So it is for
 * them to go, the one that has been idle for longest first. */
#include "rp_park_room.h"

#include <stdlib.h>
#include <unistd.h>

#include "apr_atomic.h"
#include "apr_thread_mutex.h"
#include "http_config.h"
#include "scoreboard.h"

/* Who has had an answer just now may be about to ask again. */
#define ROOM_AFTER apr_time_from_msec(500)

/* As in mod_mpm_event, which does not tell; more than FACTOR_MOST is never reached. */
#define FACTOR_DEFAULT 2
#define FACTOR_MOST 1000000

TAILQ_HEAD(room, rp_park_t);
static struct room resting = TAILQ_HEAD_INITIALIZER(resting); /* the longest first */
static struct room leaving = TAILQ_HEAD_INITIALIZER(leaving); /* those that were and are woken now */
static long leaving_count;
static apr_thread_mutex_t *room_lock; /* protects the lists, and what the header says of those in them */
static apr_uint32_t connections, working;
static int threads_per_child;
static int factor;

static int read_factor(const char *text)
{
    double value = strtod(text, NULL);

    if (value < 1) {
        return 1;
    }
    return value < FACTOR_MOST ? (int)value : FACTOR_MOST;
}

static void find_factor(const ap_directive_t *d)
{
    for (; d; d = d->next) {
        if (!strcasecmp(d->directive, "AsyncRequestWorkerFactor")) {
            factor = read_factor(d->args);
        }
        find_factor(d->first_child);
    }
}

void rp_room_configure(int threads)
{
    threads_per_child = threads;
    factor = FACTOR_DEFAULT;
    find_factor(ap_conftree);
}

void rp_room_child_init(apr_pool_t *pchild)
{
    (void)apr_thread_mutex_create(&room_lock, APR_THREAD_MUTEX_DEFAULT, pchild);
}

void rp_room_add(rp_park_t *park)
{
    park->takes_room = true;
    apr_atomic_inc32(&connections);
}

void rp_room_remove(rp_park_t *park)
{
    if (park->takes_room) {
        park->takes_room = false;
        apr_atomic_dec32(&connections);
    }
}

unsigned rp_room_count(void)
{
    return apr_atomic_read32(&connections);
}

/* Has the MPM stopped to accept, as it tells the parent? */
static bool is_shut(void)
{
    const process_score *child;
    pid_t pid = getpid();
    int i;

    for (i = 0; (child = ap_get_scoreboard_process(i)); i++) {
        if (child->pid == pid) {
            /* Its listener writes it. */
            return __atomic_load_n(&child->not_accepting, __ATOMIC_RELAXED);
        }
    }
    return false;
}

/* How many have to go, so that the MPM accepts a new one: where it has stopped to, it counts one idle thread less. That is
 * none where there is but one: it accepts again when there is no connection left. */
static long get_excess(void)
{
    long idle = threads_per_child - (long)apr_atomic_read32(&working);
    long least = threads_per_child == 1 && is_shut() ? 0 : 1;
    long most = threads_per_child + (idle > least ? idle : least) * factor;

    return (long)rp_room_count() + 1 - most;
}

bool rp_room_is_short(void)
{
    return get_excess() > 0;
}

/* Has the one at the head look whether it is to go, when it has been idle long enough. */
static void let_leave(rp_park_t *park)
{
    TAILQ_REMOVE(&resting, park, place);
    TAILQ_INSERT_TAIL(&leaving, park, place);
    leaving_count++;
    park->is_leaving = true;
    park->timer_at = 0;
    park->wait.deadline = park->idle_since + ROOM_AFTER;
    rp_park_set_timer(park);
}

static void make_room(long excess)
{
    rp_park_t *park;

    apr_thread_mutex_lock(room_lock);
    while (leaving_count < excess && (park = TAILQ_FIRST(&resting))) {
        let_leave(park);
    }
    apr_thread_mutex_unlock(room_lock);
}

void rp_room_begin_work(void)
{
    apr_atomic_inc32(&working);
}

void rp_room_end_work(void)
{
    long excess = get_excess();

    apr_atomic_dec32(&working);
    if (excess > 0) {
        make_room(excess);
    }
}

/* Nearly all begin to rest just now. Some did shortly before (they were in line), some were woken to leave and need not. */
static void insert(rp_park_t *park)
{
    rp_park_t *other = TAILQ_FIRST(&resting);

    if (other && park->idle_since <= other->idle_since) {
        TAILQ_INSERT_HEAD(&resting, park, place);
        return;
    }
    TAILQ_FOREACH_REVERSE(other, &resting, room, place) {
        if (other->idle_since <= park->idle_since) {
            TAILQ_INSERT_AFTER(&resting, other, park, place);
            return;
        }
    }
    TAILQ_INSERT_TAIL(&resting, park, place);
}

void rp_room_rest(rp_park_t *park)
{
    apr_thread_mutex_lock(room_lock);
    insert(park);
    park->is_resting = true;
    park->is_leaving = false;
    apr_thread_mutex_unlock(room_lock);
}

static void remove_from_list(rp_park_t *park)
{
    if (park->is_leaving) {
        TAILQ_REMOVE(&leaving, park, place);
        leaving_count--;
    }
    else {
        TAILQ_REMOVE(&resting, park, place);
    }
    park->is_resting = false;
}

void rp_room_leave(rp_park_t *park)
{
    apr_thread_mutex_lock(room_lock);
    if (park->is_resting) {
        remove_from_list(park);
    }
    apr_thread_mutex_unlock(room_lock);
}
