"""What scripts/bench measures, and what dmnbd must reach."""
from dataclasses import dataclass, field

LINEAR, STACK, FILES = "dmnbd/linear", "dmnbd/stack", "dmnbd/files"
MEMORY, FILE, QEMU, FLOOR = "nbdkit-memory", "nbdkit-file", "qemu-nbd", "floor"
NBD_SERVER = "nbd-server/image"
TLS, KIT_TLS = "dmnbd-tls/linear", "nbdkit-tls"


@dataclass
class Bar:
    server: str
    ratio: float
    figure: str = "iops"
    more: bool = True


@dataclass
class Workload:
    name: str
    what: str
    ours: str
    bars: list
    load: list = field(default_factory=list)
    fio: list = field(default_factory=list)
    figure: str = "iops"

    @property
    def servers(self):
        """Ours first. What the sockets cost is shown even where no bar is put against it."""
        beside = [FLOOR, NBD_SERVER] if self.ours == FILES else [FLOOR]
        if self.fio or self.ours == TLS:
            beside = []
        return [self.ours, *dict.fromkeys([bar.server for bar in self.bars] + beside)]


def at_most(server, ratio, figure):
    return Bar(server, ratio, figure, more=False)


def load(text):
    """depth=1 sequential -> --depth 1 --sequential"""
    return [word for pair in text.split() for word in ("--" + pair).split("=")]


DEEP = "depth=32 connections=1"
LARGE = "bytes=1048576 depth=4 sequential"
# Both have the same certificate, and speak the suite that GnuTLS clients prefer.
SECURE = "bytes=65536 depth=16 tls-ca={folder}/pki/ca-cert.pem tls-suite=TLS_AES_256_GCM_SHA384"

# "stack" is linear over flakey (always up) over a 4-way stripe of 64 KiB, with statistics.
WORKLOADS = [
    Workload("read-linear", "4 KiB random read, depth 32, memory, one linear", LINEAR,
             [Bar(FLOOR, 0.80)], load(DEEP)),
    Workload("read-stack", "4 KiB random read, depth 32, memory, stack", STACK,
             [Bar(FLOOR, 0.70), Bar(MEMORY, 2.5), at_most(FLOOR, 1.6, "server_cpu_us")], load(DEEP)),
    Workload("read-stack-4", "the same on 4 connections", STACK,
             [Bar(MEMORY, 4)], load("depth=32 connections=4")),
    Workload("write-stack", "4 KiB random write, depth 32, memory, stack", STACK,
             [Bar(MEMORY, 2)], load(DEEP + " write=100")),
    Workload("read-files", "4 KiB random read, depth 32, stack over cached files", FILES,
             [Bar(FILE, 2), Bar(QEMU, 4)], load(DEEP)),
    Workload("write-files", "4 KiB random write, depth 32, stack over files", FILES,
             [Bar(FILE, 1.1), Bar(QEMU, 1.3)], load(DEEP + " write=100")),
    Workload("large-read-stack", "1 MiB sequential read, 2 connections, memory, stack", STACK,
             [Bar(MEMORY, 1.6)], load(LARGE + " connections=2"), figure="mib_per_s"),
    Workload("large-read-files", "1 MiB sequential read, 2 connections, stack over files", FILES,
             [Bar(FILE, 1.3)], load(LARGE + " connections=2"), figure="mib_per_s"),
    Workload("large-write-stack", "1 MiB sequential write, memory, stack", STACK,
             [Bar(MEMORY, 1.2)], load(LARGE + " write=100"), figure="mib_per_s"),
    Workload("large-write-files", "1 MiB sequential write, stack over files", FILES,
             [Bar(FILE, 0.95)], load(LARGE + " write=100"), figure="mib_per_s"),
    Workload("depth-1", "4 KiB random read, depth 1, memory, stack", STACK,
             [at_most(FLOOR, 1.3, "p50_us")], load("depth=1"), figure="p50_us"),
    Workload("tls-read", "64 KiB random read by TLS 1.3, depth 16, memory, one linear", TLS,
             [Bar(KIT_TLS, 1.3)], load(SECURE), figure="mib_per_s"),
    Workload("tls-write", "64 KiB random write by TLS 1.3, depth 16, memory, one linear", TLS,
             [Bar(KIT_TLS, 1)], load(SECURE + " write=100"), figure="mib_per_s"),
    Workload("fio", "fio's nbd engine, 4 KiB random read, depth 32, stack over files", FILES,
             [Bar(FILE, 1), Bar(QEMU, 1)],
             fio=["--rw=randread", "--bs=4k", "--iodepth=32", "--size=256m"]),
]
