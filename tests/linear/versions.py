"""Histories of many clients on few keys of a versioned bucket, with the server killed in between, held against the model.

    python versions.py            KLUIS_VERSIONS_ROUNDS=60 for more; KLUIS_SEED=N repeats the choices of a run

Each round has keys of its own, which begin empty. Clients put, delete, read and list versions, and delete versions by
their ids; in two rounds of three the server is killed with -9. In quiet each version that is left is read and listed.
"""

import collections
import dataclasses
import os
import random
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from clients import Crew, Recorder  # noqa: E402
from model import judge  # noqa: E402
from stacks import Stacks, VersionOp, shown, with_names  # noqa: E402
from vault import Client, Reply, Vault, check, clean, done, say, scratch, seed  # noqa: E402

ROUNDS = int(os.environ.get("KLUIS_VERSIONS_ROUNDS", "6"))
CLIENTS = 5
ROUND_OPERATIONS, ROUND_SECONDS_MAX = (100, 500), 15
VERSION = "x-amz-version-id"
ENABLE = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"


def entries_of(page: str) -> tuple[list[tuple[str, str, int | str, bool]], bool]:
    """The entries of a listing, each with key, version id, what it is known by, and whether it is the latest of its key;
    and whether the page is the last."""
    found = []
    for kind, entry in re.findall(r"<(Version|DeleteMarker)>(.*?)</\1>", page, re.S):
        key, version = re.search("<Key>(.*?)</Key>", entry)[1], re.search("<VersionId>(.*?)</VersionId>", entry)[1]
        known_by = int(re.search("<Size>(.*?)</Size>", entry)[1]) if kind == "Version" else version
        found.append((key, version, known_by, "<IsLatest>true<" in entry))
    return found, "<IsTruncated>false</IsTruncated>" in page


class VersionRecorder(Recorder):
    """One client. `known` are versions that it was told of: key, version id, and what the version is known by."""

    acts = {"put": 5, "create": 2, "delete": 4, "get": 4, "head": 2, "get_version": 5, "delete_version": 5, "list": 8}

    def __init__(self, *words):
        super().__init__(*words)
        self.known: dict[str, tuple[str, int | str]] = {}

    def ask(self, kind, key, method, only=None, size=None, named=None, **more) -> Reply:
        began = time.monotonic_ns()
        reply = self.client.request(method, key, **more)
        ended = time.monotonic_ns()
        status = reply.status if reply.whole else 0
        seen, made, version = (), None, reply.headers.get(VERSION)
        if kind in ("get", "head", "list") and status not in (200, 404, 405):
            return reply  # it saw nothing
        if kind == "list":
            seen = self.listed(reply)
        elif kind == "get" and status == 200:
            size = self.judge(key, reply)
        elif kind == "head" and status == 200:
            size = int(reply.headers["content-length"])
        elif kind == "delete" and named is None and status == 204:
            made = version
        op = VersionOp(self.name, kind, key, began, ended, status, size, only, seen, named, made)
        self.history.append(op)
        if version and kind != "list" and status in (200, 204) and named is None:
            self.meet(key, version, made or size)
        return reply

    def meet(self, key: str, version: str, entry: int | str) -> None:
        if self.known.setdefault(version, (key, entry)) != (key, entry):
            self.faults.append(f"{version} of {key} is {entry} and {self.known[version]}")

    def listed(self, reply: Reply) -> tuple[tuple[str, tuple], ...]:
        """By key what `stacks.shown` tells of a state."""
        found, is_last = entries_of(reply.body.decode())
        if not is_last:
            self.faults.append("a listing of a few hundred versions does not end")
        keys: dict[str, tuple[list, list, list]] = {}
        for key, version, entry, is_latest in found:
            self.meet(key, version, entry)
            objects, markers, latest = keys.setdefault(key, ([], [], []))
            (objects if isinstance(entry, int) else markers).append(entry)
            latest += [entry] * is_latest
        self.faults += [f"{key} has {len(latest)} latest versions" for key, (*_, latest) in keys.items() if len(latest) != 1]
        return tuple((key, (tuple(objects), tuple(markers), latest[-1] if latest else None))
                     for key, (objects, markers, latest) in keys.items())

    # ---- what a client does ----

    def some_version(self, key: str) -> tuple[str, int | str] | None:
        mine = [(version, entry) for version, (at, entry) in self.known.items() if at == key]
        return self.rng.choice(mine[-12:]) if mine else None

    def get_version(self, key: str) -> None:
        if some := self.some_version(key):
            self.read(key, *some)

    def read(self, key: str, version: str, entry: int | str) -> None:
        self.ask("get", key, "GET", named=entry, query=[("versionId", version)])

    def delete_version(self, key: str) -> None:
        if some := self.some_version(key):
            self.ask("delete", key, "DELETE", named=some[1], query=[("versionId", some[0])])

    def list(self, _key: str) -> None:
        prefix = self.keys[0].rsplit("/", 1)[0] + "/"
        self.ask("list", None, "GET", query=[("versions", ""), ("prefix", prefix)])


def in_quiet(vault: Vault, keys: list[str]) -> VersionRecorder:
    """What each key holds, listed, and each version that is left read by its id."""
    recorder = VersionRecorder(vault.identity(), "quiet", keys, iter(()), random.Random(0))
    recorder.list("")
    for key in keys:
        recorder.get(key)
        recorder.head(key)
    for version, (key, entry) in list(recorder.known.items()):
        recorder.read(key, version, entry)
    return recorder


def bent(history: list[VersionOp]) -> list[VersionOp]:
    """The same with one answer changed: the last listing shows one version more."""
    at = max(i for i, op in enumerate(history) if op.kind == "list")
    listed = dict(history[at].seen)
    key = next(op.key for op in history if op.key)
    objects, markers, latest = listed.get(key, ((), (), 0))
    listed[key] = (*objects, 0), markers, latest
    return [*history[:at], dataclasses.replace(history[at], seen=tuple(listed.items())), *history[at + 1 :]]


class Story:
    def __init__(self) -> None:
        self.faults: list[str] = []
        self.wrong: list[str] = []
        self.missed: list[int] = []
        self.answers = collections.Counter()
        self.operations = self.silent = self.left = 0

    def learn(self, number: int, keys: list[str], history: list[VersionOp], faults: list[str]) -> None:
        history = with_names(history)
        self.faults += faults
        for op in history:
            self.answers[op.kind + (" version" if op.named is not None else ""), op.status] += 1
        self.operations += len(history)
        self.silent += sum(op.status == 0 for op in history)
        nothing = frozenset({((),) * len(keys)})
        verdict, words = judge(keys, nothing, history, Stacks(history).step, shown)
        if not verdict:
            self.wrong.append(f"round {number}: {words}")
        elif judge(keys, nothing, bent(history), Stacks(bent(history)).step, shown)[0]:
            self.missed.append(number)
        say(f"round {number}: {len(history)} operations, {verdict.looked_at} configurations")


def round_of(vault: Vault, story: Story, number: int, rng: random.Random) -> None:
    keys = [f"versions/{number}/{name}" for name in "ab"]
    crew = Crew(vault.identity(), keys, CLIENTS, 1, f"{number}:{rng.random()}", VersionRecorder)
    crew.work(rng.randint(*ROUND_OPERATIONS), ROUND_SECONDS_MAX)
    history, faults = crew.home_alive() if number % 3 == 0 else crew.home_killed(vault)
    quiet = in_quiet(vault, keys)
    story.left += len(quiet.known)
    story.learn(number, keys, history + quiet.history, faults + quiet.faults)


def main() -> int:
    rng, place, story = random.Random(seed()), scratch("versions"), Story()
    vault = Vault(place / "vault").start()
    try:
        client = Client(vault.identity(), 20)
        enabled = client.request("PUT", None, [("versioning", "")], body=ENABLE)
        client.close()
        for number in range(1, ROUNDS + 1):
            round_of(vault, story, number, rng)
        code = vault.stop()
    finally:
        vault.kill()
    check("a bucket keeps its versions from now on", enabled.status == 200, enabled)
    check(f"{ROUNDS} rounds, {story.operations} operations of {CLIENTS} clients on versions are linearizable",
          not story.wrong, story.wrong[:2])
    check("and are not once a listing shows one version more", not story.missed, story.missed)
    check("every byte that was read is of one write, and a version id names one version for ever", not story.faults,
          story.faults[:4])
    odd = {what: count for what, count in story.answers.items() if what[1] not in (200, 204, 404, 405, 412, 0)}
    check("nothing but success, absence, a marker and a failed condition is answered", not odd, odd)
    seen = set(story.answers)
    wanted = {("put", 200), ("delete", 204), ("delete version", 204), ("get version", 200), ("get version", 404), ("list", 200)}
    check("the load was one: versions were made, read, deleted by id, and looked for in vain", wanted <= seen and story.left,
          dict(story.answers))
    check("stopped in peace, the server ends with 0, without a panic",
          code == 0 and "panicked" not in vault.log.read_text(errors="replace"), f"{code} {vault.log_tail()}")
    say(f"{story.operations} operations, {story.silent} without an answer, {story.left} versions left")
    clean(place)
    return done()


if __name__ == "__main__":
    sys.exit(main())
