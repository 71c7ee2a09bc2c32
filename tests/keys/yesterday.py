"""After an erasure, with all that its enemy could have kept: yesterday's catalog, store and snapshots, under today's keys. What
was erased opens to nobody; its records are there; today's vault is restored to the last byte from the copy of its keys."""

import json
import shutil
import signal
import sys

from stock import GONE, KEPT, Copy, Stock
from house import text_of
from vault import check, clean, done, scratch


def restored(today: Copy, place) -> None:
    told = today.run("--json", "drill", "--into", str(place / "drill"))
    shown = json.loads(told.stdout) if told.returncode == 0 else {}
    check("a drill restores catalog and keys elsewhere and opens every byte that is left",
          shown.get("broken") == 0 and shown.get("log_damages") == 0 and shown.get("catalog_whole") is True, text_of(told))
    check("and says how long it took and what would have been lost", {"rpo_ms", "rto_ms"} <= shown.keys(), shown)


def records(today: Copy) -> None:
    kinds = [(record.get("event"), record.get("object", {}).get("key")) for record in today.records()]
    check("the records of what was erased are there", any(key == "gone" for _, key in kinds), kinds[-20:])


def main() -> int:
    place = scratch("yesterday")
    stock = Stock(place / "stock")
    today = Copy(stock, place / "vault")
    past = None
    try:
        for words in (["key", "erase", "icu", today.of_object], ["key", "erase", "icu", today.of_dataset]):
            done_now = today.run(*words)
            check(f"{words[-2]} {words[-1][:6]}: erased", done_now.returncode == 0, text_of(done_now))
        restored(today, place)
        records(today)
        past = Copy(stock, place / "past")
        # What an enemy has: all of yesterday but the keys, which are today's.
        for name in ("data/keys", "copy"):
            shutil.rmtree(past.dir / name)
            shutil.copytree(today.dir / name, past.dir / name)
        past.serve()
        ready = past.ready()
        for bucket, key in (("icu--ecg", "gone"), ("icu--mri", "scan")):
            got = past.client(bucket).request("GET", key)
            check(f"{key}: yesterday's catalog and store give it to nobody", ready and got.status >= 400 and GONE[:9] not in got.body, got)
        other = [past.client().request("GET", key) for key in KEPT]
        check("nor what was kept, whose new key yesterday's tables do not know: a new copy is to be taken",
              all(one.status >= 400 for one in other), [str(one) for one in other])
        code = past.stop()
        check("the gateway bears it", code == 0, code)
        gone = place / "gone.sqlite"
        shutil.move(past.dir / "data" / "catalog.sqlite", gone)
        found = past.run("recover")
        check("yesterday's snapshots restore a catalog, and it is told whose keys are gone",
              found.returncode == 1 and "erased or left out of the backup of the keys: icu/mri" in text_of(found), text_of(found)[-700:])
        past.serve()
        ready = past.ready()
        got = past.client().request("GET", "gone")
        check("which gives it to nobody either", ready and got.status >= 400 and GONE[:9] not in got.body, got)
        past.stop(signal.SIGKILL)
        today.serve()
        check("today's vault serves what was kept", today.ready() and not (faults := today.faults_of_kept()), faults)
        for bucket, key in (("icu--ecg", "gone"), ("icu--mri", "scan")):
            got = today.client(bucket).request("GET", key)
            check(f"and {key} is not there", got.status == 404, got)
    finally:
        for house in (today, past):
            if house:
                house.stop(signal.SIGKILL)
    clean(place)
    return done()


if __name__ == "__main__":
    sys.exit(main())
