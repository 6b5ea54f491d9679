#!/bin/sh
# Runs every fuzz target, FUZZ_RUNS times each (default 20,000), and prints how many executions each of them had.
# FUZZ_TARGETS names some of them. Seeds are made by the program's own test (tests/torture/seeds.rs); what the fuzzer
# finds of interest stays in fuzz/corpus, an input that breaks a reader in fuzz/artifacts.
#
# One target by hand: cargo fuzz run -s none model -- -rss_limit_mb=512 -timeout=10
# `-s none` leaves out AddressSanitizer: the crate has no unsafe code of its own that reads files, and without it a
# stable compiler will do.
set -u
cd "$(dirname "$0")/.." || exit 1
RUNS=${FUZZ_RUNS:-20000}

command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked || exit 1
cargo test --quiet --test torture -- --run --seeds fuzz/corpus || exit 1
# The tests of the onnx package are seeds as well, where `make onnx-conformance` has fetched them.
for test in target/onnx-conformance/*/onnx/backend/test/data/node/* target/onnx-conformance/older/*; do
    [ ! -f "$test/model.onnx" ] || cp "$test/model.onnx" "fuzz/corpus/onnx/${test##*/}"
done
cargo fuzz build -s none || exit 1

total=0
failed=''
for target in ${FUZZ_TARGETS:-$(cargo fuzz list)}; do
    mkdir -p "fuzz/corpus/$target"
    log=$(mktemp)
    cargo fuzz run -s none "$target" -- -runs="$RUNS" -rss_limit_mb=512 -timeout=10 -max_len=16384 \
        -print_final_stats=1 >"$log" 2>&1 || failed="$failed $target"
    count=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)
    peak=$(sed -n 's/^stat::peak_rss_mb: *//p' "$log" | tail -n 1)
    printf '%-12s %10s executions, peak %s MB\n' "$target" "${count:-0}" "${peak:-?}"
    case " $failed " in *" $target "*) grep -E "panicked|ERROR:|SUMMARY|Test unit written" "$log" ;; esac
    total=$((total + ${count:-0}))
    rm -f "$log"
done
# Targets leave folders named by their processes. Those whose process has ended go; another fuzzer that runs keeps its own.
for folder in /dev/shm/pgn-wgpu-fuzz-* "${TMPDIR:-/tmp}"/pgn-wgpu-fuzz-*; do
    process=${folder##*/pgn-wgpu-fuzz-}
    case $process in *[!0-9]*) continue ;; esac
    kill -0 "$process" 2>/dev/null || rm -rf "$folder"
done
echo "$total executions in all"
[ -z "$failed" ] || { echo "broke:$failed"; exit 1; }
