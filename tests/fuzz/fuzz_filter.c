/* Rules and a path, both from a stranger: nothing is read beyond them, both ways of asking
 * agree, and what is below an excluded directory is excluded. */
#include "engine/base/bytes.h"
#include "engine/sync/filter.h"

enum { RULES_MAX = 2048, PATH_MAX_HERE = 256 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char rules[RULES_MAX + 1], path[PATH_MAX_HERE + 1];
    size_t cut = 0;
    while (cut < size && data[cut] != 0) {
        cut++;
    }
    if (cut > RULES_MAX || size - cut > PATH_MAX_HERE) {
        return 0;
    }
    aq_copy(rules, data, cut);
    rules[cut] = 0;
    size_t path_size = cut < size ? size - cut - 1 : 0;
    aq_copy(path, data + cut + 1, path_size);
    path[path_size] = 0;

    aq_filter filter;
    const char *bad_line = NULL;
    if (!aq_filter_open(&filter, rules, &bad_line)) {
        if (bad_line < rules || bad_line > rules + cut) {
            __builtin_trap();
        }
        return 0;
    }
    path_size = aq_string_size(path);
    bool passes = aq_filter_passes(&filter, path, false);
    if (passes != aq_filter_allows(rules, path, false) ||
        (passes && !aq_filter_passes_below(&filter, path, false))) {
        __builtin_trap();
    }
    for (size_t i = path_size; passes && i-- > 0;) {
        if (path[i] == '/') {
            path[i] = 0;
            if (!aq_filter_passes(&filter, path, true)) {
                __builtin_trap();
            }
        }
    }
    return 0;
}
