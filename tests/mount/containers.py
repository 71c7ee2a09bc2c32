"""A container of an unprivileged account that binds a mount which root made for it, as jobs do: Charliecloud's, which Debian has."""

import hashlib
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mounts import Mount, publish, upload  # noqa: E402
from vault import Vault, check, clean, done, scratch, until  # noqa: E402

READER, OTHER = 12345, 12346
WORDS = ("sh", "cat", "sha256sum", "find", "touch", "sleep", "tail")


def image(base: pathlib.Path) -> pathlib.Path:
    """A container's file system: one program under several names, and places to bind on."""
    top = base / "image"
    for name in ("bin", "data", "dev", "etc", "home", "mnt", "proc", "root", "run", "sys", "tmp", "usr", "var"):
        (top / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", top / "bin/busybox")
    for word in WORDS:
        (top / "bin" / word).symlink_to("busybox")
    for name in ("passwd", "group", "hosts", "resolv.conf"):
        (top / "etc" / name).touch()
    return top


class Container:
    """How one account runs words in it, with `data` bound."""

    def __init__(self, top: pathlib.Path, data: pathlib.Path, uid: int):
        self.words = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "ch-run", "-b", f"{data}:/data", str(top), "--"]
        self.how = {"text": True, "env": {"PATH": os.environ["PATH"], "USER": "job", "HOME": "/nowhere"}}

    def run(self, *words: str) -> subprocess.CompletedProcess:
        return subprocess.run([*self.words, *words], capture_output=True, timeout=60, check=False, **self.how)

    def start(self, script: str) -> subprocess.Popen:
        return subprocess.Popen([*self.words, "/bin/sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, **self.how)


def main() -> int:
    base = scratch("containers")
    for path in (base, *base.parents):
        if str(path).startswith("/tmp/"):
            path.chmod(0o755)
    vault = Vault(base / "vault").start()
    mount, stays = None, None
    try:
        files = {f"d/{n}": random.Random(n).randbytes(70_000) for n in range(8)}
        upload(vault, files)
        top = image(base)
        mount = Mount(vault, publish(vault), base / "data", "--allow-other", "--supervised", "--reader", str(READER)).start()
        own = Container(top, mount.directory, READER)
        told = own.run("/bin/sh", "-c", "cd /data && find . -type f -exec sha256sum {} +")
        sums = {line.split()[1][2:]: line.split()[0] for line in told.stdout.splitlines()}
        check("a container sees every file and every byte", sums == {key: hashlib.sha256(body).hexdigest() for key, body in files.items()}, told)
        told = own.run("/bin/touch", "/data/d/new")
        check("S6: a container cannot write", told.returncode != 0 and "Read-only" in told.stderr, told)
        told = Container(top, mount.directory, OTHER).run("/bin/cat", "/data/d/1")
        check("S20: a container of another account reads nothing", told.returncode != 0 and not told.stdout, told)
        stays = own.start("exec 3</data/d/2; cat /data/d/1 | sha256sum; while read word; do "
                          "cat /data/d/1 | sha256sum; sha256sum </proc/self/fd/3 || echo none; done 2>&1")
        first = stays.stdout.readline().split()[0]
        worker = pathlib.Path(f"/proc/{mount.process.pid}/task/{mount.process.pid}/children").read_text().split()
        os.kill(int(worker[0]), signal.SIGKILL)
        stays.stdin.write("again\n")
        stays.stdin.flush()
        second = [stays.stdout.readline().split()[0] for _ in range(2)]
        right = [hashlib.sha256(files[key]).hexdigest() for key in ("d/1", "d/1", "d/2")]
        check("S14: a container reads on when the mount dies, also what is open", [first, *second] == right, (first, second))
        code = mount.stop()
        check("the mount ends in order, though the container has it still", code == 0, code)
        last, _ = stays.communicate("again\n", 30)
        read = [word for word in last.split() if word in right]
        check("S18: a container that stays reads nothing more, neither by name nor what was open", last and not read, last)
        check("S18: and nothing of the mount is there", until(10, lambda: not mount.is_there()))
    finally:
        if stays:
            stays.kill()
            stays.wait()
        if mount:
            mount.stop()
        vault.stop()
        clean(base)
    return done()


sys.exit(main())
