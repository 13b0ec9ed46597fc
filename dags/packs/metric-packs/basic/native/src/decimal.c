/* Decimals of any length: their nearest double, and a hash that tells apart those with more than 15 digits. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_TEXT 1280 /* bytes of plain digits: 100 groups after 99 groups of zeros */

static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static double by_text(bool negative, const uint16_t *groups, int length, int weight) {
    /* 200 groups are 800 digits. Later digits can change the double only by breaking a tie: a 1 stands for them. */
    char text[1024];
    int used = length < 200 ? length : 200, n = 0;
    if (negative) text[n++] = '-';
    for (int i = 0; i < used; i++) n += snprintf(text + n, 5, "%04u", groups[i] % 10000u);
    if (used < length) text[n++] = '1';
    snprintf(text + n, 24, "e%d", 4 * (weight - used + 1) - (used < length));
    return strtod(text, NULL);
}

/* Exact if both the digits as an integer and the power of ten are doubles (Clinger 1990); else the C library rounds. */
static double nearest(bool negative, const uint16_t *groups, int length, int weight) {
    uint64_t digits = 0;
    int exponent = 4 * (weight - length + 1);
    if (length > 4) return by_text(negative, groups, length, weight);
    for (int i = 0; i < length; i++) digits = digits * 10000 + groups[i];
    if (digits > UINT64_C(1) << 53 || exponent < -22 || exponent > 22)
        return by_text(negative, groups, length, weight);
    double value = exponent < 0 ? (double)digits / powers[-exponent] : (double)digits * powers[exponent];
    return negative ? -value : value;
}

/* Writes plain digits without trailing zeros: one text for each value, whatever its scale. Returns the text's length; 0
 * if it would be too long. */
static size_t plain(char *text, bool negative, const uint16_t *groups, int length, int weight) {
    size_t n = 0;
    if (weight > 100 || weight < -100 || length > 100) return 0;
    if (negative) text[n++] = '-';
    if (weight < 0) text[n++] = '0';
    for (int i = 0; i <= weight; i++)
        n += (size_t)snprintf(text + n, 6, i ? "%04u" : "%u", i < length ? groups[i] % 10000u : 0u);
    if (weight < length - 1) {
        text[n++] = '.';
        for (int i = -1; i > weight; i--) n += (size_t)snprintf(text + n, 5, "0000");
        for (int i = weight < 0 ? 0 : weight + 1; i < length; i++)
            n += (size_t)snprintf(text + n, 5, "%04u", groups[i] % 10000u);
        while (text[n - 1] == '0') n--;
    }
    return n;
}

void hdm_add_decimal(struct hdm_profile *p, struct column *c, bool negative, const uint16_t *groups, int length,
                     int weight) {
    double value = length ? nearest(negative, groups, length, weight) : 0;
    if (c->words == 1) {
        hdm_add_double(p, c, value);
        return;
    }
    uint64_t key[2];
    if (__builtin_isfinite(value))
        hdm_note_groups(c, groups, length, weight);
    else
        c->not_finite++;
    hdm_hash(p, (const unsigned char *)groups, 2 * (size_t)length, key);
    key[1] ^= hdm_fold((uint64_t)(int64_t)weight ^ p->secret[2], negative ? p->secret[3] : p->secret[1]);
    struct hdm_level *s = hdm_add(p, c, hdm_key_of_double(value), length ? key[1] : 0);
    if (!s || !c->labelled) return;
    char text[MOST_TEXT];
    size_t n = length ? plain(text, negative, groups, length, weight) : 1;
    if (!length) text[0] = '0';
    if (n)
        hdm_set_label(p, c, s, text, n);
    else
        c->labelled = false;
}

bool hdm_add_decimal_text(struct hdm_profile *p, struct column *c, const unsigned char *text, size_t length) {
    uint16_t groups[64];
    size_t start = length && text[0] == '-', point = start, end = length;
    while (point < length && text[point] != '.') point++;
    if (length - start > 120 || point == start) return false;
    int whole = (int)(point - start), lead = (4 - whole % 4) % 4, used = lead, n = 0;
    unsigned group = 0;
    for (size_t i = start; i < end; i++) {
        if (i == point) continue;
        if (text[i] < '0' || text[i] > '9') return false;
        group = group * 10 + (text[i] - '0');
        if (++used == 4) {
            groups[n++] = (uint16_t)group;
            group = 0;
            used = 0;
        }
    }
    if (used) {
        for (; used < 4; used++) group *= 10;
        groups[n++] = (uint16_t)group;
    }
    int weight = (whole + lead) / 4 - 1, first = 0;
    while (n > first && groups[n - 1] == 0) n--;
    while (first < n && groups[first] == 0) first++;
    hdm_add_decimal(p, c, start, groups + first, n - first, weight - first);
    return true;
}

bool hdm_read_double(const unsigned char *text, size_t length, double *value) {
    char copy[400], *end;
    if (!length || length >= sizeof copy) return false;
    for (size_t i = 0; i < length; i++) { /* strtod accepts more than SQL: 0x10, nan */
        unsigned char c = text[i];
        if ((c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E') return false;
    }
    memcpy(copy, text, length);
    copy[length] = 0;
    *value = strtod(copy, &end);
    return end == copy + length;
}
