/* The children's rows: which child has which, and what each counts in its own: tunnels here, requests in
 * flight in rp_shm.c. Unlike members' slots they are needed without balancers, too, so the memory is a mapping of our own. */
#include "rp_shm_int.h"

#include <unistd.h>

#include "apr_shm.h"
#include "http_log.h"

extern module AP_MODULE_DECLARE_DATA revproxy_module;
APLOG_USE_MODULE(revproxy);

typedef struct rows_t {
    apr_int64_t lock;   /* pid of the child that changes something, 0: none */
    apr_uint32_t used;  /* rows that have ever been taken */
    apr_uint32_t unused;
    apr_int64_t pid[];  /* of the child that has the row, 0: free */
} rows_t;

/* All set by the parent before there are children, but own_row, which each child sets for itself. */
static rows_t *rows;
static apr_uint32_t *tunnels; /* [column][row] */
static unsigned row_count;    /* each column has one row more, for children without a row */
static unsigned column_count;
static unsigned own_row;

/* ---- making ---- */

/* Old generations may still be ending beside the new one. */
static unsigned get_wanted_rows(void)
{
    int limit = 0;

    (void)ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &limit);
    return (unsigned)(limit > 0 ? limit : 1) + 8;
}

void rp_shm_forget_rows(void)
{
    rows = NULL;
    tunnels = NULL;
    row_count = column_count = own_row = 0;
}

apr_status_t rp_shm_make_rows(apr_pool_t *pconf)
{
    unsigned n = get_wanted_rows(), columns = (unsigned)rp_conf_count_backends() + 1;
    apr_size_t head = sizeof(rows_t) + n * sizeof(apr_int64_t);
    apr_size_t size = head + (apr_size_t)columns * (n + 1) * sizeof(apr_uint32_t);
    apr_shm_t *shm;
    apr_status_t rv = apr_shm_create(&shm, size, NULL, pconf);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    rows = apr_shm_baseaddr_get(shm);
    memset(rows, 0, size);
    tunnels = (apr_uint32_t *)((char *)rows + head);
    row_count = own_row = n;
    column_count = columns;
    return APR_SUCCESS;
}

/* ---- rows ---- */

unsigned rp_shm_count_rows(void)
{
    return row_count + 1;
}

unsigned rp_shm_get_own_row(void)
{
    return own_row;
}

void rp_shm_sum_rows(apr_uint32_t *const *counts, int n, unsigned *sums)
{
    unsigned used = __atomic_load_n(&rows->used, __ATOMIC_SEQ_CST), all = row_count;
    int i;

    /* Children take the lowest free row, so few are in use. */
    used = used < all ? used : all;
    for (i = 0; i < n; i++) {
        const apr_uint32_t *count = counts[i], *end = count + used;
        unsigned sum = __atomic_load_n(&count[all], __ATOMIC_SEQ_CST);

        for (; count < end; count++) {
            sum += __atomic_load_n(count, __ATOMIC_SEQ_CST);
        }
        sums[i] = sum;
    }
}

static void raise_used_rows(unsigned used)
{
    apr_uint32_t was = __atomic_load_n(&rows->used, __ATOMIC_RELAXED);

    while (was < used &&
           !__atomic_compare_exchange_n(&rows->used, &was, used, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
    }
}

void rp_shm_child_init(apr_pool_t *pchild, server_rec *s)
{
    unsigned i;

    (void)pchild;
    for (i = 0; i < row_count; i++) {
        apr_int64_t none = 0;

        if (__atomic_compare_exchange_n(&rows->pid[i], &none, (apr_int64_t)getpid(), false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED)) {
            own_row = i;
            raise_used_rows(i + 1);
            return;
        }
    }
    own_row = row_count;
    if (row_count > 0) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "more children than ServerLimit says: if this one is killed, its requests in flight stay counted");
    }
}

static void clear_tunnels(server_rec *s, unsigned row, pid_t pid)
{
    unsigned i, left = __atomic_exchange_n(&tunnels[row], 0, __ATOMIC_SEQ_CST);

    for (i = 1; i < column_count; i++) {
        __atomic_store_n(&tunnels[i * (row_count + 1) + row], 0, __ATOMIC_SEQ_CST);
    }
    if (left) {
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, s, "child %ld ended with %u tunnels: not counted any more", (long)pid,
                     left);
    }
}

static void unlock_for(pid_t pid)
{
    apr_int64_t holder = (apr_int64_t)pid;

    (void)__atomic_compare_exchange_n(&rows->lock, &holder, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

void rp_shm_child_status(server_rec *s, pid_t pid, ap_generation_t gen, int slot, mpm_child_status status)
{
    unsigned i;

    (void)gen;
    (void)slot;
    if (status != MPM_CHILD_EXITED || !rows) {
        return;
    }
    unlock_for(pid);
    for (i = 0; i < row_count; i++) {
        if (__atomic_load_n(&rows->pid[i], __ATOMIC_ACQUIRE) == (apr_int64_t)pid) {
            rp_shm_clear_busy(s, i, pid);
            clear_tunnels(s, i, pid);
            /* Only now may another child have it. */
            __atomic_store_n(&rows->pid[i], 0, __ATOMIC_RELEASE);
        }
    }
}

/* ---- one change at a time ---- */

bool rp_shm_lock(void)
{
    apr_int64_t none = 0;

    return __atomic_compare_exchange_n(&rows->lock, &none, (apr_int64_t)getpid(), false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

void rp_shm_unlock(void)
{
    __atomic_store_n(&rows->lock, 0, __ATOMIC_RELEASE);
}

/* ---- tunnels ---- */

/* Column 0 is of all; those of backends follow. NULL: not counted. */
static apr_uint32_t *find_column(int backend)
{
    unsigned column = (unsigned)(backend + 1);

    return backend >= RP_SHM_ALL_TUNNELS && column < column_count ? &tunnels[column * (row_count + 1)] : NULL;
}

/* First in, then count: in the one order that all see, the last of those inside has seen all the others, so there are
 * never more than max. Two at a time may see each other and both be refused the last place. */
bool rp_shm_enter_tunnel(int backend, int max)
{
    apr_uint32_t *counts = find_column(backend);
    unsigned sum = 0;

    if (!counts) {
        return true;
    }
    (void)__atomic_fetch_add(&counts[own_row], 1, __ATOMIC_SEQ_CST);
    if (max > 0) {
        rp_shm_sum_rows(&counts, 1, &sum);
    }
    if (sum > (unsigned)max) {
        rp_shm_leave_tunnel(backend);
        return false;
    }
    return true;
}

void rp_shm_leave_tunnel(int backend)
{
    apr_uint32_t *counts = find_column(backend);

    if (counts) {
        (void)__atomic_fetch_sub(&counts[own_row], 1, __ATOMIC_SEQ_CST);
    }
}

unsigned rp_shm_count_own_tunnels(void)
{
    const apr_uint32_t *counts = find_column(RP_SHM_ALL_TUNNELS);

    return counts ? __atomic_load_n(&counts[own_row], __ATOMIC_RELAXED) : 0;
}
