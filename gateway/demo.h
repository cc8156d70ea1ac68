/* `serve --sandbox`: the stand-in of Rollout in this process, on a thread of its own, with demo tenants in a
 * data directory that goes when the process ends. */
#ifndef DEMO_H
#define DEMO_H

#include "config/config.h"
#include "store/store.h"

struct demo;

/* Listens on a port of the kernel's choice on loopback. NULL: the fault says why. */
struct demo *demo_create(struct fault *fault);
/* Points every upstream of the configuration at the stand-in, gives it its client id and secret, and lets the
 * stand-in's page call /link/. */
void demo_override(struct demo *demo, struct config *config, struct buf *secret);
const char *demo_data_dir(const struct demo *demo);
/* Maps the demo tenants, subscribes their webhooks to the listener behind webhooks_fd, starts the thread. */
int demo_start(struct demo *demo, struct store *store, int data_fd, int webhooks_fd,
               struct fault *fault) MUST_CHECK;
/* Prints lines to paste. */
void demo_greet(const struct demo *demo, bool tls);
/* Ends the thread, frees, and removes the data directory. NULL is allowed. */
void demo_destroy(struct demo *demo);
void demo_remove_data(const struct demo *demo);

/* `rollout-gateway sandbox`: the stand-in alone, until a signal. Returns the exit status. */
int demo_run_alone(int argc, char **argv);

#endif
