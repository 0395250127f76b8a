#include "rp_lint_int.h"

static const rp_backend_t *get_member(const rp_group_t *group, int i)
{
    return APR_ARRAY_IDX(group->members, i, const rp_backend_t *);
}

/* A virtual host's group of a name may have the main server's members: those are looked at there. */
static int count_own_members(const rp_lint_t *lint)
{
    const rp_group_t *group = lint->group;

    return group->members->nelts > 0 && get_member(group, 0)->server == lint->s ? group->members->nelts : 0;
}

/* Members do not matter where the manager may add some. */
static void check_empty(rp_lint_t *lint)
{
    const rp_group_t *group = lint->group;

    if (group->members->nelts == 0 && group->opt.growth == 0) {
        rp_lint_say(lint, group->file, group->line,
                    "%s has no members, so every request for it gets 503: add BalancerMember lines; names are compared "
                    "letter by letter",
                    group->name);
    }
}

static void check_unused(rp_lint_t *lint)
{
    const rp_group_t *group = lint->group;

    if (group->members->nelts > 0 && !apr_hash_get(lint->balancers, group->name, APR_HASH_KEY_STRING) &&
        !apr_hash_get(lint->balancers, "*", APR_HASH_KEY_STRING)) {
        rp_lint_say(lint, group->file, group->line, "%s is never used: write ProxyPass / %s/, or remove it", group->name,
                    group->name);
    }
}

static void check_hidden(rp_lint_t *lint)
{
    const rp_group_t *group = lint->group, *other = group->hidden_by;

    if (other) {
        rp_lint_say(lint, group->file, group->line,
                    "%s has the members that the main server gives it (%s:%d), the ones given here have no effect: "
                    "choose another name, or write ProxyPassInherit Off and BalancerInherit Off",
                    group->name, other->file, other->line);
    }
}

static void check_double(rp_lint_t *lint)
{
    int i;

    for (i = 0; i < lint->group->doubles->nelts; i++) {
        const rp_backend_t *b = APR_ARRAY_IDX(lint->group->doubles, i, const rp_backend_t *);

        rp_lint_say(lint, b->file, b->line,
                    "%s is a member of %s already: this line has no effect; for a larger share write loadfactor=2", b->name,
                    lint->group->name);
    }
}

static void check_member_slash(rp_lint_t *lint)
{
    int i;

    for (i = 0; i < count_own_members(lint); i++) {
        const rp_backend_t *b = get_member(lint->group, i);

        if (rp_lint_ends_in(b->path, '/')) {
            rp_lint_say(lint, b->file, b->line,
                        "member %s ends in /, and paths are appended to it, so /x becomes //x there: write it without",
                        b->name);
        }
    }
}

static void check_member_unused(rp_lint_t *lint)
{
    int i;

    for (i = 0; i < count_own_members(lint); i++) {
        const rp_backend_t *b = get_member(lint->group, i);
        unsigned off = b->opt.status_set & (RP_STATUS_DISABLED | RP_STATUS_STOPPED);

        if (off) {
            rp_lint_say(lint, b->file, b->line, "member %s gets no requests, since status= says that it is %s: remove the "
                                                "letter when it shall",
                        b->name, off & RP_STATUS_DISABLED ? "disabled" : "stopped");
        }
    }
}

/* ---- sessions ---- */

/* Members that have a route=, or stand in for others and need none. */
static int count_routes(const rp_lint_t *lint)
{
    int i, n = 0;

    for (i = 0; i < count_own_members(lint); i++) {
        const rp_options_t *opt = &get_member(lint->group, i)->opt;

        n += *opt->route || opt->status_set & (RP_STATUS_STANDBY | RP_STATUS_SPARE);
    }
    return n;
}

static void check_sticky(rp_lint_t *lint)
{
    const rp_group_t *group = lint->group;
    int members = count_own_members(lint), routes = count_routes(lint);

    if (!group->opt.sticky || routes == members) {
        return;
    }
    rp_lint_say(lint, group->file, group->line,
                "%s has stickysession=%s, but %s, so %s: give each member one, or write stickycookie=NAME", group->name,
                group->opt.sticky, routes ? "not every member has a route=" : "no member has a route=",
                routes ? "the sessions of some do not stick" : "no session sticks");
}

/* The member before number i with this route, or NULL. */
static const rp_backend_t *find_route(const rp_group_t *group, int i, const char *route)
{
    while (i-- > 0) {
        if (*route && !strcmp(get_member(group, i)->opt.route, route)) {
            return get_member(group, i);
        }
    }
    return NULL;
}

static void check_member_route(rp_lint_t *lint)
{
    int i;

    for (i = 0; i < count_own_members(lint); i++) {
        const rp_backend_t *b = get_member(lint->group, i), *other = find_route(lint->group, i, b->opt.route);

        if (other) {
            rp_lint_say(lint, b->file, b->line,
                        "member %s has route=%s as %s (%s:%d) has, so the sessions of one go to the other: give it a name "
                        "of its own",
                        b->name, b->opt.route, other->name, other->file, other->line);
        }
    }
}

static void check_redirect(rp_lint_t *lint)
{
    int i, n = count_own_members(lint);

    for (i = 0; i < n; i++) {
        const rp_backend_t *b = get_member(lint->group, i);

        if (*b->opt.redirect && !find_route(lint->group, n, b->opt.redirect)) {
            rp_lint_say(lint, b->file, b->line,
                        "member %s has redirect=%s, and no member has this route=, so its sessions go anywhere: write the "
                        "route= of another member",
                        b->name, b->opt.redirect);
        }
    }
}

/* ---- times ---- */

static void check_group_timeout(rp_lint_t *lint)
{
    const rp_group_t *group = lint->group;

    if (group->opt.set & RP_GROUP_TIMEOUT && group->opt.timeout >= 30 * APR_USEC_PER_SEC) {
        rp_lint_say(lint, group->file, group->line,
                    "timeout=%d of %s is how long requests wait when no member is usable; for how long a member may take "
                    "to answer write timeout= behind BalancerMember, or ProxyTimeout",
                    (int)apr_time_sec(group->opt.timeout), group->name);
    }
}

const rp_lint_check_t rp_lint_group_checks[] = {
    {"group-empty", APLOG_WARNING, RP_LINT_GROUP, check_empty},
    {"group-unused", APLOG_WARNING, RP_LINT_GROUP, check_unused},
    {"group-hidden", APLOG_WARNING, RP_LINT_GROUP, check_hidden},
    {"member-double", APLOG_WARNING, RP_LINT_GROUP, check_double},
    {"member-slash", APLOG_WARNING, RP_LINT_GROUP, check_member_slash},
    {"member-unused", APLOG_NOTICE, RP_LINT_GROUP, check_member_unused},
    {"member-route", APLOG_WARNING, RP_LINT_GROUP, check_member_route},
    {"sticky-route", APLOG_WARNING, RP_LINT_GROUP, check_sticky},
    {"redirect", APLOG_WARNING, RP_LINT_GROUP, check_redirect},
    {"group-timeout", APLOG_NOTICE, RP_LINT_GROUP, check_group_timeout},
    {.name = NULL},
};
