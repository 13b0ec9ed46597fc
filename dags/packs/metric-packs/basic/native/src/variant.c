/* Values of a column whose values may be of any class, as in SQLite. Misfits are counted separately. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum class { WHOLE, REAL, STRING, BLOB };

#define LARGEST_EXACT (INT64_C(1) << 53)

/* A text, not longer than needed, that gives the same double again. */
static void print_real(char text[32], double value) {
    if (value > -LARGEST_EXACT && value < LARGEST_EXACT && value == (double)(int64_t)value) {
        snprintf(text, 32, "%lld", (long long)value);
        return;
    }
    snprintf(text, 32, "%.15g", value);
    if (strtod(text, NULL) != value) snprintf(text, 32, "%.17g", value);
}

/* Counts the value's class. Returns whether that is all: the column is opaque. */
static inline bool is_opaque(struct hdm_profile *p, struct column *c, enum class class) {
    hdm_count(&p->bytes, 8);
    c->classes[class]++;
    if (c->wire != HDM_ANY_OPAQUE) return false;
    hdm_count_value(p, c);
    return true;
}

/* A number among texts counts as its text, but never as the same level as that text: its hash differs. */
static void add_as_text(struct hdm_profile *p, struct column *c, const char *text) {
    uint64_t key[2];
    uint32_t length = (uint32_t)strlen(text);
    hdm_hash(p, (const unsigned char *)text, length, key);
    hdm_note_text(c, &(struct text_size){length, length, 0});
    struct hdm_level *s = hdm_add(p, c, ~key[0], key[1]);
    if (s && c->labelled) hdm_set_label(p, c, s, text, length);
}

/* Whether it is an integer of 64 bits that is too large for doubles to tell it from its neighbours. */
static bool is_large(double value) {
    return (value > LARGEST_EXACT && value < 0x1p63) || (value < -LARGEST_EXACT && value >= -0x1p63);
}

/* Integers and reals in one column. Beyond 2^53 the integer itself tells apart what share a double. */
static void add_number(struct hdm_profile *p, struct column *c, double value, int64_t whole) {
    char text[32];
    if (c->words == 1) {
        hdm_add_double(p, c, value);
        return;
    }
    bool by_number = whole > LARGEST_EXACT || whole < -LARGEST_EXACT;
    if (!__builtin_isfinite(value)) c->not_finite++;
    struct hdm_level *s = hdm_add(p, c, hdm_key_of_double(value), by_number ? (uint64_t)whole : 0);
    if (!s) return;
    if (by_number)
        snprintf(text, sizeof text, "%lld", (long long)whole);
    else
        print_real(text, value);
    hdm_set_label(p, c, s, text, strlen(text));
}

void hdm_add_whole(struct hdm_profile *p, struct column *c, int64_t value) {
    char text[32];
    if (is_opaque(p, c, WHOLE)) return;
    switch (c->wire) {
        case HDM_ANY_INTEGER: hdm_add_integer(p, c, value); break;
        case HDM_ANY_FLOAT: add_number(p, c, (double)value, value); break;
        case HDM_ANY_TEXT:
            snprintf(text, sizeof text, "%lld", (long long)value);
            add_as_text(p, c, text);
            break;
        default: c->misfits++;
    }
}

void hdm_add_real(struct hdm_profile *p, struct column *c, double value) {
    char text[32];
    if (is_opaque(p, c, REAL)) return;
    switch (c->wire) {
        case HDM_ANY_FLOAT: add_number(p, c, value, is_large(value) ? (int64_t)value : 0); break;
        case HDM_ANY_TEXT:
            print_real(text, value);
            add_as_text(p, c, text);
            break;
        default: c->misfits++;
    }
}

void hdm_add_string(struct hdm_profile *p, struct column *c, const unsigned char *text, size_t length) {
    int64_t moment;
    bool fits = false;
    hdm_count(&p->bytes, length);
    if (is_opaque(p, c, STRING)) return;
    if (c->wire == HDM_ANY_TEXT) {
        hdm_add_text(p, c, text, length);
        return;
    }
    while (length && text[length - 1] == ' ') length--; /* padding */
    while (length && *text == ' ') text++, length--;
    switch (c->wire) {
        case HDM_ANY_DATE: fits = hdm_read_date(text, length, &moment) != HDM_OTHER_FORM; break;
        case HDM_ANY_DATETIME: fits = hdm_read_datetime(text, length, &moment) != HDM_OTHER_FORM; break;
        case HDM_ANY_TIME: fits = hdm_read_clock(text, length, &moment) && moment >= 0 && moment < END_OF_DAY; break;
        default: break;
    }
    if (fits)
        hdm_add_integer(p, c, moment);
    else
        c->misfits++;
}

void hdm_add_blob(struct hdm_profile *p, struct column *c) {
    if (!is_opaque(p, c, BLOB)) c->misfits++;
}
