/* hdm_profile: exact statistics of every column of a table whose rows pass by once, in bounded memory.
 *
 *     struct hdm_profile *profile = hdm_new(count, kinds, wires, future, budget, "/tmp", secret);
 *     while ((length = read(server, bytes, sizeof bytes)) > 0)
 *         if (hdm_feed_mysql(profile, bytes, length)) goto failed;
 *     if (!hdm_ended(profile) || hdm_finish(profile, stats)) goto failed;
 *     levels_of_first = hdm_levels(profile, 0, &levels, &texts);
 *     hdm_free(profile);
 *
 * A profile is filled by one family of functions, and its columns have that family's wires: PostgreSQL (hdm_feed_copy,
 * hdm_drain_copy), MySQL (hdm_feed_mysql), or SQLite (hdm_feed_rows, hdm_drain_sqlite).
 *
 * Errors: the functions that fill or finish a profile return HDM_FINE or the reason for its first failure. A failed
 * profile stays failed: every later call returns the same reason, and its statistics mean nothing. No function prints
 * or ends the process. Arguments are not checked: pointers must be valid, indexes within bounds.
 *
 * Threads: profiles share nothing, so threads may fill different ones at the same time. One profile belongs to one
 * thread at a time; handing it over is up to the callers. hdm_rows, hdm_bytes and hdm_stop may be called from any
 * thread at any time between hdm_new and hdm_free.
 *
 * Ownership: the profile copies what hdm_new receives and does not keep pointers to the bytes it is fed. hdm_free
 * releases everything that it holds, including its temporary file.
 *
 * The library needs POSIX and a 64-bit little-endian machine. ../hdm_profile/engine.py declares these functions for
 * Python; a unit test, test_hdm_profile_header.py, compares this file with the Python modules.
 */
#ifndef HDM_PROFILE_H
#define HDM_PROFILE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HDM_API __attribute__((visibility("default")))

/* -- Columns ----------------------------------------------------------------------------------------------------- */

/* What a column holds, which decides its statistics. Python: kinds.py. */
enum hdm_kind {
    HDM_OPAQUE,   /* values are counted, nothing else */
    HDM_INTEGER,  /* signed, 64 bits */
    HDM_UNSIGNED, /* 64 bits */
    HDM_FLOAT,    /* double */
    HDM_DECIMAL,  /* any number of digits: levels are exact, the other statistics are those of the nearest doubles */
    HDM_TEXT,     /* UTF-8 */
    HDM_DATE,     /* days since 2000-01-01 */
    HDM_DATETIME, /* microseconds since 2000-01-01 00:00 */
    HDM_TIME      /* microseconds since midnight; negative or longer than a day where MySQL sends it */
};

/* The type in which PostgreSQL sends a column (binary COPY), and the kinds it goes with. Python: kinds.py. */
enum hdm_pg_wire {
    HDM_PG_OPAQUE,    /* OPAQUE */
    HDM_PG_BOOL,      /* INTEGER, as the next four */
    HDM_PG_INT2,
    HDM_PG_INT4,
    HDM_PG_INT8,
    HDM_PG_OID,
    HDM_PG_FLOAT4,    /* FLOAT */
    HDM_PG_FLOAT8,    /* FLOAT */
    HDM_PG_NUMERIC,   /* DECIMAL; FLOAT for at most 15 digits, which a double tells apart */
    HDM_PG_TEXT,      /* TEXT */
    HDM_PG_BPCHAR,    /* TEXT; trailing blanks are padding and do not count */
    HDM_PG_UUID,      /* TEXT */
    HDM_PG_DATE,      /* DATE */
    HDM_PG_TIMESTAMP, /* DATETIME */
    HDM_PG_TIME,      /* TIME */
    HDM_PG_TIMETZ     /* TEXT: clock and offset, such as 10:00:00+02 */
};

/* The type in which MySQL sends a column (text protocol), and the kinds it goes with. Python: kinds.py. */
enum hdm_my_wire {
    HDM_MY_OPAQUE,   /* OPAQUE */
    HDM_MY_INTEGER,  /* INTEGER */
    HDM_MY_UNSIGNED, /* UNSIGNED */
    HDM_MY_FLOAT,    /* FLOAT */
    HDM_MY_DECIMAL,  /* DECIMAL; FLOAT for at most 15 digits */
    HDM_MY_TEXT,     /* TEXT */
    HDM_MY_BIT,      /* INTEGER or UNSIGNED */
    HDM_MY_DATE,     /* DATE */
    HDM_MY_DATETIME, /* DATETIME */
    HDM_MY_TIME,     /* TIME */
    HDM_MY_SINGLE    /* FLOAT: the double of a float of 32 bits */
};

/* What a column of SQLite is meant to hold, and the kinds it goes with. Its values may be of any class: one that the
 * column is not meant to hold is a misfit. Python: kinds.py. */
enum hdm_any_wire {
    HDM_ANY_OPAQUE,   /* OPAQUE */
    HDM_ANY_INTEGER,  /* INTEGER */
    HDM_ANY_FLOAT,    /* FLOAT; DECIMAL where integers beyond 2^53 must stay exact */
    HDM_ANY_TEXT,     /* TEXT; numbers count as their text, but never equal a text */
    HDM_ANY_DATE,     /* DATE, from texts in ISO 8601, with padding or not; so are the next two */
    HDM_ANY_DATETIME, /* DATETIME */
    HDM_ANY_TIME      /* TIME */
};

/* In `future` of hdm_new: no date counts as being in the future. Python: profile.py. */
#define HDM_NEVER INT64_MAX

/* -- Failures ---------------------------------------------------------------------------------------------------- */

/* Why a table could not be profiled. Python: failures.py. */
enum hdm_failure {
    HDM_FINE,
    HDM_NO_MEMORY,
    HDM_NO_DISK,     /* the temporary file cannot be created, written or read */
    HDM_MALFORMED,   /* the bytes are not rows of these columns */
    HDM_STOPPED,     /* hdm_stop was called, or hdm_drain_sqlite ran out of time */
    HDM_SERVER_ERROR /* the server ended the rows with an error: see hdm_code */
};

/* -- From the first row to the last ------------------------------------------------------------------------------ */

struct hdm_profile;

/* Creates a profile.
 *
 * Args:
 *     count: number of columns, which every row has.
 *     kinds: one enum hdm_kind per column.
 *     wires: one wire per column: of one of the three enums above, according to the functions that will fill it.
 *     future: one moment per column, from which on dates lie in the future: days for HDM_DATE, microseconds for
 *         HDM_DATETIME, both since 2000-01-01; HDM_NEVER for none. Other kinds ignore it.
 *     budget: bytes of memory for levels and keys; what exceeds it goes to the temporary file. Each column may take
 *         about 300 KB whatever the budget.
 *     folder: where to create the temporary file, when it is needed; a path of at most 4,095 bytes. The file has no
 *         name and holds hashes of texts, never texts.
 *     secret: 32 random bytes, the key of these hashes. Whoever knows them can construct texts whose hashes collide.
 * Returns: the profile, which the caller releases with hdm_free; NULL when there is no memory.
 */
HDM_API struct hdm_profile *hdm_new(uint32_t count, const uint8_t *kinds, const uint8_t *wires, const int64_t *future,
                                    uint64_t budget, const char *folder, const uint64_t *secret);

/* Event days that hdm_days counts, and the most levels of a code in hdm_cells. Python: across.py. */
#define HDM_DAYS 14
#define HDM_MOST_CELLS 256

/* Asks for what the columns of one row say together, at most once and before the first row.
 *
 * Args:
 *     event: the number of a column of HDM_DATE or HDM_DATETIME, which says when a row happened; another number: none.
 *     first_day: the first of the HDM_DAYS event days, in days since 2000-01-01.
 *     whole: 1 to count rows that repeat an earlier one in all columns, none of which is HDM_OPAQUE; else 0.
 *     pairs: 2 * `pair_count` columns to compare with each other: dates with dates, numbers with numbers.
 *     codes, numbers: the columns of hdm_cells; codes are not HDM_OPAQUE.
 * Returns: HDM_FINE or HDM_NO_MEMORY. hdm_new's budget also covers the keys of whole rows.
 */
HDM_API enum hdm_failure hdm_plan(struct hdm_profile *profile, uint32_t event, int64_t first_day, uint32_t whole,
                                  uint32_t pair_count, const uint32_t *pairs, uint32_t code_count,
                                  const uint32_t *codes, uint32_t number_count, const uint32_t *numbers);

/* Releases the memory and the temporary file but keeps the counters, for threads that may still ask for them.
 * Afterwards only hdm_rows, hdm_bytes, hdm_stop, hdm_code, hdm_close and hdm_free may be called. */
HDM_API void hdm_close(struct hdm_profile *profile);

/* Releases everything. No thread may use the profile during or after this call. */
HDM_API void hdm_free(struct hdm_profile *profile);

/* Returns: the rows received so far. From any thread, which may see an increase a little later. */
HDM_API uint64_t hdm_rows(const struct hdm_profile *profile);

/* Returns: the bytes received so far; of SQLite, about the bytes of the values. From any thread, like hdm_rows. */
HDM_API uint64_t hdm_bytes(const struct hdm_profile *profile);

/* Makes the thread that fills or finishes the profile end soon, with HDM_STOPPED: at the next bytes or list, within
 * 20,000 steps of SQLite's machine, or within 8,192 keys that hdm_finish merges. From any thread. It does not interrupt
 * a read from a server. */
HDM_API void hdm_stop(struct hdm_profile *profile);

/* Takes part of what PostgreSQL sends for COPY ... TO STDOUT (FORMAT binary).
 *
 * Args:
 *     bytes: of `length`, cut off anywhere; the profile keeps a copy of an incomplete row.
 * Returns: HDM_FINE, HDM_MALFORMED, HDM_STOPPED, HDM_NO_MEMORY or HDM_NO_DISK.
 */
HDM_API enum hdm_failure hdm_feed_copy(struct hdm_profile *profile, const unsigned char *bytes, size_t length);

typedef int hdm_get_copy_data(void *connection, char **message, int async); /* libpq's PQgetCopyData */
typedef void hdm_free_message(void *message);                               /* libpq's PQfreemem */

/* Takes everything that a COPY sends, with libpq's functions, which come as addresses.
 *
 * Args:
 *     connection: a PGconn in the state PGRES_COPY_OUT, which stays the caller's. Whether the COPY succeeded is in its
 *         result (PQgetResult): this function also returns HDM_FINE when the server or the connection ended it early.
 * Returns: as hdm_feed_copy; after a failure the rest of the COPY is still to be read.
 */
HDM_API enum hdm_failure hdm_drain_copy(struct hdm_profile *profile, void *connection, hdm_get_copy_data *get,
                                        hdm_free_message *release);

/* Takes part of the packets in which MySQL and MariaDB send a result's rows, from the first row's packet on.
 *
 * Args:
 *     bytes: of `length`, cut off anywhere; the profile keeps a copy of an incomplete packet.
 * Returns: as hdm_feed_copy, or HDM_SERVER_ERROR.
 */
HDM_API enum hdm_failure hdm_feed_mysql(struct hdm_profile *profile, const unsigned char *bytes, size_t length);

/* The functions and objects of Python's stable ABI that hdm_feed_rows uses. engine.py passes their addresses, so that
 * the library needs neither Python's headers nor its library. */
struct hdm_python {
    ptrdiff_t (*list_size)(void *list);                   /* PyList_Size */
    void *(*list_item)(void *list, ptrdiff_t index);      /* PyList_GetItem: a borrowed reference */
    void *(*tuple_item)(void *tuple, ptrdiff_t index);    /* PyTuple_GetItem: a borrowed reference */
    void *(*type_of)(void *object);                       /* PyObject_Type: a new reference */
    void (*release)(void *object);                        /* Py_DecRef */
    long long (*integer)(void *object);                   /* PyLong_AsLongLong */
    double (*real)(void *object);                         /* PyFloat_AsDouble */
    const char *(*utf8)(void *object, ptrdiff_t *length); /* PyUnicode_AsUTF8AndSize: NULL if it is not Unicode */
    void *none, *int_type, *float_type, *str_type;
};

/* Takes some rows as Python's module sqlite3 returns them.
 *
 * Args:
 *     list: of tuples with one object per column: int of 64 bits, float, str, or None; any other counts as a blob.
 * Returns: HDM_FINE, HDM_MALFORMED for a row that is too short or a str that is not Unicode, HDM_STOPPED, HDM_NO_MEMORY
 *     or HDM_NO_DISK.
 * Threads: the caller holds Python's lock (the GIL), and nothing else changes the list.
 */
HDM_API enum hdm_failure hdm_feed_rows(struct hdm_profile *profile, const struct hdm_python *python, void *list);

/* The functions of the SQLite that this process has loaded. libsqlite.py passes their addresses. */
struct hdm_sqlite {
    int (*step)(void *statement);                              /* sqlite3_step */
    int (*type)(void *statement, int column);                  /* sqlite3_column_type */
    int64_t (*integer)(void *statement, int column);           /* sqlite3_column_int64 */
    double (*real)(void *statement, int column);               /* sqlite3_column_double */
    const unsigned char *(*text)(void *statement, int column); /* sqlite3_column_text */
    int (*bytes)(void *statement, int column);                 /* sqlite3_column_bytes */
    void (*on_progress)(void *connection, int steps, int (*handler)(void *state),
                        void *state);                          /* sqlite3_progress_handler */
};

/* Takes all rows of a prepared statement.
 *
 * Args:
 *     connection: of the statement; no other thread may use it meanwhile. The function replaces its progress handler,
 *         and removes it at the end.
 *     seconds: how long it may take.
 * Returns: HDM_FINE, HDM_STOPPED, HDM_SERVER_ERROR, HDM_NO_MEMORY or HDM_NO_DISK. The caller finalises the statement.
 */
HDM_API enum hdm_failure hdm_drain_sqlite(struct hdm_profile *profile, const struct hdm_sqlite *sqlite,
                                          void *connection, void *statement, double seconds);

/* Returns: 1 when the bytes of PostgreSQL or MySQL have reached their end mark, with nothing after it; else 0. */
HDM_API int hdm_ended(const struct hdm_profile *profile);

/* Returns: after HDM_SERVER_ERROR the number of MySQL's error or SQLite's result code; else 0. */
HDM_API uint32_t hdm_code(const struct hdm_profile *profile);

/* Asks for the distinct keys of a column, which hdm_kept then returns. Call it before hdm_finish.
 *
 * Args:
 *     column: its number, from 0 on; of HDM_INTEGER, HDM_UNSIGNED or HDM_TEXT, others have none.
 *     most: bytes. A column whose keys need more has none: about a byte per number of a dense range, 16 per text. The
 *         keys of all columns together need at most an eighth of the budget, in addition to it.
 */
HDM_API void hdm_keep(struct hdm_profile *profile, uint32_t column, uint64_t most);

/* -- After the last row ------------------------------------------------------------------------------------------ */

/* The statistics of one column. Numbers: HDM_INTEGER, HDM_UNSIGNED, HDM_FLOAT, HDM_DECIMAL; texts: HDM_TEXT; dates:
 * HDM_DATE, HDM_DATETIME. A NaN stands for a statistic that is not defined. Python: stats.py, in the same order. */
struct hdm_stats {
    uint64_t values;               /* that are neither null nor misfits */
    uint64_t levels;               /* distinct values; 0 for HDM_OPAQUE */
    uint64_t first, second, third; /* how often the most frequent levels occur; 0: there is none */
    uint64_t finite;               /* numbers that are neither NaN nor infinite; the next nine are about these */
    uint64_t zeros, negatives;
    double minimum, maximum;
    double mean;
    double deviation;              /* of a sample: NaN below two values */
    double median, p01, p99;       /* interpolated, like SQL's percentile_cont */
    int64_t earliest, latest;      /* dates of the years 1 to 9999, in the column's unit; earliest > latest: none */
    uint64_t future;               /* dates that lie in the future */
    uint64_t shortest, longest;    /* texts: characters; without any value UINT32_MAX and 0 */
    uint64_t characters;           /* of all texts together */
    uint64_t empty;                /* texts without characters */
    uint64_t trimmed;              /* characters of the longest text, without the U+0020 at both ends, which pad it */
    uint64_t blanks;               /* the most U+0020 in one text, without those at both ends */
    uint64_t edge_blanks;          /* texts that begin or end with a blank, of any kind; see shape.c for the next four */
    uint64_t uppers, lowers;       /* texts with letters, all of them upper or all lower case */
    uint64_t mojibakes;            /* texts that show a broken encoding */
    uint64_t placeholders;         /* texts that stand for a missing value */
    uint64_t fractions;            /* numbers with digits after the point */
    uint64_t places;               /* the most such digits that a number needs: see places.c */
    uint64_t midnights, clocks;    /* HDM_DATETIME, years 1 to 9999: at midnight, and at another time of day */
    double hour;                   /* mean hour of day, 0 to 24, of those in `clocks` */
    uint64_t misfits;              /* SQLite: values that do not fit the column's wire; only `classes` counts them */
    uint64_t classes[4];           /* SQLite: integers, reals, texts, blobs */
};

/* Computes the statistics, once: no row and no second call may follow, except for a profile that has failed.
 *
 * Args:
 *     stats: the caller's array, which receives one element per column, in the order of the columns.
 * Returns: HDM_FINE, HDM_STOPPED, HDM_NO_MEMORY or HDM_NO_DISK, or the earlier failure.
 */
HDM_API enum hdm_failure hdm_finish(struct hdm_profile *profile, struct hdm_stats *stats);

/* The most levels of a column that hdm_levels returns. Python: profile.py. */
#define HDM_MOST_LEVELS 5000

/* MySQL may send what looks like a date but is not, such as 2020-02-30, and SQLite may hold it. Its level lies below all
 * dates. HDM_DATE: HDM_NO_DATES + packed. HDM_DATETIME: HDM_NO_DATETIMES + packed * 86,400,000,000 + microseconds of the day. In both,
 * packed is year * 512 + month * 32 + day. Python: labels.py. */
#define HDM_NO_DATES (-(INT64_C(1) << 40))
#define HDM_NO_DATETIMES (-(INT64_C(1) << 62))

/* One distinct value of a column, and how often it occurs. Python: engine.py. */
struct hdm_level {
    uint64_t hi;     /* HDM_UNSIGNED: the value. HDM_INTEGER, dates, HDM_TIME: the value, its sign bit inverted.
                      * HDM_FLOAT: the bits of the double; of a negative one all inverted, of others the sign bit */
    uint64_t lo;     /* for internal use */
    uint64_t count;
    uint32_t label;  /* HDM_TEXT, HDM_DECIMAL: where its text starts in `texts` */
    uint16_t length; /* bytes of its text, which has no NUL at its end */
    uint16_t shape;  /* for internal use */
};

/* Returns the levels of a column after hdm_finish.
 *
 * Args:
 *     column: its number, from 0 on.
 *     levels: receives the address of the levels, sorted by value unless the column is HDM_TEXT.
 *     texts: receives the address of all their texts, one after the other; NULL when these have no bytes.
 * Both addresses belong to the profile and are valid until hdm_close or hdm_free.
 * Returns: the number of levels. -1, and sets neither address, when the column is HDM_OPAQUE, has more than
 *     HDM_MOST_LEVELS levels or more than the budget had room for, or when one of them is free text (more than 50
 *     characters or 4 blanks, without the blanks at its ends; or more than 512 bytes with them) or a decimal of more
 *     than 400 digits.
 */
HDM_API int64_t hdm_levels(const struct hdm_profile *profile, uint32_t column, const struct hdm_level **levels,
                           const char **texts);

/* -- Across the columns of a row, after hdm_plan and hdm_finish ---------------------------------------------------- */

/* A column's values in the rows of the newest event day. Python: across.py, as the next two. */
struct hdm_newest {
    uint64_t values;  /* that are neither null nor misfits */
    uint64_t finite;  /* finite numbers, or texts; mean and deviation are of the numbers, or of the texts' lengths */
    double mean;      /* NaN for none */
    double deviation; /* of a sample: NaN below two */
};

/* Two columns: rows in which both have a value, the first one's is greater, or both are equal. A value is a finite
 * number, or a date of the years 1 to 9999. Whole numbers of one kind are compared as they are, other numbers as
 * doubles; a date and a datetime by their days. */
struct hdm_pair {
    uint64_t both, greater, equal;
};

/* The finite numbers of one column in the rows that have one level of a code. */
struct hdm_cell {
    uint64_t values;
    double mean; /* NaN for none */
};

/* Returns the number of the newest event day that has rows, from 0 on; -1 if none of the HDM_DAYS has any.
 *
 * Args:
 *     days: receives the rows of each of the HDM_DAYS days.
 *     newest: receives one element per column, all zero without a newest day.
 */
HDM_API int64_t hdm_days(const struct hdm_profile *profile, uint64_t *days, struct hdm_newest *newest);

/* Receives one element per pair, in the order of hdm_plan. */
HDM_API void hdm_pairs(const struct hdm_profile *profile, struct hdm_pair *pairs);

/* Returns the number of levels of a code; -1 if it has more than HDM_MOST_CELLS.
 *
 * Args:
 *     code: its place in `codes` of hdm_plan.
 *     cells: receives one element per number for each level, in the order of hdm_levels, and then for the rows without a
 *         code; room for HDM_MOST_CELLS + 1 times `number_count`.
 */
HDM_API int64_t hdm_cells(const struct hdm_profile *profile, uint32_t code, struct hdm_cell *cells);

/* Returns: the rows that repeat an earlier one; 0 if hdm_plan did not ask for them. */
HDM_API uint64_t hdm_repeats(const struct hdm_profile *profile);
/* Returns the distinct keys of a column after hdm_finish, in a form that only hdm_missing reads.
 *
 * Args:
 *     bytes: receives their address, which belongs to the profile and is valid until hdm_close or hdm_free.
 * Returns: their length in bytes; -1, and sets no address, when they were not kept.
 */
HDM_API int64_t hdm_kept(struct hdm_profile *profile, uint32_t column, const unsigned char **bytes);

/* Compares the keys of two columns, of one profile or of two with the same secret.
 *
 * Args:
 *     parent, child: as hdm_kept has returned them, with their lengths; NULL if their length is 0.
 *     texts: 1 if both are of HDM_TEXT columns, 0 if neither is.
 *     first: receives the first `room` of the child's numbers that are not among the parent's, in ascending order. Not
 *         used for texts.
 * Returns: how many of the child's keys are not among the parent's.
 */
HDM_API int64_t hdm_missing(const unsigned char *parent, size_t parent_length, const unsigned char *child,
                            size_t child_length, int texts, int64_t *first, size_t room);

#ifdef __cplusplus
}
#endif

#endif
