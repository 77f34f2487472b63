/* Answers clock_gettime for the time of day with the time in the file SHOP_CLOCK: nanoseconds since 1970, mapped.
   gettimeofday stays real: jemalloc's threads compute from it how long they sleep. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static volatile int64_t *now;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("SHOP_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *page = file < 0 ? MAP_FAILED : mmap(0, 4096, PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED) now = page;
}

int clock_gettime(clockid_t which, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    if (!now || (which != CLOCK_REALTIME && which != CLOCK_REALTIME_COARSE)) return real(which, time);
    time->tv_sec = *now / 1000000000;
    time->tv_nsec = *now % 1000000000;
    return 0;
}
