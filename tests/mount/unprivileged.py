"""A mount by an ordinary user through fusermount3: what works without root, and what that user's other processes cannot see of it."""

import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mounts import Mount, publish, read, upload  # noqa: E402
from vault import Vault, check, clean, done, scratch, until  # noqa: E402

USER = 65534  # nobody: fusermount3 wants a name
WORDS = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
# Every descriptor of a process that another of the same account is given (pidfd_open, pidfd_getfd).
TAKE = ("import ctypes,sys; c=ctypes.CDLL(None,use_errno=True); p=c.syscall(434,int(sys.argv[1]),0); assert p>=0; "
        "print([n for n in range(64) if c.syscall(438,p,n,0)>=0])")
ATTACH = "import ctypes,sys; c=ctypes.CDLL(None,use_errno=True); print(c.ptrace(16,int(sys.argv[1]),0,0))"


class Own(Mount):
    """By that user."""

    def __init__(self, vault, version, directory, *words):
        super().__init__(vault, version, directory, *words)
        self.command = WORDS + self.command

    def start(self):
        os.chown(self.directory, USER, USER)
        return super().start()


def by_user(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run([*WORDS, *command], capture_output=True, text=True, timeout=60, check=False)


def main() -> int:
    base = scratch("unprivileged")
    # In this mount namespace alone /dev/fuse is open to everybody, as distributions have it.
    node = base / "fuse"
    os.mknod(node, 0o020666, os.makedev(10, 229))
    node.chmod(0o666)
    subprocess.run(["mount", "--bind", str(node), "/dev/fuse"], check=True)
    for path in (base, *base.parents):
        if str(path).startswith("/tmp/"):
            path.chmod(0o755)
    vault = Vault(base / "vault").start()
    mount = None
    try:
        files = {f"d/{n}": random.Random(n).randbytes(50_000) for n in range(8)}
        upload(vault, files)
        version = publish(vault)
        home = base / "home"
        home.mkdir()
        shutil.copy(vault.dir / "job.env", home / "job.env")
        for path in (home, home / "job.env"):
            os.chown(path, USER, USER)
        (home / "job.env").chmod(0o600)
        mount = Own(vault, version, base / "data", "--supervised", "--seen", str(home / "seen"))
        at = mount.command.index("--credentials")
        mount.command[at + 1] = str(home / "job.env")
        mount.start()
        told = by_user("bash", "-c", f"cd {mount.directory} && cat d/* | wc -c && stat -c %u d/1")
        check("an ordinary user mounts and reads", told.stdout.split() == [str(8 * 50_000), str(USER)], told)
        said = read(mount.directory / "d/1")
        check("S20: root itself does not enter an ordinary user's mount", said == "EACCES", said if isinstance(said, str) else len(said))
        other = subprocess.run(["setpriv", "--reuid=12346", "--regid=12346", "--clear-groups", "ls", str(mount.directory)],
                               capture_output=True, text=True, check=False)
        check("S20: nor does another user", other.returncode != 0, other)
        worker = int(pathlib.Path(f"/proc/{mount.process.pid}/task/{mount.process.pid}/children").read_text().split()[0])
        for title, process in (("the mount", worker), ("its supervisor", mount.process.pid)):
            seen = [name for name in ("mem", "environ", "maps", "fd/0") if by_user("cat", f"/proc/{process}/{name}").returncode == 0]
            check(f"S19: the same user's other processes do not look into {title}", not seen, seen)
            traced = by_user("/usr/bin/python3", "-c", ATTACH, str(process))
            check("S19: nor trace it", traced.stdout.strip() == "-1", traced)
            taken = by_user("/usr/bin/python3", "-c", TAKE, str(process))
            check("S19: nor take its connection to the kernel", taken.stdout.strip() == "[]", taken)
        os.kill(worker, signal.SIGKILL)
        again = until(10, lambda: by_user("wc", "-c", f"{mount.directory}/d/2").stdout.startswith("50000"), 0.1)
        told = by_user("sha256sum", f"{mount.directory}/d/2")
        check("S14: supervised without root too", again and len(told.stdout) > 64, told)
        code = mount.stop()
        check("S14: and unmounted without root, by the successor", code == 0 and not mount.is_there(), code)
        kept = [path for path in (home / "seen").rglob("*") if path.is_file()]
        check("S4: and what was seen is the user's own", len(kept) == 1 and kept[0].stat().st_uid == USER, kept)
    finally:
        if mount:
            mount.stop()
        vault.stop()
        clean(base)
    return done()


if not os.environ.get("KLUIS_INSIDE"):
    os.environ["KLUIS_INSIDE"] = "1"
    os.execvp("unshare", ["unshare", "--mount", sys.executable, os.path.abspath(__file__)])
sys.exit(main())
