"""A vault with two datasets, a copy of its keys and two erasures that two persons agreed on; and copies of it to kill."""

import json
import os
import pathlib
import re
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "roots"))
from house import House, text_of  # noqa: E402
from vault import free_ports, until  # noqa: E402

KEPT = {"a": b"a heartbeat", "b/c": b"b" * 70_000}
GONE = b"withdrawn" * 1000


class Stock(House):
    """The model: made once, and stopped."""

    def __init__(self, place: pathlib.Path):
        super().__init__(place)
        assert self.made.returncode == 0, text_of(self.made)
        self.edit('# file_bytes = "64MiB"', 'file_bytes = "16MiB"')
        self.furnish(self.must)
        self.must("dataset", "create", "icu/mri", "--creator", "ana")
        self.must("principal", "create", "ola")
        self.must("grant", "create", "icu", "--to", "ola", "--role", "owner", "--approver", "ana")
        self.must("credential", "create", "ola", "--output", str(place / "ola.env"))
        self.must("key", "copy", str(place / "copy"))
        self.edit("[keys]\n", f"[keys]\ncopies = [\"{place}/copy\"]\n")
        self.serve()
        assert self.ready(), self.log.read_text()[-800:]
        for key, body in KEPT.items():
            assert self.client().request("PUT", key, body=body).status == 200
        assert self.client().request("PUT", "gone", body=GONE).status == 200
        assert self.client("icu--mri").request("PUT", "scan", body=GONE).status == 200
        self.of_object = self.agree("icu/ecg", "what=object=gone")
        self.of_dataset = self.agree("icu/mri", "what=dataset")
        assert self.stop() == 0
        self.ids = {row["of"]: row["id"] for row in self.lines("key", "inventory") if row["key"] == "dataset"}

    def must(self, *words: str):
        ran = self.run(*words)
        assert ran.returncode == 0, (words, text_of(ran))
        return ran

    def lines(self, *words: str) -> list[dict]:
        return [json.loads(line) for line in self.must("--json", *words).stdout.splitlines()]

    def agree(self, dataset: str, what: str) -> str:
        signed = {}
        for name in ("ana", "ola"):
            file = self.dir / f"{name}.env"
            text = re.sub(r"(?m)^AWS_ENDPOINT_URL=.*\n", "", file.read_text())
            file.write_text(f"AWS_ENDPOINT_URL=http://{self.listen}\n{text}")
            signed[name] = ("--credentials", str(file))
        asked = self.lines("approval", "ask", "erase", dataset, what, "--reason", "consent withdrawn", *signed["ana"])
        self.must("approval", "approve", "icu", asked[0]["approval"], *signed["ola"])
        return asked[0]["approval"]


class Copy(Stock):
    """A copy of the model, with ports of its own."""

    def __init__(self, stock: Stock, place: pathlib.Path):
        shutil.copytree(stock.dir, place)
        self.dir, self.process = place, None
        self.environment, self.log = stock.environment, place.with_name(place.name + ".log")
        self.ids, self.of_object, self.of_dataset = stock.ids, stock.of_object, stock.of_dataset
        s3, ops = free_ports(2)
        self.listen, self.ops = f"127.0.0.1:{s3}", f"127.0.0.1:{ops}"
        file = place / "kluis.toml"
        text = file.read_text().replace(str(stock.dir), str(place))
        file.write_text(text.replace(stock.listen, self.listen).replace(stock.ops, self.ops))

    def versions(self, dataset: str) -> dict[str, list[str]]:
        """The files of a dataset's keys, in the directory and in its copy."""
        found = {}
        for name in ("data/keys", "copy"):
            folder = self.dir / name / "datasets"
            name_of, later = self.ids[dataset], folder / f"{self.ids[dataset]}.d"
            files = [folder / f"{name_of}.key"] + (sorted(later.iterdir()) if later.is_dir() else [])
            found[name] = [file.name.removesuffix(".key").replace(name_of, "1") for file in files
                           if file.exists() and file.suffix == ".key"]
        return found

    def works(self) -> list[dict]:
        return self.lines("key", "works")

    def ended(self) -> bool:
        """Whoever serves carries on what was begun, within ten seconds and some."""
        return bool(until(40, lambda: all(row["ended"] is not None for row in self.works()), 0.05))

    def faults_of_kept(self) -> list[str]:
        client = self.client()
        got = {key: client.request("GET", key) for key in KEPT}
        return [f"{key}: {got[key]}" for key in KEPT if got[key].body != KEPT[key]]
