"""dmnbd as `compare` and `ours` judge it: a table in which nothing that it offers is left out."""
import subprocess

import certificates
from servers import (DESCRIPTION, Program, Server, first_line, free_port, psk_options, tls_options,
                     uri)

DISK = "6GiB"
TABLE = """version: 1
stores:
  file: {{ type: file, path: {folder}/disk, size: {size}, create: true }}
  ram: {{ type: memory, size: {size} }}
  slow-ram: {{ type: memory, size: 64MiB }}
devices:
  disk: {{ table: [ {{ target: linear, args: {{ device: file }} }} ] }}
  memory: {{ table: [ {{ target: linear, args: {{ device: ram }} }} ] }}
  slow:
    table:
      - {{ start: 0, length: 32MiB, target: linear, args: {{ device: slow-ram, offset: 0 }} }}
      - start: 32MiB
        length: 32MiB
        target: delay
        args: {{ device: slow-ram, offset: 32MiB, delay: 2s }}
  broken:
    table:
      - target: flakey
        args: {{ device: memory, up: 0s, down: 1h, features: [error_reads] }}
control: {{ unix: {folder}/control }}
exports:
  "": disk
  disk: {{ device: disk, description: "{description}" }}
  memory: {{ device: memory, description: "{description}" }}
  locked: {{ device: disk, read_only: true }}
  slow: slow
  broken: broken
  limited: {{ device: memory, max_connections: 1 }}
  far-only: {{ device: memory, allow: [192.0.2.0/24] }}
"""
PLAIN = """listen: [ "unix:{folder}/main", "tcp://127.0.0.1:{port}" ]
"""
WITH_TLS = """  secret: {{ device: memory, tls: require }}
listen:
  - {{ uri: "unix:{folder}/main", tls: no }}
  - {{ uri: "tcp://127.0.0.1:{port}", tls: no }}
  - {{ uri: "unix:{folder}/open", tls: yes }}
  - {{ uri: "unix:{folder}/closed", tls: require }}
tls:
  cert: {folder}/keys/server-cert.pem
  key: {folder}/keys/server-key.pem
  ca: {folder}/keys/ca-cert.pem
  verify_peer: true
  psk_file: {folder}/keys/keys.psk
"""


def server(folder, program, name="disk", tcp=False):
    """Ours. `name`: the export that is judged, a file's (disk) or a memory store's (memory)."""
    keys, port, at = certificates.make(folder / "keys"), free_port(), folder.joinpath
    words = {"folder": folder, "size": DISK, "port": port, "description": DESCRIPTION}
    at("table.yaml").write_text((TABLE + WITH_TLS).format(**words))
    has_tls = subprocess.run([program, "check", at("table.yaml")], capture_output=True,
                             check=False).returncode == 0
    if not has_tls:
        at("table.yaml").write_text((TABLE + PLAIN).format(**words))

    def export(role):
        return f"nbd://127.0.0.1:{port}/{role}" if tcp else uri(at("main"), role)

    options = [export(name), "--writable", "--log", at("server.log"), "--second-export", "slow",
               "--description", DESCRIPTION, "--read-only", export("locked"),
               "--failing", export("broken"), "--slow", export("slow"), "--limited",
               export("limited")]
    if name == "disk":
        options += ["--backing", at("disk")]
    if has_tls:
        options += ["--tls", uri(at("open"), "memory", "nbds"),
                    "--tls-required", uri(at("closed"), "memory", "nbds"),
                    "--tls-only", uri(at("open"), "secret", "nbds"), "--verifies-peer",
                    *tls_options(keys), *psk_options(keys, at("closed"), "memory")]
    program = Program([program, "serve", "--no-watch", at("table.yaml")], at("main"))
    return Server("dmnbd", first_line(program.words[0], "--version"), folder, [program], options)
