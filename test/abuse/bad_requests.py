"""Cases 19 to 22 and 27 to 31: requests that are wrong."""
import errno
import os
import random
import struct

from lib import expect, wait_until
from orders import CONTEXT, answer, chunks
from registry import case
from wire import *  # pylint: disable=wildcard-import,unused-wildcard-import

PAYLOAD_MAX = 32 * MIB
MAP_CONTEXT = b"x-dmnbd:map"
STRIPES_SIZE, STRIPE_CHUNK = 4096 * MIB, 4 * KIB
STATUS_MAX = 0xFFFFFE00  # Whole sectors in 32 bits.


def device_ios(attack, device):
    """What has reached it."""
    return attack.metric("dmnbd_device_ios_total", device=device)


def expect_errors(peer, tries):
    """(request, errors that are right, what it is) of each; all are answered, none ends it."""
    for data, wanted, what in tries:
        error = peer.error(data)
        expect(error in wanted, f"{what}: error {error}")


@case(19, "bad magic after good requests, or rubbish")
def bad_magic(attack):
    dice = random.Random(19)
    for _ in attack.rounds():
        for _ in range(20):
            peer = attack.peer(b"calm")
            peer.send(dice.randbytes(dice.randrange(28, 5000)))
            peer.expect_dropped("rubbish", b"")
        peer = attack.peer(b"slow")
        peer.send(b"".join(request(WRITE, FRONT + i * 512, 512, i) + bytes(512)
                           for i in range(16)) + request(READ, FRONT, 512, magic=0x25609514))
        peer.expect_dropped("a bad magic", b"")
        wait_until(lambda: attack.metric("dmnbd_device_inflight", device="slow") == 0, 2,
                   "what was in flight ends")
    return "closed without a reply"


@case(20, "unknown commands, unknown or misplaced flags")
def unknown(attack):
    dice_flags = [1 << bit for bit in range(1, 16)]
    tried = 0
    for _ in attack.rounds():
        with attack.peer(b"calm") as peer:
            for command in (CACHE, BLOCK_STATUS, 8, 9, 42, 0x7FFF, 0xFFFF):
                error = peer.error(request(command, FRONT, 512))
                expect(error == errno.EINVAL or (command == CACHE and error == 0),
                       f"command {command}: error {error}")
            for flags in dice_flags:
                for command, payload in ((READ, b""), (WRITE, bytes(512)), (TRIM, b"")):
                    error = peer.error(request(command, FRONT, 512, flags=flags) + payload)
                    expect(error == errno.EINVAL, f"command {command}, flags {flags:#x}: {error}")
                    tried += 1
            peer.expect_alive("unknown requests")
    return f"{tried} refused"


@case(21, "past the end, by a sector, past 2^63, past 2^64")
def past_the_end(attack):
    invalid, full = {errno.EINVAL}, {errno.ENOSPC}
    for _ in attack.rounds():
        before = device_ios(attack, "ends")
        with attack.peer(b"ends") as peer:
            for at, length in ((SIZE, 512), (SIZE - 512, 1024), (1 << 63, 512),
                               ((1 << 64) - 512, 512), ((1 << 64) - 512, 1024),
                               ((1 << 63) - 512, 1024), ((1 << 64) - 512, PAYLOAD_MAX)):
                expect_errors(peer, (
                    (request(READ, at, length), invalid, f"a read of {length} at {at}"),
                    (request(TRIM, at, length), invalid, f"a trim of {length} at {at}"),
                    (request(ZEROES, at, length), full, f"zeroes of {length} at {at}"),
                    (request(WRITE, at, length) + bytes(length), full,
                     f"a write of {length} at {at}")))
            expect_errors(peer, (
                (request(TRIM, 512, 0xFFFFFE00), invalid, "a trim of 4 GiB"),
                (request(ZEROES, 512, 0xFFFFFE00), full, "zeroes of 4 GiB")))
            expect(device_ios(attack, "ends") == before, "something has reached the device")
            peer.expect_alive("requests past the end")
    return "refused, in sync; nothing reached the device"


@case(22, "WRITE, and READ, of 32 MiB + 1 up to 4 GiB - 1")
def huge_writes(attack):
    for _ in attack.rounds():
        with attack.peer(b"calm") as peer:
            for length in (PAYLOAD_MAX + 1, PAYLOAD_MAX + 512, 0xFFFFFE00):
                error = peer.error(request(READ, 0, length))
                expect(error in (errno.EINVAL, errno.EOVERFLOW), f"a read of {length}: {error}")
            for length in (PAYLOAD_MAX + 1, PAYLOAD_MAX + 512, 2 * PAYLOAD_MAX):
                error = peer.error(request(WRITE, 0, length) + bytes(length))
                expect(error == errno.EINVAL, f"a write of {length}: error {error}")
            peer.expect_alive("a write above the maximum")
        for length in (2 * PAYLOAD_MAX + 1, 1 << 31, 0xFFFFFFFF):
            peer = attack.peer(b"calm")
            peer.send(request(WRITE, 0, length) + bytes(64 * KIB))
            peer.expect_dropped(f"a write of {length}", b"")
    return "up to 64 MiB consumed, beyond closed"


@case(27, "length 0")
def nothing(attack):
    for _ in attack.rounds():
        with attack.peer(b"calm") as peer:
            for command in (READ, WRITE, TRIM, ZEROES):
                for at in (0, 512, SIZE):
                    error = peer.error(request(command, at, 0))
                    expect(error == 0, f"command {command} of nothing at {at}: error {error}")
            peer.expect_alive("requests of nothing")
    return "done"


@case(28, "offset or length no multiple of 512")
def unaligned(attack):
    for _ in attack.rounds():
        with attack.peer(b"calm") as peer:
            mark = os.urandom(2048)
            peer.write(area(28), mark)
            for at, length in ((1, 512), (0, 513), (511, 1), (256, 256), (1, 1), (0, 1535)):
                for command in (READ, WRITE, TRIM, ZEROES):
                    payload = bytes(length) if command == WRITE else b""
                    error = peer.error(request(command, area(28) + at, length) + payload)
                    expect(error == errno.EINVAL, f"{command} of {length} at {at}: error {error}")
            expect(peer.read(area(28), 2048) == mark, "a refused request had an effect")
    return "refused, without effect"


@case(29, "changes of a read-only export")
def read_only(attack):
    for _ in attack.rounds():
        with attack.peer(b"locked") as peer, attack.peer(b"calm") as owner:
            mark = os.urandom(4096)
            owner.write(area(29), mark)
            for command, payload in ((WRITE, bytes(4096)), (TRIM, b""), (ZEROES, b"")):
                for flags in (0, FUA):
                    error = peer.error(request(command, area(29), 4096, flags=flags) + payload)
                    expect(error == errno.EPERM, f"command {command}: error {error}")
            expect(peer.read(area(29), 4096) == mark, "a read-only export has changed")
    return "EPERM, in sync, unchanged"


@case(30, "FLUSH with offset or length; FUA on READ")
def flush_with_range(attack):
    for _ in attack.rounds():
        with attack.peer(b"calm") as peer:
            expect_errors(peer, (
                (request(FLUSH, 512, 0), {errno.EINVAL}, "a flush with an offset"),
                (request(FLUSH, 0, 512), {errno.EINVAL}, "a flush with a length"),
                (request(FLUSH, 0, 0), {0}, "a flush"),
                (request(FLUSH, 0, 0, flags=FUA), {0}, "a flush with FUA")))
            error = peer.error(request(READ, FRONT, 512, flags=FUA), 512)
            expect(error == 0, f"a read with FUA: error {error}")
    return "EINVAL; accepted"


def with_context(attack, name=b"filed", context=CONTEXT):
    """A peer that has chosen a context, in transmission; None: the server has none."""
    peer = attack.peer()
    expect(peer.ask(option(OPT_STRUCTURED)) == ACK, "STRUCTURED_REPLY is refused")
    peer.send(meta(name, (context,)))
    kind, contexts = answer(peer, OPT_SET_META)
    expect(kind == ACK, f"SET_META_CONTEXT is answered with {kind:#x}")
    peer.enter(name)
    return peer, contexts


def block_status(peer, at, length, flags=0):
    """The extents, or the error."""
    peer.send(request(BLOCK_STATUS, at, length, flags=flags))
    kind, data = chunks(peer, False)[0]
    if kind & 1 << 15:
        return struct.unpack(">I", data[:4])[0]
    expect(kind == 5 and len(data) <= 4 + 8 * (1 << 20), f"a chunk of type {kind}, {len(data)} bytes")
    return list(struct.iter_unpack(">II", data[4:]))


def expect_extents(peer, writer):
    """Holes and data by turns, as many as there can be."""
    for at in range(0, SIZE, 8192):
        writer.send(request(WRITE, at, 4096, at) + b"x" * 4096)
        if at % MIB == 0:
            for _ in range(at // 8192 - max(0, at - MIB) // 8192):
                expect(writer.reply()[0] == 0, "a write fails")
    return walk(peer, SIZE)


def walk(peer, size):
    """All of it is told, bit by bit: (extents, replies)."""
    at = replies = extents = 0
    while at < size:
        found = block_status(peer, at, min(size - at, STATUS_MAX))
        expect(isinstance(found, list) and found, f"BLOCK_STATUS at {at}: {found}")
        expect(all(length > 0 for length, _ in found), "an empty extent")
        at += sum(length for length, _ in found)
        replies, extents = replies + 1, extents + len(found)
        expect(at <= size, "an extent past the end")
    return extents, replies


def expect_million(attack):
    """A stripe: each chunk of it lies on another store than the one before."""
    peer, _ = with_context(attack, b"stripes", MAP_CONTEXT)
    with peer:
        extents, replies = walk(peer, STRIPES_SIZE)
    expect(extents == STRIPES_SIZE // STRIPE_CHUNK, f"{extents} extents of chunks")
    return f"{extents} in {replies}"


@case(31, "BLOCK_STATUS of everything, without a context, over many extents", grows_mib=32)
def all_status(attack):
    figures = "no context is offered"
    for number in attack.rounds():
        with attack.peer(b"calm") as peer:
            error = peer.error(request(BLOCK_STATUS, 0, 0xFFFFFFFF))
            expect(error == errno.EINVAL, f"without a context: error {error}")
            peer.expect_alive("BLOCK_STATUS")
        peer, contexts = with_context(attack)
        with peer:
            for at, length in ((0, 0xFFFFFFFF), (SIZE, 512), ((1 << 64) - 512, 1024), (0, 0)):
                error = block_status(peer, at, length)
                expect(error == errno.EINVAL, f"BLOCK_STATUS of {length} at {at}: {error}")
            if contexts and number == 0:
                with attack.peer(b"filed") as writer:
                    extents, replies = expect_extents(peer, writer)
                figures = f"{extents} extents in {replies} replies, {expect_million(attack)}"
    return f"EINVAL; {figures}"
