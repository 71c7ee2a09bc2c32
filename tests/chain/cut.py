"""kill -9 at each durable step of `kluis recover` and of `kluis recover --adopt`, which writes the whole catalog as a base:
done again it is done, nothing that a snapshot held is lost, and until then nothing is served that is not whole."""

import concurrent.futures
import os
import pathlib
import re
import shutil
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "keys"))
import steps  # noqa: E402
from pair import Host, Twin, text_of  # noqa: E402
from vault import check, clean, done, say, scratch  # noqa: E402

# The log and the scratch of the store do not belong to it; the rest does, the catalog's new file and its name among it.
steps.PASSED_OVER = re.compile(r"/journal|/log/|/store/tmp|-shm|/catalog\.sqlite\.old")
WORKERS = 4


class Trial:
    """One kill at one step, and what became of the vault."""

    def __init__(self, model: Host, place: pathlib.Path, words: list[str], step: tuple[str, str, int, bool]):
        self.host, self.words, self.step, self.faults = Twin(model, place / "vault"), words, step, []
        call, path, number, by_path = step
        inject = ("-e", f"inject={call}:signal=KILL:when={number}", *(["-P", str(self.host.dir / path)] if by_path else []))
        ran, _ = steps.traced(self.host, words, *inject)
        if ran.returncode not in (*steps.KILLED, 0):
            self.faults.append(f"ended with {ran.returncode}: {text_of(ran)[-400:]}")

    def expect(self, what: str, right: bool, detail: object = "") -> None:
        if not right:
            self.faults.append(f"{what}: {str(detail)[-400:]}")

    def judge(self, expected: list[str]) -> "Trial":
        host = self.host
        try:
            if self.words[-1] == "--adopt" or not host.catalog.exists():
                again = host.run(*self.words)
                self.expect("done again, it is done", again.returncode == 0, text_of(again))
            host.up()
            there = host.has("early", "late")
            self.expect("it has what it should have", there == expected, there)
            host.put("new")
            host.stop(signal.SIGKILL)
            code, found = host.lost_and_recovered()
            self.expect("lost, it is recovered whole", code == 0 and found["whole"], found)
            self.expect("and misses no blob", not found["missing_blobs"], found)
        except (AssertionError, OSError) as error:
            self.faults.append(f"{type(error).__name__}: {str(error)[-600:]}")
        finally:
            host.stop(signal.SIGKILL)
        if not self.faults:
            shutil.rmtree(host.dir.parent)
        return self


def every_step(title: str, model: Host, place: pathlib.Path, words: list[str], expected: list[str]) -> None:
    place.mkdir()
    found = steps.steps_of(Twin(model, place / "traced"), words)
    check(f"{title}: has steps", len(found) > 5, found)
    say(f"{title}: {len(found)} steps")

    def one(at: int) -> Trial:
        here = place / str(at)
        here.mkdir()
        return Trial(model, here, words, found[at]).judge(expected)

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        trials = list(pool.map(one, range(len(found))))
    wrong = [f"{trial.step}: {trial.faults[:2]}" for trial in trials if trial.faults]
    check(f"{title}: killed at each step and done again, it is whole", not wrong, "\n".join(wrong[:4]))


def main() -> int:
    place = scratch("chain-cut")
    model = Host(place / "model")
    try:
        model.session("early")
        older = model.backup("older.sqlite")
        model.session("late")
        newer = model.backup("newer.sqlite")
        model.restore(older)
        every_step("adoption", model, place / "adopted", ["recover", "--adopt"], ["early"])
        model.restore(newer)
        model.lose()
        every_step("recovery", model, place / "recovered", ["recover"], ["early", "late"])
    finally:
        model.stop(signal.SIGKILL)
    clean(place)
    return done()


if __name__ == "__main__":
    sys.exit(main())
