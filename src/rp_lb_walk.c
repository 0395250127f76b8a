#include "rp_lb_int.h"

extern module AP_MODULE_DECLARE_DATA revproxy_module;
APLOG_USE_MODULE(revproxy);

/* Members by index. */
typedef struct list_t {
    int *index;
    int count;
} list_t;

/* One walk over the members of one lbset. Each request does it, so each member is looked at once. */
typedef struct walk_t {
    rp_lb_t *lb;
    bool takes_all; /* the method looks at every usable member */
    revproxy_candidate_t *candidates;
    list_t chosen;  /* the candidates' indexes */
    list_t spares, standbys;
    int unusable;   /* normal members that spares may stand in for */
    int highest;
} walk_t;

/* ---- what methods see ---- */

static apr_int64_t get_figure(const revproxy_candidate_t *c, revproxy_figure_t which)
{
    switch (which) {
    case REVPROXY_FIGURE_STATE:
        return rp_shm_get(c->member, RP_SHM_STATE);
    case REVPROXY_FIGURE_BUSY:
        return rp_shm_count_busy(c->member);
    case REVPROXY_FIGURE_ELECTED:
        return rp_shm_get(c->member, RP_SHM_ELECTED);
    case REVPROXY_FIGURE_SENT:
        return rp_shm_get(c->member, RP_SHM_SENT);
    case REVPROXY_FIGURE_RECEIVED:
        return rp_shm_get(c->member, RP_SHM_RECEIVED);
    case REVPROXY_FIGURE_LATENCY:
        return rp_lb_get_latency(c->member);
    }
    return 0;
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

/* Index of the member that the method chooses among the candidates, -1: none. */
static int choose(const walk_t *w)
{
    static const revproxy_lb_calls_t calls = {get_figure, add_state};
    rp_lb_t *lb = w->lb;
    revproxy_choice_t choice = {lb->r, lb->group->name, get_key(lb), w->candidates, w->chosen.count, &calls};
    int i = lb->set->method->choose(&choice);

    return i >= 0 && i < w->chosen.count ? w->chosen.index[i] : -1;
}

/* ---- the walk ---- */

static void add(list_t *list, int index)
{
    list->index[list->count++] = index;
}

static void init_list(rp_lb_t *lb, list_t *list)
{
    list->index = apr_palloc(lb->r->pool, (apr_size_t)lb->count * sizeof(int));
    list->count = 0;
}

static void add_candidate(walk_t *w, int i, const rp_backend_t *member, const rp_shm_glance_t *seen)
{
    w->candidates[w->chosen.count] = (revproxy_candidate_t){member->name, seen->id, seen->weight, member};
    add(&w->chosen, i);
}

static void add_from(walk_t *w, const list_t *list, int n)
{
    int i;

    for (i = 0; i < n; i++) {
        const rp_backend_t *member = rp_lb_member(w->lb, list->index[i]);
        rp_shm_glance_t seen = rp_shm_glance(member);

        add_candidate(w, list->index[i], member, &seen);
    }
}

static bool may_use(const walk_t *w, int i, const rp_backend_t *member, unsigned status)
{
    if (w->lb->tried[i]) {
        return false;
    }
    return status & RP_STATUS_ERROR ? rp_lb_get_use(w->lb, member) != RP_LB_NO : !(status & RP_LB_OFF);
}

static void sort_in(walk_t *w, int i, const rp_backend_t *member, const rp_shm_glance_t *seen)
{
    bool is_normal = !(seen->status & (RP_STATUS_SPARE | RP_STATUS_STANDBY));
    bool is_draining = (seen->status & RP_STATUS_DRAIN) && !w->takes_all;

    if (is_draining || !may_use(w, i, member, seen->status)) {
        w->unusable += is_normal;
    }
    else if (is_normal || w->takes_all) {
        add_candidate(w, i, member, seen);
    }
    else {
        add(seen->status & RP_STATUS_SPARE ? &w->spares : &w->standbys, i);
    }
}

/* Candidates of one lbset: its normal members and as many spares as members are missing, which
 * then compete with them; else its standbys. */
static void collect(walk_t *w, int lbset)
{
    int i;

    w->chosen.count = w->spares.count = w->standbys.count = w->unusable = 0;
    for (i = 0; i < w->lb->count; i++) {
        const rp_backend_t *member = rp_lb_member(w->lb, i);
        rp_shm_glance_t seen = rp_shm_glance(member);

        w->highest = seen.lbset > w->highest ? seen.lbset : w->highest;
        if (seen.lbset == lbset || w->takes_all) {
            sort_in(w, i, member, &seen);
        }
    }
    add_from(w, &w->spares, w->spares.count < w->unusable ? w->spares.count : w->unusable);
    if (w->chosen.count == 0) {
        add_from(w, &w->standbys, w->standbys.count);
    }
}

/* Index of the member that the method chooses; where it is not to choose, of any that it could. -1: none. */
static int walk_sets(rp_lb_t *lb, bool chooses)
{
    walk_t w = {.lb = lb, .takes_all = lb->set->method->flags & REVPROXY_LB_ALL_MEMBERS};
    int lbset, found = -1;

    w.candidates = apr_palloc(lb->r->pool, (apr_size_t)lb->count * sizeof(*w.candidates));
    init_list(lb, &w.chosen);
    init_list(lb, &w.spares);
    init_list(lb, &w.standbys);
    for (lbset = 0; found < 0 && lbset <= w.highest; lbset++) {
        collect(&w, lbset);
        if (w.chosen.count > 0) {
            found = chooses ? choose(&w) : w.chosen.index[0];
        }
    }
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
