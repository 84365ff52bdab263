"""How the cost of dmnbd grows: with rows, levels, parts, clients, shards and retries. scripts/bench
measures it after the comparison with other servers.
"""
import http.client
import json
import os
import resource
import signal
import socket
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from run import PARTS, ROW_SECTORS, ROWS, SECTOR, SPARE_BLOCKS
from servers import AREA_MIB, LOAD_CORE
from workloads import DEEP, load

IDLE = 1000
RETRY_EVERY = 1000
AREA_SECTORS = AREA_MIB * (1 << 20) // SECTOR


def rows(run):
    run.start("growth")
    run.servers.fill("growth/one", ROWS * ROW_SECTORS * SECTOR >> 20)
    ratio = run.in_turn("us of server CPU", {
        "1 row": lambda: run.load("growth/one", load(DEEP), "server_cpu_us"),
        "100,000 rows": lambda: run.load("growth/many", load(DEEP), "server_cpu_us")})
    run.judge("100,000 rows / 1 row", ratio, 1.2)
    ns = run.micro(["rows/1", "rows/100000"])
    run.judge("the same in micro", ns["rows/100000"] / ns["rows/1"], 1.2)


def levels(run):
    depths = [1, 2, 3, 4, 8]
    ns = run.micro([f"depth/{depth}" for depth in depths])
    each = [(ns[f"depth/{to}"] - ns[f"depth/{at}"]) / (to - at)
            for at, to in zip(depths, depths[1:])]
    run.judge("the dearest further level / one linear", max(each) / ns["depth/1"], 0.5)


def parts(run):
    ns = run.micro(["depth/1", "parts"])
    run.judge("a part / one linear bio", ns["parts"] / ns["depth/1"], 1.2)


def connect(path, export):
    """A client that has shaken hands, and asks for nothing."""
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))
    client.recv(18, socket.MSG_WAITALL)  # NBDMAGIC, IHAVEOPT, flags: fixed newstyle, no zeroes
    client.sendall(struct.pack(">I8sII", 3, b"IHAVEOPT", 1, len(export)) + export.encode())
    if len(client.recv(10, socket.MSG_WAITALL)) != 10:
        raise SystemExit("bench: a handshake fails")
    return client


def idle(run):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    run.start("idle", rows=1000)  # A large table leaves memory free, which would hide theirs.
    taken_kib, clients = [], []

    def resident_kib():
        status = Path(f"/proc/{run.servers.running['idle'].pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    def busy(idle_clients):
        for _ in range(len(clients), idle_clients):
            clients.append(connect(run.servers.folder / "idle", "one"))
        while len(clients) > idle_clients:
            clients.pop().close()
        return run.load("idle/one", load(DEEP), "iops")

    def crowded():
        before = resident_kib()
        rate = busy(IDLE)
        taken_kib.append((resident_kib() - before) / IDLE)
        return rate

    ratio = run.in_turn("IOPS", {"no idle clients": lambda: busy(0), "1,000 idle": crowded})
    busy(0)
    run.note("an idle client", max(taken_kib), "KiB resident")
    run.judge("KiB of an idle client", max(taken_kib), 24)
    run.judge("the busy one's rate, 1,000 idle / none", ratio, 0.95, more=True)


def shards(run):
    cores = {"cores": "0,1"}
    words = load(f"connections=4 depth=4 bytes={PARTS * ROW_SECTORS * SECTOR}") + ["--trim", "--sleep"]
    for number in (1, 2):
        run.start(f"shards-{number}", number, rows=32 * PARTS, **cores)
    ratio = run.in_turn("trims/s", {
        "1 shard": lambda: run.load("shards-1/many", words, "iops", **cores),
        "2 shards": lambda: run.load("shards-2/many", words, "iops", **cores)})
    run.judge("2 shards / 1 shard", ratio, 1.6, more=True)


class Control(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))

    def message(self, device, text):
        self.request("POST", f"/v1/devices/{device}/message", json.dumps({"text": text}),
                     {"Content-Type": "application/json"})
        answer = self.getresponse()
        body = answer.read().decode()
        if answer.status != 200:
            raise SystemExit(f"bench: {text}: {body}")
        return json.loads(body)["text"]


def retry(run):
    run.start("growth")
    control = Control(run.servers.folder / "growth.control")
    writes = min(round(run.seconds * 100) * RETRY_EVERY, AREA_SECTORS)
    words = load(f"depth=32 write=100 bytes={SECTOR} requests={writes} area={writes * SECTOR}")

    def rate(every):
        for block in range(every // 2, writes if every else 0, every or 1):
            control.message("dust", f"addbadblock {block} 1")
        iops = run.servers.run("growth/retried", words + ["--sequential"])["iops"]
        if f" {SPARE_BLOCKS} " not in control.message("dust", "countbadblocks"):
            raise SystemExit("bench: not every bad block was written again")
        return iops

    rate(RETRY_EVERY)  # Writes all of the area for the first time.
    ratio = run.in_turn("IOPS", {"no retries": lambda: rate(0),
                                 "1 in 1,000": lambda: rate(RETRY_EVERY)})
    control.close()
    run.judge("the rate, 1 retry in 1,000 / none", ratio, 0.97, more=True)
    ns = run.micro(["retried_1_in/0", "retried_1_in/1000"])
    run.judge("the rate in micro", ns["retried_1_in/0"] / ns["retried_1_in/1000"], 0.97, more=True)


def watched(run):
    """What it costs to be looked at as often as `top` does, and to be asked for metrics as often."""
    run.start("idle", rows=1000)
    control = run.servers.folder / "idle.control"

    def rate(looks):
        looking = [subprocess.Popen(
            ["taskset", "-c", LOAD_CORE, "sh", "-c", f"while {each}; do sleep 1; done"],
            stdout=subprocess.DEVNULL, start_new_session=True) for each in looks]
        try:
            seconds = ["--seconds", str(max(run.seconds, 2))]
            return run.servers.run("idle/one", load(DEEP) + seconds)["server_cpu_us"]
        finally:
            for each in looking:
                os.killpg(each.pid, signal.SIGTERM)
                each.wait()

    curl = f"curl -s --unix-socket {control} http://localhost"
    ratio = run.in_turn("us of server CPU", {
        "nobody looks": lambda: rate([]),
        "stats and metrics": lambda: rate([f"{curl}/v1/devices", f"{curl}/metrics"])})
    run.judge("server CPU for each read, looked at / not", ratio, 1.05)


@dataclass
class Growth:
    name: str
    what: str
    measure: object


GROWTHS = [
    Growth("growth-rows", "4 KiB random read, depth 32: a table of 1 or 100,000 rows", rows),
    Growth("growth-levels", "one more linear device in the stack, in dmcore alone", levels),
    Growth("growth-parts", "4 MiB over chunks of 4 KiB, for each part, in dmcore alone", parts),
    Growth("growth-idle", "4 KiB random read on one connection, beside 1,000 idle ones", idle),
    Growth("growth-shards", "4 MiB trim over empty rows of 4 KiB, 4 connections; clients cost "
           "little, and share 2 cores with the server", shards),
    Growth("growth-watched", "4 KiB random read, while statistics and metrics are asked for", watched),
    Growth("growth-retry", "512 B sequential write: 1 in 1,000 fails once (dust), is retried",
           retry),
]
