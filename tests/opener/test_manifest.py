"""Runs the vectors of tests/vectors/manifest/ through the second implementation, and many that are bent here.

    python3 tests/opener/test_manifest.py

Prints `N passed, N failed`; the exit code is 0 if none failed.
"""

import json
import random
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from kluis_manifest import commitment, read_index, read_page, read_root  # noqa: E402
from kluis_open import Refused  # noqa: E402

VECTORS = HERE.parent / "vectors" / "manifest" / "vectors.json"
BENT = 3000


def outcome(piece: str, data: bytes, signer: bytes) -> str:
    """`ok` or the class of the refusal. Anything else that is raised is a fault of the reader."""
    try:
        if piece == "envelope":
            read_root(data, signer)
        elif piece == "index":
            read_index(data)
        else:
            read_page(data)
    except Refused as refused:
        return str(refused)
    return "ok"


def bent(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(max(1, len(data) - 1))
    how = rng.randrange(4)
    if how == 0 and data:
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
    if how == 1 and at:
        return data[:at]
    if how == 2:
        return data[:at] + rng.randbytes(rng.randrange(1, 4)) + data[at:]
    return data[:at] + data[at + rng.randrange(1, 5) :]


def main() -> int:
    document = json.loads(VECTORS.read_text())
    signer, cases = bytes.fromhex(document["signer"]), document["cases"]
    results = []
    for case in cases:
        found = outcome(case["piece"], bytes.fromhex(case["hex"]), signer)
        results.append((f"{case['name']}: {found}, not {case['result']}", found == case["result"]))
    whole = {case["piece"]: bytes.fromhex(case["hex"]) for case in cases if case["name"] == f"the {case['piece']}"}
    root = read_root(whole["envelope"], signer)
    entries, pages = read_page(whole["page"]), read_index(whole["index"])
    results += [
        ("most vectors must be refused", sum(case["result"] != "ok" for case in cases) * 2 > len(cases)),
        ("the root's name", root.name.count("/") == 1 and root.number >= 1),
        ("each piece stands for one thing alone", outcome("page", whole["index"], signer) != "ok"
            and outcome("index", whole["page"], signer) != "ok"),
        ("entries are in order", [e.sort_key for e in entries] == sorted(e.sort_key for e in entries)),
        ("the index names what the page holds", (pages[0].first, pages[0].last) == (entries[0].sort_key, entries[-1].sort_key)),
        ("keys are those of the files", "a/b/1" in [e.key for e in entries if not e.is_directory]),
        ("another signer's", outcome("envelope", whole["envelope"], bytes(31) + b"\1") == "signature"),
        ("a commitment is of its table alone", len({commitment(b""), commitment(b"\0"), commitment(bytes(4))}) == 3),
    ]
    rng = random.Random(1)
    signed = [outcome("envelope", bent(whole["envelope"], rng), signer) for _ in range(BENT)]
    results.append(("no bent envelope is read", all(said in ("signature", "form") for said in signed)))
    # A page or index that is bent may still be one: what must not happen is another error than a refusal.
    for piece in ("page", "index"):
        said = {outcome(piece, bent(bent(whole[piece], rng), rng), signer) for _ in range(BENT)}
        results.append((f"a bent {piece} is refused in order: {said}", said <= {"ok", "form", "too-large"} and "form" in said))
    failed = [name for name, right in results if not right]
    for name in failed:
        print("FAIL", name)
    print(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
