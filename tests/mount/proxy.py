"""A proxy on loopback before an HTTP server: it counts, delays, and lies about bodies as it is told."""

import http.client
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Proxy:
    """Before `upstream` (host:port); `how` is read for each GET: "", "flip", "cut", "long", "refuse", "close", "stall"."""

    def __init__(self, upstream: str, delay_s: float = 0.0):
        self.upstream, self.delay_s, self.how, self.gets, self.sent = upstream, delay_s, "", 0, 0
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = 1 << 20
            upstream: http.client.HTTPConnection | None = None

            def log_message(self, *_):
                pass

            def do_GET(self):
                proxy.pass_on(self)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def ask(self, handler) -> tuple[int, list, bytes]:
        for _ in range(2):
            if not handler.upstream:
                handler.upstream = http.client.HTTPConnection(self.upstream, timeout=20)
            try:
                headers = {name: value for name, value in handler.headers.items() if name.lower() != "connection"}
                handler.upstream.request("GET", handler.path, headers=headers)
                answer = handler.upstream.getresponse()
                return answer.status, answer.getheaders(), answer.read()
            except (OSError, http.client.HTTPException):
                handler.upstream.close()
                handler.upstream = None
        return 502, [], b""

    def pass_on(self, handler) -> None:
        self.gets += 1
        how = self.how
        if self.delay_s:
            time.sleep(self.delay_s)
        if how == "refuse":
            handler.send_error(403)
            return
        if how == "close":
            handler.close_connection = True
            handler.connection.close()
            return
        if how == "stall":
            time.sleep(8)
        status, headers, body = self.ask(handler)
        if how == "flip" and body:
            body = body[:-1] + bytes([body[-1] ^ 1])
        length = len(body)
        if how == "cut":
            body = body[: length // 2]
        elif how == "long":
            length += 1
            body += b"\0"
        handler.send_response(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                handler.send_header(name, value)
        handler.send_header("Content-Length", str(length))
        handler.end_headers()
        handler.wfile.write(body)
        self.sent += len(body)
        if how == "cut":
            handler.wfile.flush()
            handler.connection.close()
            handler.close_connection = True

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
