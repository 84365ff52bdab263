"""An image in a `docker load` archive, and containers of it by runc, which needs neither a daemon nor
a network: locked up as a careful orchestrator would, uid 65532 on a read-only root without any
capability, new privileges or io_uring."""
import ctypes
import json
import os
import signal
import subprocess
import tarfile
import threading
from pathlib import Path

from lib import expect, wait_until

USER = 65532
CLONE_NEWNET = 0x40000000
NAMESPACES = ("pid", "network", "ipc", "uts", "mount")
PLAIN_MOUNTS = [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
]


class Image:
    """Unpacked into `folder`: .config as the archive says it, .root a root file system."""

    def __init__(self, archive, folder):
        self.root = folder / "root"
        with tarfile.open(archive) as outer:
            entry = json.load(outer.extractfile("manifest.json"))[0]
            self.tags = entry["RepoTags"]
            self.config = json.load(outer.extractfile(entry["Config"]))
            self.bytes = 0
            for layer in entry["Layers"]:
                with tarfile.open(fileobj=outer.extractfile(layer)) as inner:
                    inner.extractall(self.root, numeric_owner=True)
                    self.bytes += sum(member.size for member in inner)


class Container:
    """Runs the image's own entry point with `arguments`, or else with its own ones. `binds` maps
    paths in the container to folders here; of these only `writable` may be written."""

    def __init__(self, image, folder, arguments=(), binds=None, writable=("/data", "/run/dmnbd")):
        self.folder, self.name = folder, f"dmnbd-{os.getpid()}-{folder.name}"
        folder.mkdir(exist_ok=True)
        own = image.config["config"]
        mounts = list(PLAIN_MOUNTS)
        for inside, outside in (binds or {}).items():
            mode = "rw" if inside in writable else "ro"
            mounts.append({"destination": inside, "type": "bind", "source": str(outside),
                           "options": ["bind", mode, "nosuid", "nodev", "noexec"]})
        nothing = {kind: [] for kind in ("bounding", "effective", "permitted", "inheritable",
                                         "ambient")}
        user, group = own["User"].split(":")
        (folder / "config.json").write_text(json.dumps({
            "ociVersion": "1.0.2",
            "process": {"user": {"uid": int(user), "gid": int(group)}, "cwd": "/",
                        "env": own["Env"], "args": own["Entrypoint"] + (list(arguments)
                                                                        or own["Cmd"]),
                        "capabilities": nothing, "noNewPrivileges": True},
            "root": {"path": str(image.root), "readonly": True},
            "mounts": mounts,
            "linux": {
                "namespaces": [{"type": each} for each in NAMESPACES],
                "seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                    {"names": ["io_uring_setup", "io_uring_enter", "io_uring_register"],
                     "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]}}}))
        self.log = folder / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [*self.runc(), "run", "--bundle", folder, "--pid-file", folder / "pid", self.name],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(lambda: "ready\n" in self.text() or self.process.poll() is not None, 20, "ready")
        expect(self.process.poll() is None, f"the container does not start:\n{self.text()}")
        self.pid = int((folder / "pid").read_text())

    def runc(self):
        return ["runc", "--root", self.folder / "runc"]

    def text(self):
        return self.log.read_text(errors="replace")

    def exec(self, *command):
        """As the orchestrator runs a probe."""
        return subprocess.run([*self.runc(), "exec", self.name, *command], check=False,
                              capture_output=True, text=True, timeout=20)

    def inside(self, call):
        """What call() returns, in the container's network."""
        result = []

        def enter():
            with open(f"/proc/{self.pid}/ns/net", "rb") as network:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.setns(network.fileno(), CLONE_NEWNET) == 0:
                    result.append(call())

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        expect(result, "what was asked in the container's network has failed")
        return result[0]

    def kernel_says(self, key):
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return line.partition(":")[2].split()
        return None

    def stop(self, seconds):
        subprocess.run([*self.runc(), "kill", self.name, "TERM"], check=True)
        return self.process.wait(seconds)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            subprocess.run([*self.runc(), "kill", self.name, "KILL"], check=False)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
        subprocess.run([*self.runc(), "delete", "--force", self.name], check=False,
                       capture_output=True)
