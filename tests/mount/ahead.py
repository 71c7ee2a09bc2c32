"""What is brought before it is opened: packs, plans, learned orders; from the store itself, and from the disk."""

import json
import os
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pathlib  # noqa: E402

from mounts import MIB, Mount, lab, publish, upload  # noqa: E402
from proxy import Proxy  # noqa: E402
from vault import ROOT, Vault, check, done, read_env, say, seed, until  # noqa: E402

SMALL = 400


def files_of(rng) -> dict[str, bytes]:
    files = {f"train/{n % 4}/{n:05}.bin": rng.randbytes(rng.randrange(1, 120_000)) for n in range(SMALL)}
    files |= {f"train/empty/{n}": b"" for n in range(3)}
    files["large/a"] = rng.randbytes(9 * MIB + 5)
    files["large/b"] = rng.randbytes(MIB)
    return files


def read(path) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def wrong_of(top, files, order) -> list[str]:
    return [key for key in order if read(top / key) != files[key]]


def counts(vault, since) -> dict[str, int]:
    found: dict[str, int] = {}
    for record in vault.audit(since).values():
        name = record.get("operation", "")
        found[name] = found.get(name, 0) + 1
    return found


def now() -> str:
    time.sleep(1.1)
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def packs(vault, version, files, base) -> None:
    """A directory's small files come in packs, and every byte is right."""
    since = now()
    mount = Mount(vault, version, base / "packs").start()
    order = sorted(key for key in files if key.startswith("train"))
    wrong = wrong_of(mount.directory, files, order)
    mount.stop()
    check("small files in the order of their directory are the published ones", not wrong, wrong[:3])
    seen = counts(vault, since)
    say(f"{seen}")
    few = seen.get("GetSealed", 0) + seen.get("GetPack", 0) + seen.get("ReleaseKeys", 0)
    check(f"{SMALL} files cost at most {SMALL // 4} requests", seen.get("GetPack", 0) > 0 and few <= SMALL // 4, seen)
    told = [r for r in vault.audit(since).values() if r.get("operation") == "GetPack"]
    check("each pack's record names the version and the last of its files", all("version=1 packed" in str(r) for r in told))


def planned(vault, version, files, base, rng) -> None:
    """A plan is written into the mount, and followed; without one the second epoch is known."""
    keys = [key for key in files if key.startswith("train") and files[key]]
    order = rng.sample(keys, len(keys))
    for plan in (True, False):
        mount = Mount(vault, version, base / f"planned-{plan}", "--direct-io", "--memory", "16").start()
        top = mount.directory
        try:
            if plan:
                with open(top / ".kluis/plan", "w", encoding="utf-8") as file:
                    file.write("\n".join([*order, "no/such/file", "", "../outside"]) + "\n")
                named = until(10, lambda: json.loads((top / ".kluis/status").read_text())["plan_files"] == len(order))
                check("a plan that is written is in force, what it names wrongly left out", named, (top / ".kluis/status").read_text())
                target = pathlib.Path(os.readlink(top / ".kluis/plan"))
                mode = target.stat().st_mode & 0o777, target.parent.stat().st_mode & 0o777
                check("the plan's file is its owner's alone, and emptied when it was read", mode == (0o600, 0o700) and target.stat().st_size == 0, mode)
            else:
                wrong_of(top, files, order)
            since = now()
            wrong = wrong_of(top, files, order)
            seen = counts(vault, since)
            say(f"{'plan' if plan else 'second epoch'}: {seen}")
            what = "with a plan" if plan else "in the order of the first epoch"
            check(f"shuffled reads {what} are right", not wrong, wrong[:3])
            check(f"shuffled reads {what} come in packs", seen.get("GetSealed", 0) < len(order) // 4, seen)
            try:
                (top / ".kluis/status").write_text("x")
                check("nothing else under .kluis can be written", False)
            except OSError as error:
                check("nothing else under .kluis can be written", error.errno == 30, error)
        finally:
            mount.stop()
    check("the plan's file is gone with the mount", not target.parent.exists())


WRITER = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"]
OTHER = ["setpriv", "--reuid=12346", "--regid=12346", "--clear-groups"]


def anothers_plan(vault, version, files, base, rng) -> None:
    """A mount that root makes for a job's user, under a supervisor, with a cache: the user writes its plan, others do not."""
    for path in (base, *base.parents):
        if str(path).startswith("/tmp/"):
            path.chmod(0o755)
    keys = [key for key in files if key.startswith("train") and files[key]]
    order = rng.sample(keys, len(keys))
    words = ("--allow-other", "--supervised", "--cache", str(base / "cache-of-jobs"), "--plan-writer", "12345")
    mount = Mount(vault, version, base / "for-a-job", *words).start()
    top = mount.directory

    def wrote(who, text: str) -> bool:
        run = subprocess.run([*who, "tee", str(top / ".kluis/plan")], input=text, capture_output=True, text=True, check=False)
        return run.returncode == 0

    def planned_files() -> int:
        return json.loads((top / ".kluis/status").read_text())["plan_files"]

    def worker() -> int:
        children = pathlib.Path(f"/proc/{mount.process.pid}/task/{mount.process.pid}/children").read_text().split()
        return int(children[0]) if children else 0
    try:
        check("another's plan: no third account writes it", not wrote(OTHER, "x"))
        check("another's plan: its writer does", wrote(WRITER, "\n".join(order)) and until(10, lambda: planned_files() == len(order)), planned_files())
        target = pathlib.Path(os.readlink(top / ".kluis/plan"))
        told = target.stat(), target.parent.stat()
        check("another's plan: the file is the writer's, its directory root's",
              (told[0].st_uid, told[0].st_mode & 0o777, told[1].st_uid, told[1].st_mode & 0o777) == (12345, 0o600, 0, 0o711), told)
        for command in (["rm", "-f", str(target)], ["ln", "-sf", "/etc/passwd", str(target)], ["touch", str(target.parent / "more")]):
            run = subprocess.run([*WRITER, *command], capture_output=True, text=True, check=False)
            check(f"another's plan: the writer may not {command[0]}", run.returncode != 0 and target.is_file() and not target.is_symlink(), run)
        wrong = wrong_of(top, files, order)
        check("a planned epoch under a supervisor, with a cache, is right", not wrong, wrong[:3])
        before = worker()
        os.kill(before, signal.SIGKILL)
        wrong = wrong_of(top, files, order)
        followed = until(20, lambda: worker() not in (0, before))
        check("after kill -9 the successor reads on, from the cache too", not wrong and followed, (wrong[:3], before))
        again = wrote(WRITER, "\n".join(order)) and until(10, lambda: planned_files() == len(order))
        check("and takes a plan of the same writer", again, planned_files())
        wrong = wrong_of(top, files, order)
        check("which is followed rightly", not wrong, wrong[:3])
    finally:
        mount.stop()


def cached(vault, version, files, base, rng) -> None:
    """The disk cache: ciphertext, shared, bounded, and whatever becomes of it the bytes are right."""
    cache = base / "cache"
    order = sorted(files)
    options = ("--cache", str(cache), "--cache-size", "64")
    mount = Mount(vault, version, base / "cached", *options).start()
    wrong = wrong_of(mount.directory, files, order)
    stored = until(10, lambda: sum(p.stat().st_size for p in cache.rglob("*") if p.is_file()) > 9 * MIB)
    mount.stop()
    held = [path for path in cache.rglob("*") if path.is_file()]
    check("with a disk cache the bytes are right, and are kept", not wrong and stored, (wrong[:3], len(held)))
    probe = files["large/b"][1000:1064]
    check("S19: the cache holds no plaintext", not any(probe in path.read_bytes() for path in held))
    # What a slow disk had no time to take the first time, it takes another time.
    for turn in range(4):
        since = now()
        second = Mount(vault, version, base / f"cached-{turn}", *options).start()
        wrong = wrong_of(second.directory, files, order)
        second.stop()
        seen = counts(vault, since)
        say(f"from the cache: {seen}")
        sent = sum(r["bytes_sent"] for r in vault.audit(since).values() if r.get("operation") in ("GetSealed", "GetPack"))
        if wrong or sent < sum(map(len, files.values())) // 4:
            break
    check("S23: another mount reads what the first one kept", not wrong and sent < sum(map(len, files.values())) // 4, (wrong[:3], sent, seen))
    # Every way in which somebody could spoil it.
    bodies = [path.read_bytes() for path in held]
    for path in cache.rglob("*"):
        if not path.is_file():
            continue
        body, kind = path.read_bytes(), rng.choice(["flip", "cut", "empty", "other", "link", "fifo", "keep"])
        if kind == "keep":
            continue
        path.unlink()
        if kind == "flip":
            at = rng.randrange(max(len(body), 1))
            path.write_bytes(body[:at] + bytes([(body[at] if body else 0) ^ 1]) + body[at + 1:])
        elif kind == "cut":
            path.write_bytes(body[: len(body) // 2])
        elif kind == "empty":
            path.write_bytes(b"")
        elif kind == "other":
            path.write_bytes(rng.choice(bodies))
        elif kind == "link":
            path.symlink_to("/etc/passwd")
        else:
            os.mkfifo(path)
    third = Mount(vault, version, base / "spoilt", *options).start()
    wrong = wrong_of(third.directory, files, order)
    errors = (third.directory / ".kluis/errors").read_text()
    third.kill()
    subprocess.run(["umount", "-l", str(third.directory)], check=False)
    check("a spoilt cache costs time and never a wrong byte", not wrong and not errors, (wrong[:3], errors[:200]))
    fourth = Mount(vault, version, base / "killed", *options).start()
    wrong = wrong_of(fourth.directory, files, order)
    fourth.stop()
    check("a cache that a killed mount left is used on", not wrong, wrong[:3])
    small = Mount(vault, version, base / "bounded", "--cache", str(base / "small"), "--cache-size", "4").start()
    wrong = wrong_of(small.directory, files, order)
    small.stop()
    size = sum(path.stat().st_size for path in (base / "small").rglob("*") if path.is_file())
    check("the cache keeps within its size", not wrong and size <= 5 * MIB, size)
    # A full disk: a file system of 2 MiB.
    tiny = base / "tiny"
    tiny.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tiny)], check=False).returncode == 0:
        full = Mount(vault, version, base / "full", "--cache", str(tiny / "cache"), "--cache-size", "64").start()
        wrong = wrong_of(full.directory, files, order)
        errors = (full.directory / ".kluis/errors").read_text()
        full.stop()
        subprocess.run(["umount", "-l", str(tiny)], check=False)
        check("a full disk under the cache is nobody's error", not wrong and not errors, (wrong[:3], errors[:200]))


def straight(files, base) -> None:
    """The store itself is read, under URLs, through a liar in between: right bytes or the gateway's."""
    lab = ROOT / "tests/lab"
    environment = os.environ | {"KLUIS_LAB_RUN": str(base / "lab")}
    run = subprocess.run([str(lab / "store.sh"), "start", "seaweed"], env=environment, capture_output=True, text=True, check=False)
    if not check("an S3 store starts", run.returncode == 0, run.stderr):
        return
    vault = proxy = None
    try:
        env = base / "lab/seaweed/owner.env"
        proxy = Proxy(read_env(env)["AWS_ENDPOINT_URL"].removeprefix("http://"))
        settings = {"straight": {"projects": ["demo"], "endpoint": proxy.url}}
        vault = Vault(base / "straight", settings, env).start()
        upload(vault, files)
        version = publish(vault)
        order = sorted(files)
        since = now()
        mount = Mount(vault, version, base / "from-store").start()
        wrong = wrong_of(mount.directory, files, order)
        mount.stop()
        seen = counts(vault, since)
        say(f"straight: {seen}, {proxy.gets} reads of the store, {proxy.sent} bytes")
        check("what is read from the store itself is right", not wrong, wrong[:3])
        check("bytes come from the store, not through the gateway",
              seen.get("GetUrls", 0) > 0 and seen.get("GetSealed", 0) + seen.get("GetPack", 0) <= seen["GetUrls"] // 10 and proxy.sent > 9 * MIB, seen)
        urls = [r for r in vault.audit(since).values() if r.get("operation") == "GetUrls"]
        check("each record of URLs names blobs and a time", all("straight=55s" in str(r) and "blobs=" in str(r) for r in urls))
        for how in ("flip", "cut", "long", "refuse", "close", "stall"):
            proxy.how = how
            lying = Mount(vault, version, base / f"store-{how}", "--direct-io").start()
            some = ["large/a", *order[:20]]
            wrong = wrong_of(lying.directory, files, some)
            errors = (lying.directory / ".kluis/errors").read_text()
            lying.stop()
            check(f"a store that answers nodes wrongly ({how}): the gateway is asked, the bytes are right", not wrong and not errors, (wrong[:3], errors[:200]))
        proxy.how = ""
        proxy.stop()
        gone = Mount(vault, version, base / "store-gone").start()
        wrong = wrong_of(gone.directory, files, order[:30])
        gone.stop()
        check("a store that nodes cannot reach: through the gateway", not wrong, wrong[:3])
    finally:
        if vault:
            vault.stop()
        subprocess.run([str(lab / "store.sh"), "stop", "seaweed"], env=environment, capture_output=True, check=False)


def main() -> int:
    rng = random.Random(seed())
    with lab("mount-ahead") as (base, vault):
        files = files_of(rng)
        upload(vault, files)
        version = publish(vault)
        packs(vault, version, files, base)
        planned(vault, version, files, base, rng)
        anothers_plan(vault, version, files, base, rng)
        if "--no-cache" not in sys.argv:
            cached(vault, version, files, base, rng)
        refused = Vault(base / "local", {"straight": {"projects": ["demo"]}}).command("config", "check")
        check("a directory as store says that nodes cannot read from it", refused.returncode == 2 and "S3 store" in refused.stderr + refused.stdout, refused)
        straight(files, base)
    return done()


signal.signal(signal.SIGPIPE, signal.SIG_IGN)
sys.exit(main())
