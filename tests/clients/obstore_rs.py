"""obstore: Rust's object_store, the client below polars, delta-rs, DataFusion and Lance. Creation and swap are its commits."""

import threading

import obstore
from lib import *
from obstore.store import S3Store


def client(who: Identity, secret: str | None = None) -> S3Store:
    return S3Store(
        who.bucket, access_key_id=who.key, secret_access_key=secret or who.secret, endpoint=who.endpoint,
        region=who.region, virtual_hosted_style_request=False, client_options={"allow_http": True},
        retry_config={"max_retries": 1},
    )


store = client(OWNER)


def get(key: str) -> bytes:
    return bytes(obstore.get(store, PREFIX + key).bytes())


@check("small and empty objects with attributes")
def _():
    obstore.put(store, PREFIX + "small", SMALL.read_bytes(), attributes={"Content-Type": "text/x-sample", "colour": "blue"})
    obstore.put(store, PREFIX + "empty", b"")
    equal((get("small"), get("empty")), (SMALL.read_bytes(), b""))
    attributes = obstore.get(store, PREFIX + "small").attributes
    equal((attributes["Content-Type"], attributes["colour"]), ("text/x-sample", "blue"))


@check("40 MiB in parts, and many ranges in one call")
def _():
    data = LARGE.read_bytes()
    obstore.put(store, PREFIX + "large", data, use_multipart=True, chunk_size=PART_BYTES)
    equal(sha256(get("large")), sha256(data))
    found = obstore.get_ranges(store, PREFIX + "large", starts=[a for a, _ in RANGES], ends=[b + 1 for _, b in RANGES])
    equal([bytes(part) for part in found], [data[a : b + 1] for a, b in RANGES])


@check("created once")
def _():
    obstore.put(store, PREFIX + "once", b"first", mode="create")
    refused(lambda: obstore.put(store, PREFIX + "once", b"second", mode="create"), "AlreadyExists")
    equal(get("once"), b"first")


@check("eight threads count by swapping: no step is lost")
def _():
    obstore.put(store, PREFIX + "count", b"0")

    def add() -> None:
        for _ in range(5):
            while True:
                seen = obstore.get(store, PREFIX + "count")
                try:
                    obstore.put(store, PREFIX + "count", b"%d" % (int(bytes(seen.bytes())) + 1),
                                mode={"e_tag": seen.meta["e_tag"]})
                    break
                except obstore.exceptions.PreconditionError:
                    continue

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(get("count"), b"40")


@check("list with offset and delimiter, head, copy, rename")
def _():
    equal(obstore.head(store, PREFIX + "large")["size"], 40 << 20)
    obstore.copy(store, PREFIX + "small", PREFIX + "deep/copy")
    obstore.rename(store, PREFIX + "deep/copy", PREFIX + "deep/moved")
    found = obstore.list_with_delimiter(store, PREFIX)
    equal(found["common_prefixes"], [PREFIX + "deep"])
    equal(sorted(entry["path"].removeprefix(PREFIX) for entry in found["objects"]), ["count", "empty", "large", "once", "small"])
    after = [entry["path"] for page in obstore.list(store, PREFIX, offset=PREFIX + "large") for entry in page]
    equal(after, [PREFIX + "once", PREFIX + "small"])


@check("wrong secret, absent key")
def _():
    refused(lambda: obstore.put(client(OWNER, "x" * 40), PREFIX + "no", b"x"), "403", "Permission", "Unauthenticated")
    refused(lambda: get("absent"), "NotFound")


@check("the job cannot write, the stranger cannot read", when=JOB and STRANGER)
def _():
    equal(bytes(obstore.get(client(JOB), PREFIX + "small").bytes()), SMALL.read_bytes())
    refused(lambda: obstore.put(client(JOB), PREFIX + "small", b"x"), "403", "Permission")
    refused(lambda: obstore.get(client(STRANGER), PREFIX + "small"), "403", "Permission")


@check("delete all in one request")
def _():
    paths = [entry["path"] for page in obstore.list(store, PREFIX) for entry in page]
    obstore.delete(store, paths)
    equal([entry for page in obstore.list(store, PREFIX) for entry in page], [])


done()
