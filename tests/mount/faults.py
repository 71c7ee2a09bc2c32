"""What a mount does when everything else fails: a store that lies, a gateway that is killed, itself killed."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mounts import MIB, Load, Mount, lab, publish, read, upload  # noqa: E402
from vault import check, done, say, seed, until  # noqa: E402

FLIPS = 40


def blobs(vault) -> dict[str, pathlib.Path]:
    return {path.name: path for path in (vault.dir / "store").rglob("*") if path.is_file() and len(path.name) == 32}


def restored(path, body):
    if path.exists():
        path.chmod(0o600)
    path.write_bytes(body)


def lies(vault, version, files, rng, base) -> None:
    """S2, S3: a bit, an end, a place or a blob is wrong: an error, never wrong bytes."""
    there = blobs(vault)
    wrong, refused = [], 0
    kinds = ["flip", "cut", "extend", "gone", "swap"]
    for n in range(FLIPS):
        kind, (name, path) = kinds[n % len(kinds)], rng.choice(sorted(there.items()))
        body = path.read_bytes()
        if kind == "flip":
            at = rng.randrange(len(body) * 8)
            bent = bytearray(body)
            bent[at // 8] ^= 1 << at % 8
            restored(path, bytes(bent))
        elif kind == "cut":
            restored(path, body[:rng.randrange(len(body))])
        elif kind == "extend":
            restored(path, body + b"\0")
        elif kind == "gone":
            path.unlink()
        else:
            other = rng.choice([p for other, p in sorted(there.items()) if other != name])
            restored(path, other.read_bytes())
        mount = Mount(vault, version, base / f"lie-{n}", "--io-timeout", "1")
        try:
            try:
                mount.start()
            except RuntimeError:
                refused += 1
                continue
            for key, expected in files.items():
                got = read(mount.directory / key)
                if got != expected:
                    if got not in ("EIO", "ENOENT", "EACCES"):
                        wrong.append((kind, name, key, str(got)[:40]))
                    refused += 1
        finally:
            mount.stop()
            restored(path, body)
    check(f"S2, S3: {FLIPS} lies of the store give errors and never a wrong byte", not wrong, wrong[:3])
    check("S2: the lies were met", refused >= FLIPS // 2, refused)
    say(f"{refused} refusals")
    mount = Mount(vault, version, base / "healed").start()
    check("S3: what is mended is read again", all(read(mount.directory / key) == body for key, body in files.items()))
    mount.stop()


def gateway_killed(vault, version, files, base) -> None:
    """S15: reads go on through a gateway that is killed and comes back."""
    mount = Mount(vault, version, base / "through", "--memory", "16", "--direct-io").start()
    load = Load(mount.directory, files)
    try:
        for _ in range(3):
            time.sleep(1)
            vault.kill()
            time.sleep(1.5)
            vault.start()
        before = load.reads
        until(20, lambda: load.reads > before + 20)
        load.stop()
        check("S15: kill -9 of the gateway, three times: a delay and nothing else", not load.faults, load.faults[:3])
        check("S15: reads went on afterwards", load.reads > before, (before, load.reads))
        say(f"{load.reads} reads")
    finally:
        load.going = False
        mount.stop()


def mount_killed(vault, version, files, base) -> None:
    """S14: a mount that is killed gives errors at once, hangs nobody, and is made anew."""
    mount = Mount(vault, version, base / "killed").start()
    load = Load(mount.directory, files)
    time.sleep(1)
    mount.kill()
    time.sleep(0.5)
    load.stop()
    kinds = {fault[1] for fault in load.faults}
    check("S14: readers of a killed mount get ENOTCONN or ECONNABORTED, and no process hangs",
          kinds and kinds <= {"ENOTCONN", "ECONNABORTED"} and not any(t.is_alive() for t in load.threads), kinds)
    subprocess.run(["umount", "-l", str(mount.directory)], check=False)
    again = Mount(vault, version, base / "killed").start()
    check("S14: it is mounted again at the same place", all(read(again.directory / k) == b for k, b in files.items()))
    again.stop()


def long_outage(vault, version, base) -> None:
    """S15: beyond the patience an outage is EIO, and the mount recovers without a new mount."""
    mount = Mount(vault, version, base / "outage", "--io-timeout", "1", "--direct-io").start()
    vault.kill()
    begin = time.monotonic()
    got = read(mount.directory / "b")
    took = time.monotonic() - begin
    check("S15: an outage beyond the patience is EIO", got == "EIO" and took < 20, (got if isinstance(got, str) else len(got), took))
    check("S15: the errors say so", "does not answer" in (mount.directory / ".kluis/errors").read_text())
    vault.start()
    check("S15: it recovers by itself", isinstance(read(mount.directory / "b"), bytes))
    mount.stop()


def renewed(vault, version, base) -> None:
    """S16: the credential changes under the mount."""
    mount = Mount(vault, version, base / "renewed", "--direct-io", who="job").start()
    env = vault.dir / "job.env"
    old = env.read_text()
    made = vault.command("credential", "create", "job-1", "--output", str(vault.dir / "new.env"))
    ok = made.returncode == 0
    if ok:
        new = (vault.dir / "new.env").read_text()
        temporary = env.with_suffix(".tmp")
        # One that other accounts can read is not taken.
        temporary.touch(0o600)
        temporary.write_text(new)
        temporary.rename(env)
        key = next(line.split("=", 1)[1] for line in old.splitlines() if line.startswith("AWS_ACCESS_KEY_ID"))
        ok = vault.command("credential", "revoke", key).returncode == 0
        time.sleep(1.2)
    got = read(mount.directory / "b")
    check("S16: a renewed credential is used without a new mount", ok and isinstance(got, bytes), (made.stderr, got if isinstance(got, str) else ""))
    mount.stop()


def many(vault, version, files, base) -> None:
    """Mounted and unmounted again and again: nothing is left behind."""
    before = len(os.listdir("/proc/self/fd"))
    for n in range(12):
        mount = Mount(vault, version, base / "many").start()
        fine = read(mount.directory / "b") == files["b"]
        code = mount.stop()
        if not fine or code != 0 or os.path.ismount(base / "many"):
            check("mounted and unmounted twelve times", False, (n, fine, code))
            return
    left = [line for line in pathlib.Path("/proc/mounts").read_text().splitlines() if str(base) in line]
    check("mounted and unmounted twelve times, nothing left", not left and len(os.listdir("/proc/self/fd")) == before, left)


def main() -> int:
    rng = random.Random(seed())
    with lab("mount-faults") as (base, vault):
        files = {f"d/{n}": rng.randbytes(rng.choice([10, 70_000])) for n in range(12)} | {"b": rng.randbytes(2 * MIB + 3)}
        upload(vault, files)
        version = publish(vault)
        gateway_killed(vault, version, files, base)
        mount_killed(vault, version, files, base)
        long_outage(vault, version, base)
        renewed(vault, version, base)
        many(vault, version, files, base)
        lies(vault, version, files, rng, base)
    return done()


signal.signal(signal.SIGPIPE, signal.SIG_IGN)
sys.exit(main())
