"""X: TLS."""
import ssl
import warnings

import wire
from client import Address, Closed, Failed
from psk import psk_session
from trial import CHECKS, Skipped, Trial, check
from wire import Info, Opt, Rep, name_of

OVER_TLS = ("T1", "T2", "T3", "T4", "T5", "T6", "T7", "T8")


def plain(t, uri):
    """A client before STARTTLS."""
    return t.dial(uri).hello()


def secure(t, uri, context=None):
    return plain(t, uri).starttls(context or t.subject.tls_context(), Address(uri).host)


@check("X1", "STARTTLS without credentials: ERR_POLICY or ERR_UNSUP, and on in plaintext")
def no_tls(t):
    t.need(not t.subject.address.tls, "the URI is with TLS")
    client = t.hello()
    answer = client.option(Opt.STARTTLS)
    t.need(answer.last != Rep.ACK, "TLS is offered")
    t.expect(answer.is_error() and answer.last != Rep.ERR_TLS_REQD,
             f"an error expected, {answer} came")
    t.strict(answer.last in (Rep.ERR_POLICY, Rep.ERR_UNSUP, Rep.ERR_PLATFORM),
             f"ERR_POLICY or ERR_UNSUP expected, {answer} came")
    client.go()
    t.alive(client)


@check("X2", "TLS required: LIST, INFO, GO, 0x7777 before it: ERR_TLS_REQD; EXPORT_NAME: closed")
def required(t):
    uri = t.role("tls_required")
    data = wire.info_data(Address(uri).name)
    for number, body in ((Opt.LIST, b""), (Opt.INFO, data), (Opt.GO, data), (0x7777, b"abc"),
                         (Opt.STRUCTURED_REPLY, b"")):
        answer = plain(t, uri).option(number, body)
        t.expect(answer.last == Rep.ERR_TLS_REQD and not answer.replies,
                 f"{name_of(Opt, number)}: ERR_TLS_REQD expected, {answer} came")
    client = plain(t, uri)
    client.send(wire.option(Opt.EXPORT_NAME, Address(uri).name))
    t.expect(client.rest() == b"", "EXPORT_NAME was answered")
    secure(t, uri).go()


@check("X3", "TLS required: ABORT before it: ACK or ERR_TLS_REQD, then closed")
def required_abort(t):
    client = plain(t, t.role("tls_required"))
    answer = client.option(Opt.ABORT)
    t.expect(answer.last in (Rep.ACK, Rep.ERR_TLS_REQD), f"ACK expected, {answer} came")
    t.strict(client.closes(), "the connection was not closed after ABORT")


@check("X4", "STARTTLS with data: ERR_INVALID or closed; a second one inside TLS: ERR_INVALID")
def starttls_data(t):
    uri = t.encrypted()
    try:
        answer = plain(t, uri).option(Opt.STARTTLS, b"x")
    except Failed as error:
        raise Failed(f"with data: {error}") from error
    t.expect(answer.last is None or answer.is_error(),
             f"with data: ERR_INVALID expected, {answer} came")
    client = secure(t, uri)
    answer = client.option(Opt.STARTTLS)
    t.expect(answer.last == Rep.ERR_INVALID, f"second: ERR_INVALID expected, {answer} came")
    client.go()


@check("X5", "LIST in plaintext behind STARTTLS is not answered inside TLS")
def injected(t):
    uri = t.encrypted()
    client = plain(t, uri)
    client.send(wire.option(Opt.STARTTLS) + wire.option(Opt.LIST))
    try:
        kind, _ = client.option_reply(Opt.STARTTLS)
        t.expect(kind == Rep.ACK, f"ACK expected, {name_of(Rep, kind)} came")
        client.encrypt(t.subject.tls_context(), Address(uri).host)
    except Closed:
        return
    came = client.quiet(1)
    t.expect(came == b"", f"inside TLS came {came[:20].hex(' ')}")


def refused_handshake(t, uri, context, what):
    """TLS must not come about; what it takes to see that, TLS 1.3 tells late."""
    try:
        answer = secure(t, uri, context).info(number=Opt.GO)
    except Closed:
        return
    t.expect(answer.last is None, f"{what}: the server goes on, {answer} came")


@check("X6", "a bad client certificate, a wrong PSK, TLS 1.1: closed, the server lives")
def bad_credentials(t):
    uri = t.encrypted()
    context = t.subject.tls_context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    try:
        refused_handshake(t, uri, context, "TLS 1.1")
    except Failed as error:
        t.should(False, str(error))
    if t.options.tls_cert and t.options.verifies_peer:
        refused_handshake(t, uri, t.subject.tls_context(certificate=False), "no client certificate")
        if t.options.tls_bad_cert:
            bad = t.subject.tls_context(certificate=False)
            bad.load_cert_chain(t.options.tls_bad_cert, t.options.tls_bad_key)
            refused_handshake(t, uri, bad, "a client certificate of another CA")
    if t.options.psk:
        pre_shared(t)
    secure(t, uri).go()


def pre_shared(t):
    """The right key opens the export, a wrong one and an unknown user do not."""
    user, key = t.options.psk_key.split(":")
    for who, with_key, good in ((user, key, True), (user, key[:-2] + "00", False),
                                ("nobody", key, False)):
        client = plain(t, t.options.psk)
        answer = client.option(Opt.STARTTLS)
        t.expect(answer.last == Rep.ACK, f"STARTTLS: ACK expected, {answer} came")
        with psk_session(client, who, with_key):
            granted = client.info(number=Opt.GO).last == Rep.ACK
        t.expect(granted == good,
                 f"PSK of {who} with {'the right' if with_key == key else 'a wrong'} "
                                  f"key: {'accepted' if granted else 'refused'}")


@check("X7", "a TLS-only export of a selective server: INFO gives ERR_TLS_REQD; LIST may hide it")
def selective(t):
    uri = t.role("tls_only")
    client = plain(t, uri)
    for number in (Opt.INFO, Opt.GO):
        answer = client.info((Info.BLOCK_SIZE,), number=number)
        t.expect(answer.last == Rep.ERR_TLS_REQD, f"ERR_TLS_REQD expected, {answer} came")
    answer = client.option(Opt.LIST)
    t.expect(answer.last != Rep.ERR_TLS_REQD, "LIST gives ERR_TLS_REQD where TLS is selective")
    t.expect(client.option(0x7777).last == Rep.ERR_UNSUP, "an unknown option: ERR_UNSUP expected")
    client = plain(t, uri)
    client.send(wire.option(Opt.EXPORT_NAME, Address(uri).name))
    t.expect(client.rest() == b"", "EXPORT_NAME was answered")
    secure(t, uri).go()


@check("X8", "T1 to T8 over TLS")
def transmission(t):
    uri = t.encrypted()
    inner = Trial(t.subject)
    inner.dial = lambda given=None, dial=inner.dial: dial(given or uri)
    inner.hello = lambda given=None, flags=None, hello=inner.hello: hello(given or uri, flags)
    done = 0
    for each in (each for each in CHECKS if each.id in OVER_TLS):
        try:
            each.function(inner)
            done += 1
        except Skipped:
            continue
        except Failed as error:
            raise Failed(f"{each.id} over TLS: {error}") from error
        finally:
            inner.end()
    t.warnings += inner.warnings
    t.notes += inner.notes
    t.need(done, "none of them applies")
