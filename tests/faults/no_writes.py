"""From one moment on every write of the server fails (RLIMIT_FSIZE, lowered from outside), and later works again.

Needs no privilege and no mount. Journal, catalog and store refuse at once, as a disk does that went bad.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "lab")]
from steps import Books, log_whole, not_ready, refused, resumes  # noqa: E402
from vault import Vault, check, clean, done, scratch  # noqa: E402

NAME = "no write works"


def main() -> int:
    place = scratch("no-writes")
    vault = Vault(place / "vault")
    try:
        books = Books(vault.start())
        for _ in range(20):
            books.put()
        check(f"{NAME}: before it, all is well", len(books.held) == 20 and books.get().status == 200)
        for turn in ("once", "again"):
            vault.limit_files(0)
            refused(f"{NAME} ({turn}): a read", books.get(), books)
            refused(f"{NAME} ({turn}): a write", books.put(), books)
            refused(f"{NAME} ({turn}): a listing", books.client.request("GET", None, [("list-type", "2")]), books)
            not_ready(f"{NAME} ({turn})", vault)
            vault.limit_files(-1)
            resumes(f"{NAME} ({turn})", books)
        log_whole(NAME, vault, books)
    finally:
        vault.kill()
    clean(place)
    return done()


if __name__ == "__main__":
    sys.exit(main())
