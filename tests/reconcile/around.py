"""Reads, writes and deletes past the vault, in the log of the server before its store and in the store's inventory."""

import csv
import json
import os
import pathlib
import subprocess
import sys
import time

import boto3
from botocore.config import Config

RUN = pathlib.Path(sys.argv[1])
LOG, AUDIT = RUN / "access.log", os.environ["KLUIS_AUDIT_BIN"]
FAILED = 0


def check(title: str, right: bool, detail: object = "") -> None:
    global FAILED
    FAILED += not right
    print(f"PASS {title}" if right else f"FAIL {title}: {str(detail)[:1500]}", flush=True)


def env_of(path: pathlib.Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line and line[0] != "#")


def client(env: dict[str, str]):
    return boto3.client(
        "s3", endpoint_url=env["AWS_ENDPOINT_URL"], region_name=env["AWS_REGION"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"], aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
    )


VAULT, STORE = env_of(RUN / "vault/owner.env"), env_of(RUN / "nginx/owner.env")
vault, store = client(VAULT), client(STORE)
BUCKET, BLOBS = VAULT["KLUIS_BUCKET"], "blobs"


def audit(*args: str) -> tuple[int, list[dict], str]:
    env = {
        "PATH": os.environ["PATH"],
        "KLUIS_STORE_ACCESS_KEY_ID": STORE["AWS_ACCESS_KEY_ID"],
        "KLUIS_STORE_SECRET_ACCESS_KEY": STORE["AWS_SECRET_ACCESS_KEY"],
    }
    done = subprocess.run(
        [AUDIT, "--config", str(RUN / "vault/kluis.toml"), "--json", *args],
        env=env, capture_output=True, text=True, timeout=90, check=False,
    )
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return done.returncode, found, done.stderr


def reconcile(*args: str, slack: str = "1s"):
    return audit("reconcile", "--slack", slack, *args)


def of_log(*args: str, **more):
    return reconcile("--log", str(LOG), "--form", "combined", *args, **more)


def blobs() -> dict[str, object]:
    pages = store.get_paginator("list_objects_v2").paginate(Bucket=BLOBS)
    return {entry["Key"]: entry for page in pages for entry in page.get("Contents", [])}


def pause() -> None:
    """Longer than the slack and the log's seconds together, so that nothing of before covers what follows."""
    time.sleep(5)


def through_the_vault() -> tuple[str, str]:
    """Reads and writes as clients do; two blobs' names in the store."""
    names = []
    for key in ("one", "two"):
        before = set(blobs())
        vault.put_object(Bucket=BUCKET, Key=key, Body=os.urandom(200_000))
        names += set(blobs()) - before
    for key in ("one", "two"):
        vault.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        vault.get_object(Bucket=BUCKET, Key=key, Range="bytes=70000-80000")["Body"].read()
    vault.list_objects_v2(Bucket=BUCKET)
    names = [name for name in names if store.head_object(Bucket=BLOBS, Key=name)["ContentLength"] > 200_000]
    return names[0], names[-1]


def inventory(path: pathlib.Path) -> None:
    with path.open("w", newline="") as file:
        rows = csv.writer(file, quoting=csv.QUOTE_ALL)
        for key, entry in blobs().items():
            rows.writerow([BLOBS, key, entry["Size"], entry["LastModified"].strftime("%Y-%m-%dT%H:%M:%S.000Z")])


def main() -> None:
    one, two = through_the_vault()
    code, found, told = of_log()
    check("what went through the vault is covered", code == 0 and not found, (code, found, told))
    pause()
    mark = LOG.stat().st_size
    store.get_object(Bucket=BLOBS, Key=one)["Body"].read()
    code, found, told = of_log()
    reads = [f for f in found if f["finding"] == "read" and f["name"] == one]
    check("au_8 a direct read of a blob is found", code == 1 and len(reads) == 1, (code, found, told))
    check("au_8 it says of which object", reads and reads[0]["object"].endswith((":one", ":two")), reads)
    check("nothing else is accused", len(found) == len(reads), found)
    whole = LOG.read_text()
    twisted = RUN / "twisted.log"
    read = [line for line in whole.splitlines() if f"GET /{BLOBS}/{one}" in line][-1]
    for way in (f"/x/../{BLOBS}/{one}", f"//{BLOBS}/{one}", f"/{one}", f"/s3/{BLOBS}/{one}"):
        twisted.write_text(read.replace(f"/{BLOBS}/{one}", way) + "\n")
        code, found, told = reconcile("--log", str(twisted), "--form", "combined")
        check(f"au_8 the same read in another path's words: {way[:12]}",
              code == 1 and [f["finding"] for f in found] == ["read"] and found[0]["object"], (code, found, told))
    for status in (499, 502, 504):
        twisted.write_text(read.replace("GET ", "DELETE ").replace(" 200 ", f" {status} ").replace(" 206 ", f" {status} ") + "\n")
        code, found, told = reconcile("--log", str(twisted), "--form", "combined")
        check(f"au_8 a deletion whose end the server did not see, {status}",
              code == 1 and [f["finding"] for f in found] == ["vanished"], (code, found, told))
    store.put_object(Bucket=BLOBS, Key="0" * 32, Body=b"planted")
    store.put_object(Bucket=BLOBS, Key="note.txt", Body=b"planted")
    store.delete_object(Bucket=BLOBS, Key=two)
    store.delete_objects(Bucket=BLOBS, Delete={"Objects": [{"Key": "gone"}]})
    code, found, told = of_log()
    kinds = {(f["finding"], f["name"]) for f in found}
    for kind, name in (("appeared", "0" * 32), ("appeared", "note.txt"), ("vanished", two), ("changed", "")):
        check(f"au_8 what {kind} around the vault is found: {name[:8] or 'the bucket'}", (kind, name) in kinds, (code, found, told))
    code, found, told = of_log("--gateway", "127.0.0.2")
    check("au_8 an address that is no gateway's is a stranger's",
          code == 1 and found and all(f["finding"] == "stranger" for f in found), (code, found[:3], told))
    whole = LOG.read_bytes()
    listed = RUN / "inventory.csv"
    inventory(listed)
    time.sleep(2)
    vault.put_object(Bucket=BUCKET, Key="three", Body=b"later than the inventory")
    code, found, told = reconcile("--inventory", str(listed))
    kinds = {(f["finding"], f["name"]) for f in found}
    check("au_8 an inventory misses what was deleted", kinds == {("vanished", two)} and code == 1, (found, told))
    check("au_8 and names what is none of the vault's", "note.txt" in told, told)
    bent = RUN / "bent.log"
    bent.write_bytes(whole[:mark] + b'x" 200 \xff\xfe\n' + whole[mark:])
    code, _, told = reconcile("--log", str(bent), "--form", "combined")
    check("a line that is none is told", code == 1 and "1 lines are none of the form" in told, told)
    code, found, told = reconcile("--log", str(bent), "--form", "aws")
    check("another form reads nothing and says so", code == 1 and not found and "--form" in told, told)
    code, found, told = audit("replay", "--vault")
    check("az_5 every decision of it is the same when it is made again",
          code == 0 and not found and " 0 different" in told, (code, found, told))


main()
sys.exit(1 if FAILED else 0)
