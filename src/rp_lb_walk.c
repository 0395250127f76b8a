#include "rp_lb_int.h"

extern module AP_MODULE_DECLARE_DATA revproxy_module;
APLOG_USE_MODULE(revproxy);

/* Members by index. */
typedef struct list_t {
    int *index;
    int count;
} list_t;

/* One walk over the members, lbset by lbset. Each request does it, so each member is looked at once. */
typedef struct walk_t {
    rp_lb_t *lb;
    apr_pool_t *pool;            /* until its end: a request that waits walks often */
    const rp_shm_glance_t *seen; /* of each member */
    bool takes_all;              /* the method looks at every usable member */
    list_t chosen;               /* the candidates */
    list_t spares, standbys;
    int unusable; /* normal members that spares may stand in for */
} walk_t;

/* ---- what methods see ---- */

static apr_int64_t get_figure(const revproxy_candidate_t *c, revproxy_figure_t which)
{
    static const rp_shm_number_t numbers[] = {
        [REVPROXY_FIGURE_STATE] = RP_SHM_STATE,
        [REVPROXY_FIGURE_ELECTED] = RP_SHM_ELECTED,
        [REVPROXY_FIGURE_SENT] = RP_SHM_SENT,
        [REVPROXY_FIGURE_RECEIVED] = RP_SHM_RECEIVED,
    };

    switch (which) {
    case REVPROXY_FIGURE_BUSY:
        return rp_shm_count_busy(c->member);
    case REVPROXY_FIGURE_LATENCY:
        return rp_lb_get_latency(c->member);
    default:
        return which < sizeof(numbers) / sizeof(*numbers) ? rp_shm_get(c->member, numbers[which]) : 0;
    }
}

static apr_int64_t add_state(const revproxy_candidate_t *c, apr_int64_t delta)
{
    return rp_shm_add(c->member, RP_SHM_STATE, delta);
}

static const char *get_key(const rp_lb_t *lb)
{
    const char *err = NULL, *key = NULL;

    if (lb->group->opt.hash_key) {
        key = ap_expr_str_exec(lb->r, lb->group->opt.hash_key, &err);
        if (err) {
            ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, lb->r, "%s: hashkey= failed: %s", lb->group->name, err);
        }
    }
    return key ? key : lb->r->uri;
}

/* The requests in flight of each member; NULL: the method does not ask for them. */
static const unsigned *count_busy(const walk_t *w)
{
    const rp_lb_t *lb = w->lb;
    unsigned *busy;

    if (!(lb->set->method->flags & REVPROXY_LB_BUSY)) {
        return NULL;
    }
    busy = apr_palloc(w->pool, (apr_size_t)lb->count * sizeof(*busy));
    rp_shm_count_all_busy(lb->group, lb->count, busy);
    return busy;
}

static const revproxy_candidate_t *describe(const walk_t *w)
{
    rp_backend_t *const *members = rp_conf_get_members(w->lb->group);
    const int *index = w->chosen.index;
    const unsigned *busy = count_busy(w);
    int i, n = w->chosen.count;
    revproxy_candidate_t *candidates = apr_palloc(w->pool, (apr_size_t)n * sizeof(*candidates));

    for (i = 0; i < n; i++) {
        const rp_shm_glance_t *seen = &w->seen[index[i]];
        const rp_backend_t *member = members[index[i]];

        candidates[i] = (revproxy_candidate_t){
            .name = member->name,
            .id = seen->id,
            .weight = seen->weight,
            .busy = busy ? busy[index[i]] : 0,
            .member = member,
        };
    }
    return candidates;
}

/* Index of the member that the method chooses among the candidates, -1: none. */
static int choose(const walk_t *w)
{
    static const revproxy_lb_calls_t calls = {get_figure, add_state};
    rp_lb_t *lb = w->lb;
    revproxy_choice_t choice = {lb->r, lb->group->name, get_key(lb), describe(w), w->chosen.count, &calls};
    int i = lb->set->method->choose(&choice);

    return i >= 0 && i < w->chosen.count ? w->chosen.index[i] : -1;
}

/* ---- the walk ---- */

static void init_list(const walk_t *w, list_t *list)
{
    list->index = apr_palloc(w->pool, (apr_size_t)w->lb->count * sizeof(int));
    list->count = 0;
}

static void add(list_t *list, int index)
{
    list->index[list->count++] = index;
}

static void add_first(list_t *to, const list_t *from, int n)
{
    int i;

    for (i = 0; i < n && i < from->count; i++) {
        add(to, from->index[i]);
    }
}

static bool may_use(const walk_t *w, int i, unsigned status)
{
    if (w->lb->tried[i]) {
        return false;
    }
    return status & RP_STATUS_ERROR ? rp_lb_get_use(w->lb, rp_lb_member(w->lb, i)) != RP_LB_NO
                                    : !(status & RP_LB_OFF);
}

/* The list that a member of the lbset belongs in; NULL: none. */
static list_t *find_list(walk_t *w, int i, unsigned status)
{
    bool is_normal = !(status & (RP_STATUS_SPARE | RP_STATUS_STANDBY));
    bool is_draining = (status & RP_STATUS_DRAIN) && !w->takes_all;

    /* Most members at most times. */
    if (status == 0 && !w->lb->tried[i]) {
        return &w->chosen;
    }
    if (is_draining || !may_use(w, i, status)) {
        w->unusable += is_normal;
        return NULL;
    }
    if (is_normal || w->takes_all) {
        return &w->chosen;
    }
    return status & RP_STATUS_SPARE ? &w->spares : &w->standbys;
}

/* Sort in the members of one lbset. Returns the highest lbset there is. */
static int sort(walk_t *w, int lbset)
{
    const rp_shm_glance_t *seen = w->seen;
    int i, n = w->lb->count, highest = 0;

    for (i = 0; i < n; i++, seen++) {
        list_t *list = seen->lbset == lbset || w->takes_all ? find_list(w, i, seen->status) : NULL;

        if (list) {
            add(list, i);
        }
        highest = seen->lbset > highest ? seen->lbset : highest;
    }
    return highest;
}

/* Candidates of one lbset: its normal members and as many spares as members are missing, which
 * then compete with them; else its standbys. Returns the highest lbset there is. */
static int collect(walk_t *w, int lbset)
{
    int highest;

    w->chosen.count = w->spares.count = w->standbys.count = w->unusable = 0;
    highest = sort(w, lbset);
    add_first(&w->chosen, &w->spares, w->unusable);
    if (w->chosen.count == 0) {
        add_first(&w->chosen, &w->standbys, w->standbys.count);
    }
    return highest;
}

static void begin(walk_t *w)
{
    rp_lb_t *lb = w->lb;
    rp_shm_glance_t *seen;

    apr_pool_create(&w->pool, lb->r->pool);
    apr_pool_tag(w->pool, "rp_lb_walk");
    seen = apr_palloc(w->pool, (apr_size_t)lb->count * sizeof(*seen));
    rp_shm_glance(lb->group, lb->count, seen);
    w->seen = seen;
    w->takes_all = lb->set->method->flags & REVPROXY_LB_ALL_MEMBERS;
    init_list(w, &w->chosen);
    init_list(w, &w->spares);
    init_list(w, &w->standbys);
}

/* Index of the member that the method chooses; where it is not to choose, of any that it could. -1: none. */
static int walk_sets(rp_lb_t *lb, bool chooses)
{
    walk_t w = {.lb = lb};
    int lbset, highest = 0, found = -1;

    begin(&w);
    for (lbset = 0; found < 0 && lbset <= highest; lbset++) {
        highest = collect(&w, lbset);
        if (w.chosen.count > 0) {
            found = chooses ? choose(&w) : w.chosen.index[0];
        }
    }
    apr_pool_destroy(w.pool);
    return found;
}

/* Members that cannot have processed the request may get it again, when nobody else is left. */
static bool give_second_chance(rp_lb_t *lb)
{
    bool any = false;
    int i;

    for (i = 0; i < lb->count; i++) {
        any = any || lb->tried[i] == RP_LB_TRIED;
        lb->tried[i] &= (unsigned char)~RP_LB_TRIED;
    }
    return any;
}

int rp_lb_walk(rp_lb_t *lb)
{
    int found;

    do {
        found = walk_sets(lb, true);
        if (found < 0 && give_second_chance(lb)) {
            found = walk_sets(lb, true);
        }
    } while (found >= 0 && !rp_lb_take_up(lb, found));
    return found;
}

bool rp_lb_may_walk(rp_lb_t *lb, bool again)
{
    return walk_sets(lb, false) >= 0 || (again && give_second_chance(lb) && walk_sets(lb, false) >= 0);
}
