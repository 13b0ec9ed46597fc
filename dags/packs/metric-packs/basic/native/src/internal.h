/* What the C files share besides hdm_profile.h, the library's public header.
 *
 * How a profile works: a value becomes a key of 8 bytes that sorts as the values do (numbers, dates, times), or of 16
 * bytes (texts: a hash with a random secret; decimals of more than 15 digits: their double, then a hash). While a
 * column has few levels, a hash table counts them. With more, keys are only collected in a buffer; a full buffer is
 * sorted and becomes a run of (key, count), in memory or, beyond the budget, in an unnamed temporary file. At the end
 * each column's runs are merged, and this one sorted pass yields all statistics (extremes, mean, median, distinct
 * values). No text is ever written to disk.
 *
 * Nothing in the library is static and writable: whatever a function needs is in the profile, so that threads can fill
 * profiles of their own at the same time.
 */
#ifndef HDM_PROFILE_INTERNAL_H
#define HDM_PROFILE_INTERNAL_H

#include "hdm_profile.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#ifndef __SIZEOF_INT128__
#error "hdm_profile needs a 64-bit machine, whose compiler has 128-bit integers"
#endif
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "hdm_profile needs a little-endian machine");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "hdm_profile needs 64-bit atomics without locks");
_Static_assert(sizeof(struct hdm_stats) % 8 == 0, "stats.py reads fields of 8 bytes each");
_Static_assert(sizeof(struct hdm_level) == 32, "engine.py reads levels of 32 bytes");

#define MOST_COUNTED HDM_MOST_LEVELS /* levels that a column's table counts; beyond that, keys are sorted */
#define MOST_BUFFERED (4u << 20)     /* keys that a column collects before it sorts them */
#define MOST_LEVEL_CHARACTERS 50     /* a longer text is free text: its column has no levels */
#define MOST_LEVEL_BLANKS 4

/* The shape of a text, one bit each; struct hdm_stats has a count of each. */
enum { HDM_EDGE_BLANK = 1, HDM_UPPER = 2, HDM_LOWER = 4, HDM_MOJIBAKE = 8, HDM_PLACEHOLDER = 16 };
#define HDM_SHAPES 32 /* combinations of them */

/* A level's `shape`: the shape and, times HDM_SHAPES, the text's characters; MOST_NOTED stands for as many or more. */
#define MOST_NOTED (UINT16_MAX / HDM_SHAPES)

struct run { /* sorted keys, each once, with their counts */
    uint64_t *keys;   /* in memory: one or two words each */
    uint64_t *counts; /* NULL: each count is 1 */
    size_t length;
    bool on_disk, counted, mixed; /* mixed: each key is followed by its count */
    unsigned rank;                /* how many times its keys have been merged */
    int64_t keys_at, counts_at;   /* in the temporary file */
};

struct column {
    /* What every value needs comes first, in one or two lines of the processor's cache. */
    uint8_t kind, wire, words; /* words: of a key, 1 or 2 */
    bool labelled;             /* the levels' texts are kept */
    uint32_t capacity;         /* of the table */
    struct hdm_level *slots;   /* a hash table, free where `count` is 0; NULL when there are too many levels */
    uint64_t *buffer;          /* keys, not sorted */
    size_t filled, room;
    uint64_t values;
    uint64_t row;    /* the row of the latest value, from 0 on; UINT64_MAX before the first one */
    uint64_t now[2]; /* the key of the latest value */
    uint32_t length; /* characters of the latest text */

    uint32_t shortest, longest, trimmed, blanks; /* texts */
    uint32_t used;                               /* of the table */
    uint64_t characters, empty;
    int64_t future; /* dates: the first key that lies in the future */
    uint64_t not_finite, misfits;
    uint64_t classes[4]; /* SQLite: integers, reals, texts, blobs */

    uint64_t shapes[HDM_SHAPES]; /* texts of each shape; those of the levels in the table are added at the end */

    uint64_t fractions; /* numbers */
    uint32_t places;

    char *labels; /* the texts of the levels */
    size_t labels_used, labels_capacity;

    struct run *runs;
    size_t run_count, run_room;

    struct kept *kept; /* kept.c: the distinct keys, if they were asked for */
};

struct hdm_profile {
    /* What several threads use. Relaxed order is enough: each field is a number of its own, from which no thread
     * concludes that other memory has been written. A load and a store then cost what plain ones do. */
    _Atomic uint64_t rows, bytes; /* so far; only hdm_count writes them, in the thread that fills the profile */
    _Atomic uint32_t stop;        /* 1 after hdm_stop */

    enum hdm_failure failure; /* the first one */
    uint32_t code;            /* HDM_SERVER_ERROR: its number */
    uint32_t column_count;
    struct column *columns;

    uint64_t secret[4];
    size_t budget, held; /* bytes; held: by tables, buffers and runs */
    size_t kept;         /* bytes of kept keys, which the budget does not include */
    uint64_t *scratch;   /* sort.c: a second array of keys */
    size_t scratch_room; /* words */
    size_t *histograms;  /* sort.c: NULL until the first sort by digits */
    uint64_t spare[2];   /* column.c: the buffer of every column that gets no memory for one */
    int file;            /* the temporary file; -1 until it is needed */
    int64_t file_end;
    char folder[4096];

    unsigned char *carry; /* the beginning of a row or packet whose end has not arrived */
    size_t carried, carry_room;
    uint32_t state; /* of the protocol: postgres.c, mysql.c; ENDED */

    struct across *across; /* rows.c; NULL: nothing is computed across columns */
};

/* -- column.c: one column's table and buffer --------------------------------------------------------------------- */

/* Notes why the profile fails, unless it already has. */
void hdm_fail(struct hdm_profile *p, enum hdm_failure failure);

/* The rest of hdm_add for a level that is not in the table. */
struct hdm_level *hdm_insert(struct hdm_profile *p, struct column *c, uint64_t hi, uint64_t lo);

/* Makes room in the buffer for one more key. It succeeds even when the profile fails. */
void hdm_make_room(struct hdm_profile *p, struct column *c);

/* Stores the text of a level that hdm_add returned. */
void hdm_set_label(struct hdm_profile *p, struct column *c, struct hdm_level *s, const char *text, size_t length);

struct text_size {
    uint32_t characters;
    uint32_t trimmed; /* characters without the blanks at both ends, which are padding */
    uint32_t blanks;  /* U+0020 among the trimmed ones */
};

/* Adds a text's size to the column's, without its level. */
void hdm_note_text(struct column *c, const struct text_size *size);

void hdm_add_text(struct hdm_profile *p, struct column *c, const unsigned char *text, size_t length);
void hdm_add_uuid(struct hdm_profile *p, struct column *c, const unsigned char *raw); /* 16 bytes */

/* Moves the levels to the front of the table, in their order if `sorted`, and returns their number. Afterwards nothing
 * can be added. */
uint32_t hdm_list_slots(struct column *c, bool sorted);

void hdm_free_buffer(struct hdm_profile *p, struct column *c);

/* -- stream.c: rows out of bytes that are cut off anywhere -------------------------------------------------------- */

#define ENDED UINT32_MAX /* the state of a stream that has reached its end mark */

/* Adds the whole rows that `bytes` begin with. Returns how many bytes these have. */
typedef size_t hdm_consumer(struct hdm_profile *p, const unsigned char *bytes, size_t length);

enum hdm_failure hdm_feed(struct hdm_profile *p, hdm_consumer *consume, const unsigned char *bytes, size_t length);

/* -- variant.c: values of columns whose values may be of any class ------------------------------------------------ */

void hdm_add_whole(struct hdm_profile *p, struct column *c, int64_t value);
void hdm_add_real(struct hdm_profile *p, struct column *c, double value);
void hdm_add_string(struct hdm_profile *p, struct column *c, const unsigned char *text, size_t length);
void hdm_add_blob(struct hdm_profile *p, struct column *c);

/* -- text.c ------------------------------------------------------------------------------------------------------- */

void hdm_hash(const struct hdm_profile *p, const unsigned char *text, size_t length, uint64_t key[2]);
struct text_size hdm_measure_text(const unsigned char *text, size_t length);

/* The size of a text that has so many characters, and blanks anywhere. */
struct text_size hdm_size_of(const unsigned char *text, size_t length, uint32_t characters, uint32_t blanks);

/* -- shape.c ------------------------------------------------------------------------------------------------------ */

/* Both return the bits of HDM_EDGE_BLANK to HDM_PLACEHOLDER; the first one measures the text, too. */
uint32_t hdm_shape_of(const unsigned char *text, size_t length, struct text_size *size);
uint32_t hdm_shape_of_uuid(const unsigned char *raw); /* 16 bytes */

/* Adds the first `used` levels of the table, which is about to end, to the column's shapes. */
void hdm_note_slots(struct column *c, uint32_t used);

/* Returns how many of the column's texts have this bit. */
uint64_t hdm_count_shape(const struct column *c, uint32_t bit);

/* -- places.c ----------------------------------------------------------------------------------------------------- */

/* Adds the decimal places of `count` equal doubles, or of one decimal as hdm_add_decimal takes it, to the column's. */
void hdm_note_double(struct column *c, double value, uint64_t count);
void hdm_note_groups(struct column *c, const uint16_t *groups, int length, int weight);

/* -- sort.c ------------------------------------------------------------------------------------------------------- */

void hdm_sort(struct hdm_profile *p, struct column *c, uint64_t *keys, size_t length);
size_t hdm_count_distinct(const uint64_t *keys, size_t length, int words);
void hdm_compress(const uint64_t *keys, size_t length, int words, uint64_t *into, uint64_t *counts);

/* -- runs.c ------------------------------------------------------------------------------------------------------- */

/* Keeps sorted keys as a run. */
void hdm_keep_run(struct hdm_profile *p, struct column *c, const uint64_t *sorted, size_t length);

/* Turns the table into a run, and ends it: from now on the column collects keys. */
void hdm_keep_slots(struct hdm_profile *p, struct column *c);

/* Visits every key of all runs once, in order, with the sum of its counts. */
typedef void (*hdm_visitor)(void *state, uint64_t hi, uint64_t lo, uint64_t count);
void hdm_merge(struct hdm_profile *p, struct column *c, hdm_visitor visit, void *state);

void hdm_drop_runs(struct hdm_profile *p, struct column *c);

/* kept.c */
void hdm_keep_key(struct column *c, uint64_t hi, uint64_t lo);
void hdm_drop_kept(struct column *c);

/* -- decimal.c ---------------------------------------------------------------------------------------------------- */

/* A decimal in groups of four digits, the first one worth 10000^weight, without empty groups at either end. */
void hdm_add_decimal(struct hdm_profile *p, struct column *c, bool negative, const uint16_t *groups, int length,
                     int weight);

/* Both return false for a text that is not a number. */
bool hdm_add_decimal_text(struct hdm_profile *p, struct column *c, const unsigned char *text, size_t length);
bool hdm_read_double(const unsigned char *text, size_t length, double *value);

/* -- date.c ------------------------------------------------------------------------------------------------------- */

enum hdm_form {
    HDM_OTHER_FORM, /* not of the form of a date */
    HDM_NO_MOMENT,  /* of that form, but not in the calendar: 2020-02-30, 0000-00-00 */
    HDM_MOMENT
};

/* They set a number for every text. Unless the text is a moment, it lies below all dates: see HDM_NO_DATES. */
enum hdm_form hdm_read_date(const unsigned char *text, size_t length, int64_t *days);
enum hdm_form hdm_read_datetime(const unsigned char *text, size_t length, int64_t *microseconds); /* in UTC */

/* Accepts negative times and times longer than a day: MySQL's TIME is a duration. */
bool hdm_read_clock(const unsigned char *text, size_t length, int64_t *microseconds);

/* -- stats.c ------------------------------------------------------------------------------------------------------ */

/* Fills in a column's statistics. Its levels, if they are few, can be read afterwards; nothing can be added. */
void hdm_summarise(struct hdm_profile *p, struct column *c, struct hdm_stats *into);

/* -- rows.c ------------------------------------------------------------------------------------------------------- */

/* Takes note of a row that is complete, before it is counted. */
void hdm_note_row(struct hdm_profile *p);

void hdm_summarise_rows(struct hdm_profile *p, const struct hdm_stats *stats);
void hdm_free_rows(struct hdm_profile *p);

/* -- Inline: what every value passes through ---------------------------------------------------------------------- */

/* Adds to `rows` or `bytes`. A load and a store are enough, since only one thread writes: a locked addition would be
 * slower. */
static inline void hdm_count(_Atomic uint64_t *counter, uint64_t more) {
    uint64_t count = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, count + more, memory_order_relaxed);
}

static inline bool hdm_is_stopped(const struct hdm_profile *p) {
    return atomic_load_explicit(&p->stop, memory_order_relaxed) != 0;
}

#define EACH_BYTE UINT64_C(0x0101010101010101)

/* Up to eight bytes; zeros follow. */
static inline uint64_t hdm_load(const unsigned char *at, size_t bytes) {
    uint64_t word = 0;
    memcpy(&word, at, bytes);
    return word;
}

/* The last `left` bytes of a text, fewer than eight and at least one; zeros follow. */
static inline uint64_t hdm_load_end(const unsigned char *text, size_t length, size_t left) {
    const unsigned char *at = text + length - left;
    if (length >= 8) return hdm_load(text + length - 8, 8) >> (8 * (8 - left));
    if (left >= 4) return hdm_load(at, 4) | hdm_load(at + left - 4, 4) << (8 * (left - 4));
    return at[0] | (uint64_t)at[left / 2] << (8 * (left / 2)) | (uint64_t)at[left - 1] << (8 * (left - 1));
}

#define SIGN_BIT (UINT64_C(1) << 63)
#define DAY INT64_C(86400000000)    /* microseconds */
#define FIRST_DAY INT64_C(-730119)  /* 0001-01-01 */
#define AFTER_DAYS INT64_C(2921940) /* 10000-01-01 */
#define END_OF_DAY (DAY + 1000000) /* the end of 23:59:60 */

static inline uint64_t hdm_fold(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t hdm_key_of_integer(int64_t value) { return (uint64_t)value ^ SIGN_BIT; }

static inline uint64_t hdm_key_of_double(double value) {
    uint64_t bits;
    if (value == 0) value = 0; /* -0.0 is 0.0 */
    if (value != value) return UINT64_MAX;
    __builtin_memcpy(&bits, &value, 8);
    return bits & SIGN_BIT ? ~bits : bits | SIGN_BIT;
}

static inline double hdm_double_of_key(uint64_t key) {
    uint64_t bits = key & SIGN_BIT ? key & ~SIGN_BIT : ~key;
    double value;
    __builtin_memcpy(&value, &bits, 8);
    return value;
}

/* Counts a value of the row that is being filled. */
static inline void hdm_count_value(struct hdm_profile *p, struct column *c) {
    c->values++;
    c->row = atomic_load_explicit(&p->rows, memory_order_relaxed);
}

static inline void hdm_end_row(struct hdm_profile *p) {
    if (p->across) hdm_note_row(p);
    hdm_count(&p->rows, 1);
}

/* Counts a value. Returns the level if this is its first value and the table counts it: the caller then sets its label.
 * Else NULL. */
static inline struct hdm_level *hdm_add(struct hdm_profile *p, struct column *c, uint64_t hi, uint64_t lo) {
    hdm_count_value(p, c);
    c->now[0] = hi;
    c->now[1] = lo;
    if (c->slots) {
        uint64_t mask = c->capacity - 1;
        for (uint64_t i = hdm_fold(hi ^ p->secret[0], lo ^ p->secret[1]) & mask;; i = (i + 1) & mask) {
            struct hdm_level *s = &c->slots[i];
            if (!s->count) return hdm_insert(p, c, hi, lo);
            if (s->hi == hi && s->lo == lo) {
                s->count++;
                return NULL;
            }
        }
    }
    if (c->filled >= c->room) hdm_make_room(p, c);
    if (c->words == 1) {
        c->buffer[c->filled++] = hi;
    } else {
        c->buffer[2 * c->filled] = hi;
        c->buffer[2 * c->filled++ + 1] = lo;
    }
    return NULL;
}

static inline void hdm_add_integer(struct hdm_profile *p, struct column *c, int64_t value) {
    hdm_add(p, c, hdm_key_of_integer(value), 0);
}

static inline void hdm_add_double(struct hdm_profile *p, struct column *c, double value) {
    if (!__builtin_isfinite(value)) c->not_finite++;
    hdm_add(p, c, hdm_key_of_double(value), 0);
}

#endif
