/* Dates and times sent as texts: YYYY-MM-DD, HH:MM[:SS[.ffffff]], and both with a blank or a T between them. */
#include "internal.h"

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

static bool read_parts(const unsigned char **at, const unsigned char *end, int64_t *days, int64_t *packed) {
    int64_t year, month, day;
    if (!read_number(at, end, 4, 4, &year) || !read_sign(at, end, '-') || !read_number(at, end, 2, 2, &month) ||
        !read_sign(at, end, '-') || !read_number(at, end, 2, 2, &day))
        return false;
    *packed = year * 512 + month * 32 + day;
    if (!is_date(year, month, day)) return false;
    *days = days_of(year, month, day);
    return true;
}

/* For a text of the right form that is not a date (2020-02-30, 0000-00-00), it returns false and sets `days` to a
 * number below all dates: see HDM_NO_DATES. */
bool hdm_read_date(const unsigned char *text, size_t length, int64_t *days) {
    const unsigned char *at = text, *end = text + length;
    int64_t packed = 0;
    bool found = read_parts(&at, end, days, &packed) && at == end;
    if (!found) *days = packed + HDM_NO_DATES;
    return found;
}

static bool read_clock(const unsigned char **at, const unsigned char *end, int64_t *microseconds) {
    int64_t hours, minutes, seconds = 0, part = 0, unit = 100000;
    if (!read_number(at, end, 2, 3, &hours) || !read_sign(at, end, ':') || !read_number(at, end, 2, 2, &minutes))
        return false;
    if (*at < end && **at == ':') {
        (*at)++;
        if (!read_number(at, end, 2, 2, &seconds)) return false;
        if (*at < end && **at == '.') {
            const unsigned char *start = ++*at;
            for (; *at < end && **at >= '0' && **at <= '9'; (*at)++, unit /= 10) part += unit * (**at - '0');
            if (*at == start) return false;
        }
    }
    *microseconds = ((hours * 60 + minutes) * 60 + seconds) * 1000000 + part;
    return minutes < 60 && seconds < 60;
}

/* Accepts negative times and times longer than a day: MySQL's TIME is a duration. */
bool hdm_read_clock(const unsigned char *text, size_t length, int64_t *microseconds) {
    const unsigned char *at = text, *end = text + length;
    bool negative = at < end && *at == '-';
    at += negative;
    if (!read_clock(&at, end, microseconds) || at != end) return false;
    if (negative) *microseconds = -*microseconds;
    return true;
}

/* Converts a time with Z, +HH:MM or -HH:MM at its end to UTC. Not a date: as hdm_read_date, see HDM_NO_DATETIMES. */
bool hdm_read_datetime(const unsigned char *text, size_t length, int64_t *microseconds) {
    const unsigned char *at = text, *end = text + length;
    int64_t days = 0, packed = 0, clock = 0, hours, minutes;
    bool found = read_parts(&at, end, &days, &packed);
    if (at < end && (*at == ' ' || *at == 'T')) {
        at++;
        found = read_clock(&at, end, &clock) && clock < DAY && found;
        while (at < end && *at == ' ') at++;
        if (at < end && (*at == 'Z' || *at == 'z')) {
            at++;
        } else if (at < end && (*at == '+' || *at == '-')) {
            int64_t sign = *at++ == '+' ? -1 : 1;
            found = read_number(&at, end, 2, 2, &hours) && read_sign(&at, end, ':') &&
                    read_number(&at, end, 2, 2, &minutes) && hours < 15 && minutes < 60 && found;
            if (found) clock += sign * (hours * 60 + minutes) * 60000000;
        }
    }
    found = found && at == end;
    *microseconds = found ? days * DAY + clock : packed * DAY + clock + HDM_NO_DATETIMES;
    return found;
}
