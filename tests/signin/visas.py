"""People sign in with passports (GA4GH): visas of a real issuer in the tokens of a real OpenID provider, through boto3.

The gateway's clock is put forward (libfaketime), and that by which boto3 signs: a visa ends, and what it opened with it.
"""

import datetime
import json
import os
import socket
import subprocess
import sys
import time

import boto3
import botocore.auth
import botocore.crt.auth
from botocore.config import Config
from botocore.exceptions import ClientError

KLUIS, DIR, PROVIDER, FAKETIME = sys.argv[1:5]
DIR = f"{DIR}/visas"
CLOCK = f"{DIR}.clock"
DATASET = "https://ega.example.org/datasets/1"
failures = 0


def check(title, holds, detail=""):
    global failures
    failures += not holds
    print(f"{'PASS' if holds else 'FAIL'} {title}" + ("" if holds else f": {detail}"), flush=True)


def kluis(*args, config=True):
    about = ["--config", f"{DIR}/kluis.toml"] if config else []
    done = subprocess.run([KLUIS, *about, *args], capture_output=True, text=True, timeout=60, env=ahead)
    assert done.returncode == 0, f"{args}: {done.stderr}"
    return done.stdout


def code(call, **arguments):
    try:
        call(**arguments)
        return "served"
    except ClientError as error:
        return error.response["Error"]["Code"]


def until(expected, call, seconds=20, **arguments):
    end = time.monotonic() + seconds
    while (got := code(call, **arguments)) != expected and time.monotonic() < end:
        time.sleep(0.1)
    return got


offset = 0
ahead = {**os.environ, "LD_PRELOAD": FAKETIME, "FAKETIME_TIMESTAMP_FILE": CLOCK, "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def signing_time(remove_tzinfo=True):
    told = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=offset)
    return told.replace(tzinfo=None) if remove_tzinfo else told


botocore.auth.get_current_datetime = botocore.crt.auth.get_current_datetime = signing_time


def put_forward(seconds):
    """All clocks but those of the signers."""
    global offset
    with open(f"{CLOCK}.new", "w") as file:
        file.write(f"+{seconds}\n")
    os.rename(f"{CLOCK}.new", CLOCK)
    offset = seconds


signers = {}


def signer(script):
    """A process that prints its URL, then a token for each line."""
    process = subprocess.Popen(["node", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    signers[script] = process
    return process, process.stdout.readline().strip()


def line(process, text):
    print(text, file=process.stdin, flush=True)
    return process.stdout.readline().strip()


put_forward(0)
with socket.socket() as held:
    held.bind(("127.0.0.1", 0))
    port = held.getsockname()[1]
endpoint = f"http://127.0.0.1:{port}"
plain = Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"})
kluis("init", "--dir", DIR, "--project", "icu", "--owner", "ana", "--listen", f"127.0.0.1:{port}", config=False)
settings = open(f"{DIR}/kluis.toml").read()
open(f"{DIR}/kluis.toml", "w").write(settings.replace("# host_approves = false", "host_approves = true"))  # the suite is everybody
kluis("project", "defaults", "icu", "--label", "internal", "--source", "test", "--basis", "test", "--days", "365", "--by", "ana")
settings = open(f"{DIR}/kluis.toml").read()
settings = settings.replace('# listen = "127.0.0.1:9001"', 'listen = "127.0.0.1:0"').replace('# issuers = ""', 'issuers = "issuers.toml"')
open(f"{DIR}/kluis.toml", "w").write(settings)

provider, broker = signer(PROVIDER)
visas, ega = signer(os.path.join(os.path.dirname(PROVIDER), "visas.mjs"))
with open(f"{DIR}/issuers.toml", "w") as file:
    file.write(f'[[issuer]]\nname = "idp"\nurl = "{broker}"\naudience = "kluis"\njwks_url = "{broker}/jwks"\nonce = false\npassports = true\n')
    file.write(f'[[visa_issuer]]\nname = "ega"\nurl = "{ega}"\njku = ["{ega}/jwks"]\njwks_url = "{ega}/jwks"\nasserted_days_max = 30\n')
log = open(f"{DIR}/gateway.log", "w")
gateway = subprocess.Popen([KLUIS, "--config", f"{DIR}/kluis.toml", "serve"], stdout=log, stderr=log, env=ahead)


def visa(header=None, stranger=False, object=None, **claims):
    now = int(time.time()) + offset
    told = {"type": "ControlledAccessGrants", "asserted": now - 60, "value": DATASET, "source": "https://ega.example.org/dacs/1", "by": "dac"}
    told = {"sub": "cleo@ega", "iat": now, "exp": now + 3000, "ga4gh_visa_v1": {**told, **(object or {})}, **claims}
    return line(visas, json.dumps({"header": header or {}, "claims": told, "stranger": stranger}))


def token(subject, *passport):
    claims = json.dumps({"ga4gh_passport_v1": passport}, separators=(",", ":"))
    return line(provider, f"{subject} kluis {300 + offset} {claims}")


def client(service, credentials=None):
    got = credentials or {"AccessKeyId": "x", "SecretAccessKey": "x", "SessionToken": None}
    return boto3.client(service, endpoint_url=endpoint, region_name="kluis", config=plain, aws_access_key_id=got["AccessKeyId"],
                        aws_secret_access_key=got["SecretAccessKey"], aws_session_token=got["SessionToken"])


try:
    with open(f"{DIR}/ana.env") as file:
        environment = dict(part.strip().split("=", 1) for part in file if "=" in part)
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            assert gateway.poll() is None, "the gateway ended"
            time.sleep(0.1)
    owner = client("s3", {"AccessKeyId": environment["AWS_ACCESS_KEY_ID"], "SecretAccessKey": environment["AWS_SECRET_ACCESS_KEY"],
                          "SessionToken": None})
    owner.create_bucket(Bucket="icu--ecg")
    owner.put_object(Bucket="icu--ecg", Key="k", Body=b"sealed bytes")
    kluis("principal", "create", "cleo")
    kluis("principal", "create", "otto")
    kluis("principal", "link", "cleo", "--issuer", "idp", "--subject", "cleo")
    kluis("principal", "link", "cleo", "--issuer", "ega", "--subject", "cleo@ega")
    kluis("principal", "link", "otto", "--issuer", "idp", "--subject", "otto")
    kluis("group", "create", "granted")
    kluis("grant", "create", "icu", "--to", "granted", "--role", "reader", "--purpose", "ehds:research", "--permit", "P-8",
          "--expires", "2199-12-31", "--approver", "ana")
    said = ["--issuer", "ega", "--type", "ControlledAccessGrants", "--value", DATASET, "--by", "dac"]
    kluis("group", "map-visa", "granted", *said)
    listed = json.loads(kluis("--json", "group", "visas"))
    check("the host lists what of visas stands for groups", (listed["value"], listed["group"]) == (DATASET, "granted"), listed)

    sts = client("sts")
    role = {"RoleArn": "arn:aws:iam::kluis:role/kluis", "RoleSessionName": "cleo"}
    got = until("served", sts.assume_role_with_web_identity, WebIdentityToken=token("cleo"), **role)
    assert got == "served", f"the gateway never came to believe the provider: {got}"

    def session(*passport, subject="cleo"):
        return sts.assume_role_with_web_identity(WebIdentityToken=token(subject, *passport), **role)["Credentials"]

    def opens(*passport, subject="cleo"):
        return code(client("s3", session(*passport, subject=subject)).get_object, Bucket="icu--ecg", Key="k")

    # The keys of visas come after those of tokens.
    end = time.monotonic() + 20
    while (got := opens(visa())) != "served" and time.monotonic() < end:
        time.sleep(0.2)
    check("a visa of the committee opens what its group may", got == "served", got)
    now = int(time.time())
    ending = session(visa(exp=now + 1000))
    until_then = ending["Expiration"].timestamp()
    check("the session ends before the visa", now < until_then < now + 1000, until_then - now)
    short = session(visa(exp=now + 600))
    got = code(client("s3", short).get_object, Bucket="icu--ecg", Key="k")
    check("a visa that ends within 15 minutes opens nothing", got == "AccessDenied", got)
    lasting = session()

    good = visa()
    head, body, signature = good.split(".")
    needs = [[{"type": "AffiliationAndRole", "value": "const:faculty@umc.nl"}]]
    role_of = {"type": "AffiliationAndRole", "value": "faculty@umc.nl"}
    for title, passport in [
        ("a stranger's key", [visa(stranger=True)]),
        ("alg none", [f"eyJhbGciOiJub25lIn0.{body}."]),
        ("a bent signature", [f"{head}.{body}.{signature[:-4]}AAAA"]),
        ("another place of keys", [visa(header={"jku": "http://127.0.0.1:1/jwks"})]),
        ("no place of keys", [visa(header={"jku": None})]),
        ("another key's name", [visa(header={"kid": "visa-2"})]),
        ("the broker's name", [visa(iss=broker)]),
        ("another person's visa", [visa(sub="otto@ega")]),
        ("a visa that is over", [visa(exp=now - 1)]),
        ("a visa of tomorrow", [visa(iat=now + 86400)]),
        ("what was asserted 31 days ago", [visa(object={"asserted": now - 31 * 86400})]),
        ("another dataset", [visa(object={"value": DATASET + "0"})]),
        ("on nobody's authority", [visa(object={"by": "self"})]),
        ("a condition that nothing meets", [visa(object={"conditions": needs})]),
        ("a condition that a stranger meets", [visa(object={"conditions": needs}), visa(stranger=True, object=role_of)]),
    ]:
        got = opens(*passport)
        check(f"{title} opens nothing", got == "AccessDenied", got)
    got = opens(visa(object={"conditions": needs}), visa(object=role_of))
    check("a condition that another visa of hers meets", got == "served", got)
    got = opens("x.y.z", visa(stranger=True), good)
    check("what is not held spoils nothing", got == "served", got)
    got = opens(good, subject="otto")
    check("her passport in another person's token opens nothing", got == "AccessDenied", got)
    got = code(sts.assume_role_with_web_identity, WebIdentityToken=good, **role)
    check("a visa is no token", got == "InvalidIdentityToken", got)

    reader = client("s3", ending)
    read = reader.get_object(Bucket="icu--ecg", Key="k")["Body"].read()
    check("she reads until her visa ends", read == b"sealed bytes", read)
    put_forward(1001)
    got = code(reader.get_object, Bucket="icu--ecg", Key="k")
    check("and no longer", got in ("InvalidAccessKeyId", "AccessDenied", "ExpiredToken"), got)
    told = client("sts", lasting).get_caller_identity()["Arn"]
    check("a session of then that rests on no visa goes on", told.endswith("user/cleo"), told)
    got = code(owner.get_object, Bucket="icu--ecg", Key="k")
    check("and the clocks of gateway and client agree", got == "served", got)

    member = client("s3", session(visa()))
    got = code(member.get_object, Bucket="icu--ecg", Key="k")
    check("a visa of now opens it again", got == "served", got)
    kluis("group", "unmap-visa", *said)
    got = until("AccessDenied", member.get_object, seconds=1, Bucket="icu--ecg", Key="k")
    check("what stands for nothing any more opens nothing", got == "AccessDenied", got)
    records = kluis("audit", "tail", "-n", "300", "--json")
    check("the log says by which visas", f"visas={listed['id']}@" in records and "not_held=0:signature" in records)
    check("and holds no visa", good not in records and signature not in records)
finally:
    gateway.terminate()
    gateway.wait(timeout=20)
    for process in signers.values():
        process.stdin.close()
        process.wait(timeout=10)
    if failures:
        print(open(f"{DIR}/gateway.log").read()[-4000:])
sys.exit(failures > 0)
