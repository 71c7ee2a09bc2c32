"""Three custodians, of whom two unseal: with age's own identities, a gateway that waits, wrong and swapped shares, a
kill, and a new sharing that leaves every blob as it was."""

import signal
import subprocess
import sys

from house import House, text_of
from vault import check, clean, done, scratch, sha256, until

PASSWORD = "a passphrase of cas"


def keygen(path) -> str:
    """An identity by age's own command; its recipient."""
    made = subprocess.run(["age-keygen", "-o", str(path)], capture_output=True, text=True, check=True)
    return made.stderr.split("Public key:")[1].strip()


class People:
    """Custodians with what opens their shares."""

    def __init__(self, place):
        self.place = place
        self.recipients = {name: keygen(place / f"{name}.txt") for name in ("ana", "bob", "dee")}
        self.word = place / "cas.word"
        self.word.write_text(PASSWORD + "\n")
        self.word.chmod(0o600)

    def options(self, needed: int, shares, names: str) -> list[str]:
        all_of = []
        for name in names.split():
            lock = self.recipients.get(name) or f"@{self.word}"
            all_of += ["--custodian", f"{name}={lock}"]
        return [*all_of, "--needed", str(needed), "--shares", str(shares)]

    def hand(self, house: House, name: str, shares, identity: str | None = None):
        words = ["unseal", "--share", str(shares / f"{name}.share")]
        if name == "cas" and not identity:
            return house.run(*words, extra={"KLUIS_PASSPHRASE": PASSWORD})
        return house.run(*words, "--identity", str(self.place / f"{identity or name}.txt"))

    def waiting(self, house: House) -> bool:
        return bool(until(40, lambda: house.run("unseal").returncode == 0, 0.05))

    def wait_for(self, house: House, shares, names: str, *words: str) -> int:
        """Runs a command that needs the keys, with these custodians."""
        process = house.begin(*words)
        self.waiting(house)
        for name in names.split():
            self.hand(house, name, shares)
        return process.wait(60)


def first_day(house: House, people: People, shares) -> None:
    root = (house.dir / "root.age").read_text()
    check("init shares the root and says who keeps it", house.made.returncode == 0 and "ana.share" in text_of(house.made),
          text_of(house.made))
    check("no secret is in the root's file, nor in what init said",
          "AGE-SECRET" not in root and "AGE-SECRET" not in text_of(house.made) and "KLUIS-SHARE" not in text_of(house.made))
    modes = {oct(p.stat().st_mode & 0o777) for p in [house.dir / "root.age", *shares.iterdir()]}
    check("its files are for their owner alone", modes == {"0o600"}, modes)
    doctor = house.run("doctor")
    check("the doctor names who opens the root, and opens nothing",
          doctor.returncode == 0 and "2 of 3 custodians open the root: ana, bob, cas" in text_of(doctor), text_of(doctor))
    nobody = house.run("unseal")
    check("nothing waits before something is started", nobody.returncode == 3, text_of(nobody))
    house.furnish(lambda *words: people.wait_for(house, shares, "ana bob", *words))


def sealed(house: House, people: People, shares, foreign) -> None:
    house.serve()
    people.waiting(house)
    status, page = house.page("/readyz")
    check("a sealed gateway is alive and not ready", house.page("/healthz")[0] == 200 and status == 503
          and "0 of 2" in page, page)
    check("and serves nobody", house.client().request("GET", "a").status == 0)
    other = people.hand(house, "ana", shares, identity="bob")
    check("a share does not open to another custodian's identity", other.returncode == 2, text_of(other))
    alien = people.hand(house, "ana", foreign)
    check("a share of another vault is refused", alien.returncode == 1 and "another sharing" in text_of(alien), text_of(alien))
    opened = subprocess.run(["age", "-d", "-i", str(people.place / "ana.txt"), str(shares / "ana.share")],
                            capture_output=True, check=True).stdout.decode()
    parts = opened.split(":")
    parts[2] = "2"
    head = ":".join(parts[:4])
    swapped = f"{head}:{sha256(head.encode())[:8]}\n"
    told = house.run("unseal", "--share", "-", stdin=swapped.encode())
    check("a share under another's number is refused by name",
          told.returncode == 1 and "custodian=bob" in text_of(told), text_of(told))
    slip = house.run("unseal", "--share", "-", stdin=opened.replace(parts[3][:8], "00000000").encode())
    check("a share with a slip in it is refused", slip.returncode == 1 and "damaged" in text_of(slip), text_of(slip))
    one = house.run("unseal", "--share", "-", stdin=opened.encode())
    check("a share that age opened elsewhere is taken", one.returncode == 0 and "1 of 2" in text_of(one), text_of(one))
    twice = people.hand(house, "ana", shares)
    check("the same share twice does not count", twice.returncode == 1 and "here already" in text_of(twice), text_of(twice))
    check("one of two opens nothing", "1 of 2" in house.page("/readyz")[1] and house.client().request("GET", "a").status == 0)
    last = people.hand(house, "cas", shares)
    check("the second share opens the vault", last.returncode == 0 and house.ready(), text_of(last))


def through_a_kill(house: House, people: People, shares) -> None:
    put = house.client().request("PUT", "a", body=b"a heartbeat")
    check("the vault serves", put.status == 200, put)
    house.stop(signal.SIGKILL)
    house.serve()
    check("after a kill it is sealed again", people.waiting(house) and house.page("/readyz")[0] == 503)
    people.hand(house, "cas", shares)
    people.hand(house, "bob", shares)
    check("and two others open it to the same data",
          house.ready() and house.client().request("GET", "a").body == b"a heartbeat")
    house.stop()


def anew(house: House, people: People, shares, later) -> None:
    before = house.blobs()
    code = people.wait_for(house, shares, "ana cas", "key", "change-root", "--to", str(house.dir / "new.age"),
                           *people.options(3, later, "ana bob cas dee"))
    check("the root is shared anew, three of four", code == 0, house.log.read_text()[-600:])
    check("no data was sealed again", all(house.blobs().get(name) == data for name, data in before.items()))
    old = house.begin("key", "inventory")
    people.waiting(house)
    for name in ("ana", "bob"):
        people.hand(house, name, shares)
    check("the old shares and the old file open nothing any more", old.wait(60) == 2, house.log.read_text()[-600:])
    house.edit("# identity = \"root.age\"", "identity = \"new.age\"")
    house.serve()
    people.waiting(house)
    stale = people.hand(house, "ana", shares)
    check("nor does an old share in a new sharing", stale.returncode == 1 and "shared anew" in text_of(stale), text_of(stale))
    for name in ("dee", "cas", "bob"):
        people.hand(house, name, later)
    check("three of the new ones do", house.ready() and house.client().request("GET", "a").body == b"a heartbeat")
    code = people.wait_for(house, later, "ana bob cas", "key", "inventory")
    check("a command beside the gateway asks for shares of its own", code == 0, house.log.read_text()[-600:])
    house.stop()


def bounded(house: House, people: People, later) -> None:
    house.serve()
    people.waiting(house)
    check("a signal ends a sealed gateway", house.stop() == 3, house.log.read_text()[-300:])
    house.serve()
    people.waiting(house)
    people.hand(house, "ana", later)
    for _ in range(20):
        house.run("unseal", "--share", "-", stdin=b"KLUIS-SHARE-1:guess\n")
    until(20, lambda: house.process.poll() is not None)
    check("too many refused shares end it, sealed", house.process.poll() == 1, house.log.read_text()[-300:])


def recorded(house: House, people: People, later) -> None:
    process = subprocess.Popen(
        [*house_command(house), "audit", "show", "--json", "--since", "2020-01-01"], env=house.environment,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    people.waiting(house)
    for name in ("ana", "bob", "cas"):
        people.hand(house, name, later)
    log = process.communicate(timeout=60)[0].decode()
    for text in ("share of ana taken, 1 of 2", "share of cas taken, 2 of 2: open", "not the share that was given to custodian=bob",
                 "root shared, 2 of 3: ana bob cas", "root shared, 3 of 4: ana bob cas dee"):
        check(f"the log has: {text}", text in log, log[-800:])
    everything = log + house.log.read_text()
    check("no share and no identity stands in any log", "KLUIS-SHARE-1:" not in everything and "AGE-SECRET" not in everything)


def house_command(house: House) -> list[str]:
    from vault import KLUIS
    return [str(KLUIS), "--config", str(house.dir / "kluis.toml")]


def main() -> int:
    place = scratch("custodians")
    people = People(place)
    shares, foreign, later = place / "shares", place / "foreign", place / "later"
    few = House(place / "few", *people.options(1, place / "none", "ana bob"))
    check("one that opens alone is no sharing", few.made.returncode == 2 and not (place / "few/kluis.toml").exists(),
          text_of(few.made))
    House(place / "other", *people.options(2, foreign, "ana bob cas"))
    house = House(place / "vault", *people.options(2, shares, "ana bob cas"))
    try:
        first_day(house, people, shares)
        sealed(house, people, shares, foreign)
        through_a_kill(house, people, shares)
        anew(house, people, shares, later)
        bounded(house, people, later)
        recorded(house, people, later)
    finally:
        house.stop(signal.SIGKILL)
    clean(place)
    return done()


if __name__ == "__main__":
    sys.exit(main())
