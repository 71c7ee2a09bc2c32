"""SigV4 and HTTP/1.1 by hand, so that each can be done wrong in exactly one place.

After the documents "Signature Calculations for the Authorization Header" and "... Transferring Payload in
Multiple Chunks" of the Amazon S3 API reference. Nothing here is taken from a client library.
"""

import base64
import contextvars
import datetime
import hashlib
import hmac
import json
import re
import socket
from dataclasses import dataclass, field
from urllib.parse import quote

from lib import Identity

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"
ANSWER_BYTES_MAX = 64 << 20
TIMEOUT_S = 60
# From which address of this machine to speak; None for any.
FROM: contextvars.ContextVar[tuple[str, int] | None] = contextvars.ContextVar("FROM", default=None)


@dataclass
class Answer:
    """What came back. Status 0: the connection ended without an answer."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    whole: bool = True  # the body had the length that was announced

    @property
    def code(self) -> str:
        found = re.search(rb"<Code>([^<]*)</Code>", self.body)
        return found[1].decode() if found else ""

    def __str__(self) -> str:
        return f"{self.status} {self.code or self.body[:120]!r}"


def now(skew_s: float = 0) -> str:
    at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=skew_s)
    return at.strftime("%Y%m%dT%H%M%SZ")


def encode(text: str, safe: str = "") -> str:
    return quote(text, safe=safe + "-_.~")


def path_of(bucket: str, key: str | None = None) -> str:
    return f"/{bucket}" if key is None else f"/{bucket}/{encode(key, '/')}"


def query_of(pairs: list[tuple[str, str]]) -> str:
    return "&".join(f"{encode(name)}={encode(value)}" for name, value in sorted(pairs))


def mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class Signer:
    """The signature of one request, and of the chunks that follow it."""

    def __init__(self, who: Identity, date: str | None = None, region: str | None = None, service: str = "s3"):
        self.who, self.date = who, date or now()
        self.scope = f"{self.date[:8]}/{region or who.region}/{service}/aws4_request"
        key = ("AWS4" + who.secret).encode()
        for step in self.scope.split("/"):
            key = mac(key, step)
        self.key = key
        self.last = ""

    def sign(self, text: str) -> str:
        self.last = mac(self.key, text).hex()
        return self.last

    def canonical(self, method: str, path: str, query: str, headers: dict[str, str], payload: str) -> str:
        lines = "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers))
        request = "\n".join([method, path, query, lines, ";".join(sorted(headers)), payload])
        digest = hashlib.sha256(request.encode()).hexdigest()
        return f"AWS4-HMAC-SHA256\n{self.date}\n{self.scope}\n{digest}"

    def headers(self, method: str, path: str, pairs: list[tuple[str, str]], headers: dict[str, str],
                payload: str) -> dict[str, str]:
        """`headers` (lower case) with all that an Authorization needs, each of them signed."""
        signed = {"host": self.who.host, "x-amz-date": self.date, "x-amz-content-sha256": payload, **headers}
        signature = self.sign(self.canonical(method, path, query_of(pairs), signed, payload))
        signed["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.who.key}/{self.scope},"
            f" SignedHeaders={';'.join(sorted(s for s in signed))}, Signature={signature}"
        )
        return signed

    def presign(self, method: str, path: str, expires_s: int, pairs: list[tuple[str, str]] = (),
                headers: dict[str, str] | None = None) -> str:
        """Path and query of a presigned URL; `headers` are signed beside `host`."""
        signed = {"host": self.who.host, **(headers or {})}
        pairs = [*pairs, ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"), ("X-Amz-Date", self.date),
                 ("X-Amz-Credential", f"{self.who.key}/{self.scope}"), ("X-Amz-Expires", str(expires_s)),
                 ("X-Amz-SignedHeaders", ";".join(sorted(signed)))]
        signature = self.sign(self.canonical(method, path, query_of(pairs), signed, UNSIGNED))
        return f"{path}?{query_of(pairs)}&X-Amz-Signature={signature}"

    def chunk(self, data: bytes) -> bytes:
        """One signed chunk of an aws-chunked body."""
        text = (f"AWS4-HMAC-SHA256-PAYLOAD\n{self.date}\n{self.scope}\n{self.last}\n{EMPTY_SHA256}\n"
                f"{hashlib.sha256(data).hexdigest()}")
        return f"{len(data):x};chunk-signature={self.sign(text)}\r\n".encode() + data + b"\r\n"

    def last_chunk_before_trailer(self) -> bytes:
        return self.chunk(b"")[:-2]

    def trailer(self, name: str, value: str) -> bytes:
        """A signed trailer, after the last chunk."""
        digest = hashlib.sha256(f"{name}:{value}\n".encode()).hexdigest()
        signature = self.sign(f"AWS4-HMAC-SHA256-TRAILER\n{self.date}\n{self.scope}\n{self.last}\n{digest}")
        return f"{name}:{value}\r\nx-amz-trailer-signature:{signature}\r\n\r\n".encode()


def signed_form(who: Identity, bucket: str, fields, body: bytes, conditions=None, tamper=None, life_s=600) -> tuple[str, bytes]:
    """A browser's form as `who` signed it: its content type and its bytes. `conditions` changes what the policy says,
    `tamper` the fields after they were signed."""
    signer = Signer(who)
    sent = {"x-amz-algorithm": "AWS4-HMAC-SHA256", "x-amz-credential": f"{who.key}/{signer.scope}", "x-amz-date": signer.date, **fields}
    end = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=life_s)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    listed = [{name: value} for name, value in sent.items()] + [{"bucket": bucket}]
    policy = {"expiration": end, "conditions": listed if conditions is None else conditions(listed)}
    sent["policy"] = base64.b64encode(json.dumps(policy).encode()).decode()
    sent["x-amz-signature"] = signer.sign(sent["policy"])
    for name, value in (tamper or {}).items():
        sent.pop(name, None) if value is None else sent.__setitem__(name, value)
    mark = "a-boundary-of-ours"
    parts = [f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in sent.items()]
    parts.append(f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n')
    return f"multipart/form-data; boundary={mark}", "".join(parts).encode() + body + f"\r\n--{mark}--\r\n".encode()


def connect(who: Identity, timeout_s: float = TIMEOUT_S) -> socket.socket:
    host, port = who.host.split(":")
    stream = socket.create_connection((host, int(port)), timeout=timeout_s, source_address=FROM.get())
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream


def write_all(stream: socket.socket, parts) -> None:
    """Writes until the other side hangs up: a server may answer and close before it has read all."""
    try:
        for part in parts:
            stream.sendall(part)
    except OSError:
        pass


def end_writing(stream: socket.socket) -> None:
    """Says that nothing follows, to a server that may have hung up already."""
    try:
        stream.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def read_answer(stream: socket.socket, method: str = "GET") -> Answer:
    """One answer; body by Content-Length, by chunks, or until the end of the connection."""
    data = b""
    try:
        while b"\r\n\r\n" not in data:
            more = stream.recv(65536)
            if not more:
                return Answer(0)
            data += more
            if len(data) > ANSWER_BYTES_MAX:
                return Answer(0)
        head, _, body = data.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        status = int(status_line.split(" ")[1])
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if status == 100:
            rest = Rest(stream, body)
            return read_answer(rest, method)
        if method == "HEAD" or status in (204, 304):
            return Answer(status, headers)
        if headers.get("transfer-encoding") == "chunked":
            body, whole = read_chunked(stream, body)
            return Answer(status, headers, body, whole)
        want = int(headers["content-length"]) if "content-length" in headers else None
        while want is None or len(body) < want:
            try:
                more = stream.recv(1 << 20)
            except OSError:
                break
            if not more:
                break
            body += more
        return Answer(status, headers, body[:want], want is None or len(body) >= want)
    except OSError:
        return Answer(0)


class Rest:
    """A socket with bytes that were read already before it."""

    def __init__(self, stream, data: bytes):
        self.stream, self.data = stream, data

    def recv(self, size: int) -> bytes:
        data, self.data = self.data, b""
        return data or self.stream.recv(size)


def read_chunked(stream, data: bytes) -> tuple[bytes, bool]:
    body = b""
    while True:
        while b"\r\n" not in data:
            more = stream.recv(65536)
            if not more:
                return body, False
            data += more
        line, _, data = data.partition(b"\r\n")
        size = int(line.split(b";")[0], 16)
        while len(data) < size + 2:
            more = stream.recv(65536)
            if not more:
                return body + data, False
            data += more
        if size == 0:
            return body, True
        body, data = body + data[:size], data[size + 2 :]


def head_of(method: str, target: str, headers: dict[str, str]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")


def exchange(who: Identity, method: str, target: str, headers: dict[str, str], parts=()) -> Answer:
    """One request on a connection of its own; `parts` are the pieces of its body."""
    headers = {"host": who.host, "connection": "close", **headers}
    with connect(who) as stream:
        write_all(stream, [head_of(method, target, headers), *parts])
        return read_answer(stream, method)


def request(who: Identity, method: str, bucket: str | None = None, key: str | None = None,
            query: list[tuple[str, str]] = (), headers: dict[str, str] | None = None, body: bytes = b"",
            payload: str | None = None, unsigned: dict[str, str] | None = None, signer: Signer | None = None) -> Answer:
    """A rightly signed request, but for what the arguments change; `unsigned` headers are sent unsigned."""
    path = "/" if bucket is None else path_of(bucket, key)
    payload = payload or hashlib.sha256(body).hexdigest()
    signed = (signer or Signer(who)).headers(method, path, list(query), headers or {}, payload)
    if body or method in ("PUT", "POST"):
        signed.setdefault("content-length", str(len(body)))
    text = query_of(list(query))
    target = path + (f"?{text}" if text else "")
    return exchange(who, method, target, {**signed, **(unsigned or {})}, [body])
