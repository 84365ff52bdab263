#!/usr/bin/env python3
"""Writes test/fuzz/seeds: sessions that mean something, which chance takes long to find, in the bytes that
the targets read (traffic.cc). To be run again when those change.
    test/fuzz/seeds.py"""
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
SEEDS = ROOT / "test/fuzz/seeds"

COMMANDS = {"read": 0, "write": 1, "flush": 2, "trim": 3, "cache": 4, "zeroes": 5, "status": 6, "disc": 254}
FLAGS = {"": 0, "fua": 6, "no_hole": 7, "df": 8, "one": 9, "fast": 10}
EVENTS = ["cut", "send", "keep", "fail", "requeue", "good", "finish", "finish", "suspend", "resume", "hog",
          "unhog", "pass"]
ENDS = {"drain": 253, "shut_down": 254, "die": 255}


def request(command, sector=0, sectors=8, flags="", first_byte=1):
    if command == "flush":  # Any length of it is wrong, so an edge: none.
        sector_bytes, length_bytes = bytes([0, 0]), bytes([255, 0])
    else:
        sector_bytes = bytes([1]) + sector.to_bytes(2, "big")
        length_bytes = bytes([sectors - 1]) if sectors <= 16 else bytes([252]) + sectors.to_bytes(2, "big")
    made = bytes([0, COMMANDS[command]]) + length_bytes + bytes([FLAGS[flags]]) + sector_bytes
    return made + (bytes([first_byte]) if command == "write" else b"")


def event(name, value=0):
    kind = ENDS[name] if name in ENDS else EVENTS.index(name)
    return bytes([128, kind]) + value.to_bytes(2, "big")


def session(form, table, strict, *records):
    return bytes([form, 2 * table + (0 if strict else 1)]) + b"".join(records)


PLAIN = [
    request("write", 64, 16), request("write", 96, 16, "fua"), request("write", 128, 16, "", 0),
    request("read", 0, 256), request("read", 0, 256, "df"), request("status", 0, 256),
    request("status", 70, 200, "one"), event("cut"), request("trim", 64, 8), request("read", 64, 16),
    request("zeroes", 96, 8), request("zeroes", 104, 4, "no_hole"), request("zeroes", 108, 4, "fast"),
    request("read", 90, 60), request("flush"), request("cache", 0, 256), request("disc"), request("read")]
ACROSS = [
    request("write", 1900, 300), request("write", 4000, 200), request("read", 1900, 300),
    request("read", 3000, 100), request("read", 4096, 200), request("status", 0, 4096),
    request("status", 4090, 4096), request("zeroes", 1900, 2048), request("trim", 4000, 2048),
    request("read", 5900, 400), request("write", 8190, 4), request("read", 8191, 1)]
BUSY = [
    event("keep"), *[request("read", i, 8) for i in range(140)], event("cut"),
    *[event("finish", i) for i in range(20)], event("send", 1000), event("good"), request("flush")]
CHANGES = [
    request("write", 0, 64), event("cut"), event("keep"), request("write", 8, 64), request("write", 16, 64),
    request("read", 0, 64), event("cut"), event("suspend", 1), event("requeue"), request("read", 32, 16),
    event("finish", 0), event("finish", 1), event("resume", 1), event("pass", 100), event("fail", 0),
    request("read", 0, 128), event("pass", 1000), event("good"), event("pass", 60000), request("read", 0, 128)]
DEATH = [
    event("keep"), request("write", 0, 32), request("write", 16, 32), request("trim", 0, 64),
    request("status", 0, 64), request("flush"), event("cut"), event("finish", 0), event("die")]
FULL = [
    event("hog"), event("hog"), request("read", 0, 4096), request("write", 0, 2048), event("cut"),
    event("send", 100), event("unhog"), request("status", 0, 64), event("cut", 200)]
END = [
    event("keep"), request("write", 0, 32), request("read", 0, 32), event("cut"), event("finish", 2),
    event("drain"), request("read"), event("shut_down"), event("finish", 0)]


def main():
    folder = SEEDS / "transmission"
    folder.mkdir(parents=True, exist_ok=True)
    kinds = {"plain": (PLAIN, True), "across": (ACROSS, True), "busy": (BUSY, False),
             "changes": (CHANGES, False), "death": (DEATH, False), "full": (FULL, False), "end": (END, False)}
    for form, form_name in enumerate(("simple", "structured", "extended")):
        for name, (records, strict) in kinds.items():
            table = {"plain": 0, "across": 1}.get(name, form)
            (folder / f"{name}-{form_name}").write_bytes(session(form, table, strict, *records))


main()
