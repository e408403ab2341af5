/* place.h: where a root's private files go. */
#ifndef AQ_NATIVE_PLACE_H
#define AQ_NATIVE_PLACE_H

#include "acequia.h"

enum {
    AQ_PLACE_SIZE = 4096 /* room for any such path */
};

/* `out`: "DIRECTORY/HASH" + suffix, the hash being of key[0..size). The directory is made
 * (mode 700, parents too) if it is missing; NULL: aq_state_home(). NOT_FOUND: there is
 * none; NAME: too long; or what making it said. */
aq_status aq_place_make(char out[AQ_PLACE_SIZE], const char *directory, const char *key,
                        size_t size, const char *suffix);

#endif
