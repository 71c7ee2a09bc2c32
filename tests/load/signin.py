"""Loads a gateway with AssumeRoleWithWebIdentity over kept connections; sessions per second, latency, CPU of the gateway."""

import base64
import json
import os
import pathlib
import socket
import sys
import threading
import time
import urllib.parse

CONNECTIONS = 16
TOKENS = 12_000
ISSUERS = {"once": True, "again": False}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def prepare(directory: pathlib.Path) -> None:
    """A key of RSA-2048, the issuers' file, and tokens: many that are good once, one that is good again."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    key = rsa.generate_private_key(65537, 2048)
    numbers = key.public_key().public_numbers()
    as_bytes = lambda number: b64(number.to_bytes((number.bit_length() + 7) // 8))  # noqa: E731
    keys = {"keys": [{"kty": "RSA", "kid": "1", "n": as_bytes(numbers.n), "e": as_bytes(numbers.e)}]}
    (directory / "jwks.json").write_text(json.dumps(keys))
    (directory / "issuers.toml").write_text("".join(
        f'[[issuer]]\nname = "{name}"\nurl = "https://{name}.example"\naudience = "kluis"\n'
        f'jwks_file = "jwks.json"\nonce = {str(once).lower()}\n' for name, once in ISSUERS.items()))
    header = b64(b'{"alg":"RS256","kid":"1"}')
    for name, once in ISSUERS.items():
        tokens = []
        for number in range(TOKENS if once else 1):
            claims = {"iss": f"https://{name}.example", "sub": "ana", "aud": "kluis", "exp": int(time.time()) + 3_600, "jti": number}
            message = f"{header}.{b64(json.dumps(claims).encode())}"
            tokens.append(f"{message}.{b64(key.sign(message.encode(), padding.PKCS1v15(), hashes.SHA256()))}")
        (directory / f"{name}.tokens").write_text("\n".join(tokens))


def cpu_seconds(pid: str) -> float:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def request(token: str) -> bytes:
    form = urllib.parse.urlencode({
        "Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleArn": "arn:aws:iam::kluis:role/icu",
        "RoleSessionName": "load", "WebIdentityToken": token})
    return (f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(form)}\r\n\r\n{form}").encode()


def answer(wire) -> bool:
    """Reads one answer; whether it is a session."""
    status = wire.readline()
    length = 0
    while (line := wire.readline()) not in (b"\r\n", b""):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    body = wire.read(length)
    return b" 200 " in status and b"<SessionToken>" in body


def load(directory: pathlib.Path, port: int, pid: str, seconds: float) -> None:
    print("| tokens | sessions/s | p50 ms | p99 ms | CPU µs/session | refused |\n| --- | --- | --- | --- | --- | --- |")
    for name, once in ISSUERS.items():
        requests = [request(token) for token in (directory / f"{name}.tokens").read_text().split("\n")]
        todo = iter(requests) if once else iter(lambda: requests[0], None)
        lock, times, refused = threading.Lock(), [], []
        end = time.monotonic() + seconds

        def work() -> None:
            with socket.create_connection(("127.0.0.1", port)) as line, line.makefile("rb") as wire:
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while time.monotonic() < end:
                    with lock:
                        data = next(todo, None)
                    if data is None:
                        return
                    begin = time.monotonic()
                    line.sendall(data)
                    (times if answer(wire) else refused).append(time.monotonic() - begin)

        begin, spent = time.monotonic(), cpu_seconds(pid)
        threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took, spent = time.monotonic() - begin, cpu_seconds(pid) - spent
        ordered = sorted(times) or [0]
        at = lambda part: 1_000 * ordered[min(len(ordered) - 1, int(part * len(ordered)))]  # noqa: E731
        kind = "good once" if once else "read again"
        print(f"| {kind} | {len(times) / took:.0f} | {at(0.5):.2f} | {at(0.99):.2f} | "
              f"{1e6 * spent / max(1, len(times)):.0f} | {len(refused)} |", flush=True)


directory = pathlib.Path(sys.argv[2])
if sys.argv[1] == "prepare":
    prepare(directory)
else:
    load(directory, int(sys.argv[3]), sys.argv[4], float(sys.argv[5]))
