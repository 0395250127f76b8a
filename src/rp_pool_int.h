/* rp_pool_int: what rp_pool.c and rp_pool_dynamic.c share. Nobody else includes it.
 *
 * Owns:      the registry of pools by what they have to have in common.
 * Does not:  know why a backend was made.
 * Threads:   any; the registry's lock is inside.
 * Memory:    a pool lives while a backend holds it or a connection of it is out.
 * Blocks?    Never.
 */
#ifndef RP_POOL_INT_H
#define RP_POOL_INT_H

#include "rp_pool.h"

typedef struct rp_pool_t rp_pool_t;

/* The pool for a backend, found or made; to be released. */
rp_pool_t *rp_pool_hold(const rp_backend_t *b);
/* Closes the idle connections when nobody else holds it. *pool becomes NULL. */
void rp_pool_release(rp_pool_t **pool);

/* Equal, or both NULL. */
bool rp_pool_is_same_text(const char *a, const char *b);

/* Every option that concerns the pool or how a connection is made. */
bool rp_pool_is_same_kind(const rp_options_t *a, const rp_options_t *b);

/* The pool of a backend from rp_pool_hold_dynamic. */
rp_pool_t *rp_pool_get_dynamic(const rp_backend_t *b);
int rp_pool_count_dynamic(void);
/* The child ends. */
void rp_pool_forget_dynamic(void);

#endif
