/* Writes to an export until it is killed, and notes what was acknowledged as durable where that
 * survives. Run again, it first verifies all of it.
 *   durability-client SOCKET FOLDER RUN [verify]    RUN counts from 1; verify: and do no more
 * FOLDER keeps `state`, what each sector held when it was last verified, and `acks.RUN`: a line
 * "fua N" for write N alone, "flush N" for it and all before it. Exit 1 if something is lost. */
#include <fcntl.h>
#include <libnbd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { sector_bytes = 512, sectors_all = 32768, sectors_a_write = 64, connections = 2 };

static struct nbd_handle *nbd[connections];
static uint64_t held[sectors_all];  /* The write that each sector must hold, or a later one. */

static void fail(const char *what) {
    const char *why = nbd_get_error();
    fprintf(stderr, "durability-client: %s: %s\n", what, why ? why : "failed");
    exit(2);
}

/* Everything about a write follows from its number. */
struct plan {
    uint64_t first;
    uint64_t sectors;
    bool fua;
    bool then_flush;
};

static struct plan plan_of(uint64_t number) {
    uint64_t x = number * 0x9e3779b97f4a7c15U; /* splitmix64 */
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    x ^= x >> 31;
    return (struct plan){.first = x % (sectors_all - sectors_a_write),
                         .sectors = 1 + (x >> 32) % sectors_a_write,
                         .fua = (x >> 40) % 4 == 0,
                         .then_flush = (x >> 48) % 8 == 0};
}

static bool covers(struct plan plan, uint64_t sector) {
    return sector >= plan.first && sector < plan.first + plan.sectors;
}

static void stamp(unsigned char *to, uint64_t sector, uint64_t number) {
    for (int i = 0; i < sector_bytes; i += 16) {
        memcpy(to + i, &sector, 8);
        memcpy(to + i + 8, &number, 8);
    }
}

static uint64_t first_number(int run) { return ((uint64_t)run << 32) + 1; }

static void must_hold(uint64_t number) {
    struct plan plan = plan_of(number);
    for (uint64_t s = plan.first; s < plan.first + plan.sectors; ++s) {
        if (held[s] < number) held[s] = number;
    }
}

static void load_state(int run) {
    FILE *state = fopen("state", "rb");
    if (state) {
        if (fread(held, sizeof held, 1, state) != 1) fail("state");
        fclose(state);
    }
    char name[32], kind[8];
    snprintf(name, sizeof name, "acks.%d", run - 1);
    FILE *acks = fopen(name, "r");
    unsigned long long number;
    uint64_t flushed = first_number(run - 1);
    while (acks && fscanf(acks, "%7s %llu", kind, &number) == 2) {
        if (strcmp(kind, "fua") == 0) must_hold(number);
        if (strcmp(kind, "flush") == 0) {
            for (; flushed <= number; ++flushed) must_hold(flushed);
        }
    }
    if (acks) fclose(acks);
}

static void save_state(void) {
    FILE *state = fopen("state", "wb");
    if (!state || fwrite(held, sizeof held, 1, state) != 1 || fclose(state) != 0) fail("state");
}

/* What is read is what must be there from now on: the server is new, so it comes from the disk. */
static bool verify(void) {
    static unsigned char data[64 * sector_bytes], expected[sector_bytes];
    unsigned lost = 0, wrong = 0, written = 0;
    for (uint64_t sector = 0; sector < sectors_all; ++sector) {
        unsigned char *at = data + sector % 64 * sector_bytes;
        if (sector % 64 == 0 &&
            nbd_pread(nbd[0], data, sizeof data, sector * sector_bytes, 0) == -1)
            fail("read");
        uint64_t number;
        memcpy(&number, at + 8, 8);
        memset(expected, 0, sizeof expected);
        if (number) stamp(expected, sector, number);
        if (memcmp(at, expected, sector_bytes) != 0 || (number && !covers(plan_of(number), sector)))
            ++wrong;
        else if (number < held[sector])
            ++lost;
        held[sector] = number;
        written += number != 0;
    }
    printf("%u lost, %u wrong, %u of %d sectors written\n", lost, wrong, written, sectors_all);
    fflush(stdout);
    return lost == 0 && wrong == 0;
}

static void acknowledge(int acks, const char *kind, uint64_t number) {
    char line[32];
    int length = snprintf(line, sizeof line, "%s %llu\n", kind, (unsigned long long)number);
    if (write(acks, line, (size_t)length) != length) fail("acks");
}

static void write_for_ever(int run) {
    static unsigned char data[sectors_a_write * sector_bytes];
    char name[32];
    snprintf(name, sizeof name, "acks.%d", run);
    int acks = open(name, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (acks < 0) fail(name);
    for (uint64_t number = first_number(run);; ++number) {
        struct plan plan = plan_of(number);
        for (uint64_t i = 0; i < plan.sectors; ++i)
            stamp(data + i * sector_bytes, plan.first + i, number);
        if (nbd_pwrite(nbd[number % connections], data, plan.sectors * sector_bytes,
                       plan.first * sector_bytes, plan.fua ? LIBNBD_CMD_FLAG_FUA : 0) == -1)
            fail("write");
        if (plan.fua) acknowledge(acks, "fua", number);
        if (!plan.then_flush) continue;
        if (nbd_flush(nbd[number / 2 % connections], 0) == -1) fail("flush");
        acknowledge(acks, "flush", number);
    }
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    for (int i = 0; i < connections; ++i) {
        nbd[i] = nbd_create();
        if (!nbd[i] || nbd_connect_unix(nbd[i], argv[1]) == -1) fail("connect");
    }
    if (chdir(argv[2]) != 0) fail(argv[2]);
    int run = atoi(argv[3]);
    load_state(run);
    if (!verify()) return 1;
    save_state();
    if (argc == 4) write_for_ever(run);
    return 0;
}
