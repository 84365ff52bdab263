/* For LD_PRELOAD: a disk that hangs. When there is a file $HANG_WRITES, the next pwritev() renames it
 * to $HANG_WRITES.held, and waits until that is gone before it writes; others pass. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

enum { poll_us = 1000 };

ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t at) {
    static ssize_t (*real)(int, const struct iovec *, int, off_t);
    if (!real) real = (ssize_t(*)(int, const struct iovec *, int, off_t))dlsym(RTLD_NEXT, "pwritev");
    const char *name = getenv("HANG_WRITES");
    char held[4096];
    if (name) snprintf(held, sizeof held, "%s.held", name);
    if (name && rename(name, held) == 0) {
        while (access(held, F_OK) == 0) usleep(poll_us);
    }
    return real(fd, pieces, count, at);
}
