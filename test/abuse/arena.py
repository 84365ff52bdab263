"""A server of one shard, an honest client beside whoever attacks it, and what is held against both."""
import contextlib
import functools
import http.client
import json
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from lib import Failure, Server, expect, wait_until
from wire import FRONT, MIB, Peer

HERE = Path(__file__).resolve().parent
RATIO_MAX = 10        # p99 beside an attack, over that of the same client before it.
ATTACKER_NICE = 10    # Taking the processor from others is not what is tested.
SLACK_BYTES = 16 * MIB
LOG_INTERVAL_S = 1.0

TABLE = """version: 1
shards: 1
stores:
  ram: { type: memory, size: 64MiB }
  other: { type: memory, size: 64MiB }
  img: { type: file, path: disk.img, size: 64MiB, create: true }
  even: { type: memory, size: 2GiB }
  odd: { type: memory, size: 2GiB }
devices:
  disk: { table: [ { target: linear, args: { device: ram } } ] }
  calm: { table: [ { target: linear, args: { device: other } } ] }
  gate: { table: [ { target: linear, args: { device: other } } ] }
  filed: { table: [ { target: linear, args: { device: img } } ] }
  ends: { table: [ { target: linear, args: { device: other } } ] }
  stripes: { table: [ { target: striped, args: { chunk: 4KiB, devices: [even, odd] } } ] }
  slow: { table: [ { target: delay, args: { device: other, delay: 300ms } } ] }
exports:
  "": disk
  locked: { device: calm, read_only: true }
  one: { device: calm, max_connections: 1 }
  calm: calm
  gate: gate
  ends: ends
  filed: filed
  slow: slow
  stripes: stripes
listen: [ "unix:nbd.sock", "tcp://127.0.0.1:0" ]
reload: { drain: 2s }
"""
EXPORTS = 9


class Control(http.client.HTTPConnection):
    """The control API on its unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)

    def call(self, method, path, body=None):
        """(status, text)"""
        self.request(method, path, body, {"Content-Type": "application/json"})
        answer = self.getresponse()
        return answer.status, answer.read().decode()


@functools.cache
def is_sanitized(dmnbd):
    """Then its memory is the sanitizer's rather than its own, and it can't do without descriptors,
    nor with little address space: nothing is said of either."""
    libraries = subprocess.run(["ldd", dmnbd], capture_output=True, text=True, check=False).stdout
    return bool(re.search(r"lib[at]san\.so", libraries))


class Attack:
    """What an attacker knows: where the server is, and how long to go on."""

    def __init__(self, server, seconds, quick=True):
        self.server, self.seconds, self.quick = server, seconds, quick
        self.shared = False  # With other attacks, which may be in the way of this one.
        self.port = int(re.search(r"nbd://127\.0\.0\.1:([0-9]+)", server.text())[1])
        self.unix = server.folder / "nbd.sock"
        self.dmnbd, self.folder = server.dmnbd, server.folder

    def peer(self, name=None, unix=False, **how):
        """A connection; `name`: of the export that it has entered."""
        how.setdefault("timeout", 120 if self.shared else 20)
        peer = Peer(self.unix if unix else self.port, **how)
        return peer if name is None else peer.enter(name)

    def rounds(self):
        """At least one, until the time is over."""
        end, number = time.monotonic() + self.seconds, 0
        while number == 0 or time.monotonic() < end:
            yield number
            number += 1

    @contextlib.contextmanager
    def control(self):
        control = Control(self.server.folder / "control.sock")
        try:
            yield control
        finally:
            control.close()

    def ask(self, path):
        with self.control() as control:
            status, said = control.call("GET", path)
        expect(status == 200, f"{path}: status {status}: {said}")
        return said

    def step(self, device, step, body="{}"):
        with self.control() as control:
            status, said = control.call("POST", f"/v1/devices/{device}/{step}", body)
        expect(status == 200, f"{step}: status {status}: {said}")

    def clients(self):
        return json.loads(self.ask("/v1/clients"))["clients"]

    def metric(self, name, **labels):
        """The sum over all that have these labels."""
        values = [float(line.rpartition(" ")[2]) for line in self.ask("/metrics").splitlines()
                  if re.match(name + r"[{ ]", line) and
                  all(f'{key}="{value}"' in line for key, value in labels.items())]
        expect(values, f"there is no metric {name} {labels}")
        return sum(values)

    def resident_bytes(self):
        with open(f"/proc/{self.server.pid}/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def processor_s(self):
        with open(f"/proc/{self.server.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Honest:
    """The honest client; see honest.py."""

    def __init__(self, uri, seed=1):
        self.process = subprocess.Popen(
            ["/usr/bin/python3", HERE / "honest.py", uri, str(FRONT), str(seed)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.verified = 0
        expect(self.process.stdout.readline() == "ready\n", "the honest client does not start")

    def report(self):
        """What it has done since the last call."""
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        line = self.process.stdout.readline()
        if not line:
            raise Failure(self.process.stderr.read().strip() or "the honest client is gone")
        said = json.loads(line)
        self.verified += said["count"]
        return said

    def finish(self):
        """It reads all back and leaves."""
        errors = self.process.communicate(timeout=60)[1]
        expect(self.process.returncode == 0, errors.strip())

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Watch(threading.Thread):
    """Looks at the server's memory until it is told to stop."""

    def __init__(self, attack):
        super().__init__(daemon=True)
        self.attack, self.over, self.most_bytes = attack, threading.Event(), 0
        self.start()

    def run(self):
        while not self.over.wait(0.05):
            try:
                self.most_bytes = max(self.most_bytes, self.attack.resident_bytes())
            except (OSError, ValueError, IndexError):
                return  # It has ended.

    def stop(self):
        self.over.set()
        self.join()
        return self.most_bytes


def _child(run, attack, pipe, yields):
    """Runs the attack in this process and tells how it went. One that `yields` has the processor
    only while nobody else wants it; the others have times to keep."""
    if yields:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    else:
        os.nice(ATTACKER_NICE)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        pipe.send(("", run(attack)))
    except Exception as error:  # pylint: disable=broad-except
        where = error.__traceback__
        while where.tb_next:
            where = where.tb_next
        place = f"{Path(where.tb_frame.f_code.co_filename).name}:{where.tb_lineno}"
        pipe.send((str(error) if isinstance(error, Failure) else f"{place}: {error!r}", None))


class Attacker:
    """An attack, in a process of its own."""

    def __init__(self, run, attack, yields=False):
        self.pipe, theirs = multiprocessing.Pipe(False)
        self.process = multiprocessing.Process(target=_child, args=(run, attack, theirs, yields))
        self.process.start()
        theirs.close()

    def result(self):
        try:
            why, figures = self.pipe.recv()
        except EOFError:
            why, figures = "the attacker is gone", None
        self.process.join()
        expect(not why, why)
        return figures

    def kill(self):
        if self.process.is_alive():
            self.process.kill()
        self.process.join()


class Arena:
    """One server, its honest client, and attacks on it one after another or at once."""

    def __init__(self, options, folder, seconds):
        self.server = Server(options, folder, TABLE)
        self.attack = Attack(self.server, seconds, options.quick)
        self.honest = None
        try:
            self.fill()
            self.honest = Honest(self.server.uri)
            self.honest.report()
        except BaseException:
            self.close()
            raise
        self.files = self.server.open_files()

    def fill(self):
        """Memory stores grow when they are written; that is not what is looked for."""
        for name in (b"", b"calm"):
            with self.attack.peer(name) as peer:
                for at in range(0, 64 * MIB, MIB):
                    peer.write(at, bytes(MIB))

    def budget_bytes(self):
        return int(self.attack.metric("dmnbd_memory_budget_bytes"))

    def measure(self, runs, yields=False, calm_s=1.0):
        """The attacks at once: (their figures, calm report, report, bytes grown). Raises Failure."""
        self.honest.report()
        time.sleep(calm_s)
        calm = self.honest.report()
        resident = self.attack.resident_bytes()
        attackers = [Attacker(run, self.attack, yields) for run in runs]
        watch = Watch(self.attack)
        try:
            figures = [each.result() for each in attackers]
        finally:
            for each in attackers:
                each.kill()
        report = self.honest.report()
        grown = max(0, watch.stop() - resident)
        expect(grown <= self.budget_bytes() + SLACK_BYTES,
               f"it took {grown / MIB:.0f} MiB, which is over its budget")
        return figures, calm, report, grown

    def comes_back(self):
        """Nothing of the attackers is left."""
        expect(self.server.alive(), "the server is gone")
        wait_until(lambda: self.attack.metric("dmnbd_connections") <= 1, 10, "all slots are free")
        wait_until(lambda: self.server.open_files() <= self.files, 5,
                   f"{self.files} files were open, and now {self.server.open_files()}")

    def finish(self):
        """The end of it, and what only shows then."""
        self.honest.finish()
        wait_until(lambda: self.attack.metric("dmnbd_buffer_bytes") == 0, 5, "all buffers are back")
        expect(self.server.stop() == 0, "SIGTERM does not end the server well")
        check_log(self.server.text())

    def close(self):
        if self.honest:
            self.honest.kill()
        self.server.kill()


def check_log(log):
    """One line at most in a second about those who were dropped, nothing else, nothing raw."""
    told = []
    for line in log.splitlines():
        if not line.startswith("{"):
            continue  # What it prints when it starts.
        expect(line.isprintable(), f"the log has control characters: {line!r}")
        entry = json.loads(line)
        expect(entry["level"] in ("info", "warning"), f"the log has an error: {line}")
        if " dropped: " in entry["msg"]:
            told.append(entry["ts"])
    for before, after in zip(told, told[1:]):
        expect(after - before > LOG_INTERVAL_S - 0.05,
               f"two offences are told within {after - before:.2f} s")
    return len(told)


def p99_ratio(calm, report):
    expect(calm["count"] > 100 and report["count"] > 100,
           f"the honest client did hardly anything: {calm['count']}, then {report['count']}")
    return report["p99"] / calm["p99"]


if __name__ == "__main__":
    sys.exit("test/abuse/run runs it")
