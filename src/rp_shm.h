/* rp_shm: what all children know of groups and their members, and of each other's tunnels.
 *
 * Owns:      the shared memory (mod_slotmem_shm's provider; a mapping of its own for children's rows), its
 *            layout, what is kept over restarts; the counts of requests in flight and of tunnels, exact
 *            also when a child is killed;
 *            which members were added at run time.
 * Does not:  decide anything from it (rp_lb).
 * Threads:   any, of any child: every figure is an atomic number, texts are copied under a
 *            sequence number.
 * Memory:    the provider's; addresses are found once after each start and not kept in shared
 *            memory. Nothing in it is used as an address or an index, texts end where we say.
 * Blocks?    Never.
 *
 * A member is found by its server, balancer and URL, so the order of the file does not matter.
 * A graceful restart keeps what it finds under the same name: figures always, and of status,
 * loadfactor, lbset, route, redirect and how its health is checked what was changed at run time, unless the file says
 * something else than it did before. A stop and start keeps it where BalancerPersist is On.
 * So it is with the settings of a group that may be changed at run time, and with members added then.
 * Children of the generation before go on with the memory they have: their requests in flight
 * and tunnels do not count in the new one.
 */
#ifndef RP_SHM_H
#define RP_SHM_H

#include "httpd.h"
#include "ap_mpm.h"

#include "rp_conf.h"

/* Longest route, redirect and the like, with its NUL. */
#define RP_SHM_TEXT 64

/* Numbers of a member. */
typedef enum {
    RP_SHM_STATUS,        /* RP_STATUS_* */
    RP_SHM_WEIGHT,        /* loadfactor x 100 */
    RP_SHM_LBSET,
    RP_SHM_ERROR_TIME,    /* when it failed last; 0: it has not since it last did well */
    RP_SHM_ERROR_KIND,    /* RP_SHM_FAILED_* */
    RP_SHM_RETRIES,       /* attempts in a row that failed, or that were made in spite of an error */
    RP_SHM_PROBE_UNTIL,   /* one request tries it; no other does until then, or until it is done */
    RP_SHM_STATE,         /* the balancing method's */
    RP_SHM_ELECTED,
    RP_SHM_SENT,          /* bytes, heads included */
    RP_SHM_RECEIVED,
    RP_SHM_LATENCY,       /* microseconds until the response head, moving average */
    RP_SHM_LATENCY_TIME,  /* when that was noted last */
    RP_SHM_CHECK_TIME,    /* active checks: when the last one ended */
    RP_SHM_CHECKS_PASSED, /* in a row, while it is out; 0 while it is not */
    RP_SHM_CHECKS_FAILED, /* in a row, while it is in */
    RP_SHM_CHECK_METHOD,  /* RP_CHECK_* */
    RP_SHM_CHECK_INTERVAL, /* microseconds */
    RP_SHM_CHECK_PASSES,  /* in a row that bring the member back */
    RP_SHM_CHECK_FAILS,   /* in a row that take it out */
    RP_SHM_NUMBERS
} rp_shm_number_t;

#define RP_SHM_FAILED_TO_CONNECT 1 /* a connection that succeeds proves it well */
#define RP_SHM_FAILED_TO_ANSWER  2 /* only time does */

typedef enum {
    RP_SHM_ROUTE,
    RP_SHM_REDIRECT,
    RP_SHM_CHECK_URI,
    RP_SHM_CHECK_EXPR, /* name; one that the member's server does not define counts as none */
    RP_SHM_TEXTS
} rp_shm_text_t;

/* Times are apr_time_t. member: of a group, after post_config. */
apr_int64_t rp_shm_get(const rp_backend_t *member, rp_shm_number_t which);
void rp_shm_set(const rp_backend_t *member, rp_shm_number_t which, apr_int64_t value);
/* Returns the new value. */
apr_int64_t rp_shm_add(const rp_backend_t *member, rp_shm_number_t which, apr_int64_t delta);
/* Set it if it has the value expected; false: another child was faster. */
bool rp_shm_swap(const rp_backend_t *member, rp_shm_number_t which, apr_int64_t expected, apr_int64_t value);
/* Set and clear bits of RP_SHM_STATUS; returns what they were. */
unsigned rp_shm_change_status(const rp_backend_t *member, unsigned set, unsigned clear);

/* A copy; "" where a writer has died in the middle. */
void rp_shm_get_text(const rp_backend_t *member, rp_shm_text_t which, char text[RP_SHM_TEXT]);
/* Longer texts are cut. Only under rp_shm_lock. */
void rp_shm_set_text(const rp_backend_t *member, rp_shm_text_t which, const char *text);

/* Settings of a group that may be changed at run time. */
typedef enum {
    RP_SHM_TIMEOUT,      /* rp_group_options_t.timeout */
    RP_SHM_MAX_ATTEMPTS, /* -1: one for each other member */
    RP_SHM_NO_FAILOVER,
    RP_SHM_FORCE_RECOVERY,
    RP_SHM_MEMBERS,      /* how many there are, those added at run time included */
    RP_SHM_SETTINGS
} rp_shm_setting_t;
typedef enum {
    RP_SHM_METHOD,
    RP_SHM_STICKY,      /* "": no cookie */
    RP_SHM_STICKY_PATH, /* "": no parameter */
    RP_SHM_NONCE,       /* proves that a change was begun on a page of the manager; "": none does */
    RP_SHM_GROUP_TEXTS
} rp_shm_group_text_t;

/* As those of members. group: after post_config. */
apr_int64_t rp_shm_get_setting(const rp_group_t *group, rp_shm_setting_t which);
void rp_shm_set_setting(const rp_group_t *group, rp_shm_setting_t which, apr_int64_t value);
void rp_shm_get_group_text(const rp_group_t *group, rp_shm_group_text_t which, char text[RP_SHM_TEXT]);
void rp_shm_set_group_text(const rp_group_t *group, rp_shm_group_text_t which, const char *text);

/* For changes: one thread of all children at a time. Never waits: false, if another has it just now. The parent
 * takes it back from a child that died. */
bool rp_shm_lock(void);
void rp_shm_unlock(void);

/* Longest URL of a member added at run time, with its NUL. */
#define RP_SHM_URL 512

/* Tell all children of a member (rp_conf_read_member's) at the next place of its group, disabled. Under the
 * lock, with all members there are enlisted here. The caller enlists it. False: its URL is too long. */
bool rp_shm_add_member(const rp_group_t *group, const rp_backend_t *member);
/* The URL of member i of the group's roster, one of those added at run time. */
void rp_shm_get_url(const rp_group_t *group, int i, char url[RP_SHM_URL]);

/* Requests in flight. Each enter is followed by one leave in the same child. */
void rp_shm_enter(const rp_backend_t *member);
void rp_shm_leave(const rp_backend_t *member);
unsigned rp_shm_count_busy(const rp_backend_t *member);

/* Tunnels. Each enter that succeeds is followed by one leave in the same child. backend: its id; others than
 * those of the configuration are not counted. */
#define RP_SHM_ALL_TUNNELS (-1)
/* False: there are max (0: no limit) already, in all children of this generation together; those of a child that was
 * killed count until the parent has seen it. There are never more; where several ask for the last place at the same time,
 * all may be refused. */
bool rp_shm_enter_tunnel(int backend, int max);
void rp_shm_leave_tunnel(int backend);
/* In this child. */
unsigned rp_shm_count_own_tunnels(void);

/* What each request reads of each member, which may be many: RP_SHM_STATUS, _LBSET, _WEIGHT. */
typedef struct rp_shm_glance_t {
    apr_uint64_t id; /* made from server, balancer and URL: the same in all children, and after restarts */
    unsigned status;
    short lbset, weight; /* within their bounds */
} rp_shm_glance_t;
/* At the first `count` members of a group, at least 1, in one call. seen: an item for each. */
void rp_shm_glance(const rp_group_t *group, int count, rp_shm_glance_t *seen);
/* As rp_shm_count_busy, of the first `count` members of a group, at least 1, in one call. sums: a number for each. */
void rp_shm_count_all_busy(const rp_group_t *group, int count, unsigned *sums);

/* 16 bytes that stay the same over restarts and are known to this installation only. */
const unsigned char *rp_shm_get_secret(void);

/* Hooks. post_config: after rp_conf's. HTTP_INTERNAL_SERVER_ERROR, logged, where there is no memory. */
int rp_shm_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *main_server);
void rp_shm_child_init(apr_pool_t *pchild, server_rec *s);
/* The parent has seen a child end: its requests are in flight no more, its tunnels gone. */
void rp_shm_child_status(server_rec *s, pid_t pid, ap_generation_t gen, int slot, mpm_child_status status);

#endif
