"""Versions of very many objects: published, mounted and searched.

    tests/load/versions.py [--objects 1000000] [--flat] [--rounds 3] [--keep DIR]

VERSIONS_BIN names the tool that fills a vault (`cargo build --release --features measure --bin versions`), KLUIS_BIN the gateway
and mount. Root and /dev/fuse are needed; a million objects take 1 GiB of the temporary directory. Markdown on standard output.
With --flat all objects are in one directory. --keep fills and publishes a vault in DIR, or measures the one that is there again.
"""

import argparse
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "mount"), str(HERE.parent / "lab")]
import vault as lab  # noqa: E402
from mounts import Mount, publish  # noqa: E402
from vault import ROOT, Vault, clean, scratch  # noqa: E402

VERSIONS = os.environ.get("VERSIONS_BIN", str(ROOT / "target/release/versions"))


def fill(vault: Vault, objects: int, shape: str) -> str:
    """Fills a vault that is stopped; what the tool says."""
    command = [VERSIONS, str(vault.dir / "kluis.toml"), "demo/wdbc", str(objects), shape]
    run = subprocess.run(command, env=vault.environment, capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(f"{' '.join(command)}: {run.stderr}")
    return run.stdout.strip()


def drop_caches() -> None:
    subprocess.run(["sync"], check=False)
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")


def cpu_s(pid: int) -> float:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def first(top: pathlib.Path) -> str:
    """The path of the first file."""
    path = top
    while path.is_dir():
        with os.scandir(path) as entries:
            path = pathlib.Path(next(entries).path)
    return str(path)


def mounted(vault: Vault, version: str, base: pathlib.Path, n: int, objects: int) -> dict[str, float]:
    """A cold mount: until it is there, its first file read, its memory, and all of it found."""
    drop_caches()
    begin = time.monotonic()
    mount = Mount(vault, version, base / f"top-{n}").start()
    there = time.monotonic() - begin
    try:
        path = first(mount.directory)
        found = time.monotonic() - begin
        rss = mount.kib() / 1024
        with open(path, "rb") as file:
            assert file.read() == b"k" * 100
        read = time.monotonic() - begin
        gate = cpu_s(vault.pid)
        begin = time.monotonic()
        run = subprocess.run(["find", str(mount.directory), "-type", "f", "-size", "-9M", "-printf", "."], check=True, capture_output=True)
        took = time.monotonic() - begin
        if len(run.stdout) != objects:
            raise RuntimeError(f"{len(run.stdout)} files of {objects}")
        return {"mounted s": there, "first entry s": found, "first file read s": read, "MiB at the first": rss, "found/s": objects / took,
                "find s": took, "mount CPU s": cpu_s(mount.process.pid), "gateway CPU s": cpu_s(vault.pid) - gate,
                "MiB at the end": mount.kib() / 1024}
    finally:
        mount.stop()


def main() -> int:
    asks = argparse.ArgumentParser()
    asks.add_argument("--objects", type=int, default=1_000_000)
    asks.add_argument("--flat", action="store_true")
    asks.add_argument("--rounds", type=int, default=3)
    asks.add_argument("--keep", type=pathlib.Path)
    ask = asks.parse_args()
    lab.COMMAND_SECONDS_MAX = 3600
    base = ask.keep or scratch("versions")
    filled = (base / "version").exists()
    vault = Vault(base / "vault").start()
    try:
        if not filled:
            vault.stop()
            print(fill(vault, ask.objects, "flat" if ask.flat else "tree"), flush=True)
            vault.start()
            before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            (base / "version").write_text(publish(vault))
            took, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(f"{ask.objects} objects published in {took:.1f} s, {cpu:.1f} s of CPU", flush=True)
        version = (base / "version").read_text()
        rounds = [mounted(vault, version, base, n, ask.objects) for n in range(ask.rounds)]
        print("| " + " | ".join(rounds[0]) + " |\n|" + "---|" * len(rounds[0]))
        for name, row in [*enumerate(rounds), ("median", {name: statistics.median(one[name] for one in rounds) for name in rounds[0]})]:
            print("| " + " | ".join(f"{value:.2f}" if value < 100 else f"{value:.0f}" for value in row.values()) + f" | <!-- {name} -->")
    finally:
        vault.stop()
        if not ask.keep:
            clean(base)
    return 0


if __name__ == "__main__":
    sys.exit(main())
