#include "rp_conf_int.h"

#include <stddef.h>

/* ---- On or Off per directory ---- */

static const char *set_dir_switch(cmd_parms *cmd, void *dir, int flag)
{
    const char *err = rp_conf_enter(cmd, RP_PLACE_ANY);

    if (!err) {
        *(rp_switch_t *)((char *)dir + (size_t)cmd->info) = flag ? RP_ON : RP_OFF;
    }
    return err;
}

#define DIR_SWITCH(member) ((void *)offsetof(rp_dir_conf_t, member))

static const char *set_pass_inherit(cmd_parms *cmd, void *dir, int flag)
{
    const char *err = rp_conf_enter(cmd, RP_PLACE_SERVER);

    (void)dir;
    if (!err) {
        rp_conf_of(cmd)->pass_inherit = flag ? RP_ON : RP_OFF;
    }
    return err;
}

/* ---- one word of a list, per server ---- */

typedef struct choice_t {
    const char *word;
    int value;
} choice_t;

static bool choose(const char *text, const choice_t *choices, int *value)
{
    for (; choices->word; choices++) {
        if (!ap_cstr_casecmp(text, choices->word)) {
            *value = choices->value;
            return true;
        }
    }
    return false;
}

static const char *set_via(cmd_parms *cmd, void *dir, const char *arg)
{
    static const choice_t choices[] = {{"off", RP_VIA_OFF},
                                       {"on", RP_VIA_ON},
                                       {"full", RP_VIA_FULL},
                                       {"block", RP_VIA_BLOCK},
                                       {NULL, 0}};
    const char *err = rp_conf_enter(cmd, RP_PLACE_SERVER);
    rp_server_conf_t *conf = rp_conf_of(cmd);
    int value;

    (void)dir;
    if (err) {
        return err;
    }
    if (!choose(arg, choices, &value)) {
        return apr_psprintf(cmd->pool,
                            "ProxyVia must be one of: off | on | full | block; '%s' was read", arg);
    }
    conf->via = (rp_via_t)value;
    conf->via_set = true;
    return NULL;
}

static const char *set_bad_header(cmd_parms *cmd, void *dir, const char *arg)
{
    static const choice_t choices[] = {{"iserror", RP_BAD_HEADER_ERROR},
                                       {"ignore", RP_BAD_HEADER_IGNORE},
                                       {"startbody", RP_BAD_HEADER_START_BODY},
                                       {NULL, 0}};
    const char *err = rp_conf_enter(cmd, RP_PLACE_SERVER);
    rp_server_conf_t *conf = rp_conf_of(cmd);
    int value;

    (void)dir;
    if (err) {
        return err;
    }
    if (!choose(arg, choices, &value)) {
        return apr_psprintf(
            cmd->pool, "ProxyBadHeader must be one of: IsError | Ignore | StartBody; '%s' was read",
            arg);
    }
    conf->bad_header = (rp_bad_header_t)value;
    conf->bad_header_set = true;
    return NULL;
}

static const char *set_status(cmd_parms *cmd, void *dir, const char *arg)
{
    static const choice_t choices[] = {{"off", 0}, {"on", 1}, {"full", 1}, {NULL, 0}};
    const char *err = rp_conf_enter(cmd, RP_PLACE_SERVER);
    rp_server_conf_t *conf = rp_conf_of(cmd);

    (void)dir;
    if (err) {
        return err;
    }
    if (!choose(arg, choices, &conf->status_mode)) {
        return apr_psprintf(cmd->pool, "ProxyStatus must be one of: off | on | full; '%s' was read",
                            arg);
    }
    conf->status_mode_set = true;
    return NULL;
}

/* ---- numbers ---- */

/* A directive with one number: which member, what it may be. */
typedef struct number_t {
    enum { AS_INT, AS_LONG, AS_SIZE, AS_TIME } type;
    bool is_per_dir; /* member of rp_dir_conf_t, else of rp_server_conf_t */
    size_t offset, set_offset;
    apr_int64_t min, max;
    bool is_zero_ok;          /* although below min */
    apr_int64_t zero;         /* what 0 stands for then */
    apr_interval_time_t unit; /* AS_TIME: of a bare number, microseconds */
    const char *rule;         /* mod_proxy's words where it has some */
    const char *example;
} number_t;

#define OF_SERVER(member)                                                                          \
    .offset = offsetof(rp_server_conf_t, member),                                                  \
    .set_offset = offsetof(rp_server_conf_t, member##_set)
#define OF_DIR(member)                                                                             \
    .is_per_dir = true, .offset = offsetof(rp_dir_conf_t, member),                                 \
    .set_offset = offsetof(rp_dir_conf_t, member##_set)

/* clang-format off */
static const number_t timeout = {
    AS_TIME, OF_SERVER(timeout), .min = 1000,
        .max = APR_INT32_MAX * (apr_int64_t)APR_USEC_PER_SEC, .unit = APR_USEC_PER_SEC,
    .rule = "Proxy Timeout must be at least 1 second", .example = "60 (seconds) or 500ms"};
static const number_t io_buffer = {
    AS_SIZE, OF_SERVER(io_buffer), .min = 512, .max = APR_INT32_MAX, .is_zero_ok = true,
        .zero = 8192,
    .rule = "ProxyIOBufferSize must be >= 512 bytes, or 0 for system default", .example = "8192"};
static const number_t receive_buffer = {
    AS_SIZE, OF_SERVER(receive_buffer), .min = 512, .max = APR_INT32_MAX, .is_zero_ok = true,
    .rule = "ProxyReceiveBufferSize must be >= 512 bytes, or 0 for system default",
        .example = "65536"};
static const number_t max_forwards = {
    AS_LONG, OF_SERVER(max_forwards), .min = APR_INT32_MIN, .max = APR_INT32_MAX,
    .rule = "ProxyMaxForwards must be a number, negative for none", .example = "10"};
static const number_t head_max = {
    AS_SIZE, OF_SERVER(head_max), .min = 1024, .max = 16 * 1024 * 1024,
    .rule = "RevProxyResponseHeadMax must be 1024 to 16777216 bytes", .example = "131072"};
static const number_t check_body_max = {
    AS_SIZE, OF_SERVER(check_body_max), .min = 1024, .max = 64 * 1024 * 1024,
    .rule = "RevProxyCheckBodyMax must be 1024 to 67108864 bytes", .example = "1048576"};
static const number_t fields_max = {
    AS_INT, OF_SERVER(fields_max), .min = 1, .max = 100000,
    .rule = "RevProxyResponseFieldsMax must be 1 to 100000", .example = "500"};
static const number_t park_after = {
    AS_TIME, OF_DIR(park_after), .min = 0, .max = 60 * APR_USEC_PER_SEC, .unit = 1000,
    .rule = "RevProxyParkAfter must be 0 to 60 seconds", .example = "2 (milliseconds) or 2ms"};
static const number_t tunnel_idle = {
    AS_TIME, OF_DIR(tunnel_idle), .min = 1000, .max = APR_INT32_MAX * (apr_int64_t)APR_USEC_PER_SEC,
        .unit = APR_USEC_PER_SEC,
    .rule = "RevProxyTunnelIdle must be at least one millisecond", .example = "600 (seconds) or 10mi"};
static const number_t tunnel_life = {
    AS_TIME, OF_DIR(tunnel_life), .min = 0, .max = APR_INT32_MAX * (apr_int64_t)APR_USEC_PER_SEC,
        .unit = APR_USEC_PER_SEC,
    .rule = "RevProxyTunnelLifetime must be a time, 0 for no limit", .example = "3600 (seconds) or 12h"};
static const number_t tunnel_max = {
    AS_INT, OF_SERVER(tunnel_max), .min = 0, .max = APR_INT32_MAX,
    .rule = "RevProxyTunnelMax must be a number, 0 for no limit", .example = "10000"};
static const number_t tunnel_drain = {
    AS_TIME, OF_SERVER(tunnel_drain), .min = 0, .max = APR_INT32_MAX * (apr_int64_t)APR_USEC_PER_SEC,
        .unit = APR_USEC_PER_SEC,
    .rule = "RevProxyTunnelDrain must be a time, 0 to leave tunnels alone",
        .example = "60 (seconds) or 5mi"};
/* clang-format on */

static const char *read_number(const number_t *number, const char *arg, apr_int64_t *value)
{
    const char *wrong = number->type == AS_TIME ? rp_conf_parse_time(arg, number->unit, value)
                                                : rp_conf_parse_number(arg, value);

    if (wrong) {
        return wrong;
    }
    if (number->is_zero_ok && *value == 0) {
        *value = number->zero;
        return NULL;
    }
    return *value < number->min || *value > number->max ? "is out of range" : NULL;
}

static void store_number(const number_t *number, char *conf, apr_int64_t value)
{
    void *member = conf + number->offset;

    switch (number->type) {
    case AS_INT:
        *(int *)member = (int)value;
        break;
    case AS_LONG:
        *(long *)member = (long)value;
        break;
    case AS_SIZE:
        *(apr_size_t *)member = (apr_size_t)value;
        break;
    case AS_TIME:
        *(apr_interval_time_t *)member = value;
        break;
    }
    *(bool *)(conf + number->set_offset) = true;
}

static const char *set_number(cmd_parms *cmd, void *dir, const char *arg)
{
    const number_t *number = cmd->info;
    const char *err = rp_conf_enter(cmd, number->is_per_dir ? RP_PLACE_ANY : RP_PLACE_SERVER);
    apr_int64_t value;

    if (err) {
        return err;
    }
    err = read_number(number, arg, &value);
    if (err) {
        return apr_psprintf(cmd->pool, "%s: '%s' %s; write for example %s %s", number->rule, arg,
                            err, cmd->cmd->name, number->example);
    }
    store_number(number, number->is_per_dir ? dir : (void *)rp_conf_of(cmd), value);
    return NULL;
}

#define NUMBER(name) ((void *)&name)

/* ---- mappings ---- */

static void add_mapping(cmd_parms *cmd, apr_array_header_t *list, rp_mapping_t mapping)
{
    mapping.file = cmd->directive->filename;
    mapping.line = cmd->directive->line_num;
    APR_ARRAY_PUSH(list, rp_mapping_t) = mapping;
}

static const char *check_interpolate(cmd_parms *cmd, const char *word)
{
    if (!word || !ap_cstr_casecmp(word, "interpolate")) {
        return NULL;
    }
    return apr_psprintf(cmd->pool, "%s: the last word may only be 'interpolate', '%s' was read",
                        cmd->cmd->name, word);
}

static const char *add_reverse(cmd_parms *cmd, void *dir, const char *first, const char *second,
                               const char *third)
{
    rp_dir_conf_t *conf = dir;
    rp_mapping_t mapping = {.pub = first, .real = second};
    const char *last = third;
    const char *err = rp_conf_enter(cmd, RP_PLACE_ROUTE);

    if (err) {
        return err;
    }
    if (cmd->path) {
        if (second && ap_cstr_casecmp(second, "interpolate")) {
            return "ProxyPassReverse can not have a path when defined in a location: write the URL "
                   "alone, the path is "
                   "the location's";
        }
        mapping.pub = cmd->path;
        mapping.real = first;
        last = second;
    }
    else if (!second || !ap_cstr_casecmp(second, "interpolate")) {
        return "ProxyPassReverse needs a path when not defined in a location: write PATH URL";
    }
    mapping.interpolate = last != NULL;
    err = check_interpolate(cmd, last);
    if (!err) {
        add_mapping(cmd, conf->reverse, mapping);
    }
    return err;
}

static const char *add_cookie_mapping(cmd_parms *cmd, apr_array_header_t *list,
                                      rp_mapping_t mapping, const char *last)
{
    const char *err = rp_conf_enter(cmd, RP_PLACE_ANY);

    if (!err) {
        err = check_interpolate(cmd, last);
    }
    if (!err) {
        mapping.interpolate = last != NULL;
        add_mapping(cmd, list, mapping);
    }
    return err;
}

static const char *add_cookie_path(cmd_parms *cmd, void *dir, const char *real, const char *pub,
                                   const char *last)
{
    return add_cookie_mapping(cmd, ((rp_dir_conf_t *)dir)->cookie_paths,
                              (rp_mapping_t){.real = real, .pub = pub}, last);
}

static const char *add_cookie_domain(cmd_parms *cmd, void *dir, const char *real, const char *pub,
                                     const char *last)
{
    return add_cookie_mapping(cmd, ((rp_dir_conf_t *)dir)->cookie_domains,
                              (rp_mapping_t){.real = real, .pub = pub}, last);
}

/* ---- the rest ---- */

static void insert_code(apr_array_header_t *codes, int code)
{
    int i;

    for (i = 0; i < codes->nelts; i++) {
        if (APR_ARRAY_IDX(codes, i, int) == code) {
            return;
        }
    }
    apr_array_push(codes);
    for (i = codes->nelts - 1; i > 0 && APR_ARRAY_IDX(codes, i - 1, int) > code; i--) {
        APR_ARRAY_IDX(codes, i, int) = APR_ARRAY_IDX(codes, i - 1, int);
    }
    APR_ARRAY_IDX(codes, i, int) = code;
}

static const char *add_error_code(cmd_parms *cmd, rp_dir_conf_t *conf, const char *arg)
{
    apr_int64_t code;

    if (conf->error_override == RP_UNSET) {
        return apr_psprintf(
            cmd->pool, "ProxyErrorOverride first parameter must be one of: off | on; '%s' was read",
            arg);
    }
    if (rp_conf_parse_number(arg, &code)) {
        return apr_psprintf(
            cmd->pool,
            "ProxyErrorOverride: status codes to intercept must be numeric; '%s' was read", arg);
    }
    if (conf->error_override != RP_ON) {
        return "ProxyErrorOverride: status codes must follow a value of 'on'";
    }
    if (!ap_is_HTTP_ERROR(code)) {
        return apr_psprintf(
            cmd->pool,
            "ProxyErrorOverride: status codes to intercept must be valid HTTP Status Codes "
            ">=400 && <600; '%s' was read",
            arg);
    }
    insert_code(conf->error_codes, (int)code);
    return NULL;
}

static const char *set_error_override(cmd_parms *cmd, void *dir, const char *arg)
{
    rp_dir_conf_t *conf = dir;
    const char *err = rp_conf_enter(cmd, RP_PLACE_ANY);
    bool flag;

    if (err) {
        return err;
    }
    if (!rp_conf_parse_flag(arg, &flag)) {
        return add_error_code(cmd, conf, arg);
    }
    conf->error_override = flag ? RP_ON : RP_OFF;
    return NULL;
}

static const char *set_source_address(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = rp_conf_enter(cmd, RP_PLACE_SERVER);
    rp_server_conf_t *conf = rp_conf_of(cmd);

    (void)dir;
    if (err) {
        return err;
    }
    if (apr_sockaddr_info_get(&conf->source_address, arg, APR_UNSPEC, 0, 0, cmd->pool) !=
        APR_SUCCESS) {
        return apr_psprintf(
            cmd->pool,
            "ProxySourceAddress invalid value: '%s' is no address or known name of this "
            "machine; write for example ProxySourceAddress 10.0.0.5",
            arg);
    }
    conf->source_address_set = true;
    return NULL;
}

static const char *add_blocked(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = rp_conf_enter(cmd, RP_PLACE_SERVER);

    (void)dir;
    if (!err) {
        APR_ARRAY_PUSH(rp_conf_of(cmd)->blocked, const char *) = arg;
    }
    return err;
}

/* Which checks there are is rp_lint's to know: names are looked up when it runs. */
static const char *add_lint_word(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = rp_conf_enter(cmd, RP_PLACE_SERVER);
    rp_lint_word_t word = {arg, cmd->directive->filename, cmd->directive->line_num};
    bool flag;

    (void)dir;
    if (err) {
        return err;
    }
    if (!rp_conf_parse_flag(arg, &flag) && (!strchr("+-", arg[0]) || !arg[1])) {
        return apr_psprintf(cmd->pool,
                            "RevProxyLint takes On, Off, or names of checks with - or + before them: '%s' was read",
                            arg);
    }
    APR_ARRAY_PUSH(rp_conf_of(cmd)->lint_words, rp_lint_word_t) = word;
    return NULL;
}

static const char *set_requests(cmd_parms *cmd, void *dir, int flag)
{
    const char *err = rp_conf_enter(cmd, RP_PLACE_SERVER);

    (void)dir;
    if (err || !flag) {
        return err;
    }
    return "ProxyRequests On is refused: this module is a reverse proxy only, and never sends "
           "requests wherever a "
           "client asks (an open proxy). Remove the line or write 'ProxyRequests Off'; for a "
           "forward proxy load "
           "mod_proxy in a server of its own";
}

static const char *ignore_domain(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = rp_conf_enter(cmd, RP_PLACE_SERVER);

    (void)dir;
    return err || arg[0] == '.' ? err : "ProxyDomain: domain name must start with a dot.";
}

static const char *refuse(cmd_parms *cmd, void *dir, const char *args)
{
    const char *err = rp_conf_enter(cmd, RP_PLACE_ANY);

    (void)dir;
    (void)args;
    return err ? err : apr_pstrcat(cmd->pool, cmd->cmd->name, ": ", (const char *)cmd->info, NULL);
}

/* ---- the table ---- */

#define NO_CHAIN                                                                                   \
    "another proxy between us and the backend is not supported: name the backend itself in "       \
    "ProxyPass, or "                                                                               \
    "keep mod_proxy for this route"
#define NO_CHAIN_LIST "it only limits ProxyRemote, which is not supported: remove the line"

/* Each directive under its own name and under the one that is ours beside a real mod_proxy. Places
 * are checked by the setters, whose messages say where a directive belongs. */
#define ANYWHERE (RSRC_CONF | ACCESS_CONF)
/* clang-format off */
#define TWO(init, name, func, data, help) \
    init(name, func, data, ANYWHERE, help), init("Rev" name, func, data, ANYWHERE, help)
#define TWO_SECTIONS(name, func, help) \
    AP_INIT_RAW_ARGS("<" name, func, NULL, ANYWHERE, help), \
    AP_INIT_RAW_ARGS("<Rev" name, func, NULL, ANYWHERE, help)

const command_rec rp_conf_commands[] = {
    TWO_SECTIONS("Proxy", rp_conf_cmd_section,
        "Container for directives about targets that begin with a URL"),
    TWO_SECTIONS("ProxyMatch", rp_conf_cmd_section,
        "Container for directives about targets by regular expression"),
    TWO(AP_INIT_RAW_ARGS, "ProxyPass", rp_conf_cmd_pass, NULL,
        "a public path and a target's URL, or a path and !"),
    TWO(AP_INIT_RAW_ARGS, "ProxyPassMatch", rp_conf_cmd_pass_match, NULL,
        "a regular expression and a target's URL"),
    TWO(AP_INIT_RAW_ARGS, "ProxySet", rp_conf_cmd_set, NULL,
        "a target's URL and key=value parameters"),
    TWO(AP_INIT_TAKE123, "ProxyPassReverse", add_reverse, NULL,
        "a public path and the URL that the backend calls it"),
    TWO(AP_INIT_TAKE23, "ProxyPassReverseCookiePath", add_cookie_path, NULL,
        "the backend's cookie path and the public one"),
    TWO(AP_INIT_TAKE23, "ProxyPassReverseCookieDomain", add_cookie_domain, NULL,
        "the backend's cookie domain and the public one"),
    TWO(AP_INIT_FLAG, "ProxyPassInterpolateEnv", set_dir_switch, DIR_SWITCH(interpolate_env),
        "On to expand ${VAR} in directives flagged interpolate"),
    TWO(AP_INIT_FLAG, "ProxyPassInherit", set_pass_inherit, NULL,
        "Off to drop the main server's ProxyPass rules here"),
    TWO(AP_INIT_FLAG, "ProxyPreserveHost", set_dir_switch, DIR_SWITCH(preserve_host),
        "On to send the client's Host to the backend"),
    TWO(AP_INIT_FLAG, "ProxyAddHeaders", set_dir_switch, DIR_SWITCH(add_headers),
        "Off to send no X-Forwarded-* headers"),
    TWO(AP_INIT_FLAG, "Proxy100Continue", set_dir_switch, DIR_SWITCH(forward_continue),
        "Off to answer Expect: 100-continue here instead of at the backend"),
    TWO(AP_INIT_FLAG, "ProxyWebsocketFallbackToProxyHttp", set_dir_switch, DIR_SWITCH(ws_fallback),
        "Off to leave requests without Upgrade on ws:// targets alone"),
    TWO(AP_INIT_ITERATE, "ProxyErrorOverride", set_error_override, NULL,
        "On (and status codes) to answer a backend's errors with our own error pages"),
    TWO(AP_INIT_TAKE1, "ProxyVia", set_via, NULL, "Via header: off | on | full | block"),
    TWO(AP_INIT_TAKE1, "ProxyTimeout", set_number, NUMBER(timeout),
        "seconds to wait for a backend, instead of Timeout"),
    TWO(AP_INIT_TAKE1, "ProxyBadHeader", set_bad_header, NULL,
        "malformed response header: IsError | Ignore | StartBody"),
    TWO(AP_INIT_TAKE1, "ProxyMaxForwards", set_number, NUMBER(max_forwards),
        "Max-Forwards for requests without it"),
    TWO(AP_INIT_TAKE1, "ProxyStatus", set_status, NULL,
        "backends in mod_status's page: off | on | full"),
    TWO(AP_INIT_TAKE1, "ProxyIOBufferSize", set_number, NUMBER(io_buffer),
        "bytes to read from a backend at once"),
    TWO(AP_INIT_TAKE1, "ProxyReceiveBufferSize", set_number, NUMBER(receive_buffer),
        "bytes of a backend socket's receive buffer"),
    TWO(AP_INIT_TAKE1, "ProxySourceAddress", set_source_address, NULL,
        "local address of connections to backends"),
    TWO(AP_INIT_ITERATE, "ProxyBlock", add_blocked, NULL,
        "words or hosts that no target's host may contain"),
    TWO(AP_INIT_FLAG, "ProxyRequests", set_requests, NULL, "Off: this is never a forward proxy"),
    TWO(AP_INIT_TAKE1, "ProxyDomain", ignore_domain, NULL,
        "accepted, without effect for a reverse proxy"),
    TWO(AP_INIT_RAW_ARGS, "ProxyRemote", refuse, NO_CHAIN, "not supported"),
    TWO(AP_INIT_RAW_ARGS, "ProxyRemoteMatch", refuse, NO_CHAIN, "not supported"),
    TWO(AP_INIT_RAW_ARGS, "NoProxy", refuse, NO_CHAIN_LIST, "not supported"),
    TWO(AP_INIT_RAW_ARGS, "BalancerMember", rp_conf_cmd_member, NULL,
        "a balancer's URL (outside <Proxy>), a member's URL and key=value parameters"),
    TWO(AP_INIT_TAKE1, "BalancerGrowth", rp_conf_cmd_growth, NULL,
        "balancers that may be added at run time (5)"),
    TWO(AP_INIT_FLAG, "BalancerInherit", rp_conf_cmd_balancer_inherit, NULL,
        "Off, with ProxyPassInherit Off, to drop the main server's balancers here"),
    TWO(AP_INIT_FLAG, "BalancerPersist", rp_conf_cmd_persist, NULL,
        "On to keep the members' state over a stop and start"),
    TWO(AP_INIT_RAW_ARGS, "ProxyHCExpr", rp_conf_cmd_check_expr, NULL,
        "a name and a condition on the response to a health check"),
    TWO(AP_INIT_RAW_ARGS, "ProxyHCTemplate", rp_conf_cmd_check_template, NULL,
        "a name and hc* parameters, for hctemplate="),
    TWO(AP_INIT_TAKE1, "ProxyHCTPsize", rp_conf_cmd_check_threads, NULL,
        "accepted, without effect: health checks need no threads"),
    TWO(AP_INIT_TAKE1, "HeartbeatStorage", rp_conf_cmd_heartbeats, NULL,
        "file in which lbmethod=heartbeat finds what servers say of themselves"),
    AP_INIT_FLAG("RevProxyPark", set_dir_switch, DIR_SWITCH(park), ANYWHERE,
                 "Off to let requests wait in their threads"),
    AP_INIT_FLAG("RevProxyClientAbort", set_dir_switch, DIR_SWITCH(client_abort), ANYWHERE,
                 "Off to go on for a client that has half-closed its connection"),
    AP_INIT_FLAG("RevProxySplice", set_dir_switch, DIR_SWITCH(splice), ANYWHERE,
                 "Off to copy large response bodies through httpd's filters always"),
    AP_INIT_TAKE_ARGV("RevProxyForwarded", rp_conf_cmd_forwarded, NULL, ANYWHERE,
                      "off, or some of: proto port forwarded; replace | append; by, by=_NAME, for=_NAME"),
    AP_INIT_FLAG("RevProxyRefuseDots", set_dir_switch, DIR_SWITCH(refuse_dots), ANYWHERE,
                 "Off to send paths with dot segments that httpd itself takes as names (/..;/, %2f..%2f)"),
    AP_INIT_FLAG("RevProxyTLSResume", set_dir_switch, DIR_SWITCH(tls_resume), ANYWHERE,
                 "Off for a full TLS handshake with backends each time"),
    AP_INIT_TAKE1("RevProxyParkAfter", set_number, NUMBER(park_after), ANYWHERE,
                  "how long a request waits in its thread before it is parked (10ms)"),
    AP_INIT_TAKE1("RevProxyResponseHeadMax", set_number, NUMBER(head_max), ANYWHERE,
                  "bytes that a response head from a backend may have (131072)"),
    AP_INIT_TAKE1("RevProxyResponseFieldsMax", set_number, NUMBER(fields_max), ANYWHERE,
                  "header fields that a response from a backend may have (500)"),
    AP_INIT_TAKE1("RevProxyCheckBodyMax", set_number, NUMBER(check_body_max), ANYWHERE,
                  "bytes of a response's body that hc('body') may read (1048576)"),
    AP_INIT_TAKE1("RevProxyTunnelIdle", set_number, NUMBER(tunnel_idle), ANYWHERE,
                  "seconds without a byte after which a tunnel is closed"),
    AP_INIT_TAKE1("RevProxyTunnelLifetime", set_number, NUMBER(tunnel_life), ANYWHERE,
                  "seconds that a tunnel may last at most"),
    AP_INIT_TAKE1("RevProxyTunnelMax", set_number, NUMBER(tunnel_max), ANYWHERE,
                  "tunnels at a time, in all children"),
    AP_INIT_TAKE1("RevProxyTunnelDrain", set_number, NUMBER(tunnel_drain), ANYWHERE,
                  "seconds over which a stopping child closes its tunnels (300)"),
    AP_INIT_ITERATE("RevProxyLint", add_lint_word, NULL, ANYWHERE,
                    "-name to silence a check of the configuration, Off to silence all"),
    {.name = NULL},
};
/* clang-format on */
