"""Cases 39 and 40: tables and control calls that are wrong."""
import json
import os
import re
import resource
import socket
import subprocess
import sys
import time

from arena import TABLE, Attack, is_sanitized
from lib import Server, expect, wait_until
from registry import case
from wire import MIB

CHECK_S, CHECK_BYTES = 2, 256 * MIB
IDLE_S = 30
WAITS_MAX = 64
OF_THE_WHOLE = ("1 GiB", "many nodes")  # Refused before they are read, so without line and column.
STORE = "stores: { a: { type: memory, size: 1MiB }, b: { type: memory, size: 1MiB } }\n"


def row(*rows):
    return STORE + 'devices: { d: { table: "' + "\\n".join(rows) + '" } }\n'


def bomb():
    levels = ["x-0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for i in range(1, 60):
        levels.append(f"x-{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]")
    return "\n".join(levels) + "\n"


TABLES = {
    "alias bomb": (bomb(), "too-many-nodes"),
    "depth 100,000": ("x-a: " + "[" * 100000, "too-deep"),
    "depth 100,000 of maps": ("x-a: " + "{a: " * 100000, "too-deep"),
    "duplicate keys": (STORE + "exports: {}\nexports: {}\n", "duplicate-key"),
    "cycle": (STORE + "devices:\n" + "".join(
        f"  d{i}: {{ table: \"0 8 linear d{(i + 1) % 2000} 0\" }}\n" for i in range(2000)), "cycle"),
    "gap": (row("0 8 linear a 0", "16 8 linear a 8"), "table-gap"),
    "overlap": (row("0 8 linear a 0", "4 8 linear a 8"), "table-overlap"),
    "sum past 2^64": (row("0 18446744073709551615 linear a 18446744073709551615"), "too-long"),
    "far out": (row("0 8 linear a 18446744073709551615"), "past-end"),
    "many nodes": ("x-a: [" + "a," * 4000000 + "]", "too-many-nodes"),
}


def limit_memory():
    resource.setrlimit(resource.RLIMIT_AS, (CHECK_BYTES, CHECK_BYTES))


def refused(attack, what, file, slug):
    """By `check`, with its limits, and by a server that serves another table. Seconds of the first."""
    began = time.monotonic()
    done = subprocess.run([attack.dmnbd, "check", "--format", "short", file], cwd=attack.folder,
                          capture_output=True, text=True, check=False,
                          preexec_fn=None if is_sanitized(attack.dmnbd) else limit_memory)
    took = time.monotonic() - began
    expect(done.returncode == 1 and f"[{slug}]" in done.stdout,
           f"{what}: status {done.returncode}: {done.stdout[:200]}{done.stderr[:200]}")
    expect(took < CHECK_S, f"{what}: refused after {took:.1f} s")
    if what not in OF_THE_WHOLE:
        expect(re.match(rf"{file}:\d+:\d+: error: ", done.stdout), f"{what}: no place: {done.stdout}")
    return took


@case(39, "tables: 1 GiB, bombs, depth, cycles, gaps, overlaps, sums past 2^64", alone=True)
def tables(options, folder):
    with Server(options, folder, TABLE) as server:
        attack = Attack(server, 0)
        (folder / "huge.yaml").touch()
        os.truncate(folder / "huge.yaml", 1 << 30)
        slowest = refused(attack, "1 GiB", "huge.yaml", "too-large")
        resident = attack.resident_bytes()
        live = attack.ask("/v1/config")
        for what, (text, slug) in TABLES.items():
            (folder / "bad.yaml").write_text("version: 1\n" + text)
            slowest = max(slowest, refused(attack, what, "bad.yaml", slug))
            began = time.monotonic()
            done = subprocess.run([attack.dmnbd, "apply", "bad.yaml"], cwd=folder, env=server.env,
                                  capture_output=True, text=True, check=False)
            took = time.monotonic() - began
            expect(done.returncode == 1 and slug in done.stderr + done.stdout,
                   f"apply of {what}: status {done.returncode}: {done.stderr[:300]}")
            expect(took < CHECK_S, f"apply of {what}: refused after {took:.1f} s")
            slowest = max(slowest, took)
            expect(attack.ask("/v1/config") == live, f"{what} has changed what is live")
        grown = attack.resident_bytes() - resident
        expect(grown < CHECK_BYTES or is_sanitized(options.dmnbd),
               f"the server took {grown / MIB:.0f} MiB")
        with attack.peer(b"") as peer:
            peer.expect_alive("bad tables")
        expect(server.stop() == 0, "the server does not end well")
    return f"{len(TABLES) + 1} refused, the slowest after {slowest:.2f} s"


class Caller:
    """A connection to the control socket that sends what it is told."""

    def __init__(self, folder, data=b"", timeout=40):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(folder / "control.sock"))
        self.socket.settimeout(timeout)
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # It is refused before its end.

    def answer(self):
        """Until the server closes."""
        said = b""
        try:
            while more := self.socket.recv(65536):
                said += more
        except ConnectionResetError:
            pass
        self.socket.close()
        return said.decode(errors="replace")

    def status(self):
        said = self.answer()
        return int(said.split()[1]) if said.startswith("HTTP/1.1 ") else 0


def post(path, body, length=None):
    return (f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: "
            f"application/json\r\nContent-Length: {len(body) if length is None else length}\r\n\r\n"
            ).encode() + body


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()


def probe(folder):
    """How long a probe takes, in seconds."""
    began = time.monotonic()
    expect(Caller(folder, get("/livez")).status() == 200, "a probe is not answered well")
    return time.monotonic() - began


OTHER_USER = """import socket, sys
one = socket.socket(socket.AF_UNIX)
try:
    one.connect(sys.argv[1])
    one.sendall(b"GET /v1/devices HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n")
    print(one.recv(100).split()[1:2])
except OSError as error:
    print(error.__class__.__name__)
"""


def other_user(folder):
    """What somebody else gets, with a socket as it is made and with one that all may connect to."""
    if os.geteuid() != 0:
        return ["SKIPPED: other users, for this is not root's"]
    os.chmod(folder, 0o755)
    got = []
    for mode in (0o600, 0o666):
        os.chmod(folder / "control.sock", mode)
        got.append(subprocess.run([sys.executable, "-c", OTHER_USER, folder / "control.sock"],
                                  user=65534, group=65534, extra_groups=[], capture_output=True,
                                  text=True, check=True).stdout.strip())
    os.chmod(folder / "control.sock", 0o600)
    expect(got[0] == "PermissionError", f"another user gets {got[0]}")
    expect(got[1] in ("[b'403']", "[]", "ConnectionResetError", "BrokenPipeError"),
           f"another user who may connect gets {got[1]}")
    return got


def wrong_calls(folder):
    """(bytes, statuses that are right; 0: closed)"""
    deep = b'{"a":' * 10000 + b"1" + b"}" * 10000
    tries = ((b"x" * MIB + b"\r\n", (0, 400, 414, 431)),
             (b"GET /" + b"x" * MIB + b" HTTP/1.1\r\n\r\n", (0, 400, 414, 431)),
             (b"GET /livez HTTP/1.1\r\nX: " + b"y" * MIB + b"\r\n\r\n", (0, 400, 431)),
             (post("/v1/devices/disk/message", b"{" + b" " * MIB + b"}"), (0, 413)),
             (post("/v1/devices/disk/message", b'{"sector":'), (400, 422)),
             (post("/v1/devices/disk/message", deep), (400, 413, 422)),
             (post("/v1/devices/disk/load", b'{"table":' + b"[" * 100000), (400, 413, 422)),
             (post("/v1/devices/disk/load", b"{", 17 * MIB), (0, 413)),
             (post("/v1/devices/disk/message", b"{}", 1 << 62), (0, 413)))
    for data, wanted in tries:
        status = Caller(folder, data).status()
        expect(status in wanted, f"{data[:60]!r}: status {status}")
    return len(tries)


def busy(folder):
    """More calls that wait than may; the rest is told so, and a probe is answered beside them."""
    waits = [Caller(folder, get("/v1/devices/disk/wait?event=1")) for _ in range(WAITS_MAX + 6)]
    slowest = probe(folder)
    with Caller(folder, post("/v1/devices/disk/message", b'{"sector":0,"text":"@stats_list"}')) \
            .socket as other:
        expect(b" 200 " in other.recv(4096), "a command is kept waiting by those that wait")
    refusals = 0
    for each in waits:
        each.socket.settimeout(0.05)
        try:
            refusals += b" 503 " in each.socket.recv(4096)
        except TimeoutError:
            pass
        each.socket.close()
    expect(refusals == 6, f"{refusals} calls are told that it is busy")
    return slowest


@case(40, "the control socket: other users, long lines, half a JSON, 1,000 that idle", alone=True,
      waits="control")
def control_socket(options, folder):
    with Server(options, folder, TABLE) as server:
        attack = Attack(server, 0)
        files, resident = server.open_files(), attack.resident_bytes()
        others = other_user(folder)
        idle = Caller(folder, post("/v1/devices/disk/message", b'{"sector"', 100))
        began = time.monotonic()
        wrong = wrong_calls(folder)
        slowest = busy(folder)
        closed = idle.answer()
        took = time.monotonic() - began
        expect(IDLE_S - 2 < took < IDLE_S + 4 and closed == "", f"idle: {took:.0f} s, {closed!r}")
        crowd = [Caller(folder) for _ in range(1000)]
        for _ in range(5):
            slowest = max(slowest, probe(folder))
        expect(slowest < 1, f"a probe took {slowest:.2f} s")
        for each in crowd:
            each.socket.close()
        grown = attack.resident_bytes() - resident
        expect(grown < 64 * MIB or is_sanitized(options.dmnbd),
               f"the server took {grown / MIB:.0f} MiB")
        with attack.peer(b"") as peer:
            peer.expect_alive("bad calls")
        wait_until(lambda: server.open_files() <= files, 10, "every descriptor is closed again")
        expect(server.stop() == 0, "the server does not end well")
    return (f"another user gets {others[0]}, then {others[-1]}; {wrong} refused; idle closed after "
            f"{took:.0f} s; the slowest probe {slowest * 1000:.0f} ms")
