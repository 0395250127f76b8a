/* Licensed under the Apache License, Version 2.0; see the file LICENSE. */

#include "rp_uri.h"

#include "rp_uri_sink.h"

#include <string.h>

/* ---- Location and its kin ---- */

static int is_boundary(rp_span_t rest)
{
    return rest.n == 0 || rest.p[0] == '/' || rest.p[0] == '?' || rest.p[0] == '#';
}

static ptrdiff_t join(char *out, size_t cap, const char *pub, const char *between, rp_span_t rest)
{
    rp_uri_sink_t s = {out, cap, 0};

    rp_uri_sink_text(&s, pub);
    rp_uri_sink_text(&s, between);
    rp_uri_sink_span(&s, rest);
    return rp_uri_sink_end(&s);
}

static int has_control(rp_span_t value, const char *pub)
{
    return rp_uri_has_control(value.p, value.n) || rp_uri_has_control(pub, strlen(pub));
}

/* The path of an absolute URL or of a server-relative reference, with all behind it; n 0: none. */
static rp_span_t find_path(rp_span_t value)
{
    rp_span_t none = {"", 0};

    if (rp_uri_is_url(value)) {
        const char *colon = memchr(value.p, ':', value.n);

        value = rp_uri_skip(value, (size_t)(colon - value.p));
        if (!rp_uri_starts(value, "://", 3)) {
            return none;
        }
        value = rp_uri_skip(value, 3);
        while (!is_boundary(value)) {
            value = rp_uri_skip(value, 1);
        }
    }
    else if (rp_uri_starts(value, "//", 2)) {
        return none; /* a network-path reference names a host (RFC 3986 4.2) */
    }
    return rp_uri_starts(value, "/", 1) ? value : none;
}

ptrdiff_t rp_uri_reverse(char *out, size_t cap, rp_span_t value, const rp_uri_map_t *map)
{
    size_t n = strlen(map->real);
    rp_span_t part = map->real[0] == '/' ? find_path(value) : value;

    if (n == 0 || !rp_uri_starts_nocase(part, map->real, n)) {
        return rp_uri_sink_fail(out, cap, RP_URI_NOMATCH);
    }
    if (has_control(value, map->pub)) {
        return rp_uri_sink_fail(out, cap, RP_URI_E_UNSAFE);
    }
    return join(out, cap, map->pub, "", rp_uri_skip(part, n));
}

static size_t length_without_slash(const char *text)
{
    size_t n = strlen(text);

    return n && text[n - 1] == '/' ? n - 1 : n;
}

ptrdiff_t rp_uri_reverse_member(char *out, size_t cap, rp_span_t value, const rp_uri_map_t *map,
                                const char *sub)
{
    size_t member = length_without_slash(map->real);
    size_t inner = length_without_slash(sub);
    size_t pub = strlen(map->pub);
    int open = pub == 0 || map->pub[pub - 1] != '/';
    rp_span_t rest = value;

    if (member == 0 || !rp_uri_starts_nocase(rest, map->real, member)) {
        return rp_uri_sink_fail(out, cap, RP_URI_NOMATCH);
    }
    rest = rp_uri_skip(rest, member);
    if (!rp_uri_starts(rest, sub, inner)) {
        return rp_uri_sink_fail(out, cap, RP_URI_NOMATCH);
    }
    rest = rp_uri_skip(rest, inner);
    if (!is_boundary(rest)) {
        return rp_uri_sink_fail(out, cap, RP_URI_NOMATCH);
    }
    if (has_control(value, map->pub)) {
        return rp_uri_sink_fail(out, cap, RP_URI_E_UNSAFE);
    }
    if (!open && rp_uri_starts(rest, "/", 1)) {
        rest = rp_uri_skip(rest, 1);
    }
    return join(out, cap, map->pub, "", rest);
}

/* ---- Set-Cookie ---- */

typedef struct cookie_edit_t {
    rp_span_t old;       /* the attribute's value, within the header's; p NULL: none there */
    const char *replace; /* NULL: keep */
} cookie_edit_t;

static int is_white(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Takes "name=" off the front of an attribute; 0 if it is another one. */
static int take_name(rp_span_t *attr, const char *name)
{
    size_t n = strlen(name);

    if (!rp_uri_starts_nocase(*attr, name, n)) {
        return 0;
    }
    *attr = rp_uri_skip(*attr, n);
    return 1;
}

/* Finds the last attributes of both kinds. The first part is the cookie itself, whatever its name.
 */
static void find_attributes(rp_span_t value, cookie_edit_t *path, cookie_edit_t *domain)
{
    const char *semi = value.n ? memchr(value.p, ';', value.n) : NULL;

    while (semi) {
        rp_span_t attr;

        value = rp_uri_skip(value, (size_t)(semi - value.p) + 1);
        semi = value.n ? memchr(value.p, ';', value.n) : NULL;
        attr.p = value.p;
        attr.n = semi ? (size_t)(semi - value.p) : value.n;
        while (attr.n && is_white(attr.p[0])) {
            attr = rp_uri_skip(attr, 1);
        }
        if (take_name(&attr, "path=")) {
            path->old = attr;
        }
        else if (take_name(&attr, "domain=")) {
            domain->old = attr;
        }
    }
}

typedef int starts_fn(rp_span_t text, const char *prefix, size_t n);

static void choose(cookie_edit_t *edit, const rp_uri_map_t *maps, size_t n, starts_fn *starts)
{
    size_t i;

    for (i = 0; edit->old.p && i < n; i++) {
        if (starts(edit->old, maps[i].real, strlen(maps[i].real))) {
            edit->replace = maps[i].pub;
            return;
        }
    }
}

/* Copies value up to the edit and the replacement; leaves in value what follows the old text. */
static void put_edit(rp_uri_sink_t *s, rp_span_t *value, const cookie_edit_t *edit)
{
    size_t before;

    if (!edit->replace) {
        return;
    }
    before = (size_t)(edit->old.p - value->p);
    rp_uri_sink_put(s, value->p, before);
    rp_uri_sink_text(s, edit->replace);
    *value = rp_uri_skip(*value, before + edit->old.n);
}

ptrdiff_t rp_cookie_rewrite(char *out, size_t cap, rp_span_t value, const rp_cookie_maps_t *maps)
{
    rp_uri_sink_t s = {out, cap, 0};
    cookie_edit_t path = {{NULL, 0}, NULL};
    cookie_edit_t domain = {{NULL, 0}, NULL};
    int path_first;

    find_attributes(value, &path, &domain);
    choose(&path, maps->paths, maps->npaths, rp_uri_starts);
    choose(&domain, maps->domains, maps->ndomains, rp_uri_starts_nocase);
    if (!path.replace && !domain.replace) {
        return rp_uri_sink_fail(out, cap, RP_URI_NOMATCH);
    }
    if (has_control(value, path.replace ? path.replace : "") ||
        (domain.replace && rp_uri_has_control(domain.replace, strlen(domain.replace)))) {
        return rp_uri_sink_fail(out, cap, RP_URI_E_UNSAFE);
    }
    path_first = !domain.replace || (path.replace && path.old.p < domain.old.p);
    put_edit(&s, &value, path_first ? &path : &domain);
    put_edit(&s, &value, path_first ? &domain : &path);
    rp_uri_sink_span(&s, value);
    return rp_uri_sink_end(&s);
}
