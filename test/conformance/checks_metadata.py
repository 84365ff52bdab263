"""M: metadata contexts and block status."""
import contextlib
import struct

import wire
from client import Address, Closed
from trial import Skipped, check, pattern, unit
from wire import Cmd, CmdFlag, Error, Flag, HOLE, Opt, Rep, ZERO

ALLOCATION = b"base:allocation"
FRAGMENT_COUNT = 4000


def speaking(t, first=Opt.STRUCTURED_REPLY):
    """A client that has agreed on chunks, and a server that knows base:allocation."""
    client = t.hello()
    t.agree(client, first)
    client.terms.structured = first == Opt.STRUCTURED_REPLY
    answer = client.option(Opt.LIST_META_CONTEXT, wire.meta_data(client.name))
    t.need(answer.last == Rep.ACK and ALLOCATION in dict(map(reversed, answer.contexts())),
           f"base:allocation is not offered ({answer})")
    return client


def names_of(answer):
    return [name.decode(errors="replace") for _, name in answer.contexts()]


def status(t, client, offset, length, flags=0):
    """A BLOCK_STATUS that succeeds: the extents of its only context."""
    reply = client.ask(Cmd.BLOCK_STATUS, offset, length, flags)
    t.expect(reply.error == 0, f"BLOCK_STATUS of {length} at {offset} should succeed, {reply} came")
    t.expect(not reply.violations, "; ".join(reply.violations[:3]))
    t.expect(len(reply.extents) == len(client.terms.contexts),
             f"{len(reply.extents)} chunks came for {len(client.terms.contexts)} contexts")
    ids = [number for number, _ in reply.extents]
    t.expect(sorted(ids) == sorted(number for number, _ in client.terms.contexts),
             f"chunks of contexts {ids} came")
    return reply.extents[0][1]


def refused_status(t, client, what):
    """BLOCK_STATUS without a selection."""
    t.refuses(client, (Error.EINVAL,), f"BLOCK_STATUS {what}", Cmd.BLOCK_STATUS, 0, unit(client))


@check("M1", "LIST_META without a query: base:allocation, id 0, ACK")
def list_all(t):
    client = speaking(t)
    answer = client.option(Opt.LIST_META_CONTEXT, wire.meta_data(client.name))
    t.should(all(number == 0 for number, _ in answer.contexts()),
             f"ids in a LIST: {answer.contexts()}")
    t.expect(all(":" in name for name in names_of(answer)),
             f"a name without a colon: {names_of(answer)}")


@check("M2", "query \"base:\" lists in LIST, selects nothing in SET")
def wildcard(t):
    client = speaking(t)
    answer = client.option(Opt.LIST_META_CONTEXT, wire.meta_data(client.name, (b"base:",)))
    t.expect(answer.last == Rep.ACK and ALLOCATION.decode() in names_of(answer),
             f"LIST of base: should tell base:allocation, {answer} {names_of(answer)} came")
    answer = client.set_contexts((b"base:",))
    t.expect(answer.last == Rep.ACK and not answer.contexts(),
             f"SET of base: should select nothing, {answer} {names_of(answer)} came")


@check("M3", "query \"base:allocation\" in SET: one reply, also if it is there twice")
def select(t):
    client = speaking(t)
    for queries in ((ALLOCATION,), (ALLOCATION, ALLOCATION)):
        answer = client.set_contexts(queries)
        t.expect(answer.last == Rep.ACK and names_of(answer) == [ALLOCATION.decode()],
                 f"{len(queries)} queries: one context expected, {answer} {names_of(answer)} came")


@check("M4", "an unknown leaf or namespace: no reply line, ACK")
def select_unknown(t):
    client = speaking(t)
    for query in (b"base:nothing-of-this-name", b"x-nobody:here", b"x-nobody:"):
        for number in (Opt.LIST_META_CONTEXT, Opt.SET_META_CONTEXT):
            answer = client.option(number, wire.meta_data(client.name, (query,)))
            t.expect(answer.last == Rep.ACK and not answer.contexts(),
                     f"{query.decode()}: an ACK alone expected, {answer} {names_of(answer)} came")


@check("M5", "a query length past the end, a count of 2^32-1 without data: ERR_INVALID")
def bad_lengths(t):
    for number in (Opt.LIST_META_CONTEXT, Opt.SET_META_CONTEXT):
        for tail in (struct.pack(">II", 1, 100) + b"base:", struct.pack(">I", 0xFFFFFFFF)):
            client = speaking(t)
            answer = client.option(number, wire.string(client.name) + tail)
            t.expect(answer.last in (Rep.ERR_INVALID, Rep.ERR_TOO_BIG, None),
                     f"ERR_INVALID expected, {answer} came")
            t.should(answer.last == Rep.ERR_INVALID, f"ERR_INVALID expected, {answer} came")


@check("M6", "SET before structured replies: ERR_INVALID")
def set_too_early(t):
    speaking(t)
    client = t.hello()
    answer = client.set_contexts((ALLOCATION,))
    t.should(answer.last in (Rep.ERR_INVALID, Rep.ERR_EXT_HEADER_REQD),
             f"ERR_INVALID expected, {answer} came")
    if answer.last is not None:
        client.go()
        refused_status(t, client, "without structured replies")


@check("M7", "SET on one export, GO on another: BLOCK_STATUS gives EINVAL")
def other_export(t):
    t.need(t.options.second_export is not None, "needs --second-export NAME")
    client = speaking(t)
    t.expect(client.set_contexts((ALLOCATION,)).contexts(), "base:allocation was not selected")
    client.go(name=t.options.second_export.encode())
    refused_status(t, client, "on another export than SET's")


@check("M8", "a failing SET drops the selection that was there")
def failed_set(t):
    client = speaking(t)
    t.expect(client.set_contexts((ALLOCATION,)).contexts(), "base:allocation was not selected")
    answer = client.option(Opt.SET_META_CONTEXT,
                           wire.string(client.name) + struct.pack(">II", 1, 100))
    t.need(answer.last is not None, "a malformed SET closes the connection")
    t.expect(answer.is_error(), f"an error expected, {answer} came")
    client.terms.contexts = ()
    client.go()
    refused_status(t, client, "after a failed SET")


@check("M9", "STARTTLS after SET: selection and structured replies are gone")
def forgotten_at_starttls(t):
    uri = t.encrypted()
    client = t.dial(uri).hello()
    client.option(Opt.STRUCTURED_REPLY)
    client.set_contexts((ALLOCATION,))
    client.starttls(t.subject.tls_context(), Address(uri).host)
    client.go()
    reply = client.ask(Cmd.READ, 0, unit(client))
    t.expect(reply.form == "simple", f"a simple reply to READ expected, {reply} came")
    refused_status(t, client, "after STARTTLS")


def walk(t, client, offset, length, flags=0):
    """The extents that cover a range, by as many requests as it takes: (offset, length, status)."""
    found, at, end = [], offset, offset + length
    while at < end:
        extents = status(t, client, at, end - at, flags)
        for number, (extent, bits) in enumerate(extents):
            t.expect(extent > 0, f"an extent of length 0 at {at}")
            t.expect(at < end or number == 0,
                     f"an extent begins at {at}, behind the request's end {end}")
            t.expect(at + extent <= client.export.size, f"an extent ends behind the export's end")
            found.append((at, extent, bits))
            at += extent
    return found


def mixed(t, client, count=8):
    """Data and zeroes in turn, each 64 KiB; where they are."""
    step = 64 * wire.KIB
    at = t.scratch(count * step, client)
    client.write(at, pattern(count * step, 10))
    if client.export.offers(Flag.SEND_WRITE_ZEROES):
        for index in range(1, count, 2):
            client.succeeds(Cmd.WRITE_ZEROES, at + index * step, step)
    return at, count * step


def status_client(t):
    return t.enter(structured=True, contexts=(ALLOCATION,))


@check("M10", "BLOCK_STATUS: extents follow one another from the offset, none of length 0")
def consecutive(t):
    clients = [status_client(t)]
    with contextlib.suppress(Skipped):
        clients.append(t.enter(extended=True, contexts=(ALLOCATION,)))
    for client in clients:
        if t.options.writable:
            at, length = mixed(t, client)
            walk(t, client, at + unit(client), length - unit(client))
        size = client.export.size
        walk(t, client, 0, min(size, wire.GIB) // unit(client) * unit(client))
        walk(t, client, size // unit(client) * unit(client) - unit(client), unit(client))


@check("M11", "only the last extent may cross the request's end")
def crossing(t):
    client = status_client(t)
    at, length = mixed(t, client)
    for part in range(unit(client), length, 24 * wire.KIB // unit(client) * unit(client)):
        extents = status(t, client, at, part)
        before = sum(extent for extent, _ in extents[:-1])
        t.expect(before < part, f"{part} bytes asked, {before} told before the last extent")


@check("M12", "REQ_ONE: exactly one extent, no longer than the request")
def request_one(t):
    client = status_client(t)
    at, length = mixed(t, client) if t.options.writable else (0, unit(client))
    for part in (unit(client), length):
        extents = status(t, client, at, part, CmdFlag.REQ_ONE)
        t.expect(len(extents) == 1 and extents[0][0] <= part,
                 f"one extent of at most {part} expected, {extents[:3]} came")


@check("M13", "areas that are ZERO read as zeroes, written areas lose ZERO")
def truthful(t):
    client = status_client(t)
    at, length = mixed(t, client)
    for start, extent, bits in walk(t, client, at, length):
        t.should(bits & ~(HOLE | ZERO) == 0, f"unknown status bits {bits:#x} at {start}")
        piece = min(extent, at + length - start)
        if bits & ZERO:
            t.expect(not any(client.read(start, piece)), f"ZERO, but there is data at {start}")
    client.write(at, pattern(length, 13))
    for start, _, bits in walk(t, client, at, length):
        t.expect(not bits & ZERO, f"written, and still ZERO at {start}")
    walk(t, client, at, length)


@check("M14", "two contexts selected: one chunk each, DONE on the last")
def two_contexts(t):
    client = speaking(t)
    answer = client.option(Opt.LIST_META_CONTEXT, wire.meta_data(client.name))
    t.need(len(answer.contexts()) > 1, "it has one context only")
    client.set_contexts(tuple(name for _, name in answer.contexts()[:2]))
    t.expect(len(set(client.terms.contexts)) == 2,
             f"two contexts expected: {client.terms.contexts}")
    client.go()
    status(t, client, 0, unit(client))
    narrowed(t)


def narrowed(t):
    """With extended headers a request may name the contexts that it is for."""
    try:
        client = speaking(t, Opt.EXTENDED_HEADERS)
    except Skipped:
        return
    client.terms.extended = True
    answer = client.option(Opt.LIST_META_CONTEXT, wire.meta_data(client.name))
    client.set_contexts(tuple(name for _, name in answer.contexts()[:2]))
    client.go()
    if not client.export.offers(Flag.BLOCK_STATUS_PAYLOAD):
        return
    number, step = client.terms.contexts[1][0], unit(client)
    for ids in ((number,), (number, number), (0xFFFFFFF0,)):
        payload = struct.pack(f">Q{len(ids)}I", step, *ids)
        reply = client.ask(Cmd.BLOCK_STATUS, 0, step, payload=payload, claim=len(payload))
        if ids == (number,):
            t.expect([found for found, _ in reply.extents] == [number],
                     f"a chunk of context {number} expected, {reply} {reply.extents} came")
        else:
            t.expect(reply.error == Error.EINVAL, f"ids {ids}: EINVAL expected, {reply} came")
    t.alive(client)


@check("M15", "BLOCK_STATUS past the end, or of length 0: EINVAL, alive")
def bad_ranges(t):
    client, step = status_client(t), 0
    step = unit(client)
    for what, offset, length in (("at the end", client.export.size, step),
                                 ("over the end", client.export.size - step, 2 * step)):
        t.refuses(client, (Error.EINVAL,), what, Cmd.BLOCK_STATUS, offset, length)
    try:
        reply = client.ask(Cmd.BLOCK_STATUS, 0, 0)
    except Closed:
        t.should(False, "length 0: the connection was closed")
        return
    t.strict(reply.error == Error.EINVAL, f"length 0: EINVAL expected, {reply} came")
    t.alive(client)


@check("M16", f"{2 * FRAGMENT_COUNT} fragments: no chunk above 2^20 extents, and all is covered")
def fragmented(t):
    client = status_client(t)
    step = max(4096, client.export.minimum)
    length = 2 * FRAGMENT_COUNT * step
    at = t.scratch(length, client)
    t.need(client.export.offers(Flag.SEND_WRITE_ZEROES), "WRITE_ZEROES is not offered")
    client.succeeds(Cmd.WRITE_ZEROES, at, length)
    for index in range(0, FRAGMENT_COUNT, 50):
        for inner in range(index, index + 50):
            client.post(Cmd.WRITE, at + 2 * inner * step, step, payload=pattern(step, 16))
        for _ in range(50):
            t.expect(client.reply().error == 0, "a WRITE failed")
    found = walk(t, client, at, length)
    t.notes.append(f"{len(found)} extents")
    holes = [start for start, extent, bits in found for start in range(start, start + extent, step)
             if bits & ZERO and start < at + length]
    t.expect(not any((start - at) // step % 2 == 0 for start in holes), "data is called ZERO")
    client.succeeds(Cmd.WRITE_ZEROES, at, length)
