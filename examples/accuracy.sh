#!/usr/bin/env bash
# Trains every task of a database (or of all databases) below a folder with seeds 0, 1 and 2 and
# prints a table of the test metrics, mean over the seeds, beside the baselines of seed 0.
# Usage: examples/accuracy.sh DATA [DATABASE …]
set -euo pipefail
data=$(realpath "${1:?usage: examples/accuracy.sh DATA [DATABASE …]}")
shift
cd "$(dirname "$0")/.."
cargo build --release
relcast="${CARGO_TARGET_DIR:-target}/release/relcast"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for source in "$data"/*/; do
    database=$(basename "$source")
    if [ $# -gt 0 ] && [[ " $* " != *" $database "* ]]; then continue; fi
    for task in "$source"tasks/*/; do
        task=$(basename "$task")
        for seed in 0 1 2; do
            "$relcast" train --db "$source" --task "$task" --model "$task-$seed" --seed "$seed" \
                --home "$work/home" --format json > "$work/$seed.json" 2> "$work/log" \
                || { echo "$database $task: $(tail -n 2 "$work/log" | tr '\n' ' ')"; continue 2; }
        done
        python3 - "$database" "$task" "$work" << 'PYTHON'
import json, sys
database, task, work = sys.argv[1:]
runs = [json.load(open(f"{work}/{seed}.json")) for seed in (0, 1, 2)]
metric = runs[0]["metric"]
names = [metric] + (["rmse"] if metric == "mae" else [])
def show(values):
    known = [v for v in values if v is not None]
    return f"{sum(known) / len(known):.4f}" if known else "undefined"
for history in ("frozen", "rolling"):
    found = [r for run in runs for r in run["results"] if (r["split"], r["history"]) == ("test", history)]
    for name in names:
        baselines = {b: show([m.get(name)]) for b, m in found[0]["baselines"].items()}
        seconds = sum(sum(run["seconds"].values()) for run in runs) / len(runs)
        print(database, task, history, name, show([r["metrics"].get(name) for r in found]),
              f"({seconds:.0f} s)", baselines)
PYTHON
    done
done
