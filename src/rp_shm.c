#include "rp_shm_int.h"
#include "rp_conf_member.h"

#include <string.h>

#include "ap_provider.h"
#include "ap_slotmem.h"
#include "apr_hash.h"
#include "apr_siphash.h"
#include "apr_strings.h"
#include "http_core.h"
#include "http_log.h"
#include "http_main.h"

extern module AP_MODULE_DECLARE_DATA revproxy_module;
APLOG_USE_MODULE(revproxy);

/* With BalancerPersist the number of slots is rounded up to this, because the provider finds a
 * file of another size useless. */
#define PERSIST_STEP 32

/* All set by the parent before there are children. */
static rp_shm_slot_t **slots;
static apr_uint32_t **busy; /* busy[slot][row] */
static unsigned slot_count;

/* Those of the other members follow: number_slots. */
static int find_first_slot(const rp_group_t *group)
{
    return rp_conf_get_member(group, 0)->slot;
}

/* ---- numbers ---- */

static apr_int64_t *find(const rp_backend_t *member, rp_shm_number_t which)
{
    AP_DEBUG_ASSERT(member->slot >= 0 && (unsigned)member->slot < slot_count);
    return &slots[member->slot]->number[which];
}

apr_int64_t rp_shm_get(const rp_backend_t *member, rp_shm_number_t which)
{
    return __atomic_load_n(find(member, which), __ATOMIC_RELAXED);
}

void rp_shm_set(const rp_backend_t *member, rp_shm_number_t which, apr_int64_t value)
{
    __atomic_store_n(find(member, which), value, __ATOMIC_RELAXED);
}

apr_int64_t rp_shm_add(const rp_backend_t *member, rp_shm_number_t which, apr_int64_t delta)
{
    return __atomic_add_fetch(find(member, which), delta, __ATOMIC_RELAXED);
}

bool rp_shm_swap(const rp_backend_t *member, rp_shm_number_t which, apr_int64_t expected, apr_int64_t value)
{
    return __atomic_compare_exchange_n(find(member, which), &expected, value, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}

unsigned rp_shm_change_status(const rp_backend_t *member, unsigned set, unsigned clear)
{
    apr_int64_t *status = find(member, RP_SHM_STATUS);
    apr_int64_t was = __atomic_fetch_or(status, (apr_int64_t)set, __ATOMIC_ACQ_REL);

    if (clear) {
        was = __atomic_fetch_and(status, ~(apr_int64_t)clear, __ATOMIC_ACQ_REL);
    }
    return (unsigned)was;
}

/* ---- texts ---- */

void rp_shm_get_text(const rp_backend_t *member, rp_shm_text_t which, char text[RP_SHM_TEXT])
{
    rp_shm_read_words(&slots[member->slot]->text[which], text);
}

void rp_shm_set_text(const rp_backend_t *member, rp_shm_text_t which, const char *text)
{
    rp_shm_write_words(&slots[member->slot]->text[which], text);
}

/* ---- requests in flight ---- */

static apr_uint32_t *find_busy(const rp_backend_t *member)
{
    return &busy[member->slot][rp_shm_get_own_row()];
}

void rp_shm_enter(const rp_backend_t *member)
{
    (void)__atomic_fetch_add(find_busy(member), 1, __ATOMIC_RELAXED);
}

void rp_shm_leave(const rp_backend_t *member)
{
    (void)__atomic_fetch_sub(find_busy(member), 1, __ATOMIC_RELAXED);
}

unsigned rp_shm_count_busy(const rp_backend_t *member)
{
    unsigned sum;

    rp_shm_sum_rows(&busy[member->slot], 1, &sum);
    return sum;
}

void rp_shm_count_all_busy(const rp_group_t *group, int count, unsigned *sums)
{
    rp_shm_sum_rows(&busy[find_first_slot(group)], count, sums);
}

void rp_shm_clear_busy(server_rec *s, unsigned row, pid_t pid)
{
    unsigned i, left = 0;

    for (i = 0; i < slot_count; i++) {
        left += __atomic_exchange_n(&busy[i][row], 0, __ATOMIC_RELAXED);
    }
    if (left) {
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, s, "child %ld ended with %u requests in flight: not counted any more",
                     (long)pid, left);
    }
}

/* ---- names ---- */

void rp_shm_make_key(const char *name, apr_uint64_t key[2])
{
    static const unsigned char fixed[2][APR_SIPHASH_KSIZE] = {"mod_revproxy: 1", "mod_revproxy: 2"};

    key[0] = apr_siphash24(name, strlen(name), fixed[0]);
    key[1] = apr_siphash24(name, strlen(name), fixed[1]);
}

/* Sets are counted through and weights divided by, whatever another child has done to them. */
static rp_shm_glance_t glance(const rp_shm_slot_t *slot)
{
    const apr_int64_t *number = slot->number;
    apr_int64_t lbset = __atomic_load_n(&number[RP_SHM_LBSET], __ATOMIC_RELAXED);
    apr_int64_t weight = __atomic_load_n(&number[RP_SHM_WEIGHT], __ATOMIC_RELAXED);

    return (rp_shm_glance_t){
        .id = slot->key[0],
        .lbset = (short)rp_shm_within(lbset, 0, RP_SHM_LBSET_MAX, RP_SHM_LBSET_MAX),
        .status = (unsigned)__atomic_load_n(&number[RP_SHM_STATUS], __ATOMIC_RELAXED),
        .weight = (short)rp_shm_within(weight, RP_SHM_WEIGHT_MIN, RP_SHM_WEIGHT_MAX, RP_SHM_WEIGHT_MIN),
    };
}

void rp_shm_glance(const rp_group_t *group, int count, rp_shm_glance_t *seen)
{
    rp_shm_slot_t *const *slot = &slots[find_first_slot(group)];
    int i;

    for (i = 0; i < count; i++) {
        seen[i] = glance(slot[i]);
    }
}

/* What a server is known by, wherever it stands in the file. */
static const char *describe_server(apr_pool_t *p, const server_rec *s)
{
    const char *text = "main";
    const server_addr_rec *a;

    if (!s->is_virtual) {
        return text;
    }
    text = apr_psprintf(p, "%s:%u", s->server_hostname ? s->server_hostname : "", s->port);
    for (a = s->addrs; a; a = a->next) {
        text = apr_psprintf(p, "%s %s:%u", text, a->virthost, a->host_port);
    }
    return text;
}

/* Servers that nothing tells apart are counted. */
static apr_hash_t *name_servers(apr_pool_t *p, const server_rec *s)
{
    apr_hash_t *names = apr_hash_make(p), *seen = apr_hash_make(p);

    for (; s; s = s->next) {
        const char *name = describe_server(p, s);
        int *count = apr_hash_get(seen, name, APR_HASH_KEY_STRING);

        if (!count) {
            count = apr_pcalloc(p, sizeof(*count));
            apr_hash_set(seen, name, APR_HASH_KEY_STRING, count);
        }
        ++*count;
        apr_hash_set(names, apr_pmemdup(p, &s, sizeof(s)), sizeof(s), apr_psprintf(p, "%s #%d", name, *count));
    }
    return names;
}

/* ---- members ---- */

static void name_member(const rp_group_t *group, const rp_backend_t *b, apr_uint64_t key[2])
{
    char name[HUGE_STRING_LEN];

    (void)apr_snprintf(name, sizeof(name), "%s|%s|%s", rp_shm_name_group(group), b->name,
                       b->uds_path ? b->uds_path : "");
    rp_shm_make_key(name, key);
}

static void fill_from_file(rp_shm_slot_t *slot, const rp_backend_t *b)
{
    const char *const texts[RP_SHM_TEXTS] = {b->opt.route, b->opt.redirect, b->opt.check.uri, b->opt.check.expr};
    apr_int64_t *number = slot->file_number;
    int i;

    number[RP_SHM_STATUS] = b->opt.status_set & ~b->opt.status_clear;
    number[RP_SHM_WEIGHT] = b->opt.loadfactor;
    number[RP_SHM_LBSET] = b->opt.lbset;
    number[RP_SHM_CHECK_METHOD] = b->opt.check.method;
    number[RP_SHM_CHECK_INTERVAL] = b->opt.check.interval;
    number[RP_SHM_CHECK_PASSES] = b->opt.check.passes;
    number[RP_SHM_CHECK_FAILS] = b->opt.check.fails;
    /* Figures, which it does not say, are 0 in both. */
    memcpy(slot->number, number, sizeof(slot->number));
    for (i = 0; i < RP_SHM_TEXTS; i++) {
        rp_shm_fill_text(slot->file_text[i], texts[i]);
        rp_shm_write_words(&slot->text[i], texts[i]);
    }
}

static void begin_slot(rp_shm_slot_t *slot, const rp_group_t *group, const rp_backend_t *b)
{
    memset(slot, 0, sizeof(*slot));
    name_member(group, b, slot->key);
    fill_from_file(slot, b);
}

static bool note_added(rp_shm_slot_t *slot, const rp_group_t *group, const rp_backend_t *b)
{
    int n = apr_snprintf(slot->url, RP_SHM_URL, "%s%s%s%s", b->uds_path ? "unix:" : "",
                         b->uds_path ? b->uds_path : "", b->uds_path ? "|" : "", b->name);

    slot->is_added = 1;
    rp_shm_make_key(rp_shm_name_group(group), slot->group);
    return n < RP_SHM_URL - 1;
}

bool rp_shm_add_member(const rp_group_t *group, const rp_backend_t *member)
{
    const rp_roster_t *roster = group->roster;
    rp_shm_slot_t *slot = slots[roster->members[roster->count]->slot];

    begin_slot(slot, roster->owner, member);
    if (!note_added(slot, roster->owner, member)) {
        return false;
    }
    slot->number[RP_SHM_STATUS] = RP_STATUS_DISABLED;
    __atomic_store_n(&slot->magic, RP_SHM_MAGIC, __ATOMIC_RELEASE);
    rp_shm_set_setting(roster->owner, RP_SHM_MEMBERS, roster->count + 1);
    return true;
}

void rp_shm_get_url(const rp_group_t *group, int i, char url[RP_SHM_URL])
{
    apr_cpystrn(url, slots[rp_conf_get_member(group, i)->slot]->url, RP_SHM_URL);
}

/* ---- the memory ---- */

/* What the generation before us, or a file, knows of members. */
typedef struct kept_t {
    const rp_shm_slot_t *slot;
    unsigned n;
} kept_t;

bool rp_shm_is_persistent(const server_rec *s)
{
    return rp_conf_get_server(s)->balancer_persist;
}

/* Every member and every place has a slot, those of a group one after the other; lists are shared, their owners count. */
static void number_slots(rp_shm_setup_t *setup)
{
    const apr_array_header_t *groups = rp_conf_get_groups();
    int i, k;

    for (i = 0; i < groups->nelts; i++) {
        const rp_group_t *group = APR_ARRAY_IDX(groups, i, const rp_group_t *);

        setup->persists |= rp_shm_is_persistent(group->server);
        for (k = 0; group->roster->owner == group && k < group->roster->size; k++) {
            group->roster->members[k]->slot = setup->slots++;
        }
    }
}

apr_status_t rp_shm_create(const rp_shm_setup_t *setup, const char *name, bool is_kept, apr_size_t size, unsigned n,
                           void ***items)
{
    ap_slotmem_instance_t *memory;
    apr_status_t rv = setup->provider->create(&memory, name, (size + 7) / 8 * 8, n,
                                              is_kept && setup->persists ? AP_SLOTMEM_TYPE_PERSIST : 0, setup->pconf);
    unsigned i;

    *items = apr_pcalloc(setup->pconf, n * sizeof(**items));
    for (i = 0; rv == APR_SUCCESS && i < n; i++) {
        rv = setup->provider->dptr(memory, i, &(*items)[i]);
    }
    return rv;
}

static bool may_adopt(const rp_shm_setup_t *setup, const rp_group_t *group)
{
    return !setup->is_start || rp_shm_is_persistent(group->server);
}

static const rp_shm_slot_t *find_kept(const kept_t *kept, const apr_uint64_t key[2])
{
    unsigned i;

    for (i = 0; i < kept->n; i++) {
        const rp_shm_slot_t *old = &kept->slot[i];

        if (old->magic == RP_SHM_MAGIC && old->key[0] == key[0] && old->key[1] == key[1]) {
            return old;
        }
    }
    return NULL;
}

static rp_shm_slot_t *fill_slot(const rp_shm_setup_t *setup, const kept_t *kept, const rp_group_t *group,
                                const rp_backend_t *b)
{
    rp_shm_slot_t *slot = slots[b->slot];
    const rp_shm_slot_t *old;

    begin_slot(slot, group, b);
    old = find_kept(kept, slot->key);
    if (old && may_adopt(setup, group)) {
        rp_shm_adopt(slot, old);
    }
    __atomic_store_n(&slot->magic, RP_SHM_MAGIC, __ATOMIC_RELEASE);
    return slot;
}

/* A member that was added at run time goes on, unless the file has it now. */
static void restore(const rp_shm_setup_t *setup, const kept_t *kept, rp_group_t *group, const rp_shm_slot_t *old)
{
    char *url = apr_pstrmemdup(setup->pconf, old->url, strnlen(old->url, RP_SHM_URL));
    rp_backend_t *b;
    const char *err = rp_conf_read_member(setup->pconf, group, url, &b);

    if (!err && group->roster->count == group->roster->size) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, setup->main,
                     "%s: no place is left for %s, which was added at run time: raise growth=, or write a BalancerMember "
                     "line for it",
                     group->name, url);
        return;
    }
    if (!err) {
        rp_conf_enlist(group->roster, b);
        b = rp_conf_get_member(group, group->roster->count - 1);
        (void)note_added(fill_slot(setup, kept, group, b), group, b);
    }
}

static void restore_added(const rp_shm_setup_t *setup, const kept_t *kept, rp_group_t *group)
{
    apr_uint64_t key[2];
    unsigned i;

    rp_shm_make_key(rp_shm_name_group(group), key);
    for (i = 0; i < kept->n; i++) {
        const rp_shm_slot_t *old = &kept->slot[i];

        if (old->magic == RP_SHM_MAGIC && old->is_added && old->group[0] == key[0] && old->group[1] == key[1]) {
            restore(setup, kept, group, old);
        }
    }
}

static void fill_slots(rp_shm_setup_t *setup)
{
    const apr_array_header_t *groups = rp_conf_get_groups();
    kept_t kept;
    int i, k;

    kept.slot = rp_shm_take_kept(setup, RP_SHM_KEPT_MEMBERS, (void *const *)slots, sizeof(**slots), slot_count, &kept.n);
    for (i = 0; i < groups->nelts; i++) {
        rp_group_t *group = APR_ARRAY_IDX(groups, i, rp_group_t *);

        if (group->roster->owner != group) {
            continue;
        }
        for (k = 0; k < group->roster->configured; k++) {
            (void)fill_slot(setup, &kept, group, rp_conf_get_member(group, k));
        }
        if (may_adopt(setup, group)) {
            restore_added(setup, &kept, group);
        }
        rp_shm_set_setting(group, RP_SHM_MEMBERS, group->roster->count);
    }
    rp_shm_keep_at_end(setup, RP_SHM_KEPT_MEMBERS, (const void *const *)slots, sizeof(**slots), slot_count);
}

static apr_status_t create_all(const rp_shm_setup_t *setup)
{
    apr_size_t row_size = rp_shm_count_rows() * sizeof(apr_uint32_t);
    apr_status_t rv;

    slot_count = (unsigned)(setup->slots > 0 ? setup->slots : 1);
    if (setup->persists) {
        slot_count = (slot_count + PERSIST_STEP - 1) / PERSIST_STEP * PERSIST_STEP;
    }
    rv = rp_shm_create(setup, "revproxy-members", true, sizeof(rp_shm_slot_t), slot_count, (void ***)&slots);
    if (rv == APR_SUCCESS) {
        rv = rp_shm_create(setup, "revproxy-busy", false, row_size, slot_count, (void ***)&busy);
    }
    return rv == APR_SUCCESS ? rp_shm_make_groups(setup) : rv;
}

static bool needs_secret(void)
{
    const apr_array_header_t *groups = rp_conf_get_groups();
    int i;

    for (i = 0; i < groups->nelts; i++) {
        const rp_group_t *group = APR_ARRAY_IDX(groups, i, const rp_group_t *);

        if (group->opt.sticky_cookie && !group->opt.sticky_secret) {
            return true;
        }
    }
    return false;
}

/* Needs mod_slotmem_shm. */
static int make_members(rp_shm_setup_t *setup)
{
    apr_status_t rv;
    unsigned n;

    setup->provider = ap_lookup_provider(AP_SLOTMEM_PROVIDER_GROUP, "shm", AP_SLOTMEM_PROVIDER_VERSION);
    setup->names = name_servers(setup->ptemp, setup->main);
    setup->is_start = rp_shm_get_kept(setup->main, RP_SHM_KEPT_MEMBERS, sizeof(rp_shm_slot_t), &n) == NULL;
    rv = setup->provider ? create_all(setup) : APR_ENOTIMPL;
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, rv, setup->main,
                     "no shared memory for the members of balancers from mod_slotmem_shm");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    fill_slots(setup);
    if (needs_secret()) {
        rp_shm_load_secret(setup->ptemp, setup->main);
    }
    return OK;
}

int rp_shm_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *main_server)
{
    rp_shm_setup_t setup = {.pconf = pconf, .ptemp = ptemp, .main = main_server};
    bool has_groups = rp_conf_get_groups()->nelts > 0;
    apr_status_t rv;

    (void)plog;
    slot_count = 0;
    rp_shm_forget_rows();
    /* httpd reads its configuration twice when it starts. */
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        return OK;
    }
    if (has_groups) {
        number_slots(&setup); /* which makes more backends */
    }
    rv = rp_shm_make_rows(pconf);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, rv, main_server, "no shared memory for the counts of children");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return has_groups ? make_members(&setup) : OK;
}
