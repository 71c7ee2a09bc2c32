"""What takes long: hundreds of mounts on one machine, each part of the whole killed in turn under load, credentials renewed for minutes.

    heavy.py STORE_DIR      the directory of a SeaweedFS that tests/lab/store.sh started
"""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mounts import MIB, Load, Mount, lab, publish, read, upload  # noqa: E402
from vault import check, done, say, seed, until  # noqa: E402

MOUNTS = int(os.environ.get("KLUIS_MOUNTS", "200"))
SOAK_SECONDS = int(os.environ.get("KLUIS_SOAK_SECONDS", "180"))
KILLS = int(os.environ.get("KLUIS_KILLS", "9"))


def held(vault) -> dict[str, int]:
    """What the vault and this machine hold: descriptors, threads, memory, mounts."""
    status = pathlib.Path(f"/proc/{vault.pid}/status").read_text()
    number = lambda name: int(next(line for line in status.splitlines() if line.startswith(name + ":")).split()[1])  # noqa: E731
    return {"descriptors": len(os.listdir(f"/proc/{vault.pid}/fd")), "threads": number("Threads"), "kib": number("VmRSS"),
            "mounts": pathlib.Path("/proc/mounts").read_text().count("fuse.kluis"),
            "connections": len(os.listdir("/sys/fs/fuse/connections"))}


def many(vault, version, files, base) -> None:
    """Two hundred mounts at once, twice over: nothing stays behind, on the machine or in the gateway."""
    def one(n):
        mount = Mount(vault, version, base / f"many-{n}", "--memory", "16", *(["--supervised"] if n % 10 == 0 else [])).start()
        return mount

    def look(mount):
        key = random.choice(list(files))
        return read(mount.directory / key) == files[key]

    after, peaks = [], []
    # A mount ends with the thread that started it: these stay.
    pool = ThreadPoolExecutor(8)
    for _ in range(2):
        running = []
        try:
            running = list(pool.map(one, range(MOUNTS)))
            right = list(pool.map(look, running * 2))
            own = [mount.kib("RssAnon") for mount in running]
            peaks.append(held(vault))
            check(f"{MOUNTS} mounts at once, each reads", len(running) == MOUNTS and all(right), sum(not r for r in right))
            check(f"a mount of {MOUNTS} takes little", max(own) < 48 * 1024, max(own) // 1024)
            say(f"memory of a mount's own: {sum(own) // len(own) // 1024} MiB, the largest {max(own) // 1024}; the gateway {peaks[-1]['kib'] // 1024}")
        finally:
            codes = list(pool.map(lambda mount: mount.stop(), running))
        check("all end in order", set(codes) == {0}, set(codes))
        until(40, lambda: held(vault)["descriptors"] < 64, 1)
        after.append(held(vault))
    pool.shutdown()
    check("nothing is mounted any more", after[1]["mounts"] == after[0]["mounts"] and after[1]["connections"] <= after[0]["connections"], after)
    left = subprocess.run(["pgrep", "-f", f"{base}/many-"], capture_output=True, text=True, check=False).stdout.split()
    check("no process is left", not left, left)
    check("the gateway holds no more than after the first time", after[1]["descriptors"] <= after[0]["descriptors"] + 8
          and after[1]["threads"] <= after[0]["threads"] + 2 and after[1]["kib"] <= after[0]["kib"] * 1.15 + 8192, after)
    say(f"the gateway after the first and the second time: {after}")


class Store:
    """SeaweedFS, which is killed and started again with the same words."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.file = folder / "seaweed.pid"
        self.pid = int(self.file.read_text())
        self.words = pathlib.Path(f"/proc/{self.pid}/cmdline").read_text().split("\0")[:-1]
        self.cwd = os.readlink(f"/proc/{self.pid}/cwd")

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        until(10, lambda: not pathlib.Path(f"/proc/{self.pid}").exists() or "Z" in pathlib.Path(f"/proc/{self.pid}/stat").read_text())

    def start(self) -> None:
        with (self.folder / "again.log").open("ab") as log:
            process = subprocess.Popen(self.words, cwd=self.cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.pid = process.pid
        self.file.write_text(str(self.pid))


def in_turn(vault, version, files, base, store) -> None:
    """kill -9 of mount, gateway and store, one after the other, while readers read."""
    mount = Mount(vault, version, base / "turn", "--supervised", "--memory", "16", "--direct-io", "--io-timeout", "120").start()
    load = Load(mount.directory, files)
    try:
        for n in range(KILLS):
            before = load.reads
            if n % 3 == 0:
                children = pathlib.Path(f"/proc/{mount.process.pid}/task/{mount.process.pid}/children").read_text().split()
                os.kill(int(children[0]), signal.SIGKILL)
            elif n % 3 == 1:
                vault.kill()
                time.sleep(1)
                vault.start()
            else:
                store.kill()
                time.sleep(1)
                store.start()
            on = until(60, lambda: load.reads > before + 20, 0.2)
            check(f"after kill -9 of the {['mount', 'gateway', 'store'][n % 3]} reads go on", on, (load.reads, before))
            time.sleep(1)
        load.stop()
        check(f"{KILLS} kills in turn under load: no error, no wrong byte", not load.faults, load.faults[:4])
        say(f"{load.reads} reads")
    finally:
        load.going = False
        mount.stop()


def soak(vault, version, files, base) -> None:
    """S16: a credential that is renewed every ten seconds, the old one withdrawn, under load."""
    mount = Mount(vault, version, base / "soak", "--direct-io", "--memory", "16").start()
    load, env = Load(mount.directory, files), vault.dir / "job.env"
    rounds, end = 0, time.monotonic() + SOAK_SECONDS
    try:
        while time.monotonic() < end:
            old = env.read_text()
            made = vault.command("credential", "create", "job-1", "--output", str(vault.dir / f"soak-{rounds}.env"))
            if made.returncode:
                check("a credential is made", False, made.stderr)
                break
            (vault.dir / f"soak-{rounds}.env").rename(env)
            time.sleep(3)  # what was signed with the old one has its answer
            key = next(line.split("=", 1)[1] for line in old.splitlines() if line.startswith("AWS_ACCESS_KEY_ID"))
            if vault.command("credential", "revoke", key).returncode:
                check("a credential is withdrawn", False)
                break
            rounds += 1
            time.sleep(7)
        load.stop()
        check(f"S16: {rounds} renewals in {SOAK_SECONDS} s under load: no error", rounds >= SOAK_SECONDS // 20 and not load.faults, load.faults[:3])
        say(f"{load.reads} reads")
        status = json.loads((mount.directory / ".kluis/status").read_text())
        check("S16: and the lease stands", status["state"] == "reading" and status["lease_seconds_left"] > 10, status)
    finally:
        load.going = False
        mount.stop()


def main() -> int:
    rng = random.Random(seed())
    store = pathlib.Path(sys.argv[1])
    with lab("mount-heavy", store=store / "owner.env") as (base, vault):
        files = {f"d/{n}": rng.randbytes(rng.choice([10, 70_000, 300_000])) for n in range(40)} | {"b": rng.randbytes(4 * MIB + 3)}
        upload(vault, files)
        version = publish(vault)
        in_turn(vault, version, files, base, Store(store))
        many(vault, version, files, base)
        soak(vault, version, files, base)
    return done()


signal.signal(signal.SIGPIPE, signal.SIG_IGN)
sys.exit(main())
