"""Is there an order of these operations, each within its time, that the sequential model allows?

The search of Wing and Gong ("Testing and verifying concurrent objects", 1993) with Lowe's memory of what was tried
("Testing for linearizability", 2017): a depth-first walk over configurations, a configuration being which operations
have taken effect and what state that left. Operations that are done form a prefix of the order of their beginnings,
and a few beyond it; each configuration is looked at once, so that the walk is about as long as the history as long
as few operations overlap.

It knows nothing of S3: a model is a function from a state and an operation to the states that it may leave.
"""

import itertools
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol


class Timed(Protocol):
    """An operation: it took effect, if it did, after `began` and before `ended`."""

    began: int
    ended: int


Model = Callable[[Hashable, Timed], Iterable[Hashable]]


@dataclass(frozen=True)
class Verdict:
    """Whether there is such an order, the states that it may end in, and where the search came to its end if not."""

    right: bool
    ends: frozenset
    looked_at: int
    stuck: Sequence[Timed] = ()
    states: tuple = ()

    def __bool__(self) -> bool:
        return self.right


def linearizable(model: Model, starts: Iterable[Hashable], history: Iterable[Timed]) -> Verdict:
    """Walks every configuration that can be reached from the states `starts`."""
    ops = sorted(history, key=lambda op: op.began)
    # How many of `ops` are done from the first on; which are done beyond these, as bits; the state.
    todo = [(0, 0, state) for state in starts]
    seen = set(todo)
    ends, furthest, stuck = set(), 0, set(todo)
    while todo:
        low, beyond, state = todo.pop()
        if low > furthest:
            furthest, stuck = low, set()
        if low == furthest:
            stuck.add((low, beyond, state))
        if low == len(ops):
            ends.add(state)
            continue
        for index in possible(ops, low, beyond):
            after = advance(low, beyond | 1 << (index - low))
            for left in model(state, ops[index]):
                next_one = (*after, left)
                if next_one not in seen:
                    seen.add(next_one)
                    todo.append(next_one)
    if ends:
        return Verdict(True, frozenset(ends), len(seen))
    waiting = sorted({index for low, beyond, _ in stuck for index in possible(ops, low, beyond)})
    return Verdict(False, frozenset(), len(seen), [ops[i] for i in waiting], tuple({state for *_, state in stuck}))


def possible(ops: Sequence[Timed], low: int, beyond: int) -> list[int]:
    """Those that may be next: none that is not done ended before they began. Latest end first: a stack reverses it."""
    found, deadline = [], None
    for index in range(low, len(ops)):
        if deadline is not None and ops[index].began > deadline:
            break
        if not beyond >> (index - low) & 1:
            found.append(index)
            deadline = ops[index].ended if deadline is None else min(deadline, ops[index].ended)
    return sorted(found, key=lambda index: -ops[index].ended)


def advance(low: int, beyond: int) -> tuple[int, int]:
    """The same set, with its prefix as long as it is."""
    while beyond & 1:
        low, beyond = low + 1, beyond >> 1
    return low, beyond


def by_brute_force(model: Model, starts: Iterable[Hashable], history: Iterable[Timed]) -> bool:
    """The definition itself, for histories of a few operations: every order, tried."""
    ops = list(history)
    for order in itertools.permutations(ops):
        if any(order[later].ended < order[i].began for i in range(len(order)) for later in range(i + 1, len(order))):
            continue
        states = set(starts)
        for op in order:
            states = {left for state in states for left in model(state, op)}
        if states:
            return True
    return False
