"""The second verifier against the vector bundle in tests/vectors/log, whole and under attack."""

import hashlib
import hmac
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

    def part(self, change=lambda told: None, shown: str | None = "dataset=ecg") -> list[str]:
        """What is found in a bundle that shows all but the second record, as `change` leaves it."""
        out = b"KLUISRW2"
        for number, (head, rows) in enumerate(groups((VECTOR / "rows").read_bytes())):
            told = []
            for seq, record in rows:
                salt = hmac.new(head[24:], seq.to_bytes(8, "big"), hashlib.sha256).digest()[:16]
                row = seq.to_bytes(8, "big") + salt + record
                told.append(struct.pack(">I", len(record)) + row)
                if (number, len(told)) == (0, 2):
                    told[1] = b"\xff" * 4 + kv.leaf(row)
            if number == 0:
                change(told)
            out += head[:24] + struct.pack(">I", len(told))
            out += b"".join(told)
        (self.dir / "rows").write_bytes(out)
        claims = json.loads((VECTOR / "bundle.json").read_bytes())
        claims |= {"shown": shown} if shown else {}
        (self.dir / "bundle.json").write_text(json.dumps(claims))
        return kinds(self.dir)

    def test_a_part_and_the_leaves_of_the_rest(self):
        self.assertEqual(self.part(), [])
        verifier = kv.verify(self.dir, KEY)
        self.assertEqual((verifier.rows_good, verifier.rows_hidden), (8, 1))
        self.assertIn("rows", self.part(lambda told: told.pop(1)))
        self.assertIn("rows", self.part(lambda told: told.reverse()))
        self.assertIn("rows", self.part(lambda told: told.insert(1, told[1])))

        def bend(at: int, row: int):
            def change(told):
                raw = bytearray(told[row])
                raw[at] ^= 1
                told[row] = bytes(raw)

            return change

        self.assertIn("rows", self.part(bend(35, 1)))
        self.assertIn("rows", self.part(bend(12, 0)))
        # Hidden for no reason; and a reason without anything hidden in the form for it.
        self.assertEqual(self.part(shown=None), ["bundle"])
        self.part()
        (self.dir / "rows").write_bytes((VECTOR / "rows").read_bytes())
        self.assertEqual(kinds(self.dir), ["bundle"])

    def test_policies_are_what_they_are_named_by(self):
        policy, rights = b"p, owner, dataset.*, allow\n", [b"[1]\n", b"[2]\n"]
        version = kv.sha(kv.sha(policy), *rights)

        def piece(number: int, text: bytes, count: int = 2) -> bytes:
            return b"kluis-rights 1 %s %d %d\n" % (kv.sha(policy).hex().encode(), number, count) + text

        def found(*texts: tuple[bytes, bytes]) -> list[str]:
            raw = b"".join(name + struct.pack(">I", len(text)) + text for name, text in texts)
            (self.dir / "policies").write_bytes(b"KLUISPO1" + raw)
            return kinds(self.dir)

        whole = [(kv.sha(policy), policy), (version, piece(0, rights[0])), (version, piece(1, rights[1]))]
        self.assertEqual(found(*whole), [])
        self.assertEqual(found(*whole[:2]), ["bundle"])
        self.assertEqual(found(whole[0], whole[1], (version, piece(1, b"[3]\n"))), ["bundle"])
        self.assertEqual(found(*whole, (version, piece(1, b"[3]\n"))), ["bundle"])
        self.assertEqual(found((kv.sha(policy), policy + b"p, x")), ["bundle"])

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
