"""The checker checked: histories that are known to be right and wrong, and random ones against the definition."""

import os
import random
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from checker import by_brute_force, linearizable  # noqa: E402
from model import Bucket, Op, judge, one_key, step  # noqa: E402

NOTHING = frozenset({(None, None)})
KEYS = ("a", "b")
KEY = one_key(step)


def op(kind: str, began: int, ended: int, size=None, status=200, only=None, key="a", seen=()) -> Op:
    return Op("c", kind, key, began, ended, status, size, only, tuple(seen))


def right(*history: Op, starts=NOTHING) -> bool:
    return bool(judge(KEYS, starts, list(history))[0])


class Known(unittest.TestCase):
    def test_one_after_the_other(self):
        self.assertTrue(right(op("get", 0, 1), op("put", 2, 3, 7), op("get", 4, 5, 7), op("delete", 6, 7, status=204),
                              op("head", 8, 9)))

    def test_a_read_beside_a_write_may_see_either(self):
        self.assertTrue(right(op("put", 0, 10, 7), op("get", 1, 2)))
        self.assertTrue(right(op("put", 0, 10, 7), op("get", 1, 2, 7)))

    def test_a_stale_read_is_wrong(self):
        self.assertFalse(right(op("put", 0, 1, 7), op("put", 2, 3, 8), op("get", 4, 5, 7)))

    def test_an_acknowledged_write_that_is_lost_is_wrong(self):
        self.assertFalse(right(op("put", 0, 1, 7), op("get", 2, 3)))

    def test_two_reads_that_go_back_in_time_are_wrong(self):
        self.assertFalse(right(op("put", 0, 10, 7), op("get", 1, 2, 7), op("get", 3, 4)))

    def test_a_value_from_nowhere_is_wrong(self):
        self.assertFalse(right(op("put", 0, 1, 7), op("get", 2, 3, 9)))

    def test_a_deleted_object_that_comes_back_is_wrong(self):
        self.assertFalse(right(op("put", 0, 1, 7), op("delete", 2, 3, status=204), op("get", 4, 5), op("get", 6, 7, 7)))

    def test_created_once(self):
        first, second = op("put", 0, 9, 7, only="absent"), op("put", 1, 8, 8, 412, "absent")
        self.assertTrue(right(first, second))
        self.assertFalse(right(first, op("put", 1, 8, 8, only="absent")))
        self.assertFalse(right(second))

    def test_of_two_swaps_of_one_tag_one_wins(self):
        write = op("put", 0, 1, 7)
        swaps = [op("put", 2, 9, 8, only=7), op("put", 3, 8, 9, 412, 7)]
        self.assertTrue(right(write, *swaps))
        self.assertFalse(right(write, swaps[0], op("put", 3, 8, 9, only=7)))

    def test_a_swap_of_what_is_absent(self):
        self.assertTrue(right(op("put", 0, 1, 8, 404, 7)))
        self.assertFalse(right(op("put", 0, 1, 8, 412, 7)))
        self.assertFalse(right(op("put", 0, 1, 7), op("put", 2, 3, 8, 404, 7)))

    def test_what_was_not_answered_may_have_happened_or_not(self):
        silent = op("put", 2, 4, 8, 0)
        for seen in (7, 8):
            self.assertTrue(right(op("put", 0, 1, 7), silent, op("get", 5, 6, seen)))
        self.assertFalse(right(op("put", 0, 1, 7), silent, op("get", 5, 6)))

    def test_what_was_not_answered_does_not_happen_after_its_end(self):
        write, silent = op("put", 0, 1, 7), op("put", 2, 4, 8, 0)
        self.assertTrue(right(write, silent, op("get", 3, 5, 7), op("get", 3, 6, 8)))
        self.assertFalse(right(write, silent, op("get", 5, 6, 7), op("get", 7, 8, 8)))

    def test_what_was_not_answered_happens_at_most_once(self):
        silent = op("put", 0, 9, 8, 0)
        self.assertFalse(right(silent, op("get", 1, 2, 8), op("delete", 3, 4, status=204), op("get", 5, 6, 8)))

    def test_a_listing_shows_one_moment(self):
        writes = [op("put", 0, 1, 7, key="a"), op("put", 2, 3, 8, key="b")]
        self.assertTrue(right(*writes, op("list", 0, 9, key=None, seen=[("a", 7)])))
        self.assertTrue(right(*writes, op("list", 0, 9, key=None, seen=[("a", 7), ("b", 8)])))
        # Each key by itself had such a moment, both together had not.
        self.assertFalse(right(*writes, op("list", 0, 9, key=None, seen=[("b", 8)])))
        self.assertFalse(right(*writes, op("list", 4, 5, key=None, seen=[("a", 7)])))

    def test_the_states_that_a_history_may_end_in(self):
        verdict, _ = judge(KEYS, NOTHING, [op("put", 0, 4, 7, 0), op("put", 1, 3, 8)])
        self.assertEqual(verdict.ends, {(7, None), (8, None)})
        self.assertFalse(right(op("get", 5, 6, 9), starts=verdict.ends))

    def test_a_wrong_history_says_where(self):
        verdict, words = judge(KEYS, NOTHING, [op("put", 0, 1, 7), op("get", 2, 3, 9)])
        self.assertFalse(verdict)
        self.assertIn("a: from (7,)", words)
        self.assertIn("get a -> 200 9", words)


class Model(unittest.TestCase):
    def test_conditions_on_deletes(self):
        self.assertEqual(step(7, op("delete", 0, 1, status=204, only=7)), [None])
        self.assertEqual(step(7, op("delete", 0, 1, status=412, only=8)), [7])
        self.assertEqual(step(7, op("delete", 0, 1, status=412, only=7)), [])
        self.assertEqual(step(7, op("delete", 0, 1, status=204, only=8)), [])
        for only in (None, 7):
            self.assertEqual(step(None, op("delete", 0, 1, status=204, only=only)), [None])

    def test_an_unanswered_condition_that_does_not_hold_changes_nothing(self):
        self.assertEqual(step(7, op("put", 0, 1, 8, 0, "absent")), [7])
        self.assertEqual(step(7, op("put", 0, 1, 8, 503, 7)), [7, 8])


def random_history(rng: random.Random) -> list[Op]:
    """A few operations, mostly of values that exist, so that both verdicts are common."""
    history = []
    for _ in range(rng.randrange(1, 6)):
        began = rng.randrange(12)
        kind = rng.choice(["put", "put", "get", "get", "delete", "list"])
        size, status, only, seen, key = rng.choice([1, 2, None]), 200, None, (), rng.choice(KEYS)
        if kind == "put":
            size, only, status = rng.choice([1, 2]), rng.choice([None, "absent", 1]), rng.choice([200, 200, 0, 412])
        if kind == "delete":
            size, status, only = None, rng.choice([204, 0, 412]), rng.choice([None, 1])
        if kind == "list":
            key, size, seen = None, None, [(k, rng.choice([1, 2])) for k in KEYS if rng.random() < 0.5]
        history.append(op(kind, began, began + rng.randrange(1, 9), size, status, only, key, seen))
    return history


class AgainstTheDefinition(unittest.TestCase):
    def test_random_histories(self):
        model, verdicts = Bucket(KEYS), {True: 0, False: 0}
        for number in range(4000):
            history = random_history(random.Random(number))
            want = by_brute_force(model, NOTHING, history)
            self.assertEqual(bool(linearizable(model, NOTHING, history)), want, [str(o) for o in history])
            self.assertEqual(bool(judge(KEYS, NOTHING, history)[0]), want, "the keys first, then the bucket")
            verdicts[want] += 1
        self.assertGreater(min(verdicts.values()), 400, verdicts)

    def test_a_right_history_bent_is_found(self):
        """A simulated store gives a right history; one answer changed, it is as the definition says."""
        found = 0
        for number in range(300):
            rng = random.Random(number)
            there, history = None, []
            for moment in range(60):
                began = 10 * moment - rng.randrange(25)
                if rng.random() < 0.5:
                    there = moment + 1
                    history.append(op("put", began, 10 * moment + rng.randrange(1, 25), there))
                else:
                    history.append(op("get", began, 10 * moment + rng.randrange(1, 25), there))
            self.assertTrue(linearizable(KEY, {None}, history), number)
            at = rng.choice([i for i, o in enumerate(history) if o.kind == "get" and i > 10])
            bent = history[at]
            history[at] = op("get", bent.began, bent.ended, 1 if bent.size != 1 else None)
            found += not linearizable(KEY, {None}, history)
        self.assertGreater(found, 250)


if __name__ == "__main__":
    unittest.main()
