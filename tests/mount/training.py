"""PyTorch on a mounted version: the example of examples/pytorch trains on it, and DataLoaders with 0 to 8 workers see every sample."""

import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
import warnings

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from mounts import Mount, lab, publish, upload  # noqa: E402
from vault import check, done, say, seed  # noqa: E402

EXAMPLE = HERE.parent.parent / "examples" / "pytorch" / "train.py"
warnings.filterwarnings("ignore", message="This DataLoader will create")  # more than this machine has cores
CLASSES, SAMPLES = ["horizontal", "vertical", "neither"], 120


def images(rng: np.random.Generator) -> dict[str, bytes]:
    """Bars in noise, which a small network tells apart."""
    files = {}
    for name in CLASSES:
        for n in range(SAMPLES):
            image = rng.normal(0, 0.3, (24, 24)).astype(np.float32)
            at = int(rng.integers(2, 22))
            if name == "horizontal":
                image[at] += 2
            elif name == "vertical":
                image[:, at] += 2
            buffer = io.BytesIO()
            np.save(buffer, image)
            files[f"train/{name}/{n:04}.npy"] = buffer.getvalue()
    return files


class Digests(Dataset):
    """Every file's name and digest, read where the loader says."""

    def __init__(self, top: pathlib.Path, names: list[str]):
        self.top, self.names = top, names

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[str, str]:
        return self.names[index], hashlib.sha256((self.top / self.names[index]).read_bytes()).hexdigest()


def loaders(top, files) -> None:
    names = sorted(files)
    want = {name: hashlib.sha256(files[name]).hexdigest() for name in names}
    for workers in (0, 1, 2, 4, 8):
        for context in (["fork", "spawn"] if workers in (2, 4) else ["fork"] if workers else [None]):
            loader = DataLoader(Digests(top, names), batch_size=16, shuffle=True, num_workers=workers, multiprocessing_context=context,
                                generator=torch.Generator().manual_seed(workers), collate_fn=list)
            seen = []
            for _ in range(2):
                seen.append([pair for batch in loader for pair in batch])
            right = all(len(epoch) == len(want) and dict(epoch) == want for epoch in seen)
            check(f"S24: DataLoader, {workers} workers{f' by {context}' if context else ''}, two shuffled epochs", right and seen[0] != seen[1])


def main() -> int:
    rng = np.random.default_rng(seed())
    with lab("training") as (base, vault):
        files = images(rng)
        upload(vault, files)
        version = publish(vault)
        mount = Mount(vault, version, base / "data", "--supervised").start()
        loaders(mount.directory, files)
        run = subprocess.run([sys.executable, str(EXAMPLE), "--data", str(mount.directory / "train"), "--workers", "2", "--epochs", "8", "--output",
                              str(base / "model.pt")], capture_output=True, text=True, timeout=200, check=False)
        epochs = [json.loads(line) for line in run.stdout.splitlines()]
        check("the example trains on a mounted version", run.returncode == 0 and epochs and epochs[-1]["accuracy"] > 0.9, (epochs, run.stderr[-300:]))
        say(f"accuracy {epochs[-1]['accuracy']}" if epochs else run.stderr[-200:])
        model = torch.load(base / "model.pt", weights_only=True)
        root = os.getxattr(mount.directory, "user.kluis.snapshot").decode()
        check("its model says which version it was trained on", model["trained_on"] == root and root.startswith(f"{version}:"), model["trained_on"])
        errors = (mount.directory / ".kluis/errors").read_text()
        check("no error was met on the way", errors == "", errors)
    return done()


if __name__ == "__main__":  # workers by spawn import this file
    sys.exit(main())
