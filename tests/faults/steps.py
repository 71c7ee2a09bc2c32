"""What each fault of a disk is checked for: requests refused meanwhile, readiness, and what is there afterwards."""

import base64
import hashlib
import time

from vault import Client, Reply, Vault, check, until

RESUME_S_MAX = 20
REQUESTS_MAX = 20_000
WEARS_MAX = 200


class Books:
    """Writes objects of known bytes, and knows which were acknowledged."""

    def __init__(self, vault: Vault):
        self.vault, self.client = vault, Client(vault.identity())
        self.held: dict[str, bytes] = {}
        self.number = 0

    def put(self) -> Reply:
        self.number += 1
        key, body = f"f/{self.number:06}", f"object {self.number} ".encode() * 40
        reply = self.client.request("PUT", key, body=body)
        if reply.status == 200:
            self.held[key] = body
        return reply

    def get(self) -> Reply:
        """Reads the first object; a success must be its very bytes."""
        key = min(self.held)
        reply = self.client.request("GET", key)
        if reply.status == 200 and reply.body != self.held[key]:
            raise AssertionError(f"{key}: wrong bytes")
        return reply

    def wear(self) -> None:
        """Fills the journal: a thousand deletions of long names that are not there, a record each, until one is refused."""
        keys = "".join(f"<Object><Key>none/{n:04}{'x' * 1000}</Key></Object>" for n in range(1000))
        body = f"<Delete><Quiet>true</Quiet>{keys}</Delete>".encode()
        digest = {"content-md5": base64.b64encode(hashlib.md5(body).digest()).decode()}
        for _ in range(WEARS_MAX):
            reply = self.client.request("POST", None, [("delete", "")], digest, body)
            if reply.status != 200 or b"<Error>" in reply.body:
                return

    def until_refused(self, act, wear: bool = False) -> Reply:
        """Repeats `act` until it is refused: what is prepared beforehand still has room for a while."""
        if wear:
            self.wear()
        for _ in range(REQUESTS_MAX):
            reply = act()
            if reply.status != 200:
                return reply
        return reply

    def lost(self) -> list[str]:
        read = {key: self.client.request("GET", key) for key in self.held}
        return [f"{key}: {reply}" for key, reply in read.items() if (reply.status, reply.body) != (200, self.held[key])]


def refused(title: str, reply: Reply, books: Books) -> None:
    """503, said in an error's body, with not one byte of the object."""
    clean = reply.status == 503 and b"<Code>" in reply.body and b"object " not in reply.body
    check(f"{title} is answered with 503 and no byte of data", clean, reply)
    check(f"{title}: the client is told when to ask again", "retry-after" in reply.headers, reply.headers)


def not_ready(name: str, vault: Vault) -> None:
    status, text = until(5, lambda: (page := vault.ops_page("/readyz"))[0] == 503 and page) or vault.ops_page("/readyz")
    check(f"{name}: /readyz is 503 and says why", status == 503 and "journal" in text, f"{status} {text}")
    check(f"{name}: /healthz stays 200", vault.ops_page("/healthz")[0] == 200)


def resumes(name: str, books: Books) -> None:
    """Reads, writes and readiness come back without a restart; nothing acknowledged is lost, and the log is whole."""
    vault, pid = books.vault, books.vault.pid

    def well() -> bool:
        return books.put().status == 200 and books.get().status == 200 and vault.ops_page("/readyz")[0] == 200

    began = time.monotonic()
    check(f"{name}: serving resumes by itself", until(RESUME_S_MAX, well), f"{books.put()} {vault.ops_page('/readyz')}")
    print(f"   {name}: served again after {time.monotonic() - began:.1f} s", flush=True)
    check(f"{name}: without a restart", vault.process.poll() is None and vault.pid == pid)
    check(f"{name}: nothing acknowledged is lost", not (lost := books.lost()), lost[:3])


def log_whole(name: str, vault: Vault, books: Books) -> None:
    """As many writes in the log as were acknowledged, at least, and none left open after a stop."""
    code = vault.stop()
    check(f"{name}: the server then stops with 0", code == 0, f"{code} {vault.log_tail()}")
    log = list(vault.audit().values())
    done = [r for r in log if r.get("event") == "object.write" and r.get("outcome", {}).get("status") == "success"]
    check(f"{name}: every acknowledged write has its record", len(done) >= len(books.held), f"{len(done)} of {len(books.held)}")
    still = [r for r in log if r.get("phase") == "intent"]
    check(f"{name}: no request is left open in the log", not still, still[:2])
    run = vault.command("doctor")
    check(f"{name}: the doctor passes afterwards", run.returncode == 0, run.stdout[-500:] + run.stderr[-300:])
