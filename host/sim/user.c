/* What users do, in small: files of a few kilobytes are many chunks and pages in the small
 * profile. Contents are drawn to be awkward (constant, periodic, copies of each other with
 * one byte inserted), names to be odd, times to collide as after unpacking an archive.
 *
 * A user's change is durable and complete at once, and the ledger notes it. */
#include "user.h"

#include <strings.h>

#define SIM_YEAR_NS 31536000000000000

typedef struct place {
    const char *path;
    sim_object *parent; /* NULL: the root */
    const char *name;
    sim_object *object;
} place;

typedef struct places {
    place *items;
    size_t count;
    size_t room;
} places;

static void places_add(const sim_user *user, places *all, const char *path,
                       sim_object *parent, const char *name, sim_object *object)
{
    sim_arena *arena = user->disk->arena;
    all->items = sim_arena_grow(arena, all->items, all->count, &all->room, sizeof(place));
    all->items[all->count++] = (place){path, parent, name, object};
    for (size_t i = 0; i < object->entry_count; i++) {
        const sim_entry *entry = &object->entries[i];
        places_add(user, all,
                   sim_arena_print(arena, "%s%s%s", path, *path ? "/" : "", entry->name),
                   object, entry->name, entry->object);
    }
}

static places places_all(const sim_user *user)
{
    places all = {0};
    places_add(user, &all, "", NULL, "", user->disk->root);
    return all;
}

/* One of that type (NONE: any) but the root; NULL when there is none. */
static const place *place_pick(sim_user *user, const places *all, aq_type type)
{
    size_t start = (size_t)sim_chance_below(&user->chance, all->count);
    for (size_t i = 0; i < all->count; i++) {
        const place *at = &all->items[(start + i) % all->count];
        if (at->parent != NULL && (type == AQ_TYPE_NONE || at->object->type == type)) {
            return at;
        }
    }
    return NULL;
}

static sim_object *directory_pick(sim_user *user, const places *all)
{
    const place *at = place_pick(user, all, AQ_TYPE_DIRECTORY);
    return at == NULL || sim_chance_hit(&user->chance, 300) ? user->disk->root : at->object;
}

/* ---- names and contents ----
 */

static const char *name_draw(sim_user *user)
{
    static const char *const odd[] = {
        "a b",      " ",         "-rf",         "new\nline",     ".hidden",     "ünïcödé",
        "日本語",   "tab\tname", "CON",         "a:b",           "trailing.",   "x.skip",
        "*",        "[a]",       "back\\slash", "..data",        "...",         "A",
        "a",        "%41",       "'\"$(x)",     "e\xcc\x81.md",  "\xc3\xa9.md", "y.skip",
        "?",        "~",         "#",           "a.displaced-1", "bad\xff",     ".acequia",
        ".Acequia",
    };
    sim_chance *chance = &user->chance;
    if (sim_chance_hit(chance, 150)) {
        return odd[sim_chance_below(chance, sizeof odd / sizeof *odd)];
    }
    if (sim_chance_hit(chance, 10)) {
        char *name = sim_arena_take(user->disk->arena, 256);
        memset(name, 'l' + (int)sim_chance_below(chance, 5), 255);
        return name;
    }
    unsigned long long number = sim_chance_below(chance, 30);
    int letter = 'a' + (int)sim_chance_below(chance, 4);
    return sim_arena_print(user->disk->arena, "%c%llu", letter, number);
}

static void bytes_draw(sim_user *user, uint8_t *data, size_t size)
{
    sim_chance *chance = &user->chance;
    uint64_t kind = sim_chance_below(chance, 10);
    uint64_t period = kind == 1 ? sim_chance_range(chance, 2, 200) : 1;
    uint8_t constant = kind == 2 ? 0 : (uint8_t)sim_chance_next(chance);
    uint64_t seed = sim_chance_next(chance);
    for (size_t i = 0; i < size; i++) {
        if (kind == 0 || kind == 2) {
            data[i] = constant;
        } else if (kind == 1) {
            data[i] = (uint8_t)sim_mix(seed + i % period);
        } else {
            data[i] = (uint8_t)sim_mix(seed + i);
        }
    }
}

static size_t size_draw(sim_user *user)
{
    sim_chance *chance = &user->chance;
    return sim_chance_hit(chance, 80) ? 0
                                      : (size_t)sim_chance_skewed(chance, user->file_max);
}

/* ---- single changes ----
 */

static void done(sim_user *user, uint64_t now_ns)
{
    sim_ledger_note(user->ledger, user->disk, user->is_source, now_ns);
    sim_disk_sync_names(user->disk);
}

static void file_fill(sim_user *user, sim_object *file, const uint8_t *data, size_t size)
{
    sim_disk_truncate(user->disk, file, size);
    sim_disk_write(user->disk, file, 0, data, size);
    sim_disk_sync_object(user->disk, file);
}

static sim_object *symlink_make(sim_user *user)
{
    static const char *const targets[] = {"a1",      "../b2", "/etc/passwd",
                                          "nowhere", "..",    "a b"};
    sim_object *object = sim_disk_make(user->disk, AQ_TYPE_SYMLINK);
    const char *target = targets[sim_chance_below(&user->chance, 6)];
    object->data = sim_arena_copy(user->disk->arena, target, strlen(target) + 1);
    object->size = object->room = strlen(target);
    return object;
}

static sim_object *file_make(sim_user *user, const places *all)
{
    sim_chance *chance = &user->chance;
    sim_object *file = sim_disk_make(user->disk, AQ_TYPE_FILE);
    const place *model = place_pick(user, all, AQ_TYPE_FILE);
    if (model != NULL && sim_chance_hit(chance, 200)) {
        file_fill(user, file, model->object->data, model->object->size);
    } else {
        size_t size = size_draw(user);
        uint8_t *data = sim_arena_take(user->disk->arena, size);
        bytes_draw(user, data, size);
        file_fill(user, file, data, size);
    }
    int64_t mtime = file->mtime_ns;
    if (sim_chance_hit(chance, 300)) {
        mtime = 1600000000000000000 + (int64_t)sim_chance_below(chance, 3) * SIM_YEAR_NS;
    }
    sim_disk_touch(user->disk, file, mtime, sim_chance_hit(chance, 100));
    return file;
}

static void edit_create(sim_user *user, const places *all)
{
    sim_object *directory = directory_pick(user, all);
    const char *name = name_draw(user);
    if (!user->is_source && directory == user->disk->root &&
        strcasecmp(name, ".acequia") == 0) {
        return; /* where the slots are */
    }
    sim_object *there = sim_object_entry(directory, name);
    if (there != NULL && there->type == AQ_TYPE_DIRECTORY &&
        sim_chance_hit(&user->chance, 700)) {
        return;
    }
    uint64_t kind = sim_chance_below(&user->chance, 20);
    sim_object *made = sim_chance_hit(&user->chance, 15)
                           ? sim_disk_make(user->disk, AQ_TYPE_OTHER)
                       : kind < 4 ? sim_disk_make(user->disk, AQ_TYPE_DIRECTORY)
                       : kind < 6 ? symlink_make(user)
                                  : file_make(user, all);
    sim_disk_link(user->disk, directory, name, made);
}

static void edit_remove(sim_user *user, const places *all)
{
    const place *at = place_pick(user, all, AQ_TYPE_NONE);
    if (at != NULL && (at->object->entry_count < 4 || sim_chance_hit(&user->chance, 100))) {
        sim_disk_link(user->disk, at->parent, at->name, NULL);
    }
}

static bool is_below(const sim_object *above, const sim_object *object)
{
    if (above == object) {
        return true;
    }
    for (size_t i = 0; i < above->entry_count; i++) {
        if (is_below(above->entries[i].object, object)) {
            return true;
        }
    }
    return false;
}

static void edit_rename(sim_user *user, const places *all)
{
    const place *at = place_pick(user, all, AQ_TYPE_NONE);
    sim_object *to = directory_pick(user, all);
    if (at == NULL || is_below(at->object, to)) {
        return;
    }
    const char *name = sim_chance_hit(&user->chance, 500) ? at->name : name_draw(user);
    if (!user->is_source && strcasecmp(name, ".acequia") == 0) {
        return;
    }
    sim_object *there = sim_object_entry(to, name);
    if (there != NULL &&
        (there->type == AQ_TYPE_DIRECTORY || is_below(at->object, there))) {
        return;
    }
    sim_disk_link(user->disk, at->parent, at->name, NULL);
    sim_disk_link(user->disk, to, name, at->object);
    sim_disk_touch(user->disk, at->object, at->object->mtime_ns, at->object->exec);
}

static void edit_swap(sim_user *user, const places *all)
{
    const place *a = place_pick(user, all, AQ_TYPE_NONE);
    const place *b = place_pick(user, all, AQ_TYPE_NONE);
    if (a == NULL || b == NULL || is_below(a->object, b->object) ||
        is_below(b->object, a->object)) {
        return;
    }
    sim_disk_link(user->disk, a->parent, a->name, b->object);
    sim_disk_link(user->disk, b->parent, b->name, a->object);
    sim_disk_touch(user->disk, a->object, a->object->mtime_ns, a->object->exec);
    sim_disk_touch(user->disk, b->object, b->object->mtime_ns, b->object->exec);
}

static void edit_meta(sim_user *user, const places *all)
{
    const place *at = place_pick(user, all, AQ_TYPE_FILE);
    if (at != NULL) {
        bool flips = sim_chance_hit(&user->chance, 500);
        int64_t mtime = flips ? at->object->mtime_ns : ++user->disk->clock_ns;
        sim_disk_touch(user->disk, at->object, mtime, at->object->exec ^ flips);
    }
}

/* The new bytes of a file: the old ones with something inserted, cut out, overwritten,
 * moved, appended, or all new. */
static size_t bytes_edit(sim_user *user, const sim_object *file, uint8_t *to)
{
    sim_chance *chance = &user->chance;
    size_t size = file->size;
    size_t at = (size_t)sim_chance_below(chance, size + 1);
    size_t some = (size_t)sim_chance_skewed(chance, 1 + user->file_max / 4);
    size_t cut = some < size - at ? some : size - at;
    sim_copy(to, file->data, at);
    switch (sim_chance_below(chance, 6)) {
    case 0: /* insert */
        bytes_draw(user, to + at, some);
        sim_copy(to + at + some, file->data + at, size - at);
        return size + some;
    case 1: /* cut out */
        sim_copy(to + at, file->data + at + cut, size - at - cut);
        return size - cut;
    case 2: /* truncate */
        return at;
    case 3: /* append */
        sim_copy(to + at, file->data + at, size - at);
        bytes_draw(user, to + size, some);
        return size + some;
    case 4: /* the end comes first */
        sim_copy(to, file->data + at, size - at);
        sim_copy(to + size - at, file->data, at);
        return size;
    default: /* overwrite */
        sim_copy(to + at, file->data + at, size - at);
        bytes_draw(user, to + at, cut);
        return size;
    }
}

static void content_edit(sim_user *user, const place *at)
{
    sim_object *file = at->object;
    uint8_t *data = sim_arena_take(user->disk->arena, file->size + user->file_max + 1);
    size_t size = bytes_edit(user, file, data);
    if (size > user->file_max * 2) {
        size = user->file_max;
    }
    if (sim_chance_hit(&user->chance, 500)) {
        bool exec = file->exec;
        file = sim_disk_make(user->disk, AQ_TYPE_FILE);
        file->exec = exec;
        sim_disk_link(user->disk, at->parent, at->name, file);
    }
    int64_t mtime = at->object->mtime_ns;
    file_fill(user, file, data, size);
    if (user->ledger->twins && sim_chance_hit(&user->chance, 200)) {
        sim_disk_touch(user->disk, file, mtime, file->exec);
    }
}

static void edit_content(sim_user *user, const places *all)
{
    const place *at = place_pick(user, all, AQ_TYPE_FILE);
    if (at != NULL) {
        content_edit(user, at);
    }
}

void sim_user_edit(sim_user *user, uint64_t now_ns)
{
    places all = places_all(user);
    uint64_t kind = sim_chance_below(&user->chance, 100);
    if (kind < 45) {
        edit_content(user, &all);
    } else if (kind < 65) {
        if (all.count < user->path_max) {
            edit_create(user, &all);
        }
    } else if (kind < 75) {
        edit_remove(user, &all);
    } else if (kind < 87) {
        edit_rename(user, &all);
    } else if (kind < 93) {
        edit_swap(user, &all);
    } else {
        edit_meta(user, &all);
    }
    done(user, now_ns);
}

void sim_user_rename(sim_user *user, uint64_t now_ns)
{
    places all = places_all(user);
    edit_rename(user, &all);
    done(user, now_ns);
}

void sim_user_edit_file(sim_user *user, const char *path, uint64_t now_ns)
{
    places all = places_all(user);
    for (size_t i = 0; i < all.count; i++) {
        if (strcmp(all.items[i].path, path) == 0 &&
            all.items[i].object->type == AQ_TYPE_FILE) {
            content_edit(user, &all.items[i]);
        }
    }
    done(user, now_ns);
}

/* ---- whole trees ----
 */

void sim_user_populate(sim_user *user, uint64_t count, uint64_t now_ns)
{
    for (uint64_t i = 0; i < count; i++) {
        places all = places_all(user);
        edit_create(user, &all);
    }
    done(user, now_ns);
}

static void object_clone(sim_user *user, sim_object *to, const sim_object *from)
{
    if (from->type == AQ_TYPE_FILE) {
        file_fill(user, to, from->data, from->size);
    } else if (from->type == AQ_TYPE_SYMLINK) {
        to->data = sim_arena_copy(user->disk->arena, from->data, from->size + 1);
        to->size = to->room = from->size;
    }
    for (size_t i = 0; i < from->entry_count; i++) {
        const sim_entry *entry = &from->entries[i];
        sim_object *made = sim_disk_make(user->disk, entry->object->type);
        sim_disk_link(user->disk, to, entry->name, made);
        object_clone(user, made, entry->object);
    }
    sim_disk_touch(user->disk, to, from->mtime_ns, from->exec);
}

void sim_user_clone(sim_user *user, const sim_user *from, uint64_t now_ns)
{
    object_clone(user, user->disk->root, from->disk->root);
    done(user, now_ns);
}
