"""Cases 25, 26 and 32 to 34: many requests at once."""
import os
import random
import struct
import threading
import time

from lib import expect, wait_until
from registry import case
from wire import *  # pylint: disable=wildcard-import,unused-wildcard-import

IN_FLIGHT_MAX = 128


def pipelined(peer, count, cookie_of):
    """Sends so many reads of a sector without waiting, and hears them all. The cookies."""
    asks = b"".join(request(READ, FRONT + i % 1024 * 512, 512, cookie_of(i)) for i in range(count))
    sender = threading.Thread(target=peer.send, args=(asks,))
    sender.start()
    cookies = []
    while len(cookies) < count:
        batch = min(1024, count - len(cookies))
        data = peer.receive(batch * 528)
        for at in range(0, len(data), 528):
            magic, error, cookie = struct.unpack_from(">IIQ", data, at)
            expect((magic, error) == (SIMPLE_REPLY, 0), "a reply is none, or an error")
            cookies.append(cookie)
    sender.join()
    return cookies


def in_flight_of(attack, export):
    return max(each["in_flight"] for each in attack.clients() if each["export"] == export)


@case(25, "100,000 pipelined requests of 512 bytes")
def pipeline(attack):
    with attack.peer(b"slow") as peer:
        peer.send(b"".join(request(READ, FRONT, 512, i) for i in range(1000)))
        wait_until(lambda: in_flight_of(attack, "slow") == IN_FLIGHT_MAX, 5, "128 in flight")
        seen = set()
        for number in range(1000):
            if number % 50 == 0:
                expect(in_flight_of(attack, "slow") <= IN_FLIGHT_MAX, "more are in flight")
            error, cookie = peer.reply()
            expect(error == 0, f"error {error}")
            peer.receive(512)
            seen.add(cookie)
        expect(len(seen) == 1000, "not all were answered once")
    count = 0
    for _ in attack.rounds():
        with attack.peer(b"calm") as peer:
            cookies = pipelined(peer, 100000, lambda i: i << 32 | ~i & 0xFFFFFFFF)
            expect(len(set(cookies)) == 100000, "not all were answered once")
        count += 100000
    return f"{count} answered, never more than {IN_FLIGHT_MAX} at once"


@case(26, "the same cookie for all of them")
def same_cookie(attack):
    count = 0
    for _ in attack.rounds():
        with attack.peer(b"calm") as peer:
            expect(set(pipelined(peer, 20000, lambda _: 42)) == {42}, "another cookie comes back")
        count += 20000
    return f"{count} answered"


@case(32, "DISC with 128 requests in flight, then more bytes")
def disconnect(attack):
    answered = 0
    for _ in attack.rounds():
        mark = os.urandom(4096)
        with attack.peer(b"calm") as before:
            before.write(area(32), mark)
        with attack.peer(b"slow") as peer:
            peer.send(b"".join(request(READ, area(32) + i * 4096, 4096, i) for i in range(128)) +
                      request(DISC, 12345, 678) + request(WRITE, area(32), 4096) + bytes(4096) +
                      os.urandom(1000))
            cookies = set()
            for _ in range(128):
                error, cookie = peer.reply()
                expect(error == 0, f"error {error}")
                peer.receive(4096)
                cookies.add(cookie)
            expect(len(cookies) == 128, "not all were answered once")
            peer.expect_dropped("DISC", b"")
        with attack.peer(b"calm") as after:
            expect(after.read(area(32), 4096) == mark, "a write behind DISC was done")
        answered += 128
    return f"{answered} answered, what followed ignored"


def sector_of(writer, number):
    return struct.pack("<QQ", writer, number) * 32


class Writer(threading.Thread):
    """Writes 32 KiB again and again, each sector of it with its own mark."""

    def __init__(self, attack, export, name):
        super().__init__()
        self.peer, self.name_number, self.count = attack.peer(export), name, 0
        self.over, self.error = False, None

    def run(self):
        try:
            while not self.over:
                self.count += 1
                self.peer.write(area(33), sector_of(self.name_number, self.count) * 64)
            expect(self.peer.error(request(FLUSH, 0, 0)) == 0, "a flush fails")
        except Exception as error:  # pylint: disable=broad-except
            self.error = error


def overlap(attack, export, seconds):
    """Returns how many reads were looked at."""
    with attack.peer(export) as reader:
        reader.write(area(33), sector_of(1, 0) * 64)
        writers = [Writer(attack, export, name) for name in (1, 2)]
        for writer in writers:
            writer.start()
        end, reads = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            data = reader.read(area(33), 64 * 512)
            for at in range(0, len(data), 512):
                name, number = struct.unpack_from("<QQ", data, at)
                expect(name in (1, 2) and number <= writers[name - 1].count,
                       f"{export}: nobody has written write {number} of {name}")
                expect(data[at:at + 512] == sector_of(name, number), f"{export}: a torn sector")
            reads += 1
        for writer in writers:
            writer.over = True
        for writer in writers:
            writer.join(20)
            expect(writer.error is None and not writer.is_alive(), f"a writer: {writer.error!r}")
        found = {peer.read(area(33), 64 * 512)
                 for peer in (reader, writers[0].peer, writers[1].peer)}
        expect(len(found) == 1, f"{export}: connections read different data after a flush")
        for writer in writers:
            writer.peer.close()
    return reads


@case(33, "two connections write the same sectors while a third reads", grows_mib=24)
def same_sectors(attack):
    reads = [overlap(attack, export, max(1, attack.seconds)) for export in (b"calm", b"filed")]
    return f"{sum(reads)} reads, no sector torn, all equal in the end"


@case(34, "resets with reads in flight", grows_mib=96)
def reset_reads(attack):
    dice = random.Random(34)
    with attack.peer(b"filed") as owner:
        mark = [dice.randbytes(512) * (2 * MIB // 512) for _ in range(8)]
        for i, data in enumerate(mark):
            owner.write(area(36) + i * 2 * MIB, data)
        resets = 0
        for _ in attack.rounds():
            peers = [attack.peer(b"filed") for _ in range(4)] + [attack.peer(b"slow")]
            for peer in peers:
                peer.send(b"".join(
                    request(READ, FRONT + dice.randrange(0, 32 * MIB, 512), length)
                    for length in (512, 4096, 256 * KIB, MIB, 512) for _ in range(4)))
            if dice.random() < 0.5:
                peers[0].socket.recv(1000)
            for peer in peers:
                peer.reset()
            i = dice.randrange(8)
            expect(owner.read(area(36) + i * 2 * MIB, 2 * MIB) == mark[i], "a read has other data")
            resets += len(peers)
        wait_until(lambda: attack.metric("dmnbd_device_inflight", device="filed") == 0, 5, "reads end inside")
    return f"{resets} resets"
