#!/usr/bin/env bash
# Stops what start.sh FOLDER started, and returns when it is gone.
folder=$(realpath "$1")
scancel --user=root 2>/dev/null
for name in slurmd slurmctld; do
    pid=$(cat "$folder/$name.pid" 2>/dev/null) || continue
    kill "$pid" 2>/dev/null
    for _ in $(seq 100); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
done
exit 0
