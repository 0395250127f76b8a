#include "rp_reverse.h"

#include "apr_strings.h"
#include "http_core.h"

#include "rp_uri.h"
#include "rp_conf_member.h"

#define GROUP_PREFIX "balancer://"
#define GROUP_PREFIX_LEN (sizeof(GROUP_PREFIX) - 1)

static rp_span_t span_of(const char *text)
{
    rp_span_t span = {text, strlen(text)};

    return span;
}

/* rp_uri_reverse or rp_uri_reverse_member (where sub is not NULL); NULL: no match. */
static char *map_with(apr_pool_t *p, const char *value, const rp_uri_map_t *map, const char *sub)
{
    rp_span_t v = span_of(value);
    ptrdiff_t n = sub ? rp_uri_reverse_member(NULL, 0, v, map, sub) : rp_uri_reverse(NULL, 0, v, map);
    char *out;

    if (n < 0) {
        return NULL;
    }
    out = apr_palloc(p, (apr_size_t)n + 1);
    if (sub) {
        rp_uri_reverse_member(out, (apr_size_t)n + 1, v, map, sub);
    }
    else {
        rp_uri_reverse(out, (apr_size_t)n + 1, v, map);
    }
    return out;
}

/* An entry balancer://name/sub stands for the URLs of all members. */
static char *map_members(apr_pool_t *p, const char *value, const rp_group_t *group, const rp_mapping_t *m)
{
    const char *name = m->real + GROUP_PREFIX_LEN;
    const char *sub = name + strcspn(name, "/");
    char *out = NULL;
    int i;

    for (i = 0; !out && i < rp_conf_count_members(group); i++) {
        const rp_backend_t *member = rp_conf_get_member(group, i);
        rp_uri_map_t map = {member->name, m->pub};

        out = map_with(p, value, &map, sub);
    }
    return out;
}

static char *map_entry(request_rec *r, const char *value, const rp_mapping_t *m)
{
    const rp_group_t *group = NULL;
    rp_uri_map_t map = {m->real, m->pub};

    if (!ap_cstr_casecmpn(m->real, GROUP_PREFIX, GROUP_PREFIX_LEN)) {
        group = rp_conf_find_group(rp_conf_get_server(r->server), m->real);
    }
    return group ? map_members(r->pool, value, group, m) : map_with(r->pool, value, &map, NULL);
}

const char *rp_reverse_map(request_rec *r, const rp_target_t *target, const char *value)
{
    char *out;
    int i;

    for (i = 0; i < target->reverse->nelts; i++) {
        out = map_entry(r, value, &APR_ARRAY_IDX(target->reverse, i, const rp_mapping_t));
        if (out) {
            return rp_uri_is_url(span_of(out)) ? out : ap_construct_url(r->pool, out, r);
        }
    }
    return value;
}

static const rp_uri_map_t *to_maps(apr_pool_t *p, const apr_array_header_t *mappings)
{
    rp_uri_map_t *maps = apr_palloc(p, (apr_size_t)(mappings->nelts + 1) * sizeof(*maps));
    int i;

    for (i = 0; i < mappings->nelts; i++) {
        const rp_mapping_t *m = &APR_ARRAY_IDX(mappings, i, const rp_mapping_t);

        maps[i] = (rp_uri_map_t){m->real, m->pub};
    }
    return maps;
}

const char *rp_reverse_map_cookie(request_rec *r, const rp_target_t *target, const char *value)
{
    rp_cookie_maps_t maps = {.npaths = (size_t)target->cookie_paths->nelts,
                             .ndomains = (size_t)target->cookie_domains->nelts};
    ptrdiff_t n;
    char *out;

    if (maps.npaths + maps.ndomains == 0) {
        return value;
    }
    maps.paths = to_maps(r->pool, target->cookie_paths);
    maps.domains = to_maps(r->pool, target->cookie_domains);
    n = rp_cookie_rewrite(NULL, 0, span_of(value), &maps);
    if (n < 0) {
        return value;
    }
    out = apr_palloc(r->pool, (apr_size_t)n + 1);
    rp_cookie_rewrite(out, (apr_size_t)n + 1, span_of(value), &maps);
    return out;
}
