"""What the attacks share: who attacks, what is attacked, and what must be true afterwards."""

import pathlib
import uuid

from lib import JOB, OWNER, STRANGER, check, done, equal  # noqa: F401
from wire import Answer, request

BUCKET = OWNER.bucket
PREFIX = f"attacks/{uuid.uuid4().hex[:8]}/"
OLD = b"what stood here before the attack"


def put(key: str, body: bytes = OLD, **more) -> Answer:
    answer = request(OWNER, "PUT", BUCKET, PREFIX + key, body=body, **more)
    equal(answer.status, 200, f"PUT {key}: {answer}")
    return answer


def get(key: str, **more) -> Answer:
    return request(OWNER, "GET", BUCKET, PREFIX + key, **more)


def is_old(key: str) -> None:
    """The object is what it was before the attack."""
    answer = get(key)
    equal((answer.status, answer.body), (200, OLD), f"{key} afterwards:")


def is_absent(key: str) -> None:
    equal(get(key).status, 404, f"{key} afterwards:")


def refused(answer: Answer, *statuses: int) -> None:
    """The answer has one of `statuses`; none given: any refusal, or a connection cut without an answer."""
    if statuses:
        equal(answer.status in statuses, True, f"{answer}, not one of {statuses}:")
    else:
        equal(answer.status == 0 or 400 <= answer.status < 500, True, f"{answer}, not a refusal:")
    equal(b"panicked" in answer.body, False, "a panic in the answer:")


def resident_kib(pid: str) -> int:
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])
