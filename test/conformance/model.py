"""A small NBD server that keeps every rule of the checklist but one: `fault` is the id of a check,
and what that check is for is then done wrong. So `selftest` judges the suite, also in what no
other server offers. Memory only, a thread a connection; the handshake is here, the rest in
model_io.
"""
import contextlib
import socket
import struct
import threading

from model_io import Gone, Requests, Store
from wire import (Flag, IHAVEOPT, Info, NBDMAGIC, OPTION_REPLY, Opt, Rep, STRING_BYTES_MAX, string)

BLOCK = 512
PAYLOAD_BYTES_MAX = 1 << 20
OPTIONS_MAX = 100
HANDSHAKE_S = 5
CONTEXTS = (b"base:allocation", b"x-model:data")
EXPORTS = {b"": b"", b"disk": b"a disk", b"other": b"", b"locked": b"", b"broken": b"",
           b"slow": b""}
SECOND_BYTES = 64 << 20


class Model:
    """Listens on `path` until it is closed."""

    def __init__(self, path, size, fault=None):
        self.fault, self.lock = fault, threading.Lock()
        self.stores = {b"disk": Store(size), b"slow": Store(SECOND_BYTES),
                       b"other": Store(SECOND_BYTES)}
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def store(self, name):
        return self.stores.get(name, self.stores[b"disk"])

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                plug, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(plug,), daemon=True).start()

    def _serve(self, plug):
        with contextlib.suppress(Gone, OSError), plug:
            session = Handshake(self, plug)
            session.run()
            plug.settimeout(None)
            Requests(session).run()


class Handshake:
    """Until run() returns, a client's options; then what was agreed on."""

    def __init__(self, model, plug):
        self.model, self.plug = model, plug
        self.structured = self.extended = self.fixed = self.no_zeroes = False
        self.name, self.context_name, self.contexts, self.count = None, None, [], 0
        plug.settimeout(None if self.bad("H21") else HANDSHAKE_S)

    def bad(self, *checks):
        return self.model.fault in checks

    def receive(self, count):
        data = bytearray()
        while len(data) < count:
            more = self.plug.recv(min(count - len(data), 1 << 20))
            if not more:
                raise Gone
            data += more
        return bytes(data)

    def run(self):
        flags = 7 if self.bad("H1") else 3
        self.plug.sendall(struct.pack(">QQH", NBDMAGIC, IHAVEOPT, flags) + b"\0" * self.bad("H2"))
        theirs, = struct.unpack(">I", self.receive(4))
        if theirs & ~3 and not self.bad("H4") or self.bad("H3") and not theirs & 1:
            raise Gone
        self.fixed, self.no_zeroes = theirs & 1, theirs & 2
        while self.name is None:
            self.option()

    def option(self):
        magic, number, length = struct.unpack(">QII", self.receive(16))
        if magic != IHAVEOPT and not self.bad("H8"):
            raise Gone
        if number == Opt.EXPORT_NAME:
            return self.export_name(self.receive(length))
        if not self.fixed and not self.bad("H7") or length > 65536 and not self.bad("H22"):
            raise Gone
        self.count += 1
        if self.count > OPTIONS_MAX and not self.bad("H23"):
            raise Gone
        data = self.receive(length)
        answers = {Opt.ABORT: self.abort, Opt.LIST: self.list, Opt.INFO: self.info,
                   Opt.GO: self.info,
                   Opt.STRUCTURED_REPLY: self.structured_reply, Opt.LIST_META_CONTEXT: self.meta,
                   Opt.SET_META_CONTEXT: self.meta, Opt.EXTENDED_HEADERS: self.extended_headers}
        unknown = Rep.ERR_POLICY if self.bad("H12", "H14") else Rep.ERR_UNSUP
        if number in answers and not (self.bad("H13") and self.count > 1):
            return answers[number](number, data)
        if self.bad("H13") and number == Opt.LIST:
            raise Gone
        return self.reply(number, unknown, b"\xff" if self.bad("H24") else b"It is unknown.")

    def reply(self, number, kind, data=b""):
        self.plug.sendall(struct.pack(">QIII", OPTION_REPLY, number, kind, len(data)) + data)

    def invalid(self, number):
        self.reply(number, Rep.ERR_INVALID, b"It is malformed.")

    def export_name(self, name):
        if name not in EXPORTS or self.extended:
            self.plug.sendall(bytes(10) * self.bad("H9", "H11", "S15"))
            raise Gone
        if name == b"" and self.bad("H10"):
            self.plug.sendall(struct.pack(">QH", self.model.store(name).size, 0))
            raise Gone
        self.name = name
        self.plug.sendall(struct.pack(">QH", self.model.store(name).size, self.flags()))
        padded = self.bad("H5") if self.no_zeroes else not self.bad("H6")
        if padded:
            self.plug.sendall(bytes(124))

    def abort(self, number, _data):
        if not self.bad("H15"):
            self.reply(number, Rep.ACK)
        raise Gone

    def list(self, number, data):
        if data and not self.bad("H18"):
            return self.invalid(number)
        for name, text in EXPORTS.items():
            for _ in range(2 if self.bad("H17") else 1):
                self.reply(number, Rep.SERVER, string(name) + (b"" if self.bad("H19") else text))
        return self.reply(number, Rep.ACK)

    def flags(self):
        flags = sum(Flag) - Flag.ROTATIONAL - Flag.SEND_RESIZE - Flag.READ_ONLY
        if not (self.structured or self.extended or self.bad("I13")):
            flags -= Flag.SEND_DF
        if not (self.extended and self.contexts):
            flags -= Flag.BLOCK_STATUS_PAYLOAD
        if self.name == b"locked":
            dropped = Flag.SEND_TRIM | Flag.SEND_WRITE_ZEROES | Flag.SEND_FAST_ZERO
            flags = (flags | Flag.READ_ONLY) & ~(0 if self.bad("I14") else dropped)
        return flags

    def info(self, number, data):
        length = struct.unpack(">I", data[:4])[0] if len(data) >= 6 else 1 << 32
        fits = length <= len(data) - 6
        count = struct.unpack(">H", data[4 + length:6 + length])[0] if fits else 0
        fits = fits and (len(data) == 6 + length + 2 * count or self.bad("I7"))
        if not fits:
            good = self.bad("I6") and len(data) > 5 or self.bad("I8") and len(data) < 6
            return self.reply(number, Rep.ACK) if good else self.invalid(number)
        name = data[4:4 + length]
        if b"\0" in name or b"\xff" in name:
            return self.reply(number, Rep.ACK) if self.bad("I9") else self.invalid(number)
        if name not in EXPORTS:
            if self.bad("I5"):
                self.reply(number, Rep.INFO, struct.pack(">HQH", Info.EXPORT, 0, 1))
            shown = name if self.bad("I10") else name[:80]
            return self.reply(number, Rep.ERR_UNKNOWN, b"No export " + shown)
        types = data[6 + length:6 + length + 2 * count]
        return self.describe(number, name, {kind for kind, in struct.iter_unpack(">H", types)})

    def describe(self, number, name, asked):
        if self.bad("I3") and 999 in asked or self.bad("I16") and self.count > 30:
            return self.invalid(number)
        if self.bad("I15") and Info.BLOCK_SIZE not in asked:
            return self.reply(number, Rep.ERR_POLICY)
        self.name = name
        size, flags = self.model.store(name).size, self.flags()
        if self.context_name != name and not self.bad("M7"):
            self.contexts = self.contexts if number == Opt.INFO else []
        if self.bad("I4") and number == Opt.GO:
            flags ^= Flag.SEND_CACHE
        tail = bytes(2) if self.bad("I1") else b""
        for _ in range(2 if self.bad("I2") else 1):
            self.reply(number, Rep.INFO, struct.pack(">HQH", Info.EXPORT, size, flags) + tail)
        if Info.DESCRIPTION in asked:
            self.reply(number, Rep.INFO, struct.pack(">H", Info.DESCRIPTION) + EXPORTS[name])
        if Info.BLOCK_SIZE in asked:
            preferred = 4095 if self.bad("I11") else 4096
            self.reply(number, Rep.INFO, struct.pack(
                ">HIII", Info.BLOCK_SIZE, BLOCK, preferred, PAYLOAD_BYTES_MAX))
        self.name = name if number == Opt.GO else None
        self.reply(number, Rep.ACK)
        if self.bad("I12") and number == Opt.GO:
            self.plug.sendall(bytes(124))

    def structured_reply(self, number, data):
        if data and not self.bad("S1") or self.structured:
            return self.invalid(number)
        if self.extended and not self.bad("S12"):
            return self.reply(number, Rep.ERR_EXT_HEADER_REQD, b"Extended headers are on.")
        self.structured = True
        return self.reply(number, Rep.ACK)

    def extended_headers(self, number, data):
        if data:
            return self.invalid(number)
        self.extended = True
        return self.reply(number, Rep.ACK)

    def meta(self, number, data):
        setting = number == Opt.SET_META_CONTEXT
        if setting and not self.bad("M8"):
            self.contexts = []
        if not (self.structured or self.extended or self.bad("M6")):
            return self.invalid(number)
        found = parse_meta(data)
        if found is None:
            return self.reply(number, Rep.ACK) if self.bad("M5") else self.invalid(number)
        name, queries = found
        if name not in EXPORTS:
            return self.reply(number, Rep.ERR_UNKNOWN, b"No such export.")
        if self.bad("M4") and any(b"nobody" in query for query in queries):
            return self.invalid(number)
        chosen = [(at + 1, context) for at, context in enumerate(CONTEXTS)
                  if self.matches(setting, context, queries)]
        if self.bad("M3"):
            chosen *= max(1, len(queries))
        for identity, context in chosen:
            told = identity if setting or self.bad("M1") else 0
            self.reply(number, Rep.META_CONTEXT, struct.pack(">I", told) + context)
        if setting:
            self.contexts, self.context_name = [identity for identity, _ in chosen], name
        return self.reply(number, Rep.ACK)

    def matches(self, setting, context, queries):
        wild = context.split(b":")[0] + b":"
        return (context in queries or not setting and (not queries or wild in queries)
                or self.bad("M2") and wild in queries)


def parse_meta(data):
    """The name and the queries; None if the lengths do not fit."""
    parts, at = [], 0
    try:
        length, = struct.unpack_from(">I", data)
        at = 4 + length
        count, = struct.unpack_from(">I", data, at)
        if length > STRING_BYTES_MAX or count > len(data):
            return None
        at += 4
        for _ in range(count):
            query, = struct.unpack_from(">I", data, at)
            parts.append(data[at + 4:at + 4 + query])
            at += 4 + query
    except struct.error:
        return None
    return (data[4:4 + length], parts) if at == len(data) else None
