#!/usr/bin/env bash
# Kills what replaces and destroys keys, with -9: rotation of a dataset's key, erasure of an object and of a dataset, a change
# of the root; at each of its durable steps, which strace finds and injects the kill at, and under load at random moments.
#
#   KLUIS_BIN=… tests/keys/run.sh      KLUIS_SEED=N repeats the choices of a run
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/../lab/common.sh"
. "$HERE/../lab/suite.sh"
"$HERE/../lab/install.sh" strace

part 400 "$HERE/steps.py"
part 120 "$HERE/moments.py"
part 60 "$HERE/yesterday.py"
part 60 "$HERE/deleted.py"
finish
