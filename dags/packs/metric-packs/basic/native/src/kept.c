/* The distinct keys of a column, kept in the order of their visit: another column's may then be looked up among them. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 1024  /* bytes */
#define MOST_OF_NUMBER 10 /* bytes of a difference of 64 bits, 7 bits in each */

#define SHARE 8 /* of the budget that the keys of all columns may use in addition to it */

struct kept {
    struct hdm_profile *profile;
    uint8_t *bytes;
    size_t used, room, most;
    uint64_t last;
    uint8_t kind;
    bool sorted; /* texts: not until they are asked for */
};

HDM_API void hdm_keep(struct hdm_profile *p, uint32_t column, uint64_t most) {
    struct column *c = &p->columns[column];
    if (c->kept || (c->kind != HDM_INTEGER && c->kind != HDM_UNSIGNED && c->kind != HDM_TEXT)) return;
    c->kept = calloc(1, sizeof *c->kept);
    if (!c->kept) return; /* whoever needs the keys asks the database instead */
    c->kept->profile = p;
    c->kept->kind = c->kind;
    c->kept->most = most;
}

void hdm_drop_kept(struct column *c) {
    if (!c->kept) return;
    c->kept->profile->kept -= c->kept->room;
    free(c->kept->bytes);
    free(c->kept);
    c->kept = NULL;
}

static bool make_room(struct kept *k, size_t more) {
    if (k->used + more <= k->room) return true;
    size_t room = k->room ? 2 * k->room : FIRST_ROOM;
    if (room > k->most) room = k->most;
    bool affordable = k->profile->kept - k->room + room <= k->profile->budget / SHARE;
    uint8_t *larger = affordable && k->used + more <= room ? realloc(k->bytes, room) : NULL;
    if (!larger) return false;
    k->profile->kept += room - k->room;
    k->bytes = larger;
    k->room = room;
    return true;
}

/* Numbers come in ascending order. Of each, the difference from the one before is kept: dense ones take a byte. */
void hdm_keep_key(struct column *c, uint64_t hi, uint64_t lo) {
    struct kept *k = c->kept;
    bool text = k->kind == HDM_TEXT, beyond = k->kind == HDM_UNSIGNED && hi >= SIGN_BIT;
    if (beyond || !make_room(k, text ? 16 : MOST_OF_NUMBER)) {
        hdm_drop_kept(c);
        return;
    }
    if (text) {
        memcpy(k->bytes + k->used, &hi, 8);
        memcpy(k->bytes + k->used + 8, &lo, 8);
        k->used += 16;
        return;
    }
    uint64_t key = k->kind == HDM_UNSIGNED ? hi | SIGN_BIT : hi, rest = key - k->last;
    k->last = key;
    for (; rest >= 128; rest >>= 7) k->bytes[k->used++] = (uint8_t)(rest | 128);
    k->bytes[k->used++] = (uint8_t)rest;
}

static int compare_texts(const void *a, const void *b) {
    uint64_t x[2], y[2];
    memcpy(x, a, 16);
    memcpy(y, b, 16);
    if (x[0] != y[0]) return x[0] < y[0] ? -1 : 1;
    return (x[1] > y[1]) - (x[1] < y[1]);
}

HDM_API int64_t hdm_kept(struct hdm_profile *p, uint32_t column, const unsigned char **bytes) {
    struct kept *k = p->columns[column].kept;
    if (!k || p->failure) return -1;
    if (k->kind == HDM_TEXT && !k->sorted && k->used) qsort(k->bytes, k->used / 16, 16, compare_texts);
    k->sorted = true;
    *bytes = k->bytes;
    return (int64_t)k->used;
}

static const unsigned char *next_number(const unsigned char *at, const unsigned char *end, uint64_t *key) {
    uint64_t rest = 0;
    for (unsigned shift = 0; at < end && shift < 64; shift += 7) {
        rest |= (uint64_t)(*at & 127) << shift;
        if (*at++ < 128) break;
    }
    *key += rest;
    return at;
}

static int64_t missing_numbers(const unsigned char *parent, const unsigned char *parent_end, const unsigned char *child,
                               const unsigned char *child_end, int64_t *first, size_t room) {
    int64_t missing = 0;
    uint64_t sought = 0, key = 0;
    bool has_key = false;
    while (child < child_end) {
        child = next_number(child, child_end, &sought);
        while ((!has_key || key < sought) && parent < parent_end) {
            parent = next_number(parent, parent_end, &key);
            has_key = true;
        }
        if (has_key && key == sought) continue;
        if ((size_t)missing < room) first[missing] = (int64_t)(sought ^ SIGN_BIT);
        missing++;
    }
    return missing;
}

HDM_API int64_t hdm_missing(const unsigned char *parent, size_t parent_length, const unsigned char *child,
                            size_t child_length, int texts, int64_t *first, size_t room) {
    if (!texts) return missing_numbers(parent, parent + parent_length, child, child + child_length, first, room);
    int64_t missing = 0;
    size_t at = 0;
    for (size_t i = 0; i + 16 <= child_length; i += 16) {
        while (at + 16 <= parent_length && compare_texts(parent + at, child + i) < 0) at += 16;
        missing += at + 16 > parent_length || compare_texts(parent + at, child + i) != 0;
    }
    return missing;
}
