"""pyarrow's own S3 client (the AWS SDK for C++): streams, random access, partitioned Parquet."""

import pyarrow as pa
import pyarrow.dataset as ds
from lib import *
from pyarrow import fs


def client(who: Identity, secret: str | None = None) -> fs.S3FileSystem:
    return fs.S3FileSystem(
        access_key=who.key, secret_key=secret or who.secret, endpoint_override=who.host, region=who.region,
        scheme="https" if who.secure else "http", request_timeout=30, connect_timeout=5,
        retry_strategy=fs.AwsDefaultS3RetryStrategy(max_attempts=2),
    )


s3, ROOT = client(OWNER), f"{OWNER.bucket}/{PREFIX}"


def write(path: str, data: bytes, **more) -> None:
    with s3.open_output_stream(ROOT + path, **more) as stream:
        stream.write(data)


@check("streams: small, empty and 40 MiB")
def _():
    for name, sample in (("small", SMALL), ("empty", SAMPLES / "empty.bin"), ("large", LARGE)):
        write(name, sample.read_bytes(), metadata={"Content-Type": "text/x-sample"})
        equal(sha256(s3.open_input_stream(ROOT + name).read()), sha256(sample), name)


@check("random access")
def _():
    file, data = s3.open_input_file(ROOT + "large"), LARGE.read_bytes()
    equal(file.size(), 40 << 20)
    for first, last in RANGES:
        equal(file.read_at(last - first + 1, first), data[first : last + 1], (first, last))


@check("a partitioned Parquet dataset, read with a filter")
def _():
    rows = 200_000
    table = pa.table({"a": range(rows), "group": [i % 4 for i in range(rows)], "text": [f"row {i}" for i in range(rows)]})
    ds.write_dataset(table, ROOT + "parquet", format="parquet", partitioning=["group"], filesystem=s3)
    back = ds.dataset(ROOT + "parquet", filesystem=s3, format="parquet", partitioning=["group"])
    equal(back.count_rows(), rows)
    equal(back.to_table(filter=ds.field("a") < 10, columns=["a"]).num_rows, 10)


@check("list, information, copy, move")
def _():
    equal(s3.get_file_info(ROOT + "large").size, 40 << 20)
    equal(s3.get_file_info(ROOT + "absent").type, fs.FileType.NotFound)
    found = s3.get_file_info(fs.FileSelector(ROOT + "parquet", recursive=True))
    equal(len([entry for entry in found if entry.type == fs.FileType.File]), 4)
    s3.copy_file(ROOT + "small", ROOT + "copy")
    s3.move(ROOT + "copy", ROOT + "moved")
    equal(s3.open_input_stream(ROOT + "moved").read(), SMALL.read_bytes())


@check("wrong secret, absent key")
def _():
    refused(lambda: client(OWNER, "x" * 40).open_input_stream(ROOT + "small").read(), "SIGNATURE", "ACCESS_DENIED", "403")
    refused(lambda: s3.open_input_stream(ROOT + "absent").read(), "FileNotFound")


@check("the job cannot write, the stranger cannot read", when=JOB and STRANGER)
def _():
    def write_as_job():
        with client(JOB).open_output_stream(ROOT + "small") as stream:
            stream.write(b"x")

    equal(client(JOB).open_input_stream(ROOT + "small").read(), SMALL.read_bytes())
    refused(write_as_job, "ACCESS_DENIED", "403")
    refused(lambda: client(STRANGER).open_input_stream(ROOT + "small").read(), "ACCESS_DENIED", "403")


@check("delete a directory")
def _():
    s3.delete_dir_contents(ROOT.rstrip("/"))
    left = s3.get_file_info(fs.FileSelector(ROOT.rstrip("/"), recursive=True, allow_not_found=True))
    equal([entry.path for entry in left if entry.type == fs.FileType.File], [])


done()
