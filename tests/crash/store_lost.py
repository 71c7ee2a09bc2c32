"""The store behind the vault hangs (SIGSTOP), dies (SIGKILL) and comes back, under load.

    python store_lost.py STORE_DIR     as tests/lab/store.sh leaves it: owner.env, seaweed.pid

Requests end with an answer within bounds, nothing acknowledged is lost, and serving resumes by itself.
"""

import collections
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from load import Crew, empty_keys, settled  # noqa: E402
from vault import Client, Vault, check, clean, done, say, scratch, seed, until  # noqa: E402

HEADER_S, RETRIES = 1, 1
# Each attempt waits for connecting and for a head, then once between attempts; and a loaded machine's slack.
ANSWER_S_MAX = (RETRIES + 1) * 2 * HEADER_S + 8
RESUME_S_MAX = 60
SETTINGS = {"store": {"header_timeout": f"{HEADER_S}s", "idle_timeout": f"{HEADER_S}s", "connect_timeout": f"{HEADER_S}s",
                      "retries": RETRIES}}


class Store:
    """The process of a store, to be hung, killed and started as it was."""

    def __init__(self, dir: pathlib.Path):
        self.dir, self.pid_file = dir, dir / "seaweed.pid"
        self.pid = int(self.pid_file.read_text())
        self.argv = pathlib.Path(f"/proc/{self.pid}/cmdline").read_text().rstrip("\0").split("\0")
        self.child: subprocess.Popen | None = None

    def signal(self, number: int) -> None:
        os.killpg(self.pid, number)

    def restart(self) -> None:
        with (self.dir / "seaweed.log").open("ab") as log:
            self.child = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          start_new_session=True)
        self.pid = self.child.pid
        self.pid_file.write_text(f"{self.pid}\n")


def serves(client: Client) -> bool:
    put = client.request("PUT", "probe", body=b"probe")
    got = client.request("GET", "probe")
    return (put.status, got.status, got.body) == (200, 200, b"probe")


def lost(vault: Vault, may: dict, number: int, name: str, take, give, rng: random.Random) -> dict:
    """One loss: load, the store goes, load goes on, the store returns, serving resumes; what each key holds then."""
    crew = Crew(vault.identity(), may, number * 100_000, f"{name}{rng.random()}")
    time.sleep(rng.uniform(1, 2))
    take()
    time.sleep(4)
    client, began = Client(vault.identity()), time.monotonic()
    put, took_s = client.request("PUT", "probe", body=b"other"), time.monotonic() - began
    check(f"{name}: a write is answered with 503 meanwhile", put.status == 503 and took_s < ANSWER_S_MAX,
          f"{put} after {took_s:.1f} s")
    check(f"{name}: the vault itself stays up", vault.ops_page("/healthz")[0] == 200)
    give()
    began = time.monotonic()
    check(f"{name}: serving resumes by itself", until(RESUME_S_MAX, lambda: serves(client)), vault.log_tail())
    say(f"{name}: served again {time.monotonic() - began:.1f} s after the store was back")
    statuses, faults, slowest_s = collections.Counter(), [], 0.0
    for _, memory in crew.home():
        may.update(memory.may)
        statuses.update(memory.statuses)
        faults += memory.faults
        slowest_s = max(slowest_s, memory.slowest_s)
    say(f"{name}: answers {dict(statuses)}, the slowest after {slowest_s:.1f} s")
    check(f"{name}: each request ends within bounds", slowest_s < ANSWER_S_MAX, f"{slowest_s:.1f} s")
    check(f"{name}: answers are right or 503", set(statuses) <= {200, 204, 206, 404, 416, 503}, dict(statuses))
    check(f"{name}: no read gave bytes that nobody wrote", not faults, faults[:3])
    holds, faults = settled(client, may)
    check(f"{name}: what was acknowledged is there, whole", not faults, faults[:4])
    return holds


def main() -> int:
    rng, place = random.Random(seed()), scratch("store-lost")
    store_dir = pathlib.Path(sys.argv[1])
    store, vault = Store(store_dir), Vault(place / "vault", SETTINGS, store_dir / "owner.env")
    try:
        vault.start()
        may = lost(vault, empty_keys(), 1, "store hung", lambda: store.signal(signal.SIGSTOP),
                   lambda: store.signal(signal.SIGCONT), rng)

        def kill() -> None:
            store.signal(signal.SIGKILL)

        lost(vault, may, 2, "store killed", kill, store.restart, rng)
        log = vault.audit()
        still = [event for event, record in log.items() if record.get("phase") == "intent"]
        check("store lost: every request has its completion in the log", not still, still[:3])
        code = vault.stop()
        check("store lost: stopped in peace, the server ends with 0", code == 0, f"{code} {vault.log_tail()}")
        recovered = vault.command("--json", "recover", "--dry-run")
        found = json.loads(recovered.stdout or "{}")
        check("store lost: a recovery would be whole, and no number of a snapshot was burnt",
              recovered.returncode == 0 and found["whole"] and not found["unused_snapshot_numbers"], f"{found} {recovered.stderr[-400:]}")
        check("store lost: no panic", "panicked" not in vault.log.read_text(errors="replace"), vault.log_tail())
    finally:
        vault.kill()
        store.signal(signal.SIGCONT)
    clean(place)
    return done()


if __name__ == "__main__":
    sys.exit(main())
