"""What a bucket of few keys is, one operation after the other, and how a history of it is judged.

A write is known by the number of its bytes, which no other of its round or the two before has: GET, HEAD and LIST tell it. So the
state of a key is a number, or None where nothing is; the state of the bucket is a tuple of these.
"""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field, replace

from checker import Model, Verdict, linearizable

READS = ("get", "head")


@dataclass(frozen=True)
class Op:
    """One request and its answer.

    `size` is what a write wrote or a read saw, None for nothing there; a listing has `seen` instead, by key. `only` is a
    condition: "absent", or the size of the one object that it may replace or delete. `status` 0 is no answer.
    """

    client: str
    kind: str
    key: str | None
    began: int
    ended: int
    status: int
    size: int | None = None
    only: str | int | None = None
    seen: tuple[tuple[str, int], ...] = field(default=())

    def __str__(self) -> str:
        what = dict(self.seen) if self.kind == "list" else self.size
        only = "" if self.only is None else f" if {self.only}"
        return f"{self.client} {self.kind} {self.key or ''}{only} -> {self.status} {what} [{self.began}..{self.ended}]"


# What a key may hold after an operation, by what it held before.
Step = Callable[[Hashable, Op], list]
# What a listing says of a key in that state, None where it does not name it.
Shown = Callable[[Hashable], Hashable]


def holds(only: str | int | None, there: int | None) -> bool:
    if only is None:
        return True
    return there is None if only == "absent" else there == only


def step(there: int | None, op: Op) -> list[int | None]:
    """What a key may hold after `op`, if it holds `there` before; empty if `op` cannot have been answered so."""
    if op.kind in READS:
        return [there] if op.size == there else []
    written = None if op.kind == "delete" else op.size
    if op.status == 412:
        # S3: of what is not there, If-None-Match holds, and If-Match is another answer (404).
        return [there] if there is not None and not holds(op.only, there) else []
    if op.status == 404:
        return [there] if there is None and isinstance(op.only, int) else []
    if 200 <= op.status < 300:
        # S3: deleting what is not there succeeds, whatever was expected of it.
        nothing_to_delete = op.kind == "delete" and there is None
        return [written] if nothing_to_delete or holds(op.only, there) else []
    # Not answered, or "try again": it took effect, or it did not.
    return [there, written] if holds(op.only, there) else [there]


def as_it_is(there: Hashable) -> Hashable:
    return there


def one_key(step: Step, shown: Shown = as_it_is) -> Model:
    """One key by itself; of a listing what it says of that key."""

    def model(there: Hashable, op: Op) -> list[Hashable]:
        if op.kind == "list":
            return [there] if dict(op.seen).get(op.key) == shown(there) else []
        return step(there, op)

    return model


class Bucket:
    """All keys together: a listing shows all of them at one moment."""

    def __init__(self, keys: Iterable[str], step: Step = step, shown: Shown = as_it_is):
        self.keys, self.step, self.shown = tuple(sorted(keys)), step, shown
        self.place = {key: place for place, key in enumerate(self.keys)}

    def __call__(self, state: tuple, op: Op) -> list[tuple]:
        if op.kind == "list":
            seen = dict(op.seen)
            return [state] if all(seen.get(key) == self.shown(each) for key, each in zip(self.keys, state, strict=True)) else []
        at = self.place[op.key]
        return [(*state[:at], left, *state[at + 1 :]) for left in self.step(state[at], op)]


def of_key(key: str, history: Iterable[Op]) -> list[Op]:
    """A history as one key saw it."""
    mine = []
    for op in history:
        if op.key == key:
            mine.append(op)
        elif op.kind == "list":
            mine.append(replace(op, key=key))
    return mine


def judge(
    keys: Iterable[str], starts: frozenset, history: list[Op], step: Step = step, shown: Shown = as_it_is
) -> tuple[Verdict, str]:
    """Each key by itself first, which says where a fault lies; then the whole bucket. With words where it is wrong."""
    model = Bucket(keys, step, shown)
    for key in model.keys:
        at = model.place[key]
        verdict = linearizable(one_key(step, shown), {state[at] for state in starts}, of_key(key, history))
        if not verdict:
            return verdict, words(key, verdict)
    verdict = linearizable(model, starts, history)
    return verdict, "" if verdict else words("the bucket", verdict)


def words(what: str, verdict: Verdict) -> str:
    waiting = "; ".join(str(op) for op in verdict.stuck[:12])
    return f"{what}: from {verdict.states[:4]} no order goes on with: {waiting}"
