"""A tree of many files: rclone brings it there, finds nothing to do the second time, sends what changed, and brings it back.

    python tree.py FILES
"""

import os
import pathlib
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from vault import Client, Vault, check, clean, done, pages, say, scratch  # noqa: E402

FILES = int(sys.argv[1])
FOLDERS = 100
RCLONE = pathlib.Path(os.environ["LAB_CACHE"]) / "bin/rclone"
OLD = 1_700_000_000


def plant(root: pathlib.Path) -> None:
    """Small files of many sizes, some levels deep."""
    for number in range(FILES):
        folder = root / f"{number % FOLDERS:03}" / f"{number // FOLDERS % 10}"
        if number < FOLDERS * 10:
            folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"file-{number:06}.dat"
        file.write_bytes(b"%d " % number * (number % 400))
        os.utime(file, (OLD + number, OLD + number))


def main() -> int:
    place = scratch("tree")
    vault = Vault(place / "vault").start()
    who = vault.identity()
    (place / "rclone.conf").write_text(
        f"[k]\ntype = s3\nprovider = Other\naccess_key_id = {who.key}\nsecret_access_key = {who.secret}\n"
        f"endpoint = {who.endpoint}\nregion = {who.region}\nforce_path_style = true\n")

    def rclone(what: str, *words: str) -> tuple[subprocess.CompletedProcess, float]:
        began = time.monotonic()
        run = subprocess.run(
            [RCLONE, "--config", place / "rclone.conf", "--retries", "1", "--stats", "0", "--transfers", "16", "--checkers",
             "16", "--fast-list", "-v", *words], capture_output=True, text=True, check=False)
        took = time.monotonic() - began
        say(f"{what}: {took:.1f} s, the gateway holds {vault.memory_kib() >> 10} MiB, "
            f"at most {vault.memory_kib('VmHWM') >> 10} MiB so far")
        check(f"{what}: rclone ends with 0", run.returncode == 0, run.stderr[-400:])
        return run, took

    try:
        root, there, back = place / "there", f"k:{who.bucket}/tree", place / "back"
        plant(root)
        rclone(f"{FILES} files brought there", "sync", str(root), there)
        again, _ = rclone("the same again", "sync", str(root), there)
        check("the second sync moves nothing", "There was nothing to transfer" in again.stderr, again.stderr[-400:])
        began = time.monotonic()
        listed = pages(Client(who, 60), "tree/")
        check("a listing names each file once", len(listed) == FILES, len(listed))
        say(f"listed in pages of 1,000 in {time.monotonic() - began:.1f} s")
        (root / "000/0/file-000000.dat").write_text("changed")
        (root / "001/0/file-000001.dat").unlink()
        third, _ = rclone("one changed, one gone", "sync", str(root), there)
        moved = re.findall(r": (Copied|Deleted)", third.stderr)
        check("the third sync moves what changed alone", sorted(moved) == ["Copied", "Deleted"], moved[:9])
        rclone("all of it brought back", "copy", there, str(back))
        same = subprocess.run(["diff", "-r", root, back], capture_output=True, text=True, check=False)
        check("what came back is what was sent", same.returncode == 0, same.stdout[:300])
        code = vault.stop()
        check("stopped in peace, the server ends with 0", code == 0, f"{code} {vault.log_tail()}")
    finally:
        vault.kill()
    clean(place)
    return done()


if __name__ == "__main__":
    sys.exit(main())
