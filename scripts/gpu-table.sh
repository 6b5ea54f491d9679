#!/bin/sh
# The table "Whole CIFAR-10" of docs/measurements/robustness.md at width 1 on a GPU, as far as it comes in eight minutes.
#
#   DATA=FOLDER sh scripts/gpu-table.sh [OUT]     OUT: a new folder, or that of a call before, which goes on (gpu-table)
#
# FOLDER is cifar-10-batches-bin with all its files. The runs are those of examples/whole-cifar10.toml, in its order. Two thirds
# of the time go to training. Then every run that is done is judged. OUT/table.txt has the table, and the names of all runs that
# it lacks with how far they are. OUT/runs has the runs.
#
# The machine needs a driver and the program, no network: PGN_WGPU=PROGRAM (target/release/pgn-wgpu).
# ADAPTER (discrete), WIDTH (1), EPOCHS (15), LIMIT (1000 test images) and SECONDS_IN_ALL (480) can be given, to try the script
# without a GPU, for example. The exit status is 1 if not one run could be judged.
set -u
export LC_ALL=C

case $# in 0 | 1) ;; *) echo 'gpu-table: usage: DATA=FOLDER sh scripts/gpu-table.sh [OUT]' >&2 && exit 2 ;; esac
here=$(cd "$(dirname "$0")/.." && pwd)
program=${PGN_WGPU:-$here/target/release/pgn-wgpu}
out=${1:-gpu-table}
data=${DATA:-}
adapter=${ADAPTER:-discrete} width=${WIDTH:-1} epochs=${EPOCHS:-15} limit=${LIMIT:-1000} seconds=${SECONDS_IN_ALL:-480}
[ -x "$program" ] || { echo "gpu-table: there is no program $program; build it, or name it by PGN_WGPU=PROGRAM" >&2; exit 2; }
[ -f "$data/test_batch.bin" ] || { echo 'gpu-table: DATA= must name the folder of the binary files of CIFAR-10' >&2; exit 2; }
[ "$seconds" -gt 0 ] 2>/dev/null || { echo "gpu-table: SECONDS_IN_ALL is \"$seconds\"; it must be a whole number from 1" >&2; exit 2; }
mkdir -p "$out" || exit
began=$(date +%s)

# Seconds until `$1` hundredths of all time have passed; at least one.
left() {
    rest=$((seconds * $1 / 100 - ($(date +%s) - began)))
    [ "$rest" -gt 1 ] && echo "$rest" || echo 1
}

# A line for each run: its name and its state. `--dry-run` prints them below a heading.
states() {
    "$program" sweep "$out/sweep.toml" --data "$data" --out "$out/runs" --dry-run | sed -n '/^run  */,$p' | sed 1d
}

sed -e "s/^width = .*/width = $width/" -e "s/^epochs = .*/epochs = $epochs/" "$here/examples/whole-cifar10.toml" >"$out/sweep.toml"

# --- Training ------------------------------------------------------------------------------------------------------

# SIGINT lets a run save what it has.
timeout --signal=INT --kill-after=20 "$(left 67)" \
    "$program" sweep "$out/sweep.toml" --data "$data" --out "$out/runs" --adapter "$adapter" || true
# Without one run the program has said why.
ls "$out/runs" >/dev/null 2>&1 || exit 1
done=$(states | awk '$2 == "done" { print $1 }')

# --- Verdicts ------------------------------------------------------------------------------------------------------

judge() {
    timeout --signal=INT --kill-after=20 "$(left 100)" \
        "$program" evaluate "$@" --data "$data" --adapter "$adapter" --limit "$limit" --attack deepfool,fmn
}

judged=
for run in $done; do
    [ "$(left 100)" -gt 1 ] || break
    # One by one, so that a call that has no time left takes no other's verdict with it.
    if judge "$out/runs/$run" >"$out/$run.txt" 2>"$out/$run.log"; then
        judged="$judged $run"
    else
        rm "$out/$run.txt" && tail -n 1 "$out/$run.log" >&2
    fi
done

# --- The table -----------------------------------------------------------------------------------------------------

{
    echo "$("$program" --version), width $width, $epochs epochs, $limit test images, adapter $adapter, $(date -u +%Y-%m-%dT%H:%MZ)"
    nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null
    for run in $judged; do
        echo && echo "$run"
        sed -n -e '/^benign accuracy/p' -e '/^accuracy by the quick verdict/p' -e '/^median of the smallest/p' \
            -e '/^seconds per epoch/p' -e '/^warning:/p' "$out/$run.txt"
    done
    echo && echo 'Left out:'
    states | awk -v judged=" $judged " '
        { name = $1; $1 = ""; sub(/^ +/, ""); if ($0 == "done") $0 = "trained, not judged" }
        index(judged, " " name " ") == 0 { print "  " name ": " $0; n++ }
        END { if (!n) print "  nothing" }'
} >"$out/table.txt.new" && mv "$out/table.txt.new" "$out/table.txt"
cat "$out/table.txt"
echo && echo "$(($(date +%s) - began)) s; $out/table.txt"
[ -n "$judged" ]
