/* What the columns of one row say together: rows per day, the newest rows, pairs, numbers by the levels of a code, and
 * rows that occur more than once. At the end of a row each column still holds the key of its value. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PLACES 512 /* of a hash table for the levels of a code: twice HDM_MOST_CELLS */

#define LOWEST UINT64_C(0x000fffffffffffff)  /* the key of -infinity */
#define HIGHEST UINT64_C(0xfff0000000000000) /* the key of infinity */

/* How a key becomes a number that compares. */
enum form { WHOLE, REAL, WHOLE_AS_REAL, DATE, MOMENT, DAY_OF_MOMENT };

struct slot { /* a column of a pair */
    const struct column *column;
    enum form form;
    bool present;
    int64_t now;
};

struct pair {
    uint32_t one, other; /* slots */
    uint64_t both, greater, equal;
};

struct sum {
    uint64_t count;
    double total; /* of the differences from the origin */
};

struct number {
    const struct column *column;
    bool present, has_origin;
    double now, origin; /* origin: its first value */
};

struct code {
    const struct column *column;
    bool full; /* more than HDM_MOST_CELLS levels: there are no cells */
    uint32_t used;
    uint16_t places[PLACES]; /* level + 1; 0: free */
    uint64_t keys[HDM_MOST_CELLS][2];
    struct sum *sums; /* numbers of the first level, of the second, ...; of rows without a code */
};

struct newest { /* of one column, of the rows of the newest day so far */
    uint64_t values, count;
    double mean, squares;
};

struct words { /* two words of the keys of one column, or of two */
    const struct column *one, *other;
    const uint64_t *first, *second;
    uint64_t secrets[4], nulls[2]; /* nulls: what stands for a column without a value */
};

struct across {
    const struct column *event;
    int64_t first, unit; /* first moment of the days, and length of a day, in the event's unit */
    uint64_t days[HDM_DAYS];
    int64_t newest_day; /* of the days; -1: none */
    struct newest *newest;

    uint32_t slot_count, pair_count, code_count, number_count;
    struct slot *slots;
    struct pair *pairs;
    struct code *codes;
    struct number *numbers;

    struct column *whole; /* the hashes of rows; NULL: not asked for */
    struct words *words;  /* what a row's hash is made of */
    uint32_t words_count;
    uint64_t repeats;
};

static bool is_number(const struct column *c) {
    return c->kind == HDM_INTEGER || c->kind == HDM_UNSIGNED || c->kind == HDM_FLOAT || c->kind == HDM_DECIMAL;
}

static inline double number_of(const struct column *c) {
    switch (c->kind) {
        case HDM_INTEGER: return (double)(int64_t)(c->now[0] ^ SIGN_BIT);
        case HDM_UNSIGNED: return (double)c->now[0];
        default: return hdm_double_of_key(c->now[0]);
    }
}

/* -- The days and the newest rows -------------------------------------------------------------------------------- */

static int64_t day_of_row(const struct across *a, uint64_t row) {
    if (!a->event || a->event->row != row) return -1;
    uint64_t since = (a->event->now[0] ^ SIGN_BIT) - (uint64_t)a->first;
    if (since >= (uint64_t)(HDM_DAYS * a->unit)) return -1;
    return (int64_t)(a->unit == 1 ? since : since / (uint64_t)DAY);
}

static void note_newest(struct hdm_profile *p, struct across *a, uint64_t row) {
    struct newest *n = a->newest;
    for (const struct column *c = p->columns, *last = c + p->column_count; c < last; c++, n++) {
        if (c->row != row) continue;
        n->values++;
        if (c->kind != HDM_TEXT && !is_number(c)) continue;
        double value = c->kind == HDM_TEXT ? (double)c->length : number_of(c);
        if (!isfinite(value)) continue;
        double distance = value - n->mean; /* Welford 1962 */
        n->mean += distance / (double)++n->count;
        n->squares += distance * (value - n->mean);
    }
}

static void note_day(struct hdm_profile *p, struct across *a, uint64_t row) {
    int64_t day = day_of_row(a, row);
    if (day < 0) return;
    a->days[day]++;
    if (day < a->newest_day) return;
    if (day > a->newest_day) memset(a->newest, 0, p->column_count * sizeof *a->newest);
    a->newest_day = day;
    note_newest(p, a, row);
}

/* -- Pairs ------------------------------------------------------------------------------------------------------- */

static bool is_between(int64_t value, int64_t first, int64_t after) {
    return (uint64_t)value - (uint64_t)first < (uint64_t)after - (uint64_t)first;
}

static void load_slot(struct slot *s, uint64_t row) {
    const struct column *c = s->column;
    uint64_t key = c->now[0];
    s->present = c->row == row;
    s->now = (int64_t)(key ^ SIGN_BIT);
    switch (s->form) {
        case WHOLE: break;
        case REAL: s->present &= key > LOWEST && key < HIGHEST; break;
        case WHOLE_AS_REAL: s->now = (int64_t)(hdm_key_of_double(number_of(c)) ^ SIGN_BIT); break;
        case DATE: s->present &= is_between(s->now, FIRST_DAY, AFTER_DAYS); break;
        case MOMENT: s->present &= is_between(s->now, FIRST_DAY * DAY, AFTER_DAYS * DAY); break;
        case DAY_OF_MOMENT:
            s->present &= is_between(s->now, FIRST_DAY * DAY, AFTER_DAYS * DAY);
            if (s->present) s->now = (s->now - FIRST_DAY * DAY) / DAY + FIRST_DAY; /* rounded down */
            break;
    }
}

static void note_pairs(struct across *a, uint64_t row) {
    for (uint32_t i = 0; i < a->slot_count; i++) load_slot(&a->slots[i], row);
    for (struct pair *pair = a->pairs, *last = pair + a->pair_count; pair < last; pair++) {
        const struct slot *one = &a->slots[pair->one], *other = &a->slots[pair->other];
        bool both = one->present & other->present; /* no branches: nobody can predict them */
        pair->both += both;
        pair->greater += both & (one->now > other->now);
        pair->equal += both & (one->now == other->now);
    }
}

static bool is_whole(const struct column *c) { return c->kind == HDM_INTEGER || c->kind == HDM_UNSIGNED; }

static enum form form_of(const struct column *c, const struct column *other) {
    if (c->kind == HDM_DATE) return DATE;
    if (c->kind == HDM_DATETIME) return other->kind == HDM_DATE ? DAY_OF_MOMENT : MOMENT;
    if (!is_whole(c)) return REAL;
    return c->kind == other->kind ? WHOLE : WHOLE_AS_REAL;
}

static uint32_t slot_of(struct across *a, const struct column *c, enum form form) {
    uint32_t i = 0;
    while (i < a->slot_count && (a->slots[i].column != c || a->slots[i].form != form)) i++;
    if (i == a->slot_count) a->slots[a->slot_count++] = (struct slot){.column = c, .form = form};
    return i;
}

/* -- Numbers by the levels of a code ----------------------------------------------------------------------------- */

/* The place of a level in the table, or the free one where it belongs. */
static uint32_t place_of(const struct hdm_profile *p, const struct code *k, uint64_t hi, uint64_t lo) {
    uint32_t i = (uint32_t)hdm_fold(hi ^ p->secret[2], lo ^ p->secret[3]) % PLACES;
    for (; k->places[i]; i = (i + 1) % PLACES) {
        const uint64_t *key = k->keys[k->places[i] - 1];
        if (key[0] == hi && key[1] == lo) break;
    }
    return i;
}

/* The sums of the row's level; NULL if there are too many levels. */
static struct sum *sums_of(const struct hdm_profile *p, const struct across *a, struct code *k, uint64_t row) {
    uint32_t level = HDM_MOST_CELLS; /* no code */
    if (k->column->row == row) {
        const uint64_t *key = k->column->now;
        uint16_t *place = &k->places[place_of(p, k, key[0], key[1])];
        if (!*place) {
            if (k->used == HDM_MOST_CELLS) {
                k->full = true;
                return NULL;
            }
            k->keys[k->used][0] = key[0];
            k->keys[k->used][1] = key[1];
            *place = (uint16_t)++k->used;
        }
        level = *place - 1u;
    }
    return k->sums + (size_t)level * a->number_count;
}

static void note_numbers(struct hdm_profile *p, struct across *a, uint64_t row) {
    bool any = false, all_full = true;
    for (uint32_t j = 0; j < a->code_count; j++) all_full &= a->codes[j].full;
    if (all_full) return;
    for (uint32_t i = 0; i < a->number_count; i++) {
        struct number *n = &a->numbers[i];
        n->now = number_of(n->column);
        n->present = (n->column->row == row) & (isfinite(n->now) != 0); /* no branches: nobody can predict nulls */
        if (!n->has_origin && n->present) {
            n->origin = n->now;
            n->has_origin = true;
        }
        any |= n->present;
    }
    if (!any) return;
    for (uint32_t j = 0; j < a->code_count; j++) {
        struct code *k = &a->codes[j];
        struct sum *sums = k->full ? NULL : sums_of(p, a, k, row);
        if (!sums) continue;
        for (uint32_t i = 0; i < a->number_count; i++) {
            const struct number *n = &a->numbers[i];
            sums[i].count += n->present;
            sums[i].total += n->present ? n->now - n->origin : 0;
        }
    }
}

/* -- Rows that occur more than once ------------------------------------------------------------------------------ */

/* Two sums of folded products of two words each, with secrets of its own for every word: equal rows have equal sums, and
 * others share both with a probability of about 2^-120. */
static void note_whole(struct hdm_profile *p, struct across *a, uint64_t row) {
    uint64_t one = 0, other = 0;
    for (const struct words *w = a->words, *last = w + a->words_count; w < last; w++) {
        uint64_t x = *w->first, y = *w->second; /* no branches: nobody can predict nulls */
        x = w->one->row == row ? x : w->nulls[0];
        y = w->other->row == row ? y : w->nulls[1];
        one += hdm_fold(x ^ w->secrets[0], y ^ w->secrets[1]);
        other += hdm_fold(x ^ w->secrets[2], y ^ w->secrets[3]);
    }
    hdm_add(p, a->whole, one, other);
}

static void visit_repeats(void *state, uint64_t hi, uint64_t lo, uint64_t count) {
    (void)hi;
    (void)lo;
    *(uint64_t *)state += count - 1;
}

void hdm_summarise_rows(struct hdm_profile *p, const struct hdm_stats *stats) {
    struct across *a = p->across;
    if (!a || !a->whole || p->failure) return;
    struct column *w = a->whole;
    bool is_unique = false;
    for (uint32_t i = 0; i < p->column_count; i++) is_unique |= stats[i].levels == w->values;
    if (!is_unique && w->filled) { /* else a column whose values are all different says that no row repeats another */
        hdm_sort(p, w, w->buffer, w->filled);
        if (w->run_count) {
            hdm_keep_run(p, w, w->buffer, w->filled);
            if (!p->failure) hdm_merge(p, w, visit_repeats, &a->repeats);
        } else {
            a->repeats = w->filled - hdm_count_distinct(w->buffer, w->filled, 2);
        }
    }
    hdm_free_buffer(p, w);
    hdm_drop_runs(p, w);
}

/* -- From the plan to the results -------------------------------------------------------------------------------- */

void hdm_note_row(struct hdm_profile *p) {
    struct across *a = p->across;
    uint64_t row = hdm_rows(p);
    if (a->event) note_day(p, a, row);
    if (a->pair_count) note_pairs(a, row);
    if (a->code_count) note_numbers(p, a, row);
    if (a->whole) note_whole(p, a, row);
}

void hdm_free_rows(struct hdm_profile *p) {
    struct across *a = p->across;
    if (!a) return;
    if (a->whole) {
        hdm_free_buffer(p, a->whole);
        hdm_drop_runs(p, a->whole);
    }
    for (uint32_t i = 0; a->codes && i < a->code_count; i++) free(a->codes[i].sums);
    free(a->newest);
    free(a->slots);
    free(a->pairs);
    free(a->codes);
    free(a->numbers);
    free(a->whole);
    free(a->words);
    free(a);
    p->across = NULL;
}

static void *allocate(struct hdm_profile *p, size_t count, size_t size) {
    void *found = calloc(count ? count : 1, size);
    if (!found) hdm_fail(p, HDM_NO_MEMORY);
    return found;
}

static void plan_whole(struct hdm_profile *p, struct across *a) {
    a->whole = allocate(p, 1, sizeof *a->whole);
    a->words = allocate(p, p->column_count, sizeof *a->words);
    if (p->failure) return;
    a->whole->kind = HDM_TEXT; /* its keys are hashes, as those of texts */
    a->whole->words = 2;
    struct words *half = NULL; /* of one column of one word; it takes the next one's */
    for (const struct column *c = p->columns, *last = c + p->column_count; c < last; c++) {
        struct words *w = c->words == 1 && half ? half : &a->words[a->words_count++];
        bool is_second = w == half;
        *w = (struct words){.one = is_second ? w->one : c, .first = is_second ? w->first : &c->now[0]};
        w->other = c;
        w->second = is_second ? &c->now[0] : &c->now[1]; /* 0 in a column of one word */
        if (c->words == 1) half = is_second ? NULL : w;
    }
    uint64_t state = p->secret[0], n = 0;
    for (struct words *w = a->words, *last = w + a->words_count; w < last; w++)
        for (int i = 0; i < 6; i++) {
            state = hdm_fold(state ^ p->secret[1], p->secret[2] + n++) + p->secret[3];
            *(i < 4 ? &w->secrets[i] : &w->nulls[i - 4]) = state;
        }
}

HDM_API enum hdm_failure hdm_plan(struct hdm_profile *p, uint32_t event, int64_t first_day, uint32_t whole,
                                  uint32_t pair_count, const uint32_t *pairs, uint32_t code_count,
                                  const uint32_t *codes, uint32_t number_count, const uint32_t *numbers) {
    struct across *a = p->across = allocate(p, 1, sizeof *a);
    if (!a) return p->failure;
    a->newest_day = -1;
    if (event < p->column_count) {
        a->event = &p->columns[event];
        a->unit = a->event->kind == HDM_DATE ? 1 : DAY;
        a->first = first_day * a->unit;
        a->newest = allocate(p, p->column_count, sizeof *a->newest);
    }
    a->slots = allocate(p, 2 * (size_t)pair_count, sizeof *a->slots);
    a->pairs = allocate(p, pair_count, sizeof *a->pairs);
    a->codes = allocate(p, code_count, sizeof *a->codes);
    a->numbers = allocate(p, number_count, sizeof *a->numbers);
    if (whole) plan_whole(p, a);
    if (p->failure) return p->failure;
    a->pair_count = pair_count;
    for (uint32_t i = 0; i < pair_count; i++) {
        const struct column *one = &p->columns[pairs[2 * i]], *other = &p->columns[pairs[2 * i + 1]];
        a->pairs[i].one = slot_of(a, one, form_of(one, other));
        a->pairs[i].other = slot_of(a, other, form_of(other, one));
    }
    a->number_count = number_count;
    for (uint32_t i = 0; i < number_count; i++) a->numbers[i].column = &p->columns[numbers[i]];
    a->code_count = code_count;
    for (uint32_t i = 0; i < code_count; i++) {
        a->codes[i].column = &p->columns[codes[i]];
        a->codes[i].sums = allocate(p, (HDM_MOST_CELLS + 1) * (size_t)number_count, sizeof *a->codes[i].sums);
    }
    return p->failure;
}

HDM_API int64_t hdm_days(const struct hdm_profile *p, uint64_t *days, struct hdm_newest *newest) {
    const struct across *a = p->across;
    memcpy(days, a->days, sizeof a->days);
    for (uint32_t i = 0; a->newest && i < p->column_count; i++) {
        const struct newest *n = &a->newest[i];
        newest[i] = (struct hdm_newest){.values = n->values, .finite = n->count, .mean = NAN, .deviation = NAN};
        if (n->count) newest[i].mean = n->mean;
        if (n->count > 1) newest[i].deviation = sqrt(n->squares / (double)(n->count - 1));
    }
    return a->newest_day;
}

HDM_API void hdm_pairs(const struct hdm_profile *p, struct hdm_pair *pairs) {
    for (uint32_t i = 0; i < p->across->pair_count; i++) {
        const struct pair *one = &p->across->pairs[i];
        pairs[i] = (struct hdm_pair){one->both, one->greater, one->equal};
    }
}

static void list_cells(const struct across *a, const struct code *k, uint32_t level, struct hdm_cell *cells) {
    const struct sum *s = &k->sums[(size_t)level * a->number_count];
    for (uint32_t i = 0; i < a->number_count; i++)
        cells[i] = (struct hdm_cell){s[i].count, s[i].count ? a->numbers[i].origin + s[i].total / (double)s[i].count : NAN};
}

HDM_API int64_t hdm_cells(const struct hdm_profile *p, uint32_t code, struct hdm_cell *cells) {
    const struct across *a = p->across;
    const struct code *k = &a->codes[code];
    const struct column *c = k->column;
    if (k->full || !c->slots || c->used > HDM_MOST_CELLS) return -1;
    for (uint32_t i = 0; i < c->used; i++, cells += a->number_count) {
        uint16_t place = k->places[place_of(p, k, c->slots[i].hi, c->slots[i].lo)];
        if (place) {
            list_cells(a, k, place - 1u, cells);
            continue;
        }
        for (uint32_t j = 0; j < a->number_count; j++) cells[j] = (struct hdm_cell){0, NAN};
    }
    list_cells(a, k, HDM_MOST_CELLS, cells);
    return c->used;
}

HDM_API uint64_t hdm_repeats(const struct hdm_profile *p) { return p->across->repeats; }
