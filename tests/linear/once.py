"""A multipart upload becomes an object once, however often and however many at once complete it, and whatever dies.

    python once.py            KLUIS_ONCE_ROUNDS=60 for more; KLUIS_SEED=N repeats the choices of a run

The bucket keeps versions, so that a second completion would be seen: it would be another version. Each upload is completed
by several clients at the same time, who may disagree on its parts or want it aborted; in most rounds the server is killed
meanwhile, and after its start they ask again. In the end: one version or none, the same to all who were told of it.
"""

import collections
import dataclasses
import os
import random
import re
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from vault import Client, Identity, Reply, Vault, check, clean, done, say, scratch, seed  # noqa: E402

ROUNDS = int(os.environ.get("KLUIS_ONCE_ROUNDS", "10"))
UPLOADS, ASKERS = 4, 4
PART_BYTES = 70_000
DONE = b"</CompleteMultipartUploadResult>"


def found(tag: str, body: bytes) -> list[str]:
    return [text.decode() for text in re.findall(rb"<%s>([^<]*)</%s>" % (tag.encode(), tag.encode()), body)]


@dataclasses.dataclass
class Told:
    """What one asker was told: of an object made, by tag and version; or that there is no such upload."""

    kind: str
    status: int
    tag: str = ""
    version: str = ""


class Upload:
    """One upload of two parts, and all that is said about it."""

    def __init__(self, client: Client, key: str, game: str):
        self.key, self.game, self.told, self.lock = key, game, [], threading.Lock()
        begun = client.request("POST", key, [("uploads", "")])
        (self.id,) = found("UploadId", begun.body)
        self.parts = [random.Random(f"{key}{n}").randbytes(PART_BYTES + n) for n in (1, 2)]
        self.tags = []
        for number, part in enumerate(self.parts, 1):
            sent = client.request("PUT", key, [("partNumber", str(number)), ("uploadId", self.id)], body=part)
            if sent.status != 200:
                raise RuntimeError(f"a part: {sent}")
            self.tags.append(sent.etag)

    def bodies(self) -> set[bytes]:
        """What the object may be: of the parts that any asker named."""
        whole = b"".join(self.parts)
        return {whole, self.parts[0]} if self.game == "disagree" else {whole}

    def complete(self, client: Client, parts: int, headers=None) -> Reply:
        named = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{self.tags[n - 1]}</ETag></Part>"
                        for n in range(1, parts + 1))
        body = f"<CompleteMultipartUpload>{named}</CompleteMultipartUpload>".encode()
        reply = client.request("POST", self.key, [("uploadId", self.id)], headers, body)
        made = reply.status == 200 and reply.whole and DONE in reply.body
        status = reply.status if made or reply.status != 200 else 0
        tag = found("ETag", reply.body)[0].replace("&quot;", '"').replace("&#34;", '"') if made else ""
        self.note(Told("complete", status, tag, reply.headers.get("x-amz-version-id", "") if made else ""))
        return reply

    def abort(self, client: Client) -> None:
        self.note(Told("abort", client.request("DELETE", self.key, [("uploadId", self.id)]).status))

    def note(self, told: Told) -> None:
        with self.lock:
            self.told.append(told)

    def ask(self, client: Client, number: int) -> None:
        """What the asker of this number does, as the game of this upload has it."""
        if self.game == "abort" and number == 0:
            self.abort(client)
        elif self.game == "disagree":
            self.complete(client, 1 + number % 2)
        elif self.game == "create":
            self.complete(client, 2, {"if-none-match": "*"})
        else:
            self.complete(client, 2)


GAMES = ("same", "disagree", "abort", "create")


def versions(client: Client, key: str) -> list[tuple[str, str]]:
    """Tag and version of each version of a key."""
    reply = client.request("GET", None, [("versions", ""), ("prefix", key)])
    if reply.status != 200 or found("IsTruncated", reply.body) != ["false"]:
        raise RuntimeError(f"versions: {reply}")
    tags = [tag.replace("&quot;", '"').replace("&#34;", '"') for tag in found("ETag", reply.body)]
    return list(zip(tags, found("VersionId", reply.body), strict=True))


def judge(client: Client, upload: Upload, pending: set[str]) -> list[str]:
    """Each way in which an upload did not end as it must."""
    there, faults = versions(client, upload.key), []
    told = {(t.tag, t.version) for t in upload.told if t.kind == "complete" and t.status == 200}
    aborted = any(t.kind == "abort" and t.status == 204 for t in upload.told)
    if len(there) > 1:
        faults.append(f"{len(there)} versions")
    if len(told) > 1:
        faults.append(f"told of different objects: {told}")
    if told - set(there):
        faults.append(f"told of {told}, there is {there}")
    if told and aborted:
        faults.append("completed and aborted")
    if not there and not aborted and not any(t.status == 0 and t.kind == "abort" for t in upload.told):
        faults.append(f"neither an object nor an abort: {upload.told}")
    if upload.id in pending:
        faults.append("it is still listed as an upload")
    if there:
        got = client.request("GET", upload.key)
        if got.status != 200 or got.body not in upload.bodies() or got.etag != there[0][0]:
            faults.append(f"GET: {got.status}, {len(got.body)} bytes, {got.etag}")
    odd = {t.status for t in upload.told} - {0, 200, 204, 404, 412}
    if odd:
        faults.append(f"answers {odd}")
    return [f"{upload.key} ({upload.game}): {fault}" for fault in faults]


def at_once(who: Identity, uploads: list[Upload], meanwhile) -> None:
    """Every asker of every upload, all let go at the same moment; and what happens meanwhile, which may wait for answers."""
    gate, answers = threading.Barrier(len(uploads) * ASKERS + 1), threading.Semaphore(0)

    def asker(upload: Upload, number: int) -> None:
        client = Client(who, 20)
        client.request("HEAD", upload.key)  # the connection is there before the race
        gate.wait()
        upload.ask(client, number)
        answers.release()
        client.close()

    threads = [threading.Thread(target=asker, args=(upload, n)) for upload in uploads for n in range(ASKERS)]
    for thread in threads:
        thread.start()
    gate.wait()
    meanwhile(answers)
    for thread in threads:
        thread.join()


def repeat(who: Identity, upload: Upload, seen: collections.Counter) -> None:
    """Who got no answer asks again, until there is one: the first answer once more, or that the upload is gone."""
    client = Client(who)
    for _ in range(2):
        reply = upload.complete(client, 2)
        seen["repeated", reply.status] += 1
    if upload.game == "create":
        upload.complete(client, 2, {"if-none-match": "*"})
    upload.abort(client)


def round_of(vault: Vault, who: Identity, number: int, rng: random.Random, seen: collections.Counter) -> list[str]:
    client, killed = Client(who), number % 4 != 0
    uploads = [Upload(client, f"round-{number:03}/{game}-{n}", game) for game in GAMES for n in range(UPLOADS // len(GAMES))]
    # By the answers that have come and not by the clock, which on a slow or a fast machine misses all completions; the
    # pause makes it hit within a completion too.
    after, pause = rng.randint(0, UPLOADS * ASKERS // 2), rng.uniform(0, 0.003)

    def kill(answers: threading.Semaphore) -> None:
        for _ in range(after):
            answers.acquire(timeout=20)
        time.sleep(pause)
        vault.kill()

    at_once(who, uploads, kill if killed else lambda answers: None)
    for upload in uploads:
        for told in upload.told:
            seen[told.kind, told.status] += 1
    if killed:
        vault.start()
    client = Client(who)
    mid = {upload.key: versions(client, upload.key) for upload in uploads}
    for upload in uploads:
        if killed and upload.told and all(t.status == 0 for t in upload.told) and not mid[upload.key]:
            seen["cut off before"] += 1
        if any(t.status == 0 for t in upload.told) and mid[upload.key] and not any(t.status == 200 for t in upload.told):
            seen["done and not told"] += 1
        repeat(who, upload, seen)
    listed = client.request("GET", None, [("uploads", "")])
    pending = set(found("UploadId", listed.body))
    return [fault for upload in uploads for fault in judge(client, upload, pending)]


def main() -> int:
    rng, place, seen, faults = random.Random(seed()), scratch("once"), collections.Counter(), []
    vault = Vault(place / "vault").start()
    try:
        who = vault.identity()
        enable = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
        enabled = Client(who).request("PUT", None, [("versioning", "")], body=enable)
        if enabled.status != 200:
            raise RuntimeError(f"versioning: {enabled}")
        rounds = 0
        while rounds < ROUNDS or (not seen["complete", 0] and rounds < 4 * ROUNDS):
            rounds += 1
            faults += [f"round {rounds}: {fault}" for fault in round_of(vault, who, rounds, rng, seen)]
        code = vault.stop()
    finally:
        vault.kill()
    check(f"{rounds * UPLOADS} uploads, each completed by {ASKERS} at once, killed and asked again: made once or not at all",
          not faults, faults[:4])
    check("the load was one: completions acknowledged, cut off, refused, and repeated",
          seen["complete", 200] > 0 and seen["complete", 0] > 0 and seen["repeated", 200] + seen["repeated", 404] > 0,
          dict(seen))
    check("stopped in peace, the server ends with 0", code == 0, f"{code} {vault.log_tail()}")
    check("no panic", "panicked" not in vault.log.read_text(errors="replace"), vault.log_tail())
    say(f"answers {dict(seen)}")
    clean(place)
    return done()


if __name__ == "__main__":
    sys.exit(main())
