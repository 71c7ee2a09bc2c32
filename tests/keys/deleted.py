"""One person deletes everything in a dataset, and the dataset. Yesterday's backup still opens under the keys of today, until two
persons erase the keys that were left: then nothing does, and the log says who."""

import shutil
import signal
import sys

from stock import GONE, Copy, Stock
from house import text_of
from vault import check, clean, done, scratch


def yesterday(stock: Stock, today: Copy, place) -> Copy:
    """What was backed up before, with the keys as they are now."""
    past = Copy(stock, place)
    for name in ("data/keys", "copy"):
        shutil.rmtree(past.dir / name)
        shutil.copytree(today.dir / name, past.dir / name)
    past.serve()
    return past


def scan_of(past: Copy):
    ready = past.ready()
    got = past.client("icu--mri").request("GET", "scan")
    past.stop(signal.SIGKILL)
    return ready, got


def main() -> int:
    place = scratch("deleted")
    stock = Stock(place / "stock")
    today = Copy(stock, place / "vault")
    houses = [today]
    try:
        today.serve()
        client = today.client("icu--mri")
        check("the gateway serves", bool(today.ready()))
        check("who may delete empties the dataset alone", client.request("DELETE", "scan").status == 204)
        got = client.request("DELETE", "")
        check("and deletes it", got.status == 204, got)
        check("it is there no more", client.request("GET", "scan").status == 404)
        left = {name: len(files) for name, files in today.versions("icu/mri").items()}
        check("its key is there, and in the copy of the keys", set(left.values()) == {1}, left)
        houses.append(yesterday(stock, today, place / "before"))
        ready, got = scan_of(houses[-1])
        check("so yesterday's backup opens: nobody alone destroyed it", ready and got.body == GONE, got)

        ran = today.run("key", "erase", "icu", today.of_dataset)
        check("what was agreed on for the living dataset erases nothing", ran.returncode != 0, text_of(ran))
        approval = today.agree("icu/mri", "what=deleted")
        ran = today.run("key", "erase", "icu", approval)
        check("two persons erase the keys", ran.returncode == 0, text_of(ran))
        left = {name: len(files) for name, files in today.versions("icu/mri").items()}
        check("they are gone from the ring and its copy", set(left.values()) == {0}, left)
        works = [row for row in today.works() if row["dataset"] == "icu/mri"]
        check("with both persons' names", len(works) == 1 and "ana" in str(works[0]["persons"]) and "ola" in str(works[0]["persons"]), works)
        told = today.run("key", "certificate", works[0]["work"])
        check("and a certificate that names the key", told.returncode == 0 and today.ids["icu/mri"].encode() in told.stdout, text_of(told))
        check("nobody is asked twice", today.run("key", "erase", "icu", approval).returncode != 0)
        houses.append(yesterday(stock, today, place / "after"))
        ready, got = scan_of(houses[-1])
        check("yesterday's backup opens it to nobody now", ready and got.status >= 400 and GONE[:9] not in got.body, got)
        check("what else there was is served", not (faults := today.faults_of_kept()), faults)
    finally:
        for house in houses:
            house.stop(signal.SIGKILL)
    clean(place)
    return done()


if __name__ == "__main__":
    sys.exit(main())
