"""Multipart uploads: numbers out of range, lists that lie, uploads that are not yours."""

import hashlib
import json
import os
import re
import socket
import time
import uuid

from common import *
from wire import EMPTY_SHA256, UNSIGNED, Signer, connect, exchange, head_of, path_of

MIB = 1 << 20
DATA = bytes(range(256)) * (5 * MIB // 256)


def begin(key: str) -> str:
    answer = request(OWNER, "POST", BUCKET, PREFIX + key, [("uploads", "")])
    equal(answer.status, 200, str(answer))
    return re.search(rb"<UploadId>([^<]+)</UploadId>", answer.body)[1].decode()


def part(key: str, upload: str, number, body: bytes = b"x", who=OWNER) -> Answer:
    return request(who, "PUT", BUCKET, PREFIX + key, [("partNumber", str(number)), ("uploadId", upload)], body=body,
                   payload=UNSIGNED)


def complete_raw(key: str, upload: str, body: bytes, who=OWNER) -> Answer:
    return request(who, "POST", BUCKET, PREFIX + key, [("uploadId", upload)], body=body)


def complete(key: str, upload: str, parts: list[tuple[int, str]], who=OWNER) -> Answer:
    entries = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{tag.replace(chr(34), '&quot;')}</ETag></Part>" for n, tag in parts)
    text = f'<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{entries}</CompleteMultipartUpload>'
    return complete_raw(key, upload, text.encode(), who)


def failed(answer: Answer, *statuses: int) -> None:
    """Complete may answer 200 early and put the error into the body."""
    if answer.status == 200 and b"<Error>" in answer.body:
        return
    refused(answer, *statuses)


@check("part numbers 0, 10,001, negative, huge, no number")
def _():
    upload = begin("numbers")
    for number in (0, 10001, -1, 2**31, 2**63, 2**64, "x", "", "1.5", "1e3", " 1"):
        refused(part("numbers", upload, number), 400)
    equal(part("numbers", upload, 1).status, 200)
    equal(part("numbers", upload, 10000).status, 200)


@check("an upload id that is unknown, malformed, empty, very long")
def _():
    for upload in (uuid.uuid4().hex, "x", "", "../../etc/passwd", "A" * 3000, "\u0000", "' or 1=1 --"):
        refused(part("unknown", upload, 1), 400, 404, 414)
        failed(complete("unknown", upload, [(1, '"x"')]), 400, 404, 414)
    is_absent("unknown")


@check("an upload id of another key")
def _():
    upload = begin("mine")
    refused(part("theirs", upload, 1), 404)
    tag = part("mine", upload, 1).headers["etag"]
    failed(complete("theirs", upload, [(1, tag)]), 404)
    is_absent("theirs")
    is_absent("mine")


@check("complete with parts in the wrong order, twice the same, an unknown part, a wrong ETag, none")
def _():
    put("lists")
    upload = begin("lists")
    tags = {n: part("lists", upload, n, DATA).headers["etag"] for n in (1, 2, 3)}
    for parts in ([(2, tags[2]), (1, tags[1])], [(1, tags[1]), (1, tags[1])], [(1, tags[1]), (4, tags[3])],
                  [(1, tags[2])], [(1, '"' + "0" * 32 + '"')], [(1, "")], [(0, tags[1])], [(10001, tags[1])], []):
        failed(complete("lists", upload, parts), 400)
        is_old("lists")
    equal(complete("lists", upload, [(1, tags[1]), (3, tags[3])]).status, 200)
    answer = get("lists")
    equal((len(answer.body), answer.body == DATA + DATA), (2 * len(DATA), True))
    equal(answer.headers["etag"].endswith('-2"'), True, answer.headers["etag"])


@check("complete with 10,001 parts")
def _():
    upload = begin("many")
    tag = part("many", upload, 1).headers["etag"]
    failed(complete("many", upload, [(n, tag) for n in range(1, 10002)]), 400)
    is_absent("many")


@check("complete with a body that is no such list")
def _():
    upload = begin("bodies")
    part("bodies", upload, 1)
    for body in (b"", b"<", b"<x/>", b"<CompleteMultipartUpload/>", b"\xff\xfe", b"{}", b"<Delete/>"):
        failed(complete_raw("bodies", upload, body), 400)
    is_absent("bodies")


@check("a part that failed its checksum does not count, and does not replace a good one")
def _():
    upload = begin("spoilt")
    tag = part("spoilt", upload, 1, b"good").headers["etag"]
    query = [("partNumber", "1"), ("uploadId", upload)]
    refused(request(OWNER, "PUT", BUCKET, PREFIX + "spoilt", query, body=b"evil", payload="0" * 64), 400, 403)
    refused(request(OWNER, "PUT", BUCKET, PREFIX + "spoilt", [("partNumber", "2"), ("uploadId", upload)], body=b"evil",
                    headers={"x-amz-checksum-crc32": "AAAAAA=="}), 400)
    failed(complete("spoilt", upload, [(1, tag), (2, tag)]), 400)
    equal(complete("spoilt", upload, [(1, tag)]).status, 200)
    equal(get("spoilt").body, b"good")


@check("after an abort: no part, no completion")
def _():
    upload = begin("aborted")
    tag = part("aborted", upload, 1).headers["etag"]
    equal(request(OWNER, "DELETE", BUCKET, PREFIX + "aborted", [("uploadId", upload)]).status, 204)
    refused(part("aborted", upload, 2), 404)
    failed(complete("aborted", upload, [(1, tag)]), 404)
    is_absent("aborted")


@check("the same completion twice: answered alike or refused, and the object is the same")
def _():
    upload = begin("twice")
    tag = part("twice", upload, 1, b"twice").headers["etag"]
    equal(complete("twice", upload, [(1, tag)]).status, 200)
    again = complete("twice", upload, [(1, tag)])
    equal(again.status in (200, 404), True, str(again))
    equal(get("twice").body, b"twice")


@check("another's upload: neither part, list, completion nor abort", when=STRANGER and JOB)
def _():
    upload = begin("others")
    tag = part("others", upload, 1).headers["etag"]
    for who in (STRANGER, JOB):
        refused(part("others", upload, 2, who=who), 403)
        failed(complete("others", upload, [(1, tag)], who), 403)
        refused(request(who, "DELETE", BUCKET, PREFIX + "others", [("uploadId", upload)]), 403)
    refused(request(STRANGER, "GET", BUCKET, PREFIX + "others", [("uploadId", upload)]), 403)
    refused(request(STRANGER, "GET", BUCKET, None, [("uploads", "")]), 403)
    is_absent("others")


@check("a part copied from what one may not read, from nothing, from beyond the end")
def _():
    put("source")
    upload = begin("copied")
    query = [("partNumber", "1"), ("uploadId", upload)]
    for source, span in ((f"/{BUCKET}/{PREFIX}absent", None), ("/nowhere--at-all/x", None), ("x", None), ("", None),
                         (f"/{BUCKET}/{PREFIX}source", "bytes=0-9999"), (f"/{BUCKET}/{PREFIX}source", "bytes=9-1"),
                         (f"/{BUCKET}/{PREFIX}source", "0-1"), (f"/{BUCKET}/{PREFIX}source", "bytes=0-1,2-3")):
        headers = {"x-amz-copy-source": source, **({"x-amz-copy-source-range": span} if span else {})}
        refused(request(OWNER, "PUT", BUCKET, PREFIX + "copied", query, headers), 400, 403, 404, 416)


def joined(key: str, source: str, times: int) -> None:
    """An object of so many copies of another."""
    upload = begin(key)
    tags = []
    for number in range(1, times + 1):
        copied = request(OWNER, "PUT", BUCKET, PREFIX + key, [("partNumber", str(number)), ("uploadId", upload)],
                         {"x-amz-copy-source": f"/{BUCKET}/{PREFIX}{source}"})
        equal(copied.status, 200, str(copied))
        tags.append((number, re.search(rb"<ETag>(.+)</ETag>", copied.body)[1].decode().replace("&quot;", chr(34))))
    equal(complete(key, upload, tags).status, 200)


@check("30 stalled reads of 10,000 pieces, and 1,000 asks for their keys, hold less than 64 MiB", when=os.environ.get("KLUIS_PID"))
def _():
    put("pieces/one", bytes(1024))
    joined("pieces/some", "pieces/one", 100)
    joined("pieces/many", "pieces/some", 100)
    path, before, stalled = path_of(BUCKET, PREFIX + "pieces/many"), resident_kib(os.environ["KLUIS_PID"]), []
    try:
        for _ in range(30):
            headers = Signer(OWNER).headers("GET", path, [], {}, EMPTY_SHA256)
            stream = connect(OWNER, 30)
            stalled.append(stream)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stream.sendall(head_of("GET", path, {"host": OWNER.host, **headers}))
        time.sleep(2)
        equal(stalled[0].recv(12), b"HTTP/1.1 200", "the first of them:")
        grown_mib = (resident_kib(os.environ["KLUIS_PID"]) - before) // 1024
        equal(grown_mib < 64, True, f"grew by {grown_mib} MiB:")
        equal(len(get("pieces/many").body), 10_240_000, "read beside them:")
    finally:
        for stream in stalled:
            stream.close()
    published = request(OWNER, "POST", f".kluis/v1/versions/{BUCKET}")
    equal(published.status, 201, f"{published}")
    path = f"/.kluis/v1/versions/{BUCKET}--v{json.loads(published.body)['number']}/keys"
    body = json.dumps({"runs": [{"from": f"{PREFIX}pieces/many", "count": 1}] * 1000}).encode()
    before = resident_kib(os.environ["KLUIS_PID"])
    headers = Signer(OWNER).headers("POST", path, [], {}, hashlib.sha256(body).hexdigest())
    answer = exchange(OWNER, "POST", path, {**headers, "content-length": str(len(body))}, [body])
    equal((answer.status, answer.whole, len(answer.body) < 16 << 20), (200, True, True), f"{len(answer.body)} bytes:")
    equal(len(json.loads(answer.body)["released"]) >= 1, True, "released:")
    grown_mib = (resident_kib(os.environ["KLUIS_PID"]) - before) // 1024
    equal(grown_mib < 64, True, f"grew by {grown_mib} MiB:")


done()
