"""Histories of many clients on few keys, with the server killed in between, held against the sequential model.

    python histories.py            KLUIS_LINEAR_ROUNDS=60 for more; KLUIS_SEED=N repeats the choices of a run

A round: all clients at work, then the server is killed with -9 (or, in every third round, nobody dies), started again,
and the history of the round is judged, from the states in which the round before may have ended. A request without an
answer took effect before the server was dead, or never: none does after it was started again.
"""

import collections
import dataclasses
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from clients import SIZES_APART, Crew, Recorder  # noqa: E402
from model import READS, Op, judge  # noqa: E402
from vault import Client, Vault, check, clean, done, say, scratch, seed  # noqa: E402

ROUNDS = int(os.environ.get("KLUIS_LINEAR_ROUNDS", "9"))
CLIENTS = 8
ROUND_OPERATIONS, ROUND_SECONDS_MAX = (100, 900), 15
KEYS = [f"linear/{name}" for name in "abc"]
# Sizes of a round begin where those of the round before ended, whatever it wrote.
SIZES_A_ROUND = SIZES_APART * 1000
assert CLIENTS <= SIZES_APART


class Story:
    def __init__(self) -> None:
        self.states = frozenset({(None,) * len(KEYS)})
        self.faults: list[str] = []
        self.wrong: list[str] = []
        self.missed: list[str] = []
        self.answers = collections.Counter()
        self.operations = self.together = self.silent = self.looked_at = 0

    def learn(self, history: list[Op], faults: list[str], what: str) -> None:
        self.faults += faults
        for op in history:
            self.answers[op.kind + ("" if op.only is None else " if"), op.status] += 1
        self.operations += len(history)
        self.together += sum(later.began < op.ended for op, later in zip(history, history[1:], strict=False))
        self.silent += sum(op.status == 0 for op in history)
        verdict, words = judge(KEYS, self.states, history)
        if verdict and judge(KEYS, self.states, bent(history))[0]:
            self.missed.append(what)
        self.looked_at += verdict.looked_at
        if not verdict:
            self.wrong.append(f"{what}: {words}")
        # After a wrong round the next one begins with what was listed in quiet at the end of it.
        self.states = verdict.ends or frozenset({tuple(dict(history[-1].seen).get(key) for key in KEYS)})


def bent(history: list[Op]) -> list[Op]:
    """The same with one answer changed, that of the last read: wrong, since in quiet there is but one answer."""
    at = max((i for i, op in enumerate(history) if op.kind in READS), default=0)
    op = history[at]
    return [*history[:at], dataclasses.replace(op, size=1 if op.size is None else None), *history[at + 1 :]]


def as_seen_now(vault: Vault) -> list[Op]:
    """In quiet: what each key holds, read one after the other and listed."""
    recorder = Recorder(vault.identity(), "quiet", KEYS, iter(()), random.Random(0))
    for key in KEYS:
        recorder.get(key)
        recorder.head(key)
    recorder.list("")
    return recorder.history


def round_of(vault: Vault, story: Story, number: int, rng: random.Random) -> None:
    crew = Crew(vault.identity(), KEYS, CLIENTS, 1 + number % 3 * SIZES_A_ROUND, f"{number}:{rng.random()}")
    crew.work(rng.randint(*ROUND_OPERATIONS), ROUND_SECONDS_MAX)
    history, faults = crew.home_alive() if number % 3 == 0 else crew.home_killed(vault)
    before = story.looked_at
    story.learn(history + as_seen_now(vault), faults, f"round {number}")
    say(f"round {number}: {len(history)} operations, {sum(op.status == 0 for op in history)} without an answer, "
        f"{story.looked_at - before} configurations")


def main() -> int:
    rng, place, story = random.Random(seed()), scratch("linear"), Story()
    vault = Vault(place / "vault").start()
    try:
        for number in range(1, ROUNDS + 1):
            round_of(vault, story, number, rng)
        code = vault.stop()
    finally:
        vault.kill()
    check(f"{ROUNDS} rounds, {story.operations} operations of {CLIENTS} clients on {len(KEYS)} keys are linearizable",
          not story.wrong, story.wrong[:2])
    check("and are not once a single answer is changed", not story.missed, story.missed)
    check("every byte that was read is of one write, and a tag names one object", not story.faults, story.faults[:4])
    odd = {what: count for what, count in story.answers.items() if what[1] not in (200, 204, 404, 412, 0)}
    check("nothing but success, absence and a failed condition is answered", not odd, odd)
    seen = {(kind, status) for kind, status in story.answers}
    wanted = {("put if", 200), ("put if", 412), ("delete if", 204), ("delete if", 412), ("complete", 200), ("get", 404)}
    check("the load was one: conditions held and failed, requests ran at once, the kill cut some off",
          wanted <= seen and story.together > story.operations / 2 and story.silent >= ROUNDS // 3,
          f"{dict(story.answers)} {story.together} together, {story.silent} silent")
    check("stopped in peace, the server ends with 0", code == 0, f"{code} {vault.log_tail()}")
    check("no panic", "panicked" not in vault.log.read_text(errors="replace"), vault.log_tail())
    say(f"{story.operations} operations, {story.silent} without an answer, {story.looked_at} configurations looked at")
    clean(place)
    return done()


if __name__ == "__main__":
    sys.exit(main())
