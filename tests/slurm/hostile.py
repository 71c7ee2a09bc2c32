"""What a job's user does to become more than that: directories swapped under root, names that drain nodes, mounts that stay."""

import datetime
import os
import pathlib
import subprocess
import time

from cluster import USER, left, mounts
from vault import check, until

ID = "0" * 32


def swapped(cluster, version) -> None:
    """A job puts a link to a file system of the node where its version was mounted, and is requeued: root must neither unmount nor cover it."""
    victim, name = cluster.base / "victim", version.split("/")[1]
    victim.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "victim", str(victim)], check=True)
    (victim / "rules").write_text("as they were")
    try:
        job = cluster.submit(
            f"d={cluster.base}/run/$SLURM_JOB_ID\n"
            "if [ ${SLURM_RESTART_COUNT:-0} = 0 ]; then\n"
            "  chmod 700 $d && echo OPENED; mv $d/demo $d/o && echo MOVED; mkdir -p $d/demo && echo MADE\n"
            f"  ln -s {victim} $d/demo/{name} && echo LINKED\n"
            "  scontrol requeue $SLURM_JOB_ID; sleep 60\n"
            "fi\n"
            f"cat {victim}/rules; cat $KLUIS_DATA/canary | wc -c; echo AGAIN", "--requeue", "--open-mode=append",
            lines=f"#SBATCH --kluis={version}")
        again = until(60, lambda: "AGAIN" in cluster.output(job), 0.2)
        text = cluster.output(job)
        check("a requeued job begins again, and reads", again and cluster.ended(job) == "COMPLETED", (cluster.state(job), text))
        done = [word for word in ("OPENED", "MOVED", "LINKED") if word in text]
        check("root walks nothing that is the user's: the job changes no directory on the way to its data", not done, text)
        over = [line.split()[:3] for line in pathlib.Path("/proc/mounts").read_text().splitlines() if line.split()[1] == str(victim)]
        check("and nothing of the node is unmounted or covered by it", over == [["victim", str(victim), "tmpfs"]]
              and "as they were" in text, (over, text))
        check("S18: nothing is left of it", until(15, lambda: not left(cluster, job)), left(cluster, job))
    finally:
        while subprocess.run(["umount", "-l", str(victim)], capture_output=True, check=False).returncode == 0:
            pass


def older(cluster) -> None:
    """The epilog at a directory that is the user's, as an older prolog left it, with a link in the place of the mount."""
    victim, top = cluster.base / "victim", cluster.base / "run/77001"
    (top / "demo").mkdir(parents=True)
    (top / "demo/wdbc@1").symlink_to(victim)
    subprocess.run(["chown", "-R", "-h", USER, str(top)], check=True)
    (cluster.base / "run/.77001.mounts").write_text(f"1 {top}/demo/wdbc@1 {USER} \n")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "victim", str(victim)], check=True)
    try:
        run = cluster.script("epilog", "77001", "")
        there = os.path.ismount(victim)
        check("the epilog follows no link: what it leads to stays mounted", run.returncode == 0 and there, run)
        told = top.stat()
        check("and the directory is root's by then, and root's alone", (told.st_uid, told.st_mode & 0o777) == (0, 0o700), oct(told.st_mode))
    finally:
        subprocess.run(["umount", "-l", str(victim)], capture_output=True, check=False)
        subprocess.run(["rm", "-rf", str(top)], check=True)


def begun_already(cluster, version) -> None:
    """A job's directory that is there before its prolog is believed by nobody."""
    top, elsewhere = cluster.base / "run/77002", cluster.base / "elsewhere"
    elsewhere.mkdir()
    top.mkdir()
    (top / "demo").symlink_to(elsewhere)
    run = cluster.script("prolog", "77002", version)
    check("a prolog mounts nothing in a directory that somebody made before it", run.returncode != 0 and not os.listdir(elsewhere)
          and "77002" not in str(mounts(cluster.base)), run)
    (top / "demo").unlink()
    run = cluster.script("epilog", "77002", version)
    check("and its epilog cleans", run.returncode == 0 and not left(cluster, "77002"), (run, left(cluster, "77002")))


def drained_by_names(cluster, version) -> None:
    """No name that a job asks by, and nothing that its account lacks, drains a node."""
    asked = ["demo--x/wdbc@1", "demo-/wdbc@1", "-demo/wdbc@1", "--help/wdbc@1", "demo/wdbc--v1@1", f"{version}:-x/{ID}", f"{version}:--node/{ID}",
             "d" * 31 + "/wdbc@1", f"{version}:ann/{ID}", "", ","]
    jobs = {text: cluster.submit("sleep 30", f"--comment=kluis={text}") for text in asked}
    states = {text: cluster.ended(job) for text, job in jobs.items()}
    check(f"{len(asked)} names that are none end their jobs", set(states.values()) == {"CANCELLED"}, states)
    credential, kept = cluster.base / f"credentials/{USER}.env", cluster.base / "kept-away.env"
    credential.rename(kept)
    job = cluster.submit("sleep 30", f"--comment=kluis={version}")
    state = cluster.ended(job)
    kept.rename(credential)
    check("so does an account that has no credential on the node", state == "CANCELLED", state)
    right = cluster.right(version)
    (cluster.base / "node.env").rename(kept)
    job = cluster.submit("sleep 30", f"--comment=kluis={right}")
    state = cluster.ended(job)
    check("so does a right where the node has no identity", state == "CANCELLED", state)
    kept.rename(cluster.base / "node.env")
    credential.chmod(0o644)
    job = cluster.submit("sleep 30", f"--comment=kluis={version}")
    state = cluster.ended(job)
    credential.chmod(0o600)
    log = (cluster.base / f"log/kluis/job-{job}.log").read_text()
    check("a credential that others can read is not used, and the log says why", state == "CANCELLED" and "chmod 600" in log, (state, log))
    check("and no node is drained by any of them", until(20, lambda: cluster.node() in ("idle", "mixed")), cluster.node())


def forgotten(cluster, version, running) -> None:
    """A job whose epilog never ran: the next one on the node ends its mounts, and those of jobs that run stay."""
    until(20, lambda: f"/run/{running}/" in str(mounts(cluster.base)))
    begun = cluster.script("prolog", "77003", version)
    there = [line for line in mounts(cluster.base) if "/run/77003/" in line]
    check("a job without an epilog leaves its mount", begun.returncode == 0 and len(there) == 1, (begun, there))
    job = cluster.submit("true")
    check("the next job on the node begins", cluster.ended(job) == "COMPLETED", cluster.state(job))
    check("S18: and its prolog ends what was forgotten", until(15, lambda: not left(cluster, "77003")), left(cluster, "77003"))
    check("of a job that runs the mount stays", f"/run/{running}/" in str(mounts(cluster.base)), mounts(cluster.base))


def stays_mounted(cluster) -> None:
    """What cannot be unmounted fails the epilog, and is not forgotten."""
    place, words = cluster.base / "run/77004/demo/wdbc@1", cluster.base / "words"
    place.mkdir(parents=True)
    words.mkdir()
    (words / "umount").write_text("#!/bin/sh\nexit 32\n")
    (words / "umount").chmod(0o755)
    (cluster.base / "run/.77004.mounts").write_text(f"1 {place} {USER} \n")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "kluis", str(place)], check=True)
    run = cluster.script("epilog", "77004", "", PATH=f"{words}:{os.environ['PATH']}")
    check("what stays mounted fails the epilog", run.returncode == 1 and os.path.ismount(place)
          and (cluster.base / "run/.77004.mounts").exists(), run)
    run = cluster.script("epilog", "77004", "")
    check("and the next try ends it", run.returncode == 0 and not left(cluster, "77004"), (run, left(cluster, "77004")))


def greedy(cluster, version) -> None:
    """A job that asks for much: its mounts share one budget of memory, and the cgroup that the node keeps for mounts."""
    begun = cluster.script("prolog", "77005", ",".join([version, "demo/wdbc@latest"]))
    asked = []
    for line in (cluster.base / "run/.77005.mounts").read_text().splitlines():
        words = pathlib.Path(f"/proc/{line.split()[0]}/cmdline").read_text().split("\0")
        asked.append(words[words.index("--memory") + 1])
    check("the mounts of a job share one budget of memory", begun.returncode == 0 and asked == ["128", "128"], (begun, asked))
    pids = [line.split()[0] for line in (cluster.base / "run/.77005.mounts").read_text().splitlines()]
    taken = (cluster.base / "cgroup/cgroup.procs").read_text().split()
    check("and are in the cgroup that the node keeps for mounts", len(pids) == 2 and set(pids) <= set(taken), (pids, taken))
    run = cluster.script("epilog", "77005", "")
    check("S18: and all of them end", run.returncode == 0 and not left(cluster, "77005"), (run, left(cluster, "77005")))


def out_of_time(cluster, version) -> None:
    """A mount without a right, on a node that Slurm has left: no epilog and no sweep comes."""
    soon = str(int(time.time()) + 4)
    begun = cluster.script("prolog", "77006", version, SLURM_JOB_END_TIME=soon, KLUIS_GRACE_SECONDS="0")
    stood = "/run/77006/" in str(mounts(cluster.base))
    gone = until(30, lambda: "/run/77006/" not in str(mounts(cluster.base)))
    check("S18: where neither epilog nor sweep comes, a mount ends by itself at the end of its job's time", begun.returncode == 0 and stood
          and gone, (begun, stood, mounts(cluster.base)))
    pids = until(20, lambda: not [word for word in left(cluster, "77006") if word.isdigit()])
    check("S18: and its processes with it", pids, left(cluster, "77006"))
    run = cluster.script("epilog", "77006", "")
    check("S18: its epilog finds nothing to end", run.returncode == 0 and not left(cluster, "77006"), (run, left(cluster, "77006")))


def extended(cluster, version) -> None:
    """A job whose time is changed while it runs: its mounts' end follows with the next sweep."""
    job = cluster.submit("sleep 60", "--time=2", lines=f"#SBATCH --kluis={version}")
    until(20, lambda: cluster.state(job) == "RUNNING" and f"/{job}/" in str(mounts(cluster.base)))
    file = cluster.base / f"run/.{job}.end"
    told = cluster.run("squeue", "-h", "-j", job, "-o", "%e").stdout.strip()
    ends = datetime.datetime.fromisoformat(told).timestamp()
    check("a job's mounts end ten minutes after its time", abs(file.stat().st_mtime - ends - 600) <= 60, (file.stat().st_mtime, told))
    cluster.run("scontrol", "update", f"jobid={job}", "timelimit=8")
    before, swept = file.stat().st_mtime, cluster.script("epilog", "", "", "--sweep")
    later = file.stat().st_mtime - before
    check("and later when it is given more time", swept.returncode == 0 and later == 360 and f"/{job}/" in str(mounts(cluster.base)),
          (swept, later))
    cluster.run("scancel", job)
    check("S18: nothing is left of it", until(15, lambda: not left(cluster, job)), left(cluster, job))


def run(cluster, version) -> None:
    """All but what is forgotten, which wants a job that runs meanwhile."""
    swapped(cluster, version)
    older(cluster)
    begun_already(cluster, version)
    drained_by_names(cluster, version)
    stays_mounted(cluster)
    greedy(cluster, version)
    out_of_time(cluster, version)
    extended(cluster, version)
