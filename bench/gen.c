/* gen.c: the benchmarks' data. Everything comes from a seed, so each run, on any machine,
 * measures the same bytes; times are fixed dates.
 *
 *     bench-gen file PATH SIZE              random bytes, which no compression helps with
 *     bench-gen edit KIND OLD NEW           NEW = OLD with one kind of change:
 *         byte1     one byte in the middle is another
 *         ow100     100 pieces of 4 KiB are overwritten, anywhere
 *         ins1m     1 MiB is inserted at 10 %
 *         ins7b     7 bytes are inserted at 10 %, which breaks every alignment
 *         move100m  the first 100 MiB move to the end
 *     bench-gen tree DIR FILES DIRS MEDIAN  small files; sizes log-normal around MEDIAN,
 *                                           3 of 10 random, the rest like source text
 *     bench-gen touch DIR FILES DIRS COUNT  changes 64 bytes in COUNT files of such a tree
 * and prints the sum of their sizes bench-gen digest DIR                  one number for
 * names, sizes, times and contents below DIR, in whatever order they are found
 *
 * The digest shows accidents, not attacks: it must cost little beside what it judges. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER = 1 << 20, PATH_SIZE = 4096, OVERWRITE = 4096, TOUCHED = 64, TOP_DIRS = 32 };
enum { SEED_FILE = 1, SEED_EDIT = 42, SEED_TREE = 7, SEED_TOUCH = 99, FILE_MAX = 8 << 20 };

static const time_t epoch = 1700000000;
static uint64_t buffer[BUFFER / 8];

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* ---- xoshiro256**, seeded by splitmix64 (Blackman, Vigna) */

typedef struct rng {
    uint64_t s[4];
} rng;

static uint64_t rotate(uint64_t x, int by)
{
    return (x << by) | (x >> (64 - by));
}

static void rng_seed(rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = (seed += 0x9e3779b97f4a7c15);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        r->s[i] = z ^ (z >> 31);
    }
}

static uint64_t rng_next(rng *r)
{
    uint64_t *s = r->s, result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

static double rng_unit(rng *r)
{
    return ((double)(rng_next(r) >> 11) + 0.5) / 9007199254740992.0;
}

static void rng_fill(rng *r, uint64_t *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        words[i] = rng_next(r);
    }
}

/* ---- files */

static int file_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0644);
    if (fd < 0) {
        fail(path);
    }
    return fd;
}

static void file_append(int fd, const void *data, size_t size)
{
    for (const char *at = data; size > 0;) {
        ssize_t n = write(fd, at, size);
        if (n <= 0) {
            fail("write");
        }
        at += n;
        size -= (size_t)n;
    }
}

static void file_patch(int fd, const void *data, size_t size, uint64_t offset)
{
    if (pwrite(fd, data, size, (off_t)offset) != (ssize_t)size) {
        fail("pwrite");
    }
}

static void file_copy(int from, int to, uint64_t offset, uint64_t size)
{
    while (size > 0) {
        ssize_t n = pread(from, buffer, size < BUFFER ? size : BUFFER, (off_t)offset);
        if (n <= 0) {
            fail("read");
        }
        file_append(to, buffer, (size_t)n);
        offset += (uint64_t)n;
        size -= (uint64_t)n;
    }
}

static void time_set(const char *path, time_t time)
{
    struct timespec both[2] = {{time, 0}, {time, 0}};
    if (utimensat(AT_FDCWD, path, both, 0) != 0) {
        fail(path);
    }
}

static uint64_t size_parse(const char *text)
{
    char *end;
    uint64_t n = strtoull(text, &end, 10);
    switch (*end) {
    case 'K':
        return n << 10;
    case 'M':
        return n << 20;
    case 'G':
        return n << 30;
    default:
        return n;
    }
}

static void big_make(const char *path, uint64_t size)
{
    rng r;
    rng_seed(&r, SEED_FILE);
    int fd = file_open(path, O_CREAT | O_TRUNC | O_WRONLY);
    for (uint64_t left = size; left > 0;) {
        size_t n = left < BUFFER ? (size_t)left : BUFFER;
        rng_fill(&r, buffer, BUFFER / 8);
        file_append(fd, buffer, n);
        left -= n;
    }
    close(fd);
    time_set(path, epoch);
}

static void big_edit(const char *kind, const char *old, const char *new)
{
    struct stat st;
    rng r;
    rng_seed(&r, SEED_EDIT);
    int in = file_open(old, O_RDONLY), out = file_open(new, O_CREAT | O_TRUNC | O_RDWR);
    if (fstat(in, &st) != 0) {
        fail(old);
    }
    uint64_t size = (uint64_t)st.st_size, tenth = size / 10;
    if (strcmp(kind, "byte1") == 0) {
        unsigned char byte;
        file_copy(in, out, 0, size);
        if (pread(out, &byte, 1, (off_t)(size / 2)) != 1) {
            fail(new);
        }
        byte ^= 0x55;
        file_patch(out, &byte, 1, size / 2);
    } else if (strcmp(kind, "ow100") == 0) {
        file_copy(in, out, 0, size);
        for (int i = 0; i < 100; i++) {
            rng_fill(&r, buffer, OVERWRITE / 8);
            file_patch(out, buffer, OVERWRITE, rng_next(&r) % (size - OVERWRITE));
        }
    } else if (strcmp(kind, "ins1m") == 0) {
        file_copy(in, out, 0, tenth);
        rng_fill(&r, buffer, BUFFER / 8);
        file_append(out, buffer, BUFFER);
        file_copy(in, out, tenth, size - tenth);
    } else if (strcmp(kind, "ins7b") == 0) {
        file_copy(in, out, 0, tenth);
        file_append(out, "7 bytes", 7);
        file_copy(in, out, tenth, size - tenth);
    } else if (strcmp(kind, "move100m") == 0) {
        uint64_t head = (uint64_t)100 << 20;
        head = head > size / 2 ? size / 20 : head;
        file_copy(in, out, head, size - head);
        file_copy(in, out, 0, head);
    } else {
        fprintf(stderr, "bench-gen: no edit is called '%s'\n", kind);
        exit(2);
    }
    close(in);
    close(out);
    time_set(new, epoch + 3600);
}

/* ---- trees: DIR/d07/d039/f000039.bin; directories are filled one after the other */

static const char *const words[] = {
    "int ", "return ", "static ", "struct ", "if (",    "for (",  "{\n",    "}\n",
    "\t",   "->",      "= ",      "0;\n",    "size_t ", "const ", "char *", "buf",
    "len",  "node",    "next",    "err",     "NULL",    "/* ",    "*/\n",   "the ",
    "of ",  "and ",    "to ",     "file ",   "sync ",   "block ", "hash ",  "peer "};

static char path[PATH_SIZE];

static const char *dir_path(const char *root, unsigned dir)
{
    snprintf(path, sizeof path, "%s/d%02u/d%03u", root, dir % TOP_DIRS, dir);
    return path;
}

static const char *top_path(const char *root, unsigned dir)
{
    snprintf(path, sizeof path, "%s/d%02u", root, dir % TOP_DIRS);
    return path;
}

static const char *small_path(const char *root, unsigned dirs, unsigned file)
{
    unsigned dir = file % dirs;
    snprintf(path, sizeof path, "%s/d%02u/d%03u/f%06u.%s", root, dir % TOP_DIRS, dir, file,
             file % 3 != 0 ? "c" : "bin");
    return path;
}

static size_t text_fill(rng *r, char *out, size_t size)
{
    size_t at = 0;
    while (at < size) {
        uint64_t x = rng_next(r);
        for (int i = 0; i < 8 && at < size; i++, x >>= 8) {
            if ((x & 7) == 7) {
                at += (size_t)sprintf(out + at, "%x", (unsigned)(x & 0xff));
            } else {
                size_t n = strlen(words[x & 31]);
                memcpy(out + at, words[x & 31], n);
                at += n;
            }
        }
    }
    return size;
}

/* Fills data, which has 64 bytes to spare behind FILE_MAX, and tells the size. */
static size_t small_fill(unsigned file, double median, char *data)
{
    const double pi = 3.14159265358979323846;
    rng r;
    rng_seed(&r, SEED_TREE * UINT64_C(1000003) + file);
    double u = rng_unit(&r), v = rng_unit(&r);
    double normal = sqrt(-2 * log(u)) * cos(2 * pi * v);
    size_t size = (size_t)exp(log(median) + normal);
    size = size < FILE_MAX ? size : FILE_MAX;
    if (file % 10 >= 3) {
        return text_fill(&r, data, size);
    }
    for (size_t i = 0; i < size; i += 8) {
        uint64_t x = rng_next(&r);
        memcpy(data + i, &x, 8);
    }
    return size;
}

static void tree_make(const char *root, unsigned files, unsigned dirs, double median)
{
    char *data = malloc(FILE_MAX + 64);
    if (data == NULL) {
        fail("bench-gen");
    }
    mkdir(root, 0755);
    for (unsigned dir = 0; dir < dirs; dir++) {
        mkdir(top_path(root, dir), 0755);
        mkdir(dir_path(root, dir), 0755);
        for (unsigned file = dir; file < files; file += dirs) {
            size_t size = small_fill(file, median, data);
            int fd = file_open(small_path(root, dirs, file), O_CREAT | O_TRUNC | O_WRONLY);
            file_append(fd, data, size);
            close(fd);
            time_set(path, epoch + file % 1000);
        }
        time_set(dir_path(root, dir), epoch);
    }
    for (unsigned dir = 0; dir < dirs && dir < TOP_DIRS; dir++) {
        time_set(top_path(root, dir), epoch);
    }
    time_set(root, epoch);
    free(data);
}

static void tree_touch(const char *root, unsigned files, unsigned dirs, unsigned count)
{
    uint64_t run[TOUCHED / 8], sum = 0;
    rng r;
    rng_seed(&r, SEED_TOUCH);
    for (unsigned i = 0; i < count; i++) {
        struct stat st;
        int fd =
            file_open(small_path(root, dirs, (unsigned)(rng_next(&r) % files)), O_RDWR);
        if (fstat(fd, &st) != 0) {
            fail(path);
        }
        size_t size = (size_t)st.st_size, n = size < TOUCHED ? size : TOUCHED;
        rng_fill(&r, run, TOUCHED / 8);
        file_patch(fd, run, n, (size - n) / 2);
        close(fd);
        time_set(path, epoch + 7200);
        sum += size;
    }
    printf("%llu\n", (unsigned long long)sum);
}

/* ---- the digest: a sum over all entries, so their order does not matter */

static uint64_t mix(uint64_t hash, uint64_t word)
{
    return rotate(hash ^ word, 29) * UINT64_C(0x9e3779b97f4a7c15);
}

static uint64_t file_digest(int at, const char *name, uint64_t hash)
{
    int fd = openat(at, name, O_RDONLY | O_CLOEXEC);
    ssize_t n;
    if (fd < 0) {
        fail(name);
    }
    while ((n = read(fd, buffer, BUFFER)) > 0) {
        size_t whole = (size_t)n / 8, rest = (size_t)n % 8;
        uint64_t last = 0;
        for (size_t i = 0; i < whole; i++) {
            hash = mix(hash, buffer[i]);
        }
        memcpy(&last, (const char *)buffer + whole * 8, rest);
        hash = mix(hash, last ^ ((uint64_t)rest << 60));
    }
    if (n < 0) {
        fail(name);
    }
    close(fd);
    return hash;
}

/* parent stands for the directory's path. */
static uint64_t dir_digest(int fd, uint64_t parent)
{
    uint64_t sum = 0;
    struct dirent *entry;
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        fail("fdopendir");
    }
    while ((entry = readdir(dir)) != NULL) {
        const char *name = entry->d_name;
        struct stat st;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
            continue;
        }
        if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            fail(name);
        }
        uint64_t hash = parent;
        for (const char *c = name; *c != '\0'; c++) {
            hash = mix(hash, (unsigned char)*c);
        }
        if (S_ISDIR(st.st_mode)) {
            int sub = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            if (sub < 0) {
                fail(name);
            }
            sum += mix(hash, 1) + dir_digest(sub, hash);
        } else {
            hash = mix(mix(hash, (uint64_t)st.st_size), (uint64_t)st.st_mtim.tv_sec);
            hash = mix(hash, (uint64_t)st.st_mtim.tv_nsec);
            sum += S_ISREG(st.st_mode) ? file_digest(fd, name, hash) : mix(hash, 2);
        }
    }
    closedir(dir);
    return sum;
}

static void digest_print(const char *root)
{
    int fd = file_open(root, O_RDONLY | O_DIRECTORY);
    printf("%016llx\n", (unsigned long long)dir_digest(fd, 0));
}

static unsigned number(const char *text)
{
    return (unsigned)strtoul(text, NULL, 10);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (argc == 4 && strcmp(what, "file") == 0) {
        big_make(argv[2], size_parse(argv[3]));
    } else if (argc == 5 && strcmp(what, "edit") == 0) {
        big_edit(argv[2], argv[3], argv[4]);
    } else if (argc == 6 && strcmp(what, "tree") == 0) {
        tree_make(argv[2], number(argv[3]), number(argv[4]), strtod(argv[5], NULL));
    } else if (argc == 6 && strcmp(what, "touch") == 0) {
        tree_touch(argv[2], number(argv[3]), number(argv[4]), number(argv[5]));
    } else if (argc == 3 && strcmp(what, "digest") == 0) {
        digest_print(argv[2]);
    } else {
        fputs("usage: bench-gen file|edit|tree|touch|digest …, see bench/gen.c\n", stderr);
        return 2;
    }
    return 0;
}
