#include "rp_conn_int.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <openssl/crypto.h>

#include "apr_hash.h"
#include "apr_strings.h"

/* Sessions that a child keeps, one a key; the one not used for longest goes. */
#define SESSIONS_MAX 256
#define BUCKETS 64
/* A session holds the backend's certificate and its ticket, which may hold ours. */
#define SESSION_BYTES_MAX 16384
/* The chain behind a certificate is verified in a full handshake only. Each resumed one brings a new
 * ticket, so without a limit of ours that would be once (RFC 8446 4.6.1 allows for seven days). */
#define VERIFIED_FOR apr_time_from_sec(3600)

/* As bytes: what OpenSSL keeps in an SSL_SESSION may change while a connection uses it. */
typedef struct session_t {
    LIST_ENTRY(session_t) in_bucket;
    TAILQ_ENTRY(session_t) in_order;
    char *key;
    unsigned char *bytes;
    size_t len;
    apr_time_t verified; /* when the handshake was that verified the certificate */
    apr_time_t until;
} session_t;

LIST_HEAD(bucket, session_t);
TAILQ_HEAD(order, session_t);

/* Protects everything below it. Nothing of OpenSSL's is called under it. */
static pthread_mutex_t session_lock = PTHREAD_MUTEX_INITIALIZER;
static struct bucket buckets[BUCKETS];
static struct order order = TAILQ_HEAD_INITIALIZER(order); /* the one last used first */
static int session_count;

static struct bucket *get_bucket(const char *key)
{
    apr_ssize_t len = APR_HASH_KEY_STRING;

    return &buckets[apr_hashfunc_default(key, &len) % BUCKETS];
}

static session_t *find_locked(const char *key)
{
    session_t *s;

    LIST_FOREACH(s, get_bucket(key), in_bucket) {
        if (strcmp(s->key, key) == 0) {
            return s;
        }
    }
    return NULL;
}

static void unlink_locked(session_t *s)
{
    LIST_REMOVE(s, in_bucket);
    TAILQ_REMOVE(&order, s, in_order);
    session_count--;
}

static void link_locked(session_t *s)
{
    LIST_INSERT_HEAD(get_bucket(s->key), s, in_bucket);
    TAILQ_INSERT_HEAD(&order, s, in_order);
    session_count++;
}

static void free_session(session_t *s)
{
    if (s) {
        OPENSSL_cleanse(s->bytes, s->len); /* keys */
        free(s->bytes);
        free(s->key);
        free(s);
    }
}

static session_t *take_locked(const char *key)
{
    session_t *s = find_locked(key);

    if (s) {
        unlink_locked(s);
    }
    return s;
}

/* How long the backend says that it may be resumed; seconds. */
static long get_lifetime(const SSL_SESSION *ssl_session)
{
    unsigned long hint = SSL_SESSION_get_ticket_lifetime_hint(ssl_session);

    return hint > 0 ? (long)(hint < 604800 ? hint : 604800) : SSL_SESSION_get_timeout(ssl_session);
}

static session_t *make_session(const char *key, SSL_SESSION *ssl_session, apr_time_t verified)
{
    int len = i2d_SSL_SESSION(ssl_session, NULL);
    apr_time_t until = apr_time_now() + apr_time_from_sec(get_lifetime(ssl_session));
    unsigned char *end;
    session_t *s;

    if (len <= 0 || len > SESSION_BYTES_MAX) {
        return NULL;
    }
    s = ap_calloc(1, sizeof(*s));
    s->key = strdup(key);
    s->bytes = end = ap_malloc((size_t)len);
    if (!s->key) {
        ap_abort_on_oom();
    }
    s->len = (size_t)i2d_SSL_SESSION(ssl_session, &end);
    s->verified = verified;
    s->until = until < verified + VERIFIED_FOR ? until : verified + VERIFIED_FOR;
    return s;
}

void rp_session_keep(const char *key, SSL_SESSION *ssl_session, apr_time_t verified)
{
    session_t *s, *old, *oldest = NULL;

    if (!SSL_SESSION_is_resumable(ssl_session)) {
        return;
    }
    s = make_session(key, ssl_session, verified);
    if (!s) {
        return;
    }
    pthread_mutex_lock(&session_lock);
    old = take_locked(key);
    if (session_count >= SESSIONS_MAX) {
        oldest = TAILQ_LAST(&order, order);
        unlink_locked(oldest);
    }
    link_locked(s);
    pthread_mutex_unlock(&session_lock);
    free_session(old);
    free_session(oldest);
}

void rp_session_forget(const char *key)
{
    session_t *s;

    pthread_mutex_lock(&session_lock);
    s = take_locked(key);
    pthread_mutex_unlock(&session_lock);
    free_session(s);
}

/* A copy of its bytes, and when its certificate was verified. */
static unsigned char *copy_bytes(const char *key, size_t *len, apr_time_t *verified)
{
    apr_time_t now = apr_time_now();
    unsigned char *bytes = NULL;
    session_t *s, *dead = NULL;

    pthread_mutex_lock(&session_lock);
    s = take_locked(key);
    if (s && s->until <= now) {
        dead = s;
    }
    else if (s) {
        link_locked(s);
        bytes = ap_malloc(s->len);
        memcpy(bytes, s->bytes, s->len);
        *len = s->len;
        *verified = s->verified;
    }
    pthread_mutex_unlock(&session_lock);
    free_session(dead);
    return bytes;
}

SSL_SESSION *rp_session_find(const char *key, apr_time_t *verified)
{
    size_t len = 0;
    unsigned char *bytes = copy_bytes(key, &len, verified);
    const unsigned char *at = bytes;
    SSL_SESSION *ssl_session;

    if (!bytes) {
        return NULL;
    }
    ssl_session = d2i_SSL_SESSION(NULL, &at, (long)len);
    OPENSSL_cleanse(bytes, len);
    free(bytes);
    return ssl_session;
}

static apr_status_t forget_all(void *unused)
{
    session_t *s = TAILQ_FIRST(&order), *next;

    (void)unused;
    for (; s; s = next) {
        next = TAILQ_NEXT(s, in_order);
        free_session(s);
    }
    TAILQ_INIT(&order);
    memset(buckets, 0, sizeof(buckets));
    session_count = 0;
    return APR_SUCCESS;
}

void rp_session_child_init(apr_pool_t *pchild)
{
    apr_pool_cleanup_register(pchild, NULL, forget_all, apr_pool_cleanup_null);
}
