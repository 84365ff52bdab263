"""The command line of the suite, and what is done with the result of a check."""
import argparse
import json
import sys
import time
import traceback
from pathlib import Path

# Importing them registers their checks, in this order.
import checks_handshake  # pylint: disable=unused-import
import checks_info  # pylint: disable=unused-import
import checks_replies  # pylint: disable=unused-import
import checks_metadata  # pylint: disable=unused-import
import checks_transmission  # pylint: disable=unused-import
import checks_commands  # pylint: disable=unused-import
import checks_ending  # pylint: disable=unused-import
import checks_tls  # pylint: disable=unused-import
from client import Address, Failed
from trial import CHECKS, Skipped, Subject, Trial

WORDS = {"ok": "ok  ", "fail": "FAIL", "warn": "warn", "skip": "skip"}
# In the checklist, and judged by other means than the wire.
ELSEWHERE = {
    "D1": "test/interop/durability-kill, durability-strace and durability-guest",
    "D3": "dmnbd has no layer of a connection's own, so there is nothing to configure",
    "D4": "test/interop/durability-failed-sync",
    "D5": "test/interop/reload and headline",
    "E6": "test/interop/signals",
    "E7": "test/interop/clients and attach",
    "P1": "test/interop/clients",
    "P2": "test/interop/headline and attach",
    "P3": "test/interop/fio-verify and clients",
}


def parse_arguments(description=None, arguments=None):
    parser = argparse.ArgumentParser(description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("uri", nargs="?", help="nbd://, nbds://, nbd+unix:// or nbds+unix://")
    add("--list", action="store_true", help="print the checks, and where the others are")
    add("--only", nargs="+", metavar="ID", help="these checks: T1, or T for all of a group")
    add("--json", metavar="FILE", help="write all results as one JSON document")
    add("--writable", action="store_true", help="checks may write; DESTROYS the export's data")
    add("--strict", action="store_true",
        help="require every SHOULD, and the choices of dmnbd where the specification has none")
    add("--timeout", dest="timeout_s", type=float, default=10, metavar="SECONDS",
        help="for whatever is to come (10)")
    add("--pid", type=int, help="the server's process: memory and files are looked at")
    add("--log", metavar="FILE", help="the server's log: is it quiet where it should be?")
    add("--backing", metavar="FILE", help="the file behind the export")
    add("--description", metavar="TEXT", help="the export's description")
    add("--second-export", metavar="NAME", help="another export of the same server")
    add("--read-only", metavar="URI", help="an export that can't be written")
    add("--failing", metavar="URI", help="an export whose reads fail")
    add("--slow", metavar="URI", help="an export whose second half answers late")
    add("--limited", metavar="URI", help="an export for one connection only")
    add("--small-max", metavar="URI", help="an export whose largest payload is small")
    add("--tls", metavar="URI", help="an export that may be used with TLS, if URI is without")
    add("--tls-required", metavar="URI", help="a server that insists on TLS")
    add("--tls-only", metavar="URI", help="a TLS-only export of a server that does not insist")
    add("--tls-ca", metavar="PEM", help="who has signed the server's certificate (not asked)")
    add("--tls-cert", metavar="PEM", help="the client's certificate")
    add("--tls-key", metavar="PEM", help="and its key")
    add("--tls-bad-cert", metavar="PEM", help="a certificate that the server must refuse")
    add("--tls-bad-key", metavar="PEM", help="and its key")
    add("--verifies-peer", action="store_true", help="the TLS server wants client certificates")
    add("--psk", metavar="URI", help="a server with pre-shared keys")
    add("--psk-key", metavar="USER:HEX", help="a key that it knows")
    options = parser.parse_args(arguments)
    if not options.uri and not options.list:
        parser.error("which server? Give its URI, such as nbd://127.0.0.1")
    try:
        _ = [Address(uri) for uri in (options.uri, options.tls, options.psk) if uri]
    except ValueError as error:
        parser.error(str(error))
    return options


def chosen(only):
    known = {each.id for each in CHECKS} | {each.id.rstrip("0123456789") for each in CHECKS}
    unknown = set(only or ()) - known
    if unknown:
        sys.exit(f"run: no check {', '.join(sorted(unknown))}; see --list")
    return [each for each in CHECKS
            if not only or each.id in only or each.id.rstrip("0123456789") in only]


def survived(subject):
    """Whatever was done to it, the server lives."""
    try:
        Trial(subject).hello().close()
    except (Failed, OSError) as error:
        raise Failed(f"afterwards the server does not answer: {error}") from error


def judge(subject, each):
    """(result, detail, notes) of one check."""
    trial = Trial(subject)
    try:
        each.function(trial)
        trial.end()
        survived(subject)
    except Skipped as why:
        return "skip", str(why), trial.notes
    except (Failed, OSError) as error:
        return "fail", str(error) or repr(error), trial.notes
    except Exception as error:  # pylint: disable=broad-except
        traceback.print_exc()  # A mistake of this suite: never a pass.
        return "fail", f"the suite has a bug: {error!r}", trial.notes
    finally:
        trial.end()
    if trial.warnings:
        return "warn", "; ".join(dict.fromkeys(trial.warnings)), trial.notes
    return "ok", "", trial.notes


def run_check(subject, each):
    """Prints the line of a check, and returns its result for the document."""
    began = time.monotonic()
    result, detail, notes = judge(subject, each)
    print(f"{WORDS[result]} {each.id:4} {each.title}" + (f": {detail}" if detail else ""),
          flush=True)
    return {"id": each.id, "title": each.title, "result": result, "detail": detail,
            "choices": notes, "seconds": round(time.monotonic() - began, 2)}


def judge_all(server, checks):
    """All results of a servers.Server. One that a check has killed is started again, and the check
    has failed; so is one that fails, as it may hang."""
    results = []
    with server:
        for each in checks:
            result = run_check(Subject(parse_arguments(arguments=server.arguments())), each)
            if result["result"] == "fail":
                time.sleep(0.5)  # What dies may still be dying.
            if server.ensure():
                result.update(result="fail", detail=f"the server dies: {server.last_words}")
            elif result["result"] == "fail":
                server.restart()
            results.append(result)
    summary(results)
    return results


def summary(results):
    counts = {word: sum(1 for each in results if each["result"] == word) for word in WORDS}
    print(", ".join(f"{number} {word}" for word, number in counts.items()), flush=True)
    return counts


def print_list():
    for each in CHECKS:
        print(f"{each.id:4} {each.title}")
    for number, where in ELSEWHERE.items():
        print(f"{number:4} not judged here: {where}")


def main(description):
    options = parse_arguments(description)
    if options.list:
        print_list()
        return 0
    subject = Subject(options)
    try:
        subject.address.dial(options.timeout_s).close()
    except OSError as error:
        sys.exit(f"run: nobody answers at {options.uri}: {error}")
    results = [run_check(subject, each) for each in chosen(options.only)]
    counts = summary(results)
    if options.json:
        Path(options.json).write_text(json.dumps(
            {"uri": options.uri, "strict": options.strict, "counts": counts, "results": results},
            indent=1) + "\n")
    return 1 if counts["fail"] else 0
