/* Whether the data listener asks who calls: a question to the configuration and to the store at once. */
#ifndef CALLERS_H
#define CALLERS_H

#include "config/config.h"
#include "store/store.h"

/* ERR_DENIED with a line when other machines can reach the data listener and nobody would ask them who they
 * are (contract 2): no service key was ever made, no client_ca, no allow_anonymous. ERR_CORRUPT, ERR_IO,
 * ERR_NOMEM. `store` has CALLER_TABLES at `caller_table`. */
int callers_check(const struct config *config, struct store *store, int caller_table,
                  struct fault *fault) MUST_CHECK;
/* The same for `check`, which opens the store of data_dir for reading. No store: no keys. */
int callers_check_stored(const struct config *config, struct fault *fault) MUST_CHECK;

#endif
