"""A client that sends what it is told, right or wrong, and waits no longer than its timeout.
It never repairs a server's answer: what does not fit the protocol ends as Failed."""
import contextlib
import random
import socket
import ssl
import struct
import time
import urllib.parse
from dataclasses import dataclass

import wire
from reply import Piece, Reply, Request
from wire import Answer, Cmd, CmdFlag, Info, Opt, Rep, name_of

PORT = 10809
REPLIES_MAX = 1 << 16  # To one option.


class Failed(Exception):
    """The server breaks a rule; the text says what was expected and what came."""


class Closed(Failed):
    """The server has closed the connection where an answer was due."""


class Address:
    """What an NBD URI says: where the server is, the export's name, and whether TLS is wanted."""

    def __init__(self, uri):
        parts = urllib.parse.urlsplit(uri)
        if parts.scheme not in ("nbd", "nbds", "nbd+unix", "nbds+unix"):
            raise ValueError(f"{uri}: an NBD URI begins with nbd, nbds, nbd+unix or nbds+unix")
        self.uri, self.tls = uri, parts.scheme.startswith("nbds")
        self.name = urllib.parse.unquote_to_bytes(parts.path.removeprefix("/"))
        self.path = dict(urllib.parse.parse_qsl(parts.query)).get("socket")
        self.host, self.port = parts.hostname or "localhost", parts.port or PORT
        if parts.scheme.endswith("unix") and not self.path:
            raise ValueError(f"{uri}: a URI of a unix socket needs ?socket=PATH")

    def dial(self, timeout_s):
        if self.path:
            plug = socket.socket(socket.AF_UNIX)
            plug.settimeout(timeout_s)
            plug.connect(self.path)
            return plug
        plug = socket.create_connection((self.host, self.port), timeout_s)
        plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return plug


@dataclass
class Terms:
    """What was agreed on in the handshake."""
    structured: bool = False
    extended: bool = False
    contexts: tuple = ()  # (id, name)


class Client:
    """One connection. `name` is the export that it is for, `export` what was told of it."""

    def __init__(self, address, timeout_s):
        self.timeout_s, self.name = timeout_s, address.name
        self.socket = address.dial(timeout_s)
        self.terms, self.export, self.offered = Terms(), None, 0
        self.pending = {}  # cookie -> the requests that wait for an answer
        self.partial = {}  # cookie -> the Reply that has begun

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.close()

    def send(self, data):
        """A server that has dropped us may reset the connection before all is sent."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            self.socket.sendall(data)

    def receive(self, count, what="an answer"):
        data = bytearray(count)
        view, got = memoryview(data), 0
        while got < count:
            try:
                more = self.socket.recv_into(view[got:])
            except (ConnectionResetError, BrokenPipeError, ssl.SSLError):
                more = 0
            except TimeoutError as error:
                raise Failed(f"{what} was expected, {got} of {count} bytes came within "
                             f"{self.timeout_s:g} s") from error
            if more == 0:
                raise Closed(f"{what} was expected, the connection was closed after {got} of "
                             f"{count} bytes")
            got += more
        return bytes(data)

    def rest(self, seconds=None, bytes_max=64 * wire.MIB):
        """All that still comes until the server closes; Failed if it does not."""
        data, end = b"", time.monotonic() + (self.timeout_s if seconds is None else seconds)
        try:
            while len(data) < bytes_max:
                self.socket.settimeout(max(0.001, end - time.monotonic()))
                more = self.socket.recv(65536)
                if not more:
                    return data
                data += more
        except (ConnectionResetError, ssl.SSLError):
            return data
        except TimeoutError:
            pass
        finally:
            self.socket.settimeout(self.timeout_s)
        raise Failed(f"a closed connection was expected; it is open, and {len(data)} bytes came"
                     + (f": {data[:32].hex(' ')}" if data else ""))

    def closes(self, seconds=None):
        """Does the server close, after whatever it still says?"""
        try:
            self.rest(seconds)
        except Failed:
            return False
        return True

    def quiet(self, seconds):
        """What comes within this time; b"" is silence or an end."""
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(4096)
        except (TimeoutError, ConnectionResetError):
            return b""
        finally:
            self.socket.settimeout(self.timeout_s)

    # Handshake

    def greeting(self):
        first, second, self.offered = struct.unpack(">QQH", self.receive(18, "a greeting"))
        if (first, second) != (wire.NBDMAGIC, wire.IHAVEOPT):
            raise Failed(f"the greeting's magics are {first:#x} {second:#x}: no newstyle server")
        return self

    def hello(self, flags=None):
        """Greeting and client flags; by default all that was offered."""
        self.greeting()
        self.send(struct.pack(">I", self.offered & 3 if flags is None else flags))
        return self

    def option_reply(self, number):
        magic, echoed, kind, length = struct.unpack(">QIII", self.receive(20, "an option reply"))
        if magic != wire.OPTION_REPLY:
            raise Failed(f"an option reply begins with {wire.OPTION_REPLY:#x}, not {magic:#x}")
        if echoed != number:
            raise Failed(f"the reply to option {number} is for option {echoed}")
        if length > 64 * wire.MIB:
            raise Failed(f"an option reply of {length} bytes")
        return kind, self.receive(length, "an option reply's data")

    def option(self, number, data=b"", length=None):
        """Sends an option and returns all replies to it; a closed connection is an Answer, too."""
        self.send(wire.option(number, data, length))
        answer = Answer(None)
        try:
            for _ in range(REPLIES_MAX):
                kind, data = self.option_reply(number)
                if kind == Rep.ACK or kind >= 2**31:
                    answer.last, answer.message = kind, data
                    return answer
                answer.replies.append((kind, data))
        except Closed:
            return answer
        raise Failed(f"more than {REPLIES_MAX} replies to option {number}")

    def info(self, infos=(), name=None, number=Opt.INFO):
        return self.option(number, wire.info_data(self.name if name is None else name, infos))

    def go(self, infos=(Info.BLOCK_SIZE,), name=None):
        """Enters transmission; Failed if the server refuses."""
        answer = self.info(infos, name, Opt.GO)
        self.export = answer.export()
        if answer.last != Rep.ACK or self.export is None:
            raise Failed(f"GO should be granted with INFO_EXPORT, {answer} came")
        return self

    def set_contexts(self, queries, name=None):
        answer = self.option(Opt.SET_META_CONTEXT,
                             wire.meta_data(self.name if name is None else name, queries))
        self.terms.contexts = tuple(answer.contexts()) if answer.last == Rep.ACK else ()
        return answer

    def starttls(self, context, hostname=None):
        """After this the socket is encrypted. What was agreed before is forgotten."""
        answer = self.option(Opt.STARTTLS)
        if answer.last != Rep.ACK:
            raise Failed(f"STARTTLS should be granted, {answer} came")
        return self.encrypt(context, hostname)

    def encrypt(self, context, hostname=None):
        try:
            self.socket = context.wrap_socket(self.socket, server_hostname=hostname)
        except OSError as error:  # SSLError is one.
            raise Closed(f"no TLS after STARTTLS: {error}") from error
        self.terms = Terms()
        return self

    # Transmission

    def post(self, command, offset=0, length=0, flags=0, payload=b"", cookie=None, claim=None):
        """Sends a request, without waiting. `claim`: the length field, if it is not `length`."""
        cookie, data = self.prepare(command, offset, length, flags, payload, cookie, claim)
        self.send(data)
        return cookie

    def prepare(self, command, offset=0, length=0, flags=0, payload=b"", cookie=None, claim=None):
        """The cookie and the bytes of a request that is sent later, perhaps with others."""
        cookie = random.getrandbits(64) if cookie is None else cookie
        if payload and self.terms.extended:
            flags |= CmdFlag.PAYLOAD_LEN
        if command != Cmd.DISC:
            self.pending.setdefault(cookie, []).append(
                Request(command, offset, length, cookie, flags))
        length = length if claim is None else claim
        return cookie, wire.request(command, offset, length, cookie, flags,
                                    self.terms.extended) + payload

    def ask(self, command, offset=0, length=0, flags=0, payload=b"", cookie=None, claim=None):
        """Sends a request and returns its Reply; nothing else may be pending."""
        self.post(command, offset, length, flags, payload, cookie, claim)
        return self.reply()

    def read(self, offset, length, flags=0):
        """The data; Failed on an error."""
        reply = self.ask(Cmd.READ, offset, length, flags)
        if reply.error or len(reply.data) != length:
            raise Failed(f"READ of {length} at {offset} should succeed, {reply} came")
        return bytearray(reply.data)

    def write(self, offset, data, flags=0):
        self.succeeds(Cmd.WRITE, offset, len(data), flags, data)

    def succeeds(self, command, offset=0, length=0, flags=0, payload=b""):
        reply = self.ask(command, offset, length, flags, payload)
        if reply.error:
            raise Failed(f"{name_of(Cmd, command)} of {length} at {offset} with flags {flags:#x} "
                         f"should succeed, {reply} came")
        return reply

    def reply(self):
        """The next reply that is complete, of whatever request."""
        while True:
            magic = struct.unpack(">I", self.receive(4, "a reply"))[0]
            forms = {wire.SIMPLE_REPLY: self._simple, wire.STRUCTURED_REPLY: self._chunk,
                     wire.EXTENDED_REPLY: self._chunk}
            if magic not in forms:
                raise Failed(f"a reply's magic was expected, {magic:#x} came")
            done = forms[magic](magic)
            if done:
                return done

    def drop_pending(self, cookie):
        if not self.pending.get(cookie):
            raise Failed(f"a reply with cookie {cookie:#x}, which no request in flight has")
        waiting = self.pending[cookie].pop(0)
        if not self.pending[cookie]:
            del self.pending[cookie]
        return waiting

    def _simple(self, _magic):
        error, cookie = struct.unpack(">IQ", self.receive(12, "a simple reply"))
        reply = Reply(self.drop_pending(cookie), "simple", error)
        if reply.request.command == Cmd.READ:
            if self.terms.structured or self.terms.extended:
                raise Failed(f"READ was answered by a simple reply ({reply}) instead of chunks")
            if error == 0:
                reply.data = self.receive(reply.request.length, "the data of a READ")
        if self.terms.extended:
            reply.wrong("a simple reply where extended headers were agreed on")
        return reply

    def _chunk(self, magic):
        extended = magic == wire.EXTENDED_REPLY
        if extended:
            flags, kind, cookie, offset, length = \
                struct.unpack(">HHQQQ", self.receive(28, "an extended reply"))
        else:
            flags, kind, cookie, length = \
                struct.unpack(">HHQI", self.receive(16, "a structured reply"))
            offset = None
        if extended != self.terms.extended or not (extended or self.terms.structured):
            raise Failed(f"a reply chunk of magic {magic:#x} was not agreed on")
        if length > 64 * wire.MIB + 8:
            raise Failed(f"a reply chunk of {length} bytes")
        if cookie not in self.partial:
            self.partial[cookie] = Reply(self.drop_pending(cookie),
                                         "extended" if extended else "structured")
        reply = self.partial[cookie]
        if extended and offset != reply.request.offset:
            reply.wrong(f"the header repeats offset {offset} instead of {reply.request.offset}")
        reply.add(Piece(kind, flags, self.receive(length, "a chunk's payload")))
        return self.partial.pop(cookie).finish() if flags & wire.DONE else None
