#include "rp_exchange.h"

#include "http_log.h"
#include "http_protocol.h"
#include "http_request.h"
#include "scoreboard.h"

#include "rp_exchange_int.h"

extern module AP_MODULE_DECLARE_DATA revproxy_module;
APLOG_USE_MODULE(revproxy);

/* How long a thread stays with an exchange that waits, by default and while threads are plenty:
 * longer than backends that are called fast take, even on a busy machine. */
#define PARK_AFTER apr_time_from_msec(10)

/* The request's memory goes while the exchange is under way (its connection was given up). */
static apr_status_t finish_with_pool(void *data)
{
    rp_exchange_finish(data);
    return APR_SUCCESS;
}

static void set_limits(rp_exchange_t *x, rp_h1_limits_t *limits)
{
    const rp_server_conf_t *conf = rp_conf_get_server(x->r->server);
    static const rp_h1_badheader_t bad_headers[] = {
        [RP_BAD_HEADER_ERROR] = RP_H1_BADHEADER_ERROR,
        [RP_BAD_HEADER_IGNORE] = RP_H1_BADHEADER_IGNORE,
        [RP_BAD_HEADER_START_BODY] = RP_H1_BADHEADER_STARTBODY,
    };

    limits->line_max = x->target->backend ? x->target->backend->opt.field_size : 0; /* 0: known with the member */
    limits->head_max = conf->head_max;
    limits->fields_max = (unsigned)conf->fields_max;
    limits->bad_header = bad_headers[conf->bad_header];
}

static rp_exchange_t *make_exchange(request_rec *r, rp_target_t *target)
{
    const rp_server_conf_t *conf = rp_conf_get_server(r->server);
    rp_exchange_t *x = apr_pcalloc(r->pool, sizeof(*x));
    rp_h1_limits_t limits;

    x->magic = RP_EXCHANGE_MAGIC;
    x->r = r;
    x->target = target;
    x->account.attempts = 1;
    x->account.began = apr_time_now();
    target->account = &x->account;
    x->result = OK;
    set_limits(x, &limits);
    rp_client_init(&x->client, r);
    rp_down_init(&x->down, &x->client, &limits, conf->io_buffer_set ? conf->io_buffer : 0);
    x->down.may_splice = rp_conf_get_dir(r)->splice != RP_OFF;
    apr_pool_cleanup_register(r->pool, x, finish_with_pool, apr_pool_cleanup_null);
    return x;
}

/* A client that closes its connection and one that only has no more to send look the same:
 * a FIN. This long, the second kind may still be answered. */
#define HALF_CLOSE_GRACE apr_time_from_msec(50)

/* While nothing is read from the client, its end of stream says that it left (RevProxyClientAbort). */
static void watch_for_leaving(rp_exchange_t *x)
{
    x->wait.client_leaves_unseen = x->client.fd < 0 && x->step != RP_STEP_TUNNEL;
    if (x->step == RP_STEP_TUNNEL || x->client.fd < 0) {
        return;
    }
    /* Its reset is noticed in any case. */
    x->wait.client_fd = x->client.fd;
    if ((x->wait.client_events & POLLIN) || x->client_half_closed || rp_conf_get_dir(x->r)->client_abort == RP_OFF) {
        return;
    }
    if (!x->leaving_at) {
        x->wait.client_events |= POLLRDHUP;
    }
    else if (!x->wait.deadline || x->leaving_at < x->wait.deadline) {
        x->wait.deadline = x->leaving_at;
    }
}

/* true: the client is gone, nobody waits for an answer. */
static bool has_left(rp_exchange_t *x)
{
    /* A tunnel's ends are its own matter. */
    if (x->step == RP_STEP_TUNNEL) {
        return false;
    }
    if (rp_client_is_taken(&x->client) || (x->client.fd < 0 && rp_client_is_gone(&x->client))) {
        return true;
    }
    if (!x->leaving_at && (x->ready.client & POLLRDHUP)) {
        x->leaving_at = apr_time_now() + HALF_CLOSE_GRACE;
        x->writes_before = x->client.writes;
    }
    if (x->leaving_at && x->client.writes != x->writes_before) {
        /* It was sent something and did not reset its connection: it reads. If the reset is only late,
         * that will show. */
        x->client_half_closed = true;
        x->leaving_at = 0;
        x->ready.is_late = false; /* only for its leaving */
    }
    return x->ready.is_client_gone || (x->leaving_at && apr_time_now() >= x->leaving_at);
}

/* Run steps until the exchange ends, or leaves its thread: SUSPENDED then. */
static int run(rp_exchange_t *x)
{
    while (x->step != RP_STEP_END) {
        rp_step_t next = has_left(x) ? rp_exchange_lose_client(x) : rp_exchange_run_step(x);

        if (next != RP_STEP_WAIT) {
            x->step = next;
            continue;
        }
        watch_for_leaving(x);
        if (rp_park_wait(&x->parking, &x->wait, &x->ready) == RP_PARK_SUSPENDED) {
            return SUSPENDED;
        }
    }
    rp_exchange_finish(x);
    return x->result;
}

/* mod_status keeps its books by thread: in this one, the request begins now. */
static void enter_thread(request_rec *r)
{
    ap_time_process_request(r->connection->sbh, START_PREQUEST);
    (void)ap_update_child_status(r->connection->sbh, SERVER_BUSY_WRITE, r);
}

/* Go on with a parked exchange, in whatever thread. What httpd's core does after a handler
 * that was not suspended is done here when the exchange ends. */
static bool resume(void *ctx)
{
    rp_exchange_t *x = ctx;
    request_rec *r = x->r;
    int result;

    AP_DEBUG_ASSERT(x->magic == RP_EXCHANGE_MAGIC);
    enter_thread(r);
    /* The core holds this while hooks run, and gave it up when it saw SUSPENDED. */
    apr_thread_mutex_lock(r->invoke_mtx);
    result = run(x);
    apr_thread_mutex_unlock(r->invoke_mtx);
    if (result == SUSPENDED) {
        return true;
    }
    rp_park_end_request(x->parking.park, r);
    ap_die(result, r);
    ap_process_request_after_handler(r);
    return false;
}

/* A resumable exchange for a client's own request, one that waits in its thread for others. */
static void choose_parking(rp_exchange_t *x)
{
    const rp_dir_conf_t *conf = rp_conf_get_dir(x->r);

    x->parking.park = conf->park == RP_OFF ? NULL : rp_park_find(x->r);
    x->parking.park_after = conf->park_after_set ? conf->park_after : PARK_AFTER;
    x->parking.resume = resume;
    x->parking.ctx = x;
}

int rp_exchange_handler(request_rec *r)
{
    rp_target_t *target;
    rp_exchange_t *x;
    int status = rp_route_get_target(r, &target);

    if (status == DECLINED) {
        rp_park_decline(r);
    }
    if (status != OK) {
        return status;
    }
    x = make_exchange(r, target);
    choose_parking(x);
    status = run(x);
    if (status != SUSPENDED) {
        rp_park_end_request(x->parking.park, r);
    }
    return status;
}
