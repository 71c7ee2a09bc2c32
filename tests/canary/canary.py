"""Plaintext, secrets, signatures and names go in by every way there is; then all that the vault wrote is searched (CR-1, AU-7).

Searched as they are, in base64 (each of its three phases), in hex, and escaped for a URL: the blobs, the journal, the keys,
the catalog, the operator's log at trace, the metrics, temporary files and the memory of file names. Names of objects may stand in
the catalog, which is to lie on an encrypted disk, and credentials in the env files that the demo leaves: nowhere else.
"""

import base64
import dataclasses
import os
import pathlib
import re
import secrets
import sys
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from vault import Client, Identity, Signer, Vault, check, clean, done, read_env, scratch, sha256  # noqa: E402
from wire import exchange  # noqa: E402

CHUNKED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"


@dataclasses.dataclass
class Canary:
    """A word that may be found in `allowed` files only."""

    name: str
    word: bytes
    allowed: str = "^$"

    def shapes(self) -> dict[str, bytes]:
        shapes = {"plain": self.word, "hex": self.word.hex().encode(), "HEX": self.word.hex().upper().encode(),
                  "URL": urllib.parse.quote(self.word, safe="").encode()}
        for phase in range(3):
            text = base64.b64encode(bytes(phase) + self.word)
            shapes[f"base64+{phase}"] = text[4 if phase else 0 : -4]
        return shapes


class Flock:
    """The canaries of one run, random, so that nothing else holds them."""

    def __init__(self) -> None:
        self.all: list[Canary] = []

    def text(self, name: str, allowed: str = "^$") -> str:
        word = f"canary{secrets.token_hex(12)}"
        self.all.append(Canary(name, word.encode(), allowed))
        return word

    def known(self, name: str, word: str, allowed: str = "^$") -> None:
        self.all.append(Canary(name, word.encode(), allowed))


CATALOG = r"^vault/catalog\.sqlite(-wal|-shm)?$"


def spied(flock: Flock) -> None:
    """Every signature that the client computes becomes a canary."""
    sign = Signer.sign

    def signing(self: Signer, text: str) -> str:
        signature = sign(self, text)
        flock.known("a signature", signature)
        return signature

    Signer.sign = signing


def chunked(who: Identity, key: str, data: bytes) -> int:
    """A body in signed chunks."""
    signer, path = Signer(who), f"/{who.bucket}/{key}"
    headers = {"content-encoding": "aws-chunked", "x-amz-decoded-content-length": str(len(data))}
    signed = signer.headers("PUT", path, [], headers, CHUNKED)
    body = signer.chunk(data) + signer.chunk(b"")
    return exchange(who, "PUT", path, {**signed, "content-length": str(len(body))}, [body]).status


def presigned(who: Identity, method: str, key: str, body: bytes = b"") -> int:
    target = Signer(who).presign(method, f"/{who.bucket}/{key}", 300)
    length = {"content-length": str(len(body))} if method == "PUT" else {}
    return exchange(who, method, target, length, [body]).status


def multipart(client: Client, key: str, data: bytes, headers: dict[str, str]) -> int:
    reply = client.request("POST", key, [("uploads", "")], headers)
    upload = re.search(rb"<UploadId>(.*?)</UploadId>", reply.body)[1].decode()
    tag = client.request("PUT", key, [("partNumber", "1"), ("uploadId", upload)], body=data).etag
    body = f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part></CompleteMultipartUpload>"
    return client.request("POST", key, [("uploadId", upload)], body=body.encode()).status


def fly(vault: Vault, flock: Flock) -> None:
    """All ways in and out, the forbidden ones too."""
    owner, job, stranger = (vault.identity(name) for name in ("owner", "job", "stranger"))
    key, meta = f"dir/{flock.text('a name', CATALOG)}", flock.text("user metadata", CATALOG)
    tagged = {"x-amz-meta-note": meta, "content-disposition": f"attachment; filename={flock.text('a header', CATALOG)}"}
    client = Client(owner)
    plain = flock.text("plaintext of a PUT")
    data = (plain + " ").encode() * 8000  # several segments
    seen = {"put": client.request("PUT", key, headers=tagged, body=data).status}
    seen["signed put"] = client.request("PUT", key + "-signed", body=data, payload=sha256(data)).status
    seen["chunked"] = chunked(owner, key + "-chunked", (flock.text("plaintext of chunks") + " ").encode() * 3000)
    seen["presigned put"] = presigned(owner, "PUT", key + "-presigned", flock.text("plaintext of a presigned PUT").encode() * 50)
    seen["multipart"] = multipart(client, key + "-parts", flock.text("plaintext of a part").encode() * 3000, tagged)
    seen["copy"] = client.request("PUT", key + "-copy", headers={"x-amz-copy-source": f"/{owner.bucket}/{key}"}).status
    seen["get"] = client.request("GET", key).status
    seen["head"] = client.request("HEAD", key).status
    seen["list"] = client.request("GET", None, [("list-type", "2"), ("prefix", key[:12])]).status
    seen["presigned get"] = presigned(job, "GET", key)
    seen["delete"] = client.request("DELETE", key + "-signed").status
    wrong = [(name, status) for name, status in seen.items() if status not in (200, 204)]
    check("every way in and out is served", not wrong, wrong)

    forged = dataclasses.replace(owner, secret=flock.text("a wrong secret"))
    unknown = dataclasses.replace(owner, key=flock.text("an unknown access key"))
    short = flock.text("plaintext of a body that was cut short").encode() * 5000
    refusals = {
        "wrong secret": Client(forged).request("GET", key).status,
        "wrong secret, presigned": presigned(forged, "GET", key),
        "unknown key": Client(unknown).request("GET", key).status,
        "stranger": Client(stranger).request("GET", key).status,
        "job writes": Client(job).request("PUT", key, body=flock.text("plaintext of a refused PUT").encode() * 500).status,
        "wrong checksum": client.request("PUT", key + "-bad", headers={"x-amz-checksum-crc32": "AAAAAA=="}, body=short).status,
        "security token": client.request("GET", key, headers={"x-amz-security-token": flock.text("a session token")}).status,
        "malformed XML": client.request("POST", None, [("delete", "")], {}, f"<Delete>{flock.text('a form')}".encode()).status,
        "unknown header": client.request("GET", key, headers={"x-amz-strange": flock.text("a strange header")}).status,
        "cookie": exchange(owner, "GET", f"/{owner.bucket}/{key}", {"authorization": f"Bearer {flock.text('a bearer token')}"}).status,
    }
    served = [(name, status) for name, status in refusals.items() if status < 400 and name != "unknown header"]
    check("every forbidden way is refused", not served, refusals)


def everything(place: pathlib.Path):
    """Each file of the run by its name within it."""
    for path in sorted(place.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(place)), path.read_bytes()


def credentials(vault: Vault, flock: Flock) -> None:
    for path in vault.dir.glob("*.env"):
        flock.known(f"the secret of {path.stem}", read_env(path)["AWS_SECRET_ACCESS_KEY"], rf"^vault/{path.name}$")
    text = (vault.dir / "root.age").read_text()
    root = re.search(r"AGE-SECRET-KEY-\S+", text)
    check("the root identity is where the demo leaves it", bool(root))
    if root:
        flock.known("the root identity", root[0], r"^vault/root\.age$")
        flock.known("the root identity in small letters", root[0].lower())


def main() -> int:
    place, flock = scratch("canary"), Flock()
    spied(flock)
    vault = Vault(place / "vault", {"log": {"level": "trace"}})
    vault.environment["TMPDIR"] = str(place / "tmp")
    (place / "tmp").mkdir()
    try:
        vault.start().stop()
        credentials(vault, flock)
        vault.serve()
        fly(vault, flock)
        (place / "metrics").write_text(vault.ops_page("/metrics")[1] + vault.ops_page("/readyz")[1])
        vault.kill()  # what a crash leaves is searched too
        crashed = dict(everything(place))
        vault.serve()
        Client(vault.identity()).request("GET", "dir/none")
        (place / "doctor").write_text("".join((run := vault.command("--json", "doctor")).stdout + run.stderr))
        vault.stop()
    finally:
        vault.kill()
    found = search(flock, {**{f"{name} (after a kill)": data for name, data in crashed.items()}, **dict(everything(place))})
    kinds = sorted({canary.name for canary in flock.all})
    for kind in kinds:
        places = [text for name, text in found if name == kind]
        check(f"{kind} is nowhere", not places, sorted(set(places))[:5])
    log = vault.log.read_bytes()
    check("the log was talkative", b"TRACE" in log or b"DEBUG" in log, log[:300])
    check("temporary files: none", not any((place / "tmp").iterdir()))
    check("the search finds what is there", proves_itself(flock, place))
    clean(place)
    return done()


def search(flock: Flock, files: dict[str, bytes]) -> list[tuple[str, str]]:
    found = []
    for canary in flock.all:
        for shape, needle in canary.shapes().items():
            for name, data in files.items():
                if needle in data and not re.match(canary.allowed, name.removesuffix(" (after a kill)")):
                    found.append((canary.name, f"{shape} in {name}"))
        if any(canary.word.decode() in name for name in files):
            found.append((canary.name, "a file's name"))
    return found


def proves_itself(flock: Flock, place: pathlib.Path) -> bool:
    """Each shape is found in a file that holds it, and the allowed places do hold what they may."""
    sample = Canary("sample", b"canary-of-the-search-itself", "^$")
    probe = Flock()
    probe.all.append(sample)
    shapes = sample.shapes().values()
    files = {f"f{n}": b"x" + needle + b"y" for n, needle in enumerate(shapes)}
    files["b"] = base64.b64encode(b"ab" + sample.word + b"cd")
    whole = {text.rpartition(" ")[2] for _, text in search(probe, files)}
    names = [c for c in flock.all if c.name == "a name"]
    catalog = b"".join(data for name, data in everything(place) if re.match(CATALOG, name))
    return whole == set(files) and all(c.word in catalog for c in names)


if __name__ == "__main__":
    sys.exit(main())
