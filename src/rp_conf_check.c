/* Active health checks as configured: the hc* parameters of members, ProxyHCExpr, ProxyHCTemplate,
 * ProxyHCTPsize, and what an expression sees of a response's body. */
#include "rp_conf_int.h"

APLOG_USE_MODULE(revproxy);

#define NAME_MAX_LEN 15 /* of an expression; mod_proxy's */

static const char *const method_names[RP_CHECK_METHODS] = {
    "NONE", "TCP", "OPTIONS", "HEAD", "GET", "OPTIONS11", "HEAD11", "GET11",
};

const char *rp_conf_get_check_name(rp_check_method_t method)
{
    return (unsigned)method < RP_CHECK_METHODS ? method_names[method] : method_names[RP_CHECK_NONE];
}

bool rp_conf_find_check_method(const char *name, rp_check_method_t *method)
{
    int i;

    for (i = 0; i < RP_CHECK_METHODS; i++) {
        if (!ap_cstr_casecmp(name, method_names[i])) {
            *method = (rp_check_method_t)i;
            return true;
        }
    }
    return false;
}

void rp_conf_init_check(rp_check_options_t *check)
{
    check->method = RP_CHECK_NONE;
    check->interval = 30 * APR_USEC_PER_SEC;
    check->timeout = 0;
    check->passes = check->fails = 1;
    check->uri = check->expr = "";
}

/* ---- expressions ---- */

const rp_check_expr_t *rp_conf_find_check_expr(const rp_server_conf_t *conf, const char *name)
{
    int i;

    /* The last of one name holds. */
    for (i = conf->check_exprs->nelts - 1; i >= 0; i--) {
        const rp_check_expr_t *e = APR_ARRAY_IDX(conf->check_exprs, i, const rp_check_expr_t *);

        if (!ap_cstr_casecmp(e->name, name)) {
            return e;
        }
    }
    return NULL;
}

/* The expression that is being parsed; NULL: one of somebody else. */
static rp_check_expr_t *parsed;

static const char *get_body(const ap_expr_eval_ctx_t *ctx)
{
    return ctx->r ? apr_table_get(ctx->r->notes, RP_CHECK_BODY_NOTE) : NULL;
}

static const char *eval_variable(ap_expr_eval_ctx_t *ctx, const void *data)
{
    (void)data;
    return get_body(ctx);
}

static const char *eval_function(ap_expr_eval_ctx_t *ctx, const void *data, const char *arg)
{
    (void)data;
    return arg && !ap_cstr_casecmp(arg, "body") ? get_body(ctx) : NULL;
}

int rp_conf_expr_lookup(ap_expr_lookup_parms *parms)
{
    if (!parsed) {
        return DECLINED;
    }
    if (parms->type == AP_EXPR_FUNC_VAR && !ap_cstr_casecmp(parms->name, "HC_BODY")) {
        *parms->func = (const void *)eval_variable;
    }
    else if (parms->type == AP_EXPR_FUNC_STRING && !ap_cstr_casecmp(parms->name, "hc")) {
        *parms->func = (const void *)eval_function;
    }
    else {
        return DECLINED;
    }
    *parms->data = NULL;
    parsed->reads_body = true;
    return OK;
}

static const char *parse_expr(cmd_parms *cmd, rp_check_expr_t *e)
{
    const char *err = NULL;

    parsed = e;
    e->expr = ap_expr_parse_cmd(cmd, e->text, 0, &err, NULL);
    parsed = NULL;
    return err ? apr_psprintf(cmd->pool, "Could not parse expression \"%s\": %s", e->text, err) : NULL;
}

static const char *read_expr(cmd_parms *cmd, rp_check_expr_t *e, const char *args)
{
    e->name = ap_getword_conf(cmd->pool, &args);
    if (!*e->name) {
        return "Missing expression name: write ProxyHCExpr NAME {EXPRESSION}";
    }
    if (strlen(e->name) > NAME_MAX_LEN) {
        return apr_psprintf(cmd->pool, "Expression name limited to %d characters: '%s' was read",
                            NAME_MAX_LEN, e->name);
    }
    e->text = ap_getword_conf2(cmd->pool, &args);
    if (!*e->text) {
        return apr_psprintf(cmd->pool, "Missing expression: write ProxyHCExpr %s {EXPRESSION}",
                            e->name);
    }
    if (*ap_getword_conf(cmd->temp_pool, &args)) {
        return "error: extra parameter(s): put braces or quotes around the expression";
    }
    return parse_expr(cmd, e);
}

const char *rp_conf_cmd_check_expr(cmd_parms *cmd, void *dir, const char *args)
{
    const char *err = rp_conf_enter(cmd, RP_PLACE_ANY);
    rp_check_expr_t *e;

    (void)dir;
    if (err) {
        return err;
    }
    e = apr_pcalloc(cmd->pool, sizeof(*e));
    err = read_expr(cmd, e, args);
    if (err) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, ": ", err, NULL);
    }
    APR_ARRAY_PUSH(rp_conf_of(cmd)->check_exprs, rp_check_expr_t *) = e;
    return NULL;
}

/* ---- parameters ---- */

static const char *check_watchdog(void)
{
    if (ap_find_linked_module("mod_watchdog.c")) {
        return NULL;
    }
    return "health checks are run by mod_watchdog; add the line: "
           "LoadModule watchdog_module modules/mod_watchdog.so";
}

static const char *set_method(cmd_parms *cmd, rp_check_options_t *check, const char *value)
{
    const char *words[RP_CHECK_METHODS + 1], *nearest;

    if (rp_conf_find_check_method(value, &check->method)) {
        return check->method == RP_CHECK_NONE ? NULL : check_watchdog();
    }
    if (!ap_cstr_casecmp(value, "CPING")) {
        return "Health check method CPING is for ajp://, which this module does not speak: write "
               "hcmethod=TCP or hcmethod=GET";
    }
    if (!ap_cstr_casecmp(value, "PROVIDER")) {
        return "Health check method PROVIDER not (yet) implemented: write hcmethod=GET";
    }
    memcpy(words, method_names, sizeof(method_names));
    words[RP_CHECK_METHODS] = NULL;
    nearest = rp_conf_nearest(value, words);
    return apr_psprintf(cmd->pool,
                        "Unknown method: known are NONE, TCP, OPTIONS, HEAD, GET, OPTIONS11, "
                        "HEAD11, GET11%s%s%s",
                        nearest ? "; did you mean " : "", nearest ? nearest : "",
                        nearest ? "?" : "");
}

/* It becomes part of a request line. */
static const char *set_uri(cmd_parms *cmd, rp_check_options_t *check, const char *value)
{
    const char *c;

    for (c = value; *c; c++) {
        if (*c == ' ' || *c == '#' || apr_iscntrl(*c)) {
            return "Health check uri has a space, '#' or control character: write %20 and the like";
        }
    }
    if (c - value >= 64) {
        return "Health check uri length must be < 64 characters";
    }
    check->uri = apr_pstrdup(cmd->pool, value);
    return NULL;
}

static const char *set_expr(cmd_parms *cmd, rp_check_options_t *check, const char *value)
{
    const rp_check_expr_t *e = rp_conf_find_check_expr(rp_conf_of(cmd), value);

    if (!e) {
        return apr_psprintf(cmd->pool,
                            "Unknown health check condition expr: %s; define it before this line "
                            "and in the same server: ProxyHCExpr %s {%%{REQUEST_STATUS} =~ /^2/}",
                            value, value);
    }
    check->expr = e->name;
    return NULL;
}

#define CHECK_BITS                                                                                 \
    (RP_OPT_CHECK_METHOD | RP_OPT_CHECK_INTERVAL | RP_OPT_CHECK_TIMEOUT | RP_OPT_CHECK_PASSES |    \
     RP_OPT_CHECK_FAILS | RP_OPT_CHECK_URI | RP_OPT_CHECK_EXPR)

static const rp_check_template_t *find_template(const rp_server_conf_t *conf, const char *name)
{
    int i;

    for (i = 0; i < conf->check_templates->nelts; i++) {
        const rp_check_template_t *t =
            APR_ARRAY_IDX(conf->check_templates, i, const rp_check_template_t *);

        if (!ap_cstr_casecmp(t->name, name)) {
            return t;
        }
    }
    return NULL;
}

static const char *use_template(cmd_parms *cmd, rp_options_t *opt, const char *value)
{
    const rp_check_template_t *t = find_template(rp_conf_of(cmd), value);

    if (!t) {
        return apr_psprintf(cmd->pool,
                            "Unknown ProxyHCTemplate name: %s; define it before this line and in "
                            "the same server: ProxyHCTemplate %s hcmethod=GET hcinterval=5",
                            value, value);
    }
    opt->check = t->check;
    opt->set = (opt->set & ~CHECK_BITS) | t->set;
    return NULL;
}

const char *rp_conf_set_check_param(cmd_parms *cmd, rp_options_t *opt, unsigned bit,
                                    const char *value)
{
    switch (bit) {
    case RP_OPT_CHECK_METHOD:
        return set_method(cmd, &opt->check, value);
    case RP_OPT_CHECK_URI:
        return set_uri(cmd, &opt->check, value);
    case RP_OPT_CHECK_EXPR:
        return set_expr(cmd, &opt->check, value);
    default:
        return use_template(cmd, opt, value);
    }
}

/* ---- ProxyHCTemplate, ProxyHCTPsize ---- */

static const char *read_template(cmd_parms *cmd, rp_options_t *opt, const char *args)
{
    const char *err = NULL;
    char *word, *value;

    while (!err && *args) {
        word = ap_getword_conf(cmd->pool, &args);
        value = strchr(word, '=');
        if (!value) {
            return apr_psprintf(cmd->pool,
                                "Invalid ProxyHCTemplate parameter. Parameter must be in the form "
                                "'key=value': '%s' was read",
                                word);
        }
        *value++ = '\0';
        if (ap_cstr_casecmpn(word, "hc", 2)) {
            return apr_psprintf(cmd->pool,
                                "unknown Worker hcheck parameter %s=%s: a template takes hcmethod, "
                                "hcinterval, hctimeout, hcpasses, hcfails, hcuri, hcexpr",
                                word, value);
        }
        err = rp_conf_set_param(cmd, opt, word, value);
    }
    return err;
}

const char *rp_conf_cmd_check_template(cmd_parms *cmd, void *dir, const char *args)
{
    const char *err = rp_conf_enter(cmd, RP_PLACE_ANY);
    rp_check_template_t *t;
    rp_options_t opt;

    (void)dir;
    if (err) {
        return err;
    }
    t = apr_pcalloc(cmd->pool, sizeof(*t));
    t->name = ap_getword_conf(cmd->pool, &args);
    if (!*t->name) {
        return "Missing template name for ProxyHCTemplate: write ProxyHCTemplate NAME hcmethod=GET";
    }
    rp_conf_init_options(&opt);
    opt.check.method = RP_CHECK_TCP;
    err = read_template(cmd, &opt, args);
    if (!err) {
        err = opt.check.method == RP_CHECK_NONE ? NULL : check_watchdog();
    }
    if (err) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, ": ", err, "; ", t->name, NULL);
    }
    t->check = opt.check;
    t->set = opt.set | RP_OPT_CHECK_METHOD;
    APR_ARRAY_PUSH(rp_conf_of(cmd)->check_templates, rp_check_template_t *) = t;
    return NULL;
}

/* Checks here wait without threads, so there is no number of them to set. */
const char *rp_conf_cmd_check_threads(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = rp_conf_enter(cmd, RP_PLACE_SERVER);
    apr_int64_t number;

    (void)dir;
    if (!err) {
        err = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    }
    if (!err && (rp_conf_parse_number(arg, &number) || number < 0)) {
        err = apr_psprintf(cmd->pool,
                           "Invalid ProxyHCTPsize parameter. Parameter must be >= 0: '%s' was "
                           "read; the line has no effect here, remove it",
                           arg);
    }
    return err;
}
