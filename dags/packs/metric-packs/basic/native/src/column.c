/* One column: a table counts its levels while they are few; afterwards a buffer collects its keys. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define ALWAYS_COUNTED 1024   /* slots that a column may have whatever the budget */
#define FIRST_ROOM (1u << 14) /* keys of the first buffer */
#define MOST_LABEL_BYTES 512  /* of one level; 50 characters take 200 at most */
#define FEW_SLOTS 8           /* sorted by insertion */

void hdm_fail(struct hdm_profile *p, enum hdm_failure failure) {
    if (!p->failure) p->failure = failure;
}

/* The place of a key in the table, or the free one where it belongs. */
static uint64_t place(const struct hdm_profile *p, const struct column *c, const uint64_t key[2]) {
    uint64_t mask = c->capacity - 1, i = hdm_fold(key[0] ^ p->secret[0], key[1] ^ p->secret[1]) & mask;
    while (c->slots[i].count && (c->slots[i].hi != key[0] || c->slots[i].lo != key[1])) i = (i + 1) & mask;
    return i;
}

static bool grow_slots(struct hdm_profile *p, struct column *c, uint32_t capacity) {
    struct hdm_level *former = c->slots, *slots = calloc(capacity, sizeof *slots);
    uint32_t former_capacity = c->capacity;
    if (!slots) return false;
    c->slots = slots;
    c->capacity = capacity;
    for (uint32_t i = 0; i < former_capacity; i++)
        if (former[i].count) slots[place(p, c, (uint64_t[]){former[i].hi, former[i].lo})] = former[i];
    free(former);
    p->held += (capacity - former_capacity) * sizeof *slots;
    return true;
}

/* The new level goes into the table. When the table is full, it and all later keys go into the buffer. */
struct hdm_level *hdm_insert(struct hdm_profile *p, struct column *c, uint64_t hi, uint64_t lo) {
    bool is_full = 3 * (c->used + 1) > 2 * c->capacity;
    bool may_grow = c->capacity < ALWAYS_COUNTED || p->held + c->capacity * sizeof *c->slots <= p->budget;
    if (c->used == MOST_COUNTED || (is_full && !may_grow)) {
        hdm_keep_slots(p, c);
        c->values--;
        return hdm_add(p, c, hi, lo);
    }
    if (is_full && !grow_slots(p, c, 2 * c->capacity)) {
        hdm_fail(p, HDM_NO_MEMORY);
        if (c->used + 1 == c->capacity) return NULL;
    }
    struct hdm_level *s = &c->slots[place(p, c, (uint64_t[]){hi, lo})];
    *s = (struct hdm_level){.hi = hi, .lo = lo, .count = 1};
    c->used++;
    return s;
}

/* Enlarges the buffer while the budget allows; else the keys so far become a run. */
void hdm_make_room(struct hdm_profile *p, struct column *c) {
    size_t width = 8u * c->words, more = c->room ? c->room : FIRST_ROOM;
    bool affordable = c->room == 0 || (c->room < MOST_BUFFERED && p->held + more * width <= p->budget);
    if (affordable) {
        uint64_t *larger = realloc(c->buffer == p->spare ? NULL : c->buffer, (c->room + more) * width);
        if (larger) {
            c->buffer = larger;
            c->room += more;
            p->held += more * width;
            return;
        }
        hdm_fail(p, HDM_NO_MEMORY);
    } else {
        hdm_sort(p, c, c->buffer, c->filled);
        hdm_keep_run(p, c, c->buffer, c->filled);
    }
    c->filled = 0;
    if (!c->buffer) c->buffer = p->spare; /* the profile has failed, but the row goes on */
}

void hdm_set_label(struct hdm_profile *p, struct column *c, struct hdm_level *s, const char *text, size_t length) {
    if (length > MOST_LABEL_BYTES) {
        c->labelled = false;
        return;
    }
    if (c->labels_used + length > c->labels_capacity) {
        size_t room = 2 * c->labels_capacity + 1024;
        char *larger = realloc(c->labels, room);
        if (!larger) {
            hdm_fail(p, HDM_NO_MEMORY);
            return;
        }
        p->held += room - c->labels_capacity;
        c->labels = larger;
        c->labels_capacity = room;
    }
    if (length) memcpy(c->labels + c->labels_used, text, length);
    s->label = (uint32_t)c->labels_used;
    s->length = (uint16_t)length;
    c->labels_used += length;
}

void hdm_note_text(struct column *c, const struct text_size *size) {
    if (size->characters < c->shortest) c->shortest = size->characters;
    if (size->characters > c->longest) c->longest = size->characters;
    if (size->trimmed > c->trimmed) c->trimmed = size->trimmed;
    if (size->blanks > c->blanks) c->blanks = size->blanks;
    if (size->trimmed > MOST_LEVEL_CHARACTERS || size->blanks > MOST_LEVEL_BLANKS) c->labelled = false;
    c->characters += size->characters;
    c->length = size->characters;
    c->empty += size->characters == 0;
}

/* Adds a text that the table already has, unless it is long. Returns whether it did. */
static bool add_known(struct hdm_profile *p, struct column *c, const uint64_t key[2]) {
    struct hdm_level *s = c->slots ? &c->slots[place(p, c, key)] : NULL;
    uint32_t characters = s ? s->shape / HDM_SHAPES : MOST_NOTED;
    if (characters == MOST_NOTED || !s->count) return false;
    s->count++;
    hdm_count_value(p, c);
    memcpy(c->now, key, sizeof c->now);
    c->characters += characters;
    c->length = characters;
    c->empty += characters == 0;
    return true;
}

static uint32_t noted(uint32_t characters) { return characters < MOST_NOTED ? characters : MOST_NOTED; }

/* Two texts are equal when their bytes are. Only the first one of a level is measured. */
void hdm_add_text(struct hdm_profile *p, struct column *c, const unsigned char *text, size_t length) {
    uint64_t key[2];
    hdm_hash(p, text, length, key);
    if (add_known(p, c, key)) return;
    struct text_size size;
    uint32_t shape = hdm_shape_of(text, length, &size);
    hdm_note_text(c, &size);
    struct hdm_level *s = hdm_add(p, c, key[0], key[1]);
    if (s)
        s->shape = (uint16_t)(shape + HDM_SHAPES * noted(size.characters));
    else if (!c->slots)
        c->shapes[shape]++;
    if (s && c->labelled) hdm_set_label(p, c, s, (const char *)text, length);
}

void hdm_add_uuid(struct hdm_profile *p, struct column *c, const unsigned char *raw) {
    uint64_t key[2];
    hdm_hash(p, raw, 16, key);
    hdm_note_text(c, &(struct text_size){36, 36, 0});
    struct hdm_level *s = hdm_add(p, c, key[0], key[1]);
    if (!c->slots) c->shapes[hdm_shape_of_uuid(raw)]++;
    if (!s) return;
    s->shape = (uint16_t)hdm_shape_of_uuid(raw);
    char text[36];
    int n = 0;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) text[n++] = '-';
        text[n++] = "0123456789abcdef"[raw[i] >> 4];
        text[n++] = "0123456789abcdef"[raw[i] & 15];
    }
    hdm_set_label(p, c, s, text, 36);
}

static inline bool is_before(const struct hdm_level *x, const struct hdm_level *y) {
    return x->hi != y->hi ? x->hi < y->hi : x->lo < y->lo;
}

/* Merges halves, without qsort's calls for each comparison. spare: room for half of the levels. */
static void sort_slots(struct hdm_level *at, uint32_t length, struct hdm_level *spare) {
    uint32_t half = length / 2, i = 0, j = half, n = 0;
    if (length <= FEW_SLOTS) {
        for (i = 1; i < length; i++) {
            struct hdm_level moved = at[i];
            for (n = i; n > 0 && is_before(&moved, &at[n - 1]); n--) at[n] = at[n - 1];
            at[n] = moved;
        }
        return;
    }
    sort_slots(at, half, spare);
    sort_slots(at + half, length - half, spare);
    memcpy(spare, at, half * sizeof *at);
    while (i < half && j < length) at[n++] = is_before(&at[j], &spare[i]) ? at[j++] : spare[i++];
    memcpy(at + n, spare + i, (half - i) * sizeof *at);
}

uint32_t hdm_list_slots(struct column *c, bool sorted) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->capacity; i++)
        if (c->slots[i].count) c->slots[n++] = c->slots[i];
    if (sorted && c->capacity - n >= n / 2) sort_slots(c->slots, n, c->slots + n); /* a fuller table has failed */
    return n;
}

void hdm_free_buffer(struct hdm_profile *p, struct column *c) {
    if (c->buffer != p->spare) free(c->buffer);
    p->held -= c->room * 8u * c->words;
    c->buffer = NULL;
    c->room = c->filled = 0;
}
