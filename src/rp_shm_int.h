/* rp_shm_int: what the files of rp_shm share; nobody else includes it.
 *
 * Owns:      the layout of members' and groups' slots.
 * Does not:  hold state.
 * Threads:   see rp_shm.h.
 * Memory:    the provider's.
 * Blocks?    Never.
 */
#ifndef RP_SHM_INT_H
#define RP_SHM_INT_H

#include "rp_shm.h"

#include "ap_slotmem.h"
#include "apr_hash.h"

/* Changes with the meaning of anything below: what an older version left is not read. */
#define RP_SHM_MAGIC 0x52505332u /* "RPS2" */

#define RP_SHM_WORDS (RP_SHM_TEXT / sizeof(apr_uint64_t))

/* A text in whole words, so that it can be copied atom by atom. */
typedef struct rp_shm_words_t {
    apr_uint32_t version; /* odd: being written */
    apr_uint32_t unused;
    apr_uint64_t word[RP_SHM_WORDS];
} rp_shm_words_t;

typedef struct rp_shm_slot_t {
    apr_uint32_t magic; /* 0: free */
    apr_uint32_t is_added; /* at run time: url and group say what it is */
    apr_uint64_t key[2];
    apr_int64_t number[RP_SHM_NUMBERS];
    /* What the configuration said when it was read last. */
    apr_int64_t file_number[RP_SHM_NUMBERS]; /* of those that it says */
    rp_shm_words_t text[RP_SHM_TEXTS];
    char file_text[RP_SHM_TEXTS][RP_SHM_TEXT];
    apr_uint64_t group[2]; /* key of the group */
    char url[RP_SHM_URL];
} rp_shm_slot_t;

typedef struct rp_shm_group_slot_t {
    apr_uint32_t magic;
    apr_uint32_t unused;
    apr_uint64_t key[2];
    apr_int64_t number[RP_SHM_SETTINGS];
    rp_shm_words_t text[RP_SHM_GROUP_TEXTS];
    apr_int64_t file_number[RP_SHM_SETTINGS];
    char file_text[RP_SHM_GROUP_TEXTS][RP_SHM_TEXT];
} rp_shm_group_slot_t;

/* Bounds of what the configuration and the manager may say. */
#define RP_SHM_WEIGHT_MIN 100
#define RP_SHM_WEIGHT_MAX 10000
#define RP_SHM_LBSET_MAX  99

static inline apr_int64_t rp_shm_within(apr_int64_t value, apr_int64_t min, apr_int64_t max, apr_int64_t otherwise)
{
    return value >= min && value <= max ? value : otherwise;
}

/* What is known while the memory is made. */
typedef struct rp_shm_setup_t {
    apr_pool_t *pconf, *ptemp;
    server_rec *main;
    const ap_slotmem_provider_t *provider;
    apr_hash_t *names; /* of servers */
    bool persists;     /* BalancerPersist, in some server */
    bool is_start;     /* nothing is known of a generation before */
    int slots;         /* members, and places for more */
} rp_shm_setup_t;

/* ---- rp_shm.c ---- */

/* Make memory for n items, and find their addresses; is_kept: by the provider, over a stop and start. */
apr_status_t rp_shm_create(const rp_shm_setup_t *setup, const char *name, bool is_kept, apr_size_t size, unsigned n,
                           void ***items);
bool rp_shm_is_persistent(const server_rec *s);
void rp_shm_make_key(const char *name, apr_uint64_t key[2]);

/* A child has ended: what it counted in its row is in flight no more. */
void rp_shm_clear_busy(server_rec *s, unsigned row, pid_t pid);

/* ---- rp_shm_row.c: the children's rows ---- */

/* Of the generation before; until rp_shm_make_rows has made new ones. */
void rp_shm_forget_rows(void);
/* When all backends are there. */
apr_status_t rp_shm_make_rows(apr_pool_t *pconf);
/* Counts in an array that has one for each row. */
unsigned rp_shm_count_rows(void);
/* The row of the child that asks. */
unsigned rp_shm_get_own_row(void);
/* The sum of each of n such arrays. */
void rp_shm_sum_rows(apr_uint32_t *const *counts, int n, unsigned *sums);

/* ---- rp_shm_text.c ---- */

/* All of the array is filled, so that two equal texts have equal bytes. */
void rp_shm_fill_text(char to[RP_SHM_TEXT], const char *text);
void rp_shm_read_words(const rp_shm_words_t *from, char text[RP_SHM_TEXT]);
void rp_shm_write_words(rp_shm_words_t *to, const char *text);

/* ---- rp_shm_group.c ---- */

apr_status_t rp_shm_make_groups(const rp_shm_setup_t *setup);
/* "server|balancer://name": the same after restarts. */
const char *rp_shm_name_group(const rp_group_t *group);

/* ---- rp_shm_keep.c: over restarts ---- */

#define RP_SHM_KEPT_MEMBERS "mod_revproxy rp_shm members"
#define RP_SHM_KEPT_GROUPS  "mod_revproxy rp_shm groups"

/* Take over what `old` holds of the same member, where the file does not say otherwise; slot is
 * filled from the file already. */
void rp_shm_adopt(rp_shm_slot_t *slot, const rp_shm_slot_t *old);
/* What the generation before us left of a kind (RP_SHM_KEPT_*): n items of this size; NULL: nothing. */
const void *rp_shm_get_kept(const server_rec *s, const char *kind, apr_size_t size, unsigned *n);
/* Keep a copy of these for the next generation when pconf goes. */
void rp_shm_keep_at_end(const rp_shm_setup_t *setup, const char *kind, const void *const *items, apr_size_t size,
                        unsigned n);
/* A copy in ptemp of what was kept by rp_shm_keep_at_end; at a start, of what the provider has read from its
 * file. The items themselves are cleared. */
const void *rp_shm_take_kept(const rp_shm_setup_t *setup, const char *kind, void *const *items, apr_size_t size,
                             unsigned n, unsigned *kept);

/* ---- rp_shm_secret.c ---- */

/* Read the installation's secret, or make one. */
void rp_shm_load_secret(apr_pool_t *p, server_rec *s);

#endif
