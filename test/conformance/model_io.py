"""The model's transmission: every command, in all three forms of replies."""
import bisect
import contextlib
import struct
import threading
import time

import wire
from wire import Chunk, Cmd, CmdFlag, Error, Flag, HOLE, ZERO

PIECE = 4096
BLOCK = 512
PAYLOAD_BYTES_MAX = 1 << 20
SLOW_S = 0.5
COMMAND_FLAGS = {Cmd.READ: CmdFlag.DF, Cmd.WRITE: 0, Cmd.WRITE_ZEROES: CmdFlag.NO_HOLE |
                 CmdFlag.FAST_ZERO, Cmd.BLOCK_STATUS: CmdFlag.REQ_ONE}


class Gone(Exception):
    """The connection is over."""


class Left(Gone):
    """The client has said DISC."""


class Store:
    """Bytes in pieces; a piece that is not there is zero."""

    def __init__(self, size):
        self.size, self.pieces = size, {}

    def read(self, offset, length):
        out = bytearray(length)
        for piece in range(offset // PIECE, (offset + length + PIECE - 1) // PIECE):
            if piece in self.pieces:
                start = max(offset, piece * PIECE)
                end = min(offset + length, (piece + 1) * PIECE)
                out[start - offset:end - offset] = \
                    self.pieces[piece][start - piece * PIECE:end - piece * PIECE]
        return out

    def write(self, offset, data):
        done = 0
        while done < len(data):
            piece, at = divmod(offset + done, PIECE)
            part = data[done:done + PIECE - at]
            self.pieces.setdefault(piece, bytearray(PIECE))[at:at + len(part)] = part
            done += len(part)

    def zero(self, offset, length):
        first, last = -(-offset // PIECE), (offset + length) // PIECE
        if first >= last:
            return self.write(offset, bytes(length))
        for piece in [piece for piece in self.pieces if first <= piece < last]:
            del self.pieces[piece]
        self.write(offset, bytes(first * PIECE - offset))
        return self.write(last * PIECE, bytes(offset + length - last * PIECE))

    def extents(self, offset, length):
        """(length, status) of the range, alike ones joined."""
        found, at, end, pieces = [], offset, offset + length, sorted(self.pieces)
        while at < end:
            data = at // PIECE in self.pieces
            following = bisect.bisect_right(pieces, at // PIECE)
            hole_to = pieces[following] * PIECE if following < len(pieces) else end
            to = min(end, (at // PIECE + 1) * PIECE if data else hole_to)
            status = 0 if data else HOLE | ZERO
            if found and found[-1][1] == status:
                found[-1] = (found[-1][0] + to - at, status)
            else:
                found.append((to - at, status))
            at = to
        return found


class Requests:
    """What one client asks after its handshake, until it leaves."""

    def __init__(self, session):
        self.session, self.model, self.plug = session, session.model, session.plug
        self.bad, self.receive = session.bad, session.receive
        self.structured, self.extended = session.structured, session.extended
        self.store, self.flags = self.model.store(session.name), session.flags()
        self.sending, self.late, self.over = threading.Lock(), [], False
        self.overlay = {}

    def run(self):
        try:
            while True:
                self.request()
        except Left:
            pass
        except Gone:
            self.over = not self.bad("E5")  # What waits is not done.
        for timer in self.late:
            timer.join()

    def request(self):
        layout = ">IHHQQQ" if self.extended else ">IHHQQI"
        magic, flags, command, cookie, offset, length = \
            struct.unpack(layout, self.receive(struct.calcsize(layout)))
        good = wire.EXTENDED_REQUEST if self.extended else wire.COMPACT_REQUEST
        if magic != good and not (self.bad("T13") or self.bad("S16")
                                  and magic == wire.EXTENDED_REQUEST):
            raise Gone
        if command == Cmd.DISC:
            if self.bad("E1"):
                self.answer((cookie, offset, command), 0)
            if self.bad("E4"):
                return None
            raise Left
        payload = b""
        if self.bad("T22") and command == Cmd.WRITE:
            self.store.write(offset + length, bytes(BLOCK))
        carries = flags & CmdFlag.PAYLOAD_LEN if self.extended else command == Cmd.WRITE
        if self.extended and command == Cmd.WRITE and not carries:
            raise Gone
        if carries:
            if length > 64 << 20 or self.bad("T11") and length > PAYLOAD_BYTES_MAX:
                raise Gone
            skipped = self.bad("T6") and flags & 0x8000 or self.bad("S13") and command != Cmd.WRITE
            payload = b"" if skipped else self.receive(length)
        if self.bad("T2"):
            cookie &= 0xFFFFFFFF
        asked = (cookie, offset, command)
        if self.session.name == b"slow" and offset >= self.store.size // 2:
            if self.bad("T23"):
                time.sleep(SLOW_S)
                return self.execute(asked, flags, length, payload)
            timer = threading.Timer(SLOW_S, self.execute, (asked, flags, length, payload))
            timer.start()
            self.late.append(timer)
            return None
        return self.execute(asked, flags, length, payload)

    def execute(self, asked, flags, length, payload):
        if self.over:
            return
        _, offset, command = asked
        with contextlib.suppress(OSError):
            error = self.judge(command, flags, offset, length, payload)
            if error == "gone":
                self.plug.close()
                raise Gone
            if error:
                self.answer(asked, error)
            else:
                self.obey(asked, flags, length, payload)

    def judge(self, command, flags, offset, length, payload):
        """The error of a request that may not be; 0 if it may."""
        if command not in list(Cmd):
            return Error.ENOTSUP if self.bad("T5") else Error.EINVAL
        if command in (Cmd.WRITE, Cmd.TRIM, Cmd.WRITE_ZEROES) and self.flags & Flag.READ_ONLY:
            return 0 if self.bad("T9") else Error.EPERM
        allowed = COMMAND_FLAGS.get(command, 0) | CmdFlag.FUA
        if self.extended and command in (Cmd.WRITE, Cmd.BLOCK_STATUS):
            allowed |= CmdFlag.PAYLOAD_LEN
        if not self.flags & Flag.SEND_DF and not self.bad("S8"):
            allowed &= ~CmdFlag.DF
        if self.bad("T15") and command != Cmd.WRITE:
            allowed &= ~CmdFlag.FUA
        if flags & ~allowed:
            return Error.EINVAL
        if command == Cmd.FLUSH:
            return Error.EINVAL if offset | length and not self.bad("T14") else 0
        if length == 0 and self.bad("T19"):
            return "gone"
        if command == Cmd.BLOCK_STATUS and not flags & CmdFlag.PAYLOAD_LEN and length == 0:
            return Error.EINVAL
        if command == Cmd.READ and length > PAYLOAD_BYTES_MAX:
            return "gone" if self.bad("T10") else Error.EOVERFLOW if flags & CmdFlag.DF else 0 \
                if (self.structured or self.extended) and length < 1 << 26 else Error.EINVAL
        if command == Cmd.WRITE and length > PAYLOAD_BYTES_MAX:
            return Error.EINVAL
        if command in (Cmd.TRIM, Cmd.WRITE_ZEROES) and length > 1 << 31 and self.bad("T18", "S14"):
            return "gone" if self.bad("T18") else Error.EIO
        return self.judge_range(command, flags, offset, length, payload)

    def judge_range(self, command, flags, offset, length, payload):
        if command == Cmd.BLOCK_STATUS and flags & CmdFlag.PAYLOAD_LEN:
            length = struct.unpack(">Q", payload[:8])[0]
        end = offset + length
        if self.bad("T8"):
            end %= 1 << 64
        if offset > self.store.size and not self.bad("T8") or end > self.store.size:
            if self.bad("T7") and command == Cmd.TRIM or self.bad("M15") and length <= 1024:
                return 0
            return Error.ENOSPC if command in (Cmd.WRITE, Cmd.WRITE_ZEROES) else Error.EINVAL
        if (offset | length) % BLOCK and not (self.bad("T1") and command == Cmd.WRITE):
            return Error.EINVAL
        if command == Cmd.BLOCK_STATUS and not self.session.contexts:
            return 0 if self.bad("M6", "M7", "M8") else Error.EINVAL
        if command == Cmd.READ and self.session.name == b"broken":
            return 0 if self.bad("T24") else Error.EIO
        return 0

    def obey(self, asked, flags, length, payload):
        _, offset, command = asked
        if command == Cmd.READ:
            return self.read(asked, flags, length)
        if command == Cmd.BLOCK_STATUS:
            return self.status(asked, flags, length, payload)
        with self.model.lock:
            if command == Cmd.WRITE:
                if self.bad("D2"):
                    self.overlay[offset] = payload
                elif not self.bad("E2"):
                    self.store.write(offset, payload)
            elif command == Cmd.WRITE_ZEROES and not self.bad("T16") or command == Cmd.TRIM:
                self.store.zero(offset, length)
        fast = command == Cmd.WRITE_ZEROES and flags & CmdFlag.FAST_ZERO
        return self.answer(asked, Error.ENOTSUP if fast and self.bad("T17") else 0)

    # Replies

    def send(self, data):
        with self.sending:
            self.plug.sendall(data)

    def chunk(self, asked, kind, payload=b"", done=True):
        cookie, offset, command = asked
        if self.bad("S11") and command == Cmd.WRITE:
            offset += 1
        if self.extended:
            head = struct.pack(">IHHQQQ", wire.EXTENDED_REPLY, done, kind, cookie, offset,
                               len(payload))
        else:
            head = struct.pack(">IHHQI", wire.STRUCTURED_REPLY, done, kind, cookie, len(payload))
        self.send(head + payload)

    def answer(self, asked, error):
        """A reply without data."""
        if not (self.structured or self.extended) or self.bad("S3") and asked[2] == Cmd.READ:
            self.send(struct.pack(">IIQ", wire.SIMPLE_REPLY, error, asked[0]))
        elif error:
            text = b"It may not be."
            length = len(text) + 9 * self.bad("S9")
            self.chunk(asked, Chunk.ERROR, struct.pack(">IH", error, length) + text)
        else:
            self.chunk(asked, Chunk.NONE)

    def read(self, asked, flags, length):
        cookie, offset, _ = asked
        with self.model.lock:
            data = self.store.read(offset, length)
            for start, laid in self.overlay.items():
                if offset <= start and start + len(laid) <= offset + length:
                    data[start - offset:start - offset + len(laid)] = laid
            extents = self.store.extents(offset, length) if not self.overlay else [(length, 0)]
        if not (self.structured or self.extended):
            head = struct.pack(">IIQ", wire.SIMPLE_REPLY, 0, cookie)
            return self.send((head + data) * (2 if self.bad("T3", "T4") else 1))
        if length == 0:
            return self.chunk(asked, Chunk.NONE)
        if flags & CmdFlag.DF and not self.bad("S6"):
            if self.bad("S7"):
                self.chunk(asked, Chunk.OFFSET_DATA, struct.pack(">Q", offset) + data[:BLOCK],
                           False)
                offset, data = offset + BLOCK, data[BLOCK:]
            return self.chunk(asked, Chunk.OFFSET_DATA, struct.pack(">Q", offset) + data)
        at = offset
        for extent, status in extents[1:] if self.bad("S4") and len(extents) > 1 else extents:
            piece = data[at - offset:at - offset + extent]
            if status & ZERO:
                tail = b"\0" if self.bad("S5") else b""
                self.chunk(asked, Chunk.OFFSET_HOLE, struct.pack(">QI", at, extent) + tail, False)
            else:
                self.chunk(asked, Chunk.OFFSET_DATA, struct.pack(">Q", at) + piece, False)
            at += extent
        self.chunk(asked, Chunk.NONE)
        return self.chunk(asked, Chunk.NONE) if self.bad("S2") else None

    def status(self, asked, flags, length, payload):
        _, offset, _ = asked
        contexts = self.session.contexts
        if flags & CmdFlag.PAYLOAD_LEN:
            length, *ids = struct.unpack(f">Q{(len(payload) - 8) // 4}I", payload)
            if len(set(ids)) < len(ids) or not set(ids) <= set(contexts):
                return self.answer(asked, Error.EINVAL)
            contexts = ids
        with self.model.lock:
            extents = self.store.extents(offset, min(length, self.store.size - offset))
        if flags & CmdFlag.REQ_ONE and not self.bad("M12"):
            extents = extents[:1]
        extents = self.spoil(extents)
        for number, context in enumerate(contexts[:1] if self.bad("M14") else contexts):
            self.chunk(asked, *self.extents_chunk(context, extents),
                       number + 1 == len(contexts) or self.bad("M14"))
        return None if contexts else self.answer(asked, 0)

    def spoil(self, extents):
        if self.bad("M10"):
            return [(0, 0), *extents]
        if self.bad("M11"):
            return [*extents, (BLOCK, 0)]
        if self.bad("M13", "M16"):
            return [(length, HOLE | ZERO) for length, _ in extents]
        return extents

    def extents_chunk(self, context, extents):
        flat = [number for extent in extents for number in extent]
        if self.extended:
            return Chunk.BLOCK_STATUS_EXT, struct.pack(f">II{len(flat)}Q", context, len(extents),
                                                       *flat)
        return Chunk.BLOCK_STATUS, struct.pack(f">I{len(flat)}I", context, *flat)
