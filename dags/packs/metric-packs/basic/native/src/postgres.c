/* PostgreSQL: what COPY ... TO STDOUT (FORMAT binary) sends. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIGNATURE, ROWS };

#define MOST_GROUPS 40000 /* of a numeric, which has at most 131,072 + 16,383 digits in groups of four */

static inline uint16_t read16(const unsigned char *at) { return (uint16_t)(at[0] << 8 | at[1]); }
static inline uint32_t read32(const unsigned char *at) {
    uint32_t word;
    memcpy(&word, at, 4);
    return __builtin_bswap32(word);
}
static inline uint64_t read64(const unsigned char *at) {
    uint64_t word;
    memcpy(&word, at, 8);
    return __builtin_bswap64(word);
}

static bool add_numeric(struct hdm_profile *p, struct column *c, const unsigned char *at, uint32_t length) {
    if (length < 8) return false;
    int count = read16(at), weight = (int16_t)read16(at + 2), sign = read16(at + 4);
    if (length != 8u + 2u * (uint32_t)count || count > MOST_GROUPS) return false;
    if (sign & 0x8000) { /* NaN, Infinity, -Infinity */
        double value = sign == 0xd000 ? __builtin_inf() : sign == 0xf000 ? -__builtin_inf() : __builtin_nan("");
        c->not_finite++;
        struct hdm_level *s = hdm_add(p, c, hdm_key_of_double(value), 0);
        const char *text = sign == 0xd000 ? "Infinity" : sign == 0xf000 ? "-Infinity" : "NaN";
        if (s && c->words == 2) hdm_set_label(p, c, s, text, strlen(text));
        return true;
    }
    uint16_t few[64], *groups = count <= 64 ? few : malloc(2 * (size_t)count);
    if (!groups) {
        hdm_fail(p, HDM_NO_MEMORY);
        return true;
    }
    bool sound = sign == 0 || sign == 0x4000;
    for (int i = 0; i < count; i++) {
        groups[i] = read16(at + 8 + 2 * i);
        sound = sound && groups[i] < 10000;
    }
    int end = count, start = 0;
    while (end > 0 && groups[end - 1] == 0) end--;
    while (start < end && groups[start] == 0) start++;
    if (sound) hdm_add_decimal(p, c, sign == 0x4000, groups + start, end - start, weight - start);
    if (groups != few) free(groups);
    return sound;
}

static bool add_timetz(struct hdm_profile *p, struct column *c, const unsigned char *at) {
    long long clock = (long long)read64(at), seconds = clock / 1000000;
    int west = (int)read32(at + 8); /* seconds */
    if (clock < 0 || clock > DAY || west <= -86400 || west >= 86400) return false;
    int zone = -west, off = zone < 0 ? -zone : zone;
    char text[96];
    int n = snprintf(text, sizeof text, "%02lld:%02lld:%02lld", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if (clock % 1000000) {
        n += snprintf(text + n, 16, ".%06lld", clock % 1000000);
        while (text[n - 1] == '0') n--;
    }
    n += snprintf(text + n, 16, "%c%02d", zone < 0 ? '-' : '+', off / 3600);
    if (off % 3600) n += snprintf(text + n, 16, ":%02d", off / 60 % 60);
    if (off % 60) n += snprintf(text + n, 16, ":%02d", off % 60);
    hdm_add_text(p, c, (const unsigned char *)text, (size_t)n);
    return true;
}

/* Adds a value that is not null. Returns false if its bytes do not fit its type. */
static inline bool add_value(struct hdm_profile *p, struct column *c, const unsigned char *at, uint32_t length) {
    float single;
    double value;
    uint32_t half;
    uint64_t word;
    switch (c->wire) {
        case HDM_PG_OPAQUE: hdm_count_value(p, c); return true;
        case HDM_PG_BOOL:
            if (length != 1) return false;
            hdm_add_integer(p, c, at[0] != 0);
            return true;
        case HDM_PG_INT2:
            if (length != 2) return false;
            hdm_add_integer(p, c, (int16_t)read16(at));
            return true;
        case HDM_PG_INT4:
        case HDM_PG_DATE:
            if (length != 4) return false;
            hdm_add_integer(p, c, (int32_t)read32(at));
            return true;
        case HDM_PG_OID:
            if (length != 4) return false;
            hdm_add_integer(p, c, read32(at));
            return true;
        case HDM_PG_INT8:
        case HDM_PG_TIMESTAMP:
        case HDM_PG_TIME:
            if (length != 8) return false;
            hdm_add_integer(p, c, (int64_t)read64(at));
            return true;
        case HDM_PG_FLOAT4:
            if (length != 4) return false;
            half = read32(at);
            memcpy(&single, &half, 4);
            hdm_add_double(p, c, single);
            return true;
        case HDM_PG_FLOAT8:
            if (length != 8) return false;
            word = read64(at);
            memcpy(&value, &word, 8);
            hdm_add_double(p, c, value);
            return true;
        case HDM_PG_NUMERIC: return add_numeric(p, c, at, length);
        case HDM_PG_BPCHAR:
            while (length && at[length - 1] == ' ') length--; /* padding */
            hdm_add_text(p, c, at, length);
            return true;
        case HDM_PG_TEXT: hdm_add_text(p, c, at, length); return true;
        case HDM_PG_UUID:
            if (length != 16) return false;
            hdm_add_uuid(p, c, at);
            return true;
        case HDM_PG_TIMETZ:
            if (length != 12) return false;
            return add_timetz(p, c, at);
        default: return false;
    }
}

/* Returns the end of the row that starts at `at`; NULL if it is incomplete or malformed. */
static const unsigned char *end_of_row(struct hdm_profile *p, const unsigned char *at, const unsigned char *end) {
    if (end - at < 2) return NULL;
    uint16_t fields = read16(at);
    at += 2;
    if (fields == 0xffff) return at;
    if (fields != p->column_count) {
        hdm_fail(p, HDM_MALFORMED);
        return NULL;
    }
    for (uint32_t i = 0; i < fields; i++) {
        if (end - at < 4) return NULL;
        uint32_t length = read32(at);
        at += 4;
        if (length == UINT32_MAX) continue;
        if (length > INT32_MAX) {
            hdm_fail(p, HDM_MALFORMED);
            return NULL;
        }
        if ((size_t)(end - at) < length) return NULL;
        at += length;
    }
    return at;
}

/* Adds a whole row. Returns its end; NULL if it is malformed. */
static const unsigned char *add_row(struct hdm_profile *p, const unsigned char *at, const unsigned char *end) {
    if (end - at < 2) return NULL;
    uint16_t fields = read16(at);
    at += 2;
    if (fields == 0xffff) {
        p->state = ENDED;
        return at;
    }
    if (fields != p->column_count) return NULL;
    for (struct column *c = p->columns, *last = c + p->column_count; c < last; c++) {
        if (end - at < 4) return NULL;
        uint32_t length = read32(at);
        at += 4;
        if (length == UINT32_MAX) continue;
        if ((size_t)(end - at) < length || !add_value(p, c, at, length)) return NULL;
        at += length;
    }
    hdm_end_row(p);
    return at;
}

/* Adds whole rows: without end_of_row, whose search for the end takes a tenth of the time. */
static void add_rows(struct hdm_profile *p, const unsigned char *at, const unsigned char *end) {
    while (at && at < end && p->state == ROWS && !p->failure) at = add_row(p, at, end);
    if (!at) hdm_fail(p, HDM_MALFORMED);
}

static size_t consume(struct hdm_profile *p, const unsigned char *bytes, size_t length) {
    static const unsigned char signature[11] = "PGCOPY\n\377\r\n";
    const unsigned char *at = bytes, *end = bytes + length;
    if (p->state == SIGNATURE) {
        if (length < 19) return 0;
        uint32_t extension = read32(at + 15);
        if (memcmp(at, signature, 11) || read32(at + 11) || extension > 1 << 20) {
            hdm_fail(p, HDM_MALFORMED);
            return 0;
        }
        if (length < 19 + (size_t)extension) return 0;
        at += 19 + extension;
        p->state = ROWS;
    }
    while (p->state == ROWS && !p->failure) {
        const unsigned char *next = end_of_row(p, at, end);
        if (!next) break;
        if (!add_row(p, at, next)) hdm_fail(p, HDM_MALFORMED);
        at = next;
    }
    return (size_t)(at - bytes);
}

HDM_API enum hdm_failure hdm_feed_copy(struct hdm_profile *p, const unsigned char *bytes, size_t length) {
    return hdm_feed(p, consume, bytes, length);
}

HDM_API enum hdm_failure hdm_drain_copy(struct hdm_profile *p, void *connection, hdm_get_copy_data *get,
                                        hdm_free_message *release) {
    char *message;
    for (int length; (length = get(connection, &message, 0)) > 0;) {
        const unsigned char *bytes = (unsigned char *)message;
        if (p->state != ROWS || p->carried || hdm_is_stopped(p)) {
            hdm_feed_copy(p, bytes, (size_t)length);
        } else { /* libpq always returns one row at a time */
            hdm_count(&p->bytes, (uint64_t)length);
            add_rows(p, bytes, bytes + length);
        }
        release(message);
        if (p->failure) break;
    }
    return p->failure;
}
