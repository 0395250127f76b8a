/* rp_lint_int: what the files of rp_lint share; nobody else includes it.
 *
 * Owns:      the shape of a check, and what a check is told.
 * Does not:  hold state.
 * Threads:   while httpd reads its configuration: one.
 * Memory:    lint->p, until the run is over.
 * Blocks?    Never; rp_lint_host.c waits for the resolver of other processes, two seconds at most.
 *
 * A check is one small function in one of the tables below. It looks at what its scope names and calls
 * rp_lint_say for what it finds; level, name and silence are the engine's (rp_lint.c).
 */
#ifndef RP_LINT_INT_H
#define RP_LINT_INT_H

#include "rp_lint.h"

#include "apr_file_io.h"
#include "apr_hash.h"
#include "apr_lib.h"
#include "apr_strings.h"
#include "http_core.h"
#include "util_cfgtree.h"

#include "rp_conf.h"
#include "rp_route.h"

extern module AP_MODULE_DECLARE_DATA revproxy_module;

typedef struct rp_lint_t rp_lint_t;

/* What a check looks at, once each. */
typedef enum {
    RP_LINT_ROUTE,     /* a route with its server: lint->route, rank, dir; its rank-th neighbours come before it */
    RP_LINT_BACKEND,   /* that of a route, or a group's member: lint->backend; route is NULL for a member */
    RP_LINT_GROUP,     /* lint->group, in the server that defines it */
    RP_LINT_SERVER,    /* lint->s */
    RP_LINT_DIRECTIVE, /* lint->d, any module's, and the server it stands in */
    RP_LINT_WHOLE      /* the configuration as a whole, last; lint->s is the main server */
} rp_lint_scope_t;

typedef struct rp_lint_check_t {
    const char *name; /* for RevProxyLint and README; NULL ends a table */
    int level;        /* APLOG_ERR: no request can succeed, so configtest fails; APLOG_WARNING: most
                         likely a mistake; APLOG_NOTICE: legal, what people often did not mean, said at
                         configtest; APLOG_INFO: legal, worth knowing */
    rp_lint_scope_t scope;
    void (*run)(rp_lint_t *lint);
} rp_lint_check_t;

/* One run over the configuration. */
struct rp_lint_t {
    apr_pool_t *p;
    bool is_configtest;
    bool *is_refused;             /* set when a check of level error had something to say */
    server_rec *main, *s;         /* the main server, the one looked at */
    const rp_server_conf_t *conf; /* of s */
    const rp_lint_check_t *check; /* the one that runs */
    const rp_route_t *route;
    const rp_backend_t *backend;
    int rank;                     /* of the route among conf->routes; -1: in a Location */
    const rp_dir_conf_t *dir;     /* where the route stands: of its Location, or the server's */
    const rp_group_t *group;
    const ap_directive_t *d;
    apr_hash_t *seen;             /* routes that were looked at: a virtual host repeats the main server's */
    apr_hash_t *directives;       /* lower-case name: array of const ap_directive_t * */
    apr_hash_t *hosts;            /* "line:file" of a <VirtualHost>: server_rec */
    apr_hash_t *prefixes[2];      /* of s: path of a route: the first such route; [1] has mapping=encoded only */
    apr_hash_t *reversed;         /* of s: URL of a ProxyPassReverse: see rp_lint_reverse.c */
    apr_hash_t *targets;          /* of s: authority of a route's target: array of const rp_route_t *; "=URL": one */
    apr_hash_t *said;             /* what was reported: a virtual host repeats the main server's */
    apr_hash_t *counts;           /* name of a check of level notice: int, how often it had something to say */
    apr_hash_t *balancers;        /* "name" of each balancer:// that a directive leads to; "*": some have variables */
};

extern const rp_lint_check_t rp_lint_route_checks[], rp_lint_order_checks[], rp_lint_reverse_checks[],
    rp_lint_tls_checks[], rp_lint_group_checks[], rp_lint_tree_checks[], rp_lint_rewrite_checks[],
    rp_lint_host_checks[], rp_lint_server_checks[];

/* ---- rp_lint.c ---- */

/* The main server, then its virtual hosts in file order; server_rec *. */
const apr_array_header_t *rp_lint_get_servers(apr_pool_t *p, server_rec *main);
/* The balancer that a route of lint->s leads to: its name counts, and a virtual host may have its own. NULL: it
 * leads to none, or to one that the request names. */
const rp_group_t *rp_lint_get_group(const rp_lint_t *lint, const rp_route_t *route);
/* Does lint->route, or lint->backend, get the client's Host (ProxyPreserveHost)? */
bool rp_lint_keeps_host(const rp_lint_t *lint);
/* One finding of the running check. */
void rp_lint_say(const rp_lint_t *lint, const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The same about lint->route, which is named first. */
void rp_lint_say_route(const rp_lint_t *lint, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same about lint->backend: its route or itself is named first. */
void rp_lint_say_backend(const rp_lint_t *lint, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same about lint->d. */
void rp_lint_say_directive(const rp_lint_t *lint, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- rp_lint_tree.c: directives of all modules ---- */

/* Index the tree: directives by name, servers by their section. */
void rp_lint_index_tree(rp_lint_t *lint);
/* All directives of a name, in file order; const ap_directive_t *. Never NULL. */
const apr_array_header_t *rp_lint_get_directives(const rp_lint_t *lint, const char *name);
/* The first one of a name that holds in server s: outside of all virtual hosts, or in its own; in
 * whatever section. NULL: none. value: only one whose first word this is (NULL: any). */
const ap_directive_t *rp_lint_find_directive(const rp_lint_t *lint, const char *name, const char *value,
                                             const server_rec *s);
/* The server that a directive stands in. */
server_rec *rp_lint_get_host(const rp_lint_t *lint, const ap_directive_t *d);
/* Number n (from 0) of a directive's words, "" if it has fewer. */
const char *rp_lint_get_word(apr_pool_t *p, const ap_directive_t *d, int n);
bool rp_lint_is_named(const ap_directive_t *d, const char *name);
/* Is the directive On at the level of server s? What the server says itself counts more than what the main one says. */
bool rp_lint_is_on(const rp_lint_t *lint, const char *name, const server_rec *s);

/* ---- rp_lint_order.c ---- */

/* What the checks of later routes have to know of lint->route. */
void rp_lint_note_route(rp_lint_t *lint);

/* ---- rp_lint_rewrite.c ---- */

/* A RewriteRule with [P]? */
bool rp_lint_is_proxying(const rp_lint_t *lint, const ap_directive_t *d);
/* A RewriteRule of lint->s that nobody asks, since RewriteEngine is off there? */
bool rp_lint_is_asleep(const rp_lint_t *lint, const ap_directive_t *rule);
/* Does it stand in the main server or a virtual host itself, in no section there? */
bool rp_lint_is_in_server(const ap_directive_t *d);

/* ---- rp_lint_host.c ---- */

/* Does this httpd itself listen there? By an address, a name for this machine, or a name of lint->s. */
bool rp_lint_is_own_address(const rp_lint_t *lint, const char *host, apr_port_t port);

/* ---- rp_lint_reverse.c ---- */

/* Index the ProxyPassReverse lines and the targets of lint->s. */
void rp_lint_index_reverse(rp_lint_t *lint);

/* ---- rp_lint_request.c ---- */

/* A request of HTTP/1.1 that nobody sent, for the routes of the server that would get it; r->server is
 * chosen as httpd does, by address, port and host. uri: path and query as a client writes them.
 * NULL: nobody would get it. Lives as long as p. */
request_rec *rp_lint_make_request(apr_pool_t *p, server_rec *main, const char *host, apr_port_t port, const char *uri);
/* This made-up request comes by TLS; NULL: none does. */
void rp_lint_set_tls(const request_rec *r);
/* Bring the path into its normal form and merge the Locations' settings: what httpd does before the first phase of
 * translation. OK, or the status that httpd answers itself. */
int rp_lint_prepare_request(request_rec *r);
/* Decode the path, as httpd does between its two phases of translation, and look at the Locations again.
 * OK, or the status that httpd answers itself. */
int rp_lint_settle_request(request_rec *r);

/* ---- rp_lint_dump.c ---- */

/* The options of a route behind its target: " nocanon mapping=servlet". */
const char *rp_lint_describe_flags(apr_pool_t *p, unsigned flags);

/* ---- rp_lint_explain.c ---- */

/* Print which way the request for url takes. */
void rp_lint_explain(apr_file_t *out, apr_pool_t *p, server_rec *main, const char *url);

/* ---- rp_lint_route.c ---- */

/* May group number n ("0" + n) of a regular expression for paths follow a host's name: is it empty or does it begin with a
 * slash, whatever is asked for? is_whole: the expression sees paths from their first slash on, so "^(.*)" is one, too. */
bool rp_lint_is_path_group(const char *regex, char number, bool is_whole);

/* ---- texts ---- */

/* In rp_lint.c: for messages and comparisons. */
bool rp_lint_ends_in(const char *text, char c);
/* Behind scheme://host:port of a target; its end if there is no path. */
const char *rp_lint_find_path(const char *target);

#endif
