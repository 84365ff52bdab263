"""Cases 1 to 15: who never gets through the handshake."""
import itertools
import random
import resource
import selectors
import socket
import struct
import tempfile
import time

from arena import Attack, EXPORTS, TABLE, is_sanitized
from lib import Server, expect, wait_until
from registry import case
from wire import *  # pylint: disable=wildcard-import,unused-wildcard-import

HANDSHAKE_S = 10
CONNECTIONS_MAX = 1024
OPTION_BYTES_MAX = 64 * KIB
OPTIONS_MAX = 64 + 16 * EXPORTS
GREETING = 18


def expect_deadline(began, what, peers):
    for peer in peers:
        peer.expect_dropped(what)
    took = time.monotonic() - began
    expect(HANDSHAKE_S - 0.2 < took < HANDSHAKE_S + 1.5, f"{what}: closed after {took:.1f} s")
    return f"closed after {took:.2f} s"


@case(1, "connects and sends nothing", waits="deadline")
def silent(attack):
    began = time.monotonic()
    return expect_deadline(began, "a silent peer",
                           [attack.peer(hello=b"") for _ in range(20)])


@case(2, "sends a byte every 9 s, and one every 0.5 s", waits="deadline")
def drip(attack):
    began = time.monotonic()
    seldom, often = attack.peer(hello=b"\0"), attack.peer(hello=b"")
    for byte in itertools.islice(itertools.cycle(FLAGS + option(OPT_LIST)), 18):
        time.sleep(0.5)
        often.send(bytes([byte]))
    seldom.send(b"\0")
    return expect_deadline(began, "a peer that drips", [seldom, often])


def open_many(attack, count):
    """Returns (sockets, how many were greeted) after 3 s."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    many, greeted, most = [], 0, 0.0
    with selectors.EpollSelector() as selector:
        for _ in range(count):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", attack.port))
            selector.register(one, selectors.EVENT_READ)
            many.append(one)
        end = time.monotonic() + 3
        while time.monotonic() < end:
            for key, _ in selector.select(0.2):
                greeted += key.fileobj.recv(GREETING) != b""
                selector.unregister(key.fileobj)
            most = max(most, attack.metric("dmnbd_connections"))
    expect(most <= CONNECTIONS_MAX, f"{most:.0f} connections at once")
    return many, greeted


def without_descriptors(attack):
    """A server that may have 64: it waits without spinning, and serves again. Returns its load."""
    with tempfile.TemporaryDirectory(prefix="dmnbd-") as folder, \
            Server(attack, folder, TABLE, wrap=("prlimit", "--nofile=64")) as server:
        few = Attack(server, 0)
        many = []
        for _ in range(100):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", few.port))
            many.append(one)
        time.sleep(0.5)
        before = few.processor_s()
        time.sleep(1.5)
        load = (few.processor_s() - before) / 1.5
        expect(load < 0.1, f"out of descriptors it uses {load:.0%} of a processor")
        for one in many:
            one.close()
        with few.peer(b""):
            pass
        return load


@case(3, "opens 10,000 connections, and as many as there are descriptors", grows_mib=64)
def crowd(attack):
    count = min(10000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 200)
    ios = attack.metric("dmnbd_device_ios_total", device="ends")
    many, greeted = open_many(attack, count)
    expect(CONNECTIONS_MAX - 32 <= greeted, f"only {greeted} of {count} are served")
    expect(attack.metric("dmnbd_device_ios_total", device="ends") == ios, "a device was touched")
    for one in many:
        one.close()
    with attack.peer(b"", timeout=30) as peer:
        peer.expect_alive("a crowd")
    said = f"{count} connections, {greeted} greeted"
    if is_sanitized(attack.dmnbd):
        return said
    return f"{said}; out of descriptors {without_descriptors(attack):.1%} of a processor"


@case(4, "closes or resets after each byte")
def every_prefix(attack):
    everything = FLAGS + option(OPT_STRUCTURED) + option(OPT_LIST) + \
        go(b"calm", (0, 1, 2, 3)) + request(WRITE, FRONT, 512) + bytes(512) + \
        request(READ, FRONT, 4096)
    left = 0
    for _ in attack.rounds():
        for count in range(len(everything) + 1):
            for leave in (Peer.close, Peer.reset):
                leave(attack.peer(hello=everything[:count], greeted=count % 2 == 0))
                left += 1
    return f"{left} connections left"


@case(5, "sets an unknown client flag")
def unknown_flags(attack):
    tried = 0
    for _ in attack.rounds():
        for bit in range(2, 32):
            peer = attack.peer(hello=struct.pack(">I", 3 | 1 << bit) + go())
            peer.expect_dropped(f"client flag {bit}", b"")
            tried += 1
    return f"{tried} dropped"


@case(6, "wrong option magic, or random bytes")
def rubbish(attack):
    dice, tried = random.Random(6), 0
    for _ in attack.rounds():
        for bad in (option(OPT_LIST, magic=IHAVEOPT ^ 1 << dice.randrange(64)),
                    dice.randbytes(dice.randrange(16, 5000)),
                    request(READ, 0, 512)):
            attack.peer(hello=FLAGS + bad + go()).expect_dropped("rubbish", b"")
            tried += 1
    return f"{tried} dropped"


@case(7, "an option of 4 GiB")
def huge_option(attack):
    tried = 0
    for _ in attack.rounds():
        for number in (OPT_EXPORT_NAME, OPT_ABORT, OPT_LIST, OPT_GO, OPT_SET_META, 99):
            for length in (0xFFFFFFFF, OPTION_BYTES_MAX + 1):
                peer = attack.peer(hello=FLAGS + option(number, bytes(1000), length))
                rest = peer.rest()
                refused = rest and struct.unpack(">QIII", rest[:20])[2] == ERR_TOO_BIG
                expect(rest == b"" or refused, f"option {number} of {length} bytes: {rest!r}")
                tried += 1
        with attack.peer() as peer:
            kind = peer.ask(option(99, bytes(OPTION_BYTES_MAX)))
            expect(kind == ERR_UNSUP, f"an option of 64 KiB is answered with {kind:#x}")
            peer.enter()
    return f"{tried} refused"


@case(8, "a name longer than its option")
def long_name(attack):
    tried = 0
    for _ in attack.rounds():
        with attack.peer() as peer:
            for number in (OPT_GO, OPT_INFO, OPT_LIST_META):
                for data in (b"\xff" * 4, b"\xff" * 4 + b"calm" + bytes(2), text(b"calm") + b"\0",
                             struct.pack(">I", 5) + b"calm", struct.pack(">I", 7) + b"calm\0\0",
                             text(b"calm") + b"\0\2\0\3", b""):
                    kind = peer.ask(option(number, data))
                    expect(kind == ERR_INVALID, f"{data!r} is answered with {kind:#x}")
                    tried += 1
            peer.enter().expect_alive("bad names")
    return f"{tried} refused, in sync"


@case(9, "names of 4,096 and 4,097 bytes")
def longest_names(attack):
    for _ in attack.rounds():
        with attack.peer() as peer:
            for number in (OPT_GO, OPT_INFO):
                for name, wanted in ((b"x" * 4096, (ERR_UNKNOWN,)),
                                     (b"calm" + b"\xc3\xa4" * 2046, (ERR_UNKNOWN,)),
                                     (b"x" * 4097, (ERR_TOO_BIG, ERR_INVALID))):
                    peer.send(go(name, number=number))
                    _, kind, said = peer.option_reply()
                    expect(kind in wanted, f"{len(name)} bytes are answered with {kind:#x}")
                    expect(len(said) < 1000, f"the error repeats {len(said)} bytes")
            peer.enter()
        for name in (b"x" * 4096, b"x" * 4097):
            attack.peer(hello=FLAGS + option(OPT_EXPORT_NAME, name)).expect_dropped("a name", b"")
    return "refused, errors cut"


@case(10, "names with NUL, bad UTF-8, escapes, %n, ../")
def strange_names(attack):
    names = (b"a\0b", b"\xff\xfe", b"\xc0\xaf", b"\xed\xa0\x80", b"\x1b[2J\x1b]0;x\x07", b"%n%s%n",
             b"../../etc/passwd", b"\r\nts: 1", b"\xe2\x80\xae", b"\xc2\x9b2J")
    for _ in attack.rounds():
        with attack.peer() as peer:
            for name in names:
                peer.send(go(name))
                _, kind, said = peer.option_reply()
                expect(kind in (ERR_INVALID, ERR_UNKNOWN), f"{name!r} is answered with {kind:#x}")
                expect(said.decode().isprintable(), f"the error has control characters: {said!r}")
    for name in names[4:8]:
        time.sleep(1.05)  # So that each has its line in the log, which is looked at in the end.
        attack.peer(hello=FLAGS + option(OPT_EXPORT_NAME, name)).expect_dropped(repr(name), b"")
    log = attack.server.text()
    expect(attack.shared or ("%n%s%n" in log and "etc/passwd" in log),
           "the log does not tell who was dropped")
    return f"{len(names)} refused"


@case(11, "EXPORT_NAME of an unknown export")
def unknown_export(attack):
    tried = 0
    for _ in attack.rounds():
        peer = attack.peer(hello=FLAGS + option(OPT_EXPORT_NAME, b"nope") + go())
        peer.expect_dropped("EXPORT_NAME of an unknown export", b"")
        tried += 1
    return f"{tried} closed without a byte"


@case(12, "LIST or INFO for ever")
def for_ever(attack):
    for _ in attack.rounds():
        for one, final in ((option(OPT_LIST), ACK), (go(b"calm", (3,), OPT_INFO), ACK),
                           (go(b"no", (), OPT_INFO), ERR_UNKNOWN), (option(77), ERR_UNSUP)):
            peer = attack.peer()
            answers = 0
            try:
                while answers <= OPTIONS_MAX:
                    expect(peer.ask(one) == final, "another answer")
                    answers += 1
            except (EOFError, ConnectionResetError):
                pass
            expect(answers == OPTIONS_MAX, f"{answers} options answered, not {OPTIONS_MAX}")
            peer.close()
        with attack.peer(hello=FLAGS + option(OPT_LIST) * 5000) as peer:  # Without waiting.
            peer.expect_dropped("LIST for ever")
    return f"closed after {OPTIONS_MAX}"


@case(13, "GO with 65,535 information requests")
def many_infos(attack):
    kinds = list(range(1, 4)) + [5000, 65535]
    for _ in attack.rounds():
        peer = attack.peer(hello=FLAGS + go(b"calm", [each % 65536 for each in range(65535)]))
        rest = peer.rest()
        expect(rest == b"" or struct.unpack(">QIII", rest[:20])[2] == ERR_TOO_BIG, "not refused")
        with attack.peer() as peer:
            count = (OPTION_BYTES_MAX - 10) // 2
            peer.send(go(b"calm", (kinds * count)[:count], OPT_INFO))
            seen = []
            while (reply := peer.option_reply())[1] == INFO:
                seen.append(struct.unpack(">H", reply[2][:2])[0])
            expect(reply[1] == ACK, f"answered with {reply[1]:#x}")
            expect(0 in seen and len(seen) == len(set(seen)), f"answers of the types {seen}")
            peer.enter()
    return f"{count} at once: one answer of each of {len(seen)} types"


@case(14, "data where none is due, none where some is")
def data_or_none(attack):
    for _ in attack.rounds():
        with attack.peer() as peer:
            for number in (OPT_LIST, OPT_STARTTLS, OPT_STRUCTURED):
                kind = peer.ask(option(number, b"x"))
                expect(kind in (ERR_INVALID, ERR_UNSUP, ERR_POLICY) and
                       (number == OPT_STARTTLS or kind == ERR_INVALID), f"{number}: {kind:#x}")
            for number in (OPT_GO, OPT_INFO, OPT_LIST_META):
                kind = peer.ask(option(number))
                expect(kind == ERR_INVALID, f"{number} without data is answered with {kind:#x}")
            expect(peer.ask(option(OPT_LIST)) == ACK, "out of sync")
            expect(peer.ask(option(OPT_ABORT, b"bye" * 100)) == ACK, "ABORT is not acknowledged")
            peer.expect_dropped("ABORT", b"")
    return "refused, in sync; ABORT acknowledged"
