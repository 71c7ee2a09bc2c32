"""Clients that write, read, swap, delete and list few keys all at once, and write down when and how each was answered.

Each is a process of its own: their requests truly overlap. The monotonic clock is one for all processes of a machine.
"""

import dataclasses
import multiprocessing
import os
import random
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from model import Op  # noqa: E402
from vault import Client, Identity, Reply, Vault  # noqa: E402

# How often each is done: many writes on few keys is what goes wrong.
ACTS = {"put": 5, "create": 3, "swap": 5, "delete": 2, "delete_only": 2, "complete": 1, "get": 5, "head": 3, "list": 3}
# An odd number of bytes is part of each answer that is read: sizes stay small and are never given out twice.
SIZES_APART = 64


def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def listed(reply: Reply) -> tuple[tuple[str, int], ...]:
    entries = re.findall(r"<Contents>(.*?)</Contents>", reply.body.decode(), re.S)
    return tuple((re.search("<Key>(.*?)</Key>", e)[1], int(re.search("<Size>(.*?)</Size>", e)[1])) for e in entries)


class Recorder:
    """One client. `sizes` are its own, so that a size names one write of the run."""

    acts = ACTS

    def __init__(self, who: Identity, name: str, keys: list[str], sizes, rng: random.Random):
        self.client, self.name, self.keys, self.sizes, self.rng = Client(who, 20), name, keys, sizes, rng
        self.history: list[Op] = []
        self.faults: list[str] = []
        self.tags: dict[str, tuple[str, int]] = {}  # by key, the tag and size it was last seen with
        self.sizes_of: dict[str, int] = {}  # by tag

    def ask(self, kind: str, key: str | None, method: str, only=None, size=None, **more) -> Reply:
        """Sends, waits, remembers."""
        began = time.monotonic_ns()
        reply = self.client.request(method, key, **more)
        ended = time.monotonic_ns()
        status = reply.status if reply.whole else 0
        if status == 200 and kind == "complete" and b"</CompleteMultipartUploadResult>" not in reply.body:
            status = 0  # the head of such an answer may go out before it is decided
        if kind in ("get", "head", "list"):
            if status not in (200, 404):
                return reply  # it saw nothing
            if status == 200 and kind == "get":
                size = self.judge(key, reply)
            elif status == 200 and kind == "head":
                size = int(reply.headers["content-length"])
        seen = listed(reply) if kind == "list" else ()
        self.history.append(Op(self.name, kind, key, began, ended, status, size, only, seen))
        if 200 <= status < 300 and size is not None and kind != "complete":
            self.learn(key, reply.etag, size)
        return reply

    def judge(self, key: str, reply: Reply) -> int:
        if reply.body != content(len(reply.body)):
            self.faults.append(f"GET {key}: {len(reply.body)} bytes that nobody wrote")
        return len(reply.body)

    def learn(self, key: str, tag: str, size: int) -> None:
        self.tags[key] = tag, size
        if self.sizes_of.setdefault(tag, size) != size:
            self.faults.append(f"{key}: {tag} names objects of {size} and {self.sizes_of[tag]} bytes")

    # ---- what a client does ----

    def put(self, key: str, headers=None, only=None) -> None:
        size = next(self.sizes)
        self.ask("put", key, "PUT", only, size, headers=headers, body=content(size))

    def create(self, key: str) -> None:
        self.put(key, {"if-none-match": "*"}, "absent")

    def swap(self, key: str) -> None:
        """A swap of what this client saw last: often it is that no more."""
        if key not in self.tags:
            return self.get(key)
        tag, only = self.tags[key]
        self.put(key, {"if-match": tag}, only)

    def delete(self, key: str, headers=None, only=None) -> None:
        self.ask("delete", key, "DELETE", only, headers=headers)

    def delete_only(self, key: str) -> None:
        if key not in self.tags:
            return self.head(key)
        tag, only = self.tags[key]
        self.delete(key, {"if-match": tag}, only)

    def complete(self, key: str) -> None:
        """An object of two parts, on any condition: only the last step changes the key."""
        size = next(self.sizes)
        begun = self.client.request("POST", key, [("uploads", "")])
        upload = re.search(rb"<UploadId>(.*?)</UploadId>", begun.body)
        if not upload:
            return
        upload, tags, data = upload[1].decode(), [], content(size)
        for number, part in enumerate((data[: size // 2], data[size // 2 :]), 1):
            sent = self.client.request("PUT", key, [("partNumber", str(number)), ("uploadId", upload)], body=part)
            if sent.status != 200:
                return
            tags.append(f"<Part><PartNumber>{number}</PartNumber><ETag>{sent.etag}</ETag></Part>")
        body = f"<CompleteMultipartUpload>{''.join(tags)}</CompleteMultipartUpload>".encode()
        only = self.rng.choice([None, "absent"])
        headers = {"if-none-match": "*"} if only else None
        self.ask("complete", key, "POST", only, size, query=[("uploadId", upload)], headers=headers, body=body)

    def get(self, key: str) -> None:
        self.ask("get", key, "GET")

    def head(self, key: str) -> None:
        self.ask("head", key, "HEAD")

    def list(self, _key: str) -> None:
        self.ask("list", None, "GET", query=[("list-type", "2"), ("prefix", "linear/")])

    def step(self) -> None:
        (act,) = self.rng.choices(list(self.acts), self.acts.values())
        getattr(self, act)(self.rng.choice(self.keys))


def at_work(recorder: Recorder, stop, done, pipe) -> None:
    """Works until told to stop; where nobody answers, it waits: what is not sent is not in doubt."""
    while not stop.is_set():
        before = len(recorder.history)
        recorder.step()
        with done.get_lock():
            done.value += len(recorder.history) - before
        if len(recorder.history) == before or recorder.history[-1].status == 0:
            stop.wait(0.05)
    recorder.client.close()
    pipe.send((recorder.history, recorder.faults))
    pipe.close()


class Crew:
    """The clients of one round; `home` brings what all of them saw, by the time of beginning."""

    def __init__(self, who: Identity, keys: list[str], clients: int, first_size: int, seed: str, recorder: type = Recorder):
        context = multiprocessing.get_context("fork")
        self.stop, self.done, self.hands = context.Event(), context.Value("i"), []
        for number in range(clients):
            sizes = iter(range(first_size + number, 1 << 24, SIZES_APART))
            one = recorder(who, f"c{number}", keys, sizes, random.Random(f"{seed}/{number}"))
            ours, theirs = context.Pipe(duplex=False)
            hand = context.Process(target=at_work, args=(one, self.stop, self.done, theirs), daemon=True)
            hand.start()
            theirs.close()
            self.hands.append((hand, ours))

    def work(self, operations: int, seconds_max: float) -> None:
        """Returns when so many operations were answered: a slow machine is to see as many as a fast one."""
        end = time.monotonic() + seconds_max
        while self.done.value < operations and time.monotonic() < end:
            time.sleep(0.005)

    def home(self, seconds_max: float = 60) -> tuple[list[Op], list[str]]:
        self.stop.set()
        history, faults = [], []
        for hand, pipe in self.hands:
            if not pipe.poll(seconds_max):
                hand.kill()
                raise RuntimeError("a client does not come home")
            seen, wrong = pipe.recv()
            history += seen
            faults += wrong
            hand.join()
        return sorted(history, key=lambda op: op.began), faults

    def home_alive(self) -> tuple[list[Op], list[str]]:
        """Nobody dies: every request has its answer."""
        history, faults = self.home()
        return history, faults + [f"nobody died, and {op} has no answer" for op in history if op.status == 0]

    def home_killed(self, vault: Vault) -> tuple[list[Op], list[str]]:
        """The server is killed with -9 and started again. What was cut off ended with it; what began after that reached
        nobody."""
        vault.kill()
        dead = time.monotonic_ns()
        history, faults = self.home()
        vault.start()
        seen = [op for op in history if op.status != 0 or op.began < dead]
        return [dataclasses.replace(op, ended=dead) if op.status == 0 else op for op in seen], faults
