"""Each durable step of a rotation, an erasure and a change of the root, killed with -9 as it is begun; then the gateway is
started on what is left: everything is readable or what was erased is gone, and whatever was begun ends.

The steps are those that a run makes which nobody kills: what it renames, removes and syncs among the keys, their copy, the
catalog and the blobs. So a step that is added is killed too.
"""

import concurrent.futures
import pathlib
import re
import shutil
import subprocess
import sys

from stock import GONE, Copy, Stock
from house import text_of
from vault import KLUIS, check, clean, done, say, scratch

CALLS = "fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat"
KILLED = (137, -9)
# What any command does, whatever it is for.
PASSED_OVER = re.compile(r"/journal|/log/|\.tmp$|/store/tmp|-shm|/data$|/catalog\.sqlite$|\.new$")


def traced(copy: Copy, words: list[str], *options: str) -> tuple[subprocess.CompletedProcess, pathlib.Path]:
    out = copy.dir.with_name(copy.dir.name + ".trace")
    command = ["strace", "-f", "-y", "-qq", "-o", str(out), "-e", f"trace={CALLS}", *options, str(KLUIS), "--config",
               str(copy.dir / "kluis.toml"), *words]
    ran = subprocess.run(command, env=copy.environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
    return ran, out


def steps_of(copy: Copy, words: list[str]) -> list[tuple[str, str, int, bool]]:
    """(system call, path below the vault, how-manieth of these, whether strace finds it by that path), in order, of a run that
    nobody kills. strace counts for each thread; it finds no `rename` by its paths, whose number is that of all in its thread."""
    ran, out = traced(copy, words)
    assert ran.returncode == 0, text_of(ran)
    steps, seen = [], {}
    for line in out.read_text().splitlines():
        call = re.match(r"(\d+) +(\w+)\((.*)\) += ", line)
        if not call:
            continue
        thread, name, rest = call.groups()
        named, held = re.findall(r'"([^"]+)"', rest), re.findall(r"<([^>]+)>", rest)
        # A name in an open directory is found by the directory.
        path = named[-1] if named and named[-1].startswith("/") else held[-1]
        path, by_path = path.removeprefix(f"{copy.dir}/"), name != "rename"
        counted = (name, path if by_path else thread)
        seen[counted] = seen.get(counted, 0) + 1
        if not line.endswith("= 0") or path.startswith("/") or PASSED_OVER.search("/" + path):
            continue
        steps.append((name, path, seen[counted], by_path))
    return steps


class Trial:
    """One kill at one step, and what became of the vault."""

    def __init__(self, stock: Stock, place: pathlib.Path, words: list[str], step: tuple[str, str, int, bool]):
        self.copy, self.words, self.step, self.place = Copy(stock, place), words, step, place
        call, path, number, by_path = step
        inject = ("-e", f"inject={call}:signal=KILL:when={number}", *(["-P", str(self.copy.dir / path)] if by_path else []))
        ran, _ = traced(self.copy, words, *inject)
        self.code = ran.returncode
        self.faults: list[str] = [] if self.code in (*KILLED, 0) else [f"ended with {self.code}: {text_of(ran)}"]

    def expect(self, what: str, right: bool, detail: object = "") -> None:
        if not right:
            self.faults.append(f"{what}: {detail}")

    def look(self, judge) -> "Trial":
        copy = self.copy
        try:
            copy.serve()
            self.expect("the gateway starts", copy.ready(), copy.log.read_text()[-500:])
            begun = bool(copy.works())
            self.expect("what was begun ends", copy.ended(), copy.works())
            self.expect("what is kept reads", not (faults := copy.faults_of_kept()), faults)
            judge(self, begun)
            copy.stop()
            if self.step[0] == "unlink":
                doctor = copy.run("doctor")
                self.expect("the doctor finds nothing", doctor.returncode == 0, text_of(doctor)[-500:])
        finally:
            copy.stop(9)
        if not self.faults:
            shutil.rmtree(self.place)
        return self

    def again(self, title: str) -> None:
        """What was not begun is asked for again, and done."""
        ran = self.copy.run(*self.words)
        self.expect(title, ran.returncode == 0, text_of(ran))


def rotated(trial: Trial, begun: bool) -> None:
    versions = trial.copy.versions("icu/ecg")
    right = [["2"]] if begun else [["1"], ["1", "2"]]
    trial.expect("old keys are gone if it was begun, and there if not", all(one in right for one in versions.values()), versions)
    if not begun:
        trial.again("rotated again, it is done")
        trial.expect("and has one key", {"1"}.isdisjoint(sum(trial.copy.versions("icu/ecg").values(), [])))
        trial.expect("and what is kept reads", not trial.copy.faults_of_kept())


def erased(dataset: str, key: str):
    bucket = dataset.replace("/", "--")

    def judge(trial: Trial, begun: bool) -> None:
        copy = trial.copy
        if not begun:
            there = copy.client(bucket).request("GET", key)
            trial.expect("what was not erased reads", there.body == GONE, there)
            trial.again("erased again, it is done")
        got = copy.client(bucket).request("GET", key)
        trial.expect("what was erased is gone", got.status == 404, got)
        trial.expect("its key is in no directory", all("1" not in one for one in copy.versions(dataset).values()), copy.versions(dataset))
        works = copy.works()
        trial.expect("it was done once", len(works) == 1, works)
        said = copy.run("key", "certificate", works[0]["work"])
        trial.expect("and is certified", said.returncode == 0 and b"kluis erasure certificate v1" in said.stdout, text_of(said))

    return judge


def root_changed(trial: Trial) -> None:
    """One of two roots opens the ring at each step; done again, the new one alone does."""
    copy, new = trial.copy, trial.copy.dir / "new.age"
    config = copy.dir / "kluis.toml"
    old_text = config.read_text()
    new_text = re.sub(r'(?m)^#? ?identity = "root.age"', 'identity = "new.age"', old_text)

    def opens(text: str) -> bool:
        config.write_text(text)
        ran = copy.run("key", "inventory")
        return ran.returncode == 0
    assert new_text != old_text
    either = [opens(old_text), new.exists() and opens(new_text)]
    trial.expect("one of both roots opens it", sum(either) == 1, either)
    config.write_text(old_text)
    again = copy.run(*trial.words)
    trial.expect("run again, it is done", again.returncode == 0, text_of(again))
    trial.expect("and the old root opens nothing", not opens(old_text) and opens(new_text))
    rows = {row["key"]: row for row in copy.lines("key", "inventory")}
    trial.expect("it counts as one change", rows["root"]["version"] == 2, rows["root"])


def of_root(trial: Trial) -> Trial:
    root_changed(trial)
    return trial.look(lambda _trial, begun: trial.expect("no work on keys", not begun))


def main() -> int:
    place = scratch("keys")
    stock = Stock(place / "stock")
    plans = [
        ("rotation", ["key", "rotate", "icu/ecg"], rotated, r"datasets/"),
        ("erasure of an object", ["key", "erase", "icu", stock.of_object], erased("icu/ecg", "gone"), r"datasets/|store/"),
        ("erasure of a dataset", ["key", "erase", "icu", stock.of_dataset], erased("icu/mri", "scan"), r"datasets/|store/"),
        ("change of the root", ["key", "change-root", "--to"], None, r"ring\.age|root\.pub|new\.age"),
    ]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for number, (name, words, judge, named) in enumerate(plans):
            def of(copy: pathlib.Path, words=words) -> list[str]:
                return [*words, str(copy / "new.age")] if words[-1] == "--to" else words
            dry = Copy(stock, place / f"dry{number}")
            steps = steps_of(dry, of(dry.dir))
            shutil.rmtree(dry.dir)

            def run(at: int, step, number=number, judge=judge) -> Trial:
                trial = Trial(stock, place / f"trial{number}-{at}", of(place / f"trial{number}-{at}"), step)
                return trial.look(judge) if judge else of_root(trial)
            trials = list(pool.map(run, range(len(steps)), steps))
            faults = [f"{trial.step} {trial.code}: {trial.faults[:2]}" for trial in trials if trial.faults]
            check(f"{name}: killed at each of {len(steps)} steps, all is readable or gone, and it ends", not faults, faults[:3])
            missed = [trial.step for trial in trials if trial.code == 0 and re.search(named, trial.step[1])]
            certain = [trial.step for trial in trials if trial.code != 0 and re.search(named, trial.step[1])]
            check(f"{name}: each step on keys and blobs was killed", certain and not missed, missed)
            for trial in trials:
                say(f"  {'killed' if trial.code else 'passed'}  {' '.join(map(str, trial.step[:3]))}")
    clean(place)
    return done()


if __name__ == "__main__":
    sys.exit(main())
