/* Rows as lists of Python's tuples, which its module sqlite3 returns. */
#include "internal.h"

static void add_object(struct hdm_profile *p, struct column *c, const struct hdm_python *py, void *object) {
    void *type = py->type_of(object);
    ptrdiff_t length = 0;
    py->release(type); /* the object still holds it */
    if (type == py->str_type) {
        const char *text = py->utf8(object, &length);
        if (text)
            hdm_add_string(p, c, (const unsigned char *)text, (size_t)length);
        else
            hdm_fail(p, HDM_MALFORMED);
    } else if (type == py->int_type) {
        hdm_add_whole(p, c, py->integer(object));
    } else if (type == py->float_type) {
        hdm_add_real(p, c, py->real(object));
    } else {
        hdm_add_blob(p, c);
    }
}

HDM_API enum hdm_failure hdm_feed_rows(struct hdm_profile *p, const struct hdm_python *py, void *list) {
    ptrdiff_t rows = py->list_size(list);
    if (hdm_is_stopped(p)) hdm_fail(p, HDM_STOPPED);
    for (ptrdiff_t i = 0; i < rows && !p->failure; i++) {
        void *row = py->list_item(list, i);
        for (uint32_t j = 0; j < p->column_count; j++) {
            void *object = py->tuple_item(row, (ptrdiff_t)j);
            if (!object) {
                hdm_fail(p, HDM_MALFORMED);
                break;
            }
            if (object != py->none) add_object(p, &p->columns[j], py, object);
        }
        hdm_end_row(p);
    }
    return p->failure;
}
