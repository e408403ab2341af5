/* text.c: escaping, numbers for people, and a JSON writer. The one place that knows which
 * characters are harmless on a terminal.
 */
#include "text.h"
#include <string.h>

/* The character at p and its size in bytes; -1 and 1 for a byte that is not UTF-8. Overlong
 * forms and surrogates are not UTF-8. */
static int32_t char_at(const char *p, size_t *size)
{
    const uint8_t *b = (const uint8_t *)p;
    size_t more = b[0] < 0x80   ? 0
                  : b[0] < 0xc2 ? 4
                  : b[0] < 0xe0 ? 1
                  : b[0] < 0xf0 ? 2
                  : b[0] < 0xf5 ? 3
                                : 4;
    *size = 1;
    if (more == 0) {
        return b[0];
    }
    int32_t c = more == 4 ? -1 : (int32_t)(b[0] & (0x3fu >> more));
    for (size_t i = 1; i <= more && c >= 0; i++) {
        c = (b[i] & 0xc0) == 0x80 ? (c << 6 | (b[i] & 0x3f)) : -1;
    }
    bool bad = c < 0 || (more == 2 && c < 0x800) || (c >= 0xd800 && c <= 0xdfff) ||
               (more == 3 && (c < 0x10000 || c > 0x10ffff));
    if (bad) {
        return -1;
    }
    *size = more + 1;
    return c;
}

/* May it go to a terminal as it is? Not what moves the cursor or turns the writing
 * direction: those let a name show as another. */
static bool is_harmless(int32_t c)
{
    bool control = c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029;
    bool bidi = c == 0x61c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) ||
                (c >= 0x2066 && c <= 0x2069);
    return c >= 0 && !control && !bidi && c != '\\' && c != 0xfeff;
}

static size_t escape_byte(uint8_t byte, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const char *named = "\n\t\r\\", *letters = "ntr\\";
    const char *found = byte == 0 ? NULL : strchr(named, byte);
    out[0] = '\\';
    if (found != NULL) {
        out[1] = letters[found - named];
        return 2;
    }
    out[1] = 'x';
    out[2] = digits[byte >> 4];
    out[3] = digits[byte & 15];
    return 4;
}

/* The character at `text` as it may be shown; at most 16 bytes. */
static size_t escape_char(const char *text, size_t *size, char *out)
{
    int32_t c = char_at(text, size);
    if (is_harmless(c)) {
        memcpy(out, text, *size);
        return *size;
    }
    size_t used = 0;
    for (size_t i = 0; i < *size; i++) {
        used += escape_byte((uint8_t)text[i], out + used);
    }
    return used;
}

size_t text_escape(const char *text, char *out, size_t size)
{
    size_t used = 0, step;
    char shown[4 * TEXT_ESCAPED_MAX];
    for (; *text != '\0'; text += step) {
        size_t more = escape_char(text, &step, shown);
        if (used + more >= size) {
            break;
        }
        memcpy(out + used, shown, more);
        used += more;
    }
    out[used] = '\0';
    return used;
}

void text_print(FILE *out, const char *text)
{
    char shown[4 * TEXT_ESCAPED_MAX];
    for (size_t step; *text != '\0'; text += step) {
        fwrite(shown, 1, escape_char(text, &step, shown), out);
    }
}

size_t text_columns(const char *text)
{
    size_t columns = 0;
    for (; *text != '\0'; text++) {
        columns += ((uint8_t)*text & 0xc0) != 0x80;
    }
    return columns;
}

char *text_count(uint64_t count, char out[TEXT_NUMBER_SIZE])
{
    char digits[TEXT_NUMBER_SIZE];
    int size = snprintf(digits, sizeof digits, "%llu", (unsigned long long)count);
    char *to = out;
    for (int i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0) {
            *to++ = ',';
        }
        *to++ = digits[i];
    }
    *to = '\0';
    return out;
}

char *text_bytes(uint64_t bytes, char out[TEXT_NUMBER_SIZE])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1024) {
        snprintf(out, TEXT_NUMBER_SIZE, "%u B", (unsigned)bytes);
        return out;
    }
    double value = (double)bytes / 1024;
    size_t unit = 0;
    while (value >= 999.5 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1024;
        unit++;
    }
    int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    snprintf(out, TEXT_NUMBER_SIZE, "%.*f %s", decimals, value, units[unit]);
    return out;
}

char *text_seconds(uint64_t seconds, char out[TEXT_NUMBER_SIZE])
{
    unsigned long long hours = seconds / 3600;
    unsigned minutes = (unsigned)(seconds / 60 % 60), rest = (unsigned)(seconds % 60);
    if (hours > 0) {
        snprintf(out, TEXT_NUMBER_SIZE, "%llu:%02u:%02u", hours, minutes, rest);
    } else {
        snprintf(out, TEXT_NUMBER_SIZE, "%u:%02u", minutes, rest);
    }
    return out;
}

/* ---- JSON ------------------------------------------------------------------------- */

static void json_string(FILE *out, const char *text)
{
    fputc('"', out);
    for (size_t size; *text != '\0'; text += size) {
        int32_t c = char_at(text, &size);
        if (c < 0) {
            fputs("\xef\xbf\xbd", out);
        } else if (c == '"' || c == '\\') {
            fprintf(out, "\\%c", (char)c);
        } else if (c < 0x20 || (c >= 0x7f && c < 0xa0)) {
            fprintf(out, "\\u%04x", (unsigned)c);
        } else {
            fwrite(text, 1, size, out);
        }
    }
    fputc('"', out);
}

static void json_name(json *j, const char *name)
{
    fputc(j->first ? '{' : ',', j->out);
    j->first = false;
    json_string(j->out, name);
    fputc(':', j->out);
}

json json_open(FILE *out, const char *event)
{
    json j = {out, true};
    if (event != NULL) {
        json_text(&j, "event", event);
    }
    return j;
}

void json_number(json *j, const char *name, uint64_t value)
{
    json_name(j, name);
    fprintf(j->out, "%llu", (unsigned long long)value);
}

void json_real(json *j, const char *name, double value)
{
    json_name(j, name);
    fprintf(j->out, "%.3f", value);
}

void json_bool(json *j, const char *name, bool value)
{
    json_name(j, name);
    fputs(value ? "true" : "false", j->out);
}

void json_text(json *j, const char *name, const char *value)
{
    json_name(j, name);
    json_string(j->out, value);
}

void json_close(json *j)
{
    fputs(j->first ? "{}\n" : "}\n", j->out);
    fflush(j->out);
}
