"""TensorStore: Google's arrays over S3, whose driver swaps manifests with If-Match and If-None-Match."""

import threading

import numpy as np
import tensorstore as ts
from lib import *

os.environ.update(AWS_ACCESS_KEY_ID=OWNER.key, AWS_SECRET_ACCESS_KEY=OWNER.secret)


def store(path: str) -> dict:
    return {"driver": "s3", "bucket": OWNER.bucket, "endpoint": OWNER.endpoint, "aws_region": OWNER.region,
            "path": f"{PREFIX}{path}/", "aws_credentials": {"type": "environment"}}


VALUES = np.arange(600 * 400, dtype=np.float32).reshape(600, 400)


@check("a zarr 3 array, written by chunks and read back")
def _():
    array = ts.open({"driver": "zarr3", "kvstore": store("array"), "metadata": {
        "shape": list(VALUES.shape), "data_type": "float32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [100, 100]}}}}, create=True).result()
    array.write(VALUES).result()
    back = ts.open({"driver": "zarr3", "kvstore": store("array")}).result()
    equal(bool((back.read().result() == VALUES).all()), True)
    equal(bool((back[123:222, 50:333].read().result() == VALUES[123:222, 50:333]).all()), True)


@check("keys: written, read by ranges, listed, deleted")
def _():
    kv = ts.KvStore.open(store("keys")).result()
    for name in ("a", "b/c", "b/d"):
        kv.write(name, name.encode() * 100).result()
    equal(kv.read("b/c").result().value, b"b/c" * 100)
    equal(sorted(kv.list().result()), [b"a", b"b/c", b"b/d"])
    kv.delete_range(ts.KvStore.KeyRange("b/", "b0")).result()
    equal(kv.list().result(), [b"a"])


@check("OCDBT: eight threads commit to one manifest, and no commit is lost")
def _():
    spec = {"driver": "ocdbt", "base": store("database")}

    def commit(number: int) -> None:
        kv = ts.KvStore.open(spec, context=ts.Context({"cache_pool": {"total_bytes_limit": 0}})).result()
        for turn in range(4):
            kv.write(f"{number}/{turn}", b"%d" % turn).result()

    threads = [threading.Thread(target=commit, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kv = ts.KvStore.open(spec, context=ts.Context()).result()
    equal(sorted(kv.list().result()), sorted(f"{n}/{t}".encode() for n in range(8) for t in range(4)))


@check("remove all")
def _():
    kv = ts.KvStore.open({**store(""), "path": PREFIX}).result()
    kv.delete_range(ts.KvStore.KeyRange("", "")).result()
    equal(kv.list().result(), [])


done()
