"""Versions and tags by whom they are not for: old bytes, the list of what was, the switch, foreign ids."""

import re

from common import *

SWITCH = b'<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>%s</Status></VersioningConfiguration>'
TAGS = b'<Tagging xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>'
KEY = PREFIX + "versioned"


def switch(who, word: bytes) -> Answer:
    return request(who, "PUT", BUCKET, None, [("versioning", "")], body=SWITCH % word)


def write(body: bytes) -> str:
    answer = request(OWNER, "PUT", BUCKET, KEY, body=body)
    equal(answer.status, 200, "PUT")
    return answer.headers["x-amz-version-id"]


@check("old versions: not for the job, nor the stranger, whatever the verb", when=STRANGER)
def _():
    equal(switch(OWNER, b"Enabled").status, 200, "enable")
    old, new = write(b"old"), write(b"new")
    equal(request(OWNER, "GET", BUCKET, KEY, [("versionId", old)]).body, b"old", "the owner reads what was")
    for who in (JOB, STRANGER):
        for method in ("GET", "HEAD", "DELETE"):
            for version in (old, new, "null"):
                answer = request(who, method, BUCKET, KEY, [("versionId", version)])
                equal((answer.status, b"old" in answer.body or b"new" in answer.body), (403, False), f"{method} {version}")
        answer = request(who, "GET", BUCKET, None, [("versions", "")])
        equal((answer.status, old.encode() in answer.body), (403, False), "the list")
        for word in (b"Suspended", b"Enabled"):
            equal(switch(who, word).status, 403, "switch")
        source = {"x-amz-copy-source": f"/{BUCKET}/{KEY}?versionId={old}"}
        equal(request(who, "PUT", BUCKET, PREFIX + "stolen", headers=source).status, 403, "copy")
    # Whoever may know of the dataset may know whether it keeps versions; nobody else.
    equal(request(STRANGER, "GET", BUCKET, None, [("versioning", "")]).status, 403, "the state")
    equal(request(OWNER, "GET", BUCKET, KEY).body, b"new", "nothing changed")
    equal(request(OWNER, "GET", BUCKET, KEY, [("versionId", old)]).body, b"old", "nothing is gone")


@check("ids that are none, or another key's, name no version")
def _():
    old = write(b"mine")
    for version in ("x", "0" * 32, "../" + old, old + "0", old.upper() + "Z", "%00", "a" * 1025):
        answer = request(OWNER, "GET", BUCKET, KEY, [("versionId", version)])
        equal(answer.status in (400, 404), True, f"{version:.40}: {answer}")
    put("other")
    refused(request(OWNER, "GET", BUCKET, PREFIX + "other", [("versionId", old)]), 404)
    refused(request(OWNER, "DELETE", BUCKET, PREFIX + "other", [("versionId", old + "x")]), 400, 404)
    equal(request(OWNER, "GET", BUCKET, KEY, [("versionId", old)]).body, b"mine", "still there")


@check("a delete marker hides and keeps; what is under it stays whole")
def _():
    old = write(b"kept")
    marker = request(OWNER, "DELETE", BUCKET, KEY)
    equal(marker.headers.get("x-amz-delete-marker"), "true", "a marker")
    refused(request(OWNER, "GET", BUCKET, KEY), 404)
    equal(request(OWNER, "GET", BUCKET, KEY, [("versionId", old)]).body, b"kept", "by its id")
    equal(request(OWNER, "DELETE", BUCKET, KEY, [("versionId", marker.headers["x-amz-version-id"])]).status, 204, "unmark")
    equal(request(OWNER, "GET", BUCKET, KEY).body, b"kept", "visible again")


@check("switches and tags that are malformed change nothing")
def _():
    for word in (b"", b"On", b"enabled", b"Enabled</Status><Status>Suspended"):
        equal(switch(OWNER, word).status in (400, 501), True, str(word))
    many = b"".join(b"<Tag><Key>%d</Key><Value>v</Value></Tag>" % i for i in range(51))
    tag = b"<Tagging><TagSet>%s</TagSet></Tagging>"
    for body in (b"", b"<Tagging>", tag % many, tag % (b"<Tag><Key>%s</Key><Value/></Tag>" % (b"k" * 129)),
                 tag % (b"<Tag><Key>k</Key><Value>%s</Value></Tag>" % (b"v" * 257)),
                 tag % (b"<Tag><Key>k</Key><Value>1</Value></Tag>" * 2)):
        answer = request(OWNER, "PUT", BUCKET, KEY, [("tagging", "")], body=body)
        equal(answer.status in (400, 411), True, f"{body[:60]}: {answer}")
    answer = request(OWNER, "GET", BUCKET, KEY, [("tagging", "")])
    equal((answer.status, re.findall(rb"<Tag>", answer.body)), (200, []), "no tag")


@check("tags: not for the job, nor the stranger", when=STRANGER)
def _():
    for who in (JOB, STRANGER):
        for method, body in (("PUT", TAGS), ("DELETE", b"")):
            equal(request(who, method, BUCKET, KEY, [("tagging", "")], body=body).status, 403, method)
            equal(request(who, method, BUCKET, None, [("tagging", "")], body=body).status, 403, method)
    equal(request(STRANGER, "GET", BUCKET, KEY, [("tagging", "")]).status, 403, "GET")


done()
