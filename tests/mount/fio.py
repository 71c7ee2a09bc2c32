"""fio writes files in which every block says where it belongs; fio reads them through the mount and verifies every block."""

import itertools
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mounts import MIB, Mount, lab, publish, upload  # noqa: E402
from vault import check, done, say  # noqa: E402

FILE_MIB = int(os.environ.get("KLUIS_FIO_MIB", "4"))
JOBS = 2


def fio(directory: pathlib.Path, *words: str) -> tuple[int, dict, str]:
    run = subprocess.run(["fio", "--name=job", f"--directory={directory}", f"--size={FILE_MIB}m", f"--numjobs={JOBS}", "--thread", "--verify_state_save=0",
                          "--filename_format=$jobname.$jobnum", "--verify=crc32c", "--verify_interval=4096", "--group_reporting",
                          "--output-format=json", "--invalidate=0", *words], capture_output=True, text=True, timeout=300, check=False)
    text = run.stdout[run.stdout.find("{"):]
    try:
        job = json.loads(text)["jobs"][0]
    except (ValueError, KeyError):
        job = {}
    return run.returncode, job, run.stderr[-300:] + run.stdout[:300]


def main() -> int:
    with lab("fio") as (base, vault):
        local = base / "local"
        local.mkdir()
        code, _, told = fio(local, "--rw=write", "--bs=4k", "--do_verify=0")
        files = {f"good/{path.name}": path.read_bytes() for path in sorted(local.iterdir())}
        check("fio wrote its files", code == 0 and len(files) == JOBS and {len(f) for f in files.values()} == {FILE_MIB * MIB}, told)
        # Blocks in another block's place, and a byte that is another.
        for name in list(files):
            bent = bytearray(files[name])
            bent[MIB:MIB + 4096], bent[2 * MIB:2 * MIB + 4096] = bent[2 * MIB:2 * MIB + 4096], bent[MIB:MIB + 4096]
            bent[3 * MIB + 100] ^= 1
            files[name.replace("good", "bent")] = bytes(bent)
        upload(vault, files)
        version = publish(vault)
        for direct in (False, True):
            mount = Mount(vault, version, base / f"data-{direct}", "--memory", "16", *(["--direct-io"] if direct else [])).start()
            wrong, blocks = [], 0
            for pattern, engine, size in itertools.product(("read", "randread"), ("psync", "libaio", "mmap"), ("4k", "60k", "1m")):
                if direct and engine == "mmap":
                    continue
                more = ["--iodepth=8", "--direct=1"] if engine == "libaio" else []
                code, job, told = fio(mount.directory / "good", f"--rw={pattern}", f"--bs={size}", f"--ioengine={engine}", "--readonly",
                                      "--verify_fatal=1", *more)
                done_bytes = job.get("read", {}).get("io_bytes", 0)
                blocks += done_bytes // 4096
                # What does not divide by the block is left out at the end.
                if code or job.get("error") or done_bytes < JOBS * (FILE_MIB - 1) * MIB:
                    wrong.append((pattern, engine, size, code, done_bytes, told))
            check(f"fio verifies every block{' with direct I/O' if direct else ''}: in order and at random, by three engines, three sizes",
                  not wrong and blocks > 0, wrong[:2])
            say(f"{blocks} blocks verified")
            code, job, _ = fio(mount.directory / "bent", "--rw=read", "--bs=4k", "--ioengine=psync", "--readonly")
            check("fio finds the blocks that are wrong where some are", code != 0 or job.get("error"), job.get("error"))
            errors = (mount.directory / ".kluis/errors").read_text()
            check("and the mount met no error", errors == "", errors)
            mount.stop()
    return done()


sys.exit(main())
