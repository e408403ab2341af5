/* path.h: which names and paths may exist at all (docs/SEMANTICS.md, "Paths"). Every name
 * that comes from a peer or a disk passes here before anything else sees it. */
#ifndef AQ_SYNC_PATH_H
#define AQ_SYNC_PATH_H

#include <stdbool.h>
#include <stddef.h>

enum {
    AQ_NAME_MAX = 255,  /* bytes */
    AQ_PATH_MAX = 4096, /* bytes, without the NUL */
    AQ_DEPTH_MAX = 128  /* names in a path */
};

/* Valid UTF-8 of 1 to 255 bytes; not "." or ".."; no '/' and no NUL. */
bool aq_name_is_valid(const char *name, size_t size);
/* A name of our own metadata at the top of a root, which never is content. */
bool aq_name_is_reserved(const char *name, size_t size);
/* Valid names joined by '/', within the limits. "" is not one. */
bool aq_path_is_valid(const char *path, size_t size);
/* A symlink's target is data: any bytes but NUL, at most AQ_PATH_MAX, at least one. */
bool aq_target_is_valid(const char *target, size_t size);

/* Like strcmp on the bytes; the order of names in a directory. */
int aq_name_compare(const char *a, size_t a_size, const char *b, size_t b_size);

#endif
