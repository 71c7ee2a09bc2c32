"""S24: the tools and formats that people read datasets with, each on the mount and on the files that were uploaded."""

import hashlib
import io
import multiprocessing
import os
import pathlib
import random
import subprocess
import sys
import tarfile

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import webdataset
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mounts import Mount, lab, publish, upload  # noqa: E402
from vault import check, done, seed  # noqa: E402

SAMPLES = 300
FAILED = "FAILED"


def make(top: pathlib.Path, rng: np.random.Generator) -> None:
    """A dataset in the formats of the field, and a tree of small files as programs leave them."""
    top.mkdir()
    np.save(top / "signals.npy", rng.standard_normal((2000, 500), dtype=np.float32))
    with h5py.File(top / "images.h5", "w") as file:
        file.create_dataset("raw", data=rng.integers(0, 255, (60, 64, 64), dtype=np.uint8))
        file.create_dataset("packed", data=rng.standard_normal((400, 300)), chunks=(50, 50), compression="gzip", shuffle=True)
        file["packed"].attrs["unit"] = "mV"
    for part in range(4):
        table = pa.table({"id": np.arange(part * 5000, part * 5000 + 5000), "x": rng.standard_normal(5000), "part": [str(part)] * 5000})
        (top / "table").mkdir(exist_ok=True)
        pq.write_table(table, top / "table" / f"{part}.parquet", row_group_size=700)
    save_file({f"layer{n}": rng.standard_normal((64, 256)).astype(np.float32) for n in range(20)}, top / "model.safetensors")
    for shard in range(3):
        with tarfile.open(top / f"shard-{shard}.tar", "w") as tar:
            for n in range(SAMPLES // 3):
                for ending, body in (("cls", b"%d" % (n % 10)), ("bin", rng.bytes(int(rng.integers(1, 9000))))):
                    member = tarfile.TarInfo(f"{shard:02}{n:04}.{ending}")
                    member.size = len(body)
                    tar.addfile(member, io.BytesIO(body))
    for n in range(200):
        path = top / "tree" / f"{n % 7}" / f"{n % 11}" / f"{n}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.bytes(int(rng.integers(0, 2000))))


def shell(command: str, **places) -> str:
    run = subprocess.run(["bash", "-euo", "pipefail", "-c", command], capture_output=True, text=True, timeout=120, check=False,
                         env={"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": "/", **{k: str(v) for k, v in places.items()}})
    return run.stdout if run.returncode == 0 else f"{FAILED} {run.returncode}: {run.stderr[-300:]}"


def on_both(title: str, command: str, source, top) -> None:
    """A command says the same of the mount as of what was uploaded."""
    one, other = shell(command, top=source), shell(command, top=top)
    check(f"S24: {title}", one == other and one.strip() != "" and not one.startswith(FAILED), (one[-200:], other[-200:]))


def commands(source, top, base) -> None:
    on_both("find", "cd $top && find . -type f | sort && find . -name '*.txt' -size +1k | wc -l", source, top)
    on_both("tar", "tar cf - --sort=name --mtime=@0 --mode=a=r --owner=0 --group=0 -C $top . | sha256sum", source, top)
    on_both("sha256sum", "cd $top && find . -type f | sort | xargs -d '\\n' sha256sum", source, top)
    on_both("du", "cd $top && du -b --apparent-size -s model.safetensors signals.npy images.h5", source, top)
    on_both("cat, head, tail, grep, wc", "cd $top && cat table/0.parquet | wc -c && head -c 100 signals.npy | sha256sum && "
            "tail -c 100 images.h5 | sha256sum && grep -c . -r tree | sort | sha256sum", source, top)
    on_both("git's storm of stats: a working tree elsewhere, status and diff",
            "export GIT_DIR=$(mktemp -d) && git -c init.defaultBranch=m init -q --bare $GIT_DIR && cd $top && "
            "git --work-tree=. -c core.fileMode=false add -A && git --work-tree=. status --porcelain | wc -l && "
            "git --work-tree=. write-tree && git --work-tree=. diff --stat && rm -rf $GIT_DIR",
            source, top) if shell("command -v git").strip().startswith("/") else None
    copy = base / "copy"
    told = shell("cp -a $top $copy && diff -r $source $copy && echo same", top=top, copy=copy, source=source)
    check("S24: cp -a, and diff -r finds nothing", told == "same\n", told)
    told = shell("rsync -rc --dry-run --itemize-changes $top/ $source/", top=top, source=source)
    check("S24: rsync --checksum finds nothing to send", not [line for line in told.splitlines() if line.startswith((">", "<"))]
          and not told.startswith(FAILED), told)
    told = shell("rsync -rt $top/ $again/ && diff -r $source $again && echo same", top=top, again=base / "again", source=source)
    check("S24: rsync copies all of it", told == "same\n", told)


def walked(top) -> list:
    return sorted((os.path.relpath(folder, top), sorted(names), sorted(folders)) for folder, folders, names in os.walk(top))


def worker(arguments) -> list[str]:
    """In a process of its own, as data loaders fork them."""
    top, names = arguments
    return [hashlib.sha256((pathlib.Path(top) / name).read_bytes()).hexdigest() for name in names]


def formats(source, top) -> None:
    check("S24: os.walk", walked(source) == walked(top))
    a, b = (np.load(place / "signals.npy", mmap_mode="r") for place in (source, top))
    rows = np.random.default_rng(1).permutation(len(a))[:400]
    check("S24: numpy's memmap, rows here and there", isinstance(b, np.memmap) and np.array_equal(a[rows], b[rows]) and np.array_equal(a, b))
    private = np.load(top / "signals.npy", mmap_mode="c")
    private[0, 0] = 7
    check("S24: numpy's memmap, copied on writing", private[0, 0] == 7 and np.array_equal(np.load(top / "signals.npy"), a))
    with h5py.File(source / "images.h5") as one, h5py.File(top / "images.h5") as other:
        same = all(np.array_equal(one[name][...], other[name][...]) for name in ("raw", "packed"))
        check("S24: HDF5, whole", same and other["packed"].attrs["unit"] == "mV")
        check("S24: HDF5, a hyperslab", np.array_equal(one["packed"][7:300:13, 40:60], other["packed"][7:300:13, 40:60]))
    for locking in ("true", "false", "best-effort"):
        with h5py.File(top / "images.h5", locking=locking) as file:
            check(f"S24: HDF5 with locking={locking}", file["raw"].shape == (60, 64, 64))
    data = [pyarrow.dataset.dataset(place / "table", format="parquet") for place in (source, top)]
    want = [d.to_table(filter=(pyarrow.dataset.field("x") > 1) & (pyarrow.dataset.field("id") < 12000), columns=["id", "x"]) for d in data]
    check("S24: a Parquet dataset, filtered", want[0].equals(want[1]) and want[0].num_rows > 0)
    with pa.memory_map(str(top / "table/2.parquet")) as mapped:
        check("S24: Parquet, mapped into memory", pq.read_table(mapped).equals(pq.read_table(source / "table/2.parquet")))
    one, other = load_file(source / "model.safetensors"), load_file(top / "model.safetensors")
    check("S24: safetensors", one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one))
    with safe_open(top / "model.safetensors", framework="np") as file:
        check("S24: safetensors, a slice of one tensor", np.array_equal(file.get_slice("layer3")[5:9, ::2], one["layer3"][5:9, ::2]))

    def samples(place):
        shards = [f"{place}/shard-{n}.tar" for n in range(3)]
        return {s["__key__"]: (s["cls"], s["bin"]) for s in webdataset.WebDataset(shards, shardshuffle=False)}
    one, other = samples(source), samples(top)
    check(f"S24: WebDataset, {SAMPLES} samples of three shards", one == other and len(one) == SAMPLES, len(other))
    names = [os.path.relpath(os.path.join(folder, name), source) for folder, _, found in os.walk(source) for name in found]
    random.Random(2).shuffle(names)
    wanted = worker((str(source), names))
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(4) as pool:
            got = pool.map(worker, [(str(top), names[n::4]) for n in range(4)])
        check(f"S24: four processes by {method}, each its part in shuffled order", got == [wanted[n::4] for n in range(4)])


def main() -> int:
    rng = np.random.default_rng(seed())
    with lab("mount-tools") as (base, vault):
        source = base / "source"
        make(source, rng)
        upload(vault, {str(path.relative_to(source)): path.read_bytes() for path in source.rglob("*") if path.is_file()})
        version = publish(vault)
        mount = Mount(vault, version, base / "data").start()
        commands(source, mount.directory, base)
        formats(source, mount.directory)
        check("S24: all of it without an error in the mount", (mount.directory / ".kluis/errors").read_text() == "")
        check("S24: what was mapped is let go of: it unmounts in order", mount.stop() == 0)
    return done()


if __name__ == "__main__":  # processes by spawn import this file
    sys.exit(main())
