/* text.h: making text for people and for programs. Nothing that came from a peer, a file
 * system or a user reaches a terminal unescaped (docs/SAFETY: escapes and bidi in logs).
 */
#ifndef AQ_CLI_TEXT_H
#define AQ_CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
    TEXT_ESCAPED_MAX = 4, /* the most that one byte becomes: \x1b */
    TEXT_NUMBER_SIZE = 32
};

/* Copies, with control characters, bidirectional controls and bytes that are not UTF-8 as
 * \n, \t, \x1b…, and a backslash as two. Cuts to fit between characters; returns the size.
 */
size_t text_escape(const char *text, char *out, size_t size);
void text_print(FILE *out, const char *text);

/* How many columns an escaped text takes, at one a character. */
size_t text_columns(const char *text);

/* "1,234,567", "12.3 MiB", "1:02:03". Each returns `out`. */
char *text_count(uint64_t count, char out[TEXT_NUMBER_SIZE]);
char *text_bytes(uint64_t bytes, char out[TEXT_NUMBER_SIZE]);
char *text_seconds(uint64_t seconds, char out[TEXT_NUMBER_SIZE]);

/* One JSON object on a line of its own, written as it is built:
 *
 *     json j = json_open(stdout, "done");
 *     json_number(&j, "files", 3);
 *     json_close(&j);                            {"event":"done","files":3}
 */
typedef struct json {
    FILE *out;
    bool first;
} json;

json json_open(FILE *out, const char *event); /* NULL: no "event" */
void json_number(json *j, const char *name, uint64_t value);
void json_real(json *j, const char *name, double value);
void json_bool(json *j, const char *name, bool value);
void json_text(json *j, const char *name, const char *value); /* bytes not UTF-8: U+FFFD */
void json_close(json *j);                                     /* ends the line, flushes */

#endif
