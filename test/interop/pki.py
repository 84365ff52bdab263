"""Certificates and pre-shared keys for tests of TLS, made by openssl(1) in a folder. Names of files
are those that libnbd and qemu look for."""
import shutil
import subprocess

PSK_NAME, PSK_KEY = "alice", "0123456789abcdef0123456789abcdef"


def openssl(*words):
    subprocess.run(["openssl", *[str(word) for word in words]], check=True, capture_output=True)


class Authority:
    """A CA of its own: folder/ca-cert.pem."""

    def __init__(self, folder, name):
        folder.mkdir()
        self.folder, self.name = folder, name
        self.cert, self.key = folder / "ca-cert.pem", folder / "ca-key.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-days", 2, "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.cert)

    def issue(self, kind, rsa=False):
        """kind-cert.pem and kind-key.pem; "server" is localhost. Returns both paths."""
        cert, key, request = (self.folder / f"{kind}-{part}.pem" for part in ("cert", "key", "csr"))
        extensions = self.folder / "extensions"
        extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        algorithm = ["rsa:2048"] if rsa else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        openssl("req", "-newkey", *algorithm, "-nodes", "-subj", f"/CN={kind} of {self.name}",
                "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key,
                "-CAcreateserial", "-days", 2, "-extfile", extensions, "-out", cert)
        return cert, key


def write_psk(path, name=PSK_NAME, key=PSK_KEY):
    path.write_text(f"{name}:{key}\n")
    return path


def make(folder):
    """A server's and a client's certificate of one CA, and keys.psk, in `folder`."""
    authority = Authority(folder, "test")
    authority.issue("server")
    authority.issue("client")
    write_psk(folder / "keys.psk")
    (folder / "psk").mkdir()  # qemu wants the file alone, under this name.
    shutil.copy(folder / "keys.psk", folder / "psk/keys.psk")
    return authority


def x509(authority, verify=True):
    """The key `tls` of a table file: its certificates, and whether clients must have one."""
    more = f", ca: {authority.cert}, verify_peer: true" if verify else ""
    return (f"tls: {{ cert: {authority.folder}/server-cert.pem, "
            f"key: {authority.folder}/server-key.pem{more} }}")
