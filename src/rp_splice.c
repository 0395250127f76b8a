#include "rp_splice.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "apr_thread_mutex.h"

/* A slow client keeps its pipe while it has bytes for it: this many may, the others get buffers. */
#define PIPES_MAX 256
#define IDLE_MAX 32

struct rp_pipe_t {
    int in, out;      /* bytes go in, and come out */
    size_t held;
    rp_pipe_t *next;  /* idle */
};

static apr_thread_mutex_t *lock; /* protects the rest; NULL: no threads */
static rp_pipe_t *idle;
static unsigned pipes_idle, pipes;

void rp_splice_child_init(apr_pool_t *pchild, server_rec *s)
{
    (void)s;
    if (apr_thread_mutex_create(&lock, APR_THREAD_MUTEX_DEFAULT, pchild) != APR_SUCCESS) {
        lock = NULL;
    }
}

static void enter(void)
{
    if (lock) {
        apr_thread_mutex_lock(lock);
    }
}

static void leave(void)
{
    if (lock) {
        apr_thread_mutex_unlock(lock);
    }
}

static void destroy_pipe(rp_pipe_t *pipe)
{
    close(pipe->in);
    close(pipe->out);
    free(pipe);
}

static rp_pipe_t *make_pipe(void)
{
    rp_pipe_t *pipe;
    int fd[2];

    if (pipe2(fd, O_CLOEXEC | O_NONBLOCK) != 0) {
        return NULL;
    }
    /* A user's pipes beyond its share (/proc/sys/fs/pipe-user-pages-soft) stay small, and are slower than buffers. */
    if (fcntl(fd[1], F_SETPIPE_SZ, (int)RP_PIPE_BYTES) < 0) {
        close(fd[0]);
        close(fd[1]);
        return NULL;
    }
    pipe = ap_calloc(1, sizeof(*pipe));
    pipe->out = fd[0];
    pipe->in = fd[1];
    return pipe;
}

/* An idle pipe; else NULL, and whether one may be made, which is counted then. */
static rp_pipe_t *take_idle(bool *may_make)
{
    rp_pipe_t *pipe;

    enter();
    pipe = idle;
    *may_make = !pipe && pipes < PIPES_MAX;
    if (pipe) {
        idle = pipe->next;
        pipes_idle--;
    }
    else if (*may_make) {
        pipes++;
    }
    leave();
    return pipe;
}

static void forget_one(void)
{
    enter();
    pipes--;
    leave();
}

rp_pipe_t *rp_splice_take(void)
{
    bool may_make;
    rp_pipe_t *pipe = take_idle(&may_make);

    if (!may_make) {
        return pipe;
    }
    pipe = make_pipe();
    if (!pipe) {
        forget_one();
    }
    return pipe;
}

/* false: there are enough. */
static bool keep(rp_pipe_t *pipe)
{
    bool is_kept;

    enter();
    is_kept = pipes_idle < IDLE_MAX;
    if (is_kept) {
        pipe->next = idle;
        idle = pipe;
        pipes_idle++;
    }
    leave();
    return is_kept;
}

void rp_splice_drop(rp_pipe_t **pipe)
{
    rp_pipe_t *p = *pipe;

    *pipe = NULL;
    if (!p || (p->held == 0 && keep(p))) {
        return;
    }
    destroy_pipe(p);
    forget_one();
}

size_t rp_splice_held(const rp_pipe_t *pipe)
{
    return pipe->held;
}

static ssize_t move(int from, int to, size_t max)
{
    ssize_t n;

    do {
        n = splice(from, NULL, to, NULL, max, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    } while (n < 0 && errno == EINTR);
    return n;
}

ssize_t rp_splice_fill(rp_pipe_t *pipe, int fd, size_t max)
{
    ssize_t n = move(fd, pipe->in, max < RP_PIPE_BYTES ? max : RP_PIPE_BYTES);

    if (n > 0) {
        pipe->held += (size_t)n;
    }
    return n;
}

ssize_t rp_splice_drain(rp_pipe_t *pipe, int fd)
{
    ssize_t n = move(pipe->out, fd, pipe->held);

    if (n > 0) {
        pipe->held -= (size_t)n;
    }
    return n;
}
