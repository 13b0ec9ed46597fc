/* The statistics of a column, computed by visiting each level once, in the order of the values. */
#include "internal.h"

#include <math.h>
#include <string.h>

#define BATCH 512
#define LEAST_SQUARES 1e-250
#define HOUR 3600000000.0L /* microseconds */

enum { P01, MEDIAN, P99, PERCENTILES };
static const double percentiles[PERCENTILES] = {[P01] = 0.01, [MEDIAN] = 0.5, [P99] = 0.99};
#define TARGETS (2 * PERCENTILES) /* the two neighbours of each */

struct fold {
    struct column *column;
    struct hdm_stats *stats;
    bool by_double; /* decimal places follow from the doubles */
    double values[BATCH], weights[BATCH];
    int batched;
    double origin;                    /* one of the values; `mean` is relative to it */
    long double count, mean, squares; /* squares: the sum of squared deviations from the mean */
    uint64_t passed;                  /* finite values before this level */
    uint64_t targets[TARGETS];        /* the ranks that the percentiles need, ascending */
    double found[TARGETS];
    int next;
    unsigned __int128 clock; /* of datetimes: the sum of their times of day, in microseconds */
};

static void set_targets(struct fold *f, uint64_t count) {
    if (!count) return;
    for (int i = 0; i < PERCENTILES; i++) {
        uint64_t lower = (uint64_t)(percentiles[i] * (double)(count - 1));
        f->targets[2 * i] = lower;
        f->targets[2 * i + 1] = lower + 1 < count ? lower + 1 : lower;
    }
    for (int i = 1; i < TARGETS; i++)
        for (int j = i; j > 0 && f->targets[j] < f->targets[j - 1]; j--) {
            uint64_t swapped = f->targets[j];
            f->targets[j] = f->targets[j - 1];
            f->targets[j - 1] = swapped;
        }
}

static double at_rank(const struct fold *f, uint64_t rank) {
    for (int i = 0; i < f->next; i++)
        if (f->targets[i] == rank) return f->found[i];
    return NAN;
}

/* Interpolates linearly between the neighbours, like SQL's percentile_cont. */
static double percentile(const struct fold *f, double share, uint64_t count) {
    double position = share * (double)(count - 1);
    uint64_t lower = (uint64_t)position;
    double a = at_rank(f, lower), b = at_rank(f, lower + 1 < count ? lower + 1 : lower);
    double part = position - (double)lower;
    if (a == b || part == 0) return a;
    return isfinite(b - a) ? a + (b - a) * part : a * (1 - part) + b * part;
}

/* Adds the batch to mean and squares (Chan, Golub, LeVeque 1979). Deviations are relative to a value of the batch: they
 * are exact if the values are close to each other, however large. */
static void flush(struct fold *f) {
    double pivot = f->values[f->batched / 2], count = 0, sum = 0, squares = 0;
    if (!f->batched) return;
    for (int i = 0; i < f->batched; i++) {
        count += f->weights[i];
        sum += f->weights[i] * (f->values[i] - pivot);
    }
    double shift = sum / count, rest = 0;
    for (int i = 0; i < f->batched; i++) {
        double deviation = f->values[i] - pivot - shift;
        rest += f->weights[i] * deviation;
        squares += f->weights[i] * deviation * deviation;
    }
    long double batch_shift = (long double)shift + rest / count, batch_squares = squares - rest * rest / count;
    if (!isfinite(sum) || !isfinite(squares) || squares < LEAST_SQUARES) { /* squares exceed the range of doubles */
        batch_shift = batch_squares = 0;
        for (int i = 0; i < f->batched; i++)
            batch_shift += (long double)f->weights[i] * ((long double)f->values[i] - pivot);
        batch_shift /= count;
        for (int i = 0; i < f->batched; i++) {
            long double deviation = (long double)f->values[i] - pivot - batch_shift;
            batch_squares += f->weights[i] * deviation * deviation;
        }
    }
    if (f->count == 0) f->origin = pivot;
    long double both = f->count + count, distance = (long double)pivot - f->origin + batch_shift - f->mean;
    f->squares += batch_squares + distance * distance * (f->count * count / both);
    f->mean += distance * (count / both);
    f->count = both;
    f->batched = 0;
}

static void visit_number(struct fold *f, double value, uint64_t count) {
    struct hdm_stats *s = f->stats;
    if (!isfinite(value)) return;
    if (f->passed == 0) s->minimum = value;
    s->maximum = value;
    if (value == 0) s->zeros += count;
    if (value < 0) s->negatives += count;
    f->passed += count;
    while (f->next < TARGETS && f->targets[f->next] < f->passed) f->found[f->next++] = value;
    f->values[f->batched] = value;
    f->weights[f->batched++] = (double)count;
    if (f->batched == BATCH) flush(f);
}

static void visit_moment(struct fold *f, int64_t key, uint64_t count) {
    struct hdm_stats *s = f->stats;
    int64_t unit = f->column->kind == HDM_DATE ? 1 : DAY;
    if (key >= f->column->future && f->column->future != INT64_MAX) s->future += count;
    if (key < FIRST_DAY * unit || key >= AFTER_DAYS * unit) return;
    if (s->earliest > s->latest) s->earliest = key;
    s->latest = key;
    if (unit == 1) return;
    uint64_t clock = (uint64_t)(key - FIRST_DAY * DAY) % (uint64_t)DAY;
    f->clock += (unsigned __int128)clock * count;
    *(clock ? &s->clocks : &s->midnights) += count;
}

static void visit(void *state, uint64_t hi, uint64_t lo, uint64_t count) {
    struct fold *f = state;
    struct hdm_stats *s = f->stats;
    if (f->column->kept) hdm_keep_key(f->column, hi, lo);
    s->levels++;
    if (count > s->third) {
        uint64_t first = s->first, second = s->second;
        s->third = count > second ? second : count;
        s->second = count > second ? (count > first ? first : count) : second;
        s->first = count > first ? count : first;
    }
    switch (f->column->kind) {
        case HDM_INTEGER: visit_number(f, (double)(int64_t)(hi ^ SIGN_BIT), count); break;
        case HDM_UNSIGNED: visit_number(f, (double)hi, count); break;
        case HDM_FLOAT:
        case HDM_DECIMAL:
            visit_number(f, hdm_double_of_key(hi), count);
            if (f->by_double) hdm_note_double(f->column, hdm_double_of_key(hi), count);
            break;
        case HDM_DATE:
        case HDM_DATETIME: visit_moment(f, (int64_t)(hi ^ SIGN_BIT), count); break;
        default: break;
    }
}

static void visit_all(struct hdm_profile *p, struct column *c, struct fold *f) {
    if (c->slots) {
        uint32_t n = hdm_list_slots(c, c->kind != HDM_TEXT);
        hdm_note_slots(c, n);
        for (uint32_t i = 0; i < n; i++) visit(f, c->slots[i].hi, c->slots[i].lo, c->slots[i].count);
        return;
    }
    hdm_sort(p, c, c->buffer, c->filled);
    hdm_keep_run(p, c, c->buffer, c->filled);
    hdm_free_buffer(p, c);
    hdm_merge(p, c, visit, f);
    hdm_drop_runs(p, c);
}

void hdm_summarise(struct hdm_profile *p, struct column *c, struct hdm_stats *s) {
    bool by_double = c->kind == HDM_FLOAT || (c->kind == HDM_DECIMAL && c->wire == HDM_ANY_FLOAT);
    struct fold f = {.column = c, .stats = s, .by_double = by_double};
    uint64_t finite = c->values - c->not_finite;
    bool number = c->kind == HDM_INTEGER || c->kind == HDM_UNSIGNED || c->kind == HDM_FLOAT || c->kind == HDM_DECIMAL;
    memset(s, 0, sizeof *s);
    s->values = c->values;
    s->minimum = s->maximum = s->mean = s->deviation = s->median = s->p01 = s->p99 = s->hour = NAN;
    s->earliest = 1;
    s->misfits = c->misfits;
    memcpy(s->classes, c->classes, sizeof s->classes);
    s->shortest = c->shortest;
    s->longest = c->longest;
    s->characters = c->characters;
    s->empty = c->empty;
    s->trimmed = c->trimmed;
    s->blanks = c->blanks;
    if (number) {
        s->finite = finite;
        set_targets(&f, finite);
    }
    if (c->kind == HDM_OPAQUE || p->failure) return;
    visit_all(p, c, &f);
    s->edge_blanks = hdm_count_shape(c, HDM_EDGE_BLANK);
    s->uppers = hdm_count_shape(c, HDM_UPPER);
    s->lowers = hdm_count_shape(c, HDM_LOWER);
    s->mojibakes = hdm_count_shape(c, HDM_MOJIBAKE);
    s->placeholders = hdm_count_shape(c, HDM_PLACEHOLDER);
    s->fractions = c->fractions;
    s->places = c->places;
    if (s->clocks) s->hour = (double)((long double)f.clock / (long double)s->clocks / HOUR);
    if (!number || !finite || p->failure) return;
    flush(&f);
    s->mean = (double)(f.origin + f.mean);
    if (finite > 1) s->deviation = (double)sqrtl(f.squares / (f.count - 1));
    s->p01 = percentile(&f, percentiles[P01], finite);
    s->median = percentile(&f, percentiles[MEDIAN], finite);
    s->p99 = percentile(&f, percentiles[P99], finite);
}
