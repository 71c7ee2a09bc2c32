"""S6: what every call answers on the mount, held against the kernel's own read-only file system on the same tree: several
hundred pairs of call and path, by root and by another user."""

import errno
import itertools
import json
import mmap
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

FILES = {"file": b"0123456789" * 700, "folder/inside": b"x", "folder/deeper/leaf": b"leaf", "empty": b""}
PATHS = ["file", "empty", "folder", "folder/", "folder/inside", "folder/deeper/leaf", ".", "folder/.", "folder/..", "folder/../file",
         "absent", "absent/", "absent/x", "file/", "file/x", "file/..", "n" * 255, "n" * 256, "folder/" + "n" * 256, "p/" * 2000 + "p",
         "folder/" * 3 + "x", "\udcff\udcfe", "a\nb", ".//file", "./folder//inside"]
FLAGS = ["O_RDONLY", "O_WRONLY", "O_RDWR", "O_RDONLY|O_CREAT", "O_WRONLY|O_CREAT", "O_RDONLY|O_CREAT|O_EXCL", "O_RDONLY|O_TRUNC",
         "O_WRONLY|O_TRUNC", "O_WRONLY|O_APPEND", "O_RDONLY|O_DIRECTORY", "O_RDONLY|O_NOFOLLOW", "O_PATH", "O_RDONLY|O_NONBLOCK",
         "O_RDONLY|O_CREAT|O_DIRECTORY", "O_RDWR|O_TMPFILE", "O_RDONLY|O_NOATIME", "O_RDONLY|O_SYNC"]


def flags_of(text: str) -> int:
    value = 0
    for name in text.split("|"):
        value |= getattr(os, name)
    return value


def calls(path: str) -> dict:
    """Calls that take a path."""
    found = {f"open({flags})": lambda flags=flags: os.close(os.open(path, flags_of(flags))) for flags in FLAGS}
    found |= {
        "mkdir": lambda: os.mkdir(path), "rmdir": lambda: os.rmdir(path), "unlink": lambda: os.unlink(path),
        "rename to new": lambda: os.rename(path, "new"), "rename onto": lambda: os.rename("file", path),
        "rename from absent": lambda: os.rename("absent", path), "link": lambda: os.link(path, "new"),
        "link onto": lambda: os.link("file", path), "symlink": lambda: os.symlink("file", path), "readlink": lambda: os.readlink(path),
        "mkfifo": lambda: os.mkfifo(path), "mknod": lambda: os.mknod(path), "chmod": lambda: os.chmod(path, 0o644),
        "chown": lambda: os.chown(path, 1, 1), "lchown": lambda: os.lchown(path, 1, 1), "utime": lambda: os.utime(path),
        "utime of": lambda: os.utime(path, (5, 5)), "truncate": lambda: os.truncate(path, 3), "truncate negative": lambda: os.truncate(path, -1),
        "stat": lambda: stat_of(os.stat(path)), "lstat": lambda: stat_of(os.lstat(path)), "listdir": lambda: sorted(os.listdir(path)),
        "chdir": lambda: (os.chdir(path), os.fchdir(HOME))[0], "statvfs": lambda: os.statvfs(path).f_namemax,
        "setxattr": lambda: os.setxattr(path, "user.x", b"1"), "removexattr": lambda: os.removexattr(path, "user.x"),
        "getxattr": lambda: os.getxattr(path, "user.x"), "mkdirat above": lambda: os.mkdir(path + "/new"),
    }
    found |= {f"access({mode})": lambda mode=mode: os.access(path, mode) for mode in (os.F_OK, os.R_OK, os.W_OK, os.X_OK)}
    return found


def stat_of(info) -> tuple:
    kind = info.st_mode
    return (kind, info.st_size if not kind & 0o040000 else 0, info.st_uid)


def on_descriptor(path: str) -> dict:
    """Calls that take an open file."""
    def opened(act):
        def run():
            fd = os.open(path, os.O_RDONLY)
            try:
                return act(fd)
            finally:
                os.close(fd)
        return run

    def mapped(fd, prot, flags):
        with mmap.mmap(fd, 4096, prot=prot, flags=flags) as view:
            return view[:10].hex()
    size = 2 ** 62
    acts = {
        "ftruncate": lambda fd: os.ftruncate(fd, 1), "fchmod": lambda fd: os.fchmod(fd, 0o777), "fchown": lambda fd: os.fchown(fd, 1, 1),
        "futimens": lambda fd: os.utime(fd), "write": lambda fd: os.write(fd, b"x"), "pwrite": lambda fd: os.pwrite(fd, b"x", 0),
        "fallocate": lambda fd: os.posix_fallocate(fd, 0, 10), "fsync": os.fsync, "fdatasync": os.fdatasync,
        "fsetxattr": lambda fd: os.setxattr(fd, "user.x", b"1"), "read": lambda fd: os.read(fd, 20).hex(),
        "pread behind the end": lambda fd: os.pread(fd, 10, 10 ** 9).hex(), "pread far behind": lambda fd: os.pread(fd, 10, size).hex(),
        "pread negative": lambda fd: os.pread(fd, 10, -1), "read of nothing": lambda fd: os.read(fd, 0).hex(),
        "sendfile into it": lambda fd: os.sendfile(fd, fd, 0, 10), "copy_file_range into it": lambda fd: os.copy_file_range(fd, fd, 10, 0, 5000),
        "map private": lambda fd: mapped(fd, mmap.PROT_READ, mmap.MAP_PRIVATE), "map shared": lambda fd: mapped(fd, mmap.PROT_READ, mmap.MAP_SHARED),
        "map private to write": lambda fd: mapped(fd, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE),
        "map shared to write": lambda fd: mapped(fd, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED),
        "fstat": lambda fd: stat_of(os.fstat(fd)), "fadvise": lambda fd: os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED),
        "openat below": lambda fd: os.close(os.open("inside", os.O_RDONLY, dir_fd=fd)), "unlinkat below": lambda fd: os.unlink("inside", dir_fd=fd),
    }
    acts |= {f"lseek {name} {at}": lambda fd, how=how, at=at: os.lseek(fd, at, how)
             for (name, how), at in itertools.product({"SET": 0, "CUR": 1, "END": 2, "DATA": 3, "HOLE": 4}.items(), (0, 3, 6999, 7000, 7001, -1))
             if not path.startswith("folder")}
    return {f"{name} of an open file": opened(act) for name, act in acts.items()}


def asked(top: str) -> dict[str, str]:
    """What each call says, in a process whose directory is `top`."""
    global HOME
    os.chdir(top)
    HOME = os.open(".", os.O_RDONLY)
    said = {}
    for path in PATHS:
        several = calls(path)
        if path in ("file", "empty", "folder"):
            several |= on_descriptor(path)
        for name, act in several.items():
            try:
                answer = repr(act())
            except OSError as error:
                answer = errno.errorcode.get(error.errno, str(error.errno))
            except ValueError as error:
                answer = str(error)
            said[f"{name} on {path[:30]!a} of {len(path)}"] = answer
    return said


def by(user: int, top: pathlib.Path) -> dict[str, str]:
    """The same in a child that is that user."""
    words = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
    run = subprocess.run([*words, "/usr/bin/python3", os.path.abspath(__file__), str(top)], capture_output=True, text=True, timeout=120,
                         check=False, env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"})
    if run.returncode:
        raise RuntimeError(run.stderr[-500:])
    return json.loads(run.stdout)


def main() -> int:
    from mounts import Mount, publish, upload
    from vault import Vault, check, clean, done, say, scratch
    base = scratch("errnos")
    for path in (base, *base.parents):
        if str(path).startswith("/tmp/"):
            path.chmod(0o755)
    vault = Vault(base / "vault").start()
    mount, reference = None, base / "reference"
    reference.mkdir()
    try:
        upload(vault, FILES)
        mount = Mount(vault, publish(vault), base / "data", "--allow-other").start()
        options = "nosuid,nodev,noatime"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(reference)], check=True)
        for key, body in FILES.items():
            (reference / key).parent.mkdir(parents=True, exist_ok=True)
            (reference / key).write_bytes(body)
        for path in [reference, *reference.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        subprocess.run(["mount", "-o", f"remount,ro,{options}", str(reference)], check=True)
        for user in (0, 12345):
            want, got = by(user, reference), by(user, mount.directory)
            other = {name: (got[name], answer) for name, answer in want.items() if got[name] != answer}
            say(f"{len(want)} calls by user {user}, of which {sum(a == 'EROFS' for a in got.values())} are EROFS")
            check(f"S6: {len(want)} calls answer as on a read-only tmpfs, by user {user}", not other and len(want) > 800,
                  list(other.items())[:8])
        after = {key: (mount.directory / key).read_bytes() for key in FILES}
        check("S6: and nothing has changed", after == FILES)
    finally:
        subprocess.run(["umount", "-l", str(reference)], check=False)
        if mount:
            mount.stop()
        vault.stop()
        clean(base)
    return done()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        json.dump(asked(sys.argv[1]), sys.stdout)
    else:
        sys.exit(main())
