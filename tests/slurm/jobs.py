"""Jobs on a real cluster: what they see, and that nothing of it is left on the node afterwards."""

import hashlib
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "mount"), str(HERE.parent / "lab")]
import hostile  # noqa: E402
from cluster import USER, Cluster, left, mounts  # noqa: E402
from mounts import MIB, publish, upload  # noqa: E402
from vault import KLUIS, Vault, check, clean, done, say, scratch, until  # noqa: E402


def seen_by_a_job(cluster, version, files) -> None:
    data = f"{cluster.base}/run/$SLURM_JOB_ID/{version}"
    job = cluster.submit(f"id -un; cd {data} && find . -type f | sort && sha256sum d/a && wc -c < canary; touch {data}/x; env",
                         f"--comment=kluis={version}")
    state, text = cluster.ended(job), cluster.output(job)
    check("a job sees the version as a directory, and every byte of it",
          hashlib.sha256(files["d/a"]).hexdigest() in text and "./canary\n./d/a\n./d/b" in text, (state, text))
    check("a job of an unprivileged user, which writes nothing", USER in text and "Read-only file system" in text, text)
    check("nothing of the credential is in the job's environment", "AWS_" not in text and "SECRET" not in text, text)
    check("S18: nothing is left when the job ends", until(15, lambda: not left(cluster, job)), left(cluster, job))


def by_right(cluster, version, files) -> None:
    """Jobs with a right of their own: the node's key vouches for them, and there is no credential on the node."""
    (cluster.base / "credentials" / f"{USER}.env").rename(cluster.base / "kept.env")
    own = cluster.right(version)
    data = f"{cluster.base}/run/$SLURM_JOB_ID/{version}"
    job = cluster.submit(f"env; cd {data} && sha256sum d/a", f"--comment=kluis={own}")
    state, text = cluster.ended(job), cluster.output(job)
    check("a job reads by its right alone", hashlib.sha256(files["d/a"]).hexdigest() in text, (state, text))
    token = [line for line in text.splitlines() if "AWS_" in line or "KLUT" in line or "TOKEN" in line]
    check("ID-4: nothing of a credential is in the job's environment", not token, token)
    secrets = [path for path in cluster.base.rglob("*") if path.is_file() and b"KLUT" in path.read_bytes()]
    check("ID-5: nor on a disk of the node", not secrets, secrets)
    check("S18: nothing is left of it", until(15, lambda: not left(cluster, job)), left(cluster, job))
    again = cluster.submit(f"ls {data}", f"--comment=kluis={own}")
    state = cluster.ended(again)
    check("ID-4: another job of the same account cannot go on with what is over", state == "CANCELLED", state)
    refused = subprocess.run([str(KLUIS), "mount", version, str(cluster.base), "--node", str(cluster.base / "node.env"), "--job",
                              own.split(":")[1], "--job-number", job, "--account", USER, "--io-timeout", "2"],
                             capture_output=True, text=True, check=False, timeout=60)
    check("ID-4: nor can the node itself", refused.returncode == 1 and "refuse" in refused.stderr, refused)
    run = cluster.as_user("srun", f"--chdir={cluster.base}/jobs", f"--kluis={cluster.right(version)}", "bash", "-c", "wc -c < $KLUIS_DATA/d/b")
    check("a right goes through the plugin, too", run.stdout.strip() == str(len(files["d/b"])), run)
    reads = [record for record in cluster.vault.audit().values() if record.get("operation") == "ReleaseKeys"]
    check("ID-4: in the log it is the job and its node", any("@gpu-1.hpc1" in str(record) for record in reads), reads[-1:])
    check("the node takes jobs", until(20, lambda: cluster.node() in ("idle", "mixed", "allocated")), cluster.node())
    (cluster.base / "kept.env").rename(cluster.base / "credentials" / f"{USER}.env")


def by_one_line(cluster, version, files) -> None:
    """`#SBATCH --kluis=…`, by the plugin."""
    job = cluster.submit("echo $KLUIS_DATA; cd $KLUIS_DATA && sha256sum d/a", lines=f"#SBATCH --kluis={version}")
    state, text = cluster.ended(job), cluster.output(job)
    check("one line #SBATCH --kluis=…: mounted, and $KLUIS_DATA says where",
          f"{cluster.base}/run/{job}/{version}\n" in text and hashlib.sha256(files["d/a"]).hexdigest() in text, (state, text))
    check("S18: nothing is left of it", until(15, lambda: not left(cluster, job)), left(cluster, job))
    run = cluster.as_user("srun", f"--chdir={cluster.base}/jobs", f"--kluis={version},demo/wdbc@latest", "bash", "-c",
                          "cat $KLUIS_DATA/demo/wdbc@*/d/b | wc -c")
    check("srun --kluis with two versions", run.returncode == 0 and run.stdout.strip() == str(2 * len(files["d/b"])), run)
    refused = ["../../etc@1", "demo/wdbc", "demo/wdbc@0", "demo/wdbc@1;id", "demo/wdbc@1,", "$(id)/a@1", "demo/wdbc@12345678",
               ",".join([version] * 17), "", "demo/wdbc@latestx", "demo/wdbc@1:ann", "demo/wdbc@1:ann/0", "demo/wdbc@1:/" + "0" * 32, "demo/wdbc@latest:ann/" + "0" * 32,
               "demo/wdbc@1:ann/" + "0" * 32 + ";id", "demo--x/wdbc@1", "demo-/wdbc@1", "-demo/wdbc@1", "demo/wdbc-@1",
               "demo/wdbc@1:-x/" + "0" * 32, "d" * 31 + "/wdbc@1", "demo/" + "d" * 64 + "@1"]
    wrong = [text for text in refused
             if cluster.as_user("sbatch", "--parsable", f"--kluis={text}", "--wrap=true").returncode == 0]
    check(f"{len(refused)} values that are no version are refused when the job is submitted", not wrong, wrong)


def asked_in_vain(cluster) -> None:
    """What a job cannot have ends the job and drains no node: by the plugin's way and past it."""
    jobs = [cluster.submit("sleep 30", f"--comment=kluis={text}") for text in
            ("demo/wdbc@77", "../../../etc@1", "demo/absent@1", "a/b@1,c/d@2,;reboot")]
    jobs.append(cluster.submit("sleep 30", lines="#SBATCH --kluis=demo/wdbc@78"))
    states = [cluster.ended(job) for job in jobs]
    check("jobs that ask for what is not there are cancelled", all(state == "CANCELLED" for state in states), states)
    check("and no node is drained by them", until(20, lambda: cluster.node() in ("idle", "mixed")), cluster.node())
    check("S18: nothing is left of them", until(15, lambda: not any(left(cluster, job) for job in jobs)), [left(cluster, j) for j in jobs])


def others(cluster, version) -> None:
    """Accounts beside the job's, and the end by scancel."""
    job = cluster.submit(f"cat $KLUIS_DATA/canary > /dev/null; sleep 60", lines=f"#SBATCH --kluis={version}")
    until(20, lambda: cluster.state(job) == "RUNNING" and f"/{job}/" in str(mounts(cluster.base)))
    stranger = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"]
    other = subprocess.run([*stranger, "ls", f"{cluster.base}/run/{job}/{version}"], capture_output=True, text=True, check=False)
    check("S20: another account of the node cannot enter", other.returncode != 0 and "denied" in other.stderr, other)
    pid = (cluster.base / f"run/.{job}.mounts").read_text().split()[0]
    traced = subprocess.run([*stranger, "cat", f"/proc/{pid}/environ"], capture_output=True, text=True, check=False)
    check("S20: nor look into the mount's process", traced.returncode != 0, traced)
    score = pathlib.Path(f"/proc/{pid}/oom_score_adj").read_text().strip()
    allowed = subprocess.run(["bash", "-c", "echo -900 >/proc/self/oom_score_adj"], capture_output=True, check=False).returncode == 0
    check("a shortage of memory takes others before the mount, where root may say so", score == ("-900" if allowed else "0"), score)
    worker = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
    score = pathlib.Path(f"/proc/{worker}/oom_score_adj").read_text().strip()
    check("but what reads and keeps for the job is spared little", score == ("-300" if allowed else "0"), score)
    taken = (cluster.base / "cgroup/cgroup.procs").read_text().split()
    check("the mount is in the cgroup that the node keeps for mounts", pid in taken, (pid, taken))
    begin = time.monotonic()
    cluster.run("scancel", job)
    gone = until(15, lambda: f"/{job}/" not in str(mounts(cluster.base)), 0.02)
    say(f"unmounted {time.monotonic() - begin:.2f} s after scancel")
    check("S18: scancel unmounts", gone)
    check("S18: nothing is left after scancel", until(15, lambda: not left(cluster, job)), left(cluster, job))


def ends(cluster, version) -> None:
    """A job that kills itself, and one whose mount is killed."""
    line = f"#SBATCH --kluis={version}"
    job = cluster.submit("cat $KLUIS_DATA/canary > /dev/null; kill -9 $$", lines=line)
    cluster.ended(job)
    check("S18: nothing is left of a job that is killed", until(15, lambda: not left(cluster, job)), left(cluster, job))

    job = cluster.submit("cat $KLUIS_DATA/canary > /dev/null; touch begun; until [ -e again ]; do sleep 0.1; done; "
                         "sha256sum $KLUIS_DATA/d/a; rm begun again", lines=line)
    begun, again = cluster.base / "jobs/begun", cluster.base / "jobs/again"
    until(20, begun.exists)
    pid = (cluster.base / f"run/.{job}.mounts").read_text().split()[0]
    worker = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    os.kill(int(worker[0]), signal.SIGKILL)
    again.touch()
    state = cluster.ended(job)
    check("S14: a job outlives the death of its mount", state == "COMPLETED" and "d/a" in cluster.output(job), (state, cluster.output(job)))


def drained(cluster, version) -> None:
    """A job on a node that is drained under it."""
    line, begun = f"#SBATCH --kluis={version}", cluster.base / "jobs/begun"
    job = cluster.submit("cat $KLUIS_DATA/canary > /dev/null; touch begun; sleep 4; cat $KLUIS_DATA/canary | wc -c; rm begun", lines=line)
    until(20, begun.exists)
    cluster.run("scontrol", "update", f"nodename={cluster.host}", "state=drain", "reason=test")
    state = cluster.ended(job)
    check("S18: on a node that drains a job reads on to its end", state == "COMPLETED" and cluster.output(job).strip().isdigit(), state)
    check("S18: and nothing is left on it", until(15, lambda: not left(cluster, job)), left(cluster, job))
    cluster.run("scontrol", "update", f"nodename={cluster.host}", "state=resume")
    check("the node is idle again", until(30, lambda: cluster.node() == "idle", 0.3), cluster.node())


def searched(cluster, base, canary) -> None:
    """The plaintext is nowhere on the node: not where it was mounted, not in memory file systems, caches or logs."""
    places = [str(base), "/var/tmp", "/dev/shm", "/run", "/var/log", "/var/lib/kluis", "/var/spool", "/var/crash"]
    found = subprocess.run(["grep", "-rlaF", "--devices=skip", canary.decode(), *[p for p in places if os.path.exists(p)]],
                           capture_output=True, text=True, check=False)
    check("S18: a search for the plaintext finds none on the node", not found.stdout, found.stdout)


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
        # Slurm counts a job's time in minutes: this one runs beside the others.
        late = cluster.submit("cat $KLUIS_DATA/canary > /dev/null; trap '' TERM; sleep 300", "--time=1", lines=f"#SBATCH --kluis={version}")
        seen_by_a_job(cluster, version, files)
        hostile.forgotten(cluster, version, late)
        by_right(cluster, version, files)
        by_one_line(cluster, version, files)
        others(cluster, version)
        job = cluster.submit("true")
        check("a job that asks for nothing gets nothing", cluster.ended(job) == "COMPLETED" and not left(cluster, job))
        asked_in_vain(cluster)
        hostile.run(cluster, version)
        ends(cluster, version)
        state = cluster.ended(late, 150)
        check("S18: a job that is out of time, and ignores it, leaves nothing", state == "TIMEOUT"
              and until(15, lambda: not left(cluster, late)), (state, left(cluster, late)))
        drained(cluster, version)
        searched(cluster, base, canary)
        reads = [record for record in vault.audit().values() if record.get("operation") == "ReleaseKeys"]
        check("S22: the jobs' keys are in the log", bool(reads))
    finally:
        if cluster:
            cluster.stop()
        for line in mounts(base / "cluster"):
            subprocess.run(["umount", "-l", line.split()[1]], check=False)
        vault.stop()
        clean(base)
    return done()


sys.exit(main())
