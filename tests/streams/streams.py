"""The log's streams before real receivers: rsyslog over TLS, and a receiver of OTLP that takes nothing but what the official
schema allows. Receivers are killed and started again, hang, lie and show another's certificate; the vault is killed. No request
waits for any of it, and in the end every request is at every receiver, once at least.

    streams.py              all of it
    streams.py otlp …       the receiver of OTLP, a process of its own so that it can be killed
"""

import datetime
import http.server
import json
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lab"))


# ---- a receiver of OTLP over HTTP ----


def receive(port: str, chain: str, key: str, out: str, mood: str) -> None:
    """Takes ExportLogsServiceRequest at /v1/logs; `mood` is a file that says how it behaves."""
    from google.protobuf import json_format
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            how = pathlib.Path(mood).read_text()
            if how == "hang":
                time.sleep(60)
                return
            if how == "close":
                self.connection.close()
                return
            if how in ("busy", "lie"):
                self.answer(503 if how == "busy" else 200, b"<html>nobody here</html>")
                return
            fine = self.path == "/v1/logs" and self.headers["content-type"] == "application/json"
            fine = fine and self.headers["authorization"] == "Bearer a-token"
            lines = []
            if fine:
                # An unknown member or a wrong type is an error here.
                request = json_format.Parse(body, ExportLogsServiceRequest())
                for resource in request.resource_logs:
                    assert any(a.key == "service.name" and a.value.string_value == "kluis" for a in resource.resource.attributes)
                    for scope in resource.scope_logs:
                        for record in scope.log_records:
                            known = {a.key: a.value.string_value for a in record.attributes}
                            assert record.time_unix_nano <= record.observed_time_unix_nano
                            lines.append(known["log.record.uid"] + " " + record.body.string_value + "\n")
            with open(out, "a", encoding="utf-8") as file:
                file.writelines(lines)
                file.flush()
                os.fsync(file.fileno())
            self.answer(200 if fine else 401, b"{}")

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def finish_request(self, request: socket.socket, address: object) -> None:
            super().finish_request(context.wrap_socket(request, server_side=True), address)

        def handle_error(self, request: object, address: object) -> None:
            print("a request failed:", sys.exc_info()[1], file=sys.stderr, flush=True)

    Server(("127.0.0.1", int(port)), Handler).serve_forever()


if len(sys.argv) > 1 and sys.argv[1] == "otlp":
    receive(*sys.argv[2:])
    sys.exit(0)

from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402
from vault import Client, Vault, before_exec, check, clean, done, free_ports, read_env, scratch, until  # noqa: E402


# ---- certificates ----


def authority(dir: pathlib.Path, name: str) -> tuple[pathlib.Path, pathlib.Path, pathlib.Path]:
    """An authority, and a certificate of it for 127.0.0.1: its file, the chain, the key."""
    dir.mkdir()
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    now = datetime.datetime.now(datetime.timezone.utc)
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])

    def made(subject: x509.Name, key: ec.EllipticCurvePrivateKey, extensions: list) -> bytes:
        builder = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    root = made(issuer, keys[0], [(x509.BasicConstraints(True, None), True)])
    import ipaddress

    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    leaf = made(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "receiver")]), keys[1],
                [(here, False), (x509.BasicConstraints(False, None), True)])
    (dir / "ca.pem").write_bytes(root)
    (dir / "chain.pem").write_bytes(leaf)
    key = keys[1].private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (dir / "key.pem").write_bytes(key)
    return dir / "ca.pem", dir / "chain.pem", dir / "key.pem"


# ---- receivers ----


class Process:
    """One that is killed and started again."""

    def __init__(self, dir: pathlib.Path, name: str, port: int):
        self.dir, self.name, self.port = dir, name, port
        self.process: subprocess.Popen | None = None

    def spawn(self, *command: str) -> None:
        with (self.dir / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=before_exec)

        def there() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        if not until(20, there):
            raise RuntimeError(f"{self.name} does not listen")

    def kill(self) -> None:
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


class Syslog(Process):
    """rsyslog, with its TLS by GnuTLS; what it understood of each message, one line each."""

    def start(self, ca: pathlib.Path, chain: pathlib.Path, key: pathlib.Path) -> "Syslog":
        self.out = self.dir / "syslog.out"
        conf = self.dir / "rsyslog.conf"
        conf.write_text(f"""
global(workDirectory="{self.dir}" maxMessageSize="64k" defaultNetstreamDriver="gtls"
       defaultNetstreamDriverCAFile="{ca}" defaultNetstreamDriverCertFile="{chain}" defaultNetstreamDriverKeyFile="{key}"
       parser.escapeControlCharactersOnReceive="off")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
template(name="understood" type="string" string="%pri% %protocol-version% %app-name% %msgid% %structured-data% %msg%\\n")
ruleset(name="in") {{ action(type="omfile" file="{self.out}" template="understood" asyncWriting="off" flushOnTXEnd="on") }}
input(type="imtcp" address="127.0.0.1" port="{self.port}" ruleset="in")
""")
        pid = self.dir / "rsyslog.pid"
        pid.unlink(missing_ok=True)
        self.spawn("/usr/sbin/rsyslogd", "-n", "-f", str(conf), "-i", str(pid))
        return self

    def seen(self) -> dict[str, str]:
        """The messages by their ids."""
        found = {}
        if self.out.exists():
            for line in self.out.read_text(errors="replace").splitlines():
                if '[kluis@32473 id="' in line:
                    found[line.split('id="', 1)[1][:36].replace("-", "")] = line
        return found


class Otlp(Process):
    def start(self, ca: pathlib.Path, chain: pathlib.Path, key: pathlib.Path) -> "Otlp":
        self.out, self.mood = self.dir / "otlp.out", self.dir / "otlp.mood"
        self.is_now("well")
        self.spawn(sys.executable, str(HERE / "streams.py"), "otlp", str(self.port), str(chain), str(key), str(self.out), str(self.mood))
        return self

    def is_now(self, mood: str) -> None:
        self.mood.write_text(mood)

    def seen(self) -> dict[str, str]:
        lines = self.out.read_text().splitlines() if self.out.exists() else []
        return {line[:36].replace("-", ""): line[37:] for line in lines}


# ---- the run ----


def busy(client: Client, events: list[str], count: int = 12) -> float:
    """Requests of every kind of end; the longest time that one took."""
    longest = 0.0
    for n in range(count):
        begun = time.monotonic()
        key = f"streamed-{n - n % 3}"
        reply = client.request("PUT", key, body=b"x" * 100) if n % 3 == 0 else client.request("GET", key if n % 3 == 1 else "absent")
        longest = max(longest, time.monotonic() - begun)
        events.append(reply.event)
    return longest


def metric(vault: Vault, name: str, stream: str) -> float:
    for line in vault.ops_page("/metrics")[1].splitlines():
        if line.startswith(f'kluis_{name}{{stream="{stream}"}}'):
            return float(line.rsplit(" ", 1)[1])
    return 0.0


def main() -> int:
    dir = scratch("streams")
    trusted, other = authority(dir / "ca", "the site's"), authority(dir / "other", "another's")
    ports = free_ports(2)
    syslog = Syslog(dir, "rsyslog", ports[0]).start(*trusted)
    otlp = Otlp(dir, "otlp", ports[1]).start(*trusted)
    (dir / "token").write_text("a-token\n")
    (dir / "token").chmod(0o600)
    vault = Vault(dir / "vault", {
        "proof": {"interval": "200ms"},
        # rsyslog ends its sessions without close_notify where GnuTLS does its TLS.
        "syslog": {"address": f"127.0.0.1:{ports[0]}", "ca_file": str(trusted[0]), "bare_end": True},
        "otlp": {"url": f"https://127.0.0.1:{ports[1]}/v1/logs", "ca_file": str(trusted[0]), "token_file": str(dir / "token")},
    })
    both = (syslog, otlp)
    try:
        vault.start()
        vault.stop()
        vault.serve()
        client = Client(vault.identity())
        events: list[str] = []

        def arrive(seconds: float = 40, where=both) -> bool:
            return bool(until(seconds, lambda: all(set(events) <= set(r.seen()) for r in where)))

        def lacking() -> str:
            return str([len(set(events) - set(r.seen())) for r in both]) + vault.ops_page("/readyz")[1]

        busy(client, events)
        check("every request is at rsyslog and at the receiver of OTLP", arrive(), lacking())
        line = syslog.seen()[events[1]]
        record = json.loads(line[line.index("{"):])
        right = line.startswith("110 1 kluis object.read [kluis@32473 ") and record["outcome"]["status"] == "success"
        check("rsyslog reads a message as RFC 5424 has it", right, line)
        refused = syslog.seen()[events[2]]
        check("what failed or was refused has a severity of its own", not refused.startswith("110 "), refused)
        check("OTLP's body is the record", json.loads(otlp.seen()[events[1]])["event_id"] == record["event_id"])

        syslog.kill()
        longest = busy(client, events)
        check("no request waits for a receiver that is gone", longest < 2, longest)
        check("the other stream goes on", arrive(15, (otlp,)), lacking())
        failing = until(15, lambda: metric(vault, "stream_failures_total", "syslog") > 0)
        status, page = vault.ops_page("/readyz")
        check("it is told in metrics and warnings, and the gateway is ready", failing and status == 200 and '"syslog"' in page, page)
        busy(client, events)
        syslog.start(*trusted)
        check("a receiver that comes back gets everything", arrive(), lacking())

        syslog.kill()
        syslog.start(*other)
        before = set(syslog.seen())
        busy(client, events)
        until(8, lambda: "certificate" in vault.ops_page("/readyz")[1].lower())
        check("who shows another's certificate gets nothing", set(syslog.seen()) == before, vault.ops_page("/readyz")[1])
        syslog.kill()
        syslog.start(*trusted)
        check("and the right one gets it all", arrive(), lacking())

        for mood in ("hang", "busy", "close", "lie"):
            otlp.is_now(mood)
            failures = metric(vault, "stream_failures_total", "otlp")
            longest = busy(client, events)
            noticed = until(20, lambda: metric(vault, "stream_failures_total", "otlp") > failures)
            lag = metric(vault, "stream_lag_seconds", "otlp")
            otlp.is_now("well")
            check(f"no request waits for a receiver that does this: {mood}", longest < 2, longest)
            check(f"it is noticed, with its lag: {mood}", noticed and lag > 0, (noticed, lag))
            check(f"nothing is lost by it: {mood}", arrive(), lacking())

        otlp.is_now("busy")
        busy(client, events)
        vault.kill()
        otlp.is_now("well")
        vault.serve()
        check("a vault that was killed goes on where its receivers were", arrive(), lacking())
        client = Client(vault.identity())
        busy(client, events)
        check("and streams what comes then", arrive(), lacking())
        lines = [line for line in syslog.out.read_text().splitlines() if "kluis@" in line]
        check("most requests came once", len(lines) < 2 * len(syslog.seen()), (len(lines), len(syslog.seen())))
        secret = read_env(vault.dir / "owner.env")["AWS_SECRET_ACCESS_KEY"]
        told = syslog.out.read_text() + otlp.out.read_text() + vault.log.read_text(errors="replace")
        check("no secret is in a stream, nor the token in the log", secret not in told and "a-token" not in told)
    finally:
        vault.kill()
        syslog.kill()
        otlp.kill()
    result = done()
    if result == 0:
        clean(dir)
    return result


if __name__ == "__main__":
    sys.exit(main())
