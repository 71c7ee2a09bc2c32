"""Opens a blob that Kluis sealed, given its data key and nothing else.

A second implementation, written from src/seal/FORMAT.md alone; it shares no code with the vault
and knows neither its catalog nor its store. It needs the package `cryptography`.

    python3 kluis_open.py KEY_FILE BLOB_FILE [--id BLOB_ID] > plaintext

KEY_FILE holds the data key as 64 hex digits.
"""

import argparse
import hmac
import sys
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAGIC = b"KLUISv1\0"
SUITES = {1: AESGCM, 2: ChaCha20Poly1305}
KINDS = {1: "object", 2: "part", 3: "snapshot", 4: "manifest"}
LENGTH_CLASS = 16
SEGMENT = 1 << LENGTH_CLASS
TAG = 16
HEADER = 136
PLAINTEXT_MAX = 1 << 40


class Refused(Exception):
    """The blob is not what was sealed; `args[0]` is the class that FORMAT.md names."""


@dataclass(frozen=True)
class Description:
    kind: str
    index: int
    plaintext_bytes: int
    created_ms: int
    dataset: str
    owner: str

    @classmethod
    def decode(cls, raw: bytes) -> "Description":
        number = lambda start, end: int.from_bytes(raw[start:end], "big")
        length = number(8, 16)
        if raw[0] not in KINDS or any(raw[1:4]) or not 1 <= length <= PLAINTEXT_MAX:
            raise Refused("description")
        return cls(KINDS[raw[0]], number(4, 8), length, number(16, 24), raw[24:40].hex(), raw[40:56].hex())


def derive(key: bytes, header: bytes, label: str) -> bytes:
    info = label.encode("ascii") + b"\0" + header[:16]
    return HKDF(algorithm=SHA256(), length=32, salt=header[16:32], info=info).derive(key)


def check_header(header: bytes, blob_id: str | None) -> None:
    if len(header) < HEADER:
        raise Refused("header")
    if header[:8] != MAGIC:
        raise Refused("magic")
    if header[8] not in SUITES:
        raise Refused("suite")
    if header[9] != LENGTH_CLASS:
        raise Refused("class")
    if any(header[10:16]):
        raise Refused("reserved")
    if blob_id is not None and header[16:32].hex() != blob_id:
        raise Refused("blob-id")


def authentic(cipher, nonce: bytes, sealed: bytes, bound: bytes, refusal: str) -> bytes:
    try:
        return cipher.decrypt(nonce, sealed, bound)
    except InvalidTag:
        raise Refused(refusal) from None


def open_blob(key: bytes, blob: bytes, blob_id: str | None = None) -> tuple[Description, bytes]:
    """The description and the plaintext of a whole blob, or `Refused`."""
    header, body = blob[:HEADER], blob[HEADER:]
    check_header(header, blob_id)
    suite = SUITES[header[8]]
    if not hmac.compare_digest(derive(key, header, "kluis v1 blob commitment"), header[32:64]):
        raise Refused("commitment")
    cipher = suite(derive(key, header, "kluis v1 blob description"))
    what = Description.decode(authentic(cipher, bytes(12), header[64:], header[:64], "description"))
    segments = -(-what.plaintext_bytes // SEGMENT)
    if len(body) != what.plaintext_bytes + segments * TAG:
        raise Refused("length")
    cipher = suite(derive(key, header, "kluis v1 blob segments"))
    plain = bytearray()
    for n in range(segments):
        sealed = body[n * (SEGMENT + TAG) : (n + 1) * (SEGMENT + TAG)]
        nonce = n.to_bytes(11, "big") + bytes([n == segments - 1])
        plain += authentic(cipher, nonce, sealed, header[:32], "segment")
    return what, bytes(plain)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("key_file", type=Path, help="the data key as 64 hex digits")
    parser.add_argument("blob_file", type=Path)
    parser.add_argument("--id", help="the name that the blob has in the store")
    args = parser.parse_args()
    key = bytes.fromhex(args.key_file.read_text(encoding="ascii").strip())
    if len(key) != 32:
        print("kluis_open: error: a data key is 64 hex digits", file=sys.stderr)
        return 2
    try:
        what, plain = open_blob(key, args.blob_file.read_bytes(), args.id)
    except Refused as refused:
        print(f"kluis_open: error: the blob is not authentic: {refused}", file=sys.stderr)
        return 1
    print(f"kluis_open: {what}", file=sys.stderr)
    sys.stdout.buffer.write(plain)
    return 0


if __name__ == "__main__":
    sys.exit(main())
