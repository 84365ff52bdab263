"""The numbers and layouts of the NBD protocol, as in doc/proto.md of the NBD project and its branch
extension-ext-header. All integers are unsigned and big-endian; `b` is what is packed."""
import struct
from dataclasses import dataclass, field
from enum import IntEnum

NBDMAGIC, IHAVEOPT = 0x4E42444D41474943, 0x49484156454F5054
OPTION_REPLY = 0x3E889045565A9
COMPACT_REQUEST, EXTENDED_REQUEST = 0x25609513, 0x21E41C71
SIMPLE_REPLY, STRUCTURED_REPLY, EXTENDED_REPLY = 0x67446698, 0x668E33EF, 0x6E8A278C
FIXED_NEWSTYLE, NO_ZEROES = 1, 2
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
PAYLOAD_BYTES_DEFAULT = 32 * MIB  # What nobody may take for an attack.
STRING_BYTES_MAX = 4096
EXTENTS_MAX = 1 << 20


class Opt(IntEnum):
    EXPORT_NAME, ABORT, LIST, PEEK_EXPORT, STARTTLS, INFO, GO, STRUCTURED_REPLY, \
        LIST_META_CONTEXT, SET_META_CONTEXT, EXTENDED_HEADERS = range(1, 12)


class Rep(IntEnum):
    ACK, SERVER, INFO, META_CONTEXT = range(1, 5)
    ERR_UNSUP, ERR_POLICY, ERR_INVALID, ERR_PLATFORM, ERR_TLS_REQD, ERR_UNKNOWN, ERR_SHUTDOWN, \
        ERR_BLOCK_SIZE_REQD, ERR_TOO_BIG, ERR_EXT_HEADER_REQD = range(2**31 + 1, 2**31 + 11)


class Info(IntEnum):
    EXPORT, NAME, DESCRIPTION, BLOCK_SIZE = range(4)


class Flag(IntEnum):
    """Transmission flags: what an export offers."""
    HAS_FLAGS, READ_ONLY, SEND_FLUSH, SEND_FUA, ROTATIONAL, SEND_TRIM, SEND_WRITE_ZEROES, SEND_DF, \
        CAN_MULTI_CONN, SEND_RESIZE, SEND_CACHE, SEND_FAST_ZERO, BLOCK_STATUS_PAYLOAD = \
        (1 << bit for bit in range(13))


class Cmd(IntEnum):
    READ, WRITE, DISC, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS = range(8)


class CmdFlag(IntEnum):
    FUA, NO_HOLE, DF, REQ_ONE, FAST_ZERO, PAYLOAD_LEN = (1 << bit for bit in range(6))


class Chunk(IntEnum):
    NONE, OFFSET_DATA, OFFSET_HOLE, BLOCK_STATUS, BLOCK_STATUS_EXT = 0, 1, 2, 5, 6
    ERROR, ERROR_OFFSET = 0x8001, 0x8002


class Error(IntEnum):
    """The only errors that a reply may carry. The numbers happen to be Linux's."""
    NONE, EPERM, EIO, ENOMEM, EINVAL, ENOSPC, EOVERFLOW, ENOTSUP, ESHUTDOWN = \
        0, 1, 5, 12, 22, 28, 75, 95, 108


DONE = 1  # The one reply flag.
HOLE, ZERO = 1, 2  # Status bits of base:allocation.


def name_of(kind, number):
    """For people: "ERR_INVALID", or the number where it has no name."""
    try:
        return kind(number).name
    except ValueError:
        return hex(number)


def option(number, data=b"", length=None):
    """`length`: what the header claims, if that is not true."""
    return struct.pack(">QII", IHAVEOPT, number, len(data) if length is None else length) + data


def string(text):
    return struct.pack(">I", len(text)) + text


def info_data(name, infos=()):
    return string(name) + struct.pack(f">H{len(infos)}H", len(infos), *infos)


def meta_data(name, queries=()):
    return string(name) + struct.pack(">I", len(queries)) + b"".join(map(string, queries))


def request(command, offset, length, cookie, flags=0, extended=False):
    if extended:
        return struct.pack(">IHHQQQ", EXTENDED_REQUEST, flags, command, cookie, offset, length)
    return struct.pack(">IHHQQI", COMPACT_REQUEST, flags, command, cookie, offset, length)


@dataclass
class Export:
    """What a server has told of an export; block sizes are 0 where it told none."""
    size: int
    flags: int
    minimum: int = 0
    preferred: int = 0
    maximum: int = 0

    def offers(self, *flags):
        return all(self.flags & flag for flag in flags)

    def payload_bytes_max(self):
        return min(self.maximum or PAYLOAD_BYTES_DEFAULT, PAYLOAD_BYTES_DEFAULT)


@dataclass
class Answer:
    """All replies to one option, the last one apart; None: the server has closed instead."""
    last: int | None
    message: bytes = b""
    replies: list = field(default_factory=list)  # (type, data)

    def __str__(self):
        if self.last is None:
            return "the connection was closed"
        text = f" {self.message.decode(errors='replace')!r}" if self.message else ""
        return f"{name_of(Rep, self.last)}{text}"

    def is_error(self):
        return self.last is not None and self.last >= 2**31

    def infos(self):
        """(type, payload) of each INFO reply."""
        return [(struct.unpack(">H", data[:2])[0], data[2:]) for kind, data in self.replies
                if kind == Rep.INFO and len(data) >= 2]

    def export(self):
        """None without a well-formed INFO_EXPORT."""
        told = dict(self.infos())
        if len(told.get(Info.EXPORT, b"")) != 10:
            return None
        sizes = told.get(Info.BLOCK_SIZE, b"")
        return Export(*struct.unpack(">QH", told[Info.EXPORT]),
                      *(struct.unpack(">III", sizes) if len(sizes) == 12 else ()))

    def contexts(self):
        """(id, name) of each META_CONTEXT reply."""
        return [(struct.unpack(">I", data[:4])[0], data[4:]) for kind, data in self.replies
                if kind == Rep.META_CONTEXT and len(data) >= 4]

    def servers(self):
        """(name, description) of each SERVER reply, None where its lengths do not fit."""
        found = []
        for data in (data for kind, data in self.replies if kind == Rep.SERVER):
            length = struct.unpack(">I", data[:4])[0] if len(data) >= 4 else 2**32
            fits = length <= len(data) - 4
            found.append((data[4:4 + length], data[4 + length:]) if fits else None)
        return found
