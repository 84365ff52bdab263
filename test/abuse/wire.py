"""NBD as bytes: what an attacker says, and no more than that."""
import select
import socket
import struct

from lib import expect

KIB, MIB = 1 << 10, 1 << 20
SIZE = 64 * MIB  # Of every export.
FRONT = 8 * MIB  # Of the disk is the honest client's.


def area(case):
    """Where a case may write and look at what it wrote: a MiB of its own."""
    return FRONT + case * MIB


# The protocol's numbers: doc/proto.md of the NBD project.
IHAVEOPT, OPTION_REPLY = 0x49484156454F5054, 0x3E889045565A9
REQUEST, SIMPLE_REPLY, CHUNK = 0x25609513, 0x67446698, 0x668E33EF
OPT_EXPORT_NAME, OPT_ABORT, OPT_LIST, OPT_STARTTLS, OPT_INFO, OPT_GO = 1, 2, 3, 5, 6, 7
OPT_STRUCTURED, OPT_LIST_META, OPT_SET_META, OPT_EXTENDED = 8, 9, 10, 11
ACK, SERVER, INFO, META = 1, 2, 3, 4
ERROR = 1 << 31
ERR_UNSUP, ERR_POLICY, ERR_INVALID, ERR_PLATFORM, ERR_TLS_REQD, ERR_UNKNOWN, ERR_SHUTDOWN, \
    ERR_BLOCK_SIZE, ERR_TOO_BIG, ERR_EXTENDED = (ERROR + number for number in range(1, 11))
READ, WRITE, DISC, FLUSH, TRIM, CACHE, ZEROES, BLOCK_STATUS = range(8)
FUA = 1
FLAGS = struct.pack(">I", 3)


def option(number, data=b"", length=None, magic=IHAVEOPT):
    return struct.pack(">QII", magic, number, len(data) if length is None else length) + data


def text(value):
    return struct.pack(">I", len(value)) + value


def go(name=b"", infos=(), number=OPT_GO):
    return option(number, text(name) + struct.pack(f">H{len(infos)}H", len(infos), *infos))


def meta(name=b"", queries=(), number=OPT_SET_META):
    return option(number, text(name) + struct.pack(">I", len(queries)) +
                  b"".join(text(each) for each in queries))


def request(command, at, length, cookie=7, flags=0, magic=REQUEST):
    return struct.pack(">IHHQQI", magic, flags, command, cookie, at, length)


class Peer:
    """A socket, and only what a test asks it for. `address`: a port, or the path of a socket."""

    def __init__(self, address, hello=FLAGS, greeted=True, timeout=20):
        if isinstance(address, int):
            self.socket = socket.create_connection(("127.0.0.1", address), timeout=timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(str(address))
            self.socket.settimeout(timeout)
        if greeted:
            self.receive(18)
        self.send(hello)

    def send(self, data):
        """A server that has dropped us may reset the connection before all is sent."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def receive(self, count):
        data = bytearray()
        while len(data) < count:
            more = self.socket.recv(min(count - len(data), MIB))
            if not more:
                raise EOFError(f"the server closed after {len(data)} of {count} bytes")
            data += more
        return bytes(data)

    def rest(self):
        """All that comes until the server closes; None: it does not."""
        data = b""
        try:
            while more := self.socket.recv(65536):
                data += more
        except ConnectionResetError:
            pass
        except TimeoutError:
            return None
        self.close()
        return data

    def has_ended(self):
        """The server has closed, whatever there is to read still."""
        poll = select.poll()
        poll.register(self.socket, select.POLLRDHUP)
        return bool(poll.poll(0))

    def expect_dropped(self, what, said=None):
        """The server closes; `said`: after exactly these bytes."""
        rest = self.rest()
        expect(rest is not None, f"{what}: not dropped")
        expect(said is None or rest == said, f"{what}: the server says {rest[:40]!r} and closes")

    def option_reply(self):
        """(option, type, data)"""
        magic, number, kind, length = struct.unpack(">QIII", self.receive(20))
        expect(magic == OPTION_REPLY, "the reply to an option is none")
        return number, kind, self.receive(length)

    def ask(self, data):
        """The type of the last reply to one option."""
        self.send(data)
        while True:
            _, kind, _ = self.option_reply()
            if kind in (ACK,) or kind >= ERROR:
                return kind

    def enter(self, name=b""):
        kind = self.ask(go(name))
        expect(kind == ACK, f"GO to {name!r} is refused with {kind:#x}")
        return self

    def reply(self):
        """(error, cookie) of a simple reply; a READ's data is still to be received."""
        magic, error, cookie = struct.unpack(">IIQ", self.receive(16))
        expect(magic == SIMPLE_REPLY, "the reply to a request is none")
        return error, cookie

    def error(self, data, payload=0):
        """Sends a request, returns the error of its reply; `payload` bytes follow if it is 0."""
        self.send(data)
        error, cookie = self.reply()
        expect(cookie == 7, "the reply is another request's")
        if error == 0:
            self.receive(payload)
        return error

    def read(self, at, length):
        self.send(request(READ, at, length))
        error, _ = self.reply()
        expect(error == 0, f"a good read fails with {error}")
        return self.receive(length)

    def write(self, at, data):
        error = self.error(request(WRITE, at, len(data)) + data)
        expect(error == 0, f"a good write fails with {error}")

    def expect_alive(self, what):
        """It is served, and the stream is in sync."""
        expect(self.error(request(READ, FRONT, 512), 512) == 0, f"{what}: no request works after it")

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
