/* A stream of rows in chunks that are cut off anywhere: the incomplete row at the end of one waits for the next. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

static void carry(struct hdm_profile *p, const unsigned char *bytes, size_t length) {
    if (p->carried + length > p->carry_room) {
        size_t room = 2 * (p->carried + length);
        unsigned char *larger = realloc(p->carry, room);
        if (!larger) {
            hdm_fail(p, HDM_NO_MEMORY);
            return;
        }
        p->carry = larger;
        p->carry_room = room;
    }
    memcpy(p->carry + p->carried, bytes, length);
    p->carried += length;
}

enum hdm_failure hdm_feed(struct hdm_profile *p, hdm_consumer *consume, const unsigned char *bytes, size_t length) {
    hdm_count(&p->bytes, length);
    if (hdm_is_stopped(p)) hdm_fail(p, HDM_STOPPED);
    if (p->failure) return p->failure;
    if (!p->carried) {
        size_t used = consume(p, bytes, length);
        if (used < length && !p->failure) carry(p, bytes + used, length - used);
        return p->failure;
    }
    carry(p, bytes, length);
    if (p->failure) return p->failure;
    size_t used = consume(p, p->carry, p->carried);
    memmove(p->carry, p->carry + used, p->carried - used);
    p->carried -= used;
    return p->failure;
}

HDM_API int hdm_ended(const struct hdm_profile *p) { return p->state == ENDED && !p->carried; }
