"""A mount that root makes: where it is not made, whom it lets in, and how it ends while somebody is inside."""

import contextlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mounts import MIB, Mount, publish, read, upload  # noqa: E402
from vault import Vault, check, clean, done, say, scratch, until  # noqa: E402

READER, OTHER = 12345, 12346


def by(uid: int, *command: str) -> subprocess.CompletedProcess:
    words = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    return subprocess.run([*words, *command], capture_output=True, text=True, timeout=60, check=False)


def not_there(vault, version, base) -> None:
    """Directories on the way that another account could have put there."""
    victim, own = base / "victim", base / "own"
    victim.mkdir()
    own.mkdir()
    os.chown(own, READER, READER)
    (own / "data").mkdir()
    (own / "linked").symlink_to(victim)
    (base / "way").symlink_to(base)
    (base / "last").symlink_to(victim)
    for title, place in (("through a link", base / "way/victim"), ("on a link", base / "last"), ("below another's directory", own / "data"),
                         ("on another's directory", own), ("on another's link", own / "linked")):
        said = Mount(vault, version, place).refused()
        check(f"root does not mount {title}", said.startswith("2 ") and "root" in said and not os.path.ismount(victim), said)
        said = Mount(vault, version, place, "--supervised").refused()
        check(f"nor under a supervisor {title}", said.startswith("2 ") and not os.path.ismount(victim), said)
    for path in (own / "linked", base / "way", base / "last"):
        path.unlink()


def one_reader(vault, version, files, base) -> None:
    """--reader lets one account in, whoever may pass the directories above."""
    mount = Mount(vault, version, base / "one", "--allow-other", "--supervised", "--reader", str(READER)).start()
    try:
        told = by(READER, "sha256sum", f"{mount.directory}/d/1")
        check("S20: the reader reads", told.returncode == 0 and read(mount.directory / "d/1") == files["d/1"], told)
        for command in (["ls", "."], ["cat", "d/1"], ["stat", "d/1"], ["cat", ".kluis/status"], ["tee", ".kluis/plan"]):
            told = by(OTHER, "env", "-C", "/", command[0], f"{mount.directory}/{command[1]}")
            check(f"S20: another account does not {' '.join(command)}", told.returncode != 0 and "denied" in told.stderr, told)
        told = by(READER, "chmod", "755", str(mount.directory))
        check("S20: nor does the reader let others in", told.returncode != 0 and "Read-only" in told.stderr, told)
        worker = pathlib.Path(f"/proc/{mount.process.pid}/task/{mount.process.pid}/children").read_text().split()
        os.kill(int(worker[0]), signal.SIGKILL)
        told, own = by(OTHER, "wc", "-c", f"{mount.directory}/d/2"), by(READER, "wc", "-c", f"{mount.directory}/d/2")
        check("S20: nor after a death of the mount", told.returncode != 0 and own.returncode == 0, (told, own))
    finally:
        code = mount.stop()
    check("it ends in order", code == 0 and not mount.is_there(), code)


def busy(vault, version, base, *words: str) -> None:
    """SIGTERM while a process is inside, with a file open: the directory is gone at once, and what was read is told."""
    mount = Mount(vault, version, base / f"busy{len(words)}", *words).start()
    script = f"cd {mount.directory}/d && exec 3<4 && head -c 50000 <&3 >/dev/null && echo inside && exec sleep 600"
    inside = subprocess.Popen(["bash", "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        began = inside.stdout.readline().strip()
        code = mount.stop()
        kind = "supervised" if words else "alone"
        check(f"a mount that is busy is unmounted at SIGTERM, and ends in order ({kind})", (began, code) == ("inside", 0)
              and not mount.is_there(), (began, code, mount.log.read_text()[-400:]))
    finally:
        inside.kill()
        inside.wait()
        mount.stop()


def large_plan(vault, version, base) -> None:
    """A plan of as many lines as fit: what the mount takes for it is bounded."""
    mount = Mount(vault, version, base / "plans", "--memory", "16").start()
    try:
        before = mount.kib()
        with open(mount.directory / ".kluis/plan", "wb") as file:
            file.write(b"d/1\n")
            for _ in range(64):
                file.write(b"a\n" * MIB)
        planned = until(100, lambda: json.loads((mount.directory / ".kluis/status").read_text())["plan_files"], 0.2)
        took = (mount.kib("VmHWM") - before) // 1024
        check("a plan of 128 MiB is taken as far as it is one", planned == 1, planned)
        check("S21: and the mount stays within its budget and 128 MiB", took <= 16 + 128, took)
        say(f"{took} MiB for a plan of 128 MiB")
    finally:
        mount.stop()


def ends_by_itself(vault, version, base) -> None:
    """--while: a mount that nobody ends has an end, which can be put off; busy or not, dead before or not."""
    file, link = base / "end", base / "end.link"
    link.symlink_to(file)
    for title, path in (("that is past", file), ("of a link", link), ("of no file", base / "none")):
        file.touch()
        os.utime(file, (1, 1) if path == file else None)
        said = Mount(vault, version, base / "late", "--while", str(path)).refused()
        check(f"no mount begins at the end {title}", said.startswith("2 ") and "--while" in said and not os.path.ismount(base / "late"), said)
    for words in ((), ("--supervised",)):
        kind = " (supervised)" if words else " (alone)"
        os.utime(file, (2**31, 2**31))
        mount = Mount(vault, version, base / f"timed{len(words)}", "--while", str(file), *words).start()
        fd = os.open(mount.directory / "d/1", os.O_RDONLY)
        try:
            if words:
                worker = pathlib.Path(f"/proc/{mount.process.pid}/task/{mount.process.pid}/children").read_text().split()
                os.kill(int(worker[0]), signal.SIGKILL)
            os.utime(file, (1, 1))
            check("S18: at its end a mount ends in order, also while a file is open" + kind,
                  until(30, lambda: mount.process.poll() == 0) and not mount.is_there(), mount.log.read_text()[-400:])
        finally:
            # The connection is gone, which close tells.
            with contextlib.suppress(OSError):
                os.close(fd)
            mount.stop()


def main() -> int:
    base = scratch("root")
    for path in (base, *base.parents):
        if str(path).startswith("/tmp/"):
            path.chmod(0o755)
    vault = Vault(base / "vault").start()
    try:
        files = {f"d/{n}": random.Random(n).randbytes(50_000) for n in range(8)}
        upload(vault, files)
        version = publish(vault)
        not_there(vault, version, base)
        one_reader(vault, version, files, base)
        large_plan(vault, version, base)
        ends_by_itself(vault, version, base)
        for words in ((), ("--supervised",)):
            before = len(reads(vault))
            busy(vault, version, base, *words)
            check("S22: and what was read last, through a file that is open still, is in the log",
                  until(20, lambda: any("50000" in text for text in reads(vault)[before:]), 0.3), reads(vault)[before:])
    finally:
        vault.stop()
        clean(base)
    return done()


def reads(vault) -> list[str]:
    """What was told of d/4."""
    told = [r for r in vault.audit().values() if r.get("operation") == "ReportReads"]
    return [r["query"] for r in told if r["object"]["key"] == "d/4"]


sys.exit(main())
