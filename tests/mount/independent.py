"""A node written from FORMAT.md alone (tests/opener) reads a published version through the API, and finds what was uploaded."""

import base64
import hashlib
import http.client
import json
import pathlib
import random
import sys
from urllib.parse import quote

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "opener")]
from kluis_manifest import commitment, read_root, read_version  # noqa: E402
from kluis_open import Refused, open_blob  # noqa: E402
from kluis_records import extents  # noqa: E402
from mounts import lab, publish, tree, upload  # noqa: E402
from vault import check, done, seed  # noqa: E402
from wire import Signer  # noqa: E402

SEGMENT, HEADER, TAG = 65_536, 136, 16


class Api:
    """Signed requests below one version."""

    def __init__(self, vault, version: str):
        name, number = version.split("@")
        self.who = vault.identity("job")
        self.path = f"/.kluis/v1/versions/{name.replace('/', '--')}--v{number}"
        self.line = http.client.HTTPConnection(vault.listen, timeout=30)

    def ask(self, below: str, query=(), body: bytes = b"") -> bytes:
        path = f"{self.path}/{below}"
        payload = hashlib.sha256(body).hexdigest()
        headers = Signer(self.who).headers("POST" if body else "GET", path, list(query), {}, payload)
        text = "&".join(f"{name}={quote(value, safe='')}" for name, value in query)
        self.line.request("POST" if body else "GET", path + (f"?{text}" if text else ""), body=body or None, headers=headers)
        answer = self.line.getresponse()
        data = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{below}: {answer.status} {data[:200]!r}")
        return data


def content(api: Api, entry) -> bytes:
    """The bytes of a file: its key released, its table held against the manifest, its blobs opened."""
    body = json.dumps({"runs": [{"from": entry.key, "count": 1}]}).encode()
    released = json.loads(api.ask("keys", body=body))["released"][0]
    table = base64.b64decode(released["table"])
    if released["key"] != entry.key or commitment(table) != entry.commitment:
        raise Refused("commitment")
    plain = b""
    for extent in extents(table):
        whole = extent["blob_plaintext_bytes"]
        sealed = HEADER + whole + TAG * -(-whole // SEGMENT)
        query = [("blob", extent["blob_id"]), ("from", "0"), ("key", entry.key), ("to", str(sealed))]
        what, opened = open_blob(bytes.fromhex(extent["key"]), api.ask("sealed", query), extent["blob_id"])
        if (what.owner, what.index) != (extent["owner"], extent["index"]):
            raise Refused("owner")
        plain += opened[extent["start"]:extent["start"] + extent["len"]]
    return plain


def main() -> int:
    rng = random.Random(seed())
    with lab("independent") as (base, vault):
        files = tree(rng)
        upload(vault, files)
        version = publish(vault)
        shown = json.loads(vault.command("dataset", "versions", "demo/wdbc", "--json").stdout.splitlines()[0])
        api = Api(vault, version)
        opened = json.loads(api.ask("root"))
        envelope, signer = base64.b64decode(opened["envelope"]), bytes.fromhex(opened["signer"])
        root = read_root(envelope, signer)
        check("the root says what `kluis dataset versions` says", (f"{root.name}@{root.number}", root.digest.hex()) == (version, shown["root"]), shown)
        key = base64.b64decode(opened["index_key"])
        pieces = {None: api.ask("index")} | {n: api.ask(f"pages/{n}") for n in range(root.pages)}
        entries = list(read_version(root, key, pieces[None], pieces.__getitem__))
        found = {entry.key: entry for entry in entries if not entry.is_directory}
        check("names are those that were uploaded", found.keys() == files.keys(), sorted(found.keys() ^ files.keys())[:4])
        check("totals are those of the root", (len(found), sum(e.bytes for e in found.values())) == (root.objects, root.bytes))
        above = {key.rsplit("/", n)[0] + "/" for key in files for n in range(1, key.count("/") + 1)}
        check("directories are those of the names", {entry.key + "/" for entry in entries if entry.is_directory} == above)
        wrong = [name for name, entry in found.items() if content(api, entry) != files[name]]
        check(f"every byte of {len(found)} files, opened by the second implementation", not wrong, wrong[:3])
        refused = 0
        for number, sealed in pieces.items():
            bent = bytearray(sealed)
            bent[rng.randrange(len(bent))] ^= 1
            try:
                list(read_version(root, key, bent if number is None else pieces[None], (pieces | {number: bytes(bent)}).__getitem__))
            except Refused:
                refused += 1
        check("no bent piece is read", refused == len(pieces), (refused, len(pieces)))
    return done()


sys.exit(main())
