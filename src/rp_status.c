#include "rp_status.h"

#include <unistd.h>

#include "http_protocol.h"
#include "mod_status.h"

#include "rp_conf.h"
#include "rp_park.h"
#include "rp_pool.h"
#include "rp_tunnel.h"

typedef struct figure_t {
    const char *name;  /* in the short form, behind "RevProxy" */
    const char *title; /* on the page */
    long value;
} figure_t;

static void print_short(request_rec *r, const figure_t *figures, int n)
{
    int i;

    for (i = 0; i < n; i++) {
        ap_rprintf(r, "RevProxy%s: %ld\n", figures[i].name, figures[i].value);
    }
}

static void print_page(request_rec *r, const figure_t *figures, int n)
{
    int i;

    ap_rputs("<hr />\n<h2>Reverse proxy</h2>\n<table border=\"0\"><tr>", r);
    for (i = 0; i < n; i++) {
        ap_rprintf(r, "<th>%s</th>", figures[i].title);
    }
    ap_rputs("</tr>\n<tr>", r);
    for (i = 0; i < n; i++) {
        ap_rprintf(r, "<td>%ld</td>", figures[i].value);
    }
    ap_rputs("</tr></table>\n", r);
}

int rp_status_hook(request_rec *r, int flags)
{
    rp_pool_count_t conns;

    if (!rp_conf_get_server(r->server)->status_mode) {
        return DECLINED;
    }
    rp_status_print_groups(r, flags);
    rp_pool_count(&conns);
    {
        const figure_t figures[] = {
            {"Child", "Child", (long)getpid()},
            {"Parked", "Parked requests", (long)rp_park_count()},
            {"Tunnels", "Tunnels", (long)rp_tunnel_count()},
            {"ConnsIdle", "Idle connections", conns.idle},
            {"ConnsLeased", "Connections in use", conns.leased},
            {"Waiting", "Requests waiting for a connection", conns.waiting},
            {"DynamicBackends", "Backends made at run time", conns.dynamic},
        };
        const int n = (int)(sizeof(figures) / sizeof(figures[0]));

        if (flags & AP_STATUS_SHORT) {
            print_short(r, figures, n);
        }
        else {
            print_page(r, figures, n);
        }
    }
    return OK;
}
