#include "rp_pool_int.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include "ap_mpm.h"
#include "apr_hash.h"
#include "apr_time.h"
#include "rp_addr.h"
#include "rp_offload.h"

#define POOL_BUCKETS 256
/* Idle connections kept for a backend without max= and smax=, at least. */
#define KEEP_MIN 1024
/* How often the idle connections that nobody asks for are looked at. */
#define SWEEP_PAUSE apr_time_from_sec(1)

/* What the pool knows of a connection; the connection's owner pointer leads here. */
typedef struct slot_t {
    TAILQ_ENTRY(slot_t) link;
    rp_conn_t *conn;
    rp_pool_t *pool;
    apr_time_t idle_since;
} slot_t;

TAILQ_HEAD(slot_list, slot_t);

struct rp_pool_waiter_t {
    TAILQ_ENTRY(rp_pool_waiter_t) link;
    rp_pool_t *pool;
    int fd;
    bool is_granted;  /* has a place, and left the queue */
    slot_t *slot;     /* the connection that came with the place, or NULL */
};

TAILQ_HEAD(waiter_list, rp_pool_waiter_t);

struct rp_pool_t {
    TAILQ_ENTRY(rp_pool_t) in_registry;
    LIST_ENTRY(rp_pool_t) in_bucket;
    int holders;               /* backends; under registry_lock */

    /* key and limits, constant */
    bool is_tls;
    char *host, *uds_path;
    apr_port_t port;
    rp_options_t opt;
    int max, keep;

    /* lock protects everything below. Invariants: in_use + idle_count <= max;
     * waiters only while in_use == max. */
    pthread_mutex_t lock;
    struct slot_list idle;     /* the one last given back first */
    struct waiter_list waiters;
    int idle_count, in_use, waiting;
    int sweep_at;              /* how many of the oldest the next sweep skips */
    bool is_closed;            /* nobody holds it: nothing is kept */
};

LIST_HEAD(pool_bucket, rp_pool_t);
TAILQ_HEAD(pool_list, rp_pool_t);

/* registry_lock protects pool_buckets, registry and holders. */
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pool_bucket pool_buckets[POOL_BUCKETS];
static struct pool_list registry = TAILQ_HEAD_INITIALIZER(registry);
static _Atomic apr_time_t next_sweep;

/* Pools of the configured backends, by id. Constant between child_init and the child's end, but for
 * those of members added at run time (rp_pool_add). */
static rp_pool_t **configured;
static int configured_count;

/* --- limits and keys ---------------------------------------------------------------------- */

/* Connections at once where max= is not given. mod_proxy says ThreadsPerChild, because a thread
 * could not have two. Here requests wait without a thread, and mod_http2 has threads of its own:
 * a limit by threads would let parked requests queue for no reason. An operator who wants to
 * shield a backend writes max=, which is exact. */
static int get_default_max(void)
{
    return INT_MAX;
}

/* Idle connections kept where neither max= nor smax= is given: enough for requests that come in
 * waves; the sweep closes those that the backend has ended. */
static int get_default_keep(void)
{
    int threads = 0;

    (void)ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    return threads > KEEP_MIN ? threads : KEEP_MIN;
}

static void set_limits(rp_pool_t *p)
{
    int is_threaded = 0;

    (void)ap_mpm_query(AP_MPMQ_IS_THREADED, &is_threaded);
    if (is_threaded == AP_MPMQ_NOT_SUPPORTED) {
        /* As mod_proxy does without threads: one cached connection, parameters ignored. No limit on leases: a
         * subrequest would wait for its own main request. */
        p->max = INT_MAX;
        p->keep = 1;
        return;
    }
    p->max = p->opt.max > 0 ? p->opt.max : get_default_max();
    p->keep = p->opt.max > 0 ? p->opt.max : get_default_keep();
    if (p->opt.set & RP_OPT_SMAX && p->opt.smax < p->keep) {
        p->keep = p->opt.smax;
    }
}

bool rp_pool_is_same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

bool rp_pool_is_same_kind(const rp_options_t *a, const rp_options_t *b)
{
    return a->max == b->max && a->smax == b->smax && a->min == b->min
        && (a->set & RP_OPT_SMAX) == (b->set & RP_OPT_SMAX)
        && a->ttl == b->ttl && a->acquire == b->acquire && a->reuse == b->reuse
        && a->keepalive == b->keepalive && a->receive_buffer == b->receive_buffer
        && a->address_ttl == b->address_ttl && a->timeout == b->timeout
        && a->connect_timeout == b->connect_timeout;
}

static bool serves(const rp_pool_t *p, const rp_backend_t *b)
{
    return p->is_tls == b->is_tls && p->port == b->port && strcmp(p->host, b->host) == 0
        && rp_pool_is_same_text(p->uds_path, b->uds_path) && rp_pool_is_same_kind(&p->opt, &b->opt);
}

static struct pool_bucket *get_pool_bucket(const char *host, apr_port_t port)
{
    apr_ssize_t len = APR_HASH_KEY_STRING;

    return &pool_buckets[(apr_hashfunc_default(host, &len) + port) % POOL_BUCKETS];
}

/* --- pools -------------------------------------------------------------------------------- */

static rp_pool_t *make_pool(const rp_backend_t *b)
{
    rp_pool_t *p = ap_calloc(1, sizeof(*p));

    p->is_tls = b->is_tls;
    p->port = b->port;
    p->host = strdup(b->host);
    p->uds_path = b->uds_path ? strdup(b->uds_path) : NULL;
    if (!p->host || (b->uds_path && !p->uds_path)) {
        ap_abort_on_oom();
    }
    p->opt = b->opt;
    set_limits(p);
    pthread_mutex_init(&p->lock, NULL);
    TAILQ_INIT(&p->idle);
    TAILQ_INIT(&p->waiters);
    return p;
}

static void free_pool(rp_pool_t *p)
{
    pthread_mutex_destroy(&p->lock);
    free(p->host);
    free(p->uds_path);
    free(p);
}

rp_pool_t *rp_pool_hold(const rp_backend_t *b)
{
    struct pool_bucket *bucket = get_pool_bucket(b->host, b->port);
    rp_pool_t *p;

    pthread_mutex_lock(&registry_lock);
    LIST_FOREACH(p, bucket, in_bucket) {
        if (serves(p, b)) {
            break;
        }
    }
    if (!p) {
        p = make_pool(b);
        LIST_INSERT_HEAD(bucket, p, in_bucket);
        TAILQ_INSERT_TAIL(&registry, p, in_registry);
    }
    p->holders++;
    pthread_mutex_unlock(&registry_lock);
    return p;
}

static void free_slot(slot_t *slot)
{
    rp_conn_destroy(&slot->conn);
    free(slot);
}

/* Outside of any lock: closing TLS sends a last record. */
static void free_slots(struct slot_list *slots)
{
    slot_t *slot;

    while ((slot = TAILQ_FIRST(slots))) {
        TAILQ_REMOVE(slots, slot, link);
        free_slot(slot);
    }
}

static void close_pool(rp_pool_t *p)
{
    struct slot_list dead = TAILQ_HEAD_INITIALIZER(dead);
    bool is_last;

    pthread_mutex_lock(&p->lock);
    p->is_closed = true;
    TAILQ_CONCAT(&dead, &p->idle, link);
    p->idle_count = 0;
    is_last = p->in_use == 0 && p->waiting == 0;
    pthread_mutex_unlock(&p->lock);

    free_slots(&dead);
    if (is_last) {
        free_pool(p);
    }
}

void rp_pool_release(rp_pool_t **pool)
{
    rp_pool_t *p = *pool;
    bool is_last;

    *pool = NULL;
    if (!p) {
        return;
    }
    pthread_mutex_lock(&registry_lock);
    is_last = --p->holders == 0;
    if (is_last) {
        LIST_REMOVE(p, in_bucket);
        TAILQ_REMOVE(&registry, p, in_registry);
    }
    pthread_mutex_unlock(&registry_lock);
    if (is_last) {
        close_pool(p);
    }
}

static rp_pool_t *get_pool(const rp_backend_t *b)
{
    if (b->is_dynamic) {
        return rp_pool_get_dynamic(b);
    }
    ap_assert(b->id >= 0 && b->id < configured_count && configured[b->id]);
    return configured[b->id];
}

void rp_pool_add(const rp_backend_t *b)
{
    ap_assert(b->id >= 0 && b->id < configured_count && !configured[b->id]);
    configured[b->id] = rp_pool_hold(b);
}

/* --- places ------------------------------------------------------------------------------- */

static void take_idle_locked(rp_pool_t *p, slot_t *slot, struct slot_list *to)
{
    TAILQ_REMOVE(&p->idle, slot, link);
    p->idle_count--;
    if (to) {
        TAILQ_INSERT_TAIL(to, slot, link);
    }
}

/* Above smax, those idle for longer than ttl go (all of them where there is no ttl). */
static void trim_locked(rp_pool_t *p, apr_time_t now, struct slot_list *dead)
{
    while (p->idle_count > p->keep) {
        slot_t *oldest = TAILQ_LAST(&p->idle, slot_list);

        if (p->opt.ttl > 0 && now - oldest->idle_since < p->opt.ttl) {
            return;
        }
        take_idle_locked(p, oldest, dead);
    }
}

/* A place becomes free, with a connection in it or not. The first waiter gets both at once, so
 * that no newcomer can come between. */
static void pass_on_place_locked(rp_pool_t *p, slot_t *slot, struct slot_list *dead)
{
    /* Not a failed lease's place, which was never within max. */
    rp_pool_waiter_t *w = p->in_use <= p->max ? TAILQ_FIRST(&p->waiters) : NULL;
    const uint64_t one = 1;

    if (w) {
        TAILQ_REMOVE(&p->waiters, w, link);
        p->waiting--;
        w->slot = slot;
        w->is_granted = true;
        (void)!write(w->fd, &one, sizeof(one)); /* 0 to 1: cannot fail */
        return;
    }
    p->in_use--;
    if (slot && p->is_closed) {
        TAILQ_INSERT_TAIL(dead, slot, link);
    }
    else if (slot) {
        slot->idle_since = apr_time_now();
        TAILQ_INSERT_HEAD(&p->idle, slot, link);
        p->idle_count++;
        trim_locked(p, slot->idle_since, dead);
    }
}

static bool is_unused_locked(const rp_pool_t *p)
{
    return p->is_closed && p->in_use == 0 && p->waiting == 0;
}

static void pass_on_place(rp_pool_t *p, slot_t *slot)
{
    struct slot_list dead = TAILQ_HEAD_INITIALIZER(dead);
    bool is_last;

    pthread_mutex_lock(&p->lock);
    pass_on_place_locked(p, slot, &dead);
    is_last = is_unused_locked(p);
    pthread_mutex_unlock(&p->lock);
    free_slots(&dead);
    if (is_last) {
        free_pool(p);
    }
}

/* --- waiting ------------------------------------------------------------------------------ */

static rp_pool_waiter_t *queue_waiter_locked(rp_pool_t *p)
{
    rp_pool_waiter_t *w;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (fd < 0) {
        return NULL;
    }
    w = ap_calloc(1, sizeof(*w));
    w->pool = p;
    w->fd = fd;
    TAILQ_INSERT_TAIL(&p->waiters, w, link);
    p->waiting++;
    return w;
}

static void free_waiter(rp_pool_waiter_t **w)
{
    close((*w)->fd);
    free(*w);
    *w = NULL;
}

int rp_pool_waiter_fd(const rp_pool_waiter_t *w)
{
    return w->fd;
}

void rp_pool_stop_waiting(rp_pool_waiter_t **waiter)
{
    rp_pool_waiter_t *w = *waiter;
    rp_pool_t *p;
    bool is_granted, is_last;

    if (!w) {
        return;
    }
    p = w->pool;
    pthread_mutex_lock(&p->lock);
    is_granted = w->is_granted;
    if (!is_granted) {
        TAILQ_REMOVE(&p->waiters, w, link);
        p->waiting--;
    }
    is_last = is_unused_locked(p);
    pthread_mutex_unlock(&p->lock);
    if (is_granted) {
        pass_on_place(p, w->slot);
    }
    else if (is_last) {
        free_pool(p);
    }
    free_waiter(waiter);
}

/* --- lease -------------------------------------------------------------------------------- */

typedef enum { PLACE_GOT, PLACE_WAIT, PLACE_NO_DESCRIPTOR } place_t;

/* A place, and maybe the connection that its last user left. */
static place_t claim_place(rp_pool_t *p, rp_pool_waiter_t **waiter, slot_t **slot)
{
    place_t result = PLACE_GOT;

    *slot = NULL;
    pthread_mutex_lock(&p->lock);
    if (*waiter) {
        result = (*waiter)->is_granted ? PLACE_GOT : PLACE_WAIT;
    }
    else if (p->in_use < p->max) {
        p->in_use++;
    }
    else {
        *waiter = queue_waiter_locked(p);
        result = *waiter ? PLACE_WAIT : PLACE_NO_DESCRIPTOR;
        p->in_use += !*waiter;
    }
    pthread_mutex_unlock(&p->lock);
    if (result == PLACE_GOT && *waiter) {
        *slot = (*waiter)->slot;
        free_waiter(waiter);
    }
    return result;
}

static slot_t *find_idle_locked(rp_pool_t *p, const rp_conn_want_t *want, struct slot_list *dead)
{
    apr_time_t oldest = p->opt.ttl > 0 ? apr_time_now() - p->opt.ttl : 0;
    slot_t *slot, *next;

    for (slot = TAILQ_FIRST(&p->idle); slot; slot = next) {
        next = TAILQ_NEXT(slot, link);
        if (slot->idle_since < oldest) {
            take_idle_locked(p, slot, dead);
        }
        else if (rp_conn_matches(slot->conn, want)) {
            take_idle_locked(p, slot, NULL);
            return slot;
        }
    }
    return NULL;
}

static bool is_usable(slot_t *slot, const rp_conn_want_t *want)
{
    rp_conn_set_backend(slot->conn, want->backend);
    return rp_conn_matches(slot->conn, want) && rp_conn_is_address_current(slot->conn)
        && rp_conn_is_idle_alive(slot->conn);
}

static slot_t *pop_idle(rp_pool_t *p, const rp_conn_want_t *want, struct slot_list *dead)
{
    slot_t *slot;

    pthread_mutex_lock(&p->lock);
    slot = find_idle_locked(p, want, dead);
    pthread_mutex_unlock(&p->lock);
    return slot;
}

/* An idle connection that still works, the one last used first. */
static slot_t *take_usable(rp_pool_t *p, const rp_conn_want_t *want)
{
    struct slot_list dead = TAILQ_HEAD_INITIALIZER(dead);
    slot_t *slot = pop_idle(p, want, &dead);

    while (slot && !is_usable(slot, want)) {
        TAILQ_INSERT_TAIL(&dead, slot, link);
        slot = pop_idle(p, want, &dead);
    }
    free_slots(&dead);
    return slot;
}

/* A connection is to be opened: keep the sum within max. */
static void make_room(rp_pool_t *p)
{
    struct slot_list dead = TAILQ_HEAD_INITIALIZER(dead);

    if (p->max == INT_MAX) {
        return;
    }
    pthread_mutex_lock(&p->lock);
    while (p->idle_count > 0 && p->in_use + p->idle_count > p->max) {
        take_idle_locked(p, TAILQ_LAST(&p->idle, slot_list), &dead);
    }
    pthread_mutex_unlock(&p->lock);
    free_slots(&dead);
}

static rp_conn_t *make_leased(rp_pool_t *p, const rp_backend_t *b)
{
    slot_t *slot = ap_calloc(1, sizeof(*slot));

    slot->pool = p;
    slot->conn = rp_conn_make(b);
    rp_conn_set_owner(slot->conn, slot);
    return slot->conn;
}

rp_lease_t rp_pool_lease(const rp_conn_want_t *want, bool fresh, rp_pool_waiter_t **waiter, rp_conn_t **conn)
{
    rp_pool_t *p = get_pool(want->backend);
    slot_t *slot;

    *conn = NULL;
    switch (claim_place(p, waiter, &slot)) {
    case PLACE_WAIT:
        return RP_LEASE_WAIT;
    case PLACE_NO_DESCRIPTOR:
        *conn = make_leased(p, want->backend);
        rp_conn_set_failed(*conn, RP_E_RESOURCE, EMFILE);
        return RP_LEASE_NEW;
    default:
        break;
    }
    if (slot && (fresh || !is_usable(slot, want))) {
        free_slot(slot);
        slot = NULL;
    }
    if (!slot && !fresh) {
        slot = take_usable(p, want);
    }
    if (slot) {
        *conn = slot->conn;
        return RP_LEASE_REUSED;
    }
    make_room(p);
    *conn = make_leased(p, want->backend);
    return RP_LEASE_NEW;
}

/* --- give back ---------------------------------------------------------------------------- */

static void find_dead_locked(rp_pool_t *p, apr_time_t now, struct slot_list *dead)
{
    slot_t *slots[RP_CONN_SWEEP_MAX], *slot;
    rp_conn_t *conns[RP_CONN_SWEEP_MAX];
    bool is_dead[RP_CONN_SWEEP_MAX] = {false};
    int n = 0, skip, i;

    skip = p->sweep_at < p->idle_count ? p->sweep_at : 0;
    p->sweep_at = skip + RP_CONN_SWEEP_MAX;
    TAILQ_FOREACH_REVERSE(slot, &p->idle, slot_list, link) {
        if (skip > 0) {
            skip--;
        }
        else if (n < RP_CONN_SWEEP_MAX) {
            slots[n] = slot;
            conns[n++] = slot->conn;
        }
        else {
            break;
        }
    }
    if (n > 0) {
        rp_conn_find_dead(conns, n, is_dead);
    }
    for (i = 0; i < n; i++) {
        if (is_dead[i] || (p->opt.ttl > 0 && now - slots[i]->idle_since > p->opt.ttl)) {
            take_idle_locked(p, slots[i], dead);
        }
    }
}

/* Connections that their backend has closed must not stay half-closed until somebody wants them. */
static void sweep(apr_time_t now)
{
    struct slot_list dead = TAILQ_HEAD_INITIALIZER(dead);
    rp_pool_t *p;

    pthread_mutex_lock(&registry_lock);
    TAILQ_FOREACH(p, &registry, in_registry) {
        pthread_mutex_lock(&p->lock);
        if (p->idle_count > 0) {
            find_dead_locked(p, now, &dead);
        }
        pthread_mutex_unlock(&p->lock);
    }
    pthread_mutex_unlock(&registry_lock);
    free_slots(&dead);
}

static void sweep_sometimes(void)
{
    apr_time_t now = apr_time_now();
    apr_time_t due = atomic_load_explicit(&next_sweep, memory_order_relaxed);

    if (now >= due && atomic_compare_exchange_strong(&next_sweep, &due, now + SWEEP_PAUSE)) {
        sweep(now);
    }
}

void rp_pool_give_back(rp_conn_t **conn)
{
    slot_t *slot;

    if (!*conn) {
        return;
    }
    slot = rp_conn_get_owner(*conn);
    if (!slot->pool->opt.reuse) {
        rp_pool_retire(conn);
        return;
    }
    *conn = NULL;
    rp_conn_set_backend(slot->conn, NULL);
    pass_on_place(slot->pool, slot);
    sweep_sometimes();
}

void rp_pool_retire(rp_conn_t **conn)
{
    slot_t *slot;
    rp_pool_t *p;

    if (!*conn) {
        return;
    }
    slot = rp_conn_get_owner(*conn);
    p = slot->pool;
    *conn = NULL;
    free_slot(slot); /* before its place is free: the sum stays within max */
    pass_on_place(p, NULL);
}

/* --- the child's life --------------------------------------------------------------------- */

static apr_status_t close_at_exit(void *unused)
{
    int i;

    (void)unused;
    rp_pool_forget_dynamic();
    for (i = 0; i < configured_count; i++) {
        rp_pool_release(&configured[i]);
    }
    free(configured);
    configured = NULL;
    configured_count = 0;
    return APR_SUCCESS;
}

void rp_pool_child_init(apr_pool_t *pchild, server_rec *s)
{
    int i, n = rp_conf_count_backends();

    (void)s;
    /* Cleanups run in the reverse order: the helper threads stop last. */
    (void)rp_offload_child_init(pchild);
    (void)rp_addr_child_init(pchild);
    rp_conn_child_init(pchild);
    configured = n > 0 ? ap_calloc((size_t)n, sizeof(*configured)) : NULL;
    configured_count = n;
    for (i = 0; i < n; i++) {
        if (rp_conf_get_backend(i)->name) {
            configured[i] = rp_pool_hold(rp_conf_get_backend(i));
        }
    }
    apr_pool_cleanup_register(pchild, NULL, close_at_exit, apr_pool_cleanup_null);
}

void rp_pool_count(rp_pool_count_t *n)
{
    rp_pool_t *p;

    memset(n, 0, sizeof(*n));
    pthread_mutex_lock(&registry_lock);
    TAILQ_FOREACH(p, &registry, in_registry) {
        pthread_mutex_lock(&p->lock);
        n->idle += p->idle_count;
        n->leased += p->in_use;
        n->waiting += p->waiting;
        pthread_mutex_unlock(&p->lock);
    }
    pthread_mutex_unlock(&registry_lock);
    n->dynamic = rp_pool_count_dynamic();
}
