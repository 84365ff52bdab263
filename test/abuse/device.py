"""Cases 36 to 38: tables that change, a server that ends, files that fail."""
import errno
import json
import os
import signal
import subprocess
import time
from pathlib import Path

from arena import TABLE, Attack, Honest
from lib import Server, expect, wait_until
from orders import chunks
from registry import case
from wire import *  # pylint: disable=wildcard-import,unused-wildcard-import

HERE = Path(__file__).resolve().parent
DRAIN_S = 2
SWAPS = """version: 1
shards: 1
stores: { ram: { type: memory, size: 64MiB } }
devices:
  lower: { table: [ { target: linear, args: { device: ram } } ] }
  disk:
    retry: { deadline: 1m, delay: 1ms, max_delay: 5ms }
    table: [ { target: linear, args: { device: lower } } ]
exports: { "": disk }
listen: [ "unix:nbd.sock", "tcp://127.0.0.1:0" ]
"""
# In turn: good, cut in pieces, failing everything (so that it is all requeued), failing a part.
TABLES = ("0 131072 linear lower 0",
          "0 1001 linear lower 0\n1001 30007 linear lower 1001\n31008 100064 linear lower 31008",
          "0 131072 flakey lower 0 0 3600",
          "0 4096 linear lower 0\n4096 126976 flakey lower 4096 0 3600")


@case(36, "suspend, swap and resume under load, with a target that requeues", alone=True)
def swaps(options, folder):
    """Every write lands once: the honest client reads back all that it was told is written. That a
    suspend over its deadline is undone is for test/interop/suspend-load, and which table each part
    went through is for the simulation."""
    rounds = 100 if options.quick else 10000
    with Server(options, folder, SWAPS) as server:
        attack = Attack(server, 0)
        honest = Honest(server.uri)
        try:
            with attack.control() as control:
                def step(name, body):
                    status, said = control.call("POST", f"/v1/devices/disk/{name}", body)
                    expect(status == 200, f"{name}: status {status}: {said}")
                for number in range(rounds):
                    # A table that fails everything keeps a suspend with flush waiting for ever.
                    flush = number % 8 < 4 and number % 4 < 2
                    step("suspend", json.dumps({"flush": flush}))
                    step("load", json.dumps({"dm": TABLES[(number + 1) % 4]}))
                    step("resume", "{}")
                    if number % 16 == 0:
                        time.sleep(0.05)
                step("load", json.dumps({"dm": TABLES[0]}))
                step("suspend", '{"flush":false}')
                step("resume", "{}")
            verified = honest.report()["count"]
            honest.finish()
        finally:
            honest.kill()
        device = server.info()["disk"]
        expect(device["retried"] > 10, "hardly anything was requeued")
        expect(server.stop() == 0, "the server does not end well")
    return (f"{rounds} rounds, {verified} requests verified, {device['retried']} parts issued again")


def bodies(attack):
    """Every kind of client that will not go by itself: (name, peer, simple replies)."""
    structured = attack.peer()
    expect(structured.ask(option(OPT_STRUCTURED)) == ACK, "STRUCTURED_REPLY")
    structured.enter(b"gate")
    simple = attack.peer(b"gate")
    for peer in (structured, simple):
        peer.send(request(WRITE, FRONT, 4096) + bytes(4096))
    stalled = attack.peer(b"calm")
    stalled.send(request(WRITE, FRONT, MIB) + b"x" * 100)
    deaf = attack.peer(b"calm")
    deaf.send(request(READ, 0, 16 * MIB) * 8)
    working = attack.peer(b"slow")
    working.send(b"".join(request(READ, FRONT, 512, i) for i in range(64)))
    return {"structured": structured, "simple": simple, "stalled": stalled, "deaf": deaf,
            "working": working, "idle": attack.peer(b"calm"), "half": attack.peer(hello=b"\0\0")}


@case(37, "SIGTERM with every kind of client", alone=True)
def sigterm(options, folder):
    with Server(options, folder, TABLE) as server:
        attack = Attack(server, 0)
        attack.step("gate", "suspend", '{"flush":true}')
        peers = bodies(attack)
        wait_until(lambda: attack.metric("dmnbd_device_queue_depth", device="gate",
                                         queue="deferred") == 2, 5, "two writes at the gate")
        began = time.monotonic()
        os.kill(server.pid, signal.SIGTERM)
        for _ in range(64):
            expect(peers["working"].reply()[0] == 0, "what is in flight is not answered")
            peers["working"].receive(512)
        peers["working"].expect_dropped("after its answers", b"")
        kind, data = chunks(peers["structured"], False)[0]
        error = struct.unpack(">I", data[:4])[0]
        expect(kind & 1 << 15 and error == errno.ESHUTDOWN, f"a chunk {kind:#x}, error {error}")
        for name in ("simple", "stalled", "idle", "half"):
            peers[name].expect_dropped(name, b"")
        status = server.wait(DRAIN_S + 2)
        took = time.monotonic() - began
        expect(status == 0 and took < DRAIN_S + 1, f"status {status} after {took:.2f} s")
    with Server(options, folder, TABLE.replace("drain: 2s", "drain: 1m")) as server:
        attack = Attack(server, 0)
        attack.step("gate", "suspend", '{"flush":true}')
        peers = bodies(attack)
        time.sleep(0.2)
        os.kill(server.pid, signal.SIGTERM)
        time.sleep(0.3)
        expect(server.alive(), "it does not wait for what is in flight")
        began = time.monotonic()
        status = server.stop()
        second = time.monotonic() - began
        expect(status == 128 + signal.SIGTERM and second < 1, f"status {status}, {second:.2f} s")
        for peer in peers.values():
            peer.close()
    return f"exit 0 after {took:.2f} s; at a second signal at once ({second:.2f} s)"


FILES = """version: 1
shards: 1
stores:
  img: { type: file, path: disk.img, size: 16MiB, create: true, engine: ENGINE }
  small: { type: file, path: small/disk.img, size: 16MiB, create: true, engine: ENGINE }
devices:
  disk: { table: [ { target: linear, args: { device: img } } ] }
  full: { table: [ { target: linear, args: { device: small } } ] }
exports: { "": disk, full: full }
listen: [ "tcp://127.0.0.1:0" ]
"""


def expect_short_and_failing(peer, faults, mark):
    """By a shim, which only what is done by threads can be given."""
    faults.write_text("short")
    peer.write(0, mark)
    expect(peer.read(0, len(mark)) == mark, "short reads and writes lose data")
    faults.write_text("eio")
    for asked, payload in ((request(READ, 0, 4096), b""), (request(WRITE, 0, 4096), bytes(4096))):
        error = peer.error(asked + payload, 4096)
        expect(error == errno.EIO, f"a file that fails: error {error}")
    faults.unlink()
    expect(peer.read(0, len(mark)) == mark, "a write that failed had an effect")


def files_of(options, folder, engine):
    (folder / "small").mkdir(exist_ok=True)
    for old in ("disk.img", "small/disk.img"):
        (folder / old).unlink(missing_ok=True)
    subprocess.run(["cc", "-O", "-Wall", "-shared", "-fPIC", "-o", folder / "shim.so",
                    HERE / "faulty-io-shim.c"], check=True)
    mount = f"mount -t tmpfs -o size=2m tmpfs '{folder}/small' && exec \"$@\""
    wrap = ("unshare", "-rm", "sh", "-c", mount, "sh")
    sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    return Server(options, folder, FILES.replace("ENGINE", engine), wrap=wrap,
                  env={"ASAN_OPTIONS": sanitizer, "LD_PRELOAD": str(folder / "shim.so"),
                       "IO_FAULTS": str(folder / "faults")})


def play_files(options, folder, engine):
    with files_of(options, folder, engine) as server:
        attack, image = Attack(server, 0), folder / "disk.img"
        with attack.peer(b"") as peer, attack.peer(b"full") as full:
            mark = os.urandom(MIB)
            peer.write(8 * MIB, mark)
            if engine == "threads":
                expect_short_and_failing(peer, folder / "faults", mark)
            errors = {full.error(request(WRITE, at, MIB) + mark) for at in range(0, 8 * MIB, MIB)}
            expect(errors == {0, errno.ENOSPC}, f"a full disk: errors {errors}")
            os.replace(image, folder / "moved.img")
            image.write_bytes(bytes(16 * MIB))
            expect(peer.read(8 * MIB, MIB) == mark, "a file that was replaced is not kept")
            os.truncate(folder / "moved.img", MIB)
            error = peer.error(request(READ, 8 * MIB, 4096), 4096)
            expect(error == errno.EIO, f"a file that was cut: error {error}")
            # Half of it is there; what is not must not be what was in memory.
            error = peer.error(request(READ, MIB - 4096, 8192), 8192)
            expect(error == errno.EIO, f"a read over the end: error {error}")
            peer.write(8 * MIB, mark)
            expect(peer.read(8 * MIB, MIB) == mark, "a file that grows again")
        expect(server.alive(), "the server is gone")


@case(38, "backing file truncated, full, failing, replaced; short reads and writes", alone=True)
def files(options, folder):
    for engine in ("threads", "io_uring"):
        play_files(options, folder, engine)
    return "EIO, ENOSPC, or all of it, by threads and by io_uring"
