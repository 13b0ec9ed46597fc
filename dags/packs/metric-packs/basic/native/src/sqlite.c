/* SQLite: the rows of a statement, without making Python objects of them. */
#define _POSIX_C_SOURCE 200809L
#include "internal.h"

#include <time.h>

enum { SQLITE_INTEGER = 1, SQLITE_FLOAT, SQLITE_TEXT, SQLITE_BLOB, SQLITE_NULL };
enum { SQLITE_INTERRUPT = 9, SQLITE_ROW = 100, SQLITE_DONE = 101 };

#define STEPS 20000 /* of SQLite's machine, after which it calls is_over */

struct patience {
    const struct hdm_profile *profile;
    double end;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int is_over(void *state) {
    const struct patience *patience = state;
    return hdm_is_stopped(patience->profile) || now() > patience->end;
}

static void add_row(struct hdm_profile *p, const struct hdm_sqlite *sq, void *statement) {
    const unsigned char *text;
    for (uint32_t i = 0; i < p->column_count; i++) {
        struct column *c = &p->columns[i];
        int at = (int)i;
        switch (sq->type(statement, at)) {
            case SQLITE_INTEGER: hdm_add_whole(p, c, sq->integer(statement, at)); break;
            case SQLITE_FLOAT: hdm_add_real(p, c, sq->real(statement, at)); break;
            case SQLITE_TEXT:
                text = sq->text(statement, at);
                if (text)
                    hdm_add_string(p, c, text, (size_t)sq->bytes(statement, at));
                else
                    hdm_fail(p, HDM_NO_MEMORY);
                break;
            case SQLITE_BLOB: hdm_add_blob(p, c); break;
            default: break; /* null */
        }
    }
    hdm_end_row(p);
}

HDM_API enum hdm_failure hdm_drain_sqlite(struct hdm_profile *p, const struct hdm_sqlite *sq, void *connection,
                                          void *statement, double seconds) {
    struct patience patience = {p, now() + seconds};
    int result = SQLITE_ROW;
    if (hdm_is_stopped(p)) hdm_fail(p, HDM_STOPPED);
    sq->on_progress(connection, STEPS, is_over, &patience);
    while (!p->failure && (result = sq->step(statement)) == SQLITE_ROW) add_row(p, sq, statement);
    sq->on_progress(connection, 0, NULL, NULL);
    if (result == SQLITE_INTERRUPT) {
        hdm_fail(p, HDM_STOPPED);
    } else if (result != SQLITE_ROW && result != SQLITE_DONE) {
        p->code = (uint32_t)result;
        hdm_fail(p, HDM_SERVER_ERROR);
    }
    return p->failure;
}
