"""Input that is too long, too deep, malformed, or asks for what is not served."""

import re
from xml.sax.saxutils import escape

from common import *
from wire import UNSIGNED, Signer, encode, exchange, path_of

DATA = bytes(range(256)) * 1024  # 256 KiB: four segments
put("data", DATA)


def served(key="data", **headers) -> Answer:
    return get(key, headers=headers)


@check("ranges: within, open, suffix, longer than the object")
def _():
    for value, first, last in (("bytes=0-0", 0, 0), ("bytes=65530-65550", 65530, 65550), ("bytes=262143-", 262143, 262143),
                               ("bytes=-1", 262143, 262143), ("bytes=-999999999", 0, 262143), ("bytes=0-999999999", 0, 262143)):
        answer = served(range=value)
        equal((answer.status, answer.body == DATA[first : last + 1]), (206, True), value)
        equal(answer.headers.get("content-range"), f"bytes {first}-{last}/{len(DATA)}", value)


@check("ranges beyond the end: 416, and HEAD alike")
def _():
    for value in ("bytes=262144-", "bytes=262144-262150", "bytes=999999999999-", "bytes=-0"):
        refused(served(range=value), 416)
        equal(request(OWNER, "HEAD", BUCKET, PREFIX + "data", headers={"range": value}).status, 416, value)
    put("empty", b"")
    refused(served("empty", range="bytes=0-0"), 416)


@check("malformed and multiple ranges: the whole object, or a refusal; never other bytes")
def _():
    for value in ("bytes=5-1", "bytes=", "bytes=-", "bytes=a-b", "bits=0-1", "0-1", "bytes=0-1,3-4", "bytes=0-1," * 500,
                  "bytes=99999999999999999999999-", "bytes=-99999999999999999999999", "bytes=0--1", "bytes= 0-1"):
        answer = served(range=value)
        whole = answer.status == 200 and answer.body == DATA
        one = answer.status == 206 and answer.body == DATA[0:2]  # for "bytes= 0-1" and the like
        least = value == "bytes=-99999999999999999999999" and answer.body == DATA
        equal(whole or one or least or answer.status in (400, 416, 501), True, f"{value[:30]}: {answer.status}")


@check("HEAD and GET answer with the same headers")
def _():
    for key, more in (("data", {}), ("absent", {}), ("data", {"range": "bytes=1-9"}), ("data", {"if-match": '"x"'})):
        a = request(OWNER, "HEAD", BUCKET, PREFIX + key, headers=more)
        b = request(OWNER, "GET", BUCKET, PREFIX + key, headers=more)
        equal(a.status, b.status, key)
        if a.status < 300:
            for name in ("content-length", "etag", "last-modified", "content-type", "accept-ranges", "content-range"):
                equal(a.headers.get(name), b.headers.get(name), name)


@check("keys: 1,024 bytes are served, 1,025 are refused, in one- and in four-byte characters")
def _():
    room = 1024 - len(PREFIX)
    for longest in ("k" * room, "\U0001f512" * (room // 4) + "k" * (room % 4)):
        put(longest, b"long")
        equal(get(longest).body, b"long")
        refused(request(OWNER, "PUT", BUCKET, PREFIX + longest + "k", body=b"x"), 400)
        refused(request(OWNER, "GET", BUCKET, PREFIX + longest + "k"), 400, 404)


@check("keys with dots are names, not paths; `..` never leaves the bucket")
def _():
    for key in ("..", "../x", "../../x", "a/../../x", "./x", "a/./b", "%2e%2e/x", "..\\x", "/etc/passwd", "//x"):
        answer = request(OWNER, "PUT", BUCKET, PREFIX + "dots/" + key, body=key.encode())
        if answer.status == 200:
            equal(request(OWNER, "GET", BUCKET, PREFIX + "dots/" + key).body, key.encode(), key)
        else:
            refused(answer, 400)
    equal(get("data").body, DATA)


@check("keys with control characters: refused, or kept exactly; never a broken header or list")
def _():
    for key in ("a\x00b", "a\nb", "a\r\nx-injected: 1", "a\x7fb", "a\x1bb", "a\x01b", "a\ufffeb", "a\ufffdb"):
        answer = request(OWNER, "PUT", BUCKET, PREFIX + "control/" + key, body=b"c")
        if answer.status != 200:
            refused(answer, 400)
            continue
        back = request(OWNER, "GET", BUCKET, PREFIX + "control/" + key)
        equal((back.body, "x-injected" in back.headers), (b"c", False), repr(key))
    listed = request(OWNER, "GET", BUCKET, None, [("list-type", "2"), ("prefix", PREFIX + "control/"), ("encoding-type", "url")])
    equal(listed.status, 200)


@check("bytes in a path that are no UTF-8")
def _():
    path = path_of(BUCKET, PREFIX) + "%ff%fe"
    headers = Signer(OWNER).headers("PUT", path, [], {}, UNSIGNED)
    refused(exchange(OWNER, "PUT", path, {**headers, "content-length": "1"}, [b"x"]), 400, 403)


@check("bucket names that are none")
def _():
    for bucket in ("..", ".", "A--B", "a" * 64, "a--b--c", "--", "a--", "--b", "a_b--c", "xn--x", "192.168.0.1", "a b", "%2e%2e"):
        answer = request(OWNER, "PUT", encode(bucket))
        equal(answer.status != 200, True, f"{bucket}: {answer}")
        equal(answer.status < 500 or answer.status == 501, True, f"{bucket}: {answer}")


@check("metadata that is too large, too long a header, a header with a line break")
def _():
    refused(request(OWNER, "PUT", BUCKET, PREFIX + "meta", body=b"x", headers={"x-amz-meta-x": "v" * 9000}), 400)
    refused(request(OWNER, "PUT", BUCKET, PREFIX + "meta", body=b"x",
                    headers={f"x-amz-meta-{i}": "v" * 100 for i in range(90)}), 400, 431)
    is_absent("meta")


def delete(body: bytes, **more) -> Answer:
    import base64, hashlib
    headers = {"content-md5": base64.b64encode(hashlib.md5(body).digest()).decode()}
    return request(OWNER, "POST", BUCKET, None, [("delete", "")], headers=headers, body=body, **more)


@check("DeleteObjects: 1,001 keys, none, malformed; nothing is deleted")
def _():
    entry = f"<Object><Key>{escape(PREFIX)}data</Key></Object>"
    for body in (f"<Delete>{entry * 1001}</Delete>", "<Delete></Delete>", "<Delete", "", "<Delete><Object/></Delete>",
                 f"<Deletes>{entry}</Deletes>", f"<Delete>{entry}</Delete"):
        refused(delete(body.encode()), 400)
    equal(get("data").status, 200)


@check("DeleteObjects: a key of 1,025 bytes fails alone, or refuses all; never an error of the server")
def _():
    put("doomed")
    long, doomed = "k" * 1025, escape(PREFIX) + "doomed"
    answer = delete(f"<Delete><Object><Key>{long}</Key></Object><Object><Key>{doomed}</Key></Object></Delete>".encode())
    equal(answer.status in (200, 400), True, str(answer))
    if answer.status == 200:
        is_absent("doomed")


@check("XML: entities that multiply, an external one, deep nesting, a flood of attributes")
def _():
    laughs = '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha">' + "".join(
        f'<!ENTITY {b} "{("&" + a + ";") * 10}">' for a, b in zip("abcdefghi", "bcdefghij")) + "]>"
    outside = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    for body in (f"{laughs}<Delete><Object><Key>&j;</Key></Object></Delete>",
                 f"{outside}<Delete><Object><Key>&e;</Key></Object></Delete>",
                 "<Delete>" + "<Object>" * 50000 + "</Object>" * 50000 + "</Delete>",
                 "<Delete " + " ".join(f'a{i}="x"' for i in range(50000)) + "></Delete>"):
        answer = delete(body.encode())
        refused(answer, 400, 413)
        equal(b"root:" in answer.body, False, "a file of the server in the answer:")


@check("XML of 100 MiB is refused without reading it all into memory")
def _():
    size, block = 100 << 20, b"<!-- padding -->" * 65536
    path = f"/{BUCKET}"
    signer = Signer(OWNER)
    headers = signer.headers("POST", path, [("delete", "")], {}, UNSIGNED)
    answer = exchange(OWNER, "POST", path + "?delete=", {**headers, "content-length": str(size)}, [block] * (size // len(block)))
    refused(answer)


@check("listing: arguments out of range and of the wrong kind")
def _():
    for query in ([("max-keys", "-1")], [("max-keys", "x")], [("max-keys", "99999999999999999999")],
                  [("continuation-token", "made up")], [("continuation-token", "A" * 5000)], [("list-type", "3")],
                  [("encoding-type", "rot13")], [("prefix", "\x00")], [("delimiter", "")], [("start-after", "\U0001f512" * 600)]):
        answer = request(OWNER, "GET", BUCKET, None, [("list-type", "2"), *query] if query[0][0] != "list-type" else query)
        equal(answer.status < 500, True, f"{query}: {answer}")
    refused(request(OWNER, "GET", BUCKET, None, [("list-type", "2"), ("max-keys", "-1")]), 400)
    many = request(OWNER, "GET", BUCKET, None, [("list-type", "2"), ("max-keys", "100000"), ("prefix", PREFIX)])
    equal(int(re.search(rb"<MaxKeys>(\d+)</MaxKeys>", many.body)[1]) <= 1000 or many.body.count(b"<Contents>") <= 1000, True)
    none = request(OWNER, "GET", BUCKET, None, [("list-type", "2"), ("max-keys", "0"), ("prefix", PREFIX)])
    equal((none.status, none.body.count(b"<Contents>")), (200, 0))


@check("names in a list are escaped")
def _():
    put("<script>&'\"]]>")
    listed = request(OWNER, "GET", BUCKET, None, [("list-type", "2"), ("prefix", PREFIX + "<")])
    equal((b"<script>" in listed.body, b"&lt;script" in listed.body, b"&amp;" in listed.body), (False, True, True))


@check("what is not served answers 501, and changes nothing")
def _():
    put("kept")
    bucket = [("PUT", "website"), ("GET", "website"), ("PUT", "policy"),
              ("PUT", "replication"), ("PUT", "notification"), ("PUT", "logging"), ("PUT", "accelerate"), ("PUT", "inventory"),
              ("PUT", "metrics"), ("PUT", "requestPayment"), ("DELETE", "policy"),
              ("DELETE", "ownershipControls"), ("DELETE", "publicAccessBlock"), ("PUT", "intelligent-tiering"), ("PUT", "analytics")]
    item = [("GET", "torrent"), ("POST", "restore")]
    for method, what in bucket:
        refused(request(OWNER, method, BUCKET, None, [(what, "")], body=b"<x/>" if method == "PUT" else b""), 501)
    for method, what in item:
        refused(request(OWNER, method, BUCKET, PREFIX + "kept", [(what, "")], body=b"" if method == "GET" else b"<x/>"), 501)
    refused(request(OWNER, "POST", BUCKET, PREFIX + "kept", [("select", ""), ("select-type", "2")], body=b"<x/>"), 501)
    is_old("kept")


BLOCK = "<PublicAccessBlockConfiguration>%s</PublicAccessBlockConfiguration>"
OWNERSHIP = "<OwnershipControls><Rule><ObjectOwnership>%s</ObjectOwnership></Rule></OwnershipControls>"
LISTS = b"<AccessControlPolicy><Owner><ID>demo</ID></Owner><AccessControlList/></AccessControlPolicy>"


def closed(*names) -> bytes:
    return (BLOCK % "".join(f"<{name}>true</{name}>" for name in names)).encode()


@check("what is so anyway may be set by whoever may configure it; nothing opens a bucket, an object or its owner")
def _():
    put("kept")
    names = ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"]
    owners = {"x-amz-acl": "bucket-owner-full-control"}
    yes = [(None, "publicAccessBlock", {}, closed(*names)), (None, "acl", owners, b""), (PREFIX + "kept", "acl", owners, b""),
           (None, "ownershipControls", {}, (OWNERSHIP % "BucketOwnerEnforced").encode())]
    for key, what, headers, body in yes:
        equal(request(OWNER, "PUT", BUCKET, key, [(what, "")], headers, body).status, 200, f"{key} {what}")
        refused(request(JOB, "PUT", BUCKET, key, [(what, "")], headers, body), 403)
        refused(request(STRANGER, "PUT", BUCKET, key, [(what, "")], headers, body), 403)
    refused(request(OWNER, "PUT", BUCKET, PREFIX + "absent", [("acl", "")], owners), 404)
    for body in [closed(), *(closed(*(name for name in names if name != left)) for left in names),
                 closed(*names).replace(b"true", b"false", 1)]:
        refused(request(OWNER, "PUT", BUCKET, None, [("publicAccessBlock", "")], body=body), 501)
    for other in ("ObjectWriter", "BucketOwnerPreferred", "bucketownerenforced", ""):
        refused(request(OWNER, "PUT", BUCKET, None, [("ownershipControls", "")], body=(OWNERSHIP % other).encode()), 400, 501)
    for key in (None, PREFIX + "kept"):
        for acl in ("private", "public-read", "public-read-write", "authenticated-read", "x"):
            refused(request(OWNER, "PUT", BUCKET, key, [("acl", "")], {"x-amz-acl": acl}), 400)
        for headers, body in [({}, b""), ({}, LISTS), (owners, LISTS), ({}, b"<x/>")]:
            refused(request(OWNER, "PUT", BUCKET, key, [("acl", "")], headers, body), 400)
        refused(request(OWNER, "PUT", BUCKET, key, [("acl", "")], {"x-amz-grant-read": "id=stan"}), 501)
    refused(request(STRANGER, "GET", BUCKET, PREFIX + "kept"), 403)
    is_old("kept")


@check("a bucket that is not the expected owner's is not touched")
def _():
    put("kept")
    expected = "x-amz-expected-bucket-owner"
    equal(request(OWNER, "GET", BUCKET, PREFIX + "kept", headers={expected: "demo"}).status, 200)
    for owner in ("stan", "Demo", "111122223333", "", BUCKET):
        for method, body in (("GET", b""), ("PUT", b"new"), ("DELETE", b"")):
            refused(request(OWNER, method, BUCKET, PREFIX + "kept", headers={expected: owner}, body=body), 403)
    source = {"x-amz-copy-source": f"/{BUCKET}/{PREFIX}kept", "x-amz-source-expected-bucket-owner": "stan"}
    refused(request(OWNER, "PUT", BUCKET, PREFIX + "copy", headers=source), 403)
    refused(request(OWNER, "GET", BUCKET, PREFIX + "copy"), 404)
    is_old("kept")


@check("an unknown subresource or method is no plain read, write or delete")
def _():
    put("plain")
    for method in ("PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "X" * 100):
        refused(request(OWNER, method, BUCKET, PREFIX + "plain"), 400, 403, 404, 405, 501)
    is_old("plain")


@check("copy: from nothing, from outside, onto itself unchanged, with a malformed source")
def _():
    put("here")
    for source in (f"/{BUCKET}/{PREFIX}absent", "/nowhere--at-all/x", "/", "", "x", "http://127.0.0.1/x", f"/{BUCKET}/../{BUCKET}/x",
                   f"/{BUCKET}/%ff", f"/{BUCKET}/{PREFIX}here?versionId=made-up", f"/{BUCKET}/{PREFIX}here"):
        refused(request(OWNER, "PUT", BUCKET, PREFIX + "here", headers={"x-amz-copy-source": source}), 400, 403, 404, 501)
        is_old("here")


@check("customer keys and other encryption headers are refused, not ignored")
def _():
    for headers in ({"x-amz-server-side-encryption-customer-algorithm": "AES256",
                     "x-amz-server-side-encryption-customer-key": "A" * 43 + "=",
                     "x-amz-server-side-encryption-customer-key-md5": "A" * 22 + "=="},):
        refused(request(OWNER, "PUT", BUCKET, PREFIX + "sse-c", body=b"x", headers=headers), 400, 501)
    is_absent("sse-c")


@check("conditions that are malformed or contradict each other")
def _():
    put("conditional")
    for headers in ({"if-match": '"no"'}, {"if-none-match": "*"}):
        refused(request(OWNER, "PUT", BUCKET, PREFIX + "conditional", body=b"new", headers=headers), 412)
    tag = request(OWNER, "HEAD", BUCKET, PREFIX + "conditional").headers["etag"]
    for headers in (
        {"if-none-match": tag},
        {"if-none-match": f'"x", {tag}'},
        {"if-none-match": "W/" + tag},
        {"if-match": "*", "if-none-match": "*"},
    ):
        answer = request(OWNER, "PUT", BUCKET, PREFIX + "conditional", body=b"new", headers=headers)
        equal(answer.status in (400, 412, 501), True, f"{headers}: {answer}")
    is_old("conditional")
    refused(request(OWNER, "PUT", BUCKET, PREFIX + "never", body=b"x", headers={"if-match": '"x"'}), 404, 412)
    is_absent("never")


done()
