#include "rp_manager_int.h"

#include <string.h>

#include "apr_escape.h"

/* The longest form that a page of the manager can send is far shorter. */
#define FORM_MAX 16384

/* What a query may say: settings have to be posted. */
static const char *const in_query[] = {"b", "w", "nonce", "xml", "format", NULL};
/* And beside a posted form: how to answer. */
static const char *const beside_form[] = {"xml", "format", NULL};

static bool is_in(const char *key, const char *const *list)
{
    for (; *list; list++) {
        if (!strcmp(key, *list)) {
            return true;
        }
    }
    return false;
}

static bool is_text(const char *s)
{
    for (; *s; s++) {
        if ((unsigned char)*s < ' ' || *s == 0x7f) {
            return false;
        }
    }
    return true;
}

/* Decoded twice, because scripts send names as they stand in the page's links, encoded once more.
 * A value whose second decoding fails was meant as it is. */
static const char *decode(apr_pool_t *p, const char *text)
{
    const char *once = apr_punescape_url(p, text, NULL, NULL, 1), *twice;

    if (!once || !is_text(once)) {
        return NULL;
    }
    twice = apr_punescape_url(p, once, NULL, NULL, 0);
    return twice && is_text(twice) ? twice : once;
}

/* "key=value&..." into the form; allowed: NULL for any key. False: something cannot be decoded. */
static bool read_pairs(rp_manager_t *m, const char *text, const char *const *allowed)
{
    char *copy = apr_pstrdup(m->r->pool, text), *rest, *pair, *value;
    const char *key;

    for (pair = apr_strtok(copy, "&", &rest); pair; pair = apr_strtok(NULL, "&", &rest)) {
        value = strchr(pair, '=');
        if (value) {
            *value++ = '\0';
        }
        key = decode(m->r->pool, pair);
        if (!key) {
            return false;
        }
        if (!allowed || is_in(key, allowed)) {
            const char *plain = decode(m->r->pool, value ? value : "");

            if (!plain) {
                return false;
            }
            apr_table_setn(m->form, key, plain);
        }
    }
    return true;
}

static int read_body(rp_manager_t *m)
{
    char *body = apr_palloc(m->r->pool, FORM_MAX + 1);
    long got = 0, n = 1;
    int rc = ap_setup_client_block(m->r, REQUEST_CHUNKED_DECHUNK);

    if (rc != OK) {
        return rc;
    }
    if (ap_should_client_block(m->r)) {
        while (got < FORM_MAX && n > 0) {
            n = ap_get_client_block(m->r, body + got, (apr_size_t)(FORM_MAX - got));
            got += n > 0 ? n : 0;
        }
    }
    if (n < 0) {
        return HTTP_BAD_REQUEST;
    }
    if (got >= FORM_MAX) {
        return HTTP_REQUEST_ENTITY_TOO_LARGE;
    }
    body[got] = '\0';
    return memchr(body, '\0', (size_t)got) || !read_pairs(m, body, NULL) ? HTTP_BAD_REQUEST : OK;
}

int rp_manager_read_form(rp_manager_t *m)
{
    const char *query = m->r->args ? m->r->args : "";
    bool is_post = m->r->method_number == M_POST;

    if (!read_pairs(m, query, is_post ? beside_form : in_query)) {
        return HTTP_BAD_REQUEST;
    }
    return is_post ? read_body(m) : OK;
}
