"""T1 to T13: requests, good and bad, and their replies."""
import random
import struct

import wire
from client import Closed, Failed
from trial import check, pattern, same, unit, writes
from wire import Cmd, Error, Flag, name_of

PAST_END = {Cmd.WRITE: (Error.ENOSPC,), Cmd.WRITE_ZEROES: (Error.ENOSPC,)}
TOO_LARGE = (Error.EINVAL, Error.EOVERFLOW)
MEMORY_BYTES_MAX = 128 * wire.MIB  # That one connection may cost.


@check("T1",
       "what is written is read, at the front and end, of 512 bytes to 32 MiB; unaligned: EINVAL")
def round_trip(t):
    client = t.enter()
    t.scratch(wire.MIB, client)
    step, size = unit(client), client.export.size // unit(client) * unit(client)
    largest = min(client.export.payload_bytes_max(), size)
    for offset, length in ((0, step), (step, 9 * step), (size - step, step), (0, largest)):
        data = pattern(length, offset + length)
        client.write(offset, data)
        same(client, offset, data, "after WRITE")
    unaligned(t, client)


def unaligned(t, client):
    """A single byte: served where the smallest block is 1, else refused, and nothing changes."""
    before = client.read(0, 2 * unit(client))
    for offset, length in ((1, 1), (1, unit(client)), (0, unit(client) - 1)):
        reply = t.survives(client, f"WRITE of {length} at {offset}", Cmd.WRITE, offset, length, 0,
                           b"\xa5" * length)
        if reply.error:
            t.should(reply.error == Error.EINVAL, f"unaligned WRITE: EINVAL expected, {reply} came")
            t.should(client.export.minimum > 1, "the minimum is 1, and an unaligned WRITE fails")
            same(client, 0, before, "after a refused WRITE")
        else:
            t.strict(client.export.minimum <= 1, f"a WRITE of {length} at {offset} was served")
            before[offset:offset + length] = b"\xa5" * length
            same(client, 0, before, "after an unaligned WRITE")


@check("T2", "cookies of random 64 bits, 0 and all ones are echoed")
def cookies(t):
    client = t.enter()
    for cookie in (0, 2**64 - 1, 1 << 63, *(random.getrandbits(64) for _ in range(20))):
        client.ask(Cmd.READ, 0, unit(client), cookie=cookie)


@check("T3", "128 requests in flight: all are answered, once, with their own data")
def many_in_flight(t):
    client = t.enter()
    step, count = max(4096, client.export.minimum), 128
    at = t.scratch(count * step, client)
    for number in range(count):
        client.write(at + number * step, pattern(step, number))
    requests = [client.prepare(Cmd.READ, at + number * step, step) for number in range(count)]
    wanted = {cookie: pattern(step, number) for number, (cookie, _) in enumerate(requests)}
    client.send(b"".join(data for _, data in requests))
    for _ in range(count):
        reply = client.reply()
        t.expect(reply.data == wanted.pop(reply.request.cookie), f"wrong data ({reply})")
    came = client.quiet(0.3)
    t.expect(came == b"", f"after all replies came {came[:32].hex(' ')}")


@check("T4", "the same cookie on two requests in flight: two replies")
def same_cookie(t):
    client = t.enter()
    client.send(b"".join(client.prepare(Cmd.READ, 0, unit(client), cookie=7)[1] for _ in range(2)))
    replies = [client.reply(), client.reply()]
    t.expect(all(reply.error == 0 for reply in replies), f"{replies[0]}, {replies[1]} came")
    t.alive(client)


@check("T5", "an unknown command: EINVAL, alive")
def unknown_command(t):
    client = t.enter()
    t.refuses(client, (Error.EINVAL,), "command 42", 42, 0, unit(client))


@check("T6", "an unknown flag on READ, WRITE, TRIM: EINVAL, alive, the payload consumed")
def unknown_flag(t):
    asked = t.enter()
    commands = [(Cmd.READ, b"")] + (writes(asked) if t.options.writable else [])
    for command, payload in commands:
        client = t.enter()
        t.refuses(client, (Error.EINVAL,), f"{name_of(Cmd, command)} with bit 15", command,
                  4 * wire.MIB, unit(client), 0x8000, payload)


@check("T7", "past the end: WRITE and ZEROES ENOSPC, READ, TRIM, CACHE EINVAL; nothing is done")
def past_end(t):
    asked = t.enter()
    step, size = unit(asked), asked.export.size
    last = size // step * step - step
    commands = [(Cmd.READ, b"")] + (writes(asked) if t.options.writable else [])
    if asked.export.offers(Flag.SEND_CACHE):
        commands.append((Cmd.CACHE, b""))
    before = asked.read(last, step)
    for command, payload in commands:
        for offset, length in ((size, step), (last, 2 * step)):
            client = t.enter()
            body = pattern(length, 7) if payload else b""
            reply = t.refuses(client, PAST_END.get(command, (Error.EINVAL,)),
                              f"{name_of(Cmd, command)} of {length} at {offset}", command, offset,
                              length, 0, body)
            t.expect(reply is None or reply.error, f"{name_of(Cmd, command)} past the end succeeds")
    same(asked, last, before, "after requests past the end")


@check("T8", "offsets and lengths whose sum overflows: an error, alive")
def overflow(t):
    for command in (Cmd.READ, Cmd.TRIM, Cmd.WRITE_ZEROES):
        for offset, length in ((2**64 - 1, 1), (2**64 - 512, 1024), (2**63, 2**32 - 1)):
            client = t.enter()
            try:
                reply = client.ask(command, offset, length)
            except Closed:
                t.should(False,
                         f"{name_of(Cmd, command)} at {offset:#x}: the connection was closed")
                continue
            t.expect(reply.error, f"{name_of(Cmd, command)} of {length} at {offset:#x} succeeds")
            t.alive(client)


@check("T9", "every write-like command on a read-only export: EPERM, alive, the payload consumed")
def read_only(t):
    uri = t.role("read_only")
    t.expect(t.enter(uri).export.flags & Flag.READ_ONLY, "the export is not read-only")
    for command in (Cmd.WRITE, Cmd.TRIM, Cmd.WRITE_ZEROES):
        client = t.enter(uri)
        payload = bytes(unit(client)) if command == Cmd.WRITE else b""
        offered = command == Cmd.WRITE or client.export.offers(
            Flag.SEND_TRIM if command == Cmd.TRIM else Flag.SEND_WRITE_ZEROES)
        wanted = (Error.EPERM,) if offered or t.options.strict else (Error.EPERM, Error.EINVAL)
        reply = t.refuses(client, wanted, f"read-only {name_of(Cmd, command)}", command, 0,
                          unit(client), 0, payload)
        t.expect(reply is None or reply.error,
                 f"{name_of(Cmd, command)} on a read-only export succeeds")


@check("T10", "a READ above the maximum: an error or split, alive")
def large_read(t):
    uri = t.options.small_max or t.options.uri
    for structured in t.forms():
        client = t.enter(uri, structured=structured)
        maximum, step = client.export.maximum or wire.PAYLOAD_BYTES_DEFAULT, unit(client)
        length = maximum // step * step + step
        t.need(length <= client.export.size and maximum < 0xFFFFFFFF,
               f"the export is not larger than its maximum payload of {maximum}")
        try:
            reply = client.ask(Cmd.READ, 0, length)
        except Closed as error:
            t.strict(False, str(error))
            t.expect(length > wire.PAYLOAD_BYTES_DEFAULT,
                     f"READ of {length}: the connection was closed")
            continue
        t.should(reply.error in (0, *TOO_LARGE), f"EINVAL or EOVERFLOW expected, {reply} came")
        t.expect(not reply.violations, "; ".join(reply.violations[:3]))
        t.alive(client)


@check("T11", "a WRITE above the maximum, up to 32 MiB or one block above it: no disconnect")
def large_write(t):
    client = t.enter(t.options.small_max or t.options.uri)
    t.scratch(wire.MIB, client)
    maximum, step = client.export.maximum or wire.PAYLOAD_BYTES_DEFAULT, unit(client)
    length = max(wire.PAYLOAD_BYTES_DEFAULT, maximum // step * step + step)
    t.need(length <= client.export.size and maximum < 0xFFFFFFFF,
           f"the export is not larger than its maximum payload of {maximum}")
    try:
        reply = client.ask(Cmd.WRITE, 0, length, payload=bytes(length))
        t.strict(reply.error == Error.EINVAL, f"EINVAL expected, {reply} came")
        t.alive(client)
    except Failed as error:
        # Only up to 32 MiB nobody may be taken for an attacker.
        judge = t.should if length <= wire.PAYLOAD_BYTES_DEFAULT else t.strict
        judge(False, f"a WRITE of {length} with a maximum of {maximum}: {error}")


@check("T12", "a WRITE that claims 4 GiB - 1: closed or consumed, memory bounded")
def huge_write(t):
    client = t.enter()
    before = t.subject.resident_bytes() if t.options.pid else 0
    client.post(Cmd.WRITE, 0, 0xFFFFFFFF, payload=b"")
    client.socket.settimeout(2)
    try:
        for _ in range(64):
            client.send(bytes(wire.MIB))
    except TimeoutError:
        pass
    if t.options.pid:
        grown = t.subject.resident_bytes() - before
        t.strict(grown < MEMORY_BYTES_MAX, f"the server grew by {grown // wire.MIB} MiB")
    t.strict(client.closes(2), "the connection was not closed")


@check("T13", "a wrong request magic: closed, other connections are unaffected")
def wrong_magic(t):
    other, client = t.enter(), t.enter()
    client.send(struct.pack(">IHHQQI", 0x12345678, 0, Cmd.READ, 7, 0, unit(client)))
    t.strict(client.closes(), "the connection was not closed")
    t.alive(other)
