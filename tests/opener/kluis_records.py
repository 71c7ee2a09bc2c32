"""Derives keys, opens sealed records and part tables: the way from a ring key to a data key.

Written from src/seal/FORMAT.md alone, as kluis_open.py is, which opens the blobs themselves.
"""

import hashlib
import hmac
from collections.abc import Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from kluis_open import Refused

EXTENT = 93
EXTENTS_MAX = 100_000


def derive(parent: bytes, label: str, salt: bytes | None = None) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=label.encode("ascii") + b"\0").derive(parent)


def open_record(parent: bytes, label: str, context: bytes, sealed: bytes) -> bytes:
    salt, rest = sealed[:32], sealed[32:]
    try:
        return AESGCM(derive(parent, label, salt)).decrypt(bytes(12), rest, context)
    except (InvalidTag, ValueError):
        raise Refused("record") from None


def snapshot_name(ring_key: bytes, sequence: int) -> str:
    names = derive(ring_key, "kluis v1 ring snapshot names")
    return hmac.digest(names, sequence.to_bytes(8, "big"), hashlib.sha256)[:16].hex()


def binding(row: dict) -> bytes:
    text = lambda value: len(value.encode()).to_bytes(2, "big") + value.encode()
    place = row["place"]
    if "object" in place:
        where = b"\1" + text(place["object"])
    else:
        where = b"\2" + bytes.fromhex(place["upload"]) + place["number"].to_bytes(4, "big")
    head = bytes.fromhex(row["dataset"]) + bytes.fromhex(row["version"])
    return head + where + row["bytes"].to_bytes(8, "big") + text(row["etag"])


def extents(plain: bytes) -> Iterator[dict]:
    count = int.from_bytes(plain[:4], "big")
    if count > EXTENTS_MAX or len(plain) != 4 + EXTENT * count:
        raise Refused("record")
    for at in range(4, len(plain), EXTENT):
        raw = plain[at : at + EXTENT]
        number = lambda start, end, raw=raw: int.from_bytes(raw[start:end], "big")
        yield {
            "blob_id": raw[:16].hex(),
            "key": raw[16:48].hex(),
            "suite": raw[48],
            "blob_plaintext_bytes": number(49, 57),
            "owner": raw[57:73].hex(),
            "index": number(73, 77),
            "start": number(77, 85),
            "len": number(85, 93),
        }


def open_table(key: bytes, version: int, row: dict, sealed: bytes) -> list[dict]:
    """The extents of the object or part that `row` describes, or `Refused`."""
    prefix = b"\1" + version.to_bytes(4, "big")
    if sealed[:5] != prefix:
        raise Refused("record")
    context = prefix + binding(row)
    plain = open_record(key, "kluis v1 part table", context, sealed[5:])
    found = list(extents(plain))
    inside = all(e["len"] >= 1 and e["start"] + e["len"] <= e["blob_plaintext_bytes"] for e in found)
    if not inside or sum(e["len"] for e in found) != row["bytes"]:
        raise Refused("record")
    return found


def table_salt(key: bytes, version: int, row: dict, plain: bytes) -> bytes:
    """What an honest writer takes as salt; who opens a table need not know it."""
    context = b"\1" + version.to_bytes(4, "big") + binding(row)
    framed = len(context).to_bytes(8, "big") + context + plain
    return hmac.digest(derive(key, "kluis v1 part table salt"), framed, hashlib.sha256)
