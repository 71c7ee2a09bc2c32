"""A gateway whose journal and log are lost, with the store as its gate: nothing that was answered is without its record.

    python lost.py STORE_DIR     as tests/lab/store.sh leaves it: owner.env, seaweed.pid
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "lab"), os.path.join(HERE, "..", "crash")]
from vault import Client, Vault, check, clean, done, read_env, say, scratch, until  # noqa: E402

AUDIT = os.environ["KLUIS_AUDIT_BIN"]
WAIT_S, RESUME_S_MAX = 2, 60
STORE = {"header_timeout": "1s", "idle_timeout": "1s", "connect_timeout": "1s", "retries": 1}


def settings(gate: str, prefix: str) -> dict[str, dict]:
    return {"journal": {"gate": gate, "wait": f"{WAIT_S}s"}, "catalog": {"snapshot_wait": True, "snapshot_interval": "1s"},
            "store": STORE | {"prefix": prefix}}


def audit(vault: Vault, *words: str) -> subprocess.CompletedProcess:
    command = [AUDIT, "--config", str(vault.dir / "kluis.toml"), *words]
    return subprocess.run(command, env=vault.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=120, check=False)


def verify(vault: Vault, name: str) -> None:
    """A bundle of all of it, verified as a continuation of every one that was verified before."""
    place = vault.dir.parent
    bundle = place / f"bundle-{time.monotonic_ns()}"
    made = audit(vault, "bundle", "--vault", "--out", str(bundle))
    key = audit(vault, "key")
    (place / "log.vkey").write_text(key.stdout)
    told = audit(vault, "verify", str(bundle), "--log", str(place / "log.vkey"), "--kept", str(place / "kept"))
    check(f"{name}: the log verifies, and goes on from each checkpoint that was verified before",
          made.returncode == 0 and told.returncode == 0, (made.stderr[-300:], told.stdout[-300:], told.stderr[-300:]))


class Readers:
    """Reads from several connections until told otherwise; which were answered, and what else came."""

    def __init__(self, vault: Vault, count: int = 6):
        self.events, self.statuses, self.going, self.slowest_s = [], {}, True, 0.0
        self.threads = [threading.Thread(target=self.read, args=(Client(vault.identity(), 30), n)) for n in range(count)]
        for thread in self.threads:
            thread.start()

    def read(self, client: Client, n: int) -> None:
        while self.going:
            began = time.monotonic()
            reply = client.request("GET", f"object/{n}")
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            self.statuses[reply.status] = self.statuses.get(reply.status, 0) + 1
            if reply.status == 200 or reply.body == b"x" * 4096:
                self.events.append(reply.event)
            elif reply.status == 0 and self.going:
                time.sleep(0.05)

    def end(self) -> list[str]:
        self.going = False
        for thread in self.threads:
            thread.join()
        return self.events


def records(vault: Vault, name: str, events: list[str]) -> None:
    log = vault.audit()
    lost = [event for event in events if log.get(event, {}).get("event") != "object.read"]
    check(f"{name}: each of the reads that were answered has its record", not lost and len(events) > 50,
          f"{len(lost)} of {len(events)}: {lost[:3]}")


def lose(vault: Vault, *what: str) -> None:
    for name in what:
        path = vault.dir / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def write(vault: Vault) -> None:
    client = Client(vault.identity())
    answers = {client.request("PUT", f"object/{n}", body=b"x" * 4096).status for n in range(6)}
    if answers != {200}:
        raise RuntimeError(f"the first writes: {answers} {vault.log_tail()}")


def killed(gate: str, place: pathlib.Path, store: pathlib.Path) -> Vault:
    """Killed under load, the journal and the log removed, started again; twice, so that what was restored is lost, too."""
    vault = Vault(place / gate / "vault", settings(gate, gate), store / "owner.env").start()
    write(vault)
    events: list[str] = []
    for number in (1, 2):
        readers = Readers(vault)
        time.sleep(3)
        if number == 2:
            told = vault.command("principal", "list")
            check(f"{gate}, {number}: a command on the host works beside it", told.returncode == 0, told.stderr[-300:])
        verify(vault, f"{gate}, {number}, before")
        time.sleep(1)
        vault.kill()
        events += readers.end()
        say(f"{gate}, {number}: {len(events)} reads answered so far")
        lose(vault, "journal", "data/log")
        vault.start()
        records(vault, f"{gate}, {number}, journal and log lost", events)
        verify(vault, f"{gate}, {number}, journal and log lost")
    doctor = vault.command("doctor")
    check(f"{gate}: the doctor passes", doctor.returncode == 0, (doctor.stdout[-400:], doctor.stderr[-300:]))
    return vault


def stopped(vault: Vault, store: pathlib.Path) -> None:
    """The store hangs, then goes on: 503 within the bound, and serving resumes by itself."""
    pid = int((store / "seaweed.pid").read_text())
    readers = Readers(vault)
    time.sleep(1)
    os.killpg(pid, signal.SIGSTOP)
    try:
        time.sleep(1)
        client, began = Client(vault.identity(), 30), time.monotonic()
        reply, took_s = client.request("HEAD", "object/1"), time.monotonic() - began
        # It touches no blob: what it lacks is its record.
        check("store hung: a request whose record cannot be had is refused with 503 within the bound",
              reply.status == 503 and took_s < WAIT_S + 2, f"{reply} after {took_s:.1f} s")
        status, page = until(20, lambda: (told := vault.ops_page("/readyz"))[0] == 503 and told) or (0, "")
        check("store hung: /readyz says why", status == 503 and "journal" in page, (status, page))
        time.sleep(4)
    finally:
        os.killpg(pid, signal.SIGCONT)
    began = time.monotonic()
    served = until(RESUME_S_MAX, lambda: Client(vault.identity()).request("GET", "object/2").status == 200)
    check("store hung: serving resumes by itself", served, vault.log_tail())
    say(f"served again {time.monotonic() - began:.1f} s after the store went on")
    events = readers.end()
    check("store hung: answers are right or 503", set(readers.statuses) <= {200, 503}, readers.statuses)
    vault.kill()
    lose(vault, "journal", "data/log")
    vault.start()
    records(vault, "store hung", events)
    verify(vault, "store hung")


def everything(vault: Vault) -> None:
    """Another machine: of the old one nothing is left but keys and configuration."""
    write(vault)
    readers = Readers(vault)
    time.sleep(2)
    vault.kill()
    events = readers.end()
    lose(vault, "journal", "data/log", "catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm")
    recovered = vault.command("recover")
    check("another machine: the catalog is rebuilt whole", recovered.returncode == 0,
          (recovered.stdout[-500:], recovered.stderr[-500:]))
    vault.serve()
    records(vault, "another machine", events)
    verify(vault, "another machine")
    reply = Client(vault.identity()).request("GET", "object/3")
    check("another machine: it serves what the old one held", (reply.status, reply.body) == (200, b"x" * 4096), reply)
    check("another machine: no panic", "panicked" not in vault.log.read_text(errors="replace"), vault.log_tail())


def two(vault: Vault, place: pathlib.Path, store: pathlib.Path) -> None:
    """A second gateway on a copy of the directory: the first serves nothing any more."""
    other = place / "second" / "vault"
    shutil.copytree(vault.dir, other, symlinks=True)
    second = Vault(other, settings("both", "both"), store / "owner.env")
    second.serve()
    client = Client(vault.identity())
    answers = [client.request("GET", "object/1") for _ in range(5)]
    check("two gateways: the older one gives nothing away", all(a.status == 503 for a in answers), [str(a) for a in answers])
    _, page = vault.ops_page("/readyz")
    check("two gateways: and says why", "another gateway" in page, page)
    reply = Client(second.identity()).request("GET", "object/1")
    check("two gateways: the younger one serves", reply.status == 200, f"{reply} {second.log_tail()}")
    vault.kill()
    second.stop()
    verify(second, "two gateways")


def shipped(vault: Vault, store: pathlib.Path) -> None:
    """What volumes hold goes from the journal and from the gate; what is left is made again without a finding."""
    env, prefix = read_env(store / "owner.env"), "bothgate/"
    time.sleep(2)  # what was full before then is old enough
    before, files = count(env, prefix), len(list((vault.dir / "journal" / "gateway").glob("*.wal")))
    told = audit(vault, "ship", "--all", "--keep", "1s")
    after, left = count(env, prefix), len(list((vault.dir / "journal" / "gateway").glob("*.wal")))
    check("shipped: full files go from the directory and their batches from the store",
          told.returncode == 0 and left < files and after < before, (told.stderr[-300:], files, left, before, after))
    vault.kill()
    lose(vault, "journal", "data/log")
    vault.start()
    again = len(list((vault.dir / "journal" / "gateway").glob("*.wal")))
    check("shipped: what is left is made again, and no more", again <= left + 1, (left, again))
    doctor = vault.command("doctor")
    check("shipped: the doctor passes", doctor.returncode == 0, (doctor.stdout[-400:], doctor.stderr[-300:]))
    verify(vault, "shipped")


def leaving(vault: Vault, store: pathlib.Path) -> None:
    """The configuration forgets the gate: refused until its place is emptied, as docs/audit.md says."""
    vault.stop()
    path = vault.dir / "kluis.toml"
    before = path.read_text()
    path.write_text(before.replace('gate = "both"', 'gate = "local"'))
    served = vault.command("serve")
    check("leaving: a gateway without the gate is refused while the store holds one",
          served.returncode == 2 and "journal.gate" in served.stderr, (served.returncode, served.stderr[-300:]))
    env = read_env(store / "owner.env")
    empty(env, "bothgate/")
    vault.serve()
    reply = Client(vault.identity()).request("GET", "object/1")
    check("leaving: with its place emptied it serves", reply.status == 200, reply)
    vault.stop()
    path.write_text(before)
    vault.serve()
    vault.kill()
    lose(vault, "journal", "data/log")
    vault.serve()
    log = vault.audit()
    check("coming back: all of the journal is in the store again", reply.event in log, len(log))
    verify(vault, "coming back")


def client_of(env: dict[str, str]):
    import boto3

    return boto3.client("s3", endpoint_url=env["AWS_ENDPOINT_URL"], aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
                        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"], region_name=env["AWS_REGION"])


def count(env: dict[str, str], prefix: str) -> int:
    pages = client_of(env).get_paginator("list_objects_v2").paginate(Bucket="blobs", Prefix=prefix)
    return sum(len(page.get("Contents", [])) for page in pages)


def empty(env: dict[str, str], prefix: str) -> None:
    client = client_of(env)
    while found := client.list_objects_v2(Bucket="blobs", Prefix=prefix).get("Contents"):
        for one in found:
            client.delete_object(Bucket="blobs", Key=one["Key"])


def main() -> int:
    place, store = scratch("gate"), pathlib.Path(sys.argv[1])
    vaults: list[Vault] = []
    try:
        vaults.append(killed("store", place, store))
        stopped(vaults[0], store)
        everything(vaults[0])
        vaults[0].kill()
        vaults.append(killed("both", place, store))
        shipped(vaults[1], store)
        leaving(vaults[1], store)
        two(vaults[1], place, store)
    finally:
        for vault in vaults:
            vault.kill()
    clean(place)
    return done()


if __name__ == "__main__":
    sys.exit(main())
