/* rp_conf_member: the members of groups, those that were added at run time among them; a part of rp_conf.h.
 *
 * Owns:      the rosters.
 * Does not:  know how members are doing (rp_shm), choose one (rp_lb).
 * Threads:   any; rp_conf_enlist says what it asks for.
 * Memory:    pconf, and the process's for what is added later.
 * Blocks?    Never.
 */
#ifndef RP_CONF_MEMBER_H
#define RP_CONF_MEMBER_H

#include "rp_conf.h"

/* The members of a group as this process sees them: those of the configuration, and behind them those
 * added while httpd runs. Groups with the same members share one. */
struct rp_roster_t {
    rp_backend_t **members;  /* `size` of them; from `count` on: places, with id, slot and section only */
    int configured;          /* members that the configuration names: they come first */
    int size;                /* these and the places for new ones (growth=) */
    int count;               /* atomic; goes up only: rp_conf_enlist */
    struct rp_group_t *owner; /* counts the members in shared memory */
};

/* Members of a group, i: 0..count-1. A count only grows; before post_config it is the configuration's. */
static inline int rp_conf_count_members(const rp_group_t *group)
{
    return group->roster ? __atomic_load_n(&group->roster->count, __ATOMIC_ACQUIRE) : group->members->nelts;
}
static inline rp_backend_t *const *rp_conf_get_members(const rp_group_t *group)
{
    return group->roster ? group->roster->members : (rp_backend_t **)group->members->elts;
}
static inline rp_backend_t *rp_conf_get_member(const rp_group_t *group, int i)
{
    return rp_conf_get_members(group)[i];
}
/* The member of a group that a URL names, in any spelling; NULL: none. p: for the look-up. */
rp_backend_t *rp_conf_find_member(apr_pool_t *p, const rp_group_t *group, const char *url);
/* Read the URL of a member that is to be added at run time, with everything at its default. NULL, or what is
 * wrong with it: no URL of a backend, or a member already. All memory from p. */
const char *rp_conf_read_member(apr_pool_t *p, const rp_group_t *group, const char *url, rp_backend_t **member);
/* Take what rp_conf_read_member has read as the next member. Its strings live as long as the process. One thread
 * at a time; there is a place free (count < size). */
void rp_conf_enlist(rp_roster_t *roster, const rp_backend_t *member);

#endif
