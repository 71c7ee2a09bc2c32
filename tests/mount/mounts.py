"""A mount of a published version for the tests: made, read, killed, unmounted; and what is in it."""

import contextlib
import errno
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from vault import KLUIS, Client, Vault, before_exec, clean, scratch, until  # noqa: E402

MIB = 1 << 20
EDGES = [0, 1, 65535, 65536, 65537, MIB - 1, MIB, MIB + 1, 3 * MIB + 5]
PUT_SECONDS_MAX = 60


@contextlib.contextmanager
def lab(name: str, **how):
    """A directory and a vault for one suite. At its end nothing is mounted below it, nothing runs, and nothing stays if all went well."""
    base = scratch(name)
    vault = Vault(base / "vault", **how).start()
    try:
        yield base, vault
    finally:
        unmount_below(base)
        vault.stop()
        clean(base)


def unmount_below(base: pathlib.Path) -> None:
    for line in open("/proc/mounts", encoding="utf-8").read().splitlines():
        if str(base) in line:
            subprocess.run(["umount", "-l", line.split()[1]], check=False)


def tree(rng: random.Random) -> dict[str, bytes]:
    """A dataset in which every place differs: lengths at every edge, names of every kind, a large and many small files."""
    files = {f"edges/{size}": rng.randbytes(size) for size in EDGES}
    files |= {f"small/{n // 20:02}/{n:04}.bin": rng.randbytes(rng.randrange(3000)) for n in range(120)}
    files["large/a"] = rng.randbytes(12 * MIB + 17)
    files["canary"] = b"CANARY-OF-THE-PLAINTEXT-" + rng.randbytes(8).hex().encode() * 40
    names = ["with space", "ünï/cödé-日本語", ".hidden", "plus+sign", "per%cent%20", "quo'te\"<&>", "back\\slash", "n" * 255,
             "a.txt", "a/b", "a0", "deep/" * 60 + "leaf"]
    files |= {f"names/{name}": name.encode() for name in names}
    return files


def upload(vault: Vault, files: dict[str, bytes]) -> None:
    client = Client(vault.identity())
    for key, body in files.items():
        for _ in range(3):
            reply = client.request("PUT", key, body=body)
            if reply.status == 200:
                break
        else:
            raise RuntimeError(f"PUT {key}: {reply}")


def publish(vault: Vault) -> str:
    """Publishes the demo's dataset, whether or not it changed; the version."""
    run = vault.command("dataset", "publish", "demo/wdbc", "--again", "--publisher", "olivia", "--json")
    if run.returncode:
        raise RuntimeError(f"publish: {run.stderr}")
    return json.loads(run.stdout)["version"]


class Mount:
    """`kluis mount` of a version at `directory`."""

    def __init__(self, vault: Vault, version: str, directory: pathlib.Path, *words: str, who: str = "job"):
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.log = directory.with_name(directory.name + ".mount.log")
        credentials = vault.dir / f"{who}.env"
        self.command = [str(KLUIS), "mount", version, str(directory), "--credentials", str(credentials), *words]
        if "--seen" not in words:
            self.command += ["--seen", str(vault.dir / "seen")]
        self.process: subprocess.Popen | None = None

    def start(self) -> "Mount":
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=before_exec,
                start_new_session=True, env={"PATH": os.environ["PATH"]},
            )
        ready = until(30, lambda: self.is_there() or self.process.poll() is not None, 0.02)
        if not ready or self.process.poll() is not None:
            raise RuntimeError(f"no mount: {self.log.read_text(errors='replace')[-600:]}")
        return self

    def is_there(self) -> bool:
        """Whether it is mounted, also where this account may not enter."""
        return f" {self.directory} " in pathlib.Path("/proc/self/mounts").read_text()

    def refused(self) -> str:
        """That the mount does not come about; what it says."""
        run = subprocess.run(self.command, capture_output=True, text=True, timeout=60, check=False, env={"PATH": os.environ["PATH"]})
        return f"{run.returncode} {run.stderr}"

    def stop(self) -> int | None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                self.lazily()
                return None
        self.lazily()
        return self.process.returncode if self.process else None

    def lazily(self) -> None:
        if self.is_there():
            subprocess.run(["umount", "-l", str(self.directory)], check=False, capture_output=True)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def kib(self, name: str = "VmRSS") -> int:
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(name))


def read(path) -> bytes | str:
    """The bytes, or the name of the error."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        return errno.errorcode[error.errno]


class Load:
    """Readers that go on and on; what they saw that is wrong."""

    def __init__(self, top, files):
        self.top, self.files, self.faults, self.reads, self.going = top, files, [], 0, True
        self.threads = [threading.Thread(target=self.run, args=(n,), daemon=True) for n in range(3)]
        for thread in self.threads:
            thread.start()

    def run(self, n):
        rng = random.Random(n)
        while self.going:
            key = rng.choice(list(self.files))
            got = read(self.top / key)
            if got != self.files[key]:
                self.faults.append((key, str(got)[:40]))
                time.sleep(0.05)
            self.reads += 1

    def stop(self):
        self.going = False
        for thread in self.threads:
            thread.join(60)
