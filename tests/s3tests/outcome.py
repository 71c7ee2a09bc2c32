"""What goes into a run of s3-tests, and what came of it.

    outcome.py configure DIR                  the suite's configuration, for the people of `kluis demo` in DIR
    outcome.py direct DIR                     the same for the accounts of a store of the lab itself, in DIR
    outcome.py compare REPORT LIST DOCUMENT   the report of a list against the table of the document, which names tests of
                                              the lists beside it, too; exit code 1 on a difference
    outcome.py whole REPORT DOCUMENT…         the report of the whole suite against the tables of documents: what does not pass
                                              stands in one of them, and what the last of them names does not pass
    outcome.py count REPORT CORE CLOCK        how many pass, of all and of each list
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
# Of a store without Kluis before it: its owner, and a second account where the suite asks for another one.
ACCOUNTS = {"s3 main": "owner", "s3 alt": "alt", "s3 tenant": "tenant", "iam": "owner", "iam root": "owner", "iam alt root": "alt"}
# A test with parameters has them in brackets behind its name.
LISTED = re.compile(r"^\| `(test_\w+(?:\[[^`]+\])?)` \| (.+) \|$")


def read_env(path: pathlib.Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)


def head(env: dict[str, str], prefix: str) -> None:
    endpoint = urllib.parse.urlparse(env["AWS_ENDPOINT_URL"])
    print(f"[DEFAULT]\nhost = {endpoint.hostname}\nport = {endpoint.port}")
    print(f"is_secure = {endpoint.scheme == 'https'}\nssl_verify = False\n")
    print(f"[fixtures]\nbucket prefix = {prefix}\niam name prefix = s3t-\niam path prefix = /s3t/\n")


def direct(directory: pathlib.Path) -> None:
    head(read_env(directory / "owner.env"), "s3t-{random}-")
    for section, who in ACCOUNTS.items():
        if not (directory / f"{who}.env").is_file():
            who = "alt"
        env = read_env(directory / f"{who}.env")
        user = "testx$tenant" if who == "tenant" else who
        print(f"[{section}]\ndisplay_name = {who}\nuser_id = {user}\nemail = {who}@example.com")
        print(f"access_key = {env['AWS_ACCESS_KEY_ID']}\nsecret_key = {env['AWS_SECRET_ACCESS_KEY']}")
        print("api_name = default\ntenant = testx\nkms_keyid = testkey-1\nkms_keyid2 = testkey-2\nlc_debug_interval = 10\n")


def configure(directory: pathlib.Path) -> None:
    # The suite appends a number; hyphens of a bucket's name are single ones.
    head(read_env(directory / "suite.env"), "s3t{random:.12}-")
    for section, who in USERS.items():
        env = read_env(directory / f"{who}.env")
        print(f"[{section}]\ndisplay_name = {NAMES[who]}\nuser_id = {NAMES[who]}\nemail = {who}@example.com")
        print(f"access_key = {env['AWS_ACCESS_KEY_ID']}\nsecret_key = {env['AWS_SECRET_ACCESS_KEY']}")
        print("api_name = kluis\ntenant = none\nkms_keyid = none\nkms_keyid2 = none\nlc_debug_interval = 10\n")


def outcomes(report: pathlib.Path) -> dict[str, str]:
    """Name to '' for a pass, else what went wrong. A test may be there twice: its call and its teardown."""
    out: dict[str, str] = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        wrong = [child for child in case if child.tag in ("failure", "error", "skipped")]
        said = "; ".join(f"{child.tag}: {child.get('message', '')}" for child in wrong)
        out[case.get("name", "")] = out.get(case.get("name", "")) or said
    return out


def listed(path: pathlib.Path) -> set[str]:
    return {line.split("::")[1] for line in path.read_text().split()}


def count(report: pathlib.Path, *lists: pathlib.Path) -> int:
    seen = outcomes(report)
    print(f"   s3-tests: {sum(1 for said in seen.values() if not said)} of {len(seen)} pass")
    for path in lists:
        wanted = listed(path) & seen.keys()
        if wanted:
            print(f"   s3-tests: of {path.name} {sum(1 for name in wanted if not seen[name])} of {len(listed(path))} pass")
    return 0 if seen else 1


def named(document: pathlib.Path) -> dict[str, str]:
    """Each test that a document names, and its reason."""
    return dict(found.groups() for line in document.read_text().splitlines() if (found := LISTED.match(line)))


def whole(report: pathlib.Path, *documents: pathlib.Path) -> int:
    seen, tables = outcomes(report), [named(document) for document in documents]
    reasons = set().union(*tables)
    faults = [f"{name}: {' '.join(said.split())[:200]}" for name, said in sorted(seen.items()) if said and name not in reasons]
    faults += [f"{name}: passes, and {documents[-1].name} says it does not" for name in sorted(tables[-1]) if seen.get(name) == ""]
    faults += [f"{name}: {documents[-1].name} names it, and it did not run" for name in sorted(tables[-1].keys() - seen.keys())]
    for fault in faults:
        print(f"FAIL {fault}")
    passing = sum(1 for said in seen.values() if not said)
    print(f"   s3-tests: {passing} of {len(seen)} pass, and what does not is named with its reason")
    print(f"{passing} passed, {len(faults)} failed")
    return 1 if faults or not passing else 0


def compare(report: pathlib.Path, chosen: pathlib.Path, document: pathlib.Path) -> int:
    reasons = named(document)
    wanted = listed(chosen)
    others = set().union(*(listed(path) for path in chosen.parent.glob("*.txt") if path.name in ("core.txt", "clock.txt")))
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
    for name in sorted(reasons.keys() - others):
        differences += 1
        print(f"FAIL {name}: docs/s3.md names it, no list does")
    passing = sum(1 for name in wanted if seen.get(name) == "")
    print(f"   s3-tests: {passing} of {len(wanted)} of {chosen.name} pass, {len(reasons.keys() & wanted)} of it are named in docs/s3.md")
    print(f"{passing} passed, {differences} failed")
    return 1 if differences or not passing else 0


if __name__ == "__main__":
    command, *paths = sys.argv[1:]
    arguments = [pathlib.Path(path) for path in paths]
    sys.exit({"configure": configure, "direct": direct, "compare": compare, "whole": whole, "count": count}[command](*arguments))
