"""Who is it? Every way to be nobody, somebody else, or somebody of yesterday."""

import base64
import collections
import concurrent.futures
import hashlib
import hmac
import json
import os
import pathlib
import re
import time
from dataclasses import replace
from email.utils import formatdate

from common import *
from wire import FROM, UNSIGNED, Signer, encode, exchange, now, path_of, query_of

put("target")
PATH = path_of(BUCKET, PREFIX + "target")
WEEK_S = 7 * 24 * 3600


def presigned(method: str, key: str, expires_s: int = 60, signer=None, unsigned=None, body: bytes = b"", **more) -> Answer:
    target = (signer or Signer(OWNER)).presign(method, path_of(BUCKET, PREFIX + key), expires_s, **more)
    headers = {"content-length": str(len(body)), **(more.get("headers") or {}), **(unsigned or {})}
    return exchange(OWNER, method, target, headers, [body])


@check("a right signature is accepted (or nothing below means anything)")
def _():
    is_old("target")
    equal(presigned("GET", "target").body, OLD)
    equal(presigned("PUT", "by-url", body=b"x").status, 200)


@check("anonymous: GET, HEAD, PUT, DELETE, LIST, ListBuckets, POST")
def _():
    for method, target in (("GET", PATH), ("HEAD", PATH), ("PUT", PATH), ("DELETE", PATH), ("GET", f"/{BUCKET}"),
                           ("GET", "/"), ("POST", f"/{BUCKET}?delete"), ("POST", f"{PATH}?uploads"), ("PUT", "/new--bucket")):
        refused(exchange(OWNER, method, target, {"content-length": "0"}), 403)
    is_old("target")


@check("a wrong secret, an unknown key, another's key")
def _():
    for who in (replace(OWNER, secret="x" * 40), replace(OWNER, key="KLUISUNKNOWN00000001"), replace(OWNER, key=""),
                replace(STRANGER, secret=OWNER.secret) if STRANGER else replace(OWNER, secret="y")):
        refused(request(who, "GET", BUCKET, PREFIX + "target"), 400, 403)


@check("an unknown key and a wrong secret look alike")
def _():
    answers = [request(who, "GET", BUCKET, PREFIX + "target")
               for who in (replace(OWNER, secret="x" * 40), replace(OWNER, key="KLUISUNKNOWN00000001"))]
    equal(answers[0].status, answers[1].status)


@check("a signature with one bit changed, cut, empty, upper case, twice")
def _():
    right = Signer(OWNER).headers("GET", PATH, [], {}, UNSIGNED)
    start, signature = right["authorization"].rsplit("=", 1)
    flipped = format(int(signature[0], 16) ^ 1, "x") + signature[1:]
    for wrong in (flipped, signature[:-1], "", signature + "0", "0" * 64, signature[:32]):
        refused(exchange(OWNER, "GET", PATH, {**right, "authorization": f"{start}={wrong}"}), 400, 403)


@check("a malformed Authorization header")
def _():
    right = Signer(OWNER).headers("GET", PATH, [], {}, UNSIGNED)
    value = right["authorization"]
    for wrong in ("", "AWS4-HMAC-SHA256", "Bearer x", "Basic b3duZXI6eA==", value.replace("SignedHeaders", "Signed"),
                  value.replace("/s3/", "/ec2/"), value.replace("aws4_request", "aws4"), value.replace("Credential=", ""),
                  value.replace("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA512"), value + ", Signature=" + "0" * 64, "A" * 5000):
        refused(exchange(OWNER, "GET", PATH, {**right, "authorization": wrong}), 400, 403, 501)


@check("a signature for another method, path, query, header value")
def _():
    right = Signer(OWNER).headers("GET", PATH, [], {"range": "bytes=0-1"}, UNSIGNED)
    for method, target, more in (("DELETE", PATH, {}), ("GET", PATH + "x", {}), ("GET", PATH + "?versionId=1", {}),
                                 ("GET", PATH, {"range": "bytes=0-9"}), ("HEAD", PATH, {})):
        refused(exchange(OWNER, method, target, {**right, **more}), 403)
    is_old("target")


@check("a clock 16 minutes off, either way; 14 minutes is let through")
def _():
    for skew_s in (-16 * 60, 16 * 60, -86400, 86400):
        refused(request(OWNER, "GET", BUCKET, PREFIX + "target", signer=Signer(OWNER, now(skew_s))), 403)
    for skew_s in (-14 * 60, 14 * 60):
        equal(request(OWNER, "GET", BUCKET, PREFIX + "target", signer=Signer(OWNER, now(skew_s))).status, 200)


@check("a date that is none")
def _():
    for date in ("20260101T000000", "99999999T999999Z", "x", ""):
        right = Signer(OWNER).headers("GET", PATH, [], {}, UNSIGNED)
        refused(exchange(OWNER, "GET", PATH, {**right, "x-amz-date": date}), 400, 403)


@check("a scope of another day than the date")
def _():
    signer = Signer(OWNER)
    signer.scope = "20200101" + signer.scope[8:]
    refused(request(OWNER, "GET", BUCKET, PREFIX + "target", signer=signer), 400, 403)


@check("headers that are not signed: host missing from the signed headers")
def _():
    signer = Signer(OWNER)
    signed = {"x-amz-date": signer.date, "x-amz-content-sha256": UNSIGNED}
    signature = signer.sign(signer.canonical("GET", PATH, "", signed, UNSIGNED))
    value = (f"AWS4-HMAC-SHA256 Credential={OWNER.key}/{signer.scope}, SignedHeaders={';'.join(sorted(signed))},"
             f" Signature={signature}")
    refused(exchange(OWNER, "GET", PATH, {**signed, "authorization": value}), 400, 403)


@check("presigned PUT that signs only host, with an unsigned x-amz-copy-source")
def _():
    put("secret", b"not for the holder of that URL")
    answer = presigned("PUT", "stolen", unsigned={"x-amz-copy-source": f"/{BUCKET}/{encode(PREFIX, '/')}secret"})
    refused(answer, 403)
    is_absent("stolen")


@check("presigned URL with other unsigned x-amz-* headers")
def _():
    for name, value in (("x-amz-meta-role", "admin"), ("x-amz-acl", "public-read"), ("x-amz-tagging", "a=b"),
                        ("x-amz-metadata-directive", "REPLACE"), ("x-amz-storage-class", "GLACIER"),
                        ("x-amz-copy-source-range", "bytes=0-1"), ("x-amz-website-redirect-location", "/x")):
        refused(presigned("PUT", "smuggled", unsigned={name: value}, body=b"x"), 403)
    is_absent("smuggled")


@check("an Authorization that leaves out x-amz-* headers which are sent")
def _():
    for name, value in (("x-amz-copy-source", f"/{BUCKET}/{encode(PREFIX, '/')}target"), ("x-amz-meta-role", "admin")):
        refused(request(OWNER, "PUT", BUCKET, PREFIX + "smuggled", unsigned={name: value}), 400, 403)
    is_absent("smuggled")


@check("presigned for ten years, for a second more than a week, for ever, for no time, for less")
def _():
    for expires_s in (10 * 365 * 86400, WEEK_S + 1, 2**63, 2**64, -1):
        refused(presigned("GET", "target", expires_s), 400)
    refused(presigned("GET", "target", 0), 400, 403)
    equal(presigned("GET", "target", WEEK_S).status, 200)


@check("presigned: expired, from the future, expiry changed, method changed")
def _():
    refused(presigned("GET", "target", 60, Signer(OWNER, now(-61))), 403)
    refused(presigned("GET", "target", 60, Signer(OWNER, now(16 * 60))), 403)
    target = Signer(OWNER).presign("GET", PATH, 60)
    refused(exchange(OWNER, "GET", target.replace("X-Amz-Expires=60", "X-Amz-Expires=600"), {}), 403)
    refused(exchange(OWNER, "DELETE", target, {}), 403)
    refused(exchange(OWNER, "GET", target + "&versionId=null", {}), 403)
    is_old("target")


@check("presigned: a parameter missing or given twice")
def _():
    target = Signer(OWNER).presign("GET", PATH, 60)
    start, query = target.split("?")
    pairs = query.split("&")
    for i in range(len(pairs)):
        refused(exchange(OWNER, "GET", f"{start}?{'&'.join(pairs[:i] + pairs[i + 1:])}", {}), 400, 403)
    refused(exchange(OWNER, "GET", target + "&X-Amz-Expires=604800", {}), 400, 403)


@check("both an Authorization header and a presigned URL")
def _():
    target = Signer(OWNER).presign("GET", PATH, 60)
    refused(exchange(OWNER, "GET", target, {"authorization": "AWS4-HMAC-SHA256 x"}), 400, 403)


@check("SigV2, in a header and in a URL")
def _():
    date = formatdate(usegmt=True)
    sign = lambda text: base64.b64encode(hmac.new(OWNER.secret.encode(), text.encode(), hashlib.sha1).digest()).decode()
    refused(exchange(OWNER, "GET", PATH, {"date": date, "authorization": f"AWS {OWNER.key}:{sign(f'GET{chr(10) * 3}{date}{chr(10)}{PATH}')}"}), 400, 403)
    query = query_of([("AWSAccessKeyId", OWNER.key), ("Expires", "4000000000"), ("Signature", sign(f"GET\n\n\n4000000000\n{PATH}"))])
    refused(exchange(OWNER, "GET", f"{PATH}?{query}", {}), 400, 403)


@check("a session token that nobody issued")
def _():
    refused(request(OWNER, "GET", BUCKET, PREFIX + "target", headers={"x-amz-security-token": "made up"}), 400, 403)


@check("a POST form upload without a policy")
def _():
    body = (b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\nposted\r\n'
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\nx\r\n--b--\r\n')
    headers = {"content-type": "multipart/form-data; boundary=b", "content-length": str(len(body))}
    refused(exchange(OWNER, "POST", f"/{BUCKET}", headers, [body]), 400, 403, 405, 501)


def resident_kib() -> int:
    """Of the server, where its process is known."""
    pid = os.environ.get("KLUIS_PID")
    if not pid:
        return 0
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


@check("credential stuffing: keys, secrets, tokens and statements by the thousand are refused, and the owner is served meanwhile")
def _():
    form = {"content-type": "application/x-www-form-urlencoded"}
    sts = "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn:aws:iam::kluis:role/kluis&RoleSessionName=ab&WebIdentityToken="

    def stuff(number: int) -> Answer:
        # A peer of its own: what fails is bounded for each.
        FROM.set(("127.0.0.9", 0))
        body = b""
        match number % 4:
            case 0:
                return request(replace(OWNER, secret=f"{number:040}"), "GET", BUCKET, PREFIX + "target")
            case 1:
                return request(replace(OWNER, key=f"KLUS{number:016}"), "GET", BUCKET, PREFIX + "target")
            case 2:
                body = f"{sts}eyJhbGciOiJFZERTQSJ9.e30.{number}".encode()
                return exchange(OWNER, "POST", "/", {**form, "content-length": str(len(body))}, [body])
            case _:
                body = json.dumps({"statement": f"a.b.{number}"}).encode()
                return exchange(OWNER, "POST", "/.kluis/v1/jobs/start", {"content-length": str(len(body))}, [body])

    before, slowest = resident_kib(), 0.0
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        tries = [pool.submit(stuff, number) for number in range(2_000)]
        while not all(one.done() for one in tries):
            begin = time.monotonic()
            is_old("target")
            slowest = max(slowest, time.monotonic() - begin)
    statuses = collections.Counter(one.result().status for one in tries)
    for one in tries:
        refused(one.result(), 400, 403, 503)
    assert statuses[503] > 500, f"tried as fast as one can: {statuses}"
    assert slowest < 5, f"the owner waited {slowest:.1f} s"
    grown = resident_kib() - before
    assert grown < 64 * 1024, f"{grown} KiB more, {statuses}"


done()
