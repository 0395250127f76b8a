#include "rp_lb_int.h"

#include <string.h>

#include "apr_escape.h"
#include "apr_lib.h"
#include "apr_siphash.h"
#include "apr_strings.h"
#include "http_protocol.h"

extern module AP_MODULE_DECLARE_DATA revproxy_module;
APLOG_USE_MODULE(revproxy);

/* ---- where ids are ---- */

/* The value behind "name=", anywhere in the URL, as mod_proxy looks for it; NULL: none. */
static const char *find_parameter(const rp_lb_t *lb, const char *name)
{
    const char *ends = lb->group->opt.scolon_ends ? ";?&" : "?&";
    size_t n = strlen(name);
    const char *at;

    for (at = n ? strstr(lb->url, name) : NULL; at; at = strstr(at + 1, name)) {
        if (at[n] == '=' && at[n + 1]) {
            at += n + 1;
            at += strspn(at, ends);
            return *at ? apr_pstrmemdup(lb->r->pool, at, strcspn(at, ends)) : NULL;
        }
    }
    return NULL;
}

static bool begins_cookie(const char *all, const char *at)
{
    return at == all || at[-1] == ';' || at[-1] == ',' || apr_isspace(at[-1]);
}

/* The value of a cookie, to ';' or ','; NULL: none. */
static const char *find_cookie(const rp_lb_t *lb, const char *name)
{
    const char *all = apr_table_get(lb->r->headers_in, "Cookie");
    size_t n = strlen(name);
    const char *at, *value;

    for (at = all && n ? strstr(all, name) : NULL; at; at = strstr(at + 1, name)) {
        if (!begins_cookie(all, at)) {
            continue;
        }
        for (value = at + n; apr_isspace(*value); value++) {
        }
        if (value[0] == '=' && value[1]) {
            value++;
            return apr_pstrmemdup(lb->r->pool, value, strcspn(value, ";,"));
        }
    }
    return NULL;
}

static void read_id(rp_lb_t *lb)
{
    const char *id = find_parameter(lb, lb->set->sticky_path);
    const char *name = lb->set->sticky_path;
    char separator = lb->group->opt.separator;

    if (!id) {
        id = find_cookie(lb, lb->set->sticky);
        name = lb->set->sticky;
    }
    /* The route is what is behind the first separator. */
    if (id && separator) {
        id = strchr(id, separator);
        id = id ? id + 1 : NULL;
    }
    lb->session = id;
    lb->session_name = id ? name : NULL;
}

/* ---- whose they are ---- */

static bool has_text(const rp_backend_t *member, rp_shm_text_t which, const char *text)
{
    char own[RP_SHM_TEXT];

    rp_shm_get_text(member, which, own);
    return own[0] && !strcmp(own, text);
}

static bool is_usable(rp_lb_t *lb, int i)
{
    return !lb->tried[i] && rp_lb_get_use(lb, rp_lb_member(lb, i)) != RP_LB_NO;
}

static int find_route(rp_lb_t *lb, const char *route, int depth);

/* Member i if it is usable, or one that it redirects to; -1: none. */
static int find_member(rp_lb_t *lb, int i, int depth)
{
    char redirect[RP_SHM_TEXT];

    if (is_usable(lb, i)) {
        return i;
    }
    rp_shm_get_text(rp_lb_member(lb, i), RP_SHM_REDIRECT, redirect);
    return redirect[0] && depth > 0 ? find_route(lb, redirect, depth - 1) : -1;
}

/* Index of a usable member with this route, or with that of its redirect; standbys last.
 * depth: how many redirects may follow. */
static int find_route(rp_lb_t *lb, const char *route, int depth)
{
    int i, found, n = lb->count;
    unsigned pass;

    for (i = 0; i < 2 * n; i++) {
        const rp_backend_t *member = rp_lb_member(lb, i % n);

        pass = i < n ? 0 : RP_STATUS_STANDBY;
        if (((unsigned)rp_shm_get(member, RP_SHM_STATUS) & RP_STATUS_STANDBY) != pass ||
            !has_text(member, RP_SHM_ROUTE, route)) {
            continue;
        }
        found = find_member(lb, i % n, depth);
        if (found >= 0) {
            return found;
        }
    }
    return -1;
}

static int find_own(rp_lb_t *lb)
{
    int i;

    if (!lb->own_session) {
        return -1;
    }
    for (i = 0; i < lb->count && rp_lb_member(lb, i) != lb->own_session; i++) {
    }
    return i < lb->count ? find_member(lb, i, lb->count - 1) : -1;
}

static int find_session(rp_lb_t *lb)
{
    int found = find_own(lb);

    return found < 0 && lb->session && *lb->session ? find_route(lb, lb->session, lb->count - 1) : found;
}

/* Is it the member that the session names, not one of a redirect? */
static bool is_of_session(const rp_lb_t *lb, const rp_backend_t *member)
{
    return member == lb->own_session || (lb->session && has_text(member, RP_SHM_ROUTE, lb->session));
}

int rp_lb_find_session(rp_lb_t *lb)
{
    int found;

    do {
        found = find_session(lb);
    } while (found >= 0 && !rp_lb_take_up(lb, found));
    if (found >= 0 && !is_of_session(lb, rp_lb_member(lb, found))) {
        rp_lb_note_changed(lb);
    }
    return found;
}

bool rp_lb_may_find_session(rp_lb_t *lb)
{
    return find_session(lb) >= 0;
}

bool rp_lb_knows_session(const rp_lb_t *lb)
{
    int i;

    for (i = 0; lb->session && i < lb->count; i++) {
        if (has_text(rp_lb_member(lb, i), RP_SHM_ROUTE, lb->session)) {
            return true;
        }
    }
    return lb->own_session != NULL;
}

/* ---- our own cookie ---- */

/* Any text to a key: the cookie's value must not tell the members' names, and nobody shall make
 * one for a member that he was not given. */
static void make_key(const rp_group_t *group, unsigned char key[APR_SIPHASH_KSIZE])
{
    static const unsigned char fixed[2][APR_SIPHASH_KSIZE] = {"stickysecret: 1", "stickysecret: 2"};
    const char *text = group->opt.sticky_secret;

    if (!text) {
        memcpy(key, rp_shm_get_secret(), APR_SIPHASH_KSIZE);
        return;
    }
    apr_siphash48_auth(key, text, strlen(text), fixed[0]);
    apr_siphash48_auth(key + APR_SIPHASH_DSIZE, text, strlen(text), fixed[1]);
}

static const char *make_token(apr_pool_t *p, const unsigned char key[APR_SIPHASH_KSIZE], const rp_group_t *group,
                              const rp_backend_t *member)
{
    unsigned char mac[2 * APR_SIPHASH_DSIZE];
    const char *name = apr_pstrcat(p, "1|", group->name, "|", member->name, "|",
                                   member->uds_path ? member->uds_path : "", NULL);
    char *other = apr_pstrdup(p, name);

    other[0] = '2';
    apr_siphash48_auth(mac, name, strlen(name), key);
    apr_siphash48_auth(mac + APR_SIPHASH_DSIZE, other, strlen(other), key);
    return apr_pescape_hex(p, mac, sizeof(mac), 0);
}

const char *const *rp_lb_make_tokens(apr_pool_t *p, const rp_group_t *group)
{
    const rp_roster_t *roster = group->roster;
    const char **tokens = apr_pcalloc(p, ((apr_size_t)roster->configured + 1) * sizeof(*tokens));
    unsigned char key[APR_SIPHASH_KSIZE];
    int i;

    make_key(group, key);
    for (i = 0; i < roster->configured; i++) {
        tokens[i] = make_token(p, key, group, roster->members[i]);
    }
    return tokens;
}

/* Of member i; one that was added at run time has none in store. */
static const char *get_token(const rp_lb_t *lb, int i)
{
    unsigned char key[APR_SIPHASH_KSIZE];

    if (i < lb->group->roster->configured) {
        return lb->group->tokens[i];
    }
    make_key(lb->group, key);
    return make_token(lb->r->pool, key, lb->group, rp_lb_member(lb, i));
}

static void read_own_cookie(rp_lb_t *lb)
{
    const char *value = find_cookie(lb, lb->group->opt.sticky_cookie);
    int i;

    for (i = 0; value && i < lb->count; i++) {
        if (!strcmp(value, get_token(lb, i))) {
            lb->own_session = rp_lb_member(lb, i);
        }
    }
}

void rp_lb_read_session(rp_lb_t *lb)
{
    if (*lb->set->sticky) {
        read_id(lb);
    }
    if (lb->group->opt.sticky_cookie) {
        read_own_cookie(lb);
    }
}

void rp_lb_set_cookie(rp_lb_t *lb)
{
    bool is_tls = !strcmp(ap_run_http_scheme(lb->r), "https");
    int i;

    for (i = 0; i < lb->count; i++) {
        if (rp_lb_member(lb, i) == lb->member) {
            apr_table_addn(lb->r->headers_out, "Set-Cookie",
                           apr_pstrcat(lb->r->pool, lb->group->opt.sticky_cookie, "=", get_token(lb, i),
                                       "; Path=/; HttpOnly; SameSite=Lax", is_tls ? "; Secure" : "", NULL));
        }
    }
}
