"""How much memory a thousand clients cost that ask for an object of 64 MiB and then read nothing.

    python tests/load/stalled.py OWNER_ENV PID [CLIENTS]

Prints one line; the exit code is 1 where they cost more than 300 MiB, or where others are kept out.
"""

import os
import pathlib
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "attacks"), str(HERE.parent / "clients")]
os.environ["KLUIS_ENV_DIR"] = str(pathlib.Path(sys.argv[1]).resolve().parent)
os.environ.setdefault("KLUIS_SAMPLES", tempfile.gettempdir())
os.environ.setdefault("KLUIS_SCRATCH", tempfile.gettempdir())
from lib import OWNER  # noqa: E402
from wire import UNSIGNED, Signer, connect, head_of, path_of, request  # noqa: E402

COST_MIB_MAX = 300
SETTLE_S = 10


def resident_mib(pid: str) -> float:
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def main() -> int:
    pid, clients = sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 1000
    request(OWNER, "PUT", OWNER.bucket, "stalled/object", body=bytes(64 << 20), payload=UNSIGNED)
    request(OWNER, "PUT", OWNER.bucket, "stalled/small", body=b"x")
    path = path_of(OWNER.bucket, "stalled/object")
    before, streams = resident_mib(pid), []
    for _ in range(clients):
        stream = connect(OWNER)
        headers = {"host": OWNER.host, **Signer(OWNER).headers("GET", path, [], {}, UNSIGNED)}
        stream.sendall(head_of("GET", path, headers))
        streams.append(stream)
    end, peak = time.monotonic() + SETTLE_S, before
    while time.monotonic() < end:
        peak = max(peak, resident_mib(pid))
        time.sleep(0.1)
    start = time.monotonic()
    status = request(OWNER, "GET", OWNER.bucket, "stalled/small").status
    waited_s = time.monotonic() - start
    for stream in streams:
        stream.close()
    cost = peak - before
    print(f"{clients} stalled clients cost {cost:.0f} MiB; another read meanwhile answered {status} in {waited_s:.2f} s")
    return 0 if cost <= COST_MIB_MAX and status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
