"""polars: frames written as Parquet, scanned with predicates over ranged reads, streamed, globbed."""

import polars as pl
from lib import *


def options(who: Identity, secret: str | None = None) -> dict[str, str]:
    return dict(
        aws_access_key_id=who.key, aws_secret_access_key=secret or who.secret, aws_endpoint_url=who.endpoint,
        aws_region=who.region, aws_allow_http="true", aws_virtual_hosted_style_request="false",
    )


MINE, ROOT = options(OWNER), f"s3://{OWNER.bucket}/{PREFIX}"
ROWS = 300_000
FRAME = pl.DataFrame({"a": range(ROWS), "text": [f"row {i}" for i in range(ROWS)]})


@check("Parquet written and scanned with a predicate")
def _():
    FRAME.write_parquet(ROOT + "frame.parquet", storage_options=MINE, row_group_size=20_000)
    found = pl.scan_parquet(ROOT + "frame.parquet", storage_options=MINE).filter(pl.col("a") >= ROWS - 9).collect()
    equal(found["text"].to_list(), [f"row {i}" for i in range(ROWS - 9, ROWS)])


@check("a stream into one file, and all files by a pattern")
def _():
    FRAME.lazy().sink_parquet(ROOT + "many/one.parquet", storage_options=MINE)
    FRAME.write_parquet(ROOT + "many/two.parquet", storage_options=MINE)
    found = pl.scan_parquet(ROOT + "many/*.parquet", storage_options=MINE)
    equal(found.select(pl.len(), pl.col("a").sum().alias("sum")).collect().row(0), (2 * ROWS, ROWS * (ROWS - 1)))


@check("CSV")
def _():
    FRAME.head(1000).write_csv(ROOT + "head.csv", storage_options=MINE)
    equal(pl.scan_csv(ROOT + "head.csv", storage_options=MINE).collect().equals(FRAME.head(1000)), True)


@check("wrong secret, absent key")
def _():
    wrong = options(OWNER, "x" * 40)
    refused(lambda: pl.scan_parquet(ROOT + "frame.parquet", storage_options=wrong).collect(), "403", "Permission", "denied",
            "Unauthenticated")
    refused(lambda: pl.scan_parquet(ROOT + "absent.parquet", storage_options=MINE).collect(), "NotFound", "not found", "expanded")


@check("the stranger cannot read", when=STRANGER)
def _():
    theirs = options(STRANGER)
    refused(lambda: pl.scan_parquet(ROOT + "frame.parquet", storage_options=theirs).collect(), "403", "denied", "Permission")


done()
