/* Shared between the files of event/ only. */
#ifndef EVENT_EVENT_INTERNAL_H
#define EVENT_EVENT_INTERNAL_H

#include "event/event.h"

/* Normalises into out, which has room for text.len bytes; returns what was written. */
struct slice event_normalise_into(char *out, struct slice text);
/* Of a normalised event name, borrowed from it: the longest known entity it begins with, else its stem. */
struct slice event_entity_of(struct slice name);
/* What stands before created, updated or deleted; the name itself when none of them ends it, or nothing
 * stands before. */
struct slice event_stem(struct slice name);

#endif
