"""What a mount leaves on the machine, however it ends, and while it lives: no plaintext, process, directory or core (S18, S19)."""

import os
import pathlib
import random
import resource
import secrets
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mounts import Mount, publish, read, upload  # noqa: E402
from vault import Vault, check, clean, done, scratch, until  # noqa: E402

PLACES = ["/dev/shm", "/var/tmp", "/run", "/var/crash", "/var/lib/systemd/coredump"]


def holding(word: str, base: pathlib.Path) -> list[str]:
    """The files that hold the word where programs leave things, on no other file system: a mount holds it."""
    found = []
    for place, *how in [*([place] for place in PLACES), [str(base)], ["/tmp", "-maxdepth", "1"]]:
        if os.path.isdir(place):
            run = subprocess.run(["find", place, "-xdev", *how, "-type", "f", "-exec", "grep", "-laF", "-e", word, "{}", "+"],
                                 capture_output=True, text=True, check=False)
            found += run.stdout.splitlines()
    return found


def working(directory: pathlib.Path) -> list[str]:
    """The processes that were told of this directory."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if str(directory).encode() in (entry / "cmdline").read_bytes():
                    found.append(entry.name)
            except OSError:
                pass
    return found


def child(mount: Mount) -> int:
    return int(pathlib.Path(f"/proc/{mount.process.pid}/task/{mount.process.pid}/children").read_text().split()[0])


def by_term(mount: Mount) -> None:
    mount.process.send_signal(signal.SIGTERM)


def by_interrupt(mount: Mount) -> None:
    mount.process.send_signal(signal.SIGINT)


def by_umount(mount: Mount) -> None:
    subprocess.run(["fusermount3", "-u", str(mount.directory)], check=False, capture_output=True)


def by_term_of_the_mount(mount: Mount) -> None:
    os.kill(child(mount), signal.SIGTERM)


ENDS = [("SIGTERM", by_term, []), ("SIGINT", by_interrupt, []), ("fusermount3 -u", by_umount, []),
        ("SIGTERM of its supervisor", by_term, ["--supervised"]), ("SIGTERM of the supervised", by_term_of_the_mount, ["--supervised"])]


def ends(vault: Vault, version: str, base: pathlib.Path, word: str) -> None:
    """Each way to end in order, after files were read, brought ahead by a plan and kept in a disk cache."""
    for title, end, words in ENDS:
        cache = base / "cache"
        mount = Mount(vault, version, base / "data", "--cache", str(cache), "--cache-size", "64", *words).start()
        try:
            plan = pathlib.Path(os.readlink(mount.directory / ".kluis/plan"))
            plan.write_text("".join(f"d/{n}\n" for n in range(8)))
            whole = all(len(read(mount.directory / f"d/{n}")) > 50_000 for n in range(8))
            kept = until(10, lambda: any(path.is_file() and path.stat().st_size > 50_000 for path in cache.rglob("*")), 0.1)
            check(f"{title}: it is read, planned and kept", whole and kept and plan.is_file(), (whole, kept, plan))
            check(f"S19: while it lives no file holds plaintext ({title})", not holding(word, base), holding(word, base))
            end(mount)
            gone = until(20, lambda: not mount.is_there() and mount.process.poll() is not None, 0.1)
            check(f"S18: {title} ends it", gone, mount.process.poll())
        finally:
            mount.stop()
        check(f"S18: no process, mount or directory is left by {title}",
              until(10, lambda: not working(mount.directory)) and not mount.is_there() and not plan.parent.exists(),
              (working(mount.directory), plan))
        check(f"S18: nor plaintext, in what it cached neither ({title})", not holding(word, base), holding(word, base))


def deaths(vault: Vault, version: str, base: pathlib.Path, word: str) -> None:
    """Signals that leave a core where a process may: whoever started the mount allows one of any size."""
    # Where the machine hands cores to a program, none comes to a file: then the limit alone is seen.
    for death in (signal.SIGABRT, signal.SIGFPE, signal.SIGTRAP):
        mount = Mount(vault, version, base / "data").start()
        try:
            (mount.directory / ".kluis/plan").write_text("d/1\n")
            read(mount.directory / "d/1")
            soft, hard = resource.prlimit(mount.process.pid, resource.RLIMIT_CORE)
            check(f"S19: a mount is allowed no core ({death.name})", (soft, hard) == (0, 0), (soft, hard))
            where = pathlib.Path(f"/proc/{mount.process.pid}/cwd").resolve()
            mount.process.send_signal(death)
            mount.process.wait(10)
            cores = [path for place in {where, pathlib.Path.cwd(), base} for path in place.glob("core*")]
            check(f"S19: nor leaves one when it dies of {death.name}", not cores, cores)
        finally:
            mount.lazily()
        check(f"S19: nor plaintext ({death.name})", not holding(word, base), holding(word, base))


def main() -> int:
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    base = scratch("nothing")
    vault = Vault(base / "vault").start()
    try:
        word = f"canary{secrets.token_hex(12)}"
        files = {f"d/{n}": (word + " ").encode() * 1500 + random.Random(n).randbytes(20_000) for n in range(8)}
        upload(vault, files)
        version = publish(vault)
        probe = base / "probe"
        probe.write_text(f"a text with {word} in it")
        check("a file that holds plaintext is found (or nothing below means anything)", holding(word, base) == [str(probe)], holding(word, base))
        probe.unlink()
        ends(vault, version, base, word)
        deaths(vault, version, base, word)
    finally:
        vault.stop()
        clean(base)
    return done()


sys.exit(main())
