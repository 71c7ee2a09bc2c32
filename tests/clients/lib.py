"""What the Python clients share: identities, sample data, and checks that print PASS and FAIL lines."""

import hashlib
import os
import pathlib
import sys
import time
import traceback
import urllib.parse
import urllib.request
import uuid
from dataclasses import dataclass

SAMPLES = pathlib.Path(os.environ["KLUIS_SAMPLES"])
SCRATCH = pathlib.Path(os.environ["KLUIS_SCRATCH"])
CLIENT = pathlib.Path(sys.argv[0]).stem
PREFIX = f"clients/{CLIENT}-{uuid.uuid4().hex[:8]}/"

SMALL = SAMPLES / "small.bin"
LARGE = SAMPLES / "large.bin"
PART_BYTES = 8 << 20
# Inside a segment, across a border of 64 KiB, across a border of parts, the first and the last byte.
RANGES = [(0, 0), (100, 199), (65535, 65536), (0, 131071), (8388600, 8388620), (33554431, 33554433),
          (41943039, 41943039)]
UNUSUAL_KEYS = [
    "with space", "ünï/cödé-日本語", "a//b", ".hidden", "plus+sign", "per%cent%20", "quo'te\"<&>",
    "que?ry=a&b#c", "semi;colon,comma:colon", "-dash", "~tilde", "UPPER", "upper", "back\\slash", "folder/",
]
_failures = 0


@dataclass(frozen=True)
class Identity:
    """One user of the endpoint, as an env file describes it."""

    endpoint: str
    key: str
    secret: str
    region: str
    bucket: str

    @property
    def host(self) -> str:
        return urllib.parse.urlparse(self.endpoint).netloc

    @property
    def secure(self) -> bool:
        return self.endpoint.startswith("https")


def identity(name: str) -> Identity | None:
    """The identity of `name`.env, or None where the endpoint has no such user."""
    path = pathlib.Path(os.environ["KLUIS_ENV_DIR"]) / f"{name}.env"
    if not path.exists():
        return None
    lines = (line.removeprefix("export ").strip() for line in path.read_text().splitlines())
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    values = {name: value.strip("'\"") for name, value in values.items()}
    return Identity(
        values["AWS_ENDPOINT_URL"], values["AWS_ACCESS_KEY_ID"], values["AWS_SECRET_ACCESS_KEY"],
        values["AWS_REGION"], values["KLUIS_BUCKET"],
    )


OWNER, JOB, STRANGER = identity("owner"), identity("job"), identity("stranger")


def sha256(data) -> str:
    data = data.read_bytes() if isinstance(data, pathlib.Path) else data
    return hashlib.sha256(data).hexdigest()


def equal(got, want, what="") -> None:
    if got != want:
        raise AssertionError(f"{what} got {str(got)[:300]!r}, want {str(want)[:300]!r}")


def refused(action, *words: str) -> str:
    """Runs `action`, which must fail, with one of `words` in the name, text or response of its error."""
    try:
        action()
    except Exception as error:  # every client has its own
        text = f"{type(error).__name__} {error} {getattr(error, 'response', '')}"
        if any(word.lower() in text.lower() for word in words):
            return text
        raise AssertionError(f"refused with another error: {text[:300]}") from error
    raise AssertionError("was not refused")


def fetch(url: str, method="GET", body=None, headers=None) -> tuple[int, bytes]:
    """One plain HTTP request without any proxy; status and body, whatever the status."""
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def check(name: str, when=True):
    """Runs the function at once and prints how it went; where `when` is falsy the check does not apply."""

    def run(function):
        global _failures
        if not when:
            return function
        start = time.monotonic()
        try:
            function()
            print(f"PASS {CLIENT}: {name} ({time.monotonic() - start:.1f} s)", flush=True)
        except Exception as error:
            _failures += 1
            text = " ".join(str(error).split())[:400]
            print(f"FAIL {CLIENT}: {name}: {type(error).__name__}: {text}", flush=True)
            if os.environ.get("TRACE"):
                traceback.print_exc()
        return function

    return run


def done() -> None:
    """Ends the client at once: some of them leave threads behind that would wait."""
    sys.stdout.flush()
    os._exit(1 if _failures else 0)
