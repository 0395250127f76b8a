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
    static const choice_t choices[] = {
        {"off", RP_VIA_OFF}, {"on", RP_VIA_ON}, {"full", RP_VIA_FULL}, {"block", RP_VIA_BLOCK}, {NULL, 0}};
    const char *err = rp_conf_enter(cmd, RP_PLACE_SERVER);
    rp_server_conf_t *conf = rp_conf_of(cmd);
    int value;

    (void)dir;
    if (err) {
        return err;
    }
    if (!choose(arg, choices, &value)) {
        return apr_psprintf(cmd->pool, "ProxyVia must be one of: off | on | full | block; '%s' was read", arg);
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
        return apr_psprintf(cmd->pool, "ProxyBadHeader must be one of: IsError | Ignore | StartBody; '%s' was read",
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
        return apr_psprintf(cmd->pool, "ProxyStatus must be one of: off | on | full; '%s' was read", arg);
    }
    conf->status_mode_set = true;
    return NULL;
}

/* ---- numbers per server ---- */

typedef struct range_t {
    apr_int64_t min, max;
    bool is_zero_ok;
    const char *rule;    /* mod_proxy's words */
    const char *example;
} range_t;

static const char *read_number(cmd_parms *cmd, const char *arg, const range_t *range, apr_int64_t *value)
{
    const char *wrong = rp_conf_parse_number(arg, value);

    if (!wrong && (*value < range->min || *value > range->max) && !(range->is_zero_ok && *value == 0)) {
        wrong = "is out of range";
    }
    return wrong ? apr_psprintf(cmd->pool, "%s: '%s' %s; write for example %s %s", range->rule, arg, wrong,
                                cmd->cmd->name, range->example)
                 : NULL;
}

static const char *set_timeout(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = rp_conf_enter(cmd, RP_PLACE_SERVER);
    rp_server_conf_t *conf = rp_conf_of(cmd);

    (void)dir;
    if (err) {
        return err;
    }
    err = rp_conf_parse_time(arg, APR_USEC_PER_SEC, &conf->timeout);
    if (!err && (conf->timeout < 1000 || conf->timeout > (apr_int64_t)APR_INT32_MAX * APR_USEC_PER_SEC)) {
        err = "is out of range";
    }
    if (err) {
        return apr_psprintf(cmd->pool, "Proxy Timeout must be at least 1 second: '%s' %s; write for example "
                            "%s 60 (seconds) or %s 500ms", arg, err, cmd->cmd->name, cmd->cmd->name);
    }
    conf->timeout_set = true;
    return NULL;
}

static const char *set_park_after(cmd_parms *cmd, void *dirv, const char *arg)
{
    rp_dir_conf_t *dir = dirv;
    const char *err = rp_conf_enter(cmd, RP_PLACE_ANY);

    if (err) {
        return err;
    }
    err = rp_conf_parse_time(arg, 1000, &dir->park_after);
    if (!err && (dir->park_after < 0 || dir->park_after > apr_time_from_sec(60))) {
        err = "is out of range (0 to 60s)";
    }
    dir->park_after_set = true;
    return err ? apr_psprintf(cmd->pool, "RevProxyParkAfter: '%s' %s; write for example RevProxyParkAfter 2ms", arg, err)
               : NULL;
}

static const char *set_io_buffer(cmd_parms *cmd, void *dir, const char *arg)
{
    static const range_t range = {512, APR_INT32_MAX, true,
                                  "ProxyIOBufferSize must be >= 512 bytes, or 0 for system default", "8192"};
    const char *err = rp_conf_enter(cmd, RP_PLACE_SERVER);
    rp_server_conf_t *conf = rp_conf_of(cmd);
    apr_int64_t value;

    (void)dir;
    if (err || (err = read_number(cmd, arg, &range, &value))) {
        return err;
    }
    conf->io_buffer = value ? (apr_size_t)value : 8192;
    conf->io_buffer_set = true;
    return NULL;
}

static const char *set_receive_buffer(cmd_parms *cmd, void *dir, const char *arg)
{
    static const range_t range = {512, APR_INT32_MAX, true,
                                  "ProxyReceiveBufferSize must be >= 512 bytes, or 0 for system default", "65536"};
    const char *err = rp_conf_enter(cmd, RP_PLACE_SERVER);
    rp_server_conf_t *conf = rp_conf_of(cmd);
    apr_int64_t value;

    (void)dir;
    if (err || (err = read_number(cmd, arg, &range, &value))) {
        return err;
    }
    conf->receive_buffer = (apr_size_t)value;
    conf->receive_buffer_set = true;
    return NULL;
}

static const char *set_max_forwards(cmd_parms *cmd, void *dir, const char *arg)
{
    static const range_t range = {APR_INT32_MIN, APR_INT32_MAX, false,
                                  "ProxyMaxForwards must be a number, negative for none", "10"};
    const char *err = rp_conf_enter(cmd, RP_PLACE_SERVER);
    rp_server_conf_t *conf = rp_conf_of(cmd);
    apr_int64_t value;

    (void)dir;
    if (err || (err = read_number(cmd, arg, &range, &value))) {
        return err;
    }
    conf->max_forwards = (long)value;
    conf->max_forwards_set = true;
    return NULL;
}

static const char *set_head_max(cmd_parms *cmd, void *dir, const char *arg)
{
    static const range_t range = {1024, 16 * 1024 * 1024, false,
                                  "RevProxyResponseHeadMax must be 1024 to 16777216 bytes", "131072"};
    const char *err = rp_conf_enter(cmd, RP_PLACE_SERVER);
    rp_server_conf_t *conf = rp_conf_of(cmd);
    apr_int64_t value;

    (void)dir;
    if (err || (err = read_number(cmd, arg, &range, &value))) {
        return err;
    }
    conf->head_max = (apr_size_t)value;
    conf->head_max_set = true;
    return NULL;
}

static const char *set_fields_max(cmd_parms *cmd, void *dir, const char *arg)
{
    static const range_t range = {1, 100000, false, "RevProxyResponseFieldsMax must be 1 to 100000", "500"};
    const char *err = rp_conf_enter(cmd, RP_PLACE_SERVER);
    rp_server_conf_t *conf = rp_conf_of(cmd);
    apr_int64_t value;

    (void)dir;
    if (err || (err = read_number(cmd, arg, &range, &value))) {
        return err;
    }
    conf->fields_max = (int)value;
    conf->fields_max_set = true;
    return NULL;
}

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
    return apr_psprintf(cmd->pool, "%s: the last word may only be 'interpolate', '%s' was read", cmd->cmd->name, word);
}

static const char *add_reverse(cmd_parms *cmd, void *dir, const char *first, const char *second, const char *third)
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
            return "ProxyPassReverse can not have a path when defined in a location: write the URL alone, the path is "
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

static const char *add_cookie_mapping(cmd_parms *cmd, apr_array_header_t *list, rp_mapping_t mapping, const char *last)
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

static const char *add_cookie_path(cmd_parms *cmd, void *dir, const char *real, const char *pub, const char *last)
{
    return add_cookie_mapping(cmd, ((rp_dir_conf_t *)dir)->cookie_paths, (rp_mapping_t){.real = real, .pub = pub},
                              last);
}

static const char *add_cookie_domain(cmd_parms *cmd, void *dir, const char *real, const char *pub, const char *last)
{
    return add_cookie_mapping(cmd, ((rp_dir_conf_t *)dir)->cookie_domains, (rp_mapping_t){.real = real, .pub = pub},
                              last);
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
        return apr_psprintf(cmd->pool, "ProxyErrorOverride first parameter must be one of: off | on; '%s' was read", arg);
    }
    if (rp_conf_parse_number(arg, &code)) {
        return apr_psprintf(cmd->pool, "ProxyErrorOverride: status codes to intercept must be numeric; '%s' was read",
                            arg);
    }
    if (conf->error_override != RP_ON) {
        return "ProxyErrorOverride: status codes must follow a value of 'on'";
    }
    if (!ap_is_HTTP_ERROR(code)) {
        return apr_psprintf(cmd->pool, "ProxyErrorOverride: status codes to intercept must be valid HTTP Status Codes "
                            ">=400 && <600; '%s' was read", arg);
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
    if (apr_sockaddr_info_get(&conf->source_address, arg, APR_UNSPEC, 0, 0, cmd->pool) != APR_SUCCESS) {
        return apr_psprintf(cmd->pool, "ProxySourceAddress invalid value: '%s' is no address or known name of this "
                            "machine; write for example ProxySourceAddress 10.0.0.5", arg);
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

static const char *set_requests(cmd_parms *cmd, void *dir, int flag)
{
    const char *err = rp_conf_enter(cmd, RP_PLACE_SERVER);

    (void)dir;
    if (err || !flag) {
        return err;
    }
    return "ProxyRequests On is refused: this module is a reverse proxy only, and never sends requests wherever a "
           "client asks (an open proxy). Remove the line or write 'ProxyRequests Off'; for a forward proxy load "
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

#define NO_CHAIN "another proxy between us and the backend is not supported: name the backend itself in ProxyPass, or " \
                 "keep mod_proxy for this route"
#define NO_CHAIN_LIST "it only limits ProxyRemote, which is not supported: remove the line"

/* Each directive under its own name and under the one that is ours beside a real mod_proxy. Places
 * are checked by the setters, whose messages say where a directive belongs. */
#define ANYWHERE (RSRC_CONF | ACCESS_CONF)
#define TWO(init, name, func, data, help) \
    init(name, func, data, ANYWHERE, help), init("Rev" name, func, data, ANYWHERE, help)
#define TWO_SECTIONS(name, func, help) \
    AP_INIT_RAW_ARGS("<" name, func, NULL, ANYWHERE, help), AP_INIT_RAW_ARGS("<Rev" name, func, NULL, ANYWHERE, help)

const command_rec rp_conf_commands[] = {
    TWO_SECTIONS("Proxy", rp_conf_cmd_section, "Container for directives about targets that begin with a URL"),
    TWO_SECTIONS("ProxyMatch", rp_conf_cmd_section, "Container for directives about targets by regular expression"),
    TWO(AP_INIT_RAW_ARGS, "ProxyPass", rp_conf_cmd_pass, NULL, "a public path and a target's URL, or a path and !"),
    TWO(AP_INIT_RAW_ARGS, "ProxyPassMatch", rp_conf_cmd_pass_match, NULL, "a regular expression and a target's URL"),
    TWO(AP_INIT_RAW_ARGS, "ProxySet", rp_conf_cmd_set, NULL, "a target's URL and key=value parameters"),
    TWO(AP_INIT_TAKE123, "ProxyPassReverse", add_reverse, NULL, "a public path and the URL that the backend calls it"),
    TWO(AP_INIT_TAKE23, "ProxyPassReverseCookiePath", add_cookie_path, NULL, "the backend's cookie path and the public one"),
    TWO(AP_INIT_TAKE23, "ProxyPassReverseCookieDomain", add_cookie_domain, NULL,
        "the backend's cookie domain and the public one"),
    TWO(AP_INIT_FLAG, "ProxyPassInterpolateEnv", set_dir_switch, DIR_SWITCH(interpolate_env),
        "On to expand ${VAR} in directives flagged interpolate"),
    TWO(AP_INIT_FLAG, "ProxyPassInherit", set_pass_inherit, NULL, "Off to drop the main server's ProxyPass rules here"),
    TWO(AP_INIT_FLAG, "ProxyPreserveHost", set_dir_switch, DIR_SWITCH(preserve_host),
        "On to send the client's Host to the backend"),
    TWO(AP_INIT_FLAG, "ProxyAddHeaders", set_dir_switch, DIR_SWITCH(add_headers), "Off to send no X-Forwarded-* headers"),
    TWO(AP_INIT_FLAG, "Proxy100Continue", set_dir_switch, DIR_SWITCH(forward_continue),
        "Off to answer Expect: 100-continue here instead of at the backend"),
    TWO(AP_INIT_FLAG, "ProxyWebsocketFallbackToProxyHttp", set_dir_switch, DIR_SWITCH(ws_fallback),
        "Off to leave requests without Upgrade on ws:// targets alone"),
    TWO(AP_INIT_ITERATE, "ProxyErrorOverride", set_error_override, NULL,
        "On (and status codes) to answer a backend's errors with our own error pages"),
    TWO(AP_INIT_TAKE1, "ProxyVia", set_via, NULL, "Via header: off | on | full | block"),
    TWO(AP_INIT_TAKE1, "ProxyTimeout", set_timeout, NULL, "seconds to wait for a backend, instead of Timeout"),
    TWO(AP_INIT_TAKE1, "ProxyBadHeader", set_bad_header, NULL, "malformed response header: IsError | Ignore | StartBody"),
    TWO(AP_INIT_TAKE1, "ProxyMaxForwards", set_max_forwards, NULL, "Max-Forwards for requests without it"),
    TWO(AP_INIT_TAKE1, "ProxyStatus", set_status, NULL, "backends in mod_status's page: off | on | full"),
    TWO(AP_INIT_TAKE1, "ProxyIOBufferSize", set_io_buffer, NULL, "bytes to read from a backend at once"),
    TWO(AP_INIT_TAKE1, "ProxyReceiveBufferSize", set_receive_buffer, NULL, "bytes of a backend socket's receive buffer"),
    TWO(AP_INIT_TAKE1, "ProxySourceAddress", set_source_address, NULL, "local address of connections to backends"),
    TWO(AP_INIT_ITERATE, "ProxyBlock", add_blocked, NULL, "words or hosts that no target's host may contain"),
    TWO(AP_INIT_FLAG, "ProxyRequests", set_requests, NULL, "Off: this is never a forward proxy"),
    TWO(AP_INIT_TAKE1, "ProxyDomain", ignore_domain, NULL, "accepted, without effect for a reverse proxy"),
    TWO(AP_INIT_RAW_ARGS, "ProxyRemote", refuse, NO_CHAIN, "not supported"),
    TWO(AP_INIT_RAW_ARGS, "ProxyRemoteMatch", refuse, NO_CHAIN, "not supported"),
    TWO(AP_INIT_RAW_ARGS, "NoProxy", refuse, NO_CHAIN_LIST, "not supported"),
    TWO(AP_INIT_RAW_ARGS, "BalancerMember", refuse, RP_NO_GROUPS, "not in this version"),
    TWO(AP_INIT_RAW_ARGS, "BalancerGrowth", refuse, RP_NO_GROUPS, "not in this version"),
    TWO(AP_INIT_RAW_ARGS, "BalancerInherit", refuse, RP_NO_GROUPS, "not in this version"),
    TWO(AP_INIT_RAW_ARGS, "BalancerPersist", refuse, RP_NO_GROUPS, "not in this version"),
    TWO(AP_INIT_RAW_ARGS, "ProxyHCExpr", refuse, RP_NO_GROUPS, "not in this version"),
    TWO(AP_INIT_RAW_ARGS, "ProxyHCTemplate", refuse, RP_NO_GROUPS, "not in this version"),
    TWO(AP_INIT_RAW_ARGS, "ProxyHCTPsize", refuse, RP_NO_GROUPS, "not in this version"),
    TWO(AP_INIT_RAW_ARGS, "HeartbeatStorage", refuse, RP_NO_GROUPS, "not in this version"),
    AP_INIT_FLAG("RevProxyPark", set_dir_switch, DIR_SWITCH(park), ANYWHERE,
                 "Off to let requests wait in their threads"),
    AP_INIT_TAKE1("RevProxyParkAfter", set_park_after, NULL, ANYWHERE,
                  "how long a request waits in its thread before it is parked (1ms)"),
    AP_INIT_TAKE1("RevProxyResponseHeadMax", set_head_max, NULL, ANYWHERE,
                  "bytes that a response head from a backend may have (131072)"),
    AP_INIT_TAKE1("RevProxyResponseFieldsMax", set_fields_max, NULL, ANYWHERE,
                  "header fields that a response from a backend may have (500)"),
    {.name = NULL},
};
