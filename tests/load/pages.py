"""What a page of a listing costs through the gateway, in datasets of many objects.

    tests/load/pages.py [--objects 100000,1000000] [--rounds 101] [--vault DIR]

VERSIONS_BIN names the tool that fills a vault (`cargo build --release --features measure --bin versions`), KLUIS_BIN the gateway. --vault
asks the one that `versions.py --keep DIR` filled, instead of new ones. A million objects take 1 GiB of the temporary directory. Markdown
on standard output: the median of wall milliseconds as a client sees them, and the gateway's CPU milliseconds for each page, the audit's included.
"""

import argparse
import pathlib
import statistics
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lab")]
from versions import cpu_s, fill  # noqa: E402  before `vault`, which finds another of that name
import vault as lab  # noqa: E402, I001
from vault import Client, Vault, clean, scratch  # noqa: E402

WALK_PAGES = 500


def kinds(objects: int) -> dict[str, tuple[str, str | None, list[tuple[str, str]]]]:
    """Method, key and query of each; the names are those that the tool gives: a thousand files to a directory, a thousand of these to
    another."""
    number = objects // 2
    high, low = f"tree/{number // 1_000_000:02}/", f"tree/{number // 1_000_000:02}/{number // 1_000 % 1_000:03}/"
    listing = [("list-type", "2"), ("max-keys", "1000")]
    return {
        "HEAD of the middle": ("HEAD", f"{low}{number:08}.bin", []),
        "all keys, from the first on": ("GET", None, listing),
        "all keys, from the middle on": ("GET", None, [*listing, ("start-after", low)]),
        "top level by `/`": ("GET", None, [*listing, ("prefix", "tree/"), ("delimiter", "/")]),
        "a level of directories by `/`": ("GET", None, [*listing, ("prefix", high), ("delimiter", "/")]),
        "a directory of files by `/`": ("GET", None, [*listing, ("prefix", low), ("delimiter", "/")]),
        "a prefix that nothing has": ("GET", None, [*listing, ("prefix", "tree/zz"), ("delimiter", "/")]),
    }


def measured(vault: Vault, objects: int, rounds: int) -> dict[str, tuple[int, float, float]]:
    """Entries, median wall ms and mean CPU ms of each kind of page; the kinds take turns, the CPU is counted one kind after another."""
    client, asked = Client(vault.identity()), kinds(objects)
    walls: dict[str, list[float]] = {name: [] for name in asked}
    entries, cpu = {}, {}

    def ask(name: str) -> float:
        method, key, query = asked[name]
        begin = time.monotonic()
        reply = client.request(method, key, query)
        took = time.monotonic() - begin
        if reply.status != 200 or not reply.whole:
            raise RuntimeError(f"{name}: {reply}")
        entries[name] = reply.body.count(b"<Key>") + reply.body.count(b"<CommonPrefixes>")
        return took * 1000

    for _ in range(rounds):
        for name in asked:
            walls[name].append(ask(name))
    for name in asked:
        begin = cpu_s(vault.pid)
        for _ in range(rounds):
            ask(name)
        cpu[name] = (cpu_s(vault.pid) - begin) * 1000 / rounds
    return {name: (entries[name], statistics.median(walls[name]), cpu[name]) for name in asked}


def walked(vault: Vault, objects: int) -> tuple[int, float, int, int]:
    """A walk of many pages in a row: keys, seconds, and the gateway's memory before and at the most, in KiB."""
    client, after, keys = Client(vault.identity()), "", 0
    at_rest, begin = vault.memory_kib(), time.monotonic()
    for _ in range(WALK_PAGES):
        reply = client.request("GET", None, [("list-type", "2"), ("start-after", after)])
        found = reply.body.split(b"<Key>")[1:]
        if not found:
            break
        keys += len(found)
        after = found[-1].split(b"<")[0].decode()
    if keys != min(objects, WALK_PAGES * 1000):
        raise RuntimeError(f"{keys} keys of {objects}")
    return keys, time.monotonic() - begin, at_rest, vault.memory_kib("VmHWM")


def of(vault: Vault, objects: int, rounds: int) -> None:
    vault.start()
    try:
        print(f"\n{objects} objects\n\n| page | entries | wall ms | CPU ms |\n|---|---|---|---|", flush=True)
        for name, (entries, wall, cpu) in measured(vault, objects, rounds).items():
            print(f"| {name} | {entries} | {wall:.2f} | {cpu:.2f} |", flush=True)
        keys, took, rest, peak = walked(vault, objects)
        print(f"\n{keys} keys walked in {took:.1f} s; the gateway had {rest // 1024} MiB before and {peak // 1024} MiB at the most", flush=True)
    finally:
        vault.stop()


def main() -> int:
    asks = argparse.ArgumentParser()
    asks.add_argument("--objects", default="100000,1000000")
    asks.add_argument("--rounds", type=int, default=101)
    asks.add_argument("--vault", type=pathlib.Path)
    ask = asks.parse_args()
    lab.COMMAND_SECONDS_MAX = 3600
    for objects in [int(size) for size in ask.objects.split(",")]:
        base = ask.vault or scratch("pages")
        vault = Vault(base / "vault")
        try:
            if not ask.vault:
                vault.start().stop()
                print(fill(vault, objects, "tree"), flush=True)
            of(vault, objects, ask.rounds)
        finally:
            if not ask.vault:
                clean(base)
    return 0


if __name__ == "__main__":
    sys.exit(main())
