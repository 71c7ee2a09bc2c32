"""Whether a refusal tells by its time what is there (AZ-7): a stranger's requests for what is there and for what is not, in turn.

    tests/load/timing.py [--rounds 3000]

KLUIS_BIN names the release binary. Markdown on standard output: the medians and quartiles in microseconds, and how often a guess by the
clock alone, with the best threshold, would be right: 50 % is a coin.
"""

import argparse
import dataclasses
import pathlib
import statistics
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "lab")]
from vault import Client, Vault, clean, scratch  # noqa: E402

ASKED = {
    "an object that is there": ("demo--wdbc", "there"),
    "an object that is not, in a dataset that is": ("demo--wdbc", "gone!"),
    "a dataset that is not": ("demo--wxyz", "there"),
    "a project that is not": ("deno--wdbc", "there"),
}


def best_guess(one: list[float], other: list[float]) -> float:
    """The share of right guesses of whoever knows the best threshold."""
    marked = sorted([(value, 0) for value in one] + [(value, 1) for value in other])
    below, best = [0, 0], 0.5
    for _, which in marked:
        below[which] += 1
        right = (below[0] / len(one) + 1 - below[1] / len(other)) / 2
        best = max(best, right, 1 - right)
    return best


def main() -> int:
    asks = argparse.ArgumentParser()
    asks.add_argument("--rounds", type=int, default=3_000)
    ask = asks.parse_args()
    base = scratch("timing")
    vault = Vault(base / "vault").start()
    try:
        if Client(vault.identity()).request("PUT", "there", body=b"x").status != 200:
            raise RuntimeError("no PUT")
        stranger = Client(vault.identity("stranger"))
        times: dict[str, list[float]] = {name: [] for name in ASKED}
        names = list(ASKED)
        for n in range(ask.rounds + 200):
            for name in names[n % len(names):] + names[:n % len(names)]:
                bucket, key = ASKED[name]
                stranger.who = dataclasses.replace(stranger.who, bucket=bucket)
                begin = time.perf_counter()
                reply = stranger.request("GET", key)
                took = time.perf_counter() - begin
                if reply.status != 403:
                    raise RuntimeError(f"{name}: {reply}")
                if n >= 200:
                    times[name].append(took * 1e6)
        first = times[names[0]]
        print("| a stranger asks for | median µs | quartiles | right guesses against the first |\n|---|---|---|---|")
        for name, all_of in times.items():
            low, middle, high = statistics.quantiles(all_of, n=4)
            guess = "" if all_of is first else f"{best_guess(first, all_of):.1%}"
            print(f"| {name} | {middle:.0f} | {low:.0f} to {high:.0f} | {guess} |", flush=True)
        half = len(first) // 2
        print(f"\nThe first against itself, its one half and its other: {best_guess(first[:half], first[half:]):.1%}")
    finally:
        vault.stop()
        clean(base)
    return 0


if __name__ == "__main__":
    sys.exit(main())
