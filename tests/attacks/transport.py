"""Below S3: HTTP that smuggles, floods, stalls or is none. After each of it the server still serves."""

import base64
import hashlib
import json
import os
import socket
import threading
import time

from common import *
from h2 import Streams
from wire import UNSIGNED, Signer, connect, end_writing, exchange, head_of, path_of, read_answer, write_all

put("target")
PATH = path_of(BUCKET, PREFIX + "target")
LINE = f"GET {PATH} HTTP/1.1\r\nHost: {OWNER.host}\r\n".encode()


def raw(*parts: bytes, patience_s: float = 10) -> Answer:
    with connect(OWNER, patience_s) as stream:
        write_all(stream, parts)
        return read_answer(stream)


def signed(method="GET", path=PATH, headers=None) -> dict[str, str]:
    return {"host": OWNER.host, **Signer(OWNER).headers(method, path, [], headers or {}, UNSIGNED)}


@check("garbage instead of a request")
def _():
    for data in (b"\x00" * 100, b"\xff" * 5000, b"\r\n" * 1000 + b"x", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
                 b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxxxx"):
        refused(raw(data + b"\r\n\r\n", patience_s=3), 0, 400, 403, 404, 405, 505)
    is_old("target")


@check("a head with 100,000 headers, one header of 10 MiB, a path of 1 MiB")
def _():
    refused(raw(LINE, b"x: y\r\n" * 100000, b"\r\n"), 0, 400, 413, 414, 431)
    refused(raw(LINE, b"x: ", b"y" * (10 << 20), b"\r\n\r\n"), 0, 400, 413, 414, 431)
    refused(raw(b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\nHost: x\r\n\r\n"), 0, 400, 403, 413, 414, 431)
    is_old("target")


@check("Content-Length and Transfer-Encoding together, two lengths, lengths that are none")
def _():
    inner = f"GET /{BUCKET}/smuggled HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    start = head_of("PUT", PATH, signed("PUT"))[:-2]
    for more in (b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"Content-Length: 1\r\nContent-Length: 60\r\n\r\nx",
                 b"Content-Length: -1\r\n\r\n", b"Content-Length: +5\r\n\r\nxxxxx", b"Content-Length: 0x5\r\n\r\nxxxxx",
                 b"Content-Length: 5, 5\r\n\r\nxxxxx", b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
                 b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
                 b"Content-Length: 99999999999999999999\r\n\r\nx"):
        with connect(OWNER, 5) as stream:
            write_all(stream, [start, more, inner])
            end_writing(stream)
            first = read_answer(stream, "PUT")
            second = read_answer(stream) if first.status else Answer(0)
        # One answer, a refusal; or where two stand, the smuggled one was anonymous: never served.
        equal(second.status in (0, 400, 403), True, f"{more[:40]}: smuggled: {second}")
        if b"Length: 5, 5" not in more and b"Length: 6" not in more:
            refused(first, 0, 400, 403, 411, 413, 501)
    equal(get("target").status, 200)
    put("target")


@check("a header name with a space, a folded header, a bare line feed, a NUL")
def _():
    for more in (b"x y: z\r\n\r\n", b"x: y\r\n z\r\n\r\n", b"x: y\x00z\r\n\r\n", b": empty\r\n\r\n"):
        refused(raw(LINE + more, patience_s=5), 0, 400, 403)


@check("no Host, two Hosts, a foreign Host")
def _():
    for hosts in (b"", b"Host: a\r\nHost: b\r\n", b"Host: evil.example\r\n"):
        refused(raw(f"GET {PATH} HTTP/1.1\r\n".encode() + hosts + b"\r\n", patience_s=5), 0, 400, 403, 404)


@check("an absolute URL in the request line is not fetched")
def _():
    refused(raw(b"GET http://127.0.0.1:1/x HTTP/1.1\r\nHost: x\r\n\r\n", patience_s=5), 0, 400, 403, 404)


@check("requests in a row on one connection: each is judged by itself")
def _():
    good = head_of("GET", PATH, signed())
    anonymous = head_of("GET", PATH, {"host": OWNER.host})
    with connect(OWNER) as stream:
        stream.sendall(good + anonymous)
        data, end = b"", time.monotonic() + 5
        stream.settimeout(1)
        while time.monotonic() < end and data.count(b"HTTP/1.1 ") < 2:
            try:
                data += stream.recv(65536)
            except TimeoutError:
                break
    equal([data.count(b"HTTP/1.1 200"), data.count(b"HTTP/1.1 403"), data.count(OLD)], [1, 1, 1])


@check("Expect: 100-continue: a refused upload is refused before its body")
def _():
    headers = {"host": OWNER.host, "content-length": "1000000", "expect": "100-continue"}
    with connect(OWNER, 10) as stream:
        stream.sendall(head_of("PUT", PATH, headers))
        equal(read_answer(stream, "PUT").status, 403)
    is_old("target")


@check("200 connections that send a byte at a time do not keep others out")
def _():
    slow = []
    try:
        for _ in range(200):
            stream = connect(OWNER, 5)
            stream.sendall(b"GET / HTTP/1.1\r\nHo")
            slow.append(stream)
        for _ in range(5):
            start = time.monotonic()
            is_old("target")
            equal(time.monotonic() - start < 2, True, "seconds for one read:")
            for stream in slow:
                try:
                    stream.sendall(b"s")
                except OSError:
                    pass
    finally:
        for stream in slow:
            stream.close()


@check("uploads and downloads that stall do not keep others out")
def _():
    put("big", bytes(8 << 20))
    big, stalled = path_of(BUCKET, PREFIX + "big"), []
    try:
        for _ in range(30):
            stream = connect(OWNER, 5)
            stream.sendall(head_of("GET", big, signed("GET", big)))
            stalled.append(stream)
            stream = connect(OWNER, 5)
            new = path_of(BUCKET, PREFIX + "stalled")
            stream.sendall(head_of("PUT", new, {**signed("PUT", new), "content-length": "1000000"}) + b"only this")
            stalled.append(stream)
        for _ in range(5):
            start = time.monotonic()
            is_old("target")
            equal(time.monotonic() - start < 2, True, "seconds for one read:")
    finally:
        for stream in stalled:
            stream.close()
    is_absent("stalled")


@check("100 packs that nobody reads hold less than 64 MiB, and reads go on", when=os.environ.get("KLUIS_PID"))
def _():
    for number in range(10, 22):
        put(f"packed/{number}", bytes(1 << 20))
    published = request(OWNER, "POST", f".kluis/v1/versions/{BUCKET}")
    equal(published.status, 201, f"{published}")
    version = json.loads(published.body)["number"]
    path = f"/.kluis/v1/versions/{BUCKET}--v{version}/pack"
    body = json.dumps({"runs": [{"from": f"{PREFIX}packed/10", "count": 12}]}).encode()
    before, stalled = resident_kib(os.environ["KLUIS_PID"]), []
    try:
        for _ in range(100):
            headers = Signer(OWNER).headers("POST", path, [], {}, hashlib.sha256(body).hexdigest())
            stream = connect(OWNER, 30)
            stalled.append(stream)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stream.sendall(head_of("POST", path, {"host": OWNER.host, **headers, "content-length": str(len(body))}) + body)
        time.sleep(2)
        equal(stalled[0].recv(15), b"HTTP/1.1 200 OK", "the first of them:")
        grown_mib = (resident_kib(os.environ["KLUIS_PID"]) - before) // 1024
        equal(grown_mib < 64, True, f"grew by {grown_mib} MiB:")
        is_old("target")
        start, signed = time.monotonic(), Signer(JOB).headers("POST", path, [], {}, hashlib.sha256(body).hexdigest())
        another = exchange(JOB, "POST", path, {**signed, "content-length": str(len(body))}, [body])
        equal((another.status, another.whole, len(another.body) > 12 << 20), (200, True, True), f"another's: {another}")
        equal(time.monotonic() - start < 5, True, "seconds for it:")
    finally:
        for stream in stalled:
            stream.close()
    refused(request(STRANGER, "POST", path.lstrip("/"), body=body), 403, 404)


def hold(count: int, who, target: str, announced: int, sent: bytes, headers=None) -> list:
    """Connections on which a long body was announced, of which `sent` came and no more comes."""
    held = []
    for _ in range(count):
        if who is None:
            head = {"host": OWNER.host, **(headers or {})}
        else:
            path, _, query = target.partition("?")
            pairs = [tuple(pair.split("=")) for pair in query.split("&") if pair]
            whole = hashlib.sha256(b"what never comes").hexdigest()
            head = {"host": OWNER.host, **Signer(who).headers("POST", path, pairs, headers or {}, whole)}
        stream = connect(who or OWNER, 10)
        write_all(stream, [head_of("POST", target, {**head, "content-length": str(announced)}), sent])
        held.append(stream)
    time.sleep(1)
    return held


def asked(path: str, body: bytes) -> Answer:
    """An owner asks the API."""
    head = {"host": OWNER.host, **Signer(OWNER).headers("POST", path, [], {}, hashlib.sha256(body).hexdigest())}
    return exchange(OWNER, "POST", path, {**head, "content-length": str(len(body))}, [body])


@check("who may do nothing holds bodies of the API open: others are served")
def _():
    path = "/.kluis/v1/versions/x--y/keys"
    before = asked(path, b"{}").status
    held = hold(64, STRANGER, path, 2 << 20, b"{" + b" " * (1 << 20))
    equal(asked(path, b"{}").status, before)
    long = b'{"runs":[' + b" " * (1 << 20) + b"]}"
    equal(asked(path, long).status == 503, False, "a long body of another caller:")
    for stream in held:
        stream.close()


@check("who is nobody holds forms of sign-in open: others sign in")
def _():
    form = {"content-type": "application/x-www-form-urlencoded"}

    def sign_in() -> Answer:
        body = b"Version=2011-06-15&Action=AssumeRoleWithWebIdentity&WebIdentityToken=a.b.c&RoleArn=r&RoleSessionName=s"
        head = {"host": OWNER.host, **form, "content-length": str(len(body))}
        return exchange(OWNER, "POST", "/", head, [body])

    before = sign_in().status
    held = hold(200, None, "/", 80 << 10, b"Version=", form)
    equal(sign_in().status, before)
    for stream in held:
        stream.close()


@check("who may do nothing holds deletions open: an owner deletes many at once")
def _():
    held = hold(64, STRANGER, f"{path_of(BUCKET)}?delete=", 4 << 20, b"<" + b" " * (3 << 20), {"content-md5": "A" * 22 + "=="})
    keys = "".join(f"<Object><Key>{PREFIX}{'k' * 100}{n}</Key></Object>" for n in range(900))
    body = f"<Delete>{keys}</Delete>".encode()
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    answer = request(OWNER, "POST", BUCKET, query=[("delete", "")], body=body, headers={"content-md5": md5})
    equal(answer.status, 200, f"{answer}")
    for stream in held:
        stream.close()


@check("2,560 short bodies that never end, of a caller who may do nothing, hold less than 96 MiB", when=os.environ.get("KLUIS_PID"))
def _():
    body = f"<Delete><Object><Key>{PREFIX}none</Key></Object></Delete>".encode()
    md5 = {"content-md5": base64.b64encode(hashlib.md5(body).digest()).decode()}
    before, held = resident_kib(os.environ["KLUIS_PID"]), []
    try:
        for _ in range(40):
            held.append(Streams(STRANGER))
            for _ in range(64):
                held[-1].begin("PUT", path_of(BUCKET), [("tagging", "")], 64 << 10, (64 << 10) - 60)
        alive, end = 2560, time.monotonic() + 20
        while alive >= 640 and time.monotonic() < end:
            for streams in held:
                streams.take(0.05)
            alive = sum(len(streams.open) for streams in held)
        grown_mib = (resident_kib(os.environ["KLUIS_PID"]) - before) // 1024
        equal(grown_mib < 96, True, f"grew by {grown_mib} MiB, {alive} streams:")
        equal(64 <= alive < 640, True, f"{alive} streams wait for their bodies:")
        equal(request(OWNER, "POST", BUCKET, query=[("delete", "")], body=body, headers=md5).status, 200)
    finally:
        for streams in held:
            streams.close()


@check("a download that is broken off, many times at once")
def _():
    big = path_of(BUCKET, PREFIX + "big")

    def break_off():
        with connect(OWNER, 5) as stream:
            stream.sendall(head_of("GET", big, signed("GET", big)))
            stream.recv(1000)

    threads = [threading.Thread(target=break_off) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    is_old("target")


@check("a method that a header or a query would override")
def _():
    for headers in ({"x-http-method-override": "DELETE"}, {"x-method-override": "DELETE"}, {"x-http-method": "DELETE"}):
        exchange(OWNER, "GET", PATH, {**signed(), **headers})
    is_old("target")


done()
