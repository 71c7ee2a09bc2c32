"""A root kept by the transit key of a real OpenBao, over TLS: made, opened after a kill, and refused with a wrong token,
another key, an edited file, an untrusted certificate, a service that is sealed, and one that is away."""

import json
import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import sys
import urllib.request

from house import House, text_of
from vault import before_exec, check, clean, done, free_ports, scratch, until

POLICY = """path "transit/encrypt/kluis-root" { capabilities = ["update"] }
path "transit/decrypt/kluis-root" { capabilities = ["update"] }"""


class Bao:
    """`bao server -dev` with a certificate of its own, ended with the suite."""

    def __init__(self, place: pathlib.Path):
        self.dir = place
        place.mkdir()
        port, = free_ports(1)
        self.url, self.ca = f"https://127.0.0.1:{port}", place / "vault-ca.pem"
        self.tls: ssl.SSLContext | None = None
        with (place / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [shutil.which("bao"), "server", "-dev-tls", "-dev-no-store-token", "-dev-root-token-id=root-of-the-test",
                 f"-dev-listen-address=127.0.0.1:{port}", f"-dev-tls-cert-dir={place}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={"PATH": os.environ["PATH"], "HOME": str(place)},
                preexec_fn=before_exec, start_new_session=True)
        up = until(30, lambda: self.ask("GET", "sys/health")[0] == 200, 0.1)
        assert up, (place / "log").read_text()[-800:]

    def ask(self, method: str, path: str, body: dict | None = None) -> tuple[int, dict]:
        try:
            if not self.tls:
                self.tls = ssl.create_default_context(cafile=str(self.ca))
            request = urllib.request.Request(f"{self.url}/v1/{path}", json.dumps(body).encode() if body else None,
                                             {"X-Vault-Token": "root-of-the-test"}, method=method)
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self.tls))
            with opener.open(request, timeout=10) as answer:
                return answer.status, json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            return error.code, {}
        except OSError:
            return 0, {}

    def token(self, *policies: str, period: str = "1h", renewable: bool = True) -> str:
        body = {"policies": list(policies), "no_parent": True, "renewable": renewable}
        body |= {"period": period} if renewable else {"ttl": period}
        return self.ask("POST", "auth/token/create", body)[1]["auth"]["client_token"]

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def secret(path: pathlib.Path, text: str) -> pathlib.Path:
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


def refused(house: House, title: str, code: int, *texts: str) -> None:
    told = house.run("key", "inventory")
    check(title, told.returncode == code and all(text in text_of(told) for text in texts)
          and "AGE-SECRET" not in text_of(told), f"{told.returncode} {text_of(told)}")


def hostile(house: House, bao: Bao, place: pathlib.Path) -> None:
    token, root = place / "token", house.dir / "root.age"
    good, file = token.read_text(), root.read_text()
    secret(token, bao.token("default"))
    refused(house, "a token without the right opens nothing", 1, "status=403")
    secret(token, "none")
    refused(house, "nor one that is none", 1, "status=403")
    token.write_text(good)
    token.chmod(0o644)
    refused(house, "a token that everybody can read is not used", 2, "others can read")
    token.chmod(0o600)
    wrapped = file.split('wrapped = "')[1].split('"')[0]
    root.write_text(file.replace(wrapped, wrapped[:-6] + ("AAAA" if wrapped[-6:-2] != "AAAA" else "BBBB") + wrapped[-2:]))
    refused(house, "an edited file opens nothing", 2, "status=400")
    other = House(place / "other", *options(bao, token))
    foreign = (other.dir / "root.age").read_text()
    root.write_text(foreign)
    refused(house, "nor the root of another vault", 2, "does not open this key ring")
    mine = file.split('recipient = "')[1].split('"')[0]
    theirs = foreign.split('recipient = "')[1].split('"')[0]
    root.write_text(foreign.replace(theirs, mine))
    refused(house, "nor another's wrapped root under this one's name", 2, "status=400")
    root.write_text(file)
    house.edit(f'ca_file = "{bao.ca}"', 'ca_file = ""')
    refused(house, "a service whose certificate nobody vouches for is not spoken to", 3, "was not reached")
    text = (house.dir / "kluis.toml").read_text()
    head, tail = text.split("[transit]")
    (house.dir / "kluis.toml").write_text(head + "[transit]" + tail.replace('ca_file = ""', f'ca_file = "{bao.ca}"', 1))
    house.edit(f'url = "{bao.url}"', f'url = "{bao.url.replace("127.0.0.1", "192.0.2.1").replace("https", "http")}"')
    refused(house, "plain HTTP to another machine is never spoken", 3, "https://")
    house.edit(bao.url.replace("127.0.0.1", "192.0.2.1").replace("https", "http"), bao.url)
    house.edit('root = "transit"', 'root = "file"')
    refused(house, "a vault that is told its root is a file does not take this one", 2, "`transit`")
    house.edit('root = "file"', 'root = "transit"')


def options(bao: Bao, token: pathlib.Path) -> list[str]:
    return ["--transit", "--transit-url", bao.url, "--transit-credential", str(token), "--transit-ca-file", str(bao.ca)]


def main() -> int:
    place = scratch("transit")
    bao = Bao(place / "bao")
    house = None
    try:
        bao.ask("POST", "sys/mounts/transit", {"type": "transit"})
        bao.ask("POST", "sys/policies/acl/kluis", {"policy": POLICY})
        token = secret(place / "token", bao.token("kluis"))
        none = House(place / "none", *options(bao, token))
        check("without its key the service makes no root", none.made.returncode in (1, 2) and not (none.dir / "kluis.toml").exists(),
              text_of(none.made))
        bao.ask("POST", "transit/keys/kluis-root", {"type": "aes256-gcm96"})
        house = House(place / "vault", *options(bao, token))
        check("init has the root kept by the service", house.made.returncode == 0, text_of(house.made))
        file = (house.dir / "root.age").read_text()
        check("the file holds what the service made of it", 'wrapped = "vault:v1:' in file and "AGE-SECRET" not in file)
        house.furnish(house.run)
        house.serve()
        check("the gateway opens by itself", house.ready(), house.log.read_text()[-600:])
        check("and serves", house.client().request("PUT", "a", body=b"a heartbeat").status == 200)
        house.stop(signal.SIGKILL)
        doctor = house.run("doctor")
        check("the doctor opens the ring through the service", doctor.returncode == 0 and "opens the key ring" in text_of(doctor),
              text_of(doctor))
        check("and renews its token", doctor.returncode == 0 and "token is renewed, for 1 hours" in text_of(doctor), text_of(doctor))
        bao.ask("POST", "transit/keys/kluis-root/rotate", {})
        short = secret(token, bao.token("kluis", period="30m"))
        renewed = lambda: bao.ask("POST", "auth/token/lookup", {"token": short.read_text().strip()})[1]["data"].get("last_renewal")  # noqa: E731
        check("a new token is there and was never renewed", not renewed())
        house.serve()
        check("after a kill and a rotation of the service's key it opens to the same data",
              house.ready() and house.client().request("GET", "a").body == b"a heartbeat")
        check("the gateway renews the token", until(30, renewed, 0.1), renewed())
        bao.ask("POST", "auth/token/revoke", {"token": short.read_text().strip()})
        doctor = house.run("doctor")
        check("a token that has ended is named", doctor.returncode == 1 and "refused status=403" in text_of(doctor), text_of(doctor))
        house.stop(signal.SIGKILL)
        house.serve()
        check("and a gateway does not start with it", house.process.wait(40) == 1 and "token has ended" in house.log.read_text(),
              house.log.read_text()[-400:])
        secret(token, bao.token("kluis", renewable=False))
        house.serve()
        check("with one that cannot be renewed it starts", house.ready(), house.log.read_text()[-400:])
        check("and says so", until(30, lambda: "token was not renewed" in house.log.read_text(), 0.1), house.log.read_text()[-400:])
        bao.ask("PUT", "sys/seal", {})
        check("what is open stays open while the service is sealed", house.client().request("GET", "a").body == b"a heartbeat")
        house.stop()
        refused(house, "a sealed service opens nothing", 3, "refused status=503")
        bao.stop()
        refused(house, "nor one that is away", 3, "was not reached")
        bao = Bao(place / "again")
        again = House(place / "elsewhere", *options(bao, secret(place / "t2", bao.token("root"))))
        check("a service without the engine makes no root", again.made.returncode == 2, text_of(again.made))
        bao.ask("POST", "sys/mounts/transit", {"type": "transit"})
        bao.ask("POST", "sys/policies/acl/kluis", {"policy": POLICY})
        bao.ask("POST", "transit/keys/kluis-root", {"type": "aes256-gcm96"})
        token = secret(place / "token", bao.token("kluis"))
        house = House(place / "third", *options(bao, token))
        check("a second vault on a second service", house.made.returncode == 0, text_of(house.made))
        hostile(house, bao, place)
        moved = house.run("key", "change-root", "--to", str(house.dir / "plain.age"))
        check("the root moves from the service to a file", moved.returncode == 0 and 'keys.root` to "file"' in text_of(moved),
              text_of(moved))
        refused(house, "and the service opens the ring no more", 2, "does not open this key ring")
        house.edit('root = "transit"', 'root = "file"\nidentity = "plain.age"')
        back = house.run("key", "change-root", "--to", str(house.dir / "back.age"), "--transit")
        check("and back to the service", back.returncode == 0, text_of(back))
    finally:
        if house:
            house.stop(signal.SIGKILL)
        bao.stop()
    clean(place)
    return done()


if __name__ == "__main__":
    sys.exit(main())
