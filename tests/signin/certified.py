"""`kluis login` with a certified OpenID provider: authorization code with PKCE, and the device flow, each through the provider's own
pages as a person's browser goes through them."""

import html
import http.cookiejar
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

KLUIS, DIR, _PROVIDER = sys.argv[1:4]
ENDPOINT = os.environ["KLUIS_ENDPOINT"]
HOME = pathlib.Path(DIR) / "certified"
CLIENT = "kluis-cli"
PAGES_MAX = 12
failures = 0


def check(title, holds, detail=""):
    global failures
    failures += not holds
    print(f"{'PASS' if holds else 'FAIL'} {title}" + ("" if holds else f": {str(detail)[:600]}"), flush=True)


def host(*words):
    done = subprocess.run([KLUIS, "--config", f"{DIR}/kluis.toml", *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr}"


def command(*words):
    return subprocess.Popen([KLUIS, *words], env={"PATH": os.environ["PATH"], "HOME": str(HOME)}, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def told(process, pattern):
    """What the command says until a line fits."""
    for line in process.stderr:
        if found := re.search(pattern, line):
            return found
    return None


def ended(process):
    out, err = process.communicate(timeout=40)
    return process.returncode, out, err


class Browser:
    """A person at the provider's pages: she fills in each form that she meets."""

    def __init__(self, person, refuses=False):
        self.person, self.refuses = person, refuses
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))

    def ask(self, url, form=None):
        data = urllib.parse.urlencode(form).encode() if form is not None else None
        try:
            with self.opener.open(url, data, timeout=20) as answer:
                return answer.url, answer.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            return error.url, error.read().decode(errors="replace")

    def go(self, url, **known):
        """From a page through all forms until there is none; the last page's address and text."""
        place, page = self.ask(url)
        for _ in range(PAGES_MAX):
            form = re.search(r"<form\b([^>]*)>(.*?)</form>", page, re.S)
            if not form:
                return place, page
            action = re.search(r'action="([^"]*)"', form[1])
            fields = {"login": self.person, "password": "x", **known}
            for tag in re.findall(r"<(?:input|button)\b[^>]*>", form[2]):
                name, value = (re.search(rf'\b{word}="([^"]*)"', tag) for word in ("name", "value"))
                if name and (name[1] not in fields or value and 'type="hidden"' in tag):
                    fields[name[1]] = html.unescape(value[1]) if value else fields.get(name[1], "")
            if self.refuses and (abort := re.search(r'href="([^"]*/abort)"', page)):
                place, page = self.ask(urllib.parse.urljoin(place, html.unescape(abort[1])))
                continue
            place, page = self.ask(urllib.parse.urljoin(place, html.unescape(action[1]) if action else place), fields)
        raise RuntimeError(f"forms without end at {place}")


HOME.mkdir()
provider = subprocess.Popen(["node", str(pathlib.Path(__file__).with_suffix(".mjs")), CLIENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True)
issuer = provider.stdout.readline().strip()
try:
    pathlib.Path(DIR, "issuers.toml").write_text(
        f'[[issuer]]\nname = "certified"\nurl = "{issuer}"\naudience = "{CLIENT}"\njwks_url = "{issuer}/jwks"\n')
    for person in ("dora", "emma"):
        host("principal", "create", f"{person}-of-umc")
        host("principal", "link", f"{person}-of-umc", "--issuer", "certified", "--subject", person)
    asking = ["login", "--issuer", issuer, "--client-id", CLIENT, "--endpoint", ENDPOINT]

    deadline = time.monotonic() + 20
    while True:
        process = command(*asking)
        page = told(process, r"https?://\S+")[0]
        place, text = Browser("dora").go(page)
        code, out, err = ended(process)
        if code == 0 or time.monotonic() > deadline:
            break
        time.sleep(0.3)
    check("a certified provider signs a person in: code with PKCE", code == 0 and "close this page" in text, (code, err, text[:200]))
    code, out, err = ended(command("whoami", "--json"))
    check("and she is who its page was told", code == 0 and json.loads(out)["principal"] == "dora-of-umc", (out, err))

    process = command(*asking)
    bent = told(process, r"https?://\S+")[0].replace("code_challenge_method=S256", "code_challenge_method=plain")
    Browser("dora").go(bent)
    code, _, err = ended(process)
    check("it refuses another challenge than S256, so that was one", code == 1 and "invalid_request" in err, (code, err))

    process = command(*asking)
    page = told(process, r"https?://\S+")[0]
    Browser("dora", refuses=True).go(page)
    code, _, err = ended(process)
    check("what she refuses there is refused here", code == 1 and "access_denied" in err, (code, err))

    process = command(*asking)
    page = told(process, r"https?://\S+")[0]
    Browser("nobody").go(page)
    code, _, err = ended(process)
    check("somebody whom nobody linked has no session", code == 1 and "AccessDenied" in err, (code, err))
    check("and is told as whom the provider knows her", "subject nobody" in err and "issuer http" in err, err)

    process = command("login", "--device", *asking[1:])
    found = told(process, r"open (https?://\S+) and enter (\S+)")
    check("by device a page and a code are shown", found is not None)
    place, text = Browser("emma").go(found[1], user_code=found[2].rstrip("."))
    code, out, err = ended(process)
    check("a certified provider signs a person in by another device", code == 0, (code, err, text[:300]))
    code, out, err = ended(command("whoami", "--json"))
    check("who is who signed in there", code == 0 and json.loads(out)["principal"] == "emma-of-umc", (out, err))
finally:
    provider.stdin.close()
    provider.wait(timeout=10)
sys.exit(failures > 0)
