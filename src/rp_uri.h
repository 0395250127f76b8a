/* Licensed under the Apache License, Version 2.0; see the file LICENSE. */

/*
 * rp_uri: takes URLs apart, maps public paths to targets, and maps back what backends answer.
 *
 * Owns: the syntax of targets, prefix and servlet matching, path encoding, the inverse mapping of
 *       URLs and of Set-Cookie attributes, ${VAR} expansion.
 * Does not: resolve names, read configuration, know requests; the caller turns errors into
 *       statuses and makes server-relative results absolute.
 * Threads: all functions are pure; any thread may call them.
 * Memory: none allocated. Inputs are borrowed for the call, except that an rp_uri_t points into
 *       the text that it was split from.
 * Blocks: never.
 *
 * Functions with (out, cap) behave like snprintf: they return the number of bytes of the whole
 * result without its NUL, never write beyond cap, and end what they wrote with NUL if cap > 0
 * (on errors: the empty string). A result >= cap was cut. Negative results are rp_uri_err_t.
 * `const char *` arguments are NUL-terminated and not NULL; spans may hold any byte, NUL too.
 */
#ifndef RP_URI_H
#define RP_URI_H

#include "rp_span.h"

typedef enum rp_uri_err_t {
    RP_URI_OK = 0,
    RP_URI_NOMATCH = -1,  /* nothing to do: the mapping does not apply, keep the value as it is */
    RP_URI_E_SCHEME = -2, /* does not start with "scheme:" (RFC 3986 3.1) */
    RP_URI_E_SYNTAX = -3, /* after "scheme:" neither the end nor '/' */
    RP_URI_E_NOHOST = -4, /* "http:", "http:/p", "http:///p" where no unix socket excuses it */
    RP_URI_E_USER = -5,   /* bytes that RFC 3986 3.2.1 does not allow before the '@' */
    RP_URI_E_HOST = -6,   /* empty host before ':' or after '@', bad bytes, bad IPv6 literal */
    RP_URI_E_PORT = -7,   /* not 1..65535 in digits only */
    RP_URI_E_UNIX = -8,   /* "unix:" without '|', without path, with a host, or with controls */
    RP_URI_E_UNSAFE = -9, /* a byte that must not reach a request line or a header */
    RP_URI_E_SPACE = -10  /* the buffer is too small for the work, or the input absurdly long */
} rp_uri_err_t;

/* Says in a few English words, for logs and configtest, what is wrong; never NULL. */
const char *rp_uri_err_text(ptrdiff_t err);

/* ---- taking apart and putting together ---- */

typedef struct rp_uri_t {
    rp_span_t socket;   /* PATH of "unix:PATH|URL", may be relative; p NULL: none */
    rp_span_t scheme;   /* as written, "http" or "HTTP" */
    rp_span_t userinfo; /* before the '@'; p NULL: none. Never forwarded */
    rp_span_t host;     /* as written, without brackets; "localhost" for a socket without host */
    rp_span_t rest;     /* all after host and port: path and whatever follows; may be empty */
    unsigned port;      /* 1..65535, 0: none written */
    unsigned is_ipv6 : 1;
    unsigned has_authority : 1; /* 0: the text names no host ("http:/p") */
} rp_uri_t;

/*
 * Splits a target, `scheme://[user@]host[:port][rest]` or `unix:PATH|target`. The authority ends
 * at the first '/', '?' or '#'. Strict, since the host decides whom we talk to: a host is letters,
 * digits and `-._~!$&'()*+,;=`, or an IPv6 literal in brackets without zone. rest is not looked at.
 *
 * Request bytes must never be able to choose a socket: where part of the text comes from a
 * request, make sure that the text before it fixes scheme and host.
 *
 * url  target text; u points into it
 * Returns 0 or RP_URI_E_SCHEME, _SYNTAX, _NOHOST, _USER, _HOST, _PORT, _UNIX. On E_NOHOST scheme
 * and rest are set; on other errors u is all zero. RFC 3986 3, compatibility: 3.6, 4.1, 4.2.
 */
int rp_uri_split(rp_uri_t *u, const char *url);

/* Port of http and ws (80), https and wss (443), in any case; 0 for other schemes. */
unsigned rp_uri_default_port(rp_span_t scheme);

/* 1 if the text starts like "scheme:" (any letters, digits, `+-.`), so is not server-relative. */
int rp_uri_is_url(rp_span_t text);

/*
 * Assembles the canonical target `scheme://host[:port]path[?query]`: scheme and host in lower
 * case, no user info, port only if it is not the scheme's own, IPv6 in brackets, a '/' put
 * before a path that has none. It is the last guard before a request line: path and query with a
 * space or a control are refused.
 *
 * u      a successfully split target; its rest is not used
 * path   encoded by rp_uri_encode_path, or raw; may be empty
 * query  without the '?'; p NULL: none; n 0: the '?' alone is kept, as the client sent it
 * Returns the length, or RP_URI_E_NOHOST, RP_URI_E_UNSAFE. Compatibility: 4.2.
 */
ptrdiff_t rp_uri_canonical_target(char *out, size_t cap, const rp_uri_t *u, rp_span_t path,
                                  rp_span_t query);

/* ---- paths ---- */

/*
 * Matches the path of a ProxyPass against a request's path: byte by byte, except that a run of
 * '/' matches any run of at least one '/'; a pattern without '/' at its end must end where the
 * uri ends or has a '/'.
 *
 * Returns the number of bytes of uri that matched (the target is url + rest of uri), 0: no match.
 * Compatibility: 3.2, 22.1 to 22.5.
 */
size_t rp_uri_match_prefix(const char *pattern, const char *uri);

/*
 * The same for mapping=servlet: uri (still encoded) is matched as a servlet container would read
 * it: `;parameters` dropped from each segment, empty and "." segments dropped, ".." resolved.
 *
 * out, cap  receive the uri as it was matched; cap must exceed strlen(uri), it is the work space.
 *           Valid only if the result is > 0.
 * Returns the number of bytes of the original uri that matched, so that the rest can be appended
 * to the target as the client wrote it (with the parameters of the pattern's last segment, if the
 * pattern has no '/' at its end and something follows); 0: no match, also for a uri that leads
 * above the root; RP_URI_E_SPACE. Compatibility: 3.4.
 */
ptrdiff_t rp_uri_match_servlet(char *out, size_t cap, const char *pattern, const char *uri);

enum {
    RP_URI_KEEP_2F = 1 /* AllowEncodedSlashes NoDecode: the server left %2F in the path encoded */
};

/*
 * Encodes a decoded path: letters, digits and `/~$-_.+!*'(),;:@&=` stay, every other byte becomes
 * %XX in capitals, '%' too.
 *
 * flags  0, or RP_URI_KEEP_2F: "%2F" and "%2f" stay as they are, other '%' become "%25"
 * raw    with RP_URI_KEEP_2F: the path as the client sent it (a query is ignored), to tell an
 *        encoded slash from a client's "%252F", which the server decoded to the same text; where
 *        the two cannot be told apart, "%252F" is sent. p NULL: not known, keep all "%2F".
 * Returns the length (at most 3 * path.n), RP_URI_E_SPACE.
 */
ptrdiff_t rp_uri_encode_path(char *out, size_t cap, rp_span_t path, unsigned flags, rp_span_t raw);

/* 1 if a byte is a space, a control or DEL: a raw path or a query to answer with 403. */
int rp_uri_has_unsafe(rp_span_t text);

/*
 * Does a path climb where only some of those who read it see that? A segment of "." or ".." (each dot may be "%2e") that
 * has ";parameters", or a backslash, "%5C" or "%2F" beside it, is a name for httpd (RFC 3986 3.3, 6.2.2.3), so for
 * access control too; servlet containers and Windows resolve it. Plain dot segments are no matter: all see those.
 *
 * path  as it is to be sent; from a '?' on it is not looked at
 * Returns 1 or 0.
 */
int rp_uri_hides_dots(rp_span_t path);

/* ---- the way back ---- */

typedef struct rp_uri_map_t {
    const char *real; /* as the backend says it */
    const char *pub;  /* as clients are to see it */
} rp_uri_map_t;

/*
 * Maps the value of a Location, Content-Location, URI or Destination header with one
 * ProxyPassReverse entry.
 *
 * value  from the backend
 * map    real: the directive's url; pub: its path. A real of http://... (or of an unknown
 *        balancer) is a prefix of value in any case, without a boundary; a real of /... is a
 *        prefix of value's path whatever its host, or of a value that starts with one '/'.
 * Returns the length of pub + rest (check it with rp_uri_is_url: if it is none, put this server's
 * scheme and host before it), RP_URI_NOMATCH, or RP_URI_E_UNSAFE for controls in value or pub.
 * Compatibility: 16.1.
 */
ptrdiff_t rp_uri_reverse(char *out, size_t cap, rp_span_t value, const rp_uri_map_t *map);

/*
 * The same for an entry balancer://name[/sub], for one member: value is the member's URL, then
 * sub, then the rest. Unlike mod_proxy, a '/' at the end of the member's URL, of sub or of pub
 * makes no difference: the rest starts at a '/', '?', '#' or the end, never inside a host, port or
 * segment, and pub and rest are joined without losing or doubling a '/'.
 *
 * map  real: the member's URL, no default port; pub: path of the directive
 * sub  "/sub" of the balancer's URL, "" or "/": none; case counts
 * Results as above. Compatibility: 16.1, 16.4.
 */
ptrdiff_t rp_uri_reverse_member(char *out, size_t cap, rp_span_t value, const rp_uri_map_t *map,
                                const char *sub);

typedef struct rp_cookie_maps_t {
    const rp_uri_map_t *paths; /* ProxyPassReverseCookiePath, first match wins, case counts */
    size_t npaths;
    const rp_uri_map_t *domains; /* ProxyPassReverseCookieDomain, in any case */
    size_t ndomains;
} rp_cookie_maps_t;

/*
 * Rewrites the last Path and the last Domain attribute of a Set-Cookie value. An attribute is
 * `path=` or `domain=` in any case right after ';' and white space; its value ends before the next
 * ';'. An entry whose real is a prefix of it replaces all of it. The cookie's own name and value
 * are never touched.
 *
 * Returns the length, RP_URI_NOMATCH (send the value as it is), or RP_URI_E_UNSAFE for controls
 * in value or in the pub that would be used. Compatibility: 16.3; RFC 6265 4.1.1, 5.2.
 */
ptrdiff_t rp_cookie_rewrite(char *out, size_t cap, rp_span_t value, const rp_cookie_maps_t *maps);

/* ---- ${VAR} ---- */

/* Returns the value of a variable, NULL if there is none. name is not NUL-terminated. */
typedef const char *rp_uri_env_fn(void *ctx, rp_span_t name);

/*
 * Expands ${VAR} in configured text (ProxyPassInterpolateEnv). Once: values are not expanded
 * again. A variable that does not exist is empty, a "${" without '}' is text.
 *
 * lookup, ctx  called for each variable, from left to right
 * Returns the length. The values may come from clients: hand the result on only to functions of
 * this unit. Compatibility: 3.4.
 */
ptrdiff_t rp_uri_expand_env(char *out, size_t cap, const char *text, rp_uri_env_fn *lookup,
                            void *ctx);

#endif
