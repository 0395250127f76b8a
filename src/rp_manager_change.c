#include "rp_manager_int.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "ap_provider.h"
#include "mod_revproxy.h"

#include "rp_err.h"
#include "rp_conf_member.h"

extern module AP_MODULE_DECLARE_DATA revproxy_module;
APLOG_USE_MODULE(revproxy);

typedef struct param_t param_t;

/* A parameter with the value that it is to get. */
typedef struct change_t {
    const param_t *param;
    const char *sent;
    apr_int64_t number;
    const char *text;
} change_t;

/* read: false if the text is no value of it. get: what it is now, for people. */
struct param_t {
    const char *key;  /* in forms */
    const char *name; /* for people */
    const char *rule; /* what a value has to be */
    int which;        /* rp_shm's */
    int min, max;
    bool may_be_empty; /* it then removes the text; of others what is sent empty stays as it is */
    bool (*read)(const rp_manager_t *m, change_t *c, const char *text);
    const char *(*get)(const rp_manager_t *m, const param_t *param);
    void (*set)(const rp_manager_t *m, const change_t *c);
};

/* ---- values ---- */

static bool read_integer(const rp_manager_t *m, change_t *c, const char *text)
{
    char *end;

    (void)m;
    c->number = apr_strtoi64(text, &end, 10);
    return end > text && !*end && c->number >= c->param->min && c->number <= c->param->max;
}

static bool read_seconds(const rp_manager_t *m, change_t *c, const char *text)
{
    bool ok = read_integer(m, c, text);

    c->number = ok ? apr_time_from_sec(c->number) : 0;
    return ok;
}

/* "1.5": in hundredths. */
static bool read_weight(const rp_manager_t *m, change_t *c, const char *text)
{
    size_t whole = strspn(text, "0123456789"), part;
    apr_int64_t value;

    (void)m;
    if (whole == 0 || whole > 3 || (text[whole] && text[whole] != '.')) {
        return false;
    }
    value = apr_atoi64(text) * 100;
    if (text[whole]) {
        text += whole + 1;
        part = strspn(text, "0123456789");
        if (text[part]) {
            return false;
        }
        value += part > 0 ? (text[0] - '0') * 10 : 0;
        value += part > 1 ? text[1] - '0' : 0;
    }
    c->number = value;
    return value >= c->param->min && value <= c->param->max;
}

static bool read_flag(const rp_manager_t *m, change_t *c, const char *text)
{
    (void)m;
    c->number = !strcmp(text, "1") || !ap_cstr_casecmp(text, "on");
    return c->number || !strcmp(text, "0") || !ap_cstr_casecmp(text, "off");
}

static bool read_text(const rp_manager_t *m, change_t *c, const char *text)
{
    (void)m;
    c->text = text;
    return strlen(text) < RP_SHM_TEXT;
}

static bool read_method(const rp_manager_t *m, change_t *c, const char *text)
{
    char *name = apr_pstrdup(m->r->pool, text);

    ap_str_tolower(name);
    c->text = name;
    return strlen(name) < RP_SHM_TEXT &&
           ap_lookup_provider(REVPROXY_LBMETHOD_GROUP, name, REVPROXY_LBMETHOD_VERSION) != NULL;
}

static bool read_sticky(const rp_manager_t *m, change_t *c, const char *text)
{
    const char *bar = strchr(text, '|');

    (void)m;
    c->text = strcmp(text, "-") ? text : "";
    return bar ? bar - text < RP_SHM_TEXT && strlen(bar) <= RP_SHM_TEXT : strlen(text) < RP_SHM_TEXT;
}

/* ---- of members ---- */

static const char *get_number(const rp_manager_t *m, const param_t *param)
{
    return apr_off_t_toa(m->r->pool, rp_shm_get(m->member, (rp_shm_number_t)param->which));
}

static void set_number(const rp_manager_t *m, const change_t *c)
{
    rp_shm_set(m->member, (rp_shm_number_t)c->param->which, c->number);
}

static const char *get_weight(const rp_manager_t *m, const param_t *param)
{
    int weight = (int)rp_shm_get(m->member, RP_SHM_WEIGHT);

    (void)param;
    return apr_psprintf(m->r->pool, "%d.%02d", weight / 100, weight % 100);
}

/* All members begin again from their weights; a sole one needs none. */
static void set_weight(const rp_manager_t *m, const change_t *c)
{
    int i, n = rp_conf_count_members(m->group);

    rp_shm_set(m->member, RP_SHM_WEIGHT, n == 1 ? 100 : c->number);
    for (i = 0; i < n; i++) {
        const rp_backend_t *b = rp_conf_get_member(m->group, i);

        rp_shm_set(b, RP_SHM_STATE, rp_shm_get(b, RP_SHM_WEIGHT));
    }
}

static const char *get_status(const rp_manager_t *m, const param_t *param)
{
    return rp_shm_get(m->member, RP_SHM_STATUS) & param->which ? "On" : "Off";
}

/* Whoever begins to serve begins as the others do: with nothing behind it, and not with all that it has missed
 * to make up for. */
static void reset_balance(const rp_group_t *group)
{
    rp_lb_settings_t set;
    int i;

    rp_lb_get_settings(group, &set);
    for (i = 0; i < rp_conf_count_members(group); i++) {
        const rp_backend_t *b = rp_conf_get_member(group, i);

        rp_shm_set(b, RP_SHM_STATE, 0);
        if (!strcmp(set.method_name, "bytraffic")) {
            rp_shm_set(b, RP_SHM_SENT, 0);
            rp_shm_set(b, RP_SHM_RECEIVED, 0);
        }
    }
}

static void set_status(const rp_manager_t *m, const change_t *c)
{
    const unsigned off = RP_STATUS_DISABLED | RP_STATUS_STOPPED | RP_STATUS_ERROR | RP_STATUS_CHECK_FAILED;
    unsigned bit = (unsigned)c->param->which;
    unsigned was = rp_shm_change_status(m->member, c->number ? bit : 0, c->number ? 0 : bit);

    if (was & off && !((unsigned)rp_shm_get(m->member, RP_SHM_STATUS) & off)) {
        reset_balance(m->group);
    }
}

static const char *get_text(const rp_manager_t *m, const param_t *param)
{
    char text[RP_SHM_TEXT];

    rp_shm_get_text(m->member, (rp_shm_text_t)param->which, text);
    return apr_pstrdup(m->r->pool, text);
}

static void set_text(const rp_manager_t *m, const change_t *c)
{
    rp_shm_set_text(m->member, (rp_shm_text_t)c->param->which, c->text);
}

/* ---- of their health checks ---- */

static bool read_check_method(const rp_manager_t *m, change_t *c, const char *text)
{
    rp_check_method_t method = RP_CHECK_NONE;
    bool ok = rp_conf_find_check_method(text, &method);

    (void)m;
    c->number = method;
    return ok;
}

static bool read_interval(const rp_manager_t *m, change_t *c, const char *text)
{
    apr_interval_time_t interval = 0;
    bool ok = ap_timeout_parameter_parse(text, &interval, "ms") == APR_SUCCESS;

    (void)m;
    c->number = interval;
    return ok && interval >= RP_CHECK_INTERVAL_MIN && interval <= apr_time_from_sec(APR_INT32_MAX);
}

/* It becomes part of a request line. */
static bool read_uri(const rp_manager_t *m, change_t *c, const char *text)
{
    return read_text(m, c, text) && !strpbrk(text, " #");
}

static bool read_expr(const rp_manager_t *m, change_t *c, const char *text)
{
    return read_text(m, c, text) &&
           (!*text || rp_conf_find_check_expr(rp_conf_get_server(m->member->server), text) != NULL);
}

static const char *get_check_method(const rp_manager_t *m, const param_t *param)
{
    (void)param;
    return rp_conf_get_check_name((rp_check_method_t)rp_shm_get(m->member, RP_SHM_CHECK_METHOD));
}

/* There is no response that an expression could look at. */
static bool has_response(const rp_manager_t *m)
{
    return rp_shm_get(m->member, RP_SHM_CHECK_METHOD) > RP_CHECK_TCP;
}

static void set_check_method(const rp_manager_t *m, const change_t *c)
{
    set_number(m, c);
    if (!has_response(m)) {
        rp_shm_set_text(m->member, RP_SHM_CHECK_EXPR, "");
    }
}

static void set_expr(const rp_manager_t *m, const change_t *c)
{
    rp_shm_set_text(m->member, RP_SHM_CHECK_EXPR, has_response(m) ? c->text : "");
}

static const char *get_interval(const rp_manager_t *m, const param_t *param)
{
    (void)param;
    return apr_psprintf(m->r->pool, "%" APR_TIME_T_FMT "ms",
                        apr_time_as_msec(rp_shm_get(m->member, RP_SHM_CHECK_INTERVAL)));
}

/* ---- of groups ---- */

static const char *get_flag(const rp_manager_t *m, const param_t *param)
{
    return rp_shm_get_setting(m->group, (rp_shm_setting_t)param->which) ? "On" : "Off";
}

static void set_setting(const rp_manager_t *m, const change_t *c)
{
    rp_shm_set_setting(m->group, (rp_shm_setting_t)c->param->which, c->number);
}

static const char *get_seconds(const rp_manager_t *m, const param_t *param)
{
    return apr_off_t_toa(m->r->pool, apr_time_sec(rp_shm_get_setting(m->group, (rp_shm_setting_t)param->which)));
}

static const char *get_attempts(const rp_manager_t *m, const param_t *param)
{
    rp_lb_settings_t set;

    (void)param;
    rp_lb_get_settings(m->group, &set);
    return apr_itoa(m->r->pool, rp_manager_get_attempts(m->group, &set));
}

static const char *get_method(const rp_manager_t *m, const param_t *param)
{
    rp_lb_settings_t set;

    (void)param;
    rp_lb_get_settings(m->group, &set);
    return apr_pstrdup(m->r->pool, set.method_name);
}

static void set_method(const rp_manager_t *m, const change_t *c)
{
    rp_shm_set_group_text(m->group, RP_SHM_METHOD, c->text);
    reset_balance(m->group);
}

static const char *get_sticky(const rp_manager_t *m, const param_t *param)
{
    rp_lb_settings_t set;

    (void)param;
    rp_lb_get_settings(m->group, &set);
    return rp_manager_get_sticky(m, &set);
}

/* "A|b", and "A | b" as mod_proxy's page once showed it. */
static void set_sticky(const rp_manager_t *m, const change_t *c)
{
    const char *bar = strchr(c->text, '|');
    char *cookie = apr_pstrmemdup(m->r->pool, c->text, bar ? (apr_size_t)(bar - c->text) : strlen(c->text));
    char *path = bar ? apr_pstrdup(m->r->pool, bar + 1) : cookie;

    apr_collapse_spaces(cookie, cookie);
    apr_collapse_spaces(path, path);
    rp_shm_set_group_text(m->group, RP_SHM_STICKY, cookie);
    rp_shm_set_group_text(m->group, RP_SHM_STICKY_PATH, path);
}

/* clang-format off */
#define A_FLAG "0 or 1"
#define A_TEXT "at most 63 characters"
#define STATUS(letter, what, bit) \
    {"w_status_" letter, what, A_FLAG, (int)(bit), 0, 1, false, read_flag, get_status, set_status}

static const param_t of_member[] = {
    {"w_lf", "loadfactor", "a number from 1 to 100", RP_SHM_WEIGHT, 100, 10000, false, read_weight, get_weight, set_weight},
    {"w_ls", "lbset", "a number from 0 to 99", RP_SHM_LBSET, 0, 99, false, read_integer, get_number, set_number},
    {"w_wr", "route", A_TEXT, RP_SHM_ROUTE, 0, 0, true, read_text, get_text, set_text},
    {"w_rr", "redirect", A_TEXT, RP_SHM_REDIRECT, 0, 0, true, read_text, get_text, set_text},
    STATUS("I", "ignore errors", RP_STATUS_IGNORE_ERRORS),
    STATUS("N", "draining", RP_STATUS_DRAIN),
    STATUS("D", "disabled", RP_STATUS_DISABLED),
    STATUS("H", "hot standby", RP_STATUS_STANDBY),
    STATUS("R", "hot spare", RP_STATUS_SPARE),
    STATUS("S", "stopped", RP_STATUS_STOPPED),
    STATUS("C", "health check failed", RP_STATUS_CHECK_FAILED),
};

/* The method first: an expression depends on it. */
static const param_t of_checks[] = {
    {"w_hm", "hcmethod", "NONE, TCP, OPTIONS, HEAD, GET, OPTIONS11, HEAD11 or GET11", RP_SHM_CHECK_METHOD, 0, 0, false,
     read_check_method, get_check_method, set_check_method},
    {"w_hi", "hcinterval", "a time of at least 100 ms", RP_SHM_CHECK_INTERVAL, 0, 0, false, read_interval, get_interval,
     set_number},
    {"w_hp", "hcpasses", "a number from 1 on", RP_SHM_CHECK_PASSES, 1, APR_INT32_MAX, false, read_integer, get_number,
     set_number},
    {"w_hf", "hcfails", "a number from 1 on", RP_SHM_CHECK_FAILS, 1, APR_INT32_MAX, false, read_integer, get_number,
     set_number},
    {"w_hu", "hcuri", "at most 63 characters without space and #", RP_SHM_CHECK_URI, 0, 0, true, read_uri, get_text,
     set_text},
    {"w_he", "hcexpr", "the name of a ProxyHCExpr of the member's server", RP_SHM_CHECK_EXPR, 0, 0, true, read_expr,
     get_text, set_expr},
};

static const param_t of_group[] = {
    {"b_lbm", "lbmethod", "the name of a balancing method", 0, 0, 0, false, read_method, get_method, set_method},
    {"b_tmo", "timeout", "seconds from 0 to 7200", RP_SHM_TIMEOUT, 0, 7200, false, read_seconds, get_seconds, set_setting},
    {"b_max", "maxattempts", "a number from 0 to 99", RP_SHM_MAX_ATTEMPTS, 0, 99, false, read_integer, get_attempts,
     set_setting},
    {"b_sforce", "nofailover", A_FLAG, RP_SHM_NO_FAILOVER, 0, 1, false, read_flag, get_flag, set_setting},
    {"b_frc", "forcerecovery", A_FLAG, RP_SHM_FORCE_RECOVERY, 0, 1, false, read_flag, get_flag, set_setting},
    {"b_ss", "stickysession", "COOKIE or COOKIE|PARAMETER of at most 63 characters each, or - for none", 0, 0, 0, false,
     read_sticky, get_sticky, set_sticky},
};
/* clang-format on */

#define COUNT(list) ((int)(sizeof(list) / sizeof((list)[0])))

/* ---- to carry them out ---- */

static void collect(rp_manager_t *m, apr_array_header_t *changes, const param_t *params, int n)
{
    int i;

    for (i = 0; i < n; i++) {
        const char *text = apr_table_get(m->form, params[i].key);
        change_t c = {.param = &params[i], .sent = text};

        if (!text || (!*text && !params[i].may_be_empty)) {
            continue;
        }
        if (params[i].read(m, &c, text)) {
            APR_ARRAY_PUSH(changes, change_t) = c;
        }
        else {
            rp_manager_fail(m, HTTP_UNPROCESSABLE_ENTITY,
                            apr_psprintf(m->r->pool, "%s (%s) was not changed: it has to be %s.", params[i].name,
                                         params[i].key, params[i].rule));
        }
    }
}

/* A method is of no use where nobody is there to check. */
static void collect_checks(rp_manager_t *m, apr_array_header_t *changes)
{
    int i;

    if (rp_health_is_on()) {
        collect(m, changes, of_checks, COUNT(of_checks));
        return;
    }
    for (i = 0; i < COUNT(of_checks); i++) {
        if (apr_table_get(m->form, of_checks[i].key)) {
            rp_manager_fail(m, HTTP_UNPROCESSABLE_ENTITY,
                            apr_pstrcat(m->r->pool, of_checks[i].name, " (", of_checks[i].key,
                                        ") was not changed: no member of this server has health checks in the "
                                        "configuration, so none are run.",
                                        NULL));
        }
    }
}

static void note(rp_manager_t *m, const char *subject, const char *what)
{
    rp_err_where_t where = {.backend = subject};

    APR_ARRAY_PUSH(m->notes, const char *) = apr_pstrcat(m->r->pool, subject, ": ", what, NULL);
    rp_err_log(m->r, RP_E_MANAGER_CHANGED, 0, &where,
               apr_psprintf(m->r->pool, "%s, %s, by %s from %s", m->group->name, what,
                            m->r->user ? m->r->user : "a client without a name", m->r->useragent_ip));
}

/* A page that is sent back as it was changes nothing: not the balance, not a value that is only worked out or is
 * finer than what is shown. */
static bool is_same(const rp_manager_t *m, const change_t *c)
{
    return !strcmp(c->param->get(m, c->param), c->sent) ||
           (c->param->read == read_weight && rp_shm_get(m->member, RP_SHM_WEIGHT) == c->number);
}

static void carry_out(rp_manager_t *m, const change_t *c, const char *subject)
{
    const char *before = c->param->get(m, c->param), *after;

    if (is_same(m, c)) {
        return;
    }
    c->param->set(m, c);
    after = c->param->get(m, c->param);
    if (strcmp(before, after) != 0) {
        note(m, subject, apr_psprintf(m->r->pool, "%s from '%s' to '%s'", c->param->name, before, after));
    }
}

/* As in mod_proxy's form, b_wyes says that it is meant. */
static const char *get_new_member(const rp_manager_t *m)
{
    const char *url = apr_table_get(m->form, "b_nwrkr"), *sure = apr_table_get(m->form, "b_wyes");

    return url && *url && sure && !strcmp(sure, "1") ? url : NULL;
}

static void add_member(rp_manager_t *m, const char *url)
{
    rp_roster_t *roster = m->group->roster;
    rp_backend_t *b;
    const char *err;

    (void)rp_lb_count_members(m->group);
    err = rp_conf_read_member(m->r->pool, m->group, url, &b);
    if (!err && rp_conf_count_members(m->group) == roster->size) {
        err = "there is no place for another member: growth= of the balancer says how many there may be";
    }
    if (!err && !rp_shm_add_member(m->group, b)) {
        err = "its URL is too long";
    }
    if (err) {
        rp_manager_fail(m, HTTP_BAD_REQUEST, apr_pstrcat(m->r->pool, "The member was not added: ", err, ".", NULL));
        return;
    }
    (void)rp_lb_count_members(m->group);
    note(m, rp_conf_get_url(m->r->pool, b), "added as a member, disabled");
}

/* Who looks at a status gets all or nothing; pages have always left out what is no value. */
static bool is_given_up(rp_manager_t *m)
{
    if (m->errors->nelts == 0 || m->format != RP_MANAGER_JSON) {
        return false;
    }
    rp_manager_fail(m, 0, "Nothing was changed.");
    return true;
}

/* Under the lock. What may still fail comes first. */
static void apply(rp_manager_t *m, const apr_array_header_t *changes, int of_members)
{
    const char *url = get_new_member(m);
    int i;

    if (url) {
        add_member(m, url);
    }
    if (is_given_up(m)) {
        return;
    }
    for (i = 0; i < changes->nelts; i++) {
        carry_out(m, &APR_ARRAY_IDX(changes, i, const change_t),
                  i < of_members ? rp_conf_get_url(m->r->pool, m->member) : m->group->name);
    }
}

/* Another change takes microseconds; a holder that died is seen to by the parent. */
#define LOOKS 10000

static bool lock(void)
{
    int i;

    for (i = 0; i < LOOKS; i++) {
        if (rp_shm_lock()) {
            return true;
        }
        (void)sched_yield();
    }
    return false;
}

void rp_manager_change(rp_manager_t *m)
{
    apr_array_header_t *changes = apr_array_make(m->r->pool, 8, sizeof(change_t));
    int of_members;

    if (m->member) {
        collect(m, changes, of_member, COUNT(of_member));
        collect_checks(m, changes);
    }
    of_members = changes->nelts;
    collect(m, changes, of_group, COUNT(of_group));
    if (is_given_up(m)) {
        return;
    }
    if (!lock()) {
        rp_manager_fail(m, HTTP_SERVICE_UNAVAILABLE, "Nothing was changed: another change is being made. Try again.");
        return;
    }
    apply(m, changes, of_members);
    rp_shm_unlock();
}
