/* operand.h: what SRC and DST mean: rsync's rules about trailing slashes and single files,
 * turned into two folders and what of them takes part.
 */
#ifndef AQ_CLI_OPERAND_H
#define AQ_CLI_OPERAND_H

#include "host/native/url.h"
#include "acequia.h"

enum { PLACE_PATH_SIZE = 4096 };

typedef struct place {
    bool is_url;
    aq_url url;
    char path[PLACE_PATH_SIZE]; /* else the folder */
    bool exists;                /* a folder here that is there already */
} place;

typedef struct places {
    place source, destination;
    char below[256];  /* only this directory of the source takes part, under its name; "" */
    char chosen[256]; /* only this object of it; "" */
} places;

/* AQ_OK, or `error` (of OPTION_ERROR_SIZE) says what is wrong. Looks, changes nothing. */
aq_status places_resolve(places *p, const char *source, const char *destination,
                         char *error);

/* Where the destination lies below the source, relative to it; NULL: nowhere. Both local.
 * "" if they are the same. */
const char *places_nested(const places *p, char room[PLACE_PATH_SIZE]);

#endif
