"""A reply to a request: what came, whether it was whole, and what of it breaks the protocol."""
import struct
from dataclasses import dataclass, field

from wire import Chunk, Cmd, DONE, EXTENTS_MAX, Error, STRING_BYTES_MAX, name_of


@dataclass
class Request:
    command: int
    offset: int
    length: int  # Of the effect, whatever is sent as payload.
    cookie: int
    flags: int = 0


@dataclass
class Piece:
    """One chunk of a reply."""
    kind: int
    flags: int
    payload: bytes


@dataclass
class Reply:
    request: Request
    form: str  # "simple", "structured" or "extended"
    error: int = 0
    message: bytes = b""
    data: bytearray = field(default_factory=bytearray)
    pieces: list = field(default_factory=list)
    extents: list = field(default_factory=list)  # (context id, [(length, status)])
    violations: list = field(default_factory=list)
    covered: list = field(default_factory=list)  # (start, end) of content chunks

    def __str__(self):
        text = f" {bytes(self.message).decode(errors='replace')!r}" if self.message else ""
        what = "success" if self.error == 0 else name_of(Error, self.error)
        return f"{what}{text} ({self.form})"

    def wrong(self, what):
        self.violations.append(what)

    def content(self):
        return [piece for piece in self.pieces
                if piece.kind in (Chunk.OFFSET_DATA, Chunk.OFFSET_HOLE)]

    def add(self, piece):
        self.pieces.append(piece)
        if piece.flags & ~DONE:
            self.wrong(f"unknown reply flags {piece.flags:#x}")
        take = {Chunk.NONE: self._none, Chunk.OFFSET_DATA: self._data,
                Chunk.OFFSET_HOLE: self._hole,
                Chunk.BLOCK_STATUS: self._status, Chunk.BLOCK_STATUS_EXT: self._status,
                Chunk.ERROR: self._error, Chunk.ERROR_OFFSET: self._error}.get(piece.kind)
        if take is None:
            self.wrong(f"a chunk of unknown type {piece.kind:#x}")
        else:
            take(piece)

    def finish(self):
        """All chunks are here: is it a whole?"""
        if self.request.command == Cmd.READ and self.error == 0:
            at = self.request.offset
            for start, end in sorted(self.covered):
                if start != at:
                    self.wrong(f"the chunks leave out or repeat what is at {min(start, at)}")
                at = end
            if at != self.request.offset + self.request.length:
                self.wrong(f"the chunks end at {at}, the request at "
                           f"{self.request.offset + self.request.length}")
        return self

    def _none(self, piece):
        if piece.payload:
            self.wrong(f"a NONE chunk with {len(piece.payload)} bytes")
        if not piece.flags & DONE:
            self.wrong("a NONE chunk without DONE")

    def _data(self, piece):
        if len(piece.payload) < 9:
            self.wrong(f"an OFFSET_DATA chunk of {len(piece.payload)} bytes")
            return
        self._place(struct.unpack(">Q", piece.payload[:8])[0], memoryview(piece.payload)[8:])

    def _hole(self, piece):
        if len(piece.payload) != 12:
            self.wrong(f"an OFFSET_HOLE chunk of {len(piece.payload)} bytes")
            return
        offset, length = struct.unpack(">QI", piece.payload)
        if length == 0:
            self.wrong("a hole of length 0")
        elif length <= self.request.length:
            self._place(offset, bytes(length))
        else:
            self.wrong(f"a hole of {length} bytes in a read of {self.request.length}")

    def _place(self, offset, data):
        start = offset - self.request.offset
        if self.request.command != Cmd.READ:
            self.wrong("a content chunk in reply to another command than READ")
        elif start < 0 or start + len(data) > self.request.length:
            self.wrong(f"a content chunk of {len(data)} bytes at {offset} is outside the request")
        else:
            self.data = self.data or bytearray(self.request.length)
            self.data[start:start + len(data)] = data
            self.covered.append((offset, offset + len(data)))

    def _error(self, piece):
        tail_bytes = 8 if piece.kind == Chunk.ERROR_OFFSET else 0
        if len(piece.payload) < 6 + tail_bytes:
            self.wrong(f"an error chunk of {len(piece.payload)} bytes")
            self.error = self.error or Error.EINVAL
            return
        error, length = struct.unpack(">IH", piece.payload[:6])
        if length > min(len(piece.payload) - 6 - tail_bytes, STRING_BYTES_MAX):
            self.wrong(f"an error message of {length} bytes in {len(piece.payload)}")
        if error == 0:
            self.wrong("an error chunk with error 0")
        self.error = self.error or error or Error.EINVAL
        self.message = piece.payload[6:6 + length]

    def _status(self, piece):
        wide = piece.kind == Chunk.BLOCK_STATUS_EXT
        head, each = (8, 16) if wide else (4, 8)
        if wide != (self.form == "extended"):
            self.wrong(f"a {name_of(Chunk, piece.kind)} chunk in a reply that is {self.form}")
        if len(piece.payload) < head + each or (len(piece.payload) - head) % each:
            self.wrong(f"a block status chunk of {len(piece.payload)} bytes")
            return
        count = (len(piece.payload) - head) // each
        numbers = struct.unpack(f">{2 * count}{'Q' if wide else 'I'}", piece.payload[head:])
        if wide and struct.unpack(">I", piece.payload[4:8])[0] != count:
            self.wrong("the descriptor count of a block status chunk does not fit its length")
        if count > EXTENTS_MAX:
            self.wrong(f"{count} extents in one chunk")
        self.extents.append((struct.unpack(">I", piece.payload[:4])[0],
                             list(zip(numbers[::2], numbers[1::2]))))
