"""fsspec's s3fs, below pandas, dask, zarr and xarray: aiobotocore, files over ranged reads, exclusive creation."""

import numpy as np
import s3fs
import zarr
from lib import *
from zarr.storage import FsspecStore


def client(who: Identity, secret: str | None = None, **more) -> s3fs.S3FileSystem:
    return s3fs.S3FileSystem(
        key=who.key, secret=secret or who.secret, endpoint_url=who.endpoint, skip_instance_cache=True,
        client_kwargs={"region_name": who.region}, use_listings_cache=False,
        config_kwargs={"s3": {"addressing_style": "path"}, "retries": {"total_max_attempts": 2}}, **more,
    )


fs, ROOT = client(OWNER), f"{OWNER.bucket}/{PREFIX}"


@check("small and empty, whole and in part")
def _():
    fs.pipe(ROOT + "small", SMALL.read_bytes())
    fs.pipe(ROOT + "empty", b"")
    equal((fs.cat(ROOT + "small"), fs.cat(ROOT + "empty")), (SMALL.read_bytes(), b""))
    equal(fs.cat_file(ROOT + "small", start=10, end=20), SMALL.read_bytes()[10:20])
    equal(fs.cat_file(ROOT + "small", start=-7), SMALL.read_bytes()[-7:])


@check("40 MiB written as a file in parts, read by seeking")
def _():
    data = LARGE.read_bytes()
    with fs.open(ROOT + "large", "wb", block_size=PART_BYTES) as file:
        file.write(data)
    with fs.open(ROOT + "large", "rb", block_size=1 << 20) as file:
        for first, last in RANGES:
            file.seek(first)
            equal(file.read(last - first + 1), data[first : last + 1], (first, last))
    equal(sha256(fs.cat(ROOT + "large")), sha256(LARGE))


@check("unusual keys")
def _():
    for key in UNUSUAL_KEYS:
        if not key.endswith("/") and "//" not in key:  # fsspec strips these itself
            fs.pipe(f"{ROOT}odd/{key}", key.encode())
            equal(fs.cat(f"{ROOT}odd/{key}"), key.encode(), key)


@check("list, find, information, move")
def _():
    equal(fs.info(ROOT + "large")["size"], 40 << 20)
    fs.mv(ROOT + "small", ROOT + "deeper/moved")
    equal((fs.exists(ROOT + "deeper/moved"), fs.exists(ROOT + "small"), fs.isdir(ROOT + "deeper")), (True, False, True))
    names = [path.removeprefix(ROOT) for path in fs.ls(ROOT, detail=False)]
    equal(sorted(names), ["deeper", "empty", "large", "odd"])
    equal(fs.du(ROOT + "deeper"), 5120)


@check("a file created exclusively, once")
def _():
    with fs.open(ROOT + "once", "xb") as file:
        file.write(b"first")

    def again():
        with fs.open(ROOT + "once", "xb") as file:
            file.write(b"second")

    refused(again, "FileExists", "412", "Precondition", "Errno 22")
    equal(fs.cat(ROOT + "once"), b"first")


@check("a zarr array, written by chunks and read back")
def _():
    store = FsspecStore(client(OWNER, asynchronous=True), path=ROOT + "array.zarr")
    values = np.arange(250_000, dtype="f4").reshape(500, 500)
    zarr.create_array(store=store, shape=values.shape, chunks=(100, 100), dtype="f4")[:] = values
    back = zarr.open_array(store=store, mode="r")
    equal(bool((back[:] == values).all()), True)
    equal(float(back[123, 456]), float(values[123, 456]))


@check("wrong secret, absent key")
def _():
    refused(lambda: client(OWNER, "x" * 40).cat(ROOT + "large"), "Permission", "403", "Forbidden")
    refused(lambda: fs.cat(ROOT + "absent"), "FileNotFound")


@check("the job cannot write, the stranger cannot read", when=JOB and STRANGER)
def _():
    equal(client(JOB).cat(ROOT + "once"), b"first")
    refused(lambda: client(JOB).pipe(ROOT + "once", b"x"), "Permission", "Denied", "Forbidden")
    refused(lambda: client(STRANGER).cat(ROOT + "once"), "Permission", "Denied", "Forbidden")


@check("remove all")
def _():
    fs.rm(ROOT, recursive=True)
    equal(fs.find(ROOT), [])


done()
