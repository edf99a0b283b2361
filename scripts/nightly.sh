#!/usr/bin/env bash
# The tests that take too long for every change; `make nightly` runs the Rust tests with more cases as well.
# usage: nightly.sh MILLSTREAM
#
#   KILLS=200   how often the killed program dies on each state store provider
#   SEEDS=400   fresh random programs that are compared with batch queries
set -euo pipefail
cd "$(dirname "$0")/.."
millstream=$(realpath "$1")
python=$(realpath -s "${MILLSTREAM_PYTHON:-.venv/bin/python}")
source scripts/server.sh
suite=crates/testkit/differential

start_server "$millstream"

echo "== all random programs against the recorded answers of Spark 4.3, on each state store provider"
lsm=spark.sql.streaming.stateStore.providerClass=org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider
for conf in "" "$lsm"; do
  "$python" "$suite/replay.py" --remote "$remote" --timeout 90 --diff-lines 20 --jobs 3 --only 'seed_*' \
    --known "$suite/known_differences.txt" ${conf:+--conf "$conf"}
done

echo "== fresh random programs against themselves as batch queries"
first=$(date +%s)
"$python" "$suite/prefix_check.py" --remote "$remote" --seeds "$first-$((first + ${SEEDS:-400} - 1))"

echo "== a program killed ${KILLS:-200} times on each state store provider"
MILLSTREAM_PYTHON=$python "$python" "$suite/random_kills.py" run --millstream "$millstream" --dir "$scratch/kills" \
  --kills "${KILLS:-200}" --seed "$first"
