"""Jobs on a real cluster: what they see, and that nothing of it is left on the node afterwards."""

import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "mount"), str(HERE.parent / "lab")]
from mounts import MIB, publish, upload  # noqa: E402
from vault import KLUIS, Vault, before_exec, check, clean, done, free_ports, say, scratch, until  # noqa: E402

DEPLOY = HERE.parent.parent / "deploy" / "slurm"
USER = "nobody"
NODE, CLUSTER = "gpu-1", "hpc1"


class Cluster:
    """munged, slurmctld and slurmd, each ended by its process."""

    def __init__(self, base: pathlib.Path, vault: Vault):
        self.base, self.running = base, []
        self.host = socket.gethostname().split(".")[0]
        self.vault = vault
        for name in ("munge", "state", "spool", "log", "jobs"):
            (base / name).mkdir(parents=True)
        for path in (base, *base.parents):
            if str(path).startswith("/tmp/"):
                path.chmod(0o755)
        (base / "jobs").chmod(0o777)
        made = vault.command("node", "init", NODE, "--endpoint", f"http://{vault.listen}", "--output", str(base / "node.env"), "--json")
        key = json.loads(made.stdout)["key"]
        enrolled = vault.command("node", "enrol", NODE, "--cluster", CLUSTER, "--key", key)
        if enrolled.returncode:
            raise RuntimeError(f"enrol: {enrolled.stderr}")
        (base / "munge" / "key").write_bytes(os.urandom(1024))
        (base / "munge" / "key").chmod(0o400)
        (base / "kluis.conf").write_text(
            f"KLUIS={KLUIS}\nKLUIS_RUN={base}/run\nKLUIS_LOG={base}/log/kluis\nKLUIS_NODE={base}/node.env\n")
        for name in ("prolog", "epilog"):
            script = base / f"{name}.sh"
            script.write_text(f"#!/bin/sh\nexport KLUIS_SLURM_CONF={base}/kluis.conf SLURM_CONF={base}/slurm.conf\n"
                              f"exec {DEPLOY}/kluis-{name}.sh 2>>{base}/log/{name}.log\n")
            script.chmod(0o755)
        ctld, node = free_ports(2)
        memory = 1000
        (base / "plugstack.conf").write_text("")
        (base / "slurm.conf").write_text("\n".join([
            "ClusterName=kluis", f"SlurmctldHost={self.host}(127.0.0.1)", "SlurmUser=root", f"SlurmctldPort={ctld}",
            f"SlurmdPort={node}", "AuthType=auth/munge", f"AuthInfo=socket={base}/munge/socket", "CredType=cred/munge",
            f"StateSaveLocation={base}/state", f"SlurmdSpoolDir={base}/spool", f"SlurmctldPidFile={base}/ctld.pid",
            f"SlurmdPidFile={base}/slurmd.pid", f"SlurmctldLogFile={base}/log/ctld.log", f"SlurmdLogFile={base}/log/slurmd.log",
            "ProctrackType=proctrack/linuxproc", "TaskPlugin=task/none", "JobAcctGatherType=jobacct_gather/none",
            "MpiDefault=none", "SelectType=select/cons_tres", "SelectTypeParameters=CR_Core", "ReturnToService=2",
            "KillWait=3", "PrologFlags=Alloc", f"Prolog={base}/prolog.sh", f"Epilog={base}/epilog.sh",
            f"PlugStackConfig={base}/plugstack.conf", "CommunicationParameters=NoCtldInAddrAny,NoInAddrAny",
            f"NodeName={self.host} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} RealMemory={memory} State=UNKNOWN",
            f"PartitionName=main Nodes={self.host} Default=YES MaxTime=10:00 State=UP", ""]))

    def start(self) -> None:
        base = self.base
        self.spawn("munged", "--foreground", "--force", f"--socket={base}/munge/socket", f"--key-file={base}/munge/key",
                   f"--pid-file={base}/munge/pid", f"--log-file={base}/munge/log", f"--seed-file={base}/munge/seed")
        until(10, lambda: (base / "munge/socket").exists())
        self.spawn("slurmctld", "-D", "-c", "-f", str(base / "slurm.conf"))
        self.spawn("slurmd", "-D", "-N", self.host, "-f", str(base / "slurm.conf"))
        if not until(40, lambda: "idle" in self.run("sinfo", "-h", "-o", "%T").stdout, 0.3):
            raise RuntimeError(f"no idle node: {(base / 'log/ctld.log').read_text()[-800:]}")

    def spawn(self, *command: str) -> None:
        with (self.base / "log" / f"{command[0]}.out").open("ab") as log:
            self.running.append(subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=before_exec, start_new_session=True,
                env={"PATH": os.environ["PATH"], "SLURM_CONF": str(self.base / "slurm.conf")}))

    def run(self, *command: str) -> subprocess.CompletedProcess:
        env = {"PATH": os.environ["PATH"], "SLURM_CONF": str(self.base / "slurm.conf"), "HOME": "/"}
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)

    def submit(self, script: str, *words: str) -> str:
        """A job of an unprivileged user; its number."""
        run = self.run("setpriv", f"--reuid={USER}", "--regid=nogroup", "--clear-groups", "sbatch", "--parsable",
                       f"--chdir={self.base}/jobs", f"--output={self.base}/jobs/%j.out", *words, f"--wrap={script}")
        if run.returncode:
            raise RuntimeError(run.stderr)
        return run.stdout.strip()

    def right(self, version: str) -> str:
        """A job's right to read a version, as whoever submits it asks for it: no secret."""
        run = self.vault.command("job", "submit", version, "--cluster", CLUSTER, "--account", USER, "--lasts", "10m",
                                 "--credentials", str(self.vault.dir / "job.env"))
        if run.returncode:
            raise RuntimeError(f"submit: {run.stderr}")
        return run.stdout.strip()

    def state(self, job: str) -> str:
        shown = self.run("scontrol", "-o", "show", "job", job).stdout
        return next((word[9:] for word in shown.split() if word.startswith("JobState=")), "GONE")

    def ended(self, job: str, seconds: float = 40) -> str:
        return until(seconds, lambda: (s := self.state(job)) not in ("PENDING", "RUNNING", "CONFIGURING", "COMPLETING") and s, 0.1)

    def output(self, job: str) -> str:
        path = self.base / "jobs" / f"{job}.out"
        return path.read_text() if path.exists() else ""

    def stop(self) -> None:
        for process in reversed(self.running):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def mounts(base) -> list[str]:
    return [line for line in pathlib.Path("/proc/mounts").read_text().splitlines() if f"{base}/run" in line]


def left(cluster, job) -> list[str]:
    """What is left of a job: mounts, processes, directories."""
    run = cluster.base / "run"
    processes = subprocess.run(["pgrep", "-f", f"{run}/{job}/"], capture_output=True, text=True, check=False).stdout.split()
    return mounts(cluster.base) + processes + [str(path) for path in (run.glob(f"*{job}*") if run.exists() else [])]


def main() -> int:
    base = scratch("slurm")
    vault = Vault(base / "vault").start()
    cluster = None
    try:
        canary = b"CANARY-IN-A-JOB-" + os.urandom(8).hex().encode()
        rng = random.Random(1)
        files = {"canary": canary * 100, "d/a": rng.randbytes(3 * MIB), "d/b": rng.randbytes(1000)}
        upload(vault, files)
        version = publish(vault)
        cluster = Cluster(base / "cluster", vault)
        cluster.start()
        data = f"{cluster.base}/run/$SLURM_JOB_ID/{version}"
        def comment() -> str:
            return f"--comment=kluis={cluster.right(version)}"

        own = comment()
        job = cluster.submit(f"env; id -un; cd {data} && find . -type f | sort && sha256sum d/a && wc -c < canary; touch {data}/x", own)
        state = cluster.ended(job)
        text = cluster.output(job)
        import hashlib
        check("a job sees the version as a directory, and every byte of it",
              hashlib.sha256(files["d/a"]).hexdigest() in text and "./canary\n./d/a\n./d/b" in text, (state, text))
        check("a job of an unprivileged user, which writes nothing", USER in text and "Read-only file system" in text, text)
        token = [line for line in text.splitlines() if "AWS_" in line or "KLUT" in line or "TOKEN" in line]
        check("ID-4: nothing of a credential is in the job's environment", not token, token)
        secrets = [path for path in cluster.base.rglob("*") if path.is_file() and b"KLUT" in path.read_bytes()]
        check("ID-5: nor on a disk of the node", not secrets, secrets)
        check("S18: nothing is left when the job ends", until(15, lambda: not left(cluster, job)), left(cluster, job))

        again = cluster.submit(f"ls {data}", own)
        check("ID-4: another job of the same account cannot go on with what is over",
              until(40, lambda: "NODE_FAIL" in (s := cluster.state(again)) or s in ("PENDING", "FAILED"), 0.3), cluster.state(again))
        cluster.run("scancel", again)
        cluster.ended(again)
        refused = subprocess.run([str(KLUIS), "mount", version, str(base), "--node", str(cluster.base / "node.env"), "--job",
                                  own.split(":")[1], "--job-number", job, "--account", USER, "--io-timeout", "2"],
                                 capture_output=True, text=True, check=False, timeout=60)
        check("ID-4: nor can the node itself", refused.returncode == 1 and "refuse" in refused.stderr, refused)
        cluster.run("scontrol", "update", f"NodeName={cluster.host}", "State=RESUME")
        check("the node takes jobs again", until(20, lambda: "idle" in cluster.run("sinfo", "-h", "-o", "%T").stdout))

        job = cluster.submit(f"cat {data}/canary > /dev/null; sleep 60", comment())
        until(20, lambda: cluster.state(job) == "RUNNING" and mounts(cluster.base))
        # Of other accounts than the job's.
        other = subprocess.run(["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "ls", f"{cluster.base}/run/{job}/{version}"],
                               capture_output=True, text=True, check=False)
        check("S20: another account of the node cannot enter", other.returncode != 0 and "denied" in other.stderr, other)
        pid = (cluster.base / f"run/.{job}.mounts").read_text().split()[0]
        traced = subprocess.run(["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "cat", f"/proc/{pid}/environ"],
                                capture_output=True, text=True, check=False)
        check("S20: nor look into the mount's process", traced.returncode != 0, traced)
        begin = time.monotonic()
        cluster.run("scancel", job)
        gone = until(15, lambda: not mounts(cluster.base), 0.02)
        say(f"unmounted {time.monotonic() - begin:.2f} s after scancel")
        check("S18: scancel unmounts", gone)
        check("S18: nothing is left after scancel", until(15, lambda: not left(cluster, job)), left(cluster, job))

        job = cluster.submit(f"cat {data}/canary > /dev/null; kill -9 $$", comment())
        cluster.ended(job)
        check("S18: nothing is left of a job that is killed", until(15, lambda: not left(cluster, job)), left(cluster, job))

        job = cluster.submit("true")
        check("a job that asks for nothing gets nothing", cluster.ended(job) == "COMPLETED" and not left(cluster, job))

        found = subprocess.run(["grep", "-rlaF", canary.decode(), str(base), "/var/tmp"], capture_output=True, text=True, check=False)
        check("S18: a search for the plaintext finds none on the node", not found.stdout, found.stdout)
        log = vault.audit()
        reads = [record for record in log.values() if record.get("operation") == "ReleaseKeys"]
        check("S22: the jobs' keys are in the log", bool(reads))
        who = {record.get("subject", {}).get("id", record.get("principal", "")) for record in reads}
        check("ID-4: under the job and its node", any("@gpu-1.hpc1" in str(record) for record in reads), who)
        check("the node is idle again", until(20, lambda: "idle" in cluster.run("sinfo", "-h", "-o", "%T").stdout))
    finally:
        if cluster:
            cluster.stop()
        for line in mounts(base / "cluster"):
            subprocess.run(["umount", "-l", line.split()[1]], check=False)
        vault.stop()
        clean(base)
    return done()


sys.exit(main())
