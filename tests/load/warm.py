"""Mounts that are warm, shuffled, many or ended: what `mounts.py` does not ask.

    tests/load/warm.py hot [--mib 512]          what the page cache holds: one stream, and reads of 4 KiB; beside a local file
    tests/load/warm.py disk [--mib 512]         a new mount on a disk cache that has it all: one stream, and four
    tests/load/warm.py shuffled [--files 3000]  files of 150 KiB in a new order by four readers, with a plan; beside a cold local directory
    tests/load/warm.py journal [--files 3000]   the same with the gateway's journal on the disk and in memory, in turn
    tests/load/warm.py crowd [--mounts 64]      so many mounts of one gateway at once, each reading files of its own order
    tests/load/warm.py end [--rounds 100]       mounts that are told to end while four readers read

KLUIS_BIN names the release binary, MEMORY_JOURNAL_BIN the tool `memory_journal` (feature `measure`). Root, /dev/fuse and SeaweedFS are
needed. Markdown on standard output; rounds go there and back, medians.
"""

import argparse
import concurrent.futures
import os
import pathlib
import random
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time

from beside import MIB, SMALL, Lab, cpu_of, dd, drop_caches
from vault import KLUIS, clean, scratch, until

READERS = 4


def in_turn(names: list[str], rounds: int, run) -> dict[str, list[float]]:
    """What `run` gives for each name, round by round, there and back."""
    results: dict[str, list[float]] = {name: [] for name in names}
    for n in range(rounds):
        for name in names if n % 2 == 0 else names[::-1]:
            results[name].append(run(name))
    return results


def told(title: str, unit: str, results: dict[str, list[float]], base: str) -> None:
    """A table: the median of each, and its ratio to that of `base`."""
    print(f"\n{title}\n\n| | {unit} | to {base} |\n|---|---|---|")
    middle = {name: statistics.median(values) for name, values in results.items()}
    for name, value in middle.items():
        print(f"| {name} | {value:,.0f} | {value / middle[base]:.2f} |", flush=True)


def rate_of(path: pathlib.Path, mib: int) -> float:
    begin = time.monotonic()
    dd(path, mib)
    return mib / (time.monotonic() - begin)


def reads_of(path: pathlib.Path, bytes_there: int, threads: int, seconds: float = 2) -> float:
    """Reads of 4 KiB at random places, a second."""
    done, end = [0] * threads, time.monotonic() + seconds

    def read(n: int) -> None:
        rng, fd = random.Random(n), os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        while time.monotonic() < end:
            for _ in range(100):
                os.pread(fd, 4096, rng.randrange(bytes_there // 4096) * 4096)
            done[n] += 100
        os.close(fd)
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        list(pool.map(read, range(threads)))
    return sum(done) / seconds


def whole(path) -> int:
    count = 0
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(1 << 20):
            count += len(piece)
    return count


def read_all(top: pathlib.Path, keys: list[str]) -> float:
    """Files a second, by so many readers."""
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(READERS) as pool:
        total = sum(pool.map(lambda key: whole(top / key), keys))
    if total != len(keys) * SMALL:
        raise RuntimeError(f"{total} bytes of {len(keys)} files")
    return len(keys) / (time.monotonic() - begin)


def planned(mount, order: list[str]) -> None:
    (mount.directory / ".kluis/plan").write_text("\n".join(order))
    if not until(10, lambda: '"plan_files": 0' not in (mount.directory / ".kluis/status").read_text(), 0.02):
        raise RuntimeError("the plan is not taken")


def hot(base: pathlib.Path, ask) -> None:
    lab = Lab(base, 0, {"large": ask.mib * MIB}, [])
    mount = lab.mount("kluis", 0).start()
    try:
        local = base / "local"
        shutil.copyfile(mount.directory / "large", local)
        paths = {"a local file": local, "kluis": mount.directory / "large"}
        for path in paths.values():
            whole(path)
        told("In the page cache, one stream", "MiB/s", in_turn(list(paths), ask.rounds, lambda name: rate_of(paths[name], ask.mib)), "a local file")
        for threads in (1, READERS):
            rates = in_turn(list(paths), ask.rounds, lambda name: reads_of(paths[name], ask.mib * MIB, threads))
            told(f"In the page cache, 4 KiB at random, {threads} threads", "reads/s", rates, "a local file")
    finally:
        mount.stop()
        lab.stop()


def disk(base: pathlib.Path, ask) -> None:
    lab = Lab(base, 0, {f"large/{n}": ask.mib // READERS * MIB for n in range(READERS)}, [])
    try:
        def read(name: str, n: int) -> tuple[float, float]:
            mount = lab.mount(name, n).start()
            try:
                drop_caches()
                before, begin = cpu_of(mount.process.pid), time.monotonic()
                threads = 1 if "one" in name else READERS
                with concurrent.futures.ThreadPoolExecutor(threads) as pool:
                    total = sum(pool.map(whole, sorted((mount.directory / "large").iterdir())))
                took = time.monotonic() - begin
                return total / MIB / took, (cpu_of(mount.process.pid) - before) / (total / (1 << 30))
            finally:
                mount.stop()
        read("kluis, cache, four streams", -1)  # fills it
        names = ["kluis, one stream", "kluis, cache, one stream", "kluis, four streams", "kluis, cache, four streams"]
        runs = {name: [] for name in names}
        rates = in_turn(names, ask.rounds, lambda name: runs[name].append(read(name, len(runs[name]))) or runs[name][-1][0])
        told("A new mount on a disk cache that has it all, and one without", "MiB/s", rates, names[0])
        for name, all_of in runs.items():
            print(f"<!-- {name}: {statistics.median(one[1] for one in all_of):.2f} CPU s/GiB of the mount -->")
    finally:
        lab.stop()


def small_keys(files: int) -> list[str]:
    return [f"train/{n:05}" for n in range(files)]


def shuffled(base: pathlib.Path, ask) -> None:
    keys = small_keys(ask.files)
    lab = Lab(base, 0, dict.fromkeys(keys, SMALL), [])
    try:
        with_all = lab.mount("kluis", -1).start()
        shutil.copytree(with_all.directory / "train", base / "local/train")
        with_all.stop()

        def run(name: str) -> float:
            order = random.Random(len(name)).sample(keys, len(keys))
            if "local" in name:
                drop_caches()
                return read_all(base / "local", order)
            mount = lab.mount("kluis", random.randrange(1 << 30)).start()
            try:
                drop_caches()
                if "plan" in name:
                    planned(mount, order)
                return read_all(mount.directory, order)
            finally:
                mount.stop()
        names = ["a cold local directory", "kluis, plan", "kluis"]
        told("Files of 150 KiB, shuffled, four readers", "files/s", in_turn(names, ask.rounds, run), names[0])
    finally:
        lab.stop()


def journal(base: pathlib.Path, ask) -> None:
    keys = small_keys(ask.files)
    lab = Lab(base, 0, dict.fromkeys(keys, SMALL), [])
    disk_bin, memory_bin = KLUIS, pathlib.Path(os.environ["MEMORY_JOURNAL_BIN"])
    try:
        def run(name: str) -> float:
            lab.vault.stop()
            if "memory" in name:
                import vault as module
                module.KLUIS = memory_bin
                try:
                    lab.vault.spawn(str(lab.vault.dir / "kluis.toml"))
                finally:
                    module.KLUIS = disk_bin
                if not until(30, lambda: lab.vault.ops_page("/readyz")[0] == 200, 0.05):
                    raise RuntimeError("it does not serve")
            else:
                lab.vault.serve()
            mount = lab.mount("kluis", random.randrange(1 << 30)).start()
            try:
                drop_caches()
                return read_all(mount.directory, keys)
            finally:
                mount.stop()
        names = ["in memory", "on the disk"]
        told("Files of 150 KiB in order, four readers, the gateway's journal", "files/s", in_turn(names, ask.rounds, run), names[0])
    finally:
        lab.stop()


def crowd(base: pathlib.Path, ask) -> None:
    keys = [f"{n // 100:03}/{n:05}" for n in range(ask.files)]
    lab = Lab(base, 0, dict.fromkeys(keys, 100), [])
    mounts = []
    try:
        begin = time.monotonic()
        for n in range(ask.mounts):
            mounts.append(lab.mount("kluis", n).start())
        print(f"\n{ask.mounts} mounts of one gateway in {time.monotonic() - begin:.1f} s\n")
        gate, begin = cpu_of(lab.vault.pid), time.monotonic()

        def read(n: int) -> int:
            order = random.Random(n).sample(keys, len(keys))
            return sum(whole(mounts[n].directory / key) for key in order) // 100
        with concurrent.futures.ThreadPoolExecutor(ask.mounts) as pool:
            opened = sum(pool.map(read, range(ask.mounts)))
        took, cpu = time.monotonic() - begin, cpu_of(lab.vault.pid) - gate
        print("| files opened | s | files/s | gateway CPU s | cores of the gateway | gateway CPU µs/file |\n|---|---|---|---|---|---|")
        print(f"| {opened} | {took:.1f} | {opened / took:,.0f} | {cpu:.2f} | {cpu / took:.2f} | {cpu * 1e6 / opened:.0f} |\n")
        page = lab.vault.ops_page("/metrics")[1]
        for operation in ("ReleaseKeys", "GetPack", "RenewLease"):
            buckets = re.findall(rf'kluis_request_seconds_bucket{{le="([^"]+)",operation="{operation}"}} (\d+)', page)
            total = max((int(count) for _, count in buckets), default=0)
            for share in (0.5, 0.99):
                below = next((le for le, count in buckets if int(count) >= share * total), "none")
                print(f"<!-- {operation}: {total} requests, {share:.0%} within {below} s -->")
    finally:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda mount: mount.stop(), mounts))
        lab.stop()


def end(base: pathlib.Path, ask) -> None:
    keys = small_keys(400)
    lab = Lab(base, 0, dict.fromkeys(keys, SMALL), [])
    took = []
    try:
        for n in range(ask.rounds):
            mount, over = lab.mount("kluis", n).start(), threading.Event()

            def read(mount=mount, over=over) -> None:
                while not over.is_set():
                    try:
                        whole(mount.directory / random.choice(keys))
                    except OSError:
                        return
            readers = [threading.Thread(target=read) for _ in range(READERS)]
            for reader in readers:
                reader.start()
            time.sleep(0.1)
            begin = time.monotonic()
            mount.process.terminate()
            gone = until(10, lambda mount=mount: not mount.is_there(), 0.002)
            took.append(time.monotonic() - begin)
            over.set()
            mount.process.wait(20)
            for reader in readers:
                reader.join()
            if not gone:
                raise RuntimeError("it is still there")
        took.sort()
        print(f"\n{ask.rounds} mounts with four readers, from SIGTERM until nothing is mounted: median {statistics.median(took):.3f} s, "
              f"longest {took[-1]:.3f} s, {sum(one < 1 for one in took)} within a second")
    finally:
        lab.stop()


CASES = {"hot": hot, "disk": disk, "shuffled": shuffled, "journal": journal, "crowd": crowd, "end": end}


def main() -> int:
    asks = argparse.ArgumentParser()
    asks.add_argument("case", choices=list(CASES))
    asks.add_argument("--mib", type=int, default=512)
    asks.add_argument("--files", type=int, default=3_000)
    asks.add_argument("--mounts", type=int, default=64)
    asks.add_argument("--rounds", type=int, default=None)
    ask = asks.parse_args()
    ask.rounds = ask.rounds or (100 if ask.case == "end" else 3)
    base = scratch("warm")
    try:
        CASES[ask.case](base, ask)
    finally:
        clean(base)
    return 0


if __name__ == "__main__":
    sys.exit(main())
