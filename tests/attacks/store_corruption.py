"""The store as the enemy: blobs swapped, cut, extended, flipped, deleted, replaced by older ones.

Needs a local store in DIR/store. Whatever is done to a blob, a read never yields a byte that was not
written: it ends with an error, or with the connection cut, or the right bytes that came before. What
was done is undone again, and then everything reads as it was.
"""

import os
import pathlib
import shutil

from common import *
from wire import UNSIGNED

STORE = pathlib.Path(os.environ["KLUIS_ENV_DIR"]) / "store"
SEGMENT = 65536
A, B = os.urandom(5 * SEGMENT + 123), os.urandom(5 * SEGMENT + 123)  # of one length: nothing but the keys differs

if not STORE.is_dir():
    print("SKIP store_corruption: no local store here")
    done()


def files() -> set[pathlib.Path]:
    return {path for path in STORE.rglob("*") if path.is_file()}


def blob_of(key: str, data: bytes) -> pathlib.Path:
    """Writes an object and finds the file that came with it: the new one as large as its content."""
    before = files()
    put(key, data, payload=UNSIGNED)
    new = [path for path in files() - before if path.stat().st_size >= len(data)]
    equal(len(new), 1, f"blobs of {key}:")
    return new[0]


a, b = blob_of("a", A), blob_of("b", B)
old = blob_of("c", A)
OLD_BYTES = old.read_bytes()
new = blob_of("c", B)  # the second version of the same key


def honest(key: str, data: bytes, **headers) -> Answer:
    """Reads `key`: never a wrong byte, and never all of them with a whole answer."""
    answer = get(key, headers=headers)
    if answer.status in (200, 206):
        equal(data.startswith(answer.body), True, f"{key}: wrong bytes were handed out:")
        equal(answer.whole and len(answer.body) == len(data), False, f"{key}: the damage went unnoticed:")
    else:
        equal(answer.status == 0 or answer.status >= 400, True, str(answer))
        equal(data[:16] in answer.body, False, f"{key}: plaintext in an error:")
    return answer


def damaged(path: pathlib.Path, damage, verify) -> None:
    """Runs `damage` on a blob and `verify` while it lasts; then everything is put back and must read well."""
    kept = path.read_bytes()
    try:
        path.chmod(0o600)
        damage(path)
        verify()
    finally:
        path.write_bytes(kept)
    for key, data in (("a", A), ("b", B), ("c", B)):
        answer = get(key)
        equal((answer.status, answer.body == data), (200, True), f"{key}, put back:")


@check("the store holds no plaintext and no name")
def _():
    for path in files():
        data = path.read_bytes()
        for secret in (A[:32], A[SEGMENT : SEGMENT + 32], B[:32], PREFIX.encode(), BUCKET.encode(), OWNER.secret.encode()):
            equal(secret in data, False, f"{secret[:20]!r} in {path.name}:")
        equal(BUCKET in str(path.relative_to(STORE)), False, str(path))


@check("two blobs swapped")
def _():
    left = a.read_bytes()

    def swap(path):
        path.write_bytes(b.read_bytes())
        b.chmod(0o600)
        b.write_bytes(left)

    kept = b.read_bytes()
    try:
        damaged_pair = [a.write_bytes, b.write_bytes]
        a.chmod(0o600)
        swap(a)
        honest("a", A)
        honest("b", B)
    finally:
        for write, data in zip(damaged_pair, (left, kept)):
            write(data)
    equal((get("a").body == A, get("b").body == B), (True, True), "put back:")


@check("replaced by another blob of the same length")
def _():
    damaged(a, lambda path: path.write_bytes(b.read_bytes()), lambda: honest("a", A))


@check("rolled back to the version before")
def _():
    damaged(new, lambda path: path.write_bytes(OLD_BYTES), lambda: honest("c", B))


@check("truncated: to nothing, in the header, at each segment's border, by one byte")
def _():
    size = a.stat().st_size
    head = size - len(A)
    for keep in {0, 1, 16, 64, *range(head % SEGMENT, size, SEGMENT + 16), size - SEGMENT, size - 140, size - 16, size - 1}:
        damaged(a, lambda path: os.truncate(path, keep), lambda: honest("a", A))


@check("cut so that the last segment is missing whole")
def _():
    damaged(a, lambda path: os.truncate(path, path.stat().st_size - 123 - 16), lambda: honest("a", A))


@check("extended: by a byte, by zeros, by its own last segment")
def _():
    for more in (b"\0", bytes(SEGMENT), a.read_bytes()[-(SEGMENT + 16) :]):
        damaged(a, lambda path: path.write_bytes(path.read_bytes() + more), lambda: honest("a", A))


@check("one bit flipped, in 60 places from the first byte to the last")
def _():
    size = a.stat().st_size
    places = {0, 1, 4, 8, 15, 16, 31, 32, 47, 48, 63, 64, 100, 127, 128, 200, size - 1, size - 16, size - 17}
    places |= {size * i // 40 for i in range(40)}
    for place in sorted(places):
        def flip(path):
            data = bytearray(path.read_bytes())
            data[place] ^= 0x40
            path.write_bytes(data)

        damaged(a, flip, lambda: honest("a", A))


@check("two segments of one blob swapped")
def _():
    def swap(path):
        data = path.read_bytes()
        sealed = SEGMENT + 16
        head = len(data) - (len(A) + 16 * (len(A) // SEGMENT + 1))
        first, second = data[head : head + sealed], data[head + sealed : head + 2 * sealed]
        path.write_bytes(data[:head] + second + first + data[head + 2 * sealed :])

    damaged(a, swap, lambda: honest("a", A))


@check("deleted, and a directory in its place")
def _():
    damaged(a, lambda path: path.unlink(), lambda: honest("a", A))

    kept = a.read_bytes()
    try:
        a.unlink()
        a.mkdir()
        honest("a", A)
    finally:
        shutil.rmtree(a)
        a.write_bytes(kept)
    equal(get("a").body == A, True, "put back:")


@check("a link to another blob, and to a file outside the store")
def _():
    for target in (b, pathlib.Path("/etc/hostname")):
        kept = a.read_bytes()
        try:
            a.unlink()
            a.symlink_to(target)
            honest("a", A)
        finally:
            a.unlink()
            a.write_bytes(kept)
    equal(get("a").body == A, True, "put back:")


@check("a range of the damaged part fails; a range elsewhere is right or fails")
def _():
    def flip(path):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    def verify():
        middle = len(A) // 2
        honest("a", A[middle - 1000 : middle + 1000], range=f"bytes={middle - 1000}-{middle + 999}")
        answer = get("a", headers={"range": "bytes=0-99"})
        if answer.status == 206:
            equal(answer.body, A[:100])

    damaged(a, flip, verify)


@check("a copy and HEAD do not mend or hide the damage")
def _():
    def flip(path):
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)

    def verify():
        answer = request(OWNER, "PUT", BUCKET, PREFIX + "copy", headers={"x-amz-copy-source": f"/{BUCKET}/{PREFIX}a"})
        if answer.status == 200:
            honest("copy", A)

    damaged(a, flip, verify)


done()
