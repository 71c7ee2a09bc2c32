"""A right to a prefix: the part of a version under it is mounted, compared and verified, and no name beside it comes out."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mounts import KLUIS, Mount, lab, publish, read, upload  # noqa: E402
from vault import Client, check, done, pages, until  # noqa: E402

LEASE_SECONDS = 60
SECRET = "secret"
FILES = {f"adults/{n // 10}/{n:02}": f"adult {n}".encode() * 50 for n in range(30)} | {"adults/plain": b"plain"}
BESIDE = {"adults-secret": b"beside", "a/secret": b"before", "children/secret": b"behind", "secret": b"at the top"}


def found_under(top: pathlib.Path) -> dict[str, bytes]:
    files = [path for path in top.rglob("*") if path.is_file()]
    return {str(path.relative_to(top)): path.read_bytes() for path in files}


def shown(vault, version, base) -> Mount:
    """What is there is the prefix, with its way, and the same as in the whole."""
    mount = Mount(vault, version, base / "part", "--prefix", "adults/", who="stranger").start()
    top = mount.directory
    check("a right to a prefix mounts what lies under it", found_under(top) == FILES, sorted(found_under(top)))
    check("the way to it is shown, and nothing beside it", os.listdir(top) == ["adults"], os.listdir(top))
    told = {name: read(top / name) for name in BESIDE}
    check("what is beside it is absent, as what is not there", set(told.values()) == {"ENOENT"}, told)
    status = json.loads((top / ".kluis/status").read_text())
    check("the status names the prefix", (status["prefix"], status["entries"]) == ("adults/", len(FILES) + 4), status)
    totals = [status[name] for name in ("objects", "bytes", "hidden")]
    check("UP-5: and not how much is in the whole", totals == [None] * 3 and os.statvfs(top).f_blocks == 0, (totals, os.statvfs(top)))
    second = Mount(vault, version, base / "again", "--prefix", "adults/", who="stranger").start()
    numbers = [{path.relative_to(one.directory): path.stat().st_ino for path in one.directory.rglob("*")} for one in (mount, second)]
    check("S7: inodes are the same in each mount of the part", numbers[0] == numbers[1])
    second.stop()
    narrow = Mount(vault, version, base / "narrow", "--prefix", "adults/1", who="stranger").start()
    expected = {key: body for key, body in FILES.items() if key.startswith("adults/1")}
    check("a narrower part, from the middle of a name on", found_under(narrow.directory) == expected, sorted(found_under(narrow.directory)))
    narrow.stop()
    return mount


def plain_command(vault, *words: str, who: str = "stranger") -> subprocess.CompletedProcess:
    return subprocess.run([str(KLUIS), *words, "--credentials", str(vault.dir / f"{who}.env")], capture_output=True, text=True, timeout=60,
                          check=False, env={"PATH": os.environ["PATH"]})


def nothing_beside(vault, version, older, base) -> None:
    """Each way to ask for more: refused alike, and silent about what is there."""
    said = []
    for prefix in ([], ["--prefix", "adults"], ["--prefix", "a/"], ["--prefix", "children/"], ["--prefix", "nothing/"], ["--prefix", "secret"]):
        told = Mount(vault, version, base / "wider", *prefix, who="stranger").refused()
        said.append(told)
        check(f"refused: mount {' '.join(prefix) or 'of the whole'}", told.startswith("1 ") and "--prefix PREFIX" in told, told)
    check("the refusals say the same", len(set(said)) == 1, set(said))
    for words in (["diff", older, version], ["verify", version, str(base / "part")]):
        run = plain_command(vault, "dataset", *words)
        said.append(run.stdout + run.stderr)
        check(f"refused: dataset {words[0]} of the whole", run.returncode == 1 and "AccessDenied" in run.stderr, run)
        run = plain_command(vault, "dataset", *words, "--prefix", "adults/")
        said.append(run.stdout + run.stderr)
        expected = "adults/0/00" in run.stdout if words[0] == "diff" else run.returncode == 0 and f"{len(FILES)} objects" in run.stderr
        check(f"dataset {words[0]} of the part", expected, run)
    check("no name beside the prefix is said", not any(SECRET in text for text in said), said)
    narrow = dataclasses.replace(vault.identity("stranger"), bucket="demo--wdbc--v" + version.rsplit("@", 1)[1])
    client = Client(narrow)
    listed = pages(client, "adults/")
    check("through S3 it reads the same part of the version", set(listed) == set(FILES), listed)
    beyond = [client.request("GET", "secret").status, client.request("GET", None, [("list-type", "2")]).status,
              client.request("GET", None, [("list-type", "2"), ("prefix", "a")]).status]
    check("and nothing beside it", beyond == [403, 403, 403], beyond)


def on_the_record(vault, since) -> None:
    records = list(vault.audit(since).values())
    opened = [str(r) for r in records if r.get("operation") == "OpenVersion" and "prefix=adults/" in str(r)]
    check("S22: the part that was handed out is on the record, by its digest", opened and all("part=" in one for one in opened[:1]), opened[:2])
    released = [str(r) for r in records if r.get("operation") == "ReleaseKeys" and "'stan'" in str(r)]
    check("S22: keys of the part alone were released", released and not any(SECRET in one for one in released), released[:2])


def withdrawn(vault, mount) -> None:
    held = [grant for grant in map(json.loads, vault.command("grant", "list", "demo", "--json").stdout.splitlines()) if grant["principal"] == "stan"]
    for grant in held:
        vault.command("grant", "withdraw", "demo", grant["grant"])
    begin = time.monotonic()
    ended = until(LEASE_SECONDS + 20, lambda: json.loads((mount.directory / ".kluis/status").read_text())["state"] == "refused", 0.2)
    check("S17: a part ends with its grant", ended and time.monotonic() - begin <= LEASE_SECONDS, time.monotonic() - begin)


def main() -> int:
    with lab("mount-part") as (base, vault):
        upload(vault, FILES | BESIDE)
        older = publish(vault)
        upload(vault, {"adults/0/00": b"changed", "secret": b"changed too"})
        FILES["adults/0/00"] = b"changed"
        version = publish(vault)
        made = vault.command("grant", "create", "demo", "--to", "stan", "--role", "reader", "--dataset", "wdbc", "--prefix", "adults/",
                             "--purpose", "demo:prefix", "--permit", "DEMO-2", "--expires", "2030-01-01", "--approver", "olivia")
        check("a grant on a prefix", made.returncode == 0, made.stderr)
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        mount = shown(vault, version, base)
        nothing_beside(vault, version, older, base)
        on_the_record(vault, since)
        withdrawn(vault, mount)
        mount.stop()
    return done()


sys.exit(main())
