#!/usr/bin/env bash
# s3cmd: its own signatures, resumed downloads, and MD5 comparisons that an opaque ETag must not break.
CLIENT=s3cmd
. "$(dirname "$0")/lib.sh"

config() {
    cat <<E
[default]
access_key = $AWS_ACCESS_KEY_ID
secret_key = $AWS_SECRET_ACCESS_KEY
host_base = $HOST
host_bucket = $HOST
use_https = $([ "${ENDPOINT%%:*}" = https ] && echo True || echo False)
bucket_location = $AWS_REGION
signature_v2 = False
multipart_chunk_size_mb = 8
progress_meter = False
max_retries = 1
E
}
config >"$W/owner.cfg"
for name in job stranger; do
    if other $name; then (load_env "$KLUIS_ENV_DIR/$name.env"; config >"$W/$name.cfg"); fi
done
# s3cmd prefers the environment's credential to its file's.
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_ENDPOINT_URL
S3CMD="$LAB_CACHE/clients/bin/python -W ignore $LAB_CACHE/clients/bin/s3cmd"
S="$S3CMD -c $W/owner.cfg" U=s3://$BUCKET/$PREFIX

small() { $S put "$SMALL" $U/small; $S get --force $U/small "$W/small"; cmp "$SMALL" "$W/small"; }
empty() { $S put "$EMPTY" $U/empty; $S get --force $U/empty "$W/empty"; cmp "$EMPTY" "$W/empty"; }
large() { $S put "$LARGE" $U/large; $S get --force $U/large "$W/large"; cmp "$LARGE" "$W/large"; }
resume() { slice "$LARGE" 0 10000000 >"$W/part"; $S get --continue $U/large "$W/part"; cmp "$LARGE" "$W/part"; }
list() { $S ls -r $U/ | grep -E ' 41943040 .*large$' >/dev/null; $S info $U/small | grep 'File size: *5120' >/dev/null; }
sync_both() {
    tree "$W/tree"
    $S sync "$W/tree/" $U/tree/
    mkdir "$W/tree-back"
    $S sync $U/tree/ "$W/tree-back/"
    diff -r "$W/tree" "$W/tree-back"
}
copy_move() { $S cp $U/small $U/copy; $S mv $U/copy $U/moved; $S get --force $U/moved "$W/moved"; cmp "$SMALL" "$W/moved"; }
wrong() { refused 'SignatureDoesNotMatch|403' $S --secret_key=$WRONG_SECRET ls $U/; refused '404|NoSuchKey|does not exist' $S get --force $U/absent "$W/absent"; }
others() {
    $S3CMD -c "$W/job.cfg" get --force $U/small "$W/by-job"
    cmp "$SMALL" "$W/by-job"
    refused "$E_DENIED" $S3CMD -c "$W/job.cfg" put "$SMALL" $U/by-job
    refused "$E_DENIED" $S3CMD -c "$W/stranger.cfg" get --force $U/small "$W/by-stranger"
}
remove() { $S rm -r --force $U/; [ -z "$($S ls -r $U/)" ]; }

check "small object" small
check "empty object" empty
check "40 MiB in parts" large
check "a download resumed" resume
check "list and information" list
check "sync both ways" sync_both
check "copy and move on the server" copy_move
check "wrong secret, absent key" wrong
if other job && other stranger; then check "the job cannot write, the stranger cannot read" others; fi
check "remove all" remove
exit $failures
