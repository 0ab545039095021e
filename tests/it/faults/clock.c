/* A clock that jumps: from the call FAULT_CLOCK_AT on, the time of day is off by FAULT_CLOCK_BY seconds. */
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *now) {
    static atomic_long calls;
    int failed = (int)syscall(SYS_clock_gettime, id, now);
    const char *at = getenv("FAULT_CLOCK_AT"), *by = getenv("FAULT_CLOCK_BY");
    if (!failed && id == CLOCK_REALTIME && at && by && atomic_fetch_add(&calls, 1) + 1 >= atol(at))
        now->tv_sec += atol(by);
    return failed;
}
