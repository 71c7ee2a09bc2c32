"""`kluis login` as a person uses it: by the browser with a real OpenID provider, by device with one that obeys RFC 8628; and with
providers that lie, refuse and hang."""

import base64
import http.server
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

KLUIS, DIR, PROVIDER = sys.argv[1:4]
ENDPOINT = os.environ["KLUIS_ENDPOINT"]
HOME = pathlib.Path(DIR) / "home"
SESSION = HOME / ".kluis" / "session.env"
CLIENT = "kluis-cli"
failures = 0
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def check(title, holds, detail=""):
    global failures
    failures += not holds
    print(f"{'PASS' if holds else 'FAIL'} {title}" + ("" if holds else f": {str(detail)[:400]}"), flush=True)


def command(*words, **more):
    environment = {"PATH": os.environ["PATH"], "HOME": str(HOME)}
    return subprocess.Popen([KLUIS, *words], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, **more)


def run(*words, seconds=40):
    process = command(*words)
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def host(*words):
    done = subprocess.run([KLUIS, "--config", f"{DIR}/kluis.toml", *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{words}: {done.stderr}"


def page_of(process):
    """The page that the person is to open; what the command says until then."""
    for line in process.stderr:
        # The address alone on its line, as it is copied.
        if found := re.fullmatch(r"https?://\S+", line.strip()):
            return found[0]
    return None


def get(url):
    try:
        with opener.open(url, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def end(process):
    out, err = process.communicate(timeout=40)
    return process.returncode, out, err


class Liar(http.server.BaseHTTPRequestHandler):
    """A provider that does what the test says: device flow in order, or anything else."""

    issuer = ""
    polls: list = []
    token = ""
    says: dict = {}
    hang = False

    def log_message(self, *_):
        pass

    def answer(self, status, value):
        body = json.dumps(value).encode() if not isinstance(value, bytes) else value
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if Liar.hang:
            time.sleep(15)
        self.answer(200, {
            "issuer": Liar.issuer, "authorization_endpoint": f"{Liar.issuer}/authorize", "token_endpoint": f"{Liar.issuer}/token",
            "device_authorization_endpoint": f"{Liar.issuer}/device", **Liar.says})

    def do_POST(self):
        form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        if self.path == "/device":
            return self.answer(200, {"device_code": "secret-code", "user_code": "BDWP-HQPK", "verification_uri": "https://id.example/device",
                                     "expires_in": 8, "interval": 1})
        if form.get("device_code", "secret-code") != "secret-code":
            return self.answer(400, {"error": "invalid_grant"})
        told = Liar.polls.pop(0) if Liar.polls else {"error": "authorization_pending"}
        self.answer(400 if isinstance(told, dict) and "error" in told else 200, told)


def liar():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_address[1]}"


def claims(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def bent(token, **more):
    """The same token with other claims; its signature is wrong then, which is not what is looked at first."""
    part = base64.urlsafe_b64encode(json.dumps({**claims(token), **more}).encode()).rstrip(b"=").decode()
    head, _, signature = token.split(".")
    return f"{head}.{part}.{signature}"


HOME.mkdir()
provider = subprocess.Popen(["node", PROVIDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
issuer = provider.stdout.readline().strip()
server, lying = liar()


def token(subject, audience=CLIENT, seconds=300, **more):
    print(subject, audience, seconds, json.dumps(more, separators=(",", ":")), file=provider.stdin, flush=True)
    return provider.stdout.readline().strip()


try:
    person = claims(token("x"))["sub"] and "johndoe"  # whom the provider's page signs in
    pathlib.Path(DIR, "issuers.toml").write_text(
        f'[[issuer]]\nname = "idp"\nurl = "{issuer}"\naudience = "{CLIENT}"\njwks_url = "{issuer}/jwks"\n'
        f'[[issuer]]\nname = "device"\nurl = "{lying}"\naudience = "{CLIENT}"\njwks_url = "{issuer}/jwks"\n')
    host("principal", "create", "cara")
    host("group", "create", "guests")
    host("group", "add", "guests", "cara")
    host("principal", "link", "cara", "--issuer", "device", "--subject", "cara-by-device")
    host("principal", "link", "cara", "--issuer", "idp", "--subject", person)
    asking = ["login", "--issuer", issuer, "--client-id", CLIENT, "--endpoint", ENDPOINT]

    code, _, err = run("login")
    check("the first time it says what it needs", code == 2 and "--issuer is needed" in err, err)
    code, _, err = run("whoami")
    check("who is not signed in is told so", code == 1 and "kluis login" in err, err)
    for role in ["Bad Role!", "icu/", "icu/ecg/"]:
        code, _, err = run(*asking, "--role", role, seconds=5)
        check(f"a role that is none opens no page: {role}", code == 2 and "PROJECT/DATASET" in err and "open this page" not in err, err)
    for option, url in [("--issuer", "http://192.0.2.1/"), ("--endpoint", "http://192.0.2.1:9000"), ("--endpoint", "nothing")]:
        places = {"--issuer": issuer, "--endpoint": ENDPOINT, option: url}
        code, _, err = run("login", "--client-id", CLIENT, *(word for pair in places.items() for word in pair), seconds=5)
        check(f"nor does {option} {url}", code == 2 and "open this page" not in err, err)

    deadline = time.monotonic() + 20
    while True:
        process = command(*asking)
        page = page_of(process)
        status, body = get(page)
        code, out, err = end(process)
        if code == 0 or time.monotonic() > deadline:
            break
        time.sleep(0.3)
    check("a person signs in by her browser", code == 0 and status == 200 and b"close this page" in body, (code, status, err))
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(page).query))
    check("with PKCE, a state and a nonce", query["code_challenge_method"] == "S256" and len(query["state"]) > 40 and len(query["nonce"]) > 40)
    check("nothing of it is on standard output", out == "", out)
    mode = SESSION.stat().st_mode & 0o777
    check("the session is its owner's alone", mode == 0o600 and SESSION.parent.stat().st_mode & 0o777 == 0o700, oct(mode))
    text = SESSION.read_text()
    check("no token of the provider is kept", "eyJ" not in text and "refresh" not in text)
    code, out, err = run("whoami", "--json")
    check("whoami names her", code == 0 and json.loads(out)["principal"] == "cara", (out, err))
    told = json.loads(out)
    check("and her groups, that nothing bounds her, and until when", told["groups"] == ["guests"] and told["scope"] is None
          and told["until"].endswith("Z"), told)
    code, out, _ = run("login", "--env")
    check("lines for a shell", code == 0 and out.startswith("export AWS_ENDPOINT_URL='http") and "AWS_SESSION_TOKEN='" in out, out)
    check("they name the region as older tools know it, too", "export AWS_REGION='kluis'\nexport AWS_DEFAULT_REGION='kluis'\n" in out, out)
    code, out, _ = run("login", "--process")
    told = json.loads(out)
    check("credential_process as AWS tools read it", told["Version"] == 1 and told["AccessKeyId"].startswith("KLUT")
          and told["Expiration"].endswith("Z"), told)
    config = HOME / "aws"
    config.write_text(f"[default]\nregion = kluis\nendpoint_url = {ENDPOINT}\ncredential_process = {KLUIS} login --process --session {SESSION}\n")
    script = ("import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])")
    aws = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False, env={
        "PATH": os.environ["PATH"], "HOME": str(HOME), "AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"})
    check("boto3 signs with it", aws.stdout.strip().endswith("user/cara"), aws)

    process = command("login")
    page = page_of(process)
    back = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(page).query))["redirect_uri"]
    check("another sign-in's answer is refused, and this one waits on", get(f"{back}?code=stolen&state=another")[0] == 404
          and get(f"{back}?error=access_denied")[0] == 404 and process.poll() is None)
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(page).query))
    get(f"{query['redirect_uri']}?code=used-before&state={query['state']}")
    code, _, err = end(process)
    check("a code that is none, or was used, is refused", code == 1 and any(word in err for word in ("refuses", "answer", "nonce")), (code, err))
    process = command("login")
    page = page_of(process)
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(page).query))
    icon = urllib.parse.urljoin(query["redirect_uri"], "/favicon.ico")
    check("others find nothing there", get(icon)[0] == 404)
    get(f"{query['redirect_uri']}?error=access_denied&state={query['state']}")
    code, _, err = end(process)
    check("what the person refuses is refused", code == 1 and "access_denied" in err, err)
    check("what failed left the last session", SESSION.read_text() == text)

    # By device.
    Liar.issuer = issuer
    Liar.says = {}
    Liar.polls = [{"error": "authorization_pending"}, {"error": "slow_down"}, {"id_token": token(person)}]
    code, _, err = run("login", "--device", "--issuer", lying, "--client-id", CLIENT)
    check("a provider that says it is another is refused", code == 2 and "it is issuer" in err, err)

    Liar.issuer = lying
    device = ["login", "--device", "--issuer", lying, "--client-id", CLIENT]
    deadline = time.monotonic() + 20
    while True:
        Liar.polls = [{"error": "authorization_pending"}, {"id_token": token("cara-by-device", iss=lying)}]
        code, out, err = run(*device)
        if code == 0 or time.monotonic() > deadline:
            break
        time.sleep(0.3)
    check("a person signs in by another device", code == 0 and "BDWP-HQPK" in err and out == "", (code, err))
    renewed = SESSION.read_text()
    check("and has a session of her own by it", renewed != text and "eyJ" not in renewed)
    code, out, err = run("whoami", "--json")
    check("which is hers", code == 0 and json.loads(out)["principal"] == "cara", (out, err))
    fresh = lambda **more: [{"id_token": bent(token(person), **{"iss": lying, **more})}]  # noqa: E731
    Liar.polls = [{"error": "authorization_pending"}] + fresh()
    code, _, err = run(*device)
    check("a device shows the code, waits, and asks the gateway, which believes no bent token",
          code == 1 and "BDWP-HQPK" in err and "InvalidIdentityToken" in err, err)
    for title, polls, words in [
        ("for another audience", fresh(aud="other"), "audience"),
        ("of another issuer", fresh(iss=issuer), "another issuer"),
        ("that is over", fresh(exp=1), "it is over"),
    ]:
        Liar.polls = polls
        code, _, err = run(*device)
        check(f"a token {title} is not sent on", code == 1 and words in err, err)
    Liar.polls = [{"error": "access_denied"}]
    code, _, err = run(*device)
    check("a person who says no", code == 1 and "access_denied" in err, err)
    Liar.polls = [{"error": "expired_token"}]
    code, _, err = run(*device)
    check("a device's code that is over", code == 1 and "in time" in err, err)
    Liar.polls = [b"<html>"]
    code, _, err = run(*device)
    check("an answer that is none", code == 1 and "no JSON" in err, err)
    Liar.says = {"device_authorization_endpoint": None}
    code, _, err = run(*device)
    check("a provider without the flow", code == 2 and "does not offer" in err, err)
    Liar.says = {"token_endpoint": "http://192.0.2.1/token"}
    Liar.polls = fresh()
    code, _, err = run(*device)
    check("a token endpoint without TLS elsewhere is not spoken to", code == 3 and "https" in err, err)
    Liar.says, Liar.hang = {}, True
    begin = time.monotonic()
    code, _, err = run(*device)
    check("a provider that hangs is waited for ten seconds", code == 3 and time.monotonic() - begin < 14, (code, err))
    Liar.hang = False

    # Signed in, narrowed, by somebody whom nobody linked, and out.
    Liar.polls = [{"id_token": token("cara-by-device", iss=lying, acr="https://refeds.org/profile/mfa", amr=["pwd", "otp"])}]
    code, _, err = run(*device, "--role", "icu/ecg/ehds:research")
    code, out, err = run("whoami", "--json")
    told = json.loads(out)
    check("whoami tells how far a session reaches and how well she is known", code == 0 and told["scope"]["dataset"] == "ecg"
          and told["scope"]["purpose"] == "ehds:research" and told["acr"].endswith("/mfa") and told["amr"] == ["pwd", "otp"], (out, err))
    code, out, err = run("whoami")
    check("in words, too", code == 0 and "dataset=ecg" in out and "pwd, otp" in out, (out, err))
    Liar.polls = [{"id_token": token("stranger@umc.example", iss=lying)}]
    code, _, err = run(*device)
    check("whom nobody linked is told whom to name", code == 1 and "AccessDenied" in err and "stranger@umc.example" in err and lying in err, err)

    code, _, _ = run("logout")
    check("logout forgets", code == 0 and not SESSION.exists())
    last = SESSION.with_name("session.env.last")
    check("but where it was", "KLUIS_ISSUER" in last.read_text() and "SECRET" not in last.read_text()
          and "TOKEN" not in last.read_text() and last.stat().st_mode & 0o777 == 0o600, last.read_text())
    Liar.polls = [{"id_token": token("cara-by-device", iss=lying)}]
    code, _, err = run("login", "--device")
    check("so that the next sign-in asks for nothing", code == 0 and SESSION.exists(), err)
    check("and that is forgotten, too", run("logout")[0] == 0 and not SESSION.exists())
    check("twice", run("logout")[0] == 0)
finally:
    provider.stdin.close()
    provider.wait(timeout=10)
    server.shutdown()
sys.exit(failures > 0)
