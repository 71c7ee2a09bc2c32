"""Rotations under load, gateway and command killed with -9 at moments that the seed chooses: what was acknowledged reads, a
gateway that comes back ends what was begun, and each read's record names the key that served it."""

import random
import signal
import sys
import threading
import time

from stock import Copy, Stock
from vault import Client, check, clean, done, say, scratch, seed

ROUNDS = 6


class Load(threading.Thread):
    """Writes and reads until the gateway is gone; remembers what was acknowledged."""

    def __init__(self, client: Client, number: int):
        super().__init__()
        self.client, self.number = client, number
        self.kept: dict[str, bytes] = {}
        self.faults: list[str] = []

    def run(self) -> None:
        at = 0
        while True:
            key, body = f"round{self.number}/{at % 20}", f"{self.number}:{at};".encode() * (1 + at % 900)
            before = self.kept.pop(key, None)
            if self.client.request("PUT", key, body=body).status != 200:
                return
            self.kept[key] = body
            got = self.client.request("GET", key)
            if not got.whole or got.status == 0:
                return
            if got.body != body:
                self.faults.append(f"{key}: {got}, before {before and before[:20]}")
            at += 1


def main() -> int:
    rng, place = random.Random(seed()), scratch("moments")
    house = Copy(Stock(place / "stock"), place / "vault")
    kept: dict[str, bytes] = {}
    faults, served = [], 0
    try:
        for number in range(ROUNDS):
            house.serve()
            assert house.ready(), house.log.read_text()[-800:]
            client = house.client()
            faults += [f"round {number}: {key} is {got}" for key, body in kept.items()
                       if (got := client.request("GET", key)).body != body]
            load = Load(house.client(), number)
            load.start()
            rotation = house.begin("key", "rotate", "icu/ecg")
            time.sleep(rng.uniform(0.02, 0.9))
            first, second = (house.process, rotation) if rng.random() < 0.5 else (rotation, house.process)
            first.send_signal(signal.SIGKILL)
            time.sleep(rng.uniform(0, 0.1))
            second.send_signal(signal.SIGKILL)
            rotation.wait()
            house.stop(signal.SIGKILL)
            load.join()
            kept |= load.kept
            faults += load.faults
            served += len(load.kept)
            say(f"round {number}: {len(kept)} objects kept, keys {house.versions('icu/ecg')}")
        house.serve()
        check("after six kills the gateway starts", house.ready(), house.log.read_text()[-600:])
        check("and ends every rotation that was begun", house.ended(), house.works())
        house.run("key", "rotate", "icu/ecg")
        client = house.client()
        faults += [f"at the end: {key} is {got}" for key, body in kept.items() if (got := client.request("GET", key)).body != body]
        check("what was acknowledged reads, byte for byte, at each start", not faults, faults[:4])
        check("so does what was there before", not (bad := house.faults_of_kept()), bad)
        versions = house.versions("icu/ecg")
        check("one key is left, the same in the copy", [len(one) for one in versions.values()] == [1, 1]
              and versions["data/keys"] == versions["copy"], versions)
        newest = versions["copy"][0]
        event = client.request("GET", "a").event
        code = house.stop()
        mine = [record for record in house.records() if record.get("event_id", "").replace("-", "") == event.replace("-", "")]
        check("a read's record names the key that served it", any(f"'key={newest}'" in str(one) for one in mine), (event, mine[:2]))
        check("stopped in peace, it ends with 0", code == 0, code)
        doctor = house.run("doctor")
        check("the doctor finds nothing", doctor.returncode == 0, doctor.stdout[-400:])
        check("no panic", "panicked" not in house.log.read_text(errors="replace"))
    finally:
        house.stop(signal.SIGKILL)
    clean(place)
    return done()


if __name__ == "__main__":
    sys.exit(main())
