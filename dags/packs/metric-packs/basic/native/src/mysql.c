/* MySQL and MariaDB: the rows of a query's result, as the text protocol sends them in packets. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define LARGEST 0xffffff /* bytes of a packet; after one of that size, the row continues in the next */

/* Accepts leading zeros (ZEROFILL). */
static bool read_integer(const unsigned char *at, size_t length, bool is_signed, uint64_t *key) {
    bool negative = is_signed && length && at[0] == '-';
    uint64_t number = 0, most = !is_signed ? UINT64_MAX : negative ? SIGN_BIT : SIGN_BIT - 1;
    if (length == negative) return false;
    for (size_t i = negative; i < length; i++) {
        uint64_t digit = (uint64_t)at[i] - '0';
        if (digit > 9 || number > (most - digit) / 10) return false;
        number = number * 10 + digit;
    }
    *key = is_signed ? hdm_key_of_integer((int64_t)(negative ? 0 - number : number)) : number;
    return true;
}

/* Whether the text looks like a date or datetime, whether or not the calendar has it. */
static bool is_moment(const unsigned char *at, size_t length, size_t least) {
    for (size_t i = 0; i < length; i++)
        if (!at[i] || !strchr("0123456789-:. ", at[i])) return false;
    return length >= least;
}

static bool add_value(struct hdm_profile *p, struct column *c, const unsigned char *at, size_t length) {
    uint64_t key = 0;
    int64_t moment = 0;
    double value;
    switch (c->wire) {
        case HDM_MY_OPAQUE: hdm_count_value(p, c); return true;
        case HDM_MY_INTEGER:
        case HDM_MY_UNSIGNED:
            if (!read_integer(at, length, c->wire == HDM_MY_INTEGER, &key)) return false;
            hdm_add(p, c, key, 0);
            return true;
        case HDM_MY_FLOAT:
        case HDM_MY_SINGLE:
            if (!hdm_read_double(at, length, &value)) return false;
            hdm_add_double(p, c, value);
            return true;
        case HDM_MY_DECIMAL: return hdm_add_decimal_text(p, c, at, length);
        case HDM_MY_TEXT: hdm_add_text(p, c, at, length); return true;
        case HDM_MY_BIT:
            if (length > 8) return false;
            for (size_t i = 0; i < length; i++) key = key << 8 | at[i];
            hdm_add(p, c, c->kind == HDM_INTEGER ? hdm_key_of_integer((int64_t)key) : key, 0);
            return true;
        case HDM_MY_DATE: /* 0000-00-00 and the like are levels, but not dates */
            if (hdm_read_date(at, length, &moment) != HDM_MOMENT && !is_moment(at, length, 10)) return false;
            hdm_add_integer(p, c, moment);
            return true;
        case HDM_MY_DATETIME:
            if (hdm_read_datetime(at, length, &moment) != HDM_MOMENT && !is_moment(at, length, 19)) return false;
            hdm_add_integer(p, c, moment);
            return true;
        case HDM_MY_TIME:
            if (!hdm_read_clock(at, length, &moment)) return false;
            hdm_add_integer(p, c, moment);
            return true;
        default: return false;
    }
}

/* Reads the length that precedes a value. Returns false if the bytes end within it. */
static bool read_length(const unsigned char **at, const unsigned char *end, uint64_t *length) {
    if (*at == end) return false;
    unsigned char first = *(*at)++;
    int bytes = first < 0xfb ? 0 : first == 0xfc ? 2 : first == 0xfd ? 3 : 8;
    *length = first;
    if (!bytes) return true;
    if (end - *at < bytes) return false;
    *length = 0;
    memcpy(length, *at, (size_t)bytes); /* little-endian, as this machine: internal.h */
    *at += bytes;
    return true;
}

static bool add_row(struct hdm_profile *p, const unsigned char *at, const unsigned char *end) {
    for (struct column *c = p->columns, *last = c + p->column_count; c < last; c++) {
        uint64_t length;
        if (at < end && *at == 0xfb) {
            at++;
            continue;
        }
        if (!read_length(&at, end, &length) || (uint64_t)(end - at) < length) return false;
        if (!add_value(p, c, at, length)) return false;
        at += length;
    }
    hdm_end_row(p);
    return at == end;
}

static void take_packet(struct hdm_profile *p, const unsigned char *at, size_t length) {
    if (length && at[0] == 0xfe && length < 9) {
        p->state = ENDED;
    } else if (length >= 3 && at[0] == 0xff) {
        p->code = (uint32_t)(at[1] | at[2] << 8);
        p->state = ENDED;
        hdm_fail(p, HDM_SERVER_ERROR);
    } else if (!add_row(p, at, at + length)) {
        hdm_fail(p, HDM_MALFORMED);
    }
}

static size_t packet_length(const unsigned char *at) { return (size_t)(at[0] | at[1] << 8 | at[2] << 16); }

/* Joins the packets of a row of more than 16 MB. Returns how many bytes they have; 0 if some have not arrived. */
static size_t take_long(struct hdm_profile *p, const unsigned char *bytes, size_t length) {
    size_t end = 0, total = 0, part;
    do {
        if (length - end < 4) return 0;
        part = packet_length(bytes + end);
        if (length - end - 4 < part) return 0;
        end += 4 + part;
        total += part;
    } while (part == LARGEST);
    unsigned char *whole = malloc(total + 1);
    if (!whole) {
        hdm_fail(p, HDM_NO_MEMORY);
        return 0;
    }
    for (size_t from = 0, to = 0; from < end; from += 4 + part, to += part) {
        part = packet_length(bytes + from);
        memcpy(whole + to, bytes + from + 4, part);
    }
    take_packet(p, whole, total);
    free(whole);
    return end;
}

static size_t consume(struct hdm_profile *p, const unsigned char *bytes, size_t length) {
    size_t at = 0;
    while (length - at >= 4 && p->state != ENDED && !p->failure) {
        size_t part = packet_length(bytes + at), used = 4 + part;
        if (length - at < used) break;
        if (part == LARGEST) {
            used = take_long(p, bytes + at, length - at);
            if (!used) break;
        } else {
            take_packet(p, bytes + at + 4, part);
        }
        at += used;
    }
    return at;
}

HDM_API enum hdm_failure hdm_feed_mysql(struct hdm_profile *p, const unsigned char *bytes, size_t length) {
    return hdm_feed(p, consume, bytes, length);
}

HDM_API uint32_t hdm_code(const struct hdm_profile *p) { return p->code; }
