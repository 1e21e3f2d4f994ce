#!/usr/bin/env bash
# On a real SLURM of one machine: a scan becomes a volume by a job array, and by two processes of
# one job. Both must give the bytes of one process. Usage: predict.sh FOLDER
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(realpath "$1")
mkdir -p "$folder"
"$here/start.sh" "$folder/slurm"
trap '"$here/stop.sh" "$folder/slurm"' EXIT
cd "$here/../.."

python - "$folder/scan.tif" <<'PYTHON'
import sys
import numpy as np
import tifffile
rng = np.random.default_rng(0)
tifffile.imwrite(sys.argv[1], rng.integers(20000, 45000, (60, 48, 48)).astype(np.uint16))
PYTHON
python main.py --config=configs/tiny.py --workdir="$folder/run" --config.epochs=1 \
    --config.report.baselines="()" --config.data.prepared_dir="$folder/prepared"
predict() { # launcher, name of a folder, more flags
    mkdir "$folder/$2"
    $1 python main.py --mode=predict --workdir="$folder/run" --input="$folder/scan.tif" \
        --output="$folder/$2/a.ome.zarr" --uncertainty "${@:3}"
}

echo "## by one process"
predict "" alone

echo "## by a job array"
predict "" array --executor=slurm --jobs=3 --slurm.partition=debug --slurm.cpus_per_task=1 \
    --slurm.mem_gb=1 &
call=$!
while kill -0 $call 2>/dev/null && [ -z "$(squeue -h -r)" ]; do sleep 0.2; done
squeue -r -o "%.8i %.10P %.10T"
wait $call

echo "## by two processes of one job"
predict "srun -n 2 --mem=3000" srun

for name in array srun; do
    diff -r "$folder"/{alone,$name}/a.ome.zarr && echo "$name: the same bytes"
    [ "$(ls -A "$folder/$name" | tr '\n' ' ')" = "a.ome.zarr a.ome.zarr.json a.ome.zarr.next.csv " ]
done
