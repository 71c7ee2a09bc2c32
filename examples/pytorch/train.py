"""Trains a small network on images that lie in a directory of classes, and writes down which data it was trained on.

    kluis mount icu-sepsis/ecg-2024@3 /data --credentials job.env &
    python train.py --data /data/train --workers 4 --output model.pt

Nothing in it knows of Kluis but `provenance`: a mount is a directory. Samples are arrays of `numpy.save`, one in a file, in a
folder for each class. The model's file holds the version that it was trained on with the digest of its signed root, as the
mount says it, so that `kluis dataset verify` and the vault's log can be held against it years later.
"""

import argparse
import json
import os
import pathlib

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Samples(Dataset):
    """(1, height, width) of 32-bit floats, and the number of the class."""

    def __init__(self, top: pathlib.Path):
        self.classes = sorted(entry.name for entry in os.scandir(top) if entry.is_dir())
        self.samples = [(path, number) for number, name in enumerate(self.classes) for path in sorted((top / name).iterdir())]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        path, number = self.samples[index]
        return torch.from_numpy(np.load(path)).float().unsqueeze(0), number


def network(classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(256, classes),
    )


def provenance(top: pathlib.Path) -> str | None:
    """`project/dataset@number:digest` of the version that a path lies in; None where it is no mount of Kluis."""
    try:
        return os.getxattr(top, "user.kluis.snapshot").decode()
    except OSError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True, help="a folder of classes")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="where the model is written")
    parser.add_argument("--workers", type=int, default=4, help="processes that read ahead; 0 reads in this one")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    data = Samples(args.data)
    loader = DataLoader(data, batch_size=32, shuffle=True, num_workers=args.workers, persistent_workers=args.workers > 0)
    model = network(len(data.classes))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(args.epochs):
        right = 0
        for images, numbers in loader:
            scores = model(images)
            optimizer.zero_grad()
            nn.functional.cross_entropy(scores, numbers).backward()
            optimizer.step()
            right += int((scores.argmax(1) == numbers).sum())
        print(json.dumps({"epoch": epoch, "accuracy": round(right / len(data), 4)}), flush=True)
    torch.save({"model": model.state_dict(), "classes": data.classes, "trained_on": provenance(args.data)}, args.output)


if __name__ == "__main__":
    main()
