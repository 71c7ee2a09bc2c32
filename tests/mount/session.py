"""ID-5: a mount of a job outlives its session: it asks for the next one by itself, for as long as the job has a right, and no longer.

The gateway's sessions are of seconds here (`jobs.session`), not of a quarter of an hour; nothing else is different.
"""

import json
import os
import sys
import threading
import time
from datetime import datetime

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mounts import MIB, Mount, lab, publish, read, upload  # noqa: E402
from vault import check, done, say, until  # noqa: E402

SESSION_SECONDS = 4
SESSIONS = 4
SECONDS_MAX = 90
END_SECONDS_MAX = 60
# Together more than what the mount keeps in memory, so that reading goes on asking.
MEMORY_MIB = 16
FILES = {f"d/{n:02}": bytes([n]) * MIB for n in range(2 * MEMORY_MIB)}


def must(vault, *words: str) -> str:
    run = vault.command(*words)
    if run.returncode:
        raise RuntimeError(f"{words}: {run.stderr}")
    return run.stdout


def enrolled(vault, base):
    """A node's own file, enrolled."""
    made = json.loads(must(vault, "node", "init", "gpu-1", "--endpoint", f"http://{vault.listen}", "--output", str(base / "node.env"), "--json"))
    must(vault, "node", "enrol", "gpu-1", "--cluster", "hpc1", "--key", made["key"])
    return base / "node.env"


def submitted(vault, version: str) -> str:
    return must(vault, "job", "submit", version, "--cluster", "hpc1", "--account", "ann", "--lasts", "10m",
                "--credentials", str(vault.dir / "job.env")).strip()


class JobMount(Mount):
    """The mount of a job's right, as a prolog makes it: no credential, but the node's word."""

    def __init__(self, vault, version, directory, right, node, number):
        super().__init__(vault, version, directory)
        self.command = [*self.command[:4], "--node", str(node), "--job", right.split(":", 1)[1], "--job-number", number, "--account", "ann",
                        "--seen", str(vault.dir / "seen"), "--memory", str(MEMORY_MIB), "--direct-io"]

    def all_read(self) -> list[str]:
        """The files that are not read as they were published."""
        return [key for key, body in FILES.items() if read(self.directory / key) != body]

    def state(self) -> str:
        return json.loads((self.directory / ".kluis/status").read_text())["state"]


def sessions(vault, job: str) -> list[dict]:
    """What the log says of the job's sessions, in order."""
    started = [r for r in vault.audit().values() if r.get("operation") == "StartJob" and job in r.get("query", "")]
    return sorted((r for r in started if r["outcome"]["status"] == "success"), key=lambda record: record["time"])


def seconds_between(record: dict) -> float:
    """From a session's record to its end."""
    ends = next(word.removeprefix("expires=") for word in record["query"].split() if word.startswith("expires="))
    return (datetime.fromisoformat(ends) - datetime.fromisoformat(record["time"])).total_seconds()


def main() -> int:
    with lab("mount-session", settings={"jobs": {"session": f"{SESSION_SECONDS}s"}}) as (base, vault):
        upload(vault, FILES)
        version = publish(vault)
        node, right = enrolled(vault, base), submitted(vault, version)
        job = right.split(":", 1)[1]
        mount = JobMount(vault, version, base / "job", right, node, "71").start()
        wrong, begin, held, seconds = [], time.monotonic(), [], 0.0
        while seconds < SECONDS_MAX and (len(held) < SESSIONS or seconds <= 2 * SESSION_SECONDS):
            wrong += mount.all_read()
            held = sessions(vault, job)
            seconds = time.monotonic() - begin
        say(f"{len(held)} sessions in {seconds:.1f} s")
        check(f"ID-5: a mount outlives its session of {SESSION_SECONDS} s: every read is right", seconds > 2 * SESSION_SECONDS and not wrong, wrong[:3])
        keys = {word for record in held for word in record["query"].split() if word.startswith("credential=")}
        check(f"ID-5: the mount asked for each of them itself, {len(held)} in all", SESSIONS <= len(held) == len(keys), (len(held), keys))
        lasts = [seconds_between(record) for record in held]
        check(f"ID-5: none of them is good for longer than {SESSION_SECONDS} s", all(s <= SESSION_SECONDS + 0.1 for s in lasts), lasts)
        check("the mount reads", mount.state() == "reading", mount.state())

        # The gateway is away for longer than a session lives, while somebody reads.
        vault.kill()
        seen = []
        reader = threading.Thread(target=lambda: seen.append(mount.all_read()), daemon=True)
        reader.start()
        time.sleep(SESSION_SECONDS + 1)
        vault.start()
        reader.join(SECONDS_MAX)
        check("a session that ended while the gateway was away is followed by another: every read is right", seen == [[]], seen)

        must(vault, "job", "cancel", job, "--credentials", str(vault.dir / "job.env"))
        count = len(sessions(vault, job))
        begin = time.monotonic()
        refused = until(END_SECONDS_MAX, lambda: mount.state() == "refused", 0.2)
        say(f"refused {time.monotonic() - begin:.1f} s after the job was cancelled")
        check(f"a session that is not renewed is the last: the mount ends within {END_SECONDS_MAX} s", refused, mount.state())
        again = read(mount.directory / "d/00")
        check("and nothing is read any more", isinstance(again, str), again[:20])
        check("no session came after the end", len(sessions(vault, job)) == count, count)
        mount.stop()
        mine = [path for path in (vault.dir / "seen").rglob("*") if path.is_file()] + [mount.log]
        left = [path for path in mine if any(key.removeprefix("credential=").encode() in path.read_bytes() for key in keys)]
        check("nothing of a session is on the node's disk", keys and not left, left)
    return done()


if __name__ == "__main__":
    sys.exit(main())
