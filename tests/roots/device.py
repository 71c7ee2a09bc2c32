"""An age plugin with a device made of a file, for tests: it speaks age's plugin protocol, versions `recipient-v1` and
`identity-v1`, and misbehaves as the file `mode` beside it says.

    device.install(DIR) -> the text of an identity      DIR/age-plugin-kluistest, DIR/device (its key), DIR/mode

Modes: ok, pin (asks for the PIN 1234), hang, flood, die, garbage, other (gives the key of another file), error.
"""

import base64
import hashlib
import hmac
import os
import pathlib
import sys
import time

NAME = "kluistest"
PIN = b"1234"
ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def bech32(prefix: str, data: bytes) -> str:
    """BIP 173, without its bound of length, as age has it."""
    def polymod(values):
        check = 1
        for value in values:
            top = check >> 25
            check = (check & 0x1ffffff) << 5 ^ value
            for i, generator in enumerate((0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3)):
                check ^= generator if top >> i & 1 else 0
        return check

    bits = "".join(f"{byte:08b}" for byte in data)
    bits += "0" * (-len(bits) % 5)
    words = [int(bits[i:i + 5], 2) for i in range(0, len(bits), 5)]
    spread = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    end = polymod(spread + words + [0] * 6) ^ 1
    words += [end >> 5 * (5 - i) & 31 for i in range(6)]
    return prefix + "1" + "".join(ALPHABET[word] for word in words)


def install(place: pathlib.Path) -> str:
    place.mkdir(parents=True, exist_ok=True)
    program = place / f"age-plugin-{NAME}"
    program.write_text(f"#!{sys.executable}\n" + pathlib.Path(__file__).read_text())
    program.chmod(0o755)
    (place / "device").write_bytes(os.urandom(32))
    (place / "mode").write_text("ok")
    return bech32(f"age-plugin-{NAME}-", b"slot 1").upper()


class Wire:
    """Stanzas over stdin and stdout."""

    def __init__(self):
        self.reads, self.writes = sys.stdin.buffer, sys.stdout.buffer

    def hear(self) -> tuple[list[str], bytes]:
        head = self.reads.readline().decode().rstrip("\n").split(" ")
        if head[0] != "->":
            sys.exit(3)
        body = b""
        while True:
            line = self.reads.readline().rstrip(b"\n")
            body += line
            if len(line) < 64:
                return head[1:], base64.b64decode(body + b"=" * (-len(body) % 4))

    def say(self, words: str, body: bytes = b"") -> None:
        text = base64.b64encode(body).rstrip(b"=")
        lines = [text[i:i + 64] for i in range(0, len(text), 64)] or [b""]
        if len(lines[-1]) == 64:
            lines.append(b"")
        self.writes.write(f"-> {words}\n".encode() + b"\n".join(lines) + b"\n")
        self.writes.flush()

    def ask(self, words: str, body: bytes = b"") -> tuple[list[str], bytes]:
        self.say(words, body)
        return self.hear()

    def first_phase(self) -> list[tuple[list[str], bytes]]:
        heard = []
        while True:
            words, body = self.hear()
            if words[0] == "done":
                return heard
            heard.append((words, body))


def mask(key: bytes, salt: bytes) -> bytes:
    return hmac.new(key, salt, hashlib.sha256).digest()


def seal(key: bytes, file_key: bytes) -> bytes:
    salt = os.urandom(16)
    hidden = bytes(a ^ b for a, b in zip(file_key, mask(key, salt)))
    return salt + hidden + mask(key, salt + hidden)


def unseal(key: bytes, sealed: bytes) -> bytes | None:
    salt, hidden, tag = sealed[:16], sealed[16:32], sealed[32:]
    if not hmac.compare_digest(tag, mask(key, salt + hidden)):
        return None
    return bytes(a ^ b for a, b in zip(hidden, mask(key, salt)))


def misbehave(mode: str, wire: Wire) -> None:
    if mode == "hang":
        time.sleep(600)
    while mode == "flood":
        wire.writes.write(b"-> msg\n" + b"A" * 64 * 1024)
    if mode == "garbage":
        wire.writes.write(b"\xff\xfe no stanza\n\n\n")
        wire.writes.flush()
        sys.exit(0)
    if mode == "die":
        os.kill(os.getpid(), 9)


def main() -> int:
    place = pathlib.Path(__file__).resolve().parent
    key, mode, wire = (place / "device").read_bytes(), (place / "mode").read_text().strip(), Wire()
    with (place / "calls").open("a") as calls:
        calls.write(" ".join(sys.argv[1:]) + "\n")
    heard = wire.first_phase()
    misbehave(mode, wire)
    if mode == "error":
        wire.ask("error internal", b"the device\x1b[2J is unwell")
        wire.say("done")
        return 0
    wire.ask("msg", b"touch the \x1b[31mdevice")
    if "recipient-v1" in sys.argv[1]:
        keys = [body for words, body in heard if words[0] == "wrap-file-key"]
        for number, file_key in enumerate(keys):
            wire.ask(f"recipient-stanza {number} {NAME} slot1", seal(key, file_key))
    else:
        if mode == "pin":
            words, told = wire.ask("request-secret", b"PIN of the device")
            if words[0] != "ok" or told != PIN:
                wire.ask("error identity 0", b"the PIN is wrong")
                wire.say("done")
                return 0
        for words, body in heard:
            if words[0] == "recipient-stanza":
                with (place / "calls").open("a") as calls:
                    calls.write(f"opens {words[2]}\n")
            if words[0] == "recipient-stanza" and words[2] == NAME:
                file_key = unseal(key, body)
                if file_key:
                    wire.ask(f"file-key {words[1]}", os.urandom(16) if mode == "other" else file_key)
    wire.say("done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
