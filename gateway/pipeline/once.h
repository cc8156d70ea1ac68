/* What once.c, the visit's side, and once_flight.c share. */
#ifndef PIPELINE_ONCE_H
#define PIPELINE_ONCE_H

#include "internal.h"

/* What a visit with a key knows. */
struct ask {
    struct idempotency_use use;
    struct slice body;
    bool waits;  /* on the flight of another visit's use, or of its own which came to nothing */
    bool orphan; /* an intent of this process is no longer under way: its outcome could not be written */
    bool replays;
    const char *word;
    char *kept; /* heap: the answer that is replayed */
};

/* Counts it, and says it in the access line. */
void once_note(struct visit *visit, enum pipeline_once what);
/* The visit's intent could not be stored: answers. */
void once_refuse_unstored(struct visit *visit, int error);

enum once_boarding {
    ONCE_BEGUN,    /* its intent is being stored, the flight is the visit's own */
    ONCE_WAITS,    /* it stands on the flight of another one's use of the key */
    ONCE_BUSY,     /* there is such a use, and the visit does not wait */
    ONCE_MISMATCH, /* … of another request */
    ONCE_NOMEM,
};
/* A use of a key that is not known from before. */
enum once_boarding once_board(struct visit *visit);

#endif
