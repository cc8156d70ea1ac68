/* A configuration with all that is read with it: secrets and certificates. */
#ifndef GENERATION_H
#define GENERATION_H

#include <stdatomic.h>

#include "config/config.h"
#include "demo.h"
#include "server/server.h"

/* A configuration in force, with its secrets: shared by the workers, counted. */
struct generation {
    atomic_uint refs;
    struct config *config;
    struct buf client_secret, previous_secret, admin_token;
    struct server_tls *data_tls, *webhooks_tls; /* NULL: plain */
    struct audience *audience;                  /* of the events */
    struct event_plan *plan;                    /* of the gateway's own subscriptions */
};

/* Reads the file, or the defaults without one; with `demo` what the sandbox overrides. NULL: the errors of
 * the configuration were told on stderr, anything else stands in the fault, and *status is the exit status.
 */
struct generation *generation_load(const char *path, struct demo *demo, int *status, struct fault *fault);
void generation_retain(struct generation *generation);
void generation_release(struct generation *generation);
/* Says at start what is weak, or not in force. */
void generation_warn(const struct generation *generation, bool sandbox);

#endif
