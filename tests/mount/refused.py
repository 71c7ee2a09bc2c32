"""A mount of which the gateway refuses some objects only, and one that ends, while programs have files open and mapped."""

import errno
import json
import os
import random
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mounts import MIB, Mount, publish, read, upload  # noqa: E402
from vault import Vault, check, clean, done, scratch, until  # noqa: E402

LEASE_SECONDS = 60
# Maps a file, reads all of it, and reads one page again at each line that it is told; dies of SIGBUS where there is none.
MAPPED = """
import mmap, sys
with open(sys.argv[1], "rb") as file:
    pages = mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ)
    sum(pages[::4096])
    print("mapped", flush=True)
    for line in sys.stdin:
        print(pages[40960:40964].hex(), flush=True)
        while line.strip() == "on":
            sum(pages[::4096])
"""


class Mapper:
    """A program that has a file of the mount mapped."""

    def __init__(self, path):
        self.process = subprocess.Popen([sys.executable, "-c", MAPPED, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.began = self.process.stdout.readline().strip()

    def again(self) -> str:
        """Four bytes of the mapping, or the signal that it ended by."""
        if self.process.poll() is None:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
            if line := self.process.stdout.readline().strip():
                return line
        return self.ended()

    def on(self) -> str:
        """Four bytes of it; and from then on it reads every page again without end."""
        self.process.stdin.write("on\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def ended(self) -> str:
        """The signal that it ended by."""
        try:
            return signal.Signals(-self.process.wait(10)).name
        except subprocess.TimeoutExpired:
            return "it goes on"

    def end(self):
        self.process.kill()
        self.process.wait()


def again(fd: int) -> bytes | str:
    """The first bytes of an open file, or the name of the error."""
    try:
        return os.pread(fd, 4, 0)
    except OSError as error:
        return errno.errorcode[error.errno]


def deny(vault, prefix: str) -> str:
    run = vault.command("grant", "create", "demo", "--to", "job-1", "--role", "job", "--deny", "--dataset", "wdbc", "--prefix", prefix,
                        "--action", "object.read", "--approver", "olivia", "--json")
    if run.returncode:
        raise RuntimeError(run.stderr)
    return json.loads(run.stdout)["grant"]


def by_prefix(vault, version, files, base) -> None:
    """A denial of a prefix under an open mapping: what the kernel and the mount keep of it goes, and nothing else."""
    mount = Mount(vault, version, base / "part").start()
    denied, other = Mapper(mount.directory / "patient-7/a"), Mapper(mount.directory / "patient-8/a")
    fd = os.open(mount.directory / "patient-7/b", os.O_RDONLY)
    try:
        told = files["patient-7/a"][40960:40964].hex()
        check("mapped and read before", (denied.again(), os.pread(fd, 4, 0)) == (told, files["patient-7/b"][:4]))
        kept = json.loads((mount.directory / ".kluis/status").read_text())["plaintext_bytes_kept"]
        grant = deny(vault, "patient-7/")
        gone = until(LEASE_SECONDS, lambda: denied.again() == "SIGBUS", 0.5)
        check("S17: a mapping of what is refused has no page left within a minute", gone, denied.again())
        check("S17: nor has a file that stayed open", until(10, lambda: again(fd) == "EIO", 0.2), again(fd))
        now = json.loads((mount.directory / ".kluis/status").read_text())
        check("S17: nor does the mount keep its plaintext", now["plaintext_bytes_kept"] < kept and now["state"] == "reading", (kept, now))
        check("what is not refused is read on, and its mapping stays", other.again() == files["patient-8/a"][40960:40964].hex()
              and read(mount.directory / "patient-8/a") == files["patient-8/a"])
        check("the errors say which object is refused", "patient-7/b" in (mount.directory / ".kluis/errors").read_text())
        run = vault.command("grant", "withdraw", "demo", grant, "--approver", "olivia")
        back = until(LEASE_SECONDS, lambda: again(fd) == files["patient-7/b"][:4], 0.5)
        check("what is let in again is read again, through the file that stayed open", run.returncode == 0 and back, (run, again(fd)))
    finally:
        os.close(fd)
        denied.end()
        other.end()
        mount.stop()


def after_the_end(vault, version, base) -> None:
    """A mount that ends in order while a program has a file mapped: nothing of it is in the kernel afterwards."""
    mount = Mount(vault, version, base / "ended", "--supervised").start()
    mapped, greedy = Mapper(mount.directory / "patient-8/a"), Mapper(mount.directory / "patient-7/a")
    try:
        before, clings = mapped.again(), greedy.on()
        code = mount.stop()
        after = mapped.again()
        check("S18: a mapping that outlives its mount has no page left", (len(before), code, after) == (8, 0, "SIGBUS"), (before, code, after))
        check("S18: nor has one that reads each page again and again meanwhile", (len(clings), greedy.ended()) == (8, "SIGBUS"), clings)
    finally:
        mapped.end()
        greedy.end()
        mount.stop()


def twice(vault, version, files, base) -> None:
    """A second mount on a mount: the older one would be covered by it, and taken down for it."""
    mount = Mount(vault, version, base / "twice").start()
    try:
        for words in [(), ("--supervised",)]:
            told = Mount(vault, version, mount.directory, *words).refused()
            check(f"a mount is not mounted on {words}", told.startswith("2 ") and "is a mount already (fuse.kluis)" in told and "hint:" in told, told)
        check("and is read on", read(mount.directory / "patient-7/a") == files["patient-7/a"])
        mount.kill()
        told = Mount(vault, version, mount.directory).refused()
        check("nor is one whose program died", told.startswith("2 ") and "is a mount already (fuse.kluis)" in told, told)
        mount.lazily()
        check("what is unmounted is mounted on again", read(mount.start().directory / "patient-7/a") == files["patient-7/a"])
    finally:
        mount.stop()


def main() -> int:
    base = scratch("refused")
    vault = Vault(base / "vault").start()
    try:
        files = {f"patient-{n}/{name}": random.Random(n).randbytes(MIB + 5) for n in (7, 8) for name in "ab"}
        upload(vault, files)
        version = publish(vault)
        twice(vault, version, files, base)
        after_the_end(vault, version, base)
        by_prefix(vault, version, files, base)
    finally:
        vault.stop()
        clean(base)
    return done()


sys.exit(main())
