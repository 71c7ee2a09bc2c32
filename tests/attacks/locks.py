"""Object Lock, rules that delete, and browsers: by whom they are not for, and by whoever holds a form or an origin."""

import base64
import datetime

import common
from common import *
from wire import exchange, now, path_of, signed_form

# What is locked stays locked: in a bucket of its own.
BUCKET = common.BUCKET = "demo--locks-" + common.uuid.uuid4().hex[:8]

NS = b'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
SWITCH = b"<VersioningConfiguration " + NS + b"><Status>Enabled</Status></VersioningConfiguration>"
LOCKING = b"<ObjectLockConfiguration " + NS + b"><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>"
KEY = PREFIX + "locked"
LATER = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


def retention(mode: str, until: str = LATER) -> bytes:
    body = f"<Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate>" if mode else ""
    return b"<Retention " + NS + b">" + body.encode() + b"</Retention>"


def hold(status: str) -> bytes:
    return b"<LegalHold " + NS + b"><Status>" + status.encode() + b"</Status></LegalHold>"


def write(body: bytes = OLD, **headers) -> str:
    answer = request(OWNER, "PUT", BUCKET, KEY, body=body, headers=headers)
    equal(answer.status, 200, f"PUT: {answer}")
    return answer.headers["x-amz-version-id"]


def stays(version: str, body: bytes = OLD) -> None:
    answer = request(OWNER, "GET", BUCKET, KEY, [("versionId", version)])
    equal((answer.status, answer.body), (200, body), "the locked version")


equal(request(OWNER, "PUT", BUCKET).status, 200, "a bucket")
refused(request(OWNER, "PUT", BUCKET, None, [("object-lock", "")], body=LOCKING), 409)
equal(request(OWNER, "PUT", BUCKET, None, [("versioning", "")], body=SWITCH).status, 200, "versions")
equal(request(OWNER, "PUT", BUCKET, None, [("object-lock", "")], body=LOCKING).status, 200, "object lock")


@check("locks are set by the owner: not by the job, nor the stranger", when=STRANGER)
def _():
    version = write()
    for who in (JOB, STRANGER):
        for what, body in (("retention", retention("GOVERNANCE")), ("legal-hold", hold("ON"))):
            refused(request(who, "PUT", BUCKET, KEY, [(what, "")], body=body), 403)
        refused(request(who, "PUT", BUCKET, None, [("object-lock", "")], body=LOCKING), 403)
    for what in ("retention", "legal-hold"):
        refused(request(STRANGER, "GET", BUCKET, KEY, [(what, "")]), 403)
    answer = request(OWNER, "GET", BUCKET, KEY, [("retention", ""), ("versionId", version)])
    equal(answer.status, 404, "no retention")


@check("what is retained is deleted in no way: by its id, in a batch, overwritten, by a bypass that nobody granted")
def _():
    for mode in ("GOVERNANCE", "COMPLIANCE"):
        version = write()
        set_it = request(OWNER, "PUT", BUCKET, KEY, [("retention", ""), ("versionId", version)], body=retention(mode))
        equal(set_it.status, 200, f"{mode}: {set_it}")
        bypass = {"x-amz-bypass-governance-retention": "true"}
        for headers in ({}, bypass):
            refused(request(OWNER, "DELETE", BUCKET, KEY, [("versionId", version)], headers=headers), 403)
            body = b"<Delete " + NS + b"><Object><Key>%s</Key><VersionId>%s</VersionId></Object></Delete>"
            batch = request(OWNER, "POST", BUCKET, None, [("delete", "")], body=body % (KEY.encode(), version.encode()), headers=headers)
            equal((batch.status, b"AccessDenied" in batch.body), (200, True), f"batch: {batch}")
            soon = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
            for shorter in (retention(""), retention(mode, soon)):
                where = [("retention", ""), ("versionId", version)]
                refused(request(OWNER, "PUT", BUCKET, KEY, where, body=shorter, headers=headers), 403)
        write(b"newer")
        equal(request(OWNER, "DELETE", BUCKET, KEY).status, 204, "a delete marker")
        stays(version)
    suspend = SWITCH.replace(b"Enabled", b"Suspended")
    refused(request(OWNER, "PUT", BUCKET, None, [("versioning", "")], body=suspend), 409)
    refused(request(OWNER, "DELETE", BUCKET), 409)
    stays(version)


@check("what is held stays, and so do locks that are malformed or in the past")
def _():
    version = write()
    where = [("legal-hold", ""), ("versionId", version)]
    equal(request(OWNER, "PUT", BUCKET, KEY, where, body=hold("ON")).status, 200, "hold")
    refused(request(OWNER, "DELETE", BUCKET, KEY, [("versionId", version)], headers={"x-amz-bypass-governance-retention": "true"}), 403)
    for body in (hold("on"), hold(""), hold("OFF</Status><Status>OFF"), b"", b"<LegalHold>", b"<x/>"):
        refused(request(OWNER, "PUT", BUCKET, KEY, where, body=body), 400, 411)
    at = [("retention", ""), ("versionId", version)]
    for body in (retention("GOVERNANCE", "2020-01-01T00:00:00Z"), retention("governance"), retention("GOVERNANCE", "soon"),
                 retention("GOVERNANCE").replace(b"<Mode>GOVERNANCE</Mode>", b""), b"<Retention>"):
        refused(request(OWNER, "PUT", BUCKET, KEY, at, body=body), 400)
    for headers in ({"x-amz-object-lock-mode": "GOVERNANCE"}, {"x-amz-object-lock-retain-until-date": LATER},
                    {"x-amz-object-lock-mode": "NONE", "x-amz-object-lock-retain-until-date": LATER},
                    {"x-amz-object-lock-legal-hold": "MAYBE"}):
        refused(request(OWNER, "PUT", BUCKET, PREFIX + "half", body=b"x", headers=headers), 400)
    is_absent("half")
    stays(version)
    equal(request(OWNER, "PUT", BUCKET, KEY, where, body=hold("OFF")).status, 200, "taken out")
    equal(request(OWNER, "DELETE", BUCKET, KEY, [("versionId", version)]).status, 204, "and gone")


@check("rules that delete, and rules for pages: the owner's alone, and none that is malformed", when=STRANGER)
def _():
    rule = (b"<LifecycleConfiguration " + NS + b"><Rule><ID>a</ID><Status>Enabled</Status><Filter><Prefix/></Filter>"
            b"<Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>")
    page = (b"<CORSConfiguration " + NS + b"><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod>"
            b"</CORSRule></CORSConfiguration>")
    key = b"<ServerSideEncryptionConfiguration " + NS + b"><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256" \
          b"</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"
    for who in (JOB, STRANGER):
        for what, body in (("lifecycle", rule), ("cors", page), ("encryption", key)):
            refused(request(who, "PUT", BUCKET, None, [(what, "")], body=body), 403)
            refused(request(who, "DELETE", BUCKET, None, [(what, "")]), 403)
        refused(request(who, "GET", BUCKET, None, [("policy", "")]), 403)
        refused(request(who, "GET", BUCKET, None, [("lifecycle", "")]), 403)
    for what, body in (
        ("lifecycle", rule.replace(b"<Days>1", b"<Days>0")), ("lifecycle", rule.replace(b"<Days>1", b"<Days>-1")),
        ("lifecycle", rule.replace(b"Enabled", b"on")), ("lifecycle", rule.replace(b"<ID>a", b"<ID>" + b"a" * 256)),
        ("lifecycle", rule.replace(b"<Expiration><Days>1</Days></Expiration>", b"")),
        ("cors", page.replace(b"*", b"*.*")), ("cors", page.replace(b">*<", b">https://a&#13;&#10;x: y<")),
        ("cors", page.replace(b"GET", b"TRACE")), ("cors", page.replace(b"<AllowedOrigin>*</AllowedOrigin>", b"")),
        ("cors", page.replace(b"</CORSRule>", b"</CORSRule>" + page[page.index(b"<CORSRule>"):page.index(b"</CORSConf")] * 100)),
        ("encryption", key.replace(b"AES256", b"none")), ("encryption", b"<ServerSideEncryptionConfiguration/>"),
    ):
        refused(request(OWNER, "PUT", BUCKET, None, [(what, "")], body=body), 400)
    for what in ("lifecycle", "cors"):
        refused(request(OWNER, "GET", BUCKET, None, [(what, "")]), 404)


def ask(origin: str | None, bucket: str = BUCKET, method: str = "GET", **more) -> Answer:
    path = path_of(bucket, PREFIX + "page")
    headers = {"host": OWNER.host, "access-control-request-method": method, **more}
    if origin is not None:
        headers["origin"] = origin
    return exchange(OWNER, "OPTIONS", path, headers)


@check("a browser's question is answered by the owner's rule, tells nothing else, and gives no right")
def _():
    for bucket in (BUCKET, "demo--not-there", "other--thing", "NO"):
        answer = ask("https://a.example", bucket)
        equal((answer.status, answer.headers.get("access-control-allow-origin")), (403, None), bucket)
    page = (b"<CORSConfiguration " + NS + b"><CORSRule><AllowedOrigin>https://*.example</AllowedOrigin>"
            b"<AllowedMethod>GET</AllowedMethod><AllowedHeader>range</AllowedHeader></CORSRule></CORSConfiguration>")
    equal(request(OWNER, "PUT", BUCKET, None, [("cors", "")], body=page).status, 200, "the rule")
    equal(ask("https://a.example").headers.get("access-control-allow-origin"), "https://a.example", "allowed")
    for origin, method, more in (("https://a.example.evil", "GET", {}), ("http://a.example", "GET", {}), ("null", "GET", {}),
                                 ("https://a.example", "PUT", {}), ("https://a.example", "get", {}),
                                 ("https://a.example", "GET", {"access-control-request-headers": "range, x-amz-acl"}),
                                 ("https://" + "a" * 5000 + ".example", "GET", {})):
        answer = ask(origin, method=method, **more)
        equal((400 <= answer.status < 500, answer.headers.get("access-control-allow-origin")), (True, None), f"{origin[:40]} {method}")
    refused(ask(None), 400)
    put("page")
    unsigned = exchange(OWNER, "GET", path_of(BUCKET, PREFIX + "page"), {"host": OWNER.host, "origin": "https://a.example"})
    equal((unsigned.status, OLD in unsigned.body), (403, False), "an origin is no signature")
    signed = get("page", headers={"origin": "https://a.example"})
    equal((signed.body, signed.headers.get("access-control-allow-origin")), (OLD, "https://a.example"), "with one")
    equal(request(OWNER, "DELETE", BUCKET, None, [("cors", "")]).status, 204, "no rule again")
    equal(get("page", headers={"origin": "https://a.example"}).headers.get("access-control-allow-origin"), None, "nor header")


def form(key: str, body: bytes = b"from a form", conditions=None, fields=None, who=OWNER, tamper=None, headers=None, life_s=600):
    """Uploads a form that `who` signed; `tamper` changes the fields after that."""
    kind, whole = signed_form(who, BUCKET, {"key": PREFIX + key, **(fields or {})}, body, conditions, tamper, life_s)
    head = {"host": who.host, "content-type": kind, "content-length": str(len(whole)), **(headers or {})}
    return exchange(who, "POST", path_of(BUCKET), head, [whole])


@check("a form that its policy covers is a write; nothing else is")
def _():
    equal(form("form").status, 204, "the form")
    answer = get("form")
    equal((answer.status, answer.body), (200, b"from a form"), "what it wrote")
    for tamper in ({"key": PREFIX + "other"}, {"x-amz-meta-a": "b"}, {"acl": "private"}, {"x-amz-signature": "0" * 64},
                   {"x-amz-signature": None}, {"policy": base64.b64encode(b"{}").decode()}, {"policy": None}, {"key": None},
                   {"x-amz-date": now(3600)}, {"bucket": "demo--other"}, {"success_action_redirect": "https://evil.example/"}):
        refused(form("tampered", tamper=tamper), 400, 403)
    refused(form("late", life_s=-5), 403)
    refused(form("unlisted", conditions=lambda listed: [c for c in listed if "key" not in c]), 403)
    refused(form("long", conditions=lambda listed: [*listed, ["content-length-range", 0, 5]]), 400)
    refused(form("short", conditions=lambda listed: [*listed, ["content-length-range", 50, 90]]), 400)
    refused(form("prefix", conditions=lambda listed: [*listed, ["starts-with", "$key", "elsewhere/"]]), 400, 403)
    for headers in ({"x-amz-acl": "private"}, {"x-amz-meta-a": "b"}, {"authorization": "AWS4-HMAC-SHA256 x"}):
        refused(form("headers", headers=headers), 400, 403)
    for name, value in (("x-amz-acl", "public-read"), ("x-amz-storage-class", "GLACIER"), ("x-amz-object-lock-mode", "COMPLIANCE"),
                        ("x-amz-server-side-encryption-customer-algorithm", "AES256"), ("x-amz-checksum-crc32", "AAAAAA=="),
                        ("x-amz-website-redirect-location", "/x"), ("x-amz-tagging", "a=1&a=2"), ("x-amz-checksum-md5", "A" * 22 + "==")):
        answer = form("fields", fields={name: value})
        equal(answer.status in (400, 501), True, f"{name}: {answer}")
    anything = {"conditions": lambda listed: [*listed, ["starts-with", "$Content-Type", ""], ["starts-with", "$x-amz-meta-a", ""]]}
    for field, value in (("Content-Type", "image/png\x01"), ("Content-Type", "a\r\nx-b: c"), ("x-amz-meta-a", "\0")):
        refused(form("controls", tamper={field: value}, **anything), 400)
    for key in ("controls", "tampered", "other", "late", "unlisted", "long", "short", "prefix", "headers", "fields"):
        is_absent(key)


@check("a form of whoever may not write, of nobody, and of no length writes nothing", when=STRANGER)
def _():
    for who in (JOB, STRANGER):
        refused(form("foreign", who=who), 403)
    mark = {"content-type": "multipart/form-data; boundary=b", "host": OWNER.host}
    body = b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\n' + (PREFIX + "foreign").encode() + \
           b'\r\n--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n'
    refused(exchange(OWNER, "POST", path_of(BUCKET), {**mark, "content-length": str(len(body))}, [body]), 400, 403)
    chunked = b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    refused(exchange(OWNER, "POST", path_of(BUCKET), {**mark, "transfer-encoding": "chunked"}, [chunked]), 411)
    flood = b"".join(b'--b\r\nContent-Disposition: form-data; name="x-ignore-%d"\r\n\r\nx\r\n' % n for n in range(500)) + body
    refused(exchange(OWNER, "POST", path_of(BUCKET), {**mark, "content-length": str(len(flood))}, [flood]), 400, 403)
    large = body.replace(b"--b\r\n", b'--b\r\nContent-Disposition: form-data; name="x-ignore-a"\r\n\r\n' + b"a" * 30000 + b"\r\n--b\r\n", 1)
    refused(exchange(OWNER, "POST", path_of(BUCKET), {**mark, "content-length": str(len(large))}, [large]), 400, 403)
    is_absent("foreign")


done()
