"""A vault whose acknowledgements wait for their snapshot, hosts that share its store, and copies of its catalog."""

import json
import os
import pathlib
import shutil
import sqlite3
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "roots"))
from house import House, text_of  # noqa: E402
from vault import free_ports, until  # noqa: E402

GRACE_SECONDS = 20


class Host(House):
    """One host; what it acknowledges a snapshot holds."""

    def __init__(self, place: pathlib.Path):
        super().__init__(place)
        assert self.made.returncode == 0, text_of(self.made)
        self.edit("[catalog]\n", "[catalog]\nsnapshot_wait = true\nsnapshot_interval = \"1s\"\n")
        self.edit('# file_bytes = "64MiB"', 'file_bytes = "16MiB"')
        self.furnish(self.must)

    @property
    def catalog(self) -> pathlib.Path:
        return self.dir / "data/catalog.sqlite"

    def must(self, *words: str):
        ran = self.run(*words)
        assert ran.returncode == 0, (words, text_of(ran))
        return ran

    def put(self, key: str) -> None:
        got = self.client().request("PUT", key, body=key.encode() * 100)
        assert got.status == 200, (key, str(got), self.log.read_text()[-800:])

    def has(self, *keys: str) -> list[str]:
        """Those of the keys that read as they were written; no other answer than that and 404 will do."""
        found = []
        for key in keys:
            got = self.client().request("GET", key)
            assert (got.status, got.body) == (200, key.encode() * 100) or got.status == 404, (key, str(got))
            if got.status == 200:
                found.append(key)
        return found

    def up(self) -> None:
        self.serve()
        assert self.ready(), self.log.read_text()[-800:]

    def session(self, *keys: str) -> None:
        """Serves, writes, and ends in peace."""
        self.up()
        for key in keys:
            self.put(key)
        assert self.stop() == 0

    def ends(self) -> tuple[int | None, str]:
        """How a gateway ends by itself, and what it says; None where it serves on."""
        code = until(GRACE_SECONDS, lambda: self.process.poll(), 0.05)
        said = self.log.read_text()[-1500:]
        if code is None:
            self.stop(9)
        self.process = None
        return code, said

    def refuses(self) -> tuple[int | None, str]:
        self.log.write_text("")
        self.serve()
        return self.ends()

    def backup(self, name: str) -> pathlib.Path:
        """SQLite's online backup, as deploy/README.md has it."""
        copy = self.dir.with_name(name)
        copy.unlink(missing_ok=True)
        source, target = sqlite3.connect(self.catalog), sqlite3.connect(copy)
        source.backup(target)
        source.close(), target.close()
        return copy

    def lose(self) -> None:
        for end in ("", "-wal", "-shm"):
            self.catalog.with_name(self.catalog.name + end).unlink(missing_ok=True)

    def restore(self, copy: pathlib.Path) -> None:
        self.lose()
        shutil.copy(copy, self.catalog)

    def recover(self, *words: str) -> tuple[int, dict]:
        ran = self.run("--json", "recover", *words)
        return ran.returncode, json.loads(ran.stdout or b"{}") | {"said": text_of(ran)[-1200:]}

    def lost_and_recovered(self) -> tuple[int, dict]:
        self.lose()
        return self.recover()

    def doctor(self) -> str:
        return text_of(self.run("doctor"))


class Other(Host):
    """Another host with its own copy of everything but the store, which both use."""

    def __init__(self, first: Host, place: pathlib.Path):
        shutil.copytree(first.dir, place, ignore=shutil.ignore_patterns("store"))
        self.dir, self.process = place, None
        self.environment, self.log = first.environment, place.with_name(place.name + ".log")
        s3, ops = free_ports(2)
        self.listen, self.ops = f"127.0.0.1:{s3}", f"127.0.0.1:{ops}"
        file = place / "kluis.toml"
        text = file.read_text().replace(first.listen, self.listen).replace(first.ops, self.ops)
        text = text.replace(str(first.dir), str(place))
        assert '# path = "data/store"' in text
        file.write_text(text.replace('# path = "data/store"', f'path = "{first.dir / "data/store"}"', 1))


class Twin(Host):
    """A copy of a host with its store, to be killed."""

    def __init__(self, first: Host, place: pathlib.Path):
        shutil.copytree(first.dir, place)
        self.dir, self.process = place, None
        self.environment, self.log = first.environment, place.with_name(place.name + ".log")
        s3, ops = free_ports(2)
        self.listen, self.ops = f"127.0.0.1:{s3}", f"127.0.0.1:{ops}"
        file = place / "kluis.toml"
        text = file.read_text().replace(str(first.dir), str(place))
        file.write_text(text.replace(first.listen, self.listen).replace(first.ops, self.ops))
