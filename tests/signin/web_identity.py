"""Workloads sign in with the tokens of a real OpenID provider, through boto3's own web-identity provider."""

import json
import os
import subprocess
import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

KLUIS, DIR, PROVIDER = sys.argv[1:4]
failures = 0


def check(title, holds, detail=""):
    global failures
    failures += not holds
    print(f"{'PASS' if holds else 'FAIL'} {title}" + ("" if holds else f": {detail}"), flush=True)


def kluis(*args):
    done = subprocess.run([KLUIS, "--config", f"{DIR}/kluis.toml", *args], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{args}: {done.stderr}"
    return done.stdout


def code(call, **arguments):
    try:
        call(**arguments)
        return "served"
    except ClientError as error:
        return error.response["Error"]["Code"]


def within_a_second(expected, call, **arguments):
    """The answer, or another one that still comes a second after a command changed the vault beside its gateway."""
    end = time.monotonic() + 1
    while (got := code(call, **arguments)) != expected and time.monotonic() < end:
        time.sleep(0.02)
    return got


environment = dict(line.strip().split("=", 1) for line in open(f"{DIR}/ana.env") if "=" in line)
endpoint = os.environ["KLUIS_ENDPOINT"]
plain = Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"})
owner = boto3.client(
    "s3", endpoint_url=endpoint, region_name="kluis", config=plain,
    aws_access_key_id=environment["AWS_ACCESS_KEY_ID"], aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
)
owner.create_bucket(Bucket="icu--ecg")
owner.put_object(Bucket="icu--ecg", Key="k", Body=b"sealed bytes")

provider = subprocess.Popen(["node", PROVIDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
issuer = provider.stdout.readline().strip()


def token(subject, audience="kluis", seconds=300, **claims):
    print(subject, audience, seconds, json.dumps(claims, separators=(",", ":")), file=provider.stdin, flush=True)
    return provider.stdout.readline().strip()


try:
    with open(f"{DIR}/issuers.toml", "w") as file:
        file.write(f'[[issuer]]\nname = "idp"\nurl = "{issuer}"\naudience = "kluis"\njwks_url = "{issuer}/jwks"\nonce = false\ngroups = "groups"\n')
    kluis("principal", "create", "bob")
    kluis("principal", "create", "train-job", "--acts-for", "bob")
    kluis("grant", "create", "icu", "--to", "train-job", "--role", "job", "--dataset", "ecg", "--purpose", "ehds:research",
          "--permit", "P-7", "--expires", "2199-12-31", "--approver", "ana")
    kluis("principal", "link", "train-job", "--issuer", "idp", "--subject", "system:serviceaccount:icu:train")

    sts = boto3.client("sts", endpoint_url=endpoint, region_name="kluis", config=plain, aws_access_key_id="x", aws_secret_access_key="x")
    asking = {"RoleArn": "arn:aws:iam::kluis:role/icu/ecg", "RoleSessionName": "job-7"}
    deadline = time.monotonic() + 20
    while code(sts.assume_role_with_web_identity, WebIdentityToken=token("system:serviceaccount:icu:train"), **asking) != "served":
        assert time.monotonic() < deadline, "the gateway never came to believe the provider"
        time.sleep(0.2)

    with open(f"{DIR}/token", "w") as file:
        file.write(token("system:serviceaccount:icu:train"))
    os.environ.update(
        AWS_ENDPOINT_URL=endpoint, AWS_REGION="kluis", AWS_DEFAULT_REGION="kluis", AWS_CONFIG_FILE="/dev/null",
        AWS_SHARED_CREDENTIALS_FILE="/dev/null", AWS_EC2_METADATA_DISABLED="true",
        AWS_ROLE_ARN="arn:aws:iam::kluis:role/icu/ecg", AWS_WEB_IDENTITY_TOKEN_FILE=f"{DIR}/token",
    )
    job = boto3.Session()
    s3 = job.client("s3", config=plain)
    read = s3.get_object(Bucket="icu--ecg", Key="k")["Body"].read()
    check("boto3 exchanges the token by itself and reads", read == b"sealed bytes", read)
    method = job.get_credentials().method
    check("its credentials are of the web identity", method == "assume-role-with-web-identity", method)
    script = """
        const load = require('module').createRequire(process.env.LAB_CACHE + '/node/x.js');
        const { S3Client, GetObjectCommand } = load('@aws-sdk/client-s3');
        const client = new S3Client({ forcePathStyle: true });
        client.send(new GetObjectCommand({ Bucket: 'icu--ecg', Key: 'k' }))
            .then(got => got.Body.transformToString()).then(text => console.log(text));
    """
    node = subprocess.run(["node", "-e", script], capture_output=True, text=True, timeout=60, check=False)
    check("the SDK for JavaScript does so, too", node.stdout == "sealed bytes\n", node)
    # The command of AWS, by its own provider: the same variables, no line of configuration.
    aws = [f"{os.environ['LAB_CACHE']}/aws1/bin/aws"]
    listed = subprocess.run([*aws, "s3", "ls", "s3://icu--ecg"], capture_output=True, text=True, timeout=60, check=False)
    check("aws s3 ls does so, too", listed.returncode == 0 and listed.stdout.split()[-2:] == ["12", "k"], listed)
    fetched = subprocess.run([*aws, "s3", "cp", "s3://icu--ecg/k", "-"], capture_output=True, timeout=60, check=False)
    check("and aws s3 cp", fetched.stdout == b"sealed bytes", fetched)
    refused_put = subprocess.run([*aws, "s3", "cp", f"{DIR}/issuers.toml", "s3://icu--ecg/n"], capture_output=True, text=True, timeout=60, check=False)
    check("but not what the job may not", refused_put.returncode != 0 and "AccessDenied" in refused_put.stderr, refused_put)
    forged = {**os.environ, "AWS_WEB_IDENTITY_TOKEN_FILE": f"{DIR}/forged"}
    with open(f"{DIR}/forged", "w") as file:
        file.write(token("system:serviceaccount:icu:train", "other"))
    listed = subprocess.run([*aws, "s3", "ls", "s3://icu--ecg"], capture_output=True, text=True, timeout=60, check=False, env=forged)
    check("nor with a token for another audience", listed.returncode != 0 and "InvalidIdentityToken" in listed.stderr, listed)
    told = job.client("sts", config=plain).get_caller_identity()["Arn"]
    check("GetCallerIdentity names the principal", told.endswith("user/train-job"), told)
    check("a write is refused", code(s3.put_object, Bucket="icu--ecg", Key="n", Body=b"x") == "AccessDenied")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "icu--ecg", "Key": "k"})
    import urllib.request
    check("a presigned URL of a session reads", urllib.request.urlopen(url).read() == b"sealed bytes")

    # A token that is good once is enough for a command, which says as whom it acts and then acts.
    def own(*args):
        return subprocess.run([KLUIS, *args], capture_output=True, text=True, timeout=60, check=False, cwd=place,
                              env={**os.environ, "HOME": place, "AWS_WEB_IDENTITY_TOKEN_FILE": once})

    def taken(words, before):
        """Waits until the gateway's log says so once more than before."""
        end = time.monotonic() + 20
        while (count := open(f"{DIR}/gateway.log").read().count(words)) == before and time.monotonic() < end:
            time.sleep(0.1)
        return count > before

    place = f"{DIR}/elsewhere"
    os.mkdir(place)
    once, issuers = f"{place}/token", open(f"{DIR}/issuers.toml").read()
    changed = "a changed file of issuers is in force"
    seen = open(f"{DIR}/gateway.log").read().count(changed)
    with open(f"{DIR}/issuers.toml", "w") as file:
        file.write(issuers.replace("once = false", "once = true"))
    check("the log says that a changed file of issuers is in force", taken(changed, seen))
    with open(once, "w") as file:
        file.write(token("system:serviceaccount:icu:train"))
    os.chmod(once, 0o600)
    done = own("dataset", "list")
    check("one token is one command", done.returncode == 0 and "icu/ecg" in done.stdout and "as workload train-job of bob" in done.stderr, done)
    done = own("dataset", "list")
    check("and not two", done.returncode == 1 and "icu/ecg" not in done.stdout, done)
    with open(once, "w") as file:
        file.write(token("system:serviceaccount:icu:train", seconds=299))
    os.chmod(once, 0o644)
    done = own("dataset", "list")
    check("a token that others can read is an error of use", done.returncode == 2 and "chmod 600" in done.stderr
          and "AWS_ENDPOINT_URL" not in done.stderr and "does not answer" not in done.stderr, done)
    os.remove(once)
    done = own("dataset", "list")
    check("and so is one that is not there", done.returncode == 2 and "No such file" in done.stderr and "does not answer" not in done.stderr, done)
    mended = "issuers of tokens are taken again"
    seen, faults = (open(f"{DIR}/gateway.log").read().count(words) for words in (mended, "issuers of tokens are at fault"))
    with open(f"{DIR}/issuers.toml", "w") as file:
        file.write("[[issuer]]\nname = 7\n")
    check("the log says that the file is at fault", taken("issuers of tokens are at fault", faults))
    with open(f"{DIR}/issuers.toml", "w") as file:
        file.write(issuers)
    check("and that it is taken again", taken(mended, seen))

    def refused(title, expected, text, **more):
        got = code(sts.assume_role_with_web_identity, WebIdentityToken=text, **{**asking, **more})
        check(title, got == expected, got)

    good = token("system:serviceaccount:icu:train")
    head, body, signature = good.split(".")
    refused("a bent signature", "InvalidIdentityToken", f"{head}.{body}.{signature[:-4]}AAAA")
    refused("no signature", "InvalidIdentityToken", f"{head}.{body}.")
    refused("alg none", "InvalidIdentityToken", f"eyJhbGciOiJub25lIn0.{body}.")
    refused("another audience", "InvalidIdentityToken", token("system:serviceaccount:icu:train", "other"))
    refused("a token that is over", "ExpiredTokenException", token("system:serviceaccount:icu:train", "kluis", -5))
    refused("a subject that nobody is", "AccessDenied", token("system:serviceaccount:icu:other"))
    refused("a session policy, which nobody would obey", "ValidationError", good, Policy="{}")

    kluis("principal", "create", "cleo")
    kluis("principal", "link", "cleo", "--issuer", "idp", "--subject", "cleo")
    kluis("group", "create", "readers")
    kluis("grant", "create", "icu", "--to", "readers", "--role", "reader", "--purpose", "ehds:research", "--permit", "P-8",
          "--expires", "2199-12-31", "--approver", "ana")
    kluis("group", "map", "readers", "--issuer", "idp", "--claim", "umc:readers")

    def signed_in(**claims):
        """Cleo's session by a token with these claims, once the gateway sees what commands changed."""
        text = token("cleo", **claims)
        time.sleep(0.2)
        asked = sts.assume_role_with_web_identity(WebIdentityToken=text, RoleArn="arn:aws:iam::kluis:role/kluis", RoleSessionName="cleo")
        got = asked["Credentials"]
        return boto3.client("s3", endpoint_url=endpoint, region_name="kluis", config=plain, aws_access_key_id=got["AccessKeyId"],
                            aws_secret_access_key=got["SecretAccessKey"], aws_session_token=got["SessionToken"])

    member, outsider = signed_in(groups=["staff", "umc:readers"]), signed_in(groups=["UMC:readers"])
    got = code(member.get_object, Bucket="icu--ecg", Key="k")
    check("a group that is claimed opens what the group may", got == "served", got)
    got = code(outsider.get_object, Bucket="icu--ecg", Key="k")
    check("another spelling opens nothing", got == "AccessDenied", got)
    refused("a claim that is no list of texts", "InvalidIdentityToken", token("cleo", groups=[{"umc:readers": True}]))
    listed = kluis("--json", "group", "claims")
    check("the host lists what stands for groups", '"umc:readers"' in listed and '"readers"' in listed, listed)
    kluis("group", "unmap", "--issuer", "idp", "--claim", "umc:readers")
    got = within_a_second("AccessDenied", member.get_object, Bucket="icu--ecg", Key="k")
    check("a claim that stands for nothing any more opens nothing", got == "AccessDenied", got)

    # No request waits for the provider: its keys are here.
    last = token("system:serviceaccount:icu:train")
    provider.stdin.close()
    provider.wait(timeout=10)
    got = code(s3.get_object, Bucket="icu--ecg", Key="k")
    check("with the provider away what is signed in reads", got == "served", got)
    got = code(sts.assume_role_with_web_identity, WebIdentityToken=last, **asking)
    check("and signs in", got == "served", got)

    kluis("principal", "suspend", "bob")
    got = within_a_second("AccessDenied", s3.get_object, Bucket="icu--ecg", Key="k")
    check("a job falls with its person", got == "AccessDenied", got)
    kluis("principal", "resume", "bob")
    kluis("principal", "unlink", "--issuer", "idp", "--subject", "system:serviceaccount:icu:train")
    got = within_a_second("InvalidAccessKeyId", s3.get_object, Bucket="icu--ecg", Key="k")
    check("a session ends with its link", got == "InvalidAccessKeyId", got)
    log = kluis("audit", "tail", "-n", "200", "--json")
    check("the log says on whose word", '"AssumeRoleWithWebIdentity"' in log and "subject=system:serviceaccount:icu:train" in log)
    check("and holds no token", good not in log and signature not in log)
finally:
    provider.stdin.close()
    provider.wait(timeout=10)
sys.exit(failures > 0)
