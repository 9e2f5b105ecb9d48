#include "presence.h"

#include "process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct file_head {
    char magic[8];
    uint64_t universe, records;
};

static const char MAGIC[8] = "BENCHKEY";

static size_t word_count(uint64_t universe) {
    return universe / 64 + 1;
}

void presence_create(struct presence *presence, uint64_t universe) {
    presence->known = true;
    presence->universe = universe;
    presence->records = 0;
    presence->words = allocate(word_count(universe) * sizeof(uint64_t));
    memset((void *)presence->words, 0, word_count(universe) * sizeof(uint64_t));
}

void presence_destroy(struct presence *presence) {
    free((void *)presence->words);
    presence->words = NULL;
}

static void path_of(const char *db, char *path, size_t size) {
    size_t length = strlen(db);
    while (length > 1 && db[length - 1] == '/') length--;
    if ((size_t)snprintf(path, size, "%.*s.keys", (int)length, db) >= size) die("path too long: %s", db);
}

void presence_save(const struct presence *presence, const char *db) {
    if (!presence->known) return;
    char path[4096];
    path_of(db, path, sizeof path);
    FILE *file = fopen(path, "wb");
    struct file_head head = { .universe = presence->universe, .records = presence->records };
    memcpy(head.magic, MAGIC, sizeof head.magic);
    size_t words = word_count(presence->universe);
    if (!file || fwrite(&head, sizeof head, 1, file) != 1 ||
        fwrite((void *)presence->words, sizeof(uint64_t), words, file) != words || fclose(file) != 0)
        die("cannot write %s", path);
}

bool presence_load(struct presence *presence, const char *db) {
    char path[4096];
    path_of(db, path, sizeof path);
    FILE *file = fopen(path, "rb");
    if (!file) return false;
    struct file_head head;
    bool right = fread(&head, sizeof head, 1, file) == 1 && memcmp(head.magic, MAGIC, sizeof head.magic) == 0 &&
                 head.universe <= 1ull << 37;
    if (right) {
        presence_create(presence, head.universe);
        presence->records = head.records;
        size_t words = word_count(head.universe);
        right = fread((void *)presence->words, sizeof(uint64_t), words, file) == words;
        if (!right) presence_destroy(presence);
    }
    fclose(file);
    return right;
}

void presence_forget(const char *db) {
    char path[4096];
    path_of(db, path, sizeof path);
    remove(path);
}

void presence_merge(struct presence *into, const struct presence *from) {
    for (size_t i = 0; i < word_count(into->universe); i++) {
        uint64_t bits = atomic_load_explicit(&from->words[i], memory_order_relaxed);
        atomic_store_explicit(&into->words[i], atomic_load_explicit(&into->words[i], memory_order_relaxed) | bits,
                memory_order_relaxed);
    }
}

uint64_t presence_count(const struct presence *presence) {
    uint64_t count = 0;
    for (size_t i = 0; i < word_count(presence->universe); i++)
        count += (uint64_t)__builtin_popcountll(atomic_load_explicit(&presence->words[i], memory_order_relaxed));
    return count;
}

uint64_t presence_at_or_after(const struct presence *presence, uint64_t index) {
    if (index >= presence->universe) return PRESENCE_NONE;
    size_t word = index / 64;
    uint64_t bits = atomic_load_explicit(&presence->words[word], memory_order_relaxed) & (~0ull << (index % 64));
    while (bits == 0) {
        if (++word >= word_count(presence->universe)) return PRESENCE_NONE;
        bits = atomic_load_explicit(&presence->words[word], memory_order_relaxed);
    }
    return word * 64 + (uint64_t)__builtin_ctzll(bits);
}

uint64_t presence_before(const struct presence *presence, uint64_t index) {
    if (index == 0) return PRESENCE_NONE;
    if (index > presence->universe) index = presence->universe;
    index--;
    size_t word = index / 64;
    uint64_t bits = atomic_load_explicit(&presence->words[word], memory_order_relaxed) & (~0ull >> (63 - index % 64));
    while (bits == 0) {
        if (word-- == 0) return PRESENCE_NONE;
        bits = atomic_load_explicit(&presence->words[word], memory_order_relaxed);
    }
    return word * 64 + 63 - (uint64_t)__builtin_clzll(bits);
}
