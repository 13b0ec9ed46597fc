/* Rows that are lists of Python's tuples, as sqlite3 gives them: any column may hold anything.
 *
 * The functions of Python's stable ABI come as addresses, so that this file needs neither its headers nor its library.
 */
#include "profile.h"

#include <stdio.h>
#include <string.h>

/* The numbers are those of hdm_profile/__init__.py. */
enum wire { PY_OPAQUE, PY_INTEGER, PY_FLOAT, PY_TEXT, PY_DATE, PY_DATETIME, PY_TIME };

enum class { WHOLE, REAL, STRING, BLOB };

struct python {
    ptrdiff_t (*list_size)(void *);
    void *(*list_item)(void *, ptrdiff_t);  /* borrowed */
    void *(*tuple_item)(void *, ptrdiff_t); /* borrowed */
    void *(*type_of)(void *);               /* a new reference */
    void (*release)(void *);
    long long (*integer)(void *);
    double (*real)(void *);
    const char *(*utf8)(void *, ptrdiff_t *); /* NULL: it cannot be UTF-8 */
    void *none, *int_type, *float_type, *str_type;
};

/* A number among texts: by its text, but never the same level as that text. */
static void add_as_text(struct profile *p, struct column *c, const char *text) {
    uint64_t key[2];
    uint32_t length = (uint32_t)strlen(text);
    hdm_hash(p, (const unsigned char *)text, length, key);
    hdm_note_text(c, length, 0);
    struct slot *s = hdm_add(p, c, ~key[0], key[1]);
    if (s && c->labelled) hdm_set_label(p, c, s, text, length);
}

static bool add_whole(struct profile *p, struct column *c, long long value) {
    char text[32];
    switch (c->wire) {
        case PY_INTEGER: hdm_add_integer(p, c, value); return true;
        case PY_FLOAT: hdm_add_double(p, c, (double)value); return true;
        case PY_TEXT:
            snprintf(text, sizeof text, "%lld", value);
            add_as_text(p, c, text);
            return true;
        default: return false;
    }
}

static bool add_real(struct profile *p, struct column *c, double value) {
    char text[32];
    if (c->wire == PY_FLOAT) {
        hdm_add_double(p, c, value);
        return true;
    }
    if (c->wire != PY_TEXT) return false;
    snprintf(text, sizeof text, "%.17g", value);
    add_as_text(p, c, text);
    return true;
}

static bool add_string(struct profile *p, struct column *c, const unsigned char *text, size_t length) {
    int64_t moment;
    bool fits;
    p->bytes += length;
    switch (c->wire) {
        case PY_TEXT: hdm_add_text(p, c, text, length); return true;
        case PY_DATE: fits = hdm_read_date(text, length, &moment); break;
        case PY_DATETIME: fits = hdm_read_datetime(text, length, &moment); break;
        case PY_TIME: fits = hdm_read_clock(text, length, &moment) && moment >= 0 && moment < DAY; break;
        default: return false;
    }
    if (fits) hdm_add_integer(p, c, moment);
    return fits;
}

static void add_value(struct profile *p, struct column *c, const struct python *py, void *object) {
    void *type = py->type_of(object);
    ptrdiff_t length = 0;
    bool fits;
    enum class class = BLOB;
    py->release(type); /* the object holds it, too */
    if (type == py->str_type) {
        const char *text = py->utf8(object, &length);
        class = STRING;
        fits = c->wire == PY_OPAQUE || (text && add_string(p, c, (const unsigned char *)text, (size_t)length));
    } else if (type == py->int_type) {
        class = WHOLE;
        fits = c->wire == PY_OPAQUE || add_whole(p, c, py->integer(object));
    } else if (type == py->float_type) {
        class = REAL;
        fits = c->wire == PY_OPAQUE || add_real(p, c, py->real(object));
    } else {
        fits = c->wire == PY_OPAQUE;
    }
    p->bytes += 8;
    c->classes[class]++;
    if (c->wire == PY_OPAQUE) c->values++;
    if (!fits) c->misfits++;
}

/* A list of tuples, one value per column. Python's lock is held. */
API uint32_t hdm_feed_rows(struct profile *p, const struct python *py, void *list) {
    ptrdiff_t rows = py->list_size(list);
    if (p->stop) hdm_fail(p, STOPPED);
    for (ptrdiff_t i = 0; i < rows && !p->failure; i++) {
        void *row = py->list_item(list, i);
        for (uint32_t j = 0; j < p->column_count; j++) {
            void *object = py->tuple_item(row, (ptrdiff_t)j);
            if (!object) {
                hdm_fail(p, MALFORMED);
                break;
            }
            if (object == py->none)
                p->columns[j].nulls++;
            else
                add_value(p, &p->columns[j], py, object);
        }
        p->rows++;
    }
    return p->failure;
}
