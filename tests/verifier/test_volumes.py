#!/usr/bin/env python3
"""A volume of the log read by pyarrow, which knows nothing of Kluis: with the master key, by Parquet's own key
tools, and with the file's key alone. `docs/audit.md`, "Volumes", is all that it was written from."""

import base64
import json
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VOLUME = Path(__file__).parents[1] / "vectors" / "volume" / "volume.parquet"
MASTER = bytes([7]) * 32
NAME = "kluis-log-files"


def unwrap(wrapped, name, master):
    sealed = base64.b64decode(wrapped)
    return AESGCM(master).decrypt(sealed[:12], sealed[12:], name.encode())


def kms(master):
    class Kms(pe.KmsClient):
        def __init__(self, config):
            super().__init__()

        def wrap_key(self, key, name):
            raise NotImplementedError

        def unwrap_key(self, wrapped, name):
            return unwrap(wrapped, name, master)

    return Kms


def by_key_tools(master):
    properties = pe.CryptoFactory(kms(master)).file_decryption_properties(pe.KmsConnectionConfig())
    return pq.ParquetFile(VOLUME, decryption_properties=properties).read()


def material():
    """The key material stands in the clear before the encrypted footer."""
    raw = VOLUME.read_bytes()
    at = raw.rindex(b'{"keyMaterialType"')
    return json.JSONDecoder().raw_decode(raw[at:].decode("latin-1"))[0]


def by_the_files_key(key):
    return pq.ParquetFile(VOLUME, decryption_properties=pe.create_decryption_properties(footer_key=key)).read()


def refused(read, *args):
    try:
        read(*args)
    except (OSError, ValueError, InvalidTag):
        return True
    return False


def check(title, good):
    print(("PASS " if good else "FAIL ") + title)
    return good


def main():
    table = by_key_tools(MASTER)
    rows = table.to_pylist()
    found = material()
    key = unwrap(found["wrappedDEK"], found["masterKeyID"], MASTER)
    meta = json.loads(table.schema.metadata[b"kluis.volume"]) if table.schema.metadata else {}
    ended = [row for row in rows if row["kind"] == "request" and row["end_seq"] is not None]
    good = [
        check("volumes: Parquet's key tools open one with the master key", len(rows) == 9),
        check("volumes: the file's key alone opens it too", by_the_files_key(key).to_pylist() == rows),
        check("volumes: it says what it is", (meta.get("lane"), meta.get("first"), meta.get("end")) == ("gw", 10, 20)),
        check("volumes: its key is named as the page says", found["masterKeyID"] == NAME),
        check("volumes: who read what", [(row["principal"], row["key"], row["bytes"]) for row in ended]
              == [("j.devries", "records/00001.dat", 65_536)]),
        check("volumes: a refusal with its reason", [row["reason"] for row in rows if row["outcome"] == "refused"]
              == ["no grant"]),
        check("volumes: another master key opens nothing", refused(by_key_tools, bytes(32))),
        check("volumes: another file's key opens nothing", refused(by_the_files_key, bytes(32))),
        check("volumes: no key opens nothing", refused(pq.read_table, VOLUME)),
    ]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
