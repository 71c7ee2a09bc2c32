"""Turns the lines of measure.sh (case, server and kload's JSON, between tabs) into a Markdown table.

A case may have been measured several times; then its figures are medians, and so is the ratio to the
server that comes first in its case: of the ratios of each time, since a machine is now fast, now slow.
"""

import json
import sys
from statistics import median

HEAD = ("case", "server", "req/s", "MB/s", "to first", "p50 ms", "p99 ms", "CPU µs/request", "CPU s/GB", "memory MiB", "errors")


def row(case: str, server: str, runs: list[dict], first: list[dict]) -> list[str]:
    def of(name: str) -> float:
        return median(run[name] for run in runs)

    ratios = [run["requests_per_s"] / base["requests_per_s"] for run, base in zip(runs, first) if base["requests_per_s"]]
    errors = sum(run["errors"] for run in runs)
    said = next((run["last_error"] for run in reversed(runs) if run["last_error"]), "")
    return [
        case, server, f"{of('requests_per_s'):.0f}", f"{of('mb_per_s'):.0f}", f"{median(ratios) if ratios else 0:.2f}",
        f"{of('p50_us') / 1000:.2f}", f"{of('p99_us') / 1000:.2f}", f"{of('cpu_us_per_request'):.0f}",
        f"{of('cpu_s_per_gb'):.2f}", f"{max(run['resident_mib'] for run in runs)}", f"{errors} {said}".strip(),
    ]


def main() -> int:
    lines = [line.rstrip("\n").split("\t", 2) for line in open(sys.argv[1], encoding="utf-8")]
    results: dict[str, dict[str, list[dict]]] = {}
    for case, server, text in lines:
        if text:
            results.setdefault(case, {}).setdefault(server, []).append(json.loads(text))
    print("| " + " | ".join(HEAD) + " |")
    print("|" + " --- |" * len(HEAD))
    for case, servers in results.items():
        first = next(iter(servers.values()))
        for server, runs in servers.items():
            print("| " + " | ".join(row(case, server, runs, first)) + " |")
    return 0 if all(text for _, _, text in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
