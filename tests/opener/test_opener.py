"""Runs the vectors of tests/vectors/seal/ through the second implementation.

    python3 tests/opener/test_opener.py

Prints `N passed, N failed`; the exit code is 0 if none failed.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from kluis_open import Refused, open_blob  # noqa: E402
from kluis_records import binding, derive, open_record, open_table, snapshot_name, table_salt  # noqa: E402

VECTORS = HERE.parent / "vectors" / "seal"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def assemble(case: dict, blobs: dict[str, bytes]) -> bytes:
    """A case's bytes: its pieces one after the other, then its flips."""
    data = bytearray()
    for piece in case["pieces"]:
        if "hex" in piece:
            data += bytes.fromhex(piece["hex"])
        else:
            data += blobs[piece["blob"]][piece["start"] : piece["end"]]
    for flip in case["flips"]:
        data[flip["at"]] ^= flip["xor"]
    return bytes(data)


def outcome(case: dict, blobs: dict[str, bytes], descriptions: dict[str, dict]) -> str:
    """`ok` or the class of the refusal; what was opened is held to the vector too."""
    try:
        what, plain = open_blob(bytes.fromhex(case["key"]), assemble(case, blobs), case["blob_id"])
    except Refused as refused:
        return str(refused)
    if sha256(plain) != case.get("plaintext_sha256"):
        return "another plaintext"
    return "ok" if asdict(what) == descriptions[case["of"]] else "another description"


def refused(attempt) -> bool:
    try:
        attempt()
    except Refused:
        return True
    return False


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def records(document: dict) -> list[tuple[str, bool]]:
    ring = bytes.fromhex(document["ring_key"])
    results = [(f"derived: {d['label']}", derive(ring, d["label"]).hex() == d["key"]) for d in document["derived"]]
    for name in document["snapshot_names"]:
        found = snapshot_name(ring, name["sequence"])
        results.append((f"snapshot {name['sequence']}", found == name["blob_id"]))
    for r in document["records"]:
        key, context, sealed = (bytes.fromhex(r[field]) for field in ("key", "context", "sealed"))
        results.append((r["label"], open_record(key, r["label"], context, sealed).hex() == r["plaintext"]))
        for name, attempt in [
            ("another key", lambda: open_record(bytes(32), r["label"], context, sealed)),
            ("another label", lambda: open_record(key, "kluis v1 other", context, sealed)),
            ("another context", lambda: open_record(key, r["label"], context + b"x", sealed)),
            ("a byte less", lambda: open_record(key, r["label"], context, sealed[:-1])),
            ("no more than a salt", lambda: open_record(key, r["label"], context, sealed[:32])),
            ("a byte of the salt", lambda: open_record(key, r["label"], context, flipped(sealed, 0))),
            ("a byte of the tag", lambda: open_record(key, r["label"], context, flipped(sealed, -1 % len(sealed)))),
        ]:
            results.append((f"{r['label']}: {name}", refused(attempt)))
    return results


def tables(document: dict) -> list[tuple[str, bool]]:
    results = []
    for number, row in enumerate(document["tables"]):
        key, sealed = bytes.fromhex(row["dataset_key"]), bytes.fromhex(row["sealed"])
        version = row["key_version"]
        results.append((f"table {number}", open_table(key, version, row, sealed) == row["extents"]))
        context = sealed[:5] + binding(row)
        plain = open_record(key, "kluis v1 part table", context, sealed[5:])
        results.append((f"table {number}: salt", table_salt(key, version, row, plain) == sealed[5:37]))
        other = document["tables"][number - 1]
        for field in ("dataset", "version", "bytes", "etag", "place"):
            value = {"bytes": row["bytes"] + 1, "etag": row["etag"] + "0", "place": {"object": "other"}}
            changed = {**row, field: value.get(field, "00" * 16)}
            attempt = lambda changed=changed: open_table(key, version, changed, sealed)
            results.append((f"table {number}: another {field}", refused(attempt)))
        swap = lambda: open_table(key, version, row, bytes.fromhex(other["sealed"]))
        results.append((f"table {number}: another's table", refused(swap)))
        results.append((f"table {number}: key version", refused(lambda: open_table(key, version + 1, row, sealed))))
    return results


def command_line(blob: dict, expected: str) -> list[tuple[str, bool]]:
    """The program as a stranger runs it: once on an honest blob, once with another key."""
    program = [sys.executable, str(HERE / "kluis_open.py")]
    file = str(VECTORS / blob["file"])
    with tempfile.TemporaryDirectory() as directory:
        key = Path(directory) / "key"
        key.write_text(blob["key"] + "\n", encoding="ascii")
        good = subprocess.run([*program, str(key), file, "--id", blob["blob_id"]], capture_output=True, check=False)
        key.write_text("00" * 32, encoding="ascii")
        bad = subprocess.run([*program, str(key), file], capture_output=True, check=False)
    return [
        ("command line: opens", good.returncode == 0 and sha256(good.stdout) == expected),
        ("command line: refuses another key", bad.returncode == 1 and bad.stdout == b""),
    ]


def main() -> int:
    document = json.loads((VECTORS / "vectors.json").read_text(encoding="utf-8"))
    blobs = {blob["name"]: (VECTORS / blob["file"]).read_bytes() for blob in document["blobs"]}
    descriptions = {blob["name"]: blob["description"] for blob in document["blobs"]}
    results = [(f"{b['name']}: file is whole", sha256(blobs[b["name"]]) == b["sha256"]) for b in document["blobs"]]
    for case in document["cases"]:
        found = outcome(case, blobs, descriptions)
        name = case["name"] if found == case["result"] else f"{case['name']}: {found} instead of {case['result']}"
        results.append((name, found == case["result"]))
    honest = {case["of"]: case["plaintext_sha256"] for case in document["cases"] if case["result"] == "ok"}
    first = document["blobs"][0]
    others = json.loads((VECTORS / "records.json").read_text(encoding="utf-8"))
    results += records(others) + tables(others)
    results += command_line(first, honest[first["name"]])
    for name, passed in results:
        if not passed:
            print(f"FAILED {name}")
    failed = sum(not passed for _, passed in results)
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
