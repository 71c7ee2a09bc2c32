"""A real cluster of one node, with the plugin, prolog and epilog of deploy/slurm, and what is left on it."""

import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "mount"), str(HERE.parent / "lab")]
from vault import KLUIS, Vault, before_exec, free_ports, until  # noqa: E402

DEPLOY = HERE.parent.parent / "deploy" / "slurm"
USER = "nobody"
NODE, CLUSTER = "gpu-1", "hpc1"


class Cluster:
    """munged, slurmctld and slurmd, each ended by its process."""

    def __init__(self, base: pathlib.Path, vault: Vault):
        self.base, self.running, self.vault = base, [], vault
        self.host = socket.gethostname().split(".")[0]
        for name in ("munge", "state", "spool", "log", "credentials", "jobs"):
            (base / name).mkdir(parents=True)
        for path in (base, *base.parents):
            if str(path).startswith("/tmp/"):
                path.chmod(0o755)
        (base / "jobs").chmod(0o777)
        # As a cgroup shows itself: numbers that are written to it are taken.
        (base / "cgroup").mkdir()
        (base / "cgroup/cgroup.procs").touch()
        (base / "credentials").chmod(0o700)
        shutil.copy(vault.dir / "job.env", base / "credentials" / f"{USER}.env")
        made = vault.command("node", "init", NODE, "--endpoint", f"http://{vault.listen}", "--output", str(base / "node.env"), "--json")
        key = json.loads(made.stdout)["key"]
        enrolled = vault.command("node", "enrol", NODE, "--cluster", CLUSTER, "--key", key)
        if enrolled.returncode:
            raise RuntimeError(f"enrol: {enrolled.stderr}")
        (base / "munge" / "key").write_bytes(os.urandom(1024))
        (base / "munge" / "key").chmod(0o400)
        (base / "kluis.conf").write_text(
            f"KLUIS={KLUIS}\nKLUIS_RUN={base}/run\nKLUIS_LOG={base}/log/kluis\nKLUIS_CREDENTIALS={base}/credentials\n"
            f"KLUIS_NODE={base}/node.env\nKLUIS_CGROUP={base}/cgroup\n"
            f"KLUIS_MOUNT_OPTIONS='--seen {base}/seen'\n")
        for name in ("prolog", "epilog"):
            script = base / f"{name}.sh"
            script.write_text(f"#!/bin/sh\nexport KLUIS_SLURM_CONF={base}/kluis.conf SLURM_CONF={base}/slurm.conf\n"
                              f"exec {DEPLOY}/kluis-{name}.sh \"$@\" 2>>{base}/log/{name}.log\n")
            script.chmod(0o755)
        ctld, node = free_ports(2)
        memory = 1000
        plugin = base / "spank_kluis.so"
        subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC", "-o", str(plugin),
                        str(DEPLOY / "spank_kluis.c")], check=True)
        (base / "plugstack.conf").write_text(f"required {plugin} run={base}/run\n")
        (base / "slurm.conf").write_text("\n".join([
            "ClusterName=kluis", f"SlurmctldHost={self.host}(127.0.0.1)", "SlurmUser=root", f"SlurmctldPort={ctld}",
            f"SlurmdPort={node}", "AuthType=auth/munge", f"AuthInfo=socket={base}/munge/socket,cred_expire=10", "CredType=cred/munge",
            f"StateSaveLocation={base}/state", f"SlurmdSpoolDir={base}/spool", f"SlurmctldPidFile={base}/ctld.pid",
            f"SlurmdPidFile={base}/slurmd.pid", f"SlurmctldLogFile={base}/log/ctld.log", f"SlurmdLogFile={base}/log/slurmd.log",
            "ProctrackType=proctrack/linuxproc", "TaskPlugin=task/none", "JobAcctGatherType=jobacct_gather/none",
            "MpiDefault=none", "SelectType=select/cons_tres", "SelectTypeParameters=CR_Core", "ReturnToService=2",
            "KillWait=3", "SchedulerParameters=sched_interval=2,bf_interval=2", "PrologFlags=Alloc", f"Prolog={base}/prolog.sh", f"Epilog={base}/epilog.sh",
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

    def as_user(self, *command: str) -> subprocess.CompletedProcess:
        return self.run("setpriv", f"--reuid={USER}", "--regid=nogroup", "--clear-groups", *command)

    def submit(self, script: str, *words: str, lines: str = "") -> str:
        """A job of an unprivileged user; its number. `lines` are those of a batch script that say what it asks for."""
        path = self.base / "jobs" / f"{time.monotonic_ns()}.sh"
        path.write_text(f"#!/bin/bash\n{lines}\n{script}\n")
        run = self.as_user("sbatch", "--parsable", f"--chdir={self.base}/jobs", f"--output={self.base}/jobs/%j.out", *words, str(path))
        if run.returncode:
            raise RuntimeError(run.stderr)
        return run.stdout.strip()

    def right(self, version: str) -> str:
        """A version with a job's right to read it, as whoever submits the job asks for it: no secret."""
        run = self.vault.command("job", "submit", version, "--cluster", CLUSTER, "--account", USER, "--lasts", "10m",
                                 "--credentials", str(self.vault.dir / "job.env"))
        if run.returncode:
            raise RuntimeError(f"submit: {run.stderr}")
        return run.stdout.strip()

    def node(self) -> str:
        return self.run("sinfo", "-h", "-o", "%T").stdout.strip()

    def state(self, job: str) -> str:
        shown = self.run("scontrol", "-o", "show", "job", job).stdout
        return next((word[9:] for word in shown.split() if word.startswith("JobState=")), "GONE")

    def ended(self, job: str, seconds: float = 40) -> str:
        return until(seconds, lambda: (s := self.state(job)) not in ("PENDING", "RUNNING", "CONFIGURING", "COMPLETING") and s, 0.1)

    def output(self, job: str) -> str:
        path = self.base / "jobs" / f"{job}.out"
        return path.read_text() if path.exists() else ""

    def script(self, name: str, job: str, wanted: str, *words: str, **environment: str) -> subprocess.CompletedProcess:
        """Prolog or epilog as slurmd runs it, of a job that this cluster does not have."""
        env = {"PATH": os.environ["PATH"], "SLURM_JOB_ID": job, "SLURM_JOB_USER": USER, "SLURM_JOB_UID": str(pwd.getpwnam(USER).pw_uid),
               "SPANK_KLUIS": wanted, "SLURMD_NODENAME": self.host}
        return subprocess.run([str(self.base / f"{name}.sh"), *words], capture_output=True, text=True, timeout=60, check=False, env=env | environment)

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
    places = [str(path) for path in (run / job, run / f".{job}.mounts", run / f".{job}.end") if path.exists()]
    return [line for line in mounts(cluster.base) if f"/run/{job}/" in line] + processes + places
