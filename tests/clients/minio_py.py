"""minio-py: streaming signatures, its own multipart engine, its own presigner."""

import io
from datetime import timedelta

from lib import *
from minio import Minio
from minio.commonconfig import REPLACE, CopySource
from minio.deleteobjects import DeleteObject


def client(who: Identity, secret: str | None = None) -> Minio:
    return Minio(who.host, access_key=who.key, secret_key=secret or who.secret, region=who.region, secure=who.secure)


mc, BUCKET = client(OWNER), OWNER.bucket


def get(key: str, **more) -> bytes:
    answer = mc.get_object(BUCKET, PREFIX + key, **more)
    try:
        return answer.read()
    finally:
        answer.close()
        answer.release_conn()


def put(key: str, body: bytes, **more):
    return mc.put_object(BUCKET, PREFIX + key, io.BytesIO(body), len(body), **more)


@check("small and empty objects with metadata")
def _():
    put("small", SMALL.read_bytes(), metadata={"colour": "blue"}, content_type="text/x-sample")
    put("empty", b"")
    equal((get("small"), get("empty")), (SMALL.read_bytes(), b""))
    stat = mc.stat_object(BUCKET, PREFIX + "small")
    equal((stat.size, stat.metadata["x-amz-meta-colour"], stat.content_type), (5120, "blue", "text/x-sample"))


@check("40 MiB of known length, and of unknown length")
def _():
    mc.fput_object(BUCKET, PREFIX + "large", str(LARGE), part_size=PART_BYTES)
    mc.fget_object(BUCKET, PREFIX + "large", str(SCRATCH / "large"))
    equal(sha256(SCRATCH / "large"), sha256(LARGE))
    with LARGE.open("rb") as stream:
        mc.put_object(BUCKET, PREFIX + "stream", stream, -1, part_size=PART_BYTES)
    equal(sha256(get("stream")), sha256(LARGE))


@check("ranges")
def _():
    data = LARGE.read_bytes()
    for first, last in RANGES:
        equal(get("large", offset=first, length=last - first + 1), data[first : last + 1], (first, last))


@check("unusual keys")
def _():
    for key in UNUSUAL_KEYS:
        if not key.endswith("/"):
            put("odd/" + key, key.encode())
            equal(get("odd/" + key), key.encode(), key)
    listed = {entry.object_name for entry in mc.list_objects(BUCKET, PREFIX + "odd/", recursive=True)}
    equal(listed, {PREFIX + "odd/" + key for key in UNUSUAL_KEYS if not key.endswith("/")})


@check("list with a delimiter")
def _():
    entries = {entry.object_name: entry for entry in mc.list_objects(BUCKET, PREFIX)}
    equal(entries[PREFIX + "odd/"].is_dir, True)
    equal((entries[PREFIX + "large"].size, entries[PREFIX + "empty"].size), (40 << 20, 0))
    equal(entries[PREFIX + "large"].etag, mc.stat_object(BUCKET, PREFIX + "large").etag)


@check("copy, and compose from ranges")
def _():
    mc.copy_object(BUCKET, PREFIX + "copy", CopySource(BUCKET, PREFIX + "small"), metadata={"colour": "red"},
                   metadata_directive=REPLACE)
    equal(get("copy"), SMALL.read_bytes())
    equal(mc.stat_object(BUCKET, PREFIX + "copy").metadata["x-amz-meta-colour"], "red")


@check("presigned GET and PUT")
def _():
    equal(fetch(mc.presigned_put_object(BUCKET, PREFIX + "by-url", timedelta(minutes=1)), "PUT", b"by url")[0], 200)
    equal(fetch(mc.presigned_get_object(BUCKET, PREFIX + "by-url", timedelta(minutes=1))), (200, b"by url"))


@check("wrong secret, absent key")
def _():
    refused(lambda: client(OWNER, "x" * 40).stat_object(BUCKET, PREFIX + "small"), "SignatureDoesNotMatch", "AccessDenied")
    refused(lambda: get("absent"), "NoSuchKey")


@check("the job cannot write, the stranger cannot read", when=JOB and STRANGER)
def _():
    refused(lambda: client(JOB).put_object(BUCKET, PREFIX + "small", io.BytesIO(b"x"), 1), "AccessDenied")
    refused(lambda: client(STRANGER).get_object(BUCKET, PREFIX + "small"), "AccessDenied")


@check("delete many")
def _():
    found = [DeleteObject(e.object_name) for e in mc.list_objects(BUCKET, PREFIX, recursive=True)]
    equal(list(mc.remove_objects(BUCKET, found)), [])
    equal(list(mc.list_objects(BUCKET, PREFIX, recursive=True)), [])


done()
