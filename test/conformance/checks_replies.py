"""S: structured replies and extended headers."""
import struct

import wire
from client import Closed, Failed
from trial import check, pattern, same, unit
from wire import Chunk, Cmd, CmdFlag, Error, Flag, Opt, Rep

DF_BYTES = 64 * wire.KIB  # DF must work up to here.
TOO_LARGE = (Error.EINVAL, Error.EOVERFLOW)


def whole(t, reply):
    """Nothing of the reply breaks a rule of its form."""
    t.expect(not reply.violations, "; ".join(reply.violations[:3]))
    return reply


def data_and_hole(t, client):
    """128 KiB of data with 128 KiB of zeroes behind it; what they read as."""
    at, half = t.scratch(wire.MIB, client), 128 * wire.KIB
    client.write(at, pattern(half, 5))
    if client.export.offers(Flag.SEND_WRITE_ZEROES):
        client.succeeds(Cmd.WRITE_ZEROES, at + half, half)
    else:
        client.write(at + half, bytes(half))
    return at, pattern(half, 5) + bytes(half)


@check("S1", "STRUCTURED_REPLY: ACK; a second: ERR_INVALID or ACK; with data: ERR_INVALID")
def negotiate(t):
    client = t.hello()
    answer = client.option(Opt.STRUCTURED_REPLY, b"x")
    t.need(answer.last != Rep.ERR_UNSUP, "structured replies are not offered")
    t.should(answer.last == Rep.ERR_INVALID, f"with data: ERR_INVALID expected, {answer} came")
    answer = client.option(Opt.STRUCTURED_REPLY)
    t.expect(answer.last == Rep.ACK or not t.warnings and answer.is_error(),
             f"ACK expected, {answer} came")
    client = t.hello()
    t.agree(client, Opt.STRUCTURED_REPLY)
    answer = client.option(Opt.STRUCTURED_REPLY)
    t.expect(answer.last in (Rep.ACK, Rep.ERR_INVALID),
             f"second: ACK or ERR_INVALID expected, {answer} came")


@check("S2", "READ comes as chunks, the last with DONE, and none after")
def chunked_read(t):
    client = t.enter(structured=True)
    reply = whole(t, client.ask(Cmd.READ, 0, 64 * wire.KIB))
    t.expect(reply.form == "structured" and reply.error == 0,
             f"success in chunks expected, {reply} came")
    came = client.quiet(0.3)
    t.expect(came == b"", f"after DONE came {came[:32].hex(' ')}")


@check("S3", "an invalid READ comes as an error chunk, never as a simple reply")
def invalid_read(t):
    client = t.enter(structured=True)
    for what, offset, flags in (("past the end", client.export.size, 0),
                                ("with bit 15 set", 0, 0x8000)):
        reply = t.refuses(client, (Error.EINVAL,), f"READ {what}", Cmd.READ, offset, unit(client),
                          flags)
        if reply:
            whole(t, reply)
            t.expect(reply.form == "structured", f"READ {what}: a chunk expected, {reply} came")


@check("S4", "the chunks of a READ tile it exactly, and hold what was written")
def tiles(t):
    client = t.enter(structured=True)
    at, data = data_and_hole(t, client)
    step = unit(client)
    for start, length in ((0, len(data)), (step, len(data) - 2 * step),
                          (127 * wire.KIB // step * step, step)):
        reply = whole(t, client.ask(Cmd.READ, at + start, length))
        t.expect(reply.data == data[start:start + length], f"wrong data at {at + start}")


@check("S5", "areas of zeroes come as OFFSET_HOLE of length 12, none of size 0")
def holes(t):
    client = t.enter(structured=True)
    at, data = data_and_hole(t, client)
    reply = whole(t, client.ask(Cmd.READ, at, len(data)))
    t.expect(reply.data == data, "wrong data")
    kinds = {piece.kind for piece in reply.content()}
    t.need(Chunk.OFFSET_HOLE in kinds, "it sends no holes")


@check("S6", "a DF READ of 64 KiB over data and a hole: one content chunk, OFFSET_DATA")
def unfragmented(t):
    client = t.enter(structured=True)
    t.need(client.export.offers(Flag.SEND_DF), "DF is not offered")
    at, data = data_and_hole(t, client)
    start = 96 * wire.KIB
    reply = whole(t, client.ask(Cmd.READ, at + start, DF_BYTES, CmdFlag.DF))
    t.expect(reply.error == 0, f"success expected, {reply} came")
    kinds = [piece.kind for piece in reply.content()]
    t.expect(kinds == [Chunk.OFFSET_DATA], f"one OFFSET_DATA expected, types {kinds} came")
    t.expect(reply.data == data[start:start + DF_BYTES], "wrong data")


@check("S7", "a large DF READ: EOVERFLOW without content, or one chunk; alive")
def unfragmented_large(t):
    client = t.enter(structured=True)
    t.need(client.export.offers(Flag.SEND_DF), "DF is not offered")
    length = min(client.export.size,
                 client.export.payload_bytes_max()) // unit(client) * unit(client)
    reply = whole(t, t.survives(client, "DF READ", Cmd.READ, 0, length, CmdFlag.DF))
    if reply.error:
        t.should(reply.error == Error.EOVERFLOW, f"EOVERFLOW or success expected, {reply} came")
        t.expect(not reply.content(), "content chunks came with the error")
    else:
        t.expect(len(reply.content()) == 1, f"{len(reply.content())} content chunks came")
    t.alive(client)


@check("S8", "DF that was not offered: EINVAL, alive")
def df_not_offered(t):
    client = t.enter()
    t.need(not client.export.offers(Flag.SEND_DF), "DF is offered")
    t.refuses(client, (Error.EINVAL,), "READ with DF", Cmd.READ, 0, unit(client), CmdFlag.DF)


@check("S9", "error chunks: length and message fit, error not 0, DONE at the end")
def error_chunks(t):
    client = t.enter(structured=True)
    length = unit(client)
    for command, offset, flags, payload in ((Cmd.READ, client.export.size, 0, b""), (42, 0, 0, b""),
                                            (Cmd.WRITE, client.export.size, 0, bytes(length)),
                                            (Cmd.FLUSH, 0, 0x8000, b"")):
        reply = t.survives(client, f"invalid command {command}", command, offset,
                           0 if command == Cmd.FLUSH else length, flags, payload)
        whole(t, reply)
        t.expect(reply.error in list(Error), f"error {reply.error} is none that a reply may carry")
        t.strict(reply.form == "simple" or reply.message,
                 f"command {command}: an error without text")


# Extended headers

def extended(t, **more):
    return t.enter(extended=True, **more)


@check("S10", "EXTENDED_HEADERS refused: ERR_UNSUP, and structured replies still negotiable")
def extended_refused(t):
    client = t.hello()
    answer = client.option(Opt.EXTENDED_HEADERS)
    t.need(answer.last != Rep.ACK, "extended headers are offered")
    t.expect(answer.is_error(), f"an error expected, {answer} came")
    t.should(answer.last == Rep.ERR_UNSUP, f"ERR_UNSUP expected, {answer} came")
    answer = client.option(Opt.STRUCTURED_REPLY)
    t.expect(answer.last is not None, f"an answer to STRUCTURED_REPLY expected, {answer}")


@check("S11", "extended: every reply, WRITE included, is extended and repeats the request's offset")
def extended_replies(t):
    client = extended(t)
    at, step = t.scratch(wire.MIB, client), unit(client)
    requests = [(Cmd.WRITE, at, step, 0, pattern(step, 11)), (Cmd.READ, at, step),
                (Cmd.READ, client.export.size, step), (42, at, step), (Cmd.READ, at, step, 0x8000)]
    if client.export.offers(Flag.SEND_FLUSH):
        requests.append((Cmd.FLUSH,))
    for asked in requests:
        reply = whole(t, client.ask(*asked))
        t.expect(reply.form == "extended",
                 f"command {asked[0]}: an extended reply expected, {reply} came")
    same(client, at, pattern(step, 11), "after an extended WRITE")


@check("S12", "extended, then STRUCTURED_REPLY: an error, and extended headers stay in force")
def extended_then_structured(t):
    client = t.hello()
    answer = client.option(Opt.EXTENDED_HEADERS, b"x")
    t.need(answer.last != Rep.ERR_UNSUP, "extended headers are not offered")
    t.should(answer.last == Rep.ERR_INVALID, f"with data: ERR_INVALID expected, {answer} came")
    t.agree(client, Opt.EXTENDED_HEADERS)
    answer = client.option(Opt.STRUCTURED_REPLY)
    t.expect(answer.is_error(), f"an error expected, {answer} came")
    t.strict(answer.last == Rep.ERR_EXT_HEADER_REQD, f"ERR_EXT_HEADER_REQD expected, {answer} came")
    client.terms.extended = True
    client.go()
    t.alive(client)


@check("S13", "extended, READ with a payload: payload consumed, EINVAL, alive")
def extended_read_payload(t):
    client = extended(t)
    for command in (Cmd.READ, Cmd.FLUSH, 42):
        # What follows looks like a request: it must not be taken for one.
        payload = wire.request(Cmd.DISC, 0, 0, 0, extended=True)
        reply = t.refuses(client, (Error.EINVAL,), f"command {command} with PAYLOAD_LEN", command,
                          0,
                          len(payload), 0, payload)
        if reply:
            whole(t, reply)
    client = extended(t)
    client.send(wire.request(Cmd.WRITE, 0, unit(client), 1, 0, extended=True))
    t.strict(client.closes(2), "WRITE without PAYLOAD_LEN: the connection was not closed")


@check("S14", "extended: WRITE_ZEROES and TRIM of 5 GiB in one request on a 6 GiB export")
def extended_lengths(t):
    client = extended(t)
    length = 5 * wire.GIB
    at = t.scratch(length, client)
    t.patient(client)
    client.write(at + length - unit(client), pattern(unit(client), 14))
    for command, flag in ((Cmd.TRIM, Flag.SEND_TRIM), (Cmd.WRITE_ZEROES, Flag.SEND_WRITE_ZEROES)):
        if not client.export.offers(flag):
            continue
        reply = whole(t, t.survives(client, f"{flag.name} of 5 GiB", command, at, length))
        t.expect(reply.error in (0, *TOO_LARGE), f"{flag.name}: success expected, {reply} came")
        t.strict(reply.error == 0, f"{flag.name} of 5 GiB: success expected, {reply} came")
        if command == Cmd.WRITE_ZEROES and reply.error == 0:
            same(client, at + length - unit(client), bytes(unit(client)), "after WRITE_ZEROES")
    t.alive(client)


@check("S15", "extended, then EXPORT_NAME: closed")
def extended_export_name(t):
    client = t.hello()
    t.agree(client, Opt.EXTENDED_HEADERS)
    client.send(wire.option(Opt.EXPORT_NAME, client.name))
    try:
        came = client.rest()
    except Failed as open_still:
        t.strict(False, str(open_still))
    else:
        t.strict(came == b"", f"{len(came)} bytes came first")


@check("S16", "the other form's request magic after negotiation: closed")
def other_magic(t):
    client = t.enter()
    client.send(struct.pack(">IHHQQQ", wire.EXTENDED_REQUEST, 0, Cmd.READ, 7, 0, unit(client)))
    t.strict(client.closes(3), "an extended request was not refused by closing")
    try:
        client = extended(t)
    except Closed as error:
        raise Failed(f"extended headers: {error}") from error
    client.send(wire.request(Cmd.READ, 0, unit(client), 7))
    client.send(bytes(8))
    t.strict(client.closes(3), "a compact request was not refused by closing")
