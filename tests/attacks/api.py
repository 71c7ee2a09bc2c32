"""The HTTP API on the listener of S3: signed as S3 is, its bodies too, and no way around the log."""

import datetime
import hashlib
import json
import re

from common import *
from wire import UNSIGNED, Signer, exchange, signed_form

IDENTITY = ".kluis/v1/identity"


METHODS = ("get", "put", "post", "delete", "patch", "head")
NAMES = {"bucket": BUCKET, "project": "demo", "page": "0", "grant": "0" * 32, "person": "nobody", "id": "0" * 32}


def description() -> dict:
    """The API's own description."""
    return json.loads(exchange(OWNER, "GET", "/.kluis/v1/openapi.json", {}).body)


def filled(path: str, names: dict[str, str]) -> str:
    """A path with names in the place of its parameters."""
    return re.sub(r"\{(\w+)\}", lambda found: names.get(found[1], "0"), path)


def described() -> list[tuple[str, str, dict]]:
    """Every operation of the API's own description: method, path with names filled in, what it says."""
    paths = description()["paths"].items()
    return [(method.upper(), filled(path, NAMES), at[method]) for path, at in paths for method in METHODS if method in at]


def schema_of(said: dict, kind: str) -> dict:
    """The schema of a body of this media type; nothing where there is none."""
    return said.get("content", {}).get(kind, {}).get("schema", {})


@check("a signed request learns who the vault takes it for (or nothing below means anything)")
def _():
    answer = request(OWNER, "GET", IDENTITY)
    equal((answer.status, answer.headers["content-type"]), (200, "application/json"), f"{answer}")
    equal(json.loads(answer.body)["access_key_id"], OWNER.key)
    equal("x-amz-request-id" in answer.headers, True)


@check("unsigned, by another secret, by a presigned URL, twice, for another service")
def _():
    target = "/" + IDENTITY
    refused(exchange(OWNER, "GET", target, {}), 403)
    refused(request(STRANGER, "GET", IDENTITY, signer=Signer(OWNER), unsigned={"authorization": "AWS4-HMAC-SHA256 x"}), 400, 403)
    refused(exchange(OWNER, "GET", Signer(OWNER).presign("GET", target, 60), {}), 400, 403)
    refused(request(OWNER, "GET", IDENTITY, query=[("X-Amz-Signature", "00")]), 400, 403)
    refused(request(OWNER, "GET", IDENTITY, signer=Signer(OWNER, service="sts")), 400, 403, 501)


@check("a presigned URL with the hash of any body beside it")
def _():
    body = b"{}"
    unsigned = {"x-amz-content-sha256": hashlib.sha256(body).hexdigest(), "content-length": str(len(body))}
    for method, path, _operation in described():
        refused(exchange(OWNER, method, Signer(OWNER).presign(method, path, 60), unsigned, [body]), 400, 403)


@check("the signature of a browser's form at every endpoint, with and without a query or a header that looks like a signature")
def _():
    query = "?X-Amz-SignedHeaders=host&X-Amz-Credential=x/x/x/s3/x"
    looks = {"authorization": f"AWS4-HMAC-SHA256 Credential={OWNER.key}/{Signer(OWNER).scope}, SignedHeaders=host, Signature={'0' * 64}"}
    kind, body = signed_form(OWNER, BUCKET, {"key": "in/form"}, b"x")
    headers = {"content-type": kind, "content-length": str(len(body)), "x-amz-content-sha256": "0" * 64}
    tried = 0
    for method, path, _operation in described():
        if method == "POST":
            for target, more in ((path + query, {}), (path, {}), (path, looks), (path + query, looks)):
                refused(exchange(OWNER, method, target, {**headers, **more}, [body]), 400, 401, 403)
                tried += 1
    equal(tried > 40, True, f"{tried} tried")


@check("a body that the signature does not cover, or that is not the signed one")
def _():
    for payload in (UNSIGNED, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "00", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"):
        refused(request(OWNER, "GET", IDENTITY, payload=payload), 400, 403, 411)
    refused(request(OWNER, "GET", IDENTITY, payload="0" * 64), 400, 403)
    refused(request(OWNER, "GET", IDENTITY, headers={"content-length": "3"}, body=b"abc", payload="0" * 64), 400, 403)


@check("a body beyond its bound, announced and not announced")
def _():
    refused(request(OWNER, "GET", IDENTITY, body=b"x" * (3 << 20)), 0, 400, 413)
    headers = Signer(OWNER).headers("GET", "/" + IDENTITY, [], {"transfer-encoding": "chunked"}, "0" * 64)
    refused(exchange(OWNER, "GET", "/" + IDENTITY, headers, [b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"] * 3), 0, 400, 403, 411, 413)


@check("paths and methods that are not there, and names that a bucket cannot have")
def _():
    for path in (".kluis/v1/", ".kluis/v1/nothing", ".kluis/v1/identity/", ".kluis/v1/" + "a/" * 400):
        refused(request(OWNER, "GET", path), 404)
    answer = request(OWNER, "GET", ".kluis/v1/nothing")
    said = answer.headers["content-type"], json.loads(answer.body)["code"]
    equal(said, ("application/problem+json", "NoSuchEndpoint"), f"{answer}")
    for method in ("DELETE", "PUT", "POST"):
        refused(request(OWNER, method, IDENTITY), 405)
    for path in (".kluis", ".kluis/v2/identity", ".kluis/v1"):
        refused(request(OWNER, "GET", path), 400, 403, 404)


@check("an x-amz header that could mean something else is refused here too")
def _():
    refused(request(OWNER, "GET", IDENTITY, headers={"x-amz-acl": "public-read"}), 400, 403, 501)


@check("the API's description is one (OpenAPI 3.1), says so to everybody, and names what is served")
def _():
    from openapi_spec_validator import OpenAPIV31SpecValidator

    answer = exchange(OWNER, "GET", "/.kluis/v1/openapi.json", {})
    equal((answer.status, answer.headers["content-type"]), (200, "application/json"), f"{answer}")
    OpenAPIV31SpecValidator(json.loads(answer.body)).validate()
    names = {operation["operationId"] for _, _, operation in described()}
    equal({"GetIdentity", "CreateGrant", "ReleaseKeys", "SubmitJob", "StartJob"} <= names, True, names)


@check("what the description says is signed is served to nobody unsigned")
def _():
    for method, path, operation in described():
        answer = exchange(OWNER, method, path, {"content-length": "2"} if "requestBody" in operation else {},
                          [b"{}"] if "requestBody" in operation else [])
        if path.startswith("/.kluis/v1/scim/"):
            # Of an organisation's directory, which shows a credential of its own and signs nothing.
            equal(answer.status, 401, f"{method} {path}: {answer}")
        elif operation["security"]:
            refused(answer, 403)
        else:
            equal(answer.status in (200, 400), True, f"{method} {path}: {answer}")


@check("every endpoint refuses a body that is none of its description's")
def _():
    schemas, tried = description()["components"]["schemas"], 0
    for method, path, operation in described():
        schema = schema_of(operation.get("requestBody", {}), "application/json")
        schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        if not schema.get("properties"):
            continue
        wrong = [b"", b"[]", b"null", b"{", b'{"surplus": 1}', b"\xff", b"{" * 10_000]
        wrong += [json.dumps({name: {"of": "another kind"}}).encode() for name in schema["properties"]]
        for body in wrong:
            answer = request(OWNER, method, path.lstrip("/"), body=body)
            equal(answer.status, 400, f"{method} {path} {body[:60]}: {answer}")
            tried += 1
    equal(tried > 100, True, f"{tried} tried")


@check("answers are what the description says, for a validator that is not ours")
def _():
    from jsonschema import Draft202012Validator

    document = description()
    at = {operation["operationId"]: (method, path, operation)
          for path, methods in document["paths"].items() for method, operation in methods.items()}

    def ask(name: str, status: int, body: dict | None = None, bucket: str = BUCKET):
        method, path, operation = at[name]
        path = filled(path, {"bucket": bucket, "project": BUCKET.split("--")[0]})
        body = b"" if body is None else json.dumps(body).encode()
        answer = request(OWNER, method.upper(), path.lstrip("/"), body=body)
        equal(answer.status, status, f"{name}: {answer}")
        said = operation["responses"][str(status) if status < 400 else "4XX"]
        if "$ref" in said:
            said = document["components"]["responses"][said["$ref"].rpartition("/")[2]]
        schema = schema_of(said, answer.headers["content-type"])
        equal(bool(schema), True, f"{name}: nothing is said of {answer.headers['content-type']}")
        value = json.loads(answer.body)
        wrong = Draft202012Validator({**schema, "components": document["components"]}).iter_errors(value)
        equal([f"{error.json_path}: {error.message}" for error in wrong], [], name)
        return value

    for name in ("GetIdentity", "ListDatasets", "DescribeDataset", "ListGrants", "ListRecords", "ListJobs", "GetLogTerms",
                 "ListNotices", "ListApprovals", "ListErasures"):
        ask(name, 200)
    ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    grant = {"principal": json.loads(request(STRANGER, "GET", IDENTITY).body)["principal"], "role": "reader",
             "purpose": "test", "permit": "test", "expires": ends.strftime("%Y-%m-%dT%H:%M:%SZ")}
    ask("CreateGrant", 200, {**grant, "dry_run": True})
    ask("CreateGrant", 400, {**grant, "surplus": 1})
    ask("SubmitJob", 400, {})
    equal(request(OWNER, "PUT", BUCKET, "described/one", body=b"x").status, 200)
    version = ask("PublishVersion", 201)["number"]
    equal(version in [one["number"] for one in ask("ListPublished", 200)["versions"]], True)
    frozen = f"{BUCKET}--v{version}"
    ask("OpenVersion", 200, bucket=frozen)
    keys = ask("ReleaseKeys", 200, {"runs": [{"from": "described/one", "count": 1}]}, frozen)
    equal([one["key"] for one in keys["released"]], ["described/one"])
    ask("RenewLease", 200, {"open": ["described/one"]}, frozen)


done()
