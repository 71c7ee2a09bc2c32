"""Rows of docs/mount.md that take a scene of their own: a gateway that went back, other accounts,
memory with many open files, the log held against what was read."""

import ctypes
import errno
import fcntl
import json
import mmap
import multiprocessing
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from crowd import crowd  # noqa: E402
from mounts import MIB, Mount, lab, publish, upload  # noqa: E402
from vault import Vault, check, done, say, seed, until  # noqa: E402

ENTRIES = 5000
BUDGET_MIB, ALLOWANCE_MIB = 32, 128
LIBC = ctypes.CDLL(None, use_errno=True)
STRANGER = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"]


def status(mount) -> dict:
    return json.loads((mount.directory / ".kluis/status").read_text())


# ---- S4 ----


def gone_back(base) -> None:
    """A vault that is put back to a state of yesterday, and goes another way from there."""
    vault = Vault(base / "back").start()
    seen = ("--seen", str(base / "seen"))

    def refused(version: str, *words: str) -> str:
        return Mount(vault, version, base / "older", *(words or seen)).refused()

    def number(version: str, *words: str) -> str:
        mount = Mount(vault, version, base / "older", *(words or seen)).start()
        name = status(mount)["version"]
        mount.stop()
        return name

    try:
        upload(vault, {"a": b"one"})
        publish(vault)
        vault.stop()
        shutil.copytree(vault.dir, base / "yesterday")
        vault.start()
        upload(vault, {"a": b"two"})
        publish(vault)
        check("S4: latest is the newest version", number("demo/wdbc@latest") == "demo/wdbc@2")
        check("S4: an older one is mounted by its number", number("demo/wdbc@1") == "demo/wdbc@1")
        vault.stop()
        vault.dir.rename(base / "today")
        (base / "yesterday").rename(vault.dir)
        vault.start()
        told = refused("demo/wdbc@latest")
        check("S4: an older newest than the last seen is refused", told.startswith("1 ") and "newest=`1` seen=`2`" in told, told)
        check("S4: by its number it is mounted still", number("demo/wdbc@1") == "demo/wdbc@1")
        check("S4: a node that has seen nothing believes it", number("demo/wdbc@latest", "--seen", str(base / "fresh")) == "demo/wdbc@1")
        upload(vault, {"a": b"another two"})
        publish(vault)
        told = refused("demo/wdbc@2")
        check("S4: a number has one root for good", told.startswith("1 ") and "another version of this number" in told, told)
        upload(vault, {"a": b"another three"})
        publish(vault)
        told = refused("demo/wdbc@3")
        check("S4: a version that follows from another one is refused", told.startswith("1 ") and "does not follow" in told, told)
        files = [path for path in (base / "seen").rglob("*") if path.is_file()]
        kept = files[0].read_bytes()
        [first] = [line for line in kept.splitlines(keepends=True) if line.startswith(b"1 ")]
        files[0].write_bytes(first + b"2 half a li")
        fits = number("demo/wdbc@2") == "demo/wdbc@2"
        now = files[0].read_bytes()
        check("S4: a line that a crash cut is written over", fits and now.startswith(first + b"2 ") and now.count(b"\n") == 2
              and b"half" not in now, now)
        files[0].write_bytes(b"nonsense\n" + kept)
        told = refused("demo/wdbc@1")
        check("S4: a damaged memory is not read over", told.startswith("1 ") and "damaged" in told, told)
        modes = [path.stat().st_mode & 0o077 for path in (base / "seen").rglob("*")]
        check("S4: the memory is its owner's alone", modes and not any(modes), modes)
    finally:
        vault.stop()


# ---- S13, S20 ----


def small_print(top) -> None:
    file = top / "one"
    fd = os.open(file, os.O_RDONLY | os.O_DIRECT)
    buffer = mmap.mmap(-1, 8192)
    check("S13: O_DIRECT reads", os.preadv(fd, [buffer], 4096) == 8192)
    fcntl.lockf(fd, fcntl.LOCK_SH, 10)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 10)
        check("S13: no write lock without writing", False)
    except OSError as error:
        check("S13: no write lock without writing", error.errno == errno.EBADF, error)
    fcntl.lockf(fd, fcntl.LOCK_UN)
    os.close(fd)
    watch = LIBC.inotify_init1(os.O_NONBLOCK)
    added = LIBC.inotify_add_watch(watch, os.fsencode(top), 0x2 | 0x4 | 0x100 | 0x200)  # changes of any kind
    file.read_bytes()
    try:
        events = os.read(watch, 4096)
    except BlockingIOError:
        events = b""
    os.close(watch)
    check("S13: inotify watches, and nothing ever changes", added >= 0 and events == b"", events)


def strangers(vault, version, base) -> None:
    """A mount without --allow-other, beside another account of the machine."""
    for path in (base, *base.parents):
        if str(path).startswith("/tmp/"):
            path.chmod(0o755)
    mount = Mount(vault, version, base / "private").start()
    try:
        run = subprocess.run([*STRANGER, "cat", str(mount.directory / "one")], capture_output=True, text=True, check=False)
        check("S20: another account does not enter", run.returncode != 0 and "denied" in run.stderr, run)
        pid, open_to = mount.process.pid, []
        for name in ("environ", "maps", "mem", "fd/0", "auxv", "stack", "io"):
            run = subprocess.run([*STRANGER, "cat", f"/proc/{pid}/{name}"], capture_output=True, text=True, check=False)
            open_to += [name] if run.returncode == 0 else []
        check("S20: nor look into the mount's process", not open_to, open_to)
        attach = "import ctypes,sys; c=ctypes.CDLL(None,use_errno=True); print(c.ptrace(16,int(sys.argv[1]),0,0), ctypes.get_errno())"
        run = subprocess.run([*STRANGER, "/usr/bin/python3", "-c", attach, str(pid)], capture_output=True, text=True, check=False)
        check("S20: nor trace it", run.stdout.split() == ["-1", str(errno.EPERM)], run)
        run = subprocess.run([*STRANGER, "cat", str(vault.dir / "job.env")], capture_output=True, text=True, check=False)
        check("S20: nor read its credential", run.returncode != 0, run)
        limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
        check("S19: the mount leaves no core", re.search(r"Max core file size +0 +0 ", limits) is not None, limits)
    finally:
        mount.stop()


# ---- S21 ----


def memory(vault, version, files, base) -> None:
    """The peak with 1, 64 and 1,024 files that are read at once."""
    wanted = {1: ["large"], 64: [f"middle/{n}" for n in range(64)], 1024: [f"small/{n:04}" for n in range(1024)]}
    for count, keys in wanted.items():
        mount = Mount(vault, version, base / f"memory-{count}", "--memory", str(BUDGET_MIB), "--direct-io").start()
        try:
            opened = [os.open(mount.directory / key, os.O_RDONLY) for key in keys]
            bodies = [bytearray() for _ in keys]

            def step(n):
                while piece := os.read(opened[n], MIB // 2):
                    bodies[n] += piece
                    if count > 1:
                        return True
                return False

            with ThreadPoolExecutor(16) as pool:
                # One read of each file at a time: two at once would come in any order.
                while any(list(pool.map(step, range(count)))):
                    pass
            shown = status(mount)["open_files"]
            # Without the program itself, which all mounts of a machine share.
            peak = (mount.kib("VmHWM") - mount.kib("RssFile")) // 1024
            right = all(body == files[key] for body, key in zip(bodies, keys))
            check(f"S21: {count} open files within {BUDGET_MIB} + {ALLOWANCE_MIB} MiB", right and shown == count
                  and peak <= BUDGET_MIB + ALLOWANCE_MIB, (right, shown, peak))
            say(f"peak memory with {count} open files: {peak} MiB")
            for fd in opened:
                os.close(fd)
        finally:
            mount.stop()


# ---- S22 ----


def on_the_record(vault, version, files, base, rng) -> None:
    """What was read, as the programs know it, against what the log says."""
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 1))
    time.sleep(1.1)
    mount = Mount(vault, version, base / "recorded").start()
    keys = sorted(files)
    walked = [key for key in keys if key.startswith("small/00")][:40]
    # One is kept for the mount that is killed.
    scattered = rng.sample([key for key in keys if key.startswith("middle/") and key != "middle/63"], 5)
    read = {key: len((mount.directory / key).read_bytes()) for key in walked + scattered}
    with open(mount.directory / "large", "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        os.pread(file.fileno(), 4096, 5 * MIB)
    read["large"] = 4096
    os.close(os.open(mount.directory / "one", os.O_RDONLY))
    mount.stop()
    killed = Mount(vault, version, base / "recorded").start()
    (killed.directory / "middle/63").read_bytes()
    killed.kill()
    killed.lazily()
    last = time.time()
    # What was under way when the mount died is ended by the gateway once it sees that nobody takes it.
    until(20, lambda: all("outcome" in r or r["operation"] == "audit show" for r in vault.audit(since).values()), 0.2)
    records = list(vault.audit(since).values())
    by = {name: [r for r in records if r.get("operation") == name] for name in ("ReleaseKeys", "ReportReads", "GetSealed")}
    released, unlike = set(), []
    for record in by["ReleaseKeys"]:
        first = record["object"]["key"]
        run = re.search(r"objects=(\d+) last=(.*)", record["query"])
        count = int(run[1]) if run else 1
        at = keys.index(first)
        span = keys[at:at + count]
        unlike += [record["query"]] if run and span[-1] != run[2] else []
        released |= set(span)
    check("S22: a run of released keys is named by its first, its last and how many", not unlike and len(released) > 40, unlike[:3])
    reported = {}
    for record in by["ReportReads"]:
        spans = re.findall(r"(\d+)-(\d+)", record["query"].split("read=", 1)[1])
        reported[record["object"]["key"]] = [(int(a), int(b)) for a, b in spans]
    check("S22: every open is in the log, and nothing else", set(reported) == set(read) | {"one"},
          set(reported) ^ (set(read) | {"one"}))
    short = [key for key, count in read.items() if sum(b - a for a, b in reported.get(key, [])) < count]
    check("S22: every byte that was read is in the log", not short, short[:3])
    check("S22: a read here and there is told as such", sum(b - a for a, b in reported["large"]) < MIB, reported.get("large"))
    check("S22: a file that was opened and not read is told so", reported.get("one") == [], reported.get("one"))
    check("S22: what was read lies within what was released", set(reported) <= released, set(reported) - released)
    sealed = {}
    for record in by["GetSealed"]:
        key = record["object"]["key"]
        sealed[key] = sealed.get(key, 0) + record["bytes_sent"]
    for record in vault.audit(since).values():
        run = re.search(r"packed=(\d+) last=(.*)", record.get("query") or "")
        if record.get("operation") == "GetPack" and run:
            span = keys[keys.index(record["object"]["key"]):keys.index(run[2]) + 1]
            span = [key for key in span if 0 < len(files[key]) <= MIB]
            if len(span) == int(run[1]) and record["bytes_sent"] >= sum(len(files[key]) for key in span):
                sealed |= {key: sealed.get(key, 0) + len(files[key]) for key in span}
    less = [key for key, spans in reported.items() if sealed.get(key, 0) < sum(b - a for a, b in spans)]
    check("S22: what was read lies within the sealed bytes that left", not less, less[:3])
    ended = {record["outcome"]["status"] for kind in by.values() for record in kind}
    check("S22: each of them was served to its end", ended == {"success"}, ended)
    check("S22: a mount that is killed has its keys in the log all the same",
          any(r["object"]["key"] == "middle/63" for r in by["ReleaseKeys"]) and "middle/63" not in reported, last)


def main() -> int:
    rng = random.Random(seed())
    with lab("mount-rows") as (base, vault):
        files = {"large": rng.randbytes(48 * MIB), "one": rng.randbytes(3 * 8192)}
        files |= {f"middle/{n}": rng.randbytes(MIB + n) for n in range(64)}
        files |= {f"small/{n:04}": rng.randbytes(20_000 + n) for n in range(1024)}
        names = {f"{n:07}.bin" for n in range(ENTRIES)}
        begin = time.monotonic()
        many = {f"many/{name}": b"" for name in names}
        everything = list((files | many).items())
        several = [multiprocessing.Process(target=upload, args=(vault, dict(everything[n::4]))) for n in range(4)]
        for process in several:
            process.start()
        for process in several:
            process.join()
        check("all is uploaded", not any(process.exitcode for process in several))
        version = publish(vault)
        say(f"{len(files) + len(many)} objects in {time.monotonic() - begin:.1f} s")
        mount = Mount(vault, version, base / "data").start()
        on_the_record(vault, version, files | many, base, rng)
        crowd(mount.directory / "many", names, 0, rng)
        small_print(mount.directory)
        mount.stop()
        memory(vault, version, files, base)
        strangers(vault, version, base)
        vault.stop()
        gone_back(base)
    return done()


sys.exit(main())
