#!/bin/sh
# Makes one verdict of the shares that slurm-verdict.sh left in a folder:
#
#     sbatch --dependency=afterok:ARRAY examples/cluster/slurm-merge.sh verdict --csv images.csv
#
# It needs neither a GPU, nor the model, nor the data, and takes seconds. If a share is missing, it says which one.
#SBATCH --job-name=pgn-merge
#SBATCH --time=00:10:00
#SBATCH --output=pgn-merge-%j.log
set -eu

out=${1:?the folder of the shares is missing: sbatch slurm-merge.sh FOLDER [FLAGS OF VERDICT]}
shift
exec "${PGN_WGPU:-pgn-wgpu}" verdict --merge "$out" "$@"
