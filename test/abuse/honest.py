#!/usr/bin/python3
"""The honest client, a process of its own: honest.py URI BYTES SEED. It keeps 16 requests of 4 KiB in
flight on the front of an export, and compares all that it reads. On every line of its input it
prints what has happened since the last one, as JSON; at their end it reads all back and leaves."""
import collections
import json
import random
import resource
import select
import sys
import time

import nbd

BLOCK, DEPTH = 4096, 16
MEMORY_BYTES_MAX = 1 << 30


class Honest:
    def __init__(self, uri, size, seed):
        self.handle = nbd.NBD()
        self.handle.connect_uri(uri)
        self.blocks, self.dice = size // BLOCK, random.Random(seed)
        self.model = {}  # Block -> what was written last.
        self.busy = {}   # Cookie -> (block, data of a write or None, bytes, start).
        # The same ones for ever: libnbd's Python keeps every buffer that it is given.
        self.bytes = [bytearray(BLOCK) for _ in range(DEPTH)]
        self.buffers = {id(each): nbd.Buffer.from_buffer(each) for each in self.bytes}
        self.blocked = set()
        self.times = collections.Counter()  # By the microsecond: there may be millions of them.
        self.worst = (0.0, 0.0)  # The longest of them, and when it ended.

    def ask(self):
        block = self.dice.randrange(self.blocks)
        if block in self.blocked:
            return
        self.blocked.add(block)
        data, held = None, self.bytes.pop()
        if self.dice.random() < 0.5:
            data = self.dice.randbytes(512) * (BLOCK // 512)
            held[:] = data
        start = time.monotonic()
        run = self.handle.aio_pread if data is None else self.handle.aio_pwrite
        self.busy[run(self.buffers[id(held)], block * BLOCK)] = (block, data, held, start)

    def take(self):
        """What has been answered. Raises nbd.Error if it went wrong."""
        now = time.monotonic()
        while self.busy and (cookie := self.handle.aio_peek_command_completed()) > 0:
            block, data, held, start = self.busy.pop(cookie)
            self.handle.aio_command_completed(cookie)
            self.blocked.discard(block)
            self.times[int((now - start) * 1e6)] += 1
            self.worst = max(self.worst, (now - start, time.time()))
            if data is not None:
                self.model[block] = data
            elif held != self.model[block]:
                raise ValueError(f"wrong data in block {block}")
            self.bytes.append(held)

    def turn(self, asks=True):
        while asks and len(self.busy) < DEPTH:
            self.ask()
        self.handle.poll(1000)
        self.take()

    def time_of(self, place):
        """Seconds of the one that so many are faster than; 0 where nothing was answered."""
        for time_us in sorted(self.times):
            place -= self.times[time_us]
            if place < 0:
                return time_us / 1e6
        return 0.0

    def report(self):
        began = time.monotonic()
        count = self.times.total()
        said = {"count": count, "p50": self.time_of(count // 2), "p99": self.time_of(count * 99 // 100),
                "max": self.worst[0], "max_at": self.worst[1]}
        self.times, self.worst = collections.Counter(), (0.0, 0.0)
        print(json.dumps(said), flush=True)
        took = time.monotonic() - began
        self.busy = {cookie: (*what, start + took)  # Which is not the server's fault.
                     for cookie, (*what, start) in self.busy.items()}

    def finish(self):
        while self.busy:
            self.turn(asks=False)
        for block, data in self.model.items():
            if self.handle.pread(BLOCK, block * BLOCK) != data:
                raise ValueError(f"wrong data in block {block} in the end")
        self.handle.shutdown()


def main():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX,) * 2)  # Never the machine's.
    honest = Honest(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    for block in range(honest.blocks):  # So that the store holds all of it from now on.
        honest.model[block] = bytes(BLOCK)
        honest.handle.pwrite(bytes(BLOCK), block * BLOCK)
    print("ready", flush=True)
    turns = 0
    while True:
        honest.turn()
        turns += 1
        if turns % 16 == 0 and select.select([sys.stdin], [], [], 0)[0]:
            if not sys.stdin.readline():
                return honest.finish()
            honest.report()


if __name__ == "__main__":
    try:
        main()
    except (nbd.Error, ValueError) as error:
        sys.exit(f"the honest client: {error}")
