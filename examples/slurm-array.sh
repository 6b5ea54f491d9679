#!/bin/sh
# A sweep over the nodes of a cluster: `sbatch examples/slurm-array.sh examples/sweep.toml`. Every task trains its share
# of the runs on one GPU. A task that is cut off by its time limit has saved everything; submitting this again goes on.
# Locks in the run folders keep tasks off each other's runs, whatever their number.
#SBATCH --job-name=pgn-sweep
#SBATCH --array=1-8
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=4
#SBATCH --time=04:00:00
# Ask to stop two minutes before the end, so that the run is saved rather than killed.
#SBATCH --signal=TERM@120
#SBATCH --output=pgn-sweep-%A-%a.log

exec srun pgn-wgpu sweep "${1:?the sweep file}" --adapter discrete \
    --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"
