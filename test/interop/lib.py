"""What the Python scripts of this folder share: a server in its own folder, and the line at the
end. Every script takes --dmnbd PATH and --quick."""
import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

NAME = Path(sys.argv[0]).name
ROOT = Path(__file__).resolve().parents[2]
SECTOR = 512


class Failure(Exception):
    """What the test found wrong; or whatever else ends it."""


def expect(condition, why):
    if not condition:
        raise Failure(why)


def parse_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dmnbd", default=ROOT / "build/release/dmnbd", metavar="PATH",
                        help="the program to test (the release build of this tree)")
    parser.add_argument("--quick", action="store_true", help="shorter, where it can be")
    options = parser.parse_args()
    options.dmnbd = Path(options.dmnbd).resolve()
    return options


def wait_until(condition, seconds, what):
    end = time.monotonic() + seconds
    while not condition():
        expect(time.monotonic() < end, f"{what}: not after {seconds} s")
        time.sleep(0.02)


class Server:
    """`dmnbd serve` in `folder` until it is stopped, killed or the block ends."""

    def __init__(self, options, folder, table, *arguments, env=None, wrap=(), pass_fds=()):
        self.folder = Path(folder)
        (self.folder / "table.yaml").write_text(table)
        self.log = self.folder / "server.log"
        self.dmnbd = options.dmnbd
        self.env = dict(os.environ, DMNBD_CONTROL=str(self.folder / "control.sock"), **(env or {}))
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [*wrap, self.dmnbd, "serve", "table.yaml", *arguments], cwd=folder, env=self.env,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=pass_fds)
        wait_until(lambda: "ready\n" in self.text() or self.process.poll() is not None, 20, "ready")
        if self.process.poll() is not None:
            raise Failure(f"the server does not start:\n{self.text()}")
        self.pid = self.process.pid
        if wrap:  # Then the server may be its child, and signals are for the server.
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
            self.pid = int((children.split() or [self.pid])[0])
        # A relative path is relative to the server's folder, and clients are elsewhere.
        uris = [line.split()[0] for line in self.text().splitlines() if line.startswith("  nbd")]
        self.uri = uris[0].replace("socket=nbd.sock", f"socket={self.folder}/nbd.sock")

    def text(self):
        return self.log.read_text(errors="replace")

    def info(self):
        """What `info --json` says, by name of the device."""
        printed = subprocess.run([self.dmnbd, "info", "--json"], env=self.env, check=True,
                                 capture_output=True)
        return {device["name"]: device for device in json.loads(printed.stdout)}

    def open_files(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def alive(self):
        return self.process.poll() is None

    def stop(self, seconds=20):
        """SIGTERM. Returns the exit status, a signal's as 128 and its number, as a shell does."""
        os.kill(self.pid, signal.SIGTERM)
        return self.wait(seconds)

    def wait(self, seconds):
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise Failure(f"the server still runs after {seconds} s") from error
        return status if status >= 0 else 128 - status

    def kill(self):
        if self.alive():
            os.kill(self.pid, signal.SIGKILL)
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


def main(test):
    """Runs test(options, folder), which returns the figures to print."""
    options = parse_arguments()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda caught, _: sys.exit(128 + caught))
    with tempfile.TemporaryDirectory(prefix="dmnbd-") as folder:
        try:
            print(f"ok {NAME}: {test(options, Path(folder))}")
        except Exception as error:  # pylint: disable=broad-except
            if not isinstance(error, (Failure, subprocess.SubprocessError)):
                traceback.print_exc()
            print(f"FAIL {NAME}: {error}")
            log = Path(folder) / "server.log"
            if log.exists():
                print("".join(f"  server: {line}" for line in log.read_text(errors="replace")
                              .splitlines(True)[-20:]))
            sys.exit(1)
