"""S6: pjdfstest's questions of a read-only file system, asked of the mount. They are those that end in EROFS: pjdfstest writes
what it needs, has the file system mounted read-only by mount(8), asks, and has it mounted for writing again. A version cannot
be written, so the mount(8) that it finds here publishes what it wrote and mounts the version in its place."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mounts import Mount, lab, publish, upload  # noqa: E402
from vault import check, done, say  # noqa: E402

PJDFSTEST = pathlib.Path(os.environ["LAB_CACHE"]) / "bin/pjdfstest"
# All that this version of it asks of a file system that is read-only, but of flags that Linux has not.
ASKED = {f"{call}::erofs_named" for call in ("chmod", "chown", "chown::lchown", "link", "open", "rename", "rmdir", "truncate", "unlink")} | {
    f"{call}::erofs_new_file" for call in ("mkdir", "mkfifo", "open", "symlink")}
# Says to this process how it was called, and waits for its answer.
WORD = """#!/bin/sh
echo "$@" >{base}/asked
read -r code <{base}/answered
exit "$code"
"""
SETTINGS = """
[features]
[settings]
naptime = 0.001
allow_remount = true
[dummy_auth]
entries = [["nobody", "nogroup"], ["daemon", "daemon"]]
"""


class Over(Mount):
    """A mount over another file system."""

    def is_there(self) -> bool:
        mounts = pathlib.Path("/proc/self/mounts").read_text().splitlines()
        return [str(self.directory), "fuse.kluis"] in [line.split()[1:3] for line in mounts]


class Remounts(threading.Thread):
    """Answers whoever calls mount(8): `-o remount,ro PLACE`, `-o remount,rw PLACE`."""

    def __init__(self, vault, base, place, published: bool):
        super().__init__(daemon=True)
        self.vault, self.base, self.place, self.published = vault, base, place, published
        self.mount, self.count, self.error = None, 0, ""

    def run(self) -> None:
        while words := (self.base / "asked").read_text().split():
            code = 0
            try:
                self.remount(words)
            except Exception as error:  # noqa: BLE001: whoever asked is told
                self.error, code = str(error), 1
            (self.base / "answered").write_text(f"{code}\n")

    def remount(self, words) -> None:
        _, options, place = words
        if place != str(self.place):
            raise ValueError(words)
        self.count += 1
        if not self.published:
            return
        if options == "remount,rw":
            self.mount.stop()
            self.mount = None
            return
        files = {str(path.relative_to(self.place)): path.read_bytes() for path in self.place.rglob("*") if path.is_file()}
        # A directory is there if something is in it.
        empty = {f"{path.relative_to(self.place)}/kept": b"" for path in self.place.rglob("*") if path.is_dir() and not os.listdir(path)}
        upload(self.vault, files | empty)
        self.mount = Over(self.vault, publish(self.vault), self.place).start()


def ask(vault, base, place, published: bool, *words: str) -> dict[str, str]:
    """What pjdfstest says of each question."""
    remounts = Remounts(vault, base, place, published)
    remounts.start()
    run = subprocess.run([str(PJDFSTEST), "-c", str(base / "settings.toml"), "-p", str(place), *words], capture_output=True, text=True,
                         timeout=200, check=False, env={"PATH": f"{base}/words:{os.environ['PATH']}", "NO_COLOR": "1"})
    (base / "asked").write_text("\n")
    remounts.join(10)
    if remounts.error or (not remounts.count and "erofs" in words):
        say(f"{remounts.error}, {run.stderr[-300:]}")
    return dict(re.findall(r"^(\S+)\s+(ok|FAILED|skipped)$", run.stdout, re.MULTILINE))


def main() -> int:
    with lab("pjdfstest") as (base, vault):
        place, words = base / "place", base / "words"
        place.mkdir()
        words.mkdir()
        for name in ("asked", "answered"):
            os.mkfifo(base / name)
        (words / "mount").write_text(WORD.format(base=base))
        (words / "mount").chmod(0o755)
        (base / "settings.toml").write_text(SETTINGS)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "place", str(place)], check=True)
        try:
            told = ask(vault, base, place, True, "erofs")
            for name in sorted(ASKED):
                check(f"S6: pjdfstest {name}", told.get(name) == "ok", told)
            check("pjdfstest asks nothing else that ends in EROFS", set(told) == ASKED, sorted(set(told) ^ ASKED))
            told = ask(vault, base, place, False, "erofs")
            check("the same questions of what can be written have other answers", set(told) == ASKED and set(told.values()) == {"FAILED"}, told)
            other = Mount(vault, publish(vault), base / "other").start()
            told = ask(vault, base, place, False, "-s", str(other.directory), "rename::exdev_target")
            check("S6: pjdfstest rename::exdev_target, with the mount as the other file system", told == {"rename::exdev_target": "ok"}, told)
            other.stop()
        finally:
            subprocess.run(["umount", "-l", str(place)], check=False)
            shutil.rmtree(place, ignore_errors=True)
    return done()


if __name__ == "__main__":
    sys.exit(main())
