#include "rp_conf_int.h"

/* RFC 7239 6.3: "_" and then letters, digits, ".", "_", "-". */
static bool is_hidden_name(const char *text)
{
    const char *c;

    if (text[0] != '_' || !text[1]) {
        return false;
    }
    for (c = text + 1; *c && (apr_isalnum(*c) || strchr("._-", *c)); c++) {
    }
    return !*c;
}

static const char *set_name(cmd_parms *cmd, const char *word, const char **name)
{
    *name = strchr(word, '=') + 1;
    return is_hidden_name(*name) ? NULL
                                 : apr_psprintf(cmd->pool,
                                                "RevProxyForwarded: '%s' is no name as RFC 7239 has them: write for "
                                                "example %.*s_edge1, or leave it out to send the address",
                                                word, (int)(*name - word), word);
}

static const char *set_word(cmd_parms *cmd, rp_forwarded_t *conf, const char *word)
{
    static const char *const words[] = {"off", "proto", "port", "forwarded", "replace", "append", "by", "by=", "for=",
                                        NULL};
    const char *nearest;

    if (!ap_cstr_casecmp(word, "proto")) {
        conf->proto = true;
    }
    else if (!ap_cstr_casecmp(word, "port")) {
        conf->port = true;
    }
    else if (!ap_cstr_casecmp(word, "forwarded")) {
        conf->rfc7239 = true;
    }
    else if (!ap_cstr_casecmp(word, "replace") || !ap_cstr_casecmp(word, "append")) {
        if (conf->mode != RP_FORWARDED_AUTO) {
            return "RevProxyForwarded: replace or append, once; without either, what a client sends is replaced "
                   "unless mod_remoteip trusts it";
        }
        conf->mode = apr_tolower(word[0]) == 'r' ? RP_FORWARDED_REPLACE : RP_FORWARDED_APPEND;
    }
    else if (!ap_cstr_casecmp(word, "by") || !ap_cstr_casecmpn(word, "by=", 3)) {
        conf->has_by = true;
        return word[2] ? set_name(cmd, word, &conf->by) : NULL;
    }
    else if (!ap_cstr_casecmpn(word, "for=", 4)) {
        return set_name(cmd, word, &conf->client);
    }
    else if (!ap_cstr_casecmp(word, "off")) {
        return "RevProxyForwarded: off stands alone";
    }
    else {
        nearest = rp_conf_nearest(word, words);
        return apr_psprintf(cmd->pool,
                            "RevProxyForwarded: '%s' is none of off, proto, port, forwarded, replace, append, by, "
                            "by=_NAME, for=_NAME%s%s%s",
                            word, nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
    }
    return NULL;
}

const char *rp_conf_cmd_forwarded(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    rp_forwarded_t *conf = apr_pcalloc(cmd->pool, sizeof(*conf));
    const char *err = rp_conf_enter(cmd, RP_PLACE_ANY);
    int i;

    ((rp_dir_conf_t *)dir)->forwarded = conf;
    if (!err && argc == 1 && !ap_cstr_casecmp(argv[0], "off")) {
        return NULL;
    }
    for (i = 0; !err && i < argc; i++) {
        err = set_word(cmd, conf, argv[i]);
    }
    if (!err && !conf->proto && !conf->port && !conf->rfc7239) {
        err = "RevProxyForwarded says no field: write some of proto (X-Forwarded-Proto), port (X-Forwarded-Port), "
              "forwarded (Forwarded), or off";
    }
    if (!err && !conf->rfc7239 && (conf->has_by || conf->client)) {
        err = "RevProxyForwarded: by and for= are parts of Forwarded: add forwarded";
    }
    return err;
}
