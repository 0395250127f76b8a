#include "rp_conf_int.h"
#include "rp_conf_member.h"

#include "ap_provider.h"
#include "ap_slotmem.h"

#define PREFIX "balancer://"
#define PREFIX_LEN (sizeof(PREFIX) - 1)
#define NAME_MAX_LEN 95 /* mod_proxy's */

/* "balancer://name" in lower case, without a path. */
static const char *name_group(cmd_parms *cmd, const char *url, const char **err)
{
    size_t n = strlen(url) > PREFIX_LEN ? strcspn(url + PREFIX_LEN, "/?#") : 0;
    char *name;

    if (ap_cstr_casecmpn(url, PREFIX, PREFIX_LEN) || n == 0) {
        *err = apr_psprintf(cmd->pool, "'%s' names no balancer: write balancer://name", url);
        return NULL;
    }
    if (PREFIX_LEN + n > NAME_MAX_LEN) {
        *err = apr_psprintf(cmd->pool, "balancer name (%s) too long: at most %d characters", url,
                            NAME_MAX_LEN);
        return NULL;
    }
    name = apr_pstrmemdup(cmd->pool, url, PREFIX_LEN + n);
    ap_str_tolower(name);
    return name;
}

static const char *check_memory(cmd_parms *cmd, const char *name)
{
    if (ap_lookup_provider(AP_SLOTMEM_PROVIDER_GROUP, "shm", AP_SLOTMEM_PROVIDER_VERSION)) {
        return NULL;
    }
    return apr_psprintf(cmd->pool,
                        "%s needs memory that all children share; add the line: "
                        "LoadModule slotmem_shm_module modules/mod_slotmem_shm.so "
                        "(on Debian: a2enmod slotmem_shm)",
                        name);
}

static rp_group_t *find_by_name(const apr_array_header_t *groups, const char *name)
{
    int i;

    for (i = 0; i < groups->nelts; i++) {
        rp_group_t *group = APR_ARRAY_IDX(groups, i, rp_group_t *);

        if (!strcmp(group->name, name)) {
            return group;
        }
    }
    return NULL;
}

const char *rp_conf_need_group(cmd_parms *cmd, const char *url, rp_group_t **found)
{
    apr_array_header_t *groups = rp_conf_of(cmd)->groups;
    const char *err = NULL;
    const char *name = name_group(cmd, url, &err);
    rp_group_t *group;

    if (!err) {
        err = check_memory(cmd, name);
    }
    if (err) {
        return err;
    }
    *found = find_by_name(groups, name);
    if (*found) {
        return NULL;
    }
    group = apr_pcalloc(cmd->pool, sizeof(*group));
    group->name = name;
    group->members = apr_array_make(cmd->pool, 4, sizeof(rp_backend_t *));
    group->doubles = apr_array_make(cmd->pool, 1, sizeof(rp_backend_t *));
    rp_conf_init_group_options(&group->opt);
    group->server = cmd->server;
    group->file = cmd->directive->filename;
    group->line = cmd->directive->line_num;
    group->id = -1;
    APR_ARRAY_PUSH(groups, rp_group_t *) = group;
    *found = group;
    return NULL;
}

const char *rp_conf_set_group(cmd_parms *cmd, const char *url, const char *args, bool is_new_ok)
{
    rp_group_t *group;
    const char *err = NULL, *name = name_group(cmd, url, &err);
    char *word, *value;

    if (!err && !is_new_ok && !find_by_name(rp_conf_of(cmd)->groups, name)) {
        err = apr_psprintf(cmd->pool,
                           "can not find '%s' Balancer: define it first, by <Proxy \"%s\"> ... "
                           "</Proxy> or a ProxyPass to it",
                           url, name);
    }
    if (!err) {
        err = rp_conf_need_group(cmd, url, &group);
    }
    while (!err && *args) {
        word = ap_getword_conf(cmd->pool, &args);
        value = strchr(word, '=');
        if (!value) {
            return apr_psprintf(cmd->pool,
                                "Invalid parameter '%s'. Parameter must be in the form 'key=value'",
                                word);
        }
        *value++ = '\0';
        err = rp_conf_set_group_param(cmd, &group->opt, word, value);
        if (err) {
            err = apr_psprintf(cmd->pool, "%s; %s", err, url);
        }
    }
    return err;
}

/* ---- members ---- */

/* A BalancerMember line, taken apart. */
typedef struct member_line_t {
    const char *group, *url;
    apr_table_t *params; /* the last value of a key counts */
} member_line_t;

static const char *read_member(cmd_parms *cmd, member_line_t *line, const char *args)
{
    while (*args) {
        char *word = ap_getword_conf(cmd->pool, &args);
        char *value = strchr(word, '=');

        if (!line->group) {
            line->group = word;
        }
        else if (!line->url) {
            line->url = word;
        }
        else if (value) {
            *value++ = '\0';
            apr_table_setn(line->params, word, value);
        }
        else {
            return apr_psprintf(cmd->pool,
                                "Invalid BalancerMember parameter. Parameter must be in the form "
                                "'key=value': '%s' was read",
                                word);
        }
    }
    if (!line->group || !rp_conf_is_group_url(line->group)) {
        return "BalancerMember must define balancer name when outside <Proxy > section: write "
               "balancer://name before the member's URL";
    }
    return line->url ? NULL : "BalancerMember must define remote proxy server: write its URL";
}

static bool is_member(const rp_group_t *group, const rp_backend_t *b)
{
    int i;

    for (i = 0; i < group->members->nelts; i++) {
        if (rp_conf_is_same_backend(APR_ARRAY_IDX(group->members, i, rp_backend_t *), b)) {
            return true;
        }
    }
    return false;
}

static const char *set_params(cmd_parms *cmd, rp_backend_t *b, const apr_table_t *params)
{
    const apr_array_header_t *list = apr_table_elts(params);
    const char *err = NULL;
    int i;

    for (i = 0; !err && i < list->nelts; i++) {
        const apr_table_entry_t *e = &APR_ARRAY_IDX(list, i, apr_table_entry_t);

        err = rp_conf_set_param(cmd, &b->opt, e->key, e->val);
    }
    return err;
}

static const char *add_member(cmd_parms *cmd, const member_line_t *line)
{
    rp_group_t *group;
    rp_backend_t *b;
    const char *err = rp_conf_need_group(cmd, line->group, &group);

    if (!err && rp_conf_is_group_url(line->url)) {
        err = apr_psprintf(cmd->pool, "a balancer can not be a member: '%s'", line->url);
    }
    if (!err) {
        err = rp_conf_make_backend(cmd, line->url, 0, &b);
    }
    if (!err) {
        err = set_params(cmd, b, line->params);
    }
    if (err) {
        return err;
    }
    if (is_member(group, b)) {
        APR_ARRAY_PUSH(group->doubles, rp_backend_t *) = b;
        return NULL;
    }
    b->group = group;
    APR_ARRAY_PUSH(group->members, rp_backend_t *) = b;
    return NULL;
}

const char *rp_conf_cmd_member(cmd_parms *cmd, void *dir, const char *args)
{
    bool is_inside = rp_conf_find_proxy_section(cmd) != NULL;
    const char *err = rp_conf_enter(cmd, is_inside ? RP_PLACE_ANY : RP_PLACE_SERVER);
    member_line_t line = {.group = is_inside ? cmd->path : NULL};

    (void)dir;
    if (err) {
        return err;
    }
    line.params = apr_table_make(cmd->pool, 5);
    err = read_member(cmd, &line, args);
    if (err) {
        return err;
    }
    err = add_member(cmd, &line);
    return err ? apr_pstrcat(cmd->pool, cmd->cmd->name, " ", err, NULL) : NULL;
}

/* ---- at run time ---- */

static rp_backend_t *make_place(apr_pool_t *p, rp_group_t *group)
{
    rp_backend_t *b = apr_pcalloc(p, sizeof(*b));

    b->server = group->server;
    b->file = group->file;
    b->line = group->line;
    b->id = b->slot = -1;
    return b;
}

void rp_conf_make_roster(apr_pool_t *p, rp_group_t *group, const apr_array_header_t *groups)
{
    rp_roster_t *roster;
    int i;

    for (i = 0; i < groups->nelts; i++) {
        const rp_group_t *other = APR_ARRAY_IDX(groups, i, const rp_group_t *);

        if (other->members == group->members) {
            group->roster = other->roster;
            return;
        }
    }
    group->roster = roster = apr_pcalloc(p, sizeof(*roster));
    roster->owner = group;
    roster->configured = roster->count = group->members->nelts;
    roster->size = roster->configured + group->opt.growth;
    roster->members = apr_palloc(p, (apr_size_t)(roster->size + 1) * sizeof(*roster->members));
    for (i = 0; i < roster->size; i++) {
        roster->members[i] = i < roster->configured ? APR_ARRAY_IDX(group->members, i, rp_backend_t *)
                                                    : make_place(p, group);
        roster->members[i]->group = group;
    }
}

/* By its URL, and one with a socket also by what is behind the socket. */
static rp_backend_t *find_same(const rp_group_t *group, const rp_backend_t *named, bool is_exact)
{
    int i;

    for (i = 0; i < rp_conf_count_members(group); i++) {
        rp_backend_t *b = rp_conf_get_member(group, i);

        if (is_exact ? rp_conf_is_same_backend(b, named)
                     : !named->uds_path && rp_conf_is_same_name(b->name, named->name)) {
            return b;
        }
    }
    return NULL;
}

rp_backend_t *rp_conf_find_member(apr_pool_t *p, const rp_group_t *group, const char *url)
{
    rp_backend_t *named, *found;

    if (rp_conf_is_group_url(url) || rp_conf_read_backend(p, url, 0, &named)) {
        return NULL;
    }
    found = find_same(group, named, true);
    return found ? found : find_same(group, named, false);
}

const char *rp_conf_get_url(apr_pool_t *p, const rp_backend_t *b)
{
    return b->uds_path ? apr_pstrcat(p, "unix:", b->uds_path, "|", b->name, NULL) : b->name;
}

const char *rp_conf_read_member(apr_pool_t *p, const rp_group_t *group, const char *url,
                                rp_backend_t **member)
{
    const char *err = rp_conf_is_group_url(url)
                          ? apr_psprintf(p, "a balancer can not be a member: '%s'", url)
                          : rp_conf_read_backend(p, url, 0, member);

    if (!err && find_same(group, *member, true)) {
        err = apr_psprintf(p, "%s is a member of %s already", (*member)->name, group->name);
    }
    return err;
}

void rp_conf_enlist(rp_roster_t *roster, const rp_backend_t *member)
{
    rp_backend_t *place = roster->members[roster->count], was = *place;

    *place = *member;
    place->group = was.group;
    place->server = was.server;
    place->section = was.section;
    place->file = was.file;
    place->line = was.line;
    place->id = was.id;
    place->slot = was.slot;
    __atomic_store_n(&roster->count, roster->count + 1, __ATOMIC_RELEASE);
}

/* ---- per server ---- */

const char *rp_conf_cmd_growth(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = rp_conf_enter(cmd, RP_PLACE_SERVER);
    rp_server_conf_t *conf = rp_conf_of(cmd);
    apr_int64_t number;

    (void)dir;
    if (err) {
        return err;
    }
    if (rp_conf_parse_number(arg, &number) || number < 0 || number > 1000) {
        return apr_psprintf(cmd->pool,
                            "BalancerGrowth must be between 0 and 1000; '%s' was read", arg);
    }
    conf->balancer_growth = (int)number;
    conf->balancer_growth_set = true;
    return NULL;
}

const char *rp_conf_cmd_heartbeats(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = rp_conf_enter(cmd, RP_PLACE_SERVER);
    rp_server_conf_t *conf = rp_conf_of(cmd);

    (void)dir;
    if (!err) {
        err = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    }
    if (!err) {
        conf->heartbeat_file = arg;
        conf->heartbeat_file_set = true;
    }
    return err;
}

const char *rp_conf_cmd_persist(cmd_parms *cmd, void *dir, int flag)
{
    const char *err = rp_conf_enter(cmd, RP_PLACE_SERVER);

    (void)dir;
    if (!err) {
        rp_conf_of(cmd)->balancer_persist = flag != 0;
    }
    return err;
}

const char *rp_conf_cmd_balancer_inherit(cmd_parms *cmd, void *dir, int flag)
{
    const char *err = rp_conf_enter(cmd, RP_PLACE_SERVER);

    (void)dir;
    if (!err) {
        rp_conf_of(cmd)->balancer_inherit = flag ? RP_ON : RP_OFF;
    }
    return err;
}

/* ---- merge ---- */

apr_array_header_t *rp_conf_merge_groups(apr_pool_t *p, const apr_array_header_t *base,
                                         const apr_array_header_t *add)
{
    apr_array_header_t *all = apr_array_make(p, base->nelts + add->nelts, sizeof(rp_group_t *));
    int i;

    for (i = 0; i < add->nelts; i++) {
        rp_group_t *own = APR_ARRAY_IDX(add, i, rp_group_t *);
        const rp_group_t *other = find_by_name(base, own->name);

        if (other) {
            /* Parameters of both, members of the main server's: so mod_proxy merges them. */
            own = apr_pmemdup(p, own, sizeof(*own));
            rp_conf_merge_group_options(p, &own->opt, &other->opt);
            if (own->members->nelts > 0 && other->members->nelts > 0) {
                own->hidden_by = other;
            }
            own->members = other->members->nelts > 0 ? other->members : own->members;
        }
        APR_ARRAY_PUSH(all, rp_group_t *) = own;
    }
    for (i = 0; i < base->nelts; i++) {
        rp_group_t *group = APR_ARRAY_IDX(base, i, rp_group_t *);

        if (!find_by_name(add, group->name)) {
            APR_ARRAY_PUSH(all, rp_group_t *) = group;
        }
    }
    return all;
}
