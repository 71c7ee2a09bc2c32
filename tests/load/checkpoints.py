"""How long a record waits for the checkpoint that covers it, while requests come as fast as some clients send them.

    KLUIS_BIN=… python3 tests/load/checkpoints.py [SECONDS] [CLIENTS]

Of each checkpoint the gateway counts the wait of its oldest record, so what is printed bounds every record's. Fails where more than one
checkpoint in a hundred came later than two seconds.
"""

import pathlib
import re
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lab"))
from vault import Client, Vault, check, clean, done, scratch  # noqa: E402


def histogram(vault: Vault) -> list[tuple[float, int]]:
    """Upper bounds and how many checkpoints came within each."""
    text = vault.ops_page("/metrics")[1]
    found = re.findall(r'^kluis_log_checkpoint_seconds_bucket\{le="([^"]+)"\} (\d+)$', text, re.M)
    return [(float("inf") if bound == "+Inf" else float(bound), int(count)) for bound, count in found]


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 30
    clients = int(sys.argv[2]) if len(sys.argv) > 2 else 8
    dir = scratch("checkpoints")
    vault = Vault(dir / "vault")
    sent, end = [0] * clients, time.monotonic() + seconds
    try:
        vault.start()
        vault.stop()
        vault.serve()
        Client(vault.identity()).request("PUT", "one", body=b"x" * 4096)
        before = dict(histogram(vault))

        def work(n: int) -> None:
            client = Client(vault.identity())
            while time.monotonic() < end:
                sent[n] += client.request("GET", "one").status == 200

        threads = [threading.Thread(target=work, args=(n,)) for n in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        time.sleep(3)
        after = [(bound, count - before.get(bound, 0)) for bound, count in histogram(vault)]
    finally:
        vault.kill()
    total = after[-1][1]
    p99 = next(bound for bound, count in after if count >= 0.99 * total)
    worst = next(bound for bound, count in after if count == total)
    print(f"   {sum(sent)} reads in {seconds:.0f} s, {total} checkpoints, 99 % within {p99:.2f} s, all within {worst:.2f} s")
    check("a record is under a checkpoint within two seconds, at the 99th percentile", total > seconds / 3 and p99 <= 2, after)
    result = done()
    clean(dir)
    return result


if __name__ == "__main__":
    sys.exit(main())
