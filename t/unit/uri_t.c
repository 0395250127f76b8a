/* Licensed under the Apache License, Version 2.0; see the file LICENSE. */

/* Unit tests of rp_uri: tables of observed cases, then properties over seeded random input. */

#include "../../src/rp_uri.c"
#include "../../src/rp_uri_map.c"
#include "../../src/rp_uri_reverse.c"

#include <stdio.h>
#include <stdlib.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static int tests;
static int failures;

static void ok(int good, const char *what, const char *detail)
{
    tests++;
    failures += !good;
    printf("%sok %d - %s: %s\n", good ? "" : "not ", tests, what, detail);
}

static void is_text(const char *got, const char *want, const char *what, const char *detail)
{
    ok(strcmp(got, want) == 0, what, detail);
    if (strcmp(got, want) != 0) {
        printf("#  got: %s\n# want: %s\n", got, want);
    }
}

static void is_num(ptrdiff_t got, ptrdiff_t want, const char *what, const char *detail)
{
    ok(got == want, what, detail);
    if (got != want) {
        printf("#  got: %td\n# want: %td\n", got, want);
    }
}

static rp_span_t span(const char *text)
{
    rp_span_t s = {text, text ? strlen(text) : 0};

    return s;
}

static const rp_span_t none = {NULL, 0};

/* ---- split ---- */

/* "socket|scheme|userinfo|host|port|rest|flags"; "-" for an absent span. */
static void describe(char *out, size_t cap, const rp_uri_t *u)
{
    snprintf(out, cap, "%.*s|%.*s|%.*s|%.*s|%u|%.*s|%s%s", u->socket.p ? (int)u->socket.n : 1,
             u->socket.p ? u->socket.p : "-", (int)u->scheme.n, u->scheme.p,
             u->userinfo.p ? (int)u->userinfo.n : 1, u->userinfo.p ? u->userinfo.p : "-",
             (int)u->host.n, u->host.p, u->port, (int)u->rest.n, u->rest.p, u->is_ipv6 ? "6" : "",
             u->has_authority ? "a" : "");
}

static void test_split(void)
{
    static const struct {
        const char *url, *want;
    } good[] = {
        {"http://h", "-|http|-|h|0||a"},
        {"http://h/", "-|http|-|h|0|/|a"},
        {"HTTPS://App.Example:8443/a?b#c", "-|HTTPS|-|App.Example|8443|/a?b#c|a"},
        {"ws://127.0.0.1:1/x", "-|ws|-|127.0.0.1|1|/x|a"},
        {"http://h:65535", "-|http|-|h|65535||a"},
        {"http://h:080/", "-|http|-|h|80|/|a"},
        {"http://h?x=/y:9", "-|http|-|h|0|?x=/y:9|a"},
        {"http://h#f@g", "-|http|-|h|0|#f@g|a"},
        {"http://h/@other/x", "-|http|-|h|0|/@other/x|a"},
        {"http://u:p@h:8/", "-|http|u:p|h|8|/|a"},
        {"http://@h/", "-|http||h|0|/|a"},
        {"http://[::1]:81/p", "-|http|-|::1|81|/p|6a"},
        {"http://[2001:DB8::7]", "-|http|-|2001:DB8::7|0||6a"},
        {"http://u@[::ffff:1.2.3.4]/", "-|http|u|::ffff:1.2.3.4|0|/|6a"},
        {"balancer://my_group/sub", "-|balancer|-|my_group|0|/sub|a"},
        {"unix:/run/a.sock|http://h:80/p", "/run/a.sock|http|-|h|80|/p|a"},
        {"UNIX:a.sock|http:", "a.sock|http|-|localhost|0||"},
        {"unix:/s|http://", "/s|http|-|localhost|0||"},
        {"unix:/s|http:/p", "/s|http|-|localhost|0|/p|"},
        {"unix:/s|http:///p", "/s|http|-|localhost|0|/p|"},
        {"unix:///run/s|http://h", "/run/s|http|-|h|0||a"},
        {"unix:/s|http://h/a|b", "/s|http|-|h|0|/a|b|a"},
        {"unix:/s|unix:/t|http://h/", "/s|unix|-|localhost|0|/t|http://h/|"},
    };
    static const struct {
        const char *url;
        int want;
    } bad[] = {
        {"", RP_URI_E_SCHEME},
        {"/p", RP_URI_E_SCHEME},
        {"://h", RP_URI_E_SCHEME},
        {"1ttp://h", RP_URI_E_SCHEME},
        {"ht tp://h", RP_URI_E_SCHEME},
        {"h/x:y", RP_URI_E_SCHEME},
        {"http:h", RP_URI_E_SYNTAX},
        {"http:?x", RP_URI_E_SYNTAX},
        {"http:@h/", RP_URI_E_SYNTAX},
        {"http:", RP_URI_E_NOHOST},
        {"http:/p", RP_URI_E_NOHOST},
        {"http://", RP_URI_E_NOHOST},
        {"http:///p", RP_URI_E_NOHOST},
        {"http://?x", RP_URI_E_NOHOST},
        {"http://u@/", RP_URI_E_HOST},
        {"http://:80/", RP_URI_E_HOST},
        {"http://::1/", RP_URI_E_HOST},
        {"http://h x/", RP_URI_E_HOST},
        {"http://h\tx/", RP_URI_E_HOST},
        {"http://h\r\nX: y/", RP_URI_E_HOST},
        {"http://h\x7f/", RP_URI_E_HOST},
        {"http://h\xc3\xa9/", RP_URI_E_HOST},
        {"http://h\\@evil/", RP_URI_E_USER},
        {"http://h\\evil/", RP_URI_E_HOST},
        {"http://h%2eevil/", RP_URI_E_HOST},
        {"http://a@b@c/", RP_URI_E_HOST},
        {"http://a[b@c/", RP_URI_E_USER},
        {"http://a b@c/", RP_URI_E_USER},
        {"http://[::", RP_URI_E_HOST},
        {"http://[::1", RP_URI_E_HOST},
        {"http://[]/", RP_URI_E_HOST},
        {"http://[1]/", RP_URI_E_HOST},
        {"http://[12]/", RP_URI_E_HOST},
        {"http://[::1]x/", RP_URI_E_HOST},
        {"http://[::1%25eth0]/", RP_URI_E_HOST},
        {"http://[::g]/", RP_URI_E_HOST},
        {"http://[::00000000001111111111222222222233333333334444]/", RP_URI_E_HOST},
        {"http://h]/", RP_URI_E_HOST},
        {"http://h:/", RP_URI_E_PORT},
        {"http://h:0/", RP_URI_E_PORT},
        {"http://h:65536/", RP_URI_E_PORT},
        {"http://h:4294967376/", RP_URI_E_PORT},
        {"http://h:1x", RP_URI_E_PORT},
        {"http://h:000080", RP_URI_E_PORT},
        {"http://h:+1/", RP_URI_E_PORT},
        {"http://h:1:2/", RP_URI_E_PORT},
        {"http://[::1]:", RP_URI_E_PORT},
        {"unix:/s", RP_URI_E_UNIX},
        {"unix:|http://h", RP_URI_E_UNIX},
        {"unix://host/s|http://h", RP_URI_E_UNIX},
        {"unix://|http://h", RP_URI_E_UNIX},
        {"unix:/s\n|http://h", RP_URI_E_UNIX},
        {"unix:/s|h", RP_URI_E_SCHEME},
        {"unix:/s|", RP_URI_E_SCHEME},
        {"unix:/s|http://:1/", RP_URI_E_HOST},
    };
    rp_uri_t u;
    char text[256];
    size_t i;

    for (i = 0; i < COUNT(good); i++) {
        is_num(rp_uri_split(&u, good[i].url), RP_URI_OK, "split accepts", good[i].url);
        describe(text, sizeof(text), &u);
        is_text(text, good[i].want, "split parts", good[i].url);
    }
    for (i = 0; i < COUNT(bad); i++) {
        char name[64];

        snprintf(name, sizeof(name), "case %zu", i);
        is_num(rp_uri_split(&u, bad[i].url), bad[i].want, "split refuses", name);
        ok(u.host.n == 0 && !u.socket.p, "refused split names no host and no socket", name);
    }
    rp_uri_split(&u, "http:/p");
    ok(u.scheme.n == 4 && u.rest.n == 2, "split without host keeps scheme and rest", "http:/p");
    rp_uri_split(&u, "http://h:x/p");
    ok(!u.scheme.p && !u.rest.p, "refused split leaves nothing", "http://h:x/p");
}

static void test_small(void)
{
    static const struct {
        const char *scheme;
        unsigned port;
    } ports[] = {{"http", 80},    {"ws", 80},   {"https", 443}, {"WSS", 443},
                 {"balancer", 0}, {"httpx", 0}, {"", 0},        {"htt", 0}};
    size_t i;

    for (i = 0; i < COUNT(ports); i++) {
        is_num(rp_uri_default_port(span(ports[i].scheme)), ports[i].port, "default port",
               ports[i].scheme);
    }
    ok(rp_uri_is_url(span("http://x")) && rp_uri_is_url(span("mailto:x")), "is_url", "yes");
    ok(!rp_uri_is_url(span("/a:b")) && !rp_uri_is_url(span(":x")) && !rp_uri_is_url(span("x")) &&
           !rp_uri_is_url(none),
       "is_url", "no");
    ok(!rp_uri_has_unsafe(span("/a%20b?\xc3\xa9!~")) && !rp_uri_has_unsafe(none), "unsafe", "no");
    ok(rp_uri_has_unsafe(span("/a b")) && rp_uri_has_unsafe(span("\x7f")) &&
           rp_uri_has_unsafe(span("a\r")) && rp_uri_has_unsafe((rp_span_t){"a\0b", 3}),
       "unsafe", "yes");
    is_text(rp_uri_err_text(RP_URI_E_SPACE), "is too long", "error text", "last");
    is_text(rp_uri_err_text(RP_URI_E_SPACE - 1), "unknown error", "error text", "beyond");
    is_text(rp_uri_err_text(1), "unknown error", "error text", "positive");
}

static void test_target(void)
{
    static const struct {
        const char *url, *path, *query, *want;
    } cases[] = {
        {"http://H.Example:80", "/x", NULL, "http://h.example/x"},
        {"HTTPS://h:443", "", NULL, "https://h/"},
        {"https://h:80", "x", "a=b", "https://h:80/x?a=b"},
        {"ws://h:8080", "/x", "", "ws://h:8080/x?"},
        {"http://u:p@h", "?x", NULL, "http://h/?x"},
        {"http://[::FFFF:1.2.3.4]:65535", "/", NULL, "http://[::ffff:1.2.3.4]:65535/"},
        {"unix:/s|http:", "/p", NULL, "http://localhost/p"},
        {"http://h", "/\xc3\xa9", NULL, "http://h/\xc3\xa9"},
    };
    char out[128];
    rp_uri_t u;
    size_t i;

    for (i = 0; i < COUNT(cases); i++) {
        ptrdiff_t n;

        rp_uri_split(&u, cases[i].url);
        n = rp_uri_canonical_target(out, sizeof(out), &u, span(cases[i].path),
                                    span(cases[i].query));
        is_text(out, cases[i].want, "target", cases[i].want);
        is_num(n, (ptrdiff_t)strlen(cases[i].want), "target length", cases[i].want);
    }
    rp_uri_split(&u, "http://h");
    is_num(rp_uri_canonical_target(out, sizeof(out), &u, span("/a b"), none), RP_URI_E_UNSAFE,
           "target refuses", "a space in the path");
    is_text(out, "", "target refuses", "and leaves an empty string");
    is_num(rp_uri_canonical_target(out, sizeof(out), &u, span("/"), span("a\r\nb")),
           RP_URI_E_UNSAFE, "target refuses", "CRLF in the query");
    rp_uri_split(&u, "http:/p");
    is_num(rp_uri_canonical_target(out, sizeof(out), &u, span("/"), none), RP_URI_E_NOHOST,
           "target refuses", "no host");
}

/* ---- paths ---- */

static void test_hides_dots(void)
{
    static const char *const yes[] = {"/..;/x", "/a/..;x=y/b", "/a/.;", "/%2e%2E;/", "..;", "/x%2f..%2fadmin", "/x%2F..", "/..%5cx",
                                      "/..\\x", "/a\\../x", "/x%5c%2e./y", "/x%2f.%2fy", ";/..;a"};
    static const char *const no[] = {"", "/", "/..", "/../x", "/%2e%2e/x", "/.", "/a/./b", "/...;/", "/a..;/b", "/..a%2fb", "/a%2fb",
                                     "/;..", "/;/x", "/%252e%252e;/", "/x%2f..a%2f", "/a?b=/..;/", "/%2", "/%2f", "/..%", "//", "/a;.."};
    size_t i;

    for (i = 0; i < COUNT(yes); i++) {
        ok(rp_uri_hides_dots(span(yes[i])), "hides dots", yes[i]);
    }
    for (i = 0; i < COUNT(no); i++) {
        ok(!rp_uri_hides_dots(span(no[i])), "hides no dots", no[i]);
    }
    ok(!rp_uri_hides_dots(none), "hides no dots", "none");
}

static void test_match_prefix(void)
{
    static const struct {
        const char *pattern, *uri;
        size_t want;
    } cases[] = {
        {"/a/", "/a", 0},
        {"/a/", "/a/", 3},
        {"/a/", "/a//x", 4},
        {"/a/", "/ax", 0},
        {"/a/", "/A/x", 0},
        {"/b", "/b", 2},
        {"/b", "/b/", 2},
        {"/b", "/b/x", 2},
        {"/b", "/bx", 0},
        {"/b", "//b/x", 3},
        {"/", "/", 1},
        {"/", "///x", 3},
        {"/", "", 0},
        {"", "/x", 0},
        {"", "", 0},
        {"/a//b", "/a/b", 4},
        {"/a/b", "/a//b", 5},
        {"/a/b/", "/a/b", 0},
        {"/a/b", "/a", 0},
        {"b", "/b", 0},
        {"/a%", "/a%", 3},
        {"/ex/no", "/ex/nope", 0},
        {"/ex/no", "/ex/no/x", 6},
    };
    char name[64];
    size_t i;

    for (i = 0; i < COUNT(cases); i++) {
        snprintf(name, sizeof(name), "%s %s", cases[i].pattern, cases[i].uri);
        is_num((ptrdiff_t)rp_uri_match_prefix(cases[i].pattern, cases[i].uri),
               (ptrdiff_t)cases[i].want, "prefix", name);
    }
}

static void test_match_servlet(void)
{
    static const struct {
        const char *pattern, *uri;
        ptrdiff_t want;
        const char *rewritten;
    } cases[] = {
        {"/mt/", "/mt/sec;v=1/x", 4, "/mt/sec/x"},
        {"/mt", "/mt;v=1/x", 3, "/mt/x"},
        {"/mt/", "/mt;v=1/x", 8, "/mt/x"},
        {"/mt", "/mt;v=1", 7, "/mt"},
        {"/mt", "/mt/", 3, "/mt/"},
        {"/mt/", "/mt", 0, ""},
        {"/mt", "/mtx", 0, ""},
        {"/mt", "/mt//x", 4, "/mt/x"},
        {"/mt", "/mt/./x", 3, "/mt/x"},
        {"/", "/", 1, "/"},
        {"/", "/;p/x", 1, "/x"},
        {"/", "/a/..", 5, "/"},
        {"/", "/..", 0, ""},
        {"/", "/a/../..", 0, ""},
        {"/", "/..;x/y", 0, ""},
        {"/a", "/b/../a/x", 7, "/a/x"},
        {"/a", "/b/..;p/a/x", 9, "/a/x"},
        {"/a/b", "/a/c/../b/x", 9, "/a/b/x"},
        {"/b/a", "/b/../a", 0, ""},
        {"/a/", "/a/../b", 0, ""},
        {"/a/", "/a/.", 4, "/a/"},
        {"/a/", "/a/...", 3, "/a/..."},
        {"/a/", "/a/..x", 3, "/a/..x"},
        {"/a/", "/a/.;p/b", 3, "/a/b"},
        {"/a/", "/a/..;/a/../a/.././a;q/b", 23, "/a/b"},
        {"/a", "/a/c/../x", 7, "/a/x"},
        {"/a/", "/a/c/../x", 8, "/a/x"},
        {"/a/", "/a/c/.././x", 10, "/a/x"},
        {"a", "a", 0, ""},
        {"", "/a", 0, ""},
    };
    char name[64];
    char out[64];
    size_t i;

    for (i = 0; i < COUNT(cases); i++) {
        snprintf(name, sizeof(name), "%s %s", cases[i].pattern, cases[i].uri);
        is_num(rp_uri_match_servlet(out, sizeof(out), cases[i].pattern, cases[i].uri),
               cases[i].want, "servlet", name);
        is_text(out, cases[i].rewritten, "servlet rewritten", name);
    }
    is_num(rp_uri_match_servlet(out, 4, "/a/", "/a/b"), RP_URI_E_SPACE, "servlet", "too small");
    is_num(rp_uri_match_servlet(out, 5, "/a/", "/a/b"), 3, "servlet", "just large enough");
}

static void test_encode(void)
{
    static const struct {
        const char *path;
        int keep;
        const char *raw, *want;
    } cases[] = {
        {"/%?#~A;p=1;", 0, NULL, "/%25%3F%23~A;p=1;"},
        {"/\xc3\xa9", 0, NULL, "/%C3%A9"},
        {"/[x]|^\"", 0, NULL, "/%5Bx%5D%7C%5E%22"},
        {"/~$-_.+!*'(),;:@&=", 0, NULL, "/~$-_.+!*'(),;:@&="},
        {"/a b\r\n\t\x01\x7f\\<>{}`", 0, NULL, "/a%20b%0D%0A%09%01%7F%5C%3C%3E%7B%7D%60"},
        {"/g?id=12", 0, NULL, "/g%3Fid=12"},
        {"/%2F", 0, NULL, "/%252F"},
        {"", 0, NULL, ""},
        {"/x%2Fy", 1, NULL, "/x%2Fy"},
        {"/x%2fy", 1, "/x%2fy", "/x%2fy"},
        {"/100%", 1, "/a/100%25", "/100%25"},
        {"/%2F", 1, "/a/%252F", "/%252F"},
        {"/%2f", 1, "/a/%25%32%66", "/%252f"},
        {"/%2F", 1, "/a/%252%46?%2F", "/%252F"},
        {"/%2", 1, NULL, "/%252"},
        {"/%2G%20", 1, NULL, "/%252G%2520"},
        {"/%2Fa%2Fb", 1, "/%2Fa%252Fb", "/%2Fa%252Fb"},
        {"/%2Fa%2Fb", 1, "/%252Fa%2Fb", "/%252Fa%2Fb"},
        {"/a%2Fb", 1, "/x/%2F/a%252Fb", "/a%252Fb"},
        {"/a%2Fb", 1, "/a%2Fb?c%252F", "/a%2Fb"},
    };
    char out[128];
    size_t i;

    for (i = 0; i < COUNT(cases); i++) {
        ptrdiff_t n = rp_uri_encode_path(out, sizeof(out), span(cases[i].path),
                                         cases[i].keep ? RP_URI_KEEP_2F : 0, span(cases[i].raw));

        is_text(out, cases[i].want, "encode", cases[i].want);
        is_num(n, (ptrdiff_t)strlen(cases[i].want), "encode length", cases[i].want);
    }
    rp_uri_encode_path(out, sizeof(out), (rp_span_t){"/a\0b", 4}, 0, none);
    is_text(out, "/a%00b", "encode", "NUL");
}

/* ---- the way back ---- */

static void test_reverse(void)
{
    static const struct {
        const char *value, *real, *pub, *want; /* want NULL: no match */
    } cases[] = {
        {"http://b/x", "http://b/", "/app/", "/app/x"},
        {"HTTP://B/x", "http://b/", "/app/", "/app/x"},
        {"http://b/X?q=1#f", "http://b/x", "/app", "/app?q=1#f"},
        {"http://b", "http://b/", "/app/", NULL},
        {"http://nbx/y", "http://nb", "/nobound", "/noboundx/y"},
        {"http://other/x", "http://b/", "/app/", NULL},
        {"/x", "http://b/", "/app/", NULL},
        {"//b/x", "http://b/", "/app/", NULL},
        {"//b/x", "/", "/app/", NULL},
        {"/x", "/", "/app/", "/app/x"},
        {"/X/y", "/x/", "/app/", "/app/y"},
        {"http://foreign:99/x/y", "/x/", "/app/", "/app/y"},
        {"http://foreign", "/", "/app/", NULL},
        {"http://foreign?n=/x", "/", "/app/", NULL},
        {"/login?next=http://h/x", "/", "/app/", "/app/login?next=http://h/x"},
        {"mailto:/x", "/", "/app/", NULL},
        {"x/y", "/", "/app/", NULL},
        {"http://b/x", "http://b/", "https://www/", "https://www/x"},
        {"balancer://g/x", "balancer://g/", "/app/", "/app/x"},
        {"http://b/x", "", "/app/", NULL},
        {"", "/", "/app/", NULL},
        {"http://b/", "http://b/", "", ""},
    };
    char out[128];
    size_t i;

    for (i = 0; i < COUNT(cases); i++) {
        rp_uri_map_t map = {cases[i].real, cases[i].pub};
        ptrdiff_t n = rp_uri_reverse(out, sizeof(out), span(cases[i].value), &map);

        is_text(out, cases[i].want ? cases[i].want : "", "reverse", cases[i].value);
        is_num(n, cases[i].want ? (ptrdiff_t)strlen(cases[i].want) : RP_URI_NOMATCH,
               "reverse length", cases[i].value);
    }
    is_num(rp_uri_reverse(out, sizeof(out), span("http://b/a\r\nX: y"),
                          &(rp_uri_map_t){"http://b/", "/"}),
           RP_URI_E_UNSAFE, "reverse refuses", "CRLF in the value");
    is_num(rp_uri_reverse(out, sizeof(out), span("http://b/"), &(rp_uri_map_t){"http://b/", "/\n"}),
           RP_URI_E_UNSAFE, "reverse refuses", "a control in the public path");
    is_num(
        rp_uri_reverse(out, sizeof(out), span("http://b/\x7f"), &(rp_uri_map_t){"http://b/", "/"}),
        RP_URI_E_UNSAFE, "reverse refuses", "DEL in the value");
    is_num(rp_uri_reverse(out, sizeof(out), span("http://b/\t"), &(rp_uri_map_t){"http://b/", "/"}),
           2, "reverse accepts", "TAB in the value");
}

static void test_reverse_member(void)
{
    static const struct {
        const char *value, *member, *sub, *pub, *want;
    } cases[] = {
        {"http://example.com/foo/bar/that", "http://example.com/foo", "/bar", "/bash",
         "/bash/that"},
        {"http://example.com/foo/bar/that", "http://example.com/foo/", "/bar/", "/bash/",
         "/bash/that"},
        {"HTTP://H/foo/Bar/x", "http://h/foo", "/bar", "/p", NULL},
        {"HTTP://H/x", "http://h", "", "/p", "/p/x"},
        {"http://h/x", "http://h", "/", "/", "/x"},
        {"http://h/x", "http://h/", "", "/bal", "/bal/x"},
        {"http://h/x", "http://h", "", "/bal/", "/bal/x"},
        {"http://h//x", "http://h", "", "/bal", "/bal//x"},
        {"http://h", "http://h/", "", "/bal", "/bal"},
        {"http://h?x", "http://h", "", "/bal", "/bal?x"},
        {"http://h:8080/x", "http://h", "", "/bal", NULL},
        {"http://hx/x", "http://h", "", "/bal", NULL},
        {"http://h/foobar", "http://h/foo", "", "/bal", NULL},
        {"http://h/barx", "http://h", "/bar", "/bal", NULL},
        {"http://h/ba", "http://h", "/bar", "/bal", NULL},
        {"/x", "http://h", "", "/bal", NULL},
        {"/x", "", "", "/bal", NULL},
    };
    char out[128];
    size_t i;

    for (i = 0; i < COUNT(cases); i++) {
        rp_uri_map_t map = {cases[i].member, cases[i].pub};
        ptrdiff_t n =
            rp_uri_reverse_member(out, sizeof(out), span(cases[i].value), &map, cases[i].sub);

        is_text(out, cases[i].want ? cases[i].want : "", "member", cases[i].value);
        is_num(n, cases[i].want ? (ptrdiff_t)strlen(cases[i].want) : RP_URI_NOMATCH,
               "member length", cases[i].value);
    }
    is_num(rp_uri_reverse_member(out, sizeof(out), span("http://h/\n"),
                                 &(rp_uri_map_t){"http://h", "/"}, ""),
           RP_URI_E_UNSAFE, "member refuses", "a control");
}

static void test_cookie(void)
{
    static const rp_uri_map_t paths[] = {
        {"/foo", "/m/"}, {"/", "/pub"}, {"/foo", "/never"}, {"bad", "/x\r\n"}};
    static const rp_uri_map_t domains[] = {{"backend.example", "www.example"}, {"evil", "a\nb"}};
    static const struct {
        const char *value, *want; /* NULL: unchanged */
    } cases[] = {
        {"a=b; path=/foo/bar", "a=b; path=/m/"},
        {"a=b;PATH=/foo ; Secure", "a=b;PATH=/m/; Secure"},
        {"a=b; \t Path=/x; HttpOnly", "a=b; \t Path=/pub; HttpOnly"},
        {"a=b; Path=/FOO", "a=b; Path=/pub"},
        {"a=b; Path = /foo", NULL},
        {"a=b; Path =/foo", NULL},
        {"a=b; xpath=/foo", NULL},
        {"a=b; path", NULL},
        {"a=b; path=", NULL},
        {"a=b; path=\"/foo\"", NULL},
        {"path=/foo", NULL},
        {"path=/foo; Secure", NULL},
        {" path=/foo; path=/foo", " path=/foo; path=/m/"},
        {"a=path=/foo", NULL},
        {"a=b; path=/foo; path=zzz", NULL},
        {"a=b; path=zzz; path=/foo", "a=b; path=zzz; path=/m/"},
        {"a=b; path=/foo; path=/zzz", "a=b; path=/foo; path=/pub"},
        {"a=b; Domain=BACKEND.example.com", "a=b; Domain=www.example"},
        {"a=b; domain=.backend.example", NULL},
        {"a=b; domain=backend.example; path=/foo; x", "a=b; domain=www.example; path=/m/; x"},
        {"a=b; path=/foo; domain=backend.example", "a=b; path=/m/; domain=www.example"},
        {"a=b; path=zzz; domain=backend.example", "a=b; path=zzz; domain=www.example"},
        {"a=b; path=/foo; domain=other", "a=b; path=/m/; domain=other"},
        {";;path=/foo;;", ";;path=/m/;;"},
        {"", NULL},
        {";", NULL},
    };
    static const rp_cookie_maps_t maps = {paths, COUNT(paths), domains, COUNT(domains)};
    static const rp_cookie_maps_t empty = {NULL, 0, NULL, 0};
    char out[256];
    size_t i;

    for (i = 0; i < COUNT(cases); i++) {
        ptrdiff_t n = rp_cookie_rewrite(out, sizeof(out), span(cases[i].value), &maps);

        is_text(out, cases[i].want ? cases[i].want : "", "cookie", cases[i].value);
        is_num(n, cases[i].want ? (ptrdiff_t)strlen(cases[i].want) : RP_URI_NOMATCH,
               "cookie length", cases[i].value);
    }
    is_num(rp_cookie_rewrite(out, sizeof(out), span("a=b; path=/foo"), &empty), RP_URI_NOMATCH,
           "cookie", "no maps");
    is_num(rp_cookie_rewrite(out, sizeof(out), span("a=b; path=bad"), &maps), RP_URI_E_UNSAFE,
           "cookie refuses", "a control in the public path");
    is_num(rp_cookie_rewrite(out, sizeof(out), span("a=b; domain=evil"), &maps), RP_URI_E_UNSAFE,
           "cookie refuses", "a control in the public domain");
    is_num(rp_cookie_rewrite(out, sizeof(out), span("a=b\r\n; path=/foo"), &maps), RP_URI_E_UNSAFE,
           "cookie refuses", "CRLF in the value");
}

/* ---- ${VAR} ---- */

static const char *lookup(void *ctx, rp_span_t name)
{
    (*(int *)ctx)++;
    if (name.n == 4 && memcmp(name.p, "HOST", 4) == 0) {
        return "app1";
    }
    return name.n == 4 && memcmp(name.p, "SELF", 4) == 0 ? "${HOST}" : NULL;
}

static void test_expand(void)
{
    static const struct {
        const char *text, *want;
        int calls;
    } cases[] = {
        {"http://${HOST}:80/x", "http://app1:80/x", 1},
        {"${HOST}${HOST}", "app1app1", 2},
        {"a${NONE}b", "ab", 1},
        {"${}", "", 1},
        {"${SELF}", "${HOST}", 1},
        {"a${HOST", "a${HOST", 0},
        {"${HOST}${HO", "app1${HO", 1},
        {"$HOST $ {x}", "$HOST $ {x}", 0},
        {"${${HOST}}", "}", 1},
        {"", "", 0},
    };
    char out[64];
    size_t i;

    for (i = 0; i < COUNT(cases); i++) {
        int calls = 0;
        ptrdiff_t n = rp_uri_expand_env(out, sizeof(out), cases[i].text, lookup, &calls);

        is_text(out, cases[i].want, "expand", cases[i].text);
        ok(n == (ptrdiff_t)strlen(cases[i].want) && calls == cases[i].calls, "expand calls",
           cases[i].text);
    }
}

/* ---- properties ---- */

static unsigned long long seed = 0x9e3779b97f4a7c15ULL;

static unsigned roll(unsigned n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed >> 33) % n;
}

/* A path of bytes 1..255 that favours those with a meaning. */
static void random_path(char *out, size_t max)
{
    static const char special[] = "//..;%2Ff?# ~aA\r\n\xc3";
    size_t n = roll((unsigned)max - 1);
    size_t i;

    out[0] = '/';
    for (i = 1; i <= n; i++) {
        out[i] = roll(3) ? special[roll(sizeof(special) - 1)] : (char)(1 + roll(255));
    }
    out[i] = '\0';
}

static int is_safe_alphabet(const char *text)
{
    static const char all[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                              "/~$-_.+!*'(),;:@&=%";

    return text[strspn(text, all)] == '\0';
}

static int decodes_to(const char *text, const char *want)
{
    rp_span_t rest = span(text);

    while (rest.n && *want && take_decoded(&rest) == *want) {
        want++;
    }
    return rest.n == 0 && *want == '\0';
}

/* Each result must be the same, cut, for every smaller buffer, without a byte beyond it. */
static int is_cut_right(const char *full, ptrdiff_t n, ptrdiff_t got, const char *buf, size_t cap)
{
    size_t kept = cap == 0 ? 0 : (size_t)n < cap ? (size_t)n : cap - 1;

    return got == n && memcmp(buf, full, kept) == 0 && (cap == 0 || buf[kept] == '\0') &&
           buf[cap] == '#';
}

static ptrdiff_t call(size_t which, char *out, size_t cap)
{
    static const rp_uri_map_t path = {"/", "/public/"};
    static const rp_uri_map_t domain = {"b", "www.example"};
    static const rp_cookie_maps_t maps = {&path, 1, &domain, 1};
    int calls = 0;
    rp_uri_t u;

    switch (which) {
    case 0:
        return rp_uri_encode_path(out, cap, span("/a b%c"), 0, none);
    case 1:
        rp_uri_split(&u, "http://[::1]:8080");
        return rp_uri_canonical_target(out, cap, &u, span("p"), span("q"));
    case 2:
        return rp_uri_reverse(out, cap, span("http://b/x/y"), &path);
    case 3:
        return rp_uri_reverse_member(out, cap, span("http://b/x/y"),
                                     &(rp_uri_map_t){"http://b", "/public"}, "/x");
    case 4:
        return rp_cookie_rewrite(out, cap, span("a=b; Domain=b; Path=/x; c"), &maps);
    default:
        return rp_uri_expand_env(out, cap, "http://${HOST}/", lookup, &calls);
    }
}

static void test_cut(void)
{
    static const char *const want[] = {
        "/a%20b%25c",
        "http://[::1]:8080/p?q",
        "/public/x/y",
        "/public/y",
        "a=b; Domain=www.example; Path=/public/; c",
        "http://app1/",
    };
    size_t which;

    for (which = 0; which < COUNT(want); which++) {
        ptrdiff_t n = (ptrdiff_t)strlen(want[which]);
        size_t cap;
        int good = 1;

        for (cap = 0; cap < 64; cap++) {
            char buf[65];

            memset(buf, '#', sizeof(buf));
            good &= is_cut_right(want[which], n, call(which, buf, cap), buf, cap);
        }
        ok(good && call(which, NULL, 0) == n, "cut at every size of the buffer", want[which]);
    }
}

static void test_encode_random(void)
{
    char path[40];
    char out[128];
    int safe = 1;
    int inverse = 1;
    int i;

    for (i = 0; i < 200000; i++) {
        random_path(path, sizeof(path) - 1);
        rp_uri_encode_path(out, sizeof(out), span(path), 0, none);
        safe &= is_safe_alphabet(out);
        inverse &= decodes_to(out, path);
        rp_uri_encode_path(out, sizeof(out), span(path), RP_URI_KEEP_2F, none);
        safe &= is_safe_alphabet(out);
    }
    ok(safe, "encode", "output is always in the safe alphabet");
    ok(inverse, "encode", "decoding gives the path back");
}

/* The decoded, still "%2F"-keeping form of a raw path, as the server makes it. */
static void decode_keeping_2f(char *out, const char *raw)
{
    rp_span_t rest = span(raw);

    while (rest.n) {
        if (is_2f(rest)) {
            memcpy(out, rest.p, 3);
            out += 3;
            rest = rp_uri_skip(rest, 3);
        }
        else {
            *out++ = take_decoded(&rest);
        }
    }
    *out = '\0';
}

static int same_decoded(const char *a, const char *b)
{
    rp_span_t x = span(a);
    rp_span_t y = span(b);

    while (x.n && y.n) {
        if (is_2f(x) != is_2f(y) || take_decoded(&x) != take_decoded(&y)) {
            return 0;
        }
    }
    return x.n == 0 && y.n == 0;
}

static void test_keep_2f_random(void)
{
    static const char *const parts[] = {"%2F", "%2f", "%252F", "%25", "%25%32%46",
                                        "a",   "/",   "2F",    "%20"};
    char raw[128];
    char path[128];
    char out[400];
    int good = 1;
    int i;

    for (i = 0; i < 100000; i++) {
        rp_uri_sink_t s = {raw, sizeof(raw), 0};
        unsigned n = roll(10);

        rp_uri_sink_char(&s, '/');
        while (n--) {
            rp_uri_sink_text(&s, parts[roll(COUNT(parts))]);
        }
        rp_uri_sink_end(&s);
        decode_keeping_2f(path, raw);
        rp_uri_encode_path(out, sizeof(out), span(path), RP_URI_KEEP_2F, span(raw));
        if (!same_decoded(out, raw)) {
            good = 0;
            printf("# %s became %s\n", raw, out);
            break;
        }
    }
    ok(good, "encode", "NoDecode sends what the client meant");
}

static void test_round_trip(void)
{
    static const rp_uri_map_t maps[] = {
        {"http://b/", "/app/"}, {"http://b", "/app"}, {"http://b", "/"},
        {"http://b/x", "/y"},   {"http://b/x/", "/"}, {"http://b/", "https://www.example/"},
    };
    char path[40];
    char real[200];
    char want[200];
    char got[200];
    char encoded[128];
    int plain = 1;
    int member = 1;
    int i;

    for (i = 0; i < 200000; i++) {
        const rp_uri_map_t *map = &maps[roll(COUNT(maps))];

        random_path(path, sizeof(path) - 1);
        rp_uri_encode_path(encoded, sizeof(encoded), span(path), 0, none);
        snprintf(real, sizeof(real), "%s%s", map->real, encoded);
        snprintf(want, sizeof(want), "%s%s", map->pub, encoded);
        rp_uri_reverse(got, sizeof(got), span(real), map);
        plain &= strcmp(got, want) == 0;
    }
    for (i = 0; i < 200000; i++) {
        /* Public "/bal" + path goes to the member + path, whichever of both ends in '/'. */
        int pub_slash = (int)roll(2);
        int member_slash = (int)roll(2);
        rp_uri_map_t map = {member_slash ? "http://m:81/" : "http://m:81",
                            pub_slash ? "/bal/" : "/bal"};
        size_t n;

        random_path(path, sizeof(path) - 1);
        rp_uri_encode_path(encoded, sizeof(encoded), span(path), 0, none);
        snprintf(want, sizeof(want), "/bal%s", encoded);
        n = rp_uri_match_prefix("/bal", want);
        snprintf(real, sizeof(real), "http://m:81%s", want + n);
        rp_uri_reverse_member(got, sizeof(got), span(real), &map, "");
        member &= n == 4 && strcmp(got, want) == 0;
    }
    ok(plain, "round trip", "map, then reverse gives the public URL back");
    ok(member, "round trip", "and through a member of a group");
}

/* A plain reading of the rule for servlets, with a stack: what must the rewritten uri be? */
static int plain_servlet(char *out, size_t cap, const char *uri)
{
    rp_uri_sink_t s = {out, cap, 0};
    rp_span_t seg[32];
    size_t depth = 0;
    size_t i;
    int slash = 1;

    while (*uri) {
        rp_span_t name = {uri + 1, strcspn(uri + 1, "/;")};
        int up = name.n == 2 && memcmp(name.p, "..", 2) == 0;
        int dot = name.n == 0 || (name.n == 1 && name.p[0] == '.');

        uri += 1 + strcspn(uri + 1, "/");
        slash = up || dot || *uri == '/';
        if (up && depth-- == 0) {
            return 0;
        }
        if (!up && !dot) {
            seg[depth++] = name;
        }
    }
    for (i = 0; i < depth; i++) {
        rp_uri_sink_char(&s, '/');
        rp_uri_sink_span(&s, seg[i]);
    }
    rp_uri_sink_text(&s, slash ? "/" : "");
    rp_uri_sink_end(&s);
    return 1;
}

static void test_servlet_random(void)
{
    static const char *const patterns[] = {"/", "/a", "/a/", "/a/b", "/a/b/", "/b"};
    static const char alphabet[] = "aab//;..";
    char uri[20];
    char want[64];
    char out[64];
    int good = 1;
    int i;

    for (i = 0; i < 300000 && good; i++) {
        const char *pattern = patterns[roll(COUNT(patterns))];
        size_t n = 1 + roll(15);
        ptrdiff_t got;
        int hit;
        size_t k;

        uri[0] = '/';
        for (k = 1; k < n; k++) {
            uri[k] = alphabet[roll(sizeof(alphabet) - 1)];
        }
        uri[n] = '\0';
        got = rp_uri_match_servlet(out, sizeof(out), pattern, uri);
        hit = plain_servlet(want, sizeof(want), uri) && rp_uri_match_prefix(pattern, want);
        good = hit ? got > 0 && got <= (ptrdiff_t)n && strcmp(out, want) == 0 : got == 0;
        if (!good) {
            printf("# %s on %s: %td %s, want %s\n", pattern, uri, got, out, hit ? want : "0");
        }
    }
    ok(good, "servlet", "rewritten uri agrees with a plain reading of the rule");
}

int main(void)
{
    test_split();
    test_small();
    test_target();
    test_hides_dots();
    test_match_prefix();
    test_match_servlet();
    test_encode();
    test_reverse();
    test_reverse_member();
    test_cookie();
    test_expand();
    test_cut();
    test_encode_random();
    test_keep_2f_random();
    test_round_trip();
    test_servlet_random();
    printf("1..%d\n", tests);
    return failures != 0;
}
