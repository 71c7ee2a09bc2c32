# What the shell clients share. Sourced after CLIENT is set; the owner's identity is in the environment.
set -euo pipefail
. "$LAB_DIR/common.sh"
load_env "$KLUIS_ENV_DIR/owner.env"
ENDPOINT=$AWS_ENDPOINT_URL BUCKET=$KLUIS_BUCKET
HOST=${ENDPOINT#*://}
PREFIX=clients/$CLIENT-$$-$(date +%N)
SMALL=$KLUIS_SAMPLES/small.bin LARGE=$KLUIS_SAMPLES/large.bin EMPTY=$KLUIS_SAMPLES/empty.bin
W=$KLUIS_SCRATCH
WRONG_SECRET=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
failures=0

# check NAME FUNCTION: runs FUNCTION so that its first failing command ends it, and says how it went.
check() {
    local name=$1 rc=0
    shift
    set +e
    (set -e; "$@") >"$W/check.log" 2>&1
    rc=$?
    set -e
    if [ $rc = 0 ]; then
        echo "PASS $CLIENT: $name"
    else
        failures=$((failures + 1))
        echo "FAIL $CLIENT: $name: ended with $rc: $(tail -c 300 "$W/check.log" | tr '\n' ' ')"
    fi
}

# refused WORDS COMMAND…: COMMAND must fail, with an extended regular expression WORDS in what it prints.
refused() {
    local words=$1
    shift
    if "$@" >"$W/refused.log" 2>&1; then
        echo "was not refused: $*"
        return 1
    fi
    grep -qE "$words" "$W/refused.log" || { echo "refused with other words:"; cat "$W/refused.log"; return 1; }
}

# slice FILE OFFSET LENGTH
slice() { dd if="$1" iflag=skip_bytes,count_bytes,fullblock bs=64K skip="$2" count="$3" status=none; }

# tree DIR: eight small files in two levels, with a name that needs encoding. They are old, since
# aws-cli sends a file again when it is newer than the object, whose time has no fraction.
tree() {
    mkdir -p "$1/deeper"
    for i in 1 2 3 4 5 6 7; do head -c $((i * 1000)) "$LARGE" >"$1/deeper/file-$i"; done
    head -c 70000 "$LARGE" >"$1/sp ace é+%.bin"
    find "$1" -type f -exec touch -d '2024-01-01 10:00:00' {} +
}

# other NAME: is there such a user beside the owner?
other() { [ -f "$KLUIS_ENV_DIR/$1.env" ]; }
# as NAME COMMAND…: COMMAND with that user's credential in the environment.
as() { (load_env "$KLUIS_ENV_DIR/$1.env"; shift; "$@"); }
E_DENIED='403|AccessDenied|Forbidden|Access Denied'
