"""Cases 23, 24 and 35: who makes the server keep what it has."""
import time

from lib import expect, wait_until
from registry import case
from wire import *  # pylint: disable=wildcard-import,unused-wildcard-import

STALL_S = 30
TIGHT_BYTES = 192 * MIB  # Three quarters of a shard's buffers.
LATE_S = 6


def buffer_bytes(attack):
    return attack.metric("dmnbd_buffer_bytes")


def at_their_cap(attack):
    return sum((each["export"], each["in_flight"]) == ("gate", 128) for each in attack.clients())


def expect_stall(attack, began, what, peers):
    for peer in peers:
        peer.socket.settimeout(3 * STALL_S)
        peer.expect_dropped(what)
    took = time.monotonic() - began
    expect(STALL_S - 1 < took and (attack.shared or took < STALL_S + LATE_S),
           f"{what}: closed after {took:.1f} s")
    return f"closed after {took:.1f} s"


@case(23, "WRITE header, then no payload, or some of it", grows_mib=None, waits="payload")
def no_payload(attack):
    headers = [attack.peer(b"calm") for _ in range(8)]
    before = buffer_bytes(attack)
    for peer in headers:
        peer.send(request(WRITE, FRONT, 32 * MIB))
    time.sleep(0.5)
    grown = buffer_bytes(attack) - before
    expect(attack.shared or grown < MIB, f"headers alone cost {grown / MIB:.0f} MiB")
    began = time.monotonic()
    some = [attack.peer(b"calm") for _ in range(8)]
    for peer in some:
        peer.send(request(WRITE, FRONT, 32 * MIB) + b"x" * 100)
    # The seventh and eighth find no room, and are not to blame for that.
    wait_until(lambda: buffer_bytes(attack) >= TIGHT_BYTES, 5, "the buffers are tight")
    expect(all(not peer.has_ended() for peer in headers), "closed before its time")
    said = expect_stall(attack, began, "a payload that does not come", headers)
    if not attack.shared:
        wait_until(lambda: buffer_bytes(attack) < TIGHT_BYTES, STALL_S + LATE_S, "free buffers")
    for peer in some:
        peer.close()
    return f"headers cost {grown / KIB:.0f} KiB; {said}"


@case(24, "many READs, and never reads the replies", grows_mib=None, waits="replies")
def never_reads(attack):
    """By unix sockets: over TCP a peer that takes nothing for 20 s counts as vanished [O-2]."""
    began = time.monotonic()
    peers = [attack.peer(b"calm", unix=True) for _ in range(16)]
    for peer in peers:
        peer.send(request(READ, 0, 32 * MIB) * 64)
    wait_until(lambda: buffer_bytes(attack) >= TIGHT_BYTES, 5, "the buffers are tight")
    expect(buffer_bytes(attack) <= 256 * MIB, "more is kept than there is")
    # Those whose reads found no room wait for it, hold nothing, and are not to blame.
    closed, least = 0, 0 if attack.shared else 6  # Others may have taken the room.
    while closed < 6 and time.monotonic() < began + STALL_S + LATE_S:
        time.sleep(0.2)
        closed = sum(peer.has_ended() for peer in peers)
    took = time.monotonic() - began
    expect(took > STALL_S - 1, f"closed after {took:.1f} s already")
    expect(closed >= least, f"only {closed} are closed after {took:.0f} s")
    for peer in peers:
        peer.close()
    return f"at most 256 MiB kept; closed after {took:.1f} s"


@case(35, "a suspended device with every connection at its cap", grows_mib=None, waits="device")
def suspended(attack):
    attack.step("gate", "suspend", '{"flush":true}')
    hold_s = 34 if attack.quick else 60  # Either is longer than what closes those who stall.
    stalled = [attack.peer(b"calm") for _ in range(6)]
    for peer in stalled:  # So that there is a need to drop somebody.
        peer.send(request(WRITE, FRONT, 32 * MIB) + b"x")
    peers = [attack.peer(b"gate") for _ in range(8 if attack.quick else 64)]
    for number, peer in enumerate(peers):
        for i in range(128):
            at = area(35) + (number * 128 + i) % 4096 * 512
            peer.send(request(WRITE, at, 512, i) + bytes(512))
        peer.send(request(READ, FRONT, 512, 128))  # One more than may be in flight.
    wait_until(lambda: at_their_cap(attack) >= len(peers), 10,
               "every connection is at its cap")
    expect(buffer_bytes(attack) >= TIGHT_BYTES, "the buffers are not tight")
    time.sleep(hold_s)
    expect(attack.shared or all(peer.has_ended() for peer in stalled), "who stalls is still there")
    expect(at_their_cap(attack) >= len(peers),
           "connections of a suspended device have gone")
    attack.step("gate", "resume")
    for peer in peers:
        cookies = set()
        for _ in range(129):
            error, cookie = peer.reply()
            expect(error == 0, f"error {error}")
            cookies.add(cookie)
            if cookie == 128:
                peer.receive(512)
        expect(len(cookies) == 129, "not all were answered once")
        peer.close()
    return f"{len(peers)} connections, {129 * len(peers)} requests answered after {hold_s} s"
