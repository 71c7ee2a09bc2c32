"""Kills the vault with -9 at a random moment under load, starts it again on the same directory, and looks at everything.

After each round: what was acknowledged is there, byte for byte; nothing is half there; every read that gave a byte
away has its record, and those that the kill cut off are closed as open at crash; the doctor finds nothing.
"""

import collections
import datetime
import json
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from load import Crew, Memory, content, empty_keys, fault, settled  # noqa: E402
from vault import Client, Vault, check, clean, done, say, scratch, seed, sha256  # noqa: E402

ROUNDS = int(os.environ.get("KLUIS_CRASH_ROUNDS", "12"))
LOAD_SECONDS = (0.3, 2.2)
SLOW_KEY, SLOW = "slow/object", "slow-0-67108864"


class Story:
    """What is known across rounds."""

    def __init__(self) -> None:
        self.may = empty_keys()
        self.faults: dict[str, list[str]] = collections.defaultdict(list)
        self.writes = self.reads = self.cut = self.crashed = 0

    def learn(self, memories: list[tuple[str, Memory]]) -> list[tuple[str, int, int]]:
        """Takes in what the crew saw; the reads that got a byte."""
        reads = []
        for role, memory in memories:
            self.may.update(memory.may)
            self.faults["bytes"] += memory.faults
            reads += memory.reads
            if role == "writer":
                self.writes += memory.done
        self.reads += len(reads)
        return reads

    def judge_log(self, log: dict[str, dict], reads: list[tuple[str, int, int]]) -> None:
        for event, status, count in reads:
            record = log.get(event)
            if not record or record.get("event") != "object.read" or "time" not in record:
                self.faults["unrecorded"].append(f"{event}: {count} bytes, status {status}, record {record}")
        for event, record in log.items():
            if record.get("phase") == "intent":
                self.faults["open"].append(f"{event}: {record.get('operation')}")
        detail = [record.get("outcome", {}).get("detail") for record in log.values()]
        self.crashed += detail.count("open-at-crash")


def round_of(vault: Vault, story: Story, number: int, rng: random.Random) -> None:
    seconds = rng.uniform(*LOAD_SECONDS)
    since = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    crew = Crew(vault.identity(), story.may, number * 100_000, f"{number}:{rng.random()}", SLOW_KEY)
    time.sleep(seconds)
    vault.kill()
    reads = story.learn(crew.home())
    if number % 4 == 1:  # each on a directory as the kill left it
        run = vault.command("doctor")
        if run.returncode != 0:
            story.faults["doctor"].append(f"round {number}: {run.returncode} {run.stdout[-300:]} {run.stderr[-300:]}")
    began = time.monotonic()
    vault.start()
    started_s = time.monotonic() - began
    unsure = sum(len(may) > 1 for may in story.may.values())
    story.may, faults = settled(Client(vault.identity()), story.may)
    story.faults["kept"] += [f"round {number}: {text}" for text in faults]
    story.judge_log(vault.audit(since), reads)
    say(f"round {number}: killed after {seconds:.2f} s, {story.writes} writes acknowledged so far, {unsure} keys unsure, "
        f"{len(reads)} reads, up again in {started_s:.2f} s")


def main() -> int:
    rng, place, story = random.Random(seed()), scratch("crash"), Story()
    vault = Vault(place / "vault").start()
    try:
        first = Client(vault.identity()).request("PUT", SLOW_KEY, headers={"x-amz-meta-attempt": SLOW}, body=content(SLOW))
        if first.status != 200:
            raise RuntimeError(f"the first write: {first}")
        for number in range(1, ROUNDS + 1):
            round_of(vault, story, number, rng)
        slow = Client(vault.identity()).request("GET", SLOW_KEY)
        log = vault.audit()
        code = vault.stop()
        doctor = vault.command("doctor")
        recovered = vault.command("--json", "recover", "--dry-run")
    finally:
        vault.kill()
    titles = {
        "kept": "what was acknowledged is there, whole, and deletes stay; GET, HEAD and LIST agree",
        "bytes": "no read under load gave bytes that nobody wrote",
        "unrecorded": "every read that gave a byte away has its record",
        "open": "no request is left open in the log after a restart",
        "doctor": "the doctor passes on a directory as a kill leaves it",
    }
    for name, title in titles.items():
        check(f"killed {ROUNDS} times: {title}", not story.faults[name], story.faults[name][:4])
    check(f"killed {ROUNDS} times: reads that a kill cut are closed as open at crash", story.crashed >= ROUNDS,
          f"{story.crashed} in the log of {ROUNDS} rounds")
    check("an object from before the first kill reads as it was",
          sha256(slow.body) == sha256(content(SLOW)) and not fault(slow), slow.status)
    check("the load was one", story.writes > 5 * ROUNDS and story.reads > 5 * ROUNDS, vars(story) | {"may": ""})
    check("stopped in peace, the server ends with 0", code == 0, f"{code} {vault.log_tail()}")
    check("the doctor passes at the end", doctor.returncode == 0, f"{doctor.stdout[-400:]} {doctor.stderr[-400:]}")
    found = json.loads(recovered.stdout or "{}")
    check("a recovery would be whole, and no number of a snapshot was burnt",
          recovered.returncode == 0 and found["whole"] and not found["unused_snapshot_numbers"], f"{found} {recovered.stderr[-400:]}")
    check("no panic", "panicked" not in vault.log.read_text(errors="replace"), vault.log_tail())
    say(f"{story.writes} writes acknowledged, {story.reads} reads, {story.crashed} requests open at a crash, "
        f"{len(log)} requests in the log")
    clean(place)
    return done()


if __name__ == "__main__":
    sys.exit(main())
