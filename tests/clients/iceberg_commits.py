"""Iceberg (pyiceberg): tables, scans, and commits of many processes.

The catalog is the store itself, as where no other catalog runs: version N + 1 of a table's metadata is created with
If-None-Match, so that of many committers one wins each number. pyiceberg does the rest: it writes data, manifests and
metadata, judges what a commit requires, and is told of a lost race by CommitFailedException.
"""

import sys
import subprocess

import obstore
import pyarrow as pa
from lib import *
from obstore.store import S3Store
from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.io import load_file_io
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
from pyiceberg.schema import Schema
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import CommitTableResponse, Table
from pyiceberg.table.metadata import new_table_metadata
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER
from pyiceberg.table.update import update_table_metadata
from pyiceberg.types import LongType, NestedField

ROWS, WRITERS, COMMITS, TRIES = 500, 4, 3, 100
# A committer is this file again, told where the table is, and its number.
FOLDER = sys.argv[1] if len(sys.argv) > 1 else f"{PREFIX}table"


class InTheStore(NoopCatalog):
    """One table, whose newest version is the metadata file of the highest number."""

    def __init__(self, who: Identity):
        super().__init__("tests", **{
            "py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO", "s3.endpoint": who.endpoint, "s3.region": who.region,
            "s3.access-key-id": who.key, "s3.secret-access-key": who.secret, "s3.force-virtual-addressing": "false",
        })
        self.store = S3Store(
            who.bucket, access_key_id=who.key, secret_access_key=who.secret, endpoint=who.endpoint, region=who.region,
            virtual_hosted_style_request=False, client_options={"allow_http": True})
        self.root = f"s3://{who.bucket}/{FOLDER}"

    @staticmethod
    def file_name(number: int) -> str:
        return f"metadata/v{number:05}.metadata.json"

    def publish(self, number: int, metadata) -> None:
        body = metadata.model_dump_json().encode()
        try:
            obstore.put(self.store, f"{FOLDER}/{self.file_name(number)}", body, mode="create")
        except obstore.exceptions.AlreadyExistsError as error:
            raise CommitFailedException(f"version {number} is there already") from error

    def newest(self) -> int:
        paths = [entry["path"] for page in obstore.list(self.store, f"{FOLDER}/metadata/") for entry in page]
        return max(int(path[-len("00000.metadata.json"):][:5]) for path in paths if path.endswith(".metadata.json"))

    def create_table(self, identifier, schema, *_, **__) -> Table:
        self.publish(0, new_table_metadata(schema, UNPARTITIONED_PARTITION_SPEC, UNSORTED_SORT_ORDER, self.root))
        return self.load_table(identifier)

    def load_table(self, identifier) -> Table:
        location = f"{self.root}/{self.file_name(self.newest())}"
        io = load_file_io(self.properties, location)
        return Table(("tests", "table"), FromInputFile.table_metadata(io.new_input(location)), location, io, self)

    def commit_table(self, table, requirements, updates) -> CommitTableResponse:
        now = self.load_table(table.name())
        for requirement in requirements:
            requirement.validate(now.metadata)
        number = int(now.metadata_location[-len("00000.metadata.json"):][:5]) + 1
        metadata = update_table_metadata(now.metadata, updates, metadata_location=now.metadata_location)
        self.publish(number, metadata)
        return CommitTableResponse(metadata=metadata, metadata_location=f"{self.root}/{self.file_name(number)}")


def rows(writer: int) -> pa.Table:
    return pa.table({"writer": pa.array([writer] * ROWS, pa.int64()), "x": pa.array(range(ROWS), pa.int64())})


def append(catalog: InTheStore, writer: int) -> None:
    """One commit, on what is newest, until it is the next one."""
    for _ in range(TRIES):
        try:
            return catalog.load_table("table").append(rows(writer))
        except CommitFailedException:
            continue
    raise RuntimeError(f"never the next one in {TRIES} tries")


mine = InTheStore(OWNER)
if len(sys.argv) > 1:
    for _ in range(COMMITS):
        append(mine, int(sys.argv[2]))
    sys.exit()


@check("a table, made once, written, scanned with a filter")
def _():
    schema = Schema(NestedField(1, "writer", LongType()), NestedField(2, "x", LongType()))
    mine.create_table("table", schema)
    refused(lambda: mine.create_table("table", schema), "CommitFailed")
    append(mine, 0)
    table = mine.load_table("table")
    equal(table.scan().to_arrow().num_rows, ROWS)
    equal(table.scan(row_filter="x >= 490", selected_fields=("x",)).to_arrow().num_rows, 10)


@check(f"{WRITERS} processes commit {COMMITS} times each: no commit is lost, none is doubled")
def _():
    command = [sys.executable, __file__, FOLDER]
    writers = [subprocess.Popen([*command, str(writer)]) for writer in range(1, WRITERS + 1)]
    equal([writer.wait() for writer in writers], [0] * WRITERS, "the committers ended with")
    table = mine.load_table("table")
    counts = {v["values"].as_py(): v["counts"].as_py() for v in table.scan().to_arrow()["writer"].value_counts()}
    equal(counts, {0: ROWS} | {writer: COMMITS * ROWS for writer in range(1, WRITERS + 1)})
    equal((len(table.snapshots()), mine.newest()), (1 + WRITERS * COMMITS, 1 + WRITERS * COMMITS))


@check("an earlier snapshot, a delete, an overwrite")
def _():
    table = mine.load_table("table")
    equal(table.scan(snapshot_id=table.snapshots()[0].snapshot_id).to_arrow().num_rows, ROWS)
    table.delete("writer = 1")
    equal(mine.load_table("table").scan().to_arrow().num_rows, (1 + (WRITERS - 1) * COMMITS) * ROWS)
    table = mine.load_table("table")
    table.overwrite(rows(7))
    equal(mine.load_table("table").scan().to_arrow().num_rows, ROWS)


@check("the job reads and cannot commit, the stranger cannot read", when=JOB and STRANGER)
def _():
    equal(InTheStore(JOB).load_table("table").scan().to_arrow().num_rows, ROWS)
    refused(lambda: append(InTheStore(JOB), 9), "403", "ACCESS_DENIED", "denied", "Permission")
    refused(lambda: InTheStore(STRANGER).load_table("table"), "403", "denied", "Permission")


done()
