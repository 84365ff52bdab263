/* For LD_PRELOAD: a file whose reads and writes do what the file $IO_FAULTS says, and nothing special
 * while there is none.
 *   short   each does at most 512 bytes
 *   eio     each fails */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { short_bytes = 512 };

static ssize_t faulty(long call, int fd, const struct iovec *pieces, int count, off_t at, int flags) {
    char what[8] = "";
    const char *name = getenv("IO_FAULTS");
    const int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    if (file >= 0) {
        if (read(file, what, sizeof what - 1) < 0) what[0] = 0;
        close(file);
    }
    if (strcmp(what, "eio") == 0) {
        errno = EIO;
        return -1;
    }
    struct iovec first = pieces[0];
    if (strcmp(what, "short") == 0 && first.iov_len > short_bytes) first.iov_len = short_bytes;
    if (strcmp(what, "short") == 0) return syscall(call, fd, &first, 1, at, 0, flags);
    return syscall(call, fd, pieces, count, at, 0, flags);
}

ssize_t preadv(int fd, const struct iovec *pieces, int count, off_t at) {
    return faulty(SYS_preadv2, fd, pieces, count, at, 0);
}

ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t at) {
    return faulty(SYS_pwritev2, fd, pieces, count, at, 0);
}

ssize_t preadv2(int fd, const struct iovec *pieces, int count, off_t at, int flags) {
    return faulty(SYS_preadv2, fd, pieces, count, at, flags);
}

ssize_t pwritev2(int fd, const struct iovec *pieces, int count, off_t at, int flags) {
    return faulty(SYS_pwritev2, fd, pieces, count, at, flags);
}
