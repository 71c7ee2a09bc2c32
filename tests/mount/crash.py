"""S14: a mount that dies under its readers, with a supervisor and without; and mounts on a descriptor that another opened."""

import ctypes
import errno
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mounts import MIB, Load, Mount, lab, publish, read, upload  # noqa: E402
from vault import KLUIS, before_exec, check, done, say, seed, until  # noqa: E402

LIBC = ctypes.CDLL(None, use_errno=True)
RESUMED_SECONDS_MAX = 5


def worker_of(mount) -> int | None:
    """The process that serves, below the supervisor."""
    children = pathlib.Path(f"/proc/{mount.process.pid}/task/{mount.process.pid}/children").read_text().split()
    return int(children[0]) if children else None


def other_worker(mount, before) -> int | None:
    found = worker_of(mount)
    return found if found != before else None


def survived(vault, version, files, base) -> None:
    """Readers of a supervised mount see its death as a delay."""
    mount = Mount(vault, version, base / "supervised", "--supervised", "--memory", "16", "--direct-io").start()
    load = Load(mount.directory, files)
    held = os.open(mount.directory / "b", os.O_RDONLY)
    half = os.read(held, MIB)
    kept = open(mount.directory / "d/1", "rb")
    longest = 0.0
    try:
        for _ in range(3):
            time.sleep(0.7)
            before = load.reads
            pid = worker_of(mount)
            begin = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            until(20, lambda: load.reads > before + 5 and other_worker(mount, pid), 0.02)
            longest = max(longest, time.monotonic() - begin)
        rest = b""
        while piece := os.read(held, MIB):
            rest += piece
        check("S14: a file that was open is read to its end", half + rest == files["b"])
        check("S14: another that was open, from its beginning", kept.read() == files["d/1"])
        load.stop()
        check("S14: kill -9 of a supervised mount, three times under load: no error", not load.faults, load.faults[:3])
        check(f"S14: it goes on within {RESUMED_SECONDS_MAX} s", longest < RESUMED_SECONDS_MAX, longest)
        say(f"{load.reads} reads; the longest pause {longest:.2f} s")
        found = {key: read(mount.directory / key) for key in files}
        check("S14: and every byte is the published one", found == files)
        # Descriptors of the dead are not piled up.
        fds = len(os.listdir(f"/proc/{mount.process.pid}/fd"))
        check("S14: the supervisor holds what it held", fds < 16, fds)
        # Without the program itself, of which more or less is mapped as the kernel likes.
        own = mount.kib("VmRSS") - mount.kib("RssFile")
        check("S14: the supervisor is small", own < 16 * 1024, own)
    finally:
        load.going = False
        kept.close()
        os.close(held)
        pid = worker_of(mount)
        code = mount.stop()
    check("S14: SIGTERM to the supervisor unmounts and ends both", code == 0 and not os.path.ismount(mount.directory)
          and until(10, lambda: not pathlib.Path(f"/proc/{pid}").exists()), code)


def revoked_after(vault, version, files, base) -> None:
    """The successor knows what the dead one had opened: its pages leave the kernel when the grant ends."""
    mount = Mount(vault, version, base / "cached", "--supervised").start()
    try:
        fd = os.open(mount.directory / "d/2", os.O_RDONLY)
        os.pread(fd, 4096, 0)
        pid = worker_of(mount)
        os.kill(pid, signal.SIGKILL)
        until(20, lambda: other_worker(mount, pid) and read(mount.directory / "d/3") == files["d/3"], 0.05)
        vault.command("credential", "create", "job-1", "--output", str(vault.dir / "another.env"))
        key = next(line.split("=", 1)[1] for line in (vault.dir / "job.env").read_text().splitlines() if "ACCESS_KEY_ID" in line)
        check("S14: the credential is revoked", vault.command("credential", "revoke", key).returncode == 0)
        begin = time.monotonic()

        def stopped():
            try:
                os.pread(fd, 4096, 0)
                return ""
            except OSError as error:
                return errno.errorcode[error.errno]
        ended = until(60, stopped, 0.5)
        check("S14: what the dead mount had put into the page cache is not read on after a revocation", ended == "EIO", ended)
        say(f"stopped after {time.monotonic() - begin:.1f} s")
        os.close(fd)
    finally:
        mount.stop()
        (vault.dir / "another.env").replace(vault.dir / "job.env")


def given_up(vault, version, files, base) -> None:
    """A mount that dies again and again: the supervisor ends, and readers have an error at once."""
    mount = Mount(vault, version, base / "hopeless", "--supervised").start()
    load = Load(mount.directory, files)
    deaths = 0
    while mount.process.poll() is None and deaths < 12:
        if pid := worker_of(mount):
            try:
                os.kill(pid, signal.SIGKILL)
                deaths += 1
            except ProcessLookupError:
                pass
            until(5, lambda: mount.process.poll() is not None or other_worker(mount, pid), 0.01)
    code = mount.process.poll()
    time.sleep(0.3)
    load.stop()
    hanging = [thread for thread in load.threads if thread.is_alive()]
    kinds = {fault[1] for fault in load.faults}
    check("S14: after six deaths in a minute the supervisor ends", code == 3 and deaths <= 7, (code, deaths))
    check("S14: nobody hangs, and readers are told", not hanging and kinds <= {"ENOTCONN", "ECONNABORTED", "ENOENT", "EIO"} and bool(kinds), kinds)
    check("S14: nothing is mounted then", not os.path.ismount(mount.directory))
    mount.lazily()


def orphan(vault, version, files, base) -> None:
    """The supervisor itself is killed: its mount ends in order, and nothing hangs."""
    mount = Mount(vault, version, base / "orphan", "--supervised").start()
    pid = worker_of(mount)
    check("S14: read before", read(mount.directory / "d/1") == files["d/1"])
    mount.kill()
    gone = until(15, lambda: not pathlib.Path(f"/proc/{pid}").exists() and not os.path.ismount(mount.directory))
    check("S14: kill -9 of the supervisor: its mount unmounts and ends", gone)
    mount.lazily()


def on_a_descriptor(vault, version, files, base) -> None:
    """As Apptainer's --fusemount does it: open /dev/fuse, mount it, run the program with /dev/fd/3 and -f behind its arguments."""
    directory = base / "fusemount"
    directory.mkdir()
    fuse = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions".encode()
    done_well = LIBC.mount(b"kluis", os.fsencode(directory), b"fuse", 1 | 2 | 4, options)  # ro, nosuid, nodev
    check("/dev/fd/N: another has mounted", done_well == 0, ctypes.get_errno())
    log = (base / "fusemount.log").open("ab")

    def given():
        before_exec()
        os.dup2(fuse, 3)

    process = subprocess.Popen([str(KLUIS), "mount", version, "--credentials", str(vault.dir / "job.env"), "--seen", str(base / "seen"),
                                "/dev/fd/3", "-f"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[3, fuse],
                               preexec_fn=given, env={"PATH": os.environ["PATH"]})
    os.close(fuse)
    found = {key: read(directory / key) for key in files}
    check("/dev/fd/N: every byte through a descriptor that was given", found == files, (base / "fusemount.log").read_text()[-300:])
    try:
        (directory / "x").write_bytes(b"")
        check("/dev/fd/N: read-only", False)
    except OSError as error:
        check("/dev/fd/N: read-only", error.errno == errno.EROFS, error)
    process.send_signal(signal.SIGTERM)
    try:
        code = process.wait(10)
    except subprocess.TimeoutExpired:
        code = "hangs"
        process.kill()
    check("/dev/fd/N: SIGTERM ends it in order", code == 0, code)
    told = read(directory / "b")
    check("/dev/fd/N: then readers have ENOTCONN", told == "ENOTCONN", told if isinstance(told, str) else len(told))
    subprocess.run(["umount", "-l", str(directory)], check=False)
    for words in (["/dev/fd/999"], ["/dev/fd/0"], ["/dev/fd/3", "--supervised"]):
        run = subprocess.run([str(KLUIS), "mount", version, *words, "--credentials", str(vault.dir / "job.env"), "--seen",
                              str(base / "seen")], capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL)
        check(f"/dev/fd/N: refused: {' '.join(words)}", run.returncode in (2, 3) and "error" in run.stderr, run)


def main() -> int:
    rng = random.Random(seed())
    with lab("mount-crash") as (base, vault):
        files = {f"d/{n}": rng.randbytes(rng.choice([10, 70_000, 200_000])) for n in range(12)} | {"b": rng.randbytes(4 * MIB + 3)}
        upload(vault, files)
        version = publish(vault)
        survived(vault, version, files, base)
        orphan(vault, version, files, base)
        given_up(vault, version, files, base)
        on_a_descriptor(vault, version, files, base)
        revoked_after(vault, version, files, base)
    return done()


sys.exit(main())
