"""A vault made by `kluis init`, with whatever keeps its root: commands on it, a gateway, and an object in it."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from vault import (COMMAND_SECONDS_MAX, DIRECT, KLUIS, Client, before_exec, free_ports, read_env,  # noqa: E402
                   until)
from lib import Identity  # noqa: E402

READY_SECONDS_MAX = 40


class House:
    """A directory with a vault; what it starts ends with it."""

    def __init__(self, place: pathlib.Path, *options: str, extra: dict[str, str] | None = None):
        self.dir = place
        s3, ops = free_ports(2)
        self.listen, self.ops = f"127.0.0.1:{s3}", f"127.0.0.1:{ops}"
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(place.parent)} | (extra or {})
        self.process: subprocess.Popen | None = None
        self.log = place.with_name(place.name + ".log")
        self.made = self.kluis("init", "--dir", str(place), "--listen", self.listen, "--project", "icu",
                               "--owner", "ana", *options)
        if self.made.returncode == 0:
            self.edit("# listen = \"127.0.0.1:9001\"", f"listen = \"{self.ops}\"")
            self.edit("# host_approves = false", "host_approves = true")  # the suite is everybody

    def edit(self, old: str, new: str) -> None:
        file = self.dir / "kluis.toml"
        text = file.read_text()
        assert old in text, f"{old} is not in {text}"
        file.write_text(text.replace(old, new, 1))

    def kluis(self, *words: str, stdin: bytes | None = None, extra: dict[str, str] | None = None):
        return subprocess.run([str(KLUIS), *words], env=self.environment | (extra or {}), capture_output=True,
                              input=stdin if stdin is not None else b"", timeout=COMMAND_SECONDS_MAX, check=False)

    def run(self, *words: str, stdin: bytes | None = None, extra: dict[str, str] | None = None):
        """`kluis --config … words`."""
        return self.kluis("--config", str(self.dir / "kluis.toml"), *words, stdin=stdin, extra=extra)

    def begin(self, *words: str) -> subprocess.Popen:
        """The same, not waited for: its output goes to the log."""
        with self.log.open("ab") as log:
            return subprocess.Popen([str(KLUIS), "--config", str(self.dir / "kluis.toml"), *words], stdin=subprocess.DEVNULL,
                                    stdout=log, stderr=log, env=self.environment, preexec_fn=before_exec,
                                    start_new_session=True)

    def serve(self) -> None:
        self.process = self.begin("serve")

    def page(self, path: str) -> tuple[int, str]:
        try:
            with DIRECT.open(f"http://{self.ops}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except OSError as error:
            read = getattr(error, "read", None)
            return (error.code, read().decode()) if read else (0, str(error))

    def ready(self) -> bool:
        gone = lambda: self.process.poll() is not None  # noqa: E731
        return bool(until(READY_SECONDS_MAX, lambda: gone() or self.page("/readyz")[0] == 200, 0.05)) and not gone()

    def stop(self, how: int = signal.SIGTERM) -> int | None:
        if not self.process:
            return None
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(40)
        self.process = None
        return code

    def client(self, bucket: str = "icu--ecg") -> Client:
        env = read_env(self.dir / "ana.env")
        return Client(Identity(f"http://{self.listen}", env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"],
                               env["AWS_REGION"], bucket))

    def furnish(self, run) -> None:
        """Defaults for datasets, one dataset; `run` runs a command that needs the keys."""
        defaults = ("--label", "internal", "--source", "monitors", "--basis", "consent", "--days", "3650", "--by", "ana")
        run("project", "defaults", "icu", *defaults)
        run("dataset", "create", "icu/ecg", "--creator", "ana")

    def blobs(self) -> dict[str, bytes]:
        return {str(p): p.read_bytes() for p in sorted((self.dir / "data/store").rglob("*")) if p.is_file()}

    def records(self, run=None) -> list[dict]:
        shown = (run or self.run)("audit", "show", "--json", "--since", "2020-01-01")
        return [json.loads(line) for line in shown.stdout.splitlines()]


def text_of(run: subprocess.CompletedProcess) -> str:
    return (run.stdout + run.stderr).decode(errors="replace")


def pause() -> None:
    time.sleep(0.05)
