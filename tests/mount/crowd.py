"""S8: one directory of very many files, listed whole, from places that were told before, and by many at once.

    crowd.py OBJECTS      a vault that tools/versions.rs (VERSIONS_BIN) fills, since uploading a million objects takes half an hour
"""

import ctypes
import json
import os
import pathlib
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lab"), str(HERE.parent / "load")]
# Before the others, which bring a folder with another of this name.
from versions import fill  # noqa: E402  # isort: skip
import vault as lab  # noqa: E402
from mounts import Mount, publish  # noqa: E402
from vault import Vault, check, clean, done, say, scratch, seed  # noqa: E402

LIBC = ctypes.CDLL(None, use_errno=True)
# What the tool makes of each, and how many it stores.
BYTES, STORED = 100, 1000


class Directory:
    """readdir of the C library: what Python's listdir has no words for."""

    class Entry(ctypes.Structure):
        _fields_ = [("ino", ctypes.c_uint64), ("off", ctypes.c_int64), ("reclen", ctypes.c_uint16), ("kind", ctypes.c_uint8),
                    ("name", ctypes.c_char * 256)]

    LIBC.opendir.restype = LIBC.readdir.restype = ctypes.c_void_p
    LIBC.opendir.argtypes = [ctypes.c_char_p]
    LIBC.telldir.restype = ctypes.c_long
    LIBC.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
    for call in (LIBC.readdir, LIBC.telldir, LIBC.rewinddir, LIBC.closedir):
        call.argtypes = [ctypes.c_void_p]

    def __init__(self, path):
        self.handle = LIBC.opendir(os.fsencode(path))
        assert self.handle

    def next(self) -> bytes | None:
        entry = LIBC.readdir(self.handle)
        return ctypes.cast(entry, ctypes.POINTER(self.Entry)).contents.name if entry else None

    def tell(self) -> int:
        return LIBC.telldir(self.handle)

    def seek(self, place: int) -> None:
        LIBC.seekdir(self.handle, place)

    def rewind(self) -> None:
        LIBC.rewinddir(self.handle)

    def close(self) -> None:
        LIBC.closedir(self.handle)


def crowd(folder, names: set[str], size: int, rng) -> None:
    """One directory of very many files, each of `size` bytes."""
    begin = time.monotonic()
    listed = os.listdir(folder)
    say(f"{len(listed)} entries listed in {time.monotonic() - begin:.2f} s")
    check(f"S8: all {len(names)} of a directory, none twice", len(listed) == len(names) and set(listed) == names,
          (len(listed), len(set(listed) ^ names)))
    directory = Directory(folder)
    places, order = [], []
    while True:
        place = directory.tell()
        name = directory.next()
        if name is None:
            break
        places.append(place)
        order.append(name)
    check("S8: . and .. are there, once each", sorted(order)[:2] == [b".", b".."] and order.count(b".") == order.count(b"..") == 1)
    wrong = []
    for at in rng.sample(range(len(order)), 300):
        directory.seek(places[at])
        got = [directory.next() for _ in range(min(3, len(order) - at))]
        if got != order[at:at + 3]:
            wrong.append((at, got, order[at:at + 3]))
    check("S8: telldir and seekdir come back to the same entry, 300 times", not wrong, wrong[:2])
    directory.rewind()
    check("S8: rewinddir begins anew", [directory.next() for _ in range(5)] == order[:5])
    directory.close()
    program = "import os,sys; print(len(set(os.listdir(sys.argv[1]))), sum(e.stat().st_size for e in os.scandir(sys.argv[1])))"
    several = [subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        threads = list(pool.map(lambda _: set(os.listdir(folder)) == names, range(8)))
    said = {process.communicate(timeout=300)[0] for process in several}
    check("S8: eight threads and four processes list it at once", all(threads) and said == {f"{len(names)} {len(names) * size}\n"}, said)


def main() -> int:
    objects, rng = int(sys.argv[1]), random.Random(seed())
    lab.COMMAND_SECONDS_MAX = 1200
    base = scratch("mount-crowd")
    vault = Vault(base / "vault").start()
    try:
        vault.stop()
        say(fill(vault, objects, "flat"))
        vault.start()
        mount = Mount(vault, publish(vault), base / "data").start()
        top, names = mount.directory / "all", {f"{n:08}" for n in range(objects)}
        try:
            shown = json.loads((mount.directory / ".kluis/status").read_text())
            check(f"S8: a version of {objects} objects in one directory is mounted", shown["objects"] == objects, shown)
            crowd(top, names, BYTES, rng)
            run = subprocess.run(["find", str(top), "-type", "f", "-size", f"-{BYTES + 1}c", "-printf", "."], capture_output=True, check=False)
            check("S8: find sees each, with its attributes", len(run.stdout) == objects, (len(run.stdout), run.stderr[-300:]))
            right = [(top / f"{n:08}").read_bytes() == b"k" * BYTES for n in rng.sample(range(min(STORED, objects)), 50)]
            check("S8: and 50 of them are read by their names", all(right))
            absent = [name for name in ("99999999", "0000000", "000000000", f"{objects:08}") if os.path.exists(top / name)]
            check("S8: names between, before and behind them are none", not absent, absent)
            say(f"peak memory of the mount: {mount.kib('VmHWM') // 1024} MiB")
        finally:
            mount.stop()
    finally:
        vault.stop()
        clean(base)
    return done()


if __name__ == "__main__":
    sys.exit(main())
