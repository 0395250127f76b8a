/* rp_conf: what the operator wrote. Routes, backends, groups, options.
 *
 * Owns:      the server and per-directory configuration, its merge, the
 *            directive setters (rp_conf_cmd.c, rp_conf_param.c), the checks that stop configtest.
 * Does not:  match requests (rp_route), resolve names (rp_addr), connect (rp_pool).
 * Threads:   written while httpd reads its configuration (one thread); immutable
 *            after post_config, so any thread may read.
 * Memory:    pconf.
 * Blocks?    Never.
 */
#ifndef RP_CONF_H
#define RP_CONF_H

#include <stdbool.h>

#include "httpd.h"
#include "http_config.h"
#include "ap_expr.h"
#include "apr_tables.h"

#include "rp_conf_check.h"
#include "rp_span.h"

typedef struct rp_route_t rp_route_t;
typedef struct rp_backend_t rp_backend_t;
typedef struct rp_group_t rp_group_t;
typedef struct rp_roster_t rp_roster_t; /* rp_conf_member.h */

/* A value that may be unset, so that merging can tell "off" from "not said". */
typedef enum { RP_UNSET = -1, RP_OFF = 0, RP_ON = 1 } rp_switch_t;

typedef enum { RP_VIA_OFF, RP_VIA_ON, RP_VIA_FULL, RP_VIA_BLOCK } rp_via_t;
typedef enum { RP_BAD_HEADER_ERROR, RP_BAD_HEADER_IGNORE, RP_BAD_HEADER_START_BODY } rp_bad_header_t;

/* Bits of rp_options_t.set: which parameters were given by the operator. */
#define RP_OPT_MAX              (1u << 0)
#define RP_OPT_SMAX             (1u << 1)
#define RP_OPT_MIN              (1u << 2)
#define RP_OPT_TTL              (1u << 3)
#define RP_OPT_ACQUIRE          (1u << 4)
#define RP_OPT_TIMEOUT          (1u << 5)
#define RP_OPT_CONNECT_TIMEOUT  (1u << 6)
#define RP_OPT_RETRY            (1u << 7)
#define RP_OPT_PING             (1u << 8)
#define RP_OPT_REUSE            (1u << 9)
#define RP_OPT_KEEPALIVE        (1u << 10)
#define RP_OPT_FLUSH_PACKETS    (1u << 11)
#define RP_OPT_FLUSH_WAIT       (1u << 12)
#define RP_OPT_IO_BUFFER        (1u << 13)
#define RP_OPT_RECEIVE_BUFFER   (1u << 14)
#define RP_OPT_FIELD_SIZE       (1u << 15)
#define RP_OPT_LOADFACTOR       (1u << 16)
#define RP_OPT_ROUTE            (1u << 17)
#define RP_OPT_REDIRECT         (1u << 18)
#define RP_OPT_STATUS           (1u << 19)
#define RP_OPT_LBSET            (1u << 20)
#define RP_OPT_UPGRADE          (1u << 21)
#define RP_OPT_ADDRESS_TTL      (1u << 22)
#define RP_OPT_TUNNEL_MAX       (1u << 23)
#define RP_OPT_CHECK_METHOD     (1u << 24)
#define RP_OPT_CHECK_INTERVAL   (1u << 25)
#define RP_OPT_CHECK_TIMEOUT    (1u << 26)
#define RP_OPT_CHECK_PASSES     (1u << 27)
#define RP_OPT_CHECK_FAILS      (1u << 28)
#define RP_OPT_CHECK_URI        (1u << 29)
#define RP_OPT_CHECK_EXPR       (1u << 30)

/* Status flags of a backend as configured, by mod_proxy's letters. */
#define RP_STATUS_IGNORE_ERRORS 0x001u /* I */
#define RP_STATUS_DRAIN         0x002u /* N */
#define RP_STATUS_DISABLED      0x004u /* D */
#define RP_STATUS_STOPPED       0x008u /* S */
#define RP_STATUS_ERROR         0x010u /* E */
#define RP_STATUS_STANDBY       0x020u /* H */
#define RP_STATUS_CHECK_FAILED  0x040u /* C */
#define RP_STATUS_SPARE         0x080u /* R */

/* key=value parameters of a backend. Times in microseconds; 0 where not in `set`
 * unless a default is named here. Only the operator's words: effective values
 * that depend on the request's server come from the rp_conf_get_* functions. */
typedef struct rp_options_t {
    unsigned set;                        /* RP_OPT_* */
    int max, smax, min;                  /* connections per child; max 0 = ThreadsPerChild */
    apr_interval_time_t ttl;             /* idle life of a pooled connection; 0 = no limit */
    apr_interval_time_t acquire;         /* wait for a free connection; 0 = as long as it takes */
    apr_interval_time_t timeout;
    apr_interval_time_t connect_timeout;
    apr_interval_time_t retry;           /* default 60 s */
    apr_interval_time_t ping;            /* 0 = no 100-continue probe */
    apr_interval_time_t address_ttl;     /* -1 = until the child exits (default); 0 = each connect */
    bool reuse;                          /* default true; disablereuse=On clears */
    bool keepalive;                      /* SO_KEEPALIVE */
    apr_size_t io_buffer, receive_buffer;
    apr_size_t field_size;               /* longest response line; default 8192 */
    int loadfactor;                      /* x100, default 100 */
    int lbset;
    const char *route, *redirect;        /* "" when not given */
    unsigned status_set, status_clear;   /* RP_STATUS_* given with + and with - */
    const char *upgrade;                 /* NULL: not given; "*": ANY; "NONE"; else token list */
    int tunnel_max;                      /* tunnels per child; 0 = no limit */
    rp_check_options_t check;            /* only of members */
} rp_options_t;

/* One server behind us. For a target with variables ($1, ${X}) in its host, the
 * backends that requests lead to are made at run time (rp_pool) with these options. */
struct rp_backend_t {
    /* What each choice among members reads of each of them. */
    const char *name;        /* normalised URL: scheme and host lower case, default port dropped, path kept */
    int slot;                /* of a member: its place in shared memory (rp_shm); -1 else */

    const char *scheme;      /* "http", "https", "ws", "wss" */
    const char *host;        /* lower case, no brackets */
    apr_port_t port;         /* never 0: the scheme's default when not written */
    const char *path;        /* "" or "/..." */
    const char *uds_path;    /* absolute path of a unix socket, or NULL */
    bool is_tls;             /* https, wss */
    bool has_variable_path;  /* $n or ${} in the path: name is a pattern */
    bool has_variable_host;
    bool is_dynamic;         /* made at run time, not in any configuration */
    bool is_named;           /* made by ProxySet or <Proxy URL>: its options also start those of later routes below it */
    rp_options_t opt;
    rp_group_t *group;       /* NULL for a plain route's backend */
    server_rec *server;      /* where it was defined */
    ap_conf_vector_t *section; /* per-directory configuration of the <Proxy URL> section of just this URL, or NULL */
    const char *file;        /* where, for messages */
    int line;
    int id;                  /* 0.. over all servers, set at post_config; -1 before and for dynamic ones */
};

/* Bits of rp_group_options_t.set. */
#define RP_GROUP_METHOD         (1u << 0)
#define RP_GROUP_STICKY         (1u << 1)
#define RP_GROUP_SEPARATOR      (1u << 2)
#define RP_GROUP_SCOLON         (1u << 3)
#define RP_GROUP_NO_FAILOVER    (1u << 4)
#define RP_GROUP_TIMEOUT        (1u << 5)
#define RP_GROUP_MAX_ATTEMPTS   (1u << 6)
#define RP_GROUP_FAIL_STATUS    (1u << 7)
#define RP_GROUP_FAIL_TIMEOUT   (1u << 8)
#define RP_GROUP_NONCE          (1u << 9)
#define RP_GROUP_GROWTH         (1u << 10)
#define RP_GROUP_FORCE_RECOVERY (1u << 11)
#define RP_GROUP_STICKY_COOKIE  (1u << 12)
#define RP_GROUP_STICKY_SECRET  (1u << 13)
#define RP_GROUP_HASH_KEY       (1u << 14)
#define RP_GROUP_FAIL_OVER_STATUS (1u << 15)

/* key=value parameters of a group. */
typedef struct rp_group_options_t {
    unsigned set;                 /* RP_GROUP_* */
    const char *method;           /* default "byrequests"; there is a provider of that name */
    const char *sticky;           /* cookie's name; NULL: no stickiness by the backends' ids */
    const char *sticky_path;      /* URL parameter's name */
    const char *sticky_cookie;    /* name of the cookie that we set; NULL: none */
    const char *sticky_secret;    /* what its value is signed with; NULL: the key of this installation */
    char separator;               /* before the route in an id; 0: the id is the route */
    bool scolon_ends;             /* ';' ends a URL parameter */
    bool no_failover;             /* a session's member or none */
    bool fail_on_timeout;
    bool force_recovery;          /* default true */
    apr_interval_time_t timeout;  /* wait for a usable member; microseconds, 0: do not */
    int max_attempts;             /* more than the first one; valid with its bit */
    int growth;                   /* members that may be added at run time */
    const apr_array_header_t *fail_on; /* int, statuses; NULL: none */
    const apr_array_header_t *fail_over_on; /* the same: another member is asked instead */
    const char *nonce;            /* NULL: made at start; "": none matches */
    const ap_expr_info_t *hash_key; /* of lbmethod=hash; NULL: the URL's path */
} rp_group_options_t;

/* A balancer:// pool. */
struct rp_group_t {
    const char *name;        /* "balancer://name", lower case */
    apr_array_header_t *members; /* rp_backend_t *: those of the configuration, in its order */
    rp_roster_t *roster;     /* set at post_config */
    apr_array_header_t *doubles; /* rp_backend_t *: lines that name a member again, without effect */
    const rp_group_t *hidden_by; /* the main server's one of this name, whose members count; or NULL */
    rp_group_options_t opt;
    server_rec *server;
    const char *file;
    int line;
    int id;                  /* 0.. over all servers, set at post_config; its place in shared memory, too */
    const char *const *tokens; /* of stickycookie=: one for each configured member; set by rp_lb */
};

#define RP_ROUTE_NOCANON     0x01u
#define RP_ROUTE_INTERPOLATE 0x02u
#define RP_ROUTE_NOQUERY     0x04u
#define RP_ROUTE_ENCODED     0x08u /* mapping=encoded */
#define RP_ROUTE_SERVLET     0x10u /* mapping=servlet; RP_ROUTE_ENCODED is set too */

/* A ProxyPass or ProxyPassMatch: public path to target. */
struct rp_route_t {
    const char *path;        /* public prefix, or regex text; the Location's path inside one */
    ap_regex_t *regex;       /* NULL: prefix match */
    const char *target;      /* URL as configured, without the unix:PATH| part kept in backend->uds_path; NULL when excluded */
    const char *raw_target;  /* as written, incl. unix:PATH| */
    bool is_excluded;        /* "!" */
    bool in_location;
    unsigned flags;          /* RP_ROUTE_* */
    rp_backend_t *backend;   /* one of these two is set, unless excluded or the group's name has variables */
    rp_group_t *group;
    const char *file;
    int line;
};

/* ProxyPassReverse, ProxyPassReverseCookieDomain, ProxyPassReverseCookiePath:
 * `real` is what the backend says, `pub` what the client shall see. */
typedef struct rp_mapping_t {
    const char *real, *pub;
    bool interpolate;
    const char *file;
    int line;
} rp_mapping_t;

/* Per <Proxy>/<ProxyMatch> section. */
typedef struct rp_section_t {
    const char *pattern;     /* URL prefix, glob, or regex text; without a leading "proxy:" */
    ap_regex_t *regex;       /* <ProxyMatch> */
    apr_array_header_t *captures; /* const char *: names "MATCH_X" of the regex's groups, NULL entries for unnamed */
    bool is_glob;
    ap_conf_vector_t *dir_conf;
} rp_section_t;

/* One word of RevProxyLint: "-name", "+name", "On" or "Off". */
typedef struct rp_lint_word_t {
    const char *text;
    const char *file;
    int line;
} rp_lint_word_t;

typedef struct rp_server_conf_t {
    server_rec *server;
    apr_array_header_t *routes;     /* rp_route_t *, main server's first, as mod_proxy merges them */
    apr_array_header_t *sections;   /* rp_section_t * */
    apr_array_header_t *backends;   /* rp_backend_t * defined here or inherited: for look-up by URL and ProxySet */
    apr_array_header_t *groups;     /* rp_group_t * */
    apr_array_header_t *blocked;    /* const char *: ProxyBlock words */
    apr_array_header_t *check_exprs;     /* rp_check_expr_t *; never inherited */
    apr_array_header_t *check_templates; /* rp_check_template_t *; never inherited */
    apr_array_header_t *lint_words; /* rp_lint_word_t, main server's first: the last one that applies counts */
    rp_switch_t pass_inherit, balancer_inherit;
    bool balancer_persist;          /* never inherited */
    const char *heartbeat_file;     bool heartbeat_file_set; /* HeartbeatStorage */
    int balancer_growth;            bool balancer_growth_set; /* accepted, for the manager */
    rp_via_t via;                   bool via_set;
    apr_interval_time_t timeout;    bool timeout_set;
    apr_size_t io_buffer;           bool io_buffer_set;      /* default 8192 */
    apr_size_t receive_buffer;      bool receive_buffer_set; /* 0 = the system's */
    rp_bad_header_t bad_header;     bool bad_header_set;
    long max_forwards;              bool max_forwards_set;   /* default -1 */
    int status_mode;                bool status_mode_set;    /* ProxyStatus: 0 off, 1 on */
    apr_sockaddr_t *source_address; bool source_address_set;
    apr_size_t head_max;            bool head_max_set;       /* RevProxyResponseHeadMax, bytes, default 131072 */
    int fields_max;                 bool fields_max_set;     /* RevProxyResponseFieldsMax, default 500 */
    int tunnel_max;                 bool tunnel_max_set;     /* RevProxyTunnelMax, all children; 0 (default) = no limit */
    apr_size_t check_body_max;      bool check_body_max_set; /* RevProxyCheckBodyMax, bytes, default 1048576 */
    apr_interval_time_t tunnel_drain; bool tunnel_drain_set; /* RevProxyTunnelDrain; 0: they may stay */
} rp_server_conf_t;

/* RevProxyForwarded: what the backend is told about the client's connection. */
typedef struct rp_forwarded_t {
    bool proto, port, rfc7239;  /* X-Forwarded-Proto, X-Forwarded-Port, Forwarded; none: Off */
    enum {
        RP_FORWARDED_AUTO,      /* what the client says is replaced, unless it is a proxy that mod_remoteip trusts */
        RP_FORWARDED_REPLACE,
        RP_FORWARDED_APPEND     /* ... is kept */
    } mode;
    bool has_by;
    const char *by, *client;    /* names in place of the addresses: "_edge1" (RFC 7239 6.3), or NULL */
} rp_forwarded_t;

typedef struct rp_dir_conf_t {
    const char *path;               /* of the Location, "" elsewhere */
    rp_route_t *route;              /* ProxyPass inside Location */
    apr_array_header_t *reverse;        /* rp_mapping_t, outer first */
    apr_array_header_t *cookie_paths;   /* rp_mapping_t */
    apr_array_header_t *cookie_domains; /* rp_mapping_t */
    rp_switch_t preserve_host, add_headers, error_override, interpolate_env, forward_continue, ws_fallback;
    rp_switch_t park;                   /* RevProxyPark; default on */
    rp_switch_t client_abort;           /* RevProxyClientAbort; default on */
    rp_switch_t splice;                 /* RevProxySplice; default on */
    rp_switch_t tls_resume;             /* RevProxyTLSResume; default on */
    rp_switch_t refuse_dots;            /* RevProxyRefuseDots; default on */
    const rp_forwarded_t *forwarded;    /* NULL: not said */
    apr_interval_time_t park_after; bool park_after_set; /* RevProxyParkAfter */
    apr_interval_time_t tunnel_idle; bool tunnel_idle_set; /* RevProxyTunnelIdle; 0: as long as other waits */
    apr_interval_time_t tunnel_life; bool tunnel_life_set; /* RevProxyTunnelLifetime; 0: no limit */
    apr_array_header_t *error_codes;    /* int, sorted; empty: 400..599 */
} rp_dir_conf_t;

extern const command_rec rp_conf_commands[];

void *rp_conf_create_server(apr_pool_t *p, server_rec *s);
void *rp_conf_merge_server(apr_pool_t *p, void *base, void *add);
void *rp_conf_create_dir(apr_pool_t *p, char *path);
void *rp_conf_merge_dir(apr_pool_t *p, void *base, void *add);

/* pre_config: forget what the last reading of the configuration found out
 * (is the real mod_proxy loaded? then the plain directive names are its own). */
int rp_conf_pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp);

/* post_config: give ids, link routes with backends, run mod_ssl's section hook
 * for every <Proxy> section; a mistake is logged with file and line.
 * Returns OK or HTTP_INTERNAL_SERVER_ERROR. */
int rp_conf_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                        server_rec *main_server);

/* The stand-in records of mod_proxy.c and mod_proxy_http.c for modules and
 * <IfModule> that look for them; called from register_hooks. */
void rp_conf_add_stand_ins(apr_pool_t *p);

/* Is the real module of this name ("mod_proxy.c") in this server, and not our stand-in? */
bool rp_conf_has_module(const char *name);

/* Borrowed, never NULL. */
const rp_server_conf_t *rp_conf_get_server(const server_rec *s);
const rp_dir_conf_t *rp_conf_get_dir(const request_rec *r);

/* Does upgrade= of a backend allow this protocol? Never another HTTP or TLS: requests would reach the
 * backend that no rule of this server has seen (CVE-2019-0197, CVE-2025-49812). */
bool rp_conf_is_in_upgrade(const char *upgrade, rp_span_t protocol);

/* Number of backends in all servers: ids are 0..n-1. Valid after post_config. */
int rp_conf_count_backends(void);
/* Backend by id; never NULL for a valid id. */
rp_backend_t *rp_conf_get_backend(int id);
/* The groups of all servers, each once. Valid after post_config; NULL before. */
const apr_array_header_t *rp_conf_get_groups(void); /* rp_group_t * */

/* A backend's URL as the operator would write it: "unix:/path|http://host/" for a socket. */
const char *rp_conf_get_url(apr_pool_t *p, const rp_backend_t *b);
/* Defined backend whose name is the longest prefix of url, or NULL. url is canonical
 * (scheme and host lower case); uds_path: its socket or NULL, has to be the same. */
rp_backend_t *rp_conf_find_backend(const rp_server_conf_t *conf, const char *url, const char *uds_path);
/* The parameters of a backend for which none are given. */
void rp_conf_init_options(rp_options_t *opt);
/* "timeout=60s retry=5s": the parameters that the operator gave, for people. "" when none. */
const char *rp_conf_describe_options(apr_pool_t *p, const rp_options_t *opt);
/* Group named in a balancer:// url (its path is ignored), or NULL. */
rp_group_t *rp_conf_find_group(const rp_server_conf_t *conf, const char *url);

/* Does a <Proxy> or <ProxyMatch> section apply to a target's URL? groups: n places for what the parts of its
 * regular expression match, 0 and NULL if nobody asks. */
bool rp_conf_is_in_section(const rp_section_t *section, const char *url, int n, ap_regmatch_t *groups);

/* Effective values for a backend in the server of a request: its own, ProxyTimeout or Timeout. Microseconds. */
apr_interval_time_t rp_conf_get_timeout(const rp_backend_t *b, const server_rec *s);
apr_interval_time_t rp_conf_get_connect_timeout(const rp_backend_t *b, const server_rec *s);

#endif
