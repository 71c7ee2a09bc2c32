"""The model of versions checked: histories that are known to be right and wrong."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from model import judge  # noqa: E402
from stacks import Stacks, VersionOp, shown, with_names  # noqa: E402


def op(kind: str, began: int, ended: int, size=None, status=200, only=None, named=None, made=None) -> VersionOp:
    return VersionOp("c", kind, "a", began, ended, status, size, only, (), named, made)


def marker(began: int, ended: int, name: str | None, status=204) -> VersionOp:
    return op("delete", began, ended, status=status, made=name)


def listing(began: int, ended: int, *stack) -> VersionOp:
    """A listing that shows the stack, newest first."""
    seen = (("a", shown(stack)),) if stack else ()
    return VersionOp("c", "list", None, began, ended, 200, seen=seen)


def right(*history: VersionOp) -> bool:
    history = with_names(history)
    return bool(judge("a", frozenset({((),)}), history, Stacks(history).step, shown)[0])


class Known(unittest.TestCase):
    def test_what_was_overwritten_stays_to_be_read(self):
        writes = op("put", 0, 1, 7), op("put", 2, 3, 8)
        self.assertTrue(right(*writes, op("get", 4, 5, 8), op("get", 4, 5, 7, named=7), listing(6, 7, 8, 7)))
        self.assertFalse(right(*writes, op("get", 4, 5, 7)))
        self.assertFalse(right(*writes, op("get", 4, 5, status=404, named=7)))
        self.assertFalse(right(*writes, listing(6, 7, 8)))
        self.assertFalse(right(*writes, listing(6, 7, 7, 8)))

    def test_a_version_is_one_object_for_ever(self):
        self.assertFalse(right(op("put", 0, 1, 7), op("put", 2, 3, 8), op("get", 4, 5, 8, named=7)))

    def test_a_marker_hides_and_its_deletion_uncovers(self):
        hidden = op("put", 0, 1, 7), marker(2, 3, "m")
        self.assertTrue(right(*hidden, op("get", 4, 5, status=404), op("get", 4, 5, status=405, named="m")))
        self.assertFalse(right(*hidden, op("get", 4, 5, 7)))
        self.assertFalse(right(*hidden, op("get", 4, 5, status=404, named="m")))
        uncovered = *hidden, op("delete", 4, 5, status=204, named="m")
        self.assertTrue(right(*uncovered, op("get", 6, 7, 7), op("get", 6, 7, status=404, named="m")))
        self.assertFalse(right(*uncovered, op("get", 6, 7, status=404)))
        self.assertFalse(right(*uncovered, listing(6, 7, "m", 7)))

    def test_a_deleted_version_does_not_come_back(self):
        gone = op("put", 0, 1, 7), op("put", 2, 3, 8), op("delete", 4, 5, status=204, named=8)
        self.assertTrue(right(*gone, op("get", 6, 7, 7), listing(8, 9, 7)))
        self.assertFalse(right(*gone, op("get", 6, 7, 8)))
        self.assertFalse(right(*gone, op("get", 6, 7, 8, named=8)))
        self.assertFalse(right(*gone, listing(8, 9, 8, 7)))

    def test_deleting_what_is_not_there_changes_nothing(self):
        self.assertTrue(right(op("put", 0, 1, 7), op("delete", 2, 3, status=204, named=9), op("get", 4, 5, 7)))

    def test_created_once_and_again_above_a_marker(self):
        self.assertFalse(right(op("put", 0, 1, 7), op("put", 2, 3, 8, only="absent")))
        self.assertTrue(right(op("put", 0, 1, 7), op("put", 2, 3, 8, 412, "absent"), listing(4, 5, 7)))
        self.assertTrue(right(op("put", 0, 1, 7), marker(2, 3, "m"), op("put", 4, 5, 8, only="absent"), listing(6, 7, 8, "m", 7)))
        self.assertFalse(right(op("put", 0, 1, 7), marker(2, 3, "m"), op("put", 4, 5, 8, 412, "absent")))

    def test_what_was_not_answered_happened_once_or_never(self):
        silent = op("put", 2, 3, 8, 0)
        self.assertTrue(right(op("put", 0, 1, 7), silent, listing(4, 5, 8, 7)))
        self.assertTrue(right(op("put", 0, 1, 7), silent, listing(4, 5, 7)))
        self.assertFalse(right(op("put", 0, 1, 7), silent, listing(4, 5, 7), listing(6, 7, 8, 7)))
        self.assertFalse(right(op("put", 0, 1, 7), silent, listing(4, 5, 8, 8, 7)))

    def test_markers_that_nobody_was_told_of(self):
        first, second = marker(2, 3, None, 0), marker(2, 4, None, 0)
        self.assertTrue(right(op("put", 0, 1, 7), first, second, listing(5, 6, "x", "y", 7)))
        self.assertTrue(right(op("put", 0, 1, 7), first, listing(5, 6, "x", 7), op("get", 7, 8, status=405, named="x")))
        self.assertFalse(right(op("put", 0, 1, 7), first, listing(5, 6, "x", "y", 7)))
        self.assertFalse(right(op("put", 0, 1, 7), listing(5, 6, "x", 7)))

    def test_the_latest_is_the_newest(self):
        writes = op("put", 0, 1, 7), marker(2, 3, "m")
        wrong = VersionOp("c", "list", None, 4, 5, 200, seen=(("a", ((7,), ("m",), 7)),))
        self.assertTrue(right(*writes, listing(4, 5, "m", 7)))
        self.assertFalse(right(*writes, wrong))

    def test_two_listings_that_contradict_each_other_are_wrong(self):
        both = op("put", 0, 9, 7), op("put", 0, 9, 8)
        self.assertTrue(right(*both, listing(10, 11, 8, 7)))
        self.assertTrue(right(*both, listing(10, 11, 7, 8)))
        self.assertFalse(right(*both, listing(10, 11, 7, 8), listing(12, 13, 8, 7)))


if __name__ == "__main__":
    unittest.main()
