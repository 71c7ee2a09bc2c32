"""Who reads from a mount while the gateway is away can be ended; who is not ended waits, and reads on.

A program that was killed and does not go is what makes a scheduler drain its node.
"""

import json
import os
import pathlib
import random
import select
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mounts import MIB, Mount, lab, publish, read, upload  # noqa: E402
from vault import check, done, say, sha256, until  # noqa: E402

# A request that waits looks each second; one whose process hears the signal is left ten.
KILLED_SECONDS_MAX = 6
ASKED_SECONDS_MAX = 30
# From when on a wait is told.
TOLD_SECONDS = 5

# Said just before what waits: what the interpreter itself waits for, of a disk that is busy, is behind it.
GO = "import os, sys\nos.close(int(sys.argv[4]))\n"
READS = GO + "os.read(os.open(sys.argv[1], os.O_RDONLY), 1 << 20)\n"
MAPS = "import mmap\n" + GO + "mmap.mmap(os.open(sys.argv[1], os.O_RDONLY), 0, prot=mmap.PROT_READ)[9]\n"
# Of a file that is open already, each in a place of its own: what the kernel asked for ahead of one that was ended comes later.
BIG_MIB = 41
PLACES = iter([(n * 13 % 37 + 3) * MIB for n in range(37)])
OPEN_READS = GO + "os.pread(int(sys.argv[2]), 4096, int(sys.argv[3]))\n"
OPEN_MAPS = "import mmap\n" + GO + "mmap.mmap(int(sys.argv[2]), 0, prot=mmap.PROT_READ)[int(sys.argv[3])]\n"
SUMS = "import hashlib\n" + GO + "print(hashlib.sha256(os.pread(int(sys.argv[2]), 1 << 20, 0)).hexdigest())\n"
LISTS = GO + "os.listdir(os.path.dirname(sys.argv[1]))\n"
THREADS = "import threading, sys\n" + "def go():\n    open(sys.argv[1], 'rb').read(1 << 20)\n" + \
    "all = [threading.Thread(target=go) for _ in range(4)]\n" + GO + "[t.start() for t in all]\n[t.join() for t in all]\n"
DEFAULT = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_DFL)\n"
DEAF = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + READS
BLOCKS = "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n" + READS
HEARS = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(9))\n" + READS
# Timers, as profilers have them: they interrupt nothing, though nothing restarts the call either.
TICKS = "import signal\nsignal.signal(signal.SIGALRM, lambda *_: None)\nsignal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)\n" \
    "signal.siginterrupt(signal.SIGALRM, True)\n" + \
    "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n" + GO + "fd = libc.open(sys.argv[1].encode(), 0)\n" \
    "buffer = ctypes.create_string_buffer(1 << 20)\ngot = libc.read(fd, buffer, 1 << 20)\n" \
    "signal.setitimer(signal.ITIMER_REAL, 0)\nsys.stdout.write(f'{got} {ctypes.get_errno() if got < 0 else 0}')\n"


def reader(program: str, path, open_file: int = 0, place: int = 0) -> subprocess.Popen:
    heard, said = os.pipe()
    files = [said, open_file] if open_file else [said]
    arguments = [str(path), str(open_file), str(place), str(said)]
    process = subprocess.Popen([sys.executable, "-c", program, *arguments], pass_fds=files, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    os.close(said)
    process.gone = heard
    return process


def waits(process: subprocess.Popen) -> bool:
    """Whether one of its threads waits for an answer of the mount's."""
    if not select.select([process.gone], [], [], 0)[0]:
        return False
    for task in pathlib.Path(f"/proc/{process.pid}/task").glob("*"):
        try:
            if "request_wait_answer" in (task / "stack").read_text() or "folio_wait" in (task / "stack").read_text():
                return True
        except OSError:
            continue
    return False


def waiting(program: str, directory, fresh, open_file: int = 0) -> subprocess.Popen:
    """One that waits: what it asks for may have been read ahead before the gateway went, and then it asks for something else."""
    for _ in range(4):
        process = reader(program, directory / next(fresh), open_file, next(PLACES) if open_file else 0)
        until(10, lambda: waits(process) or process.poll() is not None, 0.05)  # noqa: B023
        if process.poll() is None:
            break
    return process


def ends(process: subprocess.Popen, how: int, seconds_max: float) -> float | None:
    """Sends a signal; after how many seconds the process ended."""
    begin = time.monotonic()
    process.send_signal(how)
    try:
        process.wait(seconds_max)
        return time.monotonic() - begin
    except subprocess.TimeoutExpired:
        return None


def status(mount: Mount) -> dict:
    return json.loads((mount.directory / ".kluis/status").read_text())


def readers(mount: Mount, bare: Mount, fresh, big: int, how: str) -> None:
    """Programs of every kind, each waiting for a file of its own, are ended; in the bare mount no name is known yet."""
    kinds = [("a read", READS, mount), ("a mapping", MAPS, mount), ("four threads that read", THREADS, mount), ("a listing", LISTS, bare),
             ("a read of an open file", OPEN_READS, mount), ("a mapping of an open file", OPEN_MAPS, mount)]
    for what, program, where in kinds:
        for name, number in (("SIGTERM", signal.SIGTERM), ("SIGKILL", signal.SIGKILL), ("SIGINT", signal.SIGINT)):
            process = waiting(DEFAULT + program, where.directory, fresh, big if "open file" in what else 0)
            began = waits(process)
            took = ends(process, number, KILLED_SECONDS_MAX)
            check(f"S25: {name} ends {what} while the gateway {how}", began and took is not None and process.returncode == -number,
                  (began, took, process.returncode))


def patient(mount: Mount, fresh) -> list:
    """Programs that a signal does not end."""
    went_on = []
    for what, program, number in (("ignored", DEAF, signal.SIGTERM), ("blocked", BLOCKS, signal.SIGTERM), ("a timer's", TICKS, None)):
        process = waiting(program, mount.directory, fresh)
        if number:
            process.send_signal(number)
        went_on.append((what, process))
    return went_on


def outage(vault, mount, bare, fresh, away, back, how: str) -> None:
    open_file = open(mount.directory / "cached", "rb")
    big = open(mount.directory / how, "rb")
    cached = open_file.read()
    away()
    went_on = patient(mount, fresh)
    # While the lease holds: the mount then has what the kernel let go.
    process = reader(SUMS, mount.directory / "cached", open_file.fileno())
    check("S25: who reads what is cached is not disturbed", until(10, lambda: process.poll() is not None) and process.stdout.read().strip() == sha256(cached))
    readers(mount, bare, fresh, big.fileno(), how)
    process = waiting(HEARS, mount.directory, fresh)
    took = ends(process, signal.SIGTERM, ASKED_SECONDS_MAX)
    check("S25: who hears SIGTERM is left ten seconds, and hears it then", took is not None and took > TOLD_SECONDS and process.returncode == 9,
          (took, process.returncode))
    now = status(mount)
    check("S25: the status says that reads wait, and how long",
          now["state"] == "waiting" and now["waiting"] >= len(went_on) and now["waiting_seconds"] >= TOLD_SECONDS, now)
    check("S25: who ignores or blocks the signal waits on, and timers interrupt nobody", all(p.poll() is None for _, p in went_on),
          [(what, p.poll()) for what, p in went_on])
    open_file.close()
    back()
    for what, process in went_on:
        out, _ = process.communicate(timeout=60)
        right = process.returncode == 0 and (what != "a timer's" or out == f"{MIB} 0")
        check(f"S15: and has the bytes when the gateway is back ({what})", right, (process.returncode, out))
    big.close()
    quiet = until(10, lambda: status(mount)["state"] == "reading" and status(mount)["waiting"] == 0)
    check("S25: the status says when none waits any more", quiet, status(mount))


def main() -> int:
    rng = random.Random(7)
    with lab("mount-signals") as (base, vault):
        files = {f"d{n:02}/one": rng.randbytes(MIB) for n in range(99)} | {"cached": rng.randbytes(70_000)}
        # One for each outage: behind the first the mount has read ahead what those who were ended had asked for.
        files |= {how: rng.randbytes(BIG_MIB * MIB) for how in ("is gone", "does not answer")}
        upload(vault, files)
        version = publish(vault)
        mount = Mount(vault, version, base / "signals").start()
        bare = Mount(vault, version, base / "bare").start()
        fresh = iter(rng.sample([f"d{n:02}/one" for n in range(99)], 99))
        outage(vault, mount, bare, fresh, vault.kill, vault.start, "is gone")
        outage(vault, mount, bare, fresh, lambda: os.kill(vault.pid, signal.SIGSTOP), lambda: os.kill(vault.pid, signal.SIGCONT), "does not answer")
        log = mount.log.read_text()
        say(f"{log.count('reads wait for the gateway')} lines of waiting")
        check("S25: the mount's log says that reads wait and that none does any more, once for each outage",
              log.count("reads wait for the gateway or the store") == 2 == log.count("no read waits for the gateway or the store any more"), log[-800:])
        wrong = [key for key, body in files.items() if read(mount.directory / key) != body]
        check("S25: what was being read by whoever was ended is read afterwards, as it was published", not wrong, wrong[:3])
        there = sorted(os.listdir(bare.directory)) == sorted({key.split("/")[0] for key in files})
        check("S25: and what could not be listed is listed", there)
        mount.stop()
        bare.stop()
    return done()


if __name__ == "__main__":
    sys.exit(main())
