"""How much memory the vault keeps resident while it serves what is large, and what is many.

The promise: at most 64 MiB and 1 MiB for each running stream; a thousand stalled clients cost at most 300 MiB. Before each
case the kernel's high-water mark is set back, so each line says what that case took, on top of what those before left.
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lab"))
from vault import HERE, UNSIGNED, Client, Signer, Vault, check, clean, done, pages, say, scratch, until  # noqa: E402
from wire import connect, head_of, read_answer  # noqa: E402

BASE_MIB, STREAM_MIB = 64, 1
STREAMS, STREAM_BYTES = 8, 256 << 20
CHUNK_BYTES = 600 << 20
PARTS, PART_BYTES = 200, 1 << 20
KEYS = int(os.environ.get("KLUIS_MEMORY_KEYS", "20000"))
BLOCK = os.urandom(1 << 20)
STALLED = HERE.parent / "load" / "stalled.py"


def measured(vault: Vault, title: str, streams: int, act) -> None:
    """Runs `act` and checks the highest resident memory of the server meanwhile, as the kernel counted it."""
    pathlib.Path(f"/proc/{vault.pid}/clear_refs").write_text("5")
    before, began = vault.memory_kib(), time.monotonic()
    act()
    took_s, peak = time.monotonic() - began, vault.memory_kib("VmHWM") / 1024
    bound = BASE_MIB + STREAM_MIB * streams
    check(f"{title}: at most {bound} MiB resident", peak <= bound, f"{peak:.0f} MiB")
    anonymous, mapped = (vault.memory_kib(name) / 1024 for name in ("RssAnon", "RssFile"))
    say(f"{title}: {peak:.0f} MiB at most, {before / 1024:.0f} MiB before, {took_s:.1f} s; "
        f"left: {anonymous:.0f} MiB of its own, {mapped:.0f} MiB of mapped files")


def together(count: int, act) -> None:
    """`act(n)` for each n at once, a thread each; they all begin before any goes on."""
    gate = threading.Barrier(count)

    def one(number: int) -> None:
        gate.wait()
        act(number)

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        list(pool.map(one, range(count)))


def expect(status: int, *wanted: int, what: str = "") -> None:
    if status not in wanted:
        raise AssertionError(f"{what}: answered {status}, not {wanted}")


class Bench:
    def __init__(self, vault: Vault):
        self.vault, self.who = vault, vault.identity()

    def put(self, number: int) -> None:
        """One large body, written as fast as it is taken."""
        path = f"/{self.who.bucket}/large/{number}"
        signed = Signer(self.who).headers("PUT", path, [], {}, UNSIGNED)
        with connect(self.who, 120) as stream:
            stream.sendall(head_of("PUT", path, {**signed, "content-length": str(STREAM_BYTES)}))
            for _ in range(STREAM_BYTES // len(BLOCK)):
                stream.sendall(BLOCK)
            expect(read_answer(stream, "PUT").status, 200, what="a large PUT")

    def get(self, number: int) -> None:
        answer = Client(self.who, 120).send("GET", f"large/{number}")
        room, count = memoryview(bytearray(1 << 20)), 0
        while taken := answer.readinto(room):
            count += taken
        expect(count, STREAM_BYTES, what="bytes of a large GET")

    def one_chunk(self) -> None:
        """An aws-chunked body of a single chunk: taken or refused, but never gathered."""
        path = f"/{self.who.bucket}/chunk"
        headers = {"content-encoding": "aws-chunked", "x-amz-decoded-content-length": str(CHUNK_BYTES),
                   "x-amz-trailer": "x-amz-checksum-crc32"}
        signed = Signer(self.who).headers("PUT", path, [], headers, "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
        head = f"{CHUNK_BYTES:x}\r\n".encode()
        tail = b"\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"  # wrong on purpose: the last segment waits for it
        length = len(head) + CHUNK_BYTES + len(tail)
        with connect(self.who, 120) as stream:
            stream.sendall(head_of("PUT", path, {**signed, "content-length": str(length)}) + head)
            try:
                for _ in range(CHUNK_BYTES // len(BLOCK)):
                    stream.sendall(BLOCK)
                stream.sendall(tail)
            except OSError:
                pass  # refused before its end
            status = read_answer(stream, "PUT").status
        say(f"a chunk of {CHUNK_BYTES >> 20} MiB was answered with {status}")
        expect(status, 0, 400, 413, what="a chunk with a wrong checksum")

    def parts(self) -> None:
        start = Client(self.who).request("POST", "parts", [("uploads", "")])
        upload = re.search(rb"<UploadId>(.*?)</UploadId>", start.body)[1].decode()
        tags: dict[int, str] = {}

        def part(number: int) -> None:
            query = [("partNumber", str(number + 1)), ("uploadId", upload)]
            reply = Client(self.who, 120).request("PUT", "parts", query, body=BLOCK)
            expect(reply.status, 200, what="a part")
            tags[number + 1] = reply.etag

        together(PARTS, part)
        listed = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{t}</ETag></Part>" for n, t in sorted(tags.items()))
        body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        expect(Client(self.who).request("POST", "parts", [("uploadId", upload)], body=body).status, 200, what="complete")

    def fill(self) -> None:
        """Many small objects, from processes of their own: threads of Python would take a minute."""
        hands = []
        for hand in range(4):
            if not (pid := os.fork()):
                client, wrong = Client(self.who), 0
                for number in range(hand, KEYS, 4):
                    wrong += client.request("PUT", f"many/{number:06}", body=b"x").status != 200
                os._exit(1 if wrong else 0)
            hands.append(pid)
        for pid in hands:
            expect(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0, what="a hand that fills")

    def list_all(self) -> None:
        def listing(_: int) -> None:
            expect(len(pages(Client(self.who), "many/")), KEYS, what="keys listed")

        together(4, listing)

    def form(self) -> None:
        """Forms just within and just beyond the bound of 4 MiB."""
        for size in ((4 << 20) - 1024, (4 << 20) + 1024):
            one = b"<Object><Key>none</Key></Object>"
            body = b"<Delete>" + one + b" " * (size - len(one) - 17) + b"</Delete>"
            reply = Client(self.who).request("POST", None, [("delete", "")], {}, body)
            expect(reply.status, 200, 400, 413, 0, what="a large form")


def stalled(vault: Vault) -> None:
    """A thousand clients that read nothing: what they cost, measured by the script of the load bench."""
    run = subprocess.run([sys.executable, str(STALLED), str(vault.dir / "owner.env"), str(vault.pid), "1000"],
                         capture_output=True, text=True, timeout=90, check=False)
    say(run.stdout.strip())
    check("a thousand stalled clients: at most 300 MiB, and others are served", run.returncode == 0,
          run.stdout + run.stderr[-300:])


def main() -> int:
    place = scratch("memory")
    vault = Vault(place / "vault", {"server": {"shutdown_wait": "5s"}})
    try:
        bench = Bench(vault.start())
        measured(vault, "forms of 4 MiB", 1, bench.form)
        measured(vault, f"{STREAMS} PUTs of {STREAM_BYTES >> 20} MiB", STREAMS, lambda: together(STREAMS, bench.put))
        measured(vault, f"{STREAMS} GETs of {STREAM_BYTES >> 20} MiB", STREAMS, lambda: together(STREAMS, bench.get))
        measured(vault, f"one chunk of {CHUNK_BYTES >> 20} MiB", 1, bench.one_chunk)
        measured(vault, f"{KEYS} small PUTs", 4, bench.fill)
        measured(vault, f"listings of {KEYS} keys", 4, bench.list_all)
        measured(vault, f"{PARTS} parts at once", PARTS, bench.parts)
        stalled(vault)
        settled = until(20, lambda: vault.memory_kib() / 1024 < BASE_MIB and vault.memory_kib(), 0.5)
        say(f"when all is quiet again: {(settled or vault.memory_kib()) / 1024:.0f} MiB")
    finally:
        vault.stop()
        vault.kill()
    clean(place)
    return done()


if __name__ == "__main__":
    sys.exit(main())
