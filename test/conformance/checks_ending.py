"""D2: several connections. E: how connections end."""
import contextlib
import socket
import time

import wire
from client import Closed
from trial import check, pattern, same, unit
from wire import Cmd, CmdFlag, Flag

WRITES = 20


@check("D2", "with CAN_MULTI_CONN: what A has written and B flushed, C reads")
def multi_conn(t):
    first, second, third = t.enter(), t.enter(), t.enter()
    t.need(first.export.offers(Flag.CAN_MULTI_CONN), "CAN_MULTI_CONN is not offered")
    length = 64 * wire.KIB
    at = t.scratch(length, first)
    for turn in range(50):
        data = pattern(length, turn)
        if turn % 2 and first.export.offers(Flag.SEND_FUA):
            first.write(at, data, CmdFlag.FUA)
        else:
            first.write(at, data)
            second.succeeds(Cmd.FLUSH)
        same(third, at, data, f"turn {turn}")


@check("E1", "DISC: no reply, and the end within a second when idle")
def disconnect(t):
    client = t.enter()
    t.alive(client)
    began = time.monotonic()
    client.post(Cmd.DISC)
    came = client.rest()
    t.expect(came == b"", f"DISC was answered with {came[:32].hex(' ')}")
    took_s = time.monotonic() - began
    t.strict(took_s < 1, f"the end came after {took_s:.1f} s")


def write_and_leave(t, half_close):
    """20 WRITEs, then DISC: are all answered, and done, before the end?"""
    uri = t.options.slow or t.options.uri
    client = t.enter(uri)
    length = unit(client) if t.options.slow else wire.MIB
    at = client.export.size // 2 // unit(client) * unit(client) if t.options.slow \
        else t.scratch(WRITES * length, client)
    data = pattern(length, int(time.time()))
    for number in range(WRITES):
        client.post(Cmd.WRITE, at + number * length, length, payload=data)
    client.post(Cmd.DISC)
    if half_close:
        client.socket.shutdown(socket.SHUT_WR)
    answered = 0
    with contextlib.suppress(Closed):
        while client.pending:
            t.expect(client.reply().error == 0, "a WRITE failed")
            answered += 1
    t.should(answered == WRITES, f"{answered} of {WRITES} WRITEs were answered before the end")
    t.expect(client.rest() == b"", "more came after all replies")
    reader = t.enter(uri)
    for number in range(WRITES):
        same(reader, at + number * length, data, f"WRITE {number + 1} before DISC")


@check("E2", "20 WRITEs, then DISC: all are answered and done, then the end")
def disconnect_busy(t):
    write_and_leave(t, half_close=False)


@check("E3", "DISC, then a half-close: replies still arrive")
def disconnect_half(t):
    t.need(not t.subject.address.tls, "half-closing is for plaintext")
    write_and_leave(t, half_close=True)


@check("E4", "DISC with junk in offset and length is a DISC; nothing after it is executed")
def disconnect_junk(t):
    honest = t.enter()
    length = unit(honest)
    at = t.scratch(length, honest)
    before = pattern(length, 4)
    honest.write(at, before)
    client = t.enter()
    client.send(wire.request(Cmd.DISC, 0x123456789, 0xFFFF, 9)
                + wire.request(Cmd.WRITE, at, length, 10) + b"\x44" * length)
    came = client.rest()
    t.expect(came == b"", f"after DISC came {came[:32].hex(' ')}")
    time.sleep(0.3)
    same(honest, at, before, "after a WRITE behind DISC")


@check("E5", "an end without DISC: parked requests of that connection are not executed later")
def abandoned(t):
    uri = t.role("slow")
    client = t.enter(uri)
    length, at = unit(client), client.export.size // 2 // unit(client) * unit(client)
    before = pattern(length, 5)
    began = time.monotonic()
    client.write(at, before)
    delay_s = time.monotonic() - began
    t.need(delay_s > 0.2, f"--slow answers at once, after {delay_s:.2f} s")
    client.post(Cmd.WRITE, at, length, payload=b"\x55" * length)
    time.sleep(delay_s / 10)
    client.close()
    time.sleep(1.5 * delay_s)
    now = t.enter(uri).read(at, length)
    t.strict(now == before, "the WRITE of a connection that had ended was executed")
