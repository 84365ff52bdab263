"""I: INFO and GO."""
import struct

import wire
from trial import check, usable
from wire import Cmd, Info, Opt, Rep, name_of


@check("I1", "GO without an info list: INFO_EXPORT of 12 bytes, then ACK")
def go_plain(t):
    client = t.hello()
    answer = client.info(number=Opt.GO)
    t.need(answer.last != Rep.ERR_BLOCK_SIZE_REQD, "the export insists on block sizes")
    t.expect(answer.last == Rep.ACK and answer.message == b"",
             f"an empty ACK expected, {answer} came")
    t.expect(answer.export() is not None, f"no well-formed INFO_EXPORT among {answer.replies}")


@check("I2", "GO asking for all infos: each at most once, EXPORT among them, ACK last")
def go_all(t):
    answer = t.hello().info((Info.NAME, Info.DESCRIPTION, Info.BLOCK_SIZE), number=Opt.GO)
    t.expect(answer.last == Rep.ACK, f"ACK expected, {answer} came")
    kinds = [kind for kind, _ in answer.infos()]
    t.should(len(kinds) == len(set(kinds)), f"infos came twice: {kinds}")
    t.expect(Info.EXPORT in kinds, f"no INFO_EXPORT: {kinds}")
    t.expect(all(kind == Rep.INFO for kind, _ in answer.replies), "other replies than INFO came")


@check("I3", "INFO asking for an unknown type: ignored, success")
def info_unknown_type(t):
    answer = t.hello().info((999, Info.BLOCK_SIZE))
    t.expect(answer.last == Rep.ACK, f"ACK expected, {answer} came")


@check("I4", "INFO, then GO with the same arguments: the same flags and size")
def info_then_go(t):
    client = t.hello()
    asked = (Info.BLOCK_SIZE, Info.NAME)
    first, second = client.info(asked), client.info(asked, number=Opt.GO)
    t.expect(first.last == second.last == Rep.ACK, f"ACK expected, {first} and {second} came")
    told, granted = ({name_of(Info, kind): data.hex() for kind, data in answer.infos()}
                     for answer in (first, second))
    t.expect(told == granted, f"INFO tells {told}, GO {granted}")


@check("I5", "INFO on an unknown export: ERR_UNKNOWN without INFO; then GO on a known one works")
def info_unknown_export(t):
    name = t.unknown_name()
    client = t.hello()
    for number in (Opt.INFO, Opt.GO):
        answer = client.info((Info.BLOCK_SIZE,), name, number)
        t.expect(answer.last in (Rep.ERR_UNKNOWN, Rep.ERR_TLS_REQD),
                 f"ERR_UNKNOWN expected, {answer} came")
        t.should(not answer.replies, "INFO replies came before the error")
    client.go()


@check("I6", "a name length beyond the data: ERR_INVALID, usable")
def info_long_length(t):
    for length in (100, 0xFFFFFFFF, 3):
        client = t.hello()
        t.rejected(client, Opt.INFO, struct.pack(">I", length) + bytes(4),
                   f"a name length of {length} in 8 bytes")


@check("I7", "an info count that does not match the data, either way: ERR_INVALID")
def info_count(t):
    for count, types in ((2, 1), (0, 1), (0xFFFF, 1)):
        client = t.hello()
        data = wire.string(client.name) + struct.pack(">H", count) + bytes(2 * types)
        t.rejected(client, Opt.INFO, data, f"a count of {count} before {types} types")


@check("I8", "INFO and GO with 0 to 5 bytes: ERR_INVALID")
def info_short(t):
    for number in (Opt.INFO, Opt.GO):
        for count in range(6):
            client = t.hello()
            t.rejected(client, number, bytes(count), f"{name_of(Opt, number)} with {count} bytes")


@check("I9", "a name with NUL, or of invalid UTF-8: ERR_INVALID")
def info_bad_name(t):
    for name in (b"a\0b", b"\xff\xfe"):
        client = t.hello()
        answer = client.info(name=name)
        t.strict(answer.last == Rep.ERR_INVALID,
                 f"name {name}: ERR_INVALID expected, {answer} came")
        if answer.last is not None:
            usable(client, f"INFO on {name}")


@check("I10", "a name of 4096 bytes: ERR_UNKNOWN, and the message does not repeat it whole")
def info_longest_name(t):
    t.unknown_name()
    client = t.hello()
    name = b"n" * wire.STRING_BYTES_MAX
    answer = client.info(name=name)
    t.should(answer.last == Rep.ERR_UNKNOWN, f"ERR_UNKNOWN expected, {answer} came")
    t.strict(name not in answer.message, "the message repeats the name whole")
    usable(client, "a long name")


@check("I11", "BLOCK_SIZE is 14 bytes: powers of two, minimum <= preferred <= maximum")
def block_size(t):
    told = dict(t.hello().info((Info.BLOCK_SIZE,)).infos()).get(Info.BLOCK_SIZE)
    t.need(told is not None, "BLOCK_SIZE is not told")
    t.expect(len(told) == 12, f"{len(told) + 2} bytes instead of 14")
    minimum, preferred, maximum = struct.unpack(">III", told)
    what = f"minimum {minimum}, preferred {preferred}, maximum {maximum}"
    t.expect(minimum.bit_count() == 1 and minimum <= 65536, f"{what}: a bad minimum")
    t.expect(preferred.bit_count() == 1 and preferred >= max(512, minimum),
             f"{what}: a bad preferred")
    t.expect(maximum >= preferred, f"{what}: the maximum is too small")
    export = t.enter().export
    t.should(maximum >= min(wire.MIB, export.size), f"{what}: the maximum is under 1 MiB")
    t.should(export.size % minimum == 0, f"{what}: the size {export.size} is not whole blocks")
    t.strict(maximum == 0xFFFFFFFF or maximum % minimum == 0,
             f"{what}: the maximum is not whole blocks")


@check("I12", "after GO's ACK no padding follows, with and without NO_ZEROES")
def go_no_padding(t):
    offered = t.dial().greeting().offered
    for flags in {3 & offered, 1}:
        client = t.hello(flags=flags).go()
        client.ask(Cmd.READ, 0, 4096)


@check("I13", "the DF flag is set only with structured replies or extended headers")
def df_flag(t):
    export = t.enter().export
    t.expect(not export.flags & wire.Flag.SEND_DF,
             f"flags {export.flags:#x} have DF without either")


@check("I14", "HAS_FLAGS is always set; a read-only export offers no TRIM, ZEROES, FAST_ZERO")
def export_flags(t):
    told = t.enter().export
    t.expect(told.flags & wire.Flag.HAS_FLAGS, f"flags {told.flags:#x} without HAS_FLAGS")
    fast, zeroes = wire.Flag.SEND_FAST_ZERO, wire.Flag.SEND_WRITE_ZEROES
    t.expect(not told.flags & fast or told.flags & zeroes, "FAST_ZERO is offered without ZEROES")
    if t.options.read_only:
        told = t.enter(t.options.read_only).export
        t.expect(told.flags & wire.Flag.READ_ONLY, f"--read-only has flags {told.flags:#x}")
        for flag in (wire.Flag.SEND_TRIM, zeroes, fast):
            t.strict(not told.flags & flag, f"read-only, and {flag.name} is offered")


@check("I15", "BLOCK_SIZE not asked for: success, or that info and ERR_BLOCK_SIZE_REQD")
def block_size_required(t):
    answer = t.hello().info(number=Opt.GO)
    t.expect(answer.last in (Rep.ACK, Rep.ERR_BLOCK_SIZE_REQD), f"ACK expected, {answer} came")
    if answer.last == Rep.ERR_BLOCK_SIZE_REQD:
        t.should(Info.BLOCK_SIZE in dict(answer.infos()),
                 "the sizes were not told before the error")


@check("I16", "60 INFOs leave nothing open and use up no connection")
def many_infos(t):
    uri = t.options.limited or t.options.uri
    t.enter(uri).close()
    client = t.hello(uri)
    client.info()
    before = t.subject.open_files()
    for count in range(60):
        answer = client.info((Info.BLOCK_SIZE,))
        if answer.last is None:
            t.strict(False, f"cut off after {count} INFOs")
            break
        t.expect(answer.last == Rep.ACK, f"INFO number {count + 1}: {answer} came")
    grown = t.subject.open_files() - before
    t.expect(grown <= 2, f"{grown} more files are open")
    t.enter(uri)
