"""Turns the lines of measure.sh (case, server and kload's JSON, between tabs) into a Markdown table."""

import json
import sys

HEAD = ("case", "server", "req/s", "MB/s", "to direct", "p50 ms", "p99 ms", "CPU µs/request", "CPU s/GB", "memory MiB", "errors")


def row(case: str, server: str, result: dict, direct: dict) -> list[str]:
    ratio = result["requests_per_s"] / direct["requests_per_s"] if direct["requests_per_s"] else 0
    return [
        case, server, f"{result['requests_per_s']:.0f}", f"{result['mb_per_s']:.0f}", f"{ratio:.2f}",
        f"{result['p50_us'] / 1000:.2f}", f"{result['p99_us'] / 1000:.2f}", f"{result['cpu_us_per_request']:.0f}",
        f"{result['cpu_s_per_gb']:.2f}", str(result["resident_mib"]),
        f"{result['errors']} {result['last_error']}".strip(),
    ]


def main() -> int:
    lines = [line.rstrip("\n").split("\t", 2) for line in open(sys.argv[1], encoding="utf-8")]
    results = {(case, server): json.loads(text) for case, server, text in lines if text}
    print("| " + " | ".join(HEAD) + " |")
    print("|" + " --- |" * len(HEAD))
    for (case, server), result in results.items():
        print("| " + " | ".join(row(case, server, result, results[case, "direct"])) + " |")
    return 0 if len(results) == len(lines) else 1


if __name__ == "__main__":
    sys.exit(main())
