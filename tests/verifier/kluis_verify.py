"""Checks a bundle of Kluis's log, or a copy of the log itself, given the log's public key.

A second implementation, written from docs/audit.md and C2SP's specifications; it shares no code with
the vault. It needs the package `cryptography`.

    python3 kluis_verify.py DIRECTORY KEY_FILE [--kept CHECKPOINT]... [--retention DAYS]

One line for each finding on standard error; exit code 0 if the evidence holds, 1 if it does not.
"""

import argparse
import base64
import hashlib
import hmac
import json
import struct
import sys
import time
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

DASH = "\u2014 "
# Five years, of which two may be leap years.
KEPT_DAYS = 1_827


class Refused(Exception):
    """What does not hold: `args[0]` is its kind, `args[1]` says what."""


# ---- the tree (RFC 6962) ----


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def leaf(data: bytes) -> bytes:
    return sha(b"\0", data)


def root_of(hashes: list[bytes]) -> bytes:
    if not hashes:
        return sha()
    while len(hashes) > 1:
        odd = hashes[-1:] if len(hashes) % 2 else []
        hashes = [sha(b"\1", a, b) for a, b in zip(hashes[::2], hashes[1::2])] + odd
    return hashes[0]


# ---- notes and checkpoints ----


def strict64(text: str) -> bytes:
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError("not canonical")
    return raw


def open_note(raw: bytes, vkey: str) -> str:
    """The text of a note that the key has signed."""
    name, key_id, blob = vkey.split("+", 2)
    key = strict64(blob)
    if key[0] != 1 or len(key) != 33 or sha(name.encode(), b"\n", key)[:4].hex() != key_id:
        raise Refused("checkpoint", "the key is not the public key of a log")
    try:
        text, _, lines = raw.decode().rpartition("\n\n")
        text += "\n"
        if any(c < " " and c != "\n" for c in raw.decode()) or not lines.endswith("\n") or text == "\n":
            raise ValueError
        signatures = []
        for line in lines[:-1].split("\n"):
            dash, who, what = line[:2], *line[2:].split(" ")
            if dash != DASH or not who:
                raise ValueError
            signatures.append((who, strict64(what)))
    except ValueError as error:
        raise Refused("checkpoint", "this is not a signed note") from error
    mine = [blob[4:] for who, blob in signatures if who == name and blob[:4].hex() == key_id]
    if not mine:
        raise Refused("checkpoint", "it is not signed by the log")
    for signature in mine:
        try:
            Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature, text.encode())
        except InvalidSignature as error:
            raise Refused("checkpoint", "a signature of the log does not verify") from error
    return text


def open_checkpoint(raw: bytes, vkey: str) -> tuple[str, int, bytes]:
    lines = open_note(raw, vkey).split("\n")
    try:
        origin, size, root = lines[0], lines[1], strict64(lines[2])
        fine = str(int(size)) == size and len(root) == 32 and all(lines[:-1]) and lines[-1] == ""
    except (IndexError, ValueError):
        fine = False
    if not fine or int(size) >= 1 << 63 or origin != vkey.split("+", 1)[0]:
        raise Refused("checkpoint", "the note is not a checkpoint of this log")
    return origin, int(size), root


# ---- tiles ----


def tile_name(kind: str, index: int, width: int) -> str:
    groups = [f"{index % 1000:03}"]
    while index := index // 1000:
        groups.insert(0, f"x{index % 1000:03}")
    return f"tile/{kind}/{'/'.join(groups)}" + (f".p/{width}" if width < 256 else "")


def read_tile(directory: Path, kind: str, index: int, width: int) -> bytes | None:
    for name in dict.fromkeys([tile_name(kind, index, width), tile_name(kind, index, 256)]):
        path = directory / name
        if path.is_file():
            return path.read_bytes()
    return None


def widths(size: int):
    for index in range(-(-size // 256)):
        yield index, min(256, size - index * 256)


# ---- CBOR, the subset of docs/audit.md ----


class Cbor:
    def __init__(self, raw: bytes):
        self.raw, self.at = raw, 0

    def take(self, count: int) -> bytes:
        part = self.raw[self.at : self.at + count]
        if len(part) != count:
            raise ValueError("short")
        self.at += count
        return part

    def head(self) -> tuple[int, int]:
        first = self.take(1)[0]
        major, small = first >> 5, first & 31
        if small < 24:
            return major, small
        if small > 27:
            raise ValueError("indefinite")
        value = int.from_bytes(self.take(1 << (small - 24)), "big")
        if value < (24, 1 << 8, 1 << 16, 1 << 32)[small - 24]:
            raise ValueError("not the shortest")
        return major, value

    def item(self, depth: int = 0):
        major, value = self.head()
        if depth > 8:
            raise ValueError("deep")
        if major == 0:
            return value
        if major == 2:
            return self.take(value)
        if major == 3:
            return self.take(value).decode()
        if major == 4:
            return [self.item(depth + 1) for _ in range(value)]
        if major == 5:
            found, last = {}, -1
            for _ in range(value):
                key = self.item(depth + 1)
                if not isinstance(key, int) or key <= last:
                    raise ValueError("keys do not ascend")
                found[key], last = self.item(depth + 1), key
            return found
        if major == 7 and value in (20, 21):
            return value == 21
        raise ValueError("type")

    @classmethod
    def whole(cls, raw: bytes):
        reader = cls(raw)
        item = reader.item()
        if reader.at != len(raw):
            raise ValueError("trailing")
        return item


# ---- the bundle ----


class Hidden(bytes):
    """The leaf of a record that is not shown."""


class Salted(bytes):
    """A record with its salt before it."""


STATED = ("README.txt", "bundle.json", "policies", "rows", "sessions")


def check_statement(directory: Path, vkey: str) -> None:
    """The files of a bundle are those that the log's key has signed."""
    note = directory / "statement"
    if not note.exists():
        raise Refused("bundle", "there is no statement of the bundle's files")
    text = "kluis bundle v1\nlog " + vkey.split("+", 1)[0] + "\n"
    for name in STATED:
        path = directory / name
        text += f"{name} {sha(path.read_bytes()).hex() if path.exists() else 'missing'}\n"
    if open_note(note.read_bytes(), vkey) != text:
        raise Refused("bundle", "a file is not the one that was signed")


def check_policies(path: Path) -> None:
    """Each text is what its name says: its SHA-256, or that of a policy's hash and all pieces of the rights under it."""
    raw, at, rights = path.read_bytes(), 8, {}
    if raw[:8] != b"KLUISPO1":
        raise Refused("bundle", "policies is not of its form")
    while at < len(raw):
        version, length = raw[at : at + 32], int.from_bytes(raw[at + 32 : at + 36], "big")
        text = raw[at + 36 : at + 36 + length]
        at += 36 + length
        if at > len(raw) or len(version) != 32:
            raise Refused("bundle", "policies is cut")
        if text.startswith(b"kluis-rights 1 "):
            head, _, part = text.partition(b"\n")
            policy, number, count = head.split(b" ")[2:]
            known = rights.setdefault(version, ({}, policy, int(count)))
            if known[0].setdefault(int(number), part) != part or known[1:] != (policy, int(count)):
                raise Refused("bundle", "two texts stand for one policy version")
        elif sha(text) != version:
            raise Refused("bundle", "a policy version is not what its hash says")
    for version, (parts, policy, count) in rights.items():
        if set(parts) != set(range(count)):
            raise Refused("bundle", "a part of a policy version is not there")
        if sha(bytes.fromhex(policy.decode()), *(parts[number] for number in range(count))) != version:
            raise Refused("bundle", "a policy version is not what its hash says")


class Rows:
    """The groups of the file `rows`, one after another."""

    def __init__(self, path: Path):
        self.file = path.open("rb")
        head = self.file.read(8)
        if head not in (b"KLUISRW1", b"KLUISRW2"):
            raise Refused("bundle", "rows is not of its form")
        self.part = head == b"KLUISRW2"

    def exactly(self, count: int) -> bytes:
        part = self.file.read(count)
        if len(part) != count:
            raise Refused("bundle", "rows is cut")
        return part

    def group(self):
        if not (first := self.file.read(1)):
            return None
        entry, tag = struct.unpack(">Q16s", first + self.exactly(23))
        seed = b"" if self.part else self.exactly(32)
        rows = []
        for _ in range(int.from_bytes(self.exactly(4), "big")):
            if not self.part:
                seq, length = struct.unpack(">QI", self.exactly(12))
                rows.append((seq, self.exactly(length)))
                continue
            length = int.from_bytes(self.exactly(4), "big")
            if length == 0xFFFFFFFF:
                rows.append((None, Hidden(self.exactly(32))))
            else:
                seq = int.from_bytes(self.exactly(8), "big")
                rows.append((seq, Salted(self.exactly(16 + length))))
        return entry, tag, seed, rows


def sessions_of(path: Path) -> set[bytes]:
    raw, hashes = path.read_bytes(), set()
    if raw[:8] != b"KLUISSE1":
        raise Refused("bundle", "sessions is not of its form")
    at = 8
    while at < len(raw):
        length = int.from_bytes(raw[at : at + 4], "big")
        session = raw[at + 4 : at + 4 + length]
        at += 4 + length
        if at > len(raw) or Cbor.whole(session)[:2] != [1, 1]:
            raise Refused("bundle", "sessions is cut or holds something else")
        hashes.add(sha(session))
    return hashes


class Verifier:
    def __init__(self, directory: Path, vkey: str, kept: list[Path], days: int, now: float):
        self.directory, self.findings, self.rows_good, self.rows_gone = directory, [], 0, 0
        self.origin, self.size, self.root = open_checkpoint((directory / "checkpoint").read_bytes(), vkey)
        self.kept = [open_checkpoint(path.read_bytes(), vkey) for path in kept]
        self.lanes, self.open, self.head = {}, set(), None
        self.shown, self.rows_hidden = None, 0
        self.first, self.end, self.scopes, self.rows, self.expired = 0, self.size, [], None, {}
        manifest = directory / "bundle.json"
        if manifest.exists():
            try:
                claims = json.loads(manifest.read_bytes())
                self.first, self.end = claims["first"], claims["end"]
                self.scopes = sorted((bytes.fromhex(s["tag"]), s["project"]) for s in claims["scopes"])
                fine = claims["schema"] == "kluis.bundle/1" and claims["origin"] == self.origin
                self.shown = claims.pop("shown", None)
                fine = fine and set(claims) == {"schema", "origin", "first", "end", "scopes"}
                fine = fine and 0 <= self.first <= self.end <= self.size
                fine = fine and all(len(tag) == 16 for tag, _ in self.scopes)
                self.removed(claims["scopes"], days, now)
            except (ValueError, KeyError, TypeError):
                fine = False
            if not fine:
                raise Refused("bundle", "bundle.json is not of this log")
            self.rows = Rows(directory / "rows")
            if self.rows.part != (self.shown is not None):
                raise Refused("bundle", "records are hidden for no reason")
            self.sessions = sessions_of(directory / "sessions")
            if (directory / "policies").exists():
                check_policies(directory / "policies")

    def removed(self, scopes: list[dict], days: int, now: float) -> None:
        """What is there no more must have been due, by the verifier's own clock and demand."""
        for scope in scopes:
            if set(scope) - {"project", "tag", "expired"}:
                raise ValueError("a scope says more than it may")
            if not (gone := scope.get("expired")):
                continue
            kept, before = int(gone["days"]), int(gone["before"])
            self.expired[bytes.fromhex(scope["tag"])] = before
            if kept < days:
                self.find("early", f"records of `{scope['project']}` were kept for {kept} days, not for {days}")
            if before > now * 1000 - kept * 86_400_000:
                self.find("early", f"records of `{scope['project']}` are gone that are not {kept} days old")

    def find(self, kind: str, text: str) -> None:
        self.findings.append((kind, text))

    def next_group(self) -> None:
        self.head = self.rows.group() if self.rows else None

    def run(self) -> None:
        self.next_group()
        leaves = []
        for index, width in widths(self.size):
            raw = read_tile(self.directory, "0", index, width)
            if raw is None or len(raw) < width * 32:
                raise Refused("tree", f"tile {index} is missing or cut")
            hashes = [raw[i * 32 : i * 32 + 32] for i in range(width)]
            self.entries(index, width, hashes)
            leaves += hashes
        if root_of(leaves) != self.root:
            self.find("tree", "the hashes do not lead to the checkpoint's root")
        for _, size, root in self.kept:
            if size > self.size:
                self.find("rolled-back", f"the log had {size} entries once, and has {self.size} now")
            elif root_of(leaves[:size]) != root:
                self.find("forked", f"the first {size} entries are not those of a kept checkpoint")
        while self.head:
            self.find("rows", f"entry {self.head[0]}: it has no such rows")
            self.next_group()

    def entries(self, index: int, width: int, hashes: list[bytes]) -> None:
        begin = index * 256
        if begin + width <= self.first or begin >= self.end:
            return
        raw = read_tile(self.directory, "entries", index, width)
        if raw is None:
            raise Refused("entry", f"bundle {index} is missing")
        at = 0
        for number in range(width):
            length = int.from_bytes(raw[at : at + 2], "big")
            entry = raw[at + 2 : at + 2 + length]
            at += 2 + length
            if at > len(raw):
                raise Refused("entry", f"bundle {index} is cut")
            if not self.first <= begin + number < self.end:
                continue
            if leaf(entry) != hashes[number]:
                self.find("entry", f"entry {begin + number} was altered")
                continue
            self.segment(begin + number, entry)
        # A full bundle may stand for a partial one.
        if at < len(raw) and (self.directory / tile_name("entries", index, width)).is_file():
            self.find("entry", f"bundle {index} holds more than it should")

    def segment(self, index: int, entry: bytes) -> None:
        version, body = Cbor.whole(entry)
        lane, first, count = body[0], body[1], body[2]
        if version != 1:
            raise Refused("entry", f"entry {index} is of another version")
        expected = self.lanes.get(lane, 0 if self.first == 0 else first)
        if first != expected:
            self.find("lane", f"entry {index}: lane {lane} goes on at {first} instead of {expected}")
        self.lanes[lane] = first + count
        if 5 in body:
            self.find("lost", f"entry {index}: records {first} to {first + count} could not be read")
        logged = {tag: (rows, root) for tag, rows, root in body[4]}
        for tag, project in self.scopes:
            while self.head and (self.head[0], self.head[1]) < (index, tag):
                self.find("rows", f"entry {self.head[0]}: it has no such rows")
                self.next_group()
            here = self.head if self.head and self.head[:2] == (index, tag) else None
            if here:
                self.next_group()
            if not here and tag in logged and body[3] < self.expired.get(tag, 0):
                self.rows_gone += logged[tag][0]
            elif bool(here) != (tag in logged):
                self.find("rows", f"entry {index}: rows are missing, or are there that were not logged")
            elif here:
                self.group(here, logged[tag], (lane, first, first + count), project)

    def group(self, group, logged, place, project: str) -> None:
        index, _, seed, rows = group
        lane, first, end = place
        leaves, shown = [], []
        for seq, record in rows:
            if isinstance(record, Hidden):
                leaves.append(bytes(record))
                continue
            number = seq.to_bytes(8, "big")
            salt = hmac.new(seed, number, hashlib.sha256).digest()[:16] if seed else b""
            leaves.append(leaf(number + salt + record))
            shown.append((seq, bytes(record[16:]) if isinstance(record, Salted) else record))
        if (len(leaves), root_of(leaves)) != logged:
            self.find("rows", f"entry {index}: {logged[0]} rows were logged, and these are others")
            return
        self.rows_hidden += len(leaves) - len(shown)
        for seq, record in shown:
            if not first <= seq < end:
                self.find("record", f"record {seq} of lane {lane} is out of order")
            first = seq + 1
            told = self.record(record, project)
            if told:
                self.find("record", f"record {seq} of lane {lane}: {told}")
            else:
                self.rows_good += 1

    def record(self, raw: bytes, project: str) -> str | None:
        version, kind, body = Cbor.whole(raw)
        if version != 1 or (kind not in (2, 3, 4) and project):
            return "it is not of this project"
        intent = body if kind == 2 else body[0] if kind == 4 else None
        if intent is not None:
            named = [intent.get(6, {}).get(0), intent.get(7, {}).get(0)]
            if project and project not in named:
                return "it is not of this project"
            if intent[0] not in self.sessions:
                return "its session is not in the bundle"
        if kind == 2:
            if (project, body[1]) in self.open:
                return "its request began before"
            self.open.add((project, body[1]))
        if kind == 3:
            if (project, body[0]) not in self.open and self.first == 0 and project and not self.expired:
                return "it ends a request that never began"
            self.open.discard((project, body[0]))
        return None


def verify(
    directory: Path, vkey: str, kept: list[Path] = (), days: int = KEPT_DAYS, now: float | None = None
) -> Verifier:
    """Raises `Refused` where there is nothing to go on with; else see its findings."""
    try:
        verifier = Verifier(directory, vkey, list(kept), days, time.time() if now is None else now)
        verifier.run()
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise Refused("bundle", f"a file has not the form of its kind ({error})") from error
    return verifier


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("key_file", type=Path, help="the log's public key, as `kluis-audit key` prints it")
    parser.add_argument("--kept", type=Path, action="append", default=[], help="an older checkpoint of this log")
    parser.add_argument(
        "--retention", type=int, default=KEPT_DAYS, metavar="DAYS", help="records must have been kept for so many days"
    )
    args = parser.parse_args()
    try:
        key = args.key_file.read_text(encoding="utf-8").strip()
        # Of a copy of the log itself nothing is stated; of a bundle each file is.
        if any((args.directory / name).exists() for name in (*STATED, "statement")):
            check_statement(args.directory, key)
        verifier = verify(args.directory, key, args.kept, args.retention)
        findings = verifier.findings
    except Refused as refused:
        findings = [refused.args]
    for kind, text in findings:
        print(f"kluis_verify: {kind}: {text}", file=sys.stderr)
    if not findings:
        shown = f" of {verifier.shown!r} and {verifier.rows_hidden} leaves" if verifier.shown else ""
        print(
            f"{verifier.origin}: {verifier.size} entries, {verifier.rows_good} records{shown}, "
            f"{verifier.rows_gone} removed; the evidence holds"
        )
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
