"""Full and read-only disks under the journal, the catalog and both. Runs in a mount namespace of its own, as its root."""

import contextlib
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "lab")]
from steps import Books, log_whole, not_ready, refused, resumes  # noqa: E402
from vault import Client, Vault, check, clean, done, say, scratch, until  # noqa: E402

DISK = "192m"  # the doctor wants more than 64 MiB free afterwards
# The smallest round size whose half holds the completions of all requests that may be open.
SMALL_FILES = {"file_bytes": "16MiB"}


def mount(*words: object) -> None:
    subprocess.run(["mount", *map(str, words)], check=True, timeout=20)


def unmount(path: pathlib.Path) -> None:
    subprocess.run(["umount", "--lazy", str(path)], check=False, timeout=20, stderr=subprocess.DEVNULL)


def make_read_only(path: pathlib.Path) -> None:
    mount("--bind", path, path)
    mount("-o", "remount,ro,bind", path)


def disk(path: pathlib.Path) -> pathlib.Path:
    path.mkdir(parents=True, exist_ok=True)
    mount("-t", "tmpfs", "-o", f"size={DISK}", "none", path)
    return path


def fill(path: pathlib.Path) -> pathlib.Path:
    """A file that takes all the room that is left."""
    filler = path / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    return filler


@contextlib.contextmanager
def served(place: pathlib.Path, config: dict, *mounts: pathlib.Path) -> Iterator[tuple[Vault, Books]]:
    """A served vault and what was put into it; at the end it is killed, and `mounts` are undone."""
    vault = Vault(place, config)
    try:
        books = Books(vault.start())
        for _ in range(10):
            books.put()
        yield vault, books
    finally:
        vault.kill()
        for path in mounts:
            unmount(path)


def read_is_refused(name: str, books: Books) -> None:
    refused(f"{name}: a read", books.until_refused(books.get, wear=True), books)


def write_is_refused_clearly(name: str, books: Books) -> None:
    reply = books.until_refused(books.put)
    check(f"{name}: a write is refused, to be tried again or with no room", reply.status in (503, 507), reply)


def goes_on(name: str, vault: Vault, books: Books, filler: pathlib.Path) -> None:
    """Room again: serving resumes by itself, and the log has everything."""
    filler.unlink()
    resumes(name, books)
    log_whole(name, vault, books)


def journal_full(place: pathlib.Path) -> None:
    name, journal = "journal's disk full", disk(place / "journal")
    config = {"journal": SMALL_FILES | {"dir": str(journal / "lanes")}}
    with served(place / "vault", config, journal) as (vault, books):
        filler = fill(journal)
        read_is_refused(name, books)
        refused(f"{name}: a write", books.put(), books)
        not_ready(name, vault)
        goes_on(name, vault, books, filler)


def journal_read_only(place: pathlib.Path) -> None:
    name, lanes = "journal's disk read-only", place / "vault" / "journal"
    with served(place / "vault", {"journal": SMALL_FILES}, lanes) as (vault, books):
        # The file that is open stays writable; the next one cannot be made.
        make_read_only(lanes)
        read_is_refused(name, books)
        refused(f"{name}: a write", books.put(), books)
        not_ready(name, vault)
        unmount(lanes)
        resumes(name, books)
        vault.stop()
        make_read_only(lanes)
        vault.spawn()
        ended = until(20, lambda: vault.process.poll() is not None)
        check(f"{name}: a start on it ends with an error", ended and vault.process.returncode not in (0, 101), vault.log_tail())
        check(f"{name}: and says nothing of being ready", not (vault.dir / "ready").exists())
        vault.kill()
        unmount(lanes)
        books.client = Client(vault.start().identity())
        check(f"{name}: writable again, a start has all", not (lost := books.lost()), lost[:3])
        log_whole(name, vault, books)


def catalog_full(place: pathlib.Path) -> None:
    name, room = "catalog's disk full", disk(place / "catalog")
    with served(place / "vault", {"catalog": {"path": str(room / "catalog.sqlite")}}, room) as (vault, books):
        filler = fill(room)
        write_is_refused_clearly(name, books)
        check(f"{name}: a read gives the right bytes or 503", books.get().status in (200, 503))
        check(f"{name}: /healthz stays 200", vault.ops_page("/healthz")[0] == 200)
        goes_on(name, vault, books, filler)


def all_full(place: pathlib.Path) -> None:
    """Store, catalog, keys and journal on one disk, as on a small server."""
    name, room = "the one disk full", disk(place / "all")
    with served(room / "vault", {"journal": SMALL_FILES}, room) as (vault, books):
        filler = fill(room)
        write_is_refused_clearly(name, books)
        read_is_refused(name, books)
        not_ready(name, vault)
        goes_on(name, vault, books, filler)


def main() -> int:
    place = scratch("disks")
    mount("--make-rprivate", "/")
    for case in (journal_full, journal_read_only, catalog_full, all_full):
        began = time.monotonic()
        case(place / case.__name__)
        say(f"{case.__name__} took {time.monotonic() - began:.0f} s")
    clean(place)
    return done()


if __name__ == "__main__":
    sys.exit(main())
