"""The load of the crash suites: writers, readers and listers, each a process of its own, and what they remember.

Each writer owns its keys and does one thing at a time, so that the order of attempts on a key is known. The bytes of an
attempt follow from its name, and the name travels as user metadata: whoever reads an object knows what it must be.
"""

import multiprocessing
import random
import time
from dataclasses import dataclass, field

from vault import Client, Identity, Reply, pages

WRITERS, READERS, KEYS = 3, 2, 14
SIZES = (0, 1, 700, 4096, 65535, 65536, 65537, 200_000)
META = "x-amz-meta-attempt"


def content(attempt: str) -> bytes:
    """The bytes of an attempt; its name ends with their number."""
    return random.Random(attempt).randbytes(int(attempt.rsplit("-", 1)[1]))


def fault(reply: Reply, start: int | None = None, end: int | None = None) -> str:
    """What is wrong with the bytes of a successful read; empty where they are those of one attempt."""
    attempt = reply.headers.get(META, "")
    if not attempt:
        return "no attempt named"
    want = content(attempt)[start:end]
    if not want.startswith(reply.body) or (reply.whole and want != reply.body):
        return f"{len(reply.body)} bytes are not those of {attempt}"
    return ""


@dataclass
class Memory:
    """What one worker brings home."""

    # By key, what it may hold: the attempt acknowledged last, and those after it without an answer; "" is absence.
    may: dict[str, set[str]] = field(default_factory=dict)
    done: int = 0  # acknowledged writes, or reads
    statuses: dict[int, int] = field(default_factory=dict)
    reads: list[tuple[str, int, int]] = field(default_factory=list)  # event, status, bytes that came
    faults: list[str] = field(default_factory=list)
    slowest_s: float = 0.0

    def saw(self, reply: Reply, began: float) -> None:
        self.statuses[reply.status] = self.statuses.get(reply.status, 0) + 1
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)


class Writer:
    """Puts, overwrites, copies, completes and deletes its own keys until it is told to stop or nobody answers."""

    def __init__(self, who: Identity, name: str, number: int, rng: random.Random, memory: Memory):
        self.client, self.name, self.number, self.rng, self.memory = Client(who), name, number, rng, memory

    def attempt(self, size: int) -> str:
        self.number += 1
        return f"{self.name}-{self.number}-{size}"

    def tried(self, key: str, attempt: str, reply: Reply, word: bytes = b"") -> bool:
        """Remembers how an attempt ended. Whatever is not acknowledged may have happened, or not."""
        acknowledged = reply.status in (200, 204) and reply.whole and word in reply.body
        if acknowledged:
            self.memory.may[key] = {attempt}
            self.memory.done += 1
        else:
            self.memory.may[key].add(attempt)
        return acknowledged

    def timed(self, *arguments, **named) -> Reply:
        began = time.monotonic()
        reply = self.client.request(*arguments, **named)
        self.memory.saw(reply, began)
        return reply

    def put(self, key: str) -> None:
        attempt = self.attempt(self.rng.choice(SIZES))
        self.tried(key, attempt, self.timed("PUT", key, headers={META: attempt}, body=content(attempt)))

    def delete(self, key: str) -> None:
        self.tried(key, "", self.timed("DELETE", key))

    def copy(self, key: str) -> None:
        sources = [k for k, may in self.memory.may.items() if len(may) == 1 and "" not in may and k != key]
        if not sources:
            return self.put(key)
        source = self.rng.choice(sources)
        (attempt,) = self.memory.may[source]
        header = {"x-amz-copy-source": f"/{self.client.who.bucket}/{source}"}
        self.tried(key, attempt, self.timed("PUT", key, headers=header), b"</CopyObjectResult>")

    def multipart(self, key: str) -> None:
        sizes = [self.rng.choice(SIZES[2:]) for _ in range(self.rng.randrange(1, 4))]
        attempt = self.attempt(sum(sizes))
        reply = self.timed("POST", key, [("uploads", "")], {META: attempt})
        upload = reply.body.partition(b"<UploadId>")[2].partition(b"</UploadId>")[0].decode()
        if not upload:
            return
        data, tags = content(attempt), []
        for number, size in enumerate(sizes, 1):
            part, data = data[:size], data[size:]
            reply = self.timed("PUT", key, [("partNumber", str(number)), ("uploadId", upload)], body=part)
            if reply.status != 200:
                return
            tags.append(reply.etag)
        listed = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{t}</ETag></Part>" for n, t in enumerate(tags, 1))
        body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        reply = self.timed("POST", key, [("uploadId", upload)], body=body)
        self.tried(key, attempt, reply, b"</CompleteMultipartUploadResult>")

    def step(self) -> None:
        key = self.rng.choice(sorted(self.memory.may))
        acts = [self.put, self.multipart, self.copy, self.delete]
        self.rng.choices(acts, [5, 2, 2, 1])[0](key)


def writer(who: Identity, name: str, number: int, rng: random.Random, memory: Memory, stop) -> None:
    hand = Writer(who, name, number, rng, memory)
    while not stop.is_set():
        silent = memory.statuses.get(0, 0)
        hand.step()
        if memory.statuses.get(0, 0) > silent:
            stop.wait(0.3)  # nobody is there: what is not sent cannot be unsure


def reader(who: Identity, keys: list[str], rng: random.Random, memory: Memory, stop) -> None:
    """Whole objects and ranges of keys that are being written."""
    client = Client(who)
    while not stop.is_set():
        key, start = rng.choice(keys), rng.choice([None, 0, 1, 65530])
        end = None if start is None else start + rng.choice([1, 16, 70_000])
        headers = {} if start is None else {"range": f"bytes={start}-{end - 1}"}
        began = time.monotonic()
        reply = client.request("GET", key, headers=headers)
        memory.saw(reply, began)
        if reply.status == 0:
            stop.wait(0.1)
        if reply.body and reply.status in (200, 206):
            memory.reads.append((reply.event, reply.status, len(reply.body)))
            memory.done += 1
            if wrong := fault(reply, start, end):
                memory.faults.append(f"GET {key} {headers}: {wrong}")


def slow_reader(who: Identity, key: str, memory: Memory, stop) -> None:
    """Takes a large object a little at a time, so that a kill always cuts a read in two."""
    client = Client(who)
    while not stop.is_set():
        count, event, status = 0, "", 0
        try:
            answer = client.send("GET", key)
            event, status = answer.headers.get("x-amz-request-id", ""), answer.status
            while data := answer.read(65536):
                count += len(data)
                if stop.wait(0.05):
                    break
        except Exception:  # noqa: BLE001  (the connection breaks in many ways; what came counts)
            stop.wait(0.05)
        client.close()
        if count and status == 200:
            memory.reads.append((event, status, count))


def lister(who: Identity, memory: Memory, stop) -> None:
    """Listings in small pages while keys come and go: each key once, in order."""
    client = Client(who)
    while not stop.is_set():
        try:
            found = list(pages(client, "w", 7))
        except (RuntimeError, TypeError, ValueError):
            stop.wait(0.02)
            continue
        memory.done += 1
        if found != sorted(found):
            memory.faults.append(f"LIST out of order: {found}")


def at_work(target, arguments: tuple, memory: Memory, stop, pipe) -> None:
    try:
        target(*arguments, memory, stop)
    finally:
        pipe.send(memory)
        pipe.close()


class Crew:
    """All workers of one round; `home` stops them and brings what each remembers."""

    def __init__(self, who: Identity, may: dict[str, set[str]], number: int, seed: str, slow_key: str | None = None):
        self.context = multiprocessing.get_context("fork")
        self.stop, self.hands = self.context.Event(), []
        for w in range(WRITERS):
            mine = Memory({key: set(held) for key, held in may.items() if key.startswith(f"w{w}/")})
            self.hire("writer", writer, (who, f"w{w}", number, random.Random(f"{seed}w{w}")), mine)
        for r in range(READERS):
            self.hire("reader", reader, (who, sorted(may), random.Random(f"{seed}r{r}")), Memory())
        if slow_key:
            self.hire("slow", slow_reader, (who, slow_key), Memory())
        self.hire("lister", lister, (who,), Memory())

    def hire(self, role: str, target, arguments: tuple, memory: Memory) -> None:
        ours, theirs = self.context.Pipe(duplex=False)
        worker = self.context.Process(target=at_work, args=(target, arguments, memory, self.stop, theirs), daemon=True)
        worker.start()
        theirs.close()
        self.hands.append((role, worker, ours))

    def home(self, seconds_max: float = 40) -> list[tuple[str, Memory]]:
        self.stop.set()
        memories = []
        for role, worker, pipe in self.hands:
            if not pipe.poll(seconds_max):
                worker.kill()
                raise RuntimeError(f"a {role} does not come home")
            memories.append((role, pipe.recv()))
            worker.join()
        return memories


def empty_keys() -> dict[str, set[str]]:
    return {f"w{w}/{k:02}": {""} for w in range(WRITERS) for k in range(KEYS)}


def settled(client: Client, may: dict[str, set[str]]) -> tuple[dict[str, set[str]], list[str]]:
    """Reads every key in quiet: what each holds now, and each way in which that is not what it may hold."""
    holds, faults = {}, []
    listed = pages(client, "w", 1000)
    for key, allowed in sorted(may.items()):
        got, head = client.request("GET", key), client.request("HEAD", key)
        if got.status == 404:
            found = ""
            if key in listed or head.status != 404:
                faults.append(f"{key}: GET 404, HEAD {head.status}, listed {key in listed}")
        elif got.status != 200 or not got.whole:
            faults.append(f"{key}: GET {got}, may hold {sorted(allowed)}")
            continue
        else:
            found = got.headers.get(META, "?")
            if wrong := fault(got):
                faults.append(f"{key}: {wrong}")
            views = {(len(got.body), got.etag), (int(head.headers.get("content-length", -1)), head.etag), listed.get(key)}
            if len(views) != 1:
                faults.append(f"{key}: GET, HEAD and LIST disagree: {views}")
        if found not in allowed:
            faults.append(f"{key}: holds {found or 'nothing'}, may hold {sorted(allowed)}")
        holds[key] = {found}
    if foreign := sorted(set(listed) - set(may)):
        faults.append(f"keys that nobody wrote: {foreign[:5]}")
    return holds, faults
