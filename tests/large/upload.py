"""A large upload, with client and gateway killed again and again: it goes on where it was, and ends as what was sent.

    python upload.py GIB [STORE_DIR]     STORE_DIR: a started store of tests/lab/store.sh, else a directory

The client is a process with boto3 that knows nothing but the bucket, the key and the file's content, which follows from its
offset: after each start it asks for the upload that is under way (ListMultipartUploads), for the parts that are there
(ListParts), and sends the others, several at a time. It is killed with -9, and so is the gateway, each a number of times
while parts are on their way. In the end the object is read whole, and ranges of it, and compared.
"""

import concurrent.futures
import hashlib
import os
import pathlib
import random
import resource
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))

KEY, PART_BYTES, LANES, KILLS = "large/object", 64 << 20, 3, 6
BLOCK = 1 << 20


def block(number: int) -> bytes:
    """One MiB of the file, unlike every other, and made fast."""
    return hashlib.shake_128(b"block %d" % number).digest(4096) * (BLOCK // 4096)


def part(number: int, size: int) -> bytes:
    first = (number - 1) * PART_BYTES
    return b"".join(block((first + at) // BLOCK) for at in range(0, min(PART_BYTES, size - first), BLOCK))


# ---- the client, a process of its own ----


def upload(size: int) -> None:
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 20, "mode": "standard"},
                    connect_timeout=5, read_timeout=60)
    s3 = boto3.client("s3", config=config)  # endpoint and credential are in the environment
    bucket = os.environ["KLUIS_BUCKET"]
    under_way = s3.list_multipart_uploads(Bucket=bucket, Prefix=KEY).get("Uploads", [])
    name = under_way[0]["UploadId"] if under_way else s3.create_multipart_upload(Bucket=bucket, Key=KEY)["UploadId"]
    made = dict(Bucket=bucket, Key=KEY, UploadId=name)

    def there() -> dict[int, str]:
        pages = s3.get_paginator("list_parts").paginate(**made)
        return {p["PartNumber"]: p["ETag"] for page in pages for p in page.get("Parts", [])}

    numbers = range(1, -(-size // PART_BYTES) + 1)
    missing = [number for number in numbers if number not in there()]
    print(f"going on with {len(missing)} of {len(numbers)} parts", flush=True)
    with concurrent.futures.ThreadPoolExecutor(LANES) as lanes:
        list(lanes.map(lambda n: s3.upload_part(**made, PartNumber=n, Body=part(n, size)), missing))
    parts = [{"PartNumber": number, "ETag": tag} for number, tag in sorted(there().items())]
    s3.complete_multipart_upload(**made, MultipartUpload={"Parts": parts})


# ---- the test ----


def until_gone(client: subprocess.Popen, seconds: float) -> bool:
    try:
        client.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def read_back(vault, size: int) -> str:
    """Reads all of it in pieces of a part, and compares; empty if it is what was sent."""
    from vault import Client  # noqa: PLC0415

    client = Client(vault.identity(), 120)
    for number in range(1, -(-size // PART_BYTES) + 1):
        first = (number - 1) * PART_BYTES
        want = part(number, size)
        got = client.request("GET", KEY, headers={"range": f"bytes={first}-{first + len(want) - 1}"})
        if got.status != 206 or got.body != want:
            return f"part {number}: {got.status}, {len(got.body)} bytes"
    head = client.request("HEAD", KEY)
    return "" if head.headers.get("content-length") == str(size) else f"HEAD: {head.headers}"


def main() -> int:
    from vault import Client, Vault, check, clean, done, read_env, say, scratch, seed  # noqa: PLC0415

    size = int(float(sys.argv[1]) * (1 << 30)) // BLOCK * BLOCK
    store = pathlib.Path(sys.argv[2]) / "owner.env" if len(sys.argv) > 2 else None
    rng, place = random.Random(seed()), scratch("large")
    vault = Vault(place / "vault", store=store).start()
    started, killed_clients, killed_gateways, peak_kib = time.monotonic(), 0, 0, 0

    def client() -> subprocess.Popen:
        return subprocess.Popen([sys.executable, __file__, "client", str(size)],
                                env=os.environ | read_env(vault.dir / "owner.env"))

    hand = client()
    try:
        # Kills at even distances of what is there, whatever the machine's speed.
        for kill in range(KILLS):
            goal = size * (kill + 1) // (KILLS + 2)
            while stored(vault.dir, store) < goal and not until_gone(hand, 0.2):
                pass
            time.sleep(rng.uniform(0, 0.5))
            peak_kib = max(peak_kib, vault.memory_kib("VmHWM"))
            if kill % 3 != 1:
                vault.kill()
                killed_gateways += 1
            if kill % 3 != 0:
                hand.send_signal(signal.SIGKILL)
                hand.wait()
                killed_clients += 1
            if kill % 3 != 1:
                vault.start()
            if hand.poll() is not None:
                hand = client()
        ended = hand.wait()
        peak_kib = max(peak_kib, vault.memory_kib("VmHWM"))
        seconds = time.monotonic() - started
        check("the client ends with 0", ended == 0, ended)
        began = time.monotonic()
        wrong = read_back(vault, size)
        check(f"{size >> 20} MiB are what was sent, after {killed_clients} killed clients and {killed_gateways} killed gateways",
              not wrong, wrong)
        left = Client(vault.identity()).request("GET", None, [("uploads", "")])
        check("no upload is left", left.status == 200 and b"<UploadId>" not in left.body, left)
        say(f"{size >> 20} MiB sent in {seconds:.0f} s with all restarts, read in {time.monotonic() - began:.0f} s; "
            f"the gateway took at most {peak_kib >> 10} MiB of memory")
        code = vault.stop()
        check("stopped in peace, the server ends with 0", code == 0, f"{code} {vault.log_tail()}")
        check("no panic", "panicked" not in vault.log.read_text(errors="replace"), vault.log_tail())
    finally:
        if hand.poll() is None:
            hand.kill()
        vault.kill()
    clean(place)
    return done()


def stored(vault: pathlib.Path, store: pathlib.Path | None) -> int:
    """Bytes that the store takes by now."""
    folder = store.parent if store else vault / "store"
    return sum(entry.stat().st_size for entry in folder.rglob("*") if entry.is_file()) if folder.exists() else 0


if __name__ == "__main__":
    if sys.argv[1] == "client":
        upload(int(sys.argv[2]))
        sys.exit()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.exit(main())
