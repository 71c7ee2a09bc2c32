"""boto3 on a bucket with Object Lock, with rules that delete, and with a page's forms and questions."""

import datetime
import re
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from lib import *

s3 = boto3.client(
    "s3", endpoint_url=OWNER.endpoint, aws_access_key_id=OWNER.key, region_name=OWNER.region, aws_secret_access_key=OWNER.secret,
    config=Config(s3={"addressing_style": "path"}, signature_version="s3v4", retries={"total_max_attempts": 2}),
)
BUCKET, PAGE = f"locks-{uuid.uuid4().hex[:8]}", "https://page.example"
SOON = datetime.datetime.now(datetime.UTC).replace(microsecond=0) + datetime.timedelta(minutes=5)


def code(action, **asked) -> str:
    try:
        action(Bucket=BUCKET, **asked)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return ""


def plain(method: str, url: str, body=None, **headers) -> tuple[int, dict]:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data=body, method=method, headers=headers)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}
    except urllib.error.HTTPError as error:
        return error.code, {name.lower(): value for name, value in error.headers.items()}


@check("a bucket with Object Lock, and what it gives by default")
def _():
    s3.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
    equal(s3.get_bucket_versioning(Bucket=BUCKET)["Status"], "Enabled")
    rule = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}}
    s3.put_object_lock_configuration(Bucket=BUCKET, ObjectLockConfiguration=rule)
    equal(s3.get_object_lock_configuration(Bucket=BUCKET)["ObjectLockConfiguration"], rule)
    version = s3.put_object(Bucket=BUCKET, Key="default", Body=b"x")["VersionId"]
    equal(s3.head_object(Bucket=BUCKET, Key="default")["ObjectLockMode"], "GOVERNANCE")
    equal(code(s3.delete_object, Key="default", VersionId=version), "AccessDenied")
    equal(code(s3.put_bucket_versioning, VersioningConfiguration={"Status": "Suspended"}), "InvalidBucketState")


@check("retention and legal hold: set, told, extended, not shortened")
def _():
    locked = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": SOON, "ObjectLockLegalHoldStatus": "ON"}
    version = s3.put_object(Bucket=BUCKET, Key="own", Body=b"x", **locked)["VersionId"]
    seen = s3.get_object(Bucket=BUCKET, Key="own")
    equal({name: seen[name] for name in locked}, locked)
    s3.put_object_legal_hold(Bucket=BUCKET, Key="own", LegalHold={"Status": "OFF"})
    equal(s3.get_object_legal_hold(Bucket=BUCKET, Key="own")["LegalHold"], {"Status": "OFF"})
    for until, said in ((SOON + datetime.timedelta(minutes=1), ""), (SOON, "AccessDenied")):
        retention = {"Mode": "COMPLIANCE", "RetainUntilDate": until}
        equal(code(s3.put_object_retention, Key="own", Retention=retention, BypassGovernanceRetention=True), said, str(until))
    doomed = {"Objects": [{"Key": "own", "VersionId": version}]}
    ends = s3.delete_objects(Bucket=BUCKET, Delete=doomed, BypassGovernanceRetention=True)
    equal([error["Code"] for error in ends["Errors"]], ["AccessDenied"])
    s3.delete_object(Bucket=BUCKET, Key="own")
    equal(s3.get_object(Bucket=BUCKET, Key="own", VersionId=version)["Body"].read(), b"x")


@check("a lifecycle is told as it was set, and removed")
def _():
    rules = [
        {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 30}},
        {"ID": "versions", "Status": "Disabled", "Filter": {"And": {"Prefix": "a", "Tags": [{"Key": "k", "Value": "v"}]}},
         "NoncurrentVersionExpiration": {"NoncurrentDays": 7, "NewerNoncurrentVersions": 2}},
        {"ID": "rest", "Status": "Enabled", "Filter": {"Prefix": ""}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 3},
         "Expiration": {"ExpiredObjectDeleteMarker": True}},
    ]
    s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": rules})
    equal(s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"], rules)
    made = s3.put_object(Bucket=BUCKET, Key="logs/told", Body=b"x", ObjectLockLegalHoldStatus="OFF")
    told = made.get("Expiration", "")
    found = re.fullmatch(r'expiry-date="(.+ 00:00:00 GMT)", rule-id="old"', told)
    equal(found is not None, True, told)
    ends = datetime.datetime.strptime(found[1], "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=datetime.UTC)
    equal((ends - datetime.datetime.now(datetime.UTC)).days, 30, told)
    for seen in (s3.head_object, s3.get_object):
        equal(seen(Bucket=BUCKET, Key="logs/told").get("Expiration"), told)
        equal(seen(Bucket=BUCKET, Key="logs/told", VersionId=made["VersionId"]).get("Expiration"), None)
        equal(seen(Bucket=BUCKET, Key="default").get("Expiration"), None)
    s3.delete_bucket_lifecycle(Bucket=BUCKET)
    equal(s3.head_object(Bucket=BUCKET, Key="logs/told").get("Expiration"), None)
    equal(code(s3.get_bucket_lifecycle_configuration), "NoSuchLifecycleConfiguration")


@check("parts keep their checksums, and a completion asked again is answered again")
def _():
    begun = s3.create_multipart_upload(Bucket=BUCKET, Key="parts", ChecksumAlgorithm="SHA256")
    asked = {"Bucket": BUCKET, "Key": "parts", "UploadId": begun["UploadId"]}
    parts = []
    for number, body in ((1, b"a" * 5_242_880), (2, b"b")):
        part = s3.upload_part(PartNumber=number, Body=body, ChecksumAlgorithm="SHA256", **asked)
        parts.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumSHA256": part["ChecksumSHA256"]})
    first = s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **asked)
    again = s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **asked)
    equal((again["ETag"], again["VersionId"]), (first["ETag"], first["VersionId"]))
    told = s3.get_object_attributes(Bucket=BUCKET, Key="parts", ObjectAttributes=["ObjectParts"])["ObjectParts"]["Parts"]
    equal([part["ChecksumSHA256"] for part in told], [part["ChecksumSHA256"] for part in parts])


@check("a page asks, reads, and uploads by a form")
def _():
    rule = {"AllowedMethods": ["GET", "POST"], "AllowedOrigins": [PAGE], "AllowedHeaders": ["*"], "ExposeHeaders": ["ETag"], "MaxAgeSeconds": 60}
    s3.put_bucket_cors(Bucket=BUCKET, CORSConfiguration={"CORSRules": [rule]})
    equal(s3.get_bucket_cors(Bucket=BUCKET)["CORSRules"], [rule])
    url = s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "default"})
    for origin, said in ((PAGE, (200, PAGE)), ("https://other.example", (403, None))):
        asked = plain("OPTIONS", url, origin=origin, access_control_request_method="GET", access_control_request_headers="range")
        equal((asked[0], asked[1].get("access-control-allow-origin")), said, origin)
    equal(plain("GET", url, origin=PAGE)[1].get("access-control-expose-headers"), "ETag")
    conditions = [["starts-with", "$Content-Type", "text/"], ["content-length-range", 1, 100]]
    form = s3.generate_presigned_post(BUCKET, "form/${filename}", {"Content-Type": "text/plain"}, conditions, 600)
    for body, kind, status in ((b"from a page", "text/plain", 204), (b"x" * 101, "text/plain", 400), (b"x", "image/png", 400)):
        mark = uuid.uuid4().hex
        fields = {**form["fields"], "Content-Type": kind}
        lines = [f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
        lines.append(f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="a b"\r\n\r\n')
        sent = "".join(lines).encode() + body + f"\r\n--{mark}--\r\n".encode()
        answer = plain("POST", form["url"], sent, content_type=f"multipart/form-data; boundary={mark}", origin=PAGE)
        equal((answer[0], answer[1].get("access-control-allow-origin")), (status, PAGE), f"{kind} {len(body)}")
        equal("etag" in answer[1], status == 204, f"ETag: {answer}")
    equal(s3.get_object(Bucket=BUCKET, Key="form/a b")["Body"].read(), b"from a page")
    s3.delete_bucket_cors(Bucket=BUCKET)
    equal(code(s3.get_bucket_cors), "NoSuchCORSConfiguration")


done()
