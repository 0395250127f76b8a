#include "rp_offload.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Each blocked call holds one thread; mod_proxy let them hold up to ThreadsPerChild worker
 * threads. More than this many hung name servers or handshakes at once queue up. */
#define THREADS_MAX 128
/* mod_ssl and name service modules keep large buffers on the stack. */
#define STACK_BYTES (1024 * 1024)
/* How long a child's end waits for its helper threads: those that have nothing to do, or whose
 * socket is shut down, need less. A name look-up cannot be interrupted. */
#define STOP_MILLISECONDS 300

typedef enum { JOB_MADE, JOB_QUEUED, JOB_RUNNING, JOB_DONE } job_state_t;

struct rp_offload_job_t {
    TAILQ_ENTRY(rp_offload_job_t) link; /* in queue or running; under job_lock */
    apr_pool_t *pool;
    rp_offload_fn fn;
    void *ctx;
    job_state_t state;  /* under job_lock */
    bool is_dropped;    /* under job_lock */
    atomic_bool is_done;
    int done_fd;
    int socket;         /* -1: none; under job_lock once queued */
    const void *whom;   /* whom it may have to wait for */
    int most;           /* jobs that may wait for the same at a time; 0: no limit */
};

TAILQ_HEAD(job_list, rp_offload_job_t);

/* job_lock protects everything here, and the fields of jobs said to be under it. */
static pthread_mutex_t job_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t has_work = PTHREAD_COND_INITIALIZER;
static struct job_list queue = TAILQ_HEAD_INITIALIZER(queue);
static struct job_list running = TAILQ_HEAD_INITIALIZER(running);
static pthread_t threads[THREADS_MAX];
static int thread_count, idle_count, queued_count;
static bool is_stopping;

static void destroy_job(rp_offload_job_t *job)
{
    int fd = job->done_fd;

    apr_pool_destroy(job->pool); /* job lives in it */
    close(fd);
}

static void interrupt_locked(const rp_offload_job_t *job)
{
    if (job->socket >= 0) {
        (void)shutdown(job->socket, SHUT_RDWR);
    }
}

static void run_job(rp_offload_job_t *job)
{
    const uint64_t one = 1;
    bool is_last;

    job->fn(job->ctx, job->pool);

    pthread_mutex_lock(&job_lock);
    TAILQ_REMOVE(&running, job, link);
    job->state = JOB_DONE;
    is_last = job->is_dropped;
    atomic_store_explicit(&job->is_done, true, memory_order_release);
    if (!is_last) {
        /* Cannot fail: the counter goes from 0 to 1, once. Under the lock, so that a drop by one
         * who saw is_done does not close the descriptor before. */
        (void)!write(job->done_fd, &one, sizeof(one));
    }
    pthread_mutex_unlock(&job_lock);

    if (is_last) {
        destroy_job(job);
    }
}

/* One backend that keeps silent must not hold all threads. */
static bool may_run_locked(const rp_offload_job_t *job)
{
    const rp_offload_job_t *other;
    int n = 0;

    if (!job->most) {
        return true;
    }
    TAILQ_FOREACH(other, &running, link) {
        n += other->whom == job->whom;
    }
    return n < job->most;
}

static rp_offload_job_t *find_job_locked(void)
{
    rp_offload_job_t *job;

    TAILQ_FOREACH(job, &queue, link) {
        if (may_run_locked(job)) {
            return job;
        }
    }
    return NULL;
}

static rp_offload_job_t *wait_for_job_locked(void)
{
    rp_offload_job_t *job = NULL;

    idle_count++;
    while (!is_stopping && !(job = find_job_locked())) {
        pthread_cond_wait(&has_work, &job_lock);
    }
    idle_count--;
    if (is_stopping) {
        return NULL;
    }
    TAILQ_REMOVE(&queue, job, link);
    queued_count--;
    TAILQ_INSERT_TAIL(&running, job, link);
    job->state = JOB_RUNNING;
    return job;
}

static void *serve_jobs(void *unused)
{
    rp_offload_job_t *job;

    (void)unused;
    for (;;) {
        pthread_mutex_lock(&job_lock);
        job = wait_for_job_locked();
        pthread_mutex_unlock(&job_lock);
        if (!job) {
            return NULL;
        }
        run_job(job);
    }
}

static apr_status_t start_thread_locked(void)
{
    pthread_attr_t attr;
    sigset_t all, before;
    int rv;

    if (thread_count == THREADS_MAX) {
        return APR_SUCCESS; /* a busy one will come round */
    }
    rv = pthread_attr_init(&attr);
    if (rv) {
        return rv;
    }
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    /* The MPM's signals are for its own threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rv = pthread_create(&threads[thread_count], &attr, serve_jobs, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (rv == 0) {
        thread_count++;
        return APR_SUCCESS;
    }
    return thread_count > 0 ? APR_SUCCESS : rv;
}

/* A thread that is left behind may return from its call while the process is still on its way
 * out: this code has to be there then. */
static void pin_module(void)
{
    Dl_info info;

    if (dladdr((void *)&running, &info)) {
        (void)dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
    }
}

static int stop_all(void)
{
    rp_offload_job_t *job;
    int n;

    pthread_mutex_lock(&job_lock);
    is_stopping = true;
    n = thread_count;
    thread_count = 0;
    pthread_cond_broadcast(&has_work);
    TAILQ_FOREACH(job, &running, link) {
        interrupt_locked(job);
    }
    pthread_mutex_unlock(&job_lock);
    return n;
}

static void stop_threads(void)
{
    struct timespec until;
    bool is_left_behind = false;
    int i, n = stop_all();

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += STOP_MILLISECONDS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    for (i = 0; i < n; i++) {
        is_left_behind |= pthread_timedjoin_np(threads[i], NULL, &until) != 0;
    }
    if (is_left_behind) {
        pin_module();
    }
}

static apr_status_t stop_at_exit(void *unused)
{
    (void)unused;
    stop_threads();
    return APR_SUCCESS;
}

apr_status_t rp_offload_child_init(apr_pool_t *pchild)
{
    pthread_mutex_lock(&job_lock);
    is_stopping = false;
    pthread_mutex_unlock(&job_lock);
    apr_pool_cleanup_register(pchild, NULL, stop_at_exit, apr_pool_cleanup_null);
    return APR_SUCCESS;
}

apr_status_t rp_offload_make(rp_offload_job_t **job)
{
    rp_offload_job_t *made;
    apr_pool_t *pool;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    *job = NULL;
    if (fd < 0) {
        return errno;
    }
    if (apr_pool_create_unmanaged(&pool) != APR_SUCCESS) {
        close(fd);
        return APR_ENOMEM;
    }
    apr_pool_tag(pool, "rp_offload");
    made = apr_pcalloc(pool, sizeof(*made));
    made->pool = pool;
    made->done_fd = fd;
    made->socket = -1;
    made->state = JOB_MADE;
    *job = made;
    return APR_SUCCESS;
}

apr_pool_t *rp_offload_pool(rp_offload_job_t *job)
{
    return job->pool;
}

void rp_offload_set_socket(rp_offload_job_t *job, int fd)
{
    job->socket = fd;
}

void rp_offload_set_limit(rp_offload_job_t *job, const void *whom, int most)
{
    job->whom = whom;
    job->most = most;
}

apr_status_t rp_offload_run(rp_offload_job_t *job, rp_offload_fn fn, void *ctx)
{
    apr_status_t rv = APR_SUCCESS;

    job->fn = fn;
    job->ctx = ctx;
    pthread_mutex_lock(&job_lock);
    if (is_stopping) {
        rv = APR_EOF;
    }
    else if (idle_count <= queued_count && may_run_locked(job)) {
        rv = start_thread_locked();
    }
    if (rv == APR_SUCCESS) {
        job->state = JOB_QUEUED;
        TAILQ_INSERT_TAIL(&queue, job, link);
        queued_count++;
        pthread_cond_signal(&has_work);
    }
    pthread_mutex_unlock(&job_lock);
    return rv;
}

int rp_offload_fd(const rp_offload_job_t *job)
{
    return job->done_fd;
}

int rp_offload_is_done(const rp_offload_job_t *job)
{
    return atomic_load_explicit(&job->is_done, memory_order_acquire);
}

void rp_offload_drop(rp_offload_job_t **job)
{
    rp_offload_job_t *j = *job;
    bool is_last = true;

    *job = NULL;
    if (!j) {
        return;
    }
    pthread_mutex_lock(&job_lock);
    if (j->state == JOB_QUEUED) {
        TAILQ_REMOVE(&queue, j, link);
        queued_count--;
    }
    else if (j->state == JOB_RUNNING) {
        j->is_dropped = true;
        is_last = false;
        interrupt_locked(j);
    }
    pthread_mutex_unlock(&job_lock);
    if (is_last) {
        destroy_job(j);
    }
}
