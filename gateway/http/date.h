/* HTTP dates (RFC 9110 5.6.7), all three formats in, IMF-fixdate out. Pure; seconds since 1970 UTC. */
#ifndef HTTP_DATE_H
#define HTTP_DATE_H

#include "base/slice.h"

enum { DATE_LENGTH = 29 };

/* "Sun, 06 Nov 1994 08:49:37 GMT", rfc850 and asctime; names in any case, and UTC for GMT, as RFC 9111 4.2
 * asks. The weekday must be one, but need not fit the date. `now` resolves two-digit years: more than 50
 * years ahead is the past century. A leap second is the second before it. False for anything else, impossible
 * days included. */
bool date_parse(struct slice text, int64_t now, int64_t *out);
/* Writes DATE_LENGTH bytes, no NUL. Times outside the years 0 to 9999 become the nearest one inside. */
void date_format(int64_t seconds, char out[DATE_LENGTH]);

#endif
