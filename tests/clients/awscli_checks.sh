# The checks of both generations of aws-cli; AWS is the program, CLIENT its name.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
export AWS_CONFIG_FILE=$W/config AWS_MAX_ATTEMPTS=2
printf '[default]\ns3 =\n  addressing_style = path\n  multipart_chunksize = 8MB\n' >"$AWS_CONFIG_FILE"
A="$AWS --endpoint-url $ENDPOINT" U=s3://$BUCKET/$PREFIX

small() { $A s3 cp --no-progress "$SMALL" $U/small; $A s3 cp --no-progress $U/small "$W/small"; cmp "$SMALL" "$W/small"; }
empty() { $A s3 cp --no-progress "$EMPTY" $U/empty; $A s3 cp --no-progress $U/empty "$W/empty"; cmp "$EMPTY" "$W/empty"; }
large() { $A s3 cp --no-progress "$LARGE" $U/large; $A s3 cp --no-progress $U/large "$W/large"; cmp "$LARGE" "$W/large"; }
stream() { $A s3 cp --no-progress - $U/stream <"$LARGE"; $A s3 cp --no-progress $U/stream - | cmp - "$LARGE"; }
range() {
    $A s3api get-object --bucket "$BUCKET" --key "$PREFIX/large" --range bytes=65530-131079 "$W/range"
    slice "$LARGE" 65530 65550 | cmp - "$W/range"
}
list() {
    $A s3 ls --recursive $U/ >"$W/list"
    grep -qE ' 41943040 .*large$' "$W/list"
    grep -qE ' 0 .*empty$' "$W/list"
    $A s3 ls $U/ | grep small >/dev/null
}
sync_both() {
    tree "$W/tree"
    $A s3 sync --no-progress "$W/tree" $U/tree
    $A s3 sync --no-progress $U/tree "$W/tree-back"
    diff -r "$W/tree" "$W/tree-back"
    [ -z "$($A s3 sync --no-progress "$W/tree" $U/tree)" ]
}
copy_move() { $A s3 cp --no-progress $U/small $U/copy; $A s3 mv --no-progress $U/copy $U/moved; $A s3 cp --no-progress $U/moved - | cmp - "$SMALL"; }
metadata() {
    $A s3api put-object --bucket "$BUCKET" --key "$PREFIX/meta" --body "$SMALL" --metadata colour=blue >"$W/put"
    $A s3api head-object --bucket "$BUCKET" --key "$PREFIX/meta" >"$W/head"
    grep -q '"colour": "blue"' "$W/head"
    [ "$(grep -o '"ETag": .*[^,]' "$W/put")" = "$(grep -o '"ETag": .*[^,]' "$W/head")" ]
}
presigned() { curl -fsS "$($A s3 presign $U/small)" | cmp - "$SMALL"; }
wrong() {
    refused 'SignatureDoesNotMatch|403' env AWS_SECRET_ACCESS_KEY=$WRONG_SECRET $A s3 ls $U/
    refused '404' $A s3api head-object --bucket "$BUCKET" --key "$PREFIX/absent"
}
others() {
    as job $A s3 cp --no-progress $U/small - | cmp - "$SMALL"
    refused "$E_DENIED" as job $A s3 cp --no-progress "$SMALL" $U/by-job
    refused "$E_DENIED" as job $A s3 rm $U/small
    refused "$E_DENIED" as stranger $A s3 cp --no-progress $U/small -
    refused "$E_DENIED" as stranger $A s3 ls $U/
}
versions() {
    local bucket=versions-$$-$RANDOM first second
    $A s3api create-bucket --bucket "$bucket" --create-bucket-configuration "LocationConstraint=$AWS_REGION"
    $A s3api put-bucket-versioning --bucket "$bucket" --versioning-configuration Status=Enabled
    [ "$($A s3api get-bucket-versioning --bucket "$bucket" --query Status --output text)" = Enabled ]
    first=$($A s3api put-object --bucket "$bucket" --key key --body "$SMALL" --query VersionId --output text)
    second=$($A s3api put-object --bucket "$bucket" --key key --body "$EMPTY" --tagging colour=blue --query VersionId --output text)
    $A s3api get-object --bucket "$bucket" --key key --version-id "$first" "$W/first"
    cmp "$SMALL" "$W/first"
    [ "$($A s3api get-object-tagging --bucket "$bucket" --key key --query 'TagSet[0].Value' --output text)" = blue ]
    $A s3api delete-object --bucket "$bucket" --key key
    refused '404' $A s3api head-object --bucket "$bucket" --key key
    $A s3api list-object-versions --bucket "$bucket" --query 'Versions[].VersionId' --output text | tr '\t' '\n' >"$W/versions"
    printf '%s\n' "$second" "$first" | cmp - "$W/versions"
    refused 'BucketNotEmpty' $A s3api delete-bucket --bucket "$bucket"
    for version in $($A s3api list-object-versions --bucket "$bucket" --query '[Versions,DeleteMarkers][][].VersionId' --output text); do
        $A s3api delete-object --bucket "$bucket" --key key --version-id "$version"
    done
    $A s3api delete-bucket --bucket "$bucket"
}
remove() { $A s3 rm --recursive $U/; [ -z "$($A s3 ls --recursive $U/)" ]; }

check "small object" small
check "empty object" empty
check "40 MiB in parts" large
check "from stdin and to stdout" stream
check "range" range
check "list" list
check "sync both ways; the second moves nothing" sync_both
check "copy and move on the server" copy_move
check "metadata, and the same ETag in PUT and HEAD" metadata
check "presigned URL" presigned
check "wrong secret, absent key" wrong
if other job && other stranger; then check "the job cannot write, the stranger cannot read" others; fi
check "versions: kept, read, tagged, listed, deleted" versions
check "remove all" remove
exit $failures
