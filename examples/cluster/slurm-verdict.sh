#!/bin/sh
# A verdict as a Slurm array job, and a job that makes one verdict of the shares when all of them are there:
#
#     array=$(sbatch --parsable examples/cluster/slurm-verdict.sh model.safetensors verdict --version full)
#     sbatch --dependency=afterok:$array examples/cluster/slurm-merge.sh verdict --csv images.csv
#
# The first word is the model, the second the folder of the verdict, which all nodes must see. Flags of `verdict` may
# follow. There can be at most as many tasks as images. The array must begin at 1. A task that is cut off loses the
# piece that it was at, which is at most 500 images under one attack, and goes on from there when it is queued again.
#
# Options are in the environment: ADAPTER (default: discrete), PGN_WGPU (the program, default: the one in PATH), SHARES
# (to run a part of the array again: `SHARES=8 sbatch --array=3 …`).
#SBATCH --job-name=pgn-verdict
#SBATCH --array=1-8
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=4
#SBATCH --time=01:00:00
# Two minutes before the end the program is asked to stop.
#SBATCH --signal=TERM@120
# `scontrol requeue` is allowed, and a second attempt writes its log behind the first one's.
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=pgn-verdict-%A-%a.log
set -u

usage='sbatch slurm-verdict.sh MODEL FOLDER [FLAGS OF VERDICT]'
model=${1:?the model is missing: $usage}
out=${2:?the folder of the verdict is missing: $usage}
shift 2
shares=${SHARES:-$SLURM_ARRAY_TASK_COUNT}
if [ -z "${SHARES:-}" ] && { [ "$SLURM_ARRAY_TASK_MIN" != 1 ] || [ "$SLURM_ARRAY_TASK_MAX" != "$shares" ]; }; then
    echo "the array must be 1-N without gaps, such as --array=1-8; to run a part of it, say of how many shares: SHARES=8" >&2
    exit 2
fi

# srun does not take this from sbatch by itself since Slurm 22.05.
export SRUN_CPUS_PER_TASK="${SLURM_CPUS_PER_TASK:-1}"
srun "${PGN_WGPU:-pgn-wgpu}" verdict "$model" --out "$out" --adapter "${ADAPTER:-discrete}" \
    --shard "$SLURM_ARRAY_TASK_ID/$shares" "$@"
status=$?

# 143: the program was asked to stop before the time was over.
if [ $status -eq 143 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit $status
