#!/usr/bin/env bash
# On a real SLURM of one machine: a training in two processes, and the same training preempted,
# queued again and continued. Both must end with the same numbers. Usage, between start.sh and
# stop.sh: run.sh FOLDER
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(realpath "$1")
mkdir -p "$folder"

submit() { # run name
    sbatch --parsable --mem=3000 --chdir="$here/../.." --output="$folder/$1.log" \
        "$here/train.sbatch" --config=configs/tiny.py --workdir="$folder/$1" \
        --config.epochs=24 --config.report.baselines="()" --config.data.prepared_dir="$folder/prepared"
}
wait_for() { # seconds, what, command
    for _ in $(seq "$1"); do
        if eval "$3"; then return; fi
        sleep 1
    done
    echo "after $1 s still waiting for: $2" >&2
    cat "$folder"/*.log >&2
    exit 1
}
gone() { local state && state=$(squeue -h -j "$1" -o %T 2>/dev/null) && [ -z "$state" ]; }

echo "## a training in two processes"
job=$(submit whole)
wait_for 200 "the training" "gone $job"
grep -E "^devices:|^pixel accuracy" "$folder/whole.log"

echo "## the same training, preempted"
job=$(submit preempted)
wait_for 100 "its first epochs" "[ \"\$(cat '$folder/preempted/metrics.jsonl' 2>/dev/null | wc -l)\" -gt 8 ]"
scancel --signal=TERM "$job"
wait_for 60 "the queue" "[ \"\$(squeue -h -j $job -o %T)\" = PENDING ]"
squeue -j "$job" -o "%.6i %.10T %.12r"
sleep 3 # SLURM kills a job that starts in the second in which its first run ended.
scontrol update JobId="$job" StartTime=now # Not after the two minutes SLURM would wait.
wait_for 200 "the training" "gone $job"
grep -E "stopped at|Exited with|REQUEUE|continuing after|^pixel accuracy" "$folder/preempted.log"

echo "## both runs"
cmp "$folder"/{whole,preempted}/metrics.jsonl && echo "metrics.jsonl: the same bytes"
