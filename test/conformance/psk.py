"""TLS by a pre-shared key, which Python's ssl module does not have before 3.13: `openssl s_client`
speaks it, between the client's socket and one end of a pair."""
import contextlib
import socket
import subprocess
import threading


def _pump(source, sink):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def psk_session(client, user, key_hex):
    """Within it `client.socket` is plaintext that goes encrypted to the server."""
    outer = client.socket
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        ours, theirs = socket.socketpair()
        tls = subprocess.Popen(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{listener.getsockname()[1]}", "-quiet",
             "-nocommands", "-psk_identity", user, "-psk", key_hex,
             "-tls1_2", "-cipher", "kDHEPSK:kECDHEPSK"],
            stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL)
        theirs.close()
        listener.settimeout(10)
        inner = listener.accept()[0]
    outer.settimeout(None)
    ours.settimeout(client.timeout_s)
    client.socket = ours
    pumps = [threading.Thread(target=_pump, args=ends, daemon=True)
             for ends in ((outer, inner), (inner, outer))]
    for pump in pumps:
        pump.start()
    try:
        yield
    finally:
        tls.terminate()
        tls.wait()
        for end in (ours, inner, outer):
            end.close()
