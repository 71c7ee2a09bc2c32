"""Mounts side by side: kluis mount, which opens and verifies, and others that read plaintext, on one store, in turn.

    tests/load/mounts.py seq [--mib 512] [--rounds 3]        one large file, dd bs=1M, page cache dropped before each
    tests/load/mounts.py streams [--mib 256]                 four of them at once
    tests/load/mounts.py small [--files 2000] [--delay 15]   files of 150 KiB behind a store that answers so many ms later
    tests/load/mounts.py random [--delay 15]                 reads of 4 KiB, cold
    tests/load/mounts.py find [--files 20000]                find with stat on a mount that was just made

KLUIS_BIN names the release binary; MOUNTPOINT, where there is one, a program `MOUNTPOINT BUCKET DIR ENDPOINT` that mounts with
mountpoint-s3's library (`cargo build --release --manifest-path tests/load/mountpoint/Cargo.toml`, some 20 minutes). s3fs and rclone are
used where they are installed. Root, /dev/fuse and SeaweedFS are needed; DELAY_BIN, the tool `delay` (feature `measure`), where the store
answers late: without it a relay in Python is what is measured. Markdown on standard output. CPU seconds are those of the mount's process
(and of the gateway in the column beside it) for each GiB read. Of small files the others read 200 at most: they take 20 to 40 ms for each.
"""

import argparse
import concurrent.futures
import os
import random
import shutil
import subprocess
import sys

from beside import MIB, SMALL, Lab, compare, dd
from vault import clean, scratch, until


def peers() -> list[str]:
    found = ["mountpoint-s3"] if os.environ.get("MOUNTPOINT") else []
    return found + [name for name in ("s3fs", "rclone") if shutil.which(name)]


def main() -> int:
    asks = argparse.ArgumentParser()
    asks.add_argument("case", choices=["seq", "streams", "small", "random", "find"])
    asks.add_argument("--mib", type=int, default=512)
    asks.add_argument("--rounds", type=int, default=3)
    asks.add_argument("--files", type=int)
    asks.add_argument("--delay", type=float, default=None)
    ask = asks.parse_args()
    ask.files = ask.files or {"small": 2_000, "find": 20_000}.get(ask.case, 300)
    delay = ask.delay if ask.delay is not None else (15 if ask.case in ("small", "random") else 0)
    base = scratch("mounts")
    lab = None
    try:
        if ask.case == "seq":
            lab = Lab(base, delay, {"large": ask.mib * MIB}, peers())
            names = [*peers(), "kluis", "kluis, direct I/O", "kluis, cache"]
            compare(lab, names, ask.rounds, lambda top, _: dd(top / "large", ask.mib), ask.mib * MIB, "MiB/s", ask.mib)
        elif ask.case == "streams":
            lab = Lab(base, delay, {f"large/{n}": ask.mib * MIB for n in range(4)}, peers())

            def four(top, _):
                with concurrent.futures.ThreadPoolExecutor(4) as pool:
                    list(pool.map(lambda n: dd(top / f"large/{n}", ask.mib), range(4)))
            names = [*peers(), "kluis", "kluis, direct I/O"]
            compare(lab, names, ask.rounds, four, 4 * ask.mib * MIB, "MiB/s", 4 * ask.mib)
        elif ask.case == "small":
            keys = [f"train/{n:05}" for n in range(ask.files)]
            lab = Lab(base, delay, dict.fromkeys(keys, SMALL), peers())
            order = random.Random(3).sample(keys, len(keys))

            def read(path):
                with open(path, "rb") as file:
                    while file.read(1 << 20):
                        pass

            def plan(top, name):
                """The plan is written before the epoch begins, and is taken then."""
                if "plan" in name:
                    (top / ".kluis/plan").write_text("\n".join(order))
                    if not until(10, lambda: '"plan_files": 0' not in (top / ".kluis/status").read_text(), 0.02):
                        raise RuntimeError("the plan is not taken")

            def small(top, name):
                if "plan" in name:
                    with concurrent.futures.ThreadPoolExecutor(4) as pool:
                        list(pool.map(lambda key: read(top / key), order))
                    return 1
                some = keys if name.startswith("kluis") else keys[:200]
                for key in some:
                    read(top / key)
                return len(some) / len(keys)
            names = [*peers(), "kluis", "kluis, through the gateway", "kluis, plan and four readers"]
            compare(lab, names, ask.rounds, small, ask.files * SMALL, "files/s", ask.files, plan)
        elif ask.case == "random":
            lab = Lab(base, delay, {"large": 256 * MIB}, peers())
            rng = random.Random(5)
            places = [rng.randrange(256 * MIB // 4096) * 4096 for _ in range(ask.files)]

            def at_random(top, _):
                fd = os.open(top / "large", os.O_RDONLY)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
                for place in places:
                    os.pread(fd, 4096, place)
                os.close(fd)
            compare(lab, [*peers(), "kluis"], ask.rounds, at_random, ask.files * 4096, "reads/s", ask.files)
        else:
            lab = Lab(base, delay, {f"{n // 1000:03}/{n:06}": 0 for n in range(ask.files)}, [])
            print(f"published in {lab.publish_s:.1f} s")

            def find(top, _):
                subprocess.run(["find", str(top), "-printf", "%s\n"], check=True, stdout=subprocess.DEVNULL)
            # Nothing is read: the columns of CPU hold seconds.
            compare(lab, ["kluis"], ask.rounds, find, 1 << 30, "entries/s", ask.files)
    finally:
        if lab:
            lab.stop()
        clean(base)
    return 0


if __name__ == "__main__":
    sys.exit(main())
