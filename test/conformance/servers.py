"""The servers that `compare` judges, each with its options for the suite. They listen on sockets in
a folder of their own and end with the block."""
import contextlib
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import certificates

DISK_BYTES = 6 << 30  # Sparse; more than 32 bits of offset, and room for a request of 5 GiB.
DESCRIPTION = "a disk to be judged"


@dataclass
class Program:
    """One process and the socket on which it is ready. `pid_file`: it goes to the background."""
    words: list
    socket: Path
    pid_file: Path | None = None
    process: subprocess.Popen | None = None

    def start(self, folder):
        with contextlib.suppress(FileNotFoundError):
            self.socket.unlink()
        with open(folder / "server.log", "ab") as log:
            self.process = subprocess.Popen([str(word) for word in self.words], cwd=folder,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        for _ in range(400):
            with socket.socket(socket.AF_UNIX) as probe:
                if probe.connect_ex(str(self.socket)) == 0:
                    return
            if not self.pid_file and self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise SystemExit(f"{self.words[0]} does not start:\n{(folder / 'server.log').read_text()}")

    def pid(self):
        """0: it does not run."""
        if not self.pid_file:
            return self.process.pid
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int(self.pid_file.read_text())
        return 0

    def alive(self):
        if not self.pid_file:
            return self.process.poll() is None
        return self.pid() != 0 and Path(f"/proc/{self.pid()}").exists()

    def stop(self):
        if self.process is None or not self.alive():
            return
        pid = self.pid()
        os.kill(pid, signal.SIGTERM)
        for _ in range(300):
            if not self.alive():
                break
            time.sleep(0.05)
        else:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()


@dataclass
class Server:
    """A server under test: the first program is the one that the options describe."""
    name: str
    version: str
    folder: Path
    programs: list
    options: list = field(default_factory=list)  # For the suite; --pid is added.
    last_words: str = ""  # Of one that has died.

    def __enter__(self):
        self.ensure()
        return self

    def __exit__(self, *_):
        for program in self.programs:
            program.stop()

    def ensure(self):
        """Starts what is not running. True if the first one was gone: a check has killed it."""
        gone = self.programs[0].process is not None and not self.programs[0].alive()
        if gone:
            said = (self.folder / "server.log").read_text(errors="replace").splitlines()
            self.last_words = said[-1] if said else "without a word"
        for program in self.programs:
            if program.process is None or not program.alive():
                program.start(self.folder)
        return gone

    def restart(self):
        self.__exit__()
        self.ensure()

    def arguments(self):
        return [*map(str, self.options), "--pid", str(self.programs[0].pid())]


def uri(path, name="", scheme="nbd"):
    return f"{scheme}+unix:///{name}?socket={path}"


def first_line(*words):
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()[0]


def sparse(path, size=DISK_BYTES):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.truncate(size)
    return path


def tls_options(folder):
    return ["--tls-ca", folder / "ca-cert.pem", "--tls-cert", folder / "client-cert.pem",
            "--tls-key", folder / "client-key.pem", "--tls-bad-cert", folder / "stranger-cert.pem",
            "--tls-bad-key", folder / "stranger-key.pem"]


def psk_options(folder, path, name):
    return ["--psk", uri(path, name, "nbds"), "--psk-key",
            (folder / "keys.psk").read_text().strip()]


def nbdkit_file(folder):
    keys, at = certificates.make(folder / "keys"), folder.joinpath
    disk = sparse(at("exports/disk"))
    sparse(at("exports/other"), 64 << 20)
    names = ["--filter=exportname", "file", f"dir={at('exports')}", "default-export=disk",
             "exportname=disk", "exportname=other", "exportname=", "exportname-list=explicit",
             "exportname-strict=true",
             f"exportdesc=fixed:{DESCRIPTION}"]
    kit, small = ["nbdkit", "-f", "-U"], ["blocksize-maximum=1M", "blocksize-error-policy=error"]
    programs = [
        Program([*kit, at("main"), *names], at("main")),
        Program([*kit, at("ro"), "-r", "file", disk], at("ro")),
        Program([*kit, at("bad"), "--filter=error", "memory", "64M", "error-pread-rate=100%"],
                at("bad")),
        Program([*kit, at("small"), "--filter=blocksize-policy", "memory", "1G", *small],
                at("small")),
        Program([*kit, at("tls"), "--tls=require", f"--tls-certificates={keys}",
                 "--tls-verify-peer",
                 "memory", "128M"], at("tls")),
        Program([*kit, at("open"), "--tls=on", f"--tls-certificates={keys}", "--tls-verify-peer",
                 "memory", "128M"], at("open")),
        Program([*kit, at("psk"), "--tls=require", f"--tls-psk={keys / 'keys.psk'}", "memory",
                 "64M"],
                at("psk"))]
    return Server("nbdkit file", first_line("nbdkit", "--version"), folder, programs, [
        uri(at("main"), "disk"), "--writable", "--backing", disk, "--second-export", "other",
        "--description", DESCRIPTION, "--read-only", uri(at("ro")), "--failing", uri(at("bad")),
        "--small-max", uri(at("small")), "--tls", uri(at("open"), "", "nbds"),
        "--tls-required", uri(at("tls"), "", "nbds"),
        "--verifies-peer", *tls_options(keys), *psk_options(keys, at("psk"), "")])


def nbdkit_memory(folder):
    folder.mkdir(parents=True)
    path = folder / "main"
    program = Program(["nbdkit", "-f", "-U", path, "memory", "6G"], path)
    return Server("nbdkit memory", first_line("nbdkit", "--version"), folder, [program],
                  [uri(path), "--writable"])


def qemu_nbd(folder):
    keys, at = certificates.make(folder / "keys"), folder.joinpath
    disk, small = sparse(at("disk")), sparse(at("small-disk"), 128 << 20)
    failing = ("driver=blkdebug,image.driver=null-co,image.size=64M,inject-error.0.event=none,"
               "inject-error.0.iotype=read,inject-error.0.errno=5")
    serve = ["qemu-nbd", "-t", "-e", "64", "-k"]
    secret = {"x509": f"tls-creds-x509,id=t,dir={keys},endpoint=server,verify-peer=yes",
              "psk": f"tls-creds-psk,id=t,dir={keys},endpoint=server"}
    programs = [
        Program([*serve, at("main"), "-f", "raw", "-x", "disk", "-A", "-D", DESCRIPTION,
                 "--discard=unmap", disk], at("main")),
        Program([*serve, at("ro"), "-r", "-f", "raw", at("ro-disk")], at("ro")),
        Program([*serve, at("bad"), "--image-opts", failing], at("bad")),
        Program([*serve, at("tls"), "--object", secret["x509"], "--tls-creds", "t", "-f", "raw",
                 small],
                at("tls")),
        Program([*serve, at("psk"), "--object", secret["psk"], "--tls-creds", "t", "-r", "-f",
                 "raw",
                 at("ro-disk")], at("psk"))]
    sparse(at("ro-disk"), 64 << 20)
    return Server("qemu-nbd", first_line("qemu-nbd", "--version"), folder, programs, [
        uri(at("main"), "disk"), "--writable", "--backing", disk, "--description", DESCRIPTION,
        "--read-only", uri(at("ro")), "--failing", uri(at("bad")),
        "--tls-required", uri(at("tls"), "", "nbds"), "--verifies-peer", *tls_options(keys),
        *psk_options(keys, at("psk"), "")])


NBD_SERVER = """[generic]
unixsock = {socket}
listenaddr = 127.0.0.1
port = {port}
allowlist = true
certfile = {keys}/server-cert.pem
keyfile = {keys}/server-key.pem
cacertfile = {keys}/ca-cert.pem
{more}
[disk]
exportname = {folder}/disk
flush = true
fua = true
trim = true
[other]
exportname = {folder}/other
[locked]
exportname = {folder}/other
readonly = true
[small]
exportname = {folder}/small
[secret]
exportname = {folder}/small
force_tls = true
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def nbd_server(folder):
    keys, at = certificates.make(folder / "keys"), folder.joinpath
    disk = sparse(at("disk"))
    sparse(at("other"), 64 << 20)
    sparse(at("small"), 128 << 20)
    programs = []
    for name, more in (("main", ""), ("tls", "force_tls = true\n")):
        at(f"{name}.conf").write_text(NBD_SERVER.format(
            folder=folder, keys=keys, socket=at(name), port=free_port(), more=more))
        programs.append(Program(["nbd-server", "-C", at(f"{name}.conf"), "-p", at(f"{name}.pid")],
                                at(name), at(f"{name}.pid")))
    return Server("nbd-server",
                  first_line("dpkg-query", "-Wf", "${Package} ${Version}\n", "nbd-server"),
                  folder, programs, [
        uri(at("main"), "disk"), "--writable", "--backing", disk, "--second-export", "other",
        "--read-only", uri(at("main"), "locked"), "--tls-required",
        uri(at("tls"), "secret", "nbds"),
        "--tls-only", uri(at("main"), "secret", "nbds"), "--tls", uri(at("main"), "small", "nbds"),
        "--verifies-peer", *tls_options(keys)])
