"""Keys for TLS, under the names that nbdkit and qemu look for; made anew each time, by openssl."""
import subprocess

DAYS = "2"


def _openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


def _authority(folder, name):
    key, cert = folder / f"{name}-key.pem", folder / f"{name}-cert.pem"
    _openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", DAYS, "-keyout", key, "-out",
             cert,
             "-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE",
             "-addext", "keyUsage=critical,keyCertSign")
    return key, cert


def _signed(folder, name, authority, purpose):
    key, request, cert = (folder / f"{name}-{what}.pem" for what in ("key", "request", "cert"))
    extensions = folder / f"{name}.ext"
    extensions.write_text("basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n"
                          "keyUsage=digitalSignature,keyEncipherment\n"
                          f"extendedKeyUsage={purpose}\n")
    _openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request,
             "-subj", f"/CN={name}")
    _openssl("x509", "-req", "-in", request, "-CA", authority[1], "-CAkey", authority[0],
             "-CAcreateserial", "-days", DAYS, "-extfile", extensions, "-out", cert)


def make(folder):
    """A CA with a server's and a client's certificate, one by another CA, a PSK of alice."""
    folder.mkdir(parents=True)
    authority = _authority(folder, "ca")
    _signed(folder, "server", authority, "serverAuth")
    _signed(folder, "client", authority, "clientAuth")
    _signed(folder, "stranger", _authority(folder, "other-ca"), "clientAuth")
    (folder / "keys.psk").write_text("alice:" + bytes(range(1, 33)).hex() + "\n")
    return folder
