"""boto3 on a bucket that keeps versions: made, listed, read, copied, tagged, deleted and brought back by version."""

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from lib import *


def client(who: Identity):
    return boto3.client(
        "s3", endpoint_url=who.endpoint, aws_access_key_id=who.key, region_name=who.region,
        aws_secret_access_key=who.secret, config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 2}),
    )


s3, BUCKET = client(OWNER), f"versions-{uuid.uuid4().hex[:8]}"
made: dict[str, list[str]] = {}


def put(key: str, body: bytes, **more) -> str:
    version = s3.put_object(Bucket=BUCKET, Key=key, Body=body, **more)["VersionId"]
    made.setdefault(key, []).append(version)
    return version


def get(key: str, **more) -> bytes:
    return s3.get_object(Bucket=BUCKET, Key=key, **more)["Body"].read()


def status(action, **asked) -> int:
    try:
        return action(Bucket=BUCKET, **asked)["ResponseMetadata"]["HTTPStatusCode"]
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"]


def listed(page_size: int = 1000, **more) -> list[tuple[str, str, bool, bool]]:
    """Key, version, whether it is the latest, whether it is a delete marker; in the order of key and of age."""
    pages = s3.get_paginator("list_object_versions").paginate(
        Bucket=BUCKET, PaginationConfig={"PageSize": page_size}, **more)
    found = []
    for page in pages:
        both = [(entry, False) for entry in page.get("Versions", [])] + [(entry, True) for entry in page.get("DeleteMarkers", [])]
        found += [(entry["Key"], entry["VersionId"], entry["IsLatest"], marker) for entry, marker in both]
    return found


@check("a bucket, and versioning enabled")
def _():
    s3.create_bucket(Bucket=BUCKET)
    equal(s3.get_bucket_versioning(Bucket=BUCKET).get("Status"), None)
    s3.put_object(Bucket=BUCKET, Key="before", Body=b"before")
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    equal(s3.get_bucket_versioning(Bucket=BUCKET)["Status"], "Enabled")
    equal(listed(), [("before", "null", True, False)])


@check("what is overwritten stays, and is read by its version")
def _():
    for body in (b"one", b"two", b"three"):
        put("key", body)
    equal(len(set(made["key"])), 3)
    equal(get("key"), b"three")
    equal([get("key", VersionId=version) for version in made["key"]], [b"one", b"two", b"three"])
    head = s3.head_object(Bucket=BUCKET, Key="key", VersionId=made["key"][0])
    equal((head["ContentLength"], head["VersionId"]), (3, made["key"][0]))
    equal([(v, latest) for _, v, latest, _ in listed(Prefix="key")],
          [(made["key"][2], True), (made["key"][1], False), (made["key"][0], False)])


@check("a delete puts a marker on top, whose removal brings the object back")
def _():
    marker = s3.delete_object(Bucket=BUCKET, Key="key")
    equal(marker["DeleteMarker"], True)
    equal(status(s3.get_object, Key="key"), 404)
    equal(status(s3.get_object, Key="key", VersionId=marker["VersionId"]), 405)
    equal([(v, latest, is_marker) for _, v, latest, is_marker in listed(Prefix="key")][-1], (marker["VersionId"], True, True))
    equal([entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])], ["before"])
    s3.delete_object(Bucket=BUCKET, Key="key", VersionId=marker["VersionId"])
    equal(get("key"), b"three")


@check("a version copied on top, and one deleted for good")
def _():
    copied = s3.copy_object(Bucket=BUCKET, Key="key", CopySource={"Bucket": BUCKET, "Key": "key", "VersionId": made["key"][0]})
    equal((get("key"), copied["CopySourceVersionId"]), (b"one", made["key"][0]))
    s3.delete_object(Bucket=BUCKET, Key="key", VersionId=made["key"][1])
    equal(status(s3.get_object, Key="key", VersionId=made["key"][1]), 404)
    equal(get("key", VersionId=made["key"][2]), b"three")


@check("tags of one version")
def _():
    tags = {"TagSet": [{"Key": "site", "Value": "A"}]}
    s3.put_object_tagging(Bucket=BUCKET, Key="key", VersionId=made["key"][0], Tagging=tags)
    equal(s3.get_object_tagging(Bucket=BUCKET, Key="key", VersionId=made["key"][0])["TagSet"], tags["TagSet"])
    equal(s3.get_object_tagging(Bucket=BUCKET, Key="key")["TagSet"], [])


@check("versions of many keys, in pages of every size")
def _():
    for i in range(4):
        for key in ("many/a", "many/b", "many/deep/c"):
            put(key, b"%d" % i)
    s3.delete_object(Bucket=BUCKET, Key="many/b")
    want = sorted(listed(Prefix="many/"))
    equal(len(want), 13)
    for size in (1, 2, 3, 5, 12, 13):
        equal(sorted(listed(size, Prefix="many/")), want, f"pages of {size}:")
    folded = s3.list_object_versions(Bucket=BUCKET, Prefix="many/", Delimiter="/")
    equal([entry["Prefix"] for entry in folded["CommonPrefixes"]], ["many/deep/"])


@check("a multipart upload is a version, too")
def _():
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="parts")["UploadId"]
    part = s3.upload_part(Bucket=BUCKET, Key="parts", UploadId=upload, PartNumber=1, Body=b"part")
    done_ = s3.complete_multipart_upload(Bucket=BUCKET, Key="parts", UploadId=upload, MultipartUpload={
        "Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    equal(get("parts", VersionId=done_["VersionId"]), b"part")


@check("suspended: writes replace the version null alone")
def _():
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"})
    for body in (b"four", b"five"):
        s3.put_object(Bucket=BUCKET, Key="key", Body=body)
    equal((get("key"), get("key", VersionId="null")), (b"five", b"five"))
    equal(sum(v == "null" for _, v, _, _ in listed(Prefix="key")), 1)
    equal(get("key", VersionId=made["key"][0]), b"one")


@check("a bucket with nothing but old versions is not empty; then all versions deleted, and the bucket")
def _():
    equal(status(s3.delete_bucket), 409)
    gone = [{"Key": key, "VersionId": version} for key, version, _, _ in listed()]
    equal(s3.delete_objects(Bucket=BUCKET, Delete={"Objects": gone}).get("Errors"), None)
    equal(listed(), [])
    s3.delete_bucket(Bucket=BUCKET)


done()
