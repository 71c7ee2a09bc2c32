"""A person reads; her organisation's system says that she is not active; within a minute the stream is cut, and nothing is served."""

import os
import subprocess
import sys
import time

import boto3
import httpx2 as httpx
from botocore.config import Config
from botocore.exceptions import ClientError

KLUIS, DIR = sys.argv[1:3]
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
MIB = 1 << 20
failures = 0


def check(title, holds, detail=""):
    global failures
    failures += not holds
    print(f"{'PASS' if holds else 'FAIL'} {title}" + ("" if holds else f": {detail}"), flush=True)


def kluis(*args):
    done = subprocess.run([KLUIS, "--config", f"{DIR}/kluis.toml", *args], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{args}: {done.stderr}"
    return done.stdout


def client(text):
    said = dict(line.strip().split("=", 1) for line in text.splitlines() if "=" in line)
    return boto3.client(
        "s3", endpoint_url=os.environ["KLUIS_ENDPOINT"], region_name="kluis",
        config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}),
        aws_access_key_id=said["AWS_ACCESS_KEY_ID"], aws_secret_access_key=said["AWS_SECRET_ACCESS_KEY"],
    )


owner = client(open(f"{DIR}/ana.env").read())
owner.create_bucket(Bucket="icu--ecg")
owner.put_object(Bucket="icu--ecg", Key="large", Body=os.urandom(MIB) * 256)
token = kluis("scim", "create", "uni", "--for", "ana").strip()
base = os.environ["KLUIS_ENDPOINT"] + "/.kluis/v1/scim/v2/"
scim = httpx.Client(base_url=base, headers={"authorization": f"Bearer {token}"}, timeout=30)
ann = scim.post("Users", json={"schemas": [USER], "userName": "Ann@Uni.example", "externalId": "4711"}).json()
check("a person is called by her organisation and her name", ann["id"] == "uni.ann@uni.example", ann)
team = scim.post("Groups", json={"schemas": [GROUP], "displayName": "readers", "members": [{"value": ann["id"]}]}).json()
check("a group with its member", [m["value"] for m in team["members"]] == [ann["id"]], team)
kluis("grant", "create", "icu", "--to", team["id"], "--role", "reader", "--purpose", "test", "--permit", "T-1",
      "--expires", "2099-01-01T00:00:00Z", "--approver", "ana")
reader = client(kluis("credential", "create", ann["id"]))


def reads():
    try:
        return len(reader.get_object(Bucket="icu--ecg", Key="large", Range="bytes=0-9")["Body"].read()) == 10
    except ClientError as error:
        return error.response["Error"]["Code"]


def within_a_second(expected):
    end = time.monotonic() + 1
    while (got := reads()) != expected and time.monotonic() < end:
        time.sleep(0.02)
    return got


check("she reads what the group may", within_a_second(True) is True)


def patch(path, operation):
    return scim.patch(path, json={"schemas": [PATCH], "Operations": [operation]})


def cut_after(end):
    """Seconds from what ended the right until the stream that was open is cut."""
    body = reader.get_object(Bucket="icu--ecg", Key="large")["Body"]
    body.read(MIB)
    answer = end()
    begin = time.monotonic()
    got = MIB
    try:
        while piece := body.read(MIB // 4):
            got += len(piece)
            time.sleep(0.05)
            if time.monotonic() - begin > 75:
                break
        whole = got == 256 * MIB
    except Exception:
        whole = False
    return answer.status_code, time.monotonic() - begin, whole


def told_whole(*members):
    """The group as a sweep tells of it: all of it, whatever was pushed before."""
    whole = {"schemas": [GROUP], "displayName": "readers", "members": [{"value": member} for member in members]}
    return scim.put(f"Groups/{team['id']}", json=whole)


person, group = f"Users/{ann['id']}", f"Groups/{team['id']}"
for title, ends, back in [
    ("set inactive", lambda: patch(person, {"op": "Replace", "path": "active", "value": "False"}),
     lambda: patch(person, {"op": "Replace", "path": "active", "value": "True"})),
    ("taken out of the group", lambda: patch(group, {"op": "remove", "path": f'members[value eq "{ann["id"]}"]'}),
     lambda: patch(group, {"op": "add", "path": "members", "value": [{"value": ann["id"]}]})),
    ("left out by a sweep that tells the whole group", told_whole, lambda: told_whole(ann["id"])),
]:
    status, seconds, whole = cut_after(ends)
    print(f"{title}: the open stream ended after {seconds:.1f} s")
    check(f"ID-3: {title}, the open stream is cut within 60 s", status == 200 and not whole and seconds <= 60, (status, seconds, whole))
    check(f"{title}, the next request is refused", within_a_second("AccessDenied") == "AccessDenied", reads())
    back()
    check(f"{title}, and back: she reads again", within_a_second(True) is True, reads())

check("deleted", scim.delete(f"Users/{ann['id']}").status_code == 204)
check("deleted, the next request is refused", within_a_second("AccessDenied") == "AccessDenied", reads())
again = scim.post("Users", json={"schemas": [USER], "userName": "ann@uni.example"}).json()
check("a name is never given twice", again["id"] == "uni.ann@uni.example.2", again)
listed = kluis("--json", "scim", "people", "uni")
check("the host lists whom an organisation tells of", '"uni.ann@uni.example.2"' in listed, listed)
# One who was made here by hand, with a grant and a credential, is handed to her organisation.
kluis("principal", "create", "dee")
kluis("grant", "create", "icu", "--to", "dee", "--role", "reader", "--purpose", "test", "--permit", "T-2",
      "--expires", "2099-01-01T00:00:00Z", "--approver", "ana")
reader = client(kluis("credential", "create", "dee"))
check("made by hand, she reads", within_a_second(True) is True, reads())
found = scim.get("Users", params={"filter": 'userName eq "dee@uni.example"'}).json()
check("the organisation knows nothing of her", found["totalResults"] == 0, found)
kluis("principal", "adopt", "dee", "--organisation", "uni", "--user-name", "Dee@Uni.example")
found = scim.get("Users", params={"filter": 'userName eq "dee@uni.example"'}).json()
check("adopted, it finds her under her user name", [user["id"] for user in found["Resources"]] == ["dee"], found)
check("and lists her", "dee" in [user["id"] for user in scim.get("Users").json()["Resources"]])
twice = scim.post("Users", json={"schemas": [USER], "userName": "dee@uni.example"}).status_code
check("it makes no second one of her", twice == 409, twice)
check("what was hers is hers", reads() is True, reads())
patch("Users/dee", {"op": "replace", "path": "active", "value": False})
check("set inactive, she is refused", within_a_second("AccessDenied") == "AccessDenied", reads())
patch("Users/dee", {"op": "replace", "path": "active", "value": True})
check("and back", within_a_second(True) is True, reads())
again = subprocess.run([KLUIS, "--config", f"{DIR}/kluis.toml", "principal", "adopt", "dee", "--organisation", "uni", "--user-name", "other"],
                       capture_output=True, text=True, timeout=60)
check("nobody is adopted twice", again.returncode == 1 and "tells of her already" in again.stderr, again)
listed = kluis("--json", "scim", "people", "uni")
check("the host lists her among its people", '"principal":"dee"' in listed.replace(" ", ""), listed)
log = kluis("audit", "tail", "--lines", "200")
check("her adoption is in the log", "scim=uni adopt user=dee" in log, log[-500:])
check("what it told is in the log", "scim=uni delete user=uni.ann@uni.example" in log or "ScimDeleteUser" in log, log[-500:])
kluis("scim", "end", "uni")
end = time.monotonic() + 1
while (status := scim.get("Users").status_code) != 401 and time.monotonic() < end:
    time.sleep(0.02)
check("an ended credential opens nothing", status == 401, status)
sys.exit(failures > 0)
