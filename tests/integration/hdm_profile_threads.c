/* A program for test_hdm_profile_sanitized: two threads fill profiles at the same time while the main thread reads
 * their counters and stops some of them. It includes the public header alone.
 *
 * usage: hdm_profile_threads FOLDER
 *
 * The library's files are compiled with -Drealloc=scarce_realloc, which fails where a case wants it to.
 */
#define _POSIX_C_SOURCE 200809L
#include "hdm_profile.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define THREADS 2
#define REPEATS 6
#define ROWS 40000
#define FEW 100
#define TEXT_BYTES 9
#define ROW_BYTES (2 + 4 + 8 + 4 + TEXT_BYTES)
#define HEAD_BYTES 19

enum scenario { PLENTY, ON_DISK, NO_FOLDER, SCARCE, STOP_ME, SCENARIOS };
#define PROFILES (SCENARIOS * REPEATS) /* of a thread */

static const enum hdm_failure expected[] = {HDM_FINE, HDM_FINE, HDM_NO_DISK, HDM_NO_MEMORY, HDM_STOPPED};
static unsigned char stream[HEAD_BYTES + ROWS * ROW_BYTES + 2]; /* of COPY; written before the threads start */
static struct hdm_profile *profiles[THREADS][PROFILES];
static _Thread_local long reallocs_left = -1; /* negative: no limit */

void *scarce_realloc(void *memory, size_t size);
void *scarce_realloc(void *memory, size_t size) {
    if (reallocs_left == 0) return NULL;
    if (reallocs_left > 0) reallocs_left--;
    return realloc(memory, size);
}

static void check(int holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "wrong: %s\n", what);
    exit(1);
}

static unsigned char *put(unsigned char *at, uint64_t number, int bytes) { /* in network order */
    for (int i = 0; i < bytes; i++) at[i] = (unsigned char)(number >> 8 * (bytes - 1 - i));
    return at + bytes;
}

static void write_stream(void) {
    unsigned char *at = stream;
    memcpy(at, "PGCOPY\n\377\r\n\0", 11);
    at = put(at + 11, 0, 8);
    for (uint64_t i = 0; i < ROWS; i++) {
        char text[TEXT_BYTES + 1];
        snprintf(text, sizeof text, "text%05u", (unsigned)i);
        at = put(put(put(at, 2, 2), 8, 4), i, 8);
        at = put(at, TEXT_BYTES, 4);
        memcpy(at, text, TEXT_BYTES);
        at += TEXT_BYTES;
    }
    put(at, 0xffff, 2);
}

static struct hdm_profile *new_profile(enum scenario scenario, const char *folder) {
    static const uint8_t kinds[] = {HDM_INTEGER, HDM_TEXT}, wires[] = {HDM_PG_INT8, HDM_PG_TEXT};
    static const int64_t future[] = {HDM_NEVER, HDM_NEVER};
    static const uint64_t secret[] = {0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9, 0x94d049bb133111eb, 0xd6e8feb86659fd93};
    uint64_t budget = scenario == PLENTY || scenario == SCARCE ? UINT64_C(1) << 29 : 1;
    struct hdm_profile *profile =
        hdm_new(2, kinds, wires, future, budget, scenario == NO_FOLDER ? "/nowhere" : folder, secret);
    check(profile != NULL, "hdm_new");
    return profile;
}

/* Feeds `count` bytes of the stream from `from` on, in chunks. */
static enum hdm_failure feed(struct hdm_profile *profile, size_t from, size_t count, size_t chunk) {
    enum hdm_failure failure = HDM_FINE;
    for (size_t at = from; at < from + count && !failure; at += chunk)
        failure = hdm_feed_copy(profile, stream + at, from + count - at < chunk ? from + count - at : chunk);
    return failure;
}

static void check_all_rows(struct hdm_profile *profile) {
    struct hdm_stats stats[2];
    const struct hdm_level *levels;
    const char *texts;
    check(hdm_ended(profile), "the stream has ended");
    check(hdm_finish(profile, stats) == HDM_FINE, "hdm_finish");
    check(stats[0].values == ROWS && stats[0].levels == ROWS && stats[0].first == 1, "levels of integers");
    check(stats[0].minimum == 0 && stats[0].maximum == ROWS - 1 && stats[0].mean == (ROWS - 1) / 2.0, "integers");
    check(stats[1].levels == ROWS && stats[1].shortest == TEXT_BYTES, "texts");
    check(stats[1].longest == TEXT_BYTES && stats[1].characters == ROWS * TEXT_BYTES, "lengths of texts");
    check(hdm_levels(profile, 0, &levels, &texts) == -1, "too many levels are not kept");
}

static void check_few_rows(const char *folder) {
    struct hdm_profile *profile = new_profile(PLENTY, folder);
    struct hdm_stats stats[2];
    const struct hdm_level *levels;
    const char *texts;
    check(feed(profile, 0, HEAD_BYTES + FEW * ROW_BYTES, 1000) == HDM_FINE, "few rows");
    check(feed(profile, HEAD_BYTES, FEW * ROW_BYTES, 1000) == HDM_FINE, "the same rows again");
    check(!hdm_ended(profile) && hdm_finish(profile, stats) == HDM_FINE, "hdm_finish without the end mark");
    check(hdm_levels(profile, 0, &levels, &texts) == FEW, "levels of integers");
    for (uint64_t i = 0; i < FEW; i++)
        check(levels[i].hi == (i ^ UINT64_C(1) << 63) && levels[i].count == 2, "a level");
    check(hdm_levels(profile, 1, &levels, &texts) == FEW && levels[0].count == 2, "levels of texts");
    check(levels[0].length == TEXT_BYTES && !memcmp(texts + levels[0].label, "text000", 7), "a text");
    hdm_free(profile);
}

static enum hdm_failure fill(struct hdm_profile *profile, enum scenario scenario) {
    struct hdm_stats stats[2];
    enum hdm_failure failure;
    if (scenario == SCARCE) reallocs_left = 8; /* enough for the texts of a table's levels, and for no buffer */
    failure = feed(profile, 0, sizeof stream - (scenario == STOP_ME ? 2 : 0), 65536);
    while (scenario == STOP_ME && !failure) failure = feed(profile, HEAD_BYTES, ROWS * ROW_BYTES, 65536);
    if (!failure) check_all_rows(profile);
    reallocs_left = -1;
    check(failure == HDM_FINE || hdm_finish(profile, stats) == failure, "a failed profile stays failed");
    return failure;
}

static void *work(void *argument) {
    struct hdm_profile **mine = argument;
    for (int i = 0; i < PROFILES; i++) {
        enum scenario scenario = i % SCENARIOS;
        check(fill(mine[i], scenario) == expected[scenario], "how a profile ends");
        hdm_close(mine[i]);
    }
    return NULL;
}

/* Follows one profile to the end of its rows, or stops it. */
static void watch(struct hdm_profile *profile, enum scenario scenario) {
    static const struct timespec pause = {.tv_nsec = 200000};
    uint64_t rows = 0, enough = scenario == PLENTY || scenario == ON_DISK ? ROWS : 5000;
    for (int tries = 0; rows < enough; tries++) {
        uint64_t now = hdm_rows(profile);
        check(now >= rows && tries < 500000, "rows only grow, and come to an end");
        rows = now;
        nanosleep(&pause, NULL);
    }
    check(hdm_bytes(profile) >= rows * ROW_BYTES, "bytes");
    if (scenario == STOP_ME) hdm_stop(profile);
}

int main(int count, char **arguments) {
    pthread_t threads[THREADS];
    check(count == 2, "usage: hdm_profile_threads FOLDER");
    write_stream();
    check_few_rows(arguments[1]);
    for (int t = 0; t < THREADS; t++)
        for (int i = 0; i < PROFILES; i++) profiles[t][i] = new_profile(i % SCENARIOS, arguments[1]);
    for (int t = 0; t < THREADS; t++)
        check(!pthread_create(&threads[t], NULL, work, profiles[t]), "pthread_create");
    for (int i = 0; i < PROFILES; i++)
        for (int t = 0; t < THREADS; t++) watch(profiles[t][i], i % SCENARIOS);
    for (int t = 0; t < THREADS; t++) check(!pthread_join(threads[t], NULL), "pthread_join");
    for (int t = 0; t < THREADS; t++)
        for (int i = 0; i < PROFILES; i++) {
            check(hdm_rows(profiles[t][i]) > 0, "a closed profile still has its counters");
            hdm_free(profiles[t][i]);
        }
    puts("two threads, as expected");
    return 0;
}
