/* hash.c: `acequia hash`, which prints what b3sum prints: the plain BLAKE3 of each file, by
 * which a person can check a sync with another tool. Without files it reads stdin.
 *
 * A name with a newline or backslash is escaped, and its line starts with a backslash, as
 * b3sum and coreutils do. On a terminal the other control characters are escaped as well.
 */
#include "command.h"
#include "fail.h"
#include "text.h"
#include "engine/data/blake3.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK_SIZE = 1 << 20 };

static uint8_t block[BLOCK_SIZE];

/* Reads to the end; false with errno. */
static bool descriptor_hash(int fd, aq_hash *hash, uint64_t *size)
{
    aq_blake3_hasher hasher;
    aq_blake3_init(&hasher);
    *size = 0;
    for (;;) {
        ssize_t got = read(fd, block, sizeof block);
        if (got > 0) {
            aq_blake3_update(&hasher, block, (size_t)got);
            *size += (uint64_t)got;
        } else if (got == 0) {
            aq_blake3_final(&hasher, hash);
            return true;
        } else if (errno != EINTR) {
            return false;
        }
    }
}

static bool file_hash(const char *name, aq_hash *hash, uint64_t *size)
{
    if (strcmp(name, "-") == 0) {
        return descriptor_hash(STDIN_FILENO, hash, size);
    }
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return false;
    }
    bool good = descriptor_hash(fd, hash, size);
    int error = errno;
    close(fd);
    errno = error;
    return good;
}

static void line_print(const char *hex, const char *name)
{
    bool marked = strpbrk(name, "\\\n") != NULL;
    printf("%s%s  ", marked ? "\\" : "", hex);
    if (isatty(STDOUT_FILENO)) {
        text_print(stdout, name);
        putchar('\n');
        return;
    }
    for (const char *p = name; *p != '\0'; p++) {
        if (*p == '\n' || *p == '\\') {
            putchar('\\');
        }
        putchar(*p == '\n' ? 'n' : *p);
    }
    putchar('\n');
}

static aq_status errno_status(int error)
{
    switch (error) {
    case ENOENT:
        return AQ_NOT_FOUND;
    case EACCES:
    case EPERM:
        return AQ_ACCESS;
    case EISDIR:
        return AQ_UNSUPPORTED;
    default:
        return AQ_IO;
    }
}

int hash_run(const options *o)
{
    static const char *const only_stdin[] = {"-"};
    const char *const *names = o->operands.count == 0 ? only_stdin : o->operands.items;
    size_t count = o->operands.count == 0 ? 1 : o->operands.count;
    int code = 0;
    for (size_t i = 0; i < count; i++) {
        aq_hash hash;
        uint64_t size;
        if (!file_hash(names[i], &hash, &size)) {
            int failed = fail_with(o->json, errno_status(errno), "%s: %s", names[i],
                                   strerror(errno));
            code = code == 0 ? failed : code;
            continue;
        }
        char hex[65];
        for (size_t k = 0; k < sizeof hash.bytes; k++) {
            snprintf(hex + 2 * k, 3, "%02x", hash.bytes[k]);
        }
        if (o->json) {
            json j = json_open(stdout, "hash");
            json_text(&j, "path", names[i]);
            json_number(&j, "size", size);
            json_text(&j, "blake3", hex);
            json_close(&j);
        } else {
            line_print(hex, names[i]);
        }
    }
    return code;
}
