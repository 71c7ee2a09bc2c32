"""What a mount is to programs: every row of docs/mount.md that one machine can show."""

import errno
import fcntl
import json
import mmap
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mounts import EDGES, Mount, lab, publish, tree, upload  # noqa: E402
from vault import Client, check, done, say, seed, until  # noqa: E402

OPS = int(os.environ.get("KLUIS_MOUNT_OPS", "4000"))
LEASE_SECONDS = 60


def walk(top) -> dict[str, bytes]:
    found = {}
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, top)] = file.read()
    return found


def the_same_bytes(top, files) -> None:
    found = walk(top)
    check("S1: every byte is the published one", found == files, sorted(set(found) ^ set(files))[:5])
    check("S8: listings are complete and name nothing twice",
          all(len(names) == len(set(names)) for _, *lists in os.walk(top) for names in lists))
    sizes = {key: os.stat(os.path.join(top, key)).st_size for key in files}
    check("S10: empty files, single bytes and lengths at every edge", all(sizes[f"edges/{n}"] == n for n in EDGES))


def any_read(top, files, rng) -> None:
    """A differential fuzzer: random reads by every call that programs read with, against what was uploaded."""
    keys = [key for key in files if files[key]]
    wrong, by = [], {}
    for _ in range(OPS):
        key = rng.choice(keys)
        body, path = files[key], os.path.join(top, key)
        at, count = rng.randrange(len(body) + 10), rng.choice([1, 10, 4096, 65536, 300_000])
        how = rng.choice(["pread", "read", "readv", "mmap", "sendfile", "splice", "copy_file_range"])
        fd = os.open(path, os.O_RDONLY)
        try:
            if how == "pread":
                got = os.pread(fd, count, at)
            elif how == "readv":
                buffers = [bytearray(count // 2 + 1), bytearray(count // 2 + 1)]
                os.lseek(fd, at, os.SEEK_SET)
                read = os.readv(fd, buffers)
                got, count = b"".join(buffers)[:read], read if read < count else count
                got = got[:count]
            elif how == "mmap":
                with mmap.mmap(fd, 0, prot=mmap.PROT_READ, flags=rng.choice([mmap.MAP_SHARED, mmap.MAP_PRIVATE])) as view:
                    got = view[at:at + count]
            elif how in ("sendfile", "copy_file_range"):
                with tempfile.TemporaryFile(dir="/tmp", buffering=0) as file:
                    out, copied = file.fileno(), 0
                    while copied < count:
                        step = (os.sendfile(out, fd, at + copied, count - copied) if how == "sendfile" else
                                os.copy_file_range(fd, out, count - copied, at + copied, copied)) if at + copied < len(body) else 0
                        if not step:
                            break
                        copied += step
                    got = os.pread(out, count + 1, 0)
            elif how == "splice":
                reader, writer = os.pipe()
                got = b""
                while len(got) < count and (step := os.splice(fd, writer, min(count - len(got), 65536), offset_src=at + len(got))):
                    got += os.read(reader, step)
                os.close(reader)
                os.close(writer)
            else:
                os.lseek(fd, at, os.SEEK_SET)
                got = os.read(fd, count)
            by[how] = by.get(how, 0) + 1
            if got != body[at:at + count]:
                wrong.append((how, key, at, count, len(got)))
        except OSError as error:
            # Between two file systems; programs then read and write.
            if not (how == "copy_file_range" and error.errno == errno.EXDEV):
                wrong.append((how, key, at, count, str(error)))
        finally:
            os.close(fd)
    check(f"S1: {OPS} random reads by seven system calls", not wrong and sum(count > OPS // 20 for count in by.values()) >= 6, (wrong[:3], by))


def nothing_changes(top) -> None:
    file, folder = os.path.join(top, "edges/1"), os.path.join(top, "edges")
    new = os.path.join(top, "new")
    acts = {
        "open for reading and writing": lambda: os.open(file, os.O_RDWR),
        "open for writing": lambda: os.open(file, os.O_WRONLY),
        "open with O_TRUNC": lambda: os.open(file, os.O_WRONLY | os.O_TRUNC),
        "open with O_APPEND": lambda: os.open(file, os.O_WRONLY | os.O_APPEND),
        "open with O_CREAT": lambda: os.open(new, os.O_CREAT | os.O_WRONLY),
        "open with O_TMPFILE": lambda: os.open(folder, os.O_TMPFILE | os.O_RDWR),
        "unlink": lambda: os.unlink(file), "rmdir": lambda: os.rmdir(folder), "mkdir": lambda: os.mkdir(new),
        "rename": lambda: os.rename(file, new), "chmod": lambda: os.chmod(file, 0o777), "chown": lambda: os.chown(file, 1, 1),
        "utime": lambda: os.utime(file), "truncate": lambda: os.truncate(file, 0), "link": lambda: os.link(file, new),
        "symlink": lambda: os.symlink("edges", new), "mkfifo": lambda: os.mkfifo(new), "mknod": lambda: os.mknod(new),
        "setxattr": lambda: os.setxattr(file, "user.a", b"1"), "removexattr": lambda: os.removexattr(file, "user.kluis.object"),
        "rename onto itself": lambda: os.rename(folder, os.path.join(top, "names")),
    }
    wrong = []
    for title, act in acts.items():
        try:
            act()
            wrong.append(f"{title} succeeded")
        except OSError as error:
            if error.errno != errno.EROFS:
                wrong.append(f"{title}: {error}")
    check(f"S6: {len(acts)} calls that would change something fail with EROFS", not wrong, wrong)
    with open(file, "rb") as handle:
        try:
            mmap.mmap(handle.fileno(), 0, prot=mmap.PROT_WRITE, flags=mmap.MAP_SHARED)
            check("S11: no shared writable mapping", False)
        except OSError as error:
            check("S11: no shared writable mapping", error.errno == errno.EACCES, error)
    check("S6: access(W_OK) says no", not os.access(file, os.W_OK))


def small_print(top, version) -> None:
    file = os.path.join(top, "edges/65536")
    check("S12: attributes name the version and the object",
          os.getxattr(file, "user.kluis.snapshot").decode().startswith(version + ":")
          and len(os.getxattr(file, "user.kluis.digest")) == 64 and len(os.getxattr(file, "user.kluis.object")) == 32)
    try:
        os.getxattr(file, "user.other")
        check("S12: there are no other attributes", False)
    except OSError as error:
        check("S12: there are no other attributes", error.errno == errno.ENODATA, error)
    info = os.statvfs(top)
    check("S13: statvfs says what the version holds", info.f_namemax == 255 and info.f_bavail == 0 and info.f_files > 100, info)
    fd = os.open(file, os.O_RDONLY | os.O_NOATIME)
    fcntl.flock(fd, fcntl.LOCK_SH)
    fcntl.flock(fd, fcntl.LOCK_UN)
    check("S10: SEEK_DATA and SEEK_HOLE are those of a file without holes",
          (os.lseek(fd, 5, os.SEEK_DATA), os.lseek(fd, 5, os.SEEK_HOLE)) == (5, 65536))
    check("S10: a read at and behind the end is empty", os.pread(fd, 9, 65536) == b"" and os.pread(fd, 9, 1 << 40) == b"")
    os.close(fd)
    for name in ("absent", "edges/absent", "edges/1/x", "absent/x", ".kluis/absent", "edges" * 52):
        if os.path.exists(os.path.join(top, name)):
            check(f"what is not there is not found: {name[:20]}", False)
    entries = os.listdir(top)
    check("S8: .kluis can be named and is in no listing", ".kluis" not in entries and os.listdir(os.path.join(top, ".kluis")) != [])


def stable(vault, version, top, base) -> None:
    """Two mounts of one version, and another version beside: the same inodes, nothing across."""
    other = Mount(vault, version, base / "second").start()
    try:
        facts = lambda root: {path: (s.st_ino, s.st_mtime_ns, s.st_size, s.st_mode, s.st_nlink)  # noqa: E731
                              for folder, dirs, names in os.walk(root) for name in dirs + names
                              for path, s in [(os.path.relpath(os.path.join(folder, name), root), os.stat(os.path.join(folder, name)))]}
        one, two = facts(top), facts(other.directory)
        check("S7: attributes are the same in every mount", one == two)
        inodes = [fact[0] for fact in one.values()]
        check("S7: an inode is one file", len(inodes) == len(set(inodes)))
    finally:
        check("S18: SIGTERM unmounts and ends well", other.stop() == 0 and not os.path.ismount(other.directory))


def frozen(vault, version, files, base) -> None:
    client = Client(vault.identity())
    client.request("PUT", "edges/1", body=b"changed")
    client.request("DELETE", "large/a")
    upload(vault, {"added": b"later"})
    second = publish(vault)
    again = Mount(vault, version, base / "again").start()
    newer = Mount(vault, second, base / "newer").start()
    try:
        check("S5: what was published stays though the dataset changes", walk(again.directory) == files)
        now = files | {"edges/1": b"changed", "added": b"later"}
        del now["large/a"]
        check("S23: two versions side by side, each its own", walk(newer.directory) == now)
    finally:
        again.stop()
        newer.stop()
    run = vault.command("dataset", "diff", version, second, "--credentials", str(vault.dir / "owner.env"), "--json")
    check("versions are compared", run.returncode == 1 and all(word in run.stdout for word in ("added", "changed", "removed")), run)
    absent = Mount(vault, "demo/wdbc@9", base / "absent").refused()
    check("a version that is not there is not mounted", absent.startswith("1 "), absent)
    wrong = Mount(vault, version, base / "absent", "--root", "00" * 32).refused()
    check("S4: another root than the pinned one is not mounted", wrong.startswith("1 ") and "pinned" in wrong, wrong)
    wrong = Mount(vault, version, base / "absent", "--signer", "11" * 32).refused()
    check("S2: a version signed by another key is not mounted", wrong.startswith("1 "), wrong)
    wrong = Mount(vault, version, base / "absent", who="stranger").refused()
    check("a stranger mounts nothing", wrong.startswith("1 "), wrong)


def tools(top, base, files) -> None:
    copy = base / "copy"
    for title, command in {
        "find": f"find {top} -type f | wc -l", "tar": f"tar cf - -C {top} . | tar tf - > /dev/null", "du": f"du -s {top}",
        "cp -a": f"cp -a {top} {copy}", "diff -r": f"diff -r {top} {copy}", "sha256sum": f"cd {top} && find . -type f -exec sha256sum {{}} + > {base}/sums",
        "sha256sum -c": f"cd {copy} && sha256sum -c --quiet {base}/sums", "python's os.walk": "true",
    }.items():
        run = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=120, check=False)
        check(f"S24: {title}", run.returncode == 0, run.stderr)
    if shutil.which("rsync"):
        run = subprocess.run(["rsync", "-rcn", "--itemize-changes", f"{top}/", f"{copy}/"], capture_output=True, text=True, timeout=120, check=False)
        check("S24: rsync --checksum finds nothing to do", run.returncode == 0 and ">f" not in run.stdout, run.stdout)
    bodies, faults = [], []

    def reader(seed_of):
        rng = random.Random(seed_of)
        for _ in range(60):
            key = rng.choice(list(files))
            with open(os.path.join(top, key), "rb") as file:
                (bodies if file.read() == files[key] else faults).append(key)

    threads = [threading.Thread(target=reader, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check("S24: eight readers in random order, as data loaders do", len(bodies) == 480 and not faults, faults[:3])


def on_the_record(vault, version, top, since) -> None:
    """S22: releases before reads, opens reported, and the second within the first."""
    time.sleep(6)
    number = version.rsplit("@", 1)[1]
    records = [r for r in vault.audit(since).values() if r.get("operation") in ("ReleaseKeys", "ReportReads", "GetSealed")]
    by = {name: [r for r in records if r["operation"] == name] for name in ("ReleaseKeys", "ReportReads", "GetSealed")}
    say(", ".join(f"{len(found)} {name}" for name, found in by.items()))
    check("S22: keys, sealed bytes and reads are in the log", all(by.values()), {k: len(v) for k, v in by.items()})
    text = str(by["ReleaseKeys"])
    check("S22: a release names the version and what was released", f"version={number}" in text and "objects=" in text)


def withdrawn(vault, version, base) -> None:
    """S17: open files stop within a minute of the withdrawal, with a reason."""
    grants = vault.command("grant", "list", "demo", "--json").stdout.splitlines()
    held = [grant for grant in map(json.loads, grants) if grant["principal"] == "job-1"]
    mount = Mount(vault, version, base / "withdrawn").start()
    try:
        fd = os.open(mount.directory / "edges/65536", os.O_RDONLY)
        check("S17: open and read before", len(os.pread(fd, 100, 0)) == 100)
        for grant in held:
            run = vault.command("grant", "withdraw", "demo", grant["grant"])
            check("S17: the grant is withdrawn", run.returncode == 0, run.stderr)
        begin = time.monotonic()

        def stopped():
            try:
                os.pread(fd, 100, 4096)
                return False
            except OSError as error:
                return errno.errorcode[error.errno]
        ended = until(LEASE_SECONDS + 20, stopped, 0.5)
        took = time.monotonic() - begin
        check(f"S17: an open file stops within {LEASE_SECONDS} s", ended == "EIO" and took <= LEASE_SECONDS, (ended, took))
        say(f"stopped after {took:.1f} s")
        try:
            os.open(mount.directory / "edges/1", os.O_RDONLY)
            check("S17: nothing new opens", False)
        except OSError as error:
            check("S17: nothing new opens", error.errno == errno.EACCES, error)
        status = (mount.directory / ".kluis/status").read_text()
        check("S17: the status says why", '"state": "refused"' in status and "AccessDenied" in status, status)
        check("S17: the errors say why", "refuses" in (mount.directory / ".kluis/errors").read_text())
        os.close(fd)
    finally:
        mount.stop()


def main() -> int:
    rng = random.Random(seed())
    with lab("mount") as (base, vault):
        files = tree(rng)
        upload(vault, files)
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        version = publish(vault)
        mount = Mount(vault, version, base / "data").start()
        top = mount.directory
        the_same_bytes(top, files)
        any_read(top, files, rng)
        nothing_changes(top)
        small_print(top, version)
        tools(top, base, files)
        stable(vault, version, top, base)
        on_the_record(vault, version, top, since)
        check("S21: the mount keeps within its memory", mount.kib("VmHWM") < (256 + 128) * 1024, mount.kib("VmHWM"))
        say(f"peak memory {mount.kib('VmHWM') // 1024} MiB")
        errors = (top / ".kluis/errors").read_text()
        check("no error was met on the way", errors == "", errors)
        direct = Mount(vault, version, base / "direct", "--direct-io").start()
        check("direct I/O gives the same bytes", walk(direct.directory) == files)
        direct.stop()
        canary = files["canary"][:24]
        mount.stop()
        found = subprocess.run(["grep", "-rlaF", canary.decode(), str(base / "vault"), str(mount.log)], capture_output=True, text=True, check=False)
        check("S19: no plaintext in store, catalog, journal or logs", not found.stdout, found.stdout)
        frozen(vault, version, files, base)
        withdrawn(vault, version, base)
    return done()


sys.exit(main())
