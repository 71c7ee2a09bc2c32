"""Reads the manifest of a published version: the signed root, the index, the pages.

A second implementation, written from src/manifest/FORMAT.md alone. What it cannot read exactly it refuses.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from kluis_open import Refused, open_blob

MAGIC = b"KLUISM1\0"
SIGNATURE = 64
PAGE_MAX, PAGES_MAX, NAME_MAX, KEY_MAX = 524_288, 1_048_576, 255, 1024
HIDDEN, AFTER = b"\xfe", b"\xff"
FILE, DIRECTORY = 1, 2
NAME = re.compile(rb"[a-z0-9]+(-[a-z0-9]+)*")


class Bytes:
    """What is left to be read; whatever is not there is a refusal."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        piece = self.data[self.at : self.at + count]
        if len(piece) != count:
            raise Refused("form")
        self.at += count
        return piece

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "big")

    def short(self) -> bytes:
        return self.take(self.number(1))

    def counted(self) -> bytes:
        return self.take(self.number(2))

    def more(self) -> bool:
        return self.at < len(self.data)

    def end(self) -> None:
        demand(not self.more())


def demand(right: bool) -> None:
    if not right:
        raise Refused("form")


@dataclass(frozen=True)
class Root:
    dataset: str
    publication: str
    number: int
    frozen_ms: int
    previous: bytes
    objects: int
    bytes: int
    hidden: int
    pages: int
    index_blob: str
    index_bytes: int
    index_sha256: bytes
    name: str
    digest: bytes


def read_root(envelope: bytes, signer: bytes) -> Root:
    demand(len(envelope) >= SIGNATURE)
    root, signature = envelope[:-SIGNATURE], envelope[-SIGNATURE:]
    try:
        Ed25519PublicKey.from_public_bytes(signer).verify(signature, root)
    except InvalidSignature:
        raise Refused("signature") from None
    data = Bytes(root)
    demand(data.take(8) == MAGIC)
    ids = data.take(16).hex(), data.take(16).hex()
    number, frozen, previous = data.number(4), data.number(8), data.take(32)
    objects, total, hidden, pages = data.number(8), data.number(8), data.number(8), data.number(4)
    index = data.take(16).hex(), data.number(4), data.take(32)
    names = data.short(), data.short()
    data.end()
    demand(all(NAME.fullmatch(name) for name in names))
    demand(number >= 1 and (number == 1) == (previous == bytes(32)))
    demand(hidden <= objects and (objects == 0) == (pages == 0))
    name = "/".join(part.decode() for part in names)
    return Root(*ids, number, frozen, previous, objects, total, hidden, pages, *index, name, hashlib.sha256(root).digest())


@dataclass(frozen=True)
class PageRef:
    blob: str
    key: bytes
    bytes: int
    sha256: bytes
    entries: int
    first: bytes
    last: bytes


def read_index(plain: bytes) -> list[PageRef]:
    data = Bytes(plain)
    count = data.number(4)
    demand(count <= PAGES_MAX)
    pages = []
    for _ in range(count):
        page = PageRef(data.take(16).hex(), data.take(32), data.number(4), data.take(32), data.number(4), data.counted(), data.counted())
        demand(page.entries >= 1 and page.bytes <= PAGE_MAX and page.first <= page.last)
        demand(not pages or pages[-1].last < page.first)
        pages.append(page)
    data.end()
    return pages


@dataclass(frozen=True)
class Entry:
    directory: bytes
    name: bytes
    is_directory: bool = False
    bytes: int = 0
    written_ms: int = 0
    version: str = ""
    etag: str = ""
    crc64: int | None = None
    commitment: bytes = b""

    @property
    def sort_key(self) -> bytes:
        return self.directory + AFTER + self.name + (b"/" if self.is_directory else b"")

    @property
    def key(self) -> str:
        return (b"" if self.directory == HIDDEN else self.directory).decode() + self.name.decode()


def is_name(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return 1 <= len(name) <= NAME_MAX and name not in (b".", b"..") and b"/" not in name and b"\0" not in name


def is_directory(path: bytes) -> bool:
    if path in (b"", HIDDEN):
        return True
    return path.endswith(b"/") and len(path) <= KEY_MAX + 1 and all(is_name(part) for part in path[:-1].split(b"/"))


def read_entry(data: Bytes, directory: bytes) -> Entry:
    kind, name = data.number(1), data.counted()
    demand(directory == HIDDEN or is_name(name))
    if kind == DIRECTORY:
        demand(directory != HIDDEN)
        return Entry(directory, name, True)
    demand(kind == FILE)
    length, written, version, tag = data.number(8), data.number(8), data.take(16).hex(), data.short()
    known, crc64, commitment = data.number(1), data.number(8), data.take(32)
    demand(known == 1 or known == crc64 == 0)
    try:
        name.decode()
        etag = tag.decode("ascii")
    except UnicodeDecodeError:
        raise Refused("form") from None
    return Entry(directory, name, False, length, written, version, etag, crc64 if known else None, commitment)


def read_page(plain: bytes) -> list[Entry]:
    if len(plain) > PAGE_MAX:
        raise Refused("too-large")
    data, entries = Bytes(plain), []
    while data.more():
        directory, count = data.counted(), data.number(4)
        demand(is_directory(directory) and count >= 1)
        for _ in range(count):
            entry = read_entry(data, directory)
            demand(not entries or entries[-1].sort_key < entry.sort_key)
            entries.append(entry)
    return entries


def open_piece(sealed: bytes, key: bytes, blob: str, sha256: bytes) -> bytes:
    """The plaintext of a sealed index or page, which is compared with its digest before it is opened."""
    if hashlib.sha256(sealed).digest() != sha256:
        raise Refused("digest")
    what, plain = open_blob(key, sealed, blob)
    if what.kind != "manifest":
        raise Refused("description")
    return plain


def read_version(root: Root, index_key: bytes, sealed_index: bytes, sealed_page) -> Iterator[Entry]:
    """All entries of a version in order; `sealed_page(n)` gives the n-th page as it is sealed."""
    pages = read_index(open_piece(sealed_index, index_key, root.index_blob, root.index_sha256))
    demand(len(pages) == root.pages)
    for number, page in enumerate(pages):
        entries = read_page(open_piece(sealed_page(number), page.key, page.blob, page.sha256))
        demand(len(entries) == page.entries and (entries[0].sort_key, entries[-1].sort_key) == (page.first, page.last))
        yield from entries


def commitment(table: bytes) -> bytes:
    return hashlib.sha256(b"kluis v1 part table commitment\0" + table).digest()
