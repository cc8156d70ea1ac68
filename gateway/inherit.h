/*
 * Descriptors that the process is started with: listening sockets of systemd (sd_listen_fds(3)), or all that
 * a predecessor hands over (handover.h). They stand from 3 on, and the environment says what each is.
 */
#ifndef INHERIT_H
#define INHERIT_H

#include "base/log.h"
#include "config/config.h"

enum { INHERIT_WORKERS_MAX = 256, INHERIT_LOOSE_MAX = 16 };
enum inherit_listener { INHERIT_DATA, INHERIT_WEBHOOKS, INHERIT_ADMIN, INHERIT_LISTENERS };
/* "data", "webhooks", "admin": FileDescriptorName= in socket units. */
const char *inherit_name(enum inherit_listener listener);

/* Set by the predecessor: the names of the descriptors from 3 on, with colons between them. Beside those of
 * listeners: */
#define INHERIT_VARIABLE    "ROLLOUT_GATEWAY_HANDOVER"
#define INHERIT_CHANNEL     "channel"     /* to the predecessor */
#define INHERIT_GENERATIONS "generations" /* cache_join */

struct inheritance {
    struct {
        int fds[INHERIT_WORKERS_MAX];
        unsigned count;
    } listeners[INHERIT_LISTENERS];
    int channel, generations;     /* -1: none */
    int loose[INHERIT_LOOSE_MAX]; /* listening, for nobody in particular */
    unsigned loose_count;
};

/* Takes what there is and clears the environment of it. Before any thread. ERR_INVALID: what was handed over
 * is not what the environment says. */
int inherit_take(struct inheritance *in, struct fault *fault) MUST_CHECK;
/* How many workers there have to be, so that somebody accepts from each socket. */
unsigned inherit_workers(const struct inheritance *in, unsigned wanted);
/* Gives the nameless sockets to the listeners that are configured at their addresses, the rest to those that
 * have none yet, in the order of their names above. Then opens what is missing: each listener has one
 * descriptor for each worker, admin one. Errors as server_listen, and ERR_INVALID for sockets too many. */
int inherit_open(struct inheritance *in, const struct config *config, unsigned workers,
                 struct fault *fault) MUST_CHECK;

/* Where it really listens, once it is open: what was inherited may be elsewhere than the configuration says.
 */
enum { INHERIT_ADDRESS_MAX = 256 };
void inherit_address(const struct inheritance *in, enum inherit_listener listener,
                     char text[INHERIT_ADDRESS_MAX]);
/* All three, as members of a line. */
void inherit_tell(const struct inheritance *in, struct log_line *line);

#endif
