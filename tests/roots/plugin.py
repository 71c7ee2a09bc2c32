"""A root kept by an age plugin: made, opened after a kill, with a PIN and without; and a plugin that hangs, floods, dies, lies
or is not there opens nothing, in bounded time, and leaves nothing running."""

import pathlib
import signal
import subprocess
import sys
import time

import device
from house import House, text_of
from vault import check, clean, done, scratch, until

BOUND_SECONDS = 30


def secret(path: pathlib.Path, text: str) -> pathlib.Path:
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


def refused(house: House, title: str, code: int, *texts: str, extra: dict[str, str] | None = None) -> None:
    begun = time.monotonic()
    told = house.run("key", "inventory", extra=extra)
    check(title, told.returncode == code and all(text in text_of(told) for text in texts)
          and "AGE-SECRET" not in text_of(told) and "\x1b" not in text_of(told)
          and time.monotonic() - begun < BOUND_SECONDS, f"{told.returncode} {text_of(told)}")


def running(program: pathlib.Path) -> list[str]:
    """Processes of the plugin that are not dead."""
    found = []
    for file in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(program).encode() in file.read_bytes():
                found.append(file.parent.name)
        except OSError:
            continue
    return found


def hostile(house: House, place: pathlib.Path) -> None:
    mode, program = place / "mode", place / f"age-plugin-{device.NAME}"
    house.edit("# wait = \"1m\"", "wait = \"3s\"")
    for what, code, told in [("hang", 3, "did not answer"), ("flood", 3, ""), ("die", 3, "did not do it"),
                             ("garbage", 3, "did not do it"), ("error", 3, "did not do it"), ("other", 3, "did not do it")]:
        mode.write_text(what)
        refused(house, f"a plugin that would {what} opens nothing, in bounded time", code, told)
        # It is killed by then; that the system has buried it may take a moment on a busy machine.
        gone = until(5, lambda: not running(program))
        check(f"and one that would {what} is not left running", gone, running(program))
    mode.write_text("ok")
    key = (place / "device").read_bytes()
    (place / "device").write_bytes(bytes(32))
    refused(house, "another device opens nothing", 3, "did not do it")
    (place / "device").write_bytes(key)
    away = program.rename(place / "away")
    refused(house, "a plugin that is not there opens nothing", 2, f"name=age-plugin-{device.NAME}")
    away.rename(program)
    root = house.dir / "root.age"
    file = root.read_text()
    wrapped = file.split('wrapped = "')[1].split('"')[0]
    for title, bad in [("cut", wrapped[:40]), ("flipped", wrapped[:-10] + "AAAAAA" + wrapped[-4:]), ("none", "AAAA")]:
        root.write_text(file.replace(wrapped, bad))
        refused(house, f"what it wrapped, {title}, opens nothing", 3, "did not do it")
    foreign = subprocess.run(["age", "-e", "-i", str(place / "identity.txt")], input=b"AGE-SECRET-KEY-1NONE", capture_output=True,
                             env={"PATH": f"{place}:/usr/bin:/bin"}, check=False)
    check("age's own command encrypts to the same plugin", foreign.returncode == 0, foreign.stderr)
    import base64
    root.write_text(file.replace(wrapped, base64.b64encode(foreign.stdout).decode()))
    refused(house, "and what is no root that it opened is refused", 1, "something else than this root")
    root.write_text(file)
    opened = subprocess.run(["age", "-d", "-i", str(place / "identity.txt")], input=base64.b64decode(wrapped), capture_output=True,
                            env={"PATH": f"{place}:/usr/bin:/bin"}, check=False)
    check("age's own command opens the root with the plugin, as a way out", opened.stdout.startswith(b"AGE-SECRET-KEY-1"), opened.stderr)


def pins(house: House, place: pathlib.Path) -> None:
    (place / "mode").write_text("pin")
    refused(house, "a plugin that wants a PIN hears none that is not there", 2, "a PIN is needed")
    for title in ("a wrong PIN opens nothing", "nor a second time"):
        refused(house, title, 1, "the PIN is wrong", extra={"KLUIS_PIN": "9999"})
    calls = (place / "calls").read_text()
    refused(house, "the third time the plugin is not asked", 1, "not tried again", extra={"KLUIS_PIN": "9999"})
    check("and it was not", (place / "calls").read_text() == calls)
    (house.dir / "root.age.tries").unlink()
    refused(house, "the right one opens it", 0, "root", extra={"KLUIS_PIN": device.PIN.decode()})
    (place / "mode").write_text("ok")


def hybrid(place: pathlib.Path, options: list[str], plugin: pathlib.Path) -> None:
    """A recipient of ML-KEM-768 and P-256 that this device is not: the curve's generator, and an all-zero lattice key."""
    point = bytes.fromhex("046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ece"
                          "cbb6406837bf51f5")
    recipient = device.bech32("age1tagpq", bytes(1184) + point)
    made = House(place / "hybrid", *options, "--plugin-recipient", recipient)
    calls = (plugin / "calls").read_text()
    check("a root is encrypted to a hybrid recipient", "opens mlkem768p256tag" in calls, (calls[-200:], text_of(made.made)))
    check("and one that its device does not open makes no vault", made.made.returncode == 3 and not (made.dir / "kluis.toml").exists()
          and not (made.dir / "root.age").exists(), text_of(made.made))
    wrong = House(place / "wrong", *options, "--plugin-recipient", "age1none")
    check("what is no recipient is refused", wrong.made.returncode == 2 and "no age recipient" in text_of(wrong.made), text_of(wrong.made))


def main() -> int:
    place = scratch("plugin")
    house = None
    try:
        plugin = place / "plugin"
        identity = secret(plugin.parent / "identity", device.install(plugin))
        (plugin / "identity.txt").write_text(identity.read_text())
        options = ["--plugin", "--plugin-identity", str(identity), "--plugin-dir", str(plugin)]
        house = House(place / "vault", *options)
        check("init has the root kept by the plugin", house.made.returncode == 0, text_of(house.made))
        check("its message is shown, without what moves a terminal", "touch the [31mdevice" in text_of(house.made), text_of(house.made))
        check("the file holds no root", "AGE-SECRET" not in (house.dir / "root.age").read_text())
        house.furnish(house.run)
        house.serve()
        check("the gateway opens by itself", house.ready(), house.log.read_text()[-600:])
        check("and serves", house.client().request("PUT", "a", body=b"a heartbeat").status == 200)
        house.stop(signal.SIGKILL)
        house.serve()
        check("after a kill it opens to the same data", house.ready() and house.client().request("GET", "a").body == b"a heartbeat")
        house.stop()
        doctor = house.run("doctor")
        check("the doctor opens the ring through the plugin", doctor.returncode == 0 and "opens the key ring" in text_of(doctor),
              text_of(doctor))
        identity.chmod(0o644)
        doctor = house.run("doctor")
        check("and names an identity that everybody can read", doctor.returncode == 1 and "every user can read it" in text_of(doctor),
              text_of(doctor))
        identity.chmod(0o600)
        hybrid(place, options, plugin)
        hostile(house, plugin)
        pins(house, plugin)
        moved = house.run("key", "change-root", "--to", str(house.dir / "plain.age"))
        check("the root moves from the plugin to a file", moved.returncode == 0, text_of(moved))
        house.edit('root = "plugin"', 'root = "file"\nidentity = "plain.age"')
        back = house.run("key", "change-root", "--to", str(house.dir / "back.age"), "--plugin")
        check("and back to the plugin", back.returncode == 0, text_of(back))
    finally:
        if house:
            house.stop(signal.SIGKILL)
    clean(place)
    return done()


if __name__ == "__main__":
    sys.exit(main())
