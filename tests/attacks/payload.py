"""The five payload modes, each done right, then wrong in one place: nothing may be stored that is not whole."""

import base64
import hashlib
import os
import threading
import time
import zlib

from common import *
from wire import EMPTY_SHA256, UNSIGNED, Signer, connect, exchange, head_of, path_of

SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
CHUNK = 65536
DATA = os.urandom(3 * CHUNK + 777)  # more than one chunk, more than one sealed segment
CRC32 = "x-amz-checksum-crc32"


def crc32(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def chunks(data: bytes) -> list[bytes]:
    return [data[i : i + CHUNK] for i in range(0, len(data), CHUNK)]


class Upload:
    """A PUT in pieces: head, chunks, the end. Each piece can be replaced before it is sent."""

    def __init__(self, mode: str, key: str, data: bytes = DATA, trailer: str | None = None, announce: str | None = None,
                 decoded: int | None = None, more: dict[str, str] | None = None):
        self.signer, self.key, self.path = Signer(OWNER), key, path_of(BUCKET, PREFIX + key)
        trailing = mode.endswith("TRAILER")
        headers = {"content-encoding": "aws-chunked", **(more or {}),
                   "x-amz-decoded-content-length": str(len(data) if decoded is None else decoded)}
        if trailing and announce != "":
            headers["x-amz-trailer"] = announce or CRC32
        self.headers = self.signer.headers("PUT", self.path, [], headers, mode)
        value = crc32(data) if trailer is None else trailer
        if mode == UNSIGNED_TRAILER:
            self.pieces = [f"{len(c):x}\r\n".encode() + c + b"\r\n" for c in chunks(data)]
            self.end = [b"0\r\n", f"{CRC32}:{value}\r\n\r\n".encode()]
        else:
            self.pieces = [self.signer.chunk(c) for c in chunks(data)]
            if trailing:
                self.end = [self.signer.last_chunk_before_trailer(), self.signer.trailer(CRC32, value)]
            else:
                self.end = [self.signer.chunk(b"")]

    def send(self, length: int | None = None) -> Answer:
        body = b"".join(self.pieces + self.end)
        headers = {**self.headers, "content-length": str(len(body) if length is None else length)}
        return exchange(OWNER, "PUT", self.path, headers, [body])


def must_not_store(name: str, send) -> None:
    """`send(key)` is refused, both where nothing stood and where an object stood."""
    put(name + "-old")
    for key, intact in ((name + "-new", is_absent), (name + "-old", is_old)):
        answer = send(key)
        refused(answer, 0, 501, *range(400, 500))
        intact(key)


@check("all five modes, done right")
def _():
    put("signed", DATA)
    put("unsigned", DATA, payload=UNSIGNED)
    for key, mode in (("chunks", SIGNED_CHUNKS), ("chunks-trailer", SIGNED_TRAILER), ("trailer", UNSIGNED_TRAILER)):
        answer = Upload(mode, key).send()
        equal(answer.status, 200, f"{mode}: {answer}")
    for key in ("signed", "unsigned", "chunks", "chunks-trailer", "trailer"):
        answer = get(key)
        equal((answer.status, answer.body == DATA), (200, True), key)
        equal("aws-chunked" in answer.headers.get("content-encoding", ""), False, f"{key}: Content-Encoding kept:")


@check("all five modes, of an empty object")
def _():
    for key, mode in (("chunks", SIGNED_CHUNKS), ("chunks-trailer", SIGNED_TRAILER), ("trailer", UNSIGNED_TRAILER)):
        equal(Upload(mode, "empty-" + key, b"").send().status, 200, mode)
        equal(get("empty-" + key).body, b"")


@check("signed sha256: of another body; malformed; missing")
def _():
    must_not_store("sha-other", lambda key: request(OWNER, "PUT", BUCKET, PREFIX + key, body=DATA, payload="0" * 64))
    must_not_store("sha-empty", lambda key: request(OWNER, "PUT", BUCKET, PREFIX + key, body=DATA, payload=EMPTY_SHA256))
    must_not_store("sha-bad", lambda key: request(OWNER, "PUT", BUCKET, PREFIX + key, body=DATA, payload="abc"))
    must_not_store("sha-mode", lambda key: request(OWNER, "PUT", BUCKET, PREFIX + key, body=DATA, payload="STREAMING-NOTHING"))


@check("Content-MD5: of another body; malformed; right")
def _():
    right = base64.b64encode(hashlib.md5(DATA).digest()).decode()
    put("md5-right", DATA, headers={"content-md5": right})
    other = base64.b64encode(hashlib.md5(b"x").digest()).decode()
    for name, value in (("other", other), ("bad", "!!!"), ("short", "YQ==")):
        must_not_store(f"md5-{name}", lambda key, value=value: request(
            OWNER, "PUT", BUCKET, PREFIX + key, body=DATA, headers={"content-md5": value}, payload=UNSIGNED))


@check("x-amz-checksum-*: of another body; malformed; of the wrong length; two that disagree")
def _():
    put("sum-right", DATA, headers={CRC32: crc32(DATA)})
    sums = {"crc32": crc32(b"x"), "crc32c": "AAAAAA==", "crc64nvme": "AAAAAAAAAAA=",
            "sha1": base64.b64encode(hashlib.sha1(b"x").digest()).decode(),
            "sha256": base64.b64encode(hashlib.sha256(b"x").digest()).decode()}
    wrong = [{f"x-amz-checksum-{name}": value} for name, value in sums.items()]
    wrong += [{CRC32: "!!"}, {CRC32: "AAAAAAAAAAA="}, {CRC32: crc32(DATA), "x-amz-checksum-sha256": sums["sha256"]}]
    for i, headers in enumerate(wrong):
        must_not_store(f"sum-{i}", lambda key, headers=headers: request(
            OWNER, "PUT", BUCKET, PREFIX + key, body=DATA, headers=headers, payload=UNSIGNED))


@check("signed chunks: a wrong signature in the first, a middle, the last chunk")
def _():
    for mode in (SIGNED_CHUNKS, SIGNED_TRAILER):
        for place in (0, 1, len(chunks(DATA)) - 1):
            def send(key):
                upload = Upload(mode, key)
                head, _, rest = upload.pieces[place].partition(b"\r\n")
                upload.pieces[place] = head[:-1] + (b"0" if head[-1:] != b"0" else b"1") + b"\r\n" + rest
                return upload.send()

            must_not_store(f"chunk-signature-{mode[-7:]}-{place}", send)


@check("signed chunks: data changed, two swapped, one repeated, one left out, signature of the end wrong")
def _():
    def changed(upload):
        piece = upload.pieces[1]
        upload.pieces[1] = piece[:-3] + bytes([piece[-3] ^ 1]) + piece[-2:]

    def swapped(upload):
        upload.pieces[0], upload.pieces[1] = upload.pieces[1], upload.pieces[0]

    def repeated(upload):
        upload.pieces[1] = upload.pieces[0]

    def left_out(upload):
        del upload.pieces[1]

    def wrong_end(upload):
        upload.end[0] = b"0;chunk-signature=" + b"0" * 64 + b"\r\n\r\n"

    for change in (changed, swapped, repeated, left_out, wrong_end):
        def send(key):
            upload = Upload(SIGNED_CHUNKS, key)
            change(upload)
            return upload.send()

        must_not_store(f"chunks-{change.__name__}", send)


@check("no final chunk")
def _():
    for mode in (SIGNED_CHUNKS, SIGNED_TRAILER, UNSIGNED_TRAILER):
        def send(key):
            upload = Upload(mode, key)
            upload.end = []
            return upload.send()

        must_not_store(f"no-final-{mode[-12:]}", send)


@check("no trailer, though one is announced")
def _():
    for mode in (SIGNED_TRAILER, UNSIGNED_TRAILER):
        def send(key):
            upload = Upload(mode, key)
            upload.end = [upload.end[0], b"\r\n"]
            return upload.send()

        must_not_store(f"no-trailer-{mode[10:13]}", send)


@check("a trailer with a wrong checksum, a malformed one, another than announced, none announced")
def _():
    for mode in (SIGNED_TRAILER, UNSIGNED_TRAILER):
        for i, more in enumerate(({"trailer": crc32(b"x")}, {"trailer": "!!"}, {"trailer": ""},
                                  {"announce": "x-amz-checksum-sha256"}, {"announce": "x-amz-meta-late"})):
            must_not_store(f"trailer-{mode[10:13]}-{i}", lambda key: Upload(mode, key, **more).send())


@check("a trailer that is wrongly signed")
def _():
    def send(key):
        upload = Upload(SIGNED_TRAILER, key)
        upload.end[1] = upload.end[1].split(b"x-amz-trailer-signature")[0] + b"x-amz-trailer-signature:" + b"0" * 64 + b"\r\n\r\n"
        return upload.send()

    must_not_store("trailer-signature", send)


@check("a decoded length that lies, up and down, is negative, huge, or no number")
def _():
    for mode in (SIGNED_CHUNKS, SIGNED_TRAILER, UNSIGNED_TRAILER):
        for decoded in (len(DATA) - 1, len(DATA) + 1, 0, -1, 2**63, 2**64):
            must_not_store(f"decoded-{mode[-12:]}-{decoded}", lambda key: Upload(mode, key, decoded=decoded).send())


@check("a body cut short, then the connection closed")
def _():
    def plain(key):
        path = path_of(BUCKET, PREFIX + key)
        headers = Signer(OWNER).headers("PUT", path, [], {}, UNSIGNED)
        return half(path, {**headers, "content-length": str(len(DATA))}, DATA)

    def half(path, headers, body):
        from wire import connect, end_writing, head_of, read_answer, write_all
        with connect(OWNER, 10) as stream:
            write_all(stream, [head_of("PUT", path, {"host": OWNER.host, **headers}), body[: len(body) // 2]])
            end_writing(stream)
            return read_answer(stream, "PUT")

    def in_chunks(mode):
        def send(key):
            upload = Upload(mode, key)
            body = b"".join(upload.pieces + upload.end)
            return half(upload.path, {**upload.headers, "content-length": str(len(body))}, body)
        return send

    must_not_store("cut-plain", plain)
    for mode in (SIGNED_CHUNKS, SIGNED_TRAILER, UNSIGNED_TRAILER):
        must_not_store(f"cut-{mode[-12:]}", in_chunks(mode))


@check("malformed chunk heads")
def _():
    for i, head in enumerate((b"zz", b"", b"-1", b"+10000", b"0x10", b"FFFFFFFFFFFFFFFFF", b"10000000000000000", b"1" * 5000, b"10 ;")):
        def send(key):
            upload = Upload(UNSIGNED_TRAILER, key)
            upload.pieces[0] = head + upload.pieces[0][upload.pieces[0].index(b"\r\n"):]
            return upload.send()

        must_not_store(f"head-{i}", send)


@check("bytes after the end")
def _():
    def send(key):
        upload = Upload(SIGNED_CHUNKS, key)
        upload.end.append(upload.pieces[0])
        return upload.send()

    must_not_store("after-the-end", send)


@check("one chunk of 512 MiB grows the server's memory by less than 64 MiB", when=os.environ.get("KLUIS_PID"))
def _():
    pid, size, block = os.environ["KLUIS_PID"], 512 << 20, bytes(1 << 20)
    before, peak, over = resident_kib(pid), [0], threading.Event()

    def watch():
        while not over.is_set():
            peak[0] = max(peak[0], resident_kib(pid))
            time.sleep(0.02)

    crc = 0
    for _ in range(size // len(block)):
        crc = zlib.crc32(block, crc)
    end = f"\r\n0\r\n{CRC32}:{base64.b64encode(crc.to_bytes(4, 'big')).decode()}\r\n\r\n".encode()
    head = f"{size:x}\r\n".encode()
    signer, path = Signer(OWNER), path_of(BUCKET, PREFIX + "one-chunk")
    headers = signer.headers("PUT", path, [], {"content-encoding": "aws-chunked", "x-amz-trailer": CRC32,
                                               "x-amz-decoded-content-length": str(size)}, UNSIGNED_TRAILER)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        answer = exchange(OWNER, "PUT", path, {**headers, "content-length": str(len(head) + size + len(end))},
                          [head, *([block] * (size // len(block))), end])
    finally:
        over.set()
        watcher.join()
    refused(answer, 200, 400, 413)
    grown_mib = (peak[0] - before) // 1024
    equal(grown_mib < 64, True, f"{answer.status}, grew by {grown_mib} MiB:")
    request(OWNER, "DELETE", BUCKET, PREFIX + "one-chunk")


@check("XML that comes byte by byte grows the server's memory by less than 64 MiB", when=os.environ.get("KLUIS_PID"))
def _():
    pid, path = os.environ["KLUIS_PID"], path_of(BUCKET, PREFIX + "dripped")
    before, peak, streams = resident_kib(pid), 0, []
    headers = Signer(OWNER).headers("PUT", path, [("tagging", "")], {"content-length": "2000000"}, UNSIGNED)
    try:
        for _ in range(20):
            stream = connect(OWNER, 30)
            streams.append(stream)
            stream.sendall(head_of("PUT", path + "?tagging", {"host": OWNER.host, **headers}))
        # The connection's first buffers are used up; from then on each byte would hold one of its own.
        for piece in (4000, 4000, 300):
            time.sleep(0.3)
            for stream in streams:
                stream.sendall(b"a" * piece)
        for round in range(15_000):
            for stream in streams:
                stream.send(b"a")
            if round % 1000 == 0:
                peak = max(peak, resident_kib(pid))
        peak = max(peak, resident_kib(pid))
    finally:
        for stream in streams:
            stream.close()
    grown_mib = (peak - before) // 1024
    equal(grown_mib < 64, True, f"grew by {grown_mib} MiB:")


done()
