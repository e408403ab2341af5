/* value.h: the values that options take, from text. False: the text is not such a value,
 * and *out is undefined.
 */
#ifndef AQ_CLI_VALUE_H
#define AQ_CLI_VALUE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct rates {
    uint64_t up; /* bytes a second; 0: no limit */
    uint64_t down;
} rates;

typedef struct delete_limit {
    uint64_t files;   /* UINT64_MAX: no limit */
    uint32_t percent; /* 0: no limit */
} delete_limit;

bool number_parse(const char *text, uint64_t *out);
bool size_parse(const char *text, uint64_t bare_unit, uint64_t *out);
bool time_parse(const char *text, uint64_t *out_ns);
bool rates_parse(const char *text, rates *out);
bool delete_limit_parse(const char *text, delete_limit *out);

#endif
