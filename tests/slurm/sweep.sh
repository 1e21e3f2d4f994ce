#!/usr/bin/env bash
# On a real SLURM of one machine: a study as a job array. Usage: sweep.sh FOLDER
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(realpath "$1")
mkdir -p "$folder"
"$here/start.sh" "$folder/slurm"
trap '"$here/stop.sh" "$folder/slurm"' EXIT
cd "$here/../.."
python main.py --mode=sweep --config=configs/ablations/smoke.py --workdir="$folder/study" \
    --config.base.data.prepared_dir="$folder/prepared" --config.seeds="(0,)" \
    --executor=slurm --slurm.partition=debug --slurm.cpus_per_task=1 --slurm.mem_gb=1 &
study=$!
while kill -0 $study 2>/dev/null && [ -z "$(squeue -h -r)" ]; do sleep 0.2; done
squeue -r -o "%.8i %.10P %.10T"
wait $study
