/* Licensed under the Apache License, Version 2.0; see the file LICENSE. */

/*
 * Fuzz target: what an operator may write, read by httpd's own reader of configurations into a server made for
 * the input. The input is text; lines that begin with no directive of the module and with no <Location> are
 * left out. So are ProxySourceAddress, which asks name servers, and expressions except one, since httpd's scanner
 * of them calls exit() where it is lost.
 *
 * Judged, of what is taken: every value is within its bounds; every backend has scheme, host and port and is found
 * by its name; what is printed of parameters (rp_conf_describe_options) is taken back and means the same. Messages
 * have no holes. All checks of rp_lint run that run at start, where no name is looked up.
 */

#include "fuzz.h"

#include "apr_strings.h"
#include "http_config.h"
#include "http_core.h"

#include "rp_conf_int.h"
#include "rp_conf_member.h"
#include "rp_lint.h"

#define LINES_MAX 64 /* what takes long takes no longer with more of it */
#define MAX_TIME  ((apr_int64_t)APR_INT32_MAX * APR_USEC_PER_SEC)

/* ---- the input as a file ---- */

typedef struct {
    const char *p, *end;
    int lines;
} text_t;

#define FIRST_LINE "ProxyHCExpr good {%{REQUEST_STATUS} =~ /^[23]/}\n"

static bool is_known(const char *word, size_t n)
{
    static const char *const sections[] = {"<Location", "<LocationMatch", "</Location>", "</LocationMatch>",
                                           "</Proxy>", "</ProxyMatch>", "</RevProxy>", "</RevProxyMatch>", NULL};

    for (int i = 0; sections[i]; i++) {
        if (strlen(sections[i]) == n && !ap_cstr_casecmpn(word, sections[i], n)) {
            return true;
        }
    }
    for (const command_rec *c = rp_conf_commands; c->name; c++) {
        if (strlen(c->name) == n && !ap_cstr_casecmpn(word, c->name, n)) {
            return !strstr(c->name, "SourceAddress") && !strstr(c->name, "HCExpr");
        }
    }
    return false;
}

/* hashkey= is an expression; continued lines would hide it. */
static bool is_wanted(const char *line, size_t n)
{
    char *copy = strndup(line, n);
    size_t blank = strspn(copy, " \t");
    bool is_plain = !ap_strcasestr(copy, "hashkey") && !strchr(copy, '\\');

    is_plain &= is_known(copy + blank, strcspn(copy + blank, " \t"));
    free(copy);
    return is_plain;
}

/* As fgets, without the lines that are left out. */
static apr_status_t read_line(void *buf, apr_size_t size, void *param)
{
    text_t *t = param;

    if (t->lines++ == 0) {
        apr_cpystrn(buf, FIRST_LINE, size);
        return APR_SUCCESS;
    }
    while (t->p < t->end && t->lines < LINES_MAX) {
        const char *line = t->p;
        const char *eol = memchr(line, '\n', (size_t)(t->end - line));
        size_t n = (size_t)((eol ? eol : t->end) - line);

        if (n + 2 > size) {
            return APR_ENOSPC;
        }
        t->p = eol ? eol + 1 : t->end;
        if (is_wanted(line, n)) {
            apr_cpystrn(buf, line, n + 1);
            apr_cpystrn((char *)buf + strlen(buf), "\n", 2);
            t->lines++;
            return APR_SUCCESS;
        }
    }
    return APR_EOF;
}

static apr_status_t close_text(void *param)
{
    (void)param;
    return APR_SUCCESS;
}

static server_rec *make_server(apr_pool_t *p)
{
    server_rec *s = NULL;

    MUST(ap_init_virtual_host(p, "127.0.0.1:80", fuzz_server, &s) == NULL);
    ap_set_core_module_config(s->module_config, core_module.create_server_config(p, s));
    ap_set_core_module_config(s->lookup_defaults, core_module.create_dir_config(p, NULL));
    ap_set_module_config(s->module_config, &revproxy_module, rp_conf_create_server(p, s));
    ap_set_module_config(s->lookup_defaults, &revproxy_module, rp_conf_create_dir(p, NULL));
    s->is_virtual = 0; /* what may stand in the main server only is tried, too */
    return s;
}

static void begin(cmd_parms *cmd, apr_pool_t *p, server_rec *s)
{
    memset(cmd, 0, sizeof(*cmd));
    cmd->pool = p;
    apr_pool_create(&cmd->temp_pool, p); /* another one: httpd tells .htaccess files by that */
    cmd->server = s;
    cmd->limited = -1;
    cmd->override = (RSRC_CONF | OR_ALL) & ~(OR_AUTHCFG | OR_LIMIT);
    cmd->override_opts = OPT_ALL | OPT_SYM_OWNER | OPT_MULTI;
}

static const char *read_text(cmd_parms *cmd, text_t *t)
{
    const char *err;

    ap_conftree = NULL; /* rp_lint looks there */
    cmd->config_file = ap_pcfg_open_custom(cmd->pool, "input", t, NULL, read_line, close_text);
    err = ap_build_config(cmd, cmd->pool, cmd->temp_pool, &ap_conftree);
    return err || !ap_conftree ? err : ap_walk_config(ap_conftree, cmd, cmd->server->lookup_defaults);
}

/* ---- what it came to ---- */

static bool is_time(apr_interval_time_t time)
{
    return time >= 0 && time <= MAX_TIME;
}

static void check_numbers(const rp_options_t *o)
{
    MUST(o->max >= 0 && o->smax >= 0 && o->min >= 0 && o->tunnel_max >= 0);
    MUST(is_time(o->ttl) && is_time(o->acquire) && is_time(o->timeout) && is_time(o->connect_timeout));
    MUST(is_time(o->retry) && is_time(o->ping) && (o->address_ttl == -1 || is_time(o->address_ttl)));
    MUST(o->io_buffer >= 512 && o->io_buffer <= APR_INT32_MAX && o->field_size >= 1 && o->field_size <= APR_INT32_MAX);
    MUST(o->receive_buffer == 0 || (o->receive_buffer >= 512 && o->receive_buffer <= APR_INT32_MAX));
    MUST(o->loadfactor >= 100 && o->loadfactor <= 10000 && o->lbset >= 0 && o->lbset <= 99);
    MUST(strlen(o->route) < 64 && strlen(o->redirect) < 64 && strlen(o->check.uri) < 64);
    MUST(is_time(o->check.interval) && is_time(o->check.timeout) && o->check.passes >= 0 && o->check.fails >= 0);
    MUST((o->status_set & o->status_clear) == 0);
    MUST(!(o->set & RP_OPT_UPGRADE) || (o->upgrade && *o->upgrade && strlen(o->upgrade) < 16));
}

/* Values with a space, which people have to quote. */
static bool has_spaces(const rp_options_t *o)
{
    return strpbrk(o->route, " \"'") || strpbrk(o->redirect, " \"'") || strpbrk(o->check.uri, " \"'") ||
           strpbrk(o->check.expr, " \"'") || (o->upgrade && strchr(o->upgrade, ' '));
}

static void check_description(cmd_parms *cmd, const rp_options_t *o)
{
    rp_options_t again;
    const char *text = rp_conf_describe_options(cmd->pool, o);
    char *words = apr_pstrdup(cmd->pool, text), *word, *last;

    if (has_spaces(o) || (o->set & (RP_OPT_FLUSH_PACKETS | RP_OPT_FLUSH_WAIT))) {
        return;
    }
    rp_conf_init_options(&again);
    for (word = apr_strtok(words, " ", &last); word; word = apr_strtok(NULL, " ", &last)) {
        char *value = strchr(word, '=');

        MUST(value);
        *value++ = '\0';
        MUST(rp_conf_set_param(cmd, &again, word, value) == NULL);
    }
    MUST(strcmp(text, rp_conf_describe_options(cmd->pool, &again)) == 0);
}

static void check_backend(cmd_parms *cmd, const rp_backend_t *b)
{
    static const char *const schemes = "http https ws wss";

    MUST(strstr(schemes, b->scheme) && b->is_tls == (!strcmp(b->scheme, "https") || !strcmp(b->scheme, "wss")));
    MUST(b->port > 0 && *b->host && (*b->path == '\0' || strchr("/?#", *b->path) || b->has_variable_path));
    MUST(b->name && strstr(b->name, "://") && (!b->uds_path || strlen(b->uds_path) < 108));
    check_numbers(&b->opt);
    check_description(cmd, &b->opt);
}

static void check_group(cmd_parms *cmd, const rp_group_t *group)
{
    const rp_group_options_t *o = &group->opt;

    MUST(!strncmp(group->name, "balancer://", 11) && o->method && is_time(o->timeout));
    MUST(o->max_attempts >= 0 && o->growth >= 0 && o->growth <= 100);
    for (int i = 0; i < rp_conf_count_members(group); i++) {
        const rp_backend_t *member = rp_conf_get_member(group, i);

        check_backend(cmd, member);
        MUST(rp_conf_find_member(cmd->pool, group, rp_conf_get_url(cmd->pool, member)));
    }
}

static void check_server(cmd_parms *cmd, const rp_server_conf_t *conf)
{
    for (int i = 0; i < conf->backends->nelts; i++) {
        const rp_backend_t *b = APR_ARRAY_IDX(conf->backends, i, const rp_backend_t *);

        check_backend(cmd, b);
        MUST(b->has_variable_host || b->has_variable_path || rp_conf_find_backend(conf, b->name, b->uds_path));
    }
    for (int i = 0; i < conf->groups->nelts; i++) {
        check_group(cmd, APR_ARRAY_IDX(conf->groups, i, const rp_group_t *));
    }
    for (int i = 0; i < conf->routes->nelts; i++) {
        const rp_route_t *route = APR_ARRAY_IDX(conf->routes, i, const rp_route_t *);

        MUST(route->path && (route->is_excluded || route->target) && !(route->backend && route->group));
        MUST(!route->is_excluded || (!route->backend && !route->group));
    }
    MUST(!conf->timeout_set || (conf->timeout > 0 && is_time(conf->timeout)));
    MUST(!conf->head_max_set || (conf->head_max >= 1024 && conf->head_max <= 16777216));
    MUST(!conf->fields_max_set || (conf->fields_max >= 1 && conf->fields_max <= 100000));
    MUST(conf->tunnel_max >= 0 && is_time(conf->tunnel_drain));
}

int fuzz_config(const uint8_t *bytes, size_t size)
{
    apr_pool_t *p;
    cmd_parms cmd;
    rp_server_conf_t *conf;
    text_t text = {0};
    const char *err;

    apr_pool_create(&p, fuzz_pool);
    begin(&cmd, p, make_server(p));
    text.p = apr_pstrmemdup(p, (const char *)bytes, size);
    text.end = text.p + size;
    err = read_text(&cmd, &text);
    MUST(!err || strstr(text.end - size, "(null)") || !strstr(err, "(null)"));
    conf = rp_conf_of(&cmd);
    if (!err) {
        check_server(&cmd, conf);
        check_server(&cmd, rp_conf_merge_server(p, rp_conf_of(&(cmd_parms){.server = fuzz_server}), conf));
        check_server(&cmd, rp_conf_merge_server(p, conf, conf));
        MUST(rp_lint_post_config(p, p, cmd.temp_pool, cmd.server) == OK);
    }
    ap_conftree = NULL;
    apr_pool_destroy(p);
    return 0;
}
