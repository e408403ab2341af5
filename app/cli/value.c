/* value.c: the values that options take, from text: numbers, sizes, times, rates, limits.
 * Each parser takes the whole text or refuses it; what people may write is in
 * docs/man/acequia.1.scd, "VALUES".
 */
#include "value.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool number_parse(const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    if (!isdigit((unsigned char)text[0])) {
        return false;
    }
    *out = strtoull(text, &end, 10);
    return *end == '\0' && errno == 0;
}

/* A decimal number with an optional fraction: digits, '.', digits. */
static bool decimal_parse(const char *text, double *out, const char **end)
{
    size_t digits = strspn(text, "0123456789"), size = digits;
    if (text[size] == '.') {
        size_t more = strspn(text + size + 1, "0123456789");
        digits += more;
        size += 1 + more;
    }
    if (digits == 0 || size > 40) {
        return false;
    }
    char copy[48];
    memcpy(copy, text, size);
    copy[size] = '\0';
    *out = strtod(copy, NULL);
    *end = text + size;
    return true;
}

/* As rsync: K and KiB are 1,024, KB is 1,000, B is a byte; upper or lower case. */
bool size_parse(const char *text, uint64_t bare_unit, uint64_t *out)
{
    static const char units[] = "KMGTP";
    const char *end;
    double number, unit = (double)bare_unit;
    if (!decimal_parse(text, &number, &end)) {
        return false;
    }
    const char *u = *end == '\0' ? NULL : strchr(units, toupper((unsigned char)*end));
    if (u != NULL) {
        bool decimal = tolower((unsigned char)end[1]) == 'b';
        bool binary = tolower((unsigned char)end[1]) == 'i';
        if (binary && tolower((unsigned char)end[2]) != 'b') {
            return false;
        }
        unit = pow(decimal ? 1000 : 1024, (double)(u - units + 1));
        end += decimal ? 2 : binary ? 3 : 1;
    } else if (*end == 'B' || *end == 'b') {
        unit = 1;
        end++;
    }
    double bytes = number * unit;
    if (*end != '\0' || bytes >= 9.2e18) {
        return false;
    }
    *out = (uint64_t)(bytes + 0.5);
    return true;
}

/* Seconds, or numbers with units: "90", "1.5s", "250ms", "1h30m", "2d". */
bool time_parse(const char *text, uint64_t *out_ns)
{
    static const struct {
        const char *name;
        double seconds;
    } units[] = {{"ms", 0.001}, {"us", 0.000001}, {"ns", 0.000000001}, {"s", 1},
                 {"m", 60},     {"h", 3600},      {"d", 86400}};
    double total = 0;
    const char *at = text;
    do {
        double number;
        if (!decimal_parse(at, &number, &at)) {
            return false;
        }
        if (*at == '\0') {
            total += number; /* a bare number is seconds, also behind a unit */
            break;
        }
        size_t i = 0, size = 0;
        for (; i < sizeof units / sizeof *units; i++) {
            size = strlen(units[i].name);
            if (strncmp(at, units[i].name, size) == 0) {
                break;
            }
        }
        if (i == sizeof units / sizeof *units) {
            return false;
        }
        total += number * units[i].seconds;
        at += size;
    } while (*at != '\0');
    if (total >= 9e9) {
        return false;
    }
    *out_ns = (uint64_t)(total * 1e9 + 0.5);
    return true;
}

static bool rate_parse(const char *text, uint64_t *out)
{
    if (text[0] == '\0' || strcmp(text, "off") == 0) {
        *out = 0;
        return true;
    }
    return size_parse(text, 1024, out);
}

/* "UP:DOWN", or one for both; bare numbers are KiB, as with rsync; 0, off or nothing
 * beside the colon: no limit. */
bool rates_parse(const char *text, rates *out)
{
    char copy[64];
    size_t size = strlen(text);
    if (size >= sizeof copy) {
        return false;
    }
    memcpy(copy, text, size + 1);
    char *colon = strchr(copy, ':');
    if (size == 0 || (size == 1 && colon != NULL)) {
        return false;
    }
    if (colon != NULL) {
        *colon = '\0';
    }
    return rate_parse(copy, &out->up) &&
           rate_parse(colon == NULL ? copy : colon + 1, &out->down);
}

bool delete_limit_parse(const char *text, delete_limit *out)
{
    size_t size = strlen(text);
    *out = (delete_limit){UINT64_MAX, 0};
    if (size > 1 && size < 5 && text[size - 1] == '%') {
        char copy[5];
        uint64_t percent;
        memcpy(copy, text, size - 1);
        copy[size - 1] = '\0';
        if (!number_parse(copy, &percent) || percent > 100) {
            return false;
        }
        /* To the engine 0 percent is no limit; to a person it is none at all. */
        *out = percent == 0 ? (delete_limit){0, 0}
                            : (delete_limit){UINT64_MAX, (uint32_t)percent};
        return true;
    }
    return number_parse(text, &out->files);
}
