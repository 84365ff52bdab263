"""What a check works with: connections to the server under test, and words for what it finds.

expect()  a MUST of the specification: if it is broken, the check fails.
should()  a SHOULD: the check warns.
strict()  a choice that the specification leaves open, and that dmnbd has made: only a note, unless
          --strict says that such choices, and every SHOULD, are required."""
import os
import ssl
import struct
from dataclasses import dataclass
from pathlib import Path

import wire
from client import Address, Client, Closed, Failed
from wire import Cmd, Error, Flag, Info, Opt, Rep, name_of

CHECKS = []
PATIENCE_S = 60
UNKNOWN_NAME = b"no-such-export-4711"


class Skipped(Exception):
    """The check does not apply to this server, or needs something that was not given."""


@dataclass
class Check:
    id: str
    title: str
    function: object


def check(number, title):
    """Registers a function(trial) as the check of that id."""
    def register(function):
        CHECKS.append(Check(number, title, function))
        return function
    return register


class Subject:
    """The server under test, as the options describe it."""

    def __init__(self, options):
        self.options = options
        self.address = Address(options.uri)
        self.any_name = None  # Does every name open an export? Not known yet.

    def tls_context(self, certificate=True):
        """Of a client that trusts --tls-ca and shows --tls-cert."""
        context = ssl.create_default_context(cafile=self.options.tls_ca)
        if not self.options.tls_ca:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if certificate and self.options.tls_cert:
            context.load_cert_chain(self.options.tls_cert, self.options.tls_key)
        return context

    def processes(self):
        """The server's process and its children."""
        if not self.options.pid:
            raise Skipped("needs --pid of the server")
        found, unseen = [], [self.options.pid]
        while unseen:
            pid = unseen.pop()
            found.append(pid)
            for listed in Path(f"/proc/{pid}/task").glob("*/children"):
                unseen += map(int, listed.read_text().split())
        return found

    def resident_bytes(self):
        pages = 0
        for pid in self.processes():
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def open_files(self):
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.processes())


class Trial:
    """One run of one check."""

    def __init__(self, subject):
        self.subject, self.options = subject, subject.options
        self.warnings, self.notes, self.clients = [], [], []

    def end(self):
        for client in self.clients:
            client.close()

    # Judgement

    @staticmethod
    def expect(condition, why):
        if not condition:
            raise Failed(why)

    def should(self, condition, why):
        if not condition:
            self.expect(not self.options.strict, why)
            self.warnings.append(why)
        return condition

    def strict(self, condition, why):
        if not condition:
            self.expect(not self.options.strict, why)
            self.notes.append(why)
        return condition

    @staticmethod
    def need(condition, why):
        if not condition:
            raise Skipped(why)

    # Connections

    def dial(self, uri=None):
        client = Client(Address(uri or self.options.uri), self.options.timeout_s)
        self.clients.append(client)
        return client

    def hello(self, uri=None, flags=None):
        """A client that may send options; inside TLS if the URI says so."""
        client = self.dial(uri).hello(flags)
        address = Address(uri or self.options.uri)
        if address.tls:
            client.starttls(self.subject.tls_context(), address.host)
        return client

    def enter(self, uri=None, structured=False, extended=False, contexts=(),
              infos=(Info.BLOCK_SIZE,),
              name=None):
        """A client in transmission. Skipped if the server does not offer what is asked for."""
        client = self.hello(uri)
        if name is not None:
            client.name = name
        if structured:
            self.agree(client, Opt.STRUCTURED_REPLY)
            client.terms.structured = True
        if extended:
            self.agree(client, Opt.EXTENDED_HEADERS)
            client.terms.extended = True
        if contexts:
            answer = client.set_contexts(contexts)
            self.need(answer.last == Rep.ACK and len(client.terms.contexts) == len(contexts),
                      f"{b' '.join(contexts).decode()} is not offered ({answer})")
        return client.go(infos)

    def agree(self, client, number):
        answer = client.option(number)
        self.need(answer.last == Rep.ACK, f"{name_of(Opt, number)} is not offered ({answer})")

    def role(self, name):
        """The URI that an option gives."""
        uri = getattr(self.options, name)
        self.need(uri, f"needs --{name.replace('_', '-')} URI")
        return uri

    def encrypted(self):
        """The URI that is to be used with TLS."""
        options = self.options
        uri = options.uri if self.subject.address.tls else options.tls or options.tls_required
        self.need(uri, "needs --tls URI, --tls-required URI, or a URI with TLS")
        return uri

    def unknown_name(self):
        """A name that no export has. Skipped where every name is one."""
        if self.subject.any_name is None:
            answer = self.hello().info(name=UNKNOWN_NAME)
            self.subject.any_name = answer.last == Rep.ACK
        self.need(not self.subject.any_name, "every name is an export here")
        return UNKNOWN_NAME

    def scratch(self, length, client=None):
        """Where a check may write `length` bytes: behind the first 4 MiB."""
        self.need(self.options.writable, "writes, and needs --writable")
        export = (client or self.enter()).export
        self.need(not export.flags & Flag.READ_ONLY, "the export is read-only")
        self.need(export.size >= 4 * wire.MIB + length,
                  f"needs an export of {(4 * wire.MIB + length) // wire.MIB} MiB")
        return 4 * wire.MIB

    # What many checks ask

    def alive(self, client):
        """The next request on the same connection works."""
        length = max(512, client.export.minimum)
        try:
            client.read(0, length)
        except Closed as error:
            raise Failed("the connection did not survive") from error

    @staticmethod
    def patient(client):
        """What spans gigabytes may take its time; no server owes us that it is quick."""
        client.timeout_s = max(client.timeout_s, PATIENCE_S)
        client.socket.settimeout(client.timeout_s)

    def refuses(self, client, wanted, what, *request, **more):
        """A request that breaks a rule gets one of the `wanted` errors, and the connection lives.
        A server may drop whoever breaks a MUST; but it should have sent the error."""
        try:
            reply = client.ask(*request, **more)
        except Closed:
            self.should(False, f"{what}: {names(wanted)} expected, the connection was closed")
            return None
        self.should(reply.error in wanted, f"{what}: {names(wanted)} expected, {reply} came")
        self.alive(client)
        return reply

    def survives(self, client, what, *request, **more):
        """Any reply will do, a closed connection will not."""
        try:
            return client.ask(*request, **more)
        except Closed as error:
            raise Failed(f"{what}: the connection was closed") from error

    def rejected(self, client, number, data, what):
        """A malformed option. A server may drop who sends it, and has to answer if it does not."""
        try:
            answer = client.option(number, data)
        except Failed as error:
            raise Failed(f"{what}: {error}") from error
        if answer.last is None:
            self.strict(False, f"{what}: the connection was closed")
            return
        self.should(answer.is_error(), f"{what}: an error expected, {answer} came")
        self.strict(answer.last == Rep.ERR_INVALID, f"{what}: ERR_INVALID expected, {answer} came")
        if answer.is_error():
            usable(client, what)

    def forms(self):
        """Simple replies, and structured ones where they are offered."""
        offered = self.hello().option(Opt.STRUCTURED_REPLY).last == Rep.ACK
        return (False, True) if offered else (False,)


def usable(client, what):
    """The next option is parsed."""
    try:
        answer = client.option(0x7778)
    except Failed as error:
        raise Failed(f"after {what}, an option: {error}") from error
    if answer.last is None or not answer.is_error():
        raise Failed(f"after {what} an option should still be answered, {answer} came")


def names(errors):
    return " or ".join(name_of(Error, error) for error in errors)


def pattern(length, seed):
    """Bytes that no other place or time has, and that are not zero."""
    block = b"".join(struct.pack(">QQ", seed | 1 << 63, at | 1 << 62)
                     for at in range(0, min(length, 65536), 16))
    return (block * (length // len(block) + 1))[:length] if length else b""


def same(client, offset, data, what):
    """The export holds this."""
    got = client.read(offset, len(data))
    if got != data:
        at = next(i for i in range(len(data)) if got[i] != data[i])
        raise Failed(f"{what}: wrong data at {offset + at}: {data[at:at + 8].hex()} expected, "
                     f"{bytes(got[at:at + 8]).hex()} came")


def unit(client):
    """The smallest length that this export takes, at least a sector."""
    return max(512, client.export.minimum)


def writes(client):
    """The commands of this export that change it, each as (command, payload)."""
    found = [(Cmd.WRITE, bytes(unit(client)))]
    if client.export.offers(Flag.SEND_TRIM):
        found.append((Cmd.TRIM, b""))
    if client.export.offers(Flag.SEND_WRITE_ZEROES):
        found.append((Cmd.WRITE_ZEROES, b""))
    return found
