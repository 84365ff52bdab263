"""H: greeting, flags and options."""
import struct
import time

import wire
from client import Closed, Failed
from trial import check, usable
from wire import Info, Opt, Rep, name_of

HANDSHAKE_LIMIT_S = 15  # dmnbd's is 10 s.


@check("H1", "greeting is 18 bytes: both magics and flags 0x0003")
def greeting(t):
    client = t.dial().greeting()
    t.expect(client.offered & ~3 == 0, f"handshake flags {client.offered:#x}: unknown ones are set")
    t.strict(client.offered == 3, f"handshake flags {client.offered:#x} instead of 0x3")


@check("H2", "nothing more arrives until the client flags are sent")
def silent_server(t):
    came = t.dial().greeting().quiet(0.5)
    t.expect(came == b"", f"{came.hex(' ')} came before the client's flags")


@check("H3", "client flags 0x3, 0x1, 0x2, 0x0 are each accepted")
def client_flags(t):
    offered = t.dial().greeting().offered
    for flags in (3, 1, 2, 0):
        if flags & ~offered:
            continue
        client = t.dial().hello(flags)
        if flags & wire.FIXED_NEWSTYLE:
            usable(client, f"client flags {flags:#x}")
        elif not t.subject.address.tls:
            client.send(wire.option(Opt.EXPORT_NAME, client.name))
            client.receive(10, f"with client flags {flags:#x}, the export")


@check("H4", "an unknown client flag closes the connection")
def unknown_client_flag(t):
    for flags in (0x7, 0x10000, 0x80000003):
        client = t.dial().hello(flags)
        t.expect(client.closes(), f"client flags {flags:#x}: the connection was not closed")


def export_name(t, flags):
    """EXPORT_NAME, then a READ; the bytes before its reply."""
    client = t.hello(flags=flags)
    client.send(wire.option(Opt.EXPORT_NAME, client.name))
    head = client.receive(10, "the reply to EXPORT_NAME")
    client.export = wire.Export(*struct.unpack(">QH", head))
    return client


@check("H5", "with NO_ZEROES the EXPORT_NAME reply is 10 bytes, then transmission")
def export_name_short(t):
    t.need(t.dial().greeting().offered & wire.NO_ZEROES, "NO_ZEROES is not offered")
    client = export_name(t, 3)
    t.expect(client.export.flags & 1, "HAS_FLAGS is not set")
    client.read(0, 4096)


@check("H6", "without NO_ZEROES the EXPORT_NAME reply is 134 bytes, the last 124 zero")
def export_name_long(t):
    client = export_name(t, 1)
    padding = client.receive(124, "the zeroes after EXPORT_NAME")
    t.expect(padding == bytes(124), "the padding is not zero")
    client.read(0, 4096)


@check("H7", "client flags 0, then LIST: no option reply is sent")
def unfixed_list(t):
    client = t.dial().hello(0)
    client.send(wire.option(Opt.LIST))
    came = client.quiet(2)
    t.strict(came == b"", f"a client that can't read it was sent {came[:20].hex(' ')}")


@check("H8", "an option with a wrong magic closes the connection")
def wrong_option_magic(t):
    client = t.hello()
    client.send(struct.pack(">QII", wire.IHAVEOPT ^ 1, Opt.LIST, 0))
    t.strict(client.closes(), "the connection was not closed")


@check("H9", "EXPORT_NAME of an unknown export: closed without a byte")
def export_name_unknown(t):
    name = t.unknown_name()
    client = t.hello()
    client.send(wire.option(Opt.EXPORT_NAME, name))
    came = client.rest()
    t.expect(came == b"", f"{len(came)} bytes came: {came[:20].hex(' ')}")


@check("H10", "EXPORT_NAME with the empty name opens the default export")
def export_name_default(t):
    client = t.hello()
    client.send(wire.option(Opt.EXPORT_NAME))
    try:
        head = client.receive(10)
    except Closed:
        t.need(False, "there is no default export")
    t.expect(struct.unpack(">QH", head)[1] & 1, "HAS_FLAGS is not set")


@check("H11", "EXPORT_NAME with 4097 bytes: closed, the server lives")
def export_name_too_long(t):
    client = t.hello()
    client.send(wire.option(Opt.EXPORT_NAME, b"x" * (wire.STRING_BYTES_MAX + 1)))
    came = client.rest()
    t.expect(came == b"", f"{len(came)} bytes came: {came[:20].hex(' ')}")
    t.hello().go()


@check("H12", "an unknown option with 0, 1 and 5000 bytes: ERR_UNSUP, the option echoed")
def unknown_option(t):
    for count in (0, 1, 5000):
        client = t.hello()
        answer = client.option(0x7777, bytes(count))
        t.expect(answer.last == Rep.ERR_UNSUP and not answer.replies,
                 f"with {count} bytes: ERR_UNSUP expected, {answer} came")


@check("H13", "after an unknown option, LIST on the same connection works")
def list_after_unknown(t):
    client = t.hello()
    client.option(0x7777, bytes(5000))
    answer = client.option(Opt.LIST)
    t.expect(answer.last is not None, f"an answer to LIST expected, {answer}")


@check("H14", "PEEK_EXPORT: ERR_UNSUP")
def peek_export(t):
    answer = t.hello().option(Opt.PEEK_EXPORT, b"")
    t.expect(answer.last == Rep.ERR_UNSUP, f"ERR_UNSUP expected, {answer} came")


@check("H15", "ABORT, also with 10 bytes of data: ACK, then the end")
def abort(t):
    for data in (b"", bytes(10)):
        client = t.hello()
        answer = client.option(Opt.ABORT, data)
        judge = t.should if data else t.expect
        if judge(answer.last == Rep.ACK, f"with {len(data)} bytes: ACK expected, {answer} came"):
            t.expect(not data or answer.message == b"", "the ACK has data")
        if answer.last == Rep.ACK:
            t.strict(client.closes(), "the connection was not closed after ABORT")


@check("H16", "ABORT and an immediate close by the client: no error in the server's log")
def abort_and_close(t):
    t.need(t.options.log, "needs --log FILE of the server")
    with open(t.options.log, "rb") as log:
        log.seek(0, 2)
        for _ in range(5):
            client = t.hello()
            client.send(wire.option(Opt.ABORT))
            client.close()
        time.sleep(0.5)
        lines = log.read().decode(errors="replace").lower().splitlines()
    bad = [line for line in lines if "error" in line or "warn" in line]
    t.strict(not bad, f"the log says: {bad[:1]}")


def listing(t, client):
    answer = client.option(Opt.LIST)
    t.need(answer.last != Rep.ERR_POLICY, "listing is disabled (ERR_POLICY)")
    return answer


@check("H17", "LIST: one SERVER reply for each export, then ACK with length 0")
def list_exports(t):
    client = t.hello()
    answer = listing(t, client)
    t.expect(answer.last == Rep.ACK and answer.message == b"",
             f"an empty ACK expected, {answer} came")
    servers = answer.servers()
    t.expect(all(kind == Rep.SERVER for kind, _ in answer.replies),
             "other replies than SERVER came")
    t.expect(None not in servers, "a SERVER reply's name is longer than the reply")
    found = [name for name, _ in servers]
    t.expect(len(found) == len(set(found)), f"a name is there twice: {found}")
    for name in (t.options.second_export,):
        t.expect(name is None or name.encode() in found, f"{name} is not in the list: {found}")


@check("H18", "LIST with 1 byte of data: ERR_INVALID, the connection usable")
def list_with_data(t):
    client = t.hello()
    answer = client.option(Opt.LIST, b"x")
    t.should(answer.last == Rep.ERR_INVALID, f"ERR_INVALID expected, {answer} came")
    usable(client, "LIST with data")


@check("H19", "LIST and INFO tell an export's description")
def description(t):
    t.need(t.options.description, "needs --description TEXT of the export")
    client = t.hello()
    told = dict(filter(None, listing(t, client).servers())).get(client.name)
    wanted = t.options.description.encode()
    t.expect(told == wanted, f"LIST: {wanted} expected, {told} came")
    info = dict(client.info((Info.DESCRIPTION,)).infos()).get(Info.DESCRIPTION)
    t.expect(info == wanted, f"INFO: {wanted} expected, {info} came")


@check("H20", "a handshake of one byte at a time, 50 ms apart, succeeds")
def slow_handshake(t):
    client = t.dial().greeting()
    if t.subject.address.tls:
        t.need(False, "for plaintext; TLS records are not cut")
    flags = struct.pack(">I", client.offered & 3)
    for byte in flags + wire.option(Opt.GO, wire.info_data(client.name)):
        client.send(bytes([byte]))
        time.sleep(0.05)
    kind = Rep.INFO
    while kind == Rep.INFO:
        kind, _ = client.option_reply(Opt.GO)
    t.expect(kind == Rep.ACK, f"GO should be granted, {name_of(Rep, kind)} came")


@check("H21", "silence after the greeting is ended by a handshake limit")
def handshake_limit(t):
    t.strict(t.dial().greeting().closes(HANDSHAKE_LIMIT_S),
             f"still open after {HANDSHAKE_LIMIT_S} s")


@check("H22", "an option of 4 GiB - 1 is cut off at once, memory does not grow")
def huge_option(t):
    client = t.hello()
    before = t.subject.resident_bytes() if t.options.pid else 0
    client.send(wire.option(0x7777, bytes(65536), 0xFFFFFFFF))
    t.strict(client.closes(3), "the connection was not closed")
    if t.options.pid:
        grown = t.subject.resident_bytes() - before
        t.strict(grown < 64 * wire.MIB, f"the server grew by {grown // wire.MIB} MiB")


@check("H23", "10,000 LISTs in one handshake are cut off")
def many_lists(t):
    client = t.hello()
    for count in range(10_000):
        if client.option(Opt.LIST).last is None:
            t.notes.append(f"cut off after {count}")
            return
    t.strict(False, "all of them were answered")


@check("H24", "error replies are text: valid UTF-8, not empty, under 4096 bytes")
def error_texts(t):
    for number, data in ((0x7777, b""), (Opt.LIST, b"x"), (Opt.INFO, b""),
                         (Opt.INFO, wire.info_data(b"\xc3\xa9" * 2048))):
        try:
            answer = t.hello().option(number, data)
        except Failed:
            continue  # No answer: that is for other checks.
        if not answer.is_error():
            continue
        try:
            text = answer.message.decode()
        except UnicodeDecodeError as error:
            raise Failed(f"{answer.message[:40]} is not UTF-8") from error
        t.expect(len(answer.message) <= wire.STRING_BYTES_MAX, "a text of more than 4096 bytes")
        t.strict(0 < len(text) and len(answer.message) < wire.STRING_BYTES_MAX,
                 f"{name_of(Rep, answer.last)} without a text, or with one of 4096 bytes")
        t.expect("\0" not in text, "a NUL in the text")
