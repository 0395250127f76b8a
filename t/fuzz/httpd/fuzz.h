/* Licensed under the Apache License, Version 2.0; see the file LICENSE. */

/* What the fuzz targets that run inside httpd share. */
#ifndef RP_FUZZ_H
#define RP_FUZZ_H

#include <poll.h>
#include <stdint.h>
#include <string.h>

#include "httpd.h"

#include "../must.h"

/* One input. */
int fuzz_conversation(const uint8_t *bytes, size_t size);
int fuzz_config(const uint8_t *bytes, size_t size);

extern apr_pool_t *fuzz_pool;    /* the process's */
extern server_rec *fuzz_server;

/* Called while the module waits: fds as for poll(2), us: how long at most, negative: for ever. */
int fuzz_wait(struct pollfd *fds, unsigned n, apr_interval_time_t us);
/* Called when httpd is through with a request. */
void fuzz_after_request(void);
/* Move the module's clock. */
void fuzz_pass_time(apr_interval_time_t us);

#endif
