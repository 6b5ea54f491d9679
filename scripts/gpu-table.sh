#!/bin/sh
# The table "Whole CIFAR-10" of docs/measurements/robustness.md at width 1 on a GPU, as far as it gets in eight minutes.
#
#   DATA=FOLDER sh scripts/gpu-table.sh [OUT]     OUT: a new folder, or that of a call before, which goes on (gpu-table)
#
# FOLDER is cifar-10-batches-bin with all its files. The runs are those of examples/whole-cifar10.toml, in its order. Two thirds
# of the time go to training. Then every run that is done is judged. OUT/table.txt has the table, and the names of all runs that
# it lacks with how far they are. OUT/runs has the runs. A verdict by another program, adapter or GPU is kept and not shown.
#
# Of the 15 epochs of that file only 7 are trained, so that one call comes to natural, PGN, FGM and PGD. A GPU that takes 15,600
# natural, 6,200 PGN, 9,500 FGM and 2,000 PGD images a second trains these four in 262 seconds.
#
# The machine needs a driver, the program, PGN_WGPU=PROGRAM (target/release/pgn-wgpu), and `timeout` (macOS: that of coreutils).
# It needs no network. ADAPTER (discrete), WIDTH (1), EPOCHS (7), LIMIT (1000 test images) and SECONDS_IN_ALL (480) can be given,
# to try the script without a GPU, for example. Whatever runs is killed in time for that. The exit status is 1 if not one run could
# be judged.
set -u
export LC_ALL=C

refuse() {
    echo "gpu-table: $1" >&2
    exit 2
}

[ $# -le 1 ] || refuse 'usage: DATA=FOLDER sh scripts/gpu-table.sh [OUT]'
here=$(cd "$(dirname "$0")/.." && pwd)
program=${PGN_WGPU:-$here/target/release/pgn-wgpu}
out=${1:-gpu-table}
data=${DATA:-}
adapter=${ADAPTER:-discrete} width=${WIDTH:-1} epochs=${EPOCHS:-7} limit=${LIMIT:-1000} seconds=${SECONDS_IN_ALL:-480}
[ -x "$program" ] || refuse "there is no program $program; build it, or name it by PGN_WGPU=PROGRAM"
[ -f "$data/test_batch.bin" ] || refuse 'DATA= must name the folder of the binary files of CIFAR-10'
[ "$seconds" -ge 30 ] 2>/dev/null || refuse "SECONDS_IN_ALL is \"$seconds\"; it must be a whole number from 30"
timeout=$(command -v timeout || command -v gtimeout) || refuse 'there is no timeout; install coreutils'
mkdir -p "$out" || exit
began=$(date +%s)

# Seconds until so many hundredths of all time have passed.
left() {
    echo $((seconds * $1 / 100 - ($(date +%s) - began)))
}

# `within HUNDREDTHS GRACE COMMAND...`: until then, if there is any time left. SIGINT lets the program save what it has. GRACE seconds
# later it is killed, at least two seconds before the end of all time.
within() {
    rest=$(left "$1") most=$(($(left 100) - $2 - 2)) grace=$2
    [ "$rest" -le "$most" ] || rest=$most
    shift 2
    [ "$rest" -gt 0 ] || return 124
    "$timeout" --foreground --signal=INT --kill-after="$grace" "$rest" "$@"
}

# Writes OUT/states: a line for each run, its name and its state. `--dry-run` prints them below a heading.
states() {
    within 100 3 "$program" sweep "$sheet" --data "$data" --out "$out/runs" --dry-run >"$out/overview" || return
    sed -n '/^run  */,$p' "$out/overview" | sed 1d >"$out/states"
}

sheet=$out/sweep.toml.new
sed -e "s/^width = .*/width = $width/" -e "s/^epochs = .*/epochs = $epochs/" "$here/examples/whole-cifar10.toml" >"$sheet"
# A folder of other settings is refused here, and its table stays.
states || exit 1
mv "$sheet" "$out/sweep.toml" && sheet=$out/sweep.toml

# --- Training ------------------------------------------------------------------------------------------------------

within 67 20 "$program" sweep "$sheet" --data "$data" --out "$out/runs" --adapter "$adapter"
case $? in
0 | 1 | 124 | 130 | 137) ;; # done, a run failed, time is out
*) exit 1 ;;
esac
# Without one run the program has said why.
ls "$out/runs" >/dev/null 2>&1 || exit 1
states || refuse "SECONDS_IN_ALL, $seconds, is too little to say which runs are done; give more"
trained=$(awk '$2 == "done" { print $1 }' "$out/states")

# --- Verdicts ------------------------------------------------------------------------------------------------------

version=$("$program" --version)
gpus=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null)
# Who judges. A build has the version of the one before, so its bytes count too.
judges=$(echo "$version, $(cksum <"$program"), adapter $adapter, $gpus" | cksum | cut -d ' ' -f 1)

# `judge RUN`: its verdict as a file, which is there whole or not at all and is named by the number of images and by who judges.
judge() {
    file=$out/$1.of-$limit.by-$judges.txt
    [ ! -f "$file" ] || return 0
    within 100 3 "$program" evaluate "$out/runs/$1" --data "$data" --adapter "$adapter" --limit "$limit" \
        --attack deepfool,fmn >"$file.new" 2>"$out/$1.log"
    case $? in
    0) mv "$file.new" "$file" ;;
    1) tail -n 1 "$out/$1.log" >&2 && false ;;
    *) false ;; # time is out
    esac
}

judged=
for run in $trained; do
    # One by one, so that a call that has no time left takes no other's verdict with it.
    if judge "$run"; then judged="$judged $run"; fi
done
[ -n "$judged" ] || { echo "gpu-table: no run is judged yet; the same command goes on" >&2; exit 1; }

# --- The table -----------------------------------------------------------------------------------------------------

{
    echo "$version, width $width, $epochs epochs, $limit test images, adapter $adapter, $(date -u +%Y-%m-%dT%H:%MZ)"
    [ -z "$gpus" ] || echo "$gpus"
    for run in $judged; do
        echo && echo "$run"
        sed -n -e '/^benign accuracy/p' -e '/^accuracy by the quick verdict/p' -e '/^median of the smallest/p' \
            -e '/^seconds per epoch/p' -e '/^warning:/p' "$out/$run.of-$limit.by-$judges.txt"
    done
    echo && echo 'Left out:'
    awk -v judged=" $judged " '
        { name = $1; $1 = ""; sub(/^ +/, ""); if ($0 == "done") $0 = "trained, not judged" }
        index(judged, " " name " ") == 0 { print "  " name ": " $0; n++ }
        END { if (!n) print "  nothing" }' "$out/states"
} >"$out/table.txt.new" && mv "$out/table.txt.new" "$out/table.txt"
cat "$out/table.txt"
echo && echo "$(($(date +%s) - began)) s; $out/table.txt"
