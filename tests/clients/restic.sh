#!/usr/bin/env bash
# restic: a repository of packs over minio-go, verified by reading all of it.
CLIENT=restic
. "$(dirname "$0")/lib.sh"
if ! command -v restic >/dev/null; then echo "SKIP restic: not installed (tests/lab/install.sh debian)"; exit 0; fi
export RESTIC_REPOSITORY=s3:$ENDPOINT/$BUCKET/$PREFIX RESTIC_PASSWORD=of-a-test
R="restic --no-cache -o s3.bucket-lookup=path"

backup_twice() {
    $R init
    tree "$W/tree"
    cp "$LARGE" "$W/tree/large"
    $R backup "$W/tree"
    echo more >"$W/tree/new"
    $R backup "$W/tree"
}
verify() { $R check --read-data; }
restore() { $R restore latest --target "$W/back"; diff -r "$W/tree" "$W/back/$W/tree"; }
prune() { $R forget --keep-last 1 --prune; [ "$($R snapshots --json | grep -o '"short_id"' | wc -l)" = 1 ]; $R check; }
wrong() {
    refused "$E_DENIED|signature" env AWS_SECRET_ACCESS_KEY=$WRONG_SECRET $R snapshots
    refused 'wrong password' env RESTIC_PASSWORD=other $R snapshots
}
others() { as job $R --no-lock snapshots; refused "$E_DENIED" as stranger $R --no-lock snapshots; }

check "a repository, and two backups" backup_twice
check "check --read-data" verify
check "restore" restore
check "forget and prune" prune
check "wrong secret, wrong password" wrong
if other job && other stranger; then check "the job reads, the stranger cannot" others; fi
exit $failures
