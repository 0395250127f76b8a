#include "rp_conf_int.h"

#include "apr_fnmatch.h"

static bool is_proxy_section(const char *name, bool *is_regex)
{
    name += !ap_cstr_casecmpn(name, "<Rev", 4) ? 4 : 1;
    *is_regex = !ap_cstr_casecmp(name, "ProxyMatch");
    return *is_regex || !ap_cstr_casecmp(name, "Proxy");
}

const ap_directive_t *rp_conf_find_proxy_section(const cmd_parms *cmd)
{
    const ap_directive_t *parent = cmd->directive ? cmd->directive->parent : NULL;
    bool is_regex;

    return parent && parent->directive[0] == '<' && is_proxy_section(parent->directive, &is_regex)
               ? parent
               : NULL;
}

/* Read the directives inside, with the section's text as their path. */
static const char *read_content(cmd_parms *cmd, rp_section_t *section)
{
    int override = cmd->override;
    char *path = cmd->path;
    const char *err;

    cmd->path = apr_pstrdup(cmd->pool, section->pattern);
    cmd->override = OR_ALL | ACCESS_CONF | PROXY_CONF;
    section->dir_conf = ap_create_per_dir_config(cmd->pool);
    ap_set_config_vectors(cmd->server, section->dir_conf, cmd->path, &revproxy_module, cmd->pool);
    err = ap_walk_config(cmd->directive->first_child, cmd, section->dir_conf);
    cmd->path = path;
    cmd->override = override;
    return err;
}

/* key=value words on the section's own line. */
static const char *set_line_params(cmd_parms *cmd, const rp_section_t *section, const char *args)
{
    const char *name = cmd->cmd->name;
    const char *err;

    if (!*args) {
        return NULL;
    }
    if (section->regex) {
        return apr_psprintf(cmd->pool, "Multiple %s> arguments not (yet) supported", name);
    }
    if (section->is_glob) {
        return apr_pstrcat(cmd->pool, name, "> arguments are not supported for wildchar url", NULL);
    }
    if (!strchr(section->pattern, ':')) {
        return apr_pstrcat(cmd->pool, name, "> arguments are not supported for non url", NULL);
    }
    err = rp_conf_is_group_url(section->pattern)
              ? rp_conf_set_group(cmd, section->pattern, args, true)
              : rp_conf_set_named(cmd, section->pattern, args, true);
    return err ? apr_pstrcat(cmd->pool, name, "> ", err, NULL) : NULL;
}

static const char *set_regex(cmd_parms *cmd, rp_section_t *section)
{
    section->regex = ap_pregcomp(cmd->pool, section->pattern, AP_REG_EXTENDED);
    if (!section->regex) {
        return apr_psprintf(cmd->pool, "Regex could not be compiled: %s", section->pattern);
    }
    section->captures = apr_array_make(cmd->pool, 2, sizeof(const char *));
    ap_regname(section->regex, section->captures, AP_REG_MATCH, 1);
    return NULL;
}

/* <Proxy balancer://x> makes x, whatever stands inside. */
static const char *check_group(cmd_parms *cmd, const rp_section_t *section)
{
    rp_group_t *group;
    const char *err;

    if (section->is_glob || !rp_conf_is_group_url(section->pattern)) {
        return NULL;
    }
    err = rp_conf_need_group(cmd, section->pattern, &group);
    return err ? apr_pstrcat(cmd->pool, cmd->cmd->name, "> ", err, NULL) : NULL;
}

const char *rp_conf_cmd_section(cmd_parms *cmd, void *dir, const char *args)
{
    const char *err = rp_conf_enter(cmd, RP_PLACE_SERVER);
    const char *end = strrchr(args, '>');
    rp_section_t *section;
    bool is_regex = false;

    (void)dir;
    if (!err) {
        err = ap_check_cmd_context(cmd, NOT_IN_DIR_CONTEXT);
    }
    if (err) {
        return err;
    }
    if (!end) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, "> directive missing closing '>'", NULL);
    }
    args = apr_pstrmemdup(cmd->pool, args, (size_t)(end - args));
    section = apr_pcalloc(cmd->pool, sizeof(*section));
    section->pattern = ap_getword_conf(cmd->pool, &args);
    if (!*section->pattern) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name,
                           "> block must specify a path: a target's URL, or * for all", NULL);
    }
    if (!ap_cstr_casecmpn(section->pattern, "proxy:", 6)) {
        section->pattern += 6;
    }
    is_proxy_section(cmd->cmd->name, &is_regex);
    section->is_glob = !is_regex && apr_fnmatch_test(section->pattern);
    err = is_regex ? set_regex(cmd, section) : check_group(cmd, section);
    if (!err) {
        err = read_content(cmd, section);
    }
    if (err) {
        return err;
    }
    APR_ARRAY_PUSH(rp_conf_of(cmd)->sections, rp_section_t *) = section;
    return set_line_params(cmd, section, args);
}
