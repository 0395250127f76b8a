/* Preloaded into httpd under ThreadSanitizer, which knows only what is compiled for it: APR's atomics in its terms. By
 * them httpd hands on pools of connections from one thread to another, so that whatever two connections do with
 * the same memory looks like a race without this.
 */
#include <dlfcn.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "apr_atomic.h"
#include "apr_poll.h"
#include "apr_portable.h"

apr_uint32_t apr_atomic_read32(volatile apr_uint32_t *mem)
{
    return __atomic_load_n(mem, __ATOMIC_SEQ_CST);
}

void apr_atomic_set32(volatile apr_uint32_t *mem, apr_uint32_t val)
{
    __atomic_store_n(mem, val, __ATOMIC_SEQ_CST);
}

apr_uint32_t apr_atomic_add32(volatile apr_uint32_t *mem, apr_uint32_t val)
{
    return __atomic_fetch_add(mem, val, __ATOMIC_SEQ_CST);
}

apr_uint32_t apr_atomic_inc32(volatile apr_uint32_t *mem)
{
    return __atomic_fetch_add(mem, 1, __ATOMIC_SEQ_CST);
}

int apr_atomic_dec32(volatile apr_uint32_t *mem)
{
    return __atomic_sub_fetch(mem, 1, __ATOMIC_SEQ_CST) != 0;
}

apr_uint32_t apr_atomic_cas32(volatile apr_uint32_t *mem, apr_uint32_t with, apr_uint32_t cmp)
{
    (void)__atomic_compare_exchange_n(mem, &cmp, with, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return cmp;
}

apr_uint32_t apr_atomic_xchg32(volatile apr_uint32_t *mem, apr_uint32_t val)
{
    return __atomic_exchange_n(mem, val, __ATOMIC_SEQ_CST);
}

void *apr_atomic_casptr(volatile void **mem, void *with, const void *cmp)
{
    void *was = (void *)cmp;

    (void)__atomic_compare_exchange_n((void *volatile *)mem, &was, with, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return was;
}

void *apr_atomic_xchgptr(volatile void **mem, void *with)
{
    return __atomic_exchange_n((void *volatile *)mem, with, __ATOMIC_SEQ_CST);
}

/* ---- */

void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);

static int is_listening(const apr_pollfd_t *p)
{
    int answer = 0, fd = -1;
    socklen_t len = sizeof(answer);

    return p->desc_type == APR_POLL_SOCKET && apr_os_sock_get(&fd, p->desc.s) == APR_SUCCESS &&
           getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &answer, &len) == 0 && answer;
}

static apr_status_t (*remove_really)(apr_pollset_t *, const apr_pollfd_t *);
static apr_status_t (*close_really)(apr_socket_t *);

/* NULL in a program that httpd runs and that has no APR. */
__attribute__((constructor)) static void find_real(void)
{
    void *found = dlsym(RTLD_NEXT, "apr_pollset_remove");

    memcpy(&remove_really, &found, sizeof(found));
    found = dlsym(RTLD_NEXT, "apr_socket_close");
    memcpy(&close_really, &found, sizeof(found));
}

/* The event MPM's main thread takes the listening sockets out of the pollset while its listener, which sees that begun,
 * closes them. Harmless, and httpd's. */
apr_status_t apr_pollset_remove(apr_pollset_t *set, const apr_pollfd_t *p)
{
    apr_status_t rv;

    if (!is_listening(p)) {
        return remove_really(set, p);
    }
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    rv = remove_really(set, p);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
    return rv;
}

/* When it stops at once, that thread also closes the sockets that its workers are reading (close_worker_sockets). */
apr_status_t apr_socket_close(apr_socket_t *s)
{
    apr_status_t rv;

    if (gettid() != getpid()) {
        return close_really(s);
    }
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
    rv = close_really(s);
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    return rv;
}
