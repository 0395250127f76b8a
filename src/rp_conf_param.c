#include "rp_conf_int.h"

#include <stddef.h>

typedef enum {
    AS_NUMBER,   /* int */
    AS_SIZE,     /* apr_size_t; 0 stands for `zero` */
    AS_TIME,     /* apr_interval_time_t, bare numbers count in `unit` */
    AS_FLAG,     /* bool */
    AS_FLAG_NOT, /* bool, inverse */
    AS_STRING,   /* const char *, at most `max` bytes */
    AS_CUSTOM,   /* custom() knows */
    AS_CHECK,    /* rp_conf_check.c knows */
    AS_INERT     /* accepted, no effect for http */
} kind_t;

typedef struct param_t {
    const char *name;
    kind_t kind;
    unsigned bit;  /* RP_OPT_*, 0: not noted */
    size_t offset; /* in rp_options_t */
    apr_int64_t min, max;
    apr_int64_t unit_or_zero; /* AS_TIME: of a bare number; AS_SIZE: what 0 stands for */
    const char *rule;         /* mod_proxy's words when the value is refused */
    const char *example;      /* what the operator may write */
    bool (*custom)(apr_pool_t *p, rp_options_t *opt, const char *value);
} param_t;

#define MS         APR_TIME_C(1000)
#define SECOND     APR_USEC_PER_SEC
#define MAX_TIME   ((apr_int64_t)APR_INT32_MAX * APR_USEC_PER_SEC)
#define AT(member) offsetof(rp_options_t, member)

static bool set_loadfactor(apr_pool_t *p, rp_options_t *opt, const char *value)
{
    char *end;
    apr_int64_t whole, hundredths = 0;

    (void)p;
    if (!apr_isdigit(value[0])) {
        return false;
    }
    whole = apr_strtoi64(value, &end, 10);
    if (*end == '.') {
        if (apr_isdigit(end[1])) {
            hundredths = (end[1] - '0') * 10 + (apr_isdigit(end[2]) ? end[2] - '0' : 0);
        }
        end += 1 + strspn(end + 1, "0123456789");
    }
    if (*end != '\0' || whole < 1 || whole > 100 || whole * 100 + hundredths > 10000) {
        return false;
    }
    opt->loadfactor = (int)(whole * 100 + hundredths);
    return true;
}

/* clang-format off */
/* Bit of a status letter; 0 for letters that only mod_proxy itself sets; -1 for no letter. */
static int status_bit(char letter)
{
    switch (apr_toupper(letter)) {
    case 'I': return RP_STATUS_IGNORE_ERRORS;
    case 'N': return RP_STATUS_DRAIN;
    case 'D': return RP_STATUS_DISABLED;
    case 'S': return RP_STATUS_STOPPED;
    case 'E': return RP_STATUS_ERROR;
    case 'H': return RP_STATUS_STANDBY;
    case 'C': return RP_STATUS_CHECK_FAILED;
    case 'R': return RP_STATUS_SPARE;
    case 'O': case 'G': case 'U': case 'F': return 0;
    default: return -1;
    }
}
/* clang-format on */

static bool set_status(apr_pool_t *p, rp_options_t *opt, const char *value)
{
    bool is_clear = false;
    int bit;

    (void)p;
    for (; *value; value++) {
        if (*value == '+' || *value == '-') {
            is_clear = *value++ == '-';
        }
        bit = status_bit(*value);
        if (bit < 0) {
            return false;
        }
        /* The later letter of two about the same flag wins. */
        opt->status_set =
            is_clear ? opt->status_set & ~(unsigned)bit : opt->status_set | (unsigned)bit;
        opt->status_clear =
            is_clear ? opt->status_clear | (unsigned)bit : opt->status_clear & ~(unsigned)bit;
    }
    return true;
}

/* ---- upgrade= ---- */

static bool is_word(rp_span_t span, const char *word)
{
    return span.n == strlen(word) && !ap_cstr_casecmpn(span.p, word, span.n);
}

/* Whatever the version behind the slash. */
static bool is_never_tunnelled(rp_span_t protocol)
{
    static const char *const never[] = {"h2c", "h2", "HTTP", "TLS"};
    const char *slash = memchr(protocol.p, '/', protocol.n);
    rp_span_t name = {protocol.p, slash ? (size_t)(slash - protocol.p) : protocol.n};
    size_t i;

    for (i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        if (is_word(name, never[i])) {
            return true;
        }
    }
    return false;
}

/* The next name of a list, or false at its end. */
static bool next_name(const char **list, rp_span_t *name)
{
    *list += strspn(*list, ", ");
    *name = (rp_span_t){*list, strcspn(*list, ", ")};
    *list += name->n;
    return name->n > 0;
}

bool rp_conf_is_in_upgrade(const char *upgrade, rp_span_t protocol)
{
    rp_span_t name;

    if (is_never_tunnelled(protocol) || !strcmp(upgrade, "NONE")) {
        return false;
    }
    if (!strcmp(upgrade, "*")) {
        return true;
    }
    while (next_name(&upgrade, &name)) {
        if (name.n == protocol.n && !ap_cstr_casecmpn(name.p, protocol.p, name.n)) {
            return true;
        }
    }
    return false;
}

static bool names_no_tunnel(const char *list)
{
    rp_span_t name;

    while (next_name(&list, &name)) {
        if (is_never_tunnelled(name)) {
            return true;
        }
    }
    return false;
}

static bool set_upgrade(apr_pool_t *p, rp_options_t *opt, const char *value)
{
    const char *c;

    if (!ap_cstr_casecmp(value, "ANY")) {
        opt->upgrade = "*";
        return true;
    }
    for (c = value; *c; c++) {
        if (!apr_isalnum(*c) && !strchr("!#$%&'*+-.^_`|~/, ", *c)) {
            return false;
        }
    }
    opt->upgrade = ap_cstr_casecmp(value, "NONE") ? apr_pstrdup(p, value) : "NONE";
    return *value != '\0' && c - value <= 15 && !names_no_tunnel(value);
}

static bool set_addressttl(apr_pool_t *p, rp_options_t *opt, const char *value)
{
    (void)p;
    if (!strcmp(value, "-1")) {
        opt->address_ttl = -1;
        return true;
    }
    return !rp_conf_parse_time(value, SECOND, &opt->address_ttl) && opt->address_ttl <= MAX_TIME &&
           opt->address_ttl % SECOND == 0;
}

static bool set_flushpackets(apr_pool_t *p, rp_options_t *opt, const char *value)
{
    bool flag;

    (void)p;
    (void)opt;
    return rp_conf_parse_flag(value, &flag) || !ap_cstr_casecmp(value, "auto");
}

static bool set_flushwait(apr_pool_t *p, rp_options_t *opt, const char *value)
{
    apr_int64_t number;

    (void)p;
    (void)opt;
    return !rp_conf_parse_number(value, &number) && number >= 0 && number <= 1000;
}

/* clang-format off */
static const param_t params[] = {
    {"max", AS_NUMBER, RP_OPT_MAX, AT(max), 0, APR_INT32_MAX, 0,
     "Max must be a positive number", "max=20 (connections per child)", NULL},
    {"smax", AS_NUMBER, RP_OPT_SMAX, AT(smax), 0, APR_INT32_MAX, 0,
     "Smax must be a positive number", "smax=5 (idle connections that may stay)", NULL},
    {"min", AS_NUMBER, RP_OPT_MIN, AT(min), 0, APR_INT32_MAX, 0,
     "Min must be a positive number", "min=0", NULL},
    {"ttl", AS_TIME, RP_OPT_TTL, AT(ttl), MS, MAX_TIME, SECOND,
     "TTL must be at least one second", "ttl=120 (seconds)", NULL},
    {"acquire", AS_TIME, RP_OPT_ACQUIRE, AT(acquire), MS, MAX_TIME, MS,
     "Acquire must be at least one millisecond", "acquire=3000 (milliseconds) or acquire=3s", NULL},
    {"timeout", AS_TIME, RP_OPT_TIMEOUT, AT(timeout), MS, MAX_TIME, SECOND,
     "Timeout must be at least one second", "timeout=60 (seconds) or timeout=500ms", NULL},
    {"connectiontimeout", AS_TIME, RP_OPT_CONNECT_TIMEOUT, AT(connect_timeout), MS, MAX_TIME, SECOND,
     "Connectiontimeout must be at least one millisecond",
     "connectiontimeout=5 (seconds) or connectiontimeout=500ms", NULL},
    {"retry", AS_TIME, RP_OPT_RETRY, AT(retry), 0, MAX_TIME, SECOND,
     "Retry must be a positive value", "retry=60 (seconds)", NULL},
    {"ping", AS_TIME, RP_OPT_PING, AT(ping), MS, MAX_TIME, SECOND,
     "Ping/Pong timeout must be at least one millisecond", "ping=1 (second) or ping=500ms", NULL},
    {"addressttl", AS_CUSTOM, RP_OPT_ADDRESS_TTL, 0, 0, 0, 0,
     "AddressTTL must be -1 or a number of seconds not exceeding 2147483647",
     "addressttl=60 (seconds)", set_addressttl},
    {"disablereuse", AS_FLAG_NOT, RP_OPT_REUSE, AT(reuse), 0, 0, 0,
     "DisableReuse must be On|Off", "disablereuse=On or disablereuse=Off", NULL},
    {"enablereuse", AS_FLAG, RP_OPT_REUSE, AT(reuse), 0, 0, 0,
     "EnableReuse must be On|Off", "enablereuse=On or enablereuse=Off", NULL},
    {"keepalive", AS_FLAG, RP_OPT_KEEPALIVE, AT(keepalive), 0, 0, 0,
     "KeepAlive must be On|Off", "keepalive=On or keepalive=Off", NULL},
    {"iobuffersize", AS_SIZE, RP_OPT_IO_BUFFER, AT(io_buffer), 512, APR_INT32_MAX, 8192,
     "IOBufferSize must be >= 512 bytes, or 0 for system default", "iobuffersize=8192", NULL},
    {"receivebuffersize", AS_SIZE, RP_OPT_RECEIVE_BUFFER, AT(receive_buffer), 512, APR_INT32_MAX, 0,
     "ReceiveBufferSize must be >= 512 bytes, or 0 for system default",
     "receivebuffersize=65536", NULL},
    {"responsefieldsize", AS_SIZE, RP_OPT_FIELD_SIZE, AT(field_size), 1, APR_INT32_MAX, 8192,
     "ResponseFieldSize must be greater than 0 bytes, or 0 for system default",
     "responsefieldsize=16384", NULL},
    {"loadfactor", AS_CUSTOM, RP_OPT_LOADFACTOR, 0, 0, 0, 0,
     "LoadFactor must be a number between 1..100", "loadfactor=2 or loadfactor=2.5",
     set_loadfactor},
    {"lbset", AS_NUMBER, RP_OPT_LBSET, AT(lbset), 0, 99, 0,
     "lbset must be between 0 and 99", "lbset=1", NULL},
    {"route", AS_STRING, RP_OPT_ROUTE, AT(route), 0, 63, 0,
     "Route length must be < 64 characters", "route=node1", NULL},
    {"redirect", AS_STRING, RP_OPT_REDIRECT, AT(redirect), 0, 63, 0,
     "Redirect length must be < 64 characters", "redirect=node2", NULL},
    {"status", AS_CUSTOM, RP_OPT_STATUS, 0, 0, 0, 0,
     "Unknown status parameter option",
     "status=+D (letters: D disabled, S stopped, I ignore errors, H standby, R spare, N drain, "
     "E error, C check failed)", set_status},
    {"upgrade", AS_CUSTOM, RP_OPT_UPGRADE, 0, 0, 0, 0,
     "upgrade protocol length must be < 16 characters, and it is neither HTTP nor TLS",
     "upgrade=websocket, upgrade=ANY or upgrade=NONE", set_upgrade},
    {"tunnelmax", AS_NUMBER, RP_OPT_TUNNEL_MAX, AT(tunnel_max), 0, APR_INT32_MAX, 0,
     "tunnelmax must be a number, 0 for no limit", "tunnelmax=1000 (tunnels at a time)", NULL},
    {"flushpackets", AS_CUSTOM, RP_OPT_FLUSH_PACKETS, 0, 0, 0, 0,
     "flushpackets must be on|off|auto", "flushpackets=auto", set_flushpackets},
    {"flushwait", AS_CUSTOM, RP_OPT_FLUSH_WAIT, 0, 0, 0, 0,
     "flushwait must be <= 1000, or 0 for system default of 10 milliseconds", "flushwait=10",
     set_flushwait},
    {.name = "flusher", .kind = AS_INERT},
    {.name = "secret", .kind = AS_INERT},
    {"hcmethod", AS_CHECK, RP_OPT_CHECK_METHOD, 0, 0, 0, 0, NULL, NULL, NULL},
    {"hcinterval", AS_TIME, RP_OPT_CHECK_INTERVAL, AT(check.interval), RP_CHECK_INTERVAL_MIN,
     MAX_TIME, SECOND, "Interval must be a positive value greater than 100ms",
     "hcinterval=10 (seconds) or hcinterval=500ms", NULL},
    {"hctimeout", AS_TIME, RP_OPT_CHECK_TIMEOUT, AT(check.timeout), MS, MAX_TIME, SECOND,
     "hctimeout must be at least one millisecond", "hctimeout=5 (seconds) or hctimeout=500ms", NULL},
    {"hcpasses", AS_NUMBER, RP_OPT_CHECK_PASSES, AT(check.passes), 0, APR_INT32_MAX, 0,
     "Passes must be a positive value", "hcpasses=2", NULL},
    {"hcfails", AS_NUMBER, RP_OPT_CHECK_FAILS, AT(check.fails), 0, APR_INT32_MAX, 0,
     "Fails must be a positive value", "hcfails=3", NULL},
    {"hcuri", AS_CHECK, RP_OPT_CHECK_URI, 0, 0, 0, 0, NULL, NULL, NULL},
    {"hcexpr", AS_CHECK, RP_OPT_CHECK_EXPR, 0, 0, 0, 0, NULL, NULL, NULL},
    {"hctemplate", AS_CHECK, 0, 0, 0, 0, 0, NULL, NULL, NULL},
};
/* clang-format on */

#define PARAMS (sizeof(params) / sizeof(params[0]))

static const char *const group_params[] = {"lbmethod",        "stickysession", "stickysessionsep",
                                           "scolonpathdelim", "nofailover",    "maxattempts",
                                           "failonstatus",    "failontimeout", "failoverstatus", "nonce",
                                           "growth",          "forcerecovery", "stickycookie",
                                           "stickysecret",    "hashkey",       NULL};

/* What ProxyPass takes without being a backend's parameter. */
static const char *const keywords[] = {"nocanon", "interpolate", "noquery", "mapping", NULL};

void rp_conf_init_options(rp_options_t *opt)
{
    memset(opt, 0, sizeof(*opt));
    opt->retry = 60 * SECOND;
    opt->address_ttl = -1;
    opt->reuse = true;
    opt->io_buffer = 8192;
    opt->field_size = 8192;
    opt->loadfactor = 100;
    opt->route = "";
    opt->redirect = "";
    rp_conf_init_check(&opt->check);
}

static const param_t *find_param(const char *key)
{
    size_t i;

    for (i = 0; i < PARAMS; i++) {
        if (!ap_cstr_casecmp(key, params[i].name)) {
            return &params[i];
        }
    }
    return NULL;
}

bool rp_conf_is_inert_param(const char *key)
{
    const param_t *param = find_param(key);

    return param && (param->kind == AS_INERT || param->custom == set_flushpackets ||
                     param->custom == set_flushwait);
}

static const char *refuse_key(apr_pool_t *p, const char *key, const char *value)
{
    const char *words[PARAMS + sizeof(keywords) / sizeof(keywords[0])];
    const char *nearest, *why = "";
    size_t i, k;

    for (i = 0; i < PARAMS; i++) {
        words[i] = params[i].name;
    }
    for (k = 0; keywords[k]; k++) {
        words[i + k] = keywords[k];
    }
    words[i + k] = NULL;
    nearest = rp_conf_nearest(key, words);
    for (k = 0; group_params[k]; k++) {
        if (!ap_cstr_casecmp(key, group_params[k])) {
            why = ": it is a parameter of balancers, and this target is none";
            nearest = NULL;
        }
    }
    if (nearest) {
        why = apr_pstrcat(p, ": did you mean ", nearest, "?", NULL);
    }
    return apr_psprintf(p, "unknown Worker parameter '%s=%s'%s", key, value, why);
}

static const char *set_number(const param_t *param, rp_options_t *opt, const char *value)
{
    char *member = (char *)opt + param->offset;
    apr_int64_t number;
    const char *wrong = rp_conf_parse_number(value, &number);

    if (wrong) {
        return wrong;
    }
    if (param->kind == AS_SIZE && number == 0) {
        *(apr_size_t *)member = (apr_size_t)param->unit_or_zero;
        return NULL;
    }
    if (number < param->min || number > param->max) {
        return "is out of range";
    }
    if (param->kind == AS_SIZE) {
        *(apr_size_t *)member = (apr_size_t)number;
    }
    else {
        *(int *)member = (int)number;
    }
    return NULL;
}

static const char *set_time(const param_t *param, rp_options_t *opt, const char *value)
{
    apr_interval_time_t time;
    const char *wrong = rp_conf_parse_time(value, param->unit_or_zero, &time);

    if (wrong) {
        return wrong;
    }
    if (time < param->min || time > param->max) {
        return "is out of range";
    }
    *(apr_interval_time_t *)((char *)opt + param->offset) = time;
    return NULL;
}

static const char *set_flag(const param_t *param, rp_options_t *opt, const char *value)
{
    bool flag;

    if (!rp_conf_parse_flag(value, &flag)) {
        return "is neither On nor Off";
    }
    *(bool *)((char *)opt + param->offset) = param->kind == AS_FLAG ? flag : !flag;
    return NULL;
}

static const char *set_string(const param_t *param, rp_options_t *opt, const char *value,
                              apr_pool_t *p)
{
    if (strlen(value) > (size_t)param->max) {
        return "is too long";
    }
    *(const char **)((char *)opt + param->offset) = apr_pstrdup(p, value);
    return NULL;
}

const char *rp_conf_set_param(cmd_parms *cmd, rp_options_t *opt, const char *key, const char *value)
{
    apr_pool_t *p = cmd->pool;
    const param_t *param = find_param(key);
    const char *wrong = NULL;

    if (!param) {
        return refuse_key(p, key, value);
    }
    switch (param->kind) {
    case AS_NUMBER:
    case AS_SIZE:
        wrong = set_number(param, opt, value);
        break;
    case AS_TIME:
        wrong = set_time(param, opt, value);
        break;
    case AS_FLAG:
    case AS_FLAG_NOT:
        wrong = set_flag(param, opt, value);
        break;
    case AS_STRING:
        wrong = set_string(param, opt, value, p);
        break;
    case AS_CUSTOM:
        wrong = param->custom(p, opt, value) ? NULL : "is not valid";
        break;
    case AS_CHECK:
        wrong = rp_conf_set_check_param(cmd, opt, param->bit, value);
        if (wrong) {
            return apr_psprintf(p, "%s; '%s=%s' was read", wrong, key, value);
        }
        break;
    case AS_INERT:
        break;
    }
    if (wrong) {
        return apr_psprintf(p, "%s: '%s=%s' %s; write for example %s", param->rule, key, value,
                            wrong, param->example);
    }
    opt->set |= param->bit;
    return NULL;
}

static const char *describe_time(apr_pool_t *p, apr_interval_time_t time)
{
    return (time % SECOND) ? apr_psprintf(p, "%" APR_INT64_T_FMT "ms", time / MS)
                         : apr_psprintf(p, "%" APR_INT64_T_FMT "s", time / SECOND);
}

static const char *describe_status(apr_pool_t *p, const rp_options_t *opt)
{
    static const char letters[] = "INDSEHCR";
    char set[sizeof(letters)], clear[sizeof(letters)];
    int i, ns = 0, nc = 0;

    for (i = 0; letters[i]; i++) {
        if (opt->status_set & (unsigned)status_bit(letters[i])) {
            set[ns++] = letters[i];
        }
        if (opt->status_clear & (unsigned)status_bit(letters[i])) {
            clear[nc++] = letters[i];
        }
    }
    return apr_psprintf(p, "%s%.*s%s%.*s", ns ? "+" : "", ns, set, nc ? "-" : "", nc, clear);
}

static const char *describe_custom(apr_pool_t *p, const param_t *param, const rp_options_t *opt)
{
    switch (param->bit) {
    case RP_OPT_LOADFACTOR:
        return apr_psprintf(p, "%d.%02d", opt->loadfactor / 100, opt->loadfactor % 100);
    case RP_OPT_UPGRADE:
        return opt->upgrade;
    case RP_OPT_ADDRESS_TTL:
        return opt->address_ttl < 0 ? "-1" : describe_time(p, opt->address_ttl);
    case RP_OPT_STATUS:
        return describe_status(p, opt);
    case RP_OPT_CHECK_METHOD:
        return rp_conf_get_check_name(opt->check.method);
    case RP_OPT_CHECK_URI:
        return opt->check.uri;
    case RP_OPT_CHECK_EXPR:
        return opt->check.expr;
    default:
        return "(no effect)";
    }
}

static const char *describe_value(apr_pool_t *p, const param_t *param, const rp_options_t *opt)
{
    const char *member = (const char *)opt + param->offset;

    switch (param->kind) {
    case AS_NUMBER:
        return apr_itoa(p, *(const int *)member);
    case AS_SIZE:
        return apr_psprintf(p, "%" APR_SIZE_T_FMT, *(const apr_size_t *)member);
    case AS_TIME:
        return describe_time(p, *(const apr_interval_time_t *)member);
    case AS_FLAG:
        return *(const bool *)member ? "On" : "Off";
    case AS_STRING:
        return *(const char *const *)member;
    default:
        return describe_custom(p, param, opt);
    }
}

const char *rp_conf_describe_options(apr_pool_t *p, const rp_options_t *opt)
{
    const char *text = "";
    size_t i;

    for (i = 0; i < PARAMS; i++) {
        /* Of the two names of one flag, the one that says what is. */
        if ((opt->set & params[i].bit) && params[i].kind != AS_FLAG_NOT) {
            text = apr_pstrcat(p, text, *text ? " " : "", params[i].name, "=",
                               describe_value(p, &params[i], opt), NULL);
        }
    }
    return text;
}
