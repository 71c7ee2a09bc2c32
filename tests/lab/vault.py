"""A vault of its own for a suite: started, killed, started again on the same directory, and asked for its log.

What a suite shares lives here: the server, a client that keeps its connection and never raises, and checks that
print PASS and FAIL lines. Signatures come from tests/attacks/wire.py. Everything is on loopback.
"""

import collections
import ctypes
import hashlib
import http.client
import json
import multiprocessing
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE.parent / "attacks"), str(HERE.parent / "clients")]
for name in ("KLUIS_ENV_DIR", "KLUIS_SAMPLES", "KLUIS_SCRATCH"):  # lib.py wants them; nothing here reads them
    os.environ.setdefault(name, tempfile.gettempdir())
from lib import Identity  # noqa: E402
from wire import UNSIGNED, Signer, encode, query_of  # noqa: E402

KLUIS = pathlib.Path(os.environ.get("KLUIS_BIN", ROOT / "target/release/kluis")).resolve()
READY_SECONDS_MAX = 60
STOP_SECONDS_MAX = 40
COMMAND_SECONDS_MAX = 60
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


# ---- checks ----

_counts = collections.Counter()


def check(title: str, right: bool, detail: object = "") -> bool:
    """One PASS or FAIL line; `detail` says what was seen where it is wrong."""
    _counts[right] += 1
    print(f"PASS {title}" if right else f"FAIL {title}: {str(detail)[:600]}", flush=True)
    return right


def say(text: str) -> None:
    print(f"   {text}", flush=True)


def done() -> int:
    """The last line, and the exit code."""
    print(f"{_counts[True]} passed, {_counts[False]} failed", flush=True)
    return 0 if _counts[True] and not _counts[False] else 1


def seed() -> int:
    """The run's seed: KLUIS_SEED, or the clock's."""
    value = int(os.environ.get("KLUIS_SEED", 0)) or time.time_ns() % 1_000_000_007
    say(f"KLUIS_SEED={value}")
    return value


def free_ports(count: int) -> list[int]:
    """Free loopback ports, below those that the kernel hands to clients."""
    held, rng = [], random.SystemRandom()
    while len(held) < count:
        probe = socket.socket()
        try:
            probe.bind(("127.0.0.1", rng.randrange(12000, 28000)))
            held.append(probe)
        except OSError:
            probe.close()
    ports = [probe.getsockname()[1] for probe in held]
    for probe in held:
        probe.close()
    return ports


def until(seconds_max: float, condition, pause_s: float = 0.1):
    """The first true value of `condition`, or its last one when the time is up."""
    end = time.monotonic() + seconds_max
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(pause_s)
    return value


# ---- the server ----


def read_env(path: pathlib.Path) -> dict[str, str]:
    lines = path.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def to_toml(settings: dict[str, dict]) -> str:
    tables = []
    for table, values in settings.items():
        lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        tables.append("\n".join([f"[{table}]", *lines, ""]))
    return "\n".join(tables)


LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1


def before_exec() -> None:
    """In the server, before it is one: it does not outlive the suite, however that ends; and SIGXFSZ is ignored,
    so that a lowered RLIMIT_FSIZE is an error of a write, not the end."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


class Vault:
    """`kluis demo --headless` on `dir`, with `settings` over those of the demo; `store` is an S3 store's env file."""

    def __init__(self, dir: pathlib.Path, settings: dict[str, dict] | None = None, store: pathlib.Path | None = None):
        self.dir = pathlib.Path(dir)
        self.dir.mkdir(parents=True, exist_ok=True)
        s3, ops = free_ports(2)
        self.listen, self.ops = f"127.0.0.1:{s3}", f"127.0.0.1:{ops}"
        self.process: subprocess.Popen | None = None
        self.log = self.dir.with_name(self.dir.name + ".log")
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(self.dir), "TMPDIR": str(self.dir)}
        tables: dict[str, dict] = {
            "server": {"listen": self.listen, "default_project": "demo"}, "ops": {"listen": self.ops},
            "store": {"kind": "local", "path": "store"}, "catalog": {"path": "catalog.sqlite"},
            "keys": {"dir": "keys", "identity": "root.age"}, "journal": {"dir": "journal"},
            "policy": {"host_approves": True},  # a suite is everybody: its commands name who approves
        }
        if store:
            env = read_env(store)
            tables["store"] = {"kind": "s3", "endpoint": env["AWS_ENDPOINT_URL"], "bucket": "blobs"}
            self.environment["KLUIS_STORE_ACCESS_KEY_ID"] = env["AWS_ACCESS_KEY_ID"]
            self.environment["KLUIS_STORE_SECRET_ACCESS_KEY"] = env["AWS_SECRET_ACCESS_KEY"]
        for table, values in (settings or {}).items():
            tables[table] = tables.get(table, {}) | values
        (self.dir / "kluis.toml").write_text("# Written by `kluis demo`.\n" + to_toml(tables))

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    def spawn(self, *words: str) -> None:
        """Starts the server, with other words than the demo's where some are given, and does not wait for it."""
        (self.dir / "ready").unlink(missing_ok=True)
        command = [str(KLUIS), *(words or ("demo", "--dir", str(self.dir), "--listen", self.listen, "--headless"))]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment,
                preexec_fn=before_exec, start_new_session=True,
            )

    def start(self, seconds_max: float = READY_SECONDS_MAX) -> "Vault":
        self.spawn()
        ready = until(seconds_max, lambda: (self.dir / "ready").exists() or self.process.poll() is not None, 0.02)
        if not ready or self.process.poll() is not None:
            self.kill()
            raise RuntimeError(f"the vault does not start: {self.log_tail()}")
        return self

    def serve(self, seconds_max: float = READY_SECONDS_MAX) -> "Vault":
        """`kluis serve` on what the demo made: it obeys `[log]`, where the demo is quiet."""
        self.spawn("--config", str(self.dir / "kluis.toml"), "serve")
        if not until(seconds_max, lambda: self.ops_page("/readyz")[0] == 200, 0.05):
            self.kill()
            raise RuntimeError(f"the vault does not serve: {self.log_tail()}")
        return self

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, closed or said."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int | None:
        """SIGTERM, as an operator stops it; the exit code."""
        if not self.process or self.process.poll() is not None:
            return self.process.returncode if self.process else None
        self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def log_tail(self) -> str:
        return self.log.read_text(errors="replace")[-600:]

    def limit_files(self, size: int) -> None:
        """From now on no write of the server reaches beyond `size` bytes of any file; -1 lifts it."""
        soft = resource.RLIM_INFINITY if size < 0 else size
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (soft, resource.RLIM_INFINITY))

    def command(self, *words: str) -> subprocess.CompletedProcess:
        """`kluis --config … words`, beside the server or without it."""
        return subprocess.run(
            [str(KLUIS), "--config", str(self.dir / "kluis.toml"), *words], env=self.environment,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX, check=False,
        )

    def audit(self, since: str | None = None) -> dict[str, dict]:
        """The log's requests by event id, those begun at `since` or later."""
        run = self.command("audit", "show", "--json", "--since", since or "2020-01-01")
        if run.returncode != 0:
            raise RuntimeError(f"audit show: {run.returncode} {run.stderr[-400:]}")
        records = [json.loads(line) for line in run.stdout.splitlines()]
        return {record["event_id"].replace("-", ""): record for record in records if "event_id" in record}

    def identity(self, name: str = "owner") -> Identity:
        env = read_env(self.dir / f"{name}.env")
        return Identity(f"http://{self.listen}", env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"],
                        env["AWS_REGION"], env["KLUIS_BUCKET"])

    def ops_page(self, path: str) -> tuple[int, str]:
        try:
            with DIRECT.open(f"http://{self.ops}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def memory_kib(self, name: str = "VmRSS") -> int:
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"^{name}:\s+(\d+) kB", status, re.M)[1])


# ---- the client ----


@dataclass
class Reply:
    """What came back; status 0 is no answer. `body` is what arrived, whole or not."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    whole: bool = False

    @property
    def event(self) -> str:
        return self.headers.get("x-amz-request-id", "")

    @property
    def etag(self) -> str:
        return self.headers.get("etag", "")

    def __str__(self) -> str:
        code = re.search(rb"<Code>([^<]*)</Code>", self.body)
        return f"{self.status} {code[1].decode() if code else self.body[:80]!r}"


class Client:
    """Signed requests over one connection, opened again when it broke. No retries: each attempt is one request."""

    def __init__(self, who: Identity, timeout_s: float = 30):
        self.who, self.timeout_s, self.connection = who, timeout_s, None

    def send(self, method: str, key: str | None, query=(), headers=None, body: bytes = b"",
             payload: str = UNSIGNED) -> http.client.HTTPResponse:
        """Sends one request and reads the answer's head; raises what http.client raises."""
        path = f"/{self.who.bucket}" + (f"/{encode(key, '/')}" if key is not None else "")
        signed = Signer(self.who).headers(method, path, list(query), headers or {}, payload)
        text = query_of(list(query))
        if not self.connection:
            host, port = self.who.host.split(":")
            self.connection = http.client.HTTPConnection(host, int(port), timeout=self.timeout_s)
            self.connection.connect()
            self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection.request(method, path + (f"?{text}" if text else ""), body=body or None, headers=signed)
        return self.connection.getresponse()

    def request(self, method: str, key: str | None = None, query=(), headers=None, body: bytes = b"",
                payload: str = UNSIGNED) -> Reply:
        reply = Reply()
        try:
            answer = self.send(method, key, query, headers, body, payload)
            reply.status, reply.headers = answer.status, {n.lower(): v for n, v in answer.getheaders()}
            reply.body = answer.read()
            reply.whole = True
        except http.client.IncompleteRead as error:
            reply.body = error.partial
        except (OSError, http.client.HTTPException):
            pass
        if not reply.whole or reply.headers.get("connection") == "close":
            self.close()
        return reply

    def close(self) -> None:
        if self.connection:
            self.connection.close()
            self.connection = None


def pages(client: Client, prefix: str, page_keys: int = 1000) -> dict[str, tuple[int, str]]:
    """The listing of `prefix`, all its pages: size and ETag by key. Raises where a page is not answered."""
    found, token = {}, None
    while True:
        query = [("list-type", "2"), ("prefix", prefix), ("max-keys", str(page_keys))]
        reply = client.request("GET", None, query + ([("continuation-token", token)] if token else []))
        if reply.status != 200 or not reply.whole:
            raise RuntimeError(f"listing: {reply}")
        text = reply.body.decode()
        for entry in re.findall(r"<Contents>(.*?)</Contents>", text, re.S):
            key, size, etag = (re.search(rf"<{tag}>(.*?)</{tag}>", entry)[1] for tag in ("Key", "Size", "ETag"))
            found[key] = (int(size), etag.replace("&quot;", '"').replace("&#34;", '"'))
        token = re.search(r"<NextContinuationToken>(.*?)</NextContinuationToken>", text)
        token = token and token[1]
        if not token:
            return found


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def scratch(name: str) -> pathlib.Path:
    """A directory for one run, removed by `clean` where nothing failed."""
    return pathlib.Path(tempfile.mkdtemp(prefix=f"kluis-{name}-"))


def clean(path: pathlib.Path) -> None:
    if _counts[False]:
        say(f"kept: {path}")
    else:
        shutil.rmtree(path, ignore_errors=True)


_SUITE = os.getpid()


def ended_by_signal(*_: object) -> None:
    # A worker has nothing to clean up, and Python drops an exception raised while it ends: who waits for the
    # child, as a pool does, would wait for ever.
    if os.getpid() != _SUITE or multiprocessing.parent_process():  # forked, or spawned and importing this anew
        os._exit(130)
    raise SystemExit(130)  # so that `finally` ends what was started


signal.signal(signal.SIGTERM, ended_by_signal)
