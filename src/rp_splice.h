/* rp_splice: pipes through which bytes go from socket to socket inside the kernel (splice(2)).
 *
 * Owns:      the child's pipes: how many there are, and the idle ones.
 * Does not:  know whose the sockets are and what the bytes mean.
 * Threads:   any; a pipe that was taken belongs to its taker.
 * Memory:    two descriptors and at most RP_PIPE_BYTES of the kernel's memory for a pipe; a limited number of them.
 * Blocks?    Never, with sockets that do not.
 */
#ifndef RP_SPLICE_H
#define RP_SPLICE_H

#include <stdbool.h>
#include <sys/types.h>

#include "httpd.h"

/* What one pipe holds at most. */
#define RP_PIPE_BYTES ((size_t)256 * 1024)

typedef struct rp_pipe_t rp_pipe_t;

/* Hook. */
void rp_splice_child_init(apr_pool_t *pchild, server_rec *s);

/* An empty pipe, or NULL where none is to be had (too many in use, no descriptors, the kernel's limit for
 * this user): go on without. */
rp_pipe_t *rp_splice_take(void);
/* Give it back, with whatever it holds. *pipe becomes NULL; NULL is fine. */
void rp_splice_drop(rp_pipe_t **pipe);

/* Bytes in the pipe. */
size_t rp_splice_held(const rp_pipe_t *pipe);
/* Move at most max bytes (> 0) from socket fd into the pipe, which must be empty. As read(2): bytes moved, 0 at
 * the stream's end, -1 with errno (EAGAIN: the socket has none). */
ssize_t rp_splice_fill(rp_pipe_t *pipe, int fd, size_t max);
/* Move what the pipe holds (not nothing) to socket fd. As write(2). */
ssize_t rp_splice_drain(rp_pipe_t *pipe, int fd);

#endif
