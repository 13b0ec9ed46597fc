/* Runs: sorted (key, count) pairs, in memory or in an unnamed temporary file, and how they are merged. */
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 8192      /* keys that are read at once */
#define MOST_OF_RANK 32 /* runs of one rank, which then become one of the next */

static bool open_file(struct hdm_profile *p) {
    char name[4200];
    if (p->file >= 0) return true;
    snprintf(name, sizeof name, "%s/hdm-profile-XXXXXX", p->folder);
    p->file = mkstemp(name);
    if (p->file < 0) return false;
    unlink(name); /* however the process ends, no file stays behind */
    fcntl(p->file, F_SETFD, FD_CLOEXEC);
    return true;
}

static bool write_all(struct hdm_profile *p, const void *bytes, size_t length) {
    const char *at = bytes;
    while (length) {
        ssize_t written = pwrite(p->file, at, length, p->file_end);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return false;
        at += written;
        length -= (size_t)written;
        p->file_end += written;
    }
    return true;
}

static struct run *new_run(struct hdm_profile *p, struct column *c) {
    if (c->run_count == c->run_room) {
        size_t room = c->run_room ? 2 * c->run_room : 8;
        struct run *larger = realloc(c->runs, room * sizeof *larger);
        if (!larger) {
            hdm_fail(p, HDM_NO_MEMORY);
            return NULL;
        }
        c->runs = larger;
        c->run_room = room;
    }
    struct run *run = &c->runs[c->run_count++];
    memset(run, 0, sizeof *run);
    return run;
}

static void write_run(struct hdm_profile *p, struct run *run, int words, const uint64_t *keys, const uint64_t *counts) {
    run->on_disk = true;
    run->keys_at = p->file_end;
    run->counts_at = p->file_end + (int64_t)(run->length * words * 8);
    if (open_file(p) && write_all(p, keys, run->length * words * 8) &&
        (!run->counted || write_all(p, counts, run->length * 8)))
        return;
    run->length = 0;
    hdm_fail(p, HDM_NO_DISK);
}

/* Stores sorted keys as a run: in memory within the budget, else on disk. */
static void add_run(struct hdm_profile *p, struct column *c, const uint64_t *sorted, size_t length) {
    size_t distinct = hdm_count_distinct(sorted, length, c->words), words = c->words;
    struct run *run = length ? new_run(p, c) : NULL;
    if (!run) return;
    run->length = distinct;
    run->counted = distinct < length;
    size_t bytes = distinct * 8 * (words + run->counted);
    bool in_memory = p->held + bytes <= p->budget;
    if (!in_memory && !run->counted) {
        write_run(p, run, (int)words, sorted, NULL);
        return;
    }
    uint64_t *copy = malloc(bytes);
    if (!copy) {
        run->length = 0;
        hdm_fail(p, HDM_NO_MEMORY);
        return;
    }
    uint64_t *counts = run->counted ? copy + distinct * words : NULL;
    if (counts)
        hdm_compress(sorted, length, (int)words, copy, counts);
    else
        memcpy(copy, sorted, bytes);
    if (in_memory) {
        run->keys = copy;
        run->counts = counts;
        p->held += bytes;
        return;
    }
    write_run(p, run, (int)words, copy, counts);
    free(copy);
}

void hdm_keep_slots(struct hdm_profile *p, struct column *c) {
    struct run *run = new_run(p, c);
    size_t words = c->words, n = 0;
    uint64_t *keys = malloc((size_t)c->used * 8 * (words + 1));
    if (!run || !keys) {
        if (run) c->run_count--;
        free(keys);
        hdm_fail(p, HDM_NO_MEMORY);
    } else {
        n = hdm_list_slots(c, true);
        hdm_note_slots(c, (uint32_t)n);
        *run = (struct run){.keys = keys, .counts = keys + n * words, .length = n, .counted = true};
        for (size_t i = 0; i < n; i++) {
            keys[i * words] = c->slots[i].hi;
            if (words == 2) keys[2 * i + 1] = c->slots[i].lo;
            run->counts[i] = c->slots[i].count;
        }
        p->held += n * 8 * (words + 1);
    }
    p->held -= c->capacity * sizeof *c->slots + c->labels_capacity;
    free(c->slots);
    free(c->labels);
    c->slots = NULL;
    c->labels = NULL;
    c->labelled = false;
    c->capacity = c->used = 0;
    c->labels_used = c->labels_capacity = 0;
}

static void drop_run(struct hdm_profile *p, struct column *c, struct run *run) {
    if (run->keys) p->held -= run->length * 8 * (c->words + run->counted);
    free(run->keys);
    run->keys = NULL;
}

void hdm_drop_runs(struct hdm_profile *p, struct column *c) {
    for (size_t i = 0; i < c->run_count; i++) drop_run(p, c, &c->runs[i]);
    free(c->runs);
    c->runs = NULL;
    c->run_count = c->run_room = 0;
}

/* -- Merging ----------------------------------------------------------------------------------------------------- */

struct source { /* a run that is being read */
    uint64_t hi, lo; /* its next key */
    const uint64_t *keys, *counts;
    size_t at, end;   /* in the block */
    size_t left;      /* on disk, after the block */
    int64_t keys_at, counts_at;
    uint64_t *block;
    int stride;       /* words from a key to the next */
    bool counted, mixed;
};

static bool read_all(struct hdm_profile *p, void *into, size_t length, int64_t from) {
    char *at = into;
    while (length) {
        ssize_t got = pread(p->file, at, length, from);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        at += got;
        from += got;
        length -= (size_t)got;
    }
    return true;
}

static bool refill(struct hdm_profile *p, struct source *s, int words) {
    size_t n = s->left < BLOCK ? s->left : BLOCK;
    if (!n) return false;
    size_t bytes = n * (size_t)s->stride * 8;
    if (!read_all(p, s->block, bytes, s->keys_at) ||
        (s->counted && !s->mixed && !read_all(p, s->block + BLOCK * words, n * 8, s->counts_at))) {
        hdm_fail(p, HDM_NO_DISK);
        return false;
    }
    s->keys_at += (int64_t)bytes;
    s->counts_at += (int64_t)(n * 8);
    s->left -= n;
    s->at = 0;
    s->end = n;
    return true;
}

/* Sets hi and lo to the next key; returns false at the run's end. */
static inline bool load_key(struct hdm_profile *p, struct source *s, int words) {
    if (s->at == s->end && !refill(p, s, words)) return false;
    const uint64_t *key = s->keys + s->at * (size_t)s->stride;
    s->hi = key[0];
    s->lo = words == 2 ? key[1] : 0;
    return true;
}

static bool open_source(struct hdm_profile *p, struct source *s, const struct run *run, int words) {
    *s = (struct source){.counted = run->counted, .mixed = run->mixed, .stride = words + run->mixed};
    if (!run->on_disk) {
        s->keys = run->keys;
        s->counts = run->counts;
        s->end = run->length;
        return load_key(p, s, words);
    }
    s->block = malloc(BLOCK * 8 * (size_t)(words + run->counted));
    if (!s->block) {
        hdm_fail(p, HDM_NO_MEMORY);
        return false;
    }
    s->keys = s->block;
    s->counts = run->counted ? s->block + BLOCK * words : NULL;
    s->left = run->length;
    s->keys_at = run->keys_at;
    s->counts_at = run->counts_at;
    return load_key(p, s, words);
}

static inline bool before(const struct source *a, const struct source *b) {
    return a->hi < b->hi || (a->hi == b->hi && a->lo < b->lo);
}

static void sift(struct source **heap, size_t n, size_t i) {
    struct source *moved = heap[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(heap[child + 1], heap[child])) child++;
        if (!before(heap[child], moved)) break;
        heap[i] = heap[child];
    }
    heap[i] = moved;
}

static void merge(struct hdm_profile *p, struct column *c, size_t from, hdm_visitor visit, void *state) {
    int words = c->words;
    size_t n = 0, run_count = c->run_count - from;
    struct source *sources = calloc(run_count + 1, sizeof *sources);
    struct source **heap = calloc(run_count + 1, sizeof *heap);
    if (!sources || !heap) {
        hdm_fail(p, HDM_NO_MEMORY);
        free(sources);
        free(heap);
        return;
    }
    for (size_t i = 0; i < run_count; i++)
        if (open_source(p, &sources[i], &c->runs[from + i], words)) heap[n++] = &sources[i];
    for (size_t i = n / 2; i-- > 0;) sift(heap, n, i);
    uint64_t hi = 0, lo = 0, count = 0;
    for (size_t visited = 1; n; visited++) {
        struct source *first = heap[0];
        if (visited % BLOCK == 0) {
            if (hdm_is_stopped(p)) hdm_fail(p, HDM_STOPPED);
            if (p->failure) break;
        }
        if (count && (first->hi != hi || first->lo != lo)) {
            visit(state, hi, lo, count);
            count = 0;
        }
        hi = first->hi;
        lo = first->lo;
        count += first->mixed    ? first->keys[first->at * (size_t)first->stride + words]
                 : first->counts ? first->counts[first->at]
                                 : 1;
        first->at++;
        if (!load_key(p, first, words)) heap[0] = heap[--n];
        if (n > 1) sift(heap, n, 0);
    }
    if (count) visit(state, hi, lo, count);
    for (size_t i = 0; i < run_count; i++) free(sources[i].block);
    free(sources);
    free(heap);
}

void hdm_merge(struct hdm_profile *p, struct column *c, hdm_visitor visit, void *state) {
    merge(p, c, 0, visit, state);
}

/* -- Many runs become one ---------------------------------------------------------------------------------------- */

struct writer {
    struct hdm_profile *profile;
    struct run *run;
    uint64_t block[3 * BLOCK]; /* keys, each followed by its count */
    size_t filled;
    int words;
};

static void write_block(struct writer *w) {
    if (!write_all(w->profile, w->block, w->filled * 8)) hdm_fail(w->profile, HDM_NO_DISK);
    w->filled = 0;
}

static void visit_writer(void *state, uint64_t hi, uint64_t lo, uint64_t count) {
    struct writer *w = state;
    w->block[w->filled++] = hi;
    if (w->words == 2) w->block[w->filled++] = lo;
    w->block[w->filled++] = count;
    w->run->length++;
    if (w->filled + 3 > 3 * BLOCK) write_block(w);
}

/* Merges the last runs, when there are enough of one rank, into one run of the next rank: a column never has many runs,
 * and each key is merged only a few times. */
static void merge_tail(struct hdm_profile *p, struct column *c) {
    unsigned rank = c->runs[c->run_count - 1].rank;
    size_t from = c->run_count;
    while (from && c->runs[from - 1].rank == rank) from--;
    if (c->run_count - from < MOST_OF_RANK) return;
    struct writer *w = calloc(1, sizeof *w);
    if (!w || !open_file(p)) {
        hdm_fail(p, w ? HDM_NO_DISK : HDM_NO_MEMORY);
        free(w);
        return;
    }
    struct run merged = {.on_disk = true, .counted = true, .mixed = true, .rank = rank + 1, .keys_at = p->file_end};
    *w = (struct writer){.profile = p, .run = &merged, .words = c->words};
    merge(p, c, from, visit_writer, w);
    write_block(w);
    free(w);
    while (c->run_count > from) drop_run(p, c, &c->runs[--c->run_count]);
    c->runs[c->run_count++] = merged;
    merge_tail(p, c);
}

void hdm_keep_run(struct hdm_profile *p, struct column *c, const uint64_t *sorted, size_t length) {
    add_run(p, c, sorted, length);
    if (c->run_count && !p->failure) merge_tail(p, c);
}
