#include "rp_conn_int.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "apr_optional_hooks.h"
#include "apr_strings.h"
#include "http_connection.h"

/* mod_ssl_openssl.h, which Debian has in a package of its own. */
#define SSL_DECLARE(type) type
APR_DECLARE_EXTERNAL_HOOK(ssl, SSL, int, init_server,
                          (server_rec * s, apr_pool_t *p, int is_proxy, SSL_CTX *ctx))
APR_DECLARE_EXTERNAL_HOOK(ssl, SSL, int, pre_handshake, (conn_rec * c, SSL *ssl, int is_proxy))

struct rp_ssl_t {
    const char *key;     /* of the sessions; NULL: none is resumed or kept */
    SSL_SESSION *fresh;  /* came before the certificate was checked */
    apr_time_t verified; /* when the handshake was that verified the certificate */
    X509 *cert;          /* the backend's, in and after a handshake that failed after it came */
    long verify_result;
    const char *reason;  /* OpenSSL's word for what went wrong; constant text */
    const char *alert;   /* the backend's fatal alert; constant text */
    bool is_watched;     /* OpenSSL tells us */
    bool is_resumed;
    bool is_over;        /* the handshake, checks included */
    bool is_closed;      /* the backend has said that it sends no more */
};

/* Which connections are ours, and where their rp_ssl_t is. */
#define POOL_KEY "rp_conn_ssl"

static rp_ssl_t *find_ssl(const conn_rec *c)
{
    void *found = NULL;

    (void)apr_pool_userdata_get(&found, POOL_KEY, c->pool);
    return found;
}

static rp_ssl_t *find_ssl_of(const SSL *ssl)
{
    const conn_rec *c = SSL_get_app_data(ssl);

    return c ? find_ssl(c) : NULL;
}

/* --- what OpenSSL tells ------------------------------------------------------------------- */

/* What was wrong with the certificate, also where mod_ssl has the last word on it: it makes -1 of a
 * list that has expired (for another alert), and refuses a chain that is too long without an error,
 * which OpenSSL has to call something. */
static long get_verify_result(const SSL *ssl)
{
    long result = SSL_get_verify_result(ssl);

    /* Also set where a bad certificate does not matter (SSLProxyVerify none). */
    if (!(SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER)) {
        return X509_V_OK;
    }
    return result == -1 ? X509_V_ERR_CRL_HAS_EXPIRED
           : result == X509_V_ERR_UNSPECIFIED ? X509_V_ERR_CERT_CHAIN_TOO_LONG : result;
}

static void note_failure(rp_ssl_t *w, const SSL *ssl)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());

    w->verify_result = get_verify_result(ssl);
    w->reason = reason ? reason : w->reason;
}

static void note_success(rp_ssl_t *w, const SSL *ssl)
{
    w->is_resumed = SSL_session_reused(ssl);
    if (!w->is_resumed) {
        w->verified = apr_time_now();
    }
    if (!w->cert) {
        w->cert = SSL_get_peer_certificate(ssl);
    }
}

/* OpenSSL 3.0 has no words for those of TLS 1.3 (RFC 8446 6). */
static const char *get_alert_text(int alert)
{
    switch (alert & 0xff) {
    case SSL_AD_MISSING_EXTENSION:
        return "missing extension";
    case SSL_AD_CERTIFICATE_REQUIRED:
        return "certificate required";
    default:
        return SSL_alert_desc_string_long(alert);
    }
}

static void note_state(const SSL *ssl, int where, int ret)
{
    void (*others)(const SSL *, int, int) = SSL_CTX_get_info_callback(SSL_get_SSL_CTX(ssl));
    rp_ssl_t *w = find_ssl_of(ssl);

    if (others) {
        others(ssl, where, ret);
    }
    if (!w) {
        return;
    }
    if (where == SSL_CB_READ_ALERT && ret >> 8 == SSL3_AL_FATAL) {
        w->alert = get_alert_text(ret);
    }
    else if (where == SSL_CB_READ_ALERT && (ret & 0xff) == SSL_AD_CLOSE_NOTIFY) {
        w->is_closed = true;
    }
    else if (where == SSL_CB_CONNECT_EXIT && ret <= 0 && !w->is_over) {
        note_failure(w, ssl);
    }
    else if (where == SSL_CB_HANDSHAKE_DONE && !w->is_over) {
        note_success(w, ssl);
    }
}

/* A session may be resumed now: with TLS 1.2 at the end of the handshake, with 1.3 when its ticket is
 * read, at any time after it. Returns 0: the reference is not kept. */
static int take_session(SSL *ssl, SSL_SESSION *session)
{
    rp_ssl_t *w = find_ssl_of(ssl);

    if (!w || !w->key) {
        return 0;
    }
    if (w->is_over) {
        rp_session_keep(w->key, session, w->verified);
        return 0;
    }
    SSL_SESSION_free(w->fresh);
    w->fresh = session;
    return 1;
}

/* mod_ssl has made the context of a server or a <Proxy> section. */
static int init_context(server_rec *s, apr_pool_t *p, int is_proxy, SSL_CTX *ctx)
{
    (void)s;
    (void)p;
    if (is_proxy) {
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(ctx, take_session);
    }
    return OK;
}

static void offer_session(const rp_ssl_t *w, SSL *ssl, apr_time_t *verified)
{
    SSL_SESSION *session = w->key ? rp_session_find(w->key, verified) : NULL;

    if (session) {
        (void)SSL_set_session(ssl, session); /* one that does not fit is not offered */
        SSL_SESSION_free(session);
    }
}

/* mod_ssl has made the connection's SSL. */
static int watch_handshake(conn_rec *c, SSL *ssl, int is_proxy)
{
    rp_ssl_t *w = is_proxy ? find_ssl(c) : NULL;

    if (!w) {
        return DECLINED;
    }
    SSL_set_info_callback(ssl, note_state);
    w->is_watched = true;
    offer_session(w, ssl, &w->verified);
    return OK;
}

void rp_conn_register_hooks(void)
{
    APR_OPTIONAL_HOOK(ssl, init_server, init_context, NULL, NULL, APR_HOOK_MIDDLE);
    APR_OPTIONAL_HOOK(ssl, pre_handshake, watch_handshake, NULL, NULL, APR_HOOK_MIDDLE);
}

/* --- one connection ----------------------------------------------------------------------- */

static const char *format_key(apr_pool_t *p, const rp_conn_want_t *want)
{
    const rp_backend_t *b = want->backend;

    /* Whatever a pooled connection has to match (rp_conn_matches), and the backend. */
    return apr_psprintf(p, "%pp|%s|%s|%s|%s:%u", (const void *)want->server,
                        want->tls_identity ? want->tls_identity : "", want->tls_name ? want->tls_name : "",
                        b->uds_path ? b->uds_path : "", b->host, b->port);
}

static apr_status_t free_ssl(void *ctx)
{
    rp_ssl_t *w = ctx;

    SSL_SESSION_free(w->fresh);
    X509_free(w->cert);
    w->fresh = NULL;
    w->cert = NULL;
    w->key = NULL;
    return APR_SUCCESS;
}

rp_ssl_t *rp_ssl_make(const conn_rec *c, const rp_conn_want_t *want)
{
    rp_ssl_t *w = apr_pcalloc(c->pool, sizeof(*w));

    w->key = want->resumes ? format_key(c->pool, want) : NULL;
    (void)apr_pool_userdata_setn(w, POOL_KEY, NULL, c->pool);
    apr_pool_cleanup_register(c->pool, w, free_ssl, apr_pool_cleanup_null);
    return w;
}

bool rp_ssl_is_resumed(const rp_ssl_t *w)
{
    return w->is_resumed;
}

const char *rp_ssl_get_alert(const rp_ssl_t *w)
{
    return w->alert;
}

bool rp_ssl_is_open(const rp_ssl_t *w)
{
    return w->is_watched && !w->is_closed;
}

void rp_ssl_end_handshake(rp_ssl_t *w, bool is_good)
{
    w->is_over = true;
    if (!is_good) {
        /* It may have been what the backend could not take. */
        if (w->key) {
            rp_session_forget(w->key);
        }
        return;
    }
    if (w->fresh) {
        rp_session_keep(w->key, w->fresh, w->verified);
    }
    SSL_SESSION_free(w->fresh);
    X509_free(w->cert);
    w->fresh = NULL;
    w->cert = NULL;
}

/* --- why a handshake failed --------------------------------------------------------------- */

static const char *get_verdict(long result)
{
    switch (result) {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        return "of an unknown CA";
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        return "self-signed";
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return "expired";
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return "not yet valid";
    case X509_V_ERR_CERT_REVOKED:
        return "revoked";
    case X509_V_ERR_CERT_CHAIN_TOO_LONG:
        return "deeper than SSLProxyVerifyDepth allows";
    default:
        return "not accepted";
    }
}

static const char *format_date(apr_pool_t *p, const ASN1_TIME *date)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char text[40];
    int n = bio && ASN1_TIME_print(bio, date) ? BIO_read(bio, text, sizeof(text)) : 0;

    BIO_free(bio);
    return apr_pstrndup(p, text, n > 0 ? (apr_size_t)n : 0);
}

/* The subject's CN; "" without one. */
static const char *get_cn(apr_pool_t *p, const X509 *cert)
{
    char cn[65]; /* X.520: 64 characters at most */
    int n = X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, cn, sizeof(cn));

    return n > 0 ? apr_pstrdup(p, cn) : "";
}

/* "app.test, *.app.test": for whom a certificate is; hostile bytes are escaped by the log. */
static const char *format_names(apr_pool_t *p, const X509 *cert)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    const char *names = "";
    int i;

    for (i = 0; i < sk_GENERAL_NAME_num(all) && strlen(names) < 100; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);

        if (name->type == GEN_DNS) {
            names = apr_psprintf(p, "%s%s%.*s", names, *names ? ", " : "", ASN1_STRING_length(name->d.dNSName),
                                 (const char *)ASN1_STRING_get0_data(name->d.dNSName));
        }
    }
    GENERAL_NAMES_free(all);
    if (!*names) {
        names = get_cn(p, cert);
    }
    return *names ? names : "no name";
}

/* As mod_ssl: DNS names count, also where the target is an address. */
static bool is_for(X509 *cert, const char *name)
{
    return X509_check_host(cert, name, 0, 0, NULL) == 1;
}

/* As mod_ssl with SSLProxyCheckPeerCN and without SSLProxyCheckPeerName. */
static bool is_cn_for(const char *cn, const char *name)
{
    const char *domain = strchr(name, '.');

    return ap_cstr_casecmp(cn, name) == 0
           || (domain && strncmp(cn, "*.", 2) == 0 && ap_cstr_casecmp(cn + 1, domain) == 0);
}

/* For a certificate that is for this name. */
static const char *explain_cn(apr_pool_t *p, const X509 *cert, const char *name)
{
    const char *cn = get_cn(p, cert);

    if (!name || is_cn_for(cn, name)) {
        return "certificate was not accepted";
    }
    return apr_psprintf(p, "certificate has the CN %s, not %s (SSLProxyCheckPeerCN)", cn, name);
}

/* "expired on DATE", or NULL. */
static const char *explain_dates(apr_pool_t *p, const X509 *cert)
{
    if (X509_cmp_current_time(X509_get0_notAfter(cert)) <= 0) {
        return apr_pstrcat(p, "expired on ", format_date(p, X509_get0_notAfter(cert)), NULL);
    }
    if (X509_cmp_current_time(X509_get0_notBefore(cert)) >= 0) {
        return apr_pstrcat(p, "is not valid before ", format_date(p, X509_get0_notBefore(cert)), NULL);
    }
    return NULL;
}

/* The handshake went well, but not mod_ssl's checks after it. Which of them are on is known to
 * mod_ssl only, so all that is wrong is said. */
static const char *explain_checks(apr_pool_t *p, X509 *cert, const char *name)
{
    const char *dates = explain_dates(p, cert);
    const char *names = name && !is_for(cert, name)
                            ? apr_psprintf(p, "is for %s, not for %s", format_names(p, cert), name) : NULL;

    if (!dates && !names) {
        return explain_cn(p, cert, name);
    }
    return apr_pstrcat(p, "certificate ", dates ? dates : "", dates && names ? ", and " : "", names, NULL);
}

const char *rp_conn_find_dead_cert(apr_pool_t *p, const char *pem, bool *has_valid)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    const char *dead = NULL;
    X509 *cert;

    *has_valid = false;
    while (bio && (cert = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL)) != NULL) {
        const char *dates = explain_dates(p, cert);

        *has_valid |= !dates;
        if (dates && !dead) {
            dead = apr_psprintf(p, "the certificate of %s %s", format_names(p, cert), dates);
        }
        X509_free(cert);
    }
    BIO_free(bio);
    ERR_clear_error(); /* the end of the text is one */
    return dead;
}

const char *rp_ssl_explain(apr_pool_t *p, const rp_ssl_t *w, const char *name)
{
    if (w->verify_result != X509_V_OK) {
        return apr_psprintf(p, "certificate is %s: %s", get_verdict(w->verify_result),
                            X509_verify_cert_error_string(w->verify_result));
    }
    if (w->cert) {
        return explain_checks(p, w->cert, name);
    }
    if (w->alert) {
        return apr_psprintf(p, "backend sent the alert \"%s\"", w->alert);
    }
    if (w->reason) {
        return apr_psprintf(p, "%s%s", w->reason,
                            strcmp(w->reason, "wrong version number") == 0 ? " (what came is not TLS)" : "");
    }
    return "backend closed the connection in the handshake";
}
