#!/bin/sh
# All that a GPU should tell, in at most eight minutes, on a machine that has its driver and nothing else: no network, no
# Rust, no Python. Everything is carried there in one folder.
#
#   sh scripts/gpu-check.sh --prepare [FOLDER]   where the program is built: makes the folder (target/gpu-check) and its .tar.gz;
#                                                FOLDER must be new, empty, or one that this script has made
#   sh FOLDER/gpu-check.sh [FILE]                where the GPU is: writes FILE (FOLDER/gpu-check.json)
#
# Parts: adapters, kernel tests, golden values, steps of every method at widths 0.25 and 1, a ResNet-18, the same steps in
# PyTorch where python3 has it, a model trained and judged on the GPU and judged on the CPU path, `validate`, `bench
# --explain`. Each has a time limit, and what fails is recorded and does not end the rest. The file says for each part how
# it ended, how long it took and what it said. The exit status is 1 if a part failed.
#
# ADAPTER=NAME chooses the adapter (default: discrete). GPU_CHECK=small makes everything as small as it can be, to try the
# script on a machine without a GPU: ADAPTER=software GPU_CHECK=small. SECONDS_IN_ALL (480) is the limit of all parts.
set -u
export LC_ALL=C

# --- Making the folder -------------------------------------------------------------------------------------------

# The executable of a test binary, as cargo names it.
test_binary() {
    cargo test --no-run --test "$1" --message-format=json 2>/dev/null |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | grep "/$1-" | tail -n 1
}

prepare() {
    set -e
    folder=${1:-$(dirname "$0")/../target/gpu-check}
    mkdir -p "$folder"
    # Whole, and without slashes at its end, because the archive is named after it.
    folder=$(cd "$folder" && pwd)
    cd "$(dirname "$0")/.."
    # Everything in the folder is removed, so it must hold nothing of anybody else. These two files tell that.
    if [ -n "$(ls -A "$folder")" ] && ! { [ -f "$folder/gpu-check.sh" ] && [ -f "$folder/commit" ]; }; then
        echo "gpu-check: $folder has files that this script has not made; name an empty folder or a new one" >&2
        exit 2
    fi
    [ -n "${PGN_WGPU:-}" ] || cargo build --release
    rm -rf "$folder" && mkdir -p "$folder/scripts" "$folder/tests/golden"
    # First, so that a folder that stays unfinished is known again.
    cp scripts/gpu-check.sh "$folder"
    { git rev-parse --short=10 HEAD && { git diff --quiet HEAD || echo changed; }; } | xargs >"$folder/commit"
    cp "${PGN_WGPU:-target/release/pgn-wgpu}" "$folder/pgn-wgpu"
    for name in kernels golden; do
        binary=$(test_binary $name)
        [ -n "$binary" ] || { echo "gpu-check: cargo cannot build the tests $name" >&2; exit 1; }
        cp "$binary" "$folder/$name"
        strip "$folder/$name" 2>/dev/null || true
    done
    cp scripts/torch_steps.py "$folder/scripts"
    cp -R tests/golden/. "$folder/tests/golden"
    tar -C "$(dirname "$folder")" -czf "$folder.tar.gz" "$(basename "$folder")"
    du -sh "$folder" "$folder.tar.gz"
}

# --- What the parts do -------------------------------------------------------------------------------------------

METHODS=natural,fgm,pgd,trades,mart,fast,n-fgsm,free,pgn
# Sizes for a GPU, and for trying the script.
if [ "${GPU_CHECK:-}" = small ]; then
    narrow=0.0625 wide=0.125 resnet=0.0625 batch=4 seconds=0.1 epochs=1 images=20 tests=rows golden=logits
else
    narrow=0.25 wide=1 resnet=1 batch=128 seconds=0.7 epochs=20 images=400 tests='' golden=''
fi
adapter=${ADAPTER:-discrete}

steps() {
    exec ./pgn-wgpu bench --json --steps-only --adapter "$adapter" --batch-size "$batch" --seconds "$seconds" "$@"
}

# A model of the digits: trained and judged on the adapter, judged again on the CPU path.
verdict() {
    ./pgn-wgpu train --adapter "$adapter" --epochs "$epochs" --quiet --out scratch/run >/dev/null || return
    for where in "$adapter" cpu; do
        ./pgn-wgpu verdict scratch/run --adapter "$where" --limit "$images" --out "scratch/verdict-$where" --force --quiet \
            >/dev/null || return
    done
    printf '{"adapter": %s, "cpu": %s}\n' "$(cat "scratch/verdict-$adapter/verdict.json")" "$(cat scratch/verdict-cpu/verdict.json)"
}

# 77 says that there is nothing to compare with.
pytorch() {
    python3 -c 'import torch, numpy' 2>/dev/null || { echo 'python3 has no PyTorch with numpy here' >&2; return 77; }
    exec python3 scripts/torch_steps.py --widths "$narrow" "$wide" --resnet-width "$resnet" --batch-size "$batch" \
        --seconds "$seconds" --within 35
}

# `--part FUNCTION` is for this script itself, as `own_part` says.
case ${1:-} in
--prepare)
    prepare "${2:-}"
    exit
    ;;
--part)
    shift
    "$@"
    exit
    ;;
esac

# --- Parts and their record --------------------------------------------------------------------------------------

# A relative FILE lies where the script was called.
case ${1:-} in '' | /*) file=${1:-} ;; *) file=$(pwd)/$1 ;; esac
cd "$(dirname "$0")" || exit
here=$(pwd)
file=${file:-$here/gpu-check.json}
# Golden values are looked for below it.
export CARGO_MANIFEST_DIR="$here" PGN_WGPU_CACHE="$here/scratch/cache" PYTHONDONTWRITEBYTECODE=1
[ -x ./pgn-wgpu ] || { echo "gpu-check: there is no pgn-wgpu beside this script; make the folder with --prepare" >&2; exit 2; }
began=$(date +%s)
# The last five seconds are for a part that has to be killed, and for the file.
end=$((began + ${SECONDS_IN_ALL:-480} - 5))
rm -rf scratch && mkdir -p scratch
failed=0

# A file's text as a JSON string: its last 6000 bytes, without what is not ASCII.
quoted() {
    tail -c 6000 "$1" | tr -cd '\11\12\40-\176' |
        awk 'BEGIN { printf "\"" } { gsub(/\\/, "\\\\"); gsub(/"/, "\\\""); gsub(/\t/, "\\t"); printf "%s\\n", $0 } END { printf "\"" }'
}

# What a part printed, if that is a JSON object or array from its first letter to its last; else null.
result() {
    case $(head -c 1 "$1")$(tail -c 2 "$1" | tr -d '\n') in
    '{}' | '[]' | '{'?'}' | '['?']') cat "$1" ;;
    *) echo null ;;
    esac
}

# A number that a test binary reports, such as how many have passed; null if it did not come so far.
reported() {
    sed -n "s/^test result: .* \([0-9]*\) $2.*/\1/p" "$1" | tail -n 1 | grep . || echo null
}

# `part NAME LIMIT COMMAND...`: runs it for at most LIMIT seconds, or less where less is left, and records it.
part() {
    name=$1 limit=$2
    shift 2
    left=$((end - $(date +%s)))
    [ "$limit" -le "$left" ] || limit=$left
    out=scratch/$name.out err=scratch/$name.err
    : >"$out" && : >"$err"
    since=$(date +%s)
    if [ "$limit" -lt 3 ]; then
        status='no time'
        echo 'no time was left' >"$err"
    else
        timeout --kill-after=3 "$limit" "$@" >"$out" 2>"$err" </dev/null
        case $? in
        0) status=ok ;;
        77) status=skipped ;;
        124 | 137) status='timed out' ;;
        *) status=failed ;;
        esac
    fi
    case $status in ok | skipped) ;; *) failed=$((failed + 1)) ;; esac
    seconds=$(($(date +%s) - since))
    printf '%-14s %-10s %4s s\n' "$name" "$status" "$seconds"
    {
        printf '%s    {\n      "part": "%s", "status": "%s", "seconds": %s, "limit": %s,\n' \
            "$comma" "$name" "$status" "$seconds" "$limit"
        printf '      "passed": %s, "failed": %s,\n' "$(reported "$out" passed)" "$(reported "$out" failed)"
        printf '      "said": %s,\n      "output": %s,\n' "$(quoted "$err")" \
            "$([ "$(result "$out")" = null ] && quoted "$out" || echo '""')"
        printf '      "result": '
        result "$out"
        printf '    }'
    } >>scratch/parts
    comma=',
'
}
comma=''

# `own_part NAME LIMIT FUNCTION...`: the same of a function of this script, in a process that `timeout` can end.
own_part() {
    own=$1 most=$2
    shift 2
    part "$own" "$most" sh "$here/gpu-check.sh" --part "$@"
}

# --- All of it ---------------------------------------------------------------------------------------------------

[ "$adapter" = cpu ] || export PGN_REQUIRE_GPU=1
export PGN_TEST_ADAPTER="$adapter"

part adapters 20 ./pgn-wgpu adapters --json
part kernels 120 ./kernels ${tests:+"$tests"}
part golden 60 ./golden ${golden:+"$golden"}
own_part steps-narrow 50 steps --width "$narrow" --method "$METHODS"
own_part steps-wide 90 steps --width "$wide" --method "$METHODS"
own_part resnet18 50 steps --network resnet18 --width "$resnet" --method natural,pgd
own_part pytorch 70 pytorch
own_part verdict 50 verdict
part validate 40 ./pgn-wgpu validate --json --adapter "$adapter" --width "$narrow" --batch-size "$batch"
part explain 40 ./pgn-wgpu bench --explain --steps-only --adapter "$adapter" --width "$narrow" --batch-size "$batch" \
    --method natural --seconds 0.1

# Written whole, so that a file that is there is a file that can be read.
{
    printf '{\n  "program": "%s", "commit": "%s", "date": "%s", "adapter": "%s", "small": %s,\n' \
        "$(./pgn-wgpu --version)" "$(cat commit)" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$adapter" \
        "$([ "${GPU_CHECK:-}" = small ] && echo true || echo false)"
    uname -srm >scratch/machine && { nproc && nvidia-smi --query-gpu=name,driver_version --format=csv,noheader; } \
        >>scratch/machine 2>/dev/null
    printf '  "machine": %s, "seconds": %s, "failed": %s,\n  "parts": [\n' \
        "$(quoted scratch/machine)" "$(($(date +%s) - began))" "$failed"
    cat scratch/parts
    printf '\n  ]\n}\n'
} >"$file.new" && mv "$file.new" "$file"
echo "$(($(date +%s) - began)) s, $failed failed; $file"
[ $failed = 0 ]
