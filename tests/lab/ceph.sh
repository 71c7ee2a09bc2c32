#!/usr/bin/env bash
# A single-node Ceph from nothing, for store.sh: one monitor, one OSD, one RADOS gateway, on loopback.
#
#   KLUIS_CEPH_DIR=DIR tests/lab/ceph.sh ACCESS_KEY SECRET_KEY
#
# Leaves DIR/{mon,osd,radosgw}.pid and DIR/port. No authentication inside the cluster, one copy of
# everything, a file of 10 GiB (sparse) as the disk: fit for tests and for nothing else.
set -euo pipefail
. "$(dirname "$0")/common.sh"
D=$KLUIS_CEPH_DIR
read -r mon_port s3_port < <(free_ports 2)
fsid=$(cat /proc/sys/kernel/random/uuid)
mkdir -p "$D"/{mon-data,osd-data,run}
echo "$s3_port" >"$D/port"

cat >"$D/ceph.conf" <<E
[global]
fsid = $fsid
mon host = v1:127.0.0.1:$mon_port
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr2 = false
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon max pg per osd = 1000
osd crush chooseleaf type = 0
log file = $D/\$name.daemon.log
admin socket = $D/run/\$name.\$pid.asok
pid file = $D/run/\$name.pid
debug ms = 0
debug rgw = 0
[mon]
mon data = $D/mon-data
mon initial members = a
mon data avail crit = 1
mon data avail warn = 2
auth allow insecure global id reclaim = true
[mon.a]
mon addr = v1:127.0.0.1:$mon_port
[osd]
osd data = $D/osd-data
osd objectstore = bluestore
osd memory target = 1073741824
bluestore block size = $((10 << 30))
bluestore block create = true
# The OSD would register itself before it knows the cluster's id, and end with "wrong fsid"; done below.
osd class update on start = false
osd crush update on start = false
osd class default list = *
osd class load list = *
[client.rgw]
# Without tcp_nodelay a small answer waits 40 ms for the client's delayed acknowledgement.
rgw frontends = beast endpoint=127.0.0.1:$s3_port tcp_nodelay=1
rgw thread pool size = 64
rgw enable usage log = false
E
if [ -n "${KLUIS_LAB_SUITE:-}" ]; then
    cat >>"$D/ceph.conf" <<E
rgw dns name = localhost
rgw crypt require ssl = false
rgw crypt s3 kms backend = testing
rgw crypt s3 kms encryption keys = testkey-1=$(printf %032d 1 | base64) testkey-2=$(printf %032d 2 | base64)
rgw lc debug interval = 10
E
fi
export CEPH_CONF=$D/ceph.conf

# eventually TRIES COMMAND…: repeats COMMAND every 0.2 s until it succeeds.
eventually() {
    local tries=$1
    shift
    for _ in $(seq "$tries"); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.2
    done
    die "gave up on: $*; logs in $D"
}
osd_is_up() { ceph osd stat 2>/dev/null | grep '1 up'; }

monmaptool --create --clobber --fsid "$fsid" --addv a "[v1:127.0.0.1:$mon_port]" "$D/monmap" >/dev/null
ceph-mon -i a --mkfs --monmap "$D/monmap" >/dev/null
spawn "$D" mon ceph-mon -i a -f
eventually 150 ceph --connect-timeout 2 quorum_status

osd_id=$(cat /proc/sys/kernel/random/uuid)
ceph osd new "$osd_id" >/dev/null
ceph osd crush create-or-move osd.0 1.0 host=lab root=default >/dev/null 2>&1
ceph-osd -i 0 --mkfs --osd-uuid "$osd_id" >"$D/osd-mkfs.log" 2>&1
spawn "$D" osd ceph-osd -i 0 -f
eventually 200 osd_is_up

spawn "$D" radosgw radosgw -n client.rgw -f
wait_http "http://127.0.0.1:$s3_port/" 180 "$D/radosgw.log"
radosgw-admin -n client.rgw user create --uid owner --display-name owner --email owner@example.com --access-key "$1" --secret "$2" >"$D/user.log" 2>&1
