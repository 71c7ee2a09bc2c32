#!/usr/bin/env bash
# curl's own Signature Version 4: what a shell script without any SDK does.
CLIENT=curl_sigv4
. "$(dirname "$0")/lib.sh"
EMPTY_SHA256=$(sha256sum <"$EMPTY" | cut -c1-64)

# signed KEY SHA256 ARGUMENT…: one request as the owner; the payload's hash is the caller's, since older curls send none.
signed() {
    local key=$1 sha256=$2
    shift 2
    curl -sS --noproxy '*' --aws-sigv4 "aws:amz:$AWS_REGION:s3" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
        -H "x-amz-content-sha256: $sha256" "$@" "$ENDPOINT/$BUCKET/$PREFIX/$key"
}
status() { signed "$@" -o /dev/null -w '%{http_code}'; }
put() { signed "$1" "$(sha256sum <"$2" | cut -c1-64)" -f -T "$2"; }

small() { put small "$SMALL"; signed small "$EMPTY_SHA256" -f | cmp - "$SMALL"; }
large() { put large "$LARGE"; signed large "$EMPTY_SHA256" -f | cmp - "$LARGE"; }
head_of() { signed small "$EMPTY_SHA256" -f -I | tr -d '\r' | grep -ix 'content-length: 5120'; }
range() { signed large "$EMPTY_SHA256" -f -r 65530-131079 >"$W/range"; slice "$LARGE" 65530 65550 | cmp - "$W/range"; }
current() {
    local etag
    etag=$(signed small "$EMPTY_SHA256" -f -I | tr -d '\r' | sed -n 's/^etag: //Ip')
    [ "$(status small "$EMPTY_SHA256" -H "if-none-match: $etag")" = 304 ]
}
wrong() {
    [ "$(status small "$(printf 0%.0s $(seq 64))" -T "$SMALL")" = 400 ] # a body that is not what its hash says
    [ "$(curl -sS --noproxy '*' -o /dev/null -w '%{http_code}' "$ENDPOINT/$BUCKET/$PREFIX/small")" = 403 ]
    [ "$(AWS_SECRET_ACCESS_KEY=$WRONG_SECRET status small "$EMPTY_SHA256")" = 403 ]
    signed small "$EMPTY_SHA256" -f | cmp - "$SMALL"
}
remove() {
    for key in small large; do [ "$(status $key "$EMPTY_SHA256" -X DELETE)" = 204 ]; done
    [ "$(status small "$EMPTY_SHA256")" = 404 ]
}

check "small object" small
check "40 MiB in one request" large
check "HEAD" head_of
check "range" range
check "304 for what is current" current
check "a body unlike its hash, no signature, a wrong secret" wrong
check "delete, then 404" remove
exit $failures
