/* For LD_PRELOAD: an fdatasync that does what $FDATASYNC says.
 *   fail-once  the first call of the process fails with EIO, as for a disk that lost the data, and
 *              later calls work, as the kernel's do once it has told of an error
 *   lie        every call reports success and does nothing */
#define _GNU_SOURCE
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_int calls;

int fdatasync(int fd) {
    const char *mode = getenv("FDATASYNC");
    if (mode && strcmp(mode, "lie") == 0) return 0;
    if (mode && strcmp(mode, "fail-once") == 0 && atomic_fetch_add(&calls, 1) == 0) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}
