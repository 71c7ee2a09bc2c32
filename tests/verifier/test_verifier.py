"""The second verifier against the vector bundle in tests/vectors/log, whole and under attack."""

import json
import shutil
import struct
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import kluis_verify as kv

VECTOR = Path(__file__).parents[1] / "vectors" / "log"
KEY = (VECTOR / "log.vkey").read_text(encoding="utf-8").strip()


def kinds(directory: Path, kept=(), key: str = KEY) -> list[str]:
    try:
        return [kind for kind, _ in kv.verify(directory, key, list(kept)).findings]
    except kv.Refused as refused:
        return [refused.args[0]]


def groups(raw: bytes) -> list[tuple]:
    found, at = [], 8
    while at < len(raw):
        head, at = raw[at : at + 56], at + 60
        (count,) = struct.unpack(">I", raw[at - 4 : at])
        rows = []
        for _ in range(count):
            seq, length = struct.unpack(">QI", raw[at : at + 12])
            rows.append((seq, raw[at + 12 : at + 12 + length]))
            at += 12 + length
        found.append([head, rows])
    return found


def rows_file(all_groups: list) -> bytes:
    out = b"KLUISRW1"
    for head, rows in all_groups:
        out += head + struct.pack(">I", len(rows))
        out += b"".join(struct.pack(">QI", seq, len(row)) + row for seq, row in rows)
    return out


class Bundle(unittest.TestCase):
    def setUp(self):
        self.dir = Path(self.enterContext(tempfile.TemporaryDirectory())) / "log"
        shutil.copytree(VECTOR, self.dir)

    def bent(self, change) -> list[str]:
        all_groups = groups((VECTOR / "rows").read_bytes())
        change(all_groups)
        (self.dir / "rows").write_bytes(rows_file(all_groups))
        return kinds(self.dir)

    def test_the_vector_holds(self):
        verifier = kv.verify(self.dir, KEY)
        self.assertEqual((verifier.findings, verifier.rows_good, verifier.size), ([], 9, 4))
        self.assertEqual(kinds(self.dir, [VECTOR / "checkpoint"]), [])

    def test_a_log_without_rows_holds(self):
        for name in ("bundle.json", "rows", "sessions"):
            (self.dir / name).unlink()
        self.assertEqual(kinds(self.dir), [])

    def test_deletion(self):
        self.assertIn("rows", self.bent(lambda g: g[0][1].pop(1)))
        self.assertIn("rows", self.bent(lambda g: g.pop(1)))

    def test_truncation_of_the_tail(self):
        self.assertEqual(self.bent(lambda g: g.pop()), ["rows"])
        raw = (VECTOR / "rows").read_bytes()
        for length in range(len(raw)):
            (self.dir / "rows").write_bytes(raw[:length])
            self.assertTrue(kinds(self.dir), length)

    def test_insertion(self):
        self.assertIn("rows", self.bent(lambda g: g[0][1].insert(0, g[0][1][0])))

    def test_reordering(self):
        self.assertIn("rows", self.bent(lambda g: g[0][1].reverse()))
        self.assertIn("rows", self.bent(lambda g: g.reverse()))

    def test_a_swapped_segment(self):
        def swap(g):
            g[0][1], g[1][1] = g[1][1], g[0][1]

        self.assertEqual(self.bent(swap), ["rows", "rows"])

    def test_every_changed_byte(self):
        for path in sorted(p for p in self.dir.rglob("*") if p.is_file() and p.name != "log.vkey"):
            honest = path.read_bytes()
            for at in range(len(honest)):
                bent = bytearray(honest)
                bent[at] ^= 1
                path.write_bytes(bent)
                self.assertTrue(kinds(self.dir), f"{path.name} byte {at}")
            path.write_bytes(honest)

    def expired(self, gone: int, days: int, before: int, now_ms: int, asked: int = 1827) -> list[str]:
        """What is found in a bundle that says that records went, `gone` groups of which did."""
        all_groups = groups((VECTOR / "rows").read_bytes())
        (self.dir / "rows").write_bytes(rows_file(all_groups[gone:]))
        claims = json.loads((VECTOR / "bundle.json").read_bytes())
        claims["scopes"][0]["expired"] = {"days": days, "before": before}
        (self.dir / "bundle.json").write_text(json.dumps(claims))
        verifier = kv.verify(self.dir, KEY, days=asked, now=now_ms / 1000)
        return [kind for kind, _ in verifier.findings]

    def test_what_went_when_it_was_due(self):
        begin, five_years = 1_800_000_000_000, 1827 * 86_400_000
        due = begin + 1 + five_years
        self.assertEqual(self.expired(1, 1827, begin + 1, due), [])
        self.assertEqual(self.expired(0, 1827, begin + 1, due), [])
        self.assertEqual(self.expired(1, 1827, begin + 1, due, 365), [])
        # Too early by the verifier's clock, or for her demand; and what is younger.
        self.assertEqual(self.expired(1, 1827, begin + 1, due - 10), ["early"])
        self.assertEqual(self.expired(1, 1827, begin + 1, due, 1828), ["early"])
        self.assertEqual(self.expired(1, 1, begin + 1, due), ["early"])
        self.assertEqual(self.expired(2, 1827, begin + 1, due), ["rows"])
        self.assertIn("rows", self.expired(1, 1827, 1, due))

    def test_another_key(self):
        other = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
        self.assertEqual(kinds(self.dir, key=other), ["checkpoint"])

    def test_a_note_of_the_specification(self):
        vkey = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
        note = (
            "This is an example message.\n\n\u2014 example.com/foo "
            "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
        )
        self.assertEqual(kv.open_note(note.encode(), vkey), "This is an example message.\n")
        with self.assertRaises(kv.Refused):
            kv.open_note(note.replace("an example", "no example").encode(), vkey)

    def test_names_of_tiles(self):
        self.assertEqual(kv.tile_name("0", 1234067, 256), "tile/0/x001/x234/067")
        self.assertEqual(kv.tile_name("entries", 0, 5), "tile/entries/000.p/5")


if __name__ == "__main__":
    unittest.main()
