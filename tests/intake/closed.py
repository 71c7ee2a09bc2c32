"""Uploads that are not taken, over the wire: the answer comes before the body, the connection ends, nothing of the body is read."""

import dataclasses
import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from vault import UNSIGNED, Client, Signer, Vault, check, clean, done, scratch, until  # noqa: E402
from wire import connect, head_of, path_of, read_answer  # noqa: E402

GIB = 1 << 30
SENT_MAX = 64 << 20  # what two sockets' buffers on loopback hold, several times


def head(who, key: str, **more: str) -> bytes:
    """A signed PUT of a gibibyte, without its body."""
    path = path_of(who.bucket, key)
    signed = Signer(who).headers("PUT", path, [], {}, UNSIGNED)
    return head_of("PUT", path, {"host": who.host, **signed, "content-length": str(GIB), **more})


def ended(stream) -> bool:
    """Whether the other side has ended the connection."""
    try:
        return stream.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def flood(stream) -> int:
    """How much of a body goes out before nobody takes more."""
    piece, sent = bytes(1 << 20), 0
    try:
        while sent < GIB:
            sent += stream.send(piece)
    except OSError:
        pass
    return sent


def closed(title: str, who, status: int, code: str) -> None:
    with connect(who) as stream:
        stream.sendall(head(who, "waits"))
        answer = read_answer(stream)
        check(f"{title}: refused before a byte of the body was sent", (answer.status, answer.code) == (status, code), answer)
        check(f"{title}: and the connection is closed", ended(stream), answer.headers)
    with connect(who) as stream:
        stream.sendall(head(who, "asks", expect="100-continue"))
        first = stream.recv(1 << 16)
        check(f"{title}: who asks first is not told to go on", first.startswith(f"HTTP/1.1 {status} ".encode()), first[:80])
    with connect(who) as stream:
        stream.settimeout(5)
        stream.sendall(head(who, "floods"))
        sent = flood(stream)
        check(f"{title}: a body that is sent all the same is not read", sent < SENT_MAX, sent)


def main() -> int:
    base = scratch("intake")
    vault = Vault(base / "vault").start()
    try:
        owner = vault.identity()
        client = Client(owner)
        check("below the ceiling it is taken", client.request("PUT", "before", body=b"bytes").status == 200)
        run = vault.command("project", "create", "lab", "--owner", "olivia")
        if run.returncode:
            raise RuntimeError(run.stderr)
        bare = dataclasses.replace(owner, bucket="lab--raw")
        made = until(5, lambda: Client(bare).request("PUT").status == 200)
        check("a bucket in a project that says nothing of its data", made)
        closed("UP-6, nothing is said of the dataset", bare, 409, "InvalidBucketState")
        absent = Client(bare).request("GET", "floods").status
        check("UP-6: and nothing is there", absent == 404, absent)
        vault.stop()
        with open(vault.dir / "kluis.toml", "a", encoding="utf-8") as file:
            file.write('[labels]\nceiling = "public"\n')
        vault.serve()
        closed("AZ-13, above the ceiling", owner, 403, "AccessDenied")
        client.close()
        absent = client.request("GET", "floods").status
        check("AZ-13: and nothing is there", absent == 404, absent)
        check("what was there stays readable", client.request("GET", "before").body == b"bytes")
        refused = [r for r in vault.audit().values() if r.get("object", {}).get("key") == "floods" and r.get("operation") == "PutObject"]
        check("each attempt stands in the log", len(refused) == 2, refused)
    finally:
        vault.stop()
        clean(base)
    return done()


if __name__ == "__main__":
    sys.exit(main())
