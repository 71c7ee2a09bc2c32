"""Delta Lake (delta-rs): every commit is a conditional PUT of the next number, so that of many committers none is lost."""

import subprocess
import sys

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from lib import *

# A committer is this file again, told the table and its number.
TABLE = sys.argv[1] if len(sys.argv) > 1 else f"s3://{OWNER.bucket}/{PREFIX}table"
ROWS, WRITERS, COMMITS = 1000, 4, 3


def options(who: Identity) -> dict[str, str]:
    return dict(
        AWS_ACCESS_KEY_ID=who.key, AWS_SECRET_ACCESS_KEY=who.secret, AWS_ENDPOINT_URL=who.endpoint, AWS_REGION=who.region,
        AWS_ALLOW_HTTP="true", AWS_VIRTUAL_HOSTED_STYLE_REQUEST="false", conditional_put="etag",
    )


MINE = options(OWNER)


def rows(writer: int) -> pa.Table:
    return pa.table({"writer": pa.array([writer] * ROWS, pa.int64()), "x": pa.array(range(ROWS), pa.int64())})


def table(version: int | None = None) -> pa.Table:
    return DeltaTable(TABLE, version=version, storage_options=MINE).to_pyarrow_table()


if len(sys.argv) > 1:
    for _ in range(COMMITS):
        write_deltalake(TABLE, rows(int(sys.argv[2])), mode="append", storage_options=MINE)
    sys.exit()


@check("create, append, read")
def _():
    write_deltalake(TABLE, rows(0), storage_options=MINE)
    write_deltalake(TABLE, rows(0), mode="append", storage_options=MINE)
    equal(table().num_rows, 2 * ROWS)


@check(f"{WRITERS} processes append {COMMITS} times each: no commit is lost, none is doubled")
def _():
    command = [sys.executable, __file__, TABLE]
    writers = [subprocess.Popen([*command, str(writer)]) for writer in range(1, WRITERS + 1)]
    equal([writer.wait() for writer in writers], [0] * WRITERS, "the committers ended with")
    found = table()
    equal(found.num_rows, (2 + WRITERS * COMMITS) * ROWS)
    counts = {v["values"].as_py(): v["counts"].as_py() for v in found["writer"].value_counts()}
    equal(counts, {0: 2 * ROWS} | {writer: COMMITS * ROWS for writer in range(1, WRITERS + 1)})
    equal(DeltaTable(TABLE, storage_options=MINE).version(), 1 + WRITERS * COMMITS)


@check("an earlier version, compaction, vacuum")
def _():
    equal(table(version=0).num_rows, ROWS)
    lake = DeltaTable(TABLE, storage_options=MINE)
    lake.optimize.compact()
    gone = lake.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    equal(len(gone) >= 2 + WRITERS * COMMITS, True, f"{len(gone)} files vacuumed:")
    equal(table().num_rows, (2 + WRITERS * COMMITS) * ROWS)


@check("the job reads and cannot commit", when=JOB)
def _():
    theirs = options(JOB)
    equal(DeltaTable(TABLE, storage_options=theirs).to_pyarrow_table().num_rows, (2 + WRITERS * COMMITS) * ROWS)
    refused(lambda: write_deltalake(TABLE, rows(9), mode="append", storage_options=theirs), "403", "Permission", "denied")


done()
