"""Mounts beside each other: a store, a vault on it, the same objects in plaintext, and whoever mounts either, in turn.

What `mounts.py` and `warm.py` share. A mount is measured by the clock, and by the CPU seconds of its process and of the gateway.
"""

import asyncio
import concurrent.futures
import os
import pathlib
import random
import statistics
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "mount"), str(HERE.parent / "lab")]
from mounts import MIB, Mount, publish, unmount_below  # noqa: E402
from vault import Client, ROOT, Vault, before_exec, read_env, until  # noqa: E402
from lib import Identity  # noqa: E402

SMALL = 150 * 1024
TICKS = os.sysconf("SC_CLK_TCK")


class Delay:
    """TCP on loopback whose requests reach `upstream` so many seconds later; answers come back at once."""

    def __init__(self, upstream: str, seconds: float):
        self.upstream, self.seconds = upstream, seconds
        self.loop = asyncio.new_event_loop()
        ready = threading.Event()

        def run():
            self.server = self.loop.run_until_complete(asyncio.start_server(self.serve, "127.0.0.1", 0, limit=1 << 20))
            ready.set()
            self.loop.run_forever()
        threading.Thread(target=run, daemon=True).start()
        ready.wait()
        self.url = "http://127.0.0.1:%d" % self.server.sockets[0].getsockname()[1]

    async def serve(self, reader, writer):
        host, port = self.upstream.split(":")
        up_reader, up_writer = await asyncio.open_connection(host, int(port), limit=1 << 20)

        async def copy(source, target, delay):
            try:
                while piece := await source.read(1 << 20):
                    if delay:
                        await asyncio.sleep(delay)
                    target.write(piece)
                    await target.drain()
            except OSError:
                pass
            finally:
                target.close()
        await asyncio.gather(copy(reader, up_writer, self.seconds), copy(up_reader, writer, 0))


def cpu_of(pid: int) -> float:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_mib(pid: int) -> int:
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) // 1024


def drop_caches() -> None:
    subprocess.run(["sync"], check=False)
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")


class Peer:
    """A mount of a bucket in plaintext by somebody else's program."""

    def __init__(self, name: str, command: list[str], directory: pathlib.Path, environment: dict[str, str]):
        self.name, self.command, self.directory, self.environment = name, command, directory, environment
        directory.mkdir(parents=True, exist_ok=True)

    def start(self) -> "Peer":
        self.process = subprocess.Popen(self.command, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, preexec_fn=before_exec)
        if not until(30, lambda: os.path.ismount(self.directory), 0.02):
            raise RuntimeError(f"{self.name} does not mount")
        return self

    def stop(self) -> None:
        subprocess.run(["umount", "-l", str(self.directory)], check=False, capture_output=True)
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Lab:
    """A store, a vault on it, the same objects in plaintext beside it, and the mounts of both."""

    def __init__(self, base: pathlib.Path, delay_ms: float, files: dict[str, int], peers: list[str], straight: bool = True):
        self.base, self.peers = base, peers
        self.environment = os.environ | {"KLUIS_LAB_RUN": str(base / "lab")}
        subprocess.run([ROOT / "tests/lab/store.sh", "start", "seaweed"], env=self.environment, check=True, stdout=subprocess.DEVNULL)
        self.env = read_env(base / "lab/seaweed/owner.env")
        store = self.env["AWS_ENDPOINT_URL"].removeprefix("http://")
        self.relay = None
        self.endpoint = self.further(store, delay_ms) if delay_ms else f"http://{store}"
        near = base / "near.env"
        near.write_text("\n".join(f"{key}={value}" for key, value in (self.env | {"AWS_ENDPOINT_URL": self.endpoint}).items()))
        projects = {"straight": {"projects": ["demo"]}} if straight else {}
        self.vault = Vault(base / "vault", projects, near).start()
        plain = Identity(f"http://{store}", self.env["AWS_ACCESS_KEY_ID"], self.env["AWS_SECRET_ACCESS_KEY"], "lab-1", "plain-data")
        if peers:
            Client(plain).request("PUT")
        rng = random.Random(7)
        local = threading.local()

        def put(item):
            key, size = item
            body = rng.randbytes(min(size, MIB)) * -(-size // MIB) if size > MIB else os.urandom(size)
            if not hasattr(local, "clients"):
                local.clients = [Client(self.vault.identity(), 120), *([Client(plain, 120)] if peers else [])]
            for client in local.clients:
                for _ in range(3):
                    reply = client.request("PUT", key, body=body[:size])
                    if reply.status == 200:
                        break
                else:
                    raise RuntimeError(f"PUT {key}: {reply}")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(put, files.items()))
        begin = time.monotonic()
        self.version = publish(self.vault)
        self.publish_s = time.monotonic() - begin

    def further(self, store: str, delay_ms: float) -> str:
        if not os.environ.get("DELAY_BIN"):
            return Delay(store, delay_ms / 1000).url
        self.relay = subprocess.Popen([os.environ["DELAY_BIN"], store, str(int(delay_ms))], stdout=subprocess.PIPE, text=True,
                                      stdin=subprocess.DEVNULL, preexec_fn=before_exec)
        return f"http://{self.relay.stdout.readline().strip()}"

    def mount(self, name: str, n: int):
        directory = self.base / "mounts" / f"{name.replace(' ', '-').replace(',', '')}-{n}"
        if name.startswith("kluis"):
            words = ["--direct-io"] if "direct I/O" in name else []
            if "cache" in name:
                words += ["--cache", str(self.base / "cache")]
            if "gateway" in name:
                words += ["--through-gateway"]
            return Mount(self.vault, self.version, directory, *words)
        keys = {"AWS_ACCESS_KEY_ID": self.env["AWS_ACCESS_KEY_ID"], "AWS_SECRET_ACCESS_KEY": self.env["AWS_SECRET_ACCESS_KEY"],
                "AWS_REGION": "lab-1", "PATH": os.environ["PATH"], "HOME": str(self.base)}
        if name == "s3fs":
            secret = self.base / "s3fs.passwd"
            secret.write_text(f"{keys['AWS_ACCESS_KEY_ID']}:{keys['AWS_SECRET_ACCESS_KEY']}")
            secret.chmod(0o600)
            command = ["s3fs", "plain-data", str(directory), "-f", "-o", f"passwd_file={secret},url={self.endpoint},use_path_request_style,ro"]
        elif name == "rclone":
            rclone = next((str(p) for p in [pathlib.Path.home() / ".cache/kluis-lab/bin/rclone"] if p.exists()), "rclone")
            remote = f":s3,provider=Other,env_auth=true,force_path_style=true,endpoint='{self.endpoint}':plain-data"
            command = [rclone, "mount", remote, str(directory), "--read-only", "--dir-cache-time", "1h", "--attr-timeout", "1h"]
        else:
            command = [os.environ["MOUNTPOINT"], "plain-data", str(directory), self.endpoint]
        return Peer(name, command, directory, keys)

    def stop(self) -> None:
        unmount_below(self.base)
        self.vault.stop()
        if self.relay:
            self.relay.kill()
            self.relay.wait()
        subprocess.run([ROOT / "tests/lab/store.sh", "stop", "seaweed"], env=self.environment, check=False, stdout=subprocess.DEVNULL)


def dd(path, mib: int) -> None:
    subprocess.run(["dd", f"if={path}", "of=/dev/null", "bs=1M", f"count={mib}"], check=True, capture_output=True)


def measured(lab: Lab, name: str, n: int, work, bytes_read: int, prepare) -> tuple[float, float, float, int]:
    """Seconds, CPU of the mount and of the gateway for each GiB, and the mount's peak memory in MiB."""
    mount = lab.mount(name, n).start()
    try:
        drop_caches()
        prepare(mount.directory)
        pid, gateway = mount.process.pid, lab.vault.pid
        before, gate = cpu_of(pid), cpu_of(gateway)
        begin = time.monotonic()
        work(mount.directory)
        took = time.monotonic() - begin
        gib = bytes_read / (1 << 30)
        return took, (cpu_of(pid) - before) / gib, (cpu_of(gateway) - gate) / gib, peak_mib(pid)
    finally:
        mount.stop()


def compare(lab: Lab, names: list[str], rounds: int, work, bytes_read: int, unit: str, amount: float, prepare=lambda top, name: None) -> None:
    """Each of `names` in turn, there and back. `work` gives the part of the amount that it did, where that is not all of it."""
    results: dict[str, list] = {name: [] for name in names}
    for n in range(rounds):
        for name in names if n % 2 == 0 else names[::-1]:
            try:
                share = []
                run = measured(lab, name, n, lambda top, name=name: share.append(work(top, name) or 1), bytes_read,
                               lambda top, name=name: prepare(top, name))
                results[name].append((run[0] / share[0], run[1] / share[0], run[2] / share[0], run[3]))
            except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
                print(f"<!-- {name}: {error} -->", flush=True)
    print(f"| mount | {unit} | best | CPU s/GiB | gateway CPU s/GiB | peak MiB |\n|---|---|---|---|---|---|")
    for name, all_of in results.items():
        if all_of:
            rates = [amount / one[0] for one in all_of]
            middle = [statistics.median(one[at] for one in all_of) for at in (1, 2)]
            gateway = f"{middle[1]:.2f}" if name.startswith("kluis") else ""
            print(f"| {name} | {statistics.median(rates):.0f} | {max(rates):.0f} | {middle[0]:.2f} | {gateway} | {max(one[3] for one in all_of)} |", flush=True)
