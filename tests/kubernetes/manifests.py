"""The manifests of deploy/kubernetes: valid by the API's schemas, and the sidecar run as a kubelet would run it."""

import base64
import copy
import hashlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import kubernetes_validate
import yaml

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "mount"), str(HERE.parent / "lab")]
from mounts import publish, upload  # noqa: E402
from vault import KLUIS, Vault, before_exec, check, clean, done, scratch, until  # noqa: E402

DEPLOY = HERE.parent.parent / "deploy" / "kubernetes"
VERSIONS = ["1.29", "1.31", "1.33", "1.35", "1.37"]  # sidecars came with 1.29


def valid(document: dict, version: str) -> bool:
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError):
        return False
    return True


def schemas(name: str, document: dict) -> None:
    wrong = [version for version in VERSIONS if not valid(document, version)]
    check(f"{name}: valid from Kubernetes {VERSIONS[0]} to {VERSIONS[-1]}", not wrong, wrong)
    pod = lambda d: d["spec"]["template"]["spec"]  # noqa: E731
    bends = {
        "a field that there is not": lambda d: pod(d).update(restartPolicies="Never"),
        "no container": lambda d: pod(d).pop("containers"),
        "a list that is a text": lambda d: pod(d)["initContainers"][0].update(args="mount"),
        "a mount without a path": lambda d: pod(d)["containers"][0]["volumeMounts"][0].pop("mountPath"),
        "a privilege that is no yes or no": lambda d: pod(d)["initContainers"][0]["securityContext"].update(privileged="maybe"),
    }
    passed = []
    for title, bend in bends.items():
        bent = copy.deepcopy(document)
        bend(bent)
        passed += [title] if valid(bent, VERSIONS[-1]) else []
    check(f"{name}: bent in {len(bends)} ways it is refused", not passed, passed)


def promises(name: str, document: dict) -> None:
    pod = document["spec"]["template"]["spec"]
    sidecar, job = pod["initContainers"][0], pod["containers"][0]
    volumes = {volume["name"] for volume in pod["volumes"]}
    mounted = {m["name"] for container in (sidecar, job) for m in container["volumeMounts"]}
    check(f"{name}: what is mounted is declared", mounted == volumes, mounted ^ volumes)
    check(f"{name}: the job's container has the data and nothing else of the sidecar's",
          [m["name"] for m in job["volumeMounts"]] == ["data"] and not job["securityContext"].get("privileged")
          and job["securityContext"]["allowPrivilegeEscalation"] is False and job["securityContext"]["runAsNonRoot"])
    check(f"{name}: the job's container has no token of the service account", pod["automountServiceAccountToken"] is False)
    [token] = [volume["projected"] for volume in pod["volumes"] if volume["name"] == "token"]
    [source] = token["sources"]
    named = {one["name"]: one["value"] for one in sidecar["env"]}
    check(f"{name}: the sidecar has one for the vault alone, in a closed file, and no secret", token["defaultMode"] == 0o400
          and source["serviceAccountToken"]["audience"] == "kluis" and source["serviceAccountToken"]["expirationSeconds"] <= 3600
          and named["AWS_WEB_IDENTITY_TOKEN_FILE"] == "/token/" + source["serviceAccountToken"]["path"]
          and not any("secret" in volume for volume in pod["volumes"]) and "AWS_SECRET_ACCESS_KEY" not in named, (token, named))


ISSUER = "https://kubernetes.default.svc"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Cluster:
    """The issuer of service accounts' tokens: its key, the set of keys that the vault is given, and tokens."""

    def __init__(self, base: pathlib.Path):
        self.key = base / "cluster.pem"
        subprocess.run(["openssl", "genrsa", "-out", str(self.key), "2048"], check=True, capture_output=True)
        told = subprocess.run(["openssl", "rsa", "-in", str(self.key), "-noout", "-modulus"], check=True, capture_output=True, text=True).stdout
        modulus = bytes.fromhex(told.strip().removeprefix("Modulus="))
        self.keys = {"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "k", "n": b64(modulus), "e": "AQAB"}]}

    def believed_by(self, folder: pathlib.Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cluster.json").write_text(json.dumps(self.keys))
        (folder / "issuers.toml").write_text(f'[[issuer]]\nname = "k8s"\nurl = "{ISSUER}"\naudience = "kluis"\n'
                                             'jwks_file = "cluster.json"\nonce = false\n')

    def token(self, path: pathlib.Path, account: str, audience: str = "kluis", seconds: int = 3600) -> None:
        """A projected token, where a kubelet writes it: of the sidecar's user alone."""
        now = int(time.time())
        said = {"iss": ISSUER, "sub": f"system:serviceaccount:default:{account}", "aud": [audience], "iat": now - 1, "exp": now + seconds}
        text = ".".join(b64(json.dumps(part).encode()) for part in ({"alg": "RS256", "kid": "k"}, said))
        signed = subprocess.run(["openssl", "dgst", "-sha256", "-sign", str(self.key)], input=text.encode(), check=True, capture_output=True)
        path.unlink(missing_ok=True)
        path.touch(0o400)
        path.write_text(f"{text}.{b64(signed.stdout)}")


def run_it(name: str, document: dict, base: pathlib.Path) -> None:
    """The pod's volume is shared between two mount namespaces as mountPropagation says: the sidecar's mount comes to the job."""
    pod = document["spec"]["template"]["spec"]
    cluster = Cluster(base)
    cluster.believed_by(base / "vault")
    vault = Vault(base / "vault", {"identity": {"issuers": "issuers.toml"}}).start()
    linked = vault.command("principal", "link", "job-1", "--issuer", "k8s", "--subject", "system:serviceaccount:default:train")
    check(f"{name}: an administrator says whom the service account is", linked.returncode == 0, linked.stderr)
    files = {"a": random.Random(5).randbytes(300_000), "d/b": b"small"}
    upload(vault, files)
    version = publish(vault)
    for folder in (base, *base.parents):
        if str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    volume = base / "volume"
    (volume / "data").mkdir(parents=True)
    volume.chmod(0o755)
    subprocess.run(["mount", "--bind", str(volume), str(volume)], check=True)
    subprocess.run(["mount", "--make-shared", str(volume)], check=True)
    swap = {"icu-sepsis/ecg-2024@3": version, "/mnt/data": str(volume / "data"),
            "--seen=/seen": f"--seen={base}/seen"}
    arguments = [swap.get(word, word) for word in pod["initContainers"][0]["args"]]
    check(f"{name}: its arguments are those that this test knows", all(word in pod["initContainers"][0]["args"] for word in swap))
    named = {one["name"]: one["value"] for one in pod["initContainers"][0]["env"]}
    dataset = version.split("@")[0]
    values = {"AWS_ENDPOINT_URL": f"http://{vault.listen}", "AWS_ROLE_ARN": f"arn:aws:iam::kluis:role/{dataset}",
              "AWS_WEB_IDENTITY_TOKEN_FILE": str(base / "token")}
    check(f"{name}: it is told the gateway, the role and the token's file", named.keys() == values.keys()
          and named["AWS_ROLE_ARN"].endswith(":role/icu-sepsis/ecg-2024"), named)
    environment = {"PATH": os.environ["PATH"], **values}
    for title, token in {"another service account": {"account": "other"}, "a token for another audience": {"account": "train", "audience": "vault"},
                         "a token that is over": {"account": "train", "seconds": -120}}.items():
        cluster.token(base / "token", **token)
        refused = subprocess.run([str(KLUIS), *[word for word in arguments if word != "--supervised"], "--io-timeout", "5"], env=environment,
                                 capture_output=True, text=True, timeout=60, check=False)
        check(f"{name}: {title} mounts nothing", refused.returncode != 0 and not os.path.ismount(volume / "data"), refused)
    cluster.token(base / "token", "train")
    log = (base / "sidecar.log").open("ab")
    # Bidirectional: what is mounted in its namespace is mounted on the node.
    sidecar = subprocess.Popen(["unshare", "--mount", "--propagation", "unchanged", str(KLUIS), *arguments], stdin=subprocess.DEVNULL,
                               stdout=log, stderr=log, preexec_fn=before_exec, env=environment)
    try:
        probe = [swap.get(word, word) for word in pod["initContainers"][0]["startupProbe"]["exec"]["command"]]
        ready = until(30, lambda: subprocess.run(probe, check=False).returncode == 0)
        check(f"{name}: its probe finds the mount", ready, (base / "sidecar.log").read_text()[-300:])
        # HostToContainer, in a namespace of its own; another user, without any capability.
        user = str(pod["containers"][0]["securityContext"]["runAsUser"])
        job = subprocess.run(["unshare", "--mount", "--propagation", "slave", "setpriv", f"--reuid={user}", f"--regid={user}",
                              "--clear-groups", "--bounding-set=-all", "--no-new-privs", "sh", "-c",
                              f"sha256sum <{volume}/data/a; touch {volume}/data/x; id -u"], capture_output=True, text=True, check=False)
        check(f"{name}: the job's container reads it, as user {user} without any capability",
              hashlib.sha256(files["a"]).hexdigest() in job.stdout and job.stdout.strip().endswith(user), job)
        began = [row for row in vault.audit().values() if row.get("operation") == "AssumeRoleWithWebIdentity" and row["outcome"]["status"] == "success"]
        check(f"{name}: the log has the session of the service account", len(began) == 1 and "serviceaccount" in json.dumps(began), began)
        check(f"{name}: and writes nothing", "Read-only file system" in job.stderr, job.stderr)
    finally:
        sidecar.send_signal(signal.SIGTERM)
        try:
            code = sidecar.wait(20)
        except subprocess.TimeoutExpired:
            sidecar.kill()
            code = "hangs"
        check(f"{name}: SIGTERM ends it, and the node has no mount left", code == 0 and not os.path.ismount(volume / "data"), code)
        subprocess.run(["umount", "-l", str(volume)], check=False)
        vault.stop()


def main() -> int:
    base = scratch("kubernetes")
    try:
        for path in sorted(DEPLOY.glob("*.yaml")):
            for document in yaml.safe_load_all(path.read_text()):
                schemas(path.name, document)
                promises(path.name, document)
                run_it(path.name, document, base)
    finally:
        clean(base)
    return done()


sys.exit(main())
