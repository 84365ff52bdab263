#!/usr/bin/python3
"""The honest client, a process of its own: honest.py URI BYTES SEED. It keeps 16 requests of 4 KiB in
flight on the front of an export, and compares all that it reads. On every line of its input it
prints what has happened since the last one, as JSON; at their end it reads all back and leaves."""
import json
import random
import select
import sys
import time

import nbd

BLOCK, DEPTH = 4096, 16


class Honest:
    def __init__(self, uri, size, seed):
        self.handle = nbd.NBD()
        self.handle.connect_uri(uri)
        self.blocks, self.dice = size // BLOCK, random.Random(seed)
        self.model = {}  # Block -> what was written last.
        self.busy = {}   # Cookie -> (block, data of a write or None, buffer, start).
        self.blocked = set()
        self.times = []
        self.most = 0.0  # The longest of all.

    def ask(self):
        block = self.dice.randrange(self.blocks)
        if block in self.blocked:
            return
        self.blocked.add(block)
        data = None
        if self.dice.random() < 0.5:
            data = self.dice.randbytes(512) * (BLOCK // 512)
            buffer = nbd.Buffer.from_bytearray(bytearray(data))
        else:
            buffer = nbd.Buffer(BLOCK)
        start = time.monotonic()
        run = self.handle.aio_pread if data is None else self.handle.aio_pwrite
        self.busy[run(buffer, block * BLOCK)] = (block, data, buffer, start)

    def take(self):
        """What has been answered. Raises nbd.Error if it went wrong."""
        now = time.monotonic()
        while self.busy and (cookie := self.handle.aio_peek_command_completed()) > 0:
            block, data, buffer, start = self.busy.pop(cookie)
            self.handle.aio_command_completed(cookie)
            self.blocked.discard(block)
            self.times.append(now - start)
            if data is not None:
                self.model[block] = data
            elif bytes(buffer.to_bytearray()) != self.model.get(block, bytes(BLOCK)):
                raise ValueError(f"wrong data in block {block}")

    def turn(self, asks=True):
        while asks and len(self.busy) < DEPTH:
            self.ask()
        self.handle.poll(1000)
        self.take()

    def report(self):
        self.times.sort()
        count = len(self.times)
        self.most = max(self.most, self.times[-1] if count else 0.0)
        said = {"count": count, "p50": self.times[count // 2] if count else 0.0,
                "p99": self.times[count * 99 // 100] if count else 0.0,
                "max": self.times[-1] if count else 0.0}
        self.times = []
        print(json.dumps(said), flush=True)

    def finish(self):
        while self.busy:
            self.turn(asks=False)
        for block, data in self.model.items():
            if self.handle.pread(BLOCK, block * BLOCK) != data:
                raise ValueError(f"wrong data in block {block} in the end")
        self.handle.shutdown()


def main():
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
