#!/usr/bin/env bash
# s3fs-fuse: a file system with names, modes, links and renames over objects and their metadata.
CLIENT=s3fs_mount
. "$(dirname "$0")/lib.sh"
if ! command -v s3fs >/dev/null; then echo "SKIP s3fs_mount: not installed (tests/lab/install.sh debian)"; exit 0; fi
if [ ! -c /dev/fuse ]; then echo "SKIP s3fs_mount: no /dev/fuse here"; exit 0; fi
echo "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" >"$W/password"
chmod 600 "$W/password"
M=$W/mount D=$W/mount/$PREFIX
mkdir "$M"
trap 'fusermount3 -uzq "$M" || true' EXIT

mounted() {
    s3fs "$BUCKET" "$M" -o passwd_file="$W/password",url="$ENDPOINT",use_path_request_style,endpoint="$AWS_REGION",sigv4 \
        -o multipart_size=8,retries=1,enable_noobj_cache
    for _ in $(seq 100); do
        if mountpoint -q "$M"; then mkdir -p "$D"; return 0; fi
        sleep 0.1
    done
    return 1
}
unmounted() {
    fusermount3 -u "$M"
    for _ in $(seq 100); do
        if ! mountpoint -q "$M"; then return 0; fi
        sleep 0.1
    done
    return 1
}
written() { cp "$SMALL" "$D/small"; cp "$EMPTY" "$D/empty"; cp "$LARGE" "$D/large"; }
again() {
    unmounted
    mounted
    cmp "$SMALL" "$D/small"
    cmp "$EMPTY" "$D/empty"
    cmp "$LARGE" "$D/large"
    slice "$D/large" 65530 100 >"$W/got"
    slice "$LARGE" 65530 100 | cmp - "$W/got"
}
changed() {
    mv "$D/small" "$D/moved"
    cmp "$SMALL" "$D/moved"
    echo more >>"$D/moved"
    [ "$(stat -c %s "$D/moved")" = 5125 ]
    chmod 640 "$D/moved"
    [ "$(stat -c %a "$D/moved")" = 640 ]
    ln -s moved "$D/link"
    cmp "$D/link" "$D/moved"
    mkdir "$D/directory"
    [ "$(ls "$D" | tr '\n' ' ')" = "directory empty large link moved " ]
    rmdir "$D/directory"
}
renamed() { mv "$D/large" "$D/renamed"; cmp "$LARGE" "$D/renamed"; }
removed() { rm -r "$D"; [ ! -e "$D" ]; }

check "mount" mounted
check "write" written
check "after another mount all is there" again
check "rename, append, mode, link, directories" changed
check "rename 40 MiB, by copies of parts" renamed
check "remove all" removed
exit $failures
