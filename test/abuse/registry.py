"""The cases by number: what each is, and the function that plays it."""
from dataclasses import dataclass
from typing import Callable

CASES = {}


@dataclass
class Case:
    number: int
    title: str
    run: Callable     # (attack) -> figures; with `alone`: (options, folder) -> figures.
    grows_mib: int    # What the server may take meanwhile; what is within its budget anyway: None.
    waits: str        # Mostly waits: played beside others, on one server with those of this name.
    alone: bool       # Has servers of its own, and no honest client beside it.


def case(number, title, grows_mib=16, waits="", alone=False):
    def register(run):
        assert number not in CASES, f"case {number} is there twice"
        CASES[number] = Case(number, title, run, grows_mib, waits, alone)
        return run
    return register
