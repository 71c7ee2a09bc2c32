"""What a stranger can learn: nothing. What is absent and what is forbidden look alike."""

import re

from common import *
from wire import Answer

KNOWN, UNKNOWN = PREFIX + "known", PREFIX + "unknown"
put("known")
# The answer may repeat what the request said; a request's id and host id are its own.
OWN = [rb"<(RequestId|HostId|Resource|BucketName|Key|Bucket)>[^<]*</\1>"]
HEADERS_OWN = {"x-amz-request-id", "x-amz-id-2", "date"}


def face(answer: Answer) -> tuple:
    """All that an answer shows, but what names this one request."""
    body = answer.body
    for pattern in OWN:
        body = re.sub(pattern, rb"", body)
    headers = {name: value for name, value in answer.headers.items() if name not in HEADERS_OWN}
    headers.pop("content-length", None)
    return answer.status, headers, body


def alike(first: Answer, second: Answer, what: str) -> None:
    equal(face(first), face(second), what)
    equal(first.status, 403, what)


@check("known and unknown key: the same answer to a stranger", when=STRANGER)
def _():
    for method, query, body in (("GET", [], b""), ("HEAD", [], b""), ("PUT", [], b"x"), ("DELETE", [], b""),
                                ("POST", [("uploads", "")], b""), ("GET", [("tagging", "")], b""), ("GET", [("attributes", "")], b"")):
        headers = {"x-amz-object-attributes": "ETag"} if query == [("attributes", "")] else {}
        answers = [request(STRANGER, method, BUCKET, key, query, headers, body) for key in (KNOWN, UNKNOWN)]
        if answers[0].status == 501:
            equal(face(answers[0]), face(answers[1]), f"{method} {query}")
        else:
            alike(*answers, f"{method} {query}")
    is_old("known")


@check("known and unknown bucket: the same answer to a stranger", when=STRANGER)
def _():
    other = f"{BUCKET.split('--')[0]}--unknown"
    for unknown in (other, "unknown--unknown"):
        for method, query in (("GET", []), ("HEAD", []), ("GET", [("list-type", "2")]), ("GET", [("location", "")]),
                              ("DELETE", []), ("GET", [("uploads", "")])):
            alike(request(STRANGER, method, BUCKET, None, query), request(STRANGER, method, unknown, None, query),
                  f"{method} {unknown} {query}")
        alike(request(STRANGER, "GET", BUCKET, KNOWN), request(STRANGER, "GET", unknown, KNOWN), unknown)


@check("conditions and ranges tell a stranger nothing", when=STRANGER)
def _():
    etag = get("known").headers["etag"]
    for headers in ({"if-none-match": etag}, {"if-match": etag}, {"if-match": '"x"'}, {"range": "bytes=0-0"},
                    {"range": "bytes=999999-"}, {"if-modified-since": "Thu, 01 Jan 2099 00:00:00 GMT"}):
        alike(request(STRANGER, "GET", BUCKET, KNOWN, headers=headers), request(STRANGER, "GET", BUCKET, UNKNOWN, headers=headers),
              str(headers))
    for headers in ({"if-none-match": "*"}, {"if-match": etag}):
        alike(request(STRANGER, "PUT", BUCKET, KNOWN, headers=headers, body=b"x"),
              request(STRANGER, "PUT", BUCKET, UNKNOWN, headers=headers, body=b"x"), str(headers))
    is_old("known")


@check("a bucket that exists cannot be found out by creating it", when=STRANGER)
def _():
    alike(request(STRANGER, "PUT", BUCKET), request(STRANGER, "PUT", "unknown--unknown"), "PUT bucket")


@check("the job: its writes look alike, whether the key is there or not", when=JOB)
def _():
    for method, body in (("PUT", b"x"), ("DELETE", b"")):
        alike(request(JOB, method, BUCKET, KNOWN, body=body), request(JOB, method, BUCKET, UNKNOWN, body=body), method)
    is_old("known")
    is_absent("unknown")


@check("a copy does not read for those who may not: as source, as target", when=STRANGER and JOB)
def _():
    for who in (STRANGER, JOB):
        alike(request(who, "PUT", BUCKET, PREFIX + "copy", headers={"x-amz-copy-source": f"/{BUCKET}/{KNOWN}"}),
              request(who, "PUT", BUCKET, PREFIX + "copy", headers={"x-amz-copy-source": f"/{BUCKET}/{UNKNOWN}"}), who.key)
    is_absent("copy")


@check("DeleteObjects of a stranger and of a job delete nothing", when=STRANGER and JOB)
def _():
    body = f"<Delete><Object><Key>{KNOWN}</Key></Object><Object><Key>{UNKNOWN}</Key></Object></Delete>".encode()
    for who in (STRANGER, JOB):
        answer = request(who, "POST", BUCKET, None, [("delete", "")], body=body)
        equal(answer.status in (200, 403), True, str(answer))
        if answer.status == 200:
            equal((answer.body.count(b"<Deleted>"), answer.body.count(b"AccessDenied")), (0, 2))
        is_old("known")


@check("errors name no path, no store, no software, no stack")
def _():
    answers = [request(STRANGER or OWNER, "GET", BUCKET, KNOWN), get("unknown"), request(OWNER, "GET", "unknown--unknown"),
               request(OWNER, "PUT", BUCKET, KNOWN, [("acl", "")], body=b"<x/>")]
    for answer in answers:
        text = answer.body.decode("utf-8", "replace").lower()
        for word in ("panicked", ".rs:", "src/", "sqlite", "/tmp", "/root", "/home", "casbin", "backtrace", "blobs"):
            equal(word in text, False, f"{word!r} in {answer}")


@check("a stranger's list of buckets does not name this one", when=STRANGER)
def _():
    answer = request(STRANGER, "GET")
    equal(answer.status in (200, 403), True, str(answer))
    equal(BUCKET.encode() in answer.body, False)


done()
