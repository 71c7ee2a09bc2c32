"""`kluis-audit ship` killed with -9 as each of its durable steps is begun; then it is run again, and what it brings to the
store is held against the requests that were made: each once, under a bundle that verifies.

The steps are those of a run that nobody kills: what it syncs, renames and removes among the volumes and their index. So
a step that is added is killed too.
"""

import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from vault import Client, Vault, check, clean, done, say, scratch, until  # noqa: E402

AUDIT = os.environ["KLUIS_AUDIT_BIN"]
CALLS = "fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat"
KILLED = (137, -9)
# What any command does with its own record, whatever it is for; and files that are none yet.
PASSED_OVER = re.compile(r"/journal|/catalog|-shm$|-wal$|/vault$")
# What is named after a volume, which draws its name.
DRAWN = re.compile(r"log/(tmp/[0-9a-f]{32}|[0-9a-f]{2}(/[0-9a-f]{32})?)$")
SQL = "SELECT event FROM requests WHERE operation IN ('PutObject', 'GetObject') ORDER BY event"


def run(dir: pathlib.Path, *words: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    command = [*before, AUDIT, "--config", str(dir / "kluis.toml"), *words]
    environment = {"PATH": os.environ["PATH"], "HOME": str(dir), "TMPDIR": str(dir)}
    return subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=120, check=False)


def traced(dir: pathlib.Path, *options: str) -> tuple[subprocess.CompletedProcess, str]:
    out = dir.with_name(dir.name + ".trace")
    ran = run(dir, "ship", "--all", before=("strace", "-f", "-y", "-qq", "-o", str(out), "-e", f"trace={CALLS}", *options))
    return ran, out.read_text()


def steps_of(dir: pathlib.Path) -> list[tuple[str, str, int, bool]]:
    """(system call, path below the vault, how-manieth of these, whether strace finds it by that path), in order. strace counts
    for each thread; it finds no `rename` by its paths, and nothing by a volume's name, which is another one in each run: the
    number of those is that of all such calls in their thread."""
    ran, text = traced(dir)
    assert ran.returncode == 0 and "volumes added" in ran.stderr, ran.stderr
    steps, seen = [], {}
    for line in text.splitlines():
        call = re.match(r"(\d+) +(\w+)\((.*)\) += 0", line)
        if not call:
            continue
        thread, name, rest = call.groups()
        named, held = re.findall(r'"([^"]+)"', rest), re.findall(r"<([^>]+)>", rest)
        path = named[-1] if named and named[-1].startswith("/") else held[-1]
        path = path.removeprefix(f"{dir}/")
        by_path = name != "rename" and not DRAWN.search(path)
        for counted in ((name, path), (name, thread)):
            seen[counted] = seen.get(counted, 0) + 1
        if not path.startswith("/") and not PASSED_OVER.search("/" + path):
            steps.append((name, path, seen[name, path if by_path else thread], by_path))
    return steps


class Trial:
    """One kill, and what became of the records."""

    def __init__(self, vault: pathlib.Path, place: pathlib.Path, step: tuple[str, str, int, bool], made: set[str]):
        self.dir, self.step, self.made, self.faults = place / "vault", step, made, []
        shutil.copytree(vault, self.dir, symlinks=True)
        call, path, number, by_path = step
        inject = [f"inject={call}:signal=KILL:when={number}"]
        ran, _ = traced(self.dir, "-e", *inject, *(["-P", str(self.dir / path)] if by_path else []))
        self.killed = ran.returncode in KILLED
        if not self.killed and ran.returncode != 0:
            self.faults.append(f"ended with {ran.returncode}: {ran.stderr[-300:]}")
        self.look()
        if not self.faults:
            shutil.rmtree(place)

    def expect(self, what: str, right: bool, detail: object = "") -> None:
        if not right:
            self.faults.append(f"{what}: {detail}")

    def look(self) -> None:
        dir = self.dir
        again = run(dir, "ship", "--all")
        self.expect("shipped again, it is done", again.returncode == 0, again.stderr[-300:])
        asked = run(dir, "--json", "query", "--vault", "--sql", SQL)
        found = [json.loads(line)["event"] for line in asked.stdout.splitlines()]
        self.expect("each request is there once", asked.returncode == 0 and sorted(found) == sorted(self.made),
                    (asked.returncode, len(found), len(self.made), asked.stderr[-300:]))
        bundled = run(dir, "bundle", "--vault", "--out", str(dir / "bundle"))
        key = run(dir, "key")
        (dir / "log.vkey").write_text(key.stdout)
        verified = run(dir, "verify", str(dir / "bundle"), "--log", str(dir / "log.vkey"))
        self.expect("the log verifies", bundled.returncode == 0 and verified.returncode == 0,
                    (bundled.stderr[-300:], verified.stdout[-300:], verified.stderr[-300:]))
        swept = run(dir, "expire")
        index = dir / "data" / "log" / "volumes"
        stored = {path.name for path in (dir / "store" / "log").glob("??/*")}
        # Where the kill came before the first index was there, it is made of what is in the store.
        named = {one["blob"] for one in json.loads(index.read_text())["volumes"]} if index.exists() else stored
        self.expect("nothing is left that no index names", swept.returncode == 0 and stored == named,
                    (swept.stderr[-300:], stored, named))


class Watched:
    """A vault whose records are shipped by a watch that was begun with it, and goes on."""

    def __init__(self, place: pathlib.Path):
        self.vault = Vault(place).start()
        command = [AUDIT, "--config", str(place / "kluis.toml"), "ship", "--watch", "--every", "1s"]
        with (place / "watch.log").open("wb") as log:
            self.watch = subprocess.Popen(command, env=self.vault.environment, stdin=subprocess.DEVNULL, stdout=log,
                                          stderr=log)

    def shipped(self) -> int:
        """The newest moment that is in a volume of the gateway's, in milliseconds."""
        index = self.vault.dir / "data" / "log" / "volumes"
        volumes = json.loads(index.read_text())["volumes"] if index.exists() else []
        return max((one["newest_ms"] for one in volumes if one["meta"]["lane"] == "gateway"), default=0)

    def looks(self, when: str) -> None:
        """What comes now is in a volume after the next look."""
        since = time.time() * 1000
        Client(self.vault.identity()).request("PUT", "now", body=b"x")
        told = until(60, lambda: self.watch.poll() is not None or self.shipped() >= since - 1)
        check(f"who watches ships what comes, {when}", told and self.watch.poll() is None,
              (self.vault.dir / "watch.log").read_text()[-400:])

    def end(self) -> None:
        self.watch.terminate()
        self.watch.wait()
        self.vault.stop()


def main() -> None:
    place = scratch("shipping")
    watched = Watched(place / "watched")
    try:
        watched.looks("at first")
        killed_at_each_step(place)
        watched.looks("and later")
    finally:
        watched.end()
    clean(place)


def killed_at_each_step(place: pathlib.Path) -> None:
    vault = Vault(place / "stock").start()
    client = Client(vault.identity())
    made = set()
    for n in range(15):
        made.add(client.request("PUT", f"object-{n}", body=b"x" * 100).event)
        made.add(client.request("GET", f"object-{n}").event)
    vault.stop()
    measured = place / "measured" / "vault"
    shutil.copytree(vault.dir, measured, symlinks=True)
    steps = steps_of(measured)
    say(f"{len(steps)} durable steps: " + ", ".join(f"{call} {path}" for call, path, _, _ in steps))
    check("a run has steps to be killed at", len(steps) >= 6, steps)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        trials = list(pool.map(lambda at: Trial(vault.dir, place / f"step-{at[0]}", at[1], made), enumerate(steps)))
    killed = sum(trial.killed for trial in trials)
    for trial in trials:
        call, path, number, _ = trial.step
        name = DRAWN.sub("log/VOLUME", path)
        check(f"killed at {call} {number} of {name}: nothing is lost or doubled, and the log verifies",
              not trial.faults, trial.faults[:3])
    check("the kills met their steps", killed >= len(steps) - 1, (killed, len(steps)))


main()
sys.exit(done())
