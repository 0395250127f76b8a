#include "rp_addr.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/un.h>

#include "apr_hash.h"
#include "apr_strings.h"
#include "apr_time.h"
#include "rp_offload.h"

/* Hosts may come from requests (targets with variables), so the cache must have an end. Far more
 * than the backends of any configuration, which are used and therefore stay. */
#define ENTRIES_MAX 2048
#define CACHE_BUCKETS 512
/* A name server that does not answer is not to hold all helper threads. */
#define LOOKUPS_AT_A_TIME 32
/* A backend that is down must not turn every request into a question to the name server. */
#define FRESH_ENOUGH apr_time_from_sec(1)

struct rp_addr_list_t {
    atomic_int refs;
    int count;
    apr_pool_t *pool;
    apr_sockaddr_t **at;
};

/* One question to the resolver, shared by all who wait for it. */
typedef struct lookup_t {
    int refs;              /* under cache_lock */
    rp_offload_job_t *job;
    rp_addr_list_t *list;  /* written by the job, read once it is done */
    apr_status_t status;
    const char *host;
    apr_port_t port;
} lookup_t;

struct rp_addr_query_t {
    lookup_t *lookup;
};

typedef struct entry_t {
    LIST_ENTRY(entry_t) in_bucket;
    TAILQ_ENTRY(entry_t) in_use_order;
    char *host;            /* or the path of a unix socket */
    apr_port_t port;       /* 0 for a unix socket */
    rp_addr_list_t *list;  /* NULL: not known */
    apr_time_t asked_at;   /* when list was got; never goes stale where is_fixed */
    bool is_fixed;         /* numeric or a unix socket: needs no resolver */
    lookup_t *lookup;      /* under way, or NULL */
} entry_t;

LIST_HEAD(entry_bucket, entry_t);
TAILQ_HEAD(entry_order, entry_t);

/* cache_lock protects the cache, and the refs of lookups. Taken before rp_offload's. */
static pthread_mutex_t cache_lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry_bucket cache[CACHE_BUCKETS];
static struct entry_order use_order = TAILQ_HEAD_INITIALIZER(use_order); /* latest used first */
static int entry_count;
static atomic_uint generation;

/* --- lists -------------------------------------------------------------------------------- */

static apr_status_t make_list(rp_addr_list_t **list, const char *host, apr_port_t port, bool is_path)
{
    apr_sockaddr_t *first, *sa;
    apr_status_t rv;
    apr_pool_t *pool;
    rp_addr_list_t *made;
    int n = 0;

    *list = NULL;
    if (is_path && strlen(host) >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
        return APR_ENAMETOOLONG; /* APR would cut it short */
    }
    if (apr_pool_create_unmanaged(&pool) != APR_SUCCESS) {
        return APR_ENOMEM;
    }
    rv = apr_sockaddr_info_get(&first, host, is_path ? APR_UNIX : APR_UNSPEC, port, 0, pool);
    if (rv != APR_SUCCESS) {
        apr_pool_destroy(pool);
        return rv;
    }
    for (sa = first; sa; sa = sa->next) {
        n++;
    }
    made = apr_pcalloc(pool, sizeof(*made));
    made->pool = pool;
    made->at = apr_palloc(pool, sizeof(*made->at) * (apr_size_t)n);
    atomic_init(&made->refs, 1);
    for (sa = first; sa; sa = sa->next) {
        made->at[made->count++] = sa;
    }
    *list = made;
    return APR_SUCCESS;
}

int rp_addr_count(const rp_addr_list_t *list)
{
    return list->count;
}

const apr_sockaddr_t *rp_addr_at(const rp_addr_list_t *list, int i)
{
    return list->at[i];
}

static bool is_same_address(const apr_sockaddr_t *a, const apr_sockaddr_t *b)
{
    if (a->family != b->family || a->port != b->port) {
        return false;
    }
    if (a->family == APR_UNIX) {
        return strcmp(a->sa.unx.sun_path, b->sa.unx.sun_path) == 0;
    }
    return a->ipaddr_len == b->ipaddr_len
        && memcmp(a->ipaddr_ptr, b->ipaddr_ptr, (size_t)a->ipaddr_len) == 0;
}

bool rp_addr_has(const rp_addr_list_t *list, const apr_sockaddr_t *sa)
{
    int i;

    for (i = 0; i < list->count; i++) {
        if (list->at[i] == sa || is_same_address(list->at[i], sa)) {
            return true;
        }
    }
    return false;
}

bool rp_addr_is_same(const rp_addr_list_t *a, const rp_addr_list_t *b)
{
    int i;

    if (a == b) {
        return true;
    }
    for (i = 0; i < a->count; i++) {
        if (!rp_addr_has(b, a->at[i])) {
            return false;
        }
    }
    for (i = 0; i < b->count; i++) {
        if (!rp_addr_has(a, b->at[i])) {
            return false;
        }
    }
    return true;
}

rp_addr_list_t *rp_addr_hold(rp_addr_list_t *list)
{
    atomic_fetch_add_explicit(&list->refs, 1, memory_order_relaxed);
    return list;
}

void rp_addr_release(rp_addr_list_t **list)
{
    rp_addr_list_t *l = *list;

    *list = NULL;
    if (l && atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) == 1) {
        apr_pool_destroy(l->pool);
    }
}

/* --- the cache ---------------------------------------------------------------------------- */

static const char *get_key(const rp_backend_t *b, apr_port_t *port)
{
    *port = b->uds_path ? 0 : b->port;
    return b->uds_path ? b->uds_path : b->host;
}

static struct entry_bucket *get_cache_bucket(const char *host, apr_port_t port)
{
    apr_ssize_t len = APR_HASH_KEY_STRING;

    return &cache[(apr_hashfunc_default(host, &len) + port) % CACHE_BUCKETS];
}

static entry_t *find_entry_locked(const char *host, apr_port_t port)
{
    entry_t *e;

    LIST_FOREACH(e, get_cache_bucket(host, port), in_bucket) {
        if (e->port == port && strcmp(e->host, host) == 0) {
            return e;
        }
    }
    return NULL;
}

static void release_lookup_locked(lookup_t **lookup)
{
    lookup_t *l = *lookup;

    *lookup = NULL;
    if (--l->refs == 0) {
        rp_offload_job_t *job = l->job;
        rp_offload_drop(&job); /* l lives in its pool */
    }
}

static void forget_locked(entry_t *e)
{
    LIST_REMOVE(e, in_bucket);
    TAILQ_REMOVE(&use_order, e, in_use_order);
    entry_count--;
    rp_addr_release(&e->list);
    if (e->lookup) {
        release_lookup_locked(&e->lookup);
    }
    free(e->host);
    free(e);
}

static bool is_numeric(const char *host)
{
    struct in6_addr any;

    return inet_pton(AF_INET, host, &any) == 1 || inet_pton(AF_INET6, host, &any) == 1;
}

static entry_t *add_entry_locked(const char *host, apr_port_t port, bool is_fixed)
{
    entry_t *e;

    while (entry_count >= ENTRIES_MAX) {
        forget_locked(TAILQ_LAST(&use_order, entry_order));
    }
    e = calloc(1, sizeof(*e));
    if (!e) {
        return NULL;
    }
    e->host = strdup(host);
    if (!e->host) {
        free(e);
        return NULL;
    }
    e->port = port;
    e->is_fixed = is_fixed;
    LIST_INSERT_HEAD(get_cache_bucket(host, port), e, in_bucket);
    TAILQ_INSERT_HEAD(&use_order, e, in_use_order);
    entry_count++;
    return e;
}

static entry_t *find_or_add_locked(const rp_backend_t *b)
{
    apr_port_t port;
    const char *host = get_key(b, &port);
    entry_t *e = find_entry_locked(host, port);

    if (!e) {
        return add_entry_locked(host, port, b->uds_path || is_numeric(host));
    }
    if (e != TAILQ_FIRST(&use_order)) {
        TAILQ_REMOVE(&use_order, e, in_use_order);
        TAILQ_INSERT_HEAD(&use_order, e, in_use_order);
    }
    return e;
}

/* How long an answer holds for this backend; -1: for ever. */
static apr_interval_time_t get_life(const rp_backend_t *b)
{
    if (b->opt.set & RP_OPT_ADDRESS_TTL) {
        return b->opt.address_ttl;
    }
    return b->is_dynamic || b->has_variable_host || !b->opt.reuse ? 0 : -1;
}

static bool is_current(const entry_t *e, const rp_backend_t *b, bool fresh)
{
    apr_interval_time_t life = fresh ? FRESH_ENOUGH : get_life(b);

    if (e->is_fixed || life < 0) {
        return true;
    }
    return apr_time_now() - e->asked_at < life;
}

/* --- asking the resolver ------------------------------------------------------------------ */

static void publish(const lookup_t *l)
{
    entry_t *e;

    pthread_mutex_lock(&cache_lock);
    e = find_entry_locked(l->host, l->port);
    if (e && e->lookup == l) {
        if (l->list) {
            if (e->list && !rp_addr_is_same(e->list, l->list)) {
                atomic_fetch_add(&generation, 1);
            }
            rp_addr_release(&e->list);
            e->list = rp_addr_hold(l->list);
            e->asked_at = apr_time_now();
        }
        release_lookup_locked(&e->lookup);
    }
    pthread_mutex_unlock(&cache_lock);
}

static apr_status_t release_answer(void *lookup)
{
    rp_addr_release(&((lookup_t *)lookup)->list);
    return APR_SUCCESS;
}

/* On a helper thread. */
static void ask_resolver(void *ctx, apr_pool_t *job_pool)
{
    lookup_t *l = ctx;

    (void)job_pool;
    l->status = make_list(&l->list, l->host, l->port, false);
    publish(l);
}

static apr_status_t start_lookup_locked(entry_t *e)
{
    rp_offload_job_t *job;
    apr_pool_t *pool;
    lookup_t *l;
    apr_status_t rv = rp_offload_make(&job);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    pool = rp_offload_pool(job);
    l = apr_pcalloc(pool, sizeof(*l));
    l->job = job;
    l->host = apr_pstrdup(pool, e->host);
    l->port = e->port;
    l->refs = 1;
    apr_pool_cleanup_register(pool, l, release_answer, apr_pool_cleanup_null);
    rp_offload_set_limit(job, &cache_lock, LOOKUPS_AT_A_TIME);
    rv = rp_offload_run(job, ask_resolver, l);
    if (rv != APR_SUCCESS) {
        rp_offload_drop(&job);
        return rv;
    }
    e->lookup = l;
    return APR_SUCCESS;
}

static rp_addr_result_t ask_locked(entry_t *e, rp_addr_query_t **query, apr_status_t *rv)
{
    rp_addr_query_t *q;

    if (!e->lookup) {
        *rv = start_lookup_locked(e);
        if (*rv != APR_SUCCESS) {
            return RP_ADDR_FAIL;
        }
    }
    q = malloc(sizeof(*q));
    if (!q) {
        *rv = APR_ENOMEM;
        return RP_ADDR_FAIL;
    }
    q->lookup = e->lookup;
    q->lookup->refs++;
    *query = q;
    return RP_ADDR_AGAIN;
}

static rp_addr_result_t begin_locked(const rp_backend_t *b, bool fresh, rp_addr_query_t **query,
                                     rp_addr_list_t **list, apr_status_t *rv)
{
    entry_t *e = find_or_add_locked(b);

    if (!e) {
        *rv = APR_ENOMEM;
        return RP_ADDR_FAIL;
    }
    if (!e->list && e->is_fixed) {
        *rv = make_list(&e->list, e->host, e->port, b->uds_path != NULL);
        if (*rv != APR_SUCCESS) {
            return RP_ADDR_FAIL;
        }
    }
    if (!e->list || !is_current(e, b, fresh)) {
        return ask_locked(e, query, rv);
    }
    *list = rp_addr_hold(e->list);
    return RP_ADDR_OK;
}

static rp_addr_result_t end_query(const rp_backend_t *b, rp_addr_query_t **query,
                                  rp_addr_list_t **list, apr_status_t *rv)
{
    const lookup_t *l = (*query)->lookup;
    apr_port_t port;
    const char *host = get_key(b, &port);
    entry_t *e;

    if (l->list) {
        *list = rp_addr_hold(l->list);
    }
    else {
        *rv = l->status;
        pthread_mutex_lock(&cache_lock);
        e = find_entry_locked(host, port);
        if (e && e->list) {
            *list = rp_addr_hold(e->list);
        }
        pthread_mutex_unlock(&cache_lock);
    }
    rp_addr_cancel(query);
    return *list ? RP_ADDR_OK : RP_ADDR_FAIL;
}

rp_addr_result_t rp_addr_get(const rp_backend_t *b, bool fresh, rp_addr_query_t **query,
                             rp_addr_list_t **list, apr_status_t *rv)
{
    rp_addr_result_t result;

    *list = NULL;
    *rv = APR_SUCCESS;
    if (*query) {
        return rp_offload_is_done((*query)->lookup->job) ? end_query(b, query, list, rv) : RP_ADDR_AGAIN;
    }
    pthread_mutex_lock(&cache_lock);
    result = begin_locked(b, fresh, query, list, rv);
    pthread_mutex_unlock(&cache_lock);
    return result;
}

int rp_addr_query_fd(const rp_addr_query_t *query)
{
    return rp_offload_fd(query->lookup->job);
}

void rp_addr_cancel(rp_addr_query_t **query)
{
    rp_addr_query_t *q = *query;

    *query = NULL;
    if (!q) {
        return;
    }
    pthread_mutex_lock(&cache_lock);
    release_lookup_locked(&q->lookup);
    pthread_mutex_unlock(&cache_lock);
    free(q);
}

rp_addr_list_t *rp_addr_find_known(const rp_backend_t *b)
{
    rp_addr_list_t *list = NULL;
    apr_port_t port;
    const char *host = get_key(b, &port);
    entry_t *e;

    pthread_mutex_lock(&cache_lock);
    e = find_entry_locked(host, port);
    if (e && e->list) {
        list = rp_addr_hold(e->list);
        if (get_life(b) > 0 && !e->lookup && !is_current(e, b, false)) {
            (void)start_lookup_locked(e); /* failing, the next one tries again */
        }
    }
    pthread_mutex_unlock(&cache_lock);
    return list;
}

unsigned rp_addr_get_generation(void)
{
    return atomic_load(&generation);
}

static apr_status_t forget_all(void *unused)
{
    entry_t *e, *next;

    (void)unused;
    pthread_mutex_lock(&cache_lock);
    for (e = TAILQ_FIRST(&use_order); e; e = next) {
        next = TAILQ_NEXT(e, in_use_order);
        forget_locked(e);
    }
    pthread_mutex_unlock(&cache_lock);
    return APR_SUCCESS;
}

apr_status_t rp_addr_child_init(apr_pool_t *pchild)
{
    apr_pool_cleanup_register(pchild, NULL, forget_all, apr_pool_cleanup_null);
    return APR_SUCCESS;
}
