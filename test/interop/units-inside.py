"""What test/interop/units has a real systemd run: installs, uses, upgrades and removes the package, and
looks at how the service and its socket behave. The last line of its output begins with "ok", or it
has failed."""
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import nbd

SOCKET = "/run/dmnbd.sock"
CONFIG = Path("/etc/dmnbd/table.yaml")
TABLE = """
version: 1
stores: { img: { type: file, path: "${DATA_DIR}/disk.img", size: 16MiB, create: true } }
devices: { disk: { table: [ { target: linear, args: { device: img } } ] } }
exports: { "": disk }
listen: [ "unix:/run/dmnbd.sock" ]
"""
BLOCK = 4096
PACKAGE = next(Path(sys.argv[1]).glob("*.deb"))


def expect(condition, why):
    if not condition:
        print(run("systemctl", "status", "dmnbd.service", "dmnbd.socket", check=False))
        sys.exit(f"FAIL: {why}")


def run(*words, check=True):
    done = subprocess.run(words, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)
    if check:
        expect(done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}")
    return done.stdout


def show(name):
    return run("systemctl", "show", "--value", "--property", name, "dmnbd.service").strip()


def wait_for(name, wanted, seconds=10):
    end = time.monotonic() + seconds
    while show(name) != wanted:
        expect(time.monotonic() < end, f"{name} is {show(name)}, not {wanted}")
        time.sleep(0.05)


def connect():
    handle = nbd.NBD()
    handle.connect_uri(f"nbd+unix:///?socket={SOCKET}")
    return handle


def install(words):
    run("dpkg", "--no-triggers", *words)


def starts_with_its_first_client():
    install(["--install", str(PACKAGE)])
    expect(not list(Path("/etc/systemd/system").glob("*.wants/dmnbd.*")), "it is enabled")
    run("systemctl", "start", "dmnbd.service")  # There is no table: nothing to do, and no error.
    expect(show("ActiveState") == "inactive", "it runs without a table")
    CONFIG.parent.mkdir()
    CONFIG.write_text(TABLE)
    run("systemctl", "start", "dmnbd.socket")
    expect(show("ActiveState") == "inactive", "it runs before anybody needs it")
    handle = connect()
    handle.pwrite(b"\x07" * BLOCK, 0, nbd.CMD_FLAG_FUA)
    handle.zero(BLOCK, BLOCK)
    handle.trim(BLOCK, BLOCK)
    handle.shutdown()
    wait_for("ActiveState", "active")
    expect(show("StatusText") == "serving 1 export, generation 1", show("StatusText"))


def locked_up():
    said = dict(line.split(":", 1) for line in
                Path(f"/proc/{show('MainPID')}/status").read_text().splitlines())
    expect(int(said["Uid"].split()[0]) > 60000, f"its user is {said['Uid']}")
    for key, wanted in (("CapBnd", "0" * 16), ("NoNewPrivs", "1"), ("Seccomp", "2")):
        expect(said[key].strip() == wanted, f"{key} is {said[key]}")
    expect(Path("/var/lib/dmnbd/disk.img").stat().st_uid == int(said["Uid"].split()[0]), "its file")
    # Root needs no --control, though the socket is another user's.
    expect(run("dmnbd", "health", "--ready") == "ready\n", "the probe")


def reloads():
    """The file is watched as well, so it may be live before `systemctl reload` returns."""
    CONFIG.write_text(TABLE.replace("{ table:", "{ retry: {}, table:"))
    run("systemctl", "reload", "dmnbd.service")
    wait_for("StatusText", "serving 1 export, generation 2")
    CONFIG.write_text("version: 2\n")
    run("systemctl", "reload", "dmnbd.service")
    wait_for("StatusText", "serving 1 export, generation 2; the last change was refused, the log "
                           "says why")
    CONFIG.write_text(TABLE)
    run("systemctl", "reload", "dmnbd.service")
    wait_for("StatusText", "serving 1 export, generation 3")
    wait_for("ActiveState", "active")


def nobody_is_turned_away():
    """While it restarts clients wait. Returns how long the longest did."""
    slowest = 0.0
    for command in (["systemctl", "restart", "dmnbd.service"],
                    ["dpkg", "--no-triggers", "--install", str(PACKAGE)]):
        before = show("MainPID")
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as restart:
            while restart.poll() is None:
                start = time.monotonic()
                with socket.socket(socket.AF_UNIX) as client:
                    client.settimeout(10)
                    client.connect(SOCKET)
                    # A client that the old one still had is closed, as ever; it would come again.
                    client.recv(18)
                slowest = max(slowest, time.monotonic() - start)
        expect(restart.returncode == 0, f"{command}: {restart.returncode}")
        expect(show("MainPID") not in (before, "0"), f"{command} did not start it anew")
        expect(connect().pread(BLOCK, 0) == b"\x07" * BLOCK, "the data is gone")
    return slowest


def watchdog():
    """A server that hangs is started anew, and the disk is there again. Returns after how long."""
    time.sleep(2)  # Longer than the watchdog waits: a server that is well is left alone.
    expect(show("NRestarts") == "0", "the watchdog has killed a server that is well")
    start = time.monotonic()
    threads = Path(f"/proc/{show('MainPID')}/task")
    os.kill(int(threads.parent.name), signal.SIGSTOP)
    while any(") T " not in (each / "stat").read_text() for each in threads.iterdir()):
        time.sleep(0.01)  # Threads go on for a moment.
    expect(connect().pread(BLOCK, 0) == b"\x07" * BLOCK, "the data is gone")
    expect(show("NRestarts") == "1", "nobody has started it anew")
    return time.monotonic() - start


def removed():
    install(["--remove", "dmnbd"])
    expect(not Path("/usr/bin/dmnbd").exists(), "the program is still there")
    expect(show("ActiveState") == "inactive" and show("Result") == "success", "it still runs")
    with socket.socket(socket.AF_UNIX) as client:
        expect(client.connect_ex(SOCKET) != 0, "the socket still listens")


starts_with_its_first_client()
locked_up()
reloads()
slowest_s = nobody_is_turned_away()
hung_s = watchdog()
removed()
print(f"ok {run('systemctl', '--version').splitlines()[0]}: installed, started by its first client, "
      f"reloaded, restarted and upgraded (clients waited {slowest_s * 1000:.0f} ms), started anew "
      f"after {hung_s:.1f} s of hanging, removed")
