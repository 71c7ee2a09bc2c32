"""A root kept by a key on a PKCS#11 token (SoftHSM): made, opened after a kill, refused with a wrong PIN, another token, a key
that is gone or could leave, a module that is none; and no PIN is tried until it locks."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys

from house import House, text_of
from vault import check, clean, done, scratch

PIN, OFFICER = "746021", "91827364"


class Tokens:
    """SoftHSM with a directory of its own."""

    def __init__(self, place: pathlib.Path):
        self.dir = place
        (place / "tokens").mkdir(parents=True)
        (place / "softhsm2.conf").write_text(f"directories.tokendir = {place}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
        self.extra = {"SOFTHSM2_CONF": str(place / "softhsm2.conf")}
        found = sorted(pathlib.Path("/usr/lib").glob("**/libsofthsm2.so"))
        self.module = found[0].resolve()

    def tool(self, *words: str, program: str = "softhsm2-util") -> str:
        ran = subprocess.run([shutil.which(program), *words], env={"PATH": os.environ["PATH"]} | self.extra,
                             capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode == 0, (words, ran.stdout, ran.stderr)
        return ran.stdout

    def make(self, label: str) -> str:
        """A token; its serial number."""
        before = self.serials(label)
        self.tool("--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", OFFICER)
        # Slots have no order that lasts.
        return (self.serials(label) - before).pop()

    def serials(self, label: str) -> set[str]:
        return {part.split("Label:")[0].split()[0] for part in self.tool("--show-slots").split("Serial number:")[1:]
                if part.split("Label:")[1].split()[:1] == [label]}

    def keys(self, *words: str, label: str) -> str:
        return self.tool("--module", str(self.module), "--token-label", label, "--login", "--pin", PIN, *words, program="pkcs11-tool")


def secret(path: pathlib.Path, text: str) -> pathlib.Path:
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


def options(tokens: Tokens, label: str, pin: pathlib.Path, module=None) -> list[str]:
    return ["--pkcs11", "--pkcs11-module", str(module or tokens.module), "--pkcs11-label", label, "--pin-file", str(pin)]


def refused(house: House, title: str, code: int, *texts: str, extra: dict[str, str] | None = None) -> None:
    told = house.run("key", "inventory", extra=extra)
    check(title, told.returncode == code and all(text in text_of(told) for text in texts)
          and "AGE-SECRET" not in text_of(told) and PIN not in text_of(told), f"{told.returncode} {text_of(told)}")


def first_day(house: House, tokens: Tokens) -> None:
    check("init has the root kept by the token", house.made.returncode == 0, text_of(house.made))
    file = (house.dir / "root.age").read_text()
    check("the file holds what the token's key made of it", "[pkcs11]" in file and "AGE-SECRET" not in file)
    shown = tokens.keys("--list-objects", label="kluis")
    check("the key was made on the token, and never was anywhere else",
          "kluis-root" in shown and "never extractable" in shown and "sensitive" in shown, shown)
    house.furnish(house.run)
    house.serve()
    check("the gateway opens by itself", house.ready(), house.log.read_text()[-600:])
    check("and serves", house.client().request("PUT", "a", body=b"a heartbeat").status == 200)
    maps = pathlib.Path(f"/proc/{house.process.pid}/maps").read_text()
    check("the token's library is not in the process that holds the keys", "softhsm" not in maps and "kluis" in maps)
    away = tokens.dir / "away"
    (tokens.dir / "tokens").rename(away)
    check("what is open stays open while the token is away", house.client().request("GET", "a").body == b"a heartbeat")
    house.stop(signal.SIGKILL)
    (tokens.dir / "tokens").mkdir()
    refused(house, "a token that is away opens nothing", 3, "no such token")
    shutil.rmtree(tokens.dir / "tokens")
    away.rename(tokens.dir / "tokens")
    house.serve()
    check("back again, after a kill, it opens to the same data",
          house.ready() and house.client().request("GET", "a").body == b"a heartbeat")
    house.stop()
    doctor = house.run("doctor")
    check("the doctor opens the ring through the token", doctor.returncode == 0 and "opens the key ring" in text_of(doctor),
          text_of(doctor))


def pins(house: House, pin: pathlib.Path) -> None:
    tries = house.dir / "root.age.tries"
    check("no count of tries is left by right PINs", not tries.exists())
    secret(pin, "000000")
    refused(house, "a wrong PIN opens nothing", 1, "the PIN is wrong")
    refused(house, "nor a second time", 1, "the PIN is wrong")
    calls = {"LD_DEBUG": "files", "LD_DEBUG_OUTPUT": str(house.dir.parent / "loaded")}
    refused(house, "the third time it is not tried", 1, "not tried again without a person", extra=calls)
    loaded = [file.read_text() for file in house.dir.parent.glob("loaded.*")]
    check("and the token hears nothing of it", loaded and not any("softhsm" in text for text in loaded))
    secret(pin, PIN)
    refused(house, "a PIN in the file is not tried before somebody says so", 1, "root.age.tries")
    refused(house, "nor one in the environment", 1, "root.age.tries", extra={"KLUIS_PIN": PIN})
    tries.unlink()
    check("then it is", house.run("key", "inventory").returncode == 0 and not tries.exists())
    pin.chmod(0o644)
    refused(house, "a PIN that everybody can read is not used", 2, "others can read")
    pin.chmod(0o600)
    pin.unlink()
    refused(house, "without a PIN nothing is asked of the token", 2, "cannot read the secret file")
    refused(house, "one from the environment goes before the file", 0, "root", extra={"KLUIS_PIN": PIN})
    secret(pin, PIN)


def hostile(house: House, tokens: Tokens, place: pathlib.Path, pin: pathlib.Path) -> None:
    root, config = house.dir / "root.age", house.dir / "kluis.toml"
    text, file = config.read_text(), root.read_text()
    fake = place / "module.so"
    for title, make, told in [
        ("a module that is no library", lambda: fake.write_text("none"), "not a PKCS#11 module"),
        ("a library that is no module", lambda: shutil.copy(libc(), fake), "not a PKCS#11 module"),
        ("a module that others can write", lambda: (shutil.copy(tokens.module, fake), fake.chmod(0o666)), "others can write"),
        ("a module that is not there", fake.unlink, "not a PKCS#11 module"),
    ]:
        make()
        config.write_text(text.replace(str(tokens.module), str(fake)))
        refused(house, f"{title} opens nothing", 2, told)
    config.write_text(text.replace('token = "kluis"', 'token = "nothing"'))
    refused(house, "another label finds no token", 3, "no such token")
    other = tokens.make("other")
    config.write_text(text.replace('token = "kluis"', 'token = "other"'))
    refused(house, "another token has no such key", 2, "no such key")
    elsewhere = House(place / "elsewhere", *options(tokens, "other", pin), extra=tokens.extra)
    check("another vault on that token", elsewhere.made.returncode == 0, text_of(elsewhere.made))
    refused(house, "another token's key of the same label opens nothing", 1, "did not wrap this root")
    root.write_text((elsewhere.dir / "root.age").read_text())
    refused(house, "nor does another vault's root open this ring", 2, "does not open this key ring")
    wrapped = file.split('wrapped = "')[1].split('"')[0]
    flipped = wrapped[:40] + ("A" if wrapped[40] != "A" else "B") + wrapped[41:]
    config.write_text(text)
    for title, bad in [("flipped", flipped), ("cut", wrapped[:8]), ("empty nonce", "AAAA"), ("no text", "!!!!")]:
        root.write_text(file.replace(wrapped, bad))
        refused(house, f"what it wrapped, {title}, opens nothing", 1, "did not wrap this root")
    mine, theirs = (text_of_recipient(one) for one in (file, (elsewhere.dir / "root.age").read_text()))
    root.write_text(file.replace(mine, theirs))
    refused(house, "nor under another public half", 1, "did not wrap this root")
    root.write_text(file)
    config.write_text(text.replace('root = "pkcs11"', 'root = "file"'))
    refused(house, "what keeps the root is not lowered by a setting", 2, "is of kind `pkcs11`")
    twin = tokens.make("kluis")
    config.write_text(text)
    refused(house, "two tokens of one label are told apart by nobody", 2, "several tokens have this label")
    config.write_text(text.replace('token = "kluis"', f'token = "kluis"\nserial = "{twin}"'))
    refused(house, "but by their serial numbers", 2, "no such key")
    tokens.tool("--delete-token", "--serial", twin)
    tokens.tool("--delete-token", "--serial", other)
    config.write_text(text)
    check("the vault is as it was", house.run("key", "inventory").returncode == 0)


def text_of_recipient(file: str) -> str:
    return file.split('recipient = "')[1].split('"')[0]


def libc() -> str:
    maps = pathlib.Path("/proc/self/maps").read_text()
    return next(line.split()[-1] for line in maps.splitlines() if "libc.so" in line)


def exposed(tokens: Tokens, place: pathlib.Path, pin: pathlib.Path) -> None:
    """A key that somebody put there, and can take away again."""
    tokens.make("open")
    tokens.keys("--keygen", "--key-type", "AES:32", "--label", "kluis-root", "--extractable", label="open")
    made = House(place / "open", *options(tokens, "open", pin), extra=tokens.extra)
    check("a key that can leave its token keeps no root", made.made.returncode == 1 and "stays on its token" in text_of(made.made)
          and not (made.dir / "kluis.toml").exists(), text_of(made.made))
    tokens.make("short")
    tokens.keys("--keygen", "--key-type", "AES:16", "--label", "kluis-root", "--sensitive", label="short")
    made = House(place / "short", *options(tokens, "short", pin), extra=tokens.extra)
    check("nor does one of 128 bits", made.made.returncode == 1 and "AES-256" in text_of(made.made), text_of(made.made))


def moving(house: House, tokens: Tokens) -> None:
    before = house.blobs()
    moved = house.run("key", "change-root", "--to", str(house.dir / "plain.age"))
    check("the root moves from the token to a file", moved.returncode == 0 and 'keys.root` to "file"' in text_of(moved), text_of(moved))
    refused(house, "and the token opens the ring no more", 2, "does not open this key ring")
    house.edit('root = "pkcs11"', 'root = "file"\nidentity = "plain.age"')
    back = house.run("key", "change-root", "--to", str(house.dir / "back.age"), "--pkcs11")
    check("and back to the token", back.returncode == 0, text_of(back))
    house.edit('root = "file"\nidentity = "plain.age"', 'root = "pkcs11"\nidentity = "back.age"')
    rename = (house.dir / "data" / "catalog.db")
    gone = [rename.with_name(name) for name in os.listdir(rename.parent) if name.startswith("catalog")]
    for file in gone:
        file.unlink()
    found = house.run("recover")
    check("a lost catalog is rebuilt with the token's root", found.returncode == 0, text_of(found))
    house.serve()
    check("and serves the same bytes, none of which was sealed again",
          house.ready() and house.client().request("GET", "a").body == b"a heartbeat"
          and all(house.blobs().get(name) == body for name, body in before.items() if "/blobs/" in name))
    house.stop()
    tokens.keys("--delete-object", "--type", "secrkey", "--label", "kluis-root", label="kluis")
    refused(house, "a key that was deleted on the token opens nothing", 2, "no such key")


def main() -> int:
    place = scratch("token")
    tokens = Tokens(place / "hsm")
    pin = secret(place / "pin", PIN)
    house = None
    try:
        none = House(place / "none", *options(tokens, "kluis", pin), extra=tokens.extra)
        check("without its token no vault is made", none.made.returncode == 3 and not (none.dir / "kluis.toml").exists(),
              text_of(none.made))
        tokens.make("kluis")
        house = House(place / "vault", *options(tokens, "kluis", pin), extra=tokens.extra)
        first_day(house, tokens)
        pins(house, pin)
        exposed(tokens, place, pin)
        hostile(house, tokens, place, pin)
        moving(house, tokens)
        logs = house.log.read_text()
        check("the PIN is in no log", PIN not in logs and "000000" not in logs)
    finally:
        if house:
            house.stop(signal.SIGKILL)
    clean(place)
    return done()


if __name__ == "__main__":
    sys.exit(main())
