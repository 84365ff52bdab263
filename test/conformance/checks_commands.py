"""T14 to T24: what single commands promise, and clients that are slow, gone or unlucky."""
import os
import time

import wire
from client import Closed
from reply import Request
from trial import check, pattern, same, unit
from wire import Cmd, CmdFlag, Error, Flag

TOO_LARGE = (Error.EINVAL, Error.EOVERFLOW)
PAUSE_S = 10
QUEUED_READS = 100
MEMORY_BYTES_MAX = 128 * wire.MIB  # That one connection may cost.


@check("T14", "FLUSH with an offset or length, and commands that are not offered: EINVAL, alive")
def not_offered(t):
    uris = [t.options.uri] + ([t.options.read_only] if t.options.read_only else [])
    for uri in uris:
        export = t.enter(uri).export
        for command, flag in ((Cmd.FLUSH, Flag.SEND_FLUSH), (Cmd.TRIM, Flag.SEND_TRIM),
                              (Cmd.WRITE_ZEROES, Flag.SEND_WRITE_ZEROES)):
            if export.offers(flag) or (uri == t.options.uri and not t.options.writable):
                continue
            client = t.enter(uri)
            reply = t.survives(client, f"{command.name}, not offered", command, 0,
                               0 if command == Cmd.FLUSH else unit(client))
            read_only = export.flags & Flag.READ_ONLY
            t.strict(reply.error == Error.EINVAL or read_only and reply.error == Error.EPERM,
                     f"{command.name} is not offered: EINVAL expected, {reply} came")
            t.alive(client)
    if t.enter().export.offers(Flag.SEND_FLUSH):
        for offset, length in ((512, 0), (0, 512)):
            client = t.enter()
            try:
                reply = client.ask(Cmd.FLUSH, offset, length)
            except Closed:
                t.strict(False, "FLUSH with an offset or length: the connection was closed")
                continue
            t.strict(reply.error == Error.EINVAL,
                     f"FLUSH {offset}+{length}: EINVAL expected, {reply} came")
            t.alive(client)


@check("T15", "FUA on READ and FLUSH: success if offered, EINVAL if not, alive")
def fua(t):
    client = t.enter()
    asked = [(Cmd.READ, 0, unit(client))]
    if client.export.offers(Flag.SEND_FLUSH):
        asked.append((Cmd.FLUSH, 0, 0))
    for command, offset, length in asked:
        if client.export.offers(Flag.SEND_FUA):
            client.succeeds(command, offset, length, CmdFlag.FUA)
            t.alive(client)
        else:
            t.refuses(client, (Error.EINVAL,), f"{command.name} with FUA, not offered", command,
                      offset, length, CmdFlag.FUA)


@check("T16", "WRITE_ZEROES reads back zero, and with NO_HOLE the file does not shrink")
def zeroes(t):
    client = t.enter()
    t.need(client.export.offers(Flag.SEND_WRITE_ZEROES), "WRITE_ZEROES is not offered")
    length = wire.MIB
    at = t.scratch(length, client)
    for flags in (CmdFlag.NO_HOLE, 0):
        client.write(at, pattern(length, 16))
        if client.export.offers(Flag.SEND_FLUSH):
            client.succeeds(Cmd.FLUSH)
        before = allocated(t)
        client.succeeds(Cmd.WRITE_ZEROES, at + unit(client), length - 2 * unit(client), flags)
        wanted = bytearray(pattern(length, 16))
        wanted[unit(client):-unit(client)] = bytes(length - 2 * unit(client))
        same(client, at, wanted, f"after WRITE_ZEROES with flags {int(flags)}")
        if flags and before is not None:
            t.expect(allocated(t) >= before, "the file has fewer blocks after NO_HOLE")


def allocated(t):
    """Bytes of the file behind the export; None: there is none, or it is not known."""
    return os.stat(t.options.backing).st_blocks * 512 if t.options.backing else None


@check("T17",
       "FAST_ZERO: success, or a quick ENOTSUP and nothing changed; never ENOTSUP without it")
def fast_zero(t):
    client = t.enter()
    t.need(client.export.offers(Flag.SEND_WRITE_ZEROES), "WRITE_ZEROES is not offered")
    length = wire.MIB
    at, data = t.scratch(length, client), pattern(length, 17)
    client.write(at, data)
    if not client.export.offers(Flag.SEND_FAST_ZERO):
        t.refuses(client, (Error.EINVAL,), "FAST_ZERO, not offered", Cmd.WRITE_ZEROES, at, length,
                  CmdFlag.FAST_ZERO)
        return
    began = time.monotonic()
    reply = t.survives(client, "FAST_ZERO", Cmd.WRITE_ZEROES, at, length, CmdFlag.FAST_ZERO)
    t.expect(reply.error in (0, Error.ENOTSUP), f"success or ENOTSUP expected, {reply} came")
    t.should(time.monotonic() - began < 1, "a FAST_ZERO of 1 MiB took more than a second")
    if reply.error:
        same(client, at, data, "after ENOTSUP")
    else:
        same(client, at, bytes(length), "after FAST_ZERO")
    reply = client.ask(Cmd.WRITE_ZEROES, at, length)
    t.expect(reply.error != Error.ENOTSUP, "ENOTSUP without FAST_ZERO")


@check("T18",
       "TRIM and WRITE_ZEROES of 4 GiB - 512 in one request: accepted, or an error and alive")
def huge_effect(t):
    client = t.enter()
    length = 4 * wire.GIB - max(512, client.export.minimum)
    at = t.scratch(length, client)
    t.patient(client)
    for command, flag in ((Cmd.TRIM, Flag.SEND_TRIM), (Cmd.WRITE_ZEROES, Flag.SEND_WRITE_ZEROES)):
        if not client.export.offers(flag):
            continue
        reply = t.survives(client, f"{command.name} of {length}", command, at, length)
        t.should(reply.error in (0, *TOO_LARGE), f"{command.name}: success expected, {reply} came")
        t.alive(client)


@check("T19", "length 0, for every command: a reply, alive")
def zero_length(t):
    export = t.enter().export
    asked = [(Cmd.READ, True), (Cmd.WRITE, t.options.writable),
             (Cmd.TRIM, export.offers(Flag.SEND_TRIM)), (Cmd.CACHE, export.offers(Flag.SEND_CACHE)),
             (Cmd.WRITE_ZEROES, export.offers(Flag.SEND_WRITE_ZEROES))]
    for command in (command for command, wanted in asked if wanted):
        for structured in t.forms():
            client = t.enter(structured=structured)
            try:
                reply = client.ask(command, 0, 0)
            except Closed:
                t.should(False, f"{command.name} of length 0: the connection was closed")
                continue
            t.strict(reply.error == 0,
                     f"{command.name} of length 0: success expected, {reply} came")
            t.alive(client)


@check("T20", "a header in 28 single bytes, its payload after a 10 s pause: served")
def slow_request(t):
    client = t.enter()
    length = unit(client)
    at, data = t.scratch(length, client), pattern(length, 20)
    for byte in wire.request(Cmd.WRITE, at, length, 20):
        client.send(bytes([byte]))
        time.sleep(0.01)
    time.sleep(PAUSE_S)
    client.pending[20] = [Request(Cmd.WRITE, at, length, 20)]
    client.send(data)
    reply = client.reply()
    t.expect(reply.error == 0, f"success expected, {reply} came")
    same(client, at, data, "after a slow WRITE")


def ask_much(t):
    """A client that has asked for 100 MiB and has read nothing of it."""
    client = t.enter()
    length = min(wire.MIB, client.export.size // unit(client) * unit(client))
    client.send(b"".join(client.prepare(Cmd.READ, 0, length)[1] for _ in range(QUEUED_READS)))
    return client


@check("T21", "a client that reads nothing with 100 x 1 MiB asked: memory bounded, others served; "
              "it may leave so")
def never_reads(t):
    before = t.subject.resident_bytes() if t.options.pid else 0
    client, leaving, other = ask_much(t), ask_much(t), t.enter()
    for _ in range(20):
        t.alive(other)
        time.sleep(0.05)
    if t.options.pid:
        grown = t.subject.resident_bytes() - before
        t.strict(grown < MEMORY_BYTES_MAX, f"the server grew by {grown // wire.MIB} MiB")
    leaving.close()
    for _ in range(QUEUED_READS):
        t.expect(client.reply().error == 0, "a READ that waited has failed")


@check("T22", "a disconnect in the middle of a WRITE payload: nothing outside its range is changed")
def torn_write(t):
    honest = t.enter()
    length = 256 * wire.KIB
    at = t.scratch(3 * length, honest)
    data = pattern(3 * length, 22)
    honest.write(at, data)
    client = t.enter()
    client.send(wire.request(Cmd.WRITE, at + length, length, 1) + b"\x22" * (length // 2 + 100))
    client.close()
    for _ in range(5):  # It may take its time to be wrong.
        time.sleep(0.3)
        same(honest, at, data[:length], "before the torn WRITE")
        same(honest, at + 2 * length, data[2 * length:], "behind the torn WRITE")


@check("T23", "a slow READ does not hold up a READ that is sent after it")
def slow_read(t):
    client = t.enter(t.role("slow"))
    slow_from = client.export.size // 2 // unit(client) * unit(client)
    began = time.monotonic()
    slow = client.post(Cmd.READ, slow_from, unit(client))
    fast = client.post(Cmd.READ, 0, unit(client))
    order = [client.reply().request.cookie]
    fast_s = time.monotonic() - began
    order.append(client.reply().request.cookie)
    slow_s = time.monotonic() - began
    t.need(slow_s > 0.2, f"--slow answers at once, after {slow_s:.2f} s")
    t.strict(order == [fast, slow] and fast_s < slow_s / 2,
             f"the second READ took {fast_s:.2f} s, the slow one {slow_s:.2f} s")


@check("T24", "a READ that fails in the backend: an error without data, alive")
def failing_read(t):
    uri = t.role("failing")
    for structured in t.forms():
        for _ in range(3):
            client = t.enter(uri, structured=structured)
            try:
                reply = client.ask(Cmd.READ, 0, unit(client))
                t.expect(reply.error, "the READ succeeds, so --failing is not")
                client.ask(Cmd.READ, 0, unit(client))  # Alive, if it fails again.
            except Closed as error:
                # Behind a simple reply's error a server may close; chunks must end with the error.
                judge = t.expect if structured else t.should
                judge(False, f"{'structured' if structured else 'simple'} reply: {error}")
                continue
            t.expect(reply.error in list(Error),
                     f"error {reply.error} is none that a reply may carry")
            t.should(reply.error == Error.EIO, f"EIO expected, {reply} came")
            t.expect(not reply.violations, "; ".join(reply.violations[:3]))
