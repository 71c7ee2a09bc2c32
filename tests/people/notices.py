"""Break-glass on a real gateway, and the owner's notice of it at a receiver: signed, once more after an error, and after the
gateway was killed; checked by a library of Standard Webhooks that others wrote."""

import base64
import http.server
import json
import os
import pathlib
import sys
import threading
import time

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))
from vault import Vault, check, clean, done, scratch, until  # noqa: E402

MINUTE_SECONDS = 60
# What a receiver may answer; a notice is taken by the first alone.
TAKEN, BUSY, MOVED = 204, 503, 307


class Receiver(http.server.ThreadingHTTPServer):
    """Answers what it is told to, and keeps what came."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer, self.came, self.elsewhere = TAKEN, [], []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook?key=s3cr3t-in-the-address"

    def of(self, words: str) -> list[tuple[dict, bytes]]:
        return [(headers, body) for headers, body in list(self.came) if words in json.loads(body)["data"]["text"]]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if not self.path.startswith("/hook?"):
            self.server.elsewhere.append(self.path)
        else:
            self.server.came.append((dict(self.headers.items()), body))
        self.send_response(self.server.answer)
        if self.server.answer == MOVED:
            self.send_header("location", "/elsewhere")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def verified(key: str, message: tuple[dict, bytes]) -> dict:
    headers, body = message
    return Webhook(key).verify(body.decode(), {name.lower(): value for name, value in headers.items()})


def refused(key: str, message: tuple[dict, bytes]) -> bool:
    try:
        verified(key, message)
    except WebhookVerificationError:
        return True
    return False


class House:
    """A vault with an owner, an officer, a responder and who reads in an emergency."""

    def __init__(self, base: pathlib.Path):
        self.base, self.vault = base, Vault(base / "vault").start()
        for who, role in (("olaf", "officer"), ("rita", "responder")):
            self.must("principal", "create", who)
            self.must("grant", "create", "demo", "--to", who, "--role", role, "--dataset", "wdbc", "--purpose", "emergencies", "--permit", "P-1",
                      "--expires", "2099-01-01T00:00:00Z", "--approver", "olivia")
            self.must("credential", "create", who, "--output", str(self.env(who)))
        self.must("principal", "create", "ben")

    def env(self, who: str) -> pathlib.Path:
        return self.base / f"{who}.env"

    def must(self, *words: str) -> str:
        run = self.vault.command(*words)
        if run.returncode:
            raise RuntimeError(f"{words}: {run.returncode} {run.stderr[-600:]}")
        return run.stdout

    def breaks_glass(self, reason: str) -> float:
        """Opens the dataset to ben for some minutes, by two persons; when."""
        at = f"AWS_ENDPOINT_URL=http://{self.vault.listen}\n"
        for who in ("olaf", "rita"):
            text = self.env(who).read_text()
            lines = [line for line in text.splitlines() if "AWS_ENDPOINT_URL" not in line]
            self.env(who).write_text("\n".join(lines) + "\n" + at)
        signed = lambda who: ("--credentials", str(self.env(who)))  # noqa: E731
        asked = json.loads(self.must("--json", "approval", "ask", "break-glass", "demo/wdbc", "who=ben", "minutes=5", "--reason", reason, *signed("rita")))
        self.must("approval", "approve", "demo", asked["approval"], *signed("olaf"))
        begun = time.monotonic()
        self.must("approval", "break-glass", "demo", asked["approval"], *signed("rita"))
        return begun


def signed_and_once(house: House, receiver: Receiver, key: str) -> None:
    begun = house.breaks_glass("patient in theatre 3")
    came = until(MINUTE_SECONDS, lambda: receiver.of("theatre 3"))
    check("AZ-11: the owner's receiver is told within a minute", bool(came), f"{time.monotonic() - begun:.0f} s, {receiver.came}")
    message = receiver.of("theatre 3")[0]
    told = verified(key, message)
    check("others' library verifies it, and it is the owner's", (told["type"], told["data"]["to"], told["data"]["dataset"]) == ("kluis.notice", "olivia", "wdbc"), told)
    headers, body = message
    stale = {**headers, "webhook-timestamp": str(int(time.time()) - 3_600)}
    other = "whsec_" + base64.b64encode(os.urandom(32)).decode()
    bent = body.replace(b"theatre 3", b"theatre 4")
    check("not with another key, another body or another time", refused(other, message) and refused(key, (headers, bent)) and refused(key, (stale, body)))


def sent_again(house: House, receiver: Receiver, key: str) -> None:
    for answer, reason in ((BUSY, "the ward has no light"), (MOVED, "the ward has no water")):
        receiver.answer = answer
        house.breaks_glass(reason)
        until(MINUTE_SECONDS, lambda words=reason: receiver.of(words))
        receiver.answer = TAKEN
        twice = until(MINUTE_SECONDS, lambda words=reason: len(receiver.of(words)) > 1)
        ids = {headers.get("webhook-id") for headers, _ in receiver.of(reason)}
        check(f"what was answered with {answer} comes again, as the same notice", bool(twice) and len(ids) == 1, (ids, len(receiver.of(reason))))
        verified(key, receiver.of(reason)[-1])
    check("no redirection is followed", not receiver.elsewhere, receiver.elsewhere)


def after_a_kill(house: House, receiver: Receiver, key: str) -> None:
    receiver.answer = BUSY
    house.breaks_glass("the vault itself is ill")
    until(MINUTE_SECONDS, lambda: receiver.of("is ill"))
    house.vault.kill()
    receiver.answer = TAKEN
    before = len(receiver.of("is ill"))
    house.vault.start()
    came = until(MINUTE_SECONDS, lambda: len(receiver.of("is ill")) > before)
    check("what waits outlives a gateway that is killed", bool(came))
    verified(key, receiver.of("is ill")[-1])
    time.sleep(3)
    settled = len(receiver.of("is ill"))
    time.sleep(12)
    check("what was taken does not come again", len(receiver.of("is ill")) == settled, settled)


def replaced(house: House, receiver: Receiver, key: str) -> None:
    other = Receiver()
    file = house.base / "second.secret"
    house.must("webhook", "set", "demo", "--url", other.url, "--output", str(file))
    before = len(receiver.came)
    house.must("webhook", "try", "demo")
    came = until(MINUTE_SECONDS, lambda: other.came)
    second = file.read_text().strip().removeprefix("KLUIS_WEBHOOK_SECRET=")
    check("another receiver has another key", bool(came) and refused(key, other.came[0]) and bool(verified(second, other.came[0])), came)
    check("and the one before gets nothing more", len(receiver.came) == before)
    house.must("webhook", "end", "demo")
    house.breaks_glass("nobody listens")
    time.sleep(5)
    check("an ended receiver is sent nothing", not other.of("nobody listens"), other.came)


def main() -> int:
    base = scratch("notices")
    house = House(base)
    receiver = Receiver()
    try:
        file = base / "hook.secret"
        house.must("webhook", "set", "demo", "--url", receiver.url, "--output", str(file))
        key = file.read_text().strip().removeprefix("KLUIS_WEBHOOK_SECRET=")
        check("the key is for its owner's eyes", (file.stat().st_mode & 0o777, key.startswith("whsec_")) == (0o600, True), key[:6])
        signed_and_once(house, receiver, key)
        sent_again(house, receiver, key)
        after_a_kill(house, receiver, key)
        replaced(house, receiver, key)
        told = [text for text in (house.vault.log.read_text(errors="replace"), json.dumps(house.vault.audit())) if key in text or "s3cr3t" in text]
        check("neither key nor address is in a log", not told, [text[-300:] for text in told])
        sent = [record for record in house.vault.audit().values() if record.get("operation") == "notice"]
        check("each try is in the log", len(sent) >= len(receiver.came), (len(sent), len(receiver.came)))
    finally:
        house.vault.stop()
        clean(base)
    return done()


if __name__ == "__main__":
    sys.exit(main())
