"""What cannot be the gate is refused before anything is served, and told why.

    python unfit.py              directories and settings
    python unfit.py STORE_DIR    a started store that takes a name twice
"""

import os
import pathlib
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from vault import Client, Vault, check, clean, done, scratch  # noqa: E402

WAIT = {"catalog": {"snapshot_wait": True}}


def refused(vault: Vault, name: str, code: int, *words: str) -> None:
    told = vault.command("serve")
    check(f"{name} is refused, and told why", told.returncode == code and all(word in told.stderr for word in words),
          (told.returncode, told.stderr[-400:]))


def with_gate(vault: Vault, settings: dict[str, dict]) -> None:
    """Writes other settings beside those of a vault that was founded without them."""
    path = vault.dir / "kluis.toml"
    text = path.read_text()
    for table, values in settings.items():
        for key, value in values.items():
            word = str(value).lower() if isinstance(value, bool) else f'"{value}"'
            head = f"[{table}]\n"
            text = text.replace(head, f"{head}{key} = {word}\n") if head in text else f"{text}\n{head}{key} = {word}\n"
    path.write_text(text)


def forgotten(vault: Vault) -> None:
    """The disk is lost and the configuration has forgotten the gate: nothing is written that the store would contradict."""
    reply = Client(vault.identity()).request("GET", "a")
    vault.kill()
    shutil.rmtree(vault.dir / "journal")
    shutil.rmtree(vault.dir / "data" / "log")
    path = vault.dir / "kluis.toml"
    before = path.read_text()
    path.write_text(before.replace('gate = "store"', 'gate = "local"'))
    refused(vault, "forgotten: a gateway that lost disk and gate", 2, "journal.gate")
    told = vault.command("principal", "create", "ada")
    check("forgotten: so is a command on its host", told.returncode == 2 and "journal.gate" in told.stderr,
          (told.returncode, told.stderr[-400:]))
    written = [str(file) for file in vault.dir.rglob("*.wal")]
    check("forgotten: no file of a journal is begun", not written, written)
    path.write_text(before)
    vault.serve()
    check("forgotten: with the gate set right it starts, and has what was lost", reply.event in vault.audit())
    names = vault.command("principal", "list")
    check("forgotten: the command that was refused did nothing", names.returncode == 0 and "ada" not in names.stdout,
          (names.returncode, names.stdout[-300:]))


def main() -> int:
    place = scratch("gate-unfit")
    if len(sys.argv) > 1:
        vault = Vault(place / "vault", {}, pathlib.Path(sys.argv[1]) / "owner.env").start()
        vault.stop()
        with_gate(vault, {"journal": {"gate": "both"}})
        refused(vault, "a store that lets a name be taken twice", 2, "If-None-Match")
        clean(place)
        return done()
    vault = Vault(place / "vault").start()
    check("without a word of it the directory is the gate", Client(vault.identity()).request("PUT", "a", body=b"x").status == 200)
    vault.stop()
    check("and the store holds none", not (vault.dir / "store" / "gate").exists())
    with_gate(vault, {"journal": {"gate": "store"}})
    refused(vault, "`store` beside a catalog that is not waited for", 2, "snapshot_wait")
    with_gate(vault, {"catalog": {"snapshot_wait": True}})
    vault.serve()
    reply = Client(vault.identity()).request("GET", "a")
    check("a directory on a disk can be the gate", reply.status == 200 and (vault.dir / "store" / "gate").is_dir(), reply)
    vault.kill()
    shutil.rmtree(vault.dir / "journal")
    shutil.rmtree(vault.dir / "data" / "log")
    vault.serve()
    check("and gives back what was lost", reply.event in vault.audit())
    forgotten(vault)
    vault.stop()
    if os.path.ismount("/dev/shm"):
        memory = pathlib.Path(tempfile.mkdtemp(prefix="kluis-gate-", dir="/dev/shm"))
        try:
            fleeting = Vault(memory / "vault").start()
            fleeting.stop()
            with_gate(fleeting, {"journal": {"gate": "both"}})
            refused(fleeting, "a store that is a directory in memory", 2, "in memory")
        finally:
            shutil.rmtree(memory)
    else:
        print("SKIP a directory in memory: no /dev/shm")
    clean(place)
    return done()


if __name__ == "__main__":
    sys.exit(main())
