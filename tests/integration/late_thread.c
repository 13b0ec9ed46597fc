/* Preloaded into a program: holds up the first thread that ends with thread-specific data of OpenSSL, until the exit
 * handlers of the main thread free this data, too. A crash that takes a thousand runs by itself then comes in every run.
 *
 * It changes the order of what happens, nothing else. "a thread ends" on stderr: one was held up. "freed twice": by the
 * exit handlers, then by the thread. Threads and exit wait for each other for PATIENCE at most. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef PATIENCE
#define PATIENCE 5000 /* milliseconds */
#endif
#define MOST 8        /* destructors that are held up */

typedef void destructor(void *);

static destructor *real[MOST];
static int known;
static void *_Atomic held;                       /* what the thread is about to free; NULL: no thread was held up yet */
static _Atomic int freed_by_exit, thread_is_done; /* booleans */

static int is_main(void) { return syscall(SYS_gettid) == getpid(); }

static void say(const char *text) {
    if (write(STDERR_FILENO, text, strlen(text)) < 0) abort();
}

static int is_held(void) { return held != NULL; }
static int is_freed(void) { return freed_by_exit; }
static int is_done(void) { return thread_is_done; }

static void await(int (*has_happened)(void)) {
    for (int i = 0; i < PATIENCE && !has_happened(); i++) nanosleep(&(struct timespec){0, 1000000}, NULL);
}

static void end_thread(int i, void *value) {
    void *none = NULL;
    if (!atomic_compare_exchange_strong(&held, &none, value)) {
        real[i](value);
        return;
    }
    say("a thread ends\n");
    await(is_freed);
    real[i](value);
    thread_is_done = 1;
}

#define HOLDING(i) static void end_##i(void *value) { end_thread(i, value); }
HOLDING(0) HOLDING(1) HOLDING(2) HOLDING(3) HOLDING(4) HOLDING(5) HOLDING(6) HOLDING(7)
static destructor *const holding[MOST] = {end_0, end_1, end_2, end_3, end_4, end_5, end_6, end_7};

int pthread_key_create(pthread_key_t *key, destructor *of_value) {
    int (*create)(pthread_key_t *, destructor *) = NULL;
    *(void **)&create = dlsym(RTLD_NEXT, "pthread_key_create");
    Dl_info from;
    int is_openssl = dladdr((void *)of_value, &from) && from.dli_fname && strstr(from.dli_fname, "libcrypto");
    if (!is_openssl || known == MOST) return create(key, of_value);
    real[known] = of_value;
    return create(key, holding[known++]);
}

/* Python deletes a key of its own before the exit handlers run: until then a thread has the time to end. */
int pthread_key_delete(pthread_key_t key) {
    int (*delete)(pthread_key_t) = NULL;
    *(void **)&delete = dlsym(RTLD_NEXT, "pthread_key_delete");
    if (is_main()) await(is_held);
    return delete (key);
}

/* os._exit ends the process without exit handlers. */
void _exit(int code) {
    await(is_held);
    for (;;) syscall(SYS_exit_group, code);
}

void free(void *memory) {
    extern void __libc_free(void *);
    int is_same = memory && memory == held;
    if (is_same && !is_main() && freed_by_exit) {
        say("freed twice\n");
        abort();
    }
    __libc_free(memory);
    if (!is_same || !is_main()) return;
    freed_by_exit = 1;
    await(is_done);
}
