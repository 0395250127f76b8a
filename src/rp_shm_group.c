#include "rp_shm_int.h"

#include <string.h>

#include "ap_provider.h"
#include "apr_general.h"
#include "apr_strings.h"
#include "apr_uuid.h"

#include "mod_revproxy.h"

/* Set by the parent before there are children; by the groups' ids. */
static rp_shm_group_slot_t **slots;
static const char **names;

#define PERSIST_STEP 8

apr_int64_t rp_shm_get_setting(const rp_group_t *group, rp_shm_setting_t which)
{
    return __atomic_load_n(&slots[group->id]->number[which], __ATOMIC_ACQUIRE);
}

void rp_shm_set_setting(const rp_group_t *group, rp_shm_setting_t which, apr_int64_t value)
{
    __atomic_store_n(&slots[group->id]->number[which], value, __ATOMIC_RELEASE);
}

void rp_shm_get_group_text(const rp_group_t *group, rp_shm_group_text_t which, char text[RP_SHM_TEXT])
{
    rp_shm_read_words(&slots[group->id]->text[which], text);
}

void rp_shm_set_group_text(const rp_group_t *group, rp_shm_group_text_t which, const char *text)
{
    rp_shm_write_words(&slots[group->id]->text[which], text);
}

const char *rp_shm_name_group(const rp_group_t *group)
{
    return names[group->id];
}

static void fill_from_file(rp_shm_group_slot_t *slot, const rp_group_t *group)
{
    const rp_group_options_t *opt = &group->opt;
    const char *const texts[RP_SHM_GROUP_TEXTS] = {
        [RP_SHM_METHOD] = opt->method,
        [RP_SHM_STICKY] = opt->sticky ? opt->sticky : "",
        [RP_SHM_STICKY_PATH] = opt->sticky_path ? opt->sticky_path : "",
        [RP_SHM_NONCE] = opt->nonce ? opt->nonce : "",
    };
    int i;

    slot->file_number[RP_SHM_TIMEOUT] = opt->timeout;
    slot->file_number[RP_SHM_MAX_ATTEMPTS] = opt->set & RP_GROUP_MAX_ATTEMPTS ? opt->max_attempts : -1;
    slot->file_number[RP_SHM_NO_FAILOVER] = opt->no_failover;
    slot->file_number[RP_SHM_FORCE_RECOVERY] = opt->force_recovery;
    memcpy(slot->number, slot->file_number, sizeof(slot->number));
    for (i = 0; i < RP_SHM_GROUP_TEXTS; i++) {
        rp_shm_fill_text(slot->file_text[i], texts[i]);
        rp_shm_write_words(&slot->text[i], texts[i]);
    }
}

static bool is_within(apr_int64_t value, rp_shm_setting_t which)
{
    static const struct {
        apr_int64_t min, max;
    } bounds[RP_SHM_SETTINGS] = {
        [RP_SHM_TIMEOUT] = {0, APR_INT32_MAX * (apr_int64_t)APR_USEC_PER_SEC},
        [RP_SHM_MAX_ATTEMPTS] = {-1, APR_INT32_MAX},
        [RP_SHM_NO_FAILOVER] = {0, 1},
        [RP_SHM_FORCE_RECOVERY] = {0, 1},
        [RP_SHM_MEMBERS] = {0, 0}, /* counted anew */
    };

    return value >= bounds[which].min && value <= bounds[which].max;
}

/* May a text of the generation before be taken over? */
static bool is_of_use(rp_shm_group_text_t which, const char *text, bool is_start)
{
    switch (which) {
    case RP_SHM_METHOD:
        /* The module that it came with may not be loaded any more. */
        return ap_lookup_provider(REVPROXY_LBMETHOD_GROUP, text, REVPROXY_LBMETHOD_VERSION) != NULL;
    case RP_SHM_NONCE:
        return !is_start;
    default:
        return true;
    }
}

/* Where the file says what it said before, what was changed at run time stays. */
static void adopt(rp_shm_group_slot_t *slot, const rp_shm_group_slot_t *old, bool is_start)
{
    char text[RP_SHM_TEXT];
    int i;

    for (i = 0; i < RP_SHM_SETTINGS; i++) {
        if (slot->file_number[i] == old->file_number[i] && is_within(old->number[i], (rp_shm_setting_t)i)) {
            slot->number[i] = old->number[i];
        }
    }
    for (i = 0; i < RP_SHM_GROUP_TEXTS; i++) {
        if (memcmp(slot->file_text[i], old->file_text[i], RP_SHM_TEXT) != 0 || old->text[i].version % 2 != 0) {
            continue;
        }
        rp_shm_read_words(&old->text[i], text);
        if (is_of_use((rp_shm_group_text_t)i, text, is_start)) {
            rp_shm_write_words(&slot->text[i], text);
        }
    }
}

/* One that nobody can guess, for a group that names none: a UUID of version 4 (RFC 9562 5.4), as scripts know it. Not
 * apr_uuid_get, which may count or take the time, as APR was built. */
static apr_status_t need_nonce(rp_shm_group_slot_t *slot, const rp_group_t *group)
{
    char text[RP_SHM_TEXT] = "";
    apr_uuid_t uuid;
    apr_status_t rv;

    rp_shm_read_words(&slot->text[RP_SHM_NONCE], text);
    if (group->opt.nonce || *text) {
        return APR_SUCCESS;
    }
    rv = apr_generate_random_bytes(uuid.data, sizeof(uuid.data));
    if (rv == APR_SUCCESS) {
        uuid.data[6] = (unsigned char)((uuid.data[6] & 0x0f) | 0x40);
        uuid.data[8] = (unsigned char)((uuid.data[8] & 0x3f) | 0x80);
        apr_uuid_format(text, &uuid);
        rp_shm_write_words(&slot->text[RP_SHM_NONCE], text);
    }
    return rv;
}

static const rp_shm_group_slot_t *find_kept(const rp_shm_group_slot_t *kept, unsigned n, const apr_uint64_t key[2])
{
    unsigned i;

    for (i = 0; i < n; i++) {
        if (kept[i].magic == RP_SHM_MAGIC && kept[i].key[0] == key[0] && kept[i].key[1] == key[1]) {
            return &kept[i];
        }
    }
    return NULL;
}

apr_status_t rp_shm_make_groups(const rp_shm_setup_t *setup)
{
    const apr_array_header_t *groups = rp_conf_get_groups();
    unsigned i, kept_count, n = (unsigned)groups->nelts;
    const rp_shm_group_slot_t *kept, *old;
    apr_status_t rv;

    n = setup->persists ? (n + PERSIST_STEP - 1) / PERSIST_STEP * PERSIST_STEP : n;
    rv = rp_shm_create(setup, "revproxy-groups", true, sizeof(**slots), n, (void ***)&slots);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    names = apr_pcalloc(setup->pconf, n * sizeof(*names));
    kept = rp_shm_take_kept(setup, RP_SHM_KEPT_GROUPS, (void *const *)slots, sizeof(**slots), n, &kept_count);
    for (i = 0; i < (unsigned)groups->nelts; i++) {
        const rp_group_t *group = APR_ARRAY_IDX(groups, (int)i, const rp_group_t *);
        const char *server = apr_hash_get(setup->names, &group->server, sizeof(group->server));

        names[i] = apr_psprintf(setup->pconf, "%s|%s", server, group->name);
        rp_shm_make_key(names[i], slots[i]->key);
        fill_from_file(slots[i], group);
        old = find_kept(kept, kept_count, slots[i]->key);
        if (old && (!setup->is_start || rp_shm_is_persistent(group->server))) {
            adopt(slots[i], old, setup->is_start);
        }
        rv = need_nonce(slots[i], group);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        slots[i]->magic = RP_SHM_MAGIC;
    }
    rp_shm_keep_at_end(setup, RP_SHM_KEPT_GROUPS, (const void *const *)slots, sizeof(**slots), n);
    return APR_SUCCESS;
}
