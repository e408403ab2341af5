/* url.c: reading and printing URLs.
 *
 * A URL is typed, pasted and mailed by people, so every refusal says what is wrong with
 * which part. Nothing is guessed: what this file cannot print back it does not accept, and
 * the printed form of what it accepts parses to the same again. A fingerprint that is cut
 * short is an error, never "no fingerprint": that would quietly weaken the check. */
#include "url.h"

#include <stdio.h>
#include <string.h>

typedef struct scheme {
    const char *name;
    bool tls;
    uint16_t port;
} scheme;

static const scheme schemes[] = {
    {"acequia://", true, AQ_URL_PORT},
    {"acequia+ws://", false, AQ_URL_PORT},
    {"wss://", true, 443},
    {"ws://", false, 80},
};

static const char base64url[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static int hex_value(char c)
{
    if (is_digit(c)) {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static const scheme *scheme_find(const char *text)
{
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        if (!strncmp(text, schemes[i].name, strlen(schemes[i].name))) {
            return &schemes[i];
        }
    }
    return NULL;
}

bool aq_url_is(const char *text)
{
    return scheme_find(text) != NULL;
}

/* Decodes %XX from in[0..size). NUL cannot be part of a name. */
static const char *percent_decode(const char *in, size_t size, char *out, size_t out_size)
{
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        int c = (unsigned char)in[i];
        if (c == '?') {
            return "a URL has no '?' part here; in a folder's name write %3F";
        }
        if (c == '%') {
            int high = size - i > 2 ? hex_value(in[i + 1]) : -1;
            int low = size - i > 2 ? hex_value(in[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return "'%' in a URL must be followed by two hexadecimal digits";
            }
            c = high * 16 + low;
            i += 2;
        }
        if (c == 0) {
            return "a folder's name cannot hold a NUL byte (%00)";
        }
        if (n + 1 >= out_size) {
            return "the folder in the URL is too long";
        }
        out[n++] = (char)c;
    }
    out[n] = 0;
    return NULL;
}

static bool fingerprint_from_hex(const char *in, uint8_t out[32])
{
    for (size_t i = 0; i < 32; i++) {
        int high = hex_value(in[2 * i]);
        int low = hex_value(in[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}

/* 43 digits hold 258 bits: the last two must be zero, so that each fingerprint has one
 * spelling. */
static bool fingerprint_from_base64(const char *in, uint8_t out[32])
{
    uint32_t bits = 0;
    unsigned held = 0;
    size_t n = 0;
    for (size_t i = 0; i < 43; i++) {
        const char *digit = strchr(base64url, in[i]);
        if (!in[i] || !digit) {
            return false;
        }
        bits = bits << 6 | (uint32_t)(digit - base64url);
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[n++] = (uint8_t)(bits >> held);
        }
    }
    return (bits & 3) == 0;
}

static void fingerprint_print(const uint8_t in[32], char *out)
{
    uint32_t bits = 0;
    unsigned held = 0;
    for (size_t i = 0; i < 32; i++) {
        bits = bits << 8 | in[i];
        for (held += 8; held >= 6; held -= 6) {
            *out++ = base64url[bits >> (held - 6) & 63];
        }
    }
    *out++ = base64url[bits << (6 - held) & 63];
    *out = 0;
}

static const char *fingerprint_parse(const char *in, aq_url *url)
{
    size_t size = strlen(in);
    bool good = (size == 64 && fingerprint_from_hex(in, url->fingerprint)) ||
                (size == 43 && fingerprint_from_base64(in, url->fingerprint));
    if (!good) {
        return "the fingerprint after '#' must be 43 base64url or 64 hexadecimal digits; "
               "was it cut off?";
    }
    if (!url->tls) {
        return "a plain connection (ws) has no key, so no fingerprint can be checked";
    }
    url->pinned = true;
    return NULL;
}

static const char *port_parse(const char *in, size_t size, uint16_t *port)
{
    unsigned value = 0;
    for (size_t i = 0; i < size; i++) {
        if (!is_digit(in[i]) || i >= 5) {
            return "the port in the URL is not a number from 1 to 65535";
        }
        value = value * 10 + (unsigned)(in[i] - '0');
    }
    if (value == 0 || value > 65535) {
        return "the port in the URL is not a number from 1 to 65535";
    }
    *port = (uint16_t)value;
    return NULL;
}

/* The zone of a link-local address is written %25eth0 (RFC 6874). */
static const char *address_parse(const char *in, size_t size, char *out, size_t out_size)
{
    const char *problem = percent_decode(in, size, out, out_size);
    size_t colons = 0;
    bool zone = false;
    for (const char *c = out; !problem && *c; c++) {
        colons += *c == ':';
        zone |= *c == '%';
        if (!(hex_value(*c) >= 0 || *c == ':' || *c == '.' || zone)) {
            problem = "what stands in brackets in the URL is not an IPv6 address";
        }
    }
    return !problem && colons < 2
               ? "what stands in brackets in the URL is not an IPv6 address"
               : problem;
}

static const char *name_parse(const char *in, size_t size, char *out, size_t out_size)
{
    if (size == 0) {
        return "the URL names no host";
    }
    if (size >= out_size) {
        return "the host in the URL is too long";
    }
    if (memchr(in, '@', size)) {
        return "a URL holds no user or password here; give the token by --token-file";
    }
    for (size_t i = 0; i < size; i++) {
        if (!is_letter(in[i]) && !is_digit(in[i]) && !strchr("-._", in[i])) {
            return "the host in the URL has a character that no host name has; IPv6 "
                   "addresses stand in brackets";
        }
    }
    memcpy(out, in, size);
    out[size] = 0;
    return NULL;
}

/* host[:port] in[0..size) */
static const char *authority_parse(const char *in, size_t size, aq_url *url)
{
    const char *end = in + size;
    const char *colon;
    const char *problem;
    if (size && *in == '[') {
        const char *bracket = memchr(in, ']', size);
        if (!bracket) {
            return "the ']' after the IPv6 address is missing in the URL";
        }
        colon = bracket + 1;
        problem =
            address_parse(in + 1, (size_t)(bracket - in - 1), url->host, sizeof url->host);
    } else {
        colon = memchr(in, ':', size);
        if (memchr(in, '@', size)) {
            colon = end;
        } else if (colon && memchr(colon + 1, ':', (size_t)(end - colon - 1))) {
            return "IPv6 addresses stand in brackets in a URL: [::1]";
        }
        colon = colon ? colon : end;
        problem = name_parse(in, (size_t)(colon - in), url->host, sizeof url->host);
    }
    if (problem || colon == end) {
        return problem;
    }
    if (*colon != ':') {
        return "only ':port' may follow the IPv6 address in the URL";
    }
    return port_parse(colon + 1, (size_t)(end - colon - 1), &url->port);
}

static void slashes_trim(char *text)
{
    size_t start = strspn(text, "/");
    size_t end = strlen(text);
    while (end > start && text[end - 1] == '/') {
        end--;
    }
    memmove(text, text + start, end - start);
    text[end - start] = 0;
}

const char *aq_url_parse(const char *text, aq_url *url)
{
    const scheme *found = scheme_find(text);
    if (!found) {
        return "a URL starts with acequia://, acequia+ws://, wss:// or ws://";
    }
    memset(url, 0, sizeof *url);
    url->tls = found->tls;
    url->port = found->port;

    const char *authority = text + strlen(found->name);
    size_t authority_size = strcspn(authority, "/#?");
    const char *folder = authority + authority_size;
    folder += strspn(folder, "/");
    size_t folder_size = strcspn(folder, "#");
    const char *hash = folder + folder_size;

    const char *problem = authority_parse(authority, authority_size, url);
    if (!problem) {
        problem = percent_decode(folder, folder_size, url->folder, sizeof url->folder);
    }
    if (!problem) {
        slashes_trim(url->folder);
    }
    if (!problem && *hash == '#') {
        problem = fingerprint_parse(hash + 1, url);
    }
    return problem;
}

static bool is_plain(char c)
{
    return is_letter(c) || is_digit(c) || (c && strchr("-._~/!$&'()*+,;=:@", c) != NULL);
}

static char *percent_encode(char *out, const char *in)
{
    static const char digits[] = "0123456789ABCDEF";
    for (; *in; in++) {
        if (is_plain(*in)) {
            *out++ = *in;
        } else {
            *out++ = '%';
            *out++ = digits[(unsigned char)*in >> 4];
            *out++ = digits[(unsigned char)*in & 15];
        }
    }
    *out = 0;
    return out;
}

void aq_url_print(const aq_url *url, char *out)
{
    bool bracket = strchr(url->host, ':') != NULL;
    out +=
        sprintf(out, "%s%s", url->tls ? "acequia://" : "acequia+ws://", bracket ? "[" : "");
    out = percent_encode(out, url->host);
    out += sprintf(out, "%s:%u/", bracket ? "]" : "", (unsigned)url->port);
    out = percent_encode(out, url->folder);
    if (url->pinned) {
        *out++ = '#';
        fingerprint_print(url->fingerprint, out);
    }
}
