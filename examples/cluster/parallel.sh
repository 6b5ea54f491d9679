#!/bin/sh
# A verdict in several processes by GNU parallel, on one machine or on some that see the same folders:
#
#     sh examples/cluster/parallel.sh model.safetensors verdict --version full
#
# The first word is the model, the second the folder of the verdict. Flags of `verdict` may follow. A process that
# fails or is killed is started again, twice at most, and goes on from the pieces that are there. So does the whole script
# when it is run again: the program knows the pieces of the same model, images, flags and adapter, and computes none of them
# twice.
#
# Options are in the environment: SHARES (default 8), JOBS (processes at a time, default: the number of NVIDIA GPUs, else 1), ADAPTER
# (default: job slot 1 takes adapter 0, slot 2 adapter 1, ...; `pgn-wgpu adapters` has the numbers), PGN_WGPU (the
# program), LOGIN (a file of --sshloginfile, with a machine a line).
set -eu

usage='sh parallel.sh MODEL FOLDER [FLAGS OF VERDICT]'
model=${1:?the model is missing: $usage}
out=${2:?the folder of the verdict is missing: $usage}
shift 2
program=${PGN_WGPU:-pgn-wgpu}
shares=${SHARES:-8}
jobs=${JOBS:-$(nvidia-smi --list-gpus 2>/dev/null | grep -c . || true)}
[ "$jobs" != 0 ] || jobs=1

# Shards of another number would overlap with these, and the merge would refuse them in the end.
for shard in "$out"/shard-*.safetensors; do
    case $shard in *-of-"$shares".safetensors) continue ;; esac
    [ -e "$shard" ] || continue
    echo "parallel.sh: $shard is not one of $shares shards; set SHARES as before, name another folder, or remove that file" >&2
    exit 2
done
# Without a list of jobs (--joblog): it would count a share as done that was judged of another model or with other flags.
# In what parallel fills in, {} is the number of the share and {%} that of the slot.
seq "$shares" | parallel ${LOGIN:+--sshloginfile "$LOGIN" --workdir .} --jobs "$jobs" --retries 3 \
    --line-buffer --tagstring 'share {}' --quote \
    "$program" verdict "$model" --out "$out" --adapter "${ADAPTER:-"{= \$_ = slot() - 1 =}"}" --shard "{}/$shares" "$@"
exec "$program" verdict --merge "$out"
