#!/usr/bin/env bash
# How long a client waits for the prediction of one entity, at 50 requests a second: p50 and p99
# over rel-f1 and over TPC-H at scale factor 1. WORK keeps data and models between runs.
# Needs psql, pgbench, Python 3 and the way to PyPI (for TPC-H); $RELCAST names a binary, else one is built.
# Usage: docs/latency/bench.sh REL_F1 [WORK]
set -euo pipefail
f1=$(realpath "${1:?usage: docs/latency/bench.sh REL_F1 [WORK]}")
work=${2:-${TMPDIR:-/tmp}/relcast-latency}
rate=50 seconds=60 clients=4
mkdir -p "$work"
work=$(realpath "$work")
cd "$(dirname "$0")/../.."
if [ -z "${RELCAST:-}" ]; then
    cargo build --release
    RELCAST="${CARGO_TARGET_DIR:-target}/release/relcast"
fi

if [ ! -e "$work/tpch/lineitem.parquet" ]; then
    python3 -m venv "$work/python"
    "$work/python/bin/pip" install --quiet tpchgen-cli
    rm -rf "$work/tpch.part"
    "$work/python/bin/tpchgen-cli" parquet -s 1 --output-dir="$work/tpch.part"
    mv "$work/tpch.part" "$work/tpch"
fi

server=
stop() { [ -z "$server" ] || { kill "$server" && wait "$server" || true; } 2> /dev/null; server=; }
trap stop EXIT

# The value of the log at a share of its requests, in milliseconds. Each line's third field is the time from
# when the request was due to its answer, in microseconds.
quantile() { sort -n "$2" | awk -v share="$1" '{ t[NR] = $1 } END { i = int(share * NR); if (i < share * NR) i++; printf "%.1f", t[i] / 1000 }'; }

# measure NAME SCRIPT ENTITY QUERY SOURCE…: trains once, serves, asks, and prints a line.
measure() {
    local name=$1 script=$2 entity=$3 query=$4
    shift 4
    local home="$work/$name-home" log="$work/$name.log" port=
    # How well it predicts makes no difference to how long it takes.
    "$RELCAST" sql --home "$home" "$@" -c "CREATE MODEL IF NOT EXISTS latency AS $query" > /dev/null
    "$RELCAST" serve --home "$home" "$@" --pg 127.0.0.1:0 2> "$log" &
    server=$!
    until port=$(grep -o 'listening at 127.0.0.1:[0-9]*' "$log" | grep -o '[0-9]*$'); do
        kill -0 "$server" || { cat "$log"; exit 1; }
        sleep 0.2
    done
    local to=(-h 127.0.0.1 -p "$port" -U bench) n
    n=$(psql -X -A -t "${to[@]}" -d relcast -c "SELECT max(${entity#*.}) FROM ${entity%%.*}")
    local ask=(pgbench -n -M prepared -f "$script" -D "n=$n" -c "$clients" -j 1 "${to[@]}")
    # The first request reads the model and the graph.
    "${ask[@]}" -T 10 relcast > "$work/$name.warm" 2>&1
    rm -f "$work/$name".requests*
    "${ask[@]}" -R "$rate" -T "$seconds" -l --log-prefix="$work/$name.requests" relcast > "$work/$name.pgbench" 2>&1
    stop
    awk '$3 ~ /^[0-9]+$/ { print $3 }' "$work/$name".requests.* > "$work/$name.times"
    echo "$name: $(wc -l < "$work/$name.times") requests, p50 $(quantile 0.5 "$work/$name.times") ms, p99 $(quantile 0.99 "$work/$name.times") ms" \
        "($(grep 'failed' "$work/$name.pgbench" || true))"
}

echo "$rate requests a second for $seconds s over $clients connections, prepared statements, $(nproc) processors"
measure rel-f1 docs/latency/rel-f1.pgbench.sql 'drivers."driverId"' \
    'PREDICT COUNT(results.* WHERE results."statusId" <> 1, 0, 30, days) > 0 FOR EACH drivers."driverId"
     ASSUMING COUNT(results.*, 0, 30, days) > 0 WITH (epochs = 1)' \
    --db "$f1"
measure tpch docs/latency/tpch.pgbench.sql customer.c_custkey \
    'PREDICT COUNT(orders.*, 0, 90, days) > 0 FOR EACH customer.c_custkey WITH (epochs = 1)' \
    --db "$work/tpch" --schema docs/latency/tpch.yaml
