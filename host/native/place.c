/* place.c: names for the files that belong to a root but must not stand in it. They are
 * found by a hash of what identifies the root, so no list of roots has to be kept; who
 * opens such a file checks whether it is the right one, as far as a mix-up would do harm.
 */
#include "place.h"

#include "beneath.h"
#include "identity.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* FNV-1a; nobody hostile chooses what is hashed. */
static uint64_t hash(const char *key, size_t size, uint64_t seed)
{
    uint64_t value = 0xcbf29ce484222325 ^ seed;
    for (size_t i = 0; i < size; i++) {
        value = (value ^ (uint8_t)key[i]) * 0x100000001b3;
    }
    return value;
}

static aq_status make_directories(const char *path)
{
    char part[AQ_PLACE_SIZE];
    size_t size = strlen(path);
    if (size >= sizeof part) {
        return AQ_NAME;
    }
    for (size_t i = 1; i <= size; i++) {
        if (path[i] != '/' && path[i] != '\0') {
            continue;
        }
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST) {
            struct stat st;
            int error = errno; /* e.g. EROFS, although it exists */
            if (stat(part, &st) != 0) {
                return aq_status_of_errno(error);
            }
        }
    }
    return AQ_OK;
}

aq_status aq_place_make(char out[AQ_PLACE_SIZE], const char *directory, const char *key,
                        size_t size, const char *suffix)
{
    char home[AQ_PLACE_SIZE];
    if (!directory) {
        if (!aq_state_home(home, sizeof home)) {
            return AQ_NOT_FOUND;
        }
        directory = home;
    }
    aq_status status = make_directories(directory);
    if (status != AQ_OK) {
        return status;
    }
    int length =
        snprintf(out, AQ_PLACE_SIZE, "%s/%016" PRIx64 "%016" PRIx64 "%s", directory,
                 hash(key, size, 0), hash(key, size, 0x9e3779b97f4a7c15), suffix);
    return length > 0 && length < AQ_PLACE_SIZE ? AQ_OK : AQ_NAME;
}
