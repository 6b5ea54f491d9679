#!/bin/sh
# A sweep as a Slurm array job. Every task trains its share of the runs:
#
#     sbatch examples/cluster/slurm-sweep.sh examples/sweep.toml
#
# Change the lines for your cluster: the number of tasks, the GPU, the time. The array must begin at 1. A task that
# comes to its time limit saves its run and goes back into the queue. To run one task again, give it a new number of
# shares, because Slurm then no longer knows the old one: `SHARES=8 sbatch --array=3 examples/cluster/slurm-sweep.sh FILE`.
#
# Options are in the environment: ADAPTER (default: discrete), PGN_WGPU (the program, default: the one in PATH).
#SBATCH --job-name=pgn-sweep
#SBATCH --array=1-8
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=4
#SBATCH --time=04:00:00
# Two minutes before the end the program is asked to stop. It saves its run then.
#SBATCH --signal=TERM@120
# `scontrol requeue` is allowed, and a second attempt writes its log behind the first one's.
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=pgn-sweep-%A-%a.log
set -u

file=${1:?the sweep file is missing: sbatch slurm-sweep.sh FILE [FLAGS OF SWEEP]}
shift
shares=${SHARES:-$SLURM_ARRAY_TASK_COUNT}
if [ -z "${SHARES:-}" ] && { [ "$SLURM_ARRAY_TASK_MIN" != 1 ] || [ "$SLURM_ARRAY_TASK_MAX" != "$shares" ]; }; then
    echo "the array must be 1-N without gaps, such as --array=1-8; to run a part of it, say of how many shares: SHARES=8" >&2
    exit 2
fi

# srun does not take this from sbatch by itself since Slurm 22.05.
export SRUN_CPUS_PER_TASK="${SLURM_CPUS_PER_TASK:-1}"
srun "${PGN_WGPU:-pgn-wgpu}" sweep "$file" --adapter "${ADAPTER:-discrete}" \
    --shard "$SLURM_ARRAY_TASK_ID/$shares" "$@"
status=$?

# 143: the program was asked to stop and has saved everything.
if [ $status -eq 143 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit $status
