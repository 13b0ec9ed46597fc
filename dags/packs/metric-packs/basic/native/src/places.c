/* Decimal places: how many digits after the point numbers need.
 *
 * A decimal needs those that remain without the zeros at its end. A double needs as many as the shortest decimal that is
 * read as the same double; if no decimal of 15 digits is, it counts as needing 15 places, which also is the most. */
#include "internal.h"

#define MOST_PLACES 15
#define MOST_DIGITS 1e15 /* an integer below it has 15 digits at most, and is a double */

static const double powers[MOST_PLACES + 1] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                               1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

/* Whether a decimal with so many places is read as this number. Its digits and the power of ten are doubles, so their
 * quotient is the nearest double (Clinger 1990). */
static bool fits(double number, double scaled, int places, bool single) {
    double digits = (double)(int64_t)scaled;
    if (!single) return (double)(int64_t)(scaled + 0.5) / powers[places] == number;
    return (float)(digits / powers[places]) == (float)number || (float)((digits + 1) / powers[places]) == (float)number;
}

void hdm_note_double(struct column *c, double value, uint64_t count) {
    double number = value < 0 ? -value : value;
    if (!(number < 0x1p53) || number == (double)(int64_t)number) return;
    bool single = c->kind == HDM_FLOAT && (c->wire == HDM_PG_FLOAT4 || c->wire == HDM_MY_SINGLE);
    int places = (int)c->places;
    c->fractions += count;
    if (places == MOST_PLACES) return;
    while (places && number * powers[places] >= MOST_DIGITS) places--;
    for (; places <= MOST_PLACES && number * powers[places] < MOST_DIGITS; places++) {
        if (!fits(number, number * powers[places], places, single)) continue;
        if (places > (int)c->places) c->places = (uint32_t)places;
        return;
    }
    c->places = MOST_PLACES;
}

void hdm_note_groups(struct column *c, const uint16_t *groups, int length, int weight) {
    int places = 4 * (length - 1 - weight);
    if (!length || places <= 0) return;
    c->fractions++;
    if (places <= (int)c->places) return;
    for (unsigned group = groups[length - 1]; group % 10 == 0; group /= 10) places--;
    if (places > (int)c->places) c->places = (uint32_t)places;
}
