"""What a mount, its refusals and `dataset verify` tell: in words that fit, with the name of what they are about, and no more than whoever asks
may know."""

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mounts import KLUIS, Mount, lab, publish, read, upload  # noqa: E402
from session import JobMount, enrolled, must, submitted  # noqa: E402
from vault import Client, check, done, until  # noqa: E402

LEASE_SECONDS = 60
FILES = {"a/x": b"kept" * 400, "a/p20": b"to be erased" * 300, "plain": b"plain"}
# What no directory shows as it is: a folder marker, one with bytes, and what mounts keep for themselves.
APART = {"dir/": b"", "dir/deeper/": b"", "full/": b"bytes", ".kluis/x": b"mine"}


def errors(mount: Mount) -> list[str]:
    return (mount.directory / ".kluis/errors").read_text().splitlines()


def status(mount: Mount) -> dict:
    return json.loads((mount.directory / ".kluis/status").read_text())


def verify(vault, version: str, directory: pathlib.Path, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run([str(KLUIS), "dataset", "verify", version, str(directory), "--credentials", str(vault.dir / "job.env"), *words],
                          capture_output=True, text=True, timeout=60, check=False, env={"PATH": os.environ["PATH"]})


def verified(vault, version, mount, base) -> None:
    """A right copy is told from a wrong one, whatever names the version has."""
    copy = base / "copy"
    shutil.copytree(mount.directory, copy)
    for what, directory in (("mount", mount.directory), ("copy of it", copy)):
        run = verify(vault, version, directory)
        right = run.returncode == 0 and run.stdout.count("\n") == 1
        told = "5 objects are as the version says" in run.stderr and "2 objects have names that no directory can show" in run.stderr
        check(f"S26: a {what} is right, folder markers and all, and what it cannot show is counted", right and told, run)
    (copy / "dir/deeper").rmdir()
    run = verify(vault, version, copy)
    check("S26: a folder marker whose directory is not there is missing", run.returncode == 1 and "missing  dir/deeper/" in run.stdout, run)
    (copy / "dir/deeper").mkdir()
    (copy / "a/x").write_bytes(b"kepT" * 400)
    run = verify(vault, version, copy)
    check("S26: and a wrong byte is told", run.returncode == 1 and "differs  a/x" in run.stdout, run)
    run = verify(vault, version, copy, "--prefix", "nosuch/")
    check("S26: nothing is not verified", run.returncode == 1 and "nothing of the version lies under nosuch/" in run.stderr, run)


def signed(vault, version, mount, base) -> None:
    words = ("dataset", "versions", version.split("@")[0])
    shown = json.loads(must(vault, *words, "--json").splitlines()[0])
    far = json.loads(must(vault, *words, "--json", "--credentials", str(vault.dir / "owner.env")).splitlines()[0])
    check("S26: versions show who signed, on the host and over the network", shown["signer"] == far["signer"] == status(mount)["signer"], (shown, far))
    table = vault.command(*words)
    check("S26: a table has it beside", f"signed under {shown['signer']}" in table.stderr and shown["signer"] not in table.stdout, table)
    pinned = Mount(vault, version, base / "pinned", "--signer", shown["signer"], "--root", shown["root"]).start()
    check("S26: what is shown pins a mount", read(pinned.directory / "plain") == FILES["plain"])
    pinned.stop()


def wrong(vault, version, base) -> None:
    """Each refusal has a way to mend it that fits."""
    other = "ab" * 32
    cases = [(("--signer", "00"), "2 ", "64 lower-case hex digits"), (("--root", other), "1 ", "are --root and --signer those of this version?"),
             (("--signer", other), "1 ", "are --root and --signer those of this version?"),
             (("--prefix", "nosuch/"), "1 ", "nothing of the version lies under nosuch/")]
    for words, code, hint in cases:
        told = Mount(vault, version, base / "wrong", *words).refused()
        check(f"S26: {words[0]} {words[1][:8]}: the hint fits", told.startswith(code) and hint in told and "--prefix PREFIX" not in told, told)


def jobs(vault, version, base) -> None:
    node, right = enrolled(vault, base), submitted(vault, version)
    mount = JobMount(vault, version, base / "job", right, node, "71").start()
    check("a job reads", read(mount.directory / "plain") == FILES["plain"])
    used = JobMount(vault, version, base / "used", right, node, "72").refused()
    check("S26: a right that is another job's by now says so",
          used.startswith("1 ") and "JobOver: another job has started with its right" in used and "kluis job submit" in used, used)
    account = JobMount(vault, version, base / "account", right, node, "71")
    account.command[account.command.index("--account") + 1] = "ben"
    told = account.refused()
    check("S26: of another account's job nothing is told but what a right is for",
          told.startswith("1 ") and "AccessDenied" in told and "--account" in told and "JobOver" not in told, told)
    stranger = base / "stranger.env"
    must(vault, "node", "init", "gpu-9", "--endpoint", f"http://{vault.listen}", "--output", str(stranger))
    told = JobMount(vault, version, base / "stranger", right, stranger, "71").refused()
    check("S26: a node that is not enrolled hears of enrolment", told.startswith("1 ") and "is this node enrolled" in told, told)
    check("S26: none of it speaks of prefixes", not any("--prefix" in text for text in (used, told)))

    must(vault, "job", "cancel", right, "--credentials", str(vault.dir / "job.env"))
    refused = until(LEASE_SECONDS, lambda: mount.state() == "refused", 0.2)
    why = "JobOver: the job was cancelled"
    check("S26: the status says that the job was cancelled", refused and status(mount)["refusal"] == why, status(mount))
    check("S26: so do the errors, of the version", f"{version}: reading ended: {why}" in errors(mount), errors(mount))
    check("S26: what is opened then is refused", read(mount.directory / "a/x") == "EACCES")
    check("S26: and the errors say which file, and why", f"a/x: the gateway refuses it: {why}" in errors(mount), errors(mount))
    check("S26: and the log", f"reading ended: {why}" in mount.log.read_text(errors="replace"))
    check("S26: no error is without a name", not [line for line in errors(mount) if line.startswith(":")], errors(mount))
    mount.stop()
    again = JobMount(vault, version, base / "again", right, node, "71").refused()
    check("S26: nor is it mounted again", "the job was cancelled" in again and "kluis job submit" in again, again)


def grant(vault, version, base) -> None:
    """A grant that ends under a mount."""
    ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 6))
    must(vault, "grant", "create", "demo", "--to", "stan", "--role", "reader", "--dataset", "wdbc", "--purpose", "demo:short", "--permit", "DEMO-3",
         "--expires", ends, "--approver", "olivia")
    mount = Mount(vault, version, base / "short", who="stranger").start()
    until(LEASE_SECONDS + 10, lambda: status(mount)["state"] == "refused", 0.2)
    words = f"{version}: reading ended: GrantOver: The grant that allowed this has ended"
    check("S26: a grant that has ended is called so", words in errors(mount), errors(mount))
    mount.stop()


def erased(vault, version, mount) -> None:
    """What two persons erased is gone, and no matter of rights."""
    must(vault, "principal", "create", "ola")
    must(vault, "grant", "create", "demo", "--to", "ola", "--role", "owner", "--approver", "olivia")
    second = vault.dir / "ola.env"
    must(vault, "credential", "create", "ola", "--output", str(second))
    text = second.read_text()
    lines = [f"AWS_ENDPOINT_URL=http://{vault.listen}" if line.startswith("AWS_ENDPOINT_URL=") else line for line in text.splitlines()]
    second.write_text("\n".join(lines) + "\n")
    asked = json.loads(must(vault, "--json", "approval", "ask", "erase", "demo/wdbc", "what=object=a/p20", "--reason", "withdrawn", "--credentials",
                            str(vault.dir / "owner.env")))
    must(vault, "approval", "approve", "demo", asked["approval"], "--credentials", str(second))
    must(vault, "key", "erase", "demo", asked["approval"])
    client = Client(dataclasses.replace(vault.identity("job"), bucket="demo--wdbc--v" + version.rsplit("@", 1)[1]))
    check("S26: S3 says that it is not there", until(30, lambda: client.request("GET", "a/p20").status == 404, 0.3))
    said = until(LEASE_SECONDS, lambda: read(mount.directory / "a/p20") == "ENODATA", 1)
    check("S26: nor is it a matter of rights through a mount", said, read(mount.directory / "a/p20"))
    last = [line for line in errors(mount) if line.startswith("a/p20: ")]
    check("S26: the errors say which file was erased", last and "it was erased" in last[-1], errors(mount))
    check("S26: and the rest reads on", read(mount.directory / "a/x") == FILES["a/x"])
    run = verify(vault, version, mount.directory)
    check("S26: a verification says which file it cannot read", run.returncode != 0 and "a/p20" in run.stderr, run)


def killed(vault, version, base) -> None:
    """What a mount leaves in memory that is killed, the next one of the account removes; of a mount that lives nothing."""
    mount = Mount(vault, version, base / "killed").start()
    living = Mount(vault, version, base / "living").start()
    plans = [pathlib.Path(os.readlink(one.directory / ".kluis/plan")) for one in (mount, living)]
    mount.kill()
    mount.lazily()
    check("a mount that is killed leaves its plan", all(plan.is_file() for plan in plans), plans)
    time.sleep(6)
    following = Mount(vault, version, base / "following").start()
    check("S18: the next mount removes it", not plans[0].parent.exists(), plans[0])
    check("S18: and leaves that of a mount that lives", plans[1].is_file(), plans[1])
    for one in (living, following):
        one.stop()
    check("S18: which goes with its own", not plans[1].parent.exists(), plans[1])


def main() -> int:
    with lab("mount-told") as (base, vault):
        upload(vault, FILES | APART)
        version = publish(vault)
        mount = Mount(vault, version, base / "data").start()
        verified(vault, version, mount, base)
        signed(vault, version, mount, base)
        wrong(vault, version, base)
        killed(vault, version, base)
        jobs(vault, version, base)
        grant(vault, version, base)
        erased(vault, version, mount)
        mount.stop()
    return done()


sys.exit(main())
