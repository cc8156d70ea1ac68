/* Whether the data listener asks who calls: a question to the configuration and to the store at once. */
#ifndef CALLERS_H
#define CALLERS_H

#include "config/config.h"
#include "inherit.h"
#include "store/store.h"

/* ERR_DENIED with a line when other machines can reach the data listener and nobody would ask them who they
 * are (contract 2): no service key was ever made, no client_ca, no allow_anonymous; or the admin listener,
 * and it has no token. ERR_CORRUPT, ERR_IO, ERR_NOMEM. What counts is where the sockets really are: some may
 * have been inherited. `store` has CALLER_TABLES at `caller_table`. */
int callers_check(const struct config *config, const struct inheritance *sockets, struct store *store,
                  int caller_table, struct fault *fault) MUST_CHECK;
/* That of the data listener for `check`, which opens the store of data_dir for reading. No store: no keys. */
int callers_check_stored(const struct config *config, struct fault *fault) MUST_CHECK;

#endif
