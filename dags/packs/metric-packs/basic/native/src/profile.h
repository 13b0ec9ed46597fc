/* What is known of one table while its rows pass by: exact statistics of each column, in bounded memory.
 *
 * A value becomes a key: 8 bytes that sort like the values (numbers, dates, times), or 16 bytes (texts: a hash with a
 * random secret; decimals beyond 15 digits: their double, then a hash). The levels of a column are counted in a table
 * as long as they are few. After that keys are only collected, sorted, and kept as runs: of (key, count) in memory, or
 * in an unnamed temporary file once the budget is used up. At the end each column's runs are merged, and everything
 * else (extremes, mean, median, distinct values) follows from that one sorted pass. No text is ever written to disk.
 */
#ifndef HDM_PROFILE_H
#define HDM_PROFILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define API __attribute__((visibility("default")))

/* The numbers are those of hdm_profile/__init__.py. */
enum kind { OPAQUE, INTEGER, UNSIGNED, FLOAT, DECIMAL, TEXT, DATE, DATETIME, TIME };

enum failure { FINE, NO_MEMORY, NO_DISK, MALFORMED, STOPPED, SERVER_ERROR };

#define MOST_COUNTED 5000          /* levels that are counted in a table; more are sorted */
#define MOST_BUFFERED (4u << 20)   /* keys that are collected before they are sorted */
#define MOST_LEVEL_CHARACTERS 50   /* a longer text is free text: its column has no levels */
#define MOST_LEVEL_BLANKS 4

struct slot {  /* one level */
    uint64_t hi, lo;
    uint64_t count;  /* 0: the slot is free */
    uint32_t label;  /* where its text starts in `labels` */
    uint32_t length; /* bytes of its text */
};

struct run {  /* sorted keys, each once, with their counts */
    uint64_t *keys;    /* in memory: one or two words each */
    uint64_t *counts;  /* NULL: each count is 1 */
    size_t length;
    bool on_disk, counted, mixed; /* mixed: each key is followed by its count */
    unsigned rank;                /* how many times its keys were merged */
    int64_t keys_at, counts_at; /* in the temporary file */
};

struct column {
    uint8_t kind, wire, words; /* words: of a key, 1 or 2 */
    bool labelled;             /* the levels' texts are kept */
    int64_t future;            /* dates: the first key that lies in the future */
    uint64_t values, not_finite, misfits;
    uint64_t classes[4];       /* SQLite: integers, reals, texts, blobs */

    uint64_t characters, empty; /* texts */
    uint32_t shortest, longest, blanks;

    struct slot *slots; /* NULL: there are too many levels */
    uint32_t capacity, used;
    char *labels;
    size_t labels_used, labels_capacity;

    uint64_t *buffer; /* keys, not sorted */
    size_t filled, room;

    struct run *runs;
    size_t run_count, run_room;
};

struct profile {
    _Atomic uint64_t rows, bytes; /* so far; other threads read them: hdm_count writes them */
    _Atomic uint32_t stop;        /* another thread sets it: end soon; hdm_is_stopped reads it */
    uint32_t failure;              /* the first thing that went wrong */
    uint32_t code;                 /* SERVER_ERROR: its number */
    uint32_t column_count;
    struct column *columns;

    uint64_t secret[4];
    size_t budget, held; /* bytes of buffers and runs */
    uint64_t *scratch;    /* sort.c: a second array of keys */
    size_t scratch_room;  /* words */
    size_t *histograms;   /* sort.c: NULL until the first sort by digits */
    uint64_t spare[2];    /* column.c: where a column's keys go that cannot have a buffer */
    int file;            /* -1: none yet */
    int64_t file_end;
    char folder[4096];

    unsigned char *carry; /* the start of a row whose end has not come */
    size_t carried, carry_room;
    uint32_t state;       /* of the protocol */
};

struct stats {
    uint64_t values, levels, first, second, third, finite, zeros, negatives;
    double minimum, maximum, mean, deviation, median, p01, p99; /* NaN: not defined */
    int64_t earliest, latest;                                   /* earliest > latest: not defined */
    uint64_t future, shortest, longest, characters, empty, blanks;
    uint64_t misfits, classes[4];
};

/* column.c: adding a value */
void hdm_fail(struct profile *p, enum failure failure);
struct slot *hdm_insert(struct profile *p, struct column *c, uint64_t hi, uint64_t lo);
void hdm_make_room(struct profile *p, struct column *c);
void hdm_set_label(struct profile *p, struct column *c, struct slot *s, const char *text, size_t length);
void hdm_note_text(struct column *c, uint32_t characters, uint32_t blanks);
void hdm_add_text(struct profile *p, struct column *c, const unsigned char *text, size_t length);
void hdm_add_uuid(struct profile *p, struct column *c, const unsigned char *raw);
uint32_t hdm_list_slots(struct column *c, bool sorted);
void hdm_free_buffer(struct profile *p, struct column *c);

/* stream.c: rows out of bytes that are cut anywhere */
#define ENDED UINT32_MAX /* the state of a stream that has come to its end mark */
typedef size_t hdm_consumer(struct profile *p, const unsigned char *bytes, size_t length);
uint32_t hdm_feed(struct profile *p, hdm_consumer *consume, const unsigned char *bytes, size_t length);

/* variant.c: values of columns that may hold anything */
void hdm_add_whole(struct profile *p, struct column *c, int64_t value);
void hdm_add_real(struct profile *p, struct column *c, double value);
void hdm_add_string(struct profile *p, struct column *c, const unsigned char *text, size_t length);
void hdm_add_blob(struct profile *p, struct column *c);

/* text.c */
void hdm_hash(const struct profile *p, const unsigned char *text, size_t length, uint64_t key[2]);
void hdm_measure_text(const unsigned char *text, size_t length, uint32_t *characters, uint32_t *blanks);

/* sort.c */
void hdm_sort(struct profile *p, struct column *c, uint64_t *keys, size_t length);
size_t hdm_count_distinct(const uint64_t *keys, size_t length, int words);
void hdm_compress(const uint64_t *keys, size_t length, int words, uint64_t *into, uint64_t *counts);

/* runs.c */
void hdm_keep_run(struct profile *p, struct column *c, const uint64_t *sorted, size_t length);
void hdm_keep_slots(struct profile *p, struct column *c);
typedef void (*hdm_visitor)(void *state, uint64_t hi, uint64_t lo, uint64_t count);
void hdm_merge(struct profile *p, struct column *c, hdm_visitor visit, void *state);
void hdm_drop_runs(struct profile *p, struct column *c);

/* decimal.c: groups of four decimal digits, the first one worth 10000^weight, none empty at either end */
bool hdm_add_decimal_text(struct profile *p, struct column *c, const unsigned char *text, size_t length);
bool hdm_read_double(const unsigned char *text, size_t length, double *value);
void hdm_add_decimal(struct profile *p, struct column *c, bool negative, const uint16_t *groups, int length, int weight);

/* date.c: what texts say; false where they are no date or time */
bool hdm_read_date(const unsigned char *text, size_t length, int64_t *days);
bool hdm_read_clock(const unsigned char *text, size_t length, int64_t *microseconds);
bool hdm_read_datetime(const unsigned char *text, size_t length, int64_t *microseconds);

/* stats.c */
void hdm_summarise(struct profile *p, struct column *c, struct stats *into);

/* -- in line: what every value passes through ------------------------------------------------------------------ */

/* The three fields that several threads use are relaxed atomics: each is a number of its own, and nobody concludes from
 * one of them that other memory has been written. That costs what a plain load or store costs, where the machine has
 * them for 64 bits. */
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics take a lock on this machine");

/* Add to `rows` or `bytes`. Only the thread that fills the profile writes them: a load and a store are enough, and
 * cheaper than a locked addition. */
static inline void hdm_count(_Atomic uint64_t *counter, uint64_t more) {
    uint64_t count = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, count + more, memory_order_relaxed);
}

static inline bool hdm_is_stopped(const struct profile *p) {
    return atomic_load_explicit(&p->stop, memory_order_relaxed) != 0;
}

#define SIGN_BIT (UINT64_C(1) << 63)
#define DAY INT64_C(86400000000) /* microseconds */

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

/* Count a value. The slot when it is the first one of its level, whose label is then to be set; else NULL. */
static inline struct slot *hdm_add(struct profile *p, struct column *c, uint64_t hi, uint64_t lo) {
    c->values++;
    if (c->slots) {
        uint64_t mask = c->capacity - 1;
        for (uint64_t i = hdm_fold(hi ^ p->secret[0], lo ^ p->secret[1]) & mask;; i = (i + 1) & mask) {
            struct slot *s = &c->slots[i];
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

static inline void hdm_add_integer(struct profile *p, struct column *c, int64_t value) {
    hdm_add(p, c, hdm_key_of_integer(value), 0);
}

static inline void hdm_add_double(struct profile *p, struct column *c, double value) {
    if (!__builtin_isfinite(value)) c->not_finite++;
    hdm_add(p, c, hdm_key_of_double(value), 0);
}

#endif
