/* rp_shm_int: what the files of rp_shm share; nobody else includes it.
 *
 * Owns:      the layout of a member's slot.
 * Does not:  hold state.
 * Threads:   see rp_shm.h.
 * Memory:    the provider's.
 * Blocks?    Never.
 */
#ifndef RP_SHM_INT_H
#define RP_SHM_INT_H

#include "rp_shm.h"

/* Changes with the meaning of anything below: what an older version left is not read. */
#define RP_SHM_MAGIC 0x52505331u /* "RPS1" */

#define RP_SHM_WORDS (RP_SHM_TEXT / sizeof(apr_uint64_t))

/* A text in whole words, so that it can be copied atom by atom. */
typedef struct rp_shm_words_t {
    apr_uint32_t version; /* odd: being written */
    apr_uint32_t unused;
    apr_uint64_t word[RP_SHM_WORDS];
} rp_shm_words_t;

typedef struct rp_shm_slot_t {
    apr_uint32_t magic; /* 0: free */
    apr_uint32_t unused;
    apr_uint64_t key[2];
    apr_int64_t number[RP_SHM_NUMBERS];
    /* What the configuration said when it was read last. */
    apr_int64_t file_status, file_weight, file_lbset;
    rp_shm_words_t text[RP_SHM_TEXTS];
    char file_text[RP_SHM_TEXTS][RP_SHM_TEXT];
} rp_shm_slot_t;

/* ---- rp_shm_keep.c: over restarts ---- */

/* Take over what `old` holds of the same member, where the file does not say otherwise; slot is
 * filled from the file already. */
void rp_shm_adopt(rp_shm_slot_t *slot, const rp_shm_slot_t *old);
/* What the generation before us left: n slots; NULL: nothing. */
const rp_shm_slot_t *rp_shm_get_kept(const server_rec *s, unsigned *n);
/* Keep a copy of these for the next generation when pconf goes. */
void rp_shm_keep_at_end(apr_pool_t *pconf, const server_rec *s, const rp_shm_slot_t *const *slots, unsigned n);

/* ---- rp_shm_secret.c ---- */

/* Read the installation's secret, or make one. */
void rp_shm_load_secret(apr_pool_t *p, server_rec *s);

#endif
