/* A profile from its beginning to its end. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_CAPACITY 64 /* slots of a column */

HDM_API void hdm_close(struct hdm_profile *p) {
    hdm_free_rows(p);
    for (uint32_t i = 0; p->columns && i < p->column_count; i++) {
        struct column *c = &p->columns[i];
        hdm_drop_runs(p, c);
        hdm_free_buffer(p, c);
        free(c->slots);
        free(c->labels);
        hdm_drop_kept(c);
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

HDM_API void hdm_free(struct hdm_profile *p) {
    hdm_close(p);
    free(p);
}

HDM_API struct hdm_profile *hdm_new(uint32_t count, const uint8_t *kinds, const uint8_t *wires, const int64_t *future,
                                    uint64_t budget, const char *folder, const uint64_t *secret) {
    struct hdm_profile *p = calloc(1, sizeof *p);
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
        c->words = c->kind == HDM_TEXT || c->kind == HDM_DECIMAL ? 2 : 1;
        c->future = future[i];
        c->row = UINT64_MAX;
        c->shortest = UINT32_MAX;
        c->labelled = c->words == 2;
        if (c->kind == HDM_OPAQUE) continue;
        c->capacity = FIRST_CAPACITY;
        c->slots = calloc(FIRST_CAPACITY, sizeof *c->slots);
        p->held += FIRST_CAPACITY * sizeof *c->slots;
        if (!c->slots) hdm_fail(p, HDM_NO_MEMORY);
    }
    if (!p->columns || p->failure) {
        hdm_free(p);
        return NULL;
    }
    return p;
}

HDM_API uint64_t hdm_rows(const struct hdm_profile *p) { return atomic_load_explicit(&p->rows, memory_order_relaxed); }

HDM_API uint64_t hdm_bytes(const struct hdm_profile *p) {
    return atomic_load_explicit(&p->bytes, memory_order_relaxed);
}

HDM_API void hdm_stop(struct hdm_profile *p) { atomic_store_explicit(&p->stop, 1, memory_order_relaxed); }

HDM_API enum hdm_failure hdm_finish(struct hdm_profile *p, struct hdm_stats *stats) {
    for (uint32_t i = 0; i < p->column_count; i++) hdm_summarise(p, &p->columns[i], &stats[i]);
    hdm_summarise_rows(p, stats);
    return p->failure;
}

HDM_API int64_t hdm_levels(const struct hdm_profile *p, uint32_t column, const struct hdm_level **levels,
                           const char **texts) {
    const struct column *c = &p->columns[column];
    if (!c->slots || (c->words == 2 && !c->labelled)) return -1;
    *levels = c->slots;
    *texts = c->labels;
    return c->used;
}
