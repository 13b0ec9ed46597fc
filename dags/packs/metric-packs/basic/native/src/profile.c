/* A profile from its beginning to its end: what the Python side calls. */
#include "profile.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_CAPACITY 64 /* slots of a column */

/* Give everything back but the counters, which other threads may look at. */
API void hdm_close(struct profile *p) {
    for (uint32_t i = 0; p->columns && i < p->column_count; i++) {
        struct column *c = &p->columns[i];
        hdm_drop_runs(p, c);
        hdm_free_buffer(p, c);
        free(c->slots);
        free(c->labels);
    }
    if (p->file >= 0) close(p->file);
    free(p->scratch);
    free(p->histograms);
    free(p->carry);
    free(p->columns);
    p->file = -1;
    p->scratch = NULL;
    p->histograms = NULL;
    p->carry = NULL;
    p->columns = NULL;
}

API void hdm_free(struct profile *p) {
    hdm_close(p);
    free(p);
}

/* NULL: there is no memory. `future` has the first key that lies in the future, for dates; `words` is 2 for keys that
 * are hashes. */
API struct profile *hdm_new(uint32_t count, const uint8_t *kinds, const uint8_t *wires, const uint8_t *words,
                            const int64_t *future, uint64_t budget, const char *folder, const uint64_t *secret) {
    struct profile *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->file = -1;
    p->budget = budget;
    p->column_count = count;
    memcpy(p->secret, secret, sizeof p->secret);
    strncpy(p->folder, folder, sizeof p->folder - 1);
    p->columns = calloc(count ? count : 1, sizeof *p->columns);
    for (uint32_t i = 0; p->columns && i < count; i++) {
        struct column *c = &p->columns[i];
        c->kind = kinds[i];
        c->wire = wires[i];
        c->words = words[i];
        c->future = future[i];
        c->shortest = UINT32_MAX;
        c->labelled = c->words == 2;
        if (c->kind == OPAQUE) continue;
        c->capacity = FIRST_CAPACITY;
        c->slots = calloc(FIRST_CAPACITY, sizeof *c->slots);
        p->held += FIRST_CAPACITY * sizeof *c->slots;
        if (!c->slots) hdm_fail(p, NO_MEMORY);
    }
    if (!p->columns || p->failure) {
        hdm_free(p);
        return NULL;
    }
    return p;
}

/* Rows so far. From any thread, also after hdm_close. */
API uint64_t hdm_rows(const struct profile *p) { return atomic_load_explicit(&p->rows, memory_order_relaxed); }

/* Bytes so far. From any thread, also after hdm_close. */
API uint64_t hdm_bytes(const struct profile *p) { return atomic_load_explicit(&p->bytes, memory_order_relaxed); }

/* Let the thread that fills the profile end soon, with STOPPED. From any thread, also after hdm_close. */
API void hdm_stop(struct profile *p) { atomic_store_explicit(&p->stop, 1, memory_order_relaxed); }

/* The statistics of every column, in their order; what went wrong, or FINE. */
API uint32_t hdm_finish(struct profile *p, struct stats *into) {
    for (uint32_t i = 0; i < p->column_count; i++) hdm_summarise(p, &p->columns[i], &into[i]);
    return p->failure;
}

/* After hdm_finish: the number of a column's levels that are kept, with their texts where its keys are hashes; -1:
 * there are too many, or one of them is free text. */
API int64_t hdm_levels(const struct profile *p, uint32_t column, const struct slot **slots, const char **labels) {
    const struct column *c = &p->columns[column];
    if (!c->slots || (c->words == 2 && !c->labelled)) return -1;
    *slots = c->slots;
    *labels = c->labels;
    return c->used;
}
