"""What goes into a run of s3-tests, and what came of it.

    outcome.py configure DIR                  the suite's configuration, for the people of `kluis demo` in DIR
    outcome.py compare REPORT CORE DOCUMENT   the report against the table of the document; exit code 1 on a difference
"""

import pathlib
import re
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree

# The main user owns the demo's project; the other one and the tenant hold nothing in it.
USERS = {"s3 main": "suite", "s3 alt": "stranger", "s3 tenant": "stranger", "iam": "stranger",
         "iam root": "stranger", "iam alt root": "stranger"}  # fmt: skip
NAMES = {"suite": "suite", "stranger": "stan"}
LISTED = re.compile(r"^\| `(test_\w+)` \| (.+) \|$")


def read_env(path: pathlib.Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)


def configure(directory: pathlib.Path) -> None:
    endpoint = urllib.parse.urlparse(read_env(directory / "suite.env")["AWS_ENDPOINT_URL"])
    print(f"[DEFAULT]\nhost = {endpoint.hostname}\nport = {endpoint.port}")
    print(f"is_secure = {endpoint.scheme == 'https'}\nssl_verify = False\n")
    # A dataset's name is at most 31 characters; the suite appends a number to this.
    print("[fixtures]\nbucket prefix = s3t{random:.12}-\niam name prefix = s3t-\niam path prefix = /s3t/\n")
    for section, who in USERS.items():
        env = read_env(directory / f"{who}.env")
        print(f"[{section}]\ndisplay_name = {NAMES[who]}\nuser_id = {NAMES[who]}\nemail = {who}@example.com")
        print(f"access_key = {env['AWS_ACCESS_KEY_ID']}\nsecret_key = {env['AWS_SECRET_ACCESS_KEY']}")
        print("api_name = kluis\ntenant = none\nkms_keyid = none\nkms_keyid2 = none\n")


def outcomes(report: pathlib.Path) -> dict[str, str]:
    """Name to '' for a pass, else what went wrong. A test may be there twice: its call and its teardown."""
    out: dict[str, str] = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        wrong = [child for child in case if child.tag in ("failure", "error", "skipped")]
        said = "; ".join(f"{child.tag}: {child.get('message', '')}" for child in wrong)
        out[case.get("name", "")] = out.get(case.get("name", "")) or said
    return out


def compare(report: pathlib.Path, core: pathlib.Path, document: pathlib.Path) -> int:
    reasons = dict(found.groups() for line in document.read_text().splitlines() if (found := LISTED.match(line)))
    wanted = {line.split("::")[1] for line in core.read_text().split()}
    seen = outcomes(report)
    differences = 0
    for name in sorted(seen):
        if name not in wanted:
            continue
        if seen[name] and name not in reasons:
            differences += 1
            print(f"FAIL {name}: {' '.join(seen[name].split())[:200]}")
        elif not seen[name] and name in reasons:
            differences += 1
            print(f"FAIL {name}: passes, and docs/s3.md says it does not")
    for name in sorted(reasons.keys() - wanted):
        differences += 1
        print(f"FAIL {name}: docs/s3.md lists it, core.txt does not")
    passing = sum(1 for name in wanted if seen.get(name) == "")
    print(f"   s3-tests: {passing} of {len(wanted)} pass, {len(reasons)} are listed in docs/s3.md")
    print(f"{passing} passed, {differences} failed")
    return 1 if differences or not passing else 0


if __name__ == "__main__":
    command, *paths = sys.argv[1:]
    arguments = [pathlib.Path(path) for path in paths]
    sys.exit(configure(*arguments) if command == "configure" else compare(*arguments))
