/* rp_offload: calls that can only block (name look-up, a TLS handshake through
 * mod_ssl), run on a few helper threads per child so that no worker thread waits.
 *
 * Owns:      the helper threads, the jobs under way.
 * Does not:  know what the calls do.
 * Threads:   any; a job's function runs on a helper thread.
 * Memory:    a job has its own pool, below no other, freed when both sides are done with it.
 * Blocks?    Never; the function given may.
 */
#ifndef RP_OFFLOAD_H
#define RP_OFFLOAD_H

#include "apr_pools.h"

typedef struct rp_offload_job_t rp_offload_job_t;
typedef void (*rp_offload_fn)(void *ctx, apr_pool_t *job_pool);

/* Called once per child, before the other transport units' child_init: its cleanup, which stops
 * the threads, then runs after theirs (rp_pool_child_init sees to it). Threads start with the first
 * job that needs one. */
apr_status_t rp_offload_child_init(apr_pool_t *pchild);

/* Start fn(ctx) on a helper thread. ctx must stay valid until the job is done
 * or dropped AND done: allocate it from rp_offload_pool(job). A cleanup registered with that pool
 * runs when neither side needs the job any more, on whichever thread is last.
 * make: a job with its pool; run: start it. Errors: APR_ENOMEM, no descriptor, no thread,
 * APR_EOF when the child is ending. After a failed run the caller still has to drop the job. */
apr_status_t rp_offload_make(rp_offload_job_t **job);
apr_pool_t *rp_offload_pool(rp_offload_job_t *job);
/* Before run: at most `most` jobs that wait for the same `whom` (an address to compare, not followed)
 * run at a time, others queue behind them. So one that keeps silent does not hold all threads. */
void rp_offload_set_limit(rp_offload_job_t *job, const void *whom, int most);
apr_status_t rp_offload_run(rp_offload_job_t *job, rp_offload_fn fn, void *ctx);

/* Before run: the socket that the function waits on. It is shut down (not closed) when the job is
 * dropped before it is done, or the child ends, so that the function returns. The socket has to
 * stay open until the job's pool is destroyed or its function has returned. */
void rp_offload_set_socket(rp_offload_job_t *job, int fd);

/* Descriptor that becomes readable when the job is done; level-triggered, never read from, so
 * several may wait on it. Valid until the drop. */
int rp_offload_fd(const rp_offload_job_t *job);
/* Has it finished? (acquire semantics: its results may be read then) */
int rp_offload_is_done(const rp_offload_job_t *job);
/* No longer interested; frees now or when the function returns. A job that has not begun is
 * forgotten. *job becomes NULL; NULL is fine. */
void rp_offload_drop(rp_offload_job_t **job);

#endif
