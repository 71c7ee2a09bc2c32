"""Catalog and store that do not belong together, with the real program: nothing is deleted, nothing acknowledged is lost, and
each refusal says why and what to do."""

import shutil
import signal
import sys

from pair import Host, Other, text_of
from vault import check, clean, done, scratch


def older(host: Host) -> None:
    """A backup of the catalog is restored after the vault went on."""
    host.session("early")
    copy = host.backup("older.sqlite")
    host.session("late")
    newer, store = host.backup("newer.sqlite"), host.blobs()
    host.restore(copy)
    code, said = host.refuses()
    check("an older catalog is not served", code == 1 and "older than its snapshots" in said, (code, said))
    check("and one is told what to do", "`kluis recover`" in said and "--adopt" in said, said)
    ran = host.run("key", "rotate", "icu/ecg")
    check("no key is destroyed by it", ran.returncode != 0 and "older than its snapshots" in text_of(ran), text_of(ran))
    ran = host.run("principal", "create", "carla")
    check("nor anything else done on it", ran.returncode == 1 and "older than its snapshots" in text_of(ran), text_of(ran))
    check("nothing in the store has changed", host.blobs() == store)
    code, found = host.lost_and_recovered()
    check("a recovery is whole", code == 0 and found["whole"] and not found["in_doubt"], found)
    host.up()
    check("and has what was acknowledged", host.has("early", "late") == ["early", "late"])
    check("and goes on", host.stop() == 0)

    host.restore(newer)
    code, said = host.refuses()
    check("the catalog before the recovery is another's now", code == 1 and "another catalog has gone on" in said, (code, said))
    check("and one is told of the other gateway", "one gateway alone" in said, said)


def adopted(host: Host) -> None:
    """The older state is meant."""
    host.restore(host.dir.with_name("older.sqlite"))
    ran = host.run("recover", "--adopt")
    check("an older catalog is adopted", ran.returncode == 0 and "goes on from commit" in text_of(ran), text_of(ran))
    host.up()
    check("it is served as it is", host.has("early", "late") == ["early"])
    host.put("after")
    host.stop(signal.SIGKILL)
    check("the doctor says that it is in doubt", "in doubt" in host.doctor(), host.doctor())
    code, found = host.lost_and_recovered()
    check("lost after a kill, it comes back from its base", code == 0 and found["base"] is not None and found["fork"] is None, found)
    check("and is in doubt still", found["in_doubt"], found)
    ran = host.run("recover", "--accept")
    check("until it is accepted", ran.returncode == 0 and "is accepted" in text_of(ran), text_of(ran))
    check("then it is not", "in doubt" not in host.doctor(), host.doctor())
    host.up()
    check("it has what was acknowledged, and not what was left behind", host.has("early", "late", "after") == ["early", "after"])
    host.stop()


def two_hosts(host: Host, place) -> None:
    """A second host recovers and serves while the first one does: a network that was cut, an image of a machine."""
    host.up()
    other = Other(host, place / "other")
    try:
        code, found = other.lost_and_recovered()
        check("a second host recovers", code == 0 and found["whole"], found)
        code, said = host.ends()
        check("the first one ends by itself", code == 1 and "another catalog has gone on" in said, (code, said))
        other.up()
        other.put("by-the-second")
        code, said = host.refuses()
        check("and does not start again", code == 1 and "another catalog has gone on" in said, (code, said))
        check("the second serves all", other.has("early", "after", "by-the-second") == ["early", "after", "by-the-second"])
        other.stop(signal.SIGKILL)
        code, found = other.lost_and_recovered()
        check("and is recovered whole", code == 0 and found["whole"], found)
        shutil.copy(other.catalog, host.dir.with_name("handed.sqlite"))
        host.restore(host.dir.with_name("handed.sqlite"))
        host.up()
        check("handed back, the first serves all", len(host.has("early", "after", "by-the-second")) == 3)
        host.stop()
    finally:
        other.stop(signal.SIGKILL)


def hidden(host: Host, place) -> None:
    """The store does not show the newest snapshots for a while."""
    before = set(host.blobs())
    host.session("hidden")
    chain = [name for name in host.blobs() if name not in before]
    kept = place / "hidden"
    kept.mkdir()
    data = host.blobs()
    body = max(chain, key=lambda name: len(data[name]))
    snapshots = [name for name in chain if name != body]
    for name in snapshots:
        shutil.move(name, kept)
    code, said = host.refuses()
    check("a catalog whose newest snapshot is gone is not served", code == 1 and "is not in the store" in said, (code, said))
    check("and one is told not to move it away", "do not move the catalog away" in said, said)
    copy = host.backup("whole.sqlite")
    code, found = host.lost_and_recovered()
    check("a recovery without it is in doubt, and says that the log has more",
          code == 1 and found["in_doubt"] and found["changes_in_log_after"] > 0, found)
    for name in snapshots:
        shutil.copy2(kept / name.rsplit("/", 1)[1], name)
    host.restore(copy)
    ran = host.run("recover", "--adopt")
    check("the catalog that was there is adopted", ran.returncode == 0, text_of(ran))
    host.up()
    check("and has all", host.has("early", "hidden") == ["early", "hidden"])
    host.stop()
    code, found = host.lost_and_recovered()
    check("also after another loss", code == 0 and found["in_doubt"], found)
    host.up()
    check("and has all again", host.has("early", "hidden") == ["early", "hidden"])
    host.stop()


def main() -> int:
    place = scratch("chain")
    host = Host(place / "vault")
    try:
        older(host)
        adopted(host)
        two_hosts(host, place)
        hidden(host, place)
    finally:
        host.stop(signal.SIGKILL)
    clean(place)
    return done()


if __name__ == "__main__":
    sys.exit(main())
