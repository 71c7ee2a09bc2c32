"""DuckDB with httpfs: Parquet and CSV, written in parts and read by ranges."""

import duckdb
import duckdb_ext
from lib import *

[EXTENSION] = pathlib.Path(next(iter(duckdb_ext.__path__))).glob("extensions/v*/*/httpfs.duckdb_extension")
ROWS = 1_500_000
URL = f"s3://{OWNER.bucket}/{PREFIX}"


def client(who: Identity, secret: str | None = None) -> duckdb.DuckDBPyConnection:
    db = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    db.execute(f"load '{EXTENSION}'")
    db.execute(
        f"create secret (type s3, key_id '{who.key}', secret '{secret or who.secret}', endpoint '{who.host}',"
        f" region '{who.region}', url_style 'path', use_ssl {str(who.secure).lower()})"
    )
    db.execute("set http_retries = 1")
    return db


db = client(OWNER)


def one(query: str, connection=db):
    return connection.execute(query).fetchone()


@check("Parquet, written in parts")
def _():
    db.execute(f"copy (select i as a, i % 7 as g, md5(i::varchar) as h from range({ROWS}) t(i))"
               f" to '{URL}x.parquet' (format parquet, row_group_size 100000)")


@check("aggregates, and a predicate that reads few ranges")
def _():
    equal(one(f"select count(*), sum(a) from '{URL}x.parquet'"), (ROWS, ROWS * (ROWS - 1) // 2))
    equal(one(f"select h = md5('1234567') from '{URL}x.parquet' where a = 1234567"), (True,))


@check("partitions and a glob")
def _():
    db.execute(f"copy (select a, g from '{URL}x.parquet' where a < 20000) to '{URL}parts' (format parquet, partition_by (g))")
    equal(one(f"select count(*), count(distinct g) from read_parquet('{URL}parts/*/*.parquet', hive_partitioning=true)"), (20000, 7))


@check("CSV")
def _():
    db.execute(f"copy (select a, h from '{URL}x.parquet' where a < 5000) to '{URL}x.csv'")
    equal(one(f"select count(*), sum(a) from '{URL}x.csv'"), (5000, 5000 * 4999 // 2))


@check("wrong secret, absent file")
def _():
    refused(lambda: one(f"select count(*) from '{URL}x.parquet'", client(OWNER, "x" * 40)), "403", "HTTP")
    refused(lambda: one(f"select count(*) from '{URL}absent.parquet'"), "404", "No files found")


@check("the job reads and cannot write, the stranger cannot read", when=JOB and STRANGER)
def _():
    equal(one(f"select count(*) from '{URL}x.parquet'", client(JOB)), (ROWS,))
    refused(lambda: client(JOB).execute(f"copy (select 1) to '{URL}job.csv'"), "403", "HTTP", "AccessDenied")
    refused(lambda: one(f"select count(*) from '{URL}x.parquet'", client(STRANGER)), "403", "HTTP")


done()
