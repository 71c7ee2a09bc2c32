#!/usr/bin/env bash
# s5cmd: many requests at once, parts in parallel, batch deletes.
CLIENT=s5cmd
. "$(dirname "$0")/lib.sh"
export S3_ENDPOINT_URL=$ENDPOINT
unset AWS_ENDPOINT_URL
S="$LAB_CACHE/data/bin/s5cmd --retry-count 1" U=s3://$BUCKET/$PREFIX

small() { $S cp "$SMALL" $U/small; $S cp $U/small "$W/small"; cmp "$SMALL" "$W/small"; }
empty() { $S cp "$EMPTY" $U/empty; $S cp $U/empty "$W/empty"; cmp "$EMPTY" "$W/empty"; }
large() { $S cp -p 8 -c 4 "$LARGE" $U/large; $S cp -p 8 -c 4 $U/large "$W/large"; cmp "$LARGE" "$W/large"; }
many() {
    mkdir "$W/many"
    for i in $(seq 300); do head -c $((i * 97)) "$LARGE" >"$W/many/file-$i"; done
    # Old, since what is younger than the object is sent again, and an object's time has no fraction.
    find "$W/many" -type f -exec touch -d '2024-01-01 10:00:00' {} +
    $S cp "$W/many/" $U/many/
    [ "$($S ls "$U/many/*" | wc -l)" = 300 ]
    mkdir "$W/many-back"
    $S cp "$U/many/*" "$W/many-back/"
    diff -r "$W/many" "$W/many-back"
}
sync_twice() {
    $S sync --delete "$W/many/" $U/many/ >"$W/moved"
    [ ! -s "$W/moved" ]
    rm "$W/many/file-2"
    head -c 11 "$LARGE" >"$W/many/file-1"
    [ "$($S sync --delete "$W/many/" $U/many/ | wc -l)" = 2 ] # one sent, one removed
}
copy_move() { $S cp $U/small $U/copy; $S mv $U/copy $U/moved; $S cat $U/moved | cmp - "$SMALL"; }
wrong() {
    refused 'SignatureDoesNotMatch|403' env AWS_SECRET_ACCESS_KEY=$WRONG_SECRET $S ls "$U/*"
    refused '404|NoSuchKey|not found' $S cat $U/absent
}
others() {
    # shellcheck disable=SC2016
    as job sh -c "unset AWS_ENDPOINT_URL; $S cat $U/small" | cmp - "$SMALL"
    refused "$E_DENIED" as job $S cp "$SMALL" $U/by-job
    refused "$E_DENIED" as stranger $S cat $U/small
}
remove() { $S rm "$U/*" >"$W/removed"; [ "$(wc -l <"$W/removed")" -ge 302 ]; refused 'no object found' $S ls "$U/*"; }

check "small object" small
check "empty object" empty
check "40 MiB in parallel parts" large
check "300 files up and down" many
check "a second sync moves nothing, a third what changed" sync_twice
check "copy and move on the server" copy_move
check "wrong secret, absent key" wrong
if other job && other stranger; then check "the job cannot write, the stranger cannot read" others; fi
check "remove all by a pattern" remove
exit $failures
