#include "rp_pool_int.h"

#include <pthread.h>
#include <string.h>
#include <sys/queue.h>

#include "apr_hash.h"
#include "apr_strings.h"

/* Hosts of such targets may come from the client, each costs some KB and its idle connections
 * descriptors: more than any honest set of hosts, less than would hurt. */
#define DYNAMIC_MAX 1024
#define DYNAMIC_BUCKETS 256

/* A backend made at run time. backend is its first member: rp_pool_get_dynamic leads back. */
typedef struct dynamic_t {
    rp_backend_t backend;
    apr_pool_t *memory;
    rp_pool_t *pool;
    int refs;                       /* exchanges; 0: in unused */
    LIST_ENTRY(dynamic_t) in_bucket;
    TAILQ_ENTRY(dynamic_t) in_unused;
} dynamic_t;

LIST_HEAD(dynamic_bucket, dynamic_t);
TAILQ_HEAD(dynamic_list, dynamic_t);

/* Protects everything here. Taken before the registry's lock. */
static pthread_mutex_t dynamic_lock = PTHREAD_MUTEX_INITIALIZER;
static struct dynamic_bucket dynamic_buckets[DYNAMIC_BUCKETS];
static struct dynamic_list unused = TAILQ_HEAD_INITIALIZER(unused); /* dropped longest ago first */
static int dynamic_count;

/* All of them: a route keeps its own options, whatever they are for. */
static bool is_same_options(const rp_options_t *a, const rp_options_t *b)
{
    return a->set == b->set && rp_pool_is_same_kind(a, b) && a->retry == b->retry && a->ping == b->ping
        && a->io_buffer == b->io_buffer && a->field_size == b->field_size
        && a->loadfactor == b->loadfactor && a->lbset == b->lbset
        && a->status_set == b->status_set && a->status_clear == b->status_clear
        && rp_pool_is_same_text(a->route, b->route) && rp_pool_is_same_text(a->redirect, b->redirect)
        && rp_pool_is_same_text(a->upgrade, b->upgrade);
}

static bool is_same_backend(const rp_backend_t *a, const rp_backend_t *b)
{
    return a->server == b->server && a->port == b->port && strcmp(a->host, b->host) == 0
        && strcmp(a->scheme, b->scheme) == 0 && rp_pool_is_same_text(a->uds_path, b->uds_path)
        && is_same_options(&a->opt, &b->opt);
}

static struct dynamic_bucket *get_dynamic_bucket(const rp_backend_t *b)
{
    apr_ssize_t len = APR_HASH_KEY_STRING;

    return &dynamic_buckets[(apr_hashfunc_default(b->host, &len) + b->port) % DYNAMIC_BUCKETS];
}

static const char *format_name(apr_pool_t *p, const rp_backend_t *b)
{
    const char *open = strchr(b->host, ':') ? "[" : "";
    const char *close = *open ? "]" : "";

    if (b->port == (b->is_tls ? 443 : 80)) {
        return apr_pstrcat(p, b->scheme, "://", open, b->host, close, NULL);
    }
    return apr_psprintf(p, "%s://%s%s%s:%hu", b->scheme, open, b->host, close, b->port);
}

/* model: what to find, with borrowed strings. */
static dynamic_t *add_dynamic_locked(const rp_backend_t *model)
{
    apr_pool_t *p;
    dynamic_t *d;

    if (apr_pool_create_unmanaged(&p) != APR_SUCCESS) {
        ap_abort_on_oom();
    }
    apr_pool_tag(p, "rp_pool_dynamic");
    d = apr_pcalloc(p, sizeof(*d));
    d->memory = p;
    d->backend = *model;
    d->backend.scheme = apr_pstrdup(p, model->scheme);
    d->backend.host = apr_pstrdup(p, model->host);
    d->backend.uds_path = apr_pstrdup(p, model->uds_path);
    d->backend.name = format_name(p, model);
    d->pool = rp_pool_hold(&d->backend);
    LIST_INSERT_HEAD(get_dynamic_bucket(model), d, in_bucket);
    dynamic_count++;
    return d;
}

static dynamic_t *find_dynamic_locked(const rp_backend_t *model)
{
    dynamic_t *d;

    LIST_FOREACH(d, get_dynamic_bucket(model), in_bucket) {
        if (is_same_backend(&d->backend, model)) {
            return d;
        }
    }
    return NULL;
}

static void unlink_dynamic_locked(dynamic_t *d)
{
    TAILQ_REMOVE(&unused, d, in_unused);
    LIST_REMOVE(d, in_bucket);
    dynamic_count--;
}

static void destroy(dynamic_t *d)
{
    rp_pool_release(&d->pool);
    apr_pool_destroy(d->memory);
}

static dynamic_t *hold_locked(const rp_backend_t *model, dynamic_t **evicted)
{
    dynamic_t *d = find_dynamic_locked(model);

    if (d && d->refs == 0) {
        TAILQ_REMOVE(&unused, d, in_unused);
    }
    if (!d) {
        if (dynamic_count >= DYNAMIC_MAX) {
            *evicted = TAILQ_FIRST(&unused);
            if (!*evicted) {
                return NULL;
            }
            unlink_dynamic_locked(*evicted);
        }
        d = add_dynamic_locked(model);
    }
    d->refs++;
    return d;
}

rp_backend_t *rp_pool_hold_dynamic(server_rec *s, const char *scheme, const char *host, apr_port_t port,
                                   const char *uds_path, const rp_options_t *opt)
{
    dynamic_t *d, *evicted = NULL;
    rp_backend_t model;

    memset(&model, 0, sizeof(model));
    model.scheme = scheme;
    model.host = host;
    model.port = port;
    model.path = "";
    model.uds_path = uds_path;
    model.is_tls = strcmp(scheme, "https") == 0 || strcmp(scheme, "wss") == 0;
    model.is_dynamic = true;
    model.server = s;
    model.id = -1;
    model.slot = -1;
    if (opt) {
        model.opt = *opt;
    }
    else {
        rp_conf_init_options(&model.opt);
    }
    pthread_mutex_lock(&dynamic_lock);
    d = hold_locked(&model, &evicted);
    pthread_mutex_unlock(&dynamic_lock);
    if (evicted) {
        destroy(evicted);
    }
    return d ? &d->backend : NULL;
}

void rp_pool_drop_dynamic(rp_backend_t **b)
{
    dynamic_t *d = (dynamic_t *)*b;

    *b = NULL;
    if (!d) {
        return;
    }
    pthread_mutex_lock(&dynamic_lock);
    if (--d->refs == 0) {
        TAILQ_INSERT_TAIL(&unused, d, in_unused);
    }
    pthread_mutex_unlock(&dynamic_lock);
}

rp_pool_t *rp_pool_get_dynamic(const rp_backend_t *b)
{
    return ((const dynamic_t *)b)->pool; /* constant while held */
}

int rp_pool_count_dynamic(void)
{
    int n;

    pthread_mutex_lock(&dynamic_lock);
    n = dynamic_count;
    pthread_mutex_unlock(&dynamic_lock);
    return n;
}

void rp_pool_forget_dynamic(void)
{
    dynamic_t *d;

    pthread_mutex_lock(&dynamic_lock);
    while ((d = TAILQ_FIRST(&unused))) {
        unlink_dynamic_locked(d);
        pthread_mutex_unlock(&dynamic_lock);
        destroy(d);
        pthread_mutex_lock(&dynamic_lock);
    }
    pthread_mutex_unlock(&dynamic_lock);
}
