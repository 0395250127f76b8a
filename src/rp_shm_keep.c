#include "rp_shm_int.h"

#include <string.h>
#include <unistd.h>

#include "apr_pools.h"
#include "http_core.h"

/* In httpd's process pool, because this object's own variables go with it at a restart; the kind is its
 * name there. */
typedef struct kept_t {
    apr_pool_t *memory; /* a pool below httpd's process pool, with this in it */
    unsigned n;
    apr_size_t size;    /* of an item: another version of the module may have written it */
    apr_uint64_t items[];
} kept_t;

/* What is needed to keep slots when pconf goes. */
typedef struct keeper_t {
    pid_t parent;
    apr_pool_t *process;
    const char *kind;
    const void *const *items;
    apr_size_t size;
    unsigned n;
} keeper_t;

/* Of a value that may be changed at run time: the file's, where it says something new, or where the live
 * one is out of bounds. */
static void adopt_number(rp_shm_slot_t *slot, const rp_shm_slot_t *old, rp_shm_number_t which, apr_int64_t min,
                         apr_int64_t max)
{
    if (slot->file_number[which] == old->file_number[which]) {
        slot->number[which] = rp_shm_within(old->number[which], min, max, slot->file_number[which]);
    }
}

static void adopt_checks(rp_shm_slot_t *slot, const rp_shm_slot_t *old)
{
    adopt_number(slot, old, RP_SHM_CHECK_METHOD, 0, RP_CHECK_METHODS - 1);
    adopt_number(slot, old, RP_SHM_CHECK_INTERVAL, RP_CHECK_INTERVAL_MIN, APR_INT64_MAX / 2);
    adopt_number(slot, old, RP_SHM_CHECK_PASSES, 0, APR_INT32_MAX);
    adopt_number(slot, old, RP_SHM_CHECK_FAILS, 0, APR_INT32_MAX);
}

/* Nobody would bring a member back that failed checks which are not made any more. */
static apr_int64_t get_ended_status(const rp_shm_slot_t *slot, const rp_shm_slot_t *old)
{
    bool is_ended =
        old->number[RP_SHM_CHECK_METHOD] != RP_CHECK_NONE && slot->number[RP_SHM_CHECK_METHOD] == RP_CHECK_NONE;

    return is_ended ? RP_STATUS_CHECK_FAILED & ~slot->file_number[RP_SHM_STATUS] : 0;
}

static void adopt_status(rp_shm_slot_t *slot, const rp_shm_slot_t *old)
{
    const apr_int64_t all = RP_STATUS_SPARE * 2 - 1;
    apr_int64_t file = slot->file_number[RP_SHM_STATUS];
    apr_int64_t changed = file ^ old->file_number[RP_SHM_STATUS];

    slot->number[RP_SHM_STATUS] = ((old->number[RP_SHM_STATUS] & ~changed) | (file & changed)) & all &
                                  ~get_ended_status(slot, old);
}

static void adopt_text(rp_shm_slot_t *slot, const rp_shm_slot_t *old, rp_shm_text_t which)
{
    if (memcmp(slot->file_text[which], old->file_text[which], RP_SHM_TEXT) == 0 && old->text[which].version % 2 == 0) {
        memcpy(slot->text[which].word, old->text[which].word, RP_SHM_TEXT);
    }
}

void rp_shm_adopt(rp_shm_slot_t *slot, const rp_shm_slot_t *old)
{
    static const rp_shm_number_t figures[] = {RP_SHM_ERROR_KIND, RP_SHM_RETRIES, RP_SHM_ELECTED, RP_SHM_SENT,
                                              RP_SHM_RECEIVED, RP_SHM_CHECKS_PASSED, RP_SHM_CHECKS_FAILED};
    apr_time_t now = apr_time_now();
    size_t i;

    adopt_checks(slot, old);
    adopt_status(slot, old);
    adopt_number(slot, old, RP_SHM_WEIGHT, RP_SHM_WEIGHT_MIN, RP_SHM_WEIGHT_MAX);
    adopt_number(slot, old, RP_SHM_LBSET, 0, RP_SHM_LBSET_MAX);
    for (i = 0; i < RP_SHM_TEXTS; i++) {
        adopt_text(slot, old, (rp_shm_text_t)i);
    }
    for (i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
        slot->number[figures[i]] = rp_shm_within(old->number[figures[i]], 0, APR_INT64_MAX, 0);
    }
    slot->number[RP_SHM_STATE] = rp_shm_within(old->number[RP_SHM_STATE], APR_INT32_MIN, APR_INT32_MAX, 0);
    slot->number[RP_SHM_LATENCY] = rp_shm_within(old->number[RP_SHM_LATENCY], 0, apr_time_from_sec(86400), 0);
    slot->number[RP_SHM_LATENCY_TIME] = rp_shm_within(old->number[RP_SHM_LATENCY_TIME], 0, now, 0);
    slot->number[RP_SHM_ERROR_TIME] = rp_shm_within(old->number[RP_SHM_ERROR_TIME], 0, now, now);
    slot->number[RP_SHM_CHECK_TIME] = rp_shm_within(old->number[RP_SHM_CHECK_TIME], 0, now, 0);
}

const void *rp_shm_get_kept(const server_rec *s, const char *kind, apr_size_t size, unsigned *n)
{
    void *data = NULL;
    const kept_t *kept;

    apr_pool_userdata_get(&data, kind, s->process->pool);
    kept = data;
    *n = kept && kept->size == size ? kept->n : 0;
    return kept && kept->size == size ? kept->items : NULL;
}

/* Items in a row, as they are kept. */
static void copy_items(void *to, const void *const *items, apr_size_t size, unsigned n)
{
    unsigned i;

    for (i = 0; i < n; i++) {
        memcpy((char *)to + i * size, items[i], size);
    }
}

const void *rp_shm_take_kept(const rp_shm_setup_t *setup, const char *kind, void *const *items, apr_size_t size,
                             unsigned n, unsigned *kept)
{
    const void *data = rp_shm_get_kept(setup->main, kind, size, kept);
    unsigned i;

    if (!data) {
        void *copy = apr_palloc(setup->ptemp, n * size);

        copy_items(copy, (const void *const *)items, size, n);
        data = copy;
        *kept = n;
    }
    for (i = 0; i < n; i++) {
        memset(items[i], 0, size);
    }
    return data;
}

static apr_status_t keep(void *data)
{
    const keeper_t *keeper = data;
    void *old = NULL;
    apr_pool_t *memory;
    kept_t *kept;

    /* Not when httpd ends: what was kept before is gone already then. */
    if (keeper->parent != getpid() || ap_state_query(AP_SQ_MAIN_STATE) != AP_SQ_MS_DESTROY_CONFIG ||
        apr_pool_create(&memory, keeper->process) != APR_SUCCESS) {
        return APR_SUCCESS;
    }
    kept = apr_palloc(memory, sizeof(*kept) + keeper->n * keeper->size);
    kept->memory = memory;
    kept->n = keeper->n;
    kept->size = keeper->size;
    copy_items(kept->items, keeper->items, keeper->size, keeper->n);
    apr_pool_userdata_get(&old, keeper->kind, keeper->process);
    apr_pool_userdata_set(kept, keeper->kind, NULL, keeper->process);
    if (old) {
        apr_pool_destroy(((kept_t *)old)->memory);
    }
    return APR_SUCCESS;
}

void rp_shm_keep_at_end(const rp_shm_setup_t *setup, const char *kind, const void *const *items, apr_size_t size,
                        unsigned n)
{
    keeper_t *keeper = apr_pcalloc(setup->pconf, sizeof(*keeper));

    keeper->parent = getpid();
    keeper->process = setup->main->process->pool;
    keeper->kind = kind;
    keeper->items = items;
    keeper->size = size;
    keeper->n = n;
    /* Before the provider's own cleanup takes the memory away. */
    apr_pool_pre_cleanup_register(setup->pconf, keeper, keep);
}
