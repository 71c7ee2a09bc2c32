"""boto3 as it comes: a CRC32 trailer on every upload, checksum validation on every download."""

import time

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError
from lib import *

TRANSFER = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=4)


def client(who: Identity, **changes):
    return boto3.client(
        "s3", endpoint_url=who.endpoint, aws_access_key_id=who.key, region_name=who.region,
        aws_secret_access_key=changes.get("secret", who.secret),
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 2}, read_timeout=60),
    )


s3, BUCKET = client(OWNER), OWNER.bucket


def get(key: str, **more) -> bytes:
    return s3.get_object(Bucket=BUCKET, Key=PREFIX + key, **more)["Body"].read()


def put(key: str, body: bytes, **more) -> dict:
    return s3.put_object(Bucket=BUCKET, Key=PREFIX + key, Body=body, **more)


def keys(prefix: str, **more) -> list[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=PREFIX + prefix, **more)
    return [entry["Key"].removeprefix(PREFIX) for page in pages for entry in page.get("Contents", [])]


def status(action, *args, **kwargs) -> int:
    try:
        return action(*args, **kwargs)["ResponseMetadata"]["HTTPStatusCode"]
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"]


@check("small object with metadata and content headers")
def _():
    put("small", SMALL.read_bytes(), Metadata={"colour": "blue", "sample-id": "17"}, ContentType="text/x-sample",
        CacheControl="no-store", ContentDisposition="attachment", ContentLanguage="nl")
    answer = s3.get_object(Bucket=BUCKET, Key=PREFIX + "small")
    equal(answer["Body"].read(), SMALL.read_bytes())
    equal(answer["Metadata"], {"colour": "blue", "sample-id": "17"})
    equal(answer["ContentType"], "text/x-sample")
    equal((answer["CacheControl"], answer["ContentDisposition"], answer["ContentLanguage"]),
          ("no-store", "attachment", "nl"))


@check("empty object")
def _():
    put("empty", b"")
    equal(get("empty"), b"")
    equal(s3.head_object(Bucket=BUCKET, Key=PREFIX + "empty")["ContentLength"], 0)


@check("40 MiB in five parts, up and down")
def _():
    s3.upload_file(str(LARGE), BUCKET, PREFIX + "large", Config=TRANSFER)
    s3.download_file(BUCKET, PREFIX + "large", str(SCRATCH / "large"), Config=TRANSFER)
    equal(sha256(SCRATCH / "large"), sha256(LARGE))


@check("sizes around a segment of 64 KiB")
def _():
    data = LARGE.read_bytes()
    for size in (1, 65535, 65536, 65537, 131072, 131073):
        put("edge", data[:size])
        equal(sha256(get("edge")), sha256(data[:size]), size)


@check("ranges, open, suffix and beyond the end")
def _():
    data = LARGE.read_bytes()
    for first, last in RANGES:
        equal(get("large", Range=f"bytes={first}-{last}"), data[first : last + 1], (first, last))
    equal(get("large", Range="bytes=-9"), data[-9:])
    equal(get("large", Range="bytes=41943030-"), data[41943030:])
    equal(get("large", Range="bytes=41943030-99999999"), data[41943030:])
    answer = s3.get_object(Bucket=BUCKET, Key=PREFIX + "large", Range="bytes=65530-65550")
    equal(answer["ContentRange"], "bytes 65530-65550/41943040")
    equal(answer["ResponseMetadata"]["HTTPStatusCode"], 206)
    equal(status(s3.get_object, Bucket=BUCKET, Key=PREFIX + "large", Range="bytes=41943040-"), 416)


@check("a part by its number")
def _():
    equal(sha256(get("large", PartNumber=2)), sha256(LARGE.read_bytes()[PART_BYTES : 2 * PART_BYTES]))


@check("size, ETag and time are the same in LIST, HEAD and GET")
def _():
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=PREFIX)["Contents"]
    equal({entry["Key"].removeprefix(PREFIX) for entry in listed}, {"small", "empty", "large", "edge"})
    for entry in listed:
        head = s3.head_object(Bucket=BUCKET, Key=entry["Key"])
        answer = s3.get_object(Bucket=BUCKET, Key=entry["Key"])
        equal((head["ContentLength"], head["ETag"]), (entry["Size"], entry["ETag"]), entry["Key"])
        equal((answer["ContentLength"], answer["ETag"]), (entry["Size"], entry["ETag"]), entry["Key"])
        equal(head["LastModified"], answer["LastModified"], entry["Key"])
        equal(abs((head["LastModified"] - entry["LastModified"]).total_seconds()) < 1, True, "time in LIST")
        answer["Body"].close()


@check("the ETag is quoted, and of PUT and HEAD the same")
def _():
    etag = put("small", SMALL.read_bytes())["ETag"]
    equal((etag[0], etag[-1]), ('"', '"'))
    equal(s3.head_object(Bucket=BUCKET, Key=PREFIX + "small")["ETag"], etag)


@check("unusual keys, each alone and all in a list")
def _():
    for key in UNUSUAL_KEYS:
        put("odd/" + key, key.encode())
    for key in UNUSUAL_KEYS:
        equal(get("odd/" + key), key.encode(), key)
    listed = keys("odd/")
    equal(sorted(listed), sorted("odd/" + key for key in UNUSUAL_KEYS))
    equal(listed, sorted(listed, key=lambda key: key.encode()), "the order of UTF-8 bytes:")


@check("list with pages, delimiter and start-after")
def _():
    for i in range(25):
        put(f"tree/{'abcde'[i % 5]}/{i:02}", b"x")
    put("tree/top", b"x")
    equal(len(keys("tree/", PaginationConfig={"PageSize": 7})), 26)
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=BUCKET, Prefix=PREFIX + "tree/", Delimiter="/", PaginationConfig={"PageSize": 2})
    found = [p["Prefix"] for page in pages for p in page.get("CommonPrefixes", [])]
    equal(found, [f"{PREFIX}tree/{letter}/" for letter in "abcde"])
    after = s3.list_objects_v2(Bucket=BUCKET, Prefix=PREFIX + "tree/", StartAfter=PREFIX + "tree/e/19")
    equal([e["Key"].removeprefix(PREFIX) for e in after["Contents"]], ["tree/e/24", "tree/top"])
    one = s3.list_objects_v2(Bucket=BUCKET, Prefix=PREFIX + "tree/", MaxKeys=1)
    equal((one["KeyCount"], one["IsTruncated"]), (1, True))


@check("the first version of the listing, with markers")
def _():
    pages = s3.get_paginator("list_objects").paginate(
        Bucket=BUCKET, Prefix=PREFIX + "tree/", PaginationConfig={"PageSize": 7})
    equal(len([e for page in pages for e in page["Contents"]]), 26)


@check("copy, with and without new metadata, and of 40 MiB in parts")
def _():
    put("small", SMALL.read_bytes(), Metadata={"colour": "blue"})
    source = {"Bucket": BUCKET, "Key": PREFIX + "small"}
    s3.copy_object(Bucket=BUCKET, Key=PREFIX + "copy", CopySource=source)
    equal(s3.head_object(Bucket=BUCKET, Key=PREFIX + "copy")["Metadata"], {"colour": "blue"})
    s3.copy_object(Bucket=BUCKET, Key=PREFIX + "copy", CopySource=source, MetadataDirective="REPLACE",
                   Metadata={"colour": "red"})
    equal(s3.head_object(Bucket=BUCKET, Key=PREFIX + "copy")["Metadata"], {"colour": "red"})
    equal(get("copy"), SMALL.read_bytes())
    s3.copy({"Bucket": BUCKET, "Key": PREFIX + "large"}, BUCKET, PREFIX + "large-copy", Config=TRANSFER)
    equal(sha256(get("large-copy")), sha256(LARGE))


@check("a copy from an unusual key")
def _():
    for key in ("with space", "ünï/cödé-日本語", "plus+sign", "per%cent%20"):
        s3.copy_object(Bucket=BUCKET, Key=PREFIX + "odd-copy", CopySource={"Bucket": BUCKET, "Key": PREFIX + "odd/" + key})
        equal(get("odd-copy"), key.encode(), key)


@check("a range of an object as a part")
def _():
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key=PREFIX + "spliced")["UploadId"]
    made = dict(Bucket=BUCKET, Key=PREFIX + "spliced", UploadId=upload)
    ranges = [(100, 100 + (6 << 20)), (65530, 65550)]
    parts = []
    for number, (first, last) in enumerate(ranges, 1):
        part = s3.upload_part_copy(**made, PartNumber=number, CopySourceRange=f"bytes={first}-{last}",
                                   CopySource={"Bucket": BUCKET, "Key": PREFIX + "large"})
        parts.append({"PartNumber": number, "ETag": part["CopyPartResult"]["ETag"]})
    s3.complete_multipart_upload(**made, MultipartUpload={"Parts": parts})
    data = LARGE.read_bytes()
    equal(sha256(get("spliced")), sha256(b"".join(data[a : b + 1] for a, b in ranges)))


@check("multipart by hand: parts out of order, one repeated, listed, one left out; then another aborted")
def _():
    data = LARGE.read_bytes()
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key=PREFIX + "by-hand", Metadata={"by": "hand"})["UploadId"]
    made = dict(Bucket=BUCKET, Key=PREFIX + "by-hand", UploadId=upload)
    tags = {}
    for number, body in ((3, data[:100]), (1, data[: 5 << 20]), (2, b"left out" * 700000), (1, data[1 : (5 << 20) + 1])):
        tags[number] = s3.upload_part(**made, PartNumber=number, Body=body)["ETag"]
    listed = s3.list_parts(**made)["Parts"]
    equal([(p["PartNumber"], p["Size"], p["ETag"]) for p in listed],
          [(1, 5 << 20, tags[1]), (2, 5600000, tags[2]), (3, 100, tags[3])])
    uploads = s3.list_multipart_uploads(Bucket=BUCKET, Prefix=PREFIX)["Uploads"]
    equal([u["UploadId"] for u in uploads], [upload])
    equal("by-hand" in keys(""), False, "visible before it is complete:")
    s3.complete_multipart_upload(
        **made, MultipartUpload={"Parts": [{"PartNumber": n, "ETag": tags[n]} for n in (1, 3)]})
    equal(sha256(get("by-hand")), sha256(data[1 : (5 << 20) + 1] + data[:100]))
    equal(s3.head_object(Bucket=BUCKET, Key=PREFIX + "by-hand")["Metadata"], {"by": "hand"})
    other = s3.create_multipart_upload(Bucket=BUCKET, Key=PREFIX + "aborted")["UploadId"]
    s3.upload_part(Bucket=BUCKET, Key=PREFIX + "aborted", UploadId=other, PartNumber=1, Body=b"x")
    s3.abort_multipart_upload(Bucket=BUCKET, Key=PREFIX + "aborted", UploadId=other)
    equal(status(s3.list_parts, Bucket=BUCKET, Key=PREFIX + "aborted", UploadId=other), 404)
    equal("aborted" in keys(""), False)


@check("every checksum that boto3 can send, kept and given back")
def _():
    for name in ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"):
        sent = put("summed", SMALL.read_bytes(), ChecksumAlgorithm=name)[f"Checksum{name}"]
        head = s3.head_object(Bucket=BUCKET, Key=PREFIX + "summed", ChecksumMode="ENABLED")
        equal(head.get(f"Checksum{name}"), sent, name)
        equal(get("summed"), SMALL.read_bytes(), name)


@check("create once: If-None-Match")
def _():
    put("once", b"first", IfNoneMatch="*")
    equal(status(s3.put_object, Bucket=BUCKET, Key=PREFIX + "once", Body=b"second", IfNoneMatch="*"), 412)
    equal(get("once"), b"first")


@check("compare and set: If-Match")
def _():
    first = put("cas", b"1")["ETag"]
    put("cas", b"2", IfMatch=first)
    equal(status(s3.put_object, Bucket=BUCKET, Key=PREFIX + "cas", Body=b"3", IfMatch=first), 412)
    equal(get("cas"), b"2")


@check("conditional reads")
def _():
    head = s3.head_object(Bucket=BUCKET, Key=PREFIX + "small")
    this = dict(Bucket=BUCKET, Key=PREFIX + "small")
    equal(status(s3.get_object, **this, IfNoneMatch=head["ETag"]), 304)
    equal(status(s3.get_object, **this, IfMatch='"00000000000000000000000000000000"'), 412)
    equal(status(s3.get_object, **this, IfMatch=head["ETag"]), 200)
    equal(status(s3.get_object, **this, IfModifiedSince=head["LastModified"]), 304)
    equal(status(s3.get_object, **this, IfUnmodifiedSince=head["LastModified"]), 200)


@check("presigned GET with response headers, and presigned PUT")
def _():
    url = s3.generate_presigned_url("get_object", ExpiresIn=60, Params={
        "Bucket": BUCKET, "Key": PREFIX + "small", "ResponseContentType": "text/x-other"})
    equal(fetch(url), (200, SMALL.read_bytes()))
    url = s3.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": PREFIX + "by-url"}, ExpiresIn=60)
    equal(fetch(url, "PUT", b"through a URL")[0], 200)
    equal(get("by-url"), b"through a URL")


@check("a presigned URL that has expired is refused")
def _():
    url = s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": PREFIX + "small"}, ExpiresIn=1)
    time.sleep(2.5)
    equal(fetch(url)[0], 403)


@check("absent keys and buckets, wrong secret")
def _():
    refused(lambda: get("absent"), "NoSuchKey")
    equal(status(s3.head_object, Bucket=BUCKET, Key=PREFIX + "absent"), 404)
    equal(status(client(OWNER, secret="x" * 40).get_object, Bucket=BUCKET, Key=PREFIX + "small"), 403)
    equal(status(s3.head_bucket, Bucket=BUCKET), 200)
    equal(BUCKET in [b["Name"] for b in s3.list_buckets()["Buckets"]], True, "the bucket in ListBuckets:")
    s3.get_bucket_location(Bucket=BUCKET)


@check("the job reads and lists, and writes nothing", when=JOB)
def _():
    job, this = client(JOB), dict(Bucket=BUCKET, Key=PREFIX + "small")
    equal(job.get_object(**this)["Body"].read(), SMALL.read_bytes())
    equal(status(job.head_object, **this), 200)
    equal(job.list_objects_v2(Bucket=BUCKET, Prefix=PREFIX)["KeyCount"] > 0, True)
    equal(status(job.put_object, **this, Body=b"changed"), 403)
    equal(status(job.put_object, Bucket=BUCKET, Key=PREFIX + "new", Body=b"new"), 403)
    equal(status(job.delete_object, **this), 403)
    equal(status(job.create_multipart_upload, Bucket=BUCKET, Key=PREFIX + "new"), 403)
    equal(status(job.copy_object, Bucket=BUCKET, Key=PREFIX + "new", CopySource={"Bucket": BUCKET, "Key": PREFIX + "small"}), 403)
    equal(get("small"), SMALL.read_bytes())


@check("the stranger is refused everything", when=STRANGER)
def _():
    stranger, this = client(STRANGER), dict(Bucket=BUCKET, Key=PREFIX + "small")
    for action, more in (("get_object", this), ("head_object", this), ("delete_object", this),
                         ("put_object", dict(this, Body=b"x")), ("list_objects_v2", dict(Bucket=BUCKET)),
                         ("get_object", dict(Bucket=BUCKET, Key=PREFIX + "absent")),
                         ("create_multipart_upload", this)):
        equal(status(getattr(stranger, action), **more), 403, action)
    if status(stranger.list_buckets) == 200:
        equal(BUCKET in [b["Name"] for b in stranger.list_buckets()["Buckets"]], False, "the bucket in ListBuckets:")
    equal(get("small"), SMALL.read_bytes())


@check("the auditor gets no data", when=identity("auditor"))
def _():
    auditor = client(identity("auditor"))
    equal(status(auditor.get_object, Bucket=BUCKET, Key=PREFIX + "small"), 403)
    equal(status(auditor.put_object, Bucket=BUCKET, Key=PREFIX + "small", Body=b"x"), 403)


@check("delete one, again, and all the rest in one request")
def _():
    equal(status(s3.delete_object, Bucket=BUCKET, Key=PREFIX + "small"), 204)
    equal(status(s3.delete_object, Bucket=BUCKET, Key=PREFIX + "small"), 204)
    left = keys("")
    answer = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": PREFIX + key} for key in left]})
    equal(answer.get("Errors"), None)
    equal(sorted(entry["Key"].removeprefix(PREFIX) for entry in answer["Deleted"]), sorted(left))
    equal(keys(""), [])


done()
