/* path.c: see path.h. UTF-8 as in RFC 3629, section 4: shortest forms only, no surrogates.
 */
#include "engine/sync/path.h"
#include "engine/base/bytes.h"

/* The size of the valid sequence at s, or 0. */
static size_t utf8_next(const uint8_t *s, size_t size)
{
    uint8_t lead = s[0];
    if (lead < 0x80) {
        return 1;
    }
    size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || length > size) {
        return 0;
    }
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    for (size_t i = 1; i < length; i++) {
        if (s[i] < low || s[i] > high) {
            return 0;
        }
        low = 0x80;
        high = 0xbf;
    }
    return length;
}

bool aq_name_is_valid(const char *name, size_t size)
{
    if (size == 0 || size > AQ_NAME_MAX || (size == 1 && name[0] == '.') ||
        (size == 2 && name[0] == '.' && name[1] == '.')) {
        return false;
    }
    const uint8_t *s = (const uint8_t *)name;
    for (size_t i = 0; i < size;) {
        size_t step = utf8_next(s + i, size - i);
        if (step == 0 || s[i] == 0 || s[i] == '/') {
            return false;
        }
        i += step;
    }
    return true;
}

bool aq_name_is_reserved(const char *name, size_t size)
{
    static const char own[] = ".acequia";
    if (size != sizeof own - 1) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        char c = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + ('a' - 'A')) : name[i];
        if (c != own[i]) {
            return false;
        }
    }
    return true;
}

bool aq_path_is_valid(const char *path, size_t size)
{
    if (size == 0 || size > AQ_PATH_MAX) {
        return false;
    }
    unsigned depth = 0;
    for (size_t start = 0; start <= size;) {
        size_t end = start;
        while (end < size && path[end] != '/') {
            end++;
        }
        if (!aq_name_is_valid(path + start, end - start) || ++depth > AQ_DEPTH_MAX) {
            return false;
        }
        start = end + 1;
    }
    return true;
}

bool aq_target_is_valid(const char *target, size_t size)
{
    if (size == 0 || size > AQ_PATH_MAX) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (target[i] == 0) {
            return false;
        }
    }
    return true;
}

int aq_name_compare(const char *a, size_t a_size, const char *b, size_t b_size)
{
    int order = aq_compare(a, b, a_size < b_size ? a_size : b_size);
    return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}
