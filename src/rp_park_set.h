/* Private to rp_park_event.c and rp_park_set.c: a client's connection that can be parked, and the set of
 * descriptors that stands for it.
 *
 * Owns:      wait_fd, an epoll descriptor that the MPM polls in place of the client's own, and timer_fd in it.
 * Threads:   one at a time: that in which the connection is.
 * Memory:    the client connection's pool.
 * Blocks?    Never.
 */
#ifndef RP_PARK_SET_H
#define RP_PARK_SET_H

#include "rp_park_int.h"

/* The life of a client's connection as seen from here. */
typedef enum {
    RUNNING, /* in a thread, below our process_connection hook: may be parked */
    ASKED,   /* a request wants to leave the thread; the hook has not returned yet */
    PARKED,  /* the MPM polls our descriptor; the client's is in client_fd */
    RESTING, /* the same between two requests of a client, while many requests are parked */
    OUTSIDE  /* in a thread, but not below our hook: the MPM would not know what to do */
} park_state_t;

struct rp_park_t {
    conn_rec *c;
    park_state_t state;
    int wait_fd;          /* epoll: what the MPM polls */
    int timer_fd;
    int client_fd;        /* the client's own descriptor */
    int shown_fd;         /* what stands in the client's apr_socket_t, unless the MPM has closed it */
    short client_events;  /* registered for it in wait_fd; -1: not registered */
    bool sends_ahead;     /* the client does not wait for its answer with its next request, or has sent its last */
    int backend_fd;       /* registered in wait_fd, or -1 */
    apr_interval_time_t longest; /* the MPM gives up later than this */
    rp_wait_t wait;
    rp_ready_t *ready;
    rp_parking_t *how;    /* of the request that is parked; NULL when there is none any more */
    apr_time_t since;     /* it was parked */
    apr_time_t idle_since; /* the last request ended; 0: none has */
    bool is_ours;          /* the request under way is proxied */
    bool was_parked;       /* the request under way, or the last one */
    unsigned turn;         /* requests in this thread, one after the other, with the one under way */
    bool is_chatty;        /* the client sent its last request right after an answer */
    apr_time_t timer_at;  /* what timer_fd is set to */
    bool is_served;        /* the request that is parked is: by the ferry */
    rp_passenger_t passenger;
    bool hears_stop;      /* it is in the list of those */
    TAILQ_ENTRY(rp_park_t) link;
    bool has_turn;        /* rp_park_line's */
    bool works_without_turn;
    bool in_line;
    bool takes_room;      /* rp_park_room's */
    bool is_resting, is_leaving;
    TAILQ_ENTRY(rp_park_t) place; /* in line, or among those that rest */
    apr_interval_time_t keep_alive; /* the client may be idle so long */
};

/* Put this descriptor into the client's apr_socket_t. */
void rp_park_set_client(rp_park_t *park, int fd);
/* Has the MPM closed one of ours that stood there? Then it is ours no more. */
bool rp_park_note_closed(rp_park_t *park);

/* Make the set where there is none yet; false: out of descriptors. rp_park_close_set is its cleanup. */
bool rp_park_has_set(rp_park_t *park);
apr_status_t rp_park_close_set(void *data);

/* As park->wait says; false: the kernel refuses. */
bool rp_park_watch_backend(rp_park_t *park);
bool rp_park_watch_client(rp_park_t *park);
void rp_park_unwatch_backend(rp_park_t *park);
void rp_park_unwatch_client(rp_park_t *park);
/* Ready at the wait's deadline, or at once. */
void rp_park_set_timer(rp_park_t *park);
void rp_park_wake(const rp_park_t *park);

/* What is ready, into *park->ready; the backend's descriptor leaves the set. */
void rp_park_collect(rp_park_t *park);

#endif
