"""What a key of a versioned bucket is: a stack of versions, of which a reader without a version id sees the newest.

An object is known by the number of its bytes, a delete marker by its version id; a marker whose making nobody was told
of is "?", and all of these are alike. So the state of a key is a tuple of numbers and names, the newest first.
"""

import collections
from collections.abc import Iterable
from dataclasses import dataclass, replace

from model import READS, Op

UNTOLD = "?"
Stack = tuple[int | str, ...]


@dataclass(frozen=True)
class VersionOp(Op):
    """`named` is the version that the request named, `made` the name of the marker that it made."""

    named: int | str | None = None
    made: str | None = None

    def __str__(self) -> str:
        return super().__str__() + f" named {self.named} made {self.made}"


def newest(stack: Stack) -> int | None:
    """What GET sees: nothing below a marker."""
    return stack[0] if stack and isinstance(stack[0], int) else None


def shown(stack: Stack) -> tuple | None:
    """What a listing of versions says of a key: its objects and its markers, each newest first, and which is the latest
    of all. Among each other the two kinds have no order in it."""
    objects, markers = (tuple(e for e in stack if isinstance(e, kind)) for kind in (int, str))
    return (objects, markers, stack[0]) if stack else None


def without(stack: Stack, name: int | str) -> list[Stack]:
    """Each stack that is left when one version of this name goes; the same one where there is none."""
    return [stack[:at] + stack[at + 1 :] for at, each in enumerate(stack) if each == name] or [stack]


class Stacks:
    """The model of a key, for one history.

    Versions never change places, so each listing tells for ever which of two came first. A version is not put where some
    listing of the history contradicts: no right order is lost by that, and the search need not keep both orders of two
    writes that ran at once until a listing comes to tell.
    """

    def __init__(self, history: Iterable[VersionOp]):
        self.older: dict[tuple[str, int | str], set[int | str]] = collections.defaultdict(set)
        for op in history:
            for key, (objects, markers, latest) in op.seen:
                for stack in (objects, markers):
                    for at, entry in enumerate(stack):
                        self.older[key, entry].update(stack[at + 1 :])
                self.older[key, latest].update((*objects, *markers))
        for (_, entry), older in self.older.items():
            older -= {entry, UNTOLD}

    def pushed(self, key: str, entry: int | str, stack: Stack) -> list[Stack]:
        """`entry` above all others, unless one of these is known to be above it."""
        known = any(entry in self.older.get((key, other), ()) for other in stack)
        return [] if known else [(entry, *stack)]

    def step(self, stack: Stack, op: VersionOp) -> list[Stack]:
        """What a key may hold after `op`; empty if `op` cannot have been answered so."""
        if op.named is not None:
            return of_version(stack, op)
        if op.kind in READS:
            return [stack] if op.size == newest(stack) else []
        holds = op.only is None or newest(stack) is None
        if op.status == 412:
            return [] if holds else [stack]
        entry = op.size if op.kind == "put" else (op.made or UNTOLD)
        after = self.pushed(op.key, entry, stack) if holds else []
        # Not answered, or "try again": it took effect, or it did not.
        return after if 200 <= op.status < 300 else [stack, *after]


def of_version(stack: Stack, op: VersionOp) -> list[Stack]:
    """A request that names its version: it sees that one alone, wherever it stands."""
    if op.kind == "delete":
        gone = without(stack, op.named)
        return gone if op.status == 204 else [stack, *gone]
    if op.status == 200:
        return [stack] if op.named in stack and op.size == op.named else []
    # S3: 405 for what has a marker in its place.
    is_marker = isinstance(op.named, str)
    if op.status == 405:
        return [stack] if is_marker and op.named in stack else []
    return [stack] if op.named not in stack else []


def with_names(history: Iterable[VersionOp]) -> list[VersionOp]:
    """The history with "?" for each marker whose making was not answered, wherever it was listed or named."""
    history = list(history)
    told = {op.made for op in history if op.made}

    def name(entry: int | str | None) -> int | str | None:
        return UNTOLD if isinstance(entry, str) and entry not in told else entry

    def names(key: str, shown: tuple) -> tuple:
        objects, markers, latest = shown
        return key, (objects, tuple(map(name, markers)), name(latest))

    return [replace(op, named=name(op.named), seen=tuple(names(*each) for each in op.seen)) for op in history]
