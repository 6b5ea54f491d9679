#!/bin/sh
# What `make cluster` runs: the job files of examples/cluster, on a Slurm of its own on this machine, and by GNU parallel.
#
#   sh scripts/cluster.sh            all of it
#   sh scripts/cluster.sh slurm      the array jobs alone
#   sh scripts/cluster.sh parallel   GNU parallel, and the commands of the Kubernetes manifests, alone
#
# It trains a sweep and judges a model in array jobs, kills one task of each in the middle, and compares with one process:
# models bit for bit, the verdict but for its seconds. It prints a line for each check and exits with 1 if one fails.
# PGN_WGPU names the program (default: target/release/pgn-wgpu). All files go to target/cluster, which git ignores. On
# Debian and Ubuntu it installs the programs that the part needs and that are absent; where it cannot, it says so and exits with
# 1. A word that names no part ends it with 2.
set -u
export LC_ALL=C
cd "$(dirname "$0")/.." || exit
PART=${1:-all}
# What a part needs, and Debian's packages of it.
PROGRAMS='parallel jq'
PACKAGES='parallel jq python3-yaml'
case $PART in
all | slurm)
    PROGRAMS="slurmctld slurmd sbatch munged $PROGRAMS"
    PACKAGES="slurmctld slurmd slurm-client munge $PACKAGES"
    ;;
parallel) ;;
*)
    echo "cluster.sh: all, slurm or parallel, not $PART" >&2
    exit 2
    ;;
esac
# Seconds until a job that should have ended counts as lost.
PATIENCE=300

PGN_WGPU=$(realpath "${PGN_WGPU:-target/release/pgn-wgpu}") || exit
export PGN_WGPU ADAPTER=cpu
unset SHARES JOBS LOGIN DATA
here=$(pwd)
examples=$here/examples/cluster
folder=$here/target/cluster
failures=0

# --- Checks ------------------------------------------------------------------------------------------------------

# `check SENTENCE COMMAND...`: the command says with its status whether the sentence is true.
check() {
    sentence=$1
    shift
    if "$@"; then
        echo "ok      $sentence"
    else
        echo "FAILED  $sentence"
        failures=$((failures + 1))
    fi
}

give_up() {
    echo "cluster: $1" >&2
    exit 1
}

# `await SECONDS COMMAND...`: until it succeeds.
await() {
    left=$(($1 * 5))
    shift
    until "$@"; do
        left=$((left - 1))
        [ $left -gt 0 ] || return 1
        sleep 0.2
    done
}

# A verdict without what may differ between two runs: seconds, and the file's checksum, which covers them.
without_seconds() {
    jq --sort-keys 'del(.checksum, .attacks[].seconds)' "$1"
}

same_verdict() {
    [ "$(without_seconds "$1")" = "$(without_seconds "$2")" ] && [ -s "$1" ]
}

# Whether two sweeps have the same runs, with the same bits in their final models and their best ones.
same_runs() {
    list() { (cd "$1" && find . -path ./logs -prune -o -name '*.safetensors' -print | grep -v -e last -e previous | sort); }
    [ -n "$(list "$1")" ] && [ "$(list "$1")" = "$(list "$2")" ] || return
    for file in $(list "$1"); do
        cmp "$1/$file" "$2/$file" || return
    done
}

# Signals the one process of the program that has these arguments.
signal_process() {
    pid=$(pgrep -f -- "^$PGN_WGPU $2") && kill -s "$1" "$pid"
}

sessions() {
    grep -c '"kind":"run"' "$1/metrics.jsonl"
}

# --- Packages ----------------------------------------------------------------------------------------------------

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# The daemons are in sbin, which is not in everybody's PATH.
PATH=$PATH:/usr/sbin:/sbin
absent() {
    for program in $PROGRAMS; do
        command -v "$program" >/dev/null || echo "$program"
    done
    # It reads the manifests of Kubernetes.
    [ "$PART" = slurm ] || python3 -c 'import yaml' 2>/dev/null || echo python3-yaml
}

install() {
    [ -n "$(absent)" ] || return 0
    command -v apt-get >/dev/null || give_up "there is no $(absent | xargs); install what Debian calls $PACKAGES"
    # shellcheck disable=SC2086 # several words
    { as_root apt-get -qq update && as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -y install --no-install-recommends $PACKAGES; } >"$folder/install.log" 2>&1
    [ -z "$(absent)" ] || give_up "cannot install $(absent | xargs): $(tail -n 1 "$folder/install.log")"
}

# --- Slurm -------------------------------------------------------------------------------------------------------

# A controller and one node, as the user who runs this; ports of their own, so that another Slurm is not disturbed.
configure() {
    host=$(hostname -s)
    cat >"$slurm/slurm.conf" <<END
ClusterName=pgn
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$slurm/munge.socket,cred_expire=10
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,batch_sched_delay=0
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MailProg=/bin/true
ReturnToService=2
KillWait=5
StateSaveLocation=$slurm/state
SlurmdSpoolDir=$slurm/spool
SlurmctldPidFile=$slurm/slurmctld.pid
SlurmdPidFile=$slurm/slurmd.pid
SlurmctldLogFile=$slurm/slurmctld.log
SlurmdLogFile=$slurm/slurmd.log
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=8 Gres=gpu:2 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
    # Two GPUs in name only, since the job files ask for one. Slurm wants a device file for each.
    printf 'Name=gpu File=/dev/%s\n' null zero >"$slurm/gres.conf"
}

start_slurm() {
    slurm=$folder/slurm
    rm -rf "$slurm" && mkdir -p "$slurm/state" "$slurm/spool" && chmod 755 "$slurm"
    configure
    export SLURM_CONF="$slurm/slurm.conf"
    (umask 077 && head -c 128 /dev/urandom >"$slurm/munge.key")
    trap stop_slurm EXIT
    trap 'exit 130' INT TERM
    # --force: the folders above need not belong to root.
    munged --force --key-file="$slurm/munge.key" --socket="$slurm/munge.socket" --pid-file="$slurm/munge.pid" \
        --log-file="$slurm/munge.log" --seed-file="$slurm/munge.seed" 2>"$slurm/munge.err" ||
        give_up "munged does not start: $(tail -n 1 "$slurm/munge.err")"
    slurmctld || give_up "slurmctld does not start: $(tail -n 1 "$slurm/slurmctld.log")"
    slurmd || give_up "slurmd does not start: $(tail -n 1 "$slurm/slurmd.log")"
    await 60 node_is_idle || give_up "the node does not come up: $(tail -n 1 "$slurm/slurmctld.log")"
    echo "Slurm $(sbatch --version | cut -d ' ' -f 2) on $(hostname -s), in $slurm"
}

node_is_idle() {
    sinfo --noheader --format %T 2>/dev/null | grep -q '^idle$'
}

stop_slurm() {
    scancel --user="$(id -un)" 2>/dev/null
    for daemon in slurmd slurmctld munge; do
        pid=$(cat "$slurm/$daemon.pid" 2>/dev/null) && kill "$pid" 2>/dev/null
    done
}

# `state JOB`: RUNNING, COMPLETED, FAILED, ...; of all tasks of an array.
state() {
    scontrol --oneliner show job "$1" 2>/dev/null | grep -o 'JobState=[A-Z_]*' | cut -d = -f 2
}

ended() {
    ! state "$1" | grep -q -e PENDING -e RUNNING -e COMPLETING -e REQUEUE
}

completed() {
    await $PATIENCE ended "$1" && [ "$(state "$1" | sort -u)" = COMPLETED ]
}

restarts() {
    scontrol --oneliner show job "$1" | grep -o 'Restarts=[0-9]*' | cut -d = -f 2
}

# --- A sweep -----------------------------------------------------------------------------------------------------

sweep_file() {
    cat >sweep.toml <<'END'
dataset = "digits"
epochs = 20
checkpoint-every = 10

[[grid]]
method = ["natural", "pgd"]
seed = [1, 2, 3]
END
}

# Whether the run is in its middle: checkpoints are there, and the final model is not.
half_trained() {
    [ -e "$1/checkpoints/previous.safetensors" ] && [ ! -e "$1/model.safetensors" ]
}

# Six runs in seven tasks: the last one has nothing to do. Tasks 4 and 5 train with PGD, which takes longest.
sweep_by_slurm() {
    array=$(sbatch --parsable --array=1-7 --output=sweep-%a.log "$examples/slurm-sweep.sh" sweep.toml --out array) ||
        give_up 'sbatch refuses the sweep'
    check 'a task of the sweep is killed in the middle' await 120 half_trained array/pgd-seed1
    # Not scancel, which asks to stop before it kills.
    signal_process KILL "sweep sweep.toml .*--shard 4/7 "
    check 'Slurm says that it failed' await 60 has_state "${array}_4" FAILED
    check 'it is queued again' scontrol requeue "${array}_4"
    check 'another task is asked to stop in the middle' await 240 half_trained array/pgd-seed2
    # As before the time limit. Not scancel, which sends the signal once more to the second attempt.
    signal_process TERM "sweep sweep.toml .*--shard 5/7 "
    check 'it goes back into the queue by itself' await 60 restarted "${array}_5"
    check 'all tasks of the sweep end well, also the one without a run' completed "$array"
    check 'both runs went on where they were' went_on array/pgd-seed1 array/pgd-seed2
    check 'the array trained the models of one process, bit for bit' same_runs single array
    check 'a second array at the same folder finds everything done' repeated_sweep
}

has_state() { [ "$(state "$1")" = "$2" ]; }

restarted() { restarts "$1" | grep -q '[1-9]'; }

# A run that goes on has two sessions, of which the second does not begin at step 0.
went_on() {
    for run in "$@"; do
        [ "$(sessions "$run")" = 2 ] && [ "$(grep '"kind":"run"' "$run/metrics.jsonl" | grep -c '"step":0,')" = 1 ] || return
    done
}

repeated_sweep() {
    cp -r array before &&
        again=$(sbatch --parsable --array=1-3 --output=again-%a.log "$examples/slurm-sweep.sh" sweep.toml --out array) &&
        completed "$again" && same_runs before array && ! grep -q begins again-*.log
}

# --- A verdict ---------------------------------------------------------------------------------------------------

# Flags of the verdict, which takes some seconds a share.
JUDGE='--version full --epsilon 0.3 --limit 160'

trained_by_one() {
    "$PGN_WGPU" sweep sweep.toml --adapter cpu --out single --quiet >single.log
}

judged_by_one() {
    # shellcheck disable=SC2086 # several words
    "$PGN_WGPU" verdict "$model" --adapter cpu $JUDGE --out verdict-single --csv single.csv --quiet >/dev/null
}

# Whether the log of a task has a line of this attack and no result yet.
at_work() {
    grep -q "$2" "$1" 2>/dev/null && ! grep -q '^written' "$1"
}

verdict_by_slurm() {
    # shellcheck disable=SC2086 # several words
    array=$(sbatch --parsable --array=1-4 --output=verdict-%a.log "$examples/slurm-verdict.sh" "$model" verdict-array $JUDGE) ||
        give_up 'sbatch refuses the verdict'
    merge=$(sbatch --parsable --dependency=afterok:"$array" --output=merge.log "$examples/slurm-merge.sh" verdict-array \
        --csv array.csv) || give_up 'sbatch refuses the job that merges'
    check 'a task of the verdict is taken off in the middle and queued again' requeued_in_the_middle "${array}_2"
    check 'all tasks of the verdict end well' completed "$array"
    check 'its second attempt used the pieces of the first' pieces_stayed
    check 'the job that merges ran after them' completed "$merge"
    check 'the merged verdict is that of one process but for the seconds' \
        same_verdict verdict-single/verdict.json verdict-array/verdict.json
    check 'its lines for each image are equal' cmp single.csv array.csv
}

requeued_in_the_middle() {
    await 120 at_work verdict-2.log APGD-T || return
    find verdict-array/pieces -name '*.safetensors' -exec sha256sum {} + >pieces.before
    scontrol requeue "$1" && await 60 restarted "$1" && [ -s pieces.before ]
}

pieces_stayed() {
    sha256sum --quiet --check pieces.before && [ "$(grep -c 'APGD-CE' verdict-2.log)" = 2 ]
}

# --- What must be refused ----------------------------------------------------------------------------------------

refusals() {
    check 'an array that begins at 0 is refused with a sentence' refused_array --array=0-3
    check 'a part of an array alone is refused with a sentence' refused_array --array=3
    check 'a part of an array is judged again when the number of shares is given' \
        part_again
    mkdir -p part && cp verdict-array/shard-[134]-of-4.safetensors part
    check 'a missing share is named' missing_share
}

refused_array() {
    wrong=$(sbatch --parsable "$1" --output=wrong.log "$examples/slurm-sweep.sh" sweep.toml --out wrong) || return
    await 60 ended "$wrong"
    [ "$(state "$wrong" | sort -u)" = FAILED ] && grep -q 'must be 1-N' wrong.log && [ ! -e wrong ]
}

part_again() {
    # shellcheck disable=SC2086 # several words
    part=$(SHARES=4 sbatch --parsable --array=3 --output=part.log "$examples/slurm-verdict.sh" "$model" verdict-part $JUDGE) &&
        completed "$part" && [ "$(ls verdict-part/*.safetensors)" = verdict-part/shard-3-of-4.safetensors ]
}

missing_share() {
    failing=$(sbatch --parsable --output=missing.log "$examples/slurm-merge.sh" part) && await 60 ended "$failing"
    [ "$(state "$failing")" = FAILED ] && grep -q '2/4' missing.log
}

# --- GNU parallel and the commands of Kubernetes -----------------------------------------------------------------

by_parallel() {
    # shellcheck disable=SC2086 # several words
    SHARES=3 JOBS=2 sh "$examples/parallel.sh" "$model" verdict-parallel $JUDGE >parallel.log 2>&1 &
    all=$!
    check 'a process under GNU parallel is killed in the middle' await 60 kill_share 2/3
    check 'GNU parallel runs it again and the merge ends well' wait $all
    check 'GNU parallel counts one retry' retried
    check 'its verdict is that of one process but for the seconds' \
        same_verdict verdict-single/verdict.json verdict-parallel/verdict.json
    check 'the same folder with another radius gets another verdict' judged_otherwise
    check 'another number of shares in that folder is refused with a sentence' refused_number
}

judged_otherwise() {
    SHARES=3 JOBS=2 sh "$examples/parallel.sh" "$model" verdict-parallel --epsilon 0.25 --limit 30 >otherwise.log 2>&1 &&
        jq --exit-status '.epsilon == 0.25' verdict-parallel/verdict.json >/dev/null
}

refused_number() {
    ! SHARES=2 JOBS=2 sh "$examples/parallel.sh" "$model" verdict-parallel --limit 30 >refused.log 2>&1 &&
        grep -q 'is not one of 2 shares' refused.log
}

# Kills the process of a share, which is a child of parallel's, once it is at work.
kill_share() {
    grep -qs "share ${1%/*}.*APGD-CE" parallel.log &&
        signal_process KILL "verdict $model --out verdict-parallel .*--shard $1 "
}

retried() {
    [ "$(grep -c 'share 2.*APGD-CE' parallel.log)" = 2 ] && [ -s verdict-parallel/shard-2-of-3.safetensors ]
}

# The command of a manifest's container, as the container's shell gets it.
manifest_command() {
    python3 -c 'import sys, yaml
job = yaml.safe_load(open(sys.argv[1]))
print(job["spec"]["template"]["spec"]["containers"][0]["args"][0])' "$examples/$1"
}

by_kubernetes() {
    mkdir -p bin && ln -sf "$PGN_WGPU" bin/pgn-wgpu
    check 'the commands of the Kubernetes manifests train and judge the same, counted from 0' kubernetes_commands
    check 'their verdict is that of one process but for the seconds' \
        same_verdict verdict-quick/verdict.json kubernetes/verdict.json
    check 'their models are those of one process, bit for bit' same_runs single kubernetes-runs
}

# The manifest judges all images, so it gets a model of which few stand for long.
kubernetes_commands() (
    model=single/natural-seed1/model.safetensors
    PATH=$folder/scratch/bin:$PATH
    export MODEL=$model OUT=kubernetes FILE=sweep.toml SHARES=2
    # shellcheck disable=SC2016 # the manifest's own variable
    for JOB_COMPLETION_INDEX in 0 1; do
        export JOB_COMPLETION_INDEX
        sh -c "$(manifest_command kubernetes-verdict.yaml)" || exit
        OUT=kubernetes-runs sh -c "$(manifest_command kubernetes-sweep.yaml)" || exit
    done >kubernetes.log 2>&1
    sh -c "$(manifest_command kubernetes-merge.yaml)" >>kubernetes.log 2>&1
    # The manifest's own flags, in one process.
    "$PGN_WGPU" verdict "$model" --adapter cpu --version full --out verdict-quick --quiet >/dev/null
)

# --- All of it ---------------------------------------------------------------------------------------------------

mkdir -p "$folder"
install
rm -rf "$folder/scratch" && mkdir -p "$folder/scratch" && cd "$folder/scratch" || exit
sweep_file
model=single/pgd-seed1/model.safetensors
began=$(date +%s)
check 'one process trains the sweep' trained_by_one
check 'one process judges a model of it' judged_by_one
case $PART in
all | slurm)
    start_slurm
    sweep_by_slurm
    verdict_by_slurm
    refusals
    ;;
esac
case $PART in
all | parallel)
    by_parallel
    by_kubernetes
    ;;
esac
echo "$(($(date +%s) - began)) s, $failures failed"
[ $failures = 0 ]
