/* Dates and times sent as texts: YYYY-MM-DD, HH:MM[:SS[.fff...]], and both with a blank or a T between them.
 *
 * Unusual but valid moments are read as PostgreSQL reads them: second 60 is the next minute, 24:00:00 the next day, and
 * fractions of a second are rounded to microseconds. */
#include "internal.h"

#include <strings.h>

static bool read_number(const unsigned char **at, const unsigned char *end, int least, int most, int64_t *number) {
    int digits = 0;
    *number = 0;
    for (; *at < end && **at >= '0' && **at <= '9' && digits < most; (*at)++, digits++)
        *number = 10 * *number + (**at - '0');
    return digits >= least;
}

static bool read_sign(const unsigned char **at, const unsigned char *end, unsigned char sign) {
    return *at < end && *(*at)++ == sign;
}

/* Days since 2000-01-01 in the proleptic Gregorian calendar. Source: Hinnant, chrono-compatible low-level date
 * algorithms, `days_from_civil`. */
static int64_t days_of(int64_t year, int64_t month, int64_t day) {
    int64_t y = year - (month <= 2), era = y / 400, of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 730425;
}

static bool is_date(int64_t year, int64_t month, int64_t day) {
    static const unsigned char lengths[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return year >= 1 && month >= 1 && month <= 12 && day >= 1 && day <= lengths[month - 1] &&
           (month != 2 || day < 29 || leap);
}

/* Reads a date. A text of the right form that the calendar does not have gets only `packed`. */
static enum hdm_form read_parts(const unsigned char **at, const unsigned char *end, int64_t *days, int64_t *packed) {
    int64_t year, month, day;
    if (!read_number(at, end, 4, 4, &year) || !read_sign(at, end, '-') || !read_number(at, end, 2, 2, &month) ||
        !read_sign(at, end, '-') || !read_number(at, end, 2, 2, &day))
        return HDM_OTHER_FORM;
    *packed = year * 512 + month * 32 + day;
    if (month > 12 || day > 31) return HDM_OTHER_FORM;
    if (!is_date(year, month, day)) return HDM_NO_MOMENT;
    *days = days_of(year, month, day);
    return HDM_MOMENT;
}

enum hdm_form hdm_read_date(const unsigned char *text, size_t length, int64_t *days) {
    const unsigned char *at = text, *end = text + length;
    int64_t packed = 0;
    enum hdm_form form = read_parts(&at, end, days, &packed);
    if (at != end) form = HDM_OTHER_FORM;
    if (form != HDM_MOMENT) *days = packed + HDM_NO_DATES;
    return form;
}

/* Reads the digits after the point, which are rounded to microseconds. */
static bool read_fraction(const unsigned char **at, const unsigned char *end, int64_t *microseconds) {
    const unsigned char *start = *at;
    int64_t unit = 100000;
    *microseconds = 0;
    for (; *at < end && **at >= '0' && **at <= '9'; (*at)++, unit /= 10) {
        *microseconds += unit * (**at - '0');
        if (*at - start == 6) *microseconds += **at >= '5';
    }
    return *at > start;
}

static bool read_clock(const unsigned char **at, const unsigned char *end, int64_t *microseconds) {
    int64_t hours, minutes, seconds = 0, part = 0;
    if (!read_number(at, end, 2, 3, &hours) || !read_sign(at, end, ':') || !read_number(at, end, 2, 2, &minutes))
        return false;
    if (*at < end && **at == ':') {
        (*at)++;
        if (!read_number(at, end, 2, 2, &seconds)) return false;
        if (*at < end && **at == '.') {
            (*at)++;
            if (!read_fraction(at, end, &part)) return false;
        }
    }
    *microseconds = ((hours * 60 + minutes) * 60 + seconds) * 1000000 + part;
    return minutes < 60 && seconds <= 60;
}

bool hdm_read_clock(const unsigned char *text, size_t length, int64_t *microseconds) {
    const unsigned char *at = text, *end = text + length;
    bool negative = at < end && *at == '-';
    at += negative;
    if (!read_clock(&at, end, microseconds) || at != end) return false;
    if (negative) *microseconds = -*microseconds;
    return true;
}

/* Reads an offset after its sign: HH, HHMM, HH:MM, HH:MM:SS. */
static bool read_offset(const unsigned char **at, const unsigned char *end, int64_t *seconds) {
    int64_t hours, minutes = 0, rest = 0;
    if (!read_number(at, end, 2, 2, &hours)) return false;
    if (*at < end && **at != ':') {
        if (!read_number(at, end, 2, 2, &minutes)) return false;
    } else if (*at < end) {
        (*at)++;
        if (!read_number(at, end, 2, 2, &minutes)) return false;
        if (*at < end && (!read_sign(at, end, ':') || !read_number(at, end, 2, 2, &rest))) return false;
    }
    *seconds = (hours * 60 + minutes) * 60 + rest;
    return hours < 16 && minutes < 60 && rest < 60;
}

/* Reads what may follow a time, and subtracts the offset: Z, UTC, GMT, or an offset, each after blanks or none. */
static bool read_zone(const unsigned char **at, const unsigned char *end, int64_t *microseconds) {
    int64_t seconds;
    while (*at < end && **at == ' ') (*at)++;
    if (*at == end) return true;
    if (end - *at == 3 && (!strncasecmp((const char *)*at, "UTC", 3) || !strncasecmp((const char *)*at, "GMT", 3))) {
        *at += 3;
        return true;
    }
    unsigned char first = *(*at)++;
    if (first == 'Z' || first == 'z') return true;
    if ((first != '+' && first != '-') || !read_offset(at, end, &seconds)) return false;
    *microseconds += (first == '+' ? -seconds : seconds) * 1000000;
    return true;
}

enum hdm_form hdm_read_datetime(const unsigned char *text, size_t length, int64_t *microseconds) {
    const unsigned char *at = text, *end = text + length;
    int64_t days = 0, packed = 0, clock = 0, offset = 0;
    enum hdm_form form = read_parts(&at, end, &days, &packed);
    if (at < end && (*at == ' ' || *at == 'T' || *at == 't')) {
        at++;
        if (!read_clock(&at, end, &clock) || clock >= (form == HDM_MOMENT ? END_OF_DAY : DAY)) form = HDM_OTHER_FORM;
        if (!read_zone(&at, end, &offset)) form = HDM_OTHER_FORM;
    }
    if (at != end) form = HDM_OTHER_FORM;
    *microseconds = form == HDM_MOMENT ? days * DAY + clock + offset : packed * DAY + clock + HDM_NO_DATETIMES;
    return form;
}
