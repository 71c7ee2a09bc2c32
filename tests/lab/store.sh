#!/usr/bin/env bash
# Starts and stops a real store, for the tests to use as Kluis' backend or to compare with.
#
#   tests/lab/store.sh start NAME     seaweed | ceph | garage | s3s-fs
#   tests/lab/store.sh start NAME UPSTREAM_ENV     nginx | rclone-crypt, before another store
#   tests/lab/store.sh stop NAME
#
# KLUIS_LAB_SUITE=1 gives it what s3-tests asks a store for: alt.env (a second account; Ceph: tenant.env, too), keys for
# aws:kms, and in Ceph a lifecycle whose day is ten seconds.
# After `start`, $KLUIS_LAB_RUN/NAME holds owner.env, and job.env and stranger.env where the store
# knows more than one user; `pid` names the process that serves S3. All on loopback, on free ports.
# Only processes that were started here are ended, by their ids.
set -euo pipefail
. "$(dirname "$0")/common.sh"

OWNER_KEY=KLUISTESTOWNER000001 OWNER_SECRET=owner-secret-of-a-throw-away-store-00001
JOB_KEY=KLUISTESTJOB00000001 JOB_SECRET=job-secret-of-a-throw-away-store-0000001
STRANGER_KEY=KLUISTESTSTRANGER001 STRANGER_SECRET=stranger-secret-of-a-throw-away-00000001
ALT_KEY=KLUISTESTALT00000001 ALT_SECRET=alt-secret-of-a-throw-away-store-0000001
TENANT_KEY=KLUISTESTTENANT00001 TENANT_SECRET=tenant-secret-of-a-throw-away-store-001
BUCKET=lab--data BLOBS=blobs SUITE=${KLUIS_LAB_SUITE:-}

# users ENDPOINT REGION: the three env files for a store that has all three identities.
users() {
    write_env "$D/owner.env" "$1" "$OWNER_KEY" "$OWNER_SECRET" "$2" "$BUCKET"
    write_env "$D/job.env" "$1" "$JOB_KEY" "$JOB_SECRET" "$2" "$BUCKET"
    write_env "$D/stranger.env" "$1" "$STRANGER_KEY" "$STRANGER_SECRET" "$2" "$BUCKET"
}

start_seaweed() {
    local s3 s3g mas masg vol volg filer filerg
    read -r s3 s3g mas masg vol volg filer filerg < <(free_ports 8)
    local kms=
    if [ -n "$SUITE" ]; then
        WEED_S3_SSE_KEK=$(printf kek | sha256sum | cut -c1-64)
        export WEED_S3_SSE_KEK
        kms='"kms": {"default_provider": "local", "providers": {"local": {"type": "local", "enableOnDemandCreate": true}}},'
    fi
    cat >"$D/identities.json" <<E
{$kms "identities": [
  {"name": "alt", "actions": ["Admin", "Read", "Write", "List", "Tagging"],
   "credentials": [{"accessKey": "$ALT_KEY", "secretKey": "$ALT_SECRET"}]},
  {"name": "owner", "actions": ["Admin", "Read", "Write", "List", "Tagging"],
   "credentials": [{"accessKey": "$OWNER_KEY", "secretKey": "$OWNER_SECRET"}]},
  {"name": "job", "actions": ["Read:$BUCKET", "List:$BUCKET"],
   "credentials": [{"accessKey": "$JOB_KEY", "secretKey": "$JOB_SECRET"}]},
  {"name": "stranger", "actions": ["Read:elsewhere"],
   "credentials": [{"accessKey": "$STRANGER_KEY", "secretKey": "$STRANGER_SECRET"}]}]}
E
    spawn "$D" seaweed "$LAB_CACHE/bin/weed" -logtostderr=true server -dir="$D/data" \
        -ip=127.0.0.1 -ip.bind=127.0.0.1 -master.telemetry=false -master.volumeSizeLimitMB=1024 \
        -master.port="$mas" -master.port.grpc="$masg" -volume.port="$vol" -volume.port.grpc="$volg" \
        -volume.max=30 -filer -filer.port="$filer" -filer.port.grpc="$filerg" \
        -s3 -s3.port="$s3" -s3.port.grpc="$s3g" -s3.port.iceberg=0 -s3.port.lance=0 \
        -s3.config="$D/identities.json"
    wait_http "http://127.0.0.1:$s3/" 90 "$D/seaweed.log"
    # Not us-east-1: there boto3 presigns with SigV2. SeaweedFS takes any region.
    users "http://127.0.0.1:$s3" lab-1
    write_env "$D/alt.env" "http://127.0.0.1:$s3" "$ALT_KEY" "$ALT_SECRET" lab-1 "$BUCKET"
}

start_ceph() {
    KLUIS_CEPH_DIR=$D "$LAB_DIR/ceph.sh" "$OWNER_KEY" "$OWNER_SECRET"
    if [ -n "$SUITE" ]; then
        local at
        at=http://127.0.0.1:$(cat "$D/port")
        ceph_user() { CEPH_CONF=$D/ceph.conf radosgw-admin -n client.rgw "$@" >>"$D/user.log" 2>&1; }
        ceph_user user create --uid alt --display-name alt --email alt@example.com --access-key "$ALT_KEY" --secret "$ALT_SECRET"
        ceph_user user create --tenant testx --uid tenant --display-name tenant --email tenant@example.com \
            --access-key "$TENANT_KEY" --secret "$TENANT_SECRET"
        ceph_user caps add --uid owner --caps "user-policy=*;roles=*;oidc-provider=*"
        write_env "$D/alt.env" "$at" "$ALT_KEY" "$ALT_SECRET" default "$BUCKET"
        write_env "$D/tenant.env" "$at" "$TENANT_KEY" "$TENANT_SECRET" default "$BUCKET"
    fi
    write_env "$D/owner.env" "http://127.0.0.1:$(cat "$D/port")" "$OWNER_KEY" "$OWNER_SECRET" default "$BUCKET"
    cp "$D/radosgw.pid" "$D/pid"
}

start_garage() {
    local s3 rpc admin id key secret
    read -r s3 rpc admin < <(free_ports 3)
    key=GK$(printf owner | sha256sum | cut -c1-24)
    secret=$(printf secret | sha256sum | cut -c1-64)
    cat >"$D/garage.toml" <<E
metadata_dir = "$D/data/meta"
data_dir = "$D/data/blocks"
db_engine = "lmdb"
replication_factor = 1
metadata_fsync = false
data_fsync = false
allow_world_readable_secrets = true
rpc_bind_addr = "127.0.0.1:$rpc"
rpc_public_addr = "127.0.0.1:$rpc"
rpc_secret = "$(printf rpc | sha256sum | cut -c1-64)"
[s3_api]
s3_region = "us-east-1"
api_bind_addr = "127.0.0.1:$s3"
root_domain = ".s3.localhost"
[admin]
api_bind_addr = "127.0.0.1:$admin"
admin_token = "throw-away"
E
    garage() { "$LAB_CACHE/bin/garage" -c "$D/garage.toml" "$@"; }
    spawn "$D" garage "$LAB_CACHE/bin/garage" -c "$D/garage.toml" server
    wait_http "http://127.0.0.1:$s3/" 60 "$D/garage.log"
    for _ in $(seq 100); do
        if garage status >/dev/null 2>&1; then break; fi
        sleep 0.2
    done
    id=$(garage node id -q 2>/dev/null | cut -c1-16)
    {
        garage layout assign -z lab -c 20G "$id"
        garage layout apply --version 1
        garage key import --yes -n owner "$key" "$secret"
        garage key allow --create-bucket "$key"
    } >"$D/setup.log" 2>&1
    write_env "$D/owner.env" "http://127.0.0.1:$s3" "$key" "$secret" us-east-1 "$BUCKET"
    if [ -n "$SUITE" ]; then
        key=GK$(printf alt | sha256sum | cut -c1-24)
        secret=$(printf alt-secret | sha256sum | cut -c1-64)
        {
            garage key import --yes -n alt "$key" "$secret"
            garage key allow --create-bucket "$key"
        } >>"$D/setup.log" 2>&1
        write_env "$D/alt.env" "http://127.0.0.1:$s3" "$key" "$secret" us-east-1 "$BUCKET"
    fi
}

start_s3s-fs() {
    local s3
    read -r s3 < <(free_ports 1)
    spawn "$D" s3s-fs "$LAB_CACHE/bin/s3s-fs" --host 127.0.0.1 --port "$s3" \
        --access-key "$OWNER_KEY" --secret-key "$OWNER_SECRET" "$D/data"
    wait_http "http://127.0.0.1:$s3/" 30 "$D/s3s-fs.log"
    write_env "$D/owner.env" "http://127.0.0.1:$s3" "$OWNER_KEY" "$OWNER_SECRET" us-east-1 "$BUCKET"
}

# Hands bytes through to another store: what a proxy costs that does no cipher. The Host header goes
# on as it came, since it is part of what the client signed.
start_nginx() {
    local port
    read -r port < <(free_ports 1)
    load_env "$UPSTREAM"
    mkdir -p "$D/tmp"
    cat >"$D/nginx.conf" <<E
daemon off;
worker_processes 2;
pid $D/tmp/nginx.pid;
error_log $D/nginx.error.log warn;
events { worker_connections 4096; }
http {
  access_log ${NGINX_ACCESS_LOG:-off};
  client_max_body_size 0;
  client_body_temp_path $D/tmp/body;
  proxy_temp_path $D/tmp/proxy;
  fastcgi_temp_path $D/tmp/fastcgi;
  uwsgi_temp_path $D/tmp/uwsgi;
  scgi_temp_path $D/tmp/scgi;
  upstream store { server ${AWS_ENDPOINT_URL#http://}; keepalive 64; }
  server {
    listen 127.0.0.1:$port;
    tcp_nodelay on;
    location / {
      proxy_pass http://store;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host \$http_host;
      proxy_request_buffering off;
      proxy_buffering on;
      proxy_max_temp_file_size 0;
      proxy_buffer_size 64k;
      proxy_buffers 16 64k;
    }
  }
}
E
    spawn "$D" nginx /usr/sbin/nginx -e "$D/nginx.error.log" -c "$D/nginx.conf"
    wait_http "http://127.0.0.1:$port/" 30 "$D/nginx.error.log"
    write_env "$D/owner.env" "http://127.0.0.1:$port" "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" \
        "$AWS_REGION" "$KLUIS_BUCKET"
}

# The gateway that a user would otherwise pick: `rclone serve s3` over a crypt remote on another store.
start_rclone-crypt() {
    local port rclone=$LAB_CACHE/bin/rclone
    read -r port < <(free_ports 1)
    (
        load_env "$UPSTREAM"
        umask 077
        cat >"$D/rclone.conf" <<E
[store]
type = s3
provider = Other
access_key_id = $AWS_ACCESS_KEY_ID
secret_access_key = $AWS_SECRET_ACCESS_KEY
endpoint = $AWS_ENDPOINT_URL
region = $AWS_REGION
force_path_style = true
[sealed]
type = crypt
remote = store:rclone-crypt
password = $("$rclone" obscure throw-away)
E
        unset AWS_ENDPOINT_URL AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_REGION AWS_DEFAULT_REGION
        "$rclone" --config "$D/rclone.conf" mkdir store:rclone-crypt
    )
    spawn "$D" rclone-crypt "$rclone" serve s3 --config "$D/rclone.conf" --addr "127.0.0.1:$port" \
        --auth-key "$OWNER_KEY,$OWNER_SECRET" --vfs-cache-mode off --cache-dir "$D/cache" sealed:
    wait_http "http://127.0.0.1:$port/" 30 "$D/rclone-crypt.log"
    write_env "$D/owner.env" "http://127.0.0.1:$port" "$OWNER_KEY" "$OWNER_SECRET" us-east-1 "$BUCKET"
}

stop() {
    # Gateways before daemons: Ceph's monitor goes last, or its OSD waits for it in vain.
    for process in radosgw osd mon seaweed garage s3s-fs nginx rclone-crypt; do
        end_pid "$D/$process.pid"
    done
    [ -n "${KEEP:-}" ] || rm -rf "$D"
}

[ $# -ge 2 ] || die "usage: store.sh start|stop NAME [UPSTREAM_ENV]"
act=$1 name=$2 UPSTREAM=${3:-}
case $name in
seaweed | ceph | garage | s3s-fs) ;;
nginx | rclone-crypt)
    [ "$act" = stop ] || [ -f "$UPSTREAM" ] || die "$name needs the env file of the store behind it"
    ;;
*) die "unknown store: $name" ;;
esac
D=$LAB_RUN/$name
case $act in
start)
    [ ! -e "$D" ] || die "$name runs already, or left $D behind: store.sh stop $name"
    mkdir -p "$D/data"
    t0=$(now)
    trap 'rc=$?; [ $rc = 0 ] || { KEEP=1 stop; say "$name did not start; see $D"; }' EXIT
    "start_$name"
    [ "$name" = nginx ] || make_bucket "$D/owner.env" "$BUCKET"
    case $name in seaweed | ceph | garage | s3s-fs) make_bucket "$D/owner.env" "$BLOBS" ;; esac
    [ -e "$D/pid" ] || cp "$D/$name.pid" "$D/pid"
    say "$name is up in $(since "$t0") s: $D/owner.env"
    ;;
stop) stop ;;
*) die "start or stop, not $act" ;;
esac
