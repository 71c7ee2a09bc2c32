"""Locked volumes before the store's own administrator: he has every right that its S3 knows, and tries them.

    python worm.py STORE_DIR RUN_DIR     STORE_DIR as tests/lab/store.sh leaves it: owner.env
"""

import datetime
import json
import os
import pathlib
import subprocess
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from vault import Client, Vault, check, done, read_env, say  # noqa: E402

STORE, RUN = pathlib.Path(sys.argv[1]) / "owner.env", pathlib.Path(sys.argv[2])
AUDIT = os.environ["KLUIS_AUDIT_BIN"]
LOCKED, PROBE = "locked", "log/" + "0" * 32
DAYS, LONGER, MARGIN = 1827, 3653, 3


def administrator():
    env = read_env(STORE)
    return boto3.client(
        "s3", endpoint_url=env["AWS_ENDPOINT_URL"], region_name=env["AWS_REGION"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"], aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )


s3 = administrator()


def code_of(act, **words) -> str:
    """The error that the store answers an act with; empty where it does it."""
    try:
        act(**words)
        return ""
    except ClientError as error:
        return f"{error.response['ResponseMetadata']['HTTPStatusCode']} {error.response['Error']['Code']}"


def audit(vault: Vault, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [AUDIT, "--config", str(vault.dir / "kluis.toml"), *words], env=vault.environment,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90, check=False,
    )


def traced(vault: Vault) -> subprocess.CompletedProcess:
    """Ships, and looks in which order the index of volumes becomes durable."""
    out = RUN / "calls"
    command = ["strace", "-f", "-y", "-qq", "-o", str(out), "-e", "trace=fsync,fdatasync,rename,unlink", AUDIT,
               "--config", str(vault.dir / "kluis.toml"), "ship", "--all"]
    done = subprocess.run(command, env=vault.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=120, check=False)
    calls = [line.split(None, 1)[1] for line in out.read_text().splitlines()]
    renamed = [at for at, call in enumerate(calls) if call.startswith("rename(") and '/volumes"' in call]
    for at in renamed:
        before = any("sync(" in call and "/volumes.new>" in call for call in calls[:at])
        after = next((call for call in calls[at + 1:] if call.startswith(("fsync(", "unlink(", "rename("))), "")
        check("the index is durable before its name, and its name before anything else goes",
              before and after.startswith("fsync(") and after.split(">")[0].endswith("/log"), calls[at - 2:at + 4])
    check("the index was written", bool(renamed), calls)
    return done


def use(vault: Vault) -> None:
    """Some requests, and a stop, which puts them all under a checkpoint."""
    vault.start()
    client = Client(vault.identity())
    for n in range(20):
        client.request("PUT", f"object-{n}", body=b"x" * 1000)
        client.request("GET", f"object-{n}")
    vault.stop()


def volumes() -> list[dict]:
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=LOCKED, Prefix="log/")
    return [seen for page in pages for seen in page.get("Versions", []) if seen["Key"] != PROBE]


def until(seen: dict) -> datetime.datetime:
    told = s3.get_object_retention(Bucket=LOCKED, Key=seen["Key"], VersionId=seen["VersionId"])["Retention"]
    return told["RetainUntilDate"] if told["Mode"] == "COMPLIANCE" else datetime.datetime.now(datetime.timezone.utc)


def days_left(seen: dict) -> float:
    return (until(seen) - datetime.datetime.now(datetime.timezone.utc)).total_seconds() / 86400


def events(vault: Vault) -> tuple[int, set[str], str]:
    """Whom the volumes tell of: the journal's newest records are left out of what is compared."""
    asked = audit(vault, "--json", "query", "--vault", "--sql",
                  "SELECT event FROM requests WHERE operation IN ('PutObject', 'GetObject')")
    return asked.returncode, {line for line in asked.stdout.splitlines() if line}, asked.stderr


def refused(vault: Vault) -> None:
    """What the administrator tries on each volume."""
    for seen in volumes():
        name = {"Bucket": LOCKED, "Key": seen["Key"]}
        version = name | {"VersionId": seen["VersionId"]}
        sooner = {"Mode": "COMPLIANCE", "RetainUntilDate": until(seen) - datetime.timedelta(days=1)}
        for title, act, words in (
            ("deletes it", s3.delete_object, version),
            ("deletes it and asks to bypass the lock", s3.delete_object, version | {"BypassGovernanceRetention": True}),
            ("shortens its lock", s3.put_object_retention, version | {"Retention": sooner}),
            ("shortens it with a bypass", s3.put_object_retention,
             version | {"Retention": sooner, "BypassGovernanceRetention": True}),
            ("makes it governance", s3.put_object_retention,
             version | {"Retention": sooner | {"Mode": "GOVERNANCE"}, "BypassGovernanceRetention": True}),
        ):
            code = code_of(act, **words)
            check(f"au_9 the store refuses its administrator who {title}", code.startswith("403"), code)
    code = code_of(s3.delete_bucket, Bucket=LOCKED)
    check("au_9 and who deletes the bucket", code.startswith("409"), code)
    code = code_of(s3.put_bucket_versioning, Bucket=LOCKED, VersioningConfiguration={"Status": "Suspended"})
    check("au_9 and who switches versions off", code.startswith("409"), code)


def hidden(vault: Vault, before: set[str]) -> None:
    """What he can do: put a mark in front of a volume, and write another version over it."""
    seen = volumes()
    s3.delete_object(Bucket=LOCKED, Key=seen[0]["Key"])
    s3.put_object(Bucket=LOCKED, Key=seen[-1]["Key"], Body=b"another")
    code, after, told = events(vault)
    check("au_9 what is deleted in front of its lock is read all the same", (code, after) == (0, before),
          (code, len(after), told))
    looked = vault.command("doctor")
    check("au_9 the doctor says that somebody deleted it", "deleted in the store by somebody else" in looked.stdout,
          looked.stdout)
    told = audit(vault, "expire").stderr
    check("au_9 so does expire, of the version that was written over too",
          "was deleted in the store at" in told and "was written over in the store at" in told, told)
    check("it does so without an error", audit(vault, "expire").returncode == 0)
    index = vault.dir / "data/log/volumes"
    index = index if index.exists() else next(vault.dir.rglob("log/volumes"))
    index.rename(index.with_name("volumes.lost"))
    code, after, told = events(vault)
    check("au_9 an index that is lost is made again past the marks", (code, after) == (0, before),
          (code, len(after), told))
    index.with_name("volumes.lost").rename(index)


def required(vault: Vault) -> None:
    """A bucket without locks: nothing starts that requires them, and what tries says so."""
    toml = vault.dir / "kluis.toml"
    text = toml.read_text()
    toml.write_text(text.replace(f'bucket = "{LOCKED}"', 'bucket = "blobs"', 1) if f'bucket = "{LOCKED}"' in text else text)
    vault.spawn("--config", str(toml), "serve")
    code = vault.process.wait(60)
    told = vault.log_tail()
    check("a gateway that requires locks does not start without them",
          code == 2 and "cannot be locked: its bucket has no Object Lock" in told, (code, told))
    asked = audit(vault, "ship")
    check("nor does ship", asked.returncode == 2 and "no Object Lock" in asked.stderr, asked.stderr)
    looked = vault.command("doctor")
    check("the doctor says why", looked.returncode == 1 and "no Object Lock" in looked.stdout, looked.stdout)
    toml.write_text(toml.read_text().replace('worm = "require"', 'worm = "try"', 1))
    looked = vault.command("doctor")
    check("where it is only tried it is told", "are not locked: its bucket has no Object Lock" in looked.stdout,
          looked.stdout)
    vault.serve()
    vault.stop()
    check("and the gateway starts", True)
    toml.write_text(text)


def main() -> None:
    vault = Vault(RUN / "vault", {"volumes": {"bucket": LOCKED, "worm": "require"}}, STORE)
    use(vault)
    told = s3.get_object_lock_configuration(Bucket=LOCKED)["ObjectLockConfiguration"]["ObjectLockEnabled"]
    check("the gateway made the volumes' bucket with locks", told == "Enabled", told)
    shipped = traced(vault)
    check("volumes are shipped", shipped.returncode == 0 and bool(volumes()), shipped.stderr)
    left = [days_left(seen) for seen in volumes()]
    check("au_9 each is locked until its records' time is over",
          all(DAYS + MARGIN - 1 < days < DAYS + MARGIN + 0.01 for days in left), left)
    code, before, told = events(vault)
    check("what was recorded is found in them", code == 0 and len(before) >= 40, (code, len(before), told))
    refused(vault)
    longer = vault.command("project", "log", "demo", "--days", str(LONGER))
    check("a project keeps its records for longer", longer.returncode == 0, longer.stderr)
    shipped = audit(vault, "ship", "--all")
    left = [days_left(seen) for seen in volumes()]
    say(f"locked for {left} days: {shipped.stderr}")
    check("au_9 and the locks of what is there become longer",
          shipped.returncode == 0 and all(days > LONGER + MARGIN - 1 for days in left), (left, shipped.stderr))
    hidden(vault, before)
    required(vault)


main()
sys.exit(done())
