/* Values of a column that may hold anything, as SQLite's: those that are not what it was taken for are counted apart. */
#include "profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The numbers are those of hdm_profile/__init__.py. */
enum wire { ANY_OPAQUE, ANY_INTEGER, ANY_FLOAT, ANY_TEXT, ANY_DATE, ANY_DATETIME, ANY_TIME };

enum class { WHOLE, REAL, STRING, BLOB };

/* Note of what class a value is; true when no more is asked. */
static inline bool is_told(struct profile *p, struct column *c, enum class class) {
    p->bytes += 8;
    c->classes[class]++;
    if (c->wire != ANY_OPAQUE) return false;
    c->values++;
    return true;
}

/* A number among texts: by its text, but never the same level as that text. */
static void add_as_text(struct profile *p, struct column *c, const char *text) {
    uint64_t key[2];
    uint32_t length = (uint32_t)strlen(text);
    hdm_hash(p, (const unsigned char *)text, length, key);
    hdm_note_text(c, length, 0);
    struct slot *s = hdm_add(p, c, ~key[0], key[1]);
    if (s && c->labelled) hdm_set_label(p, c, s, text, length);
}

void hdm_add_whole(struct profile *p, struct column *c, int64_t value) {
    char text[32];
    if (is_told(p, c, WHOLE)) return;
    switch (c->wire) {
        case ANY_INTEGER: hdm_add_integer(p, c, value); break;
        case ANY_FLOAT: hdm_add_double(p, c, (double)value); break;
        case ANY_TEXT:
            snprintf(text, sizeof text, "%lld", (long long)value);
            add_as_text(p, c, text);
            break;
        default: c->misfits++;
    }
}

void hdm_add_real(struct profile *p, struct column *c, double value) {
    char text[32];
    if (is_told(p, c, REAL)) return;
    switch (c->wire) {
        case ANY_FLOAT: hdm_add_double(p, c, value); break;
        case ANY_TEXT:
            snprintf(text, sizeof text, "%.15g", value == 0 ? 0 : value);
            if (strtod(text, NULL) != value) snprintf(text, sizeof text, "%.17g", value);
            add_as_text(p, c, text);
            break;
        default: c->misfits++;
    }
}

void hdm_add_string(struct profile *p, struct column *c, const unsigned char *text, size_t length) {
    int64_t moment;
    bool fits = false;
    p->bytes += length;
    if (is_told(p, c, STRING)) return;
    switch (c->wire) {
        case ANY_TEXT: hdm_add_text(p, c, text, length); return;
        case ANY_DATE: fits = hdm_read_date(text, length, &moment); break;
        case ANY_DATETIME: fits = hdm_read_datetime(text, length, &moment); break;
        case ANY_TIME: fits = hdm_read_clock(text, length, &moment) && moment >= 0 && moment < DAY; break;
        default: break;
    }
    if (fits)
        hdm_add_integer(p, c, moment);
    else
        c->misfits++;
}

void hdm_add_blob(struct profile *p, struct column *c) {
    if (!is_told(p, c, BLOB)) c->misfits++;
}
