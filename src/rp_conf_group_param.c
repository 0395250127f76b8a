#include "rp_conf_int.h"

#include <stdlib.h>

#include "ap_provider.h"
#include "mod_revproxy.h"

typedef struct setting_t {
    cmd_parms *cmd;
    rp_group_options_t *opt;
    const char *value;
} setting_t;

typedef struct param_t {
    const char *name;
    unsigned bit;
    const char *rule;    /* mod_proxy's words when the value is refused */
    const char *example; /* what the operator may write */
    bool (*set)(setting_t *s);
} param_t;

#define MAX_TIME ((apr_int64_t)APR_INT32_MAX * APR_USEC_PER_SEC)

static bool set_sticky(setting_t *s)
{
    const char *bar = strchr(s->value, '|');

    s->opt->sticky = bar ? apr_pstrmemdup(s->cmd->pool, s->value, (size_t)(bar - s->value))
                         : apr_pstrdup(s->cmd->pool, s->value);
    s->opt->sticky_path = bar ? apr_pstrdup(s->cmd->pool, bar + 1) : s->opt->sticky;
    return *s->opt->sticky || *s->opt->sticky_path;
}

static bool set_separator(setting_t *s)
{
    if (s->value[0] && !s->value[1]) {
        s->opt->separator = s->value[0];
        return true;
    }
    s->opt->separator = '\0';
    return !ap_cstr_casecmp(s->value, "off");
}

static bool set_scolon(setting_t *s)
{
    return rp_conf_parse_flag(s->value, &s->opt->scolon_ends);
}

static bool set_no_failover(setting_t *s)
{
    return rp_conf_parse_flag(s->value, &s->opt->no_failover);
}

static bool set_fail_on_timeout(setting_t *s)
{
    return rp_conf_parse_flag(s->value, &s->opt->fail_on_timeout);
}

static bool set_force_recovery(setting_t *s)
{
    return rp_conf_parse_flag(s->value, &s->opt->force_recovery);
}

static bool set_timeout(setting_t *s)
{
    return !rp_conf_parse_time(s->value, APR_USEC_PER_SEC, &s->opt->timeout) &&
           s->opt->timeout >= 1000 && s->opt->timeout <= MAX_TIME;
}

static bool read_int(const char *text, int min, int max, int *value)
{
    apr_int64_t number;

    if (rp_conf_parse_number(text, &number) || number < min || number > max) {
        return false;
    }
    *value = (int)number;
    return true;
}

static bool set_max_attempts(setting_t *s)
{
    return read_int(s->value, 0, APR_INT32_MAX, &s->opt->max_attempts);
}

static bool set_growth(setting_t *s)
{
    return read_int(s->value, 1, 100, &s->opt->growth);
}

static bool read_statuses(setting_t *s, const apr_array_header_t **statuses)
{
    apr_array_header_t *codes = apr_array_make(s->cmd->pool, 2, sizeof(int));
    char *text = apr_pstrdup(s->cmd->temp_pool, s->value), *rest;
    char *word = apr_strtok(text, ", ", &rest);
    int code;

    for (; word; word = apr_strtok(NULL, ", ", &rest)) {
        if (!read_int(word, 100, 599, &code)) {
            return false;
        }
        APR_ARRAY_PUSH(codes, int) = code;
    }
    *statuses = codes;
    return true;
}

static bool set_fail_on(setting_t *s)
{
    return read_statuses(s, &s->opt->fail_on);
}

static bool set_fail_over_on(setting_t *s)
{
    return read_statuses(s, &s->opt->fail_over_on);
}

static bool set_nonce(setting_t *s)
{
    s->opt->nonce = ap_cstr_casecmp(s->value, "None") ? apr_pstrdup(s->cmd->pool, s->value) : "";
    return strlen(s->value) <= 36;
}

/* RFC 6265 4.1.1: a cookie's name is a token. */
static bool set_sticky_cookie(setting_t *s)
{
    const char *c;

    for (c = s->value; *c; c++) {
        if (!apr_isalnum(*c) && !strchr("!#$%&'*+-.^_`|~", *c)) {
            return false;
        }
    }
    s->opt->sticky_cookie = apr_pstrdup(s->cmd->pool, s->value);
    return c > s->value && c - s->value < 64;
}

static bool set_sticky_secret(setting_t *s)
{
    s->opt->sticky_secret = apr_pstrdup(s->cmd->pool, s->value);
    return strlen(s->value) >= 16;
}

static bool set_hash_key(setting_t *s)
{
    const char *err = NULL;

    s->opt->hash_key = ap_expr_parse_cmd(s->cmd, apr_pstrdup(s->cmd->pool, s->value),
                                         AP_EXPR_FLAG_STRING_RESULT, &err, NULL);
    return !err;
}

static bool set_method(setting_t *s)
{
    s->opt->method = apr_pstrdup(s->cmd->pool, s->value);
    ap_str_tolower((char *)s->opt->method);
    return ap_lookup_provider(REVPROXY_LBMETHOD_GROUP, s->opt->method,
                              REVPROXY_LBMETHOD_VERSION) != NULL;
}

/* clang-format off */
static const param_t params[] = {
    {"lbmethod", RP_GROUP_METHOD, "unknown lbmethod", NULL, set_method},
    {"stickysession", RP_GROUP_STICKY, "stickysession must name a cookie",
     "stickysession=ROUTEID or stickysession=JSESSIONID|jsessionid", set_sticky},
    {"stickysessionsep", RP_GROUP_SEPARATOR,
     "stickysessionsep must be a single character or Off", "stickysessionsep=.", set_separator},
    {"scolonpathdelim", RP_GROUP_SCOLON, "scolonpathdelim must be On|Off",
     "scolonpathdelim=On", set_scolon},
    {"nofailover", RP_GROUP_NO_FAILOVER, "failover must be On|Off", "nofailover=On",
     set_no_failover},
    {"timeout", RP_GROUP_TIMEOUT, "timeout must be at least one second",
     "timeout=5 (seconds to wait for a usable member) or timeout=500ms", set_timeout},
    {"maxattempts", RP_GROUP_MAX_ATTEMPTS,
     "maximum number of failover attempts must be a positive number", "maxattempts=1",
     set_max_attempts},
    {"failonstatus", RP_GROUP_FAIL_STATUS,
     "failonstatus must be one or more HTTP response codes", "failonstatus=500,503", set_fail_on},
    {"failoverstatus", RP_GROUP_FAIL_OVER_STATUS,
     "failoverstatus must be one or more HTTP response codes", "failoverstatus=502,503", set_fail_over_on},
    {"failontimeout", RP_GROUP_FAIL_TIMEOUT, "failontimeout must be On|Off", "failontimeout=On",
     set_fail_on_timeout},
    {"nonce", RP_GROUP_NONCE, "Provided nonce is too large", "nonce=None, or up to 36 characters",
     set_nonce},
    {"growth", RP_GROUP_GROWTH, "growth must be between 1 and 100", "growth=10", set_growth},
    {"forcerecovery", RP_GROUP_FORCE_RECOVERY, "forcerecovery must be On|Off",
     "forcerecovery=Off", set_force_recovery},
    {"stickycookie", RP_GROUP_STICKY_COOKIE, "stickycookie must be a cookie's name",
     "stickycookie=NODE", set_sticky_cookie},
    {"stickysecret", RP_GROUP_STICKY_SECRET, "stickysecret must have at least 16 characters",
     "\"stickysecret=some long text, the same on all front ends\"", set_sticky_secret},
    {"hashkey", RP_GROUP_HASH_KEY, "hashkey must be a string expression",
     "hashkey=%{REMOTE_ADDR}", set_hash_key},
};
/* clang-format on */

#define PARAMS (sizeof(params) / sizeof(params[0]))

void rp_conf_init_group_options(rp_group_options_t *opt)
{
    memset(opt, 0, sizeof(*opt));
    opt->method = "byrequests";
    opt->separator = '.';
    opt->force_recovery = true;
}

static const char *refuse_key(cmd_parms *cmd, const char *key, const char *value)
{
    const char *words[PARAMS + 1], *nearest;
    apr_pool_t *p = cmd->pool;
    rp_options_t scratch;
    size_t i;

    for (i = 0; i < PARAMS; i++) {
        words[i] = params[i].name;
    }
    words[i] = NULL;
    nearest = rp_conf_nearest(key, words);
    rp_conf_init_options(&scratch);
    if (rp_conf_is_inert_param(key) || !rp_conf_set_param(cmd, &scratch, key, value)) {
        return apr_psprintf(p,
                            "unknown Balancer parameter '%s=%s': it is a parameter of members, "
                            "write it behind their URLs in BalancerMember",
                            key, value);
    }
    return apr_psprintf(p, "unknown Balancer parameter '%s=%s'%s%s%s", key, value,
                        nearest ? ": did you mean " : "", nearest ? nearest : "",
                        nearest ? "?" : "");
}

static int compare_words(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const char *refuse_method(apr_pool_t *p, const char *value)
{
    apr_array_header_t *names =
        ap_list_provider_names(p, REVPROXY_LBMETHOD_GROUP, REVPROXY_LBMETHOD_VERSION);
    const char **words = apr_pcalloc(p, ((size_t)names->nelts + 1) * sizeof(*words));
    const char *list = "", *nearest;
    int i;

    for (i = 0; i < names->nelts; i++) {
        words[i] = APR_ARRAY_IDX(names, i, ap_list_provider_names_t).provider_name;
    }
    qsort(words, (size_t)names->nelts, sizeof(*words), compare_words);
    for (i = 0; i < names->nelts; i++) {
        list = apr_pstrcat(p, list, i ? ", " : "", words[i], NULL);
    }
    nearest = rp_conf_nearest(value, words);
    return apr_psprintf(p, "unknown lbmethod '%s': known are %s%s%s%s", value, list,
                        nearest ? "; did you mean " : "", nearest ? nearest : "",
                        nearest ? "?" : "");
}

const char *rp_conf_set_group_param(cmd_parms *cmd, rp_group_options_t *opt, const char *key,
                                    const char *value)
{
    setting_t setting = {cmd, opt, value};
    size_t i;

    for (i = 0; i < PARAMS && ap_cstr_casecmp(key, params[i].name); i++) {
    }
    if (i == PARAMS) {
        return refuse_key(cmd, key, value);
    }
    if (!params[i].set(&setting)) {
        return params[i].example
                   ? apr_psprintf(cmd->pool, "%s: '%s=%s' was read; write for example %s",
                                  params[i].rule, key, value, params[i].example)
                   : refuse_method(cmd->pool, value);
    }
    opt->set |= params[i].bit;
    return NULL;
}

void rp_conf_merge_group_options(apr_pool_t *p, rp_group_options_t *opt,
                                 const rp_group_options_t *base)
{
#define TAKE(bit, member)                                                                          \
    if (!(opt->set & (bit))) {                                                                     \
        opt->member = base->member;                                                                \
    }
    TAKE(RP_GROUP_METHOD, method)
    TAKE(RP_GROUP_STICKY, sticky)
    TAKE(RP_GROUP_STICKY, sticky_path)
    TAKE(RP_GROUP_SEPARATOR, separator)
    TAKE(RP_GROUP_SCOLON, scolon_ends)
    TAKE(RP_GROUP_NO_FAILOVER, no_failover)
    TAKE(RP_GROUP_TIMEOUT, timeout)
    TAKE(RP_GROUP_MAX_ATTEMPTS, max_attempts)
    TAKE(RP_GROUP_FAIL_TIMEOUT, fail_on_timeout)
    TAKE(RP_GROUP_NONCE, nonce)
    TAKE(RP_GROUP_GROWTH, growth)
    TAKE(RP_GROUP_FORCE_RECOVERY, force_recovery)
    TAKE(RP_GROUP_STICKY_COOKIE, sticky_cookie)
    TAKE(RP_GROUP_STICKY_SECRET, sticky_secret)
    TAKE(RP_GROUP_HASH_KEY, hash_key)
    TAKE(RP_GROUP_FAIL_OVER_STATUS, fail_over_on)
#undef TAKE
    if (base->fail_on) {
        opt->fail_on = opt->fail_on ? apr_array_append(p, opt->fail_on, base->fail_on)
                                    : base->fail_on;
    }
    opt->set |= base->set;
}
