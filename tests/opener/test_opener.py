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
    results += command_line(first, honest[first["name"]])
    for name, passed in results:
        if not passed:
            print(f"FAILED {name}")
    failed = sum(not passed for _, passed in results)
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
