#!/usr/bin/env bash
# Fuzzes with the stable toolchain: builds the targets with the coverage that libFuzzer wants, and runs them in turn.
#
#   fuzz/run.sh SECONDS [TARGET…]      all targets if none is named, SECONDS each
#
# What was found before (fuzz/corpus) and the seeds of the tests (target/tmp/seeds) are where it begins. An input that
# breaks a promise is left in fuzz/artifacts/TARGET, and the script fails. No sanitizer: there is no unsafe code of ours.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
[ $# -ge 1 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2; }
seconds=$1
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=($(sed -n 's/^name = "\([a-z_]*\)"$/\1/p' Cargo.toml))
out=${CARGO_TARGET_DIR:-$PWD/../target}/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
flags=(-Cpasses=sancov-module -Ccodegen-units=16 -Cdebug-assertions -Coverflow-checks --cfg fuzzing)
for llvm in level=4 inline-8bit-counters pc-table trace-compares; do
    flags+=("-Cllvm-args=-sanitizer-coverage-$llvm")
done
RUSTFLAGS="${flags[*]}" cargo build --release --locked --ignore-rust-version --target "$host" --target-dir "$out" \
    --config profile.release.opt-level=1 $(printf -- '--bin %s ' "${targets[@]}")
rc=0
for target in "${targets[@]}"; do
    mkdir -p "corpus/$target" "artifacts/$target" "$out/seeds/$target"
    seeds=../target/tmp/seeds/$target
    [ -d "$seeds" ] || seeds=$out/seeds/$target
    printf '== %s, %s s\n' "$target" "$seconds"
    "$out/$host/release/$target" "corpus/$target" "$seeds" -artifact_prefix="artifacts/$target/" \
        -max_total_time="$seconds" -max_len=8192 -rss_limit_mb=4096 -timeout=20 -verbosity=0 -print_final_stats=1 || rc=1
done
exit $rc
