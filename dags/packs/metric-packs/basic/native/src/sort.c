/* Sorting keys, and counting equal ones. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define DIGIT_BITS 11
#define BUCKETS (1u << DIGIT_BITS)
#define DIGITS 6 /* of 11 bits each; the last one has 9 */
#define FEW 1024 /* for fewer keys, histograms would cost more than the sorting */

static int compare_one(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int compare_two(const void *a, const void *b) {
    int order = compare_one(a, b);
    return order ? order : compare_one((const uint64_t *)a + 1, (const uint64_t *)b + 1);
}

static bool grow_scratch(struct hdm_profile *p, size_t words) {
    if (words <= p->scratch_room) return true;
    uint64_t *larger = realloc(p->scratch, words * 8);
    if (!larger) return false;
    p->held += (words - p->scratch_room) * 8;
    p->scratch = larger;
    p->scratch_room = words;
    return true;
}

static bool make_histograms(struct hdm_profile *p) {
    if (!p->histograms) p->histograms = malloc(DIGITS * BUCKETS * sizeof *p->histograms);
    return p->histograms != NULL;
}

/* Radix sort by the digits of `hi` from `from` on, least significant first. A digit that all keys share is skipped. */
static void sort_by_digits(struct hdm_profile *p, uint64_t *keys, size_t length, int words, int from) {
    size_t (*starts)[BUCKETS] = (size_t (*)[BUCKETS])p->histograms;
    memset(starts, 0, DIGITS * sizeof *starts);
    for (size_t i = 0; i < length; i++)
        for (int d = from; d < DIGITS; d++) starts[d][keys[i * words] >> (d * DIGIT_BITS) & (BUCKETS - 1)]++;
    uint64_t *source = keys, *target = p->scratch;
    for (int d = from; d < DIGITS; d++) {
        size_t *start = starts[d], sum = 0;
        if (start[source[0] >> (d * DIGIT_BITS) & (BUCKETS - 1)] == length) continue;
        for (size_t b = 0; b < BUCKETS; b++) {
            size_t count = start[b];
            start[b] = sum;
            sum += count;
        }
        if (words == 1) {
            for (size_t i = 0; i < length; i++)
                target[start[source[i] >> (d * DIGIT_BITS) & (BUCKETS - 1)]++] = source[i];
        } else {
            for (size_t i = 0; i < length; i++) {
                size_t at = 2 * start[source[2 * i] >> (d * DIGIT_BITS) & (BUCKETS - 1)]++;
                target[at] = source[2 * i];
                target[at + 1] = source[2 * i + 1];
            }
        }
        uint64_t *swapped = source;
        source = target;
        target = swapped;
    }
    if (source != keys) memcpy(keys, source, length * words * 8);
}

/* Sorts the groups of keys that share the digits sorted so far. There are few, since hashes are spread evenly. */
static void sort_groups(uint64_t *keys, size_t length, int shift) {
    for (size_t start = 0; start < length;) {
        size_t end = start + 1;
        bool sorted = true;
        for (; end < length && keys[2 * end] >> shift == keys[2 * start] >> shift; end++)
            if (compare_two(keys + 2 * end - 2, keys + 2 * end) > 0) sorted = false;
        if (!sorted) qsort(keys + 2 * start, end - start, 16, compare_two);
        start = end;
    }
}

/* After a failure the keys are unsorted. Hashes are sorted by their upper three digits alone, which tell 2^31 apart. */
void hdm_sort(struct hdm_profile *p, struct column *c, uint64_t *keys, size_t length) {
    bool hashed = c->kind == HDM_TEXT;
    if (length < FEW) {
        qsort(keys, length, 8u * c->words, c->words == 1 ? compare_one : compare_two);
        return;
    }
    if (!grow_scratch(p, length * c->words) || !make_histograms(p)) {
        hdm_fail(p, HDM_NO_MEMORY);
        return;
    }
    sort_by_digits(p, keys, length, c->words, hashed ? 3 : 0);
    if (c->words == 2) sort_groups(keys, length, hashed ? 3 * DIGIT_BITS : 0);
}

size_t hdm_count_distinct(const uint64_t *keys, size_t length, int words) {
    size_t distinct = length > 0;
    if (words == 1) {
        for (size_t i = 1; i < length; i++) distinct += keys[i] != keys[i - 1];
    } else {
        for (size_t i = 1; i < length; i++)
            distinct += keys[2 * i] != keys[2 * i - 2] || keys[2 * i + 1] != keys[2 * i - 1];
    }
    return distinct;
}

/* Copies each of the sorted keys once into `into`, and its count into `counts`. */
void hdm_compress(const uint64_t *keys, size_t length, int words, uint64_t *into, uint64_t *counts) {
    size_t n = 0;
    for (size_t i = 0; i < length; i++) {
        const uint64_t *key = keys + i * words;
        if (i && !memcmp(key, key - words, 8u * words)) {
            counts[n - 1]++;
            continue;
        }
        memcpy(into + n * words, key, 8u * words);
        counts[n++] = 1;
    }
}
