# The checks of both generations of rclone; RCLONE is the program, CLIENT its name. Sizes, ETags and times must be such
# that a sync converges.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

remote() {
    cat <<E
[$1]
type = s3
provider = Other
access_key_id = $2
secret_access_key = $3
endpoint = $ENDPOINT
region = $AWS_REGION
force_path_style = true
upload_cutoff = 8M
chunk_size = 8M
E
}
{
    remote owner "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY"
    remote wrong "$AWS_ACCESS_KEY_ID" "$WRONG_SECRET"
    for name in job stranger; do
        if other $name; then (load_env "$KLUIS_ENV_DIR/$name.env"; remote $name "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY"); fi
    done
} >"$W/rclone.conf"
R="$RCLONE --config $W/rclone.conf --retries 1 --low-level-retries 2 --cache-dir $W/cache"
U=owner:$BUCKET/$PREFIX

small() { $R copyto "$SMALL" $U/small; $R copyto $U/small "$W/small"; cmp "$SMALL" "$W/small"; }
empty() { $R copyto "$EMPTY" $U/empty; $R copyto $U/empty "$W/empty"; cmp "$EMPTY" "$W/empty"; }
large() { $R copyto "$LARGE" $U/large; $R copyto $U/large "$W/large"; cmp "$LARGE" "$W/large"; }
stream() { $R rcat $U/stream <"$LARGE"; $R cat $U/stream | cmp - "$LARGE"; }
range() { $R cat --offset 65530 --count 65550 $U/large >"$W/range"; slice "$LARGE" 65530 65550 | cmp - "$W/range"; }
list() { $R lsf -R --format sp $U >"$W/list"; grep -qx '41943040;large' "$W/list"; grep -qx '0;empty' "$W/list"; }
sync_twice() {
    tree "$W/tree"
    $R sync "$W/tree" $U/tree
    $R check "$W/tree" $U/tree
    $R check --download "$W/tree" $U/tree
    $R sync -v "$W/tree" $U/tree 2>&1 | grep 'There was nothing to transfer' >/dev/null
    touch "$W/tree/deeper/file-1" # only the time changes: rclone copies the object onto itself
    $R sync "$W/tree" $U/tree
    $R sync -v "$W/tree" $U/tree 2>&1 | grep 'There was nothing to transfer' >/dev/null
}
times() {
    cp "$SMALL" "$W/timed"
    touch -d '2020-02-02 02:02:02.123456789Z' "$W/timed"
    $R copyto "$W/timed" $U/timed
    TZ=UTC $R lsl $U/timed | grep '2020-02-02 02:02:02.123456789' >/dev/null
}
copy_move() { $R copyto $U/small $U/copy; $R moveto $U/copy $U/moved; $R cat $U/moved | cmp - "$SMALL"; }
wrong() { refused 'SignatureDoesNotMatch|403' $R lsf wrong:$BUCKET/$PREFIX; [ -z "$($R lsf $U/absent)" ]; }
others() {
    $R cat job:$BUCKET/$PREFIX/small | cmp - "$SMALL"
    refused "$E_DENIED" $R copyto --s3-no-check-bucket "$LARGE" job:$BUCKET/$PREFIX/by-job
    refused "$E_DENIED" $R cat stranger:$BUCKET/$PREFIX/small
}
purge() { $R purge $U; [ -z "$($R lsf -R $U 2>/dev/null)" ]; }

check "small object" small
check "empty object" empty
check "40 MiB in parts" large
check "from stdin and to stdout" stream
check "range" range
check "list" list
check "sync, check, check --download; the second sync moves nothing" sync_twice
check "modification time to the nanosecond" times
check "copy and move on the server" copy_move
check "wrong secret, absent key" wrong
if other job && other stranger; then check "the job cannot write, the stranger cannot read" others; fi
check "purge" purge
exit $failures
