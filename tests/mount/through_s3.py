"""A published version read straight through S3 with a job's credential, by the libraries that people use: boto3, DuckDB, fsspec,
and PyTorch's connector where it is installed. Each runs in its own environment and holds what it reads against what was uploaded.

    through_s3.py                  the driver
    through_s3.py LIBRARY FOLDER   one of them: in FOLDER what was uploaded, and what is known, as JSON
"""

import hashlib
import json
import os
import pathlib
import subprocess
import sys

LAB = pathlib.Path(os.environ.get("LAB_CACHE", pathlib.Path.home() / ".cache/kluis-lab"))
ENVIRONMENTS = {"boto3": "clients", "duckdb": "clients", "fsspec": "data", "s3torchconnector": "more"}
ROWS = 20_000


def refused(act) -> bool:
    try:
        act()
    except Exception as error:  # every library has its own
        text = f"{type(error).__name__} {error} {getattr(error, 'response', '')}"
        return any(word in text for word in ("AccessDenied", "Forbidden", "403", "Permission", "denied"))
    return False


def by_boto3(facts, files) -> dict[str, bool]:
    import boto3
    from botocore.config import Config
    client = boto3.client("s3", endpoint_url=facts["endpoint"], aws_access_key_id=facts["key"], aws_secret_access_key=facts["secret"],
                          region_name=facts["region"], config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 2}))
    bucket, name = facts["bucket"], "table.parquet"
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 7})
    sizes = {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", [])}
    folders = client.list_objects_v2(Bucket=bucket, Delimiter="/")
    url = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": name})
    import urllib.request
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url) as answer:
        presigned = answer.read()
    return {
        "all names and sizes, in pages": sizes == {key: len(body) for key, body in files.items()},
        "folders": [entry["Prefix"] for entry in folders["CommonPrefixes"]] == ["parts/"],
        "every byte": all(client.get_object(Bucket=bucket, Key=key)["Body"].read() == body for key, body in files.items()),
        "a range": client.get_object(Bucket=bucket, Key=name, Range="bytes=1000-70000")["Body"].read() == files[name][1000:70001],
        "head": client.head_object(Bucket=bucket, Key=name)["ContentLength"] == len(files[name]),
        "by a presigned URL": presigned == files[name],
        "no write": refused(lambda: client.put_object(Bucket=bucket, Key="new", Body=b"x")),
        "no write in parts": refused(lambda: client.create_multipart_upload(Bucket=bucket, Key="new")),
        "no copy into it": refused(lambda: client.copy_object(Bucket=bucket, Key="new", CopySource={"Bucket": bucket, "Key": name})),
        "no removal": refused(lambda: client.delete_object(Bucket=bucket, Key=name)),
        "no removal of the whole": refused(lambda: client.delete_bucket(Bucket=bucket)),
        "nothing by a stranger": refused(lambda: boto3.client(
            "s3", endpoint_url=facts["endpoint"], aws_access_key_id=facts["stranger_key"], aws_secret_access_key=facts["stranger_secret"],
            region_name=facts["region"], config=Config(s3={"addressing_style": "path"})).get_object(Bucket=bucket, Key=name)),
    }


def by_duckdb(facts, files) -> dict[str, bool]:
    import duckdb
    import duckdb_ext
    [extension] = pathlib.Path(next(iter(duckdb_ext.__path__))).glob("extensions/v*/*/httpfs.duckdb_extension")
    db = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    db.execute(f"load '{extension}'")
    host = facts["endpoint"].split("://")[1]
    db.execute(f"create secret (type s3, key_id '{facts['key']}', secret '{facts['secret']}', endpoint '{host}',"
               f" region '{facts['region']}', url_style 'path', use_ssl false)")
    url = f"s3://{facts['bucket']}"
    one = lambda query: db.execute(query).fetchone()  # noqa: E731
    return {
        "counts and sums": one(f"select count(*), sum(id) from '{url}/table.parquet'") == (ROWS, ROWS * (ROWS - 1) // 2),
        "a predicate that reads few ranges": one(f"select part from '{url}/table.parquet' where id = {ROWS - 3}") == (str((ROWS - 3) % 7),),
        "a glob over several files": one(f"select count(*) from '{url}/parts/*.csv'") == (40,),
        "no write": refused(lambda: db.execute(f"copy (select 1) to '{url}/new.csv'")),
    }


def by_fsspec(facts, files) -> dict[str, bool]:
    import pyarrow.parquet as pq
    import s3fs
    fs = s3fs.S3FileSystem(key=facts["key"], secret=facts["secret"], endpoint_url=facts["endpoint"],
                           client_kwargs={"region_name": facts["region"]}, config_kwargs={"s3": {"addressing_style": "path"}})
    top = facts["bucket"]
    with fs.open(f"{top}/table.parquet", block_size=1 << 16) as file:
        file.seek(50_000)
        sought = file.read(30_000)
    return {
        "find": sorted(fs.find(top)) == sorted(f"{top}/{key}" for key in files),
        "every byte": all(fs.cat(f"{top}/{key}") == body for key, body in files.items()),
        "by seeking": sought == files["table.parquet"][50_000:80_000],
        "Parquet through it": pq.read_table(f"{top}/table.parquet", filesystem=fs, columns=["id"]).num_rows == ROWS,
        "no write": refused(lambda: fs.pipe(f"{top}/new", b"x")),
    }


def by_s3torchconnector(facts, files) -> dict[str, bool]:
    from s3torchconnector import S3ClientConfig, S3IterableDataset, S3MapDataset
    from torch.utils.data import DataLoader
    os.environ.update(AWS_ACCESS_KEY_ID=facts["key"], AWS_SECRET_ACCESS_KEY=facts["secret"], AWS_EC2_METADATA_DISABLED="true")
    more = dict(region=facts["region"], endpoint=facts["endpoint"], s3client_config=S3ClientConfig(force_path_style=True, max_attempts=2))
    samples = S3MapDataset.from_prefix(f"s3://{facts['bucket']}/", **more)
    stream = S3IterableDataset.from_prefix(f"s3://{facts['bucket']}/", enable_sharding=True, transform=lambda s: (s.key, s.read()), **more)
    return {
        "a map of samples": {samples[n].key: samples[n].read() for n in range(len(samples))} == files,
        "a stream over two workers": dict(DataLoader(stream, batch_size=None, num_workers=2, multiprocessing_context="fork")) == files,
    }


def one_library(name: str, folder: pathlib.Path) -> int:
    facts = json.loads((folder / "facts.json").read_text())
    top = folder / "files"
    files = {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}
    json.dump(globals()[f"by_{name}"](facts, files), sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # some of them leave threads behind that would wait


def main() -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from mounts import lab, publish, upload
    from vault import Client, check, done, say
    with lab("through-s3") as (base, vault):
        top = base / "files"
        (top / "parts").mkdir(parents=True)
        pq.write_table(pa.table({"id": range(ROWS), "part": [str(n % 7) for n in range(ROWS)], "text": [hashlib.sha256(b"%d" % n).hexdigest()
                                 for n in range(ROWS)]}), top / "table.parquet", row_group_size=2000)
        for n in range(20):
            (top / "parts" / f"{n:02}.csv").write_text(f"a,b\n{n},1\n{n},2\n")
        files = {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}
        upload(vault, files)
        version = publish(vault)
        upload(vault, {"table.parquet": b"changed since", "added": b"later"})
        Client(vault.identity()).request("DELETE", "parts/00.csv")
        job, stranger = vault.identity("job"), vault.identity("stranger")
        bucket = "demo--wdbc--v" + version.rsplit("@", 1)[1]
        (base / "facts.json").write_text(json.dumps({"endpoint": job.endpoint, "key": job.key, "secret": job.secret, "region": job.region,
                                                     "bucket": bucket, "stranger_key": stranger.key, "stranger_secret": stranger.secret}))
        for library, environment in ENVIRONMENTS.items():
            python = LAB / environment / "bin/python"
            if not python.exists():
                say(f"{library} is not installed here: tests/lab/install.sh {environment}")
                continue
            run = subprocess.run([str(python), os.path.abspath(__file__), library, str(base)], capture_output=True, text=True, timeout=200,
                                 check=False, env={"PATH": os.environ["PATH"], "HOME": str(base), "no_proxy": "*"})
            if run.returncode or not run.stdout:
                check(f"{library} reads a version", False, run.stderr[-500:])
                continue
            for title, right in json.loads(run.stdout.splitlines()[-1]).items():
                check(f"{library} on a version: {title}", right)
        operations = {r["operation"] for r in vault.audit().values() if str(r.get("actor", {}).get("sub")) == "job-1"}
        check("what they read is in the log, as the job's", {"GetObject", "ListObjectsV2"} <= operations, operations)
    return done()


if __name__ == "__main__":
    sys.exit(one_library(sys.argv[1], pathlib.Path(sys.argv[2])) if len(sys.argv) > 1 else main())
