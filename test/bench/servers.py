"""The servers that scripts/bench compares, each on its socket, all pinned to one core.

nbd-server goes to the background and has a process for each client, so its CPU time is not known."""
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "interop"))
import pki  # noqa: E402

AREA_MIB = 256
SERVER_CORE, LOAD_CORE = "0", "1"

TABLE = """version: 1
shards: 1
stores:
  whole: {{ type: memory, size: {mib}MiB }}
  leg0: {{ type: memory, size: {leg}MiB }}
  leg1: {{ type: memory, size: {leg}MiB }}
  leg2: {{ type: memory, size: {leg}MiB }}
  leg3: {{ type: memory, size: {leg}MiB }}
  file0: {{ type: file, path: {folder}/leg0, size: {leg}MiB, create: true }}
  file1: {{ type: file, path: {folder}/leg1, size: {leg}MiB, create: true }}
  file2: {{ type: file, path: {folder}/leg2, size: {leg}MiB, create: true }}
  file3: {{ type: file, path: {folder}/leg3, size: {leg}MiB, create: true }}
devices:
  linear: {{ table: [ {{ target: linear, args: {{ device: whole }} }} ] }}
  stripe: {{ table: [ {{ target: striped, args: {{ chunk: 64KiB, devices: [leg0, leg1, leg2, leg3] }} }} ] }}
  flaky: {{ table: [ {{ target: flakey, args: {{ device: stripe, up: 1h, down: 0s }} }} ] }}
  stack: {{ table: [ {{ target: linear, args: {{ device: flaky }} }} ] }}
  file-stripe: {{ table: [ {{ target: striped, args: {{ chunk: 64KiB, devices: [file0, file1, file2, file3] }} }} ] }}
  file-flaky: {{ table: [ {{ target: flakey, args: {{ device: file-stripe, up: 1h, down: 0s }} }} ] }}
  file-stack: {{ table: [ {{ target: linear, args: {{ device: file-flaky }} }} ] }}
exports: {{ linear: linear, stack: stack, files: file-stack }}
listen: [ "unix:{folder}/dmnbd" ]
control: {{ unix: {folder}/control }}
"""


# Clients may come without, too, to fill it.
TLS_TABLE = """version: 1
shards: 1
stores: {{ whole: {{ type: memory, size: {mib}MiB }} }}
devices: {{ linear: {{ table: [ {{ target: linear, args: {{ device: whole }} }} ] }} }}
exports: {{ linear: linear }}
listen: [ "unix:{folder}/dmnbd-tls" ]
control: {{ unix: {folder}/control-tls }}
tls: {{ cert: {folder}/pki/server-cert.pem, key: {folder}/pki/server-key.pem }}
"""

# It listens on TCP as well, whatever it is told.
NBD_SERVER = """[generic]
unixsock = {folder}/nbd-server
listenaddr = 127.0.0.1
port = {port}
[image]
exportname = {folder}/image
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Servers:
    """Starts each when it is first needed; ends all at exit."""

    def __init__(self, folder, build):
        self.folder, self.build = folder, build
        # Of the servers that are dmnbd, by name. Each listens on the socket of that name.
        self.tables = {"dmnbd": TABLE.format(folder=folder, mib=AREA_MIB, leg=AREA_MIB // 4),
                       "dmnbd-tls": TLS_TABLE.format(folder=folder, mib=AREA_MIB)}
        self.running = {}
        self.filled = set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int((self.folder / "nbd-server.pid").read_text()), signal.SIGTERM)
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            process.wait()

    def command(self, program):
        path, image = self.folder / program, self.folder / "image"
        if program.endswith("-tls") and not (self.folder / "pki").exists():
            pki.make(self.folder / "pki")
        if program in self.tables:
            table = self.folder / f"{program}.yaml"
            table.write_text(self.tables[program])
            return [self.build / "dmnbd", "serve", "--no-watch", table]
        if program in ("nbdkit-file", "qemu-nbd", "nbd-server") and not image.exists():
            image.touch()
            os.truncate(image, AREA_MIB << 20)
        if program == "nbd-server":
            config = self.folder / "nbd-server.conf"
            config.write_text(NBD_SERVER.format(folder=self.folder, port=free_port()))
            return ["nbd-server", "-C", config, "-p", f"{path}.pid"]
        return {
            "floor": [self.build / "test/floor", path, str(AREA_MIB)],
            "nbdkit-memory": ["nbdkit", "-f", "-U", path, "memory", f"{AREA_MIB}M"],
            "nbdkit-tls": ["nbdkit", "-f", "-U", path, "--tls=on",
                           f"--tls-certificates={self.folder}/pki", "memory", f"{AREA_MIB}M"],
            "nbdkit-file": ["nbdkit", "-f", "-U", path, "file", image],
            "qemu-nbd": ["qemu-nbd", "-t", "-f", "raw", "-e", "64", "-x", "", "-k", path, image],
        }[program]

    def start(self, program, cores=SERVER_CORE):
        if program in self.running:
            return
        command = ["taskset", "-c", cores] + [str(word) for word in self.command(program)]
        self.running[program] = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                                 stdout=subprocess.DEVNULL,
                                                 stderr=subprocess.DEVNULL)
        for _ in range(200):
            with socket.socket(socket.AF_UNIX) as probe:
                if probe.connect_ex(str(self.folder / program)) == 0:
                    return
            time.sleep(0.05)
        raise SystemExit(f"bench: {program} does not start")

    @staticmethod
    def place(server):
        """The program and the export: ours are called dmnbd/EXPORT."""
        program, _, export = server.partition("/")
        return program, export

    def prepare(self, workload):
        """What is read has been written before, and is right."""
        for server in workload.servers:
            self.start(self.place(server)[0])
            self.fill(server)

    def fill(self, server, mib=AREA_MIB):
        if server in self.filled:
            return
        self.filled.add(server)
        fill = ["--bytes", "1048576", "--sequential", "--verify", "--depth", "4",
                "--requests", str(mib)]
        self.run(server, fill + ["--write", "100"])
        self.run(server, fill)

    def load(self, server, workload, seconds):
        if workload.fio:
            return self.fio(server, workload.fio, seconds)
        words = [word.format(folder=self.folder) for word in workload.load]
        return self.run(server, words + ["--seconds", str(seconds)])

    def run(self, server, words, cores=LOAD_CORE):
        program, export = self.place(server)
        command = ["taskset", "-c", cores, self.build / "test/load", self.folder / program,
                   "--export", export, "--pid", str(self.running[program].pid), *words]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"bench: {server}: {done.stderr}")
        return json.loads(done.stdout)

    def fio(self, server, words, seconds):
        program, export = self.place(server)
        uri = f"nbd+unix:///{export}?socket={self.folder / program}"
        command = ["taskset", "-c", LOAD_CORE, "fio", "--name=bench", "--ioengine=nbd",
                   f"--uri={uri}", "--time_based", f"--runtime={max(1, round(seconds))}",
                   "--output-format=json", *words]
        before = self.cpu(program)
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"bench: fio on {server}: {done.stderr}{done.stdout}")
        spent = self.cpu(program) - before
        read = json.loads(done.stdout[done.stdout.index("{"):])["jobs"][0]["read"]
        percentile = read["clat_ns"]["percentile"]
        return {"iops": read["iops"], "mib_per_s": read["bw"] / 1024,
                "p50_us": percentile["50.000000"] / 1000,
                "p99_us": percentile["99.000000"] / 1000,
                "server_cpu_us": spent / 1000 / read["total_ios"]}

    def cpu(self, program):
        """Nanoseconds of CPU time, of all threads that there were: some servers end them."""
        stat = Path(f"/proc/{self.running[program].pid}/stat").read_text()
        user, system = stat.rpartition(") ")[2].split()[11:13]
        return (int(user) + int(system)) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
