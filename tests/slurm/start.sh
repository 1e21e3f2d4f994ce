#!/usr/bin/env bash
# Starts SLURM on this machine alone, as one node with two cores, for tests. Needs root and
# Debian's packages slurm-wlm and munge. Usage: start.sh FOLDER; stop with stop.sh FOLDER.
# Exits with 77 where this machine cannot run it.
set -Eeuo pipefail
trap 'exit 77' ERR
folder=$(realpath "$1")
host=$(hostname)
mkdir -p "$folder"/{state,spool} /run/munge /var/log/munge /var/lib/munge
chown munge: /run/munge /var/log/munge /var/lib/munge /etc/munge
if [ ! -s /etc/munge/munge.key ]; then
    mungekey --create --force
    chown munge: /etc/munge/munge.key
fi
pgrep -x munged >/dev/null || runuser -u munge -- munged

mkdir -p /etc/slurm
cat >/etc/slurm/slurm.conf <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,bf_interval=2
ReturnToService=2
MpiDefault=none
NodeName=$host NodeAddr=127.0.0.1 CPUs=2 RealMemory=4000 State=UNKNOWN
PartitionName=debug Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
slurmctld -c
slurmd -c
for _ in $(seq 60); do
    sinfo -h -o %T 2>/dev/null | grep -q idle && exit 0
    sleep 0.5
done
echo "SLURM did not start; see $folder/slurmctld.log" >&2
cat "$folder"/*.log >&2
exit 77
