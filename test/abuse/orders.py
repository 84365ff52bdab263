"""Cases 15 to 18: options in every order, and TLS where there is none."""
import itertools
import struct
import time

from handshake import expect_deadline
from lib import expect
from registry import case
from wire import *  # pylint: disable=wildcard-import,unused-wildcard-import

CONTEXT = b"base:allocation"
# Two exports, so that a context may be set for one and the other be entered.
STEPS = {
    "structured": option(OPT_STRUCTURED), "extended": option(OPT_EXTENDED),
    "set calm": meta(b"calm", (CONTEXT,)), "set gate": meta(b"gate", (CONTEXT,)),
    "set bad": meta(b"nope", (CONTEXT,)), "list": option(OPT_LIST),
    "list contexts": meta(b"calm", (), OPT_LIST_META), "starttls": option(OPT_STARTTLS),
    "info": go(b"gate", (3,), OPT_INFO), "go calm": go(b"calm"), "go bad": go(b"nope"),
    "name": option(OPT_EXPORT_NAME, b"calm"), "abort": option(OPT_ABORT), "unknown": option(4711),
}
EXTENDED_REQUEST, EXTENDED_CHUNK = 0x21E41C71, 0x6E8A278C


class Expected:
    """What a server may say to each step, by what has gone before."""

    def __init__(self):
        self.structured = self.extended = False
        self.context = None  # Of this export.

    def finals(self, step):
        """The replies that may end this step; None: it may close."""
        chosen = self.structured or self.extended
        return {
            "structured": {ERR_EXTENDED, ERR_INVALID} if self.extended else
                          {ERR_INVALID} if self.structured else {ACK},
            "extended": {ERR_INVALID} if self.extended else {ACK, ERR_UNSUP},
            "set calm": {ACK} if chosen else {ERR_INVALID},
            "set gate": {ACK} if chosen else {ERR_INVALID},
            "set bad": {ERR_UNKNOWN} if chosen else {ERR_INVALID},
            "list": {ACK}, "list contexts": {ACK, ERR_INVALID},
            "starttls": {ERR_UNSUP, ERR_POLICY}, "info": {ACK}, "go calm": {ACK},
            "go bad": {ERR_UNKNOWN}, "name": {None}, "abort": {ACK}, "unknown": {ERR_UNSUP},
        }[step]

    def take(self, step, final, contexts):
        """Notes what the answer means."""
        self.structured |= step == "structured" and final == ACK
        self.extended |= step == "extended" and final == ACK
        if step.startswith("set"):
            self.context = step[4:].encode() if final == ACK and contexts else None


def answer(peer, number):
    """(final reply, contexts) of one option."""
    contexts = 0
    while True:
        echoed, kind, data = peer.option_reply()
        expect(echoed == number, f"option {number} is answered as {echoed}")
        expect(kind != ACK or not data, "an ACK has data")
        expect(kind in (ACK, SERVER, INFO, META) or kind > ERROR, f"a reply of type {kind:#x}")
        contexts += kind == META
        if kind == ACK or kind > ERROR:
            return kind, contexts


def chunks(peer, extended):
    """(what follows magic and flags is) [(type, payload)] of one structured reply."""
    found = []
    while True:
        if extended:
            magic, flags, kind, _, _, length = struct.unpack(">IHHQQQ", peer.receive(32))
        else:
            magic, flags, kind, _, length = struct.unpack(">IHHQI", peer.receive(20))
        expect(magic == (EXTENDED_CHUNK if extended else CHUNK), f"a reply of magic {magic:#x}")
        found.append((kind, peer.receive(length)))
        if flags & 1:
            return found


def in_transmission(peer, state):
    """A READ is answered in the form agreed; BLOCK_STATUS only for the export of the context."""
    def say(command, length):
        if state.extended:
            peer.send(struct.pack(">IHHQQQ", EXTENDED_REQUEST, 0, command, 7, FRONT, length))
        else:
            peer.send(request(command, FRONT, length))
    say(READ, 512)
    if state.structured or state.extended:
        expect(any(kind in (1, 2) for kind, _ in chunks(peer, state.extended)), "a READ fails")
    else:
        expect(peer.reply()[0] == 0, "a READ fails")
        peer.receive(512)
    say(BLOCK_STATUS, 4096)
    if state.structured or state.extended:
        kind, data = chunks(peer, state.extended)[0]
        error = struct.unpack(">I", data[:4])[0] if kind & 1 << 15 else 0
    else:
        error = peer.reply()[0]
    wanted = 0 if state.context == b"calm" else 22
    expect(error == wanted, f"BLOCK_STATUS is answered with {error}, context of {state.context}")


def play(attack, order):
    """One order of options, sent at once."""
    state = Expected()
    with attack.peer(hello=FLAGS + b"".join(STEPS[each] for each in order)) as peer:
        for at, step in enumerate(order, 1):
            if step == "name":
                break
            final, contexts = answer(peer, struct.unpack(">I", STEPS[step][8:12])[0])
            expect(final in state.finals(step), f"{step} is answered with {final:#x}")
            state.take(step, final, contexts)
            if step == "abort":
                return peer.expect_dropped("ABORT", b"")
            if step == "go calm":
                break
        else:
            return None
        if at < len(order):  # What follows was meant as options, and is no request.
            peer.send(bytes(28))
            return peer.expect_dropped("an option instead of a request")
        if step == "name" and state.extended:
            return peer.expect_dropped("EXPORT_NAME after EXTENDED_HEADERS", b"")
        if step == "name":
            peer.receive(10)
        in_transmission(peer, state)
    return None


@case(15, "options in every order of length 4")
def every_order(attack):
    orders = list(itertools.product(STEPS, repeat=4))
    if attack.quick:  # A part of them: the whole is for the long run.
        orders = orders[::29]
    for order in orders:
        try:
            play(attack, order)
        except Exception as error:
            raise type(error)(f"{', '.join(order)}: {error}") from error
    return f"{len(orders)} orders"


@case(16, "STARTTLS amid other options, with plaintext behind it, in one segment")
def plaintext_behind(attack):
    for _ in attack.rounds():
        peer = attack.peer(hello=FLAGS + option(OPT_STRUCTURED) + meta(b"calm", (CONTEXT,)) +
                           option(OPT_STARTTLS) + option(OPT_LIST) + go(b"calm"))
        with peer:
            expect(answer(peer, OPT_STRUCTURED)[0] == ACK, "STRUCTURED_REPLY is refused")
            expect(answer(peer, OPT_SET_META)[0] == ACK, "SET_META_CONTEXT is refused")
            kind = answer(peer, OPT_STARTTLS)[0]
            expect(kind in (ERR_UNSUP, ERR_POLICY), f"STARTTLS is answered with {kind:#x}")
            expect(answer(peer, OPT_LIST)[0] == ACK, "LIST behind STARTTLS: out of sync")
            expect(answer(peer, OPT_GO)[0] == ACK, "GO behind STARTTLS: out of sync")
            peer.send(request(READ, FRONT, 512))
            expect(chunks(peer, False)[0][0] in (1, 2), "structured replies are off")
    return "without TLS: refused, in sync"


@case(17, "every option before STARTTLS")
def before_tls(attack):
    for _ in attack.rounds():
        with attack.peer() as peer:
            for step, data in STEPS.items():
                if step in ("abort", "name", "go calm", "extended"):
                    continue
                kind = peer.ask(data)
                expect(kind != ERR_TLS_REQD, f"{step}: TLS is required, and there is none")
            peer.enter(b"calm")
    return "without TLS: it is never asked for"


@case(18, "stalls, or sends rubbish, where a TLS handshake would be", waits="deadline")
def no_tls(attack):
    began = time.monotonic()
    stalls = attack.peer(hello=FLAGS + option(OPT_STARTTLS))
    for rubbish in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), b"\xff" * 500):
        with attack.peer() as peer:
            expect(peer.ask(option(OPT_STARTTLS)) in (ERR_UNSUP, ERR_POLICY), "STARTTLS")
            peer.send(rubbish)
            peer.expect_dropped("rubbish", b"")
    expect(stalls.option_reply()[1] in (ERR_UNSUP, ERR_POLICY), "STARTTLS")
    return "without TLS: " + expect_deadline(began, "a peer that stalls", [stalls])
